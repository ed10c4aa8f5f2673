"""Where this gateway's finished files go: straight into the disk store, or into staging on their way to S3."""

from __future__ import annotations

from uuid import UUID

from camera_gateway.settings import GatewaySettings
from storage.archive.objects import DiskStore
from storage.archive.staging import DiskPlacement, Placement, StagingFolder


def placement_of(settings: GatewaySettings, gateway_id: UUID) -> Placement:
    """The placement that the settings ask for."""
    if settings.storage.kind == "disk":
        return DiskPlacement(DiskStore(settings.objects))
    return StagingFolder(settings.staging, gateway_id)
