"""One pass over a batch of users: which items matter to each, what every source says of them, what the ranker reads.

Memories name a few thousand items of a catalog, and nothing is done with all the others. A *look* is at the whole
history of a user, or at its newest events alone (`training/recency.py`); L looks at B users, the users' looks one
behind the other. Everything is done user by user, so that what is worked on stays in the cache.
"""

from typing import NamedTuple

import numpy as np

from graph.arrays import Bools, Float32s, Int32s, Int64s
from training.fast.compiled import compiled
from training.fast.loops import (
    LEAST_P,
    choose,
    closest,
    look_into_cells,
    mix,
    recall_into,
    strongest_said,
    strongest_seen,
    weigh,
)
from training.fast.tables import Tables
from training.fast.told import Named
from training.ranker_features import HAD, NEW


class Looks(NamedTuple):
    """What is looked at. Compressed rows by look where there is a pair of `…_offsets` and values."""

    of_user: Int64s
    """[B + 1]: the looks at user b are of_user[b] … of_user[b + 1]."""
    length: Int64s
    """[L]: events in the history."""
    personal: Bools
    """[L]: popularity has no say."""
    vectors: Float32s
    """[L, K, dim]"""
    estimate: Float32s
    """[L, cells]: log of each cell's estimated share of Z."""
    through: Bools
    """[M]: whether `spoken` is what the user had, or is recalled already."""
    spoken_offsets: tuple[Int64s, ...]
    spoken_item: tuple[Int32s, ...]
    spoken_weight: tuple[Float32s, ...]
    own_offsets: Int64s
    own_item: Int32s
    """Each item of the history once."""
    recent_offsets: Int64s
    recent_item: Int32s
    recent_is_last: Bools
    """The newest events, and which of them belong to the last step."""


class Seen(NamedTuple):
    """What was found: C candidates at most a user; R = NEW + HAD for the ranker; F features."""

    n: Int64s
    """[B]: candidates."""
    item: Int32s
    """[B, C]"""
    weights: Float32s
    """[L, S]: the gate's"""
    log_z: Float32s
    """[L]: of the net"""
    scale: Float32s
    """[L, M]: what makes a distribution of what each memory says"""
    by_source: Float32s
    """[L, C, S]: p_k"""
    chosen: Int64s
    """[L, R]: places among the candidates, -1 for none; new items first, then such as the user had."""
    features: Float32s
    """[L, R, F]"""


class Scratch(NamedTuple):
    """What is worked in, used again and again: fresh memory costs more than the work."""

    said: Float32s
    """[2, M, V], 0 everywhere between two users"""
    named: Int32s
    """[2, M, V + 1]: of which items; one more than there are, since loops note an item before they know if it counts"""
    mixed: Float32s
    """[V], 0 everywhere"""
    work: Float32s
    place: Int32s
    logit: Float32s
    found: Int32s
    """[V + 1], likewise"""
    position: Int32s
    """[V], -1 everywhere between two users"""
    profile: Float32s
    """[2, D], 0 everywhere between two looks"""


def scratch_for(t: Tables, n_cells: int) -> Scratch:
    n_items = len(t.popularity)
    return Scratch(
        said=np.zeros((2, len(t.memory_indptr), n_items), np.float32),
        named=np.empty((2, len(t.memory_indptr), n_items + 1), np.int32),
        mixed=np.zeros(n_items, np.float32),
        work=np.empty(max(n_items, n_cells), np.float32),
        place=np.empty(n_items, np.int32),
        logit=np.empty(n_items, np.float32),
        found=np.empty(n_items + 1, np.int32),
        position=np.full(n_items, -1, np.int32),
        profile=np.zeros((2, t.n_categories), np.float32),
    )


