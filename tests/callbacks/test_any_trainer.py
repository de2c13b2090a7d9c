"""Diagnostics and interventions in a Trainer that this project did not build."""

import random
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from pytorch_lightning import (
    Callback,
    LightningDataModule,
    LightningModule,
    Trainer,
    seed_everything,
)
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from callbacks import (
    CKA,
    ContinualBackprop,
    DormantUnits,
    FeatureRank,
    FisherInformation,
    Flatness,
    Forgetting,
    GradientNoise,
    GradientNorms,
    HessianEigenvalues,
    KernelAlignment,
    LayerReset,
    LearningRateFactor,
    Margins,
    NormRecalibration,
    OptimizerReset,
    Rewind,
    SelectiveWeightReset,
    SelfNormalizedReset,
    ShrinkPerturb,
    SpectralRegularisation,
    StageEnd,
    WeightDecaySchedule,
    WeightDistance,
)
from callbacks.network import unwrap
from datamodules import Digits, ImageDataModule, StageCriterion, UniformGrowth
from lightning_modules.objectives import Classification
from plasticity_lab.errors import UserError
from plasticity_lab.runs.build import build
from plasticity_lab.runs.parse import parse
from plasticity_lab.studies.state_hash import state_hash
from plasticity_lab.surgery import construct
from plasticity_lab.timing import Time
from tests.probes import EpochLengths
from tests.runs import logged

INPUTS = torch.randn(96, 5, generator=torch.Generator().manual_seed(0))
LABELS = (INPUTS[:, 0] > 0).long() + (INPUTS[:, 1] > 0).long()


class Plain(LightningModule):
    """A module as many a user has one, with an objective."""

    def __init__(self, objective: bool = True) -> None:
        super().__init__()
        self.body = construct(
            nn.Sequential, nn.Linear(5, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3)
        )
        if objective:
            self.objective = Classification()

    @property
    def network(self) -> nn.Module:
        return self.body

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.body(inputs)
        return outputs

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        if isinstance(batch, Tensor):
            return F.mse_loss(self(batch), torch.zeros(len(batch), 3))
        inputs, targets = batch.values() if isinstance(batch, dict) else batch
        return F.cross_entropy(self(inputs), targets)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)


class PlainData(LightningDataModule):
    """A data module as many a user has one."""

    def train_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return DataLoader(TensorDataset(INPUTS, LABELS), batch_size=32, shuffle=True)


