"""Puts the agent together: which part takes what, and in which order they start and stop."""

from __future__ import annotations

from pathlib import Path

import httpx

from edge_agent.capture import CaptureLoop
from edge_agent.finishing import finish_segment
from edge_agent.identity import Identity, Places, load_identity
from edge_agent.notice import Notice
from edge_agent.platform.base import Platform
from edge_agent.pushed import Pushed, PushedStore
from edge_agent.recorder import Masks, MonitorRecorder
from edge_agent.reporter import Reporter
from edge_agent.settings import AgentSettings, CaptureSettings, areas_of, limits_of
from screen_capture.frames import Grabber
from storage.clock import US, Clock
from storage.errors import ConfigurationError, SunhallError
from storage.identity.boxes import SecretBox
from storage.identity.keys import DeviceKey
from storage.spool.client import ConsoleClient, trust
from storage.spool.disk import Disk
from storage.spool.outbox import Outbox
from storage.spool.recovery import Recovery, open_spool
from storage.spool.uplink import Backoff, Uplink


class Agent:
    """Everything that runs on a workstation. A part itself: `start`, then `stop` once.

    The grabber, the platform and the notice are given, so that a rendered desktop can stand in for a real one.
    """

    def __init__(
        self,
        settings: AgentSettings,
        places: Places,
        clock: Clock,
        grabber: Grabber,
        platform: Platform,
        notice: Notice,
        *,
        transport: httpx.BaseTransport | None = None,
        disk: Disk | None = None,
    ) -> None:
        """Opens the spool, mends it, and explains the time since an orderly end.

        Raises:
            ConfigurationError: not enrolled, enrolled on another machine, or another agent runs on this folder.
            StorageError: the folder cannot be written.
        """
        identity = load_identity(places)
        _check_machine(identity, platform)
        self._notice = notice
        self._release = platform.lock(places.lock)
        try:
            self._client = _client(identity, places, clock, transport)
            box = _spool_box(places.spool_key)
            limits = limits_of(settings.spool)
            self.outbox, self.ledger = open_spool(places.spool, box, clock, limits, finish_segment, disk)
            self.ledger.resume(clock.now_us())
        except SunhallError:
            self._release()
            raise
        self._assemble(settings, clock, grabber, platform)

    def _assemble(self, settings: AgentSettings, clock: Clock, grabber: Grabber, platform: Platform) -> None:
        recovery = Recovery(self.outbox, self.ledger, finish_segment)
        floor = settings.capture.min_interval_s
        self.pushed = PushedStore(self.outbox.index, floor, Pushed(interval_s=max(settings.capture.interval_s, floor)))
        self.pushed.listen(lambda pushed: self._notice.show(pushed.notice_text))
        self.uplink = Uplink(self.outbox, self._client, clock, Backoff())
        self.capture = CaptureLoop(
            grabber,
            self.outbox,
            self.ledger,
            platform,
            self._notice,
            self.pushed,
            clock,
            lambda name: _recorder(name, self.outbox, settings.capture),
            lambda: self.outbox.finish_abandoned(recovery.mend),
        )
        self.reporter = Reporter(
            self._client,
            self.outbox,
            self.ledger,
            self.pushed,
            lambda: self.capture.monitors,
            clock,
            settings.report_s,
            Backoff(),
        )

    def start(self) -> None:
        """Uplink and reports first: what waits from before goes out while the screen is looked at."""
        self._notice.show(self.pushed.current.notice_text)
        self.uplink.start()
        self.reporter.start()
        self.capture.start()

    def stop(self) -> None:
        """Capture first, then what it left is sent, so that the last report tells of the orderly end and the rest."""
        self.capture.stop()
        self.uplink.stop()
        self.reporter.stop()
        self._client.close()
        self.outbox.index.close()
        self._notice.close()
        self._release()


def _client(identity: Identity, places: Places, clock: Clock, transport: httpx.BaseTransport | None) -> ConsoleClient:
    return ConsoleClient(
        identity.console,
        clock,
        verify=trust(places.authority if places.authority.exists() else None),
        key_id=str(identity.workstation_id),
        signer=DeviceKey.load(places.device_key),
        transport=transport,
    )


def _spool_box(path: Path) -> SecretBox:
    """The spool's key. One that is damaged is set aside: old files go to quarantine, but the agent starts."""
    try:
        return SecretBox.load_or_create(path)
    except ConfigurationError:
        path.replace(path.with_name(f"{path.name}.damaged"))
        return SecretBox.create(path)


def _recorder(monitor: str, outbox: Outbox, capture: CaptureSettings) -> MonitorRecorder:
    masks = Masks(areas_of(capture.ignore, monitor), areas_of(capture.redact, monitor))
    return MonitorRecorder(monitor, outbox, masks, round(capture.segment_s * US))


def _check_machine(identity: Identity, platform: Platform) -> None:
    if identity.machine_id != platform.machine_id():
        message = "this enrolment was made on another machine (a cloned disk?): enrol again with a code of its own"
        raise ConfigurationError("machine_changed", message)
