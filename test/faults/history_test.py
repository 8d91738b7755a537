#!/usr/bin/env python3
"""The checks find what they are for: each kind of lie in a fabricated history or stream, and nothing in an honest one."""
import unittest

from process import Failed
from recorder import History, check_linearizable, check_revisions, outcome
from watcher import Segment, check_streams
from world import Leaders, modes_of


def history(*rows):
    """Rows (client, call, return, op, value, status, seen[, revision]); a cas is ("cas", "new if old")."""
    out = History()
    for client, call, back, op, value, status, seen, *more in rows:
        value, _, expected = value.partition(" if ")
        out.operations.append({"client": client, "key": "reg-0", "op": op, "value": value, "expected": expected, "status": status, "seen": seen.removesuffix("!"),
                               "deleting": seen.endswith("!"), "call": call, "return": back, "revision": more[0] if more else 0, "server": 0})
    return out


class LinearizabilityTest(unittest.TestCase):
    def good(self, *rows, collected=False):
        return check_linearizable(history(*rows), collected)

    def bad(self, *rows, collected=False):
        with self.assertRaisesRegex(Failed, "not linearizable .Illegal") as caught:
            check_linearizable(history(*rows), collected)
        return str(caught.exception)

    create = (0, 1, 2, "create", "a", "ok", "a")

    def test_an_honest_history(self):
        verdict = self.good(self.create, (1, 3, 6, "cas", "b if a", "ok", "b"), (2, 4, 5, "get", "", "ok", "a"), (2, 7, 8, "get", "", "ok", "b"),
                            (0, 9, 10, "cas", "c if a", "changed", ""), (0, 11, 12, "delete", "", "ok", "b!"), (1, 13, 14, "create", "d", "exists", ""),
                            (1, 15, 16, "patch", "e", "ok", "e!"), (1, 17, 18, "purge", "", "ok", "e!"), (2, 19, 20, "get", "", "absent", ""))
        self.assertEqual((verdict["operations"], verdict["keys"], verdict["unknown"]), (10, 1, 0))

    def test_a_stale_read(self):
        text = self.bad(self.create, (1, 3, 4, "cas", "b if a", "ok", "b"), (2, 5, 6, "get", "", "ok", "a"))
        self.assertIn("get", text)

    def test_a_read_that_goes_back(self):  # both overlap the write, but the second read follows the first
        self.bad(self.create, (1, 3, 10, "cas", "b if a", "ok", "b"), (2, 4, 5, "get", "", "ok", "b"), (2, 6, 7, "get", "", "ok", "a"))

    def test_a_lost_write(self):
        self.bad(self.create, (1, 3, 4, "cas", "b if a", "ok", "b"), (0, 5, 6, "cas", "c if a", "ok", "c"))
        self.bad(self.create, (2, 3, 4, "get", "", "absent", ""))

    def test_a_doubled_create(self):
        self.bad(self.create, (1, 3, 4, "create", "b", "ok", "b"))
        self.bad((0, 1, 9, "create", "a", "ok", "a"), (1, 2, 8, "create", "b", "ok", "b"))

    def test_two_writers_on_one_condition(self):
        self.bad(self.create, (1, 3, 9, "cas", "b if a", "ok", "b"), (2, 4, 8, "cas", "c if a", "ok", "c"))

    def test_a_refusal_without_reason(self):
        self.bad(self.create, (1, 3, 4, "cas", "b if a", "changed", ""))
        self.bad(self.create, (1, 3, 4, "delete", "", "ok", "a!"), (1, 5, 6, "cas", "b if a", "ok", "b"))

    def test_something_deleted_comes_back(self):
        self.bad(self.create, (1, 3, 4, "delete", "", "ok", "a!"), (2, 5, 6, "get", "", "ok", "a"), collected=True)

    def test_an_unknown_write_may_have_happened_or_not_or_later(self):
        unknown = (1, 3, 4, "cas", "b if a", "unknown", "")
        self.good(self.create, unknown, (2, 5, 6, "get", "", "ok", "a"))
        self.good(self.create, unknown, (2, 5, 6, "get", "", "ok", "b"))
        self.good(self.create, unknown, (2, 5, 6, "get", "", "ok", "a"), (2, 7, 8, "get", "", "ok", "b"))
        self.bad(self.create, unknown, (2, 5, 6, "get", "", "ok", "b"), (2, 7, 8, "get", "", "ok", "a"))

    def test_an_unknown_write_happens_once(self):
        self.bad(self.create, (1, 3, 4, "cas", "b if a", "unknown", ""), (2, 5, 6, "cas", "c if b", "ok", "c"), (2, 7, 8, "get", "", "ok", "b"))

    def test_the_collector_needs_a_deletion(self):
        deleted = (1, 3, 4, "delete", "", "ok", "a!")
        gone = (2, 5, 6, "get", "", "absent", "")
        self.good(self.create, deleted, gone, collected=True)
        self.bad(self.create, deleted, gone, collected=False)
        self.bad(self.create, gone, collected=True)

    def test_keys_are_independent(self):
        two = history(self.create, (1, 3, 4, "create", "b", "ok", "b"))
        two.operations[1]["key"] = "reg-1"
        self.assertEqual(check_linearizable(two, False)["keys"], 2)

    def test_an_unexpected_answer_is_no_silence(self):
        one = history(self.create)
        one.surprises.append("create reg-0: 403")
        with self.assertRaisesRegex(Failed, "403"):
            check_linearizable(one, False)

    def test_what_answers_say(self):
        self.assertEqual(outcome("create", 409, {"title": "RESOURCE_ALREADY_EXISTS"}), "exists")
        self.assertEqual(outcome("patch", 409, {"title": "TRANSACTION_ERROR"}), "refused")
        self.assertEqual(outcome("patch", 500, {}), "unknown")
        self.assertEqual(outcome("patch", 500, {}, "1"), "refused")
        self.assertEqual(outcome("get", 404, {"title": "NOT_FOUND_ERROR"}), "absent")
        for status, title in ((404, None), (401, None), (403, None), (412, None), (409, None)):
            self.assertIsNone(outcome("patch", status, {"title": title}), (status, title))


