"""psycopg 3 with its defaults: it prepares a statement on the server when it has seen it
five times (prepare_threshold), and begins a transaction with the first statement."""

import asyncio
import datetime
import decimal
import threading
import time
import uuid

import psycopg
import psycopg_pool
from psycopg import errors

from checks import CLIENTS, ROUNDS, expect, expect_own_rows, run, version

# All is in the environment: PGHOST, PGPORT, PGUSER, PGDATABASE, PGPASSFILE.
EVERYTHING = ""


def connect(**more):
    return psycopg.connect(EVERYTHING, **more)


def one(connection, sql, parameters=None):
    return connection.execute(sql, parameters).fetchone()[0]


def parameters_of_many_types():
    """Parameters of many types come back as they went."""
    values = [
        7,
        2**40,
        "it's ünïcode ✓ \\",
        b"\x00\xff bytes",
        None,
        True,
        decimal.Decimal("12345.678900"),
        datetime.datetime(2024, 2, 29, 23, 59, 58, 123456, tzinfo=datetime.timezone.utc),
        uuid.UUID("12345678-1234-5678-1234-567812345678"),
        [1, 2, 3],
        "x" * 8_000_000,
    ]
    types = "int8 int8 text bytea text bool numeric timestamptz uuid int8[] text".split()
    columns = ", ".join(f"%s::{name}" for name in types)
    with connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for binary in (False, True):
            cursor = connection.cursor(binary=binary)
            row = cursor.execute(f"SELECT {columns}", values).fetchone()
            expect(f"values, binary {binary}", values, list(row))


def statement_on_both_servers():
    """A prepared statement follows its client to both server connections."""
    with connect(autocommit=True) as client, connect() as first, connect() as second:
        sql = "SELECT %s::int * 2, pg_backend_pid()"
        for n in range(6):
            expect("before", n * 2, client.execute(sql, [n]).fetchone()[0])
        expect("prepared by its defaults", 1, len(client._prepared._names))
        for holder, other in ((first, second), (second, first)):
            free = one(holder, "SELECT pg_backend_pid()")
            one(other, "SELECT 1")
            holder.rollback()
            for n in range(3):
                found = client.execute(sql, [n]).fetchone()
                expect("on the only free server", (n * 2, free), found)
            other.rollback()


def prepared_in_transactions():
    """Named statements across a hundred transactions, more than the client keeps."""
    with connect(prepare_threshold=5) as connection:
        connection.prepared_max = 10
        for n in range(100):
            with connection.transaction():
                for text in range(15):
                    found = one(connection, f"SELECT %s::int + {text}", [n])
                    expect("sum", n + text, found)


def rollback():
    """A rollback, a savepoint, and two-phase leftovers."""
    with connect() as connection:
        connection.execute("CREATE TABLE account (id int PRIMARY KEY, amount int)")
        connection.execute("INSERT INTO account VALUES (1, 100)")
        connection.commit()
        connection.execute("UPDATE account SET amount = 0")
        connection.rollback()
        expect("after rollback", 100, one(connection, "SELECT amount FROM account"))
        with connection.transaction():
            connection.execute("UPDATE account SET amount = amount + 1")
            try:
                with connection.transaction():
                    connection.execute("INSERT INTO account VALUES (1, 1)")
            except errors.UniqueViolation:
                pass
        connection.commit()
        expect("after a savepoint", 101, one(connection, "SELECT amount FROM account"))


def error_inside():
    """An error inside a transaction, and the client's work after it."""
    with connect() as connection:
        expect("a first query", 1, one(connection, "SELECT 1"))
        for _ in range(7):
            try:
                connection.execute("SELECT 1 / %s", [0])
                raise AssertionError("no error")
            except errors.DivisionByZero:
                pass
            try:
                connection.execute("SELECT 2")
                raise AssertionError("no error")
            except errors.InFailedSqlTransaction:
                pass
            connection.rollback()
            expect("after it", 3, one(connection, "SELECT %s", [3]))


