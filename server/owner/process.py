"""The process that owns the device: takes what all workers ask, and answers it in as few passes as can be.

Nobody waits for a pass to fill. While one runs, questions gather; they are the next one.
"""

import os
import queue
import socket
import threading
from concurrent.futures import Future
from contextlib import suppress
from functools import reduce
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
import structlog
import torch

from graph.arrays import Float32s
from graph.histories import joined
from server.owner.nets import Nets
from server.owner.wire import Question, opened, read_question, write_answer

log = structlog.get_logger("penchant.server")


class _Asked(NamedTuple):
    question: Question
    answer: "Future[Float32s | None]"


class Owner:
    """Listens on a Unix socket at `address`, in a folder that is our own processes' alone."""

    def __init__(self, address: Path, device: torch.device) -> None:
        """Raises OSError where the socket cannot be made."""
        self._nets = Nets(device)
        self._asked: queue.SimpleQueue[_Asked] = queue.SimpleQueue()
        address.unlink(missing_ok=True)  # of one that was killed
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(address))
        self._socket.listen(64)

    def start(self) -> None:
        for name, work in (("accept", self._accept), ("answer", self._answer_all)):
            threading.Thread(target=work, name=name, daemon=True).start()

    def close(self) -> None:
        """Takes no more questions. Who waits for an answer is left alone by the end of the process."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        with suppress(OSError):  # it is closed
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=self._talk, args=(connection,), name="talk", daemon=True).start()

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
                self._answer(asked)
        except BaseException as error:
            log.error("the owner of the device ends", exc_info=error)
            os._exit(1)

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
