"""Everything that can be switched on, with settings that act and settings that are a no-op."""

from typing import Any, NamedTuple


class Entry(NamedTuple):
    """A class of this project as YAML switches it on.

    Attributes:
        acting: a config fragment that changes what is trained.
        identity: a config fragment that leaves it bitwise as it is; None if there is none.
    """

    acting: dict[str, Any]
    identity: dict[str, Any] | None


def _data(**arguments: Any) -> dict[str, Any]:
    return {"data": {"init_args": arguments}}


def _crop_flip(**arguments: Any) -> dict[str, Any]:
    return _data(augmentation={"class_path": "datamodules.CropFlip", "init_args": arguments})


def _node(name: str, **arguments: Any) -> dict[str, Any]:
    return {"class_path": f"datamodules.{name}", "init_args": arguments}


def _deficit(name: str, *during: str, **arguments: Any) -> dict[str, Any]:
    node = {
        "class_path": f"datamodules.{name}",
        "init_args": {**arguments, "during": list(during or ("1ep", "2ep"))},
    }
    return {"data": {"init_args": {"deficits+": [node]}}}


def _growth(name: str, **arguments: Any) -> dict[str, Any]:
    return _data(growth={"class_path": f"datamodules.{name}", "init_args": arguments})


def _merged(*fragments: dict[str, Any]) -> dict[str, Any]:
    return _data(
        **{
            key: value
            for fragment in fragments
            for key, value in fragment["data"]["init_args"].items()
        }
    )


def _intervention(name: str, **arguments: Any) -> dict[str, Any]:
    return {
        "trainer": {"callbacks+": [{"class_path": f"callbacks.{name}", "init_args": arguments}]}
    }


def _merge(*fragments: dict[str, Any]) -> dict[str, Any]:
    return {part: value for fragment in fragments for part, value in fragment.items()}


def _optimizer(class_path: str, **arguments: Any) -> dict[str, Any]:
    node = {"class_path": class_path, "init_args": arguments}
    return {"model": {"init_args": {"optimizer": node}}}


def _network(name: str, **arguments: Any) -> dict[str, Any]:
    node = {"class_path": f"lightning_modules.networks.{name}", "init_args": arguments}
    return {"model": {"init_args": {"network": node}}}


REGRESSION: dict[str, Any] = {
    "model": {
        "class_path": "lightning_modules.Supervised",
        "init_args": {"objective": {"class_path": "lightning_modules.Regression"}},
    },
    "data": {
        "init_args": {
            "dataset": {
                "class_path": "datamodules.TeacherTargets",
                "init_args": {
                    "dataset": {"class_path": "datamodules.Digits", "init_args": {"subset": 100}},
                    "teacher": {
                        "class_path": "lightning_modules.networks.MLP",
                        "init_args": {
                            "in_channels": 1,
                            "num_classes": 2,
                            "image_size": 16,
                            "widths": [20],
                        },
                    },
                },
            }
        }
    },
}
"""The tiny run with the targets of a teacher."""

TAUGHT: dict[str, Any] = {
    **REGRESSION,
    "model": {
        "class_path": "lightning_modules.Supervised",
        "init_args": {
            **REGRESSION["model"]["init_args"],
            "network": {
                "class_path": "lightning_modules.networks.MLP",
                "init_args": {"widths": [30], "norm": "none"},
            },
        },
    },
}
"""The same with a student of as many layers as its teacher."""

NETWORKS = {
    "AllCNN",
    "AuxiliaryHeadsNetwork",
    "CifarResNet",
    "ConvN",
    "BoundaryNormNetwork",
    "CentredNetwork",
    "DepthCNN",
    "InjectableNetwork",
    "LeNet300",
    "Linear",
    "MLP",
    "ResNet",
    "TeacherMLP",
    "TimmNetwork",
    "TorchvisionNetwork",
    "TwoPathNetwork",
    "VGG",
    "ViT",
    "WideNetwork",
}
"""What is trained; tested in tests/lightning_modules/test_networks.py."""

