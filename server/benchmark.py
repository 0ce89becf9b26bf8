"""`penchant benchmark`, where the benchmarks are: an installation that lacks them says so."""

from importlib.util import find_spec

import typer

UNUSABLE = 2


def mount_benchmark(app: typer.Typer) -> None:
    """Adds the command, or one that says what is missing."""
    if find_spec("benchmarks") and find_spec("benchmarks.quality"):
        from benchmarks.quality.command import benchmark_command

        app.command("benchmark")(benchmark_command)
    else:
        anything = {"allow_extra_args": True, "ignore_unknown_options": True}
        app.command("benchmark", context_settings=anything)(missing_command)


def missing_command() -> None:
    """Measure a data set beside baselines and other libraries; not part of this installation."""
    sentence = "This installation of penchant has no benchmarks. Install it from a checkout: pip install -e ."
    typer.secho(sentence, err=True, fg=typer.colors.RED)
    raise typer.Exit(UNUSABLE)
