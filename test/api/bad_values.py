"""Bad values as data: for each field its type, for each type what is refused with which words and what is taken as what (api-contract 2.2, 2.4, 2.5).
Values are JSON texts, so that numbers and strings stay as they are written here."""
import json

from kinds import BOOLEAN, DATETIME, INPUT, INTEGER, KUBECONFIG, LIST, MANIFEST, MAPPING, NO_ENUM, NULL, NUMBER, STRING, TOSCA
from support import Like, starts

SPECIAL = ["Special numeric values (nan or infinity) are not permitted."]
LABEL_CONSTRAINT, METRIC_CONSTRAINT = ["Invalid label constraint"], ["Invalid metric constraint"]


class MapKey(str):
    """A key of a map from string to T: its errors are reported under `value`."""


class VariantKey(str):
    """The key of the variant of a tagged union: its errors are reported without it."""


REFUSED = {
    "str": [(text, STRING) for text in ("1", "1.5", "true", "[]", "{}", '["x"]')],
    "tag": [(text, STRING) for text in ("1", "true", "[]", "{}")] + [('"x"', ["Unknown type 'x'"]), ('""', ["Unknown type ''"])],
    "int": [(text, INTEGER) for text in ("true", "false", '"5.0"', '"1e3"', '""', '" "', '"0x1"', '"1__0"', '"_1"', '"1_"', '"+-1"', '"1 2"',
                                         '"\u0661x"', "[]", "{}", "[1]")]
           + [("1e400", ["Number too large."]), ("-1e400", ["Number too large."])],
    "float": [(text, NUMBER) for text in ("true", '"x"', '""', '"1,5"', '"0x1p3"', "[]", "{}")]
             + [(text, SPECIAL) for text in ("1e400", "-1e400", '"1e400"', '"nan"', '"NaN"', '"inf"', '"-Infinity"')],
    "bool": [(text, BOOLEAN) for text in ("2", "-1", "0.5", '"maybe"', '""', '"tRUE"', '"yES"', '"oN"', '" true"', "[]", "{}")],
    "time": [(text, DATETIME) for text in (
        '""', '"2026-03-01"', "1772000000", '"1772000000"', '"2026-03-01T09:30:00z"', '"2026-13-01T09:30:00"', '"2026-02-30T09:30:00"',
        '"2026-03-01T25:00:00"',
        '"2026-03-01T09:60:00"', '"2026-03-01T09:30:60"', '"2026-03-01t09:30:00"', '"2026-03-01  09:30:00"', '"2026-03-01T09:30:00+1"',
        '"26-03-01T09:30:00"',
        '"2026-03-01T09"', '"2026-03-01T09:30:00 UTC"', '"0000-01-01T00:00:00"', '"2026-03-01T09:30:00\\u0000"', "true", "[]", "{}")],
    "enum": [('"NONSENSE"', ["Invalid enum member NONSENSE"]), ('""', ["Invalid enum member "]), ('"pending"', ["Invalid enum member pending"]),
             ('"__doc__"', ["Invalid enum member __doc__"]), ("1", NO_ENUM), ("true", NO_ENUM), ("[]", NO_ENUM), ("{}", NO_ENUM)],
    "object": [(text, MAPPING) for text in ("[]", '"x"', "1", "true", '""')],
    "map": [(text, MAPPING) for text in ("[]", '"x"', "1", "true")],
    "list": [(text, LIST) for text in ("{}", '"x"', "1", "true", '""')],
    "nested": [(text, INPUT) for text in ("[]", '"x"', "1", "true")],
    "object or string": [(text, MAPPING + STRING) for text in ("[]", "1", "true", "[{}]")],
    "label constraint": [(text, LABEL_CONSTRAINT) for text in ("1", "true", "[]", "{}", '""')],
    "metric constraint": [(text, METRIC_CONSTRAINT) for text in ("1", "true", "[]", "{}", '""')],
}

REF = [("api", "str", False), ("namespace", "str", True), ("kind", "str", False), ("name", "str", False)]


def under(prefix, fields):
    return [((*prefix, *(name if isinstance(name, tuple) else (name,))), kind, nullable) for name, kind, nullable in fields]


def reference(prefix, nullable):
    return [(prefix, "nested", nullable)] + under(prefix, REF)


