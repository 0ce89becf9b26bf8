"""The gate of promotion: what was measured of a revision beside what it has to reach, check by check.

    ndcg_of_baseline      NDCG@10 on its validation window, over that of the best baseline
    ndcg_of_active        the same over that of the active model, on the same window
    calibration           outcomes over what was foretold, on validation users that the calibration has not seen
    coverage              how much of the catalog the requests of the window are answered with (each the best 10)
    coverage_of_active    the same over the active model's, for the same requests
    overlap               share of each answer that the active model gives to the same request, on average

Nothing is measured here: `promote.py` and `comparison.py` do, when a model is trained. What cannot be said of a
revision is skipped, with the reason: a first model has nothing beside it, one without calibration has no probabilities.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from graph.storage.errors import BadInputError, ConflictError
from graph.storage.registry import Revision

OURS, BEST_BASELINE = "validation_ndcg@10", "validation_ndcg@10_best_baseline"
CALIBRATION, COVERAGE = "validation_observed_over_expected", "validation_coverage@10_of_possible"
"""Names among a revision's metrics."""
NDCG_OF_BASELINE, NDCG_OF_ACTIVE = "ndcg_of_baseline", "ndcg_of_active"


class Thresholds(BaseModel):
    """What a revision has to reach. `--gate NAME=VALUE` sets one."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    ndcg_of_baseline: float = Field(1.0, ge=0, description="at least; a model that a count beats is of no use")
    ndcg_of_active: float = Field(0.98, ge=0, description="at least; two seeds of a model differ by a per cent or two")
    least_calibration: float = Field(0.67, ge=0, description="outcomes over what was foretold, in the worst horizon")
    most_calibration: float = Field(1.5, ge=0, description="the same, at most")
    coverage: float = Field(0.01, ge=0, le=1, description="at least; one list for everybody has about none")
    coverage_of_active: float = Field(0.5, ge=0, description="at least")
    overlap: float = Field(0.1, ge=0, le=1, description="at least; users would not know their shop again")


class Comparison(BaseModel):
    """A model beside the one that was active, both as of the start of the model's validation window, asked the same."""

    model_config = ConfigDict(frozen=True, extra="ignore")  # of a later version, which may note more
    version: str = Field(description="the revision that was active")
    problem: str = Field("", description="why it could not be asked; then the figures say nothing")
    requests: int = 0
    ndcg: float = Field(0.0, description="NDCG@10")
    active_ndcg: float = 0.0
    coverage: float = Field(0.0, description="share of the catalog in anybody's best 10")
    active_coverage: float = 0.0
    overlap: float = Field(0.0, description="mean share of the best 10 that both have")


@dataclass(frozen=True)
class Check:
    """`value` is None where there is none; it passes from `least` to `most`, both included, None for no bound."""

    name: str
    verdict: Literal["passed", "failed", "skipped"]
    value: float | None
    least: float | None
    most: float | None
    reason: str

    @property
    def bounds(self) -> str:
        least, most = ("" if bound is None else f"{bound:g}" for bound in (self.least, self.most))
        return f"{least} – {most}" if most else f"at least {least}"


@dataclass(frozen=True)
class Gate:
    """All checks of one revision. One that failed keeps it from serving, unless it is forced."""

    version: str
    checks: tuple[Check, ...]

    @property
    def failed(self) -> list[Check]:
        return [check for check in self.checks if check.verdict == "failed"]

    @property
    def passes(self) -> bool:
        return not self.failed

    @property
    def losses(self) -> str:
        """Why it may not serve; empty where it may."""
        return "; ".join(check.reason for check in self.failed)

    def require(self) -> None:
        """Raises ConflictError where it does not pass: MODEL_LOSES by quality, else GATE_REFUSES."""
        if not self.passes:
            loses = any(check.name in (NDCG_OF_BASELINE, NDCG_OF_ACTIVE) for check in self.failed)
            raise ConflictError(
                f"{self.version} does not pass the gate: {self.losses}. It does not serve.",
                hint="Train longer or on more data; `penchant models activate --force` lets it serve all the same.",
                reason="MODEL_LOSES" if loses else "GATE_REFUSES",
            )

    def stored(self) -> list[dict[str, Any]]:
        """As JSON, for the record of the activation."""
        return [dict(vars(check)) for check in self.checks]

    @staticmethod
    def read(version: str, stored: Sequence[Mapping[str, Any]] | None) -> "Gate":
        """What `stored` gave."""
        return Gate(version, tuple(Check(**check) for check in stored or ()))


