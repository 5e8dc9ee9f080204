#!/usr/bin/env python3
"""Live benchmark: what receivers on a veth mirror take without losing a frame, and at what cost.

Makes a lab of its own (scripts/lab.sh, one queue), sends the benchmark mix into it from core 0 at rates that close in on
the highest one without loss, and has on core 1, one after the other in the same run: a bare AF_XDP loop (xsk-floor),
the whole engine (ringtap run, journal included), and tcpdump -w /dev/null. Then 128-byte frames that the program drops in
the kernel; and an overload, which on two cores takes other work on the receiver's, followed by half the rate that the
engine sustains, where nothing may be lost any more. Fails if a frame is unaccounted for. Needs root; two cores; prints
tables in Markdown.
"""

import argparse
import contextlib
import ctypes
import errno
import json
import os
import pathlib
import re
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time

from bench_replay import RELEASE, ROOT, packets, workload

LAB = f"ringtap-bench-{os.getpid()}"
INTERFACE = "mirror0"
TICKS = os.sysconf("SC_CLK_TCK")
SENDER_CORE, RECEIVER_CORE = 0, 1
# From the kernel's headers, for Python names none of them.
PIDFD_GETFD, SO_DOMAIN, AF_XDP, SOL_XDP, XDP_STATISTICS = 438, 39, 44, 283, 7
# Until rings are empty whose core was busy with other work, and has it to itself again.
DRAIN_S = 0.5


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


def cpu_by_thread(pid: int) -> dict[str, float]:
    """User and system time of each thread of a process, by name without its number."""
    spent: dict[str, float] = {}
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        name, fields = (task / "stat").read_text().split("(", 1)[1].rsplit(")", 1)
        fields = fields.split()
        name = name.rstrip("0123456789 ")
        spent[name] = spent.get(name, 0) + (int(fields[11]) + int(fields[12])) / TICKS
    return spent


def socket_losses(pid: int) -> int:
    """Frames that the AF_XDP sockets of a process have lost so far, by the kernel's own count: asked on copies of their
    descriptors, for a program that runs tells its counts only at the end."""
    lost = 0
    libc = ctypes.CDLL(None, use_errno=True)
    process = os.pidfd_open(pid)
    try:
        for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir():
            try:
                if not os.readlink(entry).startswith("socket:"):
                    continue
            except FileNotFoundError:
                continue  # Closed meanwhile, so not a socket of a queue.
            descriptor = libc.syscall(PIDFD_GETFD, process, int(entry.name), 0)
            if descriptor < 0 and ctypes.get_errno() == errno.EBADF:
                continue
            if descriptor < 0:
                raise OSError(ctypes.get_errno(), f"pidfd_getfd: {os.strerror(ctypes.get_errno())}")
            # The family is claimed, for Python would ask for an address, which these sockets have none of; then it is checked.
            with socket.socket(AF_XDP, socket.SOCK_RAW, 0, fileno=descriptor) as copy:
                if copy.getsockopt(socket.SOL_SOCKET, SO_DOMAIN) == AF_XDP:
                    # struct xdp_statistics: rx_dropped, two of invalid descriptors, rx_ring_full, two more.
                    counts = struct.unpack("6Q", copy.getsockopt(SOL_XDP, XDP_STATISTICS, 48))
                    lost += counts[0] + counts[3]
    finally:
        os.close(process)
    return lost


@contextlib.contextmanager
def spinning(count: int):
    """Other work on the receiver's core, by so many processes."""
    command = ["taskset", "-c", str(RECEIVER_CORE), sys.executable, "-c", "while True: pass"]
    spinners = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.wait()


class Receiver:
    """A program in the tap's namespace that says when it captures, and at its end what it counted."""

    def __init__(self, name: str, command: list[str], ready: str, counts, is_exact: bool = True) -> None:
        self.name, self.command, self.ready, self.counts, self.is_exact = name, command, ready, counts, is_exact

    def run(self, send) -> dict:
        """Starts it, sends (`send` gets its process id), waits until it has idled, ends it."""
        pinned = [] if self.name == "engine" else ["taskset", "-c", str(RECEIVER_CORE)]
        command = ["ip", "netns", "exec", f"{LAB}-tap", *pinned, *self.command]
        with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as out:
            process = subprocess.Popen(command, stdout=out, stderr=said)
            try:
                deadline = time.monotonic() + 20
                while self.ready not in self._text(said):
                    if process.poll() is not None or time.monotonic() > deadline:
                        sys.exit(f"{self.name} did not start: {self._text(said)}")
                    time.sleep(0.05)
                time.sleep(0.3)
                before, by_thread = cpu_seconds(process.pid), cpu_by_thread(process.pid)
                sent = send(process.pid)
                time.sleep(0.7)
                spent = cpu_seconds(process.pid) - before
                threads = {name: total - by_thread.get(name, 0) for name, total in cpu_by_thread(process.pid).items()}
                process.send_signal(signal.SIGTERM)
                if process.wait(30) != 0:
                    sys.exit(f"{self.name} failed: {self._text(said)}")
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
            counted = self.counts(self._text(out), self._text(said))
        told = {**counted, "sent": sent["frames"], "rate": sent["frames_per_second"], "cpu": spent, "threads": threads, "told": sent}
        if self.is_exact:
            self._account(told)
        return told

    def _account(self, told: dict) -> None:
        """Every frame sent was seen by the XDP program, and then received, lost or dropped on purpose."""
        unseen = told["sent"] - told["seen"]
        unaccounted = told["seen"] - told["received"] - told["lost"] - told.get("dropped", 0)
        if unseen or unaccounted:
            sys.exit(f"{self.name}: of {told['sent']:,} frames sent {unseen:,} were not seen by the XDP program and {unaccounted:,} are "
                     f"unaccounted for: received {told['received']:,}, lost {told['lost']:,}, dropped {told.get('dropped', 0):,}")

    @staticmethod
    def _text(file) -> str:
        file.flush()
        file.seek(0)
        return file.read()


