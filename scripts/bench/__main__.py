"""All benchmarks in one run, and one report of it. Called by scripts/bench.sh, which builds what is measured."""

import argparse
import json
import pathlib
import shutil
import sys
import time

import growth
import instructions
import programs
import report
import scale
import stages
from setup import Setup, load_average, machine, said

SECTIONS = {
    "parsers": stages.parsers,
    "stages": stages.stages,
    "instructions": instructions.section,
    "replay": programs.replay,
    "journal": stages.journal,
    "notifier": stages.notifier,
    "xdp": stages.xdp,
    "growth": growth.growth,
}
# How a program tells its version.
VERSIONS = {
    "tcpdump": ["--version"],
    "sngrep": ["-V"],
    "sipgrep": ["-V"],
    "sipmon": ["--version"],
    "tshark": ["--version"],
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench.sh", description=__doc__)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--programs", type=pathlib.Path, required=True)
    parser.add_argument("--benches", type=pathlib.Path, required=True, help="JSON messages of cargo's build of the benchmarks")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PATH")
    parser.add_argument("--absent", action="append", default=[], metavar="NAME=WHY")
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--calls", type=int)
    parser.add_argument("--runs", type=int)
    parser.add_argument("--growth-calls-max", type=int, default=4_000_000)
    parser.add_argument("--only", help="sections, with commas between: " + ", ".join([*SECTIONS, "scale"]))
    arguments = parser.parse_args()
    # Made of the others.
    known = [*SECTIONS, "scale"]
    chosen = arguments.only.split(",") if arguments.only else known
    if unknown := [name for name in chosen if name not in known]:
        parser.error(f"no section {', '.join(unknown)}: there are {', '.join(known)}")
    setup = Setup(
        out=arguments.out.resolve(),
        is_smoke=arguments.smoke,
        calls=arguments.calls or (100 if arguments.smoke else 100_000),
        runs=arguments.runs or (1 if arguments.smoke else 5),
        growth_calls_max=arguments.growth_calls_max,
        programs=arguments.programs.resolve(),
        benches=executables(arguments.benches),
        peers=dict(peer.split("=", 1) for peer in arguments.peer),
        absent=dict(peer.split("=", 1) for peer in arguments.absent),
    )
    shutil.rmtree(setup.scratch, ignore_errors=True)
    facts = {"machine": machine(), "is_smoke": setup.is_smoke, "runs": setup.runs}
    done: dict[str, dict] = {}
    for name in chosen:
        print(f"== {name}", flush=True)
        before, began = load_average(), time.monotonic()
        section = SECTIONS[name](setup) if name in SECTIONS else scale.scale(setup, done)
        section["load"] = [before, load_average()]
        section["seconds"] = time.monotonic() - began
        done[name] = section
        facts |= {"peers": versions(setup), "absent": setup.absent, "commands": setup.commands}
        # After each, so that a run which is interrupted leaves what it has.
        report.write(setup.out, facts, list(done.values()))
    shutil.rmtree(setup.scratch, ignore_errors=True)
    print(f"report: {setup.out / 'report.md'}")


def executables(messages: pathlib.Path) -> dict[str, pathlib.Path]:
    """The benchmarks' programs by name, as cargo told them."""
    found = {}
    for line in messages.read_text().splitlines():
        message = json.loads(line)
        if message.get("reason") == "compiler-artifact" and "bench" in message["target"]["kind"] and message.get("executable"):
            found[message["target"]["name"]] = pathlib.Path(message["executable"])
    if not found:
        sys.exit(f"{messages}: cargo told of no benchmark")
    return found


def versions(setup: Setup) -> dict[str, str]:
    """Of the peers that are programs."""
    return {name: said([setup.peers[name], *VERSIONS[name]]) for name in setup.peers if name in VERSIONS}


main()
