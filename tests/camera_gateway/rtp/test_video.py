"""Access units out of RTP packets: boundaries, parameter sets, loss, times."""

from __future__ import annotations

import itertools

import pytest

from camera_gateway.packets import AccessUnit, SourceCounters, SourceFault
from camera_gateway.rtp.description import MediaDescription
from camera_gateway.rtp.tracks import make_track
from storage.model import GapReason
from tests.camera_gateway.rtp.senders import (
    PPS,
    PPS5,
    SETTINGS,
    SPS,
    SPS5,
    SSRC,
    VPS5,
    Kept,
    aggregate,
    aggregate5,
    fragments,
    fragments5,
    give,
    h264,
    h265,
    packet,
    sample,
    track,
)

IDR = b"\x65\x88" + bytes(range(200)) * 9
P = b"\x41\x9a" + bytes(range(200))
P_SECOND_SLICE = b"\x41\x3a" + bytes(range(50))
IDR_SECOND_SLICE = b"\x65\x08" + bytes(range(50))
IDR5 = b"\x26\x01\xaf" + bytes(range(200)) * 9
P5 = b"\x02\x01\xd0" + bytes(range(100))


class Sender:
    """Numbers packets as a camera does."""

    def __init__(self, sequence: int = 65_530, stamp: int = 2**32 - 7200) -> None:
        self.sequence = sequence
        self.stamp = stamp
        self.ssrc = SSRC

    def unit(self, *payloads: bytes, markers: str = "last", step: int = 3600) -> list[bytes]:
        """The packets of one access unit; `markers`: last, none or all."""
        self.stamp += step
        made = []
        for index, payload in enumerate(payloads):
            self.sequence += 1
            marker = markers == "all" or (markers == "last" and index == len(payloads) - 1)
            made.append(packet(self.sequence, self.stamp, payload, marker=marker, ssrc=self.ssrc))
        return made


def run(packets: list[bytes], media: MediaDescription | None = None) -> tuple[list[AccessUnit], SourceCounters]:
    receiver, kept, counters = track(media or h264())
    for index, data in enumerate(packets):
        give(receiver, data, index / 1000)
    receiver.flush()
    return kept.units, counters


def test_single_aggregated_and_fragmented_units() -> None:
    sender = Sender()
    packets = sender.unit(aggregate((SPS, PPS)), *fragments(IDR, 500))
    packets += sender.unit(P)
    packets += sender.unit(SPS, PPS, b"\x06\x05\x01\x00\x80", *fragments(IDR, 1000))
    units, counters = run(packets)
    assert [unit.data for unit in units] == [sample(IDR), sample(P), sample(b"\x06\x05\x01\x00\x80", IDR)]
    assert [unit.key for unit in units] == [True, False, True]
    assert [unit.dts for unit in units] == [0, 3600, 7200]
    assert units[0].parameters is units[2].parameters
    assert units[0].parameters.sps == (SPS,)
    assert counters.packets == len(packets)
    assert counters.lost == 0


def test_arrival_is_that_of_the_last_packet() -> None:
    sender = Sender()
    packets = [*sender.unit(*fragments(IDR, 500)), *sender.unit(P, P_SECOND_SLICE), *sender.unit(P)]
    units, _ = run(packets)
    assert [unit.arrival_us for unit in units] == [3000, 5000, 6000]
    assert [unit.arrival_s for unit in units] == [0.003, 0.005, 0.006]


@pytest.mark.parametrize("markers", ["last", "none", "all"])
def test_units_of_several_slices_whatever_the_marker_bits(markers: str) -> None:
    sender = Sender()
    packets: list[bytes] = []
    wanted = []
    for index in range(60):
        if index % 20 == 0:
            packets += sender.unit(SPS, PPS, *fragments(IDR, 700), IDR_SECOND_SLICE, markers=markers)
            wanted.append(sample(IDR, IDR_SECOND_SLICE))
        else:
            packets += sender.unit(P, P_SECOND_SLICE, markers=markers)
            wanted.append(sample(P, P_SECOND_SLICE))
    packets += sender.unit(P, P_SECOND_SLICE)  # the last one of a session needs its marker bit
    units, counters = run(packets)
    assert [unit.data for unit in units] == [*wanted, sample(P, P_SECOND_SLICE)]
    assert counters.broken_units == 0


