"""Another library, asked once for all rules; one that cannot learn anew in no time answers as trained only."""

from collections.abc import Iterator

from benchmarks.quality.about import About
from benchmarks.quality.cells import slug
from benchmarks.quality.exchange import read_answers, write_question
from benchmarks.quality.peers import ABOUT, PEERS, ask
from benchmarks.quality.plan import Job
from graph.storage.errors import BadInputError
from training.evaluation.answers import Answers
from training.evaluation.protocols import AS_TRAINED, Split
from training.evaluation.queries import Seen


def fit_peer(job: Job, split: Split, about: About) -> Iterator[tuple[str, dict[Seen, Answers]]]:
    """Raises OutOfTimeError, and PeerError for one that fails."""
    peer = PEERS[job.model]
    for column, learn_from in split.columns.items():
        if column != AS_TRAINED and not peer.refits:
            continue
        place = job.place / f"{job.seed}-{slug(column)}"
        place.mkdir(parents=True, exist_ok=True)
        question = place / "question.npz"
        queries = split.test if "include" in job.seen else split.test.under("exclude")
        write_question(question, split, learn_from, queries, job.seen)
        if not all((place / f"{seen}.npz").exists() for seen in job.seen):
            (place / ABOUT).unlink(missing_ok=True)  # it answered before, but not under all these rules
        print(f"{peer.name}, {column}", flush=True)
        said = ask(peer, job.environments, question, place, seed=job.seed, budget_s=job.budget_s)
        question.unlink()
        if about.cost.fit_seconds is None:
            about.cost = said.cost
            about.config = said.settings
        users = queries.users
        n_items = len(split.trained.items)
        try:
            found = {seen: read_answers(peer.name, place, seen, users, n_items) for seen in job.seen}
        except BadInputError:
            (place / ABOUT).unlink()  # so that it is asked again, and not its files
            raise
        yield column, found
