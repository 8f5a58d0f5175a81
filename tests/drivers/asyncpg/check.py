"""asyncpg with its defaults: every query is a named prepared statement, kept by up to 100 a
connection; its pool resets a connection at each return."""

import asyncio
import datetime
import decimal
import io
import uuid

import asyncpg

from checks import CLIENTS, ROUNDS, expect, expect_own_rows, run, version

# All is in the environment: PGHOST, PGPORT, PGUSER, PGDATABASE, PGPASSFILE.
connect = asyncpg.connect


async def parameters_of_many_types():
    """Parameters of many types, a composite type of our own too, come back as they went."""
    values = [
        7,
        2**40,
        "it's ünïcode ✓ \\",
        b"\x00\xff bytes",
        None,
        decimal.Decimal("12345.678900"),
        datetime.datetime(2024, 2, 29, 23, 59, 58, 123456, tzinfo=datetime.timezone.utc),
        uuid.UUID("12345678-1234-5678-1234-567812345678"),
        [1, 2, 3],
        {"kind": "b", "n": 2},
        "x" * 8_000_000,
    ]
    client = await connect()
    await client.execute("CREATE TYPE kind AS ENUM ('a', 'b')")
    await client.execute("CREATE TYPE pair AS (kind kind, n int)")
    types = "int4 int8 text bytea text numeric timestamptz uuid int8[] pair text".split()
    columns = ", ".join(f"${n}::{name}" for n, name in enumerate(types, 1))
    found = list(await client.fetchrow(f"SELECT {columns}", *values[:9], ("b", 2), values[10]))
    found[9] = dict(found[9])
    expect("values", values, found)
    await client.close()


async def statement_on_both_servers():
    """A prepared statement follows its client to both server connections."""
    client, first, second = [await connect() for _ in range(3)]
    statement = await client.prepare("SELECT $1::int * 2, pg_backend_pid()")
    # prepare() asks with a Flush and no Sync, so it keeps its server up to the next query.
    await statement.fetchrow(0)
    held = {}
    for connection in (first, second):
        held[connection] = connection.transaction()
        await held[connection].start()
        await connection.fetchval("SELECT pg_backend_pid()")
    for holder in (first, second):
        free = await holder.fetchval("SELECT pg_backend_pid()")
        await held[holder].rollback()
        for n in range(10):
            expect("the kept statement", (n * 2, free), tuple(await statement.fetchrow(n)))
            expect("by its cache", n + 1, await client.fetchval("SELECT $1::int + 1", n))
        held[holder] = holder.transaction()
        await held[holder].start()
        await holder.fetchval("SELECT 1")
    for connection in (client, first, second):
        await connection.close()


async def many_statements():
    """More statements than the client keeps (100) and than a server connection keeps (200)."""
    client = await connect()
    for _ in range(2):
        for n in range(300):
            expect("sum", n + 5, await client.fetchval(f"SELECT $1::int + {n}", 5))
    await client.close()


async def changing():
    """A statement whose table changes: the client prepares anew by itself, outside a transaction."""
    client, other = await connect(), await connect()
    await client.execute("CREATE TABLE changing (n int); INSERT INTO changing VALUES (1)")
    expected = (1,)
    for n in range(5):
        for connection in (client, other):
            expect("a row", expected, tuple(await connection.fetchrow("SELECT * FROM changing")))
        await other.execute(f"ALTER TABLE changing ADD COLUMN t{n} text DEFAULT 'new'")
        expected += ("new",)
    await client.close()
    await other.close()


async def transactions():
    """A rollback, a savepoint, and an error inside a transaction."""
    client = await connect()
    await client.execute("CREATE TABLE account (id int PRIMARY KEY, amount int)")
    await client.execute("INSERT INTO account VALUES ($1, $2)", 1, 100)
    try:
        async with client.transaction():
            await client.execute("UPDATE account SET amount = 0")
            raise KeyError
    except KeyError:
        pass
    expect("after rollback", 100, await client.fetchval("SELECT amount FROM account"))
    async with client.transaction():
        await client.execute("UPDATE account SET amount = amount + 1")
        try:
            async with client.transaction():
                await client.execute("INSERT INTO account VALUES ($1, $2)", 1, 1)
        except asyncpg.UniqueViolationError:
            pass
    expect("after a savepoint", 101, await client.fetchval("SELECT amount FROM account"))
    for n in range(10):
        transaction = client.transaction()
        await transaction.start()
        try:
            await client.fetchval("SELECT 1 / $1::int", 0)
            raise AssertionError("no error")
        except asyncpg.DivisionByZeroError:
            pass
        try:
            await client.fetchval("SELECT $1::int", n)
            raise AssertionError("no error")
        except asyncpg.InFailedSQLTransactionError:
            pass
        await transaction.rollback()
        expect("after it", n, await client.fetchval("SELECT $1::int", n))
    await client.close()


