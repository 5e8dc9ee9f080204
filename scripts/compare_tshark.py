#!/usr/bin/env python3
"""Replays real captures with ringtap and sets the result beside what tshark reads in them.

Prints two Markdown tables, one of messages and one of calls. Every difference has to have its reason: those
that follow from how a message travels (another port, an ICMP error) or from the parser's own refusal
are found here, for each message by itself; an outcome that the final codes alone do not suggest needs a line
in compare_tshark.tsv. Anything else, a line there that explains nothing, a panic or a wrong exit status
makes this script fail.

Needs tshark (written against 4.0.17) and Python's standard library.
"""

import argparse
import collections
import csv
import hashlib
import json
import pathlib
import re
import subprocess
import sys
import tempfile

EXPLANATIONS = pathlib.Path(__file__).with_suffix(".tsv")
ROOT = pathlib.Path(__file__).resolve().parent.parent

DEFAULT_PORTS = (5060,)
PORTS_MAX = 32
ATTEMPTS_MAX = 10
# Stands for the Call-IDs of datagrams which tshark does not take for SIP.
STRAY = "*"
FIELDS = (
    "frame.number frame.protocols udp.srcport udp.dstport tcp.srcport tcp.dstport sip "
    "sip.Method sip.Status-Code sip.Call-ID sip.CSeq.seq sip.CSeq.method sip.from.tag sip.to.tag sip.from.addr sip.to.addr udp.payload"
).split()
# Around the tables in a document.
MARKS = ("<!-- compare_tshark.py: begin -->", "<!-- compare_tshark.py: end -->")
# Cannot stand in a SIP header line.
AGGREGATOR = "\x1f"

# How a message travels, if not in a UDP datagram or a TCP stream on a SIP port: what ringtap does not read.
UNREAD = {
    "icmp": "quoted in an ICMP error",
    "port": "on another port",
}

# What the final codes of a call suggest to somebody who looks at nothing else. 401 and 407 are left out
# unless nothing follows them.
SUGGESTED = {
    "no final": {"UNDETERMINED"},
    "CANCEL": {"CALLER_HUNG_UP"},
    "401": {"AUTH_FAILED"},
    "407": {"AUTH_FAILED"},
    "403": {"BLOCKED"},
    "404": {"INVALID_NUMBER"},
    "408": {"NO_ANSWER", "UNREACHABLE"},
    "480": {"NO_ANSWER", "UNREACHABLE"},
    "486": {"BUSY", "DECLINED"},
    "487": {"CALLER_HUNG_UP", "NO_ANSWER"},
    "488": {"INCOMPATIBLE"},
    "500": {"NETWORK_FAILURE"},
    "503": {"NETWORK_FAILURE"},
    "603": {"AUTO_REJECTED", "DECLINED"},
}


class Datagram:
    """A frame with SIP, or with UDP on a SIP port, as tshark reads it."""

    def __init__(self, columns):
        value = {name: column.split(AGGREGATOR)[0] for name, column in zip(FIELDS, columns)}
        self.frame = int(value["frame.number"])
        self.is_sip = bool(value["sip"])
        self.method = value["sip.Method"]
        self.status = value["sip.Status-Code"]
        self.call_id = value["sip.Call-ID"]
        self.cseq = value["sip.CSeq.seq"]
        self.cseq_method = value["sip.CSeq.method"]
        self.from_tag = value["sip.from.tag"]
        self.to_tag = value["sip.to.tag"]
        self.from_uri = value["sip.from.addr"]
        self.to_uri = value["sip.to.addr"]
        # In a tunnel the innermost ports are the message's.
        innermost = {name: column.split(AGGREGATOR)[-1] for name, column in zip(FIELDS, columns)}
        sides = ("udp.srcport", "udp.dstport", "tcp.srcport", "tcp.dstport")
        self.ports = {int(innermost[side]) for side in sides if innermost[side].isdigit()}
        layers = value["frame.protocols"].split(":")
        transports = [layer for layer in layers if layer in ("udp", "tcp")]
        self.payload = innermost["udp.payload"] if transports[-1:] == ["udp"] else ""
        self.is_tunnelled = len([layer for layer in layers if layer in ("ip", "ipv6")]) > 1
        self.path = self.way(layers)

    @staticmethod
    def way(protocols):
        """How the message travels: a key of UNREAD (but `port`), or `plain`."""
        return "icmp" if {"icmp", "icmpv6"} & set(protocols) else "plain"

    def unread(self, ports):
        """Why ringtap does not read it when it takes `ports`: a key of UNREAD, or None."""
        if self.path == "plain":
            return None if self.ports & set(ports) else "port"
        return self.path

    def is_initial_invite(self):
        return self.method == "INVITE" and not self.to_tag


