"""Makes Jobs by the clock: which run is due, what becomes of it, and which finished Jobs are kept."""
