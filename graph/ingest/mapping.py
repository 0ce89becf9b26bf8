"""The mapping file: which column of a source is what, as TOML, checked before a single row is read.

A mapping describes up to four tables, each with its file and format:

    source = "my-shop"              # part of the ids of events that bring none, so keep it

    [categories]                    # a tree given as ids with a parent column
    [items]  [[items.categories]]   # the catalog; several entries, each puts an item into categories
    [users]
    [events]
"""

import codecs
import re
import tomllib
from abc import abstractmethod
from pathlib import Path
from typing import Annotated, Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from graph.ingest.sources import STANDARD_INPUT
from graph.storage.errors import BadInputError, NotFoundError

FileFormat = Literal["csv", "tsv", "jsonl", "parquet"]
TableName = Literal["categories", "items", "users", "events"]
TABLES: tuple[TableName, ...] = get_args(TableName)
"""In the order in which they are loaded: whatever is named by another comes first."""

SUFFIXES: dict[str, FileFormat] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
TIME_FORMATS = ("unix_seconds", "unix_millis", "unix_micros", "iso")
_PLACEHOLDER = re.compile(r"\{([^{}]+)\}")


def template_columns(template: str) -> list[str]:
    """The columns that a text such as `{product_type|department} {size}` names; without braces it is one itself."""
    choices = _PLACEHOLDER.findall(template)
    return [column for choice in choices for column in choice.split("|")] or [template]


def template_pieces(template: str) -> list[tuple[str, list[str]]]:
    """Literal text before each placeholder, and its columns: the first that is not empty counts. The last has none."""
    parts = [*_PLACEHOLDER.split(template), ""]
    return [(parts[i], parts[i + 1].split("|") if parts[i + 1] else []) for i in range(0, len(parts), 2)]


def is_template(text: str) -> bool:
    return _PLACEHOLDER.search(text) is not None


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"no time zone is called {name!r}; write e.g. 'UTC' or 'Europe/Berlin'") from None
    return name


def _known_encoding(name: str) -> str:
    try:
        return codecs.lookup(name).name
    except LookupError:
        raise ValueError(f"no encoding is called {name!r}; write e.g. 'utf-8' or 'cp1252'") from None


def _known_time_format(text: str) -> str:
    if text not in TIME_FORMATS and "%" not in text:
        raise ValueError(f"{text!r} is neither one of {', '.join(TIME_FORMATS)} nor a pattern such as '%d.%m.%Y %H:%M'")
    return text


def _named(columns: object) -> object:
    return {name: name for name in columns} if isinstance(columns, list) else columns


Columns = Annotated[dict[str, str], BeforeValidator(_named)]
"""Columns kept as JSON: our name = the source's column. A list in the file keeps the source's names."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Time(_Strict):
    """A column of times. Parquet's own time columns need no format. `zone` is for times that carry none."""

    column: str
    format: Annotated[str, AfterValidator(_known_time_format)] = "iso"
    zone: Annotated[str, AfterValidator(_known_zone)] = "UTC"


class Kind(_Strict):
    """A column of event kinds; with `values`, a translation of the source's words, all others are refused."""

    column: str
    values: dict[str, str] | None = None


class ItemCategories(_Strict):
    """One way of reading an item's categories; exactly one of `columns`, `column` and `ids` is given.

    columns    several columns, a path from the root down; it stops at the first empty one. A step may be a template
               such as "Maker {maker_id}", empty where all of its columns are
    column     one text column: `separator` between values, `path_separator` between the steps of a value's path
    ids        one column with ids of the table [categories], `separator` between them
    root       a node above everything that this entry creates, e.g. "Manufacturer"
    """

    columns: list[str] | None = Field(None, min_length=1)
    column: str | None = None
    ids: str | None = None
    separator: str | None = Field(None, min_length=1)
    path_separator: str | None = Field(None, min_length=1)
    root: str | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _one_form(self) -> "ItemCategories":
        if sum(form is not None for form in (self.columns, self.column, self.ids)) != 1:
            raise ValueError("give exactly one of columns, column and ids")
        if self.columns is not None and (self.separator or self.path_separator):
            raise ValueError("separator and path_separator belong to column, not to columns")
        if self.ids is not None and (self.root or self.path_separator):
            raise ValueError("root and path_separator do not go with ids; give the tree in [categories]")
        return self

    def sources(self) -> list[str]:
        """The source's columns that it reads."""
        steps = [column for step in self.columns or () for column in template_columns(step)]
        return steps or _given(self.column or self.ids)


