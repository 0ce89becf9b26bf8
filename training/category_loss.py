"""What kind of thing comes next: an auxiliary loss by which users and categories share the space of the items.

An item says little of itself where few have met it; its categories have been met by many. (As an auxiliary task after
S3-Rec's associated attribute prediction, Zhou et al., 2020, here for the next item and up the category tree.)
"""

import torch
from torch import Tensor
from torch.nn import functional

from training.item_graph import Adjacency
from training.losses import strongest_interest


def category_loss(
    users: Tensor, query: Tensor, target: Tensor, of_items: Adjacency, categories: Tensor, temperature: Tensor
) -> Tensor:
    """Mean over the pairs of the cross-entropy between the target's categories, in equal shares, and the softmax over
    all of them; scalar. A target without categories counts nothing.

    Shapes: users `[Q, K, dim]` of unit length, query, target `[P]`, of_items `[V, C]`, categories `[C, dim]`.
    """
    logits = strongest_interest(temperature * users @ functional.normalize(categories, dim=-1).T)
    log_p = torch.log_softmax(logits, dim=1)
    begin, end = of_items.offsets[target], of_items.offsets[target + 1]
    pair = torch.repeat_interleave(end - begin)
    first = torch.cumsum(end - begin, 0) - (end - begin)
    entry = begin[pair] + torch.arange(len(pair), device=pair.device) - first[pair]
    share, category = of_items.matrix.values()[entry], of_items.matrix.col_indices()[entry].long()
    return -(share * log_p[query[pair], category]).sum() / max(len(target), 1)
