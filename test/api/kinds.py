"""The kinds as data: what is sent, what is stored of it, what is refused and with which words (api-contract 2)."""
from support import REVISION, TIME, UID, Like, starts

REQUIRED = ["Missing data for required field."]
NULL = ["Field may not be null."]
MAPPING = ["Not a valid mapping type."]
LIST = ["Not a valid list."]
STRING = ["Not a valid string."]
INTEGER = ["Not a valid integer."]
NUMBER = ["Not a valid number."]
BOOLEAN = ["Not a valid boolean."]
DATETIME = ["Not a valid datetime."]
NO_ENUM = ["Enum name must be string"]
INPUT = {"_schema": ["Invalid input type."]}

MANIFEST = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cfg"}}]
KUBECONFIG = {"apiVersion": "v1", "kind": "Config", "current-context": "ctx",
              "clusters": [{"name": "c", "cluster": {"server": "https://203.0.113.5:6443"}}],
              "users": [{"name": "u", "user": {"token": "secret"}}], "contexts": [{"name": "ctx", "context": {"cluster": "c", "user": "u"}}]}
TOSCA = {"tosca_definitions_version": "tosca_simple_yaml_1_0",
         "data_types": {"tosca.nodes.indigo.KubernetesObject": {"derived_from": "tosca.nodes.Root",
                                                                "properties": {"spec": {"type": "string", "required": True}}}},
         "topology_template": {"node_templates": {"cfg": {"type": "tosca.nodes.indigo.KubernetesObject", "properties": {"spec": "{}"}}}}}
REASON = {"code": "NO_SUITABLE_RESOURCE", "message": "none"}


def ref(kind="Cluster", name="edge", namespace="demo", api="kubernetes"):
    return {"api": api, "namespace": namespace, "kind": kind, "name": name}


def metadata(name, namespace, **more):
    """Of a stored object, in the order of the contract."""
    return {"resource_version": REVISION, "name": name, "namespace": namespace, "labels": {}, "inherit_labels": False, "finalizers": [], "uid": UID,
            "created": TIME, "modified": TIME, "deleted": None, "owners": [], **more}


METRIC = {"spec": {"allowed_values": [], "min": 0.0, "max": 1.0, "provider": {"name": "p", "metric": "m"}}}
METRIC_RICH = {"spec": {"allowed_values": [1, 2, 123456789012345678901234567890], "min": -1.5, "max": 1e+30,
                        "provider": {"name": "p", "metric": "m"}}}
METRIC_INVALID = [
    ({"spec": {}}, {"spec": {"min": REQUIRED, "max": REQUIRED, "provider": REQUIRED}}),
    ({"spec": {"allowed_values": [1, "x", True], "min": "low", "max": None, "provider": {"name": 1}}},
     {"spec": {"allowed_values": {1: INTEGER, 2: INTEGER}, "min": NUMBER, "max": NULL, "provider": {"name": STRING, "metric": REQUIRED}}}),
    ({"spec": None}, {"spec": NULL}),
    ({"spec": []}, {"spec": INPUT}),
]
PROVIDER = {"spec": {"type": "prometheus", "prometheus": {"url": "http://metrics.example:9090"}}}
PROVIDER_RICH = {"spec": {"type": "influx", "influx": {"url": "u", "token": "t", "org": "o", "bucket": "b"}}}
PROVIDER_INVALID = [
    ({"spec": {}}, {"spec": {"type": REQUIRED}}),
    ({"spec": {"type": None}}, {"spec": {"type": NULL}}),
    ({"spec": {"type": 1}}, {"spec": {"type": STRING}}),
    ({"spec": {"type": "graphite", "graphite": {}}}, {"spec": {"type": ["Unknown type 'graphite'"]}}),
    ({"spec": {"type": "prometheus"}}, {"spec": {"prometheus": ["Field is required"]}}),
    ({"spec": {"type": "prometheus", "prometheus": None}}, {"spec": INPUT}),
    ({"spec": {"type": "prometheus", "prometheus": "url"}}, {"spec": INPUT}),
    ({"spec": {"type": "influx", "influx": {"url": 1}}}, {"spec": {"url": STRING, "token": REQUIRED, "org": REQUIRED, "bucket": REQUIRED}}),
    ({"spec": {"type": "kafka", "kafka": {}}}, {"spec": {"comparison_column": REQUIRED, "value_column": REQUIRED, "table": REQUIRED,
                                                         "url": REQUIRED}}),
    ({"spec": {"type": "static", "static": {"metrics": {"load": "high", "heat": None}}}},
     {"spec": {"metrics": {"load": {"value": NUMBER}, "heat": {"value": NULL}}}}),
    ({"spec": {"type": "static", "static": {"metrics": []}}}, {"spec": {"metrics": MAPPING}}),
]