METADATA = under(("metadata",), [("name", "str", False), ("namespace", "str", True), ("labels", "map", False), ("inherit_labels", "bool", False),
                                 ("finalizers", "list", False),
                                 (("finalizers", 0), "str", False), ("owners", "list", False)]) + reference(("metadata", "owners", 0), False)
READONLY = under(("metadata",), [("uid", "str", False), ("created", "time", False), ("modified", "time", False), ("deleted", "time", True)])
METRIC = under(("spec",), [("allowed_values", "list", False), (("allowed_values", 0), "int", False), ("min", "float", False), ("max", "float", False),
                           ("provider", "nested", False),
                           (("provider", "name"), "str", False), (("provider", "metric"), "str", False)]) + [(("spec",), "nested", False)]

INFLUX, IM, OPENSTACK = ("spec", VariantKey("influx")), ("spec", VariantKey("im")), ("spec", VariantKey("openstack"))
CREDENTIAL, PASSWORD = ("spec", "auth", VariantKey("application_credential")), (*OPENSTACK, "auth", VariantKey("password"))
TAGGED = [(("spec",), "nested", False), (("spec", "type"), "tag", False)]
PROVIDER = TAGGED + under(INFLUX, [(name, "str", False) for name in ("url", "token", "org", "bucket")])
METRIC_REFS = [("metrics", "list", False), (("metrics", 0), "nested", False), (("metrics", 0, "name"), "str", False),
               (("metrics", 0, "weight"), "float", False), (("metrics", 0, "namespaced"), "bool", False)]
IM_FIELDS = TAGGED + under(IM, [("url", "str", False), ("username", "str", True), ("password", "str", True), ("token", "str", True)])
CLOUD = TAGGED + under(OPENSTACK, [("url", "str", False), ("auth", "nested", False), (("auth", "type"), "tag", False), *METRIC_REFS,
                                   ("infrastructure_provider", "nested", False), (("infrastructure_provider", "name"), "str", False),
                                   (("infrastructure_provider", "namespaced"), "bool", False)]) + under(PASSWORD, [
    ("version", "str", False), ("user", "nested", False), (("user", "username"), "str", False), (("user", "password"), "str", False),
    (("user", "domain_name"), "str", False), (("user", "comment"), "str", True), ("project", "nested", False), (("project", "name"), "str", False),
    (("project", "domain_id"), "str", False), (("project", "comment"), "str", True)])

