"""A server of WebSockets over HTTP/3 (RFC 9220) by python's aioquic and wsproto, for the client's tests: ws_h3_server.py PORT PEM.
/ws echoes, /bye closes with 4001, a GET gets 200, all else 403. Once it is there it takes TCP connections at that port, and says
nothing there."""
import asyncio, sys
try:
    from aioquic.asyncio import serve
    from aioquic.asyncio.protocol import QuicConnectionProtocol
    from aioquic.h3.connection import H3Connection
    from aioquic.h3.events import DataReceived, HeadersReceived
    from aioquic.quic.configuration import QuicConfiguration
    from wsproto import events as ws
    from wsproto.connection import Connection, ConnectionType
except ImportError as e:
    print(e)
    sys.exit(77)


class Server(QuicConnectionProtocol):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http, self.sockets = None, {}

    def quic_event_received(self, event):
        self.http = self.http or H3Connection(self._quic)
        for e in self.http.handle_event(event):
            if isinstance(e, HeadersReceived):
                self.request(e.stream_id, dict(e.headers))
            elif isinstance(e, DataReceived) and e.stream_id in self.sockets:
                self.data(e.stream_id, e.data)
        self.transmit()

    def request(self, sid, f):
        path = f[b":path"]
        if f[b":method"] == b"GET":
            self.http.send_headers(sid, [(b":status", b"200")])
            self.http.send_data(sid, b"small", end_stream=True)
            return
        good = (f[b":method"] == b"CONNECT" and f.get(b":protocol") == b"websocket" and path in (b"/ws", b"/bye")
                and f.get(b"sec-websocket-version") == b"13" and b"sec-websocket-key" not in f
                and f[b":scheme"] == b"https" and b":authority" in f)
        if not good:
            self.http.send_headers(sid, [(b":status", b"403")], end_stream=True)
            return
        two = b"two" in f.get(b"sec-websocket-protocol", b"").split(b", ")
        self.http.send_headers(sid, [(b":status", b"200")] + ([(b"sec-websocket-protocol", b"two")] if two else []))
        self.sockets[sid] = Connection(ConnectionType.SERVER)
        if path == b"/bye":
            self.say(sid, self.sockets[sid].send(ws.CloseConnection(code=4001, reason="enough")))

    def say(self, sid, data, end=False):
        self.http.send_data(sid, data, end_stream=end)

    def data(self, sid, data):
        c = self.sockets[sid]
        if data:
            c.receive_data(data)
        for e in c.events():
            if isinstance(e, (ws.TextMessage, ws.BytesMessage)):
                self.say(sid, c.send(type(e)(data=e.data, message_finished=e.message_finished)))
            elif isinstance(e, ws.Ping):
                self.say(sid, c.send(e.response()))
            elif isinstance(e, ws.CloseConnection):
                over = c.state.name == "CLOSED"
                self.say(sid, b"" if over else c.send(e.response()), end=True)


async def main():
    config = QuicConfiguration(is_client=False, alpn_protocols=["h3"])
    config.load_cert_chain(sys.argv[2], sys.argv[2])
    await serve("127.0.0.1", int(sys.argv[1]), configuration=config, create_protocol=Server)
    await (await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", int(sys.argv[1]))).serve_forever()


asyncio.run(main())
