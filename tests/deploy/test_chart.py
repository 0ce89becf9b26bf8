"""The chart passes its linter, renders manifests that Kubernetes takes, and keeps to what production asks for."""

import math
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from graph.storage.settings import Settings
from tests.deploy.conftest import CHART, EVERYTHING, NOTHING, Manifests, Render, pods

pytestmark = [pytest.mark.network, pytest.mark.timeout(180)]
OLDEST, NEWEST = "1.30", "1.37"


def of_kind(manifests: Manifests, kind: str) -> Manifests:
    return [each for each in manifests if each["kind"] == kind]


def test_its_linter_finds_nothing(helm: Path) -> None:
    run = subprocess.run([helm, "lint", "--strict", CHART], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("changes", ["", EVERYTHING, NOTHING], ids=["as it is", "everything", "the least"])
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_kubernetes_takes_what_it_renders(render: Render, changes: str, version: str) -> None:
    manifests = render(changes, version)
    for each in manifests:
        kubernetes_validate.validate(each, version, strict=True)
    kinds = {each["kind"] for each in manifests}
    assert kinds >= {"Deployment", "Service", "ConfigMap", "PodDisruptionBudget", "ServiceAccount"}
    optional = {"HorizontalPodAutoscaler", "NetworkPolicy"}
    assert kinds & optional == (optional if changes == EVERYTHING else set())
    jobs = {"Job", "CronJob", "PersistentVolumeClaim"}
    assert kinds & jobs == (set() if changes == NOTHING else jobs)


@pytest.mark.parametrize("changes", ["", EVERYTHING], ids=["as it is", "everything"])
def test_the_settings_file_is_one(render: Render, changes: str, tmp_path: Path) -> None:
    (settings,) = of_kind(render(changes), "ConfigMap")
    file = tmp_path / "penchant.toml"
    file.write_text(settings["data"]["penchant.toml"])
    known = Settings(config=file)
    assert known.grace_s == (2.5 if changes else 10)
    assert "threads" in tomllib.loads(file.read_text()) if changes else known.threads == 0


@pytest.mark.parametrize(
    "changes", ['settings={"listen":"0.0.0.0:1"}', 'settings={"Grace":1}', "replicas=0", 'image={"tga":"1"}']
)
def test_values_that_mean_nothing_are_refused(helm: Path, changes: str) -> None:
    run = subprocess.run(
        [helm, "template", "shop", CHART, "--set-json", changes], capture_output=True, text=True, check=False
    )
    assert run.returncode != 0
    assert "schema" in run.stderr


def test_no_pod_may_do_more_than_it_has_to(render: Render) -> None:
    every = pods(render(EVERYTHING))
    assert len(every) == 4  # servers, migration, refresh, training
    for pod in every:
        assert pod["automountServiceAccountToken"] is pod["enableServiceLinks"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"] is True
            assert security["allowPrivilegeEscalation"] is False
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert {"requests", "limits"} <= container["resources"].keys()
            mounted = {mount["name"] for mount in container["volumeMounts"]}
            assert mounted <= {volume["name"] for volume in pod["volumes"]}


def test_servers_are_replaced_without_a_gap(render: Render) -> None:
    for changes, grace_s in (("", 10), (EVERYTHING, 2.5)):
        (deployment,) = of_kind(render(changes), "Deployment")
        pod = deployment["spec"]["template"]["spec"]
        assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
        drain_s = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert pod["terminationGracePeriodSeconds"] > drain_s + math.ceil(grace_s)


def test_the_schema_comes_first_and_needs_nothing_of_the_chart(render: Render) -> None:
    (job,) = of_kind(render(), "Job")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    volumes: list[dict[str, Any]] = job["spec"]["template"]["spec"]["volumes"]
    assert {key for volume in volumes for key in volume} == {"name", "secret", "emptyDir"}


def test_a_new_setting_restarts_the_servers(render: Render) -> None:
    def stamp(changes: str) -> str:
        (deployment,) = of_kind(render(changes), "Deployment")
        text: str = deployment["spec"]["template"]["metadata"]["annotations"]["checksum/settings"]
        return text

    assert stamp("") == stamp("replicas=3")
    assert stamp("") != stamp('settings={"grace_s":11}')
