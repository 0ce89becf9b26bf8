"""What a request may hold at most, and the checks of single fields; GetServerInfo publishes every number of these."""

import math
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from graph.storage.errors import BadInputError

MAX_K = 1_000
DEFAULT_K = 10
MAX_SCORE_ITEMS = 1_000
MAX_EVENTS = 1_000
MAX_UNACKNOWLEDGED_BATCHES = 16
"""Of one stream, read and not yet durable."""
MAX_STREAMS = 8
"""Each may hold all its unacknowledged batches in memory."""
MAX_BATCH_NUMBER = 2**63
MAX_UPSERTS = 1_000
MAX_EMBEDDING_IDS = 1_000
MAX_ASSIGN_USERS = 100
MAX_FILTER_CATEGORIES = 100
MAX_FILTER_ITEMS = 1_000
MAX_ITEM_CATEGORIES = 32
MAX_PAGE_SIZE = 1_000
MAX_MODELS_PAGE_SIZE = 100
"""A model comes with its revisions."""
MAX_ID_BYTES = 256
MAX_NAME_BYTES = 1_024
MAX_JSON_BYTES = 8 * 1_024
MAX_ITEM_JSON_BYTES = 64 * 1_024
"""A vector of a text or a picture has some 1,500 numbers, each of up to 20 digits."""
MAX_MESSAGE_BYTES = 4 * 1_024 * 1_024
"""gRPC clients refuse larger answers by default, so larger ones would fail at the caller."""
MAX_HISTORY_EVENTS = 2_000
"""Newest events of a user that an answer is based on."""
DEFAULT_DEADLINE_MS = 30_000
"""Of a call with one answer whose caller named none: nobody is waited for for ever."""


_CONTROL = re.compile("[\x00-\x1f\x7f]")


def check_id(value: str, field: str) -> str:
    """An external id: 1 to MAX_ID_BYTES bytes of UTF-8 without control characters."""
    size = len(value.encode())
    if not 1 <= size <= MAX_ID_BYTES:
        raise BadInputError(
            f"{field} has {size} bytes, an id has 1 to {MAX_ID_BYTES}.", field=field, reason="INVALID_ID"
        )
    if _CONTROL.search(value):
        raise BadInputError(f"{field} holds control characters; an id has none.", field=field, reason="INVALID_ID")
    return value


def check_unknown(values: Sequence[str], known: NDArray[np.bool_], field: str) -> None:
    """`check_ids` of those that are not `known` [n]: what the server has heard of is an id."""
    for row in np.flatnonzero(~known).tolist():
        check_id(values[row], f"{field}[{row}]")


def check_ids(values: Sequence[str], field: str) -> list[str]:
    return [check_id(value, f"{field}[{row}]") for row, value in enumerate(values)]


def check_text(value: str, field: str, max_bytes: int = MAX_NAME_BYTES) -> str:
    """Text for people: any characters but NUL, which PostgreSQL cannot store."""
    if "\0" in value:
        raise BadInputError(f"{field} holds a NUL character.", field=field, reason="INVALID_TEXT")
    size = len(value.encode())
    if size > max_bytes:
        raise BadInputError(
            f"{field} has {size} bytes, at most {max_bytes} are allowed.", field=field, reason="TEXT_TOO_LONG"
        )
    return value


def check_count(rows: Sequence[object], field: str, most: int, *, least: int = 1) -> None:
    if not least <= len(rows) <= most:
        raise BadInputError(
            f"{field} has {len(rows)} entries, {least:,} to {most:,} are allowed.",
            hint="Split the request." if len(rows) > most else "",
            field=field,
            reason="TOO_MANY_ROWS" if len(rows) > most else "EMPTY_REQUEST",
        )


def check_unique(ids: Sequence[str], field: str) -> None:
    twice = next((value for value, times in Counter(ids).items() if times > 1), None)
    if twice is not None:
        message = f"{field} names {twice[:MAX_ID_BYTES]!r} twice."
        raise BadInputError(message, hint="Name each once.", field=field, reason="DUPLICATE_ID")


def check_k(k: int, field: str = "k") -> int:
    """0 means DEFAULT_K."""
    if k > MAX_K:
        raise BadInputError(f"{field} is {k:,}, at most {MAX_K:,} are answered.", field=field, reason="K_TOO_LARGE")
    return k or DEFAULT_K


def check_page_size(size: int, default: int, most: int = MAX_PAGE_SIZE) -> int:
    """0 means `default`; more than `most` is taken as `most`."""
    if size < 0:
        raise BadInputError(
            f"page_size is {size}, it must not be negative.", field="page_size", reason="INVALID_PAGE_SIZE"
        )
    return min(size or default, most)


def check_finite(value: float, field: str) -> float:
    if not math.isfinite(value):
        raise BadInputError(f"{field} is {value}; it must be finite.", field=field, reason="NOT_FINITE")
    return value
