"""What infinitely wide networks make of test examples, given training examples."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from plasticity_lab.measurements.infinite_kernels import nngp_and_ntk
from plasticity_lab.measurements.infinite_network import InfiniteNetwork
from plasticity_lab.measurements.kernel_regression import (
    KernelDescent,
    Steps,
    choose_regularisation,
    kernel_regression,
)


class Regularised(NamedTuple):
    """A regression whose regularisation was chosen on held-out training examples.

    Attributes:
        predictions: for the test examples, (others, outputs), float64.
        regularisation: relative to the mean of the kernel's diagonal.
    """

    predictions: Tensor
    regularisation: float


class InfiniteReference(NamedTuple):
    """Predictions of an infinitely wide network.

    Attributes:
        nngp: by the NNGP kernel, the network with a trained readout alone.
        ntk: by the neural tangent kernel, the whole network trained.
        descent: gradient descent with the neural tangent kernel, from outputs of 0.
        cross_kernel: the neural tangent kernel between test and training examples.
    """

    nngp: Regularised
    ntk: Regularised
    descent: KernelDescent
    cross_kernel: Tensor

    def predict(self, steps: Sequence[Steps] | None = None) -> Tensor:
        """Return the outputs for the test examples after steps of descent; None is converged."""
        return self.descent.predict(self.cross_kernel, steps)


def infinite_reference(
    network: InfiniteNetwork,
    inputs: Tensor,
    targets: Tensor,
    test_inputs: Tensor,
    held_out: Tensor,
    regularisations: Sequence[float],
) -> InfiniteReference:
    """Return what an infinitely wide network predicts (Lee et al. 2020).

    https://arxiv.org/abs/2007.15801. Takes the memory of three matrices of examples x examples, and
    a time of their eigenvalues: half a minute for 5,000 examples.

    Args:
        network: what it is.
        inputs: of training, as `nngp_and_ntk` takes them.
        targets: (examples, outputs).
        test_inputs: (others, …).
        held_out: which training examples choose the regularisation, bool (examples,); afterwards
            all are fitted.
        regularisations: candidates, relative to the mean of the kernel's diagonal.

    Examples:
        >>> inputs, held_out = torch.randn(6, 3), torch.arange(6) > 3
        >>> targets = inputs[:, :1].sign()
        >>> found = infinite_reference(InfiniteNetwork(), inputs, targets, inputs, held_out, [0.0])
        >>> torch.allclose(found.predict(), targets.double())
        True
    """
    kernels = nngp_and_ntk(network, inputs)
    cross = nngp_and_ntk(network, test_inputs, inputs)
    regressions: list[Regularised] = []
    for kernel, cross_kernel in zip(kernels, cross, strict=True):
        chosen = choose_regularisation(kernel, targets, held_out, regularisations)
        predictions = kernel_regression(kernel, cross_kernel, targets, chosen)
        regressions.append(Regularised(predictions, chosen))
    nngp, ntk = regressions
    return InfiniteReference(nngp, ntk, KernelDescent(kernels.ntk, targets), cross.ntk)
