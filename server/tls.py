"""The server's certificate, and whose certificates it asks clients for; both are renewed without a restart.

gRPC asks for the certificate at every new connection. Connections that are open keep the one they began with.
"""

import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from graph.storage.errors import BadInputError
from graph.storage.settings import Settings
from server.auth.watched import Watched, read_bytes


def credentials_of(settings: Settings) -> grpc.ServerCredentials | None:
    """None where no certificate is set. Raises BadInputError for files that cannot be used together."""
    certificate, key, client_ca = settings.tls_certificate, settings.tls_key, settings.tls_client_ca
    if certificate is None or key is None:
        if certificate or key or client_ca:
            raise BadInputError(
                "TLS needs tls_certificate and tls_key, and tls_client_ca does nothing without them.",
                hint="Set both, or none of the three.",
            )
        return None
    paths = [certificate, key, *([client_ca] if client_ca else [])]
    files = Watched(paths, lambda: _read(certificate, key, client_ca))
    lock = threading.Lock()

    def renewed() -> Any:
        with lock:  # gRPC asks from threads of its own
            return files.content if files.renew() else None  # None, which its types do not know: as before

    return grpc.dynamic_ssl_server_credentials(files.content, renewed, client_ca is not None)


def _read(certificate: Path, key: Path, client_ca: Path | None) -> grpc.ServerCertificateConfiguration:
    """gRPC takes anything here and then fails every handshake, so that what is wrong is looked for before."""
    chain, private = read_bytes(certificate), read_bytes(key)
    first = _certificates(certificate, chain)[0]
    spki = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    try:
        public = load_pem_private_key(private, password=None).public_key().public_bytes(*spki)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:  # TypeError for a key with a password
        raise BadInputError(f"{key} is no private key in PEM without a password.") from error
    if public != first.public_key().public_bytes(*spki):
        raise BadInputError(
            f"{key} is not the key of {certificate}.",
            hint="The server's own certificate stands first in its file, those of its issuers after it.",
        )
    if first.not_valid_after_utc <= datetime.now(UTC):
        raise BadInputError(f"{certificate} was valid until {first.not_valid_after_utc}.", hint="Renew it.")
    roots = read_bytes(client_ca) if client_ca else None
    if client_ca and roots is not None:
        _certificates(client_ca, roots)
    return grpc.ssl_server_certificate_configuration([(private, chain)], roots)


def _certificates(path: Path, content: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError as error:
        raise BadInputError(f"{path} holds no certificate in PEM.", hint="It begins with BEGIN CERTIFICATE.") from error
