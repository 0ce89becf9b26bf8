"""The gate of promotion: each check by itself, what is skipped and why, and what an activation keeps of it."""

from dataclasses import replace
from typing import Any

import pytest

from graph.storage.database import Database
from graph.storage.errors import BadInputError, ConflictError
from graph.storage.registry import (
    Revision,
    Version,
    activate,
    activations,
    active_revision,
    add_revision,
    create_model,
    note_comparison,
)
from training.calibration import Calibration
from training.promote import observed_over_expected
from training.promotion import judge_recorded, promote
from training.promotion_gate import (
    BEST_BASELINE,
    CALIBRATION,
    COVERAGE,
    OURS,
    Comparison,
    Gate,
    Thresholds,
    gate_of,
    parse_thresholds,
)

GOOD = {OURS: 0.06, BEST_BASELINE: 0.05, CALIBRATION: 0.95, COVERAGE: 0.3}
BESIDE = Comparison(
    version="m1.4", requests=100, ndcg=0.06, active_ndcg=0.06, coverage=0.3, active_coverage=0.3, overlap=0.5
)
NEW = Revision(Version(2, 1), "m2", "m2.1", 0, 0, "", GOOD, {}, 0, BESIDE.model_dump())
ACTIVE = replace(NEW, version=Version(1, 5), comparison=None)


def verdicts(gate: Gate) -> dict[str, str]:
    return {check.name: check.verdict for check in gate.checks}


def judged(
    metrics: dict[str, Any] | None = None, *, has_served: bool = False, active: Revision | None = ACTIVE, **beside: Any
) -> Gate:
    revision = replace(NEW, metrics=GOOD | (metrics or {}), comparison=BESIDE.model_copy(update=beside).model_dump())
    return gate_of(revision, active, Thresholds(), has_served=has_served)


def test_a_good_model_passes_every_check() -> None:
    assert set(verdicts(judged()).values()) == {"passed"}
    assert len(judged().checks) == 6


@pytest.mark.parametrize(
    ("metrics", "beside", "name", "value"),
    [
        ({OURS: 0.0499}, {}, "ndcg_of_baseline", 0.998),
        ({}, {"ndcg": 0.058}, "ndcg_of_active", 0.967),
        ({CALIBRATION: 0.6}, {}, "calibration", 0.6),
        ({CALIBRATION: 1.7}, {}, "calibration", 1.7),
        ({COVERAGE: 0.005}, {}, "coverage", 0.005),
        ({}, {"coverage": 0.1}, "coverage_of_active", 0.333),
        ({}, {"overlap": 0.05}, "overlap", 0.05),
    ],
)
def test_each_check_refuses_by_itself_and_says_the_figures(
    metrics: dict[str, float], beside: dict[str, Any], name: str, value: float
) -> None:
    gate = judged(metrics, **beside)
    (failed,) = gate.failed
    assert failed.name == name
    assert failed.value == pytest.approx(value, abs=1e-3)
    assert any(figure.isdigit() for figure in failed.reason)
    with pytest.raises(ConflictError, match=r"m2\.1 does not pass the gate") as caught:
        gate.require()
    assert failed.reason in str(caught.value)
    assert caught.value.reason == ("MODEL_LOSES" if name.startswith("ndcg") else "GATE_REFUSES")


@pytest.mark.parametrize(
    ("metrics", "beside"),
    [({OURS: 0.05}, {}), ({CALIBRATION: 0.67}, {}), ({CALIBRATION: 1.5}, {}), ({}, {"overlap": 0.1})],
)
def test_the_bound_itself_passes(metrics: dict[str, float], beside: dict[str, Any]) -> None:
    assert judged(metrics, **beside).passes


def test_a_first_model_has_nothing_beside_it() -> None:
    gate = gate_of(replace(NEW, comparison=None), None, Thresholds(), has_served=False)
    assert gate.passes
    assert [name for name, verdict in verdicts(gate).items() if verdict == "skipped"] == [
        "ndcg_of_active",
        "coverage_of_active",
        "overlap",
    ]


def test_a_model_without_calibration_is_not_held_to_one() -> None:
    metrics = {name: value for name, value in GOOD.items() if name != CALIBRATION}
    gate = gate_of(replace(NEW, metrics=metrics), ACTIVE, Thresholds(), has_served=False)
    assert gate.passes
    assert verdicts(gate)["calibration"] == "skipped"
    assert observed_over_expected(Calibration()) is None


