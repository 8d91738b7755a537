"""Records the watch streams of several servers, resumed where they break, and checks them against one another and against what was acknowledged."""
import http.client
import itertools
import json
import threading

from http_api import Api, NotSent, Unknown
from process import Failed, wait
from recorder import ROLES


class Segment:
    """What a server told after revision `after`, without a gap: all of it up to `upto`, and perhaps some of the one behind. Events are
    (revision, type, key, value, deleting)."""

    def __init__(self, after):
        self.after = self.upto = after
        self.events = []

    def bookmark(self, revision):
        """Everything up to there has been told. Answers what is wrong with that, or None."""
        if revision < self.upto:
            return f"a bookmark of {revision} after {self.upto}"
        self.upto = revision
        return None

    def line(self, event):
        """Commits of the same moment may share a revision, so there may be more of that of a line. Answers what is wrong with it, or None."""
        revision, _, key, _, _ = event
        if revision <= self.upto or any(e[2] == key for e in self._half_told() if e[0] == revision):
            return f"an event of {key} at revision {revision}, when all up to {self.upto} was shown: repeated or out of order"
        self.events.append(event)
        self.upto = max(self.upto, revision - 1)
        return None

    def broken(self):
        """The next stream tells again what may have been told by half."""
        for _ in list(self._half_told()):
            self.events.pop()

    def _half_told(self):
        return itertools.takewhile(lambda e: e[0] > self.upto, reversed(self.events))


class Watcher:
    """A thread that watches the roles of one server for ever: a broken stream is resumed after the last revision it showed all of."""

    def __init__(self, url, identity=None, timeout=5.0):
        self.url = url
        self.api = Api(url, identity, timeout)
        self.segments = []
        self.resumed = 0
        self.problems = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        self._thread.start()
        return self

    def _run(self):
        store = None
        while not self._stopping.is_set():
            try:
                if store is None:
                    meta = self.api.get(ROLES)["metadata"]
                    store = meta["store"]
                    self.segments.append(Segment(int(meta["resource_version"])))
                segment = self.segments[-1]
                answer = self.api.stream(f"{ROLES}?watch&heartbeat=1&bookmarks=true&since={segment.upto}&store={store}")
                if answer.status == 410:
                    store = None  # no longer kept: begin anew, with a gap that is known
                elif answer.status == 200:
                    self.resumed += 1
                    store = self._read(answer, segment, store)
            except (NotSent, Unknown, OSError, http.client.HTTPException):
                pass
            except Exception as error:  # must not look like silence
                self.problems.append(f"{type(error).__name__}: {error}")
                return
            if self.segments:
                self.segments[-1].broken()
            self.api.close()
            self._stopping.wait(0.05)

    def _read(self, answer, segment, store):
        """The store in which the stream can be resumed, or None."""
        while not self._stopping.is_set():
            line = answer.readline()
            if not line.endswith(b"\n"):
                return store  # torn off
            if line == b"\n":
                continue
            event = json.loads(line)
            revision = int(event["revision"])
            if "gap" in event:
                return None  # the server has missed something and tells the difference: begin anew
            if event["type"] == "BOOKMARK":
                wrong = segment.bookmark(revision)
            else:
                meta = event["object"]["metadata"]
                wrong = segment.line((revision, event["type"], meta["name"], meta["labels"].get("v", ""), bool(meta["deleted"])))
            if wrong:
                self.problems.append(f"{self.url}: {wrong}")
        return store

    def upto(self):
        return self.segments[-1].upto if self.segments else 0

    def stop(self):
        self._stopping.set()
        self._thread.join(30)


class Watchers:
    def __init__(self, urls, identity=None):
        self.each = [Watcher(url, identity) for url in urls]

    def start(self):
        for watcher in self.each:
            watcher.start()
        wait("every watch to begin", lambda: all(w.segments for w in self.each), seen=lambda: [w.problems for w in self.each])
        return self

    def catch_up(self, revision, seconds=60):
        wait(f"every watch to have reached revision {revision}", lambda: all(w.problems or w.upto() >= revision for w in self.each), seconds,
             seen=lambda: {w.url: w.upto() for w in self.each})

    def stop(self):
        for watcher in self.each:
            watcher.stop()

    def check(self, operations, prefix="reg-"):
        problems = [p for w in self.each for p in w.problems]
        if problems:
            raise Failed("; ".join(problems[:5]))
        return check_streams([w.segments for w in self.each], operations, prefix)


def check_streams(streams, operations, prefix="reg-"):
    """`streams`: the segments of each server. They agree wherever they overlap, hold every acknowledged write, and tell a possible story of each key.
    Returns how many events there are."""
    told = {}
    for segments in streams:
        for segment in segments:
            for event in segment.events:
                other = told.setdefault((event[0], event[2]), event)
                if other != event:
                    raise Failed(f"two servers tell different things: {other} and {event}")
    story = sorted(told.values())
    for number, segments in enumerate(streams):
        for segment in segments:
            wanted = [e for e in story if segment.after < e[0] <= segment.upto]
            complete = [e for e in segment.events if e[0] <= segment.upto]
            if sorted(complete) != wanted or [e[0] for e in complete] != [e[0] for e in wanted]:
                had = set(complete)
                missing = [e for e in wanted if e not in had]
                raise Failed(f"server {number}, revisions {segment.after} to {segment.upto}: {len(complete)} events, {len(wanted)} were told in all; " +
                             (f"missing {missing[:3]}" if missing else "out of order or repeated"))
    check_each_written_once(story, prefix)
    check_each_asked(story, operations, prefix)
    covered = lambda revision: any(s.after < revision <= s.upto for segments in streams for s in segments)
    for o in operations:
        if o["status"] == "ok" and o["revision"] and o["op"] in ("create", "cas", "patch") and covered(o["revision"]):
            event = told.get((o["revision"], o["key"]))
            if event is None or event[3] != o["seen"]:
                raise Failed(f"an acknowledged write is in no stream: {o}; told at that revision: {event}")
    # One that saw everything can say whether the order of types is possible.
    whole = any(len(segments) == 1 and segments[0].after <= min(s.after for all_ in streams for s in all_) for segments in streams)
    there = {}
    for revision, kind, key, value, _ in story if whole else []:
        if not key.startswith(prefix):
            continue
        if key in there and (kind == "ADDED") == there[key]:
            raise Failed(f"{kind} of {key} ({value}) at revision {revision}, which was {'there' if there[key] else 'not there'}: doubled or lost")
        there[key] = kind != "DELETED"
    return len(story)


def check_each_written_once(story, prefix):
    """Every write has a value of its own: what is told at two revisions was done twice. A deletion leaves the value."""
    written = {}
    for revision, kind, key, value, deleting in story:
        if kind != "DELETED" and key.startswith(prefix):
            other = written.setdefault((key, value, deleting), revision)
            if other != revision:
                raise Failed(f"value {value} of {key} was written at revision {other} and at {revision}: doubled")


def check_each_asked(story, operations, prefix):
    """What was refused was not done, nor what nobody asked for. Keys with `prefix` are those of the load: none is older than it."""
    asked = {(o["key"], o["value"]) for o in operations if o["status"] in ("ok", "unknown") and o["value"]}
    for event in story:
        _, kind, key, value, _ = event
        if kind != "DELETED" and key.startswith(prefix) and (key, value) not in asked:
            raise Failed(f"written, but refused or never asked for: {event}")
