"""`penchant evaluate`: the command line around run.py; the table goes to stdout, progress to stderr."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from graph.storage.cli_errors import explained
from graph.storage.database import Database
from graph.storage.settings import Settings
from training.options import (
    ArtifactsOption,
    AsOfOption,
    BaselineOption,
    DatabaseOption,
    KnownAtOption,
    OrderName,
    OrderOption,
    ProtocolName,
    SeenName,
    chosen_baselines,
    moment,
)
from training.wide_console import wide_console


def evaluate_command(
    model: Annotated[
        str, typer.Option(help="A version such as m1.1, `active`, or `none`: baselines alone.")
    ] = "active",
    protocol: Annotated[
        ProtocolName, typer.Option(help="time: the newest days are the test. leave-one-out: each user's last event is.")
    ] = ProtocolName.TIME,
    order: OrderOption = OrderName.PUBLISHED,
    seen: Annotated[
        SeenName | None,
        typer.Option(help="A user's earlier items: candidates or not.", show_default="as the model was trained"),
    ] = None,
    holdout_days: Annotated[float, typer.Option(help="time: days before --as-of that are the test.")] = 28.0,
    validation_days: Annotated[float, typer.Option(help="time: days before the test kept from *as trained*.")] = 28.0,
    as_of: AsOfOption = None,
    known_at: KnownAtOption = None,
    baseline: BaselineOption = None,
    output: Annotated[Path, typer.Option(help="Folder for a JSON and an npz file per run.")] = Path("evaluations"),
    report: Annotated[
        Path | None, typer.Option(help="Folder for a page with pictures, index.html.", show_default="none")
    ] = None,
    database: DatabaseOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Rank the whole catalog for users whose next events are known, beside the baselines, in two columns.

    *as trained*: everything from the training part. *refreshed*: the same weights, all else from everything before
    the test.
    """
    with explained():
        moments = {"--as-of": moment("--as-of", as_of), "--known-at": moment("--known-at", known_at)}
        screen = Console(stderr=True)
        with _progress(screen) as bar:
            task = bar.add_task("loading", total=None)
            from training.evaluation.baselines import DEFAULT_BASELINES
            from training.evaluation.report import comparison_table, probability_table, table_of, write_report
            from training.evaluation.run import Options, run

            if report:
                from training.evaluation.page.write import require_writable

                require_writable(report)
            settings = Settings()
            store = Database(database or settings.database_url)
            try:
                store.require_schema()
                found = run(
                    store,
                    artifacts or settings.artifacts,
                    Options(
                        protocol=protocol.value,
                        order=order.value,
                        seen=seen.value if seen else None,
                        model=model,
                        baselines=chosen_baselines(baseline, DEFAULT_BASELINES),
                        holdout_days=holdout_days,
                        validation_days=validation_days,
                        as_of=moments["--as-of"],
                        known_at=moments["--known-at"],
                    ),
                    stage=lambda name: bar.update(task, description=name),
                    progress=lambda done, total: bar.update(task, completed=done, total=total),
                )
            finally:
                store.close()
        # Piped, the table must not be folded to 80 columns: whoever reads it wants whole rows.
        out = wide_console()
        out.print(table_of(found))
        if found.comparisons:
            out.print(comparison_table(found))
        if found.probabilities:
            out.print(probability_table(found))
        screen.print(f"written: {write_report(found, output)}")
        if report:
            from training.evaluation.page.evaluation import write_evaluation

            screen.print(f"page: {write_evaluation(found, report, artifacts or settings.artifacts)}")


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
