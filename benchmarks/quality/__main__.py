"""`python -m benchmarks.quality` is `penchant benchmark`."""

import typer

from benchmarks.quality.command import benchmark_command

if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(benchmark_command)
    app(prog_name="python -m benchmarks.quality")
