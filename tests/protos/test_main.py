"""The command line: JSON in, JSON out, and errors that say what to do."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pyarrow.parquet as pq
import pytest
from penchant.main import main
from penchant.v1.embedding_pb2 import ExportEmbeddingsResponse
from penchant.v1.interest_pb2 import Recommendation, RecommendRequest, RecommendResponse

if TYPE_CHECKING:
    from tests.protos.conftest import FakeServer, Running


@pytest.fixture
def target(running: "Running", monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PENCHANT_TARGET", running.target)
    return running.target


def test_call_prints_the_answer_as_json(target: str, fake: "FakeServer", capsys: pytest.CaptureFixture[str]) -> None:
    fake.answers("Recommend", RecommendResponse(items=[Recommendation(item="é", score=-1.5)], model_version="m7.12"))
    assert main(["call", "Recommend", '{"user": "u1", "k": 5}', "--target", target]) == 0
    assert fake.asked["Recommend"] == [RecommendRequest(user="u1", k=5)]
    printed = capsys.readouterr().out
    assert "é" in printed
    answer = json.loads(printed)
    assert answer["items"][0]["score"] == -1.5
    assert answer["history_events"] == 0, "a zero says something and is printed"


def test_the_request_can_come_from_standard_input(
    target: str, fake: "FakeServer", monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.answers("Recommend", RecommendResponse())
    monkeypatch.setattr("sys.stdin", io.StringIO('{"user": "u2"}'))
    assert main(["call", "Recommend", "-"]) == 0
    assert fake.asked["Recommend"] == [RecommendRequest(user="u2")]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["call", "Recomend"], "Recommend"),
        (["call", "Recommend", '{"usr": 1}'], "Its fields: user, k, filter, skip_contributions"),
        (["call", "Recommend", "{"], "Its fields: user"),
        (["call", "Recommend", "[1]"], "Its fields: user"),
        (["call", "ExportEmbeddings"], "penchant-client export"),
        (["export", "--kind", "shops", "--out", "x"], "users"),
    ],
)
def test_a_wrong_command_line_says_how_to_mend_it(
    arguments: list[str], says: str, target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert says in capsys.readouterr().err


def test_a_refusal_is_printed_with_its_reason(
    target: str, fake: "FakeServer", capsys: pytest.CaptureFixture[str]
) -> None:
    fake.refuses("GetItem", grpc.StatusCode.NOT_FOUND, message="No item x.", reason="UNKNOWN_ITEM")
    assert main(["call", "GetItem", '{"item": "x"}']) == 1
    assert capsys.readouterr().err == "NOT_FOUND UNKNOWN_ITEM: No item x.\n"


def test_export_writes_parquet(
    target: str,
    fake: "FakeServer",
    chunk: Callable[..., ExportEmbeddingsResponse],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fake.answers("ExportEmbeddings", chunk(1, 2))
    path = tmp_path / "users.parquet"
    assert main(["export", "--kind", "users", "--out", str(path)]) == 0
    assert pq.read_table(path).num_rows == 4
    assert capsys.readouterr().out == f"{path}: 4 vectors of 2 users, m7.12 as of 2023-11-14T22:13:20+00:00\n"


def test_a_folder_that_is_not_there_is_an_error(
    target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "--kind", "users", "--out", str(tmp_path / "no" / "users.parquet")]) == 1
    assert "No such file or directory" in capsys.readouterr().err
