"""Files that are read again when they have changed, as keys and certificates are renewed under a running server."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import structlog

from graph.storage.errors import BadInputError

T = TypeVar("T")

log = structlog.get_logger("penchant.server")


class Watched(Generic[T]):
    """What `read` makes of the files, which raises BadInputError; so does the first reading.

    Later a content that cannot be used leaves the one before in force, and an error in the log: a file that is just
    being replaced must not lock out everybody, nor let anybody in.
    """

    def __init__(self, paths: Sequence[Path], read: Callable[[], T]) -> None:
        self._paths, self._read = paths, read
        self._state = self._look()
        self.content = read()

    def renew(self) -> bool:
        """Whether there is a new content. Costs one look at each file where nothing has changed."""
        state = self._look()
        if state == self._state:
            return False
        self._state = state  # first, so that one broken file is one line in the log
        files = [str(path) for path in self._paths]
        try:
            self.content = self._read()
        except BadInputError as error:
            log.error("changed files cannot be used, the content before stays", files=files, message=str(error))
            return False
        log.info("read again", files=files)
        return True

    def _look(self) -> list[tuple[int, int, int] | None]:
        """Not the time alone: a file that replaces another may be older."""
        return [_state(path) for path in self._paths]


def read_bytes(path: Path) -> bytes:
    """Raises BadInputError where the file cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInputError(
            f"{path} cannot be read: {error.strerror}.", hint="Check its name and its rights."
        ) from error


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
