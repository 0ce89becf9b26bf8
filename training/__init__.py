"""Graph in, artifact out: model, fit, gate, refresh, segments, evaluation."""

import os

# A training step allocates and frees hundreds of megabytes. On huge pages (Linux) the system hands them out at once: a
# training step takes half the time, and what is freed is not kept. PyTorch reads this once, when it is loaded.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
