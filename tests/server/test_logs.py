import io
import json
import logging
import sys
from typing import TYPE_CHECKING

import pytest
import structlog
from penchant import Event, PenchantClient

from graph.storage.errors import StoreUnavailableError
from server.logs import Trouble, set_up_logging

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from tests.server.conftest import World


def test_a_line_is_json_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("INFO")
    log = structlog.get_logger("penchant.server")
    log.debug("too much")
    log.info("serving", version="m1.1")
    said = capsys.readouterr()
    assert said.out == ""
    line = json.loads(said.err)
    assert (line["event"], line["version"], line["level"]) == ("serving", "m1.1", "info")


def test_a_log_that_nobody_takes_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    set_up_logging("INFO")
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    structlog.get_logger("penchant.server").error("a bug", exc_info=ValueError("x"))


def test_a_library_has_its_lines_but_for_callers_who_left(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("INFO")
    grpc_log = logging.getLogger("grpc._cython.cygrpc")
    grpc_log.error("ExecuteBatchError raised in core by servicer method [%s]", "/penchant.v1.CatalogService/GetItem")
    grpc_log.error("Unexpected [%s] raised by servicer method [%s]", "KeyError", "/penchant.v1.CatalogService/GetItem")
    (line,) = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert line["event"].startswith("Unexpected [KeyError]")


def test_what_goes_on_failing_is_said_once_and_so_is_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("INFO")
    trouble = Trouble("follow changes")
    trouble.is_over()
    for error in (StoreUnavailableError("away"), StoreUnavailableError("away"), OSError("the disk")):
        trouble.happened(error)
    trouble.is_over()
    trouble.is_over()
    trouble.happened(StoreUnavailableError("away"))
    said = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["event"], line.get("message")) for line in said] == [
        ("cannot follow changes", "away"),
        ("cannot follow changes", "the disk"),
        ("can follow changes again", None),
        ("cannot follow changes", "away"),
    ]
    assert ["exception" in line for line in said] == [False, True, False, False]


def test_at_debug_each_call_has_its_line_however_it_is_made(
    world: "World", serve: "Callable[[World], tuple[subprocess.Popen[str], str]]", monkeypatch: pytest.MonkeyPatch
) -> None:
    """A coroutine, a method in a thread, a stream of answers, a stream both ways."""
    monkeypatch.setenv("PENCHANT_LOG_LEVEL", "DEBUG")
    server, target = serve(world)
    with PenchantClient(target, deadline_ms=30_000) as client:
        client.score("u1", ["i1"])
        client.get_item("i1")
        assert list(client.export_embeddings("items"))
        event = Event(event_id="logged", user="u1", item="i1", kind="view")
        event.occurred_at.FromSeconds(1_700_000_000)
        assert len(list(client.stream_events([[event]]))) == 1
    server.terminate()
    server.wait(30)
    said = [json.loads(line) for line in (world.artifacts.parent / "server.log").read_text().splitlines()]
    calls = [line for line in said if line["event"] == "call"]
    assert {call["method"].rsplit("/")[-1] for call in calls} == {
        "Score",
        "GetItem",
        "ExportEmbeddings",
        "StreamEvents",
    }
    assert all(call["elapsed_ms"] > 0 for call in calls)
