"""RTP: order, loss, depacketisers, RTCP."""
