"""A shop's page, from a program with threads: what to show a user, and what the user then did.

    python examples/clients/shop_page.py USER

The server is $PENCHANT_CLIENT_ADDRESS; penchant.connection lists what else is read from the environment.
"""

import sys

from penchant import Event, ItemFilter, PenchantClient, PenchantError
from penchant.columns import to_rows
from penchant.v1.event_pb2 import EVENT_STATUS_ACCEPTED, EVENT_STATUS_DUPLICATE


def show(client: PenchantClient, user: str) -> list[str]:
    """Prints what the page would hold; the ids of what is recommended."""
    for row in client.get_interests(user, k=3).categories:
        print(f"likes {row.name or row.category}: {row.lift:.1f} times the average")
    recommended = client.recommend(user, k=5, item_filter=ItemFilter(include_unavailable=False))
    for each in to_rows(recommended):
        print(f"show {each['item']}: {each['probability']:.4f}")
    return [row.item for row in recommended.items]


def note_click(client: PenchantClient, user: str, item: str) -> None:
    """The client sends a call again where that helps; the event's id keeps it from being counted twice."""
    click = Event(event_id=f"example/{user}/{item}", user=user, item=item, kind="view")
    click.occurred_at.GetCurrentTime()
    (outcome,) = client.record_events([click]).outcomes
    known = outcome.status in (EVENT_STATUS_ACCEPTED, EVENT_STATUS_DUPLICATE)
    print(f"click on {item}: {'recorded' if known else outcome.message}")


def main() -> int:
    user = sys.argv[1] if len(sys.argv) > 1 else "user-17"
    try:
        with PenchantClient(deadline_ms=2_000) as client:
            items = show(client, user)
            if items:
                note_click(client, user, items[0])
                for row in client.find_similar("items", item=items[0], k=3).neighbours:
                    print(f"like {items[0]}: {row.id}")
    except PenchantError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
