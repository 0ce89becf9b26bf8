"""A caller: who it is, what it may do, how often, and until when."""

from dataclasses import dataclass

from server.auth.scopes import Scope


@dataclass(frozen=True, slots=True)
class Caller:
    name: str
    """Such as "key:web" or "jwt:alice"."""
    scopes: frozenset[Scope]
    until: float
    """Seconds since 1970 at which the credentials end, infinite where they do not."""
    rate: float | None = None
    """Calls per second, 0 for as many as come; None where the setting holds."""
