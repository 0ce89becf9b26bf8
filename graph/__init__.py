"""Rows in, heterogeneous graph out: the store, ingestion, snapshots as of a time, histories and memories."""
