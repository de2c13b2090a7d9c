"""What a study's YAML file names."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from errors import UserError
from studies.expressions import filled
from studies.grid import read_study


def study(**content: Any) -> Path:
    file = Path("study.yaml")
    file.write_text(yaml.safe_dump({"name": "one", **content}, sort_keys=False))
    return file


def test_entries_are_crossed_and_keys_of_one_move_together() -> None:
    axes = [{"removed": [0, 5], "trainer.max_epochs": [20, 25]}, {"seed_everything": [3, 4]}]
    runs = read_study(study(axes=axes)).runs
    assert [run.name for run in runs] == ["removed=0,seed=3", "removed=0,seed=4", "removed=5,seed=3", "removed=5,seed=4"]
    assert runs[3].overrides == {"trainer.max_epochs": 25, "seed_everything": 4}


def test_files_go_on_top_of_every_run() -> None:
    for name in ("base", "arm", "folder"):
        Path(f"{name}.yaml").write_text("{}")
    (run,) = read_study(study(config=["base.yaml"], arms={"a": {"config": "arm.yaml"}}), [Path("folder.yaml")]).runs
    assert [file.name for file in run.configs] == ["base.yaml", "arm.yaml", "folder.yaml"]


def test_arms_differ_in_kind() -> None:
    for name in ("base", "more"):
        Path(f"{name}.yaml").write_text("{}")
    arms = {"plain": None, "other": {"config": ["more.yaml"], "trainer.max_epochs": 7}}
    plain, other = read_study(study(config=["base.yaml"], arms=arms)).runs
    assert (plain.name, [file.name for file in plain.configs]) == ("plain,seed=0", ["base.yaml"])
    assert (other.overrides, [file.name for file in other.configs]) == ({"trainer.max_epochs": 7}, ["base.yaml", "more.yaml"])


def test_values_are_computed_from_others() -> None:
    keys = {"trainer.max_epochs": "{removed + 20}", "data.init_args.deficits": [{"during": ["0ep", "{removed}ep"]}]}
    runs = read_study(study(axes=[{"removed": [0, 5]}], set=keys)).runs
    assert runs[1].overrides == {"trainer.max_epochs": 25, "data.init_args.deficits": [{"during": ["0ep", "5ep"]}]}


@pytest.mark.parametrize(
    ("text", "value"), [("{a + 2 * b}", 16), ("{a // 3}ep to {b}", "2ep to 5"), ("plain", "plain"), ("{a - b}", 1)]
)
def test_expressions(text: str, value: Any) -> None:
    assert filled(text, {"a": 6, "b": 5}) == value


@pytest.mark.parametrize("text", ["{c}", "{a.b}", "{__import__('os')}", "{a +}", "{a ** 9}", "{'x' * 9}"])
def test_nothing_else_is_computed(text: str) -> None:
    with pytest.raises(UserError, match="variables"):
        filled(text, {"a": 6})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"axes": [{"a": [1, 2], "b": [1]}]}, "axes: a has 2, b has 1: keys of one entry move together"),
        ({"axes": [{"a": 1}]}, "axes: entry 0: write a list of values for each key"),
        ({"axes": [{"a": []}]}, "axes: entry 0: write a list of values for each key"),
        ({"axes": {"a": [1]}}, "axes: .*: write a list, as in configs/studies"),
        ({"axes": [{"a": [[1], [2]]}]}, r"axes: a: \[1\]: a variable names runs: write a number or a text"),
        ({"arms": ["a"]}, "arms: .*: write keys and values, as in configs/studies"),
        ({"arms": {"a": [1]}}, r"arms: a: \[1\]: write keys and values, or nothing"),
        ({"arms": {"a": {"trainer": {"max_epochs": 3}}}}, "trainer: write its keys with dots"),
        ({"report": ["x"]}, "report: .*: write keys and values"),
        ({"claims": {"id": "A1"}}, "claims: .*: write a list"),
        ({"set": {"removed": 3}}, "set: removed: is no key of a config"),
        ({"name": "../one"}, r"name: \.\./one: is a folder's"),
        ({"axis": []}, "axis: a study has no such key; it has arms, axes, claims, config, name, report, set"),
        ({"config": ["none.yaml"]}, "config: .*none.yaml: there is no such file"),
        ({"axes": [{"trainer.max_epochs": [1, 2]}]}, "axes: seed=0: stands for several runs; give every entry of axes a variable"),
        ({"set": {"trainer.max_epochs": "{removed}"}}, "{removed}: write numbers"),
    ],
)
def test_what_is_wrong_is_said(content: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_study(study(**content))


def test_a_file_that_is_no_study_is_named() -> None:
    with pytest.raises(UserError, match=r"none\.yaml: there is no such study"):
        read_study(Path("none.yaml"))
    Path("list.yaml").write_text("[1, 2]")
    with pytest.raises(UserError, match=r"list\.yaml: name: a study needs one"):
        read_study(Path("list.yaml"))
    Path("bad.yaml").write_text("a: [")
    with pytest.raises(UserError, match=r"bad\.yaml: while parsing"):
        read_study(Path("bad.yaml"))
