"""The virtual cameras' RTSP, as clients that others wrote see it: FFmpeg and GStreamer."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

import av
import numpy as np
import pytest
from av.video.frame import PictureType

from deploy.virtual_camera.plan import HEVC, MAIN, SUB, ChannelPlan, DevicePlan, Oddities, StreamPlan, demo_device
from deploy.virtual_camera.process import VirtualHall
from deploy.virtual_camera.strip import Stamp, read
from tests.deploy.decoding import grey

pytestmark = pytest.mark.peer

PASSWORD = "p@ss wörd/#1?&"
NORMAL, H265, IN_BAND, B_FRAMES, LIMITED, LATE = range(1, 7)


def _device(number: int, main: StreamPlan, oddities: Oddities | None = None) -> DevicePlan:
    channels = (ChannelPlan("1号窗口 正面", main, StreamPlan(SUB)),)
    return DevicePlan(number, "1号窗口", channels, password=PASSWORD, oddities=oddities or Oddities())


@pytest.fixture(scope="module")
def hall() -> Iterator[VirtualHall]:
    """One device of each kind."""
    b_frames = StreamPlan(type(MAIN)("h264", 640, 360, 10, 20, b_frames=2), live=False)
    devices = (
        demo_device(NORMAL, PASSWORD),
        _device(H265, StreamPlan(HEVC, live=False)),
        _device(IN_BAND, StreamPlan(MAIN), Oddities(in_band_only=True)),
        _device(B_FRAMES, b_frames),
        _device(LIMITED, StreamPlan(MAIN), Oddities(session_limit=1)),
        _device(LATE, StreamPlan(MAIN), Oddities(clock_offset_s=75)),
    )
    with VirtualHall(devices) as running:
        yield running


def _ffprobe(url: str, transport: str) -> subprocess.CompletedProcess[str]:
    fields = "stream=codec_name,width,height"
    command = ["ffprobe", "-v", "error", "-rtsp_transport", transport, "-show_entries", fields, "-of", "json", url]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def _streams(url: str, transport: str) -> list[dict[str, Any]]:
    answer = _ffprobe(url, transport)
    assert answer.returncode == 0, answer.stderr
    streams: list[dict[str, Any]] = json.loads(answer.stdout)["streams"]
    return streams


@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize("role", ["main", "sub"])
def test_ffprobe_plays_over_tcp_and_udp(hall: VirtualHall, transport: str, role: str) -> None:
    expected = hall.camera(NORMAL).stream(role)
    (stream,) = _streams(expected.url, transport)
    assert (stream["codec_name"], stream["width"], stream["height"]) == ("h264", expected.width, expected.height)


def test_ffprobe_plays_h265(hall: VirtualHall) -> None:
    (stream,) = _streams(hall.camera(H265).stream("main").url, "tcp")
    assert (stream["codec_name"], stream["width"], stream["height"]) == ("hevc", 1280, 720)


def test_parameter_sets_may_come_in_the_stream_alone(hall: VirtualHall) -> None:
    (stream,) = _streams(hall.camera(IN_BAND).stream("main").url, "tcp")
    assert (stream["codec_name"], stream["width"]) == ("h264", 960)


def test_a_wrong_password_is_401(hall: VirtualHall) -> None:
    url = hall.camera(NORMAL).stream("main").url.replace(quote(PASSWORD, safe=""), "wrong")
    answer = _ffprobe(url, "tcp")
    assert answer.returncode != 0
    assert "401 Unauthorized" in answer.stderr


def test_a_stream_that_is_none_is_404(hall: VirtualHall) -> None:
    answer = _ffprobe(hall.camera(NORMAL).stream("main").url + "x", "tcp")
    assert "404 Not Found" in answer.stderr


def _stamps(path: Path) -> list[Stamp | None]:
    with av.open(str(path)) as container:
        return [read(grey(frame)) for frame in container.decode(video=0)]


def _record(url: str, path: Path, seconds: float, *options: str) -> None:
    command = ["ffmpeg", "-nostdin", "-loglevel", "error", *options, "-rtsp_transport", "tcp", "-i", url]
    command += ["-c", "copy", "-t", str(seconds), "-y", str(path)]
    subprocess.run(command, timeout=90, check=True)


@pytest.mark.parametrize("role", ["main", "sub"])
def test_recorded_pictures_tell_the_true_time_without_a_hole(hall: VirtualHall, tmp_path: Path, role: str) -> None:
    stream = hall.camera(NORMAL).stream(role)
    began_ms = time.time_ns() // 1_000_000
    _record(stream.url, tmp_path / "clip.mkv", 4)
    ended_ms = time.time_ns() // 1_000_000
    stamps = [stamp for stamp in _stamps(tmp_path / "clip.mkv") if stamp is not None]
    assert len(stamps) >= 3 * stream.fps
    assert all(began_ms - 500 <= stamp.time_ms <= ended_ms for stamp in stamps)
    assert [stamp.camera for stamp in stamps] == [NORMAL] * len(stamps)
    assert np.diff([stamp.counter for stamp in stamps]).tolist() == [1] * (len(stamps) - 1)


def test_a_device_with_a_wrong_clock_shows_it(hall: VirtualHall, tmp_path: Path) -> None:
    _record(hall.camera(LATE).stream("sub").url, tmp_path / "clip.mkv", 1)
    now_ms = time.time_ns() // 1_000_000
    last = _stamps(tmp_path / "clip.mkv")[-1]
    assert last is not None
    assert 75_000 - 30_000 < last.time_ms - now_ms <= 75_000


def test_a_loop_counts_from_its_start_and_goes_round(hall: VirtualHall, tmp_path: Path) -> None:
    _record(hall.camera(H265).stream("main").url, tmp_path / "clip.mkv", 12)
    stamps = _stamps(tmp_path / "clip.mkv")
    assert None not in stamps
    counters = [stamp.counter for stamp in stamps if stamp is not None]
    steps = set(np.diff(counters).tolist())
    assert steps == {1, -149}
    assert max(stamp.time_ms for stamp in stamps if stamp is not None) < 10_000


def test_b_frames_come_in_coding_order(hall: VirtualHall) -> None:
    url = hall.camera(B_FRAMES).stream("main").url
    with av.open(url, options={"rtsp_transport": "tcp"}, timeout=30) as container:
        frames = list(islice(container.decode(video=0), 30))
    assert PictureType.B in {frame.pict_type for frame in frames}
    times = [frame.pts for frame in frames if frame.pts is not None]
    assert len(times) >= 28  # the first may come without
    assert times == sorted(times)


_GSTREAMER = """
import sys
import gi
gi.require_version("Gst", "1.0")
from gi.repository import Gst
Gst.init(None)
chain = "rtph264depay ! h264parse ! avdec_h264 ! fakesink num-buffers=20"
pipeline = Gst.parse_launch("rtspsrc name=s protocols=tcp ! " + chain)
source = pipeline.get_by_name("s")
for name, value in zip(("location", "user-id", "user-pw"), sys.argv[1:]):
    source.set_property(name, value)
