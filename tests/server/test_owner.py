"""One process owns the device: workers get from it what they would compute, and do without it as well."""

import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from graph.arrays import Float32s
from graph.histories import Histories, histories_from_arrays
from graph.meaning import Meaning
from graph.storage.errors import BadInputError
from graph.storage.kinds import EventKind
from server.owner import ask, nets, process
from server.owner.ask import NetOwner
from server.owner.nets import NetOnDevice, Nets
from server.owner.process import Owner, _Asked
from server.owner.wire import Question, opened, read_answer, read_question, write_answer, write_question
from server.revision import load_revision
from tests.server.conftest import ITEMS
from training.artifact import load_artifact

if TYPE_CHECKING:
    from tests.server.conftest import World

Eventually = Callable[..., Any]
START_S = 60.0
"""That a process may take to load all there is, beside others."""
CPU = torch.device("cpu")
SOME_S = 3_600 * 1_000_000


def histories(*lengths: int, seed: int = 0) -> Histories:
    """A row of so many events each, of the world's items and kinds."""
    random, users = np.random.default_rng(seed), np.repeat(np.arange(len(lengths)), lengths)
    n = len(users)
    return histories_from_arrays(
        users,
        random.integers(0, ITEMS, n),
        np.sort(random.integers(0, 1_000, n)) * SOME_S,
        kind=random.integers(0, 2, n),
        n_users=len(lengths),
        n_items=ITEMS,
    )


@pytest.fixture
def folder(world: "World") -> Path:
    return Path(world.artifacts) / "m1.1"


@pytest.fixture
def here(folder: Path) -> Callable[[Histories], Float32s]:
    """What a worker computes by itself."""
    return load_artifact(folder).mixture.net.users


@pytest.fixture
def owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Owner]:
    monkeypatch.setattr(ask, "PATIENCE_S", 10.0)  # other tests compute as well
    started = Owner(tmp_path / "owner", CPU)
    started.start()
    yield started
    started.close()


@pytest.fixture
def asking(tmp_path: Path) -> Iterator[NetOwner]:
    asks = NetOwner(tmp_path / "owner")
    yield asks
    asks.close()


# What it answers ------------------------------------------------------------------------------------------------


def test_it_answers_what_a_worker_would_compute(
    owner: Owner, asking: NetOwner, folder: Path, here: Callable[[Histories], Float32s], eventually: Eventually
) -> None:
    users_from = asking.of(folder)
    assert users_from(histories(3)) is None  # until the net is there nobody waits for it
    eventually(lambda: users_from(histories(3)) is not None)
    for asked in (histories(5, 0, 40, 1), histories(0), histories(200)):
        told = users_from(asked)
        assert told is not None
        mine = here(asked)
        np.testing.assert_allclose(told, mine, atol=1e-5)
        assert (told.dtype, str(told.flags)) == (mine.dtype, str(mine.flags))  # loops are compiled for one kind
    assert asking.told >= 4
    assert asking.untold >= 1


def test_each_of_many_who_ask_at_once_gets_their_own(
    owner: Owner, asking: NetOwner, folder: Path, here: Callable[[Histories], Float32s], eventually: Eventually
) -> None:
    eventually(lambda: asking.of(folder)(histories(1)) is not None)
    address = asking._address

    def one(seed: int) -> float:
        mine, asks = histories(*range(seed % 5 + 1), seed=seed), NetOwner(address)
        told = asks.of(folder)(mine)
        asks.close()
        assert told is not None
        return float(np.abs(told - here(mine)).max())

    with ThreadPoolExecutor(8) as threads:
        assert max(threads.map(one, range(40))) < 1e-5


