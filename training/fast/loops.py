"""The loops, for one look at one history: what each source says, which items matter, what the ranker reads of them.

Plain arrays in and out; what they are is said in `tables.py` and `answer.py`. Sizes: V items, S sources (the net, M
memories, popularity), C candidates.
"""

import numpy as np

from graph.arrays import Bools, Float32s, Float64s, Int32s, Int64s
from training.fast.compiled import compiled

LEAST_P = np.float32(1e-8)
FEW_CELLS, MANY_CELLS = 8, 64
WORTH_A_LOOK = np.float32(1e-3)
"""Share of Z that a cell must be estimated at to be looked at item by item."""


@compiled
def kth_largest(values: Float32s, n: int, k: int, work: Float32s) -> np.float32:
    """The k-th largest of values[:n], the smallest where there are fewer: Hoare's selection on a copy in `work`."""
    if n == 0:
        return np.float32(0)
    for i in range(n):
        work[i] = values[i]
    low, high, wanted = 0, n - 1, min(k, n) - 1
    while low < high:
        pivot = work[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while work[i] > pivot:
                i += 1
            while work[j] < pivot:
                j -= 1
            if i <= j:
                work[i], work[j] = work[j], work[i]
                i += 1
                j -= 1
        if wanted <= j:
            high = j
        elif wanted >= i:
            low = i
        else:
            break
    found: np.float32 = work[wanted]
    return found


@compiled
def closest(user: Float32s, vector: Float32s) -> np.float32:
    """The largest product of an interest [K, dim] with a vector [dim]."""
    best = np.float32(-2)
    for k in range(user.shape[0]):
        product = np.float32(0)
        for d in range(user.shape[1]):
            product += user[k, d] * vector[d]
        best = max(best, product)
    return best


@compiled
def look_into_cells(
    user: Float32s,
    estimate: Float32s,
    offsets: Int64s,
    vectors: Float32s,
    prior: Float32s,
    temperature: np.float32,
    place: Int32s,
    logit: Float32s,
    work: Float32s,
) -> tuple[int, np.float32]:
    """Fills `place` and `logit` for all items of the cells that may hold much; how many they are, and log Z.

    user: [K, dim]; estimate: log of each cell's share of Z, [cells]; offsets, vectors, prior: those of `Cells`.
    """
    n_cells = len(estimate)
    highest = estimate[0]
    for c in range(n_cells):
        highest = max(highest, estimate[c])
    total = np.float64(0)
    for c in range(n_cells):
        total += np.exp(estimate[c] - highest)
    least = highest + np.log(WORTH_A_LOOK * np.float32(total))
    least = max(least, kth_largest(estimate, n_cells, MANY_CELLS, work))
    least = min(least, kth_largest(estimate, n_cells, FEW_CELLS, work))
    n, z = 0, np.float64(0)
    for c in range(n_cells):
        if estimate[c] < least:
            z += np.exp(estimate[c] - highest)
            continue
        for i in range(offsets[c], offsets[c + 1]):
            value = temperature * closest(user, vectors[i]) + prior[i]
            place[n], logit[n] = i, value
            z += np.exp(value - highest)
            n += 1
    return n, highest + np.float32(np.log(z))


@compiled
def recall_into(
    said: Float32s,
    named: Int32s,
    items: Int32s,
    weights: Float32s,
    through: bool,
    indptr: Int64s,
    indices: Int32s,
    data: Float32s,
    boost: Float32s,
) -> tuple[int, np.float32, np.float32]:
    """What a memory says of each item, into `said` [V], which is 0 everywhere: of how many, in all, and at most.

    Those items go into `named` [V + 1], so that nobody has to look at all V. through: `items` with `weights` are what
    the user had, and the memory's rows of these are added; otherwise they are recalled already.
    """
    n = 0
    for e in range(len(items)):
        item, weight = items[e], weights[e]
        if not through:
            if said[item] == 0 and weight > 0:
                named[n] = item
                n += 1
            said[item] += weight
            continue
        for j in range(indptr[item], indptr[item + 1]):
            there, before, value = indices[j], said[indices[j]], weight * data[j]
            named[n] = there  # without a branch: stays only if it is the first to say something of the item
            n += int((before == 0) & (value > 0))
            said[there] = before + value
    total, most = np.float32(0), np.float32(0)
    for k in range(n):
        if len(boost):
            said[named[k]] *= boost[named[k]]
        total += said[named[k]]
        most = max(most, said[named[k]])
    return n, total, most


@compiled
def weigh(
    mean: Float64s,
    scale: Float64s,
    weight: Float64s,
    bias: Float64s,
    features: Float32s,
    speaks: Bools,
    weights: Float32s,
) -> None:
    """The gate (`training/gate.py`): the softmax over the sources [S] that speak, into `weights`."""
    highest = np.float64(-np.inf)
    logits = np.empty(len(weights))
    for s in range(len(weights)):
        logits[s] = bias[s]
        for f in range(len(features)):
            logits[s] += (features[f] - mean[f]) / scale[f] * weight[f, s]
        if speaks[s]:
            highest = max(highest, logits[s])
    total = 0.0
    for s in range(len(weights)):
        logits[s] = np.exp(logits[s] - highest) if speaks[s] else 0.0
        total += logits[s]
    for s in range(len(weights)):
        weights[s] = logits[s] / total


@compiled
def mix(said: Float32s, named: Int32s, n_named: Int64s, scale: Float32s, mixed: Float32s, found: Int32s) -> int:
    """Adds up into `mixed` [V], 0 everywhere before, what memories say; into `found` of which items; how many they are.

    said [M, V] of the n_named [M] items of named [M, V + 1]; scale: what each memory is multiplied by.
    """
    n = 0
    for m in range(len(n_named)):
        by, names, values = scale[m], named[m], said[m]
        for j in range(n_named[m]):
            item = names[j]
            before, value = mixed[item], by * values[item]
            found[n] = item
            n += int((before == 0) & (value > 0))
            mixed[item] = before + value
    return n


@compiled
def strongest_said(
    n: int,
    trust: np.float32,
    popularity: Float32s,
    by_popularity: Int32s,
    k: int,
    mixed: Float32s,
    found: Int32s,
    work: Float32s,
) -> int:
    """Into `found` the k items of which memories and popularity together think most; how many they are.

    mixed: [V], what memories say of the first n of `found`, and 0 everywhere afterwards; trust: what popularity is
    multiplied by; by_popularity: [V], the most popular first.
    """
    if trust > 0:
        for j in range(n):
            mixed[found[j]] += trust * popularity[found[j]]
        others = 0  # of what no memory names, the k most popular are enough
        for item in by_popularity:
            if others == k:
                break
            if mixed[item] == 0:
                found[n], mixed[item] = item, trust * popularity[item]
                n += 1
                others += 1
    strength = np.empty(n, np.float32)
    for j in range(n):
        strength[j], mixed[found[j]] = mixed[found[j]], 0
    least, kept = kth_largest(strength, n, k, work), 0
    for j in range(n):
        if strength[j] >= least and kept < k:
            found[kept] = found[j]
            kept += 1
    return kept


@compiled
def strongest_seen(place: Int32s, logit: Float32s, n: int, k: int, item: Int32s, found: Int32s, work: Float32s) -> int:
    """Into `found` the items with the k largest logits among the n places that were looked at."""
    least = kth_largest(logit, n, k, work)
    kept = 0
    for j in range(n):
        if logit[j] >= least and kept < k:
            found[kept] = item[place[j]]
            kept += 1
    return kept


@compiled
def choose(p: Float32s, had: Bools, wanted_had: bool, k: int, chosen: Int64s, begin: int, work: Float32s) -> int:
    """Appends to `chosen` from `begin` on the k largest of p [C] above 0 among those that are had, or not; the end."""
    values = np.empty(len(p), np.float32)
    n = 0
    for c in range(len(p)):
        if had[c] == wanted_had and p[c] > 0:
            values[n] = p[c]
            n += 1
    if n == 0:
        return begin
    least, end = kth_largest(values, n, k, work), begin
    for c in range(len(p)):
        if had[c] == wanted_had and p[c] > 0 and p[c] >= least and end - begin < k:
            chosen[end] = c
            end += 1
    return end
