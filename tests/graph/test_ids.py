import pickle
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

from graph.ids import IdMap
from graph.storage.errors import BadInputError


@pytest.mark.parametrize("n", [3, 5_000])
def test_index_of_is_the_inverse_of_externals_of(n: int) -> None:
    ids = IdMap.of(f"id-{index}" for index in range(n))
    index = np.random.default_rng(0).permutation(n)
    names = ids.externals_of(index)
    for form in (names, pa.array(names), np.array(names)):
        found = ids.index_of(form)
        assert found.dtype == np.int32
        assert (found == index).all()


@pytest.mark.parametrize("n", [1, 1_000])
def test_unknown_ids_are_minus_one(n: int) -> None:
    ids = IdMap.of(["a", ""])
    assert (ids.index_of(["b"] * n) == -1).all()
    assert (ids.index_of([""] * n) == 1).all()
    assert (IdMap.of([]).index_of(["b"] * n) == -1).all()


def test_surrogates_have_gaps() -> None:
    ids = IdMap(pa.array(["a", "b"]), np.array([3, 9]))
    assert ids.index_of_surrogate(np.array([9, 3, 4, 0, 10])).tolist() == [1, 0, -1, -1, -1]
    assert IdMap.of([]).index_of_surrogate(np.array([1])).tolist() == [-1]


def test_a_broken_map_is_refused() -> None:
    with pytest.raises(BadInputError, match="ascending"):
        IdMap(pa.array(["a", "b"]), np.array([2, 2]))
    with pytest.raises(BadInputError, match="gaps"):
        IdMap(pa.array(["a", None]), np.array([1, 2]))
    with pytest.raises(BadInputError, match="2 external ids for 1"):
        IdMap(pa.array(["a", "b"]), np.array([1]))


def test_ids_that_share_a_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graph.ids.hash", lambda text: len(text), raising=False)
    names = ["aa", "b", "cc", "ddd"]
    assert IdMap.of(names).index_of([*names, "cc"]).tolist() == [0, 1, 2, 3, 2]


@pytest.mark.parametrize("largest", [2**63 - 1, -(2**63)])
def test_the_largest_and_the_smallest_hash_are_hashes(monkeypatch: pytest.MonkeyPatch, largest: int) -> None:
    monkeypatch.setattr("graph.ids.hash", lambda text: largest if text == "most" else 0, raising=False)
    assert IdMap.of(["b"]).index_of(["most", "b"]).tolist() == [-1, 0]
    assert IdMap.of(["b", "most"]).index_of(["most", "b"]).tolist() == [1, 0]


@pytest.mark.parametrize("n", [3, 5_000])
def test_what_is_found_may_be_written(n: int) -> None:
    """Loops are compiled anew for arrays that may not, however they were looked up."""
    assert IdMap.of(map(str, range(n))).index_of([str(i) for i in range(n)]).flags.writeable


def test_another_process_has_hashes_of_its_own() -> None:
    script = """
import pickle, sys
from graph.ids import IdMap
ids = IdMap.of(["a", "b"])
ids.prepare()
sys.stdout.buffer.write(pickle.dumps(ids))
"""
    there = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, timeout=60)
    assert pickle.loads(there.stdout).index_of(["b", "c", "a"]).tolist() == [1, -1, 0]


@pytest.mark.parametrize("names", [True, False])
def test_what_is_prepared_is_found_as_before(names: bool) -> None:
    ids, prepared = IdMap.of(["b", "a"]), IdMap.of(["b", "a"])
    prepared.prepare(names=names)
    for one in (ids, prepared):
        assert one.index_of(["a", "c", "b"]).tolist() == [1, -1, 0]
        assert one.externals_of(np.array([1, 0])) == ["a", "b"]
