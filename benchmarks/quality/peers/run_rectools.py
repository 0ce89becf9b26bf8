"""SASRec, BERT4Rec and HSTU of RecTools. Runs in its own environment.

Its README's settings: 64 factors, and a softmax over a few items, of which there are 256 as in its authors' paper; over
all items, its default, where there are few. Its default of 256 factors would take two cores hours. Trained until the
loss on the validation events (each user's last) no longer falls; the best weights answer.
"""

import copy
import time
from typing import Any

import numpy as np
import pandas as pd
import torch
from common import BEST, arguments, length, rules, write_answers
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Callback
from rectools import Columns
from rectools.dataset import Dataset
from rectools.dataset.context import get_context
from rectools.models import BERT4RecModel, HSTUModel, SASRecModel

SETTINGS: dict[str, Any] = {
    "n_factors": 64,
    "n_blocks": 2,
    "n_heads": 2,
    "dropout_rate": 0.2,
    "lr": 1e-3,
    "batch_size": 128,
}
FEW_ITEMS = 5_000
OWN = {"hstu": {"lightning_module_kwargs": {"logits_t": 0.05}}}
"""HSTU compares directions, which its tutorial makes as sharp as the authors do."""
MODELS = {"sasrec": SASRecModel, "bert4rec": BERT4RecModel, "hstu": HSTUModel}


class Watch(Callback):
    """Ends training when the best weights are `PATIENCE` epochs old, or the time is over, and puts them back.

    It does so itself because the library trains with a copy of the trainer, in which a copy of this watches.
    """

    PATIENCE = 5

    def __init__(self, seconds: float) -> None:
        self.until = time.perf_counter() + seconds
        self.best, self.age, self.weights = float("inf"), 0, {}

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if time.perf_counter() > self.until:
            trainer.should_stop = True

    def on_validation_end(self, trainer: Trainer, module: Any) -> None:
        loss = float(trainer.callback_metrics["val_loss"])
        self.age += 1
        if loss < self.best:
            self.best, self.age, self.weights = loss, 0, copy.deepcopy(module.state_dict())
        if self.age >= self.PATIENCE:
            trainer.should_stop = True

    def on_train_end(self, _: Trainer, module: Any) -> None:
        if self.weights:
            module.load_state_dict(self.weights)


def last_events(interactions: pd.DataFrame) -> Any:
    """bool [n]: each user's last event."""
    return (~interactions.duplicated(Columns.User, keep="last")).to_numpy()


def main() -> None:
    question, options = arguments()
    torch.manual_seed(options.seed)
    started = time.perf_counter()

    def trainer() -> Trainer:
        return Trainer(
            max_epochs=200,
            accelerator="cpu",
            callbacks=[Watch(options.budget_s)],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            logger=False,
        )

    few = int(question["n_items"]) <= FEW_ITEMS
    loss = {"loss": "softmax"} if few else {"loss": "sampled_softmax", "n_negatives": 256}
    settings = SETTINGS | loss | {"session_max_len": length(question)} | OWN.get(options.model, {})
    model = MODELS[options.model](**settings, get_trainer_func=trainer, get_val_mask_func=last_events)
    learned, valid = (
        frame(question["user"], question["item"], question["occurred_at"]),
        frame(question["valid_user"], question["valid_item"], question["valid_at"]),
    )
    model.fit(Dataset.construct(pd.concat([learned, valid], ignore_index=True)))
    fit_seconds = time.perf_counter() - started
    settings["epochs_learnt"] = model.fit_trainer.current_epoch

    users = question["users"]
    owner = np.repeat(users, np.diff(question["offsets"]))
    asked_at = frame(users, np.zeros_like(users), question["asked_at"])
    histories = Dataset.construct(frame(owner, question["history"], question["history_at"]))
    answers = {}
    for rule in rules(question):
        found = model.recommend(
            users=users,
            dataset=histories,
            k=BEST,
            filter_viewed=rule == "exclude",
            on_unsupported_targets="warn",
            context=get_context(asked_at) if model.require_recommend_context else None,
        )
        found = found[question["candidates"][found[Columns.Item]]]  # users of whom it knows no item are left out
        items = np.full((len(users), BEST), -1, np.int32)
        scores = np.zeros((len(users), BEST), np.float32)
        row = np.searchsorted(users, found[Columns.User])
        rank = found[Columns.Rank].to_numpy() - 1
        items[row, rank], scores[row, rank] = found[Columns.Item], found[Columns.Score]
        answers[rule] = items, scores
    stopped = fit_seconds >= options.budget_s
    write_answers(question, options, answers, fit_seconds=fit_seconds, settings=settings, stopped=stopped)


def frame(user: Any, item: Any, at: Any) -> pd.DataFrame:
    """Interactions; the library sorts by time and leaves those of one instant in the order of their rows."""
    when = pd.to_datetime(at, unit="us")
    return pd.DataFrame({Columns.User: user, Columns.Item: item, Columns.Weight: 1.0, Columns.Datetime: when})


if __name__ == "__main__":
    main()
