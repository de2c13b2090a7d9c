"""Torchvision's data sets: names, splits, options and files."""

import ast
import inspect
import struct
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision

from datamodules import TorchvisionImages
from datamodules.datasets.file_hashes import files_below
from datamodules.datasets.torchvision_sources import ARRAYS, NOT_DOWNLOADED, split_arguments
from plasticity_lab.errors import UserError
from tests.datamodules.test_datasets import picture

WITH_FLAG = {"CIFAR10", "CIFAR100", "EMNIST", "FashionMNIST", "KMNIST", "MNIST", "QMNIST", "USPS"}
OTHER_NAMES = {
    "CLEVRClassification": ("train", "val"),
    "ImageNet": ("train", "val"),
    "Imagenette": ("train", "val"),
    "OxfordIIITPet": ("trainval", "test"),
    "Places365": ("train-standard", "val"),
}


def make_mnist(root: Path, grey: int, count: int) -> None:
    """Write files in MNIST's layout."""
    (root / "MNIST" / "raw").mkdir(parents=True)
    for split, examples in (("train", count), ("t10k", 20)):
        for name, array in (
            ("images-idx3-ubyte", np.full((examples, 28, 28), grey, np.uint8)),
            ("labels-idx1-ubyte", (np.arange(examples) % 10).astype(np.uint8)),
        ):
            header = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(
                f">{array.ndim}I", *array.shape
            )
            (root / "MNIST" / "raw" / f"{split}-{name}").write_bytes(header + array.tobytes())


def make_pets(root: Path) -> None:
    """Write files in the layout of the Oxford-IIIT pets: two breeds, of which one is a cat."""
    for folder in ("images", "annotations"):
        (root / "oxford-iiit-pet" / folder).mkdir(parents=True)
    lines = [
        f"{name}_{number} {label} {label} 1\n"
        for label, name in ((1, "Abyssinian"), (2, "beagle"))
        for number in (0, 1)
    ]
    for number, line in enumerate(lines):
        picture(number, (9, 7)).save(root / "oxford-iiit-pet" / "images" / f"{line.split()[0]}.jpg")
    for split in ("trainval", "test"):
        (root / "oxford-iiit-pet" / "annotations" / f"{split}.txt").write_text("".join(lines))


def size_and_mean(root: str) -> tuple[int, int]:
    images = TorchvisionImages("MNIST", root, download=False, size=16).read("train")
    return len(images), int(images.tensor().float().mean())


def test_data_sets_below_the_home_directory_are_not_confused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_mnist(tmp_path / "one", 10, 40)
    make_mnist(tmp_path / "two", 200, 60)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert [size_and_mean("~/one"), size_and_mean("~/two")] == [(40, 10), (60, 200)]


def test_data_sets_behind_links_are_not_confused(tmp_path: Path) -> None:
    for name, grey, count in (("one", 10, 40), ("two", 200, 60)):
        make_mnist(tmp_path / "disk" / name, grey, count)
        (tmp_path / name).mkdir()
        (tmp_path / name / "MNIST").symlink_to(tmp_path / "disk" / name / "MNIST")
    assert [size_and_mean(str(tmp_path / "one")), size_and_mean(str(tmp_path / "two"))] == [
        (40, 10),
        (60, 200),
    ]
    (tmp_path / "one" / "MNIST").unlink()
    (tmp_path / "one" / "MNIST").symlink_to(tmp_path / "disk" / "two" / "MNIST")
    assert size_and_mean(str(tmp_path / "one")) == (60, 200)


def test_links_that_lead_in_circles_end(tmp_path: Path) -> None:
    make_mnist(tmp_path / "root", 10, 40)
    (tmp_path / "root" / "again").symlink_to(tmp_path / "root")
    (tmp_path / "root" / "broken").symlink_to("/nowhere")
    (tmp_path / "root" / "loop").symlink_to("loop")
    assert len(files_below(tmp_path / "root")) == 4
    assert size_and_mean(str(tmp_path / "root")) == (40, 10)


def _names() -> list[str]:
    """Return the names that are read, as the message of another one lists them."""
    with pytest.raises(UserError, match="set one of") as caught:
        split_arguments("none", "train", {})
    return (
        str(caught.value).split("set one of ")[1].removesuffix(", or use FolderImages").split(", ")
    )


@pytest.mark.parametrize("name", _names())
def test_every_name_asks_torchvision_for_splits_that_it_has(name: str) -> None:
    kind = getattr(torchvision.datasets, name)
    options = {"split": "letters"} if name == "EMNIST" else {}
    train, test = (split_arguments(name, split, options) for split in ("train", "test"))
    if name in WITH_FLAG:
        assert (train, test) == ({**options, "train": True}, {**options, "train": False})
        assert any("train" in inspect.signature(base.__init__).parameters for base in kind.__mro__)
    else:
        assert (train["split"], test["split"]) == OTHER_NAMES.get(name, ("train", "test"))
        source = inspect.getsource(kind)
        assert all(f'"{arguments["split"]}"' in source for arguments in (train, test))


