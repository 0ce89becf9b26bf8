"""Many users at once, from an event loop: each gets the best of the same list of items.

    python examples/clients/rank_many.py USER …

The server is $PENCHANT_CLIENT_ADDRESS; penchant.connection lists what else is read from the environment.
"""

import asyncio
import sys

from penchant import AsyncPenchantClient, PenchantError
from penchant.v1.interest_pb2 import SCORE_STATUS_OK

AT_ONCE = 16
"""Calls on their way: more only wait in the server instead of here."""


async def best_of(client: AsyncPenchantClient, user: str, items: list[str], room: asyncio.Semaphore) -> str:
    async with room:
        answer = await client.score(user, items, skip_contributions=True)
    scored = [row for row in answer.scores if row.status == SCORE_STATUS_OK]
    return max(scored, key=lambda row: row.score).item if scored else "nothing that could be scored"


async def rank(users: list[str]) -> None:
    async with AsyncPenchantClient(deadline_ms=2_000) as client:
        items = [item.id async for item in client.list_items() if item.available][:100]
        if not items:
            print("The catalog has nothing to rank.")
            return
        room = asyncio.Semaphore(AT_ONCE)
        best = await asyncio.gather(*(best_of(client, user, items, room) for user in users))
        for user, item in zip(users, best, strict=True):
            print(f"{user}: {item}")


def main() -> int:
    try:
        asyncio.run(rank(sys.argv[1:] or ["user-17", "user-18"]))
    except PenchantError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
