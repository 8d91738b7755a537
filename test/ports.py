"""Ports for what tests start. A server that is told its port, or started again on it, must find it free: between two lives of its owner the kernel may
give a free port to anybody who wants any."""
import socket


class Port:
    """A port the kernel picked and keeps for us: bound with SO_REUSEADDR but never listening. So our server (which sets it too) can take it, again and
    again, and the kernel gives it neither to who binds to port 0 nor to who connects; who connects to it meanwhile is refused. Ends with `close()` or with
    the process."""

    def __init__(self, host="127.0.0.1"):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind((host, 0))
        self.host, self.number = self.socket.getsockname()

    def __int__(self):
        return self.number

    def __str__(self):
        return f"{self.host}:{self.number}"

    def close(self):
        self.socket.close()


_kept = []


def kept_port():
    """The number of a port of 127.0.0.1 that is ours as long as this process lives."""
    _kept.append(Port())
    return _kept[-1].number
