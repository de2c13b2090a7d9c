"""Diagnostics in a run: what they log is what the functions say of the network."""

from typing import Any

import pytest
import torch

from callbacks.diagnostics import HessianEigenvalues
from callbacks.diagnostics.base import Diagnostic
from plasticity_lab.measurements.fisher_trace import fisher_trace
from plasticity_lab.measurements.functional import detached_parameters, mean_loss
from plasticity_lab.measurements.hvp import gradient
from plasticity_lab.measurements.subspace import subspace_overlap
from plasticity_lab.measurements.tangent_kernel import tangent_kernels
from plasticity_lab.randomness import generator
from plasticity_lab.timing import Position, Time
from tests.callbacks.diagnostics.measured import as_measured
from tests.measurements.toys import Toy, jacobian
from tests.registry import DIAGNOSTIC_NODES
from tests.runs import fit, logged, tiny
from tests.test_bad_input import refused


def measured(
    name: str, *more: dict[str, Any], **arguments: Any
) -> tuple[Any, dict[str, list[tuple[int, float]]]]:
    """Run the tiny run with a diagnostic; return the run and what the diagnostic logged."""
    callback = {"class_path": f"callbacks.{name}", "init_args": {"every": "1ep", **arguments}}
    finished = fit(*tiny({"trainer": {"callbacks+": [callback]}}, *more))
    return finished, {
        tag: values
        for tag, values in logged(finished.place.directory).items()
        if tag.startswith("diagnostics/")
    }


def test_values_stand_beside_those_of_the_epoch() -> None:
    finished, tags = measured("FisherInformation", examples=40)
    assert [step for step, _ in tags["diagnostics/fisher/trace"]] == [0, 3, 7, 11]
    assert [step for step, _ in logged(finished.place.directory)["val/accuracy"]] == [3, 7, 11]


def test_the_first_epoch_may_be_measured_closely() -> None:
    _, tags = measured("FisherInformation", examples=20, every="5st", early=True)
    assert [step for step, _ in tags["diagnostics/fisher/trace"]] == [0, 1, 3, 4, 9, 11]


@pytest.mark.parametrize(
    ("interval", "early", "epoch", "before", "step", "ends", "due"),
    [
        ("2ep", False, 0, 3, 4, True, False),
        ("2ep", False, 1, 7, 8, True, True),
        ("2ep", False, 1, 7, 8, False, False),
        ("3st", False, 0, 2, 3, False, True),
        ("3st", False, 0, 3, 3, False, False),
        ("1st", False, 0, 0, 1, False, False),
        ("1st", False, 0, 1, 2, False, True),
        ("9ep", True, 0, 7, 8, False, True),
        ("9ep", True, 0, 8, 9, False, False),
        ("9ep", True, 1, 15, 16, False, False),
        ("9ep", False, 4, 39, 40, True, True),  # the last of five
        ("9ep", False, 4, 38, 39, False, False),
        ("40%", False, 0, 7, 8, True, False),
        ("40%", False, 1, 15, 16, True, True),
        ("40%", False, 1, 14, 15, False, False),
        ("900st", False, 4, 39, 40, True, True),
    ],
)
def test_when_it_is_due(
    interval: str, early: bool, epoch: int, before: int, step: int, ends: bool, due: bool
) -> None:
    class Nothing(Diagnostic):
        """Measures nothing."""

        def measure(self, *_: Any) -> dict[str, float]:
            return {}

    now, following = Position(epoch, before), Position(epoch + ends, step)
    assert Nothing(Time(interval), early=early).due(now, following, epochs=5) == due


GROWING = {
    "class_path": "datamodules.UniformGrowth",
    "init_args": {"counts": [40, 70, 100], "at": ["1ep", "2ep"]},
}


@pytest.mark.parametrize(("every", "steps"), [("stages", [0, 1, 4, 8]), ("stage2", [0, 4, 8])])
def test_it_measures_before_data_arrive(every: str, steps: list[int]) -> None:
    _, tags = measured("NormBiases", {"data": {"init_args": {"growth": GROWING}}}, every=every)
    assert all([step for step, _ in values] == steps for values in tags.values())


