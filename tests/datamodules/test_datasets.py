"""Data sets: what they hold, how they are split, and what bad files get."""

import io
import pickle
import tarfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_digits

import datamodules.datasets.decoding
from datamodules import Digits, FolderImages, ImageDataset, TorchvisionImages
from datamodules.datasets.decoding import decode
from datamodules.datasets.split import Split, TensorSplit
from datamodules.datasets.stratified import stratified
from plasticity_lab.errors import UserError
from plasticity_lab.randomness import generator


def picture(seed: int, size: tuple[int, int] = (8, 8), mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def make_folder(root: Path, count: int = 3, classes: tuple[str, ...] = ("cat", "dog")) -> Path:
    for split in ("train", "test"):
        for label, name in enumerate(classes):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                picture(100 * label + number).save(root / split / name / f"{number}.png")
    return root


# Digits


def test_digits_are_scikit_learns_split_into_disjoint_stratified_halves_that_never_change() -> None:
    train, test = Digits().read("train"), Digits().read("test")
    assert (len(train), len(test), train.shape) == (1297, 500, (1, 16, 16))
    assert (
        torch.bincount(torch.cat([train.targets, test.targets])).tolist()
        == np.bincount(load_digits().target).tolist()
    )
    assert max(torch.bincount(test.targets)) - min(torch.bincount(test.targets)) <= 3
    assert train.targets[:10].tolist() == [0, 1, 2, 3, 4, 6, 7, 8, 2, 5]
    assert train.fingerprint != test.fingerprint


def test_a_digit_is_its_8x8_image_enlarged_bilinearly() -> None:
    enlarged = [
        Image.fromarray((small * 255 / 16).astype(np.float32)).resize(
            (16, 16), Image.Resampling.BILINEAR
        )
        for small in load_digits().images
    ]
    expected = torch.from_numpy(np.stack([np.array(image) for image in enlarged])).flatten(1)
    for split in (Digits().read("train"), Digits().read("test")):
        nearest = (
            torch.cdist(split.tensor().float().flatten(1), expected, p=float("inf")).min(1).values
        )
        assert nearest.max() <= 0.51, "rounded to whole grey levels"


# subsets


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(0, 60), st.integers(0, 5))
def test_stratified_keeps_the_class_shares(labels: list[int], size: int, seed: int) -> None:
    tensor, size = torch.tensor(labels), min(size, len(labels))
    chosen = stratified(tensor, size, generator(seed, "test"))
    assert len(chosen) == size == len(set(chosen.tolist()))
    for label in set(labels):
        exact = labels.count(label) * size / len(labels)
        assert abs(int((tensor[chosen] == label).sum()) - exact) < 1


def test_a_subset_is_keyed_by_the_seed_and_drawn_from_the_training_split_alone() -> None:
    first, same, reseeded = (Digits(subset=200).splits(seed) for seed in (0, 0, 1))
    assert torch.equal(first.train.tensor(), same.train.tensor())
    assert not torch.equal(first.train.tensor(), reseeded.train.tensor())
    assert first.validation is first.test
    assert len(first.test) == 500
    assert torch.equal(first.train[7], first.train.tensor()[7])
    assert first.train.targets[:5].tolist() == [3, 4, 9, 0, 1]


def test_a_held_out_fraction_is_disjoint_from_what_is_trained_on() -> None:
    splits = Digits(validation=0.2, subset=500).splits(3)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (500, 259, 500)
    dataset = Digits(validation=0.2).splits(3)
    rows = torch.cat([dataset.train.tensor(), dataset.validation.tensor()]).flatten(1)
    original = Digits().read("train").tensor().flatten(1)
    assert sorted(map(tuple, rows.tolist())) == sorted(map(tuple, original.tolist()))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"subset": 0}, "subset: 0: choose 1 to 1297"),
        ({"subset": 1298}, "subset: 1298: choose 1 to 1297"),
        ({"validation": 1.0}, r"validation: 1.0: set 'test' or a share .* in \(0, 1\)"),
        ({"validation": 0.0001}, "validation: 0.0001: set 'test'"),
    ],
)
def test_impossible_splits_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Digits(**arguments).splits(0)


def test_a_users_own_data_set_is_one_method() -> None:
    class Noise(ImageDataset):
        def read(self, split: Literal["train", "test"]) -> Split:
            return TensorSplit(
                torch.zeros(6, 3, 4, 4, dtype=torch.uint8), torch.tensor([0, 1] * 3), ["a", "b"]
            )

    assert len(Noise(subset=4).splits(0).train) == 4


# files