class RevisionTest(unittest.TestCase):
    def test_order(self):
        check_revisions(history((0, 1, 4, "create", "a", "ok", "a", 7), (1, 2, 3, "patch", "b", "ok", "b", 6), (1, 5, 6, "patch", "c", "ok", "c", 8)).operations)

    def test_a_later_write_with_a_smaller_revision(self):
        with self.assertRaisesRegex(Failed, "backwards"):
            check_revisions(history((0, 1, 2, "create", "a", "ok", "a", 7), (1, 3, 4, "patch", "b", "ok", "b", 6)).operations)

    def test_one_revision_for_two_values(self):
        with self.assertRaisesRegex(Failed, "revision 7"):
            check_revisions(history((0, 1, 2, "create", "a", "ok", "a", 7), (1, 3, 4, "get", "", "ok", "b", 7)).operations)


    def test_two_keys_at_one_revision(self):
        one = history((0, 1, 3, "create", "a", "ok", "a", 7)).operations
        check_revisions(one + [one[0] | {"key": "reg-1"}])
        with self.assertRaisesRegex(Failed, "backwards"):  # not of the same moment
            check_revisions(one + [one[0] | {"key": "reg-1", "call": 4, "return": 5}])

    def test_a_value_at_two_revisions(self):
        create, patch = (0, 1, 2, "create", "a", "ok", "a", 1), (1, 3, 4, "patch", "b", "ok", "b", 2)
        with self.assertRaisesRegex(Failed, "written twice"):  # the write was repeated after it had been acknowledged
            check_revisions(history(create, patch, (2, 5, 6, "get", "", "ok", "b", 3)).operations)
        check_revisions(history(create, patch, (2, 5, 6, "get", "", "ok", "b", 2), (0, 7, 8, "delete", "", "ok", "b!", 3), (2, 9, 10, "get", "", "ok", "b!", 3)).operations)
        other = history((0, 5, 6, "create", "a", "ok", "a", 4)).operations
        check_revisions(history(create).operations + [other[0] | {"key": "reg-1"}])


def segment(after, upto, *events):
    out = Segment(after)
    out.events, out.upto = [(r, kind, key, value, False) for r, kind, key, value in events], upto
    return out


# What is behind A, B and C.
ASKED = history((0, 1, 2, "create", "a", "ok", "a", 1), (0, 3, 4, "patch", "b", "unknown", "")).operations
A, B, C = (1, "ADDED", "reg-0", "a"), (2, "MODIFIED", "reg-0", "b"), (4, "DELETED", "reg-0", "b")


