"""Misbehaving EVM nodes in front of an honest one.

    python3 hostile_evm.py HOST PORT

See hostile.py for how a test steers it, and for the cases that any server may
come with. Here stand those that know JSON-RPC: ids, results, quantities, blocks.
"""

import json
import sys

from hostile import answers, case, serve

other = {}      # what a case answered before


def calls(h):
    body = json.loads(h.body)
    return body if isinstance(body, list) else [body]


def replies(name, function, methods=None, quiet=False):
    """A case that changes the replies to some methods: function(reply, call) in place, or returns another."""
    def serve_case(h):
        by_id = {call["id"]: call for call in calls(h)}

        def change(value):
            single = isinstance(value, dict)
            changed = []
            for reply in [value] if single else value:
                call = by_id[reply["id"]]
                if methods is None or call["method"] in methods:
                    new = function(reply, call)
                    reply = reply if new is None else new
                changed.append(reply)
            return changed[0] if single else changed
        h.change(change)
    case(name, quiet)(serve_case)


def lists(name, function, quiet=False):
    """A case that changes the list of replies to a batch; a single reply is passed on."""
    case(name, quiet)(lambda h: h.change(lambda value: function(value) if isinstance(value, list) else [value]))


def results(name, function, methods=None, quiet=False):
    replies(name, lambda reply, call: reply.update(result=function(reply["result"])) if "result" in reply else None,
            methods, quiet)


BALANCES = ("eth_call", "eth_getBalance")
BLOCKS = ("eth_getBlockByNumber", "eth_getBlockByHash")


def blocks(name, quiet=False, **fields):
    """A case that changes fields of blocks."""
    def function(block):
        if block:
            for field, change in fields.items():
                block[field] = change(block[field]) if callable(change) else change
        return block
    results(name, function, BLOCKS, quiet)


# Ids

replies("id_next", lambda reply, call: reply.update(id=reply["id"] + 1))
replies("id_one", lambda reply, call: reply.update(id=1))
replies("id_text", lambda reply, call: reply.update(id=str(reply["id"])))
replies("id_float", lambda reply, call: reply.update(id=reply["id"] + 0.5))
replies("id_negative", lambda reply, call: reply.update(id=-reply["id"]))
replies("id_null", lambda reply, call: reply.update(id=None))
replies("id_missing", lambda reply, call: {key: reply[key] for key in reply if key != "id"})
replies("id_2_64", lambda reply, call: reply.update(id=reply["id"] + 2**64))
lists("replies_doubled", lambda value: value + value)
lists("replies_none", lambda value: [])
lists("reply_missing", lambda value: value[1:])
lists("replies_nested", lambda value: [value])
lists("replies_null", lambda value: value + [None])
lists("reply_of_a_stranger", lambda value: value + [dict(value[0], id=123456789)])
lists("replies_in_another_order", lambda value: value[::-1], quiet=True)


@case()
def late_by_one(h):
    """Each answer comes one request too late."""
    answer = h.honest()
    with h.lock:
        answer, other["late"] = other.get("late", (200, "[]")), answer
    h.reply(*answer)


@case("doubled_on_the_connection", quiet=True)
def doubled_on_the_connection(h):
    """Each response is sent twice: the second is there before the next request, and must not be taken for its answer."""
    _, text = h.honest()
    response = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text.encode())
    h.raw(response + response)


# Errors

replies("error_text", lambda reply, call: {"jsonrpc": "2.0", "id": reply["id"], "error": "no"})
replies("error_without_code", lambda reply, call: {"jsonrpc": "2.0", "id": reply["id"], "error": {"message": "no"}})
replies("error_code_text", lambda reply, call: {"jsonrpc": "2.0", "id": reply["id"],
                                                "error": {"code": "x", "message": "no"}})
replies("error_without_message", lambda reply, call: {"jsonrpc": "2.0", "id": reply["id"], "error": {"code": -32000}})
replies("error_and_result", lambda reply, call: reply.update(error={"code": -32000, "message": "header not found"}))
replies("error_limit", lambda reply, call: {"jsonrpc": "2.0", "id": reply["id"],
                                            "error": {"code": -32005, "message": "limit exceeded"}})
replies("error_long", lambda reply, call: {"jsonrpc": "2.0", "id": reply["id"],
                                           "error": {"code": -32000, "message": "no\n\x1b[31m\u202e" * 20000}})
replies("error_of_balances", lambda reply, call: {"jsonrpc": "2.0", "id": reply["id"],
                                                  "error": {"code": -32603, "message": "internal error"}}, BALANCES)
replies("error_of_state", lambda reply, call: {"jsonrpc": "2.0", "id": reply["id"],
                                               "error": {"code": -32000, "message": "missing trie node"}}, BALANCES)
replies("neither_error_nor_result", lambda reply, call: {"jsonrpc": "2.0", "id": reply["id"]})
replies("error_null", lambda reply, call: reply.update(error=None), quiet=True)
replies("without_version", lambda reply, call: {key: reply[key] for key in reply if key != "jsonrpc"}, quiet=True)
case("result_twice")(lambda h: h.edit(lambda text: text.replace('"result":', '"result":null,"result":')))
case("id_twice")(lambda h: h.edit(lambda text: text.replace('"id":', '"id":1,"id":')))

