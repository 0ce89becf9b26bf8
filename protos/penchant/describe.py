"""What can be called, in words: those of the .proto files, which the distribution brings along."""

import difflib
import re
import textwrap
from importlib import resources
from typing import Any

from penchant.messages import UsageError
from penchant.rpcs import RPCS, Rpc

_STREAMS = {(False, False): "", (True, False): "streams answers", (True, True): "streams both ways"}


def rpc_named(name: str) -> Rpc:
    """The rpc of that name, with or without its service and package. UsageError where there is none."""
    rpc = RPCS.get(name.rpartition("/")[2])
    if rpc is None or not f".{rpc.path.removeprefix('/')}".endswith((f".{name}", f"/{name}")):
        near = difflib.get_close_matches(name.rpartition("/")[2], RPCS, n=3) or sorted(RPCS)
        raise UsageError(f"there is no rpc {name!r}; try {', '.join(near)}")
    return rpc


def everything() -> str:
    """A line for each rpc: its name, and the first sentence of its comment."""
    width = max(len(_short(rpc)) for rpc in RPCS.values())
    lines = []
    for rpc in RPCS.values():
        how = _STREAMS[rpc.streams, rpc.uploads]
        sentence = re.split(r"(?<=\.)\s", _comment(rpc))[0]
        lines.append(f"{_short(rpc):{width}}  {sentence}{f' ({how})' if how else ''}")
    return "\n".join(lines)


def one(rpc: Rpc) -> str:
    """The rpc's comment, and the messages that it takes and gives as the .proto files have them."""
    head = _short(rpc)
    if how := _STREAMS[rpc.streams, rpc.uploads]:
        head += f" ({how})"
    messages: dict[str, str] = {}
    for kind in (rpc.request, rpc.response):
        _collect(kind.DESCRIPTOR, messages)
    return "\n\n".join([head, textwrap.fill(_comment(rpc), 100), *messages.values()])


def _collect(message: Any, found: dict[str, str]) -> None:
    """Of a descriptor: the message, and the messages and enumerations of its fields, in this order, each once."""
    if message.full_name in found or not message.full_name.startswith("penchant."):
        return
    found[message.full_name] = _declaration(message.file.name, "message", message.name)
    for field in message.fields:
        if field.message_type is not None and not field.message_type.GetOptions().map_entry:
            _collect(field.message_type, found)
        if field.enum_type is not None:
            kind = field.enum_type
            found.setdefault(kind.full_name, _declaration(kind.file.name, "enum", kind.name))


def _short(rpc: Rpc) -> str:
    return rpc.path.rpartition(".")[2]


def _comment(rpc: Rpc) -> str:
    found = re.search(rf"((?:^  //.*\n)+)  rpc {rpc.name}\(", _source(rpc.request.DESCRIPTOR.file.name), re.MULTILINE)
    return " ".join(re.findall(r"// (.*)", found[1])) if found else ""


def _declaration(file: str, kind: str, name: str) -> str:
    found = re.search(rf"^{kind} {name} {{(?:}}|.*?\n}})", _source(file), re.MULTILINE | re.DOTALL)
    return found[0] if found else ""


def _source(file: str) -> str:
    folder, _, name = file.removeprefix("penchant/").rpartition("/")
    return (resources.files("penchant") / folder / name).read_text("utf-8")