@compiled
def look(t: Tables, looks: Looks, seen: Seen, listed: Named, scratch: Scratch, strongest: int) -> None:
    """strongest: so many items of the net, and of memories and popularity together, become candidates.

    listed: has room for all that memories name; filled unless the whole catalog are candidates.
    """
    n_items, n_memories = len(t.popularity), len(looks.through)
    said, named, mixed, work, place = scratch.said, scratch.named, scratch.mixed, scratch.work, scratch.place
    logit, found, position, profile = scratch.logit, scratch.found, scratch.position, scratch.profile
    n_looks = 2
    n_named, trusted = np.zeros((n_looks, n_memories), np.int64), np.empty(n_memories, np.float32)
    gate = np.empty((n_looks, 2 + 2 * n_memories), np.float32)
    had, p = np.zeros(seen.item.shape[1], np.bool_), np.empty(seen.item.shape[1], np.float32)
    capacity = seen.item.shape[1]
    for b in range(len(seen.n)):
        items, n = seen.item[b], 0
        first = looks.of_user[b]
        for row in range(first, looks.of_user[b + 1]):
            at = row - first
            user = looks.vectors[row]
            n_near, seen.log_z[row] = look_into_cells(
                user, looks.estimate[row], t.cell_offsets, t.vectors, t.prior, t.temperature, place, logit, work
            )
            most_net = np.float32(0)
            for j in range(n_near):
                most_net = max(most_net, np.exp(logit[j] - seen.log_z[row]))
            speaks = np.empty(n_memories + 2, np.bool_)
            speaks[0] = looks.length[row] > 0
            gate[at, 0] = np.log(np.float32(1 + looks.length[row]))
            gate[at, 1] = np.log(max(most_net, np.float32(1e-9)))
            any_speaks = speaks[0]
            for m in range(n_memories):
                begin, end = looks.spoken_offsets[m][row], looks.spoken_offsets[m][row + 1]
                n_named[at, m], total, most = recall_into(
                    said[at, m],
                    named[at, m],
                    looks.spoken_item[m][begin:end],
                    looks.spoken_weight[m][begin:end],
                    looks.through[m],
                    t.memory_indptr[m],
                    t.memory_indices[m],
                    t.memory_data[m],
                    t.memory_boost[m],
                )
                seen.scale[row, m] = np.float32(1) / total if total > 0 else np.float32(0)
                speaks[m + 1] = n_named[at, m] > 0
                any_speaks |= n_named[at, m] > 0
                gate[at, 2 + 2 * m] = np.log(np.float32(1 + n_named[at, m]))
                gate[at, 3 + 2 * m] = np.log(max(most * seen.scale[row, m], np.float32(1e-4)))
            speaks[n_memories + 1] = not (looks.personal[row] and any_speaks)
            weigh(t.gate_mean, t.gate_scale, t.gate_weight, t.gate_bias, gate[at], speaks, seen.weights[row])
            listed.offsets[row + 1] = listed.offsets[row]
            if n_items <= capacity:
                continue
            k = strongest_seen(place, logit, n_near, strongest, t.cell_item, found, work)
            for j in range(k):
                n = _add(found[j], items, position, n, capacity)
            for m in range(n_memories):
                trusted[m] = seen.scale[row, m] * seen.weights[row, m + 1]
            n_mixed = mix(said[at], named[at], n_named[at], trusted, mixed, found)
            for j in range(n_mixed):
                listed.item[listed.offsets[row] + j] = found[j]
                listed.value[listed.offsets[row] + j] = mixed[found[j]]
            listed.offsets[row + 1] += n_mixed
            trust = seen.weights[row, n_memories + 1]
            k = strongest_said(n_mixed, trust, t.popularity, t.by_popularity, strongest, mixed, found, work)
            for j in range(k):
                n = _add(found[j], items, position, n, capacity)
            for j in range(looks.own_offsets[row], looks.own_offsets[row + 1]):
                n = _add(looks.own_item[j], items, position, n, capacity)
        if n_items <= capacity:
            for i in range(n_items):
                n = _add(i, items, position, n, capacity)
        seen.n[b] = n
        for row in range(first, looks.of_user[b + 1]):
            at = row - first
            by_source = seen.by_source[row]
            for c in range(n):
                here = t.cell_place[items[c]]
                by_source[c, 0] = np.exp(
                    t.temperature * closest(looks.vectors[row], t.vectors[here]) + t.prior[here] - seen.log_z[row]
                )
                for m in range(n_memories):
                    by_source[c, m + 1] = seen.scale[row, m] * said[at, m, items[c]]
                by_source[c, n_memories + 1] = t.popularity[items[c]]
            seen.chosen[row] = -1
            if seen.features.shape[2] == 0 or looks.length[row] == 0:
                continue
            own = looks.own_item[looks.own_offsets[row] : looks.own_offsets[row + 1]]
            recent_begin, recent_end = looks.recent_offsets[row], looks.recent_offsets[row + 1]
            recent, is_last = (
                looks.recent_item[recent_begin:recent_end],
                looks.recent_is_last[recent_begin:recent_end],
            )
            end_new, end_had = _choose(by_source, seen.weights[row], n, own, position, seen.chosen[row], had, p, work)
            _add_profiles(
                recent, is_last, t.category_indptr, t.category_indices, t.category_weight, t.category_norm, profile
            )
            for begin, end in ((0, end_new), (NEW, end_had)):
                chosen, x = seen.chosen[row, begin:end], seen.features[row, begin:end]
                _read_sources(x, chosen, by_source, p, had, gate[at])
                first_of_item = 3 * (n_memories + 2) - 1
                for r in range(end - begin):
                    item = items[chosen[r]]
                    x[r, first_of_item : first_of_item + 6] = t.pace[item]
                    low, high = t.category_indptr[item], t.category_indptr[item + 1]
                    _likeness(
                        t.category_indices[low:high],
                        t.category_weight[low:high],
                        t.category_norm[item],
                        profile,
                        x[r, first_of_item + 6 : first_of_item + 10],
                    )
                    _nearness(
                        t.vectors, t.cell_place, item, recent, is_last, x[r, first_of_item + 10 : first_of_item + 13]
                    )
            for e in range(len(recent)):
                for j in range(t.category_indptr[recent[e]], t.category_indptr[recent[e] + 1]):
                    profile[:, t.category_indices[j]] = 0
        for at in range(n_looks):
            for m in range(n_memories):
                for j in range(n_named[at, m]):
                    said[at, m, named[at, m, j]] = 0
                n_named[at, m] = 0
        for c in range(n):
            position[items[c]] = -1


