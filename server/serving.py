"""One process that serves, from its start until somebody says that it is enough."""

import gc
import os
import threading
from collections.abc import Callable
from pathlib import Path

import structlog

from graph.storage.cli_errors import explained
from graph.storage.settings import Settings
from server.logs import set_up_logging

BEYOND_GRACE_S = 10.0
"""What the end may take beyond the grace period: a transaction that is being written, a model that is being read."""

log = structlog.get_logger("penchant.server")


def serve_until(
    settings: Settings,
    enough: Callable[[], object],
    on_port: Callable[[int], None],
    *,
    share_port: bool = False,
    owner: Path | None = None,
) -> None:
    """Serves until `enough` returns; `on_port` hears which port it is. Ends with a sentence where it cannot serve."""
    from server.app import start  # loads torch, which whoever only watches should not have to

    with explained():
        set_up_logging(settings.log_level)
        limit_threads(settings.threads)
        server = start(settings, share_port=share_port, owner=owner)
        _settle()
        on_port(server.port)
        enough()
        end_anyway = threading.Timer(settings.grace_s + BEYOND_GRACE_S, _end_anyway)
        end_anyway.daemon = True
        end_anyway.start()
        try:
            server.stop(settings.grace_s)
        finally:
            end_anyway.cancel()


def _settle() -> None:
    """What was imported and loaded stays. Else the collector would look at all of its 600,000 objects now and then, and
    nobody would be answered for a fifth of a second. A model that goes has no cycles, so it needs no collector.
    """
    gc.collect()
    gc.freeze()


def _end_anyway() -> None:
    """A store that hangs is waited for by a thread that nothing can stop. What was acknowledged is durable."""
    log.error("the server could not stop in time and ends as it is", hint="Does the store hang?")
    os._exit(1)


def limit_threads(threads: int) -> None:
    """One call must not take all cores from the others, so its tensor work runs on one thread unless told otherwise."""
    import torch

    torch.set_num_threads(threads or 1)
