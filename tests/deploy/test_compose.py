"""The compose file is one by the specification, and starts its services in the order that an upgrade needs."""

import subprocess
import sys
from typing import Any

from graph.storage.settings import Settings
from tests.deploy.conftest import DEPLOY


def test_it_is_valid_by_the_specification() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    run = subprocess.run([*command, DEPLOY / "compose.yaml"], capture_output=True, text=True, check=False)
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


def test_calls_in_flight_get_their_grace(compose: dict[str, Any]) -> None:
    server = compose["services"]["penchant"]
    assert float(server["stop_grace_period"].removesuffix("s")) > float(server["environment"]["PENCHANT_GRACE_S"])
    assert Settings.model_fields["grace_s"].get_default() == float(server["environment"]["PENCHANT_GRACE_S"])
