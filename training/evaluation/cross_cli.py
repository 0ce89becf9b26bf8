"""`penchant cross-validate`: the command line around cross_validate.py; the table to stdout, progress to stderr."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from graph.storage.cli_errors import explained
from graph.storage.database import Database
from graph.storage.settings import Settings
from training.options import (
    AsOfOption,
    BaselineOption,
    DatabaseOption,
    DeviceOption,
    KnownAtOption,
    OrderName,
    OrderOption,
    ProtocolName,
    SeenName,
    SettingsOption,
    chosen_baselines,
    moment,
)
from training.stages import stages_on
from training.wide_console import wide_console

if TYPE_CHECKING:
    from training.evaluation.spread import Spread


def cross_validate_command(
    folds: Annotated[
        int | None, typer.Option(min=2, help="Parts of the users: each is judged by a model learned without it.")
    ] = None,
    origins: Annotated[
        int | None, typer.Option(min=1, help="Test windows in a row: each is judged by a model of what lies before it.")
    ] = None,
    protocol: Annotated[
        ProtocolName, typer.Option(help="--folds: test on the newest days, or on each user's last event.")
    ] = ProtocolName.TIME,
    order: OrderOption = OrderName.PUBLISHED,
    seen: Annotated[
        SeenName | None,
        typer.Option(help="A user's earlier items: candidates or not.", show_default="by whether users come back"),
    ] = None,
    holdout_days: Annotated[float, typer.Option(help="time: days of a test window.")] = 28.0,
    validation_days: Annotated[float, typer.Option(help="time: days before a test that choose epoch and gate.")] = 28.0,
    as_of: AsOfOption = None,
    known_at: KnownAtOption = None,
    baseline: BaselineOption = None,
    settings: SettingsOption = None,
    device: DeviceOption = "auto",
    output: Annotated[
        Path, typer.Option(help="Folder for a JSON and an npz file per fold, summary.json and the page index.html.")
    ] = Path("cross-validation"),
    database: DatabaseOption = None,
) -> None:
    """Learn and judge several models in place of one: how much do the figures depend on who and when?

    Folds over users ask what a model is worth to users whom it has never met; origins over time, whether it holds from
    window to window. No model is published. The same command again goes on where it was interrupted; finished folds
    are not run again.
    """
    with explained():
        moments = {"--as-of": moment("--as-of", as_of), "--known-at": moment("--known-at", known_at)}
        screen = Console(stderr=True)
        with stages_on(screen) as stages:
            stages.stage("loading")
            from training.evaluation.baselines import DEFAULT_BASELINES
            from training.evaluation.cross_validate import Options, cross_validate
            from training.evaluation.page.cross_validation import write_cross_validation
            from training.evaluation.page.write import require_writable
            from training.evaluation.spread import spreads, write_summary
            from training.net_settings import parse_settings

            net = parse_settings(settings or [])
            require_writable(output)
            store = Database(database or Settings().database_url)
            try:
                store.require_schema()
                reports = cross_validate(
                    store,
                    output,
                    Options(
                        folds=folds,
                        origins=origins,
                        protocol=protocol.value,
                        order=order.value,
                        seen=seen.value if seen else None,
                        baselines=chosen_baselines(baseline, DEFAULT_BASELINES),
                        holdout_days=holdout_days,
                        validation_days=validation_days,
                        as_of=moments["--as-of"],
                        known_at=moments["--known-at"],
                        net=net,
                    ),
                    device=device,
                    stage=stages.stage,
                    on_progress=stages.net,
                )
            finally:
                store.close()
            stages.stage("page")
            page = write_cross_validation(reports, output)
            written = write_summary(reports, output)
        out = wide_console()
        out.print(_table(spreads(reports), len(reports)))
        screen.print(f"written: {written}")
        screen.print(f"page: {page}")


def _table(found: "Mapping[tuple[str, str], Mapping[str, Spread]]", folds: int) -> Table:
    names = ("recall@10", "ndcg@10", "mrr@10", "coverage@10", "new_hits@10")
    table = Table(title=f"Mean over {folds} ± standard deviation between them")
    table.add_column("model")
    for name in names:
        table.add_column(name, justify="right")
    for column in dict.fromkeys(column for column, _ in found):
        table.add_row(f"[italic]{column}[/]")
        for (at, model), figures in found.items():
            if at == column:
                table.add_row(f"  {model}", *(_cell(figures[name]) for name in names))
        table.add_section()
    return table


def _cell(figures: "Spread") -> str:
    sd = f" ± {figures.sd:.4f}" if math.isfinite(figures.sd) else ""
    return f"{figures.mean:.4f}{sd}" if math.isfinite(figures.mean) else "–"
