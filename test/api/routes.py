"""Every route of the kinds of this version through a real socket: what is answered (status, content type, whole body) and what it did to the store.

    routes.py FOLDER-OF-PROGRAMS
"""
import copy
import json
import re
import sys
import threading

from checks import changed, moment, wanted, without_version
from kinds import (BINDING, BINDINGS, BY_NAME, CLOUD_BINDING, CLUSTER_STATES, COMMON_INVALID, KINDS, LOADED_FIRST, NULL, REQUIRED, ROUTES,
                   SUBRESOURCE_BODIES, metadata, ref)
from special import Special
from support import (JSON, NDJSON, PROBLEM, REVISION, TEXT, TIME, Client, Like, Processes, Server, Watch, contains, parse, problem)

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "FOO", "get"]


class Suite(Special):
    # ---- one operation of one kind each

    def post(self, kind):
        template, path = kind.template(), kind.collection()
        for rich in (False, True):
            name = self.name()
            reply = self.answer("rich" if rich else "smallest", "POST", path, kind.request(name, rich), 200, kind.document(name, rich=rich))
            document = self.stored(f"POST {path}", kind.path(name), reply)
            self.rows.row(f"POST {path}: created equals modified", True, document,
                          document["metadata"]["created"] == document["metadata"]["modified"])
        self.cover("POST", template, "O")

        given = {"labels": {"url.com/name-one": "v-v"}, "inherit_labels": True, "finalizers": ["b", "a"], "owners": [ref()]}
        name = self.name()
        body = kind.request(name, **given, uid="mine", created="never", modified=5, deleted="2026-03-01T09:30:00", namespace="elsewhere",
                            colour="red")
        body.update(api=kind.api, kind=kind.kind, unknown={"a": 1}, status={"state": "nonsense"} if kind.status else None)
        reply = self.answer("labels, finalizers and owners are kept; readonly fields, status, unknown keys and the namespace of the body are not",
                            "POST", path, body, 200, kind.document(name, **given))
        self.stored(f"POST {path}", kind.path(name), reply)
        if kind.status:
            name = self.name()
            self.answer("status null is ignored too", "POST", path, {**kind.request(name), "status": None}, 200, kind.document(name))

        name, _ = self.create(kind)
        self.refused("the name is taken", "POST", path, kind.request(name), 409, kind.taken(name), "RESOURCE_ALREADY_EXISTS")
        self.client.call("DELETE", kind.path(name))
        self.refused("the name is taken during deletion, too", "POST", path, kind.request(name), 409, kind.taken(name), "RESOURCE_ALREADY_EXISTS")
        self.cover("POST", template, "C")

        self.bad_bodies("POST", path)
        for replacement, structure in COMMON_INVALID + kind.invalid:
            self.invalid("", "POST", path, {**kind.request("x"), **replacement}, structure)
        for key, value, message in [("kind", "Job", [f"Must be equal to {kind.kind}."]), ("api", "batch", [f"Must be equal to {kind.api}."]),
                                    ("kind", None, NULL)]:
            self.invalid("", "POST", path, {**kind.request("x"), key: value}, {key: message})
        self.cover("POST", template, "I")

    def bad_bodies(self, method, path):
        for label, body in [("no body", None), ("empty body", b""), ("not JSON", b"{"), ("text after the value", b"{} x"),
                            ("a byte order mark", b"\xef\xbb\xbf{}"),
                            ("not UTF-8", b'{"a": "\xff"}')]:
            self.refused(label, method, path, body, 415, "415: Unsupported Media Type")
        for body in (b"null", b"[]", b'"text"', b"5", b"true"):
            self.invalid("", method, path, body, {"_schema": ["Invalid input type."]})

    def read(self, kind):
        name, created = self.create(kind, rich=True)
        path, template = kind.path(name), kind.template("/{name}")
        reply = self.answer("", "GET", path, None, 200, created)
        self.answer("read from the cache", "GET", path + "?consistency=cached", None, 200, created)
        self.answer("unknown parameters and headers are ignored", "GET", path + "?colour=red&x", None, 200, created,
                    headers={"Accept": "text/html", "X-Any": "1"})
        _, head = self.ask("", "HEAD", path)
        self.rows.row(f"HEAD {path}", (reply.status, reply.headers, b""), (head.status, head.headers, head.body),
                      (head.status, head.headers, head.body) == (reply.status, reply.headers, b""))
        _, none = self.ask("", "GET", path, headers={"If-None-Match": reply.header("ETag")})
        self.rows.row(f"GET {path}: If-None-Match with the present ETag", (304, b""), none,
                      (none.status, none.body) == (304, b"") and none.header("ETag") == reply.header("ETag"))
        self.answer("If-None-Match with another ETag", "GET", path, None, 200, created, headers={"If-None-Match": '"1"'})
        self.cover("GET", template, "O")
        self.refused("missing", "GET", kind.path("nobody"), None, 404, kind.missing("nobody"), "NOT_FOUND_ERROR")
        if kind.namespaced:
            self.refused("in another namespace", "GET", kind.path(name, "other"), None, 404, kind.missing(name, "other"), "NOT_FOUND_ERROR")
        _, head = self.ask("", "HEAD", kind.path("nobody"))
        self.rows.row(f"HEAD {kind.path('nobody')}", (404, PROBLEM, b""), head, (head.status, head.type, head.body) == (404, PROBLEM, b""))
        self.refused("a trailing slash is another path", "GET", path + "/", None, 404, "404: Not Found")
        self.cover("GET", template, "M")

    def list(self, kind):
        # In byte order of the key, in which the namespace is followed by a slash: "a-b/" comes before "a/".
        places = [("a", "x"), ("a", "B"), ("a", "_"), ("a", "x.y"), ("a", "x:y"), ("a-b", "x"), ("a.b", "x"), ("a:b", "x"), ("ab", "x")]
        if not kind.namespaced:
            places = [("", f"list{i}{name}") for i, (_, name) in enumerate(places)]
        made = {}
        for namespace, name in places:
            _, made[f"{namespace}/{name}" if namespace else name] = self.create(kind, name, namespace)

        def documents(namespace):
            return [document for key, document in sorted(made.items()) if not namespace or key.startswith(namespace + "/")]

        def whole(items):
            return {"api": kind.api, "kind": kind.kind + "List", "metadata": {"resource_version": str(self.revision()), "store": TEXT}, "items": items}

        collections = [(kind.collection(namespace), namespace) for namespace in ("a", "a:b", "nobody-was-here")] if kind.namespaced else []
        for path, namespace in collections + [(kind.all(), "")]:
            if namespace:
                items = documents(namespace)
            else:
                items = self.client.get(path).json()["items"]  # what other rows made is among them
                mine = [item for item in items if item in made.values()]
                self.rows.equal(f"GET {path}: order over all namespaces", documents(""), mine)
                metas = [item["metadata"] for item in items]
                keys = [f"{meta['namespace']}/{meta['name']}" if kind.namespaced else meta["name"] for meta in metas]
                self.rows.equal(f"GET {path}: ascending byte order of the key", sorted(keys), keys)
            reply = self.answer("", "GET", path, None, 200, whole(items))
            self.answer("a valid heartbeat is ignored", "GET", path + "?heartbeat=%201_0&colour=red", None, 200, whole(items))
            _, head = self.ask("", "HEAD", path)
            self.rows.row(f"HEAD {path}", (200, reply.headers, b""), (head.status, head.headers, head.body),
                          (head.status, head.headers, head.body) == (200, reply.headers, b""))
            template = kind.all() if not namespace else kind.template()
            self.cover("GET", template, "O")
            for value, message in [("", "Not a valid integer."), ("abc", "Not a valid integer."), ("1.5", "Not a valid integer."),
                                   ("-1", "Must be greater than or equal to 0.")]:
                for watch in ("", "watch&"):
                    route, refusal = self.ask("", "GET", f"{path}?{watch}heartbeat={value}")
                    document = refusal.json()
                    came = {"status": refusal.status, "type": refusal.type, "body": document}
                    self.rows.equal(route, {"status": 422, "type": PROBLEM, "body": problem(422, TEXT)}, came)
                    detail = parse(document["detail"]) if isinstance(document, dict) and document.get("detail", "").startswith("{") else document
                    self.rows.equal(f"{route}: detail", {"query": {"heartbeat": [message]}}, detail)
            self.cover("GET", template, "I")

    def update(self, kind):
        template = kind.template("/{name}")
        valid = kind.document("nobody", uid="u", created="2026-03-01T09:30:00", modified="2026-03-01T09:30:00")
        valid["metadata"].pop("resource_version")
        self.refused("missing", "PUT", kind.path("nobody"), valid, 404, kind.missing("nobody"), "NOT_FOUND_ERROR")
        self.refused("no body on a missing object", "PUT", kind.path("nobody"), b"", 415, "415: Unsupported Media Type")
        need = {"metadata": {"name": REQUIRED, "uid": REQUIRED, "created": REQUIRED, "modified": REQUIRED}}
        self.invalid("invalid body on a missing object", "PUT", kind.path("nobody"), {**valid, "metadata": {}}, need)
        self.cover("PUT", template, "M")

        name, read = self.create(kind, labels={"a": "b"})
        path = kind.path(name)
        body = changed(read, kind.change)
        if kind.status:
            body["status"] = kind.status_rich
        body["metadata"].update(uid="another", resource_version="1", deleted="2026-03-01T09:30:00")
        expected = changed(wanted(read), kind.change)
        before = self.revision()
        reply = self.answer("status and readonly fields of the body are not used, nor is its resource_version", "PUT", path, body, 200, expected)
        document = self.stored(f"PUT {path}", path, reply)
        self.rows.row(f"PUT {path}: modified grows, created stays, one commit", "yes", document,
                      moment(document["metadata"]["modified"]) > moment(read["metadata"]["modified"])
                      and document["metadata"]["created"] == read["metadata"]["created"]
                      and self.revision() == before + 1)
        body = copy.deepcopy(document)
        body["metadata"]["modified"] = "2026-03-01T09:30:00"
        self.stored(f"PUT {path}", path, self.answer("only a readonly field differs", "PUT", path, body, 200, wanted(document)))
        body = copy.deepcopy(document)
        del body["metadata"]["labels"]
        self.stored(f"PUT {path}", path, self.answer("an optional field left out is reset", "PUT", path, body, 200, wanted(document, labels={})))
        read = self.client.get(path).json()
        body = {key: value for key, value in read.items() if key not in ("api", "kind")}
        body["metadata"] = {**read["metadata"], "owners": [ref()], "finalizers": ["x", "x"]}
        self.stored(f"PUT {path}", path, self.answer("without api and kind", "PUT", path, body, 200,
                                                     wanted(read, owners=[ref()], finalizers=["x", "x"])))
        self.cover("PUT", template, "O")

        read = self.client.get(path).json()
        for label, body in [("unchanged", read), ("unchanged, keys in another order", dict(reversed(read.items()))),
                            ("unchanged, unknown keys and the kind left out", {**{k: v for k, v in read.items() if k != "kind"}, "unknown": 1})]:
            if kind.same_is_ok:
                before = self.snapshot(path)
                self.answer(label, "PUT", path, body, 200, read)
                self.rows.row(f"PUT {path}: {label}: nothing is written", before, after := self.snapshot(path), before == after)
            else:
                self.refused(label, "PUT", path, body, 400, "The body contained no update.", "UPDATE_ERROR")
        immutable = "Trying to update an immutable field: "
        for change, field in [({"name": "other"}, "name"), ({"namespace": "other"}, "namespace"), ({"name": "other", "namespace": "other"}, "name")]:
            self.refused(f"another {field}", "PUT", path, changed(read, {"metadata": change}), 400, immutable + field, "UPDATE_ERROR")
        if kind.namespaced:
            body = copy.deepcopy(read)
            del body["metadata"]["namespace"]
            self.refused("no namespace", "PUT", path, body, 400, immutable + "namespace", "UPDATE_ERROR")

        self.client.call("DELETE", path)
        read = self.client.get(path).json()
        self.rows.equal(f"DELETE {path}: finalizers", ["x", "x", "cascade_deletion"], read["metadata"]["finalizers"])
        for finalizers in (["x", "cascade_deletion", "mine"], ["mine"]):
            self.refused(f"finalizers {finalizers} in deletion", "PUT", path, changed(read, {"metadata": {"finalizers": finalizers}}), 409,
                         "Finalizers can only be removed if a deletion is in progress.", "UPDATE_ERROR")
        self.cover("PUT", template, "C")
        body = changed(changed(read, kind.change), {"metadata": {"finalizers": ["cascade_deletion", "x", "x", "x"],
                                                                 "labels": {"still": "changeable"}}})
        reply = self.answer("in deletion other changes are accepted, and the order of finalizers", "PUT", path, body, 200,
                            wanted(body, deleted=read["metadata"]["deleted"]))
        read = self.stored(f"PUT {path}", path, reply)
        body = changed(read, {"metadata": {"finalizers": []}})
        self.answer("without its last finalizer the object goes", "PUT", path, body, 200, without_version(wanted(body)))
        self.refused("gone", "GET", path, None, 404, kind.missing(name), "NOT_FOUND_ERROR")

        name, read = self.create(kind)
        path = kind.path(name)
        self.bad_bodies("PUT", path)
        for field in ("name", "uid", "created", "modified"):
            body = copy.deepcopy(read)
            del body["metadata"][field]
            self.invalid("", "PUT", path, body, {"metadata": {field: REQUIRED}})
            self.invalid("", "PUT", path, changed(read, {"metadata": {field: 5}}),
                         {"metadata": {field: ["Not a valid string."] if field in ("name", "uid") else ["Not a valid datetime."]}})
            body["metadata"][field] = None
            self.invalid("", "PUT", path, body, {"metadata": {field: NULL}})
        if kind.status:
            self.invalid("no status", "PUT", path, {key: value for key, value in read.items() if key != "status"}, {"status": REQUIRED})
            self.invalid("status null", "PUT", path, {**read, "status": None}, {"status": NULL})
            self.invalid("", "PUT", path, {**read, "status": {"state": "NONSENSE"}}, {"status": {"state": ["Invalid enum member NONSENSE"]}})
        for replacement, structure in kind.invalid:
            self.invalid("", "PUT", path, {**read, **replacement}, structure)
        self.cover("PUT", template, "I")

    def delete(self, kind):
        template = kind.template("/{name}")
        self.refused("missing", "DELETE", kind.path("nobody"), None, 404, kind.missing("nobody"), "NOT_FOUND_ERROR")
        self.cover("DELETE", template, "M")
        name, read = self.create(kind, finalizers=["mine"])
        path = kind.path(name)
        before = self.revision()
        reply = self.answer("", "DELETE", path + ("" if kind.force else "?force=True"), None, 200,
                            wanted(read, modified=read["metadata"]["modified"], deleted=TIME, finalizers=["mine", "cascade_deletion"]))
        self.stored(f"DELETE {path}", path, reply)
        self.rows.equal(f"DELETE {path}: one commit", before + 1, self.revision())
        before = self.snapshot(path)
        again = self.client.call("DELETE", path, b"a body is not looked at")
        self.rows.row(f"DELETE {path}: again", reply, again, (again.status, again.type, again.body) == (200, JSON, reply.body))
        self.rows.row(f"DELETE {path}: again: nothing is written", before, after := self.snapshot(path), before == after)
        name, read = self.create(kind, finalizers=["cascade_deletion", "mine"])
        finalizers = self.client.call("DELETE", kind.path(name)).json()["metadata"]["finalizers"]
        self.rows.equal(f"DELETE {kind.path(name)}: cascade_deletion once (W34)", ["cascade_deletion", "mine"], sorted(finalizers))
        self.cover("DELETE", template, "O")
        if kind.force:
            for value in ("True", "true", "1"):
                name, read = self.create(kind, finalizers=["mine"])
                self.answer("at once, whatever the finalizers", "DELETE", f"{kind.path(name)}?force={value}", None, 200,
                            without_version(wanted(read, modified=read["metadata"]["modified"], deleted=TIME)))
                self.refused("gone", "GET", kind.path(name), None, 404, kind.missing(name), "NOT_FOUND_ERROR")
            for value in ("False", "yes", ""):
                name, read = self.create(kind)
                self.client.call("DELETE", f"{kind.path(name)}?force={value}")
                self.rows.equal(f"DELETE {kind.path(name)}?force={value}: not forced", 200, self.client.get(kind.path(name)).status)
            self.refused("missing", "DELETE", kind.path("nobody") + "?force=True", None, 404, kind.missing("nobody"), "NOT_FOUND_ERROR")

    def status(self, kind):
        template, tail = kind.template("/{name}/status"), "/status"
        name, read = self.create(kind, labels={"a": "b"})
        path = kind.path(name)
        body = {**changed(read, kind.change), "status": kind.status_rich}
        body["metadata"] = {**read["metadata"], "name": "other", "namespace": "other", "uid": "other", "labels": {"c": "d"}}
        expected = wanted({**read, "status": kind.status_rich}, modified=read["metadata"]["modified"])
        document = self.stored(f"PUT {path}{tail}", path, self.answer("only status is used", "PUT", path + tail, body, 200, expected))
        before = self.revision()
        self.answer("the same again is written again", "PUT", path + tail, document, 200, wanted(document, modified=read["metadata"]["modified"]))
        self.rows.equal(f"PUT {path}{tail}: one commit for the same", before + 1, self.revision())
        reply = self.answer("{} resets", "PUT", path + tail, {**read, "status": {}}, 200, wanted(read, modified=read["metadata"]["modified"]))
        self.stored(f"PUT {path}{tail}", path, reply)
        self.cover("PUT", template, "O")
        body = without_version(read)
        self.refused("missing", "PUT", kind.path("nobody") + tail, body, 404, kind.missing("nobody"), "NOT_FOUND_ERROR")
        self.refused("no body on a missing object", "PUT", kind.path("nobody") + tail, None, 415, "415: Unsupported Media Type")
        self.cover("PUT", template, "M")
        self.bad_bodies("PUT", path + tail)
        self.invalid("no status", "PUT", path + tail, {key: value for key, value in read.items() if key != "status"}, {"status": REQUIRED})
        self.invalid("", "PUT", path + tail, {**read, "status": None}, {"status": NULL})
        wrong, messages = {"state": "running", "reason": {"code": "60"}}, {"state": ["Invalid enum member running"]}
        if "reason" in kind.status:
            messages = {"reason": {"code": ["Invalid enum member 60"], "message": REQUIRED}, **messages}
        self.invalid("", "PUT", path + tail, {**read, "status": wrong}, {"status": messages})
        self.invalid("the rest is validated, too", "PUT", path + tail, {**read, "spec": None}, {"spec": NULL})
        self.cover("PUT", template, "I")

        change = {"state": kind.busy}
        if "reason" in kind.status:
            change["reason"] = {"code": "NOT_FOUND", "message": "m"}
        document = self.answer("merge patch", "PATCH", path + tail, {"status": change, "spec": {"backoff": 7}}, 200,
                               wanted({**read, "status": {**read["status"], **change}}, modified=read["metadata"]["modified"]))
        document = self.stored(f"PATCH {path}{tail}", path, document)
        before = self.snapshot(path)
        self.answer("unchanged", "PATCH", path + tail, {"status": {"state": kind.busy}}, 200, document)
        self.rows.row(f"PATCH {path}{tail}: unchanged: nothing is written", before, after := self.snapshot(path), before == after)
        self.answer("null sets back", "PATCH", path + tail, {"status": {"reason": None, "state": None}}, 200,
                    wanted(read, modified=read["metadata"]["modified"]))
        self.cover("PATCH", template, "O")
        self.refused("missing", "PATCH", kind.path("nobody") + tail, {"status": {}}, 404, kind.missing("nobody"), "NOT_FOUND_ERROR")
        self.cover("PATCH", template, "M")
        self.bad_bodies("PATCH", path + tail)
        self.invalid("", "PATCH", path + tail, {"status": {"state": "NONSENSE"}}, {"status": {"state": ["Invalid enum member NONSENSE"]}})
        self.invalid("", "PATCH", path + tail, {"status": "RUNNING"}, {"status": {"_schema": ["Invalid input type."]}})
        self.cover("PATCH", template, "I")

    def patch(self, kind):
        template = kind.template("/{name}")
        name, read = self.create(kind, labels={"a": "b", "c": "d"})
        path = kind.path(name)
        reply = self.answer("merge patch", "PATCH", path, {"metadata": {"labels": {"a": None, "e": "f"}}}, 200,
                            wanted(read, labels={"c": "d", "e": "f"}))
        document = self.stored(f"PATCH {path}", path, reply)
        self.rows.row(f"PATCH {path}: modified grows", True, document,
                      moment(document["metadata"]["modified"]) > moment(read["metadata"]["modified"]))
        document = self.stored(f"PATCH {path}", path, self.answer("", "PATCH", path, kind.change, 200, changed(wanted(document), kind.change)))
        before = self.snapshot(path)
        for change in ({}, kind.change, {"metadata": {"resource_version": "1", "labels": {"nobody": None}}}, {"unknown": 1}):
            self.answer("unchanged", "PATCH", path, change, 200, document)
        if kind.status:
            self.answer("status has its own route", "PATCH", path, {"status": {"state": kind.busy}}, 200, document)
        self.answer("readonly fields stay", "PATCH", path, {"metadata": {"uid": "mine", "created": "2026-03-01T09:30:00"}}, 200, document)
        self.rows.row(f"PATCH {path}: unchanged: nothing is written", before, after := self.snapshot(path), before == after)
        links = {"finalizers": ["x"], "owners": [ref()]}
        reply = self.answer("finalizers and owners alone leave modified alone", "PATCH", path, {"metadata": links}, 200,
                            wanted(document, modified=document["metadata"]["modified"], **links))
        self.stored(f"PATCH {path}", path, reply)
        self.cover("PATCH", template, "O")
        self.refused("missing", "PATCH", kind.path("nobody"), {}, 404, kind.missing("nobody"), "NOT_FOUND_ERROR")
        self.cover("PATCH", template, "M")
        self.refused("another name", "PATCH", path, {"metadata": {"name": "other"}}, 400, "Trying to update an immutable field: name", "UPDATE_ERROR")
        self.refused("another namespace", "PATCH", path, {"metadata": {"namespace": "other"}}, 400, "Trying to update an immutable field: namespace",
                     "UPDATE_ERROR")
        self.bad_bodies("PATCH", path)
        self.invalid("", "PATCH", path, {"metadata": None}, {"metadata": REQUIRED})
        self.invalid("", "PATCH", path, {"metadata": {"name": None}}, {"metadata": {"name": REQUIRED}})
        self.invalid("", "PATCH", path, {"metadata": {"labels": {"key.": "v"}}},
                     {"metadata": {"labels": [{"key.": Like("the label's message",
                                                            lambda text: text.startswith("Label key 'key.' does not match the regex"))}]}})
        self.cover("PATCH", template, "I")
        self.client.call("DELETE", path)
        self.refused("finalizers in deletion", "PATCH", path, {"metadata": {"finalizers": ["x", "y"]}}, 409,
                     "Finalizers can only be removed if a deletion is in progress.",
                     "UPDATE_ERROR")
        self.cover("PATCH", template, "C")
        self.answer("without its last finalizer the object goes", "PATCH", path, {"metadata": {"finalizers": []}}, 200,
                    without_version(wanted(document, deleted=TIME, finalizers=[], owners=[ref()])))
        self.refused("gone", "GET", path, None, 404, kind.missing(name), "NOT_FOUND_ERROR")

    def preconditions(self, kind):
        """If-Match on every write of an object."""
        name, read = self.create(kind)
        path = kind.path(name)
        writes = [("PATCH", path, {"metadata": {"labels": {"x": "y"}}}), ("PUT", path, changed(read, kind.change)), ("DELETE", path, None)]
        if kind.status:
            writes += [("PUT", path + "/status", {**read, "status": kind.status_rich}),
                       ("PATCH", path + "/status", {"status": {"state": kind.busy}})]
        for sub in kind.subresources:
            writes.append(("PUT", f"{path}/{sub}", SUBRESOURCE_BODIES.get((kind.kind, sub), (None,))[0]))
        if kind.force:
            writes.append(("DELETE", path + "?force=True", None))
        for method, target, body in writes:
            self.refused("If-Match with another revision", method, target, body, 412, TEXT, headers={"If-Match": '"999999"'})
        for method, target, body in (("PATCH", path, {"metadata": {"labels": {"x": "y"}}}), ("PATCH", path, {"metadata": {"labels": {"x": "z"}}})):
            etag = self.client.get(path).header("ETag")
            self.rows.equal(f"{method} {target}: If-Match with the present revision", 200,
                            self.client.call(method, target, body, {"If-Match": etag}).status)
            self.refused("If-Match with the revision before", method, target, {"metadata": {"labels": {"x": "w"}}}, 412, TEXT,
                         headers={"If-Match": etag})
        self.rows.equal(f"PATCH {path}: If-Match *", 200, self.client.call("PATCH", path, {"metadata": {"labels": {"x": "v"}}},
                                                                           {"If-Match": "*"}).status)
        before = self.snapshot(path)
        garbage = self.client.call("PATCH", path, {"metadata": {"labels": {"x": "u"}}}, {"If-Match": "garbage"})
        self.rows.row(f"PATCH {path}: If-Match garbage", "400 or 412, nothing written", garbage,
                      garbage.status in (400, 412) and before == self.snapshot(path))

    # ---- sub-resources

    def subresource_common(self, kind, sub):
        template, tail = kind.template("/{name}/" + sub), "/" + sub
        good, bad = SUBRESOURCE_BODIES.get((kind.kind, sub), (None, []))
        self.refused("missing", "PUT", kind.path("nobody") + tail, good, 404, kind.missing("nobody"), "NOT_FOUND_ERROR")
        if (kind.kind, sub) in LOADED_FIRST:
            for body in (None, b"garbage", {}):
                self.refused(f"body {body!r} on a missing object", "PUT", kind.path("nobody") + tail, body, 404, kind.missing("nobody"),
                             "NOT_FOUND_ERROR")
        elif bad:
            self.refused("no body on a missing object", "PUT", kind.path("nobody") + tail, None, 415, "415: Unsupported Media Type")
        self.cover("PUT", template, "M")
        if bad:
            name, _ = self.create(kind)
            self.bad_bodies("PUT", kind.path(name) + tail)
            for body, structure in bad:
                self.invalid("", "PUT", kind.path(name) + tail, body, structure)
            self.cover("PUT", template, "I")

    def bindings(self):
        for kind, body, target in [(BY_NAME["Application"], BINDING, BINDING["cluster"]),
                                   (BY_NAME["Cluster"], CLOUD_BINDING, {"namespace": None, **CLOUD_BINDING["cloud"]})]:
            target = {key: target[key] for key in ("api", "namespace", "kind", "name")}
            name, read = self.create(kind, owners=[ref(name="before")])
            path = kind.path(name)
            self.status_of(kind, name, {"running_on": ref(), "state": "DELETING"})
            status = {**read["status"], "state": "DELETING", "running_on": ref(), "scheduled": TIME, "scheduled_to": target}
            if kind.kind == "Application":
                status["kube_controller_triggered"] = TIME
            expected = wanted({**read, "status": status}, modified=read["metadata"]["modified"], owners=[ref(name="before"), target])
            document = self.stored(f"PUT {path}/binding", path, self.answer("", "PUT", path + "/binding", body, 200, expected))
            if kind.kind == "Application":
                self.rows.equal(f"PUT {path}/binding: one instant", document["status"]["scheduled"], document["status"]["kube_controller_triggered"])
            again = self.answer("again: no second owner", "PUT", path + "/binding",
                                {**body, "api": "infrastructure" if "cloud" in body else "kubernetes"}, 200, expected).json()
            self.rows.row(f"PUT {path}/binding: again: the time moves", "a later time", again["status"]["scheduled"],
                          moment(again["status"]["scheduled"]) > moment(document["status"]["scheduled"]))
            other = json.loads(json.dumps(body).replace(target["name"], "another"))
            moved = {**expected, "status": {**status, "scheduled_to": {**target, "name": "another"}},
                     "metadata": {**expected["metadata"], "owners": [ref(name="before"), target, {**target, "name": "another"}]}}
            self.answer("to another: owners before stay", "PUT", path + "/binding", other, 200, moved)
            self.client.call("DELETE", path)
            self.rows.equal(f"PUT {path}/binding: in deletion", 200, self.client.call("PUT", path + "/binding", body).status)
            self.cover("PUT", kind.template("/{name}/binding"), "O")

    def hooks(self):
        kind = BY_NAME["Application"]
        denied = "401: No token has been provided or the provided one is invalid."
        for hook in ("complete", "shutdown"):
            template = kind.template("/{name}/" + hook)
            name, read = self.create(kind)
            path = f"{kind.path(name)}/{hook}"
            for body in ({"token": None}, {}, {"token": ""}, {"token": "x"}):
                reply = self.refused(f"{body} against no stored token", "PUT", path, body, 401, denied)
                self.rows.equal(f"PUT {path}: reason phrase", denied[5:], reply.reason)
            self.status_of(kind, name, {f"{hook}_token": "secret", "state": "RUNNING"})
            for body in ({"token": None}, {}, {"token": "secre"}, {"token": "secret "}, {"token": "SECRET"}):
                self.refused(f"{body} against another token", "PUT", path, body, 401, denied)
            self.cover("PUT", template, "C")

        name, read = self.create(kind, finalizers=["mine"])
        path = kind.path(name)
        read = self.status_of(kind, name, {"complete_token": "secret", "state": "RUNNING"})
        expected = wanted({**read, "status": {**read["status"], "state": "READY_FOR_ACTION"}}, modified=read["metadata"]["modified"], deleted=TIME)
        document = self.stored(f"PUT {path}/complete", path, self.answer("", "PUT", path + "/complete",
                                                                         {"token": "secret", "api": "kubernetes", "kind": "Complete"}, 200, expected))
        again = self.answer("again: the time of deletion stays (W13)", "PUT", path + "/complete", {"token": "secret"}, 200, expected).json()
        self.rows.equal(f"PUT {path}/complete: again", document["metadata"]["deleted"], again["metadata"]["deleted"])
        self.cover("PUT", kind.template("/{name}/complete"), "O")

        period = "2026-03-01T09:30:00+00:00"
        for state in ("WAITING_FOR_CLEANING", "DEGRADED", "RUNNING"):
            name, read = self.create(kind)
            path = kind.path(name)
            read = self.status_of(kind, name, {"shutdown_token": "secret", "state": state, "shutdown_grace_period": period})
            status = dict(read["status"]) if state == "RUNNING" else {**read["status"], "state": "READY_FOR_ACTION", "shutdown_grace_period": None}
            before = self.revision()
            reply = self.answer(state, "PUT", path + "/shutdown", {"token": "secret", "kind": "Shutdown"}, 200,
                                wanted({**read, "status": status}, modified=read["metadata"]["modified"]))
            self.stored(f"PUT {path}/shutdown", path, reply)
            self.rows.equal(f"PUT {path}/shutdown: {state}: written in every state", before + 1, self.revision())
        self.cover("PUT", kind.template("/{name}/shutdown"), "O")

        template = kind.template("/{name}/retry")
        for state in ("RUNNING", "WAITING_FOR_CLEANING", "FAILED"):
            name, read = self.create(kind)
            self.status_of(kind, name, {"state": state})
            self.refused(state, "PUT", kind.path(name) + "/retry", None, 400, "No migration or deletion retry needed", "UPDATE_ERROR")
        self.cover("PUT", template, "C")
        for body in (None, b"garbage \xff", {"token": "x"}):
            name, read = self.create(kind)
            path = kind.path(name)
            read = self.status_of(kind, name, {"state": "DEGRADED", "shutdown_grace_period": period})
            status = {**read["status"], "state": "WAITING_FOR_CLEANING", "shutdown_grace_period": None}
            reply = self.answer(f"body {body!r}", "PUT", path + "/retry", body, 200,
                                wanted({**read, "status": status}, modified=read["metadata"]["modified"]))
            self.stored(f"PUT {path}/retry", path, reply)
        self.cover("PUT", template, "O")

        name, read = self.create(kind, rich=True)  # with the hook `shutdown`
        deleted = self.client.call("DELETE", kind.path(name)).json()
        self.rows.equal(f"DELETE {kind.path(name)}: with the shutdown hook", "WAITING_FOR_CLEANING", deleted["status"]["state"])

    def blocking(self, kind):
        """?blocking=<state> waits for this object; it never waits when the state is there already."""
        def during(method, path, body, then):
            """The answer of a request that waits, while `then` makes what it waits for happen."""
            came = []
            thread = threading.Thread(target=lambda: came.append(Client(self.server.port, timeout=20).call(method, path, body)))
            with Watch(self.server.port, kind.collection() + "?watch&heartbeat=0") as watch:
                thread.start()
                watch.event()
            then()
            thread.join(20)
            return came[0] if came else "nothing within 20 s"

        name = self.name()
        for label, method, path, body in [
                ("False", "POST", f"{kind.collection()}?blocking=False", kind.request(name)),
                ("the state it is in", "POST", f"{kind.collection()}?blocking=pending", kind.request(name + "b")),
                ("False", "DELETE", f"{kind.path(name)}?blocking=False", None),
                ("with force", "DELETE", f"{kind.path(name + 'b')}?blocking=deleted&force=True", None)]:
            self.rows.equal(f"{method} {path}: at once", 200, self.client.call(method, path, body).status)
        for method, path, body in [("POST", f"{kind.collection()}?blocking=ready", kind.request(name + "c")), ("DELETE", f"{kind.path(name)}?blocking=gone", None)]:
            self.rows.equal(f"{method} {path}: no such state", 422, self.client.call(method, path, body).status)
        self.rows.equal(f"{kind.path(name + 'c')}: refused before it was made", 404, self.client.call("GET", kind.path(name + "c")).status)

        name, state = self.name(), "RUNNING" if kind.kind == "Application" else "ONLINE"

        def reach():
            other, _ = self.create(kind)
            self.status_of(kind, other, {"state": state})  # somebody else in that state ends nothing
            self.status_of(kind, name, {"state": state})

        reply = during("POST", f"{kind.collection()}?blocking={state.lower()}", kind.request(name), reach)
        document = reply.json() if not isinstance(reply, str) else {}
        self.rows.equal(f"POST {kind.collection()}?blocking={state.lower()}: this object, in that state",
                        {"status": 200, "name": name, "state": state},
                        {"status": getattr(reply, "status", reply), "name": document.get("metadata", {}).get("name"),
                         "state": document.get("status", {}).get("state")})

        path = kind.path(name)
        reply = during("DELETE", f"{path}?blocking=deleted", None, lambda: self.client.call("PATCH", path, {"metadata": {"finalizers": []}}))
        document = reply.json() if not isinstance(reply, str) else {}
        # Never a member that the enumeration of the kind does not have: upstream's clients die of it (11.1).
        allowed = ["DELETED"] if kind.kind == "Application" else CLUSTER_STATES
        self.rows.equal(f"DELETE {path}?blocking=deleted", {"status": 200, "name": name,
                                                            "state": Like(f"one of {allowed}", lambda value: value in allowed)},
                        {"status": getattr(reply, "status", reply), "name": document.get("metadata", {}).get("name"),
                         "state": document.get("status", {}).get("state")})

    # ---- watch

    def watch(self, kind):
        name, elsewhere = self.name("w"), self.name("w")
        paths = [kind.collection()] + ([kind.all()] if kind.namespaced else [])
        watches = {path: Watch(self.server.port, f"{path}?watch={value}&heartbeat=0") for path, value in zip(paths, ("", "false"))}
        for path, watch in watches.items():
            self.rows.equal(f"GET {path}?watch: headers", {"status": 200, "content-type": NDJSON, "transfer-encoding": "chunked",
                                                           "content-length": None},
                            {"status": watch.status,
                             **{key: watch.headers.get(key) for key in ("content-type", "transfer-encoding", "content-length")}})
        path = kind.path(name)
        foreign = kind.namespaced and self.client.call("POST", kind.collection("elsewhere"), kind.request(elsewhere)).json()
        steps = [("ADDED", self.client.call("POST", kind.collection(), kind.request(name)))]
        steps.append(("MODIFIED", self.client.call("PUT", path, changed(steps[0][1].json(), kind.change))))
        if kind.status:
            steps.append(("MODIFIED", self.client.call("PATCH", path + "/status", {"status": {"state": kind.busy}})))
        if kind.kind in BINDINGS:
            steps.append(("MODIFIED", self.client.call("PUT", f"{path}/binding", BINDINGS[kind.kind])))
        steps.append(("MODIFIED", self.client.call("DELETE", path)))
        last = steps[-1][1].json()
        gone = changed(last, {"metadata": {"finalizers": [], "labels": {"last": "change"}}})
        removed = self.client.call("PUT", path, gone)
        self.rows.equal(f"PUT {path}: removes", 200, removed.status)
        # The last stored value before the deletion: still with the finalizers, without the last change.
        expected = [{"type": kind_of, "object": reply.json(), "revision": reply.json()["metadata"]["resource_version"]} for kind_of, reply in steps]
        expected += [{"type": "DELETED", "object": wanted(last, modified=last["metadata"]["modified"]), "revision": REVISION}]
        again = self.client.call("POST", kind.collection(), kind.request(name)).json()
        expected += [{"type": "ADDED", "object": again, "revision": again["metadata"]["resource_version"]}]
        if kind.force:
            self.client.call("DELETE", path + "?force=True")
            expected += [{"type": "DELETED", "object": wanted(again, modified=again["metadata"]["modified"]), "revision": REVISION}]
        lines = {}
        for target, watch in watches.items():
            for event in ([{"type": "ADDED", "object": foreign,
                            "revision": REVISION}] if kind.namespaced and target == kind.all() else []) + expected:
                line = watch.line()
                lines.setdefault(target, []).append(line)
                self.rows.equal(f"GET {target}?watch: {event['type']}", event, parse(line) if line.strip() else line)
                self.rows.row(f"GET {target}?watch: one line", r"one line that ends with \n alone", line,
                              line.endswith(b"\n") and not line.endswith(b"\r\n"))
            watch.close()
        for target in paths:
            self.cover("GET", target if target == kind.all() else kind.template(), "O")

        # since=: exactly what came after that event; initial=: what is there, then what comes.
        target = paths[0]
        resume = parse(lines[target][1])["revision"]
        with Watch(self.server.port, f"{target}?watch&heartbeat=0&since={resume}") as watch:
            self.rows.equal(f"GET {target}?watch&since={resume}", lines[target][2:], [watch.line() for _ in lines[target][2:]])
        present = self.client.get(target).json()
        with Watch(self.server.port, f"{target}?watch&heartbeat=0&initial=true") as watch:
            came = [watch.event() for _ in present["items"]]
            self.rows.equal(f"GET {target}?watch&initial=true", [{"type": "ADDED", "object": item,
                                                                  "revision": item["metadata"]["resource_version"]} for item in present["items"]],
                            came)
            name, added = self.create(kind)
            self.rows.equal(f"GET {target}?watch&initial=true: and live", {"type": "ADDED", "object": added,
                                                                           "revision": added["metadata"]["resource_version"]}, watch.event())
        version = present["metadata"]["resource_version"]
        with Watch(self.server.port, f"{target}?watch&heartbeat=0&since={version}") as watch:
            self.rows.equal(f"GET {target}?watch&since=<of a list>", {"type": "ADDED", "object": added, "revision": REVISION}, watch.event())
        self.refused("a revision that is not there yet", "GET", f"{target}?watch&since=99999999", None, 410, TEXT)
        self.query_refused(f"{target}?watch&since=yesterday", "since")
        self.query_refused(f"{target}?watch&since=", "since")
        reply = self.client.call("HEAD", f"{target}?watch")
        self.rows.row(f"HEAD {target}?watch", (200, NDJSON, b""), reply, (reply.status, reply.type, reply.body) == (200, NDJSON, b""))

    def heartbeats(self):
        path = BY_NAME["Role"].all()
        with Watch(self.server.port, f"{path}?watch&heartbeat=1") as watch:
            self.rows.equal(f"GET {path}?watch&heartbeat=1: bare line feeds", [b"\n", b"\n"], [watch.line(), watch.line()])
            _, added = self.create(BY_NAME["Role"])
            self.rows.equal(f"GET {path}?watch&heartbeat=1: then an event", added, watch.event()["object"])
        with Watch(self.server.port, f"{path}?watch&heartbeat=1&bookmarks=true") as watch:
            came = watch.event()
            self.rows.equal(f"GET {path}?watch&bookmarks=true", {"type": "BOOKMARK", "revision": str(self.revision())},
                            {key: came.get(key) for key in ("type", "revision")})

    # ---- additive parameters of lists

    def pages(self, kind):
        path = kind.collection("pages") if kind.namespaced else kind.collection()
        for i in range(5):
            self.create(kind, f"page{i}", "pages")
        whole = self.client.get(path).json()
        for limit in (1, 2, len(whole["items"]), len(whole["items"]) + 1):
            items, target, pages = [], f"{path}?limit={limit}", 0
            while target:
                page = self.client.get(target).json()
                sound = len(page["items"]) <= limit and page["metadata"]["resource_version"] == whole["metadata"]["resource_version"]
                pages += 1
                items += page["items"]
                self.rows.row(f"GET {target}: page {pages}", f"at most {limit} items of revision {whole['metadata']['resource_version']}", page,
                              sound)
                if "continue" in page["metadata"]:
                    self.rows.equal(f"GET {target}: remaining", len(whole["items"]) - len(items), page["metadata"].get("remaining"))
                target = f"{path}?limit={limit}&continue={page['metadata']['continue']}" if "continue" in page["metadata"] else None
            self.rows.equal(f"GET {path}?limit={limit}: all pages together", whole["items"], items)
        first = self.client.get(f"{path}?limit=2").json()
        self.create(kind, "page-later", "pages")
        self.client.call("PATCH", kind.path("page4", "pages"), {"metadata": {"labels": {"changed": "meanwhile"}}})
        rest = self.client.get(f"{path}?limit=1000&continue={first['metadata']['continue']}").json()
        self.rows.equal(f"GET {path}: pages are of one moment", whole["items"], first["items"] + rest["items"])
        for token in ("zzz", "zzz.1", "", ".", first["metadata"]["continue"] + "0000", first["metadata"]["continue"].rsplit(".", 1)[0]):
            self.refused("a continue token nobody gave", "GET", f"{path}?limit=2&continue={token}", None, 410, TEXT)
        for other in (BY_NAME["Role"].all(), kind.all(), kind.collection("other")):
            self.refused("a continue token of another list", "GET", f"{other}?limit=2&continue={first['metadata']['continue']}", None, 410, TEXT)
        for limit in ("0", "-1", "abc", "1.5", "", "99999999999999999999999"):
            self.query_refused(f"{path}?limit={limit}", "limit")

    def selectors(self):
        kind = BY_NAME["Application"]
        path = kind.collection("select")
        for name, labels in [("de", {"location": "DE", "tier": "a"}), ("sk", {"location": "SK", "tier": "a"}), ("none", {})]:
            self.create(kind, name, "select", labels=labels)
        self.client.call("PATCH", kind.path("de", "select") + "/status", {"status": {"state": "RUNNING"}})
        uid = self.client.get(kind.path("sk", "select")).json()["metadata"]["uid"]
        for query, names in [
                ("labels=location%20is%20DE", ["de"]), ("labels=location=DE", ["de"]), ("labels=location+in+(DE,+SK)", ["de", "sk"]),
                ("labels=location!=DE", ["sk"]),
                ("labels=tier=a&labels=location=SK", ["sk"]), ("labels=nobody!=x", []), ("fields=metadata.name=sk", ["sk"]),
                ("fields=metadata.namespace=demo", []),
                ("fields=status.state=RUNNING", ["de"]), (f"fields=metadata.uid={uid}", ["sk"]),
                ("labels=tier=a&fields=status.state=PENDING", ["sk"]), ("", ["de", "none", "sk"])]:
            for target in ([path, kind.all()] if query and "nobody" not in query and "namespace" not in query else [path]):
                items = self.client.get(f"{target}?{query}").json()["items"]
                came = [item["metadata"]["name"] for item in items if item["metadata"]["namespace"] == "select"]
                self.rows.equal(f"GET {target}?{query}", names, came)
        for query in ("labels=location", "labels=", "labels=a+in+()", "labels=-a%3Db"):
            self.query_refused(f"{path}?{query}", "labels")
        for query in ("fields=spec.backoff=1", "fields=metadata.name", "fields="):
            self.query_refused(f"{path}?{query}", "fields")
        with Watch(self.server.port, f"{path}?watch&heartbeat=0&labels=location=SK&initial=true") as watch:
            self.rows.equal(f"GET {path}?watch&labels=: initial", "sk", watch.event()["object"]["metadata"]["name"])
            self.client.call("PATCH", kind.path("de", "select") + "/status", {"status": {"state": "FAILED"}})
            self.client.call("PATCH", kind.path("sk", "select") + "/status", {"status": {"state": "FAILED"}})
            self.rows.equal(f"GET {path}?watch&labels=: live", "sk", watch.event()["object"]["metadata"]["name"])
            # To this watcher an object that leaves the selection is deleted, and one that enters it is added.
            for name, location, kind_of in [("sk", "PL", "DELETED"), ("de", "SK", "ADDED"), ("de", "SK2", "DELETED"), ("sk", "SK", "ADDED")]:
                self.client.call("PATCH", kind.path(name, "select"), {"metadata": {"labels": {"location": location}}})
                event = watch.event()
                came = (event["type"], event["object"]["metadata"]["name"])
                self.rows.equal(f"GET {path}?watch&labels=: {name} moves to {location}", (kind_of, name), came)
            self.client.call("DELETE", kind.path("de", "select") + "?force=True")
            self.client.call("DELETE", kind.path("sk", "select") + "?force=True")
            event = watch.event()
            self.rows.equal(f"GET {path}?watch&labels=: removed", ("DELETED", "sk"), (event["type"], event["object"]["metadata"]["name"]))

    # ---- routes without a kind, leases, the admin listener

    def misc(self):
        for path, status, document in [("/", 200, {"version": "1.0.1"}), ("/me", 200, {"user": "system:anonymous", "roles": []}),
                                       ("/release", 202, "You released the Krake.")]:
            reply = self.answer("", "GET", path, None, status, document)
            self.answer("a query changes nothing", "GET", path + "?x=1", None, status, document)
            head = self.client.call("HEAD", path)
            self.rows.row(f"HEAD {path}", reply.headers, head, (head.status, head.headers, head.body) == (status, reply.headers, b""))
            self.cover("GET", path, "O")
        for name, users, roles in [("me1", ["system:anonymous", "x"], ["b", "a", "b"]), ("me2", ["system:anonymous"], ["c", "a"]),
                                   ("me3", ["other"], ["z"])]:
            self.client.call("POST", "/core/rolebindings", {"metadata": {"name": name}, "users": users, "roles": roles})
        self.answer("roles of all bindings, sorted, each once, whether or not they exist", "GET", "/me", None, 200,
                    {"user": "system:anonymous", "roles": ["a", "b", "c"]})
        for path in ("/nowhere", "/core", "/core/", "/core/roles/", "/core//roles", "/core/role", "/Core/roles", "/core/applications",
                     "/kubernetes/roles", "/me/", "/release/x",
                     "/core/namespaces/demo/roles", "/core/namespaces/demo/roles/x", "/core/namespaces/demo", "/core/namespaces",
                     "/core/namespaces//metrics",
                     "/core/metrics/x", "/kubernetes/applications/web", "/kubernetes/namespaces/demo/applications/web/nothing",
                     "/kubernetes/namespaces/demo/clusters/c/retry",
                     "/kubernetes/namespaces/demo/clusters/c/complete", "/core/roles/r/status", "/core/namespaces/demo/metrics/m/status",
                     "/core/globalmetrics/m/binding",
                     "/kubernetes/namespaces/demo/applications/web/status/x", "/healthz", "/metrics", "/debug", "/infrastructure", "/unknown/things",
                     "/infrastructure/clouds/x", "/infrastructure/namespaces/demo/globalclouds", "/infrastructure/namespaces/demo/clouds/c/binding",
                     "/infrastructure/globalinfrastructureproviders/p/status", "/openstack/namespaces/demo/projects/p/binding",
                     "/openstack/magnumclusters/m", "/openstack/clouds",
                     "/.", "/*"):
            for method in ("GET", "PUT", "POST", "DELETE"):
                self.refused("unknown path", method, path, None if method == "GET" else {}, 404, "404: Not Found")

    def methods(self):
        """Other methods of known paths: 405, and Allow names what there is."""
        paths = {}
        for method, template, _ in ROUTES:
            paths.setdefault(template, set()).add(method)
        for template, known in sorted(paths.items()):
            allowed = known | {"OPTIONS"} | ({"HEAD"} if "GET" in known else set())
            path = template.replace("{namespace}", "demo").replace("{name}", "some")
            for method in METHODS:
                if method in allowed:
                    continue
                before = self.snapshot(path)
                route, reply = self.ask("other method", method, path, None if method in ("GET", "HEAD") else {})
                document = "" if method == "HEAD" else problem(405, "405: Method Not Allowed")
                allow = {part.strip() for part in (reply.header("Allow") or "").split(",")}
                self.rows.equal(route, {"status": 405, "type": PROBLEM, "allow": sorted(allowed), "body": document},
                                {"status": reply.status, "type": reply.type, "allow": sorted(allow), "body": reply.json() if reply.body else ""})
                self.rows.row(f"{route}: nothing is written", before, after := self.snapshot(path), before == after)

    def leases(self):
        path, template = "/core/leases/", "/core/leases/{name}"

        def document(name, holder, ttl):
            return {"api": "core", "kind": "Lease", "metadata": {"resource_version": REVISION, "epoch": TEXT, **metadata(name, None)},
                    "spec": {"holder": holder, "ttl_seconds": ttl}}

        self.refused("missing", "GET", path + "nobody", None, 404, "'Lease' 'nobody' does not exist in namespace None", "NOT_FOUND_ERROR")
        self.cover("GET", template, "M")
        self.refused("missing", "DELETE", path + "nobody?holder=x", None, 404, "'Lease' 'nobody' does not exist in namespace None", "NOT_FOUND_ERROR")
        self.cover("DELETE", template, "M")
        self.bad_bodies("PUT", path + "l")
        for body, structure in [({}, {"holder": REQUIRED}), ({"holder": None}, {"holder": NULL}),
                                ({"holder": 1}, {"holder": ["Not a valid string."]}), ({"holder": ""}, {"holder": [TEXT]}),
                                ({"holder": "x" * 256}, {"holder": [TEXT]}), ({"holder": "a", "ttl_seconds": 1}, {"ttl_seconds": [TEXT]}),
                                ({"holder": "a", "ttl_seconds": 0}, {"ttl_seconds": [TEXT]}),
                                ({"holder": "a", "ttl_seconds": 3601}, {"ttl_seconds": [TEXT]}),
                                ({"holder": "a", "ttl_seconds": 10 ** 30}, {"ttl_seconds": [TEXT]}),
                                ({"holder": "a", "ttl_seconds": 2.5}, {"ttl_seconds": ["Not a valid integer."]}),
                                ({"holder": "a", "ttl_seconds": "soon"}, {"ttl_seconds": ["Not a valid integer."]}),
                                ({"holder": "a", "ttl_seconds": "6"}, {"ttl_seconds": ["Not a valid integer."]}),
                                ({"holder": "a", "ttl_seconds": True}, {"ttl_seconds": ["Not a valid integer."]}),
                                ({"holder": "", "ttl_seconds": 0}, {"holder": [TEXT], "ttl_seconds": [TEXT]})]:
            self.invalid("", "PUT", path + "l", body, structure)
        self.invalid("an invalid name", "PUT", path + "a%2Fb", {"holder": "a"}, {"metadata": {"name": ["Invalid character in resource name."]}})
        self.cover("PUT", template, "I")

        with Watch(self.server.port, "/core/leases?watch&heartbeat=0") as watch:
            reply = self.answer("acquire", "PUT", path + "l", {"holder": "a", "ttl_seconds": 3600}, 200, document("l", "a", 3600))
            lease = self.stored("PUT /core/leases/l", path + "l", reply)
            epoch = reply.header("Krake-Epoch")
            self.rows.equal("GET /core/leases?watch: ADDED", {"type": "ADDED", "object": lease, "revision": REVISION}, watch.event())
            before = self.snapshot()
            again = self.answer("renew", "PUT", path + "l", {"holder": "a"}, 200, lease)
            self.rows.equal("PUT /core/leases/l: the epoch stays", epoch, again.header("Krake-Epoch"))
            self.rows.equal("PUT /core/leases/l: the epoch is in the lease", epoch, lease["metadata"]["epoch"])
            self.rows.equal("GET /core/leases/l: Krake-Epoch", epoch, self.client.get(path + "l").header("Krake-Epoch"))
            held = self.answer("held by another", "PUT", path + "l", {"holder": "b"}, 409,
                               Like("a document that names the present holder", lambda text: "'a'" in str(text)), PROBLEM)
            self.rows.row("PUT /core/leases/l: held by another: names the present holder", "a", held, b'"a"' in held.body or b"'a'" in held.body)
            for query in ("?holder=b", "", "?holder="):
                self.refused("release by another", "DELETE", path + "l" + query, None, 409, contains("'a'"))
            self.rows.row("PUT, DELETE /core/leases/l: neither renewal nor refusal writes", before, after := self.snapshot(), before == after)
            self.cover("PUT", template, "O"), self.cover("PUT", template, "C"), self.cover("DELETE", template, "C"), self.cover("GET", template, "O")
            self.answer("", "GET", "/core/leases", None, 200, {"api": "core", "kind": "LeaseList", "metadata": {"resource_version": REVISION, "store": TEXT},
                                                               "items": [lease]})
            self.cover("GET", "/core/leases", "O")
            self.query_refused("/core/leases?heartbeat=x", "heartbeat")
            self.cover("GET", "/core/leases", "I")

            # A write that carries an epoch goes through only under it.
            fenced = f"l/{epoch}"
            name, read = self.create(BY_NAME["Application"])
            app = BY_NAME["Application"].path(name)
            writes = [("PATCH", app, {"metadata": {"labels": {"x": "y"}}}), ("PUT", app + "/binding", BINDING),
                      ("POST", BY_NAME["Role"].all(), {"metadata": {"name": "fenced"}, "rules": []}),
                      ("DELETE", app, None)]
            for header in ("l/1", "l/", "", "nobody/" + epoch, f"l/{epoch}0", f"l/other-{epoch.rsplit('-', 1)[-1]}"):
                for method, target, body in writes:
                    self.refused(f"Krake-Leader {header!r}", method, target, body, 412, contains("leadership lost"), headers={"Krake-Leader": header})
            for method, target, body in writes[:3]:
                self.rows.equal(f"{method} {target}: under the present epoch", 200,
                                self.client.call(method, target, body, {"Krake-Leader": fenced}).status)
            self.answer("release", "DELETE", path + "l?holder=a", None, 200, lease)
            self.cover("DELETE", template, "O")
            self.rows.equal("GET /core/leases?watch: DELETED", {"type": "DELETED", "object": lease, "revision": REVISION}, watch.event())
            self.refused("after the release", "PATCH", app, {"metadata": {"labels": {"x": "z"}}}, 412, contains("leadership lost"),
                         headers={"Krake-Leader": fenced})
            next_one = self.answer("the next holder", "PUT", path + "l", {"holder": "b", "ttl_seconds": 2}, 200, document("l", "b", 2))
            self.rows.row("PUT /core/leases/l: another epoch", f"not {epoch}", next_one.header("Krake-Epoch"),
                          next_one.header("Krake-Epoch") not in (epoch, None))
            self.rows.equal("GET /core/leases?watch: ADDED again", "ADDED", watch.event()["type"])
            expired = watch.event()  # nobody renews it
            self.rows.equal("GET /core/leases?watch: runs out", ("DELETED", "b"), (expired["type"], expired["object"]["spec"]["holder"]))
            self.refused("ran out", "GET", path + "l", None, 404, "'Lease' 'l' does not exist in namespace None", "NOT_FOUND_ERROR")

    def admin(self):
        client = Client(self.server.admin_port)
        for path in ("/healthz", "/readyz"):
            reply = client.get(path)
            self.rows.row(f"admin GET {path}", "200 text", reply, reply.status == 200 and reply.type.startswith("text/plain") and reply.body)
            head = client.call("HEAD", path)
            self.rows.row(f"admin HEAD {path}", reply.headers, head, (head.status, head.headers, head.body) == (200, reply.headers, b""))
        for path in ("/debug/cache", "/debug/queues"):
            reply = client.get(path)
            self.rows.row(f"admin GET {path}", "200 JSON", reply,
                          reply.status == 200 and reply.type.startswith("application/json") and not isinstance(reply.json(), str))
        cache = client.get("/debug/cache").json()
        self.rows.equal("admin GET /debug/cache: revision", self.revision(), cache.get("revision"))
        reply = client.get("/metrics")
        lines = [line for line in reply.body.decode().splitlines() if line and not line.startswith("#")]
        sound = [re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*(\{.*\})? \S+( \d+)?", line) for line in lines]
        self.rows.row("admin GET /metrics", "200 text/plain, at least one sample in Prometheus' text format", reply,
                      reply.status == 200 and reply.type.startswith("text/plain") and lines and all(sound))
        reply = client.get("/nowhere")
        self.rows.row("admin GET /nowhere", "404", reply, reply.status == 404)
        reply = client.get("/core/roles")
        self.rows.row("admin GET /core/roles: the API is not there", "404", reply, reply.status == 404)

    def paths(self):
        """Path parameters are decoded after routing; colons are ordinary."""
        kind = BY_NAME["Metric"]
        for namespace, name in (("system:admin", "a:b"), ("A", "_"), ("x.y", "x.y-z"), ("n", "n" * 255)):
            reply = self.client.call("POST", kind.collection(namespace.replace(":", "%3A")), kind.request(name))
            self.rows.equal(f"POST {kind.collection(namespace.replace(':', '%3A'))}", kind.document(name, namespace), reply.json())
            for target in (kind.path(name, namespace), kind.path(name.replace(":", "%3a"), namespace.replace(":", "%3A")),
                           kind.path("".join(f"%{ord(c):02x}" for c in name), namespace)):
                self.rows.row(f"GET {target}", reply, came := self.client.get(target), came.body == reply.body)
        text = self.client.call("POST", kind.collection(), kind.request("text"), {"Content-Type": "text/plain"})
        self.rows.equal("POST as text/plain: the content type is ignored", 200, text.status)
        twice = self.client.call("POST", "/core/roles", b'{"metadata": {"name": "no"}, "metadata": {"name": "twice"}, "rules": [], "rules": []}')
        self.rows.equal("POST with a key twice: the last wins", BY_NAME["Role"].document("twice"), twice.json())

    def free_form(self):
        """Free-form JSON comes back as it was given: numbers of any size, kinds of numbers, order of keys, all of Unicode."""
        kind = BY_NAME["Application"]
        data = ('{"z":1,"a":1.0,"big":123456789012345678901234567890,"small":-0.5,"e":1e+30,"deep":[[[[]]]],"null":null,"t":true,"":"",'
                '"u":"\\u0000\\ud83d\\udc19\\"\\\\\\n"}')
        body = ('{"metadata":{"name":"free"},"spec":{"manifest":[{"metadata":{"name":"m"},"kind":"X","apiVersion":"v1","data":' + data
                + '}],"constraints":{"cluster":{}}}}')
        reply = self.client.call("POST", kind.collection(), body)
        read = self.client.get(kind.path("free"))
        for label, came in (("answer", reply), ("read back", read)):
            document = came.json()
            item = document["spec"]["manifest"][0] if came.status == 200 else document
            self.rows.equal(f"POST free-form data: {label}", {"metadata": {"name": "m"}, "kind": "X", "apiVersion": "v1", "data": parse(data)}, item)
        again = self.client.call("PUT", kind.path("free"), read.body)
        self.rows.equal("PUT free-form data unchanged", (400, "The body contained no update."), (again.status, again.json().get("detail")))

    def many(self):
        """A list long enough to leave in pieces, and a watch that resumes over all of it."""
        kind = BY_NAME["RoleBinding"]
        start = self.revision()
        for i in range(300):
            self.create(kind, f"many{i:03}")
        reply = self.client.get(kind.all())
        names = [item["metadata"]["name"] for item in reply.json()["items"] if item["metadata"]["name"].startswith("many")]
        self.rows.equal(f"GET {kind.all()}: 300 objects", [f"many{i:03}" for i in range(300)], names)
        head = self.client.call("HEAD", kind.all())
        self.rows.row(f"HEAD {kind.all()}: 300 objects", 200, head, (head.status, head.type, head.body) == (200, JSON, b""))
        with Watch(self.server.port, f"{kind.all()}?watch&heartbeat=0&since={start}") as watch:
            came = [watch.event()["object"]["metadata"]["name"] for _ in range(300)]
            self.rows.equal(f"GET {kind.all()}?watch&since={start}: 300 events", [f"many{i:03}" for i in range(300)], came)

    def coverage(self):
        for method, template, letters in ROUTES:
            missing = [letter for letter in letters if (method, template, letter) not in self.covered]
            self.rows.row(f"{method} {template}", "rows of each kind", f"none for {missing}", not missing)


def run(binaries):
    with Processes(binaries) as processes:
        suite = Suite(Server(processes, admin=True))
        suite.misc()
        for kind in KINDS:
            for part in (suite.post, suite.read, suite.update, suite.delete, suite.patch, suite.list, suite.preconditions, suite.watch):
                part(kind)
            if kind.status:
                suite.status(kind)
            for sub in kind.subresources:
                suite.subresource_common(kind, sub)
            if kind.force:
                suite.blocking(kind)
        for part in (suite.bindings, suite.magnum, suite.unions, suite.hooks, suite.heartbeats, suite.selectors, suite.paths, suite.free_form,
                     suite.leases, suite.admin, suite.methods, suite.many):
            part()
        for kind in (BY_NAME["Metric"], BY_NAME["Cluster"]):
            suite.pages(kind)
        suite.coverage()
        return suite.rows.finish()


if __name__ == "__main__":
    sys.exit(run(sys.argv[1]))