def dissect(tshark, capture):
    command = [tshark, "-r", capture, "-Y", "sip || udp", "-T", "fields", "-E", "separator=/t"]
    command += ["-E", f"aggregator={AGGREGATOR}"]
    for field in FIELDS:
        command += ["-e", field]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if done.returncode != 0:
        sys.exit(f"tshark on {capture}: {done.stderr.decode(errors='replace')}")
    lines = done.stdout.decode(errors="replace").split("\n")
    return [Datagram(line.split("\t")) for line in lines if line]


class Run:
    """One replay of one capture."""

    def __init__(self, ringtap, capture, ports):
        self.ports = ports
        with tempfile.TemporaryDirectory() as folder:
            config = pathlib.Path(folder) / "ringtap.toml"
            config.write_text(f"[capture]\nports = {list(ports)}\nduplicate_ms = 0\n")
            command = [ringtap, "replay", "--config", config, "--records-all", "--records", "-", "--stats", capture]
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        self.summary = done.stderr.decode()
        if done.returncode != 0:
            sys.exit(f"ringtap replay on {capture}: exit status {done.returncode}\n{self.summary}")
        self.records = [json.loads(line) for line in done.stdout.splitlines()]
        self.frames = self.count("frames")
        self.messages = self.count("sip messages")
        self.over_tcp = sum(map(int, re.findall(r"^ +tcp message +(?:in_place|joined|truncated) (\d+)", self.summary, re.M)))

    def count_of(self, group, name):
        """The count of a line of the summary; 0 if there is none."""
        found = re.search(rf"^ +{group} +{name} (\d+)", self.summary, re.MULTILINE)
        return int(found.group(1)) if found else 0

    def count(self, name):
        return int(re.search(rf"^{name}\s+(\d+)", self.summary, re.MULTILINE).group(1))


class Parser:
    """`ringtap parse`, one payload at a time."""

    def __init__(self, ringtap):
        self.ringtap = ringtap

    def read(self, payload):
        """What ringtap reads in a payload, or the name of the fault for which it is refused."""
        done = subprocess.run(
            [self.ringtap, "parse"], input=bytes.fromhex(payload), stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False
        )
        if done.returncode == 0:
            return json.loads(done.stdout)
        refused = re.search(r"refused: (\w+)", done.stderr.decode())
        if done.returncode != 1 or not refused:
            sys.exit(f"ringtap parse: exit status {done.returncode}\n{done.stderr.decode()}")
        return refused.group(1)


def message_differences(datagrams, run, parser):
    """Why ringtap counts other messages than tshark: a list of texts, and what is left unexplained."""
    reasons = collections.Counter()
    taken = [datagram for datagram in datagrams if datagram.unread(run.ports) is None]
    for datagram in datagrams:
        unread = datagram.unread(run.ports)
        if datagram.is_sip and unread:
            reasons[UNREAD[unread]] -= 1
    # A stream is followed as a whole: there is no payload to look at for each message.
    over_tcp = run.over_tcp - sum(datagram.is_sip and not datagram.payload for datagram in taken)
    if over_tcp < 0:
        reasons["not SIP to ringtap"] = over_tcp
    elif over_tcp > 0 and any(datagram.is_tunnelled for datagram in taken):
        reasons["over TCP as well as in a tunnel: one stream to tshark"] = over_tcp
    tshark = sum(datagram.is_sip for datagram in datagrams)
    if tshark + reasons.total() != run.messages:
        for datagram in taken:
            if not datagram.payload:
                continue
            seen = parser.read(datagram.payload)
            if datagram.is_sip and isinstance(seen, str):
                reasons[f"refused: `{seen}`"] -= 1
            elif not datagram.is_sip and not isinstance(seen, str):
                reasons["not SIP to tshark"] += 1
    # tshark puts fragments together without asking in which tunnel they came.
    left = run.messages - tshark - reasons.total()
    if 0 < left <= run.count_of("datagram", "reassembled") and any(datagram.is_tunnelled for datagram in taken):
        reasons["in fragments in several tunnels: one datagram to tshark"] = left
    texts = [f"{count:+d} {reason}" for reason, count in sorted(reasons.items(), key=lambda item: item[1])]
    return tshark, texts, run.messages - tshark - reasons.total()


