"""What misbehaving servers have in common: an HTTP proxy with many bad habits, one for each path prefix.

A table of cases gives each a name and a function that answers a request. The
URL http://127.0.0.1:PORT/NAME/… behaves as the case NAME does, in front of the
honest server; /honest/… passes everything on. Tests steer it with:

    GET  /hostile/cases     [{"name", "quiet"}, …]: quiet ones need not lead to an error
    GET  /hostile/stats     {name: requests so far}
    POST /hostile/control   {"honest": true}: from now on every case is honest
"""

import gzip
import http.client
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CASES = {}


def case(name=None, quiet=False):
    """Enters a function into the table."""
    def enter(function):
        CASES[name or function.__name__] = (function, quiet)
        return function
    return enter


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    target = None           # host, port
    lock = threading.Lock()
    requests = {}
    honest_now = False
    local = threading.local()

    def log_message(self, *args):
        pass

    # What cases answer with

    def honest(self):
        """Status and text of the honest server's answer to this request."""
        for attempt in (1, 2):
            connection = getattr(self.local, "connection", None)
            try:
                if connection is None:
                    connection = self.local.connection = http.client.HTTPConnection(*self.target, timeout=30)
                connection.request(self.command, self.rest, self.body or None, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                return answer.status, answer.read().decode()
            except (OSError, http.client.HTTPException):
                self.local.connection = None
                if attempt == 2:
                    raise

    def reply(self, status, body, kind="application/json", **headers):
        if isinstance(body, str):
            body = body.encode()
        head = f"HTTP/1.1 {status} Test\r\nContent-Type: {kind}\r\n"
        length = headers.pop("content_length", len(body))
        for name, value in headers.items():
            head += f"{name.replace('_', '-')}: {value}\r\n"
        self.raw(f"{head}Content-Length: {length}\r\n\r\n".encode() + body)

    def raw(self, data, close=False):
        self.wfile.write(data)
        self.wfile.flush()
        if close:
            self.close_connection = True

    def pass_on(self):
        status, text = self.honest()
        self.reply(status, text)

    def change(self, function):
        """The honest answer with its JSON changed in place (or replaced by what function returns)."""
        status, text = self.honest()
        if status == 200:
            value = json.loads(text)
            changed = function(value)
            text = json.dumps(value if changed is None else changed)
        self.reply(status, text)

    def edit(self, function):
        """The honest answer with its text changed."""
        status, text = self.honest()
        self.reply(status, function(text) if status == 200 else text)

    # Requests

    def do_GET(self):
        self.body = b""
        self.serve()

    def do_POST(self):
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.serve()

    def serve(self):
        cls = type(self)
        if self.path == "/hostile/cases":
            self.reply(200, json.dumps([{"name": name, "quiet": quiet} for name, (_, quiet) in CASES.items()]))
            return
        if self.path == "/hostile/stats":
            with cls.lock:
                self.reply(200, json.dumps(cls.requests))
            return
        if self.path == "/hostile/control":
            cls.honest_now = json.loads(self.body)["honest"]
            self.reply(200, "{}")
            return
        _, name, self.rest = (self.path + "/").split("/", 2) if self.path.count("/") < 2 else self.path.split("/", 2)
        self.rest = "/" + self.rest
        with cls.lock:
            cls.requests[name] = self.number = cls.requests.get(name, 0) + 1
        function = CASES[name][0] if name in CASES and not cls.honest_now else Handler.pass_on
        try:
            function(self)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


def serve(host, target_port):
    """Serves for ever, on a port that is printed."""
    Handler.target = (host, int(target_port))
    server = Server(("127.0.0.1", 0), Handler)
    print(f"port {server.server_address[1]}", flush=True)
    server.serve_forever()


# Cases for any kind of endpoint

def answers(name, status, body="", kind="application/json", quiet=False, **headers):
    case(name, quiet)(lambda h: h.reply(status, body, kind, **headers))


answers("http_204", 204)
answers("http_400", 400, "bad request", "text/plain")
answers("http_401", 401, "no")
answers("http_403", 403, "<html>Forbidden</html>", "text/html")
answers("http_404", 404, "not found", "text/plain")
answers("http_429", 429, "slow down", Retry_After="1")
answers("http_429_for_ever", 429, "slow down", Retry_After="99999999999999999999")
answers("http_429_date", 429, "slow down", Retry_After="Thu, 01 Jan 2099 00:00:00 GMT")
answers("http_429_bare", 429, "slow down")
answers("http_500", 500, "internal error", "text/plain")
answers("http_502_html", 502, "<html>Bad gateway</html>", "text/html")
answers("http_503", 503, "", Retry_After="1")
answers("redirect", 301, "", Location="http://127.0.0.1:1/")
answers("redirect_307", 307, "", Location="file:///etc/passwd")
answers("empty", 200)
answers("blank", 200, " \r\n ")
answers("html", 200, "<html><body>Checking your browser</body></html>", "text/html")
answers("json_null", 200, "null")
answers("json_number", 200, "42")
answers("json_string", 200, '"0x1"')
answers("json_true", 200, "true")
answers("json_array", 200, "[]")
answers("json_object", 200, "{}")
answers("json_open", 200, '{"a":[')
answers("json_nested", 200, "[" * 100000)
answers("json_nested_objects", 200, '{"a":' * 20000 + "1" + "}" * 20000)
answers("json_many_values", 200, "[" + "1," * 1000000 + "1]")
answers("json_many_members", 200, "{" + ",".join(f'"{n}":[]' for n in range(200000)) + "}")
answers("zero_byte", 200, b"{}\0{}")
answers("not_utf8", 200, b'{"\xff\xfe":"\xc3"}')
answers("gzip_garbage", 200, "not gzip at all", Content_Encoding="gzip")
answers("gzip_bomb", 200, gzip.compress(b" " * 200000000, 9), Content_Encoding="gzip")
answers("unknown_encoding", 200, "{}", Content_Encoding="snappy")


@case()
def hang(h):
    time.sleep(30)


@case()
def closes(h):
    h.raw(b"", close=True)


@case()
def not_http(h):
    h.raw(b"SSH-2.0-OpenSSH_9.2\r\n", close=True)


@case()
def truncated(h):
    text = h.honest()[1]
    h.reply(200, text[:len(text) // 2], content_length=len(text))
    h.close_connection = True


@case()
def cut_json(h):
    h.edit(lambda text: text[:len(text) // 2])


@case()
def trailing(h):
    h.edit(lambda text: text + text)


@case()
def drip(h):
    text = h.honest()[1].encode()
    h.raw(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text))
    for byte in text:
        h.raw(bytes([byte]))
        time.sleep(0.2)


@case()
def endless(h):
    h.raw(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[")
    for _ in range(3000):
        h.raw(b"1," * 32768)
    h.close_connection = True


@case()
def endless_header(h):
    h.raw(b"HTTP/1.1 200 OK\r\n")
    for number in range(20000):
        h.raw(b"X-%d: %s\r\n" % (number, b"x" * 1000))
    h.close_connection = True


@case()
def chunked_garbage(h):
    h.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nnonsense\r\n0\r\n\r\n", close=True)


@case()
def chunked_overflow(h):
    h.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n{}\r\n0\r\n\r\n", close=True)


@case()
def negative_length(h):
    h.raw(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}", close=True)


@case()
def double_length(h):
    h.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", close=True)
