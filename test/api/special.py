"""Rows of routes.py that only some kinds have: immutable fields of magnum clusters, fields of several types."""
import copy

from checks import Checks, changed, wanted
from kinds import APPLICATION_CREDENTIAL, BY_NAME, PROJECT_BINDING, PROJECT_PASSWORD, PROJECT_PASSWORD_STORED, ref


class Special(Checks):
    def magnum(self):
        """The immutable fields of magnum clusters, and the binding that may set one."""
        kind = BY_NAME["MagnumCluster"]
        immutable = "Trying to update an immutable field: "
        name, read = self.create(kind, rich=True, owners=[ref(name="before")])
        path, template = kind.path(name), kind.template("/{name}/binding")
        for count in (4, None, "4"):
            body = copy.deepcopy(read)
            body["spec"].update(master_count=count, node_count=1)
            self.refused(f"another master_count: {count!r}", "PUT", path, body, 400, immutable + "master_count", "UPDATE_ERROR")
        body = changed(read, {"metadata": {"namespace": "other"}, "spec": {"master_count": 1}})
        self.refused("the first of two", "PUT", path, body, 400, immutable + "namespace", "UPDATE_ERROR")
        body = copy.deepcopy(read)
        body["spec"].update(master_count="3", node_count="7")
        expected = wanted(read)
        expected["spec"] = {**read["spec"], "node_count": 7}
        read = self.stored(f"PUT {path}", path, self.answer("master_count as a text is the same", "PUT", path, body, 200, expected))

        self.refused("a status with a template", "PUT", path + "/status", {**read, "status": {**read["status"], "template": "t"}}, 400,
                     immutable + "template", "UPDATE_ERROR")
        target = PROJECT_BINDING["project"]
        target = {key: target[key] for key in ("api", "namespace", "kind", "name")}
        expected = wanted({**read, "status": {**read["status"], "project": target, "template": "tmpl"}}, modified=read["metadata"]["modified"],
                          owners=[ref(name="before"), target])
        reply = self.answer("", "PUT", path + "/binding", PROJECT_BINDING, 200, expected)
        document = self.stored(f"PUT {path}/binding", path, reply)
        for label, status in (("another template", {**document["status"], "template": "u"}), ("no template", {}),
                              ("template null", {**document["status"], "template": None})):
            self.refused(label, "PUT", path + "/status", {**document, "status": status}, 400, immutable + "template", "UPDATE_ERROR")
        self.refused("another template", "PATCH", path + "/status", {"status": {"template": "u"}}, 400, immutable + "template", "UPDATE_ERROR")
        self.answer("the same template", "PUT", path + "/status", {**document, "status": {**document["status"], "state": "RUNNING"}}, 200,
                    wanted({**document, "status": {**document["status"], "state": "RUNNING"}}, modified=document["metadata"]["modified"]))
        other = {"api": "openstack", "namespace": None, "kind": "Project", "name": "q"}
        self.answer("to another project: owners before stay", "PUT", path + "/binding", {"project": other, "template": "u", "kind": "MagnumClusterBinding"},
                    200, wanted({**document, "status": {**document["status"], "state": "RUNNING", "project": other, "template": "u"}},
                                modified=document["metadata"]["modified"], owners=[ref(name="before"), target, other]))
        self.client.call("DELETE", path)
        self.rows.equal(f"PUT {path}/binding: in deletion", 200, self.client.call("PUT", path + "/binding", PROJECT_BINDING).status)
        self.cover("PUT", template, "O")

    def unions(self):
        """A polymorphic field is replaced as a whole, and its type may change."""
        kind = BY_NAME["Project"]
        name, read = self.create(kind)
        path = kind.path(name)
        body = {**read, "spec": {**read["spec"], "auth": {**APPLICATION_CREDENTIAL, "password": "of another type: dropped"}}}
        expected = wanted({**read, "spec": {**read["spec"], "auth": APPLICATION_CREDENTIAL}})
        read = self.stored(f"PUT {path}", path, self.answer("another type of authentication", "PUT", path, body, 200, expected))
        body = {**read, "spec": {**read["spec"], "auth": PROJECT_PASSWORD}}
        expected = wanted({**read, "spec": {**read["spec"], "auth": PROJECT_PASSWORD_STORED}})
        read = self.stored(f"PUT {path}", path, self.answer("and back", "PUT", path, body, 200, expected))
        body = {**read, "spec": {**read["spec"], "auth": {**PROJECT_PASSWORD, "x": 1}}}
        self.refused("the same with defaults left out", "PUT", path, body, 400, "The body contained no update.", "UPDATE_ERROR")
        for name in ("Cloud", "GlobalCloud"):
            kind = BY_NAME[name]
            name, read = self.create(kind, rich=True)
            body = {**read, **kind.body}
            expected = wanted({**read, **kind.stored})
            self.answer("what is left out is not merged", "PUT", kind.path(name), body, 200, expected)
