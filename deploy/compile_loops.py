"""Compiles all loops while an image is built: learns a tiny made-up shop and loads its model as a server does."""

import os
import subprocess
import tempfile
from pathlib import Path

COMMANDS = (
    "db upgrade",
    "synth --users 100 --items 60 --categories 30 --segments 3 --events 4000 --days 120",
    "ingest shop/shop.toml",
    "train --holdout-days 0 --epochs 1 --no-activate",
)


def main() -> None:
    # They load torch, which no test of the commands should wait for.
    from server.index import CellIndex
    from server.revision import load_revision
    from training.fast.cells import cells_of

    with tempfile.TemporaryDirectory() as folder:
        place = {"PENCHANT_DATABASE_URL": "sqlite:///penchant.db", "PENCHANT_ARTIFACTS": "artifacts"}
        for command in COMMANDS:
            subprocess.run(["penchant", *command.split()], cwd=folder, env=os.environ | place, check=True)
        vectors = load_revision(Path(folder, "artifacts", "m1.1")).artifact.item_vectors
        CellIndex(vectors, cells_of(vectors, None, 1.0, few=1))  # so few items are compared by themselves


if __name__ == "__main__":
    main()
