#!/usr/bin/env python3
"""A whole scheduler in sixty lines: binds every unscheduled application to the first ONLINE cluster of its namespace whose
labels fit. It uses nothing but the public API, so it can replace the one that ships (krake all --without scheduler)."""
import argparse
import json
import re
import ssl
import time
import urllib.error
import urllib.request


class Api:
    def __init__(self, url, ca=None, cert=None, key=None):
        self.url = url
        self.context = ssl.create_default_context(cafile=ca) if url.startswith("https") else None
        if cert:
            self.context.load_cert_chain(cert, key)

    def call(self, method, path, body=None, etag=None):
        request = urllib.request.Request(self.url + path, method=method, data=None if body is None else json.dumps(body).encode())
        if etag:
            request.add_header("If-Match", f'"{etag}"')  # refused with 412 when somebody was faster
        with urllib.request.urlopen(request, context=self.context, timeout=30) as answer:
            return json.load(answer)


def fits(cluster, constraints):
    for text in constraints or []:
        match = re.fullmatch(r"\s*(\S+?)\s*(?:==|=|\bis\b)\s*(\S+)\s*", text)
        if not match or cluster["metadata"]["labels"].get(match.group(1)) != match.group(2):
            return False
    return True


def one_pass(api):
    clusters = api.call("GET", "/kubernetes/clusters")["items"]
    for app in api.call("GET", "/kubernetes/applications")["items"]:
        meta, status = app["metadata"], app["status"]
        changed = not status["kube_controller_triggered"] or meta["modified"] > status["kube_controller_triggered"]
        if meta["deleted"] or not changed:
            continue
        for cluster in clusters:
            if (cluster["metadata"]["namespace"] == meta["namespace"] and cluster["status"]["state"] == "ONLINE"
                    and fits(cluster, app["spec"]["constraints"]["cluster"]["labels"])):
                ref = {"api": "kubernetes", "kind": "Cluster", "namespace": meta["namespace"], "name": cluster["metadata"]["name"]}
                path = f"/kubernetes/namespaces/{meta['namespace']}/applications/{meta['name']}/binding"
                try:
                    api.call("PUT", path, {"cluster": ref}, meta.get("resource_version"))
                    print(f"{meta['name']} -> {ref['name']}", flush=True)
                except urllib.error.HTTPError as error:
                    print(f"{meta['name']}: {error.code}, next time", flush=True)
                break


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--api", "--ca", "--cert", "--key"):
        parser.add_argument(name, required=name == "--api")
    args = parser.parse_args()
    while True:
        one_pass(Api(args.api, args.ca, args.cert, args.key))
        time.sleep(0.2)
