"""The numbers of a command are that command's own."""

import subprocess
import sys

import pytest

from benchmarks.timed import timed


def test_memory_and_processor_are_the_commands() -> None:
    idle = timed([sys.executable, "-c", "pass"])
    busy = timed([sys.executable, "-c", "b'x' * 200_000_000; sum(range(10_000_000))"])
    assert busy.peak_bytes - idle.peak_bytes > 150_000_000
    assert busy.cpu_seconds > idle.cpu_seconds


def test_a_failure_says_what_the_command_said() -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        timed([sys.executable, "-c", "import sys; print('no shop', file=sys.stderr); sys.exit(3)"])
    assert (caught.value.returncode, caught.value.stderr) == (3, "no shop\n")
