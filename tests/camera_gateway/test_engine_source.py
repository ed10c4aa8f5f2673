"""Our engine against servers that we did not write, and against every way in which a camera may go away."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from camera_gateway.api.first_look import Looker
from camera_gateway.engine_shared import EngineOptions, EngineShared
from camera_gateway.engine_source import EngineSource
from camera_gateway.fmp4.nal import VideoCodec, parse_access_unit, split_sample
from camera_gateway.libav_source import LibavSource
from camera_gateway.packets import AccessUnit, AudioCodec, Engine, SourceSettings
from camera_gateway.reactor import Reactor
from camera_gateway.source_choice import Sources
from deploy.virtual_camera.plan import demo_hall
from deploy.virtual_camera.process import RunningCamera, VirtualHall
from storage.clock import SystemClock
from storage.model import GapReason
from tests.camera_gateway.hall import REPOSITORY, free_port
from tests.camera_gateway.hearing import Hearing
from tests.camera_gateway.media import units as coded
from tests.camera_gateway.scripted_camera import ScriptedCamera
from tests.peers.gst_rtsp import GstServer, make_bframes, make_h264, make_h265, make_with_audio
from tests.peers.relay import Relay
from tests.peers.vlc import VlcServer

pytestmark = pytest.mark.peer

KINDS = {"h264": "h264", "h264aac": "h264aac", "h264pcma": "h264pcma", "h265": "h265", "bframes": "h264"}
ENOUGH = 80


@dataclass
class Bench:
    """A reactor in which cameras are read, one hearing for each."""

    options: EngineOptions | None = None
    reactor: Reactor = field(default_factory=lambda: Reactor(SystemClock()))
    sources: list[EngineSource | LibavSource] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.shared = EngineShared(self.reactor, self.options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self, uri: str, *, user: str = "", password: str = "", **settings: Any) -> Hearing:
        """Start to read a camera with our engine; short time-outs unless said otherwise."""
        return self._start(EngineSource(self.reactor, self.shared), uri, user, password, settings)

    def open_libav(self, uri: str) -> Hearing:
        """Start to read a camera with libavformat."""
        return self._start(LibavSource(self.reactor), uri, "", "", {})

    def _start(
        self, source: EngineSource | LibavSource, uri: str, user: str, password: str, settings: dict[str, Any]
    ) -> Hearing:
        hearing = Hearing(self.reactor)
        times = {"open_timeout_s": 5.0, "read_timeout_s": 2.0}
        self.sources.append(source)
        source.start(SourceSettings(uri, user, password, **(times | settings)), hearing)
        return hearing

    def play(self, uri: str, **settings: Any) -> Hearing:
        """Read a camera until its first pictures came."""
        hearing = self.open(uri, **settings)
        hearing.until(lambda: len(hearing.units) >= 5 or hearing.fault)
        assert hearing.fault is None, hearing.fault.evidence
        return hearing

    def said(self, hearing: Hearing) -> tuple[GapReason, str]:
        """Turn until the session is over; why, and that it was told once and left nothing open."""
        hearing.until(lambda: hearing.fault)
        fault = hearing.fault
        assert fault is not None
        assert hearing.faults == 1
        self.settle()
        assert hearing.faults == 1
        return fault.reason, fault.evidence

    def settle(self) -> None:
        """Turn until nothing is watched any more."""
        Hearing(self.reactor).until(lambda: self.reactor.watching == 0)

    def close(self) -> None:
        for source in self.sources:
            source.close()
            source.close()  # harmless
        self.settle()
        self.reactor.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    with Bench() as made:
        yield made


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Media by kind."""
    folder = tmp_path_factory.mktemp("media")
    video = make_h264(folder, seconds=60)
    return {
        "h264": video,
        "h264aac": make_with_audio(folder, video, "h264aac"),
        "h264pcma": make_with_audio(folder, video, "h264pcma"),
        "h265": make_h265(folder),
        "bframes": make_bframes(folder),
    }


