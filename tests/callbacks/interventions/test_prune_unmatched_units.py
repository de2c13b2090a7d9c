"""Units that match a teacher's, the only ones left."""

from typing import Any

import pytest
import torch
from torch import Tensor

from callbacks import PruneUnmatchedUnits
from plasticity_lab.errors import UserError
from plasticity_lab.timing import Time
from tests.callbacks.interventions.arms import intervention
from tests.probes import BatchStarts
from tests.registry import VARIANTS
from tests.runs import BRIEF, fit, logged, state, tiny
from tests.test_bad_input import refused
from tests.test_contracts import EVERY_KIND, check_resumes

RECORD = {"class_path": "tests.probes.BatchStarts"}
NETWORKS = "lightning_modules.networks"
SIZES = {"in_channels": 6, "num_classes": 4, "image_size": 1}
HIDDEN = ("hidden1", "hidden2")


def students(optimizer: str = "torch.optim.SGD", **arguments: Any) -> dict[str, Any]:
    """A student of a teacher of 3 and 4 hidden units, in 12 steps."""
    network = {"class_path": f"{NETWORKS}.MLP", "init_args": {"widths": [12, 15], "norm": "none"}}
    teacher = {"class_path": f"{NETWORKS}.TeacherMLP", "init_args": {**SIZES, "widths": [3, 4]}}
    inputs = {
        "class_path": "datamodules.GaussianInputs",
        "init_args": {"features": 6, "examples": 100, "test_examples": 20},
    }
    dataset = {
        "class_path": "datamodules.TeacherTargets",
        "init_args": {"dataset": inputs, "teacher": teacher},
    }
    return {
        "model": {
            "class_path": "lightning_modules.Supervised",
            "init_args": {
                "objective": {"class_path": "lightning_modules.Regression"},
                "network": network,
                "optimizer": {"class_path": optimizer, "init_args": {"lr": 0.01, **arguments}},
            },
        },
        "data": {"init_args": {"dataset": dataset}},
    }


MOMENTUM = students(momentum=0.9, weight_decay=0.1)


def pruned(**arguments: Any) -> dict[str, Any]:
    return intervention("PruneUnmatchedUnits", **{"at": ["4st"], "examples": 100, **arguments})


def run(*callbacks: dict[str, Any], base: dict[str, Any] = MOMENTUM) -> Any:
    return fit(*tiny(BRIEF, base, {"trainer": {"callbacks+": [*callbacks, RECORD]}}))


def weights_of(finished: Any) -> list[dict[str, Tensor]]:
    """Return the weights with which each batch is trained, and the last ones."""
    starts = [one for one in finished.trainer.callbacks if isinstance(one, BatchStarts)][-1]
    last = {name: value.clone() for name, value in finished.model.network.state_dict().items()}
    return [*starts.weights, last]


