"""Overlap of masks between runs."""

import pytest
import torch

from plasticity_lab.analysis.mask_overlap import main


def write(name: str, weight: torch.Tensor) -> None:
    state = {"network.head.weight": weight, "network.head.bias": torch.zeros(2)}
    torch.save({"state_dict": state, "global_step": 0, "loops": {}}, name)


def test_pairs_of_checkpoints_are_compared(capsys: pytest.CaptureFixture[str]) -> None:
    write("a.ckpt", torch.tensor([[1.0, 2.0, 0.0, 0.0], [3.0, 0.0, 0.0, 0.0]]))
    write("b.ckpt", torch.tensor([[1.0, 0.0, 0.0, 4.0], [3.0, 0.0, 0.0, 0.0]]))
    assert main(["a.ckpt", "b.ckpt"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "a.ckpt: 37.50% of the weights survive, in layers that are pruned"
    assert lines[3].split() == ["measured:", "0.5000"]
    # Of 8 weights 3 survive in each: 9/8 in both, 6 - 9/8 in either.
    assert lines[4].endswith(": 0.2308")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["a.ckpt"], "checkpoints: name two or more"),
        (["a.ckpt", "none.ckpt"], "none.ckpt: no such file"),
        (["a.ckpt", "dense.ckpt"], "dense.ckpt: nothing of it is pruned"),
        (["a.ckpt", "wide.ckpt"], "two masks are of weights of other names or shapes"),
    ],
)
def test_what_cannot_be_compared_is_one_line(
    files: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write("a.ckpt", torch.tensor([[0.0, 1.0]]))
    write("dense.ckpt", torch.tensor([[2.0, 1.0]]))
    write("wide.ckpt", torch.tensor([[0.0, 1.0, 1.0]]))
    with pytest.raises(SystemExit, match="2"):
        main(files)
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
