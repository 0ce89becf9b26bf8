"""Every node type, edge type and column that crosses a file border, named once."""

USER = "user"
ITEM = "item"
CATEGORY = "category"

FOLLOWED_BY = "followed_by"
IN_CATEGORY = "in"
CHILD_OF = "child_of"
REVERSE = "rev_"

RETRACT = "retract"
"""The one event kind with a meaning of its own: it withdraws the event that it names."""

EdgeType = tuple[str, str, str]


def reverse(edge: EdgeType) -> EdgeType:
    """(item, in, category) -> (category, rev_in, item); the name that PyTorch Geometric's ToUndirected uses as well."""
    source, name, target = edge
    return target, REVERSE + name, source


def event_edge(kind: str) -> EdgeType:
    """The edge type of one event kind: user -kind-> item."""
    return USER, kind, ITEM


ITEM_FOLLOWED_BY_ITEM: EdgeType = (ITEM, FOLLOWED_BY, ITEM)
ITEM_IN_CATEGORY: EdgeType = (ITEM, IN_CATEGORY, CATEGORY)
CATEGORY_CHILD_OF_CATEGORY: EdgeType = (CATEGORY, CHILD_OF, CATEGORY)