@pytest.mark.parametrize(
    "growth", [None, {**GROWING, "init_args": {"step": 50, "until": {"train_accuracy": 0.9}}}]
)
def test_stages_must_begin_at_known_times(growth: Any, capsys: pytest.CaptureFixture[str]) -> None:
    node = {"class_path": "callbacks.NormBiases", "init_args": {"every": "stages"}}
    fragments = {"data": {"init_args": {"growth": growth}}, "trainer": {"callbacks+": [node]}}
    message = "NormBiases: every: stages: needs data stages that begin at known times; set a number"
    refused(["fit", *tiny(fragments)], message, capsys)


def test_fisher_information_is_that_of_the_network() -> None:
    finished, tags = measured("FisherInformation", examples=40)
    with as_measured(finished, 40) as (network, chosen):
        trace = fisher_trace(network, chosen.inputs, generator(0, "fisher", 12))
    assert tags["diagnostics/fisher/trace"][-1][1] == pytest.approx(trace.total, rel=1e-6)
    assert tags["diagnostics/fisher/error"][-1][1] == pytest.approx(trace.error, rel=1e-6)
    head = trace.parts["head.weight"] + trace.parts["head.bias"]
    assert tags["diagnostics/fisher/trace/head"][-1][1] == pytest.approx(head, rel=1e-6)
    assert tags["diagnostics/fisher/share/head"][-1][1] == pytest.approx(
        head / trace.total, rel=1e-6
    )


