"""Recorded footage for the browser: camera segments by range, lists of segments. Audit row first, bytes after."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import Row, select

from console.services.access import Actor
from console.services.byte_ranges import ByteRange, choose_range
from console.services.footage_audit import FootageAudit
from console.services.view_log import ViewLog
from storage.archive import queries
from storage.archive.catalog import Catalog
from storage.archive.media import MediaKind
from storage.archive.tables import channel, device, segment, stream
from storage.clock import US, Clock
from storage.errors import InvalidInput, NotFound
from storage.model import CameraSegment, Span

LONGEST_LIST_US = 25 * 3600 * US
"""The longest stretch of segments listed at once: a day with its change of clocks."""


class Reader(Protocol):
    """Opens committed media wherever they are (`storage.archive.media.MediaReader`)."""

    def open(self, kind: MediaKind, object_id: UUID, start: int = 0, length: int | None = None) -> Iterator[bytes]: ...


class Converter(Protocol):
    """Makes viewing copies of H.265 segments (`gateway_client.HttpGateway`)."""

    def converted(self, gateway_id: UUID, segment_id: UUID) -> Iterator[bytes]: ...


@dataclass(frozen=True, slots=True)
class SegmentBytes:
    """Part of a segment on its way to a browser. No transaction is open."""

    range: ByteRange
    etag: str
    pieces: Iterator[bytes]


class Media:
    """Serves camera footage. Blocking; thread-safe."""

    def __init__(
        self,
        catalog: Catalog,
        reader: Reader,
        converter: Converter,
        audit: FootageAudit,
        views: ViewLog,
        clock: Clock,
    ) -> None:
        self._catalog = catalog
        self._reader = reader
        self._converter = converter
        self._audit = audit
        self._views = views
        self._clock = clock

    def open_segment(
        self, actor: Actor, segment_id: UUID, *, range_header: str | None, if_range: str | None
    ) -> SegmentBytes:
        """The bytes that were asked for; the audit row is committed before the object is opened.

        Raises:
            NotFound: `segment_not_found`.
            RangeNotSatisfiable: the range lies outside.
            StorageError, Unavailable: the object is missing or its store is away.
        """
        row = self._row(segment_id)
        etag = f'"{bytes(row.sha256).hex()}"'
        chosen = choose_range(range_header, row.bytes, etag=etag, if_range=if_range)
        detail = {"stream": str(row.stream_id), "t0_us": row.t0_us, "t1_us": row.t1_us}
        self._audit.record(actor, "segment_view", f"segment:{segment_id}", detail)
        pieces = self._reader.open("segment", segment_id, chosen.start, chosen.length)
        self._views.note(actor, "camera", row.stream_id, Span(row.t0_us, row.t1_us))
        return SegmentBytes(chosen, etag, pieces)

    def open_converted(self, actor: Actor, segment_id: UUID) -> Iterator[bytes]:
        """A viewing copy of an H.265 segment, for browsers that cannot play the original; on record as derived.

        Raises:
            NotFound: `segment_not_found`, or `not_convertible`: it is no H.265, or the gateway makes none.
            InvalidInput, Unavailable: it cannot be transcoded, or not now.
        """
        row = self._row(segment_id)
        detail = {"stream": str(row.stream_id), "t0_us": row.t0_us, "t1_us": row.t1_us, "derived": "h264"}
        self._audit.record(actor, "segment_view", f"segment:{segment_id}", detail)
        pieces = self._converter.converted(self._gateway_of(row.stream_id), segment_id)
        self._views.note(actor, "camera", row.stream_id, Span(row.t0_us, row.t1_us))
        return pieces

    def list_segments(self, actor: Actor, stream_id: UUID, span: Span) -> dict[str, Any]:
        """The stream's segments and coverage in `span`.

        Raises:
            InvalidInput: `span_invalid`: backwards, empty or longer than `LONGEST_LIST_US`.
            NotFound: `stream_not_found`.
        """
        if not 0 < span.t1_us - span.t0_us <= LONGEST_LIST_US:
            raise InvalidInput("span_invalid", "ask for more than nothing and at most 25 hours")
        now_us = self._clock.now_us()
        with self._catalog.read() as conn:
            if conn.execute(select(stream.c.id).where(stream.c.id == stream_id)).first() is None:
                raise NotFound("stream_not_found", "there is no such stream")
            found = queries.segments(conn, stream_id, span)
            coverage = queries.camera_coverage(conn, stream_id, span, now_us)
        detail = {"t0_us": span.t0_us, "t1_us": span.t1_us}
        self._audit.record(actor, "segments_list", f"stream:{stream_id}", detail)
        return {
            "t0_us": span.t0_us,
            "t1_us": span.t1_us,
            "now_us": now_us,
            "segments": [shown_segment(item) for item in found],
            "coverage": [shown_span(item.t0_us, item.t1_us, item.state, item.detail) for item in coverage],
        }

    def _gateway_of(self, stream_id: UUID) -> UUID:
        query = (
            select(device.c.gateway_id)
            .join(channel, channel.c.device_id == device.c.id)
            .join(stream, stream.c.channel_id == channel.c.id)
            .where(stream.c.id == stream_id)
        )
        with self._catalog.read() as conn:
            found: UUID | None = conn.execute(query).scalars().first()
        if found is None:
            raise NotFound("not_convertible", "no gateway knows that stream")
        return found

    def _row(self, segment_id: UUID) -> Row[Any]:
        with self._catalog.read() as conn:
            row = conn.execute(select(segment).where(segment.c.id == segment_id)).first()
        if row is None:
            raise NotFound("segment_not_found", "there is no such segment, or it was deleted by a retention rule")
        return row


def shown_segment(item: CameraSegment | Row[Any]) -> dict[str, Any]:
    """A segment, or its row, as the wire shows it."""
    return {
        "id": str(item.id),
        "t0_us": item.t0_us,
        "t1_us": item.t1_us,
        "media_duration": item.media_duration,
        "timescale": item.timescale,
        "codec": item.codec,
        "bytes": item.size_bytes if isinstance(item, CameraSegment) else item.bytes,
    }


def shown_span(t0_us: int, t1_us: int, state: str, detail: str) -> dict[str, Any]:
    """A stretch of coverage as the wire shows it."""
    return {"t0_us": t0_us, "t1_us": t1_us, "state": str(state), "detail": detail}
