"""Who signed a machine's request: the part of a request that signatures cover, and the check for workstations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select

from storage.archive.catalog import Catalog
from storage.archive.tables import workstation
from storage.clock import Clock
from storage.identity.keys import PublicKey
from storage.identity.requests import SeenNonce, Verifier, verify_headers


@dataclass(frozen=True)
class SignedRequest:
    """What a signature covers: the target is `PATH?QUERY` as it came over the wire."""

    headers: Mapping[str, str]
    method: str
    target: str
    body: bytes


@dataclass(frozen=True, slots=True)
class SignedWorkstation:
    """An enrolled workstation that signed this request, and the request's body."""

    workstation_id: UUID
    body: bytes


@dataclass(frozen=True, slots=True)
class WorkstationSignatures:
    """Checks requests of agents; a revoked workstation's key is unknown at once."""

    catalog: Catalog
    clock: Clock
    seen_nonce: SeenNonce

    def verify(self, request: SignedRequest) -> SignedWorkstation:
        """Who signed. Raises NotAuthenticated (see `verify_headers`)."""
        headers, body = request.headers, request.body
        key_id = verify_headers(headers, request.method, request.target, body, self._key, self.seen_nonce, self.clock)
        return SignedWorkstation(UUID(key_id), body)

    def _key(self, key_id: str) -> Verifier | None:
        try:
            wanted = UUID(key_id)
        except ValueError:
            return None
        query = select(workstation.c.public_key).where(workstation.c.id == wanted, workstation.c.revoked_us.is_(None))
        with self.catalog.read() as conn:
            found = conn.execute(query).scalar()
        return PublicKey(bytes(found)) if found is not None else None
