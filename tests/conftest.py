"""What holds for all tests."""

from __future__ import annotations

import os
from pathlib import Path

# No test may reach a person's own cluster: what does not name its kubeconfig finds none. Set
# here, before anything imports the client: it reads the variable only once. A test that runs in
# a pod would find that cluster by the second variable.
os.environ["KUBECONFIG"] = str(Path(__file__).with_name("no-kubeconfig"))
os.environ.pop("KUBERNETES_SERVICE_HOST", None)
