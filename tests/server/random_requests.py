"""Requests that nobody should send: every field of a descriptor filled with what may hurt, or with what is right."""

import random
from collections.abc import Sequence
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from penchant.rpcs import Rpc

from server.tokens import Place, encode, packed

OWN = ("f-item", "f-user", "f-category", "f-event")
"""The only ids that are written to, so that the shop stays what other tests take it for."""
IDENTITIES = {"id", "user", "event_id", "retracts"}
"""Fields of a row that say whom a write is about; at the top of a request each field may."""
REAL = {
    "user": ("u1", "u2", "u63", "nobody"),
    "item": ("i1", "i2", "i59", "i9", "newer-item", "no such item"),
    "categor": ("c1", "c-all", "c-empty", "no such category"),
    "parent": ("c1", "c-all", ""),
    "model": ("m1", "m2"),
    "version": ("m1.1", "m1.2", "m1.3", "m9.9"),
    "segment": ("s0", "s1", "1"),
    "kind": ("view", "purchase", "retract", "dislike", ""),
    "paths": ("name", "categories", "available", "attributes", "parent"),
    "vector_space": ("m1", "m2"),
}
"""What is right for fields in whose name this stands."""
STRINGS = (
    "", " ", "\0", "a\nb", "a\x7fb", "x" * 256, "x" * 257, "😀" * 64, "x" * 5_000, "'; DROP TABLE item; --",
    "%s %(a)s {0}", "\u202e", "\ud7ff\ue000", "\ufeff", "\u2028", "m0.0", "m1.99", "m999999999999999999.999999999",
    "m1.99999999999999999999", "view", "purchase", "retract", "dislike", "name", "categories", "AAAA", "==",
)  # fmt: skip
FLOATS = (0.0, -0.0, 1.5, -1e308, 1e308, 5e-324, float("nan"), float("inf"), -float("inf"))
INTEGERS = (0, 1, -1, 7, 1_000, 1_001, 2**31 - 1, -(2**31), 2**32 - 1, 2**63 - 1, -(2**63), 2**64 - 1)
LIMITS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
HUGE_BYTES = 1_000_000
MOST, MANY = 1_000, 10_000
DIM = 16
MARKS: tuple[object, ...] = (
    "segments", "users", "models", ("items", ""), ("categories", ""), ("items", "c1"), ("members", "s0"),
    ("export", "item", False), ("export", "user", False), ("export", "category", True),
)  # fmt: skip
"""What tokens are bound to: some forged ones have to get past that."""


def is_read(rpc: Rpc) -> bool:
    """As its options say; an rpc that says nothing may write."""
    service, name = rpc.path.split("/")[1:]
    method = rpc.request.DESCRIPTOR.file.services_by_name[service.rsplit(".")[-1]].methods_by_name[name]
    return bool(method.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS)


def nasty_request(rpc: Rpc, chance: random.Random) -> Message:
    """The same for the same chance. Some requests are right but for one thing, some are nonsense throughout."""
    request = rpc.request()
    _Filler(chance, writes=not is_read(rpc)).fill(request)
    return request