REGISTRY: dict[str, Entry] = {
    "CropFlip": Entry(acting=_crop_flip(padding=2), identity=_crop_flip(padding=0, flip=False)),
    "Blur": Entry(acting=_deficit("Blur", size=4), identity=_deficit("Blur", size=16)),
    "VerticalFlip": Entry(
        acting=_deficit("VerticalFlip", "2st", "7st"),
        identity=_deficit("VerticalFlip", "0ep", "0ep"),
    ),
    "LabelPermutation": Entry(
        acting=_deficit("LabelPermutation"), identity=_deficit("LabelPermutation", "3ep", "3ep")
    ),
    "LabelNoise": Entry(
        acting=_deficit("LabelNoise", "50%", "100%", fraction=0.5),
        identity=_deficit("LabelNoise", fraction=0),
    ),
    "ClassPatch": Entry(
        acting=_deficit("ClassPatch", "0ep", "2ep", size=5),
        identity=_deficit("ClassPatch", size=5, patched=0),
    ),
    "SensorDeficit": Entry(
        acting=_deficit("SensorDeficit", deficit="datamodules.Blur", options={"size": 4}),
        identity=_deficit("SensorDeficit", deficit="datamodules.Blur", options={"size": 16}),
    ),
    "Dissociation": Entry(
        acting=_deficit("Dissociation", "2st", "7st"),
        identity=_deficit("Dissociation", "3ep", "3ep"),
    ),
    "a sensor deficit after augmentation": Entry(
        acting=_merged(
            _crop_flip(padding=2),
            _data(
                deficits=[
                    _node(
                        "SensorDeficit",
                        deficit="datamodules.WhiteNoise",
                        sensor="left",
                        levels={"0ep": 0.5, "6st": None},
                    )
                ]
            ),
        ),
        identity=None,
    ),
    "WhiteNoise": Entry(
        acting=_deficit("WhiteNoise", "0ep", "2ep"), identity=_deficit("WhiteNoise", "2st", "2st")
    ),
    "UniformGrowth": Entry(
        acting=_growth("UniformGrowth", counts=[40, 70, 100], at=["1ep", "2ep"]),
        identity=_growth("UniformGrowth", fractions=[1.0], at=[]),
    ),
    "stages that end the run": Entry(
        acting=_growth(
            "UniformGrowth", counts=[50, 100], until={"train_accuracy": 0.01, "last": "1ep"}
        ),
        identity=None,
    ),
    "ClassGrowth": Entry(
        acting=_growth(
            "ClassGrowth",
            stages=3,
            uniform_fraction=0.5,
            until={"train_accuracy": 0.12, "at_most": "1ep"},
        ),
        identity=_growth("ClassGrowth", stages=1, uniform_fraction=0.3, at=[]),
    ),
    "SmoothTransition": Entry(
        acting=_growth("SmoothTransition", gamma=0.9), identity=_growth("SmoothTransition", gamma=0)
    ),
    "TaskStream": Entry(
        acting=_merged(
            _growth("TaskStream", every="1ep"),
            _data(
                stage_transforms=[
                    _node("PixelPermutation", fraction=0.5),
                    _node("LabelRemap", cycle=2),
                    _node("RandomLabels", fraction=0.3),
                ],
                also_evaluate_with_deficit=True,
            ),
            _deficit("Blur", "1ep", "2ep", size=4),
        ),
        identity=_growth("TaskStream", every="1ep"),
    ),
    "ExampleStream": Entry(
        acting=_growth("ExampleStream", count=40, overlap=10, recurrence="redraw", every="1ep"),
        identity=_growth("ExampleStream", count=100, at=[]),
    ),
    "ClassStream": Entry(
        acting=_growth(
            "ClassStream",
            classes_per_stage=6,
            overlap=2,
            until={"train_accuracy": 0.01, "last": "1ep"},
        ),
        identity=_growth("ClassStream", classes_per_stage=10, at=[]),
    ),
    "binary tasks": Entry(
        acting=_growth(
            "ClassStream", classes_per_stage=2, recurrence="redraw", relabel=True, every="1ep"
        ),
        identity=None,
    ),
    "PixelPermutation": Entry(
        acting=_merged(
            _growth("TaskStream", at=["1ep", "2ep"]),
            _data(stage_transforms=[_node("PixelPermutation", values="all", cycle=2)]),
        ),
        identity=_data(stage_transforms=[_node("PixelPermutation", fraction=0.0)]),
    ),
    "LabelRemap": Entry(
        acting=_data(stage_transforms=[_node("LabelRemap", fraction=0.5)]),
        identity=_data(stage_transforms=[_node("LabelRemap", fraction=0.0)]),
    ),
    "RandomLabels": Entry(
        acting=_merged(
            _growth("UniformGrowth", counts=[50, 80, 100], every="1ep"),
            _data(stage_transforms=[_node("RandomLabels", fraction=0.5)]),
        ),
        identity=_data(stage_transforms=[_node("RandomLabels", fraction=0.0)]),
    ),
    "TargetAffine": Entry(
        acting={
            "model": REGRESSION["model"],
            **_merged(
                REGRESSION,
                _growth("TaskStream", every="1ep"),
                _data(stage_transforms=[_node("TargetAffine", offsets=[0, 1], scales=[2])]),
            ),
        },
        identity=None,
    ),
    "L2Init": Entry(
        acting=_intervention("L2Init", levels={"1ep": 1.0}),
        identity=_intervention("L2Init", levels={"0ep": 0.0}),
    ),
    "FIRE": Entry(
        acting=_intervention("FIRE", at=["1ep", "6st"], optimizer_state="reset"),
        identity=_intervention("FIRE", at=[], iterations=None),
    ),
    "DASH": Entry(
        acting=_merge(
            _intervention("DASH", at=["stages", "6st"], least=0.2),
            _growth("UniformGrowth", counts=[40, 100], at=["1ep"]),
        ),
        identity=_intervention("DASH", at=["1ep"], least=1.0),
    ),
    "HareTortoise": Entry(
        acting={
            "trainer": {
                "callbacks+": [
                    {
                        "class_path": "pytorch_lightning.callbacks.EMAWeightAveraging",
                        "init_args": {"decay": 0.5},
                    },
                    {"class_path": "callbacks.HareTortoise", "init_args": {"every": "3st"}},
                ]
            }
        },
        identity=None,
    ),
    "PlasticityInjection": Entry(
        acting=_merge(
            _intervention("PlasticityInjection", at=["6st"]),
            _network(
                "InjectableNetwork",
                network="lightning_modules.networks.MLP",
                options={"widths": [12, 8]},
            ),
        ),
        identity=None,
    ),
    "LayerwiseReset": Entry(
        acting=_merge(
            _intervention("LayerwiseReset", every="3st", repetitions=2, examples=20),
            _network("BoundaryNormNetwork", network="tests.networks.SmallNet"),
        ),
        identity=_intervention("LayerwiseReset", at=[], normalise=False),
    ),
    "PartialReset": Entry(
        acting=_intervention("PartialReset", at=["1ep", "6st"], kept="random each time"),
        identity=_intervention("PartialReset", at=["1ep"], share=1.0),
    ),
    "a pull towards fresh draws": Entry(
        acting=_intervention(
            "L2Init", levels={"1ep": 0.1}, norm="huber", to="fresh", compare="sorted"
        ),
        identity=_intervention("L2Init", levels={"0ep": 0.0}, norm="l1", to="fresh"),
    ),
    "Prune": Entry(
        acting=_intervention("Prune", at=["1ep", "6st"], share=0.3, scope="layerwise"),
        identity=_intervention("Prune", at=["1ep"], share=0.0),
    ),
    "PruneUnmatchedUnits": Entry(
        acting=_merge(
            _intervention("PruneUnmatchedUnits", at=["1ep", "6st"], count=1, examples=30), TAUGHT
        ),
        identity=None,
    ),
    "random units of a layer": Entry(
        acting=_merge(
            _intervention("PruneUnmatchedUnits", every="3st", by="random", examples=30), TAUGHT
        ),
        identity=None,
    ),
    "random pruning": Entry(
        acting=_merge(
            _intervention("Prune", every="3st", by="random"),
            _optimizer("torch.optim.Adam", lr=0.01, weight_decay=0.01),
        ),
        identity=_intervention("Prune", at=[], exclude=["head"]),
    ),
    "lottery tickets": Entry(
        acting={
            "trainer": {
                "callbacks+": [
                    {"class_path": "callbacks.Prune", "init_args": {"every": "3st"}},
                    {"class_path": "callbacks.ShuffleMasks", "init_args": {"at": ["6st"]}},
                    {"class_path": "callbacks.Rewind", "init_args": {"every": "3st", "to": "1st"}},
                ]
            }
        },
        identity=None,
    ),
    "ShuffleMasks": Entry(
        acting={
            "trainer": {
                "callbacks+": [
                    {"class_path": "callbacks.Prune", "init_args": {"at": ["3st"], "share": 0.5}},
                    {"class_path": "callbacks.ShuffleMasks", "init_args": {"at": ["5st"]}},
                ]
            }
        },
        identity=None,
    ),
    "SpectralRegularisation": Entry(
        acting=_intervention("SpectralRegularisation", levels={"1ep": 0.1}),
        identity=_intervention("SpectralRegularisation", levels={"0ep": 0.0}),
    ),
    "ParsevalRegularisation": Entry(
        acting=_intervention("ParsevalRegularisation", levels={"1ep": 0.1}, norm_gains=True),
        identity=_intervention("ParsevalRegularisation", levels={"0ep": 0.0}),
    ),
    "NormGainPenalty": Entry(
        acting=_intervention("NormGainPenalty", levels={"1ep": 0.1}),
        identity=_intervention("NormGainPenalty", levels={"0ep": 0.0}),
    ),
    "FeatureNormPenalty": Entry(
        acting=_intervention("FeatureNormPenalty", levels={"1ep": 0.1}),
        identity=_intervention("FeatureNormPenalty", levels={"0ep": 0.0}),
    ),
    "ReDo": Entry(
        acting=_intervention("ReDo", every="3st", tau=1.0, examples=20),
        identity=_intervention("ReDo", every="3st", tau=0.0),
    ),
    "SelfDistillation": Entry(
        acting=_intervention("SelfDistillation", every="3st", strength=2.0),
        identity=_intervention("SelfDistillation", at=["1ep"], strength=0.0),
    ),
    "ContinualBackprop": Entry(
        acting=_intervention(
            "ContinualBackprop", levels={"1st": 0.2}, maturity=2, utility="adaptable"
        ),
        identity=_intervention("ContinualBackprop", levels={"0ep": 0.0}, maturity=1),
    ),
    "SelfNormalizedReset": Entry(
        acting=_merge(
            _intervention("SelfNormalizedReset", levels={"1st": 0.1}, interval=2, longest=3),
            {"model": {"init_args": {"network": {"class_path": "tests.networks.SilentNet"}}}},
        ),
        identity=_intervention("SelfNormalizedReset", levels={"0ep": 0.0}, longest=1),
    ),
    "SelectiveWeightReset": Entry(
        acting=_intervention(
            "SelectiveWeightReset",
            every="3st",
            factor=0.1,
            utility="gradient",
            optimizer_state="reset",
        ),
        identity=_intervention("SelectiveWeightReset", every="1ep", factor=0.0),
    ),
    "InFeR": Entry(
        acting=_merge(
            _intervention("InFeR", levels={"1ep": 1.0}, scale=2.0),
            _network("AuxiliaryHeadsNetwork", network="tests.networks.SmallNet"),
        ),
        identity=None,
    ),
    "ChurnPenalty": Entry(
        acting=_intervention("ChurnPenalty", levels={"1ep": 10.0, "10st": 0.0}, examples=10),
        identity=_intervention("ChurnPenalty", levels={"0ep": 0.0}),
    ),
    "PreActivationNoise": Entry(
        acting=_intervention("PreActivationNoise", levels={"1ep": 0.4, "10st": 0.0}),
        identity=_intervention("PreActivationNoise", levels={"0ep": 0.0}),
    ),
    "FisherPenalty": Entry(
        acting=_intervention("FisherPenalty", levels={"1ep": 0.1}),
        identity=_intervention("FisherPenalty", levels={"0ep": 0.0}),
    ),
    "LayerReset": Entry(
        acting=_intervention("LayerReset", at=["1ep", "6st"], last=1),
        identity=_intervention("LayerReset", at=[], layers=["conv"]),
    ),
    "ShrinkPerturb": Entry(
        acting=_merge(
            _intervention(
                "ShrinkPerturb",
                at=["stages"],
                shrink=0.5,
                perturb=0.1,
                noise="gaussian",
                norm_statistics="reset",
            ),
            _growth("UniformGrowth", counts=[40, 100], at=["1ep"]),
        ),
        identity=_intervention("ShrinkPerturb", at=["1ep"]),
    ),
    "StepwiseShrinkPerturb": Entry(
        acting=_intervention("StepwiseShrinkPerturb", levels={"1ep": 0.01, "7st": 0.0}),
        identity=_intervention("StepwiseShrinkPerturb", levels={"0ep": 0.0}, shrink=0.5),
    ),
    "fresh noise after each step": Entry(
        acting=_intervention(
            "StepwiseShrinkPerturb", levels={"5st": 0.01}, shrink=0.99, noise="fresh"
        ),
        identity=_intervention("StepwiseShrinkPerturb", levels={"0ep": 0.0}, noise="fresh"),
    ),
    "NormaliseAndProject": Entry(
        acting=_intervention("NormaliseAndProject", levels={"1ep": 1}),
        identity=_intervention("NormaliseAndProject", levels={"0ep": 0}),
    ),
    "WeightDecaySchedule": Entry(
        acting=_intervention("WeightDecaySchedule", levels={"1ep": 0.1, "7st": 0.0}),
        identity=_intervention("WeightDecaySchedule", levels={"0ep": 0.001}),
    ),
    "LearningRateFactor": Entry(
        acting=_intervention("LearningRateFactor", levels={"1ep": 3.0, "7st": 0.1}),
        identity=_intervention("LearningRateFactor", levels={"0ep": 1.0}),
    ),
    "LearningRateRestart": Entry(
        acting=_intervention("LearningRateRestart", at=["2ep"]),
        identity=_intervention("LearningRateRestart", at=["0ep"]),
    ),
    "OptimizerReset": Entry(
        acting=_intervention("OptimizerReset", at=["1ep", "2ep"]),
        identity=_intervention("OptimizerReset", at=["0ep"]),
    ),
    "step counts alone": Entry(
        acting=_merge(
            _intervention("OptimizerReset", at=["1ep", "6st"], what="steps"),
            _optimizer("torch.optim.Adam", lr=0.01),
        ),
        identity=_intervention("OptimizerReset", at=["0ep"], what="steps"),
    ),
    "NormRecalibration": Entry(
        acting=_intervention("NormRecalibration", every="1ep"), identity=None
    ),
    "Rewind": Entry(
        acting=_intervention(
            "Rewind", at=["7st"], to="1ep", optimizer_state="rewind", learning_rate="rewind"
        ),
        identity=_intervention("Rewind", at=[], to="1ep"),
    ),
    "augmentation in a window": Entry(
        acting=_crop_flip(padding=2, during=["1ep", "6st"]),
        identity=_crop_flip(padding=2, during=["1ep", "1ep"]),
    ),
    "augmentation at levels": Entry(
        acting=_crop_flip(padding=2, levels={"0ep": 0.0, "1ep": 1.0, "6st": 0.5}),
        identity=_crop_flip(padding=2, levels={"0ep": 0.0}),
    ),
    "a blur that sharpens": Entry(
        acting=_data(deficits=[_node("Blur", levels={"0ep": 2, "1ep": 4, "6st": 8, "9st": None})]),
        identity=_data(deficits=[_node("Blur", levels={"0ep": 16})]),
    ),
    "label noise that fades": Entry(
        acting=_data(deficits=[_node("LabelNoise", levels={"0ep": 0.8, "6st": 0.2})]),
        identity=_data(deficits=[_node("LabelNoise", levels={"0ep": 0.0})]),
    ),
    "noise that fades": Entry(
        acting=_data(deficits=[_node("WhiteNoise", levels={"0ep": 0.8, "6st": 0.2})]),
        identity=_data(deficits=[_node("WhiteNoise", levels={"0ep": 0.0})]),
    ),
    "statistics every second epoch": Entry(
        acting=_intervention("NormRecalibration", every="2ep"), identity=None
    ),
    "again and again": Entry(
        acting=_intervention("ShrinkPerturb", every="3st", shrink=0.9, perturb=0.1),
        identity=_intervention("ShrinkPerturb", every="1ep"),
    ),
    "also_evaluate_with_deficit": Entry(
        acting=_merged(
            _deficit("Blur", "0ep", "2ep", size=4), _data(also_evaluate_with_deficit=True)
        ),
        identity=_merged(
            _deficit("Blur", "0ep", "0ep", size=4), _data(also_evaluate_with_deficit=True)
        ),
    ),
    "everything at once": Entry(
        acting=_merged(
            _growth("ClassGrowth", stages=2, uniform_fraction=0.2, at=["5%"]),
            _deficit("Blur", "0ep", "stage1", size=4),
            _data(also_evaluate_with_deficit=True),
            _crop_flip(padding=2),
        ),
        identity=_merged(
            _growth("SmoothTransition", gamma=0), _deficit("VerticalFlip", "0ep", "0ep")
        ),
    ),
}

