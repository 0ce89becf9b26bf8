"""Where tables are printed: piped they must not be folded to 80 columns, for whoever reads them wants whole rows."""

from rich.console import Console


def wide_console() -> Console:
    return Console(width=None if Console().is_terminal else 160)
