"""Client of penchant: what every user of a shop is interested in, over gRPC."""

__version__ = "0.1.0"
