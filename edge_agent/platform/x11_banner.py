"""The banner's own process: `python -m edge_agent.platform.x11_banner`, a small window above all others (X11, libX11).

It lives apart because libX11 ends the process when the display server dies. One JSON line `{"text": "..."}` on standard
input shows that text; an empty line asks. Each line is answered by `visible` or `hidden`. The window takes no input.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import json
import sys
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

_FONTS = (
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/noto-cjk/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc",
    "/usr/share/fonts/truetype/wqy/wqy-zenhei.ttc",
    "/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf",
)
_WITHOUT_FONT = "RECORDED - this computer is being recorded"
_SIZE, _MARGIN = 15, 8
_GROUND, _INK, _DOT = (24, 33, 47), (240, 244, 250), (230, 60, 60)

_OVERRIDE_REDIRECT = 1 << 9
_Z_PIXMAP = 2
_IS_VIEWABLE = 2
_SHAPE_INPUT = 2


class _SetAttributes(ctypes.Structure):
    _fields_ = (
        *(
            (name, ctypes.c_ulong)
            for name in ("background_pixmap", "background_pixel", "border_pixmap", "border_pixel")
        ),
        *((name, ctypes.c_int) for name in ("bit_gravity", "win_gravity", "backing_store")),
        *((name, ctypes.c_ulong) for name in ("backing_planes", "backing_pixel")),
        ("save_under", ctypes.c_int),
        ("event_mask", ctypes.c_long),
        ("do_not_propagate_mask", ctypes.c_long),
        ("override_redirect", ctypes.c_int),
        ("colormap", ctypes.c_ulong),
        ("cursor", ctypes.c_ulong),
    )


class _Attributes(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int) for name in ("x", "y", "width", "height", "border_width", "depth")),
        ("visual", ctypes.c_void_p),
        ("root", ctypes.c_ulong),
        *((name, ctypes.c_int) for name in ("class_", "bit_gravity", "win_gravity", "backing_store")),
        *((name, ctypes.c_ulong) for name in ("backing_planes", "backing_pixel")),
        ("save_under", ctypes.c_int),
        ("colormap", ctypes.c_ulong),
        *((name, ctypes.c_int) for name in ("map_installed", "map_state")),
        *((name, ctypes.c_long) for name in ("all_event_masks", "your_event_mask", "do_not_propagate_mask")),
        ("override_redirect", ctypes.c_int),
        ("screen", ctypes.c_void_p),
    )


class Banner:
    """One override-redirect window at the top of the screen."""

    def __init__(self) -> None:
        """Raises OSError: no libX11 or no display."""
        self._x = _library("X11")
        opened = self._x.XOpenDisplay(None)
        if not opened:
            raise OSError("no display")
        self._display = ctypes.c_void_p(opened)
        self._screen: int = self._x.XDefaultScreen(self._display)
        self._root: int = self._x.XDefaultRootWindow(self._display)
        self._window = 0

    def show(self, text: str) -> None:
        """Replace what is shown."""
        if self._window:
            self._x.XDestroyWindow(self._display, ctypes.c_ulong(self._window))
        image = _render(text)
        width, height = image.size
        left = max((self._x.XDisplayWidth(self._display, self._screen) - width) // 2, 0)
        self._window = self._create(left, width, height)
        self._paint(image)
        self._let_input_through()
        self._x.XMapRaised(self._display, ctypes.c_ulong(self._window))
        self._x.XSync(self._display, 0)

    def visible(self) -> bool:
        """Raise the window and look whether it is shown, whole, above all others."""
        if not self._window:
            return False
        self._x.XRaiseWindow(self._display, ctypes.c_ulong(self._window))
        self._x.XSync(self._display, 0)
        attributes = _Attributes()
        self._x.XGetWindowAttributes(self._display, ctypes.c_ulong(self._window), ctypes.byref(attributes))
        return attributes.map_state == _IS_VIEWABLE and self._topmost() == self._window

    def _create(self, left: int, width: int, height: int) -> int:
        wanted = _SetAttributes(override_redirect=1)
        window: int = self._x.XCreateWindow(
            self._display, ctypes.c_ulong(self._root), left, 0, width, height, 0, 0, 1, None,
            ctypes.c_ulong(_OVERRIDE_REDIRECT), ctypes.byref(wanted),
        )  # fmt: skip
        return window

    def _paint(self, picture: Image.Image) -> None:
        """As the window's background, so that the server itself repaints it."""
        width, height = picture.size
        depth = self._x.XDefaultDepth(self._display, self._screen)
        raw = picture.tobytes("raw", "BGRX")
        visual = ctypes.c_void_p(self._x.XDefaultVisual(self._display, self._screen))
        image = ctypes.c_void_p(
            self._x.XCreateImage(self._display, visual, depth, _Z_PIXMAP, 0, raw, width, height, 32, width * 4)
        )
        pixmap = self._x.XCreatePixmap(self._display, ctypes.c_ulong(self._root), width, height, depth)
        context = ctypes.c_void_p(self._x.XDefaultGC(self._display, self._screen))
        self._x.XPutImage(self._display, ctypes.c_ulong(pixmap), context, image, 0, 0, 0, 0, width, height)
        self._x.XSetWindowBackgroundPixmap(self._display, ctypes.c_ulong(self._window), ctypes.c_ulong(pixmap))
        self._x.XFreePixmap(self._display, ctypes.c_ulong(pixmap))
        self._x.XSync(self._display, 0)
        self._x.XFree(image)  # only the head: the pixels belong to `raw`

    def _let_input_through(self) -> None:
        try:
            shape = _library("Xext")
        except OSError:
            return  # without the extension the banner covers its own small area for the mouse
        shape.XShapeCombineRectangles(self._display, ctypes.c_ulong(self._window), _SHAPE_INPUT, 0, 0, None, 0, 0, 0)

    def _topmost(self) -> int:
        root, parent, count = ctypes.c_ulong(), ctypes.c_ulong(), ctypes.c_uint()
        children = ctypes.POINTER(ctypes.c_ulong)()
        self._x.XQueryTree(
            self._display, ctypes.c_ulong(self._root), *map(ctypes.byref, (root, parent, children, count))
        )
        top = int(children[count.value - 1]) if count.value else 0
        if count.value:
            self._x.XFree(children)
        return top