def mounts_of(library: dict[str, Path]) -> dict[str, dict[str, Any]]:
    mounts: dict[str, dict[str, Any]] = {
        f"/{name}": {"media": str(library[name]), "kind": kind} for name, kind in KINDS.items()
    }
    mounts["/udp"] = {"media": str(library["h264"]), "kind": "h264", "udp": True}
    return mounts


@pytest.fixture
def server(library: dict[str, Path]) -> Iterator[GstServer]:
    with GstServer(mounts_of(library)) as made:
        yield made


@pytest.fixture(scope="module")
def hall() -> Iterator[VirtualHall]:
    with VirtualHall(demo_hall(1, password="a b/ö")) as made:
        yield made


@pytest.fixture
def camera(hall: VirtualHall) -> RunningCamera:
    return hall.camera(1)


@dataclass(frozen=True)
class Sample:
    """One picture of a file."""

    data: bytes
    key: bool
    pts: int


def video_of(path: Path) -> list[Sample]:
    """The pictures of a file as libavformat reads it, in decoding order."""
    found: list[Sample] = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        codec = VideoCodec.H265 if stream.codec_context.name == "hevc" else VideoCodec.H264
        for packet in container.demux(stream):
            if packet.size and packet.pts is not None and packet.time_base is not None:
                unit = parse_access_unit(codec, split_sample(bytes(packet)))
                found.append(Sample(unit.sample, packet.is_keyframe, round(packet.pts * packet.time_base * 90_000)))
    return found


def audio_of(path: Path) -> list[bytes]:
    """The pieces of audio of a file."""
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(container.streams.audio[0]) if packet.size]


def require_the_same(units: list[AccessUnit], source: list[Sample]) -> None:
    """Every picture from the first on, bit by bit, with its key flag and its distance to the first."""
    source = source[: len(units)]
    assert [unit.data for unit in units] == [sample.data for sample in source]
    assert [unit.key for unit in units] == [sample.key for sample in source]
    assert [unit.pts - units[0].pts for unit in units] == [sample.pts - source[0].pts for sample in source]
    times = [unit.dts for unit in units]
    assert times == sorted(set(times))
    assert all(unit.pts >= unit.dts for unit in units)
    assert not any(unit.jumped for unit in units)
    assert len({id(unit.parameters) for unit in units}) == 1


def test_every_kind_of_camera_is_read_bit_by_bit(bench: Bench, server: GstServer, library: dict[str, Path]) -> None:
    over_tcp = {kind: bench.open(server.url(f"/{kind}"), audio=True) for kind in KINDS}
    over_udp = {kind: bench.open(server.url(f"/{kind}"), transport="udp") for kind in ("h264", "h265", "bframes")}
    by_libav = {kind: bench.open_libav(server.url(f"/{kind}")) for kind in ("h264", "h265")}
    offered_over_udp_alone = bench.open(server.url("/udp"))
    groups = (over_tcp, over_udp, by_libav, {"h264": offered_over_udp_alone})
    everyone = [hearing for group in groups for hearing in group.values()]
    everyone[0].until(lambda: all(len(one.units) >= ENOUGH or one.fault for one in everyone))
    for group, engine, transport in zip(
        groups, (Engine.RTSP, Engine.RTSP, Engine.LIBAV, Engine.RTSP), ("tcp", "udp", "tcp", "udp"), strict=True
    ):
        for kind, hearing in group.items():
            assert hearing.fault is None, (kind, hearing.fault.evidence)
            assert hearing.info is not None
            codec = VideoCodec.H265 if kind == "h265" else VideoCodec.H264
            assert (hearing.info.engine, hearing.info.transport, hearing.info.codec) == (engine, transport, codec)
            require_the_same(hearing.units, video_of(library[kind]))
    assert all(source.counters.lost == source.counters.broken_units == 0 for source in bench.sources)
    assert offered_over_udp_alone.info is not None
    assert "461" in offered_over_udp_alone.info.note  # and why it is not TCP


