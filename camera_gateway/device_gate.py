"""Guards a device's account: one sign-in at a time while it is not known to work, and none after two refusals until
the credentials change.

Some cameras lock an account for half an hour after a few wrong passwords.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Protocol
from uuid import UUID

from camera_gateway.packets import SourceFault
from camera_gateway.plan import DevicePlan
from storage.model import GapReason

log = logging.getLogger(__name__)

MAX_REFUSALS = 2

Turn = Callable[[], None]


class SignInCounts(Protocol):
    """Port: keeps the count of refused sign-ins where a restart finds it. Returns at once."""

    def refused(self, device_id: UUID, credential_version: int) -> None:
        """These credentials were refused once more."""
        ...

    def admitted(self, device_id: UUID) -> None:
        """The device let us in."""
        ...


class DeviceGate:
    """Shared by all streams of one device in a worker; lives in its reactor."""

    def __init__(self, plan: DevicePlan, counts: SignInCounts) -> None:
        self._counts = counts
        self._device_id = plan.id
        self._version = plan.credential_version
        self._refusals = plan.auth_failures
        self._proven = False  # these credentials were admitted: sign-ins need not wait for each other
        self._inside = 0
        self._waiting: deque[Turn] = deque()

    def update(self, plan: DevicePlan) -> None:
        """New credentials open the gate again. The catalog's count only rises what we know."""
        if plan.credential_version != self._version:
            self._version, self._refusals = plan.credential_version, plan.auth_failures
            self._proven = False
        else:
            self._refusals = max(self._refusals, plan.auth_failures)

    @property
    def blocked(self) -> bool:
        """Whether no sign-in may be tried now."""
        return self._refusals >= MAX_REFUSALS

    @property
    def closed_fault(self) -> SourceFault:
        """Why nothing is sent to the device while `blocked`."""
        return SourceFault(GapReason.AUTHENTICATION, "stopped after two refusals until the credentials change")

    def enter(self, turn: Turn) -> None:
        """Call `turn` when it may sign in; it must `leave` afterwards. It looks at `blocked` again itself."""
        if self._inside and not self._proven:
            self._waiting.append(turn)
            return
        self._inside += 1
        turn()

    def give_up(self, turn: Turn) -> bool:
        """Take a waiting turn back; false when it was called already (and must `leave`)."""
        if turn in self._waiting:
            self._waiting.remove(turn)
            return True
        return False

    def leave(self, outcome: GapReason | None, *, admitted: bool) -> None:
        """The sign-in ended: admitted, refused (`outcome` is `authentication`), or neither was seen."""
        self._inside -= 1
        if outcome is GapReason.AUTHENTICATION:
            self._refuse()
        elif admitted:
            self._admit()
        while self._waiting and (self._proven or not self._inside):
            self._inside += 1
            self._waiting.popleft()()

    def _refuse(self) -> None:
        self._proven = False
        self._refusals += 1
        self._counts.refused(self._device_id, self._version)

    def _admit(self) -> None:
        self._proven = True
        if self._refusals:
            self._refusals = 0
            self._counts.admitted(self._device_id)
