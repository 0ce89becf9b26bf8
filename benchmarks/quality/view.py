"""The table for a terminal, and as markdown and JSON for docs/results.md."""

import json
import math
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.quality.table import COLUMNS, MODEL, NDCG, RECALL, Comparison, Figure, Row
from training.evaluation.bootstrap import Difference

HEADINGS = (
    "model",
    *(name for column in COLUMNS for name in (f"{column} R", "N", f"{MODEL} ahead by (N)")),
    "seconds",
    "peak",
    "rows/s",
)
MIB = 2**20


def title(table: Comparison) -> str:
    """What is compared, in a line."""
    order = table.settings.get("order")
    window = f", test from {table.settings['test_start']}" if "test_start" in table.settings else ""
    parts = [table.data_set, table.protocol, f"{order} order" if order else "", f"seen items {table.seen}d"]
    return ", ".join(filter(None, parts)) + f"{window}, {table.users:,} users"


def console_table(table: Comparison) -> Table:
    """Best figures of a column are bold; a difference beyond luck is green, or red."""
    shown = Table(title=title(table), caption=caption(table))
    for heading in HEADINGS:
        shown.add_column(heading, justify="left" if heading == "model" else "right")
    for row in table.rows:
        cells = _cells(row, _best(table))
        cells[0] = f"[bold]{cells[0]}[/]" if row.model == MODEL else cells[0]
        if not row.figures:
            cells[1] = next(iter(row.failed.values())).partition(":")[0]  # why is said in a line of its own
        for place, column in enumerate(COLUMNS):
            difference = row.ahead.get(column, {}).get(NDCG)
            if difference is not None:
                colour = "green" if difference.low > 0 else "red" if difference.high < 0 else "yellow"
                cells[3 * place + 3] = f"[{colour}]{cells[3 * place + 3]}[/]"
        shown.add_row(*(cell.replace("**", "") for cell in cells))
    return shown


def markdown(table: Comparison) -> str:
    """A section, ready for docs/results.md."""
    lines = [
        f"{title(table)[0].upper()}{title(table)[1:]}. {table.measured[:10]}, {_revisions(table)}, "
        f"seed{'s' if len(table.seeds) > 1 else ''} {', '.join(map(str, table.seeds))}, {table.machine}, "
        f"`{table.command}`. {caption(table)}",
        "",
        "| " + " | ".join(HEADINGS) + " |",
        "|" + "---|" * len(HEADINGS),
    ]
    for row in table.rows:
        cells = _cells(row, _best(table))
        cells[0] = f"**{cells[0]}**" if row.model == MODEL else cells[0]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def _revisions(table: Comparison) -> str:
    """The model's own, and those of rows that other code has measured."""
    own = next((row.revisions for row in table.rows if row.model == MODEL), table.rows[0].revisions)
    others = sorted({revision for row in table.rows for revision in row.revisions} - set(own))
    return f"revision {', '.join(own)}" + (f" (other rows also {', '.join(others)})" if others else "")


def caption(table: Comparison) -> str:
    parts = ["R = Recall@10, N = NDCG@10; ± is the standard deviation over seeds, the interval is 95 % of a paired"]
    parts.append("bootstrap over users; seconds are those of learning, peak is the largest process's.")
    if any(row.stopped for row in table.rows):
        parts.append("* learning was ended by the budget.")
    return " ".join(parts)


def write_tables(table: Comparison, folder: Path) -> Path:
    """`SEEN.md` and `SEEN.json` in the folder of the protocol. Returns the path of the first."""
    path = folder / f"{table.seen}.md"
    path.write_text(markdown(table), encoding="utf-8")
    content = _plain(table.as_json())
    path.with_suffix(".json").write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return path


def _cells(row: Row, best: dict[tuple[str, str], float]) -> list[str]:
    if not row.figures:
        said = "; ".join(dict.fromkeys(row.failed.values()))
        return [row.model, said.replace("|", "/"), *[""] * (len(HEADINGS) - 2)]
    missing = "".join(f" (seed {seed} {said.partition(':')[0]})" for seed, said in row.failed.items())
    cells = [row.model + missing]
    for column in COLUMNS:
        figures = row.figures.get(column)
        if figures is None:
            cells += ["–", "–", ""]
            continue
        for metric in (RECALL, NDCG):
            text = _figure(figures[metric])
            cells.append(f"**{text}**" if figures[metric].mean == best[column, metric] else text)
        difference = row.ahead.get(column, {}).get(NDCG)
        cells.append("" if difference is None else _difference(difference, figures[NDCG]))
    return [
        *cells,
        "" if row.fit_seconds is None else f"{row.fit_seconds:,.0f}{'*' if row.stopped else ''}",
        "" if row.peak_bytes is None else f"{row.peak_bytes / MIB:,.0f} MiB",
        "" if row.rows_per_second is None else f"{row.rows_per_second:,.0f}",
    ]


def _best(table: Comparison) -> dict[tuple[str, str], float]:
    return {
        (column, metric): max(
            (row.figures[column][metric].mean for row in table.rows if column in row.figures), default=math.nan
        )
        for column in COLUMNS
        for metric in (RECALL, NDCG)
    }


def _figure(figure: Figure) -> str:
    return _short(figure.mean) + ("" if figure.spread is None else f" ± {_short(figure.spread)}")


def _difference(difference: Difference, theirs: Figure) -> str:
    percent = f" ({100 * difference.mean / theirs.mean:+.1f} %)" if theirs.mean > 0 else ""
    return f"{_signed(difference.mean)} [{_signed(difference.low)}, {_signed(difference.high)}]{percent}"


def _short(value: float) -> str:
    """.0533: without the zero that all of them have."""
    return f"{value:.4f}".removeprefix("0") if math.isfinite(value) else "–"


def _signed(value: float) -> str:
    return f"{value:+.4f}".replace("0.", ".", 1)


def _plain(content: Any) -> Any:
    """JSON knows no NaN: None."""
    if isinstance(content, dict):
        return {str(key): _plain(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_plain(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
