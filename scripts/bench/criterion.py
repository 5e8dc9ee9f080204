"""Criterion's benchmarks, in rounds: all benchmarks of a program once, then all of them again.

Clocks of shared machines drift by half within minutes, so a ratio is that of two figures of one round, and what is told is
the middle one of all rounds.
"""

import json
import os
import subprocess
import sys

from setup import Setup, median


def rounds(setup: Setup, bench: str, between=None, env: dict[str, str] | None = None) -> list[dict[str, float]]:
    """Nanoseconds of a unit by "group/benchmark", for each round. `between` adds what belongs to the round but is no benchmark
    of Criterion's."""
    found = []
    for _ in range(setup.runs):
        figures = one(setup, bench, env or {"RINGTAP_BENCH_PCAP": str(setup.capture())})
        if between:
            figures |= between()
        found.append(figures)
    return found


def one(setup: Setup, bench: str, env: dict[str, str]) -> dict[str, float]:
    """One round."""
    home = setup.scratch / f"criterion-{bench}"
    setup.note([f"{name}={value}" for name, value in env.items()] + [bench, "--bench"])
    env = os.environ | env | {"CRITERION_HOME": str(home)}
    command = [str(setup.benches[bench]), "--bench", "--noplot"]
    if setup.is_smoke:
        command += ["--quick", "--warm-up-time", "0.01", "--measurement-time", "0.02"]
        env["RINGTAP_BENCH_SCENARIO_ROUNDS"] = "1"
    else:
        command += ["--warm-up-time", "1", "--measurement-time", "3"]
    done = subprocess.run(command, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        print(done.stdout[-3000:], file=sys.stderr)
        raise SystemExit(f"the benchmark {bench} failed")
    setup.told[bench] = [line for line in done.stdout.splitlines() if "messages refused" in line]
    figures = {}
    for file in home.rglob("new/estimates.json"):
        facts = json.loads((file.parent / "benchmark.json").read_text())
        elements = (facts.get("throughput") or {}).get("Elements", 1)
        mean = json.loads(file.read_text())
        estimate = mean.get("median") or mean["mean"]
        setup.units[facts["full_id"]] = elements
        figures[facts["full_id"]] = estimate["point_estimate"] / elements
    return figures


def table(found: list[dict[str, float]], base: str | None = None) -> list[dict]:
    """Medians over the rounds, and if a base is named, the ratio to it: the middle one of each round's."""
    rows = []
    for name in found[0]:
        row = {"name": name, "ns": median([figures[name] for figures in found])}
        row["per_second"] = 1e9 / row["ns"] if row["ns"] else 0
        if base:
            row["ratio"] = median([figures[name] / figures[base] for figures in found])
        rows.append(row)
    return rows
