"""`penchant serve` whose workers ask an owner of the processor: what a machine with a GPU does, on one without.

python -m tests.server.serve_with_owner DATABASE_URL ARTIFACTS WORKERS METRICS_LISTEN
"""

import signal
import sys
import threading
from pathlib import Path

from graph.storage.settings import Settings
from server.logs import set_up_logging
from server.workers import serve_with_workers


def main() -> None:
    url, artifacts, workers, metrics_listen = sys.argv[1:]
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    settings = Settings(
        database_url=url,
        artifacts=Path(artifacts),
        listen="127.0.0.1:0",
        workers=int(workers),
        metrics_listen=metrics_listen,
    )
    set_up_logging(settings.log_level)

    def announce(port: int) -> None:
        print(f"penchant serves on 127.0.0.1:{port}", flush=True)

    serve_with_workers(settings, stopping, announce, owned="cpu")


if __name__ == "__main__":
    main()
