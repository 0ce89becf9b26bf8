"""What a model foretells of each user's strongest items, beside what came true: the pairs that are judged."""

from dataclasses import dataclass

import numpy as np

from graph.arrays import Bools, Float32s, Float64s, Int32s, Int64s
from training.calibration import Calibration
from training.evaluation.outcomes import Outcomes
from training.evaluation.probabilities import ProbabilityQuality, judge_probabilities
from training.evaluation.queries import Seen
from training.horizon import NEXT_EVENT, Horizon
from training.mixture import Mixture, pieces_of
from training.mixture_net import strongest_of
from training.ranker import had_mask

TOP = 100


_Columns = tuple[Float64s, Bools, Int32s]


@dataclass(frozen=True, eq=False)
class Foretold:
    """One horizon in one column. calibrated: False where p stands as the mixture has it; nothing has chosen a threshold
    then, so it is 0.5."""

    column: str
    horizon: Horizon
    calibrated: bool
    quality: ProbabilityQuality

    def __str__(self) -> str:
        return f"{self.horizon}{'' if self.calibrated else ', not calibrated'}, {self.column}"


def foretell(
    mixture: Mixture, calibration: Calibration, outcomes: Outcomes, column: str, *, seen: Seen, catalog: Bools
) -> list[Foretold]:
    """For the next event, and for every other horizon that the model can tell and the outcomes know, over each user's
    TOP candidates; users who then did nothing are among them.

    catalog: bool `[V]`, what existed when asked.
    """
    wanted = [h for h in outcomes.horizons if h == NEXT_EVENT or calibration.find(h) is not None]
    found: dict[Horizon, list[_Columns]] = {horizon: [] for horizon in wanted}
    for rows in pieces_of(len(outcomes), len(mixture.popularity)):
        part = outcomes.select(rows)
        log_p, had = mixture.scores(part.histories, part.now_us), had_mask(part.histories)
        barred = ~catalog[None] | had if seen == "exclude" else np.broadcast_to(~catalog, log_p.shape)
        row, item = _strongest(np.where(barred, -np.inf, log_p))
        for horizon in wanted:
            asked = part.asked(horizon)[row]
            who, what = row[asked], item[asked]
            p = np.exp(log_p[who, what].astype(np.float64))
            calibrator = calibration.find(horizon)
            if calibrator is not None:
                activity = calibrator.activity(part.histories, part.now_us)
                p = calibrator(log_p[who, what], had[who, what], activity[who])
            came = np.asarray(part.came_true(horizon)[who, what]).ravel() > 0
            found[horizon].append((np.minimum(p, 1), came, part.users[who]))
    return [_judged(horizon, found[horizon], calibration, column) for horizon in wanted]


def _strongest(scores: Float32s) -> tuple[Int64s, Int64s]:
    items = [strongest_of(each, min(TOP, len(each))) for each in scores]
    items = [best[np.isfinite(each[best])] for best, each in zip(items, scores, strict=True)]
    return np.repeat(np.arange(len(items)), [len(best) for best in items]), np.concatenate(items)


def _judged(horizon: Horizon, parts: "list[_Columns]", calibration: Calibration, column: str) -> Foretold:
    p, came, user = (np.concatenate(each) for each in zip(*parts, strict=True))
    calibrator = calibration.find(horizon)
    threshold = 0.5 if calibrator is None else calibrator.threshold
    return Foretold(column, horizon, calibrator is not None, judge_probabilities(p, came, user, threshold=threshold))
