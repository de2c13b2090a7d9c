"""How well new classes are told apart by the features, from a few examples of each."""

from dataclasses import dataclass, field

from torch import Tensor

from callbacks.diagnostics.base import Measured, ProbeDiagnostic
from callbacks.diagnostics.look import Look
from callbacks.diagnostics.novel_examples import NovelExamples
from datamodules import ExampleDataset
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.features import check_last_layer, last_features
from plasticity_lab.measurements.few_shot import (
    FeatureTransform,
    check_episodes,
    draw_episodes,
    mean_and_interval,
    transform_features,
)
from plasticity_lab.measurements.few_shot_classifiers import Classifier, episode_accuracies


@dataclass(repr=False, eq=False, kw_only=True)
class FewShot(ProbeDiagnostic):
    """Few-shot accuracy of the last hidden features on classes that the network has never seen.

    Ramalho, Sousbie & Peluchetti 2019 (https://arxiv.org/abs/1910.01319), by the protocol of
    SimpleShot (Wang et al. 2019, https://arxiv.org/abs/1911.04623). In each episode some new
    classes are drawn, and a few known examples and some queries of each; a classifier fitted to the
    known ones classifies the queries. The network stays as it is. Values:
    `few_shot/<shots>_shot_accuracy`, the mean over episodes, in [0, 1], and
    `few_shot/<shots>_shot_interval`, the half width of its 95 % interval. Episodes depend on the
    run's seed and the number of shots alone, so that all moments of a run, and all runs of a seed,
    have the same ones.

    One forward pass over the probe and over all test examples of the new classes; the classifiers
    take a tenth of a second, `logistic_regression` some milliseconds an episode. `examples` are
    those of the training split whose mean feature `CL2N` subtracts, and by which statistics of
    batch norm are estimated; the paper's mean is of all.

    Batch norm: statistics are estimated on the probe, as `ProbeDiagnostic` says; the paper's
    convention is not known.

    Args:
        classes: names of new classes, of those that the run's `ClassSubset` leaves out; their test
            examples are classified.
        dataset: in place of `classes`, another data set, all of whose test split is of new classes.
        ways: classes in an episode.
        shots: known examples of each class; each number is measured.
        queries: classified examples of each class.
        episodes: how many.
        classifier: `centroid`, the nearest mean of a class; `matching`, a softmax over cosines with
            all known examples; or `logistic_regression`.
        transform: of features: `UN`, none; `L2N`, divided by their length; `CL2N`, less the mean
            feature of the training split before that.
        pixels: also measure the inputs themselves in place of features, once, before the first
            batch or on a checkpoint, as `few_shot/pixels/…`.

    Raises:
        UserError: for numbers below 1, fewer than 2 ways or episodes, too few classes or too few
            examples of a class, and classes that are not there or that the run is trained on.

    Example:
        ```yaml
        class_path: callbacks.FewShot
        init_args: {every: 10ep, classes: ["5", "6", "7", "8", "9"], transform: CL2N}
        ```
    """

    charts = ("few_shot",)
    tags = (
        "few_shot/<shots>_shot_accuracy",
        "few_shot/<shots>_shot_interval",
        "few_shot/pixels/<shots>_shot_accuracy",
        "few_shot/pixels/<shots>_shot_interval",
    )

    classes: list[str] = field(default_factory=list)
    dataset: ExampleDataset | None = None
    ways: int = 5
    shots: list[int] = field(default_factory=lambda: [1, 5])
    queries: int = 15
    episodes: int = 600
    classifier: Classifier = "centroid"
    transform: FeatureTransform = "UN"
    pixels: bool = False
    impaired: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        """Check the arguments."""
        super().__post_init__()
        if bool(self.classes) == (self.dataset is not None):
            fix = "set one of the two: names of new classes, or a data set of new classes"
            raise UserError("classes, dataset", fix=fix)
        if self.ways < 2:
            raise UserError("ways", value=self.ways, fix="set 2 or more")
        if not self.shots or len(set(self.shots)) < len(self.shots) or min(self.shots) < 1:
            raise UserError("shots", value=self.shots, fix="set numbers from 1 on, each once")
        for name, least in (("queries", 1), ("episodes", 2)):
            if getattr(self, name) < least:
                raise UserError(name, value=getattr(self, name), fix=f"set {least} or more")

    def begin(self) -> None:
        """Read no new classes yet."""
        super().begin()
        self._novel: tuple[int, NovelExamples] | None = None

    def check(self, look: Look) -> None:
        """Refuse a network without features, and too few new classes or examples."""
        check_last_layer(look.network, look.probe.inputs)
        novel = self._novel_examples(look)
        for shots in self.shots:
            check_episodes(novel.labels, self.ways, shots, self.queries, novel.classes)

    def measure(self, look: Look) -> Measured:
        """Return accuracies and their intervals; none where features are not finite."""
        novel = self._novel_examples(look)
        features = last_features(look.network, novel.inputs)
        if not features.isfinite().all():
            return {}
        base = last_features(look.network, look.probe.inputs)
        values = self._accuracies(look, base, features, novel.labels)

        # Inputs never change: they are measured at the first look, which a checkpoint's always is.
        if self.pixels and (look.step == 0 or not look.optimizers):
            pixels = self._accuracies(
                look, look.probe.inputs.flatten(1), novel.inputs.flatten(1), novel.labels
            )
            values |= {f"pixels/{name}": value for name, value in pixels.items()}
        return {f"few_shot/{name}": value for name, value in values.items()}

    def _accuracies(
        self, look: Look, base: Tensor, features: Tensor, labels: Tensor
    ) -> dict[str, float]:
        transformed = transform_features(features, self.transform, base.mean(0))
        values: dict[str, float] = {}
        for shots in self.shots:
            draws = look.generator("FewShot", shots)
            episodes = draw_episodes(labels, self.ways, shots, self.queries, self.episodes, draws)
            accuracies = episode_accuracies(transformed, episodes, self.classifier)
            mean, half_width = mean_and_interval(accuracies)
            values |= {f"{shots}_shot_accuracy": mean, f"{shots}_shot_interval": half_width}
        return values

    def _novel_examples(self, look: Look) -> NovelExamples:
        """Return the examples of new classes, which are read once for each data stage."""
        if look.novel_examples is None:
            raise UserError(
                "data", problem="only datamodules.ImageDataModule has new classes", fix="remove it"
            )
        if self._novel is None or self._novel[0] != look.stage:
            self._novel = look.stage, look.novel_examples(self.dataset, self.classes)
        return self._novel[1]
