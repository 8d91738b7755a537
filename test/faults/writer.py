"""Clients that write all the time and are told of several servers: they go on to the next when one does not answer, find out what became of what nobody
answered, and count what was acknowledged. Afterwards: what is lost, what is doubled, how long they had to wait."""
import threading
import time

from http_api import Api, NotSent, Unknown
from process import Failed
from recorder import ROLES

TRY_SECONDS = 0.5  # then another server is asked


class Writer(threading.Thread):
    """Creates roles of its own, one after the other, and after each counts up a register on condition that nobody else has."""

    def __init__(self, number, urls, identity):
        super().__init__(daemon=True)
        self.number = number
        self.servers = [Api(url, identity, TRY_SECONDS) for url in urls]
        self.at = number % len(urls)
        self.stopping = threading.Event()
        self.acked = []  # (time, kind)
        self.created = {}  # name -> uid
        self.doubled = []
        self.counter = f"ha-counter-{number}"
        self.count = 0
        self.tries = self.failures = 0
        self.error = None

    def call(self, method, path, body=None, headers=None):
        """One try; None when it is not known what became of it. The next try goes to another server then."""
        self.tries += 1
        try:
            status, _, value = self.servers[self.at].call(method, path, body, headers)
            if status < 500 and status != 429:
                return status, value
        except (NotSent, Unknown):
            pass
        self.failures += 1
        self.at = (self.at + 1) % len(self.servers)
        self.stopping.wait(0.02)
        return None

    def settled(self, *request):
        """Tries until there is an answer, and says whether an earlier try may have had effect too."""
        doubt = False
        while True:
            answer = self.call(*request)
            if answer:
                return (*answer, doubt)
            doubt = True
            if self.stopping.is_set() and self.gave_up():
                raise Failed(f"no server answers {request[:2]}")

    def gave_up(self):
        return time.monotonic() > self.deadline

    def run(self):
        try:
            number = 0
            self.create(self.counter)
            while not self.stopping.is_set():
                self.create(f"ha-{self.number}-{number}")
                number += 1
                self.increment()
        except Exception as error:
            self.error = error
        finally:
            for server in self.servers:
                server.close()

    def note(self):
        self.acked.append(time.monotonic())

    def create(self, name):
        status, body, doubt = self.settled("POST", ROLES, {"metadata": {"name": name, "labels": {"n": "0"}}, "rules": []})
        if status == 409 and not doubt:
            self.doubled.append(f"{name} was there before it was asked for")
        elif status not in (200, 409):
            raise Failed(f"POST of {name}: {status} {body}")
        if status == 409:  # a try that nobody answered had come through
            status, body, _ = self.settled("GET", f"{ROLES}/{name}")
            if status != 200:
                raise Failed(f"{name} exists and cannot be read: {status} {body}")
        self.created[name] = body["metadata"]["uid"]
        self.note()

    def increment(self):
        """Exactly once, by the revision: of two tries on one revision the store takes one."""
        path = f"{ROLES}/{self.counter}"
        while True:
            status, body, _ = self.settled("GET", path)
            if status != 200:
                raise Failed(f"GET of {self.counter}: {status} {body}")
            seen = int(body["metadata"]["labels"]["n"])
            if seen == self.count + 1:  # a try that nobody answered had come through
                break
            if seen != self.count:
                raise Failed(f"{self.counter} is {seen}; {self.count} increments were acknowledged, one more is under way")
            wanted = {"metadata": {"labels": {"n": str(seen + 1)}}}
            answer = self.call("PATCH", path, wanted, {"If-Match": f'"{body["metadata"]["resource_version"]}"'})
            if answer and answer[0] == 200:
                break
            if answer and answer[0] not in (409, 412):
                raise Failed(f"PATCH of {self.counter}: {answer}")
        self.count += 1
        self.note()

    def stop(self, seconds=30):
        self.deadline = time.monotonic() + seconds
        self.stopping.set()
        self.join(seconds + 10)
        if self.error:
            raise self.error


class Writers:
    def __init__(self, urls, identity, count=3):
        self.urls, self.identity = urls, identity
        self.each = [Writer(i, urls, identity) for i in range(count)]

    def start(self):
        self.begin = time.monotonic()
        for writer in self.each:
            writer.start()
        return self

    def check(self):
        """Raises what a writer ran into."""
        for writer in self.each:
            if writer.error:
                raise writer.error

    def acked(self):
        return sum(len(w.acked) for w in self.each)

    def longest_wait_ms(self, begin=None, end=None):
        """The longest time one of the clients went without an acknowledgement."""
        begin, end = begin or self.begin, end or time.monotonic()
        longest = 0
        for writer in self.each:
            times = [begin, *(t for t in list(writer.acked) if begin < t < end), end]
            longest = max(longest, max(b - a for a, b in zip(times, times[1:])))
        return round(longest * 1000)

    def availability(self, begin, end, slot=0.1):
        """The share of time, in slots, in which something was acknowledged."""
        slots = max(1, int((end - begin) / slot))
        used = {int((t - begin) / slot) for w in self.each for t in list(w.acked) if begin <= t < begin + slots * slot}
        return len(used) / slots

    def stop(self):
        self.end = time.monotonic()
        for writer in self.each:
            writer.stop()

    def account(self):
        """(lost, doubled): what was acknowledged and is not there, what is there twice or again - whichever server one asks."""
        lost, doubled = set(), {text for w in self.each for text in w.doubled}
        for url in self.urls:
            api = Api(url, self.identity, 30.0)
            found = {}
            for item in api.get(ROLES)["items"]:
                meta = item["metadata"]
                if meta["name"] in found:
                    doubled.add(f"{meta['name']} is listed twice")
                found[meta["name"]] = meta
            api.close()
            for writer in self.each:
                for name, uid in writer.created.items():
                    if name not in found:
                        lost.add(name)
                    elif found[name]["uid"] != uid:
                        doubled.add(f"{name} was created again")
                if writer.counter in found:
                    seen = int(found[writer.counter]["labels"]["n"])
                    lost |= {f"{writer.counter} {n}" for n in range(seen, writer.count)}
                    doubled |= {f"{writer.counter} {n}" for n in range(writer.count, seen)}
        return sorted(lost), sorted(doubled)
