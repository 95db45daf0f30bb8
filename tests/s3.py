"""A real S3-speaking server that tests start, kill, start again and remove themselves.

moto answers, in a process of its own on loopback, on a port of the system's choice. It keeps
objects in memory; around it this file puts what a real server has and moto leaves out: what was
acknowledged is there again after a kill (every request that changes something is written down
before it is answered, and done again at the next start), and a body that is not the one its
Content-MD5 speaks of is refused. It also does on demand what a real server does on a bad day.
It ends with the process that started it, however that ends.
"""

import base64
import hashlib
import io
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

STARTS_WITHIN_S = 60.0
PAGE = 20
"""Keys in one page of a list: few, so that tests meet more than one."""

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "tests",
    "AWS_SECRET_ACCESS_KEY": "a-secret-of-tests",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "NO_PROXY": "127.0.0.1",
}
"""What a client of it needs, and nothing of whoever runs the tests."""

_CHANGES = ("PUT", "POST", "DELETE")


class S3:
    """One server. After a restart it has the same port and the same objects."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="rankspace-s3-"))
        self._rooms = count()
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    @property
    def endpoint(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Return once it answers."""
        port_file = self._folder / "port"
        port_file.unlink(missing_ok=True)
        command: list[str | Path] = [sys.executable, "-P", Path(__file__)]
        command += [self._folder, str(self._port), str(os.getpid())]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                env=os.environ | {"MOTO_S3_DEFAULT_MAX_KEYS": str(PAGE)},
            )
        until = time.monotonic() + STARTS_WITHIN_S
        while not (port_file.exists() and port_file.read_text()):
            assert self._process.poll() is None, (self._folder / "log").read_text()
            assert time.monotonic() < until, (self._folder / "log").read_text()
            time.sleep(0.02)
        self._port = int(port_file.read_text())

    def send(self, what: signal.Signals) -> None:
        """Send the server a signal: SIGSTOP makes it hang, SIGCONT ends that."""
        assert self._process is not None
        self._process.send_signal(what)

    def end(self, how: signal.Signals = signal.SIGKILL) -> None:
        """Stop it, as a crash does if nothing else is said."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(how)
            self._process.wait(timeout=30)

    def heal(self) -> None:
        """Start it again where a test has left it dead, and let it do its work."""
        self.behave()
        if self._process is None or self._process.poll() is not None:
            self.start()
        self.send(signal.SIGCONT)

    def behave(self, **how: object) -> None:
        """From now on do as it should, if nothing is said.

        Or: answer `status` to `share` of requests; `flip`: bodies arrive changed; `delay_s` before
        each answer. `only` names the method of which that is so.
        """
        new = self._folder / "behaviour.new"
        new.write_text(json.dumps(how))
        new.rename(self._folder / "behaviour")

    def fresh(self) -> str:
        """The name of a bucket of its own, made and empty."""
        name = f"room{next(self._rooms)}"
        self.client().create_bucket(Bucket=name)
        return name

    def keys(self, bucket: str) -> list[str]:
        """What lies in a bucket."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return [found["Key"] for page in pages for found in page.get("Contents", ())]

    @cache  # noqa: B019 - as long as the server, which lives as long as the tests
    def client(self) -> Any:
        """A plain client of it, apart from the code under test."""
        import boto3

        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=ENVIRONMENT["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=ENVIRONMENT["AWS_SECRET_ACCESS_KEY"],
        )

    def remove(self) -> None:
        """Stop it and delete all it has."""
        self.end()
        shutil.rmtree(self._folder)


def running() -> Iterator[S3]:
    """A server, as long as somebody needs it."""
    server = S3()
    try:
        server.start()
        yield server
    finally:
        server.remove()


class _Lasting:
    """moto's application, with a log of its changes and a temper."""

    def __init__(self, application: Any, folder: Path) -> None:
        self._application = application
        self._behaviour = folder / "behaviour"
        self._turn = threading.Lock()
        changes = folder / "changes"
        changes.touch()
        with changes.open("rb") as log:
            self._repeat(log)
        self._log = changes.open("ab")

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        how = json.loads(self._behaviour.read_text()) if self._behaviour.exists() else {}
        if how.get("only", environ["REQUEST_METHOD"]) != environ["REQUEST_METHOD"]:
            how = {}
        if how.get("flip") and body:
            body = bytes([body[0] ^ 1]) + body[1:]
        time.sleep(how.get("delay_s", 0.0))
        status = how.get("status", 0)
        if status and int.from_bytes(os.urandom(2)) < how.get("share", 1.0) * (1 << 16):
            return _refuse(start_response, f"{status} Refused", "AskedFor")
        md5 = environ.get("HTTP_CONTENT_MD5")
        if md5 and base64.b64decode(md5) != hashlib.md5(body, usedforsecurity=False).digest():
            return _refuse(start_response, "400 Bad Request", "BadDigest")
        if environ["REQUEST_METHOD"] in _CHANGES:
            plain = {name: value for name, value in environ.items() if isinstance(value, str)}
            with self._turn:
                pickle.dump((plain, body), self._log)
                self._log.flush()
        return self._application(environ | {"wsgi.input": io.BytesIO(body)}, start_response)

    def _repeat(self, log: Any) -> None:
        from werkzeug.test import run_wsgi_app

        while True:
            try:
                plain, body = pickle.load(log)  # noqa: S301 - written by this file
            except (EOFError, pickle.UnpicklingError):
                return  # the last one was never answered
            environ = plain | {"wsgi.input": io.BytesIO(body), "wsgi.errors": sys.stderr}
            environ |= {"wsgi.url_scheme": "http", "wsgi.version": (1, 0)}
            run_wsgi_app(self._application, environ, buffered=True)


def _refuse(start_response: Any, status: str, code: str) -> Iterable[bytes]:
    start_response(status, [("Content-Type", "application/xml"), ("Connection", "close")])
    return [f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()]


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(1)


def _main(folder: Path, port: int, parent: int) -> None:
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server

    application = _Lasting(DomainDispatcherApplication(create_backend_app), folder)
    server = make_server(
        "127.0.0.1", port, application, threaded=True, request_handler=MotoRequestHandler
    )
    (folder / "port").write_text(str(server.server_port))
    server.serve_forever()


if __name__ == "__main__":
    _main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