pipeline.set_state(Gst.State.PLAYING)
message = pipeline.get_bus().timed_pop_filtered(60 * Gst.SECOND, Gst.MessageType.EOS | Gst.MessageType.ERROR)
print("eos" if message.type == Gst.MessageType.EOS else message.parse_error())
pipeline.set_state(Gst.State.NULL)
"""


def _gstreamer(uri: str, password: str) -> str:
    command = ["/usr/bin/python3", "-c", _GSTREAMER, uri, "admin", password]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=True).stdout


def test_gstreamer_plays_with_digest(hall: VirtualHall) -> None:
    uri = hall.camera(NORMAL).stream("sub").uri
    assert _gstreamer(uri, PASSWORD).startswith("eos")
    assert "Unauthorized" in _gstreamer(uri, "wrong")


class _Rtsp:
    """A bare client for what FFmpeg and GStreamer do not show."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._data = b""
        self._sequence = 0

    def __enter__(self) -> _Rtsp:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._socket.close()

    def ask(self, text: str) -> str:
        self._sequence += 1
        self._socket.sendall(text.replace("\n", f"\r\nCSeq: {self._sequence}\r\n", 1).encode() + b"\r\n")
        while b"\r\n\r\n" not in self._data:
            self._data += self._more()
        head, _, self._data = self._data.partition(b"\r\n\r\n")
        return head.decode()

    def _more(self) -> bytes:
        data = self._socket.recv(65_536)
        if not data:
            raise ConnectionError("the camera hung up")
        return data


def test_options_needs_no_password_and_describe_does(hall: VirtualHall) -> None:
    camera = hall.camera(NORMAL)
    with _Rtsp(camera.rtsp_port) as client:
        assert "GET_PARAMETER" in client.ask("OPTIONS * RTSP/1.0\n")
        answer = client.ask(f"DESCRIBE {camera.stream('main').uri} RTSP/1.0\n")
        assert answer.startswith("RTSP/1.0 401")
        assert 'Digest realm="Virtual Camera", nonce="' in answer
        assert client.ask("DANCE * RTSP/1.0\n").startswith("RTSP/1.0 401")


def test_what_is_no_rtsp_is_answered_400(hall: VirtualHall) -> None:
    with _Rtsp(hall.camera(NORMAL).rtsp_port) as client:
        assert client.ask("POST /onvif HTTP/1.1\n").startswith("RTSP/1.0 400")


def test_the_session_limit_refuses_the_next_client(hall: VirtualHall, tmp_path: Path) -> None:
    url = hall.camera(LIMITED).stream("sub").url
    command = ["ffmpeg", "-nostdin", "-loglevel", "error", "-rtsp_transport", "tcp", "-i", url, "-f", "null", "-"]
    with subprocess.Popen(command) as first:
        while hall.state(LIMITED)["players"] == 0:
            time.sleep(0.05)
        answer = _ffprobe(url, "tcp")
        first.terminate()
    assert "453" in answer.stderr


def test_a_camera_goes_away_and_comes_back_on_its_ports(hall: VirtualHall) -> None:
    stream = hall.camera(IN_BAND).stream("sub")
    hall.change(IN_BAND, online=False)
    assert "Connection refused" in _ffprobe(stream.url, "tcp").stderr
    hall.change(IN_BAND, online=True)
    assert _streams(stream.url, "tcp")[0]["codec_name"] == "h264"


def test_a_changed_password_counts_at_once(hall: VirtualHall) -> None:
    stream = hall.camera(B_FRAMES).stream("sub")
    hall.change(B_FRAMES, password="new one")
    assert "401" in _ffprobe(stream.url, "tcp").stderr
    hall.change(B_FRAMES, password=PASSWORD)
    assert _streams(stream.url, "tcp")
