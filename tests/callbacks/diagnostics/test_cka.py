"""Similarity of features."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from callbacks.diagnostics.cka import CKA
from callbacks.diagnostics.run_look import blank_look
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.cka import linear_cka
from plasticity_lab.measurements.features import block_outputs, last_features
from plasticity_lab.measurements.gram import cosine, gram
from plasticity_lab.surgery.norm_statistics import estimate_norm_statistics
from plasticity_lab.timing import Time
from tests.callbacks.diagnostics.measured import (
    check_invisible,
    diagnostic,
    end,
    fragment,
    last,
    run,
)
from tests.networks import SmallNet
from tests.runs import fit, tiny
from tests.test_contracts import EVERY_KIND, check_resumes


def features(columns: int, seed: int) -> Tensor:
    return (
        torch.randn(20, columns, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        + 3
    )


def test_cka_is_that_of_the_products_of_columns() -> None:
    first, second = features(5, 0), features(7, 1)
    x, y = first - first.mean(0), second - second.mean(0)
    expected = (y.T @ x).norm() ** 2 / ((x.T @ x).norm() * (y.T @ y).norm())
    assert linear_cka(first, second) == pytest.approx(float(expected), rel=1e-12)
    assert 0.01 < expected < 0.9
    assert linear_cka(second, first) == pytest.approx(float(expected), rel=1e-12)


def test_cka_sees_neither_rotation_nor_factor_nor_shift_but_other_maps() -> None:
    first, second = features(5, 0), features(7, 1)
    rotation = torch.linalg.qr(features(5, 2)[:5])[0]
    assert linear_cka(first, first) == pytest.approx(1, rel=1e-14)
    assert linear_cka(first @ rotation * 0.3 + 2, second) == pytest.approx(
        linear_cka(first, second), rel=1e-10
    )
    assert linear_cka(first * torch.tensor([1, 2, 3, 4, 5]), second) != pytest.approx(
        linear_cka(first, second), rel=1e-3
    )


def test_features_that_are_all_the_same_are_like_nothing() -> None:
    assert linear_cka(torch.ones(4, 3), features(3, 0)[:4]) == 0


def matrices(finished: Any) -> dict[str, Tensor]:
    network, examples = end(finished)
    return {
        "cka": gram(last_features(network, examples.inputs)),
        **{
            f"cka/{name}": gram(output)
            for name, output in block_outputs(network, examples.inputs).items()
        },
    }


def test_a_run_logs_similarity_to_the_network_it_began_with() -> None:
    finished, values = run("cka.CKA")
    now = matrices(finished)
    initial = fit(
        *tiny({"model": {"init_args": {"optimizer": {"init_args": {"lr": 0.0}}}}}),
        "--trainer.max_epochs",
        "1",
    )
    initial.model.network.norm.reset_running_stats()
    then = matrices(initial)
    assert last(values) == {name: cosine(matrix, then[name]) for name, matrix in now.items()}
    assert all(value[0][1] == pytest.approx(1, abs=1e-6) for value in values.values())
    assert values["cka"][-1][1] < 0.999
    check_invisible(finished, CKA(Time("1ep")))


def test_a_checkpoint_may_be_the_reference() -> None:
    first = fit(*tiny(), "--seed_everything", "3")
    path = first.place.directory / "checkpoints/last.ckpt"
    finished, values = run("cka.CKA", reference=str(path))
    reference, examples = first.model.network.eval(), end(finished)[1]
    estimate_norm_statistics(reference, examples.inputs)
    expected = cosine(matrices(finished)["cka"], gram(last_features(reference, examples.inputs)))
    assert last(values)["cka"] == expected
    assert expected < 0.999
    assert diagnostic(finished).state_dict() == {}
    with pytest.raises(UserError, match="reference: nowhere: no such file; name a checkpoint"):
        CKA(Time("1ep"), reference="nowhere").check(blank_look(finished.trainer, finished.model))
    Path("text").write_text("no checkpoint")
    with pytest.raises(UserError, match="reference: text: truncated or not a checkpoint"):
        CKA(Time("1ep"), reference="text").check(blank_look(finished.trainer, finished.model))
    finished.model.network = SmallNet(1, 10, norm=False)
    with pytest.raises(UserError, match=r"reference: .*last.ckpt: of another network"):
        CKA(Time("1ep"), reference=str(path)).check(blank_look(finished.trainer, finished.model))


def test_a_resumed_run_keeps_its_reference() -> None:
    check_resumes(fragment("cka.CKA"), EVERY_KIND, every=5, first=1)
