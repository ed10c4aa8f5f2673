"""ONVIF metadata over RTP (ONVIF Streaming Specification, Metadata streaming): XML documents, plain."""

from __future__ import annotations

from camera_gateway.packets import SourceCounters, SourceListener, SourceSettings
from camera_gateway.rtp.description import MediaDescription
from camera_gateway.rtp.receiver import Receiver

MOST_BYTES = 256 << 10
"""A longer document is left out."""


class MetadataTrack(Receiver):
    """Joins the packets of a document: those of one timestamp, up to the marker bit.

    A document that lacks a packet, or is too long, is left out and counted in `counters.broken_units`.
    """

    def __init__(
        self,
        media: MediaDescription,
        settings: SourceSettings,
        listener: SourceListener,
        counters: SourceCounters,
        *,
        ordered: bool,
    ) -> None:
        super().__init__(media, settings, listener, counters, ordered=ordered)
        self._pieces: list[bytes] = []
        self._size = 0
        self._stamp = -1
        self._arrival_us = 0
        self._broken = False

    def described(self) -> None:
        """Metadata has no format of its own."""

    def flush(self) -> None:
        super().flush()
        self._forget()

    def _hole(self) -> None:
        # What is in hand lacks its end; what follows may lack its beginning, so up to the next end nothing is used.
        self._forget()
        self._broken = True

    def _restart(self) -> None:
        self._forget()
        self._stamp = -1

    def _payload(
        self, data: memoryview, at: int, end: int, marker: bool, stamp: int, arrival_us: int, arrival_s: float
    ) -> None:
        del arrival_s
        if stamp != self._stamp:
            if self._pieces:
                self._hand_on()  # without a marker bit, a new timestamp ends a document
            elif self._broken and _begins(data[at : min(at + 64, end)].tobytes()):
                self._broken = False
            self._stamp = stamp
        self._arrival_us = arrival_us
        if not self._broken:
            self._pieces.append(data[at:end].tobytes())
            self._size += end - at
            if self._size > MOST_BYTES or len(self._pieces) > MOST_BYTES // 64:
                self._forget()
                self._broken = True
        if marker:
            if self._pieces:
                self._hand_on()
            self._broken = False
            self._stamp = -1

    def _hand_on(self) -> None:
        document = b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        self._listener.metadata(document, self._arrival_us)

    def _forget(self) -> None:
        if self._pieces:
            self.counters.broken_units += 1
        self._pieces.clear()
        self._size = 0
        self._broken = False


def _begins(text: bytes) -> bool:
    """Whether a document begins here, as far as can be told."""
    return text.startswith(b"<?xml") or (text.startswith(b"<") and b"MetadataStream" in text)
