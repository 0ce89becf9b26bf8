from pathlib import Path

from typer.testing import CliRunner

from graph.cli import graph_app
from graph.storage.columns import EVENTS, table_of
from graph.storage.database import Database
from graph.storage.events import append_events


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(graph_app, ["inspect", *arguments])
    return result.exit_code, " ".join(result.output.split())


def test_inspect_shows_the_graph_as_of_a_time(database: Database, database_url: str, tmp_path: Path) -> None:
    rows = [
        {"user": f"u{n}", "item": f"i{n % 2}", "kind": "purchase", "occurred_at": n * 86_400_000_000} for n in range(4)
    ]
    append_events(database, table_of(EVENTS, rows), source="test", unknown_items="create", recorded_at=10**12)
    picture = tmp_path / "graph.png"
    code, output = run("--database", database_url, "--as-of", "1970-01-03", "--png", str(picture))
    assert code == 0, output
    assert "The graph as of 1970-01-03T00:00:00Z" in output
    assert "2 events from 1970-01-01T00:00:00Z to 1970-01-02T00:00:00Z" in output
    assert picture.stat().st_size > 10_000
    assert "0 events" not in run("--database", database_url)[1]
    assert "no events yet" in run("--database", database_url, "--known-at", "1970-01-01")[1]


def test_what_cannot_be_done_is_said_before_the_work(sqlite_url: str, tmp_path: Path) -> None:
    for arguments, message in (
        (("--as-of", "yesterday"), "--as-of 'yesterday' is no time"),
        (("--png", "graph.jpg"), "is a PNG"),
        (("--png", str(tmp_path / "none" / "graph.png")), "there is no folder"),
    ):
        code, output = run("--database", sqlite_url, *arguments)
        assert code == 2
        assert message in output
    code, output = run("--database", f"sqlite:///{tmp_path}/empty.db")
    assert code == 2
    assert "penchant db upgrade" in output
