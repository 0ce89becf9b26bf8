"""What a command asks for, checked before anything runs; then the jobs, and the tables of their cells."""

import hashlib
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from benchmarks.quality.cells import Kind, Protocol
from benchmarks.quality.data_sets import DataSet, data_set_of
from benchmarks.quality.nets import drop_nets_of_other_code
from benchmarks.quality.peers import PEERS, PeerError, environment
from benchmarks.quality.plan import ROOT, Job, run, surroundings
from benchmarks.quality.table import MODEL, Comparison, compare
from benchmarks.quality.variants import all_variants, variant_of
from benchmarks.quality.view import write_tables
from graph.storage.database import Database
from graph.storage.errors import BadInputError
from migrations.commands import upgrade
from training.evaluation.baselines import BASELINES, DEFAULT_BASELINES
from training.evaluation.protocols import Order
from training.evaluation.queries import Seen

ALL = "all"
ENVIRONMENTS = "environments"
SOURCE = "source"
"""The file beside a store that says which folder it was loaded from."""
STDERR = 2
"""stdout is for the tables."""


@dataclass(frozen=True)
class Request:
    """`models`: what is measured, in the order of the table, and of which kind each is."""

    data_set: DataSet
    protocol: Protocol
    order: Order
    seen: tuple[Seen, ...]
    seeds: tuple[int, ...]
    models: dict[str, Kind]
    budget_s: float
    holdout_days: float | None
    validation_days: float | None
    folder: Path
    device: str

    @classmethod
    def of(
        cls,
        data_set: str,
        *,
        protocol: Protocol | None,
        order: Order,
        seen: tuple[Seen, ...],
        seeds: tuple[int, ...],
        models: Sequence[str] | None,
        variants: Sequence[str],
        peers: Sequence[str],
        budget_s: float,
        holdout_days: float | None,
        validation_days: float | None,
        folder: Path,
        device: str,
    ) -> "Request":
        """Raises BadInputError for anything that is not there, or that makes no question."""
        found = data_set_of(data_set)
        chosen = protocol or found.protocol
        if not all(length > 0 for length in (budget_s, holdout_days, validation_days) if length is not None):
            raise BadInputError("Budget and windows must be longer than nothing.", hint="Try --budget-s 1800.")
        if order == "shuffled" and chosen != "leave-one-out":
            raise BadInputError("Only leave-one-out has an order.", hint="Add --protocol leave-one-out.")
        return cls(
            data_set=found,
            protocol=chosen,
            order=order,
            seen=seen or found.seen,
            seeds=seeds,
            models=_models(models, variants, peers),
            budget_s=budget_s,
            holdout_days=holdout_days if chosen == "time" else None,
            validation_days=validation_days if chosen == "time" else None,
            folder=folder.resolve(),
            device=device,
        )

    @property
    def environments(self) -> Path:
        return self.folder / ENVIRONMENTS

    @property
    def store(self) -> Path:
        return self.folder / self.data_set.name

    @property
    def url(self) -> str:
        return f"sqlite:///{self.store / 'penchant.db'}"

    @property
    def results(self) -> Path:
        """The folder of the cells: one for each question."""
        if self.protocol == "leave-one-out":
            return self.store / f"leave-one-out-{self.order}"
        days = {"": self.holdout_days, "validation-": self.validation_days}
        named = [f"-{name}{length:g}d" for name, length in days.items() if length is not None]
        return self.store / "".join(["time", *named])

    @property
    def command(self) -> str:
        """What makes the same table again, without the folders of this machine."""
        mapping = self.data_set.mapping
        named = self.data_set.name if mapping.parent == ROOT / "examples" else mapping.name
        words = ["penchant", "benchmark", named, "--protocol", self.protocol]
        words += ["--order", self.order] if self.protocol == "leave-one-out" else []
        words += [word for seen in self.seen for word in ("--seen", seen)]
        words += ["--seeds", ",".join(map(str, self.seeds)), "--budget-s", f"{self.budget_s:g}"]
        words += ["--holdout-days", f"{self.holdout_days:g}"] if self.holdout_days else []
        words += ["--validation-days", f"{self.validation_days:g}"] if self.validation_days else []
        all_baselines = set(DEFAULT_BASELINES) <= set(self.models)
        words += ["--model", "baselines"] if all_baselines else []
        words += [] if {"penchant", "baseline"} & set(self.models.values()) else ["--model", "none"]
        for model, kind in self.models.items():
            if not (all_baselines and model in DEFAULT_BASELINES):
                words += [f"--{kind}" if kind in ("variant", "peer") else "--model", model]
        return shlex.join(words)

    def jobs(self) -> list[Job]:
        return [
            Job(
                database_url=self.url,
                folder=self.results,
                environments=self.environments,
                data_set=self.data_set.name,
                protocol=self.protocol,
                order=self.order,
                holdout_days=self.holdout_days,
                validation_days=self.validation_days,
                model=model,
                kind=kind,
                seed=seed,
                seen=self.seen,
                budget_s=self.budget_s,
                device=self.device,
            )
            for model, kind in self.models.items()
            for seed in (self.seeds if kind != "baseline" else (0,))  # chance has no part in a baseline
        ]


