"""Makes `SunhallSansSC-Regular.otf` from Debian's fonts-noto-cjk. Needs fonttools, which Sunhall itself does not.

python3 -m venv /tmp/fonts && /tmp/fonts/bin/pip install fonttools
/tmp/fonts/bin/python deploy/fonts/make_subset.py [/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc]
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

SOURCE = Path("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc")
TARGET = Path(__file__).with_name("SunhallSansSC-Regular.otf")
SIMPLIFIED_CHINESE_FACE = 2
EXTRA = "✓✔✗✘●○◆◇■□▲△▼▽★☆①②③④⑤⑥⑦⑧⑨⑩㎡℃№￥€°±×÷·–—‘’“”…‰※→←↑↓"
# Characters of names and places that GB2312 lacks.
NEWER = "堃玥喆昇珺瑄祎祐翀赟钰镕頔龑陞瑨珅琇畯燊湉浚翾茳筠晞昉淏烺煊甯妘娈婳婠嫕晳"


def gb2312(first_row: int, last_row: int) -> set[str]:
    """The characters of these rows of GB2312 (1 to 9: symbols; 16 to 55, 56 to 87: hanzi)."""
    found = set()
    for row in range(first_row, last_row + 1):
        for cell in range(1, 95):
            raw = bytes([0xA0 + row, 0xA0 + cell])
            found.add(raw.decode("gb2312", errors="ignore"))
    found.discard("")
    return found


def characters() -> set[str]:
    """Everything the subset holds."""
    ascii_and_latin = {chr(code) for code in [*range(0x20, 0x7F), *range(0xA0, 0x100)]}
    return ascii_and_latin | gb2312(1, 3) | gb2312(16, 87) | set(EXTRA) | set(NEWER)


def main() -> None:
    """Subset the source font, rename it and write it beside this file."""
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else SOURCE
    subset: Any = importlib.import_module("fontTools.subset")
    options = subset.Options(layout_features=["kern", "palt"], desubroutinize=False, hinting=False, notdef_outline=True)
    options.name_IDs = [0, 1, 2, 3, 4, 5, 6, 13, 14]
    options.font_number = SIMPLIFIED_CHINESE_FACE
    font = subset.load_font(str(source), options)
    worker = subset.Subsetter(options)
    worker.populate(text="".join(sorted(characters())))
    worker.subset(font)
    for record in font["name"].names:
        renamed = {1: "Sunhall Sans SC", 3: "SunhallSansSC-Regular", 4: "Sunhall Sans SC", 6: "SunhallSansSC-Regular"}
        if record.nameID in renamed:
            record.string = renamed[record.nameID]
    font["CFF "].cff.fontNames[0] = "SunhallSansSC-Regular"
    subset.save_font(font, str(TARGET), options)
    print(f"{TARGET.name}: {TARGET.stat().st_size} bytes, {len(characters())} characters")


if __name__ == "__main__":
    main()