RESUMED_TOGETHER = {"PixelPermutation", "LabelRemap", "RandomLabels"}
"""Functions of the stage alone, which resume with a `TaskStream` that has all of them."""

NOT_SWITCHED = {
    "Augmentation",
    "Dashboard",
    "Diagnostic",
    "Draws",
    "Look",
    "Probe",
    "ProbeDiagnostic",
    "Batch",
    "Clock",
    "EachStep",
    "Level",
    "OneShot",
    "Deficit",
    "DataStages",
    "Growth",
    "Stream",
    "StageTransform",
    "WeightPenalty",
    "LossPenalty",
    "BatchContext",
    "Split",
    "StageCriterion",
    "TensorSplit",
    "ImageDataModule",
    "ExampleDataset",
    "ImageDataset",
    "EpochEnd",
    "StageEnd",
}
"""Exported, but nothing that YAML switches on in a run."""


def _rule(name: str, **arguments: Any) -> dict[str, Any]:
    init_args = {
        "objective": {"class_path": "lightning_modules.Classification"},
        "rule": {"class_path": f"lightning_modules.{name}", "init_args": arguments},
    }
    return {"model": {"class_path": "lightning_modules.Supervised", "init_args": init_args}}


DATASETS = {
    "ClassSubset",
    "Digits",
    "FolderImages",
    "GaussianInputs",
    "TeacherTargets",
    "TorchvisionImages",
    "WhitenedImages",
}
"""Where images come from; tested in tests/datamodules."""

