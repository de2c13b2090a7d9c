"""The only source of random draws: a generator for every purpose, keyed by the run's seed.

A draw never depends on what was drawn before it.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def derive_seed(seed: int, purpose: str, *counters: int | str) -> int:
    """Hash (seed, purpose, counters) to a 63-bit integer, the same on every platform.

    Args:
        seed: the run's seed.
        purpose: what is drawn, e.g. `"order"`.
        counters: what distinguishes draws of one purpose, e.g. the epoch, or a parameter's name.
    """
    text = json.dumps([seed, purpose, *counters])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def generator(seed: int, purpose: str, *counters: int | str) -> torch.Generator:
    """Return a fresh CPU generator for (seed, purpose, counters).

    Draws are made on the CPU and moved, so that every device sees the same ones. (PyTorch's CPU
    generator reads the low 32 bits of its seed: two streams of a purpose coincide with probability
    2^-32.)
    """
    return torch.Generator().manual_seed(derive_seed(seed, purpose, *counters))


def normal_like(value: Tensor, seed: int, purpose: str, *counters: int | str) -> Tensor:
    """Return standard normal noise of a tensor's shape, drawn on its device.

    For noise of all weights at each step: drawn on the CPU, it takes several times a GPU's step.
    Kinds of devices draw other noise.
    """
    draws = torch.Generator(value.device).manual_seed(derive_seed(seed, purpose, *counters))
    return torch.randn(value.shape, generator=draws, device=value.device)


@contextmanager
def seeded_global_rng(seed: int, purpose: str, *counters: int | str) -> Iterator[None]:
    """Seed the global CPU stream for code that can only draw from it, and restore it afterwards.

    Such code is a layer's `reset_parameters()`.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive_seed(seed, purpose, *counters))
        yield


@contextmanager
def seeded_device_rng(
    device: torch.device, seed: int, purpose: str, *counters: int | str
) -> Iterator[None]:
    """Seed the global streams of the CPU and of a device, as dropout draws from them; restore them.

    Draws of different devices differ.
    """
    devices = [device] if device.type == "cuda" else []
    key = derive_seed(seed, purpose, *counters)
    with torch.random.fork_rng(devices):
        torch.default_generator.manual_seed(key)
        for cuda_device in devices:
            with torch.cuda.device(cuda_device):
                torch.cuda.manual_seed(key)
        yield


class RandomState:
    """The global random streams as they are now, for code that is to draw the same once more.

    Args:
        device: whose stream is kept besides that of the CPU.
    """

    def __init__(self, device: torch.device) -> None:
        self._cpu = torch.get_rng_state()
        self._devices = [device] if device.type == "cuda" else []
        self._cuda = [torch.cuda.get_rng_state(cuda_device) for cuda_device in self._devices]

    @contextmanager
    def again(self) -> Iterator[None]:
        """Draw from there; afterwards the streams are as they were found."""
        with torch.random.fork_rng(devices=self._devices):
            torch.set_rng_state(self._cpu)
            for device, state in zip(self._devices, self._cuda, strict=True):
                torch.cuda.set_rng_state(state, device)
            yield