async def batch():
    """executemany, a pipeline in one transaction; one that fails leaves no row."""
    client = await connect()
    await client.execute("CREATE TABLE many (n int PRIMARY KEY, t text)")
    rows = [(n, f"row {n}") for n in range(5000)]
    await client.executemany("INSERT INTO many VALUES ($1, $2)", rows)
    found = [tuple(row) for row in await client.fetch("SELECT n, t FROM many ORDER BY n")]
    expect("rows", rows, found)
    try:
        await client.executemany("INSERT INTO many VALUES ($1, $2)", [(6000, "x"), (6001, "y"), (1, "z")])
        raise AssertionError("no error")
    except asyncpg.UniqueViolationError:
        pass
    expect("after the error", 5000, await client.fetchval("SELECT count(*) FROM many"))
    await client.close()


async def copy():
    """COPY in (binary records) and out of 50,000 rows; one with an error."""
    client = await connect()
    await client.execute("CREATE TABLE copied (n int, t text)")
    rows = [(n, f"text\t{n}") for n in range(50_000)]
    await client.copy_records_to_table("copied", records=rows)
    out = io.BytesIO()
    await client.copy_from_query("SELECT n FROM copied ORDER BY n", output=out)
    expect("rows", [n for n, _ in rows], [int(line) for line in out.getvalue().split()])
    try:
        await client.copy_to_table("copied", source=io.BytesIO(b"no number\ttext\n"))
        raise AssertionError("no error")
    except asyncpg.InvalidTextRepresentationError:
        pass
    expect("after it", 50_000, await client.fetchval("SELECT count(*) FROM copied"))
    await client.close()


async def cursor():
    """A cursor (a portal, fetched in parts) within its transaction."""
    client = await connect()
    async with client.transaction():
        found = [row[0] async for row in client.cursor("SELECT generate_series(1, $1::int)", 1000)]
    expect("rows", list(range(1, 1001)), found)
    await client.close()


async def own_rows():
    """8 clients read their own rows over 2 server connections."""
    seen = [[] for _ in range(CLIENTS)]

    async def work(client):
        connection = await connect()
        for n in range(ROUNDS):
            mark = f"client {client} round {n}"
            async with connection.transaction():
                row = await connection.fetchrow("SELECT $1::text, pg_backend_pid()", mark)
                again = await connection.fetchrow("SELECT pg_backend_pid(), pg_sleep(0.001)")
            expect("one server in a transaction", row[1], again[0])
            seen[client].append((mark, *row))
        await connection.close()

    await asyncio.gather(*(work(client) for client in range(CLIENTS)))
    expect_own_rows(seen)


async def own_rows_of_a_pool():
    """32 tasks share a pool of 10 with its reset at each return."""
    async with asyncpg.create_pool() as pool:

        async def work(client):
            for n in range(10):
                mark = f"client {client} round {n}"
                expect("its mark", mark, await pool.fetchval("SELECT $1::text", mark))

        await asyncio.gather(*(work(client) for client in range(32)))


async def timeout():
    """A timeout (asyncpg then cancels), and the connection after it."""
    client, other = await connect(), await connect()
    for n in range(3):
        try:
            await client.fetchval("SELECT pg_sleep(60)", timeout=0.2)
            raise AssertionError("no timeout")
        except asyncio.TimeoutError:
            pass
        expect("the client after it", n, await client.fetchval("SELECT $1::int", n))
        expect("its neighbour", n, await other.fetchval("SELECT $1::int", n))
    await client.close()
    await other.close()


async def features():
    """Features of a session."""
    client, other = await connect(), await connect()
    heard = []
    await client.add_listener("news", lambda *note: heard.append(note[3]))
    await other.execute("NOTIFY news, 'hello'")
    await client.fetchval("SELECT pg_sleep(0.3)")
    expect("LISTEN (add_listener)", ["hello"], heard)
    await client.execute("SET lock_timeout = '4s'")
    expect("SET of lock_timeout across transactions", "4s", await client.fetchval("SHOW lock_timeout"))
    await client.execute("CREATE TEMPORARY TABLE mine (n int)")
    expect("a temporary table across transactions", [], await client.fetch("SELECT * FROM mine"))
    await client.close()
    await other.close()


version(asyncpg.__version__)
run(
    parameters_of_many_types,
    statement_on_both_servers,
    many_statements,
    changing,
    transactions,
    batch,
    copy,
    cursor,
    own_rows,
    own_rows_of_a_pool,
    timeout,
    features,
)
