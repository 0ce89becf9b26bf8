"""Tokens name the revision that they were made by, and no other goes on with them."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from penchant.errors import ModelVersionGoneError
from penchant.v1 import segment_pb2 as segment

if TYPE_CHECKING:
    from tests.server.conftest import Running


def test_a_server_that_never_had_the_revision_does_not_go_on_with_another(
    run: Callable[[], "Running"], eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.servicers.embedding.USERS_PER_READ", 10)
    monkeypatch.setattr("server.servicers.embedding.CHUNK_IDS", 5)
    running = run()
    export = {kind: next(running.client.export_embeddings(kind)) for kind in ("users", "items")}
    page = running.client.call(segment.ListSegmentsRequest(page_size=1))
    assert isinstance(page, segment.ListSegmentsResponse)
    running.client.activate_model("m1.2")
    eventually(lambda: running.client.get_server_info().model_version == "m1.2")
    rest = list(running.client.export_embeddings("users", resume_token=export["users"].resume_token))
    assert {chunk.model_version for chunk in rest} == {"m1.1"}
    assert {chunk.as_of for chunk in rest} == {export["users"].as_of}

    other = run()
    assert other.client.get_server_info().model_version == "m1.2"
    for kind, chunk in export.items():
        with pytest.raises(ModelVersionGoneError):
            next(other.client.export_embeddings(kind, resume_token=chunk.resume_token))  # type: ignore[arg-type]  # of one type each
    with pytest.raises(ModelVersionGoneError):
        other.client.call(segment.ListSegmentsRequest(page_size=1, page_token=page.next_page_token))