def test_audio_comes_as_it_was_sent_when_it_is_wanted(
    bench: Bench, server: GstServer, library: dict[str, Path]
) -> None:
    aac, pcma = (bench.open(server.url(f"/{kind}"), audio=True) for kind in ("h264aac", "h264pcma"))
    unwanted = bench.open(server.url("/h264aac"))
    everyone = (aac, pcma, unwanted)
    aac.until(lambda: all(len(one.units) >= ENOUGH or one.fault for one in everyone))
    assert aac.info is not None
    assert aac.info.audio is not None
    assert (aac.info.audio.codec, aac.info.audio.rate, aac.info.audio.channels) == (AudioCodec.AAC, 44_100, 1)
    sent = audio_of(library["h264aac"])
    start = sent.index(aac.audio_units[0].data)
    assert len(aac.audio_units) > 40
    assert [unit.data for unit in aac.audio_units] == sent[start : start + len(aac.audio_units)]
    off = [unit.time - 1024 * index for index, unit in enumerate(aac.audio_units)]
    assert max(off) - min(off) <= 1  # each of GStreamer's timestamps is rounded by itself, and nothing drifts

    assert pcma.info is not None
    assert pcma.info.audio is not None
    assert (pcma.info.audio.codec, pcma.info.audio.rate) == (AudioCodec.PCMA, 8000)
    heard = b"".join(unit.data for unit in pcma.audio_units)
    assert len(heard) > 8000
    assert heard in b"".join(audio_of(library["h264pcma"]))
    assert [unit.time for unit in pcma.audio_units] == [
        sum(len(before.data) for before in pcma.audio_units[:index]) for index in range(len(pcma.audio_units))
    ]
    assert unwanted.audio_units == []


def test_vlc_which_sends_over_udp_alone(bench: Bench, library: dict[str, Path]) -> None:
    with VlcServer(library["h264"], free_port()) as vlc:
        asked, unasked = bench.open(vlc.url, transport="udp"), bench.open(vlc.url)
        asked.until(lambda: all(len(one.units) >= ENOUGH or one.fault for one in (asked, unasked)))
        source = [sample.data for sample in video_of(library["h264"])]
        for hearing in (asked, unasked):
            assert hearing.fault is None, hearing.fault.evidence
            assert hearing.info is not None
            assert hearing.info.transport == "udp"
            start = source.index(hearing.units[0].data)  # it was playing before we came
            found = [unit.data for unit in hearing.units][: len(source) - start]
            assert found == source[start : start + len(found)]
            times = [unit.pts - hearing.units[0].pts for unit in hearing.units[:50]]
            assert times == [3600 * index for index in range(50)]


@pytest.mark.parametrize("basic", [False, True])
def test_a_password_is_understood_by_another_maker(library: dict[str, Path], basic: bool) -> None:
    with GstServer(mounts_of(library), "admin", "p@ss: wörd", basic) as server, Bench() as bench:
        hearing = bench.play(server.url("/h264"), user="admin", password="p@ss: wörd")
        require_the_same(hearing.units, video_of(library["h264"]))
        refused = bench.open(server.url("/h264"), user="admin", password="wrong")
        refused.until(lambda: refused.fault)
        assert refused.fault is not None
        assert refused.fault.reason is GapReason.AUTHENTICATION
        assert "401" in refused.fault.evidence
        assert hearing.fault is None


# TLS


