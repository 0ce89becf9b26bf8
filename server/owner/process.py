"""The process that owns the device: takes what all workers ask, and answers it in as few passes as can be.

Nobody waits for a pass to fill. While one runs, questions gather; they are the next one.
"""

import queue
import shutil
import socket
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from functools import reduce
from itertools import groupby
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import numpy as np
import structlog
import torch

from graph.arrays import Float32s
from graph.histories import joined
from graph.storage.cli_errors import explained
from graph.storage.errors import BadInputError
from graph.storage.settings import Settings
from server.logs import set_up_logging
from server.owner.nets import Nets, end_at_once
from server.owner.wire import Question, opened, read_question, write_answer
from server.serving import limit_threads
from training.device import choose_device

PASS_S = 10.0
"""A pass takes milliseconds, the first of a net a second or two."""
BEAT_S = 1.0

log = structlog.get_logger("penchant.server")


class _Asked(NamedTuple):
    question: Question
    answer: "Future[Float32s | None]"


class Owner:
    """Listens on a Unix socket at `address`, in a folder that is our own processes' alone."""

    def __init__(self, address: Path, device: torch.device) -> None:
        """Raises BadInputError where the socket cannot be made."""
        self._nets = Nets(device)
        self._asked: queue.SimpleQueue[_Asked] = queue.SimpleQueue()
        self._pass_began: float | None = None
        """Monotonic seconds; None between two passes."""
        self._is_closed = False
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            address.unlink(missing_ok=True)  # of one that was killed
            self._socket.bind(str(address))
        except OSError as error:
            self._socket.close()
            raise BadInputError(
                f"There can be no socket at {address}: {error}.", hint="Let TMPDIR name a folder with a short name."
            ) from error
        self._socket.listen(64)

    def start(self) -> None:
        for name, work in (("accept", self._accept), ("answer", self._answer_all)):
            threading.Thread(target=work, name=name, daemon=True).start()

    def is_well(self) -> bool:
        """No pass has been under way for too long."""
        began = self._pass_began
        return began is None or time.monotonic() - began < PASS_S

    def close(self) -> None:
        """Takes no more questions. Who waits for an answer is left alone by the end of the process."""
        self._is_closed = True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        try:
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=self._talk, args=(connection,), name="talk", daemon=True).start()
        except Exception as error:  # no more files or threads: a new process has them
            if not self._is_closed:
                end_at_once(error)

    def _talk(self, connection: socket.socket) -> None:
        """A thread a worker, so that one which hangs keeps nobody else waiting."""
        with suppress(EOFError, OSError, ValueError), connection, opened(connection) as both:
            while True:
                asked = _Asked(read_question(both), Future())
                self._asked.put(asked)
                write_answer(both, asked.answer.result())

    def _answer_all(self) -> None:
        """Ends the process at the first error: what a device has left after one is anybody's guess, a new process finds
        it as it was, and until then workers help themselves."""
        try:
            while True:
                asked = [self._asked.get()]
                while not self._asked.empty():
                    asked.append(self._asked.get())
                self._pass_began = time.monotonic()
                self._answer(asked)
                self._pass_began = None
        except BaseException as error:
            end_at_once(error)

    def _answer(self, asked: list[_Asked]) -> None:
        asked.sort(key=lambda each: each.question.revision)
        for revision, same in groupby(asked, key=lambda each: each.question.revision):
            together, net = list(same), self._nets.at(revision)
            if net is None:
                for each in together:
                    each.answer.set_result(None)
                continue
            histories = [each.question.histories for each in together]
            users = net.users(reduce(joined, histories))
            ends = np.cumsum([len(one) for one in histories])[:-1]
            for each, part in zip(together, np.split(users, ends), strict=True):
                each.answer.set_result(part)


def own(told: Connection, settings: Settings, device: str, address: Path) -> None:
    """Owns the device and answers on the socket at `address` until `told` is closed at the other end.

    Sends whether it is there: of `auto` there is nothing to own where there is but the processor. Then sends on as long
    as all is well. Ends with a sentence where there is no such device.
    """
    with explained():
        set_up_logging(settings.log_level)
        limit_threads(settings.threads)
        chosen = choose_device(device)
        if device == "auto" and chosen.type == "cpu":
            told.send(False)
            return
        owner = Owner(address, chosen)
        owner.start()
        log.info("owns the device", device=str(chosen))
        with suppress(EOFError, OSError):
            told.send(True)
            while not told.poll(BEAT_S):
                if owner.is_well():
                    told.send(True)
        owner.close()
        shutil.rmtree(address.parent, ignore_errors=True)  # also where who made it was killed