class TableMapping(_Strict):
    """Where a table's rows come from. What is left out follows from the file's name and format."""

    file: Path | None = None
    format: FileFormat | None = None
    delimiter: str | None = Field(None, min_length=1, max_length=1)
    quoting: Literal["standard", "none"] | None = None
    encoding: Annotated[str, AfterValidator(_known_encoding)] = "utf-8"
    header: bool = True
    columns: list[str] | None = Field(None, min_length=1, description="names of the columns of a file without header")

    @model_validator(mode="after")
    def _header_or_names(self) -> "TableMapping":
        if self.header == (self.columns is not None):
            raise ValueError("name the columns when header = false, and only then")
        return self

    @abstractmethod
    def required(self) -> list[str]:
        """Columns without which the file is not what the mapping says."""

    @abstractmethod
    def optional(self) -> list[str]:
        """Columns in which a row may have nothing."""


class Categories(TableMapping):
    id: str
    name: str | None = None
    parent: str | None = None
    root: str | None = Field(None, description="a node above all rows without a parent; may be a template, e.g. {kind}")
    valid_from: Time | None = None

    def required(self) -> list[str]:
        return [self.id]

    def optional(self) -> list[str]:
        named = template_columns(self.name) if self.name else []
        roots = template_columns(self.root) if self.root and is_template(self.root) else []
        return [*named, *roots, *_given(self.parent), *_given(self.valid_from)]


class Items(TableMapping):
    id: str
    name: str | None = None
    attributes: Columns = Field(default_factory=dict)
    available: str | None = None
    valid_from: Time | None = None
    categories: list[ItemCategories] = Field(default_factory=list)

    def required(self) -> list[str]:
        return [self.id]

    def optional(self) -> list[str]:
        named = template_columns(self.name) if self.name else []
        paths = [c for entry in self.categories for c in entry.sources()]
        times = _given(self.valid_from)
        return [*named, *self.attributes.values(), *_given(self.available), *times, *paths]


class Users(TableMapping):
    id: str
    attributes: Columns = Field(default_factory=dict)

    def required(self) -> list[str]:
        return [self.id]

    def optional(self) -> list[str]:
        return list(self.attributes.values())


class Events(TableMapping):
    user: str
    item: str
    kind: str | Kind = Field(description='a constant such as "purchase", or a column')
    occurred_at: Time
    recorded_at: Time | None = None
    event_id: str | None = None
    value: str | None = None
    session: str | None = None
    sequence: str | None = None
    context: Columns = Field(default_factory=dict)
    retracts: str | None = None
    unknown_items: Literal["reject", "create"] = "reject"

    def required(self) -> list[str]:
        kind = [self.kind.column] if isinstance(self.kind, Kind) else []
        return [self.user, self.item, *kind, self.occurred_at.column, *_given(self.event_id)]

    def optional(self) -> list[str]:
        plain = [c for c in (self.value, self.session, self.sequence, self.retracts) if c is not None]
        return [*plain, *_given(self.recorded_at), *self.context.values()]


class Mapping(_Strict):
    source: str = Field(min_length=1, description="name of the source; part of the ids of events that bring none")
    categories: Categories | None = None
    items: Items | None = None
    users: Users | None = None
    events: Events | None = None

    def table(self, name: TableName) -> TableMapping | None:
        table: TableMapping | None = getattr(self, name)
        return table

    def tables(self) -> list[TableName]:
        return [name for name in TABLES if self.table(name) is not None]

    def files(self, base: Path) -> dict[TableName, Path]:
        """The file, glob or `-` (standard input) that it names for a table, below `base`."""
        named = {name: table.file for name in TABLES if (table := self.table(name)) is not None}
        return {
            name: file if file == STANDARD_INPUT else base / file for name, file in named.items() if file is not None
        }


def load_mapping(path: Path) -> Mapping:
    """Read a mapping file. Raises NotFoundError, or BadInputError naming the first thing that is wrong with it."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotFoundError(f"There is no mapping file {path}.", hint="Examples are in examples/.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(f"The mapping file {path} cannot be read: {error}.") from error
    try:
        mapping = Mapping.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise BadInputError(f"The mapping file {path} is not valid TOML: {error}.") from error
    except ValidationError as error:
        raise BadInputError(f"The mapping file {path} cannot be used: {_first(error)}.") from error
    if not mapping.tables():
        raise BadInputError(f"The mapping file {path} describes no table.", hint="Add [items], [users] or [events].")
    return mapping


def _first(error: ValidationError) -> str:
    problems = error.errors()
    first = problems[0]
    where = ".".join(str(part) for part in first["loc"]) or "the file"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{where}: {first['msg'].removeprefix('Value error, ')}{more}"


def _given(column: str | Time | None) -> list[str]:
    if isinstance(column, Time):
        return [column.column]
    return [column] if column else []
