"""Trained nets kept for the variants that do not need another one: FOLDER/DATASET/PROTOCOL/nets/SEED-HASH/."""

import hashlib
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from safetensors.torch import load_file, save_file

from benchmarks.quality.plan import code_revision, is_other_code
from training.artifact_arrays import read_json, write_json
from training.checkpoint import NAME as CHECKPOINT
from training.config import NetConfig
from training.curves import Epoch
from training.fit import FitResult
from training.model import InterestNet

WEIGHTS, NOTE = "model.safetensors", "fit.json"


class Kept(NamedTuple):
    """`code_revision`: of the code that trained it."""

    fit: FitResult
    rows_per_second: float
    peak_bytes: int
    code_revision: str


def net_folder(folder: Path, config: NetConfig, budget_s: float) -> Path:
    """Nets of other settings have other folders, so a changed rule is never answered with an old net."""
    content = f"{config.model_dump_json()} {budget_s}".encode()
    return folder / "nets" / f"{config.seed}-{hashlib.blake2b(content, digest_size=6).hexdigest()}"


def write_net(folder: Path, fit: FitResult, *, rows_per_second: float, peak_bytes: int) -> Kept:
    """The note comes last: where it stands, the net is whole. The checkpoint is no longer needed then."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in fit.net.state_dict().items()}, folder / WEIGHTS)
    kept = Kept(fit, rows_per_second, peak_bytes, code_revision())
    note = {
        "epochs": [asdict(epoch) for epoch in fit.epochs],
        "best_epoch": fit.best_epoch,
        "seconds": fit.seconds,
        "rows_per_second": rows_per_second,
        "peak_bytes": peak_bytes,
        "code_revision": kept.code_revision,
        "net": fit.net.config.model_dump(mode="json"),
    }
    write_json(folder / "draft", note)
    (folder / "draft").replace(folder / NOTE)
    (folder / CHECKPOINT).unlink(missing_ok=True)
    return kept


def read_net(folder: Path) -> Kept | None:
    """None where there is none. Raises ArtifactError for a note that cannot be read.

    Its config is the one in the note: of the features that were asked for, training keeps those that tell something.
    """
    if not (folder / NOTE).exists():
        return None
    note = read_json(folder / NOTE)
    net = InterestNet.from_state(NetConfig.model_validate(note["net"]), load_file(folder / WEIGHTS))
    fit = FitResult(net, [Epoch(**epoch) for epoch in note["epochs"]], note["best_epoch"], note["seconds"])
    return Kept(fit, note["rows_per_second"], note["peak_bytes"], note["code_revision"])


def drop_nets_of_other_code(folder: Path) -> None:
    """So that what is measured anew is also trained anew; what is being trained goes too."""
    for place in (folder / "nets").glob("*"):
        if not (place / NOTE).exists() or is_other_code(read_json(place / NOTE)["code_revision"]):
            shutil.rmtree(place)
