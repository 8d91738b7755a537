"""Peers that are slow on purpose: each must be cut, or served, within the limits of the server (src/net/beast/server.h).
One thread drives them all."""
import select
import socket
import threading
import time

HEADER, BODY, IDLE, WRITE = 15, 60, 75, 30  # seconds: header_timeout, body_timeout, idle_timeout, write_timeout
SLACK = 5  # a tick of the server, and a busy machine
TICK = 0.5

POST = b"POST /core/roles HTTP/1.1\r\nHost: x\r\n"
# Read to its end and judged, and nothing is written: other rows look at the revision.
ROLE = b'{"metadata":{"name":"from a slow peer"},"rules":[]}'


class Peer:
    """Sends `first`, then `drip` piece by piece, one a tick, and again from its start if `endless`. `status`: what must have been answered when
    the connection ends (None: nothing); `limit`: when it must have ended."""

    def __init__(self, label, limit, first=b"", drip=(), endless=False, status=None, reads=True, earliest=0):
        self.label, self.limit, self.earliest, self.status, self.reads = label, limit, earliest, status, reads
        self.first, self.drip, self.endless = first, list(drip), endless
        self.came, self.ended, self.at = b"", None, 0


def every(data):
    return [bytes([byte]) for byte in data]


class SlowPeers(threading.Thread):
    def __init__(self, port, collection):
        super().__init__(daemon=True)
        self.port, self.stop = port, threading.Event()
        self.peers = [
            Peer("says nothing", HEADER),
            Peer("half a request line", HEADER, b"GET /co"),
            Peer("half a header", HEADER, b"GET / HTTP/1.1\r\nHost: x\r\nX-Half: "),
            Peer("a header byte by byte", HEADER, b"GET / HTTP/1.1\r\nX: ", [b"y"], endless=True),
            Peer("headers line by line", HEADER, b"GET / HTTP/1.1\r\n", [b"X: y\r\n"], endless=True),
            Peer("empty lines before a request", HEADER, b"", [b"\r\n"], endless=True, status="any"),
            Peer("a body that stops", BODY, POST + b"Content-Length: 1000\r\n\r\n{", status=408, earliest=30),
            Peer("a body byte by byte", BODY, POST + b"Content-Length: 1000\r\n\r\n{", [b" "], endless=True, status=408, earliest=30),
            Peer("chunks byte by byte", BODY, POST + b"Transfer-Encoding: chunked\r\n\r\n", [b"1\r\n \r\n"], endless=True, status=408, earliest=30),
            Peer("a chunk header that stops", BODY, POST + b"Transfer-Encoding: chunked\r\n\r\n1", status=408, earliest=30),
            Peer("a body nobody reads, that stops", HEADER, b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n", status=404),
            Peer("a body that is too large, without end", HEADER, POST + b"Content-Length: 100000000\r\n\r\n", [b" " * 1000], endless=True,
                 status=413),
            Peer("keeps the connection", IDLE, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", status=200, earliest=30),
            Peer("asks and never reads", WRITE + IDLE, b"GET /core/roles HTTP/1.1\r\nHost: x\r\n\r\n" * 20000, status="any", reads=False),
            Peer("slow but honest", BODY, POST + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(ROLE), every(ROLE), status=422),
        ] + [Peer(f"one of 200 with half a header, {i}", HEADER, b"GET / HTTP/1.1\r\nX: ") for i in range(200)]
        # An idle watch is no slow peer: nothing may cut it.
        self.watch = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.watch.sendall(f"GET {collection}?watch&heartbeat=0 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert b"200 OK" in self.watch.recv(65536)

    def run(self):
        self.begin = time.monotonic()
        sockets = {}
        for peer in self.peers:
            connection = socket.socket()
            if not peer.reads:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", self.port))
            connection.setblocking(False)
            peer.rest = peer.first
            sockets[connection] = peer
        last = 0.0
        deadline = self.begin + max(peer.limit for peer in self.peers) + SLACK
        while sockets and time.monotonic() < deadline and not self.stop.is_set():
            now = time.monotonic()
            if now - last >= TICK:
                last = now
                for peer in sockets.values():
                    if not peer.rest and peer.drip and (peer.endless or peer.at < len(peer.drip)):
                        peer.rest = peer.drip[peer.at % len(peer.drip)]
                        peer.at += 1
            reading = [connection for connection, peer in sockets.items() if peer.reads]
            writing = [connection for connection, peer in sockets.items() if peer.rest]
            readable, writable, _ = select.select(reading, writing, [], TICK / 5)
            for connection in set(readable) | set(writable):
                peer = sockets[connection]
                try:
                    if connection in writable and peer.rest:
                        peer.rest = peer.rest[connection.send(peer.rest):]
                    if connection in readable:
                        piece = connection.recv(65536)
                        peer.came += piece
                        over = not piece
                    else:
                        over = False
                except BlockingIOError:
                    over = False
                except OSError:
                    over = True
                # One that does not read learns of its end by writing, or by the state of the connection.
                if over:
                    peer.ended = time.monotonic() - self.begin
                    del sockets[connection]
                    connection.close()
            for connection, peer in list(sockets.items()):
                if not peer.reads and reset(connection):
                    peer.ended = time.monotonic() - self.begin
                    del sockets[connection]
                    connection.close()
        for connection in sockets:
            connection.close()

    def finish(self, rows):
        self.join()
        crowd = []
        for peer in self.peers:
            status = int(peer.came[9:12]) if peer.came.startswith(b"HTTP/1.1 ") else None
            good = peer.ended is not None and peer.earliest <= peer.ended <= peer.limit + SLACK and (peer.status == "any" or status == peer.status)
            wanted = f"{peer.status}, cut between {peer.earliest} and {peer.limit} s"
            came = f"{peer.came[:200]!r}, " + (f"ended after {peer.ended:.1f} s" if peer.ended else "still open")
            if peer.label.startswith("one of 200"):
                crowd += [] if good else [f"{peer.label}: {came}"]
            else:
                rows.row(f"slow peer: {peer.label}", wanted, came, good)
        rows.row("slow peers: 200 with half a header", f"cut within {HEADER} s", crowd[:3], not crowd)
        body = b'{"metadata":{"name":"for-the-watch"},"rules":[]}'
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as peer:
            peer.sendall(POST + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            peer.recv(65536)
        came, deadline = b"", time.monotonic() + 10
        while b"for-the-watch" not in came and time.monotonic() < deadline:
            piece = self.watch.recv(65536)
            if not piece:
                break
            came += piece
        rows.row("an idle watch lives on", "the event of 'for-the-watch'", came[-300:], b"for-the-watch" in came)
        self.watch.close()


def reset(connection):
    """True when the peer has reset the connection: read from the socket without taking its bytes."""
    try:
        return connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0
    except OSError:
        return True
