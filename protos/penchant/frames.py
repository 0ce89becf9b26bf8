"""Answers as tables, with the columns of penchant.columns: scores, recommendations, neighbours, vectors, members.

Each function needs the extra of its name: `pip install 'penchant-client[arrow]'`, `[pandas]` or `[polars]`.
"""

from datetime import UTC
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from penchant.arrow import pa
from penchant.columns import Result, to_columns
from penchant.v1.interest_pb2 import RecommendResponse, ScoreResponse
from penchant.v1.similarity_pb2 import FindSimilarResponse
from penchant.vectors import Embeddings

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped, unused-ignore]  # stubs are not always installed
    import polars as pl

_SHARES = pa.list_(pa.struct([("source", pa.string()), ("share", pa.float64())]))


def to_arrow(result: Result) -> Any:
    """A pyarrow.Table; vectors are lists of `dim` float32, what is not known is null.

    The metadata of the schema names the revision and what it knows, where `result` says so (members do not).
    """
    table = pa.table({name: _column(name, values) for name, values in to_columns(result).items()})
    return table.replace_schema_metadata(_metadata(result))


def to_pandas(result: Result) -> "pd.DataFrame":
    """A pandas.DataFrame; each cell of `vector` is a numpy array [dim]."""
    frame: pd.DataFrame = to_arrow(result).to_pandas()
    return frame


def to_polars(result: Result) -> "pl.DataFrame":
    """A polars.DataFrame; `vector` is an Array of `dim` Float32."""
    import polars as pl

    frame = pl.from_arrow(to_arrow(result))
    assert isinstance(frame, pl.DataFrame)
    return frame


def _column(name: str, values: NDArray[Any]) -> Any:
    if values.ndim == 2:
        return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])
    if values.dtype == object:
        return pa.array(values.tolist(), _SHARES if name == "contributions" else pa.string())
    nothing = np.isnan(values) if values.dtype.kind == "f" else None
    return pa.array(values, mask=nothing)


def _metadata(result: Result) -> dict[str, str]:
    if isinstance(result, Embeddings):
        as_of = result.as_of
    elif isinstance(result, ScoreResponse | RecommendResponse | FindSimilarResponse):
        as_of = result.as_of.ToDatetime(tzinfo=UTC)
    else:
        return {}
    metadata = {"penchant.model_version": result.model_version, "penchant.as_of": as_of.isoformat()}
    if isinstance(result, Embeddings | FindSimilarResponse):
        metadata["penchant.vector_space"] = result.vector_space
    return metadata
