"""Where the servers are: addresses as people write them become a target of gRPC's."""

import ipaddress
import socket
from collections.abc import Sequence

from penchant.errors import ConfigurationError

_SCHEMES = ("dns:", "ipv4:", "ipv6:", "unix:", "unix-abstract:", "vsock:", "xds:")
_HINT = 'Write "host:port", such as "localhost:50051", and commas between several.'


def split(text: str | Sequence[str]) -> tuple[str, ...]:
    """The addresses in `text`: "host:port", several with commas between, or one target with a scheme of gRPC's."""
    parts = [text] if isinstance(text, str) else list(text)
    if len(parts) == 1 and parts[0].startswith(_SCHEMES):
        return (parts[0],)
    found = tuple(each.strip() for part in parts for each in part.split(",") if each.strip())
    for each in found:
        _host_and_port(each)
    if not found:
        raise ConfigurationError("There is no address of a server.", hint=_HINT)
    return found


def target_of(addresses: Sequence[str]) -> str:
    """One gRPC target for all of them. Of several, names are looked up here, once."""
    if len(addresses) == 1:
        return addresses[0]
    found = [_look_up(each) for each in addresses]
    versions = {address.version for address, _ in found}
    if len(versions) > 1:
        raise ConfigurationError(
            "Some addresses are IPv4 and some IPv6, which cannot be mixed.", hint="Give all in one of them."
        )
    version = versions.pop()
    texts = [f"[{address}]:{port}" if version == 6 else f"{address}:{port}" for address, port in found]
    return f"ipv{version}:{','.join(texts)}"


def are_loopback(addresses: Sequence[str]) -> bool:
    """Whether what is sent there never leaves this machine, for all that the addresses say."""
    return all(_is_loopback(each) for each in addresses)


def _is_loopback(address: str) -> bool:
    if address.startswith(("unix:", "unix-abstract:")):
        return True
    if address.startswith(_SCHEMES):
        return False
    host, _ = _host_and_port(address)
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not bare or (":" in bare and bare == host) or "/" in bare or not port.isdecimal() or int(port) > 65_535:
        raise ConfigurationError(f"{address!r} is no address of a server.", hint=_HINT)
    return bare, int(port)


def _look_up(address: str) -> tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]:
    """The first IPv4 address of a name, or else its first at all."""
    host, port = _host_and_port(address)
    try:
        rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ConfigurationError(
            f"The name {host!r} cannot be looked up: {error.strerror}.", hint="Is it spelt right?"
        ) from error
    row = next((row for row in rows if row[0] is socket.AF_INET), rows[0])
    return ipaddress.ip_address(row[4][0]), port
