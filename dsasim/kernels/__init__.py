"""Numba inner loops: arrays in, arrays out; no configuration, no events, no files.

Compiled kernels are cached beside the source or in the user's cache folder. Where neither can be written Numba would
refuse to import them; then a temporary folder serves this process.
"""

import os
import tempfile
from pathlib import Path


def _ensure_cache_folder() -> None:
    """Give Numba a cache folder that can be written, unless one is chosen already."""
    home_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    existing = next(folder for folder in (home_cache, *home_cache.parents) if folder.exists())
    if "NUMBA_CACHE_DIR" in os.environ or any(os.access(f, os.W_OK) for f in (Path(__file__).parent, existing)):
        return
    os.environ["NUMBA_CACHE_DIR"] = tempfile.mkdtemp(prefix="dsasim-numba-")


_ensure_cache_folder()
