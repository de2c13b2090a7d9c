"""How strongly the network reacts to random labels."""

from dataclasses import dataclass, field

from callbacks.diagnostics.base import Measured, NormStatistics, ProbeDiagnostic
from callbacks.diagnostics.look import Look
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.memorisation_gradients import memorisation_gradients
from plasticity_lab.surgery.norm_statistics import estimate_norm_statistics

_PURPOSE = "MemorisationGradients"


@dataclass(repr=False, eq=False, kw_only=True)
class MemorisationGradients(ProbeDiagnostic):
    """Expected squared norms of gradients under random labels, beside those of a fresh network.

    With g_i(y) the gradient of the cross-entropy at example x_i of the probe and label y, and
    labels independent and uniform over the classes: `memorisation/example` is the mean of |g_i(y)|²
    over examples and labels, `memorisation/batch` that of |mean over i in B of g_i(y_i)|² over
    mini-batches B. Both are defined here, as a measure of what is redundant or dead on a
    memorisation task. `memorisation/example/fresh` and `memorisation/batch/fresh` are those of a
    network of the same architecture with weights drawn anew (the same ones and the same labels at
    each measurement), with frozen parameters as they are. It takes 2 · draws gradients of each
    example, and the same for the fresh network.

    Batch norm: statistics are estimated on the probe, as `ProbeDiagnostic` says; the papers'
    convention is not known. They are so for the fresh network.

    Args:
        batch_size: examples in a mini-batch.
        draws: labels of each example.

    Raises:
        UserError: for values out of range, another task than classification, or a network that
            cannot be drawn again or whose gradients cannot be taken example by example.

    Example:
        ```yaml
        class_path: callbacks.MemorisationGradients
        init_args: {every: 10ep, examples: 500, draws: 5}
        ```
    """

    charts = ("memorisation/example", "memorisation/batch")
    tags = tuple(f"{name}{of}" for name in charts for of in ("", "/fresh"))

    norm_statistics: NormStatistics = field(default="estimated", init=False)
    batch_size: int = 50
    draws: int = 5

    def __post_init__(self) -> None:
        """Check the arguments."""
        super().__post_init__()
        for name in ("batch_size", "draws"):
            if getattr(self, name) < 1:
                raise UserError(name, value=getattr(self, name), fix="set 1 or more")

    def check(self, look: Look) -> None:
        """Refuse what has no classes, cannot be drawn again, or has no gradients by example."""
        look.check_classification()
        look.fresh_copy(_PURPOSE)
        try:
            self.measure(look)
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            problem = f"torch.func.vmap cannot take it ({reason})"
            raise UserError("network", problem=problem, fix="remove it") from error

    def measure(self, look: Look) -> Measured:
        """Return both norms of both networks."""
        inputs, fresh = look.probe.inputs, look.fresh_copy(_PURPOSE)
        estimate_norm_statistics(fresh, inputs, frozen=look.frozen_norms)
        values: dict[str, float] = {}
        for network, suffix in ((look.network, ""), (fresh, "/fresh")):
            draws = look.generator(_PURPOSE)
            norms = memorisation_gradients(network, inputs, draws, self.batch_size, self.draws)
            values[f"memorisation/example{suffix}"] = norms.example
            values[f"memorisation/batch{suffix}"] = norms.batch
        return values
