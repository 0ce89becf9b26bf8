"""What a fit notes of itself while it runs."""

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.quality.cells import Cost


@dataclass
class About:
    """`config`: what the model learned with."""

    cost: Cost = field(default_factory=Cost)
    config: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def measured(self) -> Iterator[None]:
        """The first time that it is used is what learning took: a second column is counted, not learned."""
        start = time.perf_counter()
        yield
        if self.cost.fit_seconds is None:
            self.cost.fit_seconds = time.perf_counter() - start
            self.cost.peak_bytes = peak_bytes()


def peak_bytes() -> int:
    """The largest resident memory of this process, or of one that it has started and that has ended.

    A process that is started is charged with the memory of its parent until then, which is no more than the parent's.
    """
    status = Path("/proc/self/status")
    if not status.exists():  # not Linux; macOS counts bytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    own = int(status.read_text(encoding="ascii").partition("VmHWM:")[2].split()[0])
    return 1024 * max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
