"""Requests that nobody should send: every field of a descriptor filled with what may hurt."""

import random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from penchant.rpcs import Rpc

OWN = ("f-item", "f-user", "f-category", "f-event")
"""The only ids that are written to, so that the shop stays what other tests take it for."""
REAL = ("i1", "u1", "c1", "c-all", "m1", "m1.1", "newer-item")
STRINGS = (
    "", " ", "\0", "a\nb", "a\x7fb", "x" * 256, "x" * 257, "😀" * 64, "x" * 5_000, "'; DROP TABLE item; --",
    "%s %(a)s {0}", "\u202e", "\ud7ff\ue000", "m0.0", "m1.99", "m999999999999999999.999999999",
    "view", "purchase", "retract", "dislike", "name", "categories", "AAAA", "==",
)  # fmt: skip
FLOATS = (0.0, -0.0, 1.5, -1e308, 1e308, 5e-324, float("nan"), float("inf"), -float("inf"))
INTEGERS = (0, 1, -1, 7, 1_000, 1_001, 2**31 - 1, -(2**31), 2**32 - 1, 2**63 - 1, -(2**63))
LIMITS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}


def nasty_request(rpc: Rpc, seed: int) -> Message:
    """The same for the same seed."""
    chance = random.Random(f"{rpc.name} {seed}")
    is_read = rpc.name.startswith(("Get", "List", "Score", "Recommend", "Find", "Batch", "Export", "Assign"))
    request = rpc.request()
    _fill(request, chance, (*STRINGS, *OWN, *REAL) if is_read else (*STRINGS, *OWN))
    return request


def spoiled(data: bytes, seed: int) -> bytes:
    """A few bytes changed, cut off or added."""
    chance = random.Random(seed)
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        if changed and chance.random() < 0.7:
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        elif changed and chance.random() < 0.5:
            del changed[chance.randrange(len(changed)) :]
        else:
            changed += chance.randbytes(3)
    return bytes(changed)


def _fill(message: Message, chance: random.Random, strings: tuple[str, ...]) -> None:
    if isinstance(message, Timestamp):
        message.seconds = chance.choice((*(n for n in INTEGERS if abs(n) < 2**63), 1_700_000_000, -(2**63)))
        message.nanos = chance.choice((0, 1, 999_999_999, -1, 2**31 - 1))
    elif isinstance(message, Struct):
        message.update(_struct(chance))
    else:
        for field in message.DESCRIPTOR.fields:
            if chance.random() < 0.75:
                _set(message, field, chance, strings)


def _set(message: Message, field: Any, chance: random.Random, strings: tuple[str, ...]) -> None:
    if field.is_repeated:
        for _ in range(chance.choice((1, 1, 2, 3, 40))):
            if field.message_type is not None:
                _fill(getattr(message, field.name).add(), chance, strings)
            else:
                getattr(message, field.name).append(_scalar(field, chance, strings))
    elif field.message_type is not None:
        getattr(message, field.name).SetInParent()
        _fill(getattr(message, field.name), chance, strings)
    else:
        setattr(message, field.name, _scalar(field, chance, strings))


def _scalar(field: Any, chance: random.Random, strings: tuple[str, ...]) -> Any:
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_STRING:
        return chance.randbytes(5) if field.type == FieldDescriptor.TYPE_BYTES else chance.choice(strings)
    if kind in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT):
        return chance.choice(FLOATS)
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return chance.random() < 0.5
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        return chance.choice((0, 1, 2, 3, 99, -1))
    low, high = LIMITS[kind]
    return chance.choice([number for number in INTEGERS if low <= number <= high])


def _struct(chance: random.Random) -> dict[str, Any]:
    nested: Any = 1
    for _ in range(chance.choice((1, 20, 45))):
        nested = {"a": nested}
    return chance.choice(
        [
            {},
            {"": None, "a": [1, "x", {"b": True}]},
            {"a": chance.choice(FLOATS)},
            {"a": "b\0c", "d\0": 1},
            {"a": "y" * 9_000},
            {"deep": nested},
        ]
    )
