"""`penchant models`: which there are, what the gate says of them, which one serves, and whom a label takes."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from graph.storage import registry
from graph.storage.cli_errors import explained
from graph.storage.database import Database
from graph.storage.errors import BadInputError, ConflictError
from graph.storage.labels import labels, remove_label, set_label
from graph.storage.times import format_time
from training.options import ArtifactsOption, DatabaseOption, GateOption, artifacts_in, opened
from training.promotion import judge_recorded, promote
from training.promotion_gate import Gate, parse_thresholds
from training.promotion_view import end_if_refused, print_gate
from training.wide_console import wide_console

models_app = typer.Typer(help="Published models: which there are, and which one serves.", no_args_is_help=True)


@models_app.command("list")
def list_command(database: DatabaseOption = None) -> None:
    """All revisions, oldest first, with what they reached on their validation window."""
    with explained(), opened(database) as store:
        active, named = registry.active_revision(store), labels(store)
        table = Table("version", "active", "labels", "events before", "published", "NDCG@10", "best baseline", box=None)
        for revision in registry.revisions(store):
            is_active = active is not None and active.version == revision.version
            figures = [revision.metrics.get(f"validation_ndcg@10{end}") for end in ("", "_best_baseline")]
            table.add_row(
                str(revision.version),
                "yes" if is_active else "",
                ", ".join(f"{each.name} {each.share:.3%}" for each in named if each.version == revision.version),
                format_time(revision.as_of),
                format_time(revision.created_at),
                *("" if figure is None else f"{figure:.4f}" for figure in figures),
            )
        wide_console().print(table)


@models_app.command("show")
def show_command(
    version: Annotated[str | None, typer.Argument(help="Such as m7.12.", show_default="the active one")] = None,
    database: DatabaseOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """One revision's manifest, every file of it checked, and what the gate said when it was last activated."""
    with explained(), opened(database) as store:
        revision = registry.get_revision(store, registry.parse_version(version)) if version else _active(store)
        from training.artifact import load_artifact

        artifact = load_artifact(artifacts_in(artifacts) / revision.path)
        manifest = artifact.manifest
        Console().print_json(manifest.model_dump_json(exclude={"files", "model_files"}))
        size = sum(entry.bytes for entry in (*manifest.files.values(), *manifest.model_files.values()))
        typer.echo(f"{len(manifest.files) + len(manifest.model_files)} files, {size / 1e6:.1f} MB, all as published")
        of_it = [each for each in registry.activations(store) if each.version == revision.version and each.gate]
        if of_it:
            last = of_it[-1]
            when = format_time(last.activated_at) + (", forced" if last.forced else "")
            print_gate(Gate.read(str(revision.version), last.gate), when)


@models_app.command("gate")
def gate_command(
    version: Annotated[str, typer.Argument(help="Such as m7.12.")],
    gate: GateOption = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Ask it and the active model again about its validation window first.")
    ] = False,
    database: DatabaseOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Would a revision be let through now? Nothing is activated.

    Exit codes: 0 it passes, 1 it does not.
    """
    with explained(), opened(database) as store:
        asked = registry.parse_version(version)
        thresholds = parse_thresholds(gate or [])
        if measure:
            from training.measure import measure as measured

            measured(store, artifacts_in(artifacts), asked)
        found = judge_recorded(store, asked, thresholds)
        print_gate(found)
        end_if_refused(found)


@models_app.command("activate")
def activate_command(
    version: Annotated[str, typer.Argument(help="Such as m7.12.")],
    force: Annotated[bool, typer.Option("--force", help="Even if the gate refuses it; that is recorded.")] = False,
    gate: GateOption = None,
    reason: Annotated[str | None, typer.Option(help="Kept with the activation.")] = None,
    database: DatabaseOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Let a revision serve if it passes the gate. Its files are checked first."""
    with explained(), opened(database) as store:
        revision = registry.get_revision(store, registry.parse_version(version))
        from training.artifact import load_artifact

        load_artifact(artifacts_in(artifacts) / revision.path)
        thresholds = parse_thresholds(gate or [])
        print_gate(promote(store, revision.version, thresholds=thresholds, force=force, reason=reason))
        typer.echo(f"{revision.version} is active.")


@models_app.command("rollback")
def rollback_command(
    reason: Annotated[str | None, typer.Option(help="Kept with the activation.")] = None,
    database: DatabaseOption = None,
) -> None:
    """Go back to what served before; once more goes further back."""
    with explained(), opened(database) as store:
        typer.echo(f"{registry.rollback(store, reason=reason).version} is active again.")


@models_app.command("label")
def label_command(
    name: Annotated[str, typer.Argument(help="Such as canary.")],
    version: Annotated[str | None, typer.Argument(help="Such as m7.12.", show_default=False)] = None,
    share: Annotated[float, typer.Option(help="Of the users, who are answered by it: 0.05 is one of twenty.")] = 0.0,
    remove: Annotated[bool, typer.Option("--remove", help="Its users are answered by what is active again.")] = False,
    database: DatabaseOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Name a revision, and let a share of the users be answered by it. Its files are checked first.

    The gate is not asked: a label is how a revision is tried before it may serve all.
    """
    with explained(), opened(database) as store:
        if remove:
            typer.echo(f"{name} is removed." if remove_label(store, name) else f"There is no label {name}.")
            return
        if version is None:
            raise BadInputError(f"Which revision is {name}?", hint=f"penchant models label {name} m7.12 --share 0.05")
        revision = registry.get_revision(store, registry.parse_version(version))
        from training.artifact import load_artifact

        load_artifact(artifacts_in(artifacts) / revision.path)
        found = set_label(store, name, revision.version, share=share)
        typer.echo(f"{found.name} is {found.version}, for {found.share:.3%} of the users.")


def _active(store: Database) -> registry.Revision:
    revision = registry.active_revision(store)
    if revision is None:
        raise ConflictError("No model is active yet.", hint="Train one with `penchant train`.")
    return revision
