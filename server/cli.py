"""The `penchant` command line: mounts what each layer brings, and `serve`."""

import signal
import threading
from types import FrameType
from typing import Any

import typer

from graph.cli import graph_app
from graph.ingest.cli import ingest_command
from graph.storage.cli import db_app
from graph.storage.cli_errors import explained
from graph.storage.settings import Settings
from graph.synth.cli import synth_command
from server.auth.keys_command import keys_app
from server.benchmark import mount_benchmark
from server.config_command import config_command
from server.demo.command import demo_command
from server.logs import set_up_logging
from server.serving import serve_until
from server.settings_flags import with_settings
from server.workers import serve_with_workers
from training.cli import refresh_command, train_command
from training.evaluation.cli import evaluate_command
from training.evaluation.cross_cli import cross_validate_command
from training.models_cli import models_app

app = typer.Typer(
    name="penchant",
    help="Learns what every user of a shop is interested in, and answers over gRPC.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(db_app, name="db")
app.add_typer(graph_app, name="graph")
app.add_typer(models_app, name="models")
app.add_typer(keys_app, name="keys")
app.command("ingest")(ingest_command)
app.command("synth")(synth_command)
app.command("train")(train_command)
app.command("evaluate")(evaluate_command)
app.command("cross-validate")(cross_validate_command)
app.command("refresh")(refresh_command)
app.command("demo")(demo_command)
app.command("config")(with_settings(config_command))
mount_benchmark(app)


@app.command("serve")
@with_settings
def serve_command(flags: dict[str, Any]) -> None:
    """Answers over gRPC until SIGTERM or Ctrl-C; calls in flight then finish."""
    stopping = threading.Event()

    def stop(signum: int, frame: FrameType | None) -> None:
        stopping.set()

    def announce(port: int) -> None:
        is_socket = settings.listen.startswith("unix")
        address = settings.listen if is_socket else f"{settings.listen.rsplit(':', 1)[0]}:{port}"
        typer.echo(f"penchant serves on {address}")

    with explained():
        settings = Settings(**flags)
        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        if settings.workers > 1 or settings.serve_device != "cpu":
            set_up_logging(settings.log_level)
            serve_with_workers(settings, stopping, announce)
        else:
            serve_until(settings, stopping.wait, announce)


def main() -> None:
    app(prog_name="penchant")
