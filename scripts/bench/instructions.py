"""Instructions, counted by callgrind: the same build and input give the same figures, whatever else the machine does.

As a program (scripts/instructions.sh calls it): compares with benches/instructions.tsv, or writes that. As a section of the
report: shows the file's figures.

Two programs are counted. `stage-counts` takes a capture through the stages one by one; each is a function that is never
compiled into another, and callgrind's inclusive figure of that function, divided by its units, is the stage's. `ringtap replay`
into a journal is counted as a whole; calls of the allocator's functions in it are counted too.
"""

import argparse
import dataclasses
import json
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
KEPT = ROOT / "benches" / "instructions.tsv"
HEAD = "what\tunit\tinstructions"

# What a stage is called here, its function, and of which count of `stage-counts` it is told.
STAGES = [
    ("decode", r"ringtap_benches::pipeline::decode\b", "frames", "frame"),
    ("parse", r"ringtap_benches::pipeline::parse\b", "messages", "message"),
    ("table, join", r"ringtap_benches::pipeline::Calls::join\b", "messages", "message"),
    ("table, expire", r"ringtap_benches::pipeline::Calls::expire\b", "legs", "leg"),
    ("settler", r"ringtap_benches::pipeline::Calls::settle\b", "legs", "leg"),
    ("journal, the writer's thread", r"ringtap_journal::work::Work::run\b", "records", "record"),
]
# The allocator's doors.
ALLOCATORS = r"\b(mi_malloc_aligned|mi_zalloc_aligned|mi_realloc_aligned|mi_malloc|mi_zalloc|mi_calloc|mi_realloc|malloc|calloc|realloc)\b"


@dataclasses.dataclass
class Profile:
    """What callgrind wrote."""

    total: int
    inclusive: dict[str, int]
    """By function."""
    called: dict[str, int]
    """How often each function was called by another."""


