"""The model of this project, whole or with something left out or changed; a net that is there is not trained again."""

import time
from collections.abc import Iterator

from benchmarks.quality.about import About
from benchmarks.quality.nets import net_folder, read_net, write_net
from benchmarks.quality.plan import Job
from benchmarks.quality.variants import Variant, variant_of
from graph.storage.times import DAY_US
from training.evaluation.baselines import Ranker
from training.evaluation.protocols import AS_TRAINED, REFRESHED, Split
from training.evaluation.queries import Seen
from training.fit import Progress
from training.mixture_build import mixture_of
from training.train import config_for, learn

WINDOW_DAYS = 28.0
"""How far ahead repeats are asked for where the protocol has no window; as `penchant train` has it."""


def fit_own(job: Job, split: Split, about: About) -> Iterator[tuple[str, dict[Seen, Ranker]]]:
    """Learns as `penchant train` does, and refreshes as `penchant refresh` does."""
    variant = Variant() if job.kind == "penchant" else variant_of(job.model)
    config = config_for(split.trained, {**variant.net, "seed": job.seed})
    folder = net_folder(job.folder, config, job.budget_s)
    kept = read_net(folder)
    pace = kept.rows_per_second if kept else 0.0
    began: dict[str, float] = {}

    def stage(name: str) -> None:
        began[name] = time.perf_counter()
        print(name, flush=True)

    def follow(at: Progress) -> None:
        nonlocal pace
        pace = at.rows_per_second
        if at.batch == at.batches:
            print(f"net: epoch {at.epoch}, loss {at.loss:.3f}, best NDCG@10 {at.best_ndcg:.4f}", flush=True)

    with about.measured():
        learned = learn(
            split.trained,
            split.validation,
            config,
            following=split.refreshed,
            outcomes=split.validation_outcomes,
            window_days=(split.refreshed.as_of - split.trained.as_of) / DAY_US or WINDOW_DAYS,
            device=job.device,
            checkpoint_dir=folder,
            resume=True,
            on_progress=follow,
            stage=stage,
            fitted=kept.fit if kept else None,
            leave_out=variant.leave_out,
            budget_s=job.budget_s,
        )
    fit, cost = learned.fit, about.cost
    if kept is None:
        kept = write_net(folder, fit, rows_per_second=pace, peak_bytes=cost.peak_bytes or 0)
    # What the net took, whether it was trained now, before an interruption, or for another variant.
    cost.fit_seconds = (cost.fit_seconds or 0) - (began["memories"] - began["net"]) + fit.seconds
    cost.peak_bytes = max(cost.peak_bytes or 0, kept.peak_bytes)
    cost.rows_per_second = kept.rows_per_second
    finished = len(fit.epochs) == config.epochs or len(fit.epochs) - fit.best_epoch >= config.patience
    cost.stopped = fit.seconds >= job.budget_s and not finished
    about.config = {
        "net": config.model_dump(mode="json"),
        "net_revision": kept.code_revision,
        "best_epoch": fit.best_epoch,
        "epochs": len(fit.epochs),
        "sources": list(learned.mixture.sources),
        "ranker": learned.mixture.ranker is not None,
        "exclude_seen": learned.exclude_seen,
    }
    yield AS_TRAINED, dict.fromkeys(job.seen, learned.mixture)
    model = learned.model
    del learned
    yield REFRESHED, dict.fromkeys(job.seen, variant.leave_out.silenced(mixture_of(model, split.refreshed)))
