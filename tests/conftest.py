"""For all tests: nothing of the user's own LapCVAE is read, and nothing is written to it."""

import tempfile

import pytest


@pytest.fixture(scope="session", autouse=True)
def no_user_data():
    """The user's models, settings and log are elsewhere."""
    with tempfile.TemporaryDirectory(prefix="lapcvae-tests-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", f"{folder}/share")
        patch.setenv("XDG_STATE_HOME", f"{folder}/state")
        yield
