"""What the command lines of learning and judging have in common: names, and options that mean the same."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from graph.storage.database import Database
from graph.storage.errors import BadInputError
from graph.storage.settings import Settings
from graph.storage.times import parse_time


class ProtocolName(StrEnum):
    TIME = "time"
    LEAVE_ONE_OUT = "leave-one-out"


class OrderName(StrEnum):
    PUBLISHED = "published"
    SHUFFLED = "shuffled"


class SeenName(StrEnum):
    INCLUDE = "include"
    EXCLUDE = "exclude"


OrderOption = Annotated[
    OrderName, typer.Option("--order", help="leave-one-out: the source's order, or items of one day shuffled first.")
]
AsOfOption = Annotated[
    str | None,
    typer.Option("--as-of", help="Events before this time; no zone means UTC.", show_default="after the newest"),
]
KnownAtOption = Annotated[
    str | None, typer.Option("--known-at", help="Only what was known by then.", show_default="now")
]
BaselineOption = Annotated[
    list[str] | None,
    typer.Option(
        "--baseline",
        help="Only this baseline, or `none`; may be given several times.",
        show_default="all but two-way-rules",
    ),
]
SettingsOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="A setting of the net, e.g. loss=bpr; several times."),
]
GateOption = Annotated[
    list[str] | None,
    typer.Option(
        "--gate",
        metavar="NAME=VALUE",
        help="A threshold of the gate, e.g. ndcg_of_active=1; several times.",
    ),
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
DatabaseOption = Annotated[
    str | None, typer.Option("--database", help="URL of the store.", show_default="PENCHANT_DATABASE_URL")
]
ArtifactsOption = Annotated[
    Path | None, typer.Option("--artifacts", help="Folder of the models.", show_default="artifacts")
]


def moment(option: str, text: str | None) -> int | None:
    """Microseconds. Raises BadInputError."""
    try:
        return None if text is None else parse_time(text)
    except ValueError as error:
        raise BadInputError(f"{option} {text}: {error}.", hint="Write it like 2026-01-31T12:00:00Z.") from error


def chosen_baselines(given: Sequence[str] | None, default: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in given if name != "none") if given else default


def artifacts_in(given: Path | None) -> Path:
    """The folder of the models."""
    return given or Settings().artifacts


@contextmanager
def opened(url: str | None) -> Iterator[Database]:
    """The store, checked for its schema. Raises SchemaError."""
    store = Database(url or Settings().database_url)
    try:
        store.require_schema()
        yield store
    finally:
        store.close()
