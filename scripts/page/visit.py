#!/usr/bin/env python3
"""People who open the links of their mails, in Chromium with scripts switched off.

Ends with an error at the first thing that is not as it has to be.
"""

import argparse
import email
import email.policy
import os
import re
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from playwright.sync_api import sync_playwright

PATIENCE_S = 30
WIDTHS = {"narrow": 360, "wide": 1200}


def wait_until(what, is_so):
    """The first true value of is_so()."""
    began = time.monotonic()
    while time.monotonic() - began < PATIENCE_S:
        found = is_so()
        if found:
            return found
        time.sleep(0.05)
    raise SystemExit(f"waited in vain: {what}")


def must(holds, what):
    if not holds:
        raise SystemExit(f"not as it has to be: {what}")


class Mails:
    """The mails that have come."""

    def __init__(self, folder):
        self.folder = folder

    def to(self, address):
        mails = []
        for path in sorted(self.folder.glob("*.eml")):
            if f"-{address}." in path.name:
                mails.append(email.message_from_bytes(path.read_bytes(), policy=email.policy.default))
        return mails

    def await_one(self, address, count):
        mails = wait_until(f"mail {count} to {address}", lambda: self.to(address)[count - 1 :])
        return mails[0]


def link(mail):
    text = mail.get_body(("plain",)).get_content()
    return re.search(r"http://\S+/l/[A-Za-z0-9_-]+", text).group()


