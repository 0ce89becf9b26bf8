"""A server of two rpcs, an empty one and one of bytes: python -m benchmarks.serving.bare {threads,asyncio,uvloop}

What an rpc costs before it does anything. Prints the address that it listens on.
"""

import asyncio
import sys
from concurrent import futures
from functools import lru_cache
from typing import Any

import grpc
import uvloop
from google.protobuf.empty_pb2 import Empty
from google.protobuf.wrappers_pb2 import BytesValue, Int64Value

SERVICE = "penchant.bare.Bare"
METHOD, BYTES_METHOD = f"/{SERVICE}/Nothing", f"/{SERVICE}/Bytes"
KINDS = ("threads", "asyncio", "uvloop")
THREADS = 16


def main() -> None:
    kind = sys.argv[1]
    if kind == "threads":
        server = grpc.server(futures.ThreadPoolExecutor(THREADS))
        port = _prepare(server, lambda request, context: Empty(), lambda request, context: _bytes(request))
        server.start()
        print(f"127.0.0.1:{port}", flush=True)
        server.wait_for_termination()
    elif kind == "asyncio":
        asyncio.run(_serve())
    else:
        uvloop.run(_serve())


async def _serve() -> None:
    async def nothing(request: Empty, context: Any) -> Empty:
        return Empty()

    async def some(request: Int64Value, context: Any) -> BytesValue:
        return _bytes(request)

    server = grpc.aio.server()
    port = _prepare(server, nothing, some)
    await server.start()
    print(f"127.0.0.1:{port}", flush=True)
    await server.wait_for_termination()


@lru_cache
def _zeros(n: int) -> bytes:
    return bytes(n)


def _bytes(request: Int64Value) -> BytesValue:
    return BytesValue(value=_zeros(request.value))


def _prepare(server: Any, nothing: Any, some: Any) -> int:
    handlers: dict[str, Any] = {
        "Nothing": grpc.unary_unary_rpc_method_handler(nothing, Empty.FromString, Empty.SerializeToString),
        "Bytes": grpc.unary_unary_rpc_method_handler(some, Int64Value.FromString, BytesValue.SerializeToString),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    return int(server.add_insecure_port("127.0.0.1:0"))


if __name__ == "__main__":
    main()
