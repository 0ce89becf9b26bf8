import io
import json
import sys

import pytest
import structlog

from server.logs import set_up_logging


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
