"""The real images together: nothing lost, nothing twice, poison set aside, outages waited out."""

from __future__ import annotations

import json
import re
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
from bson import ObjectId
from processor.store import Store, Written
from processor.writer import READY, WRITERS

from runtime import wait
from tests.contract.loops import committed
from tests.contract.pipeline import GPU, GPU_TOPIC, TOKEN_TOPIC, TS, Pipeline, gpu
from tests.observing import at_rest

AWAY_S = 30  # far longer than the store is looked for, or a member of the group may be silent
MANY = 20_000
STOP_S = 45  # what compose gives a processor


@pytest.mark.parametrize("name", ["kafka", "mongo", "processor", "producers"])
def test_an_image_does_not_run_as_root(pipeline: Pipeline, name: str) -> None:
    user = pipeline.docker.images.get(pipeline.images[name]).attrs["Config"]["User"]
    assert int(user.partition(":")[0]) > 0


def test_poison_is_set_aside_and_its_neighbours_are_stored(pipeline: Pipeline) -> None:
    poison = (b"nonsense", None, gpu("p") | {"utilization": 200}, {"host": "p"}, b"\xff" * 70_000)
    for number, bad in enumerate(poison):
        pipeline.send(GPU_TOPIC, gpu(f"poison-{number}-a"), bad, gpu(f"poison-{number}-b"))

    assert len(pipeline.arrive("poison-", 10)) == 10
    with pipeline.database() as database:
        letters = list(database["dead_letters"].find({"topic": GPU_TOPIC}).sort("offset"))
    assert len(letters) == len(poison)
    assert [
        bytes(letter["value"])[:8] if letter["value"] is not None else None for letter in letters
    ][:2] == [b"nonsense", None]
    assert "<= 100" in letters[2]["reason"]
    assert (len(letters[4]["value"]), letters[4]["size_bytes"]) == (65_536, 70_000)


def test_what_the_producers_report_is_what_arrives(pipeline: Pipeline) -> None:
    with pipeline.database() as database:
        before = database["token_usage"].count_documents({})
    status, said, complained = pipeline.produce("--count", "300", "--seed", "7")
    report = json.loads(said)
    assert status == 0, complained
    assert report["sent"] == {GPU_TOPIC: 300, TOKEN_TOPIC: 300}
    assert len(pipeline.arrive("gpu-", 300)) == 300
    with pipeline.database() as database:
        assert database["token_usage"].count_documents({}) == before + 300


def test_measurements_are_told_by_pages_and_in_a_range_of_time(pipeline: Pipeline) -> None:
    times = [f"2026-01-01T00:00:{number // 2:02}Z" for number in range(7)]  # pages end in ties
    pipeline.send(GPU_TOPIC, *(GPU | {"host": "paged", "ts": ts} for ts in times))
    pipeline.arrive("paged", len(times))
    seen, after = [], ""
    while True:
        status, page = pipeline.get("/gpu/metrics", host="paged", limit=3, after=after)
        assert status == 200
        seen += [row["ts"] for row in page["rows"]]
        after = page["after"]
        if not after:
            break
    assert seen == times[::-1]
    span = {"from": times[2], "to": times[4]}
    rows = pipeline.get("/gpu/metrics", host="paged", gpu_index=0, **span)[1]["rows"]
    assert [row["ts"] for row in rows] == [times[3], times[2]]
    assert pipeline.get("/gpu/metrics", host="paged", gpu_index=1)[1] == {"rows": [], "after": ""}


