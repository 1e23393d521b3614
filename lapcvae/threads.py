"""One thread for each matrix product: variants already run side by side, one per core."""

from __future__ import annotations

import os

VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def one_each() -> None:
    """Call before numpy is imported: its libraries read these variables once. What the user has set stays."""
    for variable in VARIABLES:
        os.environ.setdefault(variable, "1")
