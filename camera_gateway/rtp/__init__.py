"""RTP and RTCP as pure state machines: packets in, access units out. No sockets, no clock."""
