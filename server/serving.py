"""One process that serves, from its start until somebody says that it is enough."""

from collections.abc import Callable

from graph.storage.cli_errors import explained
from graph.storage.settings import Settings
from server.logs import set_up_logging


def serve_until(
    settings: Settings,
    enough: Callable[[], object],
    on_port: Callable[[int], None],
    *,
    share_port: bool = False,
) -> None:
    """Serves until `enough` returns; `on_port` hears which port it is. Ends with a sentence where it cannot serve."""
    from server.app import start  # loads torch, which whoever only watches should not have to

    with explained():
        set_up_logging(settings.log_level)
        _limit_threads(settings.threads)
        server = start(settings, share_port=share_port)
        on_port(server.port)
        enough()
        server.stop(settings.grace_s)


def _limit_threads(threads: int) -> None:
    """One call must not take all cores from the others, so its tensor work runs on one thread unless told otherwise."""
    import torch

    torch.set_num_threads(threads or 1)
