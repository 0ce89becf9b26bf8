"""The channel's settings, the same for both clients."""

import json

import grpc

from penchant.addresses import are_loopback, target_of
from penchant.connection import Connection

MAX_MESSAGE_BYTES = 4 * 2**20
"""gRPC's own limit, kept: the server cuts its chunks to fit, and a larger request is refused here at once."""

Option = tuple[str, int | str]

OPTIONS: tuple[Option, ...] = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # A server that vanished without a word is noticed within 40 s, and balancers see no idle connection that they would
    # drop. The server takes pings every 10 s; a proxy that takes fewer says so, and gRPC then sends half as many.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # The default grows to two minutes, long after a server that was restarted is there again. Shorter than what a
    # call's pauses last together, so that a call that finds no connection sees the next attempt at one.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # Spread calls over all addresses; the default stays with the first.
    ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
)


def open_channel(where: Connection) -> grpc.Channel:
    """Connects at the first call."""
    target, options = target_of(where.addresses), _options(where)
    if where.credentials is None:
        return grpc.insecure_channel(target, options)
    return grpc.secure_channel(target, where.credentials, options)


def open_async_channel(where: Connection) -> grpc.aio.Channel:
    """Belongs to the event loop that runs."""
    target, options = target_of(where.addresses), _options(where)
    if where.credentials is None:
        return grpc.aio.insecure_channel(target, options)
    return grpc.aio.secure_channel(target, where.credentials, options)


def _options(where: Connection) -> tuple[Option, ...]:
    options = list(OPTIONS)
    if where.server_name:
        options.append(("grpc.ssl_target_name_override", where.server_name))
    elif len(where.addresses) > 1:
        options.append(("grpc.default_authority", where.addresses[0]))  # else all of them, which no proxy understands
    if are_loopback(where.addresses):
        options.append(("grpc.enable_http_proxy", 0))  # what stays on this machine goes through no proxy
    return tuple(options)