APP_SPEC = {"manifest": MANIFEST, "tosca": {}, "csar": None, "observer_schema": [],
            "constraints": {"cluster": {"labels": None, "custom_resources": [], "metrics": None}, "migration": True}, "hooks": [],
            "shutdown_grace_time": None,
            "shutdown_failure_strategy": None, "shutdown_retry_count": None, "backoff": 1, "backoff_delay": 1, "backoff_limit": -1,
            "storage_migration": "none",
            "auto_cluster_create": False}
APP_STATUS = {"reason": None, "state": "PENDING", "container_health": {"desired_pods": 0, "running_pods": 0, "completed_pods": 0, "failed_pods": 0},
              "kube_controller_triggered": None, "scheduled": None, "scheduled_to": None, "running_on": None, "retries": None,
              "scheduled_retry": None,
              "services": {}, "mangled_observer_schema": [], "last_observed_manifest": [], "last_applied_manifest": [], "complete_token": None,
              "complete_cert": None, "complete_key": None, "shutdown_token": None, "shutdown_cert": None, "shutdown_key": None,
              "shutdown_grace_period": None,
              "auto_cluster_create_started": None, "migration_retries": 0, "migration_timeout": 0}
APP_RICH = {
    "manifest": [{"kind": "ConfigMap", "metadata": {"name": "cfg",
                                                    "annotations": {"z": 1, "a": [1.0, 1e5, 10 ** 30, None, True, "\u00e4\U0001f419"]}},
                  "apiVersion": "v1"}],
    "tosca": "https://templates.example/app.yaml", "csar": "https://templates.example/app.zip",
    "observer_schema": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cfg"}, "data": None}],
    "constraints": {"cluster": {"labels": ["location  is   DE", "x in (a,b,)"], "custom_resources": ["crontabs.stable.example.com"],
                                "metrics": ["load >= 5"]},
                    "migration": False},
    "hooks": ["complete", "shutdown"], "shutdown_grace_time": 5, "shutdown_failure_strategy": "give_up", "shutdown_retry_count": 2, "backoff": 3,
    "backoff_delay": 4,
    "backoff_limit": 6, "storage_migration": "volume", "auto_cluster_create": True}
APP_STATUS_RICH = {
    "reason": REASON, "state": "RUNNING", "container_health": {"desired_pods": 4, "running_pods": 3, "completed_pods": 2, "failed_pods": 1},
    "kube_controller_triggered": "2026-03-01T09:30:00.123456+02:00", "scheduled": "2026-03-01T09:30:00", "scheduled_to": ref(),
    "running_on": ref(namespace=None),
    "retries": 2, "scheduled_retry": "2026-03-01T09:30:00+00:00", "services": {"web": "203.0.113.5:80"}, "mangled_observer_schema": [{"a": None}],
    "last_observed_manifest": [{"b": 1}], "last_applied_manifest": [{"c": [1]}], "complete_token": "ct", "complete_cert": "cc", "complete_key": "ck",
    "shutdown_token": "st", "shutdown_cert": "sc", "shutdown_key": "sk", "shutdown_grace_period": "2026-03-01T09:30:00+00:00",
    "auto_cluster_create_started": "x", "migration_retries": 7, "migration_timeout": 8}

CLUSTER_SPEC = {"kubeconfig": KUBECONFIG, "tosca": {}, "custom_resources": [], "constraints": {"cloud": {"labels": None, "metrics": None}},
                "metrics": [],
                "inherit_metrics": False, "backoff": 1, "backoff_delay": 1, "backoff_limit": -1, "auto_generated": False}
CLUSTER_STATUS = {"reason": None, "kube_controller_triggered": None, "state": "PENDING", "metrics_reasons": {}, "last_applied_tosca": {}, "nodes": [],
                  "cluster_id": None, "scheduled": None, "scheduled_to": None, "running_on": None, "retries": 0}
