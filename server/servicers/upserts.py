"""What the three kinds of the catalog share: masks, one outcome per row, pages in the order of the ids."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from penchant.v1 import catalog_pb2 as pb

from graph.storage.errors import BadInputError
from graph.storage.outcomes import Outcome
from server import limits
from server.servicers.rows import Row, Told, shown
from server.tokens import Place, decode, encode

DEFAULT_PAGE = 100
PAGE_BYTES = limits.MAX_MESSAGE_BYTES // 2
"""A page of large rows ends early: names and attributes of a thousand items may exceed a message."""

Found = TypeVar("Found")
Shown = TypeVar("Shown", bound=Message)


class Named(Protocol):
    @property
    def id(self) -> str: ...


def check_rows(entities: Sequence[Named], field: str) -> None:
    limits.check_count(entities, field, limits.MAX_UPSERTS)
    limits.check_unique([entity.id for entity in entities], field)


def read_mask(mask: FieldMask, known: Sequence[str]) -> frozenset[str]:
    """The fields to overwrite; all of `known` where none is named."""
    for path in mask.paths:
        if path not in known:
            message = f"update_mask names {path[: limits.MAX_ID_BYTES]!r}; known are {', '.join(known)}."
            raise BadInputError(message, field="update_mask", reason="UNKNOWN_FIELD")
    return frozenset(mask.paths or known)


def keep_unmasked(rows: Sequence[Row], key: str, kept: Mapping[str, Row], overwritten: frozenset[str]) -> None:
    """Puts back what exists (`kept`, by id) into the fields of `rows` that the caller did not name."""
    for row in rows:
        known = kept.get(str(row[key]), {})
        row |= {field: value for field, value in known.items() if field not in overwritten}


def outcome_rows(
    entities: Sequence[Named], told: Sequence[Told], existed: Mapping[str, object]
) -> list[pb.UpsertOutcome]:
    """What became of each entity, in the order of the request."""
    return [
        pb.UpsertOutcome(
            id=shown(entity.id), status=_status(each, entity.id in existed), reason=each.reason, message=each.message
        )
        for entity, each in zip(entities, told, strict=True)
    ]


def _status(told: Told, existed: bool) -> pb.UpsertStatus.ValueType:
    if told.outcome is Outcome.ACCEPTED:
        return pb.UPSERT_STATUS_UPDATED if existed else pb.UPSERT_STATUS_CREATED
    return pb.UPSERT_STATUS_UNCHANGED if told.outcome is Outcome.UNCHANGED else pb.UPSERT_STATUS_REJECTED


def page_of(
    token: str,
    page_size: int,
    request: object,
    read: Callable[[str, int], Sequence[Found]],
    key: Callable[[Found], str],
    show: Callable[[Found], Shown],
) -> tuple[list[Shown], str]:
    """One page and the token of the next; `read(after, limit)` gives rows in the order of their keys."""
    size = limits.check_page_size(page_size, DEFAULT_PAGE)
    after = limits.check_id(decode(token, request).last, "page_token") if token else ""
    rows = read(after, size + 1)
    page: list[Shown] = []
    n_bytes = 0
    for row in rows[:size]:
        shown = show(row)
        n_bytes += shown.ByteSize()
        if page and n_bytes > PAGE_BYTES:
            break
        page.append(shown)
    more = len(rows) > len(page)
    return page, encode(Place(key(rows[len(page) - 1])), request) if more else ""
