"""`penchant db kinds`: what each kind of event says, shown and set."""

import math
from dataclasses import replace
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from graph.storage.database import Database
from graph.storage.errors import BadInputError
from graph.storage.kinds import EventKind, load_kinds, upsert_kinds

NONE = "none"

Name = Annotated[str | None, typer.Argument(help="The kind to change or to add; without it all are shown.")]
Weight = Annotated[float | None, typer.Option(help="How much one event says, a purchase being 1; at least 0.")]
Sign = Annotated[int | None, typer.Option(help="1: speaks for the item, -1: against it, 0: says nothing.")]
HalfLife = Annotated[str | None, typer.Option(help="Days after which it says half as much; none: for ever.")]
Middle = Annotated[
    str | None, typer.Option(help="The value that says nothing (3 of 1 … 5 stars): weight counts per point above it.")
]


def show_or_set(
    store: Database, name: str | None, weight: float | None, sign: int | None, half_life: str | None, middle: str | None
) -> None:
    """Raises BadInputError."""
    store.require_schema()
    given = (weight, sign, half_life, middle)
    if name is not None:
        known = {kind.name: kind for kind in load_kinds(store)}
        kind = known.get(name, EventKind(0, name, 1.0, 1, None))
        kind = replace(
            kind,
            weight=kind.weight if weight is None else weight,
            sign=kind.sign if sign is None else sign,
            half_life_days=kind.half_life_days if half_life is None else _number(half_life, "--half-life-days"),
            middle=kind.middle if middle is None else _number(middle, "--middle"),
        )
        if name not in known and not any(value is not None for value in given):
            raise BadInputError(f"There is no event kind {name!r}.", hint="Give --weight or --sign to add it.")
        upsert_kinds(store, [kind])
    elif any(value is not None for value in given):
        raise BadInputError("Which kind is to change?", hint="Name it: penchant db kinds rating --middle 3")
    table = Table("kind", "weight", "sign", "half-life, days", "middle")
    for kind in load_kinds(store):
        if name in (None, kind.name):
            fades, middle_of = ("–" if value is None else f"{value:g}" for value in (kind.half_life_days, kind.middle))
            table.add_row(kind.name, f"{kind.weight:g}", f"{kind.sign:+d}" if kind.sign else "0", fades, middle_of)
    Console().print(table)


def _number(text: str, option: str) -> float | None:
    if text.strip().lower() == NONE:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise BadInputError(f"{option} {text!r} is no number.", hint=f"Give a number, or {NONE}.", field=option)
    return number
