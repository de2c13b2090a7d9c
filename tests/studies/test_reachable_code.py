"""Which sources name the states of a run: all that it executes, and none that it cannot reach."""

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

from plasticity_lab.project import BESIDE, CODE
from plasticity_lab.studies import code_hashes, installed_packages, opening, plan
from plasticity_lab.studies.code_hashes import CodeHashes, project_sources, roots
from plasticity_lab.studies.commands import run
from plasticity_lab.studies.epoch_signatures import epoch_signatures
from plasticity_lab.studies.logged_metrics import logged_metrics
from plasticity_lab.studies.reachable_code import WHOLE, reachable_code
from plasticity_lab.studies.sources import Sources
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
    found = reachable_code([(root, WHOLE) for root in roots], Sources(Path.cwd(), ["lab"]))
    return {module.removeprefix("lab.") for module in found.modules}


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
        ("import lab.one", {"lab", "one", "two"}),
        ("import lab", {"lab", "one", "two"}),
        ("import lab as other", {"lab", "one", "two"}),
        ("from lab import inner", {"inner", "inner.deep", "two"}),
        ("from lab.inner import Second", {"two"}),
        ("def late():\n    from lab import One", {"one"}),
        ("if __debug__:\n    from lab import One\nelse:\n    from lab import Two", {"one", "two"}),
        ("try:\n    from . import one\nexcept ImportError:\n    from . import two", {"one", "two"}),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from lab import One", set()),
        (
            (
                "import typing\nif typing.TYPE_CHECKING:\n    from lab import One\nelse:\n    "
                "from lab import Two"
            ),
            {"two"},
        ),
        ("from lab import Unknown", {"lab", "one", "two"}),
        ("from lab import *", {"lab", "one", "two"}),
        ("from lab.inner import *", {"inner", "inner.deep", "two"}),
        ("import torch\nfrom pathlib import Path\nfrom lab.one import missing", {"one"}),
        ("from ... import one", set()),
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
        "root.py": "from lab.inner.deep import Deep",
    }
    assert reached(files, "lab.root") == {"root", "inner.deep", "inner", "two"}


@pytest.mark.parametrize("line", ["from lab.one import *", "import lab.one as One", "One = None"])
def test_a_package_that_binds_names_otherwise_counts(line: str) -> None:
    files = {**EXPORTS, "__init__.py": f"{line}\nfrom lab.two import Two"}
    files["root.py"] = "from lab import One"
    assert {"lab", "two"} <= reached(files, "lab.root")


def test_a_name_may_be_a_module_and_what_is_in_it() -> None:
    files = {**EXPORTS, "__init__.py": "from lab.two import one", "root.py": "from lab import one"}
    assert reached(files, "lab.root") == {"root", "one", "two"}


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
    monkeypatch.setattr(opening, "project_sources", lambda: Sources(folder, PACKAGES))
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
        (config,) = small({"blurred": arm}, seeds=1).opened.arms
        codes = [
            CodeHashes(project_sources(), trusted={"datamodules.Blur": text})
            for text in ("one", "two")
        ]
        signatures = [epoch_signatures(config, code) for code in codes]
        first, second = (plan.state_chain(one, 0, "salt").states for one in signatures)
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


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for modules of the user's own, which Python finds."""
    folder = Path("own").absolute()
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


@pytest.fixture
def reread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each study reads all sources anew, as a process does."""
    monkeypatch.setattr(opening, "project_sources", lambda: Sources(CODE, PACKAGES))


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def hash_of(name: str) -> str:
    """Return the hash of the code that a dotted name leads to, which is not imported for that."""
    return CodeHashes(Sources(CODE, PACKAGES))({"argument": name})


def test_project_code_that_a_class_of_ones_own_uses_counts(copied: Path, own: Path) -> None:
    files = {
        "helpers_of_mine.py": "from callbacks.diagnostics import HessianEigenvalues\n",
        "diagnostic_of_mine.py": (
            "import helpers_of_mine\nfrom pytorch_lightning import Callback\n"
            "class Mine(Callback):\n    pass\n"
        ),
    }
    write(own, files)
    mine = {"mine": {"trainer.callbacks+": [{"class_path": "diagnostic_of_mine.Mine"}]}}
    for file in (
        copied / "callbacks/diagnostics/hessian_eigenvalues.py",
        own / "helpers_of_mine.py",
    ):
        before = states(mine)
        assert states(mine) == before
        edit(file)
        assert not {*states(mine)[0][1:]} & {*before[0]}


NETWORK = """
from collections.abc import Callable
from torch import Tensor, nn

