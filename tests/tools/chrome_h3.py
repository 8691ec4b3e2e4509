"""A page in headless Chromium, over HTTP/3: chrome_h3.py CHROMIUM PORT SPKI PID. The server is examples/conformance; its key's
SHA-256 is SPKI, in base64; it is ended by SIGTERM while the page waits for an answer. Says what is wrong, or nothing."""
import os, signal, sys, time
from chrome import SECONDS, Page, driven

PORT, SPKI, PID = sys.argv[2:]
ORIGIN = f"127.0.0.1:{PORT}"
WHOLE = """(async () => {
    const echo = async (n) => {
        const sent = new Uint8Array(n).map((x, i) => i * 31 + (i >> 8));
        const r = await fetch("/echo", {method: "POST", body: sent});
        const got = new Uint8Array(await r.arrayBuffer());
        return r.status == 200 && got.length == n && got.every((x, i) => x == sent[i]);
    };
    const size = async (n) => (await (await fetch("/bytes?n=" + n)).arrayBuffer()).byteLength == n;
    const talk = () => new Promise((done) => {
        const ws = new WebSocket("wss://" + location.host + "/ws"), said = ["a", "\u20ac", "x".repeat(100000)];
        let heard = 0;
        ws.onopen = () => said.forEach((text) => ws.send(text));
        ws.onmessage = (e) => (e.data === said[heard] ? ++heard == said.length && ws.close(1000) : done("differs: " + heard));
        ws.onclose = (e) => done(heard == said.length && e.code == 1000 ? true : "closed: " + e.code);
    });
    const all = [echo(1000000), talk(), echo(0), echo(70000)];
    for (let i = 0; i < 40; i++) all.push(size(i * 5000));
    all.push(size(8000000), fetch("/nowhere").then((r) => r.status == 404));
    all.push(fetch("/chunked").then((r) => r.text()).then((t) => t == "one\\ntwo\\nthree\\n"));
    return Promise.all(all.map((p) => p.catch((e) => String(e))));
})()"""
HOPS = "performance.getEntriesByType('%s').map(e => e.nextHopProtocol + ' ' + e.name)"


def loaded(browser):
    page, until, got = Page(browser, f"https://{ORIGIN}/"), time.monotonic() + SECONDS, None
    while got != f"https://{ORIGIN}/ hello":
        if time.monotonic() > until:
            raise RuntimeError(f"not loaded: {got}")
        time.sleep(0.05)
        try:
            got = page.run("location.href + ' ' + document.body.innerText")
        except RuntimeError as e:  # there is no document yet
            got = e
    return page


def hops(page, kind, n):
    got = page.run(HOPS % kind)
    wrong = [e for e in got if not e.startswith("h3 ")]
    if wrong or len(got) < n:
        raise RuntimeError(f"{kind}: {len(got)} of {n}, not by h3: {wrong}")


def tried(browser):
    for turn in range(3):
        page = loaded(browser)
        hops(page, "navigation", 1)
        page.run("performance.setResourceTimingBufferSize(500)")
        wrong = [r for r in page.run(WHOLE) if r is not True]
        if wrong:
            raise RuntimeError(f"turn {turn}: {wrong}")
        hops(page, "resource", 45)
    page.run("late = fetch('/delay?ms=4000').then(r => r.text()).catch(e => String(e)); 0")
    time.sleep(2)  # on a busy machine it takes a while until the request is there
    os.kill(int(PID), signal.SIGTERM)
    if (got := page.run("late")) != "delayed":
        raise RuntimeError(f"while the server stops: {got}")


driven(tried, sys.argv[1], "--enable-quic", "--origin-to-force-quic-on=" + ORIGIN,
       "--ignore-certificate-errors-spki-list=" + SPKI)
