"""What admins do, and what others try, is one line each, whatever the log level."""

import json
from collections.abc import Callable, Iterable
from typing import Any

import grpc
import pytest
from penchant.rpcs import RPCS
from penchant.v1 import catalog_pb2 as catalog
from penchant.v1 import model_pb2 as model

from graph.storage.settings import Settings
from server.app import start
from server.auth.audit import LONGEST
from server.auth.scopes import ALL_SCOPES, SCOPES
from server.logs import set_up_logging
from tests.server.auth.conftest import SECRETS, Guarded, bearer

Lines = Callable[[int], list[dict[str, Any]]]
ADMIN = [method for method, scope in SCOPES.items() if scope == "admin"]


@pytest.fixture(autouse=True)
def errors_alone() -> Iterable[None]:
    set_up_logging("ERROR")
    yield
    set_up_logging("WARNING")


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str], eventually: Callable[..., None]) -> Lines:
    """All audit lines, once there are so many: a caller may be told that it was refused before the line is written."""
    found: list[dict[str, Any]] = []

    def look() -> int:
        said = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
        found.extend(line for line in said if line["event"] == "audit")
        return len(found)

    def wait_for(count: int) -> list[dict[str, Any]]:
        eventually(lambda: look() >= count)
        return found

    return wait_for


def test_admin_means_which_model_answers_and_what_leaves_the_catalog() -> None:
    names = {method.rpartition("/")[2] for method in ADMIN}
    of_models = {"ActivateModel", "RollbackModel", "SetLabel", "DeleteLabel"}
    assert names == of_models | {"DeleteItem", "DeleteCategory", "DeleteUser"}


@pytest.mark.parametrize("method", ADMIN)
def test_refused_attempts_are_written_down(guarded: Guarded, method: str, lines: Lines) -> None:
    for metadata in ((), bearer("pk_wrong"), bearer(SECRETS["read"]), bearer(guarded.issuer.token("write"))):
        guarded.call(method, metadata)
    said = lines(4)
    assert [(line["method"], line["caller"], line["code"], line["fields"]) for line in said] == [
        (method, "unknown", "UNAUTHENTICATED", {}),
        (method, "unknown", "UNAUTHENTICATED", {}),
        (method, "key:read", "PERMISSION_DENIED", {}),
        (method, "jwt:alice", "PERMISSION_DENIED", {}),
    ]
    assert all(line["peer"].startswith("ipv4:127.0.0.1:") and line["level"] == "info" for line in said)


@pytest.mark.parametrize(
    ("request_", "code", "fields"),
    [
        (catalog.DeleteItemRequest(item="i1"), "OK", {"item": "i1"}),
        (catalog.DeleteUserRequest(user="a\n{}"), "INVALID_ARGUMENT", {"user": "a\n{}"}),
        (
            model.ActivateModelRequest(version="m7.1", force=True, reason="x" * 999),
            "NOT_FOUND",
            {"version": "m7.1", "force": True, "reason": "x" * LONGEST},
        ),
        (model.RollbackModelRequest(from_version="m1.2"), "FAILED_PRECONDITION", {"from_version": "m1.2"}),
    ],
)
def test_a_line_says_who_did_what_and_how_it_ended(
    guarded: Guarded, lines: Lines, request_: Any, code: str, fields: dict[str, Any]
) -> None:
    method = next(rpc.path for rpc in RPCS.values() if isinstance(request_, rpc.request))
    guarded.call(method, bearer(SECRETS["admin"]), request_.SerializeToString())
    (line,) = lines(1)
    assert (line["method"], line["caller"], line["code"], line["fields"]) == (method, "key:admin", code, fields)


def test_what_is_no_admins_leaves_no_line(guarded: Guarded, lines: Lines) -> None:
    for method, scope in SCOPES.items():
        if scope != "admin":
            guarded.call(method)
            guarded.call(method, bearer(SECRETS[ALL_SCOPES[0]]))
    guarded.call(ADMIN[0])
    assert [line["method"] for line in lines(1)] == [ADMIN[0]]


def test_where_nobody_has_to_say_who_calls_the_line_is_there_too(sqlite_url: str, lines: Lines) -> None:
    app = start(Settings(database_url=sqlite_url, listen="127.0.0.1:0"))
    with grpc.insecure_channel(f"127.0.0.1:{app.port}") as channel:
        data = catalog.DeleteItemRequest(item="i1").SerializeToString()
        call: Any = channel.unary_unary(RPCS["DeleteItem"].path)
        call(data, timeout=30)
    app.stop(0)
    assert [(line["caller"], line["code"]) for line in lines(1)] == [("anybody", "OK")]
