"""The durable outbox: what was appended survives whatever happens, and every loss is on record."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.clock import US
from storage.errors import ObjectDamaged, StorageFull
from storage.identity.boxes import SecretBox
from storage.model import CoverageState
from storage.spool.ledger import Mark
from storage.spool.outbox import Limits, Pressure, Stored
from storage.spool.records import scan_file
from tests.storage.spool.helpers import T0, FillingDisk, Spool, piece


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    made = Spool(tmp_path / "spool")
    yield made
    made.close()


def contents(*numbers: int) -> bytes:
    return b"".join(piece(number) for number in numbers) + b"end"


def reasons(spool: Spool) -> list[str]:
    return [reason for _, _, _, _, reason in spool.outbox.dropped()]


def test_a_segment_comes_back_as_it_was_appended(spool: Spool) -> None:
    stored = spool.segment()
    assert spool.body(stored) == contents(0, 1, 2)
    assert (stored.meta.monitor, stored.meta.width, stored.meta.height) == ("HDMI-1", 100, 50)
    assert (stored.t1_us, stored.pictures) == (T0 + 3, (T0, T0 + 1, T0 + 2))


def test_nothing_readable_lies_on_the_disk(spool: Spool) -> None:
    spool.segment(size=1000)
    assert all(b"piece" not in path.read_bytes() for path in spool.files())
    assert spool.files()[0].stat().st_mode & 0o077 == 0


def test_an_acknowledged_segment_is_gone(spool: Spool) -> None:
    stored = spool.segment()
    spool.outbox.acknowledge(stored.meta.id)
    assert spool.files() == []
    assert spool.outbox.next_due() is None
    assert spool.outbox.usage().segments == 0
    assert spool.outbox.dropped() == []


def test_a_kill_between_acknowledgement_and_unlink(spool: Spool) -> None:
    spool.segment()
    with spool.outbox.index.write() as connection:
        connection.execute("UPDATE segment SET state = 'acknowledged'")
    spool.reopen()
    assert (spool.files(), spool.due()) == ([], [])
    assert spool.outbox.dropped() == []


def test_a_kill_between_unlink_and_the_rows_end(spool: Spool) -> None:
    spool.segment()
    with spool.outbox.index.write() as connection:
        connection.execute("UPDATE segment SET state = 'acknowledged'")
    spool.files()[0].unlink()
    spool.reopen()
    assert spool.outbox.usage().segments == 0
    assert spool.outbox.dropped() == []


def test_a_kill_before_the_segment_was_closed_keeps_every_appended_picture(spool: Spool) -> None:
    writer = spool.outbox.begin("HDMI-1", 100, 50, T0)
    for number in range(4):
        writer.append(piece(number), T0 + number)
    spool.reopen()
    [stored] = spool.due()
    assert spool.body(stored) == contents(0, 1, 2, 3)
    assert stored.pictures == (T0, T0 + 1, T0 + 2, T0 + 3)
    assert spool.outbox.dropped() == []


def test_a_kill_between_the_last_bytes_and_the_end_record(spool: Spool) -> None:
    stored = spool.segment()
    path = spool.files()[0]
    last = scan_file(path).records[-1]
    os.truncate(path, last.offset)
    with spool.outbox.index.write() as connection:
        connection.execute("UPDATE segment SET state = 'open', sha256 = ''")
    spool.reopen()
    [again] = spool.due()
    assert (again.meta.id, again.sha256) == (stored.meta.id, stored.sha256)
    assert spool.body(again) == contents(0, 1, 2)


@pytest.mark.parametrize("cut", [1, 3, 17, 40])
def test_a_torn_tail_is_cut_and_the_rest_kept(spool: Spool, cut: int) -> None:
    writer = spool.outbox.begin("HDMI-1", 100, 50, T0)
    for number in range(3):
        writer.append(piece(number), T0 + number)
    path = spool.files()[0]
    os.truncate(path, path.stat().st_size - cut)
    spool.reopen()
    [stored] = spool.due()
    assert spool.body(stored) == contents(0, 1)
    assert scan_file(path).whole


@pytest.mark.parametrize(("record", "kept"), [(0, 0), (2, 1)], ids=["first", "middle"])
def test_damage_inside_an_unfinished_segment_destroys_no_picture_behind_it(
    spool: Spool, record: int, kept: int
) -> None:
    """Each record was synced before the next began: what more follows is no torn tail."""
    writer = spool.outbox.begin("HDMI-1", 100, 50, T0)
    for number in range(4):
        writer.append(piece(number), T0 + number)
    (path,) = spool.files()
    content = bytearray(path.read_bytes())
    content[scan_file(path).records[record].offset + 40] ^= 1
    path.write_bytes(content)
    spool.reopen()
    assert [len(stored.pictures) for stored in spool.due()] == ([kept] if kept else [])
    assert bytes(content) in [found.read_bytes() for found in spool.quarantined()]
    assert reasons(spool) == ["spool_corrupt"]


@pytest.mark.parametrize("reported", [False, True], ids=["unreported", "reported"])
@pytest.mark.parametrize(
    ("record", "kept_s"), [(0, 0), (1, 0), (2, 1)], ids=["head", "first picture", "second picture"]
)
def test_pictures_behind_damage_are_a_loss_on_record_and_no_claim_of_the_ledger(
    spool: Spool, record: int, kept_s: int, reported: bool
) -> None:
    writer = spool.outbox.begin("HDMI-1", 100, 50, T0)
    for second in (0, 5, 10, 15):
        writer.append(piece(second * US), T0 + second * US)
        spool.ledger.mark([Mark("HDMI-1", CoverageState.RECORDING)], T0 + second * US, 10)
    if reported:
        spool.ledger.take(T0 + 60 * US)
    (path,) = spool.files()
    content = bytearray(path.read_bytes())
    content[scan_file(path).records[record].offset + 40] ^= 1
    path.write_bytes(content)
    spool.reopen()
    assert [stored.t1_us for stored in spool.due()] == [T0 + 1] * kept_s
    ((segment_id, monitor, t0_us, _, reason),) = spool.outbox.dropped()
    assert (segment_id, monitor, t0_us, reason) == (writer.meta.id, "HDMI-1", T0 + kept_s * US, "spool_corrupt")
    assert spool.outbox.usage().dropped == 1
    lost = ("failed", "spool_corrupt")
    believed = dict.fromkeys(range(16), ("", ""))
    for row in spool.ledger.rows():  # the later claim wins
        believed.update(dict.fromkeys(range((row.t0_us - T0) // US, (row.t1_us - T0) // US), (row.state, row.detail)))
    assert [believed[second] for second in range(16)] == [("recording", "")] * kept_s + [lost] * (16 - kept_s)


def test_a_segment_without_a_picture_is_no_loss(spool: Spool) -> None:
    spool.outbox.begin("HDMI-1", 100, 50, T0)
    spool.reopen()
    assert (spool.files(), spool.due(), spool.outbox.dropped()) == ([], [], [])


def test_a_damaged_closed_segment_goes_to_quarantine_and_on_record(spool: Spool) -> None:
    kept, lost = spool.segment(0), spool.segment(100)
    path = spool.outbox.path(lost.meta.id)
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    spool.reopen()
    assert [stored.meta.id for stored in spool.due()] == [kept.meta.id]
    assert [path.name for path in spool.quarantined()] == [path.name]
    assert reasons(spool) == ["spool_corrupt"]
    assert spool.outbox.usage().dropped == 1


def test_damage_found_only_when_it_is_read(spool: Spool) -> None:
    stored = spool.segment()
    path = spool.files()[0]
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    with pytest.raises(ObjectDamaged):
        spool.outbox.body(stored.meta.id, stored.sha256)


def test_a_damaged_end_record_alone_costs_nothing(spool: Spool) -> None:
    spool.segment()
    path = spool.files()[0]
    raw = bytearray(path.read_bytes())
    raw[-10] ^= 1
    path.write_bytes(raw)
    spool.reopen()
    assert [spool.body(stored) for stored in spool.due()] == [contents(0, 1, 2)]
    assert spool.outbox.dropped() == []


def test_a_missing_file_is_a_loss_on_record(spool: Spool) -> None:
    spool.segment()
    spool.files()[0].unlink()
    spool.reopen()
    assert reasons(spool) == ["spool_file_missing"]


def test_files_under_another_key_are_set_aside_and_the_spool_goes_on(spool: Spool) -> None:
    spool.outbox.begin("HDMI-1", 100, 50, T0).append(piece(1), T0)
    spool.box = SecretBox(b"z" * 32)
    spool.reopen()
    assert reasons(spool) == ["spool_corrupt"]
    fresh = spool.segment(500)
    assert spool.body(fresh) == contents(500, 501, 502)


def test_a_lost_index_is_rebuilt_from_the_files(spool: Spool) -> None:
    stored = [spool.segment(0), spool.segment(100)]
    spool.outbox.index.close()
    for path in spool.folder.glob("spool.sqlite*"):
        path.unlink()
    spool._open()
    assert [found.meta for found in spool.due()] == [made.meta for made in stored]
    assert [spool.body(found) for found in spool.due()] == [contents(0, 1, 2), contents(100, 101, 102)]


def test_a_damaged_index_is_set_aside_and_rebuilt(spool: Spool) -> None:
    spool.segment()
    spool.outbox.index.close()
    for path in spool.folder.glob("spool.sqlite*"):
        path.write_bytes(b"no database at all" * 500)
    spool._open()
    assert len(spool.due()) == 1
    assert [kind for _, kind, _ in spool.outbox.index.events()] == ["index_rebuilt"]


def test_whatever_lies_in_the_folder_the_spool_opens(tmp_path: Path) -> None:
    seeded = random.Random(5)
    for number in range(60):
        folder = tmp_path / str(number)
        spool = Spool(folder)
        closed = spool.segment(0).meta.id
        spool.outbox.begin("HDMI-1", 100, 50, T0 + 50).append(piece(50), T0 + 50)
        spool.outbox.index.close()
        for path in spool.files():
            _damage(path, seeded)
        (folder / "stranger.spool").write_bytes(seeded.randbytes(200))
        spool._open()
        due = {stored.meta.id for stored in spool.due()}
        lost = {segment_id for segment_id, *_ in spool.outbox.dropped()}
        assert closed in due | lost
        assert not due & lost
        assert all(spool.body(stored).endswith(b"end") for stored in spool.due())
        assert "stranger.spool" in {path.name for path in spool.quarantined()}
        spool.close()


def _damage(path: Path, seeded: random.Random) -> None:
    raw = bytearray(path.read_bytes())
    at = seeded.randrange(len(raw))
    if seeded.random() < 0.5:
        raw[at] ^= 1 << seeded.randrange(8)
    else:
        raw = raw[:at]
    path.write_bytes(raw)


# --- room -------------------------------------------------------------------------------------------------------------
def limited(tmp_path: Path, **limits: float) -> Spool:
    return Spool(tmp_path / "spool", Limits(**({"min_free_bytes": 0} | limits)))  # type: ignore[arg-type]  # numbers by name


def test_the_oldest_go_first_and_linked_ones_last(tmp_path: Path) -> None:
    spool = limited(tmp_path, max_bytes=60_000)
    first, second, third = (spool.segment(n * 100, size=5000) for n in range(3))
    spool.outbox.mark_linked(first.meta.id)
    spool.segment(300, size=5000)
    assert [stored.meta.id for stored in spool.due()][:2] == [first.meta.id, third.meta.id]
    assert [row[0] for row in spool.outbox.dropped()] == [second.meta.id]
    spool.segment(400, size=5000)
    spool.segment(500, size=5000)
    assert first.meta.id in {stored.meta.id for stored in spool.due()}
    assert set(reasons(spool)) == {"spool_full"}
    assert spool.outbox.usage().bytes <= 60_000
    spool.close()


def test_when_only_linked_ones_are_left_the_oldest_of_them_goes(tmp_path: Path) -> None:
    spool = limited(tmp_path, max_bytes=40_000)
    linked = [spool.segment(n * 100, size=5000) for n in range(2)]
    for stored in linked:
        spool.outbox.mark_linked(stored.meta.id)
    spool.segment(300, size=5000)
    assert [row[0] for row in spool.outbox.dropped()] == [linked[0].meta.id]
    spool.close()


def test_quarantine_is_emptied_before_anything_is_dropped(tmp_path: Path) -> None:
    spool = limited(tmp_path, max_bytes=50_000)
    set_aside = spool.segment(0, size=5000)
    spool.outbox.lose(set_aside.meta.id, "spool_corrupt")
    kept = [spool.segment(n * 100, size=5000) for n in (1, 2)]
    spool.segment(300, size=5000)
    assert spool.quarantined() == []
    assert {stored.meta.id for stored in kept} <= {stored.meta.id for stored in spool.due()}
    spool.close()


def test_what_is_too_old_is_dropped_on_record(tmp_path: Path) -> None:
    spool = limited(tmp_path, max_age_s=3600.0)
    old = spool.segment(0)
    spool.clock.advance(7200)
    spool.segment(7_200_000_000)
    assert [row[0] for row in spool.outbox.dropped()] == [old.meta.id]
    assert reasons(spool) == ["spool_too_old"]
    spool.close()


def test_pressure_rises_before_anything_is_dropped(tmp_path: Path) -> None:
    spool = limited(tmp_path, max_bytes=100_000)
    seen: list[Pressure] = []
    while spool.outbox.dropped() == []:
        spool.segment(len(seen) * 100, pieces=1, size=4000)
        seen.append(spool.outbox.pressure())
    assert seen == sorted(seen)
    assert {Pressure.NONE, Pressure.LONGER_INTERVAL, Pressure.LOWER_QUALITY} <= set(seen)
    spool.close()


def test_a_disk_short_of_free_space_raises_the_pressure(tmp_path: Path) -> None:
    disk = FillingDisk(honest=True)
    spool = Spool(tmp_path / "spool", Limits(max_bytes=1 << 30, min_free_bytes=1000), disk)
    found = []
    for room in (5000, 1900, 1400, 900):
        disk.room = room
        found.append(spool.outbox.pressure())
    assert found == [Pressure.NONE, Pressure.LONGER_INTERVAL, Pressure.LOWER_QUALITY, Pressure.DROPPING]
    spool.close()


@pytest.mark.parametrize("room", [10, 60, 300, 4100, 8200])
def test_a_disk_that_fills_in_mid_write_loses_nothing_that_was_appended(tmp_path: Path, room: int) -> None:
    disk = FillingDisk()
    spool = Spool(tmp_path / "spool", disk=disk)
    spool.segment(0)
    disk.room = room
    appended: list[int] = []
    with pytest.raises(StorageFull):
        write_until_full(spool, appended)
    disk.room = 1 << 30
    spool.mend()
    spool.reopen()
    later = [stored for stored in spool.due() if stored.meta.t0_us != T0]
    assert [t - T0 for stored in later for t in stored.pictures] == appended
    assert spool.outbox.dropped() == []
    spool.close()


def write_until_full(spool: Spool, appended: list[int]) -> None:
    writer = spool.outbox.begin("HDMI-1", 100, 50, T0 + 1000)
    for number in range(1000, 1100):
        try:
            writer.append(piece(number, 4000), T0 + number)
        except StorageFull:
            writer.abandon()
            raise
        appended.append(number)


def test_a_full_disk_at_closing_time_is_mended_later(tmp_path: Path) -> None:
    disk = FillingDisk()
    spool = Spool(tmp_path / "spool", disk=disk)
    writer = spool.outbox.begin("HDMI-1", 100, 50, T0)
    writer.append(piece(0), T0)
    disk.room = 5
    writer.close(b"end", T0 + 1)
    spool.mend()
    assert spool.due() == []
    disk.room = 1 << 30
    spool.mend()
    [stored] = spool.due()
    assert spool.body(stored) == contents(0)
    spool.close()


def test_a_full_spool_with_nothing_to_drop_refuses_loudly(tmp_path: Path) -> None:
    spool = limited(tmp_path, max_bytes=1000)
    writer = spool.outbox.begin("HDMI-1", 100, 50, T0)
    with pytest.raises(StorageFull):
        writer.append(piece(0, 5000), T0)
    writer.abandon()
    spool.close()


def test_segments_that_failed_go_behind_the_others(spool: Spool) -> None:
    first, second = spool.segment(0), spool.segment(100)

    def due() -> Stored:
        found = spool.outbox.next_due()
        assert found is not None
        return found

    with spool.outbox.index.write() as connection:
        connection.execute("UPDATE segment SET attempts = 0")
    assert due().meta.id == first.meta.id
    spool.outbox.failed(first.meta.id)
    assert due().meta.id == second.meta.id
    spool.outbox.failed(second.meta.id)
    assert due().meta.id == first.meta.id