def leave_link(mail):
    must(mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click", "List-Unsubscribe-Post")
    return mail["List-Unsubscribe"].strip("<>")


def records(metrics):
    text = urllib.request.urlopen(metrics).read().decode()
    return int(float(re.search(r"^ringtap_notifier_records_total (\S+)", text, re.M).group(1)))


class Visitor:
    """Somebody with a browser of the own."""

    def __init__(self, browser, scheme="light", width=1200, language="en-GB"):
        self.faults = []
        self.context = browser.new_context(
            java_script_enabled=False,
            color_scheme=scheme,
            locale=language,
            viewport={"width": width, "height": 800},
        )
        self.page = self.context.new_page()
        # What the browser was kept from doing is a fault of the page.
        self.page.on("console", lambda message: self.faults.append(message.text))
        self.page.on("requestfailed", lambda request: self.faults.append(f"failed: {request.url}"))

    def go(self, url):
        answer = self.page.goto(url)
        must(answer.status == 200, f"{url}: {answer.status}")

    def press(self, name):
        """The first button whose name begins so."""
        self.page.get_by_role("button", name=re.compile(f"^{name}")).first.click()

    def sees(self, text):
        must(self.page.get_by_text(text).count() > 0, f"{text!r} on {self.page.url}:\n{self.page.inner_text('body')}")

    def fits(self):
        wide = self.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
        must(not wide, f"{self.page.url} is wider than {self.page.viewport_size['width']} pixels")
        unnamed = self.page.evaluate(
            "[...document.querySelectorAll('input:not([type=hidden]), select')].filter(one => !one.labels.length).length"
        )
        must(unnamed == 0, f"{self.page.url} has {unnamed} fields without a label")

    def shoot(self, folder, name):
        self.page.screenshot(path=folder / f"{name}.png", full_page=True)

    def close(self):
        # Neither the icon that browsers look for by themselves is a fault, nor the answer to a form with something wrong in it.
        faults = [fault for fault in self.faults if "favicon" not in fault and "status of 422" not in fault]
        must(not faults, f"the browser says: {faults}")
        self.context.close()


def wang(browser, mails, metrics, play):
    """Looks, marks, chooses, leaves by the button, and is told of nothing more."""
    address = "wangfang@office.test"
    mail = mails.await_one(address, 1)
    mails.await_one(address, 2)
    visitor = Visitor(browser)
    page = visitor.page
    visitor.go(link(mail))
    must(page.url.endswith("/calls"), f"{page.url}: the link stays in the address bar")
    must(page.get_by_role("listitem").count() == 2, "two calls")
    visitor.sees("139 1234 5678")
    visitor.sees("rejected automatically")
    visitor.sees("2 still open")
    visitor.press("Done")
    visitor.sees("1 still open")
    visitor.sees("Marked.")
    visitor.press("Not done")
    visitor.sees("2 still open")
    visitor.press("Mark all as done")
    must(page.get_by_role("button", name="Mark all as done").count() == 0, "all are done")
    page.get_by_role("link", name="Settings").click()
    page.get_by_label("Line busy").uncheck()
    page.get_by_label("My own").check()
    page.get_by_label("from", exact=True).fill("21:30")
    page.get_by_label("to", exact=True).fill("21:30")
    visitor.press("Save")
    visitor.sees("Quiet hours need a beginning and an end that differ")
    page.get_by_label("None", exact=True).check()
    page.get_by_label("Language").select_option("zh-CN")
    visitor.press("Save")
    visitor.sees("设置已保存")
    must(not page.get_by_label("占线").is_checked(), "the reason stays as it was chosen")
    must(page.get_by_label("不使用").is_checked(), "quiet hours stay as they were chosen")
    page.get_by_label("语言").select_option("en")
    visitor.press("保存")
    visitor.press("Sign out")
    visitor.sees("You are signed out.")
    page.go_back()
    page.reload()
    must("/calls" not in page.url and "/settings" not in page.url or page.get_by_label("Your mail address").count(), "signed out")

    visitor.go(urllib.parse.urljoin(page.url, "/"))
    page.get_by_label("Your mail address").fill("WangFang@office.test")
    visitor.press("Send me a link")
    visitor.sees("Look into your mailbox")
    asked = mails.await_one(address, 3)
    must("List-Unsubscribe" not in asked, "who asks for a link subscribes to nothing")
    visitor.go(link(asked))
    page.get_by_role("link", name="Settings").click()
    visitor.press("Unsubscribe")
    visitor.sees("You are not told of missed calls.")
    before = records(metrics)
    play("S08")
    wait_until("the notifier reads the call", lambda: records(metrics) > before)
    visitor.press("Subscribe again")
    visitor.sees("You are subscribed again.")
    must(len(mails.to(address)) == 3, "told of a call after leaving")
    visitor.close()


def li(browser, mails, metrics, play):
    """Leaves by the mail program's button, which asks back nothing."""
    address = "liming@office.test"
    mail = mails.await_one(address, 1)
    count = len(mails.to(address))
    visitor = Visitor(browser, language="zh-CN")
    visitor.go(link(mail))
    visitor.sees("响铃")
    visitor.go(leave_link(mail))
    visitor.sees("要退订吗")
    form = urllib.parse.urlencode({"List-Unsubscribe": "One-Click"}).encode()
    must(urllib.request.urlopen(leave_link(mail), form).status == 200, "one click")
    before = records(metrics)
    play("S05")
    wait_until("the notifier reads the call", lambda: records(metrics) > before)
    time.sleep(0.5)
    must(len(mails.to(address)) == count, "told of a call after leaving")
    visitor.go(link(mail))
    visitor.sees("您已退订")
    visitor.page.get_by_role("link", name="设置").first.click()
    visitor.press("重新订阅")
    visitor.sees("您已重新订阅")
    visitor.close()


def pictures(browser, mails, folder):
    """Every page, narrow and wide, light and dark, in both languages; none wider than its window."""
    folder.mkdir(parents=True, exist_ok=True)
    people = {"en": ("wangfang@office.test", "en-GB"), "zh": ("liming@office.test", "zh-CN")}
    for language, (address, locale) in people.items():
        mail = mails.await_one(address, 1)
        home = urllib.parse.urljoin(link(mail), "/")
        for scheme in ("light", "dark"):
            for width, pixels in WIDTHS.items():
                visitor = Visitor(browser, scheme, pixels, locale)
                name = f"{language}-{scheme}-{width}"
                for page, url in (
                    ("ask", home),
                    ("leave", leave_link(mail)),
                    ("calls", link(mail)),
                    ("settings", home + "settings"),
                ):
                    visitor.go(url)
                    visitor.fits()
                    visitor.shoot(folder, f"{page}-{name}")
                visitor.close()
        visitor = Visitor(browser, "light", 320, locale)
        for url in (home, leave_link(mail), link(mail), home + "settings"):
            visitor.go(url)
            visitor.fits()
        visitor.close()


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--mails", type=Path, required=True)
    arguments.add_argument("--shots", type=Path, required=True)
    arguments.add_argument("--metrics", required=True)
    arguments.add_argument("--play", nargs=argparse.REMAINDER, required=True, help="the command that replays a capture")
    given = arguments.parse_args()

    def play(row):
        subprocess.run([*given.play, str(given.mails.parent / f"{row}.pcap")], check=True)

    mails = Mails(given.mails)
    with sync_playwright() as playwright:
        flags = ["--no-sandbox"] if os.getuid() == 0 else []
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=flags)
        pictures(browser, mails, given.shots)
        wang(browser, mails, given.metrics, play)
        li(browser, mails, given.metrics, play)
        browser.close()
    print("what people did on their page went as it has to")


if __name__ == "__main__":
    main()
