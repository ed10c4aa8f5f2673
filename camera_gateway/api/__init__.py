"""The gateway's HTTP and WebSocket API for consoles (docs/interfaces.md, 4 and 5)."""
