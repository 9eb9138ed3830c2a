"""Everything that talks to the API server, except kopf's watches in handlers.py.

One client, one connection pool. Each module beside it owns one duty: jobs, epoch, pools, workflows, lease, events.
"""
