"""The audit row that must be committed before the first byte of any footage."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from uuid import UUID

from console.services.access import Actor
from console.services.audit_log import AuditLog, Detail
from storage.archive.catalog import Catalog
from storage.clock import Clock

AGAIN_S = 300.0
"""Further requests of one session for the same subject under the same purpose share a row for this long."""
REMEMBERED = 20_000

_Key = tuple[bytes, UUID | None, str, str, str]


class FootageAudit:
    """Records that somebody is about to see footage. Blocking; thread-safe.

    A player asks for one segment in several ranges, and a scrubber asks for many pictures of one minute: those share
    the row that was committed before the first of them. What differs in its detail (another stretch of the same
    stream) gets a row of its own.
    """

    def __init__(self, catalog: Catalog, audit: AuditLog, clock: Clock) -> None:
        self._catalog = catalog
        self._audit = audit
        self._clock = clock
        self._lock = threading.Lock()
        self._recorded: OrderedDict[_Key, float] = OrderedDict()

    def record(self, actor: Actor, action: str, subject: str, detail: Detail | None = None) -> None:
        """Commit the row, unless this session has one for the subject; when it raises, nothing may be shown."""
        key = (actor.session_hash, actor.purpose_id, action, subject, json.dumps(detail, sort_keys=True))
        now = self._clock.monotonic()
        with self._lock:
            recorded = self._recorded.get(key)
        if recorded is not None and now - recorded < AGAIN_S:
            return
        with self._catalog.write() as conn:
            self._audit.record(conn, actor, action, subject, detail=detail)
        with self._lock:
            self._recorded[key] = now
            self._recorded.move_to_end(key)
            while len(self._recorded) > REMEMBERED:
                self._recorded.popitem(last=False)
