#!/usr/bin/env python3
"""Hostile traffic: what memory and verdicts become of it.

Plays the calls of a workload (scripts/workload.sh) through replay, journal, notifier and SMTP, first alone and then
beside each kind of attack (ringtap-testkit workload --attack): floods of INVITEs, Call-IDs made to collide, fragments and
streams that never end, leave things out or leap ahead, header bombs, tiny payloads, tunnels in tunnels. Takes peak memory, time and what was counted.
Each attack runs with the limits of --legs, and once more with a table far too small for it (--small-legs), to show what is
lost where the limit does not allow more.

Fails if memory goes over what the limits add up to, if a person is told of a call that was none, if a mail is missing
though the table had room, or if an attack costs more time for each frame than --slowest allows. Prints a table in Markdown
(docs/limits.md).
"""

import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
RELEASE = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
TESTKIT = RELEASE / "ringtap-testkit"
KINDS = ["invites", "collisions", "responses", "branches", "registrations", "fragments", "slow-tcp", "slow-sctp",
         "holes", "long-headers", "far-ahead", "header-bombs", "tiny", "tunnels"]
# Frames for each kind, if --frames does not say otherwise: a header bomb is 60 times as long as others.
FRAMES = {"header-bombs": 20_000, "slow-tcp": 1_000_000, "tiny": 2_000_000}
# What a leg takes at most in the table, its share of the registry and of closed legs under way included, in octets.
LEG_BYTES = 2_048
# The program itself, chunks of the capture, the journal's cache and queue.
BASE_BYTES = 160 << 20


def run(command, **options):
    """Runs a command that must succeed; gives what it printed."""
    done = subprocess.run([str(part) for part in command], text=True, stdout=subprocess.PIPE, **options)
    if done.returncode != 0:
        sys.exit(f"{command[0]} failed with status {done.returncode}")
    return done.stdout