def make_certificate(folder: Path, name: str) -> Path:
    """A PEM file with a key and a certificate that a camera signed for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime(2026, 1, 1, tzinfo=UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    built = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
    built = built.not_valid_before(now).not_valid_after(now + timedelta(days=36_500)).add_extension(names, False)
    path = folder / f"{name}.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return path


def test_rtsp_over_tls(library: dict[str, Path], tmp_path: Path) -> None:
    own, other = make_certificate(tmp_path, "own"), make_certificate(tmp_path, "other")
    with GstServer(mounts_of(library), tls=own) as server:
        for trust in ("any", str(own)):
            with Bench(EngineOptions(tls_trust=trust)) as bench:
                hearing = bench.play(server.url("/h264"))
                assert hearing.info is not None
                assert hearing.info.transport == "tls"
                require_the_same(hearing.units, video_of(library["h264"]))
        for trust in ("system", str(other)):
            with Bench(EngineOptions(tls_trust=trust)) as bench:
                reason, evidence = bench.said(bench.open(server.url("/h264")))
                assert reason is GapReason.REFUSED
                assert evidence.startswith("TLS: the certificate is not trusted (self")


def test_a_port_that_does_not_speak_tls_is_called_so(bench: Bench, server: GstServer) -> None:
    said = bench.said(bench.open(server.url("/h264").replace("rtsp:", "rtsps:")))
    assert said == (GapReason.REFUSED, "TLS: the port does not speak TLS")


# Cameras that cannot be reached


def test_a_closed_port_is_refused(bench: Bench) -> None:
    said = bench.said(bench.open(f"rtsp://127.0.0.1:{free_port()}/live"))
    assert said == (GapReason.REFUSED, "connection refused")


def test_a_name_without_dns_says_so(bench: Bench) -> None:
    reason, evidence = bench.said(bench.open("rtsp://camera.invalid/live"))
    assert reason is GapReason.UNREACHABLE
    assert evidence.startswith("DNS: camera.invalid: ") or evidence == "DNS: the name camera.invalid was not resolved"


def test_dns_that_hangs_ends_with_the_opening_time() -> None:
    reactor = Reactor(SystemClock())
    go, waiting = os.pipe()
    shared = EngineShared(reactor, lookup=lambda _host: [os.read(go, 9).decode()])
    hearing = Hearing(reactor)
    EngineSource(reactor, shared).start(SourceSettings("rtsp://camera/live", open_timeout_s=0.2), hearing)
    hearing.until(lambda: hearing.fault)
    assert hearing.fault is not None
    assert hearing.fault.reason is GapReason.UNREACHABLE
    assert hearing.fault.evidence == "DNS: the name camera was not resolved within 0.2 s"
    os.write(waiting, b"127.0.0.1")
    Hearing(reactor).until(lambda: reactor.watching == 0)
    reactor.turn(0.2)  # the late answer is nobody's any more
    assert reactor.watching == 0
    reactor.close()
    os.close(go)
    os.close(waiting)


def test_a_name_is_resolved_and_its_second_address_tried(camera: RunningCamera) -> None:
    reactor = Reactor(SystemClock())
    shared = EngineShared(reactor, lookup=lambda _host: ["::1", "127.0.0.1"])  # the camera has no IPv6
    hearing = Hearing(reactor)
    uri = camera.stream("sub").uri.replace("127.0.0.1", "camera")
    source = EngineSource(reactor, shared)
    source.start(SourceSettings(uri, camera.username, camera.password), hearing)
    hearing.until(lambda: hearing.units or hearing.fault)
    assert hearing.fault is None
    source.close()
    Hearing(reactor).until(lambda: reactor.watching == 0)
    reactor.close()


@pytest.mark.parametrize("uri", ["rtsp://:8/live", "http://127.0.0.1/live", "rtsp://127.0.0.1:99999/live"])
def test_an_address_that_is_none_fails_like_a_camera(bench: Bench, uri: str) -> None:
    reason, evidence = bench.said(bench.open(uri))
    assert reason is GapReason.NO_MEDIA
    assert "URL" in evidence


def test_a_host_that_connects_and_says_nothing(bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        said = bench.said(bench.open(f"rtsp://127.0.0.1:{port}/live", open_timeout_s=0.3))
        assert said == (GapReason.NO_MEDIA, "connected, but RTSP requests were not answered within 0.3 s")
        said = bench.said(bench.open(f"rtsps://127.0.0.1:{port}/live", open_timeout_s=0.3))
        assert said == (GapReason.NO_MEDIA, "TLS: connected, but the handshake did not end within 0.3 s")


def test_half_open_connections_and_black_holes_are_told_from_silence() -> None:
    """In a network namespace whose loopback swallows everything from one moment on."""
    command = f"ip link set lo up && exec {sys.executable} -m tests.camera_gateway.half_open"
    done = subprocess.run(
        ["unshare", "-Urn", "sh", "-c", command], cwd=REPOSITORY, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [
        ["network", "no media for 2 s, and nothing is acknowledged: half-open"],
        ["unreachable", "no answer to the connection request within 1 s"],
    ]


# Cameras that refuse


def test_a_wrong_password_is_tried_at_most_twice(bench: Bench, hall: VirtualHall, camera: RunningCamera) -> None:
    before = hall.state(1)["failed_logins"]
    hearing = bench.open(camera.stream("sub").uri, user=camera.username, password="wrong")
    reason, evidence = bench.said(hearing)
    assert reason is GapReason.AUTHENTICATION
    assert "401" in evidence
    assert 1 <= hall.state(1)["failed_logins"] - before <= 2
    assert "wrong" not in evidence.split("password")


def test_a_stream_that_is_not_there(bench: Bench, camera: RunningCamera) -> None:
    uri = f"rtsp://127.0.0.1:{camera.rtsp_port}/nothing"
    reason, evidence = bench.said(bench.open(uri, user=camera.username, password=camera.password))
    assert reason is GapReason.NO_MEDIA
    assert "404" in evidence


# Cameras that go away


def test_a_server_that_is_killed(bench: Bench, server: GstServer) -> None:
    hearing = bench.play(server.url("/h264"))
    server.stop()
    reason, evidence = bench.said(hearing)
    assert reason is GapReason.NETWORK
    assert evidence in ("the camera ended the stream", "connection reset by the camera")


def test_a_server_that_hangs_while_its_kernel_lives(bench: Bench, server: GstServer) -> None:
    hearing = bench.play(server.url("/h264"))
    server.freeze()
    said = bench.said(hearing)
    server.thaw()
    assert said == (
        GapReason.NETWORK,
        "no media for 2 s; TCP acknowledges, but RTSP requests are not answered",
    )


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_camera_that_answers_but_sends_no_media(
    bench: Bench, hall: VirtualHall, camera: RunningCamera, transport: str
) -> None:
    stream = camera.stream("sub")
    hearing = bench.play(stream.uri, user=camera.username, password=camera.password, transport=transport)
    hall.change(1, paused=True)
    said = bench.said(hearing)
    assert said == (GapReason.NETWORK, "no media for 2 s; the camera still sends on the RTSP connection")
    never = bench.open(stream.uri, user=camera.username, password=camera.password, transport=transport)
    reason, evidence = bench.said(never)
    hall.change(1, paused=False)
    assert (reason, evidence) == (
        GapReason.NO_MEDIA,
        "no media for 2 s; the camera still sends on the RTSP connection",
    )


def test_a_reset_and_an_end_in_mid_stream(bench: Bench, camera: RunningCamera) -> None:
    path = camera.stream("sub").uri.split(str(camera.rtsp_port))[1]
    for break_off, wanted in (
        (Relay.reset, "connection reset by the camera"),
        (Relay.end, "the camera ended the stream"),
    ):
        relay = Relay(camera.rtsp_port)
        hearing = bench.play(f"rtsp://127.0.0.1:{relay.port}{path}", user=camera.username, password=camera.password)
        break_off(relay)
        assert bench.said(hearing) == (GapReason.NETWORK, wanted)
        relay.stop()


def test_what_the_neighbours_do_is_part_of_the_evidence(bench: Bench, camera: RunningCamera) -> None:
    with socket.socket() as deaf, contextlib.ExitStack() as queue:
        deaf.bind(("127.0.0.5", 0))
        deaf.listen(0)
        for _ in range(3):  # its queue is full: further requests to connect get no answer
            waiting = queue.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(deaf.getsockname())
        uri = f"rtsp://127.0.0.5:{deaf.getsockname()[1]}/live"
        said = bench.said(bench.open(uri, open_timeout_s=0.3))
        assert said == (GapReason.UNREACHABLE, "no answer to the connection request within 0.3 s")
        other = bench.play(camera.stream("sub").uri, user=camera.username, password=camera.password)
        alone = bench.open(uri, open_timeout_s=0.3)
        other.until(lambda: alone.fault)
        assert alone.fault is not None
        assert alone.fault.evidence == ("no answer to the connection request within 0.3 s; 1 of 1 other cameras answer")


def test_ipv6(bench: Bench) -> None:
    scripted = ScriptedCamera(bench.reactor, socket.create_server(("::1", 0), family=socket.AF_INET6))
    scripted.describe(coded("h264")[0])
    hearing = bench.open(scripted.uri.replace("127.0.0.1", "[::1]"))
    scripted.serve_until("PLAY")
    for number in range(5):
        scripted.send_unit(coded("h264")[number], number * 3600)
    hearing.until(lambda: len(hearing.units) >= 4)
    assert [unit.data for unit in hearing.units[:4]] == [unit.data for unit in coded("h264")[:4]]
    bench.sources[-1].close()
    scripted.serve(20)
    assert "TEARDOWN" in scripted.requests
    scripted.close()


# Leaving


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_closed_session_is_torn_down_and_says_nothing_more(
    bench: Bench, hall: VirtualHall, camera: RunningCamera, transport: str
) -> None:
    stream = camera.stream("main")
    hearing = bench.play(stream.uri, user=camera.username, password=camera.password, transport=transport)
    assert hall.state(1)["players"] == 1
    bench.sources[-1].close()
    heard = len(hearing.units)
    bench.settle()
    assert hall.state(1)["players"] == 0
    assert (len(hearing.units), hearing.fault) == (heard, None)


def test_a_listener_may_close_from_within_a_picture(bench: Bench, camera: RunningCamera) -> None:
    hearing = bench.open(camera.stream("main").uri, user=camera.username, password=camera.password)
    hearing.on_unit = lambda _unit: bench.sources[-1].close()
    hearing.until(lambda: hearing.units)
    bench.settle()
    assert (len(hearing.units), hearing.fault) == (1, None)


def test_a_camera_that_hangs_does_not_hold_up_the_leaving(bench: Bench, server: GstServer) -> None:
    hearing = bench.play(server.url("/h264"))
    server.freeze()
    bench.sources[-1].close()
    assert bench.reactor.watching == 1
    bench.settle()
    server.thaw()
    assert hearing.fault is None


def test_closing_before_anything_came_is_harmless(bench: Bench, camera: RunningCamera) -> None:
    hearing = bench.open(camera.stream("sub").uri)
    bench.sources[-1].close()
    for _ in range(5):
        bench.reactor.turn(0.02)
    assert (hearing.info, hearing.fault, bench.reactor.watching) == (None, None, 0)


# UDP


def test_datagrams_of_strangers_are_not_media(camera: RunningCamera) -> None:
    with Bench(EngineOptions(udp_first_port=46_200, udp_last_port=46_201)) as bench:
        hearing = bench.play(camera.stream("main").uri, user=camera.username, password=camera.password, transport="udp")
        counters = bench.sources[-1].counters
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.bind(("127.0.0.2", 0))
            for number in range(50):
                stranger.sendto(b"\x80\xe0" + number.to_bytes(2, "big") + bytes(200), ("127.0.0.1", 46_200))
        count = len(hearing.units)
        hearing.until(lambda: len(hearing.units) >= count + 15)
        assert (counters.lost, counters.broken_units, counters.reordered, counters.ignored) == (0, 0, 0, 0)

        second = bench.open(camera.stream("sub").uri, user=camera.username, password=camera.password, transport="udp")
        second.until(lambda: second.fault)
        assert second.fault is not None
        assert second.fault.evidence == "no pair of UDP ports is free in 46200 to 46201"


def test_a_first_look_takes_our_engine_and_gives_a_picture(camera: RunningCamera) -> None:
    looker = Looker(lambda reactor: Sources.of(reactor).new(), SystemClock())
    stream = camera.stream("sub")
    seen = looker.look(SourceSettings(stream.uri, camera.username, camera.password), measure_gop=True)
    assert seen.picture is not None
    assert (seen.cause, seen.width, seen.height) == ("", stream.width, stream.height)
    nominal_ms = stream.gop * 1000 // stream.fps
    assert abs(seen.gop_ms - nominal_ms) < nominal_ms / 4  # a live camera's timestamps are as punctual as it is
