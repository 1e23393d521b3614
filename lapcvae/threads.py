"""What libraries read once from the environment, when they are imported: how many threads, whether to report home.

One thread for each matrix product: variants already run side by side, one per core.
"""

from __future__ import annotations

import os

VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def one_each() -> None:
    """Call before numpy and onnxruntime are imported. How many threads the user has set stays."""
    for variable in VARIABLES:
        os.environ.setdefault(variable, "1")
    no_telemetry()


def no_telemetry() -> None:
    """Call before onnxruntime is imported: from 1.32 on it makes a device id in ~/.cache/Microsoft and reports usage."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
