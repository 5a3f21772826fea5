"""The model card of a run: only what the run itself says, and the licence that the user named."""

from __future__ import annotations

from typing import Any

from exporting.source import Source
from runs.folder import DamagedFile
from utils.types import printable

METRICS = {"accuracy": "accuracy", "top5_accuracy": "top-5 accuracy", "f1": "f1", "character_error_rate": "cer"}
"""Of the summary -> type on a hub."""
TIMM = """    import timm
    model = timm.create_model("hf-hub:OWNER/NAME", pretrained=True).eval()    # or local-dir:FOLDER

timm's own transform resizes by Pillow and differs from training by a level in some pixels{gray}.
"""
OURS = """timm cannot build this network. In Lossbench:

    architecture: {architecture}
    weights_path: model.safetensors
"""


def card(source: Source, timm_name: str | None) -> str:
    """Return README.md of the hub's folder."""
    from huggingface_hub import EvalResult, ModelCardData

    about, summary = source.about, read_summary(source)
    results = [
        EvalResult(
            task_type="image-classification" if about["kind"] == "image" else "image-to-text",
            dataset_type=about["dataset"],
            dataset_name=about["dataset"],
            dataset_split="test",
            metric_type=kind,
            metric_value=round(value, 6),
        )
        for name, kind in METRICS.items()
        if isinstance(value := summary.get(f"test/{name}"), float)
    ]
    data = ModelCardData(
        license=source.request.license,
        library_name="timm" if timm_name else None,
        pipeline_tag="image-classification" if about["kind"] == "image" else "image-to-text",
        tags=["lossbench", about["loss"]["name"]],
        model_name=about["run"]["name"] if results else None,
        eval_results=results or None,
    )
    return f"---\n{data.to_yaml()}\n---\n\n{_body(source, timm_name, summary)}"


def read_summary(source: Source) -> dict[str, Any]:
    """Return the run's final numbers, none for one that is not finished or whose file is damaged."""
    try:
        return source.subject.folder.finished_summary() or {}
    except DamagedFile:
        return {}


def _body(source: Source, timm_name: str | None, summary: dict[str, Any]) -> str:
    config, about = source.config, source.about
    gray = ", and makes no gray images, which this network sees" if config.convert_to_grayscale else ""
    loading = TIMM.format(gray=gray) if timm_name else OURS.format(architecture=about["architecture"])
    start = "published weights of the architecture" if config.pretrained else "random weights"
    start = "weights from a file of its trainer's" if config.weights_path else start
    split = "held-out training images" if config.select_on == "valid" else "the test images themselves"
    numbers = [f"| {name} | {summary[key]:.4f} |" for key, name in _shown(summary)]
    steps = "\n".join(f"{number}. {step}" for number, step in enumerate(about["before_input"], 1))
    sentences = [
        f"# {about['run']['name']}",
        f"`{about['architecture']}` for {len(about['classes'])} classes of `{about['dataset']}`, trained by "
        f"`{about['loss']['name']}` from {start}, seed {config.seed}; "
        f"epoch {about['run']['epoch']}, selected on {split}.",
        "" if about["run"]["finished"] else "The run was not finished when it was exported.",
        "\n".join(["| test | value (1 seed) |", "| --- | --- |", *numbers]) if numbers else "",
        "## Use",
        loading,
        "Scores mean what the loss says: its `predict` may not be their argmax. "
        "Lossbench's targets `onnx` and `page` hold the loss's own answers."
        + ("" if about["calibrated"] else " Its probabilities are a convention, not a posterior."),
        "Before the network, which then subtracts a mean and divides by a standard deviation (config.json):",
        steps,
        "## Provenance",
        f"Run fingerprint {summary.get('fingerprint', 'unknown')}; data fingerprint "
        f"{source.subject.folder.read_environment().get('data_fingerprint', 'unknown')}; "
        + ", ".join(f"{name} {version}" for name, version in about["versions"].items())
        + ".",
    ]
    return printable_lines("\n\n".join(filter(None, sentences))) + "\n"


def _shown(summary: dict[str, Any]) -> list[tuple[str, str]]:
    names = [(f"test/{name}", name.replace("_", " ")) for name in (*METRICS, "cross_entropy", "rejected")]
    return [(key, name) for key, name in names if isinstance(summary.get(key), float)]


def printable_lines(text: str) -> str:
    return "\n".join(map(printable, text.split("\n")))
