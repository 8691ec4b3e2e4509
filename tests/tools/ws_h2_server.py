"""A server of WebSockets over HTTP/2 (RFC 8441) by python's h2 and wsproto, for the client's tests: ws_h2_server.py PORT [PEM].
With a certificate and key over TLS, by ALPN. /ws echoes, /bye closes with 4001, a GET gets 200, all else 403."""
import socket, ssl, sys, threading
try:
    import h2.config, h2.connection, h2.events
    from h2.settings import SettingCodes
    from wsproto import events as ws
    from wsproto.connection import Connection, ConnectionType
except ImportError as e:
    print(e)
    sys.exit(77)


class Peer:
    def __init__(self, s):
        self.s, self.sockets, self.waiting, self.path = s, {}, {}, {}
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.h2.local_settings[SettingCodes.ENABLE_CONNECT_PROTOCOL] = 1
        self.h2.initiate_connection()
        self.h2.update_settings({SettingCodes.ENABLE_CONNECT_PROTOCOL: 1, SettingCodes.MAX_CONCURRENT_STREAMS: 8})

    def send(self, sid, data, end=False):
        """As far as the windows go; the rest when they are wider."""
        before, was = self.waiting.pop(sid, (b"", False))
        data, end = before + data, end or was
        while data:
            n = min(len(data), self.h2.local_flow_control_window(sid), self.h2.max_outbound_frame_size)
            if n <= 0:
                self.waiting[sid] = (data, end)
                return
            self.h2.send_data(sid, data[:n])
            data = data[n:]
        if end:
            self.h2.end_stream(sid)

    def request(self, sid, fields):
        f = dict(fields)
        path = f[":path"]
        if f[":method"] == "GET":
            self.h2.send_headers(sid, [(":status", "200")])
            self.send(sid, b"small", end=True)
            return
        good = (f[":method"] == "CONNECT" and f.get(":protocol") == "websocket" and path in ("/ws", "/bye")
                and f.get("sec-websocket-version") == "13" and "sec-websocket-key" not in f
                and f[":scheme"] in ("http", "https") and ":authority" in f)
        if not good:
            self.h2.send_headers(sid, [(":status", "403")], end_stream=True)
            return
        offered = [p.strip() for p in f.get("sec-websocket-protocol", "").split(",")]
        more = [("sec-websocket-protocol", "two")] if "two" in offered else []
        self.h2.send_headers(sid, [(":status", "200"), *more])
        self.sockets[sid] = Connection(ConnectionType.SERVER)
        if path == "/bye":
            self.send(sid, self.sockets[sid].send(ws.CloseConnection(code=4001, reason="enough")))

    def data(self, sid, data):
        c = self.sockets[sid]
        c.receive_data(data)
        for e in c.events():
            if isinstance(e, (ws.TextMessage, ws.BytesMessage)):
                self.send(sid, c.send(type(e)(data=e.data, message_finished=e.message_finished)))
            elif isinstance(e, ws.Ping):
                self.send(sid, c.send(e.response()))
            elif isinstance(e, ws.CloseConnection):
                self.send(sid, b"" if self.closed(c) else c.send(e.response()), end=True)

    @staticmethod
    def closed(c):
        return c.state.name in ("CLOSED", "LOCAL_CLOSING")

    def on(self, e):
        if isinstance(e, h2.events.RequestReceived):
            self.request(e.stream_id, e.headers)
        elif isinstance(e, h2.events.DataReceived):
            self.h2.acknowledge_received_data(e.flow_controlled_length, e.stream_id)
            if e.data and e.stream_id in self.sockets:
                self.data(e.stream_id, e.data)
        elif isinstance(e, h2.events.StreamReset):
            self.sockets.pop(e.stream_id, None)
            self.waiting.pop(e.stream_id, None)
        elif isinstance(e, (h2.events.WindowUpdated, h2.events.RemoteSettingsChanged)):
            for sid in list(self.waiting):
                self.send(sid, b"")

    def run(self):
        self.s.sendall(self.h2.data_to_send())
        while data := self.s.recv(1 << 16):
            for e in self.h2.receive_data(data):
                self.on(e)
            self.s.sendall(self.h2.data_to_send())


def serve(s, tls):
    try:
        Peer(tls.wrap_socket(s, server_side=True) if tls else s).run()
    except (OSError, EOFError):
        pass
    s.close()


def main():
    tls = None
    if len(sys.argv) > 2:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(sys.argv[2])
        tls.set_alpn_protocols(["h2"])
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0], tls), daemon=True).start()


main()
