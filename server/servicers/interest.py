"""InterestService: what one user is interested in."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from typing import TYPE_CHECKING, NamedTuple

import grpc
import numpy as np
from penchant.v1 import common_pb2 as common
from penchant.v1 import interest_pb2 as pb
from penchant.v1.interest_pb2_grpc import InterestServiceServicer
from penchant.vectors import encode

from graph.arrays import Int32s
from graph.storage.errors import BadInputError
from server import limits
from server.batcher import Batcher
from server.convert import contributions, timestamp
from server.engine import NO_ITEMS, Affinities, Engine, Past
from server.servicers.filters import read_filter
from server.servicers.horizons import horizon_of, read_horizon
from training.artifact import Artifact
from training.fast.answer import Answer

if TYPE_CHECKING:
    from server.border import Context

NAMED = 5
"""Categories that name an interest."""


class Asked(NamedTuple):
    """What one call wants to know: what matters to a user, and some items, each once."""

    engine: Engine
    user: str
    wanted: Int32s


Known = tuple[Past, Answer]


def answer_together(asked: Sequence[Asked]) -> list[Known]:
    """One reading of the store and one batch of the model for all that ask the same revision."""
    found: dict[int, Known] = {}
    for engine in {id(one.engine): one.engine for one in asked}.values():
        rows = [row for row, one in enumerate(asked) if one.engine is engine]
        past = engine.past([asked[row].user for row in rows])
        answers = engine.known(past, [asked[row].wanted for row in rows])
        found |= {row: (past.of(place), answers[place]) for place, row in enumerate(rows)}
    return [found[row] for row in range(len(asked))]


class InterestServicer(InterestServiceServicer):
    """Score and Recommend are put into batches; what has to wait for the store otherwise does so in `threads`."""

    def __init__(self, engine: Callable[[], Engine], batches: Batcher[Asked, Known], threads: Executor) -> None:
        self._engine = engine
        self._batches = batches
        self._threads = threads

    async def Score(self, request: pb.ScoreRequest, context: "Context") -> pb.ScoreResponse:
        limits.check_id(request.user, "user")
        limits.check_count(request.items, "items", limits.MAX_SCORE_ITEMS)
        limits.check_ids(request.items, "items")
        engine = self._engine()
        calibrator = read_horizon(engine, request)
        revision = engine.revision
        index = revision.artifact.items.index_of(list(request.items))
        known = (index >= 0) & engine.live.exists[index]
        wanted, place_of = np.unique(index[known], return_inverse=True)
        past, answer = await self._batches.ask(Asked(engine, request.user, wanted))
        shares = answer.share[place_of]
        score = np.log(np.maximum(shares.sum(axis=1, dtype=np.float64), np.finfo(np.float32).tiny))
        probability = engine.probability(past, index[known], score, calibrator)
        sources = revision.mixture.sources
        newer = engine.live.newer_items
        rows = []
        place = 0
        for item, is_known in zip(request.items, known.tolist(), strict=True):
            if not is_known:
                missing = pb.SCORE_STATUS_NOT_IN_REVISION if item in newer else pb.SCORE_STATUS_UNKNOWN_ITEM
                rows.append(pb.ItemScore(item=item, status=missing))
                continue
            parts = () if request.skip_contributions else contributions(sources, shares[place])
            rows.append(
                pb.ItemScore(
                    item=item,
                    status=pb.SCORE_STATUS_OK,
                    score=score[place],
                    probability=probability[place],
                    contributions=parts,
                )
            )
            place += 1
        return pb.ScoreResponse(
            scores=rows,
            **horizon_of(request, calibrator),
            history_events=past.events[0],
            model_version=revision.version,
            as_of=timestamp(revision.artifact.manifest.as_of),
            history_as_of=timestamp(past.as_of_us),
        )

    async def Recommend(self, request: pb.RecommendRequest, context: "Context") -> pb.RecommendResponse:
        limits.check_id(request.user, "user")
        k = limits.check_k(request.k)
        wanted = read_filter(request.filter)
        engine = self._engine()
        calibrator = read_horizon(engine, request)
        revision = engine.revision
        past, known = await self._batches.ask(Asked(engine, request.user, NO_ITEMS))
        # What the user has seen is read from the store, and a filter may leave the whole catalog to be ranked.
        loop = asyncio.get_running_loop()
        ranking = await loop.run_in_executor(
            self._threads, lambda: engine.best(past, known, k, engine.allowed(wanted, past))
        )
        sources = revision.mixture.sources
        items = revision.artifact.items.externals_of(ranking.items)
        answer = pb.RecommendResponse(
            **horizon_of(request, calibrator),
            history_events=past.events[0],
            model_version=revision.version,
            as_of=timestamp(revision.artifact.manifest.as_of),
            history_as_of=timestamp(past.as_of_us),
        )
        scores = ranking.log_probability.astype(np.float64)
        probability = engine.probability(past, ranking.items, scores, calibrator).tolist()
        rows = zip(items, scores.tolist(), probability, ranking.contributions, strict=True)
        for item, log_p, p, shares in rows:
            answer.items.add(
                item=item,
                score=log_p,
                probability=p,
                contributions=() if request.skip_contributions else contributions(sources, shares),
            )
        return answer

    def GetInterests(self, request: pb.GetInterestsRequest, context: grpc.ServicerContext) -> pb.GetInterestsResponse:
        limits.check_id(request.user, "user")
        k = limits.check_k(request.k)
        if request.view not in pb.InterestView.values():
            raise BadInputError(f"view {request.view} is not known here.", field="view", reason="UNKNOWN_VIEW")
        engine = self._engine()
        artifact = engine.revision.artifact
        past = engine.past([request.user])
        affinities = engine.interests(past, k)
        answer = pb.GetInterestsResponse(
            history_events=past.events[0],
            model_version=artifact.version,
            as_of=timestamp(artifact.manifest.as_of),
            history_as_of=timestamp(past.as_of_us),
        )
        answer.categories.extend(_categories(affinities, artifact))
        if request.view == pb.INTEREST_VIEW_FULL:
            rows, weights = engine.user_vectors(past)
            present = rows[0].any(axis=1)
            answer.interests.vector_space = artifact.manifest.vector_space
            answer.interests.vectors.CopyFrom(encode(rows[0][present]))
            answer.interests.weights.extend(weights[0][present].tolist())
            for of_one in engine.named(rows[0][present], NAMED):
                answer.interests.names.add(categories=_categories(of_one, artifact))
        return answer


def _categories(affinities: Affinities, artifact: Artifact) -> Iterator[common.CategoryAffinity]:
    names = artifact.category_names
    for row, category in enumerate(artifact.categories.externals_of(affinities.category)):
        yield common.CategoryAffinity(
            category=category,
            name=names[int(affinities.category[row])].as_py() or "",
            share=min(1.0, affinities.share[row]),
            lift=affinities.lift[row],
        )
