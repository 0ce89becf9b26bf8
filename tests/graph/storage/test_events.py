from typing import Any

import pytest
from sqlalchemy import func, select

from graph.storage.columns import EVENTS, table_of
from graph.storage.database import Database
from graph.storage.events import append_events
from graph.storage.outcomes import Outcome, Outcomes
from graph.storage.tables import interaction

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
