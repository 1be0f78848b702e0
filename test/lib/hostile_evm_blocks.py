"""Misbehaving EVM nodes whose blocks are read: in front of an honest one.

    HOSTILE_ASSET=token python3 hostile_evm_blocks.py HOST PORT

HOSTILE_ASSET says what requests are paid in, and so what nodes are asked: token (events) or native (transactions).

See hostile.py for how a test steers it, and hostile_evm.py for cases that
concern any answer of JSON-RPC. Here stand those that know blocks, events and
receipts, and what these say of one another. Each answer by itself is such as
an honest node might give.
"""

import copy
import os
import sys

import hostile
from hostile import serve

before = dict(hostile.CASES)
from hostile_evm import blocks, case, calls, replies, results, seconds  # noqa: E402

# What concerns any answer has its own campaign
hostile.CASES.clear()
hostile.CASES.update({name: before[name] for name in ("hang", "http_429", "truncated", "html")})

LOGS = ("eth_getLogs",)
RECEIPTS = ("eth_getTransactionReceipt",)
OTHER = "0x" + "ab" * 32
kept = {}


def add(text, number):
    return hex(int(text, 16) + number)


def logs(name, function, quiet=False):
    """A case that changes the list of events."""
    results(name, lambda found: function(found) if isinstance(found, list) else found, LOGS, quiet)


def each_log(name, quiet=False, **fields):
    def function(found):
        for log in found:
            for field, change in fields.items():
                log[field] = change(log[field]) if callable(change) else change
        return found
    logs(name, function, quiet)


def each_receipt(name, quiet=False, **fields):
    def function(receipt):
        for field, change in fields.items():
            receipt[field] = change(receipt[field]) if callable(change) else change
        return receipt
    results(name, lambda receipt: function(receipt) if receipt else receipt, RECEIPTS, quiet)


# Events

each_log("logs_removed", removed=True)
each_log("logs_of_another_block", blockHash=OTHER)
each_log("logs_without_block", blockHash=None)
each_log("logs_of_another_transaction", transactionHash=OTHER)
each_log("logs_without_transaction", transactionHash=None)
each_log("logs_of_another_holder", topics=lambda topics: topics[:2] + ["0x" + "0" * 24 + "ef" * 20])
each_log("logs_of_another_event", topics=lambda topics: [OTHER] + topics[1:])
each_log("logs_without_topics", topics=[])
each_log("logs_elsewhere", logIndex=lambda index: add(index, 1000))
each_log("logs_at_2_64", logIndex=hex(2**64))
logs("logs_are_a_map", lambda found: {"logs": found})
logs("logs_of_null", lambda found: [None])
results("logs_null", lambda found: None, LOGS)
replies("logs_of_an_unknown_block", lambda reply, call: {
    "jsonrpc": "2.0", "id": reply["id"], "error": {"code": -32000, "message": "unknown block"}}, LOGS)

# Twice as much: the balances don't bear it out
each_log("logs_of_more", quiet=True, data=lambda data: "0x" + f"{int(data, 16) * 1000:064x}")
logs("logs_doubled", lambda found: found + copy.deepcopy(found), quiet=True)

# Receipts

each_receipt("receipts_of_another_transaction", transactionHash=OTHER)
each_receipt("receipts_of_another_block", blockHash=OTHER)
each_receipt("receipts_without_logs", logs=[])
each_receipt("receipts_failed", status="0x0")
each_receipt("receipts_without_status", status=None)
each_receipt("receipts_of_words", status="success")
results("receipts_null", lambda receipt: None, RECEIPTS)
results("receipts_empty", lambda receipt: {}, RECEIPTS)
results("receipts_first", lambda receipt: kept.setdefault("receipt", receipt), RECEIPTS)

# Blocks

blocks("parents_of_another", parentHash=OTHER)
results("blocks_by_hash_null", lambda block: None, ("eth_getBlockByHash",))
results("blocks_by_hash_first", lambda block: kept.setdefault("block", block), ("eth_getBlockByHash",))
blocks("blocks_a_year_ahead", timestamp=seconds(lambda time: time + 31536000))
blocks("blocks_two_minutes_ahead", timestamp=seconds(lambda time: time + 120))
blocks("blocks_of_1970", timestamp="0x1")


def relabel(reply, call):
    """Of another fork: every block's hash is another one, and they link."""
    block = reply.get("result")
    if isinstance(block, dict) and "parentHash" in block:
        block["hash"] = "0x" + block["hash"][2:][::-1]
        block["parentHash"] = "0x" + block["parentHash"][2:][::-1]


replies("a_fork_of_headers_alone", relabel, ("eth_getBlockByNumber",))
turns = [0]


@case()
def a_balancer_over_two_forks(h):
    """Every second request is answered by a node on another fork, which knows no block of the first."""
    with h.lock:
        turns[0] += 1
        other = turns[0] % 2
    by_id = {call["id"]: call for call in calls(h)}

    def change(value):
        for reply in [value] if isinstance(value, dict) else value:
            if by_id[reply["id"]]["method"] == "eth_getBlockByNumber":
                relabel(reply, None)
            elif by_id[reply["id"]]["method"] != "eth_chainId" and by_id[reply["id"]]["method"] != "eth_blockNumber":
                reply.clear()
                reply.update(jsonrpc="2.0", id=list(by_id)[0], error={"code": -32000, "message": "unknown block"})
        return value
    h.change(change if other else lambda value: None)


def transactions(name, quiet=False, **fields):
    """A case that changes transactions in blocks."""
    def function(block):
        for transaction in (block or {}).get("transactions", []):
            if isinstance(transaction, dict):
                for field, change in fields.items():
                    transaction[field] = change(transaction.get(field)) if callable(change) else change
        return block
    results(name, function, ("eth_getBlockByHash", "eth_getBlockByNumber"), quiet)


transactions("transactions_of_another_block", blockHash=OTHER)
transactions("transactions_of_words", value="a lot")
transactions("transactions_of_2_256", value="0x1" + "0" * 64)
transactions("transactions_of_other_hashes", hash=OTHER)
transactions("transactions_without_hash", hash=None)
results("transactions_are_hashes", lambda block: dict(block, transactions=[
    transaction["hash"] if isinstance(transaction, dict) else transaction for transaction in block["transactions"]]) if block else block,
    ("eth_getBlockByHash",))
results("transactions_are_missing", lambda block: {key: block[key] for key in block if key != "transactions"} if block else block,
        ("eth_getBlockByHash",))
replies("heights_below", lambda reply, call: reply.update(result=hex(1)), ("eth_blockNumber",), quiet=True)

unasked = {"token": ("transactions_",), "native": ("logs_", "receipts_without_logs")}[os.environ["HOSTILE_ASSET"]]
# Headers are known by their numbers already
unneeded = {"token": ("blocks_by_hash_null", "blocks_by_hash_first"), "native": ("receipts_failed", "transactions_of_another_block")}
for name in unneeded[os.environ["HOSTILE_ASSET"]]:
    hostile.CASES[name] = (hostile.CASES[name][0], True)
for name in [name for name in hostile.CASES if name.startswith(unasked)]:
    del hostile.CASES[name]

if __name__ == "__main__":
    serve(*sys.argv[1:3])
