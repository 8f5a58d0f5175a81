"""SQLAlchemy with its defaults over psycopg 3 and over asyncpg: its own pool of up to 15
connections, a rollback at each return to it."""

import asyncio
import os
import threading

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, selectinload
from sqlalchemy.pool import NullPool

from checks import CLIENTS, ROUNDS, expect, expect_own_rows, run, version

PASSWORD = open(os.environ["PGPASSFILE"]).read().strip().split(":", 4)[4]


def url(driver):
    return sa.URL.create(
        f"postgresql+{driver}",
        os.environ["PGUSER"],
        PASSWORD,
        os.environ["PGHOST"],
        int(os.environ["PGPORT"]),
        os.environ["PGDATABASE"],
    )


class Base(DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "author"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(100), unique=True)
    books: Mapped[list["Book"]] = relationship(back_populates="author", order_by="Book.id")


class Book(Base):
    __tablename__ = "book"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    pages: Mapped[int | None]
    more: Mapped[dict | None] = mapped_column(sa.JSON)
    author_id: Mapped[int] = mapped_column(sa.ForeignKey("author.id"))
    author: Mapped[Author] = relationship(back_populates="books")


engine = sa.create_engine(url("psycopg"))


def schema():
    """create_all, its inspection and a second create_all."""
    Base.metadata.create_all(engine)
    Base.metadata.create_all(engine)
    expect("tables", {"author", "book"}, set(sa.inspect(engine).get_table_names()))
    columns = [column["name"] for column in sa.inspect(engine).get_columns("book")]
    expect("columns", ["id", "title", "pages", "more", "author_id"], columns)


def objects():
    """Objects with keys from sequences (insertmanyvalues), read back by another session."""
    with Session(engine) as session:
        for n in range(50):
            books = [Book(title=f"book {n}.{i} ü✓", pages=i, more={"n": n, "i": i}) for i in range(20)]
            session.add(Author(name=f"author {n}", books=books))
        session.commit()
    with Session(engine) as session:
        query = sa.select(Author).options(selectinload(Author.books)).order_by(Author.id)
        found = [(a.name, [(b.title, b.pages, b.more) for b in a.books]) for a in session.scalars(query)]
    expected = [
        (f"author {n}", [(f"book {n}.{i} ü✓", i, {"n": n, "i": i}) for i in range(20)]) for n in range(50)
    ]
    expect("objects", expected, found)


def rollback():
    """A rollback, a savepoint (begin_nested) and an IntegrityError amid a session."""
    with Session(engine) as session:
        author = session.scalars(sa.select(Author).where(Author.name == "author 1")).one()
        author.name = "changed"
        session.flush()
        session.rollback()
        expect("after rollback", "author 1", author.name)
        try:
            with session.begin_nested():
                session.add(Author(name="author 2"))
                session.flush()
        except exc.IntegrityError:
            pass
        session.add(Author(name="new"))
        session.commit()
        count = session.scalar(sa.select(sa.func.count()).select_from(Author))
        expect("authors", 51, count)


def error_inside():
    """A statement that fails, and the same connection of the pool after it."""
    for n in range(10):
        with engine.connect() as connection:
            try:
                connection.execute(sa.text("SELECT 1 / :n"), {"n": 0})
                raise AssertionError("no error")
            except exc.DataError:
                pass
            try:
                connection.execute(sa.text("SELECT 1"))
                raise AssertionError("no error")
            except exc.InternalError:
                pass
        with engine.connect() as connection:
            expect("after it", n, connection.scalar(sa.select(sa.literal(n))))


def own_rows():
    """8 threads with connections of their own read their own rows."""
    seen = [[] for _ in range(CLIENTS)]
    alone = sa.create_engine(url("psycopg"), poolclass=NullPool)

    def work(client):
        with alone.connect() as connection:
            for n in range(ROUNDS):
                mark = f"client {client} round {n}"
                query = sa.select(sa.literal(mark), sa.func.pg_backend_pid())
                with connection.begin():
                    row = connection.execute(query).one()
                    again = connection.scalar(sa.select(sa.func.pg_backend_pid()))
                expect("one server in a transaction", row[1], again)
                seen[client].append((mark, *row))

    threads = [threading.Thread(target=work, args=[client]) for client in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expect_own_rows(seen)


def streaming():
    """Rows in parts (a cursor on the server)."""
    with engine.connect() as connection:
        query = sa.select(sa.func.generate_series(1, 5000))
        result = connection.execution_options(yield_per=100).scalars(query)
        expect("rows", list(range(1, 5001)), [n for part in result.partitions() for n in part])


def autocommit():
    """The isolation levels AUTOCOMMIT and SERIALIZABLE of an engine."""
    autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
    with autocommit.connect() as connection:
        connection.execute(sa.text("CREATE TABLE unlogged_row (n int)"))
        connection.execute(sa.text("VACUUM unlogged_row"))
    serializable = engine.execution_options(isolation_level="SERIALIZABLE")
    for _ in range(5):
        with serializable.connect() as connection:
            found = connection.scalar(sa.text("SHOW transaction_isolation"))
            expect("level", "serializable", found)
    with engine.connect() as connection:
        expect("the next", "read committed", connection.scalar(sa.text("SHOW transaction_isolation")))


async def asynchronous():
    """AsyncSession over asyncpg: objects, an error, and 8 tasks that read their own rows."""
    engine = create_async_engine(url("asyncpg"))
    async with AsyncSession(engine) as session:
        session.add(Author(name="by asyncpg", books=[Book(title="one"), Book(title="two")]))
        await session.commit()
        query = sa.select(Book.title).join(Author).where(Author.name == "by asyncpg").order_by(Book.id)
        expect("titles", ["one", "two"], list(await session.scalars(query)))
        session.add(Author(name="by asyncpg"))
        try:
            await session.commit()
            raise AssertionError("no error")
        except exc.IntegrityError:
            await session.rollback()
        expect("after it", 1, await session.scalar(sa.select(sa.literal(1))))
    seen = [[] for _ in range(CLIENTS)]

    async def work(client):
        for n in range(ROUNDS):
            mark = f"client {client} round {n}"
            async with engine.connect() as connection:
                query = sa.select(sa.literal(mark), sa.func.pg_backend_pid())
                seen[client].append((mark, *(await connection.execute(query)).one()))

    await asyncio.gather(*(work(client) for client in range(CLIENTS)))
    expect_own_rows(seen)
    await engine.dispose()


def features():
    """Features of a session."""
    with engine.connect() as connection:
        connection.execute(sa.text("CREATE TEMPORARY TABLE mine (n int)"))
        connection.commit()
        expect("a temporary table after commit", [], connection.execute(sa.text("SELECT * FROM mine")).all())


version(f"{sa.__version__} (psycopg, asyncpg)")
run(schema, objects, rollback, error_inside, own_rows, streaming, autocommit, asynchronous, features)
engine.dispose()
