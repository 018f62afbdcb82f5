"""What is wrong with a timeline by the rules of the Chrome trace-event format, as Perfetto takes it.

https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU and, for what Perfetto does with it,
https://perfetto.dev/docs/getting-started/other-formats: events of a thread must nest, or they are dropped; a counter is
a number at a time; names of processes and threads are metadata.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

METADATA = {"process_name": "name", "thread_name": "name", "process_sort_index": "sort_index"}
"""Kinds of metadata event, and the argument that each has."""

COLOURS = {
    *("thread_state_uninterruptible", "thread_state_iowait", "thread_state_running", "thread_state_runnable"),
    *("thread_state_sleeping", "thread_state_unknown", "generic_work", "good", "bad", "terrible", "black", "grey"),
    *("white", "yellow", "olive", "startup", "rail_response", "rail_animation", "rail_idle", "rail_load"),
}
"""Reserved colour names (catapult, tracing/tracing/base/color_scheme.html); by another one the old viewer fails."""

Event = Mapping[str, Any]


def problems(document: Any) -> list[str]:
    """Say what is wrong, in words; nothing if a viewer has all it needs."""
    if not isinstance(document, dict) or not isinstance(document.get("traceEvents"), list):
        return ["not an object with traceEvents"]
    found = [] if document.get("displayTimeUnit", "ms") in ("ms", "ns") else ["displayTimeUnit is ms or ns"]
    events = document["traceEvents"]
    for at, event in enumerate(events):
        found += [f"event {at}: {words}" for words in _alone(event)]
    return found or [*_unnamed(events), *_not_nested(events), *_counters(events)]


def _alone(event: Event) -> Iterator[str]:
    if not isinstance(event, dict) or event.get("ph") not in ("X", "C", "M"):
        yield "is not of a kind we write: X, C, M"
        return
    if not isinstance(event.get("name"), str) or not event["name"]:
        yield "has no name"
    if not _whole(event.get("pid")) or (event["ph"] != "C" and not _whole(event.get("tid"))):
        yield "pid and tid are whole numbers"
    if event["ph"] != "M" and not _whole(event.get("ts")):
        yield "ts is a whole number"
    if event["ph"] == "X" and not _whole(event.get("dur")):
        yield "dur is a whole number"
    if "cname" in event and event["cname"] not in COLOURS:
        yield f"no colour {event['cname']}"
    if event["ph"] == "M" and METADATA.get(event["name"]) not in event.get("args", {}):
        yield "metadata without its argument"


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _unnamed(events: list[Event]) -> Iterator[str]:
    processes = {event["pid"] for event in events if event["name"] == "process_name"}
    threads = {(event["pid"], event["tid"]) for event in events if event["name"] == "thread_name"}
    for pid in {event["pid"] for event in events} - processes:
        yield f"process {pid} has no name"
    for row in {(event["pid"], event["tid"]) for event in events if event["ph"] == "X"} - threads:
        yield f"row {row} has no name"


def _not_nested(events: list[Event]) -> Iterator[str]:
    """Of two events of a row one ends before the other begins, or lies within it."""
    rows = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            rows[event["pid"], event["tid"]].append((event["ts"], event["ts"] + event["dur"]))
    for row, spans in rows.items():
        open_until: list[int] = []
        for start, end in sorted(spans, key=lambda span: (span[0], -span[1])):
            while open_until and open_until[-1] <= start:
                open_until.pop()
            if open_until and end > open_until[-1]:
                yield f"row {row}: an event from {start} to {end} crosses one that ends at {open_until[-1]}"
            open_until.append(end)


def _counters(events: list[Event]) -> Iterator[str]:
    """In the file's order, time moves on; a counter always has the same series, all numbers."""
    last: dict[tuple[int, str], tuple[int, list[str]]] = {}
    for event in events:
        if event["ph"] != "C":
            continue
        track, args = (event["pid"], event["name"]), event.get("args", {})
        if not args or not all(isinstance(value, int | float) for value in args.values()):
            yield f"counter {track}: its series are numbers"
        before, series = last.get(track, (-1, list(args)))
        if event["ts"] <= before:
            yield f"counter {track}: {event['ts']} comes after {before}"
        if list(args) != series:
            yield f"counter {track}: its series change"
        last[track] = event["ts"], list(args)
