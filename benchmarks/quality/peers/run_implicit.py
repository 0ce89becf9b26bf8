"""ALS and BPR of `implicit`, with settings chosen by each user's last event. Runs in its own environment.

Its defaults are far from the best on sparse data, and it learns in seconds: a few settings are tried, the defaults
first, and with those that rank the held-out events best it learns again from everything.
"""

import time
from itertools import product
from typing import Any

import numpy as np
from common import arguments, best_items, last_of_each, rules, write_answers
from implicit.als import AlternatingLeastSquares
from implicit.bpr import BayesianPersonalizedRanking
from scipy.sparse import csr_matrix

TRIED: dict[str, list[dict[str, Any]]] = {
    "als": [
        {"factors": 128, "iterations": 15, "regularization": regularization, "alpha": alpha}
        for regularization, alpha in product((0.01, 10.0), (1.0, 10.0, 40.0))
    ],
    "bpr": [
        {"factors": 128, "regularization": 0.01, "learning_rate": rate, "iterations": iterations}
        for rate, iterations in product((0.01, 0.1), (100, 300))
    ],
}
KINDS = {"als": AlternatingLeastSquares, "bpr": BayesianPersonalizedRanking}
JUDGES = 5000
"""Users whose last event chooses the settings."""


def main() -> None:
    question, options = arguments()
    n_users, n_items = int(question["n_users"]), int(question["n_items"])
    started = time.perf_counter()

    def learnt(settings: dict[str, Any], user: Any, item: Any) -> Any:
        model = KINDS[options.model](**settings, random_state=options.seed)
        model.fit(counts(user, item, (n_users, n_items)), show_progress=False)
        return model

    user, item = question["user"], question["item"]
    last = last_of_each(user)
    judges = np.flatnonzero(last & (np.bincount(user)[user] > 1))
    judges = np.sort(np.random.default_rng(options.seed).permutation(judges)[:JUDGES])
    best, settings, stopped, longest = -1.0, TRIED[options.model][0], False, 0.0
    for number, tried in enumerate(TRIED[options.model]):
        so_far = time.perf_counter() - started
        if number and so_far + 2 * longest > options.budget_s:  # one more, and then the learning
            stopped = True
            break
        model = learnt(tried, user[~last], item[~last])
        scores = model.user_factors[user[judges]] @ model.item_factors.T
        if "exclude" in rules(question):
            scores[counts(user[~last], item[~last], (n_users, n_items))[user[judges]].nonzero()] = -np.inf
        rank = (scores > scores[np.arange(len(judges)), item[judges], None]).sum(axis=1)
        quality = np.where(rank < 10, 1 / np.log2(rank + 2), 0).mean()
        if quality > best:
            best, settings = quality, tried
        longest = max(longest, time.perf_counter() - started - so_far)
    model = learnt(settings, user, item)
    fit_seconds = time.perf_counter() - started

    users = np.asarray(model.user_factors)[question["users"]]
    if options.model == "als":  # factors of the history as it is now
        row = np.repeat(np.arange(len(users)), np.diff(question["offsets"]))
        users = model.recalculate_user(np.arange(len(users)), counts(row, question["history"], (len(users), n_items)))
    factors = np.asarray(model.item_factors)
    known = users.any(axis=1)  # of whom nothing was learnt is zero, item or user; BPR ranks for such a user by its bias

    def scores_of(rows: Any) -> Any:
        return np.where(known[rows, None] & factors.any(axis=1), users[rows] @ factors.T, -np.inf)

    answers = best_items(question, scores_of)
    write_answers(question, options, answers, fit_seconds=fit_seconds, settings=settings, stopped=stopped)


def counts(user: Any, item: Any, shape: tuple[int, int]) -> csr_matrix:
    """How often each user had each item."""
    return csr_matrix((np.ones(len(user), np.float32), (user, item)), shape)


if __name__ == "__main__":
    main()
