"""Servers behind one client are restarted one after the other while threads call: no call fails."""

import threading
from typing import TYPE_CHECKING, Any

import pytest
from penchant import PenchantClient, PenchantError
from penchant.transport import OPTIONS

from server.app import _OPTIONS
from tests.server.processes import free_address, start_server
from tests.server.test_two_servers import is_ready

if TYPE_CHECKING:
    from tests.server.conftest import World

CALLERS = 4


class Callers:
    """Threads that call until they are stopped, and what became of their calls."""

    def __init__(self, client: PenchantClient) -> None:
        self.answered = [0] * CALLERS
        self.failed: list[str] = []
        self._client = client
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._call, args=(number,)) for number in range(CALLERS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)

    def _call(self, number: int) -> None:
        while not self._stopping.is_set():
            try:
                self._client.recommend(f"u{number}", 3)
                self._client.get_item("i1")
            except PenchantError as error:
                self.failed.append(str(error))
            self.answered[number] += 1


@pytest.mark.timeout(180)  # four starts of a server
def test_a_rolling_restart_fails_no_call(world: "World", eventually: Any) -> None:
    addresses = [free_address(), free_address()]
    servers = [start_server(world.url, world.artifacts, address) for address in addresses]

    def wait_for(address: str) -> None:
        with PenchantClient(address) as client:
            eventually(lambda: is_ready(client), patience_s=50)

    try:
        for address in addresses:
            wait_for(address)
        with PenchantClient(addresses) as client:
            callers = Callers(client)
            try:
                for number, address in enumerate(addresses):
                    before = list(callers.answered)

                    def all_went_on(before: list[int] = before) -> bool:
                        return all(now > then + 5 for now, then in zip(callers.answered, before, strict=True))

                    eventually(all_went_on)
                    servers[number].terminate()
                    servers[number].join(30)
                    assert servers[number].exitcode == 0
                    servers[number] = start_server(world.url, world.artifacts, address)
                    wait_for(address)
            finally:
                callers.stop()
        assert callers.failed == []
    finally:
        for server in servers:
            server.kill()


def test_the_server_takes_the_pings_that_the_client_sends() -> None:
    client, server = dict(OPTIONS), dict(_OPTIONS)
    assert int(client["grpc.keepalive_time_ms"]) > server["grpc.http2.min_ping_interval_without_data_ms"]
    assert client["grpc.keepalive_permit_without_calls"] == server["grpc.keepalive_permit_without_calls"] == 1
