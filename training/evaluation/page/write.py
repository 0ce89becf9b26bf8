"""A page onto the disk: `index.html` with style and pictures inside, and the pictures as files beside it."""

import base64
import tempfile
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from graph.storage.errors import BadInputError
from training.evaluation.page.sections import Page, Picture
from training.evaluation.page.style import styled

INDEX = "index.html"


def require_writable(folder: Path) -> None:
    """Makes the folder. BadInputError where nothing can be written to it: better known before the work than after."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise BadInputError(
            f"No report can be written to {folder}: {error.strerror}.", hint="Name a folder of yours."
        ) from error


def write_page(page: Page, folder: Path) -> Path:
    """Returns the path of the HTML file, which is there whole or not at all."""
    require_writable(folder)
    # Names from the data stand in pages: everything is escaped unless the template says otherwise, which it never does.
    environment = Environment(
        loader=PackageLoader("training.evaluation.page", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )

    def source(picture: Picture) -> str:
        path = folder / picture.file
        with styled():
            picture.draw(path)
        return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()

    html = environment.get_template("page.html").render(page=page, source=source)
    path, beside = folder / INDEX, folder / (INDEX + ".tmp")
    beside.write_text(html, encoding="utf-8")
    beside.replace(path)
    return path


def _printable(value: object) -> object:
    """Without characters that may not stand in HTML at all, escaped or not."""
    return value.translate(_FORBIDDEN) if isinstance(value, str) and not isinstance(value, Markup) else value


_FORBIDDEN = dict.fromkeys((*range(9), 11, *range(14, 32), *range(127, 160), *range(55296, 57344)), "�")
