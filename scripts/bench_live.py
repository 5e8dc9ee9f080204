#!/usr/bin/env python3
"""Live benchmark: what receivers on a veth mirror take without losing a frame, and at what cost.

Makes a lab of its own (scripts/lab.sh, one queue), sends the benchmark mix into it from core 0 at rates that close in on
the highest one without loss, and has on core 1, one after the other in the same run: a bare AF_XDP loop (xsk-floor),
the whole engine (ringtap run, journal included), and tcpdump -w /dev/null. Then 128-byte frames that the program drops in
the kernel, and a run at twice the rate that the engine sustains. Needs root; two cores; prints a table in Markdown.
"""

import argparse
import json
import os
import pathlib
import re
import signal
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
RELEASE = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
LAB = "ringtap-bench"
INTERFACE = "mirror0"
TICKS = os.sysconf("SC_CLK_TCK")
SENDER_CORE, RECEIVER_CORE = 0, 1


def lab(*arguments: str) -> str:
    """Runs scripts/lab.sh on the benchmark's own lab."""
    command, *rest = arguments
    done = subprocess.run(
        [ROOT / "scripts/lab.sh", command, "--name", LAB, *rest], text=True, stdout=subprocess.PIPE, check=True
    )
    return done.stdout


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, all threads."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


class Receiver:
    """A program in the tap's namespace that says when it captures, and at its end what it counted."""

    def __init__(self, name: str, command: list[str], ready: str, counts) -> None:
        self.name, self.command, self.ready, self.counts = name, command, ready, counts

    def run(self, send) -> dict:
        """Starts it, sends, waits until it has idled, ends it."""
        pinned = [] if self.name == "engine" else ["taskset", "-c", str(RECEIVER_CORE)]
        command = ["ip", "netns", "exec", f"{LAB}-tap", *pinned, *self.command]
        with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as out:
            process = subprocess.Popen(command, stdout=out, stderr=said)
            deadline = time.monotonic() + 20
            while self.ready not in self._text(said):
                if process.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"{self.name} did not start: {self._text(said)}")
                time.sleep(0.05)
            time.sleep(0.3)
            before = cpu_seconds(process.pid)
            sent = send()
            time.sleep(0.7)
            spent = cpu_seconds(process.pid) - before
            process.send_signal(signal.SIGTERM)
            process.wait(30)
            counted = self.counts(self._text(out), self._text(said))
        return {**counted, "sent": sent["frames"], "rate": sent["frames_per_second"], "cpu": spent}

    @staticmethod
    def _text(file) -> str:
        file.flush()
        file.seek(0)
        return file.read()


def player(capture: pathlib.Path, seconds: float, frames: int, rate: int | None):
    """Sends the capture over and over for about so many seconds; at full speed if no rate is given."""

    def send() -> dict:
        rounds = max(1, round((rate or 600_000) * seconds / frames))
        pace = ["--rate", str(rate)] if rate else []
        done = subprocess.run(
            ["ip", "netns", "exec", f"{LAB}-net", "taskset", "-c", str(SENDER_CORE), RELEASE / "ringtap-testkit", "play",
             "--interface", "span0", "--spread", "one", "--loop", str(rounds), "--json", *pace, capture],
            text=True, stdout=subprocess.PIPE, check=True,
        )
        return json.loads(done.stdout)

    return send


def of_floor(out: str, _said: str) -> dict:
    told = json.loads(out)
    return {"received": told["received"], "lost": told["lost"], "seen": told["xdp_frames"]}


def of_engine(_out: str, said: str) -> dict:
    def count(name: str) -> int:
        return sum(int(number) for number in re.findall(rf"^  {name} +(\d+)$", said, re.M))

    lost = sum(count(f"socket +{name}") for name in ("dropped", "ring_full", "oversize"))
    return {"received": count("socket +received"), "lost": lost, "seen": count("xdp +frames"),
            "dropped": count("xdp +dropped"), "calls": said}


def of_tcpdump(_out: str, said: str) -> dict:
    numbers = {what: int(number) for number, what in re.findall(r"(\d+) packets (captured|dropped by kernel)", said)}
    return {"received": numbers["captured"], "lost": numbers["dropped by kernel"], "seen": sum(numbers.values())}


def highest_without_loss(receiver: Receiver, capture: pathlib.Path, frames: int, seconds: float) -> dict:
    """Closes in on the highest rate at which every frame sent is received, to 5 %."""
    low, high, best = 0, None, None
    rate = None
    while True:
        told = receiver.run(player(capture, seconds, frames, rate))
        tried = told["rate"]
        is_whole = told["received"] == told["sent"]
        print(f"  {receiver.name}: {tried:,.0f}/s sent {told['sent']:,} received {told['received']:,} lost {told['lost']:,}",
              file=sys.stderr)
        if is_whole:
            best, low = told, max(low, tried)
            if rate is None:
                best["limit"] = "the sender"
                return best
        else:
            high = tried if high is None else min(high, tried)
        if high is not None and high - low < 0.05 * high:
            if best is None:
                sys.exit(f"{receiver.name} loses frames at any rate")
            best["limit"] = "the receiver"
            return best
        rate = int((low + (high or 2 * low)) / 2)