CLUSTER_STATES = ["PENDING", "ONLINE", "CONNECTING", "OFFLINE", "UNHEALTHY", "NOTREADY", "FAILING_METRICS", "CREATING", "RECONCILING", "DELETING",
                  "FAILING_RECONCILIATION", "FAILED", "DEGRADED"]
CLUSTER_RICH = {
    "kubeconfig": KUBECONFIG, "tosca": {**TOSCA, "topology_template": {**TOSCA["topology_template"], "outputs": {"kubeconfig": {"value": "x"}}}},
    "custom_resources": ["a.b"], "constraints": {"cloud": {"labels": ["location = DE"], "metrics": ["load lt 3"]}},
    "metrics": [{"name": "load", "weight": 1.5, "namespaced": True}], "inherit_metrics": True, "backoff": 2, "backoff_delay": 3, "backoff_limit": 4,
    "auto_generated": True}
CLUSTER_STATUS_RICH = {
    "reason": REASON, "kube_controller_triggered": "2026-03-01T09:30:00+00:00", "state": "ONLINE",
    "metrics_reasons": {"load": {"code": "UNKNOWN_METRIC", "message": ""}},
    "last_applied_tosca": {"a": {}}, "cluster_id": "id", "scheduled": "2026-03-01T09:30:00", "scheduled_to": ref("Cloud", api="openstack"),
    "running_on": ref(), "retries": 1,
    "nodes": [{"api": "kubernetes", "kind": "ClusterNode", "metadata": {"name": "n"},
               "status": {"conditions": [{"message": "m", "reason": "r", "status": "s", "type": "t"}]}}]}
CLUSTER_STATUS_RICH = {key: CLUSTER_STATUS_RICH[key] for key in CLUSTER_STATUS}

IM = {"spec": {"type": "im", "im": {"url": "https://im.example", "token": "t"}}}
IM_STORED = {"spec": {"type": "im", "im": {"url": "https://im.example", "username": None, "password": None, "token": "t"}}}
IM_RICH = {"spec": {"type": "im", "im": {"url": "https://im.example", "username": "u", "password": "", "token": "t"}}}
NO_AUTHENTICATION = {"spec": {"_schema": ["At least one authentication should be defined in the IM infrastructure provider spec."]}}


def im(**fields):
    return {"spec": {"type": "im", "im": {"url": "https://im.example", **fields}}}


IM_INVALID = [
    ({"spec": {}}, {"spec": {"type": REQUIRED}}),
    ({"spec": {"type": "prometheus", "prometheus": {"url": "u"}}}, {"spec": {"type": ["Unknown type 'prometheus'"]}}),
    ({"spec": {"type": "im"}}, {"spec": {"im": ["Field is required"]}}),
    ({"spec": {"type": "im", "im": []}}, {"spec": INPUT}),
    (im(url=1, token=[], username="u", password="p"), {"spec": {"url": STRING, "token": STRING}}),
    (im(), NO_AUTHENTICATION),
    (im(token=None), NO_AUTHENTICATION),
    (im(username="u"), NO_AUTHENTICATION),
    (im(password="p", username=None), NO_AUTHENTICATION),
]


def cloud(user=None, project=None, auth=None, **fields):
    """The smallest spec of a cloud, or what is left of it."""
    password = {"user": {"username": "svc", "password": "pw"} if user is None else user, "project": {"name": "p1"} if project is None else project}
    whole = {"url": "https://keystone.example:5000/v3", "auth": {"type": "password", "password": password} if auth is None else auth,
             "infrastructure_provider": {"name": "im-1"}, **fields}
    return {"spec": {"type": "openstack", "openstack": {key: value for key, value in whole.items() if value is not ...}}}


def cloud_rich(namespaced):
    return {"spec": {"type": "openstack", "openstack": {
        "url": "https://keystone.example:5000/v3",
        "auth": {"type": "password", "password": {
            "version": "2", "user": {"username": "svc", "password": "pw", "domain_name": "Other", "comment": "a user"},
            "project": {"name": "p1", "domain_id": "other", "comment": "a project"}}},
        "metrics": [{"name": "heat", "weight": 0.5, "namespaced": namespaced}], "infrastructure_provider": {"name": "im-1", "namespaced": namespaced}}}}


