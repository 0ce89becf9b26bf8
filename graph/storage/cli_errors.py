"""How every command ends that cannot do its work: one clear sentence on stderr, exit code 2, no traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from pydantic import ValidationError

from graph.storage.errors import PenchantError

UNUSABLE = 2
"""Exit code: what the command was given cannot be used (1 is left to commands that ran and found something wrong)."""


@contextmanager
def explained() -> Iterator[None]:
    """Ends the command with exit code 2 and a sentence for what a person can mend; bugs keep their traceback."""
    try:
        yield
    except PenchantError as error:
        _end(str(error), error)
    except ValidationError as error:  # of settings
        first = error.errors()[0]
        name = "_".join(str(part) for part in first["loc"]).lower().removeprefix("penchant_")
        if first["type"] == "extra_forbidden":
            _end(f"There is no setting {name} (PENCHANT_{name.upper()}). `penchant config` lists what there is.", error)
        _end(f"The setting {name} (PENCHANT_{name.upper()}) cannot be used: {first['msg']}.", error)
    except OSError as error:
        if error.filename is None:
            raise
        _end(f"{error.filename}: {error.strerror}.", error)


def _end(sentence: str, cause: Exception) -> None:
    typer.secho(sentence, err=True, fg=typer.colors.RED)
    raise typer.Exit(UNUSABLE) from cause
