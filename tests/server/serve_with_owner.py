"""`penchant`, but what `serve` takes for a GPU is the processor: what a machine with a GPU does, on one without."""

from functools import partial

from server import cli
from server.workers import serve_with_workers

if __name__ == "__main__":
    cli.serve_with_workers = partial(serve_with_workers, owned="cpu")  # type: ignore[attr-defined]  # it is no part of what the module offers
    cli.main()
