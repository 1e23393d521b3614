"""The words that users see, in their language: the translation that GIMP's language asks for, English where there is none.

GIMP tells its plug-ins its language in the environment (LANGUAGE and its like), and Python's gettext reads it from there.
The catalogs are locale/LANGUAGE/LC_MESSAGES/lapcvae.po beside this file, and lapcvae.mo, which is made of it.
"""

from __future__ import annotations

import gettext
from pathlib import Path

_catalog = gettext.translation("lapcvae", Path(__file__).resolve().parent / "locale", fallback=True)
# Texts are marked by calling these: `_("English")`, and `ngettext("one", "several", count)` where a number decides.
_ = _catalog.gettext
ngettext = _catalog.ngettext
