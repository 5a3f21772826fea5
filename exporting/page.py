"""Target `page`: one HTML file that classifies photos in a browser, without a server and without a network."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from pathlib import Path

from exporting.browser_runtime import FILES, find_runtime
from exporting.checking import in_words
from exporting.onnx_folder import check_preparation
from exporting.onnx_model import session
from exporting.source import Source, as_json

HERE = Path(__file__).parent
POLICY = (
    "default-src 'none'; script-src 'sha256-{digest}' 'wasm-unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src blob:; base-uri 'none'; form-action 'none'"
)
ORIGIN = 'typeof location>"u"?void 0:location.origin'
"""In the runtime. From a file it is "null" in Firefox, of which no address can be made: the runtime fails to load."""


def page(source: Source, folder: Path) -> list[str]:
    """Write page.html. Raises: CheckFailed."""
    model = source.onnx
    check_preparation(source.sample)
    pixels = source.check_pixels()
    about = source.about | {
        "title": f"{source.about['dataset']}: {source.about['architecture']}",
        "subtitle": f"{len(source.classes)} {'characters' if source.loss.kind == 'sequence' else 'classes'}, "
        f"trained with {source.about['loss']['name']}; {100 * model.checked['accuracy']:.1f} % of "
        f"{model.checked['images']:,} test images right",
        "expected": source.expected(session(model.content)(pixels)),
    }
    text = assemble(about, model.content, pixels.tobytes(), find_runtime(source.request.runtime))
    folder.joinpath("page.html").write_text(text, encoding="utf-8")
    return [in_words(model.checked), f"page.html  {len(text.encode()) / 1e6:.1f} MB: open it, or send it to a phone"]


def assemble(about: dict, model: bytes, check: bytes, runtime: Path) -> str:
    """Return the page. Args: runtime: folder of the browser's runtime."""
    bundle, wasm = (runtime / name for name in FILES)
    parts = [as_object(bundle.read_text(encoding="utf-8")), *(HERE.joinpath(n).read_text("utf-8") for n in PROGRAM)]
    program = "\n".join(parts)
    program = program.replace("</script", "<\\/script").replace("<!--", "<\\!--")
    digest = base64.b64encode(hashlib.sha256(program.encode()).digest()).decode()
    fillings = {
        "policy": POLICY.format(digest=digest),
        "about": json.dumps(json.loads(as_json(about)), ensure_ascii=False).replace("<", "\\u003c"),
        "model": packed(model),
        "wasm": packed(wasm.read_bytes()),
        "check": packed(check),
        "program": program,
    }
    pieces = re.split(r"@@(\w+)@@", HERE.joinpath("page.html").read_text(encoding="utf-8"))
    return "".join(fillings[piece] if number % 2 else piece for number, piece in enumerate(pieces))


PROGRAM = ("prepare.js", "page.js")


def as_object(bundle: str) -> str:
    """Return the runtime's module as code that defines `ort`: from a file, no browser imports a module."""
    match = re.search(r"export\{([^}]*)\};?\s*(//# sourceMappingURL=\S*)?\s*$", bundle)
    assert match is not None
    assert bundle.count(ORIGIN) == 1
    pairs = [pair.split(" as ") for pair in match[1].split(",")]
    names = ",".join(f"{json.dumps(public)}:{private}" for private, public in pairs)
    body = bundle[: match.start()].replace(ORIGIN, 'location.origin==="null"?"file://":location.origin')
    return f"{body}const ort={{{names}}};"


def packed(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()
