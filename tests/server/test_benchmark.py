"""`penchant benchmark` is there, says what it cannot use, and says what is missing where the benchmarks are not."""

import importlib.util
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from server.benchmark import mount_benchmark


def invoke(*arguments: str) -> Any:
    app = typer.Typer()
    app.callback()(lambda: None)
    mount_benchmark(app)
    return CliRunner().invoke(app, ["benchmark", *arguments])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["netflix"], "No data set is called 'netflix'"),
        (["complete-journey", "--seeds", "one"], "--seeds 'one' are no seeds"),
        (["complete-journey", "--variant", "magic"], "No variant is called 'magic'"),
        (["complete-journey", "--peer", "magic"], "No peer is called 'magic'"),
    ],
)
def test_what_cannot_be_measured_ends_with_a_sentence(arguments: list[str], said: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert said in result.output
    assert "Traceback" not in result.output


def test_an_installation_without_benchmarks_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.benchmark.find_spec", lambda name: None)
    result = invoke("complete-journey", "--seeds", "0", "--peer", "implicit ALS")
    assert result.exit_code == 2
    assert "no benchmarks" in result.output
    assert importlib.util.find_spec("benchmarks") is not None
