"""A state that is broken, of another store or behind in a way that cannot be mended is noticed and not used."""

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from sqlalchemy import delete, insert, update

from graph.build import build_graph
from graph.snapshot import take_snapshot
from graph.state import folder as module
from graph.state.current import Current, current_graph
from graph.state.folder import MANIFEST, read_state, write_state
from graph.state.tail import StaleError
from graph.storage.columns import EVENTS, table_of
from graph.storage.database import Database
from graph.storage.events import append_events
from graph.storage.kinds import EventKind, upsert_kinds
from graph.storage.postgresql import libpq_uri
from graph.storage.tables import interaction, user
from graph.storage.times import now_us


def add(database: Database, name: str, n: int, first: int = 0) -> None:
    rows = [
        {"event_id": f"{name}{k}", "user": f"u{k % 5}", "item": f"i{k % 3}", "kind": "view", "occurred_at": k}
        for k in range(first, first + n)
    ]
    append_events(database, table_of(EVENTS, rows), source="s", unknown_items="create")


def built(database: Database, folder: Path, *, why: str | None = None) -> Current:
    """The current graph, which must be the true one; `why` the state was not used, None: it was."""
    said: list[str] = []
    current = current_graph(database, folder, say=said.append)
    whole = take_snapshot(database, as_of=None)
    assert current.snapshot.content_hash == whole.content_hash
    assert current.graph.num_edges == build_graph(whole).num_edges
    if why is None:
        assert said == []
        assert current.new_rows is not None
    else:
        assert current.new_rows is None
        assert [why in line for line in said] == [True], said
    return current


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(bytes(content))


def place(folder: Path) -> Path:
    return folder / str(json.loads((folder / MANIFEST).read_text())["folder"])


def format_of_tomorrow(folder: Path) -> None:
    content = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**content, "format": 99}))


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda folder: flip(place(folder) / "events_item.npy"), "events_item.npy is not what was written"),
        (lambda folder: (place(folder) / "base_data.npy").write_bytes(b""), "base_data.npy is not what was written"),
        (lambda folder: (place(folder) / "users.npy").unlink(), "users.npy is missing"),
        (lambda folder: (folder / MANIFEST).write_text("{"), "cannot be read"),
        (lambda folder: (folder / MANIFEST).write_text("[]"), "cannot be read"),
        (format_of_tomorrow, "format 99"),
        (shutil.rmtree, "there is none yet"),
    ],
)
def test_a_broken_state_is_not_used(
    sqlite_database: Database, tmp_path: Path, spoil: Callable[[Path], object], why: str
) -> None:
    folder = tmp_path / "kept"
    add(sqlite_database, "a", 20)
    built(sqlite_database, folder, why="there is none yet")
    add(sqlite_database, "b", 5)
    assert built(sqlite_database, folder).new_rows == 5
    assert built(sqlite_database, folder).new_rows == 0
    spoil(folder)
    built(sqlite_database, folder, why=why)
    built(sqlite_database, folder)


