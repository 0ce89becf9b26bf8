"""p of any items of a user, all sources together: what memories say of every item that they name is noted at the look.

`say.py` tells apart what each source adds, for which it reads the memories' rows once more: a hundred thousand bytes of
a user with fifty events. Here a named item is a bit, and its number stands where the bits before it end.
"""

from typing import NamedTuple

import numpy as np

from graph.arrays import Float32s, Float64s, Int32s, Int64s, UInt64s
from training.fast.compiled import compiled
from training.fast.loops import closest

_LEAST = np.finfo(np.float32).tiny


class Named(NamedTuple):
    """Of L looks, one behind the other: what memories together say of every item that they name."""

    offsets: Int64s
    """[L + 1]"""
    item: Int32s
    """[N at least]"""
    value: Float32s
    """likewise: Σ over memories of weight · p"""


class Told(NamedTuple):
    """Of one user, N items that are named or are candidates."""

    bits: UInt64s
    """[V / 64]: a bit for each of them."""
    before: Int32s
    """[V / 64]: how many there are in the words before."""
    value: Float32s
    """[N], in the order of the items: what the memories add to p; of a candidate -p."""


class Items(NamedTuple):
    """What the other two sources read of items, as in `Tables`: a loop is handed each array anew at every call."""

    cell_place: Int32s
    vectors: Float32s
    prior: Float32s
    temperature: np.float32
    popularity: Float32s


@compiled
def note(
    named: Named,
    of_user: Int64s,
    rest: Float32s,
    candidates: Int32s,
    share: Float32s,
    n_candidates: Int64s,
    bits: UInt64s,
    before: Int32s,
    value: Float32s,
    ends: Int64s,
) -> None:
    """Fills `bits` and `before` [B, V / 64], `value`, user by user, and where each ends in `ends` [B].

    rest: [L], by which what the memories say is multiplied; candidates: [B, C], the first `n_candidates` [B], and what
    each source adds to p of them, `share` [B, C, S].
    """
    begin = 0
    for b in range(len(ends)):
        bit, prior, looks = bits[b], before[b], (of_user[b], of_user[b + 1])
        bit[:] = 0
        for j in range(named.offsets[looks[0]], named.offsets[looks[1]]):
            bit[named.item[j] >> 6] |= _bit(named.item[j])
        for c in range(n_candidates[b]):
            bit[candidates[b, c] >> 6] |= _bit(candidates[b, c])
        n = 0
        for word in range(len(bit)):
            prior[word] = n
            n += int(_count(bit[word]))
        mine = value[begin : begin + n]
        mine[:] = 0
        for row in range(looks[0], looks[1]):
            for j in range(named.offsets[row], named.offsets[row + 1]):
                mine[_place(bit, prior, named.item[j])] += rest[row] * named.value[j]
        for c in range(n_candidates[b]):
            p = np.float32(0)
            for s in range(share.shape[2]):
                p += share[b, c, s]
            mine[_place(bit, prior, candidates[b, c])] = -max(p, _LEAST)
        begin += n
        ends[b] = begin


@compiled
def tell(
    items: Items, told: Told, vectors: Float32s, log_z: Float32s, weights: Float32s, wanted: Int32s, out: Float64s
) -> None:
    """p of the items `wanted` [n] into `out` [n].

    Of the user, looked at R times: vectors: [R, K, dim]; log_z: [R]; weights: [R, S], by which p_net, the first, and
    popularity, the last, are multiplied.
    """
    popularity = weights.shape[1] - 1
    for j in range(len(wanted)):
        item, said = wanted[j], np.float32(0)
        if told.bits[item >> 6] & _bit(item):
            said = told.value[_place(told.bits, told.before, item)]
            if said < 0:
                out[j] = -said
                continue
        here, total = items.cell_place[item], np.float64(said)
        for row in range(len(log_z)):
            logit = items.temperature * closest(vectors[row], items.vectors[here]) + items.prior[here]
            total += weights[row, 0] * np.exp(logit - log_z[row]) + weights[row, popularity] * items.popularity[item]
        out[j] = total


@compiled
def _place(bits: UInt64s, before: Int32s, item: int) -> int:
    word = item >> 6
    return int(before[word] + _count(bits[word] & (_bit(item) - np.uint64(1))))


@compiled
def _bit(item: int) -> np.uint64:
    return np.uint64(1) << np.uint64(item & 63)


@compiled
def _count(word: np.uint64) -> np.int64:
    """Ones; compilers know this sum of ever wider groups for the one instruction that it is."""
    word -= (word >> np.uint64(1)) & np.uint64(0x5555555555555555)
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))
