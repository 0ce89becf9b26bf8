"""Ablations and alternatives, by name: the model with one thing changed.

no-graph gru loss:bpr            the net is trained again
no-memory:follows no-ranker      the net of the same seed is kept, what uses it is learned anew
dim=64,ema=0.99                  any setting of the net
no-graph+no-ranker               several of these at once
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, get_args

from graph.storage.errors import BadInputError
from training.config import NetConfig, Sizes, default_config
from training.leave_out import ALL_MEMORIES, NOTHING, LeaveOut
from training.memories_fit import RECIPES
from training.mixture import NET
from training.net_settings import parse_settings


@dataclass(frozen=True)
class Variant:
    """`net`: changes of the net's config; `leave_out`: parts of the mixture."""

    net: Mapping[str, Any] = field(default_factory=dict)
    leave_out: LeaveOut = NOTHING

    def __add__(self, other: "Variant") -> "Variant":
        ours, theirs = self.leave_out, other.leave_out
        both = LeaveOut(
            ours.sources | theirs.sources,
            ours.gate_features or theirs.gate_features,
            ours.ranker or theirs.ranker,
        )
        return Variant({**self.net, **other.net}, both)


def _without(*sources: str) -> Variant:
    return Variant(leave_out=LeaveOut(sources=frozenset(sources)))


VARIANTS: dict[str, Variant] = {
    # of the net
    "no-graph": Variant({"graph_encoder": "none"}),
    "users-in-graph": Variant({"relations": ("neighbours", "shared_user")}),
    "no-sequence": Variant({"sequence_encoder": "mean"}),
    "gru": Variant({"sequence_encoder": "gru"}),
    "lstm": Variant({"sequence_encoder": "lstm"}),
    "cnn": Variant({"sequence_encoder": "cnn"}),
    "no-categories": Variant({"categories": False, "category_loss": 0.0}),
    "flat-categories": Variant({"hierarchy": False}),
    "no-category-loss": Variant({"category_loss": 0.0}),
    "category-loss": Variant({"category_loss": 0.2}),
    "no-gaps": Variant({"gaps": False}),
    "no-kinds": Variant({"kinds": False}),
    "no-places": Variant({"places": False}),
    "interests-4": Variant({"interests": 4}),
    "popular-negatives": Variant({"popular_negatives": 0.5}),
    "uniform-negatives": Variant({"popular_negatives": 0.0}),
    # of what is learned over it
    "no-net": _without(NET),
    "no-memories": _without(ALL_MEMORIES),
    "net-alone": Variant(leave_out=LeaveOut(frozenset({ALL_MEMORIES}), gate_features=True, ranker=True)),
    "constant-gate": Variant(leave_out=LeaveOut(gate_features=True)),
    "no-ranker": Variant(leave_out=LeaveOut(ranker=True)),
}


def _options(name: str) -> tuple[str, ...]:
    """What a setting of the net can be, as its annotation says."""
    annotation = NetConfig.model_fields[name].annotation
    options = get_args(annotation)
    inner = get_args(options[0]) if options else ()
    return inner or options


FAMILIES: dict[str, tuple[tuple[str, ...], Callable[[str], Variant]]] = {
    "no-memory": ((*RECIPES, "repeats"), _without),
    "graph": (_options("graph_encoder"), lambda name: Variant({"graph_encoder": name})),
    "relation": (_options("relations"), lambda name: Variant({"relations": (name,)})),
    "sequence": (_options("sequence_encoder"), lambda name: Variant({"sequence_encoder": name})),
    "loss": (_options("loss"), lambda name: Variant({"loss": name})),
}
"""Written `family:name`; what names there are."""


def variant_of(text: str) -> Variant:
    """The variant that a name says, several joined by `+`. Raises BadInputError."""
    return reduce(Variant.__add__, (_one(part.strip()) for part in text.split("+")), Variant())


def all_variants() -> list[str]:
    """Every name that changes the default, each change once."""
    found = {repr(variant): name for name, variant in VARIANTS.items()}
    for family, (names, variant) in FAMILIES.items():
        for name in names:
            if not _is_default(variant(name)):
                found.setdefault(repr(variant(name)), f"{family}:{name}")
    return list(found.values())


def _is_default(variant: Variant) -> bool:
    """Whether it changes nothing on any data: what a rule decides by sizes may be something else."""
    default, by_rule = NetConfig(), default_config(Sizes(users=1, items=1, events=1, steps=1)).model_fields_set
    same = all(getattr(default, name) == value and name not in by_rule for name, value in variant.net.items())
    return variant.leave_out == NOTHING and same


def _one(text: str) -> Variant:
    if text in VARIANTS:
        return VARIANTS[text]
    if "=" in text:
        return Variant(parse_settings(_assignments(text)))
    family, _, name = text.partition(":")
    if family not in FAMILIES:
        known = ", ".join([*VARIANTS, *(f"{family}:NAME" for family in FAMILIES)])
        raise BadInputError(f"No variant is called {text!r}.", hint=f"There are {known}, or name a setting: dim=64.")
    names, variant = FAMILIES[family]
    if name not in names:
        raise BadInputError(f"No {family} is called {name!r}.", hint=f"There are {', '.join(names)}.")
    return variant(name)


def _assignments(text: str) -> list[str]:
    """`dim=64,relations=forward,backward`: what has no sign of its own belongs to the one before."""
    parts: list[str] = []
    for part in text.split(","):
        if "=" in part or not parts:
            parts.append(part)
        else:
            parts[-1] += f",{part}"
    return parts
