"""A page on real test images, and a Chromium that shows it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser, chromium
from leaving import leave
from pages import HOSTILE, LOSSES, NETWORKS, PROGRAM, SEEDS, complaints, write

from datasets.sets.digits import digits


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """18 runs of 3 losses, 3 seeds and 2 networks on the real test images, in a folder with a hostile name."""
    folder = tmp_path_factory.mktemp("page")
    draw = random.Random(3)
    labels = digits().test.labels.tolist()
    for network in NETWORKS:
        for place, loss in enumerate(LOSSES):
            for seed in range(SEEDS):
                right = [draw.random() < 0.95 - 0.1 * place for _ in labels]
                epochs = [0.9 - 0.8 / (epoch + 1) + 0.05 * draw.random() for epoch in range(30)]
                costs = {"multiply_adds": 10**9 if network == "resnet10t" else 10**7, HOSTILE: 1.0}
                changes = (f"loss_function={loss}", f"architecture={network}", f"seed={seed}")
                leave(folder / "<img src=x>", *changes, right=right, targets=labels, epochs=epochs, summary=costs)
    return write(folder / "page.html", folder / "<img src=x>")


@pytest.fixture(scope="session")
def started() -> Iterator[Browser]:
    assert PROGRAM is not None
    with chromium(PROGRAM) as browser:
        yield browser


@pytest.fixture
def opened(started: Browser, page: Path) -> Iterator[Browser]:
    """The page, opened anew; it must complain of nothing and ask for nothing."""
    started.open(page, 1280)
    yield started
    assert complaints(started) == []
    assert started.requests == [page.as_uri()]
