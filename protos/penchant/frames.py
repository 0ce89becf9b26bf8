"""Vectors as tables: one row per vector, with the columns id, interest (0, 1, …), weight and vector.

Each function needs the extra of its name: `pip install 'penchant-client[arrow]'`, `[pandas]` or `[polars]`.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from penchant.vectors import Embeddings

try:
    import pyarrow as pa
except ImportError as error:
    raise ImportError("Tables and Parquet need Arrow: pip install 'penchant-client[arrow]'") from error

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped, unused-ignore]  # stubs are not always installed
    import polars as pl


def to_arrow(embeddings: Embeddings) -> Any:
    """A pyarrow.Table; vectors are lists of `dim` float32. Its metadata names revision, vector space and as_of."""
    dim = embeddings.vectors.shape[1]
    starts = np.cumsum(embeddings.counts, dtype=np.int64) - embeddings.counts
    interest = np.arange(len(embeddings.vectors)) - np.repeat(starts, embeddings.counts)
    flat = pa.array(np.ascontiguousarray(embeddings.vectors, np.float32).reshape(-1))
    return pa.table(
        {
            "id": pa.array(np.repeat(np.array(embeddings.ids, object), embeddings.counts), pa.string()),
            "interest": pa.array(interest.astype(np.uint16)),
            "weight": pa.array(embeddings.weights),
            "vector": pa.FixedSizeListArray.from_arrays(flat, dim),
        },
        metadata={
            "penchant.model_version": embeddings.model_version,
            "penchant.vector_space": embeddings.vector_space,
            "penchant.as_of": embeddings.as_of.isoformat(),
        },
    )


def to_pandas(embeddings: Embeddings) -> "pd.DataFrame":
    """A pandas.DataFrame; each cell of `vector` is a numpy array [dim]."""
    frame: pd.DataFrame = to_arrow(embeddings).to_pandas()
    return frame


def to_polars(embeddings: Embeddings) -> "pl.DataFrame":
    """A polars.DataFrame; `vector` is an Array of `dim` Float32."""
    import polars as pl

    frame = pl.from_arrow(to_arrow(embeddings))
    assert isinstance(frame, pl.DataFrame)
    return frame
