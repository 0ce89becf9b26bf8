"""What is asked of a made-up shop: its sizes, its seed and its dirt, checked before a single row is made."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from graph.storage.errors import BadInputError
from graph.storage.times import parse_time
from graph.synth.dirt_kinds import DIRT, FileFormat, kinds_of

START_US = parse_time("2020-01-01")
"""The first moment of every made-up shop; fixed, so that the same options give the same bytes on any day."""
MOST_DAYS = 1461
"""Until the end of 2023: a store refuses what lies in the future."""
BLOCK = 131_072
"""Events made at a time. Each block has its own stretch of time and its own chance; another size is another shop."""
MOST_DIRTY = 0.5
"""Of all events; beyond it nobody would take the files for a shop's."""

__all__ = ["FileFormat", "Options", "parse_dirt"]


@dataclass(frozen=True)
class Options:
    """Raises BadInputError, naming the option, for what makes no shop."""

    users: int = 10_000
    items: int = 2_000
    categories: int = 200
    events: int = 1_000_000
    days: int = 365
    segments: int = 6
    seed: int = 0
    format: Literal["csv", "parquet"] = "csv"
    dirt: Mapping[str, float] = field(default_factory=dict)  # kind -> dirty rows per good row

    def __post_init__(self) -> None:
        for name in ("users", "items", "categories", "events", "days", "segments"):
            if getattr(self, name) < 1:
                raise BadInputError(f"--{name} {getattr(self, name)}: a shop has at least one.", field=name)
        if self.seed < 0:
            raise BadInputError(f"--seed {self.seed} is negative.", hint="Give a number of at least 0.", field="seed")
        if self.days > MOST_DAYS:
            hint = f"Time begins at 2020-01-01; give at most {MOST_DAYS}."
            raise BadInputError(f"--days {self.days} would reach into the future.", hint=hint, field="days")
        if self.categories < 2 * self.segments:
            hint = "Each segment prefers two top categories of its own: ask for fewer segments or more categories."
            raise BadInputError(
                f"{self.categories} categories are too few for {self.segments} segments.", hint=hint, field="categories"
            )
        if self.items < self.categories:
            hint = "Every category at the end of a branch holds an item: ask for more items or fewer categories."
            raise BadInputError(
                f"{self.items} items are too few for {self.categories} categories.", hint=hint, field="items"
            )
        if sum(self.dirt.values()) > MOST_DIRTY:
            raise BadInputError(
                f"--dirt adds up to {sum(self.dirt.values()):.2f} dirty rows per good one.",
                hint=f"Ask for at most {MOST_DIRTY}.",
                field="dirt",
            )

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "dirt": dict(self.dirt)}


def parse_dirt(texts: Sequence[str], file_format: FileFormat) -> dict[str, float]:
    """`["0.01"]`, shared out among all kinds that the format can hold, or `["nan=0.001", "missing=0.02"]`.

    Raises BadInputError for an unknown kind and for what is no share.
    """
    possible = kinds_of(file_format)
    shares: dict[str, float] = {}
    for text in texts:
        kind, _, number = text.rpartition("=")
        try:
            share = float(number)
        except ValueError:
            share = -1.0
        if not 0 <= share <= 1:
            hint = "Write --dirt 0.01 for all kinds together, or --dirt nan=0.001 for one."
            raise BadInputError(f"--dirt {text!r} names no share between 0 and 1.", hint=hint, field="dirt")
        if kind and kind not in possible:
            known = f"--format {file_format} knows {', '.join(possible)}."
            reason = f"{kind!r} cannot be in a {file_format} file" if kind in DIRT else f"there is no dirt {kind!r}"
            raise BadInputError(f"--dirt {text!r}: {reason}.", hint=known, field="dirt")
        for name in [kind] if kind else possible:
            shares[name] = share if kind else share / len(possible)
    return {name: share for name, share in shares.items() if share > 0}
