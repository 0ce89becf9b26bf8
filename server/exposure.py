"""Who can reach the server and its secrets by its settings alone: nothing is open to strangers unless it is said so."""

import ipaddress
from pathlib import Path

import structlog

from graph.storage.errors import BadInputError
from graph.storage.settings import Settings
from server.addresses import host_and_port

log = structlog.get_logger("penchant.server")


def check_exposure(settings: Settings) -> None:
    """Raises BadInputError for an address that others reach without TLS or authentication, unless `insecure` is set."""
    missing = []
    if settings.tls_certificate is None:
        missing.append("TLS (set tls_certificate and tls_key)")
    if settings.auth_keys is None and settings.jwt_jwks is None and settings.tls_client_ca is None:
        missing.append("authentication (set auth_keys, jwt_jwks or tls_client_ca)")
    if not missing or stays_here(settings.listen):
        return
    message = f"{settings.listen} can be reached from elsewhere, without {' and without '.join(missing)}."
    if not settings.insecure:
        raise BadInputError(
            message, hint="Or listen on 127.0.0.1 behind a proxy that does both, or say --insecure.", reason="INSECURE"
        )
    log.warning("insecure", message=message)


def warn_of_open_files(settings: Settings) -> None:
    """A line for each file with secrets, or with rights to give away, that every user of this machine can open."""
    for name in ("tls_key", "auth_keys", "jwt_jwks"):
        path: Path | None = getattr(settings, name)
        if path is not None and (rights := path.stat().st_mode & _OF_OTHERS[name]):
            does = "change" if rights & 0o002 else "read"
            log.warning(
                "file open to all", setting=name, file=str(path), message=f"Everybody may {does} it: chmod o-rw."
            )


_OF_OTHERS = {"tls_key": 0o006, "auth_keys": 0o006, "jwt_jwks": 0o002}
"""Rights of others that are too many; what a JWKS file says is public, who writes it says who is let in."""


def stays_here(listen: str) -> bool:
    """Whether an address that gRPC binds is loopback or a socket file. What cannot be told is taken for open."""
    if listen.startswith(("unix:", "unix-abstract:")):
        return True
    found = host_and_port(listen)
    if found is None:
        return False
    host, _ = found
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name, several addresses
        return False
