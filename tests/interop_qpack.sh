#!/bin/sh
# variants: default asan clang openssl35
# QPACK with python3's pylsqpack (ls-qpack) on the other side: the static table, and stories from a seed (VT_SEED) in which each
# end encodes for the other, with encoder streams, sections and acknowledgements that are late. VT_PYTHON: another python3.
set -u
cd "$(dirname "$0")/.." || exit 2
name=interop_qpack
. tests/tools/interop.sh
python_with pylsqpack || none "no python3 with pylsqpack (PyPI: pylsqpack; Debian 13: python3-pylsqpack)"

# A line in, a line out; bytes in hex, "-" when there are none.
cat > "$tmp/qpack.c" << 'END_C'
#define VTHTTP_H3 1
#define VTHTTP_SIM 1
#define VTHTTP_STATIC 1
#define VTHTTP_IMPLEMENTATION
#include "vthttp.h"
enum { ROOM = 1 << 17 };
static vt__qpack_enc e;
static vt__qpack_dec d;
static vt__qpack_head w;
static uint64_t mem[ROOM / 8];
static uint8_t buf[ROOM], ins[ROOM], room[ROOM], *section;

static size_t unhex(void *to, const char *s) {
    size_t n = 0;
    unsigned v;
    while (sscanf(s + 2 * n, "%2x", &v) == 1) ((uint8_t *)to)[n++] = (uint8_t)v;
    return n;
}
static void put(const char *before, const void *p, size_t n) {
    printf("%s%s", before, n ? "" : "-");
    for (size_t i = 0; i < n; i++) printf("%02x", ((const uint8_t *)p)[i]);
}
static void fields(uint64_t stream, const uint8_t *p, size_t n) {
    vt__qpack_sec s;
    vt__hpack_field f;
    uint8_t out[VT__QPACK_INT_BYTES];
    int rc = vt__qpack_dec_begin(&d, &s, p, p + n);
    if (rc == 0) {
        printf("blocked\n");
        return;
    }
    if (rc > 0)
        while ((rc = vt__qpack_dec_next(&d, &s, room, ROOM, &f)) > 0)
            put("", f.name.ptr, f.name.len), put("=", f.value.ptr, f.value.len), printf(" ");
    if (rc < 0) printf("error %d\n", rc);
    else put("", out, vt__qpack_put_ack(&d, s.need, stream, out)), printf("\n");
}
/* "F name value": a field of the section that "B stream" has begun. */
static void encode(char *line) {
    static char name[ROOM], value[ROOM];
    char *second = strchr(line + 2, ' ');
    *second++ = 0;
    vt__hpack_field f = {{name, unhex(name, line + 2)}, {value, unhex(value, second)}, 0, 0};
    vt__hpack_name_check(&f);
    bool ok = vt__qpack_put(&w, f.id == VT__HPACK_F_PSEUDO ? 0 : f.id, f.name, f.value, 0);
    if (!ok) abort();
}
int main(void) {
    static char line[ROOM * 2];
    static uint8_t bytes[ROOM], out[VT__QPACK_INT_BYTES];
    unsigned a, b;
    while (fgets(line, sizeof line, stdin)) {
        const char *space = strrchr(line, ' ');
        size_t n = line[0] == 'I' || line[0] == 'S' || line[0] == 'A' ? unhex(bytes, space + 1) : 0;
        const uint8_t *p = bytes;
        uint64_t stream = strtoull(line + 1, NULL, 10);
        int rc = 0;
        switch (line[0]) {
        case 'T':
            for (int i = 0; i < VT__QPACK_STATIC_N; i++) {
                const vt__qpack_static *s = &vt__qpack_statics[i];
                put("", s->name, s->name_len), put("=", s->value, s->value_len), printf(" ");
            }
            printf("\n");
            break;
        case 'N': /* our encoder's peer, and our decoder, have tables of a, and b streams that wait */
            if (sscanf(line + 1, "%u %u", &a, &b) != 2) abort();
            vt__qpack_dec_free(&d), vt__qpack_dec_init(&d, a);
            vt__qpack_enc_init(&e, 1024), vt__qpack_enc_table(&e, mem), vt__qpack_enc_limit(&e, a, b);
            printf("ok\n");
            break;
        case 'B': vt__qpack_enc_begin(&e, &w, stream, buf, ROOM, ins, 1000); break;
        case 'F': encode(line); break;
        case 'E':
            n = vt__qpack_enc_end(&w, &section);
            put("", ins, w.ins_len), put(" ", section, n), printf("\n");
            break;
        case 'A':
            rc = vt__qpack_enc_recv(&e, p, p + n);
            printf(rc < 0 ? "error %d\n" : "ok\n", rc);
            break;
        case 'I':
            rc = vt__qpack_dec_insert(&d, &p, p + n, room);
            if (rc < 0) printf("error %d\n", rc);
            else put("", out, vt__qpack_put_increment(&d, out)), printf("\n");
            break;
        case 'S': fields(stream, p, n); break;
        case 'C': put("", out, vt__qpack_put_cancel(&d, stream, out)), printf("\n"); break;
        default: return 3;
        }
        fflush(stdout);
    }
    vt__qpack_dec_free(&d);
    return 0;
}
END_C
${VT_CC:-${CC:-cc}} -std=gnu11 ${VT_CFLAGS:--O1 -pthread} -I. -o "$tmp/qpack" "$tmp/qpack.c" || exit 2

