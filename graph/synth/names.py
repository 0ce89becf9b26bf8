"""External ids of a made-up shop: a letter and a number of as many digits as the largest one has."""

import polars as pl


def ids(letter: str, n: int) -> pl.Series:
    """The ids of n things, e.g. u000 … u999."""
    number = pl.int_range(n, dtype=pl.Int64, eager=True).cast(pl.String).str.zfill(len(str(n - 1)))
    return letter + number
