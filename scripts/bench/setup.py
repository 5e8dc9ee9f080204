"""What a run of the benchmarks knows: where things are, how much is to be done, which peers there are.

Nothing is measured here. `Setup` is made once, by __main__, and handed to each section.
"""

import dataclasses
import json
import os
import pathlib
import platform
import re
import shutil
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()


@dataclasses.dataclass
class Setup:
    """Sizes of a run, and the programs that it has."""

    out: pathlib.Path
    is_smoke: bool
    calls: int
    runs: int
    growth_calls_max: int
    programs: pathlib.Path
    benches: dict[str, pathlib.Path]
    peers: dict[str, str]
    absent: dict[str, str]
    commands: list[str] = dataclasses.field(default_factory=list)
    told: dict[str, list] = dataclasses.field(default_factory=dict)
    """What a program said that the report or another section wants."""
    units: dict[str, int] = dataclasses.field(default_factory=dict)
    """How many of its units a round of a benchmark holds."""

    @property
    def scratch(self) -> pathlib.Path:
        """A folder for what is thrown away afterwards, on the disk that the journal would be on."""
        folder = self.out / "scratch"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def program(self, name: str) -> str:
        """One of the repository's programs."""
        return str(self.programs / name)

    def capture(self, calls: int | None = None) -> pathlib.Path:
        """The workload's file, made if it is not there: the same arguments give the same file."""
        calls = calls or self.calls
        file = TARGET / "bench" / f"ims-{calls}.pcap"
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            part = file.with_suffix(f".part-{os.getpid()}")
            command = [self.program("gen-ims-pcap"), "--calls", str(calls), "--seed", "1", "--cps", "500"]
            subprocess.run([*command, "--out", part, "--csv", file.with_suffix(".csv")], check=True, stdout=sys.stderr)
            part.rename(file)
        return file

    def note(self, command: list[str]) -> None:
        """Remembers a command for the report, without the paths of this machine."""
        text = " ".join(command).replace(str(TARGET), "target").replace(str(ROOT) + "/", "")
        text = text.replace(str(self.out), "OUT")
        # Each run has a file of its own.
        text = re.sub(r"OUT/scratch/(journal|run)-[\d-]+", r"OUT/scratch/\1-N", text)
        if text not in self.commands:
            self.commands.append(text)

    def json_of(self, command: list[str], env: dict[str, str] | None = None) -> dict | list:
        """What a program prints as its last line, read as JSON."""
        self.note(command)
        done = subprocess.run(command, text=True, stdout=subprocess.PIPE, env=os.environ | (env or {}), check=True)
        return json.loads(done.stdout.strip().splitlines()[-1])


@dataclasses.dataclass
class Usage:
    """What a command took."""

    cpu_s: float
    wall_s: float
    peak_mib: float
    said: str
    """What it wrote to standard error."""


class Failed(Exception):
    """A command that was to be measured failed, with what it said."""


def measured(command: list[str], env: dict[str, str] | None = None) -> Usage:
    """CPU seconds (all threads), wall seconds and peak memory of a command."""
    began = time.monotonic()
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=os.environ | (env or {})
    )
    said = (process.stderr.read() if process.stderr else b"").decode(errors="replace")
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise Failed(f"{command[0]}: {said.strip()[-500:]}")
    return Usage(usage.ru_utime + usage.ru_stime, time.monotonic() - began, usage.ru_maxrss / 1024, said)


def median(values: list[float]) -> float:
    """The middle value."""
    return statistics.median(values)


def packets(file: pathlib.Path) -> int:
    """How many packets a pcap file holds, by its record headers."""
    count = 0
    with file.open("rb") as capture:
        capture.seek(24)
        while head := capture.read(16):
            capture.seek(int.from_bytes(head[8:12], "little"), os.SEEK_CUR)
            count += 1
    return count


def cores() -> list[int]:
    """The cores that this process may use."""
    return sorted(os.sched_getaffinity(0))


def machine() -> dict[str, str]:
    """What the figures are of."""
    model = ""
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    memory = pathlib.Path("/proc/meminfo").read_text().split()[1]
    mitigations = pathlib.Path("/sys/devices/system/cpu/vulnerabilities/spec_rstack_overflow")
    facts = {
        "date": time.strftime("%Y-%m-%d"),
        "processor": f"{model}, {len(cores())} cores",
        "memory": f"{int(memory) // 1024} MiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "rustc": said(["rustc", "--version"]),
        "commit": said(["git", "-C", str(ROOT), "describe", "--always", "--dirty"]),
    }
    if mitigations.exists():
        facts["spec_rstack_overflow"] = mitigations.read_text().strip()
    return facts


def load_average() -> str:
    """Of the last minute."""
    return f"{os.getloadavg()[0]:.1f}"


def said(command: list[str]) -> str:
    """The first line with a version that a command prints, else its first."""
    if not shutil.which(command[0]):
        return ""
    done = subprocess.run(command, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    lines = done.stdout.strip().splitlines()
    # Some warn first.
    return next((line for line in lines if re.search(r"\d+\.\d", line)), "") or (lines[0] if lines else "")


def memory_available_mib() -> int:
    """What could still be used without swapping."""
    for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable"):
            return int(line.split()[1]) // 1024
    return 0
