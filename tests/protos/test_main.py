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
from penchant.rpcs import RPCS
from penchant.v1.embedding_pb2 import ExportEmbeddingsResponse
from penchant.v1.event_pb2 import StreamEventsResponse
from penchant.v1.interest_pb2 import Recommendation, RecommendRequest, RecommendResponse

if TYPE_CHECKING:
    from tests.protos.conftest import FakeServer, Running


@pytest.fixture
def target(running: "Running", monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PENCHANT_CLIENT_ADDRESS", running.target)
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


@pytest.mark.parametrize("name", ["InterestService/Recommend", "penchant.v1.InterestService/Recommend"])
def test_a_rpc_may_be_named_with_its_service(target: str, fake: "FakeServer", name: str) -> None:
    fake.answers("Recommend", RecommendResponse())
    assert main(["call", name, '{"user": "u1"}']) == 0
    assert fake.asked["Recommend"] == [RecommendRequest(user="u1")]


def test_each_answer_of_a_stream_is_a_json_text(
    target: str,
    fake: "FakeServer",
    chunk: Callable[..., ExportEmbeddingsResponse],
    capsys: pytest.CaptureFixture[str],
) -> None:
    fake.answers("ExportEmbeddings", chunk(1), chunk(2))
    assert main(["call", "ExportEmbeddings", '{"kind": "ENTITY_KIND_USER"}']) == 0
    texts = capsys.readouterr().out.split("}\n{")
    assert [f'"u{n}"' in text for n, text in enumerate(texts, start=1)] == [True, True]


def test_a_stream_of_requests_is_one_json_text_after_the_other(
    target: str, fake: "FakeServer", monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.answers("StreamEvents", StreamEventsResponse(batch=1), StreamEventsResponse(batch=2))
    monkeypatch.setattr("sys.stdin", io.StringIO('{"batch": 1}\n{"batch": 2}\n'))
    assert main(["call", "StreamEvents", "-"]) == 0
    assert capsys.readouterr().out.count('"batch": ') == 2


def test_a_stream_that_is_refused_is_told_like_a_call(
    target: str, fake: "FakeServer", capsys: pytest.CaptureFixture[str]
) -> None:
    fake.refuses("ExportEmbeddings", grpc.StatusCode.INVALID_ARGUMENT, message="No kind.", reason="BAD_INPUT")
    assert main(["call", "ExportEmbeddings"]) == 1
    assert capsys.readouterr().err == "INVALID_ARGUMENT BAD_INPUT: No kind.\n"


def test_list_has_a_line_for_every_rpc(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0].split("/")[1] for line in lines} == set(RPCS)
    assert all(line.split(maxsplit=1)[1].strip() for line in lines), "each says what it does"


@pytest.mark.parametrize("name", list(RPCS))
def test_list_shows_the_fields_of_request_and_answer(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", name]) == 0
    printed = capsys.readouterr().out
    for message in (RPCS[name].request, RPCS[name].response):
        assert f"message {message.__name__} {{" in printed
        assert all(f" {field.name} = {field.number};" in printed for field in message.DESCRIPTOR.fields)


def test_no_server_is_told_with_what_to_look_at(pauses: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["call", "GetServerInfo", "--address", "127.0.0.1:1"]) == 1
    assert "Is a server running at that address" in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["call"], ["export"], ["list"]])
def test_help_fits_into_a_terminal_and_names_the_environment(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*command, "--help"])
    assert caught.value.code == 0
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 120
    assert "PENCHANT_CLIENT_TOKEN" in printed or command == ["list"]


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
        (["call", "Recommend", '{"user": "u1"} {"user": "u2"}'], "Recommend takes one request, not 2"),
        (["call", "StreamEvents", ""], "StreamEvents takes at least one request, not 0"),
        (["call", "SegmentService/Recommend"], "Recommend"),
        (["list", "Recomend"], "Recommend"),
        (["call", "GetServerInfo", "--address", "somewhere"], "host:port"),
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
