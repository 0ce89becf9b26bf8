"""Numbers missing or far out: an outlying value counts as missing; what is missing is filled, or its row goes.

Statistics are those of the file's own usable rows, of each event kind by itself: a rating has nothing to do with the
price of a purchase. They are found on a first reading, which keeps 8 bytes a row of each field.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
import polars as pl

from graph.arrays import Float64s
from graph.ingest.expressions import number, text

Missing = Literal["drop", "mean", "median", "mode"]
Method = Literal["zscore", "iqr"]
MISSING: tuple[Missing, ...] = get_args(Missing)
METHODS: dict[Method, float] = {"zscore": 3.0, "iqr": 1.5}
"""Each method with its usual limit: |x - mean| > 3 σ; outside [Q1 - 1.5 IQR, Q3 + 1.5 IQR] (Tukey)."""


@dataclass(frozen=True)
class Outliers:
    method: Method
    limit: float


@dataclass(frozen=True)
class FieldRule:
    """What is to be done with a numeric field; `column` is its name in the rows that are given."""

    name: str
    column: str
    missing: Missing | None = None
    outliers: Outliers | None = None


@dataclass(frozen=True)
class Fitted:
    """One field in one group: values outside [low, high] count as missing, which `fill` replaces (None: it stays)."""

    low: float
    high: float
    fill: float | None


def fit(values: Float64s, rule: FieldRule) -> Fitted:
    """values: float64 `[n]`, finite. The filling value is that of the values that are no outliers."""
    low, high = -np.inf, np.inf
    if rule.outliers is not None and len(values):
        if rule.outliers.method == "zscore":
            centre, reach = float(values.mean()), rule.outliers.limit * float(values.std())
            low, high = centre - reach, centre + reach
        else:
            first, third = np.quantile(values, (0.25, 0.75))
            reach = rule.outliers.limit * float(third - first)
            low, high = float(first) - reach, float(third) + reach
    inside = values[(values >= low) & (values <= high)]
    fill = None
    if len(inside) and rule.missing == "mean":
        fill = float(inside.mean())
    elif len(inside) and rule.missing == "median":
        fill = float(np.median(inside))
    elif len(inside) and rule.missing == "mode":
        found, count = np.unique(inside, return_counts=True)
        fill = float(found[count.argmax()])  # of several the smallest
    return Fitted(low, high, fill)


@dataclass
class NumericFields:
    """The rules of one table, fitted on its rows.

    `group`: an expression over them, null for a single group; `spared`: rows that are neither looked at nor changed.
    """

    rules: list[FieldRule]
    group: pl.Expr = field(default_factory=lambda: pl.lit(None, pl.String))
    spared: pl.Expr = field(default_factory=lambda: pl.lit(value=False))
    counts: Counter[str] = field(default_factory=Counter)
    """What was done, in words, over all batches."""
    dropped: int = 0
    _fitted: dict[str, dict[str | None, Fitted]] = field(default_factory=dict)

    def fit(self, batches: Iterable[pl.DataFrame]) -> None:
        """From the usable rows of the whole file."""
        seen: dict[str, dict[str | None, list[Float64s]]] = {rule.name: {} for rule in self.rules}
        for rows in batches:
            for rule in self.rules:
                pairs = rows.filter(~self.spared).select(group=self.group, value=number(rows, rule.column))
                finite = pairs.filter(pl.col("value").is_finite())
                for (group,), part in finite.group_by("group"):
                    seen[rule.name].setdefault(group, []).append(part["value"].to_numpy())
        self._fitted = {
            rule.name: {group: fit(np.concatenate(parts), rule) for group, parts in seen[rule.name].items()}
            for rule in self.rules
        }

    def start_over(self) -> None:
        """The rows come once more: nothing was done so far."""
        self.counts, self.dropped = Counter(), 0

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with their numbers cleaned; those that are to be dropped are gone."""
        for rule in self.rules:
            rows = self._apply(rows, rule)
        return rows

    def _apply(self, rows: pl.DataFrame, rule: FieldRule) -> pl.DataFrame:
        if rule.column not in rows.columns:
            return rows
        fitted = self._fitted[rule.name]
        table = pl.DataFrame(
            [(group, one.low, one.high, one.fill) for group, one in fitted.items()],
            schema={"group": pl.String, "low": pl.Float64, "high": pl.Float64, "fill": pl.Float64},
            orient="row",
        )
        looked_at = {"group": self.group.cast(pl.String), "value": number(rows, rule.column), "spared": self.spared}
        known = rows.select(**looked_at).join(table, on="group", how="left", nulls_equal=True, maintain_order="left")
        value, usable = known["value"], ~known["spared"]
        # What is no finite number is neither far nor missing: it is wrong, and rejected with its reason.
        far = value.is_finite() & ((value < known["low"]) | (value > known["high"]))
        far = usable & far.fill_null(value=False)
        missing = far | usable & value.is_null()
        self._note(far, f"values of {rule.name} far out ({_said(rule.outliers)}) emptied")
        if rule.missing == "drop":
            self._note(missing, f"rows dropped for want of {rule.name}")
            self.dropped += int(missing.sum())
            return rows.filter(~missing)
        filled = missing & known["fill"].is_not_null()
        self._note(filled, f"missing values of {rule.name} filled with the {rule.missing}")
        if not missing.any():
            return rows
        is_text = rows.schema[rule.column] == pl.String
        kept = rows[rule.column] if is_text else rows[rule.column].cast(pl.Float64)
        fill = known.select(text(known, "fill")).to_series() if is_text else known["fill"]
        cleaned = pl.select(pl.when(missing).then(fill).otherwise(kept)).to_series()
        return rows.with_columns(cleaned.alias(rule.column))

    def _note(self, which: pl.Series, what: str) -> None:
        if count := int(which.sum()):
            self.counts[what] += count


def _said(outliers: Outliers | None) -> str:
    return f"{outliers.method} {outliers.limit:g}" if outliers else ""
