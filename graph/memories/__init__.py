"""Memories: sparse distributions read straight off histories. What follows what, what goes together, what this user repeats,
what is popular. Item-item memories are CSR `[items, items]`, row = known item, column = item it speaks for, never negative."""
