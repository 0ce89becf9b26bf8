"""Pages open from disk and need nothing beside them, whatever the data hold."""

import base64
import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from graph.storage.errors import BadInputError
from tests.training.evaluation.reports import random_report
from training.curves import CURVES, Epoch, draw_curves
from training.evaluation.page.cross_validation import write_cross_validation
from training.evaluation.page.evaluation import lead, write_evaluation
from training.evaluation.page.write import require_writable
from training.evaluation.probabilities import ProbabilityQuality, judge_probabilities
from training.evaluation.protocols import AS_TRAINED
from training.evaluation.report import Report

HOSTILE = ("<script>alert(1)</script>", "$\\frac{1}$ 漢字 \x00\x1b[2J", '"><img src=x onerror=alert(2)>', "x" * 300)
VOID = {"meta", "img", "link", "br", "hr", "input"}


@pytest.fixture(autouse=True)
def _coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of fewer dots are drawn sooner."""
    monkeypatch.setattr("training.evaluation.page.style.DPI", 70)


class Outline(HTMLParser):
    """Tags in order with their attributes, and whether each that opens closes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def checked(page: Path) -> tuple[str, Outline]:
    """The page's HTML, after what holds for every page: well-formed, nothing from outside, pictures beside it too."""
    html = page.read_text(encoding="utf-8")
    outline = Outline(html)
    assert not outline.open
    for tag, attributes in outline.tags:
        assert tag not in ("script", "link", "iframe", "object", "embed", "base", "form")
        assert not any(name.startswith("on") for name in attributes)
        assert str(attributes.get("href", "#")).startswith("#")
        if tag == "img":
            kind, _, data = str(attributes["src"]).partition(",")
            assert kind == "data:image/png;base64"
            assert attributes["alt"]
            assert base64.b64decode(data) in {path.read_bytes() for path in page.parent.glob("*.png")}
    assert not re.search(r"url\(|@import|https?://", html)
    assert not re.search(r"\bnan\b|\binf\b", re.sub(r'src="[^"]*"', "", html))
    assert not list(page.parent.glob("*.tmp"))
    return html, outline


def pictures(folder: Path) -> set[str]:
    """Names of the pictures, every one of which shows something."""
    for path in folder.glob("*.png"):
        picture = np.asarray(matplotlib.image.imread(path))
        assert picture.shape[1] > 600
        assert len(np.unique(picture[::4, ::4].sum(axis=2))) > 10
    return {path.name for path in folder.glob("*.png")}


