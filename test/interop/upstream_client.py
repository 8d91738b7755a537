"""Upstream's own client library: everything it offers for each kind that our server has. Run by upstream_controllers.py with upstream's Python."""
import asyncio
import re
import ssl
import sys

from aiohttp import ClientResponseError
from krake.client import Client
from krake.client.core import CoreApi
from krake.client.kubernetes import KubernetesApi
from krake.data.core import GlobalMetric, GlobalMetricsProvider, Metric, MetricsProvider, Role, RoleBinding, WatchEventType
from krake.data.kubernetes import Application, Cluster

KUBECONFIG = {"apiVersion": "v1", "kind": "Config", "current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
              "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}], "users": [{"name": "c", "user": {"token": "t"}}]}
METRIC = {"min": 0, "max": 1, "provider": {"name": "p", "metric": "m"}}
PROVIDER = {"type": "static", "static": {"metrics": {"m": 0.5}}}
SPECS = {
    Application: {"spec": {"manifest": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}], "constraints": {
        "cluster": {"labels": ["location is nowhere"], "metrics": ["m > 5"]}}}},
    Cluster: {"spec": {"kubeconfig": KUBECONFIG, "constraints": {"cloud": {"labels": [], "metrics": []}}}},
    GlobalMetric: {"spec": METRIC}, Metric: {"spec": METRIC}, GlobalMetricsProvider: {"spec": PROVIDER}, MetricsProvider: {"spec": PROVIDER},
    Role: {"rules": [{"api": "core", "namespaces": ["team"], "resources": ["metrics"], "verbs": ["list"]}]},
    RoleBinding: {"users": ["eve"], "roles": ["client-test"]},
}


async def whole_life(api, kind, fields):
    snake = re.sub(r"(?<!^)(?=[A-Z])", "_", kind.kind).lower()
    plural = re.sub(r"(?<!^)(?=[A-Z])", "_", api.plurals[kind.kind]).lower()
    where = {} if kind in (GlobalMetric, GlobalMetricsProvider, Role, RoleBinding) else {"namespace": "client-test"}
    item = {"name": "client-test", **where}

    def call(verb, noun=snake, **arguments):
        return getattr(api, f"{verb}_{noun}")(**arguments)

    async with call("watch", plural, **where) as events:
        body = kind.deserialize({"metadata": {"name": "client-test", "labels": {}}, **fields}, creation_ignored=True)
        created = await call("create", body=body, **where)
        assert created.metadata.uid and created.metadata.created == created.metadata.modified
        # Its status may have been written meanwhile.
        assert (await call("read", **item)).metadata.uid == created.metadata.uid
        assert created.metadata.uid in [entry.metadata.uid for entry in (await call("list", plural, **where)).items]

        async def next_event(wanted):
            # Others write too: the controllers a status.
            async for event in events:
                if event.object.metadata.name == "client-test" and wanted(event):
                    return event

        event = await next_event(lambda event: True)
        assert event.type == WatchEventType.ADDED and event.object == created, event

        created.metadata.labels = {"colour": "red"}
        updated = await call("update", body=created, **item)
        assert updated.metadata.labels == {"colour": "red"} and updated.metadata.modified > updated.metadata.created
        event = await next_event(lambda event: event.object.metadata.labels)
        assert event.type == WatchEventType.MODIFIED and event.object.metadata == updated.metadata, event
        # What changes nothing is refused, but for one kind, for which nothing happens.
        present = await call("read", **item)
        if kind is GlobalMetricsProvider:
            assert (await call("update", body=present, **item)) == present
        else:
            await refused(400, call("update", body=present, **item))

        deleted = await call("delete", **item)
        assert deleted.metadata.deleted and deleted.metadata.finalizers == ["cascade_deletion"], deleted
        await next_event(lambda event: event.type == WatchEventType.DELETED)
    await refused(404, call("read", **item))


async def refused(status, request):
    try:
        await request
    except ClientResponseError as error:
        assert error.status == status, error
    else:
        raise AssertionError(f"answered, not refused with {status}")


async def main(url, ca, cert, key):
    tls = ssl.create_default_context(cafile=ca)
    tls.load_cert_chain(cert, key)
    async with Client(url, ssl_context=tls) as client:
        for kind, fields in SPECS.items():
            api = {"core": CoreApi, "kubernetes": KubernetesApi}[kind.api](client)
            await asyncio.wait_for(whole_life(api, kind, fields), 30)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
