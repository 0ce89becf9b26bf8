"""What makes no shop is refused before anything is made, by a sentence that names the option."""

from typing import Any

import pytest

from graph.storage.errors import BadInputError
from graph.synth.dirt_kinds import DIRT, EVENT_DIRT
from graph.synth.options import Options, parse_dirt


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"users": 0}, "--users 0"),
        ({"events": -1}, "--events -1"),
        ({"seed": -1}, "--seed -1"),
        ({"days": 1462}, "into the future"),
        ({"categories": 11, "segments": 6}, "11 categories are too few for 6 segments"),
        ({"items": 199}, "199 items are too few for 200 categories"),
        ({"dirt": {"nan": 0.3, "missing": 0.3}}, "adds up to 0.60"),
    ],
)
def test_what_makes_no_shop_is_refused(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadInputError, match=sentence) as error:
        Options(**wrong)
    assert error.value.field in wrong


def test_dirt_is_one_share_for_all_or_one_for_each() -> None:
    assert parse_dirt([], "csv") == {}
    everything = parse_dirt(["0.09"], "csv")
    assert set(everything) == set(DIRT)
    assert everything["nan"] == pytest.approx(0.01)
    assert set(DIRT) - set(parse_dirt(["0.09"], "parquet")) == {"ragged"}
    assert parse_dirt(["nan=0.5", "cycle=0.25"], "csv") == {"nan": 0.5, "cycle": 0.25}
    assert parse_dirt(["0.09", "nan=0"], "csv").keys() == set(DIRT) - {"nan"}
    assert set(EVENT_DIRT) | {"cycle"} == set(DIRT)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("lots", "no share between 0 and 1"),
        ("nan=2", "no share between 0 and 1"),
        ("mud=0.1", "there is no dirt 'mud'"),
        ("ragged=0.1", "'ragged' cannot be in a parquet file"),
    ],
)
def test_what_is_no_dirt_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(BadInputError, match=sentence):
        parse_dirt([text], "parquet")
