"""Training that begins from the weights of a file."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lightning_modules.networks import MLP
from plasticity_lab.errors import UserError
from plasticity_lab.runs.parse import parse
from plasticity_lab.studies.environment_key import environment_key
from plasticity_lab.surgery.construction import construct
from plasticity_lab.surgery.initial_weights import (
    check_weights,
    load_weights,
    read_weights,
    weights_hash,
)
from plasticity_lab.surgery.initialisation import init_parameters
from tests.runs import fit, logged, resume, state, tiny
from tests.test_contracts import EVERY_KIND, check_resumes

STILL: dict[str, Any] = {
    "trainer": {"max_epochs": 1},
    "model": {"init_args": {"optimizer": {"init_args": {"lr": 1e-30, "weight_decay": 0.0}}}},
}
"""One epoch in which no parameter moves."""


def begin_from(path: str, *layers: str) -> dict[str, Any]:
    return {"model": {"init_args": {"initial_weights": path, "initial_weights_except": [*layers]}}}


@pytest.fixture
def trained() -> str:
    """A checkpoint of a trained network."""
    finished = fit(*tiny(), "--run_dir", "source")
    return str(finished.place.directory.absolute() / "checkpoints/last.ckpt")


def test_training_begins_from_the_weights_with_a_new_clock(trained: str) -> None:
    weights = read_weights(Path(trained))
    finished = fit(*tiny(STILL, begin_from(trained)))
    for name, value in finished.model.network.named_parameters():
        assert torch.equal(value, weights[name]), name
    assert not torch.equal(weights["head.weight"], fresh()["head.weight"])
    steps = [step for step, _ in logged(finished.place.directory)["train/accuracy"]]
    assert steps == [3], "a new clock"


def fresh() -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = fit(*tiny(STILL)).model.network.state_dict()
    return weights


def test_what_is_left_out_is_drawn_fresh(trained: str) -> None:
    """As for other classes: five of them, of whose head the file has no weights."""
    two = {
        "class_path": "datamodules.ClassStream",
        "init_args": {"classes_per_stage": 2, "relabel": True, "at": ["1ep", "2ep", "3ep", "4ep"]},
    }
    others = {"trainer": {"max_epochs": 5}, "data": {"init_args": {"growth": two, "batch_size": 5}}}
    finished = fit(*tiny(STILL, begin_from(trained, "head"), others))
    without = fit(*tiny(STILL, others))
    weights, network = read_weights(Path(trained)), finished.model.network
    for name, value in network.named_parameters():
        own = without.model.network.get_parameter(name)
        assert torch.equal(value, own if name.startswith("head.") else weights[name]), name


def test_a_state_dict_of_ones_own_is_as_good() -> None:
    network = construct(MLP, 1, 10, 16, widths=[8])
    init_parameters(network, 5)
    torch.save(network.state_dict(), "mine.pt")
    assert weights_hash(read_weights(Path("mine.pt"))) == weights_hash(network.state_dict())


@pytest.mark.slow
def test_a_resume_is_bitwise_and_needs_no_file(trained: str) -> None:
    moved = Path("weights.ckpt")
    moved.write_bytes(Path(trained).read_bytes())
    fragment = begin_from(str(moved.absolute()))
    check_resumes(fragment, EVERY_KIND, every=99, first=3)
    config = parse(["fit", *tiny(fragment, EVERY_KIND), "--run_dir", "again"])
    whole = fit(*tiny(fragment, EVERY_KIND), "--run_dir", "again")
    moved.unlink()
    middle = next(Path("again/checkpoints").glob("step*5.ckpt"))
    assert state(resume(config, middle)) == state(whole)


def test_a_resume_from_other_weights_is_refused(trained: str) -> None:
    file = Path("weights.ckpt")
    file.write_bytes(Path(trained).read_bytes())
    arguments = tiny(begin_from(str(file)), {"trainer": {"max_epochs": 1}})
    run = fit(*arguments)
    longer = tiny(begin_from(str(file)), {"trainer": {"max_epochs": 2}})
    weights = {name: one + 1 for name, one in read_weights(file).items()}
    torch.save(weights, file)
    with pytest.raises(UserError, match="did not begin from these weights; start a new run"):
        resume(parse(["fit", *longer]), run.place.directory / "checkpoints/last.ckpt")
    with pytest.raises(UserError, match="initial_weights: null: the checkpoint's training began"):
        resume(parse(["fit", *tiny()]), run.place.directory / "checkpoints/last.ckpt")


def test_a_study_tells_runs_by_the_content_of_the_file(trained: str) -> None:
    file = Path("weights.ckpt")
    file.write_bytes(Path(trained).read_bytes())
    config = parse(["fit", *tiny(begin_from(str(file)))]).resolved()
    first = environment_key(config, 1)
    weights = {name: one.clone() for name, one in read_weights(file).items()}
    torch.save(weights, file)
    assert environment_key(config, 1) == first, "the same weights"
    torch.save({name: one + 1 for name, one in weights.items()}, file)
    assert environment_key(config, 1) != first


def test_initial_values_that_are_a_files_are_drawn_by_no_intervention(trained: str) -> None:
    l2_init = {
        "trainer": {
            "callbacks+": [
                {"class_path": "callbacks.L2Init", "init_args": {"levels": {"0ep": 0.1}}}
            ]
        }
    }
    with pytest.raises(SystemExit):
        fit(*tiny(begin_from(trained), l2_init))


def test_weights_of_another_network_are_named() -> None:
    small, large = MLP(1, 10, 4, widths=[8]), MLP(1, 5, 4, widths=[8])
    problem = (
        "initial_weights: x: of another network: head.weight has shape .10, 8. there and .5, 8. "
        "here, head.bias has shape .10,. there and .5,. here; "
        r"set initial_weights_except: \[head\] to draw what differs"
    )
    with pytest.raises(UserError, match=problem):
        check_weights(large, small.state_dict(), [], "x")
    check_weights(large, small.state_dict(), ["head"], "x")
    with pytest.raises(UserError, match="3 more; use the network that they are of"):
        check_weights(
            nn.Sequential(nn.Linear(3, 2)),
            MLP(1, 2, 1, widths=[]).state_dict()
            | {
                "a": torch.zeros(1),
                "b": torch.zeros(1),
            },
            [],
            "x",
        )
    with pytest.raises(UserError, match="tail: is no layer of MLP; its blocks are hidden1, head"):
        check_weights(large, small.state_dict(), ["tail"], "x")


def test_the_layers_to_keep_keep_their_values() -> None:
    first, second = MLP(1, 10, 4, widths=[8]), MLP(1, 5, 4, widths=[8])
    head = second.head.weight.detach().clone()
    load_weights(second, first.state_dict(), ["head"])
    assert torch.equal(second.head.weight, head)
    assert torch.equal(
        second.get_parameter("hidden1.linear.weight"), first.get_parameter("hidden1.linear.weight")
    )


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "no such file; name a checkpoint, or a file of weights"),
        (b"text", "truncated or not a checkpoint"),
        ({"a": 1}, "holds no weights by name"),
        ([torch.zeros(1)], "holds no weights by name"),
    ],
)
def test_a_file_without_weights_is_refused(content: Any, problem: str) -> None:
    file = Path("weights.pt")
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is not None:
        torch.save(content, file)
    with pytest.raises(UserError, match=f"initial_weights: weights.pt: {problem}"):
        read_weights(file)


def test_layers_to_leave_out_of_nothing_are_refused() -> None:
    with pytest.raises(SystemExit):
        fit(*tiny({"model": {"init_args": {"initial_weights_except": ["head"]}}}))


def wide_and_narrow(widths: list[int], **arguments: Any) -> dict[str, Any]:
    node = {
        "class_path": "lightning_modules.networks.MLP",
        "init_args": {"widths": widths, "norm": "none"},
    }
    return {"model": {"init_args": {"network": node, **arguments}}}


def test_a_narrower_network_begins_from_the_largest_filters() -> None:
    wide = fit(*tiny(STILL, wide_and_narrow([12, 8])), "--run_dir", "wide")
    file = str(Path("wide/checkpoints/last.ckpt").absolute())
    narrow = wide_and_narrow([5, 8], initial_weights=file, initial_weights_filters="l1")
    finished = fit(*tiny(STILL, narrow))
    weights = wide.model.network.state_dict()
    kept = weights["hidden1.linear.weight"].abs().sum(1).topk(5).indices.sort().values
    network = finished.model.network
    assert torch.equal(network.hidden1.linear.weight, weights["hidden1.linear.weight"][kept])
    assert torch.equal(network.hidden1.linear.bias, weights["hidden1.linear.bias"][kept])
    assert torch.equal(network.hidden2.linear.weight, weights["hidden2.linear.weight"][:, kept])
    assert torch.equal(network.head.weight, weights["head.weight"])


@pytest.mark.parametrize(
    ("widths", "arguments", "problem"),
    [
        ([5, 8], {}, "of another network"),
        ([12, 8], {"initial_weights": None}, "initial_weights_filters: l1: there are no weights"),
        ([12, 9], {}, "of another network"),
        ([5, 8], {"initial_weights_filters": "norm_gain"}, "has no batch norm with gains behind"),
    ],
)
def test_filters_that_cannot_be_chosen_are_refused(
    widths: list[int], arguments: dict[str, Any], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fit(*tiny(STILL, wide_and_narrow([12, 8])), "--run_dir", "wide")
    filters = {"initial_weights": "wide/checkpoints/last.ckpt", "initial_weights_filters": "l1"}
    if not arguments and widths[0] == 5:
        filters.pop("initial_weights_filters")
    with pytest.raises(SystemExit):
        fit(*tiny(STILL, wide_and_narrow(widths, **{**filters, **arguments})))
    assert problem in capsys.readouterr().err
