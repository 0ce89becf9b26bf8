"""SASRec, BERT4Rec and HSTU of RecTools. Runs in its own environment.

64 factors instead of its 256, which two cores would take hours for, 256 negatives as in its own benchmark, its defaults
else. Trained until the loss on the validation events (each user's last) no longer falls; the best weights answer.
"""

import copy
import time
from typing import Any

import numpy as np
import pandas as pd
import torch
from common import BEST, arguments, histories, write_answers
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Callback
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import BERT4RecModel, HSTUModel, SASRecModel

SETTINGS: dict[str, Any] = {
    "n_factors": 64,
    "n_blocks": 2,
    "n_heads": 2,
    "dropout_rate": 0.2,
    "session_max_len": 50,
    "lr": 1e-3,
    "batch_size": 128,
}
NEGATIVES = {"loss": "sampled_softmax", "n_negatives": 256}
LOSS = {"sasrec": NEGATIVES, "hstu": NEGATIVES}
MODELS = {"sasrec": SASRecModel, "bert4rec": BERT4RecModel, "hstu": HSTUModel}


class Watch(Callback):
    """Keeps the best weights; ends training when they are `PATIENCE` epochs old, or the time is over."""

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


def last_events(interactions: pd.DataFrame) -> Any:
    """bool [n]: each user's last event."""
    return (~interactions.duplicated(Columns.User, keep="last")).to_numpy()


def main() -> None:
    question, options = arguments()
    torch.manual_seed(options.seed)
    started = time.perf_counter()
    watch = Watch(options.budget_s)

    def trainer() -> Trainer:
        return Trainer(
            max_epochs=200,
            accelerator="cpu",
            callbacks=[watch],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            logger=False,
        )

    settings = SETTINGS | LOSS.get(options.model, {})
    model = MODELS[options.model](**settings, get_trainer_func=trainer, get_val_mask_func=last_events)
    user = np.concatenate([question["user"], question["valid_user"]])
    item = np.concatenate([question["item"], question["valid_item"]])
    model.fit(Dataset.construct(frame(user, item)))
    if watch.weights:
        model.lightning_model.load_state_dict(watch.weights)
    fit_seconds = time.perf_counter() - started

    rows = [histories(question, row) for row in range(len(question["users"]))]
    owner = np.repeat(question["users"], [len(row) for row in rows])
    asked = Dataset.construct(frame(owner, np.concatenate(rows)))
    found = model.recommend(
        users=question["users"],
        dataset=asked,
        k=BEST,
        filter_viewed=bool(question["exclude_seen"]),
        on_unsupported_targets="warn",
    )
    items = np.full((len(rows), BEST), -1, np.int32)
    scores = np.zeros((len(rows), BEST), np.float32)
    row = np.searchsorted(question["users"], found[Columns.User])
    rank = found[Columns.Rank].to_numpy() - 1
    items[row, rank], scores[row, rank] = found[Columns.Item], found[Columns.Score]
    write_answers(question, options, items, scores, fit_seconds=fit_seconds, settings=settings)


def frame(user: Any, item: Any) -> pd.DataFrame:
    """Interactions whose order is that of their rows."""
    when = pd.Timestamp("2000-01-01") + pd.to_timedelta(np.arange(len(user)), unit="s")
    return pd.DataFrame({Columns.User: user, Columns.Item: item, Columns.Weight: 1.0, Columns.Datetime: when})


if __name__ == "__main__":
    main()
