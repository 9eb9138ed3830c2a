"""What a Workflow means: its states in order, its machine, its retry policy. Pure: no I/O, no clock, no randomness."""
