"""How far ahead a probability looks."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Horizon:
    """`days` None: the user's next event. `kind`: events of this kind alone; None: any that speaks of interest."""

    days: float | None = None
    kind: str | None = None

    def __str__(self) -> str:
        if self.days is None:
            return "next event"
        return f"{self.kind or 'any event'} within {self.days:g} days"


NEXT_EVENT = Horizon()
