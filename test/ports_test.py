"""What ports.py promises, tried with a kernel that has eight ports to give away. 77: this machine gives us no network of our own."""
import errno
import os
import pathlib
import socket
import subprocess
import sys
import unittest

from ports import Port

INSIDE = "KRAKE_TEST_OWN_NETWORK"
PORTS = range(40000, 40008)
OURS = ["unshare", "-rn"]


def own_network():
    """Runs this program again where loopback and the ports are ours alone."""
    if subprocess.run([*OURS, "ip", "link", "set", "lo", "up"], capture_output=True).returncode != 0:
        print("skipped: this machine gives us no network of our own (unshare -rn)")
        sys.exit(77)
    os.environ[INSIDE] = "1"
    os.execvp(OURS[0], [*OURS, sys.executable, *sys.argv])


def server(port, reuse=True):
    """Listens on it, as the servers under test do."""
    out = socket.socket()
    if reuse:
        out.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    out.bind(("127.0.0.1", port))
    out.listen()
    return out


class PortTest(unittest.TestCase):

    def setUp(self):
        self.sockets = []

    def tearDown(self):
        for each in self.sockets:
            each.close()

    def keep(self, one):
        self.sockets.append(one)
        return one

    def everybody_binds(self, reuse):
        """The ports of all who can still get any."""
        got = []
        while True:
            one = self.keep(socket.socket())
            if reuse:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                one.bind(("127.0.0.1", 0))
            except OSError as error:
                self.assertEqual(error.errno, errno.EADDRINUSE)
                return got
            got.append(one.getsockname()[1])

    def test_is_given_to_nobody_who_binds(self):
        for reuse in (False, True):
            port = self.keep(Port())
            self.assertEqual(sorted([*self.everybody_binds(reuse), int(port)]), list(PORTS))
            self.tearDown()

    def test_is_given_to_nobody_who_connects(self):
        port = self.keep(Port())
        listener = self.keep(server(30000))
        got = []
        while True:
            one = self.keep(socket.socket())
            try:
                one.connect(listener.getsockname())
            except OSError as error:
                self.assertEqual(error.errno, errno.EADDRNOTAVAIL)
                break
            got.append(one.getsockname()[1])
        self.assertEqual(sorted([*got, int(port)]), list(PORTS))

    def test_is_our_servers_again_and_again(self):
        port = self.keep(Port())
        for _ in range(3):
            listener = server(int(port))
            client = self.keep(socket.create_connection((port.host, int(port)), 5))
            self.keep(listener.accept()[0])  # stays established when its server has gone, as after kill -9
            listener.close()
            self.assertEqual(client.getpeername()[1], int(port))

    def test_refuses_while_nobody_serves(self):
        port = self.keep(Port())
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection((port.host, int(port)), 5)


if __name__ == "__main__":
    if INSIDE not in os.environ:
        own_network()
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").write_text(f"{PORTS[0]} {PORTS[-1]}")
    unittest.main()
