"""What a command takes, measured around a process of its own from its start to its end.

A process begins with the peak of the memory of the one that starts it, and a benchmark may have held a table by then.
So a small process stands between, which runs this file with nothing of the project's.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple


class Used(NamedTuple):
    seconds: float
    cpu_seconds: float
    peak_bytes: int  # the largest resident memory that the system saw


def timed(command: list[str], environment: Mapping[str, str] | None = None, cwd: Path | None = None) -> Used:
    """Environment and folder are this process's unless they are given. Raises CalledProcessError with what was said."""
    between = [sys.executable, "-P", __file__, *command]
    answer = subprocess.run(between, env=environment, cwd=cwd, capture_output=True, text=True, check=True)
    code, *used = json.loads(answer.stdout)
    if code:
        raise subprocess.CalledProcessError(code, command, stderr=answer.stderr)
    return Used(*used)


def _measure(command: list[str]) -> None:
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    print(json.dumps([process.returncode, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024]))


if __name__ == "__main__":
    _measure(sys.argv[1:])