def play(capture: pathlib.Path, *options: str) -> dict:
    """Sends a capture, and gives what the sender tells."""
    done = subprocess.run(
        ["ip", "netns", "exec", f"{LAB}-net", "taskset", "-c", str(SENDER_CORE), RELEASE / "ringtap-testkit", "play",
         "--interface", "span0", "--spread", "one", "--json", *options, capture],
        text=True, stdout=subprocess.PIPE, check=True,
    )
    return json.loads(done.stdout)


def player(capture: pathlib.Path, seconds: float, frames: int, rate: int | None):
    """Sends the capture over and over for about so many seconds; at full speed if no rate is given."""

    def send(_receiver: int) -> dict:
        rounds = max(1, round((rate or 600_000) * seconds / frames))
        return play(capture, "--loop", str(rounds), *(["--rate", str(rate)] if rate else []))

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
    arguments.add_argument("--calls", type=int, default=100_000, help="calls of the mix, which is sent again and again where it is too short")
    arguments.add_argument("--seconds", type=float, default=5, help="how long each try sends")
    arguments.add_argument("--latency-cps", type=int, default=100, help="calls begun in a second where latency is measured; 0: not")
    arguments.add_argument("--spinners", type=int, default=4, help="processes that keep the receiver from its core in the overload; 0: none")
    arguments.add_argument("--no-build", action="store_true", help="take the programs as they were built before")
    options = arguments.parse_args()
    if os.geteuid() != 0:
        sys.exit("needs root: network namespaces and XDP")
    if not options.no_build:
        subprocess.run(["cargo", "build", "--quiet", "--release", "--locked", "-p", "ringtap", "-p", "ringtap-testkit", "-p",
                        "ringtap-benches"], cwd=ROOT, check=True)
    # So that a service manager's or a shell's kill takes the same way out as everything else.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="ringtap-bench.") as folder:
        try:
            lab("up", "--queues", "1")
            bench(pathlib.Path(folder), options)
            if options.latency_cps:
                latency(pathlib.Path(folder), options.latency_cps)
        finally:
            lab("down")


def bench(folder: pathlib.Path, options: argparse.Namespace) -> None:
    small, journal, seconds = folder / "small.pcap", folder / "journal.db", options.seconds
    mix = workload(options.calls)
    frames = packets(mix)

    def engine(*more: str) -> Receiver:
        for file in folder.glob("journal.db*"):
            file.unlink()
        return Receiver("engine", [str(RELEASE / "ringtap"), "run", "--interface", INTERFACE, "--cores", str(RECEIVER_CORE),
                                   "--journal", str(journal), "--stats", *more], "capturing on", of_engine)

    floor = Receiver("bare loop", [str(RELEASE / "xsk-floor"), INTERFACE], "capturing", of_floor)
    tcpdump = Receiver("tcpdump", ["tcpdump", "-i", INTERFACE, "-n", "-B", "32768", "-w", "/dev/null"], "listening on", of_tcpdump, is_exact=False)
    rows = [(receiver.name, highest_without_loss(receiver, mix, frames, seconds)) for receiver in (floor, engine(), tcpdump)]
    rates = dict(rows)
    print(f"\nBenchmark mix, {frames:,} frames of {mix.stat().st_size / frames:.0f} octets on average, one queue, copy mode:\n")
    print("| receiver | frames/s without loss | limited by | CPU per frame |")
    print("|---|---|---|---|")
    for name, told in rows:
        print(f"| {name} | {told['rate']:,.0f} | {told['limit']} | {told['cpu'] / told['received'] * 1e6:.2f} µs |")
    threads = ", ".join(f"{name} {spent / rates['engine']['received'] * 1e6:.2f} µs"
                        for name, spent in sorted(rates["engine"]["threads"].items(), key=lambda item: -item[1]) if spent)
    print(f"\nThe engine's threads, per frame: {threads}.")
    share = rates["engine"]["rate"] / rates["bare loop"]["rate"]
    print(f"\nThe engine reaches {share:.0%} of the bare loop.")

    count = small_frames(small)
    told = engine("--dedicated").run(player(small, seconds, count, None))
    print(f"\n128-byte frames, dropped in XDP: {told['rate']:,.0f}/s sent; of {told['sent']:,} the program saw {told['seen']:,} and "
          f"dropped {told['dropped']:,}.")

    if options.spinners:
        overload(engine(), journal, options, int(rates["engine"]["rate"] / 2))