def small_frames(file: pathlib.Path) -> int:
    """A capture of 128-byte UDP frames that are not SIP."""
    count = 10_000
    payload = bytes(128 - 42)
    with file.open("wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for number in range(count):
            frame = bytes.fromhex("020000000001020000000002") + b"\x08\x00"
            frame += struct.pack("!BBHHHBBH4s4s", 0x45, 0, 114, number & 0xFFFF, 0, 64, 17, 0, b"\x0a\x00\x00\x01", b"\x0a\x00\x00\x02")
            frame += struct.pack("!HHHH", 20_000 + number % 1000, 30_000, 94, 0) + payload
            out.write(struct.pack("<IIII", number // 1000, number % 1000, len(frame), len(frame)) + frame)
    return count


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--calls", type=int, default=5_000, help="calls of the mix that is sent again and again")
    arguments.add_argument("--seconds", type=float, default=5, help="how long each try sends")
    arguments.add_argument("--latency-cps", type=int, default=100, help="calls begun in a second where latency is measured; 0: not")
    options = arguments.parse_args()
    if os.geteuid() != 0:
        sys.exit("needs root: network namespaces and XDP")
    subprocess.run(["cargo", "build", "--quiet", "--release", "--locked", "-p", "ringtap", "-p", "ringtap-testkit", "-p",
                    "ringtap-benches"], cwd=ROOT, check=True)
    with tempfile.TemporaryDirectory(prefix="ringtap-bench.") as folder:
        lab("up", "--queues", "1")
        try:
            bench(pathlib.Path(folder), options.calls, options.seconds)
            if options.latency_cps:
                latency(pathlib.Path(folder), options.latency_cps)
        finally:
            lab("down")


def bench(folder: pathlib.Path, calls: int, seconds: float) -> None:
    mix, small = folder / "mix.pcap", folder / "small.pcap"
    subprocess.run([RELEASE / "gen-ims-pcap", "--calls", str(calls), "--seed", "1", "--cps", "500", "--out", mix, "--csv",
                    folder / "mix.csv"], check=True, stdout=subprocess.DEVNULL)
    from bench_replay import packets

    frames = packets(mix)

    def engine(*more: str) -> Receiver:
        journal = folder / "journal.db"
        for file in folder.glob("journal.db*"):
            file.unlink()
        return Receiver("engine", [str(RELEASE / "ringtap"), "run", "--interface", INTERFACE, "--cores", str(RECEIVER_CORE),
                                   "--journal", str(journal), "--stats", *more], "capturing on", of_engine)

    floor = Receiver("bare loop", [str(RELEASE / "xsk-floor"), INTERFACE], "capturing", of_floor)
    tcpdump = Receiver("tcpdump", ["tcpdump", "-i", INTERFACE, "-n", "-B", "32768", "-w", "/dev/null"], "listening on", of_tcpdump)
    rows = [(receiver.name, highest_without_loss(receiver, mix, frames, seconds)) for receiver in (floor, engine(), tcpdump)]
    rates = dict(rows)
    print(f"\nBenchmark mix, {frames:,} frames of {mix.stat().st_size / frames:.0f} octets on average, one queue, copy mode:\n")
    print("| receiver | frames/s without loss | limited by | CPU per frame |")
    print("|---|---|---|---|")
    for name, told in rows:
        print(f"| {name} | {told['rate']:,.0f} | {told['limit']} | {told['cpu'] / told['received'] * 1e6:.2f} µs |")
    share = rates["engine"]["rate"] / rates["bare loop"]["rate"]
    print(f"\nThe engine reaches {share:.0%} of the bare loop.")

    count = small_frames(small)
    told = engine("--dedicated").run(player(small, seconds, count, None))
    print(f"\n128-byte frames, dropped in XDP: {told['rate']:,.0f}/s sent; of {told['sent']:,} the program saw {told['seen']:,} and "
          f"dropped {told['dropped']:,}.")

    twice = int(2 * rates["engine"]["rate"])
    told = engine().run(player(mix, seconds, frames, twice))
    print(f"\nAt twice the engine's rate ({twice:,}/s wanted, {told['rate']:,.0f}/s sent): {told['sent']:,} sent = {told['received']:,} "
          f"received + {told['lost']:,} lost, counted; sent and not seen by XDP: {told['sent'] - told['seen']:,}.")


def latency(folder: pathlib.Path, cps: int) -> None:
    """Calls that callers give up, at the speed of life: when each can be read in the journal after it was due."""
    seconds, settle_ms = 60, 2000
    calls, config, journal = folder / "calls.pcap", folder / "office" / "ringtap.toml", folder / "latency.db"
    subprocess.run([RELEASE / "ringtap-testkit", "workload", "--mix", "abandoned", "--calls", str(cps * seconds), "--cps", str(cps),
                    "--output", calls, "--office", folder / "office"], check=True, stdout=subprocess.DEVNULL)
    receiver = Receiver("engine", [str(RELEASE / "ringtap"), "run", "--interface", INTERFACE, "--cores", str(RECEIVER_CORE), "--journal",
                                   str(journal), "--config", str(config), "--stats"], "capturing on", of_engine)

    def send() -> dict:
        watcher = subprocess.Popen([RELEASE / "journal-latency", journal, str(settle_ms), str(seconds + 30)], text=True,
                                   stdout=subprocess.PIPE)
        done = subprocess.run(["ip", "netns", "exec", f"{LAB}-net", "taskset", "-c", str(SENDER_CORE), RELEASE / "ringtap-testkit", "play",
                               "--interface", "span0", "--spread", "one", "--json", "--speed", "1", calls],
                              text=True, stdout=subprocess.PIPE, check=True)
        told = json.loads(watcher.communicate()[0])
        return {**json.loads(done.stdout), "latency": told}

    told = {}
    receiver.run(lambda: told.setdefault("sent", send()))
    found = told["sent"]["latency"]
    print(f"\nFrom a call's last packet to its row in the journal, less settle_ms, at {cps} calls/s: {found['calls']:,} calls, "
          f"p50 {found['p50'] / 1000:.1f} ms, p99 {found['p99'] / 1000:.1f} ms, p99.9 {found['p99.9'] / 1000:.1f} ms, "
          f"longest {found['max'] / 1000:.1f} ms.")


if __name__ == "__main__":
    main()
