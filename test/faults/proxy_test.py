#!/usr/bin/env python3
"""The proxy does what its callers think it does."""
import os
import socket
import threading
import time
import unittest

from process import wait
from proxy import Network, owner_of


class Echo:
    """Sends back what it gets; counts its open connections."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.open = 0
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            self.open += 1
            threading.Thread(target=self.serve, args=(peer,), daemon=True).start()

    def serve(self, peer):
        try:
            while data := peer.recv(65536):
                peer.sendall(data)
        except OSError:
            pass
        finally:
            peer.close()
            self.open -= 1


class ProxyTest(unittest.TestCase):
    def setUp(self):
        self.echo = Echo()
        self.network = Network()
        self.address = self.network.listen("b", "127.0.0.1", self.echo.port, source="a")
        self.link = Network.between("a", "b")
        self.client = self.connect()

    def tearDown(self):
        self.client.close()
        self.network.close()
        self.echo.listener.close()

    def connect(self):
        client = socket.create_connection(self.address, 5)
        client.settimeout(5)
        return client

    def ask(self, client, text=b"hello"):
        client.sendall(text)
        return client.recv(len(text))

    def silent(self, client, seconds=0.2):
        client.settimeout(seconds)
        try:
            return client.recv(1) is None
        except TimeoutError:
            return True
        finally:
            client.settimeout(5)

    def test_passes_bytes_and_the_end(self):
        self.assertEqual(self.ask(self.client), b"hello")
        self.client.shutdown(socket.SHUT_WR)
        self.assertEqual(self.client.recv(1), b"")
        wait("the echo to see the end", lambda: self.echo.open == 0)

    def test_a_cut_is_silent_and_heals_for_new_connections(self):
        self.assertEqual(self.ask(self.client), b"hello")
        self.network.cut(self.link)
        self.client.sendall(b"lost")
        self.assertTrue(self.silent(self.client))
        fresh = self.connect()
        self.addCleanup(fresh.close)
        fresh.sendall(b"late!")
        self.assertTrue(self.silent(fresh))
        self.network.heal()
        self.assertEqual(fresh.recv(5), b"late!")  # nothing was lost of what had not begun
        with self.assertRaises(OSError):
            self.client.recv(1)

    def test_a_cut_of_one_direction_lets_the_other_pass(self):
        self.assertEqual(self.ask(self.client), b"hello")
        passed = next(iter(self.network.links.values())).forward
        before = passed.passed
        self.network.cut(self.link, forward=False)
        self.client.sendall(b"heard")
        wait("the bytes to arrive", lambda: passed.passed == before + 5)
        self.assertTrue(self.silent(self.client))

    def test_a_cut_connection_that_was_idle_lives_on(self):
        self.assertEqual(self.ask(self.client), b"hello")
        self.network.cut(self.link)
        self.network.heal()
        self.assertEqual(self.ask(self.client), b"hello")

    def test_refusal_resets(self):
        self.assertEqual(self.ask(self.client), b"hello")
        self.network.refuse(self.link)
        with self.assertRaises(ConnectionResetError):
            self.client.recv(1)
        with self.assertRaises(OSError):
            fresh = self.connect()
            self.addCleanup(fresh.close)
            if self.ask(fresh) == b"":
                raise ConnectionResetError

    def test_half_open_is_known_to_one_end(self):
        self.assertEqual(self.ask(self.client), b"hello")
        self.network.half_open(self.link)
        with self.assertRaises(ConnectionResetError):
            self.client.recv(1)
        self.assertEqual(self.echo.open, 1)
        self.network.heal()
        wait("the far end to hear of it", lambda: self.echo.open == 0)

    def test_delay_and_rate(self):
        self.network.slow(self.link, delay=0.1)
        begin = time.monotonic()
        self.assertEqual(self.ask(self.client), b"hello")
        self.assertGreaterEqual(time.monotonic() - begin, 0.2)
        self.network.slow(self.link, rate=10_000)
        begin = time.monotonic()
        self.ask(self.client, b"x" * 1000)
        self.assertGreaterEqual(time.monotonic() - begin, 0.2)

    def test_other_links_are_left_alone(self):
        other = self.network.listen("c", "127.0.0.1", self.echo.port, source="a")
        self.network.cut(self.link)
        with socket.create_connection(other, 5) as client:
            self.assertEqual(self.ask(client), b"hello")

    def test_the_source_is_found_by_its_process(self):
        address = self.network.listen("d", "127.0.0.1", self.echo.port, identify=lambda port, ours: "me" if owner_of(port, [os.getpid()], ours) else None)
        with socket.create_connection(address, 5) as client:
            self.assertEqual(self.ask(client), b"hello")
        self.assertIn(("me", "d"), self.network.links)


if __name__ == "__main__":
    unittest.main()
