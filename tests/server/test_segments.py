"""Segments as of the revision, users placed in them as of now."""

from typing import TYPE_CHECKING

import numpy as np
import pytest
from penchant.errors import InvalidArgumentError, NotFoundError
from penchant.v1 import segment_pb2 as segment

from training.artifact import Artifact

if TYPE_CHECKING:
    from tests.server.conftest import Served


@pytest.fixture(scope="module")
def artifact(served: "Served") -> Artifact:
    return served.world.artifact("m1.1")


def test_segments_come_largest_first_with_their_shares(served: "Served", artifact: Artifact) -> None:
    listed = list(served.client.list_segments())
    assert {each.id for each in listed} == {each.id for each in artifact.segments.segments}
    sizes = [each.size for each in listed]
    assert sizes == sorted(sizes, reverse=True)
    assert sum(sizes) == 64
    assert sum(each.share for each in listed) == pytest.approx(1)
    assert all(each.label and each.top_categories for each in listed)
    assert list(served.client.list_segments(page_size=1)) == listed
    assert served.client.get_segment(listed[-1].id).segment == listed[-1]


def test_members_are_each_in_one_segment(served: "Served", artifact: Artifact) -> None:
    members = {each.id: list(served.client.list_members(each.id)) for each in served.client.list_segments()}
    everybody = [member.user for of_one in members.values() for member in of_one]
    assert len(everybody) == len(set(everybody)) == 64
    for number, each in enumerate(artifact.segments.segments):
        index, weights = artifact.segments.members_of(number)
        assert [member.user for member in members[each.id]] == artifact.users.externals_of(index)
        np.testing.assert_allclose([member.weight for member in members[each.id]], weights)
        assert list(served.client.list_members(each.id, page_size=3)) == members[each.id]


def test_planted_groups_are_found(served: "Served") -> None:
    placed = served.client.assign_segments([f"u{u}" for u in range(64)]).assignments
    strongest = [each.segments[0].segment for each in placed]
    for group in range(4):
        of_group = strongest[group::4]
        assert max(of_group.count(name) for name in set(of_group)) >= 10
    for each in placed:
        weights = [part.weight for part in each.segments]
        assert weights == sorted(weights, reverse=True)
        assert sum(weights) == pytest.approx(1, abs=1e-5)


def test_an_unknown_segment_is_not_found(served: "Served") -> None:
    for request in (segment.GetSegmentRequest(segment="no such"), segment.ListMembersRequest(segment="no such")):
        with pytest.raises(NotFoundError) as caught:
            served.client.call(request)
        assert caught.value.reason == "UNKNOWN_SEGMENT"


def test_a_token_of_another_segment_is_refused(served: "Served") -> None:
    one, other, *_ = served.client.list_segments()
    page = served.client.call(segment.ListMembersRequest(segment=one.id, page_size=2))
    assert isinstance(page, segment.ListMembersResponse)
    with pytest.raises(InvalidArgumentError) as caught:
        served.client.call(segment.ListMembersRequest(segment=other.id, page_token=page.next_page_token))
    assert caught.value.reason == "TOKEN_OF_OTHER_REQUEST"
