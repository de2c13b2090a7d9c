"""Which GPU of this machine a segment is trained on, when several share one."""

import os
from collections.abc import Sequence

import torch

from plasticity_lab.errors import UserError


def visible_gpus() -> list[str]:
    """Return the GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is None:
        return [str(number) for number in range(torch.cuda.device_count())]
    return [name.strip() for name in listed.split(",") if name.strip()]


def segments_per_gpu(share: float) -> int:
    """Return how many segments of a share in (0, 1] fit on one GPU.

    Example:
        ```python
        assert [segments_per_gpu(share) for share in (1.0, 0.5, 0.3, 0.1)] == [1, 2, 3, 10]
        ```
    """
    # 1 / 0.1 is 10, and 1 / 0.1 of sums of shares may be a little less.
    return int(1 / share + 1e-9)


def check_room(jobs: int, share: float, gpus: Sequence[str]) -> None:
    """Raise UserError if so many segments at once do not fit on the GPUs."""
    room = len(gpus) * segments_per_gpu(share)
    if not gpus:
        raise UserError(
            "gpus", value=share, problem="this machine shows no GPU", fix="leave out --gpus"
        )
    if jobs > room:
        raise UserError(
            "jobs",
            value=jobs,
            problem=f"{len(gpus)} GPU(s) have room for {room} segments of a share of {share:g}",
            fix=f"set {room} or fewer, or a smaller --gpus",
        )


def least_used(gpus: Sequence[str], used: Sequence[str]) -> str:
    """Return the GPU on which the fewest segments are trained, the first one of several.

    Args:
        gpus: all there are.
        used: the GPU of each segment that is being trained.

    Example:
        ```python
        assert least_used(["0", "1"], []) == "0"
        assert least_used(["0", "1"], ["0", "1", "0"]) == "1"
        ```
    """
    return min(gpus, key=lambda gpu: used.count(gpu))