class Classes(LightningModule):
    """Logs what stages that wait for the network read."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(64, 10)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        inputs, targets, _ = batch
        outputs = self.head(F.adaptive_avg_pool2d(inputs, 8).flatten(1))
        self.log("train/accuracy", 0.5, on_epoch=True, batch_size=len(inputs))
        return F.cross_entropy(outputs, targets)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """None is asked for."""

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Keyed(PlainData):
    """Batches by name."""

    def train_dataloader(self) -> DataLoader[Any]:
        pairs = [{"x": x, "y": y} for x, y in zip(INPUTS, LABELS, strict=True)]
        return DataLoader(pairs, batch_size=32)  # type: ignore[arg-type]  # a list will do


class Bare(PlainData):
    """Batches of inputs alone."""

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(INPUTS, batch_size=32)  # type: ignore[arg-type]  # a tensor will do


class Augmented(TensorDataset):
    """Draws from all global streams whenever an example is read."""

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        inputs, label = self.tensors[0][index], self.tensors[1][index]
        noise = torch.randn(()) + np.random.randn() + random.random()  # noqa: NPY002
        return inputs + float(noise), label


class AugmentedData(PlainData):
    """A data set with augmentation, as those of torchvision have it."""

    def train_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return DataLoader(Augmented(INPUTS, LABELS), batch_size=32, shuffle=True)


EVERY = Time("1ep")


def diagnostics() -> list[Callback]:
    """Return all that need no data module of ours."""
    return [
        FisherInformation(EVERY, early=True, examples=40),
        HessianEigenvalues(EVERY, examples=40),
        GradientNoise(EVERY, examples=40, batch_size=10),
        GradientNorms(EVERY, examples=40, batch_size=10),
        KernelAlignment(EVERY, examples=20),
        Flatness(EVERY, examples=40, draws=2),
        Margins(EVERY, examples=40),
        FeatureRank(EVERY, examples=40),
        DormantUnits(EVERY, examples=40),
        WeightDistance(EVERY),
    ]


def train(folder: Path, *callbacks: Callback, **settings: Any) -> tuple[Trainer, LightningModule]:
    seed_everything(settings.pop("seed", 3))
    module, checkpoint = Plain(settings.pop("objective", True)), settings.pop("checkpoint", None)
    module, data = settings.pop("module", module), settings.pop("data", PlainData())
    trainer = Trainer(
        max_epochs=settings.pop("max_epochs", 4),
        accelerator="cpu",
        logger=settings.pop("logger", TensorBoardLogger(folder, name="", version="")),
        callbacks=list(callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        **settings,
    )
    trainer.fit(module, datamodule=data, ckpt_path=checkpoint)
    return trainer, module


def weights(module: nn.Module) -> list[Tensor]:
    return [value.clone() for value in module.state_dict().values()]


def same_weights(first: nn.Module, second: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(weights(first), weights(second), strict=True))


@pytest.mark.filterwarnings("ignore:The 'train_dataloader' does not have many workers")
@pytest.mark.filterwarnings("ignore:The dirpath has changed")
@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
class TestAnyTrainer:
    def test_diagnostics_measure_and_change_nothing(self, tmp_path: Path) -> None:
        _, plain = train(tmp_path / "plain")
        _, measured = train(tmp_path / "measured", *diagnostics())
        assert same_weights(plain, measured)
        tags = logged(tmp_path / "measured")
        for tag in (
            "fisher/trace",
            "hessian/eigenvalue/1",
            "kernel/stability",
            "weights/distance",
            "dormant",
        ):
            assert [step for step, _ in tags[f"diagnostics/{tag}"]][-1] == 11, tag
            assert tags[f"diagnostics/{tag}"][0][0] == 0, tag

    def test_interventions_act_once_each(self, tmp_path: Path) -> None:
        acting: list[Callback] = [
            LayerReset([Time("2ep")], layers=["3"]),
            ShrinkPerturb([Time("5st")], shrink=0.5, perturb=0.1),
            OptimizerReset([Time("50%")]),
            WeightDecaySchedule({"1ep": 0.5}),
            LearningRateFactor({"3ep": 0.1}),
        ]
        _, plain = train(tmp_path / "plain")
        _, changed = train(tmp_path / "acting", *acting)
        assert not same_weights(plain, changed)
        tags = logged(tmp_path / "acting")
        assert tags["interventions/LayerReset"] == [(6, 1.0)]
        assert tags["interventions/ShrinkPerturb"] == [(5, 1.0)]
        assert tags["interventions/OptimizerReset"] == [(6, 1.0)]
        assert tags["interventions/WeightDecaySchedule"][0] == (3, 0.5)

    def test_draws_follow_the_seed_of_seed_everything(self, tmp_path: Path) -> None:
        _, first = train(tmp_path / "one", LayerReset([Time("2ep")], layers=["3"]))
        _, again = train(tmp_path / "again", LayerReset([Time("2ep")], layers=["3"]))
        assert same_weights(first, again)

    def test_what_was_applied_is_in_the_checkpoint(self, tmp_path: Path) -> None:
        """Plain loaders restart their order, so that only what acts is compared."""
        trainer, _ = train(
            tmp_path / "first", LayerReset([Time("1ep")], layers=["3"]), max_epochs=2
        )
        path = tmp_path / "end.ckpt"
        trainer.save_checkpoint(path)
        train(
            tmp_path / "second",
            LayerReset([Time("1ep"), Time("3ep")], layers=["3"]),
            checkpoint=path,
        )
        assert logged(tmp_path / "second")["interventions/LayerReset"] == [(9, 1.0)]

    @pytest.mark.slow
    def test_callbacks_begin_anew_in_another_trainer(self, tmp_path: Path) -> None:
        """As in a notebook whose cell runs twice."""

        def callbacks() -> list[Callback]:
            return [
                Rewind([Time("3ep")], to=Time("1ep")),
                WeightDecaySchedule({"2ep": 0.5}),
                LearningRateFactor({"3ep": 0.1}),
                SpectralRegularisation({"0ep": 0.01}),
                SelectiveWeightReset([Time("1ep")], factor=0.1, utility="gradient"),
                ContinualBackprop({"1ep": 0.2}, maturity=2),
                SelfNormalizedReset({"1ep": 0.1}, interval=2, longest=3),
                CKA(EVERY, examples=40),
                *diagnostics(),
            ]

        used = callbacks()
        train(tmp_path / "before", *used, max_epochs=6, seed=4)
        _, expected = train(tmp_path / "fresh", *callbacks())
        _, again = train(tmp_path / "again", *used)
        assert same_weights(expected, again)
        assert logged(tmp_path / "again") == logged(tmp_path / "fresh")

    def test_a_fit_that_goes_on_keeps_what_was_followed(self, tmp_path: Path) -> None:
        distance = WeightDistance(EVERY)
        trainer, module = train(tmp_path, distance, LearningRateFactor({"0ep": 0.5}), max_epochs=2)
        assert trainer.fit_loop.max_epochs == 2
        trainer.fit_loop.max_epochs = 4
        trainer.fit(module, datamodule=PlainData())
        lengths = [value for _, value in logged(tmp_path)["diagnostics/weights/path_length"]]
        assert len(lengths) == 5
        assert lengths == sorted(lengths)

    def test_a_module_without_an_objective_is_told_how_to_get_one(self, tmp_path: Path) -> None:
        train(
            tmp_path / "norms",
            WeightDistance(EVERY),
            DormantUnits(EVERY, examples=20),
            objective=False,
        )
        with pytest.raises(
            UserError,
            match=(
                r"FisherInformation: objective: the trained module has none, .* set self.objective"
            ),
        ):
            train(tmp_path / "fisher", FisherInformation(EVERY), objective=False)

    def test_moments_may_be_text(self, tmp_path: Path) -> None:
        reset: Any = LayerReset(["2ep"], layers=["3"])  # type: ignore[list-item]  # as in YAML
        assert repr(reset) == repr(LayerReset([Time("2ep")], layers=["3"]))
        assert reset.at == [Time("2ep")]
        assert Margins("1ep").every == EVERY  # type: ignore[arg-type]
        assert Rewind(["2ep"], to="1ep").to == EVERY  # type: ignore[arg-type, list-item]
        for wrong in (1, None):
            with pytest.raises(UserError, match=f"{wrong} is not a time"):
                Margins(wrong)  # type: ignore[arg-type]

    def test_double_precision(self, tmp_path: Path) -> None:
        train(tmp_path, FisherInformation(EVERY), Margins(EVERY), precision="64-true", max_epochs=1)
        assert "diagnostics/fisher/trace" in logged(tmp_path)

    def test_weights_are_measured_whatever_the_batches_are(self, tmp_path: Path) -> None:
        train(tmp_path, WeightDistance(EVERY), data=Keyed(), max_epochs=1)
        assert "diagnostics/weights/norm" in logged(tmp_path)

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (lambda: Keyed(), "diagnostics: dict: a probe needs batches"),
            (lambda: Bare(), "diagnostics: Tensor: a probe needs batches"),
        ],
    )
    def test_batches_without_inputs_and_targets(
        self, data: Any, message: str, tmp_path: Path
    ) -> None:
        with pytest.raises(UserError, match=message):
            train(tmp_path, Margins(EVERY), data=data())

    @pytest.mark.parametrize("callback", [WeightDistance(EVERY), LayerReset([Time("1ep")], last=1)])
    def test_lazy_layers_are_named(self, callback: Callback, tmp_path: Path) -> None:
        module = Plain()
        module.body = construct(nn.Sequential, nn.LazyLinear(3))
        with pytest.raises(
            UserError,
            match=r"Sequential: has lazy layers \(0\), whose sizes .*; call it on a batch",
        ):
            train(tmp_path, callback, module=module)

    @pytest.mark.parametrize(
        ("callback", "message"),
        [
            (
                Forgetting(EVERY),
                "Forgetting: data: do not number their examples; use datamodules.ImageDataModule",
            ),
            (
                Margins(EVERY, impaired=True),
                "impaired: true: only ImageDataModule has deficits; remove it",
            ),
            (
                LayerReset([Time("1ep")], layers=["nothing"]),
                "layers: nothing: matches nothing; there are",
            ),
        ],
    )
    def test_what_this_trainer_does_not_have(
        self, callback: Callback, message: str, tmp_path: Path
    ) -> None:
        with pytest.raises(UserError, match=message):
            train(tmp_path, callback)


def test_the_command_line_measures_on_other_data_too() -> None:
    """What a diagnostic cannot have is then said at the first batch, when the loader is there."""
    node = {"class_path": "callbacks.FisherInformation", "init_args": {"every": "1ep"}}
    fragment = {
        "data": {"class_path": f"{__name__}.PlainData"},
        "model": {"class_path": f"{__name__}.Plain"},
        "trainer": {"max_epochs": 1, "limit_val_batches": 0, "callbacks": [node]},
    }
    Path("plain.yaml").write_text(yaml.safe_dump(fragment))
    run = build(parse(["fit", "--config", "plain.yaml"]))
    run.check()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run.fit()
    tags = logged(run.place.directory)
    assert [step for step, _ in tags["diagnostics/fisher/trace"]] == [0, 2]


def test_a_diagnostic_draws_nothing_from_streams_that_augment_the_data(tmp_path: Path) -> None:
    weights = []
    for number, measured in enumerate(([], diagnostics())):
        _, module = train(tmp_path / str(number), *measured, data=AugmentedData())
        weights.append(state_hash(module.state_dict()))
    assert weights[0] == weights[1]


def test_it_measures_after_the_last_step(tmp_path: Path) -> None:
    train(tmp_path, WeightDistance(EVERY), max_epochs=-1, max_steps=5)
    tag = "diagnostics/weights/norm"
    assert [step for step, _ in logged(tmp_path)[tag]] == [0, 2, 4]


def test_a_run_of_one_step_has_its_first_value_alone(tmp_path: Path) -> None:
    train(tmp_path, WeightDistance(EVERY), max_epochs=-1, max_steps=1)
    assert [step for step, _ in logged(tmp_path)["diagnostics/weights/norm"]] == [0]


def test_a_moment_never_reached_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"OptimizerReset\(what=all\): at: \[9ep\]: 9ep is never"):
        train(tmp_path, OptimizerReset([Time("9ep")]))


def test_a_past_that_was_another_is_refused(tmp_path: Path) -> None:
    bare = {"enable_checkpointing": False, "max_epochs": 2}
    trainer, _ = train(tmp_path, LayerReset([Time("1ep")], layers=["3"]), **bare)
    trainer.save_checkpoint(tmp_path / "end.ckpt")
    late = LayerReset([Time("4st")], layers=["3"])
    message = (
        r"LayerReset: at: \[4st\]: at epoch 1 \(step 3\) the checkpoint was trained with LayerReset"
        r".*keep the checkpoint's at: \[1ep\] up to epoch 1"
    )
    with pytest.raises(UserError, match=message):
        train(tmp_path, late, checkpoint=tmp_path / "end.ckpt", enable_checkpointing=False)


def test_a_data_module_follows_each_trainer_that_it_is_given_to(tmp_path: Path) -> None:
    """Its stages begin at shares of that trainer's length, and wait for its network anew."""

    def lengths(data: ImageDataModule, epochs: int) -> list[int]:
        seed_everything(0)
        record = EpochLengths()
        trainer = Trainer(
            default_root_dir=tmp_path,
            max_epochs=epochs,
            limit_val_batches=0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            reload_dataloaders_every_n_epochs=1,
            callbacks=[StageEnd(), record],
        )
        trainer.fit(Classes(), datamodule=data)
        return [len(indices) for indices in record.indices]

    halves = UniformGrowth(counts=[40, 100], at=[Time("50%")])
    data = ImageDataModule(Digits(subset=100), 32, growth=halves)
    assert lengths(data, 4) == [40, 40, 100, 100]
    assert lengths(data, 2) == [40, 100]
    waiting = UniformGrowth(counts=[40, 100], until=StageCriterion(0.01, last=Time("1ep")))
    data = ImageDataModule(Digits(subset=100), 32, growth=waiting)
    assert lengths(data, 4) == lengths(data, 4) == [40, 100]


