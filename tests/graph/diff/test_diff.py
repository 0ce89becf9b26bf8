"""Two snapshots compared in memory: the counts add up whatever happened, and the other way round they are swapped."""

from collections.abc import Callable, Sequence

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graph.diff.moments import Moment
from graph.diff.report import GraphDiff, diff_snapshots
from graph.snapshot import Snapshot

MakeSnapshot = Callable[..., Snapshot]
DAY_US = 86_400_000_000

rows = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 5), st.integers(0, 3), st.integers(1, 99), st.integers(-1, 1)),
    max_size=30,
)


def compared(before: Snapshot, after: Snapshot) -> GraphDiff:
    return diff_snapshots((Moment("A", None, None), Moment("B", None, None)), (before, after))


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=rows, days=st.tuples(st.integers(0, 100), st.integers(0, 100)))
def test_counts_add_up_and_turn_round(
    make_snapshot: MakeSnapshot, rows: Sequence[tuple[int, ...]], days: tuple[int, int]
) -> None:
    whole = make_snapshot(rows, parents=[-1, 0], item_category=[(0, 1), (3, 0)])
    before, after = (whole.until(day * DAY_US) for day in days)
    diff, back = compared(before, after), compared(after, before)
    for node in diff.nodes:
        assert node.after == node.before + node.added - node.gone
    for kind in diff.events:
        assert kind.after == kind.before + kind.added - kind.withdrawn - kind.unseen
        assert kind.withdrawn == kind.late == 0
    assert sum(kind.before for kind in diff.events) == len(before.events)
    assert sum(kind.after for kind in diff.events) == len(after.events)
    for edge in diff.edges:
        assert edge.after == edge.before + edge.added - edge.gone
        steps = [abs(each.after - each.before) for each in edge.most]
        assert steps == sorted(steps, reverse=True)
        assert len(steps) == min(5, edge.added + edge.gone + edge.reweighted)
        assert all(step > 0 for step in steps)
    assert [(n.before, n.added, n.gone) for n in diff.nodes] == [(n.after, n.gone, n.added) for n in back.nodes]
    turned = {edge.relation: (edge.before, edge.added, edge.gone) for edge in back.edges}
    assert {edge.relation: (edge.after, edge.gone, edge.added) for edge in diff.edges} == turned
    assert diff.is_same == (before.content_hash == after.content_hash) == (len(before.events) == len(after.events))
    if diff.is_same:
        assert not any(edge.added or edge.gone or edge.reweighted for edge in diff.edges)


def test_what_only_fades_has_not_changed(make_snapshot: MakeSnapshot) -> None:
    """Views have a half-life; half of their weight is gone by then, and no edge is another for it."""
    snapshot = make_snapshot([(0, 0, 0, 10, -1), (1, 2, 0, 12, -1)])
    diff = compared(snapshot.until(20 * DAY_US), snapshot.until(30 * DAY_US))
    assert diff.is_same
    assert [(e.relation, e.reweighted, e.most) for e in diff.edges] == [("view", 0, ())]


def test_the_edges_that_changed_most_are_named_with_their_weights(make_snapshot: MakeSnapshot) -> None:
    snapshot = make_snapshot([(0, 1, 1, 10, -1), (0, 1, 1, 30, -1), (0, 1, 1, 31, -1), (2, 4, 1, 32, -1)])
    diff = compared(snapshot.until(20 * DAY_US), snapshot)
    (bought,) = [edge for edge in diff.edges if edge.relation == "purchase"]
    assert (bought.before, bought.after, bought.added, bought.gone, bought.reweighted) == (1, 2, 1, 0, 1)
    named = [(edge.source.id, edge.target.id, edge.target.name, edge.before, edge.after) for edge in bought.most]
    assert named == [("u0", "i1", "item 1", 1.0, 3.0), ("u2", "i4", "item 4", 0.0, 1.0)]
    assert np.isclose([node.added for node in diff.nodes], [1, 0, 0]).all()
