"""One process that serves, from its start until somebody says that it is enough."""

import gc
import os
import shutil
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
        _limit_threads(settings.threads)
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


def own_until(
    settings: Settings,
    device: str,
    address: Path,
    enough: Callable[[], object],
    on_ready: Callable[[bool], None],
) -> None:
    """Owns the device and answers on the socket at `address` until `enough` returns. `on_ready` hears whether: of
    `auto` there is nothing to own where there is but the processor. Ends with a sentence where there is no such device.
    """
    from server.owner.process import Owner
    from training.device import choose_device

    with explained():
        set_up_logging(settings.log_level)
        _limit_threads(settings.threads)
        chosen = choose_device(device)
        if device == "auto" and chosen.type == "cpu":
            on_ready(False)
            return
        owner = Owner(address, chosen)
        owner.start()
        log.info("owns the device", device=str(chosen))
        on_ready(True)
        enough()
        owner.close()
        shutil.rmtree(address.parent, ignore_errors=True)  # also where who made it was killed


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


def _limit_threads(threads: int) -> None:
    """One call must not take all cores from the others, so its tensor work runs on one thread unless told otherwise."""
    import torch

    torch.set_num_threads(threads or 1)
