"""RTSP 1.0 as pure state machines: bytes in, bytes and access units out. No sockets, no clock."""
