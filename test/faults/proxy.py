"""A TCP proxy for tests: links between named parties, which can be cut, slowed down or broken in one direction while they are in use."""
import asyncio
import os
import pathlib
import socket
import struct
import threading

CHUNK = 64 * 1024


class Direction:
    """What happens to bytes on their way; changed at any time, also for connections that are open."""

    def __init__(self):
        self.delay = 0.0  # seconds, for each piece; the order stays
        self.rate = None  # bytes per second
        self.drop = False  # a black hole: neither delivered nor refused. TCP has no losses, so what is dropped stays dropped: the connection is
        # of no use afterwards, as one whose peer has vanished
        self.passed = 0


class Link:
    """Connections from `source` to `target`. `forward` is towards the target, `backward` towards the source."""

    def __init__(self, source, target):
        self.source, self.target = source, target
        self.forward, self.backward = Direction(), Direction()
        self.refuse = False
        self.connections = set()

    def __repr__(self):
        return f"{self.source}->{self.target}"


class Connection:
    def __init__(self, link, near, far):
        self.link, self.near, self.far = link, near, far
        self.poisoned = set()  # directions in which something was dropped

    def reset(self, near=True, far=True):
        for writer, wanted in ((self.near, near), (self.far, far)):
            if writer and wanted:
                try:
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                except OSError:
                    pass
                writer.transport.abort()


def owner_of(port, pids, remote=None):
    """The pid among `pids` that holds the TCP socket with this local port; None when none of them does. So a server that is reached by several
    parties under one address, as an etcd member by its peers, can tell them apart."""
    inodes = set()
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].split(":")[1], 16) == port and (remote is None or int(fields[2].split(":")[1], 16) == remote):
            inodes.add(f"socket:[{fields[9]}]")
    for pid in pids:
        try:
            names = os.listdir(f"/proc/{pid}/fd")
        except OSError:
            continue
        for name in names:
            try:
                if os.readlink(f"/proc/{pid}/fd/{name}") in inodes:
                    return pid
            except OSError:
                pass
    return None


class Network:
    """The proxy: one thread with one asyncio loop. The calls are for any other thread, and have taken effect when they return."""

    def __init__(self):
        self.links = {}
        self._loop = asyncio.new_event_loop()
        self._servers = []
        self._tasks = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    def link(self, source, target):
        """Made at its first mention; changes are for links there are, so mention those with an `identify` first."""
        return self.links.setdefault((source, target), Link(source, target))

    def listen(self, target, host, port, source=None, identify=None, address="127.0.0.1"):
        """(host, port) under which `target` at host:port is reached. The source of a connection is `source`, or what `identify(its port, ours)` says."""
        if source:
            self.link(source, target)

        async def start():
            async def accepted(reader, writer):
                name = source or identify(writer.get_extra_info("peername")[1], writer.get_extra_info("sockname")[1]) or "somebody"
                task = asyncio.current_task()
                self._tasks.add(task)
                try:
                    await self._serve(self.link(name, target), reader, writer, host, port)
                finally:
                    self._tasks.discard(task)

            server = await asyncio.start_server(accepted, address, 0, backlog=256)
            self._servers.append(server)
            return server.sockets[0].getsockname()[:2]

        return self._call(start())

    async def _serve(self, link, reader, writer, host, port):
        connection = Connection(link, writer, None)
        link.connections.add(connection)
        try:
            if link.refuse:
                connection.reset()
                return
            while link.forward.drop or link.backward.drop:  # no answer to the SYN, as near as a proxy comes to it
                await asyncio.sleep(0.01)
                if writer.is_closing():
                    return
            try:
                far_reader, connection.far = await asyncio.open_connection(host, port)
            except OSError:
                connection.reset()
                return
            await asyncio.gather(self._pump(connection, reader, connection.far, link.forward), self._pump(connection, far_reader, writer, link.backward))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            link.connections.discard(connection)
            connection.reset(near=not writer.is_closing(), far=bool(connection.far) and not connection.far.is_closing())

    @staticmethod
    async def _pump(connection, reader, writer, direction):
        try:
            while data := await reader.read(CHUNK):
                if direction.drop or direction in connection.poisoned:
                    connection.poisoned.add(direction)
                    continue
                if direction.delay:
                    await asyncio.sleep(direction.delay)
                if direction.rate:
                    await asyncio.sleep(len(data) / direction.rate)
                direction.passed += len(data)
                writer.write(data)
                await writer.drain()
            if not direction.drop and direction not in connection.poisoned and not writer.is_closing():
                writer.write_eof()
        except (OSError, RuntimeError):  # one end is gone: so is the other, unless the link swallows the news
            if not direction.drop and direction not in connection.poisoned:
                connection.reset()

    def _each(self, change, select):
        async def run():
            for link in list(self.links.values()):
                if select(link):
                    change(link)

        self._call(run())

    @staticmethod
    def between(left, right, both=True):
        """Selects the links from left to right (names or collections), and back with `both`."""
        left, right = ({x} if isinstance(x, str) else set(x) for x in (left, right))
        return lambda link: (link.source in left and link.target in right) or (both and link.source in right and link.target in left)

    @staticmethod
    def of(party):
        return lambda link: party in (link.source, link.target)

    def cut(self, select, forward=True, backward=True):
        """A black hole: nothing passes, nobody is told. With one direction alone, half of the conversation goes on."""

        def change(link):
            link.forward.drop, link.backward.drop = forward, backward

        self._each(change, select)

    def refuse(self, select):
        """Open connections are reset, new ones as well."""

        def change(link):
            link.refuse = True
            for connection in list(link.connections):
                connection.reset()

        self._each(change, select)

    def half_open(self, select):
        """The near end of each open connection is reset while the far end hears nothing of it."""

        def change(link):
            for connection in list(link.connections):
                connection.poisoned |= {link.forward, link.backward}
                connection.reset(far=False)

        self._each(change, select)

    def slow(self, select, delay=0.0, rate=None):
        def change(link):
            for direction in (link.forward, link.backward):
                direction.delay, direction.rate = delay, rate

        self._each(change, select)

    def heal(self, select=lambda link: True):
        """Links work again. Connections that lost bytes are reset: their ends would have found out by retransmission, of which a proxy has none."""

        def change(link):
            link.refuse = False
            for direction in (link.forward, link.backward):
                direction.drop, direction.delay, direction.rate = False, 0.0, None
            for connection in list(link.connections):
                if connection.poisoned:
                    connection.reset()

        self._each(change, select)

    def close(self):
        async def stop():
            for server in self._servers:
                server.close()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

        self._call(stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
