"""The shop's API: products from a file that a ConfigMap brings, stock and orders in Redis.

GET  /api/products   what there is, with what is left of it
GET  /api/orders     the last orders
POST /api/orders     {"product": "rope", "count": 2} orders something
GET  /healthz        this process answers
GET  /readyz         Redis answers, too
"""

import json
import os
import signal
import socket
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = 8080
CATALOGUE = os.environ.get("CATALOGUE", "/config/products.json")
REDIS = (os.environ.get("REDIS_HOST", "redis"), int(os.environ.get("REDIS_SERVICE_PORT", "6379")))
PASSWORD = os.environ.get("REDIS_PASSWORD", "")
POD = os.environ.get("POD_NAME", socket.gethostname())
MAX_BODY_BYTES = 10_000
KEPT_ORDERS = 100

# Takes what is left only if that is enough, and notes the order: one step, whoever else orders.
ORDER = """
local left = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or ARGV[3])
if left < tonumber(ARGV[2]) then return -1 end
redis.call('HSET', KEYS[1], ARGV[1], left - ARGV[2])
local number = redis.call('INCR', KEYS[2])
redis.call('LPUSH', KEYS[3], cjson.encode({number = number, product = ARGV[1], count = tonumber(ARGV[2]), pod = ARGV[4]}))
redis.call('LTRIM', KEYS[3], 0, ARGV[5] - 1)
return number
"""


class RedisError(Exception):
    pass


def redis(*command):
    """Runs one command on a connection of its own and returns its answer (RESP2)."""
    with socket.create_connection(REDIS, timeout=2) as connection, connection.makefile("rwb") as stream:
        if PASSWORD:
            send(stream, "AUTH", PASSWORD)
            receive(stream)
        send(stream, *command)
        return receive(stream)


def send(stream, *words):
    encoded = [str(word).encode() for word in words]
    stream.write(b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded))
    stream.flush()


def receive(stream):
    line = stream.readline()
    if not line.endswith(b"\r\n"):
        raise RedisError("the connection ended")
    kind, rest = line[:1], line[1:-2]
    if kind == b"-":
        raise RedisError(rest.decode())
    if kind == b"+":
        return rest.decode()
    if kind == b":":
        return int(rest)
    if kind == b"$":
        return None if rest == b"-1" else stream.read(int(rest) + 2)[:-2].decode()
    return [receive(stream) for _ in range(int(rest))]


def catalogue():
    with open(CATALOGUE, encoding="utf-8") as file:
        return json.load(file)


def products():
    taken = redis("HGETALL", "stock")
    left = dict(zip(taken[::2], taken[1::2]))
    return [{**product, "left": int(left.get(product["name"], product["stock"]))} for product in catalogue()]


def order(body):
    name, count = body.get("product"), body.get("count", 1)
    product = next((each for each in catalogue() if each["name"] == name), None)
    if product is None:
        return HTTPStatus.NOT_FOUND, {"error": f"there is no product {name!r}"}
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= 100:
        return HTTPStatus.BAD_REQUEST, {"error": "count must be a number from 1 to 100"}
    number = redis("EVAL", ORDER, 3, "stock", "number", "orders", name, count, product["stock"], POD, KEPT_ORDERS)
    if number < 0:
        return HTTPStatus.CONFLICT, {"error": f"there are fewer than {count} of {name} left"}
    return HTTPStatus.CREATED, {"order": number, "product": name, "count": count, "servedBy": POD}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_GET(self):
        if self.path == "/healthz":
            self.answer(HTTPStatus.OK, {"ok": True})
        elif self.path == "/readyz":
            self.attempt(lambda: (HTTPStatus.OK, {"redis": redis("PING")}))
        elif self.path == "/api/products":
            self.attempt(lambda: (HTTPStatus.OK, {"products": products(), "servedBy": POD}))
        elif self.path == "/api/orders":
            self.attempt(lambda: (HTTPStatus.OK, {"orders": [json.loads(each) for each in redis("LRANGE", "orders", 0, -1)]}))
        else:
            self.answer(HTTPStatus.NOT_FOUND, {"error": "there is nothing here"})

    def do_POST(self):
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > MAX_BODY_BYTES:
            self.close_connection = True
            return self.answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {"error": f"a body of at most {MAX_BODY_BYTES} bytes is needed"})
        try:
            body = json.loads(self.rfile.read(int(length)))
        except ValueError:
            body = None
        if self.path != "/api/orders":
            self.answer(HTTPStatus.NOT_FOUND, {"error": "there is nothing here"})
        elif not isinstance(body, dict):
            self.answer(HTTPStatus.BAD_REQUEST, {"error": "the body must be a JSON object"})
        else:
            self.attempt(lambda: order(body))

    def attempt(self, work):
        try:
            self.answer(*work())
        except (OSError, RedisError) as error:
            self.answer(HTTPStatus.SERVICE_UNAVAILABLE, {"error": f"Redis: {error}"})

    def answer(self, status, content):
        body = (json.dumps(content) + "\n").encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, form, *arguments):
        if self.path not in ("/healthz", "/readyz"):
            print(json.dumps({"pod": POD, "from": self.client_address[0], "said": form % arguments}))


server = ThreadingHTTPServer(("", PORT), Handler)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
print(json.dumps({"pod": POD, "listening": PORT}))
server.serve_forever()