cat > "$tmp/qpack_peer.py" << 'END_PY'
import os, random, subprocess, sys, time
from pylsqpack import Decoder, Encoder, StreamBlocked

seed = int(os.environ.get("VT_SEED") or time.time_ns() % (1 << 40))
rng = random.Random(seed)
failed = 0
def check(ok, what):
    global failed
    if not ok:
        failed += 1
        print("FAIL interop_qpack: %s (VT_SEED=%d)" % (what, seed))

us = subprocess.Popen([sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
def ask(line, answer=True):
    us.stdin.write(line + "\n")
    us.stdin.flush()
    return us.stdout.readline().strip() if answer else None
hexed = lambda b: b.hex() or "-"
raw = lambda s: b"" if s == "-" else bytes.fromhex(s)
def fields(text):
    return [tuple(raw(x) for x in f.split("=")) for f in text]

def text(n):
    return bytes(rng.choice(b"abcdefghijklmnopqrstuvwxyz0123456789-_/=.;, %\"{}()ABCXYZ?&") for _ in range(n))
AGENT = b"Mozilla/5.0 (X11; Linux x86_64; rv:102.0) Gecko/20100101 Firefox/102.0"
def request():
    h = [(b":method", rng.choice([b"GET", b"POST", b"PUT", b"OPTIONS"])), (b":scheme", b"https"),
         (b":authority", b"www.example.org"), (b":path", b"/" + text(rng.randrange(60))), (b"user-agent", AGENT),
         (b"accept", rng.choice([b"*/*", b"text/html"])), (b"accept-encoding", b"gzip, deflate, br")]
    h += [(b"cookie", text(rng.choice([5, 30, 200]))) for _ in range(rng.randrange(4))]
    if rng.randrange(3) == 0: h.append((b"authorization", b"Bearer " + text(40)))
    return h
def response():
    h = [(b":status", b"%d" % rng.choice([200, 200, 204, 206, 304, 404, 500, 201, 302, 418])),
         (b"date", b"Thu, 26 Nov 2026 08:00:%02d GMT" % rng.randrange(60)), (b"server", b"vthttp"),
         (b"content-type", rng.choice([b"text/html; charset=utf-8", b"image/png", b"text/x-%d" % rng.randrange(30)])),
         (b"content-length", b"%d" % rng.randrange(100000)), (b"vary", rng.choice([b"origin", b"x-%d" % rng.randrange(5)]))]
    if rng.randrange(2): h.append((b"set-cookie", b"id=" + text(30)))
    if rng.randrange(3) == 0: h.append((b"x-%d" % rng.randrange(4), bytes(rng.randrange(256) for _ in range(rng.randrange(200)))))
    return h

# Its static table is ours.
table = fields(ask("T").split())
check(len(table) == 99, "%d static entries" % len(table))
for i, want in enumerate(table):
    got = Decoder(0, 0).feed_header(0, b"\0\0" + (bytes([0xc0 | i]) if i < 63 else bytes([0xff, i - 63])))[1]
    check(got == [want], "static entry %d is %r, not %r" % (i, got, want))

def ours_to_theirs(cap, blocked, make):
    """Our sections, which may arrive before their inserts."""
    d, late, waiting, inserts = Decoder(cap, blocked), [], {}, 0
    check(ask("N %d %d" % (cap, blocked)) == "ok", "start")
    for stream in range(0, 400, 4):
        block = make()
        ask("B%d" % stream, False)
        for n, v in block: ask("F %s %s" % (n.hex(), v.hex()), False)
        ins, sec = map(raw, ask("E").split())
        late.append(ins)
        inserts += len(ins)
        if rng.randrange(3):
            unblocked, late = d.feed_encoder(b"".join(late)), []
        else:
            unblocked = []
        answers = b""
        try:
            control, got = d.feed_header(stream, sec)
            check(got == block, "what we encoded came out as %r, not %r" % (got, block))
            answers += control
        except StreamBlocked:
            waiting[stream] = block
        for s in unblocked:
            control, got = d.resume_header(s)
            want = waiting.pop(s)
            check(got == want, "what we encoded came out late as %r, not %r" % (got, want))
            answers += control
        check(len(waiting) <= blocked, "%d streams wait" % len(waiting))
        if waiting and hasattr(d, "cancel_stream") and rng.randrange(10) == 0: # Debian 13's has none
            s = rng.choice(list(waiting))
            answers += d.cancel_stream(s)
            del waiting[s]
        if answers: check(ask("A %s" % answers.hex()) == "ok", "their decoder stream")
    return inserts

def theirs_to_ours(cap, blocked, make):
    e, late, waiting = Encoder(), [], {}
    check(ask("N %d %d" % (cap, blocked)) == "ok", "start")
    late.append(e.apply_settings(cap, blocked))
    inserts = 0
    for stream in range(0, 400, 4):
        block = make()
        ins, sec = e.encode(stream, block)
        late.append(ins)
        inserts += len(ins)
        waiting[stream] = (block, sec)
        answers = b""
        if rng.randrange(3):
            whole, late = b"".join(late), []
            cut = rng.randrange(len(whole) + 1)
            for piece in (whole[:cut], whole[cut:]):
                got = ask("I %s" % hexed(piece))
                check("error" not in got, "their inserts: " + got)
                answers += raw(got)
        for s in list(waiting):
            block, sec = waiting[s]
            got = ask("S%d %s" % (s, sec.hex()))
            if got == "blocked": continue
            check("error" not in got, "their section: " + got)
            words = got.split()
            check(fields(words[:-1]) == block, "what they encoded came out as %r, not %r" % (words, block))
            answers += raw(words[-1])
            del waiting[s]
        check(len(waiting) <= blocked, "%d streams wait" % len(waiting))
        if rng.randrange(20) == 0 and waiting:
            s = rng.choice(list(waiting))
            answers += raw(ask("C%d" % s))
            del waiting[s]
        if answers: e.feed_decoder(answers)
    return inserts

stories = inserts = 0
for i in range(int(os.environ.get("STORIES", 16))):
    cap, blocked = rng.choice([(0, 0), (256, 10), (1024, 100), (4096, 100), (4096, 0), (200, 3)])
    make = rng.choice([request, response])
    inserts += ours_to_theirs(cap, blocked, make)
    inserts += theirs_to_ours(cap, blocked, make)
    stories += 1
    if failed: break
us.stdin.close()
check(us.wait() == 0, "our exit status is %s" % us.returncode)
check(inserts > 0, "nothing was inserted")
print("%d stories of 100 sections each way, %d bytes of inserts" % (stories, inserts))
print("%d passed, %d failed" % (failed == 0, failed))
sys.exit(failed > 0)
END_PY
"$python" "$tmp/qpack_peer.py" "$tmp/qpack"
