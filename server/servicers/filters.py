"""Reading an ItemFilter, for Recommend and FindSimilar."""

from penchant.v1 import common_pb2 as common
from penchant.v1.interest_pb2 import RecommendRequest
from penchant.v1.similarity_pb2 import FindSimilarRequest

from graph.storage.errors import BadInputError
from server import limits
from server.engine import NO_FILTER, Filter, Seen

_SEEN: dict[int, Seen] = {
    common.SEEN_RULE_UNSPECIFIED: "include",
    common.SEEN_RULE_INCLUDE: "include",
    common.SEEN_RULE_EXCLUDE: "exclude",
    common.SEEN_RULE_ONLY: "only",
}


def read_filter(request: RecommendRequest | FindSimilarRequest) -> Filter:
    """Raises BadInputError for too many ids or a seen rule that this server does not know."""
    if not request.HasField("filter"):
        return NO_FILTER
    wanted = request.filter
    limits.check_count(wanted.categories_in, "filter.categories_in", limits.MAX_FILTER_CATEGORIES, least=0)
    limits.check_count(wanted.categories_out, "filter.categories_out", limits.MAX_FILTER_CATEGORIES, least=0)
    limits.check_count(wanted.items_out, "filter.items_out", limits.MAX_FILTER_ITEMS, least=0)
    for field in ("categories_in", "categories_out", "items_out"):
        limits.check_ids(getattr(wanted, field), f"filter.{field}")
    if wanted.seen not in _SEEN:
        message = f"filter.seen {wanted.seen} is not known here."
        raise BadInputError(message, field="filter.seen", reason="UNKNOWN_SEEN_RULE")
    return Filter(
        categories_in=tuple(wanted.categories_in),
        categories_out=tuple(wanted.categories_out),
        items_out=tuple(wanted.items_out),
        seen=_SEEN[wanted.seen],
        include_unavailable=wanted.include_unavailable,
    )
