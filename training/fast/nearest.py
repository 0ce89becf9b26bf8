"""The nearest vectors to a query, from the few cells that are closest to it (inverted file, Sivic & Zisserman 2003)."""

import numpy as np

from graph.arrays import Bools, Float32s, Int32s, Int64s
from training.fast.compiled import compiled
from training.fast.loops import kth_largest


@compiled
def nearest(
    query: Float32s,
    closeness: Float32s,
    offsets: Int64s,
    item: Int32s,
    vectors: Float32s,
    allowed: Bools,
    k: int,
    n_cells: int,
    rows: Int64s,
    cosines: Float32s,
) -> int:
    """Into `rows` and `cosines` [k] the k nearest of what is `allowed` [V], best first; how many they are.

    They are looked for in the `n_cells` cells that are closest to the query, or in as many as it takes to find k.

    query: [dim]; closeness: its product with each cell's center, [C]; offsets, item, vectors: those of `Cells`.
    """
    work = np.empty(len(closeness), np.float32)
    while True:
        least, size = kth_largest(closeness, len(closeness), n_cells, work), 0
        for c in range(len(closeness)):
            if closeness[c] >= least:
                size += offsets[c + 1] - offsets[c]
        found, cosine, n = np.empty(size, np.int64), np.empty(size, np.float32), 0
        for c in range(len(closeness)):
            if closeness[c] < least:
                continue
            for i in range(offsets[c], offsets[c + 1]):
                if allowed[item[i]]:
                    found[n], cosine[n] = item[i], _product(query, vectors[i])
                    n += 1
        if n >= k or n_cells >= len(closeness):
            break
        n_cells *= 4
    if n == 0:
        return 0
    least, kept = kth_largest(cosine, n, k, np.empty(n, np.float32)), 0
    for j in range(n):
        if cosine[j] >= least:
            found[kept], cosine[kept] = found[j], cosine[j]
            kept += 1
    best = np.argsort(-cosine[:kept])[:k]
    for j in range(len(best)):
        rows[j], cosines[j] = found[best[j]], cosine[best[j]]
    return len(best)


@compiled
def _product(one: Float32s, other: Float32s) -> np.float32:
    product = np.float32(0)
    for d in range(len(one)):
        product += one[d] * other[d]
    return product
