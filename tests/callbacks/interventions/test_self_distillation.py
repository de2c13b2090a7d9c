"""A network that learns from what it was, against a plain loop."""

import copy
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from plasticity_lab.measurements.predictive import Categorical, Gaussian
from tests.callbacks.interventions.arms import intervention, run

NETWORK = {"network": {"class_path": "tests.networks.SmallNet", "init_args": {"dropout": 0.0}}}


def test_the_loss_has_the_divergence_from_the_teacher_and_the_log_does_not() -> None:
    """Two steps by hand after the teacher is taken, with batch norm."""
    record = {"class_path": "tests.probes.BatchStarts"}
    batches = {"class_path": "tests.probes.Batches"}
    teach = intervention("SelfDistillation", at=["9st"], strength=3.0)
    finished = run(teach, record, batches, model={**NETWORK, "lr_scheduler": None})
    by_name = {type(callback).__name__: callback for callback in finished.trainer.callbacks}
    network = copy.deepcopy(finished.model.network)
    network.load_state_dict(by_name["BatchStarts"].weights[9])
    teacher = copy.deepcopy(network).eval()
    state = by_name["Batches"].momenta[9]
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)
    for value, momentum in zip(network.parameters(), state, strict=True):
        optimizer.state[value]["momentum_buffer"] = momentum.clone()
    network.train()
    for inputs, targets in by_name["Batches"].batches[9:11]:
        optimizer.zero_grad()
        outputs = network(inputs)
        with torch.no_grad():
            said = teacher(inputs)
        # p log(p / q), the mean over the batch.
        divergence = F.kl_div(
            outputs.log_softmax(1), said.log_softmax(1), reduction="batchmean", log_target=True
        )
        (F.cross_entropy(outputs, targets) + 3.0 * divergence).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    for name, value in network.state_dict().items():
        torch.testing.assert_close(by_name["BatchStarts"].weights[11][name], value)


def test_each_moment_has_a_new_teacher_and_what_is_listed_after_it_acts_on_the_network() -> None:
    reset = intervention("LayerReset", at=["4st", "8st"], layers=["*"])
    finished = run(
        {"class_path": "tests.probes.BatchStarts"},
        intervention("SelfDistillation", at=["4st", "8st"]),
        reset,
    )
    by_name = {type(callback).__name__: callback for callback in finished.trainer.callbacks}
    teacher: dict[str, Any] = by_name["SelfDistillation"].state_dict()["teacher"]
    for name, value in by_name["BatchStarts"].weights[8].items():
        assert torch.equal(teacher[name], value), name


@pytest.mark.parametrize("predictive", [Categorical(), Gaussian()])
def test_a_divergence_is_that_of_torch(predictive: Any) -> None:
    draws = torch.Generator().manual_seed(0)
    reference, outputs = (torch.randn(6, 4, generator=draws, dtype=torch.float64) for _ in range(2))
    if isinstance(predictive, Categorical):
        pair = [torch.distributions.Categorical(logits=one) for one in (reference, outputs)]
        expected = torch.distributions.kl_divergence(*pair)
    else:
        normal = [
            torch.distributions.Normal(one, torch.ones_like(one)) for one in (reference, outputs)
        ]
        expected = torch.distributions.kl_divergence(*normal).sum(1)
    torch.testing.assert_close(predictive.divergence(reference, outputs), expected)
    assert not predictive.divergence(outputs, outputs).any()