VARIANTS: dict[str, dict[str, Any]] = {
    "fp32": {},
    "bf16": {"trainer": {"precision": "bf16-mixed"}},
    "accumulation": {"trainer": {"accumulate_grad_batches": 3}},
    "plateau": {
        "model": {
            "init_args": {
                "lr_scheduler": {
                    "class_path": "pytorch_lightning.cli.ReduceLROnPlateau",
                    "init_args": {"monitor": "train/loss", "patience": 0, "threshold": 0.5},
                }
            }
        }
    },
    "adam": _optimizer("torch.optim.Adam", lr=0.01),
    "Muon": _optimizer("lightning_modules.optimizers.MuonAdamW", lr=0.01),
    "PerWeightAdam": _optimizer("lightning_modules.optimizers.PerWeightAdam", lr=0.01),
    "UPGD": _optimizer("lightning_modules.optimizers.UPGD", lr=0.05, sigma=0.01),
    "SAM": _rule("SAM", rho=0.1),
    "DirectFeedbackAlignment": _rule("DirectFeedbackAlignment"),
    "FeedbackAlignment": _rule("FeedbackAlignment"),
    "no validation": {"trainer": {"limit_val_batches": 0}},
    "streaming": _data(resident=False, workers=2),
}
"""Ways to train under which every contract holds."""


