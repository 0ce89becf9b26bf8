"""Peers, each in an environment of its own, as a user would install it.

run_*.py    the peer's script: a question (exchange.py) in, answers out; imports common.py and the peer alone
"""

import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Peer:
    """`packages` are what `pip install` gets; `refits` whether it may learn again from newer events in no time."""

    name: str
    script: str
    model: str
    packages: tuple[str, ...] = ()
    refits: bool = False


IMPLICIT = ("implicit==0.7.2", "numpy<2")
RECTOOLS = ("rectools[torch]==0.19.0", "torch==2.13.0")
RECBOLE = (
    "recbole==1.2.1",
    "torch==2.13.0",
    "numpy==1.26.4",
    "pandas==2.1.4",
    "scipy==1.11.4",  # LightGCN fills a matrix in a way that newer ones no longer have
    "ray",
    "thop",
    "kmeans_pytorch",
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


def environment(peer: Peer, root: Path) -> Path:
    """The Python of the peer's environment below `root`, made where it is not there. Raises CalledProcessError."""
    if not peer.packages:
        return Path(sys.executable)
    place = root / Path(peer.script).stem.removeprefix("run_")
    python, ready = place / "bin" / "python", place / "ready"
    if not ready.exists() or ready.read_text() != "\n".join(peer.packages):
        venv.create(place, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *peer.packages], check=True)
        ready.write_text("\n".join(peer.packages))
    return python


def ask(peer: Peer, root: Path, question: Path, answers: Path, *, seed: int, budget_s: float) -> None:
    """Runs the peer unless its answers are there. Raises CalledProcessError."""
    if answers.exists():
        return
    draft = answers.with_name(f"draft-{answers.name}")
    command: list[str | Path] = [environment(peer, root), HERE / peer.script, peer.model, question, draft]
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    subprocess.run([*command, "--seed", str(seed), "--budget-s", str(budget_s)], check=True, env=clean)
    draft.with_suffix(".json").replace(answers.with_suffix(".json"))
    draft.replace(answers)
