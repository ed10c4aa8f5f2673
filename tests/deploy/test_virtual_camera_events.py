"""The virtual cameras' pull point, as onvif-zeep-async uses it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest

import camera_gateway.onvif.soap_client  # noqa: F401 - imports the package without its logging set-up
from deploy.virtual_camera.plan import demo_hall
from deploy.virtual_camera.process import VirtualHall

pytestmark = pytest.mark.peer


@pytest.fixture(scope="module")
def hall() -> Iterator[VirtualHall]:
    """One camera."""
    with VirtualHall(demo_hall(1, "a b")) as running:
        yield running


async def test_a_pull_point_is_made_pulled_renewed_and_left(hall: VirtualHall) -> None:
    from onvif import ONVIFCamera

    camera = hall.camera(1)
    client: Any = ONVIFCamera(camera.host, camera.onvif_port, "admin", "a b", no_cache=True)
    lost: list[bool] = []
    try:
        await client.update_xaddrs()
        manager = await client.create_pullpoint_manager(dt.timedelta(seconds=60), lambda: lost.append(True))
        answer = await manager.get_service().PullMessages({"MessageLimit": 10, "Timeout": dt.timedelta(seconds=1)})
        assert (answer.NotificationMessage or []) == []
        assert answer.TerminationTime > answer.CurrentTime
        await manager.set_synchronization_point()
        await manager.shutdown()
    finally:
        await client.close()
    assert lost == []
