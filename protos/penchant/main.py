"""The command `penchant-client`: asks a server from a shell."""

import argparse
import difflib
import inspect
import json
import os
import sys
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message

from penchant.client import EXPORT_DEADLINE_MS, KINDS, PenchantClient
from penchant.errors import PenchantError
from penchant.rpcs import RPCS

DEFAULT_TARGET = "localhost:50051"
EXIT_FAILED, EXIT_USAGE = 1, 2

# Its name changed in protobuf 5.26; without it a history_events of 0 would not be printed.
_PRINT_DEFAULTS = next(
    name
    for name in ("always_print_fields_with_no_presence", "including_default_value_fields")
    if name in inspect.signature(json_format.MessageToJson).parameters
)


def main(arguments: list[str] | None = None) -> int:
    """Runs one command. 0: done, 1: the server refused or cannot be reached, 2: the command line is wrong."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        with PenchantClient(options.target) as client:
            if options.command == "call":
                _call(client, options)
            else:
                _export(client, options)
    except _UsageError as error:
        parser.error(str(error))
    except (PenchantError, OSError, ImportError) as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_FAILED
    return 0


class _UsageError(Exception):
    """The command line is wrong; the message says how to mend it."""


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--target",
        default=os.environ.get("PENCHANT_TARGET", DEFAULT_TARGET),
        metavar="HOST:PORT",
        help=f"server to ask; else $PENCHANT_TARGET, else {DEFAULT_TARGET}",
    )
    parser = argparse.ArgumentParser(prog="penchant-client", description="Ask a penchant server.")
    commands = parser.add_subparsers(dest="command", required=True)
    call = commands.add_parser("call", parents=[common], help="make one call: JSON in, JSON out")
    call.add_argument("rpc", help="such as Recommend")
    call.add_argument("request", nargs="?", default="{}", help='such as \'{"user": "u1", "k": 5}\'; "-" reads stdin')
    call.add_argument("--deadline-ms", type=float, default=10_000, help="give up after this long (%(default)s)")
    export = commands.add_parser("export", parents=[common], help="write all vectors into a Parquet file")
    export.add_argument("--kind", required=True, choices=list(KINDS))
    export.add_argument("--out", required=True, metavar="FILE", help="the Parquet file to write")
    export.add_argument("--half", action="store_true", help="send half precision: half the traffic")
    export.add_argument("--deadline-ms", type=float, default=EXPORT_DEADLINE_MS, help="give up after this long")
    return parser


def _call(client: PenchantClient, options: argparse.Namespace) -> None:
    answer = client.call(_request(options.rpc, options.request), deadline_ms=options.deadline_ms)
    layout: dict[str, Any] = {_PRINT_DEFAULTS: True, "preserving_proto_field_name": True, "ensure_ascii": False}
    sys.stdout.write(json_format.MessageToJson(answer, **layout) + "\n")


def _request(name: str, text: str) -> Message:
    rpc = RPCS.get(name)
    if rpc is None:
        near = difflib.get_close_matches(name, RPCS, n=3) or sorted(RPCS)
        raise _UsageError(f"there is no rpc {name!r}; try {', '.join(near)}")
    if rpc.streams:
        other = "use the Python client" if rpc.uploads else "use `penchant-client export`"
        raise _UsageError(f"{name} answers with a stream: {other}")
    request = rpc.request()
    try:
        json_format.ParseDict(json.loads(sys.stdin.read() if text == "-" else text), request)
    except (json.JSONDecodeError, json_format.ParseError, TypeError, AttributeError) as error:
        fields = ", ".join(field.name for field in request.DESCRIPTOR.fields) or "none"
        raise _UsageError(f"the request is no {rpc.request.__name__}: {error}. Its fields: {fields}") from error
    return request


def _export(client: PenchantClient, options: argparse.Namespace) -> None:
    from penchant.export import export_parquet

    def progress(done: int, total: int) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{done:,} of {total:,} {options.kind}\r")

    written = export_parquet(
        client, options.kind, options.out, half=options.half, deadline_ms=options.deadline_ms, progress=progress
    )
    sys.stdout.write(
        f"{options.out}: {written.vectors:,} vectors of {written.ids:,} {options.kind}, "
        f"{written.model_version} as of {written.as_of.isoformat(timespec='seconds')}\n"
    )


if __name__ == "__main__":
    sys.exit(main())