# Of the rich bodies in kinds.py: (path, type, may be null).
FIELDS = {
    "GlobalMetricsProvider": PROVIDER,
    "MetricsProvider": PROVIDER,
    "GlobalInfrastructureProvider": IM_FIELDS,
    "InfrastructureProvider": IM_FIELDS,
    "GlobalCloud": CLOUD,
    "Cloud": CLOUD,
    "Project": [(("spec",), "nested", False)] + under(("spec",), [
        ("url", "str", False), ("auth", "nested", False), (("auth", "type"), "tag", False), ("template", "str", False), *METRIC_REFS])
        + under(CREDENTIAL, [("id", "str", False), ("secret", "str", False)]),
    "MagnumCluster": [(("spec",), "nested", False)] + under(("spec",), [
        ("master_count", "int", True), ("node_count", "int", True), *METRIC_REFS, ("constraints", "nested", True),
        (("constraints", "project"), "nested", True), (("constraints", "project", "labels"), "list", True),
        (("constraints", "project", "labels", 0), "label constraint", False)]),
    "Role": [(("rules",), "list", False), (("rules", 0), "nested", False)] + under(("rules", 0), [
        ("api", "str", False), ("resources", "list", False), (("resources", 0), "str", False), ("namespaces", "list", False),
        (("namespaces", 0), "str", False),
        ("verbs", "list", False), (("verbs", 0), "enum", False)]),
    "RoleBinding": [(("users",), "list", False), (("users", 0), "str", False), (("roles",), "list", False), (("roles", 0), "str", False)],
    "GlobalMetric": METRIC,
    "Metric": METRIC,
    "Application": [(("spec",), "nested", False)] + under(("spec",), [
        ("manifest", "list", False), (("manifest", 0), "object", False), ("tosca", "object or string", False), ("csar", "str", True),
        ("observer_schema", "list", False),
        (("observer_schema", 0), "object", False), ("constraints", "nested", False), (("constraints", "cluster"), "nested", False),
        (("constraints", "cluster", "labels"), "list", True),
        (("constraints", "cluster", "labels", 0), "label constraint", False), (("constraints", "cluster", "custom_resources"), "list", False),
        (("constraints", "cluster", "custom_resources", 0), "str", False), (("constraints", "cluster", "metrics"), "list", True),
        (("constraints", "cluster", "metrics", 0), "metric constraint", False), (("constraints", "migration"), "bool", False),
        ("hooks", "list", False), (("hooks", 0), "str", False),
        ("shutdown_grace_time", "int", True), ("shutdown_failure_strategy", "str", True), ("shutdown_retry_count", "int", True),
        ("backoff", "int", False), ("backoff_delay", "int", False),
        ("backoff_limit", "int", False), ("storage_migration", "str", False), ("auto_cluster_create", "bool", False)]),
    "Cluster": [(("spec",), "nested", False)] + under(("spec",), [
        ("kubeconfig", "object", False), ("tosca", "object", False), ("custom_resources", "list", False), (("custom_resources", 0), "str", False),
        ("constraints", "nested", False),
        (("constraints", "cloud"), "nested", False), (("constraints", "cloud", "labels"), "list", True),
        (("constraints", "cloud", "labels", 0), "label constraint", False),
        (("constraints", "cloud", "metrics"), "list", True), (("constraints", "cloud", "metrics", 0), "metric constraint", False),
        ("metrics", "list", False),
        (("metrics", 0), "nested", False), (("metrics", 0, "name"), "str", False), (("metrics", 0, "weight"), "float", False),
        (("metrics", 0, "namespaced"), "bool", False),
        ("inherit_metrics", "bool", False), ("backoff", "int", False), ("backoff_delay", "int", False), ("backoff_limit", "int", False),
        ("auto_generated", "bool", False)]),
}
REASON = [("code", "enum", False), ("message", "str", False)]
METRICS_STATUS = [(("status",), "nested", False)] + under(("status",), [
    ("state", "enum", False), ("metrics_reasons", "map", False), (("metrics_reasons", MapKey("heat")), "nested", False),
    (("metrics_reasons", MapKey("heat"), "code"), "enum", False), (("metrics_reasons", MapKey("heat"), "message"), "str", False)])
STATUS_FIELDS = {
    "GlobalCloud": METRICS_STATUS,
    "Cloud": METRICS_STATUS,
    "Project": METRICS_STATUS,
    "MagnumCluster": [(("status",), "nested", False)] + under(("status",), [
        ("reason", "nested", True), (("reason", "code"), "enum", False), (("reason", "message"), "str", False), ("state", "enum", False),
        ("template", "str", True), ("cluster_id", "str", True), ("node_count", "int", True), ("api_address", "str", True),
        ("master_addresses", "list", True), (("master_addresses", 0), "str", False), ("node_addresses", "list", True)])
        + reference(("status", "project"), True) + reference(("status", "cluster"), True),
    "Application": [(("status",), "nested", False)] + under(("status",), [
        ("reason", "nested", True), (("reason", "code"), "enum", False), (("reason", "message"), "str", False), ("state", "enum", False),
        ("container_health", "nested", False),
        (("container_health", "desired_pods"), "int", False), (("container_health", "failed_pods"), "int", False),
        ("kube_controller_triggered", "time", True), ("scheduled", "time", True),
        ("retries", "int", True), ("scheduled_retry", "time", True), ("services", "object", False), ("mangled_observer_schema", "list", False),
        (("mangled_observer_schema", 0), "object", False),
        ("last_observed_manifest", "list", False), (("last_observed_manifest", 0), "object", False), ("last_applied_manifest", "list", False),
        (("last_applied_manifest", 0), "object", False),
        ("complete_token", "str", True), ("complete_cert", "str", True), ("complete_key", "str", True), ("shutdown_token", "str", True),
        ("shutdown_cert", "str", True),
        ("shutdown_key", "str", True), ("shutdown_grace_period", "time", True), ("auto_cluster_create_started", "str", True),
        ("migration_retries", "int", False),
        ("migration_timeout", "int", False)]) + reference(("status", "scheduled_to"), True) + reference(("status", "running_on"), True),
    "Cluster": [(("status",), "nested", False)] + under(("status",), [
        ("reason", "nested", True), (("reason", "code"), "enum", False), ("kube_controller_triggered", "time", True), ("state", "enum", False),
        ("metrics_reasons", "map", False),
        (("metrics_reasons", MapKey("load")), "nested", False), (("metrics_reasons", MapKey("load"), "code"), "enum", False),
        ("last_applied_tosca", "object", False),
        ("nodes", "list", False), (("nodes", 0), "nested", False), (("nodes", 0, "api"), "str", False), (("nodes", 0, "metadata"), "nested", False),
        (("nodes", 0, "metadata", "name"), "str", False),
        (("nodes", 0, "status"), "nested", True), (("nodes", 0, "status", "conditions"), "list", False),
        (("nodes", 0, "status", "conditions", 0), "nested", False),
        (("nodes", 0, "status", "conditions", 0, "reason"), "str", False), ("cluster_id", "str", True), ("scheduled", "time", True),
        ("retries", "int", False)])
        + reference(("status", "scheduled_to"), True),
}


