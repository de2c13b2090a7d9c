"""The data sets of torchvision: how each is asked for a split, and what it holds then."""

from typing import Any, Literal, NamedTuple

from plasticity_lab.errors import UserError


class _Choice(NamedTuple):
    """An option that decides what the labels are.

    Attributes:
        option: its name.
        values: what it may be.
        default: what it is if not given; None if it must be.
    """

    option: str
    values: tuple[str, ...]
    default: str | None


_BY_FLAG = ("CIFAR10", "CIFAR100", "EMNIST", "FashionMNIST", "KMNIST", "MNIST", "QMNIST", "USPS")
_BY_SPLIT = {
    **dict.fromkeys(
        ("Country211", "DTD", "FER2013", "FGVCAircraft", "Flowers102", "Food101", "GTSRB"),
        ("train", "test"),
    ),
    **dict.fromkeys(("PCAM", "RenderedSST2", "STL10", "SVHN", "StanfordCars"), ("train", "test")),
    **dict.fromkeys(("CLEVRClassification", "ImageNet", "Imagenette"), ("train", "val")),
    "OxfordIIITPet": ("trainval", "test"),
    "Places365": ("train-standard", "val"),
}
"""What the train and the test split are called."""

NOT_DOWNLOADED = ("FER2013", "ImageNet")
"""Data sets that torchvision does not download, and which take no argument `download`."""

ARRAYS = {**dict.fromkeys(_BY_FLAG, "targets"), "STL10": "labels", "SVHN": "labels"}
"""Data sets that hold all images in one array, `data`, and the attribute of their labels.

Images of the others are decoded one at a time.
"""

_CHOICES = {
    "EMNIST": _Choice(
        "split", ("balanced", "byclass", "bymerge", "digits", "letters", "mnist"), None
    ),
    "OxfordIIITPet": _Choice("target_types", ("category", "binary-category"), "category"),
}
_RESERVED = {"root", "download", "transform", "target_transform", "transforms"}


def split_arguments(
    name: str, split: Literal["train", "test"], options: dict[str, Any]
) -> dict[str, Any]:
    """Return the arguments that ask a data set of torchvision for a split, options among them.

    Raises:
        UserError: for a name that is not in the table, and options that are missing or not the
            user's.
    """
    if name in _BY_FLAG:
        split_arguments: dict[str, Any] = {"train": split == "train"}
    elif name in _BY_SPLIT:
        split_arguments = {"split": _BY_SPLIT[name][split == "test"]}
    else:
        names = ", ".join(sorted([*_BY_FLAG, *_BY_SPLIT]))
        raise UserError(
            "name",
            value=name,
            problem="not a torchvision data set of labelled images that is read by name",
            fix=f"set one of {names}, or use FolderImages",
        )
    if conflicts := sorted((split_arguments.keys() | _RESERVED) & options.keys()):
        raise UserError(
            "options",
            value=conflicts[0],
            problem=f"TorchvisionImages sets it for {name}",
            fix="remove it",
        )
    if name in _CHOICES:
        _check_choice(name, _CHOICES[name], options)
    return {**options, **split_arguments}


def _check_choice(name: str, choice: _Choice, options: dict[str, Any]) -> None:
    choice_value = options.get(choice.option, choice.default)
    if isinstance(choice_value, list) and len(choice_value) == 1:
        choice_value = choice_value[0]
    if choice_value not in choice.values:
        raise UserError(
            f"options: {choice.option}",
            value=choice_value,
            problem=f"{name} needs one of {', '.join(choice.values)}",
            fix=f"set options: {{{choice.option}: {choice.values[0]}}}, for example",
        )
