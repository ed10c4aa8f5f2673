"""HTTP byte ranges (RFC 9110, section 14) of one object. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from storage.errors import SunhallError

_ONE = re.compile(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*", re.ASCII | re.IGNORECASE)


class RangeNotSatisfiable(SunhallError):
    """The range lies outside the object (HTTP 416); `total` is its size in bytes."""

    def __init__(self, total: int) -> None:
        super().__init__("range_not_satisfiable", f"the object has {total} bytes", total=total)
        self.total = total


@dataclass(frozen=True, slots=True)
class ByteRange:
    """What to send: `length` bytes from `start` of `total`; `partial` when a range was asked (206)."""

    start: int
    length: int
    total: int
    partial: bool

    @property
    def content_range(self) -> str:
        """The value of `Content-Range`."""
        return f"bytes {self.start}-{self.start + self.length - 1}/{self.total}"


def choose_range(header: str | None, total: int, *, etag: str, if_range: str | None = None) -> ByteRange:
    """The bytes that a `Range` header asks for.

    As the standard allows, everything is sent when the header is malformed or names several ranges, and when
    `If-Range` is not exactly the present (strong) entity tag.

    Raises:
        RangeNotSatisfiable: the range begins beyond the end, or is an empty suffix.
    """
    everything = ByteRange(0, total, total, partial=False)
    match = _ONE.fullmatch(header or "")
    if match is None or (if_range is not None and if_range.strip() != etag):
        return everything
    first, last = match[1], match[2]
    if not first:
        return _suffix(last, total) if last else everything
    start = int(first)
    if last and int(last) < start:
        return everything
    if start >= total:
        raise RangeNotSatisfiable(total)
    end = min(int(last), total - 1) if last else total - 1
    return ByteRange(start, end - start + 1, total, partial=True)


def _suffix(last: str, total: int) -> ByteRange:
    length = min(int(last), total)
    if length == 0:
        raise RangeNotSatisfiable(total)
    return ByteRange(total - length, length, total, partial=True)
