"""What a counter PC shows: an approval system's form for the case at the window, filled in as time goes by.

Everybody on the forms is invented. The machine strip at the top left (`deploy.virtual_camera.strip`) says when the
picture was painted, as on the virtual cameras, so that a program can compare the two.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from deploy.fonts import font_path
from deploy.virtual_camera import strip
from storage.clock import US

HALL_ZONE = timezone(timedelta(hours=8))

_SURNAMES = "王李张刘陈杨赵黄周吴"
_STREETS = ("琅琊大道", "清流路", "丰乐大道", "会峰路", "龙蟠大道", "南谯路")
_MATERIALS = ("身份证明", "申请表", "场所使用证明", "法定代表人任职文件", "章程", "委托书")
_STEPS = ("叫号", "核验身份", "录入信息", "核对材料", "提交受理")
_CHARACTERS_A_SECOND = 5.0
_SECONDS_A_MATERIAL = 8.0

_INK, _FAINT, _LINE = (30, 41, 59), (100, 116, 139), (203, 213, 225)
_BLUE, _PALE, _GREEN, _PAPER = (29, 78, 156), (232, 240, 251), (22, 132, 84), (255, 255, 255)


@dataclass(frozen=True, slots=True)
class Task:
    """The case that the window is serving now."""

    case_number: str
    item: str
    ticket: str
    staff: str
    since_us: int


@dataclass(frozen=True, slots=True)
class Scene:
    """All that decides a picture but its strip: equal scenes look the same."""

    task: Task | None
    minute: str
    seconds: int  # since the task began: the form counts them, so a PC at work never stands still for longer
    typed: int
    checked: int


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(font_path()), size)


class Desktop:
    """Paints the desktop of one window's PC."""

    def __init__(self, window: int, *, width: int = 1920, height: int = 1080) -> None:
        self.window = window
        self.width = width
        self.height = height
        self._counter = 0
        self._last: tuple[Scene, Image.Image] | None = None

    def picture(self, task: Task | None, now_us: int) -> Image.Image:
        """The desktop at `now_us`. While nothing changes it is the very picture from before, strip included."""
        scene = self._scene(task, now_us)
        if self._last is None or self._last[0] != scene:
            self._counter += 1
            self._last = (scene, self._paint(scene, strip.Stamp(now_us // 1000, self._counter, self.window)))
        return self._last[1]

    def _scene(self, task: Task | None, now_us: int) -> Scene:
        minute = f"{datetime.fromtimestamp(now_us // US, UTC).astimezone(HALL_ZONE):%H:%M  %Y-%m-%d}"
        if task is None:
            return Scene(None, minute, 0, 0, 0)
        seconds = max(0, now_us - task.since_us) / US
        longest = sum(len(value) for _, value in _fields(task))
        typed = int(seconds * _CHARACTERS_A_SECOND)
        checked = int(max(0.0, seconds - longest / _CHARACTERS_A_SECOND) / _SECONDS_A_MATERIAL)
        return Scene(task, minute, int(seconds), min(typed, longest), min(checked, len(_MATERIALS)))

    def _paint(self, scene: Scene, stamp: strip.Stamp) -> Image.Image:
        image = Image.new("RGB", (self.width, self.height), (241, 245, 249))
        pen = ImageDraw.Draw(image)
        self._frame(pen, scene)
        if scene.task is None:
            self._waiting(pen)
        else:
            self._form(pen, scene.task, scene)
        return _with_strip(image, stamp)

    def _frame(self, pen: ImageDraw.ImageDraw, scene: Scene) -> None:
        """Title bar beside the strip, menu, taskbar."""
        pen.rectangle((0, 0, self.width, 95), fill=_BLUE)
        pen.text((610, 26), "政务服务综合窗口受理系统", font=_font(38), fill=_PAPER)
        staff = scene.task.staff if scene.task else ""
        pen.text((self.width - 40, 48), f"{self.window}号窗口  {staff}", font=_font(26), fill=_PAPER, anchor="rm")
        pen.rectangle((0, 96, 250, self.height - 56), fill=(248, 250, 252))
        for row, entry in enumerate(("叫号接待", "收件受理", "补正通知", "办结送达", "评价查询", "台账")):
            top = 130 + row * 68
            if row == 1:
                pen.rectangle((0, top - 14, 250, top + 46), fill=_PALE)
                pen.rectangle((0, top - 14, 6, top + 46), fill=_BLUE)
            pen.text((48, top), entry, font=_font(26), fill=_BLUE if row == 1 else _INK)
        pen.rectangle((0, self.height - 56, self.width, self.height), fill=(30, 41, 59))
        pen.text((30, self.height - 28), "开始   受理系统   高拍仪   读卡器", font=_font(24), fill=_PAPER, anchor="lm")
        pen.text((self.width - 30, self.height - 28), scene.minute, font=_font(24), fill=_PAPER, anchor="rm")

    def _waiting(self, pen: ImageDraw.ImageDraw) -> None:
        middle = (self.width + 250) // 2
        pen.text((middle, 460), "等待叫号", font=_font(64), fill=_FAINT, anchor="mm")
        pen.text((middle, 540), "按“叫号”键请下一位办事人", font=_font(28), fill=_FAINT, anchor="mm")

    def _form(self, pen: ImageDraw.ImageDraw, task: Task, scene: Scene) -> None:
        pen.rectangle((290, 126, self.width - 40, self.height - 90), fill=_PAPER, outline=_LINE)
        pen.text((330, 150), task.item, font=_font(34), fill=_INK)
        pen.text((330, 206), "办件编号", font=_font(24), fill=_FAINT)
        pen.text((460, 198), task.case_number, font=_font(36), fill=_BLUE)
        pen.text((self.width - 80, 220), f"排队号 {task.ticket}", font=_font(26), fill=_INK, anchor="rm")
        elapsed = f"已办理 {scene.seconds // 60:02d}:{scene.seconds % 60:02d}"
        pen.text((self.width - 80, 176), elapsed, font=_font(26), fill=_FAINT, anchor="rm")
        self._progress(pen, scene)
        left = scene.typed
        for row, (label, value) in enumerate(_fields(task)):
            top = 360 + row * 66
            pen.text((330, top + 8), label, font=_font(26), fill=_FAINT)
            editing = 0 < left < len(value) or (left == 0 and scene.typed == 0 and row == 0)
            pen.rectangle((520, top, 1130, top + 48), outline=_BLUE if editing else _LINE, width=2)
            pen.text((534, top + 8), value[: max(0, left)] + ("|" if editing else ""), font=_font(26), fill=_INK)
            left = max(0, left - len(value))
        self._materials(pen, scene)

    def _progress(self, pen: ImageDraw.ImageDraw, scene: Scene) -> None:
        done = 1 + (scene.typed > 0) + (scene.typed > 20) + (scene.checked > 0) + (scene.checked == len(_MATERIALS))
        for index, step in enumerate(_STEPS):
            left = 330 + index * 290
            colour = _GREEN if index < done else _LINE
            pen.ellipse((left, 276, left + 36, 312), fill=colour)
            pen.text((left + 18, 294), str(index + 1), font=_font(22), fill=_PAPER, anchor="mm")
            pen.text((left + 50, 294), step, font=_font(24), fill=_INK if index < done else _FAINT, anchor="lm")

    def _materials(self, pen: ImageDraw.ImageDraw, scene: Scene) -> None:
        pen.text((1190, 360), "申请材料", font=_font(26), fill=_FAINT)
        for row, material in enumerate(_MATERIALS):
            top = 410 + row * 66
            checked = row < scene.checked
            pen.rectangle((1190, top, 1222, top + 32), outline=_GREEN if checked else _LINE, width=3)
            if checked:
                pen.line((1196, top + 16, 1204, top + 25, 1217, top + 7), fill=_GREEN, width=4)
            pen.text((1240, top - 2), material, font=_font(26), fill=_INK)
            pen.text(
                (self.width - 80, top - 2), "已核对" if checked else "待核对", font=_font(24), anchor="ra", fill=_FAINT
            )


def _fields(task: Task) -> list[tuple[str, str]]:
    """The form's entries, invented from the case number and therefore the same each time."""
    seed = hashlib.sha256(task.case_number.encode()).digest()
    name = _SURNAMES[seed[0] % len(_SURNAMES)]
    street = _STREETS[seed[1] % len(_STREETS)]
    return [
        ("申请人", f"{name}某某"),
        ("证件类型", "居民身份证"),
        ("证件号码", f"341100********{seed[2] % 10}{seed[3] % 10}{seed[4] % 10}X"),
        ("联系电话", f"139****{seed[5] % 10}{seed[6] % 10}{seed[7] % 10}{seed[8] % 10}"),
        ("通讯地址", f"示范市{street}{seed[9]}号"),
        ("办理事项", task.item),
        ("备注", "材料齐全,符合受理条件,当场出具受理通知书"),
    ]


def _with_strip(image: Image.Image, stamp: strip.Stamp) -> Image.Image:
    pixels = np.array(image)
    luma = np.empty(pixels.shape[:2], dtype=np.uint8)
    strip.draw(luma, image.width, stamp)
    cell = image.width // strip.CELLS_PER_WIDTH
    box = np.s_[: strip.ROWS * cell, : strip.COLUMNS * cell]
    pixels[box] = luma[box][..., np.newaxis]
    return Image.fromarray(pixels)
