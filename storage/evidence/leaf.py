"""A leaf of the evidence log: a fact about media as canonical JSON, and its hash. Standard library only.

Canonical JSON: UTF-8, keys sorted by code point, no spaces, integers and strings only (so every program writes the
same bytes). The hash is RFC 6962's leaf hash, SHA-256(0x00 || bytes): the coming Merkle tree takes it as it is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from storage.errors import InvalidInput
from storage.model import LeafKind

Fact = str | int

LEAF_PREFIX = b"\x00"
NO_PREVIOUS = bytes(32)
"""The `previous` of a stream's first leaf."""
VERSION = 1
_RESERVED = frozenset({"v", "kind", "stream", "sequence", "previous"})


@dataclass(frozen=True)
class Leaf:
    """One fact in one stream's chain. `sequence` starts at 1; `previous` is the hash of the leaf before."""

    kind: LeafKind
    stream_id: UUID
    sequence: int
    previous: bytes
    facts: Mapping[str, Fact] = field(default_factory=dict)


def encode(leaf: Leaf) -> bytes:
    """The canonical bytes that are hashed and kept.

    Raises:
        InvalidInput: `leaf_invalid`: a fact is neither string nor integer, or takes a reserved name.
    """
    taken = _RESERVED & leaf.facts.keys()
    if taken:
        raise InvalidInput("leaf_invalid", f"facts may not be named {', '.join(sorted(taken))}")
    head = {
        "v": VERSION,
        "kind": leaf.kind.value,
        "stream": str(leaf.stream_id),
        "sequence": leaf.sequence,
        "previous": leaf.previous.hex(),
    }
    return canonical({**head, **leaf.facts})


def canonical(facts: Mapping[str, Fact]) -> bytes:
    """Canonical JSON of a flat object. Raises InvalidInput (`leaf_invalid`) for anything but strings and integers."""
    for name, value in facts.items():
        if type(name) is not str or type(value) not in (str, int):  # exact: a bool is an int and an enum is a str
            raise InvalidInput("leaf_invalid", f"a leaf holds strings and integers only, not {name}={value!r}")
    try:
        return json.dumps(facts, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    except UnicodeEncodeError as error:
        raise InvalidInput("leaf_invalid", "a leaf's strings must be Unicode without lone surrogates") from error


def leaf_hash(body: bytes) -> bytes:
    """SHA-256(0x00 || body), 32 bytes."""
    return hashlib.sha256(LEAF_PREFIX + body).digest()


def decode(body: bytes) -> Leaf:
    """The leaf that `body` is the canonical form of.

    Raises:
        InvalidInput: `leaf_invalid`: no leaf, or not in canonical form.
    """
    try:
        raw = json.loads(body)
        facts = {name: value for name, value in raw.items() if name not in _RESERVED}
        leaf = Leaf(LeafKind(raw["kind"]), UUID(raw["stream"]), raw["sequence"], bytes.fromhex(raw["previous"]), facts)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInput("leaf_invalid", f"these bytes are no leaf: {error}") from error
    if encode(leaf) != body:
        raise InvalidInput("leaf_invalid", "the leaf is not in canonical form")
    return leaf
