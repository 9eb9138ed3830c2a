"""`mastercontrol dlq`: the dead letters of pools, for people at a terminal. See `command`."""
