"""The live socket by hand, against the real gateway and cameras: what a browser other than ours would get."""

from __future__ import annotations

import asyncio
import json
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from deploy.demo.client import HallClient
from storage.clock import US
from tests.e2e.hall import CLOCK, RunningHall

HEAD = struct.Struct(">HBB")
TIMESCALE = 90_000
SUPERVISOR = "jiankan"


@asynccontextmanager
async def live_socket(hall: RunningHall, client: HallClient) -> AsyncIterator[ClientConnection]:
    """A socket with the client's session, its purpose told."""
    purpose = await asyncio.to_thread(client.state_purpose, "patrol", "E2E-2")
    trust = ssl.create_default_context(cafile=str(hall.folder.certificate_authority))
    headers = {"Cookie": client.cookie_header(), "Origin": hall.url}
    url = hall.url.replace("https", "wss") + "/api/live"
    async with connect(url, ssl=trust, additional_headers=headers, compression=None, proxy=None) as socket:
        await socket.send(json.dumps({"op": "purpose", "id": purpose["id"]}))
        yield socket


async def first_fragment(
    socket: ClientConnection, number: int, camera: str
) -> tuple[list[dict[str, Any]], bytes, bytes]:
    """Control messages up to the first fragment, the init segment, and that fragment, which must be a key frame."""
    await socket.send(json.dumps({"op": "subscribe", "channel": number, "camera": camera, "quality": "auto"}))
    told: list[dict[str, Any]] = []
    init = b""
    while True:
        message = await socket.recv()
        if isinstance(message, str):
            told.append(json.loads(message))
            continue
        channel, kind, flags = HEAD.unpack_from(message)
        if channel != number:
            continue
        if kind == 0:
            init = message[HEAD.size :]
            continue
        assert flags == 1, "a subscription must begin with a key frame"
        return told, init, message[HEAD.size :]


def decode_time(fragment: bytes) -> int:
    """`tfdt` of a fragment, in units of the timescale."""
    at = fragment.index(b"tfdt") + 4
    assert fragment[at] == 1
    return int(struct.unpack_from(">Q", fragment, at + 4)[0])


async def test_every_camera_starts_with_a_key_frame_of_now_in_h264(hall: RunningHall) -> None:
    with await asyncio.to_thread(hall.client, SUPERVISOR) as client:
        await see_both_kinds(hall, client)


async def see_both_kinds(hall: RunningHall, client: HallClient) -> None:
    """An H.264 camera by its main stream, the H.265 camera by its substream."""
    cameras = (await asyncio.to_thread(client.get, "/api/cameras"))["cameras"]
    h265 = [item for item in cameras if any(each["codec"] == "h265" for each in item["streams"])]
    async with live_socket(hall, client) as socket:
        for number, camera in enumerate([cameras[0], h265[0]]):
            told, init, fragment = await first_fragment(socket, number, camera["id"])

            info = next(item for item in told if item["op"] == "info" and item["channel"] == number)
            assert info["codec"].startswith("avc1.")
            assert info["role"] == ("sub" if camera in h265 else "main")
            assert init[4:8] == b"ftyp"
            assert b"avcC" in init
            assert fragment[4:8] == b"moof"
            age_s = CLOCK.now_us() / US - decode_time(fragment) / TIMESCALE
            assert -5 < age_s < 60, "tfdt is the wall clock of the key frame"
