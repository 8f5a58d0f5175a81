"""The site that gunicorn serves: each request writes and reads its own mark."""

import os

import django
from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF="web",
    SECRET_KEY="of no use",
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "shop"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": os.environ["PGDATABASE"],
            "CONN_MAX_AGE": int(os.environ.get("CONN_MAX_AGE", "0")),
        }
    },
)
django.setup()

from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import DataError, connection, transaction  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.urls import path  # noqa: E402
from shop.models import Order  # noqa: E402


def pid():
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return cursor.fetchone()[0]


@transaction.atomic
def order(request, mark):
    Order.objects.create(mark=mark, more={"for": mark})
    before = pid()
    found = Order.objects.get(mark=mark)
    if before != pid() or found.more != {"for": mark}:
        return HttpResponse("wrong", status=500)
    return HttpResponse(f"{found.mark}|{before}")


def error(request):
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            Order.objects.create(mark="never there")
            cursor.execute("SELECT 1 / %s", [0])
    except DataError:
        pass
    return HttpResponse(str(Order.objects.filter(mark="never there").count()))


urlpatterns = [path("order/<str:mark>", order), path("error", error)]
application = get_wsgi_application()
