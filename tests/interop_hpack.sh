#!/bin/sh
# variants: default asan clang
# HPACK with python3's hpack on the other side: stories that it makes from a seed (VT_SEED) are encoded by each, with table
# sizes that change, and decoded by the other.
set -u
cd "$(dirname "$0")/.." || exit 2
name=interop_hpack
. tests/tools/interop.sh
python_with hpack || none "no python3 with hpack (Debian: python3-hpack; make deps)"

# Lines: "S n" a table size, "F name value" (in hex) a field and "E" the end of a block, or "B hex" a coded block and "E". What
# it writes has the same form, the other way round. Between blocks a size is both ours and the peer's.
cat > "$tmp/hpack.c" << 'END'
#define VTHTTP_H2 1
#define VTHTTP_STATIC 1
#define VTHTTP_IMPLEMENTATION
#include "vthttp.h"
enum { ROOM = 1 << 17 };
static size_t unhex(uint8_t *to, const char *s) {
    size_t n = 0;
    unsigned v;
    while (sscanf(s + 2 * n, "%2x", &v) == 1) to[n++] = (uint8_t)v;
    return n;
}
static void put(const char *what, const void *p, size_t n) {
    printf("%s", what);
    for (size_t i = 0; i < n; i++) printf("%02x", ((const uint8_t *)p)[i]);
}
static int decode(vt__hpack_dec *d, void *scratch, const uint8_t *p, size_t n) {
    const uint8_t *end = p + n;
    vt__hpack_field f;
    int rc;
    vt__hpack_dec_begin(d, scratch, ROOM);
    while ((rc = vt__hpack_dec_next(d, &p, end, &f)) > 0) {
        put("F ", f.name.ptr, f.name.len), put(" ", f.value.ptr, f.value.len);
        printf(" %d\n", f.flags & VT__HPACK_NEVER);
    }
    return rc < 0 ? rc : vt__hpack_dec_end(d);
}
int main(void) {
    static char line[ROOM * 4], name[ROOM], value[ROOM];
    static uint8_t out[ROOM], bytes[ROOM], scratch[ROOM];
    static uint64_t tables[2][ROOM / 8]; /* more than either asks for */
    vt__hpack_enc e;
    vt__hpack_dec d;
    size_t len = 0, n;
    bool open = false;
    vt__hpack_enc_init(&e, 65536), vt__hpack_dec_init(&d, 65536);
    vt__hpack_enc_table(&e, tables[0]), vt__hpack_dec_table(&d, tables[1]);
    while (fgets(line, sizeof line, stdin)) {
        if (line[0] == 'S') {
            uint32_t size = (uint32_t)strtoul(line + 2, NULL, 10);
            vt__hpack_enc_limit(&e, size), vt__hpack_dec_limit(&d, size);
        } else if (line[0] == 'F') {
            char *second = strchr(line + 2, ' ');
            vt_str key = {name, 0}, text = {value, 0};
            *second++ = 0;
            key.len = unhex((uint8_t *)name, line + 2), text.len = unhex((uint8_t *)value, second);
            if (!open) len = vt__hpack_enc_begin(&e, out), open = true;
            vt__hpack_field f = {key, text, 0, 0};
            vt__hpack_name_check(&f);
            n = vt__hpack_put(&e, out + len, ROOM - len, f.id == VT__HPACK_F_PSEUDO ? 0 : f.id, key, text, 0);
            if (n == 0) return 3;
            len += n;
        } else if (line[0] == 'B') {
            n = unhex(bytes, line + 2);
            int rc = decode(&d, scratch, bytes, n);
            if (rc < 0) return fprintf(stderr, "error %d\n", rc), 1;
        } else if (line[0] == 'E') {
            if (open) put("B ", out, len), printf("\n");
            open = false;
            printf("E\n");
        }
    }
    return 0;
}
END
${VT_CC:-${CC:-cc}} -std=gnu11 ${VT_CFLAGS:--O1 -pthread} -I. -o "$tmp/hpack" "$tmp/hpack.c" || exit 2

cat > "$tmp/hpack_peer.py" << 'END'
import os, random, subprocess, sys, time
from hpack import Encoder, Decoder, HeaderTuple, NeverIndexedHeaderTuple

seed = int(os.environ.get("VT_SEED") or time.time_ns() % (1 << 40))
rng = random.Random(seed)
failed = 0
def check(ok, what):
    global failed
    if not ok:
        failed += 1
        print("FAIL interop_hpack: %s (VT_SEED=%d)" % (what, seed))

def text(n):
    return bytes(rng.choice(b"abcdefghijklmnopqrstuvwxyz0123456789-_/=.;, %\"{}()ABCXYZ?&") for _ in range(n))
