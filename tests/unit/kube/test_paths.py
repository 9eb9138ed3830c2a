from __future__ import annotations

import pytest

from mastercontrol.engine.ports import Rejected
from mastercontrol.kube.paths import DEPLOYMENTS, JOBS, PODS, Target, resource_of


@pytest.mark.parametrize(
    ("target", "path", "label"),
    [
        (Target(JOBS, None), "/apis/mastercontrol.dev/v1alpha1/mcpjobs", "mcpjobs"),
        (Target(PODS, "shop"), "/api/v1/namespaces/shop/pods", "pods"),
        (
            Target(JOBS, "shop", "order-1", "status"),
            "/apis/mastercontrol.dev/v1alpha1/namespaces/shop/mcpjobs/order-1/status",
            "mcpjobs/status",
        ),
        (
            Target(DEPLOYMENTS, "shop", "a", "scale"),
            "/apis/apps/v1/namespaces/shop/deployments/a/scale",
            "deployments/scale",
        ),
    ],
)
def test_a_target_has_the_path_of_the_api(target: Target, path: str, label: str) -> None:
    assert (target.path, target.label) == (path, label)


def test_a_name_cannot_lead_to_another_path() -> None:
    assert Target(JOBS, "../x", "a/../../pods?b#c").path.endswith(
        "/namespaces/..%2Fx/mcpjobs/a%2F..%2F..%2Fpods%3Fb%23c"
    )


def test_a_kind_is_told_by_its_group_too() -> None:
    assert resource_of({"apiVersion": "mastercontrol.dev/v1alpha1", "kind": "Job"}) is JOBS
    for manifest in ({"apiVersion": "batch/v1", "kind": "Job"}, {}):
        with pytest.raises(Rejected):
            resource_of(manifest)
