"""Addresses as gRPC takes them: host:port, [::1]:port, ipv4:host:port; unix: names a socket file and has neither."""

import socket


def host_and_port(address: str) -> tuple[str, int] | None:
    """The host without brackets; None for what is no host with a port."""
    if address.startswith(("unix:", "unix-abstract:")):
        return None
    host, _, port = address.removeprefix("ipv4:").removeprefix("ipv6:").rpartition(":")
    if not host or not (port.isascii() and port.isdigit()):
        return None
    return host.removeprefix("[").removesuffix("]"), int(port)


def written(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def family_of(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
