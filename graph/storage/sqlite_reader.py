"""A process of its own that reads one SQLite file through ADBC and writes Arrow to its standard output.

Python's `sqlite3` turns 0.4 M rows a second into columns, ADBC's driver several times as many, but it carries a second
copy of SQLite, which must never share a process with the first (see sqlite.py). Here it is the only one.
The first argument is the file, the second the statement, then one Arrow type a column. Exit code 0: all rows are out.
"""

import sys
from pathlib import Path

import pyarrow as pa

BATCH_ROWS = 65_536
EXAMPLES = {"int64": "0", "double": "0.5", "string": "'x'", "bool": "0"}
"""The driver takes types from the first rows, in which a column may be all null: a row of examples goes before them."""


def write_rows(path: str, sql: str, types: list[str]) -> None:
    """Raises whatever the driver raises."""
    from adbc_driver_manager import AdbcConnection, AdbcDatabase, AdbcStatement
    from adbc_driver_sqlite import _driver_path

    uri = f"{Path(path).absolute().as_uri()}?mode=ro"
    with AdbcDatabase(driver=_driver_path(), uri=uri) as database, AdbcConnection(database) as connection:
        with AdbcStatement(connection) as statement:
            statement.set_sql_query("PRAGMA busy_timeout = 60000")
            _reader(statement).read_all()
        with AdbcStatement(connection) as statement:
            statement.set_options(**{"adbc.sqlite.query.batch_rows": str(BATCH_ROWS)})
            examples = ", ".join(EXAMPLES[kind] for kind in types)
            statement.set_sql_query(f"SELECT {examples} UNION ALL SELECT * FROM ({sql})")  # noqa: S608  # our own statement, no value from outside
            rows = _reader(statement)
            with pa.PythonFile(sys.stdout.buffer, "w") as sink, pa.ipc.new_stream(sink, rows.schema) as out:
                for number, batch in enumerate(rows):
                    out.write_batch(batch if number else batch.slice(1))


def _reader(statement: object) -> pa.RecordBatchReader:
    handle, _ = statement.execute_query()  # type: ignore[attr-defined]  # imported in the process that reads alone
    return pa.RecordBatchReader._import_from_c(handle.address)


if __name__ == "__main__":
    try:
        write_rows(sys.argv[1], sys.argv[2], sys.argv[3:])
    except Exception as error:  # handed to the process that waits for rows, which raises it
        print(f"{type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201  # stderr is how the reading process answers
        sys.exit(1)
