"""How a client reaches its servers: addresses, encryption and what it shows to be let in.

What is no argument is read from the environment:

    address        PENCHANT_CLIENT_ADDRESS
    ca             PENCHANT_CLIENT_CA
    certificate    PENCHANT_CLIENT_CERTIFICATE
    key            PENCHANT_CLIENT_KEY
    server_name    PENCHANT_CLIENT_SERVER_NAME
    token          PENCHANT_CLIENT_TOKEN
    api_key        PENCHANT_CLIENT_API_KEY
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import grpc

from penchant import addresses
from penchant.errors import ConfigurationError

Pem = Path | str | bytes
"""The path of a PEM file, or what is in it."""

Given = TypeVar("Given")

DEFAULT_CA = "default"
"""As `ca`: the public authorities that gRPC brings, or those of $GRPC_DEFAULT_SSL_ROOTS_FILE_PATH."""


@dataclass(frozen=True, slots=True)
class Connection:
    """What `connection` made of its arguments and the environment; its repr holds no secret."""

    addresses: tuple[str, ...]
    server_name: str
    """The name that the servers' certificates are checked for; empty: the address's own."""
    credentials: grpc.ChannelCredentials | None = field(repr=False)
    """None: not encrypted."""
    metadata: tuple[tuple[str, str], ...] = field(repr=False)
    """Sent with every call: the token, the key."""

    def __str__(self) -> str:
        encryption = "unencrypted" if self.credentials is None else "TLS"
        shown = " and ".join(name for name, _ in self.metadata)
        return f"{', '.join(self.addresses)} ({encryption}{', with ' if shown else ''}{shown})"


def connection(
    address: str | Sequence[str] | None = None,
    *,
    ca: Pem | None = None,
    certificate: Pem | None = None,
    key: Pem | None = None,
    server_name: str | None = None,
    credentials: grpc.ChannelCredentials | None = None,
    token: str | None = None,
    api_key: str | None = None,
    plaintext_token: bool = False,
) -> Connection:
    """The arguments are those of PenchantClient. ConfigurationError where they do not go together."""
    found = addresses.split(_or_environment(address, "ADDRESS") or "")
    name = _or_environment(server_name, "SERVER_NAME") or ""
    if credentials is not None and (ca or certificate or key):
        raise ConfigurationError("Both credentials and files for TLS are given.", hint="Give one of them.")
    secured = credentials or _credentials(
        _or_environment(ca, "CA"), _or_environment(certificate, "CERTIFICATE"), _or_environment(key, "KEY")
    )
    if secured is not None and len(found) > 1 and not name:
        raise ConfigurationError(
            "Several addresses with TLS have one name that all their certificates are checked for, and none is given.",
            hint="Set server_name, or give one DNS name that has all the addresses.",
        )
    metadata = _metadata(_or_environment(token, "TOKEN"), _or_environment(api_key, "API_KEY"))
    if metadata and secured is None and not plaintext_token and not addresses.are_loopback(found):
        raise ConfigurationError(
            f"A token is not sent to {', '.join(found)} without encryption, where others could read it.",
            hint="Set ca for TLS; if the network itself is encrypted, allow it with plaintext_token.",
        )
    return Connection(found, name, secured, metadata)


def _or_environment(given: Given | None, name: str) -> Given | str | None:
    """What was given, were it empty; else what the environment says."""
    return os.environ.get(f"PENCHANT_CLIENT_{name}") if given is None else given


def _credentials(ca: Pem | None, certificate: Pem | None, key: Pem | None) -> grpc.ChannelCredentials | None:
    """None where nothing asks for TLS."""
    if bool(certificate) != bool(key):
        given, missing = ("certificate", "key") if certificate else ("key", "certificate")
        raise ConfigurationError(f"There is a {given} without its {missing}.", hint="Mutual TLS needs both.")
    if not ca and not certificate:
        return None
    roots = None if not ca or ca == DEFAULT_CA else _read(ca, "ca")
    chain, private = (_read(certificate, "certificate"), _read(key, "key")) if certificate and key else (None, None)
    return grpc.ssl_channel_credentials(roots, private, chain)


def _read(pem: Pem, name: str) -> bytes:
    """Checked to be PEM, because gRPC would only say that it cannot connect."""
    if isinstance(pem, str) and "-----BEGIN " in pem:
        pem = pem.encode()
    if isinstance(pem, bytes):
        where, data = "What was given", pem
    else:
        where = str(pem)
        try:
            data = Path(pem).read_bytes()
        except OSError as error:
            raise ConfigurationError(
                f"The {name} {where} cannot be read: {error.strerror}.", hint="Give the path of a PEM file."
            ) from error
    if b"-----BEGIN " not in data:
        raise ConfigurationError(f"{where} is no PEM file, as the {name} has to be.", hint="Convert it with openssl.")
    return data


def _metadata(token: str | None, api_key: str | None) -> tuple[tuple[str, str], ...]:
    metadata = []
    if token:
        metadata.append(("authorization", f"Bearer {_checked(token, 'token')}"))
    if api_key:
        metadata.append(("x-api-key", _checked(api_key, "api_key")))
    return tuple(metadata)


def _checked(secret: str, name: str) -> str:
    """Without the line's end of a file. Checked here: gRPC's own error would show the secret."""
    secret = secret.strip()
    if not secret or not secret.isascii() or not secret.isprintable() or " " in secret:
        raise ConfigurationError(
            f"The {name} has characters that no header can carry.", hint="Printable ASCII without blanks is allowed."
        )
    return secret
