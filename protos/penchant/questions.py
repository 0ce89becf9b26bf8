"""Questions: how the arguments of a method become a request, and its answer what the method gives back."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from penchant.calls import Call, Export, Pages, Whole, whole
from penchant.v1 import common_pb2 as common
from penchant.v1 import embedding_pb2 as embedding
from penchant.v1 import interest_pb2 as interest
from penchant.v1 import segment_pb2 as segment
from penchant.v1 import similarity_pb2 as similarity
from penchant.vectors import EmbeddingBatch, batch_from

Kind = Literal["users", "items", "categories"]

KINDS: Mapping[Kind, common.EntityKind.ValueType] = {
    "users": common.ENTITY_KIND_USER,
    "items": common.ENTITY_KIND_ITEM,
    "categories": common.ENTITY_KIND_CATEGORY,
}

_HORIZONS = {
    False: interest.PROBABILITY_HORIZON_UNSPECIFIED,
    True: interest.PROBABILITY_HORIZON_WITHIN_DAYS,
}

EXPORT_DEADLINE_MS = 3_600_000


def score(
    user: str,
    items: Sequence[str],
    *,
    skip_contributions: bool = False,
    within_days: bool = False,
    kind: str = "",
    as_columns: bool = False,
    deadline_ms: float | None = None,
) -> Whole[interest.ScoreResponse]:
    """Scores up to 1,000 items for a user, in the order given; an unknown item is a row with that status.

    as_columns: the answer has `columns` instead of `scores`, in the order of `items` and without contributions, which
        is several times as fast to make and to read.

    within_days: `probability` is that of an event with the item within the answer's `horizon_days`, not that of the
        user's next event; `kind` counts events of that kind alone. FailedPreconditionError where the model cannot.
    """
    request = interest.ScoreRequest(
        user=user,
        items=items,
        skip_contributions=skip_contributions,
        horizon=_HORIZONS[within_days],
        kind=kind,
        as_columns=as_columns,
    )
    return Call(request, interest.ScoreResponse, whole, deadline_ms)


def recommend(
    user: str,
    k: int = 10,
    *,
    item_filter: common.ItemFilter | None = None,
    skip_contributions: bool = False,
    within_days: bool = False,
    kind: str = "",
    deadline_ms: float | None = None,
) -> Whole[interest.RecommendResponse]:
    """The best `k` items (at most 1,000) that pass the filter; for an unknown user what is popular.

    within_days, kind: what `probability` is of, as for `score`; the order does not depend on it.
    """
    request = interest.RecommendRequest(
        user=user,
        k=k,
        filter=item_filter,
        skip_contributions=skip_contributions,
        horizon=_HORIZONS[within_days],
        kind=kind,
    )
    return Call(request, interest.RecommendResponse, whole, deadline_ms)


def get_interests(
    user: str, k: int = 10, *, with_vectors: bool = False, deadline_ms: float | None = None
) -> Whole[interest.GetInterestsResponse]:
    """The `k` categories that a user leans to; `penchant.vectors.decode` reads the vectors."""
    view = interest.INTEREST_VIEW_FULL if with_vectors else interest.INTEREST_VIEW_BASIC
    request = interest.GetInterestsRequest(user=user, k=k, view=view)
    return Call(request, interest.GetInterestsResponse, whole, deadline_ms)


def find_similar(
    target: Kind,
    *,
    user: str | None = None,
    item: str | None = None,
    category: str | None = None,
    vector: tuple[str, ArrayLike] | None = None,
    k: int = 10,
    item_filter: common.ItemFilter | None = None,
    deadline_ms: float | None = None,
) -> Whole[similarity.FindSimilarResponse]:
    """The `k` nearest users, items or categories to exactly one of `user`, `item`, `category` and `vector`.

    vector: the name of its vector space, as answers give it, and its numbers [dim], of any length above 0.
    TypeError where none or several are given.
    """
    if sum(source is not None for source in (user, item, category, vector)) != 1:
        raise TypeError("find_similar starts from exactly one of user, item, category and vector.")
    request = similarity.FindSimilarRequest(target=KINDS[target], k=k, filter=item_filter)
    if user is not None:
        request.user = user
    elif item is not None:
        request.item = item
    elif category is not None:
        request.category = category
    elif vector is not None:
        request.vector.vector_space = vector[0]
        request.vector.values.extend(np.asarray(vector[1], np.float32).tolist())
    return Call(request, similarity.FindSimilarResponse, whole, deadline_ms)


def list_segments(
    *, page_size: int = 0, deadline_ms: float | None = None
) -> Pages[segment.ListSegmentsResponse, segment.Segment]:
    """All segments, largest first."""
    request = segment.ListSegmentsRequest(page_size=page_size)
    return Pages(request, segment.ListSegmentsResponse, lambda page: page.segments, deadline_ms)


def get_segment(segment_id: str, *, deadline_ms: float | None = None) -> Whole[segment.GetSegmentResponse]:
    """One segment."""
    request = segment.GetSegmentRequest(segment=segment_id)
    return Call(request, segment.GetSegmentResponse, whole, deadline_ms)


def list_members(
    segment_id: str, *, page_size: int = 1_000, deadline_ms: float | None = None
) -> Pages[segment.ListMembersResponse, segment.Member]:
    """All users of a segment as of the revision."""
    request = segment.ListMembersRequest(segment=segment_id, page_size=page_size)
    return Pages(request, segment.ListMembersResponse, lambda page: page.members, deadline_ms)


def assign_segments(users: Sequence[str], *, deadline_ms: float | None = None) -> Whole[segment.AssignSegmentsResponse]:
    """The segments of up to 100 users as of now, in the order given."""
    request = segment.AssignSegmentsRequest(users=users)
    return Call(request, segment.AssignSegmentsResponse, whole, deadline_ms)


def batch_get_embeddings(
    kind: Kind, ids: Sequence[str], *, half: bool = False, deadline_ms: float | None = None
) -> Call[embedding.BatchGetEmbeddingsResponse, EmbeddingBatch]:
    """The vectors of up to 1,000 ids, in the order given; float16 where `half`."""
    request = embedding.BatchGetEmbeddingsRequest(kind=KINDS[kind], ids=ids, element_type=_element_type(half))
    answer = embedding.BatchGetEmbeddingsResponse
    return Call(request, answer, lambda answer: batch_from(request.ids, answer), deadline_ms)


def export_embeddings(
    kind: Kind,
    *,
    half: bool = False,
    resume_token: str = "",
    deadline_ms: float = EXPORT_DEADLINE_MS,
) -> Export:
    """All vectors of a kind, chunk by chunk, each id once; float16 where `half`.

    A stream that is cut goes on after the last chunk by itself; `retries` counts failures without a chunk between.
    resume_token: where an export that another process began goes on.
    deadline_ms: for the whole export, one hour if not given.
    """
    request = embedding.ExportEmbeddingsRequest(
        kind=KINDS[kind], element_type=_element_type(half), resume_token=resume_token
    )
    return Export(request, deadline_ms)


def _element_type(half: bool) -> common.ElementType.ValueType:
    return common.ELEMENT_TYPE_F16 if half else common.ELEMENT_TYPE_F32
