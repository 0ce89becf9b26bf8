"""What the peers' scripts share. Runs in each peer's own environment: numpy is all that it may import."""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

BEST = 100
"""Items a user that are handed back: the metrics look at the first 20."""
LONGEST = 50
"""Events of a history that a sequential model reads: what the papers give it, and Penchant reads too."""
BLOCK = 512

Answers = dict[str, tuple[NDArray[np.int32], NDArray[np.float32]]]
"""By rule the best items of each user [Q, BEST], the best first, and their scores."""


def arguments() -> tuple[dict[str, Any], argparse.Namespace]:
    """The question (see exchange.py), and what the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("question", type=Path)
    parser.add_argument("answers", type=Path, help="folder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--budget-s", type=float, default=1800.0, help="training stops after this long")
    options = parser.parse_args()
    with np.load(options.question) as arrays:
        return dict(arrays), options


def rules(question: dict[str, Any]) -> list[str]:
    """Whether a user's earlier items are candidates: include, exclude or both."""
    return [str(rule) for rule in question["rules"]]


def histories(question: dict[str, Any], row: int) -> NDArray[np.int32]:
    """What the user of that row had done, oldest first."""
    offsets = question["offsets"]
    items: NDArray[np.int32] = question["history"][offsets[row] : offsets[row + 1]]
    return items


def length(question: dict[str, Any]) -> int:
    """How long the sequences of a model need to be: they are padded, and it computes for an empty place as for another.

    As long as 95 of 100 histories, and LONGEST at most.
    """
    return min(LONGEST, int(np.ceil(np.percentile(np.diff(question["offsets"]), 95))))


def last_of_each(user: NDArray[np.int32]) -> NDArray[np.bool_]:
    """bool [n]: each user's last event, of events in which users stand together."""
    return np.append(user[1:] != user[:-1], True) if len(user) else np.zeros(0, np.bool_)


def best_items(question: dict[str, Any], scores_of: Callable[[NDArray[np.intp]], NDArray[np.float32]]) -> Answers:
    """The best of dense scores [rows, V], which `scores_of` gives for rows of the question, under each rule."""
    n = len(question["users"])
    found: dict[str, list[tuple[NDArray[np.int32], NDArray[np.float32]]]] = {rule: [] for rule in rules(question)}
    for begin in range(0, n, BLOCK):
        rows = np.arange(begin, min(begin + BLOCK, n))
        dense = np.array(scores_of(rows), np.float32)
        dense[:, ~question["candidates"]] = -np.inf
        for rule in sorted(found, reverse=True):  # include comes first: exclude takes items out for good
            if rule == "exclude":
                for place, row in enumerate(rows.tolist()):
                    dense[place, histories(question, row)] = -np.inf
            found[rule].append(_strongest(dense))
    return {
        rule: (np.concatenate([items for items, _ in blocks]), np.concatenate([scores for _, scores in blocks]))
        for rule, blocks in found.items()
    }


def _strongest(dense: NDArray[np.float32]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """(items, scores) [rows, BEST], the best first; -1 and 0 where no more are left."""
    k = min(BEST, dense.shape[1])
    top = np.argpartition(-dense, k - 1, axis=1)[:, :k]
    level = np.take_along_axis(dense, top, axis=1)
    order = np.argsort(-level, axis=1, kind="stable")
    top, level = np.take_along_axis(top, order, axis=1), np.take_along_axis(level, order, axis=1)
    left = np.isfinite(level)
    return np.where(left, top, -1).astype(np.int32), np.where(left, level, 0).astype(np.float32)


def peak_bytes() -> int:
    """The largest resident memory of this process; `ru_maxrss` would begin with that of the one that started it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def write_answers(
    question: dict[str, Any],
    options: argparse.Namespace,
    answers: Answers,
    *,
    fit_seconds: float,
    settings: dict[str, Any],
    stopped: bool,
) -> None:
    """A file for each rule, and last how they came about. `stopped`: by the budget."""
    for rule, (items, scores) in answers.items():
        np.savez(options.answers / f"{rule}.npz", users=question["users"], items=items, scores=scores)
    about = {
        "fit_seconds": round(fit_seconds, 1),
        "peak_bytes": peak_bytes(),
        "stopped": stopped,
        "seed": options.seed,
        "settings": settings,
        "finished_at": time.time(),
    }
    draft = options.answers / "draft"
    draft.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    draft.replace(options.answers / "about.json")
