"""Requests from JSON and answers to JSON, as a shell sees them."""

import inspect
import json
import sys
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message

from penchant.rpcs import Rpc

# Its name changed in protobuf 5.26; without it a history_events of 0 would not be printed.
_PRINT_DEFAULTS = next(
    name
    for name in ("always_print_fields_with_no_presence", "including_default_value_fields")
    if name in inspect.signature(json_format.MessageToJson).parameters
)


class UsageError(Exception):
    """The command line is wrong; the message says how to mend it."""


def read_requests(rpc: Rpc, text: str) -> list[Message]:
    """The requests in `text`: one, of a rpc that takes a stream one or more. UsageError where there is none."""
    try:
        values = list(_values(text))
        if not values or (len(values) > 1 and not rpc.uploads):
            raise UsageError(f"{rpc.name} takes {'at least one' if rpc.uploads else 'one'} request, not {len(values)}")
        return [json_format.ParseDict(each, rpc.request()) for each in values]
    except (json.JSONDecodeError, json_format.ParseError, TypeError, AttributeError) as error:
        fields = ", ".join(field.name for field in rpc.request.DESCRIPTOR.fields) or "none"
        raise UsageError(f"the request is no {rpc.request.__name__}: {error}. Its fields: {fields}") from error


def write_answer(answer: Message) -> None:
    """To standard output, at once: whoever reads a stream wants each answer when it comes."""
    layout: dict[str, Any] = {_PRINT_DEFAULTS: True, "preserving_proto_field_name": True, "ensure_ascii": False}
    sys.stdout.write(json_format.MessageToJson(answer, **layout) + "\n")
    sys.stdout.flush()


def _values(text: str) -> Any:
    """All JSON values in `text`, whatever white space is between them."""
    decoder, rest = json.JSONDecoder(), text.strip()
    while rest:
        value, end = decoder.raw_decode(rest)
        yield value
        rest = rest[end:].lstrip()
