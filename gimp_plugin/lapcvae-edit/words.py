"""The words that users see, in their language: the translation that GIMP's language asks for, English where there is none.

GIMP tells its plug-ins its language in the environment (LANGUAGE and its like), and Python's gettext reads it from there.
The catalogs are locale/LANGUAGE/LC_MESSAGES/lapcvae.po beside this file, and lapcvae.mo, which is made of it. They also
have what the runtime says (errors, progress), with {0}, {1} and so on where it puts something in: the runtime itself only
speaks English, and `translated` finds out which of these texts something is.
"""

from __future__ import annotations

import gettext
import re
from pathlib import Path

_catalog = gettext.translation("lapcvae", Path(__file__).resolve().parent / "locale", fallback=True)
# Texts are marked by calling these: `_("English")`, and `ngettext("one", "several", count)` where a number decides.
_ = _catalog.gettext
ngettext = _catalog.ngettext

# The catalog's texts of the runtime that something is put in, each with the words around that; those with most words first,
# for what fits them may fit others, too. Where there is no catalog, there are none. (gettext does not list its texts.)
_TEMPLATES = sorted(
    ((text, re.split(r"\{\d\}", text)) for text in getattr(_catalog, "_catalog", {}) if "{0}" in text),
    key=lambda template: -len("".join(template[1])),
)
# What is put in may be such a text itself, and so on, but never more deeply.
_DEEPEST = 3


def explained(error) -> str:
    """What a `LapcvaeError` says, be it the plug-in's or the runtime's."""
    return f"{translated(error.cause)} {translated(error.remedy)}".strip()


def translated(text: str, depth: int = _DEEPEST) -> str:
    """What the runtime says, in the user's language, or as it is where no catalog has it.

    It may be anything, and of any length: it is compared with the texts, piece by piece, and never read as one.
    """
    # One word is a name; all texts of the runtime have several.
    if " " not in text or depth < 0:
        return text
    if (known := _catalog.gettext(text)) != text:
        return known
    for template, around in _TEMPLATES:
        if (put_in := _between(text, around)) is not None:
            return _catalog.gettext(template).format(*(translated(part, depth - 1) for part in put_in))
    return text


def _between(text: str, around: list[str]) -> list[str] | None:
    """What stands between the pieces `around` of a text that begins and ends with the first and last of them, else None."""
    first, *middle, last = around
    if len(text) < len(first) + len(last) or not (text.startswith(first) and text.endswith(last)):
        return None
    found, rest = [], text[len(first) : len(text) - len(last)]
    for piece in middle:
        before, there, rest = rest.partition(piece)
        if not there:
            return None
        found.append(before)
    return [*found, rest]
