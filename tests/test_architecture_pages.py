"""models/sizes.csv says what the networks cost, docs/architectures.md what the file and the networks say."""

from __future__ import annotations

import pytest
from torchvision import models as tv

from docs import architecture_pages
from docs.architecture_pages import LIBRARY, PAGE, build, count, described, keep_counts, page, size_of_image
from models import ARCHITECTURES
from models.flops import count_parameters
from models.sizes import FILE, Size, as_csv, read_sizes, short_number
from utils.lookup import load_entry, torchvision_architectures


def test_the_page_is_what_the_file_and_the_docstrings_say():
    assert PAGE.read_text(encoding="utf-8") == page(), "run python docs/architecture_pages.py"


ONE_OF_EACH_FILE = {entry.location.partition(":")[0]: name for name, entry in ARCHITECTURES.items()}.values()


@pytest.mark.parametrize("name", ONE_OF_EACH_FILE)
def test_costs_of_ours_are_kept_as_they_are(name):
    assert read_sizes()[name] == count(name), f"run python docs/architecture_pages.py {name}"


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_sizes_of_ours_are_kept_as_they_are(name):
    size, network = read_sizes()[name], build(name)
    assert size.parameters == count_parameters(network), f"run python docs/architecture_pages.py {name}"
    assert size.features == network.num_features
    assert size.image_size == size_of_image(network.image_size)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_network_of_ours_names_its_source(name):
    source = described(load_entry(ARCHITECTURES[name]))["Source"]
    assert any(place in source for place in ("arXiv", "CVPR"))


def test_costs_of_torchvisions_are_those_that_it_publishes():
    sizes = read_sizes()
    published = 0
    for name in torchvision_architectures():
        weights = tv.get_model_weights(name.removeprefix("torchvision/")).DEFAULT  # type: ignore
        size = sizes[name]
        if size.image_size == str(weights.transforms().crop_size[0]) and name != "torchvision/inception_v3":
            assert size.parameters == weights.meta["num_params"], name
            assert size.multiply_adds == pytest.approx(weights.meta["_ops"] * 1e9, rel=0.02, abs=1e6), name
            published += 1
    assert published > 70  # all but Inception, whose side branch is left out, and a ViT published for larger images


def test_the_file_is_sorted_and_read_back_as_it_was_written(tmp_path, monkeypatch):
    assert as_csv(read_sizes()) == FILE.read_text(encoding="utf-8")
    sizes = {"b": Size(1, None, "24x94", 3), "a": Size(problem="it has several last layers, or none")}
    text = as_csv(sizes)
    assert text.splitlines()[1:] == ['a,,,,,"it has several last layers, or none"', "b,1,,24x94,3,"]
    monkeypatch.setattr("models.sizes.FILE", tmp_path / "sizes.csv")
    assert read_sizes() == {}
    (tmp_path / "sizes.csv").write_text(text, encoding="utf-8")
    assert read_sizes() == sizes


def test_only_what_is_named_or_missing_is_counted(tmp_path, monkeypatch, capsys):
    file = tmp_path / "sizes.csv"
    monkeypatch.setattr("models.sizes.FILE", file)
    monkeypatch.setattr(architecture_pages, "FILE", file)
    monkeypatch.setattr(architecture_pages, "architecture_names", lambda: ("ghost", "test_resnet", "x", "y"))
    monkeypatch.setattr(architecture_pages, "count", lambda name: Size(parameters=len(name)))
    file.write_text(as_csv({"x": Size(7), "y": Size(8), "gone": Size(9)}), encoding="utf-8")
    keep_counts(["y"])
    assert {name: size.parameters for name, size in read_sizes().items()} == {
        "gone": 9,
        "test_resnet": 11,
        "x": 7,
        "y": 1,
    }
    assert capsys.readouterr().out == "2 of 2 counted\n"
    keep_counts([])
    assert capsys.readouterr().out == ""


def test_a_square_image_is_told_by_one_number():
    assert size_of_image((224, 224)) == "224"
    assert size_of_image((24, 94)) == "24x94"


def test_a_network_outside_the_contract_is_kept_with_the_reason():
    problem = "its last layer is a convolution, not a layer over a vector of features"
    assert count("dla34") == read_sizes().get("dla34", Size(problem=problem)) == Size(problem=problem)


def test_the_page_has_a_row_for_every_network_it_names():
    text = page()
    for name in (*ARCHITECTURES, *LIBRARY):
        assert f"\n| `{name}` | {read_sizes()[name].parameters:,} | " in text


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        *((None, "-"), (0, "0"), (999, "999"), (999_499, "999 k"), (999_500, "1.00 M"), (138_357_544, "138 M")),
        (1_250 * 10**9, "1.25 T"),
    ],
)
def test_numbers_have_three_digits(number, shown):
    assert short_number(number) == shown
