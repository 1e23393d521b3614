"""For all tests: threads as in the command line and the worker, and nothing of the user's own is read or written."""

import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from lapcvae import threads  # noqa: E402

# Before numpy is imported.
threads.one_each()


@pytest.fixture(scope="session", autouse=True)
def no_user_data():
    """The user's models, settings and log are elsewhere."""
    with tempfile.TemporaryDirectory(prefix="lapcvae-tests-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", f"{folder}/share")
        patch.setenv("XDG_STATE_HOME", f"{folder}/state")
        # Tests say themselves which models there are.
        patch.delenv("LAPCVAE_MODELS", raising=False)
        yield
