"""Times are int64 microseconds UTC everywhere inside; only the border converts."""

from datetime import UTC, datetime, timedelta

EVER_US = -(2**62)
"""`valid_from` of a catalog version that was always true (a first load without dates)."""
NEVER_US = 2**62
"""A time that does not come, e.g. the retraction of an event that stands."""
SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def now_us() -> int:
    return to_us(datetime.now(UTC))


def to_us(moment: datetime) -> int:
    """Microseconds since 1970. A naive `moment` raises ValueError: guessing a zone would shift events silently."""
    if moment.tzinfo is None:
        raise ValueError("a time without a zone; give one, e.g. 2026-01-31T00:00:00Z")
    return (moment - _EPOCH) // timedelta(microseconds=1)


def to_datetime(us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=us)


def parse_time(text: str) -> int:
    """`2026-01-31` or `2026-01-31T12:00:00Z` to microseconds; no zone means UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return to_us(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def format_time(us: int) -> str:
    return to_datetime(us).isoformat(timespec="seconds").replace("+00:00", "Z") if abs(us) < EVER_US * -1 else "ever"
