"""What a backend service would ask, and the answers as tables that a person can read."""

import time
import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from google.protobuf.timestamp_pb2 import Timestamp
from penchant.client import PenchantClient
from penchant.export import export_parquet
from penchant.v1 import common_pb2 as common
from penchant.v1 import event_pb2 as event
from penchant.v1 import interest_pb2 as interest
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

HOUSEHOLD = "2375"
STRANGER = "somebody new"
NEW_INTEREST = "GROCERY > CAT FOOD"
NUMBERS = {"share", "times the average", "log p", "p", "cosine", "rank"}


class Tour:
    def __init__(self, client: PenchantClient, console: Console) -> None:
        self._client = client
        self._console = console

        @cache
        def name(item: str) -> str:
            return client.get_item(item).name or f"product {item}"

        self._name = name

    def interests(self) -> None:
        answer = self._client.get_interests(HOUSEHOLD, 8)
        table = self._table(
            f"GetInterests: what household {HOUSEHOLD} leans to, from {answer.history_events} events",
            ("category", "share", "times the average"),
        )
        for each in answer.categories:
            table.add_row(each.category, f"{each.share:.1%}", f"{each.lift:.1f}")
        self._console.print(table)

    def recommend(self) -> interest.RecommendResponse:
        answer = self._client.recommend(HOUSEHOLD, 10)
        self._ranking(f"Recommend: what household {HOUSEHOLD} wants next", answer)
        new = common.ItemFilter(seen=common.SEEN_RULE_EXCLUDE)
        self._ranking("Recommend, only what they never bought", self._client.recommend(HOUSEHOLD, 5, item_filter=new))
        return answer

    def score(self, items: Sequence[str]) -> None:
        table = self._table("Score: the caller's own list, re-ranked", ("item", "log p", "p", "because of"))
        scored = self._client.score(HOUSEHOLD, items).scores
        for each in sorted(scored, key=lambda row: -row.score):
            table.add_row(
                self._name(each.item), f"{each.score:.2f}", f"{each.probability:.3%}", _because(each.contributions)
            )
        self._console.print(table)

    def similar(self, item: str) -> None:
        nearest = self._client.find_similar("items", item=item, k=5).neighbours
        self._neighbours(f"FindSimilar: items like {self._name(item)}", ((self._name(n.id), n.cosine) for n in nearest))
        users = self._client.find_similar("users", user=HOUSEHOLD, k=5).neighbours
        self._neighbours(f"FindSimilar: households like {HOUSEHOLD}", ((f"household {n.id}", n.cosine) for n in users))
        items = self._client.find_similar("items", category=NEW_INTEREST, k=5).neighbours
        self._neighbours(
            f"FindSimilar: items near the category {NEW_INTEREST}", ((self._name(n.id), n.cosine) for n in items)
        )

    def segments(self) -> None:
        table = self._table("ListSegments: who belongs together", ("segment", "households", "most over-represented"))
        labels = {}
        for each in self._client.list_segments():
            labels[each.id] = each.label
            top = ", ".join(f"{c.name or c.category} ×{c.lift:.1f}" for c in each.top_categories[:3])
            table.add_row(each.label, f"{each.size:,} ({each.share:.0%})", top)
        self._console.print(table)
        users = [HOUSEHOLD, "1", "900", STRANGER]
        table = self._table("AssignSegments: where some households belong", ("household", "segments"))
        for row in self._client.assign_segments(users).assignments:
            parts = ", ".join(f"{labels[s.segment]} {s.weight:.0%}" for s in row.segments[:3])
            table.add_row(row.user, parts or "[dim]none: nothing is known of them[/dim]")
        self._console.print(table)

    def move(self) -> None:
        """Records purchases of a new kind, asks again, and takes them back, so that the next run sees the same."""
        before = self._client.recommend(HOUSEHOLD, 10)
        of_the_kind = common.ItemFilter(categories_in=[NEW_INTEREST])
        bought = [each.item for each in self._client.recommend(HOUSEHOLD, 6, item_filter=of_the_kind).items]
        session, now = uuid.uuid4().hex, datetime.now(UTC)
        events = [
            event.Event(
                event_id=f"{session}-{n}",
                user=HOUSEHOLD,
                item=item,
                kind="purchase",
                session_key=session,
                occurred_at=_timestamp(now - timedelta(seconds=2)),
            )
            for n, item in enumerate(bought)
        ]
        outcomes = self._client.record_events(events).outcomes
        accepted = sum(row.status == event.EVENT_STATUS_ACCEPTED for row in outcomes)
        self._console.print(
            f"\n[bold]RecordEvents[/bold]: {accepted} purchases of {NEW_INTEREST} by household {HOUSEHOLD}, "
            "just now. Recommend, before and after:"
        )
        after = self._client.recommend(HOUSEHOLD, 10)
        table = self._table("", ("rank", "before", "after"))
        old = {each.item for each in before.items}
        for rank, (one, other) in enumerate(zip(before.items, after.items, strict=True), start=1):
            mark = "" if other.item in old else " [green]new[/green]"
            table.add_row(str(rank), self._name(one.item), self._name(other.item) + mark)
        self._console.print(table)
        self._client.record_events(
            [
                event.Event(
                    event_id=f"{each.event_id}-back",
                    user=HOUSEHOLD,
                    kind="retract",
                    retracts=each.event_id,
                    occurred_at=_timestamp(now),
                )
                for each in events
            ]
        )
        again = self._client.recommend(HOUSEHOLD, 10)
        same = [each.item for each in again.items] == [each.item for each in before.items]
        self._console.print(
            f"[dim]Taken back by six events of kind retract; the first list is {'back' if same else 'not back'}.[/dim]"
        )

    def export(self, path: Path) -> None:
        bar = Progress(TextColumn("export"), BarColumn(), MofNCompleteColumn(), console=self._console, transient=True)
        with bar:
            task = bar.add_task("", total=None)
            exported = export_parquet(
                self._client, "users", path, progress=lambda done, total: bar.update(task, completed=done, total=total)
            )
        self._console.print(
            f"\n[bold]ExportEmbeddings[/bold]: {exported.vectors:,} vectors of {exported.ids:,} households "
            f"({exported.vector_space}, {exported.model_version}) in {path} ({path.stat().st_size / 1e6:.1f} MB)"
        )

    def _ranking(self, title: str, answer: interest.RecommendResponse) -> None:
        table = self._table(f"{title} ({answer.model_version})", ("", "item", "p", "because of"))
        for rank, each in enumerate(answer.items, start=1):
            table.add_row(str(rank), self._name(each.item), f"{each.probability:.3%}", _because(each.contributions))
        self._console.print(table)

    def _neighbours(self, title: str, rows: Iterable[tuple[str, float]]) -> None:
        table = self._table(title, ("", "cosine"))
        for name, cosine in rows:
            table.add_row(name, f"{cosine:.3f}")
        self._console.print(table)

    def _table(self, title: str, columns: Sequence[str]) -> Table:
        table = Table(
            title=title, title_justify="left", title_style="bold", header_style="dim", box=None, pad_edge=False
        )
        for column in columns:
            numeric = column in {"", "share", "times the average", "log p", "p", "cosine", "rank"} and column != ""
            table.add_column(column, justify="right" if numeric else "left")
        self._console.print()
        return table


def tour(target: str, folder: Path, console: Console) -> None:
    with PenchantClient(target) as client:
        _wait_until_ready(client)
        guide = Tour(client, console)
        guide.interests()
        best = guide.recommend()
        nearby = client.find_similar("items", item=best.items[0].item, k=3).neighbours
        guide.score([each.item for each in best.items[:3]] + [each.id for each in nearby])
        guide.similar(best.items[0].item)
        guide.segments()
        guide.move()
        guide.export(folder / "users.parquet")


def _wait_until_ready(client: PenchantClient) -> None:
    while not client.get_server_info().model_version:
        time.sleep(0.1)


def _because(contributions: Iterable[common.Contribution]) -> str:
    parts = list(contributions)
    total = sum(part.share for part in parts) or 1.0
    return ", ".join(f"{part.source} {part.share / total:.0%}" for part in parts[:3])


def _timestamp(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
