"""Memories, read straight off histories: what follows what, what goes together, what a user repeats, what is popular.

Item-item memories are CSR `[items, items]`, never negative: row = the known item, column = the item that it speaks for.
"""
