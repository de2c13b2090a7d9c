"""Short runs with interventions."""

from typing import Any

from tests.runs import BRIEF, fit, tiny


def intervention(name: str, **arguments: Any) -> dict[str, Any]:
    return {"class_path": f"callbacks.{name}", "init_args": arguments}


def run(*interventions: dict[str, Any], model: dict[str, Any] | None = None, **data: Any) -> Any:
    fragment = {
        "trainer": {"callbacks+": list(interventions)},
        "data": {"init_args": data},
        "model": {"init_args": model or {}},
    }
    return fit(*tiny(BRIEF, fragment))


FROZEN = intervention("LearningRateFactor", levels={"11st": 0.0})
"""Holds the weights still in the last of 12 steps."""


EVERYTHING = [
    intervention("ShrinkPerturb", at=["1ep"], shrink=0.6, perturb=0.01),
    intervention("LayerReset", at=["3st"], last=1),
    intervention("WeightDecaySchedule", levels={"1ep": 0.01}),
    intervention("LearningRateFactor", levels={"1ep": 2.0, "2ep": 1.0}),
    intervention("LearningRateRestart", at=["2ep"]),
    intervention("OptimizerReset", at=["2ep"]),
    intervention("NormRecalibration", every="1ep"),
    intervention("Rewind", at=["2ep"], to="1ep", last=1),
    intervention("L2Init", levels={"1ep": 0.01}),
    intervention("SelectiveWeightReset", at=["2ep"], factor=0.1, utility="gradient"),
    intervention("SelfNormalizedReset", levels={"1ep": 0.1}, interval=2, longest=3),
    intervention("ContinualBackprop", levels={"1ep": 0.2}, maturity=1),
    intervention("ReDo", at=["2ep"], tau=1.0, examples=20),
]
DRIFT = [
    intervention("L2Init", levels={"1ep": 0.01}, norm="huber", to="fresh"),
    intervention("SpectralRegularisation", levels={"2st": 0.01}),
    intervention("ParsevalRegularisation", levels={"1st": 0.01}),
    intervention("FeatureNormPenalty", levels={"1st": 0.01}),
    intervention("FisherPenalty", levels={"1st": 0.01}),
    intervention("InFeR", levels={"2st": 0.01}, scale=2.0),
    intervention("ChurnPenalty", levels={"1st": 0.1}, examples=8),
    intervention("PreActivationNoise", levels={"1st": 0.1}),
    intervention("StepwiseShrinkPerturb", levels={"1st": 0.001}),
    intervention("StepwiseShrinkPerturb", levels={"2st": 0.001}, shrink=0.999, noise="fresh"),
    intervention("NormaliseAndProject", levels={"3st": 1}),
]
"""What keeps weights, features or outputs from drifting."""
AUXILIARY: dict[str, Any] = {
    "class_path": "lightning_modules.networks.AuxiliaryHeadsNetwork",
    "init_args": {"network": "tests.networks.SmallNet"},
}
ALL_DRIFT: dict[str, Any] = {
    "trainer": {"callbacks+": DRIFT},
    "model": {"init_args": {"network": AUXILIARY}},
}
REMEDIES = [
    {
        "class_path": "pytorch_lightning.callbacks.EMAWeightAveraging",
        "init_args": {"decay": 0.5, "use_buffers": True},
    },
    intervention("DASH", at=["1st"], least=0.2),
    intervention("SelfDistillation", at=["1ep"]),
    intervention("FIRE", at=["3st"], iterations=3, optimizer_state="reset"),
    intervention("LayerwiseReset", at=["1ep", "2ep"], normalise=False),
    intervention("PartialReset", at=["4st"], kept="random each time"),
    intervention("HareTortoise", at=["5st"]),
]
"""What else acts once, but for injections."""
WITH_INJECTION: dict[str, Any] = {
    "trainer": {
        "callbacks+": [
            *REMEDIES[:4],
            intervention("PlasticityInjection", at=["1ep"]),
            *REMEDIES[5:],
        ]
    },
    "model": {
        "init_args": {
            "network": {
                "class_path": "lightning_modules.networks.InjectableNetwork",
                "init_args": {
                    "network": "lightning_modules.networks.MLP",
                    "options": {"widths": [12, 8]},
                },
            }
        }
    },
}
"""An injection, which is for one process, in the place of a layerwise reset."""
LOOKING_AT_ACTIVATIONS = {"callbacks.ContinualBackprop", "callbacks.SelfNormalizedReset"}
CROPS = {
    "class_path": "datamodules.CropFlip",
    "init_args": {"padding": 2, "levels": {"0ep": 0.5, "2ep": 0}},
}
ALL: dict[str, Any] = {
    "trainer": {"callbacks+": EVERYTHING},
    "data": {"init_args": {"augmentation": CROPS}},
}
