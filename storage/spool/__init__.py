"""The agent's durable outbox: encrypted segment files, an index, the coverage ledger and the uplink."""
