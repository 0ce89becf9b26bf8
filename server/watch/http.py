"""The address for those who watch: /metrics for Prometheus, /healthz and /readyz for probes that speak no gRPC.

In threads beside the event loop, which a probe must be able to find stuck.
"""

import json
import socketserver
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app

from graph.storage.errors import BadInputError
from server.addresses import family_of, host_and_port
from server.watch.vitals import Answer

PATIENCE_S = 10
"""A connection that says nothing for longer is closed."""

Respond = Callable[[str, list[tuple[str, str]]], Any]


class _Handler(WSGIRequestHandler):
    timeout = PATIENCE_S

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002  # the base class calls it so
        """Nothing: a scrape is worth no line."""


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def server_bind(self) -> None:
        """Without the look-up of its own name in the base class, which may take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()


class WatchServer:
    """Bound when made; answers from `start` to `stop`. `port` is the one that was bound, also where 0 was asked for."""

    def __init__(self, listen: str, registry: CollectorRegistry, answers: Mapping[str, Callable[[], Answer]]) -> None:
        """`answers`: by path, whether all is fine. Raises BadInputError for an address that cannot be bound."""
        self._metrics = make_wsgi_app(registry)
        self._answers = answers
        self.paths = ["/metrics", *answers]
        self._server = _bind(listen)
        self._server.set_app(self._answer)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, name="watch-http", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def _answer(self, asked: dict[str, Any], respond: Respond) -> Iterable[bytes]:
        path = asked["PATH_INFO"]
        if path == "/metrics":
            body: Iterable[bytes] = self._metrics(asked, respond)
            return body
        if path not in self._answers:
            return _say(respond, "404 Not Found", {"paths": self.paths})
        if asked["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return _say(respond, "405 Method Not Allowed", {"methods": ["GET", "HEAD"]})
        answer = self._answers[path]()
        return _say(respond, "200 OK" if answer.is_fine else "503 Service Unavailable", answer.parts)


def _say(respond: Respond, status: str, what: Mapping[str, Any]) -> list[bytes]:
    respond(status, [("Content-Type", "application/json"), ("Cache-Control", "no-store")])
    return [json.dumps(what).encode() + b"\n"]


def _bind(listen: str) -> _Server:
    wrong = BadInputError(
        f"Cannot listen on {listen} for metrics.",
        hint="Use host:port that nobody has taken, with --metrics-listen; port 0 takes a free one.",
    )
    found = host_and_port(listen)
    if found is None:
        raise wrong

    host, port = found

    class Server(_Server):
        address_family = family_of(host)

    try:
        return Server((host, port), _Handler)
    except (OSError, OverflowError) as error:
        raise wrong from error