def test_a_folder_is_decoded_once_and_then_read_from_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_folder(tmp_path / "images", count=300)
    first: Any = FolderImages(str(root)).read("train")
    pictures = [np.array(Image.open(file)) for file in first.files]
    expected = torch.stack([torch.from_numpy(picture).permute(2, 0, 1) for picture in pictures])
    assert torch.equal(first.tensor(), expected)
    assert first.classes == ["cat", "dog"]
    assert first.targets.tolist() == [0] * 300 + [1] * 300

    monkeypatch.setattr(datamodules.datasets.folder_images, "decode_all", None)
    again = FolderImages(str(root)).read("train")
    assert torch.equal(again.tensor(), expected)
    assert again.fingerprint == first.fingerprint
    monkeypatch.undo()
    picture(999).save(root / "train" / "cat" / "0.png")
    changed = FolderImages(str(root)).read("train")
    assert changed.fingerprint != first.fingerprint
    assert not torch.equal(changed.tensor(), expected)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_every_mode_of_a_file_gives_its_colours(mode: str, tmp_path: Path) -> None:
    shades = np.arange(0, 256, 4, dtype=np.uint8).reshape(8, 8)
    file = tmp_path / "x.tif"
    if mode == "I;16":
        Image.fromarray(shades.astype(np.uint16) * 257).save(file)
    elif mode == "P":
        Image.fromarray(shades).convert("P").save(file)
    else:
        shades = np.where(shades < 128, 0, 255).astype(np.uint8) if mode == "1" else shades
        Image.fromarray(shades).convert("RGB").convert(mode).save(file)
    with Image.open(file) as image:
        assert image.mode == mode
    assert np.array_equal(decode(file, None, 3).numpy(), np.stack([shades] * 3))
    assert np.array_equal(decode(file, None, 1).numpy(), shades[None])


def test_size_takes_the_central_square_and_resizes_as_pillow_does(tmp_path: Path) -> None:
    image = picture(0, (40, 20))
    image.save(tmp_path / "x.png")
    expected = np.array(image.resize((10, 10), Image.Resampling.BILINEAR, box=(10, 0, 30, 20)))
    assert np.array_equal(decode(tmp_path / "x.png", 10, 3).permute(1, 2, 0).numpy(), expected)


def _empty_class(root: Path) -> None:
    (root / "train" / "empty").mkdir()
    (root / "test" / "empty").mkdir()


def _text(root: Path) -> None:
    (root / "train" / "cat" / "0.png").write_text("no image")


def _truncated(root: Path) -> None:
    file = root / "train" / "dog" / "1.png"
    file.write_bytes(file.read_bytes()[:60])


def _mixed(root: Path) -> None:
    picture(0, (9, 8)).save(root / "train" / "dog" / "2.png")


def _other_classes(root: Path) -> None:
    (root / "test" / "dog").rename(root / "test" / "wolf")


def _nothing(root: Path) -> None:
    (root / "train").rename(root / "moved")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_empty_class, "train/empty: no image files; add some or remove the empty class folder"),
        (_text, "cat/0.png: not a readable image .*; replace or remove the file"),
        (_truncated, "dog/1.png: not a readable image .*; replace or remove the file"),
        (_mixed, "dog/2.png: 9 x 8 pixels where 0.png has 8 x 8; set size: to resize"),
        (
            _other_classes,
            ("root: .*: only train holds 'dog', only test holds 'wolf'"),
        ),
        (
            _nothing,
            (
                "root: .*images: no train folder among 'moved', 'test'; it must hold "
                "train/<class>/… and test/<class>/…"
            ),
        ),
    ],
)
def test_bad_folders_are_refused_by_name(spoil: Any, message: str, tmp_path: Path) -> None:
    root = make_folder(tmp_path / "images")
    spoil(root)
    with pytest.raises(UserError, match=message) as caught:
        FolderImages(str(root)).read("train").tensor()
    assert "\n" not in str(caught.value)


def test_a_bad_file_among_many_is_named_although_a_worker_process_finds_it(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "images", count=700)
    _text(root)
    (root / "train" / "cat" / "0.png").rename(root / "train" / "cat" / "99.png")
    with pytest.raises(
        UserError, match=r"^/.*cat/99.png: not a readable image .*; replace or remove the file$"
    ):
        FolderImages(str(root)).read("train").tensor()


# torchvision


