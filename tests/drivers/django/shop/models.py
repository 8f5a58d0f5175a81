from django.db import models


class Order(models.Model):
    mark = models.CharField(max_length=100, unique=True)
    more = models.JSONField(default=dict)
    at = models.DateTimeField(auto_now_add=True)
