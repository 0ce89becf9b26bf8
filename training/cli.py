"""`penchant train`, `refresh` and `models`: the terminal around `train_run.py`, `refresh.py` and the registry."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from graph.storage import registry
from graph.storage.cli_errors import explained
from graph.storage.database import Database
from graph.storage.errors import ConflictError
from graph.storage.settings import Settings
from graph.storage.times import format_time
from training.options import (
    ArtifactsOption,
    DatabaseOption,
    DeviceOption,
    OrderName,
    OrderOption,
    ProtocolName,
    SettingsOption,
)
from training.stages import stages_on

if TYPE_CHECKING:
    from training.promote import Verdict

models_app = typer.Typer(help="Published models: which there are, and which one serves.", no_args_is_help=True)


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
    activate: Annotated[bool, typer.Option(help="Let the model serve if it beats its baselines.")] = True,
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
            with _opened(database) as store:
                trained = train(
                    store,
                    _artifacts(artifacts),
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
                    ),
                    on_progress=stages.net,
                    stage=stages.stage,
                )
        fit = trained.learned.fit
        typer.echo(f"{trained.version} published in {trained.path}")
        typer.echo(
            f"net: best epoch {fit.best_epoch} of {len(fit.epochs)}, {fit.seconds:.0f} s; curves in {trained.curves}"
        )
        left_out = [
            name for name in feature or () if split_name(name)[0] not in trained.learned.model.net.config.features
        ]
        if left_out:
            typer.echo(f"left out, as what goes together is no more alike in it than chance: {', '.join(left_out)}")
        Console().print(_verdict_table(trained.verdict))
        if trained.is_active:
            typer.echo(f"{trained.version} is active." if trained.verdict.passes else f"{trained.version} was forced.")
        elif activate:
            trained.verdict.require()


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

            with _opened(database) as store:
                following, path = refresh(
                    store,
                    _artifacts(artifacts),
                    version=registry.parse_version(version) if version else None,
                    activate=activate,
                    stage=stages.stage,
                    say=stages.say,
                )
        typer.echo(f"{following} published in {path}" + (", it is active." if activate else "."))


@models_app.command("list")
def list_command(database: DatabaseOption = None) -> None:
    """All revisions, oldest first, with what they reached on their validation window."""
    with explained(), _opened(database) as store:
        active = registry.active_revision(store)
        table = Table("version", "active", "events before", "published", "NDCG@10", "best baseline", box=None)
        for revision in registry.revisions(store):
            is_active = active is not None and active.version == revision.version
            figures = [revision.metrics.get(f"validation_ndcg@10{end}") for end in ("", "_best_baseline")]
            table.add_row(
                str(revision.version),
                "yes" if is_active else "",
                format_time(revision.as_of),
                format_time(revision.created_at),
                *("" if figure is None else f"{figure:.4f}" for figure in figures),
            )
        Console().print(table)


@models_app.command("show")
def show_command(
    version: Annotated[str | None, typer.Argument(help="Such as m7.12.", show_default="the active one")] = None,
    database: DatabaseOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """One revision's manifest, every file of it checked."""
    with explained(), _opened(database) as store:
        revision = registry.get_revision(store, registry.parse_version(version)) if version else _active(store)
        from training.artifact import load_artifact

        artifact = load_artifact(_artifacts(artifacts) / revision.path)
        manifest = artifact.manifest
        Console().print_json(manifest.model_dump_json(exclude={"files", "model_files"}))
        size = sum(entry.bytes for entry in (*manifest.files.values(), *manifest.model_files.values()))
        typer.echo(f"{len(manifest.files) + len(manifest.model_files)} files, {size / 1e6:.1f} MB, all as published")


@models_app.command("activate")
def activate_command(
    version: Annotated[str, typer.Argument(help="Such as m7.12.")],
    force: Annotated[bool, typer.Option("--force", help="Even if it lost to a baseline; that is recorded.")] = False,
    reason: Annotated[str | None, typer.Option(help="Kept with the activation.")] = None,
    database: DatabaseOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Let a revision serve. Its files are checked first."""
    with explained(), _opened(database) as store:
        revision = registry.get_revision(store, registry.parse_version(version))
        from training.artifact import load_artifact
        from training.promotion import promote

        load_artifact(_artifacts(artifacts) / revision.path)
        promote(store, revision.version, force=force, reason=reason)
        typer.echo(f"{revision.version} is active.")


@models_app.command("rollback")
def rollback_command(
    reason: Annotated[str | None, typer.Option(help="Kept with the activation.")] = None,
    database: DatabaseOption = None,
) -> None:
    """Go back to what served before; once more goes further back."""
    with explained(), _opened(database) as store:
        typer.echo(f"{registry.rollback(store, reason=reason).version} is active again.")


def _active(store: Database) -> registry.Revision:
    revision = registry.active_revision(store)
    if revision is None:
        raise ConflictError("No model is active yet.", hint="Train one with `penchant train`.")
    return revision


def _verdict_table(verdict: "Verdict") -> Table:
    names = ("ndcg@10", "recall@10", "mrr@10", "coverage@10")
    table = Table(
        "validation window", *names, title="The model and what it has to beat, from the same events", box=None
    )
    for result in verdict.results:
        table.add_row(result.model, *(f"{result.means[name]:.4f}" for name in names))
    return table


def _artifacts(given: Path | None) -> Path:
    return given or Settings().artifacts


@contextmanager
def _opened(url: str | None) -> Iterator[Database]:
    store = Database(url or Settings().database_url)
    try:
        store.require_schema()
        yield store
    finally:
        store.close()
