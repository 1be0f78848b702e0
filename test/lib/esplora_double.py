"""A double of the Esplora HTTP API over one Bitcoin node, for tests.

    python3 esplora_double.py PORT http://user:password@127.0.0.1:RPCPORT

Answers below /api as Esplora does: the address statistics, transactions in
pages of 25 confirmed ones with up to 50 from the mempool on the first, unspent
outputs, blocks. It indexes the node's blocks and mempool by itself and follows
reorganisations and replacements. Amounts are integers of satoshi.

    POST /double/control    JSON: any of
        rate         answers so many requests in a second, 429 beyond (0: no limit)
        retry_after  the Retry-After header of those 429 (seconds; null: none)
        fail         null, or what every request gets: "429", "500", "html", "truncated", "empty"
        fail_address the same for one address alone: {"address": ..., "fail": ...}
        delay_ms     before each answer
        genesis      a false genesis hash
        frozen       true: stays at the block and mempool that it has
    GET /double/stats       {"requests", "refused", "by_path", "most_at_once"}
"""

import base64
import http.client
import json
import re
import sys
import threading
import time
import urllib.parse
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CHAIN_PAGE = 25
MEMPOOL_PAGE = 50
BLOCKS_PAGE = 10
REFRESH_SECONDS = 0.03


class Node:
    """JSON-RPC over one connection; not for several threads at once."""

    def __init__(self, url):
        parts = urllib.parse.urlsplit(url)
        credentials = f"{parts.username}:{parts.password}".encode()
        self.address = (parts.hostname, parts.port)
        self.headers = {"Authorization": "Basic " + base64.b64encode(credentials).decode(),
                        "Content-Type": "application/json"}
        self.connection = None

    def call(self, method, *params):
        body = json.dumps({"id": 1, "method": method, "params": params})
        for attempt in (1, 2):
            try:
                if self.connection is None:
                    self.connection = http.client.HTTPConnection(*self.address, timeout=60)
                self.connection.request("POST", "/", body, self.headers)
                answer = json.loads(self.connection.getresponse().read(), parse_float=Decimal)
                break
            except (OSError, http.client.HTTPException):
                self.connection = None
                if attempt == 2:
                    raise
        if answer.get("error"):
            raise LookupError(answer["error"]["message"])
        return answer["result"]


