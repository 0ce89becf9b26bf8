"""Whatever is sent, and whoever goes away: refused or answered, and the server is as it was before.

A failure names the request. Alone: FUZZ_SEED=<seed> FUZZ_REQUEST=<number> make pytest ARGS=tests/server/test_fuzz.py
"""

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
import psutil
import pytest
from google.protobuf.json_format import MessageToDict
from grpc_health.v1 import health_pb2
from penchant.client import PenchantClient

from tests.server.fuzzer import make_case, send
from tests.server.test_lifecycle import health_of

if TYPE_CHECKING:
    import subprocess

    from tests.server.conftest import World

SEED = int(os.environ.get("FUZZ_SEED", "1"))
ALONE = os.environ.get("FUZZ_REQUEST")
AT_ONCE = 4
ROUND = 250
"""Requests between two looks at the server."""
MIB = 2**20
LONGEST_LINE = 8_000


class Size(NamedTuple):
    memory: int  # bytes
    threads: int
    files: int


def controls(client: PenchantClient) -> list[Any]:
    """What the shop's own callers are answered, but for the time of the call and what fades by the second."""
    answers = [
        client.score("u1", ["i1", "i2", "no such item"]),
        client.recommend("u2", 20),
        client.get_interests("u3", with_vectors=True),
        client.find_similar("items", item="i1"),
        client.find_similar("users", user="u1"),
        client.assign_segments(["u1", "u2"]),
        client.get_item("i1"),
        client.get_category("c1"),
        *client.list_segments(),
    ]
    vectors: list[Any] = client.batch_get_embeddings("users", ["u1"]).vectors.round(4).tolist()
    return [_rounded(MessageToDict(answer)) for answer in answers] + vectors


def _rounded(told: Any) -> Any:
    if isinstance(told, dict):
        return {name: _rounded(each) for name, each in told.items() if name != "historyAsOf"}
    if isinstance(told, list):
        return [_rounded(each) for each in told]
    return round(told, 4) if isinstance(told, float) else told


class Fuzzed:
    """A server that nobody else asks, looked at between requests: healthy, the same answers, no bug in its log."""

    def __init__(self, process: psutil.Process, target: str, log: Path, client: PenchantClient) -> None:
        self.target = target
        self._process = process
        self._client = client
        self._log = log.open()
        self._before = controls(client)

    def close(self) -> None:
        self._log.close()

    def check(self) -> None:
        assert controls(self._client) == self._before
        assert health_of(self.target, "penchant.v1.InterestService") == health_pb2.HealthCheckResponse.SERVING
        for line in self._log:
            assert json.loads(line)["level"] in ("info", "warning"), line
            assert len(line) < LONGEST_LINE, line[:200]

    def size(self) -> Size:
        process = self._process
        return Size(process.memory_info().rss, process.num_threads(), process.num_fds())

    def check_size(self, before: Size) -> None:
        """What was taken during the warm-up is kept; nothing beside grows with the requests."""
        now = self.size()
        allowed = max(0.1 * before.memory, 50 * MIB)
        assert now.memory < before.memory + allowed, f"{before.memory // MIB} MiB became {now.memory // MIB} MiB"
        assert now.threads <= before.threads + 4  # as grpc and the pools see fit
        assert now.files <= before.files + 10


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def fuzzed(
    request: pytest.FixtureRequest, serve: "Callable[[World], tuple[subprocess.Popen[str], str]]"
) -> Iterator[Fuzzed]:
    is_sqlite = request.param == "sqlite"
    world: World
    world = request.getfixturevalue("world") if is_sqlite else request.getfixturevalue("served_by_postgresql").world
    server, target = serve(world)
    log = world.artifacts.parent / "server.log"
    with ExitStack() as stack:
        client = stack.enter_context(PenchantClient(target, deadline_ms=30_000, retries=0))
        found = Fuzzed(psutil.Process(server.pid), target, log, client)
        stack.callback(found.close)
        yield found


def fuzz(target: str, numbers: range) -> None:
    """AT_ONCE callers over one connection."""

    def one(number: int) -> str:
        case = make_case(SEED, number)
        try:
            send(channel, case).check_case(case)
        except Exception as error:
            how = f"FUZZ_SEED={SEED} FUZZ_REQUEST={number} make pytest ARGS=tests/server/test_fuzz.py"
            return f"{type(error).__name__} {error}: {case}\n  alone: {how}\n"
        return ""

    with grpc.insecure_channel(target) as channel, ThreadPoolExecutor(AT_ONCE) as callers:
        failures = "".join(callers.map(one, numbers))
    assert not failures, failures


@pytest.mark.parametrize(
    "n", [1_000, pytest.param(100_000, marks=[pytest.mark.soak, pytest.mark.timeout(7_200, func_only=True)])]
)
def test_nothing_that_is_sent_breaks_the_server(fuzzed: Fuzzed, n: int) -> None:
    """2,000 over both engines in `make test`, of all rpcs that the descriptors name."""
    if ALONE is not None:
        fuzz(fuzzed.target, range(int(ALONE), int(ALONE) + 1))
        fuzzed.check()
        return
    warm_up = n // 4
    before = fuzzed.size()
    for first in range(0, n, ROUND):
        fuzz(fuzzed.target, range(first, first + ROUND))
        fuzzed.check()
        if first < warm_up:
            before = fuzzed.size()
    fuzzed.check_size(before)
