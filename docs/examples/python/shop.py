"""A shop's side of payment requests, with psycopg 3.2 or newer.

usage: shop.py create ADDRESS AMOUNT SECONDS | wait ID SECONDS | ship ID | cancel ID | extend ID SECONDS
"""
import sys
import time
from decimal import Decimal

import psycopg

FINAL = ("paid", "expired", "cancelled")


def create(db, address, amount, seconds):
    row = db.execute(
        "INSERT INTO payment_requests (pay_to, amount, expires_at)"
        " VALUES (%s, %s, now() + make_interval(secs => %s)) RETURNING id",
        (address, Decimal(amount), float(seconds))).fetchone()
    return row[0]


def look(db, request_id):
    return db.execute(
        "SELECT status, trim_scale(coalesce(received, 0)) || ' of ' || trim_scale(amount)"
        " FROM payment_requests WHERE id = %s", (request_id,)).fetchone()


def wait(db, request_id, seconds):
    deadline = time.monotonic() + float(seconds)
    # Before the first look: what happens in between is not missed.
    db.execute("LISTEN reconciler")
    while True:
        status, paid = look(db, request_id)
        left = deadline - time.monotonic()
        if status in FINAL or left <= 0:
            return f"{status} {paid}"
        # A hint, from whomever: look again. And now and then without one.
        for _ in db.notifies(timeout=min(left, 10), stop_after=1):
            pass


def ship(db, request_id):
    # The key of shipments decides, in the transaction that ships.
    with db.transaction():
        row = db.execute(
            "INSERT INTO shipments (request_id)"
            " SELECT id FROM payment_requests WHERE id = %s AND status = 'paid'"
            " ON CONFLICT DO NOTHING RETURNING request_id", (request_id,)).fetchone()
        if row is None:
            return "not shipped"
        # … whatever shipping means, if it is undone with the transaction
    return "shipped"


def cancel(db, request_id):
    # Compare and set: a payment may be under way since the page was shown.
    done = db.execute(
        "UPDATE payment_requests SET status = 'cancelled'"
        " WHERE id = %s AND status = 'awaiting_payment'", (request_id,)).rowcount
    return "cancelled" if done else "not cancelled"


def extend(db, request_id, seconds):
    # What arrived too late, or was too little, counts from now on.
    done = db.execute(
        "UPDATE payment_requests SET status = 'awaiting_payment', expires_at = now() + make_interval(secs => %s)"
        " WHERE id = %s AND status = 'expired'", (float(seconds), request_id)).rowcount
    return "extended" if done else "not extended"


if __name__ == "__main__":
    commands = {f.__name__: f for f in (create, wait, ship, cancel, extend)}
    if len(sys.argv) < 3 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    # autocommit: a notification comes when no transaction is open
    with psycopg.connect(autocommit=True) as db:
        print(commands[sys.argv[1]](db, *sys.argv[2:]))
