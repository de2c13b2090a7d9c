"""How much the network's outputs depend on its weights."""

from dataclasses import dataclass

from callbacks.diagnostics.base import Measured, ProbeDiagnostic
from callbacks.diagnostics.look import Look
from plasticity_lab.measurements.fisher_trace import fisher_trace
from plasticity_lab.measurements.parameter_groups import group_by_block


@dataclass(repr=False, eq=False, kw_only=True)
class FisherInformation(ProbeDiagnostic):
    """Logs the trace of the Fisher information (Achille et al. 2019; Golatkar et al. 2019).

    Targets are drawn from the model. Tags: `fisher/trace`, `fisher/error` (its standard error),
    `fisher/trace/<block>`, and `fisher/share/<block>`, a block's share of the trace. For networks
    that are piecewise linear in each parameter, as with ReLU, it is also the trace of the Hessian.
    Costs about one epoch of `examples` examples in batches of 10.

    Batch norm: statistics are estimated on the probe, as `ProbeDiagnostic` says; the paper's own
    convention is not known; the authors' code of later papers re-estimates running statistics on
    the training data before each evaluation, a public reproduction uses the running ones.

    Example:
        ```yaml
        class_path: callbacks.FisherInformation
        init_args: {every: 1ep, early: true}
        ```
    """

    charts = ("fisher/trace", "fisher/share")
    tags = ("fisher/trace", "fisher/error", "fisher/trace/<block>", "fisher/share/<block>")

    def check(self, look: Look) -> None:
        """Refuse a module whose predictive distribution is not known."""
        _ = look.objective

    def measure(self, look: Look) -> Measured:
        """Return the trace, its error, and each block's part of it."""
        draws = look.generator("fisher", look.step)
        predictive = look.objective.predictive
        trace = fisher_trace(look.network, look.probe.inputs, draws, predictive=predictive)
        measured = {"fisher/trace": trace.total, "fisher/error": trace.error}

        # Each block's part, and its share of the whole.
        for block, names in group_by_block(look.network, trace.parts).items():
            part = sum(trace.parts[name] for name in names)
            measured[f"fisher/trace/{block}"] = part
            if trace.total:
                measured[f"fisher/share/{block}"] = part / trace.total
        return measured
