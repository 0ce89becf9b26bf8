"""A million items beside 70,000: python -m benchmarks.serving.scale [--folder var/serving] [--copies 14]

The model of the shop of benchmarks.serving, and the same grown: each item many times, with vectors of its own near the
first one's, and rows of the memories of its own. Both are asked about the same users in the same process.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy import sparse

from benchmarks.serving.world import make_world
from graph.arrays import Int64s
from graph.histories import Histories
from graph.memories.pace import Pace
from graph.memories.repurchase import RepurchaseRates
from graph.sparse import Csr
from graph.storage.database import Database
from server.engine import Engine
from server.live import read_live_catalog
from server.revision import load_revision
from training.fast.answer import BATCH, Answer, FastMixture
from training.memories import ItemToItem, Memory
from training.memories_repeats import LearnedRepeats
from training.mixture import Mixture, Ranking
from training.ranker_features import ItemFacts

NOISE = 0.7
"""Length of what is added to a vector of length 1: the cosine between copies is about two thirds."""
NEIGHBOURS = 64
"""Kept of each row of a memory, at either size: a million rows of all would not fit beside their copies."""
USERS, ROUNDS, K = 64, 5, 100
FEW = 0.001


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("var/serving"), help="the shop, its model")
    parser.add_argument("--items", type=int, default=70_000)
    parser.add_argument("--copies", type=int, default=14)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    world = make_world(arguments.folder, arguments.items)
    revision = load_revision(arguments.folder / f"{arguments.items}-items" / "artifacts" / "m1.1")
    database = Database(world.url)
    engine = Engine(database, revision, read_live_catalog(database, revision.artifact))
    now_us = revision.artifact.manifest.as_of
    histories = engine.past(world.names(USERS)[0], as_of_us=now_us).histories
    now = np.full(USERS, now_us)
    table = Table(title=f"{USERS} users, batches of {BATCH}, one core")
    for column in ("items", "ms a user", "recall@100", "ms a user, 0.1 % allowed", "recall@20"):
        table.add_column(column, justify="right")
    for copies in (1, arguments.copies):
        mixture = grown(revision.mixture, copies)
        here = moved(histories, arguments.items, copies)
        fast = FastMixture.of(mixture, now_us)
        cells = (
            f"{len(mixture.popularity):,}",
            f"{1_000 * seconds_each(partial(answers, fast, here, now), here):.2f}",
            f"{recall(fast, here, now):.4f}",
            *few_allowed(engine, fast, here, now),
        )
        table.add_row(*cells)
    Console(width=120).print(table)
    database.close()


def grown(mixture: Mixture, copies: int) -> Mixture:
    """Each item `copies` times: item i of copy c has index c · V + i."""
    random = np.random.default_rng(0)
    one = mixture.net.vectors
    vectors = np.empty((copies * len(one), one.shape[1]), np.float32)
    for copy in range(copies):
        noise = random.normal(size=one.shape).astype(np.float32) * np.float32(NOISE / np.sqrt(one.shape[1]))
        part = one + (noise if copies > 1 else 0)
        vectors[copy * len(one) : (copy + 1) * len(one)] = part / np.linalg.norm(part, axis=1, keepdims=True)
    prior = None if mixture.net.prior is None else np.tile(mixture.net.prior, copies)
    facts = mixture.facts
    categories = Csr(sparse.vstack([facts.categories] * copies, format="csr"))
    return replace(
        mixture,
        net=replace(mixture.net, vectors=vectors, prior=prior),
        memories=tuple(grown_memory(memory, copies) for memory in mixture.memories),
        popularity=np.tile(mixture.popularity / copies, copies).astype(np.float32),
        facts=ItemFacts(grown_pace(facts.pace, copies), vectors, categories),
    )


def grown_memory(memory: Memory, copies: int) -> Memory:
    if isinstance(memory, LearnedRepeats):
        rates = RepurchaseRates(*(np.tile(one, copies) for one in (memory.rates.log_rate, memory.rates.log_rate_now)))
        return replace(memory, rates=rates)
    if not isinstance(memory, ItemToItem):
        return memory
    matrix = strongest_rows(memory.neighbours)
    n, ones = matrix.shape[0], np.ones(copies, np.int32)
    indices = (np.arange(copies, dtype=np.int32)[:, None] * n + matrix.indices[None]).astype(np.int32).ravel()
    steps = np.concatenate([[0], np.tile(np.diff(matrix.indptr), copies)])
    whole = sparse.csr_array(
        (np.outer(ones, matrix.data).astype(np.float32).ravel(), indices, np.cumsum(steps)),
        shape=(copies * n, copies * n),
    )
    return replace(memory, neighbours=whole, trend=np.tile(memory.trend, copies))


def strongest_rows(matrix: sparse.csr_array) -> sparse.csr_array:
    """The NEIGHBOURS largest of each row."""
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    order = np.lexsort((-matrix.data, row))
    place = np.arange(len(row)) - matrix.indptr[row]
    kept = np.sort(order[place < NEIGHBOURS])
    counts = np.bincount(row[kept], minlength=matrix.shape[0])
    parts = (matrix.data[kept], matrix.indices[kept], np.concatenate([[0], np.cumsum(counts)]))
    return sparse.csr_array(parts, shape=matrix.shape)


def grown_pace(pace: Pace, copies: int) -> Pace:
    key = [pace.key + (np.int64(copy * pace.n_items) << 32) for copy in range(copies)]
    return Pace(np.concatenate(key), copies * pace.n_items)


def moved(histories: Histories, n_items: int, copies: int) -> Histories:
    """Each user lives in one of the copies."""
    copy = np.arange(len(histories)) % copies
    item = histories.item + (copy[histories.row_of] * n_items).astype(np.int32)
    return replace(histories, item=item.astype(np.int32), n_items=copies * n_items, against=None)


def seconds_each(work: Callable[[], object], histories: Histories) -> float:
    work()
    taken = []
    for _ in range(ROUNDS):
        began = time.thread_time()
        work()
        taken.append((time.thread_time() - began) / len(histories))
    return min(taken)


def recall(fast: FastMixture, histories: Histories, now: Int64s) -> float:
    """Share of the best K of the exact mixture that are among the best K of the fast one; ties count as found."""
    found = []
    for row, answer in enumerate(answers(fast, histories, now)):
        exact = fast.mixture.scores(histories.select([row]), now[:1])[0]
        least = np.partition(exact, -K)[-K]
        found.append(float((exact[answer.item[:K]] >= least - 1e-5).mean()))
    return float(np.mean(found))


def few_allowed(engine: Engine, fast: FastMixture, histories: Histories, now: Int64s) -> tuple[str, str]:
    """Milliseconds a user, and recall@20 against the exact mixture, where a filter lets few items through."""
    allowed = np.random.default_rng(1).random(histories.n_items) < FEW
    asked = replace(engine, revision=replace(engine.revision, fast=fast))
    every = answers(fast, histories, now)

    def best() -> list[Ranking]:
        return [asked.rank(answer, 20, allowed) for answer in every]

    found = []
    for row, ranking in enumerate(best()):
        exact = fast.mixture.scores(histories.select([row]), now[:1])[0]
        least = np.partition(exact[allowed], -20)[-20]
        found.append(float((exact[ranking.items] >= least - 1e-5).sum() / 20))
    return f"{1_000 * seconds_each(best, histories):.2f}", f"{np.mean(found):.4f}"


def answers(fast: FastMixture, histories: Histories, now: Int64s) -> list[Answer]:
    rows = np.array_split(np.arange(len(histories)), -(-len(histories) // BATCH))
    return [one for part in rows for one in fast.answer(histories.select(part), now[part])]


if __name__ == "__main__":
    main()