class Call:
    """What tshark shows of one Call-ID that has anything to do with an INVITE."""

    def __init__(self):
        self.tags = {}
        self.finals = []
        self.cancelled = False
        self.invites = []

    def suggestion(self):
        """The final codes in their order, and the one that counts."""
        codes = list(dict.fromkeys(self.finals))
        decisive = [code for code in codes if code not in ("401", "407")]
        answered = [code for code in decisive if code.startswith("2")]
        if answered:
            return codes, "2xx"
        return codes, (decisive or codes or ["CANCEL" if self.cancelled else "no final"])[-1]


def calls_of(datagrams):
    calls = collections.defaultdict(Call)
    messages = [datagram for datagram in datagrams if datagram.is_sip and datagram.call_id]
    inside = {(m.call_id, m.from_tag, m.cseq) for m in messages if m.method == "INVITE" and m.to_tag}
    for message in messages:
        call = calls[message.call_id]
        call.tags.setdefault(message.from_tag)
        if message.is_initial_invite():
            call.invites.append(message)
        if message.method == "CANCEL":
            call.cancelled = True
        is_final = message.status and int(message.status) >= 200 and message.cseq_method == "INVITE"
        if is_final and (message.call_id, message.from_tag, message.cseq) not in inside:
            call.finals.append(message.status)
    return calls


def names(calls, datagrams):
    """The name under which ringtap records a call, and whose it is (semantics.md §4.5)."""
    tags = []
    for datagram in datagrams:
        if not datagram.is_sip:
            payload = bytes.fromhex(datagram.payload)
            call_id = re.search(rb"^Call-ID: *(\S+)", payload, re.MULTILINE)
            tag = re.search(rb"^From:.*;tag=(\w+)", payload, re.MULTILINE)
            if call_id and tag:
                tags.append((STRAY, call_id[1], tag[1]))
    # Behind the strays, and so the owners of what is a part of their messages (tunnels).
    tags += [(call_id, call_id.encode(), tag.encode()) for call_id, call in calls.items() for tag in call.tags]
    known = {}
    for owner, call_id, tag in tags:
        for attempt in range(ATTEMPTS_MAX):
            name = hashlib.sha256(b"\n".join((call_id, tag, str(attempt).encode())))
            known[name.hexdigest()] = (owner, attempt)
    return known


