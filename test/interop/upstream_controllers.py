"""P18: upstream's own controllers against our API server and simulated clusters, alone, among ours, and taking turns with ours."""
import subprocess
import sys

from world import CONTROLLERS, HERE, World

DEPLOYMENT = "/apis/apps/v1/namespaces/default/deployments/echo"
SERVICE = "/api/v1/namespaces/default/services/echo"


def echo(image="registry.k8s.io/echoserver:1.10"):
    labels = {"app": "echo"}
    return [{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "echo"}, "spec": {
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "echo", "image": image, "ports": [{"containerPort": 8080}]}]}}}},
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "echo"}, "spec": {
                "type": "NodePort", "selector": labels, "ports": [{"port": 8080, "protocol": "TCP", "targetPort": 8080}]}}]


def config_map(name):
    return [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "b"}}]


def workloads():
    """One application per kind of object."""
    labels = {"a": "b"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    schedule = {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": {"spec": {**template["spec"], "restartPolicy": "Never"}}}}}
    http = {"paths": [{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "x", "port": {"number": 80}}}}]}
    size = {"storage": "1Gi"}
    kinds = [("apps/v1", "StatefulSet", {"spec": {"serviceName": "s", "selector": {"matchLabels": labels}, "template": template}}),
             ("apps/v1", "DaemonSet", {"spec": {"selector": {"matchLabels": labels}, "template": template}}),
             ("apps/v1", "ReplicaSet", {"spec": {"selector": {"matchLabels": labels}, "template": template}}),
             ("batch/v1", "CronJob", {"spec": schedule}),
             ("v1", "Pod", {"spec": template["spec"]}),
             ("v1", "Service", {"spec": {"selector": labels, "ports": [{"port": 80}]}}),
             ("v1", "Secret", {"data": {"a": "Yg=="}}),
             ("v1", "PersistentVolume", {"spec": {"capacity": size, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/tmp"}}}),
             ("v1", "PersistentVolumeClaim", {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": size}}}),
             ("networking.k8s.io/v1", "Ingress", {"spec": {"rules": [{"host": "h", "http": http}]}}),
             ("rbac.authorization.k8s.io/v1", "ClusterRole", {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]})]
    return {kind.lower(): [{"apiVersion": version, "kind": kind, "metadata": {"name": kind.lower()}, **body}] for version, kind, body in kinds}


def image_on(w, cluster):
    live = w.kube(cluster, "GET", DEPLOYMENT)
    return live and live["spec"]["template"]["spec"]["containers"][0]["image"]


# ---- what each controller is for

def scheduler_works(w):
    """Labels bind; without them metrics do, and move it when they turn."""
    w.create_app("labelled", config_map("labelled"), ["location is SK"])
    w.wait_running("labelled", "sk")
    w.create_app("green", config_map("green"))
    w.wait_running("green", "de")
    w.the_wind_turns()
    w.wait_running("green", "sk")
    w.the_wind_turns()
    w.wait_running("green", "de")
    for name in ("labelled", "green"):
        w.delete_app(name)


def application_controller_works(w):
    """Deploys, tells where the Service is, updates, repairs, moves, cleans up."""
    w.create_app("echo", echo(), ["location is SK"])
    app = w.wait_running("echo", "sk")
    assert app["status"]["services"].keys() == {"echo"}, app["status"]["services"]
    uid = w.kube("sk", "GET", DEPLOYMENT)["metadata"]["uid"]
    w.update_app("echo", lambda spec: spec.update(manifest=echo("registry.k8s.io/echoserver:1.9")))
    w.wait("the new image", lambda: image_on(w, "sk") == "registry.k8s.io/echoserver:1.9")
    w.wait_running("echo", "sk")
    assert w.kube("sk", "GET", DEPLOYMENT)["metadata"]["uid"] == uid, "an update is no new object"
    is_repaired(w, "sk")
    w.update_app("echo", lambda spec: spec["constraints"]["cluster"].update(labels=["location is DE"]))
    w.wait_running("echo", "de")
    w.wait("sk to be empty", lambda: not w.objects("sk"))
    w.delete_app("echo")
    assert not w.objects("de"), w.objects("de")


def is_repaired(w, cluster):
    w.kube(cluster, "DELETE", DEPLOYMENT)
    w.wait("the Deployment to be there again", lambda: w.kube(cluster, "GET", DEPLOYMENT))
    w.wait_running("echo", cluster)


def cluster_controller_works(w):
    state_of_sk = lambda: w.cluster("sk")["status"]["state"]  # noqa: E731
    w.kube("sk", "PUT", "/kubesim/faults", {"nodes": {"Ready": "False"}})
    w.wait("sk NOTREADY", lambda: state_of_sk() == "NOTREADY")
    w.kube("sk", "PUT", "/kubesim/faults", {})
    w.wait("sk ONLINE again", lambda: state_of_sk() == "ONLINE")


def garbage_collector_works(w):
    """The deletion of a cluster reaches what runs on it; then the cluster goes. So does what nothing depends on."""
    metric = "/core/globalmetrics/green_sk"
    w.call("DELETE", metric)
    w.wait("the metric to be gone", lambda: w.call("GET", metric) is None)
    w.create_metric("sk")
    w.create_app("first", config_map("first"), ["location is SK"])
    w.wait_running("first", "sk")
    cluster = w.cluster("sk")
    w.call("DELETE", "/kubernetes/namespaces/team/clusters/sk")
    w.wait("the application to be gone", lambda: w.app("first") is None)
    w.wait("the cluster to be gone", lambda: w.cluster("sk") is None)
    assert not w.objects("sk"), w.objects("sk")
    again = {"metadata": {key: cluster["metadata"][key] for key in ("name", "labels")}, "spec": cluster["spec"]}
    w.call("POST", "/kubernetes/namespaces/team/clusters", again)
    w.wait("sk ONLINE again", lambda: w.cluster("sk")["status"]["state"] == "ONLINE")


WORKS = {
    "scheduler": scheduler_works,
    "kubernetes-application": application_controller_works,
    "kubernetes-cluster": cluster_controller_works,
    "gc": garbage_collector_works,
}


# ---- taking turns

def still_works(w, controller):
    """A short proof that the newcomer is at work, while the application `echo` runs on de."""
    if controller == "scheduler":
        w.create_app("probe", config_map("probe"), ["location is SK"])
        w.wait_running("probe", "sk")
        w.delete_app("probe")
    elif controller == "kubernetes-application":
        w.kube("de", "PATCH", SERVICE, {"spec": {"ports": [{"port": 8080, "protocol": "TCP", "targetPort": 9999}]}})
        w.wait("the Service to be put right", lambda: w.kube("de", "GET", SERVICE)["spec"]["ports"][0]["targetPort"] == 8080)
    elif controller == "kubernetes-cluster":
        cluster_controller_works(w)
    else:
        w.create_app("probe", config_map("probe"), ["location is SK"])
        w.wait_running("probe", "sk")
        w.delete_app("probe")


def takes_turns(binaries, python, first, second):
    """Whoever takes over finds everything as it should be: nothing is made anew, nothing is written for nothing."""
    with World(binaries, python, dict.fromkeys(CONTROLLERS, first)) as w:
        manifests = {"echo": echo(), **workloads()}
        for name, manifest in manifests.items():
            w.create_app(name, manifest, ["location is DE"])
        for name in manifests:
            w.wait_running(name, "de")
        before = w.settled_objects("de", 5)
        assert len(before) == 17, before
        for controller in CONTROLLERS:
            for make in (second, first):
                w.run(controller, make)
                still_works(w, controller)
                for name in manifests:
                    w.wait_running(name, "de")
                assert w.objects("de") == before, f"{make}'s {controller} has made objects anew: {before} are now {w.objects('de')}"
        idle = w.writes_while_idle(5)
        assert len(idle) <= 2, f"with all {first}, after the turns: {idle}"
        for controller in CONTROLLERS:
            w.run(controller, second)
        for controller in CONTROLLERS:
            still_works(w, controller)
        idle = w.writes_while_idle(5)
        assert len(idle) <= 2, f"after {second} took over from {first}: {idle}"
        assert w.objects("de") == before, f"{before} are now {w.objects('de')}"
        for name in manifests:
            w.delete_app(name)
        assert not w.objects("de"), w.objects("de")
        w.check_requests()


def works(binaries, python, theirs):
    """`theirs` are upstream's, the others ours."""
    with World(binaries, python, {c: "upstream" if c in theirs else "ours" for c in CONTROLLERS}) as w:
        for controller in theirs:
            WORKS[controller](w)
        w.check_requests()


def client_works(binaries, python):
    with World(binaries, python, dict.fromkeys(CONTROLLERS, "ours")) as w:
        identity = [f"{w.state}/{name}.pem" for name in ("ca", "admin", "admin-key")]
        result = subprocess.run([python, "-W", "ignore", HERE / "run_upstream.py", "upstream_client", w.url, *identity], cwd=HERE, capture_output=True,
                                text=True, timeout=120)
        assert result.returncode == 0, result.stdout + result.stderr
        w.check_requests()


CASES = {
    **{controller: lambda *where, controller=controller: works(*where, [controller]) for controller in CONTROLLERS},
    "all": lambda *where: works(*where, list(CONTROLLERS)),
    "client": client_works,
    "ours-upstream": lambda *where: takes_turns(*where, "ours", "upstream"),
    "upstream-ours": lambda *where: takes_turns(*where, "upstream", "ours"),
}


def main(binaries, *cases):
    """BIN [CASE...]: all cases unless some are named."""
    python = subprocess.run([HERE / "install"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    for case in cases or CASES:
        print(case, flush=True)
        CASES[case](binaries, python)
    print(f"{len(cases or CASES)} passed, 0 failed")


if __name__ == "__main__":
    main(*sys.argv[1:])
