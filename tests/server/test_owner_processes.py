"""The owner of a device and the workers as processes: killed, stopped, in trouble, and none left behind."""

import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import numpy as np
import psutil
import pytest
import torch
from penchant.client import PenchantClient

from graph.storage.errors import PenchantError
from server.workers import Workers
from tests.server.conftest import ROOT
from tests.server.processes import free_address, spawned_by

if TYPE_CHECKING:
    from tests.server.conftest import World

Eventually = Callable[..., Any]
Serve = Callable[..., "tuple[subprocess.Popen[str], str]"]
START_S = 60.0
"""That a process may take to load all there is, beside others."""


@pytest.fixture
def serve_with_owner(world: "World", serve: Serve) -> Serve:
    """Of so many workers."""

    def one(workers: int, *arguments: str) -> "tuple[subprocess.Popen[str], str]":
        device = ("--workers", str(workers), "--serve-device", "cuda")
        return serve(world, *device, *arguments, module="tests.server.serve_with_owner")

    return one


def is_owner(process: psutil.Process) -> bool:
    """Workers listen on a port, the owner on its socket alone."""
    return any(one.laddr for one in process.net_connections("unix")) and not process.net_connections("tcp")


def owners_of(server: "subprocess.Popen[str]") -> list[psutil.Process]:
    """One, or none for a moment."""
    return [one for one in spawned_by(server) if is_owner(one)]


def has_another_owner(server: "subprocess.Popen[str]", than: psutil.Process) -> bool:
    return any(one.pid != than.pid for one in owners_of(server))


def socket_of(process: psutil.Process) -> Path:
    (address,) = {str(one.laddr) for one in process.net_connections("unix") if one.laddr}
    return Path(address)


def encodings(metrics: str) -> dict[str, float]:
    with urlopen(f"http://{metrics}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found = re.findall(r'^penchant_encodings_total{by="(\w+)"} ([\d.]+)$', text, flags=re.MULTILINE)
    return {by: float(count) for by, count in found}


def answers(target: str, users: int = 12) -> list[str]:
    """Asked by connections of their own, so that every worker gets some."""
    versions = []
    for user in range(users):
        with PenchantClient(target, deadline_ms=30_000) as client:
            found = client.recommend(f"u{user}", 5)
            assert len(found.items) == 5
            versions.append(found.model_version)
    return versions


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_life_of_an_owner(world: "World", serve_with_owner: Serve, serve: Serve, eventually: Eventually) -> None:
    metrics = free_address()
    server, target = serve_with_owner(1, "--metrics-listen", metrics)
    (owner,) = owners_of(server)
    address = socket_of(owner)
    assert address.parent.stat().st_mode & 0o077 == 0  # nobody else may ask

    def is_asked() -> bool:
        before = encodings(metrics)["owner"]
        with PenchantClient(target, deadline_ms=30_000) as client:  # of users whom nobody has kept
            client.recommend(f"stranger-{time.monotonic_ns()}", 5)
        return encodings(metrics)["owner"] > before

    eventually(is_asked, patience_s=START_S)
    assert set(answers(target)) == {"m1.1"}
    _, by_itself = serve(world)
    with PenchantClient(target, deadline_ms=30_000) as owned, PenchantClient(by_itself, deadline_ms=30_000) as alone:
        items = [f"i{i}" for i in range(20)]
        for user in ("u1", "u7", "nobody"):
            mine = [score.probability for score in owned.score(user, items).scores]
            theirs = [score.probability for score in alone.score(user, items).scores]
            np.testing.assert_allclose(mine, theirs, rtol=1e-3)

    owner.send_signal(signal.SIGKILL)
    owner.wait(30)
    before = encodings(metrics)["here"]
    with PenchantClient(target, deadline_ms=30_000) as client:
        client.recommend("somebody-new", 5)  # answered all the same
    assert encodings(metrics)["here"] > before
    eventually(lambda: has_another_owner(server, owner), patience_s=START_S)
    eventually(is_asked, patience_s=START_S)

    everybody = spawned_by(server)
    server.send_signal(signal.SIGTERM)
    assert server.wait(60) == 0
    assert psutil.wait_procs(everybody, timeout=30)[1] == []
    assert not address.parent.exists()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_no_call_fails_while_owners_die(serve_with_owner: Serve, eventually: Eventually) -> None:
    server, target = serve_with_owner(2)
    over = threading.Event()

    def ask_on(number: int) -> int:
        calls = 0
        with PenchantClient(target, deadline_ms=30_000, retries=0) as client:
            while not over.is_set():
                assert len(client.recommend(f"caller-{number}-{calls}", 5).items) == 5
                calls += 1
        return calls

    with ThreadPoolExecutor(4) as threads:
        calling = [threads.submit(ask_on, number) for number in range(4)]
        try:
            (first,) = owners_of(server)
            first.send_signal(signal.SIGSTOP)  # hangs: a batch waits for a moment, and who watches ends it
            eventually(lambda: has_another_owner(server, first), patience_s=START_S)
            (second,) = owners_of(server)
            second.send_signal(signal.SIGKILL)
            second.wait(30)
            time.sleep(1)
        finally:
            over.set()
        assert min(call.result() for call in calling) > 0
    assert len([one for one in spawned_by(server) if not is_owner(one)]) == 2  # no worker went with them


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_owner_does_not_outlive_who_watches_it(serve_with_owner: Serve) -> None:
    server, _ = serve_with_owner(1)
    everybody, address = spawned_by(server), socket_of(*owners_of(server))
    assert len(everybody) == 2
    server.kill()
    assert psutil.wait_procs(everybody, timeout=60)[1] == []
    assert not address.parent.exists()


FELL = """
def fell(*_):
    raise RuntimeError("the device fell off the bus")
"""


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "falls",
    [
        "owner._nets.at = fell",
        "nets.NetOnDevice.load = fell",
        "owner._socket.close(); owner._socket = Mock(accept=fell)",
    ],
    ids=["in a pass", "while a net is loaded", "while somebody is let in"],
)
def test_an_owner_in_trouble_ends_and_says_why(tmp_path: Path, falls: str) -> None:
    script = f"""
import sys, time
from pathlib import Path
from unittest.mock import Mock
import torch
from graph.histories import histories_from_arrays
from server.owner import nets
from server.owner.ask import NetOwner
from server.owner.process import Owner
{FELL}
owner = Owner(Path(sys.argv[1]), torch.device("cpu"))
{falls}
owner.start()
NetOwner(Path(sys.argv[1])).of(Path("m1.1"))(histories_from_arrays([0], [0], [0]))
time.sleep(60)
"""
    command = [sys.executable, "-c", script, str(tmp_path / "owner")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert ended.returncode == 1
    assert "the device fell off the bus" in ended.stdout + ended.stderr


@pytest.mark.timeout(240)
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a device here")
def test_a_device_that_there_is_not(
    world: "World", serve: Callable[..., Any], capfd: pytest.CaptureFixture[str]
) -> None:
    settings = world.settings().model_copy(update={"listen": "127.0.0.1:0"})
    workers = Workers(settings.model_copy(update={"serve_device": "cuda"}))
    with pytest.raises(PenchantError, match="Owner could not start"):
        workers.start(threading.Event())
    workers.stop()
    assert "no CUDA device here" in capfd.readouterr().err
    server, target = serve(world, "--serve-device", "auto")
    assert answers(target, 1) == ["m1.1"]
    (worker,) = spawned_by(server)
    assert not is_owner(worker)
