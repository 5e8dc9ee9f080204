#!/usr/bin/env python3
"""Shows the mails in a folder as their readers see them, and compares them with what was expected."""

import argparse
import sys
from email import policy
from email.parser import BytesParser
from pathlib import Path

SHOWN = ["Subject", "To", "X-Ringtap-Reason", "X-Ringtap-Caller", "X-Ringtap-Account", "X-Ringtap-Call"]


def read(path):
    with path.open("rb") as file:
        return BytesParser(policy=policy.default).parse(file)


def printable(text):
    """Callers supply parts of a mail: nothing in it may steer the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def show(path, mail):
    print(f"--- {path.name}")
    for name in SHOWN:
        print(f"{name}: {printable(str(mail[name]))}")
    text = mail.get_body(preferencelist=("plain",)).get_content()
    print()
    for line in printable(text.replace("\r\n", "\n")).rstrip("\n").split("\n"):
        print(f"    {line}")
    print()


def summary(mail):
    """What a line of the expectation says: address, reason, caller."""
    address = mail["To"].addresses[0].addr_spec
    return f"{address} {mail['X-Ringtap-Reason']} {mail['X-Ringtap-Caller']}"


def expected_lines(path):
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return sorted(line for line in lines if line and not line.startswith("#"))


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folder", type=Path, help="folder with .eml files")
    arguments.add_argument("--expect", type=Path, help="file with a line ADDRESS REASON CALLER for each mail")
    given = arguments.parse_args()
    sys.stdout.reconfigure(encoding="utf-8")
    mails = [(path, read(path)) for path in sorted(given.folder.glob("*.eml"))]
    for path, mail in mails:
        show(path, mail)
    print(f"{len(mails)} mails")
    if given.expect is None:
        return 0
    expected = expected_lines(given.expect)
    found = sorted(summary(mail) for _, mail in mails)
    if found == expected:
        print(f"exactly those that {given.expect} expects")
        return 0
    for line in sorted(set(expected + found)):
        if found.count(line) != expected.count(line):
            print(f"expected {expected.count(line)}, came {found.count(line)}: {line}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
