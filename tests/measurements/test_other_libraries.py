"""The same numbers from well-kept libraries, where they are installed.

No part of the project needs them.

pip install "curvlinops-for-pytorch>=3,<4" "hessian-eigenthings==1.0.0a5" "nngeometry==0.4"
"""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from plasticity_lab.measurements.fisher_trace import exact_fisher_trace
from plasticity_lab.measurements.functional import detached_parameters, flatten, mean_loss
from plasticity_lab.measurements.hvp import LinearOperator, hessian_vector_product
from plasticity_lab.measurements.lanczos import largest_eigenpairs
from plasticity_lab.measurements.lanczos_quadrature import hutchinson
from plasticity_lab.measurements.tangent_kernel import tangent_kernels
from tests.measurements.toys import convolutional, mlp

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs


def ours(network: nn.Module, images: Tensor, labels: Tensor) -> tuple[LinearOperator, Tensor]:
    """Return the product with the Hessian, and a vector to multiply."""
    parameters = detached_parameters(network)
    vector = torch.randn(
        flatten(parameters).numel(), generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    return hessian_vector_product(mean_loss(network, images, labels), parameters), vector


@pytest.mark.parametrize("toy", [mlp(), convolutional()], ids=["mlp", "convolutional"])
def test_products_are_those_of_curvlinops(toy: Any) -> None:
    curvlinops = pytest.importorskip("curvlinops")
    product, vector = ours(*toy)
    theirs = curvlinops.HessianLinearOperator(
        toy.network,
        nn.CrossEntropyLoss(),
        list(toy.network.parameters()),
        [(toy.images, toy.labels)],
    )
    assert torch.allclose(product(vector), theirs @ vector, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("toy", [mlp(), convolutional()], ids=["mlp", "convolutional"])
def test_eigenvalues_and_trace_are_those_of_hessian_eigenthings(toy: Any) -> None:
    eigenthings = pytest.importorskip("hessian_eigenthings")
    product, vector = ours(*toy)
    loss = eigenthings.supervised_loss(nn.functional.cross_entropy)
    theirs = eigenthings.HessianOperator(toy.network, [(toy.images, toy.labels)], loss)
    eigenvalues = eigenthings.lanczos(
        theirs, k=4, max_iter=40, tol=1e-12, which="LA", seed=0
    ).eigenvalues
    assert torch.allclose(
        largest_eigenpairs(product, vector, 4, 1e-9).values,
        eigenvalues.double().sort(descending=True).values,
        rtol=1e-6,
    )
    mean, error = hutchinson(product, vector, 400, torch.Generator().manual_seed(0))
    trace = eigenthings.trace(theirs, num_matvecs=400, seed=0)
    assert mean == pytest.approx(trace.estimate, abs=5 * error)


@pytest.mark.parametrize("toy", [mlp(), convolutional()], ids=["mlp", "convolutional"])
def test_fisher_trace_and_tangent_kernel_are_those_of_nngeometry(toy: Any) -> None:
    metrics = pytest.importorskip("nngeometry.metrics")
    gram, objects = pytest.importorskip("nngeometry.gram"), pytest.importorskip("nngeometry.object")
    network, images = copy.deepcopy(toy.network).float(), toy.images.float()  # it fails in float64
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(images, toy.labels), batch_size=6
    )
    trace = metrics.FIM(network, loader, objects.PMatDense).trace()
    assert exact_fisher_trace(network, images).total == pytest.approx(float(trace), rel=1e-4)
    theirs = gram.GramMatrix(network, loader).to_torch()  # (classes, examples, classes, examples)
    kernel = torch.stack(list(tangent_kernels(network, images).values())).sum(0)
    assert torch.allclose(
        theirs.diagonal(dim1=0, dim2=2).sum(-1).double(), kernel, rtol=1e-4, atol=1e-5
    )
