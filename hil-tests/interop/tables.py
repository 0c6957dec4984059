"""Judges exported tables with readers that nobody here wrote: pyarrow and DuckDB.

Reads the folder as a partitioned data set with both, compares what they count and add up, and looks for columns by the names of the plant.

Each check prints one line. The last line is `N passed, N failed`; the exit code is 1 if anything failed.

    tables.py FOLDER --number TI_101 --text feed_held_by
"""

import argparse
import pathlib
import sys

import duckdb
import pyarrow.dataset
import pyarrow.parquet

PASSED, FAILED = [], []


def check(name, good, detail=""):
    """One check: `detail` says what was found."""
    print(f"{'ok  ' if good else 'FAIL'} {name}{': ' + str(detail) if detail != '' else ''}", flush=True)
    (PASSED if good else FAILED).append(name)


def main():
    """Runs all checks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--number", required=True, help="a column of numbers that changes")
    parser.add_argument("--text", required=True, help="a column of texts")
    args = parser.parse_args()
    number, text = args.number, args.text

    files = sorted(str(path) for path in args.folder.rglob("*.parquet"))
    table = pyarrow.dataset.dataset(files, partitioning="hive").to_table()
    check("pyarrow reads it", table.num_rows > 100, f"{table.num_rows} rows, {table.num_columns} columns")
    check("partitions", {"application", "day"} <= set(table.column_names), table.column("day")[0])
    check("time is UTC", str(table.schema.field("time").type) == "timestamp[us, tz=UTC]", table.column("time")[0])
    footer = pyarrow.parquet.read_schema(files[0]).metadata
    check("unit in the footer", footer and footer.get(f"unit.{number}".encode()), footer.get(f"unit.{number}".encode()))

    source = f"read_parquet('{args.folder}/**/*.parquet', hive_partitioning = true)"
    rows, total, missing, texts = duckdb.sql(
        f'select count(*), sum("{number}"), count(*) - count("{number}"), list(distinct "{text}") from {source}'
    ).fetchall()[0]
    column = table.column(number)
    check("DuckDB counts the same", rows == table.num_rows, rows)
    check("the same values are missing", missing == column.null_count, missing)
    there = column.drop_null().to_pylist()
    check("the sum is the same", abs(sum(there) - total) <= 1e-9 * abs(total), total)
    check(f"{number} changes", len(set(there)) > 10, f"{min(there):.3f} to {max(there):.3f}")
    check(f"{text} has words", set(texts) == set(table.column(text).to_pylist()), ", ".join(sorted(texts)))
    (steps,) = duckdb.sql(f"select count(*) from (select time <= lag(time) over (order by cycle) as back from {source}) where back").fetchall()[0]
    check("time rises with the cycle", steps == 0, steps)
    print(f"{len(PASSED)} passed, {len(FAILED)} failed")
    return 1 if FAILED else 0


if __name__ == "__main__":
    sys.exit(main())