@pytest.mark.parametrize("name", _names())
def test_what_a_data_set_takes_and_holds_is_what_torchvision_says(name: str) -> None:
    kind = getattr(torchvision.datasets, name)
    takes = any("download" in inspect.signature(base.__init__).parameters for base in kind.__mro__)
    assert takes is (name not in NOT_DOWNLOADED)
    bases = [base for base in kind.__mro__ if base.__module__.startswith("torchvision.datasets.")]
    code = [
        node
        for base in bases
        for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(base))))
    ]
    attributes = {
        node.attr
        for node in code
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    }
    assert ("data" in attributes) is (name in ARRAYS)
    assert ARRAYS.get(name) in {None, *attributes}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "EMNIST",
            {},
            (
                "options: split: None: EMNIST needs one of balanced, byclass, bymerge, digits, "
                "letters, mnist; set"
            ),
        ),
        (
            "EMNIST",
            {"split": "leters"},
            "options: split: leters: EMNIST needs one of balanced, byclass",
        ),
        (
            "OxfordIIITPet",
            {"target_types": ["category", "binary-category"]},
            r"options: target_types: \['category', 'binary-category'\]: OxfordIIITPet needs one of "
            r"category, binary-category; "
            r"set options: \{target_types: category\}, for example",
        ),
        (
            "OxfordIIITPet",
            {"target_types": "segmentation"},
            "options: target_types: segmentation: OxfordIIITPet needs one of",
        ),
        (
            "OxfordIIITPet",
            {"split": "test"},
            "options: split: TorchvisionImages sets it for OxfordIIITPet; remove it",
        ),
        (
            "CIFAR10",
            {"train": False},
            "options: train: TorchvisionImages sets it for CIFAR10; remove it",
        ),
        ("CIFAR10", {"download": True}, "options: download: TorchvisionImages sets it"),
        (
            "Kinetics",
            {},
            (
                "name: Kinetics: not a torchvision data set of labelled images that is read by "
                "name; set one of C"
            ),
        ),
        ("CelebA", {}, "name: CelebA: not a torchvision data set of labelled images"),
    ],
)
def test_options_that_choose_the_labels_are_named_with_their_values(
    name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=f"^{message}"):
        TorchvisionImages(name, download=False, options=options).read("train")


def test_one_target_of_several_is_chosen_by_an_option(tmp_path: Path) -> None:
    make_pets(tmp_path)
    breeds = TorchvisionImages("OxfordIIITPet", str(tmp_path), download=False, size=8).read("test")
    assert (breeds.classes, breeds.targets.tolist()) == (["Abyssinian", "Beagle"], [0, 0, 1, 1])
    options = {"target_types": ["binary-category"]}
    animals = TorchvisionImages(
        "OxfordIIITPet", str(tmp_path), download=False, size=8, options=options
    ).read("train")
    assert (animals.classes, animals.targets.tolist()) == (["Cat", "Dog"], [0, 0, 1, 1])


@pytest.mark.parametrize("target", [None, (0, 1), torch.zeros(40)])
def test_labels_that_are_no_class_number_are_refused(
    target: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_pets(tmp_path)
    monkeypatch.setattr(
        torchvision.datasets.OxfordIIITPet, "__getitem__", lambda *_: (picture(0), target)
    )
    message = (
        r"options: \{\}: OxfordIIITPet gives .* as the label of image 0, where one class number "
        r"is needed"
    )
    with pytest.raises(UserError, match=message) as caught:
        TorchvisionImages("OxfordIIITPet", str(tmp_path), download=False).read("train")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", ["truncated", "absent", "linked to nothing"])
def test_a_damaged_image_is_named(damage: str, tmp_path: Path) -> None:
    make_pets(tmp_path)
    file = tmp_path / "oxford-iiit-pet" / "images" / "beagle_1.jpg"
    content = file.read_bytes()
    file.unlink()
    if damage == "truncated":
        file.write_bytes(content[:300])
    elif damage == "linked to nothing":
        file.symlink_to("/nowhere")
    with pytest.raises(
        UserError, match=r": not a readable image \(.*\); replace the file, or download Oxf"
    ) as caught:
        TorchvisionImages("OxfordIIITPet", str(tmp_path), download=False, size=8).read("train")
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_damaged_files_of_a_data_set_are_refused_in_one_line(tmp_path: Path) -> None:
    make_mnist(tmp_path, 10, 40)
    (tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte").write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"MNIST in root: .* is damaged \(.+\); remove its files"):
        TorchvisionImages("MNIST", str(tmp_path), download=False).read("train")
