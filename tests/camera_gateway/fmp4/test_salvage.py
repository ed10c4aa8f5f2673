"""A file cut anywhere keeps its whole fragments; anything else is refused with a MediaError."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from camera_gateway.fmp4.boxes import children
from camera_gateway.fmp4.reader import read_fragments, read_head
from camera_gateway.fmp4.salvage import inspect, salvage
from storage.errors import MediaError
from tests.camera_gateway.media import MemorySink, packets, units
from tests.camera_gateway.test_segmenter import STREAM, record

here = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@cache
def recording() -> MemorySink:
    return record(units("h264"))


def test_the_head_says_who_the_file_is() -> None:
    sink = recording()
    head = read_head(io.BytesIO(sink.files[0]))
    start = sink.starts[0]
    assert head.identity.segment == start.segment_id
    assert head.identity.stream == STREAM
    assert head.identity.run == start.run_id
    assert head.identity.t0_us == start.t0_us
    assert (head.codec, head.width, head.height, head.timescale) == (start.codec, 320, 180, 90_000)


@here
@given(cut=st.floats(0, 1), zeros=st.integers(0, 3000))
def test_a_cut_file_keeps_its_whole_fragments(tmp_path: Path, cut: float, zeros: int) -> None:
    content = recording().files[0]
    head = read_head(io.BytesIO(content))
    length = round(head.size + cut * (len(content) - head.size))
    ends = [fragment.end for fragment in read_fragments(io.BytesIO(content), head.size)]
    path = tmp_path / "part"
    path.write_bytes(content[:length] + b"\0" * zeros)  # a power cut leaves zeros where bytes were not synced
    kept = [end for end in ends if end <= length]
    if not kept:
        with pytest.raises(MediaError):
            salvage(path)
        return
    facts = salvage(path)
    assert facts.size_bytes == path.stat().st_size
    assert path.read_bytes()[: kept[-1]] == content[: kept[-1]]
    assert inspect(path) == facts
    assert salvage(path) == facts  # once more changes nothing


def test_ffprobe_reads_a_salvaged_file(tmp_path: Path) -> None:
    content = recording().files[0]
    path = tmp_path / "part.mp4"
    path.write_bytes(content[: len(content) * 2 // 3])
    facts = salvage(path)
    assert 0 < facts.frames < len(units("h264"))
    assert len(packets(path)) == facts.frames
    last = list(children(path.read_bytes()))[-1]
    assert last.kind == b"mfra"


@here
@given(st.data())
def test_flipped_bytes_never_raise_anything_but_media_errors(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(recording().files[0])
    limit = data.draw(st.sampled_from([1500, len(content) - 1]))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, limit))] = data.draw(st.integers(0, 255))
    path = tmp_path / "part"
    path.write_bytes(content)
    try:
        facts = salvage(path)
    except MediaError:
        return
    assert facts.frames <= len(units("h264"))


@given(st.binary(max_size=2000))
def test_arbitrary_bytes_are_no_recording(data: bytes) -> None:
    with pytest.raises(MediaError):
        read_head(io.BytesIO(data))
    assert list(read_fragments(io.BytesIO(data), 0)) == []
