#!/usr/bin/env python3
"""What scripts/zero_copy.sh sends beside SIP, and whether all of it came to the right place.

check.py beside FILE           writes a capture of RTP and keep-alives
check.py results DIR QUEUES    looks at what the guest left in DIR; status 1 if anything is not as it has to be
"""

import json
import re
import sqlite3
import struct
import sys
from collections import Counter
from pathlib import Path

# How many frames of each kind there are, each from a port of its own: so that no queue is left out.
FLOWS = 64


def udp_frame(number, source_port, port, payload):
    """From a phone to the P-CSCF, without a checksum of UDP."""
    udp = struct.pack(">HHHH", source_port, port, 8 + len(payload), 0) + payload
    addresses = bytes([10, 10, 1, 1, 10, 20, 0, 1])
    head = struct.pack(">BBHHHBBH8s", 0x45, 0, 20 + len(udp), number, 0, 64, 17, 0, addresses)
    total = sum(struct.unpack(">10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    checksum = 0xFFFF - ((total & 0xFFFF) + (total >> 16))
    return bytes.fromhex("0200000000020200000000010800") + head[:10] + struct.pack(">H", checksum) + head[12:] + udp


def beside(path):
    """RTP, which Ringtap leaves to the kernel, and keep-alives of SIP, which it takes and which concern no call."""
    capture = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)]
    for number in range(FLOWS):
        rtp = struct.pack(">BBHII", 0x80, 8, number, number * 160, 1) + bytes(160)
        for frame in (
            udp_frame(number, 40000 + 2 * number, 50000, rtp),
            udp_frame(FLOWS + number, 6000 + number, 5060, b"\r\n\r\n"),
        ):
            capture.append(struct.pack("<IIII", 1714960000, number * 10_000, len(frame), len(frame)) + frame)
    path.write_bytes(b"".join(capture))


def counts(log):
    """The counts of `--stats`: by the word before them, and by (what, word) where lines have both."""
    found = {}
    for what, word, count in re.findall(r"^ +(xdp|socket|queue \d+|nic|frame|journal) +(\w+) (\d+)$", log, re.MULTILINE):
        found[what, word] = int(count)
    return found


def records(journal):
    """What the journal holds of each call, but for times and what hangs on them."""
    with sqlite3.connect(journal) as base:
        return Counter(
            base.execute(
                "SELECT caller, caller_name, withheld, dialled, answered_by, machine, legs, flags,"
                " identity, outcome, alerted, diverted_to, group_number, rank FROM call JOIN target USING (seq)"
            )
        )


class Checks:
    """Says what holds and what does not."""

    def __init__(self):
        self.failed = 0

    def __call__(self, holds, words):
        self.failed += not holds
        print(f"{'ok  ' if holds else 'FAIL'}  {words}")


def results(folder, queues):
    """Whether both captures had zero-copy and lost nothing, and the first one's journal holds what it has to."""
    check = Checks()
    for run in ("calls", "frames"):
        log = (folder / "results" / f"{run}.log").read_text()
        sent = json.loads((folder / f"{run}.sent.json").read_text())
        count = Counter(counts(log))
        print(f"{run}: {sent['frames']} frames sent, {sent['octets']} octets, in {sent['seconds']:.1f} s")
        for queue in range(queues):
            line = next((line for line in log.splitlines() if f"eth0 queue {queue}:" in line), "")
            check("native XDP, zero-copy" in line, f"queue {queue} has native XDP and zero-copy in force: {line or 'nothing is said'}")
            came = count[f"queue {queue}", "received"]
            check(came > 0, f"queue {queue} received frames: {came}")
        frames, taken, passed = count["xdp", "frames"], count["xdp", "taken"], count["xdp", "passed"]
        check(frames == sent["frames"], f"the XDP program saw each frame that was sent: {frames} of {sent['frames']}")
        check(taken > 0 and passed > 0 and frames == taken + passed, f"each was taken or passed: {taken} + {passed}")
        check(count["socket", "received"] == taken, f"each that was taken was received: {count['socket', 'received']}")
        lost = {
            " ".join(key): number
            for key, number in count.items()
            if number and ((key[0] == "xdp" and key[1] not in ("frames", "taken", "passed"))
                           or (key[0].startswith(("socket", "queue")) and key[1] not in ("received", "fill_empty"))
                           or key[0] == "nic")
        }
        check(not lost, f"nothing was lost: {lost or 'no counter of losses'}")
        print()
    findings = json.loads((folder / "results" / "doctor.json").read_text())["findings"]
    for name in ("driver", "xdp", "zero_copy"):
        finding = next((finding for finding in findings if finding["check"] == name), {})
        check(finding.get("state") == "ok", f"`ringtap doctor` on {name}: {finding.get('state')}, {finding.get('saw')}")
    expected, found = records(folder / "expected.db"), records(folder / "results" / "calls.db")
    check(expected.total() > 0 and found == expected, f"records are those of `ringtap replay`: {found.total()} of {expected.total()}")
    for name, rows in (("missing", expected - found), ("not expected", found - expected)):
        for row in rows:
            print(f"      {name}: {row}")
    return check.failed


def main():
    match sys.argv[1:]:
        case ["beside", path]:
            beside(Path(path))
        case ["results", folder, queues]:
            failed = results(Path(folder), int(queues))
            print("zero-copy is proven" if not failed else f"{failed} checks failed")
            sys.exit(failed > 0)
        case _:
            sys.exit(__doc__)


main()
