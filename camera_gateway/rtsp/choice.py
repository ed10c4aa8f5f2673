"""Which of a camera's media are asked for: its video always, audio and metadata only when they are wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from camera_gateway.packets import SourceFault, SourceSettings
from camera_gateway.rtp.description import MediaDescription
from camera_gateway.rtsp.messages import shown
from storage.model import GapReason

METADATA = "VND.ONVIF.METADATA"


@dataclass(slots=True)
class Choice:
    """What to set up, the video first, and what is left out although it was wanted."""

    media: list[MediaDescription] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def choose(
    media: Iterable[MediaDescription], settings: SourceSettings, check: Callable[[MediaDescription], object]
) -> Choice:
    """Choose from what is offered. `check` raises `SourceFault` for a medium that cannot be recorded.

    Raises:
        SourceFault: there is no video that can be recorded.
    """
    offered = list(media)
    choice = Choice([_video(offered, check)])
    if settings.audio:
        _add(choice, "audio", _audio(offered), check)
    if settings.metadata:
        _add(choice, "metadata", [m for m in offered if m.encoding.startswith(METADATA)], check)
    return choice


def _video(offered: list[MediaDescription], check: Callable[[MediaDescription], object]) -> MediaDescription:
    """The first video that can be recorded, whatever its direction is said to be: cameras mark live video in any."""
    first: SourceFault | None = None
    for medium in offered:
        if medium.kind != "video":
            continue
        try:
            check(medium)
        except SourceFault as fault:
            first = first or fault
        else:
            return medium
    raise first or SourceFault(GapReason.NO_MEDIA, "the camera's description names no video", unreadable=True)


def _audio(offered: list[MediaDescription]) -> list[MediaDescription]:
    """Audio from the camera; `sendonly` is a back channel to its loudspeaker (ONVIF Streaming 5.3)."""
    return [medium for medium in offered if medium.kind == "audio" and medium.direction not in ("sendonly", "inactive")]


def _add(
    choice: Choice, what: str, offered: list[MediaDescription], check: Callable[[MediaDescription], object]
) -> None:
    """Add the first that can be recorded, or say why none is: it must not cost the video."""
    note = f"the camera offers no {what}"
    for number, medium in enumerate(offered):
        try:
            check(medium)
        except SourceFault as fault:
            note = note if number else f"no {what}: {shown(fault.evidence, 200)}"
        else:
            choice.media.append(medium)
            return
    choice.notes.append(note)