def test_marker_bits_that_turn_out_a_lie_cost_one_unit() -> None:
    sender = Sender()
    packets = sender.unit(IDR) + sender.unit(P) + sender.unit(P) + sender.unit(P) + sender.unit(P)
    packets += sender.unit(P, P_SECOND_SLICE, markers="all")  # by now marker bits are believed
    packets += sender.unit(IDR, IDR_SECOND_SLICE, markers="all") + sender.unit(P)
    units, counters = run(packets)
    assert sample(IDR, IDR_SECOND_SLICE) in [unit.data for unit in units]
    assert counters.broken_units == 1


def test_pictures_of_one_timestamp_stay_apart() -> None:
    sender = Sender()
    packets = sender.unit(IDR)
    for _ in range(8):
        packets += sender.unit(P, step=0)
    units, counters = run(packets)
    assert [unit.data for unit in units] == [sample(IDR)] + [sample(P)] * 8
    assert all(later.dts > earlier.dts for earlier, later in itertools.pairwise(units))
    assert counters.broken_units == 0


def test_parameter_sets_with_their_own_marker_and_timestamp() -> None:
    sender = Sender()
    packets = sender.unit(SPS) + sender.unit(PPS) + sender.unit(IDR, step=1) + sender.unit(P)
    units, _ = run(packets, h264(**{"sprop-parameter-sets": ""}))
    assert [unit.data for unit in units] == [sample(IDR), sample(P)]
    assert units[0].parameters.sps == (SPS,)


def test_units_before_the_first_parameter_sets_are_left_out() -> None:
    sender = Sender()
    packets = sender.unit(IDR) + sender.unit(P) + sender.unit(SPS, PPS, IDR) + sender.unit(P)
    units, _ = run(packets, h264(**{"sprop-parameter-sets": ""}))
    assert [unit.data for unit in units] == [sample(IDR), sample(P)]


def test_new_parameter_sets_come_into_force_with_a_key_picture() -> None:
    other = SPS[:-1] + b"\xa1"
    sender = Sender()
    packets = sender.unit(SPS, PPS, IDR) + sender.unit(P) + sender.unit(other, P) + sender.unit(IDR) + sender.unit(P)
    units, _ = run(packets)
    assert [unit.parameters.sps for unit in units] == [(SPS,), (SPS,), (SPS,), (other,), (other,)]
    assert units[3].parameters is units[4].parameters
    assert units[0].parameters is units[2].parameters


def test_parameter_sets_behind_each_other_with_start_codes() -> None:
    sender = Sender()
    units, _ = run(sender.unit(SPS + b"\0\0\0\1" + PPS, IDR) + sender.unit(P), h264(**{"sprop-parameter-sets": ""}))
    assert units[0].parameters.sps == (SPS,)
    assert units[0].parameters.pps == (PPS,)


def test_a_description_with_start_codes_and_rubbish() -> None:
    sender = Sender()
    media = h264(**{"sprop-parameter-sets": "AAAAAWdCwB7aAoC/5cBagICAoA,=,aM48gA==,!"})
    units, _ = run(sender.unit(IDR) + sender.unit(P), media)
    assert units[0].parameters.sps == (SPS,)
    assert units[0].parameters.pps == (PPS,)


def test_delimiters_and_filler_are_left_out() -> None:
    sender = Sender()
    packets = sender.unit(b"\x09\xf0", IDR, b"\x0c\xff\xff") + sender.unit(
        b"\x09\xf0", P, *fragments(b"\x0c" + b"\xff" * 900, 400)
    )
    units, _ = run(packets)
    assert [unit.data for unit in units] == [sample(IDR), sample(P)]


