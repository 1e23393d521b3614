"""Every text that the plug-in shows can be translated, and every catalog translates all of them."""

import ast
import gettext
import io
import re
import string
import symtable
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
sys.path.append(str(PROJECT / "gimp_plugin" / "translations"))

import translate  # noqa: E402

FILES = sorted(translate.PLUG_IN.glob("*.py"))
# What shows the words that it is given, by the last part of its name, and the arguments (places, keywords) that are words.
SHOWING = {
    "LapcvaeError": (0, 1), "set_tooltip_text": (0,), "set_text": (0,), "set_label": (0,), "set_title": (0,),
    "new_with_mnemonic": (0,), "add_button": (0,), "set_menu_label": (0,), "message": (0,), "progress_set_text": (0,),
    "section": (0,), "dialog": (1,), "add_choice": (1, 2), "_say": (0, 1), "_note": (0,), "_ask": (0,), "_spin": (1, 5),
    "_slider": (1, 4), "_combo": (1, 3), "_place": (1, 3), "_Preview": (1,), "_new_layer": (1,), "set_documentation": (0, 1),
    "add_int_argument": (1, 2), "add_double_argument": (1, 2), "add_string_argument": (1, 2),
    "add_boolean_argument": (1, 2), "add_boolean_aux_argument": (1, 2), "add_layer_argument": (1, 2),
    "add_layer_return_value": (1, 2), "add_group_layer_return_value": (1, 2), "add_string_return_value": (1, 2),
    "_add_choice": (2, 3), "ToggleButton": (), "Button": (), "RadioButton": (), "CheckButton": (), "Label": (),
}  # fmt: skip
NOT_SHOWN = {"ValueError", "ImportError", "compile", "Finding"}
KEYWORDS = ("label", "title", "tooltip_text")
# A name is the same in every language, and so are words that choose a picture or a state.
NAMES = {"LapCVAE", "CPU", "X\nX", "info", "warning", "error"}
LANGUAGES = [po.parents[1].name for po in translate.CATALOGS]


@pytest.fixture(params=translate.CATALOGS, ids=LANGUAGES)
def po(request) -> Path:
    return request.param


def untranslated(node: ast.expr) -> list[str]:
    """The words that a value may be and that no catalog is asked about."""
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) and any(map(str.isalpha, node.value)) else []
    if isinstance(node, ast.JoinedStr):
        return [w for part in node.values for w in untranslated(part)]
    if isinstance(node, ast.IfExp):
        return untranslated(node.body) + untranslated(node.orelse)
    if isinstance(node, ast.BinOp):
        return untranslated(node.left) + untranslated(node.right)
    if isinstance(node, ast.BoolOp):
        return [w for value in node.values for w in untranslated(value)]
    return []


def called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def fields(words: str) -> set[str]:
    return {f"{name}:{how}" for _, name, how, _ in string.Formatter().parse(words) if name is not None}


def test_german_is_there():
    assert "de" in LANGUAGES and len(translate.texts()) > 250


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.name)
def test_no_text_is_shown_without_asking_for_its_translation(file):
    found = []
    for call in ast.walk(translate.parsed(file)):
        if isinstance(call, ast.Call) and called(call) in SHOWING:
            shown = [call.args[i] for i in SHOWING[called(call)] if i < len(call.args)]
            shown += [k.value for k in call.keywords if k.arg in KEYWORDS]
            found += [f"line {call.lineno}: {w}" for value in shown for w in untranslated(value) if w not in NAMES]
    assert found == []


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.name)
def test_sentences_are_translated_wherever_they_are(file):
    """Also those that reach a widget by way of a name: what begins like a sentence or a label and has several words."""
    tree = translate.parsed(file)
    # What a program reads, what only a programmer can see, and the report, which is to be understood where it is sent.
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and called(n) in NOT_SHOWN]
    docstrings = [n for n in ast.walk(tree) if isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)]
    fine = {id(n) for part in (*translate.calls(tree), *calls, *docstrings) for n in ast.walk(part)}
    texts = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and id(n) not in fine]
    assert [t for t in texts if isinstance(t, str) and re.match(r"_?[A-Z][a-z_]+'?[a-z]* \S", t)] == []


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.name)
def test_translated_texts_are_literals(file):
    for call in translate.calls(translate.parsed(file)):
        # An f-string would be looked up with its numbers filled in, and never be found.
        assert all(isinstance(a, ast.Constant) for a in call.args[: 1 if call.func.id == "_" else 2]), call.lineno


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.name)
def test_underscore_is_no_variable_where_it_is_called(file):
    waiting = [symtable.symtable(file.read_text(encoding="utf-8"), str(file), "exec")]
    while waiting:
        table = waiting.pop()
        waiting += table.get_children()
        if table.get_type() == "function" and "_" in table.get_identifiers():
            symbol = table.lookup("_")
            assert not (symbol.is_local() and symbol.is_referenced()), f"{table.get_name()}, line {table.get_lineno()}"


