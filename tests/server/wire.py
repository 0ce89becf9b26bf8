"""Messages as bytes on the wire, written by hand: what no library would send, and bytes that are no message."""

import random
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from google.protobuf.struct_pb2 import Struct

VARINT, FIXED64, DELIMITED, START_GROUP, END_GROUP, FIXED32 = range(6)


def varint(number: int) -> bytes:
    written = bytearray()
    while number > 127:
        written.append(number & 127 | 128)
        number >>= 7
    written.append(number)
    return bytes(written)


def tag(number: int, wire_type: int) -> bytes:
    return varint(number << 3 | wire_type)


def delimited(number: int, data: bytes) -> bytes:
    return tag(number, DELIMITED) + varint(len(data)) + data


@cache
def deep_struct(depth: int) -> bytes:
    """A Struct within a Struct, so many times: libraries refuse to write what nobody would read."""
    length, before = 0, []
    for _ in range(depth):  # only what comes before what is inside: copying the inside each time takes for ever
        value = tag(5, DELIMITED) + varint(length)
        entry = delimited(1, b"a") + tag(2, DELIMITED) + varint(len(value) + length) + value
        before.append(tag(1, DELIMITED) + varint(len(entry) + length) + entry)
        length += len(before[-1])
    return b"".join(reversed(before))


def path_to_struct(descriptor: Any, seen: frozenset[str] = frozenset()) -> tuple[int, ...] | None:
    """The numbers of the fields that lead to a Struct below a message of this type; None: there is none."""
    for field in descriptor.fields:
        below = field.message_type
        if below is None or below.full_name in seen:
            continue
        if below.full_name == Struct.DESCRIPTOR.full_name:
            return (field.number,)
        deeper = path_to_struct(below, seen | {descriptor.full_name})
        if deeper is not None:
            return (field.number, *deeper)
    return None


def with_deep_struct(data: bytes, path: tuple[int, ...], depth: int) -> bytes:
    inner = deep_struct(depth)
    for number in reversed(path):
        inner = delimited(number, inner)
    return data + inner


def mutated(data: bytes, chance: random.Random) -> bytes:
    """`data` with one to four things wrong with it."""
    for _ in range(chance.randint(1, 4)):
        try:
            fields = list(_fields(data))
        except (IndexError, ValueError):
            fields = []
        how = chance.choice(_OF_FIELDS) if fields and chance.random() < 0.7 else None
        data = how(fields, chance) if how else chance.choice(_OF_BYTES)(data, chance)
    return data


Field = tuple[int, int, bytes]
"""Number, wire type, and what comes after the tag."""


def _fields(data: bytes) -> Iterator[Field]:
    """IndexError or ValueError where the bytes are no fields."""
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        start, wire_type = at, key & 7
        if wire_type == VARINT:
            _, at = _read_varint(data, at)
        elif wire_type == DELIMITED:
            length, at = _read_varint(data, at)
            at += length
        elif wire_type in (FIXED32, FIXED64):
            at += 4 if wire_type == FIXED32 else 8
        else:
            raise ValueError(wire_type)
        if at > len(data):
            raise IndexError(at)
        yield key >> 3, wire_type, data[start:at]


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = 0
    for place in range(10):
        byte = data[at + place]
        number |= (byte & 127) << 7 * place
        if byte < 128:
            return number, at + place + 1
    raise ValueError("longer than any number")


def _joined(fields: list[Field]) -> bytes:
    return b"".join(tag(number, wire_type) + rest for number, wire_type, rest in fields)


def _one_changed(fields: list[Field], chance: random.Random, change: Callable[[int, int, bytes], bytes]) -> bytes:
    place = chance.randrange(len(fields))
    return _joined(fields[:place]) + change(*fields[place]) + _joined(fields[place + 1 :])


def _dropped(fields: list[Field], chance: random.Random) -> bytes:
    return _one_changed(fields, chance, lambda *_: b"")


def _repeated(fields: list[Field], chance: random.Random) -> bytes:
    times = chance.choice((2, 3, 50))
    return _one_changed(fields, chance, lambda number, wire_type, rest: (tag(number, wire_type) + rest) * times)


def _shuffled(fields: list[Field], chance: random.Random) -> bytes:
    return _joined(chance.sample(fields, len(fields)))


def _of_another_type(fields: list[Field], chance: random.Random) -> bytes:
    return _one_changed(fields, chance, lambda number, _, rest: tag(number, chance.randrange(8)) + rest)


def _of_another_number(fields: list[Field], chance: random.Random) -> bytes:
    other = chance.choice((0, 1, 2, 3, 5, 15, 16, 19_000, 2**29 - 1, 2**29))
    return _one_changed(fields, chance, lambda _, wire_type, rest: tag(other, wire_type) + rest)


def _of_another_length(fields: list[Field], chance: random.Random) -> bytes:
    def change(number: int, wire_type: int, rest: bytes) -> bytes:
        if wire_type != DELIMITED:
            return tag(number, wire_type) + rest[:-1]
        length, at = _read_varint(rest, 0)
        wrong = chance.choice((0, max(0, length - 1), length + 1, 2 * length, 2**31 - 1, 2**32, 2**63, 2**64 - 1))
        return tag(number, wire_type) + varint(wrong) + rest[at:]

    return _one_changed(fields, chance, change)


def _changed_inside(fields: list[Field], chance: random.Random) -> bytes:
    def change(number: int, wire_type: int, rest: bytes) -> bytes:
        if wire_type != DELIMITED:
            return tag(number, wire_type) + varint(chance.choice((0, 1, 2**31, 2**32, 2**63, 2**64 - 1)))
        _, at = _read_varint(rest, 0)
        return delimited(number, mutated(rest[at:], chance))

    return _one_changed(fields, chance, change)


def _no_text(fields: list[Field], chance: random.Random) -> bytes:
    """A lone surrogate, an overlong NUL, a byte that no text has."""
    wrong = chance.choice((b"\xed\xa0\x80", b"\xc0\x80", b"\xff", b"a\x80", b"\xf4\x90\x80\x80"))
    return _one_changed(fields, chance, lambda number, *_: delimited(number, wrong))


def _unknown_added(data: bytes, chance: random.Random) -> bytes:
    number = chance.choice((100, 999, 2**29 - 1))
    return data + chance.choice(
        (
            tag(number, VARINT) + varint(2**64 - 1),
            tag(number, FIXED64) + b"12345678",
            delimited(number, chance.randbytes(20)),
            tag(number, START_GROUP) + delimited(1, b"x") + tag(number, END_GROUP),
            tag(number, START_GROUP) * 200,
            tag(number, END_GROUP),
            tag(number, VARINT) + b"\xff" * 11,
        )
    )


def _cut(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data) + 1)]


def _bits_flipped(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data or b"\0")
    for _ in range(chance.choice((1, 1, 2, 8))):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _random(_: bytes, chance: random.Random) -> bytes:
    return chance.randbytes(chance.choice((1, 2, 10, 100, 1_000)))


def _emptied(_: bytes, __: random.Random) -> bytes:
    return b""


_OF_FIELDS = (
    _dropped, _repeated, _shuffled, _of_another_type, _of_another_number, _of_another_length, _changed_inside,
    _changed_inside, _no_text,
)  # fmt: skip
_OF_BYTES = (_unknown_added, _cut, _bits_flipped, _bits_flipped, _random, _emptied)
