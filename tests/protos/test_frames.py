"""Answers as rows, columns and tables: the same numbers everywhere, and nothing where nothing is known."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
from penchant import PenchantClient
from penchant.columns import Result, to_columns, to_rows
from penchant.frames import to_arrow, to_pandas, to_polars
from penchant.v1.common_pb2 import Contribution
from penchant.v1.embedding_pb2 import ExportEmbeddingsResponse
from penchant.v1.interest_pb2 import (
    SCORE_STATUS_OK,
    SCORE_STATUS_UNKNOWN_ITEM,
    ItemScore,
    Recommendation,
    RecommendResponse,
    ScoreColumns,
    ScoreResponse,
    ScoreStatus,
)
from penchant.v1.segment_pb2 import Member, Segment
from penchant.v1.similarity_pb2 import FindSimilarResponse, Neighbour

if TYPE_CHECKING:
    from tests.protos.conftest import FakeServer

SHARES = [{"source": "net", "share": 0.25}, {"source": "repeat", "share": 0.125}]
PARTS = [Contribution(source="net", share=0.25), Contribution(source="repeat", share=0.125)]
SCORES = ScoreResponse(
    scores=[
        ItemScore(item="a", status=SCORE_STATUS_OK, score=-1.5, probability=0.25, contributions=PARTS),
        ItemScore(item="b", status=SCORE_STATUS_UNKNOWN_ITEM),
    ],
    model_version="m7.12",
)
RECOMMENDED = RecommendResponse(items=[Recommendation(item="a", score=-1.5, probability=0.25, contributions=PARTS)] * 2)
SIMILAR = FindSimilarResponse(neighbours=[Neighbour(id="a", cosine=0.5)], vector_space="space-1")
MEMBERS = [Member(user="u1", weight=0.75), Member(user="u2", weight=0.5)]

ROWS: list[tuple[Any, list[dict[str, Any]]]] = [
    (
        SCORES,
        [
            {"item": "a", "status": "SCORE_STATUS_OK", "score": -1.5, "probability": 0.25, "contributions": SHARES},
            {
                "item": "b",
                "status": "SCORE_STATUS_UNKNOWN_ITEM",
                "score": None,
                "probability": None,
                "contributions": [],
            },
        ],
    ),
    (RECOMMENDED, [{"item": "a", "score": -1.5, "probability": 0.25, "contributions": SHARES}] * 2),
    (SIMILAR, [{"id": "a", "cosine": 0.5}]),
    (MEMBERS, [{"user": "u1", "weight": 0.75}, {"user": "u2", "weight": 0.5}]),
]
EMPTY: list[Any] = [ScoreResponse(), RecommendResponse(), FindSimilarResponse(), []]


@pytest.mark.parametrize(("result", "rows"), ROWS, ids=["scores", "recommended", "similar", "members"])
def test_rows_and_tables_say_what_the_answer_says(result: Result, rows: list[dict[str, Any]]) -> None:
    assert to_rows(result) == rows
    assert to_arrow(result).to_pylist() == rows
    assert to_polars(result).to_dicts() == rows
    frame = to_pandas(result)
    assert frame.columns.tolist() == list(rows[0])
    assert len(frame) == len(rows)


@pytest.mark.parametrize("empty", EMPTY, ids=["scores", "recommended", "similar", "members"])
def test_what_is_empty_has_the_same_columns(empty: Result) -> None:
    full = next(result for result, _ in ROWS if type(result) is type(empty))
    assert to_rows(empty) == []
    assert to_arrow(empty).schema.equals(to_arrow(full).schema)


def test_what_was_not_scored_is_no_number() -> None:
    columns = to_columns(SCORES)
    np.testing.assert_array_equal(columns["score"], [-1.5, np.nan])
    assert to_arrow(SCORES)["score"].null_count == 1


def test_tables_name_the_revision() -> None:
    assert to_arrow(SCORES).schema.metadata[b"penchant.model_version"] == b"m7.12"
    assert to_arrow(SIMILAR).schema.metadata[b"penchant.vector_space"] == b"space-1"


def test_a_status_that_is_newer_than_the_client_is_a_number() -> None:
    newer = ScoreResponse(scores=[ItemScore(item="a", status=ScoreStatus.ValueType(99))])
    assert to_rows(newer)[0]["status"] == "99"


def test_vectors_have_a_row_each_in_every_kind_of_table(
    client: PenchantClient, fake: "FakeServer", chunk: "Callable[..., ExportEmbeddingsResponse]"
) -> None:
    fake.answers("ExportEmbeddings", chunk(1, 2))
    embeddings = next(client.export_embeddings("users"))
    pandas, polars, rows = to_pandas(embeddings), to_polars(embeddings), to_rows(embeddings)
    assert pandas["id"].tolist() == polars["id"].to_list() == ["u1", "u1", "u2", "u2"]
    assert [row["interest"] for row in rows] == [0, 1, 0, 1]
    np.testing.assert_array_equal(np.stack(pandas["vector"].tolist()), polars["vector"].to_numpy())
    np.testing.assert_array_equal([row["vector"] for row in rows], to_columns(embeddings)["vector"])


def test_an_answer_in_columns_is_taken_as_it_is() -> None:
    """Its items are those of the question, in that order."""
    columns = ScoreColumns(
        statuses=[SCORE_STATUS_OK, SCORE_STATUS_UNKNOWN_ITEM],
        scores=[-1.5, float("nan")],
        probabilities=[0.25, float("nan")],
    )
    found = to_columns(ScoreResponse(columns=columns))
    assert found["status"].tolist() == ["SCORE_STATUS_OK", "SCORE_STATUS_UNKNOWN_ITEM"]
    np.testing.assert_array_equal(found["score"], [-1.5, np.nan])
    np.testing.assert_array_equal(found["probability"], [0.25, np.nan])


def test_other_rows_have_no_columns() -> None:
    with pytest.raises(TypeError, match="Segment has no columns"):
        to_rows(cast(Result, [Segment(id="s1")]))
