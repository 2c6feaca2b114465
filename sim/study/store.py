"""Rows of a study, each durable as soon as it is there: one SQLite file, one writer.

A row is one transaction, and is on the disk when `put` returns (`synchronous = full`); a process that is killed in the
middle of one leaves a journal, by which the next that opens the file takes it back. Nobody else can open the file
meanwhile: two sweeps into one store would run points twice.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from sim.errors import InputError, Problem

SCHEMA = "sparksim.store/1"
_TABLES = """
create table about (key text primary key, value text) without rowid;
create table point (number integer primary key, row text not null);
"""
WAIT_S = 1.0


class Store:
    """The finished points of one study; `path` None keeps them in memory.

    Raises:
        InputError: the file is another study's or another version's, is in use, no store, or cannot be written.
    """

    def __init__(self, path: Path | None, identity: Mapping[str, str]) -> None:
        self._path = path
        with self._told("cannot be opened"):
            self._connection = sqlite3.connect(path or ":memory:", timeout=WAIT_S, isolation_level=None)
            try:
                self._open({"schema": SCHEMA, **identity})
            except BaseException:
                self._connection.close()
                raise

    def _open(self, identity: Mapping[str, str]) -> None:
        sql = self._connection
        # In this order: the lock is taken by the first statement after it, and kept until the end.
        sql.execute("pragma locking_mode = exclusive")
        sql.execute("pragma synchronous = full")
        sql.execute("begin immediate")
        try:
            if not sql.execute("select count(*) from sqlite_master").fetchone()[0]:
                for statement in filter(str.strip, _TABLES.split(";")):
                    sql.execute(statement)
                sql.executemany("insert into about values (?, ?)", identity.items())
            self._check(identity)
            sql.execute("update about set value = value")  # a file that cannot be written says so now
            sql.execute("commit")
        except BaseException:
            if sql.in_transaction:
                sql.execute("rollback")
            raise

    def _check(self, identity: Mapping[str, str]) -> None:
        try:
            said = dict(self._connection.execute("select key, value from about"))
        except sqlite3.OperationalError:
            said = {}
        if said.get("schema") != SCHEMA:
            raise self._error("is no store of a study", "not_ours", "name a new file")
        changed = [name for name, value in identity.items() if said.get(name) != value]
        if "sparksim" in changed:
            message = f"was begun by another version of sparksim: {said.get('sparksim')}, not {identity['sparksim']}"
            raise self._error(message, "other_version", "name a new file: rows of two versions do not go together")
        if changed:
            message = f"holds another study: {' and '.join(changed)} differ"
            raise self._error(message, "other_study", "name a new file, or ask the study that it was begun with")

    @property
    def is_durable(self) -> bool:
        """Whether it is a file."""
        return self._path is not None

    def done(self) -> set[int]:
        """Numbers of the points that are there."""
        with self._told("cannot be read"):
            return {number for (number,) in self._connection.execute("select number from point")}

    def put(self, rows: Mapping[int, str]) -> None:
        """Keep rows, as JSON by the number of their point; they are durable when this returns.

        Raises:
            InputError: they cannot be written; those before them are kept.
        """
        for number, row in sorted(rows.items()):
            with self._told("cannot be written"):
                self._connection.execute("insert into point values (?, ?)", (number, row))

    def rows(self) -> Iterator[tuple[int, str]]:
        """Rows in the study's order."""
        with self._told("cannot be read"):
            yield from self._connection.execute("select number, row from point order by number")

    def close(self) -> None:
        """Let go of the file; the rest of its journal is taken away."""
        self._connection.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Turns what SQLite says into an error of ours."""
        try:
            yield
        except sqlite3.Error as error:
            text = str(error)
            if "locked" in text:
                hint = "wait until it has ended, or name another file"
                raise self._error("is in use by another sweep", "in_use", hint) from None
            if "not a database" in text or "malformed" in text:
                raise self._error("is no store of a study", "not_ours", "name a new file") from None
            kept = "what is in it is kept: mend that and start again, it goes on"
            raise self._error(f"{what}: {text}", "not_writable", kept if "written" in what else None) from None

    def _error(self, message: str, code: str, hint: str | None) -> InputError:
        return InputError(Problem(message, code, str(self._path), path="store", hint=hint))
