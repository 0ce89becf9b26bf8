"""The one place that reads settings: flags over the environment (`PENCHANT_…`), `.env`, secrets, a file, defaults."""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from graph.storage.errors import BadInputError

PREFIX = "PENCHANT_"
DEFAULT_FILE = Path("penchant.toml")
DEFAULT_SECRETS = Path("/run/secrets")
_HINT = "`penchant config` prints one to start from."
_OF_OTHERS = re.compile("(CLIENT|TEST|SERVICE|PORT)(_|$)")
"""Names after the prefix that mean the client and the tests; and those that Kubernetes sets in every container beside a
service called penchant."""


class Settings(BaseSettings):
    """What an installation may choose. Names that none of these has are refused, wherever they stand."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_file=".env", extra="forbid", frozen=True)

    config: Path = Field(DEFAULT_FILE, description="TOML file with these settings, may be missing unless it is named")
    secrets: Path = Field(
        DEFAULT_SECRETS,
        description="folder of files called as in the environment, one a setting, may be missing unless it is named",
    )
    database_url: str = Field("sqlite:///penchant.db", description="SQLAlchemy URL of the store")
    artifacts: Path = Field(Path("artifacts"), description="folder of the published models")
    listen: str = Field("127.0.0.1:50051", description="address that `penchant serve` binds, port 0 takes a free one")
    workers: int = Field(1, ge=1, le=256, description="processes that serve on one port; each does what one core can")
    serve_device: Literal["cpu", "cuda", "auto"] = Field(
        "cpu",
        description="where users' vectors are computed when serving: cuda is owned by one process, which all workers "
        "ask; auto takes it where it is there",
    )
    tls_certificate: Path | None = Field(
        None, description="PEM file of the server's certificate and its chain; a renewed one is taken without a restart"
    )
    tls_key: Path | None = Field(None, description="PEM file of the private key that belongs to tls_certificate")
    tls_client_ca: Path | None = Field(
        None, description="PEM file of the authorities whose client certificates are let in; nobody else is"
    )
    auth_keys: Path | None = Field(
        None, description="file of the API keys that `penchant keys` writes; with it calls need credentials"
    )
    jwt_jwks: Path | None = Field(
        None, description="JWKS file of the keys that sign JSON Web Tokens; with it calls need credentials"
    )
    jwt_issuer: str | None = Field(None, min_length=1, description="`iss` that a token must have")
    jwt_audience: str | None = Field(None, min_length=1, description="`aud` that a token must have")
    rate_per_caller: float = Field(
        0, ge=0, allow_inf_nan=False, description="calls per second of one key or token's subject, 0 = as many as come"
    )
    insecure: bool = Field(False, description="listen beyond this machine although TLS or authentication is missing")
    threads: int = Field(
        0, ge=0, description="threads for tensor work, 0 = as many as cores; of each call when serving, 0 = one"
    )
    unknown_items: Literal["reject", "create"] = Field(
        "reject", description="events of items that the catalog does not have: refused, or the items created"
    )
    clock_tolerance_s: float = Field(
        60, ge=0, le=86_400, description="how far ahead of the server's clock an event may say it happened, seconds"
    )
    known_users_mib: int = Field(
        256,
        ge=0,
        description="memory for what is known of users who were asked about lately, MiB; a user takes some 80 KiB",
    )
    patience_ms: float = Field(
        250,
        gt=0,
        description="who would wait longer for an answer is sent away, milliseconds; a fifth of it where a queue lasts",
    )
    grace_s: float = Field(10, ge=0, description="time that calls in flight get to finish after SIGTERM, seconds")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="what is worth a log line")
    slow_call_ms: float = Field(
        1_000, ge=0, description="calls that take longer get a line at WARNING, milliseconds, 0 = none; streams never"
    )
    metrics_listen: str = Field(
        "", description="address for /metrics, /healthz and /readyz over HTTP, such as 127.0.0.1:9464; empty = none"
    )
    otlp_endpoint: str = Field(
        "", description="OTLP collector that takes traces over gRPC, such as http://localhost:4317; empty = no traces"
    )
    trace_ratio: float = Field(
        0.01, ge=0, le=1, description="share of the calls that are traced, where the caller has not decided"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        above = (init_settings, _Environment(settings_cls), dotenv_settings)
        given = [source() for source in above]
        file = _file(given)
        return *above, _Secrets(_folder([*given, file()])), file


def origins(flags: dict[str, Any]) -> dict[str, str]:
    """By setting, where its value comes from: flag, environment, .env, the folder of secrets, the name of the file, or
    default."""
    above = {"flag": flags, "environment": _Environment(Settings)(), ".env": DotEnvSettingsSource(Settings)()}
    file = _file(list(above.values()))
    folder = _folder([*above.values(), file()])
    layers = above | {str(folder or DEFAULT_SECRETS): _Secrets(folder)(), str(file.toml_file_path): file()}
    return {
        name: next((layer for layer, given in layers.items() if name in given), "default")
        for name in Settings.model_fields
    }


class _Environment(EnvSettingsSource):
    """Also brings names that are no setting, so that they are refused as those in a file are."""

    def __call__(self) -> dict[str, Any]:
        return super().__call__() | _strangers(os.environ)


class _Secrets(SecretsSettingsSource):
    """A file a setting, as container platforms and systemd hand over what nobody else should read."""

    def __init__(self, folder: Path | None) -> None:
        super().__init__(Settings, folder)
        self._names = [path.name for path in folder.iterdir()] if folder else []

    def __call__(self) -> dict[str, Any]:
        found = super().__call__() | _strangers(self._names)
        for name in {"config", "secrets"}.intersection(found):
            raise BadInputError(
                f"{self.secrets_dir} sets {name}, but a secret cannot say where settings stand.",
                hint=f"Set {PREFIX}{name.upper()} in the environment.",
            )
        return found


def _strangers(names: Iterable[str]) -> dict[str, str]:
    """Those that begin as settings do, but are none, nor another's."""
    ours = [name.upper().removeprefix(PREFIX) for name in names if name.upper().startswith(PREFIX)]
    unknown = (name for name in ours if name.lower() not in Settings.model_fields)
    return {name.lower(): "" for name in unknown if not _OF_OTHERS.match(name)}


def _file(above: Sequence[dict[str, Any]]) -> TomlConfigSettingsSource:
    """The file that what is `above` it names, else the default one, which may be missing."""
    named = _named("config", above)
    path = Path(named or DEFAULT_FILE)
    if named and not path.is_file():
        raise BadInputError(f"There is no settings file {path}.", hint=_HINT)
    try:
        file = TomlConfigSettingsSource(Settings, path)
    except ValueError as error:  # with line and column
        raise BadInputError(f"{path} is no TOML: {error}.", hint=_HINT) from error
    if "config" in file.toml_data:
        raise BadInputError(f"{path} sets config, but a settings file cannot name another.", hint="Remove the line.")
    return file


def _folder(given: Sequence[dict[str, Any]]) -> Path | None:
    """The folder of secrets; None where nobody names one and the default one is missing."""
    named = _named("secrets", given)
    path = Path(named or DEFAULT_SECRETS)
    if named and not path.is_dir():
        raise BadInputError(f"There is no folder of secrets {path}.", hint="Name one that is there, or none.")
    return path if path.is_dir() else None


def _named(setting: str, layers: Sequence[dict[str, Any]]) -> Any:
    """The value that the strongest of the layers gives, None where none does."""
    return next((given[setting] for given in layers if setting in given), None)