class Index:
    """Blocks and mempool of the node, by address."""

    def __init__(self, node):
        self.node = node
        self.lock = threading.Lock()
        self.refreshed = 0.0
        self.frozen = False
        self.blocks = []        # by height: hash, time, transaction ids ...
        self.heights = {}       # block hash -> height
        self.transactions = {}  # txid -> transaction as Esplora prints it
        self.history = {}       # address -> txids, in the order of the chain; mempool last
        self.spent = {}         # (txid, vout) -> spending txid
        self.mempool = {}       # txid -> True, in order of arrival

    def refresh(self):
        with self.lock:
            if self.frozen or time.monotonic() - self.refreshed < REFRESH_SECONDS:
                return
            self.follow_chain()
            self.follow_mempool()
            self.refreshed = time.monotonic()

    def follow_chain(self):
        tip = self.node.call("getbestblockhash")
        if self.blocks and self.blocks[-1]["id"] == tip:
            return
        new = []
        while tip not in self.heights:
            block = self.node.call("getblock", tip, 2)
            new.append(block)
            if block["height"] == 0:
                break
            tip = block["previousblockhash"]
        keep = self.heights[tip] + 1 if tip in self.heights else 0
        self.clear_mempool()
        while len(self.blocks) > keep:
            self.remove_block()
        for block in reversed(new):
            self.add_block(block)

    def add_block(self, block):
        status = {"confirmed": True, "block_height": block["height"], "block_hash": block["hash"],
                  "block_time": block["time"]}
        txids = []
        for transaction in block["tx"]:
            self.add(transaction, status)
            txids.append(transaction["txid"])
        self.heights[block["hash"]] = block["height"]
        self.blocks.append({
            "id": block["hash"], "height": block["height"], "version": block["version"],
            "timestamp": block["time"], "tx_count": len(txids), "size": block["size"],
            "weight": block["weight"], "merkle_root": block["merkleroot"],
            "previousblockhash": block.get("previousblockhash"), "mediantime": block["mediantime"],
            "nonce": block["nonce"], "bits": int(block["bits"], 16), "txids": txids})

    def remove_block(self):
        block = self.blocks.pop()
        del self.heights[block["id"]]
        for txid in reversed(block["txids"]):
            self.remove(txid)

    def follow_mempool(self):
        now = self.node.call("getrawmempool")
        if set(now) == set(self.mempool):
            return
        for txid in [txid for txid in self.mempool if txid not in now]:
            self.remove(txid)
            del self.mempool[txid]
        for txid in now:
            if txid in self.mempool:
                continue
            try:
                transaction = self.node.call("getrawtransaction", txid, 1)
            except LookupError:
                continue            # gone meanwhile
            self.add(transaction, {"confirmed": False})
            self.mempool[txid] = True

    def clear_mempool(self):
        for txid in self.mempool:
            self.remove(txid)
        self.mempool = {}

    def add(self, transaction, status):
        txid = transaction["txid"]
        entry = {"txid": txid, "version": transaction["version"], "locktime": transaction["locktime"],
                 "vin": [], "vout": [], "size": transaction["size"], "weight": transaction["weight"],
                 "status": status}
        touched = []
        for vin in transaction["vin"]:
            if "txid" in vin:
                self.spent[vin["txid"], vin["vout"]] = txid
                # a mempool's order isn't that of dependence: the parent may be unknown yet
                parent = self.transactions.get(vin["txid"])
                prevout = parent["vout"][vin["vout"]] if parent else None
                if prevout:
                    touched.append(prevout.get("scriptpubkey_address"))
                entry["vin"].append({"txid": vin["txid"], "vout": vin["vout"], "prevout": prevout,
                                     "is_coinbase": False, "sequence": vin["sequence"]})
            else:
                entry["vin"].append({"txid": "00" * 32, "vout": 4294967295, "prevout": None,
                                     "is_coinbase": True, "sequence": vin["sequence"]})
        for vout in transaction["vout"]:
            script = vout["scriptPubKey"]
            output = {"scriptpubkey": script["hex"], "scriptpubkey_type": script["type"],
                      "value": int(Decimal(vout["value"]) * 100000000)}
            if "address" in script:
                output["scriptpubkey_address"] = script["address"]
                touched.append(script["address"])
            entry["vout"].append(output)
        self.transactions[txid] = entry
        for address in dict.fromkeys(touched):
            self.history.setdefault(address, []).append(txid)

    def remove(self, txid):
        entry = self.transactions.pop(txid)
        for vin in entry["vin"]:
            self.spent.pop((vin["txid"], vin["vout"]), None)
            if vin["prevout"]:
                self.forget(vin["prevout"].get("scriptpubkey_address"), txid)
        for output in entry["vout"]:
            self.forget(output.get("scriptpubkey_address"), txid)

    def forget(self, address, txid):
        if txid in self.history.get(address, ()):
            self.history[address].remove(txid)

    # What the API tells

    def stats(self, address):
        chain = {"tx_count": 0, "funded_txo_count": 0, "funded_txo_sum": 0,
                 "spent_txo_count": 0, "spent_txo_sum": 0}
        mempool = dict(chain)
        for txid in self.history.get(address, ()):
            entry = self.transactions[txid]
            side = chain if entry["status"]["confirmed"] else mempool
            side["tx_count"] += 1
            for vin in entry["vin"]:
                if vin["prevout"] and vin["prevout"].get("scriptpubkey_address") == address:
                    side["spent_txo_count"] += 1
                    side["spent_txo_sum"] += vin["prevout"]["value"]
            for output in entry["vout"]:
                if output.get("scriptpubkey_address") == address:
                    side["funded_txo_count"] += 1
                    side["funded_txo_sum"] += output["value"]
        return {"address": address, "chain_stats": chain, "mempool_stats": mempool}

    def listed(self, address, confirmed):
        entries = [self.transactions[txid] for txid in self.history.get(address, ())]
        return [entry for entry in reversed(entries) if entry["status"]["confirmed"] == confirmed]

    def chain_page(self, address, last):
        entries = self.listed(address, True)
        if last:
            place = [number for number, entry in enumerate(entries) if entry["txid"] == last]
            entries = entries[place[0] + 1:] if place else []
        return entries[:CHAIN_PAGE]

    def unspent(self, address):
        found = []
        for txid in self.history.get(address, ()):
            entry = self.transactions[txid]
            for number, output in enumerate(entry["vout"]):
                if output.get("scriptpubkey_address") == address and (txid, number) not in self.spent:
                    found.append({"txid": txid, "vout": number, "status": entry["status"],
                                  "value": output["value"]})
        return found


class Settings:
    def __init__(self):
        self.lock = threading.Lock()
        self.values = {"rate": 0, "retry_after": 1, "fail": None, "fail_address": None,
                       "delay_ms": 0, "genesis": None, "frozen": False}
        self.requests = 0
        self.refused = 0
        self.by_path = {}
        self.at_once = 0
        self.most_at_once = 0
        self.second = 0
        self.in_second = 0

    def admit(self):
        """False: beyond the rate."""
        with self.lock:
            second = int(time.time())
            if second != self.second:
                self.second, self.in_second = second, 0
            self.in_second += 1
            return not self.values["rate"] or self.in_second <= self.values["rate"]