def test_what_has_gathered_is_one_pass_a_revision(world: "World", owner: Owner) -> None:
    passes: list[int] = []

    class Counted:
        def __init__(self, net: NetOnDevice) -> None:
            self.net = net

        def users(self, asked: Histories) -> Float32s:
            passes.append(len(asked))
            return self.net.users(asked)

    folders = [Path(world.artifacts) / version for version in ("m1.1", "m1.2")]
    loaded = {path: NetOnDevice.load(path, CPU) for path in folders}
    # It counts passes in a net's place.
    owner._nets.at = lambda path: Counted(loaded[path])  # type: ignore[method-assign, assignment, return-value]
    asked = [_Asked(Question(folders[n % 2], histories(*range(n), seed=n)), Future()) for n in (1, 2, 3, 4, 5)]
    owner._answer(asked)
    assert sorted(passes) == [2 + 4, 1 + 3 + 5]
    for each in asked:
        told = each.answer.result(timeout=0)
        assert told is not None
        expected = loaded[each.question.revision].users(each.question.histories)
        np.testing.assert_allclose(told, expected, atol=1e-5)


def test_whole_answers_are_the_same(owner: Owner, asking: NetOwner, folder: Path, eventually: Eventually) -> None:
    """Dislikes and meanings stay with the worker, which mixes."""
    plain, owned = load_revision(folder), load_revision(folder, asking.of)
    meaning = Meaning.of([EventKind(id=0, **kind.model_dump()) for kind in plain.artifact.manifest.kinds])
    against = replace(histories(2, 0, 0, 3, seed=1), meaning=meaning)
    asked, now = replace(histories(5, 0, 40, 1), meaning=meaning, against=against), np.full(4, 2_000 * SOME_S)
    eventually(lambda: asking.of(folder)(asked) is not None)
    before = asking.told
    for mine, theirs in zip(plain.fast.answer(asked, now), owned.fast.answer(asked, now), strict=True):
        assert set(mine.item[:5]) == set(theirs.item[:5])
        assert (mine.averse is None) == (theirs.averse is None)
        np.testing.assert_allclose(mine.p[:20], theirs.p[:20], rtol=1e-3)
    assert asking.told > before


# What is not there ----------------------------------------------------------------------------------------------


def test_a_broken_revision_is_nobodys_but_its_own(
    owner: Owner, asking: NetOwner, world: "World", eventually: Eventually, capfd: pytest.CaptureFixture[str]
) -> None:
    broken, whole = (asking.of(Path(world.artifacts) / version) for version in ("m1.3", "m1.1"))
    assert broken(histories(2)) is None
    eventually(lambda: whole(histories(2)) is not None)
    eventually(lambda: "cannot load a net on the device" in capfd.readouterr().err)
    assert broken(histories(2)) is None
    assert whole(histories(2)) is not None


def test_a_net_that_could_not_be_loaded_is_tried_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    tries: list[Path] = []

    def no_room(path: Path, device: torch.device) -> NetOnDevice:
        tries.append(path)
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(NetOnDevice, "load", no_room)
    kept = Nets(CPU)
    assert kept.at(folder) is None
    eventually(lambda: kept._kept[folder].again_at < math.inf)
    assert kept.at(folder) is None
    assert len(tries) == 1  # not at every question
    for n in (2, 3):
        kept._kept[folder].again_at = 0.0
        kept.at(folder)
        eventually(lambda n=n: len(tries) == n and kept._kept[folder].again_at < math.inf)
    assert kept._kept[folder].again_after_s == 8 * nets.AGAIN_S  # and ever more slowly
    monkeypatch.undo()
    kept._kept[folder].again_at = 0.0
    eventually(lambda: kept.at(folder) is not None)


def test_nets_that_nobody_asks_for_go_when_another_comes(
    world: "World", monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    first, second = (Path(world.artifacts) / version for version in ("m1.1", "m1.2"))
    kept = Nets(CPU)
    eventually(lambda: kept.at(first) is not None)
    kept.at(second)
    assert set(kept._kept) == {first, second}
    monkeypatch.setattr(nets, "UNUSED_S", 0.0)
    third = Path(world.artifacts) / "m1.3"
    kept.at(third)
    assert set(kept._kept) == {third}


def test_without_an_owner_a_worker_computes_by_itself(
    tmp_path: Path, folder: Path, here: Callable[[Histories], Float32s], capfd: pytest.CaptureFixture[str]
) -> None:
    asks = NetOwner(tmp_path / "nobody")
    net = load_revision(folder, asks.of).mixture.net
    asked = histories(4, 2)
    np.testing.assert_array_equal(net.users(asked), here(asked))
    assert asks.told == 0
    assert capfd.readouterr().err.count("cannot ask the owner of the device") == 1  # said once


def test_an_owner_that_hangs_is_waited_for_once(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ask, "PATIENCE_S", 0.05)
    monkeypatch.setattr(ask, "AGAIN_AT_MOST_S", 2_000.0)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "owner"))
        silent.listen()
        asks = NetOwner(tmp_path / "owner")
        asks._again_after_s = 1_000.0
        assert [asks.of(folder)(histories(1_000)) for _ in range(3)] == [None, None, None]
        assert asks._again_after_s == 2_000.0
        silent.accept()[0].close()
        silent.setblocking(False)
        with pytest.raises(BlockingIOError):
            silent.accept()
        asks.close()
    assert "TimeoutError" in capfd.readouterr().err


