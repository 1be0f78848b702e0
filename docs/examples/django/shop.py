"""A shop's side of payment requests, as a Django model (Django 4.2 or newer).

usage: shop.py create ADDRESS AMOUNT SECONDS | wait ID SECONDS | ship ID | cancel ID | extend ID SECONDS
"""
import os
import sys
import time
from datetime import timedelta
from decimal import Decimal

import django
from django.conf import settings

# A project has these in its settings.
settings.configure(
    USE_TZ=True,
    DATABASES={"default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": os.environ.get("PGHOST", ""), "PORT": os.environ.get("PGPORT", ""),
        "USER": os.environ.get("PGUSER", ""), "NAME": os.environ.get("PGDATABASE", "postgres")}})
django.setup()

from django.db import models, transaction  # noqa: E402
from django.utils import timezone  # noqa: E402


class PaymentRequest(models.Model):
    class Status(models.TextChoices):
        AWAITING = "awaiting_payment"
        PROCESSING = "processing"
        PAID = "paid"
        EXPIRED = "expired"
        CANCELLED = "cancelled"

    id = models.BigAutoField(primary_key=True)
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.AWAITING)
    amount = models.DecimalField(max_digits=38, decimal_places=18)
    pay_to = models.TextField()
    expires_at = models.DateTimeField(null=True)
    received = models.DecimalField(max_digits=38, decimal_places=18, null=True, editable=False)
    paid_at = models.DateTimeField(null=True, editable=False)
    transaction_id = models.TextField(null=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        app_label = "shop"
        db_table = "payment_requests"
        managed = False

    def save(self, *args, **kwargs):
        # save() writes every field back as it was read, the status too: a payment
        # that was confirmed meanwhile would be overwritten.
        if self.pk is not None and kwargs.get("update_fields") is None:
            raise TypeError("name what has changed: save(update_fields=[…])")
        super().save(*args, **kwargs)


class Shipment(models.Model):
    request = models.OneToOneField(PaymentRequest, primary_key=True, on_delete=models.PROTECT)
    shipped_at = models.DateTimeField(default=timezone.now)

    class Meta:
        app_label = "shop"
        db_table = "shipments"
        managed = False


Status = PaymentRequest.Status


def create(address, amount, seconds):
    return PaymentRequest.objects.create(
        pay_to=address, amount=Decimal(amount), expires_at=timezone.now() + timedelta(seconds=float(seconds))).pk


def wait(request_id, seconds):
    deadline = time.monotonic() + float(seconds)
    while True:
        request = PaymentRequest.objects.get(pk=request_id)
        if request.status in (Status.PAID, Status.EXPIRED, Status.CANCELLED) or time.monotonic() > deadline:
            return f"{request.status} {plain(request.received)} of {plain(request.amount)}"
        time.sleep(0.2)


def plain(amount):
    return format((amount or Decimal(0)).normalize(), "f")


def ship(request_id):
    with transaction.atomic():
        if not PaymentRequest.objects.filter(pk=request_id, status=Status.PAID).exists():
            return "not shipped"
        # The key of shipments decides who ships.
        _, first = Shipment.objects.get_or_create(request_id=request_id)
        return "shipped" if first else "not shipped"


def cancel(request_id):
    done = PaymentRequest.objects.filter(pk=request_id, status=Status.AWAITING).update(status=Status.CANCELLED)
    return "cancelled" if done else "not cancelled"


def extend(request_id, seconds):
    done = PaymentRequest.objects.filter(pk=request_id, status=Status.EXPIRED).update(
        status=Status.AWAITING, expires_at=timezone.now() + timedelta(seconds=float(seconds)))
    return "extended" if done else "not extended"


if __name__ == "__main__":
    commands = {f.__name__: f for f in (create, wait, ship, cancel, extend)}
    if len(sys.argv) < 3 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    print(commands[sys.argv[1]](*sys.argv[2:]))