CLOUD_STORED = {"spec": {"type": "openstack", "openstack": {
    "url": "https://keystone.example:5000/v3",
    "auth": {"type": "password", "password": {
        "version": "3", "user": {"username": "svc", "password": "pw", "domain_name": "Default", "comment": None},
        "project": {"name": "p1", "domain_id": "default", "comment": None}}},
    "metrics": [], "infrastructure_provider": {"name": "im-1", "namespaced": False}}}}
METRICS_STATUS = {"state": "ONLINE", "metrics_reasons": {}}
METRICS_STATUS_RICH = {"state": "FAILING_METRICS", "metrics_reasons": {"heat": {"code": "UNREACHABLE_METRICS_PROVIDER", "message": "away"}}}
CLOUD_INVALID = [
    ({"spec": {}}, {"spec": {"type": REQUIRED}}),
    ({"spec": {"type": "openstack"}}, {"spec": {"openstack": ["Field is required"]}}),
    ({"spec": {"type": "openstack", "openstack": None}}, {"spec": INPUT}),
    ({"spec": {"type": "im", "im": {}}}, {"spec": {"type": ["Unknown type 'im'"]}}),
    ({"spec": {"type": "openstack", "openstack": {}}}, {"spec": {"url": REQUIRED, "auth": REQUIRED, "infrastructure_provider": REQUIRED}}),
    (cloud(auth={}), {"spec": {"auth": {"type": REQUIRED}}}),
    (cloud(auth={"type": "application_credential", "application_credential": {"id": "i", "secret": "s"}}),
     {"spec": {"auth": {"type": ["Unknown type 'application_credential'"]}}}),
    (cloud(auth={"type": "password"}), {"spec": {"auth": {"password": ["Field is required"]}}}),
    (cloud(auth={"type": "password", "password": {}}), {"spec": {"auth": {"user": REQUIRED, "project": REQUIRED}}}),
    (cloud(user={"id": "u"}, project={"id": "p"}),
     {"spec": {"auth": {"user": {"username": REQUIRED, "password": REQUIRED}, "project": {"name": REQUIRED}}}}),
    (cloud(metrics=[{}], infrastructure_provider={"namespaced": "maybe"}),
     {"spec": {"metrics": {0: {"name": REQUIRED, "weight": REQUIRED}}, "infrastructure_provider": {"name": REQUIRED, "namespaced": BOOLEAN}}}),
]
GLOBAL_PROVIDER = "A non-namespaced global cloud resource cannot reference the namespaced infrastructure provider resource."
GLOBAL_METRIC = "A non-namespaced global cloud resource cannot reference the namespaced metric resource."
NAMESPACED_METRIC = {"name": "heat", "weight": 1, "namespaced": True}
GLOBAL_CLOUD_INVALID = CLOUD_INVALID + [
    (cloud(infrastructure_provider={"name": "im-1", "namespaced": True}), {"_schema": [GLOBAL_PROVIDER]}),
    (cloud(metrics=[{"name": "load", "weight": 1}, NAMESPACED_METRIC]), {"_schema": [GLOBAL_METRIC]}),
    (cloud(metrics=[NAMESPACED_METRIC], infrastructure_provider={"name": "im-1", "namespaced": True}), {"_schema": [GLOBAL_PROVIDER]}),
]


def project(auth, **fields):
    return {"spec": {"url": "https://keystone.example:5000/v3", "auth": auth, "template": "tmpl", **fields}}


PROJECT_PASSWORD = {"type": "password", "password": {"user": {"id": "u", "password": "pw"}, "project": {"id": "p"}}}
PROJECT_PASSWORD_STORED = {"type": "password", "password": {"user": {"id": "u", "password": "pw", "comment": None},
                                                            "project": {"id": "p", "comment": None}}}
APPLICATION_CREDENTIAL = {"type": "application_credential", "application_credential": {"id": "i", "secret": "s"}}
PROJECT_INVALID = [
    ({"spec": {}}, {"spec": {"url": REQUIRED, "auth": REQUIRED, "template": REQUIRED}}),
    (project(None, template=None, metrics=None), {"spec": {"auth": NULL, "template": NULL, "metrics": NULL}}),
    (project("password"), {"spec": {"auth": INPUT}}),
    (project({"type": "token", "token": {}}), {"spec": {"auth": {"type": ["Unknown type 'token'"]}}}),
    (project({"type": "application_credential"}), {"spec": {"auth": {"application_credential": ["Field is required"]}}}),
    (project({"type": "application_credential", "application_credential": {"id": 1}}), {"spec": {"auth": {"id": STRING, "secret": REQUIRED}}}),
    (project({"type": "password", "password": {"user": {"username": "u"}, "project": {"name": "p"}}}),
     {"spec": {"auth": {"user": {"id": REQUIRED, "password": REQUIRED}, "project": {"id": REQUIRED}}}}),
]

