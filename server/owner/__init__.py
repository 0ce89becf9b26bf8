"""A device such as a GPU belongs to one process, and all that serve ask it for users' vectors.

A worker sends the histories of a batch over a Unix socket (ask.py); the owner takes whatever has come from all of them
while it was busy, and encodes it in one pass (process.py) with nets that stay on the device (nets.py). Nobody depends
on it: a worker that gets no answer encodes the batch by itself, with the same weights.
"""
