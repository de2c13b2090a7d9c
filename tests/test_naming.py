"""What tells things that act over time from each other: every argument of the constructor call."""

import copy
import inspect
import pickle
import typing
from collections.abc import Iterator
from typing import Any

import pytest

import callbacks
import datamodules
from datamodules import Batch, BatchContext, ClassSubset, Deficit, Digits, StageCriterion
from plasticity_lab.errors import UserError
from plasticity_lab.naming import TIMES
from plasticity_lab.project import BESIDE
from plasticity_lab.runs.type_hints import class_of
from plasticity_lab.schedule import RunSchedule, Timed
from plasticity_lab.timing import Position, Time
from tests.registry import DIAGNOSTICS, REGISTRY
from tests.studies.test_epoch_signatures import blur, common, epochs

NUMBERS = (0.25, 0.5, 0.75, 1, 2, 3, 7, 64, 128)
OTHERS: dict[str, list[Any]] = {
    "fractions": [[0.2, 0.4], [0.2, 0.3]],
    "counts": [[10, 20], [10, 30]],
    "deficit": ["datamodules.Blur", "datamodules.ClassPatch"],
    "options": [{"size": 4}, {"size": 8}],
    "shares": [{"head": 0.1}, {"head": 0.2}],
    "dataset": [Digits(), ClassSubset(Digits(), ["1"]), ClassSubset(Digits(), ["2"])],
}
"""Values of arguments whose type does not say what they can be."""


def nodes() -> dict[str, dict[str, Any]]:
    """Return the config of each registered class that acts over time."""
    found: dict[str, dict[str, Any]] = {}
    fragments = [*(entry.acting for entry in REGISTRY.values()), *DIAGNOSTICS.values()]
    for node in [node for fragment in fragments for node in _nodes(fragment)]:
        name = node["class_path"].split(".")[-1]
        if issubclass(class_of(node["class_path"]), Timed):
            found.setdefault(name, node)
    return found


def _nodes(nest: Any) -> Iterator[dict[str, Any]]:
    for part in nest.values() if isinstance(nest, dict) else nest if isinstance(nest, list) else ():
        yield from _nodes(part)
    if isinstance(nest, dict) and "class_path" in nest:
        yield nest


NODES = nodes()
ARGUMENTS = [
    (name, argument)
    for name, node in NODES.items()
    for argument in inspect.signature(
        getattr(callbacks, name, None) or getattr(datamodules, name)
    ).parameters
    if argument not in TIMES
]


def build(node: dict[str, Any], **changed: Any) -> Any:
    arguments = {
        key: value for key, value in {**node["init_args"], **changed}.items() if value is not None
    }
    for key, value in arguments.items():
        if key in ("at", "during"):
            arguments[key] = [Time(text) for text in value]
        if key in ("every", "to") and value in ("0ep", "1ep", "2st"):
            arguments[key] = Time(value)
        if key == "deficit":
            arguments[key] = class_of(value)
        if key == "until":
            arguments[key] = StageCriterion(value["train_accuracy"])
    return class_of(node["class_path"])(**arguments)


def candidates(annotation: Any) -> Iterator[Any]:
    """Yield values of a type."""
    if typing.get_origin(annotation) is typing.Literal:
        yield from typing.get_args(annotation)
    elif annotation is bool:
        yield from (False, True)
    elif annotation in (int, float):
        yield from (number for number in NUMBERS if annotation is float or isinstance(number, int))
    elif annotation is str:
        yield from ("one", "other")
    elif annotation is Time:
        yield from ("0ep", "2st")
    elif typing.get_origin(annotation) in (list, tuple):
        yield from ([value] for value in candidates(typing.get_args(annotation)[0]))
    else:
        for part in typing.get_args(annotation):
            yield from candidates(part)


def variants(name: str, argument: str) -> list[Any]:
    """Return objects of a class that differ in one argument, and in what excludes it."""
    found = []
    kind = class_of(NODES[name]["class_path"])
    excluded = {
        "last": "layers",
        "layers": "last",
        "fractions": "counts",
        "counts": "fractions",
        "step": "counts",
        "classes": "dataset",
    }
    without = {excluded[argument]: None} if argument in excluded else {}
    annotation = typing.get_type_hints(kind.__init__)[argument]
    for value in OTHERS.get(argument) or candidates(annotation):
        try:
            found.append(build(NODES[name], **{**without, argument: value}))
        except UserError:
            continue  # a value outside the argument's range
    return found


