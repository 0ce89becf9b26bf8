"""What items have as an attribute, read from the catalog's JSON once, and what kind of feature it can be."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, get_args
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow as pa

from graph.catalog import Catalog
from graph.snapshot import Snapshot

Kind = Literal["number", "label", "text", "vector"]
KINDS: tuple[Kind, ...] = get_args(Kind)
NAME = "name"
"""The item's name in the catalog, unless it has an attribute called so."""
MOST_LABELS = 128
"""Strings of more values are text. What has thousands (a brand, an author) is better a category in the mapping."""
ITEMS_A_LABEL = 5
_MOSTLY = 0.9
_LARGEST = float(np.finfo(np.float32).max)
"""Larger numbers are mistakes: their squares overflow, and one of them would leave a feature without a scale."""

Values = Sequence[Any]
"""One an item: None, a number, a string, a list of strings, or a float32 array (a list of numbers)."""
_READ: WeakKeyDictionary[Catalog, dict[str, Values]] = WeakKeyDictionary()


def split_name(feature: str) -> tuple[str, Kind | None]:
    """`title:text` is the attribute `title` read as text; without a kind, the values tell."""
    name, _, kind = feature.rpartition(":")
    return (name, kind) if name and kind in KINDS else (feature, None)


def values_of(snapshot: Snapshot, names: Sequence[str]) -> list[Values]:
    """The values [I] of each of the attributes. A catalog is read once for all that ask for the same names."""
    read = _READ.setdefault(snapshot.catalog, {})
    missing = [name for name in names if name not in read]
    if missing:
        coded = snapshot.item_attributes.dictionary_encode()
        found: dict[str, list[Any]] = {name: [] for name in missing}
        for attributes in _objects(coded.dictionary):
            for name in missing:
                found[name].append(_plain(attributes.get(name)))
        place = np.asarray(coded.indices).tolist()
        for name in missing:
            read[name] = [found[name][p] for p in place]
            if name == NAME and all(value is None for value in found[name]):
                read[name] = [text or None for text in snapshot.item_names.to_pylist()]
    return [read[name] for name in names]


def kind_of(values: Values) -> Kind | None:
    """What the values are read as, None where there are none.

    Lists of numbers are vectors, what is mostly numbers (text that is a number counts) are numbers, strings of few
    values and lists of strings are labels, all other strings text.
    """
    present = [value for value in values if value is not None]
    if not present:
        return None
    if _share(isinstance(value, np.ndarray) for value in present) >= _MOSTLY:
        return "vector"
    if _share(math.isfinite(number_of(value)) for value in present) >= _MOSTLY:
        return "number"
    counts = Counter(label for value in present for label in labels_of(value))
    few = len(counts) <= min(MOST_LABELS, len(present) / ITEMS_A_LABEL)
    return "label" if few or any(isinstance(value, list) for value in present) else "text"


def described(snapshot: Snapshot) -> list[str]:
    """Every attribute and its kind, those of most items first, for a message: `price (number)`."""
    coded = snapshot.item_attributes.dictionary_encode()
    items = np.bincount(np.asarray(coded.indices), minlength=len(coded.dictionary))
    found: Counter[str] = Counter()
    for attributes, n in zip(_objects(coded.dictionary), items.tolist(), strict=True):
        found.update(dict.fromkeys((name for name, value in attributes.items() if value is not None), n))
    names = [name for name, _ in found.most_common()]
    if any(snapshot.item_names.to_pylist()) and NAME not in names:
        names.append(NAME)
    kinds = [kind_of(values) for values in values_of(snapshot, names)]
    return [f"{name} ({kind})" for name, kind in zip(names, kinds, strict=True) if kind]


def number_of(value: Any) -> float:
    """NaN for what is no number or beyond the range of float32, the net's; true and false are no numbers."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return math.nan
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return math.nan
    return number if abs(number) <= _LARGEST else math.nan


def labels_of(value: Any) -> list[str]:
    """`red`, 4 and true are one label each, a list of strings several."""
    if isinstance(value, np.ndarray):
        return []
    texts = value if isinstance(value, list) else [] if value is None else [value]
    return [text for text in (str(one).strip() for one in texts) if text]


def text_of(value: Any) -> str:
    return " ".join(labels_of(value))


def _plain(value: Any) -> Any:
    """A list of numbers becomes an array at once: as Python objects the vectors of a catalog take ten times as much."""
    if isinstance(value, str) and value.startswith("[") and value.endswith("]"):
        value = _listed(value)
    if isinstance(value, list):
        if any(map(_is_number, value)) and all(one is None or _is_number(one) for one in value):
            with np.errstate(over="ignore"):
                return np.array([number_of(one) for one in value], np.float64).astype(np.float32)
        return [one for one in value if isinstance(one, str | int | float | bool)]
    return value if isinstance(value, str | int | float | bool) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _listed(text: str) -> Any:
    """CSV has no lists: `[0.1, 0.2]` is one that came as text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _share(flags: Iterable[bool]) -> float:
    listed = list(flags)
    return float(sum(listed) / len(listed))


def _objects(texts: pa.StringArray) -> Iterator[dict[str, Any]]:
    return (json.loads(text or "{}") for text in texts.to_pylist())