def test_a_clean_recovery_point_is_a_key_picture() -> None:
    sender = Sender()
    units, _ = run(sender.unit(b"\x06\x06\x01\xc4\x80", P) + sender.unit(P))
    assert [unit.key for unit in units] == [True, False]


def test_fragments_without_an_end_bit() -> None:
    sender = Sender()
    pieces = fragments(IDR, 500)
    pieces[-1] = bytes((pieces[-1][0], pieces[-1][1] & ~0x40)) + pieces[-1][2:]
    units, counters = run(sender.unit(*pieces) + sender.unit(P))
    assert [unit.data for unit in units] == [sample(IDR), sample(P)]
    assert counters.broken_units == 0


def test_packets_with_start_codes() -> None:
    sender = Sender()
    packets = sender.unit(b"\0\0\0\1" + SPS + b"\0\0\0\1" + PPS + b"\0\0\1\x65\x88\x01") + sender.unit(b"\0\0\0\1" + P)
    units, _ = run(packets + sender.unit(b"\0\0\0"), h264(**{"sprop-parameter-sets": ""}))
    assert [unit.data for unit in units] == [sample(b"\x65\x88\x01"), sample(P)]
    assert units[0].parameters.sps == (SPS,)


def test_h265() -> None:
    sender = Sender()
    sei_before, sei_behind = b"\x4e\x01\x05\x80", b"\x50\x01\x05\x80"
    packets = sender.unit(aggregate5((VPS5, SPS5, PPS5)), sei_before, *fragments5(IDR5, 600), sei_behind)
    packets += sender.unit(b"\x46\x01\x10", P5) + sender.unit(*fragments5(P5, 30)) + sender.unit(P5)
    units, _ = run(packets, h265(**{"sprop-sps": ""}))
    assert [unit.data for unit in units] == [sample(sei_before, IDR5, sei_behind), sample(P5), sample(P5), sample(P5)]
    assert [unit.key for unit in units] == [True, False, False, False]
    assert units[0].parameters.vps == (VPS5,)
    assert units[0].parameters.sps == (SPS5,)


# -- loss --------------------------------------------------------------------------------------------------------------


def test_a_lost_packet_costs_its_unit_and_no_other() -> None:
    sender = Sender()
    wanted = [sender.unit(*fragments(IDR, 300))] + [
        sender.unit(*fragments(b"\x41\x9a" + bytes((n,)) * 900, 300)) for n in range(9)
    ]
    for gone in range(len(wanted[4])):
        packets = [
            data for number, unit in enumerate(wanted) for at, data in enumerate(unit) if (number, at) != (4, gone)
        ]
        units, counters = run(packets)
        assert len(units) == 9, gone
        assert counters.lost == 1
        assert counters.broken_units == 1
        assert units[4].dts - units[3].dts == 7200  # the hole shows


def test_a_whole_lost_unit_breaks_no_other() -> None:
    sender = Sender()
    sent = [sender.unit(*fragments(IDR, 300)), *(sender.unit(*fragments(P, 100)) for _ in range(9))]
    units, counters = run([data for number, unit in enumerate(sent) if number != 6 for data in unit])
    assert len(units) == 9
    assert counters.broken_units == 0


def test_pictures_after_a_damaged_change_of_parameters_wait_for_a_key_picture() -> None:
    other = SPS[:-1] + b"\xa1"
    sender = Sender()
    sent = sender.unit(IDR) + sender.unit(P)
    damaged = sender.unit(other, PPS, *fragments(IDR, 500))
    sent += damaged[:3] + damaged[4:]
    sent += sender.unit(P) + sender.unit(P) + sender.unit(other, PPS, IDR) + sender.unit(P)
    units, counters = run(sent)
    assert [unit.parameters.sps for unit in units] == [(SPS,), (SPS,), (other,), (other,)]
    assert counters.broken_units == 3


