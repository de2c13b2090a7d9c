"""Lightning's trainer, with limits that mean what is written."""

from datetime import timedelta
from typing import Any

from pytorch_lightning import Trainer


class WholeLimits(Trainer):
    """Keeps whole numbers whole: `limit_train_batches: 1` is one batch, and 1.0 is all of them.

    Lightning declares these arguments as `Union[int, float]`, which Python's cache of such types
    hands out as `Union[float, int]` where that was made first; the parser would then read 1 as 1.0.

    Args:
        limit_train_batches: batches of an epoch (int), or share of them (float).
        limit_val_batches: the same of a validation.
        limit_test_batches: the same of a test.
        limit_predict_batches: the same of a prediction.
        overfit_batches: batches to overfit (int), or share of them (float).
        val_check_interval: batches between validations (int), share of an epoch (float), or time.
        options: as Lightning's.
    """

    def __init__(
        self,
        *,
        limit_train_batches: int | float | None = None,
        limit_val_batches: int | float | None = None,
        limit_test_batches: int | float | None = None,
        limit_predict_batches: int | float | None = None,
        overfit_batches: int | float = 0.0,
        val_check_interval: int | float | str | timedelta | dict[str, int] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            limit_train_batches=limit_train_batches,
            limit_val_batches=limit_val_batches,
            limit_test_batches=limit_test_batches,
            limit_predict_batches=limit_predict_batches,
            overfit_batches=overfit_batches,
            val_check_interval=val_check_interval,
            **options,
        )
