"""Sections of what is inside a program: parsers, stages, journal, notifier, the program in the kernel."""

import os
import re
import shutil
import subprocess

import criterion
from setup import Setup, median


def parsers(setup: Setup) -> dict:
    """Parsers of messages, beside peers and floors."""
    capture = setup.capture()
    messages = setup.scratch / "messages"
    expected = setup.json_of([setup.program("sip-messages"), str(capture), str(200_000), str(messages)])
    count = str(1_000)
    fields: dict[str, dict] = {}

    def peers() -> dict[str, float]:
        figures = {}
        for name in ("osip", "sofia"):
            if name in setup.peers:
                found = setup.json_of([setup.peers[name], str(messages), count, "3"])
                fields[name] = found
                figures[f"parsers cold/{name}"] = found["cold_ns"]
                figures[f"parsers hot/{name}"] = found["hot_ns"]
        return figures

    found = criterion.rounds(setup, "parsers", peers, {"RINGTAP_BENCH_MESSAGES": str(messages)})
    messages.unlink()
    tables = []
    for group in ("parsers cold", "parsers hot"):
        ours = f"{group}/ringtap"
        within = [{name: ns for name, ns in figures.items() if name.startswith(group)} for figures in found]
        rows = criterion.table(within, base=ours)
        for row in rows:
            row["name"] = row["name"].removeprefix(group + "/")
        rows.sort(key=lambda row: row["ns"])
        tables.append(
            {
                "title": group.removeprefix("parsers ").capitalize(),
                "columns": [("name", "parser"), ("ns", "ns a message"), ("ratio", "of ringtap's")],
                "rows": rows,
                "plot": {"kind": "bars", "label": "name", "value": "ns", "unit": "ns a message"},
            }
        )
    notes = [
        "Each reads start line, Call-ID, tags, CSeq, the top Via's branch, and the users of Request-URI, From, To and "
        "P-Asserted-Identity; \"without users\" is what the leg table asks of each message, the users being read once a leg; parsip only splits "
        "lines, and the floors only look at all octets."
    ]
    # Who refuses messages saves the rest of their cost.
    notes += [f"{line}." for line in setup.told["parsers"] if ": 0 of" not in line]
    for name, facts in fields.items():
        if facts["refused"]:
            notes.append(f"{name} refused {facts['refused']} of {facts['messages']} messages.")
            continue
        different = [key for key, sum in expected["fields"].items() if facts["fields"][key] != sum]
        if different:
            raise SystemExit(f"{name} reads other than ringtap: {', '.join(different)} ({facts['fields']}, {expected['fields']})")
    return {"title": "Parsers", "tables": tables, "notes": notes}


def stages(setup: Setup) -> dict:
    """Decoding, parsing, joining, judging."""
    tables = []
    for bench, title in (("stages", "Stages"), ("calls", "Leg table and settler"), ("tunnels", "Tunnels, fragments, copies")):
        rows = criterion.table(criterion.rounds(setup, bench))
        rows.sort(key=lambda row: row["name"])
        for row in rows:
            row["name"] = row["name"].removeprefix(bench + "/")
        tables.append(
            {
                "title": title,
                "columns": [("name", "what"), ("ns", "ns each"), ("per_second", "a second")],
                "rows": rows,
                "plot": {"kind": "bars", "label": "name", "value": "ns", "unit": "ns each"},
            }
        )
    notes = [
        "Joining is told with the decoder and parser (stages) and alone, of messages that are parsed already (leg table). "
        "The settler's unit is a leg event: news of an open leg, or a closed one; its verdicts are in the figure."
    ]
    return {"title": "Stages", "tables": tables, "notes": notes}


def journal(setup: Setup) -> dict:
    """Records to the disk, with commits that wait for the disk and without."""
    records, single = (2_000, 10) if setup.is_smoke else (200_000, 500)
    policies = {"each commit waits for the disk (as it is)": {}}
    notes = ["A commit holds up to 16,384 records. One that comes alone waits 20 ms for company first."]
    library = shutil.which("eatmydata")
    if library:
        policies["no commit waits (eatmydata)"] = {"LD_PRELOAD": "libeatmydata.so"}
    else:
        notes.append("Without libeatmydata (Debian: eatmydata), so only with commits that wait.")
    found: dict[str, list[dict]] = {name: [] for name in policies}
    for run in range(setup.runs):
        for at, (name, env) in enumerate(policies.items()):
            folder = setup.scratch / f"journal-{run}-{at}"
            folder.mkdir()
            found[name].append(setup.json_of([setup.program("journal-rate"), str(folder), str(records), str(single)], env))
            shutil.rmtree(folder)
    rows = [
        {
            "name": name,
            "per_second": median([run["records"] / run["seconds"] for run in runs]),
            "p50_ms": median([run["single_us"]["p50"] / 1e3 for run in runs]),
            "p99_ms": median([run["single_us"]["p99"] / 1e3 for run in runs]),
        }
        for name, runs in found.items()
    ]
    columns = [("name", "policy"), ("per_second", "records a second"), ("p50_ms", "one alone, p50 ms"), ("p99_ms", "p99 ms")]
    return {"title": "Journal", "tables": [{"title": "", "columns": columns, "rows": rows}], "notes": notes}


def notifier(setup: Setup) -> dict:
    """Mails out of a full outbox, and one by itself."""
    rows = []
    sizes = [("outbox", 200, 100), ("idle", 20, 0)] if setup.is_smoke else [
        ("outbox", 20_000, 20_000), ("domains", 20_000, 20_000), ("idle", 200, 0), ("flood", 200, 100_000),
    ]
    for mode, count, mails in sizes:
        command = [setup.program("notifier-rate"), mode, str(count)] + ([str(mails)] if mails else [])
        setup.note(command)
        done = subprocess.run(command, text=True, stdout=subprocess.PIPE, check=True, cwd=setup.scratch)
        figures = done.stdout.strip().splitlines()[-1]
        rows.append({"name": f"{mode} {count}" + (f" {mails}" if mails else ""), "figures": figures.replace('"', "")})
    return {
        "title": "Notifier",
        "tables": [{"title": "", "columns": [("name", "mode"), ("figures", "figures")], "rows": rows}],
        "notes": ["To a server in the same process that takes everything; see benches/src/bin/notifier_rate.rs for the modes."],
    }


def xdp(setup: Setup) -> dict:
    """The program in the kernel, by its own test runs."""
    if os.geteuid() != 0:
        return {"title": "XDP program", "tables": [], "notes": ["Not measured: wants root."]}
    command = [str(setup.benches["xdp"]), "--bench"] + (["--quick"] if setup.is_smoke else [])
    setup.note(["cargo", "bench", "-p", "ringtap-benches", "--bench", "xdp"])
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode != 0:
        return {"title": "XDP program", "tables": [], "notes": [f"Not measured: {done.stderr.strip().splitlines()[-1:]}"]}
    rows = []
    for line in done.stdout.splitlines():
        if match := re.match(r"(.+?)\s{2,}(\d+)\s+(\d+)$", line):
            rows.append({"name": match[1], "ns": float(match[2]), "median_ns": float(match[3])})
    columns = [("name", "frame"), ("ns", "lowest ns"), ("median_ns", "median ns")]
    return {
        "title": "XDP program",
        "tables": [{"title": "", "columns": columns, "rows": rows}],
        "notes": ["The kernel runs the program over one frame in a loop; what a redirection costs comes on top."],
    }
