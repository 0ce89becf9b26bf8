"""The truth beside a made-up shop: what was planted, so that a test can ask whether it was found.

truth/users.parquet    user, segment (null = a bot), drifts, interests (categories), their weights at either end
truth/items.parquet    item, category, top (the category at the top), rank on its shelf
truth/events.parquet   event_id, cause: one of visits.CAUSES
truth/dirt.parquet     table, line, dirt, reason: line as `penchant ingest` counts, reason as it begins
truth/truth.json       options, segments, campaigns, viral items, bots, and the counts of all dirt
"""

from typing import Any

import numpy as np
import polars as pl

from graph.storage.times import DAY_US, format_time
from graph.synth.bursts import BOT_ROWS, CAMPAIGN_SHARE, VIRAL_HALF_LIFE_US, VIRAL_PEAK
from graph.synth.options import START_US
from graph.synth.shop import Shop
from graph.synth.visits import CAUSES, Block


def user_truth(shop: Shop, users: pl.Series, categories: pl.Series) -> pl.DataFrame:
    people, tree = shop.people, shop.catalog.tree
    shape = people.interest.shape
    interests = categories.gather(tree.leaves[people.interest.ravel()])
    return pl.DataFrame(
        {
            "user": users,
            "segment": pl.Series(people.segment).replace(-1, None),
            "drifts": people.drifts,
            "interests": interests.reshape(shape).arr.to_list(),
            "weights_start": pl.Series(people.weight_start).arr.to_list(),
            "weights_end": pl.Series(people.weight_end).arr.to_list(),
        }
    )


def item_truth(shop: Shop, items: pl.Series, categories: pl.Series) -> pl.DataFrame:
    catalog = shop.catalog
    category = catalog.tree.leaves[catalog.leaf]
    top = categories.gather(catalog.tree.root[category])
    return pl.DataFrame({"item": items, "category": categories.gather(category), "top": top, "rank": catalog.rank})


def event_truth(block: Block) -> pl.DataFrame:
    event = block.first + np.arange(len(block))
    return pl.DataFrame({"event_id": event, "cause": pl.Series(CAUSES).gather(block.cause)})


def shop_truth(shop: Shop, users: pl.Series, items: pl.Series, categories: pl.Series) -> dict[str, Any]:
    """What truth.json says of segments and bursts."""
    tree, segments, bursts = shop.catalog.tree, shop.segments, shop.bursts
    names = categories.to_list()
    return {
        "options": shop.options.as_dict(),
        "begins": format_time(START_US),
        "ends": format_time(shop.season.end_us),
        "segments": [
            {
                "share": float(segments.share[s]),
                "tops": {names[root]: float(share) for root, share in enumerate(segments.preference[s])},
                **{name: float(getattr(segments, name)[s]) for name in ("cart", "buy", "rate", "repeat")},
            }
            for s in range(len(segments))
        ],
        "campaigns": [
            {
                "category": names[tree.leaves[campaign.leaf]],
                "from": format_time(campaign.window_us[0]),
                "until": format_time(campaign.window_us[1]),
                "share_of_visits": CAMPAIGN_SHARE,
            }
            for campaign in bursts.campaigns
        ],
        "virals": [
            {
                "item": items[viral.item],
                "from": format_time(viral.since_us),
                "peak_share_of_looks": VIRAL_PEAK,
                "half_life_days": VIRAL_HALF_LIFE_US / DAY_US,
            }
            for viral in bursts.virals
        ],
        "bots": [
            {
                "user": users[int(user)],
                "views_an_hour": BOT_ROWS,
                "visits": [format_time(int(at)) for at in shop.season.at(bursts.bot_place[bursts.bot_user == number])],
            }
            for number, user in enumerate(shop.people.bots)
        ],
    }
