"""Reads mails as a stranger does, with Python's own parser, and finds fault with whatever a caller could have put into them.

Every .eml in the folder must be a mail of ours to one of the recipients, with no link but the one that is given. Prints
a line for each fault; the last line says how many mails were read.
"""

import argparse
import re
import sys
import unicodedata
from email import policy
from email.parser import BytesParser
from html.parser import HTMLParser
from pathlib import Path

HEADERS = sorted(
    [
        "from",
        "to",
        "subject",
        "date",
        "message-id",
        "references",
        "mime-version",
        "content-type",
        "auto-submitted",
        "x-auto-response-suppress",
        "precedence",
        "content-language",
        "x-ringtap-reason",
        "x-ringtap-caller",
        "x-ringtap-account",
        "x-ringtap-call",
        "list-unsubscribe",
    ]
)
# Mails that tell no call have none of these.
OF_CALLS = {"precedence", "list-unsubscribe"} | {name for name in HEADERS if name.startswith("x-ringtap-")}
TAGS = set("html head meta title style body div table tr td th p strong bdi span br a".split())
VOID = {"meta", "br"}
HIDDEN = re.compile(
    "[\u00ad\u034f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\ufffb\U000e0000-\U000e0fff]"
)
# What mail programs make links of: a scheme, or words with a dot or an at sign between them.
OUR_OWN = "请勿直接回复。"
LINKS = re.compile(r"://|\w[.@\u3002\uff0e\uff61\uff20]\w|\b(?:mailto|tel|sip|javascript|data):\S", re.I)


class Page(HTMLParser):
    """Tags that are not ours, attributes that fetch or do something, and the text that is seen."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.faults, self.links, self.seen, self.open = [], [], [], []

    def handle_starttag(self, tag, attrs):
        if tag not in TAGS:
            self.faults.append(f"tag {tag}")
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name.startswith("on") or name in {"src", "srcset", "background", "action"}:
                self.faults.append(f"attribute {name}")
            if name == "href":
                self.links.append(value)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> where it does not belong")

    def handle_data(self, data):
        if not {"style", "title"} & set(self.open):
            self.seen.append(data)


def hidden(text):
    return HIDDEN.search(text) or any(unicodedata.category(c) in ("Cc", "Cs") and c != "\n" for c in text)


def faults(raw, link, recipients, secrets):
    if not raw.isascii():
        yield "octets beyond ASCII"
    if re.search(rb"\r(?!\n)|(?<!\r)\n", raw):
        yield "a line end that is none"
    if max(map(len, raw.split(b"\r\n"))) > 998:
        yield "a line that is too long"
    mail = BytesParser(policy=policy.strict).parsebytes(raw)
    names = sorted(name.lower() for name in mail.keys())
    ours = [name for name in HEADERS if link or name != "list-unsubscribe"]
    if "x-ringtap-reason" not in names:
        ours = [name for name in HEADERS if name not in OF_CALLS]
    elif "list-unsubscribe-post" in names and link:
        ours.append("list-unsubscribe-post")
        if mail["List-Unsubscribe-Post"] != "List-Unsubscribe=One-Click":
            yield f"list-unsubscribe-post {mail['List-Unsubscribe-Post']}"
    if names not in (sorted(ours), sorted([*ours, "x-ringtap-count"])):
        yield f"headers {names}"
    for name, value in mail.items():
        if value.defects:
            yield f"{name}: {value.defects}"
        if hidden(str(value)):
            yield f"{name}: {str(value)!r}"
    to = mail["To"].addresses
    if len(to) != 1 or (recipients and to[0].addr_spec not in recipients):
        yield f"to {to}"
    if mail.defects:
        yield f"defects {mail.defects}"
    kinds = [part.get_content_type() for part in mail.walk()]
    if kinds != ["multipart/alternative", "text/plain", "text/html"]:
        yield f"parts {kinds}"
        return
    text, html = (part.get_content().replace("\r\n", "\n") for part in mail.iter_parts())
    page = Page()
    page.feed(html)
    page.close()
    yield from page.faults
    if page.open:
        yield f"left open: {page.open}"
    if page.links != [link] * bool(link):
        yield f"links {page.links}"
    everything = "\n".join([*map(str, mail.values()), text, html])
    yield from (f"{secret} in it" for secret in secrets if secret in everything)
    for where, shown in (("subject", str(mail["Subject"])), ("text", text), ("html", "\n".join(page.seen))):
        if hidden(shown):
            yield f"hidden characters in the {where}: {shown!r}"
        found = LINKS.search((shown.replace(link, "") if link else shown).replace(OUR_OWN, ""))
        if found:
            yield f"{found.group()!r} is taken for a link in the {where}: {shown!r}"


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folder", type=Path, help="folder with .eml files")
    arguments.add_argument("--link", help="the link that each has")
    arguments.add_argument("--to", action="append", help="who may get one; anybody, if not given")
    arguments.add_argument("--without", action="append", default=[], help="what must not be in any")
    given = arguments.parse_args()
    sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    paths = sorted(given.folder.glob("*.eml"))
    for path in paths:
        try:
            found = list(faults(path.read_bytes(), given.link, given.to, given.without))
        except Exception as error:  # strict parsing raises whatever it finds
            found = [f"{type(error).__name__}: {error}"]
        for fault in found:
            print(f"{path.name}: {fault}")
    print(f"{len(paths)} mails")


main()
