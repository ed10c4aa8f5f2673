"""Signing in: the examples of the standards, every algorithm, and the challenges that cameras send."""

from __future__ import annotations

import re

import pytest

from camera_gateway.rtsp.authentication import LONGEST_CHALLENGES, Challenge, Credentials, parse_challenges
from tests.camera_gateway.rtsp.fakes import CNONCE, digest_fits

URI = "rtsp://192.0.2.1/a?b=1&c=2"


PASSWORD = "Circle of Life"


def signed(*fields: str, username: str = "Mufasa", password: str = PASSWORD) -> str:
    credentials = Credentials(username, password, lambda: CNONCE)
    assert credentials.take(parse_challenges(fields)) is not None
    header = credentials.header("DESCRIBE", URI)
    assert header is not None
    return header


def test_the_example_of_rfc_2617() -> None:
    credentials = Credentials("Mufasa", "Circle Of Life", lambda: "0a4f113b")
    credentials.take(
        parse_challenges(
            [
                'Digest realm="testrealm@host.com", qop="auth,auth-int", '
                'nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41"'
            ]
        )
    )
    header = credentials.header("GET", "/dir/index.html")
    assert header is not None
    assert 'response="6629fae49393a05397450978507c4ef1"' in header
    assert "qop=auth, nc=00000001" in header
    assert 'opaque="5ccc069c403ebaf9f0171e9517f40e41"' in header


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_examples_of_rfc_7616(algorithm: str, expected: str) -> None:
    credentials = Credentials("Mufasa", "Circle of Life", lambda: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ")
    credentials.take(
        parse_challenges(
            [
                f'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={algorithm}, '
                'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", '
                'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
            ]
        )
    )
    header = credentials.header("GET", "/dir/index.html")
    assert header is not None
    assert f'response="{expected}"' in header


@pytest.mark.parametrize("algorithm", ["MD5", "MD5-sess", "SHA-256", "SHA-256-sess", "SHA-512-256", "SHA-512-256-SESS"])
@pytest.mark.parametrize("qop", ["", ', qop="auth"', ", qop=auth-int,auth"])
def test_every_algorithm_proves_the_password(algorithm: str, qop: str) -> None:
    if "," in qop[1:]:
        qop = ', qop="auth-int,auth"'
    header = signed(f'Digest realm="r", nonce="n", algorithm={algorithm}{qop}')
    assert digest_fits(header, "DESCRIBE", URI, PASSWORD)
    assert not digest_fits(header, "DESCRIBE", URI, "circle of life")
    assert f"algorithm={algorithm}" in header


def test_the_oldest_form_has_neither_count_nor_client_nonce() -> None:
    header = signed('Digest realm="r", nonce="n"')
    assert re.search("qop|nc=|cnonce|algorithm", header) is None
    assert digest_fits(header, "DESCRIBE", URI, PASSWORD)


def test_counts_rise_with_a_nonce_and_begin_again_with_the_next() -> None:
    nonces = iter(["c1", "c2"])
    credentials = Credentials("u", "p", lambda: next(nonces))
    headers = []
    for nonce in ("n1", "n2"):
        credentials.take(parse_challenges([f'Digest realm="r", nonce="{nonce}", qop="auth"']))
        headers += [credentials.header("PLAY", URI) or "" for _ in range(2)]
    counts = [re.search("nc=([0-9a-f]+), cnonce=(.*)$", header) for header in headers]
    assert [(found[1], found[2]) for found in counts if found] == [
        ("00000001", '"c1"'),
        ("00000002", '"c1"'),
        ("00000001", '"c2"'),
        ("00000002", '"c2"'),
    ]


def test_basic() -> None:
    assert signed('Basic realm="x"', username="Aladdin", password="open sesame") == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="


def test_basic_sends_utf_8() -> None:
    assert signed("Basic", username="test", password="123£") == "Basic dGVzdDoxMjPCow=="


@pytest.mark.parametrize(
    ("offers", "taken"),
    [
        (['Basic realm="a"', 'Digest realm="a", nonce="n"'], "digest MD5"),
        (['Digest realm="a", nonce="n", algorithm=SHA-256, Digest realm="a", nonce="m"'], "digest SHA-256"),
        (['Digest realm="a", nonce="n"', 'Digest realm="a", nonce="m", algorithm=SHA-512-256'], "digest SHA-512-256"),
        (['Digest realm="a", nonce="n", algorithm=SHA3', 'Basic realm="a"'], "basic MD5"),
        (["Negotiate abc=", "NTLM", 'digest REALM="a",NONCE="n"'], "digest MD5"),
        (['Digest realm="a", nonce="n", userhash=true'], "digest MD5"),
    ],
)
def test_the_strongest_that_we_know_is_taken(offers: list[str], taken: str) -> None:
    challenge = Credentials("u", "p", lambda: CNONCE).take(parse_challenges(offers))
    assert challenge is not None
    assert f"{challenge.scheme} {challenge.algorithm}" == taken


@pytest.mark.parametrize(
    "offers",
    [
        [],
        [""],
        ["Negotiate"],
        ['Digest realm="a"'],
        ['Digest realm="a", nonce="n", algorithm=SHA3'],
        ['Digest realm="a", nonce="n", qop="auth-int"'],
        ['Digest realm="a\rX: y", nonce="n"'],
        ['realm="a", nonce="n"'],
    ],
)
def test_what_cannot_be_answered_is_not_taken(offers: list[str]) -> None:
    credentials = Credentials("u", "p", lambda: CNONCE)
    assert credentials.take(parse_challenges(offers)) is None
    assert credentials.header("PLAY", URI) is None


def test_quotes_commas_and_backslashes() -> None:
    offers = r'Digest realm="a, \"b\" c\\d", nonce = "n=,1" , stale=TRUE, opaque=""'
    [challenge] = parse_challenges([offers])
    assert challenge.parameters["realm"] == r'a, "b" c\d'
    assert challenge.nonce == "n=,1"
    assert challenge.stale
    header = signed(offers)
    assert r'realm="a, \"b\" c\\d"' in header
    assert 'opaque=""' in header


def test_an_open_quote_ends_with_the_header() -> None:
    assert parse_challenges(['Digest nonce="n", realm="open']) == [Challenge("digest", {"nonce": "n", "realm": "open"})]


def test_the_first_of_a_repeated_parameter_counts() -> None:
    assert parse_challenges(['Digest nonce="a", nonce="b"'])[0].nonce == "a"


def test_endless_challenges_are_read_to_a_bound() -> None:
    assert len(parse_challenges(["Basic," * LONGEST_CHALLENGES])) == LONGEST_CHALLENGES // len("Basic,") + 1
    assert len(parse_challenges(['"' * LONGEST_CHALLENGES * 4])) == 0


def test_names_of_any_script_are_hashed_as_utf_8() -> None:
    header = signed('Digest realm="r", nonce="n", qop="auth"', username="大厅", password="密码")
    assert header.encode("latin-1").decode("utf-8").startswith('Digest username="大厅"')
    assert digest_fits(header, "DESCRIBE", URI, "密码".encode().decode("latin-1"))


def test_a_realm_in_another_encoding_goes_back_as_it_came() -> None:
    realm = "监控".encode("gb18030").decode("latin-1")
    header = signed(f'Digest realm="{realm}", nonce="n"')
    assert f'realm="{realm}"' in header
    assert digest_fits(header, "DESCRIBE", URI, PASSWORD)


def test_a_quote_in_the_user_name_cannot_end_it() -> None:
    assert 'username="a\\"b"' in signed('Digest realm="r", nonce="n"', username='a"b')


def test_control_characters_cannot_be_sent() -> None:
    assert not Credentials("a\r\nX: y", "p", lambda: CNONCE).sendable
    assert Credentials("a", "p\r\n", lambda: CNONCE).sendable


def test_nothing_shows_what_is_secret() -> None:
    credentials = Credentials("somebody", "secret", lambda: CNONCE)
    assert repr(credentials) == "Credentials(…)"
    assert credentials.given
    assert not Credentials("", "", lambda: CNONCE).given
