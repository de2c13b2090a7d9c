"""What a study's YAML file names."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from plasticity_lab.errors import UserError
from plasticity_lab.studies.expressions import filled
from plasticity_lab.studies.study_file import read_study


def study(**content: Any) -> Path:
    file = Path("study.yaml")
    file.write_text(yaml.safe_dump({"name": "one", **content}, sort_keys=False))
    return file


def test_entries_are_crossed_and_keys_of_one_move_together() -> None:
    axes = [{"removed": [0, 5], "trainer.max_epochs": [20, 25]}, {"seed_everything": [3, 4]}]
    runs = read_study(study(axes=axes)).runs
    assert [run.name for run in runs] == [
        "removed=0,seed=3",
        "removed=0,seed=4",
        "removed=5,seed=3",
        "removed=5,seed=4",
    ]
    assert runs[3].overrides == {"trainer.max_epochs": 25, "seed_everything": 4}


def test_files_go_on_top_of_every_run() -> None:
    for name in ("base", "arm", "folder"):
        Path(f"{name}.yaml").write_text("{}")
    (run,) = read_study(
        study(config=["base.yaml"], arms={"a": {"config": "arm.yaml"}}), [Path("folder.yaml")]
    ).runs
    assert [file.name for file in run.configs] == ["base.yaml", "arm.yaml", "folder.yaml"]


def test_arms_differ_in_kind() -> None:
    for name in ("base", "more"):
        Path(f"{name}.yaml").write_text("{}")
    arms = {"plain": None, "other": {"config": ["more.yaml"], "trainer.max_epochs": 7}}
    plain, named = read_study(study(config=["base.yaml"], arms=arms)).runs
    assert (plain.name, [file.name for file in plain.configs]) == ("plain,seed=0", ["base.yaml"])
    assert (named.overrides, [file.name for file in named.configs]) == (
        {"trainer.max_epochs": 7},
        ["base.yaml", "more.yaml"],
    )


def test_values_are_computed_from_others() -> None:
    keys = {
        "trainer.max_epochs": "{removed + 20}",
        "data.init_args.deficits": [{"during": ["0ep", "{removed}ep"]}],
    }
    runs = read_study(study(axes=[{"removed": [0, 5]}], set=keys)).runs
    assert runs[1].overrides == {
        "trainer.max_epochs": 25,
        "data.init_args.deficits": [{"during": ["0ep", "5ep"]}],
    }


def test_keys_with_a_plus_add_up_in_the_order_set_axes_arms() -> None:
    key, arms = (
        "trainer.callbacks+",
        {"plain": {}, "treated": {"trainer.callbacks+": [3], "data.init_args.deficits+": {"a": 1}}},
    )
    runs = read_study(
        study(set={key: [1]}, axes=[{key: [[], [2]], "more": [0, 1]}], arms=arms)
    ).runs
    assert [run.overrides[key] for run in runs] == [[1], [1, 2], [1, 3], [1, 2, 3]]
    assert runs[3].overrides["data.init_args.deficits+"] == [{"a": 1}]


def test_a_key_replaces_what_was_added_before_it() -> None:
    arms = {
        "without": {"trainer.callbacks": []},
        "with": {"trainer.callbacks": [1], "trainer.callbacks+": [2]},
    }
    first, second = read_study(
        study(set={"trainer.callbacks+": [0], "trainer.max_epochs": 1}, arms=arms)
    ).runs
    assert first.overrides == {"trainer.max_epochs": 1, "trainer.callbacks": []}
    assert second.overrides == {"trainer.max_epochs": 1, "trainer.callbacks": [1, 2]}


def test_the_arms_key_counts_before_those_of_axes_and_set() -> None:
    content = {
        "set": {"trainer.max_epochs": 1},
        "axes": [{"trainer.max_epochs": [2], "epochs": [2]}],
    }
    short, long = read_study(
        study(**content, arms={"short": {}, "long": {"trainer.max_epochs": 3}})
    ).runs
    assert (short.overrides, long.overrides) == (
        {"trainer.max_epochs": 2},
        {"trainer.max_epochs": 3},
    )


@pytest.mark.parametrize("size", [20, 2000])
def test_a_name_fits_into_a_folder(size: int) -> None:
    axes = [{"text": ["é" * size + "a", "é" * size + "b"]}]
    content = {"axes": axes, "set": {"trainer.default_root_dir": "{text}"}}
    first, second = (run.name for run in read_study(study(**content)).runs)
    assert first != second
    assert max(len(name.encode()) for name in (first, second)) <= 255
    assert [run.name for run in read_study(study(**content)).runs] == [first, second]
    assert (first == f"text={'é' * size}a,seed=0") == (size == 20)


def test_one_value_may_name_all_runs() -> None:
    (run,) = read_study(study(axes=[{"note": ["again"]}])).runs
    assert run.name == "note=again,seed=0"


def test_null_is_called_none() -> None:
    (run, _) = read_study(
        study(axes=[{"clip": [None, 1.0]}], set={"trainer.gradient_clip_val": "{clip}"})
    ).runs
    assert run.name == "clip=none,seed=0"
    assert run.values == {"clip": None, "seed": 0}
    assert run.overrides == {"trainer.gradient_clip_val": None}


@pytest.mark.parametrize(
    ("text", "value"),
    [("{a + 2 * b}", 16), ("{a // 3}ep to {b}", "2ep to 5"), ("plain", "plain"), ("{a - b}", 1)],
)
def test_expressions(text: str, value: Any) -> None:
    assert filled(text, {"a": 6, "b": 5}) == value


@pytest.mark.parametrize(
    "text", ["{c}", "{a.b}", "{__import__('os')}", "{a +}", "{a ** 9}", "{'x' * 9}"]
)
def test_nothing_else_is_computed(text: str) -> None:
    with pytest.raises(UserError, match="variables"):
        filled(text, {"a": 6})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{" + "+".join("1" * 5000) + "}", "an expression has at most 200"),
        ("{" + "(" * 90 + "1" + ")" * 90 + "}", None),
        ("{word * 1000000000}", "word is no number"),
        ("{'word' * 9}", "use numbers"),
        ("{word + word}", "word is no number"),
        ("{none + 1}", "None is no number"),
        ("{big * big}", "comes to more than 9007199254740992"),
        ("{1e300 * 1e300}", "comes to more than"),
        ("{nan + 1}", "comes to more than"),
        ("{one // 0}", "divides by 0"),
        ("{" + "9" * 150 + "}", None),
        ("{long} and more", "a value written into a text has at most 10000"),
        ("{one}" * 3000, "a text with expressions has at most 10000"),
        ("{True + 1}", "use numbers"),
    ],
)
def test_an_expression_is_of_a_sensible_size(text: str, message: str | None) -> None:
    variables = {
        "one": 1,
        "big": 10**12,
        "word": "word",
        "none": None,
        "nan": float("nan"),
        "long": "x" * 20_000,
    }
    if message is None:
        assert isinstance(filled(text, variables), int)
        return
    with pytest.raises(UserError, match=message) as refused:
        filled(text, variables)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"arms": {"a": {"deficits": [{"class_path": "datamodules.Blur"}]}}},
            "arms: a: deficits: nothing uses this variable",
        ),
        (
            {
                "arms": {"a": {"n": 1}, "b": {"n": 2, "trainer.max_epochs": 1}},
                "set": {"trainer.max_epochs": "{n}"},
            },
            "arms: b: n: nothing uses this variable",
        ),
        ({"axes": [{"batch_size": [32, 64]}]}, "axes: batch_size: nothing uses this variable"),
        (
            {"axes": [{"batch_size": [32, 64], "seed_everything": [0, 1]}]},
            "axes: batch_size: nothing uses this variable",
        ),
        ({"arms": {"a": {3: 4}}}, "3: set the key as a text"),
        ({"name": "n" * 256}, "name: is a folder's; use at most 255 bytes"),
        (
            {"axes": [{"a": [1, 2], "b": [1]}]},
            "axes: a has 2, b has 1: keys of one entry move together",
        ),
        ({"axes": [{"a": 1}]}, "axes: entry 0: set a list of values for each key"),
        ({"axes": [{"a": []}]}, "axes: entry 0: set a list of values for each key"),
        ({"axes": {"a": [1]}}, "axes: .*: set a list, as in configs/studies"),
        (
            {"axes": [{"a": [[1], [2]]}]},
            r"axes: a: \[1\]: a variable names runs: set a number or a text",
        ),
        ({"arms": ["a"]}, "arms: .*: set keys and values, as in configs/studies"),
        ({"arms": {"a": [1]}}, r"arms: a: \[1\]: set keys and values, or nothing"),
        ({"arms": {"a": {"trainer": {"max_epochs": 3}}}}, "trainer: set its keys with dots"),
        ({"report": ["x"]}, "report: .*: set keys and values"),
        ({"claims": {"id": "A1"}}, "claims: .*: set a list, as in configs/studies"),
        ({"set": {"removed": 3}}, "set: removed: is no key of a config"),
        ({"name": "../one"}, r"name: \.\./one: is a folder's"),
        (
            {"axis": []},
            "axis: a study has no such key; it has arms, axes, claims, config, name, "
            "pretraining, report",
        ),
        ({"config": ["none.yaml"]}, "config: .*none.yaml: there is no such file"),
        (
            {"axes": [{"trainer.max_epochs": [1, 2]}]},
            "axes: seed=0: stands for several runs; give every entry of axes a variable",
        ),
        ({"set": {"trainer.max_epochs": "{removed}"}}, "{removed}: use numbers"),
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
    with pytest.raises(UserError, match=r"bad\.yaml: line 1: while parsing"):
        read_study(Path("bad.yaml"))
    Path("twice.yaml").write_text(
        "name: a\nset:\n  trainer.max_epochs: 1\n  trainer.max_epochs: 2\n"
    )
    with pytest.raises(
        UserError,
        match=r"twice\.yaml: line 4: trainer.max_epochs: is written twice, first in line 3",
    ):
        read_study(Path("twice.yaml"))
    Path("wide.yaml").write_bytes("name: a\n".encode("utf-16"))
    with pytest.raises(UserError, match=r"wide\.yaml: is not UTF-8"):
        read_study(Path("wide.yaml"))


@pytest.mark.parametrize("name", ["value", "step", "epoch", "tag", "study", "mean"])
def test_a_variable_is_not_called_as_a_column_of_tables(name: str) -> None:
    axes = [{name: [1, 2], "trainer.max_epochs": [1, 2]}]
    Path("s.yaml").write_text(yaml.safe_dump({"name": "s", "config": [], "axes": axes}))
    with pytest.raises(
        UserError, match=f"{name}: is a column of the tables of every study; choose"
    ):
        read_study(Path("s.yaml"))
