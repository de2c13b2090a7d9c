"""Segments that share GPUs of a machine."""

import random

import pytest

from plasticity_lab.errors import UserError
from plasticity_lab.studies.gpu_shares import (
    check_room,
    least_used,
    segments_per_gpu,
    visible_gpus,
)


@pytest.mark.parametrize(
    ("share", "segments"), [(1.0, 1), (0.6, 1), (0.5, 2), (0.34, 2), (1 / 3, 3), (0.1, 10)]
)
def test_as_many_share_a_gpu_as_fit(share: float, segments: int) -> None:
    assert segments_per_gpu(share) == segments
    assert segments * share <= 1 + 1e-9


@pytest.mark.parametrize("share", [1.0, 0.5, 0.3])
@pytest.mark.parametrize("gpus", [["0"], ["2", "5"], ["GPU-a", "GPU-b", "GPU-c"]])
def test_no_gpu_is_ever_full_beyond_its_room(gpus: list[str], share: float) -> None:
    """Segments begin and end at random, as many at once as there is room for."""
    chance = random.Random(0)
    jobs = len(gpus) * segments_per_gpu(share)
    used: list[str] = []
    for _ in range(200):
        if len(used) == jobs or (used and chance.random() < 0.4):
            used.pop(chance.randrange(len(used)))
        used.append(least_used(gpus, used))
        assert max(map(used.count, gpus)) <= segments_per_gpu(share)


def test_what_has_no_room_is_refused() -> None:
    check_room(4, 0.5, ["0", "1"])
    with pytest.raises(UserError, match=r"jobs: 5: 2 GPU\(s\) have room for 4 segments"):
        check_room(5, 0.5, ["0", "1"])
    with pytest.raises(UserError, match=r"gpus: 0\.5: this machine shows no GPU; leave out --gpus"):
        check_room(1, 0.5, [])


def test_gpus_are_those_that_the_runner_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-8f1")
    assert visible_gpus() == ["3", "GPU-8f1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_gpus() == []
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert visible_gpus() == ["0", "1"]