MAGNUM_SPEC = {"master_count": None, "node_count": None, "metrics": [], "constraints": None}
MAGNUM_RICH = {"master_count": 3, "node_count": 5, "metrics": [{"name": "load", "weight": 1.5, "namespaced": True}],
               "constraints": {"project": {"labels": ["location  is DE", "tier in (a, b)"]}}}
MAGNUM_STATUS = {"reason": None, "state": "PENDING", "project": None, "template": None, "cluster_id": None, "node_count": None, "api_address": None,
                 "master_addresses": None, "node_addresses": None, "cluster": None}
MAGNUM_STATUS_RICH = {"reason": REASON, "state": "RUNNING", "project": ref("Project", "p", api="openstack"), "template": None, "cluster_id": "id",
                      "node_count": 5, "api_address": "https://203.0.113.9:6443", "master_addresses": ["203.0.113.9"], "node_addresses": [],
                      "cluster": ref()}
MAGNUM_INVALID = [
    ({"spec": None}, {"spec": NULL}),
    ({"spec": {"master_count": "many", "node_count": True, "metrics": None, "constraints": []}},
     {"spec": {"master_count": INTEGER, "node_count": INTEGER, "metrics": NULL, "constraints": INPUT}}),
    ({"spec": {"constraints": {"project": {"labels": ["location", "x is y", "-x is y"]}}}},
     {"spec": {"constraints": {"project": {"labels": {0: ["Invalid label constraint"], 2: [starts("Label key '-x' does not match the regex")]}}}}}),
]


class Kind:
    """`body`: the smallest that can be created. `rich`: with every field. `change`: a merge patch that PUT tests make of a read object."""

    def __init__(self, api, kind, plural, namespaced, body, stored, rich, rich_stored, change, invalid, status=None, status_rich=None,
                 subresources=(), force=False,
                 same_is_ok=False, busy="DELETING"):
        self.api, self.kind, self.plural, self.namespaced = api, kind, plural, namespaced
        self.body, self.stored, self.rich, self.rich_stored, self.change, self.invalid = body, stored, rich, rich_stored, change, invalid
        self.status, self.status_rich, self.subresources, self.force, self.same_is_ok = status, status_rich, subresources, force, same_is_ok
        self.busy = busy  # a state that a new object does not have

    def collection(self, namespace="demo"):
        return f"/{self.api}/namespaces/{namespace}/{self.plural}" if self.namespaced else f"/{self.api}/{self.plural}"

    def path(self, name, namespace="demo"):
        return f"{self.collection(namespace)}/{name}"

    def all(self):
        return f"/{self.api}/{self.plural}"

    def template(self, tail=""):
        return self.collection("{namespace}") + tail

    def request(self, name, rich=False, **meta):
        return {"metadata": {"name": name, **meta}, **(self.rich if rich else self.body)}

    def document(self, name, namespace="demo", rich=False, **meta):
        """What the server makes of request()."""
        whole = {"api": self.api, "kind": self.kind, "metadata": metadata(name, namespace if self.namespaced else None, **meta),
                 **(self.rich_stored if rich else self.stored)}
        if self.status:
            whole["status"] = self.status
        return whole

    def missing(self, name, namespace="demo"):
        where = f"'{namespace}'" if self.namespaced else "None"
        return f"'{self.kind}' '{name}' does not exist in namespace {where}"

    def taken(self, name, namespace="demo"):
        return f"{self.kind} '{name}' already exists" + (f" in namespace '{namespace}'" if self.namespaced else "")


RULE = {"api": "kubernetes", "resources": ["applications"], "namespaces": ["demo"],
        "verbs": ["get", "list", "create", "list_all", "update", "delete"]}
NO_MANIFEST = "The application should be defined by a manifest file, a TOSCA template or a CSAR file."
NO_KUBECONFIG = "The cluster should be defined by a kubeconfig file or a TOSCA template."

