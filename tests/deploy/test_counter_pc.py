"""The virtual counter PC's pictures: readable by a program, still while nothing happens, without missing characters."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFont

from deploy.counter_pc import desktop as desktop_module
from deploy.counter_pc.desktop import Desktop, Task
from deploy.counter_pc.grabber import RenderedGrabber
from deploy.fonts import font_path
from deploy.virtual_camera import strip
from storage.clock import US, FakeClock

START_US = 1_790_000_000 * US
TASK = Task("滁政务〔2026〕第000123号", "个体工商户设立登记", "A023", "工号1003", START_US)


def stamp_of(picture: Image.Image) -> strip.Stamp:
    stamp = strip.read(np.asarray(picture.convert("L")))
    assert stamp is not None
    return stamp


def test_the_strip_says_when_the_picture_was_painted_and_for_which_window() -> None:
    stamp = stamp_of(Desktop(7).picture(TASK, START_US + 12_345_000))
    assert stamp.time_ms == START_US // 1000 + 12_345
    assert stamp.camera == 7


def test_the_form_goes_on_every_second_while_a_case_is_served() -> None:
    desktop = Desktop(7)
    stamps = [stamp_of(desktop.picture(TASK, START_US + second * US)) for second in range(100, 110)]
    assert [stamp.time_ms for stamp in stamps] == [START_US // 1000 + second * 1000 for second in range(100, 110)]


def test_nothing_moves_while_nobody_is_served() -> None:
    desktop = Desktop(7)
    first = desktop.picture(None, START_US)
    assert desktop.picture(None, START_US + 10 * US) is first


def test_the_same_case_shows_the_same_form() -> None:
    first = Desktop(7).picture(TASK, START_US + 90 * US)
    second = Desktop(7).picture(TASK, START_US + 90 * US)
    assert first.tobytes() == second.tobytes()


def test_the_grabber_hands_over_the_picture_in_the_order_of_the_port() -> None:
    clock = FakeClock(wall_us=START_US + 30 * US)
    desktop = Desktop(7)
    grabber = RenderedGrabber(desktop, lambda: TASK, clock)
    (monitor,) = grabber.monitors()
    words = grabber.grab(monitor).words()
    picture = np.asarray(desktop.picture(TASK, clock.now_us())).astype(np.uint32)
    assert np.array_equal(words, picture[..., 0] << 16 | picture[..., 1] << 8 | picture[..., 2])


def test_no_character_of_the_forms_is_missing_in_the_packaged_font() -> None:
    font = ImageFont.truetype(str(font_path()), 40)
    missing = font.getmask("\U0010fffd").getbbox(), bytes(font.getmask("\U0010fffd"))
    texts = [value for pair in desktop_module._fields(TASK) for value in pair]
    texts += [TASK.case_number, "".join(desktop_module._STEPS), "".join(desktop_module._MATERIALS)]
    texts += [
        desktop_module._SURNAMES,
        "".join(desktop_module._STREETS),
        "政务服务综合窗口受理系统等待叫号请下一位办事人",
    ]
    for character in set("".join(texts)) - {" "}:
        mask = font.getmask(character)
        assert (mask.getbbox(), bytes(mask)) != missing, character
