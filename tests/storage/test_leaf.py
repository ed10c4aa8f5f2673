"""Canonical JSON and the leaf's hash."""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import InvalidInput
from storage.evidence.leaf import NO_PREVIOUS, Leaf, canonical, decode, encode, leaf_hash
from storage.model import LeafKind

STREAM = UUID(int=7)
names = st.text(alphabet="abcdefghij_é窗", min_size=1, max_size=6)
facts = st.dictionaries(names, st.integers(-(2**63), 2**63 - 1) | st.text(st.characters(exclude_categories=["Cs"])))


class Shade(StrEnum):
    DARK = "dark"


def test_the_bytes_are_fixed() -> None:
    leaf = Leaf(LeafKind.GAP, STREAM, 1, NO_PREVIOUS, {"t0_us": 5, "reason": "网络"})
    assert encode(leaf).decode() == (
        '{"kind":"gap","previous":"' + "0" * 64 + '","reason":"网络","sequence":1,'
        '"stream":"00000000-0000-0000-0000-000000000007","t0_us":5,"v":1}'
    )


def test_the_hash_is_the_merkle_trees_leaf_hash() -> None:
    assert leaf_hash(b"abc") == hashlib.sha256(b"\x00abc").digest()
    assert leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"  # RFC 6962 vector


@given(facts)
def test_what_is_encoded_comes_back_and_is_sorted(values: dict[str, str | int]) -> None:
    leaf = Leaf(LeafKind.SEGMENT, STREAM, 3, b"p" * 32, values)
    body = encode(leaf)
    assert decode(body) == leaf
    assert list(json.loads(body)) == sorted(json.loads(body))


@pytest.mark.parametrize("value", [1.5, True, None, [1], {"a": 1}, b"x", Shade.DARK], ids=repr)
def test_only_plain_integers_and_strings_are_taken(value: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        canonical({"fact": value})
    assert refused.value.code == "leaf_invalid"


def test_reserved_names_and_broken_text_are_refused() -> None:
    with pytest.raises(InvalidInput, match="sequence"):
        encode(Leaf(LeafKind.GAP, STREAM, 1, NO_PREVIOUS, {"sequence": 2}))
    with pytest.raises(InvalidInput, match="surrogates"):
        canonical({"fact": "\ud800"})


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body.replace(b",", b", ", 1),
        lambda body: body + b" ",
        lambda body: body.replace(b'"gap"', b'"nap"'),
        lambda body: body.replace(b'"sequence":1', b'"sequence":1.0'),
        lambda body: body.replace(b'"v":1', b'"v":2'),
        lambda body: body[:-1],
        lambda _: b"[]",
        lambda _: b"\xff",
    ],
)
def test_anything_but_the_canonical_form_is_refused(change: Any) -> None:
    body = encode(Leaf(LeafKind.GAP, STREAM, 1, NO_PREVIOUS, {"t0_us": 5}))
    with pytest.raises(InvalidInput):
        decode(change(body))