@compiled
def _add(item: int, items: Int32s, position: Int32s, n: int, capacity: int) -> int:
    if position[item] >= 0 or n >= capacity:
        return n
    position[item] = n
    items[n] = item
    return n + 1


@compiled
def _choose(
    by_source: Float32s,
    weights: Float32s,
    n: int,
    own: Int32s,
    position: Int32s,
    chosen: Int64s,
    had: Bools,
    p: Float32s,
    work: Float32s,
) -> tuple[int, int]:
    """The ranker's candidates: new ones from 0 on, such as the user had from NEW on; where either end.

    Fills `had` and `p` [n].
    """
    had[:n] = False
    for item in own:
        if position[item] >= 0:
            had[position[item]] = True
    for c in range(n):
        total = np.float32(0)
        for s in range(len(weights)):
            total += weights[s] * by_source[c, s]
        p[c] = total
    end_new = choose(p[:n], had[:n], False, NEW, chosen, 0, work)
    return end_new, choose(p[:n], had[:n], True, HAD, chosen, NEW, work)


@compiled
def _read_sources(x: Float32s, chosen: Int64s, by_source: Float32s, p: Float32s, had: Bools, gate: Float32s) -> None:
    """Features of one kind of candidates: what the sources say, how high each ranks them, and those of the user."""
    n_sources = by_source.shape[1]
    named, ranks, mixed = n_sources, 2 * n_sources - 2, 3 * n_sources - 3
    values = np.empty(len(chosen), np.float32)
    for s in range(n_sources):
        for r in range(len(chosen)):
            values[r] = by_source[chosen[r], s]
            x[r, s] = np.log(max(values[r], LEAST_P))
        if 0 < s < n_sources - 1:
            for r in range(len(chosen)):
                x[r, named + s - 1] = np.float32(1) if values[r] > 0 else np.float32(0)
        if s < n_sources - 1:
            for r in range(len(chosen)):
                stronger = np.float32(0)
                for j in range(len(values)):
                    stronger += np.float32(1) if values[j] > values[r] else np.float32(0)
                x[r, ranks + s] = np.log(np.float32(1) + stronger)
    for r in range(len(chosen)):
        x[r, mixed] = np.log(max(p[chosen[r]], LEAST_P))
        x[r, mixed + 1] = np.float32(1) if had[chosen[r]] else np.float32(0)
        x[r, x.shape[1] - len(gate) :] = gate


