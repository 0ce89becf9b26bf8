"""Revisions are activated back and forth while eight callers never pause: what they get, and what is left after it."""

import gc
import shutil
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from penchant.client import PenchantClient

from server.loaded import KEPT

if TYPE_CHECKING:
    from tests.server.conftest import Running, World

VERSIONS = ("m1.2", "m1.3", "m1.1")
USERS = [f"u{n}" for n in range(8)]
ITEMS = [f"i{n}" for n in range(60)]
Scores = dict[tuple[str, str], dict[str, float]]


def activate(running: "Running", version: str, eventually: Any) -> None:
    running.client.activate_model(version, force=True, reason="a test")
    eventually(lambda: running.client.get_server_info().model_version == version)


@pytest.mark.timeout(180)
def test_no_call_fails_no_answer_mixes_two_revisions_and_old_ones_die(
    run: Callable[..., "Running"], eventually: Any, publish_as: Callable[["World", str, str], None]
) -> None:
    running = run(patience_ms=60_000)  # a busy machine is no reason to send anybody away
    shutil.rmtree(running.world.artifacts / "m1.3")
    publish_as(running.world, "m1.2", "m1.3")
    alone: Scores = {}
    for version in VERSIONS:
        activate(running, version, eventually)
        for user in USERS:
            alone[version, user] = {each.item: each.score for each in running.client.score(user, ITEMS).scores}
    assert alone["m1.1", "u0"] != alone["m1.2", "u0"]
    as_of = {each.version: each.as_of for model in running.client.list_models() for each in model.revisions}
    stopping, problems = threading.Event(), list[Any]()
    seen: list[set[str]] = [set() for _ in USERS]

    def check(user: str, answer: Any, rows: Any) -> None:
        right = alone[answer.model_version, user]
        problems.extend(row for row in rows if row.score != pytest.approx(right[row.item], rel=1e-5))
        if answer.as_of.seconds != as_of[answer.model_version].seconds and answer.model_version != "m1.3":
            problems.append(answer)

    def ask(number: int) -> None:
        with PenchantClient(running.target, deadline_ms=60_000, retries=0) as client:
            while not stopping.is_set():
                user = USERS[number]
                try:
                    scored, best = client.score(user, ITEMS), client.recommend(user, 5)
                except Exception as error:
                    problems.append(error)
                    return
                check(user, scored, scored.scores)
                check(user, best, best.items)
                seen[number] |= {scored.model_version, best.model_version}

    running.client.recommend("u60", 1)  # and never again: what is kept of a user must keep no revision
    revisions = [weakref.ref(running.app._models.current().revision)]
    callers = [threading.Thread(target=ask, args=(number,)) for number in range(len(USERS))]
    for caller in callers:
        caller.start()
    for version in (*VERSIONS, "m1.2"):
        activate(running, version, eventually)
        revisions.append(weakref.ref(running.app._models.current().revision))
        # Whoever asks from now on is answered by it: so every caller gets to see every revision.
        eventually(lambda version=version: problems or all(version in mine for mine in seen))
    stopping.set()
    for caller in callers:
        caller.join()
    assert problems == []
    assert all(mine == set(VERSIONS) for mine in seen)

    # What answers and, for its tokens, what answered before: all that was loaded besides is gone.
    assert KEPT == 2
    assert list(running.app._models._loaded.engines) == ["m1.1", "m1.2"]
    running.client.recommend("u0", 1)  # the thread that answers lets go of a question when the next one comes

    def alive() -> int:
        gc.collect()
        return sum(revision() is not None for revision in revisions)

    eventually(lambda: alive() == KEPT)
