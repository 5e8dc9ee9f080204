"""Section of growth: what a packet costs with more calls open, on more cores, with more legs a call, and in a larger journal."""

import shutil

from programs import pinned
from setup import Setup, cores, measured, median, memory_available_mib, packets

# Of what is free, so that the machine does not swap.
MEMORY_SHARE = 0.6
# Legs of each open call: one on each side of a switch.
LEGS = 2
# What is told of open calls.
MEASURED = ("ns_per_packet", "tick_us", "fill_ns_per_call", "bytes_per_leg", "peak_mib")


def growth(setup: Setup) -> dict:
    """All of it."""
    notes: list[str] = []
    tables = [open_calls(setup, notes), on_cores(setup), legs(setup), journal(setup)]
    notes.append(
        "Open calls: packets of calls picked at random among all that are open, each of them parsed and joined, so that every "
        "look-up misses the caches; and a tick of the clock over all shards, which closes nothing. Legs: calls whose legs share a "
        "charging identifier, from the INVITE to the verdict."
    )
    return {"title": "Growth", "tables": [table for table in tables if table], "notes": notes}


def open_calls(setup: Setup, notes: list[str]) -> dict:
    sizes = [100, 1_000] if setup.is_smoke else [1_000, 4_000, 10_000, 64_000, 250_000, 1_000_000, 2_000_000, 4_000_000]
    base = 100 if setup.is_smoke else 10_000
    count = "2000" if setup.is_smoke else "1000000"
    points: dict[int, list[dict]] = {}
    leg_mib = 0.0
    for _ in range(setup.runs):
        for size in sizes:
            if size > setup.growth_calls_max:
                continue
            if leg_mib * size > memory_available_mib() * MEMORY_SHARE:
                told = f"{size:,} open calls were left out: they want some {leg_mib * size:,.0f} MiB of memory, more than is free."
                if told not in notes:
                    notes.append(told)
                continue
            found = setup.json_of([setup.program("growth"), "calls", str(size), count, str(LEGS)])
            points.setdefault(size, []).append(found)
            if size >= 64_000:
                leg_mib = max(leg_mib, found["peak_mib"] / size)
    base = base if base in points else min(points)
    rows = []
    for size, runs in points.items():
        row = {"name": size} | {key: median([run[key] for run in runs]) for key in MEASURED}
        row["ratio"] = median([run["ns_per_packet"] / beside["ns_per_packet"] for run, beside in zip(runs, points[base])])
        rows.append(row)
    columns = [
        ("name", "open calls"), ("ns_per_packet", "ns a packet"), ("ratio", f"of that at {base:,}"), ("tick_us", "a tick, µs"),
        ("fill_ns_per_call", "ns a call to begin it"), ("bytes_per_leg", "octets a leg"), ("peak_mib", "peak MiB"),
    ]
    plot = {"kind": "line", "label": "name", "value": "ns_per_packet", "unit": "ns a packet", "axis": "open calls", "log_x": True}
    return {"title": f"Calls of {LEGS} legs open at once", "columns": columns, "rows": rows, "plot": plot}


def on_cores(setup: Setup) -> dict:
    file = setup.capture()
    count = packets(file)
    config = setup.scratch / "growth.toml"
    config.write_text("")
    numbers = [n for n in (1, 2, 4, 8, 16, 32) if n <= len(cores())]
    found: dict[int, list] = {n: [] for n in numbers}
    for _ in range(setup.runs):
        for n in numbers:
            chosen = ",".join(str(core) for core in cores()[:n])
            # The threads behind the workers, which no option pins, have these cores too and no others.
            command = [*pinned(cores()[:n]), setup.program("ringtap"), "replay", "--config", str(config), "--cores", chosen]
            found[n].append(measured([*command, "--records", "/dev/null", str(file)]))
    rows = [
        {
            "name": n,
            "packets_per_s": count / median([run.wall_s for run in runs]),
            "cpu_us": median([run.cpu_s for run in runs]) * 1e6 / count,
            "speedup": median([first.wall_s / run.wall_s for run, first in zip(runs, found[1])]),
        }
        for n, runs in found.items()
    ]
    columns = [("name", "workers, a core each"), ("packets_per_s", "packets a second"), ("cpu_us", "CPU µs a packet"), ("speedup", "times as fast as one")]
    plot = {"kind": "line", "label": "name", "value": "packets_per_s", "unit": "packets a second", "axis": "cores"}
    return {"title": "Cores", "columns": columns, "rows": rows, "plot": plot}


def legs(setup: Setup) -> dict:
    numbers, calls = ([1, 2], 50) if setup.is_smoke else ([1, 2, 4, 8, 16], 10_000)
    found: dict[int, list[dict]] = {n: [] for n in numbers}
    for _ in range(setup.runs):
        for n in numbers:
            found[n].append(setup.json_of([setup.program("growth"), "legs", str(n), str(calls)]))
    rows = [
        {"name": n} | {key: median([run[key] for run in runs]) for key in ("ns_per_packet", "ns_per_call", "judged")}
        for n, runs in found.items()
    ]
    columns = [("name", "legs a call"), ("ns_per_packet", "ns a packet"), ("ns_per_call", "ns a call"), ("judged", f"calls judged of {calls:,}")]
    plot = {"kind": "line", "label": "name", "value": "ns_per_packet", "unit": "ns a packet", "axis": "legs a call"}
    return {"title": "Legs a call", "columns": columns, "rows": rows, "plot": plot}


def journal(setup: Setup) -> dict:
    records, step = (2_000, 1_000) if setup.is_smoke else (2_000_000, 200_000)
    folder = setup.scratch / "growth-journal"
    folder.mkdir()
    points = setup.json_of([setup.program("growth"), "journal", str(folder), str(records), str(step)])
    shutil.rmtree(folder)
    rows = [
        {"name": point["records"], "us_per_record": point["us_per_record"], "mib": point["bytes"] / 2**20} for point in points
    ]
    columns = [("name", "records in the journal"), ("us_per_record", f"µs a record, of the last {step:,}"), ("mib", "file, MiB")]
    plot = {"kind": "line", "label": "name", "value": "us_per_record", "unit": "µs a record", "axis": "records in the journal"}
    return {"title": "Journal", "columns": columns, "rows": rows, "plot": plot}