def measure(
    request: Request, data: Path | None, screen: Console, *, retry: bool, anew: bool
) -> Iterator[tuple[Comparison, Path]]:
    """Does what is not done yet, and yields each rule's table with the path of its markdown.

    Raises BadInputError where the data set cannot be read. A model that fails is a row that says so.
    """
    todo = [job for job in request.jobs() if job.missing(retry=retry, anew=anew)]
    for name in dict.fromkeys(job.model for job in todo if job.kind == "peer"):
        try:
            with screen.status(f"environment of {name}"):
                environment(PEERS[name], request.environments)
        except PeerError as error:
            for job in todo:
                if job.model == name:
                    job.fail("failed", str(error))
            todo = [job for job in todo if job.model != name]
    load(request.data_set, request.folder, data, screen)
    if anew and todo:
        drop_nets_of_other_code(request.results)
    for number, job in enumerate(todo, 1):
        _do(job, f"{number} of {len(todo)}: {job.model}, seed {job.seed}", screen)
    bad = [cell for job in request.jobs() for cell in job.cells() if cell.status != "done"]
    for line in dict.fromkeys(f"{cell.model}, seed {cell.seed}: {cell.status}, {cell.said}" for cell in bad):
        screen.print(escape(line))
    for seen in request.seen:
        table = compare(request.jobs(), seen, request.command)
        yield table, write_tables(table, request.results)


def load(data_set: DataSet, folder: Path, data: Path | None, screen: Console) -> str:
    """The URL of a store below `folder` with the data set in it, loaded once, and brought up to this version. Raises
    BadInputError."""
    store = folder / data_set.name
    done, url = store / "loaded", f"sqlite:///{store / 'penchant.db'}"
    files = None if done.exists() else data_set.folder(data, folder / ENVIRONMENTS)
    mapping = hashlib.blake2b(data_set.mapping.read_bytes(), digest_size=16).hexdigest()
    if files is None and (done.read_text(encoding="utf-8") != mapping or _elsewhere(store, data)):
        raise BadInputError(
            f"{store} was loaded by another mapping file, or from another folder.",
            hint="Name another folder with --folder, or delete that one.",
        )
    store.mkdir(parents=True, exist_ok=True)
    database = Database(url)
    try:
        upgrade(database)
    finally:
        database.close()
    if files is None:
        return url
    words = ["ingest", str(data_set.mapping), "--base", str(files), "--rejects", str(store / "rejects.jsonl")]
    screen.print(f"$ penchant {shlex.join(words)}")
    command = [sys.executable, "-P", "-m", "server", *words]
    surrounding = surroundings(PENCHANT_DATABASE_URL=url)
    if subprocess.run(command, env=surrounding, stdout=STDERR, check=False).returncode:
        raise BadInputError(f"{data_set.name} cannot be loaded.", hint="What is wrong stands above.")
    (store / SOURCE).write_text(str(files), encoding="utf-8")
    done.write_text(mapping, encoding="utf-8")
    return url


def _elsewhere(store: Path, data: Path | None) -> bool:
    return data is not None and str(data.resolve()) != (store / SOURCE).read_text(encoding="utf-8")


def _do(job: Job, title: str, screen: Console) -> None:
    start = time.monotonic()
    with screen.status(title) as status:

        def tell(line: str) -> None:
            status.update(f"{title}, {time.monotonic() - start:,.0f} s: {escape(line)}")

        if not screen.is_terminal:
            screen.print(title)
        run(job, tell)


def _models(models: Sequence[str] | None, variants: Sequence[str], peers: Sequence[str]) -> dict[str, Kind]:
    """Names to kinds, groups resolved; the model first, then its variants, baselines and peers."""
    found: dict[str, Kind] = {}
    wanted = [MODEL, "baselines"] if models is None else [name for name in models if name != "none"]
    if MODEL in wanted:
        found[MODEL] = "penchant"
    for name in all_variants() if ALL in variants else variants:
        variant_of(name)  # refuses what is none
        found[name] = "variant"
    for name in wanted:
        if name not in (MODEL, "baselines", *BASELINES):
            known = ", ".join((MODEL, "baselines", *BASELINES))
            raise BadInputError(f"No model is called {name!r}.", hint=f"There are {known}, and `none`.")
        if name != MODEL:
            found.update(dict.fromkeys(DEFAULT_BASELINES if name == "baselines" else (name,), "baseline"))
    for name in PEERS if ALL in peers else peers:
        if name not in PEERS:
            raise BadInputError(f"No peer is called {name!r}.", hint=f"There are {', '.join(PEERS)}.")
        found[name] = "peer"
    if not found:
        raise BadInputError("There is nothing to measure.", hint="Name a model, a variant or a peer.")
    return found
