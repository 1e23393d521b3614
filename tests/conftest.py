"""For all tests: threads as in the command line and the worker, and nothing of the user's own is read or written."""

import re
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from lapcvae import threads  # noqa: E402

# Before numpy is imported.
threads.one_each()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Several workers (`-n 2`): one has all tests of a GIMP, or of a file; so what they share is made once."""
    from xdist.scheduler import LoadScopeScheduling

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            gimp = re.search(r"gimp-3\.\d", nodeid)
            return gimp[0] if gimp else nodeid.split("::")[0]

    return Together(config, log)


@pytest.fixture(scope="session", autouse=True)
def no_user_data():
    """The user's models, settings and log are elsewhere."""
    with tempfile.TemporaryDirectory(prefix="lapcvae-tests-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", f"{folder}/share")
        patch.setenv("XDG_STATE_HOME", f"{folder}/state")
        # Tests say themselves which models there are.
        patch.delenv("LAPCVAE_MODELS", raising=False)
        yield


@pytest.fixture
def toy_model(monkeypatch, tmp_path_factory):
    """Only the toy model, and no files of this user."""
    import toy

    monkeypatch.setenv("LAPCVAE_MODELS", str(toy.models()))
    monkeypatch.setattr("lapcvae.protocol.paths.shipped_models_folders", lambda: ())
    monkeypatch.setenv("LAPCVAE_STATE", str(tmp_path_factory.mktemp("state")))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))


@pytest.fixture
def work(tmp_path, toy_model) -> Path:
    """photo.png, and strokes.png on transparency for it; with the toy model."""
    import toy
    from command_line import save_strokes
    from PIL import Image

    Image.fromarray(toy.portrait()).save(tmp_path / "photo.png")
    save_strokes(tmp_path / "strokes.png", 200, 180)
    return tmp_path


@pytest.fixture(scope="module")
def one_service():
    """A service with the toy model."""
    import toy

    from lapcvae.service import Service

    return Service(toy.models())


@pytest.fixture(scope="module")
def engine():
    """The toy model's engine."""
    import toy

    from lapcvae.bundle import open_bundle
    from lapcvae.engine import Engine

    return Engine(open_bundle(toy.models() / toy.NAME), "cpu")
