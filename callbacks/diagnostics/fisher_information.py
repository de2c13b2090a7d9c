"""How much the network's answers depend on its weights."""

from pytorch_lightning import LightningModule, Trainer

from callbacks.diagnostics.base import Diagnostic, Measured
from callbacks.diagnostics.fisher_trace import fisher_trace
from callbacks.diagnostics.layers import by_block
from callbacks.diagnostics.probe import Probe
from callbacks.network import network_of
from plasticity_lab.randomness import generator


class FisherInformation(Diagnostic):
    """Logs the trace of the Fisher information (Achille et al. 2019; Golatkar et al. 2019; Jastrzebski et al. 2021).

    Labels are drawn from the model. Tags: `fisher/trace`, `fisher/error` (its standard error), `fisher/trace/<block>`, and
    `fisher/share/<block>`, a block's share of the trace. For networks that are piecewise linear in each parameter, as with ReLU,
    it is also the trace of the Hessian. Costs about one epoch of `examples` examples in batches of 10.

    Batch norm: statistics are estimated on the probe, as `Diagnostic` says; the paper's own
    convention is not known; the authors' code of later papers re-estimates running statistics
    on the training data before each evaluation, a public reproduction uses the running ones.

    Args:
        every: how often.
        early: also after 2, 4, 8, … steps of the first epoch.
        examples: size of the probe.
        impaired: whether the probe has the deficits in force.
        norm_statistics: of batch norm, as `Diagnostic`.
    """

    charts = ("fisher/trace", "fisher/share")
    tags = ("fisher/trace", "fisher/error", "fisher/trace/<block>", "fisher/share/<block>")

    def measure(self, trainer: Trainer, module: LightningModule, probe: Probe) -> Measured:
        """Return the trace, its error, and each block's part of it."""
        network = network_of(module)
        seed = trainer.datamodule.seed  # type: ignore[attr-defined]  # set by a helper of Trainer
        trace = fisher_trace(network, probe.images, generator(seed, "fisher", trainer.global_step))
        blocks = by_block(network, trace.parts)
        parts = {block: sum(trace.parts[name] for name in names) for block, names in blocks.items()}
        measured = {"fisher/trace": trace.total, "fisher/error": trace.error}
        measured |= {f"fisher/trace/{block}": part for block, part in parts.items()}
        return measured | {f"fisher/share/{block}": part / trace.total for block, part in parts.items() if trace.total}