class Comparison:
    """Collects the rows of both tables and what nobody explains."""

    def __init__(self, parser):
        self.parser = parser
        self.unexplained = []
        self.message_rows = []
        self.call_rows = []
        self.used = set()
        with EXPLANATIONS.open(newline="") as file:
            rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            self.explanations = {(row["capture"], row["call_id"], row["outcome"]): row["why"] for row in rows}

    def add(self, capture, datagrams, runs):
        name = capture.name
        for run in runs:
            tshark, texts, left = message_differences(datagrams, run, self.parser)
            if left:
                self.unexplained.append(f"{name}, ports {run.ports}: {left:+d} messages")
            ports = "" if run.ports == DEFAULT_PORTS else "; ports " + " ".join(map(str, run.ports))
            self.message_rows.append((name + ports, run.frames, tshark, run.messages, ", ".join(texts)))
        calls = calls_of(datagrams)
        groups = [self.group(name, calls, datagrams, run) for run in runs]
        for at, (run, group) in enumerate(zip(runs, groups)):
            if at and group == groups[0]:
                continue
            ports = "" if run.ports == DEFAULT_PORTS else "; ports " + " ".join(map(str, run.ports))
            for (codes, outcomes, why), count in group.items():
                self.call_rows.append((name + ports, count, codes, outcomes, why))

    def group(self, name, calls, datagrams, run):
        """Calls with the same codes, outcomes and remarks, counted."""
        known = names(calls, datagrams)
        outcomes = collections.defaultdict(list)
        for record in sorted(run.records, key=lambda record: record["started"]):
            call_id, attempt = known.get(record["call"], (None, 0))
            if call_id is None:
                self.unexplained.append(f"{name}, ports {run.ports}: call {record['call'][:12]} of no Call-ID of tshark's")
                continue
            verdicts = " ".join(dict.fromkeys(target["outcome"] for target in record["targets"]))
            flags = [flag for flag in record["flags"] if flag == "partial"]
            outcomes[call_id].append((verdicts, attempt, flags))
        groups = collections.Counter(
            ("-", verdicts, "not SIP to tshark") for verdicts, _, _ in outcomes.pop(STRAY, [])
        )
        for call_id, call in calls.items():
            recorded = outcomes[call_id]
            if not (call.invites or recorded):
                continue
            codes, decisive = call.suggestion()
            remarks = list(self.remarks(name, run, call_id, call, recorded, decisive))
            text = ", ".join(codes) or ("no final, CANCEL" if call.cancelled else "no final")
            if call.cancelled and codes:
                text += ", CANCEL"
            said = ", ".join(verdicts for verdicts, _, _ in recorded) or "-"
            groups[text, said, "; ".join(dict.fromkeys(remarks))] += 1
        return groups

    def remarks(self, name, run, call_id, call, recorded, decisive):
        """Why ringtap's calls are others than tshark's Call-IDs, and its outcomes others than the codes."""
        if not call.invites:
            yield "no INVITE in the capture"
        elif all(flags for _, _, flags in recorded):
            unread = {message.unread(run.ports) for message in call.invites}
            faults = {
                f"refused: `{seen}`"
                for message in call.invites
                if message.payload and message.unread(run.ports) is None
                for seen in [self.parser.read(message.payload)]
                if isinstance(seen, str)
            }
            ways = [UNREAD[way] for way in sorted(unread - {None})] + sorted(faults)
            if ways:
                yield "INVITE " + ", ".join(ways)
            else:
                self.unexplained.append(f"{name}, ports {run.ports}: {call_id} has no call, or one without INVITE")
        suggested = {"ANSWERED"} if decisive == "2xx" else SUGGESTED.get(decisive, set())
        for verdicts, attempt, _ in recorded:
            key = (name, call_id, verdicts)
            if key in self.explanations:
                self.used.add(key)
                yield self.explanations[key]
            elif verdicts not in suggested:
                self.unexplained.append(f"{name}, ports {run.ports}: {call_id}: {verdicts} for {decisive}")
            if attempt:
                yield "one Call-ID, several attempts"

    def finish(self):
        for capture, call_id, outcome in sorted(set(self.explanations) - self.used):
            self.unexplained.append(f"{EXPLANATIONS.name}: nothing to explain: {capture}, {call_id}, {outcome}")


def compare_fields(datagrams, parser):
    """Differences between tshark and ringtap in what one message says."""
    for datagram in datagrams:
        seen = parser.read(datagram.payload)
        if isinstance(seen, str):
            continue
        start = seen["start"]
        pairs = {
            "start": (datagram.method or datagram.status, str(start.get("method") or start["status"])),
            "Call-ID": (datagram.call_id, seen["call_id"]),
            "CSeq": (f"{datagram.cseq} {datagram.cseq_method}", f"{seen['cseq']['number']} {seen['cseq']['method']}"),
            "From tag": (datagram.from_tag, seen["from_tag"] or ""),
            "To tag": (datagram.to_tag, seen["to_tag"] or ""),
            "From URI": (datagram.from_uri, seen["from_uri"] or ""),
            "To URI": (datagram.to_uri, seen["to_uri"] or ""),
        }
        for field, (theirs, ours) in pairs.items():
            # tshark writes a form feed as two signs.
            theirs = theirs.replace("\\f", "\f")
            # tshark ends its texts at a zero octet.
            if theirs != ours.split("\0")[0]:
                yield f"frame {datagram.frame}: {field}: tshark {theirs!r}, ringtap {ours!r}"


