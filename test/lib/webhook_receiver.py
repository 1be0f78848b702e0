"""A receiver of webhooks that behaves as its URL's path says, and writes down what it gets.

    webhook_receiver.py serve DIR     listens on 127.0.0.1; DIR/port gets the port, DIR/received a line of JSON a request;
                                      with a certificate and its key in DIR/tls.pem it speaks TLS
    webhook_receiver.py verify DIR    checks signatures with the specification's own library: DIR/secrets is
                                      {path: [secret, ...]}; prints how many are good and bad

Paths: /ok answers 204; /slow takes a while; /late/N answers the first N tries of a message after
the sender's patience; /hang never answers; /flaky/N fails N times with 500 for every third event; /limited says 429 with
Retry-After for the first request; /hangup/N closes the connection N times instead of answering;
/redirect sends elsewhere; /refuse says 400; /endless answers 200 with a body that doesn't end.
What is behind "?" tells webhooks apart.
"""
import http.server
import json
import os
import ssl
import sys
import threading
import time

directory = sys.argv[2]
lock = threading.Lock()
tries = {}


class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, headers=()):
        self.write_down(status)
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def write_down(self, status):
        with lock, open(directory + "/received", "a") as received:
            received.write(json.dumps({
                "path": self.path, "status": status, "try": self.number, "came": self.came, "answered": time.time(),
                "headers": {k.lower(): v for k, v in self.headers.items()}, "body": self.body.decode()}) + "\n")

    def do_GET(self):
        self.do_POST()

    def do_POST(self):
        self.came = time.time()
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        key = (self.path, self.headers.get("webhook-id"))
        with lock:
            self.number = tries[key] = tries.get(key, 0) + 1
            first = tries.setdefault(self.path, 0) == 0
            tries[self.path] += 1
        kind, _, times = self.path.split("?")[0].strip("/").partition("/")
        early = self.number <= int(times or 0)
        if kind == "hang" or (kind == "late" and early):
            time.sleep(3)
        elif kind == "slow":
            time.sleep(0.2)
        if kind == "hangup" and early:
            self.write_down(0)
            self.close_connection = True
        elif kind == "flaky" and early and int(self.headers.get("webhook-id", "_0").split("_")[1]) % 3 == 0:
            self.answer(500)
        elif kind == "limited" and first:
            self.answer(429, [("Retry-After", "1")])
        elif kind == "redirect":
            self.answer(307, [("Location", "/stolen")])
        elif kind == "refuse":
            self.answer(400)
        elif kind == "endless":
            self.write_down(200)
            self.send_response(200)
            self.end_headers()
            while True:
                self.wfile.write(b"x" * 65536)
        else:
            self.answer(204)


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass


def serve():
    server = Server(("127.0.0.1", 0), Receiver)
    if os.path.exists(directory + "/tls.pem"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory + "/tls.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True)
    with open(directory + "/port.new", "w") as port:
        port.write(str(server.server_port))
    os.rename(directory + "/port.new", directory + "/port")
    server.serve_forever()


def verify():
    from standardwebhooks import Webhook, WebhookVerificationError
    with open(directory + "/secrets") as file:
        secrets = json.load(file)
    good = bad = 0
    for line in open(directory + "/received"):
        message = json.loads(line)
        for secret in secrets.get(message["path"], []):
            try:
                Webhook(secret).verify(message["body"], message["headers"])
                good += 1
            except WebhookVerificationError as error:
                bad += 1
                print("bad: %s: %s" % (message["path"], error), file=sys.stderr)
    print(good, bad)


{"serve": serve, "verify": verify}[sys.argv[1]]()
