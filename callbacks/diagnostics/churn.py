"""How much the network's answers change between measurements."""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from callbacks.diagnostics.base import Measured, ProbeDiagnostic
from callbacks.diagnostics.look import Look
from lightning_modules.objectives import Classification
from plasticity_lab.measurements.churn import output_change, prediction_churn


@dataclass(repr=False, eq=False, kw_only=True)
class Churn(ProbeDiagnostic):
    """Change of the answers to the probe since the measurement before.

    `churn/predictions` is the share of examples whose predicted class is another one, of a
    classification (the word is that of Milani Fard et al. 2016; Tang & Berseth 2024,
    https://arxiv.org/abs/2409.04792, follow it through learning). `churn/outputs` is the mean
    absolute change of outputs, of logits where these are classes. The first measurement has
    neither. Runs can be compared at the same `every`, since changes grow with the time between.
    One forward pass; outputs of the last two measurements are in checkpoints. Inputs with deficits
    would change with time: it has none.

    Batch norm: statistics are estimated on the probe, as `ProbeDiagnostic` says; the papers'
    convention is not known.

    Example:
        ```yaml
        class_path: callbacks.Churn
        init_args: {every: 1ep}
        ```
    """

    charts = ("churn/predictions", "churn/outputs")
    tags = charts
    follows_examples = True

    impaired: bool = field(default=False, init=False)

    def begin(self) -> None:
        """Compare with nothing yet."""
        super().begin()
        # The last two by their steps: a checkpoint of the last one's step is compared with the one
        # before, as in the run.
        self._outputs: dict[int, Tensor] = {}

    def measure(self, look: Look) -> Measured:
        """Return how much has changed."""
        outputs = look.outputs()
        earlier = {step: kept for step, kept in self._outputs.items() if step < look.step}
        self._outputs = dict([*earlier.items()][-1:]) | {look.step: outputs}
        if not earlier:
            return {}
        before = earlier[max(earlier)].to(outputs.device)
        values = {"churn/outputs": output_change(outputs, before)}
        if isinstance(look.task, Classification):
            values["churn/predictions"] = prediction_churn(outputs, before)
        return values

    @property
    def needs_history(self) -> bool:
        """Whether one moment is not enough: it is compared with an earlier one."""
        return True

    def state_dict(self) -> dict[str, Any]:
        """Return the last two outputs, by step."""
        return {"outputs": {step: kept.cpu() for step, kept in self._outputs.items()}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a checkpoint's outputs."""
        self._outputs = dict(state_dict["outputs"])
