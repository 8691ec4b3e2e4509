"""A WebSocket client of raw sockets, by the letter of RFC 6455: ws.py PORT echo|chat. Says what is wrong, or nothing."""
import base64, hashlib, os, socket, struct, sys

failed = 0


def check(ok, text):
    global failed
    if not ok:
        failed += 1
        print("wrong:", text)


class Client:
    def __init__(self, port, path, room=0):
        key = base64.b64encode(os.urandom(16)).decode()
        self.s = socket.socket()
        self.s.settimeout(20)
        if room:
            self.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        self.s.connect(("127.0.0.1", port))
        self.buf = b""
        self.s.sendall((f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        f"Origin: http://127.0.0.1:{port}\r\n"
                        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n").encode())
        while b"\r\n\r\n" not in self.buf:
            self.more()
        head, self.buf = self.buf.split(b"\r\n\r\n", 1)
        guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        want = base64.b64encode(hashlib.sha1((key + guid).encode()).digest())
        check(head.startswith(b"HTTP/1.1 101 "), head)
        check(b"\r\nsec-websocket-accept: " + want.lower() in head.lower(), head)
        check(b"sec-websocket-protocol" not in head.lower(), head)

    def more(self):
        got = self.s.recv(1 << 16)
        if not got:
            raise EOFError
        self.buf += got

    def exactly(self, n):
        parts, have = [self.buf], len(self.buf)
        while have < n:
            got = self.s.recv(1 << 20)
            if not got:
                raise EOFError
            parts.append(got)
            have += len(got)
        data = b"".join(parts)
        self.buf = data[n:]
        return data[:n]

    def send(self, first, payload):
        n, mask = len(payload), os.urandom(4)
        size = bytes([0x80 | n]) if n < 126 else b"\xfe" + struct.pack(">H", n) if n < 65536 else b"\xff" + struct.pack(">Q", n)
        keys = int.from_bytes((mask * (n // 4 + 1))[:n], "big")
        self.s.sendall(bytes([first]) + size + mask + (int.from_bytes(payload, "big") ^ keys).to_bytes(n, "big"))

    def recv(self):
        first, n = self.exactly(2)
        if n == 126:
            n = struct.unpack(">H", self.exactly(2))[0]
        elif n == 127:
            n = struct.unpack(">Q", self.exactly(8))[0]
        return first, self.exactly(n)

    def text(self):
        first, payload = self.recv()
        check(first == 0x81, f"first byte {first:#x}")
        return payload.decode()

    def close(self):
        self.send(0x88, struct.pack(">H", 1000) + b"bye")
        while True:
            first, payload = self.recv()
            if first == 0x88:
                break
        check(payload == struct.pack(">H", 1000) + b"bye", payload)
        check(self.s.recv(1) == b"", "the server does not close")


def echo(port):
    c = Client(port, "/ws")
    for n in (0, 1, 125, 126, 127, 65535, 65536, 1 << 20, (20 << 20) + 3, 32 << 20):
        body = os.urandom(n)
        c.send(0x82, body)
        check(c.recv() == (0x82, body), f"an echo of {n} bytes")
    over = Client(port, "/ws")
    over.s.sendall(b"\x82\xff" + struct.pack(">Q", (32 << 20) + 1) + b"mask")
    first, payload = over.recv()
    check(first == 0x88 and struct.unpack(">H", payload[:2])[0] == 1009, (first, payload, "over 32 MiB"))
    over.s.close()
    c.send(0x01, "Gr\u00fc".encode()[:3])
    c.send(0x89, b"between")
    c.send(0x00, "Gr\u00fc".encode()[3:])
    c.send(0x80, "\u00dfe \u20ac \U0001f600".encode())
    check(c.recv() == (0x8A, b"between"), "the pong")
    check(c.text() == "Gr\u00fc\u00dfe \u20ac \U0001f600", "the fragments")
    c.close()
    for first, payload, code in ((0x81, b"\xc3\x28", 1007), (0x83, b"", 1002), (0xC1, b"x", 1002)):
        c = Client(port, "/ws")
        c.send(first, payload)
        first, payload = c.recv()
        check(first == 0x88 and struct.unpack(">H", payload[:2])[0] == code, (first, payload, code))
        c.s.close()


def left_behind(port):  # who does not read is out once 64 lines wait for it, and delays nobody
    ada = Client(port, "/ws?name=ada")
    check(ada.text() == "ada: is here", "who has come")
    slow = Client(port, "/ws?name=slow", 4096)
    check(ada.text() == "slow: is here", "who has come")
    for _ in range(12000):  # more than sockets hold
        ada.send(0x81, b"x" * 480)
        check(len(ada.text()) == 485, "a line")
    while (frame := slow.recv())[0] == 0x81:
        pass
    check(frame == (0x88, struct.pack(">H", 1008) + b"too slow"), frame)
    slow.send(0x88, struct.pack(">H", 1008))
    check(slow.s.recv(1) == b"", "the server does not close")
    ada.close()


def chat(port):
    left_behind(port)
    names = ["ada", "bob", "eve"]
    all_ = []
    for i, name in enumerate(names):
        all_.append(Client(port, "/ws?name=" + name))
        for c in all_:
            check(c.text() == name + ": is here", "who has come")
    for i, c in enumerate(all_):
        c.send(0x81, f"hello \u20ac {i}".encode())
        for other in all_:
            got = other.text()
            check(got == f"{names[i]}: hello \u20ac {i}", got)
    all_[1].close()
    all_[0].send(0x81, b"two of us")
    for c in (all_[0], all_[2]):
        check(c.text() == "ada: two of us", "after one has left")
    odd = Client(port, "/ws?name=%FF%FE")  # no name of the kind that text may hold
    for c in (all_[0], all_[2], odd):
        check(c.text() == "somebody: is here", "an odd name")
    odd.send(0x82, b"\xff\xfe")  # nor is what is no text to go out to others
    first, payload = odd.recv()
    check(first == 0x88 and struct.unpack(">H", payload[:2])[0] == 1003, (first, payload, "a binary message"))
    all_[0].send(0x81, b"x" * 501)
    while True:
        first, payload = all_[0].recv()
        if first == 0x88:
            break
    check(struct.unpack(">H", payload[:2])[0] == 1009, payload)


if __name__ == "__main__":
    {"echo": echo, "chat": chat}[sys.argv[2]](int(sys.argv[1]))
    sys.exit(failed > 0)