@compiled
def _add_profiles(
    recent: Int32s,
    is_last: Bools,
    indptr: Int64s,
    indices: Int32s,
    weight: Float32s,
    norm: Float32s,
    profile: Float32s,
) -> None:
    """The means of the recent items' unit vectors of categories: of the last step, of all of them; [2, D]."""
    n_last = np.float32(0)
    for e in range(len(recent)):
        n_last += np.float32(1) if is_last[e] else np.float32(0)
    for e in range(len(recent)):
        for j in range(indptr[recent[e]], indptr[recent[e] + 1]):
            part = weight[j] / norm[recent[e]]
            profile[1, indices[j]] += part / np.float32(len(recent))
            if is_last[e]:
                profile[0, indices[j]] += part / n_last


@compiled
def _likeness(categories: Int32s, weights: Float32s, norm: np.float32, profile: Float32s, out: Float32s) -> None:
    """Cosine with the last step's categories and with the history's, and the rarest category shared with either."""
    out[:] = 0
    for j in range(len(categories)):
        for of in range(2):
            there = profile[of, categories[j]]
            out[of] += weights[j] * there
            if there > 0:
                out[2 + of] = max(out[2 + of], weights[j])
    out[0] /= norm
    out[1] /= norm


@compiled
def _nearness(vectors: Float32s, place: Int32s, item: int, recent: Int32s, is_last: Bools, out: Float32s) -> None:
    """Cosine with the recent items' vectors: the mean over the last step, the mean over all, the largest."""
    mine = vectors[place[item]]
    last, n_last, total, most = np.float32(0), np.float32(0), np.float32(0), np.float32(-2)
    for e in range(len(recent)):
        other = vectors[place[recent[e]]]
        cosine = np.float32(0)
        for d in range(len(mine)):
            cosine += mine[d] * other[d]
        total += cosine
        most = max(most, cosine)
        if is_last[e]:
            last += cosine
            n_last += np.float32(1)
    out[0] = last / max(n_last, np.float32(1))
    out[1] = total / np.float32(max(len(recent), 1))
    out[2] = most if len(recent) else np.float32(0)


@compiled
def tilt(looks: Looks, seen: Seen, log_factor: Float32s, part: Float32s, share: Float32s, rest: Float32s) -> None:
    """What each source adds to p of each candidate, `share` [B, C, S]: looks put in order, and joined.

    log_factor: [L, R], by which the ranker multiplies p; part: [L], how much of p a look is; rest: [L], by which all is
    multiplied that the ranker did not look at.
    """
    n_sources = seen.weights.shape[1]
    factor = np.empty(seen.item.shape[1], np.float32)
    for b in range(len(seen.n)):
        n = seen.n[b]
        share[b, :n] = 0
        for row in range(looks.of_user[b], looks.of_user[b + 1]):
            least, mass, z = np.float32(np.inf), np.float32(0), np.float32(0)
            for r in range(log_factor.shape[1]):
                c = seen.chosen[row, r]
                if c < 0:
                    continue
                here = np.float32(0)
                for s in range(n_sources):
                    here += seen.weights[row, s] * seen.by_source[row, c, s]
                least = min(least, log_factor[row, r])
                mass += here
                z += here * np.exp(log_factor[row, r])
            if least == np.inf:
                least = np.float32(0)
            z += max(np.float32(1) - mass, np.float32(0)) * np.exp(least)
            rest[row] = part[row] * np.exp(least) / z
            for c in range(n):
                factor[c] = rest[row]
            for r in range(log_factor.shape[1]):
                if seen.chosen[row, r] >= 0:
                    factor[seen.chosen[row, r]] = part[row] * np.exp(log_factor[row, r]) / z
            for c in range(n):
                for s in range(n_sources):
                    share[b, c, s] += factor[c] * seen.weights[row, s] * seen.by_source[row, c, s]
