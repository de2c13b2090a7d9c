"""The project as a wheel."""

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.runs import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())


def test_every_module_is_packaged() -> None:
    listed = PROJECT["tool"]["setuptools"]
    packages = {
        str(file.parent.relative_to(REPOSITORY)).replace("/", ".")
        for file in REPOSITORY.glob("**/__init__.py")
    }
    packages = {name for name in packages if not name.startswith(("tests", ".", "build"))}
    assert sorted(listed["packages"]) == sorted({*packages, "plasticity_lab.configs"})
    assert sorted(file.name for file in REPOSITORY.glob("*.py")) == [
        "measure.py",
        "study.py",
        "train.py",
    ], "not installed"


def left_out(folder: str, names: list[str]) -> set[str]:
    """Say what of a folder is no part of the project."""
    above = {"build", "runs", "data"} if Path(folder) == REPOSITORY else set[str]()
    return {
        name
        for name in names
        if name in above or name.startswith(".") or name.endswith(".egg-info")
    }


@pytest.mark.slow
def test_a_built_wheel_trains_with_its_own_configs(tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(REPOSITORY, source, ignore=left_out)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(tmp_path / "site"),
    ]
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--wheel-dir",
            str(tmp_path),
            str(source),
        ],
        check=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    files = {
        "plasticity_lab/configs/base.yaml",
        "plasticity_lab/configs/digits.yaml",
        "lightning_modules/networks/resnet.py",
        *(
            f"plasticity_lab/studies/page/{file.name}"
            for file in (REPOSITORY / "plasticity_lab/studies/page").glob("*.*")
        ),
    }
    assert files <= set(names)
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"callbacks", "datamodules", "lightning_modules", "plasticity_lab"}
    subprocess.run([*pip, str(wheel)], check=True)
    command = [sys.executable, str(tmp_path / "site/bin/plasticity-lab")]
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(REPOSITORY / "tests/networks.py", home / "mine.py")

    def run(*arguments: str, path: str = "") -> subprocess.CompletedProcess[str]:
        places = os.pathsep.join(filter(None, [path, str(tmp_path / "site")]))
        environment = {**os.environ, "PYTHONPATH": places}
        return subprocess.run(
            [*command, *arguments], env=environment, capture_output=True, text=True, cwd=home
        )

    completed = run(
        "fit",
        "--config",
        "configs/digits.yaml",
        "--trainer.max_epochs",
        "1",
        "--model.init_args.network",
        "mine.SmallNet",
    )
    assert completed.returncode == 0, completed.stderr
    assert "test accuracy" in completed.stdout
    assert str(home / "runs" / "digits") in completed.stdout
    planned = run("study", "plan", "configs/studies/digits_blur_removal.yaml")
    assert planned.stdout.startswith("digits-blur-removal: 25 runs of "), planned.stderr
    (tmp_path / "other/callbacks").mkdir(parents=True)
    (tmp_path / "other/callbacks/__init__.py").touch()
    hidden = run("fit", "--config", "configs/digits.yaml", path=str(tmp_path / "other"))
    (line,) = hidden.stderr.splitlines()
    assert line.startswith(
        f"plasticity-lab: error: callbacks: {tmp_path}/other/callbacks hides plasticity-lab's "
        "package"
    ), line
    assert hidden.returncode == 2
