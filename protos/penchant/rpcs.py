"""Every rpc of the API, read from the descriptors, so that nothing here can fall behind the .proto files."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType

from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message import Message

from penchant.v1 import (
    catalog_pb2,
    embedding_pb2,
    event_pb2,
    interest_pb2,
    model_pb2,
    segment_pb2,
    server_pb2,
    similarity_pb2,
)


@dataclass(frozen=True, slots=True)
class Rpc:
    """One rpc; each has a request type of its own, so that a request says which rpc it is for."""

    name: str
    """Such as "Recommend"; unique over all services."""
    path: str
    """Such as "/penchant.v1.InterestService/Recommend"."""
    request: type[Message]
    response: type[Message]
    streams: bool
    """Whether it answers with a stream."""
    uploads: bool
    """Whether it takes a stream of requests."""
    repeatable: bool
    """Whether sending the same request again is harmless."""


def find(request: object) -> Rpc:
    """The rpc that takes `request`. TypeError where there is none."""
    rpc = _BY_REQUEST.get(type(request))
    if rpc is None:
        raise TypeError(f"No rpc takes a {type(request).__name__}; give one of penchant.v1's …Request messages.")
    return rpc


def is_repeatable(request: object) -> bool:
    """Whether sending this very request again is harmless."""
    if isinstance(request, model_pb2.RollbackModelRequest):
        # Twice back is not once back, unless the request says from where.
        return bool(request.from_version)
    return find(request).repeatable


def _read(module: ModuleType) -> dict[str, Rpc]:
    return {
        method.name: Rpc(
            name=method.name,
            path=f"/{service.full_name}/{method.name}",
            request=getattr(module, method.input_type.name),
            response=getattr(module, method.output_type.name),
            streams=method.server_streaming,
            uploads=method.client_streaming,
            repeatable=method.GetOptions().idempotency_level != MethodOptions.IDEMPOTENCY_UNKNOWN,
        )
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }


_MODULES = (
    interest_pb2,
    similarity_pb2,
    segment_pb2,
    embedding_pb2,
    event_pb2,
    catalog_pb2,
    model_pb2,
    server_pb2,
)

RPCS: Mapping[str, Rpc] = {name: rpc for module in _MODULES for name, rpc in _read(module).items()}
_BY_REQUEST: Mapping[type, Rpc] = {rpc.request: rpc for rpc in RPCS.values()}
