"""How much a network's answers change between two moments."""

from torch import Tensor


def prediction_churn(outputs: Tensor, earlier: Tensor) -> float:
    """Return the share of examples whose predicted class is another one than before, in [0, 1].

    Args:
        outputs: (examples, classes).
        earlier: of the same examples, likewise.

    Examples:
        >>> prediction_churn(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.eye(2).flip(0) * 9)
        1.0
    """
    return float((outputs.argmax(1) != earlier.argmax(1)).double().mean())


def output_change(outputs: Tensor, earlier: Tensor) -> float:
    """Return the mean absolute difference of outputs, over examples and outputs.

    Args:
        outputs: (examples, outputs).
        earlier: of the same examples, likewise.

    Examples:
        >>> output_change(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 3.0]]))
        2.0
    """
    return float((outputs.double() - earlier.double()).abs().mean())
