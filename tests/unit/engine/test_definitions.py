"""Which Definition a Job gets: the Workflow's now, or that of its pinned revision."""

from __future__ import annotations

import asyncio

import pytest

from mastercontrol.api.names import Reason
from mastercontrol.engine import definitions as definitions_module
from mastercontrol.engine.definitions import Definitions
from mastercontrol.engine.facts import Missing
from mastercontrol.engine.ports import RawObject, StoreUnavailable
from mastercontrol.workflow.definition import Definition
from unit.engine.builders import step
from unit.engine.fakes import FakeWorkflows

SHOP = frozenset({"shop"})


@pytest.fixture
def store() -> FakeWorkflows:
    made = FakeWorkflows()
    made.put("a", "b")
    return made


async def current(definitions: Definitions) -> Definition:
    found = await definitions.current("shop", "order")
    assert isinstance(found, Definition), found
    return found


async def test_a_workflow_that_the_watch_has_not_shown_is_asked_for_once(store: FakeWorkflows) -> None:
    definitions = Definitions(store)
    assert await current(definitions) == await current(definitions)
    assert store.reads == 1


async def test_a_revision_is_kept_before_a_job_can_begin_with_it_and_once(store: FakeWorkflows) -> None:
    definitions = Definitions(store)
    found = await asyncio.gather(*[current(definitions) for _ in range(10)])
    assert store.created == [found[0].revision]
    assert store.revisions["shop", found[0].revision] == {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "namespace": "shop",
            "name": found[0].revision,
            "labels": {"mastercontrol.dev/workflow": "order", "app.kubernetes.io/managed-by": "mastercontrol"},
        },
        "revision": 1,
        "data": {"workflow": "order", "spec": store.workflows["shop", "order"]["spec"]},
    }


async def test_the_label_of_a_revision_has_as_much_of_a_long_name_as_a_label_may(store: FakeWorkflows) -> None:
    store.put("a", name="w" * 70)
    found = await Definitions(store).current("shop", "w" * 70)
    assert isinstance(found, Definition)
    labels = store.revisions["shop", found.revision]["metadata"]["labels"]
    assert labels["mastercontrol.dev/workflow"] == "w" * 63


async def test_a_revision_that_could_not_be_kept_is_not_used(store: FakeWorkflows) -> None:
    definitions = Definitions(store)
    definitions.observe(store.workflows["shop", "order"])
    store.faults.append(StoreUnavailable("503"))
    with pytest.raises(StoreUnavailable):
        await current(definitions)
    assert (await current(definitions)).revision in store.created


async def test_another_process_finds_the_pinned_revision_though_the_workflow_is_gone(store: FakeWorkflows) -> None:
    pinned = await current(Definitions(store))
    store.workflows.clear()
    other = Definitions(store)
    found = await other.pinned("shop", pinned.revision)
    assert found == pinned
    assert isinstance(found, Definition)
    assert found.states == pinned.states


async def test_editing_a_workflow_changes_what_begins_and_not_what_runs(store: FakeWorkflows) -> None:
    definitions = Definitions(store)
    old = await current(definitions)
    assert definitions.observe(store.put("x"))
    new = await current(definitions)
    assert (old.start, new.start) == ("a", "x")
    assert await definitions.pinned("shop", old.revision) == old


async def test_a_pinned_revision_keeps_its_name_where_a_newer_operator_would_name_it_otherwise(
    store: FakeWorkflows,
) -> None:
    manifest = {
        "metadata": {"namespace": "shop", "name": "order-of-old"},
        "data": {"workflow": "order", "spec": store.workflows["shop", "order"]["spec"]},
    }
    await store.create_revision(manifest)
    definitions = Definitions(store)
    found = await definitions.pinned("shop", "order-of-old")
    assert isinstance(found, Definition)
    assert found.revision == "order-of-old"
    store.revisions.clear()
    assert await definitions.pinned("shop", "order-of-old") == found, "it is read once"


async def test_a_pinned_revision_that_is_gone_is_missing_and_asked_for_again(store: FakeWorkflows) -> None:
    definitions = Definitions(store)
    missing = await definitions.pinned("shop", "order-1")
    assert isinstance(missing, Missing)
    assert missing.reason is Reason.UNKNOWN_WORKFLOW
    assert "order-1" in missing.message
    store.revisions["shop", "order-1"] = {
        "metadata": {"namespace": "shop", "name": "order-1"},
        "data": {"workflow": "order", "spec": store.workflows["shop", "order"]["spec"]},
    }
    assert isinstance(await definitions.pinned("shop", "order-1"), Definition)