@pytest.mark.parametrize(
    ("path", "query", "why"),
    [
        ("/gpu/metrics", {}, "host"),
        ("/gpu/metrics", {"host": "a", "limit": 1001}, "limit"),
        ("/gpu/metrics", {"host": "a", "from": "2026-01-01T00:00:00"}, "time zone"),
        ("/gpu/metrics", {"host": "a", "from": TS, "to": TS}, "not before"),
        ("/gpu/metrics", {"host": "a", "after": "x"}, "after"),
        ("/tokens/sums", {"from": "yesterday"}, "from"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused_by_name(
    pipeline: Pipeline, path: str, query: dict[str, object], why: str
) -> None:
    status, said = pipeline.get(path, **query)
    assert status == 422
    assert why in json.dumps(said)


def test_tokens_and_cost_are_summed_per_model(pipeline: Pipeline) -> None:
    used = {"prompt_tokens": 10, "completion_tokens": 5, "cost_per_token": 0.25}
    for second in range(4):
        ts = f"2025-01-01T00:00:0{second}Z"
        pipeline.send(TOKEN_TOPIC, {"model": "sum-a", "ts": ts} | used)
    wait.until(
        lambda: len(pipeline.get("/tokens/usage", model="sum-a")[1]["rows"]) == 4,
        what="four calls",
        timeout_s=60,
    )
    span = {"from": "2025-01-01T00:00:01Z", "to": "2025-01-02T00:00:00Z"}
    (row,) = pipeline.get("/tokens/sums", **span)[1]
    tokens = {"prompt_tokens": 30, "completion_tokens": 15}
    assert row == {"model": "sum-a", "calls": 3, **tokens, "cost_usd": 11.25}


def test_the_examples_in_the_documentation_look_like_the_answers(pipeline: Pipeline) -> None:
    pipeline.send(GPU_TOPIC, gpu("example") | {"gpu_index": 7})
    used = {"prompt_tokens": 1, "completion_tokens": 1, "cost_per_token": 0.5}
    pipeline.send(TOKEN_TOPIC, {"model": "example", "ts": TS} | used)
    with pipeline.database() as database:
        card = {"gpu_index": 7, "name": "a card", "price_per_hour_usd": 0.5}
        database["gpus"].insert_one(card)
    pipeline.arrive("example", 1)
    wait.until(lambda: pipeline.get("/tokens/sums", model="example")[1], what="sums", timeout_s=60)
    newest = gpu("example") | {"gpu_index": 7, "ts": "2099-01-01T00:00:00Z"}
    pipeline.send(GPU_TOPIC, newest)
    pipeline.arrive("example", 2)
    asked = {"/gpu/metrics": {"host": "example", "limit": 1}, "/tokens/usage": {"model": "example"}}

    documented = pipeline.get("/openapi.json")[1]["paths"]

    seen = set()
    for path, operation in documented.items():
        content = operation["get"]["responses"]["200"].get("content", {})
        if example := content.get("application/json", {}).get("example"):
            status, answer = pipeline.get(path, **asked.get(path, {}))
            assert (status, shape(answer)) == (200, shape(example)), path
            seen.add(path)
    assert seen == set(documented) - {"/metrics"}


def shape(value: object) -> object:
    """Return what an answer looks like: its fields and types, those of a list's first entry."""
    if isinstance(value, dict):
        is_by_partition = all("/" in key for key in value)
        return (
            "by partition" if is_by_partition else {key: shape(one) for key, one in value.items()}
        )
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def test_a_dead_letter_is_replayed_once_it_is_good_and_kept_while_it_is_not(
    pipeline: Pipeline,
) -> None:
    before = pipeline.letters("list")[1]["total"]
    pipeline.send(GPU_TOPIC, b"still nonsense", gpu("letters-1") | {"utilization": 200})
    wait.until(
        lambda: pipeline.letters("list")[1]["total"] == before + 2, what="letters", timeout_s=60
    )
    newest = pipeline.letters("list", "--limit", "2")[1]["letters"]
    bad, high = sorted((one["_id"], one["reason"]) for one in newest)
    assert "<= 100" in high[1]
    with pipeline.database() as database:  # as if the limit had been the processor's mistake
        value = json.dumps(gpu("letters-1")).encode()
        row = {"value": value, "size_bytes": len(value)}
        database["dead_letters"].update_one({"_id": ObjectId(high[0])}, {"$set": row})

    shown = pipeline.letters("show", bad[0])[1]
    status, replayed = pipeline.letters("replay", bad[0], high[0])
    again = pipeline.letters("replay", high[0])[1]

    assert shown["value"] == "still nonsense"
    assert (status, replayed["stored"], list(replayed["reasons"])) == (0, 1, [bad[0]])
    assert again == {"stored": 0, "still_dead": 0, "reasons": {}, "ended": ""}
    assert pipeline.arrive("letters-", 1) == ["letters-1"]
    before_all = ("--all", "--until", "2001-01-01T00:00:00Z")
    assert pipeline.letters("drop", *before_all)[1] == {"dropped": 0}
    assert pipeline.letters("drop", bad[0])[1] == {"dropped": 1}
    assert pipeline.letters("list")[1]["total"] == before
    assert pipeline.letters("show", bad[0])[0] == 2
    assert pipeline.letters("drop")[0] == 2  # neither ids nor --all


def test_what_is_not_confirmed_is_counted_and_the_exit_status_says_so(pipeline: Pipeline) -> None:
    nobody = f"{pipeline.address('processor')}:9092"  # nothing listens there
    status, said, complained = pipeline.produce(
        "--count", "5", "--delivery", "1", BULLION_KAFKA=nobody
    )
    report = json.loads(said)
    assert status == 1
    assert (report["failed"], sum(report["sent"].values())) == (10, 0)
    assert "10 messages were not confirmed" in complained


@pytest.mark.parametrize("name", ["mongo", "processor"])
def test_what_is_committed_outlives_the_kill_of_whoever_does_not_keep_it(
    pipeline: Pipeline, name: str
) -> None:
    place = f"{GPU_TOPIC}/0"  # where all of it is sent

    def rests() -> dict[str, int]:
        """Return what is committed, once nothing more is."""
        at_rest(lambda: committed(pipeline.kafka, "processor").get(place, 0))
        return committed(pipeline.kafka, "processor")

    pipeline.send(GPU_TOPIC, *(gpu(f"kept-{name}-{number:03}") for number in range(500)))
    pipeline.arrive(f"kept-{name}-", 500)
    before, duplicates = rests(), pipeline.health()[1]["duplicates"]
    pipeline.containers[name].kill("SIGKILL")
    pipeline.containers[name].start()
    pipeline.wait_healthy(name)
    pipeline.send(GPU_TOPIC, gpu(f"more-{name}"))
    pipeline.arrive(f"more-{name}", 1)
    after = rests()

    came_again = pipeline.health()[1]["duplicates"] - (duplicates if name == "mongo" else 0)
    assert (came_again, after) == (0, before | {place: before[place] + 1})


def test_a_store_that_is_away_for_a_while_loses_nothing_and_kills_nothing(
    pipeline: Pipeline,
) -> None:
    started = pipeline.started_at("processor")
    pipeline.containers["mongo"].stop(timeout=20)
    pipeline.send(GPU_TOPIC, *(gpu(f"away-{number:04}") for number in range(1500)))
    wait.until(lambda: pipeline.health()[0] == 503, what="/health to say so", timeout_s=60)
    wait.pause(AWAY_S)
    problems = pipeline.health()[1]["problems"]
    pipeline.containers["mongo"].start()

    arrived = pipeline.arrive("away-", 1500)

    assert arrived == [f"away-{number:04}" for number in range(1500)]
    assert any("store" in problem for problem in problems)
    assert not any("partitions" in problem for problem in problems)  # the group kept its member
    assert pipeline.started_at("processor") == started
    wait.until(lambda: pipeline.health()[0] == 200, what="/health to be good", timeout_s=60)


def test_a_processor_killed_at_work_loses_nothing_and_stores_nothing_twice(
    pipeline: Pipeline,
) -> None:
    processor = pipeline.containers["processor"]
    processor.stop(timeout=STOP_S)
    pipeline.send(GPU_TOPIC, *(gpu(f"kill-{number:05}") for number in range(MANY)))
    kills = 0
    for goal in (1, MANY // 4, MANY // 2):
        processor.start()
        wait.until(
            lambda goal=goal: sum(host.startswith("kill-") for host in pipeline.hosts()) >= goal,
            what=f"{goal} documents",
            timeout_s=120,
            every_s=0.1,
        )
        processor.kill("SIGKILL")
        kills += 1
    processor.start()

    arrived = pipeline.arrive("kill-", MANY)

    assert kills == 3
    assert arrived == [f"kill-{number:05}" for number in range(MANY)]


def in_flight(pipeline: Pipeline) -> int:
    """Return how many batches the processor has in hand."""
    url = f"http://{pipeline.address('processor')}:8080/metrics"
    with urllib.request.urlopen(url, timeout=10) as answer:
        (found,) = re.findall(rb"^pipeline_inflight_batches (\d+)", answer.read(), re.MULTILINE)
    return int(found)


def test_a_processor_told_to_stop_under_load_commits_all_that_it_stored(
    pipeline: Pipeline,
) -> None:
    processor, store = pipeline.containers["processor"], pipeline.containers["mongo"]
    store.pause()
    pipeline.send(GPU_TOPIC, *(gpu(f"term-{number:05}") for number in range(MANY)))
    wait.until(lambda: in_flight(pipeline) == WRITERS + READY, what="batches", timeout_s=60)
    with ThreadPoolExecutor(1) as pool:
        stopping = pool.submit(processor.stop, timeout=STOP_S)
        wait.pause(3)
        was_waiting = not stopping.done()
        store.unpause()
        stopping.result()
    status, stored = processor.wait()["StatusCode"], len(pipeline.hosts("term-"))
    processor.start()

    assert len(pipeline.arrive("term-", MANY)) == MANY
    assert (status, was_waiting) == (0, True)
    assert 0 < stored < MANY  # and no more than it had in hand
    assert pipeline.health()[1]["duplicates"] == 0  # nothing was delivered again


def test_what_is_delivered_again_is_stored_once_and_is_no_dead_letter(pipeline: Pipeline) -> None:
    store = Store(f"mongodb://{pipeline.address('mongo')}:27017", "telemetry")
    first, more = ([{"_id": ObjectId(), "n": n} for n in range(count)] for count in (100, 1))
    try:
        assert store.insert("twice", first) == Written(stored=100)
        assert store.insert("twice", [*first, *more]) == Written(stored=1, duplicates=100)
        with pipeline.database() as database:
            assert database["twice"].count_documents({}) == 101
    finally:
        store.close()


def test_a_restarted_broker_keeps_its_messages_and_its_identity(pipeline: Pipeline) -> None:
    read = ["cat", "/var/lib/kafka/data/meta.properties"]
    before = pipeline.containers["kafka"].exec_run(read).output
    pipeline.containers["processor"].stop(timeout=STOP_S)
    pipeline.send(GPU_TOPIC, gpu("again-1"))
    pipeline.containers["kafka"].restart(timeout=50)
    pipeline.wait_healthy("kafka")
    assert pipeline.containers["kafka"].exec_run(read).output == before
    pipeline.send(GPU_TOPIC, gpu("again-2"))
    pipeline.containers["processor"].start()
    assert pipeline.arrive("again-", 2) == ["again-1", "again-2"]
