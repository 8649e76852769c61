"""Runs statements in DuckDB and prints the last result as JSON: stdin is a JSON list of statements."""
import json
import sys

import duckdb

connection = duckdb.connect()
result = None
for statement in json.load(sys.stdin):
    result = connection.execute(statement)
rows = result.fetchall()
print(json.dumps([dict(zip([column[0] for column in result.description], row)) for row in rows], default=str))
