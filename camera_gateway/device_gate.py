"""Guards a device's account: one sign-in at a time, and none after two refusals until the credentials change.

Some cameras lock an account for half an hour after a few wrong passwords.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from camera_gateway.packets import SourceFault
from camera_gateway.plan import DevicePlan, PlanSource
from storage.errors import StorageFull, Unavailable
from storage.model import GapReason

log = logging.getLogger(__name__)

MAX_REFUSALS = 2


class DeviceGate:
    """Shared by all streams of one device in a worker."""

    def __init__(self, plan: DevicePlan, counts: PlanSource) -> None:
        self._lock = threading.Lock()
        self._counts = counts
        self._device_id = plan.id
        self._version = plan.credential_version
        self._refusals = plan.auth_failures
        self.changed = threading.Event()

    def update(self, plan: DevicePlan) -> None:
        """New credentials open the gate again. The catalog's count only rises what we know."""
        if plan.credential_version != self._version:
            self._version, self._refusals = plan.credential_version, plan.auth_failures
            self.changed.set()
        elif plan.auth_failures > self._refusals:
            self._refusals = plan.auth_failures

    @property
    def blocked(self) -> bool:
        """Whether no sign-in may be tried now."""
        return self._refusals >= MAX_REFUSALS

    @contextmanager
    def sign_in(self) -> Iterator[None]:
        """Hold this while connecting: a second stream waits for the outcome of the first.

        Raises:
            SourceFault: `authentication`: the gate is closed; nothing was sent to the device.
        """
        with self._lock:
            if self.blocked:
                raise SourceFault(GapReason.AUTHENTICATION, "stopped after two refusals until the credentials change")
            try:
                yield
            except SourceFault as fault:
                if fault.reason is GapReason.AUTHENTICATION:
                    self._refused()
                raise
            if self._refusals:
                self._refusals = 0
                self._tell(lambda: self._counts.authentication_succeeded(self._device_id))

    def _refused(self) -> None:
        self._refusals += 1
        self.changed.clear()
        self._tell(lambda: self._counts.authentication_failed(self._device_id, self._version))

    def _tell(self, call: Callable[[], None]) -> None:
        """While the catalog is away our own count still guards the account."""
        try:
            call()
        except (Unavailable, StorageFull) as error:
            log.warning("refusal_uncounted", extra={"fields": {"device": self._device_id, "error": error.message}})
