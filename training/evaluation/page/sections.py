"""What a page is made of: sections of facts, tables, pictures and words. All of it is text until it is rendered."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Picture:
    """`draw` writes the PNG; `alt` says in words what it shows; `width` is a share of the page's, per cent."""

    file: str
    alt: str
    draw: Callable[[Path], None]
    width: int = 100


@dataclass(frozen=True)
class Row:
    """Cells of one line; `best` are the places of those that nobody in the table has better."""

    cells: Sequence[str]
    best: frozenset[int] = frozenset()
    ours: bool = False


@dataclass(frozen=True)
class Table:
    """The first `names` columns are names, all others numbers."""

    head: Sequence[str]
    rows: Sequence[Row]
    caption: str = ""
    names: int = 1


@dataclass(frozen=True)
class Section:
    """`facts`: name and value, in order. `fold`: title and text of what only some want to read."""

    title: str
    text: Sequence[str] = ()
    facts: Sequence[tuple[str, str]] = ()
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()
    fold: tuple[str, str] | None = None


@dataclass(frozen=True)
class Page:
    """`lead` is the answer in one sentence."""

    title: str
    subtitle: str
    lead: str
    sections: Sequence[Section] = field(default_factory=tuple)
