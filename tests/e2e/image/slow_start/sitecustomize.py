"""A Python that takes long to start, before any line of a program: for who has this folder on PYTHONPATH."""

import time

time.sleep(60)
