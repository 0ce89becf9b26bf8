"""pyarrow, or an error that says how to get it."""

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError as error:
    raise ImportError("Tables and Parquet need Arrow: pip install 'penchant-client[arrow]'") from error

__all__ = ["pa", "pq"]
