"""Images as they are found: transparent, turned, damaged, badly named, behind links."""

import csv
import hashlib
import os
import re
import shutil
import struct
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import datamodules.datasets.folder_layout
import datamodules.datasets.image_files
from datamodules import FolderImages
from datamodules.datasets.decoding import decode
from datamodules.datasets.split import Split
from plasticity_lab.errors import UserError
from plasticity_lab.runs.main import main
from tests.datamodules.test_datasets import make_folder, picture
from tests.runs import fit, tiny


def folder_run(root: Path | str, **arguments: Any) -> list[str]:
    dataset = {
        "class_path": "datamodules.FolderImages",
        "init_args": {"root": str(root), "subset": None},
    }
    return tiny({"data": {"init_args": {"dataset": dataset, "batch_size": 4, **arguments}}})


def refusal(root: Path | str) -> str:
    """Return the one line that a data set is refused with."""
    with pytest.raises(UserError) as caught:
        _ = [FolderImages(str(root)).read(split).tensor() for split in ("train", "test")]
    assert "\n" not in str(caught.value)
    str(caught.value).encode()
    return str(caught.value)


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the messages about a data set."""
    lines: list[str] = []
    for module in (datamodules.datasets.image_files, datamodules.datasets.folder_layout):
        monkeypatch.setattr(module, "rank_zero_info", lines.append)
    return lines


# pixels


def test_plain_images_have_the_pixels_and_hashes_that_they_always_had() -> None:
    """Studies name what they have trained by these hashes."""
    for split in ("train", "test"):
        for number, mode in enumerate(("RGB", "L", "P")):
            file = Path("images", split, "ab"[number > 0], f"{number}.bmp")
            file.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
            image = Image.fromarray(pixels if mode == "RGB" else pixels[..., 0] // 64)
            if mode == "P":
                image.putpalette([200, 30, 40, 0, 0, 0, 255, 255, 255, 9, 99, 250])
            image.save(file)
            os.utime(file, ns=(10**18, 10**18))
    coloured, grey = (
        FolderImages("images").read("train"),
        FolderImages("images", size=5, channels=1).read("train"),
    )
    assert (
        coloured.fingerprint == "38e1d2483bbcbb6a66a9be0e4ac62a1e117ac099b280b548ef911ef5fe3ee7aa"
    )
    assert _digest(coloured) == "ebc2d410c62b40a197da3c9a2fc63fe9e67e9dacfc8e5728302ca53180dd504d"
    assert grey.fingerprint == "dda8b83be494776e109f5106ffea3505d1c1a5cec45b587056ce43471f72bec3"
    assert _digest(grey) == "aa21119c9a89ac3a717f2d033bbb5419830611ee479dede4196a4af694436fa3"


def _digest(images: Split) -> str:
    return hashlib.sha256(images.tensor().numpy().tobytes()).hexdigest()


COLOURS = np.array(
    [[[0, 0, 0, 0], [10, 200, 30, 128], [90, 90, 90, 255], [250, 1, 2, 0]]], np.uint8
)
GREYS = np.array([[0, 51, 102, 255]], np.uint8)


def _palette(colours: np.ndarray[Any, Any]) -> Image.Image:
    image = Image.fromarray(np.arange(4, dtype=np.uint8)[None])
    image.putpalette(colours.tobytes())
    return image


WITH_ALPHA: dict[str, tuple[Image.Image, str, dict[str, Any]]] = {
    "RGBA": (Image.fromarray(COLOURS), "png", {}),
    "RGBA in TIFF": (Image.fromarray(COLOURS), "tif", {}),
    "RGBA in WebP": (Image.fromarray(COLOURS), "webp", {"lossless": True, "exact": True}),
    "LA": (Image.fromarray(COLOURS[..., [0, 3]], "LA"), "png", {}),
    "PA": (Image.fromarray(COLOURS).convert("PA"), "tif", {}),
    "P": (_palette(COLOURS[..., :3]), "png", {"transparency": COLOURS[..., 3].tobytes()}),
}
WITH_TRANSPARENT_LEVEL: dict[str, tuple[Image.Image, str, dict[str, Any]]] = {
    "P": (_palette(GREYS[..., None].repeat(3, -1)), "gif", {"transparency": 1}),
    "L": (Image.fromarray(GREYS), "png", {"transparency": 51}),
    "RGB": (Image.fromarray(GREYS).convert("RGB"), "png", {"transparency": (51, 51, 51)}),
    "I;16": (Image.fromarray(GREYS.astype(np.uint16) * 257), "png", {"transparency": 51 * 257}),
}


def _saved(
    image: Image.Image, suffix: str, settings: dict[str, Any], mode: str
) -> np.ndarray[Any, Any]:
    """Return an image as it is decoded from a file, (height, width, 3)."""
    image.save(f"x.{suffix}", **settings)
    with Image.open(f"x.{suffix}") as read:
        assert read.mode == mode
    coloured, grey = (
        decode(Path(f"x.{suffix}"), None, channels).permute(1, 2, 0).numpy() for channels in (3, 1)
    )
    assert np.array_equal(grey[..., 0], np.array(Image.fromarray(coloured).convert("L")))
    return coloured


@pytest.mark.parametrize("kind", WITH_ALPHA)
def test_transparent_pixels_are_shown_on_white(kind: str) -> None:
    colours = COLOURS.astype(float)
    if kind == "LA":
        colours[..., :3] = colours[..., :1]
    alpha = colours[..., 3:] / 255
    expected = colours[..., :3] * alpha + 255 * (1 - alpha)
    pixels = _saved(*WITH_ALPHA[kind], mode=kind.split()[0])
    assert np.abs(pixels - expected).max() <= 0.5, "rounded"


@pytest.mark.parametrize("mode", WITH_TRANSPARENT_LEVEL)
def test_a_level_that_stands_for_transparent_is_shown_white(mode: str) -> None:
    pixels = _saved(*WITH_TRANSPARENT_LEVEL[mode], mode=mode)
    assert np.array_equal(pixels, np.array([[[0] * 3, [255] * 3, [102] * 3, [255] * 3]]))


UPRIGHT: dict[int, Callable[[Any], Any]] = {
    1: lambda stored: stored,
    2: np.fliplr,
    3: lambda stored: np.rot90(stored, 2),
    4: np.flipud,
    5: lambda stored: stored.transpose(1, 0, 2),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(stored.transpose(1, 0, 2), 2),
    8: np.rot90,
}
"""What a viewer makes of the pixels stored, by EXIF orientation."""


@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
def test_images_are_turned_as_their_exif_orientation_says(suffix: str, tmp_path: Path) -> None:
    stored = picture(1, (5, 3))
    for orientation, turn in UPRIGHT.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        settings: dict[str, Any] = {"lossless": True} if suffix == "webp" else {}
        stored.save(tmp_path / f"x.{suffix}", exif=exif, **settings)
        pixels = decode(tmp_path / f"x.{suffix}", None, 3).permute(1, 2, 0).numpy()
        assert np.array_equal(pixels, turn(np.array(stored))), orientation


def test_a_turned_jpeg_is_what_it_is_without_the_orientation_turned(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(1, (40, 16)).save(tmp_path / "turned.jpg", exif=exif)
    picture(1, (40, 16)).save(tmp_path / "plain.jpg")
    turned, plain = (decode(tmp_path / f"{name}.jpg", None, 3) for name in ("turned", "plain"))
    assert torch.equal(turned, plain.rot90(-1, (1, 2)))


def test_damaged_exif_data_do_not_make_an_image_unreadable(tmp_path: Path) -> None:
    picture(1).save(tmp_path / "x.png", exif=b"Exif\0\0no header of EXIF data")
    assert np.array_equal(
        decode(tmp_path / "x.png", None, 3).permute(1, 2, 0).numpy(), np.array(picture(1))
    )


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_of_an_animation_the_first_frame_is_read(suffix: str, tmp_path: Path) -> None:
    black, white = (Image.new("RGB", (8, 8), colour) for colour in ("black", "white"))
    black.save(tmp_path / f"x.{suffix}", save_all=True, append_images=[white])
    assert decode(tmp_path / f"x.{suffix}", None, 3).max() == 0


def test_an_image_of_one_pixel_is_enlarged_and_lab_is_read(tmp_path: Path) -> None:
    Image.new("RGB", (1, 1), (7, 8, 9)).save(tmp_path / "x.PNG")
    assert decode(tmp_path / "x.PNG", 4, 3).flatten(1).tolist() == [
        [value] * 16 for value in (7, 8, 9)
    ]
    Image.new("LAB", (2, 2), (0, 128, 128)).save(tmp_path / "x.tif")
    assert decode(tmp_path / "x.tif", None, 3).shape == (3, 2, 2)


# damage


def _damaged(kind: str, file: Path) -> None:
    contents = {
        "empty.png": b"",
        "page.jpg": b"<html>404</html>",
        "pixels.qoi": b"qoif" + struct.pack(">IIBB", 9, 9, 3, 0) + b"\xff",
        "unknown.dds": b"DDS " + struct.pack("<I", 124) + bytes(120),
        "floating.tif": b"",
    }
    file.write_bytes(contents[kind])
    if kind == "floating.tif":
        Image.new("F", (8, 8)).save(file)


@pytest.mark.parametrize(
    "kind", ["empty.png", "page.jpg", "pixels.qoi", "unknown.dds", "floating.tif"]
)
def test_damage_is_named_with_its_file(kind: str, tmp_path: Path) -> None:
    root = make_folder(tmp_path / "images")
    _damaged(kind, root / "train" / "dog" / f"z{kind}")
    assert re.fullmatch(
        rf".*dog/z{kind}: not a readable image \(.+\); replace or remove the file", refusal(root)
    )


@pytest.mark.parametrize(
    "error",
    [RuntimeError, NotImplementedError, MemoryError, IndexError, RecursionError, struct.error],
)
def test_whatever_a_decoder_raises_names_the_file(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(
        UserError,
        match=rf"^x.png: not a readable image \({error.__name__}\); replace or remove the file$",
    ):
        decode(Path("x.png"), None, 3)


def test_a_decompression_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_folder(tmp_path / "images")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert "cat/0.png: not a readable image (Image size (64 pixels) exceeds limit" in refusal(root)


# names


def test_names_that_are_not_utf8_are_trained_on_drawn_and_written(tmp_path: Path) -> None:
    root = make_folder(
        tmp_path / "images", count=4, classes=("cat", os.fsdecode(b"caf\xe9"), "a\nb")
    )
    for split in (b"train", b"test"):
        os.rename(
            os.fsencode(root) + b"/" + split + b"/cat/0.png",
            os.fsencode(root) + b"/" + split + b"/cat/\xe9.png",
        )
    fit(*folder_run(root), "--trainer.max_epochs", "1", "--run_dir", "run")
    main(
        [
            "predict",
            *folder_run(root),
            "--trainer.max_epochs",
            "1",
            "--run_dir",
            "run",
            "--ckpt_path",
            "last",
        ]
    )
    with next(Path("run").glob("predictions-*.csv")).open(newline="", encoding="utf-8") as file:
        assert next(csv.reader(file))[3:] == [r"a\nb", r"caf\udce9", "cat"]


def test_a_damaged_file_of_an_unprintable_name_is_named(tmp_path: Path) -> None:
    for name in (b"caf\xe9.png", b"two\nlines.png"):
        root = make_folder(tmp_path / name.hex())
        Path(os.fsdecode(os.fsencode(root) + b"/train/cat/" + name)).write_bytes(b"damaged")
        shown = {b"caf\xe9.png": r"caf\udce9.png", b"two\nlines.png": r"two\nlines.png"}[name]
        assert f"cat/{shown}: not a readable image" in refusal(root)


def test_names_may_be_long_or_emoji_and_classes_and_files_links(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "images", classes=("cat", "🐈‍⬛ é"))
    (root / "train" / "cat" / "1.png").rename(root / "train" / "cat" / ("x" * 251 + ".PNG"))
    (root / "test" / "cat").rename(tmp_path / "elsewhere")
    (root / "test" / "cat").symlink_to(tmp_path / "elsewhere")
    (root / "train" / "cat" / "3.png").symlink_to(root / "train" / "cat" / "0.png")
    train, test = FolderImages(str(root)).read("train"), FolderImages(str(root)).read("test")
    assert (len(train), len(test), train.classes) == (7, 6, ["cat", "🐈‍⬛ é"])
    assert torch.equal(train.tensor()[2], train.tensor()[0])


# links and other things that are no files


@pytest.mark.parametrize(
    "place", ["train/cat/7.png", "train/cat/0.png", "test/bird", "train", "notes.txt"]
)
@pytest.mark.parametrize("target", ["/nowhere/x.png", "itself"])
def test_links_to_nothing_are_named(place: str, target: str, tmp_path: Path) -> None:
    root = make_folder(tmp_path / "images")
    link = root / place if place != "notes.txt" else root / "test" / "dog" / place
    if link.is_dir():
        shutil.rmtree(link)
    link.unlink(missing_ok=True)
    link.symlink_to(link.name if target == "itself" else target)
    message = refusal(root)
    assert re.search(
        (
            f"{link.name}.* a link to {link.name if target == 'itself' else target}, where "
            f"nothing is; "
        ),
        message,
    ), message


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "images")
    os.mkfifo(root / "train" / "cat" / "9.png")
    assert "cat/9.png: not a file or folder; put the file there, or remove this one" in refusal(
        root
    )


def test_a_folder_that_cannot_be_listed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_folder(tmp_path / "images")

    def scandir(folder: Path) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", scandir)
    assert "train: cannot be listed (Permission denied); make it readable, or remove it" in refusal(
        root
    )


# other files


def test_hidden_files_and_those_of_systems_are_skipped_and_counted(
    tmp_path: Path, notes: list[str]
) -> None:
    root = make_folder(tmp_path / "images")
    expected = FolderImages(str(root)).read("train")
    assert notes == []
    for place in ("train/cat", "train/dog"):
        (root / place / "._0.png").write_bytes(b"\0\5\x16\7")
        (root / place / "Thumbs.db").touch()
        (root / place / "desktop.ini").touch()
    for place in ("train/__MACOSX/cat", "train/.ipynb_checkpoints", "train/cat/@eaDir"):
        (root / place).mkdir(parents=True)
        picture(0).save(root / place / "0.png")
    (root / "train" / ".DS_Store").touch()
    (root / "train" / "dog" / ".broken").symlink_to("/nowhere")
    images = FolderImages(str(root)).read("train")
    assert images.fingerprint == expected.fingerprint
    assert notes == [f"{root}/train: skipped 11 hidden or system files"]
    notes.clear()
    (root / "train" / "cat" / "labels.txt").touch()
    (root / "train" / "cat" / "readme").touch()
    picture(0).save(root / "train" / "stray.png")
    assert FolderImages(str(root)).read("train").fingerprint == expected.fingerprint
    other_files = "3 others that are not images in a class folder (.png, .txt, no ending)"
    assert notes == [f"{root}/train: skipped 11 hidden or system files and {other_files}"]


# layouts


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_another_name_of_the_test_split_is_understood_and_said(
    name: str, tmp_path: Path, notes: list[str]
) -> None:
    root = make_folder(tmp_path / "images")
    (root / "test").rename(root / name)
    (root / "test").mkdir()
    picture(0).save(root / "test" / "0.png")
    splits = FolderImages(str(root)).splits(0)
    assert (len(splits.train), len(splits.test)) == (6, 6)
    assert notes == [f"{root}: {name}/ is the test split, as test/ holds no class folders"]


def test_a_test_split_comes_before_a_validation_split(tmp_path: Path, notes: list[str]) -> None:
    root = make_folder(tmp_path / "images")
    shutil.copytree(root / "train", root / "val")
    expected = FolderImages(str(root)).read("test")
    assert {Path(file).parent.parent.name for file in expected.files} == {"test"}  # type: ignore[attr-defined]
    assert notes == [f"{root}: test/ is the test split; val not used"]


def test_a_root_below_the_home_directory_may_be_written_with_a_tilde(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_folder(tmp_path / "home" / "images")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert (
        FolderImages("~/images").read("train").fingerprint
        == FolderImages(str(root)).read("train").fingerprint
    )


def _flat(root: Path) -> None:
    for file in (root / "train").rglob("*.png"):
        file.rename(root / "train" / f"{file.parent.name}{file.name}")
    for folder in list((root / "train").iterdir()):
        if folder.is_dir():
            folder.rmdir()


def _nested(root: Path) -> None:
    (root / "train" / "animals").mkdir()
    (root / "train" / "cat").rename(root / "train" / "animals" / "cat")
    (root / "train" / "dog").rename(root / "train" / "animals" / "dog")
    (root / "test" / "animals").mkdir()


def _nested_beside_images(root: Path) -> None:
    shutil.copytree(root / "train" / "cat", root / "train" / "cat" / "more")


def _one_below(root: Path) -> None:
    root.rename(root.parent / "inner")
    root.mkdir()
    (root.parent / "inner").rename(root / "inner")


def _classes_at_once(root: Path) -> None:
    shutil.rmtree(root / "test")
    for name in ("cat", "dog"):
        (root / "train" / name).rename(root / name)
    (root / "train").rmdir()


def _a_file(root: Path) -> None:
    shutil.rmtree(root)
    root.touch()


def _empty(root: Path) -> None:
    shutil.rmtree(root)
    root.mkdir()


def _no_test(root: Path) -> None:
    (root / "test").rename(root / "testing")


MUST = r"; it must hold train/<class>/… and test/<class>/… \(val/ or valid/ does for test/\)"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            _flat,
            (
                f"root: .*: train holds 6 images and no class folders; sort them into one folder "
                f"a class{MUST}"
            ),
        ),
        (
            _nested,
            ("root: .*: only train holds none, only test holds 'cat', 'dog'"),
        ),
        (
            _nested_beside_images,
            (
                "train/cat/more: images in a folder inside a class folder; move them to "
                ".*/train/cat, or each"
            ),
        ),
        (
            _one_below,
            f"root: .*: there is none, but in a folder below; set root: .*images/inner{MUST}",
        ),
        (_classes_at_once, f"root: .*: no train folder among 'cat', 'dog'{MUST}"),
        (_no_test, f"root: .*: no test folder among 'testing', 'train'{MUST}"),
        (shutil.rmtree, f"root: .*: no such folder{MUST}"),
        (_a_file, f"root: .*: a file; unpack it and set the folder{MUST}"),
        (_empty, f"root: .*: no folders there{MUST}"),
    ],
)
def test_other_layouts_are_refused_with_what_was_found(
    spoil: Callable[[Path], Any], message: str, tmp_path: Path
) -> None:
    root = make_folder(tmp_path / "images")
    spoil(root)
    assert re.search(message, actual := refusal(root)), actual


def test_classes_nested_alike_in_both_splits_are_refused(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "images")
    for split in ("train", "test"):
        (root / split).rename(root / "animals")
        (root / split).mkdir()
        (root / "animals").rename(root / split / "animals")
    assert re.search(
        "train/animals/(cat|dog): images in a folder inside a class folder; move them to",
        refusal(root),
    )


# classes


@pytest.mark.parametrize(
    ("first", "second", "shown"),
    [
        (
            unicodedata.normalize("NFC", "café"),
            unicodedata.normalize("NFD", "café"),
            (r"'caf\xe9'", r"'cafe\u0301'"),
        ),
        ("cat", "cat ", ("'cat'", r"'cat\x20'")),
        ("a b", "a\u00a0b", (r"'a\x20b'", r"'a\xa0b'")),
        ("a b", "a  b", (r"'a\x20b'", r"'a\x20\x20b'")),
    ],
)
def test_classes_that_look_the_same_are_shown_so_that_they_can_be_told_apart(
    first: str, second: str, shown: tuple[str, str], tmp_path: Path
) -> None:
    parted = make_folder(tmp_path / "parted", classes=(first, "dog"))
    (parted / "test" / first).rename(parted / "test" / second)
    message = f"two class folders that look the same, {shown[0]} and {shown[1]}; rename one"
    assert f"parted/train and {parted}/test hold {message}" in refusal(parted)
    within = make_folder(tmp_path / "within", classes=(first, second))
    message_within = refusal(within)
    assert "within/train: holds two class folders that look the same, " in message_within
    assert all(name in message_within for name in shown)


def test_a_single_class_is_warned_of(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "images", classes=("cat",))
    with pytest.warns(
        UserWarning, match="one class only, 'cat': accuracy is 100 % by definition; add"
    ):
        fit(*folder_run(root), "--trainer.fast_dev_run", "true")