def overload(receiver: Receiver, journal: pathlib.Path, options: argparse.Namespace, clean_rate: int) -> None:
    """The engine while others work on its core and the sender sends as fast as it can; then, in the same run, calls that it
    has not seen yet, at a rate that is easy for it."""
    mix, fresh = workload(options.calls), workload(max(1, options.calls // 2), seed=2)

    def send(pid: int) -> dict:
        with spinning(options.spinners):
            during = player(mix, options.seconds, packets(mix), None)(pid)
        time.sleep(DRAIN_S)
        lost, border_us = socket_losses(pid), time.time_ns() // 1000
        after = play(fresh, "--rate", str(clean_rate))
        flags = flags_by_phase(journal, border_us)
        return {"frames": during["frames"] + after["frames"], "frames_per_second": during["frames_per_second"], "during": during,
                "after": after, "lost": lost, "flags": flags}

    whole = receiver.run(send)
    told = whole["told"]
    during, after = told["during"], told["after"]
    lost_after = whole["lost"] - told["lost"]
    print(f"\nOverload, {options.spinners} processes on the engine's core; then, {DRAIN_S} s after their end, without them:\n")
    print("| phase | frames/s sent | frames sent | lost | records | of them flagged loss |")
    print("|---|---|---|---|---|---|")
    for phase, sent, lost, (records, flagged) in (("overload", during, told["lost"], told["flags"][0]),
                                                  ("after it", after, lost_after, told["flags"][1])):
        print(f"| {phase} | {sent['frames_per_second']:,.0f} | {sent['frames']:,} | {lost:,} | {records:,} | {flagged:,} |")
    if not told["lost"]:
        sys.exit("nothing was lost in the overload, so this was none: raise --spinners")
    if lost_after:
        sys.exit(f"the engine has not recovered: {lost_after:,} frames were lost after the overload")


def flags_by_phase(journal: pathlib.Path, border_us: int) -> list[tuple[int, int]]:
    """Records, and those flagged loss, of calls begun before and after a time; counted when calls have settled, which is when
    for 5 s no record has come."""
    query = "SELECT count(*), coalesce(sum(flags LIKE '%loss%'), 0) FROM call WHERE started {} ?"
    with contextlib.closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True, timeout=30)) as database:
        found, since = -1, time.monotonic()
        while time.monotonic() - since < 5:
            time.sleep(0.5)
            count = database.execute("SELECT count(*) FROM call").fetchone()[0]
            if count != found:
                found, since = count, time.monotonic()
        return [database.execute(query.format(sign), (border_us,)).fetchone() for sign in ("<", ">=")]


def latency(folder: pathlib.Path, cps: int) -> None:
    """Calls that callers give up, at the speed of life: when each can be read in the journal after it was due."""
    seconds, settle_ms = 60, 2000
    calls, config, journal = folder / "calls.pcap", folder / "office" / "ringtap.toml", folder / "latency.db"
    subprocess.run([RELEASE / "ringtap-testkit", "workload", "--mix", "abandoned", "--calls", str(cps * seconds), "--cps", str(cps),
                    "--output", calls, "--office", folder / "office"], check=True, stdout=subprocess.DEVNULL)
    receiver = Receiver("engine", [str(RELEASE / "ringtap"), "run", "--interface", INTERFACE, "--cores", str(RECEIVER_CORE), "--journal",
                                   str(journal), "--config", str(config), "--stats"], "capturing on", of_engine)

    def send(_receiver: int) -> dict:
        watcher = subprocess.Popen([RELEASE / "journal-latency", journal, str(settle_ms), str(seconds + 30)], text=True,
                                   stdout=subprocess.PIPE)
        try:
            sent = play(calls, "--speed", "1")
            return {**sent, "latency": json.loads(watcher.communicate()[0])}
        finally:
            watcher.kill()
            watcher.wait()

    found = receiver.run(send)["told"]["latency"]
    print(f"\nFrom a call's last packet to its row in the journal, less settle_ms, at {cps} calls/s: {found['calls']:,} calls, "
          f"p50 {found['p50'] / 1000:.1f} ms, p99 {found['p99'] / 1000:.1f} ms, p99.9 {found['p99.9'] / 1000:.1f} ms, "
          f"longest {found['max'] / 1000:.1f} ms.")


if __name__ == "__main__":
    main()