class Refusal(Exception):
    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    index = None
    settings = None

    def log_message(self, *args):
        pass

    def answer(self, status, body, kind="text/plain", headers=()):
        body = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path != "/double/control":
            self.answer(404, "not found")
            return
        self.settings.values.update(json.loads(body))
        self.index.frozen = self.settings.values["frozen"]
        self.answer(200, "ok")

    def do_GET(self):
        settings = self.settings
        if self.path == "/double/stats":
            self.answer(200, json.dumps({"requests": settings.requests, "refused": settings.refused,
                                         "by_path": settings.by_path,
                                         "most_at_once": settings.most_at_once}), "application/json")
            return
        with settings.lock:
            settings.requests += 1
            settings.at_once += 1
            settings.most_at_once = max(settings.most_at_once, settings.at_once)
        try:
            self.api(settings)
        finally:
            with settings.lock:
                settings.at_once -= 1

    def fail(self, how):
        if how == "429":
            retry = self.settings.values["retry_after"]
            with self.settings.lock:
                self.settings.refused += 1
            self.answer(429, "Too Many Requests", headers=[("Retry-After", str(retry))] if retry is not None else ())
        elif how == "500":
            self.answer(500, "internal error")
        elif how == "html":
            self.answer(200, "<html><body>Checking your browser</body></html>", "text/html")
        elif how == "truncated":
            self.answer(200, '{"address":"x","chain_stats":{"funded_txo_sum":0', "application/json")
        else:
            self.answer(200, "", "application/json")

    def api(self, settings):
        values = settings.values
        if values["delay_ms"]:
            time.sleep(values["delay_ms"] / 1000)
        if not settings.admit():
            self.fail("429")
            return
        if values["fail"]:
            self.fail(values["fail"])
            return
        if values["fail_address"] and values["fail_address"]["address"] in self.path:
            self.fail(values["fail_address"]["fail"])
            return
        try:
            self.index.refresh()
            with self.index.lock:
                result = self.route(self.path.removeprefix("/api"))
        except Refusal as refusal:
            self.answer(refusal.status, str(refusal))
            return
        if isinstance(result, (dict, list)):
            self.answer(200, json.dumps(result), "application/json")
        else:
            self.answer(200, str(result))

    def count(self, name):
        with self.settings.lock:
            self.settings.by_path[name] = self.settings.by_path.get(name, 0) + 1

    def route(self, path):
        index = self.index
        routes = (
            (r"/blocks/tip/height", "/blocks/tip/height", lambda: index.blocks[-1]["height"]),
            (r"/blocks/tip/hash", "/blocks/tip/hash", lambda: index.blocks[-1]["id"]),
            (r"/blocks/(\d+)", "/blocks/:h", self.blocks),
            (r"/block-height/(\d+)", "/block-height/:h", self.block_height),
            (r"/block/([0-9a-f]{64})", "/block/:hash", self.block),
            (r"/address/([^/]+)", "/address/:a", lambda a: index.stats(self.checked(a))),
            (r"/address/([^/]+)/txs", "/address/:a/txs",
             lambda a: index.listed(self.checked(a), False)[:MEMPOOL_PAGE] + index.chain_page(a, None)),
            (r"/address/([^/]+)/txs/chain(?:/([0-9a-f]{64}))?", "/address/:a/txs/chain",
             lambda a, last: index.chain_page(self.checked(a), last)),
            (r"/address/([^/]+)/txs/mempool", "/address/:a/txs/mempool",
             lambda a: index.listed(self.checked(a), False)[:MEMPOOL_PAGE]),
            (r"/address/([^/]+)/utxo", "/address/:a/utxo", lambda a: index.unspent(self.checked(a))),
        )
        for pattern, name, function in routes:
            match = re.fullmatch(pattern, path)
            if match:
                self.count(name)
                return function(*match.groups())
        raise Refusal(404, "endpoint does not exist")

    def block_height(self, height):
        if int(height) == 0 and self.settings.values["genesis"]:
            return self.settings.values["genesis"]
        if int(height) >= len(self.index.blocks):
            raise Refusal(404, "Block not found")
        return self.index.blocks[int(height)]["id"]

    def blocks(self, height):
        newest_first = self.index.blocks[int(height)::-1] if int(height) < len(self.index.blocks) else []
        return [{key: value for key, value in block.items() if key != "txids"}
                for block in newest_first[:BLOCKS_PAGE]]

    def block(self, block_hash):
        if block_hash not in self.index.heights:
            raise Refusal(404, "Block not found")
        block = self.index.blocks[self.index.heights[block_hash]]
        return {key: value for key, value in block.items() if key != "txids"}

    def checked(self, address):
        """The address as the node writes it."""
        if address in self.index.history:
            return address
        valid = self.index.node.call("validateaddress", address)
        if not valid["isvalid"]:
            raise Refusal(400, "Invalid Bitcoin address")
        return valid["address"]


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main():
    Handler.index = Index(Node(sys.argv[2]))
    Handler.settings = Settings()
    Handler.index.refresh()
    Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()


if __name__ == "__main__":
    main()
