"""Every method has its scope, and lets in those that have it and nobody else."""

from collections.abc import Iterator
from types import ModuleType

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from penchant import v1
from penchant.rpcs import RPCS

from graph.storage.errors import PenchantError
from server.auth.scopes import ALL_SCOPES, SCOPES, require_scopes
from server.border import Rpcs
from tests.server.auth.conftest import SECRETS, Guarded, bearer

REFUSED = {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}


def methods() -> Iterator[str]:
    """All that the descriptors have, whether or not anybody thought of them."""
    ours = [module for module in vars(v1).values() if isinstance(module, ModuleType) and hasattr(module, "DESCRIPTOR")]
    for module in [*ours, health_pb2, reflection_pb2]:
        for service in module.DESCRIPTOR.services_by_name.values():
            yield from (f"/{service.full_name}/{method.name}" for method in service.methods)


def test_the_table_has_all_methods_and_no_others() -> None:
    assert {rpc.path for rpc in RPCS.values()} < set(methods())
    assert set(SCOPES) == set(methods())


def test_a_method_without_a_row_is_refused_at_start() -> None:
    require_scopes("penchant.v1.InterestService", ["Score"])
    with pytest.raises(PenchantError, match=r"who may call penchant\.v1\.InterestService/Guess"):
        # Neither threads nor calls are needed to refuse it.
        Rpcs(None, None).add_registered_method_handlers("penchant.v1.InterestService", {"Guess": None})  # type: ignore[arg-type, dict-item]


@pytest.mark.parametrize("method", SCOPES)
def test_a_method_lets_in_its_own_scope_alone(guarded: Guarded, method: str) -> None:
    scope = SCOPES[method]
    without = guarded.call(method)
    if scope is None:
        assert without is None or without.code not in REFUSED
        return
    assert without is not None
    assert (without.code, without.reason) == (grpc.StatusCode.UNAUTHENTICATED, "MISSING_CREDENTIALS")
    for other in ALL_SCOPES:
        ended = guarded.call(method, bearer(SECRETS[other]))
        if other == scope:
            assert ended is None or ended.code not in REFUSED
        else:
            assert ended is not None
            assert (ended.code, ended.reason) == (grpc.StatusCode.PERMISSION_DENIED, "MISSING_SCOPE")
            assert f"lacks the scope {scope}" in ended.message


def test_nothing_of_a_refused_request_is_decoded(guarded: Guarded) -> None:
    """Bytes that are no message are told from a message only to those who may send one."""
    method, nonsense = "/penchant.v1.InterestService/Score", b"\xff\xff\xff"
    refused, told = guarded.call(method, (), nonsense), guarded.call(method, bearer(SECRETS["read"]), nonsense)
    assert refused is not None
    assert told is not None
    assert (refused.reason, told.reason) == ("MISSING_CREDENTIALS", "UNDECODABLE_REQUEST")
