"""The packaged open font with Chinese characters (see README.md and OFL.txt in this folder)."""

from __future__ import annotations

from pathlib import Path


def font_path() -> Path:
    """The OpenType file; give it to `PIL.ImageFont.truetype`."""
    return Path(__file__).with_name("SunhallSansSC-Regular.otf")
