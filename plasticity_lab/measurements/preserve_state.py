"""Looking at a network without leaving a trace."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel


@contextmanager
def preserve_state(module: nn.Module) -> Iterator[None]:
    """Put a network in evaluation mode, full precision and uncompiled, and restore it after.

    Each part's own mode, the buffers' values and the global random streams are restored. Gradients
    may be taken by `torch.autograd.grad` or `torch.func`, which leave `.grad` alone (`backward()`
    does not).

    Examples:
        >>> network = nn.BatchNorm1d(3)
        >>> before = network.running_mean.clone()
        >>> with preserve_state(network):
        ...     outputs = network.train()(torch.randn(8, 3))
        >>> torch.equal(network.running_mean, before), network.training
        (True, True)
    """
    modes = {part: part.training for part in module.modules()}
    devices = (parameter.device for parameter in module.parameters())
    device = next(devices, torch.device("cpu"))
    streams = random.getstate(), np.random.get_state()  # noqa: NPY002  # third-party code draws from it
    nvidia, intel = cast(Any, torch.backends.cudnn), cast(Any, torch.backends.mkldnn)
    # TF32 is the default of convolutions on a GPU.
    backends = torch.backends.cuda.matmul, nvidia.conv, intel.matmul, intel.conv
    precisions = [backend.fp32_precision for backend in backends]
    try:
        module.eval()
        for backend in backends:
            backend.fp32_precision = "ieee"
        with (
            buffers_kept(module),
            torch.random.fork_rng([device] if device.type == "cuda" else []),
            torch.enable_grad(),
            torch.autocast(device.type, enabled=False),
            torch.compiler.set_stance("force_eager"),
            # The fused kernels of attention have no second derivative.
            sdpa_kernel(SDPBackend.MATH),
        ):
            yield
    finally:
        for backend, precision in zip(backends, precisions, strict=True):
            backend.fp32_precision = precision
        random.setstate(streams[0])
        np.random.set_state(streams[1])  # noqa: NPY002
        for part, mode in modes.items():
            part.training = mode


@contextmanager
def buffers_kept(module: nn.Module) -> Iterator[None]:
    """Put the buffers of a module back at the end, also those that were replaced meanwhile."""
    kept = [
        (part, name, buffer, buffer.clone())
        for part in module.modules()
        for name, buffer in part._buffers.items()
        if buffer is not None
    ]
    try:
        yield
    finally:
        with torch.no_grad():
            for part, name, buffer, value in kept:
                part._buffers[name] = buffer.copy_(value)
