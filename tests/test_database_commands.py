"""The commands of docs/database.md, as a user runs them, against a real server."""

from __future__ import annotations

from pathlib import Path

from testing.paths import SAMPLES
from testing.postgres import PostgresServer
from tests.commands import documented, shell

PHOTO = SAMPLES / "Kofi_Annan_0006.jpg"


def test_a_collection_moves_into_a_database(postgres: PostgresServer, checkout: Path, tmp_path: Path) -> None:
    postgres.run("create role recognition login")
    place = str(tmp_path / "galleries")
    with postgres.database(schema=False) as uri:
        service = uri.replace("postgres:@", "recognition@")
        commands = [
            f"python -m training people add 'Kofi Annan' {PHOTO} --galleries {place}",
            documented(
                "GALLERY_URI=postgresql://admin:PASSWORD@HOST/faces "
                ".venv/bin/python -m training database --role recognition",
                {"postgresql://admin:PASSWORD@HOST/faces": f'"{uri}"'},
            ),
            documented(
                ".venv/bin/python -m training people export faces.backup --galleries s3://my-bucket/galleries",
                {"s3://my-bucket/galleries": place},
            ),
            documented(
                ".venv/bin/python -m training people import faces.backup --galleries postgresql://recognition@HOST/faces",
                {"postgresql://recognition@HOST/faces": f'"{service}"'},
            ),
            f'python -m training people list --galleries "{service}"',
        ]
        results = [shell(command, checkout) for command in commands]
    assert [done.returncode for done in results] == [0] * len(commands), [done.stderr for done in results]
    assert "the tables of version 1 are created" in results[1].stderr
    assert results[-1].stdout.split() == ["0", "1", "Kofi", "Annan"]
