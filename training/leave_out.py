"""What an ablation does without: parts of the mixture, none of which the net has to be trained again for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from graph.storage.errors import BadInputError
from training.memories import Memory
from training.mixture import NET, Mixture

ALL_MEMORIES = "memories"


@dataclass(frozen=True)
class LeaveOut:
    """`sources`: names of memories, ALL_MEMORIES, or NET. `gate_features`: the gate weighs sources alike for all users.

    `ranker`: the order is the mixture's own.
    """

    sources: frozenset[str] = frozenset()
    gate_features: bool = False
    ranker: bool = False

    def memories_of(self, choose: Callable[[], Sequence[Memory]]) -> tuple[Memory, ...]:
        """Of those that `choose` counts the ones that stay; nothing is counted where none do.

        Raises BadInputError for one that is not there to be left out.
        """
        if ALL_MEMORIES in self.sources:
            return ()
        memories = choose()
        named = self.sources - {NET}
        missing = sorted(named - {memory.name for memory in memories})
        if missing:
            raise BadInputError(
                f"There is no memory {missing[0]!r} to leave out.",
                hint=f"On this data there are {', '.join(memory.name for memory in memories) or 'none'}.",
            )
        return tuple(memory for memory in memories if memory.name not in named)

    def silenced(self, mixture: Mixture) -> Mixture:
        """The mixture, in which the net finds all items equally likely if it is left out."""
        if NET not in self.sources:
            return mixture
        nothing = np.zeros_like(mixture.net.vectors)
        facts = replace(mixture.facts, vectors=nothing)
        return replace(mixture, net=replace(mixture.net, vectors=nothing, prior=None), facts=facts)


NOTHING = LeaveOut()
