"""How a client's check in Python tells its results, and what the clients' checks share.

Each check is a function whose first line of documentation is its name; the first
failure ends the program. README.md has the words that drivers.sh reads.
"""

import asyncio
import inspect
import sys
import traceback

CLIENTS = 8
ROUNDS = 40


class Wrong(Exception):
    """A result that is not the expected one."""


def version(text):
    print("version", text)


def expect(what, expected, found):
    if found != expected:
        raise Wrong(f"{what}: expected {expected!r}, found {found!r}")


def run(*checks):
    """Runs the checks, coroutines too, in this order."""
    for check in checks:
        try:
            if inspect.iscoroutinefunction(check):
                asyncio.run(check())
            else:
                check()
        except BaseException as error:
            traceback.print_exc()
            first = str(error).strip().splitlines() or [""]
            print(f"FAILED {name_of(check)}: {type(error).__name__}: {first[0]}")
            sys.exit(1)
        print("ok", name_of(check))
    print("done")


def name_of(check):
    return inspect.getdoc(check).splitlines()[0].rstrip(".")


def expect_own_rows(seen, rounds=ROUNDS):
    """`seen` has for each client a list of (expected mark, found mark, server's pid)."""
    for client, rows in enumerate(seen):
        expect(f"client {client}: rows", rounds, len(rows))
        for wanted, found, _ in rows:
            expect(f"client {client}: its mark", wanted, found)
    servers = {pid for rows in seen for _, _, pid in rows}
    if len(servers) > 2:
        raise Wrong(f"expected at most 2 server connections, found {sorted(servers)}")
