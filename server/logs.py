"""One JSON line per thing worth knowing, on standard error: standard output says the server's address, once.

Whoever starts the server reads that address from a pipe and then reads no more, so nothing else may go there. A line
that is written for a call, in whichever thread, names its request id, and its trace where one is kept.
"""

import contextlib
import logging
import sys

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from graph.storage.errors import PenchantError
from server.watch.call import current_call


def set_up_logging(level: str) -> None:
    """`level` as Python's logging names it. Warnings of libraries, which use that, become lines of the same kind."""
    structlog.configure(
        processors=[*_SHARED, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=lambda *_: _StandardError(),
    )
    as_lines = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_logger_name, *_SHARED],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, structlog.processors.JSONRenderer()],
    )
    of_libraries = _Lines(logging.WARNING)
    of_libraries.setFormatter(as_lines)
    of_libraries.addFilter(_is_worth_a_line)
    root = logging.getLogger()
    for before in [each for each in root.handlers if isinstance(each, _Lines)]:
        root.removeHandler(before)
    root.addHandler(of_libraries)


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    """A caller who leaves while the answer is on its way is no error, though gRPC says so where it hears of it late."""
    return not (record.name.startswith("grpc.") and str(record.msg).startswith("ExecuteBatchError"))


def _name_call(logger: WrappedLogger, method: str, line: EventDict) -> EventDict:
    if (call := current_call()) is not None:
        line.setdefault("request_id", call.request_id)
        if call.trace_id:
            line["trace_id"] = call.trace_id
    return line


_SHARED: tuple[Processor, ...] = (
    _name_call,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso"),
    structlog.processors.format_exc_info,
)


class Trouble:
    """What goes on failing until it works again is said twice: when it begins, or is another, and when it is over."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._said = ""
        self._log = structlog.get_logger("penchant.server")

    def happened(self, error: Exception) -> None:
        if str(error) != self._said:
            trace = None if isinstance(error, PenchantError) else error  # ours say it all in a sentence
            self._log.warning(f"cannot {self._what}", message=str(error), exc_info=trace)
        self._said = str(error)

    def is_over(self) -> None:
        if self._said:
            self._log.info(f"can {self._what} again")
        self._said = ""


class _StandardError:
    """Where nobody takes the lines any more, the server goes on answering without them."""

    def msg(self, line: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # a pipe that broke, a file that was closed
            sys.stderr.write(line + "\n")
            sys.stderr.flush()

    debug = info = warning = error = critical = msg


class _Lines(logging.Handler):
    """What libraries say through Python's own logging."""

    def emit(self, record: logging.LogRecord) -> None:
        _StandardError().msg(self.format(record))
