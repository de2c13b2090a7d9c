"""Students that are watched beside their teacher."""

from typing import Any

import pytest
import torch

from callbacks.diagnostics.look import Look
from callbacks.diagnostics.node_correlation import NodeCorrelation
from callbacks.probe import Probe
from lightning_modules.networks import MLP
from plasticity_lab.errors import UserError
from plasticity_lab.runs.parse import parse
from plasticity_lab.timing import Time
from tests.networks import SmallNet
from tests.runs import fit, logged, resume, tiny

INPUTS = torch.randn(200, 6, generator=torch.Generator().manual_seed(0))
PROBE = Probe(INPUTS, torch.zeros(200, 4), torch.arange(200))


def network(widths: list[int]) -> Any:
    torch.manual_seed(1)
    return MLP(6, 4, 1, widths, norm="none")


def students() -> dict[str, Any]:
    """A student of a small teacher, watched."""
    mlp = "lightning_modules.networks.MLP"
    sizes = {"in_channels": 6, "num_classes": 4, "image_size": 1}
    return {
        "model": {
            "class_path": "lightning_modules.Supervised",
            "init_args": {
                "objective": {"class_path": "lightning_modules.Regression"},
                "network": {"class_path": mlp, "init_args": {"widths": [20], "norm": "none"}},
            },
        },
        "data": {
            "init_args": {
                "dataset": {
                    "class_path": "datamodules.TeacherTargets",
                    "init_args": {
                        "dataset": {
                            "class_path": "datamodules.GaussianInputs",
                            "init_args": {"features": 6, "examples": 100, "test_examples": 20},
                        },
                        "teacher": {
                            "class_path": "lightning_modules.networks.TeacherMLP",
                            "init_args": {**sizes, "widths": [5]},
                        },
                    },
                }
            }
        },
        "trainer": {
            "callbacks+": [
                {"class_path": "callbacks.NodeCorrelation", "init_args": {"every": "1ep"}},
                {
                    "class_path": "pytorch_lightning.callbacks.ModelCheckpoint",
                    "init_args": {"filename": "{epoch}", "save_top_k": -1},
                },
            ]
        },
    }


def test_a_student_that_holds_its_teacher_matches_it() -> None:
    """Five units are the teacher's, in another order; the others are not."""
    teacher, student = network([5]), network([12])
    order = torch.tensor([7, 2, 9, 0, 11])
    with torch.no_grad():
        student.hidden1.linear.weight[order] = teacher.hidden1.linear.weight
        student.hidden1.linear.bias[order] = teacher.hidden1.linear.bias
        student.head.weight[:, order] = 3.0
    diagnostic = NodeCorrelation(Time("1ep"), threshold=0.999)
    measured = diagnostic.look_at(Look(student, PROBE, teacher=teacher))
    assert measured["nodes/correlation_min/hidden1"] == pytest.approx(1)
    assert measured["nodes/unspecialised/hidden1"] == pytest.approx(7 / 12)
    assert measured["nodes/outgoing_matched/hidden1"] == pytest.approx(6)
    others = measured["nodes/outgoing_others/hidden1"]
    assert isinstance(others, float)
    assert others < 1
    assert measured["nodes/initial_rank/hidden1"] == 0


def test_ranks_are_of_the_network_before_training() -> None:
    teacher, student = network([2]), network([6])
    diagnostic = NodeCorrelation(Time("1ep"))
    diagnostic.look_at(Look(student, PROBE, teacher=teacher))
    before = diagnostic.state_dict()["initial"]["hidden1"]
    worst = before.argmin(1)
    with torch.no_grad():
        student.hidden1.linear.weight[worst] = teacher.hidden1.linear.weight
        student.hidden1.linear.bias[worst] = teacher.hidden1.linear.bias
    later = diagnostic.look_at(Look(student, PROBE, step=9, teacher=teacher))
    assert later["nodes/initial_rank/hidden1"] == pytest.approx(5 / 6)
    unknown = NodeCorrelation(Time("1ep")).look_at(Look(student, PROBE, step=9, teacher=teacher))
    assert "nodes/initial_rank/hidden1" not in unknown


def test_without_a_teacher_of_as_many_layers_it_is_refused() -> None:
    diagnostic = NodeCorrelation(Time("1ep"))
    with pytest.raises(UserError, match="have no teacher"):
        diagnostic.check(Look(network([5]), PROBE))
    with pytest.raises(UserError, match="network: has 2 activations and its teacher 1"):
        diagnostic.check(Look(network([5, 5]), PROBE, teacher=network([5])))
    maps = Probe(torch.zeros(2, 1, 16, 16), torch.zeros(2, 4), torch.arange(2))
    flat = MLP(1, 4, 16, [5], norm="none")
    with pytest.raises(UserError, match="other heights and widths"):
        diagnostic.check(Look(SmallNet(1, 4), maps, teacher=flat))
    with pytest.raises(UserError, match="threshold"):
        NodeCorrelation(Time("1ep"), threshold=0)


def test_a_run_logs_it_and_a_resume_knows_the_beginning() -> None:
    arguments = tiny(students())
    config = parse(["fit", *arguments, "--run_dir", "again"])
    whole = fit(*arguments)
    values = logged(whole.place.directory)
    tags = {tag for tag in values if "nodes/" in tag}
    assert tags == {
        f"diagnostics/nodes/{name}/hidden1"
        for name in (
            *("correlation", "correlation_min", "unspecialised", "initial_rank"),
            *("outgoing_matched", "outgoing_others"),
        )
    }
    checkpoint = next(whole.place.directory.glob("checkpoints/epoch=1*"))
    resumed = resume(config, checkpoint)
    again = logged(resumed.place.directory)
    for tag in tags:
        assert again[tag][-1] == values[tag][-1], tag