AGENT = b"Mozilla/5.0 (X11; Linux x86_64; rv:102.0) Gecko/20100101 Firefox/102.0"
def request():
    h = [(b":method", rng.choice([b"GET", b"GET", b"POST", b"PUT"])), (b":scheme", rng.choice([b"http", b"https"])),
         (b":authority", b"www.example.org"), (b":path", b"/" + text(rng.randrange(60))), (b"user-agent", AGENT),
         (b"accept", rng.choice([b"*/*", b"text/html", b"image/*;q=0.8"])), (b"accept-encoding", b"gzip, deflate")]
    h += [(b"cookie", text(rng.choice([5, 30, 200]))) for _ in range(rng.randrange(4))]
    if rng.randrange(3) == 0: h.append((b"authorization", b"Bearer " + text(40)))
    return h
def response():
    h = [(b":status", b"%d" % rng.choice([200, 200, 204, 206, 304, 404, 500, 201, 302, 418])),
         (b"date", b"Thu, 26 Nov 2026 08:00:%02d GMT" % rng.randrange(60)), (b"server", b"vthttp"),
         (b"content-type", rng.choice([b"text/html; charset=utf-8", b"image/png", b"application/json"])),
         (b"content-length", b"%d" % rng.randrange(100000))]
    if rng.randrange(2): h.append((b"set-cookie", b"id=" + text(30)))
    if rng.randrange(3) == 0: h.append((b"x-%s" % text(3).lower().replace(b":", b"-"), bytes(rng.randrange(256) for _ in range(rng.randrange(300)))))
    if rng.randrange(20) == 0: h.append((b"x-big", text(rng.choice([2000, 5000, 20000]))))
    return h

# The sizes that the peer may use before each block, the lowest of them in between, too.
stories = []
for i in range(int(os.environ.get("STORIES", 60))):
    make, blocks = rng.choice([request, response]), []
    for j in range(40):
        sizes = [rng.choice([0, 50, 200, 1000, 4096, 10000, 65536]) for _ in range(rng.randrange(1, 3))] if i % 2 and rng.randrange(6) == 0 else []
        blocks.append((sizes, make()))
    stories.append(blocks)

def ours(lines):
    r = subprocess.run([sys.argv[1]], input="\n".join(lines) + "\n", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    check(r.returncode == 0, "exit status %d: %s" % (r.returncode, r.stderr[-2000:]))
    return r.stdout.splitlines()

SECRET = (b"set-cookie", b"authorization")
for story in stories:
    # ours to theirs
    lines = []
    for sizes, block in story:
        lines += ["S %d" % s for s in sizes] + ["F %s %s" % (n.hex(), v.hex()) for n, v in block] + ["E"]
    coded = [bytes.fromhex(l[2:]) for l in ours(lines) if l.startswith("B")]
    d = Decoder(max_header_list_size=1 << 20)
    check(len(coded) == len(story), "%d blocks" % len(coded))
    for (sizes, block), c in zip(story, coded):
        for s in sizes: d.max_allowed_table_size = s
        try:
            got = d.decode(c, raw=True)
        except Exception as e:
            check(False, "what we encoded is refused: %r, block %s" % (e, c.hex()))
            break
        check([tuple(h) for h in got] == block, "what we encoded came out as %r, not %r" % (got, block))
        for h in got:
            if h[0] in SECRET: check(isinstance(h, NeverIndexedHeaderTuple), "%r may be indexed" % h[0])
    # theirs to ours
    e, lines = Encoder(), []
    for sizes, block in story:
        # It tells of every size that it was given; right are the lowest and the last (RFC 7541 4.2).
        for s in [min(sizes)] * (sizes[0] < sizes[-1]) + sizes[-1:] if sizes else []: e.header_table_size = s
        huffman = rng.randrange(4) > 0
        out = e.encode([NeverIndexedHeaderTuple(*h) if h[0] in SECRET else HeaderTuple(*h) for h in block], huffman=huffman)
        lines += ["S %d" % s for s in sizes] + ["B " + out.hex(), "E"]
    want = []
    for _, block in story:
        want += ["F %s %s %d" % (n.hex(), v.hex(), n in SECRET) for n, v in block] + ["E"]
    got = ours(lines)
    check(got == want, "what they encoded came out as %r" % (next(((a, b) for a, b in zip(got, want) if a != b), (len(got), len(want))),))
    if failed: break
print("%d stories, %d blocks each way" % (len(stories), sum(map(len, stories))))
print("%d passed, %d failed" % (failed == 0, failed))
sys.exit(failed > 0)
END
"$python" "$tmp/hpack_peer.py" "$tmp/hpack"
