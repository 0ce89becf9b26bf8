"""`penchant benchmark`: the command line around plan.py and table.py; tables go to stdout, progress to stderr."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.quality.data_sets import data_set_of
from graph.storage.cli_errors import explained
from graph.storage.errors import BadInputError
from training.options import OrderName, OrderOption, ProtocolName, SeenName


def benchmark_command(
    data_set: Annotated[
        str,
        typer.Argument(help="complete-journey, amazon-beauty, movielens-100k, or a mapping file of `penchant ingest`."),
    ],
    protocol: Annotated[ProtocolName | None, typer.Option(show_default="the data set's; time")] = None,
    order: OrderOption = OrderName.PUBLISHED,
    seen: Annotated[
        list[SeenName] | None,
        typer.Option(
            help="A user's earlier items: candidates or not; twice for both.", show_default="the data set's; both"
        ),
    ] = None,
    seeds: Annotated[str, typer.Option(help="Comma-separated.")] = "0,1,2",
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="penchant, a baseline, `baselines`, or `none`; several times.", show_default="penchant, baselines"
        ),
    ] = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(help="The model with one thing changed, e.g. no-graph, loss:bpr, dim=64; `all`; several times."),
    ] = None,
    peer: Annotated[
        list[str] | None, typer.Option(help="Another library's model, e.g. 'implicit ALS'; `all`; several times.")
    ] = None,
    budget_s: Annotated[float, typer.Option(help="Seconds that a model may learn.")] = 1800.0,
    holdout_days: Annotated[
        float | None,
        typer.Option(help="time: days at the end that are the test.", show_default="28, of short data a tenth"),
    ] = None,
    validation_days: Annotated[
        float | None, typer.Option(help="time: days before the test.", show_default="as many as the test")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of the data set's files.", show_default="where its package keeps them")
    ] = None,
    folder: Annotated[Path, typer.Option(help="Stores, nets, results; what is there is not done again.")] = Path(
        "var/quality"
    ),
    retry: Annotated[bool, typer.Option("--retry", help="Try again what failed or ran out of time.")] = False,
    anew: Annotated[bool, typer.Option("--anew", help="Measure our own models again if the code has changed.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda; for our own nets.")] = "auto",
) -> None:
    """Measure a data set: the model, its parts, the baselines and other libraries, in one table.

    Each model and seed runs in a process of its own, and leaves its figures in --folder: run the command again to go on
    where it was interrupted. Peers are installed into environments of their own, learn from the same events, and are
    judged by the same code.
    """
    with explained(), _terminated_like_ctrl_c():
        screen = Console(stderr=True)
        data_set_of(data_set)  # before the libraries of the net are loaded
        with screen.status("loading"):
            from benchmarks.quality.measure import Request, measure
            from benchmarks.quality.view import console_table

            request = Request.of(
                data_set,
                protocol=protocol.value if protocol else None,
                order=order.value,
                seen=tuple(dict.fromkeys(name.value for name in seen or ())),
                seeds=_seeds(seeds),
                models=model,
                variants=variant or [],
                peers=peer or [],
                budget_s=budget_s,
                holdout_days=holdout_days,
                validation_days=validation_days,
                folder=folder,
                device=device,
            )
        # Piped, a table must not be folded to 80 columns.
        out = Console(width=None if Console().is_terminal else 240)
        for table, path in measure(request, data, screen, retry=retry, anew=anew):
            out.print(console_table(table))
            screen.print(f"written: {path}")


@contextmanager
def _terminated_like_ctrl_c() -> Iterator[None]:
    """SIGTERM ends what the command has started, as Ctrl-C does."""

    def stop(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _seeds(text: str) -> tuple[int, ...]:
    try:
        seeds = tuple(dict.fromkeys(int(part) for part in text.replace(",", " ").split()))
    except ValueError:
        seeds = ()
    if not seeds or min(seeds) < 0:
        raise BadInputError(f"--seeds {text!r} are no seeds.", hint="Write them like 0,1,2.")
    return seeds
