"""Run by test_distribution.py inside bare environments: one call of each kind against a server of this process.

python -W error smoke.py           what the client needs at least
python -W error smoke.py tables    with Arrow, pandas and polars as well
"""

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
from penchant import AsyncPenchantClient, NotFoundError, PenchantClient, vectors
from penchant.columns import to_rows
from penchant.main import main
from penchant.v1 import embedding_pb2, embedding_pb2_grpc, interest_pb2, interest_pb2_grpc


class Interests(interest_pb2_grpc.InterestServiceServicer):
    def Score(  # noqa: N802  (the rpc's name)
        self, request: interest_pb2.ScoreRequest, context: grpc.ServicerContext
    ) -> interest_pb2.ScoreResponse:
        rows = [interest_pb2.ItemScore(item=item, score=-1.5) for item in request.items]
        return interest_pb2.ScoreResponse(scores=rows, model_version="m1.1")

    def Recommend(  # noqa: N802  # the rpc's name
        self, request: interest_pb2.RecommendRequest, context: grpc.ServicerContext
    ) -> interest_pb2.RecommendResponse:
        context.abort(grpc.StatusCode.NOT_FOUND, "nothing here")


class Embeddings(embedding_pb2_grpc.EmbeddingServiceServicer):
    def ExportEmbeddings(  # noqa: N802  # the rpc's name
        self, request: embedding_pb2.ExportEmbeddingsRequest, context: grpc.ServicerContext
    ) -> Iterator[embedding_pb2.ExportEmbeddingsResponse]:
        chunk = embedding_pb2.ExportEmbeddingsResponse(ids=["a", "b"], vectors=vectors.encode(np.eye(2)), total_ids=2)
        chunk.checksum = vectors.checksum(chunk.ids, chunk.weights, chunk.vectors.data)
        yield chunk


async def run_async(target: str) -> None:
    async with AsyncPenchantClient(target, token="t") as client:
        assert [row.item for row in (await client.score("u", ["i"])).scores] == ["i"]
        with contextlib.suppress(NotFoundError):
            raise AssertionError(await client.recommend("u"))
        assert [len(chunk.ids) async for chunk in client.export_embeddings("items")] == [2]


def run(tables: bool) -> None:
    server = grpc.server(ThreadPoolExecutor(2))
    interest_pb2_grpc.add_InterestServiceServicer_to_server(Interests(), server)  # type: ignore[abstract]  # few methods are enough
    embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server(Embeddings(), server)  # type: ignore[abstract]  # likewise
    target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    with PenchantClient(target) as client:
        assert [row.item for row in client.score("u", ["i"]).scores] == ["i"]
        with contextlib.suppress(NotFoundError):
            raise AssertionError(client.recommend("u"))
        chunk = next(client.export_embeddings("items"))
        assert chunk.by_id()["b"].tolist() == [[0, 1]]
        assert main(["call", "Score", '{"user": "u", "items": ["i"]}', "--target", target]) == 0
        assert main(["call", "ExportEmbeddings", "--address", target]) == 0
        assert main(["list", "Score"]) == 0
        asyncio.run(run_async(target))
        assert to_rows(client.score("u", ["i"]))[0]["item"] == "i"
        if tables:
            from penchant.frames import to_arrow, to_pandas, to_polars

            assert to_arrow(client.score("u", ["i"])).num_rows == 1
            assert to_pandas(chunk)["id"].tolist() == to_polars(chunk)["id"].to_list() == ["a", "b"]
            with tempfile.TemporaryDirectory() as folder:
                out = str(Path(folder) / "items.parquet")
                assert main(["export", "--kind", "items", "--out", out, "--target", target]) == 0
        else:
            assert main(["export", "--kind", "items", "--out", "x", "--target", target]) == 1, "needs the extra"
    server.stop(None).wait()


run(tables="tables" in sys.argv)
