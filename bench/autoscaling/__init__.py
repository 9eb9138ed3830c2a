"""A simulator of autoscaling: the pools' own policy beside a model of KEDA with an HPA, under the same loads.

`make bench-scaling` runs it. What is real: `pools/scaler.py`, `reducer.py`, `scaling.py`, `leaving.py` and `crew.py`,
the code that runs in the operator. What is a model: the queue, pods and their workers, the ReplicaSet, the ways between
them and the time that each takes (`site.py`), and KEDA with the HPA (`keda.py`).
"""
