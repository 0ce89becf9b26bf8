"""An export of all vectors beside a bare stream of as many bytes: python -m benchmarks.serving.export [--folder …]

The client takes the bytes and reads no message of either, so that both are what the servers do.
"""

import argparse
import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from statistics import median
from typing import Any

import grpc
import uvloop
from google.protobuf.wrappers_pb2 import BytesValue, Int64Value
from penchant.v1 import common_pb2 as common
from penchant.v1.embedding_pb2 import ExportEmbeddingsRequest
from rich.console import Console

from benchmarks.serving.world import another, make_world

BARE, EXPORT = "/penchant.bare.Bare/Stream", "/penchant.v1.EmbeddingService/ExportEmbeddings"
CHUNK_BYTES = 512 * 1_024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("var/serving"), help="the shop, its model")
    parser.add_argument("--items", type=int, default=70_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bare", action="store_true", help=argparse.SUPPRESS)  # the other server, started by this one
    arguments = parser.parse_args()
    if arguments.bare:
        uvloop.run(_serve_bare())
        return
    world = make_world(arguments.folder, arguments.items)
    export = ExportEmbeddingsRequest(kind=common.ENTITY_KIND_ITEM).SerializeToString()
    with world.serve() as target, another("benchmarks.serving.export", "--bare") as bare:
        total, _ = read(target, EXPORT, export)  # the first is not counted
        rates: dict[str, list[float]] = {"bare": [], "export": []}
        for _ in range(arguments.rounds):
            for name, where, method, request in (
                ("bare", bare, BARE, Int64Value(value=total).SerializeToString()),
                ("export", target, EXPORT, export),
            ):
                size, seconds = read(where, method, request)
                rates[name].append(size / seconds / 1e6)
    ratio = median(one / other for one, other in zip(rates["export"], rates["bare"], strict=True))
    Console(width=120).print(
        f"{total / 1e6:,.0f} MB: bare stream {median(rates['bare']):,.0f} MB/s, "
        f"export {median(rates['export']):,.0f} MB/s, {ratio:.2f} of it"
    )


def read(target: str, method: str, request: bytes) -> tuple[int, float]:
    """Bytes and seconds."""
    with grpc.insecure_channel(target) as channel:
        stream: Any = channel.unary_stream(method)
        began, size = time.perf_counter(), 0
        for chunk in stream(request):
            size += len(chunk)
        return size, time.perf_counter() - began


async def _serve_bare() -> None:
    """A server of one stream: of as many bytes as it is asked for."""
    chunk = bytes(CHUNK_BYTES)

    async def stream(request: Int64Value, context: Any) -> AsyncIterator[BytesValue]:
        left = request.value
        while left > 0:
            yield BytesValue(value=chunk[:left])
            left -= CHUNK_BYTES

    server = grpc.aio.server()
    handler = grpc.unary_stream_rpc_method_handler(stream, Int64Value.FromString, BytesValue.SerializeToString)
    _, service, method = BARE.split("/")
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"127.0.0.1:{port}", flush=True)
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    main()
