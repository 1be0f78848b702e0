"""Misbehaving Esplora servers in front of the honest double.

    python3 hostile_esplora.py HOST ESPLORA_PORT

See hostile.py for how a test steers it, and for the cases that any server may
come with. Here stand those that know the API: sums, lists, blocks.
"""

import copy
import json
import re
import sys

from hostile import Handler, case, serve

other = {}      # what a case was asked before


def is_sums(h):
    return re.fullmatch(r"/api/address/[^/]+", h.rest)


def is_page(h):
    return "/txs/chain" in h.rest


def is_block(h):
    return re.fullmatch(r"/api/block/[0-9a-f]{64}", h.rest)


def alters(name, applies, function, quiet=False):
    """A case that changes the JSON of some answers."""
    case(name, quiet)(lambda h: h.change(function) if applies(h) else h.pass_on())


def edits(name, applies, function, quiet=False):
    """A case that changes the text of some answers."""
    case(name, quiet)(lambda h: h.edit(function) if applies(h) else h.pass_on())


# Sums

def sums(value, half="chain_stats"):
    def function(answer):
        answer[half]["funded_txo_sum"] = value
        answer[half]["tx_count"] = max(answer[half]["tx_count"], 1)
    return function


for half in ("chain_stats", "mempool_stats"):
    short = half.partition("_")[0]
    alters(f"{short}_more_than_there_is", is_sums, sums(2100000000000001, half))
    alters(f"{short}_2_63", is_sums, sums(2**63, half))
    alters(f"{short}_2_64", is_sums, sums(2**64 + 1000, half))
    alters(f"{short}_negative", is_sums, sums(-1000, half))
    alters(f"{short}_fraction", is_sums, sums(1000.5, half))
    alters(f"{short}_float", is_sums, sums(1000.0, half))
    alters(f"{short}_1e300", is_sums, sums(1e300, half))
    alters(f"{short}_text", is_sums, sums("100000", half))
    alters(f"{short}_hex", is_sums, sums("0x186a0", half))
    alters(f"{short}_null", is_sums, sums(None, half))
    alters(f"{short}_true", is_sums, sums(True, half))
    alters(f"{short}_list", is_sums, sums([100000], half))
    alters(f"{short}_missing", is_sums, lambda answer, half=half: {key: answer[key] for key in answer if key != half})
alters("together_more_than_there_is", is_sums,
       lambda answer: sums(2000000000000000)(answer) or sums(2000000000000000, "mempool_stats")(answer))
alters("sum_without_transactions", is_sums, sums(100000))
alters("count_negative", is_sums, lambda answer: answer["chain_stats"].update(tx_count=-1))
edits("sum_twice", is_sums,
      lambda text: text.replace('"funded_txo_sum": ', '"funded_txo_sum": 0, "funded_txo_sum": 10000'))
edits("halves_twice", is_sums, lambda text: text.replace(
    '"mempool_stats"', '"chain_stats": {"tx_count": 1, "funded_txo_sum": 100000}, "mempool_stats"'))
edits("nan", is_sums, lambda text: re.sub(r'"funded_txo_sum": \d+', '"funded_txo_sum": NaN', text))
edits("leading_zero", is_sums, lambda text: re.sub(r'"funded_txo_sum": (\d+)', r'"funded_txo_sum": 01\1', text))
alters("no_address", is_sums, lambda answer: {key: answer[key] for key in answer if key != "address"})
alters("address_of_mainnet", is_sums, lambda answer: answer.update(address="1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"))


@case()
def answers_of_another_address(h):
    """The answer to the address that was paid, whoever is asked for; lists likewise."""
    match = re.match(r"/api/address/([^/]+)", h.rest)
    if match:
        with h.lock:
            mine = other.setdefault("paid", None)
        if mine is None:
            for address in other.get("known", []):
                rest, h.rest = h.rest, f"/api/address/{address}"
                text = h.honest()[1]
                h.rest = rest
                if json.loads(text)["chain_stats"]["funded_txo_sum"]:
                    mine = other["paid"] = address
        other.setdefault("known", []).append(match.group(1))
        if mine:
            h.rest = h.rest.replace(match.group(1), mine)
    h.pass_on()


@case()
def late_by_one(h):
    """Each answer about an address comes one too late."""
    if not h.rest.startswith("/api/address"):
        return h.pass_on()
    answer = h.honest()
    with h.lock:
        answer, other["late"] = other.get("late", answer), answer
    h.reply(*answer)


