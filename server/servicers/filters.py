"""Reading an ItemFilter, for Recommend and FindSimilar."""

from penchant.v1 import common_pb2 as common

from graph.storage.errors import BadInputError
from server import limits
from server.engine import Filter, Seen

_SEEN: dict[int, Seen] = {
    common.SEEN_RULE_UNSPECIFIED: "include",
    common.SEEN_RULE_INCLUDE: "include",
    common.SEEN_RULE_EXCLUDE: "exclude",
    common.SEEN_RULE_ONLY: "only",
}


def read_filter(wanted: common.ItemFilter) -> Filter:
    """Raises BadInputError for too many ids or a seen rule that this server does not know."""
    limits.check_count(wanted.categories_in, "filter.categories_in", limits.MAX_FILTER_CATEGORIES, least=0)
    limits.check_count(wanted.categories_out, "filter.categories_out", limits.MAX_FILTER_CATEGORIES, least=0)
    limits.check_count(wanted.items_out, "filter.items_out", limits.MAX_FILTER_ITEMS, least=0)
    for field in ("categories_in", "categories_out", "items_out"):
        limits.check_ids(getattr(wanted, field), f"filter.{field}")
    if wanted.seen not in _SEEN:
        message = f"filter.seen {wanted.seen} is not known here."
        raise BadInputError(message, field="filter.seen", reason="UNKNOWN_SEEN_RULE")
    return Filter(
        categories_in=list(wanted.categories_in),
        categories_out=list(wanted.categories_out),
        items_out=list(wanted.items_out),
        seen=_SEEN[wanted.seen],
        include_unavailable=wanted.include_unavailable,
    )
