"""`penchant train` and `refresh`: the terminal around `train_run.py` and `refresh.py`."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from graph.storage import registry
from graph.storage.cli_errors import explained
from training.options import (
    ArtifactsOption,
    DatabaseOption,
    DeviceOption,
    GateOption,
    OrderName,
    OrderOption,
    ProtocolName,
    SettingsOption,
    artifacts_in,
    opened,
)
from training.promotion_view import end_if_refused, print_gate
from training.stages import stages_on

if TYPE_CHECKING:
    from training.promote import Verdict


def train_command(
    holdout_days: Annotated[
        float, typer.Option(help="Days at the end that stay untouched, for `penchant evaluate`.")
    ] = 28.0,
    validation_days: Annotated[float, typer.Option(help="Days before those that choose epoch and gate.")] = 28.0,
    protocol: Annotated[
        ProtocolName, typer.Option(help="Hold out the newest time, or each user's last events.")
    ] = ProtocolName.TIME,
    order: OrderOption = OrderName.PUBLISHED,
    dim: Annotated[int | None, typer.Option(help="Width of the vectors.", show_default="from the data's size")] = None,
    epochs: Annotated[int | None, typer.Option(help="At most so many.", show_default="from the data's size")] = None,
    graph_encoder: Annotated[
        str | None, typer.Option(help="attention, directed, lightgcn or none.", show_default="from the data's size")
    ] = None,
    sequence_encoder: Annotated[str | None, typer.Option(help="transformer, gru, lstm, cnn or mean.")] = None,
    feature: Annotated[
        list[str] | None,
        typer.Option(
            help="An attribute of the items to learn from (several times): a number, label, text or vector, as its "
            "values are; NAME:text insists. `name` is the item's name. What tells nothing is left out."
        ),
    ] = None,
    feature_scaling: Annotated[
        str, typer.Option(help="standard or min_max, fitted on the training window.")
    ] = "standard",
    settings: SettingsOption = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same model on a CPU.")] = 0,
    device: DeviceOption = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an interrupted run stopped.")] = False,
    activate: Annotated[bool, typer.Option(help="Let the model serve if it passes the gate.")] = True,
    gate: GateOption = None,
    force: Annotated[bool, typer.Option("--force", help="Let it serve even if it does not; that is recorded.")] = False,
    database: DatabaseOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Learn a model from the store and publish its first revision.

    Exit codes: 0 published (and active, unless --no-activate), 1 published but refused, 2 it could not be trained.
    """
    with explained():
        screen = Console(stderr=True)
        with stages_on(screen) as stages:
            stages.stage("loading")
            from graph.features.values import split_name
            from training.net_settings import parse_settings
            from training.promotion_gate import parse_thresholds
            from training.train_run import Options, train

            changes = {
                "dim": dim,
                "epochs": epochs,
                "graph_encoder": graph_encoder,
                "sequence_encoder": sequence_encoder,
                "features": tuple(feature) if feature else None,
                "feature_scaling": feature_scaling,
                "seed": seed,
            }
            thresholds = parse_thresholds(gate or [])
            with opened(database) as store:
                trained = train(
                    store,
                    artifacts_in(artifacts),
                    Options(
                        protocol=protocol.value,
                        order=order.value,
                        holdout_days=holdout_days,
                        validation_days=validation_days,
                        net={name: value for name, value in changes.items() if value is not None}
                        | parse_settings(settings or []),
                        device=device,
                        resume=resume,
                        activate=activate,
                        force=force,
                        thresholds=thresholds,
                    ),
                    on_progress=stages.net,
                    stage=stages.stage,
                )
        fit = trained.learned.fit
        typer.echo(f"{trained.version} published in {trained.path}")
        typer.echo(
            f"net: best epoch {fit.best_epoch} of {len(fit.epochs)}, {fit.seconds:.0f} s; curves in {trained.curves}"
        )
        if trained.alignment is not None:
            typer.echo(str(trained.alignment))
        left_out = [
            name for name in feature or () if split_name(name)[0] not in trained.learned.model.net.config.features
        ]
        if left_out:
            typer.echo(f"left out, as what goes together is no more alike in it than chance: {', '.join(left_out)}")
        Console().print(_verdict_table(trained.verdict))
        print_gate(trained.gate)
        if trained.is_active:
            typer.echo(f"{trained.version} is active." if trained.gate.passes else f"{trained.version} was forced.")
        elif activate:
            end_if_refused(trained.gate)


def refresh_command(
    version: Annotated[str | None, typer.Option(help="Start from this revision.", show_default="the active")] = None,
    activate: Annotated[bool, typer.Option(help="Let the new revision serve.")] = True,
    database: DatabaseOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Publish the model's next revision: the same weights over the newest events, without training."""
    with explained():
        with stages_on(Console(stderr=True)) as stages:
            stages.stage("loading")
            from training.refresh import refresh

            with opened(database) as store:
                found = refresh(
                    store,
                    artifacts_in(artifacts),
                    version=registry.parse_version(version) if version else None,
                    activate=activate,
                    stage=stages.stage,
                    say=stages.say,
                )
        typer.echo(f"{found.version} published in {found.path}" + (", it is active." if found.is_active else "."))
        if found.gate is not None and not found.is_active:
            print_gate(found.gate)
            end_if_refused(found.gate)


def _verdict_table(verdict: "Verdict") -> Table:
    names = ("ndcg@10", "recall@10", "mrr@10", "coverage@10")
    table = Table(
        "validation window", *names, title="The model and what it has to beat, from the same events", box=None
    )
    for result in verdict.results:
        table.add_row(result.model, *(f"{result.means[name]:.4f}" for name in names))
    return table
