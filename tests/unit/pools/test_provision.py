"""From a WorkerPool to its queue, user, Secret and Deployment, and back."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from mastercontrol.engine.ports import (
    BrokerUnavailable,
    Depth,
    RawObject,
    Rejected,
    StoreUnavailable,
    TopologyConflict,
)
from unit.pools.world import World, pool


async def test_the_queue_and_the_user_are_there_before_the_pods(world: World) -> None:
    await world.add(pool(deliveryLimit=7))
    assert world.journal == ["declare shop.resize limit 7", "user shop.resize", "apply Secret", "apply Deployment"]


async def test_the_secret_holds_the_url_of_the_pools_own_user(world: World) -> None:
    await world.add(pool())
    data = world.cluster.objects["Secret", "shop", "mcp-worker-resize"]["data"]
    assert base64.b64decode(data["amqp-url"]) == b"amqp://shop.resize:first@broker/"


async def test_a_new_pool_without_work_starts_no_pod(world: World) -> None:
    await world.add(pool())
    assert world.cluster.replicas() == 0
    assert "scale" not in world.cluster.calls


async def test_a_new_pool_with_work_waiting_starts_with_the_workers_it_needs(world: World) -> None:
    world.outstanding["shop", "resize"] = 3
    await world.add(pool())
    assert world.cluster.replicas() == 3
    assert "scale" not in world.cluster.calls


async def test_a_new_pool_that_does_not_scale_itself_starts_with_the_number_written(world: World) -> None:
    await world.add(pool(replicas=4, autoscaling={"enabled": False}))
    assert world.cluster.replicas() == 4


async def test_a_changed_template_is_applied_and_keeps_the_number_of_workers(world: World) -> None:
    await world.add(pool())
    world.publish(3)
    await world.settle()
    await world.add(pool(generation=2, template={"image": "registry.example/resize:2"}))
    container = world.cluster.deployment()["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "registry.example/resize:2"
    assert world.cluster.replicas() == 3


async def test_a_field_taken_out_of_the_template_is_taken_out_of_the_deployment(world: World) -> None:
    await world.add(pool(template={"nodeSelector": {"disk": "ssd"}}))
    assert "nodeSelector" in world.cluster.deployment()["spec"]["template"]["spec"]
    await world.add(pool(generation=2))
    assert world.cluster.deployment()["spec"]["template"]["spec"].get("nodeSelector", {}) == {}


async def test_an_older_version_of_the_pool_changes_nothing(world: World) -> None:
    await world.add(pool(generation=2, minReplicas=2))
    await world.add(pool(generation=1))
    world.cluster.delete_deployment()
    await world.after(5)
    assert world.cluster.replicas() == 2


async def test_a_changed_deployment_is_put_right(world: World) -> None:
    await world.add(pool())
    await world.after(10)

    def change(raw: RawObject) -> None:
        raw["spec"]["template"]["spec"]["containers"][0]["image"] = "evil.example/miner"

    world.cluster.edit(change)
    await world.settle()
    container = world.cluster.deployment()["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "registry.example/resize:1"


async def test_a_deleted_deployment_is_made_again_with_the_workers_it_needs(world: World) -> None:
    await world.add(pool())
    world.publish(2)
    await world.settle()
    world.cluster.delete_deployment()
    await world.settle()
    assert world.cluster.replicas() == 2


async def test_what_others_add_to_the_deployment_is_left_alone(world: World) -> None:
    await world.add(pool())
    await world.after(10)
    writes = world.cluster.calls["apply"]

    def change(raw: RawObject) -> None:
        raw["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = "1"
        raw["spec"]["template"]["spec"]["containers"].append({"name": "sidecar", "image": "proxy"})

    world.cluster.edit(change)
    await world.after(10)
    assert world.cluster.calls["apply"] == writes


async def test_somebody_who_changes_the_deployment_again_and_again_is_not_raced(world: World) -> None:
    await world.add(pool())
    applies = world.cluster.calls["apply"]

    def change(raw: RawObject) -> None:
        raw["spec"]["revisionHistoryLimit"] = 99

    for _ in range(400):
        world.cluster.edit(change)
        await world.after(0.25)
    assert 5 <= world.cluster.calls["apply"] - applies <= 25  # in 100 seconds
    assert "somebody else" in str([item["conditions"][0]["message"] for item in world.cluster.status_writes])


async def test_a_field_that_the_api_server_writes_otherwise_is_applied_once(world: World) -> None:
    def mutate(raw: RawObject) -> None:
        if raw.get("kind") == "Deployment":
            raw["spec"]["template"]["spec"]["containers"][0]["image"] = "mirror.example/resize:1"

    world.cluster.mutate = mutate
    await world.add(pool())
    world.publish()
    await world.after(20)
    assert world.cluster.replicas() == 1
    assert world.cluster.calls["apply"] == 2  # Secret and Deployment


async def test_a_deployment_of_somebody_else_is_not_taken_over(world: World) -> None:
    theirs: RawObject = {
        "kind": "Deployment",
        "metadata": {"namespace": "shop", "name": "mcp-worker-resize", "uid": "theirs", "labels": {"app": "x"}},
        "spec": {"replicas": 2},
    }
    world.cluster.objects["Deployment", "shop", "mcp-worker-resize"] = theirs
    await world.add(pool())
    assert world.cluster.deployment() == theirs
    assert world.condition("Ready")["reason"] == "ApplyFailed"
    assert "another Deployment mcp-worker-resize" in world.condition("Ready")["message"]


async def test_a_changed_password_replaces_the_pods(world: World) -> None:
    await world.add(pool())
    before = world.cluster.deployment()["spec"]["template"]["metadata"]["annotations"]
    world.broker.password = "second"
    world.connect("e2")
    await world.settle()
    assert world.cluster.deployment()["spec"]["template"]["metadata"]["annotations"] != before
    data = world.cluster.objects["Secret", "shop", "mcp-worker-resize"]["data"]
    assert base64.b64decode(data["amqp-url"]) == b"amqp://shop.resize:second@broker/"


async def test_a_new_epoch_makes_queue_and_user_again_and_leaves_the_pods_alone(world: World) -> None:
    await world.add(pool())
    world.journal.clear()
    world.connect("e2")
    await world.settle()
    assert world.journal == ["declare shop.resize limit 20", "user shop.resize"]


async def test_a_reconnection_in_the_same_epoch_makes_nothing_again(world: World) -> None:
    await world.add(pool())
    world.journal.clear()
    world.connect("e1")
    await world.settle()
    assert world.journal == []


async def test_a_queue_that_exists_with_other_arguments_is_used_and_the_pool_says_so(world: World) -> None:
    world.broker.conflict = TopologyConflict("queue mcp.pool.shop.resize: inequivalent arg 'x-overflow'")
    await world.add(pool())
    await world.after(5)
    world.publish()
    await world.settle()
    assert world.cluster.replicas() == 1, "its workers do the steps all the same"
    ready = world.condition("Ready")
    assert (ready["status"], ready["reason"]) == ("False", "QueueConflict")
    assert "inequivalent arg 'x-overflow'" in ready["message"]
    assert world.broker.calls["declare"] == 1, "it cannot be mended by trying again"


async def test_a_queue_that_somebody_put_right_is_found_so(world: World) -> None:
    world.broker.conflict = TopologyConflict("inequivalent arg")
    await world.add(pool())
    world.broker.conflict = None
    await world.after(world.settings.resync_seconds + 5)
    assert world.condition("Ready")["status"] == "True"


async def test_a_queue_that_somebody_deleted_is_made_again(world: World) -> None:
    """Its steps count as sent, so nobody publishes to it; and the sweep knows nothing of a queue that is not there."""
    await world.add(pool())
    world.publish()
    world.broker.depths["resize"] = None
    await world.after(world.settings.resync_seconds + 5)
    assert world.broker.calls["declare"] == 2
    world.broker.depths["resize"] = Depth(0, 0, 0)
    await world.after(3 * world.settings.resync_seconds)
    assert world.broker.calls["declare"] == 2, "its depth is known again"


async def test_a_pool_made_while_the_broker_is_down_says_so_and_starts_when_it_is_up(world: World) -> None:
    world.broker.epoch = None
    await world.add(pool())
    await world.after(120)
    assert world.cluster.objects == {}
    ready = world.condition("Ready")
    assert (ready["status"], ready["reason"]) == ("False", "BrokerUnavailable")
    assert world.broker.calls["declare"] < 12  # it backs off
    for _ in range(20):
        await world.add(pool())  # its status changed: no reason to hurry
    assert world.broker.calls["declare"] < 12
    world.connect("e1")
    await world.settle()
    assert world.cluster.replicas() == 0
    assert world.condition("Ready")["status"] == "True"


async def test_a_pool_whose_user_cannot_be_made_sure_of_still_scales(world: World) -> None:
    await world.add(pool())
    world.broker.users_fail = BrokerUnavailable("the management API does not answer")
    world.connect("e2")
    await world.settle()
    assert world.condition("Ready")["message"] == "the management API does not answer"
    world.publish(2)
    await world.settle()
    assert world.cluster.replicas() == 2


@pytest.mark.parametrize("error", [StoreUnavailable("timed out"), Rejected("quota exceeded")])
async def test_a_refused_write_is_said_and_tried_again(world: World, error: Any) -> None:
    world.cluster.fails = error
    await world.add(pool())
    await world.after(3)
    world.cluster.fails = None
    await world.after(10)
    assert world.cluster.replicas() == 0
    assert world.condition("Ready")["status"] == "True"


async def test_a_refused_write_shows_in_the_condition(world: World) -> None:
    def refuse(raw: RawObject) -> None:
        if raw["kind"] == "Deployment":
            raise Rejected("quota exceeded")

    world.cluster.mutate = refuse
    await world.add(pool())
    ready = world.condition("Ready")
    assert (ready["status"], ready["reason"], ready["message"]) == ("False", "ApplyFailed", "quota exceeded")


async def test_a_surprise_in_one_pool_does_not_stop_another(world: World) -> None:
    def surprise(raw: RawObject) -> None:
        if raw["metadata"]["name"] == "mcp-worker-odd":
            raise ZeroDivisionError

    world.cluster.mutate = surprise
    await world.add(pool("odd", uid="u2"))
    assert world.condition("Ready", "odd")["reason"] == "InternalError"
    await world.add(pool())
    assert world.cluster.replicas() == 0


async def test_a_slow_answer_for_one_pool_does_not_delay_another(world: World) -> None:
    await world.add(pool("quick", uid="u2"))
    world.cluster.gate.clear()
    await world.add(pool("slow"))
    world.publish(1, "quick")
    await world.settle()
    assert world.cluster.calls["scale"] == 1  # it was called, though the other pool's call has no answer
    world.cluster.gate.set()
    await world.settle()
    assert world.cluster.replicas("quick") == 1


async def test_a_deleted_pool_is_forgotten_by_the_broker(world: World) -> None:
    await world.add(pool())
    world.journal.clear()
    world.controller.on_pool(pool(), deleted=True)
    assert not world.controller.known("shop", "resize")
    await world.after(5)
    assert world.journal == ["forget shop.resize"]


async def test_a_pool_deleted_while_the_broker_is_down_is_forgotten_later(world: World) -> None:
    await world.add(pool())
    world.broker.epoch = None
    world.controller.on_pool(pool(), deleted=True)
    await world.after(60)
    world.connect("e1")
    await world.settle()
    assert world.journal[-1] == "forget shop.resize"


async def test_a_pool_that_vanished_in_a_gap_of_the_watch_is_forgotten(world: World) -> None:
    await world.add(pool())
    await world.add(pool("other", uid="u2"))
    world.controller.retain([("shop", "other")], world.controller.uids())
    await world.settle()
    assert world.journal[-1] == "forget shop.resize"
    assert world.controller.known("shop", "other")


async def test_a_pool_that_came_during_the_listing_is_not_taken_for_a_vanished_one(world: World) -> None:
    await world.add(pool("other", uid="u2"))
    before = world.controller.uids()
    await world.add(pool("other", uid="u3"))
    await world.add(pool())
    world.controller.retain([], before)
    await world.settle()
    assert world.controller.known("shop", "other"), "it is another one under the same name"
    assert world.controller.known("shop", "resize")


async def test_a_pool_that_is_being_deleted_gets_no_deployment_again(world: World) -> None:
    await world.add(pool())
    leaving = pool(generation=2)
    leaving["metadata"]["deletionTimestamp"] = "2030-01-01T00:00:00Z"
    await world.add(leaving)
    world.cluster.delete_deployment()
    await world.after(10)
    assert not world.cluster.objects.keys() & {("Deployment", "shop", "mcp-worker-resize")}
    assert not world.controller.known("shop", "resize")


async def test_a_pool_made_again_under_its_name_owns_its_children(world: World) -> None:
    await world.add(pool())
    world.controller.on_pool(pool(), deleted=True)
    world.cluster.delete_deployment()
    await world.add(pool(uid="u9"))
    assert world.cluster.deployment()["metadata"]["ownerReferences"][0]["uid"] == "u9"
    assert world.controller.known("shop", "resize")


async def test_a_pool_is_known_as_soon_as_it_is_seen_and_no_other_is(world: World) -> None:
    world.controller.on_pool(pool())
    assert world.controller.known("shop", "resize")
    assert not world.controller.known("shop", "resise")
    assert not world.controller.known("other", "resize")
    await world.settle()


async def test_a_pool_that_is_not_valid_says_what_to_write(world: World) -> None:
    await world.add(pool(template={"env": [{"name": "MCP_QUEUE", "value": "mine"}]}))
    assert world.cluster.objects == {}
    ready = world.condition("Ready")
    assert ready["reason"] == "InvalidSpec"
    assert "spec.template.env[0].name" in ready["message"]
    assert not world.controller.known("shop", "resize")


async def test_a_mistake_in_an_edit_leaves_the_workers_as_they_were(world: World) -> None:
    await world.add(pool())
    await world.add(pool(generation=2, minReplicas=5, maxReplicas=2))
    assert world.condition("Ready")["reason"] == "InvalidSpec"
    world.publish(3)
    await world.settle()
    assert world.cluster.replicas() == 3


async def test_an_idle_operator_writes_nothing_and_reads_no_queue(world: World) -> None:
    await world.add(pool())
    await world.add(pool("other", uid="u2"))
    await world.after(10)
    writes, depths = world.cluster.writes, world.broker.calls["depth"]
    await world.after(250)
    assert world.cluster.writes == writes
    assert world.broker.calls["depth"] == depths


async def test_a_pool_with_idle_workers_writes_nothing(world: World) -> None:
    await world.add(pool(minReplicas=2))
    world.cluster.workers(2, 2)
    await world.after(10)
    writes = world.cluster.writes
    await world.after(700)
    assert world.cluster.writes == writes
    assert 600 < world.broker.calls["depth"] < 750  # once a second


async def test_a_new_leader_writes_only_the_secret_which_it_cannot_read(world: World) -> None:
    await world.add(pool())
    world.publish(2)
    world.cluster.workers(2, 2)
    await world.after(5)
    await world.stop()
    world.controller = world.new_controller()
    seen = pool()
    seen["status"] = world.status()
    world.controller.on_pool(seen)
    world.connect("e1")
    world.journal.clear()
    writes = world.cluster.writes
    world.start()
    await world.after(10)
    assert world.journal == ["declare shop.resize limit 20", "user shop.resize", "apply Secret"]
    assert world.cluster.writes == writes + 1


async def test_a_deployment_lost_in_a_gap_of_the_watch_is_found_missing(world: World) -> None:
    await world.add(pool())
    world.cluster.deployment_events = lambda *_, **__: None
    world.cluster.delete_deployment()
    await world.after(world.settings.resync_seconds + 1)
    assert world.cluster.replicas() == 0


async def test_a_secret_that_pods_miss_is_made_again(world: World) -> None:
    await world.add(pool())
    world.publish()
    waiting = {"reason": "CreateContainerConfigError", "message": 'secret "mcp-worker-resize" not found'}
    world.cluster.pods = [
        {"metadata": {"name": "a"}, "status": {"containerStatuses": [{"state": {"waiting": waiting}}]}}
    ]
    del world.cluster.objects["Secret", "shop", "mcp-worker-resize"]
    await world.after(10)
    assert ("Secret", "shop", "mcp-worker-resize") in world.cluster.objects


async def test_a_deployment_that_is_being_deleted_is_waited_for(world: World) -> None:
    await world.add(pool())
    world.broker.depths["resize"] = Depth(0, 0, 0)

    def leave(raw: RawObject) -> None:
        raw["metadata"]["deletionTimestamp"] = "2030-01-01T00:00:00Z"

    world.cluster.edit(leave)
    await world.add(pool(generation=2, template={"image": "registry.example/resize:2"}))
    assert "being deleted" in world.condition("Ready")["message"]
    world.cluster.delete_deployment()
    await world.settle()
    container = world.cluster.deployment()["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "registry.example/resize:2"
