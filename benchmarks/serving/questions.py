"""What is asked of penchant's server, for a user who is always another one and for users who come back."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from google.protobuf.empty_pb2 import Empty
from google.protobuf.wrappers_pb2 import BytesValue, Int64Value
from penchant.v1 import common_pb2 as common
from penchant.v1 import embedding_pb2, interest_pb2, similarity_pb2

from benchmarks.serving.bare import BYTES_METHOD, METHOD
from benchmarks.serving.closed import Question
from benchmarks.serving.world import DIM

SCORED, RECOMMENDED, SIMILAR, VECTORS = 100, 20, 20, 1_000
COME_BACK = 64
"""Users who are asked about again and again, where answers may come from memory."""
REQUESTS = 4_000
BYTES_SERVER = "uvloop"
NOTHING_KEPT = ("--known-users-mib", "0")

BYTES = Question(
    f"as many bytes, {BYTES_SERVER}", BYTES_METHOD, [Int64Value(value=VECTORS * DIM * 4)], BytesValue.FromString
)
"""What BatchGetEmbeddings sends, and nothing else done."""
NOTHING = Question("empty", METHOD, [Empty()], Empty.FromString)


def questions(users: Sequence[str], items: Sequence[str]) -> list[Question]:
    chance = np.random.default_rng(1)
    few = users[:COME_BACK]
    similarity = "/penchant.v1.SimilarityService/FindSimilar"
    return [
        replace(_score("Score, user read", users, items, chance), serve=NOTHING_KEPT),
        _score("Score, user at hand", few, items, chance),
        replace(_recommend("Recommend, user read", users), serve=NOTHING_KEPT),
        _recommend("Recommend, user at hand", few),
        Question(
            "FindSimilar",
            similarity,
            [
                similarity_pb2.FindSimilarRequest(item=name, target=common.ENTITY_KIND_ITEM, k=SIMILAR)
                for name in chance.choice(items, REQUESTS)
            ],
            similarity_pb2.FindSimilarResponse.FromString,
        ),
        Question(
            "BatchGetEmbeddings",
            "/penchant.v1.EmbeddingService/BatchGetEmbeddings",
            [
                embedding_pb2.BatchGetEmbeddingsRequest(
                    kind=common.ENTITY_KIND_ITEM, ids=chance.choice(items, VECTORS, replace=False).tolist()
                )
                for _ in range(20)
            ],
            embedding_pb2.BatchGetEmbeddingsResponse.FromString,
        ),
    ]


def _score(name: str, users: Sequence[str], items: Sequence[str], chance: np.random.Generator) -> Question:
    requests = [
        interest_pb2.ScoreRequest(
            user=users[turn % len(users)], items=chance.choice(items, SCORED).tolist(), as_columns=True
        )
        for turn in range(REQUESTS)
    ]
    return Question(name, "/penchant.v1.InterestService/Score", requests, interest_pb2.ScoreResponse.FromString)


def _recommend(name: str, users: Sequence[str]) -> Question:
    requests = [
        interest_pb2.RecommendRequest(user=users[turn % len(users)], k=RECOMMENDED, skip_contributions=True)
        for turn in range(REQUESTS)
    ]
    return Question(name, "/penchant.v1.InterestService/Recommend", requests, interest_pb2.RecommendResponse.FromString)
