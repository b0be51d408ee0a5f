"""SCRAM-SHA-256 over MQTT 5, from the letter of the RFCs and with hashlib alone: paho-mqtt knows no AUTH.

Arguments: the port, a user, the password. Ends with "all is well"; every packet is read to its end.
"""

import base64
import hashlib
import hmac
import os
import socket
import struct
import sys

PORT, USER, PASSWORD = int(sys.argv[1]), sys.argv[2], sys.argv[3]
METHOD = b"SCRAM-SHA-256"
CONNACK, PUBLISH, DISCONNECT, AUTH = 0x20, 0x30, 0xE0, 0xF0
SUCCESS, CONTINUE, ANEW, NOT_AUTHORIZED, BAD_METHOD = 0x00, 0x18, 0x19, 0x87, 0x8C


def field(data):
    return struct.pack("!H", len(data)) + data


def varint(number):
    out = b""
    while True:
        number, low = number >> 7, number & 0x7F
        out += bytes([low | (0x80 if number else 0)])
        if not number:
            return out


def words(data, method=METHOD):
    block = b"\x15" + field(method) + b"\x16" + field(data)
    return varint(len(block)) + block


class Connection:
    def __init__(self):
        self.socket = socket.create_connection(("127.0.0.1", PORT), timeout=10)

    def take(self, count):
        data = b""
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def send(self, first, body):
        self.socket.sendall(bytes([first]) + varint(len(body)) + body)

    def packet(self):
        first, length, shift = self.take(1)[0], 0, 0
        while True:
            byte = self.take(1)[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return first, self.take(length)

    def connect(self, first, method=METHOD):
        head = field(b"MQTT") + bytes([5, 2]) + struct.pack("!H", 60)
        self.send(0x10, head + words(first, method) + field(b"python"))

    def auth(self, reason, data):
        self.send(AUTH, bytes([reason]) + words(data))

    def answer(self):
        """Kind and reason code of a CONNACK, AUTH or DISCONNECT, its method and its data."""
        first, body = self.packet()
        reason, rest = (body[1], body[2:]) if first == CONNACK else (body[0], body[1:])
        found = {}
        if rest:
            size = next(count for count in range(1, 5) if rest[count - 1] < 0x80)
            length, rest = rest[:size], rest[size:]
            assert length == varint(len(rest)), "one block of properties, and nothing behind it"
        while rest:
            kind, rest = rest[0], rest[1:]
            if kind in (0x15, 0x16, 0x1F):
                (size,) = struct.unpack("!H", rest[:2])
                found[kind], rest = rest[2 : 2 + size], rest[2 + size :]
            else:
                rest = rest[{0x11: 4, 0x21: 2, 0x22: 2, 0x27: 4, 0x24: 1, 0x25: 1}[kind] :]
        return first, reason, found.get(0x15), found.get(0x16)

    def ended(self):
        try:
            self.take(1)
        except (EOFError, ConnectionResetError):
            return True
        return False


class Scram:
    def __init__(self, user, password):
        self.password = password.encode()
        self.nonce = base64.b64encode(os.urandom(15)).decode()
        self.bare = "n=" + user.replace("=", "=3D").replace(",", "=2C") + ",r=" + self.nonce

    def first(self):
        return ("n,," + self.bare).encode()

    def final(self, challenge):
        challenge = challenge.decode()
        fields = dict(part.split("=", 1) for part in challenge.split(","))
        assert fields["r"].startswith(self.nonce) and len(fields["r"]) > len(self.nonce) + 16
        salted = hashlib.pbkdf2_hmac("sha256", self.password, base64.b64decode(fields["s"]), int(fields["i"]))
        digest = lambda key, text: hmac.new(key, text.encode(), hashlib.sha256).digest()
        client = digest(salted, "Client Key")
        bare_final = "c=biws,r=" + fields["r"]
        said = ",".join([self.bare, challenge, bare_final])
        signature = digest(hashlib.sha256(client).digest(), said)
        proof = base64.b64encode(bytes(a ^ b for a, b in zip(client, signature))).decode()
        self.expected = b"v=" + base64.b64encode(digest(digest(salted, "Server Key"), said))
        return (bare_final + ",p=" + proof).encode()


def check(what, got, expected):
    assert got == expected, f"{what}: {got}, expected {expected}"
    print(what)


def log_in(user, password):
    """The connection, what it was answered in the end, and the exchange."""
    connection, scram = Connection(), Scram(user, password)
    connection.connect(scram.first())
    kind, reason, method, challenge = connection.answer()
    check(f"{user} is asked", (kind, reason, method), (AUTH, CONTINUE, METHOD))
    connection.auth(CONTINUE, scram.final(challenge))
    return connection, connection.answer(), scram


connection, end, scram = log_in(USER, PASSWORD)
check("both have proved themselves", end, (CONNACK, SUCCESS, METHOD, scram.expected))

again = Scram(USER, PASSWORD)
connection.auth(ANEW, again.first())
connection.auth(CONTINUE, again.final(connection.answer()[3]))
check("and once more", connection.answer(), (AUTH, SUCCESS, METHOD, again.expected))

wrong = Scram(USER, PASSWORD + "x")
connection.auth(ANEW, wrong.first())
connection.auth(CONTINUE, wrong.final(connection.answer()[3]))
check("a wrong password later", connection.answer()[:2], (DISCONNECT, NOT_AUTHORIZED))
check("is the end", connection.ended(), True)

for user, password in [(USER, PASSWORD + "x"), ("no" + USER, PASSWORD)]:
    connection, end, _ = log_in(user, password)
    check(f"{user} is refused", end, (CONNACK, NOT_AUTHORIZED, None, None))
    check("for good", connection.ended(), True)

connection = Connection()
connection.connect(scram.first(), b"SCRAM-SHA-1")
check("another method", connection.answer()[:2], (CONNACK, BAD_METHOD))
print("all is well")
