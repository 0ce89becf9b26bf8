"""Answers as columns of numpy arrays, or as rows of plain Python; penchant.frames makes tables of the same columns.

    result                            columns
    answer of score                   item, status, score, probability, contributions
    answer of recommend               item, score, probability, contributions
    answer of find_similar            id, cosine
    vectors, of a batch or a chunk    id, interest (0, 1, …), weight, vector
    members of a segment              user, weight

`contributions` are lists of {"source": …, "share": …}. An item that was not scored has NaN (None in rows).
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penchant.v1.common_pb2 import Contribution
from penchant.v1.interest_pb2 import SCORE_STATUS_OK, RecommendResponse, ScoreResponse, ScoreStatus
from penchant.v1.segment_pb2 import Member
from penchant.v1.similarity_pb2 import FindSimilarResponse
from penchant.vectors import Embeddings

Result = ScoreResponse | RecommendResponse | FindSimilarResponse | Embeddings | Iterable[Member]
Columns = dict[str, NDArray[Any]]


def to_columns(result: Result) -> Columns:
    """An array [rows] for each column, of vectors [rows, dim]. TypeError for what is no result of the table above."""
    if isinstance(result, ScoreResponse):
        return _scores(result)
    if isinstance(result, RecommendResponse):
        rows = result.items
        return {
            "item": _objects(row.item for row in rows),
            "score": np.array([row.score for row in rows], np.float64),
            "probability": np.array([row.probability for row in rows], np.float64),
            "contributions": _objects(_shares(row.contributions) for row in rows),
        }
    if isinstance(result, FindSimilarResponse):
        return {
            "id": _objects(row.id for row in result.neighbours),
            "cosine": np.array([row.cosine for row in result.neighbours], np.float32),
        }
    return _vectors(result) if isinstance(result, Embeddings) else _members(result)


def to_rows(result: Result) -> list[dict[str, Any]]:
    """A dict for each row, of str, int, float, None and lists of them."""
    columns = {name: _plain(values) for name, values in to_columns(result).items()}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _scores(answer: ScoreResponse) -> Columns:
    if answer.HasField("columns"):  # in the order of the items that were asked for, whose ids are not repeated
        return {
            "status": _objects(_status(status) for status in answer.columns.statuses),
            "score": np.array(answer.columns.scores, np.float64),
            "probability": np.array(answer.columns.probabilities, np.float64),
        }
    rows = answer.scores
    scored = np.array([row.status == SCORE_STATUS_OK for row in rows], bool)
    return {
        "item": _objects(row.item for row in rows),
        "status": _objects(_status(row.status) for row in rows),
        "score": np.where(scored, [row.score for row in rows], np.nan),
        "probability": np.where(scored, [row.probability for row in rows], np.nan),
        "contributions": _objects(_shares(row.contributions) for row in rows),
    }


def _vectors(embeddings: Embeddings) -> Columns:
    starts = np.cumsum(embeddings.counts, dtype=np.int64) - embeddings.counts
    interest = np.arange(len(embeddings.vectors)) - np.repeat(starts, embeddings.counts)
    return {
        "id": np.repeat(_objects(embeddings.ids), embeddings.counts),
        "interest": interest.astype(np.uint16),
        "weight": embeddings.weights,
        "vector": np.ascontiguousarray(embeddings.vectors, np.float32),
    }


def _members(members: Iterable[Member]) -> Columns:
    rows = list(members)
    for row in rows:
        if not isinstance(row, Member):
            raise TypeError(f"{type(row).__name__} has no columns: give an answer, vectors, or members of a segment.")
    return {
        "user": _objects(row.user for row in rows),
        "weight": np.array([row.weight for row in rows], np.float32),
    }


def _status(value: int) -> str:
    """The contract's name; the number where the server is newer than this client."""
    return ScoreStatus.Name(ScoreStatus.ValueType(value)) if value in ScoreStatus.values() else str(value)


def _shares(contributions: Iterable[Contribution]) -> list[dict[str, Any]]:
    return [{"source": each.source, "share": each.share} for each in contributions]


def _objects(values: Iterable[Any]) -> NDArray[np.object_]:
    """One cell for each, even where it is a list."""
    return np.fromiter(values, object)


def _plain(values: NDArray[Any]) -> list[Any]:
    return [None if isinstance(value, float) and np.isnan(value) else value for value in values.tolist()]
