"""A made-up shop as files: catalog, users, events, the mapping to load them, and the truth."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from graph.storage.errors import BadInputError
from graph.synth.dirt import TRUTH_SCHEMA, Lines, plant, spoil
from graph.synth.dirt_kinds import DIRT
from graph.synth.files import BlockFile, mapping_toml, write_whole
from graph.synth.names import ids
from graph.synth.options import Options
from graph.synth.people import COUNTRIES
from graph.synth.shop import Shop, make_shop
from graph.synth.truth import event_truth, item_truth, shop_truth, user_truth
from graph.synth.visits import KINDS, Block, make_block
from graph.threads import in_threads

MAPPING = "shop.toml"
Progress = Callable[[int], None]
"""Called after every block with the number of events written so far."""
_LOOP = 3
"""Categories of a planted cycle."""


@dataclass
class Written:
    mapping: Path
    lines: dict[str, int] = field(default_factory=dict)  # of each table, the header not counted
    dirt: Counter[str] = field(default_factory=Counter)  # kind -> lines


@dataclass(frozen=True, eq=False)
class _Names:
    users: pl.Series
    items: pl.Series
    categories: pl.Series


def write_shop(options: Options, folder: Path, progress: Progress | None = None) -> Written:
    """Writes into `folder`, which is made; the truth below it, truth.json last.

    Raises BadInputError for a folder that holds something already.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInputError(f"--out {folder} is not empty.", hint="Name a new folder, or empty it.", field="out")
    (folder / "truth").mkdir(parents=True, exist_ok=True)
    shop = make_shop(options)
    names = _Names(ids("u", options.users), ids("i", options.items), ids("c", options.categories))
    written = Written(folder / MAPPING)
    dirty = _write_catalog(shop, names, folder, written)
    _write_events(shop, names, folder, written, dirty, progress)
    written.mapping.write_text(mapping_toml(f"synth-{options.seed}", options.format), encoding="utf-8")
    truth = shop_truth(shop, names.users, names.items, names.categories)
    truth |= {"lines": written.lines, "dirt": dict(written.dirt)}
    (folder / "truth" / "truth.json").write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")
    return written


def _write_catalog(shop: Shop, names: _Names, folder: Path, written: Written) -> pl.DataFrame:
    """Categories, items and users; returns the truth of the dirt in them."""
    options, catalog, people = shop.options, shop.catalog, shop.people
    parent = pl.Series(catalog.tree.parent)
    categories = pl.DataFrame(
        {"category": names.categories, "name": "Category " + names.categories, "parent": _at(names.categories, parent)}
    )
    loops = _loops(options)
    category = names.categories.gather(catalog.tree.leaves[catalog.leaf])
    second = _at(names.categories, pl.Series(catalog.second))
    items = pl.DataFrame(
        {
            "item": names.items,
            "name": "Item " + names.items,
            "price": catalog.price,
            "categories": pl.select(pl.concat_str(category, second, separator="|", ignore_nulls=True)).to_series(),
        }
    )
    users = pl.DataFrame({"user": names.users, "country": pl.Series(COUNTRIES).gather(people.country)})
    for name, frame in (("categories", pl.concat([categories, loops])), ("items", items), ("users", users)):
        write_whole(frame, folder / f"{name}.{options.format}")
        written.lines[name] = frame.height
    write_whole(item_truth(shop, names.items, names.categories), folder / "truth" / "items.parquet")
    write_whole(user_truth(shop, names.users, names.categories), folder / "truth" / "users.parquet")
    line = _first_line(options) + categories.height + np.arange(loops.height)
    looped = {"table": "categories", "line": line, "dirt": "cycle", "reason": DIRT["cycle"][0]}
    return pl.DataFrame(looped, schema=TRUTH_SCHEMA)


def _write_events(
    shop: Shop, names: _Names, folder: Path, written: Written, dirty: pl.DataFrame, progress: Progress | None
) -> None:
    options = shop.options
    line, done = _first_line(options), 0
    truth = folder / "truth"
    with (
        BlockFile(folder / f"events.{options.format}") as events,
        BlockFile(truth / "events.parquet") as causes,
        BlockFile(truth / "dirt.parquet") as dirt,
    ):
        dirt.write(dirty)
        for block, lines, frame in in_threads(lambda number: _block(shop, names, number), range(shop.n_blocks)):
            events.write(frame, lines.of("ragged") if lines else None)
            causes.write(event_truth(block))
            if lines:
                spoilt = lines.truth(line)
                dirt.write(spoilt)
                written.dirt.update(spoilt["dirt"].to_list())
            line, done = line + frame.height, done + len(block)
            if progress is not None:
                progress(done)
    written.dirt.update(dirty["dirt"].to_list())
    written.lines["events"] = line - _first_line(options)


def _block(shop: Shop, names: _Names, number: int) -> tuple[Block, Lines | None, pl.DataFrame]:
    """A block, how it is spoilt, and its lines as columns."""
    options = shop.options
    block = make_block(shop, number)
    lines = plant(options, number, len(block)) if options.dirt else None
    event = np.arange(len(block)) if lines is None else lines.event
    frame = _columns(block.take(event), block.first + event, names, options)
    return block, lines, frame if lines is None else spoil(frame, lines, options.events, options.format)


def _columns(block: Block, event_id: np.ndarray, names: _Names, options: Options) -> pl.DataFrame:
    time = pl.Series(block.occurred_at)
    return pl.DataFrame(
        {
            "event_id": event_id,
            "user": names.users.gather(block.user),
            "item": names.items.gather(block.item),
            "kind": pl.Series(KINDS).gather(block.kind),
            "value": pl.Series(block.value).fill_nan(None),
            "session": block.session,
            "occurred_at": time if options.format == "csv" else time.cast(pl.Datetime("us", "UTC")),
        }
    )


def _first_line(options: Options) -> int:
    """As `penchant ingest` counts: a header is line 1, rows of Parquet begin at 1."""
    return 2 if options.format == "csv" else 1


def _loops(options: Options) -> pl.DataFrame:
    """Categories that hang below each other in a circle."""
    share = options.dirt.get("cycle", 0.0)
    count = max(1, round(share * options.categories / _LOOP)) if share else 0
    member = np.arange(count * _LOOP)
    above = member - member % _LOOP + (member + 1) % _LOOP
    labels = ids("loop", max(1, count * _LOOP))
    return pl.DataFrame(
        {
            "category": labels.gather(member),
            "name": "Category " + labels.gather(member),
            "parent": labels.gather(above),
        }
    )


def _at(names: pl.Series, index: pl.Series) -> pl.Series:
    """The names at `index`, null where it is -1."""
    return names.gather(index.replace(-1, None))
