from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy import Table, func, select

from graph.storage.columns import EVENTS, table_of
from graph.storage.database import Database
from graph.storage.errors import BadInputError
from graph.storage.events import append_events
from graph.storage.outcomes import Outcome, Outcomes
from graph.storage.tables import change, interaction, item, item_version, user

NOW = 1_700_000_000_000_000


def event(**fields: Any) -> dict[str, Any]:
    return {"user": "ann", "item": "tea", "kind": "view", "occurred_at": NOW} | fields


def append(database: Database, *rows: dict[str, Any], **options: Any) -> Outcomes:
    defaults: dict[str, Any] = {"source": "test", "unknown_items": "create", "recorded_at": NOW}
    return append_events(database, table_of(EVENTS, list(rows)), **(defaults | options))


def stored(database: Database) -> int:
    with database.connect() as connection:
        return connection.execute(select(func.count()).select_from(interaction)).scalar_one()


def test_sent_twice_stored_once(database: Database) -> None:
    rows = [
        event(event_id="1", context='{"b": 1.50, "a": "é"}', value=0.1, session_key=" s", sequence=3),
        event(item='t"e,a\n'),
    ]
    assert append(database, *rows).counts() == {Outcome.ACCEPTED: 2}
    rows[0]["context"] = '{"a":"é","b":1.5}'
    assert append(database, *rows).counts() == {Outcome.DUPLICATE: 2}
    assert stored(database) == 2


@pytest.mark.parametrize(
    "other",
    [{"user": "bob"}, {"item": "milk"}, {"kind": "cart"}, {"value": 2.0}, {"value": None}, {"session_key": "s"},
     {"sequence": 1}, {"context": "{}"}, {"occurred_at": NOW - 1}],
)  # fmt: skip
def test_same_id_with_other_content_is_a_conflict(database: Database, other: dict[str, Any]) -> None:
    first = event(event_id="1", value=1.0)
    outcomes = append(database, first, first | other)
    assert [outcomes[0], outcomes[1]] == [Outcome.ACCEPTED, Outcome.CONFLICT]
    assert next(iter(other)) in outcomes.reason(1)
    outcomes = append(database, first | other, first)
    assert [outcomes[0], outcomes[1]] == [Outcome.CONFLICT, Outcome.CONFLICT]  # the second contradicts the first
    assert append(database, first)[0] == Outcome.DUPLICATE


def test_when_we_learned_of_it_is_no_content(database: Database) -> None:
    append(database, event(event_id="1", recorded_at=NOW - 5), event(event_id="2"))
    assert append(database, event(event_id="1"), recorded_at=NOW + 9)[0] == Outcome.DUPLICATE
    with database.connect() as connection:
        recorded = (
            connection.execute(select(interaction.c.recorded_at).order_by(interaction.c.event_id)).scalars().all()
        )
    assert recorded == [NOW - 5, NOW]


@pytest.mark.parametrize(
    ("bad", "outcome"),
    [
        ({"user": None}, Outcome.BAD_ID),
        ({"user": "  "}, Outcome.BAD_ID),
        ({"user": "é" * 257}, Outcome.BAD_ID),
        ({"item": None}, Outcome.BAD_ID),
        ({"item": "a\0b"}, Outcome.BAD_ID),
        ({"event_id": ""}, Outcome.BAD_ID),
        ({"kind": None}, Outcome.BAD_ID),
        ({"kind": "teleport"}, Outcome.UNKNOWN_KIND),
        ({"value": float("inf")}, Outcome.BAD_VALUE),
        ({"value": float("nan")}, Outcome.BAD_VALUE),
        ({"sequence": -1}, Outcome.BAD_VALUE),
        ({"context": "{"}, Outcome.BAD_JSON),
        ({"context": "1"}, Outcome.BAD_JSON),
        ({"occurred_at": None}, Outcome.BAD_TIME),
        ({"occurred_at": -1}, Outcome.BAD_TIME),
        ({"occurred_at": NOW + 86_400_000_001}, Outcome.BAD_TIME),
        ({"recorded_at": NOW + 86_400_000_001}, Outcome.BAD_TIME),
        ({"retracts": "1"}, Outcome.UNKNOWN_KIND),
        ({"kind": "retract"}, Outcome.UNKNOWN_RETRACT),
    ],
)
def test_a_bad_row_is_refused_alone(database: Database, bad: dict[str, Any], outcome: Outcome) -> None:
    outcomes = append(database, event(), event(user="bob", item="milk") | bad, event(kind="cart"))
    assert outcomes.counts() == {Outcome.ACCEPTED: 2, outcome: 1}
    (reject,) = outcomes.rejects()
    assert (reject.row, reject.outcome) == (1, outcome)
    assert reject.reason
    assert externals(database, item) == ["tea"]  # nothing of it was created
    assert externals(database, user) == ["ann"]


def test_times_within_the_tolerance_are_taken(database: Database) -> None:
    rows = [event(occurred_at=0), event(occurred_at=NOW + 86_400_000_000)]
    assert append(database, *rows).counts() == {Outcome.ACCEPTED: 2}
    assert append(database, event(occurred_at=NOW + 2), future_tolerance_us=1)[0] == Outcome.BAD_TIME