def quality(n: int = 3_000, share: float = 1.0) -> ProbabilityQuality:
    random = np.random.default_rng(3)
    p = random.beta(0.5, 5, n)
    return judge_probabilities(p, random.random(n) < p * share, np.arange(n) // 50, threshold=0.2)


def test_a_page_has_every_section_and_its_pictures(tmp_path: Path) -> None:
    (tmp_path / "artifacts" / "m1").mkdir(parents=True)
    draw_curves([Epoch(8.0, 0.1, 1.0), Epoch(7.0, 0.2, 2.0)], tmp_path / "artifacts" / "m1" / CURVES)
    report = random_report(probabilities={"purchase": quality()}, config={"net": {"dim": 64}})
    html, _ = checked(write_evaluation(report, tmp_path / "out", tmp_path / "artifacts"))
    assert pictures(tmp_path / "out") == {
        "differences.png", "lengths.png", "recall.png", "reach.png", "probabilities-1.png", CURVES,
    }  # fmt: skip
    for wanted in (
        "2:00",
        "abc",
        "2026-02-01",
        "Global time split",
        "as trained",
        "refreshed",
        "log-loss",
        "&#34;dim&#34;",
    ):
        assert wanted in html
    means = report.results[0].means
    assert f"{means['ndcg@10']:.4f}" in html
    assert lead(report) in html


def test_what_a_report_does_not_hold_is_left_out(tmp_path: Path) -> None:
    html, _ = checked(write_evaluation(random_report(ours=None), tmp_path, tmp_path / "nowhere"))
    assert "Probabilities" not in html
    assert "Learning curves" not in html
    assert "Differences" not in html
    assert pictures(tmp_path) == {"lengths.png", "recall.png", "reach.png"}
    assert "The best baseline is" in html


@pytest.mark.parametrize("columns", [(AS_TRAINED,), ("a", "b", "c")])
@pytest.mark.parametrize(("users", "baselines"), [(1, ("popularity",)), (2, ())])
def test_small_reports_make_pages_too(
    tmp_path: Path, users: int, baselines: Sequence[str], columns: Sequence[str]
) -> None:
    report = random_report(users=users, baselines=baselines, columns=columns, new_hits=float("nan"))
    html, _ = checked(write_evaluation(report, tmp_path))
    assert ("differences.png" in pictures(tmp_path)) == bool(baselines)
    assert "beyond luck" not in lead(report) or users > 1
    assert "–" in html  # no hits: no share of them


def test_one_user_proves_nothing() -> None:
    report = random_report(users=1)
    assert all(comparison.difference.sign == 0 for comparison in report.comparisons)


def test_names_of_the_data_are_text(tmp_path: Path) -> None:
    report = random_report(
        baselines=HOSTILE,
        config={name: name for name in HOSTILE},
        settings={"test_start": HOSTILE[0], "order": HOSTILE[2]},
        probabilities={name: quality() for name in HOSTILE[:2]},
    )
    html, outline = checked(write_evaluation(report, tmp_path))
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "<script" not in html
    assert "\x00" not in html
    assert "\x1b" not in html
    assert len(pictures(tmp_path)) == 6
    whole = [attributes for tag, attributes in outline.tags if tag == "img"]
    assert len(whole) == 6


def test_probabilities_of_one_outcome_have_no_curve(tmp_path: Path) -> None:
    report = random_report(probabilities={"never": quality(share=0.0)})
    html, _ = checked(write_evaluation(report, tmp_path))
    assert "ROC-AUC</dt><dd>–" in html


def test_all_level_rankings_have_no_best(tmp_path: Path) -> None:
    report = random_report(baselines=("popularity",))
    level = [
        replace(
            result,
            per_user={metric: values * 0 for metric, values in result.per_user.items()},
            recall_curve=result.recall_curve * 0,
        )
        for result in report.results
    ]
    html, _ = checked(write_evaluation(replace(report, results=level, comparisons=[]), tmp_path))
    assert 'best"' not in html


def test_the_same_report_gives_the_same_page(tmp_path: Path) -> None:
    one, other = (write_evaluation(random_report(), tmp_path / name).read_bytes() for name in "ab")
    assert one == other


def test_a_folder_that_cannot_be_written_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(BadInputError, match=r"No report can be written to .*file"):
            require_writable(folder)


def windows(
    n: int, *, ours: str | None = "penchant", baselines: Sequence[str] = ("popularity", "EASE")
) -> list[Report]:
    return [
        random_report(
            users=20,
            seed=k,
            ours=ours,
            baselines=baselines,
            settings={
                "test_start": f"2026-{k + 1:02}-01T00:00:00Z",
                "test_end": f"2026-{k + 2:02}-01T00:00:00Z",
                "origin": k + 1,
                "origins": n,
            },
        )
        for k in range(n)
    ]


def folds(n: int, **options: object) -> list[Report]:
    return [
        replace(report, settings={"fold": k + 1, "folds": n, "fold_seed": 0}, asked=report.asked + 20 * k)
        for k, report in enumerate(windows(n, **options))  # type: ignore[arg-type]  # of several types
    ]


@pytest.mark.parametrize("n", [1, 9])
def test_windows_in_time_make_a_page(tmp_path: Path, n: int) -> None:
    html, _ = checked(write_cross_validation(windows(n), tmp_path))
    assert {"trend.png", "differences.png", "recall.png"} <= pictures(tmp_path)
    assert ("±" in html.split("<h2>Results</h2>")[1].split("</p>")[1]) == (n > 1)
    assert "2026-01-01" in html
    assert "Window by window" in html


@pytest.mark.parametrize("options", [{}, {"ours": None}, {"baselines": ()}])
def test_folds_of_users_make_a_page(tmp_path: Path, options: dict[str, object]) -> None:
    html, _ = checked(write_cross_validation(folds(3, **options), tmp_path))
    assert "folds.png" in pictures(tmp_path)
    assert "60 users" in html
    assert "Fold by fold" in html
