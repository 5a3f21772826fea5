"""The page: in browsers, from a file, it sees the project's own pixels and gives the run's own answers."""

from __future__ import annotations

import base64
import re
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datasets.base import ImageTable
from datasets.preprocessing import Preprocessing
from exporting.browser_runtime import runtime_problem
from exporting.deployed import Deployed
from exporting.onnx_model import session, to_onnx
from exporting.page import assemble
from losses import build_loss
from losses.contract import Task
from models import build_model
from tests.comparison.browser import chromium, find_chromium
from tests.exporting.firefox import find_firefox, firefox

HOSTILE = "</script><img src=x onerror='window.hit=1'><!--"
SIZES = {3: (48, 60), 1: (24, 94)}


@pytest.fixture(scope="module", params=[3, 1], ids=["colour", "gray"])
def page(request, runtime, tmp_path_factory):
    """A small network's page, with a class name that is markup."""
    height, width = SIZES[request.param]
    network = build_model("test_resnet", 3, request.param)
    loss = build_loss("OneSidedMarginLoss", Task(3, 10, network.get_classifier()))
    preparation = Preprocessing(
        (height, width), grayscale=request.param == 1, mean=(0.4,) * request.param, std=(0.2,) * request.param
    )
    classifier: Any = SimpleNamespace(network=network, own_head=None, loss=loss.eval())
    module = Deployed(classifier, preparation)
    pixels = np.random.default_rng(0).integers(0, 256, (3, request.param, height, width), dtype=np.uint8)
    content = to_onnx(module, pixels)
    model = session(content)
    answers = model(pixels)
    about = {
        "title": HOSTILE,
        "subtitle": "a test",
        "kind": "image",
        "classes": ["a", HOSTILE, "c"],
        "calibrated": True,
        "input": {"height": height, "width": width, "channels": request.param, "gray": [19595, 38470, 7471]},
        "expected": {
            "count": 3,
            "tolerance": 1e-4,
            "prediction": answers.prediction.tolist(),
            "probabilities": answers.probabilities.tolist(),
        },
    }
    folder = tmp_path_factory.mktemp("page")
    (folder / "page.html").write_text(assemble(about, content, pixels.tobytes(), runtime), "utf-8")
    wrong = about | {"expected": about["expected"] | {"probabilities": (answers.probabilities / 2).tolist()}}
    (folder / "wrong.html").write_text(assemble(wrong, content, pixels.tobytes(), runtime), "utf-8")
    return SimpleNamespace(folder=folder, preparation=preparation, model=model)


def photos(folder: Path) -> list[Path]:
    """Write pictures of every kind that browsers and Pillow read alike."""
    random = np.random.default_rng(1)
    smooth = np.asarray(Image.fromarray(random.integers(0, 256, (9, 12, 4), dtype=np.uint8)).resize((211, 157)))
    colour = Image.fromarray(smooth[..., :3])
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = Image.fromarray((smooth[..., 0].astype(np.uint16) << 8) + 7)
    opaque = smooth.copy()
    opaque[..., 3] = np.where(smooth[..., 3] > 128, 255, 0)
    kinds: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "plain.png": (colour, {}),
        "turned.jpg": (colour, {"exif": exif, "quality": 92}),
        "gray.jpg": (colour.convert("L"), {"quality": 90}),
        "cmyk.jpg": (colour.convert("CMYK"), {"quality": 95}),
        "palette.png": (colour.quantize(40), {}),
        "sixteen.png": (deep, {}),
        "alpha.png": (Image.fromarray(opaque), {}),
        "photo.bmp": (colour, {}),
        "progressive.jpg": (colour, {"progressive": True, "quality": 60, "subsampling": 2}),
    }
    for name, (image, options) in kinds.items():
        image.save(folder / name, **options)
    return [folder / name for name in kinds]


def ready(browser) -> None:
    end = time.monotonic() + 180
    while not browser.run("!!(window.ready || window.failed)"):
        assert time.monotonic() < end
        time.sleep(0.1)


def give(browser, content: bytes) -> dict[str, Any]:
    """Give a page a file, and return what it saw and answered."""
    text = base64.b64encode(content).decode()
    code = f"Uint8Array.from(atob('{text}'), c => c.charCodeAt(0))"
    browser.run(f"(window.last = null, look(new Blob([{code}])).then(() => 0))")
    return browser.run("window.last")


def open_browser(name: str) -> Any:
    program = find_chromium() if name == "chromium" else find_firefox()
    if program is None:
        pytest.skip(f"no {name} here")
    return chromium(program) if name == "chromium" else firefox(program)


@pytest.mark.parametrize("name", ["chromium", "firefox"])
def test_a_browser_sees_the_same_pixels_and_gives_the_same_answers(page, name, tmp_path):
    with open_browser(name) as browser:
        show = (lambda path: browser.open(path, 390)) if name == "chromium" else browser.open
        show(page.folder / "page.html")
        ready(browser)
        assert browser.run("window.failed || window.checked").startswith("Checked on this device: 3 images get the")
        for path in photos(tmp_path):
            last = give(browser, path.read_bytes())
            own = page.preparation.load(ImageTable([path], np.zeros(1, dtype=np.int64)), 0).transpose(2, 0, 1)
            seen = np.array(last["pixels"], dtype=np.uint8).reshape(own.shape)
            rounds = name == "firefox" and path.name == "sixteen.png"  # 16 bits to 8, where the project cuts
            assert np.abs(seen.astype(int) - own).max() <= int(rounds), path.name
            answer = page.model(seen[None])
            assert last["prediction"] == answer.prediction.tolist()
            np.testing.assert_allclose(last["probabilities"], answer.probabilities[0], atol=1e-5)
        assert browser.run("document.getElementById('title').textContent") == HOSTILE
        assert browser.run("document.querySelectorAll('img').length") == 1
        assert browser.run("!!window.hit") is False
        assert give(browser, b"no picture at all") is None
        assert browser.run("document.getElementById('seen').hidden") is True
        assert "cannot read that as a picture" in browser.run("document.getElementById('status').textContent")
        if name == "chromium":
            assert browser.run("document.documentElement.scrollWidth") <= 390
            assert [url for url in browser.requests if not url.startswith(("file:", "blob:"))] == []
        show(page.folder / "wrong.html")
        ready(browser)
        assert browser.run("window.same") is False
        assert "do not rely on them" in browser.run("document.getElementById('status').textContent")


def test_a_page_asks_for_nothing_and_runs_its_own_script_alone(page):
    text = (page.folder / "page.html").read_text("utf-8")
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]
    assert text.count("</script>") == 5
    assert "http-equiv" in text
    assert not re.findall(r'(?:src|href)="', text.partition('<script id="about"')[0])


def test_another_runtime_is_refused_with_what_installs_the_right_one(tmp_path, runtime):
    assert runtime_problem(runtime) is None
    problem = runtime_problem(tmp_path)
    assert problem is not None
    assert problem.startswith(f"--runtime {tmp_path}: no ort.wasm.bundle.min.mjs in {tmp_path}; npm install")
    for file in runtime.glob("ort*wasm*"):
        (tmp_path / file.name).write_bytes(b"another")
    assert "is not that of onnxruntime-web" in str(runtime_problem(tmp_path))
