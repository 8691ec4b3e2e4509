/* A chat room: whatever one page says, all see. Open http://127.0.0.1:8080/ in several windows. -port=8080 ... */
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"

static const char page[] =
    "<!doctype html><title>chat</title><body style='font:16px sans-serif;max-width:40em;margin:2em auto'>"
    "<ul id=log></ul><form id=f><input id=t autofocus autocomplete=off> <button>say</button></form><script>\n"
    "const name = new URLSearchParams(location.search).get('name') || 'guest' + Math.floor(Math.random() * 1000);\n"
    "const ws = new WebSocket(location.href.replace(/^http/, 'ws').replace(/[^/]*$/, 'ws?name=' + encodeURIComponent(name)));\n"
    "const say = s => { const li = document.createElement('li'); li.textContent = s; log.append(li) };\n"
    "ws.onmessage = e => say(e.data);\n"
    "ws.onclose = e => say('closed: ' + e.code + ' ' + e.reason);\n"
    "f.onsubmit = e => { e.preventDefault(); if (t.value) ws.send(t.value); t.value = '' };\n"
    "</script>";

/* Everyone in the room has a queue of lines, which a virtual thread of his own sends: a slow reader delays nobody. */
typedef struct member {
    struct member *next;
    vt_ws *ws;
    vt_chan *lines;
} member;
typedef struct line {
    char text[600];
} line;
static member *room;
static vt_mutex lock; /* members are on all workers */

static void say(const line *l) {
    vt_mutex_lock(&lock);
    for (member *m = room; m; m = m->next)
        if (vt_chan_send_try(m->lines, l) == -EAGAIN) vt_chan_close(m->lines); /* 64 lines behind: out */
    vt_mutex_unlock(&lock);
}
static int deliver(void *arg) {
    member *me = arg;
    line l;
    while (vt_chan_recv(me->lines, &l) == 0)
        if (vt_ws_text(me->ws, l.text) < 0) return 0;
    return vt_ws_close(me->ws, 1008, "too slow");
}
/* Letters and digits alone: what goes out as text has to be UTF-8. */
static const char *name_of(const vt_req *req) {
    vt_str s = vt_req_query(req, "name");
    for (size_t i = 0; i < s.len; i++)
        if (!((s.ptr[i] | 0x20) >= 'a' && (s.ptr[i] | 0x20) <= 'z') && !(s.ptr[i] >= '0' && s.ptr[i] <= '9'))
            return "somebody";
    return s.len && s.len <= 40 ? s.ptr : "somebody";
}
static int chat(vt_ws *ws, vt_req *req) {
    vt_str text;
    const char *name = name_of(req); /* once: what a request tells is kept as long as it */
    member me = {NULL, ws, vt_chan_new(sizeof(line), 64, 0)}, **at;
    line l;
    int r = vt_scope_go(vt_req_scope(req), deliver, &me);
    vt_mutex_lock(&lock);
    me.next = room, room = &me;
    vt_mutex_unlock(&lock);
    for (const char *what = "is here"; r >= 0; what = text.ptr) {
        snprintf(l.text, sizeof l.text, "%s: %s", name, what);
        say(&l);
        if ((r = vt_ws_recv(ws, &text)) <= 0) break;
        if (r == VT_WS_BINARY) { /* any bytes, which are not to go out as text */
            r = vt_ws_close(ws, 1003, "text alone");
            break;
        }
    }
    vt_mutex_lock(&lock);
    for (at = &room; *at != &me; at = &(*at)->next) continue;
    *at = me.next;
    vt_mutex_unlock(&lock);
    vt_scope_close(vt_req_scope(req));
    vt_chan_free(me.lines);
    return r;
}
static int index_page(vt_req *req, vt_res *res) {
    (void)req;
    return vt_res_html(res, 200, page);
}

int main(int argc, char **argv) {
    vt_ws_cfg cfg = {.max_message = 500};
    vt_server *s = vt_server_from_args(&argc, argv);
    vt_server_get(s, "/", index_page);
    vt_server_ws(s, "/ws", chat, &cfg);
    return vt_server_run(s) < 0;
}
