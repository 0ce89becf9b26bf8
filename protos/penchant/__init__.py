"""Client of penchant: what every user of a shop is interested in, over gRPC.

    from penchant import PenchantClient

    with PenchantClient("localhost:50051") as client:
        for row in client.recommend("user-17", k=5).items:
            print(row.item, row.probability)

The clients and their errors are here, and the messages that callers fill in. All other messages are in penchant.v1.
AsyncPenchantClient has the same methods for event loops.
"""

from penchant.client import AsyncPenchantClient, PenchantClient
from penchant.errors import (
    CallCancelledError,
    ConfigurationError,
    CorruptDataError,
    DeadlineExceededError,
    FailedPreconditionError,
    FieldViolation,
    InvalidArgumentError,
    ModelVersionGoneError,
    NotFoundError,
    PenchantError,
    PermissionDeniedError,
    ResourceExhaustedError,
    ServerError,
    UnavailableError,
    UnimplementedError,
)
from penchant.v1.catalog_pb2 import Category, Item, User
from penchant.v1.common_pb2 import ItemFilter, SeenRule
from penchant.v1.event_pb2 import Event
from penchant.vectors import EmbeddingBatch, EmbeddingChunk, Embeddings

__version__ = "0.1.0"

__all__ = [
    "AsyncPenchantClient",
    "CallCancelledError",
    "Category",
    "ConfigurationError",
    "CorruptDataError",
    "DeadlineExceededError",
    "EmbeddingBatch",
    "EmbeddingChunk",
    "Embeddings",
    "Event",
    "FailedPreconditionError",
    "FieldViolation",
    "InvalidArgumentError",
    "Item",
    "ItemFilter",
    "ModelVersionGoneError",
    "NotFoundError",
    "PenchantClient",
    "PenchantError",
    "PermissionDeniedError",
    "ResourceExhaustedError",
    "SeenRule",
    "ServerError",
    "UnavailableError",
    "UnimplementedError",
    "User",
]
