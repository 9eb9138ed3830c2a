"""Master Control Program: jobs as durable state machines on Kubernetes."""

__version__ = "0.1.0"