# Lists

def pages(name, function, quiet=False):
    alters(name, is_page, function, quiet)


def both(name, change_sums, change_page):
    """Changes the sums and the page alike."""
    case(name)(lambda h: h.change(change_sums) if is_sums(h) else h.change(change_page) if is_page(h) else h.pass_on())


def double_sums(answer):
    answer["chain_stats"]["funded_txo_sum"] *= 2
    answer["chain_stats"]["tx_count"] *= 2


def each(change):
    def function(transactions):
        for transaction in transactions:
            change(transaction)
    return function


def outputs(value):
    return each(lambda transaction: [output.update(value=value(output["value"])) for output in transaction["vout"]])


both("transaction_twice", double_sums, lambda transactions: transactions + transactions)
both("transaction_twice_apart", double_sums, lambda transactions: transactions[:1])
both("endless_list", sums(100000), lambda transactions: transactions)
pages("empty_list", lambda transactions: [])
pages("unconfirmed_list", each(lambda transaction: transaction.update(status={"confirmed": False})))
pages("no_status", each(lambda transaction: transaction.pop("status")))
pages("height_2_63", each(lambda transaction: transaction["status"].update(block_height=2**63)))
pages("height_2_31", each(lambda transaction: transaction["status"].update(block_height=2**31)))
pages("height_negative", each(lambda transaction: transaction["status"].update(block_height=-1)))
pages("height_text", each(lambda transaction: transaction["status"].update(block_height="1")))
pages("height_null", each(lambda transaction: transaction["status"].update(block_height=None)))
pages("block_of_another_fork", each(lambda transaction: transaction["status"].update(block_hash="ab" * 32)))
pages("block_without_hash", each(lambda transaction: transaction["status"].pop("block_hash")))
pages("outputs_negative", outputs(lambda value: -value))
pages("outputs_text", outputs(str))
pages("outputs_fraction", outputs(lambda value: value + 0.5))
pages("outputs_more_than_there_is", outputs(lambda value: 2100000000000001))
pages("outputs_less", outputs(lambda value: 1))
pages("outputs_missing", each(lambda transaction: transaction.pop("vout")))
pages("txid_upper", each(lambda transaction: transaction.update(txid=transaction["txid"].upper() + "AB")))
pages("txid_short", each(lambda transaction: transaction.update(txid="ab")))
pages("txid_path", each(lambda transaction: transaction.update(txid="../../blocks/tip/hash")))
pages("list_of_lists", lambda transactions: [transactions])
pages("list_in_object", lambda transactions: {"txs": transactions})
pages("thousand_on_a_page", lambda transactions: [dict(transactions[0], txid=f"{n:064x}")
                                                  for n in range(1000)] if transactions else [])


@case("counted_in_chain_and_mempool", quiet=True)
def counted_twice(h):
    """The mempool's index is behind the chain's: what was mined just now is in both."""
    if is_sums(h):
        return h.change(lambda answer: answer["mempool_stats"].update(
            funded_txo_sum=answer["chain_stats"]["funded_txo_sum"], tx_count=answer["chain_stats"]["tx_count"]))
    if "/txs/mempool" not in h.rest:
        return h.pass_on()
    h.rest = h.rest.replace("/txs/mempool", "/txs/chain")
    return h.change(each(lambda transaction: transaction.update(status={"confirmed": False})))


@case("busy_address", quiet=True)
def busy_address(h):
    """1,100 newer transactions of 10 satoshi to each address that was paid, in the block of the payment."""
    match = re.fullmatch(r"/api/address/([^/]+)/txs/chain(?:/([0-9a-f]{64}))?", h.rest)
    if is_sums(h):
        def more(answer):
            chain = answer["chain_stats"]
            if chain["funded_txo_sum"]:
                chain.update(funded_txo_sum=chain["funded_txo_sum"] + 11000, tx_count=chain["tx_count"] + 1100)
        return h.change(more)
    if not match:
        return h.pass_on()
    h.rest = f"/api/address/{match.group(1)}/txs/chain"
    payments = json.loads(h.honest()[1])
    small = copy.deepcopy(payments[0])
    for output in small["vout"]:
        output["value"] = 10
    listed = [dict(small, txid=f"{number:064x}") for number in range(1100)] + payments
    place = [number + 1 for number, entry in enumerate(listed) if entry["txid"] == match.group(2)] or [0]
    return h.reply(200, json.dumps(listed[place[0]:place[0] + 25]))


