"""The gate as a table for a terminal."""

import typer
from rich.table import Table

from training.promotion_gate import Gate
from training.wide_console import wide_console

COLOURS = {"passed": "green", "failed": "red", "skipped": "dim"}


def print_gate(gate: Gate, when: str = "now") -> None:
    """A row a check: what was found, what it has to reach, and what that means. Nothing where nothing was checked."""
    if not gate.checks:
        return
    table = Table("check", "value", "threshold", "verdict", "because", box=None)
    table.title = f"The gate, {gate.version}, {when}"
    for check in gate.checks:
        value = "" if check.value is None else f"{check.value:.3f}"
        colour = COLOURS[check.verdict]
        table.add_row(check.name, value, check.bounds, f"[{colour}]{check.verdict}[/]", check.reason)
    wide_console().print(table)


def end_if_refused(gate: Gate) -> None:
    """Exit code 1, and why, where a gate does not pass."""
    if not gate.passes:
        typer.secho(f"{gate.version} does not pass the gate: {gate.losses}.", err=True, fg=typer.colors.RED)
        raise typer.Exit(1)
