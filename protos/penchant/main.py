"""The command `penchant-client`: asks a server from a shell."""

import argparse
import os
import sys
from collections.abc import Callable

from penchant import describe
from penchant.client import EXPORT_DEADLINE_MS, KINDS, PenchantClient
from penchant.errors import ConfigurationError, PenchantError
from penchant.messages import UsageError, read_requests, write_answer

DEFAULT_ADDRESS = "localhost:50051"
EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130

_EPILOG = """\
environment:
  PENCHANT_CLIENT_ADDRESS, PENCHANT_CLIENT_CA, PENCHANT_CLIENT_CERTIFICATE, PENCHANT_CLIENT_KEY,
  PENCHANT_CLIENT_SERVER_NAME stand in for the options of their names.
  PENCHANT_CLIENT_TOKEN, PENCHANT_CLIENT_API_KEY are sent with each call. No option takes them: a command line can be
  read by everyone on the machine.

exit codes:
  0  done
  1  the server refused or cannot be reached, or the file cannot be written; standard error says why
  2  the command line or the environment is wrong
  130  interrupted
"""

_CALL = """\
Make one call. The request is JSON with the fields of the rpc's request, as `penchant-client list RPC` shows them.
An rpc that answers with a stream prints a JSON text for each answer; one that takes a stream reads one JSON text after
the other."""

_CALL_EXAMPLES = """\
examples:
  penchant-client call Recommend '{"user": "user-17", "k": 3}'
  penchant-client call CatalogService/ListItems
  penchant-client call ExportEmbeddings '{"kind": "ENTITY_KIND_CATEGORY"}'
  echo '{"user": "user-17", "items": ["shoe-1"]}' | penchant-client call Score -
"""

_EXPORT = """\
Write all vectors into a Parquet file, a row each: id, interest, weight, vector. The file appears whole or not at all.
What an interrupted export has written is kept in the folder FILE.parts, and the same command goes on from there."""

_LIST = """\
Show all rpcs, or one with the fields of its request and its answer."""


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns the exit code that `--help` promises."""
    parser = _parser()
    options = parser.parse_args(arguments)
    run: Callable[[argparse.Namespace], None] = options.run
    try:
        run(options)
    except (UsageError, ConfigurationError) as error:
        parser.error(str(error))
    except (PenchantError, OSError, ImportError) as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return 0


def _parser() -> argparse.ArgumentParser:
    server = argparse.ArgumentParser(add_help=False)
    where = server.add_argument_group("the server")
    where.add_argument(
        "--address",
        "--target",
        metavar="HOST:PORT",
        help=f"several with commas between; else $PENCHANT_CLIENT_ADDRESS, else {DEFAULT_ADDRESS}",
    )
    where.add_argument(
        "--ca", metavar="FILE", help='PEM file of who signed its certificate, or "default" for the public ones: TLS'
    )
    where.add_argument("--certificate", metavar="FILE", help="PEM file of this client's certificate: mutual TLS")
    where.add_argument("--key", metavar="FILE", help="PEM file of its key")
    where.add_argument("--server-name", metavar="NAME", help="name in the server's certificate, if not the address's")
    where.add_argument(
        "--plaintext-token",
        action="store_true",
        help="send the token without TLS to other machines, where others see it",
    )

    texts = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="penchant-client", description="Ask a penchant server.", epilog=_EPILOG, formatter_class=texts
    )
    commands = parser.add_subparsers(dest="command", required=True)

    call = commands.add_parser(
        "call",
        parents=[server],
        help="make one call: JSON in, JSON out",
        description=_CALL,
        epilog=f"{_CALL_EXAMPLES}\n{_EPILOG}",
        formatter_class=texts,
    )
    call.add_argument("rpc", help="such as Recommend or InterestService/Recommend")
    call.add_argument("request", nargs="?", default="{}", help='JSON, "{}" if not given; "-" reads standard input')
    call.add_argument("--deadline-ms", type=_above_0, default=10_000, help="give up after this long (%(default)s)")
    call.set_defaults(run=_call)

    export = commands.add_parser(
        "export",
        parents=[server],
        help="write all vectors into a Parquet file",
        description=_EXPORT,
        epilog=_EPILOG,
        formatter_class=texts,
    )
    export.add_argument("--kind", required=True, choices=list(KINDS), help="whose vectors")
    export.add_argument("--out", required=True, metavar="FILE", help="the Parquet file to write")
    export.add_argument("--half", action="store_true", help="send half precision: half the traffic")
    export.add_argument("--restart", action="store_true", help="begin anew, whatever an earlier export has left")
    export.add_argument(
        "--deadline-ms", type=_above_0, default=EXPORT_DEADLINE_MS, help="give up after this long (%(default)s)"
    )
    export.set_defaults(run=_export)

    listing = commands.add_parser("list", help="show what can be called", description=_LIST, formatter_class=texts)
    listing.add_argument("rpc", nargs="?", help="show this one with all its fields")
    listing.set_defaults(run=_list)
    return parser


def _above_0(text: str) -> float:
    number = float(text)
    if not number > 0:
        raise argparse.ArgumentTypeError(f"must be above 0, not {text}")
    return number


def _client(options: argparse.Namespace) -> PenchantClient:
    address = options.address or os.environ.get("PENCHANT_CLIENT_ADDRESS") or DEFAULT_ADDRESS
    return PenchantClient(
        address,
        ca=options.ca,
        certificate=options.certificate,
        key=options.key,
        server_name=options.server_name,
        plaintext_token=options.plaintext_token,
    )


def _call(options: argparse.Namespace) -> None:
    rpc = describe.rpc_named(options.rpc)
    requests = read_requests(rpc, sys.stdin.read() if options.request == "-" else options.request)
    with _client(options) as client:
        if rpc.streams:
            for answer in client.stream(requests, deadline_ms=options.deadline_ms):
                write_answer(answer)
        else:
            write_answer(client.call(requests[0], deadline_ms=options.deadline_ms))


def _export(options: argparse.Namespace) -> None:
    from penchant.export import export_parquet

    def progress(done: int, total: int) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{done:,} of {total:,} {options.kind}\r")

    with _client(options) as client:
        written = export_parquet(
            client,
            options.kind,
            options.out,
            half=options.half,
            deadline_ms=options.deadline_ms,
            restart=options.restart,
            progress=progress,
        )
    sys.stdout.write(
        f"{options.out}: {written.vectors:,} vectors of {written.ids:,} {options.kind}, "
        f"{written.model_version} as of {written.as_of.isoformat(timespec='seconds')}\n"
    )


def _list(options: argparse.Namespace) -> None:
    text = describe.one(describe.rpc_named(options.rpc)) if options.rpc else describe.everything()
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
