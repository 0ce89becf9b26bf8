"""What a server tells of itself: request ids, log lines, metrics, traces, and whether it lives and is ready."""
