"""What processes take that share a model: python -m benchmarks.serving.memory [--folder var/serving] [--workers 4]

The sum of their proportional set sizes (a page that n processes map counts 1/n in each), of one worker and of several,
after each has answered; beside it what Python and the libraries alone take.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import psutil
from penchant.client import PenchantClient
from rich.console import Console

from benchmarks.serving.world import ROOT, World, make_world

LIBRARIES = "import server.app, sys; print('there', flush=True); sys.stdin.read()"
"""What a server imports, and nothing else."""
CALLS = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("var/serving"), help="the shop, its model")
    parser.add_argument("--items", type=int, default=70_000)
    parser.add_argument("--workers", type=int, default=4)
    arguments = parser.parse_args()
    world = make_world(arguments.folder, arguments.items)
    users, _ = world.names(CALLS)
    show = Console(width=120).print
    alone = {n: libraries_mib(n) for n in (1, arguments.workers)}
    serving = {n: workers_mib(world, n, users) for n in (1, arguments.workers)}
    for n in (1, arguments.workers):
        show(f"{n} workers: {serving[n]:,.0f} MiB, of which Python and libraries {alone[n]:,.0f} MiB")
    ratio = (serving[arguments.workers] - alone[arguments.workers]) / (serving[1] - alone[1])
    show(f"without Python and libraries {arguments.workers} take {ratio:.2f} times what one takes")


def workers_mib(world: World, workers: int, users: list[str]) -> float:
    """Without the process that watches several, which loads no model."""
    with world.serve("--workers", str(workers)) as target:
        (server,) = psutil.Process().children()
        spawned = [child for child in server.children() if "spawn_main" in " ".join(child.cmdline())]
        for user in users:
            with PenchantClient(target, deadline_ms=60_000) as client:
                client.recommend(user, 20)
        return pss_mib(spawned or [server])


def libraries_mib(processes: int) -> float:
    command, pipe = [sys.executable, "-c", LIBRARIES], subprocess.PIPE
    started = [subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe) for _ in range(processes)]
    try:
        for one in started:
            assert one.stdout is not None
            one.stdout.readline()
        time.sleep(1)
        return pss_mib([psutil.Process(one.pid) for one in started])
    finally:
        for one in started:
            one.kill()
            one.wait()


def pss_mib(processes: list[psutil.Process]) -> float:
    return sum(each.memory_full_info().pss for each in processes) / 2**20


if __name__ == "__main__":
    main()
