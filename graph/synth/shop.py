"""A made-up shop as a whole: everything about it that does not grow with its events."""

from dataclasses import dataclass

from graph.synth import draws
from graph.synth.bursts import Bursts, make_bursts, n_bots
from graph.synth.catalog import Catalog, make_catalog
from graph.synth.options import BLOCK, Options
from graph.synth.people import People, make_people
from graph.synth.season import Season, make_season
from graph.synth.segments import Segments, make_segments, n_roots
from graph.synth.tree import make_tree


@dataclass(frozen=True, eq=False)
class Shop:
    options: Options
    catalog: Catalog
    segments: Segments
    people: People
    bursts: Bursts
    season: Season

    @property
    def n_blocks(self) -> int:
        return -(-self.options.events // BLOCK)


def make_shop(options: Options) -> Shop:
    """The same options give the same shop; its events are made block by block in visits.py."""
    seed = options.seed
    catalog_draw = draws.stream(seed, draws.CATALOG)
    tree = make_tree(options.categories, n_roots(options.segments, options.categories), catalog_draw)
    catalog = make_catalog(tree, options.items, catalog_draw)
    segments = make_segments(options.segments, tree.n_roots, draws.stream(seed, draws.SEGMENTS))
    bots = n_bots(options.users, options.events)
    people = make_people(options.users, bots, segments, tree, draws.stream(seed, draws.PEOPLE))
    bursts = make_bursts(catalog, options.days, options.events, bots, draws.stream(seed, draws.BURSTS))
    return Shop(options, catalog, segments, people, bursts, make_season(options.days, bursts.rush(options.days)))
