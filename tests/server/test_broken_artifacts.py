"""A revision that becomes active and cannot be loaded: the old one serves, and everybody who asks is told."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from structlog.testing import capture_logs

from server import reload

if TYPE_CHECKING:
    from tests.server.conftest import Running

Run = Callable[[], "Running"]


def take_away(path: Path) -> None:
    path.unlink()


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 0x01
    path.chmod(0o644)
    path.write_bytes(bytes(content))


def cut_off(path: Path) -> None:
    content = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
    ("spoil", "file", "said"),
    [
        (take_away, "item_vectors.npy", "is missing"),
        (flip_a_byte, "popularity.npy", "does not match its checksum"),
        (cut_off, "users.arrow", "the manifest says"),
        (take_away, "manifest.json", "is missing"),
    ],
)
def test_the_old_revision_serves_and_the_problem_is_told_until_it_is_mended(
    run: Run,
    eventually: Any,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Path], None],
    file: str,
    said: str,
) -> None:
    monkeypatch.setattr(reload, "RETRY_MS", 200)
    running = run()
    assert running.client.get_server_info().problem == ""
    path = running.world.artifacts / "m1.2" / file
    whole = path.read_bytes()
    spoil(path)
    with capture_logs() as logs:
        running.client.activate_model("m1.2")
        eventually(lambda: running.client.get_server_info().problem)
    info = running.client.get_server_info()
    assert info.model_version == "m1.1"
    assert str(path) in info.problem
    assert said in info.problem
    (told,) = [entry for entry in logs if entry["event"] == "cannot load"]
    assert (told["log_level"], told["version"], told["serving"]) == ("error", "m1.2", "m1.1")
    assert running.client.recommend("u1", 3).model_version == "m1.1"
    revisions = {each.version: each for each in next(iter(running.client.list_models())).revisions}
    assert revisions["m1.2"].active  # what should serve, and does not
    # What answers is good: a balancer has no reason to turn away from this server.
    with grpc.insecure_channel(running.target) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        asked = health_pb2.HealthCheckRequest(service="penchant.v1.InterestService")
        assert stub.Check(asked, timeout=30).status == health_pb2.HealthCheckResponse.SERVING

    path.unlink(missing_ok=True)
    path.write_bytes(whole)
    eventually(lambda: running.client.get_server_info().model_version == "m1.2")
    eventually(lambda: not running.client.get_server_info().problem)
