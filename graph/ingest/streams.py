"""Text files as blocks of whole lines, so that memory does not grow with the file and every line keeps its number."""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from graph.ingest.sources import Unpacked
from graph.storage.errors import BadInputError

BLOCK_BYTES = 16 << 20
LONGEST_RECORD_BYTES = 4 * BLOCK_BYTES

# A file that starts like this is not text, whatever it is called.
_SIGNATURES = {
    b"PAR1": "Parquet",
    b"ARROW1": "Arrow",
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
    b"SQLite format 3": "an SQLite database",
}
_WIDE_MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


@dataclass(frozen=True)
class Block:
    """UTF-8 text of whole lines; `first_line` numbers the first one; `consumed` bytes of the file, packed as it is."""

    text: bytes
    first_line: int
    consumed: int


def refuse_other_formats(path: Path, head: bytes, encoding: str) -> None:
    """Raise BadInputError for a file that is plainly not text in `encoding`."""
    for signature, name in _SIGNATURES.items():
        if head.startswith(signature):
            hint = "Say format = 'parquet' in the mapping." if name == "Parquet" else "Unpack or convert it first."
            raise BadInputError(f"{path} is not text but {name}.", hint=hint)
    for mark, name in _WIDE_MARKS.items():
        if head.startswith(mark) and not encoding.startswith("utf-16"):
            raise BadInputError(f"{path} is written in {name}.", hint=f"Say encoding = '{name}' in the mapping.")
    if b"\x00" in head and encoding == "utf-8":
        hint = "Say encoding = 'utf-16-le' if it is text of that kind."
        raise BadInputError(f"{path} is not text: it has zero bytes near its start.", hint=hint)


def blocks(path: Path, encoding: str = "utf-8", *, quote: bytes | None = None) -> Iterator[Block]:
    """Blocks of whole records in UTF-8, a byte-order mark removed. Bytes broken in UTF-8 are passed on as they are.

    With `quote`, a block ends where an even number of quotes lies behind, because a line break inside quotes ends no
    record. An opening quote that is never closed makes that impossible; past LONGEST_RECORD_BYTES any line end will do.
    Where there is none, BadInputError.
    """
    decoder = None if encoding == "utf-8" else codecs.getincrementaldecoder(encoding)("replace")
    rest, line = b"", 1
    with Unpacked(path) as file:
        first = True
        while True:
            chunk = file.read(BLOCK_BYTES)
            last = not chunk
            if first:
                refuse_other_formats(path, chunk[:4096], encoding)
            text = decoder.decode(chunk, last).encode() if decoder else chunk
            if first:
                text = text.removeprefix(codecs.BOM_UTF8)
            first = False
            consumed = file.consumed
            text = rest + text
            end = len(text) if last else _record_end(text, quote)
            if end == 0 and len(text) > LONGEST_RECORD_BYTES:  # a few packed bytes unpack to a line of any length
                raise BadInputError(
                    f"{path} has no line end in {LONGEST_RECORD_BYTES:,} bytes from line {line} on.",
                    hint="Is it text, one row a line?",
                )
            block, rest = text[:end], text[end:]
            if block:
                yield Block(block, line, consumed)
                line += block.count(b"\n")
            if last:
                return


def _record_end(text: bytes, quote: bytes | None) -> int:
    """Position after the last line end at which a record ends; 0 when more text is needed."""
    end = text.rfind(b"\n") + 1
    if quote is None or end == 0:
        return end
    last_end, open_quotes = end, text.count(quote, 0, end) % 2
    while end and open_quotes:
        before = text.rfind(b"\n", 0, end - 1) + 1
        open_quotes ^= text.count(quote, before, end) % 2
        end = before
    return end or (last_end if len(text) > LONGEST_RECORD_BYTES else 0)
