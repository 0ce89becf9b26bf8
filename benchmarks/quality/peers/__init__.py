"""Peers, each in an environment of its own, as a user would install it.

run_*.py    the peer's script: a question (exchange.py) in, answers out; imports common.py and the peer alone
"""

import json
import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

from benchmarks.quality.cells import Cost
from graph.storage.errors import PenchantError

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Peer:
    """`packages` are what `pip install` gets; `refits` whether it may learn again from newer events in no time."""

    name: str
    script: str
    model: str
    packages: tuple[str, ...] = ()
    refits: bool = False


IMPLICIT = ("implicit==0.7.2", "numpy==1.26.4", "scipy==1.17.1")
RECTOOLS = (
    "rectools[torch]==0.19.0",
    "torch==2.13.0",
    "pytorch-lightning==2.5.2",
    "numpy==1.26.4",
    "pandas==2.3.3",
    "scipy==1.17.1",
)
RECBOLE = (
    "recbole==1.2.1",
    "torch==2.13.0",
    "numpy==1.26.4",
    "pandas==2.1.4",
    "scipy==1.11.4",  # LightGCN fills a matrix in a way that newer ones no longer have
    "ray==2.6.3",  # this and the next two: imported, not used, and not among what it asks for
    "thop==0.1.1.post2209072238",
    "kmeans-pytorch==0.3",
)

PEERS = {
    peer.name: peer
    for peer in (
        Peer("implicit ALS", "run_implicit.py", "als", IMPLICIT, refits=True),
        Peer("implicit BPR", "run_implicit.py", "bpr", IMPLICIT, refits=True),
        Peer("RecTools SASRec", "run_rectools.py", "sasrec", RECTOOLS),
        Peer("RecTools BERT4Rec", "run_rectools.py", "bert4rec", RECTOOLS),
        Peer("RecTools HSTU", "run_rectools.py", "hstu", RECTOOLS),
        Peer("RecBole SASRec", "run_recbole.py", "sasrec", RECBOLE),
        Peer("RecBole LightGCN", "run_recbole.py", "lightgcn", RECBOLE),
        Peer("RecBole FDSA", "run_recbole.py", "fdsa", RECBOLE),
    )
}


ABOUT = "about.json"
"""What a peer writes last."""
GRACE_S = 600.0
"""To load, to end the epoch in which the budget ran out, and to answer."""


class OutOfTimeError(Exception):
    """A peer had no answer in time."""


class PeerError(PenchantError):
    """A peer ended without an answer."""

    reason = "PEER_FAILED"


class Said(NamedTuple):
    """What a peer says of itself: what learning took, and the settings it had."""

    cost: Cost
    settings: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> Self:
        about = json.loads(path.read_text(encoding="utf-8"))
        cost = Cost(fit_seconds=about["fit_seconds"], peak_bytes=about["peak_bytes"], stopped=about["stopped"])
        return cls(cost, about["settings"])


def environment(peer: Peer, root: Path) -> Path:
    """The Python of the peer's environment below `root`, made where it is not there. Raises PeerError."""
    if not peer.packages:
        return Path(sys.executable)
    place = root / Path(peer.script).stem.removeprefix("run_")
    python, ready = place / "bin" / "python", place / "ready"
    if not ready.exists() or ready.read_text() != "\n".join(peer.packages):
        venv.create(place, with_pip=True, clear=True)
        try:
            subprocess.run([python, "-m", "pip", "install", "--quiet", *peer.packages], check=True)
        except subprocess.CalledProcessError as error:
            raise PeerError(f"{peer.name} cannot be installed.", hint="What pip says stands above.") from error
        ready.write_text("\n".join(peer.packages))
    return python


def ask(peer: Peer, root: Path, question: Path, answers: Path, *, seed: int, budget_s: float) -> Said:
    """Runs the peer, which leaves its answers in the folder `answers`, unless they are there.

    Raises OutOfTimeError where it has not answered after twice its budget and GRACE_S, PeerError where it fails.
    """
    about = answers / ABOUT
    if not about.exists():
        command: list[str | Path] = [environment(peer, root), HERE / peer.script, peer.model, question, answers]
        clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
        log = answers / "output.log"
        limit = 2 * budget_s + GRACE_S
        with log.open("wb") as output:
            try:
                subprocess.run(
                    [*command, "--seed", str(seed), "--budget-s", str(budget_s)],
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    check=True,
                    env=clean,
                    timeout=limit,
                )
            except subprocess.TimeoutExpired as error:
                raise OutOfTimeError(f"no answer after {limit:,.0f} s, of which {budget_s:,.0f} to learn in") from error
            except subprocess.CalledProcessError as error:
                lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
                said = lines[-1] if lines else f"exit code {error.returncode}"
                raise PeerError(f"{peer.name}: {said}", hint=f"All it said is in {log}.") from error
    return Said.read(about)
