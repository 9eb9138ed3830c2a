"""The engine: advances Jobs. `decide` is pure; everything else here carries out what it decided."""