class Outer:
    class Net(nn.Module):
        def __init__(
            self,
            in_channels: int,
            num_classes: int,
            activation: Callable[[Tensor], Tensor] = nn.functional.relu,
            norm: type[nn.Module] = nn.Identity,
        ) -> None:
            super().__init__()
            self.head = nn.LazyLinear(num_classes)

        def forward(self, images):
            return self.head(images.flatten(1))

class Net(Outer.Net): ...
"""
LATE = """
from pytorch_lightning import Callback

class Late(Callback):
    def in_force(self, epoch):
        return "on" if epoch.now.epoch else None
"""


def network(path: str, **arguments: Any) -> dict[str, Any]:
    node = {"class_path": path, "init_args": arguments}
    return {"one": {"model.init_args.network": node, "trainer.max_epochs": 1}}


@pytest.mark.usefixtures("reread")
def test_a_function_and_a_type_that_are_arguments_count(own: Path) -> None:
    act = "from torch import Tensor\ndef act(x: Tensor) -> Tensor:\n    return x.relu()\n"
    files = {
        "net_of_mine.py": NETWORK,
        "functions_of_mine.py": act,
        "types_of_mine.py": "from torch import nn\nclass Norm(nn.Identity): ...\n",
        "unused_of_mine.py": "",
    }
    write(own, files)
    arm = network("net_of_mine.Net", activation="functions_of_mine.act", norm="types_of_mine.Norm")
    for name in files:
        before = states(arm)
        edit(own / name)
        assert (states(arm) == before) == (name == "unused_of_mine.py"), name


@pytest.mark.usefixtures("reread")
def test_a_class_in_a_class_is_planned(own: Path) -> None:
    write(own, {"nested_of_mine.py": NETWORK})
    arm = network("nested_of_mine.Outer.Net")
    before = states(arm)
    assert len(before[0]) == 2
    edit(own / "nested_of_mine.py")
    assert states(arm)[0][1] != before[0][1]


@pytest.mark.usefixtures("reread")
def test_a_function_that_returns_a_callback_is_planned(own: Path) -> None:
    text = "def make(every: int = 1) -> Late:\n    return Late()\n"
    write(own, {"makes_of_mine.py": f"{LATE}\n{text}"})
    node = {"class_path": "makes_of_mine.make", "init_args": {"every": 2}}
    arm = {"one": {"trainer.callbacks+": [node]}}
    opened = small(arm, seeds=1)
    assert logged_metrics(opened.opened.arms[0]) is None
    edit(own / "makes_of_mine.py")
    assert states(arm)[0][1] != opened.paths[0].states[1]


PACKAGE_OF_MINE = {
    "my_package/__init__.py": "from . import sub\nfrom .net import Net",
    "my_package/net.py": "class Net: ...",
    "my_package/sub/__init__.py": "from .impl import f",
    "my_package/sub/impl.py": "def f(): ...",
}
STAR_OF_MINE = {
    "my_star/__init__.py": "from .impl import *",
    "my_star/impl.py": "def blur(): ...",
    "my_star/blur.py": "",
}
EFFECTS_OF_MINE = {
    "my_effects/__init__.py": "from my_effects import patches",
    "my_effects/patches.py": "import torch\ntorch.nn.ReLU.forward = None",
    "my_effects/net.py": "class Net: ...",
}


@pytest.mark.parametrize(
    ("text", "more", "edited"),
    [
        # Names that pass through other modules.
        (
            "from my_api import sub\nsub.f()",
            {"my_api.py": "from my_package import sub"},
            "my_package/sub/impl.py",
        ),
        (
            "from my_api import *\nmp.sub.f()",
            {"my_api.py": "import my_package as mp"},
            "my_package/sub/impl.py",
        ),
        ("from my_package import *\nsub.f()", {}, "my_package/sub/impl.py"),
        ("import my_package.sub\np = my_package\np.sub.f()", {}, "my_package/sub/impl.py"),
        ("from my_star import blur", STAR_OF_MINE, "my_star/impl.py"),
        # Effects of an import.
        ("from my_effects.net import Net", EFFECTS_OF_MINE, "my_effects/patches.py"),
        ("import my_effects.net", EFFECTS_OF_MINE, "my_effects/patches.py"),
        # A package without `__init__.py`.
        ("from my_folder.deep import net", {"my_folder/deep/net.py": ""}, "my_folder/deep/net.py"),
        # Imports that may fail.
        (
            "try:\n    from . import my_helper\nexcept ImportError:\n    import my_helper",
            {"my_helper.py": ""},
            "my_helper.py",
        ),
        (
            "try:\n    import my_old\nexcept SyntaxError:\n    import my_helper",
            {"my_old.py": "print 1\n", "my_helper.py": ""},
            "my_helper.py",
        ),
        ("import my_old", {"my_old.py": "print 1\n"}, "my_old.py"),
    ],
)
def test_all_that_ones_own_code_imports_counts(
    own: Path, text: str, more: dict[str, str], edited: str
) -> None:
    write(own, {**PACKAGE_OF_MINE, **more, "my_module.py": text})
    before = hash_of("my_module.Class")
    assert hash_of("my_module.Class") == before
    edit(own / edited)
    assert hash_of("my_module.Class") != before


def test_the_package_that_a_path_names_counts(own: Path) -> None:
    write(own, EFFECTS_OF_MINE)
    before = hash_of("my_effects.net.Net")
    edit(own / "my_effects/patches.py")
    assert hash_of("my_effects.net.Net") != before


def test_code_of_ones_own_that_is_not_imported_does_not_count(own: Path) -> None:
    write(own, {**PACKAGE_OF_MINE, "my_package/plots.py": "", "my_module.py": "import my_package"})
    before = hash_of("my_module.Class")
    edit(own / "my_package/plots.py")
    assert hash_of("my_module.Class") == before


def test_a_source_may_be_in_another_encoding(own: Path) -> None:
    text = "# -*- coding: latin-1 -*-\nname = 'é'\nimport my_helper\n"
    (own / "my_module.py").write_bytes(text.encode("latin-1"))
    write(own, {"my_helper.py": ""})
    before = hash_of("my_module.Class")
    edit(own / "my_helper.py")
    assert hash_of("my_module.Class") != before


def test_a_compiled_module_of_ones_own_counts(own: Path) -> None:
    file = own / f"my_kernel{EXTENSION_SUFFIXES[0]}"
    file.write_bytes(b"\0one")
    write(own, {"my_module.py": "import my_kernel"})
    before = hash_of("my_module.Class")
    file.write_bytes(b"\0two")
    assert hash_of("my_module.Class") != before


def test_an_editable_installation_is_ones_own_code(monkeypatch: pytest.MonkeyPatch) -> None:
    file = Path("elsewhere/my_editable/__init__.py").absolute()
    write(Path("elsewhere"), {"my_editable/__init__.py": "", "my_editable/net.py": ""})

    class Finder:
        """Finds one package, as the hook of setuptools does."""

        @staticmethod
        def find_spec(name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
            return spec_from_file_location(name, file) if name == "my_editable" else None

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])
    for edited in (file, file.parent / "net.py"):
        before = hash_of("my_editable.net.Net")
        edit(edited)
        assert hash_of("my_editable.net.Net") != before
    assert "my_editable" not in sys.modules


@pytest.fixture
def site_packages(own: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages, about which everything is read anew."""
    folder = own / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    fresh = cache(installed_packages._distributions.__wrapped__)
    monkeypatch.setattr(installed_packages, "_distributions", fresh)
    monkeypatch.setattr(code_hashes, "versions", installed_packages.versions.__wrapped__)
    return folder


