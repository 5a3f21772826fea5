"""Firefox, driven by WebDriver BiDi."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import websocket

NAMES = ("firefox-esr", "firefox")
SECONDS = 180


def find_firefox() -> str | None:
    return next((path for path in map(shutil.which, NAMES) if path is not None), None)


class Firefox:
    """One tab. Attributes: errors: what its console showed."""

    def __init__(self, port: int) -> None:
        self._socket = _connect(f"ws://127.0.0.1:{port}/session")
        self._numbers = itertools.count(1)
        self.errors: list[str] = []
        self.call("session.new", capabilities={})
        self.call("session.subscribe", events=["log.entryAdded"])
        self.context = self.call("browsingContext.getTree")["contexts"][0]["context"]

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while (message := json.loads(self._socket.recv())).get("id") != number:
            if message.get("method") == "log.entryAdded" and message["params"].get("level") == "error":
                self.errors.append(str(message["params"].get("text")))
        assert message["type"] == "success", message
        return message["result"]

    def open(self, path: Path) -> None:
        self.call("browsingContext.navigate", context=self.context, url=path.as_uri(), wait="complete")

    def run(self, expression: str) -> Any:
        """Return an expression's value, by JSON; a promise's when it is there."""
        target = {"context": self.context}
        code = f"(async () => JSON.stringify(await ({expression})))()"
        answer = self.call("script.evaluate", expression=code, target=target, awaitPromise=True)
        assert answer["type"] == "success", answer
        return json.loads(answer["result"].get("value", "null"))

    def close(self) -> None:
        self._socket.close()

    def picture(self) -> bytes:
        return base64.b64decode(self.call("browsingContext.captureScreenshot", context=self.context)["data"])


def _connect(address: str) -> websocket.WebSocket:
    end = time.monotonic() + SECONDS
    while True:
        try:
            return websocket.create_connection(address, timeout=SECONDS, suppress_origin=True)
        except (OSError, websocket.WebSocketException):
            assert time.monotonic() < end, "Firefox did not start"
            time.sleep(0.2)


@contextlib.contextmanager
def firefox(program: str, width: int = 900, height: int = 1000) -> Iterator[Firefox]:
    """Start a browser that leaves nothing behind."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        command = [program, "--headless", "--no-remote", "--profile", folder, "--remote-debugging-port", str(port)]
        command += ["--width", str(width), "--height", str(height)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                browser = Firefox(port)
                try:
                    yield browser
                finally:
                    browser.close()
            finally:
                process.terminate()
                process.wait(SECONDS)
