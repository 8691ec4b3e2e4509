"""HTTP/3 by python's aioquic: requests and bodies, many streams, WebSockets (RFC 9220, with wsproto): h3.py PORT. Says what is
wrong, or nothing; exits with 77 where a package is missing."""
import asyncio, os, ssl, sys
try:
    from aioquic.asyncio.client import connect
    from aioquic.asyncio.protocol import QuicConnectionProtocol
    from aioquic.h3.connection import H3Connection
    from aioquic.h3.events import DataReceived, HeadersReceived
    from aioquic.quic.configuration import QuicConfiguration
    from aioquic.quic.events import StreamReset
    from wsproto import events as ws
    from wsproto.connection import Connection, ConnectionType
except ImportError as e:
    print(e)
    sys.exit(77)

SIZES = [0, 1, 125, 126, 16384, 65535, 65536, 1000000]


class Stream:
    def __init__(self):
        self.head, self.body, self.end, self.reset, self.news = None, b"", False, None, asyncio.Event()


class Client(QuicConnectionProtocol):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http, self.streams = H3Connection(self._quic), {}

    def quic_event_received(self, event):
        if isinstance(event, StreamReset) and event.stream_id in self.streams:
            self.streams[event.stream_id].reset = event.error_code
            self.streams[event.stream_id].news.set()
        for e in self.http.handle_event(event):
            s = self.streams.get(e.stream_id)
            if s is None:
                continue
            if isinstance(e, HeadersReceived):
                s.head = s.head or dict(e.headers)
            elif isinstance(e, DataReceived):
                s.body += e.data
            s.end |= e.stream_ended
            s.news.set()

    def ask(self, method, path, *more, body=None, end=True):
        sid = self._quic.get_next_available_stream_id()
        self.streams[sid] = Stream()
        self.http.send_headers(sid, [(b":method", method), (b":scheme", b"https"), (b":authority", b"localhost"),
                                     (b":path", path), *more], end_stream=end and body is None)
        if body is not None:
            self.http.send_data(sid, body, end_stream=end)
        self.transmit()
        return sid, self.streams[sid]

    async def until(self, s, done):
        while not done() and s.reset is None:
            s.news.clear()
            await asyncio.wait_for(s.news.wait(), 30)
        assert s.reset is None, f"reset: {s.reset:#x}"

    async def whole(self, asked):
        await self.until(asked[1], lambda: asked[1].end)
        return int(asked[1].head[b":status"]), asked[1].body


async def web_sockets(c):
    all_of = []
    for _ in range(5):
        sid, s = c.ask(b"CONNECT", b"/ws", (b":protocol", b"websocket"), (b"sec-websocket-version", b"13"), end=False)
        await c.until(s, lambda: s.head)
        assert s.head[b":status"] == b"200", s.head
        all_of.append((sid, s, Connection(ConnectionType.CLIENT)))
    for n in SIZES:
        for sid, s, conn in all_of:
            message, got, whole = os.urandom(n), b"", False
            c.http.send_data(sid, conn.send(ws.BytesMessage(data=message)), end_stream=False)
            c.transmit()
            while not whole:
                await c.until(s, lambda: s.body)
                data, s.body = s.body, b""
                conn.receive_data(data)
                for e in conn.events():
                    assert isinstance(e, ws.BytesMessage), e
                    got, whole = got + e.data, e.message_finished
            assert got == message, f"{n} bytes came back as {len(got)}"
    for sid, s, conn in all_of:
        c.http.send_data(sid, conn.send(ws.CloseConnection(code=1000, reason="done")), end_stream=False)
        c.transmit()
        await c.until(s, lambda: s.end)
        conn.receive_data(s.body)
        closes = list(conn.events())
        assert len(closes) == 1 and isinstance(closes[0], ws.CloseConnection) and closes[0].code == 1000, closes
        c.http.send_data(sid, b"", end_stream=True)
        c.transmit()


async def main():
    config = QuicConfiguration(is_client=True, alpn_protocols=["h3"], verify_mode=ssl.CERT_NONE)
    async with connect("127.0.0.1", int(sys.argv[1]), configuration=config, create_protocol=Client) as c:
        assert await c.whole(c.ask(b"GET", b"/")) == (200, b"hello")
        assert (await c.whole(c.ask(b"GET", b"/nowhere")))[0] == 404  # no HEAD: it takes the body to be missing
        for n in SIZES:
            body = os.urandom(n)
            assert await c.whole(c.ask(b"POST", b"/echo", body=body)) == (200, body), f"echo of {n} bytes"
        many = [c.ask(b"GET", b"/bytes?n=%d" % (i * 1000)) for i in range(100)]
        for i, asked in enumerate(many):
            assert await c.whole(asked) == (200, b"x" * (i * 1000)), f"{i} of many"
        sid, s = c.ask(b"CONNECT", b"/ws", (b":protocol", b"nonsense"), end=False)
        await c.until(s, lambda: s.head)
        assert s.head[b":status"] == b"501", s.head
        await web_sockets(c)
        assert await c.whole(c.ask(b"GET", b"/")) == (200, b"hello")


try:
    asyncio.run(main())
except (AssertionError, ConnectionError, OSError, asyncio.TimeoutError) as e:
    sys.exit(f"{type(e).__name__}: {e}")
