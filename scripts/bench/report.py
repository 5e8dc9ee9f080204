"""The report: report.md with its plots (SVG, by matplotlib), and all that was found in report.json."""

import json
import pathlib
import re


def write(out: pathlib.Path, facts: dict, sections: list[dict]) -> None:
    """Writes the three kinds of files."""
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("*.svg"):
        old.unlink()
    names = plots(out, sections)
    (out / "report.json").write_text(json.dumps(facts | {"sections": sections}, indent=1, ensure_ascii=False) + "\n")
    (out / "report.md").write_text(markdown(facts, sections, names))


def markdown(facts: dict, sections: list[dict], plots_of: dict[str, str]) -> str:
    lines = ["# Measured speed", ""]
    if facts["is_smoke"]:
        lines += ["**A smoke run: tiny inputs, a debug build. Its figures say nothing.**", ""]
    lines += ["| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in facts["machine"].items()]
    lines += [f"| {name} | {value} |" for name, value in facts["peers"].items()]
    lines += [f"| {name} | absent: {why} |" for name, why in facts["absent"].items()]
    lines += [
        "",
        f"Each figure is the middle one of {facts['runs']} runs; those of one section were taken in turn. "
        "Ratios are of figures of the same round, so they hold better than the figures.",
        "",
    ]
    for section in sections:
        lines += [f"## {section['title']}", ""]
        if "load" in section:
            lines += [f"Load average {section['load'][0]} before, {section['load'][1]} after; {section['seconds']:.0f} s.", ""]
        for note in section["notes"]:
            lines += [note, ""]
        for table in section["tables"]:
            if table["title"]:
                lines += [f"### {table['title']}", ""]
            lines += rows(table)
            if name := plots_of.get(key(section, table)):
                lines += ["", f"![{section['title']} {table['title']}]({name})"]
            lines.append("")
    lines += ["## Commands", "", "```", *facts["commands"], "```", ""]
    return "\n".join(lines)


def rows(table: dict) -> list[str]:
    columns = table["columns"]
    lines = ["| " + " | ".join(title for _, title in columns) + " |"]
    lines.append("|---|" + "---:|" * (len(columns) - 1))
    for row in table["rows"]:
        lines.append("| " + " | ".join(shown(row.get(name, "")) for name, _ in columns) + " |")
    return lines


def shown(value) -> str:
    """Three figures that count, or all of a whole number."""
    if isinstance(value, bool) or isinstance(value, str):
        return str(value)
    if isinstance(value, int) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def key(section: dict, table: dict) -> str:
    text = f"{section['title']} {table['title']}".strip().lower()
    return re.sub(r"[^a-z0-9]+", "-", text).strip("-")


def plots(out: pathlib.Path, sections: list[dict]) -> dict[str, str]:
    """Draws what has something to be drawn. Without matplotlib the report has none, and says so on the way."""
    try:
        import matplotlib

        matplotlib.use("svg")
        import matplotlib.pyplot as pyplot
    except ImportError:
        print("!! no matplotlib: the report has no plots")
        return {}
    # The same figures give the same file.
    matplotlib.rcParams["svg.hashsalt"] = "ringtap"
    names = {}
    for section in sections:
        for table in section["tables"]:
            plot = table.get("plot")
            if not plot or not table["rows"]:
                continue
            name = key(section, table) + ".svg"
            figure, axes = pyplot.subplots(figsize=(8, 0.6 + max(2.4, 0.32 * len(table["rows"]))), layout="constrained")
            labels = [row[plot["label"]] for row in table["rows"]]
            values = [row[plot["value"]] for row in table["rows"]]
            if plot["kind"] == "bars":
                colours = ["#c2410c" if "ringtap" in str(label) else "#64748b" for label in labels]
                axes.barh(labels[::-1], values[::-1], color=colours[::-1])
                axes.set_xlabel(plot["unit"])
                if plot.get("log"):
                    axes.set_xscale("log")
            else:
                axes.plot(labels, values, marker="o", color="#c2410c")
                axes.set_ylim(bottom=0)
                axes.set_xlabel(plot["axis"])
                axes.set_ylabel(plot["unit"])
                if plot.get("log_x"):
                    axes.set_xscale("log")
            axes.grid(alpha=0.3)
            figure.savefig(out / name, metadata={"Date": None})
            pyplot.close(figure)
            names[key(section, table)] = name
    return names
