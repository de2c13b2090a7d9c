"""On a CUDA device: the same contracts, deterministic kernels on."""

from typing import Any

import pytest

from callbacks import interventions
from plasticity_lab.studies import local_engine
from plasticity_lab.studies.commands import run as train
from tests.registry import DIAGNOSTIC_NODES, REGISTRY, VARIANTS
from tests.runs import fit, state, tiny
from tests.studies.small import ARMS, small
from tests.studies.test_local_engine import ends
from tests.test_contracts import EVERY_KIND, FEW_OF_EVERY_KIND, IDENTITIES, check_resumes

GPU: dict[str, Any] = {
    "trainer": {"accelerator": "gpu", "devices": 1, "deterministic": True, "benchmark": False}
}


REFUSE_FLOAT16 = {"FisherPenalty", "FreshReference"}
"""Their own gradients would need a scale."""


def diagnostics_under(precision: str) -> dict[str, Any]:
    """Return all diagnostics that take a precision."""
    taken = [
        node
        for node in DIAGNOSTIC_NODES
        if precision != "16-mixed" or node["class_path"].rpartition(".")[2] not in REFUSE_FLOAT16
    ]
    return {"trainer": {"callbacks+": taken, "precision": precision}}


@pytest.mark.gpu
@pytest.mark.parametrize("variant", VARIANTS)
def test_resume_is_bitwise_from_every_kind_of_checkpoint(variant: str) -> None:
    check_resumes(VARIANTS[variant], GPU, EVERY_KIND)


@pytest.mark.gpu
def test_resume_is_bitwise_while_data_change() -> None:
    check_resumes(REGISTRY["everything at once"].acting, GPU, EVERY_KIND)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["16-mixed", "bf16-mixed"])
def test_resume_is_bitwise_in_mixed_precision(precision: str) -> None:
    """16-mixed scales the loss and keeps the scale in the checkpoint; CPUs have bf16-mixed only."""
    check_resumes(
        REGISTRY["everything at once"].acting,
        GPU,
        {"trainer": {"precision": precision}},
        EVERY_KIND,
    )


# The scale of float16 begins so high that the first steps are left out, perhaps a whole epoch's.
@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step:UserWarning")
@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["32-true", "16-mixed"])
@pytest.mark.parametrize("name", [name for name in interventions.__all__ if name in REGISTRY])
def test_an_intervention_resumes_bitwise(name: str, precision: str) -> None:
    """From one checkpoint in the middle; a scaled loss shows in what looks at gradients."""
    mixed = {"trainer": {"precision": precision}}
    if precision == "16-mixed" and name in REFUSE_FLOAT16:
        with pytest.raises(SystemExit):
            fit(*tiny(REGISTRY[name].acting, GPU, mixed))
        return
    check_resumes(REGISTRY[name].acting, GPU, mixed, FEW_OF_EVERY_KIND, every=99, first=5)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["32-true", "16-mixed", "bf16-mixed"])
def test_diagnostics_are_invisible(precision: str) -> None:
    measured = fit(*tiny(diagnostics_under(precision), GPU))
    assert state(measured) == state(fit(*tiny(GPU, {"trainer": {"precision": precision}})))


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["32-true", "16-mixed", "bf16-mixed"])
def test_sharing_epochs_in_a_study_changes_nothing(precision: str) -> None:
    settings = {
        "trainer.accelerator": "gpu",
        "trainer.deterministic": True,
        "trainer.precision": precision,
    }
    shared, unshared = (
        small(ARMS, set=settings),
        small(ARMS, share=False, root="alone", set=settings),
    )
    for work in (shared, unshared):
        assert not train(work, 4, local_engine.run)
    assert ends(shared) == ends(unshared)


@pytest.mark.gpu
@pytest.mark.parametrize("name", IDENTITIES)
def test_identity_is_bitwise_nothing(name: str) -> None:
    assert state(fit(*tiny(IDENTITIES[name], GPU))) == state(fit(*tiny(GPU)))


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["32-true", "16-mixed"])
def test_diagnostics_resume_bitwise(precision: str) -> None:
    check_resumes(diagnostics_under(precision), GPU, FEW_OF_EVERY_KIND, every=99, first=5)


@pytest.mark.gpu
def test_batches_on_the_gpu_are_those_on_the_cpu() -> None:
    """All draws are made on the CPU, and blur is exact."""
    import torch

    from datamodules import CropFlip
    from datamodules.transforms.blur import blur
    from plasticity_lab.randomness import generator

    images = torch.randint(0, 256, (64, 3, 32, 32), dtype=torch.uint8)
    on_cpu = CropFlip()(images, torch.tensor([120.0, 121.0, 99.0]), generator(0, "augment", 1))
    on_gpu = CropFlip()(
        images.cuda(), torch.tensor([120.0, 121.0, 99.0]).cuda(), generator(0, "augment", 1)
    )
    assert torch.equal(on_cpu, on_gpu.cpu())
    assert torch.equal(blur(images, 8), blur(images.cuda(), 8).cpu())


@pytest.mark.gpu
def test_synchronised_batch_norm_trains() -> None:
    """torch has it on GPUs only; one rank shows that it is wired up."""
    from tests.processes import run

    devices = (
        "--trainer.accelerator",
        "gpu",
        "--trainer.devices",
        "1",
        "--trainer.strategy",
        "ddp",
    )
    assert "test accuracy" in run("fit", *tiny(), *devices, "--trainer.sync_batchnorm", "true")
