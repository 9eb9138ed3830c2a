"""The protocol as a small executable model, and a search through every state that it can be in.

`protocol` has the actions, named after the functions of the engine that they stand for; `broken` the variants that the
search must find a fault in; `search` visits all states. `python -m model`, with `tests` on PYTHONPATH, searches within
larger bounds than the tests do. What is proved by it, and what is not, is in docs/explanation/proofs.md.
"""
