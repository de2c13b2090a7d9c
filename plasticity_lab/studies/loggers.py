"""Finished runs of a study in other logs than TensorBoard's: any logger of Lightning."""

import signal
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser
from pytorch_lightning.loggers import Logger

from plasticity_lab.errors import UserError
from plasticity_lab.runs.command_line import one_line
from plasticity_lab.studies.scalars import Points, read_all
from plasticity_lab.studies.workers import start_forkserver

LIMIT = 120.0
"""Seconds after which a logger that does not answer is given up."""

_NEEDS = {
    "CometLogger": "comet_ml",
    "MLFlowLogger": "mlflow",
    "NeptuneLogger": "neptune",
    "WandbLogger": "wandb",
}
"""Packages that loggers of Lightning need besides it."""


def check_logger(node: Any) -> None:
    """Raise UserError for what is no logger with arguments that it takes; nothing is built."""
    if not isinstance(node, dict) or not isinstance(node.get("class_path"), str):
        raise UserError(
            "trainer.logger", value=node, fix="set class_path and init_args of each logger"
        )
    package = _NEEDS.get(node["class_path"].rpartition(".")[2])
    if package and not find_spec(package):
        raise UserError(
            "trainer.logger",
            value=node["class_path"],
            problem=f"needs {package}, which is not installed",
            fix=f"pip install {package}",
        )
    try:
        _parsed(node)
    except (ArgumentError, TypeError, ValueError) as error:
        raise UserError(
            "trainer.logger",
            problem=one_line(str(error)).removeprefix("logger: "),
            fix="set the class path of an installed logger, and arguments that it has",
        ) from None


def send(nodes: Sequence[dict[str, Any]], folder: Path, config: Mapping[str, Any]) -> str:
    """Send all scalars of a finished run to loggers, in a process of its own.

    Some loggers keep one run to a process.

    Args:
        nodes: class path and arguments of each logger.
        folder: the run's directory.
        config: its resolved config, logged as its hyperparameters.

    Returns:
        the last line of what went wrong; "" if nothing did.
    """
    context = start_forkserver()
    reader, writer = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(nodes, folder, config, writer))
    process.start()
    writer.close()
    try:
        if not reader.poll(LIMIT):
            return f"no answer for {LIMIT:.0f} seconds"
        problem: str = reader.recv()
        process.join(LIMIT)
        return problem
    except EOFError:
        return "its process ended"
    finally:
        process.kill()
        process.join()


def _send(
    nodes: Sequence[dict[str, Any]], folder: Path, config: Mapping[str, Any], answer: Any
) -> None:
    # At Ctrl-C, the runner ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        for node in nodes:
            log(_parser().instantiate(_parsed(node)).logger, read_all(folder), config)
    except Exception as error:
        reason: BaseException = error
        while reason.__cause__ is not None:
            reason = reason.__cause__
        answer.send(f"{type(reason).__name__}: {' '.join(str(reason).split())}")
    else:
        answer.send("")


def log(logger: Logger, scalars: Mapping[str, Points], config: Mapping[str, Any]) -> None:
    """Log scalars of a whole run, step by step, with its config as hyperparameters.

    Args:
        logger: any of Lightning's.
        scalars: (step, value) by tag.
        config: nested keys and values.
    """
    by_step = defaultdict[int, dict[str, float]](dict)
    for tag, points in scalars.items():
        for step, value in points:
            by_step[step][tag] = value
    logger.log_hyperparams(dict(_flat(config)))
    for step in sorted(by_step):
        logger.log_metrics(by_step[step], step)
    logger.save()
    logger.finalize("success")


def _flat(nest: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted keys and plain values."""
    if isinstance(nest, Mapping) and nest:
        for name, part in nest.items():
            yield from _flat(part, f"{key}.{name}" if key else str(name))
    else:
        yield key, nest if isinstance(nest, int | float | str | None) else str(nest)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--logger", type=Logger)
    return parser


def _parsed(node: Any) -> Any:
    return _parser().parse_object({"logger": node})
