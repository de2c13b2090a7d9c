"""Which sources name the states of a run: all that it executes, and none that it cannot reach."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from plasticity_lab.errors import UserError
from plasticity_lab.project import BESIDE, CODE
from plasticity_lab.studies import plan, study_context
from plasticity_lab.studies.classes import class_paths
from plasticity_lab.studies.code_hashes import CodeHashes, project_sources, roots
from plasticity_lab.studies.commands import run
from plasticity_lab.studies.reachable_code import Sources, reachable_sources
from tests.registry import DIAGNOSTICS, REGISTRY
from tests.runs import REPOSITORY
from tests.studies.small import ARMS, acting, small

PACKAGES = ("plasticity_lab", *BESIDE)
WEIGHTS = {"weights": acting("WeightDistance", every="1ep")}
KERNEL = {"kernel": acting("KernelAlignment", every="1ep")}


def reached(files: dict[str, str], *roots: str) -> set[str]:
    """Write a package of some files; return the modules that can be reached from some of them."""
    for name, text in files.items():
        file = Path("lab") / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    sources = reachable_sources(roots, Sources(Path.cwd(), ["lab"]))
    return {module.removeprefix("lab.") for module in sources}


EXPORTS = {
    "__init__.py": (
        '"""Says what there is."""\nfrom lab.one import One\nfrom lab.two import Two\n__all__ = '
        '["One", "Two"]\n'
    ),
    "one.py": "class One: ...",
    "two.py": "class Two: ...",
    "inner/__init__.py": "from lab.inner.deep import Deep\nfrom lab.two import Two as Second",
    "inner/deep.py": "class Deep: ...",
}


@pytest.mark.parametrize(
    ("text", "modules"),
    [
        ("from lab import One", {"one"}),
        ("from lab.one import One", {"one"}),
        ("from lab import one", {"one"}),
        ("from . import one", {"one"}),
        ("from .one import One", {"one"}),
        ("import lab.one", {"one"}),
        ("import lab", set()),
        ("import lab.inner", set()),
        ("from lab import inner", set()),
        ("import lab\nlab.One()", {"one"}),
        ("import lab\nlab.one.One()", {"one"}),
        ("import lab as other\nother.One.method()", {"one"}),
        ("import lab\nlab.inner.deep.Deep()", {"inner.deep"}),
        ("import lab.inner\nlab.inner.Second()", {"two"}),
        ("from lab import inner\ninner.Deep()", {"inner.deep"}),
        ("from lab.inner import Second", {"two"}),
        ("def late():\n    from lab import One", {"one"}),
        ("if __debug__:\n    from lab import One\nelse:\n    from lab import Two", {"one", "two"}),
        ("try:\n    from lab import One\nexcept ImportError:\n    import lab.two", {"one", "two"}),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from lab import One", set()),
        (
            (
                "import typing\nif typing.TYPE_CHECKING:\n    from lab import One\nelse:\n    "
                "from lab import Two"
            ),
            {"two"},
        ),
        ("from lab import Unknown", {"lab", "one", "two"}),
        ("import lab\nlab.Unknown", {"lab", "one", "two"}),
        ("import lab\nprint(lab)", {"lab", "one", "two"}),
        ("import lab\ngetattr(lab, 'One')", {"lab", "one", "two"}),
        ("from lab import *", {"lab", "one", "two"}),
        ("from lab.inner import *", {"inner", "inner.deep", "two"}),
        ("import torch\nfrom pathlib import Path\nimport lab.missing", set()),
    ],
)
def test_imports_are_followed_to_what_is_used(text: str, modules: set[str]) -> None:
    assert reached({**EXPORTS, "root.py": text}, "lab.root") == {"root", *modules}


def test_what_is_reached_is_followed_in_turn() -> None:
    chain = {
        "root.py": "from lab.two import Two",
        "two.py": "from lab.three import x",
        "three.py": "from lab import One",
    }
    assert reached({**EXPORTS, **chain}, "lab.root") == {"root", "two", "three", "one"}


def test_a_package_that_does_something_counts() -> None:
    files = {
        **EXPORTS,
        "inner/__init__.py": "from lab.two import Two\nTwo.number = 1",
        "root.py": "import lab.inner.deep",
    }
    assert reached(files, "lab.root") == {"root", "inner.deep", "inner", "two"}


def test_circles_end() -> None:
    files = {
        "__init__.py": "from lab.inner import x",
        "inner/__init__.py": "from lab import x",
        "root.py": "from lab import x",
    }
    assert "root" in reached(files, "lab.root")


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project's sources, by which studies name their states."""
    folder = Path("copy").absolute()
    for package in PACKAGES:
        shutil.copytree(
            CODE / package, folder / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    monkeypatch.setattr(study_context, "project_sources", lambda: Sources(folder, PACKAGES))
    return folder


def states(arms: dict[str, Any]) -> list[list[str]]:
    return [path.states for path in small(arms, seeds=1).paths]


def edit(file: Path, text: str = "# edited\n") -> None:
    assert file.is_file()
    file.write_text(f"{file.read_text()}{text}")


@pytest.mark.parametrize(
    "file",
    [
        "callbacks/__init__.py",
        "callbacks/diagnostics/__init__.py",
        "callbacks/diagnostics/hessian_eigenvalues.py",
        "callbacks/interventions/shrink_perturb.py",
        "lightning_modules/networks/resnet.py",
        "plasticity_lab/studies/report.py",
        "plasticity_lab/studies/local_engine.py",
        "plasticity_lab/analysis/interpolation.py",
    ],
)
def test_what_a_run_cannot_reach_does_not_name_it(copied: Path, file: str) -> None:
    before = states(WEIGHTS)
    edit(copied / file)
    assert states(WEIGHTS) == before


@pytest.mark.parametrize(
    ("arm", "file"),
    [
        (WEIGHTS, "callbacks/diagnostics/weight_distance.py"),
        ({"plain": {}}, "datamodules/loading/loader.py"),
        (WEIGHTS, "lightning_modules/classifier.py"),
        (WEIGHTS, "plasticity_lab/runs/build.py"),
        (WEIGHTS, "plasticity_lab/studies/segment.py"),
        (WEIGHTS, "plasticity_lab/randomness.py"),
        (
            KERNEL,
            "plasticity_lab/measurements/lanczos.py",
        ),  # by way of full_tangent_kernel.py alone
    ],
)
def test_what_a_run_can_reach_names_it(copied: Path, arm: dict[str, Any], file: str) -> None:
    before = states(arm)
    edit(copied / file)
    assert not {*states(arm)[0][1:]} & {*before[0]}


def test_an_import_that_is_new_is_followed(copied: Path) -> None:
    edit(
        copied / "callbacks/diagnostics/weight_distance.py",
        "from callbacks.diagnostics import HessianEigenvalues\n",
    )
    before = states(WEIGHTS)
    edit(copied / "plasticity_lab/measurements/subspace.py")
    assert not {*states(WEIGHTS)[0][1:]} & {*before[0]}


def test_what_acts_later_names_no_earlier_epoch(copied: Path) -> None:
    arms = {name: ARMS[name] for name in ("plain", "shrunk by half", "blurred for 2")}
    plain, shrunk, blurred = before = states(arms)
    assert shrunk[:3] == plain[:3]
    edit(copied / "callbacks/interventions/shrink_perturb.py")
    after = states(arms)
    assert (after[0], after[2]) == (before[0], before[2])
    assert after[1][:3] == shrunk[:3]
    assert after[1][3:] != shrunk[3:]
    assert blurred[0] == plain[0]


def test_what_validation_is_impaired_by_counts_in_all_epochs() -> None:
    impaired = {**ARMS["blurred for 1"], "data.init_args.also_evaluate_with_deficit": True}
    for arm, is_equal in ((ARMS["blurred for 1"], True), (impaired, False)):
        (config,) = small({"blurred": arm}, seeds=1).configs
        codes = [
            CodeHashes(project_sources(), trusted={"datamodules.Blur": text})
            for text in ("one", "two")
        ]
        first, second = (plan.state_chain(config, "salt", code).states for code in codes)
        assert (first[0] == second[0]) is is_equal
        assert first[1:] != second[1:]


def test_code_may_be_trusted(copied: Path) -> None:
    arms = {"plain": ARMS["plain"]}
    before = small(arms, seeds=1)
    run(before, 1, lambda *_: None)
    edit(
        copied / "datamodules/loading/loader.py",
        "from callbacks.diagnostics import HessianEigenvalues\n",
    )
    assert small(arms, seeds=1).paths != before.paths
    assert small(arms, seeds=1, trust_code=True).paths == before.paths
    added = small({**arms, "shrunk": ARMS["shrunk by half"]}, seeds=1, trust_code=True)
    assert added.paths[0] == before.paths[0]
    assert added.paths[1].states[:3] == before.paths[0].states[:3], (
        "an arm that is added shares what is trusted"
    )


def test_project_code_that_a_class_of_ones_own_uses_counts(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path("own").absolute()
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    (folder / "helpers_of_mine.py").write_text(
        "from callbacks.diagnostics import HessianEigenvalues\n"
    )
    (folder / "diagnostic_of_mine.py").write_text(
        "import helpers_of_mine\nfrom pytorch_lightning import Callback\nclass Mine(Callback):\n "
        "   pass\n"
    )
    mine = {"mine": {"trainer.callbacks+": [{"class_path": "diagnostic_of_mine.Mine"}]}}
    for file in (
        copied / "callbacks/diagnostics/hessian_eigenvalues.py",
        folder / "helpers_of_mine.py",
    ):
        before = states(mine)
        assert states(mine) == before
        edit(file)
        assert not {*states(mine)[0][1:]} & {*before[0]}


def check_executed(arms: dict[str, dict[str, Any]]) -> None:
    """Compare, in a process for each arm, what it executes with what it can reach."""
    opened = small(arms, seeds=1)
    tasks = []
    for number, path in enumerate(opened.paths):
        place = Path(f"place{number}").absolute()
        place.mkdir()
        full_run = plan.Segment(
            None,
            path.states[-1],
            0,
            len(path.states) - 1,
            number,
            True,
            bool(path.not_shareable_because),
        )
        tasks.append(opened.task(full_run, place))
    Path("tasks.json").write_text(json.dumps(tasks))
    command = [sys.executable, "-m", "tests.studies.executed", "tasks.json"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    completed = subprocess.run(
        command, capture_output=True, text=True, env=environment, check=False
    )
    assert completed.returncode == 0, completed.stderr
    sources = project_sources()
    for name, config, files in zip(
        arms, opened.configs, json.loads(completed.stdout.splitlines()[-1]), strict=True
    ):
        modules = reachable_sources(roots(class_paths(config)), sources)
        reachable = {str(sources.file(module)) for module in modules}
        executed = {file for file in files if Path(file).relative_to(CODE).parts[0] in PACKAGES}
        assert len(executed) > 40, name
        assert executed - reachable == set(), name


def dotted(fragment: dict[str, Any]) -> dict[str, Any]:
    """Return a fragment of a config by the dotted keys of a study's arm."""
    trainer = {f"trainer.{key}": value for key, value in fragment.get("trainer", {}).items()}
    data = {
        f"data.init_args.{key}": value
        for key, value in fragment.get("data", {}).get("init_args", {}).items()
    }
    model = {
        f"model.init_args.{key}": value
        for key, value in fragment.get("model", {}).get("init_args", {}).items()
    }
    return {**trainer, **data, **model}


@pytest.mark.slow
def test_a_run_executes_nothing_that_it_cannot_reach() -> None:
    check_executed({"everything at once": dotted(REGISTRY["everything at once"].acting), **KERNEL})


@pytest.mark.slow
def test_no_class_executes_what_its_run_cannot_reach() -> None:
    fragments = {**{name: entry.acting for name, entry in REGISTRY.items()}, **DIAGNOSTICS}
    check_executed({name: dotted(fragment) for name, fragment in fragments.items()})


def test_sources_in_other_encodings_and_broken_ones(tmp_path: Path) -> None:
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack/one.py").write_bytes("# -*- coding: latin-1 -*-\nX = 'é'\n".encode("latin-1"))
    (tmp_path / "pack/two.py").write_text("import pack.one\nimport pack.three\n")
    (tmp_path / "pack/three.py").write_text("X = 1\ndef (\n")
    sources = Sources(tmp_path, ["pack"])
    assert reachable_sources(["pack.one"], sources) == {"pack.one"}
    with pytest.raises(UserError, match=r"three.py: line 2: invalid syntax; correct it"):
        reachable_sources(["pack.two"], sources)