def test_what_can_not_be_told_from_new_rows_is_read_anew(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that go, rows of another store, kinds that weigh something else."""
    folder = tmp_path / "kept"
    add(database, "a", 20)
    built(database, folder, why="there is none yet")
    with database.begin() as connection:
        connection.execute(delete(interaction).where(interaction.c.event_id == "a7"))
    with monkeypatch.context() as patch:
        patch.setattr("graph.state.tail.SAMPLE", 1)
        built(database, folder, why="events have gone")
    with database.begin() as connection:
        connection.execute(update(interaction).where(interaction.c.event_id == "a8").values(occurred_at=3))
    built(database, folder, why="other events")
    with database.begin() as connection:
        connection.execute(update(user).where(user.c.external_id == "u1").values(external_id="u9"))
    built(database, folder, why="users")
    upsert_kinds(database, [EventKind(0, "view", 0.9, 1, 3.0)])
    built(database, folder, why="kinds")


def test_a_row_that_goes_far_below_the_newest_is_missed_too(
    sqlite_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graph.state.tail.OVERLAP", 2)
    monkeypatch.setattr("graph.state.tail.SAMPLE", 1)
    add(sqlite_database, "a", 20)
    built(sqlite_database, tmp_path / "kept", why="there is none yet")
    with sqlite_database.begin() as connection:
        connection.execute(delete(interaction).where(interaction.c.event_id == "a9"))
    built(sqlite_database, tmp_path / "kept", why="17 rows of interaction where 18 were")


@pytest.mark.postgres
@pytest.mark.parametrize("overlap", [20_000, 1])
def test_a_transaction_that_commits_late_is_not_missed(
    postgresql_url_fresh: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overlap: int
) -> None:
    """Its numbers are smaller than those that were read before it: within the overlap, and far below."""
    monkeypatch.setattr("graph.state.tail.OVERLAP", overlap)
    database = Database(postgresql_url_fresh)
    add(database, "a", 20)
    with psycopg.connect(libpq_uri(database.url)) as late:
        late.execute(
            "INSERT INTO interaction (event_id, user_id, item_id, kind_id, occurred_at, recorded_at)"
            " SELECT 'late', user_id, item_id, kind_id, 7, 0 FROM interaction WHERE event_id = 'a3'"
        )
        add(database, "b", 20, first=20)
        assert len(built(database, tmp_path / "kept", why="there is none yet").snapshot.events) == 40
        late.commit()
    why = None if overlap > 40 else "rows of interaction where"
    assert len(built(database, tmp_path / "kept", why=why).snapshot.events) == 41
    database.close()


def test_a_crash_while_writing_leaves_the_last_state(
    sqlite_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "kept"
    add(sqlite_database, "a", 20)
    built(sqlite_database, folder, why="there is none yet")
    add(sqlite_database, "b", 5)

    def out_of_room(path: Path) -> None:
        raise OSError("no space left on device")

    said: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(module, "sync", out_of_room)
        assert len(current_graph(sqlite_database, folder, say=said.append).snapshot.events) == 25
    assert said == ["The graph is not kept for the next time: no space left on device."]
    assert [path.name for path in folder.iterdir() if path.is_dir()] == [place(folder).name]  # takes no room
    assert len(read_state(folder)[0].events) == 20
    assert built(sqlite_database, folder).new_rows == 5
    assert [path.name for path in folder.iterdir() if path.is_dir()] == [place(folder).name]  # no rests


def test_a_disk_without_hard_links_keeps_the_graph_too(
    sqlite_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise OSError("operation not permitted")

    monkeypatch.setattr("os.link", no_links)
    add(sqlite_database, "a", 20)
    built(sqlite_database, tmp_path / "kept", why="there is none yet")
    for name in "bc":
        add(sqlite_database, name, 5)
        assert built(sqlite_database, tmp_path / "kept").new_rows == 5


def test_files_are_mapped_one_after_another(
    sqlite_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python 3.11 fails at random where two threads parse a header at once."""
    folder = tmp_path / "kept"
    add(sqlite_database, "a", 20)
    built(sqlite_database, folder, why="there is none yet")
    load, threads = np.load, []

    def noted(*args: Any, **options: Any) -> Any:
        threads.append(threading.get_ident())
        return load(*args, **options)

    monkeypatch.setattr(np, "load", noted)
    read_state(folder)
    assert len(threads) > 10
    assert len(set(threads)) == 1


def add_user(database: Database, name: str, recorded_at: int) -> None:
    with database.begin() as connection:
        connection.execute(insert(user).values(external_id=name, recorded_at=recorded_at))


def test_users_that_are_not_yet_known_are_cut_off(sqlite_database: Database, tmp_path: Path) -> None:
    """Their rows are among ours, but no snapshot of that time knows them."""
    add(sqlite_database, "a", 20)
    add_user(sqlite_database, "later", 2**61)
    first = built(sqlite_database, tmp_path / "kept", why="there is none yet")
    assert "later" not in first.snapshot.users.external.to_pylist()
    assert built(sqlite_database, tmp_path / "kept").graph["user"].num_nodes == 5


def test_rows_that_come_while_it_reads_are_cut_off(
    sqlite_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a live shop users and items come all the time; the kept graph serves nevertheless."""
    folder = tmp_path / "kept"
    add(sqlite_database, "a", 20)
    built(sqlite_database, folder, why="there is none yet")

    def while_reading(*arguments: Any) -> Any:
        rows = [{"user": "new", "item": "new", "kind": "view", "occurred_at": 5}]
        append_events(sqlite_database, table_of(EVENTS, rows), source="s", unknown_items="create")
        return read_state(*arguments)

    said: list[str] = []
    known_at = now_us()
    with monkeypatch.context() as patch:
        patch.setattr("graph.state.current.read_state", while_reading)
        current = current_graph(sqlite_database, folder, known_at=known_at, say=said.append)
    whole = take_snapshot(sqlite_database, as_of=None, known_at=known_at)
    assert (said, current.new_rows) == ([], 1)
    assert current.snapshot.content_hash == whole.content_hash
    assert current.graph.edge_types == build_graph(whole).edge_types
    assert (current.graph["user"].num_nodes, current.graph["item"].num_nodes) == (5, 3)
    built(sqlite_database, folder)


def test_users_known_behind_others_that_are_not_are_left_to_the_plain_way(
    sqlite_database: Database, tmp_path: Path
) -> None:
    add_user(sqlite_database, "later", 2**61)
    add(sqlite_database, "a", 20)
    why = "there is none yet"
    said: list[str] = []
    for expected in ([why, "came after others"], ["came after others"]):
        said.clear()
        current = current_graph(sqlite_database, tmp_path / "kept", say=said.append)
        assert [part in line for part, line in zip(expected, said, strict=True)] == [True] * len(expected)
        assert current.new_rows is None
        assert current.snapshot.content_hash == take_snapshot(sqlite_database, as_of=None).content_hash


def test_what_did_not_change_is_linked_not_written(
    sqlite_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graph.state.follows.MOST_CHANGES", 100.0)
    folder = tmp_path / "kept"
    add(sqlite_database, "a", 200)
    built(sqlite_database, folder, why="there is none yet")
    before = {path.name: path.stat().st_ino for path in place(folder).iterdir()}
    add(sqlite_database, "b", 1, first=200)
    assert built(sqlite_database, folder).new_rows == 1
    after = {path.name: path.stat().st_ino for path in place(folder).iterdir()}
    same = {name for name, inode in after.items() if before[name] == inode}
    assert {"base_data.npy", "base_indices.npy", "users.npy"} <= same
    assert not {"events_id.npy", "changes_data.npy"} & same


def test_what_is_linked_keeps_the_sum_that_it_was_read_with(
    sqlite_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Added up again, what a disk has spoilt in the meantime would pass for what was written."""
    folder = tmp_path / "kept"
    add(sqlite_database, "a", 200)
    built(sqlite_database, folder, why="there is none yet")
    state, before = read_state(folder), {path.stat().st_ino for path in place(folder).iterdir()}
    added_up: set[str] = set()
    add_up = module._sum

    def noting(path: Path) -> int:
        added_up.add(path.name)
        return add_up(path)

    with monkeypatch.context() as patch:
        patch.setattr(module, "_sum", noting)
        write_state(folder, *state)
    linked = {path.name for path in place(folder).iterdir() if path.stat().st_ino in before}
    assert {"base_data.npy", "events_item.npy"} <= linked
    assert not linked & added_up
    state = read_state(folder)
    flip(place(folder) / "base_data.npy")
    write_state(folder, *state)
    with pytest.raises(StaleError, match=r"base_data\.npy is not what was written"):
        read_state(folder)


def test_a_file_put_where_one_was_read_is_not_linked(sqlite_database: Database, tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    add(sqlite_database, "a", 200)
    built(sqlite_database, folder, why="there is none yet")
    state = read_state(folder)
    wanted = state[0].users.surrogate.copy()
    path = place(folder) / "users.npy"
    path.unlink()
    np.save(path, wanted + 1)
    write_state(folder, *state)
    np.testing.assert_array_equal(read_state(folder)[0].users.surrogate, wanted)