def test_everything_that_acts_over_time_is_here() -> None:
    exported = [
        getattr(module, name) for module in (callbacks, datamodules) for name in module.__all__
    ]
    timed = {
        kind.__name__
        for kind in exported
        if issubclass(kind, Timed) and not inspect.isabstract(kind)
    }
    assert timed == set(NODES)


@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
def test_every_argument_is_part_of_the_identity_and_of_what_studies_compare(
    name: str, argument: str
) -> None:
    several = variants(name, argument)
    assert len(several) > 1, "the test knows two values"
    assert (
        len({repr(one) for one in several})
        == len({tuple(said(one)) for one in several})
        == len(several)
    )


def said(one: Any) -> list[str | None]:
    """Return what an object says of each epoch of a run, where steps and stages are known."""
    schedule = RunSchedule([one], 5)
    path = [Position(epoch, 0, min(epoch, 2)) for epoch in range(5)]
    return [
        schedule.signature(one, before, now, stages_known=True)
        for before, now in zip([None, *path[:-1]], path, strict=True)
    ]


class Dim(Deficit):
    """Keeps its argument under another name, and something else under the argument's."""

    def __init__(
        self,
        during: tuple[Time, Time],
        strength: float,
        *,
        gain: float = 1.0,
        note: str | None = None,
    ) -> None:
        super().__init__(during)
        self._factor = gain * (1 - strength)
        self.gain = 0.0
        self.note = None

    def __call__(self, batch: Batch, context: BatchContext) -> Batch:
        return batch._replace(inputs=batch.inputs * self._factor)


class Free(Dim):
    """Passes on whatever it is given."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)


DURING = (Time("0ep"), Time("1ep"))


def test_identity_is_the_constructor_call_and_no_attribute() -> None:
    one = Dim(DURING, 0.5, gain=2.0)
    assert (
        repr(one)
        == repr(Dim((Time("2ep"), Time("3ep")), strength=0.5, gain=2.0))
        == "Dim(strength=0.5, gain=2.0)"
    )
    assert repr(Dim(DURING, 0.5, note="x")) == "Dim(strength=0.5, gain=1.0, note=x)"
    assert repr(Free(during=DURING, strength=0.5, note="x")) == "Free(strength=0.5, note=x)"
    given = [1, 2]
    growth = datamodules.UniformGrowth(counts=given, at=[Time("1ep")])
    given.append(3)
    assert repr(growth) == "UniformGrowth(counts=[1, 2])", (
        "what it was made with, whatever becomes of that"
    )


class Posterise(datamodules.Deficit):
    """An argument that is called like a time, and is none."""

    def __init__(self, levels: int, during: tuple[Time, Time], at: str = "top") -> None:
        super().__init__(during)

    def __call__(self, batch: Any, context: Any) -> Any:
        return batch


def test_only_moments_are_left_out() -> None:
    assert repr(Posterise(4, DURING)) == "Posterise(levels=4, at=top)"
    assert repr(callbacks.LearningRateFactor({"0ep": 2.0})) == "LearningRateFactor"
    assert (
        repr(datamodules.UniformGrowth(counts=[1, 2], until=StageCriterion(0.5, Time("3ep"))))
        == "UniformGrowth(counts=[1, 2])"
    )


def test_copies_have_the_identity_of_the_original() -> None:
    one = Dim(DURING, 0.5)
    assert (
        repr(copy.deepcopy(one))
        == repr(copy.copy(one))
        == repr(pickle.loads(pickle.dumps(one)))
        == repr(one)
    )


def test_what_has_no_text_of_its_own_is_refused_by_name() -> None:
    with pytest.raises(
        UserError,
        match=(
            "Dim: note: a object has no text that tells it from others; give its class a __repr__"
        ),
    ):
        Dim(DURING, 0.5, note=object())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="strength"):
        Dim(DURING)  # type: ignore[call-arg]


def test_a_study_trains_both_of_two_strengths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plasticity_lab.studies.classes.BESIDE", (*BESIDE, "tests"))
    arms = [blur("1ep", "2ep"), blur("1ep", "2ep")]
    for arm, strength in zip(arms, (0.1, 0.9), strict=True):
        node = {
            "class_path": "tests.test_naming.Dim",
            "init_args": {"strength": strength, "during": ["1ep", "2ep"]},
        }
        arm["data"]["init_args"]["deficits"] = [node]
    assert common(epochs(3, arms[0]), epochs(3, arms[1])) == 1
