"""Between our arrays and times and the messages of penchant.v1, in both directions."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from numpy.typing import NDArray
from penchant.v1 import common_pb2 as common

from graph.storage.errors import BadInputError
from graph.storage.times import EVER_US, SECOND_US
from server.limits import MAX_JSON_BYTES

_FIRST_S, _LAST_S = -62_135_596_800, 253_402_300_799
"""The years 1 to 9999, which is all that a Timestamp may hold."""


LAST_US = (_LAST_S + 1) * SECOND_US - 1


def timestamp(us: int) -> Timestamp:
    return Timestamp(seconds=us // SECOND_US, nanos=us % SECOND_US * 1_000)


def timestamp_or_ever(us: int) -> Timestamp | None:
    """None, which leaves the field unset, for what holds from ever."""
    return None if us <= EVER_US else timestamp(us)


def microseconds(value: Timestamp, field: str) -> int:
    """Raises BadInputError for what is no time."""
    if not (_FIRST_S <= value.seconds <= _LAST_S and 0 <= value.nanos < 1_000_000_000):
        raise BadInputError(
            f"{field} is no time: {value.seconds} s and {value.nanos} ns.",
            hint="Seconds count from 1970, nanos from 0 to 999,999,999.",
            field=field,
            reason="INVALID_TIME",
        )
    return value.seconds * SECOND_US + value.nanos // 1_000


def wants_half(element_type: int, field: str = "element_type") -> bool:
    """Whether half precision is asked for; not set means single. BadInputError for what this server does not know."""
    if element_type not in (common.ELEMENT_TYPE_UNSPECIFIED, common.ELEMENT_TYPE_F32, common.ELEMENT_TYPE_F16):
        raise BadInputError(f"{field} {element_type} is not known here.", field=field, reason="UNKNOWN_ELEMENT_TYPE")
    return element_type == common.ELEMENT_TYPE_F16


def contributions(sources: tuple[str, ...], shares: NDArray[np.floating[Any]]) -> Iterable[common.Contribution]:
    """The parts of one probability, largest first, without those that bring nothing."""
    order = np.argsort(-shares, kind="stable")
    return [common.Contribution(source=sources[s], share=float(shares[s])) for s in order if shares[s] > 0]


def json_text(value: Struct, field: str, most: int = MAX_JSON_BYTES) -> str | None:
    """A Struct as JSON, None where it is empty. Refuses what is too large or no JSON, such as NaN."""
    if not value.fields:
        return None
    try:
        text = json.dumps(json_format.MessageToDict(value), allow_nan=False, ensure_ascii=False)
    except (ValueError, json_format.SerializeToJsonError) as error:
        raise BadInputError(f"{field} holds numbers that are not finite.", field=field, reason="NOT_FINITE") from error
    if len(text.encode()) > most:
        message = f"{field} has {len(text.encode()):,} bytes as JSON, at most {most:,} are allowed."
        raise BadInputError(message, field=field, reason="JSON_TOO_LARGE")
    return text


def struct(value: Mapping[str, Any] | None) -> Struct:
    message = Struct()
    if value:
        json_format.ParseDict(dict(value), message)
    return message
