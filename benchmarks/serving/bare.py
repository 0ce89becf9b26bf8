"""A server of one empty rpc and nothing else: python -m benchmarks.serving.bare {threads,asyncio,uvloop}

What an rpc costs before it does anything. Prints the address that it listens on.
"""

import asyncio
import sys
from concurrent import futures
from typing import Any

import grpc
import uvloop
from google.protobuf.empty_pb2 import Empty

METHOD = "/penchant.bare.Bare/Nothing"
KINDS = ("threads", "asyncio", "uvloop")
THREADS = 16


def main() -> None:
    kind = sys.argv[1]
    if kind == "threads":
        server = grpc.server(futures.ThreadPoolExecutor(THREADS))
        port = _prepare(server, lambda request, context: Empty())
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

    server = grpc.aio.server()
    port = _prepare(server, nothing)
    await server.start()
    print(f"127.0.0.1:{port}", flush=True)
    await server.wait_for_termination()


def _prepare(server: Any, nothing: Any) -> int:
    handler = grpc.unary_unary_rpc_method_handler(nothing, Empty.FromString, Empty.SerializeToString)
    _, service, method = METHOD.split("/")
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    return int(server.add_insecure_port("127.0.0.1:0"))


if __name__ == "__main__":
    main()
