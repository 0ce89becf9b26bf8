"""ALS and BPR of `implicit`, with the settings of its documentation and 128 factors. Runs in its own environment."""

import time

import numpy as np
from common import arguments, best_items, histories, write_answers
from implicit.als import AlternatingLeastSquares
from implicit.bpr import BayesianPersonalizedRanking
from scipy.sparse import csr_matrix

SETTINGS = {
    "als": {"factors": 128, "regularization": 0.01, "alpha": 1.0, "iterations": 15},
    "bpr": {"factors": 128, "learning_rate": 0.01, "regularization": 0.01, "iterations": 100},
}


def main() -> None:
    question, options = arguments()
    shape = (int(question["n_users"]), int(question["n_items"]))
    counts = csr_matrix((np.ones(len(question["user"]), np.float32), (question["user"], question["item"])), shape)
    kind = AlternatingLeastSquares if options.model == "als" else BayesianPersonalizedRanking
    model = kind(**SETTINGS[options.model], random_state=options.seed)
    started = time.perf_counter()
    model.fit(counts, show_progress=False)
    fit_seconds = time.perf_counter() - started

    if options.model == "als":  # factors of the history as it is now
        rows = [histories(question, row) for row in range(len(question["users"]))]
        indptr = np.concatenate(([0], np.cumsum([len(row) for row in rows])))
        asked = csr_matrix((np.ones(indptr[-1], np.float32), np.concatenate(rows), indptr), (len(rows), shape[1]))
        asked.sum_duplicates()
        users = np.asarray(model.recalculate_user(np.arange(len(rows)), asked))
    else:
        users = np.asarray(model.user_factors)[question["users"]]
    factors = np.asarray(model.item_factors)
    items, scores = best_items(question, lambda rows: users[rows] @ factors.T)
    write_answers(question, options, items, scores, fit_seconds=fit_seconds, settings=SETTINGS[options.model])


if __name__ == "__main__":
    main()