# Results

for short, methods in (("", None), ("balances_", BALANCES)):
    results(f"{short}null", lambda result: None, methods)
    results(f"{short}0x", lambda result: "0x", methods)
    results(f"{short}0x0x", lambda result: "0x0x1", methods)
    results(f"{short}empty", lambda result: "", methods)
    results(f"{short}number", lambda result: 1000, methods)
    results(f"{short}true", lambda result: True, methods)
    results(f"{short}decimal", lambda result: "1000", methods)
    results(f"{short}negative", lambda result: "-0x1", methods)
    results(f"{short}65_digits", lambda result: "0x1" + "0" * 64, methods)
    results(f"{short}64_digits", lambda result: "0x" + "f" * 64, methods)
    results(f"{short}list", lambda result: [result], methods)
    results(f"{short}object", lambda result: {}, methods)
    results(f"{short}not_hex", lambda result: "0xg", methods)
    results(f"{short}blank", lambda result: "0x1 ", methods)
    results(f"{short}full_width", lambda result: "0x\uff11", methods)


def hexes(name, function, quiet=False):
    results(name, lambda result: function(result) if isinstance(result, str) else result, ("eth_call",), quiet)


hexes("call_upper_0X", lambda result: "0X" + result[2:])
hexes("call_odd", lambda result: result[:-1])
hexes("call_word_less", lambda result: result[:-66])
hexes("call_word_more", lambda result: result + "00" * 32)
hexes("call_half", lambda result: result[:len(result) // 2])
hexes("call_zeros", lambda result: "0x" + "0" * (len(result) - 2))
hexes("call_ones", lambda result: "0x" + "f" * (len(result) - 2))
hexes("call_megabytes", lambda result: result + "00" * 10000000)
hexes("call_nul", lambda result: result[:70] + "\0" + result[71:])
# As on chains whose NUMBER is another chain's: the block is named by its hash then
hexes("call_of_another_number", lambda result: "0x" + f"{int(result[2:66], 16) + 1:064x}" + result[66:], quiet=True)
hexes("call_of_another_parent", lambda result: result[:66] + "ab" * 32 + result[130:])
hexes("call_of_another_time", lambda result: result[:130] + f"{int(result[130:194], 16) + 1:064x}" + result[194:])
hexes("call_of_another_chain", lambda result: result[:194] + f"{1:064x}" + result[258:])
hexes("call_upper", lambda result: "0x" + result[2:].upper(), quiet=True)

# Chains and blocks

results("chain_of_mainnet", lambda result: "0x1", ("eth_chainId",))
results("chain_zero", lambda result: "0x0", ("eth_chainId",))
results("chain_2_64", lambda result: hex(2**64 + 31337), ("eth_chainId",))


def seconds(function):
    return lambda text: hex(function(int(text, 16)))


blocks("time_ms", timestamp=seconds(lambda time: time * 1000))
blocks("time_us", timestamp=seconds(lambda time: time * 10**6))
blocks("time_ns", timestamp=seconds(lambda time: time * 10**9))
blocks("time_2_63", timestamp=hex(2**63))
blocks("time_2_64", timestamp=hex(2**64))
blocks("time_an_hour_ahead", timestamp=seconds(lambda time: time + 3600))
blocks("time_two_hours_ago", timestamp=seconds(lambda time: time - 7200))
blocks("time_zero", timestamp="0x0")
blocks("time_number", timestamp=lambda text: int(text, 16))
blocks("time_text", timestamp="2026-01-01T00:00:00Z")
blocks("time_null", timestamp=None)
blocks("height_2_63", number=hex(2**63))
blocks("height_2_63_less_1", number=hex(2**63 - 1))
blocks("height_2_64", number=hex(2**64))
blocks("height_2_256", number=hex(2**256 - 1))
blocks("height_null", number=None)
blocks("height_next", number=seconds(lambda number: number + 1))
blocks("height_much_more", number=seconds(lambda number: number + 10**6))
blocks("hash_null", hash=None)
blocks("hash_short", hash=lambda text: text[:-1])
blocks("hash_long", hash=lambda text: text + "0")
blocks("hash_not_hex", hash="0x" + "g" * 64)
blocks("hash_path", hash="../../" * 11)
blocks("parent_null", parentHash=None)
results("blocks_null", lambda block: None, BLOCKS)
results("blocks_empty", lambda block: {}, BLOCKS)
results("blocks_list", lambda block: [block], BLOCKS)
results("block_with_many_members", lambda block: dict(block, **{f"m{n}": [] for n in range(100000)}) if block else block,
        BLOCKS)
answers("json_of_many_replies", 200, "[" + ",".join('{"jsonrpc":"2.0","id":%d,"result":"0x1"}' % n for n in range(50000)) + "]")

if __name__ == "__main__":
    serve(*sys.argv[1:3])
