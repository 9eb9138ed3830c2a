"""Ordinary mutation testing of `engine/` and `workflow/` by mutmut, and the list of the mutants that may survive."""
