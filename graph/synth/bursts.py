"""What is out of the ordinary: campaigns for a category, items that go viral, bots that leaf through the catalog."""

from dataclasses import dataclass

import numpy as np

from graph.arrays import Float64s, Int64s
from graph.storage.times import DAY_US
from graph.synth.catalog import Catalog
from graph.synth.options import BLOCK, START_US

CAMPAIGN_SHARE = 0.3
"""Of the visits during a campaign that go to its category."""
CAMPAIGN_RUSH = 1.5
VIRAL_PEAK = 0.06
"""Of all views at the first moment that an item is viral; halves every VIRAL_HALF_LIFE_US."""
VIRAL_HALF_LIFE_US = 2 * DAY_US
BOT_SHARE = 0.01
"""Of all events, in visits of BOT_ROWS views within an hour."""
BOT_ROWS = 400
_ONE_EVERY_DAYS = 90


@dataclass(frozen=True)
class Campaign:
    leaf: int
    first_day: int
    days: int

    @property
    def window_us(self) -> tuple[int, int]:
        """[from, to)"""
        return START_US + self.first_day * DAY_US, START_US + (self.first_day + self.days) * DAY_US


@dataclass(frozen=True)
class Viral:
    item: int
    since_us: int


@dataclass(frozen=True, eq=False)
class Bursts:
    campaigns: tuple[Campaign, ...]
    virals: tuple[Viral, ...]
    bot_place: Float64s  # [v] share of all events after which each bot's visit begins, ascending
    bot_user: Int64s  # [v] which of the bots comes

    def rush(self, days: int) -> Float64s:
        """float64 [days]: how much fuller each day is."""
        busy = np.ones(days)
        for campaign in self.campaigns:
            busy[campaign.first_day : campaign.first_day + campaign.days] = CAMPAIGN_RUSH
        return busy


def n_bots(n_users: int, n_events: int) -> int:
    """One for a thousand users, none in a shop too small for a single visit of one."""
    visits = int(n_events * BOT_SHARE) // BOT_ROWS
    return min(visits, max(1, n_users // 1000)) if n_users > 1 else 0


def make_bursts(catalog: Catalog, days: int, n_events: int, bots: int, draw: np.random.Generator) -> Bursts:
    count = -(-days // _ONE_EVERY_DAYS)
    length = max(1, min(3, days // 10))
    stretch = days / count
    campaigns, virals = [], []
    for number in range(count):
        first = min(days - length, int(stretch * (number + draw.uniform(0.2, 0.7))))
        campaigns.append(Campaign(int(draw.integers(len(catalog.tree.leaves))), first, length))
        since = START_US + int(stretch * (number + draw.uniform(0.0, 0.8)) * DAY_US)
        virals.append(Viral(int(draw.integers(len(catalog.leaf))), since))
    visits = int(n_events * BOT_SHARE) // BOT_ROWS if bots else 0
    whole_blocks = n_events // BLOCK * BLOCK or n_events  # the last block may be too short for a visit
    place = (np.arange(visits) + draw.random(visits)) / max(1, visits) * (whole_blocks / n_events)
    return Bursts(tuple(campaigns), tuple(virals), place, draw.integers(0, max(1, bots), visits))
