"""64-bit hashes of whole columns, the same on every machine and in every run (Python's hash() is neither)."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from graph.arrays import UInt64s

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def mix(bits: UInt64s) -> UInt64s:
    """The finaliser of SplitMix64 (Steele, Lea, Flood 2014): one bit of input flips half of the output."""
    bits = bits + _GOLDEN
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def hash_strings(strings: pa.StringArray) -> UInt64s:
    """uint64 [n]: the sum over a string's bytes of mix(place, byte), mixed with its length. No nulls."""
    if not len(strings):
        return np.zeros(0, np.uint64)
    strings = strings.cast(pa.large_string())
    _, offset_buffer, byte_buffer = strings.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64)[strings.offset : strings.offset + len(strings) + 1]
    first, end = int(offsets[0]), int(offsets[-1])
    text = np.frombuffer(byte_buffer, np.uint8)[first:end] if end > first else np.zeros(0, np.uint8)
    lengths = np.diff(offsets)
    place = np.arange(first, end) - np.repeat(offsets[:-1], lengths)
    summed = np.concatenate([[np.uint64(0)], np.cumsum(mix((place << 8).astype(np.uint64) | text), dtype=np.uint64)])
    return mix(summed[offsets[1:] - first] - summed[offsets[:-1] - first] + lengths.astype(np.uint64))


def hash_rows(*columns: npt.NDArray[Any]) -> UInt64s:
    """uint64 [n]: one hash per row over integer, boolean or float columns [n]; order of the columns counts."""
    total = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        if column.dtype.kind == "f":  # bit patterns, all NaN alike
            bits = np.where(np.isnan(column), np.nan, column).astype(np.float64).view(np.uint64)
        else:
            bits = column.astype(np.uint64)
        total = mix(total ^ bits)
    return total
