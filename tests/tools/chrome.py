"""Several pages of the chat in headless Chromium, driven by its DevTools protocol: chrome.py CHROMIUM URL PID. Says what is
wrong, or nothing. PID is the server, which is ended by SIGTERM while the pages look on."""
import json, os, signal, subprocess, sys, tempfile, time
from ws import Client

SECONDS = 60  # for whatever is waited for


class Browser:
    def __init__(self, program, home, *flags):
        self.log = open(home + "/log", "w+b")
        self.child = subprocess.Popen(
            [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
             "--disable-background-networking", "--ignore-certificate-errors", "--remote-allow-origins=*",
             "--remote-debugging-port=0", "--user-data-dir=" + home, *flags, "about:blank"],
            stdout=self.log, stderr=self.log, start_new_session=True)

    def connect(self, said):  # the file with the port, then the path
        for _ in range(SECONDS * 10):
            if self.child.poll() is not None:
                break
            if os.path.exists(said) and open(said).read().count("\n") >= 1:
                break
            time.sleep(0.1)
        lines = open(said).read().split("\n")
        self.ws = Client(int(lines[0]), lines[1])
        self.ws.s.settimeout(SECONDS)
        self.last = 0

    def call(self, method, session=None, **params):
        self.last += 1
        message = {"id": self.last, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        self.ws.send(0x81, json.dumps(message).encode())
        while True:
            answer = json.loads(self.ws.text())
            if answer.get("id") == self.last:
                if "error" in answer:
                    raise RuntimeError(answer)
                return answer["result"]

    def end(self):
        try:
            self.call("Browser.close")
            self.child.wait(10)
        except (OSError, EOFError, RuntimeError, AttributeError, subprocess.TimeoutExpired):
            os.killpg(self.child.pid, signal.SIGKILL)  # its own session: it and its children
            self.child.wait()


class Page:
    def __init__(self, browser, url):
        self.browser = browser
        self.target = browser.call("Target.createTarget", url=url)["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=self.target, flatten=True)["sessionId"]

    def run(self, code):  # its value, or a promise's
        got = self.browser.call("Runtime.evaluate", self.session, expression=code, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in got:
            raise RuntimeError(got["exceptionDetails"])
        return got["result"].get("value")

    def lines(self):
        return self.run("[...document.querySelectorAll('#log li')].map(e => e.textContent)") or []

    def say(self, text):
        self.run(f"t.value = {json.dumps(text)}; f.requestSubmit()")

    def shows(self, want):
        until = time.monotonic() + SECONDS
        while (got := self.lines()) != want and time.monotonic() < until:
            time.sleep(0.05)
        if got != want:
            raise RuntimeError(f"a page shows {got}, and not {want}")


def chat(browser, url, pid):
    names, seen, pages = ["ada", "bob", "eve"], [], []
    for name in names:
        pages.append(Page(browser, url + "?name=" + name))
        for log in seen:
            log.append(name + ": is here")
        seen.append([name + ": is here"])
        for page, log in zip(pages, seen):
            page.shows(log)
    for name, page, text in zip(names, pages, ["hello", "Gr\u00fc\u00dfe \u20ac \U0001f600", "<b>" + "x" * 400]):
        page.say(text)
        for log in seen:
            log.append(f"{name}: {text}")
        for other, log in zip(pages, seen):
            other.shows(log)
    browser.call("Target.closeTarget", targetId=pages[1].target)
    pages[0].say("two of us")
    for i in (0, 2):
        seen[i].append("ada: two of us")
        pages[i].shows(seen[i])
    pages[2].say("y" * 501)  # over the room's limit
    seen[2].append("closed: 1009 frame over its limit")
    pages[2].shows(seen[2])
    os.kill(pid, signal.SIGTERM)
    seen[0].append("closed: 1001 ")
    pages[0].shows(seen[0])


def driven(body, program, *flags):
    """body(browser) with a browser of its own."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        browser = None
        try:
            browser = Browser(program, home, *flags)
            browser.connect(home + "/DevToolsActivePort")
            body(browser)
        except (OSError, EOFError, RuntimeError, ValueError) as e:
            sys.exit(f"{type(e).__name__}: {e}")
        finally:
            if browser:
                browser.end()


if __name__ == "__main__":
    driven(lambda browser: chat(browser, sys.argv[2], int(sys.argv[3])), sys.argv[1])
