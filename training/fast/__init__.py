"""The whole model for a few users at once, in compiled loops: what a server asks, thousands of times a second.

`training.mixture` says what the answer is; this says the same of the items that matter, and is held to it by tests.
"""
