"""No way to deploy is refused as insecure, and the files that its settings name are where it puts them."""

from pathlib import PurePosixPath
from typing import Any

import dockerfile
import pytest

from graph.storage.errors import BadInputError
from graph.storage.settings import Settings
from server.exposure import check_exposure, stays_here
from tests.deploy.conftest import EVERYTHING, GUARDED, NOTHING, Render, pods, without_comments

FILES = ("tls_certificate", "tls_key", "tls_client_ca", "auth_keys", "jwt_jwks")
PLACES = {"PENCHANT_CONFIG", "PENCHANT_SECRETS"}
"""They name what is on the machine of the server alone."""


def settings(monkeypatch: pytest.MonkeyPatch, *layers: dict[str, str]) -> Settings:
    """As a server reads them from its environment."""
    for layer in layers:
        for name, text in layer.items():
            if name.startswith("PENCHANT_") and name not in PLACES:
                monkeypatch.setenv(name, text)
    return Settings()


def folders_of_files(known: Settings) -> set[str]:
    paths = (getattr(known, name) for name in FILES)
    return {str(PurePosixPath(path).parent) for path in paths if path is not None}


@pytest.fixture
def image(steps: tuple[dockerfile.Command, ...]) -> dict[str, str]:
    (words,) = (step.value for step in steps if step.cmd == "ENV")
    return dict(zip(words[::2], words[1::2], strict=True))


def test_the_image_alone_is_refused(monkeypatch: pytest.MonkeyPatch, image: dict[str, str]) -> None:
    """Its port may be published anywhere, so whoever starts it has to say how it is guarded."""
    known = settings(monkeypatch, image)
    assert stays_here(known.metrics_listen)
    with pytest.raises(BadInputError, match="without TLS"):
        check_exposure(known)


def test_compose_starts_a_server_either_way(
    monkeypatch: pytest.MonkeyPatch, image: dict[str, str], compose: dict[str, Any], secured: dict[str, Any]
) -> None:
    check_exposure(settings(monkeypatch, image, compose["services"]["penchant"]["environment"]))
    known = settings(monkeypatch, image, secured["services"]["penchant"]["environment"])
    assert not known.insecure
    check_exposure(known)
    assert folders_of_files(known) <= {volume.split(":")[1] for volume in secured["services"]["penchant"]["volumes"]}


@pytest.mark.network
@pytest.mark.timeout(180)
@pytest.mark.parametrize("changes", [GUARDED, EVERYTHING, NOTHING], ids=["as it is", "everything", "the least"])
def test_the_chart_starts_servers(
    monkeypatch: pytest.MonkeyPatch, image: dict[str, str], render: Render, changes: str
) -> None:
    manifests = render(changes)
    (pod,) = pods([each for each in manifests if each["kind"] == "Deployment"])
    (server,) = pod["containers"]
    known = settings(monkeypatch, image, {each["name"]: each["value"] for each in server["env"]})
    check_exposure(known)
    assert known.insecure == (changes == NOTHING)
    assert bool(known.metrics_listen) == (changes != NOTHING)
    assert (known.tls_client_ca is not None) == (known.jwt_issuer is not None) == (changes == EVERYTHING)
    assert folders_of_files(known) <= {mount["mountPath"] for mount in server["volumeMounts"]}
    for volume in pod["volumes"]:
        if volume["name"] in ("tls", "keys"):
            assert volume["secret"]["defaultMode"] == 0o440  # or the server would warn that all may read it


def test_the_unit_starts_a_server_as_it_is_and_with_the_lines_in_comments(monkeypatch: pytest.MonkeyPatch) -> None:
    check_exposure(Settings())
    lines = without_comments("penchant.service").splitlines()
    loaded = {line.partition("=")[2].partition(":")[0] for line in lines if line.startswith("LoadCredential=")}
    words = [word for line in lines if line.startswith("Environment=") for word in line.partition("=")[2].split()]
    known = settings(monkeypatch, dict(word.split("=", 1) for word in words))
    assert not stays_here(known.listen)
    check_exposure(known)
    for path in (known.tls_certificate, known.tls_key):
        assert path is not None
        assert path.parts[0] == "%d"
        assert path.name in loaded