def test_catalog_has_every_text_and_no_other(po):
    catalog = translate.read(po)
    assert set(catalog) - {("", "")} == set(translate.texts())
    assert [key for key, translations in catalog.items() if not all(map(str.strip, translations)) and key[0].strip()] == []
    assert "fuzzy" not in po.read_text(encoding="utf-8")


def test_translations_have_the_same_fields_mnemonics_and_spaces(po):
    for (words, plural), translations in translate.read(po).items():
        for text in translations if words else ():
            assert fields(text) == fields(words) | fields(plural), text
            assert text.count("_") == words.count("_"), text
            assert text.count("\n") == words.count("\n"), text
            for mark in (" ", ",", ":", "..."):
                assert (text.startswith(mark), text.endswith(mark)) == (words.startswith(mark), words.endswith(mark)), text


def in_menu() -> list[str]:
    """The labels of the menu entries: third of what PROCEDURES says of each procedure."""
    nodes = ast.walk(translate.parsed(translate.PLUG_IN / "lapcvae-edit.py"))
    [entries] = [n.value for n in nodes if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "PROCEDURES"]
    return [entry.elts[2].args[0].value for entry in entries.values]


def in_files(*names: str) -> list[str]:
    return [words for (words, _), where in translate.texts().items() if set(where) & set(names)]


DIALOGS = {
    "menu": in_menu(),
    "frame": in_files("frame_dialog.py", "frame_settings.py"),
    "generate": in_files("generate_dialog.py", "generate_settings.py", "previews.py"),
    "check": in_files("check_dialog.py"),
}


@pytest.mark.parametrize("dialog", DIALOGS)
def test_mnemonics_of_a_dialog_differ(po, dialog):
    translated = {words: translations[0] for (words, _), translations in translate.read(po).items()}
    # The button that gets the number of its layers later stays the same button.
    labels = [translated[w] for w in DIALOGS[dialog] if "_" in w and w != "_Keep {count} as Layer"]
    letters = [text[text.index("_") + 1].lower() for text in labels]
    assert len(labels) > 1 and {text for text, x in zip(labels, letters) if letters.count(x) > 1} == set()


def test_compiled_catalog_is_that_of_the_source_and_gettext_reads_it(po):
    catalog, compiled = translate.read(po), po.with_suffix(".mo").read_bytes()
    assert compiled == translate.compiled(catalog), "run gimp_plugin/translations/translate.py"
    said = gettext.GNUTranslations(io.BytesIO(compiled))
    for (words, plural), translations in catalog.items():
        if plural:
            assert (said.ngettext(words, plural, 1), said.ngettext(words, plural, 2)) == translations
        elif words:
            assert said.gettext(words) == translations[0]


def test_source_of_the_catalog_is_as_it_is_written(po, tmp_path):
    translate.write(tmp_path / "again.po", translate.read(po), translate.texts())
    assert (tmp_path / "again.po").read_text(encoding="utf-8") == po.read_text(encoding="utf-8")
