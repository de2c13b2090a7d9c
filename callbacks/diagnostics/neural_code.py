"""The neural code: which units are active on an example."""

from dataclasses import dataclass, field

from callbacks.diagnostics.base import Measured, ProbeDiagnostic
from callbacks.diagnostics.look import Look
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.activations import check_rectified
from plasticity_lab.measurements.neural_code import (
    NEIGHBOURS,
    categorise,
    codes,
    redundancy,
    varying,
)


@dataclass(repr=False, eq=False, kw_only=True)
class NeuralCode(ProbeDiagnostic):
    """Properties of the neural code (He et al. 2021, https://arxiv.org/abs/2101.05490).

    Which units an example activates: a code has one bit for each unit and position after a ReLU; of
    more than 20,000 it has a random choice, kept throughout a run. Columns that are constant over
    training and test examples are dropped. Values: `code/redundancy_train` and
    `code/redundancy_test`, the share of examples that repeat another's code; accuracies on the test
    examples by K-Means (`code/kmeans`, each cluster having its most frequent label, as the code
    released for MNIST and CIFAR-10 has it; `code/kmeans_one_to_one`, with the best one-to-one
    mapping, as that released for SVHN and ImageNet), by `code/nearest_neighbours` and by
    `code/logistic_regression`; `code/columns` left. Two forward passes and a minute or so.
    `examples` are training examples, and as many of the test split, none with deficits.

    Batch norm: statistics are estimated on the probe, as `ProbeDiagnostic` says; the paper's code
    reads its networks in their inference phase, as far as it shows with running statistics.

    Raises:
        UserError: for fewer than 9 examples, a network without ReLU, or data without a test split.

    Example:
        ```yaml
        class_path: callbacks.NeuralCode
        init_args: {every: 10ep, examples: 1000}
        ```
    """

    charts = (
        "code/redundancy_train",
        "code/redundancy_test",
        "code/kmeans",
        "code/nearest_neighbours",
    )
    tags = (*charts, "code/columns", "code/kmeans_one_to_one", "code/logistic_regression")

    examples: int = 2000
    impaired: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        """Check the arguments."""
        super().__post_init__()
        if self.examples < NEIGHBOURS:
            fix = f"set {NEIGHBOURS} or more, for as many neighbours"
            raise UserError("examples", value=self.examples, fix=fix)
        if self.impaired:
            raise UserError(
                "impaired", "true", problem="its test examples have no deficits", fix="remove it"
            )

    def check(self, look: Look) -> None:
        """Refuse what has no code, or nothing to read it by."""
        look.check_classification()
        check_rectified(look.network, look.probe.inputs)
        if look.test_probe is None:
            raise UserError("data", problem="have no test split to compare with", fix="remove it")

    def measure(self, look: Look) -> Measured:
        """Return redundancy ratios and accuracies."""
        assert look.test_probe is not None
        tests = look.test_probe(self.examples)
        train, test = varying(
            codes(look.network, look.probe.inputs, look.seed),
            codes(look.network, tests.inputs, look.seed),
        )
        properties = {
            "redundancy_train": redundancy(train),
            "redundancy_test": redundancy(test),
            "columns": train.shape[1],
        }
        labels = look.probe.targets.cpu().numpy()
        properties |= categorise(train, labels, test, tests.targets.cpu().numpy())
        return {f"code/{name}": value for name, value in properties.items()}
