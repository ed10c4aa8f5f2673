"""RTSP messages as bytes, and the reader of what cameras send."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camera_gateway.rtsp.messages import (
    LONGEST_BODY,
    LONGEST_HEAD,
    Headers,
    MalformedMessage,
    Message,
    MessageReader,
    Method,
    Request,
    Response,
    may_begin,
    reply,
    request,
    shown,
)


def read(data: bytes) -> Message | None:
    """The message at the start of `data`, which must be all of it."""
    message, length = MessageReader().take(memoryview(data))
    assert length == (len(data) if message is not None else 0)
    return message


def response(data: bytes) -> Response:
    message = read(data)
    assert isinstance(message, Response)
    return message


def test_a_request_is_written_in_order() -> None:
    data = request(Method.SETUP, "rtsp://192.0.2.1/a", 7, [("Transport", "RTP/AVP"), ("Session", "12")])
    assert data == (
        b"SETUP rtsp://192.0.2.1/a RTSP/1.0\r\nCSeq: 7\r\nUser-Agent: Sunhall\r\n"
        b"Transport: RTP/AVP\r\nSession: 12\r\n\r\n"
    )


def test_a_reply_repeats_the_number_of_the_request() -> None:
    assert reply(200, "OK", "12", [("Public", "OPTIONS")]) == b"RTSP/1.0 200 OK\r\nCSeq: 12\r\nPublic: OPTIONS\r\n\r\n"


@pytest.mark.parametrize("sequence", [None, "", "1\r\nX: 1", "-1", "12345678901", "\u0661"])
def test_a_reply_leaves_out_a_number_that_is_none(sequence: str | None) -> None:
    assert reply(501, "Not Implemented", sequence) == b"RTSP/1.0 501 Not Implemented\r\n\r\n"


def test_a_response_with_a_body() -> None:
    message = response(b"RTSP/1.0 200 OK\r\nCSeq: 2\r\nContent-Length: 3\r\n\r\nv=0")
    assert (message.status, message.phrase, message.body) == (200, "OK", b"v=0")
    assert message.headers.get("CSEQ") == "2"


@pytest.mark.parametrize(
    ("line", "status", "phrase"),
    [
        (b"RTSP/1.0 404", 404, ""),
        (b"RTSP/1.0 404 ", 404, ""),
        (b"RTSP/1.0  200  OK  ", 200, "OK"),
        (b"RTSP/2.0 505 RTSP Version not supported", 505, "RTSP Version not supported"),
        (b"Rtsp/1.0\t200\tOK", 200, "OK"),
    ],
)
def test_status_lines_of_all_kinds(line: bytes, status: int, phrase: str) -> None:
    message = response(line + b"\r\n\r\n")
    assert (message.status, message.phrase) == (status, phrase)


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_line_ends_of_both_kinds(end: bytes) -> None:
    message = response(end.join([b"RTSP/1.0 200 OK", b"CSeq: 4", b"Content-Length: 2", b"", b"ab"]))
    assert (message.headers.get("cseq"), message.body) == ("4", b"ab")


def test_mixed_line_ends() -> None:
    assert response(b"RTSP/1.0 200 OK\nCSeq: 4\r\n\nrest"[:-4]).headers.get("cseq") == "4"


def test_folded_repeated_and_broken_headers() -> None:
    message = response(
        b"RTSP/1.0 200 OK\r\n folded onto nothing\r\nPublic: OPTIONS,\r\n\tPLAY\r\n"
        b"no colon here\r\nPUBLIC : SETUP\r\n\r\n"
    )
    assert message.headers.all("public") == ["OPTIONS, PLAY", "SETUP"]
    assert message.headers.get("no colon here") is None


def test_any_byte_of_a_header_survives() -> None:
    realm = bytes(range(0x80, 0x100)).decode("latin-1")
    assert response(f"RTSP/1.0 401 No\r\nX: {realm}\r\n\r\n".encode("latin-1")).headers.get("x") == realm


def test_a_request_of_the_server() -> None:
    message = read(b"ANNOUNCE rtsp://192.0.2.1/a RTSP/1.0\r\nCSeq: 3\r\nContent-Length: 1\r\n\r\nx")
    assert isinstance(message, Request)
    assert (message.method, message.uri, message.body) == ("ANNOUNCE", "rtsp://192.0.2.1/a", b"x")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"HTTP/1.0 400 Bad Request\r\n\r\n", "an HTTP answer, not RTSP"),
        (b"220 smtp.example ESMTP\r\n\r\n", "a first line that is not of RTSP"),
        (b"RTSP/1.0 2000 OK\r\n\r\n", "a first line that is not of RTSP"),
        (b"RTSP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n", "a length of the body that is no number"),
        (b"RTSP/1.0 200 OK\r\nContent-Length: 0x10\r\n\r\n", "a length of the body that is no number"),
        (b"RTSP/1.0 200 OK\r\nContent-Length: 1e3\r\n\r\n", "a length of the body that is no number"),
        (b"RTSP/1.0 200 OK\r\nContent-Length: 9999999999\r\n\r\n", "a length of the body that is no number"),
        (b"RTSP/1.0 200 OK\r\nContent-Length: 65537\r\n\r\n", "a body of over 65536 bytes"),
        (b"RTSP/1.0 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "two different lengths of the body"),
    ],
)
def test_what_is_no_message_is_named(data: bytes, why: str) -> None:
    with pytest.raises(MalformedMessage, match=why):
        MessageReader().take(memoryview(data))


def test_the_same_length_twice_is_one_length() -> None:
    assert response(b"RTSP/1.0 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx").body == b"x"


def test_the_longest_body_is_taken() -> None:
    body = bytes(LONGEST_BODY)
    assert response(b"RTSP/1.0 200 OK\r\nContent-Length: 65536\r\n\r\n" + body).body == body


def test_an_endless_header_is_refused_at_its_bound() -> None:
    data = b"RTSP/1.0 200 OK\r\nX: " + b"a" * LONGEST_HEAD
    reader = MessageReader()
    assert reader.take(memoryview(data[: LONGEST_HEAD - 1])) == (None, 0)
    with pytest.raises(MalformedMessage, match="a header of over 16384 bytes"):
        reader.take(memoryview(data[:LONGEST_HEAD]))


def test_what_follows_a_message_is_left() -> None:
    first = b"RTSP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nab"
    message, length = MessageReader().take(memoryview(first + b"$\x00\x00\x01x"))
    assert message is not None
    assert length == len(first)


@given(st.integers(0, 2**32), st.integers(1, 60))
def test_cuts_make_no_difference(seed: int, longest: int) -> None:
    messages = [
        b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 10\r\n\r\n\r\n\r\n\r\n\r\n\r\n",
        b"RTSP/1.0 401\nX: y\n\n",
        b"OPTIONS * RTSP/1.0\r\nCSeq: 8\r\n\r\n",
    ]
    reader, buffer, seen, chance = MessageReader(), b"", list[int](), random.Random(seed)
    data = b"".join(messages)
    while data:
        length = chance.randint(1, longest)
        buffer, data = buffer + data[:length], data[length:]
        while buffer:
            message, taken = reader.take(memoryview(buffer))
            if message is None:
                break
            seen.append(taken)
            buffer = buffer[taken:]
    assert seen == [len(message) for message in messages]
    assert buffer == b""


def test_a_header_may_come_in_single_bytes() -> None:
    reader, data = MessageReader(), b"RTSP/1.0 200 OK\r\nX: " + b"a" * 5000 + b"\r\n\r\n"
    for end in range(1, len(data)):
        assert reader.take(memoryview(data)[:end]) == (None, 0)
    message, length = reader.take(memoryview(data))
    assert message is not None
    assert length == len(data)


@pytest.mark.parametrize(
    "data",
    [
        *(b"RTSP/1.0 200"[:n] for n in range(1, 12)),
        *(b"SET_PARAMETER rtsp://x"[:n] for n in range(1, 20)),
        b"OPTIONS * RTSP/1.0",
        b"OPTIONS /a RTSP/1.0",
        b"HTTP/1.1 200 OK",
        b"rtsp/1.0 200 OK",
    ],
)
def test_what_may_begin_a_message(data: bytes) -> None:
    assert may_begin(memoryview(data))


@pytest.mark.parametrize(
    "data", [b"Aa", b"L\x00", b"SSH-2.0-OpenSSH", b"A" * 25, b"RTSPX/1.0", b"OPTIONS x", b"\x80", b"1"]
)
def test_what_begins_no_message(data: bytes) -> None:
    assert not may_begin(memoryview(data))


def test_headers_know_their_names_in_any_case() -> None:
    headers = Headers([("Session", "1"), ("SESSION", "2")])
    assert headers.get("session") == "1"
    assert headers.all("sEssion") == ["1", "2"]
    assert headers.get("other") is None


def test_text_for_people_is_plain_and_short() -> None:
    assert shown("Not\x1b[31m Found\r\nX: y\x00") == "Not [31m Found X: y"
    assert shown("a" * 500) == "a" * 79 + "…"
    assert shown("没有") == ""
