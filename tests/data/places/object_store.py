"""An object store on this machine, started once for the tests of a process, with faults on request."""

import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

_SLOW_DOWN = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code>'
    b"<Message>Please reduce your request rate.</Message></Error>"
)
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}  # fmt: skip


@dataclass
class Fault:
    """What a request for a key gets instead of its answer, so many times."""

    key: str  # a pattern
    kind: str  # slow down, cut, hang
    times: int
    seconds: float = 0.0


@dataclass
class ObjectStore:
    """The address of the store, and the faults that are still to come; `requests` counts those that were made."""

    endpoint: str
    client: object
    faults: list[Fault] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def put(self, bucket: str, folder: Path, prefix: str = "") -> str:
        """Copy the files of a folder into a new bucket; return its address."""
        self.client.create_bucket(Bucket=bucket)
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                key = prefix + path.relative_to(folder).as_posix()
                self.client.put_object(Bucket=bucket, Key=key, Body=path.read_bytes())
        return f"s3://{bucket}/{prefix}".rstrip("/")

    @contextmanager
    def failing(self, key: str, kind: str, times: int, seconds: float = 0.0) -> Iterator[None]:
        """Fail the next requests for a key."""
        self.faults.append(Fault(key, kind, times, seconds))
        try:
            yield
        finally:
            self.faults.clear()


def start() -> ObjectStore:
    """Start the store on a free port; skip the tests where the packages are missing."""
    pytest.importorskip("s3fs", reason="s3fs is not installed: pip install 'udaseg[dev]'")
    pytest.importorskip("flask_cors", reason="flask-cors is not installed: pip install 'udaseg[dev]'")
    pytest.importorskip("moto", reason="moto is not installed: pip install 'udaseg[dev]'")
    import boto3
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        def log(self, type, message, *args):
            pass

    moto = DomainDispatcherApplication(create_backend_app)

    def answer(environ, start_response):
        path = environ["PATH_INFO"]
        store.requests.append(f"{environ['REQUEST_METHOD']} {path}")
        for fault in store.faults:
            if fault.times and environ["REQUEST_METHOD"] == "GET" and re.search(fault.key, path):
                fault.times -= 1
                if fault.kind == "slow down":
                    start_response("503 Slow Down", [("Content-Type", "application/xml")])
                    return [_SLOW_DOWN]
                if fault.kind == "hang":
                    time.sleep(fault.seconds)
                if fault.kind == "cut":
                    start_response("200 OK", [("Content-Length", "100000")])
                    return [b"x" * 100]
        return moto(environ, start_response)

    server = make_server("127.0.0.1", 0, answer, threaded=True, request_handler=Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="testing",
                          aws_secret_access_key="testing")  # fmt: skip
    store = ObjectStore(endpoint, client)
    return store
