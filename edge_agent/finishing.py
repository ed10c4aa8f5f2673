"""Finishes segments whose writer died: the spool asks, the screen library knows how."""

from __future__ import annotations

from screen_capture.container import MAX_SEGMENT_US, pack_end, parse_index, salvage
from storage.errors import MediaError
from storage.spool.outbox import Finished


def finish_segment(body: bytes, known_until_us: int | None) -> Finished | None:
    """Index and footer for the pictures in `body`; None when it holds none.

    The last picture is claimed until the monitor's ledger ends (`known_until_us`), at least for a microsecond.
    """
    try:
        index = parse_index(body)
        return Finished(b"", index.t1_us, tuple(entry.t_us for entry in index.pictures))
    except MediaError:
        pass  # not finished, as expected
    try:
        header, pictures, size = salvage(body)
    except MediaError:
        return None
    if not pictures or size != len(body):
        return None
    last_us = pictures[-1].t_us
    t1_us = min(max(known_until_us or 0, last_us + 1), header.t0_us + MAX_SEGMENT_US)
    return Finished(pack_end(body, t1_us), t1_us, tuple(picture.t_us for picture in pictures))
