"""kill -9 at random moments."""

import random
import shutil
import signal
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch

from plasticity_lab.studies.state_hash import state_hash
from tests.processes import start, start_forked
from tests.runs import fit, logged, tiny

KILLS = 3
LONG = {
    "trainer": {
        "max_epochs": 40,
        "callbacks+": [
            {"class_path": "tests.probes.Slowly"},
            {
                "class_path": "pytorch_lightning.callbacks.ModelCheckpoint",
                "init_args": {"every_n_train_steps": 7, "filename": "step"},
            },
        ],
    }
}


def final(directory: Path) -> tuple[str, str, object]:
    checkpoint = torch.load(directory / "checkpoints" / "epoch=0039.ckpt", weights_only=True)
    return (
        state_hash(checkpoint["state_dict"]),
        state_hash(checkpoint["optimizer_states"]),
        logged(directory),
    )


def wait_for_training(process: BaseProcess, directory: Path) -> None:
    """Wait until a session of the run has begun, which a busy machine may take long to do."""
    manifest = directory / "manifest.json"
    before = manifest.stat().st_mtime_ns if manifest.exists() else 0
    while process.is_alive() and (not manifest.exists() or manifest.stat().st_mtime_ns == before):
        time.sleep(0.01)


@pytest.mark.slow
def test_a_run_killed_again_and_again_ends_as_if_never_killed() -> None:
    """Each kill comes at a random moment, from importing to writing."""
    uninterrupted, killed = Path("whole"), Path("killed")
    fit(*tiny(LONG), "--run_dir", str(uninterrupted))
    again = (*tiny(LONG), "--run_dir", str(killed), "--ckpt_path", "last")
    moment, kills, progress = random.Random(0), 1, set()

    # The first comes while it starts.
    starting = start("fit", *again)
    time.sleep(moment.uniform(0.0, 5.0))
    starting.kill()
    starting.communicate()
    assert starting.returncode == -signal.SIGKILL

    while kills < KILLS:
        process = start_forked("fit", *again)
        wait_for_training(process, killed)
        process.join(moment.uniform(0.0, 5.0))
        if process.is_alive():
            process.kill()
            kills += 1
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL), Path("rank0.txt").read_text()
        progress |= {file.name for file in (killed / "checkpoints").glob("epoch=*")}
        # One that got through is compared, and the next kills hit a run from its beginning.
        if process.exitcode == 0:
            assert final(killed) == final(uninterrupted)
            shutil.rmtree(killed)
    fit(*again)
    assert final(killed) == final(uninterrupted)
    assert len(progress) > 1, "the kills hit runs at different places"