KINDS = [
    Kind("core", "Role", "roles", False, {"rules": []}, {"rules": []}, {"rules": [RULE]}, {"rules": [RULE]}, {"rules": [RULE, RULE]}, [
        ({"rules": [{"api": "", "resources": [], "namespaces": [], "verbs": ["fly", "Get", 1, None]}]},
         {"rules": {0: {"verbs": {0: ["Invalid enum member fly"], 1: ["Invalid enum member Get"], 2: NO_ENUM, 3: NULL}}}}),
        ({"rules": [{"api": "", "resources": [], "namespaces": [], "verbs": ["__doc__", "delete_"]}]},
         {"rules": {0: {"verbs": {0: ["Invalid enum member __doc__"], 1: ["Invalid enum member delete_"]}}}}),
        ({"rules": [{}, RULE, 5]}, {"rules": {0: {"api": REQUIRED, "resources": REQUIRED, "namespaces": REQUIRED, "verbs": REQUIRED}, 2: INPUT}}),
        ({"rules": None}, {"rules": NULL}),
        ({"rules": {}}, {"rules": LIST}),
    ]),
    Kind("core", "RoleBinding", "rolebindings", False, {"users": [], "roles": []}, {"users": [], "roles": []}, {"users": ["a", ""], "roles": ["r"]},
         {"users": ["a", ""], "roles": ["r"]}, {"users": ["b"]}, [
             ({"users": [1, "a"], "roles": None}, {"users": {0: STRING}, "roles": NULL}),
             ({"users": "a", "roles": {}}, {"users": LIST, "roles": LIST}),
         ]),
    Kind("core", "GlobalMetric", "globalmetrics", False, METRIC, METRIC, METRIC_RICH, METRIC_RICH, {"spec": {"max": 2.5}}, METRIC_INVALID),
    Kind("core", "Metric", "metrics", True, METRIC, METRIC, METRIC_RICH, METRIC_RICH, {"spec": {"max": 2.5}}, METRIC_INVALID),
    Kind("core", "GlobalMetricsProvider", "globalmetricsproviders", False, PROVIDER, PROVIDER, PROVIDER_RICH, PROVIDER_RICH,
         {"spec": {"type": "static", "static": {"metrics": {"load": 1.0}}}}, PROVIDER_INVALID, same_is_ok=True),
    Kind("core", "MetricsProvider", "metricsproviders", True, PROVIDER, PROVIDER, PROVIDER_RICH, PROVIDER_RICH,
         {"spec": {"type": "kafka", "kafka": {"comparison_column": "c", "value_column": "v", "table": "t", "url": "u"}}}, PROVIDER_INVALID),
    Kind("kubernetes", "Application", "applications", True, {"spec": {"manifest": MANIFEST, "constraints": {"cluster": {}}}}, {"spec": APP_SPEC},
         {"spec": APP_RICH},
         {"spec": APP_RICH}, {"spec": {"backoff": 9}}, [
             ({"spec": {}}, {"spec": {"manifest": REQUIRED, "constraints": REQUIRED}}),
             ({"spec": {"manifest": MANIFEST, "constraints": {"cluster": None}}}, {"spec": {"constraints": {"cluster": NULL}}}),
             ({"spec": {"manifest": MANIFEST, "constraints": None}}, {"spec": {"constraints": NULL}}),
             ({"spec": {"manifest": [], "constraints": {"cluster": {}}}}, {"spec": {"_schema": [NO_MANIFEST]}}),
             ({"spec": {"manifest": [{}, 1], "constraints": {"cluster": {"labels": ["location"]}}}},
              {"spec": {"manifest": {1: MAPPING}, "constraints": {"cluster": {"labels": {0: ["Invalid label constraint"]}}}}}),
         ], status=APP_STATUS, status_rich=APP_STATUS_RICH, subresources=("binding", "complete", "shutdown", "retry"), force=True),
    Kind("kubernetes", "Cluster", "clusters", True, {"spec": {"kubeconfig": KUBECONFIG, "constraints": {"cloud": {}}}}, {"spec": CLUSTER_SPEC},
         {"spec": CLUSTER_RICH},
         {"spec": CLUSTER_RICH}, {"spec": {"backoff": 9}}, [
             ({"spec": {"kubeconfig": KUBECONFIG}}, {"spec": {"constraints": REQUIRED}}),
             ({"spec": {"constraints": {"cloud": {}}}}, {"spec": {"_schema": [NO_KUBECONFIG]}}),
             ({"spec": {"kubeconfig": {"me": "nonsense"}, "constraints": {"cloud": {}}}},
              {"spec": {"kubeconfig": ["Invalid kube-config file. Expected key current-context in kube-config"]}}),
             ({"spec": {"kubeconfig": KUBECONFIG, "tosca": "template.yaml", "constraints": {"cloud": None}}},
              {"spec": {"tosca": MAPPING, "constraints": {"cloud": NULL}}}),
         ], status=CLUSTER_STATUS, status_rich=CLUSTER_STATUS_RICH, subresources=("binding",), force=True),
    Kind("infrastructure", "GlobalInfrastructureProvider", "globalinfrastructureproviders", False, IM, IM_STORED, IM_RICH, IM_RICH,
         {"spec": {"im": {"url": "https://im-2.example"}}}, IM_INVALID),
    Kind("infrastructure", "InfrastructureProvider", "infrastructureproviders", True, IM, IM_STORED, IM_RICH, IM_RICH,
         {"spec": {"im": {"url": "https://im-2.example"}}}, IM_INVALID),
    Kind("infrastructure", "GlobalCloud", "globalclouds", False, cloud(), CLOUD_STORED, cloud_rich(False), cloud_rich(False),
         {"spec": {"openstack": {"url": "https://other.example"}}}, GLOBAL_CLOUD_INVALID, status=METRICS_STATUS, status_rich=METRICS_STATUS_RICH,
         busy="FAILING_METRICS"),
    Kind("infrastructure", "Cloud", "clouds", True, cloud(), CLOUD_STORED, cloud_rich(True), cloud_rich(True),
         {"spec": {"openstack": {"auth": {"password": {"user": {"password": "another"}}}}}}, CLOUD_INVALID, status=METRICS_STATUS,
         status_rich=METRICS_STATUS_RICH, busy="FAILING_METRICS"),
    Kind("openstack", "Project", "projects", True, project(PROJECT_PASSWORD), project(PROJECT_PASSWORD_STORED, metrics=[]),
         project(APPLICATION_CREDENTIAL, metrics=[{"name": "load", "weight": 1e-7, "namespaced": True}]),
         project(APPLICATION_CREDENTIAL, metrics=[{"name": "load", "weight": 1e-7, "namespaced": True}]), {"spec": {"template": "another"}},
         PROJECT_INVALID, status=METRICS_STATUS, status_rich=METRICS_STATUS_RICH, busy="FAILING_METRICS"),
    Kind("openstack", "MagnumCluster", "magnumclusters", True, {"spec": {}}, {"spec": MAGNUM_SPEC}, {"spec": MAGNUM_RICH}, {"spec": MAGNUM_RICH},
         {"spec": {"node_count": 9}}, MAGNUM_INVALID, status=MAGNUM_STATUS, status_rich=MAGNUM_STATUS_RICH, subresources=("binding",)),
]
BY_NAME = {kind.kind: kind for kind in KINDS}

