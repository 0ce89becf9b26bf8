"""What a terminal shows while something is learned: the stage, and the net's progress within it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from training.fit import Progress as FitProgress


class Stages:
    """One line of progress: the stage, and while the net trains its loss, validation, pace and time left."""

    def __init__(self, screen: Console, bar: Progress) -> None:
        self.screen, self.bar = screen, bar
        self.task = bar.add_task("", total=None)

    def stage(self, name: str) -> None:
        self.bar.update(self.task, description=name, total=None, completed=0)
        if not self.screen.is_terminal:
            self.screen.print(name)

    def say(self, line: str) -> None:
        self.screen.print(line)

    def net(self, at: "FitProgress") -> None:
        text = (
            f"net: epoch {at.epoch}, loss {at.loss:.3f}, best NDCG@10 {at.best_ndcg:.4f}, "
            f"{at.rows_per_second:,.0f} rows/s, at most {at.seconds_left / 60:.1f} min left"
        )
        self.bar.update(self.task, description=text, total=at.batches, completed=at.batch)
        if not self.screen.is_terminal and at.batch == at.batches:
            self.screen.print(text)


@contextmanager
def stages_on(screen: Console) -> Iterator[Stages]:
    columns: list[Any] = [
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
    ]
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
        yield Stages(screen, bar)