@pytest.mark.parametrize("name", ["my_installed.Net", "my_module.Net"])
def test_an_installed_package_counts_by_its_version_and_recorded_files(
    own: Path, site_packages: Path, name: str
) -> None:
    about = "Metadata-Version: 2.1\nName: my-installed\nVersion: {}\n"
    record = "my_installed/__init__.py,sha256={},0\nmy_installed-1.dist-info/METADATA,,\n"
    files = {
        "my_installed/__init__.py": "",
        "my_installed-1.dist-info/METADATA": about.format(1),
        "my_installed-1.dist-info/RECORD": record.format("a"),
    }
    write(site_packages, files)
    write(own, {"my_module.py": "import my_installed"})
    before = hash_of(name)
    edit(site_packages / "my_installed/__init__.py")
    assert hash_of(name) == before, "its files are not read"
    write(site_packages, {"my_installed-1.dist-info/RECORD": record.format("b")})
    installed_again = hash_of(name)
    assert installed_again != before
    write(site_packages, {"my_installed-1.dist-info/METADATA": about.format(2)})
    assert hash_of(name) not in (before, installed_again)


def test_a_file_that_was_copied_into_site_packages_is_ones_own(site_packages: Path) -> None:
    write(site_packages, {"my_copied.py": ""})
    before = hash_of("my_copied.Net")
    edit(site_packages / "my_copied.py")
    assert hash_of("my_copied.Net") != before


