"""What is kept of images on disk: never another's, and done without where it cannot be kept."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import datamodules.datasets.folder_images
from datamodules import FolderImages
from datamodules.datasets.cache import cache_directory, disk_cached
from datamodules.datasets.channel_statistics import channel_histogram
from datamodules.datasets.split import Split, SubsetSplit
from datamodules.datasets.streaming import stream_batches
from datamodules.loading.residency import fits_in_memory
from tests.datamodules.test_datasets import make_folder, picture


def read(root: Path | str = "images") -> Split:
    return FolderImages(str(root)).read("train")


def _bmp_folder(root: Path, seed: int) -> Path:
    """Write images of one size in bytes and one time, whatever they show."""
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            (root / split / name).mkdir(parents=True)
            _write(root / split / name / "0.bmp", seed)
    return root


def _write(file: Path, seed: int) -> None:
    picture(seed).save(file)
    os.utime(file, ns=(10**18, 10**18))


def _overwrite() -> None:
    _write(Path("images/train/cat/0.bmp"), 9)


def _swap() -> None:
    first, second = Path("images/train/cat/0.bmp"), Path("images/train/dog/0.bmp")
    _write(second, 9)
    first.rename("kept.bmp")
    second.rename(first)
    Path("kept.bmp").rename(second)


def _link_another_class() -> None:
    _bmp_folder(Path("other"), 9)
    shutil.rmtree("images/train/cat")
    Path("images/train/cat").symlink_to(Path("other/train/cat").absolute())


def _link_another_root() -> None:
    _bmp_folder(Path("other"), 9)
    Path("images").rename("old")
    Path("images").symlink_to("other")


def _leave() -> None:
    _bmp_folder(Path("below/images"), 9)
    os.chdir("below")


@pytest.mark.parametrize(
    "change", [_overwrite, _swap, _link_another_class, _link_another_root, _leave]
)
def test_other_content_under_the_same_names_sizes_and_times_is_read_anew(
    change: Callable[[], None],
) -> None:
    _bmp_folder(Path("images"), 0)
    split = read()
    before = split.tensor().clone()
    histogram = channel_histogram(SubsetSplit(split, torch.tensor([0])), resident=False)
    change()
    after = read()
    expected = torch.stack([after[0], after[1]])
    assert torch.equal(after.tensor(), expected)
    assert not torch.equal(expected, before)
    subset_histogram = channel_histogram(SubsetSplit(after, torch.tensor([0])), resident=False)
    assert torch.equal(
        subset_histogram, channel_histogram(SubsetSplit(after, torch.tensor([0])), resident=True)
    )
    assert not torch.equal(subset_histogram, histogram)


def test_images_are_decoded_again_by_another_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    _bmp_folder(Path("images"), 0)
    read().tensor()
    monkeypatch.setattr(datamodules.datasets.folder_images, "decode_all", lambda *_: torch.ones(1))
    assert read().tensor().ndim == 4
    monkeypatch.setattr(datamodules.datasets.folder_images, "decoder", lambda: "another Pillow")
    assert read().tensor().ndim == 1


def _no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", home)


def _file_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(Path("file").absolute()))


def _read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def mkdir(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", mkdir)


def _full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def save(tensor: Tensor, file: Path) -> None:
        file.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", save)


@pytest.mark.parametrize("spoil", [_no_home, _file_in_the_way, _read_only, _full_disk])
def test_without_a_place_to_keep_them_images_are_decoded_each_time(
    spoil: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = read(make_folder(Path("images")))
    expected = torch.stack([images[index] for index in range(len(images))])
    spoil(monkeypatch)
    with pytest.warns(
        UserWarning,
        match=r"cannot be kept for the next run \(.+\); set XDG_CACHE_HOME to a folder that can be",
    ):
        assert torch.equal(images.tensor(), expected)
    with pytest.warns(UserWarning, match="set XDG_CACHE_HOME"):
        assert torch.equal(
            channel_histogram(images, resident=False), channel_histogram(images, resident=False)
        )
    assert not list(Path().rglob("*.tmp"))


def test_a_damaged_file_of_the_cache_is_made_again() -> None:
    assert disk_cached("key", lambda: torch.arange(1000)).sum() == 499500
    file = cache_directory() / "key.pt"
    for content in (file.read_bytes()[:900], b"", b"no tensor"):
        file.write_bytes(content)
        assert disk_cached("key", lambda: torch.arange(1000)).sum() == 499500
    assert torch.equal(disk_cached("key", lambda: torch.zeros(1)), torch.arange(1000))


def test_images_come_from_workers_without_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    images = read(make_folder(Path("images")))
    batches = [[0, 1], [2], [3, 4, 5]]
    expected = list(stream_batches(images, batches, workers=2))

    def full(*_: Any, **__: Any) -> None:
        raise RuntimeError("unable to write to file </torch_1_2_3>: No space left on device (28)")

    monkeypatch.setattr(torch.UntypedStorage, "_share_fd_cpu_", full)
    streamed = list(stream_batches(images, batches, workers=2))
    assert [len(pixels) for pixels in streamed] == [2, 1, 3]
    assert all(
        torch.equal(actual_pixels, expected_pixels)
        for actual_pixels, expected_pixels in zip(streamed, expected, strict=True)
    )


@pytest.mark.parametrize("system", ["macOS", "Windows"])
def test_systems_that_do_not_say_how_much_memory_is_free(
    system: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sysconf(name: str) -> int:
        raise ValueError("unrecognized configuration name")

    images = read(make_folder(Path("images")))
    if system == "macOS":
        monkeypatch.setattr(os, "sysconf", sysconf)
    else:
        monkeypatch.delattr(os, "sysconf")
    assert fits_in_memory([images], torch.device("cpu"))
    images.shape = (3, 2**15, 2**15)
    assert not fits_in_memory([images], torch.device("cpu"))
