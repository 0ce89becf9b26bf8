"""What an answer says of the history that it is based on."""

from typing import Any

from server.convert import timestamp
from server.engine import Past


def history_of(past: Past) -> dict[str, Any]:
    """The fields of an answer about one user. Of whom nothing is known it is not said as of when."""
    is_read = bool(past.is_known[0]) or not past.is_stale
    return {
        "history_events": past.events[0],
        "history_as_of": timestamp(past.as_of_us) if is_read else None,
        "history_stale": past.is_stale,
    }