@pytest.mark.parametrize(
    ("package", "counts"), [("torch", True), ("sklearn", True), ("scipy", True), ("tqdm", False)]
)
def test_versions_of_what_this_projects_code_imports_count(
    monkeypatch: pytest.MonkeyPatch, package: str, counts: bool
) -> None:
    name = "callbacks.NeuralCode"
    before = hash_of(name)
    monkeypatch.setattr(
        code_hashes,
        "versions",
        lambda other: ("another",) if other == package else installed_packages.versions(other),
    )
    assert (hash_of(name) != before) is counts


@pytest.mark.usefixtures("reread")
@pytest.mark.parametrize(
    ("name", "text", "arm"),
    [
        ("trusted_network", NETWORK, network("trusted_network.Net")),
        (
            "trusted_callback",
            LATE,
            {"one": {"trainer.callbacks+": [{"class_path": "trusted_callback.Late"}]}},
        ),
    ],
)
def test_code_of_ones_own_may_be_trusted(
    own: Path, name: str, text: str, arm: dict[str, Any]
) -> None:
    write(own, {f"{name}.py": text})
    before = small(arm, seeds=1)
    run(before, 1, lambda *_: None)
    edit(own / f"{name}.py")
    assert small(arm, seeds=1).paths != before.paths
    assert small(arm, seeds=1, trust_code=True).paths == before.paths


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
        arms, opened.opened.arms, json.loads(completed.stdout.splitlines()[-1]), strict=True
    ):
        modules = reachable_code(roots(config, sources), sources).modules
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
    if kind := fragment.get("model", {}).get("class_path"):
        model["model.class_path"] = kind
    return {**trainer, **data, **model}


@pytest.mark.slow
def test_a_run_executes_nothing_that_it_cannot_reach() -> None:
    check_executed({"everything at once": dotted(REGISTRY["everything at once"].acting), **KERNEL})


@pytest.mark.long
def test_no_class_executes_what_its_run_cannot_reach() -> None:
    fragments = {**{name: entry.acting for name, entry in REGISTRY.items()}, **DIAGNOSTICS}
    check_executed({name: dotted(fragment) for name, fragment in fragments.items()})