def test_another_session_of_the_same_camera() -> None:
    sender = Sender()
    sent = [data for _ in range(6) for data in sender.unit(IDR)]
    sender.ssrc, sender.stamp, sender.sequence = 77, 5, 5
    sent += [data for _ in range(6) for data in sender.unit(IDR)]
    units, counters = run(sent)
    assert [unit.jumped for unit in units] == [False] * 6 + [True] + [False] * 5
    assert [unit.dts for unit in units] == [index * 3600 for index in range(12)]
    assert units[0].parameters is units[-1].parameters
    assert counters.lost == 0


def test_b_frames_get_even_decoding_times() -> None:
    sender = Sender(stamp=1000)
    order = [0, 4, 2, 1, 3, 8, 6, 5, 7, 12, 10, 9, 11]
    sent: list[bytes] = []
    for shown in order:
        sender.stamp = 1000 + shown * 3600
        sent += sender.unit(IDR if not shown else P, step=0)
    units, _ = run(sent)
    assert [unit.dts for unit in units] == [index * 3600 for index in range(13)]
    assert [unit.pts // 3600 - 2 for unit in units] == order


def test_timestamps_that_jump() -> None:
    sender = Sender()
    sent = [data for _ in range(6) for data in sender.unit(IDR)]
    for step in (90_000 * 60, -90_000 * 30):
        sent += sender.unit(IDR, step=step) + sender.unit(P)
    units, _ = run(sent)
    assert [unit.jumped for unit in units] == [False] * 6 + [True, False, True, False]
    assert [unit.dts for unit in units] == [index * 3600 for index in range(10)]


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "name"), [(25, "STAP-B"), (26, "MTAP16"), (27, "MTAP24"), (29, "FU-B")])
def test_interleaved_h264_is_refused(kind: int, name: str) -> None:
    receiver, _, _ = track(h264())
    with pytest.raises(SourceFault, match=name) as caught:
        give(receiver, packet(1, 1, bytes((kind, 0, 0, 0, 0))))
    assert caught.value.reason is GapReason.NO_MEDIA
    assert caught.value.unreadable


def test_interleaved_modes_are_refused() -> None:
    with pytest.raises(SourceFault, match="packetization-mode"):
        track(h264(**{"packetization-mode": "2"}))
    with pytest.raises(SourceFault, match="sprop-max-don-diff"):
        track(h265(**{"sprop-max-don-diff": "2"}))
    receiver, _, _ = track(h265(**{"sprop-max-don-diff": "0"}))
    with pytest.raises(SourceFault, match="PACI"):
        give(receiver, packet(1, 1, b"\x64\x01\x00\x00"))


@pytest.mark.parametrize(
    ("kind", "encoding"),
    [
        ("video", "JPEG"),
        ("video", "H266"),
        ("audio", "OPUS"),
        ("video", ""),
        ("application", "VND.ONVIF.METADATA.GZIP"),
    ],
)
def test_other_codecs_are_refused_by_name(kind: str, encoding: str) -> None:
    media = MediaDescription(kind, 96, encoding, 90_000)
    with pytest.raises(SourceFault, match="not recorded") as caught:
        make_track(media, SETTINGS, Kept(), SourceCounters(), ordered=True)
    assert caught.value.reason is GapReason.NO_MEDIA


def test_endless_units_are_dropped() -> None:
    sender = Sender()
    receiver, kept, counters = track(h264())
    for data in sender.unit(IDR):
        give(receiver, data)
    for data in sender.unit(*fragments(b"\x41\x9a" + bytes(9 << 20), 60_000)) + sender.unit(P):
        give(receiver, data)
    receiver.flush()
    assert [unit.data for unit in kept.units] == [sample(IDR), sample(P)]
    assert counters.broken_units == 1