class StreamTest(unittest.TestCase):
    def test_honest(self):
        self.assertEqual(check_streams([[segment(0, 5, A, B, C)], [segment(0, 1, A), segment(1, 4, B, C)]], ASKED), 3)
        self.assertEqual(check_streams([[segment(0, 5, A, B, C)], [segment(2, 9, C)]], ASKED), 3)  # one began late

    def refused(self, what, streams, operations=ASKED):
        with self.assertRaisesRegex(Failed, what):
            check_streams(streams, operations)

    def test_a_gap(self):
        self.refused("missing", [[segment(0, 5, A, B, C)], [segment(0, 5, A, C)]])

    def test_a_repeat_or_disorder(self):
        self.refused("repeated", [[segment(0, 5, A, B, C)], [segment(0, 5, A, B, B, C)]])
        self.refused("order", [[segment(0, 5, A, B, C)], [segment(0, 5, A, C, B)]])

    def test_several_at_one_revision_in_any_order(self):
        asked = ASKED + [ASKED[0] | {"key": "reg-1", "revision": 2}]
        beside = (2, "ADDED", "reg-1", "a")
        check_streams([[segment(0, 5, A, B, beside, C)], [segment(0, 5, A, beside, B, C)]], asked)
        self.refused("missing", [[segment(0, 5, A, B, beside, C)], [segment(0, 5, A, B, C)]], asked)
        self.refused("repeated", [[segment(0, 5, A, B, beside, C)], [segment(0, 5, A, B, beside, B, C)]], asked)

    def test_a_stream_that_breaks_between_two_lines_of_a_revision(self):
        told, beside = Segment(0), (2, "ADDED", "reg-1", "a", False)
        a, b, c = ((*event, False) for event in (A, B, C))
        self.assertEqual([told.line(a), told.line(b), told.upto], [None, None, 1])
        self.assertRegex(told.line(b), "repeated")
        told.broken()
        self.assertEqual([told.line(b), told.line(beside), told.bookmark(1), told.bookmark(2)], [None] * 4)
        told.broken()
        self.assertEqual((told.events, told.upto), ([a, b, beside], 2))
        self.assertRegex(told.line(beside), "out of order")
        self.assertIsNone(told.line(c))
        self.assertRegex(told.bookmark(2), "after 3")

    def test_two_stories(self):
        self.refused("different", [[segment(0, 5, A, B, C)], [segment(0, 5, A, (2, "MODIFIED", "reg-0", "x"), C)]])

    def test_an_acknowledged_write_nobody_heard_of(self):
        acked = ASKED + history((0, 5, 6, "patch", "x", "ok", "x", 3)).operations
        self.refused("acknowledged", [[segment(0, 5, A, B, C)]] * 2, acked)
        check_streams([[segment(3, 5, C)]], acked)  # out of what was watched

    def test_a_doubled_create(self):
        asked = ASKED + history((0, 5, 6, "create", "x", "ok", "x", 3)).operations
        self.refused("doubled", [[segment(0, 5, A, (3, "ADDED", "reg-0", "x"))]], asked)

    def test_a_write_that_was_done_twice(self):
        again = (3, "MODIFIED", "reg-0", "b")
        self.refused("at revision 2 and at 3: doubled", [[segment(0, 5, A, B, again)]])
        deletion = segment(0, 5, A, B, again)
        deletion.events[-1] = (*again, True)
        check_streams([[deletion]], ASKED)  # which leaves the value

    def test_a_write_that_was_refused_or_never_asked_for(self):
        refused = [ASKED[0], ASKED[1] | {"status": "exists"}]  # what is "refused" is not even recorded
        for operations in (refused, ASKED[:1]):
            self.refused("refused or never asked", [[segment(0, 5, A, B, C)]], operations)
        check_streams([[segment(0, 5, (1, "ADDED", "system:x", ""))]], [])  # of somebody else


class LeadersTest(unittest.TestCase):
    def test_what_a_process_says(self):
        queues = [{"controller": "gc", "leadership": {"lease": "gc", "mode": "leading"}}, {"queue": {"leadership": {"lease": "scheduler", "mode": "standby"}}, "clusters": {}},
                  {"controller": "alone", "leadership": None}]
        self.assertEqual(modes_of(queues), {"gc": "leading", "scheduler": "standby"})
        self.assertEqual(modes_of([]), {})

    def test_overlap(self):
        leaders = Leaders(None)
        for life, mode in (("a", "leading"), ("b", "standby"), ("a", "leading"), ("a", "repair-only"), ("b", "leading"), ("a", "standby"), ("b", "leading"), ("a", "leading")):
            leaders.note("gc", life, mode)
        leaders.check()  # a, then b, then a: each after the other
        leaders.note("gc", "b", "leading")
        with self.assertRaisesRegex(Failed, "two leaders"):
            leaders.check()

    def test_a_killed_leader_says_nothing_more(self):
        leaders = Leaders(None)
        for life in ("a", "a", "b", "b", "a2"):
            leaders.note("gc", life, "leading")
        leaders.check()


if __name__ == "__main__":
    unittest.main()
