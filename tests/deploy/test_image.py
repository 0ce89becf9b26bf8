"""The image, its steps replayed one after the other: it learns a shop, and its first server answers at once."""

import csv
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from penchant.client import PenchantClient

from tests.deploy.replay import Replay, context_of
from tests.server.processes import free_address

ROOT = Path(__file__).parents[2]
INDEXES = {name: os.environ[name] for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL") if name in os.environ}

pytestmark = [
    pytest.mark.soak,
    pytest.mark.network,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the image has Python 3.11, and so must this machine"),
]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Replay:
    place = tmp_path_factory.mktemp("image")
    context = context_of(ROOT, place / "context")
    return Replay(ROOT / "deploy" / "Dockerfile", context, place, INDEXES)


def penchant(image: Replay, line: str) -> None:
    """A command in a container of the image."""
    command = [*image.stage.said["ENTRYPOINT"], *line.split()]
    subprocess.run(command, cwd=image.folder(), env=image.environment(), check=True)


@pytest.fixture(scope="module")
def users(image: Replay) -> list[str]:
    """A shop has been loaded and learned; these are its users."""
    penchant(image, "db upgrade")
    penchant(image, "synth --out shop --users 150 --items 80 --categories 30 --segments 3 --events 6000")
    penchant(image, "ingest shop/shop.toml")
    penchant(image, "train --holdout-days 0 --epochs 2 --force")
    with (image.folder() / "shop" / "users.csv").open() as file:
        return [next(iter(row.values())) for row in csv.DictReader(file)]


@pytest.fixture
def probed() -> str:
    return free_address()


@pytest.fixture
def target(image: Replay, users: list[str], probed: str) -> Iterator[str]:
    address = free_address()
    # In a container all addresses are the container's; here they would be this machine's.
    environment = image.environment() | {"PENCHANT_LISTEN": address, "PENCHANT_METRICS_LISTEN": probed}
    command = [*image.stage.said["ENTRYPOINT"], *image.stage.said["CMD"]]
    server = subprocess.Popen(command, cwd=image.folder(), env=environment)
    with grpc.insecure_channel(address) as channel:
        grpc.channel_ready_future(channel).result(timeout=600)
    yield address
    server.send_signal(signal.Signals[image.stage.said["STOPSIGNAL"][0]])
    assert server.wait() == 0


def written(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def unchanged(image: Replay, users: list[str]) -> Iterator[None]:
    """What a server finds, machine code and models, is enough for it: in a pod it can write neither."""
    folders = [image.root / "home" / "penchant" / ".cache" / "penchant", image.folder() / "artifacts"]
    before = [written(folder) for folder in folders]
    assert all(before)
    yield
    assert [written(folder) for folder in folders] == before


@pytest.mark.usefixtures("unchanged")
def test_the_first_server_answers_and_compiles_nothing(
    image: Replay, target: str, probed: str, users: list[str]
) -> None:
    with PenchantClient(target) as client:
        assert len(client.recommend(users[0], k=5).items) == 5
    word, *probe = map(image.mapped, image.stage.said["HEALTHCHECK"])
    assert word == "CMD"
    subprocess.run(probe, env=image.environment() | {"PENCHANT_METRICS_LISTEN": probed}, check=True)


def test_no_process_of_it_runs_as_root_and_nothing_of_the_build_is_left(image: Replay) -> None:
    assert image.stage.user.split(":")[0].isdecimal()
    assert int(image.stage.user.split(":")[0]) > 0
    assert not (image.root / "wheels").exists()
    assert not (image.root / "src").exists()
    assert not list((image.root / "tmp").iterdir())
