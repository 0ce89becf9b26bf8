"""A report that was written comes back as it was; anything else is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from graph.storage.errors import BadInputError
from graph.storage.times import NEVER_US
from tests.training.evaluation.reports import random_report
from training.evaluation.report import as_json, save_report
from training.evaluation.report_read import read_report


def test_comes_back_as_it_was(tmp_path: Path) -> None:
    report = random_report(new_hits=float("nan"), config={"net": {"dim": 64}})
    save_report(report, tmp_path / "a.json")
    back = read_report(tmp_path / "a.json")
    assert as_json(back) == as_json(report)
    np.testing.assert_array_equal(back.events_before, report.events_before)
    np.testing.assert_array_equal(back.asked, report.asked)
    for one, other in zip(back.results, report.results, strict=True):
        assert one.per_user.keys() == other.per_user.keys()
        for metric, values in other.per_user.items():
            np.testing.assert_array_equal(one.per_user[metric], values)
        assert np.isnan(one.new_hits)


def test_what_is_written_is_json_without_nan(tmp_path: Path) -> None:
    save_report(random_report(new_hits=float("nan")), tmp_path / "a.json")

    def refuse(name: str) -> None:
        raise AssertionError(name)

    written = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"), parse_constant=refuse)
    assert written["results"][0]["metrics"]["new_hits@10"] is None


def test_a_moment_that_never_comes_comes_back(tmp_path: Path) -> None:
    report = random_report()
    object.__setattr__(report, "known_at", NEVER_US)
    save_report(report, tmp_path / "a.json")
    assert read_report(tmp_path / "a.json").known_at == NEVER_US


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"results": [{}], "comparisons": []}', "\x00"])
def test_what_is_no_report_is_refused(tmp_path: Path, text: str) -> None:
    save_report(random_report(), tmp_path / "a.json")
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    with pytest.raises(BadInputError, match=r"a\.json is no report"):
        read_report(tmp_path / "a.json")


def test_a_report_without_its_arrays_is_refused(tmp_path: Path) -> None:
    save_report(random_report(), tmp_path / "a.json")
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(BadInputError, match="no report"):
        read_report(tmp_path / "a.json")
    (tmp_path / "a.npz").unlink()
    with pytest.raises(BadInputError, match="no report"):
        read_report(tmp_path / "a.json")
