"""What an RTSP answer that says no means for the recording: the gap's reason, and what exactly was seen."""

from __future__ import annotations

from camera_gateway.packets import SourceFault
from camera_gateway.rtsp.messages import Response, shown
from storage.model import GapReason

_REASONS = {
    401: GapReason.AUTHENTICATION,
    403: GapReason.AUTHENTICATION,
    404: GapReason.NO_MEDIA,
    410: GapReason.NO_MEDIA,
}
"""The table of docs/recording.md, "Gaps and their reasons"; every other refusal is `refused`."""


def seen(response: Response, method: str) -> str:
    """Status and phrase as the camera sent them: `RTSP 453 Not Enough Bandwidth to SETUP`."""
    return " ".join(filter(None, ("RTSP", str(response.status), shown(response.phrase), "to", method)))


def refusal(response: Response, method: str, why: str = "", *, unreadable: bool = False) -> SourceFault:
    """The fault of a request that was not granted; `why` says more than the status does (`unreadable`: SourceFault)."""
    if 300 <= response.status < 400:
        why = "the camera points elsewhere, and that is not followed"
    evidence = seen(response, method)
    reason = _REASONS.get(response.status, GapReason.REFUSED)
    return SourceFault(reason, f"{evidence}: {why}" if why else evidence, unreadable=unreadable)
