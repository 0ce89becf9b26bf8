"""Ids for events whose source has none: made from the content, so that loading a file again adds nothing."""

from hashlib import blake2b

import numpy as np
import polars as pl

_TEXTS = ("user", "item", "kind", "context", "session_key", "retracts")
_NUMBERS = ("occurred_at", "sequence")


class EventIds:
    """Gives ids over a whole load, batch after batch.

    id = hash(source, user, item, kind, time, value, context, session, sequence, retracts, n): rows equal in all of it
    are told apart by their number n among their equals, counted over the load and not over a batch, whose borders are
    accidental. Keeps 12 bytes for each row seen.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._keys = np.empty(0, np.uint64)  # sorted
        self._counts = np.empty(0, np.int32)

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
        digests = [blake2b(key.encode(), digest_size=16).digest() for key in self._contents(frame)]
        keys = np.frombuffer(b"".join(digests), np.uint64)[::2]
        numbers = self._number(keys)
        ids = [digest.hex() for digest in digests]
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
        return frame.select(pl.concat_str(parts, separator=":")).to_series().to_list()

    def _number(self, keys: np.ndarray) -> np.ndarray:
        """For each key, how many equal ones came before it in this load."""
        unique, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
        order = np.argsort(inverse, kind="stable")
        starts = np.repeat(np.cumsum(counts) - counts, counts)
        within = np.empty(len(keys), np.int64)
        within[order] = np.arange(len(keys)) - starts

        place = np.searchsorted(self._keys, unique)
        found = np.zeros(len(unique), bool)
        inside = place < len(self._keys)
        found[inside] = self._keys[place[inside]] == unique[inside]
        before = np.zeros(len(unique), np.int64)
        before[found] = self._counts[place[found]]

        self._counts[place[found]] += counts[found].astype(np.int32)
        self._keys = np.insert(self._keys, place[~found], unique[~found])
        self._counts = np.insert(self._counts, place[~found], counts[~found].astype(np.int32))
        numbered: np.ndarray = within + before[inverse]
        return numbered