class _Filler:
    def __init__(self, chance: random.Random, *, writes: bool) -> None:
        self._chance = chance
        self._writes = writes
        self._nasty = chance.choice((0.0, 0.0, 0.05, 0.3, 0.9))
        """How probable it is that a value is one that may hurt."""
        self._filled = chance.choice((0.4, 0.8, 1.0))
        self._excess = chance.choice(("text", "rows", "")) if chance.random() < 0.03 else ""
        """What there is far too much of, once in the request."""

    def fill(self, message: Message, *, depth: int = 0) -> None:
        if isinstance(message, Timestamp):
            self._fill_time(message)
        elif isinstance(message, Struct):
            message.update(_struct(self._chance))
        else:
            for field in message.DESCRIPTOR.fields:
                if self._chance.random() < self._filled:
                    self._set(message, field, depth)

    def _hurts(self) -> bool:
        return self._chance.random() < self._nasty

    def _fill_time(self, time: Timestamp) -> None:
        time.seconds = self._chance.choice((1_600_000_000, 1_700_000_000, 1_600_000_000 + 86_400 * 50))
        if self._hurts():
            time.seconds = self._chance.choice((*(n for n in INTEGERS if -(2**63) <= n < 2**63), 253_402_300_800))
            time.nanos = self._chance.choice((0, 1, 999_999_999, -1, 2**31 - 1))

    def _set(self, message: Message, field: Any, depth: int) -> None:
        if field.is_repeated:
            rows = getattr(message, field.name)
            for _ in range(self._rows(field)):
                if field.message_type is not None:
                    self.fill(rows.add(), depth=depth + 1)
                else:
                    rows.append(self._scalar(field, depth))
            if self._excess == "rows" and len(rows):
                self._excess = ""
                rows.extend([rows[0]] * self._chance.choice((MOST - len(rows), MOST, MANY)))
        elif field.message_type is not None:
            getattr(message, field.name).SetInParent()
            self.fill(getattr(message, field.name), depth=depth + 1)
        else:
            setattr(message, field.name, self._scalar(field, depth))

    def _rows(self, field: Any) -> int:
        if field.cpp_type in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
            return self._chance.choice((DIM, DIM, DIM - 1, DIM + 1, 1))
        return self._chance.choice((1, 1, 2, 3, 40))

    def _scalar(self, field: Any, depth: int) -> Any:
        kind = field.cpp_type
        if kind == FieldDescriptor.CPPTYPE_STRING:
            is_bytes = field.type == FieldDescriptor.TYPE_BYTES
            return self._chance.randbytes(5) if is_bytes else self._text(field.name, depth)
        if kind in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT):
            return self._chance.choice(FLOATS) if self._hurts() else self._chance.uniform(-5, 5)
        if kind == FieldDescriptor.CPPTYPE_BOOL:
            return self._chance.random() < 0.5
        if kind == FieldDescriptor.CPPTYPE_ENUM:
            return self._chance.choice((99, -1) if self._hurts() else [each.number for each in field.enum_type.values])
        low, high = LIMITS[kind]
        integers = [number for number in INTEGERS if low <= number <= high]
        return self._chance.choice(integers) if self._hurts() else self._chance.choice((1, 1, 3, 10))

    def _text(self, name: str, depth: int) -> str:
        if self._excess == "text":
            self._excess = ""
            return self._chance.choice(("x", "😀", "\n", "\0")) * (HUGE_BYTES // 4)
        if name.endswith("_token"):
            return _token(self._chance)
        if self._hurts():
            return self._chance.choice(STRINGS)
        if self._writes and (depth == 0 or name in IDENTITIES) and not name.endswith(("version", "reason")):
            return self._chance.choice(OWN)
        right = self._chance.choice(_right_for(name))
        if self._writes and right.startswith("m1."):
            return "m9.9"  # neither a flipped bit nor another field's number activates what there is
        return right


def _right_for(name: str) -> Sequence[str]:
    return next((texts for part, texts in REAL.items() if part in name), sum(REAL.values(), ()))


def _token(chance: random.Random) -> str:
    """Empty, junk, whole but for a letter, or forged with care: the checksum is right and what it guards is not."""
    mark = chance.choice(MARKS)
    last = chance.choice(("", "1", "-1", "i1", "u1", "c1", "9" * 30, "1e3", "x" * 300, "\0", "²"))
    token = encode(
        Place(last, chance.choice(("m1.1", "m1.2", "")), chance.choice(INTEGERS), chance.choice(INTEGERS)), mark
    )
    kind = chance.randrange(6)
    if kind == 0:
        return chance.choice(("", "====", "AAAA", "😀"))
    if kind == 1:
        place = chance.randrange(len(token))
        return token[:place] + chance.choice("Aa0_-=\n") + token[place + 1 :]
    if kind == 2:
        bodies = (
            b"",
            b"5",
            b"null",
            b"[]",
            b"{}",
            b"[" * 100_000,
            b"[1,2,3,4,5]",
            b'[[],{},"a",null,0]',
            b"\xff",
            b"NaN",
        )
        return packed(chance.choice(bodies))
    return token


def _struct(chance: random.Random) -> dict[str, Any]:
    nested: Any = 1
    for _ in range(chance.choice((1, 20, 30))):
        nested = {"a": nested}
    return chance.choice(
        [
            {},
            {"": None, "a": [1, "x", {"b": True}]},
            {"a": chance.choice(FLOATS)},
            {"a": "b\0c", "d\0": 1},
            {"a": "y" * 9_000},
            {"a": [1e308] * 500},
            {"deep": nested},
        ]
    )
