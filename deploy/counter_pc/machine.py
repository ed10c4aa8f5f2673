"""The virtual counter PC as a machine: somebody is always logged in at its rendered desktop."""

from __future__ import annotations

from edge_agent.platform.base import Session
from edge_agent.platform.linux import LinuxPlatform


class VirtualMachine(LinuxPlatform):
    """This machine, but for its screen: the desktop is drawn by a program and needs no login."""

    def session(self) -> Session:
        return Session()