def replaced(document, path, value):
    """The document's JSON text with the value there; its text goes in as it is."""
    whole = json.loads(json.dumps(document))
    here = whole
    for step in path[:-1]:
        here = here[step]
    here[path[-1]] = "@HERE@"
    return json.dumps(whole).replace('"@HERE@"', value)


def error_at(path, messages):
    for step in reversed(path):
        if not isinstance(step, VariantKey):
            messages = {step: {"value": messages}} if isinstance(step, MapKey) else {step: messages}
    return messages


TRUE, FALSE = "1 t T true True TRUE y Y yes Yes YES on On ON".split(), "0 f F false False FALSE n N no No NO off Off OFF".split()
# What is taken, and what it is stored as: field of a kind, text, stored value.
TAKEN = [("int", text, value) for text, value in [
    ('"5"', 5), ('" 5 "', 5), ('"+5"', 5), ('"-5"', -5), ('"1_0"', 10), ('"007"', 7), ("1.9", 1), ("-1.9", -1), ("-0.5", 0), ("1e3", 1000),
    ("1E2", 100), ("-0", 0), ("0", 0), ("1e20", 10 ** 20),
    ("9223372036854775808", 2 ** 63), ("123456789012345678901234567890", 123456789012345678901234567890),
    ('"123456789012345678901234567890"', 123456789012345678901234567890)]]
TAKEN += [("float", text, value) for text, value in [
    ("1", 1.0), ("-0.5", -0.5), ('"1.5"', 1.5), ('"1e3"', 1000.0), ('" 2 "', 2.0), ('"1_0.5"', 10.5), ('".5"', 0.5), ('"5."', 5.0), ("0.1", 0.1),
    ("1e30", 1e30), ("1e-7", 1e-7),
    ("5e-324", 5e-324), ("1e-400", 0.0), ("123456789012345678901234567890", 1.2345678901234568e+29), ("9007199254740993", 9007199254740992.0)]]
TAKEN += [("bool", text, value) for texts, value in [(TRUE, True), (FALSE, False)] for text in [json.dumps(text) for text in texts]]
TAKEN += [("bool", text, value) for text, value in [("true", True), ("false", False), ("1", True), ("0", False), ("1.0", True), ("0.0", False)]]
TAKEN += [("time", json.dumps(text), value) for text, value in [
    ("2026-03-01T09:30:00Z", "2026-03-01T09:30:00+00:00"), ("2026-03-01T09:30:00", "2026-03-01T09:30:00"), ("2026-3-1 9:30", "2026-03-01T09:30:00"),
    ("2026-03-01T9:5:7", "2026-03-01T09:05:07"),
    ("2026-03-01T09:30:00.5", "2026-03-01T09:30:00.500000"), ("2026-03-01T09:30:00.000000", "2026-03-01T09:30:00"),
    ("2026-03-01T09:30:00.1234567+0200", "2026-03-01T09:30:00.123456+02:00"),
    ("2026-03-01T09:30:00+02", "2026-03-01T09:30:00+02:00"), ("2026-03-01T09:30:00-0330", "2026-03-01T09:30:00-03:30"),
    ("2024-02-29T23:59:59.999999Z", "2024-02-29T23:59:59.999999+00:00")]]

