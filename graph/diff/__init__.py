"""What changed between two moments of the store: events, catalog, and the graph that they make."""
