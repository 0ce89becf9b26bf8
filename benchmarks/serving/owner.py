"""What it is worth that one process owns a device: python -m benchmarks.serving.owner [--device cuda] [--folder …]

Users' vectors of batches, in µs a user: found by the process that asks, on one core, and told by an owner of the device
over its socket, of one that asks and of several at once. On a processor it shows what the way there and back costs.
"""

import argparse
import multiprocessing
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.serving.world import make_world
from graph.arrays import Float32s
from graph.histories import Histories
from graph.storage.database import Database
from graph.storage.settings import Settings
from server.engine import Engine
from server.live import read_live_catalog
from server.owner.ask import NetOwner
from server.owner.process import own
from server.revision import load_revision
from training.mixture_net import UsersFrom

SECONDS = 3.0
BATCHES = (1, 16, 32)

_SPAWN = multiprocessing.get_context("spawn")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("var/serving"), help="the shop, its model")
    parser.add_argument("--items", type=int, default=70_000)
    parser.add_argument("--device", default="cpu", help="auto, cpu or cuda")
    parser.add_argument("--askers", type=int, default=2, help="processes that ask at once")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    world = make_world(arguments.folder, arguments.items)
    folder = arguments.folder / f"{arguments.items}-items" / "artifacts" / "m1.1"
    database, revision = Database(world.url), load_revision(folder)
    engine = Engine(database, revision, read_live_catalog(database, revision.artifact))
    histories = engine.past(world.names(max(BATCHES))[0], as_of_us=revision.artifact.manifest.as_of).histories
    database.close()
    table = Table(title=f"µs a user, histories of {histories.lengths.mean():.0f} events, owner on {arguments.device}")
    for column in (
        "batch",
        "by itself",
        "told by the owner",
        f"told, {arguments.askers} ask at once",
        "largest difference",
    ):
        table.add_column(column, justify="right")
    with tempfile.TemporaryDirectory() as owners:
        address = Path(owners, "owner")
        heard, told = _SPAWN.Pipe()
        owner = _SPAWN.Process(target=own, args=(told, Settings(log_level="WARNING"), arguments.device, address))
        owner.start()
        told.close()
        if not heard.recv():
            parser.error("there is no device to own here")
        asking = NetOwner(address).of(folder)
        while asking(histories) is None:
            time.sleep(0.1)
        with ProcessPoolExecutor(arguments.askers, mp_context=_SPAWN) as pool:
            for size in BATCHES:
                batch = histories.select(np.arange(size))
                alone, one = (1e6 / users_per_s(source, batch) for source in (revision.mixture.net.users, asking))
                several = sum(pool.map(_asks, *zip(*[(address, folder, batch)] * arguments.askers, strict=True)))
                difference = np.abs(told_by(asking, batch) - revision.mixture.net.users(batch)).max()
                table.add_row(f"{size}", f"{alone:.0f}", f"{one:.0f}", f"{1e6 / several:.0f}", f"{difference:.1e}")
        heard.close()
        owner.join()
    Console(width=120).print(table)


def told_by(users_from: UsersFrom, batch: Histories) -> Float32s:
    users = users_from(batch)
    if users is None:
        raise SystemExit("The owner did not answer; what it says stands above.")
    return users


def users_per_s(users_from: UsersFrom, batch: Histories) -> float:
    told_by(users_from, batch)
    began, calls = time.perf_counter(), 0
    while (took := time.perf_counter() - began) < SECONDS:
        told_by(users_from, batch)
        calls += 1
    return calls * len(batch) / took


def _asks(address: Path, folder: Path, batch: Histories) -> float:
    return users_per_s(NetOwner(address).of(folder), batch)


if __name__ == "__main__":
    main()
