"""The relational layer, lowest of all: tables, transactions, bulk reads and writes. Knows no torch and no gRPC."""
