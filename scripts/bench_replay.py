#!/usr/bin/env python3
"""Replay benchmark: packets of the generated workload to call records, beside sngrep in the same run.

Builds the programs, makes the workload once (target/bench/), warms the page cache, then runs each program
in turn several times on one core and prints medians of CPU time (user and system, all threads) and wall time.
"""

import argparse
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
RELEASE = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"


def measured(command: list[str]) -> tuple[float, float, float]:
    """CPU seconds, wall seconds and peak resident MiB of a command."""
    import time

    began = time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    said = process.stderr.read() if process.stderr else b""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{command[0]} failed: {said.decode(errors='replace')}")
    return usage.ru_utime + usage.ru_stime, time.monotonic() - began, usage.ru_maxrss / 1024


def workload(calls: int, seed: int = 1) -> pathlib.Path:
    """The workload's file, made if it is not there. Other seeds have other calls."""
    file = ROOT / "target" / "bench" / (f"ims-{calls}.pcap" if seed == 1 else f"ims-{calls}-seed-{seed}.pcap")
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(f".part-{os.getpid()}")
        subprocess.run(
            [RELEASE / "gen-ims-pcap", "--calls", str(calls), "--seed", str(seed), "--cps", "500",
             "--out", part, "--csv", file.with_suffix(".csv")],
            check=True, stdout=sys.stderr,
        )
        part.rename(file)
    return file


def packets(file: pathlib.Path) -> int:
    """How many packets the file holds, by its record headers."""
    count = 0
    with file.open("rb") as capture:
        capture.seek(24)
        while head := capture.read(16):
            capture.seek(int.from_bytes(head[8:12], "little"), os.SEEK_CUR)
            count += 1
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--core", default="1", help="core to run on")
    parser.add_argument("--no-build", action="store_true")
    arguments = parser.parse_args()
    if not arguments.no_build:
        subprocess.run(["cargo", "build", "--release", "-p", "ringtap", "-p", "ringtap-benches"], check=True, cwd=ROOT)
    file = workload(arguments.calls)
    count = packets(file)
    ringtap = str(RELEASE / "ringtap")
    taskset = ["taskset", "-c", arguments.core]
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder) / "ringtap.toml"
        config.write_text("")
        base = taskset + [ringtap, "replay", "--config", str(config)]
        commands = {
            "ringtap, records as JSON": lambda run: base + ["--records", f"{folder}/{run}.json", str(file)],
            "ringtap, records in the journal": lambda run: base + ["--journal", f"{folder}/{run}.db", str(file)],
        }
        if shutil.which("sngrep"):
            limit = str(arguments.calls * 2)
            commands["sngrep -N -q -I"] = lambda run: taskset + ["sngrep", "-N", "-q", "-I", str(file), "-l", limit]
        else:
            print("sngrep is not installed: no peer in this run", file=sys.stderr)
        measured(commands["ringtap, records as JSON"]("warm"))
        results: dict[str, list[tuple[float, float, float]]] = {name: [] for name in commands}
        for run in range(arguments.runs):
            for name, command in commands.items():
                results[name].append(measured(command(run)))
    print(f"{file.name}: {count} packets, {file.stat().st_size / 1e6:.0f} MB, {arguments.runs} runs, one core\n")
    print("| program | CPU s | wall s | packets per CPU second | peak MiB |")
    print("|---|---|---|---|---|")
    for name, runs in results.items():
        cpu, wall, peak = (statistics.median(column) for column in zip(*runs))
        print(f"| {name} | {cpu:.3f} | {wall:.3f} | {count / cpu:,.0f} | {peak:.0f} |")


if __name__ == "__main__":
    main()
