"""Server processes that start at once: forked from a process that has loaded everything, and nothing else.

The code that runs is `penchant serve`; only the seconds of its imports are shared between starts.
"""

import multiprocessing
import socket
import subprocess
from multiprocessing.process import BaseProcess
from pathlib import Path

import psutil

from server.cli import serve_command

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["server.app"])


def free_address() -> str:
    """An address that stays the same when the server that has it is killed and started again."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{taken.getsockname()[1]}"


def start_server(url: str, artifacts: Path, address: str, grace_s: float = 10.0) -> BaseProcess:
    """Returns at once; clients wait for the server by trying again."""
    arguments = {"database_url": url, "artifacts": artifacts, "listen": address, "grace_s": grace_s}
    process = _FORKS.Process(target=serve_command, kwargs=arguments)
    process.start()
    return process


def spawned_by(server: "subprocess.Popen[str]") -> list[psutil.Process]:
    """The workers of a server, and the owner of its device; none once it has ended."""
    if server.poll() is not None:
        return []
    children = [one for one in psutil.Process(server.pid).children() if one.status() != psutil.STATUS_ZOMBIE]
    return [one for one in children if "spawn_main" in " ".join(one.cmdline())]
