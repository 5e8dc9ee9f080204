#!/usr/bin/env python3
"""What it costs the capture that somebody asks for metrics: paired runs without --metrics, with a scrape each second, and with twenty a second.

Sends the benchmark mix down a veth line of its own (scripts/lab.sh, one queue) to `ringtap run`, in turn each way, the order of the turns
reversed each time since clocks drift. Told is the processor time for each frame, of the reader and of all threads (schedstat, so nanoseconds and not clock ticks):
medians, and of each round the ratio to the run without. Needs root and two cores.
"""

import argparse
import collections
import contextlib
import os
import pathlib
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from bench_replay import RELEASE, ROOT

LAB = f"ringtap-scrape-{os.getpid()}"
ADDRESS = "127.0.0.1:9464"
# Seconds between scrapes; None: nobody listens.
WAYS = {"no metrics": None, "a scrape each second": 1, "twenty a second": 0.05}


def lab(*arguments: str) -> None:
    command, *rest = arguments
    subprocess.run([ROOT / "scripts/lab.sh", command, "--name", LAB, *rest], stdout=subprocess.DEVNULL, check=True)


def inside(namespace: str, *command) -> list:
    return ["ip", "netns", "exec", f"{LAB}-{namespace}", *command]


def spent_ns(pid: int) -> collections.Counter:
    """Processor time of the threads of a process, by name without its number."""
    spent = collections.Counter()
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        name = (task / "comm").read_text().strip().rstrip("0123456789 ")
        spent[name] += int((task / "schedstat").read_text().split()[0])
    return spent


@contextlib.contextmanager
def scraping(pause_s: float | None):
    if pause_s is None:
        yield
        return
    loop = f"while curl -sf -o /dev/null http://{ADDRESS}/metrics; do sleep {pause_s}; done"
    scraper = subprocess.Popen(inside("tap", "sh", "-c", loop))
    try:
        yield
        if scraper.poll() is not None:
            sys.exit("the scraper got no answer")
    finally:
        scraper.kill()
        scraper.wait()


def run(programs: pathlib.Path, capture: pathlib.Path, rate: int, pause_s: float | None) -> dict[str, float]:
    """Nanoseconds for each frame: of the reader, of all threads."""
    with tempfile.TemporaryDirectory() as folder, open(f"{folder}/said", "w+") as said:
        command = [programs / "ringtap", "run", "--interface", "mirror0", "--cores", "1", "--journal", f"{folder}/journal.db", "--stats"]
        if pause_s is not None:
            command += ["--metrics", ADDRESS]
        engine = subprocess.Popen(inside("tap", *command), stderr=said)
        try:
            text = lambda: pathlib.Path(said.name).read_text()
            while "capturing on" not in text():
                if engine.poll() is not None:
                    sys.exit(text())
                time.sleep(0.05)
            with scraping(pause_s):
                before = spent_ns(engine.pid)
                play = [programs / "ringtap-testkit", "play", "--interface", "span0", "--spread", "one", "--rate", str(rate), capture]
                subprocess.run(inside("net", "taskset", "-c", "0", *play), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
                time.sleep(0.3)
                spent = spent_ns(engine.pid) - before
            engine.send_signal(signal.SIGTERM)
            engine.wait(30)
        finally:
            if engine.poll() is None:
                engine.kill()
                engine.wait()
        frames = int(re.search(r"^frames +(\d+)", text(), re.M)[1])
    return {"reader": spent["reader"] / frames, "all": spent.total() / frames}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--rate", type=int, default=30_000, help="frames a second")
    parser.add_argument("--calls", type=int, default=20_000, help="calls of the benchmark mix")
    parser.add_argument("--programs", type=pathlib.Path, default=RELEASE, help="folder of ringtap, ringtap-testkit and gen-ims-pcap")
    options = parser.parse_args()
    runs = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        capture = pathlib.Path(folder) / "mix.pcap"
        make = [options.programs / "gen-ims-pcap", "--calls", str(options.calls), "--cps", "500", "--out", capture, "--csv", "/dev/null"]
        subprocess.run(make, stdout=subprocess.DEVNULL, check=True)
        lab("up", "--queues", "1")
        try:
            subprocess.run(["ip", "-n", f"{LAB}-tap", "link", "set", "dev", "lo", "up"], check=True)
            for number in range(options.rounds):
                ways = list(WAYS.items())
                for way, pause_s in ways if number % 2 == 0 else reversed(ways):
                    runs[way].append(run(options.programs, capture, options.rate, pause_s))
        finally:
            lab("down")
    print("| | reader, ns/frame | all threads, ns/frame | reader, ratio to none: median (lowest to highest) |\n|---|---|---|---|")
    without = next(iter(runs.values()))
    for way, found in runs.items():
        median = {part: statistics.median(one[part] for one in found) for part in ("reader", "all")}
        ratios = [one["reader"] / other["reader"] for one, other in zip(found, without)]
        print(f"| {way} | {median['reader']:,.0f} | {median['all']:,.0f} | {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}) |")


if __name__ == "__main__":
    main()
