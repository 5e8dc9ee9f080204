"""How far one machine goes: from the costs that other sections have measured, what mirrors of 10, 25 and 100 Gbit/s would take."""

import re

from setup import Setup, packets

LINKS_GBIT = (1, 10, 25, 100)
# Beside the frame on the line: preamble, check sequence, gap.
LINE_OCTETS = 24
# The cores of a reader are not to be fuller than this: what comes in bursts has to be taken too.
FULL = 0.7


def scale(setup: Setup, sections: dict[str, dict]) -> dict:
    """The model; wants the sections stages, replay and journal of the same run."""
    title = "How far one machine goes"
    if lacking := [name for name in ("stages", "replay", "journal") if name not in sections]:
        return {"title": title, "tables": [], "notes": [f"Not told: wants the section{'s' * (len(lacking) > 1)} {', '.join(lacking)} in the same run."]}
    file = setup.capture()
    count = packets(file)
    octets = file.stat().st_size / count - 16
    per_call = count / setup.calls
    reader_ns = figure(sections["stages"], "decode, parse and join", "ns")
    # An event of the settler is no packet.
    events = setup.units["calls/settler, leg events"] / setup.units["calls/leg table, join"]
    settler_ns = figure(sections["stages"], "settler, leg events", "ns") * events
    records = setup.told["records"][0] / count
    journal_ns = 1e9 / figure(sections["journal"], "each commit waits", "per_second") * records
    parts = [("reading, a core", reader_ns), ("settling, one thread", settler_ns), ("journal, one thread", journal_ns)]
    walls = [
        {"name": name, "ns": ns, "packets": 1e9 / ns, "calls": 1e9 / ns / per_call}
        for name, ns in parts
    ]
    links = []
    for gbit in LINKS_GBIT:
        frames = gbit * 1e9 / 8 / (octets + LINE_OCTETS)
        shares = {"settler": frames * settler_ns / 1e9, "journal": frames * journal_ns / 1e9}
        fullest = max(shares, key=lambda name: shares[name])
        links.append(
            {
                "name": f"{gbit} Gbit/s",
                "packets": frames,
                "calls": frames / per_call,
                "readers": frames * reader_ns / 1e9 / FULL,
                "settler": f"{shares['settler']:.0%}",
                "journal": f"{shares['journal']:.0%}",
                "wall": f"the {fullest}, at {1 / shares[fullest]:.0%} of the line" if shares[fullest] > 1 else "none",
            }
        )
    notes = [
        f"Frames of {octets:.0f} octets (and {LINE_OCTETS} on the line), {per_call:.1f} packets a call, {records * per_call:.2f} records a call, as in the workload. "
        f"A line full of SIP, both ways of it mirrored into one. Reading scales with cores and is told for cores that are {FULL:.0%} full; "
        "settler and journal are one thread each. What the kernel takes for a frame that it copies (copy mode) comes on top of reading, "
        "on the core that has the interrupt."
    ]
    return {
        "title": title,
        "tables": [
            {
                "title": "What each part carries",
                "columns": [("name", "part"), ("ns", "ns a packet"), ("packets", "packets a second"), ("calls", "calls a second")],
                "rows": walls,
            },
            {
                "title": "Mirrors full of SIP",
                "columns": [
                    ("name", "mirror"), ("packets", "packets a second"), ("calls", "calls a second"), ("readers", "cores for reading"),
                    ("settler", "settler"), ("journal", "journal"), ("wall", "first wall"),
                ],
                "rows": links,
            },
        ],
        "notes": notes,
    }


def figure(section: dict, name: str, key: str) -> float:
    """One figure of a row whose name ends with, or begins with, this."""
    for table in section["tables"]:
        for row in table["rows"]:
            if row["name"].endswith(name) or row["name"].startswith(name):
                return row[key]
    raise SystemExit(f"no figure {name}: {section['title']}")


def records_told(said: str) -> int:
    """How many records `--stats` tells."""
    match = re.search(r"^records +(\d+)", said, re.MULTILINE)
    if not match:
        raise SystemExit("ringtap replay --stats tells no records")
    return int(match[1])