LABEL_TEXTS = [
    "location is DE", "location = DE", "location==DE", "location isDE", "location != DE", "location is not DE", "location isnot DE",
    "location is not", "location is notDE",
    "location in (DE, SK)", "location in(DE,SK,)", "location in (DE,,)", "location not in (DE)", "location notin (DE)", "location  ==  DE",
    "url.com/name-one is v-v", "  location is DE  "]
BAD_LABEL_TEXTS = [
    "location in ()", "location in (,DE)", "location in (DE SK)", "locationin(DE)", "location", "location is", "location === DE", "location IS DE",
    "a location = DE", "location == (DE, SK)",
    "", " ", "=", "location > 5", "location in (DE", "location in DE)", "location is DE extra", "location !DE", "(location) is DE",
    "location is DE, SK", "location\tis DE", "location is DE\t SK"]
METRIC_TEXTS = ["load > 5", "load >5", "load gt 5", "load gt5", "load greater than 5", "load >= 5", "load => 5", "load gte 5",
                "load greater than or equal 5", "load < 5", "load lt 5",
                "load lesser than 5", "load <= 5", "load =< 5", "load lte 5", "load lesser than or equal 5", "load is 5", "load != 5",
                "load is not 5", "load is abc"]
BAD_METRIC_TEXTS = ["load>5", "load> 5", "load is greater than 5", "load greater than or equal to 5", "load less than 5", "load", "load >",
                    "load in (5)", "", "> 5", "load > 5 6", "load\t> 5"]
# Parsed, but the key or the value is none of a label.
BAD_PARTS = [("-location is DE", "Label key '-location'"), ("url/second/key is x", "Label key 'url/second/key'"),
             ("location is DE.", "Label value 'DE.'"), ("location is a/b", "Label value 'a/b'"),
             ("location in (DE, -v)", "Label value '-v'"), ("location is d\u00e9", "Label value"), ("location is \tDE", "Label value"),
             ("x is " + "v" * 64, "Label value"), ("k" * 64 + " is v", "Label key")]
BAD_METRIC_PARTS = [("load > -", "Label value '-'"), ("load > 5.", "Label value '5.'"), ("load > -5", "Label value '-5'"),
                    ("-load > 5", "Label key '-load'")]

NAMES = ["a", "_", "Z", "0", "a.b", "a:b", "a-b", "a_b", "system:admin", "role:system:kubernetes-application", "x" * 255]
BAD_NAMES = ["", " ", "a b", "-a", "a-", ".a", "a.", ":a", "a:", ".", "..", "a/b", "/", "a\\b", "a%2Fb", "a\n", "a\u0000b", "\u0000", "\u00e9",
             "\u0430", "\U0001f419", "a?b", "a#b", "a;b",
             "a,b", "a@b", "x" * 256, "x" * 5000, "a\u200bb", "a\"b", "a'b", "<a>", "$(a)", "{a}", "\ufeffa"]

PRE = "Invalid kube-config file. "


def kubeconfig(**change):
    whole = {**KUBECONFIG, **change}
    return {key: value for key, value in whole.items() if value is not ...}