def pipeline():
    """A pipeline (libpq's pipeline mode) of 500 statements over transactions."""
    with connect(autocommit=True) as connection, connection.pipeline() as pipeline:
        cursors = []
        for n in range(500):
            cursors.append((n, connection.execute("SELECT %s::int", [n])))
            if n % 50 == 49:
                pipeline.sync()
        for n, cursor in cursors:
            expect("its row", n, cursor.fetchone()[0])


def error_in_pipeline():
    """An error in a pipeline ends what follows up to the next sync, and no more."""
    with connect(autocommit=True) as connection:
        with connection.pipeline() as pipeline:
            before = connection.execute("SELECT %s::text", ["before"])
            pipeline.sync()
            connection.execute("SELECT 1 / %s::int", [0])
            aborted = connection.cursor()
            # Each call also reads what has arrived: the errors may come by the first, or one by each.
            raised = []
            for send in (lambda: aborted.execute("SELECT %s::text", ["aborted"]), pipeline.sync):
                try:
                    send()
                except (errors.DivisionByZero, errors.PipelineAborted) as error:
                    raised.append(type(error))
            expect("the first error", errors.DivisionByZero, raised[0] if raised else None)
            after = connection.execute("SELECT %s::text", ["after"])
            pipeline.sync()
            expect("before", "before", before.fetchone()[0])
            expect("after", "after", after.fetchone()[0])
            expect("aborted", None, aborted.pgresult and aborted.rowcount > 0 or None)
        expect("afterwards", 9, one(connection, "SELECT %s", [9]))


def many():
    """executemany (a pipeline of its own) of 2,000 rows."""
    with connect() as connection:
        connection.execute("CREATE TABLE many (n int, t text)")
        rows = [(n, f"row {n}") for n in range(2000)]
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO many VALUES (%s, %s)", rows)
        connection.commit()
        found = connection.execute("SELECT n, t FROM many ORDER BY n").fetchall()
        expect("rows", rows, found)


def copy():
    """COPY in and out of 50,000 rows, text and binary; one that the client gives up."""
    rows = [(n, f"text\t{n}") for n in range(50_000)]
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE copied (n int, t text)")
        with cursor.copy("COPY copied FROM STDIN") as out:
            for row in rows:
                out.write_row(row)
        connection.commit()
        with cursor.copy("COPY (SELECT * FROM copied ORDER BY n) TO STDOUT (FORMAT binary)") as data:
            data.set_types(["int4", "text"])
            expect("rows", rows, list(data.rows()))
        try:
            with cursor.copy("COPY copied FROM STDIN") as out:
                out.write_row(rows[0])
                raise KeyError("given up")
        except KeyError:
            connection.rollback()
        expect("no row of it", 50_000, one(connection, "SELECT count(*) FROM copied"))


def server_cursor():
    """A cursor on the server within its transaction."""
    with connect() as connection, connection.cursor("on_server") as cursor:
        cursor.itersize = 100
        cursor.execute("SELECT generate_series(1, 1000)")
        expect("rows", list(range(1, 1001)), [row[0] for row in cursor])


