"""Settings refuse what they do not know; the rules look at sizes alone."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from graph.snapshot import Snapshot
from graph.storage.errors import BadInputError
from training.config import NetConfig, Sizes, default_config
from training.device import choose_device, mixed_precision
from training.train import config_for


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"dims": 3}, "Extra inputs"),
        ({"dim": 5}, "multiple of heads"),
        ({"nets": 2, "interests": 2}, "no common order"),
        ({"sequence_encoder": "rnn"}, "transformer"),
        ({"learning_rate": float("nan")}, "greater than 0"),
        ({"relations": ()}, "at least 1"),
    ],
)
def test_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        NetConfig.model_validate(settings)


def test_settings_survive_json() -> None:
    config = NetConfig(relations=("forward", "backward"), nets=2)
    assert NetConfig.model_validate_json(config.model_dump_json()) == config


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        NetConfig().dim = 3  # type: ignore[misc]  # frozen: that is the test


@pytest.mark.parametrize("items", [1, 2_000, 12_000, 100_000])
@pytest.mark.parametrize("events", [10, 100_000, 10_000_000])
def test_every_size_has_settings(items: int, events: int) -> None:
    config = default_config(Sizes(users=10, items=items, events=events, steps=events))
    assert config.negatives >= 1_024


def test_a_small_shop_drops_more_and_a_big_catalog_costs_less() -> None:
    small = default_config(Sizes(users=20_000, items=12_000, events=150_000, steps=150_000))
    large = default_config(Sizes(users=2_500, items=97_000, events=1_470_000, steps=155_000))
    assert small.dropout > large.dropout
    assert small.keep_neighbours > large.keep_neighbours


def test_devices() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device().type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(BadInputError, match="unknown device") as caught:
        choose_device("tpu")
    assert caught.value.hint


def test_a_missing_card_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BadInputError, match="no CUDA") as caught:
        choose_device("cuda")
    assert caught.value.hint


def test_a_cpu_computes_in_float32() -> None:
    with mixed_precision(torch.device("cpu")):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_large_tensors_lie_on_huge_pages() -> None:
    """PyTorch reads the setting when it is loaded, so every command must import `training` before it."""
    enabled = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    if not enabled.exists() or "[never]" in enabled.read_text():
        pytest.skip("this system has no huge pages to give")
    program = """
import server.cli
import torch
from pathlib import Path
kept = torch.ones(25_000_000)  # 100 MB
print(next(line.split()[1] for line in Path("/proc/self/smaps_rollup").open() if line.startswith("AnonHuge")))
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert int(result.stdout) > 80_000  # kB


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"feature_scaling": "log"}, "feature_scaling 'log': Input should be 'standard' or 'min_max'."),
        ({"epochs": 0}, "epochs 0: Input should be greater than 0."),
        ({"dim": 65}, "The net cannot be made so: dim 65 must be a multiple of heads 2."),
    ],
)
def test_a_setting_that_cannot_be_is_named(shop: Snapshot, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInputError) as caught:
        config_for(shop, changes)
    assert str(caught.value).startswith(said)
