"""What a worker asks the owner of the device, and how it does without."""

import socket
import threading
import time
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO

from graph.arrays import Float32s
from graph.histories import Histories
from graph.storage.errors import PenchantError
from server.logs import Trouble
from server.owner.wire import Question, opened, read_answer, write_question
from training.mixture_net import UsersFrom

PATIENCE_S = 0.5
"""A pass takes milliseconds. Who waits longer waits for a process that hangs."""
AGAIN_S, AGAIN_AT_MOST_S = 1.0, 30.0
"""How soon an owner that did not answer is asked again, ever more slowly: a whole batch waits for PATIENCE_S."""


class NetOwner:
    """Threads may share it: they ask one after the other. `told`, `untold`: how often it answered, and did not."""

    def __init__(self, address: Path) -> None:
        self._address = address
        self._lock = threading.Lock()
        self._opened = ExitStack()
        self._both: BinaryIO | None = None
        self._again_at = 0.0
        self._again_after_s = AGAIN_S
        self._trouble = Trouble("ask the owner of the device")
        self.told = self.untold = 0

    def of(self, revision: Path) -> UsersFrom:
        """By the revision in a folder."""
        return partial(self._users, revision.absolute())

    def close(self) -> None:
        with self._lock:
            self._hang_up()

    def _users(self, revision: Path, histories: Histories) -> Float32s | None:
        with self._lock:
            users = self._ask(Question(revision, histories)) if time.monotonic() >= self._again_at else None
            if users is None:
                self.untold += 1
            else:
                self.told += 1
        return users

    def _ask(self, question: Question) -> Float32s | None:
        try:
            both = self._both or self._open()
            write_question(both, question)
            users = read_answer(both)
        except (OSError, EOFError, ValueError) as error:
            self._hang_up()  # an answer that comes too late would be taken for that of the next question
            self._again_at = time.monotonic() + self._again_after_s
            self._again_after_s = min(2 * self._again_after_s, AGAIN_AT_MOST_S)
            self._trouble.happened(PenchantError(f"{type(error).__name__}: {error}"))
            return None
        self._again_after_s = AGAIN_S
        self._trouble.is_over()
        return users

    def _open(self) -> BinaryIO:
        connection = self._opened.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        connection.settimeout(PATIENCE_S)
        connection.connect(str(self._address))
        self._both = self._opened.enter_context(opened(connection))
        return self._both

    def _hang_up(self) -> None:
        self._both = None
        with suppress(OSError):  # what was not sent yet is not sent any more
            self._opened.close()
