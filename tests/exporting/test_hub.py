"""Weights and a hub's folder: read back by those who did not write them, and no claim that the run does not make."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard

import export as script
from exporting.requests import Request
from exporting.source import Source

ROOT = Path(__file__).resolve().parents[2]
LICENSE = ("--license", "other")


@pytest.fixture
def run(trained):
    return trained(accelerator="cpu").path


def test_timm_loads_its_own_network_with_identical_scores(run):
    import timm

    assert script.main([str(run), "--to", "hub,weights", *LICENSE]) == 0
    folder = run / "export" / "hub"
    source = Source(Request([str(run)]), print)
    network = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    pixels = torch.from_numpy(source.sample.pixels[:9])
    with torch.no_grad():
        theirs, ours = network(source.sample.preprocessing.to_numbers(pixels)), source.deployed(pixels)[0]
    assert torch.equal(theirs, ours)
    content = json.loads((folder / "config.json").read_text())
    assert content["pretrained_cfg"]["license"] == "other"
    claims = {"tag", "origin_url", "hf_hub_id", "paper_ids", "url", "architecture"}
    assert not claims & content["pretrained_cfg"].keys()
    assert content["label_names"] == [str(k) for k in range(10)]


def test_the_card_says_what_the_run_says(run):
    assert script.main([str(run), "--to", "hub", *LICENSE]) == 0
    card: Any = ModelCard.load(run / "export" / "hub" / "README.md")
    summary = json.loads((run / "summary.json").read_text())
    assert card.data.license == "other"
    values = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert values["accuracy"] == round(summary["test/accuracy"], 6)
    assert "from random weights" in card.text
    assert "selected on held-out training images" in card.text
    assert summary["fingerprint"] in card.text
    assert str(run.parent) not in card.content


def test_weights_are_read_back_as_weights_path(run, quick):
    from models import build_model

    assert script.main([str(run), "--to", "weights"]) == 0
    file = run / "export" / "weights" / "model.safetensors"
    network = build_model("test_resnet", 10, 1, weights_path=file)
    source = Source(Request([str(run)]), print)
    own = source.subject.classifier.network.state_dict()
    assert all(torch.equal(value, own[name]) for name, value in network.state_dict().items())


class _Hub(BaseHTTPRequestHandler):
    """A stand-in: takes small files, as a hub does."""

    seen: list[tuple[str, str, Any]]

    def do_POST(self):
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size)
        self.server.seen.append((self.path, self.headers.get("Authorization"), body))  # type: ignore[attr-defined]
        answer: dict[str, Any] = {}
        if self.path == "/api/repos/create":
            answer = {"url": f"http://{self.headers['Host']}/me/mine", "id": "me/mine", "name": "me/mine"}
        elif "preupload" in self.path:
            files = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None}
                for f in json.loads(body)["files"]
            ]
            answer = {"files": files}
        elif "commit" in self.path:
            answer = {
                "commitUrl": f"http://{self.headers['Host']}/me/mine/commit/{'1' * 40}",
                "commitOid": "1" * 40,
                "success": True,
            }
        self._answer(200, answer)

    def do_GET(self):
        self._answer(200, {"id": "me/mine", "siblings": [], "sha": "0" * 40})

    def _answer(self, status, content):
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *arguments):
        pass


def push(run: Path, address: str) -> subprocess.CompletedProcess:
    words = [sys.executable, "export.py", str(run), "--to", "hub", *LICENSE, "--push", "me/mine", "--fresh"]
    environment = {**os.environ, "HF_ENDPOINT": address, "HF_TOKEN": "hf_token_of_a_test", "HF_HUB_DISABLE_XET": "1"}
    environment |= {"HF_HUB_OFFLINE": "0", "TRANSFORMERS_OFFLINE": "0"}
    return subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)


def test_a_folder_is_pushed_to_a_stand_in_and_stays_where_none_answers(run):
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    server.seen = []  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        done = push(run, f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        server.server_close()
    assert done.returncode == 0, done.stderr
    seen = server.seen  # type: ignore[attr-defined]
    assert {authorization for _, authorization, _ in seen} == {"Bearer hf_token_of_a_test"}
    (commit,) = [body for path, _, body in seen if "commit" in path]
    names = {value["path"] for row in commit.splitlines() if (value := json.loads(row)["value"]) and "path" in value}
    assert names == {"README.md", "config.json", "model.safetensors"}
    assert "hf_token_of_a_test" not in done.stdout + done.stderr
    failed = push(run, f"http://127.0.0.1:{server.server_port}")
    assert failed.returncode == 1
    assert "--push me/mine: " in failed.stderr
    assert "Traceback" not in failed.stderr
    assert (run / "export" / "hub" / "README.md").is_file()
