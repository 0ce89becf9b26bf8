"""Calls that follow from a seed and a number alone, so that each can be made again by itself, and how they end."""

import random
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import grpc
from google.rpc import error_details_pb2, status_pb2
from penchant.rpcs import RPCS, Rpc

from server.limits import MAX_MESSAGE_BYTES
from tests.server.random_requests import nasty_request
from tests.server.wire import mutated, path_to_struct, with_deep_struct

Code = grpc.StatusCode
REFUSALS = {Code.INVALID_ARGUMENT, Code.NOT_FOUND, Code.FAILED_PRECONDITION}
"""What a caller may be told of its request; everything else would blame the wrong side."""
PATIENCE_S = 60.0


@dataclass(frozen=True)
class Case:
    """A call: `messages` go to the rpc, which gets `timeout_s`; `ends` says who ends it, and after `after_s`."""

    number: int
    rpc: Rpc
    messages: Sequence[bytes]
    what: str
    timeout_s: float = PATIENCE_S
    ends: Literal["server", "cancelled", "abandoned"] = "server"
    after_s: float = 0.0

    def __str__(self) -> str:
        sizes = ", ".join(f"{len(data)} bytes {data[:60]!r}" for data in self.messages)
        return f"request {self.number}, {self.rpc.name} ({self.what}, ended by the {self.ends}): {sizes}"


def make_case(seed: int, number: int) -> Case:
    """All rpcs take turns."""
    chance = random.Random(f"{seed} {number}")
    rpc = list(RPCS.values())[number % len(RPCS)]
    messages = [_message(rpc, chance) for _ in range(chance.choice((1, 1, 2, 6)) if rpc.uploads else 1)]
    whats = ", ".join(what for what, _ in messages)
    case = Case(number, rpc, [data for _, data in messages], whats)
    kind = chance.random()
    if kind < 0.05:
        return Case(case.number, rpc, case.messages, whats, timeout_s=chance.choice((0.001, 0.001, 0.01)))
    if kind < 0.13:
        return Case(case.number, rpc, case.messages, whats, ends="cancelled", after_s=chance.choice((0, 0.001, 0.01)))
    if kind < 0.4 and rpc.streams:
        return Case(case.number, rpc, case.messages, whats, ends="abandoned", after_s=0.05)
    return case


def _message(rpc: Rpc, chance: random.Random) -> tuple[str, bytes]:
    data = nasty_request(rpc, chance).SerializeToString()
    kind = chance.random()
    if kind < 0.45:
        return "generated", data
    if kind < 0.98:
        return "mutated", mutated(data, chance)
    if kind < 0.985:
        return "too large", b"\0" * (MAX_MESSAGE_BYTES + chance.choice((0, 1, 1_000)))
    path = path_to_struct(rpc.request.DESCRIPTOR)
    if path is None:
        return "empty", b""
    return "deep", with_deep_struct(data, path, chance.choice((28, 33, 100, 10_000)))


class Ended:
    """How a call ended: `code`, `message`, `reason`, and the `fields` that were refused."""

    def __init__(self, error: grpc.RpcError | None = None) -> None:
        self.code, self.message, self.reason = Code.OK, "", ""
        self.fields: list[str] = []
        if error is None:
            return
        call: Any = error
        self.code, self.message = call.code(), call.details()
        packed = dict(call.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
        assert len(packed) <= 4_096
        for detail in status_pb2.Status.FromString(packed).details:
            info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
            if detail.Unpack(info):
                self.reason = info.reason
                assert info.domain == "penchant"
            elif detail.Unpack(bad):
                self.fields += [each.field for each in bad.field_violations]

    def check(self, what: object) -> None:
        """The caller was answered, or told what is wrong with the request."""
        if self.code is not Code.OK:
            assert self.code in REFUSALS, f"{self.code} {self.message} for {what}"
            assert self.reason.isupper(), what
            assert len(self.message) > 10, what

    def check_case(self, case: Case) -> None:
        if self.code is Code.DEADLINE_EXCEEDED and case.timeout_s < 1:
            return
        if self.code is Code.CANCELLED and case.ends != "server":
            return
        is_large = any(len(data) > MAX_MESSAGE_BYTES for data in case.messages)
        if self.code is Code.RESOURCE_EXHAUSTED and (is_large or self.reason == "TOO_MANY_STREAMS"):
            return
        if (
            self.code is Code.UNAVAILABLE and self.reason == "STORE_UNAVAILABLE"
        ):  # writers on a slow disk, who may retry
            return
        self.check(case.rpc.name)


def send(channel: grpc.Channel, case: Case) -> Ended:
    """Makes the call; what is answered has to be a message of the rpc."""
    gone = threading.Event()
    try:
        _call(channel, case, gone)
    except (grpc.RpcError, grpc.FutureCancelledError) as error:
        return Ended(error if isinstance(error, grpc.RpcError) else None)
    finally:
        gone.set()
    return Ended()


def _call(channel: grpc.Channel, case: Case, gone: threading.Event) -> None:
    rpc = case.rpc
    make: Any  # its types want functions that make messages of bytes, and bytes is what we have
    if rpc.uploads:
        make = channel.stream_stream(rpc.path)
        call = make(_requests(case, gone), timeout=case.timeout_s)
    elif rpc.streams:
        make = channel.unary_stream(rpc.path)
        call = make(case.messages[0], timeout=case.timeout_s)
    else:
        make = channel.unary_unary(rpc.path)
        call = make.future(case.messages[0], timeout=case.timeout_s)
    if case.ends == "cancelled":
        time.sleep(case.after_s)
        call.cancel()
    for data in call if rpc.streams else [call.result()]:
        rpc.response.FromString(data)
        if case.ends == "abandoned":
            time.sleep(case.after_s)
            call.cancel()
            return


def _requests(case: Case, gone: threading.Event) -> Iterator[bytes]:
    """An abandoned stream stays open after its messages, until it is cancelled."""
    yield from case.messages
    if case.ends == "abandoned":
        gone.wait(2)
