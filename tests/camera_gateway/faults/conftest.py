"""What all faults share: the small picture that cameras send."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.peers.gst_rtsp import make_h264


@pytest.fixture(scope="session")
def small_media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty seconds of 320x180 at 25 pictures a second, a key frame each second."""
    return make_h264(tmp_path_factory.mktemp("small"), seconds=20)
