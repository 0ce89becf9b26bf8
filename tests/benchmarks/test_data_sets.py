"""Data sets by name or by mapping file; where their files lie, and what to do where that is not known."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.quality.data_sets import DATA_SETS, data_set_of
from graph.ingest.mapping import load_mapping
from graph.storage.errors import BadInputError


@pytest.mark.parametrize("name", list(DATA_SETS))
def test_each_is_read_by_a_mapping_that_is_there(name: str) -> None:
    assert load_mapping(data_set_of(name).mapping).source == name


def test_a_mapping_file_is_a_data_set_and_its_files_lie_beside_it(corner_shop: Path, tmp_path: Path) -> None:
    found = data_set_of(str(corner_shop))
    assert (found.name, found.protocol, found.seen) == ("corner-shop", "time", ("include", "exclude"))
    assert found.folder(None, tmp_path) == corner_shop.parent
    assert found.folder(tmp_path, tmp_path) == tmp_path


def test_movielens_is_found_inside_recbole(tmp_path: Path) -> None:
    place = tmp_path / "recbole/lib/python3.11/site-packages/recbole/dataset_example/ml-100k"
    with pytest.raises(BadInputError, match="--peer 'RecBole SASRec'"):
        DATA_SETS["movielens-100k"].folder(None, tmp_path)
    place.mkdir(parents=True)
    assert DATA_SETS["movielens-100k"].folder(None, tmp_path) == place


def test_complete_journey_comes_with_its_package(tmp_path: Path) -> None:
    assert (DATA_SETS["complete-journey"].folder(None, tmp_path) / "transactions.parquet").exists()


def test_what_is_not_there_is_named_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInputError, match=r"No data set is called 'netflix'.*or name a mapping file"):
        data_set_of("netflix")
    with pytest.raises(BadInputError, match="no mapping file"):
        data_set_of(str(tmp_path / "shop.toml"))
    with pytest.raises(BadInputError, match=r"is not known.*--data"):
        DATA_SETS["amazon-beauty"].folder(None, tmp_path)
    with pytest.raises(BadInputError, match=r"nowhere is no folder\."):
        DATA_SETS["amazon-beauty"].folder(tmp_path / "nowhere", tmp_path)


def test_an_installation_without_the_examples_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lost = replace(DATA_SETS["complete-journey"], mapping=tmp_path / "complete-journey.toml")
    monkeypatch.setitem(DATA_SETS, "complete-journey", lost)
    with pytest.raises(BadInputError, match=r"not part of this installation.*checkout"):
        data_set_of("complete-journey")
