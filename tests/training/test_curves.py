"""The picture is a picture."""

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from training.curves import Epoch, draw_curves


@pytest.mark.parametrize("n", [0, 1, 30])
def test_draws(tmp_path: Path, n: int) -> None:
    epochs = [Epoch(loss=8 - 0.1 * k, ndcg=0.05 + 0.001 * (k % 20), seconds=3.0 * k) for k in range(n)]
    draw_curves(epochs, tmp_path / "curves.png")
    picture = np.asarray(matplotlib.image.imread(tmp_path / "curves.png"))
    assert picture.shape[0] > 400
    assert picture.shape[1] > 600
    assert len(np.unique(picture[::4, ::4].sum(axis=2))) > 10


def test_the_same_curves_give_the_same_picture(tmp_path: Path) -> None:
    for name, ndcg in (("a", 0.1), ("b", 0.1), ("c", 0.2)):
        draw_curves([Epoch(8.0, 0.05, 1.0), Epoch(7.0, ndcg, 2.0)], tmp_path / name)
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b != c