# What is wrong with every kind alike, beside its own rows.
COMMON_INVALID = [
    ({"metadata": {}}, {"metadata": {"name": REQUIRED}}),
    ({"metadata": None}, {"metadata": NULL}),
    ({"metadata": "name"}, {"metadata": INPUT}),
    ({"metadata": {"name": "a b"}}, {"metadata": {"name": ["Invalid character in resource name."]}}),
    ({"metadata": {"name": "x", "namespace": "-"}}, {"metadata": {"namespace": ["Invalid character in resource namespace."]}}),
    ({"metadata": {"name": "x", "labels": {"key.": "v", "k": "value.", "n": 1}}},
     {"metadata": {"labels": [{"key.": starts("Label key 'key.' does not match the regex")},
                              {"value.": starts("Label value 'value.' does not match the regex")},
                              {"1": starts("expected string or bytes-like object")}]}}),
    ({"metadata": {"name": "x", "finalizers": [1], "owners": [{"api": "core"}], "inherit_labels": "maybe"}},
     {"metadata": {"inherit_labels": BOOLEAN, "finalizers": {0: STRING}, "owners": {0: {"kind": REQUIRED, "name": REQUIRED}}}}),
]

# Sub-resources with a body: a good body (or one that gets as far as the object), and what is refused.
BINDING = {"cluster": {"api": "kubernetes", "kind": "Cluster", "namespace": "demo", "name": "edge"}}
CLOUD_BINDING = {"cloud": {"api": "infrastructure", "kind": "GlobalCloud", "name": "os-1"}}
PROJECT_BINDING = {"project": {"api": "openstack", "kind": "Project", "namespace": "demo", "name": "p"}, "template": "tmpl"}
BINDINGS = {"Application": BINDING, "Cluster": CLOUD_BINDING, "MagnumCluster": PROJECT_BINDING}
# The object is looked up before the body is read.
LOADED_FIRST = {("MagnumCluster", "binding")}
SUBRESOURCE_BODIES = {
    ("Application", "binding"): (BINDING, [
        ({}, {"cluster": REQUIRED}), ({"cluster": None}, {"cluster": NULL}), ({"cluster": {}},
                                                                              {"cluster": {"api": REQUIRED, "kind": REQUIRED, "name": REQUIRED}}),
        ({**BINDING, "kind": "CloudBinding"}, {"kind": ["Must be equal to ClusterBinding."]}),
        ({**BINDING, "api": "infrastructure"}, {"api": ["Must be equal to kubernetes."]})]),
    ("Application", "complete"): ({"token": "t"}, [({"token": 1}, {"token": STRING}),
                                                   ({"kind": "Shutdown"}, {"kind": ["Must be equal to Complete."]}), ([], INPUT)]),
    ("Application", "shutdown"): ({"token": "t"}, [({"token": []}, {"token": STRING}),
                                                   ({"kind": "Complete"}, {"kind": ["Must be equal to Shutdown."]}), (b"null", INPUT)]),
    ("Cluster", "binding"): (CLOUD_BINDING, [
        ({}, {"cloud": REQUIRED}), ({"cloud": "os-1"}, {"cloud": INPUT}), ({**CLOUD_BINDING, "api": "kubernetes"},
                                                                           {"api": ["Must be equal to infrastructure."]}),
        ({**CLOUD_BINDING, "kind": None}, {"kind": NULL})]),
    ("MagnumCluster", "binding"): (PROJECT_BINDING, [
        ({}, {"project": REQUIRED, "template": REQUIRED}), ({**PROJECT_BINDING, "template": None}, {"template": NULL}),
        ({"project": {"name": 1}, "template": 1}, {"project": {"api": REQUIRED, "kind": REQUIRED, "name": STRING}, "template": STRING}),
        ({**PROJECT_BINDING, "kind": "ClusterBinding"}, {"kind": ["Must be equal to MagnumClusterBinding."]}),
        ({**PROJECT_BINDING, "api": "infrastructure"}, {"api": ["Must be equal to openstack."]})]),
}

