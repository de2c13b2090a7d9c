"""A network in two parts: what comes before its last blocks, and these."""

from collections.abc import Sequence

from torch import fx, nn

from plasticity_lab.errors import UserError
from plasticity_lab.surgery.construction import tensors_of
from plasticity_lab.surgery.layer_selection import part_of


def split_network(network: nn.Module, blocks: Sequence[str]) -> tuple[nn.Module, nn.Module]:
    """Return two modules, an encoder and a head, which one after the other are the network.

    The head begins with that of the given blocks which is called first, and holds all that comes
    from there on: activations, normalisation, pooling and whatever `forward()` does itself. Both
    hold the network's own layers under the names that these have in the network. Layers that
    `forward()` never calls are in neither.

    Args:
        network: any module from one tensor to one tensor, whose path depends on no values and not
            on its mode, apart from what its layers do.
        blocks: names of the parts that belong to the head.

    Raises:
        UserError: by name, for a network that cannot be traced, a block that is never called or
            that does not depend on the first one, another value than the head's input that passes
            from one part to the other, or tensors that both hold.

    Examples:
        >>> network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4), nn.Linear(4, 2))
        >>> encoder, head = split_network(network, ["2", "3"])
        >>> list(dict(encoder.named_parameters())), list(dict(head.named_parameters()))
        (['0.weight', '0.bias'], ['2.weight', '2.bias', '3.weight', '3.bias'])
        >>> x = network[0].weight
        >>> head(encoder(x)).equal(network(x))
        True
    """
    graph = _trace(network, blocks)
    first, above = _steps_of_head(network, graph, blocks)
    border = _border(network, first, above)
    below = [node for node in graph.nodes if node not in above]
    encoder = _part(network, below, border)
    head = _part(network, [node for node in graph.nodes if node in above], border)

    held_below = {id(value) for value in tensors_of(encoder).values()}
    shared = [name for name, value in tensors_of(head).items() if id(value) in held_below]
    if shared:
        raise UserError(
            type(network).__name__,
            problem=f"uses {', '.join(shared)} below {first.target}, too",
            fix=_FIX,
        )
    return encoder, head


_FIX = "begin the head at another block"


class _Tracer(fx.Tracer):
    """Looks into the parts that hold one of the blocks, and into no other."""

    def __init__(self, blocks: Sequence[str]) -> None:
        super().__init__()
        self._blocks = blocks

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a part is a step of its own."""
        return not any(block.startswith(f"{module_qualified_name}.") for block in self._blocks)


def _trace(network: nn.Module, blocks: Sequence[str]) -> fx.Graph:
    """Return the steps of a network, the same in both modes."""
    kind = type(network).__name__
    modes = {layer: layer.training for layer in network.modules()}
    try:
        graphs = [_Tracer(blocks).trace(network.train(mode)) for mode in (False, True)]
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            kind,
            problem=f"its forward() cannot be traced: {reason}",
            fix="use a network whose path depends on no values",
        ) from error
    finally:
        for layer, mode in modes.items():
            layer.training = mode
    if str(graphs[0]) != str(graphs[1]):
        raise UserError(
            kind,
            problem="its own forward() does something else in training",
            fix="leave that to a layer, such as nn.Dropout",
        )
    return graphs[1]


def _steps_of_head(
    network: nn.Module, graph: fx.Graph, blocks: Sequence[str]
) -> tuple[fx.Node, set[fx.Node]]:
    """Return the first call of one of the blocks, and all steps that depend on it, itself too."""
    kind = type(network).__name__
    calls: dict[str, list[fx.Node]] = {block: [] for block in blocks}
    for node in graph.nodes:
        for block in blocks:
            if node.op == "call_module" and part_of(str(node.target), block):
                calls[block].append(node)
    for block, nodes in calls.items():
        if not nodes:
            raise UserError(kind, problem=f"its block {block} is never called in forward()")

    places = {node: place for place, node in enumerate(graph.nodes)}
    first = min((nodes[0] for nodes in calls.values()), key=places.__getitem__)
    above = {first}
    for node in graph.nodes:
        if not above.isdisjoint(node.all_input_nodes):
            above.add(node)
    for block, nodes in calls.items():
        if not above.issuperset(nodes):
            raise UserError(
                kind, problem=f"its block {block} does not lie above {first.target}", fix=_FIX
            )
    return first, above


def _border(network: nn.Module, first: fx.Node, above: set[fx.Node]) -> fx.Node:
    """Return the one value that enters the head."""
    entering = {value for node in above for value in node.all_input_nodes} - above
    if len(entering) != 1:
        names = ", ".join(sorted(str(value.target) for value in entering))
        raise UserError(
            type(network).__name__,
            problem=f"more than one value enters its part from {first.target} on: {names}",
            fix=_FIX,
        )
    return entering.pop()


def _part(network: nn.Module, nodes: Sequence[fx.Node], border: fx.Node) -> nn.Module:
    """Return some steps of a network as a module, from the value at the border or up to it."""
    part = fx.Graph()
    copies = {} if border in nodes else {border: part.placeholder("x")}
    for node in nodes:
        copies[node] = part.node_copy(node, copies.__getitem__)
    if border in nodes:
        part.output(copies[border])
    return fx.GraphModule(network, part, "Encoder" if border in nodes else "Head")