@case("blinks", quiet=True)
def blinks(h):
    """Every third time, the sum of an address that only the mempool pays is zero: it is ahead of the blocks for a moment."""
    if not is_sums(h):
        return h.pass_on()
    with h.lock:
        other[h.rest] = other.get(h.rest, 0) + 1
    if other[h.rest] % 3:
        return h.pass_on()
    return h.change(lambda answer: answer["chain_stats"]["tx_count"] == 0 and sums(0, "mempool_stats")(answer) or None)


@case()
def old_answers(h):
    """A cache that keeps what is no longer so."""
    status, text = h.honest()
    return h.reply(status, text, Age="600")


@case("young_answers", quiet=True)
def young_answers(h):
    status, text = h.honest()
    return h.reply(status, text, Age="7")


# Blocks

edits("tip_hash_short", lambda h: h.rest.endswith("/tip/hash"), lambda text: text[:63])
edits("tip_hash_upper", lambda h: h.rest.endswith("/tip/hash"), lambda text: text.upper() + "\n")
edits("tip_hash_quoted", lambda h: h.rest.endswith("/tip/hash"), lambda text: f'"{text}"')
edits("tip_hash_path", lambda h: h.rest.endswith("/tip/hash"), lambda text: "../" * 21 + "x")
edits("tip_hash_unknown", lambda h: h.rest.endswith("/tip/hash"), lambda text: "ab" * 32)
edits("tip_hash_many", lambda h: h.rest.endswith("/tip/hash"), lambda text: text * 10000)
alters("tip_is_another_block", is_block, lambda block: block.update(id="ab" * 32))
alters("tip_height_2_63", is_block, lambda block: block.update(height=2**63))
alters("tip_height_2_31", is_block, lambda block: block.update(height=2**31))
alters("tip_height_negative", is_block, lambda block: block.update(height=-1))
alters("tip_height_text", is_block, lambda block: block.update(height=str(block["height"])))
alters("tip_height_too_large", is_block, lambda block: block.update(height=block["height"] + 1000))
alters("tip_height_too_small", is_block, lambda block: block.update(height=block["height"] - 50))
alters("tip_time_ms", is_block, lambda block: block.update(timestamp=block["timestamp"] * 1000))
alters("tip_time_us", is_block, lambda block: block.update(timestamp=block["timestamp"] * 10**6))
alters("tip_time_ns", is_block, lambda block: block.update(timestamp=block["timestamp"] * 10**9))
alters("tip_time_far_ahead", is_block, lambda block: block.update(timestamp=4102444800))
alters("tip_time_three_hours_ahead", is_block, lambda block: block.update(timestamp=block["timestamp"] + 3 * 3600))
alters("tip_time_two_hours_ago", is_block, lambda block: block.update(timestamp=block["timestamp"] - 2 * 3600))
alters("tip_time_zero", is_block, lambda block: block.update(timestamp=0))
alters("tip_time_negative", is_block, lambda block: block.update(timestamp=-1))
alters("tip_time_text", is_block, lambda block: block.update(timestamp="2026-01-01"))
edits("genesis_of_mainnet", lambda h: h.rest.endswith("/block-height/0"),
      lambda text: "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f")
edits("check_of_another_chain", lambda h: "/block-height/" in h.rest and not h.rest.endswith("/0"),
      lambda text: "ab" * 32)
alters("recent_blocks_unlinked", lambda h: re.fullmatch(r"/api/blocks/\d+", h.rest),
       lambda blocks: [dict(block, previousblockhash="ab" * 32) for block in blocks])
alters("recent_blocks_empty", lambda h: re.fullmatch(r"/api/blocks/\d+", h.rest), lambda blocks: [])


@case()
def check_unknown(h):
    """The height of the tip isn't known to the server that is asked last."""
    if "/block-height/" in h.rest and not h.rest.endswith("/0"):
        return h.reply(404, "Block not found", "text/plain")
    return h.pass_on()


@case("no_recent_blocks", quiet=True)
def no_recent_blocks(h):
    """A server without /blocks/:height."""
    if re.fullmatch(r"/api/blocks/\d+", h.rest):
        return h.reply(404, "not found", "text/plain")
    return h.pass_on()


if __name__ == "__main__":
    serve(*sys.argv[1:3])
