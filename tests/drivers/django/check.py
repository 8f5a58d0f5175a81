"""Django with its defaults, alone and behind gunicorn: sync and eventlet workers, connections
that last for a request (CONN_MAX_AGE 0) and for a minute (60)."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import web
from checks import CLIENTS, expect, expect_own_rows, run, version
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.contrib.auth.models import Group, User
from shop.models import Order

import django
import gunicorn

REQUESTS = 15
HERE = os.path.dirname(os.path.abspath(__file__))


def migrations():
    """The migrations of contenttypes and auth, and a second run of them."""
    call_command("migrate", run_syncdb=True, verbosity=0)
    call_command("migrate", run_syncdb=True, verbosity=0)
    call_command("migrate", check_unapplied=True, verbosity=0)


def objects():
    """Objects, bulk_create, joins, aggregates and a JSON lookup."""
    group = Group.objects.create(name="readers ü✓")
    for n in range(20):
        User.objects.create_user(f"user{n}").groups.add(group)
    names = list(User.objects.filter(groups__name="readers ü✓").order_by("id").values_list("username", flat=True))
    expect("users", [f"user{n}" for n in range(20)], names)
    Order.objects.bulk_create(Order(mark=f"bulk {n}", more={"n": n}) for n in range(1000))
    expect("a JSON lookup", "bulk 7", Order.objects.get(more__n=7).mark)
    with transaction.atomic():
        locked = Order.objects.select_for_update().filter(more__n__gte=995).count()
    expect("locked rows", 5, locked)


def atomic():
    """atomic() and one inside it that fails."""
    try:
        with transaction.atomic():
            Order.objects.create(mark="gone")
            raise KeyError
    except KeyError:
        pass
    with transaction.atomic():
        Order.objects.create(mark="kept")
        try:
            with transaction.atomic():
                Order.objects.create(mark="kept")
        except IntegrityError:
            pass
        Order.objects.create(mark="kept too")
    marks = Order.objects.filter(mark__in=["gone", "kept", "kept too"]).order_by("id")
    expect("marks", ["kept", "kept too"], [order.mark for order in marks])


def iterator():
    """QuerySet.iterator() inside a transaction (a cursor on the server)."""
    with transaction.atomic():
        marks = [order.mark for order in Order.objects.filter(mark__startswith="bulk").order_by("id").iterator(100)]
    expect("marks", [f"bulk {n}" for n in range(1000)], marks)


def iterator_outside():
    """QuerySet.iterator() outside a transaction: a cursor WITH HOLD."""
    expect("rows", 1000, len(list(Order.objects.filter(mark__startswith="bulk").iterator(100))))


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def get(port, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=60) as answer:
        return answer.read().decode()


def serve(kind, max_age):
    port = free_port()
    arguments = ["--bind", f"127.0.0.1:{port}", "--workers", "2", "--worker-class", kind, "--chdir", HERE, "--no-control-socket"]
    command = [sys.executable, "-m", "gunicorn", *arguments, "web:application"]
    server = subprocess.Popen(command, env=os.environ | {"CONN_MAX_AGE": str(max_age)})
    try:
        until = time.monotonic() + 60
        while True:
            try:
                expect("after an error", "0", get(port, "error"))
                break
            except OSError:
                if time.monotonic() > until or server.poll() is not None:
                    raise
                time.sleep(0.1)
        yield port
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)


def requests(kind, max_age):
    seen = [[] for _ in range(CLIENTS)]

    def work(client, port):
        for n in range(REQUESTS):
            mark = f"{kind}-{max_age}-{client}-{n}"
            found, pid = get(port, f"order/{mark}").split("|")
            seen[client].append((mark, found, int(pid)))
            if n % 10 == 0:
                expect("after an error", "0", get(port, "error"))

    for port in serve(kind, max_age):
        threads = [threading.Thread(target=work, args=[client, port]) for client in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    expect_own_rows(seen, REQUESTS)
    rows = Order.objects.filter(mark__startswith=f"{kind}-{max_age}-").count()
    expect("rows", CLIENTS * REQUESTS, rows)


def behind(kind, max_age):
    def check():
        requests(kind, max_age)

    check.__doc__ = f"gunicorn, {kind} workers, CONN_MAX_AGE {max_age}: each request reads its own row"
    return check


version(f"{django.__version__} (gunicorn {gunicorn.__version__})")
expect("the site's own", "shop", web.Order._meta.app_label)
ways = [(kind, max_age) for kind in ("sync", "eventlet") for max_age in (0, 60)]
run(migrations, objects, atomic, iterator, iterator_outside, *(behind(*way) for way in ways))
connection.close()
