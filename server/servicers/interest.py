"""InterestService: what one user is interested in."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import grpc
import numpy as np
from penchant.v1 import common_pb2 as common
from penchant.v1 import interest_pb2 as pb
from penchant.v1.interest_pb2_grpc import InterestServiceServicer
from penchant.vectors import encode

from graph.arrays import Bools, Float32s, Float64s
from graph.storage.errors import BadInputError, StoreUnavailableError
from graph.storage.times import SECOND_US
from server import limits
from server.convert import contributions, timestamp
from server.engine import Affinities, Engine, Past
from server.known_users import Known, KnownUsers
from server.servicers.filters import read_filter
from server.servicers.history import history_of
from server.servicers.horizons import horizon_of, read_horizon
from server.without_store import without_store
from training.artifact import Artifact

if TYPE_CHECKING:
    from server.border import Context

Result = TypeVar("Result")

NAMED = 5
"""Categories that name an interest."""


class Asked(NamedTuple):
    """What one call wants to know: what matters to a user."""

    engine: Engine
    user: str


def answer_together(kept: KnownUsers, asked: Sequence[Asked]) -> list[Known]:
    """One reading of the store and one batch of the model for all that ask the same revision."""
    found: dict[tuple[int, str], Known] = {}
    for engine in {id(one.engine): one.engine for one in asked}.values():
        users = list(dict.fromkeys(one.user for one in asked if one.engine is engine))
        with kept.reading() as reading:
            try:
                past = engine.past(users)
            except StoreUnavailableError:
                found |= {(id(engine), user): without_store(kept, engine, user) for user in users}
                continue
            for row, (user, answer) in enumerate(zip(users, engine.known(past), strict=True)):
                found[id(engine), user] = known = past.of(row), answer
                kept.keep(reading, engine, user, known, for_s=int(past.next_at_us[row] - past.as_of_us) / SECOND_US)
    return [found[id(one.engine), one.user] for one in asked]


class InterestServicer(InterestServiceServicer):
    """Users of whom nothing is kept are put into batches; what has to wait for the store does so in `threads`."""

    def __init__(
        self,
        engine: Callable[[str], Engine],
        kept: KnownUsers,
        ask: Callable[[Asked], Awaitable[Known]],
        threads: Executor,
    ) -> None:
        self._engine = engine
        self._kept = kept
        self._ask = ask
        self._threads = threads

    async def _known(self, engine: Engine, user: str) -> Known:
        if (known := self._kept.find(engine, user)) is not None:
            return known
        if self._kept.is_cut_off():
            return without_store(self._kept, engine, user)
        return await self._ask(Asked(engine, user))

    def _past(self, engine: Engine, user: str) -> Past:
        if not self._kept.is_cut_off():
            with suppress(StoreUnavailableError):
                return engine.past([user])
        return without_store(self._kept, engine, user)[0]

    async def Score(self, request: pb.ScoreRequest, context: "Context") -> pb.ScoreResponse:
        limits.check_id(request.user, "user")
        limits.check_count(request.items, "items", limits.MAX_SCORE_ITEMS)
        engine = self._engine(request.user)
        calibrator = read_horizon(engine, request)
        revision = engine.revision
        index = revision.artifact.items.index_of(request.items)
        known = (index >= 0) & engine.live.exists[index]
        statuses = _statuses(engine, request.items, known)
        past, answer = await self._known(engine, request.user)
        scored = index if known.all() else index[known]
        score = np.log(np.maximum(revision.fast.p(answer, scored), np.finfo(np.float32).tiny))
        probability = engine.probability(past, scored, score, calibrator)
        response = pb.ScoreResponse(
            **horizon_of(request, calibrator),
            **history_of(past),
            model_version=revision.version,
            as_of=timestamp(revision.artifact.manifest.as_of),
        )
        if request.as_columns:
            response.columns.CopyFrom(_columns(statuses, known, score, probability))
        else:
            parts = None if request.skip_contributions else revision.fast.shares(answer, scored)
            response.scores.extend(_rows(request.items, statuses, score, probability, parts, revision.mixture.sources))
        return response

    async def Recommend(self, request: pb.RecommendRequest, context: "Context") -> pb.RecommendResponse:
        limits.check_id(request.user, "user")
        k = limits.check_k(request.k)
        wanted = read_filter(request)
        engine = self._engine(request.user)
        calibrator = read_horizon(engine, request)
        revision = engine.revision
        past, known = await self._known(engine, request.user)
        if wanted.seen == "include" or past.knows_seen:
            allowed = engine.allowed(wanted, past)
        else:  # what the user has seen is read from the store
            allowed = await self._apart(partial(engine.allowed, wanted, past))
            past = past if past.knows_seen else replace(past, is_stale=True)  # the store is away
        ranking = engine.best(known, k, allowed)
        if ranking is None:  # all that is allowed is looked at
            ranking = await self._apart(lambda: engine.rank(known, k, allowed))
        items = revision.artifact.items.externals_of(ranking.items)
        answer = pb.RecommendResponse(
            **horizon_of(request, calibrator),
            **history_of(past),
            model_version=revision.version,
            as_of=timestamp(revision.artifact.manifest.as_of),
        )
        scores = ranking.log_probability.astype(np.float64)
        probability = engine.probability(past, ranking.items, scores, calibrator).tolist()
        for item, log_p, p in zip(items, scores.tolist(), probability, strict=True):
            answer.items.add(item=item, score=log_p, probability=p)
        if not request.skip_contributions:
            sources = revision.mixture.sources
            for row, shares in zip(answer.items, ranking.contributions, strict=True):
                row.contributions.extend(contributions(sources, shares))
        return answer

    async def _apart(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def GetInterests(self, request: pb.GetInterestsRequest, context: grpc.ServicerContext) -> pb.GetInterestsResponse:
        limits.check_id(request.user, "user")
        k = limits.check_k(request.k)
        if request.view not in pb.InterestView.values():
            raise BadInputError(f"view {request.view} is not known here.", field="view", reason="UNKNOWN_VIEW")
        engine = self._engine(request.user)
        artifact = engine.revision.artifact
        past = self._past(engine, request.user)
        affinities = engine.interests(past, k)
        answer = pb.GetInterestsResponse(
            **history_of(past),
            model_version=artifact.version,
            as_of=timestamp(artifact.manifest.as_of),
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


def _statuses(engine: Engine, items: Sequence[str], known: Bools) -> "list[pb.ScoreStatus.ValueType]":
    """Raises BadInputError for what cannot be an id; what the revision knows is one."""
    limits.check_unknown(items, known, "items")
    statuses: list[pb.ScoreStatus.ValueType] = [pb.SCORE_STATUS_OK] * len(items)
    for row in np.flatnonzero(~known).tolist():
        is_newer = items[row] in engine.live.newer_items
        statuses[row] = pb.SCORE_STATUS_NOT_IN_REVISION if is_newer else pb.SCORE_STATUS_UNKNOWN_ITEM
    return statuses


def _columns(
    statuses: "list[pb.ScoreStatus.ValueType]", known: Bools, score: Float64s, probability: Float64s
) -> pb.ScoreColumns:
    whole = np.full((2, len(known)), np.nan)
    whole[:, known] = score, probability
    return pb.ScoreColumns(statuses=statuses, scores=whole[0].tolist(), probabilities=whole[1].tolist())


def _rows(
    items: Sequence[str],
    statuses: "list[pb.ScoreStatus.ValueType]",
    score: Float64s,
    probability: Float64s,
    shares: Float32s | None,
    sources: tuple[str, ...],
) -> Iterator[pb.ItemScore]:
    """score, probability [m] and shares [m, S] are of the m items that could be scored."""
    scored = count()
    for item, status in zip(items, statuses, strict=True):
        if status != pb.SCORE_STATUS_OK:
            yield pb.ItemScore(item=item, status=status)
            continue
        row = next(scored)
        yield pb.ItemScore(
            item=item,
            status=status,
            score=score[row],
            probability=probability[row],
            contributions=() if shares is None else contributions(sources, shares[row]),
        )


def _categories(affinities: Affinities, artifact: Artifact) -> Iterator[common.CategoryAffinity]:
    names = artifact.category_names
    for row, category in enumerate(artifact.categories.externals_of(affinities.category)):
        yield common.CategoryAffinity(
            category=category,
            name=names[int(affinities.category[row])].as_py() or "",
            share=min(1.0, affinities.share[row]),
            lift=affinities.lift[row],
        )