def test_unknown_items_are_refused_or_created(database: Database) -> None:
    outcomes = append(database, event(), unknown_items="reject")
    assert outcomes.rejects() == [(0, Outcome.UNKNOWN_ITEM, "unknown item tea")]
    assert externals(database, user) == []
    assert append(database, event(occurred_at=NOW - 3), event(occurred_at=NOW - 7)).count(Outcome.ACCEPTED) == 2
    with database.connect() as connection:
        (stub,) = connection.execute(select(item_version)).all()
    assert (stub.valid_from, stub.name, stub.is_current, stub.available) == (NOW - 7, None, True, True)


def test_an_event_is_retracted_by_name(database: Database) -> None:
    rows = [
        {"kind": "retract", "retracts": "2", "occurred_at": NOW},  # before the event it names, in the same batch
        event(event_id="1"),
        event(event_id="2", item="milk"),
        {"kind": "retract", "retracts": "?", "occurred_at": NOW},
        {"kind": "retract", "retracts": "1", "user": "bob", "occurred_at": NOW},
        {"kind": "retract", "retracts": "1", "item": "milk", "occurred_at": NOW},
    ]
    outcomes = append(database, *rows)
    assert outcomes.counts() == {Outcome.ACCEPTED: 3, Outcome.UNKNOWN_RETRACT: 3}
    assert [reject.reason for reject in outcomes.rejects()] == [
        "event ? is not in the store", "event 1 is another user's", "event 1 is about another item",
    ]  # fmt: skip
    assert append(database, *rows).count(Outcome.DUPLICATE) == 3
    with database.connect() as connection:
        query = select(interaction, item.c.external_id, user.c.external_id.label("user")).join(item).join(user)
        (retraction,) = connection.execute(query.where(interaction.c.retracts.is_not(None))).all()
    assert (retraction.external_id, retraction.user, retraction.retracts) == ("milk", "ann", "2")
    again = {"kind": "retract", "retracts": retraction.event_id, "occurred_at": NOW}
    assert append(database, again)[0] == Outcome.UNKNOWN_RETRACT


def test_each_batch_is_announced_once_and_empty_ones_never(database: Database) -> None:
    append(database, event(), event(user="bob"))
    append(database, event(), event(user="bob"))
    append(database)
    with database.connect() as connection:
        created, announced = connection.execute(select(change.c.kind, change.c.detail).order_by(change.c.id)).all()
    assert (created.kind, created.detail) == ("catalog", {"items": ["tea"]})
    assert announced.kind == "events"
    assert announced.detail["count"] == 2
    assert sorted(announced.detail["users"]) == ["ann", "bob"]
    assert announced.detail["items"] == ["tea"]


def test_a_failing_batch_leaves_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the last step")

    monkeypatch.setattr("graph.storage.events.append_change", fail)
    with pytest.raises(RuntimeError):
        append(database, event())
    assert stored(database) == 0
    assert externals(database, user) == externals(database, item) == []


def test_the_text_of_strangers_arrives_as_it_was(database: Database) -> None:
    strange = [
        'a"b',
        "a,b",
        "a\nb",
        "a\rb",
        "\\N",
        "\\.",
        "NULL",
        "%s",
        "'; DROP TABLE item",
        "日本",
        " x ",
        "a\u2028b",
        "🛒",
    ]
    assert append(database, *(event(item=name, session_key=name) for name in strange)).counts() == {
        Outcome.ACCEPTED: len(strange)
    }
    assert sorted(externals(database, item)) == sorted(strange)
    table = database.read(select(interaction.c.session_key))
    assert sorted(table["session_key"].to_pylist()) == sorted(strange)
    assert append(database, *(event(item=name, session_key=name) for name in strange)).count(Outcome.DUPLICATE) == 13


def test_numbers_keep_every_bit(database: Database) -> None:
    values = [0.1, 1e-300, 1.7976931348623157e308, -0.0, 5e-324, 1 / 3, None]
    append(database, *(event(value=value, sequence=2**62 - row) for row, value in enumerate(values)))
    table = database.read(select(interaction.c.value).order_by(interaction.c.id))
    assert table["value"].to_pylist() == values


def test_a_table_of_the_wrong_shape_is_refused(database: Database) -> None:
    with pytest.raises(BadInputError, match="occurred_at"):
        append_events(database, pa.table({"user": ["a"], "item": ["b"], "kind": ["view"]}), source="test")
    with pytest.raises(BadInputError, match="colour"):
        append_events(database, pa.table({"colour": ["red"]}), source="test")
    rows = {"user": ["a"], "item": ["b"], "kind": ["view"], "occurred_at": ["yesterday"]}
    with pytest.raises(BadInputError, match="occurred_at"):
        append_events(database, pa.table(rows), source="test")


def externals(database: Database, table: Table) -> list[str]:
    with database.connect() as connection:
        return list(connection.execute(select(table.c.external_id).order_by(table.c.id)).scalars())


@pytest.mark.parametrize("before", [0, 1, 300])
def test_a_large_batch_ends_the_same_whether_or_not_it_was_taken_for_new(
    database: Database, monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    monkeypatch.setattr("graph.storage.events.MANY", 100)
    monkeypatch.setattr("graph.storage.events.SAMPLE", 50)
    rows = [event(event_id=f"e{k}", user=f"u{k % 9}") for k in range(500)]
    if before:
        append(database, *rows[7 : 7 + before])  # number 7 alone is not in the sample
    outcomes = append(database, *rows)
    assert outcomes.count(Outcome.DUPLICATE) == before
    assert outcomes.count(Outcome.ACCEPTED) == 500 - before
    with database.connect() as connection:
        counts = [connection.execute(select(func.count()).select_from(t)).scalar() for t in (interaction, user, change)]
    assert counts == [500, 9, 3 if before else 2]
