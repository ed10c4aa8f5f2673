"""`kill -9` of the supervisor, a worker, the API and everything at random moments, with nothing lost in silence.

A short seeded part in `make test`; all of it with `SUNHALL_KILL_ROUNDS=200` (`SUNHALL_KILL_SEED` for another order).
"""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path
from uuid import UUID

import pytest

from storage.clock import US
from tests.bench.accounting import Span
from tests.camera_gateway.faults.rig import CRASH, MAINTENANCE, Account, Rig, kill, running
from tests.camera_gateway.hall import kill_tree

pytestmark = [pytest.mark.net, pytest.mark.timeout(3600)]

ROUNDS = int(os.environ.get("SUNHALL_KILL_ROUNDS", "10"))
SEED = int(os.environ.get("SUNHALL_KILL_SEED", "3"))
CAMERAS, WORKERS = 6, 2
LOST_US = US
"""What a kill may cost before it; see docs/recording.md."""
SLACK_US = 1_000_000
"""How late a loaded machine may be in reading its sockets. The rounds print what they really lost."""
LEAVING_US = 15_000_000
"""Until when the children of a killed supervisor have left, in order."""


class Rounds:
    """One kill after the other, and when which cameras may have lost something by it."""

    def __init__(self, rig: Rig, seed: int) -> None:
        self.counts: Counter[str] = Counter()
        self.windows: dict[UUID, list[Span]] = {stream_id: [] for stream_id in rig.streams}
        self._rig = rig
        self._random = random.Random(seed)

    def one(self) -> None:
        """A kill of whatever runs now, at any moment of its life."""
        starting, steady = (0.05, 1.5), (3.0, 6.0)  # what the kill before it left
        self._rig.hall.clock.sleep(self._random.uniform(*self._random.choice((starting, steady))))
        victim = self._random.choice(("worker 0", "worker 1", "api", "api", "supervisor", "all"))
        if victim == "supervisor":
            self._kill_supervisor()
        elif victim == "all":
            self._kill_all()
        else:
            self._kill_child(victim)
        self.counts[victim.split()[0]] += 1
        self._rig.require_no_overlap()

    def _kill_child(self, victim: str) -> None:
        rig = self._rig
        own = rig.streams[int(victim[-1]) :: WORKERS] if victim != "api" else []
        pid = rig.hall.wait(lambda: rig.worker(int(victim[-1])) if own else rig.api())
        kill(pid)
        self._may_lose(own, SLACK_US)

    def _kill_supervisor(self) -> None:
        rig = self._rig
        assert rig.process is not None
        rig.process.kill()
        rig.process.wait(20)
        self._may_lose(rig.streams, LEAVING_US)
        rig.start()

    def _kill_all(self) -> None:
        rig = self._rig
        assert rig.process is not None
        kill_tree(rig.process)
        self._may_lose(rig.streams, SLACK_US)
        rig.start()

    def _may_lose(self, streams: list[UUID], after_us: int) -> None:
        now_us = self._rig.hall.clock.now_us()
        for stream_id in streams:
            self.windows[stream_id].append((now_us - LOST_US - SLACK_US, now_us + after_us))


def test_kills_at_random_moments(tmp_path: Path, small_media: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running(tmp_path, small_media, CAMERAS, workers=WORKERS, segment_s=3.0) as rig:
        rounds = Rounds(rig, SEED)
        for _ in range(ROUNDS):
            rounds.one()
        last_us = rig.hall.clock.now_us()
        rig.until_committed(last_us)
        rig.stop()
        account = rig.account()
        salvaged = sum(row.salvaged for stream_id in rig.streams for row in rig.hall.segments(stream_id))
        reasons = {stream_id: set(rig.reasons(stream_id)) for stream_id in rig.streams}

    assert salvaged
    for stream_id in rig.streams:
        assert account.outside(stream_id, rounds.windows[stream_id]) == []
        assert reasons[stream_id] <= {CRASH, MAINTENANCE}
    lost = max(_lost_us(account, rig, stream_id) for stream_id in rig.streams)
    with capsys.disabled():
        print(f" {dict(rounds.counts)}: {salvaged} salvaged, at most {lost / US:.2f} s lost", end="")  # noqa: T201


def _lost_us(account: Account, rig: Rig, stream_id: UUID) -> int:
    """The longest time at the end of a session whose pictures were sent and are in no file."""
    found, journal = rig.found[stream_id], account.journal
    missing, longest = set(account.missing[stream_id]), 0
    for sent in journal.sent.get(found.camera, []):
        first = sent.last
        while first >= sent.first and first in missing:
            first -= 1
        if first < sent.last:
            longest = max(longest, journal.time_us(found.camera, sent.last) - journal.time_us(found.camera, first + 1))
    return longest


def test_the_end_of_the_api_loses_no_frame(tmp_path: Path, small_media: Path) -> None:
    victims: list[int] = []
    with running(tmp_path, small_media, 2, workers=1, segment_s=3.0) as rig:
        for _ in range(3):
            victims.append(rig.hall.wait(rig.api))
            kill(victims[-1])
            rig.hall.wait(lambda: rig.api() not in (0, *victims))
        rig.until_committed(rig.hall.clock.now_us())
        rig.stop()
        account = rig.account()
        for stream_id in rig.streams:
            assert account.lost(stream_id) == []
            assert rig.ends(stream_id) == ["stopped"]
