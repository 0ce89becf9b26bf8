"""SASRec, LightGCN and FDSA of RecBole, with its own settings but for what is said here. Runs in its own environment.

The last event of each user is the library's validation, after which it chooses when to stop. When the time runs out,
the best epoch answers, or the first one as far as it came.
"""

import sys
import tempfile
import time
from contextlib import chdir, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import arguments, best_items, histories, length, write_answers
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.data.interaction import Interaction
from recbole.utils import get_model, get_trainer, init_seed

MODELS = {"sasrec": "SASRec", "lightgcn": "LightGCN", "fdsa": "FDSA"}


class OutOfTimeError(Exception):
    """The budget is spent."""


def main() -> None:
    question, options = arguments()
    sys.argv = sys.argv[:1]  # RecBole reads the command line too
    sequential = options.model != "lightgcn"
    longest = length(question)
    with tempfile.TemporaryDirectory() as place, chdir(place):  # it writes logs wherever it runs
        write_atomic_files(Path(place), question)
        settings: dict[str, Any] = {
            "epochs": 300,
            "stopping_step": 10,
            "eval_args": {"split": {"LS": "valid_only"}, "order": "TO", "group_by": "user", "mode": "full"},
        }
        if sequential:
            settings |= {"MAX_ITEM_LIST_LENGTH": longest, "train_neg_sample_args": None, "loss_type": "CE"}
        else:  # counted in scores, where that of sequential models counts users: its 4096 are one user at a time
            settings |= {"eval_batch_size": 512 * int(question["n_items"])}
        loaded = {"inter": ["user_id", "item_id", "timestamp"]}
        if options.model == "fdsa":
            settings |= {"selected_features": ["class"]}
            loaded["item"] = ["item_id", "class"]
        config = Config(
            model=MODELS[options.model],
            dataset="question",
            config_dict=settings
            | {
                "data_path": place,
                "checkpoint_dir": place,
                "load_col": loaded,
                "seed": options.seed,
                "reproducibility": True,
                "use_gpu": False,
                "show_progress": False,
            },
        )
        init_seed(options.seed, reproducibility=True)
        dataset = create_dataset(config)
        train, valid, _ = data_preparation(config, dataset)
        model = get_model(config["model"])(config, train.dataset)
        trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
        settings["epochs_learnt"] = 0
        started = time.perf_counter()
        loss_of = model.calculate_loss

        def within_budget(interaction: Any) -> Any:
            if time.perf_counter() - started > options.budget_s:
                raise OutOfTimeError
            return loss_of(interaction)

        def after_epoch(epoch: int, _: float) -> None:
            settings["epochs_learnt"] = epoch + 1

        model.calculate_loss = within_budget
        stopped = True
        with suppress(OutOfTimeError):
            trainer.fit(train, valid, show_progress=False, callback_fn=after_epoch)
            stopped = False
        fit_seconds = time.perf_counter() - started
        best = Path(trainer.saved_model_file)
        if best.exists():
            saved = torch.load(best, weights_only=False)
            model.load_state_dict(saved["state_dict"])
            model.load_other_parameter(saved.get("other_parameter"))
        model.eval()

    tokens = dataset.field2token_id["item_id"]
    known = np.array([tokens.get(str(item), 0) for item in range(int(question["n_items"]))])
    users = dataset.field2token_id["user_id"]
    user_ids = np.array([users.get(str(user), 0) for user in question["users"]])

    def scores_of(rows: Any) -> Any:
        asked = {"user_id": torch.from_numpy(user_ids[rows])}
        if sequential:
            sequences = np.zeros((len(rows), longest), np.int64)
            lengths = np.zeros(len(rows), np.int64)
            for place, row in enumerate(rows):
                items = known[histories(question, row)]
                items = items[items > 0][-longest:]
                sequences[place, : len(items)], lengths[place] = items, max(len(items), 1)
            asked |= {"item_id_list": torch.from_numpy(sequences), "item_length": torch.from_numpy(lengths)}
        with torch.no_grad():
            scores = model.full_sort_predict(Interaction(asked)).view(len(rows), -1).numpy()
        dense = scores[:, known]
        dense[:, known == 0] = -np.inf
        if not sequential:
            dense[user_ids[rows] == 0] = -np.inf
        return dense

    answers = best_items(question, scores_of)
    write_answers(question, options, answers, fit_seconds=fit_seconds, settings=settings, stopped=stopped)


def write_atomic_files(place: Path, question: dict[str, Any]) -> None:
    """question/question.inter and .item; what chooses when to stop stands last in each user's history."""
    folder = place / "question"
    folder.mkdir()
    user = np.concatenate([question["user"], question["valid_user"]])
    item = np.concatenate([question["item"], question["valid_item"]])
    with (folder / "question.inter").open("w", encoding="utf-8") as file:
        file.write("user_id:token\titem_id:token\ttimestamp:float\n")
        file.writelines(f"{u}\t{i}\t{n}\n" for n, (u, i) in enumerate(zip(user, item, strict=True)))
    named: dict[int, list[str]] = {}
    for one, category in question["category"].T:
        named.setdefault(int(one), []).append(str(category))
    with (folder / "question.item").open("w", encoding="utf-8") as file:
        file.write("item_id:token\tclass:token_seq\n")
        file.writelines(f"{i}\t{' '.join(named.get(i, ['none']))}\n" for i in range(int(question["n_items"])))


if __name__ == "__main__":
    main()
