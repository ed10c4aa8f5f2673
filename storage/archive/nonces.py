"""Nonces of signed requests in the catalog (`SeenNonce`): for stateless consoles that share one memory."""

from __future__ import annotations

from uuid import NAMESPACE_URL, UUID, uuid5

from sqlalchemy import delete, insert
from sqlalchemy.exc import IntegrityError

from storage.archive.catalog import Catalog
from storage.archive.tables import request_nonce
from storage.clock import US

_SWEEP_US = 60 * US


class CatalogNonces:
    """Remembers nonces in `request_nonce`; expired ones are swept at most once a minute."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._swept_us = 0

    def __call__(self, key_id: str, nonce: bytes, expires_us: int) -> bool:
        now_us = self._catalog.clock.now_us()
        with self._catalog.write() as conn:
            if now_us - self._swept_us >= _SWEEP_US:
                conn.execute(delete(request_nonce).where(request_nonce.c.expires_us <= now_us))
                self._swept_us = now_us
            try:
                with conn.begin_nested():
                    row = {"key_id": _key_uuid(key_id), "nonce": nonce, "expires_us": expires_us}
                    conn.execute(insert(request_nonce).values(**row))
            except IntegrityError:
                return True
        return False


def _key_uuid(key_id: str) -> UUID:
    """Nodes and workstations sign with UUIDs; an event source's code gets a stable one of its own."""
    try:
        return UUID(key_id)
    except ValueError:
        return uuid5(NAMESPACE_URL, f"sunhall:source:{key_id}")
