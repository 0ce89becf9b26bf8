"""Artifact in, answers out over gRPC; also the `penchant` command line that mounts all others."""
