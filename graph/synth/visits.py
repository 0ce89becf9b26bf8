"""Events of a shop, a block at a time: visits of users, the items they look at, and how far it goes with each.

visit   a user at a time, led by one of the user's interests, by the segment, by nothing, or by a campaign
look    an item of the visit's category; where the segment repeats, one of the few that the user always takes
event   view, cart, purchase, rating: one for each step that a look goes
"""

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from graph.arrays import Bools, Float64s, Int32s, Int64s
from graph.hashing import hash_rows
from graph.storage.times import SECOND_US
from graph.synth import draws
from graph.synth.bursts import BOT_ROWS, CAMPAIGN_SHARE, VIRAL_HALF_LIFE_US, VIRAL_PEAK
from graph.synth.options import BLOCK
from graph.synth.shop import Shop

KINDS = ("view", "cart", "purchase", "rating")
CAUSES = ("interest", "segment", "anywhere", "campaign", "viral", "bot")
"""Why an item was looked at. `interest` with `repeat` of the segment includes what the user always takes."""
INTEREST, SEGMENT, ANYWHERE, CAMPAIGN, VIRAL, BOT = range(len(CAUSES))

_LED_BY_INTEREST, _LED_BY_SEGMENT = 0.7, 0.2
_FORGOTTEN = 20.0
"""Half-lives after which nobody looks for an item any more only because it was viral."""
_MEAN_LOOKS = 3.0
_MOST_LOOKS = 40
_FAVOURITES = 4
"""Items of an interest that a user who repeats always takes."""
_PLACE_BITS = (BLOCK - 1).bit_length()
_LOOK_US, _STEP_US = 90 * SECOND_US, 20 * SECOND_US


@dataclass(frozen=True, eq=False)
class Block:
    """Columns [n] in the order of time; the k-th is event number `first` + k."""

    first: int
    user: Int32s
    item: Int32s
    kind: npt.NDArray[np.int8]  # into KINDS
    value: Float64s  # money of a purchase, 1 … 5 of a rating, else NaN
    session: Int64s
    occurred_at: Int64s  # us
    cause: npt.NDArray[np.int8]  # into CAUSES

    def __len__(self) -> int:
        return len(self.user)

    def take(self, rows: Int64s | Bools) -> "Block":
        return Block(self.first, *(getattr(self, column.name)[rows] for column in fields(self)[1:]))


def make_block(shop: Shop, number: int) -> Block:
    """Block `number` of `shop.n_blocks`, sorted by time. A visit that begins near its end runs on into the next's."""
    total = shop.options.events
    first = number * BLOCK
    size = min(BLOCK, total - first)
    window = (first / total, (first + size) / total)
    draw = draws.stream(shop.options.seed, draws.VISITS, number)
    crawled = _crawled(shop, first, window, draw)
    looked = _shopped(shop, first + len(crawled), size - len(crawled), window, draw)
    columns = [column.name for column in fields(Block)[1:]]
    together = Block(first, *(np.concatenate([getattr(looked, c), getattr(crawled, c)]) for c in columns))
    return together.take(_by_time(together.occurred_at))


def _by_time(at: Int64s) -> Int64s:
    """The order of time, of one instant the order of making. Place and time in one number sort faster than argsort."""
    key = ((at - at.min()).astype(np.uint64) << np.uint64(_PLACE_BITS)) | np.arange(len(at), dtype=np.uint64)
    key.sort()
    order: Int64s = (key & np.uint64((1 << _PLACE_BITS) - 1)).astype(np.int64)
    return order


def _shopped(shop: Shop, first: int, n: int, window: tuple[float, float], draw: np.random.Generator) -> Block:
    """Exactly `n` events; the last visit is cut short. `first` numbers its visits."""
    people, catalog = shop.people, shop.catalog
    looks_of = _looks(n, draw)
    visit = np.repeat(np.arange(len(looks_of)), looks_of)[:n]  # n looks are n events at least
    user = people.visitor(draw.random(len(looks_of)))
    segment = people.segment[user]
    steps = shop.segments.steps(segment[visit], draw.random(n))
    end = np.cumsum(steps)
    looks = int(np.searchsorted(end, n)) + 1 if n else 0
    visit, steps, begin = visit[:looks], steps[:looks], (end - steps)[:looks]
    if n:
        steps[-1] = n - begin[-1]
    visits = int(visit[-1]) + 1 if n else 0
    user, segment = user[:visits], segment[:visits]

    started = shop.season.at(window[0] + (window[1] - window[0]) * draw.random(visits))
    leaf, cause = _led(shop, user, started, draw)
    place = np.arange(looks) - (np.cumsum(looks_of) - looks_of)[visit]
    at = started[visit] + place * _LOOK_US + (draw.random(looks) * _STEP_US).astype(np.int64)
    always = (draw.random(looks) < shop.segments.repeat[segment][visit]) & (cause[visit] == INTEREST)
    item = catalog.pick(leaf[visit], _taste(shop, user[visit], leaf[visit], always, draw))
    why = cause[visit]
    _go_viral(shop, at, item, why, draw)

    look = np.repeat(np.arange(looks), steps)
    step = np.arange(n) - begin[look]
    value = np.full(n, np.nan)
    bought, rated = begin[steps >= 3] + 2, begin[steps == 4] + 3
    pieces = np.ceil(draw.random(len(bought)) * (1 + 2 * shop.segments.repeat[segment][visit[steps >= 3]]))
    value[bought] = (catalog.price[item[steps >= 3]] * np.maximum(pieces, 1)).round(2)
    pleased = np.where(why[steps == 4] == INTEREST, 0.25, 0.8)
    value[rated] = np.maximum(np.ceil(5 * draw.random(len(rated)) ** pleased), 1)
    return Block(
        first,
        user[visit][look],
        item[look],
        step.astype(np.int8),
        value,
        first + visit[look],
        at[look] + step * _STEP_US,
        why[look],
    )


