"""Which code made a number or a model."""

import subprocess
from pathlib import Path


def git_revision() -> str:
    """The commit this code was run from, with `+` where it was changed since; 'unknown' outside a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty=+", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"
