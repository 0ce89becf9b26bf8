"""Items without a single event, and the known items that stand in for them: those most like them in the catalog.

    likeness   cosine of an item's categories up to the root, by rarity, and of its features, side by side
    stand-ins  the strongest of them, weighed by likeness^SHARPNESS

Whatever is counted or learned of the stand-ins then holds of the new item, until it has events of its own.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array, diags_array, hstack

from graph.arrays import Bools, Float32s
from graph.memories.pace import Pace
from graph.memories.sparse import pruned_product, rows_to_distributions
from graph.snapshot import Snapshot
from graph.sparse import Csr
from graph.taxonomy import ancestors_matrix

STRONGEST = 20
SHARPNESS = 10
LARGEST_CATEGORY = 5_000
"""What more items than this have in common tells little, and costs a product for each of them."""
NEWEST = 0.1
"""Share of the events, the newest, in which is counted how often anything new is taken."""
LEAST_NOVELTY = 1e-4


@dataclass(frozen=True, eq=False)
class StandIns:
    """`weights` csr [V, V]: a row for each new item, summing to 1, empty where nothing is like it and for known items.

    `novelty`: how likely a new item is, against the items that stand in for it.
    """

    weights: Csr
    novelty: float


def stand_ins(snapshot: Snapshot, pace: Pace, features: Float32s | None, widths: tuple[int, ...]) -> StandIns | None:
    """None where every item has events, or none has.

    features: [V, W + F] as a FeatureEncoder of those `widths` gives them; None where the model reads none.
    """
    known = known_items(pace)
    new = snapshot.item_exists & ~known
    if not new.any() or not known.any():
        return None
    content = _content(snapshot, features, widths)
    rows, columns = np.flatnonzero(new), np.flatnonzero(known)
    alike = pruned_product(content[rows], csr_array(content[columns].T), keep=STRONGEST, diagonal=True)
    alike.data **= SHARPNESS
    local = rows_to_distributions(alike).tocoo()
    weights = csr_array((local.data, (rows[local.row], columns[local.col])), shape=(len(known), len(known)))
    return StandIns(weights.astype(np.float32), novelty(pace, snapshot.item_exists))


def known_items(pace: Pace) -> Bools:
    """bool [V]: which items have events."""
    return pace.ever > 0


def novelty(pace: Pace, exists: Bools) -> float:
    """How much less likely a new item is than a known one, from how often the newest events were an item's first.

    Were new items taken like others, their share of the events would be their share of the catalog, of which `exists`
    [V] tells: what appears later, or is gone, nobody could have taken.
    """
    known = known_items(pace)
    new = int((exists & ~known).sum())
    if not new or not known.any():
        return 1.0
    when = pace.minutes
    recent = when >= np.quantile(when, 1 - NEWEST)
    starts = np.concatenate([[0], np.cumsum(pace.ever)[:-1]])[known]
    taken = recent[starts].sum() / max(int(recent.sum()), 1)
    return float(np.clip(taken / (new / (new + int((known & exists).sum()))), LEAST_NOVELTY, 1.0))


def _content(snapshot: Snapshot, features: Float32s | None, widths: tuple[int, ...]) -> Csr:
    """[V, C + W]: what the catalog says of each item, in rows of unit length; every kind of it counts the same."""
    n_items = len(snapshot.items)
    categories = ancestors_matrix(snapshot.item_category, snapshot.category_parent, n_items).astype(np.float32)
    size = np.bincount(categories.indices, minlength=categories.shape[1])
    rarity = np.where(size <= LARGEST_CATEGORY, np.log(n_items / np.maximum(size, 1)), 0).astype(np.float32)
    kinds = [_unit(csr_array(categories @ diags_array(rarity)))]
    if features is not None:
        kinds += [_unit(csr_array(x)) for x in np.split(features[:, : sum(widths)], np.cumsum(widths)[:-1], axis=1)]
    content = _unit(csr_array(hstack(kinds)))
    content.eliminate_zeros()
    return content


def _unit(rows: Csr) -> Csr:
    norm = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)).ravel())
    rows.data /= np.repeat(np.maximum(norm, 1e-12), np.diff(rows.indptr)).astype(rows.dtype)
    return rows
