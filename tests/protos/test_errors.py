"""Every gRPC code becomes the exception that the table in penchant.errors promises."""

import re
from typing import TYPE_CHECKING, Any

import grpc
import penchant
import pytest
from penchant import PenchantClient, PenchantError, errors

if TYPE_CHECKING:
    from tests.protos.conftest import FakeServer

TABLE = re.findall(r"^ *([A-Z_]+) +(\w+Error) ", errors.__doc__ or "", re.MULTILINE)


@pytest.mark.parametrize(("code", "exception"), [row for row in TABLE if row[0] != "MODEL_VERSION_GONE"])
def test_code_becomes_the_exception_of_the_documented_table(
    code: str, exception: str, client: PenchantClient, fake: "FakeServer", pauses: list[float]
) -> None:
    fake.refuses("Recommend", grpc.StatusCode[code], times=6, message="do this instead")
    with pytest.raises(PenchantError) as caught:
        client.recommend("u1")
    assert type(caught.value).__name__ == exception
    assert (caught.value.code, caught.value.message) == (grpc.StatusCode[code], "do this instead")
    assert isinstance(caught.value.__cause__, grpc.RpcError)


def test_the_table_names_every_code_but_success_and_bugs() -> None:
    bugs = {"OK", "UNKNOWN", "INTERNAL", "DATA_LOSS"}
    assert {code for code, _ in TABLE} == {code.name for code in grpc.StatusCode} - bugs | {"MODEL_VERSION_GONE"}


@pytest.mark.parametrize("code", ["UNKNOWN", "INTERNAL", "DATA_LOSS"])
def test_bugs_of_the_server_are_server_errors(code: str, client: PenchantClient, fake: "FakeServer") -> None:
    fake.refuses("Recommend", grpc.StatusCode[code])
    with pytest.raises(penchant.ServerError):
        client.recommend("u1")


def test_reason_and_violations_arrive_and_are_printed(client: PenchantClient, fake: "FakeServer") -> None:
    fake.refuses(
        "Recommend",
        grpc.StatusCode.INVALID_ARGUMENT,
        message="k is too large.",
        reason="BAD_INPUT",
        violations=[("k", "at most 1,000")],
    )
    with pytest.raises(penchant.InvalidArgumentError) as caught:
        client.recommend("u1", k=5_000)
    assert caught.value.reason == "BAD_INPUT"
    assert caught.value.violations == (penchant.FieldViolation("k", "at most 1,000"),)
    assert str(caught.value) == "INVALID_ARGUMENT BAD_INPUT: k is too large.\n  k: at most 1,000"


def test_a_version_that_is_gone_has_an_exception_of_its_own(client: PenchantClient, fake: "FakeServer") -> None:
    fake.refuses("ListMembers", grpc.StatusCode.FAILED_PRECONDITION, reason="MODEL_VERSION_GONE")
    with pytest.raises(penchant.ModelVersionGoneError):
        list(client.list_members("s1"))


def test_broken_details_do_not_hide_the_error() -> None:
    class Broken(grpc.RpcError):
        def code(self) -> grpc.StatusCode:
            return grpc.StatusCode.NOT_FOUND

        def details(self) -> str:
            return "no such item"

        def trailing_metadata(self) -> Any:
            return (("grpc-status-details-bin", b"\xff\xff\xff"),)

    error = errors.from_rpc_error(Broken())
    assert isinstance(error, penchant.NotFoundError)
    assert error.message == "no such item"


def test_every_exception_is_in_the_documented_tree_and_exported() -> None:
    kinds = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, PenchantError)}
    tree = (errors.__doc__ or "").split("\nPenchantError\n")[1]
    assert set(re.findall(r"── (\w+)", tree)) == kinds - {"PenchantError"}
    assert kinds <= set(penchant.__all__)
