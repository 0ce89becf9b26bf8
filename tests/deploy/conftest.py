"""What the files of deploy/ say, read as the tools that they are for read them."""

import re
import shlex
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import dockerfile
import pytest
import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm" / "penchant"
HELM = Path(__file__).with_name("helm")
GUARDED = 'tls.secretName="tls",auth.keysSecretName="keys"'
"""The least that an installation sets."""
EVERYTHING = (
    'autoscaling.enabled=true,networkPolicy.enabled=true,tls={"secretName":"tls","clientCa":"ca.crt"},workers=2,'
    'auth={"keysSecretName":"keys","jwt":{"configMapName":"jwks","issuer":"https://login.example","audience":"shop"}},'
    'artifacts.storageClassName="fast",server.readyWithoutModel=true,networkPolicy.metricsFrom=[{"namespaceSelector":{}}],'
    'imagePullSecrets=[{"name":"pull"}],server.nodeSelector={"kind":"big"},refresh.arguments=["--database","sqlite:///of-the-arguments.db"],'
    'networkPolicy.from=[{"namespaceSelector":{}}],settings={"grace_s":2.5,"log_level":"DEBUG","threads":2}'
)
NOTHING = (
    "insecure=true,metrics.enabled=false,migration.enabled=false,refresh.enabled=false,train.enabled=false,"
    'artifacts.existingClaim="mine"'
)

Manifests = list[dict[str, Any]]
Render = Callable[..., Manifests]


class Override(list[Any]):
    """A list of a compose file that takes the place of the one before, instead of going on with it."""


class _Loader(yaml.SafeLoader):
    """Knows the tag by which compose files say so."""


def _override(loader: _Loader, node: yaml.SequenceNode) -> Override:
    return Override(loader.construct_sequence(node))


_Loader.add_constructor("!override", _override)


@pytest.fixture(scope="session")
def steps() -> tuple[dockerfile.Command, ...]:
    """The instructions of the Dockerfile."""
    read: tuple[dockerfile.Command, ...] = dockerfile.parse_file(str(DEPLOY / "Dockerfile"))
    return read


@pytest.fixture(scope="session")
def compose() -> dict[str, Any]:
    """The compose file."""
    read: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
    return read


@pytest.fixture(scope="session")
def secured(compose: dict[str, Any]) -> dict[str, Any]:
    """What Docker Compose makes of both compose files."""
    beside = yaml.load((DEPLOY / "compose.secured.yaml").read_text("utf-8"), _Loader)
    merged: dict[str, Any] = _merged(compose, beside)
    return merged


def _merged(first: Any, second: Any) -> Any:
    if isinstance(second, dict):
        return first | {name: _merged(first[name], each) if name in first else each for name, each in second.items()}
    if isinstance(second, list):
        return list(second) if isinstance(second, Override) else first + second
    return second


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The helm that is installed, else the one in a package of the npm registry. Skips without either."""
    if installed := shutil.which("helm"):
        return Path(installed)
    if shutil.which("npm") is None:
        pytest.skip("neither helm nor npm is installed")
    folder = tmp_path_factory.mktemp("helm")
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(HELM / name, folder)
    subprocess.run(["npm", "ci", "--silent"], cwd=folder, check=True)
    with zipfile.ZipFile(next(folder.glob("node_modules/@aws-cdk/*/lib/layer.zip"))) as layer:
        layer.extract("helm/helm", folder)
    (folder / "helm" / "helm").chmod(0o755)
    return folder / "helm" / "helm"


@pytest.fixture(scope="session")
def render(helm: Path) -> Render:
    """The chart's manifests with values changed, as `helm template` makes them."""

    @cache
    def rendered(changes: str = GUARDED, version: str = "") -> Manifests:
        options = ["--set-json", changes] + (["--kube-version", version] if version else [])
        run = subprocess.run([helm, "template", "shop", CHART, *options], capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
        return [each for each in yaml.safe_load_all(run.stdout) if each]

    return rendered


def pods(manifests: Manifests) -> list[dict[str, Any]]:
    """The pods' specifications in Deployments, Jobs and CronJobs."""
    found = []
    for each in manifests:
        spec = each.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" in spec:
            found.append(spec["template"]["spec"])
    return found


def unit(name: str) -> list[tuple[str, str]]:
    """Names and values of a systemd unit, in order; a name may come more than once."""
    lines = (DEPLOY / "systemd" / name).read_text("utf-8").splitlines()
    return [(line.partition("=")[0], line.partition("=")[2]) for line in lines if "=" in line and line[0] != "#"]


def commented(program: str, text: str) -> list[list[str]]:
    """Command lines of `program` in comments, up to a remark three spaces later."""
    found = re.findall(rf"^#.* {program} (.+?)(?:   .*)?$", text, flags=re.MULTILINE)
    return [shlex.split(line) for line in found]


def without_comments(name: str) -> str:
    """A systemd unit with the lines that are there to be taken in: those with nothing between # and a name."""
    return re.sub(r"^#(?=[A-Z]\w+=)", "", (DEPLOY / "systemd" / name).read_text("utf-8"), flags=re.MULTILINE)
