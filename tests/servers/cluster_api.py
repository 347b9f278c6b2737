"""As much of the API of a Kubernetes cluster as `tunewright submit` asks for, over HTTP on loopback.

It keeps what is created, answers as an API server does (Status objects, 404, 409), and does what a test says that a
controller and a kubelet would do. Real: kubectl, its configuration, HTTP. Not here: admission, scheduling, watching.
"""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class Cluster:
    """What is in the cluster, and what was asked of it."""

    def __init__(self, *namespaces):
        self.objects = {f"/api/v1/namespaces/{name}": {"kind": "Namespace"} for name in namespaces}
        self.logs = {}
        self.asked = []
        self.numbers = iter(range(1, 10**6))
        self.url = ""

    def of_kind(self, kind):
        return {path: one for path, one in self.objects.items() if one["kind"] == kind}

    def job(self, name=None):
        """The only job, or that one."""
        jobs = [one for one in self.of_kind("Job").values() if name in (None, one["metadata"]["name"])]
        [only] = jobs
        return only

    def set_status(self, job, *, conditions=(), suspend=None, **status):
        """What the controllers say of a job: conditions as (type, reason, message)."""
        told = [{"type": t, "status": "True", "reason": r, "message": m} for t, r, m in conditions]
        job["status"] = {**status, "conditions": told}
        if suspend is not None:
            job["spec"]["suspend"] = suspend

    def set_pod(self, job, name, *, code=None, waiting=None, log=b"", index=None, **status):
        """A pod of a job: it runs, waits for something, or has ended with an exit code."""
        namespace = job["metadata"]["namespace"]
        state = {"running": {"startedAt": "2026-01-31T12:00:00Z"}}
        if waiting is not None:
            state = {"waiting": {"reason": waiting[0], "message": waiting[1]}}
        elif code is not None:
            state = {"terminated": {"exitCode": code, "finishedAt": f"2026-01-31T12:{next(self.numbers):06d}Z"}}
        phase = "Pending" if waiting else "Running" if code is None else "Failed" if code else "Succeeded"
        labels = {**job["spec"]["template"]["metadata"]["labels"]}
        labels["batch.kubernetes.io/job-name"] = job["metadata"]["name"]
        notes = {} if index is None else {"batch.kubernetes.io/job-completion-index": str(index)}
        path = f"/api/v1/namespaces/{namespace}/pods/{name}"
        before = self.objects.get(path)
        created = before["metadata"]["creationTimestamp"] if before else f"2026-01-31T12:{next(self.numbers):06d}Z"
        self.objects[path] = {
            "kind": "Pod",
            "metadata": {"name": name, "labels": labels, "annotations": notes, "creationTimestamp": created},
            "status": {"phase": phase, "containerStatuses": [{"name": "job", "state": state}], **status},
        }
        self.logs[path] = log

    def answer(self, method, path, query, body):
        """The status and the document, or the bytes of a log."""
        self.asked.append((method, path))
        if method == "POST":
            return self._created(path, body)
        if path.endswith("/log"):
            pod = path.removesuffix("/log")
            return (200, self.logs[pod]) if pod in self.logs else _status(404, "NotFound", path)
        if method == "GET" and path not in self.objects and path.rpartition("/")[2] in ("jobs", "pods"):
            return 200, {"kind": "List", "items": self._listed(path, query)}
        if path not in self.objects:
            return _status(404, "NotFound", path)
        if method == "DELETE":
            self._remove(path)
            return _status(200, "Success", path)
        if method == "PUT":
            self.objects[path] = body
        return 200, self.objects[path]

    def _created(self, path, body):
        head, inside, _ = path.partition("/namespaces/")
        space = f"/api/v1/namespaces/{path.removeprefix(head + inside).partition('/')[0]}"
        if inside and space not in self.objects:
            return _status(404, "NotFound", space)
        place = f"{path}/{body['metadata']['name']}"
        if place in self.objects:
            return _status(409, "AlreadyExists", place)
        number = next(self.numbers)
        body["metadata"] |= {"uid": f"uid-{number}", "creationTimestamp": f"2026-01-31T12:{number:06d}Z"}
        self.objects[place] = body
        return 201, body

    def _listed(self, path, query):
        wanted = [one.split("=") for one in query.get("labelSelector", [""])[0].split(",") if one]
        return [
            one
            for place, one in self.objects.items()
            if place.rpartition("/")[0] == path
            and all(one["metadata"].get("labels", {}).get(name) == value for name, value in wanted)
        ]

    def _remove(self, path):
        """In the background what belongs to it goes as well."""
        gone = self.objects.pop(path)["metadata"]
        for place, one in list(self.objects.items()):
            owners = [owner["uid"] for owner in one.get("metadata", {}).get("ownerReferences", ())]
            labels = one.get("metadata", {}).get("labels", {})
            if gone.get("uid") in owners or labels.get("batch.kubernetes.io/job-name") == gone["name"]:
                del self.objects[place]


def _status(code, reason, path):
    *_, kind, name = path.split("/")
    said = {"NotFound": f'{kind} "{name}" not found', "AlreadyExists": f'{kind} "{name}" already exists'}
    return code, {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Success" if code < 400 else "Failure",
        "message": said.get(reason, ""),
        "reason": reason if code >= 400 else "",
        "code": code,
    }


@contextmanager
def running(folder, *namespaces):
    """A cluster with these namespaces, and in the folder a `config` for kubectl whose context names the first one."""
    cluster = Cluster(*namespaces)

    class Handler(BaseHTTPRequestHandler):
        def reply(self):
            asked = urlsplit(self.path)
            data = self.body()
            body = json.loads(data) if data else None
            code, said = cluster.answer(self.command, asked.path, parse_qs(asked.query), body)
            data = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(code)
            self.send_header("Content-Type", "text/plain" if isinstance(said, bytes) else "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def body(self):
            """What was sent; kubectl sends what it reads from a pipe in chunks."""
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            found = b""
            while size := int(self.rfile.readline(), 16):
                found += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return found

        do_GET = do_POST = do_PUT = do_DELETE = reply

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    cluster.url = f"http://127.0.0.1:{server.server_address[1]}"
    context = {"cluster": "here", "user": "me", **({"namespace": namespaces[0]} if namespaces else {})}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "here", "cluster": {"server": cluster.url}}],
        "users": [{"name": "me", "user": {}}],
        "contexts": [{"name": "test", "context": context}],
    }
    (folder / "config").write_text(json.dumps(config))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield cluster
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
