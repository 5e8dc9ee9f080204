"""Sections of whole programs: a capture in the page cache to records, beside others who read the same file."""

import concurrent.futures
import os
import pathlib
import random
import re
import time

from scale import records_told
from setup import Failed, Setup, Usage, cores, measured, median, packets


def replay(setup: Setup) -> dict:
    """`ringtap replay` on one core and on two, and the peers, in turn."""
    file = setup.capture()
    count = packets(file)
    config = setup.scratch / "ringtap.toml"
    config.write_text("")
    ours = [setup.program("ringtap"), "replay", "--config", str(config)]
    one, two = pinned(cores()[-1:]), pinned(cores()[:2])
    made: list[pathlib.Path] = []

    def journal() -> list[str]:
        # A new file each time: records that are there already cost less.
        made.append(setup.scratch / f"run-{len(made)}.db")
        return ["--journal", str(made[-1]), str(file)]

    one_core = f"{cores()[-1]}"
    limit = str(setup.calls * 2)
    base = "ringtap to the journal, 1 core"
    timed = "ringtap to the journal, 1 core, batches timed"
    commands = {
        base: lambda: one + ours + ["--cores", one_core] + journal(),
        timed: lambda: one + ours + ["--stats", "--cores", one_core] + journal(),
        "ringtap to JSON lines, 1 core": lambda: one + ours + ["--cores", one_core, "--records", "/dev/null", str(file)],
    }
    on_two = "ringtap to the journal, 2 cores"
    if len(cores()) > 1:
        both = ",".join(str(core) for core in cores()[:2])
        commands[on_two] = lambda: two + ours + ["--cores", both] + journal()
    alone: list[float] = []

    def one_each() -> float:
        """Seconds until two replays have ended that know nothing of each other, each on a core of its own."""
        words = [pinned([core]) + ours + ["--cores", f"{core}"] + journal() for core in cores()[:2]]
        began = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor() as both:
            list(both.map(lambda command: measured(command, env), words))
        return time.monotonic() - began

    peers = {
        "pcap-count": ("libpcap counting loop", lambda path: [path, str(file)]),
        "tcpdump": ("tcpdump -w /dev/null", lambda path: [path, "-r", str(file), "-w", "/dev/null"]),
        "sipmon": ("sipmon", lambda path: [path, "--dry-run", "--max-calls", limit, "file", "-r", str(file), "--no-tui"]),
        "sipgrep": ("sipgrep", lambda path: [path, "-C", "-I", str(file)]),
        "sngrep": ("sngrep", lambda path: [path, "-N", "-q", "-I", str(file), "-l", limit]),
        "tshark": ("tshark", lambda path: [path, "-n", "-q", "-r", str(file), "-z", "sip,stat"]),
    }
    for name, (title, command) in peers.items():
        if name in setup.peers:
            commands[f"{title}, 1 core"] = lambda command=command, path=setup.peers[name]: one + command(path)
    env = {"HOME": str(setup.scratch), "XDG_CONFIG_HOME": str(setup.scratch)}
    results: dict[str, list[Usage]] = {name: [] for name in commands}
    notes = [f"{file.name}: {count:,} packets, {file.stat().st_size / 1e6:.0f} MB, in the page cache; {setup.runs} runs in turn."]
    measured(commands[base](), env)
    # The order changes: what ran before shows in the clock, and in what waits for the disk.
    mixed = random.Random(1)
    for _ in range(setup.runs):
        for name, command in mixed.sample(list(commands.items()), len(commands)):
            if name == on_two:
                alone.append(one_each())
            words = command()
            setup.note(words)
            try:
                results[name].append(measured(words, env))
            except Failed as error:
                if name.startswith("ringtap"):
                    raise SystemExit(str(error)) from error
                notes.append(f"{name}: failed, so it is left out ({error}).")
                del commands[name], results[name]
    for path in made:
        for each in path.parent.glob(path.name + "*"):
            each.unlink()
    rows = []
    for name, runs in results.items():
        ratios = [run.cpu_s / ours_run.cpu_s for run, ours_run in zip(runs, results[base]) if ours_run.cpu_s]
        cpu_s = median([run.cpu_s for run in runs])
        rows.append(
            {
                "name": name,
                "cpu_s": cpu_s,
                "wall_s": median([run.wall_s for run in runs]),
                "packets_per_cpu_s": count / cpu_s if cpu_s else 0,
                "ratio": median(ratios) if ratios else 0,
                "peak_mib": median([run.peak_mib for run in runs]),
            }
        )
    rows.sort(key=lambda row: row["cpu_s"])
    for name, why in setup.absent.items():
        notes.append(f"{name} is absent: {why}.")
    notes.append(
        "What becomes of the capture differs: "
        "the libpcap loop and tcpdump look into no packet, sngrep and sipmon keep dialogs, sipgrep prints messages, tshark dissects. "
        "A peak below some 17 MiB is that of the process that started the program."
    )
    columns = [
        ("name", "program"), ("cpu_s", "CPU s"), ("wall_s", "wall s"), ("packets_per_cpu_s", "packets a CPU second"),
        ("ratio", "CPU, of ringtap's"), ("peak_mib", "peak MiB"),
    ]
    plot = {"kind": "bars", "label": "name", "value": "packets_per_cpu_s", "unit": "packets a CPU second", "log": True}
    setup.told["records"] = [records_told(run.said) for run in results[timed]]
    tables = [{"title": "", "columns": columns, "rows": rows, "plot": plot}, batches([run.said for run in results[timed]])]
    if alone:
        tables.append(of_two_cores(results[base], results[on_two], alone))
    return {"title": "Whole programs", "tables": tables, "notes": notes}


def of_two_cores(one: list[Usage], two: list[Usage], one_each: list[float]) -> dict:
    """How much more two cores do than one, beside what they could: two replays that share nothing but the machine."""
    rows = [
        {"name": "one replay on two cores", "times": median([single.wall_s / run.wall_s for single, run in zip(one, two)])},
        {"name": "two replays, one on each core", "times": median([2 * single.wall_s / wall_s for single, wall_s in zip(one, one_each)])},
    ]
    return {"title": "Two cores", "columns": [("name", "run"), ("times", "times as much as one core in the same time")], "rows": rows}


def batches(told: list[str]) -> dict:
    """How long a worker took for messages that it read and joined at once, as `--stats` tells it."""
    pattern = r"^batches +(\d+) +\(([\d.]+) messages each\)\n +batch +p50 ([\d.]+) us, p99 ([\d.]+) us, p99.9 ([\d.]+) us, longest ([\d.]+) us$"
    found = [re.search(pattern, text, re.MULTILINE) for text in told]
    if not all(found):
        raise SystemExit("ringtap replay --stats tells no batches")
    names = ("count", "messages", "p50", "p99", "p999", "longest")
    row = {name: median([float(match[at]) for match in found if match]) for at, name in enumerate(names, 1)}
    columns = [
        ("name", "run"), ("count", "batches"), ("messages", "messages each"), ("p50", "p50 µs"), ("p99", "p99 µs"),
        ("p999", "p99.9 µs"), ("longest", "longest µs"),
    ]
    return {"title": "How long a batch takes", "columns": columns, "rows": [{"name": "1 core"} | row]}


def pinned(on: list[int]) -> list[str]:
    """Runs what follows on these cores."""
    return ["taskset", "-c", ",".join(str(core) for core in on)] if os.path.exists("/usr/bin/taskset") else []