def test_an_answer_that_comes_too_late_is_nobodys(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next question has a connection of its own."""
    monkeypatch.setattr(ask, "PATIENCE_S", 0.2)
    mine = np.full((1, 1, 4), 2, np.float32)
    asks = NetOwner(tmp_path / "owner")
    asks._again_after_s = 0.0
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "owner"))
        server.listen()
        assert asks.of(folder)(histories(1)) is None
        late, _ = server.accept()
        both = opened(late)
        assert read_question(both).revision == folder
        with pytest.raises(BrokenPipeError):
            write_answer(both, mine - 1)
        with suppress(BrokenPipeError):
            both.close()
        late.close()

        def answer() -> None:
            connection, _ = server.accept()
            with connection, opened(connection) as both:
                read_question(both)
                write_answer(both, mine)

        thread = threading.Thread(target=answer)
        thread.start()
        monkeypatch.setattr(ask, "PATIENCE_S", 10.0)
        told = asks.of(folder)(histories(1))
        thread.join()
    asks.close()
    np.testing.assert_array_equal(told, mine)


@pytest.mark.parametrize("rubbish", [b"", b"GET / HTTP/1.1\r\n\r\n" * 4, b"\xff" * 64, bytes(12)])
def test_rubbish_ends_its_own_connection_alone(
    owner: Owner, asking: NetOwner, folder: Path, rubbish: bytes, eventually: Eventually
) -> None:
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.settimeout(10)
        stranger.connect(str(asking._address))
        stranger.sendall(rubbish)
        stranger.shutdown(socket.SHUT_WR)
        assert stranger.recv(1) == b""
    eventually(lambda: asking.of(folder)(histories(2)) is not None)


def test_what_is_said_arrives(folder: Path) -> None:
    asked = Question(folder, histories(0, 3, 1))
    buffer = BytesIO()
    write_question(buffer, asked)
    write_answer(buffer, None)
    write_answer(buffer, np.arange(12, dtype=np.float32).reshape(2, 3, 2))
    buffer.seek(0)
    heard = read_question(buffer)
    assert heard.revision == folder
    for column in ("offsets", "item", "kind", "occurred_at", "step"):
        mine, theirs = getattr(asked.histories, column), getattr(heard.histories, column)
        np.testing.assert_array_equal(mine, theirs)
        assert mine.dtype == theirs.dtype
    assert heard.histories.n_items == ITEMS
    assert read_answer(buffer) is None
    np.testing.assert_array_equal(read_answer(buffer), np.arange(12).reshape(2, 3, 2))
    with pytest.raises(EOFError):
        read_answer(buffer)


def test_an_owner_whose_pass_does_not_end_is_not_well(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    assert owner.is_well()
    owner._pass_began = time.monotonic()
    assert owner.is_well()
    monkeypatch.setattr(process, "PASS_S", 0.0)
    assert not owner.is_well()


def test_a_folder_whose_name_is_too_long_for_a_socket_is_told(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    with pytest.raises(BadInputError, match="TMPDIR"):
        Owner(long / "owner", CPU)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_tells_what_the_processor_does(folder: Path, here: Callable[[Histories], Float32s]) -> None:
    asked = histories(5, 0, 40, 1)
    np.testing.assert_allclose(NetOnDevice.load(folder, torch.device("cuda")).users(asked), here(asked), atol=1e-3)
