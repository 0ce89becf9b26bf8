"""How fast `penchant synth` is and what memory it takes, by size, beside a plain copy of the Parquet that it wrote.

    python -m benchmarks.synth [--events 1000000 --events 5000000 --events 20000000]

2 M users, 200 k items, 5 k categories at every size, each in a process of its own. The copy reads the events' row
groups and writes them again with the same settings: what the format alone costs in the same run on the same machine.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.timed import timed

SHOP = ("--users", "2000000", "--items", "200000", "--categories", "5000", "--format", "parquet")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, action="append")
    sizes = parser.parse_args().events or [1_000_000, 5_000_000, 20_000_000]
    print(f"{'events':>12} {'seconds':>8} {'events/s':>10} {'CPU s':>7} {'peak MiB':>9} {'copy s':>7} {'ratio':>6}")
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "shop"
            used = timed([sys.executable, "-m", "server", "synth", "--events", str(size), "--out", str(out), *SHOP])
            copied = _copy(out / "events.parquet", Path(folder) / "copy.parquet")
            pace = f"{used.seconds:>8.1f} {size / used.seconds:>10,.0f} {used.cpu_seconds:>7.1f}"
            print(
                f"{size:>12,} {pace} {used.peak_bytes / 2**20:>9,.0f} {copied:>7.1f} {copied / used.seconds:>6.2f}",
                flush=True,
            )


def _copy(source: Path, target: Path) -> float:
    """Seconds of reading and writing, a row group at a time."""
    started = time.perf_counter()
    with pq.ParquetFile(source) as file:
        texts = [field.name for field in file.schema_arrow if pa.types.is_large_string(field.type)]
        with pq.ParquetWriter(target, file.schema_arrow, use_dictionary=texts) as writer:
            for number in range(file.metadata.num_row_groups):
                writer.write_table(file.read_row_group(number))
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
