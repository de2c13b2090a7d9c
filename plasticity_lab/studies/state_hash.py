"""One hash for a nest of tensors."""

import hashlib
from typing import Any

import torch


def state_hash(value: Any) -> str:
    """Hash a nest of dictionaries, lists, tensors and plain values, to the bit."""
    content = hashlib.sha256()

    def add(part: Any) -> None:
        if isinstance(part, torch.Tensor):
            content.update(f"{part.dtype}{tuple(part.shape)}".encode())
            content.update(
                part.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
            )
        elif isinstance(part, dict):
            for key in sorted(part, key=str):
                content.update(str(key).encode())
                add(part[key])
        elif isinstance(part, list | tuple):
            for item in part:
                add(item)
        else:
            content.update(repr(part).encode())

    add(value)
    return content.hexdigest()