async def test_a_pinned_revision_that_this_operator_cannot_read_names_its_workflow(store: FakeWorkflows) -> None:
    manifest = {"metadata": {"namespace": "shop", "name": "order-1"}, "data": {"workflow": "order", "spec": {}}}
    await store.create_revision(manifest)
    found = await Definitions(store).pinned("shop", "order-1")
    assert isinstance(found, Missing)
    assert found.message.startswith("Workflow 'order': ")


async def test_as_many_pinned_revisions_are_kept_in_memory_as_it_is_said(
    store: FakeWorkflows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(definitions_module, "_CACHED", 2)
    for name in ("order-1", "order-2", "order-3"):
        spec = store.workflows["shop", "order"]["spec"]
        store.revisions["shop", name] = {
            "metadata": {"namespace": "shop", "name": name},
            "data": {"workflow": "order", "spec": spec},
        }
    definitions = Definitions(store)
    for name in ("order-1", "order-2", "order-3"):
        await definitions.pinned("shop", name)
    store.revisions.clear()
    found = [await definitions.pinned("shop", f"order-{i}") for i in (1, 2, 3)]
    assert [isinstance(each, Definition) for each in found] == [False, True, True], "the oldest has gone"


async def test_there_is_no_such_workflow(store: FakeWorkflows) -> None:
    found = await Definitions(store).current("shop", "parcel")
    assert found == Missing(Reason.UNKNOWN_WORKFLOW, "there is no Workflow 'parcel' in this namespace")


async def test_a_workflow_with_faults_is_missing_with_every_fault_and_keeps_no_revision(store: FakeWorkflows) -> None:
    store.put({"name": "1", "pool": "p"}, {"name": "b", "pool": "p", "next": "c"})
    found = await Definitions(store).current("shop", "order")
    assert isinstance(found, Missing)
    assert found.reason is Reason.INVALID_WORKFLOW
    assert "spec.states[0].name" in found.message
    assert "spec.states[1].next" in found.message
    assert store.created == []


async def test_an_older_event_of_a_workflow_is_ignored(store: FakeWorkflows) -> None:
    definitions = Definitions(store)
    old = store.workflows["shop", "order"]
    definitions.observe(store.put("x"))
    assert not definitions.observe(old)
    assert (await current(definitions)).start == "x"


async def test_an_older_event_is_ignored_also_where_the_newer_one_changed_no_spec(store: FakeWorkflows) -> None:
    definitions = Definitions(store)
    definitions.observe(store.put("a"))
    older = store.put("b")
    definitions.observe(store.put("a"))
    assert not definitions.observe(older)
    assert (await current(definitions)).start == "a"


async def test_a_workflow_without_a_version_is_older_than_any_other(store: FakeWorkflows) -> None:
    definitions = Definitions(store)
    first = store.put("a")
    first["metadata"]["resourceVersion"] = ""
    definitions.observe(first)
    edited = store.put("b")
    edited["metadata"]["resourceVersion"] = "1"
    assert definitions.observe(edited)


async def test_a_workflow_that_does_not_say_where_it_is_is_in_the_namespace_default(store: FakeWorkflows) -> None:
    definitions = Definitions(store)
    raw = store.put("a")
    definitions.observe({**raw, "metadata": {"name": "order"}})
    assert definitions.uids() == {("default", "order"): ""}


async def test_only_a_change_of_the_spec_is_news(store: FakeWorkflows) -> None:
    definitions = Definitions(store)
    assert definitions.observe(store.put("a"))
    assert not definitions.observe(store.put("a"))
    assert definitions.observe(store.put("b"))


async def test_a_workflow_that_a_job_asked_for_before_the_watch_showed_it_is_news_once(store: FakeWorkflows) -> None:
    definitions = Definitions(store)
    await current(definitions)
    raw = store.workflows["shop", "order"]
    assert definitions.observe(raw), "nobody has looked at it: its status would never be written"
    assert not definitions.observe(raw)


async def test_a_workflow_that_a_job_asked_for_is_news_once_though_it_was_written_since(store: FakeWorkflows) -> None:
    definitions = Definitions(store)
    await current(definitions)
    assert definitions.observe(store.put("a", "b"))
    assert not definitions.observe(store.put("a", "b"))


async def test_a_workflow_of_the_same_name_and_states_is_news(store: FakeWorkflows) -> None:
    definitions = Definitions(store)
    raw = store.workflows["shop", "order"]
    definitions.observe(raw)
    again = {**raw, "metadata": {**raw["metadata"], "uid": "another", "resourceVersion": "900"}}
    assert definitions.observe(again), "it has no status yet"


async def test_a_workflow_that_was_deleted_is_missing_for_new_jobs(store: FakeWorkflows) -> None:
    definitions = Definitions(store)
    await current(definitions)
    store.workflows.clear()
    definitions.gone("shop", "order")
    assert isinstance(await definitions.current("shop", "order"), Missing)


async def test_a_workflow_that_was_never_seen_may_be_deleted(store: FakeWorkflows) -> None:
    definitions = Definitions(store)
    definitions.gone("shop", "parcel")
    assert (await current(definitions)).start == "a"


async def test_a_pool_waits_for_its_longest_step(store: FakeWorkflows) -> None:
    definitions = Definitions(store)
    states = [{"name": "a", "pool": "p", "timeoutSeconds": 5}, {"name": "b", "pool": "p", "timeoutSeconds": 60}]
    definitions.observe(store.put(*states))
    definitions.observe(store.put({"name": "c", "pool": "p", "timeoutSeconds": 30}, name="parcel"))
    definitions.observe(store.put({"name": "d", "pool": "unlimited"}, name="gift"))
    assert definitions.longest_step("shop", "p", 3600) == 60
    assert definitions.longest_step("shop", "unlimited", 3600) == 3600
    assert definitions.longest_step("shop", "unused", 3600) == 0
    assert definitions.longest_step("another", "p", 3600) == 0


async def test_a_revision_is_collected_only_when_it_was_unneeded_twice_in_a_row(store: FakeWorkflows) -> None:
    definitions = Definitions(store)
    old = (await current(definitions)).revision
    definitions.observe(store.put("x"))
    needed = [("shop", old)]
    assert [await definitions.collect(SHOP, used) for used in ([], needed, [], [])] == [0, 0, 0, 1]
    assert ("shop", old) not in store.revisions


async def test_a_collected_revision_is_made_again_for_a_job_that_begins_with_it(store: FakeWorkflows) -> None:
    definitions = Definitions(store)
    old = (await current(definitions)).revision
    definitions.observe(store.put("x"))
    await definitions.collect(SHOP, [])
    deleting, go_on, delete = asyncio.Event(), asyncio.Event(), store.delete_revision

    async def slow_delete(namespace: str, name: str) -> None:
        deleting.set()
        await go_on.wait()
        await delete(namespace, name)

    store.delete_revision = slow_delete  # type: ignore[method-assign]
    collecting = asyncio.create_task(definitions.collect(SHOP, []))
    await deleting.wait()
    definitions.observe(store.put("a", "b"))
    beginning = asyncio.create_task(current(definitions))
    for _ in range(5):
        await asyncio.sleep(0)
    go_on.set()
    await collecting
    assert (await beginning).revision == old
    assert ("shop", old) in store.revisions, "it was deleted under a job that began with it"


async def test_a_revision_that_becomes_current_again_during_the_collection_is_left_alone(store: FakeWorkflows) -> None:
    definitions = Definitions(store)
    old = (await current(definitions)).revision
    definitions.observe(store.put("x"))
    await definitions.collect(SHOP, [])
    list_revisions = store.list_revisions

    async def edited_meanwhile(namespace: str | None) -> list[RawObject]:
        found = await list_revisions(namespace)
        definitions.observe(store.put("a", "b"))
        assert (await current(definitions)).revision == old, "a Job begins with it"
        return found

    store.list_revisions = edited_meanwhile  # type: ignore[method-assign]
    assert await definitions.collect(SHOP, []) == 0
    assert ("shop", old) in store.revisions


async def test_a_revision_of_another_process_is_left_alone_while_a_job_begins_with_it(store: FakeWorkflows) -> None:
    old = (await current(Definitions(store))).revision
    definitions = Definitions(store)
    definitions.observe(store.put("x"))
    await definitions.collect(SHOP, [])
    list_revisions, create_revision, go_on = store.list_revisions, store.create_revision, asyncio.Event()
    beginning: list[asyncio.Task[Definition]] = []

    async def slow_create(manifest: RawObject) -> None:
        await go_on.wait()
        await create_revision(manifest)

    async def edited_meanwhile(namespace: str | None) -> list[RawObject]:
        found = await list_revisions(namespace)
        definitions.observe(store.put("a", "b"))
        beginning.append(asyncio.create_task(current(definitions)))
        await asyncio.sleep(0)
        return found

    store.create_revision, store.list_revisions = slow_create, edited_meanwhile  # type: ignore[method-assign]
    collecting = asyncio.create_task(definitions.collect(SHOP, []))
    for _ in range(5):
        await asyncio.sleep(0)
    go_on.set()
    assert await collecting == 0
    assert (await beginning[0]).revision == old
    assert ("shop", old) in store.revisions


async def test_a_revision_of_another_namespace_is_left_alone(store: FakeWorkflows) -> None:
    store.revisions["other", "order-1"] = {"metadata": {"namespace": "other", "name": "order-1"}}
    definitions = Definitions(store)
    for _ in range(3):
        assert await definitions.collect(SHOP, []) == 0
    assert ("other", "order-1") in store.revisions


async def test_where_all_namespaces_are_watched_the_revisions_of_all_are_collected(store: FakeWorkflows) -> None:
    store.revisions["site", "order-1"] = {"metadata": {"namespace": "site", "name": "order-1"}}
    store.revisions["default", "order-2"] = {"metadata": {"name": "order-2"}}  # that is what none means
    definitions = Definitions(store)
    assert [await definitions.collect(None, []) for _ in range(2)] == [0, 2]
    assert store.revisions == {}


async def test_of_several_namespaces_each_is_collected_and_no_other(store: FakeWorkflows) -> None:
    for namespace in ("other", "shop", "site"):
        store.revisions[namespace, "order-1"] = {"metadata": {"namespace": namespace, "name": "order-1"}}
    definitions = Definitions(store)
    for _ in range(2):
        await definitions.collect(frozenset({"shop", "site"}), [])
    assert set(store.revisions) == {("other", "order-1")}, "those of another operator's namespace are not ours"


async def test_a_workflow_that_vanished_in_a_gap_of_the_watch_is_forgotten(store: FakeWorkflows) -> None:
    definitions = Definitions(store)
    await current(definitions)
    store.workflows.clear()
    definitions.retain([], definitions.uids())
    assert isinstance(await definitions.current("shop", "order"), Missing)


async def test_a_workflow_that_came_during_the_listing_is_not_taken_for_a_vanished_one(store: FakeWorkflows) -> None:
    definitions = Definitions(store)
    before = definitions.uids()
    await current(definitions)
    store.workflows.clear()
    definitions.retain([], before)
    assert isinstance(await definitions.current("shop", "order"), Definition)


def timed(store: FakeWorkflows, seconds: int | None) -> RawObject:
    """The Workflow as it is after an edit: one step of that time-out."""
    limit = {} if seconds is None else {"timeoutSeconds": seconds}
    return store.put(step("a", pool="a-pool", **limit))


def test_the_longest_step_of_a_pool_is_that_of_all_workflows(store: FakeWorkflows) -> None:
    definitions = Definitions(store)
    assert definitions.longest_step("shop", "a-pool", 100) == 0
    definitions.observe(timed(store, 60))
    assert definitions.longest_step("shop", "a-pool", 100) == 60
    assert definitions.longest_step("shop", "b-pool", 100) == 0
    assert definitions.longest_step("other", "a-pool", 100) == 0
    definitions.observe(timed(store, None))
    assert [definitions.longest_step("shop", "a-pool", unlimited) for unlimited in (100, 200)] == [100, 200]


def test_an_edited_or_deleted_workflow_that_no_job_runs_counts_no_more(store: FakeWorkflows) -> None:
    definitions = Definitions(store)
    definitions.observe(timed(store, 7200))
    definitions.observe(timed(store, 60))
    assert definitions.longest_step("shop", "a-pool", 1) == 60
    definitions.gone("shop", "order")
    assert definitions.longest_step("shop", "a-pool", 1) == 0
    definitions.observe(timed(store, 60))
    before = definitions.uids()
    assert definitions.longest_step("shop", "a-pool", 1) == 60
    definitions.retain([], before)
    assert definitions.longest_step("shop", "a-pool", 1) == 0


async def test_a_step_stays_as_long_as_it_was_for_the_jobs_that_run_it(store: FakeWorkflows) -> None:
    definitions = Definitions(store)
    definitions.observe(timed(store, 7200))
    old = await current(definitions)
    definitions.observe(timed(store, 60))
    assert definitions.longest_step("shop", "a-pool", 1) == 7200

    after_a_restart = Definitions(store)
    after_a_restart.observe(store.workflows["shop", "order"])
    assert after_a_restart.longest_step("shop", "a-pool", 1) == 60
    await after_a_restart.pinned("shop", old.revision)
    assert after_a_restart.longest_step("shop", "a-pool", 1) == 7200


async def test_a_revision_that_is_collected_counts_no_more(store: FakeWorkflows) -> None:
    definitions = Definitions(store)
    definitions.observe(timed(store, 7200))
    await current(definitions)
    definitions.observe(timed(store, 60))
    for _ in range(2):
        assert definitions.longest_step("shop", "a-pool", 1) == 7200
        await definitions.collect(SHOP, [])
    assert definitions.longest_step("shop", "a-pool", 1) == 60
