"""What the catalog takes out or moves is gone from the answers of every server process, not only of the one told."""

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from penchant import Category, Event, Item, ItemFilter, PenchantClient
from penchant.errors import UnavailableError

from tests.server.processes import free_address, start_server

if TYPE_CHECKING:
    from tests.server.conftest import World


def is_ready(client: PenchantClient) -> bool:
    try:
        return bool(client.get_server_info().model_version)
    except UnavailableError:
        return False


def test_every_process_follows_the_catalog(world: "World", eventually: Any) -> None:
    with ExitStack() as stack:
        clients = []
        for address in (free_address(), free_address()):
            stack.callback(start_server(world.url, world.artifacts, address).kill)
            clients.append(stack.enter_context(PenchantClient(address, deadline_ms=30_000)))
        told, other = clients
        for client in clients:
            eventually(lambda client=client: is_ready(client), patience_s=50)

        def recommended(client: PenchantClient, **fields: Any) -> list[str]:
            answer = client.recommend("u9", 60, item_filter=ItemFilter(**fields) if fields else None)
            return [row.item for row in answer.items]

        unavailable, deleted, moved = recommended(other)[:3]
        assert recommended(told)[:3] == [unavailable, deleted, moved]

        told.upsert_items([Item(id=unavailable, available=False)], fields=["available"])
        for client in clients:
            eventually(lambda client=client: unavailable not in recommended(client))

        told.delete_item(deleted)
        for client in clients:
            eventually(lambda client=client: deleted not in recommended(client))
            assert deleted not in recommended(client, include_unavailable=True)

        told.upsert_categories([Category(id="attic"), Category(id="box", parent="attic")])
        told.upsert_items([Item(id=moved, categories=["box"])], fields=["categories"])
        for client in clients:
            eventually(lambda client=client: recommended(client, categories_in=["attic"]) == [moved])
        told.upsert_categories([Category(id="box", parent="c-all")], fields=["parent"])
        for client in clients:
            eventually(lambda client=client: recommended(client, categories_in=["attic"]) == [])
            assert moved in recommended(client, categories_in=["c-all"])

        # An event moves the answers of both likewise: it was told to the one, and the other reads it.
        told.record_events([Event(event_id="both", user="of both", item=moved, kind="purchase")])
        assert [client.recommend("of both", 1).history_events for client in clients] == [1, 1]
