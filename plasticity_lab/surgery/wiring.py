"""Runs of a network whose layers give out constants, to see where marked values go."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import nan
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from plasticity_lab.errors import UserError
from plasticity_lab.surgery.activation_functions import ACTIVATIONS
from plasticity_lab.surgery.fixed_norm import FixedNorm
from plasticity_lab.surgery.fresh_copy import copy_network

Weighted = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d
"""Layers whose outputs are units, and whose inputs take units in."""

Norm = nn.modules.batchnorm._NormBase | nn.GroupNorm | nn.LayerNorm | nn.RMSNorm | FixedNorm

_NORM_FUNCTIONS = {
    *(F.batch_norm, F.instance_norm, F.group_norm, F.layer_norm, F.rms_norm),
    *(F.local_response_norm, torch.group_norm, torch.layer_norm, torch.rms_norm),
}

_CONSTANT = 0.5

Change = Callable[[str, Tensor], Tensor]
"""From a layer's name and a constant tensor of its output's shape, to what it gives out."""


@dataclass
class Run:
    """What was seen in one forward pass.

    Attributes:
        inputs: of every layer with weights and every normalisation, by name, a tensor for each call
            of it.
        activations: the outputs of activation functions, in the order of their calls.
        output: the network's.
    """

    inputs: dict[str, list[Tensor]] = field(default_factory=dict)
    activations: list[Tensor] = field(default_factory=list)
    output: Tensor = field(default_factory=lambda: torch.empty(0))

    @property
    def calls(self) -> tuple[dict[str, int], int]:
        """How often what was called, the same in all runs unless the network has branches."""
        return {name: len(values) for name, values in self.inputs.items()}, len(self.activations)


class Wiring:
    """A copy of a network in which linear layers and convolutions give out what they are told.

    What depends on their outputs without another such layer between can be read off. Normalisation
    is the identity in it. Nothing is drawn, and the network itself is left alone.

    Args:
        network: any module from one tensor to one tensor.
        inputs: an example, (1, …); its values do not matter.

    Attributes:
        layers: the linear layers and convolutions by name.
        norms: the normalisation layers by name.
        outputs: for each layer a constant tensor for each of its calls, of its output's shape.

    Raises:
        UserError: for a network that does not run on the example.
    """

    def __init__(self, network: nn.Module, inputs: Tensor) -> None:
        self.network = copy_network(network).eval()
        parts = dict(self.network.named_modules())
        self.layers = {name: part for name, part in parts.items() if isinstance(part, Weighted)}
        self.norms = {name: part for name, part in parts.items() if isinstance(part, Norm)}
        self.outputs: dict[str, list[Tensor]] = {name: [] for name in self.layers}
        self._inputs = torch.full_like(inputs, _CONSTANT)
        self._note_outputs()
        self._run = Run()
        self._change: Change = lambda name, output: output
        self._replace_layers()

        # What other parts hold and use themselves: a class token, a scale, matrices of attention.
        kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.PReLU)
        self._others = [
            parameter
            for part in parts.values()
            if not isinstance(part, kinds) and not isinstance(part, Norm)
            for parameter in part.parameters(recurse=False)
        ]
        self._fill_others(_CONSTANT)

    def run(self, change: Change | None = None, others: bool = False) -> Run:
        """Return what is seen as layers give out what `change` says.

        Args:
            change: what each layer gives out; None is constants.
            others: whether the network's input and the parameters of all other parts are NaN.
        """
        self._run = Run(inputs={name: [] for name in [*self.layers, *self.norms]})
        self._change = change or (lambda name, output: output)
        if others:
            self._fill_others(nan)
        marked = others and self._inputs.is_floating_point()
        inputs = torch.full_like(self._inputs, nan) if marked else self._inputs
        try:
            self._run.output = self._call(inputs)
        finally:
            self._fill_others(_CONSTANT)
        return self._run

    @torch.no_grad()
    def _call(self, inputs: Tensor) -> Tensor:
        try:
            # The fused kernels of attention pass by NaN in queries and keys.
            with _Watch(self), sdpa_kernel(SDPBackend.MATH):
                output = self.network(inputs)
        except Exception as error:
            reason = " ".join(str(error).split())
            problem = f"cannot be traced to find its units ({type(error).__name__}: {reason})"
            raise UserError("network", type(self.network).__name__, problem) from error
        if not isinstance(output, Tensor):
            problem = "gives out something else than one tensor, so that its units are not found"
            raise UserError("network", type(self.network).__name__, problem)
        return output

    def activated(self, output: Tensor) -> None:
        """Note what an activation function gives out."""
        self._run.activations.append(output.clone())

    def _note_outputs(self) -> None:
        """Run the network once as it is."""

        def note(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
            return lambda layer, inputs, output: self.outputs[name].append(
                torch.full_like(output, _CONSTANT)
            )

        self._run = Run()
        handles = [part.register_forward_hook(note(name)) for name, part in self.layers.items()]
        self._call(self._inputs)
        for handle in handles:
            handle.remove()

    def _replace_layers(self) -> None:
        def note(name: str) -> Callable[[nn.Module, Any], None]:
            return lambda part, inputs: self._run.inputs[name].append(inputs[0].clone())

        def replacement(name: str) -> Callable[..., Tensor]:
            def forward(*inputs: Any) -> Tensor:
                call = len(self._run.inputs[name]) - 1
                return self._change(name, self.outputs[name][call].clone())

            return forward

        for name, part in {**self.layers, **self.norms}.items():
            part.register_forward_pre_hook(note(name))
        for name, layer in self.layers.items():
            vars(layer)["forward"] = replacement(name)

    @torch.no_grad()
    def _fill_others(self, value: float) -> None:
        for parameter in self._others:
            parameter.fill_(value)


class _Watch(TorchFunctionMode):
    """Lets normalisation be the identity, and shows activations to a wiring."""

    def __init__(self, wiring: Wiring) -> None:
        super().__init__()
        self._wiring = wiring

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        if func in _NORM_FUNCTIONS:
            # A new tensor as theirs is, which others may change in place.
            values: Tensor = args[0] if args else named["input"]
            return values.clone()
        result = func(*args, **named)
        if func in ACTIVATIONS:
            self._wiring.activated(result)
        return result
