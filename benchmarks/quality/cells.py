"""One figure of the table on disk: a model on a data set, in one protocol, with one seed, under one seen rule.

    FOLDER/DATASET/PROTOCOL/MODEL@BUDGET/0-exclude.json    means, costs, all that a number needs to be quoted
    FOLDER/DATASET/PROTOCOL/MODEL@BUDGET/0-exclude.npz     every user's metrics: `column/metric` float64 [users]

A cell that failed is kept too, and says why.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from graph.arrays import Float64s
from graph.storage.errors import BadInputError
from training.evaluation.queries import Seen

Protocol = Literal["time", "leave-one-out"]
Kind = Literal["penchant", "variant", "baseline", "peer"]
Status = Literal["done", "failed", "out of time"]


class Cost(BaseModel):
    """What learning took. `stopped`: by the budget, with what had been learned by then. Peak: the largest process's."""

    model_config = ConfigDict(extra="forbid")

    fit_seconds: float | None = None
    peak_bytes: int | None = None
    rows_per_second: float | None = None
    """Training pairs (user position, next item) a second, where the model counts them."""
    stopped: bool = False


class Cell(BaseModel):
    """`asked`: what the job was told (budget, changes), so that another question is not taken for this one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data_set: str
    protocol: Protocol
    seen: Seen
    model: str
    kind: Kind
    seed: int
    asked: dict[str, Any]
    status: Status
    said: str = ""
    settings: dict[str, Any] = {}
    data_hash: str = ""
    users: int = 0
    metrics: dict[str, dict[str, float | None]] = {}
    cost: Cost = Cost()
    config: dict[str, Any] = {}
    code_revision: str
    created_at: str


def slug(name: str) -> str:
    """A name as part of a path; different names of models give different ones."""
    return re.sub(r"[^\w.=,+-]+", "-", name.lower()).strip("-")


def write_cell(path: Path, cell: Cell, per_user: Mapping[str, Float64s]) -> None:
    """The JSON comes last and at once: where it stands, the cell is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if per_user:
        np.savez_compressed(path.with_suffix(".npz"), **per_user)  # type: ignore[arg-type]  # numpy's own keyword might be among the names
    draft = path.with_suffix(".draft")
    draft.write_text(cell.model_dump_json(indent=1) + "\n", encoding="utf-8")
    draft.replace(path)


def read_cell(path: Path) -> Cell | None:
    """None where there is none. Raises BadInputError for a file that is none."""
    if not path.exists():
        return None
    try:
        return Cell.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise BadInputError(f"{path} is no cell of a benchmark.", hint="Delete it; it is measured again.") from error


def read_users(path: Path) -> dict[str, Float64s]:
    """Every user's metrics of a cell that is done."""
    with np.load(path.with_suffix(".npz"), allow_pickle=False) as arrays:
        return {name: np.asarray(arrays[name], np.float64) for name in arrays}
