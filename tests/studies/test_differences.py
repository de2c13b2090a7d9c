"""What tells two configs apart, key by key."""

from typing import Any

from plasticity_lab.studies.differences import differences


def node(name: str, **arguments: Any) -> dict[str, Any]:
    return {"class_path": f"callbacks.{name}", "init_args": arguments}


def test_equal_configs_differ_in_nothing() -> None:
    assert list(differences({"a": [1]}, {"a": [1]})) == []


def test_keys_are_named_down_to_what_differs() -> None:
    old = {"trainer": {"max_epochs": 3, "precision": None}, "data": {"growth": None}}
    new = {
        "trainer": {"max_epochs": 4, "precision": None},
        "data": {"growth": node("Growth", at=["50%"])},
    }
    assert list(differences(old, new)) == [
        "trainer.max_epochs: 3 -> 4",
        'data.growth: none -> Growth(at=["50%"])',
    ]


def test_lists_of_classes_are_compared_class_by_class() -> None:
    old = [node("Checkpoint"), node("Reset", at="1ep"), node("Decay", levels={"0ep": 1})]
    new = [
        node("Checkpoint"),
        node("Reset", at="2ep"),
        node("Decay", levels={"0ep": 1, "1ep": 0}),
        node("Checkpoint", last=True),
    ]
    assert list(differences({"callbacks": old}, {"callbacks": new})) == [
        'callbacks.Reset.init_args.at: "1ep" -> "2ep"',
        "callbacks.Decay.init_args.levels: {0ep: 1} -> {0ep: 1, 1ep: 0}",
        "callbacks.Checkpoint 2: none -> Checkpoint(last=true)",
    ]


def test_another_class_or_order_is_shown_as_a_whole() -> None:
    old, new = {"optimizer": node("SGD", lr=1)}, {"optimizer": node("Adam", lr=1)}
    assert list(differences(old, new)) == ["optimizer: SGD(lr=1) -> Adam(lr=1)"]
    assert list(differences({"c": [node("A"), node("B")]}, {"c": [node("B"), node("A")]})) == [
        "c: A, B -> B, A"
    ]
    assert list(differences({"c": [1, 2]}, {"c": [2]})) == ["c: [1, 2] -> [2]"]