CONTEXT, USER, CLUSTER = KUBECONFIG["contexts"][0], KUBECONFIG["users"][0], KUBECONFIG["clusters"][0]
ANY_KUBECONFIG_ERROR = starts("Invalid kube-config file. ")
KUBECONFIGS = [
    (kubeconfig(**{"current-context": ...}), PRE + "Expected key current-context in kube-config"),
    (kubeconfig(**{"current-context": ""}), PRE + "Expected key current-context in kube-config"),
    (kubeconfig(**{"current-context": None}), PRE + "Expected key current-context in kube-config"),
    (kubeconfig(contexts=...), PRE + "Expected key contexts in kube-config"),
    (kubeconfig(contexts=[]), PRE + "Expected key contexts in kube-config"),
    (kubeconfig(contexts="ctx"), ANY_KUBECONFIG_ERROR),
    (kubeconfig(contexts={"ctx": {}}), ANY_KUBECONFIG_ERROR),
    (kubeconfig(contexts=[{"context": {}}]), PRE + "Expected all values in kube-config/contexts list to have 'name' key"),
    (kubeconfig(contexts=[1]), ANY_KUBECONFIG_ERROR),
    (kubeconfig(contexts=[{"name": "other", "context": CONTEXT["context"]}]), PRE + "Expected object with name ctx in kube-config/contexts list"),
    (kubeconfig(contexts=[CONTEXT, CONTEXT]), PRE + "Expected only one object with name ctx in kube-config/contexts list"),
    (kubeconfig(contexts=[{"name": "ctx"}]), PRE + "Expected key context in kube-config/contexts[name=ctx]"),
    (kubeconfig(contexts=[{"name": "ctx", "context": "c"}]), ANY_KUBECONFIG_ERROR),
    (kubeconfig(contexts=[{"name": "ctx", "context": [1]}]), ANY_KUBECONFIG_ERROR),
    (kubeconfig(users=[{"name": "u"}]), PRE + "Expected key user in kube-config/users[name=u]"),
    (kubeconfig(users=[{"name": "u", "user": {}}]), PRE + "Expected key user in kube-config/users[name=u]"),
    (kubeconfig(users=[{"user": {}}]), PRE + "Expected all values in kube-config/users list to have 'name' key"),
    (kubeconfig(users=...), ANY_KUBECONFIG_ERROR),
    (kubeconfig(users=None), ANY_KUBECONFIG_ERROR),
    (kubeconfig(users="u"), ANY_KUBECONFIG_ERROR),
    (kubeconfig(users=[]), "Only one user is allowed"),
    (kubeconfig(clusters=...), PRE + "Expected key clusters in kube-config"),
    (kubeconfig(clusters=[]), PRE + "Expected key clusters in kube-config"),
    (kubeconfig(clusters=5), ANY_KUBECONFIG_ERROR),
    (kubeconfig(clusters=[{"name": "other", "cluster": {"server": "x"}}]), PRE + "Expected object with name c in kube-config/clusters list"),
    (kubeconfig(clusters=[{"name": "c"}]), PRE + "Expected key cluster in kube-config/clusters[name=c]"),
    (kubeconfig(contexts=[{"name": "ctx", "context": {"user": "u", "x": 1}}]), ANY_KUBECONFIG_ERROR),
    (kubeconfig(contexts=[CONTEXT, {"name": "two", "context": CONTEXT["context"]}]), "Only one context is allowed"),
    (kubeconfig(users=[USER, {"name": "two", "user": {"token": "x"}}]), "Only one user is allowed"),
    (kubeconfig(clusters=[CLUSTER, {"name": "two", "cluster": {"server": "x"}}]), "Only one cluster is allowed"),
]
# Taken and kept as they are: what may run a program is for the provider to refuse, the server must neither judge nor run it.
GOOD_KUBECONFIGS = [kubeconfig(users=[{"name": "u", "user": {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "/bin/false",
                                                                      "args": ["x"]}}}]),
                    kubeconfig(users=[{"name": "u", "user": {"auth-provider": {"name": "oidc"}}}]),
                    kubeconfig(users=[{"name": "other", "user": {"token": "x"}}]), kubeconfig(extra={"a": [1]})]

NAMELESS, WITHOUT = "Field 'metadata.name' not found in resource at index {}", "Field '{}' not found in resource at index {}"
NAMED = WITHOUT + " (metadata.name: '{}')"
MANIFESTS = [
    ([{}], [NAMELESS.format(0), WITHOUT.format("apiVersion", 0), WITHOUT.format("kind", 0), WITHOUT.format("metadata", 0)]),
    ([MANIFEST[0], {"metadata": {"name": "n"}}], [NAMED.format("apiVersion", 1, "n"), NAMED.format("kind", 1, "n")]),
    ([{"apiVersion": "v1", "kind": "X", "metadata": {"name": ""}}], [NAMELESS.format(0)]),
    ([{"kind": "X", "metadata": {}}, {"apiVersion": "v1", "metadata": {"name": "n"}}],
     [NAMELESS.format(0), WITHOUT.format("apiVersion", 0), NAMED.format("kind", 1, "n")]),
    ([{"apiVersion": "v1", "kind": "X", "metadata": None}], Like("messages", lambda value: isinstance(value, list) and NAMELESS.format(0) in value)),
    ([{"apiVersion": "v1", "kind": "X", "metadata": "n"}], Like("messages", lambda value: isinstance(value, list) and NAMELESS.format(0) in value)),
    ([{"apiVersion": "v1", "kind": "X", "metadata": ["name"]}], Like("messages",
                                                                     lambda value: isinstance(value, list) and NAMELESS.format(0) in value)),
    ([1, "x", [], None, True], {0: MAPPING, 1: MAPPING, 2: MAPPING, 3: NULL, 4: MAPPING}),
    ({"apiVersion": "v1"}, LIST),
    ("apiVersion: v1", LIST),
    (None, NULL),
]

