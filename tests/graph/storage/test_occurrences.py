"""Counting with most of the counts on disk is counting, wherever batches and runs end."""

import os
from collections import Counter
from unittest.mock import patch

import numpy as np
import psutil
from hypothesis import given
from hypothesis import strategies as st

from graph.storage import occurrences
from graph.storage.occurrences import Occurrences

KEYS = st.integers(0, 6) | st.sampled_from([2**63, 2**64 - 1])


@given(batches=st.lists(st.lists(KEYS, max_size=12), max_size=12), run_keys=st.integers(1, 8))
def test_every_key_is_numbered_among_its_equals(batches: list[list[int]], run_keys: int) -> None:
    seen: Counter[int] = Counter()
    with patch.object(occurrences, "RUN_KEYS", run_keys):
        counted = Occurrences()
        for batch in batches:
            expected = []
            for key in batch:
                expected.append(seen[key])
                seen[key] += 1
            assert counted.number(np.array(batch, np.uint64)).tolist() == expected


def test_memory_stays_flat_while_the_file_grows() -> None:
    random = np.random.default_rng(0)
    process = psutil.Process(os.getpid())
    counted, resident = Occurrences(), []
    with patch.object(occurrences, "RUN_KEYS", 1 << 16):
        for _ in range(60):
            counted.number(random.integers(0, 2**63, 1 << 16, dtype=np.uint64))
            resident.append(process.memory_info().rss)
    written = 12 * 60 * (1 << 16)
    assert max(resident[30:]) - max(resident[:30]) < written / 10