def test_a_revision_of_an_older_version_says_little_and_is_held_to_that() -> None:
    older = replace(NEW, metrics={OURS: 0.04, BEST_BASELINE: 0.05}, comparison=None)
    assert verdicts(gate_of(older, None, Thresholds(), has_served=False)) == {
        "ndcg_of_baseline": "failed",
        **dict.fromkeys(("calibration", "coverage", "ndcg_of_active", "coverage_of_active", "overlap"), "skipped"),
    }
    assert gate_of(replace(older, metrics={}), None, Thresholds(), has_served=False).passes


def test_beside_its_own_model_a_revision_has_the_same_weights() -> None:
    assert judged(active=replace(ACTIVE, version=Version(2, 3)), ndcg=0.0).passes


def test_what_was_compared_with_another_model_was_not_compared() -> None:
    gate = judged(version="m9.1")
    assert verdicts(gate)["ndcg_of_active"] == "failed"
    assert "penchant models gate --measure" in gate.losses
    assert judged(version="m1.1").passes  # another revision of the active model: the weights are what is compared


def test_going_back_to_what_served_needs_no_comparison() -> None:
    assert judged(version="m9.1", has_served=True).passes
    assert not judged(has_served=True, ndcg=0.01).passes  # where there is one, it counts


def test_an_active_model_that_cannot_be_asked_keeps_no_new_one_out() -> None:
    gate = judged(problem="item_vectors.npy is missing")
    assert gate.passes
    assert all("item_vectors.npy is missing" in check.reason for check in gate.checks[-3:])


def test_nothing_beside_an_active_model_that_finds_nothing_is_enough() -> None:
    assert judged(active_ndcg=0.0, ndcg=0.0, active_coverage=0.0).passes


def test_thresholds_are_named_on_the_command_line() -> None:
    found = parse_thresholds(["ndcg-of-active=1.02", "overlap = 0.3"])
    assert (found.ndcg_of_active, found.overlap) == (1.02, 0.3)
    assert found.coverage == Thresholds().coverage


@pytest.mark.parametrize("text", ["overlap", "recall=1", "overlap=2", "overlap=nan", "overlap=much", "coverage=-1"])
def test_thresholds_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(BadInputError):
        parse_thresholds([text])


def two_models(database: Database, **second: Any) -> Version:
    facts = {"as_of": 0, "known_at": 0, "snapshot_hash": ""}
    first = create_model(database, config={})
    serving = add_revision(database, first, path="m1.1", metrics=GOOD, **facts)  # type: ignore[arg-type]  # of several types
    activate(database, serving)
    number = create_model(database, config={})
    return add_revision(database, number, path="m2.1", metrics=GOOD | second, **facts)  # type: ignore[arg-type]  # of several types


def test_an_activation_keeps_what_the_gate_saw(database: Database) -> None:
    version = two_models(database)
    note_comparison(database, version, BESIDE.model_copy(update={"version": "m1.1"}).model_dump())
    gate = promote(database, version)
    newest = activations(database)[-1]
    assert (newest.version, newest.forced, newest.reason) == (version, False, None)
    assert Gate.read(str(version), newest.gate) == gate
    assert promote(database, version).checks == ()  # it serves already
    assert len(activations(database)) == 2


def test_a_refused_model_serves_only_by_force_and_that_is_kept(database: Database) -> None:
    version = two_models(database, **{OURS: 0.01})
    with pytest.raises(ConflictError):
        promote(database, version)
    active = active_revision(database)
    assert active is not None
    assert active.version != version
    assert judge_recorded(database, version).failed[0].name == "ndcg_of_baseline"
    promote(database, version, force=True, reason="we know better")
    newest = activations(database)[-1]
    assert (newest.version, newest.forced, newest.reason) == (version, True, "we know better")
    assert [check["verdict"] for check in newest.gate or ()].count("failed") == 2  # never compared, too


def test_thresholds_given_when_promoting_decide(database: Database) -> None:
    version = two_models(database)
    note_comparison(database, version, BESIDE.model_copy(update={"version": "m1.1", "ndcg": 0.05}).model_dump())
    with pytest.raises(ConflictError):
        promote(database, version)
    assert promote(database, version, thresholds=Thresholds(ndcg_of_active=0.8)).passes
