"""The client: one method per rpc."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Literal

import grpc
import numpy as np
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from numpy.typing import ArrayLike

from penchant.caller import Caller
from penchant.streams import MAX_UNACKNOWLEDGED, PATIENCE_MS, complete_events, stream_events
from penchant.transport import open_channel
from penchant.v1 import catalog_pb2 as catalog
from penchant.v1 import common_pb2 as common
from penchant.v1 import embedding_pb2 as embedding
from penchant.v1 import event_pb2 as event
from penchant.v1 import interest_pb2 as interest
from penchant.v1 import model_pb2 as model
from penchant.v1 import segment_pb2 as segment
from penchant.v1 import server_pb2 as server
from penchant.v1 import similarity_pb2 as similarity
from penchant.v1.catalog_pb2_grpc import CatalogServiceStub
from penchant.v1.embedding_pb2_grpc import EmbeddingServiceStub
from penchant.v1.event_pb2_grpc import EventServiceStub
from penchant.v1.interest_pb2_grpc import InterestServiceStub
from penchant.v1.model_pb2_grpc import ModelServiceStub
from penchant.v1.segment_pb2_grpc import SegmentServiceStub
from penchant.v1.server_pb2_grpc import ServerServiceStub
from penchant.v1.similarity_pb2_grpc import SimilarityServiceStub
from penchant.vectors import EmbeddingBatch, EmbeddingChunk, batch_from

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


class PenchantClient:
    """Asks a penchant server. Safe to share between threads; close it, or use it in a `with` block.

    target: "host:port", or any name that gRPC resolves; calls are spread over all its addresses.
    deadline_ms: how long a call may take, all its tries together; each method takes another for one call.
    retries: how often a call that is harmless to repeat is sent again. penchant.errors says after which errors;
        the pause is what the server's RetryInfo asks for, else it grows from 0.1 s to 5 s.
    credentials: as `grpc.ssl_channel_credentials()` makes them; without, the connection is not encrypted.

    Every method raises penchant.PenchantError. Answers are the messages of penchant.v1, whose .proto files say what
    each field means; only vectors come as numpy arrays. Lists are read page by page while they are iterated over.
    """

    def __init__(
        self,
        target: str,
        *,
        deadline_ms: float = 10_000,
        retries: int = 3,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self._channel = open_channel(target, credentials)
        self._caller = Caller(self._channel, deadline_ms, retries)
        self._interest = InterestServiceStub(self._channel)
        self._similarity = SimilarityServiceStub(self._channel)
        self._segment = SegmentServiceStub(self._channel)
        self._embedding = EmbeddingServiceStub(self._channel)
        self._event = EventServiceStub(self._channel)
        self._catalog = CatalogServiceStub(self._channel)
        self._model = ModelServiceStub(self._channel)
        self._server = ServerServiceStub(self._channel)

    def close(self) -> None:
        """Closes the connections; calls in flight end with CallCancelledError."""
        self._channel.close()

    def __enter__(self) -> "PenchantClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def call(self, request: Message, *, deadline_ms: float | None = None) -> Message:
        """The answer to any …Request message of a unary rpc. TypeError where it is none."""
        return self._caller.any(request, deadline_ms)

    # Interests

    def score(
        self,
        user: str,
        items: Sequence[str],
        *,
        skip_contributions: bool = False,
        within_days: bool = False,
        kind: str = "",
        deadline_ms: float | None = None,
    ) -> interest.ScoreResponse:
        """Scores up to 1,000 items for a user, in the order given; an unknown item is a row with that status.

        within_days: `probability` is that of an event with the item within the answer's `horizon_days`, not that of the
            user's next event; `kind` counts events of that kind alone. FailedPreconditionError where the model cannot.
        """
        request = interest.ScoreRequest(
            user=user, items=items, skip_contributions=skip_contributions, horizon=_HORIZONS[within_days], kind=kind
        )
        return self._caller.unary(self._interest.Score, request, deadline_ms)

    def recommend(
        self,
        user: str,
        k: int = 10,
        *,
        item_filter: common.ItemFilter | None = None,
        skip_contributions: bool = False,
        within_days: bool = False,
        kind: str = "",
        deadline_ms: float | None = None,
    ) -> interest.RecommendResponse:
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
        return self._caller.unary(self._interest.Recommend, request, deadline_ms)

    def get_interests(
        self, user: str, k: int = 10, *, with_vectors: bool = False, deadline_ms: float | None = None
    ) -> interest.GetInterestsResponse:
        """The `k` categories that a user leans to; `penchant.vectors.decode` reads the vectors."""
        view = interest.INTEREST_VIEW_FULL if with_vectors else interest.INTEREST_VIEW_BASIC
        request = interest.GetInterestsRequest(user=user, k=k, view=view)
        return self._caller.unary(self._interest.GetInterests, request, deadline_ms)

    # Similarity

    def find_similar(
        self,
        target: Kind,
        *,
        user: str | None = None,
        item: str | None = None,
        category: str | None = None,
        vector: tuple[str, ArrayLike] | None = None,
        k: int = 10,
        item_filter: common.ItemFilter | None = None,
        deadline_ms: float | None = None,
    ) -> similarity.FindSimilarResponse:
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
        return self._caller.unary(self._similarity.FindSimilar, request, deadline_ms)

    # Segments

    def list_segments(self, *, page_size: int = 0, deadline_ms: float | None = None) -> Iterator[segment.Segment]:
        """All segments, largest first."""
        request = segment.ListSegmentsRequest(page_size=page_size)
        for page in self._caller.pages(self._segment.ListSegments, request, deadline_ms):
            yield from page.segments

    def get_segment(self, segment_id: str, *, deadline_ms: float | None = None) -> segment.GetSegmentResponse:
        """One segment."""
        request = segment.GetSegmentRequest(segment=segment_id)
        return self._caller.unary(self._segment.GetSegment, request, deadline_ms)

    def list_members(
        self, segment_id: str, *, page_size: int = 1_000, deadline_ms: float | None = None
    ) -> Iterator[segment.Member]:
        """All users of a segment as of the revision."""
        request = segment.ListMembersRequest(segment=segment_id, page_size=page_size)
        for page in self._caller.pages(self._segment.ListMembers, request, deadline_ms):
            yield from page.members

    def assign_segments(
        self, users: Sequence[str], *, deadline_ms: float | None = None
    ) -> segment.AssignSegmentsResponse:
        """The segments of up to 100 users as of now, in the order given."""
        request = segment.AssignSegmentsRequest(users=users)
        return self._caller.unary(self._segment.AssignSegments, request, deadline_ms)

    # Embeddings

    def batch_get_embeddings(
        self, kind: Kind, ids: Sequence[str], *, half: bool = False, deadline_ms: float | None = None
    ) -> EmbeddingBatch:
        """The vectors of up to 1,000 ids, in the order given; float16 where `half`."""
        request = embedding.BatchGetEmbeddingsRequest(kind=KINDS[kind], ids=ids, element_type=_element_type(half))
        return batch_from(ids, self._caller.unary(self._embedding.BatchGetEmbeddings, request, deadline_ms))

    def export_embeddings(
        self,
        kind: Kind,
        *,
        half: bool = False,
        resume_token: str = "",
        deadline_ms: float = EXPORT_DEADLINE_MS,
    ) -> Iterator[EmbeddingChunk]:
        """All vectors of a kind, chunk by chunk, each id once; float16 where `half`.

        A stream that is cut goes on after the last chunk by itself; `retries` counts failures without a chunk between.
        resume_token: where an export that another process began goes on.
        deadline_ms: for the whole export, one hour if not given.
        """
        request = embedding.ExportEmbeddingsRequest(
            kind=KINDS[kind], element_type=_element_type(half), resume_token=resume_token
        )
        return self._caller.export(self._embedding.ExportEmbeddings, request, deadline_ms)

    # Events

    def record_events(
        self, events: Sequence[event.Event], *, deadline_ms: float | None = None
    ) -> event.RecordEventsResponse:
        """Records up to 1,000 events; look at each outcome, one that is refused does not hold back the others.

        An event without `event_id` or `occurred_at` gets a random one and the present, so that the tries of this
        call record it once. To be safe across calls as well, give ids and times of your own.
        """
        request = event.RecordEventsRequest(events=events)
        complete_events(request.events)
        return self._caller.unary(self._event.RecordEvents, request, deadline_ms)

    def stream_events(
        self,
        batches: Iterable[Sequence[event.Event]],
        *,
        max_unacknowledged: int = MAX_UNACKNOWLEDGED,
        patience_ms: float = PATIENCE_MS,
    ) -> Iterator[event.StreamEventsResponse]:
        """Records batches of up to 1,000 events over one stream; yields the acknowledgement of each, in their order.

        The first batch has number 1. An acknowledged batch is durable; look at `others`, the rows that were not
        recorded. Events are completed as by `record_events`. A stream that breaks, or whose server stops, goes on by
        itself: what was not acknowledged is sent again, which records nothing twice.

        batches: read in a thread of its own, no more than `max_unacknowledged` ahead of the acknowledgements.
        patience_ms: for how long no batch may be acknowledged, counted from a failure, before its error is raised.
        """
        return stream_events(self._event.StreamEvents, batches, max_unacknowledged, patience_ms)

    # Catalog

    def upsert_items(
        self, items: Sequence[catalog.Item], *, fields: Sequence[str] = (), deadline_ms: float | None = None
    ) -> catalog.UpsertItemsResponse:
        """Creates or updates up to 1,000 items; of those that exist only `fields` are overwritten, if given."""
        request = catalog.UpsertItemsRequest(items=items, update_mask=_mask(fields))
        return self._caller.unary(self._catalog.UpsertItems, request, deadline_ms)

    def get_item(self, item: str, *, deadline_ms: float | None = None) -> catalog.Item:
        """One item."""
        return self._caller.unary(self._catalog.GetItem, catalog.GetItemRequest(item=item), deadline_ms).item

    def list_items(
        self, *, category: str = "", page_size: int = 1_000, deadline_ms: float | None = None
    ) -> Iterator[catalog.Item]:
        """All items, or those in `category` and below."""
        request = catalog.ListItemsRequest(category=category, page_size=page_size)
        for page in self._caller.pages(self._catalog.ListItems, request, deadline_ms):
            yield from page.items

    def delete_item(self, item: str, *, deadline_ms: float | None = None) -> bool:
        """Takes an item out of the catalog; whether it was there."""
        return self._caller.unary(self._catalog.DeleteItem, catalog.DeleteItemRequest(item=item), deadline_ms).existed

    def upsert_categories(
        self, categories: Sequence[catalog.Category], *, fields: Sequence[str] = (), deadline_ms: float | None = None
    ) -> catalog.UpsertCategoriesResponse:
        """Creates or updates up to 1,000 categories; of those that exist only `fields` are overwritten, if given."""
        request = catalog.UpsertCategoriesRequest(categories=categories, update_mask=_mask(fields))
        return self._caller.unary(self._catalog.UpsertCategories, request, deadline_ms)

    def get_category(self, category: str, *, deadline_ms: float | None = None) -> catalog.Category:
        """One category."""
        request = catalog.GetCategoryRequest(category=category)
        return self._caller.unary(self._catalog.GetCategory, request, deadline_ms).category

    def list_categories(
        self, *, parent: str = "", page_size: int = 1_000, deadline_ms: float | None = None
    ) -> Iterator[catalog.Category]:
        """All categories, or the children of `parent`."""
        request = catalog.ListCategoriesRequest(parent=parent, page_size=page_size)
        for page in self._caller.pages(self._catalog.ListCategories, request, deadline_ms):
            yield from page.categories

    def delete_category(self, category: str, *, deadline_ms: float | None = None) -> bool:
        """Takes an empty category out of the tree; whether it was there."""
        request = catalog.DeleteCategoryRequest(category=category)
        return self._caller.unary(self._catalog.DeleteCategory, request, deadline_ms).existed

    def upsert_users(
        self, users: Sequence[catalog.User], *, fields: Sequence[str] = (), deadline_ms: float | None = None
    ) -> catalog.UpsertUsersResponse:
        """Creates or updates up to 1,000 users; of those that exist only `fields` are overwritten, if given."""
        request = catalog.UpsertUsersRequest(users=users, update_mask=_mask(fields))
        return self._caller.unary(self._catalog.UpsertUsers, request, deadline_ms)

    def get_user(self, user: str, *, deadline_ms: float | None = None) -> catalog.User:
        """One user."""
        return self._caller.unary(self._catalog.GetUser, catalog.GetUserRequest(user=user), deadline_ms).user

    def list_users(self, *, page_size: int = 1_000, deadline_ms: float | None = None) -> Iterator[catalog.User]:
        """All users."""
        request = catalog.ListUsersRequest(page_size=page_size)
        for page in self._caller.pages(self._catalog.ListUsers, request, deadline_ms):
            yield from page.users

    def delete_user(self, user: str, *, deadline_ms: float | None = None) -> bool:
        """Takes out a user's attributes and takes back the user's events; whether there were any. No erasure."""
        return self._caller.unary(self._catalog.DeleteUser, catalog.DeleteUserRequest(user=user), deadline_ms).existed

    # Models

    def list_models(self, *, page_size: int = 0, deadline_ms: float | None = None) -> Iterator[model.Model]:
        """All models with their revisions, newest first."""
        request = model.ListModelsRequest(page_size=page_size)
        for page in self._caller.pages(self._model.ListModels, request, deadline_ms):
            yield from page.models

    def get_model(self, model_id: str, *, deadline_ms: float | None = None) -> model.Model:
        """One model with its revisions, such as "m7"."""
        return self._caller.unary(self._model.GetModel, model.GetModelRequest(model=model_id), deadline_ms).model

    def activate_model(
        self, version: str, *, force: bool = False, reason: str = "", deadline_ms: float | None = None
    ) -> model.ActivateModelResponse:
        """Makes a revision, such as "m7.12", the one that answers; `force` needs a reason."""
        request = model.ActivateModelRequest(version=version, force=force, reason=reason)
        return self._caller.unary(self._model.ActivateModel, request, deadline_ms)

    def rollback_model(
        self, *, reason: str = "", from_version: str = "", deadline_ms: float | None = None
    ) -> model.RollbackModelResponse:
        """Goes back to the revision active before; sent again only where `from_version` says which one to leave."""
        request = model.RollbackModelRequest(reason=reason, from_version=from_version)
        return self._caller.unary(self._model.RollbackModel, request, deadline_ms)

    def list_labels(self, *, deadline_ms: float | None = None) -> Sequence[model.Label]:
        """All labels, "stable" first: what is active, for the users that no other label takes."""
        return self._caller.unary(self._model.ListLabels, model.ListLabelsRequest(), deadline_ms).labels

    def set_label(
        self, label: str, version: str, *, share: float = 0.0, deadline_ms: float | None = None
    ) -> model.Label:
        """Lets a label, such as "canary", name a revision and take a share of the users, 0 to 1."""
        request = model.SetLabelRequest(label=label, version=version, share=share)
        return self._caller.unary(self._model.SetLabel, request, deadline_ms).label

    def delete_label(self, label: str, *, deadline_ms: float | None = None) -> bool:
        """Removes a label, whose users are answered by the active revision again; whether it was there."""
        request = model.DeleteLabelRequest(label=label)
        return self._caller.unary(self._model.DeleteLabel, request, deadline_ms).existed

    # Server

    def get_server_info(self, *, deadline_ms: float | None = None) -> server.GetServerInfoResponse:
        """Versions, the active model and the limits of requests."""
        return self._caller.unary(self._server.GetServerInfo, server.GetServerInfoRequest(), deadline_ms)


def _element_type(half: bool) -> common.ElementType.ValueType:
    return common.ELEMENT_TYPE_F16 if half else common.ELEMENT_TYPE_F32


def _mask(fields: Sequence[str]) -> FieldMask | None:
    return FieldMask(paths=fields) if fields else None
