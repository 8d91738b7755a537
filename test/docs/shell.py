"""One bash session: commands are typed into it one after the other; output and exit status come back."""
import os
import re
import selectors
import signal
import subprocess
import time


class Ended(Exception):
    """The session is not usable any more; says why."""


class Shell:
    def __init__(self, folder, env, deadline):
        self.deadline = deadline
        self.count = 0
        self.stuck = False
        self.process = subprocess.Popen(["bash", "--noprofile", "--norc"], cwd=folder, env=env, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.process.stdout, selectors.EVENT_READ)
        # The programs are built already, wherever they come from: `make build` and `make demo` need not build them.
        self.run("make() { command make --no-print-directory -o deps -o build \"$@\"; }; jobs_of_document=()")

    def run(self, text, deadline=None):
        """Output (both streams, as a terminal would show them) and exit status; $? is kept for the next command."""
        return self._send(f"{{ {text}\n}} </dev/null", deadline)

    def start(self, text, log):
        """A simple command in the background; its output goes to a file."""
        text = text.rstrip().removesuffix("&")
        output, status = self._send(f"{text} </dev/null >{log} 2>&1 & jobs_of_document+=($!)", None)
        if status:
            raise Ended(f"cannot be started: {output}")

    def _send(self, script, deadline):
        self.count += 1
        mark = f"end-of-command-{self.count}"
        line = f"{script}\nstatus_of_command=$?; printf '\\n%s %d\\n' {mark} $status_of_command; (exit $status_of_command)\n"
        try:
            self.process.stdin.write(line.encode())
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Ended("the shell has ended") from None
        seen, end = "", time.monotonic() + (deadline or self.deadline)
        while not (match := re.search(rf"\n?{mark} (\d+)\n", seen)):
            left = end - time.monotonic()
            if left <= 0:
                self.stuck = True
                raise Ended(f"not finished after {deadline or self.deadline} s; so far:\n{seen}")
            if self.selector.select(left):
                piece = os.read(self.process.stdout.fileno(), 65536)
                if not piece:
                    raise Ended(f"the shell has ended; before:\n{seen}")
                seen += piece.decode(errors="replace")
        return seen[:match.start()], int(match.group(1))

    def close(self):
        """Stops what still runs; what did not stop as it should, as texts."""
        trouble = []
        if not self.stuck:
            try:
                output, _ = self.run("for job in \"${jobs_of_document[@]}\"; do kill $job 2>/dev/null; wait $job; echo job $?; done")
                trouble = [f"a program in the background ended with exit status {status}, not 0, when it was told to stop"
                           for status in re.findall(r"^job (\d+)$", output, re.M) if status != "0"]
            except Ended as ended:
                trouble = [f"stopping what runs in the background: {ended}"]
        self.process.stdin.close()
        end = time.monotonic() + self.deadline
        self._signal(signal.SIGTERM)
        self.process.wait()
        while self._signal(0) and time.monotonic() < end:
            time.sleep(0.02)
        self._signal(signal.SIGKILL)
        self.process.stdout.close()
        self.selector.close()
        return trouble

    def _signal(self, number):
        """To the shell and all it started; whether there is anybody left."""
        try:
            os.killpg(self.process.pid, number)
            return True
        except ProcessLookupError:
            return False