def _looks(n: int, draw: np.random.Generator) -> Int64s:
    """int64 [v]: how many items each visit looks at (geometric, cut), together `n` at least."""
    looks = 1 + np.log1p(-draw.random(-(-n // 2))) / np.log1p(-1 / _MEAN_LOOKS)
    looks_of: Int64s = np.minimum(looks, _MOST_LOOKS).astype(np.int64)
    if n:
        looks_of[-1] += max(0, n - int(looks_of.sum()))
    return looks_of


def _go_viral(shop: Shop, at: Int64s, item: Int32s, why: npt.NDArray[np.int8], draw: np.random.Generator) -> None:
    """Puts the items that everybody looks at just now into `item` and `why`."""
    caught = draw.random(len(at))
    for viral in shop.bursts.virals:
        age = (at - viral.since_us) / VIRAL_HALF_LIFE_US
        if not len(age) or age.max() < 0 or age.min() > _FORGOTTEN:
            continue
        hit = (age >= 0) & (caught < VIRAL_PEAK * np.exp2(-np.maximum(age, 0)))
        item[hit], why[hit] = viral.item, VIRAL


def _led(shop: Shop, user: Int32s, started: Int64s, draw: np.random.Generator) -> tuple[Int64s, npt.NDArray[np.int8]]:
    """(leaf, cause) of each visit [v]."""
    people, tree, n = shop.people, shop.catalog.tree, len(user)
    lead, u, v = draw.random((3, n))
    by_interest, by_segment = lead < _LED_BY_INTEREST, lead < _LED_BY_INTEREST + _LED_BY_SEGMENT
    cause = np.select([by_interest, by_segment], [INTEREST, SEGMENT], ANYWHERE).astype(np.int8)
    own = people.interest[user, people.chosen(user, shop.season.elapsed(started), u)]
    root = np.where(by_segment, shop.segments.root(people.segment[user], u), (u * tree.n_roots).astype(np.int64))
    leaf = np.where(by_interest, own, tree.leaf(root, v)).astype(np.int64)
    lured = draw.random(n) < CAMPAIGN_SHARE
    for campaign in shop.bursts.campaigns:
        since, until = campaign.window_us
        went = lured & (started >= since) & (started < until)
        leaf[went], cause[went] = campaign.leaf, CAMPAIGN
    return leaf, cause


def _taste(shop: Shop, user: Int32s, leaf: Int64s, always: Bools, draw: np.random.Generator) -> Float64s:
    """float64 [n] in [0, 1): which item of the shelf. What a user always takes is a hash, so that nothing is kept."""
    u = draw.random(len(user))
    favourite = (u[always] ** 2 * _FAVOURITES).astype(np.int64)
    seed = np.full(len(favourite), shop.options.seed, np.int64)
    u[always] = (hash_rows(seed, user[always], leaf[always], favourite) >> np.uint64(11)) * 2.0**-53
    return u


def _crawled(shop: Shop, first: int, window: tuple[float, float], draw: np.random.Generator) -> Block:
    """The visits of bots: BOT_ROWS views of any items within an hour."""
    place = shop.bursts.bot_place
    mine = np.arange(*np.searchsorted(place, window))
    n = len(mine) * BOT_ROWS
    visit = np.repeat(np.arange(len(mine)), BOT_ROWS)
    offset = (np.arange(n) % BOT_ROWS + draw.random(n)) * (3600 * SECOND_US / BOT_ROWS)
    bot = shop.people.bots[shop.bursts.bot_user[mine]]
    return Block(
        first,
        bot[visit],
        draw.integers(0, len(shop.catalog.leaf), n, dtype=np.int32),
        np.zeros(n, np.int8),
        np.full(n, np.nan),
        first + visit,
        shop.season.at(place[mine])[visit] + offset.astype(np.int64),
        np.full(n, BOT, np.int8),
    )
