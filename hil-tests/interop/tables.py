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

from judge import Checks


def main():
    """Runs all checks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--number", required=True, help="a column of numbers that changes")
    parser.add_argument("--text", required=True, help="a column of texts")
    args = parser.parse_args()
    number, text = args.number, args.text
    checks = Checks()

    files = sorted(str(path) for path in args.folder.rglob("*.parquet"))
    table = pyarrow.dataset.dataset(files, partitioning="hive").to_table()
    checks.check("pyarrow reads it", table.num_rows > 100, f"{table.num_rows} rows, {table.num_columns} columns")
    checks.check("partitions", {"application", "day"} <= set(table.column_names), table.column("day")[0])
    checks.check("time is UTC", str(table.schema.field("time").type) == "timestamp[us, tz=UTC]", table.column("time")[0])
    footer = pyarrow.parquet.read_schema(files[0]).metadata
    checks.check("unit in the footer", footer and footer.get(f"unit.{number}".encode()), footer.get(f"unit.{number}".encode()))

    source = f"read_parquet('{args.folder}/**/*.parquet', hive_partitioning = true)"
    rows, total, missing, texts = duckdb.sql(
        f'select count(*), sum("{number}"), count(*) - count("{number}"), list(distinct "{text}") from {source}'
    ).fetchall()[0]
    column = table.column(number)
    checks.check("DuckDB counts the same", rows == table.num_rows, rows)
    checks.check("the same values are missing", missing == column.null_count, missing)
    there = column.drop_null().to_pylist()
    checks.check("the sum is the same", abs(sum(there) - total) <= 1e-9 * abs(total), total)
    checks.check(f"{number} changes", len(set(there)) > 10, f"{min(there):.3f} to {max(there):.3f}")
    checks.check(f"{text} has words", set(texts) == set(table.column(text).to_pylist()), ", ".join(sorted(texts)))
    (steps,) = duckdb.sql(f"select count(*) from (select time <= lag(time) over (order by cycle) as back from {source}) where back").fetchall()[0]
    checks.check("time rises with the cycle", steps == 0, steps)
    return checks.summary()


if __name__ == "__main__":
    sys.exit(main())
