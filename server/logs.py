"""One JSON line per thing worth knowing, on standard error: standard output says the server's address, once.

Whoever starts the server reads that address from a pipe and then reads no more, so nothing else may go there.
"""

import contextlib
import logging
import sys

import structlog


def set_up_logging(level: str) -> None:
    """`level` as Python's logging names it."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=lambda *_: _StandardError(),
    )


class _StandardError:
    """Where nobody takes the lines any more, the server goes on answering without them."""

    def msg(self, line: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # a pipe that broke, a file that was closed
            sys.stderr.write(line + "\n")
            sys.stderr.flush()

    debug = info = warning = error = critical = msg
