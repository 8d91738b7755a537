"""A process of a fault test: started, killed, stopped (SIGSTOP), continued and started again on the same command line."""
import signal
import subprocess
import time


class Failed(AssertionError):
    """A condition that a test wanted does not hold; the message says which, and what was seen."""


def wait(what, check, seconds=60, interval=0.02, seen=None):
    """The first true answer of `check`. `seen` makes the text of what was there instead."""
    end = time.monotonic() + seconds
    while True:
        found = check()
        if found:
            return found
        if time.monotonic() > end:
            raise Failed(f"not within {seconds:.0f} s: {what}" + (f"; seen: {seen()}" if seen else ""))
        time.sleep(interval)


class Process:
    def __init__(self, name, command, log, wrapper=()):
        """`wrapper` is put before the command (nsenter ...). `log` is appended to, so that it tells of all lives."""
        self.name = name
        self.command = [str(part) for part in (*wrapper, *command)]
        self.log = log
        self.process = None
        self.paused = False
        self.wanted = False

    @property
    def pid(self):
        return self.process.pid if self.process else None

    def start(self):
        assert not self.alive(), f"{self.name} runs already"
        with open(self.log, "ab") as log:
            log.write(f"=== {self.name} is started: {' '.join(self.command)}\n".encode())
            log.flush()
            self.process = subprocess.Popen(self.command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        self.paused = False
        self.wanted = True
        return self

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def check(self):
        """Raises when the process has ended although nobody here ended it."""
        if self.wanted and not self.alive():
            raise Failed(f"{self.name} has ended by itself with exit code {self.process.returncode}; its last lines:\n{self.tail()}")

    def kill(self):
        """kill -9; works on a paused process too."""
        self.wanted = False
        if self.alive():
            self.process.kill()
        self.process.wait()
        self.paused = False

    def terminate(self, seconds=20):
        """SIGTERM; the exit code. A process that does not obey is killed, and None is returned."""
        self.wanted = False
        if self.process is None:
            return None
        self.resume()
        if self.alive():
            self.process.terminate()
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)
        self.paused = True

    def resume(self):
        if self.paused and self.alive():
            self.process.send_signal(signal.SIGCONT)
        self.paused = False

    def tail(self, size=3000):
        """The end of the log, without its lines about single requests."""
        try:
            with open(self.log, "rb") as log:
                log.seek(max(0, self.log.stat().st_size - 200_000))
                lines = log.read().decode(errors="replace").splitlines()
        except OSError as error:
            return str(error)
        return "\n".join(line for line in lines if " request method=" not in line)[-size:]