CONTROL = {"observer_schema_list_min_length": 0, "observer_schema_list_max_length": 1}
IDENTITY = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cfg"}}


def identity(**change):
    whole = {**IDENTITY, **change}
    return {key: value for key, value in whole.items() if value is not ...}


def with_list(*elements, **control):
    return identity(data=[*elements, {**CONTROL, **control}])


OBSERVER_SCHEMAS = [
    (identity(apiVersion=...), "apiVersion is not defined"), (identity(apiVersion=None), "apiVersion is not defined"),
    (identity(kind=...), "kind is not defined"),
    (identity(metadata=...), "metadata dictionary is not defined"), (identity(metadata=None), "metadata dictionary is not defined"),
    (identity(metadata="cfg"), "metadata must be a dictionary"),
    (identity(metadata=[]), "metadata must be a dictionary"), (identity(metadata={}), "name is not defined in the metadata dictionary"),
    (identity(metadata={"name": None}), "name is not defined in the metadata dictionary"), (identity(data=1), "Value of 'data' is not 'None'"),
    (identity(data={"a": {"b": "x"}}), "Value of 'b' is not 'None'"), (identity(metadata={"name": "cfg", "labels": {"a": ""}}),
                                                                       "Value of 'a' is not 'None'"),
    (identity(data=[]), "Special list control dictionary not found"), (identity(data=[None]), "Special list control dictionary not found"),
    (identity(data=[{}]), "Special list control dictionary malformed"), (identity(data=[{"observer_schema_list_min_length": 0}]),
                                                                         "Special list control dictionary malformed"),
    (with_list(observer_schema_list_min_length="0"), "observer_schema_list_min_length should be an integer"),
    (with_list(observer_schema_list_max_length=1.5), "observer_schema_list_max_length should be an integer"),
    (with_list(observer_schema_list_min_length=-1), "Invalid value for observer_schema_list_min_length"),
    (with_list(observer_schema_list_max_length=-1), "Invalid value for observer_schema_list_max_length"),
    (with_list(observer_schema_list_min_length=2), "observer_schema_list_max_length is inferior to observer_schema_list_min_length"),
    (with_list(None, None), "observer_schema_list_max_length is inferior to the number of observed elements"),
    (with_list("x"), "Element of a list is not 'None'"), (with_list({"a": 1}), "Value of 'a' is not 'None'"),
    (identity(metadata={"name": "another"}), "Observed resource must be in manifest"),
    (identity(kind="Secret"), "Observed resource must be in manifest"),
]

NO_TEMPLATE, NO_URL, NO_ARCHIVE = ["Invalid TOSCA template content."], ["Invalid TOSCA template URL."], ["Invalid CSAR archive URL."]
TOSCAS = [("template", NO_URL), ("http://x/y.YAML", NO_URL), ("x.yaml ", NO_URL), ({"a": 1}, NO_TEMPLATE),
          ({**TOSCA, "tosca_definitions_version": "9"}, NO_TEMPLATE),
          ({key: value for key, value in TOSCA.items() if key != "tosca_definitions_version"}, NO_TEMPLATE), ({**TOSCA, "colour": 1}, NO_TEMPLATE),
          ({**TOSCA, "topology_template": {"colour": 1}}, NO_TEMPLATE)]
GOOD_TOSCAS = ["", {}, "x.yaml", "https://templates.example/x.yml", TOSCA]
# Odd, and upstream answers 500: any 4xx or a plain success.
ODD_TOSCAS = [{**TOSCA, key: value} for key in ("topology_template", "data_types", "node_types",
                                                "imports") for value in (None, [], "x", 1, [None], {"x": None})]
# Never fetched: no connection is made to find out whether they exist.
IMPORTS = ["http://127.0.0.1:{port}/import.yaml", "file:///etc/passwd", "/etc/passwd", {"file": "http://127.0.0.1:{port}/x"}]
CSARS = ["", "x", "x.csar ", "x.ZIP", "http://x/y.csar?z"]
GOOD_CSARS = ["x.csar", "https://templates.example/x.zip"]
