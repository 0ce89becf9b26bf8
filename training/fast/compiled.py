"""How loops are compiled: to machine code at the first call, kept on disk for the next process.

Inside, the interpreter's lock is free. Sums may be reordered, so that they run on vector registers; infinities and NaN
keep their meaning.
"""

import os
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

F = TypeVar("F", bound=Callable[..., object])


def cache_folder() -> Path | None:
    """Named by what all loops say: numba looks at the file of a function alone, and loops call those of other files.

    None where there is no place to write: then each process compiles for itself.
    """
    digest = blake2b(digest_size=8)
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    try:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(home) / "penchant" / f"loops-{digest.hexdigest()}"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return None
    return folder if os.access(folder, os.W_OK) else None


def sealed(array: NDArray[Any]) -> NDArray[Any]:
    """The same numbers, read-only: a loop is compiled once for arrays that may be written, once for such as these."""
    view: NDArray[Any] = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


_FOLDER = cache_folder()
if _FOLDER:
    numba.config.CACHE_DIR = str(_FOLDER)  # type: ignore[attr-defined]  # made when numba is imported

compiled = cast(
    "Callable[[F], F]",
    numba.njit(nogil=True, cache=_FOLDER is not None, fastmath={"reassoc", "contract", "arcp", "nsz"}),
)
