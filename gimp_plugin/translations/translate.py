#!/usr/bin/env python3
"""Brings the plug-in's catalogs up to date with its texts and the runtime's: python3 gimp_plugin/translations/translate.py

In every locale/LANGUAGE/LC_MESSAGES/lapcvae.po new texts get an empty translation, to be filled in by hand, and texts that
are gone are left out; lapcvae.mo, which the plug-in reads, is made of it. For another language, make the folder of
its code with an empty lapcvae.po.
"""

from __future__ import annotations

import ast
import struct
from collections.abc import Iterator
from pathlib import Path

PLUG_IN = Path(__file__).resolve().parents[1] / "lapcvae-edit"
CATALOGS = sorted(PLUG_IN.glob("locale/*/LC_MESSAGES/lapcvae.po"))
RUNTIME = PLUG_IN.parents[1] / "lapcvae"
# Modules of the runtime that only the command line uses, and the calls and functions whose words no user sees.
OF_COMMAND_LINE = ("__main__.py", "demo.py", "doctor.py", "host.py", "moved.py", "painting.py", "sheet.py")
SILENT = ("log", "ValueError", "TypeError", "_Unfit", "logging", "default_command", "_reason_to_end", "_converse", "main")
HEADER = (
    "Content-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: 8bit\nPlural-Forms: nplurals=2; plural=(n != 1);\n"
)
# English text (and its plural, else "") -> translation (and its plurals).
Catalog = dict[tuple[str, str], tuple[str, ...]]


def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def calls(tree: ast.AST) -> list[ast.Call]:
    """Where the code asks for a translation."""
    found = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
    return sorted((n for n in found if n.func.id in ("_", "ngettext")), key=lambda n: (n.lineno, n.col_offset))


def runtime_files() -> list[Path]:
    """The modules of the runtime whose words can reach GIMP."""
    files = [*RUNTIME.glob("*.py"), *RUNTIME.glob("protocol/*.py")]
    return sorted(file for file in files if file.name not in OF_COMMAND_LINE)


def said(tree: ast.AST) -> Iterator[str]:
    """The texts of a module of the runtime: what has several words and is said to users (`words.translated`)."""
    if isinstance(tree, ast.Expr) and isinstance(tree.value, ast.Constant) or _name(tree) in SILENT:
        return
    if " " in (text := template(tree)) and any(map(str.isalpha, text)):
        yield text
    for child in ast.iter_child_nodes(tree):
        # A piece of a text is none.
        if not (isinstance(tree, ast.JoinedStr) and isinstance(child, ast.Constant)):
            yield from said(child)


def template(node: ast.AST) -> str:
    """A string with {0}, {1} and so on for what is put into it; empty for what is no string."""
    pieces, count = "", 0
    for piece in node.values if isinstance(node, ast.JoinedStr) else [node]:
        if isinstance(piece, ast.Constant) and isinstance(piece.value, str):
            pieces += piece.value
        elif isinstance(piece, ast.FormattedValue):
            pieces += f"{{{count}}}"
            count += 1
    return pieces


def _name(node: ast.AST) -> str:
    """Of a function where it is defined or called, or of what it is a method of."""
    if isinstance(node, ast.FunctionDef):
        return node.name
    function = node.func if isinstance(node, ast.Call) else None
    return next((part.id for part in (function, getattr(function, "value", None)) if isinstance(part, ast.Name)), "")


def texts() -> dict[tuple[str, str], list[str]]:
    """Every translatable text, with its plural, and the files that it is in."""
    found: dict[tuple[str, str], list[str]] = {}

    def enter(file: str, words: str, plural: str = "") -> None:
        files = found.setdefault((words, plural), [])
        if file not in files:
            files.append(file)

    for file in sorted(PLUG_IN.glob("*.py")):
        for call in calls(parsed(file)):
            enter(file.name, *(ast.literal_eval(argument) for argument in call.args[:2]))
    for file in runtime_files():
        for text in said(parsed(file)):
            enter(str(file.relative_to(RUNTIME.parent)), text)
    return found


def read(po: Path) -> Catalog:
    """The entries of a catalog, its header (the translation of "") included."""
    entries: list[dict[str, str]] = []
    keyword = ""
    for line in po.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") or not line.strip():
            continue
        if not line.startswith('"'):
            keyword, line = line.split(" ", 1)
            if keyword == "msgid":
                entries.append({})
        # A string of a catalog is written as one of Python.
        entries[-1][keyword] = entries[-1].get(keyword, "") + ast.literal_eval(line)
    return {
        (e["msgid"], e.get("msgid_plural", "")): tuple(e[k] for k in sorted(e) if k.startswith("msgstr")) for e in entries
    }


def write(po: Path, catalog: Catalog, files: dict[tuple[str, str], list[str]]) -> None:
    blocks = []
    for (words, plural), translations in catalog.items():
        lines = [f"#: {' '.join(files[words, plural])}"] if (words, plural) in files else []
        lines.append(f"msgid {_quoted(words)}")
        if plural:
            lines.append(f"msgid_plural {_quoted(plural)}")
        names = [f"msgstr[{i}]" for i in range(len(translations))] if plural else ["msgstr"]
        lines += [f"{name} {_quoted(text)}" for name, text in zip(names, translations, strict=True)]
        blocks.append("\n".join(lines) + "\n")
    po.write_text("\n".join(blocks), encoding="utf-8")


def _quoted(words: str) -> str:
    words = words.replace("\\", "\\\\").replace('"', '\\"')
    if "\n" not in words:
        return f'"{words}"'
    return "\n".join(['""', *(f'"{line}"'.replace("\n", "\\n") for line in words.splitlines(keepends=True))])


def compiled(catalog: Catalog) -> bytes:
    """The catalog as gettext reads it: lengths and places of the sorted texts, those of the translations, then both."""
    pairs = sorted(
        ("\0".join(filter(None, key)).encode(), "\0".join(translations).encode())
        for key, translations in catalog.items()
        if all(translations)
    )
    count, head = len(pairs), 7 * 4
    tables, data = [], b""
    for column in (0, 1):
        for pair in pairs:
            tables += [len(pair[column]), head + 16 * count + len(data)]
            data += pair[column] + b"\0"
    numbers = [0x950412DE, 0, count, head, head + 8 * count, 0, head + 16 * count, *tables]
    return struct.pack(f"<{len(numbers)}I", *numbers) + data


def main() -> None:
    files = texts()
    for po in CATALOGS:
        old = read(po)
        catalog = {("", ""): old.get(("", ""), (HEADER,))}
        for key in files:
            catalog[key] = old.get(key, ("", "") if key[1] else ("",))
        write(po, catalog, files)
        po.with_suffix(".mo").write_bytes(compiled(catalog))
        missing = sum(not all(translations) for translations in catalog.values())
        print(f"{po.relative_to(PLUG_IN)}: {len(files)} texts, {missing} without a translation")


if __name__ == "__main__":
    main()
