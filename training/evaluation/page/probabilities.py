"""The section on probabilities: do they hold, and what is a yes or no at a threshold worth."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from training.evaluation.page.probability_pictures import BAND, draw_probabilities
from training.evaluation.page.sections import Picture, Row, Section, Table
from training.evaluation.page.style import percent
from training.evaluation.probabilities import ProbabilityQuality

TEXT = (
    "Pairs of a user and an item. Reliability: bins of equally many pairs, what was foretold beside what happened, "
    f"with 95 % intervals of a bootstrap over users; in the band, observed over expected lies from {BAND[0]} to "
    f"{BAND[1]}. Losses stand beside those of the base rate, which says the same to all. The threshold was chosen on "
    "other data, for the highest F1."
)


def probability_sections(probabilities: Mapping[str, ProbabilityQuality]) -> Iterator[Section]:
    """A section for each thing foretold, named by the key; the keys may hold names from the data."""
    for place, (name, quality) in enumerate(probabilities.items(), 1):

        def draw(path: Path, quality: ProbabilityQuality = quality) -> None:
            draw_probabilities(quality, path)

        picture = Picture(
            f"probabilities-{place}.png",
            "Reliability, confusion matrix and ROC curve; the tables have the numbers.",
            draw,
        )
        yield Section(
            f"Probabilities: {name}", [TEXT] if place == 1 else [], _facts(quality), [picture], [_bins(quality)]
        )


def _facts(quality: ProbabilityQuality) -> list[tuple[str, str]]:
    confusion, auc = quality.confusion, quality.roc.auc
    return [
        ("pairs", f"{quality.pairs:,} of {quality.users:,} users"),
        ("came true", percent(quality.base_rate, 3)),
        ("log-loss", f"{quality.log_loss:.4f}; base rate {quality.base_rate_log_loss:.4f}"),
        ("Brier score", f"{quality.brier:.4f}; base rate {quality.base_rate_brier:.4f}"),
        ("calibration error", f"{quality.calibration_error:.4f}"),
        ("ROC-AUC", f"{auc:.4f}" if math.isfinite(auc) else "–"),
        ("accuracy", f"{confusion.accuracy:.4f}; always no {1 - quality.base_rate:.4f}"),
        ("F1", f"{confusion.f1:.4f} at p ≥ {confusion.threshold:.4g}"),
        ("precision", f"{confusion.precision:.4f}"),
        ("recall", f"{confusion.recall:.4f}"),
    ]


def _bins(quality: ProbabilityQuality) -> Table:
    bins = quality.reliability
    columns = (bins.pairs, bins.expected, bins.observed, bins.ratio, bins.low, bins.high)
    rows = [
        Row(
            [
                str(number),
                f"{int(pairs):,}",
                percent(expected, 3),
                percent(observed, 3),
                _ratio(ratio),
                f"{_ratio(low)} to {_ratio(high)}",
                "yes" if BAND[0] <= ratio <= BAND[1] else "no",
            ]
        )
        for number, (pairs, expected, observed, ratio, low, high) in enumerate(zip(*columns, strict=True), 1)
    ]
    head = ["bin", "pairs", "expected", "observed", "observed / expected", "95 % interval", f"{BAND[0]}–{BAND[1]}"]
    return Table(head, rows)


def _ratio(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "–"