def gate_of(revision: Revision, active: Revision | None, thresholds: Thresholds, *, has_served: bool) -> Gate:
    """What is known of a revision, held against `active`, which is served now.

    has_served: going back to what served before needs no comparison with what came after it.
    """
    metrics = revision.metrics
    checks = [
        _of_baseline(metrics.get(OURS), metrics.get(BEST_BASELINE), thresholds.ndcg_of_baseline),
        _calibration(metrics.get(CALIBRATION), thresholds),
        _coverage(metrics.get(COVERAGE), thresholds.coverage),
        *_beside(revision, active, thresholds, has_served=has_served),
    ]
    return Gate(str(revision.version), tuple(checks))


def parse_thresholds(texts: Iterable[str]) -> Thresholds:
    """`name=value` each. Raises BadInputError."""
    values: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise BadInputError(f"{text!r} sets nothing.", hint="Write it like overlap=0.2.")
        values[name.strip().replace("-", "_")] = value.strip()
    try:
        return Thresholds.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise BadInputError(
            f"The gate takes no {first['loc'][0]}={first['input']}: {first['msg']}.",
            hint=f"It has {', '.join(Thresholds.model_fields)}.",
        ) from error


def _beside(
    revision: Revision, active: Revision | None, thresholds: Thresholds, *, has_served: bool
) -> Iterator[Check]:
    """The checks that need the active model."""
    wanted = {name: getattr(thresholds, name) for name in (NDCG_OF_ACTIVE, "coverage_of_active", "overlap")}
    why, found = "", None
    if active is None:
        why = "nothing is active"
    elif active.version.model == revision.version.model:
        why = f"the weights are those of {active.version}, which is active"
    else:
        found = None if revision.comparison is None else Comparison.model_validate(revision.comparison)
        is_of_active = found is not None and found.version.partition(".")[0] == f"m{active.version.model}"
        if found is not None and is_of_active and found.problem:
            why = f"{found.version} could not be asked: {found.problem}"
        elif not is_of_active and has_served:
            why = f"it has served before {active.version}"
        elif not is_of_active:
            told = (
                f"it was never compared with {active.version}, which is active (`penchant models gate --measure` does)"
            )
            yield Check(NDCG_OF_ACTIVE, "failed", None, thresholds.ndcg_of_active, None, told)
            return
    if why or found is None:
        yield from (_skipped(name, least, why) for name, least in wanted.items())
        return
    yield _quality(NDCG_OF_ACTIVE, found.ndcg, found.active_ndcg, thresholds.ndcg_of_active, found.version)
    told = (
        f"{found.coverage:.1%} of the catalog in its answers, {found.active_coverage:.1%} in those of {found.version}"
    )
    least = thresholds.coverage_of_active
    yield _ratio("coverage_of_active", found.coverage, found.active_coverage, least, told)
    told = f"{found.overlap:.1%} of an answer is what {found.version} answers"
    yield _judged("overlap", found.overlap, thresholds.overlap, None, told)


def _of_baseline(ours: float | None, theirs: float | None, least: float) -> Check:
    if ours is None or theirs is None:
        return _skipped(NDCG_OF_BASELINE, least, "it was not measured")
    return _quality(NDCG_OF_BASELINE, ours, theirs, least, "the best baseline")


def _quality(name: str, ours: float, theirs: float, least: float, whose: str) -> Check:
    return _ratio(name, ours, theirs, least, f"NDCG@10 {ours:.4f} on its validation window, {whose} has {theirs:.4f}")


def _ratio(name: str, ours: float, theirs: float, least: float, told: str) -> Check:
    """Beside nothing everything is enough."""
    if theirs <= 0:
        return Check(name, "passed", None, least, None, told)
    return _judged(name, ours / theirs, least, None, told)


def _calibration(value: float | None, thresholds: Thresholds) -> Check:
    bounds = thresholds.least_calibration, thresholds.most_calibration
    if value is None:
        return Check("calibration", "skipped", None, *bounds, "it was not measured: no horizon is calibrated")
    told = f"{value:.2f} outcomes for each that its probabilities foretell, in the worst horizon"
    return _judged("calibration", value, *bounds, told)


def _coverage(value: float | None, least: float) -> Check:
    if value is None:
        return _skipped("coverage", least, "it was not measured")
    return _judged("coverage", value, least, None, f"its answers hold {value:.1%} of the items that they could")


def _judged(name: str, value: float, least: float | None, most: float | None, told: str) -> Check:
    is_in = (least is None or value >= least) and (most is None or value <= most)
    return Check(name, "passed" if is_in else "failed", value, least, most, told)


def _skipped(name: str, least: float, why: str) -> Check:
    return Check(name, "skipped", None, least, None, why)
