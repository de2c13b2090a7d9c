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
    assert sorted(listed["py-modules"]) == sorted(file.stem for file in REPOSITORY.glob("*.py"))
    packages = {str(file.parent.relative_to(REPOSITORY)).replace("/", ".") for file in REPOSITORY.glob("*/**/__init__.py")}
    packages = {name for name in packages if not name.startswith(("tests", ".", "build"))}
    assert sorted(listed["packages"]) == sorted({*packages, "configs"})


@pytest.mark.slow
def test_a_built_wheel_trains_with_its_own_configs(tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(REPOSITORY, source, ignore=shutil.ignore_patterns(".*", "build", "*.egg-info", "runs", "data"))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(tmp_path / "site")]
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(source)], check=True
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"configs/base.yaml", "configs/digits.yaml", "train.py", "lightning_modules/networks/resnet.py"} <= set(names)
    assert not [name for name in names if name.startswith(("tests", "benchmarks"))]
    subprocess.run([*pip, str(wheel)], check=True)
    command = [sys.executable, "-m", "train", "fit", "--config", "configs/digits.yaml", "--trainer.max_epochs", "1"]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(tmp_path / "site")}, capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "test accuracy" in done.stdout
    assert str(tmp_path / "runs" / "digits") in done.stdout
