"""A mapping is refused in one sentence that names the place."""

from pathlib import Path

import pytest

from graph.ingest.mapping import Events, load_mapping
from graph.storage.errors import BadInputError, NotFoundError

EVENTS = """
source = "shop"
[events]
user = "u"
item = "i"
kind = "view"
occurred_at = { column = "t" }
"""


def mapping_file(folder: Path, text: str) -> Path:
    path = folder / "mapping.toml"
    path.write_text(text)
    return path


def test_a_minimal_mapping_says_what_it_needs(tmp_path: Path) -> None:
    mapping = load_mapping(mapping_file(tmp_path, EVENTS))
    assert mapping.tables() == ["events"]
    assert isinstance(mapping.events, Events)
    assert mapping.events.required() == ["u", "i", "t"]
    assert mapping.events.unknown_items == "reject"


def test_templates_and_alternatives_name_their_columns(tmp_path: Path) -> None:
    text = 'source = "s"\n[items]\nid = "i"\nname = "{a|b} ({c})"\nattributes = { x = "d" }\n'
    mapping = load_mapping(mapping_file(tmp_path, text))
    assert mapping.items is not None
    assert mapping.items.optional() == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("source = ", "not valid TOML"),
        ('source = "s"', "describes no table"),
        (EVENTS + "usr = 1", "events.usr: Extra inputs are not permitted"),
        (EVENTS.replace('item = "i"\n', ""), "events.item: Field required"),
        (EVENTS.replace('column = "t"', 'column = "t", zone = "Mars"'), "no time zone is called 'Mars'"),
        (EVENTS.replace('column = "t"', 'column = "t", format = "seconds"'), "'seconds' is neither one of"),
        (EVENTS + 'encoding = "utf-9"', "no encoding is called 'utf-9'"),
        (EVENTS + "header = false", "name the columns when header = false"),
        (
            'source = "s"\n[items]\nid = "i"\ncategories = [{ root = "x" }]',
            "give exactly one of columns, column and ids",
        ),
        ('source = "s"\n[items]\nid = "i"\ncategories = [{ ids = "x", root = "y" }]', "do not go with ids"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadInputError, match=r"mapping\.toml") as caught:
        load_mapping(mapping_file(tmp_path, text))
    assert said in str(caught.value)


def test_a_missing_mapping_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no mapping file .*nowhere\.toml"):
        load_mapping(tmp_path / "nowhere.toml")
