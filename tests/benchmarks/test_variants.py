"""Names of ablations: each changes something, together they change all of it, and what is none is refused."""

import pytest

from benchmarks.quality.variants import FAMILIES, VARIANTS, Variant, all_variants, variant_of
from graph.storage.errors import BadInputError
from training.config import NetConfig, Sizes, default_config
from training.leave_out import NOTHING, LeaveOut

LARGE = Sizes(users=1_000, items=60_000, events=20_000, steps=20_000)
SMALL = Sizes(users=1_000, items=500, events=20_000, steps=20_000)


@pytest.mark.parametrize("name", all_variants())
def test_every_variant_changes_small_data_or_large(name: str) -> None:
    variant = variant_of(name)
    changed = [
        NetConfig.model_validate(default_config(sizes).model_dump(exclude_unset=True) | dict(variant.net))
        != default_config(sizes)
        for sizes in (LARGE, SMALL)
    ]
    assert any(changed) or variant.leave_out != NOTHING


def test_no_two_variants_are_the_same() -> None:
    found = [repr(variant_of(name)) for name in all_variants()]
    assert len(set(found)) == len(found) > len(VARIANTS)


def test_what_is_left_out_of_the_mixture_leaves_the_net_as_it_is() -> None:
    for name in ("no-net", "no-memories", "net-alone", "constant-gate", "no-ranker", "no-memory:follows"):
        assert variant_of(name).net == {}


def test_variants_add_up() -> None:
    found = variant_of("no-graph+gru+no-memory:near + no-memory:ease+no-ranker")
    assert found.net == {"graph_encoder": "none", "sequence_encoder": "gru"}
    assert found.leave_out == LeaveOut(frozenset({"near", "ease"}), ranker=True)


def test_any_setting_is_a_variant() -> None:
    assert variant_of("dim=64,relations=forward,backward") == Variant(
        {"dim": "64", "relations": ("forward", "backward")}
    )


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no-grpah", "No variant is called 'no-grpah'. There are no-graph, "),
        ("loss:hinge", "No loss is called 'hinge'. There are softmax, bpr, bce."),
        ("dims=3", "no setting 'dims'"),
        ("no-graph+", "No variant is called ''"),
    ],
)
def test_what_is_no_variant_is_refused(name: str, said: str) -> None:
    with pytest.raises(BadInputError) as caught:
        variant_of(name)
    assert said in str(caught.value)


def test_families_know_what_the_config_knows() -> None:
    """A graph encoder or relation that is added is a variant at once."""
    assert {"none", "lightgcn", "attention"} <= set(FAMILIES["graph"][0])
    assert {"neighbours", "shared_user"} <= set(FAMILIES["relation"][0])
    assert {"gru", "mean"} <= set(FAMILIES["sequence"][0])
