"""SegmentService: who belongs together."""

import grpc
import numpy as np
from penchant.v1 import common_pb2 as common
from penchant.v1 import segment_pb2 as pb
from penchant.v1.segment_pb2_grpc import SegmentServiceServicer

from graph.storage.errors import NotFoundError
from server import limits
from server.convert import timestamp
from server.engine import Engine
from server.reload import Models
from server.tokens import Place, decode, encode
from training.segments import Segment

DEFAULT_PAGE = 100
SHOWN_WEIGHT = 0.01
"""Weights below this are noise of the softmax and left out of an answer."""


class SegmentServicer(SegmentServiceServicer):
    def __init__(self, models: Models) -> None:
        self._models = models

    def ListSegments(self, request: pb.ListSegmentsRequest, context: grpc.ServicerContext) -> pb.ListSegmentsResponse:
        size = limits.check_page_size(request.page_size, DEFAULT_PAGE)
        engine, begin = self._page(request.page_token, "segments")
        artifact = engine.revision.artifact
        ordered = sorted(artifact.segments.segments, key=lambda segment: (-segment.size, segment.id))
        users = sum(segment.size for segment in ordered)
        return pb.ListSegmentsResponse(
            segments=[_message(segment, users) for segment in ordered[begin : begin + size]],
            next_page_token=_next(begin + size, len(ordered), artifact.version, "segments"),
            model_version=artifact.version,
            as_of=timestamp(artifact.manifest.as_of),
        )

    def GetSegment(self, request: pb.GetSegmentRequest, context: grpc.ServicerContext) -> pb.GetSegmentResponse:
        artifact = self._models.current().revision.artifact
        number = _number(artifact.segments.segments, request.segment, artifact.version)
        users = sum(segment.size for segment in artifact.segments.segments)
        return pb.GetSegmentResponse(
            segment=_message(artifact.segments.segments[number], users),
            model_version=artifact.version,
            as_of=timestamp(artifact.manifest.as_of),
        )

    def ListMembers(self, request: pb.ListMembersRequest, context: grpc.ServicerContext) -> pb.ListMembersResponse:
        size = limits.check_page_size(request.page_size, DEFAULT_PAGE)
        request_mark = ("members", request.segment)
        engine, begin = self._page(request.page_token, request_mark)
        artifact = engine.revision.artifact
        number = _number(artifact.segments.segments, request.segment, artifact.version)
        members, weights = artifact.segments.members_of(number)
        ids = artifact.users.externals_of(members[begin : begin + size])
        return pb.ListMembersResponse(
            members=[
                pb.Member(user=user, weight=weight)
                for user, weight in zip(ids, weights[begin : begin + size].tolist(), strict=True)
            ],
            next_page_token=_next(begin + size, len(members), artifact.version, request_mark),
            model_version=artifact.version,
            as_of=timestamp(artifact.manifest.as_of),
        )

    def AssignSegments(
        self, request: pb.AssignSegmentsRequest, context: grpc.ServicerContext
    ) -> pb.AssignSegmentsResponse:
        limits.check_count(request.users, "users", limits.MAX_ASSIGN_USERS)
        limits.check_ids(request.users, "users")
        engine = self._models.current()
        artifact = engine.revision.artifact
        past = engine.past(list(request.users))
        weights = engine.segment_weights(past)
        answer = pb.AssignSegmentsResponse(
            model_version=artifact.version,
            as_of=timestamp(artifact.manifest.as_of),
            history_as_of=timestamp(past.as_of_us),
        )
        segments = artifact.segments.segments
        for row, user in enumerate(request.users):
            largest = weights[row].max(initial=0)
            shown = np.flatnonzero((weights[row] >= min(SHOWN_WEIGHT, largest)) & (weights[row] > 0))
            shown = shown[np.argsort(-weights[row, shown], kind="stable")]
            total = float(weights[row, shown].sum())
            parts = [pb.SegmentWeight(segment=segments[s].id, weight=weights[row, s] / total) for s in shown.tolist()]
            answer.assignments.add(user=user, segments=parts, history_events=past.events[row])
        return answer

    def _page(self, token: str, request: object) -> tuple[Engine, int]:
        """The engine that the first page came from, and where to go on: a revision's lists never change."""
        if not token:
            return self._models.current(), 0
        place = decode(token, request)
        return self._models.at(place.version), place.position


def _next(position: int, length: int, version: str, request: object) -> str:
    return encode(Place(str(position), version), request) if position < length else ""


def _number(segments: tuple[Segment, ...], wanted: str, version: str) -> int:
    limits.check_id(wanted, "segment")
    for number, segment in enumerate(segments):
        if segment.id == wanted:
            return number
    raise NotFoundError(
        f"Revision {version} has no segment {wanted!r}.", hint="ListSegments lists them.", reason="UNKNOWN_SEGMENT"
    )


def _message(segment: Segment, users: int) -> pb.Segment:
    categories = [
        common.CategoryAffinity(category=c.category, name=c.name, share=c.share, lift=c.lift)
        for c in segment.categories[:20]
    ]
    share = segment.size / users if users else 0.0
    return pb.Segment(id=segment.id, label=segment.label, size=segment.size, share=share, top_categories=categories)