def test_steps_are_moments_of_a_run_of_so_many_steps(tmp_path: Path) -> None:
    train(tmp_path, LearningRateFactor({"4st": 0.5}), max_epochs=-1, max_steps=8)
    assert logged(tmp_path)["interventions/LearningRateFactor"][0] == (4, 0.5)


def test_two_of_a_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="WeightDistance: stands twice"):
        train(tmp_path, WeightDistance(EVERY), WeightDistance(EVERY, early=True))


class SizedLater(Plain):
    """Has lazy layers that its own hook sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.LazyLinear(16), nn.ReLU(), nn.Linear(16, 3))

    def setup(self, stage: str) -> None:
        self.body(INPUTS)


def test_layers_may_get_their_sizes_in_setup(tmp_path: Path) -> None:
    reset, rank = OptimizerReset([Time("1ep")]), FeatureRank(EVERY, examples=40)
    train(tmp_path, reset, rank, module=SizedLater())
    assert {"interventions/OptimizerReset", "diagnostics/effective_rank"} <= {*logged(tmp_path)}


def test_values_need_a_logger(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="WeightDistance: there is no logger to log to"):
        train(tmp_path, WeightDistance(EVERY), logger=False)


def test_shares_of_no_known_length_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="max_epochs: -1: 50% is a share"):
        train(tmp_path, OptimizerReset([Time("50%")]), max_epochs=-1, max_steps=8)


def test_statistics_need_our_data(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"NormRecalibration: needs datamodules\.ImageDataModule"):
        train(tmp_path, NormRecalibration(EVERY))


class Titled(Plain):
    """Calls something else its network."""

    network = "three layers"  # type: ignore[assignment]


def test_a_module_may_call_something_else_its_network(tmp_path: Path) -> None:
    _, module = train(tmp_path, FeatureRank(EVERY, examples=40), module=Titled())
    assert unwrap(module) is module
    assert logged(tmp_path)["diagnostics/effective_rank"]
