"""What became of each row of a batch, in the contract's words: a reason for programs, a sentence for people."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from graph.storage.errors import BadInputError
from graph.storage.outcomes import HARMLESS, Outcome, Outcomes
from server import limits

Row = dict[str, object]
Sent = TypeVar("Sent")

MAX_MESSAGE_CHARS = 500
"""A thousand rows have to fit into one answer."""

_REASONS = {
    Outcome.CYCLE: "CATEGORY_CYCLE",
    Outcome.BAD_ID: "INVALID_ID",
    Outcome.BAD_VALUE: "INVALID_VALUE",
    Outcome.BAD_TIME: "INVALID_TIME",
    Outcome.BAD_JSON: "INVALID_JSON",
    Outcome.UNKNOWN_RETRACT: "UNKNOWN_EVENT",
}
"""The others are called as the store calls them."""

_HINTS = {
    Outcome.CONFLICT: "Give a new event an id of its own.",
    Outcome.UNKNOWN_ITEM: "Upsert the item and send again.",
    Outcome.UNKNOWN_CATEGORY: "Upsert the category first.",
    Outcome.UNKNOWN_KIND: "Event kinds are rows of the store, such as view, cart, purchase and rating.",
    Outcome.CYCLE: "Give one of them another parent.",
    Outcome.BAD_TIME: "Times count from 1970 in UTC and must have come.",
    Outcome.UNKNOWN_RETRACT: "Send the event first, and name it by its event_id.",
}


class Told(NamedTuple):
    """`refusal` is None where the store decided; `reason` and `message` are empty where nothing was refused."""

    outcome: Outcome | None
    reason: str
    message: str


def read_rows(sent: Sequence[Sent], row_of: Callable[[Sent], Row]) -> tuple[list[Row], dict[int, BadInputError]]:
    """Rows for the store, and the numbers of those messages that are none, with why."""
    rows: list[Row] = []
    refused: dict[int, BadInputError] = {}
    for number, message in enumerate(sent):
        try:
            rows.append(row_of(message))
        except BadInputError as error:
            refused[number] = error
    return rows, refused


def told(n: int, refused: dict[int, BadInputError], outcomes: Outcomes) -> list[Told]:
    """Of each of the `n` messages of a request what became of it; `outcomes` are of those that reached the store."""
    answer: list[Told] = []
    stored = iter(range(len(outcomes)))
    for number in range(n):
        if (why := refused.get(number)) is not None:
            answer.append(Told(None, why.reason, _cut(str(why))))
            continue
        row = next(stored)
        outcome = outcomes[row]
        if outcome in HARMLESS:
            answer.append(Told(outcome, "", ""))
        else:
            sentence = f"{outcomes.reason(row)}. {_HINTS.get(outcome, '')}".strip()
            answer.append(Told(outcome, _REASONS.get(outcome, outcome.name), _cut(sentence)))
    return answer


def shown(sent: str) -> str:
    """An id in an answer: as it was sent, or the beginning of what is too long to be one."""
    return sent[: limits.MAX_ID_BYTES]


def _cut(text: str) -> str:
    return text if len(text) <= MAX_MESSAGE_CHARS else text[: MAX_MESSAGE_CHARS - 1] + "…"