def left(weights: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Return which units of both layers have weights; all that they have are to be there."""
    first, second, head = (weights[f"{name}.weight"] != 0 for name in network_layers())
    kept = first.any(1), second.any(1)
    assert torch.equal(first, kept[0][:, None].expand_as(first))
    assert torch.equal(second, kept[1][:, None] & kept[0])
    assert torch.equal(head, kept[1].expand_as(head))
    return kept


def network_layers() -> list[str]:
    return [*(f"{name}.linear" for name in HIDDEN), "head"]


def hidden(weights: dict[str, Tensor], inputs: Tensor) -> list[Tensor]:
    """Return the activations of both hidden layers of a student or a teacher."""
    outputs, values = [inputs.flatten(1)], list(weights.values())
    for weight, bias in ((values[0], values[1]), (values[2], values[3])):
        outputs.append((outputs[-1] @ weight.T + bias).relu())
    return outputs[1:]


@pytest.mark.parametrize("base", [MOMENTUM, students("torch.optim.Adam", weight_decay=0.1)])
def test_the_best_students_are_kept_and_all_others_are_zero_from_then_on(
    base: dict[str, Any],
) -> None:
    finished = run(RECORD, pruned(), base=base)
    steps = weights_of(finished)
    assert all(part.all() for part in left(steps[3]))
    kept = left(steps[4])
    for step in steps[4:]:
        assert all(torch.equal(*pair) for pair in zip(left(step), kept, strict=True))

    # Correlations by another formula, with the weights that the moment found.
    first = next(one for one in finished.trainer.callbacks if isinstance(one, BatchStarts))
    data = finished.trainer.datamodule
    inputs = data.splits.train.tensor()
    teacher = hidden(data.dataset.teacher.state_dict(), inputs)
    for taught, learned, marks in zip(teacher, hidden(first.weights[4], inputs), kept, strict=True):
        both = torch.cat([taught, learned], 1).double()
        centred = both - both.mean(0)
        covariance = centred.T @ centred
        scales = covariance.diag().clamp_min(1e-20).sqrt()
        rows = (covariance / scales / scales[:, None])[: taught.shape[1], taught.shape[1] :]
        best: set[int] = set()
        for row in (-rows).tolist():
            best |= {*sorted(range(len(row)), key=row.__getitem__)[:2]}
        assert {*marks.nonzero()[:, 0].tolist()} == best
    counts = logged(finished.place.directory)
    for name, marks in zip(HIDDEN, kept, strict=True):
        tag = f"interventions/PruneUnmatchedUnits/kept/{name}.linear"
        assert counts[tag] == [(4, float(marks.sum()))]


def test_biases_of_pruned_units_have_no_gradient_but_decay() -> None:
    decay = students(momentum=0.0, weight_decay=0.1)
    constant = {"model": {"init_args": {"lr_scheduler": None}}}
    finished = fit(*tiny(BRIEF, decay, constant, {"trainer": {"callbacks+": [pruned(), RECORD]}}))
    steps = weights_of(finished)
    for name, marks in zip(HIDDEN, left(steps[4]), strict=True):
        before, after = (step[f"{name}.linear.bias"] for step in (steps[4], steps[5]))
        expected = before - 0.01 * (0.1 * before)
        assert torch.allclose(after[~marks], expected[~marks], rtol=1e-6, atol=0)
        assert not torch.allclose(after[marks], expected[marks], rtol=1e-6, atol=0)


def test_the_control_keeps_as_many_others() -> None:
    lucky, control = (left(weights_of(run(pruned(by=by)))[4]) for by in ("correlation", "random"))
    for chosen, drawn in zip(lucky, control, strict=True):
        assert int(chosen.sum()) == int(drawn.sum())
        assert not torch.equal(chosen, drawn)


def test_the_ticket_begins_at_its_initial_values_and_the_control_at_others() -> None:
    rewind = intervention("Rewind", at=["4st"], to="0ep", optimizer_state="rewind")
    again = intervention("LayerReset", at=["4st"], layers=["*"])
    ticket, redrawn = weights_of(run(pruned(), rewind)), weights_of(run(pruned(), rewind, again))
    kept = left(ticket[4])
    assert all(torch.equal(*pair) for pair in zip(left(redrawn[4]), kept, strict=True))
    for name in network_layers():
        weight = f"{name}.weight"
        survives = ticket[4][weight] != 0
        assert torch.equal(ticket[4][weight][survives], ticket[0][weight][survives])
        assert not (redrawn[4][weight][survives] == ticket[0][weight][survives]).any()


@pytest.mark.parametrize("by", ["correlation", "random"])
def test_later_moments_choose_among_those_that_are_left(by: str) -> None:
    """Of 6 and 8 units or fewer the best of each teacher unit, 3 and 4 or fewer."""
    first = pruned(by=by)
    steps = weights_of(run(first, pruned(at=["8st"], count=1, by=by)))
    for before, after, teachers in zip(left(steps[4]), left(steps[8]), (3, 4), strict=True):
        assert not (after & ~before).any()
        assert 1 <= int(after.sum()) <= teachers


def test_what_is_pruned_stays_pruned_after_a_shuffle() -> None:
    shuffle = intervention("ShuffleMasks", at=["4st"])
    steps = weights_of(run(pruned(at=["4st", "8st"]), shuffle))
    for name in (f"{layer}.weight" for layer in network_layers()):
        # A step after the shuffle all that survives has moved from 0.
        assert not (steps[-1][name] != 0)[steps[6][name] == 0].any()


def test_double_precision_is_that_of_its_examples() -> None:
    double = {"trainer": {"precision": "64-true", "callbacks+": [pruned()]}}
    finished = fit(*tiny(BRIEF, MOMENTUM, double))
    assert finished.model.network.head.weight.dtype == torch.float64
    assert (finished.model.network.head.weight == 0).any()


def test_with_as_many_as_there_are_nothing_changes() -> None:
    assert state(run(pruned(count=15))) == state(run())


def test_a_resume_holds_the_masks() -> None:
    callbacks = [pruned(by="random"), intervention("Rewind", at=["4st"], to="0ep")]
    fragment = {"trainer": {"callbacks+": callbacks}}
    check_resumes(MOMENTUM, fragment, EVERY_KIND, only="stepstep=6.ckpt")


def test_it_is_refused_before_training(capsys: pytest.CaptureFixture[str]) -> None:
    one = {"trainer": {"callbacks+": [pruned()]}}
    narrow = {"network": {"class_path": f"{NETWORKS}.MLP", "init_args": {"widths": [12]}}}
    doubled = {"init_args": {"widths": [12, 16], "norm": "none", "activation": "crelu"}}
    crelu = {"network": {"class_path": f"{NETWORKS}.MLP", **doubled}}
    cases = {
        "PruneUnmatchedUnits: data: have no teacher": [one],
        "PruneUnmatchedUnits: network: has 1 activations and its teacher 2": [
            *(MOMENTUM, {"model": {"init_args": narrow}}, one)
        ],
        "PruneUnmatchedUnits: .* are not those of one layer": [
            *(MOMENTUM, {"model": {"init_args": crelu}}, one)
        ],
        "rule: SAM: .*; remove PruneUnmatchedUnits": [
            *(MOMENTUM, {"model": {"init_args": {"rule": rule("SAM")}}}, one)
        ],
    }
    for message, fragments in cases.items():
        refused(["fit", *tiny(*fragments)], message, capsys)
    with pytest.raises(UserError, match="count: 0: set 1 or more"):
        PruneUnmatchedUnits([Time("1ep")], count=0)
    with pytest.raises(UserError, match="examples: 1: set 2 or more"):
        PruneUnmatchedUnits([Time("1ep")], examples=1)


def rule(name: str) -> dict[str, Any]:
    node: dict[str, Any] = VARIANTS[name]["model"]["init_args"]["rule"]
    return node