def own_rows():
    """8 clients in threads read their own rows over 2 server connections."""
    seen = [[] for _ in range(CLIENTS)]

    def work(client):
        with connect() as connection:
            for n in range(ROUNDS):
                mark = f"client {client} round {n}"
                row = connection.execute("SELECT %s, pg_backend_pid()", [mark]).fetchone()
                again = connection.execute("SELECT pg_backend_pid(), pg_sleep(0.001)").fetchone()
                expect("one server in a transaction", row[1], again[0])
                connection.commit()
                seen[client].append((mark, *row))

    threads = [threading.Thread(target=work, args=[client]) for client in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expect_own_rows(seen)


async def own_rows_async():
    """8 asynchronous clients of a psycopg_pool read their own rows."""
    seen = [[] for _ in range(CLIENTS)]
    async with psycopg_pool.AsyncConnectionPool(EVERYTHING, min_size=4, max_size=8, open=False) as pool:

        async def work(client):
            for n in range(ROUNDS):
                mark = f"client {client} round {n}"
                async with pool.connection() as connection:
                    cursor = await connection.execute("SELECT %s, pg_backend_pid()", [mark])
                    seen[client].append((mark, *await cursor.fetchone()))

        await asyncio.gather(*(work(client) for client in range(CLIENTS)))
    expect_own_rows(seen)


def cancel():
    """A cancel ends the running query of its own client only."""
    with connect(autocommit=True) as victim, connect(autocommit=True) as other:
        timer = threading.Timer(0.3, victim.cancel_safe)
        timer.start()
        expect("its neighbour", 1, one(other, "SELECT 1 FROM pg_sleep(0.1)"))
        began = time.monotonic()
        try:
            victim.execute("SELECT pg_sleep(60)")
            raise AssertionError("no error")
        except errors.QueryCanceled:
            pass
        timer.join()
        print(f"cancelled after {time.monotonic() - began:.2f} s")
        expect("its neighbour", 2, one(other, "SELECT %s", [2]))
        expect("the victim afterwards", 3, one(victim, "SELECT %s", [3]))


def statement_timeout():
    """A timeout within a transaction (SET LOCAL)."""
    with connect() as connection:
        connection.execute("SET LOCAL statement_timeout = '50ms'")
        try:
            connection.execute("SELECT pg_sleep(60)")
            raise AssertionError("no error")
        except errors.QueryCanceled:
            connection.rollback()
        expect("afterwards", "0", one(connection, "SHOW statement_timeout"))


def startup_options():
    """Startup options and reported parameters stay the client's."""
    with connect(options="-c statement_timeout=7s", application_name="theirs") as connection:
        with connect(application_name="mine") as other:
            for _ in range(5):
                expect("options", "7s", one(connection, "SHOW statement_timeout"))
                expect("name", "theirs", one(connection, "SHOW application_name"))
                expect("the other's", ("0", "mine"), (one(other, "SHOW statement_timeout"), one(other, "SHOW application_name")))
                connection.commit()
                other.commit()


def ddl_between():
    """A table changes under a prepared statement."""
    with connect(autocommit=True) as connection:
        connection.execute("CREATE TABLE changing (n int)")
        connection.execute("INSERT INTO changing VALUES (1)")
        for _ in range(8):
            expect("before", (1,), connection.execute("SELECT * FROM changing").fetchone())
        connection.execute("ALTER TABLE changing ADD COLUMN t text DEFAULT 'new'")
        try:
            found = connection.execute("SELECT * FROM changing").fetchone()
        except errors.FeatureNotSupported as error:
            expect("PostgreSQL's own error", "cached plan must not change result type", error.diag.message_primary)
            connection.prepare_threshold = None
            found = connection.execute("SELECT * FROM changing").fetchone()
        expect("after", (1, "new"), found)


def features():
    """Features of a session."""
    with connect(autocommit=True) as connection, connect(autocommit=True) as other:
        connection.execute("LISTEN news")
        other.execute("NOTIFY news")
        heard = [note.channel for note in connection.notifies(timeout=0.5)]
        expect("LISTEN in a connection of its own (notifies)", ["news"], heard)
        connection.execute("SELECT pg_advisory_lock(5)")
        held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
        expect("a session advisory lock across transactions", 1, one(connection, held))
        connection.execute("CREATE TEMPORARY TABLE mine (n int)")
        expect("a temporary table across transactions", [], connection.execute("SELECT * FROM mine").fetchall())
        connection.execute("SET lock_timeout = '4s'")
        expect("SET of lock_timeout across transactions", "4s", one(connection, "SHOW lock_timeout"))


version(f"{psycopg.__version__} (libpq {psycopg.pq.version_pretty(psycopg.pq.version())})")
run(
    parameters_of_many_types,
    statement_on_both_servers,
    prepared_in_transactions,
    rollback,
    error_inside,
    pipeline,
    error_in_pipeline,
    many,
    copy,
    server_cursor,
    own_rows,
    own_rows_async,
    cancel,
    statement_timeout,
    startup_options,
    ddl_between,
    features,
)
