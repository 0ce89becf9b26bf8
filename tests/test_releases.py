"""What a release left behind still works: its store is upgraded with data in place, its contract is not broken."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from graph.snapshot import take_snapshot
from graph.storage.database import Database
from graph.storage.items import get_items
from graph.storage.registry import active_revision
from migrations.commands import upgrade

ROOT = Path(__file__).resolve().parent.parent
RELEASES = sorted(path for path in (ROOT / "tests" / "fixtures").iterdir() if path.is_dir() and path.name[0].isdigit())
BUF = Path(sys.executable).with_name("buf")


@pytest.fixture(params=RELEASES, ids=lambda path: path.name)
def release(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_its_store_upgrades_without_losing_a_row(release: Path, tmp_path: Path) -> None:
    shutil.copyfile(release / "penchant.sqlite", tmp_path / "penchant.db")
    database = Database(f"sqlite:///{tmp_path / 'penchant.db'}")
    upgrade(database)
    database.require_schema()
    snapshot = take_snapshot(database, as_of=None)
    # 400 events, of which two are withdrawn by the newest moment; 28 items named by events, 2 more, and a stub.
    assert len(snapshot.events) == 398
    assert len(snapshot.items) == 31
    assert snapshot.item_exists.sum() == 30  # one is deleted
    assert len(snapshot.categories) == 10
    assert get_items(database, ["item-3"])["item-3"].name == "Item 3, renamed"
    active = active_revision(database)
    assert active is not None
    assert str(active.version) == "m1.2"
    database.close()


def test_its_contract_is_not_broken(release: Path) -> None:
    against = release / "penchant.v1.binpb"
    result = subprocess.run(
        [BUF, "breaking", "--against", against], cwd=ROOT / "protos", capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_a_broken_contract_would_be_noticed(release: Path, tmp_path: Path) -> None:
    protos = tmp_path / "protos"
    shutil.copytree(ROOT / "protos" / "penchant", protos / "penchant")
    shutil.copyfile(ROOT / "protos" / "buf.yaml", protos / "buf.yaml")
    event = protos / "penchant" / "v1" / "event.proto"
    event.write_text(event.read_text().replace("optional double value = 5;", "optional string value = 5;"))
    against = release / "penchant.v1.binpb"
    result = subprocess.run([BUF, "breaking", "--against", against], cwd=protos, capture_output=True, check=False)
    assert result.returncode != 0
