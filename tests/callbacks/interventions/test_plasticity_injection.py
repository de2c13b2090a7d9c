"""A head with fresh weights that changes nothing at first."""

from typing import Any

import pytest
import torch

from tests.callbacks.interventions.arms import FROZEN, intervention, run

NETWORK = {
    "network": {
        "class_path": "lightning_modules.networks.InjectableNetwork",
        "init_args": {"network": "tests.networks.SmallNet", "options": {"dropout": 0.0}},
    },
    "optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.01}},
}
RECORD = {"class_path": "tests.probes.BatchStarts"}
HEAD = "network.head"


def injected(*callbacks: dict[str, Any]) -> tuple[Any, Any]:
    finished = run(*callbacks, RECORD, model=NETWORK)
    (record,) = [
        callback
        for callback in finished.trainer.callbacks
        if type(callback).__name__ == "BatchStarts"
    ]
    return finished, record.weights


def test_the_output_stays_and_then_the_new_weights_alone_are_trained() -> None:
    _, plain = injected()
    finished, seen = injected(intervention("PlasticityInjection", at=["6st"]))
    for name, value in plain[6].items():
        if not name.startswith(HEAD):
            assert torch.equal(seen[6][name], value), name
    trained, subtracted = (f"{HEAD}.{part}.weight" for part in ("trained", "subtracted"))
    assert torch.equal(seen[6][trained], seen[6][subtracted])
    assert not torch.equal(seen[6][trained], plain[6][trained]), "is not drawn anew"

    # With AdamW, which decays whatever has a gradient.
    last = finished.model.network.state_dict()
    for part in ("weight", "bias"):
        for still in ("base", "subtracted"):
            name = f"{HEAD}.{still}.{part}"
            assert torch.equal(last[name], seen[6][name]), name
        name = f"{HEAD}.trained.{part}"
        assert not torch.equal(last[name], seen[6][name]), name
    assert not torch.equal(last["network.conv.weight"], seen[6]["network.conv.weight"])
    for still in ("trained", "subtracted"):
        assert torch.equal(plain[0][f"{HEAD}.{still}.weight"], plain[11][f"{HEAD}.{still}.weight"])


@pytest.mark.parametrize(
    "reset",
    [
        intervention("LayerReset", at=["8st"], last=1),
        intervention("Rewind", at=["8st"], to="3st"),
        intervention("ShrinkPerturb", at=["8st"], shrink=0.0, norm_statistics="reset"),
    ],
)
def test_what_changes_the_head_later_leaves_the_new_weights_trained(reset: dict[str, Any]) -> None:
    """A resume would train others than the run, if the head forgot that it was injected."""
    finished, seen = injected(intervention("PlasticityInjection", at=["4st"]), reset)
    last = finished.model.network.state_dict()
    assert bool(last[f"{HEAD}.injected"])
    for part, moves in (("base", False), ("trained", True), ("subtracted", False)):
        name = f"{HEAD}.{part}.weight"
        assert torch.equal(last[name], seen[9][name]) != moves, name


def test_an_injection_alone_changes_no_output() -> None:
    images = torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    plain = run(FROZEN, model=NETWORK).model.network.eval()
    finished = run(intervention("PlasticityInjection", at=["11st"]), FROZEN, model=NETWORK)
    network = finished.model.network.eval()
    assert bool(network.network.head.injected)
    with torch.no_grad():
        torch.testing.assert_close(network(images), plain(images), atol=1e-6, rtol=0)
