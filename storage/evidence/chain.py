"""The chain of each stream: a leaf is appended in its row's own transaction, by compare-and-swap on `stream_head`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import IntegrityError

from storage.archive import tables
from storage.errors import StaleEpoch
from storage.evidence.leaf import NO_PREVIOUS, Fact, Leaf, encode, leaf_hash
from storage.model import LeafKind, StreamKind


@dataclass(frozen=True)
class Head:
    """The end of a stream's chain. `sequence` 0: no leaf yet."""

    sequence: int
    hash: bytes
    epoch: int


def append_leaf(
    conn: Connection,
    stream_id: UUID,
    stream_kind: StreamKind,
    kind: LeafKind,
    facts: Mapping[str, Fact],
    epoch: int = 0,
) -> int:
    """Append one leaf to a stream's chain inside the caller's write transaction; returns its sequence (from 1).

    Sequences are strictly +1 in commit order: writers of one stream wait for each other at its head.

    Raises:
        StaleEpoch: the head was advanced under a later epoch (`epoch_stale`), or moved although we held it
            (`head_moved`): roll back.
        InvalidInput: the facts cannot be a leaf.
    """
    return append_leaves(conn, stream_id, stream_kind, [(kind, facts)], epoch)


def append_leaves(
    conn: Connection,
    stream_id: UUID,
    stream_kind: StreamKind,
    leaves: Sequence[tuple[LeafKind, Mapping[str, Fact]]],
    epoch: int = 0,
) -> int:
    """Append several leaves at once (deletions, reports): one look at the head for all; returns the last sequence.

    Raises as `append_leaf`.
    """
    head = lock_head(conn, stream_id, stream_kind)
    if epoch < head.epoch:
        raise StaleEpoch("epoch_stale", "another writer has taken this stream's lease", stream=str(stream_id))
    rows: list[dict[str, object]] = []
    sequence, digest = head.sequence, head.hash
    for kind, facts in leaves:
        sequence += 1
        body = encode(Leaf(kind, stream_id, sequence, digest, facts))
        digest = leaf_hash(body)
        rows.append({"stream_id": stream_id, "sequence": sequence, "kind": kind.value, "hash": digest, "body": body})
    if rows:
        _advance(conn, stream_id, head, Head(sequence, digest, epoch))
        conn.execute(insert(tables.leaf), rows)
    return sequence


def _advance(conn: Connection, stream_id: UUID, old: Head, new: Head) -> None:
    """Compare-and-swap of the stream's head."""
    heads = tables.stream_head
    moved = conn.execute(
        update(heads)
        .where(heads.c.stream_id == stream_id, heads.c.sequence == old.sequence)
        .where(heads.c.hash == old.hash, heads.c.epoch <= new.epoch)
        .values(sequence=new.sequence, hash=new.hash, epoch=new.epoch)
    )
    if moved.rowcount != 1:
        raise StaleEpoch("head_moved", "the stream's head moved under us", stream=str(stream_id))


def lock_head(conn: Connection, stream_id: UUID, stream_kind: StreamKind) -> Head:
    """The stream's head, locked until the transaction ends; made when the stream has none.

    Everything that reads before it writes to a stream takes this lock first.
    """
    head = _select_locked(conn, stream_id)
    if head is not None:
        return head
    try:
        with conn.begin_nested():
            conn.execute(
                insert(tables.stream_head).values(
                    stream_id=stream_id, kind=stream_kind.value, sequence=0, hash=NO_PREVIOUS, epoch=0
                )
            )
    except IntegrityError:  # another writer made it at the same moment; now it is there
        pass
    made = _select_locked(conn, stream_id)
    if made is None:
        raise StaleEpoch("head_moved", "the stream's head vanished", stream=str(stream_id))
    return made


def _select_locked(conn: Connection, stream_id: UUID) -> Head | None:
    heads = tables.stream_head
    query = select(heads.c.sequence, heads.c.hash, heads.c.epoch).where(heads.c.stream_id == stream_id)
    row = conn.execute(query.with_for_update()).one_or_none()
    return None if row is None else Head(row.sequence, bytes(row.hash), row.epoch)
