"""Whether the server in this container is alive: asks its probe over HTTP, which takes neither key nor certificate."""

import http.client
import os
import sys

PATIENCE_S = 5


def is_alive(listen: str) -> bool:
    """`listen` is the setting metrics_listen. Raises OSError or HTTPException where nothing answers there."""
    host, _, port = listen.rpartition(":")
    asked = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=PATIENCE_S)  # heeds no proxy
    asked.request("GET", "/healthz")
    answer = asked.getresponse()
    sys.stdout.write(answer.read().decode())  # what `docker inspect` shows
    return answer.status == http.client.OK


def main() -> None:
    listen = os.environ["PENCHANT_METRICS_LISTEN"]
    if not listen:
        raise SystemExit("PENCHANT_METRICS_LISTEN is empty, so nobody can be asked: run with --no-healthcheck.")
    raise SystemExit(not is_alive(listen))


if __name__ == "__main__":
    main()