def make_cifar10(root: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Write files in the layout of CIFAR-10's archive."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    pixels = {}
    for number, name in enumerate(
        [*(f"data_batch_{batch}" for batch in range(1, 6)), "test_batch"]
    ):
        pixels[name] = np.random.default_rng(number).integers(0, 256, (20, 3072), dtype=np.uint8)
        (folder / name).write_bytes(
            pickle.dumps({"data": pixels[name], "labels": [row % 10 for row in range(20)]})
        )
    (folder / "batches.meta").write_bytes(
        pickle.dumps({"label_names": [f"class{label}" for label in range(10)]})
    )
    return pixels


def test_torchvisions_cifar10_is_read_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = make_cifar10(tmp_path)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    train = TorchvisionImages("CIFAR10", str(tmp_path)).read("train")
    expected = np.concatenate([pixels[f"data_batch_{batch}"] for batch in range(1, 6)]).reshape(
        -1, 3, 32, 32
    )
    assert np.array_equal(train.tensor().numpy(), expected)
    assert train.targets[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert train.classes[3] == "class3"
    assert len(TorchvisionImages("CIFAR10", str(tmp_path)).read("test")) == 20


def test_a_torchvision_data_set_of_files_is_decoded_and_resized(tmp_path: Path) -> None:
    """GTSRB keeps images of many sizes in folders and has no tensor to read."""
    for label in (0, 1):
        folder = tmp_path / "gtsrb" / "GTSRB" / "Training" / f"{label:05d}"
        folder.mkdir(parents=True)
        for number in range(3):
            picture(number, (20 + number, 30)).save(folder / f"{number}.ppm")
    train = TorchvisionImages("GTSRB", str(tmp_path), download=False, size=16).read("train")
    assert train.tensor().shape == (6, 3, 16, 16)
    assert train.targets.tolist() == [0, 0, 0, 1, 1, 1]
    with pytest.raises(UserError, match="size: None: the images are of different sizes; set size:"):
        TorchvisionImages("GTSRB", str(tmp_path), download=False).read("train")


@pytest.mark.slow
def test_two_copies_of_a_data_set_are_not_confused(tmp_path: Path) -> None:
    tensors = []
    for copy in (0, 1):
        folder = tmp_path / str(copy) / "gtsrb" / "GTSRB" / "Training" / "00000"
        folder.mkdir(parents=True)
        picture(copy).save(folder / "0.ppm")
        tensors.append(
            TorchvisionImages("GTSRB", str(tmp_path / str(copy)), download=False)
            .read("train")
            .tensor()
        )
    assert not torch.equal(*tensors)


def test_a_data_set_with_a_choice_of_its_own_takes_it_as_an_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []

    class Opened(torchvision.datasets.EMNIST):
        def __init__(self, root: str, split: str, **arguments: Any) -> None:
            opened.append((split, arguments))
            self.data, self.targets, self.classes = (
                torch.zeros(4, 28, 28, dtype=torch.uint8),
                torch.arange(4),
                list("abcd"),
            )

    monkeypatch.setattr(torchvision.datasets, "EMNIST", Opened)
    images = TorchvisionImages("EMNIST", str(tmp_path), options={"split": "letters"}).read("test")
    assert opened == [("letters", {"train": False, "download": True})]
    assert images.shape == (1, 28, 28)


def test_options_that_the_data_set_does_not_take_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"options: \{'colour': 1\}: MNIST does not take them"):
        TorchvisionImages("MNIST", str(tmp_path), options={"colour": 1}).read("train")


def test_images_that_are_not_of_one_size_are_refused(tmp_path: Path) -> None:
    for split, size in (("train", (8, 9)), ("test", (12, 9))):
        (tmp_path / split / "cat").mkdir(parents=True)
        picture(0, size).save(tmp_path / split / "cat" / "0.png")
    with pytest.raises(
        UserError,
        match=r"size: None: train and test images .* are .* pixels.* to make all of one size",
    ):
        FolderImages(str(tmp_path)).splits(0)
    assert FolderImages(str(tmp_path), size=6).splits(0).train.shape == (3, 6, 6)
    assert FolderImages(str(tmp_path), size=(4, 6)).splits(0).train.shape == (3, 4, 6)
    with pytest.raises(UserError, match=r"size: \(4, 0\): set 1 or more pixels"):
        FolderImages(str(tmp_path), size=(4, 0))
    with pytest.raises(UserError, match="size: 0: set 1 or more pixels"):
        FolderImages(str(tmp_path), size=0)


@pytest.mark.parametrize(
    ("name", "split"),
    [("MNIST", "train"), ("SVHN", "test"), ("STL10", "train"), ("CIFAR100", "test")],
)
def test_an_absent_data_set_says_what_to_do(
    name: str, split: Literal["train", "test"], tmp_path: Path
) -> None:
    with pytest.raises(
        UserError, match=f"{name} is not in root: .*; copy its files there .* or use FolderImages"
    ) as caught:
        TorchvisionImages(name, str(tmp_path / "nowhere"), download=False).read(split)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["Cifar10", "FakeData", "CocoDetection", "load"])
def test_a_name_that_torchvision_does_not_have_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=f"name: {name}: not a torchvision data set"):
        TorchvisionImages(name).read("train")


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(b"damaged")
    with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("x"), io.BytesIO(b""))
    with pytest.raises(UserError, match="CIFAR10 is not in root"):
        TorchvisionImages("CIFAR10", str(tmp_path), download=False).read("train")
