"""Labels keep apart, keep their order and move no farther than they must."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.evaluation.page.labels import apart
from training.evaluation.page.style import LONGEST, percent, plain, signed

places = st.lists(st.floats(0, 1), max_size=12)


@given(places, st.floats(0.001, 0.2))
def test_labels_keep_apart_in_their_order(wished: list[float], gap: float) -> None:
    moved = apart(wished, gap, low=0)
    order = sorted(range(len(wished)), key=lambda index: wished[index])
    assert all(moved[b] - moved[a] >= gap * (1 - 1e-6) - 1e-12 for a, b in pairwise(order))
    assert all(place >= 0 for place in moved)


@given(st.floats(0.001, 0.1))
def test_labels_with_room_stay_where_they_are(gap: float) -> None:
    assert apart([0.9, 0.1, 0.5], gap) == pytest.approx([0.9, 0.1, 0.5])


def test_those_without_room_share_the_way() -> None:
    assert apart([0.5, 0.5], 0.1) == pytest.approx([0.45, 0.55])
    assert apart([0.0, 0.0], 0.1, low=0) == pytest.approx([0.0, 0.1])


def test_names_become_one_short_line_of_known_letters() -> None:
    assert plain("own frequency") == "own frequency"
    assert plain("a\nb\x00漢") == "a·b··"
    assert plain("Größe ≥ 5 $") == "Größe ≥ 5 $"
    assert len(plain("x" * 500)) == LONGEST


def test_numbers_as_text() -> None:
    assert signed(-0.5) == "−0.5000"
    assert signed(0.25, "+.3g") == "+0.25"
    assert percent(0.1234) == "12.3 %"
    assert percent(float("nan")) == "–"
