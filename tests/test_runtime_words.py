"""What the runtime says in English is shown in GIMP in the user's language, whatever was put into it."""

import ast
import importlib.util
import re
import time
from pathlib import Path

import numpy as np
import pytest
from test_translations import translate

from lapcvae import bundle, engine, fit
from lapcvae.protocol import client, paths
from lapcvae.protocol.errors import LapcvaeError
from lapcvae.protocol.geometry import Frame
from lapcvae.protocol.messages import Failure, Settings
from lapcvae.service import Service

TEXTS = sorted({text for file in translate.runtime_files() for text in translate.said(translate.parsed(file))})


def spoken(language: str, monkeypatch):
    """The plug-in's words, as GIMP would have them in this language."""
    monkeypatch.setenv("LANGUAGE", language)
    spec = importlib.util.spec_from_file_location(f"words_{language}", translate.PLUG_IN / "words.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def german(monkeypatch):
    return spoken("de", monkeypatch)


def raised(function, *arguments, **keywords) -> LapcvaeError:
    with pytest.raises(LapcvaeError) as caught:
        function(*arguments, **keywords)
    return caught.value


# --- which texts there are ---


def test_texts_of_the_runtime_are_found():
    assert len(TEXTS) > 150
    wanted = {
        "The model {0} has no face finder.",  # LapcvaeError(f"...")
        "Undo that, or make a new coarse layer and paint on it.",  # a constant
        "Have {0} removed, then try again.",  # a variable
        "{0} variants are not possible.",  # _require(condition, f"...")
        "the file {0} is missing",  # put into another text
        "The other side has closed the connection.",  # super().__init__("...")
        "Variant {0} of {1}",  # progress
    }
    assert wanted <= set(TEXTS)
    # What goes to the log, what a program reads, and docstrings are none.
    assert [t for t in TEXTS if "import" in t or "%s" in t or "\n" in t or "the last client" in t] == []


def test_what_is_put_in_stands_between_words():
    assert [t for t in TEXTS if "}{" in t or re.sub(r"\{\d\}", "", t).count("{")] == []


@pytest.mark.parametrize("file", translate.runtime_files(), ids=lambda file: file.name)
def test_texts_are_whole(file):
    """What is made of two texts by adding them would be none of them: `f"{first} and more"` is found."""
    sums = [n for n in ast.walk(translate.parsed(file)) if isinstance(n, ast.BinOp)]
    assert [text for n in sums for text in translate.said(n)] == []


@pytest.mark.parametrize("file", translate.runtime_files(), ids=lambda file: file.name)
def test_errors_have_words(file):
    """Nothing that is said is one word alone, which would not be looked up; "" and names of variables are fine."""
    calls = [n for n in ast.walk(translate.parsed(file)) if isinstance(n, ast.Call)]
    said = [n for n in calls if getattr(n.func, "id", "").endswith("Error") or getattr(n.func, "attr", "") == "progress"]
    given = [translate.template(a) for n in said for a in n.args]
    assert [text for text in given if re.search("[A-Za-z]", text) and " " not in text] == []


# --- that they are translated ---


@pytest.mark.parametrize("language", ["de"])
def test_every_text_is_recognised_with_anything_put_in(language, monkeypatch):
    words = spoken(language, monkeypatch)
    for text in TEXTS:
        put_in = [f"<{i} {'x' * i}.>" for i in range(text.count("{"))]
        translation = words._(text)
        assert translation != text
        assert words.translated(text.format(*put_in)) == translation.format(*put_in), text


def test_english_stays_as_it_is(monkeypatch):
    words = spoken("en", monkeypatch)
    for text in TEXTS:
        assert words.translated(text) == text
    assert words.explained(LapcvaeError("It is broken.", "Mend it.")) == "It is broken. Mend it."


def test_what_is_put_in_may_be_a_text_itself(german):
    assert german.translated("The GPU cannot be used: its answer differs from the CPU's.") == (
        "Die GPU kann nicht verwendet werden: ihr Ergebnis ist ein anderes als das der CPU."
    )
    assert german.translated("this installation of onnxruntime is the CPU one, and no NVIDIA driver is loaded") == (
        "onnxruntime ist hier nur für die CPU installiert, und es ist kein NVIDIA-Treiber geladen"
    )


def test_what_is_not_known_stays_as_it_is(german):
    for text in ("", " ", "{0}", "Photo", "The model", "Nobody knows this text.", "Es ist kein Bild geöffnet."):
        assert german.translated(text) == text
    assert german.explained(LapcvaeError("Unknown cause.", "Run it again.")) == "Unknown cause. Noch einmal ausführen."


def test_what_is_put_in_is_never_evaluated(german):
    for odd in ("{0}", "{1}", "{0.__class__}", "{", "}}", "%s", "\\1", "a\nb", "\0", "„“", "Photo"):
        assert german.translated(f'There is no model "{odd}".') == f"Es gibt kein Modell „{odd}“."


def test_long_and_nested_texts_take_no_time(german):
    begun = time.monotonic()
    for piece in ("The model in ", " x ", ", ", "The GPU cannot be used: ", "The frame 1 is far larger than it (", "."):
        german.translated("The frame " + piece * (2**16 // len(piece)))
        german.translated(piece * (2**16 // len(piece)) + "x).")
    # Milliseconds, unless it grows faster than the text: then it would be minutes.
    assert time.monotonic() - begun < 5


# --- what users meet ---


def meet(tmp_path: Path, monkeypatch) -> dict[str, LapcvaeError]:
    """Errors as the runtime and the client raise them."""
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "manifest.json").write_text('{"format": 1}')
    told = Service(tmp_path).status()["models"]["broken"]
    monkeypatch.setenv("LAPCVAE_MODELS", "")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "none"))
    cells = np.random.default_rng(0).random((16, 16, 3))
    (tmp_path / "open").mkdir(mode=0o755)
    (tmp_path / "open").chmod(0o755)
    connection = client.Connection.__new__(client.Connection)
    unexpected = "Something unexpected went wrong in the worker: ValueError: no"
    failed = Failure(unexpected, "Try again; if it stays, report it together with the log.", "/log")
    return {
        "no model": raised(bundle.find, "", tmp_path / "none"),
        "unknown model": raised(bundle.find, "x", tmp_path),
        "broken model": raised(bundle.describe, tmp_path / "broken"),
        "of a status": LapcvaeError(told["problem"], told["remedy"]),
        "device": raised(engine.choose_provider, None, "tpu"),
        "turned": raised(fit.require_painting, np.rot90(cells, -1), cells, cells, False),
        "another photo": raised(fit.require_photo, cells, cells[::-1]),
        "count": raised(Settings, count=100),
        "realism": raised(Settings, realism=3),
        "frame": raised(Frame, 0.0, 0.0, 0.0),
        "folder": raised(paths.private_folder, tmp_path / "open"),
        "unexpected": raised(connection._end, failed),
    }


def test_errors_as_they_are_raised(german, tmp_path, monkeypatch):
    said = {name: german.explained(error) for name, error in meet(tmp_path, monkeypatch).items()}
    assert said["unknown model"] == "Es gibt kein Modell „x“. Installiert sind: broken."
    assert said["of a status"] == said["broken model"]
    assert said["broken model"].startswith(f"Das Modell in {tmp_path / 'broken'} kann nicht verwendet werden: ")
    assert said["turned"].startswith("Die grobe Ebene wurde im Uhrzeigersinn gedreht, nachdem sie angelegt war. Das rück")
    assert said["count"] == "100 Varianten sind nicht möglich. 1 bis 64 verlangen."
    assert said["unexpected"] == (
        "In der Laufzeitumgebung ist etwas Unerwartetes schiefgegangen: ValueError: no "
        "Es noch einmal versuchen; wenn es bleibt, mit dem Protokoll melden. (Protokoll: /log)"
    )
    english = re.compile(r"\b(the|is|not|with|and|again|Choose|Give|Have|cannot)\b")
    assert {name: text for name, text in said.items() if english.search(text)} == {}


def test_worker_that_cannot_start_says_so(german, tmp_path, monkeypatch):
    monkeypatch.setenv("LAPCVAE_STATE", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    tmp_path.chmod(0o700)
    for words, said in (("", "(Rückgabewert 3)."), ("no numpy", "(Rückgabewert 3): no numpy")):
        error = raised(client.connect, ["/bin/sh", "-c", f"echo '{words}' >&2; exit 3"])
        text = german.explained(error)
        assert text.startswith(f"Die Laufzeitumgebung von LapCVAE konnte nicht starten {said} In ")
        assert text.endswith(f"dann GIMP neu starten. Mehr steht im Protokoll: {paths.log_path()}")