def further_ports(datagrams):
    """The fewest ports that reach the messages which the default ports leave out, the busiest first."""
    ports = list(DEFAULT_PORTS)
    while len(ports) < PORTS_MAX:
        missed = [datagram for datagram in datagrams if datagram.is_sip and datagram.unread(ports) == "port"]
        counts = collections.Counter(port for datagram in missed for port in sorted(datagram.ports))
        if not counts:
            break
        ports.append(counts.most_common(1)[0][0])
    return tuple(ports)


def table(head, rows):
    yield "| " + " | ".join(head) + " |"
    yield "|" + "|".join("---:" if name in ("frames", "tshark", "ringtap", "calls") else "---" for name in head) + "|"
    for row in rows:
        yield "| " + " | ".join(str(cell) for cell in row) + " |"


def put(document, text):
    """Replaces what stands between the document's marks."""
    before, begin, rest = document.read_text().partition(MARKS[0] + "\n")
    _, end, after = rest.partition(MARKS[1] + "\n")
    if not (begin and end):
        sys.exit(f"{document}: needs the lines `{MARKS[0]}` and `{MARKS[1]}`")
    document.write_text(f"{before}{begin}\n{text}\n\n{end}{after}")


def arguments():
    parser = argparse.ArgumentParser(description="Sets ringtap beside tshark on real captures; prints Markdown tables.")
    parser.add_argument("--ringtap", default=ROOT / "target/debug/ringtap", metavar="BIN", help="program to test")
    parser.add_argument("--data", default=ROOT.parent / "shared/data", metavar="DIR", type=pathlib.Path,
                        help="folder that holds open/pcap (as RINGTAP_DATA)")
    parser.add_argument("--tshark", default="tshark", metavar="BIN")
    parser.add_argument("--into", metavar="FILE", type=pathlib.Path,
                        help="put the tables into this document instead, between its two marks")
    parser.add_argument("--messages", default=0, metavar="N", type=int,
                        help="also compare what is read in N messages, spread over all captures")
    return parser.parse_args()


def main():
    given = arguments()
    captures = sorted((given.data / "open/pcap").glob("*.pcap*"))
    if not captures:
        sys.exit(f"no captures in {given.data / 'open/pcap'}")
    comparison = Comparison(Parser(given.ringtap))
    readable = []
    for capture in captures:
        everything = dissect(given.tshark, capture)
        ports = further_ports(everything)
        runs = [Run(given.ringtap, capture, DEFAULT_PORTS)]
        if ports != DEFAULT_PORTS:
            runs.append(Run(given.ringtap, capture, ports))
            # A port that a damaged header made up adds nothing.
            if runs[0].messages == runs[1].messages:
                runs.pop()
        comparison.add(capture, everything, runs)
        readable += [(capture, datagram) for datagram in everything if datagram.is_sip and datagram.path == "plain"]
    comparison.finish()
    text = "\n".join([
        *table(("capture", "frames", "tshark", "ringtap", "difference"), comparison.message_rows),
        "",
        *table(("capture", "calls", "final codes", "outcome", "remark"), comparison.call_rows),
    ])
    if given.into:
        put(given.into, text)
    else:
        print(text)
    if given.messages:
        step = max(1, len(readable) // given.messages)
        sample = readable[::step][: given.messages]
        for capture in captures:
            chosen = [datagram for of, datagram in sample if of == capture]
            comparison.unexplained += [f"{capture.name}: {text}" for text in compare_fields(chosen, comparison.parser)]
        print(f"{len(sample)} of {len(readable)} messages compared field by field", file=sys.stderr)
    for text in comparison.unexplained:
        print(f"UNEXPLAINED {text}", file=sys.stderr)
    return 1 if comparison.unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
