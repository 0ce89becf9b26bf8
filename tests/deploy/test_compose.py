"""The compose file is one by the specification, and starts its services in the order that an upgrade needs."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from graph.storage.settings import Settings
from tests.deploy.conftest import DEPLOY


def test_both_ways_are_valid_by_the_specification(secured: dict[str, Any], tmp_path: Path) -> None:
    merged = tmp_path / "compose.yaml"
    merged.write_text(yaml.safe_dump(secured))
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    run = subprocess.run([*command, DEPLOY / "compose.yaml", merged], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_schema_comes_before_the_server_and_the_store_before_both(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert services["migrate"]["depends_on"]["postgres"]["condition"] == "service_healthy"
    assert services["penchant"]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
    assert services["migrate"]["restart"] == "no"
    assert "healthcheck" in services["postgres"]


def test_what_is_mounted_is_declared_and_secrets_are_files(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        assert set(service.get("secrets", [])) <= set(compose["secrets"])
        for volume in service.get("volumes", []):
            assert volume.split(":")[0] in compose["volumes"]
        assert "PASSWORD" not in {name for name in service.get("environment", {}) if not name.endswith("_FILE")}
    assert all(secret["file"].startswith("secrets/") for secret in compose["secrets"].values())


def test_without_tls_and_keys_the_port_stays_on_this_machine(compose: dict[str, Any], secured: dict[str, Any]) -> None:
    """What the settings say of it: test_exposure.py."""
    for file, insecure, host in ((compose, "true", "127.0.0.1:"), (secured, "false", "")):
        server = file["services"]["penchant"]
        assert server["environment"]["PENCHANT_INSECURE"] == insecure
        assert server["ports"] == [f"{host}50051:50051"]
        assert not any("ports" in other for name, other in file["services"].items() if name != "penchant")


def test_certificates_and_keys_are_renewed_in_their_folder(secured: dict[str, Any]) -> None:
    """A mounted file would stay the one that it was when the container was made."""
    folders = [volume.split(":")[1] for volume in secured["services"]["penchant"]["volumes"] if volume.endswith(":ro")]
    environment = secured["services"]["penchant"]["environment"]
    for name in ("PENCHANT_TLS_CERTIFICATE", "PENCHANT_TLS_KEY", "PENCHANT_AUTH_KEYS"):
        assert [str(Path(environment[name]).parent)] == folders


def test_calls_in_flight_get_their_grace(compose: dict[str, Any]) -> None:
    server = compose["services"]["penchant"]
    assert float(server["stop_grace_period"].removesuffix("s")) > float(server["environment"]["PENCHANT_GRACE_S"])
    assert Settings.model_fields["grace_s"].get_default() == float(server["environment"]["PENCHANT_GRACE_S"])