def measured(command, env=None):
    """Wall seconds, peak resident octets and standard error of a command that must succeed."""
    began = time.monotonic()
    process = subprocess.Popen([str(part) for part in command], text=True, env=env, stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{command[0]} failed:\n{said}")
    return time.monotonic() - began, usage.ru_maxrss * 1024, said


def counts(stats):
    """The lines of --stats as a dictionary: "frame delivered" -> 7."""
    found = {}
    for line in stats.splitlines():
        words = line.split()
        if len(words) >= 2 and words[-1].isdigit():
            found[" ".join(words[:-1])] = int(words[-1])
        elif len(words) >= 2 and words[1].isdigit():
            found[words[0]] = int(words[1])
    return found


def limits(folder, legs, arguments):
    """Sets the limits in the office's configuration."""
    path = folder / "ringtap.toml"
    text = path.read_text()
    text = re.sub(r"(?ms)^\[limits\].*?(?=^\[|\Z)", "", text)
    path.write_text(text + f"\n[limits]\ncalls_max = {legs}\nbindings_max = {arguments.bindings}\n"
                    f"reassembly_bytes_max = {arguments.buffers}\nstream_bytes_max = {arguments.buffers}\n")


def bound(legs, arguments):
    """Octets that the limits add up to."""
    return BASE_BYTES + legs * LEG_BYTES + arguments.bindings * 650 + 2 * arguments.buffers


class Sink:
    """The mail server of a run."""

    def __init__(self, folder):
        self.port_file = folder / "smtp.port"
        self.mails = folder / "mails.tsv"
        self.process = subprocess.Popen([TESTKIT, "sink", "--mails", self.mails, "--port-file", self.port_file])
        for _ in range(200):
            if self.port_file.exists():
                break
            time.sleep(0.05)
        self.port = int(self.port_file.read_text())

    def stop(self):
        self.process.terminate()
        self.process.wait()


def one(kind, legs, arguments):
    """One run; a dictionary of figures."""
    with tempfile.TemporaryDirectory(prefix="ringtap-hostile.") as name:
        folder = pathlib.Path(name)
        sink = Sink(folder)
        try:
            frames = arguments.frames or FRAMES.get(kind, 500_000)
            rate = frames / (arguments.calls / arguments.cps + 20)
            attack = ["--attack", kind, "--attack-rate", rate, "--attack-frames", frames] if kind else []
            said = run([TESTKIT, "workload", "--calls", arguments.calls, "--cps", arguments.cps, "--seed", arguments.seed,
                        "--output", folder / "all.pcap", "--truth", folder / "truth.tsv", "--office", folder,
                        "--smtp-url", f"smtp://127.0.0.1:{sink.port}", *attack])
            limits(folder, legs, arguments)
            config = ["--config", folder / "ringtap.toml"]
            wall, peak, stats = measured([RELEASE / "ringtap", "replay", *config, "--stats", "--journal",
                                          folder / "journal.db", folder / "all.pcap"])
            (folder / "all.pcap").unlink()
            notifier = [RELEASE / "ringtap-notifier", *config]
            quiet = {**os.environ, "RUST_LOG": "error"}
            run([*notifier, "import", folder / "subscribers.csv"], env=quiet)
            run([*notifier, "once"], env=quiet)
            sink.stop()
            score = run([TESTKIT, "score", "--truth", folder / "truth.tsv", "--mails", sink.mails,
                         "--examples", arguments.examples])
        finally:
            sink.stop()
    if arguments.verbose:
        print(stats, score, sep="\n", file=sys.stderr)
    row = [cell.strip() for cell in score.strip().splitlines()[-1].strip("|").split("|")]
    hostile = re.search(r"(\d+) hostile frames", said)
    expected, wrong = int(row[1].replace(",", "")), int(row[2].replace(",", ""))
    recall = float(row[4].split("%")[0])
    return {"kind": kind or "none", "legs": legs, "hostile": int(hostile[1]) if hostile else 0, "wall": wall,
            "peak": peak, "expected": expected, "wrong": wrong, "recall": recall, "counts": counts(stats),
            "examples": [line for line in score.splitlines() if line.startswith("  ")]}


def told(result):
    """What was counted that a calm run does not count, the largest first."""
    skip = ("call ", "target ", "request", "response", "journal", "registration", "elapsed", "records", "legs", "bytes",
            "sip", "frames", "calls", "capture", "frame delivered", "leg messages")
    names = [name for name in result["counts"] if not name.startswith(skip)]
    names.sort(key=lambda name: -result["counts"][name])
    return ", ".join(f"`{name}` {result['counts'][name]:,}" for name in names[:4])


def faults(result, calm, small, arguments):
    """What is not as it must be."""
    found = []
    most = bound(result["legs"], arguments)
    if result["peak"] > most:
        found.append(f"{result['peak'] >> 20} MiB of memory, and the limits add up to {most >> 20}")
    if result["wrong"] > calm["wrong"]:
        found.append(f"{result['wrong']} mails about calls that were none")
    if not small and result["recall"] < calm["recall"]:
        found.append(f"recall {result['recall']} %, and {calm['recall']} % without the attack")
    if not small and result["hostile"]:
        each = (result["wall"] - calm["wall"]) / result["hostile"] * 1e6
        if each > arguments.slowest:
            found.append(f"{each:.1f} us for each hostile frame, and at most {arguments.slowest} are allowed")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"attacks; all if none is named: {', '.join(KINDS)}")
    parser.add_argument("--calls", type=int, default=5_000)
    parser.add_argument("--cps", type=float, default=100.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--frames", type=int, help="hostile frames of each attack")
    parser.add_argument("--legs", type=int, default=1_000_000, help="limits.calls_max")
    parser.add_argument("--small-legs", type=int, default=50_000, help="limits.calls_max of the second run; 0: none")
    parser.add_argument("--bindings", type=int, default=100_000, help="limits.bindings_max")
    parser.add_argument("--buffers", type=int, default=32 << 20,
                        help="limits.reassembly_bytes_max and limits.stream_bytes_max")
    parser.add_argument("--slowest", type=float, default=300.0, help="microseconds for each hostile frame")
    parser.add_argument("--examples", type=int, default=5, help="faults to show of a run")
    parser.add_argument("--no-build", action="store_true")
    parser.add_argument("--verbose", action="store_true", help="show --stats and the score of each run")
    arguments = parser.parse_args()
    unknown = set(arguments.kinds) - set(KINDS)
    if unknown:
        parser.error(f"no attack is called {', '.join(sorted(unknown))}")
    if not arguments.no_build:
        subprocess.run(["cargo", "build", "--quiet", "--release", "--locked", "-p", "ringtap", "-p", "ringtap-notifier",
                        "-p", "ringtap-testkit"], cwd=ROOT, check=True)
    calm = one(None, arguments.legs, arguments)
    runs = [(calm, [])]
    for kind in arguments.kinds or KINDS:
        for legs in filter(None, [arguments.legs, arguments.small_legs]):
            result = one(kind, legs, arguments)
            runs.append((result, faults(result, calm, legs == arguments.small_legs, arguments)))
            print(f"{kind}, {legs} legs: {'; '.join(runs[-1][1]) or 'as it must be'}", file=sys.stderr)
            for line in result["examples"] if runs[-1][1] else []:
                print(line, file=sys.stderr)
    print("| attack | hostile frames | `calls_max` | peak memory, MiB (bound) | µs per hostile frame | mails that must "
          "come | wrong | missing | counted beside calls |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---|")
    for result, _ in runs:
        each = (result["wall"] - calm["wall"]) / result["hostile"] * 1e6 if result["hostile"] else None
        missing = round(result["expected"] * (100 - result["recall"]) / 100)
        print(f"| {result['kind']} | {result['hostile']:,} | {result['legs']:,} | {result['peak'] >> 20} "
              f"({bound(result['legs'], arguments) >> 20}) | {'' if each is None else f'{each:.1f}'} | "
              f"{result['expected']:,} | {result['wrong']} | {missing} | {told(result)} |")
    sys.exit(1 if any(found for _, found in runs) else 0)


if __name__ == "__main__":
    main()
