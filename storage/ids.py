"""Identifiers: UUIDv7 (RFC 9562, 5.7), made where the thing is made, so that retries are harmless."""

from __future__ import annotations

import secrets
from uuid import UUID, uuid5

from storage.clock import Clock


def new_id(clock: Clock) -> UUID:
    """A UUIDv7 whose first 48 bits are the wall clock in milliseconds.

    Ids made in one process sort by creation to the millisecond; nothing may rely on more than that.
    """
    milliseconds = (clock.now_us() // 1000) & ((1 << 48) - 1)
    value = milliseconds << 80 | 0x7 << 76 | secrets.randbits(12) << 64 | 0b10 << 62 | secrets.randbits(62)
    return UUID(int=value)


def parse_id(text: str) -> UUID:
    """The id written as `text` (hyphenated or plain hexadecimal).

    Raises:
        ValueError: `text` is no UUID.
    """
    return UUID(text)


def hall_chain(hall_id: UUID, kind: str) -> UUID:
    """The stream id of a hall's one chain of a `StreamKind` (`map`, `binding`, `hold`, `view`): always the same."""
    return uuid5(hall_id, kind)
