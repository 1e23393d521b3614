"""Where the package `lapcvae.protocol` is, seen from the plug-in."""

from __future__ import annotations

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def find_protocol() -> None:
    """Make `import lapcvae.protocol` possible; ImportError if it is nowhere.

    Looked for in LAPCVAE_HOME, in the installer's copy beside this file, and in the checkout this file belongs to.
    """
    chosen = os.environ.get("LAPCVAE_HOME")
    for folder in [Path(chosen)] if chosen else [HERE / "lib", HERE.parent.parent]:
        if (folder / "lapcvae" / "protocol" / "__init__.py").is_file():
            # First, so that no other package of this name on GIMP's Python path is met instead.
            sys.path.insert(0, str(folder))
            return
    raise ImportError(f"There is no lapcvae.protocol in {chosen or HERE / 'lib'}.")
