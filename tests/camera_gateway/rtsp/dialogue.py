"""Reads the dialogues of device families (dialogues/README.md) and plays the camera's part of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from camera_gateway.packets import SourceFault, SourceSettings
from tests.camera_gateway.rtsp.fakes import Harness, digest_fits, frame

FOLDER = Path(__file__).with_name("dialogues")
FIRST_PORT = 40_000
Cut = Callable[[bytes], Iterator[bytes]]


@dataclass
class Step:
    """Lines of one kind that follow each other: `kind` is the sign they begin with."""

    kind: str
    lines: list[str] = field(default_factory=list)


@dataclass
class Dialogue:
    """One file."""

    name: str
    options: dict[str, str]
    steps: list[Step]

    @property
    def settings(self) -> SourceSettings:
        settings = SourceSettings(self.options["uri"])
        given: dict[str, Any] = {
            name: self.options[name] for name in ("username", "password", "transport") if name in self.options
        }
        given |= {name: self.options.get(name) == "yes" for name in ("audio", "metadata")}
        return replace(settings, **given)

    def camera_bytes(self) -> bytes:
        """All that the camera says, in one piece."""
        return b"".join(self.sent(step) for step in self.steps if step.kind in "<$.")

    def sent(self, step: Step) -> bytes:
        """What the camera sends in this step."""
        if step.kind == ".":
            return b"".join(bytes.fromhex(line) for line in step.lines)
        if step.kind == "$":
            heads = (line.split(" ", 1) for line in step.lines)
            return b"".join(frame(int(channel), bytes.fromhex(payload)) for channel, payload in heads)
        return _text(step.lines, "\n" if self.options.get("line-end") == "lf" else "\r\n")


def read(path: Path) -> Dialogue:
    """Read one file."""
    options: dict[str, str] = {}
    steps: list[Step] = []
    for line in path.read_text("utf-8").splitlines():
        kind, rest = line[:1], line[2:]
        if kind in ("#", ""):
            continue
        if kind not in "><$.@=":
            name, _, value = line.partition(": ")
            options[name] = value
        elif steps and steps[-1].kind == kind and kind in "><" and not _begins(kind, rest):
            steps[-1].lines.append(rest)
        else:
            steps.append(Step(kind, [rest]))
    return Dialogue(path.stem, options, steps)


def _begins(kind: str, line: str) -> bool:
    return kind == ">" and (line.endswith(" RTSP/1.0") or line.startswith("RTSP/1.0 "))


def _text(lines: list[str], end: str) -> bytes:
    """A message, its length filled in."""
    text = end.join(lines) + end
    head, blank, body = text.partition(end + end)
    return (head.replace("Content-Length: *", f"Content-Length: {len(body.encode())}") + blank + body).encode()


class Replay:
    """Plays a dialogue against a session; `cut` divides what the camera sends into pieces."""

    def __init__(self, dialogue: Dialogue, cut: Cut) -> None:
        self.dialogue = dialogue
        self._cut = cut
        datagrams = dialogue.options.get("datagrams") == "yes"
        self.harness = Harness(dialogue.settings, udp_ports=_ports if datagrams else None)
        self._pending: list[str] = []
        self._fault: SourceFault | None = None

    def run(self) -> None:
        """Play it to its end."""
        self._say(self.harness.begin())
        for step in self.dialogue.steps:
            if step.kind == ">":
                self._expect(step)
            elif step.kind in "<$.":
                self._send(self.dialogue.sent(step))
            elif step.kind == "@":
                self._do(step.lines[0])
            else:
                self._check(step.lines[0])
        assert self._pending == []
        assert self._fault is None

    def _send(self, data: bytes) -> None:
        assert self._fault is None
        try:
            for piece in self._cut(data):
                self._say(self.harness.send(piece))
        except SourceFault as fault:
            self._fault = fault

    def _say(self, text: str) -> None:
        self._pending += [part + "\r\n\r\n" for part in text.split("\r\n\r\n") if part]

    def _do(self, what: str) -> None:
        session = self.harness.session
        if what == "reports":
            session.reports(0, 0.0)
            output = self.harness.take()
            assert output.startswith("$")
            return
        {"keep-alive": session.keep_alive, "end": session.end}[what]()
        self._say(self.harness.take())

    def _expect(self, step: Step) -> None:
        assert self._pending, f"nothing was said; expected {step.lines[0]}"
        first, *fields = self._pending.pop(0).removesuffix("\r\n\r\n").split("\r\n")
        assert first == step.lines[0]
        known = dict(line.split(": ", 1) for line in fields)
        for wanted in step.lines[1:]:
            name, _, value = wanted.partition(": ")
            if name.startswith("-"):
                assert name[1:] not in known
            elif value == "*":
                method, uri, _ = first.split(" ")
                assert digest_fits(known[name], method, uri, self.dialogue.options["password"])
            else:
                assert known[name] == value

    def _check(self, what: str) -> None:
        name, _, rest = what.partition(" ")
        {"opened": self._opened, "fault": self._faulted, "packets": self._packets, "every": self._every}[name](rest)

    def _opened(self, rest: str) -> None:
        match = re.fullmatch(r"(\S+) (\S+) (\S+?):(.*)", rest)
        assert match is not None
        [info] = self.harness.listener.infos
        audio = info.audio.codec.value if info.audio is not None else "-"
        assert (info.transport, info.codec.value, audio, info.note) == (*match.groups()[:3], match[4].strip())

    def _faulted(self, rest: str) -> None:
        assert self._fault is not None
        assert f"{self._fault.reason.value}: {self._fault.evidence}" == rest
        self._fault = None

    def _packets(self, rest: str) -> None:
        kind, packets, controls = rest.split()
        track = self.harness.track(kind)
        assert (len(track.packets), len(track.controls)) == (int(packets), int(controls))

    def _every(self, rest: str) -> None:
        assert self.harness.session.keep_alive_s == float(rest)


def _ports(index: int) -> tuple[int, int]:
    return FIRST_PORT + 2 * index, FIRST_PORT + 2 * index + 1
