"""The unattended process on a workstation: every second accounted for."""

__version__ = "0.1.0"
