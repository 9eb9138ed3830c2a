"""The embedded mode: `mastercontrol dev FILE...` runs jobs in one process, with the same engine, machine and worker
runtime as in a cluster, over the in-memory store and broker.
"""
