import base64

import pytest

from graph.storage.errors import BadInputError
from server.tokens import Place, decode, encode


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
