"""The dead letters of pools: what is known of them, and what a user asks for. See `controller`."""
