"""The plug-in in German: what it says, and whether the dialogs have room for it."""

import pytest
from test_plugin import whole


@pytest.fixture(scope="module")
def played(gimp) -> dict:
    german = {"LANGUAGE": "de", "LC_ALL": "C.UTF-8"}
    facts = gimp.window("inside.py", "batch_window_german.py", scenes="scene_german.py", variables=german)
    for name, scene in facts["scenes"].items():
        assert "failed" not in scene, f"{name}\n{scene['failed']}\n{facts['said']}"
    return facts


def test_commands_and_their_errors_are_german(played):
    facts = whole(played, "german")
    assert facts["made"] == "SUCCESS" and facts["layer"].startswith("Grob, ") and "hier malen" in facts["layer"]
    assert "hat keine Varianten. Die Fotoebene, eine Variante oder ihre Gruppe" in facts["no group"]
    # From the worker, which speaks English.
    assert "Es gibt kein Modell „nirgends“. Installiert sind: " in facts["no model"]
    assert facts["menu"][0] == "_Grobe Ebene anlegen..." and facts["menu"][1].startswith("Eine niedrig aufgelöste")
    assert whole(played, "check").startswith("LapCVAE funktioniert.")


def test_every_entry_has_the_icon(played, gimp):
    # What GIMP keeps of each procedure.
    kept = (gimp.folder / "profile" / "pluginrc").read_bytes()
    assert kept.count(b"icons/lapcvae.svg") == kept.count(b'"plug-in-lapcvae-') == 7


@pytest.mark.parametrize(
    "scene, said",
    [
        ("lapcvae-frame-0", {"Grobe Ebene anlegen", "Gesicht finden", "Nach Augen setzen", "Rahmen", "Nach Pinselgröße"}),
        ("lapcvae-generate-0", {"Varianten erzeugen", "Erzeugen", "Schließen", "Details des Fotos", "Quelle"}),
        ("lapcvae-help-0", {"Hilfe zu LapCVAE", "Den Rahmen setzen"}),
        ("lapcvae-help-1", {"Hilfe zu LapCVAE", "Wie man malt", "Realismus"}),
        ("lapcvae-check-0", {"Einrichtung von LapCVAE", "Kopieren", "Schließen"}),
    ],
)
def test_dialog_is_german_and_nothing_is_cut_off(played, scene, said):
    shown = played["scenes"][scene]
    assert said <= set(shown["words"])
    assert shown["cut"] == [] and shown["drawn"]
    width, height = shown["size"]
    # 1366 x 768 less a panel and a title bar.
    assert width <= 1366 and height <= 738


def test_numbers_are_in_german_sentences(played):
    scene = played["scenes"]["lapcvae-generate-0"]
    assert "2 als Ebenen behalten" in scene["words"] and any(w.startswith("2 Varianten in ") for w in scene["words"])
    assert any("Berechnet mit: CPU, nicht mit der GPU: onnxruntime ist hier nur für" in w for w in scene["words"])
    assert {"Zurück zu allen", "Vorige", "Nächste", "Foto", "Variante 1"} <= set(scene["enlarged"][0])


def test_dialog_says_in_german_that_nothing_is_painted(played):
    assert played["scenes"]["lapcvae-generate-0"]["message"].startswith("Noch ist nichts gemalt.")
