"""Keys, boxes and signed requests."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.archive.catalog import Catalog
from storage.archive.nonces import CatalogNonces
from storage.clock import US, FakeClock
from storage.errors import ConfigurationError, InvalidInput, NotAuthenticated
from storage.identity.boxes import SecretBox
from storage.identity.keys import DeviceKey, PublicKey, fingerprint
from storage.identity.requests import (
    MemoryNonces,
    SharedSecret,
    Signer,
    Verifier,
    canonical_request,
    sign_headers,
    verify_headers,
)

KEY_ID = "01890a5d-ac96-774b-bcce-b302099a8057"
SECRET = b"0123456789abcdef0123456789abcdef"


def ed25519() -> tuple[Signer, Verifier]:
    key = DeviceKey(bytes(range(32)))
    return key, PublicKey(key.public)


def hmac() -> tuple[Signer, Verifier]:
    return SharedSecret(SECRET), SharedSecret(SECRET)


@pytest.fixture(params=[ed25519, hmac], ids=["ed25519", "hmac"])
def pair(request: pytest.FixtureRequest) -> tuple[Signer, Verifier]:
    make: Callable[[], tuple[Signer, Verifier]] = request.param
    return make()


def check(
    headers: dict[str, str], verifier: Verifier | None, clock: FakeClock, nonces: MemoryNonces, **other: str | bytes
) -> str:
    method, target = str(other.get("method", "PUT")), str(other.get("target", "/agent/v1/x?a=1"))
    body = other.get("body", b"body")
    assert isinstance(body, bytes)
    return verify_headers(headers, method, target, body, lambda _: verifier, nonces, clock)


def signed(signer: Signer, clock: FakeClock) -> dict[str, str]:
    return sign_headers(signer, KEY_ID, "PUT", "/agent/v1/x?a=1", b"body", clock)


def test_canonical_bytes_are_as_documented() -> None:
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    message = canonical_request("get", "/v1/live?a=1", b"", 1_790_000_000_000_000, "ab" * 16, "key")
    assert message == f"GET\n/v1/live?a=1\n{empty}\n1790000000000000\n{'ab' * 16}\nkey".encode()


def test_a_signed_request_is_taken_once(pair: tuple[Signer, Verifier], fake_clock: FakeClock) -> None:
    signer, verifier = pair
    nonces, headers = MemoryNonces(fake_clock), signed(signer, fake_clock)
    assert check({name.lower(): value for name, value in headers.items()}, verifier, fake_clock, nonces) == KEY_ID
    with pytest.raises(NotAuthenticated) as repeated:
        check(headers, verifier, fake_clock, nonces)
    assert repeated.value.code == "nonce_repeated"


@pytest.mark.parametrize(
    "change", [{"method": "GET"}, {"target": "/agent/v1/x?a=2"}, {"body": b"bodY"}], ids=["method", "target", "body"]
)
def test_any_change_breaks_the_signature(
    pair: tuple[Signer, Verifier], fake_clock: FakeClock, change: dict[str, str | bytes]
) -> None:
    signer, verifier = pair
    with pytest.raises(NotAuthenticated) as refused:
        check(signed(signer, fake_clock), verifier, fake_clock, MemoryNonces(fake_clock), **change)
    assert refused.value.code == "signature_wrong"


@pytest.mark.parametrize(
    ("header", "value", "code"),
    [
        ("X-Sunhall-Key", "another", "signature_wrong"),
        ("X-Sunhall-Nonce", "ab" * 16, "signature_wrong"),
        ("X-Sunhall-Nonce", "AB" * 16, "signature_malformed"),
        ("X-Sunhall-Time", "soon", "signature_malformed"),
        ("X-Sunhall-Time", "٣", "signature_malformed"),
        ("X-Sunhall-Signature", "!!!", "signature_wrong"),
        ("X-Sunhall-Signature", "签名", "signature_wrong"),
    ],
)
def test_any_changed_header_is_refused(
    pair: tuple[Signer, Verifier], fake_clock: FakeClock, header: str, value: str, code: str
) -> None:
    signer, verifier = pair
    headers = signed(signer, fake_clock) | {header: value}
    with pytest.raises(NotAuthenticated) as refused:
        check(headers, verifier, fake_clock, MemoryNonces(fake_clock))
    assert refused.value.code == code


def test_a_missing_header_and_an_unknown_key_are_named(pair: tuple[Signer, Verifier], fake_clock: FakeClock) -> None:
    headers = signed(pair[0], fake_clock)
    with pytest.raises(NotAuthenticated) as unknown:
        check(headers, None, fake_clock, MemoryNonces(fake_clock))
    assert unknown.value.code == "key_unknown"
    del headers["X-Sunhall-Nonce"]
    with pytest.raises(NotAuthenticated) as missing:
        check(headers, pair[1], fake_clock, MemoryNonces(fake_clock))
    assert missing.value.code == "signature_missing"


@pytest.mark.parametrize("seconds", [-301, 301])
def test_a_request_from_another_time_is_refused(
    pair: tuple[Signer, Verifier], fake_clock: FakeClock, seconds: int
) -> None:
    headers = signed(pair[0], fake_clock)
    fake_clock.step_wall(seconds)
    with pytest.raises(NotAuthenticated) as refused:
        check(headers, pair[1], fake_clock, MemoryNonces(fake_clock))
    assert refused.value.code == "time_outside_window"


def test_no_accepted_request_can_be_repeated_while_its_time_is_accepted(
    pair: tuple[Signer, Verifier], fake_clock: FakeClock
) -> None:
    fake_clock.step_wall(300)  # the sender's clock is ahead by the whole window
    headers = signed(pair[0], fake_clock)
    fake_clock.step_wall(-300)
    nonces = MemoryNonces(fake_clock)
    check(headers, pair[1], fake_clock, nonces)
    for _ in range(599):
        fake_clock.advance(1)
        with pytest.raises(NotAuthenticated) as refused:
            check(headers, pair[1], fake_clock, nonces)
        assert refused.value.code == "nonce_repeated"


def test_a_wrong_signature_uses_up_no_nonce(pair: tuple[Signer, Verifier], fake_clock: FakeClock) -> None:
    signer, verifier = pair
    nonces, headers = MemoryNonces(fake_clock), signed(signer, fake_clock)
    with pytest.raises(NotAuthenticated):
        check(headers, verifier, fake_clock, nonces, body=b"other")
    assert check(headers, verifier, fake_clock, nonces) == KEY_ID


def test_nonces_in_the_catalog_are_shared_and_swept(any_catalog: Catalog, fake_clock: FakeClock) -> None:
    one, two = CatalogNonces(any_catalog), CatalogNonces(any_catalog)
    until = fake_clock.now_us() + 600 * US
    assert not one(KEY_ID, b"n" * 16, until)
    assert two(KEY_ID, b"n" * 16, until)
    assert not two("source-a", b"n" * 16, until)
    assert one("source-a", b"n" * 16, until)
    fake_clock.advance(601)
    assert not two(KEY_ID, b"n" * 16, until + 600 * US)


def test_a_key_file_is_private_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "gateway.key"
    made = DeviceKey.create(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(path.read_bytes()) == 32
    with pytest.raises(ConfigurationError) as refused:
        DeviceKey.create(path)
    assert refused.value.code == "key_exists"
    again = DeviceKey.load(path)
    assert again.public == made.public
    assert PublicKey(made.public).verify(b"message", again.sign(b"message"))
    assert [entry.name for entry in path.parent.iterdir()] == ["gateway.key"]


def test_a_first_start_makes_the_key_and_later_ones_load_it(tmp_path: Path) -> None:
    path = tmp_path / "k"
    assert DeviceKey.load_or_create(path).public == DeviceKey.load_or_create(path).public


def test_missing_and_damaged_keys_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as missing:
        DeviceKey.load(tmp_path / "none")
    assert missing.value.code == "key_missing"
    (tmp_path / "short").write_bytes(b"x" * 31)
    with pytest.raises(ConfigurationError, match="restore it"):
        SecretBox.load(tmp_path / "short")
    with pytest.raises(InvalidInput):
        PublicKey(b"x" * 31)


def test_a_box_opens_only_for_its_owner_and_key(tmp_path: Path) -> None:
    box = SecretBox.create(tmp_path / "k")
    sealed = box.seal("密码&@:/".encode(), b"device-1")
    assert "密码".encode() not in sealed
    assert SecretBox.load(tmp_path / "k").open(sealed, b"device-1") == "密码&@:/".encode()
    flipped = sealed[:-1] + bytes([sealed[-1] ^ 1])
    for key, damaged, owner in ((box, sealed, b"device-2"), (box, flipped, b"device-1"), (box, b"short", b"device-1")):
        with pytest.raises(ConfigurationError) as refused:
            key.open(damaged, owner)
        assert refused.value.code == "box_unreadable"
    with pytest.raises(ConfigurationError):
        SecretBox(bytes(32)).open(sealed, b"device-1")


def test_secrets_do_not_show_themselves() -> None:
    shown = f"{SharedSecret(SECRET)!r} {SecretBox(SECRET)!r} {DeviceKey(SECRET)!r}"
    assert SECRET.decode() not in shown
    assert SECRET.hex() not in shown


def test_a_fingerprint_can_be_read_aloud() -> None:
    assert fingerprint(bytes(32)) == "6668 7AAD F862 BD77 6C8F"
