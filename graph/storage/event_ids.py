"""Ids for events whose source has none: made from the content, so that loading a file again adds nothing."""

from collections.abc import Iterable, Iterator
from hashlib import blake2b

import numpy as np
import polars as pl

from graph.storage.occurrences import Occurrences

_TEXTS = ("user", "item", "kind", "context", "session_key", "retracts")
_NUMBERS = ("occurred_at", "sequence")


class EventIds:
    """Gives ids over a whole load, batch after batch.

    id = hash(source, user, item, kind, time, value, context, session, sequence, retracts, n): rows equal in all of it
    are told apart by their number n among their equals, counted over the load and not over a batch, whose borders are
    accidental. Memory stays flat (see occurrences.py).
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._seen = Occurrences()

    def fill(self, frame: pl.DataFrame) -> pl.DataFrame:
        """`frame` (columns as in columns.EVENTS) with every null `event_id` filled."""
        missing = frame["event_id"].is_null()
        if not missing.any():
            return frame
        ids = self._ids(frame.filter(missing))
        filled = frame["event_id"].to_numpy(writable=True) if not missing.all() else np.empty(len(frame), object)
        filled[missing.to_numpy()] = ids
        return frame.with_columns(pl.Series("event_id", filled, pl.String))

    def _ids(self, frame: pl.DataFrame) -> list[str]:
        digests = list(_digests(self._contents(frame)))
        joined = b"".join(digests)
        numbers = self._seen.number(np.frombuffer(joined, np.uint64)[::2])
        ids = joined.hex("\n", 16).split("\n")
        for row in np.flatnonzero(numbers):
            ids[row] = blake2b(digests[row] + int(numbers[row]).to_bytes(8, "little"), digest_size=16).hexdigest()
        return ids

    def _contents(self, frame: pl.DataFrame) -> list[str]:
        """One text a row; lengths stand before texts, so that no separator inside one can make two rows look equal."""
        parts: list[pl.Expr] = [pl.lit(self._source)]
        for name in _TEXTS:
            text = pl.col(name)
            parts += [text.str.len_bytes().cast(pl.String).fill_null("-"), text.fill_null("")]
        parts += [pl.col(name).cast(pl.String).fill_null("-") for name in _NUMBERS]
        # The bits of the number: how a float is written as text may change between versions. + 0.0 makes -0.0 a 0.0.
        parts.append((pl.col("value") + 0.0).reinterpret(signed=True).cast(pl.String).fill_null("-"))
        return frame.select(pl.concat_str(_settled(frame, parts), separator=":")).to_series().to_list()


def _digests(texts: Iterable[str]) -> Iterator[bytes]:
    """blake2b-128 of each text. Copying a hash that has read nothing is three times as fast as making one."""
    fresh = blake2b(digest_size=16)
    for text in texts:
        one = fresh.copy()
        one.update(text.encode())
        yield one.digest()


def _settled(frame: pl.DataFrame, parts: list[pl.Expr]) -> list[pl.Expr]:
    """The same parts, those over columns without any value worked out once: most sources fill half of the columns."""
    empty = pl.DataFrame({name: [None] for name in frame.columns}, schema=frame.schema)
    nothing = {name for name in frame.columns if frame[name].null_count() == len(frame)}
    settled: list[pl.Expr | str] = []
    for part in parts:
        if not set(part.meta.root_names()) <= nothing:
            settled.append(part)
            continue
        text = empty.select(part).item()
        settled[-1:] = [f"{settled[-1]}:{text}"] if settled and isinstance(settled[-1], str) else [*settled[-1:], text]
    return [pl.lit(part) if isinstance(part, str) else part for part in settled]
