"""Keeps README's list of files true: one line a file, the first line of its docstring. `--write` renews it."""

import ast
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
BEGIN, END = "<!-- files: docs/files.py --write -->", "<!-- /files -->"
FOLDERS = ("graph", "training", "server", "migrations", "protos", "benchmarks", "deploy", "docs")
COMMENTED = ("deploy",)
"""Folders of files that are no Python: their first comment is listed, of JSON the title."""
_HIDDEN = (".", "node_modules", "__pycache__", "build", "secrets")


def source_files() -> list[Path]:
    """Files of ours, without generated code and empty package markers."""
    found = []
    for folder in FOLDERS:
        paths = (ROOT / folder).rglob("*" if folder in COMMENTED else "*.py")
        for path in sorted(paths, key=lambda path: (path.parent, path.name)):  # a folder's own before its folders'
            parts = path.relative_to(ROOT).parts
            generated = "_pb2" in path.name
            if (
                path.is_file()
                and not generated
                and path.stat().st_size
                and not any(part.startswith(_HIDDEN) for part in parts)
            ):
                found.append(path)
    return found


def purpose(path: Path) -> str:
    """The first line of a file's docstring or comment; ValueError where it has none."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        said = ast.get_docstring(ast.parse(text)) or ""
    elif path.suffix == ".json":
        said = json.loads(text).get("title", "")
    else:
        comment = re.match(r"# (.+)|\{\{- /\* (.+) \*/", text)
        said = (comment[1] or comment[2]) if comment else ""
    if not said:
        raise ValueError(f"{path.relative_to(ROOT)} has no docstring; its first line is what README says of the file.")
    return said.splitlines()[0]


def listing() -> str:
    """Markdown, a section a folder."""
    lines = [BEGIN]
    folder = None
    for path in source_files():
        where = path.relative_to(ROOT).parent.as_posix()
        if where != folder:
            folder = where
            lines += ["", f"### {folder}/", "", "| file | what it is |", "|---|---|"]
        lines.append(f"| `{path.name}` | {purpose(path).replace('|', chr(92) + '|')} |")
    return "\n".join([*lines, "", END])


def renewed(readme: str) -> str:
    """`readme` with the list between its marks replaced."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + listing() + after


if __name__ == "__main__":
    text = README.read_text(encoding="utf-8")
    if "--write" in sys.argv:
        README.write_text(renewed(text), encoding="utf-8")
    elif renewed(text) != text:
        sys.exit("README's list of files is stale: python docs/files.py --write")
