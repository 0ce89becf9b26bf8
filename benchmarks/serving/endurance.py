"""How a server bears load: python -m benchmarks.serving.endurance [--folder var/serving] [--minutes 10]

For one kind of call: the capacity in a closed loop; 70 % of it in an open loop for minutes (errors, memory, p99 of the
second and of the last minute); and 200 % of it for half a minute, of which some must be sent away and the others keep
their time, until all are answered again.
"""

import argparse
from collections import Counter
from pathlib import Path

import psutil
from rich.console import Console

from benchmarks.serving.closed import ask
from benchmarks.serving.open import Arrivals, arrive
from benchmarks.serving.questions import REQUESTS, questions
from benchmarks.serving.world import make_world

CALLERS, CLOSED_S, WARM_S, OVERLOAD_S, AFTER_S, DEADLINE_S = 16, 10.0, 5.0, 30.0, 10.0, 5.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("var/serving"), help="the shop, its model")
    parser.add_argument("--items", type=int, default=70_000)
    parser.add_argument("--call", default="Recommend, user read", help="one of the questions of benchmarks.serving")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--serve", action="append", default=[], help="another argument of `penchant serve`")
    arguments = parser.parse_args()
    world = make_world(arguments.folder, arguments.items)
    question = next(each for each in questions(*world.names(REQUESTS)) if each.name == arguments.call)
    show = Console(width=120).print
    with world.serve(*question.serve, *arguments.serve) as target:
        server = _server()
        capacity = ask(target, question, callers=CALLERS, seconds=CLOSED_S, warm_s=WARM_S)
        times = f"p50 {capacity.p50_ms:.1f} ms, p99 {capacity.p99_ms:.1f} ms"
        show(f"{question.name}: closed loop {capacity.per_s:,.0f}/s, {times}")
        memory: list[int] = []

        def weigh() -> None:
            memory.append(sum(each.memory_info().rss for each in [server, *server.children(recursive=True)]))

        def run(share: float, seconds: float) -> Arrivals:
            return arrive(
                target,
                question,
                per_s=share * capacity.per_s,
                seconds=seconds,
                deadline_s=DEADLINE_S,
                each_second=weigh,
            )

        steady = run(0.7, 60 * arguments.minutes)
        second, last = steady.between(60, 120), steady.between(60 * (arguments.minutes - 1), 60 * arguments.minutes)
        growth = memory[-1] / memory[min(60, len(memory) - 1)] - 1
        show(
            f"70 %: {dict(Counter(steady.code.tolist()))}, p50 {steady.percentile_ms(50):.1f} ms, p99 of the second "
            f"minute {second.percentile_ms(99):.1f} ms, of the last {last.percentile_ms(99):.1f} ms, "
            f"memory {memory[-1] / 2**20:,.0f} MiB, {growth:+.1%} since the first minute"
        )
        over = run(2.0, OVERLOAD_S)
        answered = over.answered()
        show(
            f"200 %: {dict(Counter(over.code.tolist()))}, {len(answered.code) / OVERLOAD_S:,.0f}/s answered, "
            f"p50 {answered.percentile_ms(50):.1f} ms, p99 {answered.percentile_ms(99):.1f} ms"
        )
        after = run(0.7, AFTER_S)
        seconds = [after.between(n, n + 1) for n in range(int(AFTER_S))]
        shown = ", ".join(f"{one.percentile_ms(99):.0f}" for one in seconds)
        show(f"70 % again: {dict(Counter(after.code.tolist()))}, p99 second by second: {shown} ms")


def _server() -> psutil.Process:
    """The server that this process has started."""
    (server,) = psutil.Process().children()
    return server


if __name__ == "__main__":
    main()