def profile(command: list[str], folder: pathlib.Path, name: str) -> tuple[Profile, str]:
    """Runs a command under callgrind. What was found, and what it printed."""
    out = folder / f"{name}.callgrind"
    valgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", "--quiet"]
    done = subprocess.run([*valgrind, *command], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode != 0:
        sys.exit(f"{command[0]} under callgrind: {done.stderr.strip()[-800:]}")
    return read(out), done.stdout


def read(out: pathlib.Path) -> Profile:
    """Reads callgrind's file by callgrind_annotate, and how often functions were called from the file itself."""
    annotate = ["callgrind_annotate", "--inclusive=yes", "--threshold=100", "--show-percs=no", "--auto=no", str(out)]
    text = subprocess.run(annotate, text=True, stdout=subprocess.PIPE, check=True).stdout
    inclusive: dict[str, int] = {}
    total = 0
    for line in text.splitlines():
        if match := re.match(r"\s*([\d,]+)\s+(.*)", line):
            count = int(match[1].replace(",", ""))
            if match[2].startswith("PROGRAM TOTALS"):
                total = count
                continue
            function = re.sub(r"^[^ ]*?:(?=[^:])", "", match[2], count=1)
            function = re.sub(r"( \[[^\]]*\])$", "", function)
            # A function has a line for each file of which something was compiled into it. That of its own file holds the others.
            inclusive[function] = max(inclusive.get(function, 0), count)
    return Profile(total, inclusive, calls(out))


def calls(out: pathlib.Path) -> dict[str, int]:
    """How often each function was called. Names are told once in the file, and by a number after that."""
    names: dict[str, str] = {}
    called: dict[str, int] = {}
    callee = ""
    with out.open() as lines:
        for line in lines:
            if line.startswith(("fn=", "cfn=")):
                number, _, name = line.rstrip("\n").split("=", 1)[1].partition(" ")
                if name:
                    names[number] = name
                if line.startswith("cfn="):
                    callee = names.get(number, number)
            elif line.startswith("calls="):
                called[callee] = called.get(callee, 0) + int(line[6:].split()[0])
    return called


def measure(programs: pathlib.Path, capture: pathlib.Path) -> list[tuple[str, str, float]]:
    """All figures: what, unit, instructions (or calls) a unit."""
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        found, said = profile([str(programs / "stage-counts"), str(capture), str(folder / "stages.db")], folder, "stages")
        counts = json.loads(said.strip().splitlines()[-1])
        for name, pattern, count, unit in STAGES:
            matching = [cost for function, cost in found.inclusive.items() if re.match(pattern + r"(?!::)", function)]
            if not matching:
                # Functions of the product may be compiled into others; those of the benchmarks never are.
                if "ringtap_benches" in pattern:
                    sys.exit(f"callgrind saw no function {pattern}")
                print(f"!! {name} is not told: {pattern} was compiled into another function", file=sys.stderr)
                continue
            rows.append((name, unit, max(matching) / max(counts[count], 1)))
        config = folder / "ringtap.toml"
        config.write_text("")
        replay = [str(programs / "ringtap"), "replay", "--config", str(config)]
        whole, _ = profile([*replay, "--journal", str(folder / "replay.db"), str(capture)], folder, "replay")
        frames = max(counts["frames"], 1)
        rows.append(("replay to the journal", "packet", whole.total / frames))
        allocations = sum(count for function, count in whole.called.items() if re.match(ALLOCATORS, function))
        rows.append(("replay to the journal, allocations (calls)", "packet", allocations / frames))
        whole, _ = profile([*replay, "--records", "/dev/null", str(capture)], folder, "lines")
        rows.append(("replay to JSON lines", "packet", whole.total / frames))
    return rows


def kept() -> dict[tuple[str, str], float]:
    """The figures of the file; none if there is no such file."""
    if not KEPT.exists():
        return {}
    rows = [line.split("\t") for line in KEPT.read_text().splitlines() if line and not line.startswith("#")]
    return {(what, unit): float(count) for what, unit, count in rows if what != "what"}


def shown(count: float) -> str:
    return f"{count:.1f}" if count >= 10 else f"{count:.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/instructions.sh", description=__doc__)
    parser.add_argument("--programs", type=pathlib.Path, required=True)
    parser.add_argument("--capture", type=pathlib.Path, required=True)
    parser.add_argument("--update", action="store_true", help="write the figures to benches/instructions.tsv")
    parser.add_argument("--about", default="", help="what the figures are of, for the file's head")
    parser.add_argument("--smoke", action="store_true", help="only see that counting works: compare with nothing")
    arguments = parser.parse_args()
    before = {} if arguments.smoke else kept()
    rows = measure(arguments.programs, arguments.capture)
    width = max(len(what) for what, _, _ in rows)
    for what, unit, count in rows:
        was = before.get((what, unit))
        change = f"{(count / was - 1) * 100:+.2f} %" if was else "new"
        print(f"{what:<{width}}  {shown(count):>10} a {unit:<8} {'' if arguments.smoke else change}")
    if not before and not arguments.smoke and not arguments.update:
        print(f"there is no {KEPT.relative_to(ROOT)} yet: --update writes it")
    if arguments.update:
        lines = [f"# {arguments.about}", HEAD, *(f"{what}\t{unit}\t{shown(count)}" for what, unit, count in rows)]
        KEPT.write_text("\n".join(lines) + "\n")
        print(f"written: {KEPT.relative_to(ROOT)}")


def section(setup) -> dict:
    """For the report: the budgets as they are kept, or in a smoke run whether counting works at all."""
    import shutil

    notes = ["scripts/instructions.sh renews and compares them; they do not depend on the machine's other work."]
    if setup.is_smoke:
        if not shutil.which("valgrind"):
            return {"title": "Instructions", "tables": [], "notes": ["Not counted: no valgrind."]}
        rows = [{"name": what, "unit": unit, "count": count} for what, unit, count in measure(setup.programs, setup.capture())]
    else:
        rows = [{"name": what, "unit": unit, "count": count} for (what, unit), count in kept().items()]
        if KEPT.exists():
            notes.append(KEPT.read_text().splitlines()[0].lstrip("# "))
    columns = [("name", "what"), ("unit", "unit"), ("count", "instructions a unit")]
    return {"title": "Instructions", "tables": [{"title": "", "columns": columns, "rows": rows}], "notes": notes}


if __name__ == "__main__":
    main()