def main() -> int:
    """Serve lines until standard input ends."""
    try:
        banner = Banner()
    except OSError:
        return 1
    for line in sys.stdin:
        if line.strip():
            banner.show(str(json.loads(line)["text"]))
        sys.stdout.write("visible\n" if banner.visible() else "hidden\n")
        sys.stdout.flush()
    return 0


def _library(name: str) -> Any:
    found = ctypes.util.find_library(name)
    if found is None:
        raise OSError(f"no lib{name}")
    library = ctypes.CDLL(found)
    for call in ("XOpenDisplay", "XDefaultVisual", "XDefaultGC", "XCreateImage"):
        if name == "X11":
            getattr(library, call).restype = ctypes.c_void_p
    for call in ("XDefaultRootWindow", "XCreateWindow", "XCreatePixmap"):
        if name == "X11":
            getattr(library, call).restype = ctypes.c_ulong
    return library


def _render(text: str) -> Image.Image:
    """`text` beside a red dot."""
    path = next((path for path in _FONTS if Path(path).exists()), None)
    font: Any = ImageFont.truetype(path, _SIZE) if path else ImageFont.load_default(_SIZE)
    shown = " ".join(text.split())[:120] if path else _WITHOUT_FONT
    width = round(font.getlength(shown)) + 4 * _MARGIN + _SIZE
    height = _SIZE + 2 * _MARGIN
    image = Image.new("RGB", (width, height), _GROUND)
    pen = ImageDraw.Draw(image)
    pen.ellipse((_MARGIN, _MARGIN + 2, _MARGIN + _SIZE - 3, _MARGIN + _SIZE - 1), _DOT)
    pen.text((2 * _MARGIN + _SIZE, height / 2), shown, _INK, font, anchor="lm")
    return image


if __name__ == "__main__":
    sys.exit(main())
