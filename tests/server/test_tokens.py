import base64
import json
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from penchant.errors import InvalidArgumentError
from penchant.v1 import model_pb2 as model
from penchant.v1 import segment_pb2 as segment

from graph.storage.errors import BadInputError
from server.tokens import Place, decode, encode, packed

if TYPE_CHECKING:
    from tests.server.conftest import Served

MARK = zlib.crc32(repr("segments").encode())
FORGED: dict[str, Any] = {
    "a number": 5,
    "too few": [1, 2],
    "no text": [7, "", 0, 0, MARK],
    "a list as version": ["", [], 0, 0, MARK],
    "half a character": ["\ud800", "", 0, 0, MARK],
    "a version of half a character": ["", "\ud800", 0, 0, MARK],
    "a NUL": ["a\0", "", 0, 0, MARK],
    "too long": ["x" * 257, "", 0, 0, MARK],
    "a time before any": ["", "", -1, 0, MARK],
    "a time that no message holds": ["", "", 253_402_300_800 * 10**6, 0, MARK],
    "more than a column holds": ["", "", 0, 2**63, MARK],
    "a fraction": ["", "", 0, 0.5, MARK],
}


def test_a_token_leads_back_to_its_place() -> None:
    place = Place("item-ü", "m7.12", 1_700_000_000_000_000)
    assert decode(encode(place, ("filter", 1)), ("filter", 1)) == place


def test_another_request_is_refused() -> None:
    with pytest.raises(BadInputError, match="other arguments") as caught:
        decode(encode(Place("a"), "category A"), "category B")
    assert caught.value.reason == "TOKEN_OF_OTHER_REQUEST"


@pytest.mark.parametrize(
    "spoil", [lambda t: t[:-4], lambda t: "A" + t[1:], lambda t: "not base64 at all!", lambda t: "é"]
)
def test_a_mangled_token_is_refused(spoil) -> None:  # type: ignore[no-untyped-def]  # any function of a string
    with pytest.raises(BadInputError, match="no token of this server"):
        decode(spoil(encode(Place("a"), None)), None)


def test_no_single_flipped_bit_goes_unnoticed() -> None:
    raw = bytearray(base64.urlsafe_b64decode(encode(Place("key", "m1.1"), None)))
    for position in range(len(raw)):
        spoiled = bytearray(raw)
        spoiled[position] ^= 1
        with pytest.raises(BadInputError):
            decode(base64.urlsafe_b64encode(bytes(spoiled)).decode(), None)


@pytest.mark.parametrize("content", FORGED.values(), ids=FORGED)
def test_a_forged_token_is_read_like_any_other_field(content: Any) -> None:
    """Its checksum is right: anybody can make one."""
    with pytest.raises(BadInputError, match="no token of this server"):
        decode(packed(json.dumps(content).encode()), "segments")


@pytest.mark.parametrize("body", [b"", b"[" * 2_000, b"[" * 100_000, b"\xff", b"{", b"NaN"])
def test_a_token_that_holds_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(BadInputError, match="no token of this server"):
        decode(packed(body), None)


@pytest.mark.parametrize("last", ["no number", "-1", "1e3", "²", "9" * 30])
def test_a_place_that_is_no_place_is_refused(served: "Served", last: str) -> None:
    for request in (
        segment.ListSegmentsRequest(page_token=encode(Place(last, "m1.1"), "segments")),
        model.ListModelsRequest(page_token=encode(Place(last), "models")),
    ):
        with pytest.raises(InvalidArgumentError) as caught:
            served.client.call(request)
        assert caught.value.reason == "INVALID_TOKEN"


def test_a_forged_export_begins_behind_any_id(served: "Served") -> None:
    token = encode(Place("i5", "m1.1", 253_402_300_799 * 10**6, 2**62), ("export", "item", False))
    ids = [name for chunk in served.client.export_embeddings("items", resume_token=token) for name in chunk.ids]
    assert ids == ["i50", "i51", "i52", "i53", "i54", "i55", "i56", "i57", "i58", "i59", "i6", "i7", "i8", "i9"]
