"""What hostile bytes meet first. A target takes bytes and may raise only what its callers expect."""

from __future__ import annotations

import io
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID
from zoneinfo import ZoneInfo

from camera_gateway.fmp4 import audio, h264, h265, reader, salvage
from camera_gateway.fmp4.boxes import children
from camera_gateway.motion import MAX_DOCUMENT, motion_events
from camera_gateway.onvif.addresses import pin_stream_uri, pin_xaddr
from camera_gateway.onvif.ws_discovery import place, read_matches
from camera_gateway.onvif.xml_guard import ForbiddenXml, NotXml, parse_xml
from camera_gateway.rtsp import messages, sdp
from console.services.calendar_reading import MOST_BYTES as MOST_CALENDAR
from console.services.calendar_reading import checked_days, read_calendar
from console.services.calendar_reading import decode as decode_calendar
from console.services.event_parsing import EventContext, parse_events, read_batch
from deploy.virtual_camera import strip
from screen_capture import container, decode
from storage.clock import US
from storage.errors import SunhallError
from tests.fuzz.rtp_targets import RTP_TARGETS
from tests.fuzz.rtsp import digest_challenge, rtsp_messages, rtsp_session, session_description

PROBE = UUID("6f7bd02c-40c4-4c6a-9a3f-7c4f6c0a2b11")
"""The probe that answers in the corpus of `discovery` relate to."""
_HOST = "192.0.2.7"
_MEMORY = Path("/dev/shm")
CORPUS = Path(__file__).with_name("corpus")
GROWN = "grown-"
PACKED = ".z"
EXPECTED = (SunhallError, NotXml, ForbiddenXml)
LONGEST: dict[str, int] = {
    "audio_config": 1024,
    "calendar": MOST_CALENDAR,
    "camera_urls": 64 * 1024,
    "digest_challenge": messages.LONGEST_HEAD,
    "h264_parameters": messages.LONGEST_BODY,
    "h265_parameters": messages.LONGEST_BODY,
    "discovery": 0xFFFF,
    "motion": MAX_DOCUMENT,
    "rtcp_packets": 0xFFFF,
    "session_description": messages.LONGEST_BODY,
    "strip_bytes": 64,
}
"""Bytes that a target ever sees, where its callers bound them; what is longer is no test of its cost."""
_CONTEXT = EventContext(ZoneInfo("Asia/Shanghai"), 1_790_000_000 * US)


def screen_segment(data: bytes) -> None:
    """An upload of an agent: index, then every picture."""
    index = decode.read_index(data)
    for number in range(min(len(index.pictures), 4)):
        decode.picture_at(data, number)


def torn_screen_segment(data: bytes) -> None:
    """What a crash left of a screen segment."""
    container.salvage(data)


def salvaged_file(data: bytes) -> None:
    """The same on disk: cut to whole fragments, and whole afterwards."""
    with tempfile.NamedTemporaryFile(dir=_MEMORY if _MEMORY.is_dir() else None) as file:
        file.write(data)
        file.flush()
        path = Path(file.name)
        facts = salvage.salvage(path)
        if salvage.inspect(path) != facts:
            raise AssertionError("a salvaged file says something else of itself")


def recorded_file(data: bytes) -> None:
    """A file in the staging folder after a crash."""
    file = io.BytesIO(data)
    head = reader.read_head(file)
    for _ in reader.read_fragments(file, head.size):
        pass


def audio_config(data: bytes) -> None:
    """An AudioSpecificConfig out of a camera's session description, and the sample entry made of it."""
    audio.aac_frame_samples(48_000, data)
    entry = audio.aac_track(48_000, 2, data).entry
    audio.audio_codec(entry, next(children(entry)))


def h264_parameters(data: bytes) -> None:
    """An SPS out of a camera's stream."""
    h264.parse_sps(data)


def h265_parameters(data: bytes) -> None:
    """An SPS out of a camera's stream."""
    h265.parse_sps(data)


def soap(data: bytes) -> None:
    """A device's answer."""
    parse_xml(data)


def discovery(data: bytes) -> None:
    """A datagram that says it is an answer to our probe, and where the device in it is to be found."""
    for match in read_matches(data, frozenset({PROBE})):
        place(match, _HOST)
        for address in match.xaddrs:
            _stays(pin_xaddr(address, _HOST, 80))


def camera_urls(data: bytes) -> None:
    """The URI of a stream as a device gives it: whatever it says, only the device itself is asked."""
    uri = data.decode("utf-8", "replace")
    _stays(pin_xaddr(uri, _HOST, 80))
    pinned = pin_stream_uri(uri, _HOST)
    _stays(pinned)
    if pinned is not None:
        asked = sdp.clean_url(pinned)
        _stays(asked)
        if not asked.isascii() or len(asked.split()) != 1:
            raise AssertionError("a URL that breaks the request line")


def _stays(url: str | None) -> None:
    if url is not None and urlsplit(url).hostname != _HOST:
        raise AssertionError(f"another host: {url}")


def events(data: bytes) -> None:
    """The body of an intake request."""
    parse_events(read_batch(data), _CONTEXT)


def strip_bytes(data: bytes) -> None:
    """The twelve bytes of a machine strip."""
    strip.decode(data)


def motion(data: bytes) -> None:
    """A document of a camera's metadata stream."""
    motion_events(data)


def calendar(data: bytes) -> None:
    """A file that somebody took for the year's holidays."""
    checked_days(read_calendar(decode_calendar(data), 2026).days.values(), 2026)


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        screen_segment,
        torn_screen_segment,
        recorded_file,
        salvaged_file,
        audio_config,
        h264_parameters,
        h265_parameters,
        soap,
        discovery,
        camera_urls,
        events,
        strip_bytes,
        motion,
        calendar,
        *RTP_TARGETS,
        rtsp_messages,
        rtsp_session,
        session_description,
        digest_challenge,
    )
}


def run(name: str, data: bytes) -> None:
    """Feed a target; what its callers expect is no finding.

    Raises:
        Exception: anything else is a finding.
    """
    try:
        TARGETS[name](data)
    except EXPECTED:
        return


def seeds(name: str) -> list[bytes]:
    """The corpus of a target: good inputs, every finding ever mended, and what reaches code that others do not."""
    return [read_entry(path) for path in sorted((CORPUS / name).iterdir())]


def read_entry(path: Path) -> bytes:
    """An entry of the corpus. Long ones are repetitions, and are kept compressed."""
    data = path.read_bytes()
    return zlib.decompress(data) if path.suffix == PACKED else data
