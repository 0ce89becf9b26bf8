"""Onto the disk before anything that relies on it: what a file or folder holds, and all below a folder."""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """One file or folder. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Everything below `folder`, and the folder itself. Raises OSError."""
    for path in sorted(folder.rglob("*"), reverse=True):
        sync(path)
    sync(folder)