def _diagnostic(name: str, **arguments: Any) -> dict[str, Any]:
    return _intervention(name, every="1ep", **arguments)


WIDE: dict[str, Any] = {
    "model": {
        "class_path": "lightning_modules.Supervised",
        "init_args": {
            "objective": {"class_path": "lightning_modules.SquaredError"},
            "network": {
                "class_path": "lightning_modules.networks.WideNetwork",
                "init_args": {"width": 16},
            },
            "optimizer": {
                "class_path": "torch.optim.SGD",
                "init_args": {"lr": 0.1, "momentum": 0.0, "weight_decay": 1e-3},
            },
        },
    }
}
"""A network of known infinitely wide limit, trained as that can be."""

DIAGNOSTICS: dict[str, dict[str, Any]] = {
    "HessianEigenvalues": _diagnostic(
        "HessianEigenvalues", examples=30, tolerance=0.1, next_span=True
    ),
    "FewShot": _diagnostic(
        "FewShot",
        examples=30,
        dataset={"class_path": "tests.flipped_digits.FlippedDigits"},
        episodes=4,
        transform="CL2N",
    ),
    "FisherInformation": _diagnostic("FisherInformation", examples=30, early=True),
    "GradientNoise": _diagnostic("GradientNoise", examples=30, batch_size=10),
    "Flatness": _diagnostic("Flatness", examples=30, draws=2, noise=[0.1]),
    "Forgetting": _diagnostic("Forgetting"),
    "GradientAlignment": _diagnostic("GradientAlignment", examples=30),
    "GradientNorms": _diagnostic("GradientNorms", examples=30, batch_size=10),
    "HessianSpectrum": _diagnostic("HessianSpectrum", examples=20, steps=10, draws=2, signs=2),
    "InfiniteWidthReference": _merge(
        _diagnostic("InfiniteWidthReference", examples=100, test_examples=50), WIDE
    ),
    "KernelAlignment": _diagnostic("KernelAlignment", examples=20),
    "Margins": _diagnostic("Margins", examples=30),
    # Its classifiers, of all pairs of classes, take as long as all others together.
    "NeuralCode": _intervention("NeuralCode", every="3ep", examples=40),
    "NodeCorrelation": _merge(_diagnostic("NodeCorrelation", examples=30), TAUGHT),
    "NormBiases": _diagnostic("NormBiases"),
    "SourceVariance": _diagnostic("SourceVariance", examples=20, fixed=2),
    "Sparsity": _diagnostic("Sparsity"),
    "FeatureRank": _diagnostic("FeatureRank", examples=30),
    "CKA": _diagnostic("CKA", examples=30),
    "StageAccuracy": _merge(
        _diagnostic("StageAccuracy", examples=50, earlier=1),
        _merged(
            _growth("TaskStream", every="1ep"),
            _data(stage_transforms=[_node("PixelPermutation", cycle=2)]),
        ),
    ),
    "TimeToAccuracy": _intervention("TimeToAccuracy", accuracy=0.1),
    "DormantUnits": _diagnostic("DormantUnits", examples=30),
    "Trainability": _diagnostic("Trainability", examples=30, steps=4, batch_size=10, repeats=2),
    "RedundantUnits": _diagnostic("RedundantUnits", examples=30),
    "Churn": _diagnostic("Churn", examples=30),
    "FreshReference": _diagnostic("FreshReference", updates=3),
    "MemorisationGradients": _diagnostic("MemorisationGradients", examples=30, draws=2),
    "WeightDistance": _diagnostic("WeightDistance", early=True),
}
"""What measures; tested in tests/callbacks/diagnostics/test_contract.py."""

DIAGNOSTIC_NODES: list[dict[str, Any]] = [
    node
    for fragment in DIAGNOSTICS.values()
    for node in fragment["trainer"]["callbacks+"]
    if "data" not in fragment and "model" not in fragment
]
"""All but those that need data or a model of their own."""
