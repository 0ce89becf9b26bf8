"""Exports whose connection is cut by a proxy, or whose process is killed: every id is there once, in its order."""

import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pyarrow.parquet as pq
import pytest
from penchant import vectors
from penchant.export import export_parquet
from penchant.v1 import embedding_pb2 as pb
from penchant.v1 import embedding_pb2_grpc

from tests.protos.conftest import Connect

CHUNKS, IDS = 40, 500


class Embeddings(embedding_pb2_grpc.EmbeddingServiceServicer):
    """Has 40 chunks, and goes on behind any of them; `held` is where it waits until `released`."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        """The first chunk of each stream."""
        self.held = CHUNKS
        self.released = threading.Event()

    def ExportEmbeddings(  # noqa: N802  # the rpc's name
        self, request: pb.ExportEmbeddingsRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.ExportEmbeddingsResponse]:
        begin = int(request.resume_token or 0)
        self.begun.append(begin)
        for number in range(begin, CHUNKS):
            if number == self.held:
                self.released.wait(30)
            ids = [f"i{n:05}" for n in range(number * IDS, (number + 1) * IDS)]
            matrix = np.full((IDS, 16), number, np.float32)
            chunk = pb.ExportEmbeddingsResponse(ids=ids, vectors=vectors.encode(matrix), total_ids=CHUNKS * IDS)
            chunk.resume_token, chunk.model_version = str(number + 1), "m7.12"
            chunk.checksum = vectors.checksum(ids, [], chunk.vectors.data)
            yield chunk


@pytest.fixture
def embeddings() -> Embeddings:
    return Embeddings()  # type: ignore[abstract]  # exports alone


@pytest.fixture
def address(embeddings: Embeddings) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(4))
    embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server(embeddings, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    embeddings.released.set()
    server.stop(None).wait()


class CuttingProxy(threading.Thread):
    """Passes bytes on, and closes its first connections once so many bytes of the server's went through each."""

    def __init__(self, address: str, cut_after: list[int]) -> None:
        super().__init__(daemon=True)
        host, port = address.split(":")
        self._server = (host, int(port))
        self._cut_after = cut_after
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self.connections = 0
        self.start()

    def run(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            most = self._cut_after[self.connections] if self.connections < len(self._cut_after) else sys.maxsize
            self.connections += 1
            with client, socket.create_connection(self._server) as server:
                self._pass_on(client, server, most)

    def close(self) -> None:
        self._listening.close()

    @staticmethod
    def _pass_on(client: socket.socket, server: socket.socket, most: int) -> None:
        other = {client: server, server: client}
        while most > 0:
            for readable in select.select(list(other), [], [])[0]:
                try:
                    data = readable.recv(4_096)
                    other[readable].sendall(data)
                except OSError:
                    return
                if not data:
                    return
                most -= len(data) if readable is server else 0


def check(path: Path) -> None:
    table = pq.read_table(path)
    assert table.column("id").to_pylist() == [f"i{n:05}" for n in range(CHUNKS * IDS)]
    found = np.stack(table.column("vector").to_pylist())[:, 0]
    np.testing.assert_array_equal(found, np.repeat(np.arange(CHUNKS), IDS))
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_connection_that_is_cut_in_the_middle_loses_and_doubles_nothing(
    address: str, embeddings: Embeddings, connect: Connect, tmp_path: Path
) -> None:
    proxy = CuttingProxy(address, cut_after=[300_000, 120_000, 10_000])
    try:
        client = connect(proxy.address, retries=10)
        assert export_parquet(client, "items", tmp_path / "items.parquet").ids == CHUNKS * IDS
    finally:
        proxy.close()
    check(tmp_path / "items.parquet")
    assert proxy.connections >= 4
    assert embeddings.begun[0] == 0
    assert max(embeddings.begun) > 0, "a stream went on behind what had arrived"


EXPORT = """
import sys
from penchant import export, main
export.ROW_GROUP_ROWS = 4 * 500  # small parts, so that some are done soon
sys.exit(main.main(["export", "--kind", "items", "--out", sys.argv[2], "--address", sys.argv[1]]))
"""


def test_a_process_that_is_killed_loses_and_doubles_nothing(
    address: str, embeddings: Embeddings, tmp_path: Path
) -> None:
    path = tmp_path / "items.parquet"
    command = [sys.executable, "-c", EXPORT, address, str(path)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    for held in (10, 25):
        embeddings.held = held
        with subprocess.Popen(command, env=environment) as killed:
            while len(list(tmp_path.glob("items.parquet.parts/*.parquet"))) < held // 4:
                assert killed.poll() is None
                time.sleep(0.02)
            killed.kill()
        assert not path.exists()
    embeddings.held = CHUNKS
    subprocess.run(command, env=environment, check=True)
    check(path)
    assert embeddings.begun == [0, 8, 24]
