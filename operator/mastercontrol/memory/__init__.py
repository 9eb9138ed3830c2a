"""The outside world in one process, for tests and `mastercontrol dev`: what the API server and the broker promise."""
