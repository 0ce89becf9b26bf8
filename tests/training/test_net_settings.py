"""`--set name=value`: what is no setting is named, what does not fit is said by the config."""

import pytest

from graph.snapshot import Snapshot
from graph.storage.errors import BadInputError
from training.net_settings import parse_settings
from training.train import config_for


def test_text_becomes_what_the_field_holds(shop: Snapshot) -> None:
    texts = ["dim=64", "ema=0.9", "gaps=false", "relations=forward, backward", "loss=bpr", "batch-positions=500"]
    config = config_for(shop, parse_settings(texts))
    assert (config.dim, config.ema, config.gaps, config.loss) == (64, 0.9, False, "bpr")
    assert (config.relations, config.batch_positions) == (("forward", "backward"), 500)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["dim"], "sets nothing"),
        (["width=3"], "no setting 'width'. There are dim"),
        (["dim=3", "dim=4"], "dim is set twice"),
    ],
)
def test_what_sets_nothing_is_refused(texts: list[str], said: str) -> None:
    with pytest.raises(BadInputError, match=said):
        parse_settings(texts)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dim=wide", "dim 'wide': Input should be a valid integer"),
        ("learning_rate=nan", "learning_rate 'nan': Input should be greater than 0"),
        ("relations=", "relations (): Tuple should have at least 1 item"),
        ("loss=hinge", "loss 'hinge': Input should be 'softmax'"),
    ],
)
def test_a_value_that_does_not_fit_is_named_by_the_config(shop: Snapshot, text: str, said: str) -> None:
    with pytest.raises(BadInputError) as caught:
        config_for(shop, parse_settings([text]))
    assert str(caught.value).startswith(said)
