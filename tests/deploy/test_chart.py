"""The chart passes its linter, renders manifests that Kubernetes takes, and keeps to what production asks for."""

import math
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from graph.storage.settings import Settings
from tests.deploy.conftest import CHART, EVERYTHING, GUARDED, NOTHING, Manifests, Render, pods

pytestmark = [pytest.mark.network, pytest.mark.timeout(180)]
OLDEST, NEWEST = "1.30", "1.37"


def of_kind(manifests: Manifests, kind: str) -> Manifests:
    return [each for each in manifests if each["kind"] == kind]


def test_its_linter_finds_nothing(helm: Path) -> None:
    run = subprocess.run([helm, "lint", "--strict", CHART], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("changes", [GUARDED, EVERYTHING, NOTHING], ids=["as it is", "everything", "the least"])
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


@pytest.mark.parametrize("changes", [GUARDED, EVERYTHING], ids=["as it is", "everything"])
def test_the_settings_file_is_one(render: Render, changes: str, tmp_path: Path) -> None:
    (settings,) = of_kind(render(changes), "ConfigMap")
    file = tmp_path / "penchant.toml"
    file.write_text(settings["data"]["penchant.toml"])
    known = Settings(config=file)
    assert known.grace_s == (2.5 if changes == EVERYTHING else 10)
    assert ("threads" in tomllib.loads(file.read_text())) == (changes == EVERYTHING)


@pytest.mark.parametrize(
    "changes",
    [
        'settings={"listen":"0.0.0.0:1"}',
        'settings={"insecure":true}',
        'settings={"Grace":1}',
        "replicas=0",
        "workers=0",
        'image={"tga":"1"}',
    ],
)
def test_values_that_mean_nothing_are_refused(helm: Path, changes: str) -> None:
    run = subprocess.run(
        [helm, "template", "shop", CHART, "--set-json", changes], capture_output=True, text=True, check=False
    )
    assert run.returncode != 0
    assert "schema" in run.stderr


@pytest.mark.parametrize(
    ("changes", "what_to_set"),
    [
        ("replicas=2", "set tls.secretName, and auth.keysSecretName"),
        ('tls.secretName="tls"', "set tls.secretName, and auth.keysSecretName"),
        ('auth.keysSecretName="keys"', "set tls.secretName, and auth.keysSecretName"),
        ('insecure=true,tls.clientCa="ca.crt"', "tls.secretName, which is not set"),
        ('insecure=true,auth.jwt.configMapName="jwks"', "set auth.jwt.issuer, auth.jwt.audience"),
        ('insecure=true,auth.jwt.audience="shop"', "auth.jwt.configMapName or auth.jwt.secretName"),
        ('insecure=true,auth.jwt={"configMapName":"jwks","secretName":"jwks"}', "set one of them"),
        (f"{GUARDED},metrics.enabled=false", "set metrics.enabled=true"),
    ],
)
def test_what_no_server_could_start_with_is_refused_with_what_to_set(
    helm: Path, changes: str, what_to_set: str
) -> None:
    run = subprocess.run(
        [helm, "template", "shop", CHART, "--set-json", changes], capture_output=True, text=True, check=False
    )
    assert run.returncode != 0
    assert what_to_set in run.stderr


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
    for changes, grace_s in ((GUARDED, 10), (EVERYTHING, 2.5)):
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

    assert stamp(GUARDED) == stamp(f"{GUARDED},replicas=3")
    assert stamp(GUARDED) != stamp(f'{GUARDED},settings={{"grace_s":11}}')


def test_probes_go_over_http_where_there_is_that_and_else_over_grpc(render: Render) -> None:
    def asked(changes: str) -> dict[str, Any]:
        (server,) = pods(of_kind(render(changes), "Deployment"))[0]["containers"]
        return {name: server[f"{name}Probe"] for name in ("startup", "liveness", "readiness")}

    for changes, ready in ((GUARDED, "/readyz"), (EVERYTHING, "/healthz")):
        paths = {name: probe["httpGet"]["path"] for name, probe in asked(changes).items()}
        assert paths == {"startup": "/healthz", "liveness": "/healthz", "readiness": ready}
    services = {name: probe["grpc"]["service"] for name, probe in asked(NOTHING).items()}
    assert services["startup"] == services["liveness"] == "penchant.v1.ServerService"
    assert services["readiness"] == ""


def test_metrics_of_every_worker_can_be_found(render: Render) -> None:
    manifests = render(EVERYTHING)
    (server,) = pods(of_kind(manifests, "Deployment"))[0]["containers"]
    (service,) = of_kind(manifests, "Service")
    (policy,) = of_kind(manifests, "NetworkPolicy")
    ports = {port["name"]: port["containerPort"] for port in server["ports"]}
    assert {"name": "PENCHANT_WORKERS", "value": str(len(ports) - 1)} in server["env"]
    assert ports == {"grpc": 50051, "metrics": 9464, "metrics-2": 9465}
    assert {port["targetPort"]: port["port"] for port in service["spec"]["ports"]} == ports
    assert {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]} == set(ports)