def dense(finished: Any, examples: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the Hessian and the gradient of the loss on the probe."""
    with as_measured(finished, examples) as (network, chosen):
        parameters, loss = (
            detached_parameters(network),
            mean_loss(network, chosen.inputs, chosen.targets),
        )
        slope = gradient(loss, parameters)
        rows = []
        for place in range(len(slope)):
            values = list(parameters.values())
            grads = torch.autograd.grad(loss(parameters), values, create_graph=True)
            row = torch.autograd.grad(
                torch.cat([part.flatten() for part in grads])[place], values, materialize_grads=True
            )
            rows.append(torch.cat([part.flatten() for part in row]))
        return torch.stack(rows).double(), slope.double()


def test_curvature_is_that_of_the_network() -> None:
    finished, tags = measured("HessianEigenvalues", examples=60, next_span=True)
    hessian, slope = dense(finished, 60)
    values, vectors = torch.linalg.eigh((hessian + hessian.T) / 2)
    for place in range(1, 4):
        assert tags[f"diagnostics/hessian/eigenvalue/{place}"][-1][1] == pytest.approx(
            float(values[-place]), rel=2e-3
        )
    f_top = float((vectors[:, -10:].T @ slope).norm() ** 2 / slope.norm() ** 2)
    assert tags["diagnostics/hessian/f_top"][-1][1] == pytest.approx(f_top, abs=0.01)
    image = hessian @ slope
    assert tags["diagnostics/hessian/overlap"][-1][1] == pytest.approx(
        float(slope @ image / slope.norm() / image.norm()), rel=1e-3
    )
    for reference, expected in (("last", [3, 7, 11]), ("early", [7, 11])):
        for name in ("subspace_overlap", "next_subspace_overlap"):
            overlaps = tags[f"diagnostics/hessian/{name}/{reference}"]
            assert [step for step, _ in overlaps] == expected
    spans = next(
        callback.state_dict()
        for callback in finished.trainer.callbacks
        if isinstance(callback, HessianEigenvalues)
    )
    for name, following in (("last", vectors[:, -10:]), ("next_last", vectors[:, -20:-10])):
        assert subspace_overlap(spans[name].double(), following) == pytest.approx(1, abs=0.02)
    for name, kept in (("subspace_overlap", ""), ("next_subspace_overlap", "next_")):
        early, last = spans[f"{kept}early"].double(), spans[f"{kept}last"].double()
        overlap = float((early.T @ last).norm() ** 2 / 10)
        assert tags[f"diagnostics/hessian/{name}/early"][-1][1] == pytest.approx(overlap, rel=1e-5)


@pytest.mark.slow
def test_the_spectrum_is_that_of_the_network() -> None:
    finished, tags = measured("HessianSpectrum", every="3ep", examples=60, steps=40, signs=400)
    hessian, _ = dense(finished, 60)
    values = torch.linalg.eigvalsh((hessian + hessian.T) / 2)
    assert tags["diagnostics/hessian/largest"][-1][1] == pytest.approx(float(values[-1]), rel=1e-3)
    assert tags["diagnostics/hessian/smallest"][-1][1] == pytest.approx(float(values[0]), rel=1e-2)
    trace, error = (tags[f"diagnostics/hessian/{name}"][-1][1] for name in ("trace", "trace_error"))
    assert abs(trace - float(values.sum())) < 4 * error
    assert error < 0.1 * abs(trace)


def test_gradient_noise_is_that_of_the_network() -> None:
    finished, tags = measured("GradientNoise", examples=60, batch_size=20)
    with as_measured(finished, 60) as (network, chosen):
        order = torch.randperm(60, generator=generator(0, "gradient noise"))
        losses = [
            mean_loss(network, chosen.inputs[part], chosen.targets[part])
            for part in torch.split(order, 20)
        ]
        rows = torch.stack([gradient(loss, detached_parameters(network)) for loss in losses])
    trace = float((rows - rows.mean(0)).pow(2).sum() / 3)
    assert tags["diagnostics/gradient_covariance/trace"][-1][1] == pytest.approx(trace, rel=1e-4)
    assert tags["diagnostics/gradient_covariance/eigenvalue"][-1][1] <= trace


def test_kernel_alignment_is_that_of_the_network() -> None:
    finished, tags = measured("KernelAlignment", examples=50)
    with as_measured(finished, 50) as (network, chosen):
        kernels = tangent_kernels(network, chosen.inputs)
        outputs = network(chosen.inputs).detach().double()
    values = torch.linalg.eigvalsh(torch.stack(list(kernels.values())).sum(0))
    assert tags["diagnostics/kernel/trace"][-1][1] == pytest.approx(float(values.sum()), rel=1e-5)
    assert tags["diagnostics/kernel/eigenvalue"][-1][1] == pytest.approx(
        float(values[-1]), rel=1e-5
    )
    vectors = torch.linalg.eigh(torch.stack(list(kernels.values())).sum(0))[1][:, -10:]
    hot = torch.nn.functional.one_hot(chosen.targets, 10).double()
    for name, target in (
        ("labels", hot - hot.mean(0)),
        ("outputs", outputs - outputs.mean(0)),
        ("residuals", hot - outputs.softmax(1)),
    ):
        expected = float((vectors.T @ target).norm() ** 2 / target.norm() ** 2)
        assert tags[f"diagnostics/kernel/{name}"][-1][1] == pytest.approx(expected, rel=1e-3), name
    with as_measured(finished, 50) as (network, chosen):
        rows = jacobian(Toy(network, chosen.inputs, chosen.targets)).flatten(0, 1).double()
    largest = float(torch.linalg.eigvalsh(rows @ rows.T)[-1])
    assert tags["diagnostics/kernel/full_eigenvalue"][-1][1] == pytest.approx(largest, rel=2e-4)
    rates = [0.1, 0.08, 0.064, 0.0512]  # of the step to come
    for rate, (_, eigenvalue), (_, stability) in zip(
        rates,
        tags["diagnostics/kernel/full_eigenvalue"],
        tags["diagnostics/kernel/stability"],
        strict=True,
    ):
        assert stability == pytest.approx(rate * eigenvalue / (2 * 50), rel=1e-5)
    assert -1 <= tags["diagnostics/kernel/alignment/head"][-1][1] <= 1


def test_stability_is_of_the_rate_that_is_trained_with() -> None:
    factor = {
        "class_path": "callbacks.LearningRateFactor",
        "init_args": {"levels": {"0ep": 2.0, "1ep": 10.0}},
    }
    kernel = {
        "class_path": "callbacks.KernelAlignment",
        "init_args": {"every": "1ep", "examples": 50},
    }
    tags = logged(fit(*tiny({"trainer": {"callbacks+": [kernel, factor]}})).place.directory)
    (steps, eigenvalues), (_, stabilities) = (
        zip(*tags[f"diagnostics/kernel/{name}"], strict=True)
        for name in ("full_eigenvalue", "stability")
    )
    assert steps == (0, 3, 7, 11)
    rates = [
        stability * 100 / eigenvalue
        for stability, eigenvalue in zip(stabilities, eigenvalues, strict=True)
    ]
    # The first epoch's factor, with its rate; the schedule falls by 0.8 at the end of an epoch,
    # before it is measured.
    assert rates == pytest.approx([0.1 * 2, 0.08 * 2, 0.064 * 10, 0.0512 * 10], rel=1e-5)


UNUSED = {"model": {"init_args": {"network": {"class_path": "tests.networks.SparePartNet"}}}}


@pytest.mark.slow
@pytest.mark.usefixtures("plain_layout")
def test_a_parameter_without_part_in_the_answers_has_no_gradient() -> None:
    of_last_layer = {"FeatureRank", "CKA", "FewShot", "SourceVariance"}
    nodes = [
        node
        for node in DIAGNOSTIC_NODES
        if node["class_path"].removeprefix("callbacks.") not in of_last_layer
    ]
    finished = fit(*tiny({"trainer": {"callbacks+": nodes}}, UNUSED))
    assert (
        len([tag for tag in logged(finished.place.directory) if tag.startswith("diagnostics/")])
        > 50
    )


@pytest.mark.parametrize(
    ("name", "network", "arguments", "message"),
    [
        (
            "FeatureRank",
            "SparePartNet",
            {},
            "FeatureRank: SparePartNet: layer 'spare' is never called in forward(); set `blocks`",
        ),
        (
            "KernelAlignment",
            "BranchingNet",
            {},
            "KernelAlignment: network: torch.func.vmap cannot take it (vmap: It looks like",
        ),
        ("KernelAlignment", "OnceNet", {}, "KernelAlignment: network: has no second derivatives ("),
    ],
)
def test_what_cannot_be_measured_is_said_before_training(
    name: str,
    network: str,
    arguments: dict[str, Any],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as stop:
        measured(
            name,
            {"model": {"init_args": {"network": {"class_path": f"tests.networks.{network}"}}}},
            **arguments,
        )
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.usefixtures("plain_layout")
def test_a_run_that_diverges_says_so_whatever_is_measured(
    capsys: pytest.CaptureFixture[str],
) -> None:
    often = [
        {**node, "init_args": {**node["init_args"], "every": "1st"}}
        for node in DIAGNOSTIC_NODES
        if "every" in node["init_args"]
    ]
    with pytest.raises(SystemExit):
        # Weight decay multiplies the weights by nearly a million in each step.
        fit(
            *tiny({"trainer": {"callbacks+": often}}),
            "--model.init_args.optimizer.init_args.lr",
            "9e8",
        )
    assert "the training loss is not finite at step" in capsys.readouterr().err


def test_a_probe_may_be_impaired() -> None:
    blur = {"class_path": "datamodules.WhiteNoise", "init_args": {"during": ["1ep", "2ep"]}}
    data = {"data": {"init_args": {"deficits": [blur]}}}
    _, clean = measured("FisherInformation", data, examples=40)
    _, impaired = measured("FisherInformation", data, examples=40, impaired=True)
    differ = [
        a != b
        for a, b in zip(
            clean["diagnostics/fisher/trace"], impaired["diagnostics/fisher/trace"], strict=True
        )
    ]
    assert differ == [False, False, True, False], "the second epoch is that of the noise"
