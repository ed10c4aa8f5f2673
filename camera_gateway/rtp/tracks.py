"""Which class reads which media stream."""

from __future__ import annotations

from typing import Protocol

from camera_gateway.fmp4.nal import VideoCodec
from camera_gateway.packets import AudioFormat, SourceCounters, SourceListener, SourceSettings
from camera_gateway.rtp.audio import AacTrack, G711Track
from camera_gateway.rtp.description import MediaDescription
from camera_gateway.rtp.h264 import H264Track
from camera_gateway.rtp.h265 import H265Track
from camera_gateway.rtp.metadata import MetadataTrack
from camera_gateway.rtp.receiver import refusal


class Track(Protocol):
    """One media stream of a session. Everything is called in one thread."""

    def take(self, data: memoryview, start: int, end: int, arrival_us: int, arrival_s: float) -> None:
        """One RTP packet, `data[start:end]`. The view is used during the call only.

        Raises:
            SourceFault: the stream turns out to be of a kind that is not recorded.
        """
        ...

    def take_control(self, data: memoryview, start: int, end: int, arrival_us: int, arrival_s: float) -> None:
        """One compound RTCP packet.

        Raises:
            SourceFault: the camera ended its video.
        """
        ...

    def report(self, now_us: int, now_s: float) -> bytes:
        """A compound RTCP packet for the camera: what was received (RFC 3550 6.4.2), and our name."""
        ...

    def flush(self) -> None:
        """The session is over: hand on what is complete."""
        ...

    def described(self) -> VideoCodec | AudioFormat | None:
        """What the track carries, as far as the session description says; None for metadata."""
        ...


def make_track(
    media: MediaDescription,
    settings: SourceSettings,
    listener: SourceListener,
    counters: SourceCounters,
    *,
    ordered: bool,
) -> Track:
    """The track for a media description. `ordered`: packets come over TCP; else they may overtake each other.

    Raises:
        SourceFault: no_media, for any codec or packetisation that is not recorded.
    """
    if media.rate <= 0:
        raise refusal(f"a clock of {media.rate} Hz")
    match media.kind, media.encoding:
        case "video", "H264":
            return H264Track(media, settings, listener, counters, ordered=ordered)
        case "video", "H265":
            return H265Track(media, settings, listener, counters, ordered=ordered)
        case "audio", "MPEG4-GENERIC":
            return AacTrack(media, settings, listener, counters, ordered=ordered)
        case "audio", "PCMA" | "PCMU":
            return G711Track(media, settings, listener, counters, ordered=ordered)
        case "application", "VND.ONVIF.METADATA":
            return MetadataTrack(media, settings, listener, counters, ordered=ordered)
        case "application", encoding if encoding.startswith("VND.ONVIF.METADATA"):
            raise refusal(f"compressed metadata ({encoding[:40]})")
        case _:
            raise refusal(f"the codec {media.encoding[:40] or '(none)'} of {media.kind[:20] or '(nothing)'}")
