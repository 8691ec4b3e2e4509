"""WebSockets over HTTP/2 by python's h2 and wsproto, several on one connection: ws_h2.py PORT [tls]. Says what is wrong, or
nothing; exits with 77 where a package is missing."""
import os, socket, ssl, sys
try:
    import h2.config, h2.connection, h2.events
    from wsproto import events as ws
    from wsproto.connection import Connection, ConnectionType
except ImportError as e:
    print(e)
    sys.exit(77)

COUNT = 5
SIZES = [0, 1, 125, 126, 16384, 65535, 65536, 1000000]


class Peer:
    def __init__(self, port, tls):
        self.s = socket.create_connection(("127.0.0.1", port), 20)
        if tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.set_alpn_protocols(["h2"])
            self.s = context.wrap_socket(self.s, server_hostname="localhost")
        self.scheme = "https" if tls else "http"
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.status, self.ended, self.bytes, self.settled = {}, set(), {}, False
        self.flush()

    def flush(self):
        self.s.sendall(self.h2.data_to_send())

    def more(self):
        data = self.s.recv(1 << 16)
        if not data:
            raise EOFError("the connection has ended")
        for e in self.h2.receive_data(data):
            if isinstance(e, h2.events.RemoteSettingsChanged):
                self.settled = True
            elif isinstance(e, h2.events.ResponseReceived):
                self.status[e.stream_id] = dict(e.headers)
            elif isinstance(e, h2.events.DataReceived):
                self.bytes[e.stream_id] = self.bytes.get(e.stream_id, b"") + e.data
                self.h2.acknowledge_received_data(e.flow_controlled_length, e.stream_id)
            elif isinstance(e, h2.events.StreamEnded):
                self.ended.add(e.stream_id)
            elif isinstance(e, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
                raise EOFError(str(e))
        self.flush()

    def until(self, done):
        while not done():
            self.more()

    def ask(self, method, path, *more, end=False):
        sid = self.h2.get_next_available_stream_id()
        self.h2.send_headers(sid, [(":method", method), (":scheme", self.scheme), (":path", path),
                                   (":authority", "localhost"), *more], end_stream=end)
        self.flush()
        self.until(lambda: sid in self.status)
        return sid

    def send(self, sid, data, end=False):
        while data:
            self.until(lambda: self.h2.local_flow_control_window(sid) > 0)
            n = min(len(data), self.h2.local_flow_control_window(sid), self.h2.max_outbound_frame_size)
            self.h2.send_data(sid, data[:n])
            data = data[n:]
            self.flush()
        if end:
            self.h2.end_stream(sid)
            self.flush()


def echo(peer, sid, conn, message):
    """One message there and back; wsproto gives it in pieces."""
    got, whole = b"", False
    peer.send(sid, conn.send(ws.BytesMessage(data=message)))
    while not whole:
        peer.until(lambda: peer.bytes.get(sid))
        conn.receive_data(peer.bytes.pop(sid))
        for e in conn.events():
            assert isinstance(e, ws.BytesMessage), e
            got += e.data
            whole = e.message_finished
    assert got == message, f"{len(message)} bytes came back as {len(got)}"


def main():
    peer = Peer(int(sys.argv[1]), "tls" in sys.argv)
    peer.until(lambda: peer.settled)
    assert peer.h2.remote_settings.enable_connect_protocol == 1, "SETTINGS_ENABLE_CONNECT_PROTOCOL is missing"
    all_of = []
    for _ in range(COUNT):
        sid = peer.ask("CONNECT", "/ws", (":protocol", "websocket"), ("sec-websocket-version", "13"))
        assert peer.status[sid][":status"] == "200", peer.status[sid]
        all_of.append((sid, Connection(ConnectionType.CLIENT)))
    for n in SIZES:
        for sid, conn in all_of:
            echo(peer, sid, conn, os.urandom(n))
    sid = peer.ask("GET", "/", end=True)
    assert peer.status[sid][":status"] == "200", peer.status[sid]
    for sid, conn in all_of:
        peer.send(sid, conn.send(ws.CloseConnection(code=1000, reason="done")))
        peer.until(lambda: sid in peer.ended)
        conn.receive_data(peer.bytes.pop(sid))
        closes = list(conn.events())
        assert len(closes) == 1 and isinstance(closes[0], ws.CloseConnection) and closes[0].code == 1000, closes
        peer.send(sid, b"", end=True)


try:
    main()
except (AssertionError, EOFError, OSError) as e:
    sys.exit(f"{type(e).__name__}: {e}")