# The 93 routes of api-contract 3.1, those of PATCH, and the four of leases. The letters are the rows each must have:
# Ok, Missing object, Conflict (with what is stored), Invalid body or query.
ROUTES = [("GET", "/", "O"), ("GET", "/me", "O"), ("GET", "/release", "O")]
for _kind in KINDS:
    ROUTES += [("POST", _kind.template(), "OCI"), ("GET", _kind.template(), "OI"), ("GET", _kind.template("/{name}"), "OM"),
               ("PUT", _kind.template("/{name}"), "OMCI"),
               ("DELETE", _kind.template("/{name}"), "OM"), ("PATCH", _kind.template("/{name}"), "OMCI")]
    if _kind.namespaced:
        ROUTES.append(("GET", _kind.all(), "OI"))
    if _kind.status:
        ROUTES += [("PUT", _kind.template("/{name}/status"), "OMI"), ("PATCH", _kind.template("/{name}/status"), "OMI")]
    for _sub in _kind.subresources:
        ROUTES.append(("PUT", _kind.template("/{name}/" + _sub), {"retry": "OMC", "complete": "OMCI", "shutdown": "OMCI"}.get(_sub, "OMI")))
ROUTES += [("GET", "/core/leases", "OI"), ("GET", "/core/leases/{name}", "OM"), ("PUT", "/core/leases/{name}", "OCI"),
           ("DELETE", "/core/leases/{name}", "OMC")]

ONE_OF_STATES = Like("a state of clusters", lambda value: value in CLUSTER_STATES)
