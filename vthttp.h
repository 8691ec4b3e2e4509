/* vthttp.h - virtual threads for C, and an HTTP server on them, in one file.
 *
 * SPDX-License-Identifier: MIT     (the licence's text stands at the end of the file)
 *
 * Copy this file, include it where you need it, and define VTHTTP_IMPLEMENTATION before the include in exactly
 * one C file:
 *
 *     #define VTHTTP_IMPLEMENTATION
 *     #include "vthttp.h"
 *
 *     static int hello(vt_req *req, vt_res *res) {
 *         (void)req;
 *         vt_sleep_ms(100);                                // parks this virtual thread, not the OS thread
 *         return vt_res_text(res, 200, "Hello, World!");
 *     }
 *
 *     int main(int argc, char **argv) {
 *         vt_server *s = vt_server_from_args(&argc, argv); // takes -port=8080 -config=app.conf ... out of argv
 *         vt_server_get(s, "/", hello);
 *         return vt_server_run(s) < 0;                     // until SIGINT or SIGTERM; drains; says what went wrong
 *     }
 *
 *     cc -O2 app.c -o app
 *
 * Contents: PUBLIC, then IMPLEMENTATION. A section calls only itself and sections above it that its banner names,
 * so read upward: start at @srv and go up when curious. Search for a tag to jump.
 *
 * PUBLIC
 *   @api_opt    switches, version, linkage
 *   @api_err    error codes
 *   @api_base   strings, time, memory, log
 *   @api_rt     virtual threads
 *   @api_sync   locks
 *   @api_chan   channels, select
 *   @api_scope  scopes: children that end before their parent goes on
 *   @api_io     sockets, files
 *   @api_http   requests, responses, routes, servers
 *   @api_ws     WebSocket
 *   @api_client calling other services
 *   @api_tls    TLS: certificates, listeners, what a handler may know
 * IMPLEMENTATION
 *   @plat       libc, attributes, the table of system calls
 *   @mem        allocator, pools of blocks, arenas
 *   @str        slices, numbers, dates, base64, SHA-1
 *   @err        names and texts of error codes
 *   @ds         intrusive lists
 *   @log        messages
 *   @uri        percent-encoding, path segments, queries, authority
 *   @h1         HTTP/1.1 codec: request and response heads, field sections, chunked bodies, encoders
 *   @ws         WebSocket codec: frames, masks, UTF-8, close codes, handshake
 *   @ctx        context switch: assembly, ucontext, sanitizer hooks
 *   @stack      guarded stacks, caches, trimming, overflow reports
 *   @timer      hierarchical timing wheel
 *   @poll       reactor domains: epoll or poll, readiness, messages
 *   @sched      virtual threads, OS threads, domains
 *   @rt         start and end of the runtime; tasks: spawned, joined, stopped; counters
 *   @host       the runtime inside a program's own loop
 *   @self       what a virtual thread does to itself: yield, sleep, names, deadlines, local values, clean-ups
 *   @sync       mutex, condition, semaphore, wait group, once
 *   @chan       channels, select
 *   @scope      structured concurrency
 *   @block      a pool of OS threads for calls that block
 *   @file       files, by that pool
 *   @io         sockets: addresses, reading, writing, connecting, listening
 *   @unwind     return addresses of a stack, by unwind tables and frame pointers
 *   @dump       what every virtual thread is doing, written down
 *   @spare      OS threads that stand in for workers which stall
 *   @watch      the monitor: workers that stall, deadlocks, dumps on a signal
 *   @gdb        a debugger's commands: vt list, vt bt N, vt bt all (VTHTTP_GDB)
 *   @hooks      libc's blocking calls, made to park (VTHTTP_HOOKS)
 *   @router     routes: patterns, the tree of segments, lookup
 *   @req        request objects
 *   @res        response objects
 *   @http       routes and middleware of a server; one request from head to end
 *   @conn       one transport under every protocol: a byte stream that parks, with buffers
 *   @ossl       TLS as a machine in memory, by OpenSSL (VTHTTP_TLS)
 *   @tls        TLS over a connection
 *   @h1c        HTTP/1.1 connections
 *   @wsc        WebSocket connections
 *   @srv        servers: configuration, listeners, limits, drain
 *   @conf       configuration: arguments, environment, files
 *   @cli        calling other services: connections kept, calls (VTHTTP_CLIENT)
 */
#ifndef VTHTTP_H
#define VTHTTP_H

#if defined(VTHTTP_IMPLEMENTATION) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE 1 /* helps when this is the first header; not needed, see @plat */
#endif

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*==============================================================================
 * MARK: - @api_opt   switches, version, linkage
 *============================================================================*/

#define VTHTTP_VERSION "0.1.0"
#define VTHTTP_VERSION_NUMBER 100 /* major * 10000 + minor * 100 + patch */

/* Every switch is 0 or 1; set it on the compiler's command line, the same for every file of the program. */
#ifndef VTHTTP_HTTP
#define VTHTTP_HTTP 1 /* 0: virtual threads and sockets alone */
#endif
#ifndef VTHTTP_CLIENT
#define VTHTTP_CLIENT 1 /* 0: leaves vt_client and vt_call out */
#endif
#ifndef VTHTTP_POLL
#define VTHTTP_POLL 0 /* 1: poll(2) in place of epoll; the default off Linux */
#endif
#ifndef VTHTTP_UCONTEXT
#define VTHTTP_UCONTEXT 0 /* 1: ucontext in place of the assembly context switch */
#endif
#ifndef VTHTTP_TLS
#define VTHTTP_TLS 0 /* 1: TLS by OpenSSL 3.0 or later; link with -lssl -lcrypto */
#endif
#ifndef VTHTTP_HOOKS
#define VTHTTP_HOOKS 0 /* 1: libc's blocking calls in this program park the virtual thread that makes them */
#endif
#ifndef VTHTTP_WRAP
#define VTHTTP_WRAP                                                                                          \
    0 /* 1: with VTHTTP_HOOKS, in programs linked with -Wl,--wrap=getaddrinfo (static ones; musl) */
#endif
#ifndef VTHTTP_SIM
#define VTHTTP_SIM 0 /* 1: system calls go through a table of pointers that tests replace */
#endif
#ifndef VTHTTP_VALGRIND
#define VTHTTP_VALGRIND 0 /* 1: tell valgrind about stacks (needs valgrind/valgrind.h) */
#endif
#ifndef VTHTTP_GDB
#define VTHTTP_GDB 0 /* 1: the program's file holds gdb commands: vt list, vt bt N, vt bt all */
#endif
#ifndef VTHTTP_FPU_CONTROL
#define VTHTTP_FPU_CONTROL 0 /* 1: each virtual thread keeps floating-point control words of its own */
#endif
#ifndef VTHTTP_STATIC
#define VTHTTP_STATIC 0 /* 1: everything static, implementation private to the including file */
#endif

#ifndef VT_API
#if VTHTTP_STATIC
#define VT_API static __attribute__((unused))
#elif defined(__GNUC__) || defined(__clang__)
#define VT_API extern
#else
#error "vthttp.h needs gcc or clang"
#endif
#endif

#define VT_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

#ifdef __cplusplus
extern "C" {
#endif

/* Every file refers to a symbol that only an implementation of the same version and the same switches has: objects that
 * do not fit together do not link. Public structs are the same under every switch. */
#define VT__ABI_PASTE(version, http) vt_version_##version##_http_##http
#define VT__ABI_NAME(version, http) VT__ABI_PASTE(version, http)
#define VT__ABI VT__ABI_NAME(VTHTTP_VERSION_NUMBER, VTHTTP_HTTP)
#if !VTHTTP_STATIC
VT_API const char VT__ABI;
__attribute__((used)) static const char *const vt__abi = &VT__ABI;
#endif

/*==============================================================================
 * MARK: - @api_err   error codes
 *============================================================================*/

/* Results are >= 0 (success, a count); errors are < 0: -errno for the system's (-ECANCELED, -ETIMEDOUT, -ENOMEM,
 * ...), and the codes below. No function of this library sets or reads errno for its result. */
#define VT_ERRORS(X)                                                                                         \
    X(VT_ECLOSED, -10001, "closed by this program while in use")                                             \
    X(VT_EEOF, -10002, "the peer ended the stream before the expected end")                                  \
    X(VT_ESTOPPED, -10003, "the runtime or server is stopping")                                              \
    X(VT_ELIMIT, -10004, "a configured limit is reached")                                                    \
    X(VT_ENAME, -10005, "the host name does not resolve")                                                    \
    X(VT_ENAMETRY, -10006, "the host name does not resolve at the moment")                                   \
    X(VT_EADDR, -10007, "not a valid address (want host:port, :port, [v6]:port or unix:/path)")              \
    X(VT_ESTATE, -10008, "the call does not fit the object's state")                                         \
    X(VT_EHTTP, -10100, "malformed HTTP")                                                                    \
    X(VT_ETOOLARGE, -10101, "the body is over its limit")                                                    \
    X(VT_ETYPE, -10102, "the body has another content type")                                                 \
    X(VT_EFIELD, -10103, "not a valid field name or value")                                                  \
    X(VT_ESURPLUS, -10104, "more body than the declared length")                                             \
    X(VT_ESHORT, -10105, "less body than the declared length")                                               \
    X(VT_ENOTFOUND, -10106, "not found")                                                                     \
    X(VT_EBADREQ, -10107, "bad request")                                                                     \
    X(VT_EFORBIDDEN, -10108, "forbidden")                                                                    \
    X(VT_EROUTE, -10109, "not a valid route pattern, or defined twice")                                      \
    X(VT_EWSUPGRADE, -10120, "not a WebSocket handshake of version 13")                                      \
    X(VT_EWSCLOSED, -10121, "the WebSocket is closed, or closing")                                           \
    X(VT_EWSPROTO, -10122, "the peer broke the WebSocket protocol")                                          \
    X(VT_EWSTEXT, -10123, "the peer sent text that is not UTF-8")                                            \
    X(VT_EWSLARGE, -10124, "a message over its limit")                                                       \
    X(VT_EWSPONG, -10125, "the peer has not answered a ping")                                                \
    X(VT_EURL, -10130, "not a valid URL")                                                                    \
    X(VT_ESCHEME, -10131, "this build does not speak the URL's scheme (https: VTHTTP_TLS=1)")                \
    X(VT_EREDIRECT, -10132, "too many redirects, or one to nowhere")                                         \
    X(VT_EPROXY, -10133, "not a valid proxy, or it refused")                                                 \
    X(VT_EHEAD, -10134, "the response's head is over its limit")                                             \
    X(VT_EANSWERED, -10135, "the response came before the request's end")                                    \
    X(VT_ECONF, -10200, "bad configuration")                                                                 \
    X(VT_ETLS, -10300, "TLS failed, or the peer does not speak it")                                          \
    X(VT_ECERT, -10301, "a certificate is missing or not trusted")                                           \
    X(VT_ENOTLS, -10302, "built without TLS (VTHTTP_TLS=1)")

enum vt_err {
#define VT__ERR_ENUM(name, value, text) name = value,
    VT_ERRORS(VT__ERR_ENUM)
#undef VT__ERR_ENUM
};

/* A sentence for an error code (-errno or VT_E...). Never NULL; static storage or a per-thread buffer that the
 * next call on the same OS thread reuses. */
VT_API const char *vt_strerror(int err);
/* The code's name, such as "VT_ECLOSED" or "ECANCELED"; "?" when unknown. Static storage. */
VT_API const char *vt_err_name(int err);

/*==============================================================================
 * MARK: - @api_base   strings, time, memory, log
 *============================================================================*/

/* A slice of bytes. Slices handed to a handler are NUL-terminated as well; others need not be. A missing value
 * has ptr NULL; an empty one has ptr non-NULL and len 0. */
typedef struct vt_str {
    const char *ptr;
    size_t len;
} vt_str;

/* In configuration structs zero means "the default" and VT_NONE "none": no limit, no timeout. As a deadline
 * VT_NONE means "never". */
#define VT_NONE (-1)

/* Time is monotonic, in nanoseconds, from an arbitrary start. Deadlines are absolute times of that clock. What the two
 * values that are no times mean:
 *                                        0                            VT_NONE
 *   `until` of calls named _until,       none of its own: the         never: the virtual thread's does not
 *     of vt_wait_fd                        virtual thread's counts      count either
 *   vt_deadline, vt_deadline_set         none                         none (set)
 *   vt_scope_open                        none                         none
 *   vt_sleep_until                       in the past                  never (off a virtual thread: -EPERM)
 *   vt_case.at                           no case of time              a time that never comes
 *   vt_run_once                          does not wait                waits for ever
 *   vt_next_deadline                     at once                      never */
#define VT_MS INT64_C(1000000)
#define VT_SEC INT64_C(1000000000)

/* The monotonic clock, now, in nanoseconds. Any thread. */
VT_API int64_t vt_now(void);

enum vt_log_level { VT_LOG_DEBUG = 1, VT_LOG_INFO, VT_LOG_WARN, VT_LOG_ERROR, VT_LOG_OFF };

/* Where the library's messages go: standard error by default, from VT_LOG_INFO up. `fn` may be called on any OS
 * thread, must not park, and gets one line without its end. Set before vt_run. */
typedef void vt_log_fn(void *ctx, int level, const char *line);
VT_API void vt_log_set(vt_log_fn *fn, void *ctx, int min_level);
/* Writes one line to the log, printf-style. Any thread; lines over 1,000 bytes are cut. */
VT_API void vt_log(int level, const char *fmt, ...) VT_PRINTF(2, 3);

/* Memory comes from VTHTTP_REALLOC(ptr, size) and VTHTTP_FREE(ptr), realloc and free unless both are defined
 * before the implementation. They must be callable from any OS thread. */

/*==============================================================================
 * MARK: - @api_rt   virtual threads
 *============================================================================*/

#define VT__STR2(x) #x
#define VT__STR(x) VT__STR2(x)
#define VT_HERE __FILE__ ":" VT__STR(__LINE__)

/* The body of a virtual thread. Its result goes to vt_await; by convention >= 0 or a negative error. */
typedef int vt_fn(void *arg);

/* A joinable virtual thread, from vt_async. */
typedef struct vt_task vt_task;

typedef struct vt_cfg {
    int workers; /* OS threads that run virtual threads; default: CPUs of the affinity mask; at most 256; with vt_open
                    always one */
    size_t
        stack_bytes; /* usable stack of a virtual thread; default 64 KiB (256 KiB at -O0, more with sanitizers) */
    size_t guard_bytes;   /* inaccessible bytes below each stack; default 32 KiB */
    int64_t max_vthreads; /* live virtual threads, spawn fails with VT_ELIMIT above; default 1,000,000 */
    int max_blocking;     /* OS threads of the pool behind vt_blocking and name resolution; default 64 */
    int no_segv_handler; /* 1: install no SIGSEGV handler (it reports stack overflows, then passes the signal on) */
    int stall_ms; /* a worker that has not switched for so long is logged, with return addresses where they can be had
                     (who burns CPU is sent SIGURG for them, unless no_segv_handler; who sleeps is not disturbed);
                     default 20 (1,000 with sanitizers, valgrind); VT_NONE: none */
    int deadlock; /* default: virtual threads that nothing can wake are logged, once, unless the program has OS threads
                     of its own, which may be about to; 1: also then; VT_NONE: never. Not with vt_open */
    int max_spares; /* OS threads that stand in for workers that stall (see stall_ms): they go on with all that has not
                       begun on the stalled one. Made when needed; default 64, at most 256; VT_NONE: none. Linux; not
                       with vt_open */
} vt_cfg;

/* Fills in every default. Optional: a zeroed vt_cfg (or a NULL pointer) means the same. */
VT_API void vt_cfg_defaults(vt_cfg *cfg);

/* Runs `fn(arg)` on a virtual thread, with the calling OS thread as the first worker, and returns its result once
 * it and every other virtual thread has ended (vt_stop cancels them). One runtime at a time.
 * errors: -EBUSY a runtime is running; -EINVAL a bad field (logged with its name); -ENOMEM, -EAGAIN no threads. */
VT_API int vt_run(const vt_cfg *cfg, vt_fn *fn, void *arg);

/* Cancels every virtual thread, present and future, and lets vt_run return when they have ended. Any thread. */
VT_API void vt_stop(void);

/* Spawns a detached virtual thread on the caller's OS thread: plain data shared with it needs no lock between
 * parks. It runs at the caller's next park at the earliest and inherits the caller's deadline.
 * Off a virtual thread: on some worker. parks: never. errors: -ENOMEM, VT_ELIMIT, VT_ESTOPPED, -EPERM no runtime. */
#define vt_go(fn, arg) vt_go_at((fn), (arg), VT_HERE)
VT_API int vt_go_at(vt_fn *fn, void *arg, const char *site);
/* As vt_go, and an idle worker may take it: it runs in parallel with its parent. */
#define vt_go_any(fn, arg) vt_go_any_at((fn), (arg), VT_HERE)
VT_API int vt_go_any_at(vt_fn *fn, void *arg, const char *site);

/* Spawns a joinable virtual thread (on the caller's OS thread; vt_async_any: on any). Never NULL: on failure a
 * static task whose vt_await returns the error. owns: the caller, until vt_await succeeds or vt_task_free. */
#define vt_async(fn, arg) vt_async_at((fn), (arg), VT_HERE)
VT_API vt_task *vt_async_at(vt_fn *fn, void *arg, const char *site);
#define vt_async_any(fn, arg) vt_async_any_at((fn), (arg), VT_HERE)
VT_API vt_task *vt_async_any_at(vt_fn *fn, void *arg, const char *site);

/* Waits for the end of `t`, stores its function's result in *result (may be NULL), frees `t` and returns 0.
 * parks. errors: those of the spawn (the task is gone, too); -ECANCELED, -ETIMEDOUT: the *wait* ended and `t`
 * stays the caller's; -EPERM off a virtual thread; -EDEADLK awaiting oneself; -EBUSY somebody else waits. */
VT_API int vt_await(vt_task *t, int *result);
VT_API int vt_await_until(vt_task *t, int64_t until, int *result);
/* 1 when `t` has ended, else 0. Any thread that owns `t`. */
VT_API int vt_task_done(const vt_task *t);
/* Gives the handle up; the virtual thread runs on, detached. */
VT_API void vt_task_free(vt_task *t);
/* Asks `t` to stop: from now on each call of its that parks returns -ECANCELED, the one it is in included.
 * The owner of the handle, any thread. Sticky. */
VT_API void vt_cancel(vt_task *t);
/* Whether the calling virtual thread was asked to stop: 0 or -ECANCELED. */
VT_API int vt_cancelled(void);
/* While > 0 (calls nest, on: +1, off: -1, never below 0) the calling virtual thread ignores its cancellation and inherited
 * deadline, for clean-up that must run. */
VT_API void vt_shield(bool on);

/* Lets others run. parks. errors: -ECANCELED at once; -ETIMEDOUT once others have run, when the virtual thread's deadline is
 * over (to about a turn of all that are ready); -EPERM off a virtual thread. */
VT_API int vt_yield(void);
/* Sleeps. parks. Off a virtual thread the OS thread sleeps. errors: -ECANCELED, -ETIMEDOUT when the virtual
 * thread's deadline comes first. A negative duration is none; vt_sleep_until(VT_NONE) on a virtual thread ends by cancel or
 * deadline alone, and is -EPERM off one, where nothing would end it. */
VT_API int vt_sleep(int64_t ns);
VT_API int vt_sleep_ms(int64_t ms);
VT_API int vt_sleep_until(int64_t until);

/* The calling virtual thread's deadline, 0 when it has none: every call that has to wait ends with -ETIMEDOUT at it, or at
 * once when it is over, and so does vt_yield. What need not wait (a lock that is free, a value that is there) is done.
 * Children inherit it. Setting returns the one before. Calls named _until take a deadline of their own beside it:
 * 0 = none of its own, a time = whichever of both is earlier, VT_NONE = for this call the virtual thread's does
 * not count either. */
VT_API int64_t vt_deadline(void);
VT_API int64_t vt_deadline_set(int64_t until);

/* The calling virtual thread's name, "" when it has none, NULL off one. Names are copied, cut at 31 bytes, and
 * stand in reports. */
VT_API const char *vt_name(void);
VT_API void vt_name_set(const char *name);
/* 1 on a virtual thread, else 0. */
VT_API int vt_on_vthread(void);
/* Index of the OS thread of the runtime under the caller, or -1 off one: the workers from 0 on, behind them those that stand
 * in for a worker that stalls (vt_cfg.max_spares), so it may be over vt_cfg.workers. Always below vt_worker_count(). */
VT_API int vt_worker(void);
/* How many there may be in this runtime, for a table by vt_worker(): workers + max_spares, or fewer. Any thread; 0 without a
 * runtime. */
VT_API int vt_worker_count(void);

enum vt_events { VT_READ = 1, VT_WRITE = 2 };
/* Waits until `fd` (any pollable descriptor, not one owned by a vt_sock) is ready for one of `events`; returns the
 * ready ones (both on error or hang-up: try). parks. A descriptor that is closed meanwhile wakes nobody. errors: -ECANCELED,
 * -ETIMEDOUT, -EINVAL no events, -EBADF, -EBUSY another virtual thread of this OS thread waits for the same, -EPERM (a regular
 * file, or off a virtual thread), -ENOMEM, -EMFILE, -ENFILE, -ENOSPC (epoll_ctl(2)). */
VT_API int vt_wait_fd(int fd, int events, int64_t until);

/* Runs `fn(arg)` on a pool of OS threads and waits for its result, stored in *result (may be NULL).
 * parks. A function that has begun is waited for, cancel and deadline notwithstanding; one that waits in the queue
 * is withdrawn. errors: -ECANCELED, -ETIMEDOUT, VT_ELIMIT the queue is full, -EAGAIN no thread, -EPERM off a
 * virtual thread. */
VT_API int vt_blocking(vt_fn *fn, void *arg, int *result);

/* With VTHTTP_HOOKS=1 the program's own read, readv, recv, recvfrom, recvmsg, write, writev, send, sendto, sendmsg, connect,
 * accept, accept4, poll, ppoll, select, pselect, epoll_wait, epoll_pwait, sleep, usleep, nanosleep, clock_nanosleep and
 * getaddrinfo park the virtual thread that makes them, in client libraries as well, and keep POSIX's contract: errno,
 * O_NONBLOCK, MSG_*, SO_RCVTIMEO, SO_SNDTIMEO, SIGPIPE. Beyond it: ECANCELED for a cancelled virtual thread (which
 * non-blocking calls and files do not see), ETIMEDOUT past its deadline, EINTR for a sleep that either ended; a signal
 * ends a wait only where the call has a mask; EBADF, within 250 ms to 8 s, when the descriptor is closed meanwhile.
 * Off a virtual thread, in a forked child and in handlers on an alternate stack they are plain calls, except that they
 * are no cancellation points of pthread_cancel. */

/* Virtual-thread-local storage: at most VT_LOCAL_KEYS_MAX keys a program. A key's destructor (may be NULL) gets each
 * non-NULL value at its virtual thread's end. errors (create): VT_ELIMIT. */
#define VT_LOCAL_KEYS_MAX 16
VT_API int vt_local_key(void (*destroy)(void *value));
/* A key whose value children get: those that vt_go, vt_async and scopes spawn hold the pointer that their parent held
 * when it spawned them. The destructor runs for whoever set the value, not for those who inherited it: it must live as
 * long as they may use it. A spawn that has values to hand on needs memory for them, else -ENOMEM. */
VT_API int vt_local_key_inherit(void (*destroy)(void *value));
VT_API void *vt_local_get(int key);
VT_API int vt_local_set(int key, void *value); /* errors: -EINVAL no such key, -EPERM off a virtual thread */

/* At the calling virtual thread's end (in a request handler: when it has returned) `fn(arg)` runs on it, before its
 * locals' destructors and before anybody who waits for it goes on: the last one registered first, shielded (see
 * vt_shield). At most VT_DEFER_MAX at a time. errors: -ENOMEM, VT_ELIMIT: nothing is registered, the clean-up is
 * still the caller's; -EPERM off a virtual thread. */
#define VT_DEFER_MAX 120
VT_API int vt_defer(void (*fn)(void *arg), void *arg);

/* For programs with a loop of their own. vt_open starts a runtime of one worker that never runs by itself;
 * vt_run_once runs what is ready, waits for events until `until` at most (0: does not wait; VT_NONE: for ever; not
 * when the last virtual thread has just ended) and returns the number of live ones.
 * vt_poll_fd becomes readable when there are events (epoll; -ENOTSUP with poll, see vt_poll_fill);
 * vt_next_deadline is when vt_run_once wants to be called even without (0: at once, VT_NONE: never).
 * vt_shutdown cancels what lives, runs it to its end, frees the runtime and returns 0.
 * All on the OS thread that called vt_open, and vt_run_once, vt_next_deadline and vt_shutdown not from a virtual thread: else
 * they return -EPERM and do nothing, vt_next_deadline VT_ESTATE (-EPERM is VT_NONE's number).
 * errors (vt_open): -EBUSY a runtime is running; -EINVAL a bad field (logged with its name); -ENOMEM; -ENOTSUP in a forked child. */
VT_API int vt_open(const vt_cfg *cfg);
VT_API int vt_run_once(int64_t until);
VT_API int vt_poll_fd(void);
VT_API int64_t vt_next_deadline(void);
typedef struct vt_pollfd {
    int fd;
    int events; /* VT_READ, VT_WRITE */
} vt_pollfd;
/* Fills in at most `cap` descriptors that the program's own poll must watch; returns how many there are. errors: -EPERM, as
 * above; -ENOMEM. */
VT_API int vt_poll_fill(vt_pollfd *fds, int cap);
VT_API int vt_shutdown(void);

/* Counters since the start, summed over the workers. Any thread; approximate while it runs. */
typedef struct vt_stats {
    int64_t spawned, ended, switches, polls, wakes,
        steals; /* wakes: eventfd writes; steals: taken from another worker */
    int64_t stacks, timers_fired, timers_rearmed;
    int guard_kind; /* 0 none (canary), 1 mprotect, 2 lightweight guard regions */
    int64_t stalls,
        stalled_ns;   /* workers that did not switch for vt_cfg.stall_ms, and how long those lasted */
    int64_t handoffs; /* how often another OS thread took over for one (vt_cfg.max_spares) */
} vt_stats;
VT_API void vt_stats_get(vt_stats *out);

/* Writes down every live virtual thread, one line each: id (of those that live), name, state (running, ready, waiting,
 * starting: not begun), what it waits for, age since it began, deadline, spawn site, the scope it was spawned into and the id of
 * that scope's owner, bytes of stack (size, in use, the most that was touched since its memory was new), return addresses
 * where they can be had: as key=value, or with VT_DUMP_JSON as
 * one JSON document, in lines. `fn` gets each line without its end, on the calling OS thread. Any thread, virtual or not.
 * Each worker describes its own virtual threads, some hundred at a time, and runs on in between: not a snapshot.
 * One that does not answer within 250 ms is written down as such, with what it runs. Of those that have not begun 64
 * a worker are listed. Returns how many lines about virtual threads there were. parks (cancel and deadline do not
 * end it). errors: -EPERM no runtime; -ENOTSUP in a forked child; -EBUSY another dump is being written; -ENOMEM;
 * vt_dump: those of write (SIGPIPE, too); -EAGAIN the descriptor took nothing for 5 s. */
enum vt_dump_flags { VT_DUMP_JSON = 1, VT_DUMP_NO_TRACE = 2 /* without return addresses */ };
typedef void vt_dump_fn(void *ctx, const char *line);
VT_API int vt_dump(int fd, uint32_t flags);
VT_API int vt_dump_to(vt_dump_fn *fn, void *ctx, uint32_t flags);
/* From now until the runtime's end `sig` (SIGQUIT, say) writes a dump to standard error; what handled it before is called,
 * too, and comes back in the end, or by 0 in place of a signal, unless another has taken its place since. The handler only wakes an OS thread. Any thread.
 * errors: -EPERM no runtime; -EINVAL no such signal; -EBUSY another signal is set; -EAGAIN no thread. */
VT_API int vt_dump_on_signal(int sig);

/*==============================================================================
 * MARK: - @api_sync   locks
 *============================================================================*/

/* All are valid when zeroed, embedded where they are used, usable from virtual threads of any worker, and first
 * come first served. With VT_LOCAL in `flags` an object is for virtual threads of one OS thread and costs no
 * atomics; debug builds (no NDEBUG) stop a program that breaks that. Off a virtual thread what would wait returns
 * -EPERM. Freeing one while somebody waits on it is a bug of the program. */
enum vt_sync_flags { VT_LOCAL = 1 };

struct vt__waiter;
typedef struct vt__waitq {
    struct vt__waiter *head, *tail;
} vt__waitq;

typedef struct vt_mutex {
    uint32_t flags, spin, held, pad;
    vt__waitq q;
    void *owner;
} vt_mutex;
typedef struct vt_cond {
    uint32_t flags, spin;
    vt__waitq q;
} vt_cond;
typedef struct vt_sem {
    uint32_t flags, spin;
    int64_t count; /* initial permits */
    vt__waitq q;
} vt_sem;
typedef struct vt_wg {
    uint32_t flags, spin;
    int64_t count;
    vt__waitq q;
} vt_wg;
typedef struct vt_once {
    uint32_t flags, spin;
    int32_t state, pad;
    vt__waitq q;
} vt_once;

/* vt_mutex_lock always gets the lock (it is not cancellable and has no deadline): 0, or -EPERM off a virtual
 * thread, -EDEADLK held by the caller. The _until form can end with -ECANCELED or -ETIMEDOUT; try with -EBUSY.
 * Unlocking what the caller does not hold returns -EPERM. Hand-over is direct: no waiter starves. */
VT_API int vt_mutex_lock(vt_mutex *m);
VT_API int vt_mutex_lock_until(vt_mutex *m, int64_t until);
VT_API int vt_mutex_trylock(vt_mutex *m);
VT_API int vt_mutex_unlock(vt_mutex *m);

/* Unlocks `m`, waits for a signal, locks `m` again, whatever the result. errors: -ECANCELED, -ETIMEDOUT; -EPERM, at once,
 * when the caller does not hold `m`. A signal
 * that was received is never lost to a cancel. signal and broadcast: any thread. */
VT_API int vt_cond_wait(vt_cond *c, vt_mutex *m);
VT_API int vt_cond_wait_until(vt_cond *c, vt_mutex *m, int64_t until);
VT_API void vt_cond_signal(vt_cond *c);
VT_API void vt_cond_broadcast(vt_cond *c);

/* Takes one permit. release: any thread; fewer than one permit, or more than INT64_MAX of them in all, changes nothing and
 * returns -EINVAL. errors: -ECANCELED, -ETIMEDOUT; try: -EAGAIN. */
VT_API int vt_sem_acquire(vt_sem *s);
VT_API int vt_sem_acquire_until(vt_sem *s, int64_t until);
VT_API int vt_sem_try(vt_sem *s);
VT_API int vt_sem_release(vt_sem *s, int64_t permits);

/* Wait group: wait returns 0 once the count is 0. add/done: any thread; what would bring the count below 0, or over INT64_MAX,
 * changes nothing and returns -EINVAL. wait errors: -ECANCELED, -ETIMEDOUT, -EPERM. */
VT_API int vt_wg_add(vt_wg *g, int64_t n);
VT_API int vt_wg_done(vt_wg *g);
VT_API int vt_wg_wait(vt_wg *g);
VT_API int vt_wg_wait_until(vt_wg *g, int64_t until);

/* Runs `fn(arg)` in the first call; others wait for its end. A call whose fn fails (< 0) passes the error on and the
 * next call tries again. Returns 0 or the error. parks. errors of the wait: -ECANCELED, -ETIMEDOUT, -EPERM off a virtual
 * thread (once fn has run: 0). A call from within its own fn waits until cancel or deadline. */
VT_API int vt_once_do(vt_once *o, vt_fn *fn, void *arg);

/*==============================================================================
 * MARK: - @api_chan   channels, select
 *============================================================================*/

/* A queue of values of one size, copied in and out, first come first served on both sides. Any number of virtual
 * threads of any worker may send and receive; with VT_LOCAL in `flags` those of one OS thread, without atomics (see
 * vt_sync_flags). cap 0: a value goes from hand to hand, a send waits for its receiver; cap n: n values wait in
 * between; VT_NONE: as many as memory has room for, in blocks of about 2 KiB, so a send never waits. size 0: values
 * carry nothing. At most VT_CHAN_SIZE_MAX bytes a value. Never NULL: on failure a static channel whose calls return
 * the error (-ENOMEM, -EINVAL). owns: the caller, until vt_chan_free, when nobody uses it any more; NULL is ignored. */
#define VT_CHAN_SIZE_MAX 65536
typedef struct vt_chan vt_chan;
VT_API vt_chan *vt_chan_new(size_t size, int64_t cap, uint32_t flags);
VT_API void vt_chan_free(vt_chan *c);

/* Sends a copy of *value. 0: a receiver or the buffer has it; on any error nobody has. A value that was taken counts as
 * sent, cancel and deadline notwithstanding. parks (try: never; works off a virtual thread, too). errors: VT_ECLOSED, also
 * for who waits while it is closed; -ENOMEM unbounded; -ECANCELED, -ETIMEDOUT, -EPERM off a virtual thread; try:
 * -EAGAIN it would wait. */
VT_API int vt_chan_send(vt_chan *c, const void *value);
VT_API int vt_chan_send_until(vt_chan *c, const void *value, int64_t until);
VT_API int vt_chan_send_try(vt_chan *c, const void *value);
/* Receives into *value, which is written only with result 0. A closed channel gives what is buffered, then VT_ECLOSED;
 * else as above. */
VT_API int vt_chan_recv(vt_chan *c, void *value);
VT_API int vt_chan_recv_until(vt_chan *c, void *value, int64_t until);
VT_API int vt_chan_recv_try(vt_chan *c, void *value);
/* No more sends. Wakes everybody who waits. Any thread. errors: VT_ECLOSED it is closed already. */
VT_API int vt_chan_close(vt_chan *c);
/* How many values are buffered at the moment. Any thread. */
VT_API int64_t vt_chan_len(vt_chan *c);

/* One thing that vt_select may do; exactly one of recv, send, events, at is set (none: the case takes no part). */
typedef struct vt_case {
    vt_chan *recv; /* receive into *value */
    vt_chan *send; /* send *value */
    void *value;
    int fd,
        events; /* VT_READ, VT_WRITE: the descriptor is ready (any that vt_wait_fd takes; a file always is) */
    int64_t at; /* this time has come */
    int result; /* of the case that happened: 0, VT_ECLOSED the channel is closed, or the ready events */
} vt_case;
#define VT_SELECT_MAX 64

/* Waits until one of n <= VT_SELECT_MAX cases can happen, lets that one happen and no other, and returns its index.
 * Of several that can, each has the same chance. The same channel or descriptor may stand in several cases.
 * parks (try: never; works off a virtual thread, too). errors: -ECANCELED, -ETIMEDOUT (until, the virtual thread's
 * deadline): nothing happened; -EINVAL; -ENOMEM; -EBADF; -EBUSY another virtual thread waits for the same events of a
 * descriptor; -EPERM off a virtual thread; try: -EAGAIN. */
VT_API int vt_select(vt_case *cases, int n);
VT_API int vt_select_until(vt_case *cases, int n, int64_t until);
VT_API int vt_select_try(vt_case *cases, int n);

/*==============================================================================
 * MARK: - @api_scope   scopes: children that end before their parent goes on
 *============================================================================*/

/* A scope stands on its owner's stack. The virtual threads that are spawned into it have ended when vt_scope_wait or
 * vt_scope_close has returned, whatever the result: call one of them on every path before *s, or what the children
 * use, goes away. (A scope without a child needs neither.) */
enum vt_scope_flags {
    VT_SCOPE_KEEP =
        1, /* a child that fails (result < 0) leaves its siblings alone; default: they are cancelled */
    VT_SCOPE_FIRST =
        2 /* the first child that succeeds decides and the others are cancelled; failures are kept */
};
struct vt__scope_child;
typedef struct vt_scope {
    uint32_t flags, spin;
    int64_t live, until;
    int32_t error, won; /* the first error, 0 none; the winner's result, -1 none */
    uint32_t cancelled, pad;
    void *owner, *waiter, *winner;
    struct vt__scope_child *children;
} vt_scope;

/* Makes *s a scope of the calling virtual thread. until: a deadline that children inherit, beside that of the virtual
 * thread which spawns them; 0 or VT_NONE: none. errors: -EPERM off a virtual thread; -EINVAL unknown flags. */
VT_API int vt_scope_open(vt_scope *s, uint32_t flags, int64_t until);

/* Spawns a child into the scope, on the caller's OS thread (_any: on any worker). The owner, its children, or any virtual
 * thread that ends before the scope does. parks: never. errors: -ECANCELED the scope is cancelled or decided; -ENOMEM,
 * VT_ELIMIT, VT_ESTOPPED: count as a child's failure, so they are the scope's result, too; -EPERM off a virtual thread. */
#define vt_scope_go(s, fn, arg) vt_scope_go_at((s), (fn), (arg), VT_HERE)
VT_API int vt_scope_go_at(vt_scope *s, vt_fn *fn, void *arg, const char *site);
#define vt_scope_go_any(s, fn, arg) vt_scope_go_any_at((s), (fn), (arg), VT_HERE)
VT_API int vt_scope_go_any_at(vt_scope *s, vt_fn *fn, void *arg, const char *site);

/* Waits for all children. 0, or the first error of a child or spawn; with VT_SCOPE_FIRST the result of the first to
 * succeed, else the first error, VT_ESTATE when there was no child. When the owner is cancelled meanwhile, or its deadline
 * or the scope's passes, the children are cancelled, waited for nevertheless, and the result is -ECANCELED or
 * -ETIMEDOUT (unless one had succeeded first). After success the scope may be used further; once it has failed, was cancelled
 * or is decided, spawns into it return -ECANCELED. Owner only (else -EPERM). parks. */
VT_API int vt_scope_wait(vt_scope *s);
/* Cancels all children that live, present and future; does not wait. Any thread. */
VT_API void vt_scope_cancel(vt_scope *s);
/* Cancels what lives and waits for it, whether or not the owner is cancelled itself: for the way out. Returns as
 * vt_scope_wait, -ECANCELED when there was something to cancel and no error before. Owner only. parks. */
VT_API int vt_scope_close(vt_scope *s);
/* With VT_SCOPE_FIRST, after the wait: the `arg` of the first child to succeed, NULL when none did. */
VT_API void *vt_scope_winner(const vt_scope *s);

/*==============================================================================
 * MARK: - @api_io   sockets, files
 *============================================================================*/

/* A stream socket or listener. One virtual thread may read while another writes; two readers at once get -EBUSY.
 * Addresses are strings: "example.org:80", "127.0.0.1:0", "[::1]:8080", ":8080" (every address, v6 and v4),
 * "unix:/path" ("unix:@name" in Linux's abstract name space). Every call here parks unless it says otherwise and can
 * end with -ECANCELED, -ETIMEDOUT, VT_ECLOSED (vt_sock_close by another virtual thread), -EPERM off a virtual
 * thread. Descriptors are non-blocking and close-on-exec. */
typedef struct vt_sock vt_sock;

typedef struct vt_sock_cfg {
    int backlog;   /* listeners; default 1024 */
    int reuseport; /* listeners; 1: SO_REUSEPORT, for several processes on one port */
    int v6only;    /* listeners; 1: an IPv6 address takes no IPv4 */
    int delay;     /* 1: leave Nagle's algorithm on (default: TCP_NODELAY) */
    int unix_mode; /* listeners on a path; its permissions; default 0777 less the umask */
} vt_sock_cfg;

/* Connects; tries each address of the name in turn. owns: the caller, *out. errors: VT_EADDR, VT_ENAME,
 * VT_ENAMETRY, -ECONNREFUSED, ... of the last address tried. cfg may be NULL. */
VT_API int vt_dial(vt_sock **out, const char *addr, const vt_sock_cfg *cfg);
VT_API int vt_dial_until(vt_sock **out, const char *addr, const vt_sock_cfg *cfg, int64_t until);
/* Binds and listens. A stale socket file is replaced, a live one is -EADDRINUSE. Resolving a name may park, a
 * numeric address does not, and works off a virtual thread too. */
VT_API int vt_listen(vt_sock **out, const char *addr, const vt_sock_cfg *cfg);
/* Waits for the next connection. Survives what is temporary (ECONNABORTED, EMFILE with a pause). */
VT_API int vt_accept(vt_sock *listener, vt_sock **out);
VT_API int vt_accept_until(vt_sock *listener, vt_sock **out, int64_t until);
/* Takes over a connected stream socket; makes it non-blocking and close-on-exec. On error it stays the caller's. */
VT_API int vt_sock_from_fd_take(vt_sock **out, int fd);

/* Reads at most n bytes: > 0 what came, 0 at the end of the stream. */
VT_API int64_t vt_read(vt_sock *s, void *buf, size_t n);
VT_API int64_t vt_read_until(vt_sock *s, void *buf, size_t n, int64_t until);
/* Reads exactly n bytes: n, or VT_EEOF when the stream ends within, 0 when it ends before the first. */
VT_API int64_t vt_read_full(vt_sock *s, void *buf, size_t n);
/* Writes all: n, or an error (part may have gone). Never raises SIGPIPE. */
VT_API int64_t vt_write(vt_sock *s, const void *buf, size_t n);
VT_API int64_t vt_write_until(vt_sock *s, const void *buf, size_t n, int64_t until);
/* Writes all of the slices (at most 64), in order. */
VT_API int64_t vt_writev(vt_sock *s, const vt_str *parts, int count);
VT_API int64_t vt_writev_until(vt_sock *s, const vt_str *parts, int count, int64_t until);
/* Ends the sending half. Does not park. */
VT_API int vt_shutdown_write(vt_sock *s);
/* Closes; whoever waits on it gets VT_ECLOSED. Frees `s` once they have left. Does not park. NULL is ignored. */
VT_API void vt_sock_close(vt_sock *s);

/* The descriptor (still owned by s), and the addresses as "127.0.0.1:80", "[::1]:80", "unix:/path"; the text is
 * written to buf (VT_ADDR_MAX suffices), its length returned. Do not park; any thread that may use s. */
#define VT_ADDR_MAX 128
VT_API int vt_sock_fd(const vt_sock *s);
VT_API int vt_sock_local(const vt_sock *s, char *buf, size_t cap);
VT_API int vt_sock_peer(const vt_sock *s, char *buf, size_t cap);
/* The local port, 0 for Unix sockets. */
VT_API int vt_sock_port(const vt_sock *s);

/* Files: a disk makes an OS thread wait, so these go through the pool of vt_blocking; off a virtual thread they are made
 * right there. parks. errors: those of the system call; -EINVAL a negative offset, more bytes than a count can tell,
 * no string; those of vt_blocking: then nothing was done. One that has begun is waited for, cancel and deadline notwithstanding.
 * vt_file_open takes the flags and the mode of open(2), adds O_CLOEXEC, and returns a descriptor. owns: the caller. */
VT_API int vt_file_open(const char *path, int flags, int mode);
/* Reads n bytes from `off` on, fewer only where the file ends (or fails: the next call says how); 0 at its end. The
 * descriptor's own position does not count and does not move. */
VT_API int64_t vt_file_read(int fd, void *buf, size_t n, int64_t off);
/* Writes n bytes at `off`: n, or an error (part may have gone). */
VT_API int64_t vt_file_write(int fd, const void *buf, size_t n, int64_t off);
/* The data are on the disk when it has returned 0: fsync(2). */
VT_API int vt_file_sync(int fd);
/* Closes, in any case: a cancelled virtual thread's files, too, and without the pool where that is full. */
VT_API int vt_file_close(int fd);

#if VTHTTP_HTTP
/*==============================================================================
 * MARK: - @api_http   requests, responses, routes, servers
 *============================================================================*/

/* A request and its response belong to the virtual thread that runs the handler. Strings and slices that come out
 * of them are NUL-terminated and live until the handler returns. */
typedef struct vt_req vt_req;
typedef struct vt_res vt_res;
typedef struct vt_server vt_server;
typedef struct vt_route vt_route;
typedef struct vt_next vt_next;
typedef struct vt_stream vt_stream;

/* A handler returns 0, or a negative error: before the first byte of the response that becomes a status (see
 * vt_status_of), after it the client sees a truncated response. */
typedef int vt_handler(vt_req *req, vt_res *res);
/* Middleware: answers itself, or calls vt_next_run once and may act before and after it. */
typedef int vt_middleware(vt_req *req, vt_res *res, vt_next *next);
VT_API int vt_next_run(vt_next *next, vt_req *req, vt_res *res);
VT_API void *vt_next_ctx(const vt_next *next); /* the ctx that was given to vt_server_use or vt_route_use */

/* The status a handler's error turns into: 400 VT_EBADREQ VT_EHTTP VT_EEOF, 403 VT_EFORBIDDEN -EACCES, 404 VT_ENOTFOUND
 * -ENOENT, 413 VT_ETOOLARGE, 415 VT_ETYPE, 426 VT_EWSUPGRADE, 503 VT_ELIMIT VT_ESTOPPED -ECANCELED, 504 -ETIMEDOUT (the server makes it 408
 * when it was the body that stalled), else 500. */
VT_API int vt_status_of(int err);
/* The reason phrase of a status, "" when unknown (RFC 9110 15). */
VT_API const char *vt_status_text(int status);

/* --- request --- */
VT_API vt_str vt_req_method(const vt_req *req);      /* as sent: "GET" */
VT_API vt_str vt_req_target(const vt_req *req);      /* the request target as sent (RFC 9112 3.2) */
VT_API vt_str vt_req_path(const vt_req *req);        /* percent-decoded; a plus stays a plus */
VT_API vt_str vt_req_raw_path(const vt_req *req);    /* as sent */
VT_API vt_str vt_req_raw_query(const vt_req *req);   /* as sent, without '?'; ptr NULL without a query */
VT_API vt_str vt_req_segment(const vt_req *req);     /* last path segment, decoded */
VT_API int vt_req_version(const vt_req *req);        /* 10, 11 */
VT_API const char *vt_req_scheme(const vt_req *req); /* "http", "https" */
VT_API vt_str vt_req_host(const vt_req *req); /* host of the authority as sent, brackets kept, without port */
VT_API int vt_req_port(const vt_req *req);    /* port of the authority, or the scheme's default */
VT_API const char *vt_req_peer(
    const vt_req *req); /* "192.0.2.7:40312", of the connection, never of a field */
VT_API const char *vt_req_local(const vt_req *req);
VT_API int vt_req_keep_alive(const vt_req *req);

/* Query and form: the i-th value of a name, decoded, '+' as space; ptr NULL when there is none. vt_req_form
 * reads the body when first called (application/x-www-form-urlencoded; errors: VT_ETYPE, VT_ETOOLARGE, VT_EBADREQ, those
 * of the body) and gives 1 with *out set, or 0. */
VT_API vt_str vt_req_query(const vt_req *req, const char *name);
VT_API vt_str vt_req_query_at(const vt_req *req, const char *name, size_t i);
VT_API int vt_req_form(vt_req *req, const char *name, vt_str *out);
VT_API int vt_req_form_at(vt_req *req, const char *name, size_t i, vt_str *out);
/* The value of a route's {name}, decoded; ptr NULL when the route has none such. */
VT_API vt_str vt_req_param(const vt_req *req, const char *name);

/* Fields, names compared without case. vt_req_field: the value; several fields of one name come joined with ", "
 * (RFC 9110 5.3); ptr NULL without one. _at: the i-th. _nth: the n-th of all fields, in order; 1 or 0. */
VT_API vt_str vt_req_field(const vt_req *req, const char *name);
VT_API vt_str vt_req_field_at(const vt_req *req, const char *name, size_t i);
VT_API int vt_req_field_nth(const vt_req *req, size_t n, vt_str *name, vt_str *value);
/* For middleware: replaces all of a name (value NULL: removes them). Copied. errors: VT_EFIELD, -ENOMEM. */
VT_API int vt_req_field_set(vt_req *req, const char *name, const char *value);
/* The value of a cookie (RFC 6265 4.2), not decoded; ptr NULL without it. */
VT_API vt_str vt_req_cookie(const vt_req *req, const char *name);

/* The body. vt_req_body_length: what Content-Length declares, -1 for chunked, 0 without a body.
 * vt_req_read: streams it: > 0 bytes, 0 at its end. vt_req_body: all of it, NUL-terminated, in the request's memory, again
 * when called again. A first read answers Expect: 100-continue. What a handler leaves unread is drained.
 * parks. errors: VT_ETOOLARGE over the limit (becomes 413), VT_EEOF the client left early, -ETIMEDOUT it stalled, VT_EHTTP bad
 * chunks, -ECANCELED, VT_ESTATE whole after streaming began. */
VT_API int64_t vt_req_body_length(const vt_req *req);
VT_API int64_t vt_req_read(vt_req *req, void *buf, size_t n);
VT_API int vt_req_body(vt_req *req, vt_str *out);
/* For middleware: body reads go through `read` from now on; it gets the bytes below from vt_req_read_below. */
typedef int64_t vt_body_read(vt_req *req, void *ctx, void *buf, size_t n);
VT_API int vt_req_body_wrap(vt_req *req, vt_body_read *read, void *ctx);
VT_API int64_t vt_req_read_below(vt_req *req, void *buf, size_t n);
/* A trailer field of a chunked body, once it was read to its end. */
VT_API vt_str vt_req_trailer(const vt_req *req, const char *name);

/* The request's own scope (VT_SCOPE_KEEP): children that use the request's memory belong in it. Whatever of them still
 * lives when the handler returns is cancelled and waited for, before the request's memory goes; who wants their results
 * waits before (vt_scope_wait). Children of vt_go and vt_async are not the request's. NULL when out of memory. */
VT_API vt_scope *vt_req_scope(vt_req *req);
/* Memory that lives as long as the request; NULL when out of memory. Aligned for any type, not zeroed. */
VT_API void *vt_req_alloc(vt_req *req, size_t size);
VT_API const char *vt_req_printf(vt_req *req, const char *fmt, ...) VT_PRINTF(2, 3);
/* Contexts: of the server (vt_server_cfg.ctx), of the route, and values that middleware passes on, by key address. */
VT_API void *vt_req_ctx(const vt_req *req);
VT_API void *vt_req_route_ctx(const vt_req *req);
VT_API void *vt_req_get(const vt_req *req, const void *key);
VT_API int vt_req_set(vt_req *req, const void *key, void *value);

/* --- response --- */
/* Setters before the first byte return 0; afterwards VT_ESTATE. Bad names or values (CR, LF, NUL, controls): VT_EFIELD.
 * Content-Length, Transfer-Encoding, Connection and Date are the server's; setting them through vt_res_field gives
 * VT_EFIELD, but Connection: close, which is honoured, Date, which replaces the server's, and Content-Length, which acts as
 * vt_res_length. */
VT_API int vt_res_status(vt_res *res, int status);                         /* 200 .. 599; default 200 */
VT_API int vt_res_field(vt_res *res, const char *name, const char *value); /* replaces; value NULL removes */
VT_API int vt_res_field_add(vt_res *res, const char *name, const char *value); /* appends another */
VT_API vt_str vt_res_field_get(const vt_res *res, const char *name, size_t i); /* the i-th, or ptr NULL */
VT_API int vt_res_type(vt_res *res, const char *content_type);
typedef struct vt_cookie {
    const char *name, *value; /* a value with other bytes than RFC 6265's cookie-octets is percent-encoded */
    const char *path, *domain;
    int64_t max_age_s; /* 0: a session cookie; VT_NONE: expire it now */
    int secure, http_only;
    const char *same_site; /* "Lax", "Strict", "None" or NULL */
} vt_cookie;
VT_API int vt_res_cookie(vt_res *res, const vt_cookie *cookie);

/* Whole responses: status, Content-Type, body, at once; bytes are copied. vt_res_text adds charset=utf-8.
 * Return 0 or an error of the setters or of vt_res_write. */
VT_API int vt_res_send(vt_res *res, int status, const char *content_type, const void *body, size_t n);
VT_API int vt_res_text(vt_res *res, int status, const char *text);
VT_API int vt_res_html(vt_res *res, int status, const char *text);
VT_API int vt_res_json(vt_res *res, int status, const char *text);
VT_API int vt_res_printf(vt_res *res, int status, const char *fmt, ...) VT_PRINTF(3, 4); /* text/plain */
VT_API int vt_res_redirect(vt_res *res, int status, const char *location); /* 301 302 303 307 308 */
VT_API int vt_res_no_content(vt_res *res);                                 /* 204 */

/* Streamed responses: the first write sends the head. Without vt_res_length the body is chunked (to an HTTP/1.0
 * client: ended by close). Writes are gathered in a buffer and park while the client is slower: back-pressure. For
 * HEAD, 204 and 304 the bytes are counted and dropped. vt_res_write returns n. errors: VT_ESURPLUS over the declared
 * length (the response stays intact), -EPIPE or -ECONNRESET the client is gone, -ETIMEDOUT it does not read, -ECANCELED. */
VT_API int vt_res_length(vt_res *res, int64_t n);
VT_API int64_t vt_res_write(vt_res *res, const void *p, size_t n);
VT_API int vt_res_flush(vt_res *res); /* what is buffered goes out now, the head included */
VT_API int vt_res_trailer(vt_res *res, const char *name, const char *value); /* chunked only; else dropped */
VT_API int vt_res_end(vt_res *res); /* ends the body; done by itself after the handler */
/* An interim response (103 and the like, RFC 9110 15.2) with the fields `lines` ("Name: value\r\n" ...), or NULL. */
VT_API int vt_res_inform(vt_res *res, int status, const char *lines);
VT_API int vt_res_sent(const vt_res *res); /* 1 once the head is fixed */
VT_API int vt_res_status_get(const vt_res *res);
VT_API int64_t vt_res_bytes(const vt_res *res); /* body bytes accepted so far */

/* Answers 101 with Upgrade: `protocol` and turns the connection into a stream of bytes, the handler's until it
 * returns. errors: VT_ESTATE not asked for, or HTTP/1.0. Reads and writes as vt_read, vt_write; one virtual thread may read
 * while another of the same OS thread (vt_go, vt_async) writes. */
VT_API int vt_res_upgrade(vt_res *res, const char *protocol, vt_stream **out);
VT_API int64_t vt_stream_read(vt_stream *st, void *buf, size_t n);
VT_API int64_t vt_stream_write(vt_stream *st, const void *buf, size_t n);
VT_API int vt_stream_shutdown(vt_stream *st); /* ends the sending half */

/* --- server --- */
/* Zero means the default; VT_NONE no limit or no timeout. Times in milliseconds. */
typedef struct vt_server_cfg {
    const char *host;    /* "-host=": address of the first listener; default every address */
    int port;            /* "-port=": default 8080; VT_NONE: any free one (the argument -port=0) */
    const char *addr;    /* in place of both: "127.0.0.1:0", "unix:/path" */
    int workers;         /* "-workers=": default CPUs of the affinity mask */
    int64_t stack_bytes; /* of each virtual thread; default as vt_cfg */
    int stall_ms;        /* as in vt_cfg, like the next two; for vt_server_run */
    int max_spares;      /* OS threads that stand in for workers whose handlers block them */
    int deadlock;
    int64_t max_connections;    /* default 100,000; at it accepting stops */
    int64_t max_vthreads;       /* default 1,000,000; at it connections with input wait in a queue: */
    int64_t max_queued;         /* at most so many, else 503 with Retry-After; default 1,024; VT_NONE: none */
    int64_t queue_timeout_ms;   /* so long, then 503; default 1,000 */
    int64_t max_header_bytes;   /* header section, each field name + value + 32; default 16 KiB; 431 */
    int max_header_count;       /* fields; default 1,000; 431 */
    int64_t max_request_line;   /* default 8 KiB; 414 */
    int64_t max_body;           /* request body; default 1 MiB; per route vt_route_max_body; 413 */
    int64_t max_chunk_line;     /* chunk size and extensions; default 256 */
    int64_t max_trailer_bytes;  /* default 8 KiB */
    int64_t max_drain;          /* unread body bytes read and dropped to keep a connection; default 1 MiB */
    int64_t max_keep_alive;     /* requests on one connection; default none */
    int64_t header_timeout_ms;  /* from the first byte (or accept) to the head's end; default 10,000; 408 */
    int64_t body_timeout_ms;    /* a body read without a byte; default 20,000; 408 */
    int64_t min_body_rate;      /* bytes/s of a body, averaged after the first 10 s; default 64; 408 */
    int64_t write_timeout_ms;   /* a write without progress; default 20,000 */
    int64_t idle_timeout_ms;    /* between requests; default 60,000 */
    int64_t handler_timeout_ms; /* a handler's deadline; default none; 504 */
    int64_t grace_ms;           /* drain on stop; default 10,000 */
    int retry_after_s;          /* in 503; default 1 */
    int backlog;                /* default 1024 */
    int reuseport;              /* 1: SO_REUSEPORT */
    int cancel_on;              /* enum vt_cancel_on: when a client is gone its handler is cancelled */
    int no_signals;             /* 1: vt_server_run leaves SIGINT and SIGTERM alone */
    int ssl_port;         /* "-sslPort=": a listener that speaks TLS, on `host`; default 8443 when there is a
                                   certificate, else none; VT_NONE: any free one. For more see vt_server_listen_tls */
    const char *ssl_cert; /* "-sslCert=": PEM file, the certificate and its chain */
    const char *ssl_key;  /* "-sslKey=": PEM file; default: the key stands in ssl_cert */
    const char *ssl_key_password_file; /* "-sslKeyPasswordFile=": of an encrypted key; its first line */
    const char *ssl_client_ca; /* "-sslClientCA=": PEM file; clients need a certificate that it has signed */
    int ssl_min_version;       /* 12 (TLS 1.2, the default) or 13 */
    int ssl_only;              /* 1: no plain listener: host, port and addr are not used */
    int ssl_redirect;          /* 1: plain HTTP on the TLS port gets 308 to https, not 400 */
    int reload_on_hup; /* 1: at SIGHUP vt_server_run reads the certificates anew (vt_server_tls_reload) */
    int no_date;       /* 1: no Date field */
    const char *server_name;                     /* value of the Server field; default none */
    void *ctx;                                   /* vt_req_ctx */
    int (*on_start)(vt_server *s, void *ctx);    /* before listening, once; < 0 fails the start */
    void (*on_ready)(vt_server *s, void *ctx);   /* connections are accepted; vt_server_port says where */
    void (*on_stopped)(vt_server *s, void *ctx); /* all is drained */
    void (*on_response)(vt_req *req, vt_res *res, void *ctx,
                        int err); /* once a request, when all is sent or given up */
} vt_server_cfg;
enum vt_cancel_on { VT_CANCEL_RESET = 0, VT_CANCEL_FIN = 1, VT_CANCEL_NEVER = 2 };

/* Fills in every default (zero means the same). */
VT_API void vt_server_cfg_defaults(vt_server_cfg *cfg);
/* Never NULL; setters on a server that failed do nothing and return its first error, vt_server_run reports it.
 * Strings of cfg are copied. */
VT_API vt_server *vt_server_new(const vt_server_cfg *cfg);
/* As vt_server_new, configured by environment and arguments over *cfg's values (vt_server_from_args: over none): low to
 * high: -config=FILE (repeatable, later wins; lines "key = value"), VTHTTP_KEY in the environment, -P:key=value, -port= and
 * the like. Known arguments are taken out of argv, others left ("--" ends ours). A bad or unknown key is an error
 * that names it and where it stands. */
VT_API vt_server *vt_server_from_args(int *argc, char **argv);
VT_API vt_server *vt_server_from_args_cfg(int *argc, char **argv, const vt_server_cfg *cfg);
VT_API void vt_server_free(vt_server *s); /* not while it runs: then it is left alone, and the log says so */
VT_API int vt_server_error(const vt_server *s);              /* the first error, or 0 */
VT_API const char *vt_server_error_text(const vt_server *s); /* and what it says */

/* Routes. Pattern: "/", "/users/{id}", "/files/{rest...}" (the tail, slashes included). Literal segments win over
 * parameters, those over tails. GET serves HEAD too; OPTIONS answers by itself; another method on a known path gets 405 with
 * Allow. Never NULL. Routes and middleware are fixed once the server runs. */
VT_API vt_route *vt_server_handle(vt_server *s, const char *method, const char *pattern, vt_handler *h);
VT_API vt_route *vt_server_get(vt_server *s, const char *pattern, vt_handler *h);
VT_API vt_route *vt_server_post(vt_server *s, const char *pattern, vt_handler *h);
VT_API vt_route *vt_server_put(vt_server *s, const char *pattern, vt_handler *h);
VT_API vt_route *vt_server_delete(vt_server *s, const char *pattern, vt_handler *h);
VT_API vt_route *vt_server_any(vt_server *s, const char *pattern, vt_handler *h); /* every method */
VT_API int vt_route_ctx(vt_route *r, void *ctx);
VT_API int vt_route_max_body(vt_route *r, int64_t bytes); /* VT_NONE: none */
VT_API int vt_route_timeout_ms(vt_route *r, int64_t ms);  /* the handler's deadline */
VT_API int vt_route_use(vt_route *r, vt_middleware *mw, void *ctx);
VT_API int vt_server_use(vt_server *s, vt_middleware *mw,
                         void *ctx); /* around every request, also unrouted ones */
/* Makes the body of an error response that nobody wrote (status 0: any); the status is set and kept. Not for a head that
 * does not parse (400, 431, 505 and the like): there is no request to hand to it. */
VT_API int vt_server_error_page(vt_server *s, int status, vt_handler *h);

/* Adds a listener beside the configured one. errors: VT_EADDR when it starts. */
VT_API int vt_server_listen(vt_server *s, const char *addr);
/* Starts the runtime and serves until vt_server_stop, SIGINT or SIGTERM; then drains. 0, or the first error, reported in
 * the log; -ETIMEDOUT when requests outlived grace_ms: they are named in the log and cancelled, and those that heed no
 * cancel are waited for all the same, since they use the server. A second signal ends the program at once. */
VT_API int vt_server_run(vt_server *s);
/* The same inside a runtime of the program's: start returns when connections are accepted; wait returns when the server
 * has drained after vt_server_stop, with what vt_server_run would return. parks. errors: those of the start; -EPERM off a
 * virtual thread; VT_ESTATE it runs already (start), was never started (wait); -ECANCELED, and -ETIMEDOUT at the caller's
 * own deadline, end the wait alone. */
VT_API int vt_server_start(vt_server *s);
VT_API int vt_server_wait(vt_server *s);
/* Stops accepting, closes idle connections, lets requests finish. Returns at once. Any thread, signal handlers too. */
VT_API void vt_server_stop(vt_server *s);
/* The resolved port of the i-th listener (0 for a Unix socket), -1 when there is none or not yet. */
VT_API int vt_server_port(const vt_server *s, int i);
typedef struct vt_server_stats {
    int64_t accepted, open, parked, requests, refused, bad_requests, timeouts;
    int64_t queued, waiting; /* how often a connection waited for a virtual thread; how many do now */
} vt_server_stats;
VT_API void vt_server_stats_get(const vt_server *s, vt_server_stats *out);

/*==============================================================================
 * MARK: - @api_ws   WebSocket (RFC 6455)
 *============================================================================*/

/* A WebSocket is one handler's until it returns; then it is closed (1000; 1011 when the handler fails) and gone. Any virtual
 * thread of any worker may send meanwhile: sends do not mix, and wait while the peer is slow. One at a time receives, on the
 * OS thread of the handler (vt_go, vt_async, vt_scope_go), and what is received answers pings, sends those of ping_ms
 * and finishes closing. While nobody has received for a second, sends on that OS thread answer pings and a close frame, as
 * far as no message that nobody receives stands before them; pings of ping_ms they do not send. What the handler sends is
 * gathered and goes out when it waits, in vt_ws_flush, or when 16 KiB are full, and until then others wait; what they send
 * goes out at once. A client that is gone cancels the handler where it waits; a server that stops closes with 1001, and
 * cancels it, too. */
typedef struct vt_ws vt_ws;
enum vt_ws_type { VT_WS_TEXT = 1, VT_WS_BINARY = 2 };

/* Zero means the default, VT_NONE none. Times in milliseconds. */
typedef struct vt_ws_cfg {
    const char
        *protocols; /* subprotocols that are spoken, the best first: "chat.v2, chat.v1"; default none */
    const char *
        origins; /* whose pages may connect: "https://a.example, https://b.example", "*": all; default: of the
                              host that is asked. Requests without Origin come from no page. */
    int (*origin)(vt_req *req, vt_str origin); /* in place of that list: 0, or an error that refuses */
    const char *fields;                        /* lines for the answer, "Name: value\r\n" each */
    int64_t max_message; /* payload bytes of a message; default 1 MiB; else closed with 1009 */
    int64_t max_frame;   /* of a frame; default as max_message */
    int64_t ping_ms;     /* a ping when nothing came for so long; default 30,000 */
    int64_t pong_ms;     /* and for its answer, or anything; default 20,000; else closed with 1011 */
    int64_t
        close_ms; /* for the answer to a close frame; default 3,000; VT_NONE: the end does not wait for it */
} vt_ws_cfg;

/* Serves a GET route: the handler runs once the handshake is done. It returns 0, or an error that is logged when it is not
 * the client's. Other requests get 426, those with a bad key 400, from other origins 403. The strings of cfg (which may be
 * NULL) are copied. */
typedef int vt_ws_handler(vt_ws *ws, vt_req *req);
VT_API vt_route *vt_server_ws(vt_server *s, const char *pattern, vt_ws_handler *h, const vt_ws_cfg *cfg);
/* The same in a handler of a GET route: answers 101, with the fields that were set. cfg lives until it returns. On an error
 * nothing is sent: return it, and it becomes the right status. Strings of the request that were handed out before keep its
 * block of 16 KiB. errors: VT_EWSUPGRADE (426), VT_EBADREQ (400), VT_EFORBIDDEN (403), VT_ESTATE, VT_ESTOPPED, -EINVAL a
 * bad cfg, -ENOMEM, those of the wire. */
VT_API int vt_ws_accept(vt_req *req, vt_res *res, const vt_ws_cfg *cfg, vt_ws **out);

/* Waits for a whole message: its type, with *msg in the WebSocket's memory, NUL-terminated, until the next call that
 * receives; 0 when the peer has closed. parks. errors: VT_EEOF the connection ended without a close frame, or none came in
 * close_ms after this end's; VT_EWSPROTO, VT_EWSTEXT, VT_EWSLARGE: what the peer did, and is told; VT_EWSPONG; VT_ESTOPPED the
 * server stops; those of sockets. Nothing is lost, and another call goes on, after -ETIMEDOUT, -ECANCELED, -ENOMEM, -EBUSY
 * somebody else receives, VT_ESTATE a message of vt_ws_next is not at its end. -EPERM off a virtual thread. */
VT_API int vt_ws_recv(vt_ws *ws, vt_str *msg);
VT_API int vt_ws_recv_until(vt_ws *ws, vt_str *msg, int64_t until);
/* The same for messages larger than memory: next waits for one to begin and gives its type (skipping what is left of the one
 * before), read gives its bytes, > 0, and 0 at its end; VT_EEOF when the peer closes within. Text is checked. max_message
 * holds. VT_ESTATE: read without next. */
VT_API int vt_ws_next(vt_ws *ws);
VT_API int64_t vt_ws_read(vt_ws *ws, void *buf, size_t n);

/* Sends a message; text has to be UTF-8, which is not looked at. 0. parks. errors: VT_EWSCLOSED a close frame was sent, by
 * this end or in answer; VT_ESTOPPED; -EINVAL no such type; -EPIPE, -ECONNRESET; -ETIMEDOUT the peer does not read; -ENOMEM;
 * VT_ESTATE the caller is between begin and end; -EPERM off a virtual thread. A send that is cancelled or late while it waits
 * for others has done nothing; halfway it leaves a torn frame: nothing is sent any more, and every call says why. There is
 * no _try form, as what has begun has to go out whole: a queue for each slow peer takes its place (examples/chat.c). */
VT_API int vt_ws_send(vt_ws *ws, int type, const void *p, size_t n);
VT_API int vt_ws_send_until(vt_ws *ws, int type, const void *p, size_t n, int64_t until);
VT_API int vt_ws_text(vt_ws *ws, const char *text);
/* The same in fragments, one for each write; the messages of others wait from begin to end. write returns n. Who has begun
 * ends it, whatever happens, or closes: end is not cancelled. VT_ESTATE: write or end without begin. */
VT_API int vt_ws_begin(vt_ws *ws, int type);
VT_API int64_t vt_ws_write(vt_ws *ws, const void *p, size_t n);
VT_API int vt_ws_end(vt_ws *ws);
/* What is gathered goes out now. parks. errors: as vt_ws_send, but none once a close frame was sent. */
VT_API int vt_ws_flush(vt_ws *ws);
/* A ping of at most 125 bytes (else -EINVAL). Its pong is not reported. parks. errors: as vt_ws_send. */
VT_API int vt_ws_ping(vt_ws *ws, const void *p, size_t n);
/* Sends a close frame, once: code 0: 1000; 1000 to 1003, 1007 to 1014, 3000 to 4999, or VT_NONE for none; reason (UTF-8, or NULL)
 * cut to 123 bytes between characters. Receiving goes on, to the peer's answer. parks. errors: as vt_ws_send; -EINVAL. */
VT_API int vt_ws_close(vt_ws *ws, int code, const char *reason);
/* What the peer closed with: 0 not yet, 1005 no code, 1006 no close frame before the end; and its reason, "" without one.
 * On the OS thread that receives. lives: as long as the WebSocket. */
VT_API int vt_ws_close_code(const vt_ws *ws);
VT_API const char *vt_ws_close_reason(const vt_ws *ws);
/* The subprotocol that was agreed on; len 0: none. */
VT_API vt_str vt_ws_protocol(const vt_ws *ws);

/*==============================================================================
 * MARK: - @api_client   calling other services
 *============================================================================*/

/* A client keeps connections to the services it calls and may be used by any number of virtual threads of any worker.
 * One for the whole program is usual; it may outlive a runtime. */
typedef struct vt_client vt_client;
/* One call: a request and its response. It belongs to the virtual thread that made it, or to others of the same OS thread
 * in turn. Memory and slices that come out of it live until vt_call_free, and are NUL-terminated. */
typedef struct vt_call vt_call;

/* Zero means the default; VT_NONE no limit or no timeout. Times in milliseconds. */
typedef struct vt_client_cfg {
    int max_connections;         /* busy and idle; at it calls wait for one to be given back; default 256 */
    int max_connections_host;    /* of these to one address; default 64 */
    int max_idle;                /* kept for later calls; default 64; VT_NONE: none */
    int max_idle_host;           /* of these to one address; default 16 */
    int64_t idle_timeout_ms;     /* kept no longer, closed at the client's next use; default 30,000 */
    int64_t connect_timeout_ms;  /* with look-up and the wait for a place; default 10,000 */
    int64_t timeout_ms;          /* a whole call, to the response's last byte; default none */
    int64_t read_timeout_ms;     /* a response's head; then, body bytes that do not come; default 30,000 */
    int64_t write_timeout_ms;    /* a write without progress; default 30,000 */
    int64_t continue_timeout_ms; /* vt_call_expect: how long 100 (Continue) is waited for; default 1,000 */
    int64_t max_response_line;   /* status line; default 8 KiB */
    int64_t max_header_bytes;    /* header section, each field name + value + 32; default 64 KiB */
    int max_header_count;        /* fields; default 256 */
    int64_t max_trailer_bytes;   /* default 8 KiB */
    int64_t max_body;            /* of vt_call_whole and what uses it; default 16 MiB */
    int max_redirects;           /* followed; default 10; VT_NONE: none is */
    const char
        *proxy; /* "http://proxy.example:3128"; "": none; NULL: of the environment http_proxy, for https
                          https_proxy. https and WebSockets go through it by CONNECT */
    const char *no_proxy; /* "a.example, .b.example, *": asked without it; NULL: the environment's */
    /* https (VTHTTP_TLS=1). Servers are verified: their certificate is trusted, in time, and the URL's host's. */
    const char *tls_ca_file, *tls_ca_pem; /* whom to trust, instead of the system's store (not beside it) */
    const struct vt_tls_cert *tls_cert; /* what servers are shown that ask for a certificate; default none */
    int tls_min_version;                /* 12 (TLS 1.2, the default) or 13 */
    int tls_no_verify; /* 1: whoever answers is believed, so nothing is kept from who sits between; for tests */
} vt_client_cfg;

/* Fills in every default (zero means the same). */
VT_API void vt_client_cfg_defaults(vt_client_cfg *cfg);
/* Never NULL; calls of a client that failed (out of memory, a bad proxy, VT_ECONF files for TLS that the log names) return
 * its error. cfg may be NULL; its strings are copied, files read: at once where cfg names them, the system's store of
 * certificates at the first call that needs it. Any thread. owns: the caller, until vt_client_free, when none of its calls lives any more. */
VT_API vt_client *vt_client_new(const vt_client_cfg *cfg);
VT_API void vt_client_free(vt_client *c);
/* Closes what is idle. errors: -EPERM off a virtual thread. */
VT_API int vt_client_close_idle(vt_client *c);

/* The common case: the whole exchange, redirects followed, the body in memory, at most max_body of it. Never NULL:
 * vt_call_status has the status or the error. owns: the caller, until vt_call_free. parks.
 *
 *     vt_call *r = vt_client_get(client, "http://stock.example/items/7");
 *     if (vt_call_status(r) == 200) puts(vt_call_text(r).ptr);
 *     vt_call_free(r);
 */
VT_API vt_call *vt_client_get(vt_client *c, const char *url);
VT_API vt_call *vt_client_post(vt_client *c, const char *url, const char *type, const void *body, size_t n);

/* The long form: make a call, set what it needs, send it, read.
 * A call keeps its first error, which all later ones return; a failed call's connection is closed. errors of all that
 * parks: VT_EURL, VT_ESCHEME, VT_EPROXY, VT_EEOF the peer closed before the end, VT_EHTTP malformed response (the log's
 * debug level says how), VT_EHEAD its head is over a limit, VT_ECERT the server's certificate is not trusted or another
 * host's, VT_ETLS no TLS, or it failed (a client certificate is wanted), -ETIMEDOUT, -ECANCELED, those of vt_dial, -ECONNRESET, -EPIPE.
 * A request that fails on a connection from the pool before a byte of the response came is sent again, once and on a new
 * one, if the method is idempotent or nothing was sent, and if its body can be had again. */
VT_API vt_call *vt_call_new(vt_client *c, const char *method, const char *url);
/* Ends it at any point. What is unread of the response closes the connection, unless it is here already. NULL is ignored. */
VT_API void vt_call_free(vt_call *call);

/* Before it is sent (else VT_ESTATE). Fields: as vt_res_field, vt_res_field_add; VT_EFIELD also for Content-Length,
 * Transfer-Encoding, TE, Upgrade, Expect and Connection (but "close", which is honoured): they are the client's. Host may
 * be set. Accept-Encoding is never sent by itself: bodies come as they are stored. */
VT_API int vt_call_field(vt_call *call, const char *name, const char *value);
VT_API int vt_call_field_add(vt_call *call, const char *name, const char *value);
/* Connects to this address ("unix:/run/app.sock", "127.0.0.1:8080") instead of the URL's host, and by no proxy; redirects to
 * another origin are not followed. */
VT_API int vt_call_via(vt_call *call, const char *addr);
/* A deadline for all of it, beside timeout_ms and the virtual thread's own. Also later. */
VT_API int vt_call_until(vt_call *call, int64_t until);
/* How many redirects are followed, in place of max_redirects; 0: none. 301, 302 turn POST, 303 all but HEAD, into GET;
 * 307 and 308 keep method and body, if the body can be had again, and unsafe methods (RFC 9110 9.2.1) stay on their
 * origin; from https to http none is followed. What is not followed is the response. To another origin go no Authorization, Cookie, or Host of the caller's. */
VT_API int vt_call_redirects(vt_call *call, int max);
/* Asks for 100 (Continue) before the body is sent. */
VT_API int vt_call_expect(vt_call *call);
/* Asks for another protocol: status 101 then means that vt_call_stream has the connection. */
VT_API int vt_call_upgrade(vt_call *call, const char *protocol);
/* The body: bytes, which are not copied and have to live until the response is there; or what `read` gives, a piece at a time: > 0
 * bytes, 0 at the end, < 0 an error, which becomes the call's. length -1: not known (chunked). It may park. */
typedef int64_t vt_call_reader(void *ctx, void *buf, size_t n);
VT_API int vt_call_body(vt_call *call, const void *p, size_t n);
VT_API int vt_call_body_from(vt_call *call, vt_call_reader *read, void *ctx, int64_t length);

/* Sends it all and waits for the response's head: its status. A response that comes before the body is sent ends that. */
VT_API int vt_call_send(vt_call *call);
/* Or piece by piece: open sends the head (length -1: chunked), write adds to the body, and vt_call_send ends it. Bytes are
 * gathered until a block is full, or vt_call_flush. errors of write: VT_ESURPLUS over the length; VT_EANSWERED the response has
 * come already: vt_call_send gives it. Not sent again, not redirected with its body. */
VT_API int vt_call_open(vt_call *call, int64_t length);
VT_API int64_t vt_call_write(vt_call *call, const void *p, size_t n);
VT_API int vt_call_flush(vt_call *call);
VT_API int vt_call_trailer(vt_call *call, const char *name, const char *value); /* if chunked */

/* The response. Fields: as vt_req_field_at, vt_req_field_nth. */
VT_API int vt_call_status(const vt_call *call); /* 0: none yet; < 0: the call's error */
VT_API vt_str vt_call_get(const vt_call *call, const char *name, size_t i);
VT_API int vt_call_get_nth(const vt_call *call, size_t n, vt_str *name, vt_str *value);
VT_API int64_t vt_call_length(const vt_call *call);              /* of the body, 0 none, -1 not known */
VT_API const char *vt_call_url(const vt_call *call);             /* where it came from, after redirects */
VT_API int64_t vt_call_read(vt_call *call, void *buf, size_t n); /* > 0 bytes, 0 at the body's end; parks */
/* The rest of the body, in the call's memory: 0 and vt_call_text, which is empty before. errors: VT_ETOOLARGE over max_body. */
VT_API int vt_call_whole(vt_call *call);
VT_API vt_str vt_call_text(const vt_call *call);
VT_API vt_str vt_call_get_trailer(const vt_call *call, const char *name); /* at the body's end */
/* After 101: reads and writes as vt_stream_read, vt_stream_write, until vt_call_free. errors: VT_ESTATE. */
VT_API int vt_call_stream(vt_call *call, vt_stream **out);

/* Opens a WebSocket to "ws://host/path" or "wss://..." (TLS). 0, or an error with *out NULL. Of cfg (NULL: the defaults) the
 * protocols are offered, and `fields` are lines for the request (Origin, Authorization, Cookie); origins is not used. Time
 * limits of connecting and of the answer are the client's; redirects are not followed. It is used as a handler's is: any
 * virtual thread may send, one at a time receives, on the OS thread that opened it; but what is sent goes out at once. It
 * counts as one of the client's connections. owns: the caller, until vt_ws_free. parks. errors: those of calls; VT_EWSUPGRADE the
 * server does not agree (the log's debug level says more); -EINVAL a bad cfg. */
VT_API int vt_client_ws(vt_client *c, const char *url, const vt_ws_cfg *cfg, vt_ws **out);
/* Ends it, on the OS thread that opened it, when nobody else uses it any more: closes with 1000 unless a close frame was sent,
 * and waits for the answer, close_ms at most. NULL and a handler's are ignored. parks. */
VT_API void vt_ws_free(vt_ws *ws);

/*==============================================================================
 * MARK: - @api_tls   TLS: certificates, listeners, what a handler may know
 *============================================================================*/

/* TLS 1.2 and 1.3, by OpenSSL 3.0 or later: compile the implementation with -DVTHTTP_TLS=1 and link -lssl -lcrypto.
 * Without that a server that is to speak TLS fails with VT_ENOTLS, and says so. Handlers see no difference but
 * vt_req_scheme and vt_req_tls. ALPN: http/1.1, http/1.0. No compression, no renegotiation, no 0-RTT. */

/* A certificate and its key, each as a file (read again by vt_server_tls_reload) or as PEM text. */
typedef struct vt_tls_cert {
    const char *cert_file,
        *cert_pem; /* the certificate, then its chain: intermediate ones in order. One of both */
    const char *key_file, *key_pem; /* the private key; default: it stands with the certificate */
    const char *password;           /* of an encrypted key; default none */
    const char *password_file; /* a file whose first line is the password; read when `password` is NULL */
    const char *ocsp_file;     /* an OCSP response (DER) that is stapled for who asks; default none */
} vt_tls_cert;

enum vt_tls_client { VT_TLS_CLIENT_REQUIRED = 0, VT_TLS_CLIENT_OPTIONAL = 1, VT_TLS_CLIENT_UNVERIFIED = 2 };
enum vt_tls_names { VT_TLS_NAMES_ANY = 0, VT_TLS_NAMES_KNOWN = 1, VT_TLS_NAMES_REQUIRED = 2 };
enum vt_tls_plain { VT_TLS_PLAIN_EXPLAIN = 0, VT_TLS_PLAIN_REDIRECT = 1, VT_TLS_PLAIN_CLOSE = 2 };

/* A TLS listener. Copied, strings included; files are read when the server starts. Zero means the default. */
typedef struct vt_tls_cfg {
    const vt_tls_cert
        *certs; /* chosen by the name that the client asks for (SNI): exact before wildcard, else the first */
    int ncerts; /* 1 at least, 1,000 at most */
    const char *client_ca_file,
        *client_ca_pem; /* whose clients are trusted; default: no client is asked for a certificate */
    int client_auth; /* enum vt_tls_client, when there is a client CA. REQUIRED (the default): none, or one that does not
                        verify, ends the handshake. OPTIONAL: none will do, a bad one will not. UNVERIFIED: any will do,
                        vt_req_tls says what it is worth */
    int names; /* enum vt_tls_names. ANY (the default): a name that no certificate has gets the first. KNOWN: it is
                        refused (alert unrecognized_name). REQUIRED: and so is a client that gives none */
    int plain; /* enum vt_tls_plain: what plain HTTP on the port gets. EXPLAIN (the default): 400 and a text. REDIRECT:
                        308 to https at the host it asked for. CLOSE: nothing */
    int min_version;    /* 12 (TLS 1.2, the default) or 13 */
    int max_handshakes; /* under way at once; default 4,096; more wait, and are closed at header_timeout_ms */
    int64_t
        ticket_life_s; /* how long a session can be resumed; default 43,200; VT_NONE: never. The keys that tickets are
                              encrypted with change twice in that time, and are the server's alone */
    const char *ciphers;      /* of TLS 1.2, OpenSSL's syntax; default ECDHE with AES-GCM or ChaCha20 */
    const char *ciphersuites; /* of TLS 1.3; default OpenSSL's */
} vt_tls_cfg;

/* Adds a listener that speaks TLS. errors: -EINVAL a bad field, VT_ENOTLS; the files' show when it starts (VT_ECONF). */
VT_API int vt_server_listen_tls(vt_server *s, const char *addr, const vt_tls_cfg *cfg);
/* Reads the files of every TLS listener again. New connections use what they say, open ones go on with what they have;
 * on an error all stays as it was. Any thread; parks on a virtual thread. errors: VT_ECONF (the log says more), -ENOMEM,
 * VT_ESTATE the server does not run. */
VT_API int vt_server_tls_reload(vt_server *s);

typedef struct vt_tls_info {
    const char *version, *cipher; /* "TLSv1.3", "TLS_AES_256_GCM_SHA384" */
    const char *alpn;             /* what was agreed on; "" nothing */
    const char *server_name;      /* what the client asked for (SNI); "" nothing */
    int resumed;                  /* 1: by a ticket */
    const char *subject, *issuer; /* of the client's certificate, as RFC 2253 writes it; NULL: it gave none */
    const char *client_cert;      /* the same as PEM */
    int verified;                 /* 1: it is signed by the client CA, and valid */
    const char *verify_text;      /* else why not; "" without a certificate */
} vt_tls_info;
/* What is known of the request's connection: 1, or 0 when it is plain. Strings live as the request's others do.
 * errors: -ENOMEM. */
VT_API int vt_req_tls(vt_req *req, vt_tls_info *out);
#endif /* VTHTTP_HTTP */

#ifdef __cplusplus
}
#endif
#endif /* VTHTTP_H */

#if defined(VTHTTP_IMPLEMENTATION) && !defined(VTHTTP_IMPLEMENTED)
#define VTHTTP_IMPLEMENTED 1

/*==============================================================================
 * MARK: - @plat    libc, attributes, the table of system calls
 * uses:
 * test:   tests/test_base.c tests/test_plat.c
 *
 * Every call that can fail, block or tell the time goes through vt__plat_x and returns >= 0 or -errno. Release
 * builds call libc directly; with VTHTTP_SIM=1 they go through a table of pointers, which tests replace by a scripted
 * kernel. Declarations that libc hides under -std=c11 (when its headers were included before this file) are made here
 * under names of our own, bound to libc's symbols: the implementation compiles after any headers.
 *============================================================================*/
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <elf.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/time.h>
#if VTHTTP_HOOKS
#include <sys/ioctl.h> /* names of terminals, too: for nobody else */
#endif
#else
#undef VTHTTP_POLL
#define VTHTTP_POLL 1
#endif

#define VT__LIKELY(x) __builtin_expect(!!(x), 1)
#define VT__UNLIKELY(x) __builtin_expect(!!(x), 0)
#define VT__INLINE static inline __attribute__((always_inline, unused))
#define VT__NOINLINE __attribute__((noinline))
#define VT__COLD __attribute__((cold, noinline, unused))
#define VT__UNUSED __attribute__((unused))
#define VT__COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define VT__CONTAINER(p, type, member) ((type *)(void *)((char *)(p)-offsetof(type, member)))
#define VT__MIN(a, b) ((a) < (b) ? (a) : (b))
#define VT__MAX(a, b) ((a) > (b) ? (a) : (b))

#if defined(__x86_64__) && !defined(__ILP32__)
#define VT__X86_64 1
#else
#define VT__X86_64 0
#endif
#if defined(__aarch64__) && defined(__AARCH64EL__) && !defined(__ILP32__)
#define VT__AARCH64 1
#else
#define VT__AARCH64 0
#endif
#if defined(__riscv) && __riscv_xlen == 64
#define VT__RISCV64 1
#else
#define VT__RISCV64 0
#endif
#if defined(__i386__)
#define VT__I386 1
#else
#define VT__I386 0
#endif

#if defined(__SANITIZE_ADDRESS__)
#define VT__ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define VT__ASAN 1
#endif
#endif
#ifndef VT__ASAN
#define VT__ASAN 0
#endif
#if defined(__SANITIZE_THREAD__)
#define VT__TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define VT__TSAN 1
#endif
#endif
#ifndef VT__TSAN
#define VT__TSAN 0
#endif
#if defined(NDEBUG)
#define VT__DEBUG 0
#else
#define VT__DEBUG 1
#endif

/* Linux constants that strict C hides or old headers lack. */
#if defined(__linux__)
#ifndef MAP_ANONYMOUS
#define MAP_ANONYMOUS 0x20
#endif
#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0x4000
#endif
#ifndef MADV_DONTNEED
#define MADV_DONTNEED 4
#endif
#ifndef MADV_NOHUGEPAGE
#define MADV_NOHUGEPAGE 15
#endif
#ifndef CLOCK_MONOTONIC
#define CLOCK_MONOTONIC 1
#endif
#ifndef CLOCK_REALTIME
#define CLOCK_REALTIME 0
#endif
#if !defined(SIG_BLOCK) && defined(__mips__)
#define SIG_BLOCK 1
#define SIG_SETMASK 3
#elif !defined(SIG_BLOCK)
#define SIG_BLOCK 0
#define SIG_SETMASK 2
#endif
#ifndef EPOLLEXCLUSIVE
#define EPOLLEXCLUSIVE (1u << 28)
#endif
#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif
#ifndef O_CLOEXEC
#define O_CLOEXEC 02000000
#endif
#endif
#ifndef POLLRDHUP
#if defined(__linux__)
#define POLLRDHUP 0x2000
#else
#define POLLRDHUP 0
#endif
#endif
#define VT__MADV_GUARD_INSTALL 102
#define VT__PIDFD_SELF (-10001) /* the thread group, Linux 6.14 */
#define VT__SA_SIGINFO 4
#define VT__SA_ONSTACK 0x08000000
#define VT__SA_RESTART 0x10000000
#define VT__SA_NODEFER 0x40000000

/* The libc types below have this layout in glibc and musl on every Linux architecture that we build for. */
struct vt__plat_sigset {
    unsigned long bits[128 / sizeof(unsigned long)];
};
struct vt__plat_sa {
    union {
        void (*handler)(int);
        void (*action)(int, void *info, void *context);
    } fn;
    struct vt__plat_sigset mask;
    int flags;
    void (*restorer)(void);
};
struct vt__plat_ss {
    void *sp;
    int flags;
    size_t size;
};
struct vt__plat_ai {
    int flags, family, socktype, protocol;
    socklen_t addrlen;
    struct sockaddr *addr;
    char *canonname;
    struct vt__plat_ai *next;
};

#if defined(__linux__)
#if UINTPTR_MAX > 0xffffffff
typedef Elf64_Phdr vt__plat_phdr;
#else
typedef Elf32_Phdr vt__plat_phdr;
#endif
struct vt__plat_object { /* struct dl_phdr_info, as far as it is used */
    uintptr_t base;
    const char *name;
    const vt__plat_phdr *headers;
    uint16_t n;
};
int vt__libc_objects(int (*fn)(struct vt__plat_object *o, size_t size, void *arg),
                     void *arg) __asm__("dl_iterate_phdr");
#endif
int vt__libc_clock_gettime(int id, struct timespec *ts) __asm__("clock_gettime");
int vt__libc_nanosleep(const struct timespec *ts, struct timespec *left) __asm__("nanosleep");
int vt__libc_sigaction(int sig, const struct vt__plat_sa *act, struct vt__plat_sa *old) __asm__("sigaction");
int vt__libc_sigaltstack(const struct vt__plat_ss *ss, struct vt__plat_ss *old) __asm__("sigaltstack");
int vt__libc_sigmask(int how, const struct vt__plat_sigset *set,
                     struct vt__plat_sigset *old) __asm__("pthread_sigmask");
int vt__libc_kill(int pid, int sig) __asm__("kill");
long vt__libc_syscall(long number, ...) __asm__("syscall");
int vt__libc_madvise(void *p, size_t n, int advice) __asm__("madvise");
int vt__libc_affinity(int pid, size_t size, unsigned long *mask) __asm__("sched_getaffinity");
#if defined(__GLIBC__) && UINTPTR_MAX == 0xffffffffu
ssize_t vt__libc_pread(int fd, void *p, size_t n,
                       int64_t off) __asm__("pread64"); /* pread has a short offset there */
ssize_t vt__libc_pwrite(int fd, const void *p, size_t n, int64_t off) __asm__("pwrite64");
#else
ssize_t vt__libc_pread(int fd, void *p, size_t n, int64_t off) __asm__("pread");
ssize_t vt__libc_pwrite(int fd, const void *p, size_t n, int64_t off) __asm__("pwrite");
#endif
int vt__libc_fsync(int fd) __asm__("fsync");
int vt__libc_accept4(int fd, struct sockaddr *sa, socklen_t *len, int flags) __asm__("accept4");
int vt__libc_getaddrinfo(const char *host, const char *port, const struct vt__plat_ai *hints,
                         struct vt__plat_ai **out) __asm__("getaddrinfo");
void vt__libc_freeaddrinfo(struct vt__plat_ai *ai) __asm__("freeaddrinfo");
int vt__libc_condattr_setclock(pthread_condattr_t *attr, int id) __asm__("pthread_condattr_setclock");
#if defined(__linux__)
/* What a thread of this process has had of a CPU, in ns. */
static VT__UNUSED int64_t vt__plat_cputime_of(int tid) {
    struct timespec ts;
    int r = vt__libc_clock_gettime((int)(~(unsigned)tid << 3 | 6), &ts);
    return r < 0 ? r : (int64_t)ts.tv_sec * VT_SEC + ts.tv_nsec;
}
/* How long a thread of this process (0: the caller) runs at a time while others want its CPU; ns 0: the system's choice. Less
 * means sooner, not more, and needs no privilege. Threads that the caller makes have it as well; those of another get the
 * system's choice (its flag would take a higher priority from them, too). From Linux 6.12 on: those before leave `runtime` 0,
 * and then nothing else of it is touched either. */
static VT__UNUSED int vt__plat_slice_of(int tid, int64_t ns) {
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } a;
    memset(&a, 0, sizeof a);
    if (vt__libc_syscall(SYS_sched_getattr, tid, &a, sizeof a, 0) < 0) return -1;
    if (a.runtime == 0 || (a.policy != 0 && a.policy != 3))
        return 0; /* neither SCHED_OTHER nor SCHED_BATCH */
    a.size = sizeof a;
    a.flags |= tid && a.nice >= 0; /* SCHED_FLAG_RESET_ON_FORK */
    a.runtime = (uint64_t)ns;
    return (int)vt__libc_syscall(SYS_sched_setattr, tid, &a, 0);
}
#endif

#if VTHTTP_HOOKS
#if !defined(__linux__)
#error "VTHTTP_HOOKS is for Linux"
#elif VTHTTP_STATIC
#error "VTHTTP_HOOKS defines read, poll, ... for the whole program: not together with VTHTTP_STATIC"
#endif
/* The program's recv and the like are those of @hooks. The library's own calls go to the kernel, by these. On 32 bits
 * they are those with 64-bit times: a timespec is two int64_t everywhere. */
#if defined(SYS_ppoll_time64)
#define VT__SYS_PPOLL SYS_ppoll_time64
#define VT__SYS_PSELECT SYS_pselect6_time64
#define VT__SYS_CLOCK_NANOSLEEP SYS_clock_nanosleep_time64
#else
#define VT__SYS_PPOLL SYS_ppoll
#define VT__SYS_PSELECT SYS_pselect6
#define VT__SYS_CLOCK_NANOSLEEP SYS_clock_nanosleep
#endif
VT__INLINE ssize_t vt__plat_raw_recv(int fd, void *p, size_t n, int fl) {
    return (ssize_t)vt__libc_syscall(SYS_recvfrom, fd, p, n, fl, NULL, NULL);
}
VT__INLINE ssize_t vt__plat_raw_send(int fd, const void *p, size_t n, int fl) {
    return (ssize_t)vt__libc_syscall(SYS_sendto, fd, p, n, fl, NULL, (size_t)0);
}
/* What libc pads its msghdr with must be zero. */
VT__INLINE ssize_t vt__plat_raw_sendmsg(int fd, const struct msghdr *m, int fl) {
    return (ssize_t)vt__libc_syscall(SYS_sendmsg, fd, m, fl);
}
VT__INLINE ssize_t vt__plat_raw_read(int fd, void *p, size_t n) {
    return (ssize_t)vt__libc_syscall(SYS_read, fd, p, n);
}
VT__INLINE ssize_t vt__plat_raw_write(int fd, const void *p, size_t n) {
    return (ssize_t)vt__libc_syscall(SYS_write, fd, p, n);
}
VT__INLINE int vt__plat_raw_accept4(int fd, struct sockaddr *sa, socklen_t *len, int fl) {
    return (int)vt__libc_syscall(SYS_accept4, fd, sa, len, fl);
}
VT__INLINE int vt__plat_raw_connect(int fd, const struct sockaddr *sa, socklen_t len) {
    return (int)vt__libc_syscall(SYS_connect, fd, sa, len);
}
VT__INLINE int vt__plat_raw_poll(struct pollfd *fds, unsigned n, int ms) {
    int64_t ts[2] = {ms / 1000, ms % 1000 * VT_MS};
    return (int)vt__libc_syscall(VT__SYS_PPOLL, fds, n, ms < 0 ? NULL : ts, NULL, (size_t)8);
}
VT__INLINE int vt__plat_raw_epoll_wait(int ep, struct epoll_event *ev, int n, int ms) {
    return (int)vt__libc_syscall(SYS_epoll_pwait, ep, ev, n, ms, NULL, (size_t)8);
}
VT__INLINE int vt__plat_raw_nanosleep(const struct timespec *req, struct timespec *left) {
    int64_t ts[2] = {req->tv_sec, req->tv_nsec};
    int r = (int)vt__libc_syscall(VT__SYS_CLOCK_NANOSLEEP, CLOCK_MONOTONIC, 0, ts, ts);
    if (left) left->tv_sec = (time_t)ts[0], left->tv_nsec = (long)ts[1];
    return r;
}
#define VT__LIBC(name) vt__plat_raw_##name
#else
VT__INLINE int vt__plat_raw_accept4(int fd, struct sockaddr *sa, socklen_t *len, int fl) {
    return vt__libc_accept4(fd, sa, len, fl);
}
VT__INLINE int vt__plat_raw_nanosleep(const struct timespec *req, struct timespec *left) {
    return vt__libc_nanosleep(req, left);
}
#define VT__LIBC(name) name
#endif

#if defined(VTHTTP_REALLOC) != defined(VTHTTP_FREE)
#error "define both VTHTTP_REALLOC and VTHTTP_FREE, or none"
#endif
#ifndef VTHTTP_REALLOC
#define VTHTTP_REALLOC(ptr, size) realloc(ptr, size)
#define VTHTTP_FREE(ptr) free(ptr)
#endif

/* name, result type, parameters, arguments, libc expression (with -1/errno on failure) */
#define VT__PLAT_CALLS(X)                                                                                    \
    X(recv, ssize_t, (int fd, void *p, size_t n, int fl), (fd, p, n, fl), VT__LIBC(recv)(fd, p, n, fl))      \
    X(send, ssize_t, (int fd, const void *p, size_t n, int fl), (fd, p, n, fl),                              \
      VT__LIBC(send)(fd, p, n, fl))                                                                          \
    X(sendmsg, ssize_t, (int fd, const struct msghdr *m, int fl), (fd, m, fl), VT__LIBC(sendmsg)(fd, m, fl)) \
    X(read, ssize_t, (int fd, void *p, size_t n), (fd, p, n), VT__LIBC(read)(fd, p, n))                      \
    X(write, ssize_t, (int fd, const void *p, size_t n), (fd, p, n), VT__LIBC(write)(fd, p, n))              \
    X(open, int, (const char *path, int flags, int mode), (path, flags, mode), open(path, flags, mode))      \
    X(close, int, (int fd), (fd), close(fd))                                                                 \
    X(pread, ssize_t, (int fd, void *p, size_t n, int64_t off), (fd, p, n, off),                             \
      vt__libc_pread(fd, p, n, off))                                                                         \
    X(pwrite, ssize_t, (int fd, const void *p, size_t n, int64_t off), (fd, p, n, off),                      \
      vt__libc_pwrite(fd, p, n, off))                                                                        \
    X(fsync, int, (int fd), (fd), vt__libc_fsync(fd))                                                        \
    X(accept, int, (int fd, struct sockaddr *sa, socklen_t *len), (fd, sa, len),                             \
      vt__plat_raw_accept4(fd, sa, len, SOCK_NONBLOCK | SOCK_CLOEXEC))                                       \
    X(socket, int, (int family, int type), (family, type),                                                   \
      socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0))                                                \
    X(bind, int, (int fd, const struct sockaddr *sa, socklen_t len), (fd, sa, len), bind(fd, sa, len))       \
    X(listen, int, (int fd, int backlog), (fd, backlog), listen(fd, backlog))                                \
    X(connect, int, (int fd, const struct sockaddr *sa, socklen_t len), (fd, sa, len),                       \
      VT__LIBC(connect)(fd, sa, len))                                                                        \
    X(shutdown, int, (int fd, int how), (fd, how), shutdown(fd, how))                                        \
    X(getsockname, int, (int fd, struct sockaddr *sa, socklen_t *len), (fd, sa, len),                        \
      getsockname(fd, sa, len))                                                                              \
    X(getpeername, int, (int fd, struct sockaddr *sa, socklen_t *len), (fd, sa, len),                        \
      getpeername(fd, sa, len))                                                                              \
    X(setsockopt, int, (int fd, int level, int opt, const void *p, socklen_t n), (fd, level, opt, p, n),     \
      setsockopt(fd, level, opt, p, n))                                                                      \
    X(getsockopt, int, (int fd, int level, int opt, void *p, socklen_t *n), (fd, level, opt, p, n),          \
      getsockopt(fd, level, opt, p, n))                                                                      \
    X(fcntl, int, (int fd, int cmd, int arg), (fd, cmd, arg), fcntl(fd, cmd, arg))                           \
    X(unlink, int, (const char *path), (path), unlink(path))                                                 \
    X(stat, int, (const char *path, struct stat *st), (path, st), stat(path, st))                            \
    X(chmod, int, (const char *path, int mode), (path, mode), chmod(path, (mode_t)mode))                     \
    X(poll, int, (struct pollfd * fds, unsigned n, int ms), (fds, n, ms), VT__LIBC(poll)(fds, n, ms))        \
    X(pipe, int, (int fds[2]), (fds), pipe(fds))                                                             \
    X(munmap, int, (void *p, size_t n), (p, n), munmap(p, n))                                                \
    X(mprotect, int, (void *p, size_t n, int prot), (p, n, prot), mprotect(p, n, prot))                      \
    X(madvise, int, (void *p, size_t n, int advice), (p, n, advice), vt__libc_madvise(p, n, advice))         \
    X(sigaction, int, (int sig, const struct vt__plat_sa *act, struct vt__plat_sa *old), (sig, act, old),    \
      vt__libc_sigaction(sig, act, old))                                                                     \
    X(sigaltstack, int, (const struct vt__plat_ss *ss, struct vt__plat_ss *old), (ss, old),                  \
      vt__libc_sigaltstack(ss, old))                                                                         \
    X(kill, int, (int sig), (sig), vt__libc_kill(getpid(), sig))                                             \
    X(affinity, int, (size_t size, unsigned long *mask), (size, mask), vt__libc_affinity(0, size, mask))     \
    VT__PLAT_HOOKS_CALLS(X)                                                                                  \
    VT__PLAT_LINUX_CALLS(X)

#if VTHTTP_HOOKS
#define VT__PLAT_HOOKS_CALLS(X)                                                                              \
    X(fstat, int, (int fd, struct stat *st), (fd, st), fstat(fd, st))                                        \
    X(raw, long, (long nr, const long *a), (nr, a), vt__libc_syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]))
#else
#define VT__PLAT_HOOKS_CALLS(X)
#endif

#if defined(__linux__)
#define VT__PLAT_LINUX_CALLS(X)                                                                              \
    X(epoll_create, int, (void), (), epoll_create1(EPOLL_CLOEXEC))                                           \
    X(epoll_ctl, int, (int ep, int op, int fd, struct epoll_event *ev), (ep, op, fd, ev),                    \
      epoll_ctl(ep, op, fd, ev))                                                                             \
    X(epoll_wait, int, (int ep, struct epoll_event *ev, int n, int ms), (ep, ev, n, ms),                     \
      VT__LIBC(epoll_wait)(ep, ev, n, ms))                                                                   \
    X(epoll_pwait2, int, (int ep, struct epoll_event *ev, int n, const int64_t ts[2]), (ep, ev, n, ts),      \
      (int)vt__libc_syscall(441, ep, ev, n, ts, NULL, (size_t)8))                                            \
    X(eventfd, int, (void), (), eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC))                                      \
    X(process_madvise, ssize_t, (const struct iovec *v, size_t n, int advice), (v, n, advice),               \
      (ssize_t)vt__libc_syscall(SYS_process_madvise, VT__PIDFD_SELF, v, n, advice, 0))                       \
    X(getrandom, ssize_t, (void *p, size_t n), (p, n), (ssize_t)vt__libc_syscall(SYS_getrandom, p, n, 0))    \
    X(mincore, int, (void *p, size_t n, unsigned char *vec), (p, n, vec),                                    \
      (int)vt__libc_syscall(SYS_mincore, p, n, vec))                                                         \
    X(tgkill, int, (int tid, int sig), (tid, sig),                                                           \
      (int)vt__libc_syscall(SYS_tgkill, (int)getpid(), tid, sig))                                            \
    X(gettid, int, (void), (), (int)vt__libc_syscall(SYS_gettid))                                            \
    X(futex, int, (uint32_t * word, int op, uint32_t value, const long ts[2]), (word, op, value, ts),        \
      (int)vt__libc_syscall(SYS_futex, word, op, value, ts, NULL, 0))                                        \
    X(cputime, int64_t, (int tid), (tid), vt__plat_cputime_of(tid))                                          \
    X(slice, int, (int tid, int64_t ns), (tid, ns), vt__plat_slice_of(tid, ns))
#else
#define VT__PLAT_LINUX_CALLS(X)
#endif

#define VT__PLAT_SYS(name, ret, params, args, expr)                                                          \
    static VT__UNUSED ret vt__plat_sys_##name params {                                                       \
        ret r = (expr);                                                                                      \
        return VT__UNLIKELY(r < 0) ? (ret)-errno : r;                                                        \
    }
VT__PLAT_CALLS(VT__PLAT_SYS)

/* These do not fail by errno; they stand in the table all the same. */
static VT__UNUSED void *vt__plat_sys_mmap(size_t n) {
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}
static VT__UNUSED void *vt__plat_sys_realloc(void *p, size_t n) { return VTHTTP_REALLOC(p, n); }
static VT__UNUSED void vt__plat_sys_free(void *p) { VTHTTP_FREE(p); }
static VT__UNUSED int64_t vt__plat_sys_clock(int id) {
    struct timespec ts;
    vt__libc_clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * VT_SEC + ts.tv_nsec;
}
static VT__UNUSED void vt__plat_sys_sleep(int64_t ns) {
    struct timespec ts;
    ts.tv_sec = (time_t)(ns / VT_SEC);
    ts.tv_nsec = (long)(ns % VT_SEC);
    while (vt__plat_raw_nanosleep(&ts, &ts) < 0 && errno == EINTR) continue;
}
static VT__UNUSED int vt__plat_sys_thread(pthread_t *t, void *(*fn)(void *), void *arg) {
    return -pthread_create(t, NULL, fn, arg);
}
static VT__UNUSED void vt__plat_sys_join(pthread_t t) { pthread_join(t, NULL); }
static VT__UNUSED int vt__plat_sys_resolve(const char *host, const char *port,
                                           const struct vt__plat_ai *hints, struct vt__plat_ai **out) {
    return vt__libc_getaddrinfo(host, port, hints, out);
}
static VT__UNUSED void vt__plat_sys_resolve_free(struct vt__plat_ai *ai) { vt__libc_freeaddrinfo(ai); }

#define VT__PLAT_OTHERS(X)                                                                                   \
    X(mmap, void *, (size_t n), (n))                                                                         \
    X(realloc, void *, (void *p, size_t n), (p, n))                                                          \
    X(free, void, (void *p), (p))                                                                            \
    X(clock, int64_t, (int id), (id))                                                                        \
    X(sleep, void, (int64_t ns), (ns))                                                                       \
    X(thread, int, (pthread_t * t, void *(*fn)(void *), void *arg), (t, fn, arg))                            \
    X(join, void, (pthread_t t), (t))                                                                        \
    X(resolve, int,                                                                                          \
      (const char *host, const char *port, const struct vt__plat_ai *hints, struct vt__plat_ai **out),       \
      (host, port, hints, out))                                                                              \
    X(resolve_free, void, (struct vt__plat_ai * ai), (ai))

#if VTHTTP_SIM
#define VT__PLAT_FIELD(name, ret, params, args, expr) ret(*name) params;
#define VT__PLAT_FIELD2(name, ret, params, args) ret(*name) params;
#define VT__PLAT_INIT(name, ret, params, args, expr) vt__plat_sys_##name,
#define VT__PLAT_INIT2(name, ret, params, args) vt__plat_sys_##name,
struct vt__plat_table {
    VT__PLAT_CALLS(VT__PLAT_FIELD)
    VT__PLAT_OTHERS(VT__PLAT_FIELD2)
};
/* Tests copy it, replace entries, and put it back. */
static struct vt__plat_table vt__plat = {VT__PLAT_CALLS(VT__PLAT_INIT) VT__PLAT_OTHERS(VT__PLAT_INIT2)};
#define VT__PLAT_CALL(name, args) vt__plat.name args
#else
#define VT__PLAT_CALL(name, args) vt__plat_sys_##name args
#endif
#define VT__PLAT_WRAP(name, ret, params, args, expr)                                                         \
    VT__INLINE ret vt__plat_##name params { return VT__PLAT_CALL(name, args); }
#define VT__PLAT_WRAP2(name, ret, params, args)                                                              \
    VT__INLINE ret vt__plat_##name params { return VT__PLAT_CALL(name, args); }
VT__PLAT_CALLS(VT__PLAT_WRAP)
VT__PLAT_OTHERS(VT__PLAT_WRAP2)

#if !VTHTTP_STATIC
const char VT__ABI = 0;
#endif

VT__INLINE int64_t vt__plat_now(void) { return vt__plat_clock(CLOCK_MONOTONIC); }

VT_API int64_t vt_now(void) { return vt__plat_now(); }

#if VT__X86_64
#include <cpuid.h>
/* The compiler's own way to ask brings 5 KB along. The system must save the wide registers (XCR0), too. */
static VT__UNUSED bool vt__plat_cpu_avx2(void) {
    unsigned a, b, c, d, saved;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) return false;
    __asm__ volatile("xgetbv" : "=a"(saved), "=d"(d) : "c"(0));
    if ((saved & 6) != 6 || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
    return (b & bit_AVX2) && (b & bit_BMI);
}
#endif

/* Seeds and the like; falls back to the clocks and an address, so it always gives something. */
static VT__UNUSED void vt__plat_random(void *p, size_t n) {
#if defined(__linux__)
    if (vt__plat_getrandom(p, n) == (ssize_t)n) return;
#endif
    uint64_t x = (uint64_t)vt__plat_now() ^ (uint64_t)vt__plat_clock(CLOCK_REALTIME) << 20 ^ (uintptr_t)&x;
    for (size_t i = 0; i < n; i++) {
        x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        ((unsigned char *)p)[i] = (unsigned char)(x >> 56);
    }
}

/* Sleeps while *word is `value`, ns at most (-1: for ever); it may end by itself. Whoever changes the word wakes. */
static VT__UNUSED void vt__plat_park(uint32_t *word, uint32_t value, int64_t ns) {
#if defined(__linux__)
    long ts[2] = {(long)(ns / VT_SEC), (long)(ns % VT_SEC)};
    (void)vt__plat_futex(word, 128 /* FUTEX_WAIT, private */, value, ns < 0 ? NULL : ts);
#else
    if (__atomic_load_n(word, __ATOMIC_SEQ_CST) == value) vt__plat_sleep(ns < 0 ? VT_MS : VT__MIN(ns, VT_MS));
#endif
}
static VT__UNUSED void vt__plat_unpark(uint32_t *word) {
#if defined(__linux__)
    (void)vt__plat_futex(word, 129 /* FUTEX_WAKE, private */, 1, NULL);
#else
    (void)word;
#endif
}

/* A lock for a few instructions, uncontended nearly always. */
VT__INLINE void vt__plat_relax(void) {
#if VT__X86_64 || VT__I386
    __builtin_ia32_pause();
#elif VT__AARCH64
    __asm__ volatile("yield");
#endif
}
static VT__NOINLINE void vt__plat_spin_wait(uint32_t *lock) {
    do {
        for (int i = 0; __atomic_load_n(lock, __ATOMIC_RELAXED) != 0; i++) {
            vt__plat_relax();
            if (i >= 200) { /* the holder was preempted */
                struct timespec ts = {0, 50000};
                (void)vt__plat_raw_nanosleep(&ts, NULL);
            }
        }
    } while (__atomic_exchange_n(lock, 1, __ATOMIC_ACQUIRE) != 0);
}
VT__INLINE void vt__plat_spin_lock(uint32_t *lock) {
    if (VT__UNLIKELY(__atomic_exchange_n(lock, 1, __ATOMIC_ACQUIRE) != 0)) vt__plat_spin_wait(lock);
}
VT__INLINE void vt__plat_spin_unlock(uint32_t *lock) { __atomic_store_n(lock, 0, __ATOMIC_RELEASE); }

/* Counters that one thread writes and any may read. */
VT__INLINE void vt__plat_count(int64_t *counter, int64_t n) {
    __atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

/*==============================================================================
 * MARK: - @mem     allocator, pools of blocks, arenas
 * uses:   @plat
 * test:   tests/test_base.c
 *
 * A pool caches blocks of one size for one OS thread; an arena hands out a request's memory and gives it back at
 * once. Both are bounded by whoever owns them: a pool by `max`, an arena by `limit`.
 *============================================================================*/
VT__INLINE void *vt__mem_alloc(size_t n) { return vt__plat_realloc(NULL, n); }
static VT__UNUSED void *vt__mem_zalloc(size_t n) {
    void *p = vt__mem_alloc(n);
    if (p) memset(p, 0, n);
    return p;
}
VT__INLINE void *vt__mem_realloc(void *p, size_t n) { return vt__plat_realloc(p, n); }
VT__INLINE void vt__mem_free(void *p) {
    if (p) vt__plat_free(p);
}
static VT__UNUSED char *vt__mem_strdup(const char *s, size_t n) {
    char *p = vt__mem_alloc(n + 1);
    if (!p) return NULL;
    if (n) memcpy(p, s, n);
    p[n] = 0;
    return p;
}

/* For some tens to hundreds of bytes, where a memset would become `rep stos`, which takes 12 ns to begin. */
VT__INLINE void vt__mem_zero(void *p, size_t n) {
    char *c = p;
    for (; n >= 64; n -= 64, c += 64) memset(c, 0, 64);
    if (n) memset(c, 0, n);
}

typedef struct vt__pool {
    void *free; /* each free block's first word points to the next */
    uint32_t size, count, max;
} vt__pool;

static VT__UNUSED void vt__mem_pool_init(vt__pool *p, size_t size, uint32_t max) {
    p->free = NULL;
    p->size = (uint32_t)size;
    p->count = 0;
    p->max = max;
}
/* A cached block, or NULL. */
VT__INLINE void *vt__mem_pool_try(vt__pool *p) {
    void *b = p->free;
    if (VT__UNLIKELY(!b)) return NULL;
    p->free = *(void **)b;
    p->count--;
    return b;
}
VT__INLINE void *vt__mem_pool_get(vt__pool *p) {
    void *b = vt__mem_pool_try(p);
    return VT__LIKELY(b != NULL) ? b : vt__mem_alloc(p->size);
}
VT__INLINE void vt__mem_pool_put(vt__pool *p, void *b) {
    if (VT__UNLIKELY(p->count >= p->max)) {
        vt__mem_free(b);
        return;
    }
    *(void **)b = p->free;
    p->free = b;
    p->count++;
}
static VT__UNUSED void vt__mem_pool_drain(vt__pool *p) {
    for (void *b; (b = p->free) != NULL; vt__mem_free(b)) p->free = *(void **)b;
    p->count = 0;
}

/* Blocks come from `pool` where they fit, from the allocator above that size. */
typedef struct vt__arena_block {
    struct vt__arena_block *next;
    size_t size;
} __attribute__((aligned(16))) vt__arena_block; /* what follows it is aligned for any type */
typedef struct vt__arena {
    vt__pool *pool;
    vt__arena_block *blocks;
    char *pos, *end;
    size_t used, limit; /* bytes of blocks held; limit 0: none */
} vt__arena;

static VT__UNUSED void vt__mem_arena_init(vt__arena *a, vt__pool *pool, size_t limit) {
    memset(a, 0, sizeof *a);
    a->pool = pool;
    a->limit = limit;
}
static VT__NOINLINE VT__UNUSED void *vt__mem_arena_more(vt__arena *a, size_t n) {
    size_t need = n + sizeof(vt__arena_block);
    bool big = need > a->pool->size / 2;
    size_t size = big ? need : a->pool->size;
    if (need < n || (a->limit && size > a->limit - a->used)) return NULL;
    vt__arena_block *b = big ? vt__mem_alloc(size) : vt__mem_pool_get(a->pool);
    if (!b) return NULL;
    b->size = size;
    a->used += size;
    if (big && a->blocks) { /* keep filling the open block */
        b->next = a->blocks->next;
        a->blocks->next = b;
        return b + 1;
    }
    b->next = a->blocks;
    a->blocks = b;
    a->pos = (char *)(b + 1) + n;
    a->end = (char *)b + size;
    return b + 1;
}
VT__INLINE void *vt__mem_arena_get(vt__arena *a, size_t n) {
    if (VT__UNLIKELY(n > SIZE_MAX / 2)) return NULL;
    n = (n + 15) & ~(size_t)15;
    if (VT__UNLIKELY((size_t)(a->end - a->pos) < n || !a->pos)) return vt__mem_arena_more(a, n);
    void *p = a->pos;
    a->pos += n;
    return p;
}
static VT__UNUSED void vt__mem_arena_reset(vt__arena *a) {
    for (vt__arena_block *b = a->blocks, *next; b; b = next) {
        next = b->next;
        if (b->size == a->pool->size) vt__mem_pool_put(a->pool, b);
        else vt__mem_free(b);
    }
    a->blocks = NULL;
    a->pos = a->end = NULL;
    a->used = 0;
}
static VT__UNUSED char *vt__mem_arena_str(vt__arena *a, const char *s, size_t n) {
    char *p = vt__mem_arena_get(a, n + 1);
    if (!p) return NULL;
    if (n) memcpy(p, s, n);
    p[n] = 0;
    return p;
}

/*==============================================================================
 * MARK: - @str     slices, numbers, dates, base64, SHA-1
 * uses:   @plat
 * pure.
 * test:   tests/test_base.c
 *============================================================================*/
#define VT__STR_LIT(s) ((vt_str){(s), sizeof(s) - 1})

VT__INLINE vt_str vt__str_of(const char *s) {
    vt_str r = {s, s ? strlen(s) : 0};
    return r;
}
VT__INLINE char vt__str_lower(char c) { return (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c); }
static VT__UNUSED bool vt__str_eq(vt_str a, vt_str b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}
/* Only letters fold. */
static VT__UNUSED bool vt__str_eq_ci(vt_str a, vt_str b) {
    if (a.len != b.len) return false;
    for (size_t i = 0; i < a.len; i++) {
        unsigned x = (uint8_t)a.ptr[i], y = (uint8_t)b.ptr[i], low = x | 0x20;
        if (x != y && ((x ^ y) != 0x20 || low < 'a' || low > 'z')) return false;
    }
    return true;
}
static VT__UNUSED vt_str vt__str_trim(vt_str s) {
    while (s.len && (s.ptr[0] == ' ' || s.ptr[0] == '\t')) s.ptr++, s.len--;
    while (s.len && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t')) s.len--;
    return s;
}
/* 1*DIGIT up to max: the only decimal reader of the library. */
static VT__UNUSED int vt__str_u63(vt_str s, int64_t max, int64_t *out) {
    int64_t v = 0;
    if (s.len == 0) return -EINVAL;
    for (size_t i = 0; i < s.len; i++) {
        int d = s.ptr[i] - '0';
        if (d < 0 || d > 9) return -EINVAL;
        if (d > max || v > (max - d) / 10) return -ERANGE;
        v = v * 10 + d;
    }
    *out = v;
    return 0;
}
/* Writes v in decimal; at most 20 bytes; returns their number. */
static VT__UNUSED size_t vt__str_put_u64(char *p, uint64_t v) {
    size_t n = 1;
    for (uint64_t rest = v; rest >= 10; rest /= 10) n++;
    for (size_t i = n; i-- > 0; v /= 10) p[i] = (char)('0' + v % 10);
    return n;
}

/* IMF-fixdate (RFC 9110 5.6.7), 29 bytes: "Sun, 06 Nov 1994 08:49:37 GMT". Proleptic Gregorian, from 1970 on. */
static VT__UNUSED void vt__str_put_date(char *p, int64_t unix_s) {
    static const char days[] = "ThuFriSatSunMonTueWed", months[] = "MarAprMayJunJulAugSepOctNovDecJanFeb";
    int64_t day = unix_s / 86400, sec = unix_s % 86400;
    /* Years that start in March put the leap day last: 146097 days are 400 of them. */
    int64_t z = day + 719468, era = z / 146097, doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    int64_t dom = doy - (153 * mp + 2) / 5 + 1, year = yoe + era * 400 + (mp >= 10);
    int64_t nums[] = {dom, year / 100, year % 100, sec / 3600, sec / 60 % 60, sec % 60};
    static const unsigned char at[] = {5, 12, 14, 17, 20, 23};
    memcpy(p, "Thu, 01 Jan 1970 00:00:00 GMT", 29);
    memcpy(p, days + 3 * (day % 7), 3);
    memcpy(p + 8, months + 3 * mp, 3);
    for (size_t i = 0; i < VT__COUNT(at); i++) {
        p[at[i]] = (char)('0' + nums[i] / 10);
        p[at[i] + 1] = (char)('0' + nums[i] % 10);
    }
}

/* SHA-1 (RFC 3174): what the WebSocket handshake wants, and nothing else is to rely on. Of messages below 64 KiB. */
static void vt__str_sha1_block(uint32_t h[5], const uint8_t *p) {
    uint32_t w[16] = {0}, v[5]; /* the last sixteen words of the schedule: stacks are small */
    memcpy(v, h, sizeof v);
    for (unsigned i = 0; i < 80; i++) {
        uint32_t x = w[(i + 13) & 15] ^ w[(i + 8) & 15] ^ w[(i + 2) & 15] ^ w[i & 15], f, k;
        if (i < 16)
            x = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 | (uint32_t)p[4 * i + 2] << 8 |
                p[4 * i + 3];
        else x = x << 1 | x >> 31;
        w[i & 15] = x;
        if (i < 20) f = (v[1] & v[2]) | (~v[1] & v[3]), k = 0x5a827999;
        else if (i < 40) f = v[1] ^ v[2] ^ v[3], k = 0x6ed9eba1;
        else if (i < 60) f = (v[1] & v[2]) | (v[1] & v[3]) | (v[2] & v[3]), k = 0x8f1bbcdc;
        else f = v[1] ^ v[2] ^ v[3], k = 0xca62c1d6;
        uint32_t t = (v[0] << 5 | v[0] >> 27) + f + v[4] + k + x;
        v[4] = v[3], v[3] = v[2], v[2] = v[1] << 30 | v[1] >> 2, v[1] = v[0], v[0] = t;
    }
    for (int i = 0; i < 5; i++) h[i] += v[i];
}
static VT__UNUSED void vt__str_sha1(uint8_t out[20], const void *data, size_t n) {
    uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    const uint8_t *p = data;
    uint8_t last[128] = {0};
    size_t left = n;
    for (; left >= 64; left -= 64, p += 64) vt__str_sha1_block(h, p);
    if (left) memcpy(last, p, left);
    last[left] = 0x80;
    size_t end = left < 56 ? 64 : 128;
    for (size_t i = 0; i < 3; i++) last[end - 1 - i] = (uint8_t)(n * 8 >> 8 * i);
    vt__str_sha1_block(h, last);
    if (end == 128) vt__str_sha1_block(h, last + 64);
    for (int i = 0; i < 20; i++) out[i] = (uint8_t)(h[i / 4] >> (24 - i % 4 * 8));
}
/* RFC 4648 4, padded: (n + 2) / 3 * 4 characters, whose number is returned. */
static VT__UNUSED size_t vt__str_base64(char *out, const uint8_t *p, size_t n) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *o = out;
    for (size_t i = 0; i < n; i += 3, o += 4) {
        uint32_t v = (uint32_t)p[i] << 16;
        if (i + 1 < n) v |= (uint32_t)p[i + 1] << 8;
        if (i + 2 < n) v |= p[i + 2];
        o[0] = digits[v >> 18], o[1] = digits[v >> 12 & 63];
        o[2] = i + 1 < n ? digits[v >> 6 & 63] : '=';
        o[3] = i + 2 < n ? digits[v & 63] : '=';
    }
    return (size_t)(o - out);
}

/*==============================================================================
 * MARK: - @err     names and texts of error codes
 * uses:   @plat
 * test:   tests/test_base.c
 *============================================================================*/
struct vt__err_entry {
    int code;
    const char *name, *text;
};
/* clang-format off */
#define VT__ERR_SYS(X) \
    X(EPERM)         X(ENOENT)        X(EINTR)         X(EIO)           X(EBADF)        \
    X(EAGAIN)        X(ENOMEM)        X(EACCES)        X(EBUSY)         X(EEXIST)       \
    X(EINVAL)        X(ENFILE)        X(EMFILE)        X(EFBIG)         X(ENOSPC)       \
    X(EPIPE)         X(ERANGE)        X(EDEADLK)       X(ENOTSUP)       X(EADDRINUSE)   \
    X(EADDRNOTAVAIL) X(ENETDOWN)      X(ENETUNREACH)   X(ECONNABORTED)  X(ECONNRESET)   \
    X(ENOBUFS)       X(EISCONN)       X(ENOTCONN)      X(ETIMEDOUT)     X(ECONNREFUSED) \
    X(EHOSTUNREACH)  X(EALREADY)      X(EINPROGRESS)   X(ECANCELED)     X(ENOSYS)       \
    X(ENOTSOCK)      X(EPROTO)
/* clang-format on */

static const struct vt__err_entry *vt__err_find(int err) {
    static const struct vt__err_entry table[] = {
#define VT__ERR_ENTRY(name, value, text) {value, #name, text},
#define VT__ERR_ENTRY2(name) {-name, #name, NULL},
        {0, "OK", "success"}, VT_ERRORS(VT__ERR_ENTRY) VT__ERR_SYS(VT__ERR_ENTRY2)};
    for (size_t i = 0; i < VT__COUNT(table); i++)
        if (table[i].code == err) return &table[i];
    return NULL;
}

VT_API const char *vt_err_name(int err) {
    const struct vt__err_entry *e = vt__err_find(err);
    return e ? e->name : "?";
}

VT_API const char *vt_strerror(int err) {
    static __thread char buf[32];
    const struct vt__err_entry *e = vt__err_find(err);
    if (e && e->text) return e->text;
    if (err < 0 && err > -4096) return strerror(-err);
    snprintf(buf, sizeof buf, "error %d", err);
    return buf;
}

/*==============================================================================
 * MARK: - @ds      intrusive lists
 * uses:   @plat
 * test:   tests/test_base.c
 *============================================================================*/
/* A circular list with a head of the same type; a node that is in no list points to itself. */
typedef struct vt__list {
    struct vt__list *next, *prev;
} vt__list;

VT__INLINE void vt__ds_list_init(vt__list *l) { l->next = l->prev = l; }
VT__INLINE bool vt__ds_list_empty(const vt__list *l) { return l->next == l; }
VT__INLINE void vt__ds_list_push(vt__list *head, vt__list *n) {
    n->prev = head->prev;
    n->next = head;
    head->prev->next = n;
    head->prev = n;
}
VT__INLINE void vt__ds_list_remove(vt__list *n) {
    n->prev->next = n->next;
    n->next->prev = n->prev;
    n->next = n->prev = n;
}
VT__INLINE vt__list *vt__ds_list_pop(vt__list *head) {
    vt__list *n = head->next;
    if (n == head) return NULL;
    vt__ds_list_remove(n);
    return n;
}

/*==============================================================================
 * MARK: - @log     messages
 * uses:   @plat
 * test:   tests/test_base.c
 *============================================================================*/
static void vt__log_stderr(void *ctx, int level, const char *line) {
    static const char *const names[] = {"", "debug", "info", "warning", "error"};
    char buf[1100];
    (void)ctx;
    int n = snprintf(buf, sizeof buf, "vthttp: %s: %s\n", names[level], line);
    if (n > 0) (void)vt__plat_write(2, buf, VT__MIN((size_t)n, sizeof buf - 1));
}
static struct {
    vt_log_fn *fn;
    void *ctx;
    int min;
} vt__log_g = {vt__log_stderr, NULL, VT_LOG_INFO};

VT_API void vt_log_set(vt_log_fn *fn, void *ctx, int min_level) {
    vt__log_g.fn = fn ? fn : vt__log_stderr;
    vt__log_g.ctx = ctx;
    vt__log_g.min = min_level ? min_level : VT_LOG_INFO;
}

VT_API void vt_log(int level, const char *fmt, ...) {
    char line[1001];
    va_list ap;
    if (level < vt__log_g.min || level < VT_LOG_DEBUG || level > VT_LOG_ERROR) return;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    vt__log_g.fn(vt__log_g.ctx, level, line);
}

#if VTHTTP_HTTP
/*==============================================================================
 * MARK: - @uri     percent-encoding, path segments, queries, authority
 * uses:   @plat
 * pure.   RFC 3986 2-3, RFC 9110 4; < 0 is a VT__URI_E code.
 * test:   tests/test_uri.c   fuzz: fuzz/fuzz_uri.c
 *
 * Paths are split first and decoded after, segment by segment, so that %2F never makes a segment. '.' and '..', in any
 * spelling, are refused instead of resolved: a client resolves them before it sends (RFC 3986 5.2), and a path that two
 * programs in a row may resolve differently is how access rules are bypassed. '+' is a space in queries and forms only;
 * %00 is data there and an error in a path. Nothing is decoded twice, and nothing in place.
 *============================================================================*/
#define VT__URI_ERRORS(X)                                                                                    \
    X(ESCAPE, -11101, "'%' without two hex digits")                                                          \
    X(NUL, -11102, "%00 where it is not data")                                                               \
    X(DOTS, -11103, "dot segment in a path")                                                                 \
    X(SLASH, -11104, "encoded slash in a file name")                                                         \
    X(PATH, -11105, "path does not begin with '/'")                                                          \
    X(AUTHORITY, -11106, "bad host or port")                                                                 \
    X(SPACE, -11107, "output buffer too small")
enum vt__uri_err {
#define VT__URI_ERR_ENUM(name, code, text) VT__URI_E_##name = code,
    VT__URI_ERRORS(VT__URI_ERR_ENUM)
#undef VT__URI_ERR_ENUM
};

/* Flags of vt__uri_decode: a path has none, a query or an urlencoded form has VT__URI_FORM. */
#define VT__URI_PLUS 1U     /* '+' is a space */
#define VT__URI_NUL 2U      /* %00 is data */
#define VT__URI_NO_SLASH 4U /* %2F is an error: the result names a file */
#define VT__URI_FORM (VT__URI_PLUS | VT__URI_NUL)

enum { VT__URI_NAME, VT__URI_IP4, VT__URI_IP6 };
typedef struct vt__uri_auth {
    vt_str host;  /* as sent; brackets included */
    int32_t port; /* -1: none given */
    uint8_t kind; /* VT__URI_NAME, _IP4, _IP6 */
} vt__uri_auth;

typedef struct vt__uri_pair {
    vt_str name, value; /* raw; decode with VT__URI_FORM */
    bool has_value;     /* there was a '=' */
} vt__uri_pair;

/* What vt__uri_encode leaves alone. */
enum {
    VT__URI_SET_SEGMENT,  /* unreserved bytes: for one segment, one name or value */
    VT__URI_SET_PATH,     /* also '/', ':', '@' and sub-delims; '%' is encoded */
    VT__URI_SET_LOCATION, /* a reference that is encoded already: only bytes that no URI holds are encoded */
    VT__URI_SET_COOKIE,   /* cookie-octets (RFC 6265 4.1.1) but '%' */
    VT__URI_SET_FORM      /* as SEGMENT; space becomes '+' */
};

/* One table for the grammars of this section and of @h1. */
#define VT__URI_C_UNRES 1U   /* unreserved */
#define VT__URI_C_SUB 2U     /* sub-delims */
#define VT__URI_C_HEX 4U     /* HEXDIG */
#define VT__URI_C_PATH 8U    /* ':' '@' '/' */
#define VT__URI_C_ANY 16U    /* some URI may hold it, '%' included */
#define VT__URI_C_COOKIE 32U /* cookie-octet but '%' */
#define VT__URI_C_TOKEN 64U  /* tchar (RFC 9110 5.6.2) */
#define VT__URI_W (VT__URI_C_UNRES | VT__URI_C_ANY | VT__URI_C_COOKIE | VT__URI_C_TOKEN)
#define VT__URI_S (VT__URI_C_SUB | VT__URI_C_ANY)
#define VT__URI_G (VT__URI_C_ANY | VT__URI_C_COOKIE)
static const uint8_t vt__uri_class[256] = {
    ['0' ... '9'] = VT__URI_W | VT__URI_C_HEX,
    ['A' ... 'F'] = VT__URI_W | VT__URI_C_HEX,
    ['G' ... 'Z'] = VT__URI_W,
    ['a' ... 'f'] = VT__URI_W | VT__URI_C_HEX,
    ['g' ... 'z'] = VT__URI_W,
    ['-'] = VT__URI_W,
    ['.'] = VT__URI_W,
    ['_'] = VT__URI_W,
    ['~'] = VT__URI_W,
    ['!'] = VT__URI_S | VT__URI_C_COOKIE | VT__URI_C_TOKEN,
    ['$'] = VT__URI_S | VT__URI_C_COOKIE | VT__URI_C_TOKEN,
    ['&' ... '\''] = VT__URI_S | VT__URI_C_COOKIE | VT__URI_C_TOKEN,
    ['(' ... ')'] = VT__URI_S | VT__URI_C_COOKIE,
    ['*' ... '+'] = VT__URI_S | VT__URI_C_COOKIE | VT__URI_C_TOKEN,
    [','] = VT__URI_S,
    [';'] = VT__URI_S,
    ['='] = VT__URI_S | VT__URI_C_COOKIE,
    ['#'] = VT__URI_G | VT__URI_C_TOKEN,
    ['%'] = VT__URI_C_ANY | VT__URI_C_TOKEN,
    ['/'] = VT__URI_G | VT__URI_C_PATH,
    [':'] = VT__URI_G | VT__URI_C_PATH,
    ['@'] = VT__URI_G | VT__URI_C_PATH,
    ['?'] = VT__URI_G,
    ['['] = VT__URI_G,
    [']'] = VT__URI_G,
    ['<'] = VT__URI_C_COOKIE,
    ['>'] = VT__URI_C_COOKIE,
    ['{'] = VT__URI_C_COOKIE,
    ['}'] = VT__URI_C_COOKIE,
    ['^'] = VT__URI_C_COOKIE | VT__URI_C_TOKEN,
    ['`'] = VT__URI_C_COOKIE | VT__URI_C_TOKEN,
    ['|'] = VT__URI_C_COOKIE | VT__URI_C_TOKEN,
};
#undef VT__URI_W
#undef VT__URI_S
#undef VT__URI_G

VT__INLINE bool vt__uri_is(char c, unsigned classes) { return (vt__uri_class[(uint8_t)c] & classes) != 0; }

/* Value of a HEXDIG. */
VT__INLINE unsigned vt__uri_hex(char c) { return ((uint8_t)c & 15U) + ((uint8_t)c >> 6) * 9U; }

static VT__UNUSED const char *vt__uri_err_name(int err) {
    switch (err) {
#define VT__URI_ERR_CASE(name, code, text)                                                                   \
    case code: return text;
        VT__URI_ERRORS(VT__URI_ERR_CASE)
#undef VT__URI_ERR_CASE
    default: return "?";
    }
}

static VT__UNUSED int vt__uri_err_status(int err) { return err == VT__URI_E_SPACE ? 500 : 400; }

/* The byte at in.ptr[i], decoded; *used is 1 or 3. < 0: error. */
VT__INLINE int vt__uri_byte(vt_str in, size_t i, unsigned flags, size_t *used) {
    char c = in.ptr[i];
    *used = 1;
    if (c == '+' && (flags & VT__URI_PLUS)) return ' ';
    if (VT__LIKELY(c != '%')) return (uint8_t)c;
    if (in.len - i < 3 || !vt__uri_is(in.ptr[i + 1], VT__URI_C_HEX) ||
        !vt__uri_is(in.ptr[i + 2], VT__URI_C_HEX))
        return VT__URI_E_ESCAPE;
    unsigned v = vt__uri_hex(in.ptr[i + 1]) << 4 | vt__uri_hex(in.ptr[i + 2]);
    if (v == 0 && !(flags & VT__URI_NUL)) return VT__URI_E_NUL;
    if (v == '/' && (flags & VT__URI_NO_SLASH)) return VT__URI_E_SLASH;
    *used = 3;
    return (int)v;
}

/* Decodes into out, without a terminator; the length is at most in.len. out NULL: only checks and counts. */
static VT__UNUSED ptrdiff_t vt__uri_decode(char *out, size_t cap, vt_str in, unsigned flags) {
    size_t n = 0, used;
    for (size_t i = 0; i < in.len; i += used) {
        int c = vt__uri_byte(in, i, flags, &used);
        if (VT__UNLIKELY(c < 0)) return c;
        if (out) {
            if (VT__UNLIKELY(n == cap)) return VT__URI_E_SPACE;
            out[n] = (char)c;
        }
        n++;
    }
    return (ptrdiff_t)n;
}

/* True if raw decodes to exactly `plain`; a bad escape equals nothing. */
static VT__UNUSED bool vt__uri_decoded_eq(vt_str raw, vt_str plain, unsigned flags) {
    size_t n = 0, used;
    for (size_t i = 0; i < raw.len; i += used) {
        int c = vt__uri_byte(raw, i, flags, &used);
        if (c < 0 || n == plain.len || (uint8_t)plain.ptr[n] != c) return false;
        n++;
    }
    return n == plain.len;
}

/* Raw segments between slashes, *pos from 0 on: 1, or 0 at the end. "/" has one empty segment, "/a/" has "a" and "". */
static VT__UNUSED int vt__uri_segment_next(vt_str path, size_t *pos, vt_str *seg) {
    size_t i = *pos;
    if (i >= path.len) return 0;
    if (path.ptr[i] == '/') i++;
    const char *start = path.ptr + i, *slash = i < path.len ? memchr(start, '/', path.len - i) : NULL;
    seg->ptr = start;
    seg->len = slash ? (size_t)(slash - start) : path.len - i;
    *pos = i + seg->len;
    return 1;
}

static bool vt__uri_is_dots(vt_str seg) {
    static const vt_str one = {".", 1}, two = {"..", 2};
    if (seg.len == 0 || seg.len > 6 || (seg.ptr[0] != '.' && seg.ptr[0] != '%')) return false;
    return vt__uri_decoded_eq(seg, one, 0) || vt__uri_decoded_eq(seg, two, 0);
}

/* Before routing: the number of segments, or why the path is refused. Decoding a segment of a path that passed can fail
 * for want of space only (and by VT__URI_NO_SLASH). */
static VT__UNUSED int vt__uri_path_check(vt_str path) {
    size_t pos = 0;
    int count = 0;
    vt_str seg;
    if (path.len == 0 || path.ptr[0] != '/') return VT__URI_E_PATH;
    while (vt__uri_segment_next(path, &pos, &seg)) {
        ptrdiff_t n = vt__uri_decode(NULL, 0, seg, 0);
        if (n < 0) return (int)n;
        if (vt__uri_is_dots(seg)) return VT__URI_E_DOTS;
        count++;
    }
    return count;
}

/* Pairs between '&', empty ones skipped, *pos from 0 on: 1, or 0 at the end. */
static VT__UNUSED int vt__uri_pair_next(vt_str query, size_t *pos, vt__uri_pair *pair) {
    size_t i = *pos;
    while (i < query.len && query.ptr[i] == '&') i++;
    *pos = i;
    if (i == query.len) return 0;
    const char *start = query.ptr + i, *amp = memchr(start, '&', query.len - i);
    size_t len = amp ? (size_t)(amp - start) : query.len - i;
    const char *eq = memchr(start, '=', len);
    size_t name = eq ? (size_t)(eq - start) : len;
    pair->has_value = eq != NULL;
    pair->name = (vt_str){start, name};
    pair->value = eq ? (vt_str){eq + 1, len - name - 1} : (vt_str){start + len, 0};
    *pos = i + len;
    return 1;
}

/* The number of pairs, or < 0 when an escape is undecodable. */
static VT__UNUSED int vt__uri_query_check(vt_str query) {
    size_t pos = 0;
    int count = 0;
    vt__uri_pair pair;
    ptrdiff_t n = vt__uri_decode(NULL, 0, query, VT__URI_FORM);
    if (n < 0) return (int)n;
    while (vt__uri_pair_next(query, &pos, &pair)) count++;
    return count;
}

/* IPv4address: four dec-octets, no leading zeros. */
static bool vt__uri_ip4(const char *p, size_t n) {
    size_t i = 0;
    for (int octet = 0; octet < 4; octet++) {
        unsigned v = 0;
        if (octet && (i == n || p[i++] != '.')) return false;
        size_t start = i;
        while (i < n && i - start < 3 && p[i] >= '0' && p[i] <= '9') v = v * 10 + (unsigned)(p[i++] - '0');
        if (i == start || v > 255 || (p[start] == '0' && i - start > 1)) return false;
    }
    return i == n;
}

/* IPv6address without brackets; no zone. "::" stands for one group or more. */
static bool vt__uri_ip6(const char *p, size_t n) {
    size_t i = 0, groups = 0;
    bool gap = n >= 2 && p[0] == ':' && p[1] == ':';
    if (gap) i = 2;
    while (i < n) {
        size_t start = i;
        while (i < n && i - start < 4 && vt__uri_is(p[i], VT__URI_C_HEX)) i++;
        if (i < n && p[i] == '.')
            return vt__uri_ip4(p + start, n - start) && (gap ? groups <= 5 : groups == 6);
        if (i == start || ++groups > 8) return false;
        if (i == n) break;
        if (p[i++] != ':' || i == n) return false;
        if (p[i] != ':') continue;
        if (gap) return false;
        gap = true;
        i++;
    }
    return gap ? groups <= 7 : groups == 8;
}

/* Length of the reg-name (IPv4 included) at the start of s, up to ':' or the end; 0: bad or empty. */
static size_t vt__uri_reg_name(vt_str s) {
    size_t i = 0;
    while (i < s.len) {
        if (VT__LIKELY(vt__uri_is(s.ptr[i], VT__URI_C_UNRES | VT__URI_C_SUB))) i++;
        else if (s.ptr[i] == ':') return i;
        else if (s.ptr[i] == '%' && s.len - i >= 3 && vt__uri_is(s.ptr[i + 1], VT__URI_C_HEX) &&
                 vt__uri_is(s.ptr[i + 2], VT__URI_C_HEX))
            i += 3;
        else return 0;
    }
    return i;
}

/* ":" 1*5DIGIT up to 65535, or nothing. -1: nothing; -2: bad. */
static int32_t vt__uri_port(vt_str s) {
    int32_t v = 0;
    if (s.len == 0) return -1;
    if (s.ptr[0] != ':' || s.len < 2 || s.len > 6) return -2;
    for (size_t i = 1; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9') return -2;
        v = v * 10 + (s.ptr[i] - '0');
    }
    return v <= 65535 ? v : -2;
}

/* host[:port]; no userinfo, no empty host, no colon without a port, of IP-literals only IPv6. 0 or VT__URI_E_AUTHORITY. */
static VT__UNUSED int vt__uri_authority(vt_str s, vt__uri_auth *out) {
    size_t n;
    out->kind = VT__URI_NAME;
    if (s.len && s.ptr[0] == '[') {
        const char *end = memchr(s.ptr, ']', s.len);
        n = end ? (size_t)(end - s.ptr) + 1 : 0;
        if (n < 4 || !vt__uri_ip6(s.ptr + 1, n - 2)) return VT__URI_E_AUTHORITY;
        out->kind = VT__URI_IP6;
    } else if ((n = vt__uri_reg_name(s)) == 0) {
        return VT__URI_E_AUTHORITY;
    } else if (s.ptr[0] <= '9' && vt__uri_ip4(s.ptr, n)) {
        out->kind = VT__URI_IP4;
    }
    out->host = (vt_str){s.ptr, n};
    out->port = vt__uri_port((vt_str){s.ptr + n, s.len - n});
    return out->port == -2 ? VT__URI_E_AUTHORITY : 0;
}

/* The length (at most 3 * in.len), or VT__URI_E_SPACE. out NULL: only counts. */
static VT__UNUSED ptrdiff_t vt__uri_encode(char *out, size_t cap, vt_str in, int set) {
    static const uint8_t keep[] = {VT__URI_C_UNRES, VT__URI_C_UNRES | VT__URI_C_SUB | VT__URI_C_PATH,
                                   VT__URI_C_ANY, VT__URI_C_COOKIE, VT__URI_C_UNRES};
    static const char digits[] = "0123456789ABCDEF";
    size_t n = 0;
    for (size_t i = 0; i < in.len; i++) {
        char c = in.ptr[i];
        bool space = c == ' ' && set == VT__URI_SET_FORM, plain = space || vt__uri_is(c, keep[set]);
        size_t need = plain ? 1 : 3;
        if (out) {
            if (need > cap - n) return VT__URI_E_SPACE;
            out[n] = plain ? space ? '+' : c : '%';
            if (!plain) out[n + 1] = digits[(uint8_t)c >> 4], out[n + 2] = digits[(uint8_t)c & 15];
        }
        n += need;
    }
    return (ptrdiff_t)n;
}

/*==============================================================================
 * MARK: - @h1      HTTP/1.1 codec: request and response heads, field sections, chunked bodies, encoders
 * uses:   @plat @str @uri
 * pure.   RFC 9112 2-7, RFC 9110 5-7. A head: START -> METHOD -> TARGET -> VERSION (or STATUS) -> FIELDS -> DONE.
 * test:   tests/test_h1.c tests/test_h1_res.c   fuzz: fuzz/fuzz_h1.c fuzz/fuzz_h1res.c fuzz/fuzz_chunk.c
 *
 * Two passes. The first turns a window of bytes into bit sets: controls and bytes that are no tchar (in the request
 * line: bytes that end a target, and '?'). The second goes from bit to bit: the first non-tchar of a line has to be its
 * colon, the next control its CR. So validation costs nothing beside finding the ends. The first pass exists for
 * AVX2, SSE2, NEON and plain words; all give the same control bits, and the two without a byte shuffle may mark
 * some tchars too, which the second pass looks up.
 *
 * Strict, and the same for every split of the input: an error depends on the bytes alone, is reported at the byte that
 * makes it certain, and limits clamp what is looked at instead of being compared afterwards. There is no lenient mode.
 *============================================================================*/
/* clang-format off */
#define VT__H1_ERRORS(X) \
    X(METHOD, -11201, 400, "bad method")                                   \
    X(METHOD_LONG, -11202, 501, "method longer than any known")            \
    X(TARGET, -11203, 400, "bad request target")                           \
    X(TARGET_LONG, -11204, 414, "request line over its limit")             \
    X(FORM, -11205, 400, "target form does not fit the method")            \
    X(VERSION, -11206, 400, "bad protocol version")                        \
    X(UNSUPPORTED, -11207, 505, "unsupported protocol version")            \
    X(LF, -11208, 400, "LF without CR")                                    \
    X(CR, -11209, 400, "CR without LF")                                    \
    X(FOLD, -11210, 400, "line folding")                                   \
    X(NAME, -11211, 400, "bad field name")                                 \
    X(NAME_EMPTY, -11212, 400, "empty field name")                         \
    X(NAME_SPACE, -11213, 400, "space in or after a field name")           \
    X(COLON, -11214, 400, "field line without a colon")                    \
    X(VALUE, -11215, 400, "control byte in a field value")                 \
    X(SECTION, -11216, 431, "field section over its limit")                \
    X(FIELD, -11217, 431, "field over its limit")                          \
    X(FIELDS, -11218, 431, "too many fields")                              \
    X(HOST, -11219, 400, "bad Host")                                       \
    X(HOST_MISSING, -11220, 400, "no Host")                                \
    X(HOST_TWICE, -11221, 400, "more than one Host")                       \
    X(LENGTH, -11222, 400, "bad Content-Length")                           \
    X(LENGTH_TWICE, -11223, 400, "more than one Content-Length")           \
    X(CODING, -11224, 400, "bad Transfer-Encoding")                        \
    X(CODING_UNKNOWN, -11225, 501, "unknown transfer coding")              \
    X(CODING_LENGTH, -11226, 400, "Transfer-Encoding with Content-Length") \
    X(CODING_OLD, -11227, 400, "Transfer-Encoding in HTTP/1.0")            \
    X(CHUNK_SIZE, -11228, 400, "bad chunk size")                           \
    X(CHUNK_LARGE, -11229, 413, "chunk over its limit")                    \
    X(CHUNK_LINE, -11230, 400, "chunk line over its limit")                \
    X(CHUNK_EXT, -11231, 400, "bad chunk extension")                       \
    X(CHUNK_EXTS, -11232, 400, "chunk extensions over their limit")        \
    X(CHUNK_END, -11233, 400, "chunk not followed by CRLF")                \
    X(TRAILER, -11234, 400, "field not allowed in trailers")               \
    X(STATUS, -11235, 500, "bad status code")                              \
    X(SPACE, -11236, 500, "output buffer too small")                       \
    X(STATUS_LINE, -11237, 502, "bad status line")                         \
    X(STATUS_LONG, -11238, 502, "status line over its limit")
/* clang-format on */
enum vt__h1_err {
#define VT__H1_ERR_ENUM(name, code, status, text) VT__H1_E_##name = code,
    VT__H1_ERRORS(VT__H1_ERR_ENUM)
#undef VT__H1_ERR_ENUM
};

static VT__UNUSED int vt__h1_err_status(int err) {
    switch (err) {
#define VT__H1_ERR_CASE(name, code, status, text)                                                            \
    case code: return status;
        VT__H1_ERRORS(VT__H1_ERR_CASE)
#undef VT__H1_ERR_CASE
    default: return 500;
    }
}

static VT__UNUSED const char *vt__h1_err_name(int err) {
    switch (err) {
#define VT__H1_ERR_CASE(name, code, status, text)                                                            \
    case code: return text;
        VT__H1_ERRORS(VT__H1_ERR_CASE)
#undef VT__H1_ERR_CASE
    default: return "?";
    }
}

/* clang-format off */
#define VT__H1_METHODS(X) \
    X(GET)     X(HEAD)    X(POST)    X(PUT)     X(DELETE)  X(CONNECT) X(OPTIONS) X(TRACE)   X(PATCH) \
    X(QUERY)
/* clang-format on */
enum {
    VT__H1_M_OTHER,
#define VT__H1_METHOD_ENUM(name) VT__H1_M_##name,
    VT__H1_METHODS(VT__H1_METHOD_ENUM)
#undef VT__H1_METHOD_ENUM
};

/* Known fields: enum name, slot in the hash table (see vt__h1_slot), name. The first six decide on framing and the
 * connection. A test recomputes the slots. */
/* clang-format off */
#define VT__H1_FIELDS(X) \
    X(HOST, 138, "host")                                                                                 \
    X(CONNECTION, 160, "connection")                                                                     \
    X(CONTENT_LENGTH, 173, "content-length")                                                             \
    X(TRANSFER_ENCODING, 222, "transfer-encoding")                                                       \
    X(EXPECT, 100, "expect")                                                                             \
    X(UPGRADE, 38, "upgrade")                                                                            \
    X(TE, 68, "te")                                                                                      \
    X(TRAILER, 209, "trailer")                                                                           \
    X(KEEP_ALIVE, 55, "keep-alive")                                                                      \
    X(PROXY_CONNECTION, 66, "proxy-connection")                                                          \
    X(ACCEPT, 8, "accept")                             X(ACCEPT_CHARSET, 75, "accept-charset")           \
    X(ACCEPT_ENCODING, 82, "accept-encoding")          X(ACCEPT_LANGUAGE, 89, "accept-language")         \
    X(ACCEPT_RANGES, 243, "accept-ranges")                                                               \
    X(ACCESS_CONTROL_REQUEST_HEADERS, 10, "access-control-request-headers")                              \
    X(ACCESS_CONTROL_REQUEST_METHOD, 110, "access-control-request-method")                               \
    X(AGE, 7, "age")                                   X(ALLOW, 194, "allow")                            \
    X(AUTHORIZATION, 139, "authorization")             X(CACHE_CONTROL, 155, "cache-control")            \
    X(CONTENT_DISPOSITION, 221, "content-disposition") X(CONTENT_ENCODING, 24, "content-encoding")       \
    X(CONTENT_LANGUAGE, 31, "content-language")        X(CONTENT_LOCATION, 19, "content-location")       \
    X(CONTENT_RANGE, 71, "content-range")              X(CONTENT_TYPE, 250, "content-type")              \
    X(COOKIE, 14, "cookie")                            X(DATE, 13, "date")                               \
    X(DNT, 18, "dnt")                                  X(ETAG, 107, "etag")                              \
    X(EXPIRES, 247, "expires")                         X(FORWARDED, 158, "forwarded")                    \
    X(FROM, 234, "from")                               X(IF_MATCH, 93, "if-match")                       \
    X(IF_MODIFIED_SINCE, 176, "if-modified-since")     X(IF_NONE_MATCH, 94, "if-none-match")             \
    X(IF_RANGE, 121, "if-range")                       X(IF_UNMODIFIED_SINCE, 60, "if-unmodified-since") \
    X(LAST_EVENT_ID, 219, "last-event-id")             X(LAST_MODIFIED, 113, "last-modified")            \
    X(LINK, 1, "link")                                 X(LOCATION, 229, "location")                      \
    X(MAX_FORWARDS, 162, "max-forwards")               X(ORIGIN, 114, "origin")                          \
    X(PRAGMA, 43, "pragma")                            X(PRIORITY, 33, "priority")                       \
    X(PROXY_AUTHORIZATION, 46, "proxy-authorization")  X(RANGE, 6, "range")                              \
    X(REFERER, 15, "referer")                          X(RETRY_AFTER, 54, "retry-after")                 \
    X(SEC_CH_UA, 190, "sec-ch-ua")                     X(SEC_CH_UA_MOBILE, 156, "sec-ch-ua-mobile")      \
    X(SEC_CH_UA_PLATFORM, 95, "sec-ch-ua-platform")    X(SEC_FETCH_DEST, 83, "sec-fetch-dest")           \
    X(SEC_FETCH_MODE, 124, "sec-fetch-mode")           X(SEC_FETCH_SITE, 200, "sec-fetch-site")          \
    X(SEC_FETCH_USER, 205, "sec-fetch-user")           X(SEC_GPC, 17, "sec-gpc")                         \
    X(SEC_WEBSOCKET_ACCEPT, 216, "sec-websocket-accept")                                                 \
    X(SEC_WEBSOCKET_EXTENSIONS, 16, "sec-websocket-extensions")                                          \
    X(SEC_WEBSOCKET_KEY, 170, "sec-websocket-key")                                                       \
    X(SEC_WEBSOCKET_PROTOCOL, 105, "sec-websocket-protocol")                                             \
    X(SEC_WEBSOCKET_VERSION, 178, "sec-websocket-version")                                               \
    X(SERVER, 132, "server")                           X(SET_COOKIE, 37, "set-cookie")                   \
    X(TRACEPARENT, 232, "traceparent")                 X(TRACESTATE, 80, "tracestate")                   \
    X(UPGRADE_INSECURE_REQUESTS, 4, "upgrade-insecure-requests")                                         \
    X(USER_AGENT, 49, "user-agent")                    X(VARY, 237, "vary")                              \
    X(VIA, 131, "via")                                 X(WWW_AUTHENTICATE, 77, "www-authenticate")       \
    X(X_FORWARDED_FOR, 97, "x-forwarded-for")          X(X_FORWARDED_HOST, 159, "x-forwarded-host")      \
    X(X_FORWARDED_PROTO, 185, "x-forwarded-proto")     X(X_REAL_IP, 253, "x-real-ip")                    \
    X(X_REQUEST_ID, 48, "x-request-id")                X(X_REQUESTED_WITH, 141, "x-requested-with")      \
    X(HTTP2_SETTINGS, 208, "http2-settings")
/* clang-format on */
enum {
    VT__H1_F_OTHER,
#define VT__H1_FIELD_ENUM(id, slot, text) VT__H1_F_##id,
    VT__H1_FIELDS(VT__H1_FIELD_ENUM)
#undef VT__H1_FIELD_ENUM
        VT__H1_F_COUNT
};

enum { VT__H1_ORIGIN = 1, VT__H1_ABSOLUTE, VT__H1_AUTHORITY, VT__H1_ASTERISK };

/* One field line; offsets from the buf of the call; the value has no SP or HTAB at its ends. */
typedef struct vt__h1_field {
    uint32_t name_off, value_off, value_len;
    uint16_t name_len;
    uint8_t id; /* VT__H1_F_x of the first six; 0: found by name */
    uint8_t rsvd;
} vt__h1_field;

/* Zero = default. The number of fields is limited by the capacity of their array. */
typedef struct vt__h1_limits {
    uint32_t line;       /* request line without CRLF; 8192; over: 414; a status line likewise */
    uint32_t section;    /* name + value + 32 a field, also raw bytes; 16384; over: 431 */
    uint32_t field;      /* name + value of one field; as section; over: 431 */
    uint32_t chunk_line; /* a chunk-size line with its extensions; 1024; over: 400 */
    uint32_t chunk_ext;  /* extensions of a whole body; 8192; over: 400 */
    uint32_t trailer;    /* as section, for trailers; 4096; over: 431 */
    uint64_t chunk;      /* one chunk; 2^63-1; over: 413 */
} vt__h1_limits;

/* Facts, settled when vt__h1_req_parse or vt__h1_res_parse returns > 0. */
enum {
    VT__H1_KEEP_ALIVE = 1 << 0,   /* another request, or response, may follow on the connection */
    VT__H1_CHUNKED = 1 << 1,      /* the body is chunked */
    VT__H1_HAS_LENGTH = 1 << 2,   /* Content-Length was given */
    VT__H1_EXPECT_100 = 1 << 3,   /* HTTP/1.1, a body follows, and 100 is wanted first */
    VT__H1_EXPECT_OTHER = 1 << 4, /* HTTP/1.1 and another expectation: 417 */
    VT__H1_UPGRADE = 1 << 5,      /* HTTP/1.1, Upgrade with a value, Connection: upgrade */
    VT__H1_HAS_QUERY = 1 << 6,    /* the target holds a '?' */
    VT__H1_HAS_HOST = 1 << 7,
    VT__H1_CONN_CLOSE = 1 << 8,
    VT__H1_CONN_KEEP = 1 << 9,
    VT__H1_CONN_UPGRADE = 1 << 10
};

enum { VT__H1_S_START, VT__H1_S_METHOD, VT__H1_S_TARGET, VT__H1_S_VERSION, VT__H1_S_FIELDS };

/* Where a field section stands. */
typedef struct vt__h1_sect {
    uint32_t line;  /* start of the current line */
    uint32_t value; /* after its colon; 0: not seen */
    uint32_t scan;  /* bytes before it need no second look */
    uint32_t n;
    uint32_t size,
        sized; /* name + value + 32, summed over the first `sized` fields: only near the limit is it counted */
} vt__h1_sect;

/* A request head. Zero it before each; offsets are from the buf of the call, whose bytes may move between calls. */
typedef struct vt__h1_req {
    uint32_t method_off, target_off, target_len;
    uint32_t path_off, path_len;   /* len 0: absolute-form without a path, or CONNECT */
    uint32_t query_off, query_len; /* after the '?'; see VT__H1_HAS_QUERY */
    uint32_t auth_off, auth_len;   /* the target's authority, else Host */
    uint32_t nfields;
    int64_t content_length; /* 0 without VT__H1_HAS_LENGTH */
    uint16_t method_len;
    uint16_t flags;
    uint8_t method, form, minor;
    uint8_t state; /* private from here on */
    uint8_t seen;
    vt__h1_sect s;
} vt__h1_req;
enum { VT__H1_SEEN_CODING = 1, VT__H1_SEEN_CHUNKED = 2, VT__H1_SEEN_UNKNOWN = 4, VT__H1_SEEN_UPGRADE = 8 };

/* How the end of a response's content is found (RFC 9112 6.3). */
enum vt__h1_until {
    VT__H1_UNTIL_HEAD,   /* it has none */
    VT__H1_UNTIL_LENGTH, /* content_length */
    VT__H1_UNTIL_CHUNK,  /* chunked */
    VT__H1_UNTIL_CLOSE,  /* whatever comes, to the end of the connection */
    VT__H1_UNTIL_OTHER   /* the connection is another protocol's from here on: 101, or 2xx to CONNECT */
};

/* A response head, used as vt__h1_req. */
typedef struct vt__h1_res {
    uint32_t reason_off, reason_len;
    uint16_t status;
    uint8_t until;
    vt__h1_req head; /* what both kinds have: nfields, flags, content_length, minor; the rest is unused */
} vt__h1_res;

/* ---- pass 1: bytes to bit sets ---- */

#ifndef VT__H1_EVERY
#define VT__H1_EVERY 0 /* 1: also the version that this architecture does not need; for tests */
#endif
enum { VT__H1_WINDOW = 768, VT__H1_WINDOW_FIRST = 64 }; /* the first is enough for a short head */
/* odd: bit i of word i / 64 says that byte from + i is no tchar (or may be none, see above); the bit of `to` is set, as a
 * sentinel, and none beyond. ends: where a run of controls other than HTAB begins, counted from `from`. A list, so that
 * the start of a line does not have to wait for the search in the line before it. */
typedef struct vt__h1_win {
    uint32_t from, to, nends;
    uint16_t ends[VT__H1_WINDOW / 2];
    uint64_t odd[VT__H1_WINDOW / 64 + 1];
    uint8_t pad[32]; /* of vt__h1_tail */
} vt__h1_win;

/* Two bit sets of one vector of bytes. */
typedef void vt__h1_unit(const uint8_t *p, uint64_t *a, uint64_t *b);

VT__INLINE uint64_t vt__h1_le64(const void *p) {
    uint64_t v;
    memcpy(&v, p, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    return v;
}

/* Written out, as compilers leave such loops alone at -O2. */
VT__INLINE void vt__h1_block(vt__h1_unit *unit, size_t width, const uint8_t *p, uint64_t *a, uint64_t *b) {
    uint64_t x, y;
    unit(p, a, b);
    unit(p + width, &x, &y), *a |= x << width, *b |= y << width;
    if (width == 32) return;
    unit(p + 2 * width, &x, &y), *a |= x << 2 * width, *b |= y << 2 * width;
    unit(p + 3 * width, &x, &y), *a |= x << 3 * width, *b |= y << 3 * width;
    if (width == 16) return;
    unit(p + 32, &x, &y), *a |= x << 32, *b |= y << 32;
    unit(p + 40, &x, &y), *a |= x << 40, *b |= y << 40;
    unit(p + 48, &x, &y), *a |= x << 48, *b |= y << 48;
    unit(p + 56, &x, &y), *a |= x << 56, *b |= y << 56;
}

/* A vector of the n < width bytes before end, with zeros before them: the buffer does not reach farther back. */
static VT__NOINLINE const uint8_t *vt__h1_pad(uint8_t pad[32], size_t width, const uint8_t *end, size_t n) {
    memset(pad, 0, 32);
    for (size_t i = 1; i <= n; i++) pad[width - i] = end[-(ptrdiff_t)i];
    return pad;
}

/* The n < 64 bytes before `end`. Vectors that end there are read as far as the buffer reaches back, so that nothing past
 * the end is touched, and nothing is copied but at the very start of a buffer. */
VT__INLINE void vt__h1_tail(vt__h1_unit *unit, size_t width, const uint8_t *end, size_t n, size_t readable,
                            uint8_t pad[32], uint64_t *a, uint64_t *b) {
    if (VT__LIKELY(readable >= 64)) {
        vt__h1_block(unit, width, end - 64, a, b);
    } else {
        *a = *b = 0;
        for (size_t got = 0; got < n; got += width) {
            uint64_t x, y;
            bool whole = got + width <= readable;
            unit(VT__LIKELY(whole) ? end - got - width : vt__h1_pad(pad, width, end - got, n - got), &x, &y);
            *a |= x << (64 - width - got), *b |= y << (64 - width - got);
        }
    }
    *a >>= 64 - n;
    *b >>= 64 - n;
}

/* Lists the first bits of the runs in ctl, the block at `base`; *carry is the bit before it. The end of the list. */
VT__INLINE uint16_t *vt__h1_runs(uint16_t *ends, uint32_t base, uint64_t ctl, uint64_t *carry) {
    uint64_t starts = ctl & ~(ctl << 1 | *carry);
    *carry = ctl >> 63;
    for (; starts; starts &= starts - 1) *ends++ = (uint16_t)(base + (uint32_t)__builtin_ctzll(starts));
    return ends;
}

/* Fills w for buf[w->from, w->to). */
VT__INLINE void vt__h1_scan(vt__h1_unit *unit, size_t width, const uint8_t *buf, vt__h1_win *w) {
    const uint8_t *p = buf + w->from, *end = buf + w->to;
    uint64_t ctl, odd, carry = 0, *out = w->odd;
    uint32_t base = 0;
    uint16_t *ends = w->ends;
    for (; end - p >= 64; p += 64, base += 64) {
        vt__h1_block(unit, width, p, &ctl, out++);
        ends = vt__h1_runs(ends, base, ctl, &carry);
    }
    size_t n = (size_t)(end - p);
    odd = 0;
    if (n) {
        vt__h1_tail(unit, width, end, n, (size_t)(end - buf), w->pad, &ctl, &odd);
        ends = vt__h1_runs(ends, base, ctl, &carry);
    }
    w->nends = (uint32_t)(ends - w->ends);
    *out = odd | UINT64_C(1) << n;
}

/* The first byte at or after `from` that ends a request target, or `to`; *mark, unless it is set already, becomes what
 * follows the first '?' before it. */
VT__INLINE uint32_t vt__h1_find_stop(vt__h1_unit *unit, uint32_t width, const uint8_t *buf, uint32_t from,
                                     uint32_t to, uint32_t *mark) {
    for (; to - from >= width; from += width) {
        uint64_t a, b;
        unit(buf + from, &a, &b);
        b &= a ^ (a - 1); /* not behind the stop */
        if (VT__UNLIKELY(b && !*mark)) *mark = from + (uint32_t)__builtin_ctzll(b) + 1;
        if (a) return from + (uint32_t)__builtin_ctzll(a);
    }
    for (; from < to; from++) {
        if (buf[from] <= ' ' || buf[from] >= 0x7f || buf[from] == '#') return from;
        if (buf[from] == '?' && !*mark) *mark = from + 1;
    }
    return to;
}

/* Eight bytes in a word, exact for each: no carry leaves its byte. Results have bit 7 of each byte. */
#define VT__H1_ONES (~UINT64_C(0) / 255)
VT__INLINE uint64_t vt__h1_word_ge(uint64_t x, uint8_t n) { /* 1 <= n <= 128 */
    return (((x & VT__H1_ONES * 0x7f) + VT__H1_ONES * (0x80U - n)) | x) & VT__H1_ONES * 0x80;
}
VT__INLINE uint64_t vt__h1_word_eq(uint64_t x, uint8_t c) {
    uint64_t z = x ^ VT__H1_ONES * c;
    return ~(((z & VT__H1_ONES * 0x7f) + VT__H1_ONES * 0x7f) | z) & VT__H1_ONES * 0x80;
}
VT__INLINE uint64_t vt__h1_word_ctl(uint64_t x) {
    uint64_t low = ~vt__h1_word_ge(x, 0x20) & VT__H1_ONES * 0x80;
    return (low & ~vt__h1_word_eq(x, '\t')) | vt__h1_word_eq(x, 0x7f);
}
VT__INLINE uint64_t vt__h1_word_alnum(uint64_t x) {
    uint64_t low = x | VT__H1_ONES * 0x20;
    return (vt__h1_word_ge(low, 'a') & ~vt__h1_word_ge(low, 'z' + 1)) |
           (vt__h1_word_ge(x, '0') & ~vt__h1_word_ge(x, '9' + 1));
}
VT__INLINE uint64_t vt__h1_word_bits(uint64_t m) { return (m >> 7) * UINT64_C(0x0102040810204080) >> 56; }

VT__INLINE void vt__h1_word_fields(const uint8_t *p, uint64_t *a, uint64_t *b) {
    uint64_t x = vt__h1_le64(p);
    *a = vt__h1_word_bits(vt__h1_word_ctl(x));
    *b = vt__h1_word_bits(~(vt__h1_word_alnum(x) | vt__h1_word_eq(x, '-')) & VT__H1_ONES * 0x80);
}
VT__INLINE void vt__h1_word_line(const uint8_t *p, uint64_t *a, uint64_t *b) {
    uint64_t x = vt__h1_le64(p), low = ~vt__h1_word_ge(x, 0x21);
    *a = vt__h1_word_bits((low | vt__h1_word_ge(x, 0x7f) | vt__h1_word_eq(x, '#')) & VT__H1_ONES * 0x80);
    *b = vt__h1_word_bits(vt__h1_word_eq(x, '?'));
}
#if VT__H1_EVERY || !(VT__X86_64 || VT__AARCH64)
static void vt__h1_fields_word(const uint8_t *buf, vt__h1_win *w) {
    vt__h1_scan(vt__h1_word_fields, 8, buf, w);
}
#endif
/* Bytes that are no letter, digit, '.' or '-'. */
VT__INLINE uint64_t vt__h1_word_host(const uint8_t *p) {
    uint64_t x = vt__h1_le64(p);
    uint64_t good = vt__h1_word_alnum(x) | vt__h1_word_eq(x, '.') | vt__h1_word_eq(x, '-');
    return vt__h1_word_bits(~good & VT__H1_ONES * 0x80);
}
VT__INLINE uint32_t vt__h1_stop_word(const uint8_t *buf, uint32_t from, uint32_t to, uint32_t *mark) {
    return vt__h1_find_stop(vt__h1_word_line, 8, buf, from, to, mark);
}

/* A byte's class by two look-ups: the and of low[its low half] and high[its high half] is 0x01..0x1f for a tchar, at least
 * 0x20 for a control but HTAB, else 0. Rows 2 to 5 and 7 have bits 0 to 4; row 6 holds what rows 3 and 4 hold together. */
#define VT__H1_CLASS_LOW                                                                                     \
    0x7a, 0x7f, 0x7e, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7e, 0x3e, 0x7d, 0x65, 0x74, 0x65, 0x7d, 0xec
#define VT__H1_CLASS_HIGH 0x40, 0x20, 0x01, 0x02, 0x04, 0x08, 0x06, 0x90, 0, 0, 0, 0, 0, 0, 0, 0

#if VT__X86_64
#include <immintrin.h>
VT__INLINE void vt__h1_sse2_fields(const uint8_t *p, uint64_t *a, uint64_t *b) {
    __m128i x = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(x, _mm_set1_epi8(0x1f)), x);
    __m128i ctl = _mm_or_si128(_mm_andnot_si128(_mm_cmpeq_epi8(x, _mm_set1_epi8('\t')), low),
                               _mm_cmpeq_epi8(x, _mm_set1_epi8(0x7f)));
    __m128i letter = _mm_sub_epi8(_mm_or_si128(x, _mm_set1_epi8(0x20)), _mm_set1_epi8('a'));
    __m128i digit = _mm_sub_epi8(x, _mm_set1_epi8('0'));
    __m128i good = _mm_or_si128(_mm_cmpeq_epi8(_mm_min_epu8(letter, _mm_set1_epi8(25)), letter),
                                _mm_cmpeq_epi8(_mm_min_epu8(digit, _mm_set1_epi8(9)), digit));
    good = _mm_or_si128(good, _mm_cmpeq_epi8(x, _mm_set1_epi8('-')));
    *a = (uint32_t)_mm_movemask_epi8(ctl);
    *b = (uint32_t)_mm_movemask_epi8(good) ^ 0xffffU;
}
VT__INLINE void vt__h1_sse2_line(const uint8_t *p, uint64_t *a, uint64_t *b) {
    __m128i x = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i stop = _mm_or_si128(
        _mm_cmplt_epi8(x, _mm_set1_epi8(0x21)),
        _mm_or_si128(_mm_cmpeq_epi8(x, _mm_set1_epi8(0x7f)), _mm_cmpeq_epi8(x, _mm_set1_epi8('#'))));
    *a = (uint32_t)_mm_movemask_epi8(stop);
    *b = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(x, _mm_set1_epi8('?')));
}
static void vt__h1_fields_sse2(const uint8_t *buf, vt__h1_win *w) {
    vt__h1_scan(vt__h1_sse2_fields, 16, buf, w);
}
VT__INLINE uint64_t vt__h1_sse2_host(const uint8_t *p) {
    __m128i x = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i letter = _mm_sub_epi8(_mm_or_si128(x, _mm_set1_epi8(0x20)), _mm_set1_epi8('a'));
    __m128i rest = _mm_sub_epi8(x, _mm_set1_epi8('-')); /* '-' './' '0'..'9' */
    __m128i good = _mm_or_si128(_mm_cmpeq_epi8(_mm_min_epu8(letter, _mm_set1_epi8(25)), letter),
                                _mm_cmpeq_epi8(_mm_min_epu8(rest, _mm_set1_epi8('9' - '-')), rest));
    good = _mm_andnot_si128(_mm_cmpeq_epi8(x, _mm_set1_epi8('/')), good);
    return (uint32_t)_mm_movemask_epi8(good) ^ 0xffffU;
}
VT__INLINE uint32_t vt__h1_stop_sse2(const uint8_t *buf, uint32_t from, uint32_t to, uint32_t *mark) {
    return vt__h1_find_stop(vt__h1_sse2_line, 16, buf, from, to, mark);
}

#define VT__H1_AVX2 __attribute__((target("avx2,bmi")))
VT__H1_AVX2 static inline void vt__h1_avx2_fields(const uint8_t *p, uint64_t *a, uint64_t *b) {
    static const uint8_t table[32] = {VT__H1_CLASS_LOW, VT__H1_CLASS_HIGH};
    const __m256i low = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)table));
    const __m256i high = _mm256_broadcastsi128_si256(
        _mm_loadu_si128((const __m128i *)(const void *)(table + 16)));
    __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)p), half = _mm256_set1_epi8(15);
    __m256i class = _mm256_and_si256(
        _mm256_shuffle_epi8(low, _mm256_and_si256(x, half)),
        _mm256_shuffle_epi8(high, _mm256_and_si256(_mm256_srli_epi16(x, 4), half)));
    *a = (uint32_t)_mm256_movemask_epi8(_mm256_adds_epu8(class, _mm256_set1_epi8(0x60)));
    *b = *a | (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(class, _mm256_setzero_si256()));
}
VT__H1_AVX2 static void vt__h1_fields_avx2(const uint8_t *buf, vt__h1_win *w) {
    vt__h1_scan(vt__h1_avx2_fields, 32, buf, w);
}
#endif

#if VT__AARCH64
#include <arm_neon.h>
VT__INLINE uint64_t vt__h1_neon_bits(uint8x16_t m) {
    static const uint8_t weight[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    uint8x16_t v = vandq_u8(m, vld1q_u8(weight));
    v = vpaddq_u8(v, v), v = vpaddq_u8(v, v), v = vpaddq_u8(v, v);
    return vgetq_lane_u16(vreinterpretq_u16_u8(v), 0);
}
VT__INLINE void vt__h1_neon_fields(const uint8_t *p, uint64_t *a, uint64_t *b) {
    static const uint8_t low[16] = {VT__H1_CLASS_LOW}, high[16] = {VT__H1_CLASS_HIGH};
    uint8x16_t x = vld1q_u8(p), l = vandq_u8(x, vdupq_n_u8(15)), h = vshrq_n_u8(x, 4);
    uint8x16_t class = vandq_u8(vqtbl1q_u8(vld1q_u8(low), l), vqtbl1q_u8(vld1q_u8(high), h));
    *a = vt__h1_neon_bits(vcgeq_u8(class, vdupq_n_u8(0x20)));
    *b = vt__h1_neon_bits(vceqq_u8(class, vdupq_n_u8(0))) | *a;
}
VT__INLINE void vt__h1_neon_line(const uint8_t *p, uint64_t *a, uint64_t *b) {
    uint8x16_t x = vld1q_u8(p), out = vorrq_u8(vcltq_u8(x, vdupq_n_u8(0x21)), vcgeq_u8(x, vdupq_n_u8(0x7f)));
    *a = vt__h1_neon_bits(vorrq_u8(out, vceqq_u8(x, vdupq_n_u8('#'))));
    *b = vt__h1_neon_bits(vceqq_u8(x, vdupq_n_u8('?')));
}
static void vt__h1_fields_neon(const uint8_t *buf, vt__h1_win *w) {
    vt__h1_scan(vt__h1_neon_fields, 16, buf, w);
}
VT__INLINE uint64_t vt__h1_neon_host(const uint8_t *p) {
    uint8x16_t x = vld1q_u8(p), letter = vsubq_u8(vorrq_u8(x, vdupq_n_u8(0x20)), vdupq_n_u8('a'));
    uint8x16_t rest = vsubq_u8(x, vdupq_n_u8('-'));
    uint8x16_t good = vorrq_u8(vcltq_u8(letter, vdupq_n_u8(26)), vcltq_u8(rest, vdupq_n_u8('9' - '-' + 1)));
    return vt__h1_neon_bits(vornq_u8(vceqq_u8(x, vdupq_n_u8('/')), good));
}
VT__INLINE uint32_t vt__h1_stop_neon(const uint8_t *buf, uint32_t from, uint32_t to, uint32_t *mark) {
    return vt__h1_find_stop(vt__h1_neon_line, 16, buf, from, to, mark);
}
#endif

/* What every CPU of the architecture has, for short things that are not worth a call through a pointer. */
#if VT__X86_64
enum { VT__H1_HOST_WIDTH = 16 };
#define vt__h1_host vt__h1_sse2_host
#define vt__h1_stop vt__h1_stop_sse2
#elif VT__AARCH64
enum { VT__H1_HOST_WIDTH = 16 };
#define vt__h1_host vt__h1_neon_host
#define vt__h1_stop vt__h1_stop_neon
#else
enum { VT__H1_HOST_WIDTH = 8 };
#define vt__h1_host vt__h1_word_host
#define vt__h1_stop vt__h1_stop_word
#endif

typedef struct vt__h1_isa {
    const char *name;
    void (*fields)(const uint8_t *buf, vt__h1_win *w);
} vt__h1_isa;
static const vt__h1_isa vt__h1_isas[] = {
#if VT__H1_EVERY || !(VT__X86_64 || VT__AARCH64)
    {"word", vt__h1_fields_word},
#endif
#if VT__X86_64
    {"sse2", vt__h1_fields_sse2},
    {"avx2", vt__h1_fields_avx2},
#endif
#if VT__AARCH64
    {"neon", vt__h1_fields_neon},
#endif
};
static const vt__h1_isa *vt__h1_chosen;

/* The number of versions this CPU runs; they are the first ones of the table. */
static size_t vt__h1_isa_count(void) {
#if VT__X86_64
    if (!vt__plat_cpu_avx2()) return VT__COUNT(vt__h1_isas) - 1;
#endif
    return VT__COUNT(vt__h1_isas);
}

/* Selects a version for all parsing (tests and benchmarks); the best one is selected at first use. */
static VT__NOINLINE const vt__h1_isa *vt__h1_isa_select(size_t i) {
    __atomic_store_n(&vt__h1_chosen, &vt__h1_isas[i], __ATOMIC_RELAXED);
    return &vt__h1_isas[i];
}
VT__INLINE const vt__h1_isa *vt__h1_isa_get(void) {
    const vt__h1_isa *isa = __atomic_load_n(&vt__h1_chosen, __ATOMIC_RELAXED);
    return VT__LIKELY(isa != NULL) ? isa : vt__h1_isa_select(vt__h1_isa_count() - 1);
}

/* The first odd byte at or after pos <= w->to; the sentinel is one. */
VT__INLINE size_t vt__h1_next_odd(const vt__h1_win *w, size_t pos) {
    size_t rel = pos - w->from, i = rel / 64;
    uint64_t word = w->odd[i] >> (rel % 64);
    while (VT__UNLIKELY(!word)) {
        pos = w->from + ++i * 64;
        word = w->odd[i];
    }
    return pos + (size_t)__builtin_ctzll(word);
}

/* ---- names, lists, numbers ---- */

VT__INLINE bool vt__h1_is_ws(char c) { return c == ' ' || c == '\t'; }

/* Ids by slot, 0 for a free one; and the known names by id, none for 0. */
static const uint8_t vt__h1_slots[256] = {
#define VT__H1_FIELD_SLOT(id, slot, text) [slot] = VT__H1_F_##id,
    VT__H1_FIELDS(VT__H1_FIELD_SLOT)
#undef VT__H1_FIELD_SLOT
};
typedef struct vt__h1_known {
    char text[40]; /* eight zeros, so that the eight bytes that end a short name can be read, and the name */
    uint8_t len;
} vt__h1_known;
static const vt__h1_known vt__h1_knowns[VT__H1_F_COUNT] = {{"", 0},
#define VT__H1_FIELD_NAME(id, slot, text) {"\0\0\0\0\0\0\0\0" text, sizeof(text) - 1},
                                                           VT__H1_FIELDS(VT__H1_FIELD_NAME)
#undef VT__H1_FIELD_NAME
};

/* Case folded; right for tchars, which do not hold '@' or controls. '^' and '_' fold to bytes no known name has. */
VT__INLINE uint64_t vt__h1_fold(uint64_t x) { return x | VT__H1_ONES * 0x20; }

/* A perfect hash of the known names: of their last eight bytes, zeros before shorter ones, and their length. */
VT__INLINE uint32_t vt__h1_slot(uint64_t tail, size_t len) {
    return (uint32_t)((tail + len) * UINT64_C(0xc5b85e4fa6c0ee8d) >> 56);
}

/* The eight bytes that end at p + len, folded, zeros instead of what is before p; `before` bytes there are readable. */
VT__INLINE uint64_t vt__h1_name_tail(const char *p, size_t len, size_t before) {
    static const uint64_t mask[] = {0,           ~0ULL << 56, ~0ULL << 48, ~0ULL << 40, ~0ULL << 32,
                                    ~0ULL << 24, ~0ULL << 16, ~0ULL << 8,  ~0ULL};
    if (VT__LIKELY(before >= 8)) return vt__h1_fold(vt__h1_le64(p + len - 8)) & mask[len < 8 ? len : 8];
    uint64_t v = 0;
    for (size_t i = len < 8 ? 0 : len - 8; i < len; i++) v = v >> 8 | (uint64_t)(uint8_t)(p[i] | 0x20) << 56;
    return v;
}

/* The id of a name of tchars, or 0. */
VT__INLINE unsigned vt__h1_name_id(const char *p, size_t len, size_t before) {
    uint64_t tail = vt__h1_name_tail(p, len, before);
    unsigned id = vt__h1_slots[vt__h1_slot(tail, len)];
    const vt__h1_known *k = &vt__h1_knowns[id];
    if (k->len != len || tail != vt__h1_le64(k->text + len)) return 0;
    for (size_t i = 0; i + 8 < len; i += 8)
        if (vt__h1_fold(vt__h1_le64(p + i)) != vt__h1_le64(k->text + 8 + i)) return 0;
    return id;
}

static bool vt__h1_is_token(vt_str s) {
    for (size_t i = 0; i < s.len; i++)
        if (!vt__uri_is(s.ptr[i], VT__URI_C_TOKEN)) return false;
    return s.len > 0;
}

static VT__UNUSED int vt__h1_field_id(vt_str name) {
    return vt__h1_is_token(name) && name.len <= 32 ? (int)vt__h1_name_id(name.ptr, name.len, 0) : 0;
}

/* In lower case; empty for 0. */
static VT__UNUSED vt_str vt__h1_field_name(int id) {
    return (vt_str){vt__h1_knowns[id].text + 8, vt__h1_knowns[id].len};
}

static const vt_str vt__h1_methods[] = {{"", 0},
#define VT__H1_METHOD_NAME(name) {#name, sizeof(#name) - 1},
                                        VT__H1_METHODS(VT__H1_METHOD_NAME)
#undef VT__H1_METHOD_NAME
};

static VT__UNUSED vt_str vt__h1_method_name(int method) { return vt__h1_methods[method]; }

/* Case-sensitive (RFC 9110 9.1). */
static int vt__h1_method(vt_str name) {
    for (int i = 1; i < (int)VT__COUNT(vt__h1_methods); i++)
        if (name.len == vt__h1_methods[i].len && memcmp(name.ptr, vt__h1_methods[i].ptr, name.len) == 0)
            return i;
    return VT__H1_M_OTHER;
}

/* Elements between commas, trimmed, empty ones too, *pos from 0 on: 1, or 0 at the end. "" has one. */
static int vt__h1_list_next(vt_str list, size_t *pos, vt_str *item) {
    size_t i = *pos, end;
    if (i > list.len) return 0;
    for (end = i; end < list.len && list.ptr[end] != ','; end++) continue;
    *pos = end + 1;
    while (i < end && vt__h1_is_ws(list.ptr[i])) i++;
    while (end > i && vt__h1_is_ws(list.ptr[end - 1])) end--;
    *item = (vt_str){list.ptr + i, end - i};
    return 1;
}

static VT__UNUSED bool vt__h1_list_has(vt_str value, vt_str token) {
    size_t pos = 0;
    vt_str item;
    while (vt__h1_list_next(value, &pos, &item))
        if (item.len && vt__str_eq_ci(item, token)) return true;
    return false;
}

/* ---- what single fields mean for the request ---- */

/* Letters, digits, '.', '-' alone: nearly every host. Before its end stands, with the request line, more than a vector. */
VT__INLINE bool vt__h1_plain_host(vt_str s) {
    const uint8_t *end = (const uint8_t *)s.ptr + s.len;
    for (; s.len > VT__H1_HOST_WIDTH; s.len -= VT__H1_HOST_WIDTH, end -= VT__H1_HOST_WIDTH)
        if (vt__h1_host(end - VT__H1_HOST_WIDTH)) return false;
    return vt__h1_host(end - VT__H1_HOST_WIDTH) >> (VT__H1_HOST_WIDTH - s.len) == 0;
}

/* The length of s without a port that is good by its digits alone: up to four, or five from 1 to 5. */
VT__INLINE size_t vt__h1_without_port(vt_str s) {
    size_t i = s.len, n;
    while (i > 0 && (uint8_t)(s.ptr[i - 1] - '0') < 10) i--;
    n = s.len - i;
    bool good = n > 0 && (n < 5 || (n == 5 && s.ptr[i] >= '1' && s.ptr[i] <= '5'));
    return good && i > 0 && s.ptr[i - 1] == ':' ? i - 1 : s.len;
}

VT__INLINE int vt__h1_on_host(vt__h1_req *r, const char *buf, vt_str value) {
    vt__uri_auth auth;
    if (r->flags & VT__H1_HAS_HOST) return VT__H1_E_HOST_TWICE;
    r->flags |= VT__H1_HAS_HOST;
    size_t host = vt__h1_without_port(value);
    bool plain = value.len == 0 || (host > 0 && vt__h1_plain_host((vt_str){value.ptr, host}));
    if (VT__UNLIKELY(!plain) && vt__uri_authority(value, &auth) < 0) return VT__H1_E_HOST;
    if (r->form == VT__H1_ABSOLUTE || r->form == VT__H1_AUTHORITY)
        return 0; /* RFC 9112 3.2.2: the target wins */
    r->auth_off = (uint32_t)(value.ptr - buf), r->auth_len = (uint32_t)value.len;
    return 0;
}

/* Unknown and malformed options are ignored: they ask for nothing that this end does. */
static int vt__h1_on_connection(vt__h1_req *r, vt_str value) {
    static const char usual[] = "keep-alive";
    size_t pos = 0;
    vt_str item;
    if (value.len == 10 && memcmp(value.ptr, usual, 10) == 0) {
        r->flags |= VT__H1_CONN_KEEP;
        return 0;
    }
    while (vt__h1_list_next(value, &pos, &item)) {
        if (item.len == 10 && vt__str_eq_ci(item, (vt_str){usual, 10})) r->flags |= VT__H1_CONN_KEEP;
        if (item.len == 5 && vt__str_eq_ci(item, (vt_str){"close", 5})) r->flags |= VT__H1_CONN_CLOSE;
        if (item.len == 7 && vt__str_eq_ci(item, (vt_str){"upgrade", 7})) r->flags |= VT__H1_CONN_UPGRADE;
    }
    return 0;
}

static int vt__h1_on_length(vt__h1_req *r, vt_str value) {
    if (r->flags & VT__H1_HAS_LENGTH) return VT__H1_E_LENGTH_TWICE;
    r->flags |= VT__H1_HAS_LENGTH;
    return vt__str_u63(value, INT64_MAX, &r->content_length) < 0 ? VT__H1_E_LENGTH : 0;
}

/* Several lines are one list (RFC 9110 5.3). Nothing may follow chunked, and chunked has no parameters. */
static int vt__h1_on_coding(vt__h1_req *r, vt_str value) {
    size_t pos = 0;
    vt_str item;
    r->seen |= VT__H1_SEEN_CODING;
    while (vt__h1_list_next(value, &pos, &item)) {
        size_t n = 0;
        while (n < item.len && item.ptr[n] != ';' && !vt__h1_is_ws(item.ptr[n])) n++;
        vt_str coding = {item.ptr, n};
        if (!vt__h1_is_token(coding) || (r->seen & VT__H1_SEEN_CHUNKED)) return VT__H1_E_CODING;
        if (!vt__str_eq_ci(coding, (vt_str){"chunked", 7})) r->seen |= VT__H1_SEEN_UNKNOWN;
        else if (n < item.len) return VT__H1_E_CODING;
        else r->seen |= VT__H1_SEEN_CHUNKED;
    }
    return 0;
}

static int vt__h1_on_expect(vt__h1_req *r, vt_str value) {
    size_t pos = 0;
    vt_str item;
    while (vt__h1_list_next(value, &pos, &item)) {
        if (item.len == 0) continue;
        r->flags |= vt__str_eq_ci(item, (vt_str){"100-continue", 12}) ? VT__H1_EXPECT_100
                                                                      : VT__H1_EXPECT_OTHER;
    }
    return 0;
}

/* A field of a request whose name may be one of the first six: gives it its id, and takes note of what it means. The value
 * comes beside f, which was stored just now: two words that are loaded as one would wait for the stores. */
static VT__NOINLINE int vt__h1_on_field(vt__h1_req *r, const char *buf, vt__h1_field *f, vt_str value) {
    unsigned id = vt__h1_name_id(buf + f->name_off, f->name_len, f->name_off);
    if (id - 1 >= VT__H1_F_UPGRADE) return 0;
    f->id = (uint8_t)id;
    switch (id) {
    case VT__H1_F_HOST: return vt__h1_on_host(r, buf, value);
    case VT__H1_F_CONNECTION: return vt__h1_on_connection(r, value);
    case VT__H1_F_CONTENT_LENGTH: return vt__h1_on_length(r, value);
    case VT__H1_F_TRANSFER_ENCODING: return vt__h1_on_coding(r, value);
    case VT__H1_F_EXPECT: return vt__h1_on_expect(r, value);
    default: /* VT__H1_F_UPGRADE */
        if (value.len) r->seen |= VT__H1_SEEN_UPGRADE;
        return 0;
    }
}

/* The same for a response's, in which Host and Expect mean nothing. */
static VT__NOINLINE int vt__h1_on_res_field(vt__h1_req *r, const char *buf, vt__h1_field *f, vt_str value) {
    unsigned id = vt__h1_name_id(buf + f->name_off, f->name_len, f->name_off);
    if (id != VT__H1_F_HOST && id != VT__H1_F_EXPECT) return vt__h1_on_field(r, buf, f, value);
    f->id = (uint8_t)id;
    return 0;
}

/* Fields for framing, routing, authentication, and the interpretation of the content have no place in trailers
 * (RFC 9110 6.5.1). */
static bool vt__h1_trailer_ok(int id) {
    switch (id) {
    case VT__H1_F_HOST:
    case VT__H1_F_CONNECTION:
    case VT__H1_F_CONTENT_LENGTH:
    case VT__H1_F_TRANSFER_ENCODING:
    case VT__H1_F_EXPECT:
    case VT__H1_F_UPGRADE:
    case VT__H1_F_TE:
    case VT__H1_F_TRAILER:
    case VT__H1_F_KEEP_ALIVE:
    case VT__H1_F_PROXY_CONNECTION:
    case VT__H1_F_CONTENT_ENCODING:
    case VT__H1_F_CONTENT_TYPE:
    case VT__H1_F_CONTENT_RANGE:
    case VT__H1_F_MAX_FORWARDS:
    case VT__H1_F_AUTHORIZATION:
    case VT__H1_F_PROXY_AUTHORIZATION:
    case VT__H1_F_COOKIE:
    case VT__H1_F_SET_COOKIE:
    case VT__H1_F_CACHE_CONTROL:
    case VT__H1_F_RANGE: return false;
    default: return true;
    }
}
static int vt__h1_on_trailers(const char *buf, const vt__h1_field *f, uint32_t n) {
    for (const vt__h1_field *end = f + n; f < end; f++)
        if (!vt__h1_trailer_ok((int)vt__h1_name_id(buf + f->name_off, f->name_len, f->name_off)))
            return VT__H1_E_TRAILER;
    return 0;
}

/* ---- pass 2: field sections ---- */

/* Whose fields they are; a constant wherever it is passed on. */
enum vt__h1_kind { VT__H1_OF_REQUEST, VT__H1_OF_RESPONSE, VT__H1_OF_TRAILERS };

/* What one call of vt__h1_section works on. */
typedef struct vt__h1_job {
    const char *buf;
    vt__h1_field *fields;
    vt__h1_req *head; /* not of trailers */
    uint32_t cap, max_section, max_field;
    uint32_t calm;  /* up to here neither a field nor the section can be over its limit */
    uint32_t limit; /* bytes of buf to look at */
} vt__h1_job;

/* A line whose first non-tchar is not a colon after a name: the end of the section, or an error. */
static VT__NOINLINE int vt__h1_no_name(const char *buf, size_t line, size_t pos, size_t limit) {
    char c = buf[pos];
    if (pos == line && c == '\r') {
        if (pos + 1 == limit) return 0;
        return buf[pos + 1] == '\n' ? (int)pos + 2 : VT__H1_E_CR;
    }
    if (c == '\n') return VT__H1_E_LF;
    if (vt__h1_is_ws(c)) return pos == line ? VT__H1_E_FOLD : VT__H1_E_NAME_SPACE;
    if (c == ':') return VT__H1_E_NAME_EMPTY;
    return c == '\r' ? VT__H1_E_COLON : VT__H1_E_NAME;
}

/* A control in a value that does not begin CRLF. */
static VT__NOINLINE int vt__h1_no_end(char c) {
    return c == '\n' ? VT__H1_E_LF : c == '\r' ? VT__H1_E_CR : VT__H1_E_VALUE;
}

/* Sets *value to what follows the colon of a line, looked for from pos on. > 0: no line, the section ends there; 0: the
 * colon was found, or *value stays 0 and it is not in the window; < 0: error. */
VT__INLINE int vt__h1_name(const vt__h1_job *j, const vt__h1_win *w, size_t line, size_t pos, size_t *value) {
    const char *buf = j->buf;
    const size_t to = w->to;
    for (;; pos++) {
        pos = vt__h1_next_odd(w, pos);
        if (VT__UNLIKELY(pos == to)) return 0;
        if (VT__LIKELY(buf[pos] == ':' && pos != line)) break;
        if (!vt__uri_is(buf[pos], VT__URI_C_TOKEN)) return vt__h1_no_name(buf, line, pos, j->limit);
    }
    *value = pos + 1;
    return 0;
}

/* A field that goes to `f` may be over a limit: of which? */
static VT__NOINLINE int vt__h1_over(const vt__h1_job *j, vt__h1_sect *s, const vt__h1_field *f, size_t name,
                                    size_t value) {
    size_t both = name + value;
    for (const vt__h1_field *g = j->fields + s->sized; g < f; g++) s->size += g->name_len + g->value_len + 32;
    s->sized = (uint32_t)(f - j->fields) + 1;
    if (both > j->max_field || name > UINT16_MAX) return VT__H1_E_FIELD;
    if (s->size + both + 32 > j->max_section) return VT__H1_E_SECTION;
    s->size += (uint32_t)both + 32;
    return f == j->fields + j->cap ? VT__H1_E_FIELDS : 0;
}

/* The line at the end of a window, of which `upto` is what was looked at: the section's end, an error, or 0. */
VT__INLINE int vt__h1_rest(vt__h1_sect *s, const vt__h1_job *j, const vt__h1_win *w, size_t line,
                           size_t value, size_t upto) {
    const char *buf = j->buf;
    size_t pos = line < w->from ? w->from : line;
    s->line = (uint32_t)line;
    if (pos >= w->to) {
        s->value = (uint32_t)value, s->scan = (uint32_t)pos;
        return 0;
    }
    if (!value) {
        if (VT__LIKELY(pos == line && pos + 1 < j->limit && memcmp(buf + pos, "\r\n", 2) == 0))
            return (int)pos + 2;
        int rc = vt__h1_name(j, w, line, pos, &value);
        if (rc) return rc;
        if (!value && pos == line && buf[pos] == '\r') upto = pos; /* the section's last CR, and no LF yet */
    }
    s->value = (uint32_t)value, s->scan = (uint32_t)upto;
    return value && upto < w->to && buf[upto] != '\r' ? vt__h1_no_end(buf[upto]) : 0;
}

/* Pass 2, lines of one window to fields: > 0 where the section ends, 0 at the window's end. A name's first letter, by its
 * length, tells nearly all fields from those that mean something to this section. */
VT__INLINE int vt__h1_lines(vt__h1_sect *s, const vt__h1_job *j, const vt__h1_win *w, enum vt__h1_kind kind) {
    static const uint8_t initial[32] = {[4] = 'h', [6] = 'e', [7] = 'u', [10] = 'c', [14] = 'c', [17] = 't'};
    const char *buf = j->buf;
    const size_t from = w->from;
    size_t line = s->line, value = s->value, pos = from;
    /* A CR that is the last byte there is ends nothing yet. */
    const bool cut = w->nends && from + w->ends[w->nends - 1] + 1 == j->limit;
    const uint16_t *e = w->ends, *const last = e + w->nends - cut;
    vt__h1_field *f = j->fields + s->n;
    const bool near = w->to > j->calm || s->n + w->nends > j->cap;
    int rc = 0;
    for (; e < last; e++) {
        const size_t end = from + *e;
        size_t z = end;
        if (!value && VT__UNLIKELY((rc = vt__h1_name(j, w, line, pos, &value)) != 0)) break;
        if (VT__UNLIKELY(memcmp(buf + end, "\r\n", 2) != 0)) {
            rc = vt__h1_no_end(buf[end]);
            break;
        }
        size_t v = value + (buf[value] == ' ');
        if (VT__UNLIKELY((uint8_t)buf[v] <= ' ' || (uint8_t)buf[end - 1] <= ' ')) {
            while (v < z && vt__h1_is_ws(buf[v])) v++;
            while (z > v && vt__h1_is_ws(buf[z - 1])) z--;
        }
        size_t name = value - 1 - line;
        if (VT__UNLIKELY(near) && (rc = vt__h1_over(j, s, f, name, z - v)) < 0) break;
        f->name_off = (uint32_t)line, f->value_off = (uint32_t)v;
        f->value_len = (uint32_t)(z - v), f->name_len = (uint16_t)name, f->id = f->rsvd = 0;
        if (kind != VT__H1_OF_TRAILERS && VT__UNLIKELY(initial[name % 32] == ((uint8_t)buf[line] | 0x20))) {
            vt_str text = {buf + v, z - v};
            rc = kind == VT__H1_OF_REQUEST ? vt__h1_on_field(j->head, buf, f, text)
                                           : vt__h1_on_res_field(j->head, buf, f, text);
            if (rc < 0) break;
        }
        f++;
        line = pos = end + 2;
        value = 0;
    }
    s->n = (uint32_t)(f - j->fields);
    if (rc) return rc;
    return vt__h1_rest(s, j, w, line, value, cut ? from + *last : w->to);
}

/* Field lines from `start` to the empty line. > 0: the bytes of buf before what follows; 0: more; < 0: error. */
VT__INLINE int vt__h1_section(vt__h1_sect *s, vt__h1_job *j, uint32_t start, size_t len,
                              enum vt__h1_kind kind) {
    const vt__h1_isa *isa = vt__h1_isa_get();
    uint32_t most = start + j->max_section + 2, step = VT__H1_WINDOW_FIRST;
    vt__h1_win w;
    /* A line has four bytes at least and counts 32 more than it has. */
    uint32_t calm = VT__MIN(j->max_section / 16, j->max_field);
    j->calm = start + VT__MIN(calm, UINT16_MAX);
    j->limit = len < most ? (uint32_t)len : most;
    while (s->scan < j->limit) {
        w.from = s->scan;
        w.to = j->limit - w.from < step ? j->limit : w.from + step;
        isa->fields((const uint8_t *)j->buf, &w);
        uint32_t n = s->n;
        int rc = vt__h1_lines(s, j, &w, kind), bad = 0;
        if (kind == VT__H1_OF_TRAILERS) bad = vt__h1_on_trailers(j->buf, j->fields + n, s->n - n);
        if (bad < 0 || rc) return bad < 0 ? bad : rc; /* what stands first decides */
        if (w.to == j->limit) break;
        step = VT__H1_WINDOW;
    }
    return j->limit == most ? VT__H1_E_SECTION : 0;
}

VT__INLINE uint32_t vt__h1_limit(uint32_t given, uint32_t standard) {
    return given ? VT__MIN(given, 1U << 28) : standard;
}

/* ---- request heads ---- */

/* The token before the first SP. 1: complete. */
VT__INLINE int vt__h1_parse_method(vt__h1_req *r, const char *buf, size_t len) {
    enum { LONGEST = 64 };
    uint32_t i = r->method_off;
    if (VT__LIKELY(len - i >= 8 && (vt__h1_le64(buf + i) & 0xffffffffU) == 0x20544547U)) { /* "GET " */
        r->method = VT__H1_M_GET;
        i += 3;
    } else {
        while (i < len && i - r->method_off <= LONGEST && vt__uri_is(buf[i], VT__URI_C_TOKEN)) i++;
        if (i - r->method_off > LONGEST) return VT__H1_E_METHOD_LONG;
        if (i == len) return 0;
        if (buf[i] != ' ' || i == r->method_off) return buf[i] == '\n' ? VT__H1_E_LF : VT__H1_E_METHOD;
        r->method = (uint8_t)vt__h1_method((vt_str){buf + r->method_off, i - r->method_off});
    }
    r->method_len = (uint16_t)(i - r->method_off);
    r->target_off = r->s.scan = i + 1;
    r->state = VT__H1_S_TARGET;
    return 1;
}

/* Up to the next SP; the version, of fixed length, is counted against the limit before it is read. 1: complete. */
VT__INLINE int vt__h1_parse_target(vt__h1_req *r, const char *buf, size_t len, uint32_t max) {
    uint32_t most = r->method_off + max, limit = len < most ? (uint32_t)len : most;
    uint32_t stop = vt__h1_stop((const uint8_t *)buf, r->s.scan, limit, &r->query_off);
    if (stop >= limit) {
        r->s.scan = stop;
        return limit == most ? VT__H1_E_TARGET_LONG : 0;
    }
    if (buf[stop] != ' ' || stop == r->target_off) return buf[stop] == '\n' ? VT__H1_E_LF : VT__H1_E_TARGET;
    if (most - stop < 9) return VT__H1_E_TARGET_LONG;
    if (r->query_off) r->flags |= VT__H1_HAS_QUERY;
    r->target_len = stop - r->target_off;
    r->state = VT__H1_S_VERSION;
    return 1;
}

/* "HTTP/" DIGIT "." DIGIT CRLF at p, n bytes of it are there. 1: complete. */
static int vt__h1_parse_version(vt__h1_req *r, const char *p, size_t n) {
    static const char pattern[] = "HTTP/0.0\r\n";
    for (size_t i = 0; i < 10 && i < n; i++) {
        bool digit = pattern[i] == '0' && p[i] >= '0' && p[i] <= '9';
        if (p[i] == pattern[i] || digit) continue;
        if (p[i] == '\n') return VT__H1_E_LF;
        return i == 9 ? VT__H1_E_CR : VT__H1_E_VERSION;
    }
    if (n < 10) return 0;
    if (p[5] != '1' || p[7] > '1') return VT__H1_E_UNSUPPORTED;
    r->minor = (uint8_t)(p[7] - '0');
    return 1;
}

static void vt__h1_split_path(vt__h1_req *r, uint32_t path, uint32_t end) {
    r->path_off = path;
    r->path_len = end - path;
    if (!(r->flags & VT__H1_HAS_QUERY)) return;
    r->path_len = r->query_off - 1 - path;
    r->query_len = end - r->query_off;
}

/* "http://" or "https://", authority, and what follows it (RFC 9110 4.2). */
static int vt__h1_absolute(vt__h1_req *r, const char *buf) {
    uint32_t at = r->target_off, end = at + r->target_len;
    vt_str target = {buf + at, r->target_len};
    vt__uri_auth auth;
    if (target.len >= 7 && vt__str_eq_ci((vt_str){target.ptr, 7}, (vt_str){"http://", 7})) at += 7;
    else if (target.len >= 8 && vt__str_eq_ci((vt_str){target.ptr, 8}, (vt_str){"https://", 8})) at += 8;
    else return VT__H1_E_FORM;
    r->auth_off = at;
    while (at < end && buf[at] != '/' && buf[at] != '?') at++;
    r->auth_len = at - r->auth_off;
    if (vt__uri_authority((vt_str){buf + r->auth_off, r->auth_len}, &auth) < 0) return VT__H1_E_TARGET;
    r->form = VT__H1_ABSOLUTE;
    vt__h1_split_path(r, at, end);
    return 0;
}

/* The forms but the usual one (RFC 9112 3.2), and does the method allow it. */
static VT__NOINLINE int vt__h1_other_form(vt__h1_req *r, const char *buf) {
    vt_str target = {buf + r->target_off, r->target_len};
    vt__uri_auth auth;
    if (r->method == VT__H1_M_CONNECT) {
        if (target.ptr[0] == '/' || target.ptr[0] == '*') return VT__H1_E_FORM;
        if (vt__uri_authority(target, &auth) < 0 || auth.port < 0) return VT__H1_E_TARGET;
        r->form = VT__H1_AUTHORITY;
        r->auth_off = r->target_off, r->auth_len = r->target_len;
        return 0;
    }
    if (target.ptr[0] != '*' || target.len != 1) return vt__h1_absolute(r, buf);
    if (r->method != VT__H1_M_OPTIONS) return VT__H1_E_FORM;
    r->form = VT__H1_ASTERISK;
    r->path_off = r->target_off, r->path_len = 1;
    return 0;
}

VT__INLINE int vt__h1_classify(vt__h1_req *r, const char *buf) {
    if (VT__UNLIKELY(buf[r->target_off] != '/' || r->method == VT__H1_M_CONNECT))
        return vt__h1_other_form(r, buf);
    r->form = VT__H1_ORIGIN;
    vt__h1_split_path(r, r->target_off, r->target_off + r->target_len);
    return 0;
}

/* One CRLF before the request line is let pass (RFC 9112 2.2). 1: something else has begun. */
VT__INLINE int vt__h1_parse_start(vt__h1_req *r, const char *buf, size_t len) {
    if (len == 0) return 0;
    if (buf[0] == '\r') {
        if (len > 1 && buf[1] != '\n') return VT__H1_E_CR;
        if (len <= 2) return 0;
        r->method_off = 2;
    }
    r->state = VT__H1_S_METHOD;
    return 1;
}

/* The request line with its CRLF. 1: complete. */
VT__INLINE int vt__h1_line(vt__h1_req *r, const char *buf, size_t len, uint32_t max) {
    int rc;
    if (r->state == VT__H1_S_START && (rc = vt__h1_parse_start(r, buf, len)) <= 0) return rc;
    if (r->state == VT__H1_S_METHOD && (rc = vt__h1_parse_method(r, buf, len)) <= 0) return rc;
    if (r->state == VT__H1_S_TARGET && (rc = vt__h1_parse_target(r, buf, len, max)) <= 0) return rc;
    uint32_t at = r->target_off + r->target_len + 1;
    if (VT__LIKELY(len - at >= 10 && memcmp(buf + at, "HTTP/1.1", 8) == 0 &&
                   memcmp(buf + at + 8, "\r\n", 2) == 0))
        r->minor = 1;
    else if ((rc = vt__h1_parse_version(r, buf + at, len - at)) <= 0) return rc;
    r->s.line = r->s.scan = at + 10;
    r->state = VT__H1_S_FIELDS;
    return (rc = vt__h1_classify(r, buf)) < 0 ? rc : 1;
}

/* Facts that need all fields: framing (RFC 9112 6.3), persistence (9.3), expectations (RFC 9110 10.1.1). */
VT__INLINE int vt__h1_settle(vt__h1_req *r) {
    unsigned flags = r->flags, plain = flags & (VT__H1_HAS_HOST | VT__H1_CONN_CLOSE | VT__H1_EXPECT_100);
    r->nfields = r->s.n;
    if (VT__LIKELY(r->minor == 1 && r->seen == 0 && plain == VT__H1_HAS_HOST)) {
        r->flags = (uint16_t)(flags | VT__H1_KEEP_ALIVE);
        return 0;
    }
    if (VT__UNLIKELY(r->seen & VT__H1_SEEN_CODING)) {
        if (flags & VT__H1_HAS_LENGTH) return VT__H1_E_CODING_LENGTH;
        if (r->minor == 0) return VT__H1_E_CODING_OLD;
        if (r->seen & VT__H1_SEEN_UNKNOWN) return VT__H1_E_CODING_UNKNOWN;
        flags |= VT__H1_CHUNKED;
    }
    if (r->minor == 1) {
        if (!(flags & VT__H1_HAS_HOST)) return VT__H1_E_HOST_MISSING;
        if (!(flags & VT__H1_CHUNKED) && r->content_length == 0) flags &= ~(unsigned)VT__H1_EXPECT_100;
        if ((r->seen & VT__H1_SEEN_UPGRADE) && (flags & VT__H1_CONN_UPGRADE)) flags |= VT__H1_UPGRADE;
        if (!(flags & VT__H1_CONN_CLOSE)) flags |= VT__H1_KEEP_ALIVE;
    } else {
        flags &= ~(unsigned)(VT__H1_EXPECT_100 | VT__H1_EXPECT_OTHER);
        if ((flags & VT__H1_CONN_KEEP) && !(flags & VT__H1_CONN_CLOSE)) flags |= VT__H1_KEEP_ALIVE;
    }
    r->flags = (uint16_t)flags;
    return 0;
}

/* > 0: bytes of the head; 0: call again with the same bytes and more; < 0: VT__H1_E code, final. fields[cap] receives
 * the field lines. lim may be NULL. All calls for one head together are linear in its length. */
static VT__NOINLINE VT__UNUSED int vt__h1_req_parse(vt__h1_req *r, const char *buf, size_t len,
                                                    vt__h1_field *fields, uint32_t cap,
                                                    const vt__h1_limits *lim) {
    static const vt__h1_limits standard = {0};
    if (!lim) lim = &standard;
    int rc;
    if (r->state != VT__H1_S_FIELDS && (rc = vt__h1_line(r, buf, len, vt__h1_limit(lim->line, 8192))) <= 0)
        return rc;
    vt__h1_job j = {.buf = buf, .fields = fields, .head = r, .cap = cap};
    j.max_section = vt__h1_limit(lim->section, 16384);
    j.max_field = vt__h1_limit(lim->field, j.max_section);
    int used = vt__h1_section(&r->s, &j, r->target_off + r->target_len + 11, len, VT__H1_OF_REQUEST);
    if (used <= 0) return used;
    return (rc = vt__h1_settle(r)) < 0 ? rc : used;
}

/* False while nothing, or only the CRLF that is let pass, has come. */
static VT__UNUSED bool vt__h1_req_begun(const vt__h1_req *r) { return r->state != VT__H1_S_START; }

/* ---- response heads ---- */

/* The start of a status line: "HTTP/1.1 200 ". Nothing is let pass before it, and the blank before a reason that is empty
 * has to be there, too (RFC 9112 4). 1: complete. */
static int vt__h1_status_start(vt__h1_res *r, const char *p, size_t n) {
    static const char pattern[] = "HTTP/0.0 000 ";
    for (size_t i = 0; i < 13 && i < n; i++) {
        bool digit = pattern[i] == '0' && p[i] >= '0' && p[i] <= '9';
        if (p[i] == '\n') return VT__H1_E_LF;
        if (p[i] != pattern[i] && !digit) return i < 9 ? VT__H1_E_VERSION : VT__H1_E_STATUS_LINE;
        if (i == 7 && (p[5] != '1' || p[7] > '1')) return VT__H1_E_UNSUPPORTED;
        if (i == 9 && p[9] == '0') return VT__H1_E_STATUS_LINE;
    }
    if (n < 13) return 0;
    r->head.minor = (uint8_t)(p[7] - '0');
    r->status = (uint16_t)((p[9] - '0') * 100 + (p[10] - '0') * 10 + (p[11] - '0'));
    r->reason_off = r->head.s.scan = 13;
    return 1;
}

/* The status line with its CRLF; its reason may hold what a field's value may. 1: complete. */
static int vt__h1_status_line(vt__h1_res *r, const char *buf, size_t len, uint32_t max) {
    int rc;
    if (r->reason_off == 0 && (rc = vt__h1_status_start(r, buf, len)) <= 0) return rc;
    uint32_t most = VT__MAX(max, 13), limit = len < most ? (uint32_t)len : most, i = r->head.s.scan;
    while (i < limit && ((uint8_t)buf[i] >= ' ' || buf[i] == '\t') && buf[i] != 0x7f) i++;
    r->head.s.scan = i;
    if (i == len) return 0;
    if (buf[i] != '\r') {
        if (i == most) return VT__H1_E_STATUS_LONG;
        return buf[i] == '\n' ? VT__H1_E_LF : VT__H1_E_STATUS_LINE;
    }
    if (i + 1 == len) return 0;
    if (buf[i + 1] != '\n') return VT__H1_E_CR;
    r->reason_len = i - r->reason_off;
    r->head.s.line = r->head.s.scan = i + 2;
    r->head.state = VT__H1_S_FIELDS;
    return 1;
}

/* Framing and persistence (RFC 9112 6.3, 9.3). A response that has no content, and frames it all the same, is believed in
 * the former, and the connection is not used again. */
static int vt__h1_res_settle(vt__h1_res *r, int method) {
    vt__h1_req *h = &r->head;
    unsigned flags = h->flags;
    bool coded = (h->seen & VT__H1_SEEN_CODING) != 0, keep = h->minor == 1 || flags & VT__H1_CONN_KEEP;
    h->nfields = h->s.n;
    if (coded && flags & VT__H1_HAS_LENGTH) return VT__H1_E_CODING_LENGTH;
    if (coded && h->minor == 0) return VT__H1_E_CODING_OLD;
    if (h->seen & VT__H1_SEEN_UNKNOWN) return VT__H1_E_CODING_UNKNOWN;
    if (coded && !(h->seen & VT__H1_SEEN_CHUNKED)) return VT__H1_E_CODING;
    bool tunnel = r->status == 101 || (method == VT__H1_M_CONNECT && r->status / 100 == 2);
    bool none = r->status < 200 || r->status == 204;
    if (tunnel) r->until = VT__H1_UNTIL_OTHER;
    else if (none || r->status == 304 || method == VT__H1_M_HEAD) r->until = VT__H1_UNTIL_HEAD;
    else if (coded) r->until = VT__H1_UNTIL_CHUNK;
    else if (flags & VT__H1_HAS_LENGTH) r->until = VT__H1_UNTIL_LENGTH;
    else r->until = VT__H1_UNTIL_CLOSE;
    if (none && (coded || h->content_length > 0)) keep = false;
    if (r->until >= VT__H1_UNTIL_CLOSE || flags & VT__H1_CONN_CLOSE) keep = false;
    if (coded) flags |= VT__H1_CHUNKED;
    if (h->minor == 1 && h->seen & VT__H1_SEEN_UPGRADE && flags & VT__H1_CONN_UPGRADE)
        flags |= VT__H1_UPGRADE;
    if (keep) flags |= VT__H1_KEEP_ALIVE;
    h->flags = (uint16_t)flags;
    return 0;
}

/* As vt__h1_req_parse, of a response to a request of this method (VT__H1_M_x): an interim one is a head of its own, behind
 * which the next begins. */
static VT__UNUSED int vt__h1_res_parse(vt__h1_res *r, int method, const char *buf, size_t len,
                                       vt__h1_field *fields, uint32_t cap, const vt__h1_limits *lim) {
    static const vt__h1_limits standard = {0};
    vt__h1_req *h = &r->head;
    int rc;
    if (!lim) lim = &standard;
    if (h->state != VT__H1_S_FIELDS &&
        (rc = vt__h1_status_line(r, buf, len, vt__h1_limit(lim->line, 8192))) <= 0)
        return rc;
    vt__h1_job j = {.buf = buf, .fields = fields, .head = h, .cap = cap};
    j.max_section = vt__h1_limit(lim->section, 16384);
    j.max_field = vt__h1_limit(lim->field, j.max_section);
    int used = vt__h1_section(&h->s, &j, r->reason_off + r->reason_len + 2, len, VT__H1_OF_RESPONSE);
    if (used <= 0) return used;
    return (rc = vt__h1_res_settle(r, method)) < 0 ? rc : used;
}

/* ---- chunked bodies (RFC 9112 7.1) ---- */

enum {
    VT__H1_C_SIZE_FIRST,
    VT__H1_C_SIZE,
    VT__H1_C_BWS, /* blanks, then ';' */
    VT__H1_C_NAME_FIRST,
    VT__H1_C_NAME,
    VT__H1_C_NAME_BWS, /* blanks, then '=' or ';' */
    VT__H1_C_VALUE_FIRST,
    VT__H1_C_VALUE,
    VT__H1_C_QUOTED,
    VT__H1_C_QUOTED_PAIR,
    VT__H1_C_QUOTED_END,
    VT__H1_C_LF,
    VT__H1_C_DATA,
    VT__H1_C_DATA_CR,
    VT__H1_C_DATA_LF,
    VT__H1_C_TRAILERS,
    VT__H1_C_DONE
};

/* A chunked body. Zero it before each. */
typedef struct vt__h1_chunk {
    uint64_t left;        /* of the current chunk */
    uint64_t total;       /* announced by all chunks so far; at most 2^63-1 */
    uint32_t trailer_off; /* with done: in that call's buf; offsets of trailers count from there */
    uint32_t ntrailers;
    bool done;
    uint8_t state; /* private from here on */
    uint32_t line, ext;
    vt__h1_sect s;
} vt__h1_chunk;

static int vt__h1_chunk_digit(vt__h1_chunk *c, char b) {
    if (!vt__uri_is(b, VT__URI_C_HEX)) return VT__H1_E_CHUNK_SIZE;
    if (c->left >> 59) return VT__H1_E_CHUNK_SIZE;
    c->left = c->left << 4 | vt__uri_hex(b);
    return VT__H1_C_SIZE;
}

/* After a complete size, name, value or quoted string: what may come next. */
static int vt__h1_chunk_after(int state, char b) {
    if (b == ';') return VT__H1_C_NAME_FIRST;
    if (b == '\r' && state != VT__H1_C_BWS && state != VT__H1_C_NAME_BWS) return VT__H1_C_LF;
    if (state == VT__H1_C_NAME || state == VT__H1_C_NAME_BWS) {
        if (b == '=') return VT__H1_C_VALUE_FIRST;
        return vt__h1_is_ws(b) ? VT__H1_C_NAME_BWS : VT__H1_E_CHUNK_EXT;
    }
    if (vt__h1_is_ws(b)) return VT__H1_C_BWS;
    return state == VT__H1_C_SIZE ? VT__H1_E_CHUNK_SIZE : VT__H1_E_CHUNK_EXT;
}

static int vt__h1_chunk_quoted(int state, char b) {
    if (((uint8_t)b < 0x20 && b != '\t') || b == 0x7f) return VT__H1_E_CHUNK_EXT;
    if (state == VT__H1_C_QUOTED_PAIR) return VT__H1_C_QUOTED;
    return b == '"' ? VT__H1_C_QUOTED_END : b == '\\' ? VT__H1_C_QUOTED_PAIR : VT__H1_C_QUOTED;
}

/* One byte of a chunk-size line: the next state, or an error. */
static int vt__h1_chunk_line(vt__h1_chunk *c, char b) {
    int s = c->state;
    bool token = vt__uri_is(b, VT__URI_C_TOKEN);
    if (b == '\n')
        return s == VT__H1_C_QUOTED || s == VT__H1_C_QUOTED_PAIR ? VT__H1_E_CHUNK_EXT : VT__H1_E_LF;
    switch (s) {
    case VT__H1_C_SIZE_FIRST: return vt__h1_chunk_digit(c, b);
    case VT__H1_C_SIZE:
        if (vt__uri_is(b, VT__URI_C_HEX)) return vt__h1_chunk_digit(c, b);
        return vt__h1_chunk_after(s, b);
    case VT__H1_C_NAME_FIRST:
        if (vt__h1_is_ws(b)) return s;
        return token ? VT__H1_C_NAME : VT__H1_E_CHUNK_EXT;
    case VT__H1_C_VALUE_FIRST:
        if (vt__h1_is_ws(b)) return s;
        return token ? VT__H1_C_VALUE : b == '"' ? VT__H1_C_QUOTED : VT__H1_E_CHUNK_EXT;
    case VT__H1_C_NAME:
    case VT__H1_C_VALUE: return token ? s : vt__h1_chunk_after(s, b);
    case VT__H1_C_QUOTED:
    case VT__H1_C_QUOTED_PAIR: return vt__h1_chunk_quoted(s, b);
    default: return vt__h1_chunk_after(s, b); /* BWS, NAME_BWS, QUOTED_END */
    }
}

/* A byte that is neither data nor trailer. 0, or an error. */
static int vt__h1_chunk_byte(vt__h1_chunk *c, char b, const vt__h1_limits *lim) {
    int next;
    switch (c->state) {
    case VT__H1_C_LF:
        if (b != '\n') return VT__H1_E_CR;
        if ((lim->chunk && c->left > lim->chunk) || c->left > (uint64_t)INT64_MAX - c->total)
            return VT__H1_E_CHUNK_LARGE;
        c->total += c->left;
        c->line = 0;
        c->state = c->left ? VT__H1_C_DATA : VT__H1_C_TRAILERS;
        return 0;
    case VT__H1_C_DATA_CR:
        if (b != '\r') return b == '\n' ? VT__H1_E_LF : VT__H1_E_CHUNK_END;
        c->state = VT__H1_C_DATA_LF;
        return 0;
    case VT__H1_C_DATA_LF:
        if (b != '\n') return VT__H1_E_CR;
        c->state = VT__H1_C_SIZE_FIRST;
        return 0;
    default: break;
    }
    if ((next = vt__h1_chunk_line(c, b)) < 0) return next;
    if (next != VT__H1_C_LF && ++c->line > vt__h1_limit(lim->chunk_line, 1024)) return VT__H1_E_CHUNK_LINE;
    if (next != VT__H1_C_LF && next != VT__H1_C_SIZE && ++c->ext > vt__h1_limit(lim->chunk_ext, 8192))
        return VT__H1_E_CHUNK_EXTS;
    c->state = (uint8_t)next;
    return 0;
}

static int vt__h1_chunk_trailers(vt__h1_chunk *c, const char *buf, size_t len, vt__h1_field *trailers,
                                 uint32_t cap, const vt__h1_limits *lim) {
    vt__h1_job j = {.buf = buf, .fields = trailers, .cap = cap};
    j.max_section = j.max_field = vt__h1_limit(lim->trailer, 4096);
    int used = vt__h1_section(&c->s, &j, 0, len, VT__H1_OF_TRAILERS);
    if (used <= 0) return used;
    c->ntrailers = c->s.n;
    c->done = true;
    c->state = VT__H1_C_DONE;
    return used;
}

/* > 0: bytes used up; *data, a slice of them, maybe empty, is body. 0: more input is needed, and buf has to be given again
 * with it (only an unfinished trailer section is kept back: lim->trailer + 2 bytes are room enough). < 0: error, final. Over
 * when c->done is set: the body ended with the bytes used. */
static VT__UNUSED int64_t vt__h1_chunk_decode(vt__h1_chunk *c, const char *buf, size_t len, vt_str *data,
                                              vt__h1_field *trailers, uint32_t cap,
                                              const vt__h1_limits *lim) {
    static const vt__h1_limits standard = {0};
    size_t i = 0;
    if (!lim) lim = &standard;
    *data = (vt_str){buf, 0};
    while (i < len && !c->done) {
        int rc;
        if (c->state == VT__H1_C_DATA) {
            if (data->len) break;
            size_t n = c->left < len - i ? (size_t)c->left : len - i;
            *data = (vt_str){buf + i, n};
            i += n;
            c->left -= n;
            if (c->left == 0) c->state = VT__H1_C_DATA_CR;
        } else if (c->state == VT__H1_C_TRAILERS) {
            if ((rc = vt__h1_chunk_trailers(c, buf + i, len - i, trailers, cap, lim)) < 0) return rc;
            if (rc == 0) break;
            c->trailer_off = (uint32_t)i;
            i += (size_t)rc;
        } else if ((rc = vt__h1_chunk_byte(c, buf[i++], lim)) < 0) {
            return rc;
        }
    }
    return (int64_t)i;
}

/* ---- encoders: bytes written, or < 0 ---- */

#define VT__H1_CHUNK_SIZE_MAX 18 /* of vt__h1_put_chunk_size */

/* Hexadecimal, lower case; the number of digits. */
static VT__UNUSED int vt__h1_put_hex(char out[16], uint64_t v) {
    int n = (67 - __builtin_clzll(v | 1)) / 4;
    for (int i = n - 1; i >= 0; i--, v >>= 4) out[i] = "0123456789abcdef"[v & 15];
    return n;
}

/* clang-format off */
#define VT__H1_STATUSES(X) \
    X(100, "Continue")                        X(101, "Switching Protocols")             \
    X(102, "Processing")                      X(103, "Early Hints")                     \
    X(200, "OK")                              X(201, "Created")                         \
    X(202, "Accepted")                        X(203, "Non-Authoritative Information")   \
    X(204, "No Content")                      X(205, "Reset Content")                   \
    X(206, "Partial Content")                 X(207, "Multi-Status")                    \
    X(208, "Already Reported")                X(226, "IM Used")                         \
    X(300, "Multiple Choices")                X(301, "Moved Permanently")               \
    X(302, "Found")                           X(303, "See Other")                       \
    X(304, "Not Modified")                    X(305, "Use Proxy")                       \
    X(307, "Temporary Redirect")              X(308, "Permanent Redirect")              \
    X(400, "Bad Request")                     X(401, "Unauthorized")                    \
    X(402, "Payment Required")                X(403, "Forbidden")                       \
    X(404, "Not Found")                       X(405, "Method Not Allowed")              \
    X(406, "Not Acceptable")                  X(407, "Proxy Authentication Required")   \
    X(408, "Request Timeout")                 X(409, "Conflict")                        \
    X(410, "Gone")                            X(411, "Length Required")                 \
    X(412, "Precondition Failed")             X(413, "Content Too Large")               \
    X(414, "URI Too Long")                    X(415, "Unsupported Media Type")          \
    X(416, "Range Not Satisfiable")           X(417, "Expectation Failed")              \
    X(421, "Misdirected Request")             X(422, "Unprocessable Content")           \
    X(423, "Locked")                          X(424, "Failed Dependency")               \
    X(425, "Too Early")                       X(426, "Upgrade Required")                \
    X(428, "Precondition Required")           X(429, "Too Many Requests")               \
    X(431, "Request Header Fields Too Large") X(451, "Unavailable For Legal Reasons")   \
    X(500, "Internal Server Error")           X(501, "Not Implemented")                 \
    X(502, "Bad Gateway")                     X(503, "Service Unavailable")             \
    X(504, "Gateway Timeout")                 X(505, "HTTP Version Not Supported")      \
    X(506, "Variant Also Negotiates")         X(507, "Insufficient Storage")            \
    X(508, "Loop Detected")                   X(511, "Network Authentication Required")
/* clang-format on */

/* The reason phrase; empty if none is known. */
static VT__UNUSED vt_str vt__h1_reason(int status) {
    switch (status) {
#define VT__H1_STATUS_CASE(code, text)                                                                       \
    case code: return (vt_str){text, sizeof(text) - 1};
        VT__H1_STATUSES(VT__H1_STATUS_CASE)
#undef VT__H1_STATUS_CASE
    default: return (vt_str){"", 0};
    }
}

/* "HTTP/1.1 200 OK" CRLF. */
static VT__UNUSED int vt__h1_put_status(char *out, size_t cap, int status) {
    if (status < 100 || status > 599) return VT__H1_E_STATUS;
    vt_str reason = vt__h1_reason(status);
    size_t n = 9 + 4 + reason.len + 2;
    if (n > cap) return VT__H1_E_SPACE;
    memcpy(out, "HTTP/1.1 ", 9);
    out[9] = (char)('0' + status / 100), out[10] = (char)('0' + status / 10 % 10);
    out[11] = (char)('0' + status % 10), out[12] = ' ';
    memcpy(out + 13, reason.ptr, reason.len);
    memcpy(out + n - 2, "\r\n", 2);
    return (int)n;
}

static VT__UNUSED int vt__h1_check_name(vt_str name) {
    return name.len <= UINT16_MAX && vt__h1_is_token(name) ? 0 : VT__H1_E_NAME;
}

static VT__UNUSED int vt__h1_check_value(vt_str value) {
    size_t i = 0;
    for (; value.len - i >= 8; i += 8)
        if (vt__h1_word_ctl(vt__h1_le64(value.ptr + i))) return VT__H1_E_VALUE;
    for (; i < value.len; i++) {
        uint8_t c = (uint8_t)value.ptr[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) return VT__H1_E_VALUE;
    }
    return 0;
}

/* "name: value" CRLF. */
static VT__UNUSED int vt__h1_put_field(char *out, size_t cap, vt_str name, vt_str value) {
    int rc;
    if ((rc = vt__h1_check_name(name)) < 0 || (rc = vt__h1_check_value(value)) < 0) return rc;
    size_t most = cap < INT_MAX ? cap : INT_MAX;
    if (most < name.len + 4 || value.len > most - name.len - 4) return VT__H1_E_SPACE;
    memcpy(out, name.ptr, name.len);
    out += name.len;
    memcpy(out, ": ", 2);
    if (value.len) memcpy(out + 2, value.ptr, value.len);
    memcpy(out + 2 + value.len, "\r\n", 2);
    return (int)(name.len + value.len + 4);
}
static VT__UNUSED int vt__h1_put_field_u64(char *out, size_t cap, vt_str name, uint64_t value) {
    char digits[20];
    size_t n = vt__str_put_u64(digits, value);
    return vt__h1_put_field(out, cap, name, (vt_str){digits, n});
}

/* "1f" CRLF; the data and its CRLF are the caller's. Size 0 would end the body: see vt__h1_put_last_chunk. */
static VT__UNUSED int vt__h1_put_chunk_size(char *out, size_t cap, uint64_t size) {
    char line[VT__H1_CHUNK_SIZE_MAX];
    if (size == 0) return VT__H1_E_VALUE;
    size_t n = (size_t)vt__h1_put_hex(line, size);
    line[n] = '\r', line[n + 1] = '\n';
    if (n + 2 > cap) return VT__H1_E_SPACE;
    memcpy(out, line, n + 2);
    return (int)n + 2;
}

/* "0" CRLF; trailer fields and a last CRLF follow. */
static VT__UNUSED int vt__h1_put_last_chunk(char *out, size_t cap) {
    if (cap < 3) return VT__H1_E_SPACE;
    memcpy(out, "0\r\n", 3);
    return 3;
}

/*==============================================================================
 * MARK: - @ws      WebSocket codec: frames, masks, UTF-8, close codes, handshake
 * uses:   @plat @str @h1
 * pure.   RFC 6455 4-8, RFC 3629. A message: NONE -> first frame -> continuations -> NONE, control frames anywhere.
 * test:   tests/test_ws.c   fuzz: fuzz/fuzz_ws.c
 *
 * vt__ws_head takes a frame's head; then vt__ws_take gets its payload, in pieces of any size and at least once: it takes
 * the mask off in place (the only function here that writes to what it is given) and checks text as it comes, so that
 * what is wrong is known at the first byte that makes it so, wherever the pieces are cut. Limits are compared when a
 * frame announces its length, before a byte of it is stored.
 *
 * Reserved bits belong to extensions: `rsv` says which ones a message's first frame may carry, and with one of them set its
 * payload is not text yet and is not checked.
 *
 * Text is checked by the vector as long as it is good; from where it is not, or a piece ends, bytes decide. With AVX2 and
 * NEON that holds for all of UTF-8, with SSE2 and words for ASCII.
 *============================================================================*/
/* clang-format off */
#define VT__WS_ERRORS(X) \
    X(RSV, -11301, 1002, "reserved bit set")                               \
    X(OPCODE, -11302, 1002, "unknown opcode")                              \
    X(MASK, -11303, 1002, "client frame without mask, or server frame with one") \
    X(LENGTH, -11304, 1002, "length over 63 bits, or not in its shortest form") \
    X(CONTROL_SPLIT, -11305, 1002, "fragmented control frame")             \
    X(CONTROL_LONG, -11306, 1002, "control frame over 125 bytes")          \
    X(CONTINUES, -11307, 1002, "continuation of no message")               \
    X(WITHIN, -11308, 1002, "new message within another")                  \
    X(CLOSE, -11309, 1002, "close frame of one byte")                      \
    X(CODE, -11310, 1002, "close code that nobody may send")               \
    X(UTF8, -11311, 1007, "text that is not UTF-8")                        \
    X(FRAME_LARGE, -11312, 1009, "frame over its limit")                   \
    X(LARGE, -11313, 1009, "message over its limit")                       \
    X(SHAKE, -11314, 1006, "not the answer to a WebSocket handshake")
/* clang-format on */
enum vt__ws_err {
#define VT__WS_ERR_ENUM(name, value, close, text) VT__WS_E_##name = value,
    VT__WS_ERRORS(VT__WS_ERR_ENUM)
#undef VT__WS_ERR_ENUM
};
/* The code that the connection is closed with. */
static VT__UNUSED int vt__ws_err_code(int err) {
    switch (err) {
#define VT__WS_ERR_CASE(name, value, close, text)                                                            \
    case value: return close;
        VT__WS_ERRORS(VT__WS_ERR_CASE)
#undef VT__WS_ERR_CASE
    default: return 1011;
    }
}
static VT__UNUSED const char *vt__ws_err_name(int err) {
    switch (err) {
#define VT__WS_ERR_CASE(name, value, close, text)                                                            \
    case value: return text;
        VT__WS_ERRORS(VT__WS_ERR_CASE)
#undef VT__WS_ERR_CASE
    default: return "?";
    }
}

enum {
    VT__WS_CONT = 0,
    VT__WS_TEXT = 1,
    VT__WS_BINARY = 2,
    VT__WS_CLOSE = 8,
    VT__WS_PING = 9,
    VT__WS_PONG = 10
};
enum { VT__WS_FIN = 0x80, VT__WS_RSV = 0x70, VT__WS_CONTROL = 8 };
enum { VT__WS_HEAD_MAX = 14, VT__WS_CONTROL_MAX = 125 };

/* What of a character is still to come. Zero it for a new text. */
typedef struct vt__ws_utf8 {
    uint8_t need, low, high; /* bytes; bounds of the next one */
} vt__ws_utf8;

/* One direction of a connection. The first four are set once, the rest begins zeroed. */
typedef struct vt__ws_in {
    uint64_t max_frame, max_message; /* payload bytes of data; UINT64_MAX: none */
    uint8_t rsv;                     /* of VT__WS_RSV: what the first frame of a message may carry */
    bool masked;                     /* frames come from a client */
    uint8_t op;                      /* of the frame */
    bool fin;
    uint8_t msg, msg_rsv; /* opcode and reserved bits of the message under way; 0: none */
    vt__ws_utf8 utf8;
    uint32_t key;        /* its four bytes in memory's order, turned so that they fit the next byte */
    uint64_t left, size; /* payload that has not come; of the message, up to the frame's end */
} vt__ws_in;

/* ---- masks and text, by vectors ---- */
/* mask: n bytes from `from` to `to`, which are the same or apart. text: the end of good characters, `at` >= 3 being the
 * start of one and all before it good; may stop early. */
typedef struct vt__ws_isa {
    const char *name;
    void (*mask)(uint8_t *to, const uint8_t *from, size_t n, uint32_t key);
    size_t (*text)(const uint8_t *p, size_t at, size_t n);
} vt__ws_isa;

VT__INLINE uint64_t vt__ws_word(const void *p) {
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}
VT__INLINE void vt__ws_mask_words(uint8_t *to, const uint8_t *from, size_t n, uint32_t key) {
    uint64_t k = (uint64_t)key << 32 | key;
    for (; n >= 8; n -= 8, to += 8, from += 8) {
        uint64_t v = vt__ws_word(from) ^ k;
        memcpy(to, &v, 8);
    }
    uint8_t bytes[4];
    memcpy(bytes, &key, 4);
    for (size_t i = 0; i < n; i++) to[i] = from[i] ^ bytes[i & 3];
}
VT__INLINE size_t vt__ws_ascii_words(const uint8_t *p, size_t at, size_t n) {
    while (n - at >= 8 && !(vt__ws_word(p + at) & VT__H1_ONES * 0x80)) at += 8;
    return at;
}
#if VT__H1_EVERY || !(VT__X86_64 || VT__AARCH64)
static void vt__ws_mask_word(uint8_t *to, const uint8_t *from, size_t n, uint32_t key) {
    vt__ws_mask_words(to, from, n, key);
}
static size_t vt__ws_text_word(const uint8_t *p, size_t at, size_t n) { return vt__ws_ascii_words(p, at, n); }
#endif

/* The start of the character that is cut off before p[at], else at; at >= 3. */
VT__INLINE size_t vt__ws_whole(const uint8_t *p, size_t at) {
    if (p[at - 1] >= 0xc0) return at - 1;
    if (p[at - 2] >= 0xe0) return at - 2;
    return p[at - 3] >= 0xf0 ? at - 3 : at;
}

/* What is wrong with two bytes that follow each other: a bit for each way, set by all of three look-ups, of the first
 * byte's halves and the second's high half. SHORT: a lead byte and no continuation. LONG: ASCII and one. THREE, TWO: overlong.
 * FOUR: overlong, or over U+10FFFF with a second byte of 0x8x; ABOVE: the rest of these. HALF: a surrogate. PAIR: two
 * continuations, right if they are the third or fourth byte of a character, and wrong if not (see the vectors). */
enum {
    VT__WS_SHORT = 1,
    VT__WS_LONG = 2,
    VT__WS_THREE = 4,
    VT__WS_ABOVE = 8,
    VT__WS_HALF = 16,
    VT__WS_TWO = 32,
    VT__WS_FOUR = 64,
    VT__WS_PAIR = 128,
    VT__WS_ANY = VT__WS_SHORT | VT__WS_LONG | VT__WS_PAIR,
    VT__WS_TOP = VT__WS_ANY | VT__WS_ABOVE | VT__WS_FOUR,
    VT__WS_CONT8 = VT__WS_LONG | VT__WS_TWO | VT__WS_PAIR | VT__WS_THREE | VT__WS_FOUR,
    VT__WS_CONT9 = VT__WS_LONG | VT__WS_TWO | VT__WS_PAIR | VT__WS_THREE | VT__WS_ABOVE,
    VT__WS_CONTA = VT__WS_LONG | VT__WS_TWO | VT__WS_PAIR | VT__WS_HALF | VT__WS_ABOVE
};
#define VT__WS_X4(x) x, x, x, x
#define VT__WS_TABLE_FIRST_HIGH                                                                              \
    VT__WS_X4(VT__WS_LONG), VT__WS_X4(VT__WS_LONG), VT__WS_X4(VT__WS_PAIR), VT__WS_SHORT | VT__WS_TWO,       \
        VT__WS_SHORT, VT__WS_SHORT | VT__WS_THREE | VT__WS_HALF, VT__WS_SHORT | VT__WS_ABOVE | VT__WS_FOUR
#define VT__WS_TABLE_FIRST_LOW                                                                               \
    VT__WS_ANY | VT__WS_THREE | VT__WS_TWO | VT__WS_FOUR, VT__WS_ANY | VT__WS_TWO, VT__WS_ANY, VT__WS_ANY,   \
        VT__WS_ANY | VT__WS_ABOVE, VT__WS_TOP, VT__WS_TOP, VT__WS_TOP, VT__WS_X4(VT__WS_TOP), VT__WS_TOP,    \
        VT__WS_TOP | VT__WS_HALF, VT__WS_TOP, VT__WS_TOP
#define VT__WS_TABLE_SECOND                                                                                  \
    VT__WS_X4(VT__WS_SHORT), VT__WS_X4(VT__WS_SHORT), VT__WS_CONT8, VT__WS_CONT9, VT__WS_CONTA,              \
        VT__WS_CONTA, VT__WS_X4(VT__WS_SHORT)
static VT__UNUSED const uint8_t vt__ws_tables[3][16] = {
    {VT__WS_TABLE_FIRST_HIGH}, {VT__WS_TABLE_FIRST_LOW}, {VT__WS_TABLE_SECOND}};

#if VT__X86_64
static void vt__ws_mask_sse2(uint8_t *to, const uint8_t *from, size_t n, uint32_t key) {
    __m128i k = _mm_set1_epi32((int)key);
    for (; n >= 16; n -= 16, to += 16, from += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)from);
        _mm_storeu_si128((__m128i *)(void *)to, _mm_xor_si128(v, k));
    }
    vt__ws_mask_words(to, from, n, key);
}
static size_t vt__ws_text_sse2(const uint8_t *p, size_t at, size_t n) {
    for (; n - at >= 16; at += 16)
        if (_mm_movemask_epi8(_mm_loadu_si128((const __m128i *)(const void *)(p + at)))) break;
    return vt__ws_ascii_words(p, at, n);
}
VT__H1_AVX2 static void vt__ws_mask_avx2(uint8_t *to, const uint8_t *from, size_t n, uint32_t key) {
    __m256i k = _mm256_set1_epi32((int)key);
    for (; n >= 64; n -= 64, to += 64, from += 64) {
        __m256i a = _mm256_loadu_si256((const __m256i *)(const void *)from);
        __m256i b = _mm256_loadu_si256((const __m256i *)(const void *)(from + 32));
        _mm256_storeu_si256((__m256i *)(void *)to, _mm256_xor_si256(a, k));
        _mm256_storeu_si256((__m256i *)(void *)(to + 32), _mm256_xor_si256(b, k));
    }
    vt__ws_mask_sse2(to, from, n, key);
}
VT__H1_AVX2 static inline __m256i vt__ws_avx2_at(const uint8_t *p) {
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}
VT__H1_AVX2 static inline __m256i vt__ws_avx2_find(const uint8_t table[16], __m256i index) {
    return _mm256_shuffle_epi8(
        _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)table)), index);
}
/* Whether something is wrong in 32 bytes and their borders with the ones before. */
VT__H1_AVX2 static inline bool vt__ws_avx2_bad(const uint8_t *p, __m256i x) {
    const __m256i half = _mm256_set1_epi8(15);
    __m256i one = vt__ws_avx2_at(p - 1), two = vt__ws_avx2_at(p - 2), three = vt__ws_avx2_at(p - 3);
    __m256i a = vt__ws_avx2_find(vt__ws_tables[0], _mm256_and_si256(_mm256_srli_epi16(one, 4), half));
    __m256i b = vt__ws_avx2_find(vt__ws_tables[1], _mm256_and_si256(one, half));
    __m256i c = vt__ws_avx2_find(vt__ws_tables[2], _mm256_and_si256(_mm256_srli_epi16(x, 4), half));
    __m256i wrong = _mm256_and_si256(_mm256_and_si256(a, b), c);
    /* where the third byte of three or four, or the fourth, has to be: the sums reach 0x80 */
    __m256i want = _mm256_or_si256(_mm256_subs_epu8(two, _mm256_set1_epi8(0xe0 - 0x80)),
                                   _mm256_subs_epu8(three, _mm256_set1_epi8(0xf0 - 0x80)));
    want = _mm256_and_si256(want, _mm256_set1_epi8((char)0x80));
    wrong = _mm256_xor_si256(wrong, want);
    return !_mm256_testz_si256(wrong, wrong);
}
VT__H1_AVX2 static size_t vt__ws_text_avx2(const uint8_t *p, size_t at, size_t n) {
    for (; n - at >= 32; at += 32) {
        __m256i x = vt__ws_avx2_at(p + at);
        if (!_mm256_movemask_epi8(x) ? vt__ws_whole(p, at) != at : vt__ws_avx2_bad(p + at, x)) break;
    }
    return vt__ws_whole(p, at);
}
#endif

#if VT__AARCH64
static void vt__ws_mask_neon(uint8_t *to, const uint8_t *from, size_t n, uint32_t key) {
    uint8x16_t k = vreinterpretq_u8_u32(vdupq_n_u32(key));
    for (; n >= 16; n -= 16, to += 16, from += 16) vst1q_u8(to, veorq_u8(vld1q_u8(from), k));
    vt__ws_mask_words(to, from, n, key);
}
VT__INLINE bool vt__ws_neon_bad(const uint8_t *p, uint8x16_t x) {
    uint8x16_t one = vld1q_u8(p - 1), two = vld1q_u8(p - 2), three = vld1q_u8(p - 3);
    uint8x16_t a = vqtbl1q_u8(vld1q_u8(vt__ws_tables[0]), vshrq_n_u8(one, 4));
    uint8x16_t b = vqtbl1q_u8(vld1q_u8(vt__ws_tables[1]), vandq_u8(one, vdupq_n_u8(15)));
    uint8x16_t c = vqtbl1q_u8(vld1q_u8(vt__ws_tables[2]), vshrq_n_u8(x, 4));
    uint8x16_t want = vorrq_u8(vqsubq_u8(two, vdupq_n_u8(0xe0 - 0x80)),
                               vqsubq_u8(three, vdupq_n_u8(0xf0 - 0x80)));
    uint8x16_t wrong = veorq_u8(vandq_u8(vandq_u8(a, b), c), vandq_u8(want, vdupq_n_u8(0x80)));
    return vmaxvq_u8(wrong) != 0;
}
static size_t vt__ws_text_neon(const uint8_t *p, size_t at, size_t n) {
    for (; n - at >= 16; at += 16) {
        uint8x16_t x = vld1q_u8(p + at);
        if (vmaxvq_u8(x) < 0x80 ? vt__ws_whole(p, at) != at : vt__ws_neon_bad(p + at, x)) break;
    }
    return vt__ws_whole(p, at);
}
#endif

/* Row by row as in @h1, which chooses. */
static const vt__ws_isa vt__ws_isas[] = {
#if VT__H1_EVERY || !(VT__X86_64 || VT__AARCH64)
    {"word", vt__ws_mask_word, vt__ws_text_word},
#endif
#if VT__X86_64
    {"sse2", vt__ws_mask_sse2, vt__ws_text_sse2},
    {"avx2", vt__ws_mask_avx2, vt__ws_text_avx2},
#endif
#if VT__AARCH64
    {"neon", vt__ws_mask_neon, vt__ws_text_neon},
#endif
};
_Static_assert(VT__COUNT(vt__ws_isas) == VT__COUNT(vt__h1_isas), "one choice for both");
VT__INLINE const vt__ws_isa *vt__ws_isa_get(void) { return &vt__ws_isas[vt__h1_isa_get() - vt__h1_isas]; }

/* Puts a mask on, or takes it off. */
VT__INLINE void vt__ws_mask(uint8_t *to, const uint8_t *from, size_t n, uint32_t key) {
    if (n <= 32) vt__ws_mask_words(to, from, n, key);
    else vt__ws_isa_get()->mask(to, from, n, key);
}
/* The key as the byte after n more sees it. */
VT__INLINE uint32_t vt__ws_turn(uint32_t key, uint64_t n) {
    unsigned by = (unsigned)(n & 3) * 8;
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    by = (32 - by) & 31;
#endif
    return by ? key >> by | key << (32 - by) : key;
}

/* ---- UTF-8 ---- */
VT__INLINE int vt__ws_utf8_byte(vt__ws_utf8 *u, uint8_t c) {
    if (u->need) {
        if (c < u->low || c > u->high) return VT__WS_E_UTF8;
        u->need--;
        u->low = 0x80, u->high = 0xbf;
    } else if (c >= 0x80) {
        if (c < 0xc2 || c > 0xf4) return VT__WS_E_UTF8;
        u->need = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
        u->low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
        u->high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    }
    return 0;
}
/* The next piece of a text: 0 or VT__WS_E_UTF8. At the text's end u->need has to be 0. */
static int vt__ws_utf8_next(vt__ws_utf8 *u, const uint8_t *p, size_t n) {
    for (size_t i = 0; i < n;) {
        if (!u->need)
            i = i >= 3 && n - i >= 32 ? vt__ws_isa_get()->text(p, i, n) : vt__ws_ascii_words(p, i, n);
        size_t stop = VT__MIN(n - i, 16) + i;
        for (; i < n && (i < stop || u->need); i++)
            if (VT__UNLIKELY(vt__ws_utf8_byte(u, p[i]) < 0)) return VT__WS_E_UTF8;
    }
    return 0;
}
static bool vt__ws_is_text(const uint8_t *p, size_t n) {
    vt__ws_utf8 u = {0, 0, 0};
    return vt__ws_utf8_next(&u, p, n) == 0 && u.need == 0;
}

/* ---- receiving ---- */
static int vt__ws_first_byte(const vt__ws_in *in, unsigned b) {
    unsigned op = b & 15, allowed = op == VT__WS_TEXT || op == VT__WS_BINARY ? in->rsv : 0;
    if (b & VT__WS_RSV & ~allowed) return VT__WS_E_RSV;
    if (op > VT__WS_PONG || (op > VT__WS_BINARY && op < VT__WS_CLOSE)) return VT__WS_E_OPCODE;
    if (op >= VT__WS_CONTROL) return b & VT__WS_FIN ? 0 : VT__WS_E_CONTROL_SPLIT;
    if (op == VT__WS_CONT) return in->msg ? 0 : VT__WS_E_CONTINUES;
    return in->msg ? VT__WS_E_WITHIN : 0;
}
/* A length of 2 or 8 bytes; UINT64_MAX: it should have had fewer, or is too large. */
static uint64_t vt__ws_length(const uint8_t *p, size_t n) {
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++) v = v << 8 | p[i];
    return v < (n == 2 ? 126 : 0x10000) || v >> 63 ? UINT64_MAX : v;
}
static int vt__ws_fits(const vt__ws_in *in, uint64_t len) {
    if (len > in->max_frame) return VT__WS_E_FRAME_LARGE;
    return len > in->max_message - (in->msg ? in->size : 0) ? VT__WS_E_LARGE : 0;
}
/* A frame's head: how many bytes it has; 0: more are needed. vt__ws_take comes next, for in->left bytes. */
static int vt__ws_head(vt__ws_in *in, const uint8_t *p, size_t n) {
    int rc;
    if (n < 1) return 0;
    if (VT__UNLIKELY((rc = vt__ws_first_byte(in, p[0])) < 0)) return rc;
    if (n < 2) return 0;
    uint64_t len = p[1] & 127;
    uint8_t op = p[0] & 15;
    size_t size = len < 126 ? 2 : len == 126 ? 4 : 10;
    if (VT__UNLIKELY(p[1] >> 7 != in->masked)) return VT__WS_E_MASK;
    if (VT__UNLIKELY(op >= VT__WS_CONTROL && len > VT__WS_CONTROL_MAX)) return VT__WS_E_CONTROL_LONG;
    if (n < size) return 0;
    if (size > 2 && (len = vt__ws_length(p + 2, size - 2)) == UINT64_MAX) return VT__WS_E_LENGTH;
    if (op < VT__WS_CONTROL && VT__UNLIKELY((rc = vt__ws_fits(in, len)) < 0)) return rc;
    if (in->masked) {
        if (n < size + 4) return 0;
        memcpy(&in->key, p + size, 4);
        size += 4;
    }
    in->op = op;
    in->fin = p[0] >> 7;
    in->left = len;
    if (op >= VT__WS_CONTROL) return (int)size;
    if (op) {
        in->msg = op, in->msg_rsv = p[0] & VT__WS_RSV, in->size = 0;
    }
    in->size += len;
    return (int)size;
}
/* The next n <= in->left bytes of the payload: unmasked in place, and 0, or < 0. When in->left is 0 the frame has ended, and
 * with in->fin of a data frame its message: in->msg is 0 then. */
VT__INLINE int vt__ws_take(vt__ws_in *in, uint8_t *p, size_t n) {
    if (in->masked) {
        vt__ws_mask(p, p, n, in->key);
        in->key = vt__ws_turn(in->key, n);
    }
    in->left -= n;
    if (in->op >= VT__WS_CONTROL) return 0;
    bool text = in->msg == VT__WS_TEXT && !in->msg_rsv;
    if (text && VT__UNLIKELY(vt__ws_utf8_next(&in->utf8, p, n) < 0)) return VT__WS_E_UTF8;
    if (in->left || !in->fin) return 0;
    in->msg = 0;
    return text && VT__UNLIKELY(in->utf8.need) ? VT__WS_E_UTF8 : 0;
}

/* A client's message of one frame of less than 126 bytes, all of which is there, as most are: how many bytes it has, six and
 * its payload, which is unmasked in place and, when it is text, not checked. 0: not so, and nothing has happened. */
VT__INLINE size_t vt__ws_short(const vt__ws_in *in, uint8_t *p, size_t n) {
    uint32_t key;
    if (n < 6 || in->msg || !in->masked || (uint8_t)(p[1] - 0x80) > 125) return 0;
    size_t len = p[1] & 127;
    if ((uint8_t)(p[0] - (VT__WS_FIN | VT__WS_TEXT)) > 1 || n - 6 < len) return 0;
    if (VT__UNLIKELY(len > in->max_frame || len > in->max_message)) return 0;
    memcpy(&key, p + 2, 4);
    vt__ws_mask_words(p + 6, p + 6, len, key);
    return len + 6;
}

/* ---- close ---- */
/* Codes that may stand in a frame: those of RFC 6455 7.4.1 and of IANA's registry up to 1014, and the ranges of 7.4.2. */
static bool vt__ws_code_ok(int code) {
    if (code >= 3000 && code <= 4999) return true;
    return code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006;
}
/* The unmasked payload of a close frame; its code, 1005 when it has none, or < 0. */
static VT__UNUSED int vt__ws_close_get(const uint8_t *p, size_t n, vt_str *reason) {
    *reason = (vt_str){"", 0};
    if (n == 0) return 1005;
    if (n == 1) return VT__WS_E_CLOSE;
    int code = p[0] << 8 | p[1];
    if (!vt__ws_code_ok(code)) return VT__WS_E_CODE;
    if (!vt__ws_is_text(p + 2, n - 2)) return VT__WS_E_UTF8;
    *reason = (vt_str){(const char *)p + 2, n - 2};
    return code;
}
/* Writes a close frame's payload, the reason (UTF-8) cut to what fits, between characters; its size. 1005: no payload. */
static VT__UNUSED size_t vt__ws_close_put(uint8_t out[VT__WS_CONTROL_MAX], int code, vt_str reason) {
    size_t n = VT__MIN(reason.len, VT__WS_CONTROL_MAX - 2);
    if (code == 1005) return 0;
    if (n < reason.len)
        while (n > 0 && ((uint8_t)reason.ptr[n] & 0xc0) == 0x80) n--;
    out[0] = (uint8_t)(code >> 8), out[1] = (uint8_t)code;
    if (n) memcpy(out + 2, reason.ptr, n);
    return n + 2;
}

/* ---- sending ---- */
/* A frame's head: first is VT__WS_FIN, reserved bits and opcode; key NULL: no mask. Its size. */
VT__INLINE size_t vt__ws_put_head(uint8_t out[VT__WS_HEAD_MAX], unsigned first, uint64_t len,
                                  const uint32_t *key) {
    size_t n = 2;
    out[0] = (uint8_t)first;
    if (VT__LIKELY(len < 126)) {
        out[1] = (uint8_t)len;
    } else {
        n = len < 0x10000 ? 4 : 10;
        out[1] = n == 4 ? 126 : 127;
        for (size_t i = n; i-- > 2; len >>= 8) out[i] = (uint8_t)len;
    }
    if (!key) return n;
    out[1] |= 0x80;
    memcpy(out + n, key, 4);
    return n + 4;
}

/* ---- handshake ---- */
enum { VT__WS_KEY_LEN = 24, VT__WS_ACCEPT_LEN = 28 };
/* What the fields of a request, or of its answer, say. Zero it, then give every field. */
typedef struct vt__ws_shake {
    vt_str key, version, accept, protocol, extensions; /* the first of each */
    uint8_t keys, versions, accepts, protocols;        /* how many there were, as far as two */
    bool upgrade, connection;
} vt__ws_shake;

static void vt__ws_shake_keep(vt_str *first, uint8_t *count, vt_str value) {
    if (*count == 0) *first = value;
    if (*count < 2) ++*count;
}
static VT__UNUSED void vt__ws_shake_field(vt__ws_shake *s, vt_str name, vt_str value) {
    switch (vt__h1_field_id(name)) {
    case VT__H1_F_UPGRADE: s->upgrade |= vt__h1_list_has(value, VT__STR_LIT("websocket")); break;
    case VT__H1_F_CONNECTION: s->connection |= vt__h1_list_has(value, VT__STR_LIT("upgrade")); break;
    case VT__H1_F_SEC_WEBSOCKET_KEY: vt__ws_shake_keep(&s->key, &s->keys, value); break;
    case VT__H1_F_SEC_WEBSOCKET_VERSION: vt__ws_shake_keep(&s->version, &s->versions, value); break;
    case VT__H1_F_SEC_WEBSOCKET_ACCEPT: vt__ws_shake_keep(&s->accept, &s->accepts, value); break;
    case VT__H1_F_SEC_WEBSOCKET_PROTOCOL: vt__ws_shake_keep(&s->protocol, &s->protocols, value); break;
    case VT__H1_F_SEC_WEBSOCKET_EXTENSIONS:
        if (!s->extensions.len) s->extensions = value;
        break;
    default: break;
    }
}
/* Sixteen bytes in base64; what the last digit holds beyond them does not count. */
static bool vt__ws_key_ok(vt_str key) {
    if (key.len != VT__WS_KEY_LEN || memcmp(key.ptr + 22, "==", 2) != 0) return false;
    for (size_t i = 0; i < 22; i++) {
        char c = key.ptr[i], low = vt__str_lower(c);
        if (!((low >= 'a' && low <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/')) return false;
    }
    return true;
}
/* Whether a request is a handshake (RFC 6455 4.2.1): 0, or the status that refuses it. */
static VT__UNUSED int vt__ws_shake_request(const vt__ws_shake *s) {
    if (!s->upgrade || !s->connection || s->versions != 1) return 426;
    if (!vt__str_eq(s->version, VT__STR_LIT("13"))) return 426;
    return s->keys == 1 && vt__ws_key_ok(s->key) ? 0 : 400;
}
/* Sec-WebSocket-Accept for a key. */
static VT__UNUSED void vt__ws_accept(char out[VT__WS_ACCEPT_LEN], const char key[VT__WS_KEY_LEN]) {
    char text[VT__WS_KEY_LEN + 36];
    uint8_t hash[20];
    memcpy(text, key, VT__WS_KEY_LEN);
    memcpy(text + VT__WS_KEY_LEN, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 36);
    vt__str_sha1(hash, text, sizeof text);
    (void)vt__str_base64(out, hash, sizeof hash);
}
static bool vt__ws_list_has(vt_str list, vt_str item) {
    size_t pos = 0;
    vt_str one;
    while (vt__h1_list_next(list, &pos, &one))
        if (one.len && vt__str_eq(one, item)) return true;
    return false;
}
/* Of two lists of subprotocols the first of `ours` that is in `theirs`; len 0: none. Names are compared with case. */
static VT__UNUSED vt_str vt__ws_protocol_pick(vt_str ours, vt_str theirs) {
    size_t pos = 0;
    vt_str one;
    while (vt__h1_list_next(ours, &pos, &one))
        if (one.len && vt__ws_list_has(theirs, one)) return one;
    return (vt_str){"", 0};
}
/* Whether a list holds tokens alone, none of them twice (RFC 6455 4.1, 10.); an empty one is good. */
static VT__UNUSED bool vt__ws_protocols_ok(vt_str list) {
    size_t pos = 0;
    vt_str one;
    while (list.len && vt__h1_list_next(list, &pos, &one)) {
        vt_str rest = {list.ptr + VT__MIN(pos, list.len), list.len - VT__MIN(pos, list.len)};
        if (!vt__h1_is_token(one) || vt__ws_list_has(rest, one)) return false;
    }
    return true;
}
/* Whether an answer accepts the request that was sent with `key` and the subprotocols `offered` (RFC 6455 4.1): 0 or
 * VT__WS_E_SHAKE. No extension was offered, so none may be there. */
static VT__UNUSED int vt__ws_shake_response(const vt__ws_shake *s, int status, const char key[VT__WS_KEY_LEN],
                                            vt_str offered) {
    char want[VT__WS_ACCEPT_LEN];
    vt__ws_accept(want, key);
    if (status != 101 || !s->upgrade || !s->connection || s->accepts != 1 || s->extensions.len)
        return VT__WS_E_SHAKE;
    if (!vt__str_eq(s->accept, (vt_str){want, sizeof want})) return VT__WS_E_SHAKE;
    if (s->protocols == 0) return 0;
    bool named = s->protocols == 1 && s->protocol.len && vt__ws_list_has(offered, s->protocol);
    return named ? 0 : VT__WS_E_SHAKE;
}
#endif /* VTHTTP_HTTP */

/*==============================================================================
 * MARK: - @ctx     context switch: assembly, ucontext, sanitizer hooks
 * uses:   @plat
 * test:   tests/test_ctx.c
 *
 * vt__ctx_swap stores where its caller goes on (stack pointer, frame pointer, return address) and the registers that
 * a call preserves, loads another context's, and goes on there, with `value` as its result. Nothing is pushed: the
 * three words are what a debugger needs to unwind a parked vthread from its caller on. It leaves by an indirect jump
 * and not by a return, because the processor predicts a return from its own record of calls, which is another
 * vthread's after a switch: each return that meets it costs as much as ten switches. So callers make it their last
 * call, and it returns for them.
 *
 * A new context starts at vt__ctx_entry with the function to run in the frame pointer's place; the bottom frame has
 * frame pointer 0 and return address 0.
 *============================================================================*/
#if VTHTTP_UCONTEXT || !(VT__X86_64 || VT__AARCH64 || VT__RISCV64 || VT__I386)
#define VT__CTX_ASM 0
#include <ucontext.h>
#else
#define VT__CTX_ASM 1
#endif
#if VT__X86_64
#define VT__CTX_SAVED 5 /* rbx r12 r13 r14 r15 */
#elif VT__AARCH64
#define VT__CTX_SAVED 18 /* x19 .. x28, d8 .. d15 */
#elif VT__RISCV64
#define VT__CTX_SAVED 23 /* s1 .. s11, fs0 .. fs11 */
#else
#define VT__CTX_SAVED 3 /* ebx esi edi */
#endif
#if VTHTTP_VALGRIND
#include <valgrind/valgrind.h>
#endif
#if VT__ASAN
void __sanitizer_start_switch_fiber(void **save, const void *bottom, size_t size);
void __sanitizer_finish_switch_fiber(void *save, const void **bottom, size_t *size);
void __asan_unpoison_memory_region(void const volatile *p, size_t n);
#endif
#if VT__TSAN
void *__tsan_get_current_fiber(void);
void *__tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void *fiber);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);
/* TSan keeps a signal with the fiber that it met until that one makes a call which TSan knows, and it may never run again. */
size_t vt__libc_strlen(const char *s) __asm__("strlen");
#define VT__CTX_SIGNALS() ((void)vt__libc_strlen(""))
#endif

typedef struct vt__ctx {
#if VT__CTX_ASM
    void *sp, *fp, *pc, *saved[VT__CTX_SAVED];
#else
    ucontext_t uc;
    int value;
#endif
#if VTHTTP_FPU_CONTROL
    uint32_t mxcsr, x87;
#endif
#if VT__ASAN
    void *fake;
    const void *bottom;
    size_t size;
#endif
#if VT__TSAN
    void *fiber;
#endif
} vt__ctx;

#if VT__CTX_ASM
/* Weak and hidden: every file that holds an implementation may bring its own copy. */
#define VT__CTX_BEGIN(name, type)                                                                            \
    ".pushsection .text\n.p2align 4\n.weak " name "\n.hidden " name "\n.type " name ", " type "\n" name      \
    ":\n.cfi_startproc\n"
#define VT__CTX_END(name) ".cfi_endproc\n.size " name ", .-" name "\n.popsection\n"
extern int vt__ctx_swap(vt__ctx *from, vt__ctx *to, int value) __asm__("vt__ctx_swap");
extern void vt__ctx_entry(void) __asm__("vt__ctx_entry");
#endif

#if VT__CTX_ASM && VT__X86_64
#if defined(__CET__)
#define VT__CTX_LAND "endbr64\n"
#define VT__CTX_JMP "notrack jmpq" /* a return address has no landing mark */
#else
#define VT__CTX_LAND ""
#define VT__CTX_JMP "jmpq"
#endif
__asm__(VT__CTX_BEGIN("vt__ctx_swap", "@function") VT__CTX_LAND /* rdi from, rsi to, edx value */
        "popq %rcx\n.cfi_adjust_cfa_offset -8\n.cfi_register rip, rcx\n"
        "movl %edx, %eax\n"
        "movq %rsp, 0(%rdi)\n"
        "movq %rbp, 8(%rdi)\n"
        "movq %rcx, 16(%rdi)\n"
        "movq %rbx, 24(%rdi)\n"
        "movq %r12, 32(%rdi)\n"
        "movq %r13, 40(%rdi)\n"
        "movq %r14, 48(%rdi)\n"
        "movq %r15, 56(%rdi)\n"
        "movq 0(%rsi), %rsp\n"
        "movq 8(%rsi), %rbp\n"
        "movq 24(%rsi), %rbx\n"
        "movq 32(%rsi), %r12\n"
        "movq 40(%rsi), %r13\n"
        "movq 48(%rsi), %r14\n"
        "movq 56(%rsi), %r15\n" VT__CTX_JMP " *16(%rsi)\n" VT__CTX_END("vt__ctx_swap"));
__asm__(VT__CTX_BEGIN("vt__ctx_entry", "@function") ".cfi_undefined rip\n" VT__CTX_LAND "movq %rsi, %rdi\n"
                                                    "movq %rbp, %rax\n"
                                                    "xorl %ebp, %ebp\n"
                                                    "pushq $0\n"
                                                    "jmpq *%rax\n" VT__CTX_END("vt__ctx_entry"));
#elif VT__CTX_ASM && VT__AARCH64
#if defined(__ARM_FEATURE_BTI_DEFAULT)
#define VT__CTX_JMP "ret" /* the one jump that needs no landing mark */
#else
#define VT__CTX_JMP "br"
#endif
__asm__(VT__CTX_BEGIN("vt__ctx_swap", "%function") /* x0 from, x1 to, w2 value */
        "hint #34\n"
        "mov x3, sp\n"
        "stp x3, x29, [x0]\n"
        "str x30, [x0, #16]\n"
        "stp x19, x20, [x0, #24]\n"
        "stp x21, x22, [x0, #40]\n"
        "stp x23, x24, [x0, #56]\n"
        "stp x25, x26, [x0, #72]\n"
        "stp x27, x28, [x0, #88]\n"
        "stp d8, d9, [x0, #104]\n"
        "stp d10, d11, [x0, #120]\n"
        "stp d12, d13, [x0, #136]\n"
        "stp d14, d15, [x0, #152]\n"
        "ldp x3, x29, [x1]\n"
        "ldr x16, [x1, #16]\n"
        "ldp x19, x20, [x1, #24]\n"
        "ldp x21, x22, [x1, #40]\n"
        "ldp x23, x24, [x1, #56]\n"
        "ldp x25, x26, [x1, #72]\n"
        "ldp x27, x28, [x1, #88]\n"
        "ldp d8, d9, [x1, #104]\n"
        "ldp d10, d11, [x1, #120]\n"
        "ldp d12, d13, [x1, #136]\n"
        "ldp d14, d15, [x1, #152]\n"
        "mov sp, x3\n"
        "mov w0, w2\n" VT__CTX_JMP " x16\n" VT__CTX_END("vt__ctx_swap"));
__asm__(VT__CTX_BEGIN("vt__ctx_entry", "%function") ".cfi_undefined x30\n"
                                                    "hint #36\n"
                                                    "mov x0, x1\n"
                                                    "mov x16, x29\n"
                                                    "mov x29, xzr\n"
                                                    "mov x30, xzr\n"
                                                    "br x16\n" VT__CTX_END("vt__ctx_entry"));
#elif VT__CTX_ASM && VT__RISCV64
#define VT__CTX_RV(op, fop, base)                                                                            \
    op " s1, 24(" base ")\n" op " s2, 32(" base ")\n" op " s3, 40(" base ")\n" op " s4, 48(" base ")\n" op   \
       " s5, 56(" base ")\n" op " s6, 64(" base ")\n" op " s7, 72(" base ")\n" op " s8, 80(" base ")\n" op   \
       " s9, 88(" base ")\n" op " s10, 96(" base ")\n" op " s11, 104(" base ")\n" fop " fs0, 112(" base      \
       ")\n" fop " fs1, 120(" base ")\n" fop " fs2, 128(" base ")\n" fop " fs3, 136(" base ")\n" fop         \
       " fs4, 144(" base ")\n" fop " fs5, 152(" base ")\n" fop " fs6, 160(" base ")\n" fop " fs7, 168(" base \
       ")\n" fop " fs8, 176(" base ")\n" fop " fs9, 184(" base ")\n" fop " fs10, 192(" base ")\n" fop        \
       " fs11, 200(" base ")\n"
__asm__(VT__CTX_BEGIN("vt__ctx_swap", "@function") /* a0 from, a1 to, a2 value */
        "sd sp, 0(a0)\n"
        "sd s0, 8(a0)\n"
        "sd ra, 16(a0)\n" VT__CTX_RV("sd", "fsd", "a0") "ld sp, 0(a1)\n"
                                                        "ld s0, 8(a1)\n"
                                                        "ld t0, 16(a1)\n" VT__CTX_RV(
                                                            "ld", "fld",
                                                            "a1") "mv a0, a2\n"
                                                                  "jr t0\n" VT__CTX_END("vt__ctx_swap"));
__asm__(VT__CTX_BEGIN("vt__ctx_entry", "@function") ".cfi_undefined ra\n"
                                                    "mv a0, a1\n"
                                                    "mv t0, s0\n"
                                                    "li s0, 0\n"
                                                    "li ra, 0\n"
                                                    "jr t0\n" VT__CTX_END("vt__ctx_entry"));
#elif VT__CTX_ASM && VT__I386
__asm__(VT__CTX_BEGIN("vt__ctx_swap", "@function") /* on the stack: from, to, value */
        "movl 4(%esp), %ecx\n"
        "movl 8(%esp), %edx\n"
        "movl %ebx, 12(%ecx)\n"
        "movl %esi, 16(%ecx)\n"
        "movl %edi, 20(%ecx)\n"
        "movl (%esp), %ebx\n"
        "leal 4(%esp), %esi\n"
        "movl 12(%esp), %eax\n"
        "movl %esi, 0(%ecx)\n"
        "movl %ebp, 4(%ecx)\n"
        "movl %ebx, 8(%ecx)\n"
        "movl 0(%edx), %esp\n"
        "movl 4(%edx), %ebp\n"
        "movl 12(%edx), %ebx\n"
        "movl 16(%edx), %esi\n"
        "movl 20(%edx), %edi\n"
        "jmpl *8(%edx)\n" VT__CTX_END("vt__ctx_swap"));
__asm__(VT__CTX_BEGIN("vt__ctx_entry", "@function") ".cfi_undefined eip\n"
                                                    "movl %ebp, %ecx\n"
                                                    "xorl %ebp, %ebp\n"
                                                    "subl $12, %esp\n"
                                                    "pushl %edx\n"
                                                    "pushl $0\n"
                                                    "jmpl *%ecx\n" VT__CTX_END("vt__ctx_entry"));
#else
static int vt__ctx_swap(vt__ctx *from, vt__ctx *to, int value) {
    to->value = value;
    swapcontext(&from->uc, &to->uc);
#if VTHTTP_FPU_CONTROL && (VT__X86_64 || VT__I386)
    /* libc has saved the words that were loaded for `to` as ours */
    __asm__ volatile("ldmxcsr %0\n fldcw %1" : : "m"(from->mxcsr), "m"(from->x87));
#endif
    return from->value;
}
#endif

/* The context that was left last on this OS thread; ASan tells its bounds to whoever arrives. */
#if VT__ASAN
static __thread vt__ctx *vt__ctx_left;
#endif
#if VT__TSAN
static __thread void *vt__ctx_dead_fiber;
#endif

#if VT__TSAN
/* TSan drops a signal that comes while it takes a fiber apart. */
static VT__NOINLINE void vt__ctx_bury(void) {
    struct vt__plat_sigset all, old;
    memset(&all, 0xff, sizeof all);
    (void)vt__libc_sigmask(SIG_BLOCK, &all, &old);
    __tsan_destroy_fiber(vt__ctx_dead_fiber);
    vt__ctx_dead_fiber = NULL;
    (void)vt__libc_sigmask(SIG_SETMASK, &old, NULL);
}
#endif
/* Call first on arrival in a context; `me` has fake stack state to restore unless it is new. */
VT__INLINE void vt__ctx_arrive(vt__ctx *me) {
    (void)me;
#if VT__ASAN
    const void *bottom;
    size_t size;
    __sanitizer_finish_switch_fiber(me->fake, &bottom, &size);
    if (vt__ctx_left) {
        vt__ctx_left->bottom = bottom;
        vt__ctx_left->size = size;
    }
#endif
#if VT__TSAN
    if (vt__ctx_dead_fiber) vt__ctx_bury();
#endif
}

/* Goes on in `to`, where this call's counterpart returns `value`; returns what comes with the way back. */
VT__INLINE int vt__ctx_switch(vt__ctx *from, vt__ctx *to, int value) {
#if VT__ASAN
    vt__ctx_left = from;
    __sanitizer_start_switch_fiber(&from->fake, to->bottom, to->size);
#endif
#if VT__TSAN
    VT__CTX_SIGNALS();
    __tsan_switch_to_fiber(to->fiber, 0);
#endif
#if VTHTTP_FPU_CONTROL && (VT__X86_64 || VT__I386)
    __asm__ volatile("stmxcsr %0\n fnstcw %1" : "=m"(from->mxcsr), "=m"(from->x87));
    __asm__ volatile("ldmxcsr %0\n fldcw %1" : : "m"(to->mxcsr), "m"(to->x87));
#endif
#if VT__ASAN || VT__TSAN
    value = vt__ctx_swap(from, to, value);
    vt__ctx_arrive(from);
    return value;
#else
    return vt__ctx_swap(from, to, value);
#endif
}

/* Leaves a context for good. */
__attribute__((noreturn)) VT__INLINE void vt__ctx_leave(vt__ctx *from, vt__ctx *to, int value) {
#if VT__ASAN
    vt__ctx_left = NULL;
    __sanitizer_start_switch_fiber(NULL, to->bottom, to->size);
#endif
#if VT__TSAN
    VT__CTX_SIGNALS();
    vt__ctx_dead_fiber = from->fiber;
    __tsan_switch_to_fiber(to->fiber, 0);
#endif
#if VTHTTP_FPU_CONTROL && (VT__X86_64 || VT__I386)
    __asm__ volatile("ldmxcsr %0\n fldcw %1" : : "m"(to->mxcsr), "m"(to->x87));
#endif
    (void)vt__ctx_swap(from, to, value);
    __builtin_unreachable();
}

/* For the context of an OS thread itself. */
static void vt__ctx_init_thread(vt__ctx *c) {
    memset(c, 0, sizeof *c);
#if VT__TSAN
    c->fiber = __tsan_get_current_fiber();
#endif
}

/* Makes `c` run fn(c) on the stack [bottom, top); fn must not return. With ucontext fn gets no argument. */
static void vt__ctx_make(vt__ctx *c, char *bottom, char *top, void (*fn)(vt__ctx *c)) {
#if VT__CTX_ASM
    (void)bottom;
    c->sp = (void *)((uintptr_t)top & ~(uintptr_t)15);
    __builtin_memcpy(&c->fp, &(void (*)(vt__ctx *)){fn}, sizeof c->fp);
    __builtin_memcpy(&c->pc, &(void (*)(void)){vt__ctx_entry}, sizeof c->pc);
#else
    void (*bare)(void);
    memcpy(&bare, &fn, sizeof bare);
    getcontext(&c->uc);
    c->uc.uc_stack.ss_sp = bottom;
    c->uc.uc_stack.ss_size = (size_t)(top - bottom);
    c->uc.uc_link = NULL;
    makecontext(&c->uc, bare, 0);
#endif
#if VTHTTP_FPU_CONTROL && (VT__X86_64 || VT__I386)
    __asm__ volatile("stmxcsr %0\n fnstcw %1" : "=m"(c->mxcsr), "=m"(c->x87));
#endif
#if VT__ASAN
    c->fake = NULL;
    c->bottom = bottom;
    c->size = (size_t)(top - bottom);
#endif
#if VT__TSAN
    c->fiber = __tsan_create_fiber(0);
#endif
}

/* 0, or -ENOTSUP where the hardware's shadow stack is on: returns would not match it after a switch. */
static int vt__ctx_check(void) {
#if VT__CTX_ASM && VT__X86_64 && defined(__CET__) && (__CET__ & 2)
    uint64_t ssp = 0;
    __asm__ volatile("rdsspq %0" : "+r"(ssp));
    if (ssp) return -ENOTSUP;
#endif
    return 0;
}

/*==============================================================================
 * MARK: - @stack   guarded stacks, caches, trimming, overflow reports
 * uses:   @plat @mem
 * test:   tests/test_stack.c
 *
 * Stacks of one stride (guard below, usable above) are carved from slabs that are never unmapped while the runtime
 * lives. Each OS thread keeps a LIFO cache as an array of addresses, so that a free stack is not touched: the top is
 * hot; what stayed unused for a while is given back to the kernel from the bottom, in batches. Guards: regions that
 * cost no VMA (Linux 6.13), else mprotect up to a count that keeps clear of vm.max_map_count, else a canary word
 * that is checked at the vthread's end.
 *============================================================================*/
enum { VT__STACK_BATCH = 64, VT__STACK_SLAB = 256, VT__STACK_MPROTECT_MAX = 25000 };
enum { VT__GUARD_NONE = 0, VT__GUARD_MPROTECT = 1, VT__GUARD_LIGHT = 2 };
#define VT__STACK_CANARY UINT64_C(0x5ac15ac15ac15ac1)

typedef struct vt__stack_slab {
    struct vt__stack_slab *next;
    char *mem;
    size_t bytes;
} vt__stack_slab;

static struct {
    uint32_t spin;
    int kind;      /* guard of stacks made from now on */
    bool batch;    /* process_madvise works on ourselves */
    bool dontneed; /* ... for MADV_DONTNEED, too */
    size_t stride, guard, page;
    vt__stack_slab *slabs;
    char *fresh, *fresh_end; /* of the newest slab, not handed out yet */
    char **spare;            /* given back by threads that ended */
    size_t nspare, cap_spare, made;
} vt__stack_g;

/* A stack is its lowest address (the guard is there), plus 1 when it has a canary in place of a guard. */
VT__INLINE char *vt__stack_base(char *s) { return s - ((uintptr_t)s & 1); }
typedef struct vt__stack_cache {
    char **v;
    uint32_t n, cap, owned; /* cap >= owned, the stacks this thread has, so that giving back never fails */
    uint32_t clean;         /* of v[0 .. clean) the pages are given back */
    uint32_t low;           /* fewest free since the last trim */
    int64_t next_trim;
} vt__stack_cache;

static void vt__stack_setup(size_t usable, size_t guard) {
    size_t page = 4096;
    long sys = sysconf(_SC_PAGESIZE);
    if (sys > 0) page = (size_t)sys;
    memset(&vt__stack_g, 0, sizeof vt__stack_g);
    vt__stack_g.page = page;
    vt__stack_g.guard = (guard + page - 1) & ~(page - 1);
    vt__stack_g.stride = vt__stack_g.guard + ((usable + page - 1) & ~(page - 1));
    /* Emulators say yes to every advice, made-up ones too: guards must not rest on it. */
    vt__stack_g.kind = vt__plat_madvise(NULL, 0, -1) < 0 ? VT__GUARD_LIGHT : VT__GUARD_MPROTECT;
    vt__stack_g.batch = vt__stack_g.dontneed = true;
}

/* One advice for n stacks; false when it did not take for all of them. */
static bool vt__stack_advise(char **v, size_t n, size_t off, size_t len, int advice, bool *batch) {
    struct iovec io[VT__STACK_BATCH];
    for (size_t i = 0; i < n; i++) io[i].iov_base = vt__stack_base(v[i]) + off, io[i].iov_len = len;
#if defined(__linux__)
    if (*batch && n > 1) {
        if (vt__plat_process_madvise(io, n, advice) == (ssize_t)(n * len)) return true;
        *batch = false;
    }
#endif
    for (size_t i = 0; i < n; i++)
        if (vt__plat_madvise(io[i].iov_base, len, advice) < 0) return false;
    return true;
}

/* Guards v[0 .. n); falls back for this and all later batches. Under vt__stack_g.spin. */
static void vt__stack_guard(char **v, size_t n) {
    size_t g = vt__stack_g.guard;
    if (!g) vt__stack_g.kind = VT__GUARD_NONE;
    if (vt__stack_g.kind == VT__GUARD_LIGHT) {
        if (vt__stack_advise(v, n, 0, g, VT__MADV_GUARD_INSTALL, &vt__stack_g.batch)) return;
        vt__stack_g.kind = VT__GUARD_MPROTECT;
    }
    for (size_t i = 0; i < n; i++) {
        if (vt__stack_g.kind == VT__GUARD_MPROTECT &&
            (vt__stack_g.made + i >= VT__STACK_MPROTECT_MAX || vt__plat_mprotect(v[i], g, PROT_NONE) < 0))
            vt__stack_g.kind = VT__GUARD_NONE;
        if (vt__stack_g.kind == VT__GUARD_NONE) {
            memcpy(v[i] + g, &(uint64_t){VT__STACK_CANARY}, 8);
            v[i]++;
        }
    }
}

static bool vt__stack_slab_new(void) {
    size_t n = VT__MIN((size_t)VT__STACK_SLAB,
                       ((size_t)1 << 29) / vt__stack_g.stride); /* 32 bits have no room for more */
    size_t bytes = vt__stack_g.stride * VT__MAX(n, 1u);
    vt__stack_slab *s = vt__mem_alloc(sizeof *s);
    char *mem = s ? vt__plat_mmap(bytes) : NULL;
    if (!mem) {
        vt__mem_free(s);
        return false;
    }
#if defined(__linux__)
    (void)vt__plat_madvise(mem, bytes, MADV_NOHUGEPAGE); /* or one touched page makes 2 MiB resident */
#endif
    s->mem = mem;
    s->bytes = bytes;
    s->next = vt__stack_g.slabs;
    vt__stack_g.slabs = s;
    vt__stack_g.fresh = mem;
    vt__stack_g.fresh_end = mem + bytes;
    return true;
}

/* Up to n stacks into v: first those that ended threads left, then new ones. */
static size_t vt__stack_take(char **v, size_t n) {
    size_t got = 0;
    vt__plat_spin_lock(&vt__stack_g.spin);
    while (got < n && vt__stack_g.nspare) v[got++] = vt__stack_g.spare[--vt__stack_g.nspare];
    if (got == 0 && (vt__stack_g.fresh != vt__stack_g.fresh_end || vt__stack_slab_new())) {
        for (; got < n && vt__stack_g.fresh != vt__stack_g.fresh_end; got++) {
            v[got] = vt__stack_g.fresh;
            vt__stack_g.fresh += vt__stack_g.stride;
        }
        vt__stack_guard(v, got);
#if VTHTTP_VALGRIND
        for (size_t i = 0; i < got; i++)
            VALGRIND_STACK_REGISTER(vt__stack_base(v[i]) + vt__stack_g.guard,
                                    vt__stack_base(v[i]) + vt__stack_g.stride);
#endif
        vt__stack_g.made += got;
    }
    vt__plat_spin_unlock(&vt__stack_g.spin);
    return got;
}

static VT__NOINLINE bool vt__stack_refill(vt__stack_cache *c) {
    if (c->owned + VT__STACK_BATCH > c->cap) {
        uint32_t cap = c->cap ? c->cap * 2 : 4 * VT__STACK_BATCH;
        char **v = vt__mem_realloc(c->v, cap * sizeof *v);
        if (!v) return false;
        c->v = v;
        c->cap = cap;
    }
    size_t got = vt__stack_take(c->v, c->owned ? VT__STACK_BATCH : 8);
    c->n = c->clean = (uint32_t)got;
    c->owned += (uint32_t)got;
    return got > 0;
}

/* The hottest free stack, or NULL: no memory. */
VT__INLINE char *vt__stack_get(vt__stack_cache *c) {
    if (VT__UNLIKELY(c->n == 0) && !vt__stack_refill(c)) return NULL;
    char *s = c->v[--c->n];
    if (VT__UNLIKELY(c->n < c->clean)) c->clean = c->n;
    if (c->n < c->low) c->low = c->n;
#if VT__ASAN
    __asan_unpoison_memory_region(vt__stack_base(s) + vt__stack_g.guard,
                                  vt__stack_g.stride - vt__stack_g.guard);
#endif
    return s;
}
VT__INLINE void vt__stack_put(vt__stack_cache *c, char *s) { c->v[c->n++] = s; }
VT__INLINE bool vt__stack_intact(const char *s) {
    return VT__LIKELY(((uintptr_t)s & 1) == 0) ||
           memcmp(s - 1 + vt__stack_g.guard, &(uint64_t){VT__STACK_CANARY}, 8) == 0;
}

/* Every second or so: what has not been needed since the last call goes back to the kernel, a few excepted. */
static void vt__stack_trim(vt__stack_cache *c, int64_t now, uint32_t keep) {
    if (now < c->next_trim) return;
    uint32_t spare = VT__MIN(c->low, c->n), end = spare > keep ? spare - keep : 0;
    c->next_trim = now + VT_SEC;
    c->low = c->n;
    size_t keep_bytes = vt__stack_g.kind == VT__GUARD_NONE ? vt__stack_g.page : 0; /* the canary stays */
    while (c->clean < end) {
        uint32_t n = VT__MIN(end - c->clean, (uint32_t)VT__STACK_BATCH);
        size_t off = vt__stack_g.guard + keep_bytes;
        (void)vt__stack_advise(c->v + c->clean, n, off, vt__stack_g.stride - off, MADV_DONTNEED,
                               &vt__stack_g.dontneed);
        c->clean += n;
    }
}

/* At an OS thread's end. */
static void vt__stack_cache_free(vt__stack_cache *c) {
    vt__plat_spin_lock(&vt__stack_g.spin);
    size_t need = vt__stack_g.nspare + c->n;
    if (need > vt__stack_g.cap_spare) {
        char **v = vt__mem_realloc(vt__stack_g.spare, need * sizeof *v);
        if (v) vt__stack_g.spare = v, vt__stack_g.cap_spare = need;
    }
    /* Without memory for the list they wait for vt__stack_teardown. */
    for (uint32_t i = 0; i < c->n && vt__stack_g.nspare < vt__stack_g.cap_spare; i++)
        vt__stack_g.spare[vt__stack_g.nspare++] = c->v[i];
    vt__plat_spin_unlock(&vt__stack_g.spin);
    vt__mem_free(c->v);
    memset(c, 0, sizeof *c);
}
static void vt__stack_teardown(void) {
    for (vt__stack_slab *s = vt__stack_g.slabs, *next; s; s = next) {
        next = s->next;
        (void)vt__plat_munmap(s->mem, s->bytes);
        vt__mem_free(s);
    }
    vt__mem_free(vt__stack_g.spare);
    vt__stack_g.slabs = NULL;
    vt__stack_g.spare = NULL;
    vt__stack_g.fresh = vt__stack_g.fresh_end = NULL;
    vt__stack_g.nspare = vt__stack_g.cap_spare = vt__stack_g.made = 0;
}

/* Neighbours would share cache sets with a stride of whole pages: start offsets differ by up to 15 x 128 bytes. */
VT__INLINE char *vt__stack_top(char *s) {
    size_t colour = (uint32_t)((uintptr_t)s >> 12) * 2654435769u >> 28;
    return vt__stack_base(s) + vt__stack_g.stride - colour * 128;
}

/*==============================================================================
 * MARK: - @timer   hierarchical timing wheel
 * uses:   @plat @ds
 * test:   tests/test_timer.c
 *
 * 6 levels of 64 slots over ticks of 2^16 ns (65.5 us; 52 days in all, later ones wait at the top and are sorted
 * in again). An entry stands at the level of the highest bit in which its tick differs from the wheel's, so it moves
 * down at most 5 times. Bitmaps of the slots in use make "what is next" a few instructions. Users are lazy: they leave
 * an entry armed that is too early and let it fire, compare, and arm itself again.
 * A wheel belongs to one OS thread at a time.
 *============================================================================*/
enum { VT__TIMER_SHIFT = 16, VT__TIMER_LEVELS = 6 };

typedef struct vt__timer {
    vt__list link;
    int64_t due;
    void (*fire)(struct vt__timer *t); /* scheduler context; the entry is off the wheel by then */
} vt__timer;

typedef struct vt__wheel {
    int64_t tick; /* all entries up to it have fired */
    uint64_t used[VT__TIMER_LEVELS];
    vt__list slot[VT__TIMER_LEVELS][64];
    int64_t fired;
} vt__wheel;

static void vt__timer_wheel_init(vt__wheel *w, int64_t now) {
    memset(w, 0, sizeof *w);
    w->tick = now >> VT__TIMER_SHIFT;
    for (int l = 0; l < VT__TIMER_LEVELS; l++)
        for (int i = 0; i < 64; i++) vt__ds_list_init(&w->slot[l][i]);
}
VT__INLINE void vt__timer_init(vt__timer *t, void (*fire)(vt__timer *)) {
    vt__ds_list_init(&t->link);
    t->fire = fire;
    t->due = 0;
}
VT__INLINE bool vt__timer_armed(const vt__timer *t) { return !vt__ds_list_empty(&t->link); }

VT__INLINE void vt__timer_cancel(vt__wheel *w, vt__timer *t) {
    vt__list *prev = t->link.prev;
    if (prev == &t->link) return;
    bool last = prev == t->link.next; /* then prev is the slot's head */
    vt__ds_list_remove(&t->link);
    if (last) {
        size_t i = (size_t)(prev - &w->slot[0][0]);
        w->used[i >> 6] &= ~(UINT64_C(1) << (i & 63));
    }
}

/* Puts an entry of tick `tick` > w->tick where it belongs. */
static void vt__timer_place(vt__wheel *w, vt__timer *t, int64_t tick) {
    int level = (63 - __builtin_clzll((uint64_t)tick ^ (uint64_t)w->tick)) / 6;
    if (VT__UNLIKELY(level >= VT__TIMER_LEVELS)) {
        /* over the wheel's end: its top level is a ring, 63 slots ahead */
        level = VT__TIMER_LEVELS - 1;
        int64_t most = ((w->tick >> 6 * level) + 63) << 6 * level;
        if (tick > most) tick = most; /* still too early there: placed again when that slot is opened */
    }
    unsigned i = (unsigned)(tick >> 6 * level) & 63;
    w->used[level] |= UINT64_C(1) << i;
    vt__ds_list_push(&w->slot[level][i], &t->link);
}

/* Rounds up: never early. What is due already fires with the next tick. */
static void vt__timer_arm(vt__wheel *w, vt__timer *t, int64_t due) {
    vt__timer_cancel(w, t);
    t->due = due;
    vt__timer_place(w, t, VT__MAX((due >> VT__TIMER_SHIFT) + 1, w->tick + 1));
}

/* Makes sure that the entry fires at `due` or before: one that is armed earlier stays, its user compares and arms it
 * again. A deadline that moves back with every wait costs a comparison. */
VT__INLINE bool vt__timer_before(const vt__timer *t, int64_t due) {
    return vt__timer_armed(t) && t->due <= due;
}
VT__INLINE void vt__timer_lazy(vt__wheel *w, vt__timer *t, int64_t due) {
    if (!vt__timer_before(t, due)) vt__timer_arm(w, t, due);
}

/* The next tick at which a slot is to be opened, and which; INT64_MAX when the wheel is empty. */
static int64_t vt__timer_next_slot(const vt__wheel *w, int *level, unsigned *slot) {
    int64_t best = INT64_MAX;
    for (int l = 0; l < VT__TIMER_LEVELS; l++) {
        uint64_t used = w->used[l];
        if (!used) continue;
        /* turned so that bit 0 is the slot after the current one */
        int64_t at = w->tick >> 6 * l;
        unsigned by = (unsigned)(at + 1) & 63;
        uint64_t turned = by ? used >> by | used << (64 - by) : used;
        int64_t tick = (at + 1 + __builtin_ctzll(turned)) << 6 * l;
        if (tick >= best) continue;
        best = tick;
        *level = l;
        *slot = (unsigned)(tick >> 6 * l) & 63;
    }
    return best;
}

/* When to call vt__timer_advance next; INT64_MAX: no need. */
static int64_t vt__timer_next(const vt__wheel *w) {
    int level = 0;
    unsigned slot = 0;
    int64_t tick = vt__timer_next_slot(w, &level, &slot);
    return tick > INT64_MAX >> VT__TIMER_SHIFT ? INT64_MAX : tick << VT__TIMER_SHIFT;
}

/* Fires what is due by `now`, about `budget` entries at most; false when some are left. Opening a slot of a higher
 * level moves its later entries down; none can land in the slot that is being emptied. */
static bool vt__timer_advance(vt__wheel *w, int64_t now, int budget) {
    int64_t target = now >> VT__TIMER_SHIFT, tick;
    int level = 0;
    unsigned slot = 0;
    while ((tick = vt__timer_next_slot(w, &level, &slot)) <= target) {
        vt__list *head = &w->slot[level][slot];
        w->tick = tick;
        while (!vt__ds_list_empty(head)) {
            if (budget-- <= 0) {
                w->tick = tick - 1; /* comes back to this slot */
                return false;
            }
            vt__timer *t = VT__CONTAINER(head->next, vt__timer, link);
            int64_t due = (t->due >> VT__TIMER_SHIFT) + 1;
            vt__timer_cancel(w, t);
            if (due > tick) {
                vt__timer_place(w, t, due);
                continue;
            }
            vt__plat_count(&w->fired, 1);
            t->fire(t);
        }
    }
    if (w->tick < target) w->tick = target;
    return true;
}

/*==============================================================================
 * MARK: - @poll    reactor domains: epoll or poll, readiness, messages
 * uses:   @plat @mem @timer
 * raises: vt__poll_up.wake (a vthread's wait on a descriptor is over), vt__pd.sink (an armed descriptor has an event)
 * test:   tests/test_poll.c
 *
 * A domain is what a worker's OS thread drives: the poll set, a timing wheel, messages from other threads, and the
 * queue of work that has not started and that any worker may take. Its driver may change at any moment in which
 * vthreads run (see @sched), so what a vthread does here holds whoever harvests the events.
 *
 * A descriptor's state is one word that changes by compare-and-swap: readiness bits, who waits, and a generation.
 *
 *                    event: sets readiness, clears what it satisfies
 *     RWAIT, WWAIT   a vthread waits (rv, wv)      -> wakes it
 *     ARMED          the owner is idle             -> sink, once: who clears ARMED owns the descriptor
 *     WATCH          the owner runs, wants HUP     -> sink, once
 *     FLUSH          the owner has output left     -> sink, once
 *
 * Whoever clears a bit owns the consequence, so an event, a time-out, a cancel and a close never both act. A readiness
 * bit means "try": only EAGAIN or a short read clears it (vt__poll_clear), and a back end may invent one. The event
 * carries the generation that the descriptor had when it was added; an event of an older one is dropped.
 *============================================================================*/
enum {
    VT__PD_R = 1,
    VT__PD_W = 2,
    VT__PD_RDHUP = 4, /* the peer has ended its sending half */
    VT__PD_HUP = 8,   /* error, or both halves ended */
    VT__PD_RWAIT = 16,
    VT__PD_WWAIT = 32,
    VT__PD_ARMED = 64,
    VT__PD_WATCH = 128,
    VT__PD_CLOSED = 256,
    VT__PD_ADDED = 512,
    VT__PD_LISTEN = 1024,    /* stays armed */
    VT__PD_WATCH_FIN = 2048, /* WATCH fires on RDHUP, too */
    VT__PD_RWBOTH = 4096,    /* with RWAIT: room to write ends that wait as well */
    VT__PD_FLUSH = 8192,     /* the owner has output left: room to write calls the sink, once */
    VT__PD_READY = VT__PD_R | VT__PD_W | VT__PD_RDHUP | VT__PD_HUP
};

struct vt__vth;
struct vt__thr;
struct vt__dom;

typedef struct vt__pd {
    uint32_t word; /* generation << 16 | bits */
    int fd;
    struct vt__dom *dom; /* where it is, or was last, added */
    struct vt__vth *rv, *wv;
    void (*sink)(struct vt__dom *dom, struct vt__pd *pd, unsigned bits);
} vt__pd;

typedef struct vt__msg {
    struct vt__msg *next;
    void (*fn)(struct vt__dom *dom, struct vt__msg *m);
} vt__msg;

typedef struct vt__dom {
    int index;
    uint32_t lock, waiters; /* see vt__sched_dom_lock */
    struct vt__thr *owner;  /* who drives it; changes under the lock */
    vt__wheel wheel;
    vt__msg *inbox;     /* a stack; its taker reverses it */
    int wake_r, wake_w; /* one eventfd, or a pipe */
    /* unstarted work that any worker may take */
    uint32_t any_spin;
    int32_t any_count;
    vt_task *any_head, *any_tail;
    int64_t polls, wakes;
#if VTHTTP_POLL
    uint32_t set_spin; /* of ents, n, cap, next */
    struct vt__poll_ent {
        vt__pd *pd;
        uint16_t gen;
    } * ents;
    int n, cap;
    struct vt__poll_room { /* what the driver asks the kernel for; next: larger, for its next turn */
        struct vt__poll_ent *asked;
        struct pollfd *fds;
        int cap;
    } now, next;
#else
    int epfd;
    bool no_pwait2;
#endif
} vt__dom;

/* A wait on a descriptor that is not ours, armed one-shot; one entry a descriptor, shared by a reader and a writer. The
 * program closes such a descriptor whenever it likes, and who waited for it takes back what is another's number by then.
 * So with epoll they stand in a set of their OS thread's own, made at its first wait, which stands in its domain's: who
 * drives that harvests both, and a descriptor of ours never meets them, nor do those of two threads each other. */
typedef struct vt__poll_fdw {
    struct vt__poll_fdw *next;
    vt__pd pd;
    int users;
} vt__poll_fdw;

/* Those of one OS thread, which alone touches them; events come from its domain. */
typedef struct vt__poll_fdws {
    vt__dom *dom; /* stays once there is a set, or events of it might be in hand */
    vt__pd set;   /* see above; dom NULL: none */
    vt__poll_fdw *at[64];
    vt__pool pool;
} vt__poll_fdws;

static struct { void (*wake)(struct vt__vth *v); } vt__poll_up;

VT__INLINE unsigned vt__poll_bits(const vt__pd *pd) {
    return __atomic_load_n(&pd->word, __ATOMIC_ACQUIRE) & 0xffff;
}
VT__INLINE void vt__poll_clear(vt__pd *pd, unsigned bits) {
    __atomic_fetch_and(&pd->word, ~(uint32_t)bits, __ATOMIC_ACQ_REL);
}
VT__INLINE void vt__poll_set(vt__pd *pd, unsigned bits) {
    __atomic_fetch_or(&pd->word, (uint32_t)bits, __ATOMIC_ACQ_REL);
}
/* A new life of the descriptor struct: ready for a first try, not added anywhere. */
static void vt__poll_pd_init(vt__pd *pd, int fd) {
    uint32_t gen = (__atomic_load_n(&pd->word, __ATOMIC_RELAXED) >> 16) + 1;
    pd->fd = fd;
    pd->dom = NULL;
    pd->rv = pd->wv = NULL;
    pd->sink = NULL;
    __atomic_store_n(&pd->word, gen << 16 | VT__PD_R | VT__PD_W, __ATOMIC_RELEASE);
}

/* Who waits: one reader and one writer at a time, whatever the program tries. */
VT__INLINE struct vt__vth **vt__poll_slot(vt__pd *pd, unsigned wait) {
    return wait & VT__PD_RWAIT ? &pd->rv : &pd->wv;
}
/* For one caller: who waits, and is to be woken; NULL: nobody, or his wait is being taken back. */
#define VT__POLL_LEAVING ((struct vt__vth *)(uintptr_t)2)
VT__INLINE struct vt__vth *vt__poll_slot_take(vt__pd *pd, unsigned wait) {
    struct vt__vth **slot = vt__poll_slot(pd, wait), *v = __atomic_load_n(slot, __ATOMIC_ACQUIRE);
    do {
        if (!v || v == VT__POLL_LEAVING) return NULL;
    } while (!__atomic_compare_exchange_n(slot, &v, NULL, true, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
    return v;
}
/* Registers a wait (RWAIT, WWAIT, or RWAIT | RWBOTH): 1; 0: what it waits for is there, try again; -EBUSY: somebody else
 * waits. */
static int vt__poll_wait_begin(vt__pd *pd, unsigned wait, struct vt__vth *v) {
    struct vt__vth *nobody = NULL;
    unsigned ready = VT__PD_HUP | VT__PD_CLOSED;
    if (wait & VT__PD_RWAIT) ready |= VT__PD_R | VT__PD_RDHUP;
    if (wait & (VT__PD_WWAIT | VT__PD_RWBOTH)) ready |= VT__PD_W;
    if (!__atomic_compare_exchange_n(vt__poll_slot(pd, wait), &nobody, v, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE))
        return -EBUSY;
    uint32_t w = __atomic_load_n(&pd->word, __ATOMIC_ACQUIRE);
    do {
        if (w & ready) return vt__poll_slot_take(pd, wait) ? 0 : 1; /* 1: a wake-up is on its way already */
    } while (!__atomic_compare_exchange_n(&pd->word, &w, w | wait, true, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
    return 1;
}
/* The same whatever is ready, and again by who waits already: 0 or -EBUSY. */
static int vt__poll_wait_join(vt__pd *pd, unsigned wait, struct vt__vth *v) {
    struct vt__vth *who = NULL;
    if (!__atomic_compare_exchange_n(vt__poll_slot(pd, wait), &who, v, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE) &&
        who != v)
        return -EBUSY;
    vt__poll_set(pd, wait);
    return 0;
}
/* Takes v's wait back; false when somebody else ended it already and wakes the vthread. The slot decides, and is nobody
 * else's until the bits are gone. */
static bool vt__poll_wait_abort(vt__pd *pd, unsigned bit, struct vt__vth *v) {
    uint32_t clear = bit | (bit == VT__PD_RWAIT ? (uint32_t)VT__PD_RWBOTH : 0u);
    struct vt__vth **slot = vt__poll_slot(pd, bit);
    if (!bit ||
        !__atomic_compare_exchange_n(slot, &v, VT__POLL_LEAVING, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return false;
    __atomic_fetch_and(&pd->word, ~clear, __ATOMIC_ACQ_REL);
    __atomic_store_n(slot, NULL, __ATOMIC_RELEASE);
    return true;
}

/* Sets bits as long as none of `unless` is there; false, and nothing changed, when one is. */
static VT__UNUSED bool vt__poll_set_unless(vt__pd *pd, uint32_t bits, uint32_t unless) {
    uint32_t w = __atomic_load_n(&pd->word, __ATOMIC_ACQUIRE);
    do {
        if (w & unless) return false;
    } while (!__atomic_compare_exchange_n(&pd->word, &w, w | bits, true, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
    return true;
}
/* Gives an idle descriptor to the reactor; false when there is input (or its end) already: go on reading. After
 * true the next input calls the sink, once, and until then nobody else may touch what it is part of. */
static VT__UNUSED bool vt__poll_arm(vt__pd *pd) {
    return vt__poll_set_unless(pd, VT__PD_ARMED, VT__PD_R | VT__PD_RDHUP | VT__PD_HUP);
}
/* Takes an idle descriptor back, armed or watched; false when its sink is being called or was. */
static VT__UNUSED bool vt__poll_disarm(vt__pd *pd) {
    uint32_t idle = VT__PD_ARMED | VT__PD_WATCH;
    return (__atomic_fetch_and(&pd->word, ~(idle | VT__PD_WATCH_FIN), __ATOMIC_ACQ_REL) & idle) != 0;
}
/* While a vthread runs on it: the sink hears of a reset (with `fin` of an ended sending half as well). Returns
 * false, and does not watch, when that has happened already. */
static VT__UNUSED bool vt__poll_watch(vt__pd *pd, bool fin) {
    unsigned gone = VT__PD_HUP | (fin ? VT__PD_RDHUP : 0), set = VT__PD_WATCH | (fin ? VT__PD_WATCH_FIN : 0);
    return vt__poll_set_unless(pd, set, gone);
}

/* While a vthread waits for something else: the sink hears of room to write. False: there is some now. */
static VT__UNUSED bool vt__poll_want_room(vt__pd *pd) {
    return vt__poll_set_unless(pd, VT__PD_FLUSH, VT__PD_W | VT__PD_HUP | VT__PD_CLOSED);
}

/* What an event does; see the banner. */
static void vt__poll_event(vt__dom *dom, vt__pd *pd, uint32_t gen, unsigned bits) {
    uint32_t w = __atomic_load_n(&pd->word, __ATOMIC_ACQUIRE), clear;
    do {
        if (w >> 16 != gen) return;
        clear = 0;
        if (bits & (VT__PD_R | VT__PD_RDHUP | VT__PD_HUP)) clear |= VT__PD_RWAIT;
        if (bits & (VT__PD_R | VT__PD_RDHUP | VT__PD_HUP) && !(w & VT__PD_LISTEN)) clear |= VT__PD_ARMED;
        if (bits & (VT__PD_W | VT__PD_HUP))
            clear |= VT__PD_FLUSH | VT__PD_WWAIT | (w & VT__PD_RWBOTH ? VT__PD_RWAIT : 0);
        if (clear & VT__PD_RWAIT) clear |= VT__PD_RWBOTH;
        if (bits & (VT__PD_HUP | (w & VT__PD_WATCH_FIN ? VT__PD_RDHUP : 0))) clear |= VT__PD_WATCH;
    } while (!__atomic_compare_exchange_n(&pd->word, &w, (w | bits) & ~clear, true, __ATOMIC_ACQ_REL,
                                          __ATOMIC_ACQUIRE));
    /* What was cleared is ours. Read all before waking: a woken owner may give the struct a new life. */
    struct vt__vth *rv = w & clear & VT__PD_RWAIT ? vt__poll_slot_take(pd, VT__PD_RWAIT) : NULL,
                   *wv = w & clear & VT__PD_WWAIT ? vt__poll_slot_take(pd, VT__PD_WWAIT) : NULL;
    unsigned fired = w & (clear & (VT__PD_ARMED | VT__PD_WATCH | VT__PD_FLUSH));
    if (w & VT__PD_LISTEN && w & VT__PD_ARMED && bits & VT__PD_READY) fired |= VT__PD_ARMED;
    void (*sink)(vt__dom *, vt__pd *, unsigned) = fired ? pd->sink : NULL;
    if (rv) vt__poll_up.wake(rv);
    if (wv) vt__poll_up.wake(wv);
    if (fired) sink(dom, pd, ((w | bits) & VT__PD_READY) | fired);
}

#if VTHTTP_POLL
/*--- poll(2): an array beside the descriptors; entries of dead generations are dropped when it is built ---*/
static int vt__poll_set_open(vt__dom *dom) {
    int fds[2], r = vt__plat_pipe(fds);
    if (r < 0) return r;
    for (int i = 0; i < 2; i++) {
        (void)vt__plat_fcntl(fds[i], F_SETFL, O_NONBLOCK);
        (void)vt__plat_fcntl(fds[i], F_SETFD, FD_CLOEXEC);
    }
    dom->wake_r = fds[0];
    dom->wake_w = fds[1];
    return 0;
}
static void vt__poll_room_free(struct vt__poll_room *r) {
    vt__mem_free(r->asked);
    vt__mem_free(r->fds);
    memset(r, 0, sizeof *r);
}
static void vt__poll_set_close(vt__dom *dom) {
    if (dom->wake_r >= 0) (void)vt__plat_close(dom->wake_r);
    if (dom->wake_w >= 0) (void)vt__plat_close(dom->wake_w);
    vt__mem_free(dom->ents);
    vt__poll_room_free(&dom->now);
    vt__poll_room_free(&dom->next);
}
/* All that more descriptors will need, or nothing: whoever adds one learns that memory is out, not the reactor. */
static bool vt__poll_grow(vt__dom *dom) {
    int cap = dom->cap ? dom->cap * 2 : 64;
    struct vt__poll_room r = {vt__mem_alloc((size_t)cap * sizeof *r.asked),
                              vt__mem_alloc((size_t)(cap + 1) * sizeof *r.fds), cap};
    struct vt__poll_ent *ents = r.asked && r.fds ? vt__mem_realloc(dom->ents, (size_t)cap * sizeof *ents)
                                                 : NULL;
    if (!ents) {
        vt__poll_room_free(&r);
        return false;
    }
    vt__poll_room_free(&dom->next);
    dom->next = r;
    dom->ents = ents;
    dom->cap = cap;
    return true;
}
static int vt__poll_ctl_add(vt__dom *dom, vt__pd *pd, uint32_t word) {
    vt__plat_spin_lock(&dom->set_spin);
    bool room = dom->n < dom->cap || vt__poll_grow(dom);
    if (room) dom->ents[dom->n++] = (struct vt__poll_ent){pd, (uint16_t)(word >> 16)};
    vt__plat_spin_unlock(&dom->set_spin);
    return room ? 0 : -ENOMEM;
}
VT__INLINE void vt__poll_ctl_del(vt__dom *dom, vt__pd *pd) {
    (void)dom, (void)pd; /* the generation has changed; vt__poll_build drops the entry */
}
/* What a descriptor wants now, -1: nothing. An error that is known already is not asked for again: it would spin. */
static int vt__poll_interest(uint32_t w) {
    int ev = 0;
    if (w & (VT__PD_RWAIT | VT__PD_ARMED)) ev |= POLLIN | POLLRDHUP;
    if (w & (VT__PD_WWAIT | VT__PD_RWBOTH | VT__PD_FLUSH)) ev |= POLLOUT;
    if (w & VT__PD_WATCH && w & VT__PD_WATCH_FIN) ev |= POLLRDHUP;
    if (!ev && (!(w & VT__PD_WATCH) || w & VT__PD_HUP)) return -1;
    return ev;
}
/* What to ask the kernel for, the wake-up descriptor last; how many, or -ENOMEM. */
static int vt__poll_build(vt__dom *dom) {
    int n = 0;
    vt__plat_spin_lock(&dom->set_spin);
    if (!dom->cap && !vt__poll_grow(dom)) n = -ENOMEM;
    if (dom->next.cap) {
        vt__poll_room_free(&dom->now);
        dom->now = dom->next;
        memset(&dom->next, 0, sizeof dom->next);
    }
    for (int i = 0; i < dom->n; i++) {
        vt__pd *pd = dom->ents[i].pd;
        uint32_t w = __atomic_load_n(&pd->word, __ATOMIC_ACQUIRE);
        if ((uint16_t)(w >> 16) != dom->ents[i].gen || w & VT__PD_CLOSED) continue;
        dom->ents[n] = dom->now.asked[n] = dom->ents[i];
        int ev = vt__poll_interest(w);
        dom->now.fds[n] = (struct pollfd){ev < 0 ? -1 : pd->fd, (short)(ev < 0 ? 0 : ev), 0};
        n++;
    }
    if (n >= 0) dom->n = n;
    vt__plat_spin_unlock(&dom->set_spin);
    if (n < 0) return n;
    dom->now.fds[n] = (struct pollfd){dom->wake_r, POLLIN, 0};
    return n + 1;
}
static int vt__poll_wait(vt__dom *dom, int64_t ns) {
    int n = vt__poll_build(dom);
    if (n < 0) return n;
    int ms = ns < 0 ? -1 : (int)VT__MIN((ns + VT_MS - 1) / VT_MS, INT64_C(3600000));
    vt__plat_count(&dom->polls, 1);
    int r = vt__plat_poll(dom->now.fds, (unsigned)n, ms);
    if (r <= 0) return r;
    if (dom->now.fds[n - 1].revents) {
        char sink[256];
        while (vt__plat_read(dom->wake_r, sink, sizeof sink) == (ssize_t)sizeof sink) continue;
    }
    for (int i = 0; i < n - 1; i++) {
        short re = dom->now.fds[i].revents;
        if (!re) continue;
        unsigned bits = (re & POLLIN ? VT__PD_R : 0u) | (re & POLLOUT ? VT__PD_W : 0u);
        if (re & POLLRDHUP) bits |= VT__PD_R | VT__PD_RDHUP;
        if (re & (POLLHUP | POLLERR | POLLNVAL)) bits |= VT__PD_HUP | VT__PD_R | VT__PD_W;
        vt__poll_event(dom, dom->now.asked[i].pd, dom->now.asked[i].gen, bits);
    }
    return r;
}
static void vt__poll_kick(vt__dom *dom) { (void)vt__plat_write(dom->wake_w, "", 1); }
#else
/*--- epoll: registered once, edge-triggered; the event carries the address and 16 bits of generation ---*/
static uint64_t vt__poll_pack(const vt__pd *pd, uint32_t word) {
#if UINTPTR_MAX > 0xffffffff
    return (uint64_t)(uintptr_t)pd | (uint64_t)(word >> 16) << 48;
#else
    return (uint64_t)(uintptr_t)pd | (uint64_t)(word >> 16) << 32;
#endif
}
static int vt__poll_ctl(int epfd, int op, vt__pd *pd, uint32_t word, uint32_t events) {
    struct epoll_event ev;
    memset(&ev, 0, sizeof ev);
    ev.events = events;
    ev.data.u64 = vt__poll_pack(pd, word);
    return vt__plat_epoll_ctl(epfd, op, pd->fd, &ev);
}
static int vt__poll_set_open(vt__dom *dom) {
    struct epoll_event ev;
    dom->epfd = vt__plat_epoll_create();
    if (dom->epfd < 0) return dom->epfd;
    dom->wake_r = dom->wake_w = vt__plat_eventfd();
    if (dom->wake_w < 0) return dom->wake_w;
    memset(&ev, 0, sizeof ev);
    ev.events = EPOLLIN | EPOLLET; /* an edge a write: no need ever to read it */
    return vt__plat_epoll_ctl(dom->epfd, EPOLL_CTL_ADD, dom->wake_w, &ev);
}
static void vt__poll_set_close(vt__dom *dom) {
    if (dom->wake_w >= 0) (void)vt__plat_close(dom->wake_w);
    if (dom->epfd >= 0) (void)vt__plat_close(dom->epfd);
}
static int vt__poll_ctl_add(vt__dom *dom, vt__pd *pd, uint32_t word) {
    uint32_t ev = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    if (word & VT__PD_LISTEN) ev = EPOLLIN | EPOLLEXCLUSIVE;
    return vt__poll_ctl(dom->epfd, EPOLL_CTL_ADD, pd, word, ev);
}
VT__INLINE void vt__poll_ctl_del(vt__dom *dom, vt__pd *pd) {
    (void)vt__plat_epoll_ctl(dom->epfd, EPOLL_CTL_DEL, pd->fd, NULL);
}
static void vt__poll_decode(vt__dom *dom, const struct epoll_event *e) {
    uint64_t u = e->data.u64;
    unsigned bits = 0;
    if (u == 0) return; /* the wake-up descriptor */
    if (e->events & EPOLLIN) bits |= VT__PD_R;
    if (e->events & EPOLLOUT) bits |= VT__PD_W;
    if (e->events & EPOLLRDHUP) bits |= VT__PD_R | VT__PD_RDHUP;
    if (e->events & (EPOLLHUP | EPOLLERR)) bits |= VT__PD_HUP | VT__PD_R | VT__PD_W;
#if UINTPTR_MAX > 0xffffffff
    vt__poll_event(dom, (vt__pd *)(uintptr_t)(u & UINT64_C(0xffffffffffff)), (uint32_t)(u >> 48), bits);
#else
    vt__poll_event(dom, (vt__pd *)(uintptr_t)(uint32_t)u, (uint32_t)(u >> 32), bits);
#endif
}
/* Waits at most ns (-1: for ever) and dispatches a batch; the number of events or -errno. */
static int vt__poll_wait(vt__dom *dom, int64_t ns) {
    struct epoll_event ev[256];
    int n;
    vt__plat_count(&dom->polls, 1);
    if (ns <= 0 || dom->no_pwait2) {
        int ms = ns < 0 ? -1 : (int)VT__MIN((ns + VT_MS - 1) / VT_MS, INT64_C(3600000));
        n = vt__plat_epoll_wait(dom->epfd, ev, (int)VT__COUNT(ev), ms);
    } else {
        int64_t ts[2] = {ns / VT_SEC, ns % VT_SEC};
#if UINTPTR_MAX > 0xffffffff && !VT__TSAN
        n = vt__plat_epoll_pwait2(dom->epfd, ev, (int)VT__COUNT(ev), ts);
#else
        /* 32-bit ABIs differ in timespec; TSan holds signals back until a call that it knows, and sleeps on in others. */
        n = -ENOSYS, (void)ts;
#endif
        if (n == -ENOSYS || n == -EPERM) {
            dom->no_pwait2 = true;
            return 0;
        }
    }
    for (int i = 0; i < n; i++) vt__poll_decode(dom, &ev[i]);
    return n;
}
static void vt__poll_kick(vt__dom *dom) {
    uint64_t one = 1;
    (void)vt__plat_write(dom->wake_w, &one, sizeof one);
}
#endif

static int vt__poll_dom_init(vt__dom *dom, int index, int64_t now) {
    memset(dom, 0, sizeof *dom);
    dom->index = index;
    dom->wake_r = dom->wake_w = -1;
#if !VTHTTP_POLL
    dom->epfd = -1;
#endif
    vt__timer_wheel_init(&dom->wheel, now);
    return vt__poll_set_open(dom);
}
static void vt__poll_dom_free(vt__dom *dom) { vt__poll_set_close(dom); }

/* Adds a descriptor to a domain's set unless it is in one already. Any thread; with poll(2) the driver, when it is another,
 * learns of it with the next wake-up. */
static int vt__poll_add(vt__dom *dom, vt__pd *pd) {
    uint32_t w = __atomic_load_n(&pd->word, __ATOMIC_ACQUIRE);
    if (w & VT__PD_ADDED) return 0;
    if (w & VT__PD_CLOSED) return VT_ECLOSED;
    w = __atomic_fetch_or(&pd->word, VT__PD_ADDED, __ATOMIC_ACQ_REL);
    if (w & VT__PD_ADDED) return 0;
    __atomic_store_n(&pd->dom, dom, __ATOMIC_RELAXED);
    int r = vt__poll_ctl_add(dom, pd, w);
    if (r >= 0) return r;
    /* Whoever relied on it meanwhile tries for himself. */
    w = __atomic_fetch_and(&pd->word, ~(uint32_t)(VT__PD_ADDED | VT__PD_RWAIT | VT__PD_RWBOTH | VT__PD_WWAIT),
                           __ATOMIC_ACQ_REL);
    struct vt__vth *rv = w & VT__PD_RWAIT ? vt__poll_slot_take(pd, VT__PD_RWAIT) : NULL,
                   *wv = w & VT__PD_WWAIT ? vt__poll_slot_take(pd, VT__PD_WWAIT) : NULL;
    if (rv) vt__poll_up.wake(rv);
    if (wv) vt__poll_up.wake(wv);
    return r;
}
/* A new generation: events on their way are void, readiness is to be tried again. False: it is in no set. */
static bool vt__poll_disown(vt__pd *pd) {
    uint32_t w = __atomic_load_n(&pd->word, __ATOMIC_ACQUIRE), n;
    do {
        if (!(w & VT__PD_ADDED)) return false;
        n = (w + 0x10000) &
            ~(uint32_t)(VT__PD_ADDED | VT__PD_ARMED | VT__PD_WATCH | VT__PD_WATCH_FIN | VT__PD_FLUSH);
        n |= VT__PD_R | VT__PD_W;
    } while (!__atomic_compare_exchange_n(&pd->word, &w, n, true, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
    return true;
}
/* Out of its set. By the descriptor's only user, from any thread. */
static VT__UNUSED void vt__poll_remove(vt__pd *pd) {
    if (vt__poll_disown(pd)) vt__poll_ctl_del(pd->dom, pd);
}
/* Marks it closed and wakes who waits; later waits fail. The descriptor itself is closed by vt__poll_close. */
static void vt__poll_shut(vt__pd *pd) {
    uint32_t w = __atomic_load_n(&pd->word, __ATOMIC_ACQUIRE), n;
    do
        n = (w | VT__PD_CLOSED) & ~(uint32_t)(VT__PD_RWAIT | VT__PD_RWBOTH | VT__PD_WWAIT | VT__PD_ARMED |
                                              VT__PD_WATCH | VT__PD_FLUSH);
    while (!__atomic_compare_exchange_n(&pd->word, &w, n, true, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
    struct vt__vth *rv = w & VT__PD_RWAIT ? vt__poll_slot_take(pd, VT__PD_RWAIT) : NULL,
                   *wv = w & VT__PD_WWAIT ? vt__poll_slot_take(pd, VT__PD_WWAIT) : NULL;
    if (rv) vt__poll_up.wake(rv);
    if (wv) vt__poll_up.wake(wv);
}
/* A child that was forked holds copies of descriptors, and those keep them in the epoll sets. */
static bool vt__poll_forked;
/* Ends the descriptor; nobody may be waiting on it any more (vt__poll_shut comes first where somebody may). */
static int vt__poll_close(vt__pd *pd) {
    int fd = pd->fd;
    if (VT__UNLIKELY(__atomic_load_n(&vt__poll_forked, __ATOMIC_RELAXED)) && vt__poll_bits(pd) & VT__PD_ADDED)
        vt__poll_ctl_del(pd->dom, pd);
    uint32_t w = __atomic_load_n(&pd->word, __ATOMIC_ACQUIRE), n;
    do n = ((w + 0x10000) & 0xffff0000u) | VT__PD_CLOSED;
    while (!__atomic_compare_exchange_n(&pd->word, &w, n, true, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
    pd->fd = -1;
    return fd < 0 ? 0 : vt__plat_close(fd); /* leaves every epoll set by itself */
}

/* Listening descriptors stand in the sets of several domains, one struct each, level-triggered, the sink called at
 * every event. */
static VT__UNUSED int vt__poll_listen_add(vt__dom *dom, vt__pd *pd) {
    vt__poll_set(pd, VT__PD_LISTEN | VT__PD_ARMED);
    vt__poll_clear(pd, VT__PD_READY);
    return vt__poll_add(dom, pd);
}

/* Messages run in the domain's scheduler context, in the order in which they were posted by each thread. Any thread,
 * signal handlers too. True: it was the first, the owner may sleep and want a kick. */
static bool vt__poll_post(vt__dom *dom, vt__msg *m) {
    vt__msg *head = __atomic_load_n(&dom->inbox, __ATOMIC_RELAXED);
    do m->next = head;
    while (!__atomic_compare_exchange_n(&dom->inbox, &head, m, true, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
    return head == NULL;
}
static void vt__poll_messages(vt__dom *dom) {
    vt__msg *m = __atomic_exchange_n(&dom->inbox, NULL, __ATOMIC_ACQ_REL), *rev = NULL, *next;
    for (; m; m = next) next = m->next, m->next = rev, rev = m;
    for (m = rev; m; m = next) {
        next = m->next;
        m->fn(dom, m);
    }
}

/* Before memory that held closed descriptors is given back: nothing points to them any more. By the domain's driver. */
static VT__UNUSED void vt__poll_forget(vt__dom *dom) {
#if VTHTTP_POLL
    (void)vt__poll_build(dom);
#else
    (void)dom; /* the kernel has forgotten them, and no event is in hand outside vt__poll_wait */
#endif
}

/*--- one-shot waits on descriptors of others ---*/
#if VTHTTP_POLL
static int vt__poll_fdw_arm(vt__poll_fdws *of, vt__poll_fdw *f, unsigned want) {
    (void)want;
    return vt__poll_add(of->dom, &f->pd);
}
VT__INLINE void vt__poll_fdw_disarm(const vt__poll_fdws *of, vt__poll_fdw *f) {
    (void)of;
    vt__poll_remove(&f->pd);
}
#else
/* Armed first, then emptied: an event of meanwhile calls again. */
static void vt__poll_fdws_sink(vt__dom *dom, vt__pd *set, unsigned bits) {
    struct epoll_event ev[64];
    int n;
    (void)bits;
    vt__poll_clear(set, VT__PD_READY);
    vt__poll_set(set, VT__PD_ARMED);
    do {
        n = vt__plat_epoll_wait(set->fd, ev, (int)VT__COUNT(ev), 0);
        for (int i = 0; i < n; i++) vt__poll_decode(dom, &ev[i]);
    } while (n == (int)VT__COUNT(ev));
}
static VT__NOINLINE int vt__poll_fdws_make(vt__poll_fdws *of) {
    int fd = vt__plat_epoll_create();
    if (fd < 0) return fd;
    vt__poll_pd_init(&of->set, fd);
    vt__poll_clear(&of->set, VT__PD_READY);
    vt__poll_set(&of->set, VT__PD_ARMED);
    of->set.sink = vt__poll_fdws_sink;
    int r = vt__poll_add(of->dom, &of->set);
    if (r >= 0) return 0;
    (void)vt__poll_close(&of->set);
    of->set.dom = NULL;
    return r;
}
static int vt__poll_fdw_arm(vt__poll_fdws *of, vt__poll_fdw *f, unsigned want) {
    uint32_t w = __atomic_load_n(&f->pd.word, __ATOMIC_ACQUIRE), ev = EPOLLONESHOT;
    int r = of->set.dom ? 0 : vt__poll_fdws_make(of), op = w & VT__PD_ADDED ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    if (want & VT__PD_RWAIT) ev |= EPOLLIN | EPOLLRDHUP;
    if (want & (VT__PD_WWAIT | VT__PD_RWBOTH)) ev |= EPOLLOUT;
    if (r >= 0) r = vt__poll_ctl(of->set.fd, op, &f->pd, w, ev);
    if (r == -ENOENT ||
        r == -EEXIST) /* closed meanwhile: the number is another's now, or the first one's again */
        r = vt__poll_ctl(of->set.fd, op == EPOLL_CTL_ADD ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, &f->pd, w, ev);
    if (r >= 0) vt__poll_set(&f->pd, VT__PD_ADDED);
    return r;
}
static void vt__poll_fdw_disarm(const vt__poll_fdws *of, vt__poll_fdw *f) {
    if (vt__poll_disown(&f->pd)) (void)vt__plat_epoll_ctl(of->set.fd, EPOLL_CTL_DEL, f->pd.fd, NULL);
}
#endif
/* Where the waits of a thread that has none will be. */
static void vt__poll_fdws_place(vt__poll_fdws *of, vt__dom *dom) {
    if (!of->set.dom) of->dom = dom;
}
static void vt__poll_fdws_free(vt__poll_fdws *of) {
    if (of->set.dom) (void)vt__poll_close(&of->set);
    vt__mem_pool_drain(&of->pool);
}
/* The users of a descriptor share its one-shot arming: whoever leaves arms it again for the others. */
static void vt__poll_fdw_rearm(vt__poll_fdws *of, vt__poll_fdw *f) {
    unsigned left = vt__poll_bits(&f->pd) & (VT__PD_RWAIT | VT__PD_WWAIT | VT__PD_RWBOTH);
    if (left) (void)vt__poll_fdw_arm(of, f, left);
}
/* The entry for fd, with one more user; NULL: no memory. */
static vt__poll_fdw *vt__poll_fdw_get(vt__poll_fdws *of, int fd) {
    vt__poll_fdw **at = &of->at[(unsigned)fd % VT__COUNT(of->at)], *f;
    for (f = *at; f; f = f->next)
        if (f->pd.fd == fd) {
            f->users++;
            return f;
        }
    bool fresh = of->pool.free == NULL;
    f = vt__mem_pool_get(&of->pool);
    if (!f) return NULL;
    if (fresh) f->pd.word = 0;
    vt__poll_pd_init(&f->pd, fd);
    vt__poll_clear(&f->pd, VT__PD_READY);
    f->users = 1;
    f->next = *at;
    *at = f;
    return f;
}
static void vt__poll_fdw_put(vt__poll_fdws *of, vt__poll_fdw *f) {
    vt__poll_fdw **at = &of->at[(unsigned)f->pd.fd % VT__COUNT(of->at)];
    if (--f->users) return;
    vt__poll_fdw_disarm(of, f);
    while (*at != f) at = &(*at)->next;
    *at = f->next;
    vt__mem_pool_put(&of->pool, f);
}

/*==============================================================================
 * MARK: - @sched   virtual threads, OS threads, domains
 * uses:   @api_base @plat @mem @str @ds @log @ctx @stack @timer @poll
 * raises: vt__vth.on_park (before a vthread really parks), vt__sched_up.ended (no vthread is left),
 *         vt__sched_up.gone (a thread's struct is freed, with VTHTTP_HOOKS), vt_task.fn,
 *         vt__sched_up.start, stop, awake (of @watch: the runtime begins, ends, a thread runs again),
 *         vt__sched_up.stopping (of @srv: vt_stop was called; in the first domain, under its lock),
 *         vt__sched_up.room (a vthread has ended while somebody waits for room under max_vthreads)
 * test:   tests/test_sched.c
 *
 * An OS thread (vt__thr) runs the vthreads that have started on it, for life: compilers keep addresses of thread-local
 * variables across calls. It drives a domain (vt__dom): its reactor, wheel and unstarted work. A worker whose vthread
 * does not come back loses its domain to a spare thread (@spare) and takes it back once it does; whoever has started
 * on either stays there. So what is a vthread's own is its thread's (stack, deadline, waits on descriptors of others),
 * and what is left is the domain's.
 *
 * A domain has a lock, and its driver holds it except while vthreads run. Thus there are two moments: with the lock free
 * anybody may take the domain over, since its driver is out among the vthreads; and with it taken nobody may. What
 * vthreads do to something of the domain they do under the lock as well.
 *
 * A vthread is pinned, so whoever ends its wait only puts it into its thread's queue: a wake-up cannot overtake the
 * park. Each wait has one owner: what is waited for (see vt__poll_event, vt__waiter). Time-outs and cancels are carried
 * out on the vthread's own thread, by the wait's `abort`, which asks that owner; if it is too late they lose.
 *
 *   vt_task:  queued -> started (vt__vth on a stack) -> done -> awaited or detached -> freed
 *
 * A parking vthread switches straight to the next one; the OS thread's own stack (scheduler context) is entered when
 * none is ready, or the run budget is spent, for messages, timers and the reactor.
 *
 * The ready ones of a thread are a ring in the order of their turns. thr.last is the one whose turn is last, so the
 * one behind it is first, and that is the running vthread as long as one runs: it stays in the ring until it parks.
 * Thus a yield moves `last` and writes no links. What can be woken before it has parked (by another thread, or by what
 * runs between the wait's registration and the park) is still in the ring then, and gets the wake-up by the inbox.
 *============================================================================*/
enum {
    VT__TASK_CANCEL = 1,
    VT__TASK_DONE = 2,
    VT__TASK_WAITER = 4,      /* joiner is set */
    VT__TASK_DETACHED = 8,    /* nobody will await it: freed at its end */
    VT__TASK_EMBEDDED = 16,   /* part of a larger object: never freed here, not touched once fn was left */
    VT__TASK_CANCEL_MSG = 32, /* a message about its cancel is on its way */
    VT__TASK_STATIC = 64,     /* a failed spawn's sentinel */
    VT__TASK_STARTED = 128,   /* thr is known; set for VT__TASK_ANY only, the others' always is */
    VT__TASK_ANY = 256
};
enum { VT__SCHED_RUN = 256, VT__SCHED_FUEL = 64, VT__SCHED_TIMERS = 512, VT__SCHED_POLL_NS = 100000 };
/* Of vt__thr.spare, see @spare; a worker stays NONE. The order counts: from CALLED on it has an OS thread. */
enum { VT__SPARE_NONE, VT__SPARE_GONE, VT__SPARE_CALLED, VT__SPARE_BUSY, VT__SPARE_IDLE };
/* Of vt__thr.sleeping: in the reactor, or on the word itself where it has no domain; ENDLESS: no time ends it. */
enum { VT__SCHED_POLLS = 1, VT__SCHED_FUTEX = 2, VT__SCHED_ENDLESS = 4 };

/* What stands in a ring. */
typedef struct vt__node {
    struct vt__node *next;
    int32_t result; /* of a vthread's last wait; VT__SCHED_NEW: the node is an unstarted vt_task's */
} vt__node;
enum { VT__SCHED_NEW = INT32_MIN };

struct vt_task {
    vt__node node; /* until it starts */
    vt_fn *fn;
    void *arg;
    const char *site;
    int64_t deadline;
    uint32_t flags;
    int32_t result;
    struct vt__thr *thr;  /* where it is started; with VT__TASK_ANY known once it is */
    struct vt__vth *v;    /* NULL before its start and at its end; its thread's business */
    struct vt__vth *here; /* who awaits it on that thread, see vt_await_until */
    int *here_result;
    struct vt__vth *joiner; /* who awaits it on another */
    vt__msg msg;            /* the cancel that another thread asks for */
};

/* A wait that several may end: whoever sets `by` first does. For a descriptor's event its address stands, with
 * the lowest bit set, in a vthread's place (see vt__sched_wake). */
typedef struct vt__claim {
    uint32_t by; /* 0: nobody yet */
    struct vt__vth *v;
} vt__claim;
enum { VT__CLAIM_FD = 0x10000, VT__CLAIM_ABORT };

/* Clean-ups of a vthread, newest first; a block is one of the task pool. */
enum { VT__DEFERS = 3 };
typedef struct vt__defers {
    struct vt__defers *below;
    struct {
        void (*fn)(void *arg);
        void *arg;
    } e[VT__DEFERS];
} vt__defers;

/* In the top page of the vthread's stack. What a switch and most waits touch stands in the first 128 bytes. */
typedef struct vt__vth {
    vt__ctx ctx; /* first: a debugger script finds it here */
    vt__node node;
    struct vt__thr *thr;
    int32_t err; /* its errno while another runs */
    int32_t shield;
    union {
        struct {
            bool parking; /* on_park is set */
            bool cancel;  /* asked to stop; set on its own thread */
        };
        uint16_t slow; /* 0: a park has neither of them to look at */
    };
    bool dated; /* has a deadline; a yield looks at it and at `cancel` */
    bool embedded;
    bool (*abort)(
        struct vt__vth *v); /* takes the present wait back; NULL: not waiting, or not to be aborted */
    void *wait_obj;
    int64_t wait_due;           /* 0: the present wait has no deadline */
    void (*on_park)(void *arg); /* see vt__sched_on_park */
    void *on_park_arg;
    vt_fn *fn;
    void *arg;
    const char *site;
    int64_t deadline;
    int64_t born; /* its thread's clock when it began */
    vt__timer timer;
    vt__list all;
    void *room[7];        /* for a record of the present wait whose owner wants no frame for it */
    vt_task *task;        /* NULL: detached and freed */
    struct vt__vth *sent; /* the next in an inbox */
    char *stack;
    union {
        struct {
            uint8_t nlocals, ndefers;
            uint16_t heritage, borrowed; /* keys: whose values children get; whose values are the parent's */
        };
        uint64_t extras; /* 0: none of these */
    };
    char name[32];
    void *locals[VT_LOCAL_KEYS_MAX];
    vt__defers *defers; /* with ndefers */
} vt__vth;

typedef struct vt__thr {
    vt__vth *cur;   /* NULL: scheduler context */
    vt__node *last; /* of the ring; NULL: nobody is ready */
    int *err;       /* errno of this thread, which its vthreads never leave */
    /* VT__SCHED_FUEL for each turn that is left before the scheduler's: a call that need not park takes one, a switch
     * what remains of the turn. */
    int left;
    vt__ctx main;
    vt__dom *dom; /* a worker's own, for good; a spare's until it is idle: where its descriptors are */
    bool drives;  /* has the lock of its domain */
    int64_t now;  /* the clock at the start of this pass */
    int64_t last_poll;
    vt__stack_cache stacks;
    vt__pool task_pool, buf_pool, block_pool;
    vt__wheel wheel;
    vt__vth *inbox;       /* woken by other threads; a stack */
    vt__msg *msgs;        /* a stack */
    uint32_t sleeping;    /* how: VT__SCHED_POLLS ...; 0: awake */
    uint32_t live_credit; /* of vt__sched_g.credit */
    uint32_t rng;         /* for fair choices; the same in every run */
    int64_t spawned, ended, switches, steals, rearmed, passes;
    int index;
    uint32_t wake_skip, wake_back; /* back-off of fruitless wake-ups for stealing */
    vt__list all;
    pthread_t os;
    void *sigstack;
    bool cancel_all;
    int tid;
    vt__poll_fdws fdws;
    void *hooks;    /* of @hooks */
    vt__list mark;  /* of @dump: where it is, in `all` */
    uint32_t spare; /* VT__SPARE_... */
    int slice;      /* the monitor's: 1 short, 0 the system's, -1 like the monitor's own */
} vt__thr;

enum { VT__BUF_BYTES = 16384, VT__ARENA_BLOCK_BYTES = 4096, VT__WORKERS_MAX = 256, VT__SPARES_MAX = 256 };
enum { VT__THREADS_MAX = VT__WORKERS_MAX + VT__SPARES_MAX };

static struct {
    uint32_t state;     /* 0 none, 1 running, 2 in a forked child, 3 ending, 4 being made */
    uint32_t guests;    /* threads of others that are inside */
    uint32_t stopping;  /* vt_stop */
    uint32_t main_done; /* end when nothing is left; of a host: vt_shutdown was called */
    uint32_t closed;    /* about to quit: other threads' spawns are refused */
    uint32_t quit;      /* threads leave their loops */
    int ndoms, nthrs;   /* spares stand behind the workers; nthrs grows */
    bool fixed;         /* no domain is ever handed over */
    vt__dom **doms;
    vt__thr **thrs;
    uint64_t idle[VT__THREADS_MAX / 64]; /* threads that sleep or are about to */
    int64_t credit;                      /* vthreads that may still be spawned, less what threads hold */
    uint32_t credit_full;                /* how much of it a thread takes at a time ... */
    uint32_t credit_batch;               /* ... and 0 while somebody waits for it */
    int64_t foreign;                     /* spawned off a worker */
    uint32_t next_dom;
    vt_cfg cfg;
    bool host; /* vt_open */
    int main_result;
    void (*local_destroy[VT_LOCAL_KEYS_MAX])(void *);
    int nlocals;
    uint32_t local_inherit; /* keys */
    struct vt__plat_sa old_segv;
    bool segv;
    uint32_t watch_parked; /* whoever runs again says so by vt__sched_up.awake */
    uint32_t sources;      /* of work that no vthread waits for: running servers */
    int64_t stalls, stalled_ns, handoffs;
    uint64_t runs; /* how many runtimes there were: what lasts longer than one tells them apart by it */
} vt__sched_g;

static struct {
    void (*ended)(void);
    void (*gone)(vt__thr *t);
    void (*start)(void), (*stop)(void), (*awake)(void), (*stopping)(void);
    void (*room)(void);
} vt__sched_up; /* NULL: nobody asked */
static __thread vt__thr *vt__sched_tls;
_Static_assert(sizeof(vt__defers) <= sizeof(vt_task), "blocks of one pool");
static vt_task vt__sched_failed[] = {
    /* what vt_async returns when it fails */
    {.flags = VT__TASK_STATIC | VT__TASK_DONE, .result = -ENOMEM},
    {.flags = VT__TASK_STATIC | VT__TASK_DONE, .result = VT_ELIMIT},
    {.flags = VT__TASK_STATIC | VT__TASK_DONE, .result = VT_ESTOPPED},
    {.flags = VT__TASK_STATIC | VT__TASK_DONE, .result = -ENOTSUP},
    {.flags = VT__TASK_STATIC | VT__TASK_DONE, .result = -EPERM},
};

VT__INLINE vt__thr *vt__sched_thr(void) { return vt__sched_tls; }
VT__INLINE vt__vth *vt__sched_self(void) {
    vt__thr *t = vt__sched_tls;
    return t ? t->cur : NULL;
}

/* Threads that are no workers (the blocking pool, the program's own) touch the runtime only between these two: its
 * end waits for them. False: there is no runtime. */
static bool vt__sched_guest_in(void) {
    if (VT__LIKELY(vt__sched_tls != NULL)) return true;
    __atomic_fetch_add(&vt__sched_g.guests, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&vt__sched_g.state, __ATOMIC_SEQ_CST) == 1) return true;
    __atomic_fetch_sub(&vt__sched_g.guests, 1, __ATOMIC_SEQ_CST);
    return false;
}
static void vt__sched_guest_out(void) {
    if (VT__UNLIKELY(!vt__sched_tls)) __atomic_fetch_sub(&vt__sched_g.guests, 1, __ATOMIC_SEQ_CST);
}
/* What calls return that there is no runtime for. */
static int vt__sched_absent(void) {
    return __atomic_load_n(&vt__sched_g.state, __ATOMIC_ACQUIRE) == 2 ? -ENOTSUP : -EPERM;
}

/*--- wake-ups ---*/
VT__INLINE vt__thr *vt__sched_driver(const vt__dom *d) {
    return __atomic_load_n(&d->owner, __ATOMIC_SEQ_CST);
}
/* Whether it has an OS thread: a spare's may have ended. */
static VT__UNUSED bool vt__sched_lives(const vt__thr *t) {
    return t->index < vt__sched_g.ndoms || __atomic_load_n(&t->spare, __ATOMIC_SEQ_CST) > VT__SPARE_GONE;
}
VT__INLINE int vt__sched_nthrs(void) { return __atomic_load_n(&vt__sched_g.nthrs, __ATOMIC_SEQ_CST); }
/* Lets a sleeping thread look at its queues. What it shall see was published by a seq_cst operation before. True: it
 * slept, and nobody else has woken it. */
static bool vt__sched_kick(vt__thr *t) {
    uint32_t how = __atomic_load_n(&t->sleeping, __ATOMIC_SEQ_CST);
    if (!how || !(how = __atomic_exchange_n(&t->sleeping, 0, __ATOMIC_SEQ_CST))) return false;
    if (how & VT__SCHED_FUTEX) return vt__plat_unpark(&t->sleeping), true;
    vt__dom *d = __atomic_load_n(&t->dom, __ATOMIC_RELAXED); /* if a spare has another now, it is awake */
    vt__plat_count(&d->wakes, 1);
    vt__poll_kick(d);
    return true;
}
/* Gives the last turn. */
VT__INLINE void vt__sched_run_push(vt__thr *t, vt__node *n) {
    vt__node *last = t->last;
    n->next = last ? last->next : n;
    if (last) last->next = n;
    t->last = n;
}
/* Gives the first turn. */
VT__INLINE void vt__sched_run_front(vt__thr *t, vt__node *n) {
    vt__node *last = t->last;
    vt__sched_run_push(t, n);
    if (last) t->last = last;
}
/* Takes out the one whose turn it is, of a ring that is not empty. */
VT__INLINE vt__node *vt__sched_run_pop(vt__thr *t) {
    vt__node *n = t->last->next;
    if (n == t->last) t->last = NULL;
    else t->last->next = n->next;
    return n;
}
static VT__NOINLINE void vt__sched_send(vt__vth *v) {
    vt__thr *t = v->thr;
    bool in = vt__sched_guest_in(); /* before the wake-up is seen: the runtime may end at once after it */
    vt__vth *head = __atomic_load_n(&t->inbox, __ATOMIC_RELAXED);
    do v->sent = head;
    while (!__atomic_compare_exchange_n(&t->inbox, &head, v, true, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
    vt__sched_kick(t);
    if (in) vt__sched_guest_out();
}
/* Its wait is over, and its turn comes; on its own thread. */
VT__INLINE void vt__sched_resume(vt__thr *t, vt__vth *v) {
    v->abort = NULL;
    vt__sched_run_push(t, &v->node);
}
/* Makes a vthread whose wait is over run again. By the wait's owner, on any thread. */
VT__INLINE void vt__sched_ready(vt__vth *v) {
    vt__thr *t = v->thr;
    if (VT__LIKELY(t == vt__sched_tls && v != t->cur)) vt__sched_resume(t, v);
    else vt__sched_send(v);
}
/* True for one caller: the wait is over, by it. */
VT__INLINE bool vt__sched_claim(vt__claim *c, uint32_t by) {
    uint32_t none = 0;
    return __atomic_compare_exchange_n(&c->by, &none, by, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}
/* What a descriptor's wait names in its vthread's place when others may end it, too. */
VT__INLINE struct vt__vth *vt__sched_tag(vt__claim *c) { return (struct vt__vth *)(void *)((char *)c + 1); }
static void vt__sched_wake(struct vt__vth *v) {
    if (VT__UNLIKELY((uintptr_t)v & 1)) {
        vt__claim *c = (vt__claim *)(void *)((char *)v - 1);
        if (!vt__sched_claim(c, VT__CLAIM_FD)) return;
        v = c->v;
    }
    vt__sched_ready(v);
}
static void vt__sched_inbox(vt__thr *t) {
    vt__vth *v = __atomic_exchange_n(&t->inbox, NULL, __ATOMIC_ACQ_REL), *rev = NULL, *next;
    for (; v; v = next) next = v->sent, v->sent = rev, rev = v;
    for (v = rev; v; v = next) {
        next = v->sent;
        vt__sched_resume(t, v);
    }
}
/* To a thread, about its vthreads. */
static void vt__sched_tell(vt__thr *t, vt__msg *m) {
    vt__msg *head = __atomic_load_n(&t->msgs, __ATOMIC_RELAXED);
    do m->next = head;
    while (!__atomic_compare_exchange_n(&t->msgs, &head, m, true, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
    vt__sched_kick(t);
}
static void vt__sched_told(vt__thr *t) {
    vt__msg *m = __atomic_exchange_n(&t->msgs, NULL, __ATOMIC_ACQ_REL), *next;
    for (; m; m = next) {
        next = m->next;
        m->fn(NULL, m);
    }
}
/* To a domain; runs in its scheduler context. Any thread, signal handlers too; m must not be on its way already. */
static VT__UNUSED void vt__sched_post(vt__dom *dom, vt__msg *m) {
    bool in = vt__sched_guest_in();
    (void)vt__poll_post(dom, m);
    vt__sched_kick(vt__sched_driver(dom));
    if (in) vt__sched_guest_out();
}

/*--- whose a domain is ---*/
static VT__NOINLINE void vt__sched_dom_wait(vt__dom *d) {
    __atomic_fetch_add(&d->waiters, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; __atomic_exchange_n(&d->lock, 1, __ATOMIC_ACQUIRE) != 0; i++) {
        (void)vt__sched_kick(vt__sched_driver(d)); /* out of the reactor */
        if (i < 100) vt__plat_relax();
        else vt__plat_sleep(20000);
    }
    __atomic_fetch_sub(&d->waiters, 1, __ATOMIC_SEQ_CST);
}
/* For a few instructions and system calls that do not wait; never twice. A vthread's thread nearly always drives the domain
 * itself, and then the lock is free. */
VT__INLINE void vt__sched_dom_lock(vt__dom *d) {
    if (VT__UNLIKELY(__atomic_exchange_n(&d->lock, 1, __ATOMIC_ACQUIRE) != 0)) vt__sched_dom_wait(d);
}
VT__INLINE void vt__sched_dom_unlock(vt__dom *d) { __atomic_store_n(&d->lock, 0, __ATOMIC_RELEASE); }
/* Takes the domain's lock, unless the domain turns out to be another thread's. A worker takes its own back: the lock says
 * that the spare is out among its vthreads, and it sees its loss when it returns. */
static void vt__sched_take(vt__thr *t) {
    vt__dom *d = t->dom;
    bool own = d->index == t->index;
    vt__sched_dom_lock(d);
    t->drives = own || vt__sched_driver(d) == t;
    if (!t->drives) vt__sched_dom_unlock(d);
    else if (VT__UNLIKELY(vt__sched_driver(d) != t)) __atomic_store_n(&d->owner, t, __ATOMIC_SEQ_CST);
}
/* Behind the vthreads, before the reactor. */
static void vt__sched_drive(vt__thr *t) {
    vt__dom *d = t->dom;
    if (d->index != t->index && vt__sched_driver(d) != t) return;
    for (int i = 0; i < 50 && VT__UNLIKELY(__atomic_load_n(&d->waiters, __ATOMIC_SEQ_CST) != 0); i++)
        vt__plat_sleep(20000); /* whoever waits would get it from nobody else */
    vt__sched_take(t);
}
static void vt__sched_undrive(vt__thr *t) {
    if (!t->drives) return;
    t->drives = false;
    vt__sched_dom_unlock(t->dom);
}

/*--- unstarted work ---*/
static bool vt__sched_wake_idle(const vt__thr *but) {
    for (int w = 0, n = vt__sched_nthrs(); w * 64 < n; w++) {
        uint64_t idle = __atomic_load_n(&vt__sched_g.idle[w], __ATOMIC_SEQ_CST);
        if (but && but->index >> 6 == w) idle &= ~(UINT64_C(1) << (but->index & 63));
        for (; idle; idle &= idle - 1)
            if (vt__sched_kick(vt__sched_g.thrs[w * 64 + __builtin_ctzll(idle)])) return true;
    }
    return false;
}
static void vt__sched_any_push(vt__dom *dom, vt_task *first, vt_task *last, int32_t n) {
    last->node.next = NULL;
    vt__plat_spin_lock(&dom->any_spin);
    if (dom->any_head) dom->any_tail->node.next = &first->node;
    else dom->any_head = first;
    dom->any_tail = last;
    __atomic_fetch_add(&dom->any_count, n, __ATOMIC_SEQ_CST);
    vt__plat_spin_unlock(&dom->any_spin);
}
/* The oldest `max` (half of what is there when `half`), as a chain; the caller owns them now. */
static int32_t vt__sched_any_take(vt__dom *dom, int32_t max, bool half, vt_task **first, vt_task **last) {
    int32_t n = 0;
    if (__atomic_load_n(&dom->any_count, __ATOMIC_SEQ_CST) == 0) return 0;
    vt__plat_spin_lock(&dom->any_spin);
    int32_t have = dom->any_count, want = VT__MIN(max, half ? (have + 1) / 2 : have);
    vt_task *t = dom->any_head;
    *first = t;
    for (; n < want; n++) {
        *last = t;
        t = (vt_task *)(void *)t->node.next; /* node is first */
    }
    dom->any_head = t;
    if (n) (*last)->node.next = NULL;
    __atomic_fetch_add(&dom->any_count, -n, __ATOMIC_SEQ_CST);
    vt__plat_spin_unlock(&dom->any_spin);
    return n;
}

/* Room for one more vthread under max_vthreads; threads hold a little of the count to stay off the shared word. */
static VT__NOINLINE int vt__sched_credit_more(uint32_t *held) {
    uint32_t batch = __atomic_load_n(&vt__sched_g.credit_batch, __ATOMIC_RELAXED);
    int64_t n = held && batch ? (int64_t)batch : 1;
    int64_t left = __atomic_load_n(&vt__sched_g.credit, __ATOMIC_SEQ_CST); /* behind vt__sched_want_room */
    do {
        if (left <= 0) return VT_ELIMIT;
        if (n > left) n = left;
    } while (!__atomic_compare_exchange_n(&vt__sched_g.credit, &left, left - n, true, __ATOMIC_ACQ_REL,
                                          __ATOMIC_RELAXED));
    if (held) *held += (uint32_t)n - 1;
    return 0;
}
VT__INLINE int vt__sched_credit_take(vt__thr *t) {
    if (VT__LIKELY(t && t->live_credit > 0)) {
        t->live_credit--;
        return 0;
    }
    return vt__sched_credit_more(t ? &t->live_credit : NULL);
}
static VT__NOINLINE void vt__sched_credit_back(vt__thr *t, uint32_t batch) {
    uint32_t n = batch ? batch : t->live_credit;
    t->live_credit -= n;
    __atomic_fetch_add(&vt__sched_g.credit, (int64_t)n, __ATOMIC_SEQ_CST);
    void (*room)(void) = __atomic_load_n(&vt__sched_up.room, __ATOMIC_SEQ_CST);
    if (VT__UNLIKELY(room != NULL)) room();
}
VT__INLINE void vt__sched_credit_put(vt__thr *t) {
    uint32_t batch = __atomic_load_n(&vt__sched_g.credit_batch, __ATOMIC_RELAXED);
    if (VT__UNLIKELY(++t->live_credit > 2 * batch)) vt__sched_credit_back(t, batch);
}
/* While vt__sched_admit says no: `room` is called, on a worker, whenever a vthread has ended; NULL: no more. It tries again
 * right behind this call, and now and then: threads that hold credit, or are about to, do not hear of it. One at a time. */
static VT__UNUSED void vt__sched_want_room(void (*room)(void)) {
    __atomic_store_n(&vt__sched_up.room, room, __ATOMIC_SEQ_CST);
    __atomic_store_n(&vt__sched_g.credit_batch, room ? 0 : vt__sched_g.credit_full, __ATOMIC_SEQ_CST);
}

/* A vthread's start that needs no memory, embedded in what it is for: vt__sched_admit, then vt__sched_submit; again and
 * again. Its cancel is asked for on its own thread only. */
typedef struct vt__start {
    vt_task task;
    vt_fn *fn;
    void *arg;
} vt__start;
static VT__UNUSED void vt__sched_start_init(vt__start *s, vt_fn *fn, void *arg, const char *site) {
    memset(s, 0, sizeof *s);
    s->fn = fn;
    s->arg = arg;
    s->task.site = site;
    s->task.flags = VT__TASK_EMBEDDED | VT__TASK_DETACHED | VT__TASK_ANY;
}
static VT__UNUSED int vt__sched_admit(void) { return vt__sched_credit_take(vt__sched_tls); }
/* Queues unstarted work in `dom`; an idle worker may take it. From then on it belongs to whoever runs it. */
static VT__UNUSED void vt__sched_submit(vt__dom *dom, vt__start *s) {
    uint32_t keep = VT__TASK_EMBEDDED | VT__TASK_DETACHED | VT__TASK_ANY;
    vt_task *t = &s->task;
    __atomic_fetch_and(&t->flags, keep, __ATOMIC_ACQ_REL);
    t->node.result = VT__SCHED_NEW;
    t->fn = s->fn;
    t->arg = s->arg;
    vt__plat_count(&vt__sched_tls->spawned, 1);
    if (vt__sched_g.fixed) vt__sched_run_push(vt__sched_tls, &t->node); /* nobody else could take it */
    else vt__sched_any_push(dom, t, t, 1);
}

/*--- cancel ---*/
/* Whether the vthread was asked to stop, and is not shielded. */
VT__INLINE void vt__sched_deadline_set(vt__vth *v, int64_t until) {
    v->deadline = until;
    v->dated = until != 0;
}
VT__INLINE bool vt__sched_cancelled(const vt__vth *v) { return VT__UNLIKELY(v->cancel) && v->shield == 0; }
/* On the vthread's own thread: ends its present wait, if that can still be done. */
static void vt__sched_abort(vt__vth *v, int err) {
    if (!v->abort || !v->abort(v)) return;
    v->node.result = err;
    vt__sched_resume(v->thr, v);
}
VT__INLINE void vt__sched_task_drop(vt_task *t) {
    vt__thr *thr = vt__sched_tls;
    if (thr) vt__mem_pool_put(&thr->task_pool, t);
    else vt__mem_free(t);
}
/* On the vthread's own thread: from now on it is cancelled, its present wait included. */
static void vt__sched_cancel_vth(vt__vth *v) {
    v->cancel = true;
    if (v->shield == 0) vt__sched_abort(v, -ECANCELED);
}
static void vt__sched_cancel_here(struct vt__dom *dom, vt__msg *m) {
    vt_task *t = VT__CONTAINER(m, vt_task, msg);
    (void)dom;
    uint32_t f = __atomic_load_n(&t->flags, __ATOMIC_ACQUIRE);
    if (!(f & VT__TASK_DONE) && t->v) vt__sched_cancel_vth(t->v);
    f = __atomic_fetch_and(&t->flags, ~(uint32_t)VT__TASK_CANCEL_MSG, __ATOMIC_ACQ_REL);
    if ((f & (VT__TASK_DETACHED | VT__TASK_DONE | VT__TASK_EMBEDDED)) == (VT__TASK_DETACHED | VT__TASK_DONE))
        vt__sched_task_drop(t);
}
/* Any thread, while the task cannot be freed. An unstarted task starts all the same, and finds itself cancelled. */
static void vt__sched_cancel(vt_task *t) {
    uint32_t f = __atomic_fetch_or(&t->flags, VT__TASK_CANCEL, __ATOMIC_ACQ_REL);
    if (f & (VT__TASK_CANCEL | VT__TASK_DONE)) return;
    if ((f & (VT__TASK_ANY | VT__TASK_STARTED)) == VT__TASK_ANY) return; /* vt__sched_begin looks */
    if (t->thr == vt__sched_tls) {
        if (t->v) vt__sched_cancel_vth(t->v);
        return;
    }
    if (!vt__sched_guest_in()) return; /* no runtime: it has ended */
    __atomic_fetch_or(&t->flags, VT__TASK_CANCEL_MSG, __ATOMIC_ACQ_REL);
    t->msg.fn = vt__sched_cancel_here;
    vt__sched_tell(t->thr, &t->msg);
    vt__sched_guest_out();
}
static void vt__sched_cancel_all(vt__thr *t) {
    for (vt__list *n = t->all.next; n != &t->all; n = n->next)
        if (n != &t->mark) vt__sched_cancel_vth(VT__CONTAINER(n, vt__vth, all));
    t->cancel_all = true;
}

/*--- parking ---*/
static void vt__sched_timer_fired(vt__timer *t) {
    vt__vth *v = VT__CONTAINER(t, vt__vth, timer);
    if (!v->abort || v->wait_due == 0) return;
    if (v->wait_due > v->thr->now) {
        vt__timer_arm(&v->thr->wheel, t, v->wait_due);
        vt__plat_count(&v->thr->rearmed, 1);
    } else {
        vt__sched_abort(v, -ETIMEDOUT);
    }
}

static VT__COLD void vt__sched_overrun(const vt__vth *v) {
    vt_log(VT_LOG_ERROR, "stack overflow in virtual thread '%s' spawned at %s (stack of %zu bytes)", v->name,
           v->site ? v->site : "?", vt__stack_g.stride - vt__stack_g.guard);
    abort();
}

static VT__NOINLINE void vt__sched_locals_end(vt__vth *v) {
    for (int round = 0; round < 4; round++) { /* destructors may set values again */
        bool any = false;
        for (int i = 0; i < v->nlocals; i++) {
            void *p = v->locals[i];
            v->locals[i] = NULL;
            if (v->borrowed >> i & 1) v->borrowed ^= (uint16_t)(1u << i);
            else if (p && vt__sched_g.local_destroy[i]) vt__sched_g.local_destroy[i](p), any = true;
        }
        if (!any) return;
    }
}
/* Runs clean-ups, the last one first, until `keep` are left. */
static VT__NOINLINE void vt__sched_undefer(vt__vth *v, int keep) {
    v->shield++;
    while (v->ndefers > keep) {
        vt__defers *d = v->defers;
        int i = --v->ndefers % VT__DEFERS;
        void (*fn)(void *) = d->e[i].fn;
        void *arg = d->e[i].arg;
        if (i == 0) {
            v->defers = d->below;
            vt__mem_pool_put(&v->thr->task_pool, d);
        }
        fn(arg);
    }
    v->shield--;
}
/* Clean-ups, then values, whose destructors may register more. Whoever tells others that the vthread is done
 * runs them before. */
static VT__NOINLINE void vt__sched_cleanup(vt__vth *v) {
    v->shield++;
    do {
        vt__sched_undefer(v, 0);
        vt__sched_locals_end(v);
    } while (v->ndefers);
    v->extras = 0;
    v->shield--;
}

/* What its work set on a vthread that goes on to other work does not outlive it. */
static VT__UNUSED void vt__sched_afresh(vt__vth *v) {
    if (VT__UNLIKELY(v->extras != 0)) vt__sched_cleanup(v);
    v->shield = 0;
    vt__sched_deadline_set(v, 0);
    v->born = v->thr->now;
    v->name[0] = 0;
}

/* Gives up what a task's owner has: whoever comes last frees it, this, its end, or the message of its cancel. */
static VT__NOINLINE void vt__sched_release(vt_task *t, uint32_t also) {
    uint32_t f = __atomic_fetch_or(&t->flags, VT__TASK_DETACHED | also, __ATOMIC_ACQ_REL) | also;
    if ((f & VT__TASK_DONE) && !(f & VT__TASK_CANCEL_MSG)) vt__sched_task_drop(t);
}
/* It has ended, and its result is with who awaited it. */
VT__INLINE void vt__sched_task_joined(vt_task *t) {
    if (VT__LIKELY(!(__atomic_load_n(&t->flags, __ATOMIC_ACQUIRE) & VT__TASK_CANCEL_MSG)))
        vt__sched_task_drop(t);
    else vt__sched_release(t, VT__TASK_DONE);
}
static VT__NOINLINE void vt__sched_task_done(vt_task *task) {
    uint32_t f = __atomic_fetch_or(&task->flags, VT__TASK_DONE, __ATOMIC_ACQ_REL);
    if (f & VT__TASK_WAITER) vt__sched_ready(task->joiner);
    else if ((f & (VT__TASK_DETACHED | VT__TASK_CANCEL_MSG)) == VT__TASK_DETACHED) vt__sched_task_drop(task);
}
VT__INLINE void vt__sched_task_end(vt__thr *t, vt_task *task, int result) {
    vt__vth *v = task->here;
    task->result = result;
    task->v = NULL;
    if (VT__UNLIKELY(!v)) {
        vt__sched_task_done(task);
        return;
    }
    /* all that vt_await has to do behind its wait is done here */
    if (task->here_result) *task->here_result = result;
    vt__sched_resume(t, v);
    vt__sched_task_joined(task);
}

/* What tells that a thread switches is read by others (see @watch). */
VT__INLINE void vt__sched_set_cur(vt__thr *t, vt__vth *v) { __atomic_store_n(&t->cur, v, __ATOMIC_RELAXED); }
VT__INLINE int vt__sched_set_left(vt__thr *t, int left) {
    __atomic_store_n(&t->left, left, __ATOMIC_RELAXED);
    return left;
}
/* Whose turn it is; NULL: nobody's, or the scheduler's. */
VT__INLINE vt__node *vt__sched_first(const vt__thr *t) {
    return t->last && t->left > VT__SCHED_FUEL ? t->last->next : NULL;
}
/* What has to be done on the way into a vthread, `n` of the ring, besides the switch. With many of them each switch
 * meets cold memory, so the one behind it is fetched meanwhile (its address alone: following it here would wait for
 * what is to be hidden). */
VT__INLINE vt__vth *vt__sched_turn(vt__thr *t, vt__node *n) {
    vt__vth *v = VT__CONTAINER(n, vt__vth, node);
    uintptr_t next = (uintptr_t)n->next;
    __builtin_prefetch((void *)next);
    __builtin_prefetch((void *)(next - sizeof(vt__ctx)));      /* the context */
    __builtin_prefetch((void *)(next - sizeof(vt__ctx) - 64)); /* the first frames */
    *t->err = v->err; /* first: what is atomic keeps the compiler from what it knew */
    vt__sched_set_left(t, (t->left - 1) & ~(VT__SCHED_FUEL - 1));
    vt__sched_set_cur(t, v);
    return v;
}

/* The stack goes back to the cache while we still stand on it: nobody else can take it before we have left. */
__attribute__((noreturn)) static VT__NOINLINE void vt__sched_exit(vt__vth *v, int result) {
    vt__thr *t = v->thr;
    if (VT__UNLIKELY(!vt__sched_tls))
        _exit(result & 0xff); /* a forked child: nothing of the runtime runs in it */
    if (VT__UNLIKELY(v->extras != 0)) vt__sched_cleanup(v);
    if (vt__timer_armed(&v->timer)) vt__timer_cancel(&t->wheel, &v->timer);
    vt__ds_list_remove(&v->all);
    if (v->task && !v->embedded) vt__sched_task_end(t, v->task, result);
    if (VT__UNLIKELY(!vt__stack_intact(v->stack))) vt__sched_overrun(v);
    vt__stack_put(&t->stacks, v->stack);
    __atomic_store_n(&t->ended, t->ended + 1, __ATOMIC_RELEASE); /* behind the spawns of this vthread */
    vt__sched_credit_put(t);
    (void)vt__sched_run_pop(t);
    vt__node *n = vt__sched_first(t);
    if (VT__UNLIKELY(!n || n->result == VT__SCHED_NEW)) { /* which needs a stack, maybe ours */
        vt__sched_set_cur(t, NULL);
        vt__ctx_leave(&v->ctx, &t->main, 0);
    }
    vt__vth *to = vt__sched_turn(t, n);
    int r = to->node.result;
    to->node.result = 0;
    vt__ctx_leave(&v->ctx, &to->ctx, r);
}

static void vt__sched_entry(vt__ctx *c) {
#if VT__CTX_ASM
    vt__vth *v = (vt__vth *)(void *)c;
#else
    (void)c;
    vt__vth *v = vt__sched_tls->cur;
#endif
    vt__ctx_arrive(&v->ctx);
    vt__sched_exit(v, v->fn(v->arg));
}

/* Gives an unstarted task a stack; NULL: there is none to be had now. The task is the caller's to take off its queue. */
static vt__vth *vt__sched_begin(vt__thr *t, vt_task *task) {
    char *s = vt__stack_get(&t->stacks);
    if (VT__UNLIKELY(!s)) return NULL;
    uint32_t f = __atomic_load_n(&task->flags, __ATOMIC_ACQUIRE);
    /* What a connection has on its stack fills a page: no offset for it, or it would have two. */
    char *top = f & VT__TASK_EMBEDDED ? vt__stack_base(s) + vt__stack_g.stride : vt__stack_top(s);
    vt__vth *v = (vt__vth *)(void *)((uintptr_t)(top - sizeof(vt__vth)) & ~(uintptr_t)63);
    task->v = v;
    if (f & VT__TASK_ANY) {
        task->thr = t;
        f = __atomic_fetch_or(&task->flags, VT__TASK_STARTED, __ATOMIC_ACQ_REL);
    }
    v->node.result = v->err = v->shield = 0;
    v->thr = t;
    v->cancel = t->cancel_all || (f & VT__TASK_CANCEL) != 0;
    v->parking = false;
    v->embedded = (f & VT__TASK_EMBEDDED) != 0;
    v->extras = 0;
    v->abort = NULL;
    v->fn = task->fn;
    v->arg = task->arg;
    v->site = task->site;
    vt__sched_deadline_set(v, task->deadline);
    v->born = t->now;
    vt__timer_init(&v->timer, vt__sched_timer_fired);
    vt__ds_list_push(&t->all, &v->all);
    v->task = task;
    v->stack = s;
    v->name[0] = 0;
    if ((f & (VT__TASK_DETACHED | VT__TASK_EMBEDDED | VT__TASK_CANCEL_MSG)) == VT__TASK_DETACHED) {
        v->task = NULL;
        vt__sched_task_drop(task);
    }
    char *bottom = vt__stack_base(s) + vt__stack_g.guard;
    vt__ctx_make(&v->ctx, bottom, (char *)v, vt__sched_entry);
    return v;
}

/* The same for the task that is first: its vthread takes its place in the ring. NULL: it stays. */
static VT__NOINLINE vt__node *vt__sched_begin_first(vt__thr *t) {
    vt__node *n = t->last->next, *next = n->next;          /* a begun task may be freed: no n after it */
    vt__vth *v = vt__sched_begin(t, (vt_task *)(void *)n); /* node is first */
    if (VT__UNLIKELY(!v)) return NULL;
    if (n == t->last) t->last = next = &v->node;
    else t->last->next = &v->node;
    v->node.next = next;
    return &v->node;
}
/* The rarer ways on from `v`, which is out of the ring or last in it: to a task that is to be started, to a wait that
 * has failed, to the scheduler. */
static VT__NOINLINE int vt__sched_detour(vt__thr *t, vt__vth *v) {
    vt__node *n = vt__sched_first(t);
    v->err = *t->err;
    if (n && n->result == VT__SCHED_NEW) n = t->stacks.n ? vt__sched_begin_first(t) : NULL;
    if (!n) {
        vt__sched_set_cur(t, NULL);
        return vt__ctx_switch(&v->ctx, &t->main, 0);
    }
    vt__vth *to = vt__sched_turn(t, n);
    int r = to->node.result;
    to->node.result = 0;
    return vt__ctx_switch(&v->ctx, &to->ctx, r);
}
/* Leaves `v`, which is out of the ring or last in it, for `n`, the first; its wait's result once it runs again. The
 * last call of every caller: with no frame of its own nothing has to be returned through. */
VT__INLINE int vt__sched_away(vt__thr *t, vt__vth *v, vt__node *n) {
    if (VT__UNLIKELY(t->left <= VT__SCHED_FUEL || n->result)) return vt__sched_detour(t, v);
    v->err = *t->err;
    return vt__ctx_switch(&v->ctx, &vt__sched_turn(t, n)->ctx, 0);
}

/* Out of the ring, and away. */
VT__INLINE int vt__sched_wait(vt__thr *t, vt__vth *v, bool (*abort)(vt__vth *), int64_t due) {
    vt__node *last = t->last, *n = v->node.next;
    v->abort = abort;
    v->wait_due = due;
    if (VT__UNLIKELY(n == &v->node)) {
        t->last = NULL;
        return vt__sched_detour(t, v);
    }
    last->next = n;
    return vt__sched_away(t, v, n);
}
/* What is called whenever the vthread really parks, and may find that it is to be cancelled; NULL: nothing. */
static VT__UNUSED void vt__sched_on_park(vt__vth *v, void (*fn)(void *arg), void *arg) {
    v->on_park = fn;
    v->on_park_arg = arg;
    v->parking = fn != NULL;
}
static VT__NOINLINE int vt__sched_park_slow(vt__vth *v, bool (*abort)(vt__vth *), int64_t due) {
    if (v->parking) v->on_park(v->on_park_arg);
    if (abort && vt__sched_cancelled(v) && abort(v)) return -ECANCELED;
    if (due) vt__timer_lazy(&v->thr->wheel, &v->timer, due);
    return vt__sched_wait(v->thr, v, abort, due);
}
/* Waits until somebody makes `v` ready; the wait is registered already. `abort` takes it back (own thread, scheduler
 * context) and may say that it is too late; NULL: neither cancel nor deadline end this wait. 0, -ECANCELED, -ETIMEDOUT,
 * or what abort's caller gave. A cancel may have come behind vt__sched_enter, while the vthread let others run or was
 * ready for another look: whoever asked does not ask again, so it is looked for here, once more, at no cost. */
static VT__NOINLINE int vt__sched_park(vt__vth *v, bool (*abort)(vt__vth *), int64_t due) {
    if (v->slow || (due && !vt__timer_before(&v->timer, due))) return vt__sched_park_slow(v, abort, due);
    return vt__sched_wait(v->thr, v, abort, due);
}

/* For waits that time, deadline or cancel alone end. Each kind of wait has an abort of its own, even where they would
 * do the same: a dump knows by it what a vthread waits for, at no cost to the wait. */
static VT__UNUSED bool vt__sched_sleep_abort(vt__vth *v) {
    (void)v;
    return true;
}

/* What every parking call does first: 0 and the deadline that counts, or -ECANCELED. */
VT__INLINE int vt__sched_enter(const vt__vth *v, int64_t until, int64_t *due) {
    if (VT__UNLIKELY(vt__sched_cancelled(v))) return -ECANCELED;
    int64_t own = v->shield ? 0 : v->deadline;
    if (until == 0) *due = own;
    else if (until < 0) *due = 0;
    else *due = own && own < until ? own : until;
    return 0;
}

/* Every parking call that need not park counts; whoever never parks lets others run after a while, through the
 * scheduler, so that the reactor is looked at, too. */
static VT__NOINLINE void vt__sched_fuel_out(vt__thr *t, vt__vth *v) {
    vt__plat_count(&t->switches, -(t->left / VT__SCHED_FUEL)); /* turns that are not taken */
    vt__sched_set_left(t, 1);
    t->last = &v->node;
    (void)vt__sched_detour(t, v);
}
VT__INLINE void vt__sched_fuel(vt__vth *v) {
    vt__thr *t = v->thr;
    if (VT__UNLIKELY((vt__sched_set_left(t, t->left - 1) & (VT__SCHED_FUEL - 1)) == 0))
        vt__sched_fuel_out(t, v);
}

/*--- the loop of an OS thread ---*/
/* From the scheduler to who is first. */
static void vt__sched_switch_to(vt__thr *t, vt__node *n) {
    vt__vth *v = vt__sched_turn(t, n);
    int r = v->node.result;
    v->node.result = 0;
    (void)vt__ctx_switch(&t->main, &v->ctx, r);
}
/* Runs what is ready, then starts what has not begun; true when a task waits for a stack. Without one to be had the
 * unstarted go to the queue's end: those behind them may finish and give theirs back. */
static bool vt__sched_run(vt__thr *t) {
    vt_task *task, *last;
    vt__node *n;
    bool starved = false;
    vt__sched_set_left(t, (VT__SCHED_RUN + 1) * VT__SCHED_FUEL);
    while ((n = vt__sched_first(t)) != NULL) {
        if (n->result == VT__SCHED_NEW && (starved || (n = vt__sched_begin_first(t)) == NULL)) {
            starved = true;
            t->last = t->last->next;
            vt__sched_set_left(t, t->left - VT__SCHED_FUEL);
            continue;
        }
        vt__sched_switch_to(t, n);
    }
    vt__plat_count(&t->switches, VT__SCHED_RUN + 1 - (t->left + VT__SCHED_FUEL - 1) / VT__SCHED_FUEL);
    for (int left = VT__SCHED_RUN; left > 0 && !starved; left--) {
        if (!__atomic_load_n(&t->dom->any_count, __ATOMIC_RELAXED) || vt__sched_driver(t->dom) != t) break;
        if (!t->stacks.n && !vt__stack_refill(&t->stacks)) return true;
        if (!vt__sched_any_take(t->dom, 1, false, &task, &last)) break;
        vt__sched_set_left(t, 2 * VT__SCHED_FUEL); /* a turn, and back */
        vt__sched_run_front(t, &task->node);
        vt__plat_count(&t->switches, 1);
        vt__sched_switch_to(t, vt__sched_begin_first(t));
    }
    return starved;
}

static void vt__sched_idle_mark(const vt__thr *t, bool idle) {
    uint64_t *word = &vt__sched_g.idle[t->index >> 6], bit = UINT64_C(1) << (t->index & 63);
    if (idle) __atomic_fetch_or(word, bit, __ATOMIC_SEQ_CST);
    else __atomic_fetch_and(word, ~bit, __ATOMIC_SEQ_CST);
}
/* Takes unstarted work from another domain, half of what it has. */
static bool vt__sched_steal(vt__thr *t) {
    vt_task *first, *last;
    for (int i = 1; i < vt__sched_g.ndoms; i++) {
        vt__dom *from = vt__sched_g.doms[(t->dom->index + i) % vt__sched_g.ndoms];
        int32_t n = vt__sched_any_take(from, 16, true, &first, &last);
        if (!n) continue;
        vt__sched_any_push(t->dom, first, last, n);
        vt__plat_count(&t->steals, n);
        if (n > 1) (void)vt__sched_wake_idle(t);
        return true;
    }
    return false;
}
/* After events: more than one start is due here, and somebody idles. A thief that comes too late costs both sides a
 * system call, so fruitless calls are made ever more rarely. */
static void vt__sched_share(vt__thr *t) {
    if (vt__sched_g.ndoms == 1 || __atomic_load_n(&t->dom->any_count, __ATOMIC_RELAXED) < 2) return;
    if (t->wake_skip) {
        t->wake_skip--;
        return;
    }
    if (vt__sched_wake_idle(t)) {
        t->wake_back = t->wake_back ? VT__MIN(t->wake_back * 2, 16u) : 1;
        t->wake_skip = t->wake_back;
    }
}

/* All that was ever spawned has ended: first the ends are counted, then the spawns. Both grow, but for another thread's
 * spawn that is refused, which kicks. */
static bool vt__sched_all_ended(void) {
    int64_t ended = 0, spawned = 0;
    for (int i = 0, n = vt__sched_nthrs(); i < n; i++)
        ended += __atomic_load_n(&vt__sched_g.thrs[i]->ended, __ATOMIC_SEQ_CST);
    for (int i = 0, n = vt__sched_nthrs(); i < n; i++)
        spawned += __atomic_load_n(&vt__sched_g.thrs[i]->spawned, __ATOMIC_SEQ_CST);
    return ended == spawned + __atomic_load_n(&vt__sched_g.foreign, __ATOMIC_SEQ_CST);
}
/* A spawn of another thread is counted before it looks whether the runtime is closed, and the count is taken again after
 * closing: so it is either refused or waited for. */
static bool vt__sched_close(void) {
    if (!vt__sched_all_ended()) return false;
    __atomic_fetch_add(&vt__sched_g.closed, 1, __ATOMIC_SEQ_CST);
    if (vt__sched_all_ended()) return true;
    __atomic_fetch_sub(&vt__sched_g.closed, 1, __ATOMIC_SEQ_CST);
    return false;
}
static void vt__sched_quit_if_done(void) {
    if (!__atomic_load_n(&vt__sched_g.main_done, __ATOMIC_SEQ_CST) || !vt__sched_close()) return;
    __atomic_store_n(&vt__sched_g.quit, 1, __ATOMIC_SEQ_CST);
    for (int i = 0, n = vt__sched_nthrs(); i < n; i++) vt__sched_kick(vt__sched_g.thrs[i]);
}

static bool vt__sched_has_mail(const vt__thr *t) {
    return __atomic_load_n(&t->inbox, __ATOMIC_SEQ_CST) || __atomic_load_n(&t->msgs, __ATOMIC_SEQ_CST) ||
           (t->drives && (__atomic_load_n(&t->dom->inbox, __ATOMIC_SEQ_CST) ||
                          __atomic_load_n(&t->dom->waiters, __ATOMIC_SEQ_CST))) ||
           __atomic_load_n(&vt__sched_g.quit, __ATOMIC_SEQ_CST);
}
static void vt__sched_mail(vt__thr *t) {
    if (__atomic_load_n(&t->inbox, __ATOMIC_RELAXED)) vt__sched_inbox(t);
    if (__atomic_load_n(&t->msgs, __ATOMIC_RELAXED)) vt__sched_told(t);
    if (t->drives && __atomic_load_n(&t->dom->inbox, __ATOMIC_RELAXED)) vt__poll_messages(t->dom);
}
static bool vt__sched_has_work(const vt__thr *t) {
    return t->last || (t->drives && __atomic_load_n(&t->dom->any_count, __ATOMIC_RELAXED) > 0);
}

/* How long it may sleep, in ns, -1 for ever; 0 when there is something to do. */
static int64_t vt__sched_patience(const vt__thr *t, int64_t until, bool starved) {
    int64_t due = vt__timer_next(&t->wheel);
    if (t->drives) due = VT__MIN(due, vt__timer_next(&t->dom->wheel));
    if (vt__sched_has_work(t)) {
        if (!starved) return 0;
        due = VT__MIN(due, t->now + 10 * VT_MS); /* a stack may be had by then */
    }
    if (until >= 0) due = VT__MIN(due, until);
    if (due == INT64_MAX) return -1;
    if (due <= t->now) return 0;
    int64_t left = due - vt__plat_now(); /* what ran since t->now counts */
    return VT__MAX(left, 0);
}

/* Announces the sleep, looks once more, waits: in the reactor, or, without a domain, for mail alone. Everybody else
 * publishes first and looks at `sleeping` and `idle` second, so one of both sides sees the other. */
static void vt__sched_sleep(vt__thr *t, int64_t ns, bool starved) {
    bool share = vt__sched_g.ndoms > 1 && t->drives;
    uint32_t how = (t->drives ? VT__SCHED_POLLS : VT__SCHED_FUTEX) | (ns < 0 ? VT__SCHED_ENDLESS : 0u);
    __atomic_store_n(&t->sleeping, how, __ATOMIC_SEQ_CST);
    if (share) vt__sched_idle_mark(t, true);
    if (vt__sched_has_mail(t)) ns = 0;
    else if (t->drives && !starved && __atomic_load_n(&t->dom->any_count, __ATOMIC_SEQ_CST)) ns = 0;
    else if (share && vt__sched_steal(t)) ns = 0;
    if (ns) vt__sched_quit_if_done();
    if (ns && __atomic_load_n(&vt__sched_g.quit, __ATOMIC_SEQ_CST)) ns = 0;
    if (t->drives) (void)vt__poll_wait(t->dom, ns);
    else if (ns) vt__plat_park(&t->sleeping, how, ns);
    if (share) vt__sched_idle_mark(t, false);
    __atomic_store_n(&t->sleeping, 0, __ATOMIC_SEQ_CST);
    if (VT__UNLIKELY(__atomic_load_n(&vt__sched_g.watch_parked, __ATOMIC_SEQ_CST))) vt__sched_up.awake();
}

/* A spare whose domain is another's again, and all that started on it has ended. */
static bool vt__sched_alone(const vt__thr *t) {
    const vt__list *n = t->all.next == &t->mark ? t->mark.next : t->all.next; /* a dump's mark is none */
    return !t->drives && !t->last && n == &t->all;
}
/* One round: mail, timers, vthreads, reactor. Waits for events until `until` at most (0: not, -1: for ever). Begins and
 * ends with the domain's lock held, where the domain is this thread's. */
static void vt__sched_pass(vt__thr *t, int64_t until) {
    t->now = vt__plat_now();
    vt__plat_count(&t->passes, 1);
    vt__sched_mail(t);
    (void)vt__timer_advance(&t->wheel, t->now, VT__SCHED_TIMERS);
    if (t->drives) (void)vt__timer_advance(&t->dom->wheel, t->now, VT__SCHED_TIMERS);
    vt__sched_undrive(t);
    int64_t ended = t->ended;
    bool starved = vt__sched_run(t);
    if (vt__sched_g.host && t->ended != ended && vt__sched_all_ended()) until = 0; /* say so at once */
    if (t->now >= t->stacks.next_trim) vt__stack_trim(&t->stacks, t->now, 16);
    vt__sched_drive(t);
    if (VT__UNLIKELY(vt__sched_alone(t))) return; /* not to sleep here, but to idle */
    if (VTHTTP_POLL && !t->drives)
        vt__poll_kick(t->dom); /* its driver shall ask for what is waited for here as well */
    if (vt__sched_has_work(t) && !starved && t->now - t->last_poll < VT__SCHED_POLL_NS) return;
    int64_t ns = vt__sched_has_mail(t) ? 0 : vt__sched_patience(t, until, starved);
    if (ns) vt__sched_sleep(t, ns, starved);
    else if (t->drives) (void)vt__poll_wait(t->dom, 0);
    t->last_poll = t->now;
    if (t->drives) vt__sched_share(t);
}

/*--- stack overflow reports ---*/
static void vt__sched_put(const char *s) { (void)vt__plat_write(2, s, strlen(s)); }
static void vt__sched_segv(int sig, void *info, void *context) {
    size_t at = sizeof(void *) == 8 ? 16 : 12; /* siginfo's address of the fault */
    char *addr;
    memcpy(&addr, (char *)info + at, sizeof addr);
    vt__vth *v = vt__sched_self();
    char *base = v ? vt__stack_base(v->stack) : NULL, num[21];
    int code; /* the third field of siginfo; positive: by the kernel, and there is an address */
    memcpy(&code, (char *)info + 2 * sizeof code, sizeof code);
    (void)context;
    if (v && code > 0 && addr >= base && addr < base + vt__stack_g.guard) {
        num[vt__str_put_u64(num, vt__stack_g.stride - vt__stack_g.guard)] = 0;
        vt__sched_put("vthttp: error: stack overflow in virtual thread '");
        vt__sched_put(v->name);
        vt__sched_put("' spawned at ");
        vt__sched_put(v->site ? v->site : "?");
        vt__sched_put(" (stack of ");
        vt__sched_put(num);
        vt__sched_put(" bytes; raise vt_cfg.stack_bytes)\n");
    }
    /* the fault repeats, under who was here before; what was sent, as by kill, does not of itself */
    (void)vt__plat_sigaction(sig, &vt__sched_g.old_segv, NULL);
    if (code <= 0) (void)vt__plat_kill(sig);
}
static void vt__sched_segv_install(void) {
    struct vt__plat_sa sa;
    if (vt__sched_g.cfg.no_segv_handler || VT__ASAN || VT__TSAN) return;
    memset(&sa, 0, sizeof sa);
    sa.fn.action = vt__sched_segv;
    sa.flags = VT__SA_SIGINFO | VT__SA_ONSTACK | VT__SA_NODEFER;
    vt__sched_g.segv = vt__plat_sigaction(SIGSEGV, &sa, &vt__sched_g.old_segv) == 0;
}
/* Puts back who was here before `fn`, unless the program has put somebody else in its place. */
static void vt__sched_signal_back(int sig, void (*fn)(int, void *, void *), const struct vt__plat_sa *old) {
    struct vt__plat_sa now;
    if (vt__plat_sigaction(sig, NULL, &now) < 0 || now.fn.action != fn) return;
    (void)vt__plat_sigaction(sig, old, NULL);
}
static void vt__sched_sigstack(vt__thr *t, bool on) {
    struct vt__plat_ss ss, old;
    if (vt__sched_g.cfg.no_segv_handler || VT__ASAN || VT__TSAN) return;
    memset(&ss, 0, sizeof ss);
    if (on) {
        if (vt__plat_sigaltstack(NULL, &old) < 0 || !(old.flags & 2 /* SS_DISABLE */))
            return; /* it has one */
        t->sigstack = vt__mem_alloc(32768);
        ss.sp = t->sigstack;
        ss.size = 32768;
        if (t->sigstack) (void)vt__plat_sigaltstack(&ss, NULL);
    } else if (t->sigstack) {
        ss.flags = 2;
        (void)vt__plat_sigaltstack(&ss, NULL);
        vt__mem_free(t->sigstack);
        t->sigstack = NULL;
    }
}

/*==============================================================================
 * MARK: - @rt      start and end of the runtime; tasks: spawned, joined, stopped; counters
 * uses:   @api_base @plat @mem @ds @log @ctx @stack @timer @poll @sched
 * test:   tests/test_sched.c
 *
 * What of virtual threads happens once in their lives, or once in the runtime's; what happens at every turn is @sched.
 *============================================================================*/
/*--- start and end of the runtime ---*/
VT_API void vt_cfg_defaults(vt_cfg *cfg) {
    unsigned long mask[1024 / (8 * sizeof(unsigned long))];
    memset(cfg, 0, sizeof *cfg);
    memset(mask, 0, sizeof mask);
    if (vt__plat_affinity(sizeof mask, mask) >= 0)
        for (size_t i = 0; i < VT__COUNT(mask); i++) cfg->workers += __builtin_popcountl(mask[i]);
    if (cfg->workers < 1) cfg->workers = 1;
    if (cfg->workers > VT__WORKERS_MAX) cfg->workers = VT__WORKERS_MAX;
#if VT__ASAN || VT__TSAN
    cfg->stack_bytes = 512 * 1024;
#elif defined(__OPTIMIZE__)
    cfg->stack_bytes = 64 * 1024;
#else
    cfg->stack_bytes = 256 * 1024;
#endif
    cfg->guard_bytes = 32 * 1024;
    cfg->max_vthreads = 1000000;
    cfg->max_blocking = 64;
    cfg->stall_ms = VT__ASAN || VT__TSAN || VTHTTP_VALGRIND ? 1000 : 20;
    cfg->max_spares = 64;
}
static int vt__rt_cfg_bad(const char *field) {
    vt_log(VT_LOG_ERROR, "vt_cfg.%s is out of range", field);
    return -EINVAL;
}
static int vt__rt_configure(const vt_cfg *in) {
    vt_cfg *c = &vt__sched_g.cfg;
    vt_cfg_defaults(c);
    if (!in) return 0;
    if (in->workers < 0 || in->workers > VT__WORKERS_MAX) return vt__rt_cfg_bad("workers");
    if (in->stack_bytes && (in->stack_bytes < 16384 || in->stack_bytes > (size_t)1 << 30))
        return vt__rt_cfg_bad("stack_bytes");
    if (in->guard_bytes > (size_t)1 << 30) return vt__rt_cfg_bad("guard_bytes");
    if (in->max_vthreads < VT_NONE) return vt__rt_cfg_bad("max_vthreads");
    if (in->max_blocking < 0 || in->max_blocking > 4096) return vt__rt_cfg_bad("max_blocking");
    if (in->stall_ms < VT_NONE || in->stall_ms > 3600000) return vt__rt_cfg_bad("stall_ms");
    if (in->deadlock < VT_NONE || in->deadlock > 1) return vt__rt_cfg_bad("deadlock");
    if (in->max_spares < VT_NONE || in->max_spares > VT__SPARES_MAX) return vt__rt_cfg_bad("max_spares");
    if (in->workers) c->workers = in->workers;
    if (in->stack_bytes) c->stack_bytes = in->stack_bytes;
    if (in->guard_bytes) c->guard_bytes = in->guard_bytes;
    if (in->max_vthreads) c->max_vthreads = in->max_vthreads == VT_NONE ? INT64_MAX / 2 : in->max_vthreads;
    if (in->max_blocking) c->max_blocking = in->max_blocking;
    if (in->stall_ms) c->stall_ms = in->stall_ms;
    if (in->max_spares) c->max_spares = in->max_spares == VT_NONE ? 0 : in->max_spares;
    c->deadlock = in->deadlock;
    c->no_segv_handler = in->no_segv_handler;
    return 0;
}

/* NULL: no memory. A worker's domain comes with it (vt__rt_worker_new), a spare's is another's. */
static vt__thr *vt__rt_thr_new(int index, int64_t now) {
    vt__thr *t = vt__mem_zalloc(sizeof *t);
    if (!t) return NULL;
    t->index = index;
    t->now = now;
    vt__timer_wheel_init(&t->wheel, now);
    vt__ds_list_init(&t->all);
    vt__ds_list_init(&t->mark);
    vt__mem_pool_init(&t->task_pool, sizeof(vt_task), 1024);
    vt__mem_pool_init(&t->buf_pool, VT__BUF_BYTES, 256);
    vt__mem_pool_init(&t->block_pool, VT__ARENA_BLOCK_BYTES, 256);
    vt__mem_pool_init(&t->fdws.pool, sizeof(vt__poll_fdw), UINT32_MAX); /* type-stable: keeps all */
    return t;
}
/* What it keeps for the next vthreads. */
static void vt__rt_thr_slim(vt__thr *t) {
    vt__stack_cache_free(&t->stacks);
    vt__mem_pool_drain(&t->task_pool);
    vt__mem_pool_drain(&t->buf_pool);
    vt__mem_pool_drain(&t->block_pool);
}
static void vt__rt_thr_free(vt__thr *t) {
    if (VTHTTP_HOOKS) vt__sched_up.gone(t);
    vt__rt_thr_slim(t);
    vt__poll_fdws_free(&t->fdws);
    vt__mem_free(t);
}
/* What there is of it after an error is in the tables all the same. */
static int vt__rt_worker_new(int index, int64_t now) {
    vt__dom *d = vt__sched_g.doms[index] = vt__mem_zalloc(sizeof *d);
    vt__thr *t = vt__sched_g.thrs[index] = d ? vt__rt_thr_new(index, now) : NULL;
    int r = d ? vt__poll_dom_init(d, index, now) : -ENOMEM;
    if (!t) return -ENOMEM;
    t->dom = t->fdws.dom = d;
    d->owner = t;
    return r;
}

static void vt__rt_enter_thread(vt__thr *t) {
    vt__sched_tls = t;
    t->err = &errno;
#if defined(__linux__)
    __atomic_store_n(&t->tid, vt__plat_gettid(), __ATOMIC_RELAXED);
#endif
    vt__ctx_init_thread(&t->main);
    vt__sched_sigstack(t, true);
    vt__sched_drive(t);
}
static void vt__rt_leave_thread(vt__thr *t) {
    vt__sched_undrive(t);
    vt__sched_sigstack(t, false);
    vt__sched_tls = NULL;
}
static void *vt__rt_thread(void *arg) {
    vt__thr *t = arg;
    vt__rt_enter_thread(t);
    while (!__atomic_load_n(&vt__sched_g.quit, __ATOMIC_ACQUIRE)) vt__sched_pass(t, -1);
    vt__rt_leave_thread(t);
    return NULL;
}

static void vt__rt_forking(void) { __atomic_store_n(&vt__poll_forked, true, __ATOMIC_SEQ_CST); }
/* In a forked child nothing of the runtime runs: calls fail as they do without one. */
static void vt__rt_forked(void) {
    vt__sched_tls = NULL;
    if (__atomic_load_n(&vt__sched_g.state, __ATOMIC_SEQ_CST))
        __atomic_store_n(&vt__sched_g.state, 2, __ATOMIC_SEQ_CST);
}

static void vt__rt_free(void) {
    __atomic_store_n(&vt__sched_g.state, 3, __ATOMIC_SEQ_CST);
    if (vt__sched_up.stop) vt__sched_up.stop();
    if (vt__sched_up.ended) vt__sched_up.ended();
    while (__atomic_load_n(&vt__sched_g.guests, __ATOMIC_SEQ_CST)) vt__plat_sleep(10000);
    for (int i = 0; i < vt__sched_g.nthrs; i++) /* cancels that came too late still hold their tasks */
        if (vt__sched_g.thrs[i]) vt__sched_told(vt__sched_g.thrs[i]);
    for (int i = 0; i < vt__sched_g.nthrs; i++)
        if (vt__sched_g.thrs[i]) vt__rt_thr_free(vt__sched_g.thrs[i]);
    for (int i = 0; i < vt__sched_g.ndoms; i++) {
        if (vt__sched_g.doms[i]) vt__poll_dom_free(vt__sched_g.doms[i]);
        vt__mem_free(vt__sched_g.doms[i]);
    }
    vt__mem_free(vt__sched_g.thrs);
    vt__mem_free(vt__sched_g.doms);
    vt__stack_teardown();
    if (vt__sched_g.segv) vt__sched_signal_back(SIGSEGV, vt__sched_segv, &vt__sched_g.old_segv);
    vt__sched_g.thrs = NULL;
    vt__sched_g.doms = NULL;
    vt__sched_g.ndoms = vt__sched_g.nthrs = 0;
    vt__sched_g.segv = false;
    __atomic_store_n(&vt__sched_g.state, 0, __ATOMIC_SEQ_CST);
}

static int vt__rt_make(const vt_cfg *cfg) {
    static bool registered;
    int r = vt__ctx_check();
    if (r < 0) vt_log(VT_LOG_ERROR, "hardware shadow stacks are on; build without -fcf-protection=return");
    if (r < 0 || (r = vt__rt_configure(cfg)) < 0) return r;
    if (!registered) registered = pthread_atfork(vt__rt_forking, NULL, vt__rt_forked) == 0;
    const vt_cfg *c = &vt__sched_g.cfg;
    int n = c->workers;
    vt__sched_g.fixed = n == 1 &&
                        (vt__sched_g.host || VTHTTP_SIM || c->stall_ms == VT_NONE || !c->max_spares);
    vt__sched_g.thrs = vt__mem_zalloc((size_t)(n + c->max_spares) * sizeof *vt__sched_g.thrs);
    vt__sched_g.doms = vt__mem_zalloc((size_t)n * sizeof *vt__sched_g.doms);
    if (!vt__sched_g.thrs || !vt__sched_g.doms) return -ENOMEM;
    vt__poll_up.wake = vt__sched_wake;
    vt__stack_setup(c->stack_bytes, c->guard_bytes);
    int64_t now = vt__plat_now(), per = c->max_vthreads / (64 * n);
    vt__sched_g.credit = c->max_vthreads;
    vt__sched_g.credit_full = (uint32_t)VT__MIN(per, 64); /* 0: a small limit is held to exactly */
    vt__sched_g.credit_batch = vt__sched_g.credit_full;
    for (r = 0; r >= 0 && vt__sched_g.ndoms < n; vt__sched_g.nthrs = ++vt__sched_g.ndoms)
        r = vt__rt_worker_new(vt__sched_g.ndoms, now);
    if (r < 0) return r;
    /* Without a single stack nothing could ever start, and nobody would learn why. */
    if (!vt__stack_refill(&vt__sched_g.thrs[0]->stacks)) return -ENOMEM;
    vt__sched_segv_install();
    return 0;
}
static int vt__rt_open(const vt_cfg *cfg, bool host) {
    uint32_t none = 0;
    if (!__atomic_compare_exchange_n(&vt__sched_g.state, &none, 4, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        return none == 2 ? -ENOTSUP : -EBUSY;
    vt__sched_g.stopping = vt__sched_g.main_done = vt__sched_g.closed = vt__sched_g.quit = 0;
    vt__sched_g.foreign = vt__sched_g.stalls = vt__sched_g.stalled_ns = vt__sched_g.handoffs = 0;
    vt__sched_g.host = host;
    vt__sched_g.runs++;
    memset(vt__sched_g.idle, 0, sizeof vt__sched_g.idle);
    int r = vt__rt_make(cfg);
    if (r < 0) vt__rt_free();
    else __atomic_store_n(&vt__sched_g.state, 1, __ATOMIC_SEQ_CST);
    return r;
}

/*--- spawning ---*/
/* What a child inherits, until it starts. */
typedef struct vt__heritage {
    vt_fn *fn;
    void *arg;
    uint32_t keys;
    void *values[];
} vt__heritage;
static int vt__rt_inherit_main(void *arg) {
    vt__heritage *h = arg;
    vt__vth *v = vt__sched_self();
    v->fn = h->fn;
    v->arg = h->arg;
    v->nlocals = (uint8_t)(32 - __builtin_clz(h->keys));
    v->heritage = v->borrowed = (uint16_t)h->keys;
    for (int key = 0, i = 0; key < v->nlocals; key++)
        v->locals[key] = h->keys >> key & 1 ? h->values[i++] : NULL;
    vt__mem_free(h);
    return v->fn(v->arg);
}
/* Whether the caller has values that its children get, too. */
VT__INLINE bool vt__rt_bequeaths(const vt__thr *t) { return t->cur && VT__UNLIKELY(t->cur->heritage); }
/* Lets the task begin with what its parent hands on. 0 or -ENOMEM. */
static VT__NOINLINE int vt__rt_inherit(const vt__thr *t, vt_task *task) {
    const vt__vth *v = t->cur;
    int n = __builtin_popcount(v->heritage), i = 0;
    vt__heritage *h = vt__mem_alloc(sizeof *h + (size_t)n * sizeof *h->values);
    if (!h) return -ENOMEM;
    h->fn = task->fn;
    h->arg = task->arg;
    h->keys = v->heritage;
    for (int key = 0; key < v->nlocals; key++)
        if (v->heritage >> key & 1) h->values[i++] = v->locals[key];
    task->fn = vt__rt_inherit_main;
    task->arg = h;
    return 0;
}
VT__INLINE void vt__rt_task_init(vt_task *task, vt__thr *t, vt_fn *fn, void *arg, const char *site,
                                 uint32_t flags) {
    task->node.result = VT__SCHED_NEW;
    task->fn = fn;
    task->arg = arg;
    task->site = site;
    task->deadline = t && t->cur ? t->cur->deadline : 0;
    task->flags = flags;
    task->thr = t;
    task->v = task->here = NULL;
}
/* The usual spawn: for this thread itself, with all that it takes at hand. NULL: vt__rt_spawn_slow is to do it. */
VT__INLINE vt_task *vt__rt_spawn(vt_fn *fn, void *arg, const char *site, uint32_t flags) {
    vt__thr *t = vt__sched_tls;
    if (!t || !t->live_credit || __atomic_load_n(&vt__sched_g.stopping, __ATOMIC_RELAXED)) return NULL;
    if (vt__rt_bequeaths(t)) return NULL;
    vt_task *task = vt__mem_pool_try(&t->task_pool);
    if (!task) return NULL;
    t->live_credit--;
    vt__plat_count(&t->spawned, 1);
    vt__rt_task_init(task, t, fn, arg, site, flags);
    vt__sched_run_push(t, &task->node);
    return task;
}
/* A task that is counted and not launched yet, on a worker. */
static int vt__rt_prepare(vt__thr *t, vt_fn *fn, void *arg, const char *site, uint32_t flags, vt_task **out) {
    if (__atomic_load_n(&vt__sched_g.stopping, __ATOMIC_RELAXED)) return VT_ESTOPPED;
    int r = vt__sched_credit_take(t);
    if (r < 0) return r;
    vt_task *task = *out = vt__mem_pool_get(&t->task_pool);
    if (task) vt__rt_task_init(task, t, fn, arg, site, flags);
    r = !task ? -ENOMEM : vt__rt_bequeaths(t) ? vt__rt_inherit(t, task) : 0;
    if (r == 0) {
        vt__plat_count(&t->spawned, 1);
        return 0;
    }
    if (task) vt__sched_task_drop(task);
    vt__sched_credit_put(t);
    return r;
}
/* `flags` are those of its spawn: the task's own others may be changing, if they know it already. */
static void vt__rt_launch(vt__thr *t, vt_task *task, uint32_t flags) {
    if (!(flags & VT__TASK_ANY)) {
        vt__sched_run_push(t, &task->node);
        return;
    }
    vt__sched_any_push(t->dom, task, task, 1);
    if (vt__sched_g.ndoms > 1) (void)vt__sched_wake_idle(t);
    vt__thr *driver = vt__sched_driver(t->dom);
    if (VT__UNLIKELY(driver != t)) (void)vt__sched_kick(driver);
}
/* On a thread that is no worker, between vt__sched_guest_in and out. */
static int vt__rt_spawn_guest(vt_fn *fn, void *arg, const char *site, uint32_t flags, vt_task **out) {
    int r = __atomic_load_n(&vt__sched_g.stopping, __ATOMIC_RELAXED) ? VT_ESTOPPED
                                                                     : vt__sched_credit_take(NULL);
    if (r < 0) return r;
    vt_task *task = *out = vt__mem_alloc(sizeof *task);
    __atomic_fetch_add(&vt__sched_g.foreign, 1, __ATOMIC_SEQ_CST);
    if (!task) r = -ENOMEM;
    else if (__atomic_load_n(&vt__sched_g.closed, __ATOMIC_SEQ_CST)) r = VT_ESTOPPED;
    if (r < 0) {
        __atomic_fetch_sub(&vt__sched_g.foreign, 1, __ATOMIC_SEQ_CST);
        __atomic_fetch_add(&vt__sched_g.credit, 1, __ATOMIC_ACQ_REL);
        vt__mem_free(task);
        (void)vt__sched_kick(
            vt__sched_g.thrs[0]); /* whoever closed may have counted it, and waits for its end */
        return r;
    }
    vt__rt_task_init(task, NULL, fn, arg, site, flags | VT__TASK_ANY);
    uint32_t i = __atomic_fetch_add(&vt__sched_g.next_dom, 1, __ATOMIC_RELAXED);
    vt__dom *dom = vt__sched_g.doms[i % (uint32_t)vt__sched_g.ndoms];
    vt__sched_any_push(dom, task, task, 1);
    if (!vt__sched_kick(vt__sched_driver(dom))) (void)vt__sched_wake_idle(NULL); /* it may be busy for long */
    return 0;
}
static VT__NOINLINE int vt__rt_spawn_slow(vt_fn *fn, void *arg, const char *site, uint32_t flags,
                                          vt_task **out) {
    vt__thr *t = vt__sched_tls;
    int r;
    if (t) {
        if ((r = vt__rt_prepare(t, fn, arg, site, flags, out)) == 0) vt__rt_launch(t, *out, flags);
        return r;
    }
    if (!vt__sched_guest_in()) return vt__sched_absent();
    r = vt__rt_spawn_guest(fn, arg, site, flags, out);
    vt__sched_guest_out();
    return r;
}
static VT__NOINLINE int vt__rt_go(vt_fn *fn, void *arg, const char *site, uint32_t flags) {
    vt_task *task;
    return vt__rt_spawn_slow(fn, arg, site, flags | VT__TASK_DETACHED, &task);
}
static VT__NOINLINE vt_task *vt__rt_async(vt_fn *fn, void *arg, const char *site, uint32_t flags) {
    vt_task *task;
    int i = 0, err = vt__rt_spawn_slow(fn, arg, site, flags, &task);
    if (err == 0) return task;
    while (i < (int)VT__COUNT(vt__sched_failed) - 1 && vt__sched_failed[i].result != err) i++;
    return &vt__sched_failed[i];
}
VT_API int vt_go_at(vt_fn *fn, void *arg, const char *site) {
    if (VT__LIKELY(vt__rt_spawn(fn, arg, site, VT__TASK_DETACHED) != NULL)) return 0;
    return vt__rt_go(fn, arg, site, 0);
}
VT_API int vt_go_any_at(vt_fn *fn, void *arg, const char *site) {
    return vt__rt_go(fn, arg, site, VT__TASK_ANY);
}
VT_API vt_task *vt_async_at(vt_fn *fn, void *arg, const char *site) {
    vt_task *task = vt__rt_spawn(fn, arg, site, 0);
    if (VT__LIKELY(task != NULL)) return task;
    return vt__rt_async(fn, arg, site, 0);
}
VT_API vt_task *vt_async_any_at(vt_fn *fn, void *arg, const char *site) {
    return vt__rt_async(fn, arg, site, VT__TASK_ANY);
}

/*--- joining ---*/
/* A task is mostly awaited on the thread that runs it. Its end and the wait cannot meet there: who waits is in `here`,
 * the thread's business, and the end gives it the result and frees the task, without an atomic operation. From another
 * thread, or when the task may start on any, `flags` decides: whoever of WAITER and DONE is set second sees the first.
 * Either way a cancel's message that is on its way keeps the task's memory until it has come. */
static bool vt__rt_await_abort_here(vt__vth *v) {
    vt_task *t = v->wait_obj; /* has not ended: that would have ended the wait */
    __atomic_store_n(&t->here, NULL, __ATOMIC_RELAXED);
    return true;
}
static bool vt__rt_await_abort(vt__vth *v) {
    vt_task *t = v->wait_obj;
    uint32_t f = __atomic_load_n(&t->flags, __ATOMIC_ACQUIRE);
    do {
        if (f & VT__TASK_DONE) return false; /* it has made us ready, or is about to */
    } while (!__atomic_compare_exchange_n(&t->flags, &f, f & ~(uint32_t)VT__TASK_WAITER, true,
                                          __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
    return true;
}
static VT__NOINLINE int vt__rt_await_far(vt__vth *v, vt_task *t, int64_t due, int *result) {
    t->joiner = v;
    v->wait_obj = t;
    uint32_t f = __atomic_fetch_or(&t->flags, VT__TASK_WAITER, __ATOMIC_ACQ_REL);
    int r = f & VT__TASK_DONE ? 0 : vt__sched_park(v, vt__rt_await_abort, due);
    if (r < 0) return r;
    if (result) *result = t->result;
    vt__sched_task_joined(t);
    return 0;
}
static VT__NOINLINE int vt__rt_await_done(vt__vth *v, vt_task *t, int *result) {
    vt__sched_fuel(v);
    if (result) *result = t->result;
    vt__sched_task_joined(t);
    return 0;
}
VT_API int vt_await_until(vt_task *t, int64_t until, int *result) {
    vt__vth *v = vt__sched_self();
    int64_t due;
    uint32_t f = __atomic_load_n(&t->flags, __ATOMIC_ACQUIRE);
    if (f & VT__TASK_STATIC) return t->result;
    if (!v) return -EPERM;
    if (v->task == t) return -EDEADLK;
    if (f & VT__TASK_DONE) return vt__rt_await_done(v, t, result);
    if (f & VT__TASK_WAITER || __atomic_load_n(&t->here, __ATOMIC_RELAXED)) return -EBUSY;
    int r = vt__sched_enter(v, until, &due);
    if (r < 0) return r;
    if (f & VT__TASK_ANY || t->thr != v->thr) return vt__rt_await_far(v, t, due, result);
    __atomic_store_n(&t->here, v, __ATOMIC_RELAXED);
    t->here_result = result;
    v->wait_obj = t;
    return vt__sched_park(v, vt__rt_await_abort_here, due);
}
VT_API int vt_await(vt_task *t, int *result) { return vt_await_until(t, 0, result); }
VT_API int vt_task_done(const vt_task *t) {
    return (__atomic_load_n(&t->flags, __ATOMIC_ACQUIRE) & VT__TASK_DONE) != 0;
}
VT_API void vt_task_free(vt_task *t) {
    if (t && !(__atomic_load_n(&t->flags, __ATOMIC_RELAXED) & VT__TASK_STATIC)) vt__sched_release(t, 0);
}
VT_API void vt_cancel(vt_task *t) {
    if (t && !(__atomic_load_n(&t->flags, __ATOMIC_RELAXED) & VT__TASK_STATIC)) vt__sched_cancel(t);
}
/*--- running ---*/
struct vt__sched_first {
    vt_fn *fn;
    void *arg;
};
static int vt__rt_main(void *arg) {
    struct vt__sched_first *m = arg;
    vt__sched_g.main_result = m->fn(m->arg);
    __atomic_store_n(&vt__sched_g.main_done, 1, __ATOMIC_SEQ_CST);
    return 0;
}
VT_API int vt_run(const vt_cfg *cfg, vt_fn *fn, void *arg) {
    struct vt__sched_first m = {fn, arg};
    int r = vt__rt_open(cfg, false), started = 1;
    if (r < 0) return r;
    vt__thr *t = vt__sched_g.thrs[0];
    vt__rt_enter_thread(t);
    r = vt_go_at(vt__rt_main, &m, "vt_run");
    for (; r >= 0 && started < vt__sched_g.ndoms; started++) {
        vt__thr *other = vt__sched_g.thrs[started];
        if ((r = vt__plat_thread(&other->os, vt__rt_thread, other)) < 0) break;
    }
    if (r < 0) __atomic_store_n(&vt__sched_g.quit, 1, __ATOMIC_SEQ_CST);
    else if (vt__sched_up.start) vt__sched_up.start();
    while (!__atomic_load_n(&vt__sched_g.quit, __ATOMIC_ACQUIRE)) vt__sched_pass(t, -1);
    vt__rt_leave_thread(t);
    for (int i = 1; i < started; i++) {
        (void)vt__sched_kick(vt__sched_g.thrs[i]);
        vt__plat_join(vt__sched_g.thrs[i]->os);
    }
    if (r >= 0) r = vt__sched_g.main_result;
    else if (t->last) vt__sched_task_drop((vt_task *)(void *)t->last);
    vt__rt_free();
    return r;
}

static void vt__rt_stop_here(struct vt__dom *dom, vt__msg *m) {
    (void)dom, (void)m;
    if (vt__sched_tls) vt__sched_cancel_all(vt__sched_tls); /* else all has ended before it came */
}
/* What waits for the stop without a vthread learns it from whoever drives the domain: a thread may have stalled. */
static void vt__rt_stop_work(struct vt__dom *dom, vt__msg *m) {
    (void)dom, (void)m;
    vt__sched_up.stopping();
}
VT_API void vt_stop(void) {
    static vt__msg msgs[VT__THREADS_MAX], work = {.fn = vt__rt_stop_work};
    if (!vt__sched_guest_in()) return;
    bool first = !__atomic_exchange_n(&vt__sched_g.stopping, 1, __ATOMIC_SEQ_CST);
    for (int i = 0, n = vt__sched_nthrs(); first && i < n; i++) {
        msgs[i].fn = vt__rt_stop_here;
        vt__sched_tell(vt__sched_g.thrs[i], &msgs[i]);
    }
    if (first && vt__sched_up.stopping) vt__sched_post(vt__sched_g.doms[0], &work);
    vt__sched_guest_out();
}

/*--- counters ---*/
VT_API int vt_worker_count(void) {
    if (!vt__sched_guest_in()) return 0;
    int n = vt__sched_g.ndoms + (vt__sched_g.fixed ? 0 : vt__sched_g.cfg.max_spares);
    vt__sched_guest_out();
    return n;
}
VT_API void vt_stats_get(vt_stats *out) {
    memset(out, 0, sizeof *out);
    if (!vt__sched_guest_in()) return;
    for (int i = 0, n = vt__sched_nthrs(); i < n; i++) {
        const vt__thr *t = vt__sched_g.thrs[i];
        out->spawned += __atomic_load_n(&t->spawned, __ATOMIC_RELAXED);
        out->ended += __atomic_load_n(&t->ended, __ATOMIC_RELAXED);
        out->switches += __atomic_load_n(&t->switches, __ATOMIC_RELAXED);
        out->steals += __atomic_load_n(&t->steals, __ATOMIC_RELAXED);
        out->timers_rearmed += __atomic_load_n(&t->rearmed, __ATOMIC_RELAXED);
        out->timers_fired += __atomic_load_n(&t->wheel.fired, __ATOMIC_RELAXED);
    }
    for (int i = 0; i < vt__sched_g.ndoms; i++) {
        out->polls += __atomic_load_n(&vt__sched_g.doms[i]->polls, __ATOMIC_RELAXED);
        out->wakes += __atomic_load_n(&vt__sched_g.doms[i]->wakes, __ATOMIC_RELAXED);
    }
    out->stalls = __atomic_load_n(&vt__sched_g.stalls, __ATOMIC_RELAXED);
    out->stalled_ns = __atomic_load_n(&vt__sched_g.stalled_ns, __ATOMIC_RELAXED);
    out->handoffs = __atomic_load_n(&vt__sched_g.handoffs, __ATOMIC_RELAXED);
    out->spawned += __atomic_load_n(&vt__sched_g.foreign, __ATOMIC_RELAXED);
    vt__plat_spin_lock(&vt__stack_g.spin);
    out->stacks = (int64_t)vt__stack_g.made;
    out->guard_kind = vt__stack_g.kind;
    vt__plat_spin_unlock(&vt__stack_g.spin);
    vt__sched_guest_out();
}

/*==============================================================================
 * MARK: - @host    the runtime inside a program's own loop
 * uses:   @api_rt @plat @timer @poll @sched @rt
 * test:   tests/test_sched.c
 *
 * vt_open makes the calling thread the one worker; it runs when vt_run_once is called and is the program's otherwise,
 * so nobody takes its domain over, and its lock is kept between the calls.
 *============================================================================*/
VT_API int vt_open(const vt_cfg *cfg) {
    vt_cfg one;
    if (cfg) one = *cfg;
    else memset(&one, 0, sizeof one);
    one.workers = 1;
    int r = vt__rt_open(&one, true);
    if (r < 0) return r;
    vt__rt_enter_thread(vt__sched_g.thrs[0]);
    if (vt__sched_up.start) vt__sched_up.start();
    return 0;
}
VT_API int vt_run_once(int64_t until) {
    vt__thr *t = vt__sched_tls;
    if (!t || t->cur || !vt__sched_g.host) return -EPERM;
    __atomic_store_n(&t->sleeping, 0, __ATOMIC_SEQ_CST); /* before the look: the monitor parks, then looks */
    if (VT__UNLIKELY(__atomic_load_n(&vt__sched_g.watch_parked, __ATOMIC_SEQ_CST))) vt__sched_up.awake();
    vt__sched_pass(t, until);
    if (t->last || vt__sched_has_mail(t)) vt__sched_pass(t, 0); /* what the events made ready */
    /* From now on others write the wake-up descriptor; for what is there already it is done here. */
    __atomic_store_n(&t->sleeping, VT__SCHED_POLLS, __ATOMIC_SEQ_CST);
    bool more = vt__sched_has_mail(t) || t->last || __atomic_load_n(&t->dom->any_count, __ATOMIC_SEQ_CST);
    if (more) (void)vt__sched_kick(t);
    return (int)VT__MIN(t->spawned + __atomic_load_n(&vt__sched_g.foreign, __ATOMIC_ACQUIRE) - t->ended,
                        INT_MAX);
}
VT_API int vt_poll_fd(void) {
#if VTHTTP_POLL
    return -ENOTSUP;
#else
    vt__thr *t = vt__sched_tls;
    return t && vt__sched_g.host ? t->dom->epfd : -EPERM;
#endif
}
VT_API int64_t vt_next_deadline(void) {
    vt__thr *t = vt__sched_tls;
    if (!t || t->cur || !vt__sched_g.host) return VT_ESTATE;
    if (vt__sched_has_work(t) || vt__sched_has_mail(t)) return 0;
    __atomic_store_n(&t->sleeping, VT__SCHED_POLLS,
                     __ATOMIC_SEQ_CST); /* others write the wake-up descriptor now */
    if (vt__sched_has_mail(t) || __atomic_load_n(&t->dom->any_count, __ATOMIC_SEQ_CST)) return 0;
    int64_t due = VT__MIN(vt__timer_next(&t->wheel), vt__timer_next(&t->dom->wheel));
    return due == INT64_MAX ? VT_NONE : due;
}
VT_API int vt_poll_fill(vt_pollfd *fds, int cap) {
    vt__thr *t = vt__sched_tls;
    int n = 0;
    if (!t || !vt__sched_g.host) return -EPERM;
#if VTHTTP_POLL
    int all = vt__poll_build(t->dom);
    if (all < 0) return all;
    for (int i = 0; i < all; i++) {
        if (t->dom->now.fds[i].fd < 0) continue;
        int ev = (t->dom->now.fds[i].events & POLLIN ? VT_READ : 0) |
                 (t->dom->now.fds[i].events & POLLOUT ? VT_WRITE : 0);
        if (n < cap) fds[n].fd = t->dom->now.fds[i].fd, fds[n].events = ev;
        n++;
    }
#else
    if (cap > 0) fds[0].fd = t->dom->epfd, fds[0].events = VT_READ;
    n = 1;
#endif
    return n;
}
VT_API int vt_shutdown(void) {
    vt__thr *t = vt__sched_tls;
    if (!t || t->cur || !vt__sched_g.host) return -EPERM;
    vt_stop();
    /* The question whether all has ended is asked behind the announcement of the sleep, as by every worker. */
    __atomic_store_n(&vt__sched_g.main_done, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&vt__sched_g.quit, __ATOMIC_ACQUIRE)) vt__sched_pass(t, -1);
    vt__rt_leave_thread(t);
    vt__rt_free();
    return 0;
}

/*==============================================================================
 * MARK: - @self    what a vthread does to itself: yield, sleep, names, deadlines, local values, clean-ups
 * uses:   @api_base @api_rt @plat @mem @sched
 * test:   tests/test_sched.c
 *============================================================================*/
VT_API int vt_cancelled(void) {
    const vt__vth *v = vt__sched_self();
    if (!v || v->shield) return 0;
    /* the flag itself: a vthread that computes must hear of it before its thread gets to the message */
    bool asked = v->cancel ||
                 (v->task && __atomic_load_n(&v->task->flags, __ATOMIC_RELAXED) & VT__TASK_CANCEL);
    return asked ? -ECANCELED : 0;
}
VT_API void vt_shield(bool on) {
    vt__vth *v = vt__sched_self();
    if (v && (on || v->shield > 0)) v->shield += on ? 1 : -1;
}
/* By the clock of the pass: reading it here would cost more than the yield. Others run first: who yields until another has
 * done something, and does not look at the result, is not to keep that other from it. */
static VT__NOINLINE int vt__self_yield_slow(vt__thr *t, vt__vth *v) {
    if (vt__sched_cancelled(v)) return -ECANCELED;
    int r = v->dated && !v->shield && t->now >= v->deadline ? -ETIMEDOUT : 0;
    vt__node *n = v->node.next;
    if (n == &v->node) return vt__sched_fuel(v), r;
    t->last = &v->node;
    v->node.result = r; /* whoever gives it its next turn passes it on */
    return vt__sched_away(t, v, n);
}
VT_API int vt_yield(void) {
    vt__thr *t = vt__sched_tls;
    vt__vth *v = t ? t->cur : NULL;
    if (VT__UNLIKELY(!v)) return -EPERM;
    if (VT__UNLIKELY(v->cancel || v->dated)) return vt__self_yield_slow(t, v);
    vt__node *n = v->node.next;
    if (n == &v->node) return vt__sched_fuel(v), 0;
    t->last = &v->node;
    return vt__sched_away(t, v, n);
}
VT_API int vt_sleep_until(int64_t until) {
    vt__vth *v = vt__sched_self();
    int64_t due, now = vt__plat_now();
    if (!v) {
        if (until > now) vt__plat_sleep(until - now);
        return until == VT_NONE ? -EPERM : 0;
    }
    if (until == VT_NONE) until = INT64_MAX;
    else if (until <= now) until = now + 1; /* still lets others run */
    int r = vt__sched_enter(v, until, &due);
    if (r == 0) r = vt__sched_park(v, vt__sched_sleep_abort, due);
    return r == -ETIMEDOUT && due == until ? 0 : r;
}
VT_API int vt_sleep(int64_t ns) {
    int64_t now = vt__plat_now();
    return vt_sleep_until(ns <= 0 ? now : ns > INT64_MAX - now ? INT64_MAX : now + ns);
}
VT_API int vt_sleep_ms(int64_t ms) {
    return vt_sleep(ms <= 0 ? 0 : ms > INT64_MAX / VT_MS ? INT64_MAX : ms * VT_MS);
}
VT_API int64_t vt_deadline(void) {
    const vt__vth *v = vt__sched_self();
    return v ? v->deadline : 0;
}
VT_API int64_t vt_deadline_set(int64_t until) {
    vt__vth *v = vt__sched_self();
    if (!v) return 0;
    int64_t old = v->deadline;
    vt__sched_deadline_set(v, until < 0 ? 0 : until);
    return old;
}
VT_API const char *vt_name(void) {
    const vt__vth *v = vt__sched_self();
    return v ? v->name : NULL;
}
VT_API void vt_name_set(const char *name) {
    vt__vth *v = vt__sched_self();
    if (!v) return;
    size_t n = name ? strlen(name) : 0;
    n = VT__MIN(n, sizeof v->name - 1);
    if (n) memcpy(v->name, name, n);
    v->name[n] = 0;
}
VT_API int vt_on_vthread(void) { return vt__sched_self() != NULL; }
VT_API int vt_worker(void) {
    const vt__thr *t = vt__sched_tls;
    return t ? t->index : -1;
}

VT_API int vt_local_key(void (*destroy)(void *value)) {
    int key = __atomic_fetch_add(&vt__sched_g.nlocals, 1, __ATOMIC_ACQ_REL);
    if (key >= VT_LOCAL_KEYS_MAX) {
        __atomic_fetch_sub(&vt__sched_g.nlocals, 1, __ATOMIC_ACQ_REL);
        return VT_ELIMIT;
    }
    vt__sched_g.local_destroy[key] = destroy;
    return key;
}
VT_API int vt_local_key_inherit(void (*destroy)(void *value)) {
    int key = vt_local_key(destroy);
    if (key >= 0) __atomic_fetch_or(&vt__sched_g.local_inherit, 1u << key, __ATOMIC_ACQ_REL);
    return key;
}
VT_API void *vt_local_get(int key) {
    const vt__vth *v = vt__sched_self();
    return v && key >= 0 && key < v->nlocals ? v->locals[key] : NULL;
}
VT_API int vt_local_set(int key, void *value) {
    vt__vth *v = vt__sched_self();
    if (!v) return -EPERM;
    if (key < 0 || key >= VT_LOCAL_KEYS_MAX || key >= __atomic_load_n(&vt__sched_g.nlocals, __ATOMIC_ACQUIRE))
        return -EINVAL;
    while (v->nlocals <= key) v->locals[v->nlocals++] = NULL;
    v->locals[key] = value;
    uint32_t bit = 1u << key, pass = __atomic_load_n(&vt__sched_g.local_inherit, __ATOMIC_RELAXED) & bit;
    v->borrowed &= (uint16_t)~bit;
    v->heritage = (uint16_t)((v->heritage & ~bit) | (value ? pass : 0));
    return 0;
}
VT_API int vt_defer(void (*fn)(void *arg), void *arg) {
    vt__vth *v = vt__sched_self();
    if (!v) return -EPERM;
    if (v->ndefers == VT_DEFER_MAX) return VT_ELIMIT;
    int i = v->ndefers % VT__DEFERS;
    if (i == 0) {
        vt__defers *d = vt__mem_pool_get(&v->thr->task_pool);
        if (!d) return -ENOMEM;
        d->below = v->ndefers ? v->defers : NULL;
        v->defers = d;
    }
    v->defers->e[i].fn = fn;
    v->defers->e[i].arg = arg;
    v->ndefers++;
    return 0;
}

/*==============================================================================
 * MARK: - @sync    mutex, condition, semaphore, wait group, once
 * uses:   @api_base @api_sync @plat @log @sched @self
 * test:   tests/test_sync.c
 *
 * A waiter is a node on its own stack or, where nothing is left to do after the wait, in its vthread's room (the wait is
 * a tail call then), in the object's queue, under the object's spin lock. Whoever unlinks it owns
 * its wake-up; an abort that finds it gone has lost. Since a vthread runs on its own thread only, the spin lock may be
 * released before the park: the wake-up waits in the thread's queue. With VT_LOCAL the spin word holds the owner thread's
 * number in debug builds and is no lock.
 *============================================================================*/
typedef struct vt__waiter {
    struct vt__waiter *next, *prev;
    vt__vth *v;
    struct vt__waitq *q;
    uint32_t *flags, *spin;
    bool queued;
} vt__waiter;

_Static_assert(sizeof(vt__waiter) <= sizeof(((vt__vth *)0)->room),
               "a waiter does not fit into the room of a vthread");
VT__INLINE vt__waiter *vt__sync_room(vt__vth *v) { return (vt__waiter *)(void *)v->room; }

static VT__UNUSED void vt__sync_check_owner(uint32_t *spin) {
    uint32_t me = (uint32_t)vt_worker() + 2;
    if (*spin == 0) *spin = me;
    if (*spin == me) return;
    vt_log(VT_LOG_ERROR, "an object marked VT_LOCAL is used on two OS threads");
    abort();
}
VT__INLINE void vt__sync_lock(uint32_t *flags, uint32_t *spin) {
    if (!(*flags & VT_LOCAL)) vt__plat_spin_lock(spin);
    else if (VT__DEBUG) vt__sync_check_owner(spin);
}
VT__INLINE void vt__sync_unlock(const uint32_t *flags, uint32_t *spin) {
    if (!(*flags & VT_LOCAL)) vt__plat_spin_unlock(spin);
}
VT__INLINE void vt__sync_push(vt__waitq *q, vt__waiter *w) {
    w->next = NULL;
    w->prev = q->tail;
    if (q->tail) q->tail->next = w;
    else q->head = w;
    q->tail = w;
    w->queued = true;
}
VT__INLINE void vt__sync_unlink(vt__waitq *q, vt__waiter *w) {
    *(w->prev ? &w->prev->next : &q->head) = w->next;
    *(w->next ? &w->next->prev : &q->tail) = w->prev;
    w->queued = false;
}
static bool vt__sync_abort(vt__vth *v) {
    vt__waiter *w = v->wait_obj;
    vt__sync_lock(w->flags, w->spin);
    bool mine = w->queued;
    if (mine) vt__sync_unlink(w->q, w);
    vt__sync_unlock(w->flags, w->spin);
    return mine;
}
static bool vt__sync_abort_mutex(vt__vth *v) { return vt__sync_abort(v); }
static bool vt__sync_abort_lock(vt__vth *v) { return (void)v, false; } /* nor does a deadline end it */
static bool vt__sync_abort_cond(vt__vth *v) { return vt__sync_abort(v); }
static bool vt__sync_abort_sem(vt__vth *v) { return vt__sync_abort(v); }
static bool vt__sync_abort_wg(vt__vth *v) { return vt__sync_abort(v); }
static bool vt__sync_abort_once(vt__vth *v) { return vt__sync_abort(v); }
/* Queues the caller and unlocks the object; the wait is registered from here on. */
VT__INLINE void vt__sync_enqueue(vt__waiter *w, vt__vth *v, vt__waitq *q, uint32_t *flags, uint32_t *spin) {
    w->v = v;
    w->q = q;
    w->flags = flags;
    w->spin = spin;
    v->wait_obj = w;
    vt__sync_push(q, w);
    vt__sync_unlock(flags, spin);
}
/* Takes the oldest waiters off, `n` at most, under the lock; wake them with vt__sync_wake_chain after it. */
VT__INLINE vt__waiter *vt__sync_take(vt__waitq *q, int64_t n, int64_t *taken) {
    vt__waiter *first = q->head, *w = first, *last = NULL;
    int64_t left = n;
    for (; w && left > 0; w = w->next, left--) w->queued = false, last = w;
    *taken = n - left;
    if (!last) return NULL;
    last->next = NULL;
    q->head = w;
    *(w ? &w->prev : &q->tail) = NULL;
    return first;
}
/* Takes every waiter off, under the lock; wake them with vt__sync_wake_chain after it. */
VT__INLINE vt__waiter *vt__sync_take_all(vt__waitq *q) {
    vt__waiter *first = q->head;
    for (vt__waiter *w = first; w; w = w->next) w->queued = false;
    q->head = q->tail = NULL;
    return first;
}
VT__INLINE void vt__sync_wake_chain(vt__waiter *w) {
    for (vt__waiter *next; w; w = next) {
        next = w->next; /* the node is gone once its vthread runs */
        vt__sched_ready(w->v);
    }
}

static int vt__sync_mutex_lock(vt_mutex *m, bool abortable, int64_t until) {
    vt__vth *v = vt__sched_self();
    int64_t due = 0;
    if (!v) return -EPERM;
    if (abortable) {
        int r = vt__sched_enter(v, until, &due);
        if (r < 0) return r;
    }
    vt__sched_fuel(v); /* before the lock: nobody is to wait for a holder that lets others run */
    vt__sync_lock(&m->flags, &m->spin);
    if (!m->held) {
        m->held = 1;
        m->owner = v;
        vt__sync_unlock(&m->flags, &m->spin);
        return 0;
    }
    if (m->owner == v) {
        vt__sync_unlock(&m->flags, &m->spin);
        return -EDEADLK;
    }
    vt__sync_enqueue(vt__sync_room(v), v, &m->q, &m->flags, &m->spin);
    return vt__sched_park(v, abortable ? vt__sync_abort_mutex : vt__sync_abort_lock, due);
}
VT_API int vt_mutex_lock(vt_mutex *m) { return vt__sync_mutex_lock(m, false, 0); }
VT_API int vt_mutex_lock_until(vt_mutex *m, int64_t until) { return vt__sync_mutex_lock(m, true, until); }
VT_API int vt_mutex_trylock(vt_mutex *m) {
    vt__vth *v = vt__sched_self();
    int r = -EBUSY;
    if (!v) return -EPERM;
    vt__sync_lock(&m->flags, &m->spin);
    if (!m->held) {
        m->held = 1;
        m->owner = v;
        r = 0;
    }
    vt__sync_unlock(&m->flags, &m->spin);
    return r;
}
VT_API int vt_mutex_unlock(vt_mutex *m) {
    vt__vth *v = vt__sched_self();
    vt__sync_lock(&m->flags, &m->spin);
    if (!v || !m->held || m->owner != v) {
        vt__sync_unlock(&m->flags, &m->spin);
        return -EPERM;
    }
    vt__waiter *w = m->q.head;
    if (w) vt__sync_unlink(&m->q, w);
    else m->held = 0;
    m->owner = w ? w->v : NULL; /* handed over: held stays */
    vt__sync_unlock(&m->flags, &m->spin);
    if (w) vt__sched_ready(w->v);
    return 0;
}

VT_API int vt_cond_wait_until(vt_cond *c, vt_mutex *m, int64_t until) {
    vt__vth *v = vt__sched_self();
    vt__waiter w;
    int64_t due;
    if (!v || m->owner != v) return -EPERM;
    int r = vt__sched_enter(v, until, &due);
    if (r < 0) return r;
    vt__sync_lock(&c->flags, &c->spin);
    vt__sync_enqueue(&w, v, &c->q, &c->flags, &c->spin);
    (void)vt_mutex_unlock(m);
    r = vt__sched_park(v, vt__sync_abort_cond, due);
    (void)vt__sync_mutex_lock(m, false, 0);
    return r;
}
VT_API int vt_cond_wait(vt_cond *c, vt_mutex *m) { return vt_cond_wait_until(c, m, 0); }
VT_API void vt_cond_signal(vt_cond *c) {
    vt__sync_lock(&c->flags, &c->spin);
    vt__waiter *w = c->q.head;
    if (w) vt__sync_unlink(&c->q, w);
    vt__sync_unlock(&c->flags, &c->spin);
    if (w) vt__sched_ready(w->v);
}
VT_API void vt_cond_broadcast(vt_cond *c) {
    vt__sync_lock(&c->flags, &c->spin);
    vt__waiter *w = vt__sync_take_all(&c->q);
    vt__sync_unlock(&c->flags, &c->spin);
    vt__sync_wake_chain(w);
}

VT_API int vt_sem_acquire_until(vt_sem *s, int64_t until) {
    vt__vth *v = vt__sched_self();
    int64_t due;
    if (!v) return -EPERM;
    int r = vt__sched_enter(v, until, &due);
    if (r < 0) return r;
    vt__sync_lock(&s->flags, &s->spin);
    if (s->count > 0 && !s->q.head) {
        s->count--;
        vt__sync_unlock(&s->flags, &s->spin);
        vt__sched_fuel(v);
        return 0;
    }
    vt__sync_enqueue(vt__sync_room(v), v, &s->q, &s->flags, &s->spin);
    return vt__sched_park(v, vt__sync_abort_sem, due);
}
VT_API int vt_sem_acquire(vt_sem *s) { return vt_sem_acquire_until(s, 0); }
VT_API int vt_sem_try(vt_sem *s) {
    int r = -EAGAIN;
    vt__sync_lock(&s->flags, &s->spin);
    if (s->count > 0 && !s->q.head) {
        s->count--;
        r = 0;
    }
    vt__sync_unlock(&s->flags, &s->spin);
    return r;
}
VT_API int vt_sem_release(vt_sem *s, int64_t permits) {
    int64_t count, taken;
    vt__waiter *w = NULL;
    vt__sync_lock(&s->flags, &s->spin);
    bool bad = permits < 1 || __builtin_add_overflow(s->count, permits, &count);
    if (!bad) {
        w = vt__sync_take(&s->q, count, &taken);
        s->count = count - taken;
    }
    vt__sync_unlock(&s->flags, &s->spin);
    vt__sync_wake_chain(w);
    return bad ? -EINVAL : 0;
}

VT_API int vt_wg_add(vt_wg *g, int64_t n) {
    vt__waiter *w = NULL;
    int64_t count;
    int r = 0;
    vt__sync_lock(&g->flags, &g->spin);
    if (__builtin_add_overflow(g->count, n, &count) || count < 0) r = -EINVAL;
    else g->count = count;
    if (g->count == 0) w = vt__sync_take_all(&g->q);
    vt__sync_unlock(&g->flags, &g->spin);
    vt__sync_wake_chain(w);
    return r;
}
VT_API int vt_wg_done(vt_wg *g) { return vt_wg_add(g, -1); }
VT_API int vt_wg_wait_until(vt_wg *g, int64_t until) {
    vt__vth *v = vt__sched_self();
    int64_t due;
    if (!v) return -EPERM;
    int r = vt__sched_enter(v, until, &due);
    if (r < 0) return r;
    vt__sync_lock(&g->flags, &g->spin);
    if (g->count == 0) {
        vt__sync_unlock(&g->flags, &g->spin);
        vt__sched_fuel(v);
        return 0;
    }
    vt__sync_enqueue(vt__sync_room(v), v, &g->q, &g->flags, &g->spin);
    return vt__sched_park(v, vt__sync_abort_wg, due);
}
VT_API int vt_wg_wait(vt_wg *g) { return vt_wg_wait_until(g, 0); }

/* state: 0 nobody yet, 1 running, 2 done. A failed run hands its turn to everybody who waits: they try again. */
VT_API int vt_once_do(vt_once *o, vt_fn *fn, void *arg) {
    vt__vth *v = vt__sched_self();
    vt__waiter w;
    int64_t due;
    int r = 0;
    if (__atomic_load_n(&o->state, __ATOMIC_ACQUIRE) == 2) return 0;
    if (!v) return -EPERM;
    for (;;) {
        vt__sync_lock(&o->flags, &o->spin);
        if (o->state != 1) break;
        if ((r = vt__sched_enter(v, 0, &due)) < 0) break;
        vt__sync_enqueue(&w, v, &o->q, &o->flags, &o->spin);
        if ((r = vt__sched_park(v, vt__sync_abort_once, due)) < 0) return r;
    }
    bool mine = r == 0 && o->state == 0;
    if (mine) __atomic_store_n(&o->state, 1, __ATOMIC_RELAXED);
    vt__sync_unlock(&o->flags, &o->spin);
    if (!mine) return r;
    r = fn(arg);
    vt__sync_lock(&o->flags, &o->spin);
    __atomic_store_n(&o->state, r < 0 ? 0 : 2, __ATOMIC_RELEASE);
    vt__waiter *all = vt__sync_take_all(&o->q);
    vt__sync_unlock(&o->flags, &o->spin);
    vt__sync_wake_chain(all);
    return r < 0 ? r : 0;
}

/*==============================================================================
 * MARK: - @chan    channels, select
 * uses:   @api_base @api_rt @api_sync @api_chan @plat @mem @poll @sched @sync
 * test:   tests/test_chan.c
 *
 * A waiter is a node on its own stack, in the queue of receivers or of senders, under the channel's lock; whoever comes
 * for it copies the value straight from stack to stack and unlinks it. It owns the wake-up then, so a time-out or cancel
 * that finds the node gone has lost, and a value that was taken or given is always reported (see @sync).
 * Receivers wait only while nothing is buffered, senders only while there is no room.
 *
 * Buffered values stand in blocks, a ring being one block that follows itself; the unbounded channel's blocks are
 * allocated and freed outside the lock, one is kept as a spare.
 *
 * A select has a node in a queue of each of its cases and one word, the claim, for all of them: who changes it from 0
 * lets its case happen. Deadlock is excluded thus: a select locks its channels in the order of their addresses, each
 * once; a plain call holds one lock; a claim is a single compare-and-swap that waits for nobody. A select looks for
 * partners while none of its own nodes is queued, so it never meets itself and no claim is ever held while another
 * is sought; where two meet, the one that came second finds the other's node, all in one hold of the locks.
 * A node whose claim is taken may stay queued until its vthread runs; who finds it drops it. Descriptors: a wake-up by
 * one means "look again" (poll says which are ready), nothing is consumed by it.
 *============================================================================*/
enum {
    VT__CHAN_QUICK = 0x100 /* a flag */,
    VT__CHAN_BLOCK = 2048,
    VT__CHAN_MORE = -30001,
    VT__CHAN_AGAIN = -30002
};

typedef struct vt__chan_block {
    struct vt__chan_block *next;
    char *end;
    char data[] __attribute__((aligned(16)));
} vt__chan_block;

struct vt_chan {
    uint32_t flags, spin;
    uint32_t size;
    int32_t err; /* what senders get, 0 while it is open */
    int64_t count, cap;
    vt__waitq recvq, sendq;
    char *rd, *wr;                        /* the oldest value; where the next one goes */
    vt__chan_block *first, *last, *spare; /* rd and wr are in the first and the last one, or at their ends */
    vt__chan_block *own;                  /* in the channel's own memory: the ring; else without room */
};
static vt_chan vt__chan_failed[] = {{.err = -ENOMEM}, {.err = -EINVAL}};

typedef struct vt__chan_wait {
    vt__waiter w;
    void *value;
    vt__claim *claim; /* NULL: no select */
    uint32_t by;      /* for the claim */
    int32_t result;
} vt__chan_wait;

/* What is left to be done after the lock. */
typedef struct vt__chan_rest {
    vt__vth *wake;
    vt__chan_block *drop;
} vt__chan_rest;

VT_API vt_chan *vt_chan_new(size_t size, int64_t cap, uint32_t flags) {
    size_t room = cap > 0 ? size : 0;
    if (size > VT_CHAN_SIZE_MAX || cap < VT_NONE || flags & ~(uint32_t)VT_LOCAL) return &vt__chan_failed[1];
    if (room && (uint64_t)cap > (SIZE_MAX / 2) / room) return &vt__chan_failed[0];
    room *= (size_t)VT__MAX(cap, 0);
    size_t head = (sizeof(vt_chan) + 15) & ~(size_t)15;
    vt_chan *c = vt__mem_alloc(head + sizeof(vt__chan_block) + room);
    if (!c) return &vt__chan_failed[0];
    memset(c, 0, sizeof *c);
    c->flags = flags & VT_LOCAL && cap == 0 ? flags | VT__CHAN_QUICK : flags;
    c->size = (uint32_t)size;
    c->own = c->first = c->last = (vt__chan_block *)(void *)((char *)c + head);
    c->rd = c->wr = c->own->data;
    c->own->end = c->own->data + room;
    c->own->next = cap == VT_NONE && size ? NULL : c->own; /* values of no bytes need no blocks */
    c->cap = cap == VT_NONE ? INT64_MAX : cap;
    return c;
}
VT_API void vt_chan_free(vt_chan *c) {
    if (!c || (c->err && c->err != VT_ECLOSED)) return;
    for (vt__chan_block *b = c->first, *next; b; b = next) {
        next = b->next == b ? NULL : b->next;
        if (b != c->own) vt__mem_free(b);
    }
    vt__mem_free(c->spare);
    vt__mem_free(c);
}

VT__INLINE void vt__chan_copy(void *to, const void *from, size_t n) {
    if (VT__LIKELY(n == 8)) memcpy(to, from, 8);
    else if (n) memcpy(to, from, n);
}
/* The oldest waiter of a queue that is still to be had, off it; NULL: none. */
VT__INLINE vt__chan_wait *vt__chan_take(vt__waitq *q) {
    for (vt__waiter *w; (w = q->head) != NULL;) {
        vt__chan_wait *cw = VT__CONTAINER(w, vt__chan_wait, w);
        vt__sync_unlink(q, w);
        if (VT__LIKELY(!cw->claim) || vt__sched_claim(cw->claim, cw->by)) return cw;
    }
    return NULL;
}
static VT__NOINLINE int vt__chan_push(vt_chan *c, const void *value) {
    if (c->wr == c->last->end) {
        vt__chan_block *b = c->last->next;
        if (!b) {
            if (!c->spare) return VT__CHAN_MORE;
            b = c->spare;
            c->spare = NULL;
            c->last->next = b;
        }
        c->last = b;
        c->wr = b->data;
    }
    vt__chan_copy(c->wr, value, c->size);
    c->wr += c->size;
    c->count++;
    return 0;
}
static VT__NOINLINE void vt__chan_pop(vt_chan *c, void *value, vt__chan_rest *rest) {
    if (c->rd == c->first->end) {
        vt__chan_block *b = c->first;
        c->first = b->next;
        c->rd = c->first->data;
        if (b != c->own) {
            b->next = NULL;
            if (c->spare) rest->drop = b;
            else c->spare = b;
        }
    }
    vt__chan_copy(value, c->rd, c->size);
    c->rd += c->size;
    c->count--;
}
/* Under the lock: 0, -EAGAIN it would wait, VT__CHAN_MORE (see vt__chan_more), or the channel's error. */
VT__INLINE int vt__chan_put(vt_chan *c, const void *value, vt__chan_rest *rest) {
    if (VT__UNLIKELY(c->err)) return c->err;
    vt__chan_wait *w = vt__chan_take(&c->recvq);
    if (w) {
        vt__chan_copy(w->value, value, c->size);
        rest->wake = w->w.v;
        return 0;
    }
    return c->count < c->cap ? vt__chan_push(c, value) : -EAGAIN;
}
VT__INLINE int vt__chan_get(vt_chan *c, void *value, vt__chan_rest *rest) {
    bool buffered = c->count > 0;
    if (buffered) vt__chan_pop(c, value, rest);
    vt__chan_wait *w = vt__chan_take(&c->sendq);
    if (w) {
        if (buffered) (void)vt__chan_push(c, w->value); /* into the room just made */
        else vt__chan_copy(value, w->value, c->size);
        rest->wake = w->w.v;
    }
    return buffered || w ? 0 : c->err ? c->err : -EAGAIN;
}
VT__INLINE void vt__chan_after(const vt__chan_rest *rest) {
    if (rest->wake) vt__sched_ready(rest->wake);
    if (VT__UNLIKELY(rest->drop != NULL)) vt__mem_free(rest->drop);
}
/* A spare block for an unbounded channel, if it has none. */
static VT__NOINLINE int vt__chan_more(vt_chan *c) {
    size_t room = VT__MAX(VT__CHAN_BLOCK / c->size, 1u) * (size_t)c->size;
    vt__chan_block *b = vt__mem_alloc(sizeof *b + room), *old;
    if (!b) return -ENOMEM;
    b->next = NULL;
    b->end = b->data + room;
    vt__sync_lock(&c->flags, &c->spin);
    old = c->spare;
    c->spare = b;
    vt__sync_unlock(&c->flags, &c->spin);
    vt__mem_free(old);
    return 0;
}

static bool vt__chan_abort(vt__vth *v) { return vt__sync_abort(v); }
/* Queues the caller, unlocks, waits. */
VT__INLINE int vt__chan_park(vt_chan *c, vt__waitq *q, void *value, vt__vth *v, int64_t due) {
    vt__chan_wait w;
    w.value = value;
    w.claim = NULL;
    w.result = 0;
    vt__sync_enqueue(&w.w, v, q, &c->flags, &c->spin);
    int r = vt__sched_park(v, vt__chan_abort, due);
    return r < 0 ? r : w.result;
}
static VT__NOINLINE int vt__chan_do(vt_chan *c, void *value, bool send, int64_t until) {
    vt__vth *v = vt__sched_self();
    vt__chan_rest rest = {NULL, NULL};
    int64_t due;
    if (VT__UNLIKELY(!v)) return -EPERM;
    int r = vt__sched_enter(v, until, &due);
    if (r < 0) return r;
    for (;;) {
        vt__sync_lock(&c->flags, &c->spin);
        r = send ? vt__chan_put(c, value, &rest) : vt__chan_get(c, value, &rest);
        if (r == -EAGAIN) return vt__chan_park(c, send ? &c->sendq : &c->recvq, value, v, due);
        vt__sync_unlock(&c->flags, &c->spin);
        if (!send || VT__LIKELY(r != VT__CHAN_MORE)) break;
        if ((r = vt__chan_more(c)) < 0) return r;
    }
    vt__chan_after(&rest);
    vt__sched_fuel(v);
    return r;
}
static int vt__chan_try(vt_chan *c, void *value, bool send) {
    vt__chan_rest rest = {NULL, NULL};
    int r;
    do {
        vt__sync_lock(&c->flags, &c->spin);
        r = send ? vt__chan_put(c, value, &rest) : vt__chan_get(c, value, &rest);
        vt__sync_unlock(&c->flags, &c->spin);
        if (r == VT__CHAN_MORE) r = vt__chan_more(c) < 0 ? -ENOMEM : VT__CHAN_AGAIN;
    } while (r == VT__CHAN_AGAIN);
    vt__chan_after(&rest);
    return r;
}
static VT__NOINLINE int vt__chan_quick_park(vt_chan *c, vt__waitq *q, void *value, int64_t until) {
    vt__vth *v = vt__sched_self();
    int64_t due;
    int r = vt__sched_enter(v, until, &due);
    return r < 0 ? r : vt__chan_park(c, q, value, v, due);
}
/* Unbuffered and of one OS thread: the other side waits already, or we do. All else vt__chan_do sorts out, the
 * assertion of VT_LOCAL included. */
VT__INLINE int vt__chan_quick(vt_chan *c, void *value, bool send, int64_t until) {
    vt__thr *t = vt__sched_thr();
    vt__vth *v = t ? t->cur : NULL;
    if (v && c->flags & VT__CHAN_QUICK && (!VT__DEBUG || c->spin == (uint32_t)t->index + 2)) {
        vt__waitq *q = send ? &c->recvq : &c->sendq;
        vt__chan_wait *w = VT__CONTAINER(q->head, vt__chan_wait, w); /* the waiter is first in it */
        if (!w && !c->err) return vt__chan_quick_park(c, send ? &c->sendq : &c->recvq, value, until);
        if (w && !w->claim && !vt__sched_cancelled(v)) {
            vt__sync_unlink(q, &w->w);
            vt__chan_copy(send ? w->value : value, send ? value : w->value, c->size);
            vt__sched_resume(t, w->w.v);
            vt__sched_fuel(v);
            return 0;
        }
    }
    return vt__chan_do(c, value, send, until);
}
VT_API int vt_chan_send_until(vt_chan *c, const void *value, int64_t until) {
    return vt__chan_quick(c, (void *)(uintptr_t)value, true, until); /* not written to */
}
VT_API int vt_chan_send(vt_chan *c, const void *value) { return vt_chan_send_until(c, value, 0); }
VT_API int vt_chan_send_try(vt_chan *c, const void *value) {
    return vt__chan_try(c, (void *)(uintptr_t)value, true);
}
VT_API int vt_chan_recv_until(vt_chan *c, void *value, int64_t until) {
    return vt__chan_quick(c, value, false, until);
}
VT_API int vt_chan_recv(vt_chan *c, void *value) { return vt_chan_recv_until(c, value, 0); }
VT_API int vt_chan_recv_try(vt_chan *c, void *value) { return vt__chan_try(c, value, false); }

VT_API int vt_chan_close(vt_chan *c) {
    vt__waiter *first = NULL, **at = &first;
    vt__chan_wait *w;
    vt__sync_lock(&c->flags, &c->spin);
    int r = c->err;
    if (!r) c->err = VT_ECLOSED;
    while (!r && ((w = vt__chan_take(&c->recvq)) != NULL || (w = vt__chan_take(&c->sendq)) != NULL)) {
        w->result = VT_ECLOSED;
        *at = &w->w;
        at = &w->w.next;
    }
    *at = NULL;
    vt__sync_unlock(&c->flags, &c->spin);
    vt__sync_wake_chain(first);
    return r;
}
VT_API int64_t vt_chan_len(vt_chan *c) {
    vt__sync_lock(&c->flags, &c->spin);
    int64_t n = c->count;
    vt__sync_unlock(&c->flags, &c->spin);
    return n;
}

/*--- select ---*/
typedef struct vt__sel {
    vt__claim claim;
    vt_case *cases;
    int n, nchans;
    uint64_t chans, fds, timers, ready; /* sets of cases; ready: of descriptors and timers */
    int64_t at;                         /* the earliest timer, 0 none */
    vt_chan *more;                      /* wants a block */
    uint8_t order[VT_SELECT_MAX];       /* cases with channels, by the channels' addresses */
} vt__sel;
typedef union vt__sel_slot {
    vt__chan_wait w;
    struct {
        vt__poll_fdw *f;
        unsigned bit;
    } fd;
} vt__sel_slot;

VT__INLINE uint64_t vt__chan_bit(int i) { return UINT64_C(1) << i; }
VT__INLINE vt_chan *vt__chan_of(const vt_case *c) { return c->recv ? c->recv : c->send; }
static int vt__chan_sel_init(vt__sel *s, vt_case *cases, int n) {
    if (n < 0 || n > VT_SELECT_MAX) return -EINVAL;
    s->cases = cases;
    s->n = n;
    s->nchans = 0;
    s->chans = s->fds = s->timers = 0;
    s->at = 0;
    for (int i = 0; i < n; i++) {
        const vt_case *c = &cases[i];
        uint64_t bit = vt__chan_bit(i);
        if ((c->recv != NULL) + (c->send != NULL) + (c->events != 0) + (c->at != 0) > 1) return -EINVAL;
        if (c->events & ~(VT_READ | VT_WRITE)) return -EINVAL;
        if (c->events && c->fd < 0) return -EBADF;
        if (c->events) s->fds |= bit;
        if (c->at > 0) s->timers |= bit, s->at = s->at && s->at < c->at ? s->at : c->at;
        if (!vt__chan_of(c)) continue;
        s->chans |= bit;
        int at = s->nchans++;
        for (; at > 0 && (uintptr_t)vt__chan_of(&cases[s->order[at - 1]]) > (uintptr_t)vt__chan_of(c); at--)
            s->order[at] = s->order[at - 1];
        s->order[at] = (uint8_t)i;
    }
    return 0;
}
static void vt__chan_sel_lock(vt__sel *s, bool on) {
    vt_chan *before = NULL;
    for (int i = 0; i < s->nchans; i++) {
        vt_chan *c = vt__chan_of(&s->cases[s->order[i]]);
        if (c == before) continue;
        before = c;
        if (on) vt__sync_lock(&c->flags, &c->spin);
        else vt__sync_unlock(&c->flags, &c->spin);
    }
}
/* Which descriptors are ready now; never waits. */
static VT__NOINLINE int vt__chan_sel_poll(vt__sel *s) {
    struct pollfd p[VT_SELECT_MAX];
    unsigned n = 0;
    int r = -EINTR;
    for (uint64_t m = s->fds; m; m &= m - 1) {
        int i = __builtin_ctzll(m);
        int ev = s->cases[i].events;
        p[n].fd = s->cases[i].fd;
        p[n].events = (short)((ev & VT_READ ? POLLIN | POLLRDHUP : 0) | (ev & VT_WRITE ? POLLOUT : 0));
        p[n++].revents = 0;
    }
    for (int tries = 0; r == -EINTR && tries < 16; tries++) r = vt__plat_poll(p, n, 0);
    if (r <= 0) return r;
    n = 0;
    for (uint64_t m = s->fds; m; m &= m - 1) {
        int i = __builtin_ctzll(m);
        int re = p[n++].revents, ev = s->cases[i].events;
        if (re & POLLNVAL) return -EBADF;
        int got = (re & (POLLIN | POLLRDHUP) ? VT_READ : 0) | (re & POLLOUT ? VT_WRITE : 0);
        s->cases[i].result = re & (POLLHUP | POLLERR) ? ev : got & ev;
        if (s->cases[i].result) s->ready |= vt__chan_bit(i);
    }
    return 0;
}
static int vt__chan_sel_look(vt__sel *s) {
    s->ready = 0;
    if (s->timers) {
        int64_t now = vt__plat_now();
        for (uint64_t m = s->timers; m; m &= m - 1) {
            int i = __builtin_ctzll(m);
            s->cases[i].result = 0;
            if (s->cases[i].at <= now) s->ready |= vt__chan_bit(i);
        }
    }
    return s->fds ? vt__chan_sel_poll(s) : 0;
}
/* A member of a set that is not empty, each with the same chance. */
static int vt__chan_sel_any(uint64_t set) {
    static uint32_t foreign;
    vt__thr *t = vt__sched_thr();
    uint32_t x = t ? t->rng += 0x9e3779b9u : __atomic_add_fetch(&foreign, 0x9e3779b9u, __ATOMIC_RELAXED);
    x = (x ^ x >> 16) * 0x85ebca6bu;
    x = (x ^ x >> 13) * 0xc2b2ae35u;
    x ^= x >> 16;
    for (uint32_t skip = x % (uint32_t)__builtin_popcountll(set); skip; skip--) set &= set - 1;
    return __builtin_ctzll(set);
}
/* Under the locks: lets one of the cases that can happen do so; its index, -EAGAIN none can, or an error. */
static int vt__chan_sel_pick(vt__sel *s, vt__chan_rest *rest) {
    for (uint64_t left = s->chans | s->ready; left;) {
        int i = vt__chan_sel_any(left), r;
        vt_case *c = &s->cases[i];
        left &= ~vt__chan_bit(i);
        if (s->ready >> i & 1) return i;
        r = c->recv ? vt__chan_get(c->recv, c->value, rest) : vt__chan_put(c->send, c->value, rest);
        if (r == -EAGAIN) continue;
        if (r == VT__CHAN_MORE) s->more = c->send;
        if (r < 0 && r != VT_ECLOSED) return r;
        c->result = r;
        return i;
    }
    return -EAGAIN;
}
static void vt__chan_sel_enqueue(vt__sel *s, vt__sel_slot *slots, vt__vth *v) {
    for (uint64_t m = s->chans; m; m &= m - 1) {
        int i = __builtin_ctzll(m);
        vt__chan_wait *w = &slots[i].w;
        w->w.v = v;
        w->value = s->cases[i].value;
        w->claim = &s->claim;
        w->by = (uint32_t)i + 1;
        w->result = 0;
        vt__sync_push(s->cases[i].recv ? &s->cases[i].recv->recvq : &s->cases[i].send->sendq, &w->w);
    }
}
/* Registers the waits on descriptors; what an error leaves registered vt__chan_sel_leave takes back. */
static int vt__chan_sel_arm(vt__sel *s, vt__sel_slot *slots, vt__poll_fdws *of) {
    const unsigned waits = VT__PD_RWAIT | VT__PD_WWAIT | VT__PD_RWBOTH;
    struct vt__vth *me = vt__sched_tag(&s->claim);
    int r = 0;
    for (uint64_t m = s->fds; m; m &= m - 1) {
        int i = __builtin_ctzll(m);
        int ev = s->cases[i].events;
        unsigned bit = ev & VT_READ ? VT__PD_RWAIT : VT__PD_WWAIT;
        unsigned want = ev == (VT_READ | VT_WRITE) ? bit | VT__PD_RWBOTH : bit;
        vt__poll_fdw *f = slots[i].fd.f = r < 0 ? NULL : vt__poll_fdw_get(of, s->cases[i].fd);
        slots[i].fd.bit = 0;
        if (!f && r == 0) r = -ENOMEM;
        if (r < 0) continue;
        unsigned b = vt__poll_bits(&f->pd);
        /* old readiness stays: another vthread may not have read it yet */
        if ((r = vt__poll_wait_join(&f->pd, want, me)) < 0) continue;
        slots[i].fd.bit = bit;
        r = vt__poll_fdw_arm(of, f, want | (b & waits));
    }
    return r;
}
/* No node and no descriptor's wait is left behind. The other users of a one-shot descriptor get it armed again. */
static void vt__chan_sel_leave(vt__sel *s, vt__sel_slot *slots, vt__poll_fdws *of) {
    vt__chan_sel_lock(s, true);
    for (uint64_t m = s->chans; m; m &= m - 1) {
        int i = __builtin_ctzll(m);
        if (slots[i].w.w.queued)
            vt__sync_unlink(s->cases[i].recv ? &s->cases[i].recv->recvq : &s->cases[i].send->sendq,
                            &slots[i].w.w);
    }
    vt__chan_sel_lock(s, false);
    bool ended = false;
    for (uint64_t m = s->fds; m; m &= m - 1) {
        int i = __builtin_ctzll(m);
        vt__poll_fdw *f = slots[i].fd.f;
        if (f && !vt__poll_wait_abort(&f->pd, slots[i].fd.bit, vt__sched_tag(&s->claim))) ended = true;
    }
    if (ended && VT__UNLIKELY(vt__sched_driver(of->dom) != vt__sched_tls)) {
        vt__sched_dom_lock(
            of->dom); /* another thread's reactor ended that wait, and may be about to look at s */
        vt__sched_dom_unlock(of->dom);
    }
    for (uint64_t m = s->fds; m; m &= m - 1) {
        int i = __builtin_ctzll(m);
        vt__poll_fdw *f = slots[i].fd.f;
        if (!f) continue;
        vt__poll_fdw_rearm(of, f);
        vt__poll_fdw_put(of, f);
    }
}
static bool vt__chan_sel_abort(vt__vth *v) {
    return vt__sched_claim(&((vt__sel *)v->wait_obj)->claim, VT__CLAIM_ABORT);
}
/* One look, and one wait if `v` may: the index of what happened, VT__CHAN_AGAIN (look again), or an error. */
static int vt__chan_sel_turn(vt__sel *s, vt__vth *v, int64_t due) {
    vt__sel_slot slots[VT__MAX(s->n, 1)];
    vt__chan_rest rest = {NULL, NULL};
    int r = vt__chan_sel_look(s);
    if (r < 0) return r;
    s->claim.by = 0;
    s->claim.v = v;
    vt__chan_sel_lock(s, true);
    r = vt__chan_sel_pick(s, &rest);
    if (r == -EAGAIN && v) vt__chan_sel_enqueue(s, slots, v);
    vt__chan_sel_lock(s, false);
    vt__chan_after(&rest);
    if (r == VT__CHAN_MORE) return (r = vt__chan_more(s->more)) < 0 ? r : VT__CHAN_AGAIN;
    if (r != -EAGAIN || !v) return r;
    r = s->fds ? vt__chan_sel_arm(s, slots, &v->thr->fdws) : 0;
    if (r == 0 ||
        !vt__sched_claim(&s->claim, VT__CLAIM_ABORT)) { /* claimed before the error: its wake-up comes */
        bool ok = r == 0;
        v->wait_obj = s;
        r = vt__sched_park(v, ok ? vt__chan_sel_abort : NULL, ok ? due : 0);
    }
    vt__chan_sel_leave(s, slots, &v->thr->fdws);
    uint32_t by = __atomic_load_n(&s->claim.by, __ATOMIC_ACQUIRE);
    if (by == VT__CLAIM_FD) return VT__CHAN_AGAIN;
    if (by == VT__CLAIM_ABORT) return r;
    s->cases[by - 1].result = slots[by - 1].w.result;
    return (int)by - 1;
}
static int vt__chan_select(vt_case *cases, int n, int64_t until, bool wait) {
    vt__vth *v = wait ? vt__sched_self() : NULL;
    int64_t due = 0;
    vt__sel s;
    if (wait && !v) return -EPERM;
    int r = vt__chan_sel_init(&s, cases, n);
    if (r == 0 && v) r = vt__sched_enter(v, until, &due);
    if (r < 0) return r;
    bool timer = s.at && (due == 0 || s.at <= due);
    for (;;) {
        r = vt__chan_sel_turn(&s, v, timer ? s.at : due);
        if (r != VT__CHAN_AGAIN && !(r == -ETIMEDOUT && timer)) break;
        if (v && vt__sched_cancelled(v)) return -ECANCELED; /* it may have come with the wake-up */
    }
    if (v) vt__sched_fuel(v);
    return r;
}
VT_API int vt_select_until(vt_case *cases, int n, int64_t until) {
    return vt__chan_select(cases, n, until, true);
}
VT_API int vt_select(vt_case *cases, int n) { return vt__chan_select(cases, n, 0, true); }
VT_API int vt_select_try(vt_case *cases, int n) { return vt__chan_select(cases, n, 0, false); }

/*==============================================================================
 * MARK: - @scope   structured concurrency
 * uses:   @api_rt @api_scope @plat @mem @sched @rt
 * test:   tests/test_scope.c
 *
 * Children that live stand in a list under the scope's spin lock, and their tasks are not freed while they do: so any of
 * them, or the owner, cancels the others by walking it. A child's last touch of the scope is the unlock after it has left
 * the list, and its clean-ups have run by then; the owner learns of the last one under the same lock, so a scope and
 * what else stands on its owner's stack can go right after the wait. Locks are taken from the outer scope to the inner
 * one only (a cancel may end the wait of a child that owns a scope).
 *============================================================================*/
typedef struct vt__scope_child {
    struct vt__scope_child *next, *prev;
    vt_scope *scope;
    vt_task *task;
    vt_fn *fn;
    void *arg;
} vt__scope_child;
_Static_assert(sizeof(vt__scope_child) <= sizeof(vt_task), "blocks of one pool");

VT_API int vt_scope_open(vt_scope *s, uint32_t flags, int64_t until) {
    memset(s, 0, sizeof *s);
    s->won = -1;
    s->until = until > 0 ? until : 0;
    s->flags = flags;
    if (!vt__sched_self()) return -EPERM;
    if (flags & ~(uint32_t)(VT_SCOPE_KEEP | VT_SCOPE_FIRST)) return -EINVAL;
    s->owner = vt__sched_self(); /* without one nothing is spawned into it */
    return 0;
}
/* Under the lock. */
static void vt__scope_stop(vt_scope *s) {
    if (s->cancelled) return;
    s->cancelled = 1;
    for (vt__scope_child *k = s->children; k; k = k->next) vt__sched_cancel(k->task);
}
static void vt__scope_fail(vt_scope *s, int err, bool stop) {
    if (!s->error) s->error = err;
    if (stop) vt__scope_stop(s);
}
/* A child, or a spawn that was none, has come to `result`. */
static void vt__scope_note(vt_scope *s, int result, void *arg) {
    bool first = (s->flags & VT_SCOPE_FIRST) != 0;
    if (result < 0) {
        if (!s->cancelled) vt__scope_fail(s, result, !first && !(s->flags & VT_SCOPE_KEEP));
    } else if (first && s->won < 0) {
        s->won = result;
        s->winner = arg;
        vt__scope_stop(s);
    }
}
static int vt__scope_main(void *arg) {
    vt__scope_child *k = arg;
    vt_scope *s = k->scope;
    vt__vth *v = vt__sched_self(), *waiter = NULL;
    v->fn = k->fn; /* what reports shall show */
    v->arg = k->arg;
    int r = k->fn(k->arg);
    if (v->extras) vt__sched_cleanup(v);
    vt__plat_spin_lock(&s->spin);
    *(k->prev ? &k->prev->next : &s->children) = k->next;
    if (k->next) k->next->prev = k->prev;
    vt__scope_note(s, r, k->arg);
    if (--s->live == 0) waiter = s->waiter, s->waiter = NULL;
    vt__plat_spin_unlock(&s->spin); /* the scope may be gone */
    vt__sched_release(k->task, 0);
    vt__mem_pool_put(&v->thr->task_pool, k);
    if (waiter) vt__sched_ready(waiter);
    return r;
}
/* Counts a failed spawn as a failed child. */
static int vt__scope_refuse(vt_scope *s, vt__scope_child *k, int err) {
    if (k) vt__mem_pool_put(&vt__sched_thr()->task_pool, k);
    vt__plat_spin_lock(&s->spin);
    vt__scope_note(s, err, NULL);
    vt__plat_spin_unlock(&s->spin);
    return err;
}
static int vt__scope_spawn(vt_scope *s, vt_fn *fn, void *arg, const char *site, uint32_t flags) {
    vt__vth *v = vt__sched_self();
    if (!v || !s->owner) return -EPERM;
    vt__plat_spin_lock(&s->spin);
    bool cancelled = s->cancelled != 0;
    vt__plat_spin_unlock(&s->spin);
    if (cancelled) return -ECANCELED;
    vt__scope_child *k = vt__mem_pool_get(&v->thr->task_pool);
    if (!k) return vt__scope_refuse(s, NULL, -ENOMEM);
    vt_task *t;
    int err = vt__rt_prepare(v->thr, vt__scope_main, k, site, flags, &t);
    if (err < 0) return vt__scope_refuse(s, k, err);
    if (s->until && (!t->deadline || s->until < t->deadline)) t->deadline = s->until;
    k->scope = s;
    k->task = t;
    k->fn = fn;
    k->arg = arg;
    k->prev = NULL;
    vt__plat_spin_lock(&s->spin);
    k->next = s->children;
    if (k->next) k->next->prev = k;
    s->children = k;
    s->live++;
    if (s->cancelled) vt__sched_cancel(t); /* meanwhile; it starts all the same */
    vt__plat_spin_unlock(&s->spin);
    vt__rt_launch(v->thr, t, flags);
    return 0;
}
VT_API int vt_scope_go_at(vt_scope *s, vt_fn *fn, void *arg, const char *site) {
    return vt__scope_spawn(s, fn, arg, site, 0);
}
VT_API int vt_scope_go_any_at(vt_scope *s, vt_fn *fn, void *arg, const char *site) {
    return vt__scope_spawn(s, fn, arg, site, VT__TASK_ANY);
}

static bool vt__scope_abort(vt__vth *v) {
    vt_scope *s = v->wait_obj;
    vt__plat_spin_lock(&s->spin);
    bool mine = s->waiter != NULL;
    s->waiter = NULL;
    vt__plat_spin_unlock(&s->spin);
    return mine;
}
static bool vt__scope_abort_close(vt__vth *v) { return (void)v, false; } /* nor does a deadline end it */
/* Waits for the last child. */
static int vt__scope_join(vt_scope *s, vt__vth *v, bool (*abort)(vt__vth *), int64_t due) {
    vt__plat_spin_lock(&s->spin);
    bool wait = s->live > 0;
    if (wait) s->waiter = v;
    vt__plat_spin_unlock(&s->spin);
    v->wait_obj = s;
    return wait ? vt__sched_park(v, abort, due) : 0;
}
/* Cancels what lives, for the reason `err`. */
static void vt__scope_end(vt_scope *s, int err) {
    vt__plat_spin_lock(&s->spin);
    if (s->live) vt__scope_fail(s, err, true);
    vt__plat_spin_unlock(&s->spin);
}
/* All have ended: nobody else touches it. */
static int vt__scope_result(vt_scope *s) {
    if (!(s->flags & VT_SCOPE_FIRST)) return s->error;
    return s->won >= 0 ? s->won : s->error ? s->error : VT_ESTATE;
}
VT_API int vt_scope_wait(vt_scope *s) {
    vt__vth *v = vt__sched_self();
    int64_t due;
    if (!v || s->owner != v) return -EPERM;
    vt__plat_spin_lock(&s->spin);
    bool live = s->live > 0;
    vt__plat_spin_unlock(&s->spin);
    if (!live) vt__sched_fuel(v);
    int r = live ? vt__sched_enter(v, s->until, &due) : 0;
    if (live && r == 0) r = vt__scope_join(s, v, vt__scope_abort, due);
    if (r == 0) return vt__scope_result(s);
    vt__scope_end(s, r);
    (void)vt__scope_join(s, v, vt__scope_abort_close, 0);
    return s->won >= 0 ? s->won : r;
}
VT_API void vt_scope_cancel(vt_scope *s) {
    vt__plat_spin_lock(&s->spin);
    vt__scope_fail(s, s->live ? -ECANCELED : 0, true);
    vt__plat_spin_unlock(&s->spin);
}
VT_API int vt_scope_close(vt_scope *s) {
    vt__vth *v = vt__sched_self();
    if (!v || s->owner != v) return -EPERM;
    vt__scope_end(s, -ECANCELED);
    (void)vt__scope_join(s, v, vt__scope_abort_close, 0);
    return vt__scope_result(s);
}
VT_API void *vt_scope_winner(const vt_scope *s) { return s->winner; }

/*==============================================================================
 * MARK: - @block   a pool of OS threads for calls that block
 * uses:   @plat @sched
 * test:   tests/test_block.c
 *
 * Threads are made while jobs wait and none is idle, up to vt_cfg.max_blocking, and end after five idle seconds or with
 * the runtime; each that ends joins the one that ended before it, so that in the end one join is for all. A job is a
 * struct on its vthread's stack: queued (can be withdrawn), begun (is waited for), done. In a simulated world
 * (VTHTTP_SIM) jobs run inline, on the caller.
 *============================================================================*/
enum { VT__BLOCK_QUEUE_MAX = 65536, VT__BLOCK_IDLE_S = 5 };

typedef struct vt__job {
    struct vt__job *next, *prev;
    vt_fn *fn;
    void *arg;
    int result;
    bool queued;
    vt__vth *v;
} vt__job;

static struct {
    pthread_mutex_t lock;
    pthread_cond_t work, gone;
    vt__job *head, *tail;
    int queued, threads, idle;
    bool quit; /* the runtime ends */
    bool joinable;
    pthread_t last; /* joinable: the thread that ended last */
} vt__block_g = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void vt__block_unlink(vt__job *j) {
    *(j->prev ? &j->prev->next : &vt__block_g.head) = j->next;
    *(j->next ? &j->next->prev : &vt__block_g.tail) = j->prev;
    j->queued = false;
    vt__block_g.queued--;
}
/* Under the lock: the next job, or NULL when this thread shall end. */
static vt__job *vt__block_next(void) {
    struct timespec ts;
    while (!vt__block_g.head) {
        if (vt__block_g.quit) return NULL;
        int64_t end = vt__plat_now() + VT__BLOCK_IDLE_S * VT_SEC;
        ts.tv_sec = (time_t)(end / VT_SEC);
        ts.tv_nsec = (long)(end % VT_SEC);
        vt__block_g.idle++;
        int r = pthread_cond_timedwait(&vt__block_g.work, &vt__block_g.lock, &ts);
        vt__block_g.idle--;
        if (r == ETIMEDOUT && !vt__block_g.head) return NULL;
    }
    vt__job *j = vt__block_g.head;
    vt__block_unlink(j);
    return j;
}
static void *vt__block_thread(void *arg) {
    vt__job *j;
    (void)arg;
    pthread_mutex_lock(&vt__block_g.lock);
    while ((j = vt__block_next()) != NULL) {
        pthread_mutex_unlock(&vt__block_g.lock);
        j->result = j->fn(j->arg);
        vt__sched_ready(j->v); /* the job is gone from here on */
        pthread_mutex_lock(&vt__block_g.lock);
    }
    pthread_t before = vt__block_g.last;
    bool join = vt__block_g.joinable;
    vt__block_g.last = pthread_self();
    vt__block_g.joinable = true;
    if (--vt__block_g.threads == 0) pthread_cond_signal(&vt__block_g.gone);
    pthread_mutex_unlock(&vt__block_g.lock);
    if (join) vt__plat_join(before);
    return NULL;
}
/* At the runtime's end: no job is left, and then no thread. */
static void vt__block_end(void) {
    pthread_mutex_lock(&vt__block_g.lock);
    vt__block_g.quit = true;
    pthread_cond_broadcast(&vt__block_g.work);
    while (vt__block_g.threads > 0) pthread_cond_wait(&vt__block_g.gone, &vt__block_g.lock);
    vt__block_g.quit = false;
    bool join = vt__block_g.joinable;
    vt__block_g.joinable = false;
    pthread_mutex_unlock(&vt__block_g.lock);
    if (join) vt__plat_join(vt__block_g.last);
}
/* Before any constructor of the program that might start a runtime. */
__attribute__((constructor(101))) static void vt__block_register(void) {
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    (void)vt__libc_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&vt__block_g.work, &attr);
    pthread_condattr_destroy(&attr);
    pthread_cond_init(&vt__block_g.gone, NULL);
    vt__sched_up.ended = vt__block_end;
}
/* Under the lock: makes sure that somebody will take the job that was just queued. */
static int vt__block_hands(void) {
    pthread_t os;
    if (vt__block_g.idle >= vt__block_g.queued || vt__block_g.threads >= vt__sched_g.cfg.max_blocking) {
        pthread_cond_signal(&vt__block_g.work);
        return 0;
    }
    int r = vt__plat_thread(&os, vt__block_thread, NULL);
    if (r < 0) {
        pthread_cond_signal(&vt__block_g.work);
        return vt__block_g.threads ? 0 : r; /* those that exist will get to it */
    }
    vt__block_g.threads++;
    return 0;
}
static int vt__block_submit(vt__job *j) {
    int r = VT_ELIMIT;
    pthread_mutex_lock(&vt__block_g.lock);
    if (vt__block_g.queued < VT__BLOCK_QUEUE_MAX) {
        j->next = NULL;
        j->prev = vt__block_g.tail;
        *(vt__block_g.tail ? &vt__block_g.tail->next : &vt__block_g.head) = j;
        vt__block_g.tail = j;
        j->queued = true;
        vt__block_g.queued++;
        r = vt__block_hands();
        if (r < 0) vt__block_unlink(j);
    }
    pthread_mutex_unlock(&vt__block_g.lock);
    return r;
}
static bool vt__block_abort(vt__vth *v) {
    vt__job *j = v->wait_obj;
    pthread_mutex_lock(&vt__block_g.lock);
    bool mine = j->queued;
    if (mine) vt__block_unlink(j);
    pthread_mutex_unlock(&vt__block_g.lock);
    return mine;
}

VT_API int vt_blocking(vt_fn *fn, void *arg, int *result) {
    vt__vth *v = vt__sched_self();
    vt__job j = {NULL, NULL, fn, arg, 0, false, v};
    int64_t due;
    if (!v) return -EPERM;
    int r = vt__sched_enter(v, 0, &due);
    if (r < 0) return r;
    if (VTHTTP_SIM) {
        j.result = fn(arg);
    } else {
        v->wait_obj = &j;
        if ((r = vt__block_submit(&j)) < 0) return r;
        if ((r = vt__sched_park(v, vt__block_abort, due)) < 0) return r;
    }
    if (result) *result = j.result;
    return 0;
}

/*==============================================================================
 * MARK: - @file    files, by that pool
 * uses:   @plat @sched @self @block
 * test:   tests/test_file.c tests/fault_rt.c
 *
 * A call is one job, however many system calls it takes: the way to the pool and back costs more than a read from the
 * page cache, and whether a read will find its bytes there is not known before.
 *============================================================================*/
/* Where off_t is short open(2) alone refuses long files. */
#if defined(__O_LARGEFILE)
#define VT__FILE_LONG __O_LARGEFILE
#else
#define VT__FILE_LONG 0
#endif
enum vt__file_what { VT__FILE_OPEN, VT__FILE_READ, VT__FILE_WRITE, VT__FILE_SYNC, VT__FILE_CLOSE };
/* On the caller's stack. */
typedef struct vt__file_op {
    enum vt__file_what what;
    int fd, flags, mode;
    const char *path;
    char *to;
    const char *from;
    size_t n;
    int64_t off, result;
} vt__file_op;

static int64_t vt__file_transfer(const vt__file_op *op) {
    size_t all = 0;
    int64_t r = 1;
    while (all < op->n && (r > 0 || r == -EINTR)) {
        int64_t at = op->off + (int64_t)all;
        r = op->what == VT__FILE_READ ? vt__plat_pread(op->fd, op->to + all, op->n - all, at)
                                      : vt__plat_pwrite(op->fd, op->from + all, op->n - all, at);
        if (r > 0) all += (size_t)r;
    }
    return r < 0 && (op->what == VT__FILE_WRITE || all == 0) ? r : (int64_t)all;
}
static int64_t vt__file_open(const vt__file_op *op) {
    int r;
    do r = vt__plat_open(op->path, op->flags | O_CLOEXEC | VT__FILE_LONG, op->mode);
    while (r == -EINTR);
    return r;
}
static int64_t vt__file_do(const vt__file_op *op) {
    switch (op->what) {
    case VT__FILE_OPEN: return vt__file_open(op);
    case VT__FILE_READ:
    case VT__FILE_WRITE: return vt__file_transfer(op);
    case VT__FILE_SYNC: return vt__plat_fsync(op->fd);
    default: return vt__plat_close(op->fd);
    }
}
static int vt__file_job(void *arg) {
    vt__file_op *op = arg;
    op->result = vt__file_do(op);
    return 0;
}
static int64_t vt__file_run(vt__file_op *op) {
    if (!vt__sched_self()) return vt__file_do(op);
    int r = vt_blocking(vt__file_job, op, NULL);
    return r < 0 ? r : op->result;
}
static bool vt__file_bad(size_t n, int64_t off) {
    return off < 0 || n > (size_t)PTRDIFF_MAX || (int64_t)n > INT64_MAX - off;
}
VT_API int vt_file_open(const char *path, int flags, int mode) {
    vt__file_op op = {.what = VT__FILE_OPEN, .path = path, .flags = flags, .mode = mode};
    return path ? (int)vt__file_run(&op) : -EINVAL;
}
VT_API int64_t vt_file_read(int fd, void *buf, size_t n, int64_t off) {
    vt__file_op op = {.what = VT__FILE_READ, .fd = fd, .to = buf, .n = n, .off = off};
    return vt__file_bad(n, off) ? -EINVAL : vt__file_run(&op);
}
VT_API int64_t vt_file_write(int fd, const void *buf, size_t n, int64_t off) {
    vt__file_op op = {.what = VT__FILE_WRITE, .fd = fd, .from = buf, .n = n, .off = off};
    return vt__file_bad(n, off) ? -EINVAL : vt__file_run(&op);
}
VT_API int vt_file_sync(int fd) {
    vt__file_op op = {.what = VT__FILE_SYNC, .fd = fd};
    return (int)vt__file_run(&op);
}
VT_API int vt_file_close(int fd) {
    vt__file_op op = {.what = VT__FILE_CLOSE, .fd = fd};
    vt_shield(true);
    if (!vt__sched_self() || vt_blocking(vt__file_job, &op, NULL) < 0) (void)vt__file_job(&op);
    vt_shield(false);
    return op.result == -EINTR ? 0 : (int)op.result; /* it is closed */
}

/*==============================================================================
 * MARK: - @io      sockets: addresses, reading, writing, connecting, listening
 * uses:   @api_base @api_io @plat @mem @str @poll @sched @rt @self @block
 * test:   tests/test_io.c tests/test_dial.c
 *
 * Reading tries first and parks on EAGAIN; a short read leaves the descriptor "not ready", so the next one parks
 * without a system call; a descriptor enters the poll set at its first park and stays. Any thread may harvest its events
 * meanwhile, so readiness is cleared before a try, not after one, or an edge could be lost in between.
 *============================================================================*/
struct vt_sock {
    vt__pd pd;      /* first: the struct is type-stable, pd.word outlives a life */
    uint32_t users; /* calls in progress, +1 while open */
    struct vt_sock *next;
};
typedef struct vt__addr {
    socklen_t len;
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    } u;
} vt__addr;

/*--- on a pollable descriptor; the caller keeps it alive ---*/
static VT__NOINLINE int vt__io_wait_slow(vt__vth *v, vt__pd *pd, unsigned bit, bool (*abort)(vt__vth *),
                                         int64_t due) {
    v->wait_obj = pd;
    int r = vt__poll_add(v->thr->dom, pd);
    if (r < 0) return r;
    if ((r = vt__poll_wait_begin(pd, bit, v)) <= 0) return r;
    vt__dom *dom = VTHTTP_POLL ? __atomic_load_n(&pd->dom, __ATOMIC_ACQUIRE) : NULL;
    if (dom && vt__sched_driver(dom) != v->thr) vt__poll_kick(dom); /* it must ask for more now */
    r = vt__sched_park(v, abort, due);
    return vt__poll_bits(pd) & VT__PD_CLOSED && r == 0 ? VT_ECLOSED : r;
}
static bool vt__io_abort_read(vt__vth *v) { return vt__poll_wait_abort(v->wait_obj, VT__PD_RWAIT, v); }
static bool vt__io_abort_write(vt__vth *v) { return vt__poll_wait_abort(v->wait_obj, VT__PD_WWAIT, v); }
/* Waits for `ready` (VT__PD_R or VT__PD_W); 0: try again. */
static int vt__io_wait(vt__pd *pd, unsigned ready, int64_t due) {
    vt__vth *v = vt__sched_self();
    unsigned bit = ready == VT__PD_R ? VT__PD_RWAIT : VT__PD_WWAIT, b = vt__poll_bits(pd);
    if (b & VT__PD_CLOSED) return VT_ECLOSED;
    if (b & bit) return -EBUSY;
    if (due && due <= v->thr->now) return -ETIMEDOUT;
    return vt__io_wait_slow(v, pd, bit, ready == VT__PD_R ? vt__io_abort_read : vt__io_abort_write, due);
}
/* Waits for room, or for input if that comes first; what is there already ends the wait at once. */
static VT__UNUSED int vt__io_wait_either(vt__pd *pd, int64_t due) {
    vt__vth *v = vt__sched_self();
    if (vt__poll_bits(pd) & VT__PD_CLOSED) return VT_ECLOSED;
    if (due && due <= v->thr->now) return -ETIMEDOUT;
    return vt__io_wait_slow(v, pd, VT__PD_RWAIT | VT__PD_RWBOTH, vt__io_abort_read, due);
}
/* Never parks: bytes, 0 at the end, -EAGAIN, other errors. */
static int64_t vt__io_recv_try(vt__pd *pd, void *buf, size_t n) {
    unsigned b = vt__poll_bits(pd);
    ssize_t r;
    if (VT__UNLIKELY(b & VT__PD_CLOSED)) return VT_ECLOSED;
    if (!(b & (VT__PD_R | VT__PD_RDHUP | VT__PD_HUP))) return -EAGAIN;
    vt__poll_clear(pd, VT__PD_R);
    do r = vt__plat_recv(pd->fd, buf, n, 0);
    while (VT__UNLIKELY(r == -EINTR));
    if (VT__UNLIKELY(r == -EAGAIN && b & (VT__PD_RDHUP | VT__PD_HUP))) { /* an invented one */
        vt__poll_clear(pd, VT__PD_R | VT__PD_RDHUP | VT__PD_HUP);
        do r = vt__plat_recv(pd->fd, buf, n, 0);
        while (r == -EINTR);
    }
    if (r == (ssize_t)n || (r >= 0 && b & (VT__PD_RDHUP | VT__PD_HUP))) vt__poll_set(pd, VT__PD_R);
    return r;
}
static int64_t vt__io_recv(vt__pd *pd, void *buf, size_t n, int64_t until) {
    vt__vth *v = vt__sched_self();
    int64_t due, r;
    if (VT__UNLIKELY(!v)) return -EPERM;
    if ((r = vt__sched_enter(v, until, &due)) < 0) return r;
    vt__sched_fuel(v);
    do {
        if ((r = vt__io_recv_try(pd, buf, n)) != -EAGAIN) return r;
        r = vt__io_wait(pd, VT__PD_R, due);
    } while (r >= 0);
    if (r != -ETIMEDOUT) return r;
    vt__poll_set(pd, VT__PD_R); /* after a stall of ours the timer comes before the event */
    int64_t last = vt__io_recv_try(pd, buf, n);
    return last == -EAGAIN ? r : last;
}
static ssize_t vt__io_send_once(const vt__pd *pd, struct iovec *v, int n) {
    struct msghdr m;
    ssize_t r;
    if (n == 1) {
        do r = vt__plat_send(pd->fd, v->iov_base, v->iov_len, MSG_NOSIGNAL);
        while (VT__UNLIKELY(r == -EINTR));
        return r;
    }
    memset(&m, 0, sizeof m);
    m.msg_iov = v;
    m.msg_iovlen = (size_t)n;
    do r = vt__plat_sendmsg(pd->fd, &m, MSG_NOSIGNAL);
    while (VT__UNLIKELY(r == -EINTR));
    return r;
}
/* Never parks: bytes (may be short), -EAGAIN, other errors. There is room nearly always, so the bit is cleared only when
 * there was none, and before another try. */
static int64_t vt__io_send_try(vt__pd *pd, struct iovec *v, int n) {
    unsigned b = vt__poll_bits(pd);
    if (VT__UNLIKELY(b & VT__PD_CLOSED)) return VT_ECLOSED;
    if (!(b & (VT__PD_W | VT__PD_HUP))) return -EAGAIN;
    ssize_t r = vt__io_send_once(pd, v, n);
    if (VT__LIKELY(r != -EAGAIN)) return r;
    vt__poll_clear(pd, b & VT__PD_HUP ? VT__PD_W | VT__PD_HUP : VT__PD_W);
    r = vt__io_send_once(pd, v, n);
    if (r >= 0) vt__poll_set(pd, VT__PD_W);
    return r;
}
/* Takes n bytes off the front of v; returns what is left of it. */
static int vt__io_advance(struct iovec **v, int count, size_t n) {
    while (count && n >= (*v)->iov_len) {
        n -= (*v)->iov_len;
        (*v)++;
        count--;
    }
    if (n) {
        (*v)->iov_base = (char *)(*v)->iov_base + n;
        (*v)->iov_len -= n;
    }
    return count;
}
/* Sends all of v (which it changes); 0 or an error. */
static int vt__io_send_all(vt__pd *pd, struct iovec *v, int n, int64_t until) {
    vt__vth *self = vt__sched_self();
    int64_t due, r;
    if (VT__UNLIKELY(!self)) return -EPERM;
    if ((r = vt__sched_enter(self, until, &due)) < 0) return (int)r;
    vt__sched_fuel(self);
    n = vt__io_advance(&v, n, 0);
    while (n) {
        r = vt__io_send_try(pd, v, n);
        if (r >= 0) n = vt__io_advance(&v, n, (size_t)r);
        else if (r != -EAGAIN || (r = vt__io_wait(pd, VT__PD_W, due)) < 0) return (int)r;
    }
    return 0;
}

/*--- addresses ---*/
/* The four bytes of an IPv4 address, also of one that came to an IPv6 socket (RFC 4291 2.5.5.2); NULL when it is none. */
static const unsigned char *vt__io_addr_v4(const struct sockaddr *sa, socklen_t len, unsigned *port) {
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)sa;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)sa;
    if (len >= sizeof *in && sa->sa_family == AF_INET) {
        *port = ntohs(in->sin_port);
        return (const unsigned char *)&in->sin_addr;
    }
    if (len < sizeof *in6 || sa->sa_family != AF_INET6 || memcmp(in6->sin6_addr.s6_addr, mapped, 12) != 0)
        return NULL;
    *port = ntohs(in6->sin6_port);
    return in6->sin6_addr.s6_addr + 12;
}
static size_t vt__io_addr_format(const struct sockaddr *sa, socklen_t len, char *buf, size_t cap) {
    static const char hex[] = "0123456789abcdef";
    char t[VT_ADDR_MAX + 8], *p = t;
    unsigned port = 0;
    const unsigned char *v4 = vt__io_addr_v4(sa, len, &port);
    if (v4) {
        for (int i = 0; i < 4; i++) p += vt__str_put_u64(p, v4[i]), *p++ = '.';
        p[-1] = ':';
    } else if (len >= sizeof(struct sockaddr_in6) && sa->sa_family == AF_INET6) {
        /* RFC 5952: the longest run of two or more zero groups becomes "::" */
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)sa;
        const unsigned char *a = in6->sin6_addr.s6_addr;
        int best = 8, best_n = 1;
        unsigned g[8];
        for (int i = 0; i < 8; i++) g[i] = (unsigned)a[2 * i] << 8 | a[2 * i + 1];
        for (int i = 0, n; i < 8; i += n + 1) {
            for (n = 0; i + n < 8 && g[i + n] == 0; n++) continue;
            if (n > best_n) best = i, best_n = n;
        }
        *p++ = '[';
        for (int i = 0; i < 8; i++) {
            if (i == best) {
                *p++ = ':';
                *p++ = ':';
                i += best_n - 1;
                continue;
            }
            if (p[-1] != '[' && p[-1] != ':') *p++ = ':';
            for (int s = 12, on = 0; s >= 0; s -= 4) {
                unsigned d = g[i] >> s & 15;
                if (d || on || s == 0) *p++ = hex[d], on = 1;
            }
        }
        *p++ = ']';
        *p++ = ':';
        port = ntohs(in6->sin6_port);
    } else {
        const char *path = ((const struct sockaddr_un *)(const void *)sa)->sun_path;
        size_t off = offsetof(struct sockaddr_un, sun_path), n = len > off ? len - off : 0;
        memcpy(p, "unix:", 5);
        p += 5;
        if (n && path[0] == 0) *p++ = '@', path++, n--;
        else {
            const char *end = memchr(path, 0, n); /* NULL when n is 0 */
            if (end) n = (size_t)(end - path);
        }
        memcpy(p, path, VT__MIN(n, sizeof t - 16));
        p += VT__MIN(n, sizeof t - 16);
    }
    if (sa->sa_family != AF_UNIX) p += vt__str_put_u64(p, port);
    size_t n = (size_t)(p - t), m = cap ? VT__MIN(n, cap - 1) : 0;
    if (cap) memcpy(buf, t, m), buf[m] = 0;
    return n;
}

/* "host:port" split; host empty for ":port", brackets taken off. */
static int vt__io_addr_split(const char *text, vt_str *host, vt_str *port) {
    const char *colon = strrchr(text, ':');
    if (!colon) return VT_EADDR;
    *host = (vt_str){text, (size_t)(colon - text)};
    *port = vt__str_of(colon + 1);
    int64_t num;
    if (vt__str_u63(*port, 65535, &num) < 0) return VT_EADDR;
    if (host->len && host->ptr[0] == '[') {
        if (host->len < 4 || host->ptr[host->len - 1] != ']') return VT_EADDR;
        *host = (vt_str){host->ptr + 1, host->len - 2};
    } else if (memchr(host->ptr, ':', host->len)) {
        return VT_EADDR; /* a bare IPv6 address: ambiguous */
    }
    return host->len < 256 ? 0 : VT_EADDR;
}
static int vt__io_addr_unix(const char *path, vt__addr *out) {
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof out->u.un.sun_path) return VT_EADDR;
    memset(&out->u.un, 0, sizeof out->u.un);
    out->u.un.sun_family = AF_UNIX;
    memcpy(out->u.un.sun_path, path, n);
    out->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
    if (path[0] == '@') {
        out->u.un.sun_path[0] = 0;
        out->len--;
    }
    return 0;
}

enum { VT__IO_ADDRS = 16, VT__IO_AI_PASSIVE = 1, VT__IO_AI_NUMERIC = 4 };
struct vt__io_lookup {
    char host[256], port[8];
    int flags, count, err;
    int refs; /* of virtual threads of one OS thread */
    vt__addr list[VT__IO_ADDRS];
};
static struct vt__io_lookup *vt__io_lookup_new(void) {
    struct vt__io_lookup *l = vt__mem_alloc(sizeof *l);
    if (!l) return NULL;
    memset(l, 0, offsetof(struct vt__io_lookup, list));
    l->refs = 1;
    return l;
}
static void vt__io_lookup_drop(struct vt__io_lookup *l) {
    if (--l->refs == 0) vt__mem_free(l);
}
static int vt__io_lookup_run(void *arg) {
    struct vt__io_lookup *l = arg;
    struct vt__plat_ai hints, *ai = NULL;
    memset(&hints, 0, sizeof hints);
    hints.flags = l->flags;
    hints.socktype = SOCK_STREAM;
    int r = vt__plat_resolve(l->host[0] ? l->host : NULL, l->port, &hints, &ai);
    if (r != 0) return r == -3 /* EAI_AGAIN */ ? VT_ENAMETRY : r == -10 /* EAI_MEMORY */ ? -ENOMEM : VT_ENAME;
    for (const struct vt__plat_ai *a = ai; a && l->count < VT__IO_ADDRS; a = a->next) {
        if (a->addrlen > sizeof l->list[0].u) continue;
        memcpy(&l->list[l->count].u, a->addr, a->addrlen);
        l->list[l->count++].len = a->addrlen;
    }
    vt__plat_resolve_free(ai);
    return l->count ? 0 : VT_ENAME;
}
static int vt__io_lookup_ask(void *arg) {
    struct vt__io_lookup *l = arg;
    vt_shield(true); /* the deadline is the asker's, who leaves without it */
    int r = vt_blocking(vt__io_lookup_run, l, &l->err);
    if (r < 0) l->err = r;
    vt__io_lookup_drop(l);
    return 0;
}
/* libc's resolver cannot be interrupted: a virtual thread of its own waits for it, and this one for that. */
static int vt__io_lookup_wait(struct vt__io_lookup *l, int64_t until) {
    l->refs++;
    vt_task *t = vt_async(vt__io_lookup_ask, l);
    int r = vt_await_until(t, until, NULL);
    if (r == 0) return l->err;
    if (r == -ECANCELED || r == -ETIMEDOUT) vt_task_free(t);
    else l->refs--; /* it was not spawned */
    return r;
}
/* The addresses that `text` stands for. Numeric ones are had at once; names by the blocking pool (parks). */
static int vt__io_resolve(const char *text, bool passive, struct vt__io_lookup *l, int64_t until) {
    vt_str host, port;
    int r;
    if (!text) return VT_EADDR;
    if (strncmp(text, "unix:", 5) == 0) {
        l->count = 1;
        return vt__io_addr_unix(text + 5, &l->list[0]);
    }
    if ((r = vt__io_addr_split(text, &host, &port)) < 0) return r;
    if (!host.len && !passive) host = VT__STR_LIT("localhost");
    memcpy(l->host, host.ptr, host.len);
    memcpy(l->port, port.ptr, VT__MIN(port.len, sizeof l->port - 1));
    if (!host.len) { /* every address: IPv6 takes IPv4 as well, where there is IPv6 */
        memset(l->list, 0, 2 * sizeof l->list[0]);
        l->list[0].len = sizeof(struct sockaddr_in6);
        l->list[0].u.in6.sin6_family = AF_INET6;
        l->list[0].u.in6.sin6_port = htons((uint16_t)atoi(l->port));
        l->list[1].len = sizeof(struct sockaddr_in);
        l->list[1].u.in.sin_family = AF_INET;
        l->list[1].u.in.sin_port = l->list[0].u.in6.sin6_port;
        l->count = 2;
        return 0;
    }
    l->flags = VT__IO_AI_NUMERIC | (passive ? VT__IO_AI_PASSIVE : 0);
    if ((r = vt__io_lookup_run(l)) != VT_ENAME) return r;
    l->flags &= ~VT__IO_AI_NUMERIC;
    return vt__sched_self() ? vt__io_lookup_wait(l, until) : vt__io_lookup_run(l);
}

/*--- sockets ---*/
static struct {
    uint32_t spin;
    vt_sock *free; /* type-stable: never given back, a late event may still look at pd.word */
} vt__io_g;

static int vt__io_sock_new(vt_sock **out, int fd) {
    vt__plat_spin_lock(&vt__io_g.spin);
    vt_sock *s = vt__io_g.free;
    if (s) vt__io_g.free = s->next;
    vt__plat_spin_unlock(&vt__io_g.spin);
    if (!s && !(s = vt__mem_zalloc(sizeof *s))) return -ENOMEM;
    vt__poll_pd_init(&s->pd, fd);
    __atomic_store_n(&s->users, 1, __ATOMIC_RELEASE);
    *out = s;
    return 0;
}
/* The last one out closes: nobody can be in a system call on the descriptor then. */
static void vt__io_leave(vt_sock *s) {
    if (__atomic_sub_fetch(&s->users, 1, __ATOMIC_ACQ_REL)) return;
    (void)vt__poll_close(&s->pd);
    vt__plat_spin_lock(&vt__io_g.spin);
    s->next = vt__io_g.free;
    vt__io_g.free = s;
    vt__plat_spin_unlock(&vt__io_g.spin);
}
VT__INLINE void vt__io_use(vt_sock *s) { __atomic_fetch_add(&s->users, 1, __ATOMIC_ACQ_REL); }

VT_API int64_t vt_read_until(vt_sock *s, void *buf, size_t n, int64_t until) {
    if (n == 0) return 0;
    vt__io_use(s);
    int64_t r = vt__io_recv(&s->pd, buf, n, until);
    vt__io_leave(s);
    return r;
}
VT_API int64_t vt_read(vt_sock *s, void *buf, size_t n) { return vt_read_until(s, buf, n, 0); }
VT_API int64_t vt_read_full(vt_sock *s, void *buf, size_t n) {
    size_t got = 0;
    while (got < n) {
        int64_t r = vt_read(s, (char *)buf + got, n - got);
        if (r < 0) return r;
        if (r == 0) return got ? VT_EEOF : 0;
        got += (size_t)r;
    }
    return (int64_t)n;
}
VT_API int64_t vt_writev_until(vt_sock *s, const vt_str *parts, int count, int64_t until) {
    struct iovec v[64];
    int64_t n = 0;
    if (count < 0 || count > 64) return -EINVAL;
    for (int i = 0; i < count; i++) {
        memcpy(&v[i].iov_base, &parts[i].ptr, sizeof parts[i].ptr); /* iovec has no const */
        v[i].iov_len = parts[i].len;
        n += (int64_t)parts[i].len;
    }
    vt__io_use(s);
    int r = vt__io_send_all(&s->pd, v, count, until);
    vt__io_leave(s);
    return r < 0 ? r : n;
}
VT_API int64_t vt_writev(vt_sock *s, const vt_str *parts, int count) {
    return vt_writev_until(s, parts, count, 0);
}
VT_API int64_t vt_write_until(vt_sock *s, const void *buf, size_t n, int64_t until) {
    vt_str one = {buf, n};
    return vt_writev_until(s, &one, 1, until);
}
VT_API int64_t vt_write(vt_sock *s, const void *buf, size_t n) { return vt_write_until(s, buf, n, 0); }
VT_API int vt_shutdown_write(vt_sock *s) { return vt__plat_shutdown(s->pd.fd, SHUT_WR); }
VT_API void vt_sock_close(vt_sock *s) {
    if (!s) return;
    vt__poll_shut(&s->pd);
    vt__io_leave(s);
}
VT_API int vt_sock_fd(const vt_sock *s) { return s->pd.fd; }

static int vt__io_name(int fd, bool peer, vt__addr *a) {
    memset(a, 0, sizeof *a);
    a->len = sizeof a->u;
    return peer ? vt__plat_getpeername(fd, &a->u.sa, &a->len) : vt__plat_getsockname(fd, &a->u.sa, &a->len);
}
/* The local port, 0 of a Unix socket. */
static int vt__io_port_of(int fd) {
    vt__addr a;
    int r = vt__io_name(fd, false, &a);
    if (r < 0) return r;
    return a.u.sa.sa_family == AF_INET    ? ntohs(a.u.in.sin_port)
           : a.u.sa.sa_family == AF_INET6 ? ntohs(a.u.in6.sin6_port)
                                          : 0;
}
VT_API int vt_sock_local(const vt_sock *s, char *buf, size_t cap) {
    vt__addr a;
    int r = vt__io_name(s->pd.fd, false, &a);
    return r < 0 ? r : (int)vt__io_addr_format(&a.u.sa, a.len, buf, cap);
}
VT_API int vt_sock_peer(const vt_sock *s, char *buf, size_t cap) {
    vt__addr a;
    int r = vt__io_name(s->pd.fd, true, &a);
    return r < 0 ? r : (int)vt__io_addr_format(&a.u.sa, a.len, buf, cap);
}
VT_API int vt_sock_port(const vt_sock *s) { return vt__io_port_of(s->pd.fd); }
VT_API int vt_sock_from_fd_take(vt_sock **out, int fd) {
    int fl = vt__plat_fcntl(fd, F_GETFL, 0), fdfl = vt__plat_fcntl(fd, F_GETFD, 0);
    if (fl < 0 || fdfl < 0) return fl < 0 ? fl : fdfl;
    int r = vt__plat_fcntl(fd, F_SETFD, fdfl | FD_CLOEXEC);
    if (r >= 0) r = vt__plat_fcntl(fd, F_SETFL, fl | O_NONBLOCK);
    return r < 0 ? r : vt__io_sock_new(out, fd);
}

/*--- connecting ---*/
static void vt__io_nodelay(int fd, const vt__addr *a, const vt_sock_cfg *cfg) {
    if (a->u.sa.sa_family != AF_UNIX && !(cfg && cfg->delay))
        (void)vt__plat_setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
}
/* A Unix listener whose queue is full says so at once, and no event tells when it is not. */
static int vt__io_connect_try(int fd, const vt__addr *a, int64_t due) {
    for (;;) {
        int r = vt__plat_connect(fd, &a->u.sa, a->len);
        if (r != -EAGAIN || a->u.sa.sa_family != AF_UNIX) return r;
        int64_t now = vt__plat_now(), next = now + 5 * VT_MS;
        if (due && now >= due) return -ETIMEDOUT;
        if ((r = vt_sleep_until(due && due < next ? due : next)) < 0) return r;
    }
}
static int vt__io_connect(vt_sock **out, const vt__addr *a, const vt_sock_cfg *cfg, int64_t due) {
    int fd = vt__plat_socket(a->u.sa.sa_family, SOCK_STREAM), err = 0;
    if (fd < 0) return fd;
    vt__io_nodelay(fd, a, cfg);
    int r = vt__io_connect_try(fd, a, due);
    if (r == -EINPROGRESS || r == -EINTR) {
        vt_sock *s;
        socklen_t n = sizeof err;
        if ((r = vt__io_sock_new(&s, fd)) < 0) goto fail;
        vt__poll_clear(&s->pd, VT__PD_R | VT__PD_W);
        r = vt__io_wait(&s->pd, VT__PD_W, due);
        if (r >= 0 && (r = vt__plat_getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &n)) >= 0) r = -err;
        if (r < 0) {
            vt_sock_close(s);
            return r;
        }
        vt__poll_set(&s->pd, VT__PD_R);
        *out = s;
        return 0;
    }
    if (r >= 0 && (r = vt__io_sock_new(out, fd)) >= 0) return 0;
fail:
    (void)vt__plat_close(fd);
    return r;
}
VT_API int vt_dial_until(vt_sock **out, const char *addr, const vt_sock_cfg *cfg, int64_t until) {
    vt__vth *v = vt__sched_self();
    int64_t due;
    if (!v) return -EPERM;
    int r = vt__sched_enter(v, until, &due);
    if (r < 0) return r;
    struct vt__io_lookup *l = vt__io_lookup_new();
    if (!l) return -ENOMEM;
    r = vt__io_resolve(addr, false, l, due ? due : VT_NONE);
    for (int i = 0; r >= 0 && i < l->count; i++) {
        r = vt__io_connect(out, &l->list[i], cfg, due);
        bool late = r == -ETIMEDOUT && due &&
                    vt__plat_now() >= due; /* else it is the kernel's, about this address */
        if (r >= 0 || r == -ECANCELED || late) break;
        if (i + 1 < l->count) r = 0;
    }
    vt__io_lookup_drop(l);
    return r;
}
/* Takes the descriptor out of a socket that nobody else knows, and frees that. */
static VT__UNUSED int vt__io_detach(vt_sock *s) {
    vt__poll_remove(&s->pd);
    int fd = s->pd.fd;
    s->pd.fd = -1;
    vt_sock_close(s);
    return fd;
}
VT_API int vt_dial(vt_sock **out, const char *addr, const vt_sock_cfg *cfg) {
    return vt_dial_until(out, addr, cfg, 0);
}

/*--- listening ---*/
/* A socket file that nobody listens on is left over from a program that died. Other files refuse connections, too. */
static void vt__io_unix_stale(const vt__addr *a) {
    struct stat st;
    if (!a->u.un.sun_path[0] || vt__plat_stat(a->u.un.sun_path, &st) < 0) return;
    if ((st.st_mode & 0170000) != 0140000 /* S_IFSOCK, which strict C hides */) return;
    int fd = vt__plat_socket(AF_UNIX, SOCK_STREAM);
    if (fd < 0) return;
    if (vt__plat_connect(fd, &a->u.sa, a->len) == -ECONNREFUSED) (void)vt__plat_unlink(a->u.un.sun_path);
    (void)vt__plat_close(fd);
}
static int vt__io_bind(const vt__addr *a, const vt_sock_cfg *cfg) {
    int fam = a->u.sa.sa_family, fd = vt__plat_socket(fam, SOCK_STREAM), one = 1, r;
    int v6only = cfg && cfg->v6only, backlog = cfg && cfg->backlog ? cfg->backlog : 1024;
    if (fd < 0) return fd;
    if (fam != AF_UNIX) (void)vt__plat_setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    else vt__io_unix_stale(a);
    if (fam == AF_INET6) (void)vt__plat_setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof v6only);
#if defined(SO_REUSEPORT)
    if (cfg && cfg->reuseport) (void)vt__plat_setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
#endif
    vt__io_nodelay(fd, a, cfg); /* accepted sockets inherit it */
    r = vt__plat_bind(fd, &a->u.sa, a->len);
    if (r >= 0 && fam == AF_UNIX && cfg && cfg->unix_mode && a->u.un.sun_path[0])
        r = vt__plat_chmod(a->u.un.sun_path, cfg->unix_mode);
    if (r >= 0) r = vt__plat_listen(fd, backlog);
    if (r >= 0) return fd;
    (void)vt__plat_close(fd);
    return r;
}
/* A bound, listening descriptor, or an error. Parks only to resolve a name, on a vthread. */
static int vt__io_listen_fd(const char *addr, const vt_sock_cfg *cfg) {
    struct vt__io_lookup *l = vt__io_lookup_new();
    if (!l) return -ENOMEM;
    int r = vt__io_resolve(addr, true, l, 0), fd = r;
    for (int i = 0; r >= 0 && i < l->count; i++) {
        fd = vt__io_bind(&l->list[i], cfg);
        if (fd >= 0 || fd == -EADDRINUSE || fd == -EACCES) break;
    }
    vt__io_lookup_drop(l);
    return fd;
}
VT_API int vt_listen(vt_sock **out, const char *addr, const vt_sock_cfg *cfg) {
    int fd = vt__io_listen_fd(addr, cfg);
    if (fd < 0) return fd;
    int r = vt__io_sock_new(out, fd);
    if (r < 0) (void)vt__plat_close(fd);
    return r;
}

/* Errors of accept that say nothing about the listener (accept(2)). */
static bool vt__io_accept_again(int r) {
    return r == -EINTR || r == -ECONNABORTED || r == -EPROTO || r == -ENETDOWN || r == -EHOSTUNREACH ||
           r == -ENETUNREACH;
}
static bool vt__io_accept_starved(int r) {
    return r == -EMFILE || r == -ENFILE || r == -ENOBUFS || r == -ENOMEM;
}
enum { VT__IO_AGAIN_MAX = 64 }; /* such errors in a row; more are not about single connections */
static int vt__io_accept(vt_sock *s, vt_sock **out, int64_t until) {
    vt__vth *v = vt__sched_self();
    int64_t due;
    if (!v) return -EPERM;
    int r = vt__sched_enter(v, until, &due);
    if (r < 0) return r;
    vt__sched_fuel(v);
    for (int again = 0;;) {
        if (vt__poll_bits(&s->pd) & VT__PD_CLOSED) return VT_ECLOSED;
        vt__poll_clear(&s->pd, VT__PD_R);
        r = vt__plat_accept(s->pd.fd, NULL, NULL);
        if (r >= 0) {
            vt__poll_set(&s->pd, VT__PD_R);
            int fd = r;
            if ((r = vt__io_sock_new(out, fd)) < 0) (void)vt__plat_close(fd);
            return r;
        }
        if (vt__io_accept_again(r) && ++again < VT__IO_AGAIN_MAX) continue;
        if (again == VT__IO_AGAIN_MAX || vt__io_accept_starved(r)) {
            again = 0;
            int64_t now = vt__plat_now(), next = now + 100 * VT_MS;
            if (due && due <= now) return -ETIMEDOUT;
            if ((r = vt_sleep_until(due && due < next ? due : next)) < 0) return r;
            continue;
        }
        if (r != -EAGAIN) return r;
        if ((r = vt__io_wait(&s->pd, VT__PD_R, due)) < 0) return r;
    }
}
VT_API int vt_accept_until(vt_sock *s, vt_sock **out, int64_t until) {
    vt__io_use(s);
    int r = vt__io_accept(s, out, until);
    vt__io_leave(s);
    return r;
}
VT_API int vt_accept(vt_sock *s, vt_sock **out) { return vt_accept_until(s, out, 0); }

/*--- descriptors of others ---*/
static int vt__io_fdw_wait(vt__vth *v, vt__poll_fdw *f, int events, int64_t due) {
    unsigned slot = events & VT_READ ? VT__PD_RWAIT : VT__PD_WWAIT, b = vt__poll_bits(&f->pd);
    unsigned want = events == (VT_READ | VT_WRITE) ? VT__PD_RWAIT | VT__PD_RWBOTH : slot;
    if (b & slot) return -EBUSY;
    vt__poll_clear(&f->pd, slot == VT__PD_RWAIT ? VT__PD_READY & ~(unsigned)VT__PD_W : VT__PD_W | VT__PD_HUP);
    if (want & VT__PD_RWBOTH) vt__poll_clear(&f->pd, VT__PD_W);
    int r = vt__poll_wait_begin(&f->pd, want, v);
    if (r <= 0) return r < 0 ? r : events; /* which may be invented */
    r = vt__poll_fdw_arm(&v->thr->fdws, f, want | (b & (VT__PD_RWAIT | VT__PD_WWAIT | VT__PD_RWBOTH)));
    if (r <
        0) { /* what an older arming brought may have ended the wait: then the wake-up comes, and is for this one */
        if (!vt__poll_wait_abort(&f->pd, slot, v)) (void)vt__sched_park(v, NULL, 0);
        return r;
    }
    v->wait_obj = &f->pd;
    r = vt__sched_park(v, slot == VT__PD_RWAIT ? vt__io_abort_read : vt__io_abort_write, due);
    vt__poll_fdw_rearm(&v->thr->fdws, f);
    if (r < 0) return r;
    b = vt__poll_bits(&f->pd);
    r = ((b & (VT__PD_R | VT__PD_RDHUP) ? VT_READ : 0) | (b & VT__PD_W ? VT_WRITE : 0)) & events;
    return b & VT__PD_HUP || !r ? events : r; /* another wait may have cleared the bits: try */
}
VT_API int vt_wait_fd(int fd, int events, int64_t until) {
    vt__vth *v = vt__sched_self();
    int64_t due;
    if (!v) return -EPERM;
    if (fd < 0) return -EBADF;
    if (VTHTTP_POLL && vt__plat_fcntl(fd, F_GETFD, 0) < 0) return -EBADF; /* poll calls it ready */
    events &= VT_READ | VT_WRITE;
    if (!events) return -EINVAL;
    int r = vt__sched_enter(v, until, &due);
    if (r < 0) return r;
    vt__poll_fdws *of = &v->thr->fdws;
    vt__poll_fdw *f = vt__poll_fdw_get(of, fd);
    if (!f) return -ENOMEM;
    r = vt__io_fdw_wait(v, f, events, due);
    vt__poll_fdw_put(of, f);
    return r;
}

/*==============================================================================
 * MARK: - @unwind  return addresses of a stack, by unwind tables and frame pointers
 * uses:   @plat
 * test:   tests/test_unwind.c tests/test_dump.c
 *
 * For stacks of others, which nothing vouches for: of the stack only what lies between its bounds is read, each frame must
 * stand above the one before, and there are VT__UNWIND_FRAMES at most. Whatever else happens to be there, the worst
 * result is a short trace. Nothing is allocated.
 *
 * Tables are those of C++ (.eh_frame, found by PT_GNU_EH_FRAME and its sorted index), which compilers make for C as well
 * unless told not to. Only the stack pointer, the frame pointer and the return address are followed: rules by expression
 * or by other registers end the walk. Then, or without tables, the chain of frame pointers goes on, and counts if it ends
 * where the first frame of a vthread has its zero: in code without frame pointers it does not.
 *============================================================================*/
enum { VT__UNWIND_FRAMES = 32, VT__UNWIND_SEEK = 4096 };
#define VT__UNWIND_RAW __attribute__((noinline, no_sanitize_address, no_sanitize_thread))
#if VT__X86_64
enum { VT__UNWIND_SP = 7, VT__UNWIND_FP = 6 };
#elif VT__AARCH64
enum { VT__UNWIND_SP = 31, VT__UNWIND_FP = 29 };
#elif VT__RISCV64
enum { VT__UNWIND_SP = 2, VT__UNWIND_FP = 8 };
#else
enum { VT__UNWIND_SP = 4, VT__UNWIND_FP = 5 };
#endif

typedef struct vt__unwind_regs {
    uintptr_t pc, sp, fp, lr; /* fp, lr: 0 when not known */
} vt__unwind_regs;
/* A stack, or what was copied of one: p holds the bytes from low on. */
typedef struct vt__unwind_stack {
    uintptr_t low, high;
    const char *p;
} vt__unwind_stack;

static VT__UNWIND_RAW uintptr_t vt__unwind_load(const vt__unwind_stack *s, uintptr_t at) {
    return *(const volatile uintptr_t *)(const volatile void *)(s->p +
                                                                (at - s->low)); /* whatever it belongs to */
}
static bool vt__unwind_within(const vt__unwind_stack *s, uintptr_t at) {
    return at % sizeof at == 0 && at >= s->low && at <= s->high - sizeof at && s->high - s->low >= sizeof at;
}
/* The chain of frame pointers from fp on, which stands above sp; 0: it does not end well. */
static int vt__unwind_chain(const vt__unwind_stack *s, uintptr_t sp, uintptr_t fp, uintptr_t *out, int max) {
    const uintptr_t word = sizeof(uintptr_t), back = VT__RISCV64 ? 2 * word : 0;
    int n = 0;
    while (fp) {
        if (fp < sp + back || !vt__unwind_within(s, fp - back) || !vt__unwind_within(s, fp - back + word))
            return 0;
        uintptr_t next = vt__unwind_load(s, fp - back), ret = vt__unwind_load(s, fp - back + word);
        if (next && next <= fp) return 0;
        if (ret && n < max) out[n++] = ret;
        fp = next;
    }
    return n;
}

#if defined(__linux__)
/*--- tables ---*/
/* What is in force at an address: where the frame begins, and where the caller's two registers are from there. */
typedef struct vt__unwind_row {
    uint64_t reg; /* the frame begins at its value + off; UINT64_MAX: at something else */
    int64_t off, fp_at, ra_at;
    uint8_t fp, ra; /* enum vt__unwind_rule */
} vt__unwind_row;
enum vt__unwind_rule { VT__UNWIND_SAME, VT__UNWIND_SAVED, VT__UNWIND_NONE };
typedef struct vt__unwind_cfi {
    uintptr_t pc, at; /* the address asked for; up to where the rows have come */
    uint64_t code, ra_reg;
    int64_t data;
    int depth;
    bool sized; /* with augmentation data */
    vt__unwind_row row, first, kept[8];
} vt__unwind_cfi;

static uint32_t vt__unwind_u32(const uint8_t *p) {
    uint32_t n;
    memcpy(&n, p, sizeof n);
    return n;
}
static uint64_t vt__unwind_leb(const uint8_t **p, bool is_signed) {
    uint64_t n = 0;
    unsigned shift = 0;
    uint8_t b;
    do {
        b = *(*p)++;
        if (shift < 64) n |= (uint64_t)(b & 0x7f) << shift;
        shift += 7;
    } while (b & 0x80);
    if (is_signed && b & 0x40 && shift < 64) n |= ~UINT64_C(0) << shift;
    return n;
}
/* A relative address of 32 bits, as all linkers write them. */
static uintptr_t vt__unwind_rel(uintptr_t base, const uint8_t *p) {
    return base + (uintptr_t)(intptr_t)(int32_t)vt__unwind_u32(p);
}
typedef struct vt__unwind_find {
    uintptr_t pc;
    const uint8_t *index;
} vt__unwind_find;
/* Of each object of the program: 1 when pc is in it. */
static int vt__unwind_object(struct vt__plat_object *o, size_t size, void *arg) {
    vt__unwind_find *f = arg;
    const uint8_t *index = NULL;
    bool hit = false;
    (void)size;
    for (int i = 0; i < o->n; i++) {
        const vt__plat_phdr *h = &o->headers[i];
        uintptr_t from = o->base + (uintptr_t)h->p_vaddr;
        if (h->p_type == PT_LOAD) hit = hit || f->pc - from < (uintptr_t)h->p_memsz;
        if (h->p_type == PT_GNU_EH_FRAME) index = (const uint8_t *)from;
    }
    if (hit) f->index = index;
    return hit;
}
/* The entry that covers pc, in an index of 32-bit pairs; NULL: there is none. */
static const uint8_t *vt__unwind_entry(uintptr_t pc) {
    vt__unwind_find f = {pc, NULL};
    (void)vt__libc_objects(vt__unwind_object, &f);
    const uint8_t *x = f.index;
    if (!x || x[0] != 1 || x[1] != 0x1b || x[2] != 0x03 || x[3] != 0x3b) return NULL;
    uint32_t low = 0, high = vt__unwind_u32(x + 8);
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (vt__unwind_rel((uintptr_t)x, x + 12 + (size_t)mid * 8) <= pc) low = mid + 1;
        else high = mid;
    }
    return low ? (const uint8_t *)vt__unwind_rel((uintptr_t)x, x + 12 + (size_t)(low - 1) * 8 + 4) : NULL;
}
static void vt__unwind_saved(vt__unwind_cfi *c, uint64_t reg, uint8_t rule, int64_t at) {
    if (reg == VT__UNWIND_FP) c->row.fp = rule, c->row.fp_at = at;
    if (reg == c->ra_reg) c->row.ra = rule, c->row.ra_at = at;
}
static void vt__unwind_restore(vt__unwind_cfi *c, uint64_t reg) {
    if (reg == VT__UNWIND_FP) c->row.fp = c->first.fp, c->row.fp_at = c->first.fp_at;
    if (reg == c->ra_reg) c->row.ra = c->first.ra, c->row.ra_at = c->first.ra_at;
}
/* The one expression that C programs meet: how deep a stub is that looks a function up (x86-64's PLT), of 16 bytes with a
 * push before the last ones. */
static void vt__unwind_plt(vt__unwind_cfi *c, const uint8_t *p) {
    static const uint8_t deep[] = {11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0, 0x2a, 0x33, 0x24, 0x22};
    c->row.reg = UINT64_MAX;
    if (!VT__X86_64 || memcmp(p, deep, 7) != 0 || memcmp(p + 8, deep + 8, sizeof deep - 8) != 0) return;
    c->row.reg = VT__UNWIND_SP;
    c->row.off = (c->pc & 15) + 0x30 >= p[7] ? 16 : 8;
}
static void vt__unwind_skip(const uint8_t **p) {
    uint64_t n = vt__unwind_leb(p, false);
    *p += n;
}
/* The instructions that are no row of their own; false: unknown. */
static bool vt__unwind_insn(vt__unwind_cfi *c, uint8_t op, const uint8_t **p) {
    uint64_t reg = 0;
    if (op >= 0x05 && op <= 0x16 && op != 0x0a && op != 0x0b && op != 0x0e && op != 0x0f && op != 0x13)
        reg = vt__unwind_leb(p, false);
    switch (op) {
    case 0x00: return true;
    case 0x05:
        vt__unwind_saved(c, reg, VT__UNWIND_SAVED, (int64_t)vt__unwind_leb(p, false) * c->data);
        return true;
    case 0x06: vt__unwind_restore(c, reg); return true;
    case 0x07: vt__unwind_saved(c, reg, VT__UNWIND_NONE, 0); return true;
    case 0x08: vt__unwind_saved(c, reg, VT__UNWIND_SAME, 0); return true;
    case 0x09: /* in another register */
        (void)vt__unwind_leb(p, false);
        vt__unwind_saved(c, reg, VT__UNWIND_NONE, 0);
        return true;
    case 0x0a:
        if (c->depth == (int)VT__COUNT(c->kept)) return false;
        c->kept[c->depth++] = c->row;
        return true;
    case 0x0b:
        if (c->depth == 0) return false;
        c->row = c->kept[--c->depth];
        return true;
    case 0x0c: c->row.reg = reg, c->row.off = (int64_t)vt__unwind_leb(p, false); return true;
    case 0x0d: c->row.reg = reg; return true;
    case 0x0e: c->row.off = (int64_t)vt__unwind_leb(p, false); return true;
    case 0x0f: vt__unwind_plt(c, *p), vt__unwind_skip(p); return true;
    case 0x10:
    case 0x16: vt__unwind_saved(c, reg, VT__UNWIND_NONE, 0), vt__unwind_skip(p); return true;
    case 0x11:
        vt__unwind_saved(c, reg, VT__UNWIND_SAVED, (int64_t)vt__unwind_leb(p, true) * c->data);
        return true;
    case 0x12: c->row.reg = reg, c->row.off = (int64_t)vt__unwind_leb(p, true) * c->data; return true;
    case 0x13: c->row.off = (int64_t)vt__unwind_leb(p, true) * c->data; return true;
    case 0x2d: return true; /* aarch64: the return address is signed, or no more */
    case 0x2e: (void)vt__unwind_leb(p, false); return true;
    default: return false;
    }
}
/* How far an instruction goes on, in units of code; -1: it is no such one. */
static int64_t vt__unwind_ahead(uint8_t op, const uint8_t **p) {
    uint16_t half;
    if ((op & 0xc0) == 0x40) return op & 0x3f;
    switch (op) {
    case 0x02: return *(*p)++;
    case 0x03: memcpy(&half, *p, 2), *p += 2; return half;
    case 0x04: *p += 4; return vt__unwind_u32(*p - 4);
    default: return -1;
    }
}
/* Up to the row that is in force at pc; false: something is unknown. */
static bool vt__unwind_rows(vt__unwind_cfi *c, const uint8_t *p, const uint8_t *end) {
    while (p < end) {
        uint8_t op = *p++;
        int64_t ahead = vt__unwind_ahead(op, &p);
        if (ahead >= 0) {
            c->at += (uintptr_t)((uint64_t)ahead * c->code);
            if (c->at > c->pc) return true;
        } else if ((op & 0xc0) == 0x80) {
            vt__unwind_saved(c, op & 0x3f, VT__UNWIND_SAVED, (int64_t)vt__unwind_leb(&p, false) * c->data);
        } else if ((op & 0xc0) == 0xc0) {
            vt__unwind_restore(c, op & 0x3f);
        } else if (!vt__unwind_insn(c, op, &p)) {
            return false;
        }
    }
    return true;
}
/* The record that entries share: its rows come first. False: it is of a kind that no compiler makes for C. */
static bool vt__unwind_common(vt__unwind_cfi *c, const uint8_t *p) {
    const uint8_t *end = p + 4 + vt__unwind_u32(p);
    uint8_t version = p[8], code = 0x1b;
    const char *kind = (const char *)p + 9;
    p = (const uint8_t *)kind + strlen(kind) + 1;
    c->code = vt__unwind_leb(&p, false);
    c->data = (int64_t)vt__unwind_leb(&p, true);
    c->ra_reg = version == 1 ? *p++ : vt__unwind_leb(&p, false);
    c->sized = *kind == 'z';
    const uint8_t *more = p;
    if (c->sized) vt__unwind_skip(&p), (void)vt__unwind_leb(&more, false);
    for (const char *k = kind + c->sized; *k; k++) {
        if (*k == 'R') code = *more++;
        else if (*k == 'L') more++;
        else if (*k == 'P') more += 5; /* 32 bits, as below */
        else if (*k != 'B' && *k != 'S') return false;
    }
    return code == 0x1b && (version == 1 || version == 3) && vt__unwind_rows(c, p, end);
}
/* The rules for pc; false: there are none. */
static bool vt__unwind_rules(vt__unwind_cfi *c, uintptr_t pc) {
    const uint8_t *p = vt__unwind_entry(pc);
    memset(c, 0, sizeof *c);
    if (!p || vt__unwind_u32(p) - 1 >= UINT32_MAX - 1) return false;
    c->pc = c->at = UINTPTR_MAX;
    if (!vt__unwind_common(c, p + 4 - vt__unwind_u32(p + 4))) return false;
    const uint8_t *end = p + 4 + vt__unwind_u32(p);
    c->first = c->row;
    c->pc = pc;
    c->at = vt__unwind_rel((uintptr_t)(p + 8), p + 8);
    if (pc < c->at || pc - c->at >= vt__unwind_u32(p + 12)) return false;
    p += 16;
    if (c->sized) vt__unwind_skip(&p);
    return vt__unwind_rows(c, p, end);
}
/* To the caller: 1; 0: there is none; < 0: not known. */
static int vt__unwind_step(const vt__unwind_stack *s, vt__unwind_regs *r, bool called) {
    vt__unwind_cfi c;
    if (!vt__unwind_rules(&c, r->pc - called)) return -1;
    if (c.row.ra == VT__UNWIND_NONE) return 0;
    if (c.row.reg != VT__UNWIND_SP && (c.row.reg != VT__UNWIND_FP || !r->fp)) return -1;
    uintptr_t at = (c.row.reg == VT__UNWIND_SP ? r->sp : r->fp) + (uintptr_t)c.row.off;
    uintptr_t fp_at = at + (uintptr_t)c.row.fp_at, ra_at = at + (uintptr_t)c.row.ra_at, ra = r->lr;
    if (at < r->sp || at > s->high || (at == r->sp && c.row.ra == VT__UNWIND_SAVED)) return -1;
    if (c.row.ra == VT__UNWIND_SAVED) {
        if (!vt__unwind_within(s, ra_at)) return -1;
        ra = vt__unwind_load(s, ra_at);
    } else if (!ra) {
        return -1;
    }
    if (c.row.fp == VT__UNWIND_NONE) r->fp = 0;
    if (c.row.fp == VT__UNWIND_SAVED) r->fp = vt__unwind_within(s, fp_at) ? vt__unwind_load(s, fp_at) : 0;
    *r = (vt__unwind_regs){ra, at, r->fp, 0};
    return ra != 0;
}
#else
static int vt__unwind_step(const vt__unwind_stack *s, vt__unwind_regs *r, bool called) {
    (void)s, (void)r, (void)called;
    return -1;
}
#endif

/* Return addresses, the innermost first; called: pc is one as well, behind a call, and not where a thread was interrupted.
 * A frame pointer that is not known is looked for: any place from which a chain goes on well will do. */
static VT__UNUSED int vt__unwind(const vt__unwind_stack *s, vt__unwind_regs r, bool called,
                                 uintptr_t out[VT__UNWIND_FRAMES]) {
    bool known = r.fp != 0 || called;
    int n = 0, more = 1, chain = 0;
    for (out[n++] = r.pc; n < VT__UNWIND_FRAMES && (more = vt__unwind_step(s, &r, called)) > 0; called = true)
        out[n++] = r.pc;
    if (more >= 0 || n == VT__UNWIND_FRAMES) return n;
    chain = vt__unwind_chain(s, r.sp, r.fp, out + n, VT__UNWIND_FRAMES - n);
    for (uintptr_t at = r.sp; !known && !chain && at - r.sp < VT__UNWIND_SEEK && vt__unwind_within(s, at);
         at += sizeof at)
        if (vt__unwind_load(s, at)) chain = vt__unwind_chain(s, at, at, out + n, VT__UNWIND_FRAMES - n);
    return n + chain;
}

/*==============================================================================
 * MARK: - @dump    what every virtual thread is doing, written down
 * uses:   @api_base @api_rt @api_sync @api_scope @plat @mem @ds @ctx @stack @poll @sched @rt @self @sync @chan @scope @block @io @unwind
 * raises: vt__dump_up.wait (what a wait of @hooks is for)
 * test:   tests/test_dump.c
 *
 * A vthread is described by its own OS thread, in scheduler context, where nothing of it can change: the dumper sends a
 * message to one thread after the other and writes what comes back. A step fills a buffer, or looks at so many vthreads,
 * leaves a mark in the thread's list and lets the thread run on; so memory is bounded and no worker is held up for long.
 * A message that is not answered in time stays in the thread's queue (LEFT) and is taken up again by the next dump:
 *
 *   FREE -> ASKED -> TAKEN -> FREE        the thread answers
 *           ASKED -> LEFT  -> FREE        it is late; or LEFT -> ASKED, by another dump
 *
 * What a vthread waits for is told by its `abort` and its wait_obj. Only what must live while it waits is looked into:
 * the wait's own record, the mutex (whose next owner it is), a task, the scope on its stack; of the rest the address is
 * enough. How long a wait has lasted is not known: a time in every park would cost more than the park.
 *============================================================================*/
enum {
    VT__DUMP_FREE,
    VT__DUMP_ASKED,
    VT__DUMP_TAKEN,
    VT__DUMP_LEFT,
    VT__DUMP_CHUNK = 32768,
    VT__DUMP_RECORD = 4096, /* at most, of one vthread */
    VT__DUMP_WRITE = 4096,  /* PIPE_BUF: a pipe that is writable takes so much without waiting */
    VT__DUMP_STEP = 256,    /* vthreads */
    VT__DUMP_UNBEGUN = 64,
    VT__DUMP_CASES = 8
};
#define VT__DUMP_PATIENCE (250 * VT_MS)

typedef struct vt__dump_out {
    char *p;
    size_t n, cap;
    bool json, first; /* first: of a record's fields */
} vt__dump_out;

/* Asked of a thread: each of its vthreads, in the order in which they began. */
typedef struct vt__dump_walk {
    bool (*visit)(struct vt__dump_walk *w, vt__thr *t, const vt__vth *v); /* false: in the next step */
    void (*last)(struct vt__dump_walk *w, vt__thr *t); /* with all of them done; may be NULL */
    bool first, done;                                  /* of the thread at hand */
    bool hope;
    uint32_t flags;
    vt__vth *self; /* who asks */
    int64_t now;
    vt__dump_out out;
} vt__dump_walk;

static struct {
    uint32_t busy;
    vt__dump_walk *walk;
    struct vt__dump_slot {
        vt__msg msg;
        uint32_t state;
    } slots[VT__THREADS_MAX];
} vt__dump_g;
static struct {
    /* The descriptor and events of the i-th thing that v waits for; how many there are, 0: no wait of that section. */
    int (*wait)(const vt__vth *v, int i, int *fd, int *events);
} vt__dump_up;

/*--- fields of a record ---*/
static VT_PRINTF(2, 3) void vt__dump_put(vt__dump_out *o, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(o->p + o->n, o->cap - o->n, fmt, ap);
    va_end(ap);
    if (n > 0) o->n = VT__MIN(o->n + (size_t)n, o->cap - 1);
}
static void vt__dump_key(vt__dump_out *o, const char *key) {
    vt__dump_put(o, o->json ? "%s\"%s\":" : "%s%s=", o->first ? "" : o->json ? "," : " ", key);
    o->first = false;
}
static void vt__dump_num(vt__dump_out *o, const char *key, int64_t n) {
    vt__dump_key(o, key);
    vt__dump_put(o, "%lld", (long long)n);
}
static void vt__dump_addr(vt__dump_out *o, const char *key, uintptr_t p) {
    vt__dump_key(o, key);
    vt__dump_put(o, o->json ? "\"0x%llx\"" : "0x%llx", (unsigned long long)p);
}
static void vt__dump_ptr(vt__dump_out *o, const char *key, const void *p) {
    vt__dump_addr(o, key, (uintptr_t)p);
}
static void vt__dump_word(vt__dump_out *o, const char *key, const char *word) {
    vt__dump_key(o, key);
    vt__dump_put(o, o->json ? "\"%s\"" : "%s", word);
}
/* The bytes of the UTF-8 character at s, 0: none. Too long forms and surrogates are none. */
static int vt__dump_utf8(const unsigned char *s) {
    int n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;
    for (int i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80) return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f)) return 0;
    if ((s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f)) return 0;
    return n;
}
/* Text of others, quoted, 200 bytes at most. What would break the line or the string is replaced. */
static void vt__dump_text(vt__dump_out *o, const char *key, const char *text) {
    const unsigned char *s = (const unsigned char *)text;
    vt__dump_key(o, key);
    vt__dump_put(o, "\"");
    for (int n, all = 0; *s && all < 200; all += n, s += n) {
        n = vt__dump_utf8(s);
        if (n == 0 || *s < 0x20 || *s == 0x7f) n = 1, vt__dump_put(o, "?");
        else if (*s == '"' || *s == '\\') vt__dump_put(o, "\\%c", *s);
        else vt__dump_put(o, "%.*s", n, (const char *)s);
    }
    vt__dump_put(o, "\"");
}
static void vt__dump_begin(vt__dump_out *o) {
    vt__dump_put(o, o->json ? ",{" : "  ");
    o->first = true;
}
static void vt__dump_end(vt__dump_out *o) { vt__dump_put(o, o->json ? "}\n" : "\n"); }

/*--- what a vthread waits for ---*/
static const char *vt__dump_events(int events) {
    return events == (VT_READ | VT_WRITE) ? "read or write" : events == VT_WRITE ? "write" : "read";
}
static void vt__dump_fd(vt__dump_out *o, int fd, const char *events) {
    char text[VT_ADDR_MAX];
    vt__addr a;
    vt__dump_num(o, "fd", fd);
    vt__dump_word(o, o->json ? "events" : "for", events);
    bool peer = vt__io_name(fd, true, &a) >= 0;
    if (!peer && vt__io_name(fd, false, &a) < 0) return;
    if (vt__io_addr_format(&a.u.sa, a.len, text, sizeof text))
        vt__dump_text(o, peer ? "peer" : "local", text);
}
static void vt__dump_pd(vt__dump_out *o, const vt__vth *v, int events) {
    const vt__pd *pd = v->wait_obj;
    if (vt__poll_bits(pd) & VT__PD_RWBOTH && events == VT_READ) events |= VT_WRITE;
    vt__dump_word(o, "wait", "descriptor");
    vt__dump_fd(o, pd->fd, vt__dump_events(events));
}
static void vt__dump_object(vt__dump_out *o, const char *kind, const void *object) {
    vt__dump_word(o, "wait", kind);
    vt__dump_ptr(o, "object", object);
}
/* Whoever waits for a mutex owns it next, so it is there. */
static void vt__dump_mutex(vt__dump_out *o, const vt__vth *v) {
    vt__waiter *w = v->wait_obj;
    const vt_mutex *m = VT__CONTAINER(w->q, vt_mutex, q);
    vt__sync_lock(w->flags, w->spin);
    const void *owner = m->owner;
    vt__sync_unlock(w->flags, w->spin);
    vt__dump_object(o, "mutex", m);
    if (owner != v) vt__dump_ptr(o, "owner", owner);
}
/* The flags are the first field of each of these: their address is the object's. */
static void vt__dump_queue(vt__dump_out *o, const vt__vth *v, const char *kind) {
    const vt__waiter *w = v->wait_obj;
    vt__dump_object(o, kind, w->flags);
}
/* The queue's address tells the side; the channel is not looked into. */
static void vt__dump_chan(vt__dump_out *o, const vt__vth *v) {
    const vt__waiter *w = v->wait_obj;
    const vt_chan *c = VT__CONTAINER(w->flags, vt_chan, flags);
    vt__dump_object(o, "channel", c);
    vt__dump_word(o, "for", w->q == &c->recvq ? "receive" : "send");
}
static void vt__dump_select(vt__dump_out *o, const vt__vth *v) {
    const vt__sel *s = v->wait_obj;
    vt__dump_word(o, "wait", "select");
    vt__dump_num(o, "of", s->n);
    vt__dump_key(o, "cases");
    vt__dump_put(o, "\"");
    for (int i = 0; i < s->n && i < VT__DUMP_CASES; i++) {
        const vt_case *c = &s->cases[i];
        if (i) vt__dump_put(o, ", ");
        if (c->recv || c->send) vt__dump_put(o, "%s ", c->recv ? "receive" : "send");
        if (c->recv || c->send) vt__dump_put(o, "0x%llx", (unsigned long long)(uintptr_t)vt__chan_of(c));
        else if (c->events) vt__dump_put(o, "fd %d %s", c->fd, vt__dump_events(c->events));
        else vt__dump_put(o, c->at > 0 ? "time" : "nothing");
    }
    vt__dump_put(o, s->n > VT__DUMP_CASES ? ", ...\"" : "\"");
}
/* A task lives while it is awaited; of one that another thread runs nothing that changes is read. */
static void vt__dump_task(vt__dump_out *o, const vt__vth *v, bool here) {
    const vt_task *t = v->wait_obj;
    vt__dump_object(o, "task", t);
    if (here && t->v) vt__dump_ptr(o, "awaited", t->v);
    vt__dump_text(o, "awaited_site", t->site ? t->site : "?");
}
static void vt__dump_job(vt__dump_out *o, const vt__vth *v) {
    const vt__job *j = v->wait_obj;
    pthread_mutex_lock(&vt__block_g.lock);
    bool queued = j->queued;
    pthread_mutex_unlock(&vt__block_g.lock);
    vt__dump_word(o, "wait", "blocking");
    vt__dump_word(o, "stage", queued ? "queued" : "begun");
}
static void vt__dump_scope(vt__dump_out *o, const vt__vth *v) {
    vt_scope *s = v->wait_obj;
    vt__plat_spin_lock(&s->spin);
    int64_t live = s->live;
    vt__plat_spin_unlock(&s->spin);
    vt__dump_object(o, "scope", s);
    vt__dump_num(o, "children", live);
}
static void vt__dump_above(vt__dump_out *o, const vt__vth *v) {
    int (*ask)(const vt__vth *, int, int *, int *) = vt__dump_up.wait;
    int fd, events, n = ask ? ask(v, 0, &fd, &events) : 0;
    vt__dump_word(o, "wait", n ? "descriptor" : "other");
    for (int i = 0; i < n && i < VT__DUMP_CASES; i++) {
        (void)ask(v, i, &fd, &events);
        if (n == 1) {
            vt__dump_fd(o, fd, vt__dump_events(events));
            return;
        }
        if (i == 0) vt__dump_key(o, "fds");
        vt__dump_put(o, "%s%d %s", i ? ", " : "\"", fd, vt__dump_events(events));
    }
    if (n) vt__dump_put(o, n > VT__DUMP_CASES ? ", ...\"" : "\"");
}
static void vt__dump_sleep(vt__dump_out *o, const vt__vth *v) {
    (void)v;
    vt__dump_word(o, "wait", "sleep");
}
static void vt__dump_reader(vt__dump_out *o, const vt__vth *v) { vt__dump_pd(o, v, VT_READ); }
static void vt__dump_writer(vt__dump_out *o, const vt__vth *v) { vt__dump_pd(o, v, VT_WRITE); }
static void vt__dump_cond(vt__dump_out *o, const vt__vth *v) { vt__dump_queue(o, v, "condition"); }
static void vt__dump_sem(vt__dump_out *o, const vt__vth *v) { vt__dump_queue(o, v, "semaphore"); }
static void vt__dump_wg(vt__dump_out *o, const vt__vth *v) { vt__dump_queue(o, v, "wait group"); }
static void vt__dump_once(vt__dump_out *o, const vt__vth *v) { vt__dump_queue(o, v, "once"); }
static void vt__dump_task_here(vt__dump_out *o, const vt__vth *v) { vt__dump_task(o, v, true); }
static void vt__dump_task_far(vt__dump_out *o, const vt__vth *v) { vt__dump_task(o, v, false); }

/* The kinds of wait. Their aborts must have addresses of their own, so a program whose linker folds what is the same code
 * (--icf=all, which C forbids) has wrong dumps. OTHERS: only other vthreads, or OS threads of the program, end it. */
enum { VT__DUMP_OUTSIDE, VT__DUMP_OTHERS, VT__DUMP_SELECT };
static const struct vt__dump_kind {
    bool (*abort)(vt__vth *v);
    int ended_by;
    void (*describe)(vt__dump_out *o, const vt__vth *v);
} vt__dump_kinds[] = {
    {vt__sched_sleep_abort, VT__DUMP_OUTSIDE, vt__dump_sleep},
    {vt__io_abort_read, VT__DUMP_OUTSIDE, vt__dump_reader},
    {vt__io_abort_write, VT__DUMP_OUTSIDE, vt__dump_writer},
    {vt__sync_abort_mutex, VT__DUMP_OTHERS, vt__dump_mutex},
    {vt__sync_abort_lock, VT__DUMP_OTHERS, vt__dump_mutex},
    {vt__sync_abort_cond, VT__DUMP_OTHERS, vt__dump_cond},
    {vt__sync_abort_sem, VT__DUMP_OTHERS, vt__dump_sem},
    {vt__sync_abort_wg, VT__DUMP_OTHERS, vt__dump_wg},
    {vt__sync_abort_once, VT__DUMP_OTHERS, vt__dump_once},
    {vt__chan_abort, VT__DUMP_OTHERS, vt__dump_chan},
    {vt__chan_sel_abort, VT__DUMP_SELECT, vt__dump_select},
    {vt__rt_await_abort_here, VT__DUMP_OTHERS, vt__dump_task_here},
    {vt__rt_await_abort, VT__DUMP_OTHERS, vt__dump_task_far},
    {vt__block_abort, VT__DUMP_OUTSIDE, vt__dump_job},
    {vt__scope_abort, VT__DUMP_OTHERS, vt__dump_scope},
    {vt__scope_abort_close, VT__DUMP_OTHERS, vt__dump_scope},
    {NULL, VT__DUMP_OUTSIDE, vt__dump_above}, /* what a section further down waits for */
};
static const struct vt__dump_kind *vt__dump_kind_of(const vt__vth *v) {
    const struct vt__dump_kind *k = vt__dump_kinds;
    while (k->abort && k->abort != v->abort) k++;
    return k;
}
/* Whether only other vthreads (or OS threads of the program) can end its wait. */
static bool vt__dump_hopeless(const vt__vth *v) {
    if (!v->abort || v->wait_due) return false;
    int by = vt__dump_kind_of(v)->ended_by;
    const vt__sel *s = v->wait_obj;
    return by == VT__DUMP_SELECT ? !s->fds && !s->timers : by == VT__DUMP_OTHERS;
}

/*--- its stack ---*/
/* The bytes between the lowest page that has memory and the top. */
static size_t vt__dump_peak(const vt__vth *v) {
#if defined(__linux__)
    size_t page = vt__stack_g.page, guard = vt__stack_g.guard, n = (vt__stack_g.stride - guard) / page;
    char *bottom = vt__stack_base(v->stack) + guard;
    unsigned char there[256];
    for (size_t i = (uintptr_t)v->stack & 1; i < n; i += sizeof there) { /* a canary's page always is */
        size_t part = VT__MIN(n - i, sizeof there);
        memset(there, 0, part);
        if (vt__plat_mincore(bottom + i * page, part * page, there) < 0) return 0;
        const unsigned char *hit = memchr(there, 1, part);
        if (hit) return (n - i - (size_t)(hit - there)) * page;
    }
#else
    (void)v;
#endif
    return 0;
}
/* The part of a stack that is a vthread's. */
static vt__unwind_stack vt__dump_bounds(const vt__vth *v, uintptr_t low) {
    return (vt__unwind_stack){low, (uintptr_t)v, (const char *)low};
}
/* Return addresses of a parked one, the innermost first. */
static int vt__dump_trace(const vt__vth *v, uintptr_t out[VT__UNWIND_FRAMES]) {
#if VT__CTX_ASM
    vt__unwind_stack s = vt__dump_bounds(v, (uintptr_t)v->ctx.sp);
    vt__unwind_regs r = {(uintptr_t)v->ctx.pc, (uintptr_t)v->ctx.sp, (uintptr_t)v->ctx.fp, 0};
    return vt__unwind(&s, r, true, out);
#else
    (void)v, (void)out;
    return 0;
#endif
}
static void vt__dump_addrs(vt__dump_out *o, const uintptr_t *at, int n) {
    vt__dump_key(o, "trace");
    for (int i = 0; i < n; i++)
        vt__dump_put(o, o->json ? "%s\"0x%llx\"" : "%s0x%llx",
                     i         ? ","
                     : o->json ? "["
                               : "",
                     (unsigned long long)at[i]);
    if (o->json) vt__dump_put(o, "]");
}
static void vt__dump_stack(vt__dump_out *o, const vt__vth *v, bool trace) {
    uintptr_t at[VT__UNWIND_FRAMES];
    vt__dump_num(o, "stack", (int64_t)(vt__stack_g.stride - vt__stack_g.guard));
#if VT__CTX_ASM
    vt__dump_num(o, "used", vt__stack_base(v->stack) + vt__stack_g.stride - (char *)v->ctx.sp);
#endif
    vt__dump_num(o, "peak", (int64_t)vt__dump_peak(v));
    int n = trace ? vt__dump_trace(v, at) : 0;
    if (n) vt__dump_addrs(o, at, n);
}

/*--- the scope that waits for its end ---*/
/* While a child lives, so do its task, its record and the scope. NULL: it is in none. Nothing that changes is read. */
static const vt_scope *vt__dump_scope_of(const vt_task *t) {
    if (!t || t->fn != vt__scope_main) return NULL;
    return ((const vt__scope_child *)t->arg)->scope;
}
static void vt__dump_parent(vt__dump_out *o, const vt_scope *s) {
    if (!s) return;
    vt__dump_ptr(o, "scope", s);
    vt__dump_ptr(o, "parent", s->owner);
}

/*--- on the OS thread of the vthreads ---*/
static int64_t vt__dump_ms(int64_t until, int64_t now) { return VT__MAX(until - now, 0) / VT_MS; }
static bool vt__dump_vth(vt__dump_walk *w, vt__thr *t, const vt__vth *v) {
    vt__dump_out *o = &w->out;
    bool self = v == w->self;
    (void)t;
    if (o->cap - o->n < VT__DUMP_RECORD) return false;
    vt__dump_begin(o);
    vt__dump_ptr(o, "id", v);
    vt__dump_text(o, "name", v->name);
    vt__dump_word(o, "state", self ? "running" : v->abort ? "waiting" : "ready");
    if (!self && v->abort) {
        vt__dump_kind_of(v)->describe(o, v);
        if (v->wait_due) vt__dump_num(o, "wait_ms", vt__dump_ms(v->wait_due, w->now));
    }
    vt__dump_num(o, "age_ms", vt__dump_ms(w->now, v->born));
    if (v->deadline) vt__dump_num(o, "deadline_ms", vt__dump_ms(v->deadline, w->now));
    if (v->cancel) vt__dump_word(o, "cancelled", v->shield ? "shielded" : "yes");
    vt__dump_text(o, "site", v->site ? v->site : "?");
    if (!v->embedded) vt__dump_parent(o, vt__dump_scope_of(v->task)); /* else the task may be gone */
    vt__dump_stack(o, v, !(w->flags & VT_DUMP_NO_TRACE));
    vt__dump_end(o);
    return true;
}
/* Those that have not begun: the first of the ring and of the domain's queue. */
static void vt__dump_unbegun(vt__dump_walk *w, vt__thr *t) {
    struct {
        const void *id;
        const char *site;
        const vt_scope *scope;
    } found[VT__DUMP_UNBEGUN];
    int n = 0, looked = 0;
    const vt__node *first = t->last ? t->last->next : NULL, *at = first;
    for (; at && n < VT__DUMP_UNBEGUN && looked < 4096; looked++) {
        const vt_task *task = (const vt_task *)(const void *)at; /* node is first */
        if (at->result == VT__SCHED_NEW)
            found[n].id = task, found[n].scope = vt__dump_scope_of(task), found[n++].site = task->site;
        at = at->next == first ? NULL : at->next;
    }
    if (t->drives) { /* else who does lists them */
        vt__plat_spin_lock(&t->dom->any_spin);
        const vt_task *task = t->dom->any_head;
        for (; task && n < VT__DUMP_UNBEGUN; task = (const vt_task *)(const void *)task->node.next)
            found[n].id = task, found[n].scope = vt__dump_scope_of(task), found[n++].site = task->site;
        vt__plat_spin_unlock(&t->dom->any_spin);
    }
    for (int i = 0; i < n; i++) {
        if (w->out.cap - w->out.n < 512) break;
        vt__dump_begin(&w->out);
        vt__dump_ptr(&w->out, "id", found[i].id);
        vt__dump_word(&w->out, "state", "starting");
        vt__dump_text(&w->out, "site", found[i].site ? found[i].site : "?");
        vt__dump_parent(&w->out, found[i].scope);
        vt__dump_end(&w->out);
    }
}
static void vt__dump_step(vt__dump_walk *w, vt__thr *t) {
    bool marked = !vt__ds_list_empty(&t->mark);
    vt__list *n = marked && !w->first ? t->mark.next : NULL;
    if (marked) vt__ds_list_remove(&t->mark); /* maybe of a dump that was given up */
    if (!n) n = t->all.next;
    w->first = false;
    w->now = vt__plat_now();
    for (int left = VT__DUMP_STEP; n != &t->all; n = n->next) {
        if (left-- > 0 && w->visit(w, t, VT__CONTAINER(n, vt__vth, all))) continue;
        vt__ds_list_push(n, &t->mark); /* before it */
        return;
    }
    w->done = true;
    if (w->last) w->last(w, t);
}
static void vt__dump_asked(struct vt__dom *dom, vt__msg *m) {
    struct vt__dump_slot *s = VT__CONTAINER(m, struct vt__dump_slot, msg);
    uint32_t asked = VT__DUMP_ASKED;
    (void)dom;
    if (__atomic_compare_exchange_n(&s->state, &asked, VT__DUMP_TAKEN, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE))
        vt__dump_step(vt__dump_g.walk, vt__sched_g.thrs[s - vt__dump_g.slots]);
    __atomic_store_n(&s->state, VT__DUMP_FREE, __ATOMIC_RELEASE);
}

/*--- on the thread of who wants to know ---*/
static void vt__dump_nap(int64_t ns) {
    if (vt__sched_self()) (void)vt_sleep(ns);
    else vt__plat_sleep(ns);
}
/* Waits for the answer; false: it is given up. */
static bool vt__dump_await(struct vt__dump_slot *s, int64_t until) {
    for (int64_t nap = 20000; __atomic_load_n(&s->state, __ATOMIC_ACQUIRE) != VT__DUMP_FREE;
         nap = VT__MIN(nap * 2, VT_MS)) {
        uint32_t asked = VT__DUMP_ASKED;
        bool over = vt__plat_now() >= until || __atomic_load_n(&vt__sched_g.state, __ATOMIC_SEQ_CST) != 1;
        if (over && __atomic_compare_exchange_n(&s->state, &asked, VT__DUMP_LEFT, false, __ATOMIC_ACQ_REL,
                                                __ATOMIC_ACQUIRE))
            return false;
        vt__dump_nap(nap);
    }
    return true;
}
/* Lets a thread take one step of the walk; false: no answer in time. */
static bool vt__dump_ask(vt__dump_walk *w, vt__thr *t, int64_t patience) {
    struct vt__dump_slot *s = &vt__dump_g.slots[t->index];
    uint32_t left = VT__DUMP_LEFT;
    vt__thr *me = vt__sched_thr();
    if (me == t && !me->cur) {
        vt__dump_step(w, t);
        return true;
    }
    vt__dump_g.walk = w;
    if (!__atomic_compare_exchange_n(&s->state, &left, VT__DUMP_ASKED, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE)) {
        __atomic_store_n(&s->state, VT__DUMP_ASKED, __ATOMIC_RELEASE);
        s->msg.fn = vt__dump_asked;
        vt__sched_tell(t, &s->msg);
    }
    return vt__dump_await(s, vt__plat_now() + patience);
}
/* One at a time; the runtime stays while it lasts. */
static int vt__dump_enter(void) {
    if (!vt__sched_guest_in()) return vt__sched_absent();
    if (!__atomic_exchange_n(&vt__dump_g.busy, 1, __ATOMIC_ACQUIRE)) return 0;
    vt__sched_guest_out();
    return -EBUSY;
}
static void vt__dump_leave(void) {
    __atomic_store_n(&vt__dump_g.busy, 0, __ATOMIC_RELEASE);
    vt__sched_guest_out();
}

/* Of a vthread that runs, by another thread: copied word by word while its owner may write, and good only if the
 * thread has not switched meanwhile. A stack's memory stays as long as the runtime. */
typedef struct vt__dump_run {
    vt__vth *v; /* NULL: no vthread runs */
    int left;
    int64_t switches, ended, passes;
    const char *site;
    char name[sizeof(((vt__vth *)0)->name)];
} vt__dump_run;
static void vt__dump_sample(const vt__thr *t, vt__dump_run *r) {
    r->v = __atomic_load_n(&t->cur, __ATOMIC_ACQUIRE);
    r->left = __atomic_load_n(&t->left, __ATOMIC_RELAXED);
    r->switches = __atomic_load_n(&t->switches, __ATOMIC_RELAXED);
    r->ended = __atomic_load_n(&t->ended, __ATOMIC_RELAXED);
    r->passes = __atomic_load_n(&t->passes, __ATOMIC_RELAXED);
}
static bool vt__dump_same(const vt__dump_run *a, const vt__dump_run *b) {
    return a->v == b->v && a->left == b->left && a->switches == b->switches && a->ended == b->ended &&
           a->passes == b->passes;
}
static VT__UNWIND_RAW void vt__dump_copy(vt__dump_run *r) {
    const volatile char *name = r->v->name;
    for (size_t i = 0; i < sizeof r->name; i++) r->name[i] = name[i];
    r->name[sizeof r->name - 1] = 0;
    r->site = *(const char *const volatile *)&r->v->site;
}
/* What runs on t; false: it changed meanwhile. */
static VT__UNUSED bool vt__dump_peek(const vt__thr *t, vt__dump_run *r) {
    vt__dump_run again;
    vt__dump_sample(t, r);
    r->name[0] = 0;
    r->site = NULL;
    if (r->v) vt__dump_copy(r);
    vt__dump_sample(t, &again);
    return vt__dump_same(r, &again);
}

/* Where the lines go. */
typedef struct vt__dump_sink {
    vt_dump_fn *fn;
    void *ctx;
    int fd, err;
    int64_t lines;
} vt__dump_sink;
/* A descriptor may block: it is written to when it takes something, and no more than a pipe or a socket then does, so
 * that neither the monitor nor a worker hangs in it. */
static int vt__dump_write(int fd, const char *p, size_t n) {
    int64_t until = vt__plat_now() + 5 * VT_SEC;
    while (n) {
        struct pollfd ready = {.fd = fd, .events = POLLOUT};
        ssize_t r = vt__plat_poll(&ready, 1, 0) == 0 ? -EAGAIN
                                                     : vt__plat_write(fd, p, VT__MIN(n, VT__DUMP_WRITE));
        if (r == -EINTR) continue;
        if (r == -EAGAIN && vt__plat_now() < until) {
            vt__dump_nap(VT_MS);
            continue;
        }
        if (r < 0) return (int)r;
        p += r;
        n -= (size_t)r;
    }
    return 0;
}
/* A line that ends in a newline, which may be overwritten. */
static void vt__dump_line(vt__dump_sink *s, char *line, size_t n) {
    if (s->err) return;
    if (!s->fn) {
        s->err = vt__dump_write(s->fd, line, n);
        return;
    }
    line[n - 1] = 0;
    s->fn(s->ctx, line);
}
static VT_PRINTF(2, 3) void vt__dump_say(vt__dump_sink *s, const char *fmt, ...) {
    char line[256];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof line - 1, fmt, ap);
    va_end(ap);
    n = VT__MIN(n, (int)sizeof line - 2);
    line[n++] = '\n';
    vt__dump_line(s, line, (size_t)n);
}
/* Gives away what the buffer holds. `first`: no record of this worker came before, so no comma does. */
static void vt__dump_flush(vt__dump_sink *s, vt__dump_out *o, bool *first) {
    for (char *p = o->p, *end; (end = memchr(p, '\n', (size_t)(o->p + o->n - p))) != NULL; p = end + 1) {
        char *from = p + (o->json && *first);
        *first = false;
        s->lines++;
        vt__dump_line(s, from, (size_t)(end + 1 - from));
    }
    o->n = 0;
}
static void vt__dump_silent(vt__dump_walk *w, vt__thr *t) {
    vt__dump_out *o = &w->out;
    vt__dump_run r;
    if (!vt__dump_peek(t, &r) || !r.v) return;
    vt__dump_begin(o);
    vt__dump_ptr(o, "id", r.v);
    vt__dump_text(o, "name", r.name);
    vt__dump_word(o, "state", "running");
    vt__dump_text(o, "site", r.site ? r.site : "?");
    vt__dump_end(o);
}
static void vt__dump_worker(vt__dump_walk *w, vt__thr *t, vt__dump_sink *s, int64_t *patience) {
    bool first = true, told = false;
    w->first = true;
    w->done = false;
    while (!w->done && !s->err) {
        int64_t wait = VT__MAX(VT__MIN(*patience, VT__DUMP_PATIENCE), 20 * VT_MS);
        bool answers = vt__dump_ask(w, t, wait);
        if (!answers) {
            *patience -= wait;
            vt__dump_silent(w, t);
        }
        if (w->out.json && !told)
            vt__dump_say(s, "%s{\"worker\":%d,\"answers\":%s,\"vthreads\":[", t->index ? "," : "", t->index,
                         answers ? "true" : "false");
        else if (!answers || !told)
            vt__dump_say(s, "worker %d%s", t->index, answers ? "" : " does not answer");
        told = true;
        vt__dump_flush(s, &w->out, &first);
        if (!answers) break;
    }
    if (w->out.json) vt__dump_say(s, "]}");
}
/* Of all threads: about a second of waiting for the silent ones, and 20 ms for each. */
static void vt__dump_all(vt__dump_walk *w, vt__dump_sink *s) {
    int64_t patience = VT_SEC;
    int n = vt__sched_nthrs();
    unsigned long long at = 0;
    memcpy(&at, &(int (*)(const vt_cfg *, vt_fn *, void *)){vt_run}, sizeof(void *));
    if (w->out.json)
        vt__dump_say(s, "{\"vthttp\":\"" VTHTTP_VERSION "\",\"vt_run\":\"0x%llx\",\"workers\":[", at);
    else vt__dump_say(s, "vthttp " VTHTTP_VERSION ", %d workers, vt_run at 0x%llx", vt__sched_g.ndoms, at);
    for (int i = 0; i < n && !s->err; i++)
        if (vt__sched_lives(vt__sched_g.thrs[i])) vt__dump_worker(w, vt__sched_g.thrs[i], s, &patience);
    if (w->out.json) vt__dump_say(s, "],\"listed\":%lld}", (long long)s->lines);
    else vt__dump_say(s, "%lld listed", (long long)s->lines);
}
static int vt__dump_run_to(vt__dump_sink *s, uint32_t flags) {
    vt__dump_walk w = {.visit = vt__dump_vth, .last = vt__dump_unbegun, .flags = flags};
    int r = flags & ~(uint32_t)(VT_DUMP_JSON | VT_DUMP_NO_TRACE) ? -EINVAL : vt__dump_enter();
    if (r < 0) return r;
    w.out.p = vt__mem_alloc(VT__DUMP_CHUNK);
    w.out.cap = VT__DUMP_CHUNK;
    w.out.json = (flags & VT_DUMP_JSON) != 0;
    w.self = vt__sched_self();
    vt_shield(true);
    if (w.out.p) vt__dump_all(&w, s);
    else s->err = -ENOMEM;
    vt_shield(false);
    vt__mem_free(w.out.p);
    vt__dump_leave();
    return s->err ? s->err : (int)VT__MIN(s->lines, INT_MAX);
}
VT_API int vt_dump_to(vt_dump_fn *fn, void *ctx, uint32_t flags) {
    vt__dump_sink s = {.fn = fn, .ctx = ctx, .fd = -1};
    return fn ? vt__dump_run_to(&s, flags) : -EINVAL;
}
VT_API int vt_dump(int fd, uint32_t flags) {
    vt__dump_sink s = {.fd = fd};
    return fd < 0 ? -EBADF : vt__dump_run_to(&s, flags);
}
/* Stands for a dump: whether there is a vthread that more than other vthreads can wake. */
static bool vt__dump_look(vt__dump_walk *w, vt__thr *t, const vt__vth *v) {
    (void)t;
    if (!vt__dump_hopeless(v)) w->hope = true;
    return true;
}
/* 1: there is none; 0: there is; -EAGAIN: not all have answered; the errors of a dump. */
static VT__UNUSED int vt__dump_deadlocked(void) {
    vt__dump_walk w = {.visit = vt__dump_look};
    bool silent = false;
    int r = vt__dump_enter();
    if (r < 0) return r;
    for (int i = 0, n = vt__sched_nthrs(); i < n && !w.hope; i++) {
        if (!vt__sched_lives(vt__sched_g.thrs[i])) continue;
        w.first = true;
        w.done = false;
        while (!w.done && !w.hope)
            if (!vt__dump_ask(&w, vt__sched_g.thrs[i], VT__DUMP_PATIENCE)) w.hope = silent = true;
    }
    vt__dump_leave();
    return silent ? -EAGAIN : !w.hope;
}

/*==============================================================================
 * MARK: - @spare   OS threads that stand in for workers which stall
 * uses:   @plat @poll @sched @rt
 * test:   tests/test_spare.c tests/test_handoff.c
 *
 * The monitor (@watch) gives the domain of a thread that does not come back from a vthread to a spare one, which then
 * drives it: accepts, parked connections, timers, what has not started. The worker takes it back when it does come back
 * (vt__sched_drive). The spare keeps the vthreads that started on it, sleeps between their turns until the last has ended, and idles.
 *
 *     NONE ----> CALLED ----> BUSY ----> IDLE ----> CALLED ...
 *                                         |
 *     GONE <------------------------------'  after a while; its OS thread ends. GONE ----> CALLED with a new one.
 *
 * Who calls has the domain's lock until the domain is there, and who is called takes that lock first.
 * Only the monitor calls, so there is one caller. A spare may stall as well: it then loses the domain to the next.
 *
 * Threads whose vthreads burn CPU share the CPUs with whoever drives the domains. With the system's slices (1.4 to 3 ms) a
 * driver would get its turn behind half of them, so as long as there are such the monitor, and by it who drives a domain,
 * a worker that has it back as well, has a short one: it is no larger part of the CPU, but comes at once.
 *============================================================================*/
enum { VT__SPARE_SLICE_NS = 100000 };

static struct {
    struct vt__plat_sigset mask; /* of the program's own threads */
    int64_t idle_ns;             /* how long one idles before it goes */
} vt__spare_g = {.idle_ns = 2 * VT_SEC};

/* Until it is called: true; false: nobody does for a while, or the runtime ends. */
static bool vt__spare_idle(vt__thr *t) {
    const uint32_t how = VT__SCHED_FUTEX | VT__SCHED_ENDLESS;
    int64_t end = vt__plat_now() + vt__spare_g.idle_ns;
    __atomic_fetch_add(&vt__sched_g.credit, (int64_t)t->live_credit, __ATOMIC_ACQ_REL);
    t->live_credit = 0;
    __atomic_store_n(&t->spare, VT__SPARE_IDLE, __ATOMIC_SEQ_CST);
    for (;;) {
        uint32_t idle = VT__SPARE_IDLE;
        __atomic_store_n(&t->sleeping, how,
                         __ATOMIC_SEQ_CST); /* stays so when it goes: nobody is to wait for it */
        if (__atomic_load_n(&t->spare, __ATOMIC_SEQ_CST) == VT__SPARE_CALLED) break;
        int64_t left = end - vt__plat_now();
        if (left <= 0 || __atomic_load_n(&vt__sched_g.quit, __ATOMIC_SEQ_CST)) {
            if (__atomic_compare_exchange_n(&t->spare, &idle, VT__SPARE_GONE, false, __ATOMIC_SEQ_CST,
                                            __ATOMIC_SEQ_CST))
                return false;
            break;
        }
        if (!vt__sched_has_mail(t)) vt__plat_park(&t->sleeping, how, left);
        vt__sched_mail(t); /* a dump, a cancel that came too late */
    }
    __atomic_store_n(&t->sleeping, 0, __ATOMIC_SEQ_CST);
    return true;
}
static void *vt__spare_main(void *arg) {
    vt__thr *t = arg;
    (void)vt__libc_sigmask(SIG_SETMASK, &vt__spare_g.mask, NULL); /* the monitor's blocks all */
    __atomic_store_n(&t->sleeping, 0, __ATOMIC_SEQ_CST);          /* the last thread's stayed */
    vt__rt_enter_thread(t);
    do {
        __atomic_store_n(&t->spare, VT__SPARE_BUSY, __ATOMIC_SEQ_CST);
        if (!t->drives) vt__sched_take(t); /* whoever calls has the lock until the domain is ours */
        while (!__atomic_load_n(&vt__sched_g.quit, __ATOMIC_SEQ_CST) && !vt__sched_alone(t))
            vt__sched_pass(t, -1);
        vt__sched_undrive(t);
        vt__sched_quit_if_done(); /* here the last of all may have ended */
    } while (vt__spare_idle(t));
    vt__rt_leave_thread(t);
    vt__rt_thr_slim(t);
    return NULL;
}

/*--- the monitor's side ---*/
/* That it fails changes latencies alone. */
static VT__UNUSED void vt__spare_slice(vt__thr *t, int is_short) {
    int tid = __atomic_load_n(&t->tid, __ATOMIC_RELAXED);
    if (!tid || __atomic_exchange_n(&t->slice, is_short, __ATOMIC_RELAXED) == is_short) return;
#if defined(__linux__)
    (void)vt__plat_slice(tid, is_short ? VT__SPARE_SLICE_NS : 0);
#endif
}
/* The monitor does not wait: who has the lock is not lost among its vthreads. */
static bool vt__spare_try(vt__dom *d) { return !__atomic_exchange_n(&d->lock, 1, __ATOMIC_ACQUIRE); }
/* Where its next vthreads will be; its own thread does not look, but who kicked it just now might. */
static void vt__spare_place(vt__thr *t, vt__dom *d) {
    __atomic_store_n(&t->dom, d, __ATOMIC_RELAXED);
    vt__poll_fdws_place(&t->fdws, d);
}
/* Calls one that idles, for d. */
static bool vt__spare_call(vt__thr *t, vt__dom *d) {
    uint32_t idle = VT__SPARE_IDLE;
    if (__atomic_load_n(&t->spare, __ATOMIC_SEQ_CST) != VT__SPARE_IDLE) return false;
    vt__spare_place(t, d); /* it looks there once it is called */
    return __atomic_compare_exchange_n(&t->spare, &idle, VT__SPARE_CALLED, false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_SEQ_CST);
}
/* One without an OS thread; NULL: there is none to be had. */
static vt__thr *vt__spare_find_free(void) {
    int n = vt__sched_g.nthrs, first = vt__sched_g.ndoms;
    for (int i = first; i < n; i++) {
        vt__thr *t = vt__sched_g.thrs[i];
        uint32_t is = __atomic_load_n(&t->spare, __ATOMIC_SEQ_CST);
        if (is > VT__SPARE_GONE) continue;
        if (is == VT__SPARE_GONE) vt__plat_join(t->os);
        return t;
    }
    vt__thr *t = n < first + vt__sched_g.cfg.max_spares ? vt__rt_thr_new(n, vt__plat_now()) : NULL;
    if (!t) return NULL;
    vt__sched_g.thrs[n] = t;
    __atomic_store_n(&vt__sched_g.nthrs, n + 1, __ATOMIC_SEQ_CST);
    /* vt_stop sets `stopping` and then tells all threads that there are */
    if (__atomic_load_n(&vt__sched_g.stopping, __ATOMIC_SEQ_CST)) t->cancel_all = true;
    return t;
}
static bool vt__spare_launch(vt__thr *t, vt__dom *d) {
    vt__spare_place(t, d);
    __atomic_store_n(&t->tid, 0, __ATOMIC_RELAXED); /* the last one's is nobody's, or another program's */
    __atomic_store_n(&t->slice, -1, __ATOMIC_RELAXED);
    __atomic_store_n(&t->spare, VT__SPARE_CALLED, __ATOMIC_SEQ_CST);
    if (vt__plat_thread(&t->os, vt__spare_main, t) >= 0) return true;
    __atomic_store_n(&t->spare, VT__SPARE_NONE, __ATOMIC_SEQ_CST);
    return false;
}
/* One that is CALLED, for d, and has an OS thread. */
static vt__thr *vt__spare_get(vt__dom *d) {
    for (int i = vt__sched_g.ndoms; i < vt__sched_g.nthrs; i++)
        if (vt__spare_call(vt__sched_g.thrs[i], d)) return vt__sched_g.thrs[i];
    vt__thr *t = vt__spare_find_free();
    return t && vt__spare_launch(t, d) ? t : NULL;
}
/* Gives the domain of `from` to a spare: 0; -EAGAIN: it is not its driver, or is not lost among its vthreads. The spare
 * waits for the lock, and nobody sees an owner without a thread. */
static VT__UNUSED int vt__spare_handoff(vt__thr *from) {
    vt__dom *d = from->dom;
    if (vt__sched_g.host || vt__sched_driver(d) != from || !vt__spare_try(d)) return -EAGAIN;
    bool its = vt__sched_driver(d) == from;
    vt__thr *t = its ? vt__spare_get(d) : NULL;
    if (t) __atomic_store_n(&d->owner, t, __ATOMIC_SEQ_CST);
    vt__sched_dom_unlock(d);
    if (!t) return its ? VT_ELIMIT : -EAGAIN;
    /* before it wakes: it is to have its turn as soon */
    vt__spare_slice(t, __atomic_load_n(&from->slice, __ATOMIC_RELAXED) > 0);
    (void)vt__sched_kick(t);
    __atomic_fetch_add(&vt__sched_g.handoffs, 1, __ATOMIC_RELAXED);
    return 0;
}
/* By one of the program's threads, before the monitor begins. */
static void vt__spare_start(void) { (void)vt__libc_sigmask(SIG_BLOCK, NULL, &vt__spare_g.mask); }
/* The runtime has ended, and the monitor. */
static void vt__spare_stop(void) {
    for (int i = vt__sched_g.ndoms; i < vt__sched_g.nthrs; i++) {
        vt__thr *t = vt__sched_g.thrs[i];
        if (__atomic_load_n(&t->spare, __ATOMIC_SEQ_CST) == VT__SPARE_NONE) continue;
        (void)vt__sched_kick(t);
        vt__plat_join(t->os);
    }
}
/* OS threads that are spares now. */
static int vt__spare_count(void) {
    int n = 0;
    for (int i = vt__sched_g.ndoms; i < vt__sched_nthrs(); i++) n += vt__sched_lives(vt__sched_g.thrs[i]);
    return n;
}

/*==============================================================================
 * MARK: - @watch   the monitor: workers that stall, deadlocks, dumps on a signal
 * uses:   @api_base @api_rt @plat @mem @err @log @stack @sched @rt @block @unwind @dump @spare
 * test:   tests/test_dump.c tests/test_spare.c
 *
 * One OS thread of the runtime that looks at the workers twice within the time that counts as a stall, from outside. Where
 * a stalled virtual thread is, the kernel says of one that sleeps (/proc/self/task/TID/syscall, where that is allowed).
 * One that burns CPU must say itself where it is: it is sent SIGURG, which nobody notices who does not wait for it, and
 * what handles it for that moment copies registers and the top of the stack, no more. When all have slept for a while it
 * parks as well, and the first that runs again wakes it: an idle program stays idle. A worker that waits for a CPU, because
 * others want it, is not stalled, unless they are vthreads that burn it after their own domains have been taken: it is one
 * of them, most likely, and with n of them it would take n times as long to show.
 *
 * A stalled worker's domain goes to a spare thread (@spare). Where one virtual thread blocks its OS thread, the next often
 * does as well, and what waits behind a row of them waits for each to be noticed: for a while after a hand-off a worker
 * loses its domain after a quarter of the time, and while each hand-off is soon followed by the next, after less and less.
 *
 * Deadlock: every worker sleeps without a timer, no server runs, no other thread is inside, and each vthread waits for
 * something that other vthreads do. Asked after each burst of work, at its end, until there is an answer. The program's
 * own OS threads could still wake them; where there are any (the process has more threads than we made) nothing is said
 * by default, since a program that is driven by its own threads looks just so.
 *
 * In a simulated world (VTHTTP_SIM) there is no such thread.
 *============================================================================*/
enum { VT__WATCH_QUIET_MS = 200, VT__WATCH_LINES_MAX = 200, VT__WATCH_LOGS_MAX = 10 };

typedef struct vt__watched {
    vt__dump_run run;
    bool busy, told, logged;
    bool replaced; /* a spare has its domain, or it had none */
    bool burns;    /* CPU */
    int64_t since; /* run and busy were seen first */
    int64_t cpu;   /* what the thread had had of a CPU when they were seen again, -1: not looked at */
    int64_t again; /* when it is looked at next whether it burns CPU now */
} vt__watched;

static struct {
    pthread_mutex_t lock; /* of on, sig */
    bool on;
    pthread_t os;
    uint32_t word; /* counts wake-ups */
    uint32_t quit;
    uint32_t asked; /* by a signal */
    int sig;        /* 0: none */
    struct vt__plat_sa old;
    vt__watched *of; /* workers; NULL: stalls are not looked for */
    int64_t handed;  /* when a domain was handed over last */
    int row;         /* how many before it came soon after each other */
    int64_t quiet;   /* since when all sleep; 0: they do not */
    int64_t checked; /* switches by the last look for a deadlock, -1: none */
    bool reported;
    int64_t log_second;
    int logs; /* in it */
} vt__watch_g = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* By anybody, a signal handler included. */
static void vt__watch_wake(void) {
    __atomic_fetch_add(&vt__watch_g.word, 1, __ATOMIC_SEQ_CST);
    vt__plat_unpark(&vt__watch_g.word);
}
static void vt__watch_awake(void) {
    if (__atomic_exchange_n(&vt__sched_g.watch_parked, 0, __ATOMIC_SEQ_CST)) vt__watch_wake();
}

/*--- stalls ---*/
/* Text from /proc, of the process (tid 0) or a thread; "" when there is none. */
static void vt__watch_proc(int tid, const char *name, char *buf, size_t cap) {
    char path[64];
    if (tid) snprintf(path, sizeof path, "/proc/self/task/%d/%s", tid, name);
    else snprintf(path, sizeof path, "/proc/self/%s", name);
    int fd = vt__plat_open(path, O_RDONLY | O_CLOEXEC, 0);
    ssize_t n = fd < 0 ? -1 : vt__plat_read(fd, buf, cap - 1);
    if (fd >= 0) (void)vt__plat_close(fd);
    buf[n > 0 ? n : 0] = 0;
}
/* The k-th field of a line of stat, counted from the state, which is number 0: what is before may hold anything. */
static const char *vt__watch_stat(const char *line, int k) {
    const char *p = strrchr(line, ')');
    for (p = p && p[1] ? p + 2 : ""; k > 0 && *p; p++) k -= *p == ' ';
    return p;
}
static int64_t vt__watch_cpu(const vt__thr *t) {
#if defined(__linux__)
    return VT__MAX(vt__plat_cputime(__atomic_load_n(&t->tid, __ATOMIC_RELAXED)), 0);
#else
    (void)t;
    return 0;
#endif
}
/* Vthreads that have lost their domain burn CPU, on other threads than `but`. */
static bool vt__watch_crowded(const vt__thr *but) {
    for (int i = 0; i < vt__sched_nthrs(); i++) {
        const vt__watched *w = &vt__watch_g.of[i];
        if (w->burns && w->replaced && vt__sched_g.thrs[i] != but) return true;
    }
    return false;
}
/* What a thread that does not switch does; false: it would, if it got a CPU. line: of its system call, "" when it burns
 * CPU. */
static bool vt__watch_doing(const vt__thr *t, vt__watched *w, char *out, size_t cap, char *line, size_t max) {
    int64_t cpu = vt__watch_cpu(t);
    int tid = __atomic_load_n(&t->tid, __ATOMIC_RELAXED);
    if (w->cpu >= 0 && cpu - w->cpu >= vt__sched_g.cfg.stall_ms * VT_MS / 4) {
        snprintf(out, cap, "burns CPU");
        line[0] = 0;
        return w->burns = true;
    }
    vt__watch_proc(tid, "stat", line, max);
    char state = *vt__watch_stat(line, 0);
    if (state == 'R') {
        if (!w->run.v) return false;
        line[0] = 0;
        snprintf(out, cap, "wants a CPU, as others do");
        return w->burns = vt__watch_crowded(NULL);
    }
    vt__watch_proc(tid, "syscall", line, max);
    if (!line[0]) snprintf(line, max, "?"); /* not allowed to read it, or not there */
    if (line[0] >= '0' && line[0] <= '9') snprintf(out, cap, "sleeps in system call %d", atoi(line));
    else snprintf(out, cap, "sleeps");
    return true;
}
/*--- where a thread is that stalls ---*/
enum { VT__WATCH_NOBODY, VT__WATCH_ASKED, VT__WATCH_TAKEN, VT__WATCH_TOLD };
#define VT__WATCH_COPY 16384
#define VT__WATCH_PATIENCE (100 * VT_MS)
static struct {
    uint32_t state;
    const vt__vth *v; /* who is asked */
    vt__unwind_regs r;
    vt__unwind_stack s;
    struct vt__plat_sa old;
    char copy[VT__WATCH_COPY];
} vt__watch_where;

/* What a vthread may use of its stack; nothing: that is not what stands there. Its owner may be at work. */
static VT__UNUSED VT__UNWIND_RAW vt__unwind_stack vt__watch_bounds(const vt__vth *v) {
    char *base = vt__stack_base(*(char *const volatile *)&v->stack);
    uintptr_t low = (uintptr_t)base + vt__stack_g.guard;
    if ((uintptr_t)v - (uintptr_t)base >= vt__stack_g.stride || low > (uintptr_t)v) low = (uintptr_t)v;
    return vt__dump_bounds(v, low);
}
#if defined(__linux__) && VT__CTX_ASM
/* The registers of a signal's context, as the kernel lays it out. */
static vt__unwind_regs vt__watch_regs(const void *context) {
    const char *at = context;
    uintptr_t g[36];
    memcpy(g, at + (VT__X86_64 ? 40 : VT__I386 ? 20 : 176), (VT__X86_64 || VT__I386 ? 17 : 34) * sizeof *g);
    if (VT__X86_64) return (vt__unwind_regs){g[16], g[15], g[10], 0};
    if (VT__AARCH64) return (vt__unwind_regs){g[33], g[32], g[30], g[31]};
    if (VT__RISCV64) return (vt__unwind_regs){g[0], g[2], g[8], g[1]};
    return (vt__unwind_regs){g[14], g[7], g[6], 0};
}
static VT__UNWIND_RAW void vt__watch_take(const void *context) {
    vt__unwind_stack s = vt__watch_bounds(vt__watch_where.v);
    vt__unwind_regs r = vt__watch_regs(context);
    uintptr_t n = 0, word = sizeof n;
    if (r.sp >= s.low && r.sp < s.high && r.sp % word == 0)
        n = VT__MIN(s.high - r.sp, (uintptr_t)VT__WATCH_COPY);
    for (uintptr_t i = 0; i + word <= n; i += word)
        *(uintptr_t *)(void *)(vt__watch_where.copy + i) = *(const volatile uintptr_t *)(r.sp + i);
    vt__watch_where.r = r;
    vt__watch_where.s = (vt__unwind_stack){r.sp, r.sp + n, vt__watch_where.copy};
}
static void vt__watch_on_probe(int sig, void *info, void *context) {
    uint32_t asked = VT__WATCH_ASKED;
    const struct vt__plat_sa *old = &vt__watch_where.old;
    if (__atomic_compare_exchange_n(&vt__watch_where.state, &asked, VT__WATCH_TAKEN, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE)) {
        bool here = vt__sched_self() == vt__watch_where.v;
        if (here) vt__watch_take(context);
        __atomic_store_n(&vt__watch_where.state, here ? VT__WATCH_TOLD : VT__WATCH_NOBODY, __ATOMIC_RELEASE);
    } else if (old->flags & VT__SA_SIGINFO) {
        old->fn.action(sig, info, context);
    } else if (old->fn.handler != SIG_DFL && old->fn.handler != SIG_IGN) {
        old->fn.handler(sig);
    }
}
/* Whether it lets the signal through, and so meets it as soon as it runs: not when all is over. */
static bool vt__watch_hears(const vt__thr *t) {
    char text[4096];
    vt__watch_proc(__atomic_load_n(&t->tid, __ATOMIC_RELAXED), "status", text, sizeof text);
    const char *blocked = strstr(text, "\nSigBlk:");
    return blocked && !(strtoull(blocked + 8, NULL, 16) >> (SIGURG - 1) & 1);
}
/* True: it has told. */
static bool vt__watch_probe(const vt__thr *t) {
    int64_t until = vt__plat_now() + VT__WATCH_PATIENCE;
    uint32_t is = VT__WATCH_ASKED;
    __atomic_store_n(&vt__watch_where.state, VT__WATCH_ASKED, __ATOMIC_SEQ_CST);
    if (vt__plat_tgkill(__atomic_load_n(&t->tid, __ATOMIC_RELAXED), SIGURG) < 0) until = 0;
    while ((is = __atomic_load_n(&vt__watch_where.state, __ATOMIC_ACQUIRE)) == VT__WATCH_ASKED ||
           is == VT__WATCH_TAKEN) {
        if (is == VT__WATCH_ASKED && vt__plat_now() >= until &&
            __atomic_compare_exchange_n(&vt__watch_where.state, &is, VT__WATCH_NOBODY, false,
                                        __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
            return false;
        vt__plat_sleep(50000);
    }
    return is == VT__WATCH_TOLD;
}
/* Asks who burns CPU. The program's own handler is out of its place for a moment, and called from ours. */
static int vt__watch_trace_busy(const vt__thr *t, const vt__vth *v, uintptr_t *at) {
    struct vt__plat_sa sa, now;
    memset(&sa, 0, sizeof sa);
    sa.fn.action = vt__watch_on_probe;
    sa.flags = VT__SA_SIGINFO | VT__SA_RESTART | VT__SA_ONSTACK;
    if (!vt__watch_hears(t)) return 0;
    vt__watch_where.v = v;
    if (VT__TSAN) return 0; /* which would keep the signal until a call that it knows */
    if (vt__sched_g.cfg.no_segv_handler) return 0; /* no other stack, and the vthread's may be nearly full */
    if (vt__plat_sigaction(SIGURG, NULL, &vt__watch_where.old) < 0) return 0;
    if (vt__plat_sigaction(SIGURG, &sa, NULL) < 0) return 0;
    bool told = vt__watch_probe(t);
    if (vt__plat_sigaction(SIGURG, NULL, &now) >= 0 && now.fn.action == vt__watch_on_probe)
        (void)vt__plat_sigaction(SIGURG, &vt__watch_where.old, NULL);
    return told ? vt__unwind(&vt__watch_where.s, vt__watch_where.r, false, at) : 0;
}
/* `line` is what the kernel says of a system call: number, six arguments, stack pointer, where it goes on. */
static int vt__watch_trace_asleep(const vt__vth *v, const char *line, uintptr_t *at) {
    unsigned long long sp = 0, pc = 0;
    if (sscanf(line, "%*s %*s %*s %*s %*s %*s %*s %llx %llx", &sp, &pc) != 2) return 0;
    vt__unwind_stack s = vt__watch_bounds(v);
    vt__unwind_regs r = {(uintptr_t)pc, (uintptr_t)sp, 0, 0};
    if (r.sp < s.low || r.sp >= s.high) return 0; /* an emulator's own, say */
    s.p += r.sp - s.low;
    s.low = r.sp;
    return vt__unwind(&s, r, false, at);
}
#else
static int vt__watch_trace_busy(const vt__thr *t, const vt__vth *v, uintptr_t *at) {
    (void)t, (void)v, (void)at;
    return 0;
}
static int vt__watch_trace_asleep(const vt__vth *v, const char *line, uintptr_t *at) {
    (void)v, (void)line, (void)at;
    return 0;
}
#endif
/* Words for the log; "": nothing is known. */
static void vt__watch_trace(const vt__thr *t, const vt__dump_run *run, const char *line, char *out,
                            size_t cap) {
    uintptr_t at[VT__UNWIND_FRAMES];
    vt__dump_out o = {.p = out, .cap = cap};
    int n = 0;
    out[0] = 0;
    if (run->v && line[0]) n = vt__watch_trace_asleep(run->v, line, at);
    /* among many that burn CPU it would be long before it has one to answer with, and the monitor has more to do */
    else if (run->v && !vt__watch_crowded(t)) n = vt__watch_trace_busy(t, run->v, at);
    if (!n) return;
    vt__dump_put(&o, ";");
    vt__dump_addrs(&o, at, n);
    uintptr_t ours = 0;
    memcpy(&ours, &(int (*)(const vt_cfg *, vt_fn *, void *)){vt_run}, sizeof ours);
    vt__dump_addr(&o, "vt_run", ours);
}
/* A program that stalls all the time shall not fill its log. */
static bool vt__watch_may_log(int64_t now) {
    if (now / VT_SEC != vt__watch_g.log_second) vt__watch_g.log_second = now / VT_SEC, vt__watch_g.logs = 0;
    return vt__watch_g.logs++ < VT__WATCH_LOGS_MAX;
}
static void vt__watch_name(const vt__dump_run *r, char *out, size_t cap) {
    if (r->v) snprintf(out, cap, "virtual thread '%s' spawned at %s", r->name, r->site ? r->site : "?");
    else snprintf(out, cap, "the scheduler");
}
/* What becomes of its domain. */
static const char *vt__watch_replace(vt__thr *t, vt__watched *w, int64_t now) {
    int r = vt__sched_g.cfg.max_spares ? vt__spare_handoff(t) : -EAGAIN;
    if (r >= 0) {
        bool soon = now - vt__watch_g.handed < vt__sched_g.cfg.stall_ms * VT_MS;
        vt__watch_g.row = soon ? vt__watch_g.row + 1 : 0;
        vt__watch_g.handed = now;
    }
    w->replaced = r >= 0 || vt__sched_driver(t->dom) != t;
    return r >= 0 ? "; another thread takes its place" : r == VT_ELIMIT ? "; no spare thread is left" : "";
}
static void vt__watch_stalled(vt__thr *t, vt__watched *w, int64_t now) {
    char doing[64], who[300], line[512], trace[640];
    vt__dump_run run;
    if (!vt__watch_doing(t, w, doing, sizeof doing, line, sizeof line)) return;
    if (!vt__dump_peek(t, &run) || !vt__dump_same(&run, &w->run)) return;
    const char *then = w->replaced ? "" : vt__watch_replace(t, w, now);
    if (w->told || now - w->since < vt__sched_g.cfg.stall_ms * VT_MS) return;
    w->run = run;
    w->told = true;
    __atomic_fetch_add(&vt__sched_g.stalls, 1, __ATOMIC_RELAXED);
    if (!(w->logged = vt__watch_may_log(now))) return;
    vt__watch_name(&run, who, sizeof who);
    vt__watch_trace(t, &run, line, trace, sizeof trace);
    if (!vt__dump_peek(t, &run) || !vt__dump_same(&run, &w->run)) trace[0] = 0; /* of nobody: it went on */
    vt_log(VT_LOG_WARN, "worker %d has not switched for %lld ms: %s %s%s%s", t->index,
           (long long)((now - w->since) / VT_MS), who, doing, then, trace);
}
static void vt__watch_over(const vt__thr *t, vt__watched *w, int64_t now) {
    char who[400];
    __atomic_fetch_add(&vt__sched_g.stalled_ns, now - w->since, __ATOMIC_RELAXED);
    vt__watch_name(&w->run, who, sizeof who);
    if (w->logged)
        vt_log(VT_LOG_WARN, "worker %d goes on after %lld ms: %s", t->index,
               (long long)((now - w->since) / VT_MS), who);
    w->told = w->logged = false;
}
/* A thread of a host program is busy only while a vthread runs on it. */
static bool vt__watch_busy(const vt__thr *t) {
    if (vt__sched_g.host) return __atomic_load_n(&t->cur, __ATOMIC_RELAXED) != NULL;
    if (__atomic_load_n(&vt__sched_g.quit, __ATOMIC_RELAXED) || !vt__sched_lives(t)) return false;
    return !__atomic_load_n(&t->sleeping, __ATOMIC_SEQ_CST);
}
/* For how long a worker may do the same. */
static int64_t vt__watch_patience(int64_t now) {
    int64_t stall = vt__sched_g.cfg.stall_ms * VT_MS, since = now - vt__watch_g.handed;
    if (since >= 10 * stall) return stall;
    int64_t in_a_row = stall / 4 >> (since < stall ? VT__MIN(vt__watch_g.row, 2) : 0);
    return VT__MAX(in_a_row, VT__MIN(stall / 4, VT_MS));
}
static void vt__watch_worker(vt__thr *t, vt__watched *w, int64_t now, int64_t patience) {
    vt__dump_run run;
    bool busy = vt__watch_busy(t);
    vt__dump_sample(t, &run);
    if (busy != w->busy || !vt__dump_same(&run, &w->run)) {
        if (w->told) vt__watch_over(t, w, now);
        w->run = run;
        w->busy = busy;
        w->replaced = w->burns = false;
        w->since = now;
        w->cpu = -1;
    } else if (busy && !(w->told && w->replaced)) {
        if (w->replaced) patience = vt__sched_g.cfg.stall_ms * VT_MS; /* to be told of */
        if (w->cpu < 0) w->cpu = vt__watch_cpu(t);
        else if (now - w->since >= patience) vt__watch_stalled(t, w, now);
    } else if (busy && !w->burns && now >= w->again) { /* it slept, or seemed to */
        w->again = now + vt__sched_g.cfg.stall_ms * VT_MS;
        w->burns = vt__watch_cpu(t) - w->cpu >= VT_MS;
    }
}

/*--- deadlocks ---*/
static int64_t vt__watch_switches(void) {
    int64_t n = __atomic_load_n(&vt__sched_g.foreign, __ATOMIC_SEQ_CST);
    for (int i = 0; i < vt__sched_nthrs(); i++) {
        const vt__thr *t = vt__sched_g.thrs[i];
        n += __atomic_load_n(&t->switches, __ATOMIC_RELAXED) + __atomic_load_n(&t->spawned, __ATOMIC_RELAXED);
    }
    return n;
}
/* Every worker sleeps; without end: no timer is armed either. */
static bool vt__watch_all_sleep(bool without_end) {
    for (int i = 0; i < vt__sched_nthrs(); i++) {
        uint32_t s = __atomic_load_n(&vt__sched_g.thrs[i]->sleeping, __ATOMIC_SEQ_CST);
        if (!vt__sched_lives(vt__sched_g.thrs[i])) continue;
        if (!s || (without_end && !(s & VT__SCHED_ENDLESS))) return false;
    }
    return true;
}
/* How many threads of the process we did not make. */
static int vt__watch_strangers(void) {
    char line[512];
    vt__watch_proc(0, "stat", line, sizeof line);
    int n = line[0] ? atoi(vt__watch_stat(line, 17)) : 0;
    if (n <= 0) return 1; /* who knows: emulators make a stat up that says 0 */
    n -= vt__sched_g.ndoms + vt__spare_count() + 1;
    pthread_mutex_lock(&vt__block_g.lock);
    n -= vt__block_g.threads;
    pthread_mutex_unlock(&vt__block_g.lock);
    return n;
}
static void vt__watch_log_line(void *ctx, const char *line) {
    int *n = ctx;
    if (++*n == VT__WATCH_LINES_MAX) line = "... (vt_dump has more)";
    if (*n <= VT__WATCH_LINES_MAX) vt_log(VT_LOG_ERROR, "%s", line);
}
static int64_t vt__watch_live(void) {
    int64_t n = __atomic_load_n(&vt__sched_g.foreign, __ATOMIC_SEQ_CST);
    for (int i = 0; i < vt__sched_nthrs(); i++)
        n += __atomic_load_n(&vt__sched_g.thrs[i]->spawned, __ATOMIC_SEQ_CST) -
             __atomic_load_n(&vt__sched_g.thrs[i]->ended, __ATOMIC_SEQ_CST);
    return n;
}
/* Whether it is worth asking: somebody lives, and nothing lasting is in the way. */
static bool vt__watch_suspects(int *strangers) {
    if (vt__sched_g.cfg.deadlock == VT_NONE || vt__watch_g.reported || vt__sched_g.host) return false;
    if (__atomic_load_n(&vt__sched_g.sources, __ATOMIC_SEQ_CST)) return false;
    *strangers = vt__watch_strangers();
    return (*strangers <= 0 || vt__sched_g.cfg.deadlock == 1) && vt__watch_live() > 0;
}
/* False: something that passes was in the way (a thread of the program's inside, another dump, no answer), and nobody
 * might run again to have us asked once more: the question stays open. */
static bool vt__watch_deadlock(void) {
    int64_t switches = vt__watch_switches();
    int lines = 0;
    if (switches == vt__watch_g.checked || !vt__watch_all_sleep(true)) return true;
    int strangers = 0, r = 0;
    if (vt__watch_suspects(&strangers)) {
        if (__atomic_load_n(&vt__sched_g.guests, __ATOMIC_SEQ_CST)) return false;
        if ((r = vt__dump_deadlocked()) < 0) return false;
        for (int i = 0; i < 100 && !vt__watch_all_sleep(true); i++)
            vt__plat_sleep(VT_MS); /* again, after the question */
        if (!vt__watch_all_sleep(true) || vt__watch_switches() != switches) return false;
    }
    vt__watch_g.checked = switches;
    if (r == 0) return true;
    vt__watch_g.reported = true;
    vt_log(VT_LOG_ERROR, "deadlock: all %lld virtual threads wait for each other%s",
           (long long)vt__watch_live(),
           strangers > 0 ? ", unless another OS thread of the program wakes one" : "");
    (void)vt_dump_to(vt__watch_log_line, &lines, 0);
    return true;
}

/*--- the thread ---*/
/* Who drives a domain beside vthreads that burn CPU comes soon; nobody else. */
static void vt__watch_slices(void) {
    bool crowded = vt__watch_crowded(NULL);
    for (int i = 0; i < vt__sched_nthrs(); i++) {
        vt__thr *t = vt__sched_g.thrs[i];
        if (vt__sched_lives(t)) vt__spare_slice(t, crowded && vt__sched_driver(t->dom) == t);
    }
}
/* One look at everything; how long until the next, in ns, -1: until somebody wakes us. */
static int64_t vt__watch_look(void) {
    int64_t now = vt__plat_now(), next = 100 * VT_MS;
    __atomic_store_n(&vt__sched_g.watch_parked, 0, __ATOMIC_SEQ_CST);
    if (vt__watch_g.of) {
        int64_t patience = vt__watch_patience(now);
        next = VT__MIN(patience / 2, next);
        for (int i = 0; i < vt__sched_nthrs(); i++) {
            vt__watch_worker(vt__sched_g.thrs[i], &vt__watch_g.of[i], now, patience);
            if (vt__watch_g.of[i].cpu >= 0 && !vt__watch_g.of[i].replaced)
                next = VT__MIN(next, patience / 4); /* under suspicion */
        }
        vt__watch_slices();
    } else if (vt__sched_g.cfg.deadlock == VT_NONE || vt__watch_g.reported) {
        return -1;
    }
    if (!vt__watch_all_sleep(false)) return vt__watch_g.quiet = 0, next;
    if (!vt__watch_g.quiet) vt__watch_g.quiet = now;
    if (now - vt__watch_g.quiet < VT__WATCH_QUIET_MS * VT_MS) return next;
    bool sure = vt__watch_deadlock();
    vt__watch_g.quiet = 0; /* the next burst is looked at for as long, or each would wake us */
    if (!sure) return next;
    __atomic_store_n(&vt__sched_g.watch_parked, 1, __ATOMIC_SEQ_CST);
    if (vt__watch_all_sleep(false)) return -1;
    __atomic_store_n(&vt__sched_g.watch_parked, 0, __ATOMIC_SEQ_CST);
    return next;
}
static void *vt__watch_thread(void *arg) {
    struct vt__plat_sigset all;
    (void)arg;
    memset(&all, 0xff, sizeof all);
    (void)vt__libc_sigmask(SIG_BLOCK, &all, NULL); /* the program's signals are for its own threads */
#if defined(__linux__)
    (void)vt__plat_slice(0, VT__SPARE_SLICE_NS);
#endif
    for (;;) {
        uint32_t seen = __atomic_load_n(&vt__watch_g.word, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(&vt__watch_g.quit, __ATOMIC_SEQ_CST)) return NULL;
        if (__atomic_exchange_n(&vt__watch_g.asked, 0, __ATOMIC_SEQ_CST) && vt_dump(2, 0) == -EBUSY)
            __atomic_store_n(&vt__watch_g.asked, 1, __ATOMIC_SEQ_CST); /* with the next look */
        int64_t ns = vt__watch_look();
        if (__atomic_load_n(&vt__watch_g.asked, __ATOMIC_SEQ_CST)) ns = 10 * VT_MS;
        vt__plat_park(&vt__watch_g.word, seen, ns);
    }
}
/* Under the lock. */
static int vt__watch_launch(void) {
    if (vt__watch_g.on) return 0;
    if (VTHTTP_SIM) return -ENOTSUP;
    int r = vt__plat_thread(&vt__watch_g.os, vt__watch_thread, NULL);
    vt__watch_g.on = r >= 0;
    return r;
}
static void vt__watch_start(void) {
    const vt_cfg *c = &vt__sched_g.cfg;
    bool stalls = c->stall_ms != VT_NONE, deadlocks = c->deadlock != VT_NONE && !vt__sched_g.host;
    if (VTHTTP_SIM) return;
    vt__spare_start();
    vt__watch_g.checked = -1;
    vt__watch_g.reported = false;
    vt__watch_g.quiet = vt__watch_g.handed = 0;
    pthread_mutex_lock(&vt__watch_g.lock);
    size_t n = (size_t)(vt__sched_g.ndoms + vt__sched_g.cfg.max_spares);
    if (stalls) vt__watch_g.of = vt__mem_zalloc(n * sizeof *vt__watch_g.of);
    int r = stalls || deadlocks ? vt__watch_launch() : 0;
    pthread_mutex_unlock(&vt__watch_g.lock);
    if (r < 0 || (stalls && !vt__watch_g.of))
        vt_log(VT_LOG_WARN, "no monitor: %s", vt_strerror(r < 0 ? r : -ENOMEM));
}
static void vt__watch_on_signal(int sig, void *info, void *context) {
    int saved = errno;
    const struct vt__plat_sa *old = &vt__watch_g.old;
    __atomic_store_n(&vt__watch_g.asked, 1, __ATOMIC_SEQ_CST);
    vt__watch_wake();
    if (old->flags & VT__SA_SIGINFO) old->fn.action(sig, info, context);
    else if (old->fn.handler != SIG_DFL && old->fn.handler != SIG_IGN) old->fn.handler(sig);
    errno = saved;
}
static void vt__watch_signal_off(void) {
    if (vt__watch_g.sig) vt__sched_signal_back(vt__watch_g.sig, vt__watch_on_signal, &vt__watch_g.old);
    vt__watch_g.sig = 0;
}
static void vt__watch_stop(void) {
    pthread_mutex_lock(&vt__watch_g.lock);
    vt__watch_signal_off();
    bool on = vt__watch_g.on;
    vt__watch_g.on = false;
    pthread_mutex_unlock(&vt__watch_g.lock);
    if (on) {
        __atomic_store_n(&vt__watch_g.quit, 1, __ATOMIC_SEQ_CST);
        vt__watch_wake();
        vt__plat_join(vt__watch_g.os);
        __atomic_store_n(&vt__watch_g.quit, 0, __ATOMIC_SEQ_CST);
        vt__spare_slice(vt__sched_g.thrs[0], 0); /* the program's own thread; the others have ended */
    }
    vt__spare_stop();
    for (int i = 0; vt__watch_g.of && i < vt__sched_g.nthrs; i++)
        if (vt__watch_g.of[i].told) vt__watch_over(vt__sched_g.thrs[i], &vt__watch_g.of[i], vt__plat_now());
    vt__mem_free(vt__watch_g.of);
    vt__watch_g.of = NULL;
    __atomic_store_n(&vt__watch_g.asked, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&vt__sched_g.watch_parked, 0, __ATOMIC_SEQ_CST);
}
/* Before any constructor of the program that might start a runtime. */
__attribute__((constructor(101))) static void vt__watch_register(void) {
    vt__sched_up.start = vt__watch_start;
    vt__sched_up.stop = vt__watch_stop;
    vt__sched_up.awake = vt__watch_awake;
}

/* Under the lock. */
static int vt__watch_signal_on(int sig) {
    struct vt__plat_sa sa;
    int r = vt__watch_launch();
    if (r < 0) return r;
    memset(&sa, 0, sizeof sa);
    sa.fn.action = vt__watch_on_signal;
    sa.flags = VT__SA_SIGINFO | VT__SA_RESTART | VT__SA_ONSTACK;
    /* the old one first: the new one may be called at once */
    if ((r = vt__plat_sigaction(sig, NULL, &vt__watch_g.old)) < 0) return r;
    if ((r = vt__plat_sigaction(sig, &sa, NULL)) < 0) return r;
    vt__watch_g.sig = sig;
    return 0;
}
VT_API int vt_dump_on_signal(int sig) {
    int r = 0;
    if (sig < 0) return -EINVAL;
    if (!vt__sched_guest_in()) return vt__sched_absent();
    pthread_mutex_lock(&vt__watch_g.lock);
    if (!sig) vt__watch_signal_off();
    else if (vt__watch_g.sig && vt__watch_g.sig != sig) r = -EBUSY;
    else if (!vt__watch_g.sig) r = vt__watch_signal_on(sig);
    pthread_mutex_unlock(&vt__watch_g.lock);
    vt__sched_guest_out();
    return r;
}

#if VTHTTP_GDB && VT__CTX_ASM && defined(__ELF__)
/*==============================================================================
 * MARK: - @gdb     a debugger's commands: vt list, vt bt N, vt bt all (VTHTTP_GDB)
 * uses:
 * test:   tests/gdb_backtrace.sh
 *
 * Python for gdb, which finds it in the program's file (.debug_gdb_scripts); the running program never loads it, and
 * `strip` takes it away. A parked virtual thread is shown as what called the frame that the debugger is at: its three
 * words {sp, fp, pc} and its saved registers are given as that frame's caller. So nothing is changed in the program, and
 * a core file will do.
 *============================================================================*/
#define VT__GDB(line) ".ascii \"" line "\\n\"\n"
/* clang-format off */
__asm__(
    ".pushsection \".debug_gdb_scripts\", \"MS\", %progbits, 1\n"
    ".byte 4\n" /* Python, in place */
    VT__GDB("gdb.inlined-vthttp")
    VT__GDB("import gdb, gdb.unwinder")
    VT__GDB("class VtId:")
    VT__GDB("    def __init__(self, sp, pc): self.sp, self.pc = sp, pc")
    VT__GDB("class VtUnwinder(gdb.unwinder.Unwinder):")
    VT__GDB("    def __init__(self):")
    VT__GDB("        super().__init__('vthttp')")
    VT__GDB("        self.ctx = None")
    VT__GDB("    def __call__(self, frame):")
    VT__GDB("        ctx, self.ctx = self.ctx, None")
    VT__GDB("        if ctx is None: return None")
    VT__GDB("        arch = frame.architecture().name()")
    VT__GDB("        regs = ['pc', 'sp', 'x29'] if arch == 'aarch64' else ['pc', 'sp', 'fp']")
    VT__GDB("        if arch == 'i386:x86-64': regs = ['rip', 'rsp', 'rbp', 'rbx', 'r12', 'r13', 'r14', 'r15']")
    VT__GDB("        elif arch.startswith('i386'): regs = ['eip', 'esp', 'ebp', 'ebx', 'esi', 'edi']")
    VT__GDB("        have = [ctx['pc'], ctx['sp'], ctx['fp']]")
    VT__GDB("        have += [ctx['saved'][i] for i in range(len(regs) - 3)]")
    VT__GDB("        info = frame.create_unwind_info(VtId(ctx['sp'] - 64, ctx['pc']))")
    VT__GDB("        for name, value in zip(regs, have): info.add_saved_register(name, value)")
    VT__GDB("        return info")
    VT__GDB("vt_unwinder = VtUnwinder()")
    VT__GDB("gdb.unwinder.register_unwinder(None, vt_unwinder, True)")
    VT__GDB("def vt_all():")
    VT__GDB("    g = gdb.parse_and_eval('vt__sched_g')")
    VT__GDB("    vth = gdb.lookup_type('vt__vth')")
    VT__GDB("    at = [f for f in vth.fields() if f.name == 'all'][0].bitpos // 8")
    VT__GDB("    for i in range(int(g['nthrs'])):")
    VT__GDB("        t = g['thrs'][i].dereference()")
    VT__GDB("        n = t['all']['next']")
    VT__GDB("        while int(n) != int(t['all'].address):")
    VT__GDB("            if int(n) != int(t['mark'].address):")
    VT__GDB("                yield t, gdb.Value(int(n) - at).cast(vth.pointer())")
    VT__GDB("            n = n['next']")
    VT__GDB("def vt_line(i, t, v):")
    VT__GDB("    waits = 'waits in ' + str(v['abort']).split('<')[-1].rstrip('>') if int(v['abort']) else 'ready'")
    VT__GDB("    state = 'running' if int(t['cur']) == int(v) else waits")
    VT__GDB("    site = v['site'].string() if int(v['site']) else '?'")
    VT__GDB("    print('%d worker %d 0x%x %s %s (%s)' % (i, int(t['index']), int(v), v['name'].string('utf-8', 'replace') or '-', state, site))")
    VT__GDB("def vt_frames(v):")
    VT__GDB("    vt_unwinder.ctx = v['ctx']")
    VT__GDB("    gdb.invalidate_cached_frames()")
    VT__GDB("    f, n = gdb.newest_frame(), 0")
    VT__GDB("    while f is not None and f.pc() != int(v['ctx']['pc']): f = f.older()")
    VT__GDB("    while f is not None and f.pc() != 0:")
    VT__GDB("        sal = f.find_sal()")
    VT__GDB("        where = ' at %s:%d' % (sal.symtab.filename, sal.line) if sal.symtab else ''")
    VT__GDB("        print('#%-2d 0x%x in %s%s' % (n, f.pc(), f.name() or '?', where))")
    VT__GDB("        f, n = f.older(), n + 1")
    VT__GDB("    vt_unwinder.ctx = None")
    VT__GDB("    gdb.invalidate_cached_frames()")
    VT__GDB("def vt_bt(t, v):")
    VT__GDB("    if int(t['cur']) != int(v): return vt_frames(v)")
    VT__GDB("    was = gdb.selected_thread()")
    VT__GDB("    for th in gdb.selected_inferior().threads():")
    VT__GDB("        if th.ptid[1] == int(t['tid']): th.switch()")
    VT__GDB("    gdb.execute('backtrace')")
    VT__GDB("    was.switch()")
    VT__GDB("class Vt(gdb.Command):")
    VT__GDB("    '''Virtual threads of vthttp.h: vt list, vt bt N, vt bt all (N as vt list numbers them).'''")
    VT__GDB("    def __init__(self): super().__init__('vt', gdb.COMMAND_STACK)")
    VT__GDB("    def invoke(self, arg, tty):")
    VT__GDB("        a = arg.split()")
    VT__GDB("        if a != ['list'] and (len(a) != 2 or a[0] != 'bt' or (a[1] != 'all' and not a[1].isdigit())):")
    VT__GDB("            raise gdb.GdbError('vt list | vt bt N | vt bt all')")
    VT__GDB("        found = 0")
    VT__GDB("        for i, (t, v) in enumerate(vt_all(), 1):")
    VT__GDB("            if a[-1] not in ('list', 'all', str(i)): continue")
    VT__GDB("            found += 1")
    VT__GDB("            vt_line(i, t, v)")
    VT__GDB("            if a[0] == 'bt': vt_bt(t, v)")
    VT__GDB("        if not found and a[-1].isdigit(): raise gdb.GdbError('no virtual thread ' + a[1])")
    VT__GDB("Vt()")
    ".byte 0\n"
    ".popsection\n");
/* clang-format on */
#endif

#if VTHTTP_HOOKS
/*==============================================================================
 * MARK: - @hooks   libc's blocking calls, made to park (VTHTTP_HOOKS)
 * uses:   @plat @mem @stack @poll @sched @block @dump
 * test:   tests/test_hooks.c tests/hooks_real.sh
 *
 * Strong definitions of read, poll, sleep, ... in the program's own object: client libraries that block call these. Off a
 * virtual thread (other threads, scheduler context, a forked child, a signal handler on an alternate stack) each makes
 * its system call and nothing else; only a cancellation point of pthread_cancel it is no more. On a virtual thread:
 *
 *   try without waiting -> EAGAIN -> did the program ask for that (MSG_DONTWAIT, O_NONBLOCK)? -> park -> try again
 *
 * The try is MSG_DONTWAIT on sockets, poll before the call on pipes, terminals and the like; regular files are always
 * ready. No descriptor is made non-blocking, with one exception: connect has no flag for it, so O_NONBLOCK is set and
 * taken back around that one system call, on a socket that nobody can use yet. poll-then-call has a race: where other OS
 * threads or processes read the same pipe, or accept from the same listener in another process, the loser waits in the
 * kernel with its OS thread.
 *
 * A wait is a node on the caller's stack, in the list of its descriptor, in a second epoll set that belongs to the OS
 * thread and stands in its domain's set. Any number of virtual threads may wait for one descriptor; descriptors of
 * vt_sock live in another set and never meet these. All arming is one-shot, nothing is taken out: a closed descriptor
 * leaves by itself, its number's next owner is armed anew. Who waits for a descriptor that was closed hears of it
 * (EBADF) when the number is armed again, or when he looks, ever more rarely (250 ms to 8 s).
 *
 * Results: cancel is ECANCELED and the virtual thread's deadline ETIMEDOUT, when the call would wait or has begun to,
 * with the part that was done before them. A cancelled virtual thread's blocking calls fail at once, ready or not; calls
 * that would not wait anyway, and regular files, go on working. A sleep that they end is EINTR, with the time left; the
 * next sleep naps and says ECANCELED or ETIMEDOUT (sleep: 0 left), so loops over EINTR end. A signal's handler runs, but
 * ends no wait (as with SA_RESTART), except those of ppoll, pselect and epoll_pwait with a mask, which look every 10 ms.
 *
 * Not hooked: stdio's inside, sendfile, splice, sendmmsg, recvmmsg, preadv, waitpid, flock, semaphores, gethostbyname.
 *============================================================================*/
enum {
    VT__HOOKS_OVER = 1, /* the call's own time is over */
    VT__HOOKS_LOOK_MS = 250,
    VT__HOOKS_LOOK_MAX_MS = 8000,
    VT__HOOKS_SIGNAL_MS = 10,
    VT__HOOKS_NAP_MAX_MS = 20,
    VT__HOOKS_VAIN = 2,   /* so many wake-ups that bring nothing are chance */
    VT__HOOKS_SIGSET = 8, /* the kernel's sigset */
    VT__HOOKS_PIPE = 4096 /* what a pipe that polls writable takes without waiting */
};

struct vt__hooks_wait;
typedef struct vt__hooks_node {
    struct vt__hooks_node *next, **at; /* at: what points here; NULL: in no list */
    struct vt__hooks_wait *wait;
    int fd;
    uint32_t events;
} vt__hooks_node;
/* A waiting call. `done`: it was made ready, or its abort was first. */
struct vt__hooks_wait {
    vt__vth *v;
    vt__hooks_node *nodes;
    size_t n;
    bool done, closed;
};
typedef struct vt__hooks_fd {
    vt__hooks_node *first;
    bool known; /* it was added to the set, and closed since, perhaps */
} vt__hooks_fd;
enum { VT__HOOKS_PAGE = 64 };

/* Of an OS thread, made at its first wait. */
typedef struct vt__hooks_thr {
    vt__pd pd; /* the second set, in the domain's */
    vt__msg msg;
    uint32_t told;
    vt__thr *thr;
    vt__hooks_fd **pages; /* by descriptor: who waits, nothing else is known of it */
    size_t npages;
} vt__hooks_thr;

/* One hooked call on a virtual thread. */
typedef struct vt__hooks_op {
    vt__vth *v;
    int fd;
    int timeo;       /* the socket's option that limits the wait, 0: none */
    uint32_t events; /* that end the wait */
    bool asked;      /* `until` and `never` are known */
    bool never;      /* the program wants no wait */
    bool many;       /* a wait for several: once tells which of them is closed */
    int vain;        /* wake-ups in a row that brought nothing */
    int64_t until;   /* the call's own limit, 0: none */
    int64_t step_ms; /* look again after that, 0: for closed descriptors only */
    long nr, a[6];
    long (*once)(struct vt__hooks_op *op); /* does not wait: -EAGAIN */
} vt__hooks_op;

#define VT__HOOKS_PTR(p) ((long)(intptr_t)(p))

/* The virtual thread that calls; NULL: a plain call. A signal handler on a stack of its own is nobody's. */
VT__INLINE vt__vth *vt__hooks_self(void) {
    vt__vth *v = vt__sched_self();
    if (!v) return NULL;
    uintptr_t below = (uintptr_t)v - (uintptr_t)__builtin_frame_address(0);
    return below < vt__stack_g.stride ? v : NULL;
}
/* The end of each hook: errno as libc sets it, untouched by a call that succeeds. */
VT__INLINE long vt__hooks_end(long r, int err) {
    errno = r < 0 ? (int)-r : err;
    return r < 0 ? -1 : r;
}
VT__INLINE long vt__hooks_plain(long nr, long a, long b, long c, long d, long e, long f) {
    int err = errno;
    return vt__hooks_end(vt__plat_raw(nr, (const long[6]){a, b, c, d, e, f}), err);
}
VT__INLINE int64_t vt__hooks_after(int64_t ns) {
    int64_t now = vt__plat_now();
    return ns > INT64_MAX - now ? INT64_MAX : now + ns;
}
/* Nanoseconds, cut at INT64_MAX; below 0: not a valid time. */
static int64_t vt__hooks_ns(int64_t s, int64_t ns) {
    if (s < 0 || ns < 0 || ns >= VT_SEC) return -EINVAL;
    return s >= INT64_MAX / VT_SEC ? INT64_MAX : s * VT_SEC + ns;
}

/*--- the second set ---*/
static void vt__hooks_wake(struct vt__hooks_wait *w) {
    if (w->done) return;
    w->done = true;
    vt__sched_ready(w->v);
}
static bool vt__hooks_abort(vt__vth *v) {
    struct vt__hooks_wait *w = v->wait_obj;
    if (w->done) return false;
    return w->done = true;
}
/* For dumps, see @dump. */
static int vt__hooks_describe(const vt__vth *v, int i, int *fd, int *events) {
    const struct vt__hooks_wait *w = v->wait_obj;
    if (v->abort != vt__hooks_abort) return 0;
    if ((size_t)i < w->n) {
        *fd = w->nodes[i].fd;
        *events = (w->nodes[i].events & EPOLLIN ? VT_READ : 0) |
                  (w->nodes[i].events & EPOLLOUT ? VT_WRITE : 0);
    }
    return (int)w->n;
}
static vt__hooks_fd *vt__hooks_at(vt__hooks_thr *h, int fd) {
    size_t page = (unsigned)fd / VT__HOOKS_PAGE;
    if (fd < 0) return NULL;
    if (page >= h->npages) {
        size_t n = VT__MAX(page + 1, h->npages * 2);
        vt__hooks_fd **p = vt__mem_realloc(h->pages, n * sizeof *p);
        if (!p) return NULL;
        memset(p + h->npages, 0, (n - h->npages) * sizeof *p);
        h->pages = p;
        h->npages = n;
    }
    if (!h->pages[page]) h->pages[page] = vt__mem_zalloc(VT__HOOKS_PAGE * sizeof **h->pages);
    return h->pages[page] ? &h->pages[page][(unsigned)fd % VT__HOOKS_PAGE] : NULL;
}
static int vt__hooks_ctl(vt__hooks_thr *h, int op, int fd, uint32_t events) {
    struct epoll_event ev;
    memset(&ev, 0, sizeof ev);
    ev.events = events | EPOLLONESHOT;
    ev.data.fd = fd;
    return vt__plat_epoll_ctl(h->pd.fd, op, fd, &ev);
}
static uint32_t vt__hooks_wanted(const vt__hooks_fd *f) {
    uint32_t events = 0;
    for (const vt__hooks_node *n = f->first; n; n = n->next)
        if (!n->wait->done) events |= n->events;
    return events;
}
/* Arms the descriptor for all who wait. -EBADF: it is closed, which who waited before `self` learns as well. */
static int vt__hooks_arm(vt__hooks_thr *h, vt__hooks_fd *f, int fd, const struct vt__hooks_wait *self) {
    int r = f->known ? vt__hooks_ctl(h, EPOLL_CTL_MOD, fd, vt__hooks_wanted(f)) : -ENOENT;
    if (r != -ENOENT && r != -EBADF) return r;
    for (vt__hooks_node *n = f->first; n; n = n->next) {
        if (!f->known || n->wait == self || n->wait->done) continue;
        n->wait->closed = true;
        vt__hooks_wake(n->wait);
    }
    if (r == -ENOENT) r = vt__hooks_ctl(h, EPOLL_CTL_ADD, fd, vt__hooks_wanted(f));
    f->known = r >= 0;
    return r;
}
static void vt__hooks_event(vt__hooks_thr *h, int fd, uint32_t events) {
    vt__hooks_fd *f = vt__hooks_at(h, fd);
    if (!f) return;
    for (vt__hooks_node *n = f->first; n; n = n->next)
        if (events & (n->events | EPOLLERR | EPOLLHUP)) vt__hooks_wake(n->wait);
    uint32_t left = vt__hooks_wanted(f);
    if (left) (void)vt__hooks_ctl(h, EPOLL_CTL_MOD, fd, left); /* else they learn it when they look */
}
/* Armed first, then emptied: an event of meanwhile calls again. */
static void vt__hooks_harvest(vt__hooks_thr *h) {
    struct epoll_event ev[64];
    int n;
    vt__poll_clear(&h->pd, VT__PD_READY);
    vt__poll_set(&h->pd, VT__PD_ARMED);
    do {
        n = vt__plat_epoll_wait(h->pd.fd, ev, (int)VT__COUNT(ev), 0);
        for (int i = 0; i < n; i++) vt__hooks_event(h, ev[i].data.fd, ev[i].events);
    } while (n == (int)VT__COUNT(ev));
}
static void vt__hooks_told(struct vt__dom *dom, vt__msg *m) {
    vt__hooks_thr *h = VT__CONTAINER(m, vt__hooks_thr, msg);
    (void)dom;
    __atomic_store_n(&h->told, 0, __ATOMIC_SEQ_CST);
    vt__hooks_harvest(h);
}
/* The domain may be driven by another OS thread; who waits, and the set, are this one's. */
static void vt__hooks_sink(struct vt__dom *dom, vt__pd *pd, unsigned bits) {
    vt__hooks_thr *h = VT__CONTAINER(pd, vt__hooks_thr, pd);
    vt__thr *t = h->thr;
    (void)dom, (void)bits;
    if (t == vt__sched_thr()) vt__hooks_harvest(h);
    else if (!__atomic_exchange_n(&h->told, 1, __ATOMIC_SEQ_CST)) vt__sched_tell(t, &h->msg);
}
static void vt__hooks_gone(vt__thr *t) {
    vt__hooks_thr *h = t->hooks;
    if (!h) return;
    (void)vt__poll_close(&h->pd);
    for (size_t i = 0; i < h->npages; i++) vt__mem_free(h->pages[i]);
    vt__mem_free(h->pages);
    vt__mem_free(h);
    t->hooks = NULL;
}
/* Before any constructor of the program that might start a runtime. */
__attribute__((constructor(101))) static void vt__hooks_register(void) {
    vt__sched_up.gone = vt__hooks_gone;
    vt__dump_up.wait = vt__hooks_describe;
}
/* NULL: no descriptor or no memory; whoever waits naps instead. */
static vt__hooks_thr *vt__hooks_thr_get(vt__thr *t) {
    vt__hooks_thr *h = t->hooks;
    if (VT__LIKELY(h != NULL)) return h;
    h = vt__mem_zalloc(sizeof *h);
    int fd = h ? vt__plat_epoll_create() : -ENOMEM;
    if (fd < 0) {
        vt__mem_free(h);
        return NULL;
    }
    vt__poll_pd_init(&h->pd, fd);
    vt__poll_clear(&h->pd, VT__PD_READY);
    vt__poll_set(&h->pd, VT__PD_ARMED);
    h->pd.sink = vt__hooks_sink;
    h->msg.fn = vt__hooks_told;
    h->thr = t;
    if (vt__poll_add(t->dom, &h->pd) < 0) {
        (void)vt__poll_close(&h->pd);
        vt__mem_free(h);
        return NULL;
    }
    t->hooks = h;
    return h;
}

/*--- waiting ---*/
static void vt__hooks_unlink(struct vt__hooks_wait *w) {
    for (size_t i = 0; i < w->n; i++) {
        vt__hooks_node *n = &w->nodes[i];
        if (!n->at) continue;
        if (n->next) n->next->at = n->at;
        *n->at = n->next;
        n->at = NULL;
    }
}
static int vt__hooks_link(vt__hooks_thr *h, struct vt__hooks_wait *w) {
    for (size_t i = 0; i < w->n; i++) {
        vt__hooks_node *n = &w->nodes[i];
        vt__hooks_fd *f = vt__hooks_at(h, n->fd);
        if (!f) return -ENOMEM;
        n->wait = w;
        n->next = f->first;
        if (n->next) n->next->at = &n->next;
        n->at = &f->first;
        f->first = n;
        int r = vt__hooks_arm(h, f, n->fd, w);
        if (r < 0 && r != -EPERM) return r; /* EPERM: a regular file, which has no such event */
    }
    return 0;
}
/* Whether all that is waited for is still what it was, armed anew. */
static int vt__hooks_look(vt__hooks_thr *h, struct vt__hooks_wait *w) {
    w->done = false;
    for (size_t i = 0; i < w->n; i++) {
        vt__hooks_fd *f = vt__hooks_at(h, w->nodes[i].fd);
        if (!f || !f->known) continue;
        int r = vt__hooks_ctl(h, EPOLL_CTL_MOD, w->nodes[i].fd, vt__hooks_wanted(f));
        if (r == -ENOENT || r == -EBADF) return w->done = true, -EBADF;
    }
    return 0;
}
/* Parks until an event, `due`, or cancel, with looks in between. */
static int vt__hooks_park(const vt__hooks_op *op, vt__hooks_thr *h, struct vt__hooks_wait *w, int64_t due) {
    int64_t step = op->step_ms ? op->step_ms : VT__HOOKS_LOOK_MS;
    for (;;) {
        int64_t next = w->n || op->step_ms ? vt__hooks_after(step * VT_MS) : 0;
        bool last = !next || (due && due <= next);
        op->v->wait_obj = w;
        int r = vt__sched_park(op->v, vt__hooks_abort, last ? due : next);
        if (w->closed) return -EBADF;
        if (r != -ETIMEDOUT || last) return r;
        if (op->step_ms) return 0;
        if ((r = vt__hooks_look(h, w)) < 0) return r;
        step = VT__MIN(step * 2, VT__HOOKS_LOOK_MAX_MS);
    }
}
/* Where events are not to be had, or lie. */
static int vt__hooks_nap(vt__hooks_op *op, int64_t due) {
    op->vain = VT__MIN(op->vain + 1, VT__HOOKS_NAP_MAX_MS);
    int64_t next = vt__hooks_after(op->vain * VT_MS);
    bool last = due && due <= next;
    int r = vt__sched_park(op->v, vt__sched_sleep_abort, last ? due : next);
    return r == -ETIMEDOUT && !last ? 0 : r;
}
static int vt__hooks_wait_due(vt__hooks_op *op, vt__hooks_node *nodes, size_t n, int64_t due) {
    struct vt__hooks_wait w = {op->v, nodes, n, false, false};
    int r = op->vain > VT__HOOKS_VAIN ? vt__hooks_nap(op, due) : 0;
    if (r < 0) return r;
    int64_t began = vt__plat_now();
    if (due && due <= began) return -ETIMEDOUT;
    vt__hooks_thr *h = vt__hooks_thr_get(op->v->thr);
    r = h ? vt__hooks_link(h, &w) : -ENOMEM;
    if (r >= 0) r = vt__hooks_park(op, h, &w, due);
    else if (r != -EBADF) {
        w.done = true; /* those that are linked already must not end the nap */
        r = vt__hooks_nap(op, due);
    }
    w.done = true;
    vt__hooks_unlink(&w);
    if (h && r == 0) op->vain = vt__plat_now() - began < VT_MS ? op->vain + 1 : 0;
    return r;
}
/* Waits for one of the nodes' events: 0 try again, VT__HOOKS_OVER, -ECANCELED, -ETIMEDOUT, -EBADF closed. */
static int vt__hooks_wait(vt__hooks_op *op, vt__hooks_node *nodes, size_t n) {
    int64_t due;
    int r = vt__sched_enter(op->v, op->until, &due);
    if (r == 0) r = vt__hooks_wait_due(op, nodes, n, due);
    if (r == -EBADF && op->many) return op->vain++, 0;
    return r == -ETIMEDOUT && op->until && due == op->until ? VT__HOOKS_OVER : r;
}
/* Asked at the first EAGAIN: how the program meant it. */
static bool vt__hooks_may_wait(vt__hooks_op *op) {
    struct timeval tv = {0, 0};
    socklen_t len = sizeof tv;
    if (op->asked) return !op->never;
    op->asked = true;
    int fl = vt__plat_fcntl(op->fd, F_GETFL, 0);
    if (fl < 0 || fl & O_NONBLOCK) op->never = true;
    else if (op->timeo && vt__plat_getsockopt(op->fd, SOL_SOCKET, op->timeo, &tv, &len) >= 0 &&
             (tv.tv_sec || tv.tv_usec))
        op->until = vt__hooks_after(vt__hooks_ns(tv.tv_sec, (int64_t)tv.tv_usec * 1000));
    return !op->never;
}
static long vt__hooks_once(vt__hooks_op *op) { return vt__plat_raw(op->nr, op->a); }
static long vt__hooks_once_polled(vt__hooks_op *op) {
    struct pollfd p = {op->fd, (short)op->events, 0};
    return vt__plat_poll(&p, 1, 0) == 0 ? -EAGAIN : vt__plat_raw(op->nr, op->a);
}
/* After a try that came too early. */
static long vt__hooks_again(vt__hooks_op *op, vt__hooks_node *nodes, size_t n) {
    long r = -EAGAIN;
    for (int w = 0; r == -EAGAIN && w != VT__HOOKS_OVER;) {
        w = vt__hooks_wait(op, nodes, n);
        if (w < 0 && w != -ETIMEDOUT) return w;
        r = op->once(op); /* after a stall of ours a time-out comes before the event */
        if (r == -EAGAIN && w < 0) return w;
    }
    op->vain = 0; /* the next part's are counted anew */
    return r;
}
static long vt__hooks_block(vt__hooks_op *op) {
    vt__hooks_node node = {NULL, NULL, NULL, op->fd, op->events};
    long r = op->once(op);
    if (r != -EAGAIN) return r;
    if (vt__hooks_may_wait(op)) return vt__hooks_again(op, &node, 1);
    return op->once == vt__hooks_once_polled ? vt__hooks_once(op) : r;
}
/* Whether a cancelled virtual thread's call fails at once. Not what would not have waited in any case: non-blocking
 * descriptors, files. Nor what is written elsewhere than to sockets: a last message gets out, unless it must wait. */
static VT__COLD bool vt__hooks_refuses(int fd, bool in) {
    struct stat st;
    int fl = vt__plat_fcntl(fd, F_GETFL, 0);
    if (fl < 0 || fl & O_NONBLOCK || vt__plat_fstat(fd, &st) < 0) return false;
    if ((st.st_mode & 0170000) == 0140000) return true; /* a socket; S_ISSOCK is not in strict C */
    return in && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode) && !S_ISBLK(st.st_mode);
}
/* What every call on a descriptor does first. Those that write spend no fuel: signal handlers write, and must not yield. */
VT__INLINE int vt__hooks_enter(vt__hooks_op *op, vt__vth *v, int fd, uint32_t events, int timeo, bool never) {
    memset(op, 0, sizeof *op);
    op->v = v;
    op->fd = fd;
    op->events = events;
    op->timeo = timeo;
    op->never = op->asked = never;
    op->once = vt__hooks_once;
    op->a[0] = fd;
    if (events & EPOLLIN) vt__sched_fuel(v);
    return vt__sched_cancelled(v) && !never && vt__hooks_refuses(fd, (events & EPOLLIN) != 0) ? -ECANCELED
                                                                                              : 0;
}

/*--- reading and writing ---*/
/* What is still to be read. */
static int vt__hooks_pending(int fd) {
    int n = 0;
    return vt__plat_raw(SYS_ioctl, (const long[6]){fd, FIONREAD, VT__HOOKS_PTR(&n)}) < 0 ? 0 : n;
}
/* A further part of a stream. The system tells an error of the socket's once: as the part before counts already, it is
 * left for the program's next call, and this is the end, 0. */
static long vt__hooks_once_rest(vt__hooks_op *op) {
    struct pollfd p = {op->fd, (short)op->events, 0};
    if (vt__plat_poll(&p, 1, 0) == 0) return -EAGAIN;
    if (p.revents & POLLERR && !(op->events & EPOLLIN && vt__hooks_pending(op->fd) > 0)) return 0;
    return vt__plat_raw(op->nr, op->a);
}
/* Goes on where a stream's first part ended: all of it, or an error after what counts already. */
static long vt__hooks_rest(vt__hooks_op *op, long nr, const struct iovec *v, size_t count, size_t done,
                           int flags) {
    size_t skip = done;
    op->nr = nr;
    op->once = vt__hooks_once_rest;
    op->a[4] = op->a[5] = 0;
    for (size_t i = 0; i < count; i++) {
        size_t at = VT__MIN(skip, v[i].iov_len);
        skip -= at;
        while (at < v[i].iov_len) {
            op->a[1] = VT__HOOKS_PTR((char *)v[i].iov_base + at);
            op->a[2] = (long)(v[i].iov_len - at);
            op->a[3] = flags | (nr == SYS_sendto && i + 1 < count ? MSG_MORE : 0);
            long r = vt__hooks_block(op);
            if (r <= 0) return (long)done;
            at += (size_t)r;
            done += (size_t)r;
        }
    }
    return (long)done;
}
static size_t vt__hooks_total(const struct iovec *v, size_t count) {
    size_t n = 0;
    for (size_t i = 0; i < count; i++) n += v[i].iov_len;
    return n;
}
static bool vt__hooks_stream(int fd) {
    int type = 0;
    socklen_t len = sizeof type;
    return vt__plat_getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) >= 0 && type == SOCK_STREAM;
}
/* MSG_PEEK | MSG_WAITALL: nothing tells when there is enough. */
static long vt__hooks_peek(vt__hooks_op *op, size_t n, long r) {
    struct pollfd p = {op->fd, POLLRDHUP, 0};
    int64_t due;
    for (int w = 0; r >= 0 && (size_t)r < n && w == 0;) {
        if (vt__plat_poll(&p, 1, 0) != 0 || vt__sched_enter(op->v, op->until, &due) < 0) break;
        w = vt__hooks_nap(op, due);
        long more = vt__hooks_once(op);
        if (more > 0) r = more;
    }
    return r;
}
/* After the first part of a receive. */
static long vt__hooks_waitall(vt__hooks_op *op, const struct iovec *v, size_t count, long r, int flags) {
    size_t n = vt__hooks_total(v, count);
    if (r <= 0 || !(flags & MSG_WAITALL) || (size_t)r >= n || !vt__hooks_stream(op->fd)) return r;
    if (!vt__hooks_may_wait(op)) return r;
    if (flags & MSG_PEEK) return vt__hooks_peek(op, n, r);
    return vt__hooks_rest(op, SYS_recvfrom, v, count, (size_t)r, flags | MSG_DONTWAIT);
}
static long vt__hooks_recv(vt__vth *v, int fd, void *p, size_t n, int flags, void *sa, void *len) {
    const struct iovec one = {p, n};
    vt__hooks_op op;
    int r = vt__hooks_enter(&op, v, fd, EPOLLIN, SO_RCVTIMEO,
                            (flags & (MSG_DONTWAIT | MSG_ERRQUEUE | MSG_OOB)) != 0);
    if (r < 0) return r;
    op.nr = SYS_recvfrom;
    op.a[1] = VT__HOOKS_PTR(p);
    op.a[2] = (long)n;
    op.a[3] = flags | MSG_DONTWAIT;
    op.a[4] = VT__HOOKS_PTR(sa);
    op.a[5] = VT__HOOKS_PTR(len);
    return vt__hooks_waitall(&op, &one, 1, vt__hooks_block(&op), flags);
}
/* After the first part of a send; only streams have parts. An error is the next call's. */
static long vt__hooks_sendall(vt__hooks_op *op, const struct iovec *v, size_t count, long r, int flags) {
    if (r < 0 || (size_t)r >= vt__hooks_total(v, count) || !vt__hooks_may_wait(op)) return r;
    return vt__hooks_rest(op, SYS_sendto, v, count, (size_t)r, flags | MSG_DONTWAIT | MSG_NOSIGNAL);
}
static long vt__hooks_send(vt__vth *v, int fd, const void *p, size_t n, int flags, const void *sa,
                           socklen_t len) {
    vt__hooks_op op;
    struct iovec one = {NULL, n};
    int r = vt__hooks_enter(&op, v, fd, EPOLLOUT, SO_SNDTIMEO, (flags & MSG_DONTWAIT) != 0);
    if (r < 0) return r;
    memcpy(&one.iov_base, &p, sizeof p); /* iovec has no const */
    op.nr = SYS_sendto;
    op.a[1] = VT__HOOKS_PTR(p);
    op.a[2] = (long)n;
    op.a[3] = flags | MSG_DONTWAIT;
    op.a[4] = VT__HOOKS_PTR(sa);
    op.a[5] = (long)len;
    return vt__hooks_sendall(&op, &one, 1, vt__hooks_block(&op), flags);
}

/* The kernel's msghdr: glibc's is the same; musl's has narrower lengths, and padding that may be anything. */
struct vt__hooks_msg {
    void *name;
    int namelen;
    struct iovec *iov;
    size_t iovlen;
    void *control;
    size_t controllen;
    unsigned flags;
};
enum { VT__HOOKS_CONTROL = 1024 };
static void vt__hooks_msg_from(struct vt__hooks_msg *k, const struct msghdr *m) {
    memset(k, 0, sizeof *k);
    k->name = m->msg_name;
    k->namelen = (int)m->msg_namelen;
    k->iov = m->msg_iov;
    k->iovlen = (size_t)m->msg_iovlen;
    k->control = m->msg_control;
    k->controllen = (size_t)m->msg_controllen;
}
/* Control messages to send, with the lengths that the kernel reads; false: more than musl's own sendmsg takes. */
static bool vt__hooks_control(struct vt__hooks_msg *k, char *buf) {
    struct cmsghdr c;
    if (sizeof c.cmsg_len == sizeof(size_t) || !k->controllen) return true;
    if (k->controllen > VT__HOOKS_CONTROL) return false;
    memcpy(buf, k->control, k->controllen);
    k->control = buf;
    for (size_t at = 0; at + sizeof c <= k->controllen;) {
        memcpy(&c, buf + at, sizeof c);
        size_t len = c.cmsg_len, step = (len + sizeof(size_t) - 1) & ~(sizeof(size_t) - 1);
        memcpy(buf + at, &len, sizeof len);
        if (step < sizeof c || step > k->controllen - at) break;
        at += step;
    }
    return true;
}
static long vt__hooks_sendmsg(vt__vth *v, int fd, struct vt__hooks_msg *k, int flags) {
    vt__hooks_op op;
    int r = vt__hooks_enter(&op, v, fd, EPOLLOUT, SO_SNDTIMEO, (flags & MSG_DONTWAIT) != 0);
    if (r < 0) return r;
    op.nr = SYS_sendmsg;
    op.a[1] = VT__HOOKS_PTR(k);
    op.a[2] = flags | MSG_DONTWAIT;
    return vt__hooks_sendall(&op, k->iov, k->iovlen, vt__hooks_block(&op), flags);
}
static long vt__hooks_once_recvmsg(vt__hooks_op *op) {
    struct vt__hooks_msg k = *(const struct vt__hooks_msg *)op->a[4];
    op->a[1] = VT__HOOKS_PTR(&k);
    long r = vt__plat_raw(SYS_recvmsg, op->a);
    if (r >= 0) *(struct vt__hooks_msg *)op->a[4] = k;
    return r;
}
static long vt__hooks_recvmsg(vt__vth *v, int fd, struct vt__hooks_msg *k, int flags) {
    vt__hooks_op op;
    struct iovec *iov = k->iov;
    size_t count = k->iovlen;
    int r = vt__hooks_enter(&op, v, fd, EPOLLIN, SO_RCVTIMEO,
                            (flags & (MSG_DONTWAIT | MSG_ERRQUEUE | MSG_OOB)) != 0);
    if (r < 0) return r;
    op.once = vt__hooks_once_recvmsg;
    op.a[2] = flags | MSG_DONTWAIT;
    op.a[4] = VT__HOOKS_PTR(k);
    long got = vt__hooks_block(&op);
    if (got <= 0 || !(flags & MSG_WAITALL)) return got;
    if (flags & MSG_PEEK) return got; /* what there is: a peek into parts is not worth its code */
    return vt__hooks_waitall(&op, iov, count, got, flags);
}

/* Not a socket: what polls ready does not wait, but for a pipe that shall take more than it has room for. */
static bool vt__hooks_pipe(vt__hooks_op *op) {
    struct stat st;
    return vt__plat_fstat(op->fd, &st) >= 0 && S_ISFIFO(st.st_mode) && vt__hooks_may_wait(op);
}
static long vt__hooks_pipe_write(vt__hooks_op *op, const struct iovec *v, size_t count) {
    size_t done = 0;
    op->nr = SYS_write;
    for (size_t i = 0; i < count; i++) {
        for (size_t at = 0; at < v[i].iov_len;) {
            op->a[1] = VT__HOOKS_PTR((char *)v[i].iov_base + at);
            op->a[2] = (long)VT__MIN(v[i].iov_len - at, (size_t)VT__HOOKS_PIPE);
            long r = vt__hooks_block(op);
            if (r <= 0) return done ? (long)done : r;
            at += (size_t)r;
            done += (size_t)r;
        }
    }
    return (long)done;
}
static long vt__hooks_file(vt__vth *v, long nr, int fd, long p, long n, const struct iovec *w, size_t count) {
    bool out = nr == SYS_write || nr == SYS_writev;
    vt__hooks_op op;
    int r = vt__hooks_enter(&op, v, fd, out ? EPOLLOUT : EPOLLIN, 0, false);
    if (r < 0) return r;
    op.once = vt__hooks_once_polled;
    op.nr = nr;
    op.a[1] = p;
    op.a[2] = n;
    if (out && vt__hooks_total(w, count) > VT__HOOKS_PIPE && vt__hooks_pipe(&op))
        return vt__hooks_pipe_write(&op, w, count);
    return vt__hooks_block(&op);
}
static long vt__hooks_read(vt__vth *v, int fd, void *p, size_t n) {
    if (n == 0) return vt__plat_read(fd, p, n); /* on a socket, too, it never waits */
    long r = vt__hooks_recv(v, fd, p, n, 0, NULL, NULL);
    return r == -ENOTSOCK ? vt__hooks_file(v, SYS_read, fd, VT__HOOKS_PTR(p), (long)n, NULL, 0) : r;
}
static long vt__hooks_write(vt__vth *v, int fd, const void *p, size_t n) {
    struct iovec one = {NULL, n};
    memcpy(&one.iov_base, &p, sizeof p);
    long r = vt__hooks_send(v, fd, p, n, 0, NULL, 0);
    return r == -ENOTSOCK ? vt__hooks_file(v, SYS_write, fd, VT__HOOKS_PTR(p), (long)n, &one, 1) : r;
}
static long vt__hooks_vec(vt__vth *v, bool out, int fd, const struct iovec *w, int count) {
    const long nr = out ? SYS_writev : SYS_readv, a[6] = {fd, VT__HOOKS_PTR(w), count, 0, 0, 0};
    struct vt__hooks_msg k;
    if (count <= 0 || count > 1024 || (!out && vt__hooks_total(w, (size_t)count) == 0))
        return vt__plat_raw(nr, a);
    memset(&k, 0, sizeof k);
    memcpy(&k.iov, &w, sizeof w);
    k.iovlen = (size_t)count;
    long r = out ? vt__hooks_sendmsg(v, fd, &k, 0) : vt__hooks_recvmsg(v, fd, &k, 0);
    return r == -ENOTSOCK ? vt__hooks_file(v, nr, fd, a[1], a[2], w, (size_t)count) : r;
}

/*--- accepting and connecting ---*/
static uint32_t vt__hooks_accept_spin;
/* accept has no flag for it: poll, then the call, one OS thread at a time; who comes second tries again soon. */
static long vt__hooks_once_accept(vt__hooks_op *op) {
    for (int i = 0; __atomic_exchange_n(&vt__hooks_accept_spin, 1, __ATOMIC_ACQUIRE); i++) {
        if (i == 1000) return -EAGAIN;
        vt__plat_relax();
    }
    long r = vt__hooks_once_polled(op);
    vt__plat_spin_unlock(&vt__hooks_accept_spin);
    return r;
}
static long vt__hooks_accept(vt__vth *v, int fd, void *sa, void *len, int flags) {
    vt__hooks_op op;
    int r = vt__hooks_enter(&op, v, fd, EPOLLIN, SO_RCVTIMEO, false);
    if (r < 0) return r;
    op.nr = SYS_accept4;
    op.a[1] = VT__HOOKS_PTR(sa);
    op.a[2] = VT__HOOKS_PTR(len);
    op.a[3] = flags;
    op.once = vt__hooks_once_accept;
    long got = vt__hooks_block(&op);
    return got == -EAGAIN && op.never ? vt__hooks_once(&op) : got; /* or the lock was busy */
}
/* The one place where a descriptor is non-blocking for a moment. */
static long vt__hooks_once_connect(vt__hooks_op *op) {
    int fl = vt__plat_fcntl(op->fd, F_GETFL, 0);
    if (fl < 0 || vt__plat_fcntl(op->fd, F_SETFL, fl | O_NONBLOCK) < 0) return vt__hooks_once(op);
    long r = vt__hooks_once(op);
    (void)vt__plat_fcntl(op->fd, F_SETFL, fl);
    return r;
}
static long vt__hooks_connect(vt__vth *v, int fd, const void *sa, socklen_t len) {
    vt__hooks_op op;
    int64_t due;
    int r = vt__hooks_enter(&op, v, fd, EPOLLOUT, SO_SNDTIMEO, false), w = 0;
    if (r < 0) return r;
    op.nr = SYS_connect;
    op.a[1] = VT__HOOKS_PTR(sa);
    op.a[2] = (long)len;
    if (!vt__hooks_may_wait(&op)) return vt__hooks_once(&op);
    long c = vt__hooks_once_connect(&op);
    while (c == -EAGAIN && w == 0) { /* a Unix listener whose queue is full; nothing tells when it is not */
        if ((w = vt__sched_enter(v, op.until, &due)) < 0) return w;
        w = vt__hooks_nap(&op, due);
        c = vt__hooks_once_connect(&op);
    }
    if (c == -EAGAIN && w < 0) return op.until && due == op.until ? c : w;
    if (c != -EINPROGRESS && c != -EALREADY) return c;
    op.once = vt__hooks_once_polled; /* the second call reports what became of the first */
    c = vt__hooks_block(&op);
    return c == -EAGAIN ? -EINPROGRESS : c;
}

/*--- several descriptors ---*/
static long vt__hooks_once_poll(vt__hooks_op *op) {
    int64_t zero[2] = {0, 0};
    op->a[2] = VT__HOOKS_PTR(zero);
    long r = vt__hooks_once(op);
    return r ? r : -EAGAIN;
}
/* `ns` < 0: for ever, 0: not at all; `mask`: of signals, for the wait. */
static int vt__hooks_many(vt__hooks_op *op, vt__vth *v, int64_t ns, const void *mask) {
    memset(op, 0, sizeof *op);
    op->v = v;
    op->asked = op->many = true;
    op->never = ns == 0;
    op->until = ns > 0 ? vt__hooks_after(ns) : 0;
    op->step_ms = mask ? VT__HOOKS_SIGNAL_MS : 0;
    vt__sched_fuel(v);
    return ns && vt__sched_cancelled(v) ? -ECANCELED : 0;
}
/* Room for n nodes: `few` (8) or memory, which the caller frees when it is not `few`. */
static vt__hooks_node *vt__hooks_nodes(vt__hooks_node *few, size_t n) {
    return n <= 8 ? few : vt__mem_alloc(n * sizeof *few);
}
static long vt__hooks_poll(vt__vth *v, struct pollfd *fds, size_t n, int64_t ns, const void *mask) {
    vt__hooks_node few[8], *nodes;
    vt__hooks_op op;
    size_t count = 0;
    long r = vt__hooks_many(&op, v, ns, mask);
    if (r < 0) return r;
    op.nr = VT__SYS_PPOLL;
    op.once = vt__hooks_once_poll;
    op.a[0] = VT__HOOKS_PTR(fds);
    op.a[1] = (long)n;
    op.a[3] = VT__HOOKS_PTR(mask);
    op.a[4] = VT__HOOKS_SIGSET;
    if ((r = vt__hooks_once_poll(&op)) != -EAGAIN) return r;
    if (op.never) return 0;
    if (!(nodes = vt__hooks_nodes(few, n))) return -ENOMEM;
    for (size_t i = 0; i < n; i++)
        if (fds[i].fd >= 0)
            nodes[count++] = (vt__hooks_node){NULL, NULL, NULL, fds[i].fd, (unsigned short)fds[i].events};
    r = vt__hooks_again(&op, nodes, count);
    if (nodes != few) vt__mem_free(nodes);
    return r == -EAGAIN ? 0 : r;
}

struct vt__hooks_select {
    vt__hooks_op op; /* first */
    unsigned long *sets[3], *saved;
    size_t words;
};
static long vt__hooks_once_select(vt__hooks_op *op) {
    struct vt__hooks_select *s = (struct vt__hooks_select *)(void *)op;
    for (size_t i = 0; i < 3; i++)
        if (s->sets[i]) memcpy(s->sets[i], s->saved + i * s->words, s->words * sizeof(long));
    int64_t zero[2] = {0, 0};
    op->a[4] = VT__HOOKS_PTR(zero);
    long r = vt__hooks_once(op);
    return r ? r : -EAGAIN;
}
/* The descriptors in the sets; with `nodes`, as nodes. */
static size_t vt__hooks_select_nodes(const struct vt__hooks_select *s, vt__hooks_node *nodes) {
    static const uint32_t events[3] = {EPOLLIN, EPOLLOUT, EPOLLPRI};
    const size_t bits = 8 * sizeof(long);
    size_t n = 0;
    for (size_t w = 0; w < s->words; w++) {
        unsigned long any = 0;
        for (size_t i = 0; i < 3; i++)
            if (s->sets[i]) any |= s->saved[i * s->words + w];
        for (; any; any &= any - 1) {
            size_t bit = (size_t)__builtin_ctzl(any);
            uint32_t want = 0;
            for (size_t i = 0; i < 3; i++)
                if (s->sets[i] && s->saved[i * s->words + w] >> bit & 1) want |= events[i];
            if (nodes) nodes[n] = (vt__hooks_node){NULL, NULL, NULL, (int)(w * bits + bit), want};
            n++;
        }
    }
    return n;
}
static long vt__hooks_select_on(struct vt__hooks_select *s) {
    vt__hooks_node few[8], *nodes;
    long r = vt__hooks_once_select(&s->op);
    if (r != -EAGAIN) return r;
    if (s->op.never) return 0;
    size_t n = vt__hooks_select_nodes(s, NULL);
    if (!(nodes = vt__hooks_nodes(few, n))) return -ENOMEM;
    (void)vt__hooks_select_nodes(s, nodes);
    r = vt__hooks_again(&s->op, nodes, n);
    if (nodes != few) vt__mem_free(nodes);
    return r == -EAGAIN ? 0 : r;
}
static long vt__hooks_select(vt__vth *v, int n, void *const sets[3], int64_t ns, const void *mask) {
    struct vt__hooks_select s;
    unsigned long few[3 * 1024 / (8 * sizeof(long))];
    long sig[2] = {VT__HOOKS_PTR(mask), VT__HOOKS_SIGSET};
    long r = vt__hooks_many(&s.op, v, ns, mask);
    if (r < 0) return r;
    if (n < 0) return -EINVAL;
    s.op.nr = VT__SYS_PSELECT;
    s.op.once = vt__hooks_once_select;
    s.op.a[0] = n;
    s.op.a[5] = VT__HOOKS_PTR(sig);
    s.words = ((size_t)n + 8 * sizeof(long) - 1) / (8 * sizeof(long));
    s.saved = 3 * s.words <= VT__COUNT(few) ? few : vt__mem_alloc(3 * s.words * sizeof(long));
    if (!s.saved) return -ENOMEM;
    for (size_t i = 0; i < 3; i++) {
        s.sets[i] = sets[i];
        s.op.a[1 + i] = VT__HOOKS_PTR(sets[i]);
        if (sets[i]) memcpy(s.saved + i * s.words, sets[i], s.words * sizeof(long));
    }
    r = vt__hooks_select_on(&s);
    if (s.saved != few) vt__mem_free(s.saved);
    return r;
}

static long vt__hooks_once_epoll(vt__hooks_op *op) {
    struct pollfd p = {op->fd, POLLIN, 0};
    int64_t zero[2] = {0, 0};
    const long look[6] = {VT__HOOKS_PTR(&p), 1, VT__HOOKS_PTR(zero), op->a[4], VT__HOOKS_SIGSET, 0};
    /* of signals let through for the wait ppoll tells, epoll_pwait without a wait does not */
    long r = op->a[4] ? vt__plat_raw(VT__SYS_PPOLL, look) : 0;
    if (r >= 0) r = vt__hooks_once(op);
    return r ? r : -EAGAIN;
}
static long vt__hooks_epoll(vt__vth *v, int ep, void *ev, int n, int ms, const void *mask) {
    vt__hooks_node node = {NULL, NULL, NULL, ep, EPOLLIN};
    vt__hooks_op op;
    long r = vt__hooks_many(&op, v, ms < 0 ? -1 : ms * VT_MS, mask);
    if (r < 0) return r;
    op.many = false;
    op.fd = ep;
    op.nr = SYS_epoll_pwait;
    op.once = vt__hooks_once_epoll;
    op.a[0] = ep;
    op.a[1] = VT__HOOKS_PTR(ev);
    op.a[2] = n;
    op.a[4] = VT__HOOKS_PTR(mask);
    op.a[5] = VT__HOOKS_SIGSET;
    r = vt__hooks_once_epoll(&op);
    if (r == -EAGAIN && !op.never) r = vt__hooks_again(&op, &node, 1);
    return r == -EAGAIN ? 0 : r;
}

/*--- sleeping ---*/
/* Until `until`; 0, or an error: -EINTR when the wait was ended, others when it could not begin. */
static int vt__hooks_sleep(vt__vth *v, int64_t until) {
    int64_t due, now = vt__plat_now();
    if (until <= now) until = now + 1; /* still lets others run */
    int r = vt__sched_enter(v, until, &due);
    if (r == 0 && due != until && due <= now) r = -ETIMEDOUT;
    if (r < 0) {     /* not at once: who sleeps in a loop and never looks would burn the worker */
        v->shield++; /* nor is the cancel to end this one */
        (void)vt__sched_park(v, vt__sched_sleep_abort, VT__MIN(until, now + 10 * VT_MS));
        v->shield--;
        return r;
    }
    r = vt__sched_park(v, vt__sched_sleep_abort, due);
    return r == 0 || (r == -ETIMEDOUT && due == until) ? 0 : -EINTR;
}
static void vt__hooks_left(int64_t until, struct timespec *left) {
    int64_t ns = until - vt__plat_now();
    if (ns < 0) ns = 0;
    left->tv_sec = (time_t)(ns / VT_SEC);
    left->tv_nsec = (long)(ns % VT_SEC);
}
static int vt__hooks_nanosleep(vt__vth *v, const struct timespec *req, struct timespec *left) {
    int64_t ns = vt__hooks_ns(req->tv_sec, req->tv_nsec);
    if (ns < 0) return -EINVAL;
    int64_t until = vt__hooks_after(ns);
    int r = vt__hooks_sleep(v, until);
    if (r < 0 && left) vt__hooks_left(until, left);
    return r;
}
/* Until a time of any clock; one that can be set is looked at every second. */
static int vt__hooks_sleep_abs(vt__vth *v, int id, const struct timespec *at) {
    int64_t end = vt__hooks_ns(at->tv_sec, at->tv_nsec);
    if (at->tv_nsec < 0 || at->tv_nsec >= VT_SEC) return -EINVAL;
    if (end < 0) return 0;
    if (id == CLOCK_MONOTONIC) return vt__hooks_sleep(v, end);
    for (;;) {
        int64_t left = end - vt__plat_clock(id);
        int r = vt__hooks_sleep(v, vt__hooks_after(VT__MIN(VT__MAX(left, 0), VT_SEC)));
        if (r < 0 || left <= VT_SEC) return r;
    }
}
static long vt__hooks_plain_sleep(int id, int flags, const struct timespec *req, struct timespec *left) {
    int64_t ts[2] = {req->tv_sec, req->tv_nsec};
    const long a[6] = {id, flags, VT__HOOKS_PTR(ts), VT__HOOKS_PTR(ts), 0, 0};
    long r = vt__plat_raw(VT__SYS_CLOCK_NANOSLEEP, a);
    if (r == -EINTR && left && !(flags & 1)) left->tv_sec = (time_t)ts[0], left->tv_nsec = (long)ts[1];
    return r;
}
static bool vt__hooks_clock(int id) {
    return id == CLOCK_MONOTONIC || id == CLOCK_REALTIME || id == 7 || id == 11;
}

/*--- names ---*/
typedef int vt__hooks_gai(const char *host, const char *port, const struct vt__plat_ai *hints,
                          struct vt__plat_ai **out);
enum {
    VT__HOOKS_EAI_NONAME = -2,
    VT__HOOKS_EAI_AGAIN = -3,
    VT__HOOKS_EAI_SYSTEM = -11,
    VT__HOOKS_AI_NUMERIC = 4
};
struct vt__hooks_name {
    vt__hooks_gai *real;
    const char *host, *port;
    const struct vt__plat_ai *hints;
    struct vt__plat_ai **out;
    int err;
};
static VT__UNUSED int vt__hooks_name_run(void *arg) {
    struct vt__hooks_name *n = arg;
    int r = n->real(n->host, n->port, n->hints, n->out);
    n->err = errno;
    return r;
}
/* A number needs no name server, and no thread. */
static VT__UNUSED bool vt__hooks_numeric(const char *host, const char *port,
                                         const struct vt__plat_ai *hints) {
    if (port)
        for (const char *p = port; *p; p++)
            if (*p < '0' || *p > '9') return false;
    if (!host || (hints && hints->flags & VT__HOOKS_AI_NUMERIC) || strchr(host, ':')) return true;
    for (const char *p = host; *p; p++)
        if ((*p < '0' || *p > '9') && *p != '.') return false;
    return true;
}
static VT__UNUSED int vt__hooks_name(vt__hooks_gai *real, const char *host, const char *port,
                                     const struct vt__plat_ai *hints, struct vt__plat_ai **out) {
    struct vt__hooks_name n = {real, host, port, hints, out, errno};
    int r, result;
    if (!real) return errno = ENOSYS, VT__HOOKS_EAI_SYSTEM;
    if (!vt__hooks_self() || vt__hooks_numeric(host, port, hints)) return real(host, port, hints, out);
    r = vt_blocking(vt__hooks_name_run, &n, &result);
    if (r == -ECANCELED || r == -ETIMEDOUT) return errno = -r, VT__HOOKS_EAI_SYSTEM;
    errno = n.err;
    return r < 0 ? VT__HOOKS_EAI_AGAIN : result;
}

/*--- what the program links with ---*/
#define VT__HOOKS_SYM(ret, name, symbol, params)                                                             \
    ret vt__hooks_libc_##name params __asm__(#symbol) __attribute__((visibility("default"), used))
VT__HOOKS_SYM(ssize_t, recvfrom, recvfrom, (int fd, void *p, size_t n, int flags, void *sa, socklen_t *len));
VT__HOOKS_SYM(ssize_t, recv, recv, (int fd, void *p, size_t n, int flags));
VT__HOOKS_SYM(ssize_t, sendto, sendto,
              (int fd, const void *p, size_t n, int flags, const void *sa, socklen_t len));
VT__HOOKS_SYM(ssize_t, send, send, (int fd, const void *p, size_t n, int flags));
VT__HOOKS_SYM(ssize_t, sendmsg, sendmsg, (int fd, const struct msghdr *m, int flags));
VT__HOOKS_SYM(ssize_t, recvmsg, recvmsg, (int fd, struct msghdr *m, int flags));
VT__HOOKS_SYM(ssize_t, read, read, (int fd, void *p, size_t n));
VT__HOOKS_SYM(ssize_t, write, write, (int fd, const void *p, size_t n));
VT__HOOKS_SYM(ssize_t, readv, readv, (int fd, const struct iovec *w, int count));
VT__HOOKS_SYM(ssize_t, writev, writev, (int fd, const struct iovec *w, int count));
VT__HOOKS_SYM(int, accept4, accept4, (int fd, void *sa, socklen_t *len, int flags));
VT__HOOKS_SYM(int, accept, accept, (int fd, void *sa, socklen_t *len));
VT__HOOKS_SYM(int, connect, connect, (int fd, const void *sa, socklen_t len));
VT__HOOKS_SYM(int, poll, poll, (struct pollfd * fds, nfds_t n, int ms));
VT__HOOKS_SYM(int, ppoll, ppoll,
              (struct pollfd * fds, nfds_t n, const struct timespec *limit, const void *mask));
VT__HOOKS_SYM(int, pselect, pselect,
              (int n, void *r, void *w, void *e, const struct timespec *limit, const void *mask));
VT__HOOKS_SYM(int, select, select, (int n, void *r, void *w, void *e, struct timeval *limit));
VT__HOOKS_SYM(int, epoll_pwait, epoll_pwait,
              (int ep, struct epoll_event *ev, int n, int ms, const void *mask));
VT__HOOKS_SYM(int, epoll_wait, epoll_wait, (int ep, struct epoll_event *ev, int n, int ms));
VT__HOOKS_SYM(int, clock_nanosleep, clock_nanosleep,
              (int id, int flags, const struct timespec *req, struct timespec *left));
VT__HOOKS_SYM(int, nanosleep, nanosleep, (const struct timespec *req, struct timespec *left));
VT__HOOKS_SYM(int, usleep, usleep, (unsigned us));
VT__HOOKS_SYM(unsigned, sleep, sleep, (unsigned s));
VT__HOOKS_SYM(int, epoll_create1, epoll_create1, (int flags));
VT__HOOKS_SYM(int, epoll_create, epoll_create, (int size));
VT__HOOKS_SYM(int, epoll_ctl, epoll_ctl, (int ep, int op, int fd, struct epoll_event *ev));
VT__HOOKS_SYM(ssize_t, read_chk, __read_chk, (int fd, void *p, size_t n, size_t room));
VT__HOOKS_SYM(ssize_t, recv_chk, __recv_chk, (int fd, void *p, size_t n, size_t room, int flags));
VT__HOOKS_SYM(ssize_t, recvfrom_chk, __recvfrom_chk,
              (int fd, void *p, size_t n, size_t room, int flags, void *sa, socklen_t *len));
VT__HOOKS_SYM(int, poll_chk, __poll_chk, (struct pollfd * fds, nfds_t n, int ms, size_t room));
VT__HOOKS_SYM(int, ppoll_chk, __ppoll_chk,
              (struct pollfd * fds, nfds_t n, const struct timespec *limit, const void *mask, size_t room));

ssize_t vt__hooks_libc_recvfrom(int fd, void *p, size_t n, int flags, void *sa, socklen_t *len) {
    vt__vth *v = vt__hooks_self();
    int err = errno;
    if (v) return (ssize_t)vt__hooks_end(vt__hooks_recv(v, fd, p, n, flags, sa, len), err);
    return (ssize_t)vt__hooks_plain(SYS_recvfrom, fd, VT__HOOKS_PTR(p), (long)n, flags, VT__HOOKS_PTR(sa),
                                    VT__HOOKS_PTR(len));
}
ssize_t vt__hooks_libc_recv(int fd, void *p, size_t n, int flags) {
    return vt__hooks_libc_recvfrom(fd, p, n, flags, NULL, NULL);
}
ssize_t vt__hooks_libc_sendto(int fd, const void *p, size_t n, int flags, const void *sa, socklen_t len) {
    vt__vth *v = vt__hooks_self();
    int err = errno;
    if (v) return (ssize_t)vt__hooks_end(vt__hooks_send(v, fd, p, n, flags, sa, len), err);
    return (ssize_t)vt__hooks_plain(SYS_sendto, fd, VT__HOOKS_PTR(p), (long)n, flags, VT__HOOKS_PTR(sa),
                                    (long)len);
}
ssize_t vt__hooks_libc_send(int fd, const void *p, size_t n, int flags) {
    return vt__hooks_libc_sendto(fd, p, n, flags, NULL, 0);
}
ssize_t vt__hooks_libc_sendmsg(int fd, const struct msghdr *m, int flags) {
    char control[sizeof(((struct cmsghdr *)0)->cmsg_len) < sizeof(size_t) ? VT__HOOKS_CONTROL : 1];
    vt__vth *v = vt__hooks_self();
    struct vt__hooks_msg k;
    int err = errno;
    vt__hooks_msg_from(&k, m);
    if (!vt__hooks_control(&k, control)) return errno = ENOMEM, -1;
    if (v) return (ssize_t)vt__hooks_end(vt__hooks_sendmsg(v, fd, &k, flags), err);
    return (ssize_t)vt__hooks_plain(SYS_sendmsg, fd, VT__HOOKS_PTR(&k), flags, 0, 0, 0);
}
ssize_t vt__hooks_libc_recvmsg(int fd, struct msghdr *m, int flags) {
    vt__vth *v = vt__hooks_self();
    struct vt__hooks_msg k;
    int err = errno;
    vt__hooks_msg_from(&k, m);
    const long a[6] = {fd, VT__HOOKS_PTR(&k), flags, 0, 0, 0};
    long r = v ? vt__hooks_recvmsg(v, fd, &k, flags) : vt__plat_raw(SYS_recvmsg, a);
    if (r >= 0) {
        m->msg_namelen = (socklen_t)k.namelen;
        m->msg_controllen = (__typeof__(m->msg_controllen))k.controllen;
        m->msg_flags = (int)k.flags;
    }
    return (ssize_t)vt__hooks_end(r, err);
}
ssize_t vt__hooks_libc_read(int fd, void *p, size_t n) {
    vt__vth *v = vt__hooks_self();
    int err = errno;
    return (ssize_t)vt__hooks_end(v ? vt__hooks_read(v, fd, p, n) : vt__plat_read(fd, p, n), err);
}
ssize_t vt__hooks_libc_write(int fd, const void *p, size_t n) {
    vt__vth *v = vt__hooks_self();
    int err = errno;
    return (ssize_t)vt__hooks_end(v ? vt__hooks_write(v, fd, p, n) : vt__plat_write(fd, p, n), err);
}
ssize_t vt__hooks_libc_readv(int fd, const struct iovec *w, int count) {
    vt__vth *v = vt__hooks_self();
    int err = errno;
    if (v) return (ssize_t)vt__hooks_end(vt__hooks_vec(v, false, fd, w, count), err);
    return (ssize_t)vt__hooks_plain(SYS_readv, fd, VT__HOOKS_PTR(w), count, 0, 0, 0);
}
ssize_t vt__hooks_libc_writev(int fd, const struct iovec *w, int count) {
    vt__vth *v = vt__hooks_self();
    int err = errno;
    if (v) return (ssize_t)vt__hooks_end(vt__hooks_vec(v, true, fd, w, count), err);
    return (ssize_t)vt__hooks_plain(SYS_writev, fd, VT__HOOKS_PTR(w), count, 0, 0, 0);
}
int vt__hooks_libc_accept4(int fd, void *sa, socklen_t *len, int flags) {
    vt__vth *v = vt__hooks_self();
    int err = errno;
    if (v) return (int)vt__hooks_end(vt__hooks_accept(v, fd, sa, len, flags), err);
    return (int)vt__hooks_plain(SYS_accept4, fd, VT__HOOKS_PTR(sa), VT__HOOKS_PTR(len), flags, 0, 0);
}
int vt__hooks_libc_accept(int fd, void *sa, socklen_t *len) { return vt__hooks_libc_accept4(fd, sa, len, 0); }
int vt__hooks_libc_connect(int fd, const void *sa, socklen_t len) {
    vt__vth *v = vt__hooks_self();
    int err = errno;
    return (int)vt__hooks_end(v ? vt__hooks_connect(v, fd, sa, len) : vt__plat_connect(fd, sa, len), err);
}
int vt__hooks_libc_poll(struct pollfd *fds, nfds_t n, int ms) {
    vt__vth *v = vt__hooks_self();
    int err = errno;
    int64_t ts[2] = {ms / 1000, ms % 1000 * VT_MS};
    if (v) return (int)vt__hooks_end(vt__hooks_poll(v, fds, n, ms < 0 ? -1 : ms * VT_MS, NULL), err);
    return (int)vt__hooks_plain(VT__SYS_PPOLL, VT__HOOKS_PTR(fds), (long)n, VT__HOOKS_PTR(ms < 0 ? NULL : ts),
                                0, VT__HOOKS_SIGSET, 0);
}
int vt__hooks_libc_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *limit, const void *mask) {
    vt__vth *v = vt__hooks_self();
    int err = errno;
    int64_t ts[2] = {limit ? limit->tv_sec : 0, limit ? limit->tv_nsec : 0};
    int64_t ns = limit ? vt__hooks_ns(ts[0], ts[1]) : -1;
    if (limit && ns < 0) return errno = EINVAL, -1;
    if (v) return (int)vt__hooks_end(vt__hooks_poll(v, fds, n, ns, mask), err);
    return (int)vt__hooks_plain(VT__SYS_PPOLL, VT__HOOKS_PTR(fds), (long)n, VT__HOOKS_PTR(limit ? ts : NULL),
                                VT__HOOKS_PTR(mask), VT__HOOKS_SIGSET, 0);
}
int vt__hooks_libc_pselect(int n, void *r, void *w, void *e, const struct timespec *limit, const void *mask) {
    vt__vth *v = vt__hooks_self();
    int err = errno;
    int64_t ts[2] = {limit ? limit->tv_sec : 0, limit ? limit->tv_nsec : 0};
    int64_t ns = limit ? vt__hooks_ns(ts[0], ts[1]) : -1;
    long sig[2] = {VT__HOOKS_PTR(mask), VT__HOOKS_SIGSET};
    if (limit && ns < 0) return errno = EINVAL, -1;
    if (v) return (int)vt__hooks_end(vt__hooks_select(v, n, (void *const[3]){r, w, e}, ns, mask), err);
    return (int)vt__hooks_plain(VT__SYS_PSELECT, n, VT__HOOKS_PTR(r), VT__HOOKS_PTR(w), VT__HOOKS_PTR(e),
                                VT__HOOKS_PTR(limit ? ts : NULL), VT__HOOKS_PTR(sig));
}
/* Linux's select leaves the time that is left in *limit. */
int vt__hooks_libc_select(int n, void *r, void *w, void *e, struct timeval *limit) {
    vt__vth *v = vt__hooks_self();
    int64_t ts[2] = {0, 0}, ns = -1, until = 0;
    int err = errno;
    long got;
    if (limit) {
        if (limit->tv_sec < 0 || limit->tv_usec < 0) return errno = EINVAL, -1;
        ts[0] = limit->tv_sec + limit->tv_usec / 1000000;
        ts[1] = limit->tv_usec % 1000000 * 1000;
        ns = vt__hooks_ns(ts[0], ts[1]);
        if (v && ns > 0) until = vt__hooks_after(ns);
    }
    if (v) {
        got = vt__hooks_select(v, n, (void *const[3]){r, w, e}, ns, NULL);
        int64_t left = until ? VT__MAX(until - vt__plat_now(), 0) : 0;
        ts[0] = left / VT_SEC;
        ts[1] = left % VT_SEC;
    } else {
        const long a[6] = {
            n, VT__HOOKS_PTR(r), VT__HOOKS_PTR(w), VT__HOOKS_PTR(e), VT__HOOKS_PTR(limit ? ts : NULL), 0};
        got = vt__plat_raw(VT__SYS_PSELECT, a);
    }
    if (limit) limit->tv_sec = (time_t)ts[0], limit->tv_usec = (__typeof__(limit->tv_usec))(ts[1] / 1000);
    return (int)vt__hooks_end(got, err);
}
int vt__hooks_libc_epoll_pwait(int ep, struct epoll_event *ev, int n, int ms, const void *mask) {
    vt__vth *v = vt__hooks_self();
    int err = errno;
    if (v) return (int)vt__hooks_end(vt__hooks_epoll(v, ep, ev, n, ms, mask), err);
    return (int)vt__hooks_plain(SYS_epoll_pwait, ep, VT__HOOKS_PTR(ev), n, ms, VT__HOOKS_PTR(mask),
                                VT__HOOKS_SIGSET);
}
int vt__hooks_libc_epoll_wait(int ep, struct epoll_event *ev, int n, int ms) {
    return vt__hooks_libc_epoll_pwait(ep, ev, n, ms, NULL);
}
int vt__hooks_libc_clock_nanosleep(int id, int flags, const struct timespec *req, struct timespec *left) {
    vt__vth *v = vt__hooks_self();
    int err = errno;
    long r;
    if (!v || !vt__hooks_clock(id)) r = vt__hooks_plain_sleep(id, flags, req, left);
    else if (flags & 1 /* TIMER_ABSTIME */) r = vt__hooks_sleep_abs(v, id, req);
    else r = vt__hooks_nanosleep(v, req, left);
    errno = err;
    return (int)-r;
}
int vt__hooks_libc_nanosleep(const struct timespec *req, struct timespec *left) {
    int r = vt__hooks_libc_clock_nanosleep(CLOCK_MONOTONIC, 0, req, left);
    if (r) errno = r;
    return r ? -1 : 0;
}
int vt__hooks_libc_usleep(unsigned us) {
    struct timespec ts = {(time_t)(us / 1000000), (long)(us % 1000000) * 1000};
    return vt__hooks_libc_nanosleep(&ts, NULL);
}
unsigned vt__hooks_libc_sleep(unsigned s) {
    struct timespec ts = {(time_t)s, 0};
    int r = vt__hooks_libc_clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, &ts);
    return r == EINTR ? (unsigned)ts.tv_sec : 0;
}
/* musl has all of epoll in one object: whoever defines epoll_wait defines these. */
int vt__hooks_libc_epoll_create1(int flags) {
    return (int)vt__hooks_plain(SYS_epoll_create1, flags, 0, 0, 0, 0, 0);
}
int vt__hooks_libc_epoll_create(int size) {
    if (size <= 0) return errno = EINVAL, -1;
    return vt__hooks_libc_epoll_create1(0);
}
int vt__hooks_libc_epoll_ctl(int ep, int op, int fd, struct epoll_event *ev) {
    return (int)vt__hooks_plain(SYS_epoll_ctl, ep, op, fd, VT__HOOKS_PTR(ev), 0, 0);
}

/* The forms that _FORTIFY_SOURCE makes of these. */
void vt__hooks_libc_fail(void) __asm__("__chk_fail") __attribute__((weak));
static void vt__hooks_fits(size_t n, size_t room) {
    if (n <= room) return;
    if (vt__hooks_libc_fail) vt__hooks_libc_fail();
    abort();
}
ssize_t vt__hooks_libc_read_chk(int fd, void *p, size_t n, size_t room) {
    vt__hooks_fits(n, room);
    return vt__hooks_libc_read(fd, p, n);
}
ssize_t vt__hooks_libc_recv_chk(int fd, void *p, size_t n, size_t room, int flags) {
    vt__hooks_fits(n, room);
    return vt__hooks_libc_recv(fd, p, n, flags);
}
ssize_t vt__hooks_libc_recvfrom_chk(int fd, void *p, size_t n, size_t room, int flags, void *sa,
                                    socklen_t *len) {
    vt__hooks_fits(n, room);
    return vt__hooks_libc_recvfrom(fd, p, n, flags, sa, len);
}
int vt__hooks_libc_poll_chk(struct pollfd *fds, nfds_t n, int ms, size_t room) {
    vt__hooks_fits(n, room / sizeof *fds);
    return vt__hooks_libc_poll(fds, n, ms);
}
int vt__hooks_libc_ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *limit, const void *mask,
                             size_t room) {
    vt__hooks_fits(n, room / sizeof *fds);
    return vt__hooks_libc_ppoll(fds, n, limit, mask);
}

/* getaddrinfo goes to the blocking pool. With VTHTTP_WRAP the linker makes __wrap_getaddrinfo of the program's calls, and
 * __real_getaddrinfo is libc's. Without, in dynamic programs with glibc 2.34 or later (dlsym is in libc), it is found
 * behind ours, which is weak: in a static program libc's own comes in with freeaddrinfo and must win. Elsewhere
 * getaddrinfo is libc's and holds its OS thread; in a static program of musl, whose resolver calls sendto and poll, it
 * parks by itself. */
#if VTHTTP_WRAP
int vt__hooks_libc_real(const char *host, const char *port, const struct vt__plat_ai *hints,
                        struct vt__plat_ai **out) __asm__("__real_getaddrinfo");
VT__HOOKS_SYM(int, gai, __wrap_getaddrinfo,
              (const char *host, const char *port, const struct vt__plat_ai *hints,
               struct vt__plat_ai **out));
int vt__hooks_libc_gai(const char *host, const char *port, const struct vt__plat_ai *hints,
                       struct vt__plat_ai **out) {
    return vt__hooks_name(vt__hooks_libc_real, host, port, hints, out);
}
#elif defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 34)
void *vt__hooks_libc_dlsym(void *handle, const char *name) __asm__("dlsym") __attribute__((weak));
VT__HOOKS_SYM(int, gai, getaddrinfo,
              (const char *host, const char *port, const struct vt__plat_ai *hints, struct vt__plat_ai **out))
__attribute__((weak));
int vt__hooks_libc_gai(const char *host, const char *port, const struct vt__plat_ai *hints,
                       struct vt__plat_ai **out) {
    static vt__hooks_gai *found;
    vt__hooks_gai *real = __atomic_load_n(&found, __ATOMIC_RELAXED);
    if (!real && vt__hooks_libc_dlsym) {
        void *p = vt__hooks_libc_dlsym((void *)-1L /* RTLD_NEXT */, "getaddrinfo");
        memcpy(&real, &p, sizeof real);
        __atomic_store_n(&found, real, __ATOMIC_RELAXED);
    }
    return vt__hooks_name(real, host, port, hints, out);
}
#endif
#endif /* VTHTTP_HOOKS */

#if VTHTTP_HTTP
/*==============================================================================
 * MARK: - @router  routes: patterns, the tree of segments, lookup
 * uses:   @mem @str @uri @h1
 * test:   tests/test_http.c   fuzz: fuzz/fuzz_router.c
 *
 * A node stands for a prefix of segments; below it are its literal children (sorted, found by bisection), at most
 * one parameter and at most one tail. A walk visits the nodes that match a path from the most to the least specific:
 * literal, then parameter, then tail, deeper before shallower. The method takes part: a node that has no handler for
 * it does not hide a less specific one that has; Allow is the union over all nodes that match. Every node is visited at
 * most once in a walk and its stack is an array, so a request costs at most one pass over its path and one over the tree.
 *
 * Matching compares decoded segments, split before decoding: "%2F" never makes a segment.
 *============================================================================*/
#define VT__ROUTER_DEPTH 32 /* segments of a pattern */

typedef struct vt__router_mw {
    struct vt__router_mw *next;
    vt_middleware *fn;
    void *ctx;
} vt__router_mw;

typedef struct vt__router_page {
    struct vt__router_page *next;
    int status;
    vt_handler *handler;
} vt__router_page;

typedef struct vt__router_param {
    vt_str name;      /* inside the route's pattern */
    uint32_t segment; /* counted from 0 */
} vt__router_param;

/* A dead route has no handler: the setters on it return its server's error. */
struct vt_route {
    vt_server *server;
    vt_route *next, *next_at_node;
    vt_handler *handler;
    void *ctx;
    int64_t max_body, timeout_ms; /* 0: the server's */
    void *extra;                  /* a handler's, freed with the route */
    vt__router_mw *mw;
    vt_str pattern, method; /* method "": every one */
    vt__router_param *params;
    uint8_t method_id, nparams;
    bool tail; /* the last parameter takes the rest */
};

typedef struct vt__router_node {
    vt_str seg;
    struct vt__router_node **lits, *param, *tail;
    uint32_t nlits;
    vt_route *routes;
} vt__router_node;

/* Nodes whose whole pattern is literal, by the bytes of that pattern: a path that is equal needs no walk. */
typedef struct vt__router_exact {
    vt_str path; /* of a route; ptr NULL: a free place */
    const vt__router_node *node;
} vt__router_exact;

typedef struct vt__router {
    vt__router_node *root;
    vt__router_exact *exact; /* open addressing; at most half full */
    uint32_t nexact, exact_mask;
    vt_route *routes, dead;
    vt__router_mw *mw;
    vt__router_page *pages;
} vt__router;

/* @srv makes it and owns `run`; the constructor fills in every default of cfg. It stands here because routes and
 * requests lead to it. */
struct vt_server {
    vt_server_cfg cfg;
    vt__router router;
    int error;
    bool running; /* routes are fixed */
    char error_text[704];
    struct vt__srv *run;
};

/* --- patterns --- */
enum vt__router_kind { VT__ROUTER_LITERAL, VT__ROUTER_PARAM, VT__ROUTER_TAIL };
typedef struct vt__router_pattern {
    struct {
        vt_str text;
        int kind;
    } segs[VT__ROUTER_DEPTH];
    uint32_t n, nparams;
} vt__router_pattern;

static bool vt__router_is_name(vt_str s) {
    for (size_t i = 0; i < s.len; i++) {
        char c = vt__str_lower(s.ptr[i]);
        if (!(c == '_' || (c >= 'a' && c <= 'z') || (i && c >= '0' && c <= '9'))) return false;
    }
    return s.len > 0;
}

/* One segment; NULL or what is wrong with it. */
static const char *vt__router_segment(vt__router_pattern *p, vt_str s, bool last) {
    int kind = VT__ROUTER_LITERAL;
    if (p->n == VT__ROUTER_DEPTH) return "too many segments";
    if (s.len && s.ptr[0] == '{') {
        if (s.len < 2 || s.ptr[s.len - 1] != '}')
            return "a parameter is a whole segment, {name} or {name...}";
        kind = VT__ROUTER_PARAM;
        s.ptr++, s.len -= 2;
        if (s.len > 3 && memcmp(s.ptr + s.len - 3, "...", 3) == 0) kind = VT__ROUTER_TAIL, s.len -= 3;
        if (!vt__router_is_name(s)) return "a parameter's name is made of letters, digits and _";
        if (kind == VT__ROUTER_TAIL && !last) return "a tail stands last";
        for (uint32_t i = 0; i < p->n; i++)
            if (p->segs[i].kind && vt__str_eq(p->segs[i].text, s)) return "a parameter's name stands twice";
        p->nparams++;
    } else if (!last && !s.len) {
        return "an empty segment";
    } else if (vt__str_eq(s, VT__STR_LIT(".")) || vt__str_eq(s, VT__STR_LIT(".."))) {
        return "a dot segment never matches";
    } else if (memchr(s.ptr, '{', s.len) || memchr(s.ptr, '}', s.len)) {
        return "a parameter is a whole segment, {name} or {name...}";
    }
    p->segs[p->n].kind = kind;
    p->segs[p->n++].text = s;
    return NULL;
}

/* Splits a pattern; NULL or what is wrong with it. */
static const char *vt__router_parse(vt__router_pattern *p, vt_str s) {
    const char *why = NULL;
    p->n = p->nparams = 0;
    if (!s.len || s.ptr[0] != '/') return "a pattern begins with /";
    for (size_t from = 1, i = 1; !why && i <= s.len; i++) {
        vt_str seg = {s.ptr + from, i - from};
        if (i < s.len && s.ptr[i] != '/') continue;
        why = vt__router_segment(p, seg, i == s.len);
        from = i + 1;
    }
    return why;
}

/* --- the tree --- */
/* Orders by length first: most comparisons end there. */
static uint32_t vt__router_bisect(const vt__router_node *n, vt_str seg, bool *found) {
    uint32_t lo = 0, hi = n->nlits;
    *found = false;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        vt_str s = n->lits[mid]->seg;
        int c = s.len != seg.len ? (s.len < seg.len ? -1 : 1) : seg.len ? memcmp(s.ptr, seg.ptr, seg.len) : 0;
        if (c == 0) {
            *found = true;
            return mid;
        }
        if (c < 0) lo = mid + 1;
        else hi = mid;
    }
    return lo;
}

static vt__router_node *vt__router_literal(vt__router_node *n, vt_str seg) {
    bool found;
    uint32_t at = vt__router_bisect(n, seg, &found);
    if (found) return n->lits[at];
    vt__router_node **lits = vt__mem_realloc(n->lits, (n->nlits + 1) * sizeof *lits);
    if (!lits) return NULL;
    n->lits = lits;
    vt__router_node *c = vt__mem_zalloc(sizeof *c);
    if (!c) return NULL;
    c->seg.ptr = vt__mem_strdup(seg.ptr, seg.len);
    c->seg.len = seg.len;
    if (!c->seg.ptr) {
        vt__mem_free(c);
        return NULL;
    }
    memmove(lits + at + 1, lits + at, (n->nlits++ - at) * sizeof *lits);
    return lits[at] = c;
}

static vt__router_node *vt__router_child(vt__router_node *n, vt_str seg, int kind) {
    if (kind == VT__ROUTER_LITERAL) return vt__router_literal(n, seg);
    vt__router_node **slot = kind == VT__ROUTER_PARAM ? &n->param : &n->tail;
    if (!*slot) *slot = vt__mem_zalloc(sizeof **slot);
    return *slot;
}

static void vt__router_free_node(vt__router_node *n) { /* as deep as a pattern */
    if (!n) return;
    for (uint32_t i = 0; i < n->nlits; i++) vt__router_free_node(n->lits[i]);
    vt__router_free_node(n->param);
    vt__router_free_node(n->tail);
    vt__mem_free(n->lits);
    vt__mem_free((void *)(uintptr_t)n->seg.ptr);
    vt__mem_free(n);
}

static void vt__router_free_mw(vt__router_mw *m) {
    for (vt__router_mw *next; m; m = next) next = m->next, vt__mem_free(m);
}

static void vt__router_free_route(vt_route *r) {
    vt__router_free_mw(r->mw);
    vt__mem_free((void *)(uintptr_t)r->pattern.ptr);
    vt__mem_free((void *)(uintptr_t)r->method.ptr);
    vt__mem_free(r->params);
    vt__mem_free(r->extra);
    vt__mem_free(r);
}

static void vt__router_free(vt__router *r) {
    for (vt_route *x = r->routes, *next; x; x = next) next = x->next, vt__router_free_route(x);
    for (vt__router_page *x = r->pages, *next; x; x = next) next = x->next, vt__mem_free(x);
    vt__router_free_mw(r->mw);
    vt__router_free_node(r->root);
    vt__mem_free(r->exact);
    r->exact = NULL, r->nexact = r->exact_mask = 0;
    r->root = NULL, r->routes = NULL, r->pages = NULL, r->mw = NULL;
}

static vt_route *vt__router_new_route(vt_str method, vt_str pattern, vt__router_pattern *p) {
    vt_route *r = vt__mem_zalloc(sizeof *r);
    if (!r) return NULL;
    r->method.ptr = vt__mem_strdup(method.ptr, r->method.len = method.len);
    r->method_id = (uint8_t)vt__h1_method(method);
    r->pattern.ptr = vt__mem_strdup(pattern.ptr, r->pattern.len = pattern.len);
    r->params = p->nparams ? vt__mem_zalloc(p->nparams * sizeof *r->params) : NULL;
    if (!r->method.ptr || !r->pattern.ptr || (p->nparams && !r->params)) {
        vt__router_free_route(r);
        return NULL;
    }
    for (uint32_t i = 0; i < p->n; i++) {
        if (p->segs[i].kind == VT__ROUTER_LITERAL) continue;
        vt__router_param *q = &r->params[r->nparams++];
        q->name.ptr = r->pattern.ptr + (p->segs[i].text.ptr - pattern.ptr);
        q->name.len = p->segs[i].text.len;
        q->segment = i;
        r->tail = p->segs[i].kind == VT__ROUTER_TAIL;
    }
    return r;
}

/* --- whole paths --- */
static uint32_t vt__router_hash(vt_str s) {
    uint64_t h = s.len, v;
    size_t i = 0;
    for (; s.len - i >= sizeof v; i += sizeof v) {
        memcpy(&v, s.ptr + i, sizeof v);
        h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
        h ^= h >> 32;
    }
    for (; i < s.len; i++) h = (h ^ (uint8_t)s.ptr[i]) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(h >> 32);
}
/* The place of `path`, or the free one where it would stand. */
static vt__router_exact *vt__router_place(const vt__router *r, vt_str path) {
    uint32_t i = vt__router_hash(path) & r->exact_mask;
    while (r->exact[i].path.ptr && !vt__str_eq(r->exact[i].path, path)) i = (i + 1) & r->exact_mask;
    return &r->exact[i];
}
static int vt__router_exact_room(vt__router *r) {
    uint32_t cap = r->exact ? r->exact_mask + 1 : 0;
    if (2 * (r->nexact + 1) <= cap) return 0;
    vt__router bigger = {.exact_mask = cap ? 2 * cap - 1 : 15};
    bigger.exact = vt__mem_zalloc(((size_t)bigger.exact_mask + 1) * sizeof *bigger.exact);
    if (!bigger.exact) return -ENOMEM;
    for (uint32_t i = 0; i < cap; i++)
        if (r->exact[i].path.ptr) *vt__router_place(&bigger, r->exact[i].path) = r->exact[i];
    vt__mem_free(r->exact);
    r->exact = bigger.exact;
    r->exact_mask = bigger.exact_mask;
    return 0;
}
/* An escape in a pattern stands for itself, in a path it does not. */
static bool vt__router_is_exact(const vt_route *route) {
    return !route->nparams && !memchr(route->pattern.ptr, '%', route->pattern.len);
}
static void vt__router_exact_add(vt__router *r, const vt_route *route, const vt__router_node *n) {
    vt__router_exact *e = vt__router_place(r, route->pattern);
    if (e->path.ptr) return;
    e->path = route->pattern;
    e->node = n;
    r->nexact++;
}

/* Adds a route: 0, -ENOMEM, or VT_EROUTE with *why. */
static int vt__router_add(vt__router *r, vt_str method, vt_str pattern, vt_route **out, const char **why) {
    vt__router_pattern p;
    if ((*why = vt__router_parse(&p, pattern)) != NULL) return VT_EROUTE;
    if (!r->root && !(r->root = vt__mem_zalloc(sizeof *r->root))) return -ENOMEM;
    vt__router_node *n = r->root;
    for (uint32_t i = 0; n && i < p.n; i++) n = vt__router_child(n, p.segs[i].text, p.segs[i].kind);
    if (!n) return -ENOMEM;
    for (vt_route *x = n->routes; x; x = x->next_at_node) {
        if (!vt__str_eq(x->method, method)) continue;
        *why = "defined twice";
        return VT_EROUTE;
    }
    vt_route *route = vt__router_new_route(method, pattern, &p);
    if (!route) return -ENOMEM;
    if (vt__router_exact_room(r) < 0) {
        vt__router_free_route(route);
        return -ENOMEM;
    }
    if (vt__router_is_exact(route)) vt__router_exact_add(r, route, n);
    route->next = r->routes, r->routes = route;
    route->next_at_node = n->routes, n->routes = route;
    *out = route;
    return 0;
}

/* --- lookup --- */
typedef struct vt__router_path {
    vt_str segs[VT__ROUTER_DEPTH]; /* decoded */
    uint32_t total;                /* may be more */
} vt__router_path;

/* `path` was checked by vt__uri_path_check, which gave `total`. `room`: path.len bytes to decode to, NULL when the path
 * has no escape. */
static void vt__router_split(vt__router_path *p, vt_str path, uint32_t total, char *room) {
    size_t pos = 0;
    vt_str s;
    p->total = total;
    for (uint32_t i = 0; i < VT__ROUTER_DEPTH && vt__uri_segment_next(path, &pos, &s) > 0; i++) {
        if (room) {
            ptrdiff_t n = vt__uri_decode(room, s.len, s, 0);
            s.ptr = room;
            s.len = n > 0 ? (size_t)n : 0;
            room += s.len;
        }
        p->segs[i] = s;
    }
}

typedef struct vt__router_walk {
    const vt__router_path *path;
    int top; /* the node at it has matched so many segments */
    struct {
        const vt__router_node *node;
        int stage;
    } stack[VT__ROUTER_DEPTH + 1];
} vt__router_walk;

static void vt__router_begin(vt__router_walk *w, const vt__router *r, const vt__router_path *p) {
    w->path = p;
    w->top = r->root ? 0 : -1;
    w->stack[0].node = r->root;
    w->stack[0].stage = 0;
}

static void vt__router_push(vt__router_walk *w, const vt__router_node *n) {
    if (!n) return;
    w->top++;
    w->stack[w->top].node = n;
    w->stack[w->top].stage = 0;
}

/* The next matching node that has routes, the most specific one first; NULL at the end. */
static const vt__router_node *vt__router_next(vt__router_walk *w) {
    while (w->top >= 0) {
        const vt__router_node *n = w->stack[w->top].node;
        uint32_t i = (uint32_t)w->top;
        bool found, more = i < w->path->total && i < VT__ROUTER_DEPTH;
        switch (w->stack[w->top].stage++) {
        case 0:
            if (i == w->path->total) {
                w->top--;
                if (n->routes) return n;
            } else if (more && n->nlits) {
                uint32_t at = vt__router_bisect(n, w->path->segs[i], &found);
                if (found) vt__router_push(w, n->lits[at]);
            }
            break;
        case 1:
            if (more && w->path->segs[i].len) vt__router_push(w, n->param);
            break;
        default:
            w->top--;
            if (n->tail && n->tail->routes) return n->tail;
        }
    }
    return NULL;
}

/* The node's route for a method: its own, GET's for HEAD, the one for every method. */
static const vt_route *vt__router_pick(const vt__router_node *n, int id, vt_str method) {
    const vt_route *get = NULL, *any = NULL;
    for (const vt_route *r = n->routes; r; r = r->next_at_node) {
        if (!r->method.len) any = r;
        else if (id ? r->method_id == id : !r->method_id && vt__str_eq(r->method, method)) return r;
        else if (r->method_id == VT__H1_M_GET) get = r;
    }
    return get && id == VT__H1_M_HEAD ? get : any;
}

/* The route of a path that is, byte for byte, a pattern without parameters, which a walk would find first; NULL: walk. Such
 * a path has neither escapes nor dot segments. */
static const vt_route *vt__router_lookup_exact(const vt__router *r, vt_str path, int id, vt_str method) {
    const vt__router_node *n = r->exact && path.len ? vt__router_place(r, path)->node : NULL;
    return n ? vt__router_pick(n, id, method) : NULL;
}

/* NULL: *known tells whether the path has routes for other methods. */
static const vt_route *vt__router_lookup(const vt__router *r, const vt__router_path *p, int id, vt_str method,
                                         bool *known) {
    vt__router_walk w;
    *known = false;
    vt__router_begin(&w, r, p);
    for (const vt__router_node *n; (n = vt__router_next(&w)) != NULL; *known = true) {
        const vt_route *route = vt__router_pick(n, id, method);
        if (route) return route;
    }
    return NULL;
}

/* --- Allow --- */
typedef struct vt__router_allow {
    uint32_t ids; /* methods of @h1, by bit */
    char *out;    /* the others, as a list */
    size_t len;
} vt__router_allow;

static bool vt__router_listed(const char *list, size_t len, vt_str m) {
    for (size_t i = 0, end; i < len; i = end + 2) {
        const char *comma = memchr(list + i, ',', len - i);
        end = comma ? (size_t)(comma - list) : len;
        if (end - i == m.len && memcmp(list + i, m.ptr, m.len) == 0) return true;
    }
    return false;
}

static void vt__router_list(vt__router_allow *a, vt_str m) {
    if (vt__router_listed(a->out, a->len, m)) return;
    if (a->len) memcpy(a->out + a->len, ", ", 2), a->len += 2;
    memcpy(a->out + a->len, m.ptr, m.len);
    a->len += m.len;
}

static void vt__router_collect(vt__router_allow *a, const vt_route *r) {
    if (r->method_id) a->ids |= 1u << r->method_id;
    else if (r->method.len) vt__router_list(a, r->method);
}

/* Room that vt__router_methods may need. */
static size_t vt__router_methods_max(const vt__router *r) {
    size_t n = 128;
    for (const vt_route *x = r->routes; x; x = x->next) n += x->method_id ? 0 : x->method.len + 2;
    return n;
}

/* The value of Allow for a path; for the whole server when `p` is NULL. */
static size_t vt__router_methods(const vt__router *r, const vt__router_path *p, char *out) {
    vt__router_allow others = {1u << VT__H1_M_OPTIONS, out, 0};
    vt__router_walk w;
    if (!p)
        for (const vt_route *x = r->routes; x; x = x->next) vt__router_collect(&others, x);
    if (p) {
        vt__router_begin(&w, r, p);
        for (const vt__router_node *n; (n = vt__router_next(&w)) != NULL;)
            for (const vt_route *x = n->routes; x; x = x->next_at_node) vt__router_collect(&others, x);
    }
    if (others.ids & 1u << VT__H1_M_GET) others.ids |= 1u << VT__H1_M_HEAD;
    for (int id = VT__H1_M_GET; id <= VT__H1_M_QUERY; id++)
        if (others.ids & 1u << id) vt__router_list(&others, vt__h1_method_name(id));
    return others.len;
}

/*==============================================================================
 * MARK: - @req     request objects
 * uses:   @mem @str @uri @h1 @router
 * test:   tests/test_http.c
 *
 * A request is slices of the head buffer; a string gets its NUL, in place, when it is handed out: over the byte after a
 * field's name (colon) and value (CR or blank), the method and the target, which nobody reads any more. What is
 * decoded or joined is made at the first call, in the arena. Nothing is done for a request whose handler does not ask.
 *
 * Queries and forms are walked, not tabled: a form of a megabyte of "&" costs no memory. A cursor keeps a loop over
 * the values of one name linear.
 *
 * Body: vt_req_read -> wrappers of middleware, the last one first -> vt__req_base, which holds the limit -> wire->read.
 *============================================================================*/
enum vt__http_framing {
    VT__HTTP_NONE,    /* no framing field: 1xx, 204, 304 */
    VT__HTTP_LENGTH,  /* Content-Length: res->length */
    VT__HTTP_CHUNKED, /* to HTTP/1.1; HTTP/2 and HTTP/3: the length is unknown */
    VT__HTTP_CLOSE    /* to HTTP/1.0, the length is unknown */
};

/* What a protocol implements. Results < 0 are errors; each then is the last call on the response but abort. */
typedef struct vt__http_wire {
    /* Body bytes: 1..n; 0 at the end, with req->trailers filled in. Answers Expect: 100-continue when first called. Only
     * called when there is a body; n > 0. */
    int64_t (*read)(vt_req *req, void *buf, size_t n);
    /* A 1xx but 101; `lines` is checked. Only for HTTP/1.1 on, before head. */
    int (*inform)(vt_res *res, int status, vt_str lines);
    /* Serialises status and fields, framing fields by res->framing; adds Date unless res->has_date, Server unless
     * res->has_server, Connection. Once. end_now: no write follows, but end does. */
    int (*head)(vt_res *res, bool end_now);
    /* Takes all n > 0 bytes: n. Never when res->no_body, never more than res->length in all. */
    int64_t (*write)(vt_res *res, const void *p, size_t n);
    int (*flush)(vt_res *res);
    /* Ends the body, with res->trailers when chunked and not res->no_body; after upgrade: ends the stream. */
    int (*end)(vt_res *res);
    void (*abort)(vt_res *res); /* what was sent is seen to be cut off */
    /* Sends 101 and hands the bytes out. VT_ESTATE: nothing was sent. May be NULL. */
    int (*upgrade)(vt_res *res, const char *protocol, vt_stream **out);
    /* "192.0.2.7:40312"; returns the length. */
    int (*address)(vt_req *req, bool local, char *buf, size_t cap);
    int (*tls)(vt_req *req, vt_tls_info *out); /* NULL: the connection is plain */
    const char *scheme;
} vt__http_wire;

typedef struct vt__req_extra { /* a field that middleware set */
    vt_str name, value;
} vt__req_extra;
typedef struct vt__req_value {
    struct vt__req_value *next;
    const void *key;
    void *value;
} vt__req_value;
typedef struct vt__req_wrap {
    struct vt__req_wrap *below;
    vt_body_read *read;
    void *ctx;
} vt__req_wrap;
typedef struct vt__req_pairs { /* where the last look-up stood: pair number `i` of its name began at `at` */
    size_t at, pos, i;
} vt__req_pairs;
enum vt__req_body_use { VT__REQ_BODY_NEW, VT__REQ_BODY_STREAMED, VT__REQ_BODY_WHOLE, VT__REQ_BODY_FORM };

struct vt_req {
    /* Given to vt__req_init. */
    const vt__http_wire *wire;
    void *conn; /* the protocol's */
    vt_server *server;
    vt_res *res;
    vt__arena *arena;
    /* Filled in by the protocol. head, method.ptr and target.ptr are writable and stay put until vt__http_serve returns. */
    char *head; /* what fields' offsets count from */
    vt__h1_field *fields;
    uint32_t nfields;
    uint8_t version, method_id, form;
    bool keep_alive, upgrade;
    vt_str method, target, path,
        query;           /* raw; path and query inside target (or path is a "/" of static storage) */
    vt_str authority;    /* checked; len 0: none */
    int64_t body_length; /* -1: unknown; 0: no body */
    /* Zeroed by vt__req_init, from here on. Trailers: filled in by wire->read at the end. */
    char *trailer_base;
    vt__h1_field *trailers;
    uint32_t ntrailers;
    int body_err; /* the last error of a body read */
    int64_t body_got, max_body;
    bool body_ended;
    /* Private. */
    bool path_done, raw_path_done, removed, host_done, too_large, generated;
    uint8_t body_use;
    uint16_t refused; /* the status that routing found; 0: run route->handler */
    uint32_t nextras, cap_extras;
    int port;
    const vt_route *route;
    vt_scope *scope;
    const char *allow, *peer, *local;
    vt_str path_decoded, host, body, *params;
    vt__req_extra *extras;
    vt__req_value *values;
    vt__req_wrap *wraps, *below;
    vt__req_pairs query_at, form_at;
};

static void vt__req_init(vt_req *req, vt_res *res, vt_server *s, const vt__http_wire *wire, void *conn,
                         vt__arena *arena) {
    req->wire = wire;
    req->conn = conn;
    req->server = s;
    req->res = res;
    req->arena = arena;
    vt__mem_zero(&req->trailer_base, sizeof *req - offsetof(vt_req, trailer_base));
}

/* Moves the head of n bytes to `to`, unless a string of it was handed out: there is a NUL in it then. */
static bool vt__req_move(vt_req *req, char *to, size_t n) {
    vt_str *s[] = {&req->method, &req->target, &req->path, &req->query, &req->authority};
    if (memchr(req->head, 0, n)) return false;
    memcpy(to, req->head, n);
    for (size_t i = 0; i < VT__COUNT(s); i++)
        if (s[i]->ptr >= req->head && s[i]->ptr <= req->head + n) s[i]->ptr = to + (s[i]->ptr - req->head);
    req->head = to;
    return true;
}

/* --- memory, contexts --- */
VT_API void *vt_req_alloc(vt_req *req, size_t size) { return vt__mem_arena_get(req->arena, size); }

/* NULL when out of memory. */
static char *vt__req_vprintf(vt_req *req, const char *fmt, va_list ap, size_t *len) {
    char buf[256];
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(buf, sizeof buf, fmt, ap);
    char *p = n < 0 ? NULL : vt__mem_arena_get(req->arena, (size_t)n + 1);
    if (p && (size_t)n < sizeof buf) memcpy(p, buf, (size_t)n + 1);
    else if (p) vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    *len = n < 0 ? 0 : (size_t)n;
    return p;
}

VT_API const char *vt_req_printf(vt_req *req, const char *fmt, ...) {
    va_list ap;
    size_t len;
    va_start(ap, fmt);
    const char *p = vt__req_vprintf(req, fmt, ap, &len);
    va_end(ap);
    return p;
}

VT_API void *vt_req_ctx(const vt_req *req) { return req->server->cfg.ctx; }

VT_API void *vt_req_route_ctx(const vt_req *req) { return req->route ? req->route->ctx : NULL; }

VT_API void *vt_req_get(const vt_req *req, const void *key) {
    for (const vt__req_value *v = req->values; v; v = v->next)
        if (v->key == key) return v->value;
    return NULL;
}

VT_API int vt_req_set(vt_req *req, const void *key, void *value) {
    vt__req_value *v = req->values;
    while (v && v->key != key) v = v->next;
    if (!v) {
        v = vt__mem_arena_get(req->arena, sizeof *v);
        if (!v) return -ENOMEM;
        v->key = key;
        v->next = req->values, req->values = v;
    }
    v->value = value;
    return 0;
}

/* --- the request line --- */
/* Accessors take const requests and fill in what they find out. */
static vt_req *vt__req_mut(const vt_req *req) { return (vt_req *)(uintptr_t)req; }

/* Ends a slice of the head, whose next byte nobody needs any more. */
static vt_str vt__req_cut(vt_str s) {
    if (s.ptr) ((char *)(uintptr_t)s.ptr)[s.len] = 0;
    return s;
}

static vt_str vt__req_copy(const vt_req *req, vt_str s) {
    s.ptr = vt__mem_arena_str(req->arena, s.ptr, s.len);
    if (!s.ptr) s.len = 0;
    return s;
}

/* Decoded copy; ptr NULL when it does not decode or memory is out. */
static vt_str vt__req_decode(const vt_req *req, vt_str raw, unsigned flags) {
    vt_str s = {NULL, 0};
    char *p = vt__mem_arena_get(req->arena, raw.len + 1);
    ptrdiff_t n = p ? vt__uri_decode(p, raw.len, raw, flags) : -1;
    if (n < 0) return s;
    p[n] = 0;
    s.ptr = p;
    s.len = (size_t)n;
    return s;
}

VT_API vt_str vt_req_method(const vt_req *req) { return vt__req_cut(req->method); }

VT_API vt_str vt_req_target(const vt_req *req) { return vt__req_cut(req->target); }

VT_API vt_str vt_req_raw_path(const vt_req *req) {
    vt_req *r = vt__req_mut(req);
    if (r->raw_path_done) return r->path;
    r->raw_path_done = true;
    if (r->path.len && r->path.ptr + r->path.len == r->target.ptr + r->target.len) vt__req_cut(r->path);
    else r->path = vt__req_copy(r, r->path);
    return r->path;
}

VT_API vt_str vt_req_path(const vt_req *req) {
    vt_req *r = vt__req_mut(req);
    if (r->path_done) return r->path_decoded;
    r->path_done = true;
    if (!r->path.len || !memchr(r->path.ptr, '%', r->path.len)) r->path_decoded = vt_req_raw_path(r);
    else r->path_decoded = vt__req_decode(r, r->path, 0);
    return r->path_decoded;
}

VT_API vt_str vt_req_raw_query(const vt_req *req) { return vt__req_cut(req->query); }

VT_API vt_str vt_req_segment(const vt_req *req) {
    vt_str s = {req->path.ptr + req->path.len, 0};
    while (s.ptr > req->path.ptr && s.ptr[-1] != '/') s.ptr--, s.len++;
    return vt__req_decode(req, s, 0);
}

VT_API int vt_req_version(const vt_req *req) { return req->version; }

VT_API const char *vt_req_scheme(const vt_req *req) { return req->wire->scheme; }

static void vt__req_authority(vt_req *req) {
    vt__uri_auth a;
    if (req->host_done) return;
    req->host_done = true;
    req->port = strcmp(req->wire->scheme, "https") == 0 ? 443 : 80;
    if (!req->authority.len || vt__uri_authority(req->authority, &a) < 0) return;
    if (a.port >= 0) req->port = a.port;
    req->host = vt__req_copy(req, a.host);
}

VT_API vt_str vt_req_host(const vt_req *req) {
    vt__req_authority(vt__req_mut(req));
    return req->host;
}

VT_API int vt_req_port(const vt_req *req) {
    vt__req_authority(vt__req_mut(req));
    return req->port;
}

static const char *vt__req_address(vt_req *req, bool local) {
    char buf[VT_ADDR_MAX];
    int n = req->wire->address(req, local, buf, sizeof buf);
    const char *p = n > 0 && (size_t)n < sizeof buf ? vt__mem_arena_str(req->arena, buf, (size_t)n) : NULL;
    return p ? p : "";
}

VT_API const char *vt_req_peer(const vt_req *req) {
    if (!req->peer) vt__req_mut(req)->peer = vt__req_address(vt__req_mut(req), false);
    return req->peer;
}

VT_API const char *vt_req_local(const vt_req *req) {
    if (!req->local) vt__req_mut(req)->local = vt__req_address(vt__req_mut(req), true);
    return req->local;
}

VT_API int vt_req_keep_alive(const vt_req *req) { return req->keep_alive; }
VT_API int vt_req_tls(vt_req *req, vt_tls_info *out) {
    memset(out, 0, sizeof *out);
    return req->wire->tls ? req->wire->tls(req, out) : 0;
}

/* --- parameters --- */
static vt_str vt__req_raw_param(const vt_req *req, uint32_t segment, bool tail) {
    size_t pos = 0;
    vt_str s = {NULL, 0};
    for (uint32_t i = 0; i <= segment && vt__uri_segment_next(req->path, &pos, &s) > 0; i++) continue;
    if (tail && s.ptr) s.len = (size_t)(req->path.ptr + req->path.len - s.ptr);
    return s;
}

VT_API vt_str vt_req_param(const vt_req *req, const char *name) {
    vt_req *r = vt__req_mut(req);
    const vt_route *route = req->route;
    vt_str key = vt__str_of(name), none = {NULL, 0};
    uint32_t i = 0, n = route ? route->nparams : 0;
    while (i < n && !vt__str_eq(route->params[i].name, key)) i++;
    if (i == n) return none;
    if (!r->params) {
        r->params = vt__mem_arena_get(r->arena, n * sizeof *r->params);
        if (!r->params) return none;
        memset(r->params, 0, n * sizeof *r->params);
    }
    if (!r->params[i].ptr) {
        bool tail = route->tail && i + 1 == n;
        r->params[i] = vt__req_decode(r, vt__req_raw_param(r, route->params[i].segment, tail), 0);
    }
    return r->params[i];
}

/* --- query and form --- */
/* The i-th value of a name, decoded; ptr NULL without it. */
static vt_str vt__req_pair(const vt_req *req, vt_str text, vt__req_pairs *c, const char *name, size_t i) {
    vt_str key = vt__str_of(name), none = {NULL, 0};
    vt__uri_pair pair;
    size_t pos = c->at, seen = 0;
    /* The last answer is a place to go on from if it was an earlier value of this name. */
    if (c->pos && c->i < i && vt__uri_pair_next(text, &pos, &pair) > 0 &&
        vt__uri_decoded_eq(pair.name, key, VT__URI_FORM))
        pos = c->pos, seen = c->i + 1;
    else pos = 0;
    for (size_t at = pos; vt__uri_pair_next(text, &pos, &pair) > 0; at = pos) {
        if (!vt__uri_decoded_eq(pair.name, key, VT__URI_FORM) || seen++ < i) continue;
        c->at = at, c->pos = pos, c->i = i;
        return vt__req_decode(req, pair.value, VT__URI_FORM);
    }
    return none;
}

VT_API vt_str vt_req_query_at(const vt_req *req, const char *name, size_t i) {
    return vt__req_pair(req, req->query, &vt__req_mut(req)->query_at, name, i);
}

VT_API vt_str vt_req_query(const vt_req *req, const char *name) { return vt_req_query_at(req, name, 0); }

/* --- fields --- */
/* Index over the head's fields, then those that were set. Removed ones have no name. */
static bool vt__req_is(const vt_req *req, size_t i, vt_str name) {
    if (i >= req->nfields) return name.len && vt__str_eq_ci(req->extras[i - req->nfields].name, name);
    const vt__h1_field *f = &req->fields[i];
    return f->name_len == name.len && name.len &&
           vt__str_eq_ci((vt_str){req->head + f->name_off, name.len}, name);
}

static size_t vt__req_count(const vt_req *req) { return (size_t)req->nfields + req->nextras; }

static size_t vt__req_find(const vt_req *req, vt_str name, size_t from) {
    size_t n = vt__req_count(req);
    while (from < n && !vt__req_is(req, from, name)) from++;
    return from;
}

static vt_str vt__req_at(const vt_req *req, size_t i, vt_str *name) {
    vt_str value;
    if (i >= req->nfields) {
        *name = req->extras[i - req->nfields].name;
        return req->extras[i - req->nfields].value;
    }
    const vt__h1_field *f = &req->fields[i];
    name->ptr = req->head + f->name_off;
    name->len = f->name_len;
    value.ptr = req->head + f->value_off;
    value.len = f->value_len;
    vt__req_cut(*name);
    return vt__req_cut(value);
}

VT_API vt_str vt_req_field_at(const vt_req *req, const char *name, size_t i) {
    vt_str key = vt__str_of(name), none = {NULL, 0};
    size_t n = vt__req_count(req), at = vt__req_find(req, key, 0);
    while (i-- && at < n) at = vt__req_find(req, key, at + 1);
    return at < n ? vt__req_at(req, at, &key) : none;
}

/* Values of one name joined; Cookie by the separator of its own grammar (RFC 6265 4.2.1). */
static vt_str vt__req_join(const vt_req *req, vt_str key, size_t first) {
    const char *sep = vt__str_eq_ci(key, VT__STR_LIT("cookie")) ? "; " : ", ";
    size_t n = vt__req_count(req), len = 0;
    vt_str name, v, out = {NULL, 0};
    for (size_t at = first; at < n; at = vt__req_find(req, key, at + 1))
        len += vt__req_at(req, at, &name).len + 2;
    char *p = vt__mem_arena_get(req->arena, len + 1);
    if (!p) return out;
    out.ptr = p;
    for (size_t at = first; at < n; at = vt__req_find(req, key, at + 1)) {
        v = vt__req_at(req, at, &name);
        if (at != first) memcpy(p, sep, 2), p += 2;
        if (v.len) memcpy(p, v.ptr, v.len), p += v.len;
    }
    *p = 0;
    out.len = (size_t)(p - out.ptr);
    return out;
}

VT_API vt_str vt_req_field(const vt_req *req, const char *name) {
    vt_str key = vt__str_of(name), none = {NULL, 0};
    size_t n = vt__req_count(req), at = vt__req_find(req, key, 0);
    if (at == n) return none;
    if (vt__req_find(req, key, at + 1) < n) return vt__req_join(req, key, at);
    return vt__req_at(req, at, &key);
}

VT_API int vt_req_field_nth(const vt_req *req, size_t n, vt_str *name, vt_str *value) {
    size_t total = vt__req_count(req), i = req->removed ? 0 : n;
    for (; req->removed && i < total; i++) {
        bool gone = i < req->nfields ? !req->fields[i].name_len : !req->extras[i - req->nfields].name.len;
        if (!gone && n-- == 0) break;
    }
    if (i >= total) return 0;
    *value = vt__req_at(req, i, name);
    return 1;
}

static int vt__req_push(vt_req *req, vt_str name, vt_str value) {
    if (req->nextras == req->cap_extras) {
        uint32_t cap = req->cap_extras ? req->cap_extras * 2 : 8;
        vt__req_extra *x = vt__mem_arena_get(req->arena, cap * sizeof *x);
        if (!x) return -ENOMEM;
        if (req->nextras) memcpy(x, req->extras, req->nextras * sizeof *x);
        req->extras = x, req->cap_extras = cap;
    }
    vt__req_extra *x = &req->extras[req->nextras];
    x->name = vt__req_copy(req, name);
    x->value = vt__req_copy(req, value);
    if (!x->name.ptr || !x->value.ptr) return -ENOMEM;
    req->nextras++;
    return 0;
}

VT_API int vt_req_field_set(vt_req *req, const char *name, const char *value) {
    vt_str key = vt__str_of(name), v = vt__str_of(value);
    if (vt__h1_check_name(key) < 0 || (value && vt__h1_check_value(v) < 0)) return VT_EFIELD;
    size_t n = vt__req_count(req);
    int err = value ? vt__req_push(req, key, v) : 0;
    if (err < 0) return err;
    for (size_t i = 0; (i = vt__req_find(req, key, i)) < n; i++) {
        req->removed = true;
        if (i < req->nfields) req->fields[i].name_len = 0, req->fields[i].id = 0;
        else req->extras[i - req->nfields].name.len = 0;
    }
    return 0;
}

VT_API vt_str vt_req_cookie(const vt_req *req, const char *name) {
    vt_str key = vt__str_of(name), none = {NULL, 0}, field = VT__STR_LIT("cookie");
    size_t n = vt__req_count(req);
    for (size_t i = 0; (i = vt__req_find(req, field, i)) < n; i++) {
        vt_str all = vt__req_at(req, i, &field);
        for (size_t at = 0; at < all.len;) {
            const char *semi = memchr(all.ptr + at, ';', all.len - at);
            size_t end = semi ? (size_t)(semi - all.ptr) : all.len;
            vt_str one = vt__str_trim((vt_str){all.ptr + at, end - at});
            at = end + 1;
            if (one.len <= key.len || one.ptr[key.len] != '=' || memcmp(one.ptr, key.ptr, key.len) != 0)
                continue;
            return vt__req_copy(req, (vt_str){one.ptr + key.len + 1, one.len - key.len - 1});
        }
    }
    return none;
}

/* --- body --- */
VT_API int64_t vt_req_body_length(const vt_req *req) { return req->body_length; }

/* Under the wrappers: the wire, held to the limit. One byte over it may be read, to tell a body of just that size. */
static int64_t vt__req_base(vt_req *req, void *buf, size_t n) {
    if (req->body_length == 0 || req->body_ended) return 0;
    if (req->max_body >= 0 && req->body_length > req->max_body) req->too_large = true;
    if (req->too_large) return VT_ETOOLARGE;
    if (n == 0) return 0;
    if (req->max_body >= 0 && (uint64_t)(req->max_body - req->body_got) < n)
        n = (size_t)(req->max_body - req->body_got) + 1;
    int64_t r = req->wire->read(req, buf, n);
    if (r == 0) req->body_ended = true;
    if (r > 0) req->body_got += r;
    if (req->max_body < 0 || req->body_got <= req->max_body) return r;
    req->too_large = true;
    return VT_ETOOLARGE;
}

static int64_t vt__req_read_at(vt_req *req, vt__req_wrap *w, void *buf, size_t n) {
    vt__req_wrap *saved = req->below;
    int64_t r;
    if (w) {
        req->below = w->below;
        r = w->read(req, w->ctx, buf, n);
        req->below = saved;
    } else {
        r = vt__req_base(req, buf, n);
    }
    if (r < 0) req->body_err = (int)r;
    return r;
}

VT_API int64_t vt_req_read(vt_req *req, void *buf, size_t n) {
    if (req->body_use > VT__REQ_BODY_STREAMED) return VT_ESTATE;
    req->body_use = VT__REQ_BODY_STREAMED;
    return vt__req_read_at(req, req->wraps, buf, n);
}

VT_API int64_t vt_req_read_below(vt_req *req, void *buf, size_t n) {
    return vt__req_read_at(req, req->below, buf, n);
}

VT_API int vt_req_body_wrap(vt_req *req, vt_body_read *read, void *ctx) {
    if (req->body_use != VT__REQ_BODY_NEW) return VT_ESTATE;
    vt__req_wrap *w = vt__mem_arena_get(req->arena, sizeof *w);
    if (!w) return -ENOMEM;
    w->read = read;
    w->ctx = ctx;
    w->below = req->wraps;
    req->wraps = w;
    return 0;
}

/* A declared length gets its room at once, others double theirs. */
static int vt__req_whole(vt_req *req) {
    bool exact = req->body_length > 0 && !req->wraps;
    if (exact && req->max_body >= 0 && req->body_length > req->max_body) return VT_ETOOLARGE;
    if (exact && (uint64_t)req->body_length >= SIZE_MAX / 4) return -ENOMEM;
    size_t cap = exact ? (size_t)req->body_length : req->body_length || req->wraps ? 4000 : 0, len = 0;
    char *p = vt__mem_arena_get(req->arena, cap + 1);
    for (int64_t r; p; len += (size_t)r) {
        char more;
        r = vt__req_read_at(req, req->wraps, len < cap ? p + len : &more, len < cap ? cap - len : 1);
        if (r < 0) return (int)r;
        if (r == 0) break;
        if (len < cap) continue;
        char *q = cap < SIZE_MAX / 4 ? vt__mem_arena_get(req->arena, 2 * cap + 1) : NULL;
        if (q) memcpy(q, p, len), q[len] = more;
        p = q;
        cap *= 2;
    }
    if (!p) return -ENOMEM;
    p[len] = 0;
    req->body.ptr = p;
    req->body.len = len;
    return 0;
}

VT_API int vt_req_body(vt_req *req, vt_str *out) {
    out->ptr = NULL, out->len = 0;
    if (req->body_use == VT__REQ_BODY_STREAMED) return VT_ESTATE;
    if (req->body_use == VT__REQ_BODY_NEW) {
        req->body_use = VT__REQ_BODY_WHOLE;
        int err = vt__req_whole(req);
        if (err < 0) return req->body_err = err;
    }
    if (!req->body.ptr) return req->body_err < 0 ? req->body_err : VT_ESTATE;
    *out = req->body;
    return 0;
}

/* Reads and checks the form, once. */
static int vt__req_form(vt_req *req) {
    vt_str type = vt_req_field_at(req, "content-type", 0), body;
    if (req->body_use == VT__REQ_BODY_FORM) return 0;
    if (!type.ptr && req->body_length == 0) return 0;
    const char *semi = type.len ? memchr(type.ptr, ';', type.len) : NULL;
    if (semi) type.len = (size_t)(semi - type.ptr);
    if (!vt__str_eq_ci(vt__str_trim(type), VT__STR_LIT("application/x-www-form-urlencoded"))) return VT_ETYPE;
    int err = vt_req_body(req, &body);
    if (err < 0) return err;
    if (vt__uri_query_check(body) < 0) return VT_EBADREQ;
    req->body_use = VT__REQ_BODY_FORM;
    return 0;
}

VT_API int vt_req_form_at(vt_req *req, const char *name, size_t i, vt_str *out) {
    out->ptr = NULL, out->len = 0;
    int err = vt__req_form(req);
    if (err < 0) return err;
    *out = vt__req_pair(req, req->body, &req->form_at, name, i);
    return out->ptr != NULL;
}

VT_API int vt_req_form(vt_req *req, const char *name, vt_str *out) {
    return vt_req_form_at(req, name, 0, out);
}

VT_API vt_str vt_req_trailer(const vt_req *req, const char *name) {
    vt_str key = vt__str_of(name), v = {NULL, 0};
    for (uint32_t i = 0; i < req->ntrailers; i++) {
        const vt__h1_field *f = &req->trailers[i];
        vt_str have = {req->trailer_base + f->name_off, f->name_len};
        if (!vt__str_eq_ci(have, key)) continue;
        v.ptr = req->trailer_base + f->value_off;
        v.len = f->value_len;
        return vt__req_cut(v);
    }
    return v;
}

/*==============================================================================
 * MARK: - @res     response objects
 * uses:   @plat @mem @str @uri @h1 @req
 * test:   tests/test_http.c
 *
 *     OPEN --first write, flush, end--> HEAD --end--> ENDED
 *      |  \--upgrade--> UPGRADED         |
 *      \---------- wire error -----------+--> FAILED
 *
 * Fields may change while OPEN. vt__res_begin fixes them and decides the framing, once, for every protocol; from then on
 * @res counts bytes, so a wire never sees more than was declared, nor a byte for a response without content.
 *============================================================================*/
enum vt__res_state { VT__RES_OPEN, VT__RES_HEAD, VT__RES_ENDED, VT__RES_UPGRADED, VT__RES_FAILED };

typedef struct vt__res_field { /* stays put until the request ends; NUL-terminated */
    const char *name, *value;
    uint32_t name_len, value_len;
    uint8_t id; /* VT__H1_F_... */
} vt__res_field;

/* A list of fields in an arena: of trailers, and of a client's requests. */
typedef struct vt__res_list {
    vt__res_field *at;
    uint32_t n, cap;
} vt__res_list;

#define VT__RES_INLINE 8
struct vt_res {
    vt_req *req;
    uint16_t status; /* 0: not set yet */
    uint8_t state, framing;
    bool no_body; /* no content, whatever the handler writes: HEAD, 204, 205, 304 */
    bool close;   /* Connection: close is wanted */
    bool has_date, has_server, has_type, keep_status, touched;
    int err; /* the first error of the wire */
    int64_t length, bytes;
    uint32_t nfields, cap_fields;
    vt__res_field *fields;
    vt__res_list trailers;
    vt__res_field inlined[VT__RES_INLINE]; /* not initialised */
};

static void vt__res_init(vt_res *res, vt_req *req) {
    vt__mem_zero(res, offsetof(vt_res, inlined));
    res->req = req;
    res->length = -1;
    res->fields = res->inlined;
    res->cap_fields = VT__RES_INLINE;
}

/* --- status --- */
VT_API const char *vt_status_text(int status) {
    vt_str s = vt__h1_reason(status);
    return s.len ? s.ptr : "";
}

VT_API int vt_status_of(int err) {
    if (err >= 0) return 200;
    switch (err) {
    case VT_EBADREQ:
    case VT_EHTTP:
    case VT_EEOF: return 400;
    case VT_EFORBIDDEN:
    case -EACCES: return 403;
    case VT_ENOTFOUND:
    case -ENOENT: return 404;
    case VT_ETOOLARGE: return 413;
    case VT_ETYPE: return 415;
    case VT_EWSUPGRADE: return 426;
    case VT_ELIMIT:
    case VT_ESTOPPED:
    case -ECANCELED: return 503; /* the server stops, or nobody is there to see it */
    case -ETIMEDOUT: return 504;
    default: return 500;
    }
}

VT_API int vt_res_status(vt_res *res, int status) {
    if (status < 200 || status > 599) return -EINVAL;
    if (res->state != VT__RES_OPEN) return VT_ESTATE;
    if (!res->keep_status) res->status = (uint16_t)status;
    return 0;
}

VT_API int vt_res_status_get(const vt_res *res) { return res->status ? res->status : 200; }

VT_API int vt_res_sent(const vt_res *res) { return res->state != VT__RES_OPEN; }

VT_API int64_t vt_res_bytes(const vt_res *res) { return res->bytes; }

/* --- fields --- */
static vt__res_field *vt__res_slot(vt__arena *a, vt__res_field **list, uint32_t *n, uint32_t *cap) {
    if (*n == *cap) {
        uint32_t more = *cap ? *cap * 2 : 4;
        vt__res_field *f = vt__mem_arena_get(a, more * sizeof *f);
        if (!f) return NULL;
        if (*n) memcpy(f, *list, *n * sizeof *f);
        *list = f;
        *cap = more;
    }
    return &(*list)[(*n)++];
}

static void vt__res_note(vt_res *res, int id, bool on) {
    if (id == VT__H1_F_CONTENT_TYPE) res->has_type = on;
    if (id == VT__H1_F_DATE) res->has_date = on;
    if (id == VT__H1_F_SERVER) res->has_server = on;
}

/* Neither checked nor copied. */
static int vt__res_push(vt_res *res, int id, vt_str name, vt_str value) {
    vt__res_field *f = vt__res_slot(res->req->arena, &res->fields, &res->nfields, &res->cap_fields);
    if (!f) return -ENOMEM;
    f->name = name.ptr;
    f->name_len = (uint32_t)name.len;
    f->value = value.ptr;
    f->value_len = (uint32_t)value.len;
    f->id = (uint8_t)id;
    vt__res_note(res, id, true);
    return 0;
}

static bool vt__res_is(const vt__res_field *f, int id, vt_str name) {
    return f->id == id && (id || vt__str_eq_ci((vt_str){f->name, f->name_len}, name));
}

static void vt__res_remove(vt_res *res, int id, vt_str name) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < res->nfields; i++)
        if (!vt__res_is(&res->fields[i], id, name)) res->fields[kept++] = res->fields[i];
    if (kept != res->nfields) vt__res_note(res, id, false);
    res->nfields = kept;
}

/* Fields that frame the message: 1 when done with, 0 for a field as any other, < 0. */
static int vt__res_framing(vt_res *res, int id, vt_str value) {
    int64_t n;
    switch (id) {
    case VT__H1_F_TRANSFER_ENCODING: return VT_EFIELD;
    case VT__H1_F_CONTENT_LENGTH:
        if (!value.ptr) res->length = -1;
        else if (vt__str_u63(value, INT64_MAX, &n) < 0) return VT_EFIELD;
        else res->length = n;
        res->touched = true;
        return 1;
    case VT__H1_F_CONNECTION:
        if (!vt__str_eq_ci(value, VT__STR_LIT("close"))) return VT_EFIELD;
        res->close = true;
        return 1;
    default: return 0;
    }
}

static int vt__res_set(vt_res *res, const char *name, const char *value, bool replace) {
    vt_str key = vt__str_of(name), v = vt__str_of(value);
    if (res->state != VT__RES_OPEN) return VT_ESTATE;
    if (vt__h1_check_name(key) < 0 || (value && vt__h1_check_value(v) < 0) || v.len > UINT32_MAX)
        return VT_EFIELD;
    int id = vt__h1_field_id(key), r = vt__res_framing(res, id, v);
    if (r != 0) return r < 0 ? r : 0;
    vt_str copy = {NULL, 0};
    if (value) {
        v.ptr = vt__mem_arena_str(res->req->arena, v.ptr, v.len);
        copy.ptr = vt__mem_arena_str(res->req->arena, key.ptr, copy.len = key.len);
        if (!v.ptr || !copy.ptr) return -ENOMEM;
    }
    if (replace) vt__res_remove(res, id, key);
    res->touched = true;
    return value ? vt__res_push(res, id, copy, v) : 0;
}

VT_API int vt_res_field(vt_res *res, const char *name, const char *value) {
    return vt__res_set(res, name, value, true);
}

VT_API int vt_res_field_add(vt_res *res, const char *name, const char *value) {
    return value ? vt__res_set(res, name, value, false) : VT_EFIELD;
}

VT_API vt_str vt_res_field_get(const vt_res *res, const char *name, size_t i) {
    vt_str key = vt__str_of(name), none = {NULL, 0};
    int id = vt__h1_field_id(key);
    for (uint32_t at = 0; at < res->nfields; at++) {
        const vt__res_field *f = &res->fields[at];
        if (vt__res_is(f, id, key) && i-- == 0) return (vt_str){f->value, f->value_len};
    }
    return none;
}

VT_API int vt_res_type(vt_res *res, const char *content_type) {
    return vt__res_set(res, "Content-Type", content_type, true);
}

VT_API int vt_res_length(vt_res *res, int64_t n) {
    if (n < 0) return -EINVAL;
    if (res->state != VT__RES_OPEN) return VT_ESTATE;
    res->length = n;
    res->touched = true;
    return 0;
}

/* What a recipient must have before the content, or what frames it, cannot come after it (RFC 9110 6.5.1). */
static bool vt__res_no_trailer(vt_str name) {
    static const vt_str refused[] = {{"transfer-encoding", 17},
                                     {"content-length", 14},
                                     {"content-type", 12},
                                     {"content-encoding", 16},
                                     {"content-range", 13},
                                     {"connection", 10},
                                     {"host", 4},
                                     {"trailer", 7},
                                     {"te", 2},
                                     {"upgrade", 7},
                                     {"set-cookie", 10},
                                     {"cache-control", 13},
                                     {"location", 8},
                                     {"authorization", 13},
                                     {"date", 4},
                                     {"vary", 4}};
    for (size_t i = 0; i < VT__COUNT(refused); i++)
        if (vt__str_eq_ci(name, refused[i])) return true;
    return false;
}

/* Appends a copy; checked by the caller. */
static int vt__res_list_add(vt__arena *a, vt__res_list *l, vt_str name, vt_str value) {
    const char *k = vt__mem_arena_str(a, name.ptr, name.len), *v = vt__mem_arena_str(a, value.ptr, value.len);
    if (!k || !v) return -ENOMEM;
    vt__res_field *f = vt__res_slot(a, &l->at, &l->n, &l->cap);
    if (!f) return -ENOMEM;
    *f = (vt__res_field){k, v, (uint32_t)name.len, (uint32_t)value.len, (uint8_t)vt__h1_field_id(name)};
    return 0;
}

static int vt__res_trailer_add(vt__arena *a, vt__res_list *l, const char *name, const char *value) {
    vt_str key = vt__str_of(name), v = vt__str_of(value);
    if (!value || vt__h1_check_name(key) < 0 || vt__h1_check_value(v) < 0 || v.len > UINT32_MAX)
        return VT_EFIELD;
    return vt__res_no_trailer(key) ? VT_EFIELD : vt__res_list_add(a, l, key, v);
}

VT_API int vt_res_trailer(vt_res *res, const char *name, const char *value) {
    if (res->state > VT__RES_HEAD) return VT_ESTATE;
    return vt__res_trailer_add(res->req->arena, &res->trailers, name, value);
}

/* --- cookies --- */
static bool vt__res_attr_ok(const char *s) {
    return !s || (vt__h1_check_value(vt__str_of(s)) == 0 && !strchr(s, ';'));
}

static bool vt__res_same_site_ok(const char *s) {
    vt_str v = vt__str_of(s);
    return !s || vt__str_eq_ci(v, VT__STR_LIT("Lax")) || vt__str_eq_ci(v, VT__STR_LIT("Strict")) ||
           vt__str_eq_ci(v, VT__STR_LIT("None"));
}

static const char *vt__res_cookie_text(vt_res *res, const vt_cookie *c, const char *value) {
    char age[80] = "";
    if (c->max_age_s > 0) snprintf(age, sizeof age, "; Max-Age=%lld", (long long)c->max_age_s);
    if (c->max_age_s < 0) snprintf(age, sizeof age, "; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT");
    return vt_req_printf(res->req, "%s=%s%s%s%s%s%s%s%s%s%s", c->name, value, c->path ? "; Path=" : "",
                         c->path ? c->path : "", c->domain ? "; Domain=" : "", c->domain ? c->domain : "",
                         age, c->secure ? "; Secure" : "", c->http_only ? "; HttpOnly" : "",
                         c->same_site ? "; SameSite=" : "", c->same_site ? c->same_site : "");
}

VT_API int vt_res_cookie(vt_res *res, const vt_cookie *cookie) {
    vt_str raw = vt__str_of(cookie->value ? cookie->value : "");
    if (res->state != VT__RES_OPEN) return VT_ESTATE;
    if (vt__h1_check_name(vt__str_of(cookie->name)) < 0 || !vt__res_attr_ok(cookie->path) ||
        !vt__res_attr_ok(cookie->domain) || !vt__res_same_site_ok(cookie->same_site))
        return VT_EFIELD;
    ptrdiff_t n = vt__uri_encode(NULL, 0, raw, VT__URI_SET_COOKIE);
    char *value = n >= 0 ? vt__mem_arena_get(res->req->arena, (size_t)n + 1) : NULL;
    if (!value) return -ENOMEM;
    vt__uri_encode(value, (size_t)n, raw, VT__URI_SET_COOKIE);
    value[n] = 0;
    const char *text = vt__res_cookie_text(res, cookie, value);
    if (!text) return -ENOMEM;
    res->touched = true;
    return vt__res_push(res, VT__H1_F_SET_COOKIE, VT__STR_LIT("Set-Cookie"), vt__str_of(text));
}

/* --- sending --- */
static int vt__res_fail(vt_res *res, int err) {
    res->state = VT__RES_FAILED;
    if (!res->err) res->err = err;
    return err;
}

/* Statuses whose responses have no content: the handler's bytes are not even held to a length. */
static bool vt__res_is_bare(int status) {
    return status < 200 || status == 204 || status == 205 || status == 304;
}

static int vt__res_frame(vt_res *res) {
    if (res->status == 205) return res->length = 0, VT__HTTP_LENGTH; /* RFC 9110 15.3.6 */
    if (vt__res_is_bare(res->status)) return res->length = -1, VT__HTTP_NONE;
    if (res->length >= 0) return VT__HTTP_LENGTH;
    if (res->req->version >= 11) return VT__HTTP_CHUNKED;
    return res->no_body ? VT__HTTP_NONE : VT__HTTP_CLOSE;
}

static int vt__res_begin(vt_res *res, bool end_now) {
    if (!res->status) res->status = 200;
    bool bare = vt__res_is_bare(res->status);
    res->no_body = bare || res->req->method_id == VT__H1_M_HEAD;
    res->framing = (uint8_t)vt__res_frame(res);
    if (res->framing == VT__HTTP_CLOSE) res->close = true;
    if (!res->has_type && !bare && res->length != 0 &&
        vt__res_push(res, VT__H1_F_CONTENT_TYPE, VT__STR_LIT("Content-Type"),
                     VT__STR_LIT("application/octet-stream")) < 0)
        return -ENOMEM;
    res->state = VT__RES_HEAD;
    int err = res->req->wire->head(res, end_now || res->no_body);
    return err < 0 ? vt__res_fail(res, err) : 0;
}

/* In which the response cannot take bytes any more. */
static int vt__res_closed(const vt_res *res) {
    if (res->state == VT__RES_FAILED) return res->err;
    if (res->state == VT__RES_ENDED && res->framing == VT__HTTP_LENGTH) return VT_ESURPLUS;
    return VT_ESTATE;
}

VT_API int64_t vt_res_write(vt_res *res, const void *p, size_t n) {
    int err = res->state == VT__RES_OPEN ? vt__res_begin(res, false) : 0;
    if (err < 0) return err;
    if (res->state != VT__RES_HEAD) return vt__res_closed(res);
    size_t take = n;
    if (res->framing == VT__HTTP_LENGTH && res->status != 205 && (uint64_t)(res->length - res->bytes) < n)
        take = (size_t)(res->length - res->bytes);
    if (take && !res->no_body) {
        int64_t r = res->req->wire->write(res, p, take);
        if (r < 0) return vt__res_fail(res, (int)r);
    }
    res->bytes += (int64_t)take;
    return take == n ? (int64_t)n : VT_ESURPLUS;
}

VT_API int vt_res_flush(vt_res *res) {
    int err = res->state == VT__RES_OPEN ? vt__res_begin(res, false) : 0;
    if (err < 0) return err;
    if (res->state == VT__RES_FAILED) return res->err;
    if (res->state == VT__RES_UPGRADED) return VT_ESTATE;
    err = res->req->wire->flush(res);
    return err < 0 ? vt__res_fail(res, err) : 0;
}

/* Every declared byte was taken, or none is wanted. */
static bool vt__res_is_whole(const vt_res *res) {
    return res->no_body || (res->framing == VT__HTTP_LENGTH && res->bytes == res->length);
}

/* Bytes were promised that have to come; while OPEN. */
static bool vt__res_is_short(const vt_res *res) {
    return res->length > 0 && res->req->method_id != VT__H1_M_HEAD &&
           !vt__res_is_bare(vt_res_status_get(res));
}

VT_API int vt_res_end(vt_res *res) {
    if (res->state == VT__RES_OPEN) {
        if (vt__res_is_short(res)) return VT_ESHORT; /* nothing is sent yet: this may become a 500 */
        if (res->length < 0) res->length = 0;
        int err = vt__res_begin(res, true);
        if (err < 0) return err;
    }
    if (res->state == VT__RES_FAILED) return res->err;
    if (res->state != VT__RES_HEAD) return res->state == VT__RES_ENDED ? 0 : VT_ESTATE;
    if (res->framing == VT__HTTP_LENGTH && !vt__res_is_whole(res)) return VT_ESHORT;
    if (res->framing != VT__HTTP_CHUNKED || res->no_body) res->trailers.n = 0;
    res->state = VT__RES_ENDED;
    int err = res->req->wire->end(res);
    return err < 0 ? vt__res_fail(res, err) : 0;
}

/* --- whole responses --- */
static int vt__res_whole(vt_res *res, const void *p, size_t n) {
    res->length = (int64_t)n;
    int err = vt__res_begin(res, n == 0);
    if (err < 0) return err;
    int64_t r = n && !res->no_body ? res->req->wire->write(res, p, n) : 0;
    if (r < 0) return vt__res_fail(res, (int)r);
    res->bytes = (int64_t)n;
    return vt_res_end(res);
}

/* `type` is static storage and known to be good. */
static int vt__res_send(vt_res *res, int status, vt_str type, const void *p, size_t n) {
    int err = vt_res_status(res, status);
    if (err < 0) return err;
    if (res->has_type) vt__res_remove(res, VT__H1_F_CONTENT_TYPE, type);
    err = vt__res_push(res, VT__H1_F_CONTENT_TYPE, VT__STR_LIT("Content-Type"), type);
    return err < 0 ? err : vt__res_whole(res, p, n);
}

VT_API int vt_res_send(vt_res *res, int status, const char *content_type, const void *body, size_t n) {
    int err = vt_res_status(res, status);
    if (err < 0 || (content_type && (err = vt_res_type(res, content_type)) < 0)) return err;
    return vt__res_whole(res, body, n);
}

VT_API int vt_res_text(vt_res *res, int status, const char *text) {
    return text ? vt__res_send(res, status, VT__STR_LIT("text/plain; charset=utf-8"), text, strlen(text))
                : -EINVAL;
}

VT_API int vt_res_html(vt_res *res, int status, const char *text) {
    return text ? vt__res_send(res, status, VT__STR_LIT("text/html; charset=utf-8"), text, strlen(text))
                : -EINVAL;
}

VT_API int vt_res_json(vt_res *res, int status, const char *text) {
    return text ? vt__res_send(res, status, VT__STR_LIT("application/json"), text, strlen(text)) : -EINVAL;
}

VT_API int vt_res_printf(vt_res *res, int status, const char *fmt, ...) {
    va_list ap;
    size_t n;
    va_start(ap, fmt);
    const char *p = vt__req_vprintf(res->req, fmt, ap, &n);
    va_end(ap);
    if (!p) return -ENOMEM;
    return vt__res_send(res, status, VT__STR_LIT("text/plain; charset=utf-8"), p, n);
}

VT_API int vt_res_redirect(vt_res *res, int status, const char *location) {
    vt_str raw = vt__str_of(location);
    if (status != 301 && status != 302 && status != 303 && status != 307 && status != 308) return -EINVAL;
    if (vt__h1_check_value(raw) < 0 || !raw.len) return VT_EFIELD;
    ptrdiff_t n = vt__uri_encode(NULL, 0, raw, VT__URI_SET_LOCATION);
    char *p = n >= 0 ? vt__mem_arena_get(res->req->arena, (size_t)n + 1) : NULL;
    if (!p) return -ENOMEM;
    vt__uri_encode(p, (size_t)n, raw, VT__URI_SET_LOCATION);
    p[n] = 0;
    int err = vt_res_status(res, status);
    if (err < 0 || (err = vt_res_field(res, "Location", p)) < 0) return err;
    return vt__res_whole(res, NULL, 0);
}

VT_API int vt_res_no_content(vt_res *res) {
    int err = vt_res_status(res, 204);
    return err < 0 ? err : vt__res_whole(res, NULL, 0);
}

/* --- interim responses, upgrade --- */
static bool vt__res_line_ok(vt_str line) {
    const char *colon = line.len ? memchr(line.ptr, ':', line.len) : NULL;
    if (!colon) return false;
    vt_str name = {line.ptr, (size_t)(colon - line.ptr)}, value = {colon + 1, line.len - name.len - 1};
    if (vt__h1_check_name(name) < 0 || vt__h1_check_value(value) < 0) return false;
    int id = vt__h1_field_id(name);
    return id != VT__H1_F_CONNECTION && id != VT__H1_F_CONTENT_LENGTH && id != VT__H1_F_TRANSFER_ENCODING;
}

static bool vt__res_lines_ok(vt_str lines) {
    for (size_t at = 0, end; at < lines.len; at = end + 2) {
        const char *cr = memchr(lines.ptr + at, '\r', lines.len - at);
        end = cr ? (size_t)(cr - lines.ptr) : lines.len;
        if (end + 1 >= lines.len || lines.ptr[end + 1] != '\n') return false;
        if (!vt__res_line_ok((vt_str){lines.ptr + at, end - at})) return false;
    }
    return true;
}

VT_API int vt_res_inform(vt_res *res, int status, const char *lines) {
    vt_str text = vt__str_of(lines ? lines : "");
    if (status < 100 || status > 199 || status == 101) return -EINVAL;
    if (res->state != VT__RES_OPEN) return VT_ESTATE;
    if (!vt__res_lines_ok(text)) return VT_EFIELD;
    if (res->req->version < 11) return 0; /* RFC 9110 15.2: not to an HTTP/1.0 client */
    int err = res->req->wire->inform(res, status, text);
    return err < 0 ? vt__res_fail(res, err) : 0;
}

VT_API int vt_res_upgrade(vt_res *res, const char *protocol, vt_stream **out) {
    const vt_req *req = res->req;
    uint16_t status = res->status;
    *out = NULL;
    if (res->state != VT__RES_OPEN || req->version < 11 || !req->upgrade || !req->wire->upgrade)
        return VT_ESTATE;
    if (!*protocol || vt__h1_check_value(vt__str_of(protocol)) < 0) return VT_EFIELD;
    res->status = 101;
    res->framing = VT__HTTP_NONE;
    res->no_body = true;
    int err = req->wire->upgrade(res, protocol, out);
    if (err == VT_ESTATE) {
        res->status = status;
        res->no_body = false;
        return err;
    }
    if (err < 0) return vt__res_fail(res, err);
    res->state = VT__RES_UPGRADED;
    return 0;
}

/*==============================================================================
 * MARK: - @http    routes and middleware of a server; one request from head to end
 * uses:   @plat @mem @str @err @log @uri @h1 @router @req @res @sched @self @scope
 * test:   tests/test_http.c   fuzz: fuzz/fuzz_router.c
 *
 * vt__http_serve: route, then the onion (the server's middleware, the route's, the handler), then vt__http_finish, the one
 * place where a response that nobody finished gets its end: an error page, a short text, an empty body, or the abort.
 * The innermost layer only sets the status of what has no handler (404, 405, 400, 413, OPTIONS): middleware sees it, may
 * add fields or answer itself. A handler's error travels out through the onion and becomes a status in finish.
 *============================================================================*/
/* --- the server's routing part --- */
/* Keeps the first error; returns it. */
static VT_PRINTF(3, 4) int vt__http_fail(vt_server *s, int err, const char *fmt, ...) {
    va_list ap;
    if (s->error) return s->error;
    s->error = err;
    va_start(ap, fmt);
    vsnprintf(s->error_text, sizeof s->error_text, fmt, ap);
    va_end(ap);
    return err;
}

static void vt__http_server_init(vt_server *s) { s->router.dead.server = s; }

static void vt__http_server_drop(vt_server *s) { vt__router_free(&s->router); }

VT_API int vt_server_error(const vt_server *s) { return s->error; }

VT_API const char *vt_server_error_text(const vt_server *s) { return s->error_text; }

/* 0 when the server's routes may change. */
static int vt__http_open(const vt_server *s) {
    if (s->error) return s->error;
    return s->running ? VT_ESTATE : 0;
}

VT_API vt_route *vt_server_handle(vt_server *s, const char *method, const char *pattern, vt_handler *h) {
    vt_str m = vt__str_of(method ? method : ""), p = vt__str_of(pattern ? pattern : "");
    const char *why = NULL;
    vt_route *r;
    if (vt__http_open(s) < 0) return &s->router.dead;
    if (m.len && vt__h1_check_name(m) < 0) why = "not a method";
    else if (!h) why = "no handler";
    int err = why ? VT_EROUTE : vt__router_add(&s->router, m, p, &r, &why);
    if (err < 0) {
        vt__http_fail(s, err, "route %s %s: %s", m.len ? m.ptr : "*", p.ptr, why ? why : vt_strerror(err));
        return &s->router.dead;
    }
    r->server = s;
    r->handler = h;
    return r;
}

VT_API vt_route *vt_server_get(vt_server *s, const char *pattern, vt_handler *h) {
    return vt_server_handle(s, "GET", pattern, h);
}

VT_API vt_route *vt_server_post(vt_server *s, const char *pattern, vt_handler *h) {
    return vt_server_handle(s, "POST", pattern, h);
}

VT_API vt_route *vt_server_put(vt_server *s, const char *pattern, vt_handler *h) {
    return vt_server_handle(s, "PUT", pattern, h);
}

VT_API vt_route *vt_server_delete(vt_server *s, const char *pattern, vt_handler *h) {
    return vt_server_handle(s, "DELETE", pattern, h);
}

VT_API vt_route *vt_server_any(vt_server *s, const char *pattern, vt_handler *h) {
    return vt_server_handle(s, NULL, pattern, h);
}

/* 0 when the route may be set up; a dead one tells why it is. */
static int vt__http_route_open(const vt_route *r) {
    int err = r->server ? vt__http_open(r->server) : -ENOMEM;
    return err < 0 || r->handler ? err : VT_ESTATE;
}

VT_API int vt_route_ctx(vt_route *r, void *ctx) {
    int err = vt__http_route_open(r);
    if (err == 0) r->ctx = ctx;
    return err;
}

VT_API int vt_route_max_body(vt_route *r, int64_t bytes) {
    int err = vt__http_route_open(r);
    if (err == 0) r->max_body = bytes;
    return err;
}

VT_API int vt_route_timeout_ms(vt_route *r, int64_t ms) {
    int err = vt__http_route_open(r);
    if (err == 0) r->timeout_ms = ms;
    return err;
}

/* Appends: the first given is the outermost. */
static int vt__http_use(vt_server *s, vt__router_mw **list, vt_middleware *fn, void *ctx) {
    if (!fn) return vt__http_fail(s, -EINVAL, "middleware is NULL");
    vt__router_mw *m = vt__mem_zalloc(sizeof *m);
    if (!m) return vt__http_fail(s, -ENOMEM, "out of memory");
    m->fn = fn;
    m->ctx = ctx;
    while (*list) list = &(*list)->next;
    *list = m;
    return 0;
}

VT_API int vt_route_use(vt_route *r, vt_middleware *mw, void *ctx) {
    int err = vt__http_route_open(r);
    return err < 0 ? err : vt__http_use(r->server, &r->mw, mw, ctx);
}

VT_API int vt_server_use(vt_server *s, vt_middleware *mw, void *ctx) {
    int err = vt__http_open(s);
    return err < 0 ? err : vt__http_use(s, &s->router.mw, mw, ctx);
}

VT_API int vt_server_error_page(vt_server *s, int status, vt_handler *h) {
    int err = vt__http_open(s);
    if (err < 0) return err;
    if (!h || (status && (status < 400 || status > 599)))
        return vt__http_fail(s, -EINVAL, "error page %d: want a handler, and 0 or a status of 400 to 599",
                             status);
    vt__router_page *p = vt__mem_zalloc(sizeof *p);
    if (!p) return vt__http_fail(s, -ENOMEM, "out of memory");
    p->status = status;
    p->handler = h;
    p->next = s->router.pages, s->router.pages = p; /* the last one given wins */
    return 0;
}

/* --- routing --- */
static int vt__http_allow(vt_req *req, const vt__router_path *p, int status) {
    const vt__router *r = &req->server->router;
    char *out = vt__mem_arena_get(req->arena, vt__router_methods_max(r));
    if (!out) return 500;
    out[vt__router_methods(r, p, out)] = 0;
    req->allow = out;
    return status;
}

/* An encoded slash may hide a dot segment from vt__uri_path_check; it must not come out in vt_req_path or a tail. */
static bool vt__http_has_dots(vt_str path) {
    size_t pos = 0;
    vt_str s;
    while (vt__uri_segment_next(path, &pos, &s) > 0)
        if (vt__str_eq(s, VT__STR_LIT(".")) || vt__str_eq(s, VT__STR_LIT(".."))) return true;
    return false;
}

/* By the tree; a frame of its own, so that its path takes no room below the handler. */
static VT__NOINLINE int vt__http_walk(vt_req *req) {
    vt__router_path p;
    char *room = NULL;
    bool known;
    int total = vt__uri_path_check(req->path);
    if (total < 0) return 400;
    if (memchr(req->path.ptr, '%', req->path.len)) {
        if (!vt_req_path(req).ptr || !(room = vt__mem_arena_get(req->arena, req->path.len))) return 500;
        if (vt__http_has_dots(req->path_decoded)) return 400;
    }
    vt__router_split(&p, req->path, (uint32_t)total, room);
    req->route = vt__router_lookup(&req->server->router, &p, req->method_id, req->method, &known);
    if (req->route) return 0;
    if (!known) return 404;
    return vt__http_allow(req, &p, req->method_id == VT__H1_M_OPTIONS ? 204 : 405);
}
/* Finds the route: 0, or the status that takes its place. */
static int vt__http_route(vt_req *req) {
    if (req->form == VT__H1_ASTERISK) return vt__http_allow(req, NULL, 204);
    if (req->form == VT__H1_AUTHORITY || !req->path.len) return 501;
    if (req->query.len && vt__uri_query_check(req->query) < 0) return 400;
    req->route = vt__router_lookup_exact(&req->server->router, req->path, req->method_id, req->method);
    return VT__LIKELY(req->route != NULL) ? 0 : vt__http_walk(req);
}

/* --- the onion --- */
struct vt_next {
    const vt__router_mw *mw; /* the one that was called with this */
    bool routed, used;       /* mw is the route's, not the server's */
};

static int vt__http_core(vt_req *req, vt_res *res) {
    int status = req->refused;
    if (!status && req->max_body >= 0 && req->body_length > req->max_body) status = 413;
    if (!status) return req->route->handler(req, res);
    if (status == 500) return -ENOMEM;
    req->generated = status >= 400;
    if (req->form == VT__H1_AUTHORITY) res->close = true; /* what follows may be meant for the tunnel */
    int err = vt_res_status(res, status);
    if (err == 0 && req->allow) err = vt_res_field(res, "Allow", req->allow);
    return err;
}

static int vt__http_step(const vt__router_mw *mw, bool routed, vt_req *req, vt_res *res) {
    if (!mw && !routed) {
        routed = true;
        mw = req->route ? req->route->mw : NULL;
    }
    if (!mw) return vt__http_core(req, res);
    vt_next next = {mw, routed, false};
    return mw->fn(req, res, &next);
}

VT_API int vt_next_run(vt_next *next, vt_req *req, vt_res *res) {
    if (next->used) return VT_ESTATE;
    next->used = true;
    return vt__http_step(next->mw->next, next->routed, req, res);
}

VT_API void *vt_next_ctx(const vt_next *next) { return next->mw->ctx; }

/* --- the end of a request --- */
/* Whose fault an error is decides at which level it is logged. */
static bool vt__http_is_ours(const vt_req *req, const vt_res *res, int err, int status) {
    if (res->err || err == -ECANCELED) return false; /* the client is gone */
    if (res->state == VT__RES_UPGRADED &&
        (err == -ECONNRESET || err == -EPIPE || err == -ETIMEDOUT || err == VT_ESTOPPED))
        return false;
    if (err <= VT_EWSUPGRADE && err >= VT_EWSPONG) return false;
    if (err == req->body_err && (err == -ECONNRESET || err == -EPIPE)) return false;
    return status >= 500;
}

/* Once a request that failed. */
static void vt__http_log(const vt_req *req, const vt_res *res, int err, int status, bool cut) {
    int level = vt__http_is_ours(req, res, err, status) ? VT_LOG_ERROR : VT_LOG_DEBUG;
    if (level < vt__log_g.min) return;
    vt_log(level, "%.*s %.*s: %s, %s; answered %d%s", (int)VT__MIN(req->method.len, 32), req->method.ptr,
           (int)VT__MIN(req->target.len, 200), req->target.ptr, vt_err_name(err), vt_strerror(err),
           res->status, cut ? ", cut off" : "");
}

static int vt__http_error_status(const vt_req *req, int err, bool late) {
    if (err == -ETIMEDOUT && req->body_err == -ETIMEDOUT && !late) return 408;
    return vt_status_of(err);
}

/* What was said about a body that does not come. */
static void vt__http_forget(vt_res *res) {
    static const uint8_t ids[] = {VT__H1_F_CONTENT_TYPE, VT__H1_F_CONTENT_ENCODING, VT__H1_F_CONTENT_RANGE,
                                  VT__H1_F_ETAG,         VT__H1_F_LAST_MODIFIED,    VT__H1_F_CACHE_CONTROL,
                                  VT__H1_F_EXPIRES,      VT__H1_F_LOCATION};
    for (size_t i = 0; i < VT__COUNT(ids); i++) vt__res_remove(res, ids[i], VT__STR_LIT(""));
    res->length = -1;
    res->trailers.n = 0;
}

static void vt__http_retry_after(const vt_req *req, vt_res *res) {
    char s[24];
    int n = req->server->cfg.retry_after_s;
    if (res->status != 503 || vt_res_field_get(res, "Retry-After", 0).ptr) return;
    s[vt__str_put_u64(s, (uint64_t)(n > 0 ? n : 1))] = 0;
    vt_res_field(res, "Retry-After", s);
}

static vt_handler *vt__http_page_of(const vt_server *s, int status) {
    vt_handler *any = NULL;
    for (const vt__router_page *p = s->router.pages; p; p = p->next) {
        if (p->status == status) return p->handler;
        if (!p->status && !any) any = p->handler;
    }
    return any;
}

/* The body of an error that nobody described: its page, else its reason phrase when the status is ours. */
static int vt__http_page(vt_req *req, vt_res *res) {
    vt_handler *page = vt__http_page_of(req->server, res->status);
    int err = 0;
    res->keep_status = true;
    if (page) err = page(req, res);
    if (res->state != VT__RES_OPEN) return err;
    res->length = -1;
    if ((page && err >= 0) || !req->generated) return err;
    vt__http_forget(res);
    vt_res_text(res, res->status, vt_req_printf(req, "%d %s\n", res->status, vt_status_text(res->status)));
    return err;
}

/* Turns a handler's error, or its silence, into a status. */
static void vt__http_settle(vt_req *req, vt_res *res, int err, int status) {
    if (err < 0) {
        vt__http_forget(res);
        res->status = (uint16_t)status;
        req->generated = true;
        /* Where the next request begins is not known behind a body that failed. */
        if (req->body_err < 0 && req->body_err != VT_ETOOLARGE) res->close = true;
        vt__http_retry_after(req, res);
    } else if (!res->status && !res->touched) {
        res->status = 404;
        req->generated = true;
    }
}

/* Ends what is not ended: 0, or the reason for cutting it off. *err: the request's first error. */
static int vt__http_end(vt_req *req, vt_res *res, int *err, int status) {
    int page;
    switch (res->state) {
    case VT__RES_OPEN:
        vt__http_settle(req, res, *err, status);
        page = res->status >= 400 ? vt__http_page(req, res) : 0;
        if (page < 0 && *err == 0) *err = page;
        if (page < 0 && res->state == VT__RES_HEAD && !vt__res_is_whole(res)) return page;
        return vt_res_end(res);
    case VT__RES_HEAD: return *err < 0 && !vt__res_is_whole(res) ? *err : vt_res_end(res);
    case VT__RES_UPGRADED:
        if (*err < 0) req->wire->abort(res);
        return req->wire->end(res);
    default: return res->err;
    }
}

static int vt__http_finish(vt_req *req, vt_res *res, int err, bool late) {
    const vt_server_cfg *cfg = &req->server->cfg;
    /* A length was promised and no byte came: that can still be told. */
    if (err >= 0) err = res->state == VT__RES_OPEN && vt__res_is_short(res) ? VT_ESHORT : 0;
    int status = vt__http_error_status(req, err, late);
    int end = vt__http_end(req, res, &err, status);
    if (end < 0) req->wire->abort(res);
    if (end < 0 && err == 0) err = end;
    if (err < 0) vt__http_log(req, res, err, vt__http_error_status(req, err, late), end < 0);
    if (cfg->on_response) cfg->on_response(req, res, cfg->ctx, err);
    return end < 0 ? end : 0;
}

/* --- entry points of the protocols --- */
/* A handler's own deadline; 0 when it has none. */
static int64_t vt__http_deadline(const vt_req *req) {
    int64_t ms = req->route && req->route->timeout_ms ? req->route->timeout_ms
                                                      : req->server->cfg.handler_timeout_ms;
    if (ms <= 0) return 0;
    int64_t now = vt_now();
    return ms > (INT64_MAX - now) / VT_MS ? 0 : now + ms * VT_MS;
}

VT_API vt_scope *vt_req_scope(vt_req *req) {
    if (req->scope) return req->scope;
    vt_scope *s = vt__mem_arena_get(req->arena, sizeof *s);
    if (s) (void)vt_scope_open(s, VT_SCOPE_KEEP, 0);
    return req->scope = s;
}
/* What a handler, or an error page, has left to run ends here: its children first, which may use what the clean-ups end. */
static void vt__http_leave(vt_req *req, vt__vth *v, int keep) {
    if (VT__UNLIKELY(req->scope != NULL)) (void)vt_scope_close(req->scope);
    if (v && VT__UNLIKELY(v->ndefers > keep)) vt__sched_undefer(v, keep);
}

static int vt__http_serve(vt_req *req, vt_res *res) {
    const vt_server *s = req->server;
    vt__res_init(res, req);
    req->refused = (uint16_t)vt__http_route(req);
    if (req->refused == 400) res->close = true; /* a target that nobody sends in earnest */
    req->max_body = req->route && req->route->max_body ? req->route->max_body : s->cfg.max_body;
    if (req->max_body == 0) req->max_body = 1 << 20;
    int64_t until = vt__http_deadline(req), before = 0;
    if (until) {
        before = vt_deadline_set(until);
        if (before && before < until) vt_deadline_set(until = before);
    }
    vt__vth *v = vt__sched_self();
    int keep = v ? v->ndefers : 0;
    int err = vt__http_step(s->router.mw, false, req, res);
    vt__http_leave(req, v, keep);
    bool late = until && vt_now() >= until;
    if (until) vt_deadline_set(before);
    err = vt__http_finish(req, res, err, late);
    vt__http_leave(req, v, keep);
    return err;
}

/* Answers a request that is not to be handled (417, 503), with its page. */
static VT__UNUSED int vt__http_refuse(vt_req *req, vt_res *res, int status) {
    vt__res_init(res, req);
    req->generated = true;
    res->status = (uint16_t)status;
    res->close = true;
    vt__http_retry_after(req, res);
    return vt__http_finish(req, res, 0, false);
}

/*==============================================================================
 * MARK: - @conn    one transport under every protocol: a byte stream that parks, with buffers
 * uses:   @plat @mem @poll @sched @io
 * raises: vt__conn_ops (a transport other than the plain socket)
 * test:   tests/test_conn.c tests/e2e_life.c
 *
 * vt__conn lives as long as the connection and holds no memory of its own. vt__conn_io stands on the stack of the
 * vthread that works for it: an input and an output block of the thread's pool, held while a request is in progress.
 * Output is gathered; who owns the protocol decides when it goes out: before waiting for input, when the block is full,
 * when the vthread is about to park. What does not fit goes out beside the block in one call, without a copy.
 * A failed write ends the output for good: what the peer has by then is unknown.
 *============================================================================*/
typedef struct vt__conn {
    vt__pd pd;
    const struct vt__conn_ops *ops; /* NULL: the socket itself, inlined */
    void *up;                       /* theirs */
} vt__conn;

/* As the functions of @io that they stand for. A transport that holds input of its own says so by VT__PD_R, as if the
 * socket had it. What send_try did not take is given to it again, first of all, and may then be on its way already. */
struct vt__conn_ops {
    int64_t (*recv)(vt__conn *c, void *p, size_t n, int64_t until);
    int64_t (*recv_try)(vt__conn *c, void *p, size_t n);
    int64_t (*send_try)(vt__conn *c, struct iovec *v, int n);
    int (*send_wait)(vt__conn *c, int64_t until);
    int (*shutdown)(vt__conn *c); /* the sending half; -EAGAIN: wait for room, then again */
    int (*close)(vt__conn *c);
    int (*end)(vt__conn *c); /* as shutdown, and leaves the socket as it is */
    void (*bare)(
        vt__conn *c); /* says what end says, if it can at once; from then on the socket itself is spoken to */
};

/* Bytes [pos, len) of p are in use: received and not consumed, or to be sent. */
typedef struct vt__conn_buf {
    char *p;
    size_t cap, pos, len;
} vt__conn_buf;

typedef struct vt__conn_io {
    vt__conn *c;
    vt__thr *thr;
    vt__conn_buf in, out;
    int64_t write_ns; /* a write without progress; 0: none */
    int err;          /* the first failed write */
    bool sending;     /* a write that parks is under way: the output block is not to be touched */
} vt__conn_io;

static void vt__conn_open(vt__conn *c, int fd) {
    vt__poll_pd_init(&c->pd, fd);
    c->ops = NULL;
    c->up = NULL;
}
VT__INLINE int64_t vt__conn_recv(vt__conn *c, void *p, size_t n, int64_t until) {
    if (VT__UNLIKELY(c->ops != NULL)) return c->ops->recv(c, p, n, until);
    return vt__io_recv(&c->pd, p, n, until);
}
VT__INLINE int64_t vt__conn_recv_try(vt__conn *c, void *p, size_t n) {
    if (VT__UNLIKELY(c->ops != NULL)) return c->ops->recv_try(c, p, n);
    return vt__io_recv_try(&c->pd, p, n);
}
VT__INLINE int64_t vt__conn_send_try(vt__conn *c, struct iovec *v, int n) {
    if (VT__UNLIKELY(c->ops != NULL)) return c->ops->send_try(c, v, n);
    return vt__io_send_try(&c->pd, v, n);
}
static int vt__conn_send_wait(vt__conn *c, int64_t until) {
    int64_t due;
    if (c->ops) return c->ops->send_wait(c, until);
    int r = vt__sched_enter(vt__sched_self(), until, &due);
    return r < 0 ? r : vt__io_wait(&c->pd, VT__PD_W, due);
}
/* The same, or for input, which every transport shows by VT__PD_R. */
static VT__UNUSED int vt__conn_wait_either(vt__conn *c, int64_t until) {
    int64_t due;
    int r = vt__sched_enter(vt__sched_self(), until, &due);
    return r < 0 ? r : vt__io_wait_either(&c->pd, due);
}
static int vt__conn_shutdown(vt__conn *c) {
    if (c->ops) return c->ops->shutdown(c);
    return vt__plat_shutdown(c->pd.fd, SHUT_WR);
}
static int vt__conn_close(vt__conn *c) {
    if (c->ops) return c->ops->close(c);
    return vt__poll_close(&c->pd);
}
/* Whether a read may find something: false after a read that emptied the socket, until the next event. */
VT__INLINE bool vt__conn_readable(const vt__conn *c) {
    return (vt__poll_bits(&c->pd) & (VT__PD_R | VT__PD_RDHUP | VT__PD_HUP)) != 0;
}

/*--- buffers ---*/
VT__INLINE bool vt__conn_buf_get(vt__thr *thr, vt__conn_buf *b) {
    if (VT__LIKELY(b->p != NULL)) return true;
    b->p = vt__mem_pool_get(&thr->buf_pool);
    b->cap = b->p ? thr->buf_pool.size : 0;
    b->pos = b->len = 0;
    return b->p != NULL;
}
/* An empty buffer that holds n bytes at least. */
static bool vt__conn_buf_get_for(vt__thr *thr, vt__conn_buf *b, size_t n) {
    if (n <= thr->buf_pool.size) return vt__conn_buf_get(thr, b);
    b->p = vt__mem_alloc(n);
    b->cap = b->p ? n : 0;
    b->pos = b->len = 0;
    return b->p != NULL;
}
static void vt__conn_buf_put(vt__thr *thr, vt__conn_buf *b) {
    if (!b->p) return;
    if (b->cap == thr->buf_pool.size) vt__mem_pool_put(&thr->buf_pool, b->p);
    else vt__mem_free(b->p);
    b->p = NULL;
    b->cap = b->pos = b->len = 0;
}
/* Room behind the bytes in use: moves them to the front when that is in the way, grows up to max. 0 or -ENOMEM, or
 * VT_ELIMIT at max. */
static int vt__conn_buf_room(vt__thr *thr, vt__conn_buf *b, size_t max) {
    if (!vt__conn_buf_get(thr, b)) return -ENOMEM;
    if (b->pos == b->len) b->pos = b->len = 0;
    if (b->pos > 0 && (b->pos >= b->cap / 2 || b->cap - b->len < 1024)) {
        b->len -= b->pos;
        memmove(b->p, b->p + b->pos, b->len);
        b->pos = 0;
    }
    if (b->len < b->cap) return 0;
    if (b->cap >= max) return VT_ELIMIT;
    vt__conn_buf big = {NULL, 0, 0, 0};
    if (!vt__conn_buf_get_for(thr, &big, VT__MIN(b->cap * 2, max))) return -ENOMEM;
    memcpy(big.p, b->p, b->len);
    big.len = b->len;
    vt__conn_buf_put(thr, b);
    *b = big;
    return 0;
}

/*--- output ---*/
/* The thread's own clock is as old as its last pass, and a handler may have computed since. */
VT__INLINE int64_t vt__conn_until(int64_t ns) { return ns ? vt__plat_now() + ns : 0; }
/* After a stall of ours the timer comes before the event: what room there is was made in time. */
static VT__NOINLINE int64_t vt__conn_send_late(vt__conn_io *io, struct iovec **v, int *n) {
    vt__poll_set(&io->c->pd, VT__PD_W);
    int64_t r = vt__conn_send_try(io->c, *v, *n);
    if (r >= 0) *n = vt__io_advance(v, *n, (size_t)r);
    return r == -EAGAIN ? -ETIMEDOUT : r;
}
/* Sends all of the slices; waits while the peer takes none, write_ns at a time. 0 or an error, then and ever after. */
static int vt__conn_send_all(vt__conn_io *io, struct iovec *v, int n) {
    if (VT__UNLIKELY(io->err < 0)) return io->err;
    int64_t r = 0, until = 0;
    io->sending = true;
    vt__sched_fuel(vt__sched_self());
    while (n > 0 && r >= 0) {
        r = vt__conn_send_try(io->c, v, n);
        if (r >= 0) n = vt__io_advance(&v, n, (size_t)r), until = 0;
        if (r == -EAGAIN) {
            if (!until) until = vt__conn_until(io->write_ns);
            r = vt__conn_send_wait(io->c, until);
        }
        if (VT__UNLIKELY(r == -ETIMEDOUT)) r = vt__conn_send_late(io, &v, &n), until = 0;
    }
    io->sending = false;
    if (VT__UNLIKELY(r < 0)) io->err = (int)r;
    return io->err;
}
static int vt__conn_flush(vt__conn_io *io) {
    vt__conn_buf *b = &io->out;
    if (b->pos == b->len) return io->err;
    struct iovec v = {b->p + b->pos, b->len - b->pos};
    int r = vt__conn_send_all(io, &v, 1);
    b->pos = b->len = 0;
    return r;
}
/* As much as the socket takes; never parks. 0 when all is out, -EAGAIN, or an error. */
static int vt__conn_flush_try(vt__conn_io *io) {
    vt__conn_buf *b = &io->out;
    while (b->pos < b->len && io->err == 0) {
        struct iovec v = {b->p + b->pos, b->len - b->pos};
        int64_t r = vt__conn_send_try(io->c, &v, 1);
        if (r == -EAGAIN) return -EAGAIN;
        if (r < 0) io->err = (int)r;
        else b->pos += (size_t)r;
    }
    b->pos = b->len = 0;
    return io->err;
}
/* n contiguous bytes at the end of the output, n at most half a block; NULL on an error. The caller adds to out.len what
 * it wrote. */
VT__INLINE char *vt__conn_room(vt__conn_io *io, size_t n) {
    vt__conn_buf *b = &io->out;
    if (VT__UNLIKELY(b->cap - b->len < n)) {
        if (b->p && vt__conn_flush(io) < 0) return NULL;
        if (!vt__conn_buf_get(io->thr, b)) io->err = -ENOMEM;
    }
    return VT__UNLIKELY(io->err < 0) ? NULL : b->p + b->len;
}
/* Appends bytes, however many. 0 or an error. */
static int vt__conn_put(vt__conn_io *io, const char *p, size_t n) {
    while (n > 0) {
        char *to = vt__conn_room(io, 1);
        if (!to) return io->err;
        size_t k = VT__MIN(n, io->out.cap - io->out.len);
        memcpy(to, p, k);
        io->out.len += k;
        p += k, n -= k;
    }
    return io->err;
}
/* The sender's end, where the transport has one of its own; waits for room. */
static void vt__conn_end(vt__conn_io *io) {
    if (!io->c->ops || io->err < 0) return;
    int64_t until = vt__conn_until(io->write_ns);
    while (io->c->ops->end(io->c) == -EAGAIN && vt__conn_send_wait(io->c, until) >= 0) continue;
}
/* What is gathered, then the slices in v[1..n): at once and without a copy. v[0] is for this function. */
static int vt__conn_send_behind(vt__conn_io *io, struct iovec *v, int n) {
    vt__conn_buf *b = &io->out;
    v[0].iov_base = b->p + b->pos;
    v[0].iov_len = b->len - b->pos;
    int skip = v[0].iov_len == 0, r = vt__conn_send_all(io, v + skip, n - skip);
    b->pos = b->len = 0;
    return r;
}

/*--- upgraded connections: one vthread may read while another writes ---*/
struct vt_stream {
    vt__conn_io *io; /* NULL: not upgraded yet */
    bool shut;
};
VT_API int64_t vt_stream_read(vt_stream *st, void *buf, size_t n) {
    vt__conn_buf *b = &st->io->in;
    if (n == 0) return 0;
    if (b->pos == b->len) return vt__conn_recv(st->io->c, buf, n, 0);
    n = VT__MIN(n, b->len - b->pos);
    memcpy(buf, b->p + b->pos, n);
    b->pos += n;
    return (int64_t)n;
}
VT_API int64_t vt_stream_write(vt_stream *st, const void *buf, size_t n) {
    struct iovec v = {(char *)(uintptr_t)buf, n};
    vt__vth *self = vt__sched_self();
    if (!self) return -EPERM;
    if (st->shut) return -EPIPE;
    if (n == 0) return 0;
    int r = vt__conn_send_all(st->io, &v, 1);
    return r < 0 ? r : (int64_t)n;
}
VT_API int vt_stream_shutdown(vt_stream *st) {
    vt__conn *c = st->io->c;
    if (st->shut) return 0;
    st->shut = true;
    /* With both halves ended a descriptor hangs up: no longer the sign of a reset. */
    vt__poll_clear(&c->pd, VT__PD_WATCH | VT__PD_WATCH_FIN);
    int r;
    while ((r = vt__conn_shutdown(c)) == -EAGAIN)
        if ((r = vt__conn_send_wait(c, vt__conn_until(st->io->write_ns))) < 0) break;
    return r;
}

#if VTHTTP_TLS
/*==============================================================================
 * MARK: - @ossl    TLS as a machine in memory, by OpenSSL (VTHTTP_TLS)
 * uses:   @api_tls @plat @mem @log
 * test:   tests/test_tls.c tests/e2e_tls.c tests/interop_tls.sh
 *
 * OpenSSL does no input or output here: its BIO reads from a slice of received ciphertext and writes to a block that
 * grows. So nothing in it waits, raises SIGPIPE or keeps a descriptor, a step may run on any OS thread, and a flight is one
 * block. Its error queue belongs to the OS thread: each step clears it before and reads it after, and parks nowhere.
 *
 * A context (vt__ossl_ctx) is what a listener reads from its files: one SSL_CTX a certificate. It does not change; a reload
 * makes a new one, and connections hold the one that they began with. Tickets are the only way to resume: no cache that
 * OS threads would share. Their keys outlive reloads; what they may resume is bound to the client CA by the session's
 * context, lest a ticket outlive the trust in it.
 *============================================================================*/
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

enum {
    VT__OSSL_OUT_MAX = 1 << 18, /* ciphertext that waits to be sent */
    VT__OSSL_QUIET = 1 << 16,   /* bytes in a row without application data: key updates, empty records */
    VT__OSSL_CERTS_MAX = 1000,
    VT__OSSL_FILE_MAX = 1 << 20
};

/* Ticket keys: the first encrypts, those before it are still read. */
typedef struct vt__ossl_keys {
    uint32_t spin;
    int n;
    int64_t due, every; /* ns */
    struct vt__ossl_key {
        unsigned char name[16], aes[32], mac[32];
    } k[3];
} vt__ossl_keys;

typedef struct vt__ossl_cert {
    SSL_CTX *ctx;
    unsigned char *ocsp;
    size_t ocsp_len;
} vt__ossl_cert;

typedef struct vt__ossl_ctx {
    uint32_t refs;
    int ncerts, names;
    bool dear; /* a key whose use takes longer than a hop to another OS thread */
    vt__ossl_keys *keys;
    unsigned char alpn[64]; /* each name after its length, by preference */
    size_t alpn_len;
    vt__ossl_cert *certs;
} vt__ossl_ctx;

/* One connection. It stays where it is: the BIO points to it. */
typedef struct vt__ossl {
    SSL *ssl;
    vt__ossl_ctx *ctx;
    const char *in; /* ciphertext, the caller's */
    size_t in_len;
    char *out; /* ciphertext [pos, len) is to be sent */
    size_t out_pos, out_len, out_cap, quiet;
    int err; /* the first that ended it */
    bool done, ended, starved, client;
} vt__ossl;

/*--- the BIO ---*/
/* Room for n more bytes behind what waits; false: too much, or out of memory. */
static bool vt__ossl_room(vt__ossl *o, size_t n) {
    if (o->out_pos == o->out_len) o->out_pos = o->out_len = 0;
    if (o->out_cap - o->out_len >= n) return true;
    if (o->out_len + n > VT__OSSL_OUT_MAX) return false;
    size_t cap = VT__MAX(o->out_cap * 2, o->out_len + n);
    char *p = vt__mem_realloc(o->out, cap);
    if (!p) {
        o->starved = true;
        return false;
    }
    o->out = p;
    o->out_cap = cap;
    return true;
}
static int vt__ossl_bio_write(BIO *b, const char *p, int n) {
    vt__ossl *o = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    if (n <= 0 || !vt__ossl_room(o, (size_t)n)) return -1;
    memcpy(o->out + o->out_len, p, (size_t)n);
    o->out_len += (size_t)n;
    return n;
}
static int vt__ossl_bio_read(BIO *b, char *p, int n) {
    vt__ossl *o = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    if (n <= 0) return 0;
    if (o->in_len == 0) {
        BIO_set_retry_read(b);
        return -1;
    }
    size_t k = VT__MIN((size_t)n, o->in_len);
    memcpy(p, o->in, k);
    o->in += k;
    o->in_len -= k;
    o->quiet += k;
    return (int)k;
}
static long vt__ossl_bio_ctrl(BIO *b, int cmd, long num, void *ptr) {
    (void)b, (void)num, (void)ptr;
    return cmd == BIO_CTRL_FLUSH;
}
static struct {
    pthread_once_t once;
    BIO_METHOD *bio;
} vt__ossl_g = {PTHREAD_ONCE_INIT, NULL};
static void vt__ossl_begin(void) {
    BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "vthttp");
    if (m && BIO_meth_set_write(m, vt__ossl_bio_write) && BIO_meth_set_read(m, vt__ossl_bio_read) &&
        BIO_meth_set_ctrl(m, vt__ossl_bio_ctrl))
        vt__ossl_g.bio = m;
    else BIO_meth_free(m);
}

/*--- errors ---*/
/* OpenSSL's reason for the last failure on this OS thread. */
static const char *vt__ossl_reason(void) {
    const char *why = ERR_reason_error_string(ERR_peek_last_error());
    return why ? why : "no reason given";
}
/* What a call that returned r <= 0 came to: -EAGAIN wants input; 0 the peer ended its half; else an error for good. */
static int vt__ossl_result(vt__ossl *o, int r) {
    switch (SSL_get_error(o->ssl, r)) {
    case SSL_ERROR_WANT_READ: return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN: return 0;
    case SSL_ERROR_SSL: break;
    default: o->err = o->starved ? -ENOMEM : VT_ETLS; return o->err;
    }
    unsigned long e = ERR_peek_error();
    int reason = ERR_GET_REASON(e);
    o->err = VT_ETLS;
    if (o->starved || reason == ERR_R_MALLOC_FAILURE) o->err = -ENOMEM;
    else if (ERR_GET_LIB(e) == ERR_LIB_SSL &&
             (reason == SSL_R_CERTIFICATE_VERIFY_FAILED || reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE))
        o->err = VT_ECERT;
    vt_log(VT_LOG_DEBUG, "TLS: %s", vt__ossl_reason());
    return o->err;
}

/*--- one connection ---*/
static void vt__ossl_unref(vt__ossl_ctx *x) {
    if (__atomic_sub_fetch(&x->refs, 1, __ATOMIC_ACQ_REL)) return;
    for (int i = 0; i < x->ncerts; i++) {
        SSL_CTX_free(x->certs[i].ctx);
        vt__mem_free(x->certs[i].ocsp);
    }
    vt__mem_free(x->certs);
    vt__mem_free(x);
}
/* `o` is zeroed. Takes over the reference to x, also when it fails. */
static int vt__ossl_open(vt__ossl *o, vt__ossl_ctx *x, bool client) {
    ERR_clear_error();
    o->ctx = x;
    o->ssl = SSL_new(x->certs[0].ctx);
    BIO *b = o->ssl ? BIO_new(vt__ossl_g.bio) : NULL;
    if (!b) return -ENOMEM;
    BIO_set_data(b, o);
    BIO_set_init(b, 1);
    SSL_set_bio(o->ssl, b, b);
    o->client = client;
    if (client) SSL_set_connect_state(o->ssl);
    else SSL_set_accept_state(o->ssl);
    return 0;
}
static void vt__ossl_close(vt__ossl *o) {
    ERR_clear_error();
    SSL_free(o->ssl);
    vt__mem_free(o->out);
    if (o->ctx) vt__ossl_unref(o->ctx);
    memset(o, 0, sizeof *o);
}
/* 1 when the handshake is complete, 0 when input is missing. */
static int vt__ossl_shake(vt__ossl *o) {
    if (o->err) return o->err;
    ERR_clear_error();
    int r = SSL_do_handshake(o->ssl);
    if (r == 1) {
        o->done = true;
        o->quiet = 0;
        return 1;
    }
    r = vt__ossl_result(o, r);
    if (r == -EAGAIN && o->quiet > VT__OSSL_OUT_MAX) r = o->err = VT_ETLS;
    return r == -EAGAIN ? 0 : r == 0 ? o->err = VT_ETLS : r;
}
/* Plaintext bytes; 0 at the peer's close_notify; -EAGAIN when input is missing. */
static int64_t vt__ossl_read(vt__ossl *o, void *p, size_t n) {
    size_t got = 0;
    if (o->err) return o->err;
    ERR_clear_error();
    int r = SSL_read_ex(o->ssl, p, n, &got);
    if (r == 1) {
        o->quiet = 0;
        return (int64_t)got;
    }
    r = vt__ossl_result(o, r);
    if (r == -EAGAIN && o->quiet > VT__OSSL_QUIET) {
        vt_log(VT_LOG_DEBUG, "TLS: too much without data");
        r = o->err = VT_ETLS;
    }
    return r;
}
/* Whether vt__ossl_read may return something without more input. */
static bool vt__ossl_holds(const vt__ossl *o) { return o->in_len > 0 || SSL_pending(o->ssl) > 0; }
/* Encrypts n > 0 bytes, at most a record's: 0, or an error for good. */
static int vt__ossl_write(vt__ossl *o, const void *p, size_t n) {
    size_t put = 0;
    if (o->err) return o->err;
    if (o->ended) return -EPIPE;
    if (!vt__ossl_room(o, n + 512)) return o->err = -ENOMEM;
    ERR_clear_error();
    int r = SSL_write_ex(o->ssl, p, n, &put);
    if (r == 1 && put == n) return 0;
    r = vt__ossl_result(o, r);
    return o->err = r < 0 && r != -EAGAIN ? r : VT_ETLS;
}
/* close_notify, once. */
static void vt__ossl_end(vt__ossl *o) {
    if (o->ended || o->err || !o->done) return;
    o->ended = true;
    ERR_clear_error();
    (void)SSL_shutdown(o->ssl);
}
/* A block that has nothing in it is given back. */
static void vt__ossl_trim(vt__ossl *o) {
    if (o->out_pos < o->out_len) return;
    vt__mem_free(o->out);
    o->out = NULL;
    o->out_pos = o->out_len = o->out_cap = 0;
}

/*--- tickets ---*/
static bool vt__ossl_key_make(struct vt__ossl_key *k) {
    return RAND_bytes((unsigned char *)k, sizeof *k) == 1;
}
static void vt__ossl_keys_turn(vt__ossl_keys *ks, const struct vt__ossl_key *k, int64_t now) {
    memmove(ks->k + 1, ks->k, sizeof ks->k - sizeof ks->k[0]);
    ks->k[0] = *k;
    ks->n = VT__MIN(ks->n + 1, (int)VT__COUNT(ks->k));
    ks->due = now + ks->every;
}
/* The key to encrypt with (name NULL), or the one of that name: its index, or -1. */
static int vt__ossl_key_find(vt__ossl_keys *ks, const unsigned char *name, struct vt__ossl_key *out) {
    struct vt__ossl_key fresh;
    int64_t now = vt__plat_now();
    bool due = now >= __atomic_load_n(&ks->due, __ATOMIC_RELAXED) && vt__ossl_key_make(&fresh);
    int i = 0;
    vt__plat_spin_lock(&ks->spin);
    if (due && now >= ks->due) {
        if (ks->n && now >= ks->due + 2 * ks->every) ks->n = 0; /* nobody came: all are too old */
        vt__ossl_keys_turn(ks, &fresh, now);
    }
    if (name)
        while (i < ks->n && memcmp(ks->k[i].name, name, sizeof ks->k[i].name) != 0) i++;
    i = i < ks->n ? i : -1;
    if (i >= 0) *out = ks->k[i];
    vt__plat_spin_unlock(&ks->spin);
    return i;
}
static int vt__ossl_on_ticket(SSL *s, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                              EVP_MAC_CTX *mac, int enc) {
    vt__ossl_ctx *x = SSL_CTX_get_app_data(SSL_get_SSL_CTX(s));
    struct vt__ossl_key k;
    int i = vt__ossl_key_find(x->keys, enc ? NULL : name, &k);
    if (i < 0) return enc ? -1 : 0;
    OSSL_PARAM params[3] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, k.mac, sizeof k.mac),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)(uintptr_t) "SHA256", 0),
        OSSL_PARAM_construct_end()};
    if (enc) memcpy(name, k.name, sizeof k.name);
    bool ok = (!enc || RAND_bytes(iv, 16) == 1) && EVP_MAC_CTX_set_params(mac, params) &&
              EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, k.aes, iv, enc);
    OPENSSL_cleanse(&k, sizeof k);
    return !ok ? -1 : i > 0 ? 2 : 1; /* 2: read, and to be replaced */
}

/*--- what a handshake asks ---*/
static int vt__ossl_on_alpn(SSL *s, const unsigned char **out, unsigned char *out_len,
                            const unsigned char *in, unsigned in_len, void *arg) {
    const vt__ossl_ctx *x = arg;
    unsigned char *pick;
    (void)s;
    if (SSL_select_next_proto(&pick, out_len, x->alpn, (unsigned)x->alpn_len, in, in_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL; /* RFC 7301 3.2 */
    *out = pick;
    return SSL_TLSEXT_ERR_OK;
}
static int vt__ossl_find(const vt__ossl_ctx *x, const char *name) {
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < x->ncerts; i++) {
            X509 *cert = SSL_CTX_get0_certificate(x->certs[i].ctx);
            unsigned flags = pass == 0 ? X509_CHECK_FLAG_NO_WILDCARDS : X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS;
            if (cert && X509_check_host(cert, name, 0, flags, NULL) == 1) return i;
        }
    return -1;
}
static int vt__ossl_on_name(SSL *s, int *alert, void *arg) {
    const vt__ossl_ctx *x = arg;
    const char *name = SSL_get_servername(s, TLSEXT_NAMETYPE_host_name);
    int i = name ? vt__ossl_find(x, name) : -1;
    if (i < 0 && (x->names == VT_TLS_NAMES_REQUIRED || (name && x->names == VT_TLS_NAMES_KNOWN))) {
        *alert = SSL_AD_UNRECOGNIZED_NAME;
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    if (i > 0) SSL_set_SSL_CTX(s, x->certs[i].ctx);
    return SSL_TLSEXT_ERR_OK;
}
static int vt__ossl_on_status(SSL *s, void *arg) {
    const vt__ossl_cert *c = arg;
    unsigned char *copy = c->ocsp_len ? OPENSSL_memdup(c->ocsp, c->ocsp_len) : NULL;
    if (!copy) return SSL_TLSEXT_ERR_NOACK;
    SSL_set_tlsext_status_ocsp_resp(s, copy, (long)c->ocsp_len);
    return SSL_TLSEXT_ERR_OK;
}
static int vt__ossl_on_verify_any(int ok, X509_STORE_CTX *sc) {
    (void)ok, (void)sc;
    return 1;
}

/*--- contexts ---*/
/* Where the configuration's texts go when they are wrong. */
typedef struct vt__ossl_text {
    char text[512];
} vt__ossl_text;

static VT_PRINTF(3, 4) int vt__ossl_fail(vt__ossl_text *t, int err, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(t->text, sizeof t->text, fmt, ap);
    va_end(ap);
    ERR_clear_error();
    return err;
}
/* PEM text to read: a file's, or what is given. */
static BIO *vt__ossl_pem(const char *file, const char *pem) {
    ERR_clear_error();
    return file ? BIO_new_file(file, "r") : BIO_new_mem_buf(pem, -1);
}
static int vt__ossl_password(char *buf, int size, int rwflag, void *arg) {
    const char *pw = arg;
    (void)rwflag;
    if (!pw || size <= 0 || strlen(pw) > (size_t)size) return -1; /* never asks on a terminal */
    memcpy(buf, pw, strlen(pw));
    return (int)strlen(pw);
}
/* The first line of a file; "" when there is none. */
static int vt__ossl_password_file(const char *file, char *buf, int size) {
    BIO *b = vt__ossl_pem(file, NULL);
    int n = b ? BIO_gets(b, buf, size) : -1;
    BIO_free(b);
    if (n < 0) return -1;
    buf[strcspn(buf, "\r\n")] = 0;
    return 0;
}
static bool vt__ossl_key_is_dear(const EVP_PKEY *key) {
    char group[32] = "";
    if (EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519) return false;
    if (EVP_PKEY_get_base_id(key) != EVP_PKEY_EC) return true;
    return EVP_PKEY_get_group_name(key, group, sizeof group, NULL) != 1 || strcmp(group, "prime256v1") != 0;
}
static int vt__ossl_load_chain(SSL_CTX *ctx, BIO *b) {
    X509 *cert = PEM_read_bio_X509_AUX(b, NULL, vt__ossl_password, NULL);
    int ok = cert && SSL_CTX_use_certificate(ctx, cert) == 1;
    X509_free(cert);
    while (ok && (cert = PEM_read_bio_X509(b, NULL, vt__ossl_password, NULL)) != NULL)
        if (SSL_CTX_add0_chain_cert(ctx, cert) != 1) {
            X509_free(cert);
            ok = 0;
        }
    if (ok) ERR_clear_error(); /* "no start line" is how the chain ends */
    return ok ? 0 : -1;
}
static int vt__ossl_load_key(SSL_CTX *ctx, const vt_tls_cert *c, bool *dear, vt__ossl_text *t) {
    const char *file = c->key_file ? c->key_file : c->key_pem ? NULL : c->cert_file;
    const char *pem = c->key_pem ? c->key_pem : c->cert_pem, *name = file ? file : "key_pem";
    char line[1024] = "";
    const char *pw = c->password;
    if (!pw && c->password_file) {
        if (vt__ossl_password_file(c->password_file, line, sizeof line) < 0)
            return vt__ossl_fail(t, VT_ECONF, "%s: cannot be read", c->password_file);
        pw = line;
    }
    BIO *b = vt__ossl_pem(file, pem);
    EVP_PKEY *key = b ? PEM_read_bio_PrivateKey(b, NULL, vt__ossl_password, (void *)(uintptr_t)pw) : NULL;
    BIO_free(b);
    OPENSSL_cleanse(line, sizeof line);
    if (!key)
        return vt__ossl_fail(t, VT_ECONF, "%s: no private key can be read: %s", name, vt__ossl_reason());
    int ok = SSL_CTX_use_PrivateKey(ctx, key) == 1 && SSL_CTX_check_private_key(ctx) == 1;
    *dear = *dear || vt__ossl_key_is_dear(key);
    EVP_PKEY_free(key);
    return ok ? 0
              : vt__ossl_fail(t, VT_ECONF, "%s: does not fit the certificate: %s", name, vt__ossl_reason());
}
static int vt__ossl_load_ocsp(vt__ossl_cert *c, const char *file, vt__ossl_text *t) {
    BIO *b = vt__ossl_pem(file, NULL);
    unsigned char *p = b ? vt__mem_alloc(VT__OSSL_FILE_MAX) : NULL;
    int n = p ? BIO_read(b, p, VT__OSSL_FILE_MAX) : -1;
    BIO_free(b);
    unsigned char *fit = n > 0 ? vt__mem_realloc(p, (size_t)n) : NULL;
    if (!fit) {
        vt__mem_free(p);
        return vt__ossl_fail(t, VT_ECONF, "%s: cannot be read", file);
    }
    c->ocsp = fit;
    c->ocsp_len = (size_t)n;
    return SSL_CTX_set_tlsext_status_cb(c->ctx, vt__ossl_on_status) &&
                   SSL_CTX_set_tlsext_status_arg(c->ctx, c)
               ? 0
               : vt__ossl_fail(t, -ENOMEM, "out of memory");
}
/* Trusts every certificate of a PEM text; `names`: and tells clients so. Their hash is added to `seal`. */
static int vt__ossl_load_trust(SSL_CTX *ctx, const char *file, const char *pem, bool names, EVP_MD_CTX *seal,
                               vt__ossl_text *t) {
    BIO *b = vt__ossl_pem(file, pem);
    X509 *cert;
    int n = 0, ok = 1;
    while (ok && b && (cert = PEM_read_bio_X509(b, NULL, vt__ossl_password, NULL)) != NULL) {
        unsigned char hash[EVP_MAX_MD_SIZE];
        unsigned len = 0;
        ok = X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), cert) == 1;
        if (ok && names) ok = SSL_CTX_add_client_CA(ctx, cert) == 1;
        if (ok && seal) ok = X509_digest(cert, EVP_sha256(), hash, &len) && EVP_DigestUpdate(seal, hash, len);
        X509_free(cert);
        n++;
    }
    BIO_free(b);
    if (ok && n) {
        ERR_clear_error();
        return 0;
    }
    return vt__ossl_fail(t, VT_ECONF, "%s: no certificate can be read: %s", file ? file : "client_ca_pem",
                         vt__ossl_reason());
}
/* What both sides have in common. */
static SSL_CTX *vt__ossl_ctx_base(vt__ossl_ctx *x, const SSL_METHOD *method, int min_version) {
    SSL_CTX *ctx = SSL_CTX_new(method);
    if (!ctx) return NULL;
    SSL_CTX_set_options(ctx,
                        SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    if (SSL_CTX_set_app_data(ctx, x) &&
        SSL_CTX_set_min_proto_version(ctx, min_version == 13 ? TLS1_3_VERSION : TLS1_2_VERSION))
        return ctx;
    SSL_CTX_free(ctx);
    return NULL;
}
static int vt__ossl_ciphers(SSL_CTX *ctx, const char *ciphers, const char *suites, vt__ossl_text *t) {
    if (SSL_CTX_set_cipher_list(ctx, ciphers ? ciphers : "ECDHE+AESGCM:ECDHE+CHACHA20") != 1)
        return vt__ossl_fail(t, -EINVAL, "ciphers: %s", vt__ossl_reason());
    if (suites && SSL_CTX_set_ciphersuites(ctx, suites) != 1)
        return vt__ossl_fail(t, -EINVAL, "ciphersuites: %s", vt__ossl_reason());
    return 0;
}
/* Who is asked for a certificate, and what a ticket is bound to. */
static int vt__ossl_ctx_clients(SSL_CTX *ctx, const vt_tls_cfg *c, vt__ossl_text *t) {
    static const int modes[] = {SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, SSL_VERIFY_PEER,
                                SSL_VERIFY_PEER};
    unsigned char id[EVP_MAX_MD_SIZE], mode = (unsigned char)c->client_auth;
    unsigned len = 0;
    EVP_MD_CTX *seal = EVP_MD_CTX_new();
    int r = seal && EVP_DigestInit_ex(seal, EVP_sha256(), NULL) && EVP_DigestUpdate(seal, &mode, 1)
                ? 0
                : vt__ossl_fail(t, -ENOMEM, "out of memory");
    if (r == 0 && (c->client_ca_file || c->client_ca_pem)) {
        r = vt__ossl_load_trust(ctx, c->client_ca_file, c->client_ca_pem, true, seal, t);
        SSL_CTX_set_verify(ctx, modes[mode],
                           mode == VT_TLS_CLIENT_UNVERIFIED ? vt__ossl_on_verify_any : NULL);
    }
    if (r == 0 && !(EVP_DigestFinal_ex(seal, id, &len) && SSL_CTX_set_session_id_context(ctx, id, len)))
        r = vt__ossl_fail(t, -ENOMEM, "out of memory");
    EVP_MD_CTX_free(seal);
    return r;
}
static int vt__ossl_ctx_cert(vt__ossl_ctx *x, vt__ossl_cert *out, const vt_tls_cfg *c,
                             const vt_tls_cert *cert, vt__ossl_text *t) {
    SSL_CTX *ctx = out->ctx = vt__ossl_ctx_base(x, TLS_server_method(), c->min_version);
    if (!ctx) return vt__ossl_fail(t, -ENOMEM, "out of memory");
    BIO *b = vt__ossl_pem(cert->cert_file, cert->cert_pem);
    int r = b ? vt__ossl_load_chain(ctx, b) : -1;
    BIO_free(b);
    if (r < 0)
        return vt__ossl_fail(t, VT_ECONF, "%s: no certificate can be read: %s",
                             cert->cert_file ? cert->cert_file : "cert_pem", vt__ossl_reason());
    if ((r = vt__ossl_load_key(ctx, cert, &x->dear, t)) < 0) return r;
    if (cert->ocsp_file && (r = vt__ossl_load_ocsp(out, cert->ocsp_file, t)) < 0) return r;
    if ((r = vt__ossl_ciphers(ctx, c->ciphers, c->ciphersuites, t)) < 0) return r;
    if ((r = vt__ossl_ctx_clients(ctx, c, t)) < 0) return r;
    SSL_CTX_set_alpn_select_cb(ctx, vt__ossl_on_alpn, x);
    SSL_CTX_set_tlsext_servername_callback(ctx, vt__ossl_on_name);
    SSL_CTX_set_tlsext_servername_arg(ctx, x);
    if (c->ticket_life_s == VT_NONE) {
        SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
        SSL_CTX_set_num_tickets(ctx, 0);
        return 0;
    }
    SSL_CTX_set_timeout(ctx, (long)VT__MIN(c->ticket_life_s, 604800)); /* RFC 8446 4.6.1 */
    SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, vt__ossl_on_ticket);
    return 0;
}
static vt__ossl_ctx *vt__ossl_ctx_alloc(int ncerts) {
    pthread_once(&vt__ossl_g.once, vt__ossl_begin);
    vt__ossl_ctx *x = vt__ossl_g.bio ? vt__mem_zalloc(sizeof *x) : NULL;
    if (!x) return NULL;
    x->refs = 1;
    x->ncerts = ncerts;
    if ((x->certs = vt__mem_zalloc((size_t)ncerts * sizeof *x->certs)) != NULL) return x;
    vt__mem_free(x);
    return NULL;
}
/* Reads what a listener's configuration names: a new context with one reference. `alpn`: as in vt__ossl_ctx. */
static int vt__ossl_ctx_server(vt__ossl_ctx **out, const vt_tls_cfg *c, vt__ossl_keys *keys, vt_str alpn,
                               vt__ossl_text *t) {
    vt__ossl_ctx *x = vt__ossl_ctx_alloc(c->ncerts);
    int r = x ? 0 : vt__ossl_fail(t, -ENOMEM, "out of memory");
    if (!x) return r;
    x->names = c->names;
    x->keys = keys;
    x->alpn_len = VT__MIN(alpn.len, sizeof x->alpn);
    memcpy(x->alpn, alpn.ptr, x->alpn_len);
    for (int i = 0; i < c->ncerts && r == 0; i++) r = vt__ossl_ctx_cert(x, &x->certs[i], c, &c->certs[i], t);
    if (r == 0) *out = x;
    else vt__ossl_unref(x);
    return r;
}

/*--- the client's side ---*/
typedef struct vt__ossl_client {
    const char *ca_file, *ca_pem; /* who is trusted; default: the system's store */
    bool no_verify;
    int min_version;
    const vt_tls_cert *cert; /* the client's own; NULL: none */
    vt_str alpn;             /* as in vt__ossl_ctx; len 0: none */
} vt__ossl_client;

static VT__UNUSED int vt__ossl_ctx_client(vt__ossl_ctx **out, const vt__ossl_client *c, vt__ossl_text *t) {
    vt__ossl_ctx *x = vt__ossl_ctx_alloc(1);
    SSL_CTX *ctx = x ? vt__ossl_ctx_base(x, TLS_client_method(), c->min_version) : NULL;
    int r = 0;
    if (ctx) x->certs[0].ctx = ctx;
    else r = vt__ossl_fail(t, -ENOMEM, "out of memory");
    if (r == 0) r = vt__ossl_ciphers(ctx, NULL, NULL, t);
    if (r == 0 && (c->ca_file || c->ca_pem))
        r = vt__ossl_load_trust(ctx, c->ca_file, c->ca_pem, false, NULL, t);
    else if (r == 0 && !c->no_verify && SSL_CTX_set_default_verify_paths(ctx) != 1)
        r = vt__ossl_fail(t, VT_ECONF, "the system's CA store: %s", vt__ossl_reason());
    if (r == 0) SSL_CTX_set_verify(ctx, c->no_verify ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    if (r == 0 && c->cert) {
        BIO *b = vt__ossl_pem(c->cert->cert_file, c->cert->cert_pem);
        if (!b || vt__ossl_load_chain(ctx, b) < 0)
            r = vt__ossl_fail(t, VT_ECONF, "%s: no certificate can be read: %s",
                              c->cert->cert_file ? c->cert->cert_file : "cert_pem", vt__ossl_reason());
        BIO_free(b);
        if (r == 0) r = vt__ossl_load_key(ctx, c->cert, &x->dear, t);
    }
    if (r == 0 && c->alpn.len &&
        SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)c->alpn.ptr, (unsigned)c->alpn.len) != 0)
        r = vt__ossl_fail(t, -ENOMEM, "out of memory");
    if (r == 0) *out = x;
    else if (x) vt__ossl_unref(x);
    return r;
}
/* Whom a client means to speak to: a name (it goes out as SNI) or an address; its certificate must be for that. */
static VT__UNUSED int vt__ossl_expect(vt__ossl *o, const char *host) {
    X509_VERIFY_PARAM *param = SSL_get0_param(o->ssl);
    ERR_clear_error();
    if (X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1) return 0;
    ERR_clear_error();
    SSL_set_hostflags(o->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set_tlsext_host_name(o->ssl, host) == 1 && SSL_set1_host(o->ssl, host) == 1 ? 0 : -EINVAL;
}

/*--- what is known of a connection ---*/
static char *vt__ossl_arena_text(vt__arena *a, BIO *b) {
    char *p = NULL;
    long n = BIO_get_mem_data(b, &p);
    char *copy = p && n >= 0 ? vt__mem_arena_str(a, p, (size_t)n) : NULL;
    (void)BIO_reset(b);
    return copy;
}
static int vt__ossl_info_cert(X509 *cert, vt__arena *a, vt_tls_info *out) {
    BIO *b = BIO_new(BIO_s_mem());
    if (b && X509_NAME_print_ex(b, X509_get_subject_name(cert), 0, XN_FLAG_RFC2253) >= 0)
        out->subject = vt__ossl_arena_text(a, b);
    if (b && X509_NAME_print_ex(b, X509_get_issuer_name(cert), 0, XN_FLAG_RFC2253) >= 0)
        out->issuer = vt__ossl_arena_text(a, b);
    if (b && PEM_write_bio_X509(b, cert) == 1) out->client_cert = vt__ossl_arena_text(a, b);
    BIO_free(b);
    return out->subject && out->issuer && out->client_cert ? 0 : -ENOMEM;
}
static int vt__ossl_info(vt__ossl *o, vt__arena *a, vt_tls_info *out) {
    const unsigned char *alpn = NULL;
    unsigned alpn_len = 0;
    const char *name = SSL_get_servername(o->ssl, TLSEXT_NAMETYPE_host_name);
    X509 *cert = SSL_get0_peer_certificate(o->ssl);
    long verify = SSL_get_verify_result(o->ssl);
    ERR_clear_error();
    SSL_get0_alpn_selected(o->ssl, &alpn, &alpn_len);
    out->version = SSL_get_version(o->ssl);
    out->cipher = SSL_get_cipher_name(o->ssl);
    out->alpn = vt__mem_arena_str(a, (const char *)alpn, alpn_len);
    out->server_name = name ? vt__mem_arena_str(a, name, strlen(name)) : "";
    out->resumed = SSL_session_reused(o->ssl);
    out->verify_text = "";
    if (!out->alpn || !out->server_name) return -ENOMEM;
    if (!cert) return 1;
    out->verified = verify == X509_V_OK;
    if (!out->verified) out->verify_text = X509_verify_cert_error_string(verify);
    return vt__ossl_info_cert(cert, a, out) < 0 ? -ENOMEM : 1;
}
#endif /* VTHTTP_TLS */

/*==============================================================================
 * MARK: - @tls     TLS over a connection
 * uses:   @api_base @api_tls @plat @mem @log @poll @sched @sync @block @io @conn @ossl
 * raises: vt__conn_ops
 * test:   tests/test_tls.c tests/e2e_tls.c tests/interop_tls.sh
 *
 * The machine of @ossl between a vt__conn's users and its socket. Ciphertext is received into a block of the thread's
 * pool, which goes back when it is used up: a connection that waits holds OpenSSL's own state and nothing else. What is
 * sent is encrypted a record at a time, and counts as sent when the socket has all of the record: until then send_try is
 * -EAGAIN, and its caller comes again with the same bytes (`owed` of them are encrypted already).
 *
 * A handshake is a step at each arrival of input (vt__tls_step), with nothing on a stack in between. A step whose private
 * key is dear (RSA, P-384: 0.3 to 2 ms) runs on the blocking pool; P-256 takes 25 us and runs where it is.
 *============================================================================*/
enum vt__tls_step_result { VT__TLS_WAIT, VT__TLS_DONE, VT__TLS_PLAIN };
#if VTHTTP_TLS
enum { VT__TLS_RECORD = 16384, VT__TLS_GATHER = 4096 };

/* A listener that speaks TLS. */
typedef struct vt__tls_gate {
    vt_tls_cfg cfg; /* its texts stand behind certs */
    vt__ossl_keys keys;
    vt__ossl_ctx *ctx;
    uint32_t spin;  /* of ctx, which a reload replaces */
    vt_sem permits; /* handshakes */
} vt__tls_gate;

typedef struct vt__tls {
    vt__ossl o;
    vt__conn_buf in;
    size_t owed;
    vt__tls_gate *gate; /* whose permit it holds; NULL: none */
    bool shut;          /* the socket's sending half is ended */
    uint32_t
        spin; /* of o and owed once the handshake is over: one reads, and another, of any thread, writes */
    int step; /* what a step on another OS thread came to */
} vt__tls;

/*--- moving ciphertext ---*/
/* 0 when all is out, -EAGAIN, or an error. */
static int vt__tls_push(vt__conn *c, vt__tls *t) {
    vt__ossl *o = &t->o;
    while (o->out_pos < o->out_len) {
        struct iovec v = {o->out + o->out_pos, o->out_len - o->out_pos};
        int64_t r = vt__io_send_try(&c->pd, &v, 1);
        if (r < 0) return (int)r;
        o->out_pos += (size_t)r;
    }
    vt__ossl_trim(o);
    return 0;
}
/* More ciphertext: > 0, 0 at the socket's end, -EAGAIN, other errors. */
static int64_t vt__tls_pull(vt__conn *c, vt__tls *t) {
    vt__thr *thr = vt__sched_thr();
    if (!vt__conn_buf_get(thr, &t->in)) return -ENOMEM;
    int64_t r = vt__io_recv_try(&c->pd, t->in.p, t->in.cap);
    if (r > 0) {
        t->o.in = t->in.p;
        t->o.in_len = (size_t)r;
    } else {
        vt__conn_buf_put(thr, &t->in);
    }
    return r;
}
/* The block goes back when nothing is left in it; else the socket seems readable until it is. */
static void vt__tls_settle(vt__conn *c, vt__tls *t) {
    if (t->in.p && t->o.in_len == 0) vt__conn_buf_put(vt__sched_thr(), &t->in);
    if (t->o.ssl && !t->o.err && vt__ossl_holds(&t->o)) vt__poll_set(&c->pd, VT__PD_R);
}

/*--- the operations of vt__conn ---*/
static int64_t vt__tls_recv_try(vt__conn *c, void *p, size_t n) {
    vt__tls *t = c->up;
    if (!t || !t->o.done) return VT_ESTATE;
    int64_t r = -EAGAIN, k = 1;
    vt__plat_spin_lock(&t->spin);
    if (vt__ossl_holds(&t->o)) r = vt__ossl_read(&t->o, p, n);
    while (r == -EAGAIN && (k = vt__tls_pull(c, t)) > 0) r = vt__ossl_read(&t->o, p, n);
    vt__tls_settle(c, t);
    if (r < 0) (void)vt__tls_push(c, t); /* tickets, alerts, a key update */
    vt__plat_spin_unlock(&t->spin);
    if (r == -EAGAIN) r = k == 0 ? VT_EEOF : k; /* an end without close_notify may be anybody's doing */
    return r;
}
static int64_t vt__tls_recv(vt__conn *c, void *p, size_t n, int64_t until) {
    vt__vth *v = vt__sched_self();
    int64_t due, r;
    if (VT__UNLIKELY(!v)) return -EPERM;
    if ((r = vt__sched_enter(v, until, &due)) < 0) return r;
    vt__sched_fuel(v);
    do {
        if ((r = vt__tls_recv_try(c, p, n)) != -EAGAIN) return r;
        r = vt__io_wait(&c->pd, VT__PD_R, due);
    } while (r >= 0);
    if (r != -ETIMEDOUT) return r;
    vt__poll_set(&c->pd, VT__PD_R); /* see vt__io_recv */
    int64_t last = vt__tls_recv_try(c, p, n);
    return last == -EAGAIN ? r : last;
}
/* Encrypts a record's worth of what v holds: bytes, or an error. Small slices go into one record. */
static int64_t vt__tls_seal(vt__tls *t, const struct iovec *v, int n) {
    while (n > 1 && v->iov_len == 0) v++, n--;
    size_t k = VT__MIN(v->iov_len, (size_t)VT__TLS_RECORD);
    if (n == 1 || k >= VT__TLS_GATHER) {
        int r = k ? vt__ossl_write(&t->o, v->iov_base, k) : 0;
        return r < 0 ? r : (int64_t)k;
    }
    vt__conn_buf b = {NULL, 0, 0, 0};
    vt__thr *thr = vt__sched_thr();
    if (!vt__conn_buf_get(thr, &b)) return -ENOMEM;
    for (; n > 0 && b.len < b.cap; v++, n--) {
        k = VT__MIN(v->iov_len, b.cap - b.len);
        memcpy(b.p + b.len, v->iov_base, k);
        b.len += k;
    }
    int64_t sealed = (int64_t)b.len;
    int r = vt__ossl_write(&t->o, b.p, b.len);
    vt__conn_buf_put(thr, &b);
    return r < 0 ? r : sealed;
}
static int64_t vt__tls_send_record(vt__conn *c, vt__tls *t, const struct iovec *v, int n) {
    if (t->owed == 0) {
        int64_t k = vt__tls_seal(t, v, n);
        if (k < 0) return k;
        t->owed = (size_t)k;
    }
    int r = vt__tls_push(c, t);
    if (r < 0) return r;
    int64_t sent = (int64_t)t->owed;
    t->owed = 0;
    return sent;
}
static int64_t vt__tls_send_try(vt__conn *c, struct iovec *v, int n) {
    vt__tls *t = c->up;
    if (!t || !t->o.done) return VT_ESTATE;
    vt__plat_spin_lock(&t->spin);
    int64_t r = vt__tls_send_record(c, t, v, n);
    vt__plat_spin_unlock(&t->spin);
    return r;
}
static int vt__tls_send_wait(vt__conn *c, int64_t until) {
    int64_t due;
    int r = vt__sched_enter(vt__sched_self(), until, &due);
    return r < 0 ? r : vt__io_wait(&c->pd, VT__PD_W, due);
}
static int vt__tls_end(vt__conn *c) {
    vt__tls *t = c->up;
    if (!t) return 0;
    vt__plat_spin_lock(&t->spin);
    vt__ossl_end(&t->o);
    int r = vt__tls_push(c, t);
    vt__plat_spin_unlock(&t->spin);
    return r;
}
static int vt__tls_shutdown(vt__conn *c) {
    vt__tls *t = c->up;
    int r = vt__tls_end(c);
    if (r < 0) return r;
    if (t && t->shut) return 0;
    if (t) t->shut = true;
    return vt__plat_shutdown(c->pd.fd, SHUT_WR);
}
static void vt__tls_permit_back(vt__tls *t) {
    if (t->gate) vt_sem_release(&t->gate->permits, 1);
    t->gate = NULL;
}
static void vt__tls_drop(vt__conn *c) {
    vt__tls *t = c->up;
    c->ops = NULL;
    c->up = NULL;
    if (!t) return;
    vt__tls_permit_back(t);
    vt__ossl_close(&t->o);
    vt__conn_buf_put(vt__sched_thr(), &t->in);
    vt__mem_free(t);
}
static void vt__tls_bare(vt__conn *c) {
    (void)vt__tls_end(c);
    vt__tls_drop(c);
}
/* Without close_notify: who means an orderly end has said so before, and what is cut off is to be seen so. */
static int vt__tls_close(vt__conn *c) {
    vt__tls_drop(c);
    return vt__poll_close(&c->pd);
}
static const struct vt__conn_ops vt__tls_ops = {vt__tls_recv,      vt__tls_recv_try, vt__tls_send_try,
                                                vt__tls_send_wait, vt__tls_shutdown, vt__tls_close,
                                                vt__tls_end,       vt__tls_bare};

/*--- handshakes ---*/
static vt__ossl_ctx *vt__tls_gate_ctx(vt__tls_gate *g) {
    vt__plat_spin_lock(&g->spin);
    vt__ossl_ctx *x = g->ctx;
    __atomic_fetch_add(&x->refs, 1, __ATOMIC_RELAXED);
    vt__plat_spin_unlock(&g->spin);
    return x;
}
/* The first byte, left where it is; 0 at the end, -EAGAIN, other errors. */
static int vt__tls_peek(vt__pd *pd) {
    unsigned char first = 0;
    ssize_t r;
    if (!(vt__poll_bits(pd) & (VT__PD_R | VT__PD_RDHUP | VT__PD_HUP))) return -EAGAIN;
    vt__poll_clear(pd, VT__PD_R);
    do r = vt__plat_recv(pd->fd, &first, 1, MSG_PEEK);
    while (r == -EINTR);
    if (r >= 0) vt__poll_set(pd, VT__PD_R);
    return r <= 0 ? (int)r : first ? first : 1;
}
/* From the first byte on: with a permit, for which it waits. */
static int vt__tls_begin(vt__conn *c, vt__tls_gate *g, int64_t until) {
    int r = vt__tls_peek(&c->pd);
    if (r <= 0) return r == -EAGAIN ? VT__TLS_WAIT : r == 0 ? VT_EEOF : r;
    if (r >= 'A' && r <= 'Z') return VT__TLS_PLAIN; /* a method; a record begins with 0x16 */
    if ((r = vt_sem_acquire_until(&g->permits, until)) < 0) return r;
    vt__tls *t = vt__mem_zalloc(sizeof *t);
    if (!t) {
        vt_sem_release(&g->permits, 1);
        return -ENOMEM;
    }
    c->up = t;
    t->gate = g;
    r = vt__ossl_open(&t->o, vt__tls_gate_ctx(g), false);
    return r < 0 ? r : VT__TLS_DONE;
}
static int vt__tls_shake(void *arg) {
    vt__tls *t = arg;
    t->step = vt__ossl_shake(&t->o);
    return 0;
}
static int vt__tls_shake_on(vt__tls *t) {
    if (!t->o.ctx->dear) return vt__ossl_shake(&t->o);
    int r = vt_blocking(vt__tls_shake, t, NULL);
    return r < 0 ? r : t->step;
}
static int vt__tls_push_all(vt__conn *c, vt__tls *t, int64_t until) {
    int r;
    while ((r = vt__tls_push(c, t)) == -EAGAIN)
        if ((r = vt__tls_send_wait(c, until)) < 0) break;
    return r;
}
/* As far as the input goes: VT__TLS_WAIT for more, VT__TLS_DONE, or an error. What the last step made goes out with the first
 * data where that follows: a client's request, or the answer to one that is here already. */
static int vt__tls_go_on(vt__conn *c, vt__tls *t, int64_t until) {
    for (;;) {
        int r = vt__tls_shake_on(t);
        if (r < 0) (void)vt__tls_push(c, t); /* the alert */
        if (r == 0) r = vt__tls_push_all(c, t, until);
        if (r < 0) return r;
        if (t->o.done) {
            vt__tls_permit_back(t);
            vt__tls_settle(c, t);
            if (!t->o.client && t->o.in_len == 0) r = vt__tls_push_all(c, t, until);
            return r < 0 ? r : VT__TLS_DONE;
        }
        int64_t k = vt__tls_pull(c, t);
        if (k == -EAGAIN) return VT__TLS_WAIT;
        if (k <= 0) return k == 0 ? VT_EEOF : (int)k;
    }
}
/* One step of a server's handshake, or more; on a vthread. Until the first byte nothing is allocated. */
static int vt__tls_step(vt__conn *c, vt__tls_gate *g, int64_t until) {
    int r = c->up ? VT__TLS_DONE : vt__tls_begin(c, g, until);
    if (r != VT__TLS_DONE) return r;
    int64_t k = vt__tls_pull(c, c->up);
    if (k == -EAGAIN) return VT__TLS_WAIT;
    if (k <= 0) return k == 0 ? VT_EEOF : (int)k;
    return vt__tls_go_on(c, c->up, until);
}
/* An accepted connection of this listener. */
static void vt__tls_accept(vt__conn *c) { c->ops = &vt__tls_ops; }
static bool vt__tls_begun(const vt__conn *c) { return c->up != NULL; }
static int vt__tls_info(vt__conn *c, vt__arena *a, vt_tls_info *out) {
    return vt__ossl_info(&((vt__tls *)c->up)->o, a, out);
}

/*--- listeners ---*/
static const vt_str vt__tls_alpn = {"\x08http/1.1\x08http/1.0", 18};

/* Calls fn for each text of a configuration. */
static void vt__tls_cfg_texts(vt_tls_cfg *c, vt_tls_cert *certs, void (*fn)(const char **text, void *to),
                              void *to) {
    const char **texts[] = {&c->client_ca_file, &c->client_ca_pem, &c->ciphers, &c->ciphersuites};
    for (size_t i = 0; i < VT__COUNT(texts); i++)
        if (*texts[i]) fn(texts[i], to);
    for (int i = 0; i < c->ncerts; i++) {
        vt_tls_cert *k = &certs[i];
        const char **more[] = {&k->cert_file, &k->cert_pem,      &k->key_file, &k->key_pem,
                               &k->password,  &k->password_file, &k->ocsp_file};
        for (size_t j = 0; j < VT__COUNT(more); j++)
            if (*more[j]) fn(more[j], to);
    }
}
static void vt__tls_text_count(const char **text, void *size) { *(size_t *)size += strlen(*text) + 1; }
static void vt__tls_text_copy(const char **text, void *to) {
    char **end = to;
    size_t n = strlen(*text) + 1;
    memcpy(*end, *text, n);
    *text = *end;
    *end += n;
}
/* One block for all of it. */
static int vt__tls_cfg_copy(vt_tls_cfg *to, const vt_tls_cfg *from) {
    size_t head = (size_t)from->ncerts * sizeof *from->certs, size = head;
    *to = *from;
    vt__tls_cfg_texts(to, (vt_tls_cert *)(uintptr_t)from->certs, vt__tls_text_count, &size);
    vt_tls_cert *certs = vt__mem_alloc(size);
    if (!certs) return -ENOMEM;
    memcpy(certs, from->certs, head);
    char *end = (char *)certs + head;
    vt__tls_cfg_texts(to, certs, vt__tls_text_copy, &end);
    to->certs = certs;
    return 0;
}
/* NULL, or the name of the field that is wrong. */
static const char *vt__tls_cfg_bad(const vt_tls_cfg *c) {
    if (!c || c->ncerts < 1 || c->ncerts > VT__OSSL_CERTS_MAX || !c->certs) return "ncerts";
    for (int i = 0; i < c->ncerts; i++)
        if (!c->certs[i].cert_file == !c->certs[i].cert_pem) return "certs";
    if (c->client_auth < 0 || c->client_auth > VT_TLS_CLIENT_UNVERIFIED) return "client_auth";
    if (c->names < 0 || c->names > VT_TLS_NAMES_REQUIRED) return "names";
    if (c->plain < 0 || c->plain > VT_TLS_PLAIN_CLOSE) return "plain";
    if (c->min_version != 0 && c->min_version != 12 && c->min_version != 13) return "min_version";
    if (c->max_handshakes < 0) return "max_handshakes";
    if (c->ticket_life_s < VT_NONE || c->ticket_life_s > 604800) return "ticket_life_s";
    return NULL;
}
/* `bad` is where the name of a bad field goes. */
static int vt__tls_gate_new(vt__tls_gate **out, const vt_tls_cfg *cfg, const char **bad) {
    if ((*bad = vt__tls_cfg_bad(cfg)) != NULL) return -EINVAL;
    vt__tls_gate *g = vt__mem_zalloc(sizeof *g);
    if (!g || vt__tls_cfg_copy(&g->cfg, cfg) < 0) {
        vt__mem_free(g);
        return -ENOMEM;
    }
    if (!g->cfg.ticket_life_s) g->cfg.ticket_life_s = 43200;
    g->keys.every = VT__MAX(g->cfg.ticket_life_s, 2) * VT_SEC / 2;
    g->permits.count = g->cfg.max_handshakes ? g->cfg.max_handshakes : 4096;
    *out = g;
    return 0;
}
/* Reads the files: from now on this is what handshakes use. On an error, which `text` tells, all stays. */
static int vt__tls_gate_load(vt__tls_gate *g, char *text, size_t cap) {
    vt__ossl_text t = {""};
    vt__ossl_ctx *x = NULL;
    int r = vt__ossl_ctx_server(&x, &g->cfg, &g->keys, vt__tls_alpn, &t);
    if (r < 0) {
        snprintf(text, cap, "%s", t.text);
        return r;
    }
    vt__plat_spin_lock(&g->spin);
    vt__ossl_ctx *old = g->ctx;
    g->ctx = x;
    vt__plat_spin_unlock(&g->spin);
    if (old) vt__ossl_unref(old);
    return 0;
}
static int vt__tls_gate_plain(const vt__tls_gate *g) { return g->cfg.plain; }
static void vt__tls_gate_free(vt__tls_gate *g) {
    if (!g) return;
    if (g->ctx) vt__ossl_unref(g->ctx);
    OPENSSL_cleanse(&g->keys, sizeof g->keys);
    vt__mem_free((void *)(uintptr_t)g->cfg.certs);
    vt__mem_free(g);
}

/*--- the client's side ---*/
/* What a client trusts and shows; made once. */
typedef vt__ossl_ctx vt__tls_trust;
static VT__UNUSED int vt__tls_trust_new(vt__tls_trust **out, const vt_client_cfg *g) {
    vt__ossl_text t = {""};
    const vt__ossl_client c = {.ca_file = g->tls_ca_file,
                               .ca_pem = g->tls_ca_pem,
                               .no_verify = g->tls_no_verify != 0,
                               .min_version = g->tls_min_version,
                               .cert = g->tls_cert,
                               .alpn = {vt__tls_alpn.ptr, 9}};
    int r = vt__ossl_ctx_client(out, &c, &t);
    if (r < 0) vt_log(VT_LOG_ERROR, "TLS of a client: %s", t.text);
    return r;
}
static VT__UNUSED void vt__tls_trust_free(vt__tls_trust *x) {
    if (x) vt__ossl_unref(x);
}
/* Speaks TLS on a connected socket from here on, as a client that means `host`; parks until the handshake is over. x: made
 * by vt__ossl_ctx_client, one for many connections; the caller keeps its reference. On an error the connection is still
 * to be closed. errors: VT_ECERT, VT_ETLS, VT_EEOF, those of the socket, -ETIMEDOUT, -ECANCELED. */
static VT__UNUSED int vt__tls_connect(vt__conn *c, vt__tls_trust *x, const char *host, int64_t until) {
    int64_t due;
    vt__vth *v = vt__sched_self();
    int r = v ? vt__sched_enter(v, until, &due) : -EPERM;
    vt__tls *t = r < 0 ? NULL : vt__mem_zalloc(sizeof *t);
    if (!t) return r < 0 ? r : -ENOMEM;
    c->up = t;
    c->ops = &vt__tls_ops;
    __atomic_fetch_add(&x->refs, 1, __ATOMIC_RELAXED);
    if ((r = vt__ossl_open(&t->o, x, true)) < 0 || (r = vt__ossl_expect(&t->o, host)) < 0) return r;
    while ((r = vt__tls_go_on(c, t, until)) == VT__TLS_WAIT)
        if ((r = vt__io_wait(&c->pd, VT__PD_R, due)) < 0) return r;
    return r < 0 ? r : 0;
}
#else
/* Nothing makes one. */
typedef struct vt__tls_gate {
    char none;
} vt__tls_gate;
static int vt__tls_step(vt__conn *c, vt__tls_gate *g, int64_t until) {
    (void)c, (void)g, (void)until;
    return VT_ENOTLS;
}
static void vt__tls_accept(vt__conn *c) { (void)c; }
static bool vt__tls_begun(const vt__conn *c) { return c->up != NULL; }
static int vt__tls_info(vt__conn *c, vt__arena *a, vt_tls_info *out) {
    (void)c, (void)a, (void)out;
    return 0;
}
static int vt__tls_gate_new(vt__tls_gate **out, const vt_tls_cfg *cfg, const char **bad) {
    (void)out, (void)cfg, (void)bad;
    return VT_ENOTLS;
}
static int vt__tls_gate_load(vt__tls_gate *g, char *text, size_t cap) {
    (void)g, (void)text, (void)cap;
    return VT_ENOTLS;
}
static int vt__tls_gate_plain(const vt__tls_gate *g) { return g->none; }
static void vt__tls_gate_free(vt__tls_gate *g) { (void)g; }
typedef struct vt__tls_trust {
    char none;
} vt__tls_trust;
static VT__UNUSED int vt__tls_trust_new(vt__tls_trust **out, const vt_client_cfg *g) {
    (void)out, (void)g;
    return VT_ENOTLS;
}
static VT__UNUSED void vt__tls_trust_free(vt__tls_trust *x) { (void)x; }
static VT__UNUSED int vt__tls_connect(vt__conn *c, vt__tls_trust *x, const char *host, int64_t until) {
    (void)c, (void)x, (void)host, (void)until;
    return VT_ENOTLS;
}
#endif

/*==============================================================================
 * MARK: - @h1c     HTTP/1.1 connections
 * uses:   @plat @mem @str @ds @log @uri @h1 @timer @poll @sched @self @io @conn @tls @router @req @res @http
 * raises: vt__h1c_group.closed (a connection has ended and somebody waits for that)
 * test:   tests/e2e_life.c tests/e2e_http.c tests/sim_edges.c tests/e2e_edges.c
 *
 * A connection is in one of four places:
 *
 *     queued    its task waits for a worker: just accepted, or there is input, or its time is up
 *     waiting   would be queued, but there are max_vthreads: in vt__h1c_queue, until one of them ends
 *     running   a vthread has it: reads, and answers requests in order until none is buffered
 *     parked    in the reactor with a timer and nothing else: between requests, or lingering before its close
 *
 * Everything of a connection happens on one OS thread at a time: a task that was taken by another worker takes the
 * descriptor along. The list and the timer are those of the domain in which it is parked or running, and are touched
 * under that domain's lock, which the reactor has and a vthread takes. What the reactor has to say to a running
 * connection is said on that one's thread (vt__h1c_heed), which need not be the one that harvests the events.
 *
 * Closing while input is unread makes the kernel answer with RST, which can take the response away from a client that
 * still sends. So after an error the sending half is shut, and what comes is read and dropped until the peer closes: with a
 * bound in time and bytes, in the reactor, without a stack.
 *============================================================================*/
enum {
    VT__H1C_FIELDS = 48, /* on the stack; more take a block */
    VT__H1C_LINGER_BYTES = 1 << 20,
    VT__H1C_LARGE = 1 << 16, /* a response of more bytes may fill the send queue */
    VT__H1C_DIRECT = 4096,   /* body reads from this size on go past the input block */
    VT__H1C_CHUNK_ROOM = 6,  /* "3fff" CRLF: a chunk that is being gathered fits in a block */
    VT__H1C_SLAB = 64
};
#define VT__H1C_LINGER_NS (2 * VT_SEC)
#define VT__H1C_RETRY_NS (10 * VT_MS) /* how often who waits looks for room that nobody told of */
#define VT__H1C_RATE_NS (10 * VT_SEC) /* min_body_rate counts from here on */

/* vt_server_cfg with defaults filled in, as plain numbers. Times: 0 is none; sizes: none is as large as the type takes. */
typedef struct vt__h1c_conf {
    vt__h1_limits limits;
    uint32_t max_fields;
    size_t max_head, max_trailer;
    int64_t max_drain, max_requests, min_rate;
    int64_t header_ns, body_ns, write_ns, idle_ns;
    int64_t max_queued, queue_ns;
    int cancel_on;
    bool no_date;
    size_t server_len, refusal_len;
    char server[256];  /* the whole field line */
    char refusal[160]; /* the whole 503; see vt__h1c.unsaid */
} vt__h1c_conf;

/* One server's connections, in all domains. */
typedef struct vt__h1c_group {
    vt_server *server;
    vt__h1c_conf conf;
    struct vt__h1c_host *hosts; /* by index of the domain */
    int64_t open;
    int64_t waiting;   /* in vt__h1c_queue, and under its lock */
    uint32_t stopping; /* requests in flight are the last */
    uint32_t tell;     /* call `closed` */
    void (*closed)(struct vt__h1c_group *g);
} vt__h1c_group;

/* One domain's share; touched under its lock alone, but for `returned` and the counters of what vthreads do. */
typedef struct vt__h1c_host {
    vt__h1c_group *group;
    vt__dom *dom;
    vt__list parked[3], running;
    vt__timer sweep;                 /* armed no later than the first deadline of a parked connection */
    int64_t waiting;                 /* in vt__h1c_queue, and under its lock */
    struct vt__h1c *free, *returned; /* returned: by other domains; a stack that is taken whole */
    struct vt__h1c_slab *slabs;
    int64_t accepted, nparked, requests, refused, bad, timeouts, queued;
} __attribute__((aligned(64))) vt__h1c_host;

/* Beside the bits of an event: the server's grace period is over, or begins. */
enum { VT__H1C_KILL = 0x8000, VT__H1C_STOP = 0x10000 };
enum vt__h1c_why { VT__H1C_INPUT, VT__H1C_EXPIRED };
enum vt__h1c_list { VT__H1C_FRESH, VT__H1C_IDLE, VT__H1C_LINGER }; /* of vt__h1c_host.parked */

typedef struct vt__h1c {
    vt__conn conn;
    vt__start start;
    vt__list link;
    union {
        int64_t due;  /* while parked or waiting */
        vt__thr *thr; /* while it runs: on which thread */
    };
    vt__h1c_host *host, *home; /* home: whose slab it is part of */
    struct vt__h1c_run *run;   /* while it runs; in the free list: the next */
    vt__msg note;              /* to that thread, while noted is not 0 */
    uint32_t noted;            /* what it says */
    int64_t since;             /* accepted, or the rest of a head was first waited for; 0: not yet */
    int64_t requests;
    uint32_t lingered;
    uint8_t why, list, peer_len;
    uint8_t unsaid; /* of a refusal: the bytes that are not sent yet, while it lingers */
    const vt__http_wire *wire;
    vt__tls_gate *gate; /* the TLS listener that it came to; NULL: a plain one */
    bool blank;         /* the empty line that may precede a request has come, and is dropped */
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } peer;
} vt__h1c;
_Static_assert(sizeof(vt__h1c) <= 448, "an idle connection is to stay small");
_Static_assert(sizeof(((vt__h1c_conf *)0)->refusal) <= UINT8_MAX, "vt__h1c.unsaid counts its bytes");

/* Type-stable: an event on its way may still look at a closed connection's descriptor word. */
typedef struct vt__h1c_slab {
    struct vt__h1c_slab *next;
    vt__h1c conns[VT__H1C_SLAB];
} vt__h1c_slab;

/* What the protocol of an upgraded connection is told, on its thread; the first two in scheduler context. */
typedef struct vt__h1c_up {
    void (*room)(void *arg);            /* for the output that it waits with (vt__poll_want_room) */
    void (*stop)(void *arg);            /* the server stops */
    int (*end)(void *arg, bool failed); /* the handler has returned; the first error of its output */
} vt__h1c_up;

enum vt__h1c_body { VT__H1C_BODY_END, VT__H1C_BODY_LENGTH, VT__H1C_BODY_CHUNKED, VT__H1C_BODY_BROKEN };

/* A connection with a vthread: on its stack. */
typedef struct vt__h1c_run {
    vt__conn_io io;
    vt__h1c *c;
    vt__h1c_host *host;
    const vt__h1c_conf *conf;
    const vt__http_wire *wire;
    vt__vth *v;
    vt__h1_field *fields;
    vt__conn_buf more; /* a block for more fields */
    uint32_t fields_cap;
    vt__conn_buf held;     /* the head's block, when the body went on in another */
    size_t base;           /* input up to here belongs to the head */
    size_t chunk_at;       /* where the open chunk of the response begins; SIZE_MAX: none is open */
    vt_str data;           /* body bytes in the input block, decoded and not handed out */
    int64_t left;          /* of Content-Length, not received */
    int64_t waited, until; /* for body bytes; a time for all that is left of them */
    uint8_t body;
    bool expect;             /* 100 (Continue) is owed */
    bool handling;           /* from the head's end to the response's */
    bool watched, gone;      /* the reactor tells of a reset; it did */
    bool flushing;           /* ... or of room for the output that is left */
    bool head_sent, closing; /* Connection: close was sent or is meant */
    bool cut;                /* by close is how the peer sees that the response is short */
    bool linger;
    bool parted; /* both sides have said that they are done: nothing more comes */
    vt_stream stream;
    const vt__h1c_up *up; /* NULL: the connection is not upgraded, or the handler reads and writes bytes */
    void *up_arg;
    char *spare;     /* see vt__h1c_room */
    vt__h1_req head; /* from here on each is prepared before its use */
    vt__h1_chunk chunk;
    vt__arena arena;
    vt_req req;
    vt_res res;
    vt__h1_field few[VT__H1C_FIELDS];
} vt__h1c_run;

/*--- life: closing, lingering, parking; under the lock of the connection's domain ---*/
/* A connection may end on another worker than the one that took it; its struct goes home all the same, or one worker would
 * make new ones for ever. */
static void vt__h1c_drop(vt__h1c *c) {
    vt__h1c_host *home = c->home;
    if (home == c->host) {
        c->run = (vt__h1c_run *)(void *)home->free;
        home->free = c;
        return;
    }
    vt__h1c *head = __atomic_load_n(&home->returned, __ATOMIC_RELAXED);
    do c->run = (vt__h1c_run *)(void *)head;
    while (!__atomic_compare_exchange_n(&home->returned, &head, c, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
}
static void vt__h1c_close(vt__h1c *c) {
    vt__h1c_group *g = c->host->group;
    (void)vt__conn_close(&c->conn);
    vt__h1c_drop(c);
    __atomic_fetch_sub(&g->open, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&g->tell, __ATOMIC_SEQ_CST)) g->closed(g);
}

static void vt__h1c_sweep_at(vt__h1c_host *h, int64_t due) {
    if (VT__UNLIKELY(!vt__timer_armed(&h->sweep) || h->sweep.due > due) && due < INT64_MAX)
        vt__timer_arm(&h->dom->wheel, &h->sweep, due);
}
/* Lists a connection that is to wait in the reactor until `due`. The times of one list are all of one length, so that its
 * first entry is the first to be due; one that parks again before its first request may be late by as much, one that lingers
 * under a stop by less. */
static void vt__h1c_list(vt__h1c *c, int list, int64_t due) {
    vt__h1c_host *h = c->host;
    c->list = (uint8_t)list;
    c->due = due;
    vt__ds_list_push(&h->parked[list], &c->link);
    vt__plat_count(&h->nparked, 1);
    vt__h1c_sweep_at(h, due);
}
static void vt__h1c_unlist(vt__h1c *c) {
    vt__ds_list_remove(&c->link);
    vt__plat_count(&c->host->nparked, -1);
}
/* Gives the connection to the reactor until `due`; false: there is input already. After true it is gone. */
static bool vt__h1c_arm(vt__h1c *c, int list, int64_t due) {
    vt__h1c_list(c, list, due);
    if (vt__poll_arm(&c->conn.pd)) return true;
    vt__h1c_unlist(c);
    return false;
}

/* Sends the last `left` bytes of the 503 for whom there is no room. Allocates nothing. Returns how many the socket does not
 * take now; 0 also when it will take no more. */
static size_t vt__h1c_say_no(const vt__h1c_conf *conf, vt__conn *conn, size_t left) {
    char text[sizeof conf->refusal];
    struct iovec one = {text, left}, *v = &one;
    int64_t r = 0;
    memcpy(text, conf->refusal + conf->refusal_len - left, left);
    for (int n = 1; n && (r = vt__conn_send_try(conn, v, n)) >= 0;) n = vt__io_advance(&v, n, (size_t)r);
    return r == -EAGAIN ? one.iov_len : 0;
}
/* Goes on with it while there is room, or waits for that; then ends the sending half. < 0: the peer is gone. */
static int vt__h1c_say_on(vt__h1c *c) {
    while (c->unsaid) {
        c->unsaid = (uint8_t)vt__h1c_say_no(&c->host->group->conf, &c->conn, c->unsaid);
        if (c->unsaid && vt__poll_want_room(&c->conn.pd)) return 0;
        if (!c->unsaid) return vt__conn_shutdown(&c->conn);
    }
    return 0;
}
/* Reads and drops until the peer closes. One that sends on and on is read no more: its window closes, it stalls, and gets
 * to its answer. One that has ended its sending half may still wait for a refusal's end. The connection stays where it
 * is in its list. */
static void vt__h1c_linger_on(vt__h1c *c) {
    char scratch[4096];
    int64_t r = vt__h1c_say_on(c) < 0 ? -EPIPE : 1;
    while ((r > 0 && c->lingered <= VT__H1C_LINGER_BYTES) || r == -EAGAIN) {
        r = vt__conn_readable(&c->conn) ? vt__conn_recv_try(&c->conn, scratch, sizeof scratch) : -EAGAIN;
        if (r > 0) c->lingered += (uint32_t)r;
        if (r == -EAGAIN && vt__poll_arm(&c->conn.pd)) return;
    }
    if ((r > 0 || (r == 0 && c->unsaid)) && vt__poll_watch(&c->conn.pd, !c->unsaid)) return;
    vt__h1c_unlist(c);
    vt__h1c_close(c);
}
/* The last of a connection whose answer is sent. What comes on one that spoke TLS is dropped as it is. */
static void vt__h1c_linger(vt__h1c *c) {
    vt__dom *dom = c->host->dom;
    bool cut = c->conn.ops && c->unsaid;
    if (c->conn.ops) c->conn.ops->bare(&c->conn);
    if (cut || (!c->unsaid && vt__conn_shutdown(&c->conn) < 0) || vt__poll_add(dom, &c->conn.pd) < 0) {
        vt__h1c_close(c);
        return;
    }
    bool stopping = __atomic_load_n(&c->host->group->stopping, __ATOMIC_RELAXED) != 0;
    c->lingered = 0;
    /* the cached clock is as old as the reactor's last wait */
    vt__h1c_list(c, VT__H1C_LINGER, vt__plat_now() + (stopping ? VT__H1C_LINGER_NS / 4 : VT__H1C_LINGER_NS));
    vt__h1c_linger_on(c);
}

/* No vthread may be started for it: 503 from here, whatever it asks. */
static void vt__h1c_refuse(vt__h1c *c) {
    const vt__h1c_conf *conf = &c->host->group->conf;
    char scratch[4096];
    int64_t r = vt__conn_recv_try(&c->conn, scratch, sizeof scratch);
    if (r == 0 || (r < 0 && r != -EAGAIN)) { /* also before a TLS handshake is over */
        vt__h1c_close(c);
        return;
    }
    c->unsaid = (uint8_t)vt__h1c_say_no(conf, &c->conn, conf->refusal_len);
    vt__plat_count(&c->host->refused, 1);
    vt__h1c_linger(c);
}

/*--- at max_vthreads ---*/
/* The connections of all servers and domains that wait for a vthread, in the order in which they came. One that is in it
 * belongs to the queue: it is in no reactor, and whoever takes it out under the spin lock has it. That is whose vthread
 * ends, on any thread, or its own domain when its time is over. */
static struct {
    uint32_t spin;
    int64_t n;
    vt__list list;
} vt__h1c_queue = {.list = {&vt__h1c_queue.list, &vt__h1c_queue.list}};

/* Under the spin lock. */
static void vt__h1c_unqueue(vt__h1c *c) {
    vt__ds_list_remove(&c->link);
    c->host->group->waiting--;
    vt__plat_count(&c->host->waiting, -1);
    if (__atomic_sub_fetch(&vt__h1c_queue.n, 1, __ATOMIC_RELAXED) == 0) vt__sched_want_room(NULL);
}
/* The first, with room for its vthread; NULL: there is no room, or nobody. */
static vt__h1c *vt__h1c_dequeue(void) {
    vt__h1c *c = NULL;
    if (!__atomic_load_n(&vt__h1c_queue.n, __ATOMIC_RELAXED)) return NULL;
    vt__plat_spin_lock(&vt__h1c_queue.spin);
    if (vt__h1c_queue.n && vt__sched_admit() >= 0) {
        c = VT__CONTAINER(vt__h1c_queue.list.next, vt__h1c, link);
        vt__h1c_unqueue(c);
    }
    vt__plat_spin_unlock(&vt__h1c_queue.spin);
    return c;
}
/* Any worker, with or without its domain's lock. */
static void vt__h1c_serve_queue(void) {
    for (vt__h1c *c; (c = vt__h1c_dequeue()) != NULL;) {
        vt__dom *dom = c->host->dom;
        vt__ds_list_init(&c->link);
        vt__sched_submit(dom, &c->start);
        vt__thr *driver = vt__sched_driver(dom);
        if (driver != vt__sched_thr()) (void)vt__sched_kick(driver);
    }
}
/* False: as many wait as may. Allocates nothing. */
static bool vt__h1c_enqueue(vt__h1c *c) {
    vt__h1c_host *h = c->host;
    vt__h1c_group *g = h->group;
    int64_t now = vt__plat_now();
    vt__plat_spin_lock(&vt__h1c_queue.spin);
    bool fits = g->waiting < g->conf.max_queued;
    if (fits) {
        c->due = g->conf.queue_ns ? now + g->conf.queue_ns : INT64_MAX;
        vt__ds_list_push(&vt__h1c_queue.list, &c->link);
        g->waiting++;
        vt__plat_count(&h->waiting, 1);
        if (__atomic_add_fetch(&vt__h1c_queue.n, 1, __ATOMIC_RELAXED) == 1)
            vt__sched_want_room(vt__h1c_serve_queue);
    }
    vt__plat_spin_unlock(&vt__h1c_queue.spin);
    if (!fits) return false;
    vt__plat_count(&h->queued, 1);
    vt__h1c_sweep_at(h, now + VT__H1C_RETRY_NS);
    vt__h1c_serve_queue(); /* what became free meanwhile */
    return true;
}
/* Refuses those of `h` whose time was over at `now`. A server's own come in the order of their ends. */
static void vt__h1c_queue_expire(vt__h1c_host *h, int64_t now) {
    vt__list late;
    vt__ds_list_init(&late);
    vt__plat_spin_lock(&vt__h1c_queue.spin);
    for (vt__list *n = vt__h1c_queue.list.next, *next; n != &vt__h1c_queue.list; n = next) {
        vt__h1c *c = VT__CONTAINER(n, vt__h1c, link);
        next = n->next;
        if (c->host->group == h->group && c->due > now) break;
        if (c->host != h) continue;
        vt__h1c_unqueue(c);
        vt__ds_list_push(&late, n);
    }
    vt__plat_spin_unlock(&vt__h1c_queue.spin);
    while (!vt__ds_list_empty(&late)) {
        vt__list *n = vt__ds_list_pop(&late);
        vt__ds_list_init(n);
        vt__h1c_refuse(VT__CONTAINER(n, vt__h1c, link));
    }
}
static void vt__h1c_submit(vt__h1c *c, int why) {
    c->why = (uint8_t)why;
    if (VT__UNLIKELY(vt__sched_admit() < 0)) {
        if (why == VT__H1C_EXPIRED) vt__h1c_close(c);
        else if (!vt__h1c_enqueue(c)) vt__h1c_refuse(c);
        return;
    }
    vt__sched_submit(c->host->dom, &c->start);
}

/* A parked connection's time is up. It is looked at once more: after a stall of ours the input may have come in time. */
static void vt__h1c_expire(vt__h1c *c) {
    if (!vt__poll_disarm(&c->conn.pd)) return;
    vt__h1c_unlist(c);
    if (c->list == VT__H1C_LINGER) {
        vt__h1c_close(c);
    } else {
        vt__poll_set(&c->conn.pd, VT__PD_R);
        vt__h1c_submit(c, VT__H1C_EXPIRED);
    }
}
static void vt__h1c_sweep(vt__timer *t) {
    vt__h1c_host *h = VT__CONTAINER(t, vt__h1c_host, sweep);
    int64_t now = vt__plat_now(), next = INT64_MAX;
    for (int i = 0; i < 3; i++) {
        vt__list *n = h->parked[i].next;
        for (int budget = 256; n != &h->parked[i] && budget > 0; budget--) {
            vt__h1c *c = VT__CONTAINER(n, vt__h1c, link);
            if (c->due > now) break;
            n = n->next;
            vt__h1c_expire(c);
        }
        if (n != &h->parked[i]) next = VT__MIN(next, VT__CONTAINER(n, vt__h1c, link)->due);
    }
    if (__atomic_load_n(&h->waiting, __ATOMIC_RELAXED)) {
        vt__h1c_queue_expire(h, now);
        vt__h1c_serve_queue();
        if (__atomic_load_n(&h->waiting, __ATOMIC_RELAXED)) next = VT__MIN(next, now + VT__H1C_RETRY_NS);
    }
    vt__h1c_sweep_at(h, next); /* a refusal may have armed it */
}

/*--- the output of one response ---*/
/* Ends the chunk that is being gathered: its size goes into the room before it. */
static void vt__h1c_seal(vt__h1c_run *run) {
    vt__conn_buf *b = &run->io.out;
    size_t at = run->chunk_at;
    char hex[VT__H1_CHUNK_SIZE_MAX];
    if (at == SIZE_MAX) return;
    run->chunk_at = SIZE_MAX;
    size_t size = b->len - at - VT__H1C_CHUNK_ROOM;
    if (size == 0) {
        b->len = at;
        return;
    }
    size_t n = (size_t)vt__h1_put_chunk_size(hex, sizeof hex, size);
    memmove(b->p + at + n, b->p + at + VT__H1C_CHUNK_ROOM, size);
    memcpy(b->p + at, hex, n);
    memcpy(b->p + at + n + size, "\r\n", 2); /* vt__h1c_chunk keeps room for it */
    b->len = at + n + size + 2;
}
/* Gathers n bytes in the open chunk, or opens one; false: they do not fit. */
static bool vt__h1c_chunk(vt__h1c_run *run, const char *p, size_t n) {
    vt__conn_buf *b = &run->io.out;
    if (run->chunk_at == SIZE_MAX) {
        if (!b->p || b->cap - b->len < n + VT__H1C_CHUNK_ROOM + 2) return false;
        run->chunk_at = b->len;
        b->len += VT__H1C_CHUNK_ROOM;
    } else if (b->cap - b->len < n + 2) {
        return false;
    }
    memcpy(b->p + b->len, p, n);
    b->len += n;
    return true;
}
static int vt__h1c_flush(vt__h1c_run *run) {
    vt__h1c_seal(run);
    return vt__conn_flush(&run->io);
}

/* The Date field's line, made once a second; a step of the wall clock shows within one. */
typedef struct vt__h1c_date {
    int64_t until;
    char line[37];
} vt__h1c_date;
static __thread vt__h1c_date vt__h1c_date_now;
VT__INLINE const char *vt__h1c_date_line(int64_t now) {
    vt__h1c_date *d = &vt__h1c_date_now;
    if (VT__UNLIKELY(now >= d->until)) {
        int64_t wall = vt__plat_clock(CLOCK_REALTIME);
        memcpy(d->line, "Date: ", 6);
        vt__str_put_date(d->line + 6, wall / VT_SEC);
        memcpy(d->line + 35, "\r\n", 2);
        d->until = now + VT_SEC - wall % VT_SEC;
    }
    return d->line;
}

/* Nothing before the reactor can know that the peer is gone: it is added, and watched, when a handler first waits. */
static void vt__h1c_watch(vt__h1c_run *run, bool fin) {
    vt__pd *pd = &run->c->conn.pd;
    if (run->watched || run->conf->cancel_on == VT_CANCEL_NEVER || !run->handling || run->stream.shut) return;
    if (run->io.err == 0 && vt__poll_add(run->io.thr->dom, pd) < 0) return;
    run->watched = true;
    if (run->io.err == 0 && vt__poll_watch(pd, fin)) return;
    run->gone = true;
    vt__sched_cancel(&run->c->start.task);
}
/* What the socket takes at once goes out, and the rest as it takes more, while the vthread waits for something else. */
static void vt__h1c_flush_parked(vt__h1c_run *run) {
    vt__pd *pd = &run->c->conn.pd;
    int r = vt__conn_flush_try(&run->io);
    while (r == -EAGAIN) {
        run->flushing = vt__poll_add(run->io.thr->dom, pd) == 0;
        if (!run->flushing || vt__poll_want_room(pd))
            return; /* else the next wait, or the end, tries again */
        r = vt__conn_flush_try(&run->io);
    }
    vt__conn_buf_put(run->io.thr, &run->io.out);
}
/* What there is to say to a running connection; its thread, scheduler context. */
static void vt__h1c_heed(vt__h1c *c, unsigned bits) {
    vt__h1c_run *run = c->run;
    bool idle = !run->io.sending && run->chunk_at == SIZE_MAX;
    if (bits & VT__PD_FLUSH && run->io.out.p && idle) vt__h1c_flush_parked(run);
    if (run->up && bits & VT__PD_FLUSH) run->up->room(run->up_arg);
    if (run->up && bits & VT__H1C_STOP) run->up->stop(run->up_arg);
    if (bits & VT__H1C_KILL && run->handling) {
        vt_str m = run->req.method, t = run->req.target;
        vt_log(VT_LOG_WARN, "still running after the grace period: %.*s %.*s", (int)m.len, m.ptr,
               (int)VT__MIN(t.len, (size_t)500), t.ptr);
    }
    if (bits & VT__PD_WATCH) run->gone = true;
    if (bits & (VT__PD_WATCH | VT__H1C_KILL)) vt__sched_cancel(&c->start.task);
}
/* The run has not ended: it waits for its notes (vt__h1c_leave). */
static void vt__h1c_noted(vt__dom *dom, vt__msg *m) {
    vt__h1c *c = VT__CONTAINER(m, vt__h1c, note);
    (void)dom;
    vt__h1c_heed(c, __atomic_exchange_n(&c->noted, 0, __ATOMIC_ACQ_REL));
}
/* Says it at once, or sends a note. */
static void vt__h1c_tell(vt__h1c *c, unsigned bits) {
    vt__thr *thr = c->thr;
    if (VT__LIKELY(thr == vt__sched_thr())) {
        vt__h1c_heed(c, bits);
        return;
    }
    if (__atomic_fetch_or(&c->noted, bits, __ATOMIC_ACQ_REL)) return; /* it is on its way */
    c->note.fn = vt__h1c_noted;
    vt__sched_tell(thr, &c->note);
}
/* An event on a parked connection, or a reset or room for output under a running handler. */
static void vt__h1c_sink(vt__dom *dom, vt__pd *pd, unsigned bits) {
    vt__h1c *c = VT__CONTAINER(pd, vt__h1c, conn.pd);
    (void)dom;
    if (c->run) {
        if (bits & (VT__PD_FLUSH | VT__PD_WATCH)) vt__h1c_tell(c, bits & (VT__PD_FLUSH | VT__PD_WATCH));
    } else if (c->list != VT__H1C_LINGER) {
        vt__h1c_unlist(c);
        vt__h1c_submit(c, VT__H1C_INPUT);
    } else if (bits & VT__PD_WATCH) {
        vt__h1c_unlist(c);
        vt__h1c_close(c);
    } else {
        vt__h1c_linger_on(c);
    }
}
/* The vthread is about to park, wherever in the handler that is: the peer gets what there is. */
static void vt__h1c_on_park(void *arg) {
    vt__h1c_run *run = arg;
    if (!run->io.sending && run->io.out.p) {
        vt__h1c_seal(run);
        vt__h1c_flush_parked(run);
    }
    vt__h1c_watch(run, run->conf->cancel_on == VT_CANCEL_FIN && !run->stream.io);
}

/*--- the request's body ---*/
static int vt__h1c_body_room(vt__h1c_run *run) {
    vt__conn_buf *b = &run->io.in;
    if (b->pos == b->len) b->pos = b->len = run->base;
    if (b->cap - b->len >= 2048) return 0;
    if (run->held.p) return vt__conn_buf_room(run->io.thr, b, run->conf->max_trailer);
    vt__conn_buf next = {NULL, 0, 0, 0};
    size_t rest = b->len - b->pos; /* trailers that are not complete may be long */
    if (rest >= run->conf->max_trailer) return VT_ELIMIT;
    if (!vt__conn_buf_get_for(run->io.thr, &next, rest + 2048)) return -ENOMEM;
    memcpy(next.p, b->p + b->pos, rest);
    next.len = rest;
    run->held = *b;
    *b = next;
    run->base = 0;
    return 0;
}
/* How long the next body bytes may take. */
static int64_t vt__h1c_body_until(const vt__h1c_run *run, int64_t now) {
    const vt__h1c_conf *conf = run->conf;
    int64_t until = conf->body_ns ? now + conf->body_ns : 0;
    if (conf->min_rate) {
        int64_t s = VT__MIN(run->req.body_got / conf->min_rate, INT64_C(1) << 32);
        int64_t rate = now + VT__MAX(s * VT_SEC, VT__H1C_RATE_NS) - run->waited;
        if (!until || rate < until) until = rate;
    }
    if (run->until && (!until || run->until < until)) until = run->until;
    return until;
}
static int64_t vt__h1c_body_recv(vt__h1c_run *run, char *p, size_t n) {
    vt__vth *v = vt__sched_self();
    int64_t due, r;
    if (!v) return -EPERM;
    if ((r = vt__sched_enter(v, 0, &due)) < 0) return r;
    r = vt__conn_recv_try(&run->c->conn, p, n);
    if (r == -EAGAIN) {
        int64_t start = vt__plat_now();
        r = vt__conn_recv(&run->c->conn, p, n, vt__h1c_body_until(run, start));
        run->waited += vt__plat_now() - start;
    } else {
        vt__sched_fuel(v);
    }
    return r == 0 ? VT_EEOF : r;
}
static int vt__h1c_body_fill(vt__h1c_run *run) {
    vt__conn_buf *b = &run->io.in;
    int room = vt__h1c_body_room(run);
    if (room < 0) return room == VT_ELIMIT ? VT_EHTTP : room;
    int64_t r = vt__h1c_body_recv(run, b->p + b->len, b->cap - b->len);
    if (r < 0) return (int)r;
    b->len += (size_t)r;
    return 0;
}
/* Decodes one slice into run->data: 1, 0 when input is missing, or < 0. */
static int vt__h1c_chunk_next(vt__h1c_run *run) {
    vt__conn_buf *b = &run->io.in;
    vt_req *req = &run->req;
    enum { CAP = 64 };
    if (!req->trailers) req->trailers = vt__mem_arena_get(&run->arena, CAP * sizeof *req->trailers);
    if (!req->trailers) return -ENOMEM;
    if (b->pos == b->len) return 0;
    char *from = b->p + b->pos;
    int64_t n = vt__h1_chunk_decode(&run->chunk, from, b->len - b->pos, &run->data, req->trailers, CAP,
                                    &run->conf->limits);
    if (n < 0) return vt__h1_err_status((int)n) == 413 ? VT_ETOOLARGE : VT_EHTTP;
    b->pos += (size_t)n;
    if (run->chunk.done) {
        req->trailer_base = from + run->chunk.trailer_off;
        req->ntrailers = run->chunk.ntrailers;
        run->body = VT__H1C_BODY_END;
    }
    return n > 0;
}
/* Makes run->data non-empty: 1, 0 at the body's end, or < 0, then and ever after. */
static int vt__h1c_body_next(vt__h1c_run *run) {
    vt__conn_buf *b = &run->io.in;
    while (run->data.len == 0) {
        int r = 0;
        if (run->body == VT__H1C_BODY_END) return 0;
        if (run->body == VT__H1C_BODY_BROKEN) return run->req.body_err ? run->req.body_err : VT_EEOF;
        if (run->body == VT__H1C_BODY_CHUNKED) {
            r = vt__h1c_chunk_next(run);
        } else if (b->pos < b->len) {
            run->data.ptr = b->p + b->pos;
            run->data.len = (size_t)VT__MIN((int64_t)(b->len - b->pos), run->left);
            b->pos += run->data.len;
            run->left -= (int64_t)run->data.len;
            if (run->left == 0) run->body = VT__H1C_BODY_END;
            r = 1;
        }
        if (r == 0) r = vt__h1c_body_fill(run);
        if (r < 0) {
            if (r != -ECANCELED) run->body = VT__H1C_BODY_BROKEN, run->closing = true;
            if (r == -ETIMEDOUT) vt__plat_count(&run->host->timeouts, 1);
            return r;
        }
    }
    return 1;
}
static int64_t vt__h1c_read(vt_req *req, void *buf, size_t n) {
    vt__h1c_run *run = req->conn;
    if (run->expect) {
        run->expect = false;
        if (!run->head_sent && run->io.in.pos == run->io.in.len)
            (void)vt__conn_put(&run->io, "HTTP/1.1 100 Continue\r\n\r\n",
                               25); /* goes out with the wait for input */
    }
    if (run->body == VT__H1C_BODY_LENGTH && run->data.len == 0 && run->io.in.pos == run->io.in.len &&
        n >= VT__H1C_DIRECT && run->left >= VT__H1C_DIRECT) {
        int64_t r = vt__h1c_body_recv(run, buf, (size_t)VT__MIN((int64_t)n, run->left));
        if (r > 0) {
            run->left -= r;
            if (run->left == 0) run->body = VT__H1C_BODY_END;
        } else if (r != -ECANCELED) {
            run->body = VT__H1C_BODY_BROKEN, run->closing = true;
            if (r == -ETIMEDOUT) vt__plat_count(&run->host->timeouts, 1);
        }
        return r;
    }
    int r = vt__h1c_body_next(run);
    if (r <= 0) return r;
    n = VT__MIN(n, run->data.len);
    memcpy(buf, run->data.ptr, n);
    run->data.ptr += n;
    run->data.len -= n;
    return (int64_t)n;
}
static bool vt__h1c_body_done(const vt__h1c_run *run) {
    return run->body == VT__H1C_BODY_END && run->data.len == 0;
}
/* Whether what the handler left of the body can be dropped without a wait for more than that. */
static bool vt__h1c_drainable(const vt__h1c_run *run) {
    if (vt__h1c_body_done(run)) return true;
    if (run->expect || run->body == VT__H1C_BODY_BROKEN) return false;
    return run->body != VT__H1C_BODY_LENGTH || run->left <= run->conf->max_drain;
}
static bool vt__h1c_drain(vt__h1c_run *run) {
    int64_t dropped = (int64_t)run->data.len;
    if (!vt__h1c_drainable(run)) return false;
    run->data.len = 0;
    run->until = vt__conn_until(run->conf->body_ns);
    while (run->body != VT__H1C_BODY_END) {
        if (dropped > run->conf->max_drain || vt__h1c_body_next(run) < 0) return false;
        dropped += (int64_t)run->data.len;
        run->req.body_got += (int64_t)run->data.len; /* it counts for min_body_rate */
        run->data.len = 0;
    }
    return true;
}

/*--- the response: the wire of @http ---*/
static int vt__h1c_inform(vt_res *res, int status, vt_str lines) {
    vt__h1c_run *run = res->req->conn;
    char *p = vt__conn_room(&run->io, 128);
    if (!p) return run->io.err;
    int n = vt__h1_put_status(p, 128, status);
    if (n < 0) return VT_EFIELD;
    run->io.out.len += (size_t)n;
    if (status == 100) run->expect = false;
    (void)vt__conn_put(&run->io, lines.ptr, lines.len);
    (void)vt__conn_put(&run->io, "\r\n", 2);
    return vt__conn_flush(&run->io);
}
static int vt__h1c_put_fields(vt__h1c_run *run, const vt__res_field *f, uint32_t count) {
    vt__conn_io *io = &run->io;
    for (; count > 0; f++, count--) {
        size_t n = (size_t)f->name_len + f->value_len + 4;
        char *p = n <= VT__BUF_BYTES / 2 ? vt__conn_room(io, n) : NULL;
        if (VT__LIKELY(p != NULL)) {
            memcpy(p, f->name, f->name_len);
            p += f->name_len;
            *p++ = ':', *p++ = ' ';
            if (f->value_len) memcpy(p, f->value, f->value_len);
            p += f->value_len;
            *p++ = '\r', *p = '\n';
            io->out.len += n;
        } else if (vt__conn_put(io, f->name, f->name_len) < 0 || vt__conn_put(io, ": ", 2) < 0 ||
                   vt__conn_put(io, f->value, f->value_len) < 0 || vt__conn_put(io, "\r\n", 2) < 0) {
            return io->err;
        }
    }
    return 0;
}
/* Whether this is the connection's last response. */
static bool vt__h1c_last(vt__h1c_run *run, const vt_res *res, bool end_now) {
    vt__h1c_group *g = run->host->group;
    if (res->close || !run->req.keep_alive || run->closing || run->expect) return true;
    if (run->c->requests >= run->conf->max_requests || __atomic_load_n(&g->stopping, __ATOMIC_RELAXED))
        return true;
    return (end_now || run->req.body_got == 0) && !vt__h1c_drainable(run);
}
#define VT__H1C_LIT(p, s) (memcpy(p, s, sizeof(s) - 1), (p) + (sizeof(s) - 1))
/* Status line, Date, Server, and how the connection goes on. */
static int vt__h1c_put_start(vt__h1c_run *run, int status, bool date, bool server) {
    const vt__h1c_conf *conf = run->conf;
    char *p = vt__conn_room(&run->io, 512), *start = p;
    if (!p) return run->io.err;
    if (VT__LIKELY(status == 200)) {
        p = VT__H1C_LIT(p, "HTTP/1.1 200 OK\r\n");
    } else {
        int n = vt__h1_put_status(p, 128, status);
        p = n > 0 ? p + n : VT__H1C_LIT(p, "HTTP/1.1 500 Internal Server Error\r\n");
    }
    if (date) {
        memcpy(p, vt__h1c_date_line(run->io.thr->now), 37);
        p += 37;
    }
    if (server && conf->server_len) {
        memcpy(p, conf->server, conf->server_len);
        p += conf->server_len;
    }
    run->io.out.len += (size_t)(p - start);
    return 0;
}
static int vt__h1c_head(vt_res *res, bool end_now) {
    vt__h1c_run *run = res->req->conn;
    run->closing = vt__h1c_last(run, res, end_now);
    run->head_sent = true;
    if (run->closing) run->req.keep_alive = false;
    if (vt__h1c_put_start(run, res->status, !res->has_date && !run->conf->no_date, !res->has_server) < 0)
        return run->io.err;
    if (vt__h1c_put_fields(run, res->fields, res->nfields) < 0) return run->io.err;
    char *p = vt__conn_room(&run->io, 128), *start = p;
    if (!p) return run->io.err;
    if (res->framing == VT__HTTP_LENGTH) {
        p = VT__H1C_LIT(p, "Content-Length: ");
        p += vt__str_put_u64(p, (uint64_t)res->length);
        p = VT__H1C_LIT(p, "\r\n");
    } else if (res->framing == VT__HTTP_CHUNKED) {
        p = VT__H1C_LIT(p, "Transfer-Encoding: chunked\r\n");
    }
    if (run->closing) p = VT__H1C_LIT(p, "Connection: close\r\n");
    else if (run->req.version == 10) p = VT__H1C_LIT(p, "Connection: keep-alive\r\n");
    p = VT__H1C_LIT(p, "\r\n");
    run->io.out.len += (size_t)(p - start);
    return 0;
}
static int64_t vt__h1c_write_chunk(vt__h1c_run *run, const char *p, size_t n) {
    char size[VT__H1_CHUNK_SIZE_MAX];
    if (!vt__conn_buf_get(run->io.thr, &run->io.out)) return -ENOMEM;
    if (vt__h1c_chunk(run, p, n)) return (int64_t)n;
    vt__h1c_seal(run);
    struct iovec v[4] = {{NULL, 0}, {size, 0}, {(char *)(uintptr_t)p, n}, {(char *)(uintptr_t) "\r\n", 2}};
    v[1].iov_len = (size_t)vt__h1_put_chunk_size(size, sizeof size, n);
    int r = vt__conn_send_behind(&run->io, v, 4);
    return r < 0 ? r : (int64_t)n;
}
static int64_t vt__h1c_write(vt_res *res, const void *p, size_t n) {
    vt__h1c_run *run = res->req->conn;
    vt__conn_buf *b = &run->io.out;
    if (VT__UNLIKELY(run->io.err < 0)) return run->io.err;
    if (res->framing == VT__HTTP_CHUNKED) return vt__h1c_write_chunk(run, p, n);
    if (!vt__conn_buf_get(run->io.thr, b)) return -ENOMEM;
    if (b->cap - b->len >= n) {
        memcpy(b->p + b->len, p, n);
        b->len += n;
        return (int64_t)n;
    }
    struct iovec v[2] = {{NULL, 0}, {(char *)(uintptr_t)p, n}};
    int r = vt__conn_send_behind(&run->io, v, 2);
    return r < 0 ? r : (int64_t)n;
}
static int vt__h1c_wire_flush(vt_res *res) { return vt__h1c_flush(res->req->conn); }
static int vt__h1c_end(vt_res *res) {
    vt__h1c_run *run = res->req->conn;
    if (VT__LIKELY(res->framing == VT__HTTP_LENGTH)) return run->io.err;
    if (run->up) return run->up->end(run->up_arg, run->cut);
    if (res->framing != VT__HTTP_CHUNKED || res->no_body || run->stream.io) return run->io.err;
    vt__h1c_seal(run);
    if (vt__conn_put(&run->io, "0\r\n", 3) < 0 ||
        vt__h1c_put_fields(run, res->trailers.at, res->trailers.n) < 0)
        return run->io.err;
    return vt__conn_put(&run->io, "\r\n", 2);
}
static void vt__h1c_abort(vt_res *res) {
    vt__h1c_run *run = res->req->conn;
    run->closing = run->cut = true;
}
static int vt__h1c_upgrade(vt_res *res, const char *protocol, vt_stream **out) {
    vt__h1c_run *run = res->req->conn;
    vt__res_field f[2] = {{.name = "Connection", .name_len = 10, .value = "Upgrade", .value_len = 7},
                          {.name = "Upgrade", .name_len = 7, .value = protocol}};
    if (!vt__h1c_body_done(run)) return VT_ESTATE;
    f[1].value_len = (uint32_t)strlen(protocol);
    run->head_sent = run->closing = run->linger = true;
    run->req.keep_alive = false;
    if (vt__h1c_put_start(run, 101, !res->has_date && !run->conf->no_date, !res->has_server) < 0 ||
        vt__h1c_put_fields(run, f, 2) < 0 || vt__h1c_put_fields(run, res->fields, res->nfields) < 0 ||
        vt__conn_put(&run->io, "\r\n", 2) < 0 || vt__conn_flush(&run->io) < 0)
        return run->io.err;
    vt__poll_clear(&run->c->conn.pd, VT__PD_WATCH_FIN); /* it may have waited before */
    run->stream.io = &run->io;
    *out = &run->stream;
    return 0;
}
static int vt__h1c_address(vt_req *req, bool local, char *buf, size_t cap) {
    vt__h1c *c = ((vt__h1c_run *)req->conn)->c;
    vt__addr a;
    if (!local) return (int)vt__io_addr_format(&c->peer.sa, c->peer_len, buf, cap);
    a.len = sizeof a.u;
    int r = vt__plat_getsockname(c->conn.pd.fd, &a.u.sa, &a.len);
    return r < 0 ? r : (int)vt__io_addr_format(&a.u.sa, a.len, buf, cap);
}
static int vt__h1c_tls(vt_req *req, vt_tls_info *out) {
    vt__h1c_run *run = req->conn;
    return vt__tls_info(&run->c->conn, &run->arena, out);
}
#define VT__H1C_WIRE(tls, scheme)                                                                            \
    {                                                                                                        \
        vt__h1c_read, vt__h1c_inform, vt__h1c_head, vt__h1c_write, vt__h1c_wire_flush, vt__h1c_end,          \
            vt__h1c_abort, vt__h1c_upgrade, vt__h1c_address, tls, scheme                                     \
    }
static const vt__http_wire vt__h1c_wire = VT__H1C_WIRE(NULL, "http");
static const vt__http_wire vt__h1c_wire_tls = VT__H1C_WIRE(vt__h1c_tls, "https");
/* Whether req->conn is a vt__h1c_run. */
static bool vt__h1c_has(const vt_req *req) {
    return req->wire == &vt__h1c_wire || req->wire == &vt__h1c_wire_tls;
}

/*--- upgraded connections whose protocol is another's ---*/
/* n bytes of the room for fields that this request left; they last as long as it does. NULL: there are not as many. */
static void *vt__h1c_room(vt__h1c_run *run, size_t n) {
    char *p = run->spare;
    n = (n + 15) & ~(size_t)15;
    if ((size_t)((char *)(run->few + VT__H1C_FIELDS) - p) < n) return NULL;
    run->spare += n;
    return p;
}
/* Before the first string of the request is handed out, if it is to be for long: its head leaves the input block. Returns room
 * for n bytes, or NULL. */
static void *vt__h1c_settle(vt__h1c_run *run, size_t n) {
    vt__conn_buf *b = &run->io.in;
    vt_req *req = &run->req;
    run->spare = (char *)(run->few + (run->fields == run->few ? req->nfields : 0));
    if (req->head < b->p || req->head >= b->p + run->base) return NULL; /* it has left */
    size_t len = (size_t)(b->p + run->base - req->head);
    void *room = vt__h1c_room(run, n);
    char *to = vt__h1c_room(run, len);
    if (to || memchr(req->head, 0, len)) {
        (void)(to && vt__req_move(req, to, len));
    } else if (vt__conn_buf_get_for(run->io.thr, &run->held, len)) {
        (void)vt__req_move(req, run->held.p, len);
    }
    return room;
}
/* What came behind the request, block and all, unless its head is still there; false: no memory. */
static bool vt__h1c_take_input(vt__h1c_run *run, vt__conn_buf *to) {
    vt__conn_buf *b = &run->io.in;
    size_t rest = b->len - b->pos;
    if (run->req.head < b->p || run->req.head >= b->p + b->cap) {
        *to = *b;
    } else {
        run->held = *b;
        if (rest && !vt__conn_buf_get_for(run->io.thr, to, rest + 1)) rest = SIZE_MAX;
        else if (rest) memcpy(to->p, b->p + b->pos, to->len = rest);
    }
    memset(b, 0, sizeof *b);
    run->base = 0;
    vt__conn_buf_put(run->io.thr, &run->io.out); /* it is flushed */
    return rest != SIZE_MAX;
}
static bool vt__h1c_stopping(const vt__h1c_run *run) {
    return __atomic_load_n(&run->host->group->stopping, __ATOMIC_SEQ_CST) != 0;
}

/*--- conversation ---*/
/* Answers what has no request to answer to, and means to close. */
static void vt__h1c_bad(vt__h1c_run *run, int status, const char *why) {
    char body[160], fields[160];
    vt_str reason = vt__h1_reason(status);
    int n = snprintf(body, sizeof body, "%.*s: %s\n", (int)reason.len, reason.ptr, why);
    int m = snprintf(
        fields, sizeof fields,
        "Content-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n", n);
    run->closing = run->linger = true;
    __atomic_fetch_add(status == 408 ? &run->host->timeouts : &run->host->bad, 1, __ATOMIC_RELAXED);
    vt_log(VT_LOG_DEBUG, "a request was refused: %d %.*s: %s", status, (int)reason.len, reason.ptr, why);
    if (vt__h1c_put_start(run, status, !run->conf->no_date, true) < 0) return;
    (void)vt__conn_put(&run->io, fields, (size_t)m);
    if (run->head.method != VT__H1_M_HEAD) (void)vt__conn_put(&run->io, body, (size_t)n);
}

/* From when the rest of a head was first waited for (the first one of a connection: from its accept). */
static int64_t vt__h1c_head_until(const vt__h1c_run *run) {
    vt__h1c *c = run->c;
    if (c->since == 0) c->since = vt__plat_now();
    return run->conf->header_ns ? c->since + run->conf->header_ns : 0;
}
/* More input for a head: 1; 0: none of it has come, and there is nothing to read; -1: close. */
static int vt__h1c_more(vt__h1c_run *run) {
    vt__h1c *c = run->c;
    vt__conn_buf *b = &run->io.in;
    bool begun = vt__h1_req_begun(&run->head) || b->len - b->pos == 1; /* a CR that is not to be lost */
    int64_t r;
    if (vt__conn_flush(&run->io) < 0) return -1;
    if (!begun && !vt__conn_readable(&c->conn)) return 0;
    if (VT__UNLIKELY((r = vt__conn_buf_room(run->io.thr, b, run->conf->max_head)) < 0)) {
        if (r == VT_ELIMIT) vt__h1c_bad(run, 431, "head over its limit");
        else vt__h1c_bad(run, 503, "out of memory");
        return -1;
    }
    if (!begun) r = vt__conn_recv_try(&c->conn, b->p + b->len, b->cap - b->len);
    else r = vt__conn_recv(&c->conn, b->p + b->len, b->cap - b->len, vt__h1c_head_until(run));
    if (r == -EAGAIN) return 0;
    if (r == -ETIMEDOUT) vt__h1c_bad(run, 408, "the head did not come in time");
    if (r <= 0) return -1;
    b->len += (size_t)r;
    return 1;
}
/* The next head: 1 when it is complete; 0, -1 as above. */
static int vt__h1c_next(vt__h1c_run *run) {
    vt__conn_buf *b = &run->io.in;
    const vt__h1c_conf *conf = run->conf;
    vt__mem_zero(&run->head, sizeof run->head);
    if (run->c->requests > 0) run->c->since = 0;
    for (;;) {
        int n = 0;
        if (VT__UNLIKELY(run->c->blank) && b->pos < b->len && b->p[b->pos] == '\r') n = VT__H1_E_METHOD;
        else if (b->pos < b->len)
            n = vt__h1_req_parse(&run->head, b->p + b->pos, b->len - b->pos, run->fields, run->fields_cap,
                                 &conf->limits);
        if (VT__LIKELY(n > 0)) {
            run->base = b->pos + (size_t)n;
            return 1;
        }
        if (n == VT__H1_E_FIELDS &&
            run->fields_cap < conf->max_fields) { /* from the start, with room for all */
            memset(&run->head, 0, sizeof run->head);
            if (!vt__conn_buf_get_for(run->io.thr, &run->more, conf->max_fields * sizeof *run->fields)) {
                vt__h1c_bad(run, 503, "out of memory");
                return -1;
            }
            run->fields = (vt__h1_field *)(void *)run->more.p;
            run->fields_cap = conf->max_fields;
            continue;
        }
        if (n < 0) {
            vt__h1c_bad(run, vt__h1_err_status(n), vt__h1_err_name(n));
            return -1;
        }
        if ((n = vt__h1c_more(run)) <= 0) return n;
    }
}

/* What @http wants to know of the head. */
static void vt__h1c_describe(vt__h1c_run *run) {
    const vt__h1_req *h = &run->head;
    vt_req *req = &run->req;
    char *head = run->io.in.p + run->io.in.pos;
    req->head = head;
    req->fields = run->fields;
    req->nfields = h->nfields;
    req->method = (vt_str){head + h->method_off, h->method_len};
    req->target = (vt_str){head + h->target_off, h->target_len};
    req->path = (vt_str){head + h->path_off, h->path_len};
    if (h->path_len == 0 && h->form == VT__H1_ABSOLUTE) req->path = (vt_str){"/", 1};
    req->query = h->flags & VT__H1_HAS_QUERY ? (vt_str){head + h->query_off, h->query_len}
                                             : (vt_str){NULL, 0};
    req->authority = (vt_str){head + h->auth_off, h->auth_len};
    req->body_length = h->flags & VT__H1_CHUNKED ? -1 : h->content_length;
    req->version = (uint8_t)(10 + h->minor);
    req->method_id = h->method;
    req->form = h->form;
    req->keep_alive = (h->flags & VT__H1_KEEP_ALIVE) != 0;
    req->upgrade = (h->flags & VT__H1_UPGRADE) != 0;
}
static void vt__h1c_body_begin(vt__h1c_run *run) {
    const vt__h1_req *h = &run->head;
    run->io.in.pos = run->base;
    run->data = (vt_str){NULL, 0};
    run->left = h->content_length;
    run->waited = run->until = 0;
    run->body = run->left ? VT__H1C_BODY_LENGTH : VT__H1C_BODY_END;
    if (h->flags & VT__H1_CHUNKED) {
        run->body = VT__H1C_BODY_CHUNKED;
        memset(&run->chunk, 0, sizeof run->chunk);
    }
    run->expect = (h->flags & VT__H1_EXPECT_100) != 0;
}
/* Gives back what only this request needed. */
static void vt__h1c_release(vt__h1c_run *run) {
    vt__mem_arena_reset(&run->arena);
    if (VT__UNLIKELY(run->held.p != NULL)) vt__conn_buf_put(run->io.thr, &run->held);
    if (VT__UNLIKELY(run->more.p != NULL)) {
        vt__conn_buf_put(run->io.thr, &run->more);
        run->fields = run->few;
        run->fields_cap = VT__MIN(VT__H1C_FIELDS, run->conf->max_fields);
    }
    run->base = 0;
}
/* One request; true: another may follow. */
static bool vt__h1c_request(vt__h1c_run *run) {
    vt__h1c *c = run->c;
    vt_req *req = &run->req;
    bool client_stays = (run->head.flags & VT__H1_KEEP_ALIVE) != 0;
    c->requests++;
    c->blank = false;
    __atomic_fetch_add(&run->host->requests, 1, __ATOMIC_RELAXED);
    vt__req_init(req, &run->res, run->host->group->server, run->wire, run, &run->arena);
    vt__h1c_describe(run);
    vt__h1c_body_begin(run);
    run->head_sent = false;
    run->handling = true;
    int r = run->head.flags & VT__H1_EXPECT_OTHER ? vt__http_refuse(req, &run->res, 417)
                                                  : vt__http_serve(req, &run->res);
    bool keep = r == 0 && !run->closing && req->keep_alive && run->io.err == 0 && !run->gone;
    if (VT__UNLIKELY(r < 0)) run->cut = true;
    if (keep && VT__UNLIKELY(!vt__h1c_body_done(run))) keep = vt__h1c_drain(run);
    if (!keep && (client_stays || !vt__h1c_body_done(run)))
        run->linger = !run->parted; /* it may be sending */
    run->handling = false;
    if (run->watched) {
        vt__poll_clear(&c->conn.pd, VT__PD_WATCH | VT__PD_WATCH_FIN);
        run->watched = false;
    }
    vt__sched_afresh(run->v);
    vt__h1c_release(run);
    return keep;
}

/*--- the vthread ---*/
static void vt__h1c_begin(vt__h1c_run *run, vt__h1c *c) {
    vt__thr *thr = vt__sched_thr();
    vt__pd *pd = &c->conn.pd;
    if (pd->dom != thr->dom && vt__poll_bits(pd) & VT__PD_ADDED)
        vt__poll_remove(pd); /* another worker took the task */
    vt__mem_zero(run, offsetof(vt__h1c_run, head));
    if (c->since == 0) c->since = thr->now;
    vt__sched_dom_lock(thr->dom);
    c->host = &c->host->group->hosts[thr->dom->index];
    c->run = run;
    c->thr = thr;
    vt__ds_list_push(&c->host->running, &c->link);
    vt__sched_dom_unlock(thr->dom);
    run->io.c = &c->conn;
    run->io.thr = thr;
    run->c = c;
    run->host = c->host;
    run->conf = &c->host->group->conf;
    run->wire = c->wire;
    run->io.write_ns = run->conf->write_ns;
    run->fields = run->few;
    run->fields_cap = VT__MIN(VT__H1C_FIELDS, run->conf->max_fields);
    run->chunk_at = SIZE_MAX;
    vt__mem_arena_init(&run->arena, &thr->block_pool, 0);
    run->v = vt__sched_self();
    run->v->task = &c->start.task;
    vt__sched_on_park(run->v, vt__h1c_on_park, run);
}
/* Takes the lock of a run's domain when no note to it is on its way: one that came later would find another run, perhaps of
 * another connection and on another thread. */
static vt__dom *vt__h1c_last_word(vt__h1c_run *run) {
    vt__dom *dom = run->host->dom;
    vt__sched_dom_lock(dom);
    if (VT__LIKELY(!__atomic_load_n(&run->c->noted, __ATOMIC_ACQUIRE))) return dom;
    vt_shield(true);
    do {
        vt__sched_dom_unlock(dom);
        (void)vt_yield(); /* to the mail */
        vt__sched_dom_lock(dom);
    } while (__atomic_load_n(&run->c->noted, __ATOMIC_ACQUIRE));
    vt_shield(false);
    return dom;
}
/* What a run has is given back, and the lock of its domain taken: its connection is to go on from there. */
static vt__dom *vt__h1c_leave(vt__h1c_run *run) {
    vt__dom *dom = vt__h1c_last_word(run);
    vt__conn_buf_put(run->io.thr, &run->io.in);
    vt__conn_buf_put(run->io.thr, &run->io.out);
    vt__h1c_release(run);
    if (VT__UNLIKELY(run->flushing)) vt__poll_clear(&run->c->conn.pd, VT__PD_FLUSH);
    vt__sched_on_park(run->v, NULL, NULL);
    run->v->task = NULL; /* what the vthread still does, it does without the connection */
    run->c->run = NULL;
    vt__ds_list_remove(&run->c->link);
    return dom;
}
/* Sends what is left and closes. A response that was to be ended by close, and is cut off, ends with RST. */
static void vt__h1c_finish(vt__h1c_run *run) {
    vt__h1c *c = run->c;
    bool shown = run->cut && run->head_sent && run->res.framing == VT__HTTP_CLOSE;
    vt_shield(true); /* a cancelled handler's answer is sent all the same */
    if (!run->gone) (void)vt__h1c_flush(run);
    if (!run->gone && !shown) vt__conn_end(&run->io);
    vt_shield(false);
    /* input, or much output that is still on its way: what comes late must not take it away */
    bool linger = run->linger || run->io.in.pos < run->io.in.len || vt__poll_bits(&c->conn.pd) & VT__PD_R ||
                  (run->head_sent && run->res.bytes > VT__H1C_LARGE);
    if (run->io.err < 0 || run->gone || vt__poll_bits(&c->conn.pd) & VT__PD_HUP) linger = false;
    if (shown) {
        struct linger now = {1, 0};
        (void)vt__plat_setsockopt(c->conn.pd.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        linger = false;
    }
    vt__dom *dom = vt__h1c_leave(run);
    if (linger) vt__h1c_linger(c);
    else vt__h1c_close(c);
    vt__sched_dom_unlock(dom);
}
/* Parks; false: there is input. After true the connection is no longer ours. */
VT__INLINE bool vt__h1c_park(vt__h1c_run *run) {
    vt__h1c *c = run->c;
    const vt__h1c_conf *conf = run->conf;
    int list = c->requests ? VT__H1C_IDLE : VT__H1C_FRESH;
    int64_t time = c->requests ? conf->idle_ns : conf->header_ns;
    int64_t due = time ? (c->requests ? run->io.thr->now : c->since) + time : INT64_MAX;
    bool added = vt__poll_add(c->host->dom, &c->conn.pd) >= 0;
    c->blank = c->blank || run->io.in.pos < run->io.in.len;
    c->why = VT__H1C_INPUT;
    vt__dom *dom = vt__h1c_leave(run);
    bool gone = !added || vt__h1c_arm(c, list, due);
    if (!added) vt__h1c_close(c);
    vt__sched_dom_unlock(dom);
    if (!gone) vt__h1c_begin(run, c);
    return gone;
}
static int vt__h1c_main(void *arg) {
    vt__h1c_run run;
    vt__h1c *c = arg;
    bool expired = c->why == VT__H1C_EXPIRED, last = false;
    vt__h1c_begin(&run, c);
    for (;;) {
        int r = vt__h1c_next(&run);
        if (VT__LIKELY(r > 0)) {
            expired = false;
            if (!vt__h1c_request(&run)) break;
            vt__sched_fuel(run.v);
            continue;
        }
        bool stopping = __atomic_load_n(&run.host->group->stopping, __ATOMIC_ACQUIRE) != 0;
        if (r == 0 && expired && !stopping) __atomic_fetch_add(&run.host->timeouts, 1, __ATOMIC_RELAXED);
        if (r < 0 || expired || last) break;
        if (stopping) {
            last =
                true; /* the answer before was sent without Connection: close: there may be one more request */
            vt__poll_set(&c->conn.pd, VT__PD_R);
        } else if (vt__h1c_park(&run)) {
            return 0;
        }
    }
    vt__h1c_finish(&run);
    return 0;
}

/*--- a TLS connection's vthread, before the first request ---*/
/* The value of a Host field in the lines of a head, or len 0. */
static vt_str vt__h1c_lost_host(vt_str head) {
    const char *p = head.ptr, *end = head.ptr + head.len, *lf;
    for (; (lf = memchr(p, '\n', (size_t)(end - p))) != NULL; p = lf + 1)
        if (lf - p > 5 && vt__str_eq_ci((vt_str){p, 5}, VT__STR_LIT("host:")))
            return vt__str_trim((vt_str){p + 5, (size_t)(lf - p - 5 - (lf[-1] == '\r'))});
    return (vt_str){NULL, 0};
}
/* Where `head` is to go instead: "host:port/path?query" is put out; false: that cannot be told. */
static bool vt__h1c_lost_to(vt__h1c_run *run, vt_str head) {
    vt_str host = vt__h1c_lost_host(head);
    const char *sp = memchr(head.ptr, ' ', head.len), *from = sp ? sp + 1 : NULL, *to = from;
    vt__uri_auth auth;
    char port[24];
    while (to && to<head.ptr + head.len && * to> ' ' && *to < 0x7f) to++;
    if (!from || *from != '/' || *to != ' ' || !host.len || vt__uri_authority(host, &auth) < 0) return false;
    size_t n = (size_t)snprintf(port, sizeof port, ":%d", vt__io_port_of(run->c->conn.pd.fd));
    if (vt__h1c_put_start(run, 308, !run->conf->no_date, true) < 0) return true;
    (void)vt__conn_put(&run->io, "Location: https://", 18);
    (void)vt__conn_put(&run->io, auth.host.ptr, auth.host.len);
    (void)vt__conn_put(&run->io, port, n);
    (void)vt__conn_put(&run->io, from, (size_t)(to - from));
    (void)vt__conn_put(&run->io, "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", 42);
    return true;
}
/* Plain HTTP where TLS is spoken is told so. Its head is not parsed (that code is inlined where it is hot): as far as it
 * fits in a block it is looked at. */
static void vt__h1c_lost(vt__h1c_run *run) {
    vt__h1c *c = run->c;
    vt__conn_buf *b = &run->io.in;
    int plain = vt__tls_gate_plain(c->gate);
    bool whole = false;
    c->conn.ops->bare(&c->conn);
    if (plain == VT_TLS_PLAIN_CLOSE || !vt__conn_buf_get(run->io.thr, b)) return;
    while (!whole && b->len < b->cap) {
        int64_t r = vt__io_recv(&c->conn.pd, b->p + b->len, b->cap - b->len, vt__h1c_head_until(run));
        if (r <= 0) return;
        b->len += (size_t)r;
        for (size_t i = 0; i + 4 <= b->len && !whole; i++) whole = memcmp(b->p + i, "\r\n\r\n", 4) == 0;
    }
    vt__mem_zero(&run->head, sizeof run->head);
    if (b->len > 5 && memcmp(b->p, "HEAD ", 5) == 0) run->head.method = VT__H1_M_HEAD; /* no body, please */
    b->pos = b->len;
    run->closing = run->linger = true;
    if (whole && plain == VT_TLS_PLAIN_REDIRECT && vt__h1c_lost_to(run, (vt_str){b->p, b->len})) return;
    vt__h1c_bad(run, 400, "this port speaks TLS: the address begins with https://");
}
/* As far as the input goes, in the time that a head has; under a stop, a handshake that has begun is waited for. */
static int vt__h1c_hello_step(vt__h1c_run *run, bool expired) {
    vt__h1c *c = run->c;
    int64_t until = vt__h1c_head_until(run), due;
    for (;;) {
        int r = vt__tls_step(&c->conn, c->gate, until);
        bool stopping = __atomic_load_n(&run->host->group->stopping, __ATOMIC_ACQUIRE) != 0;
        int64_t now = vt__plat_now();
        if (r == VT__TLS_WAIT && ((expired && !stopping) || (until && now >= until))) r = -ETIMEDOUT;
        if (r == -ETIMEDOUT) __atomic_fetch_add(&run->host->timeouts, 1, __ATOMIC_RELAXED);
        if (r != VT__TLS_WAIT || !stopping) return r;
        if (!vt__tls_begun(&c->conn)) return VT_ESTOPPED;
        due = now + VT__H1C_LINGER_NS;
        if (until && until < due) due = until;
        if ((r = vt__sched_enter(run->v, due, &due)) < 0 || (r = vt__io_wait(&c->conn.pd, VT__PD_R, due)) < 0)
            return r;
    }
}
static void vt__h1c_hello_over(vt__h1c_run *run) {
    vt__h1c *c = run->c;
    vt_shield(true);
    bool linger = vt__conn_flush(&run->io) == 0 && (run->linger || vt__poll_bits(&c->conn.pd) & VT__PD_R);
    vt_shield(false);
    vt__dom *dom = vt__h1c_leave(run);
    if (linger) vt__h1c_linger(c);
    else vt__h1c_close(c);
    vt__sched_dom_unlock(dom);
}
/* True: requests may follow. Else the connection is parked, like one that has not said anything yet, or on its way out. */
static VT__NOINLINE bool vt__h1c_hello(vt__h1c *c) {
    vt__h1c_run run;
    bool expired = c->why == VT__H1C_EXPIRED;
    int r;
    vt__h1c_begin(&run, c);
    while ((r = vt__h1c_hello_step(&run, expired)) == VT__TLS_WAIT) {
        if (vt__h1c_park(&run)) return false;
        expired = false;
    }
    if (r == VT__TLS_PLAIN) vt__h1c_lost(&run);
    if (r != VT__TLS_DONE) {
        vt__h1c_hello_over(&run);
        return false;
    }
    c->start.fn = vt__h1c_main;
    c->why = VT__H1C_INPUT;
    c->since = 0; /* the head has its own time */
    vt__sched_dom_unlock(vt__h1c_leave(&run));
    return true;
}
static int vt__h1c_main_tls(void *arg) { return vt__h1c_hello(arg) ? vt__h1c_main(arg) : 0; }

/*--- for @srv ---*/
static void vt__h1c_host_init(vt__h1c_host *h, vt__h1c_group *g, vt__dom *dom) {
    memset(h, 0, sizeof *h);
    h->group = g;
    h->dom = dom;
    for (int i = 0; i < 3; i++) vt__ds_list_init(&h->parked[i]);
    vt__ds_list_init(&h->running);
    vt__timer_init(&h->sweep, vt__h1c_sweep);
}
static void vt__h1c_host_drop(vt__h1c_host *h) {
    for (vt__h1c_slab *s = h->slabs, *next; s; s = next) {
        next = s->next;
        vt__mem_free(s);
    }
    h->slabs = NULL;
    h->free = h->returned = NULL;
}
static vt__h1c *vt__h1c_new(vt__h1c_host *h) {
    if (!h->free && __atomic_load_n(&h->returned, __ATOMIC_RELAXED))
        h->free = __atomic_exchange_n(&h->returned, NULL, __ATOMIC_ACQUIRE);
    if (!h->free) {
        vt__h1c_slab *s = vt__mem_zalloc(sizeof *s);
        if (!s) return NULL;
        s->next = h->slabs;
        h->slabs = s;
        for (size_t i = VT__H1C_SLAB; i-- > 0;) {
            s->conns[i].run = (vt__h1c_run *)(void *)h->free;
            s->conns[i].home = h;
            h->free = &s->conns[i];
        }
    }
    vt__h1c *c = h->free;
    h->free = (vt__h1c *)(void *)c->run;
    return c;
}
/* Takes an accepted descriptor, which `open` counts already; gate: of its TLS listener. Under the lock. */
static void vt__h1c_accept(vt__h1c_host *h, int fd, const vt__addr *peer, vt__tls_gate *gate) {
    vt__h1c *c = vt__h1c_new(h);
    if (!c) {
        (void)vt__plat_close(fd);
        __atomic_fetch_sub(&h->group->open, 1, __ATOMIC_SEQ_CST);
        return;
    }
    vt__conn_open(&c->conn, fd);
    c->conn.pd.sink = vt__h1c_sink;
    vt__sched_start_init(&c->start, gate ? vt__h1c_main_tls : vt__h1c_main, c, "connection");
    c->gate = gate;
    c->wire = gate ? &vt__h1c_wire_tls : &vt__h1c_wire;
    if (gate) vt__tls_accept(&c->conn);
    vt__ds_list_init(&c->link);
    c->host = h;
    c->run = NULL;
    c->since = 0;
    c->requests = 0;
    c->unsaid = 0;
    c->blank = false;
    c->peer_len = (uint8_t)VT__MIN((size_t)peer->len, sizeof c->peer);
    memcpy(&c->peer, &peer->u, c->peer_len);
    vt__plat_count(&h->accepted, 1);
    vt__h1c_submit(c, VT__H1C_INPUT);
}
/* Nothing is left to keep a connection with: it is told so, as far as its socket takes the words at once. */
static void vt__h1c_turn_away(const vt__h1c_conf *conf, int fd) {
    vt__conn conn;
    char scratch[4096];
    memset(&conn, 0, sizeof conn);
    vt__conn_open(&conn, fd);
    (void)vt__conn_recv_try(&conn, scratch, sizeof scratch); /* unread, it would make the close a reset */
    (void)vt__h1c_say_no(conf, &conn, conf->refusal_len);
    (void)vt__conn_shutdown(&conn);
    (void)vt__conn_close(&conn);
}
/* group->stopping is set: sends the idle connections to their end, which looks for input one last time. */
static void vt__h1c_host_stop(vt__h1c_host *h) {
    for (vt__list *n = h->running.next; n != &h->running; n = n->next)
        vt__h1c_tell(VT__CONTAINER(n, vt__h1c, link), VT__H1C_STOP);
    for (int i = VT__H1C_FRESH; i <= VT__H1C_IDLE; i++)
        for (vt__list *n = h->parked[i].next, *next; n != &h->parked[i]; n = next) {
            next = n->next;
            vt__h1c_expire(VT__CONTAINER(n, vt__h1c, link));
        }
}
/* Cancels what still runs, refuses what waits, closes what lingers; names the requests in the log. */
static void vt__h1c_host_kill(vt__h1c_host *h) {
    vt__h1c_queue_expire(h, INT64_MAX);
    for (vt__list *n = h->running.next; n != &h->running; n = n->next)
        vt__h1c_tell(VT__CONTAINER(n, vt__h1c, link), VT__H1C_KILL);
    vt__list *list = &h->parked[VT__H1C_LINGER];
    for (vt__list *n = list->next, *next; n != list; n = next) {
        next = n->next;
        vt__h1c_expire(VT__CONTAINER(n, vt__h1c, link));
    }
}
/* No connection is left. */
static void vt__h1c_host_quit(vt__h1c_host *h) { vt__timer_cancel(&h->dom->wheel, &h->sweep); }

/*==============================================================================
 * MARK: - @wsc     WebSocket connections
 * uses:   @api_ws @plat @mem @str @log @h1 @ws @poll @sched @self @sync @io @router @req @res @http @conn @h1c
 * test:   tests/e2e_ws.c tests/test_wsc.c
 *
 * A vt_ws is a vt__conn, a decoder and two buffers. Both are given back while nothing is in them, so that an idle one costs
 * its vthread's page and no more: the object stands where the handshake's fields left room (vt__h1c_room).
 *
 * Input is one vthread's at a time. Output is whoever's holds `mu`; who cannot wait for it (the reader with a pong) leaves a
 * note, which the holder carries out as it unlocks. Only the handler's vthread, whose parks call vt__wsc_on_park, leaves
 * bytes in the output block; everybody else sends all that is there before he unlocks.
 *
 *     OPEN --vt_ws_close, a violation, the handler's end--> closing (sent) --peer's frame, or time--> CLOSED
 *      \---peer's close frame: answered with its code-----------------------------------------------> CLOSED
 *
 * No extension is spoken: none is offered, what clients offer is not answered, and every reserved bit is an error. One would
 * be agreed on where vt__wsc_shake and vt__wsc_switch (servers) and vt__ws_shake_response (clients) look at the handshake;
 * vt__wsc_init allows its bits (dec.rsv), vt__wsc_recv and vt__wsc_read see them on a message (dec.msg_rsv), and the
 * first byte of vt__wsc_put sets them.
 *============================================================================*/
enum { VT__WSC_PONG = 1, VT__WSC_PING = 2, VT__WSC_CLOSE = 4 }; /* notes */
enum { VT__WSC_GATHER = 4096, VT__WSC_KEYS = 32, VT__WSC_LARGE = 65536 };
enum { VT__WSC_TICK = 1 };      /* of vt__wsc_wait */
#define VT__WSC_DEAF_NS VT_SEC  /* who sends hears control frames when nothing was received for so long */
#define VT__WSC_NOW (INT64_MIN) /* until: nothing is waited for, and no message begun */

struct vt_ws {
    vt__conn_io io; /* in: received and not consumed; out and err: under mu */
    vt__ws_in dec;
    vt__conn_buf msg; /* what is put together, and the program's until it receives again */
    vt_mutex mu;
    vt_cond turn;     /* a message in fragments has ended */
    vt__vth *writer;  /* ... whose it is */
    vt__vth *owner;   /* who runs vt__wsc_on_park; NULL: nobody */
    vt__thr *home;    /* where it is received */
    vt__h1c_run *run; /* NULL: a client's */
    char *end;        /* the byte under the NUL behind the last message, if that stands in io.in */
    int64_t ping_ns, pong_ns, close_ns;
    int64_t heard, asked; /* when something came; when it was pinged since, 0: not */
    int64_t closing;      /* when our close frame was sent, 0: not */
    int err;              /* why nothing is received any more */
    uint16_t code, told;  /* the peer's close code; the one that a close frame of ours is to carry, */
    const char *words;    /* and its reason */
    uint8_t noted, pong_len;
    uint8_t begun; /* vt_ws_begin: the first byte of the next fragment */
    char was;      /* the byte at `end` */
    bool kept;     /* the owner has the lock, from one send to the next */
    bool inside;   /* a frame's payload is under way */
    bool streams;  /* vt_ws_next */
    bool reading;  /* a call that receives is under way */
    bool fin, stopping;
    bool closed; /* the peer's close frame has come */
    bool large;  /* its messages are larger than a block: it reads into larger ones */
    bool apart;  /* in memory of its own */
    uint8_t *pong;
    char *reason;
    vt_str protocol;
    uint32_t *keys; /* a client's, the next VT__WSC_KEYS */
    void *base;     /* a client's: the call that has the connection */
    uint32_t nkeys;
};

/*--- output; under mu ---*/
/* Takes the lock unless somebody has it; then he gets a note, a pong's payload with it. Any context on any thread. */
static bool vt__wsc_try(vt_ws *ws, unsigned note, const void *p, size_t n) {
    vt__sync_lock(&ws->mu.flags, &ws->mu.spin);
    bool got = !ws->mu.held;
    if (got) {
        ws->mu.held = 1;
        ws->mu.owner = NULL;
    } else if (note) {
        if (note & VT__WSC_PONG && !ws->pong)
            note &= ~(unsigned)VT__WSC_PONG; /* no memory: the next ping's */
        if (note & VT__WSC_PONG) memcpy(ws->pong, p, ws->pong_len = (uint8_t)n);
        ws->noted |= (uint8_t)note;
    }
    vt__sync_unlock(&ws->mu.flags, &ws->mu.spin);
    return got;
}
/* A note that is to be heeded, and the payload of a pong. Under the lock's spin lock. */
static unsigned vt__wsc_noted(vt_ws *ws, uint8_t pong[VT__WS_CONTROL_MAX], size_t *n) {
    unsigned noted = ws->noted;
    ws->noted = 0;
    if (noted & VT__WSC_PONG) memcpy(pong, ws->pong, *n = ws->pong_len);
    return noted;
}
/* Hands the lock on, unless there is a note that is to be heeded. turn: who waits for his, from that moment on. */
static unsigned vt__wsc_hand_on(vt_ws *ws, bool heed, uint8_t pong[VT__WS_CONTROL_MAX], size_t *n,
                                vt__waiter *turn) {
    vt__sync_lock(&ws->mu.flags, &ws->mu.spin);
    unsigned noted = VT__UNLIKELY(ws->noted) && heed ? vt__wsc_noted(ws, pong, n) : 0;
    vt__waiter *w = noted ? NULL : ws->mu.q.head;
    if (VT__UNLIKELY(turn != NULL) && !noted) {
        vt__sync_lock(&ws->turn.flags, &ws->turn.spin);
        vt__sync_enqueue(turn, vt__sched_self(), &ws->turn.q, &ws->turn.flags, &ws->turn.spin);
    }
    if (w) vt__sync_unlink(&ws->mu.q, w);
    else if (!noted) ws->mu.held = 0;
    if (!noted) ws->mu.owner = w ? w->v : NULL;
    vt__sync_unlock(&ws->mu.flags, &ws->mu.spin);
    if (w) vt__sched_ready(w->v);
    return noted;
}
/* A client's next mask: strong random bytes (RFC 6455 10.3), some at a time. */
static uint32_t vt__wsc_key(vt_ws *ws) {
    if (ws->nkeys == 0) vt__plat_random(ws->keys, VT__WSC_KEYS * sizeof *ws->keys), ws->nkeys = VT__WSC_KEYS;
    return ws->keys[--ws->nkeys];
}
/* A client's frame, masked into the block piece by piece. */
static int vt__wsc_put_masked(vt_ws *ws, unsigned first, const uint8_t *p, size_t n) {
    uint32_t key = vt__wsc_key(ws);
    char *to = vt__conn_room(&ws->io, VT__WS_HEAD_MAX);
    if (!to) return ws->io.err;
    ws->io.out.len += vt__ws_put_head((uint8_t *)to, first, n, &key);
    while (n > 0 && (to = vt__conn_room(&ws->io, 4)) != NULL) {
        size_t k = VT__MIN(n, ws->io.out.cap - ws->io.out.len);
        vt__ws_mask((uint8_t *)to, p, k, key);
        key = vt__ws_turn(key, k);
        ws->io.out.len += k;
        p += k, n -= k;
    }
    return ws->io.err;
}
static VT__NOINLINE int vt__wsc_put_slow(vt_ws *ws, unsigned first, const void *p, size_t n) {
    if (ws->keys) return vt__wsc_put_masked(ws, first, p, n);
    uint8_t head[VT__WS_HEAD_MAX];
    struct iovec v[3] = {{NULL, 0}, {head, vt__ws_put_head(head, first, n, NULL)}, {(char *)(uintptr_t)p, n}};
    return vt__conn_send_behind(&ws->io, v, 3);
}
VT__INLINE int vt__wsc_put_at(vt_ws *ws, char *to, unsigned first, const void *p, size_t n) {
    size_t k = vt__ws_put_head((uint8_t *)to, first, n, NULL);
    ws->io.out.len += k + n;
    if (n) memcpy(to + k, p, n);
    return 0;
}
static int vt__wsc_put(vt_ws *ws, unsigned first, const void *p, size_t n) {
    ws->io.thr = vt__sched_thr(); /* whose pool a block comes from, and goes to */
    if (VT__UNLIKELY(n > VT__WSC_GATHER || ws->keys)) return vt__wsc_put_slow(ws, first, p, n);
    char *to = vt__conn_room(&ws->io, n + VT__WS_HEAD_MAX);
    return VT__LIKELY(to != NULL) ? vt__wsc_put_at(ws, to, first, p, n) : ws->io.err;
}
static void vt__wsc_flush(vt_ws *ws) {
    ws->io.thr = vt__sched_thr();
    (void)vt__conn_flush(&ws->io);
    vt__conn_buf_put(ws->io.thr, &ws->io.out);
}
static int vt__wsc_put_close(vt_ws *ws, int code, const char *reason) {
    uint8_t payload[VT__WS_CONTROL_MAX];
    if (ws->closing) return VT_EWSCLOSED;
    size_t n = vt__ws_close_put(payload, code, vt__str_of(reason ? reason : ""));
    int r = vt__wsc_put(ws, VT__WS_FIN | VT__WS_CLOSE, payload, n);
    __atomic_store_n(&ws->closing, vt__plat_now(), __ATOMIC_RELAXED);
    vt_cond_broadcast(&ws->turn);
    return r;
}
/* A control frame of our own accord. */
static void vt__wsc_say(vt_ws *ws, unsigned what, const void *p, size_t n) {
    if (what & VT__WSC_PONG && !ws->closing) (void)vt__wsc_put(ws, VT__WS_FIN | VT__WS_PONG, p, n);
    if (what & VT__WSC_PING && !ws->closing) (void)vt__wsc_put(ws, VT__WS_FIN | VT__WS_PING, NULL, 0);
    if (what & VT__WSC_CLOSE) (void)vt__wsc_put_close(ws, ws->told, ws->words);
}
static VT__NOINLINE void vt__wsc_release_to(vt_ws *ws, vt__waiter *turn) {
    uint8_t pong[VT__WS_CONTROL_MAX];
    size_t n = 0;
    for (unsigned noted;; vt__wsc_say(ws, noted, pong, n)) {
        if (ws->owner != vt__sched_self() && ws->io.out.p) vt__wsc_flush(ws);
        if ((noted = vt__wsc_hand_on(ws, true, pong, &n, turn)) == 0) return;
    }
}
static void vt__wsc_release(vt_ws *ws) { vt__wsc_release_to(ws, NULL); }
static VT__NOINLINE int vt__wsc_unlock_other(vt_ws *ws, int r) {
    if (ws->io.out.p) vt__wsc_flush(ws);
    if (r == 0) r = ws->io.err;
    vt__wsc_release(ws);
    return r;
}
/* The handler keeps the lock until it parks or reads: what it sends does not go out before that either. r, or why it did not
 * go out. */
VT__INLINE int vt__wsc_unlock(vt_ws *ws, int r) {
    if (VT__UNLIKELY(ws->owner != vt__sched_self())) return vt__wsc_unlock_other(ws, r);
    ws->kept = true;
    return r;
}
/* Says it now, or has whoever is sending say it. */
static void vt__wsc_control(vt_ws *ws, unsigned what, const void *p, size_t n) {
    bool kept = ws->owner == vt__sched_self() && ws->kept;
    if (!kept && !vt__wsc_try(ws, what, p, n)) return;
    vt__wsc_say(ws, what, p, n);
    if (!kept) vt__wsc_release(ws);
}
/*--- the handler's vthread ---*/
static int vt__wsc_flush_try(vt_ws *ws) {
    vt__pd *pd = &ws->io.c->pd;
    ws->io.thr = vt__sched_thr();
    int r = vt__conn_flush_try(&ws->io);
    while (r == -EAGAIN) {
        ws->run->flushing = vt__poll_add(ws->io.thr->dom, pd) == 0;
        if (!ws->run->flushing || vt__poll_want_room(pd)) return r;
        r = vt__conn_flush_try(&ws->io);
    }
    vt__conn_buf_put(ws->io.thr, &ws->io.out);
    return r;
}
/* Nothing can be sent any more, and no call of the handler's has told it: as if the peer had gone. */
static void vt__wsc_lost(vt_ws *ws) {
    if (ws->run->gone || ws->run->conf->cancel_on == VT_CANCEL_NEVER) return;
    ws->run->gone = true;
    vt__sched_cancel(&ws->run->c->start.task);
}
/* What the socket takes at once goes out, and the rest as it takes more. Notes are heeded with an empty block alone: nothing
 * here may park. */
static void vt__wsc_flush_parked(void *arg) {
    vt_ws *ws = arg;
    uint8_t pong[VT__WS_CONTROL_MAX];
    size_t n = 0;
    if (ws->kept) ws->kept = false;
    else if (!vt__wsc_try(ws, 0, NULL, 0)) return; /* who has the lock sends it */
    for (unsigned noted;; vt__wsc_say(ws, noted, pong, n)) {
        int r = vt__wsc_flush_try(ws);
        if (VT__UNLIKELY(r < 0 && r != -EAGAIN)) vt__wsc_lost(ws);
        if ((noted = vt__wsc_hand_on(ws, r == 0, pong, &n, NULL)) == 0) return;
    }
}
/* Who waits for anything but input hears of the end of it, too: nothing can be said to who ended only one half. */
static void vt__wsc_watch(vt_ws *ws) {
    vt__pd *pd = &ws->io.c->pd;
    bool fin = !ws->reading && !ws->closed;
    if (ws->fin != fin && ws->run->watched && !ws->run->gone) {
        ws->run->watched = false;
        vt__poll_clear(pd, VT__PD_WATCH | VT__PD_WATCH_FIN);
    }
    ws->fin = fin;
    if (!ws->run->watched) vt__h1c_watch(ws->run, fin);
}
static void vt__wsc_on_park(void *arg) {
    vt_ws *ws = arg;
    vt__wsc_flush_parked(ws);
    vt__wsc_watch(ws);
}

/*--- input ---*/
/* Its end; the first reason stays. */
static int vt__wsc_over(vt_ws *ws, int err) {
    if (!ws->err) ws->err = err;
    if (!ws->code) ws->code = 1006;
    return err;
}
/* What the peer did wrong: it is told, and nothing it sends is heard any more. */
static int vt__wsc_fail(vt_ws *ws, int err, int code, const char *why) {
    vt_log(VT_LOG_DEBUG, "a WebSocket is closed with %d: %s", code, why);
    ws->told = (uint16_t)code, ws->words = why;
    vt__wsc_control(ws, VT__WSC_CLOSE, NULL, 0);
    return vt__wsc_over(ws, err);
}
static int vt__wsc_bad(vt_ws *ws, int rc) {
    int code = vt__ws_err_code(rc);
    return vt__wsc_fail(ws,
                        code == 1007   ? VT_EWSTEXT
                        : code == 1009 ? VT_EWSLARGE
                                       : VT_EWSPROTO,
                        code, vt__ws_err_name(rc));
}
/* When this end has something to do without input. */
static int64_t vt__wsc_due(const vt_ws *ws) {
    int64_t closing = __atomic_load_n(&ws->closing, __ATOMIC_RELAXED);
    if (closing) return ws->close_ns ? closing + ws->close_ns : INT64_MAX;
    if (ws->asked) return ws->asked + ws->pong_ns;
    return ws->ping_ns ? ws->heard + ws->ping_ns : INT64_MAX;
}
static int vt__wsc_tick(vt_ws *ws, int64_t now) {
    if (now < vt__wsc_due(ws)) return 0;
    if (__atomic_load_n(&ws->closing, __ATOMIC_RELAXED)) return vt__wsc_over(ws, VT_EEOF);
    if (ws->asked) return vt__wsc_fail(ws, VT_EWSPONG, 1011, "no pong in time");
    vt__wsc_control(ws, VT__WSC_PING, NULL, 0);
    if (ws->pong_ns) ws->asked = now;
    else ws->heard = now;
    return 0;
}
/* Until there is input: 0, VT__WSC_TICK, or < 0. */
static int vt__wsc_wait(vt_ws *ws, vt__vth *v, int64_t until) {
    int64_t due, own = vt__wsc_due(ws);
    int r = vt__sched_enter(v, until, &due);
    if (r < 0) return r;
    bool mine = own < INT64_MAX && (!due || own < due);
    r = vt__io_wait(&ws->io.c->pd, VT__PD_R, mine ? own : due);
    if (r == -ETIMEDOUT)
        vt__poll_set(&ws->io.c->pd, VT__PD_R); /* a stall of ours may have delayed the event */
    return r == -ETIMEDOUT && mine ? VT__WSC_TICK : r;
}
/* Into p, or behind what the block holds: > 0 bytes, 0 the end, < 0. Never parks. A byte of the block is left for a NUL. */
static int64_t vt__wsc_try_get(vt_ws *ws, vt__thr *thr, char *p, size_t n) {
    vt__conn *c = ws->io.c;
    vt__conn_buf *b = &ws->io.in;
    if (!c->ops && !vt__conn_readable(c)) return -EAGAIN;
    if (p) return vt__conn_recv_try(c, p, n);
    if (ws->large && !b->p) (void)vt__conn_buf_get_for(thr, b, VT__WSC_LARGE);
    if (vt__conn_buf_room(thr, b, VT__BUF_BYTES) < 0) return -ENOMEM;
    int64_t r = vt__conn_recv_try(c, b->p + b->len, b->cap - b->len - 1);
    if (r > 0) b->len += (size_t)r;
    return r;
}
/* What came of it: > 0, or < 0, for good unless it is the program's own affair. */
VT__INLINE int64_t vt__wsc_got(vt_ws *ws, vt__thr *thr, int64_t r) {
    if (VT__LIKELY(r > 0)) {
        ws->heard = thr->now, ws->asked = 0;
        bool late = VT__UNLIKELY(__atomic_load_n(&ws->closing, __ATOMIC_RELAXED)) &&
                    vt__plat_now() >= vt__wsc_due(ws); /* or who goes on sending would never be left */
        return late ? vt__wsc_over(ws, VT_EEOF) : r;
    }
    if (r == -ECANCELED && __atomic_load_n(&ws->stopping, __ATOMIC_RELAXED)) return VT_ESTOPPED;
    bool own = r == -ECANCELED || r == -ENOMEM || r == -EBUSY || r == -EAGAIN;
    return own ? r : vt__wsc_over(ws, r == 0 ? VT_EEOF : (int)r);
}
/* The same, and waits: > 0 or < 0. Without a byte in it the block is given back meanwhile. */
static int64_t vt__wsc_get(vt_ws *ws, char *p, size_t n, int64_t until) {
    vt__vth *v = vt__sched_self();
    int64_t r;
    int waited = 0;
    if (VT__LIKELY(until != VT__WSC_NOW)) vt__sched_fuel(v);
    if (ws->kept && ws->owner == v && vt__conn_readable(ws->io.c)) ws->kept = false, vt__wsc_release(ws);
    for (;;) {
        r = vt__sched_cancelled(v) ? -ECANCELED : vt__wsc_try_get(ws, v->thr, p, n);
        if (r != -EAGAIN || until == VT__WSC_NOW) break;
        if (waited == -ETIMEDOUT) return waited;
        if (waited == VT__WSC_TICK && (r = vt__wsc_tick(ws, v->thr->now)) < 0) return r;
        if (ws->io.in.pos == ws->io.in.len) vt__conn_buf_put(v->thr, &ws->io.in);
        waited = vt__wsc_wait(ws, v, until);
        if (waited < 0 && (r = waited) != -ETIMEDOUT) break;
    }
    return vt__wsc_got(ws, v->thr, r);
}

/*--- control frames ---*/
static int vt__wsc_on_close(vt_ws *ws, const uint8_t *p, size_t n) {
    vt_str reason;
    int code = vt__ws_close_get(p, n, &reason);
    if (code < 0) return vt__wsc_bad(ws, code);
    ws->closed = true;
    ws->code = (uint16_t)code;
    if (reason.len) ws->reason = vt__mem_strdup(reason.ptr, reason.len);
    ws->told = ws->code, ws->words = ws->reason;
    vt__wsc_control(ws, VT__WSC_CLOSE, NULL, 0);
    return 0;
}
/* One whose head is taken: 1; 0 the peer has closed; < 0. */
static int vt__wsc_on_control(vt_ws *ws, int64_t until) {
    vt__conn_buf *b = &ws->io.in;
    size_t n = (size_t)ws->dec.left;
    while (b->len - b->pos < n) {
        int64_t r = vt__wsc_get(ws, NULL, 0, until);
        if (r < 0) return (int)r;
    }
    uint8_t *p = (uint8_t *)b->p + b->pos;
    (void)vt__ws_take(&ws->dec, p, n);
    b->pos += n;
    ws->inside = false;
    if (ws->dec.op == VT__WS_CLOSE) return vt__wsc_on_close(ws, p, n);
    if (ws->dec.op == VT__WS_PONG) return 1;
    if (!ws->pong) ws->pong = vt__mem_alloc(VT__WS_CONTROL_MAX); /* for a note */
    vt__wsc_control(ws, VT__WSC_PONG, p, n);
    return 1;
}

/*--- messages ---*/
/* To the payload of a frame of data: 1; 0 the peer has closed; < 0. */
static int vt__wsc_frame(vt_ws *ws, int64_t until) {
    vt__conn_buf *b = &ws->io.in;
    for (int64_t r;;) {
        if (ws->inside && ws->dec.op < VT__WS_CONTROL) return 1;
        if (ws->inside) {
            if ((r = vt__wsc_on_control(ws, until)) <= 0) return (int)r;
            continue;
        }
        if (until == VT__WSC_NOW && b->pos < b->len && !(b->p[b->pos] & VT__WS_CONTROL)) return 1;
        r = vt__ws_head(&ws->dec, (uint8_t *)b->p + b->pos, b->len - b->pos);
        if (VT__UNLIKELY(r < 0)) return vt__wsc_bad(ws, (int)r);
        b->pos += (size_t)r;
        ws->inside = r > 0;
        if (r == 0 && (r = vt__wsc_get(ws, NULL, 0, until)) < 0) return (int)r;
    }
}
/* What every call that receives begins with: 1; 0 closed; < 0. The last message is the program's no more. */
VT__INLINE int vt__wsc_begin(vt_ws *ws) {
    vt__vth *v = vt__sched_self();
    if (!v) return -EPERM;
    if (ws->reading) return -EBUSY;
    if (ws->end) *ws->end = ws->was, ws->end = NULL;
    if (!ws->dec.msg && ws->msg.p) vt__conn_buf_put(v->thr, &ws->msg);
    if (ws->closed) return 0;
    if (ws->err) return ws->err;
    ws->reading = true;
    return 1;
}
VT__INLINE vt_str vt__wsc_give(vt_ws *ws, char *p, size_t n) {
    if (p != ws->msg.p) ws->end = p + n, ws->was = p[n];
    p[n] = 0;
    return (vt_str){p, n};
}
/* Room for all of the frame and a NUL, or for more than there is: what a frame announces need not come. */
static int vt__wsc_msg_room(vt_ws *ws) {
    vt__conn_buf *b = &ws->msg, big = {NULL, 0, 0, 0};
    uint64_t want = ws->dec.size + 1, most = VT__MAX((uint64_t)b->cap * 2, VT__BUF_BYTES);
    if (b->cap >= want || b->cap > b->len + 1 + VT__BUF_BYTES / 4) return 0;
    want = VT__MIN(want, most);
    if (want > SIZE_MAX / 2 || !vt__conn_buf_get_for(vt__sched_thr(), &big, (size_t)want)) return -ENOMEM;
    if (b->len) memcpy(big.p, b->p, b->len);
    big.len = b->len;
    vt__conn_buf_put(vt__sched_thr(), b);
    *b = big;
    return 0;
}
/* Some of a frame's payload, to ws->msg. */
static int vt__wsc_collect(vt_ws *ws, int64_t until) {
    vt__conn_buf *b = &ws->io.in, *m = &ws->msg;
    int r = vt__wsc_msg_room(ws);
    if (r < 0) return r;
    if (ws->dec.left >= VT__BUF_BYTES / 2 && ws->dec.left < VT__WSC_LARGE) ws->large = true;
    int64_t k = (int64_t)VT__MIN(ws->dec.left, m->cap - m->len - 1);
    if (b->len > b->pos) {
        k = VT__MIN(k, (int64_t)(b->len - b->pos));
        memcpy(m->p + m->len, b->p + b->pos, (size_t)k);
        b->pos += (size_t)k;
    } else if (k > 0 && (k = vt__wsc_get(ws, m->p + m->len, (size_t)k, until)) < 0) {
        return (int)k;
    }
    r = vt__ws_take(&ws->dec, (uint8_t *)m->p + m->len, (size_t)k);
    m->len += (size_t)k;
    ws->inside = ws->dec.left > 0;
    return r < 0 ? vt__wsc_bad(ws, r) : 0;
}
/* The next message, if it is a short one that is here: its type, 0 if not, or < 0. */
VT__INLINE int vt__wsc_short(vt_ws *ws, vt_str *msg) {
    vt__conn_buf *b = &ws->io.in;
    uint8_t *p = (uint8_t *)b->p + b->pos;
    size_t n = ws->inside ? 0 : vt__ws_short(&ws->dec, p, b->len - b->pos);
    if (n == 0) return 0;
    int type = p[0] & 15;
    if (type == VT__WS_TEXT && VT__UNLIKELY(!vt__ws_is_text(p + 6, n - 6)))
        return vt__wsc_bad(ws, VT__WS_E_UTF8);
    b->pos += n;
    ws->streams = false;
    *msg = vt__wsc_give(ws, (char *)p + 6, n - 6);
    return type;
}
static VT__NOINLINE int vt__wsc_recv(vt_ws *ws, vt_str *msg, int64_t until) {
    vt__conn_buf *b = &ws->io.in;
    size_t n;
    int r;
    if (ws->streams && ws->dec.msg) return VT_ESTATE;
    ws->streams = false;
    while (!ws->inside && b->len == b->pos) {
        int64_t got = vt__wsc_get(ws, NULL, 0, until);
        if (VT__UNLIKELY(got < 0)) return (int)got;
        if (VT__LIKELY((r = vt__wsc_short(ws, msg)) != 0)) return r;
    }
    do {
        if ((r = vt__wsc_frame(ws, until)) <= 0) return r;
        int type = ws->dec.msg;
        if (VT__LIKELY(!ws->msg.p && ws->dec.fin && b->len - b->pos >= ws->dec.left)) {
            char *p = b->p + b->pos;
            n = (size_t)ws->dec.left;
            ws->inside = false;
            if ((r = vt__ws_take(&ws->dec, (uint8_t *)p, n)) < 0) return vt__wsc_bad(ws, r);
            b->pos += n;
            *msg = vt__wsc_give(ws, p, n);
            return type;
        }
        if ((r = vt__wsc_collect(ws, until)) < 0) return r;
        if (!ws->dec.msg) {
            *msg = vt__wsc_give(ws, ws->msg.p, ws->msg.len);
            return type;
        }
    } while (true);
}
VT__INLINE int vt__wsc_recv_any(vt_ws *ws, vt_str *msg, int64_t until) {
    int r = vt__wsc_begin(ws);
    *msg = (vt_str){"", 0};
    if (r <= 0) return r;
    if ((r = vt__wsc_short(ws, msg)) == 0) r = vt__wsc_recv(ws, msg, until);
    ws->reading = false;
    return r;
}
VT_API int vt_ws_recv(vt_ws *ws, vt_str *msg) { return vt__wsc_recv_any(ws, msg, 0); }
VT_API int vt_ws_recv_until(vt_ws *ws, vt_str *msg, int64_t until) {
    return vt__wsc_recv_any(ws, msg, VT__MAX(until, VT_NONE));
}

/* Bytes of the message under way: > 0; 0 its end; < 0. */
static int64_t vt__wsc_read(vt_ws *ws, char *buf, size_t n) {
    vt__conn_buf *b = &ws->io.in;
    while (ws->dec.msg) {
        int r = vt__wsc_frame(ws, 0);
        if (r <= 0) return r == 0 ? VT_EEOF : r;
        int64_t k = (int64_t)VT__MIN(ws->dec.left, n);
        if (b->len > b->pos) {
            k = VT__MIN(k, (int64_t)(b->len - b->pos));
            memcpy(buf, b->p + b->pos, (size_t)k);
            b->pos += (size_t)k;
        } else if (k > 0 && (k = vt__wsc_get(ws, buf, (size_t)k, 0)) < 0) {
            return k;
        }
        r = vt__ws_take(&ws->dec, (uint8_t *)buf, (size_t)k);
        ws->inside = ws->dec.left > 0;
        if (r < 0) return vt__wsc_bad(ws, r);
        if (k > 0) return k;
    }
    return 0;
}
static int vt__wsc_next(vt_ws *ws) {
    char scratch[512];
    int r;
    while (ws->dec.msg) {
        int64_t k = vt__wsc_read(ws, scratch, sizeof scratch);
        if (k < 0) return ws->closed ? 0 : (int)k;
    }
    vt__conn_buf_put(vt__sched_thr(), &ws->msg); /* of a message that vt_ws_recv had begun */
    ws->streams = true;
    return (r = vt__wsc_frame(ws, 0)) <= 0 ? r : ws->dec.msg;
}
VT_API int vt_ws_next(vt_ws *ws) {
    int r = vt__wsc_begin(ws);
    if (r <= 0) return r;
    r = vt__wsc_next(ws);
    ws->reading = false;
    return r;
}
VT_API int64_t vt_ws_read(vt_ws *ws, void *buf, size_t n) {
    if (!ws->streams) return VT_ESTATE;
    int64_t r = vt__wsc_begin(ws);
    if (r <= 0) return r == 0 && ws->dec.msg ? VT_EEOF : r;
    r = n ? vt__wsc_read(ws, buf, n) : 0;
    ws->reading = false;
    return r;
}

/*--- sending ---*/
/* A wait of a sender's that has failed. */
static int vt__wsc_unsent(const vt_ws *ws, int r) {
    return r == -ECANCELED && __atomic_load_n(&ws->stopping, __ATOMIC_RELAXED) ? VT_ESTOPPED : r;
}
VT__INLINE int vt__wsc_lock_any(vt_ws *ws) {
    vt__vth *v = vt__sched_self();
    if (VT__LIKELY(ws->owner == v && ws->kept)) {
        if (vt__sched_cancelled(v)) return vt__wsc_unsent(ws, -ECANCELED);
        ws->kept = false;
        return 0;
    }
    if (VT__LIKELY(v && !vt__sched_cancelled(v) && vt__wsc_try(ws, 0, NULL, 0))) return 0;
    int r = vt_mutex_lock_until(&ws->mu, 0);
    return VT__UNLIKELY(r < 0) ? vt__wsc_unsent(ws, r) : 0;
}
/* Whether there may be a control frame that nobody but the sender will hear: who also receives has his turn first. */
VT__INLINE bool vt__wsc_unheard(const vt_ws *ws) {
    const vt__conn_buf *b = &ws->io.in;
    if (ws->home != vt__sched_thr() || VT__LIKELY(ws->home->now - ws->heard < VT__WSC_DEAF_NS)) return false;
    if (ws->reading) return false;
    if (b->pos == b->len) return VTHTTP_POLL || vt__conn_readable(ws->io.c);
    return ws->inside || (ws->end ? ws->was : b->p[b->pos]) & VT__WS_CONTROL;
}
/* The last message keeps its block, and what is behind it gets another. */
static bool vt__wsc_set_apart(vt_ws *ws) {
    vt__conn_buf *b = &ws->io.in, old = *b;
    size_t rest = b->len - b->pos;
    memset(b, 0, sizeof *b);
    if (rest && !vt__conn_buf_get_for(vt__sched_thr(), b, rest + 1)) {
        *b = old;
        return false;
    }
    *ws->end = ws->was;
    if (rest) memcpy(b->p, old.p + old.pos, b->len = rest);
    *ws->end = 0;
    ws->end = NULL;
    ws->msg = old;
    return true;
}
/* Hears control frames up to the next message, and says what they ask for. Under the lock. */
static VT__NOINLINE void vt__wsc_hear(vt_ws *ws) {
    uint8_t pong[VT__WS_CONTROL_MAX];
    size_t n = 0;
    if (ws->closed || ws->err || (ws->end && !vt__wsc_set_apart(ws))) return;
    if (VTHTTP_POLL) vt__poll_set(&ws->io.c->pd, VT__PD_R); /* poll tells only who waits */
    (void)vt__wsc_frame(ws, VT__WSC_NOW);
    if (ws->io.in.pos == ws->io.in.len) vt__conn_buf_put(vt__sched_thr(), &ws->io.in);
    vt__sync_lock(&ws->mu.flags, &ws->mu.spin);
    unsigned noted = vt__wsc_noted(ws, pong, &n);
    vt__sync_unlock(&ws->mu.flags, &ws->mu.spin);
    vt__wsc_say(ws, noted, pong, n);
}
/* 0 with the lock, when frames of data may be sent. */
VT__INLINE int vt__wsc_lock(vt_ws *ws) {
    int r = vt__wsc_lock_any(ws);
    if (VT__UNLIKELY(r < 0)) return r;
    if (VT__UNLIKELY(vt__wsc_unheard(ws))) vt__wsc_hear(ws);
    r = VT__UNLIKELY(ws->closing != 0) ? VT_EWSCLOSED : ws->io.err;
    if (VT__UNLIKELY(r < 0)) vt__wsc_release(ws);
    return r;
}
/* As vt_cond_wait, but what is noted while the lock is held is said before it is given back. */
static int vt__wsc_wait_turn(vt_ws *ws) {
    vt__vth *v = vt__sched_self();
    vt__waiter w;
    int64_t due;
    int r = vt__sched_enter(v, 0, &due);
    if (r < 0) return r;
    vt__wsc_release_to(ws, &w);
    r = vt__sched_park(v, vt__sync_abort_cond, due);
    (void)vt_mutex_lock(&ws->mu);
    return r;
}
/* ... and no message in fragments of somebody else's is under way. */
static VT__NOINLINE int vt__wsc_lock_later(vt_ws *ws) {
    int r = 0;
    while (r == 0 && ws->writer) {
        r = ws->writer == vt__sched_self() ? VT_ESTATE : vt__wsc_unsent(ws, vt__wsc_wait_turn(ws));
        if (r == 0) r = ws->closing ? VT_EWSCLOSED : ws->io.err;
        if (r < 0) vt__wsc_release(ws);
    }
    return r;
}
VT__INLINE int vt__wsc_lock_turn(vt_ws *ws) {
    int r = vt__wsc_lock(ws);
    return VT__UNLIKELY(r == 0 && ws->writer) ? vt__wsc_lock_later(ws) : r;
}
/* Where the handler's message goes that need not wait for anything, nor ask: it is not the first since he last waited. */
VT__INLINE char *vt__wsc_at_once(vt_ws *ws, size_t n) {
    vt__vth *v = vt__sched_self();
    const vt__conn_buf *b = &ws->io.out;
    if (ws->owner != v || !ws->kept || n > VT__WSC_GATHER || b->cap - b->len < n + VT__WS_HEAD_MAX)
        return NULL;
    if (VT__UNLIKELY(ws->closing || ws->io.err || ws->writer || vt__sched_cancelled(v))) return NULL;
    return b->p + b->len;
}
VT_API int vt_ws_send(vt_ws *ws, int type, const void *p, size_t n) {
    if (type != VT_WS_TEXT && type != VT_WS_BINARY) return -EINVAL;
    char *to = vt__wsc_at_once(ws, n);
    if (VT__LIKELY(to != NULL)) return vt__wsc_put_at(ws, to, VT__WS_FIN | (unsigned)type, p, n);
    int r = vt__wsc_lock_turn(ws);
    if (r < 0) return r;
    return vt__wsc_unlock(ws, vt__wsc_put(ws, VT__WS_FIN | (unsigned)type, p, n));
}
VT_API int vt_ws_send_until(vt_ws *ws, int type, const void *p, size_t n, int64_t until) {
    int64_t own = vt_deadline();
    bool set = until < 0 || (until > 0 && (!own || until < own));
    if (set) (void)vt_deadline_set(until);
    int r = vt_ws_send(ws, type, p, n);
    if (set) (void)vt_deadline_set(own);
    return r;
}
VT_API int vt_ws_text(vt_ws *ws, const char *text) { return vt_ws_send(ws, VT_WS_TEXT, text, strlen(text)); }
VT_API int vt_ws_begin(vt_ws *ws, int type) {
    if (type != VT_WS_TEXT && type != VT_WS_BINARY) return -EINVAL;
    int r = vt__wsc_lock_turn(ws);
    if (r < 0) return r;
    ws->writer = vt__sched_self();
    ws->begun = (uint8_t)type;
    return vt__wsc_unlock(ws, 0);
}
static int vt__wsc_fragment(vt_ws *ws, const void *p, size_t n, bool last) {
    int r = vt__wsc_lock(ws);
    if (r < 0) return r;
    if (ws->writer != vt__sched_self()) return vt__wsc_unlock(ws, VT_ESTATE);
    if (n > 0 || last)
        r = vt__wsc_put(ws, (last ? VT__WS_FIN : 0u) | ws->begun, p, n), ws->begun = VT__WS_CONT;
    if (last) ws->writer = NULL, vt_cond_broadcast(&ws->turn);
    return vt__wsc_unlock(ws, r);
}
VT_API int64_t vt_ws_write(vt_ws *ws, const void *p, size_t n) {
    int r = vt__wsc_fragment(ws, p, n, false);
    return r < 0 ? r : (int64_t)n;
}
/* Shielded: others wait for it. */
VT_API int vt_ws_end(vt_ws *ws) {
    vt_shield(true);
    int r = vt__wsc_fragment(ws, NULL, 0, true);
    vt_shield(false);
    return r;
}
VT_API int vt_ws_flush(vt_ws *ws) {
    int r = vt__wsc_lock_any(ws);
    if (r < 0) return r;
    return vt__wsc_unlock_other(ws, 0); /* it goes out, and the lock is not kept */
}
VT_API int vt_ws_ping(vt_ws *ws, const void *p, size_t n) {
    if (n > VT__WS_CONTROL_MAX) return -EINVAL;
    int r = vt__wsc_lock(ws);
    if (r < 0) return r;
    return vt__wsc_unlock(ws, vt__wsc_put(ws, VT__WS_FIN | VT__WS_PING, p, n));
}
VT_API int vt_ws_close(vt_ws *ws, int code, const char *reason) {
    if (code == 0) code = 1000;
    if (code == VT_NONE) code = 1005;
    else if (!vt__ws_code_ok(code)) return -EINVAL;
    if (reason && !vt__ws_is_text((const uint8_t *)reason, strlen(reason))) return -EINVAL;
    int r = vt__wsc_lock(ws);
    if (r < 0) return r;
    return vt__wsc_unlock(ws, vt__wsc_put_close(ws, code, reason));
}
VT_API int vt_ws_close_code(const vt_ws *ws) { return ws->code; }
VT_API const char *vt_ws_close_reason(const vt_ws *ws) { return ws->reason ? ws->reason : ""; }
VT_API vt_str vt_ws_protocol(const vt_ws *ws) { return ws->protocol; }

/*--- life ---*/
static int64_t vt__wsc_time(int64_t ms, int64_t usual) {
    if (ms == 0) ms = usual;
    return ms < 0 || ms > INT64_MAX / 4 / VT_MS ? 0 : ms * VT_MS;
}
static uint64_t vt__wsc_size(int64_t bytes, uint64_t usual) {
    return bytes < 0 ? UINT64_MAX : bytes ? (uint64_t)bytes : usual;
}
static void vt__wsc_init(vt_ws *ws, vt__conn *c, bool server, const vt_ws_cfg *cfg, int64_t write_ns) {
    memset(ws, 0, sizeof *ws);
    ws->io.c = c;
    ws->io.thr = ws->home = vt__sched_thr();
    ws->io.write_ns = write_ns;
    ws->dec.masked = server;
    ws->dec.max_message = vt__wsc_size(cfg->max_message, 1 << 20);
    ws->dec.max_frame = vt__wsc_size(cfg->max_frame, ws->dec.max_message);
    ws->ping_ns = vt__wsc_time(cfg->ping_ms, 30000);
    ws->pong_ns = vt__wsc_time(cfg->pong_ms, 20000);
    ws->close_ns = vt__wsc_time(cfg->close_ms, 3000);
    ws->heard = ws->io.thr->now;
    ws->protocol.ptr = "";
}
/* Closes with `code` unless that was done, and waits for the answer. */
static void vt__wsc_part(vt_ws *ws, int code) {
    char scratch[512];
    (void)vt_ws_close(ws, code, NULL);
    (void)vt_ws_flush(ws);
    if (ws->io.err < 0) (void)vt__wsc_over(ws, ws->io.err);
    if (ws->close_ns == 0) return;
    ws->reading = true;
    while (!ws->closed && !ws->err) { /* what still comes is dropped */
        if (!ws->dec.msg && vt__wsc_frame(ws, 0) <= 0) break;
        if (vt__wsc_read(ws, scratch, sizeof scratch) < 0) break;
    }
    (void)vt_ws_flush(ws); /* the answer to what the peer closed with at the same time */
}
/* Ends it; nothing is left in *ws. gone: the peer is. */
static void vt__wsc_leave(vt_ws *ws, int code, bool gone) {
    vt__thr *thr = vt__sched_thr();
    if (ws->end) *ws->end = ws->was, ws->end = NULL;
    vt_shield(true);
    if (!gone) vt__wsc_part(ws, code);
    vt_shield(false);
    vt__conn_buf_put(thr, &ws->io.in);
    vt__conn_buf_put(thr, &ws->io.out);
    vt__conn_buf_put(thr, &ws->msg);
    vt__mem_free(ws->pong);
    vt__mem_free(ws->reason);
    vt__mem_free(ws->keys);
}

/*--- servers ---*/
static void vt__wsc_stop(void *arg) {
    vt_ws *ws = arg;
    __atomic_store_n(&ws->stopping, true, __ATOMIC_RELAXED);
    vt__sched_cancel(&ws->run->c->start.task);
}
static int vt__wsc_end(void *arg, bool failed) {
    vt_ws *ws = arg;
    vt__h1c_run *run = ws->run;
    vt__wsc_leave(ws, ws->stopping ? 1001 : failed ? 1011 : 1000, run->gone);
    run->io.err = ws->io.err;
    run->parted = ws->closed;
    run->up = NULL;
    vt__sched_on_park(run->v, NULL, NULL);
    if (ws->apart) vt__mem_free(ws);
    return run->io.err;
}
static const vt__h1c_up vt__wsc_up = {vt__wsc_flush_parked, vt__wsc_stop, vt__wsc_end};

static int vt__wsc_refuse(vt_res *res) {
    vt__res_push(res, VT__H1_F_CONNECTION, VT__STR_LIT("Connection"), VT__STR_LIT("Upgrade"));
    vt__res_push(res, VT__H1_F_UPGRADE, VT__STR_LIT("Upgrade"), VT__STR_LIT("websocket"));
    vt__res_push(res, VT__H1_F_SEC_WEBSOCKET_VERSION, VT__STR_LIT("Sec-WebSocket-Version"),
                 VT__STR_LIT("13"));
    return VT_EWSUPGRADE;
}
static int vt__wsc_shake(vt_req *req, vt_res *res, vt__ws_shake *s) {
    vt_str name, value;
    memset(s, 0, sizeof *s);
    for (size_t i = 0; vt_req_field_nth(req, i, &name, &value); i++) vt__ws_shake_field(s, name, value);
    int status = req->method_id == VT__H1_M_GET && req->version >= 11 ? vt__ws_shake_request(s) : 426;
    if (s->protocols > 1)
        s->protocol = vt_req_field(req, "Sec-WebSocket-Protocol"); /* several lines are one list */
    if (status == 426) return vt__wsc_refuse(res);
    return status || (s->protocols && !vt__ws_protocols_ok(s->protocol)) ? VT_EBADREQ : 0;
}
static int vt__wsc_origin(vt_req *req, const vt_ws_cfg *cfg) {
    vt_str o = vt_req_field(req, "Origin"), one;
    size_t pos = 0;
    if (cfg->origin) return cfg->origin(req, o);
    if (!o.ptr) return 0;
    if (cfg->origins) {
        vt_str list = vt__str_of(cfg->origins);
        if (vt__str_eq(list, VT__STR_LIT("*"))) return 0;
        while (vt__h1_list_next(list, &pos, &one))
            if (vt__str_eq_ci(one, o)) return 0;
        return VT_EFORBIDDEN;
    }
    const char *host = strstr(o.ptr, "://");
    return host && vt__str_eq_ci(vt__str_of(host + 3), req->authority) ? 0 : VT_EFORBIDDEN;
}
/* "Name: value" CRLF ...: the next line; 1, 0 at the end, < 0. */
static int vt__wsc_line(const char **at, vt_str *name, vt_str *value) {
    const char *colon = strchr(*at, ':'), *cr = strstr(*at, "\r\n");
    if (!**at) return 0;
    if (!colon || !cr || cr < colon) return -EINVAL;
    *name = (vt_str){*at, (size_t)(colon - *at)};
    *value = vt__str_trim((vt_str){colon + 1, (size_t)(cr - colon - 1)});
    *at = cr + 2;
    return vt__h1_check_name(*name) < 0 || vt__h1_check_value(*value) < 0 ? -EINVAL : 1;
}
static int vt__wsc_push_lines(vt_res *res, const char *lines) {
    vt_str name, value;
    int r = 0;
    while (lines && (r = vt__wsc_line(&lines, &name, &value)) > 0)
        if ((r = vt__res_push(res, vt__h1_field_id(name), name, value)) < 0) return r;
    return r;
}
/* Answers 101. */
static int vt__wsc_switch(vt_res *res, const vt__ws_shake *s, vt_str protocol, const vt_ws_cfg *cfg) {
    char accept[VT__WS_ACCEPT_LEN];
    uint32_t before = res->nfields;
    vt_stream *st;
    vt__ws_accept(accept, s->key.ptr);
    int r = vt__res_push(res, VT__H1_F_SEC_WEBSOCKET_ACCEPT, VT__STR_LIT("Sec-WebSocket-Accept"),
                         (vt_str){accept, sizeof accept});
    if (r == 0 && protocol.len)
        r = vt__res_push(res, VT__H1_F_SEC_WEBSOCKET_PROTOCOL, VT__STR_LIT("Sec-WebSocket-Protocol"),
                         protocol);
    if (r == 0) r = vt__wsc_push_lines(res, cfg->fields);
    if (r == 0) r = vt_res_upgrade(res, "websocket", &st);
    res->nfields = before; /* they stood on this stack */
    return r;
}
/* From here on the connection is the WebSocket's. */
static void vt__wsc_take_over(vt_ws *ws, vt__h1c_run *run) {
    ws->run = run;
    ws->owner = run->v;
    if (!vt__h1c_take_input(run, &ws->io.in)) (void)vt__wsc_over(ws, -ENOMEM);
    run->up = &vt__wsc_up;
    run->up_arg = ws;
    vt__sched_on_park(run->v, vt__wsc_on_park, ws);
}
VT_API int vt_ws_accept(vt_req *req, vt_res *res, const vt_ws_cfg *cfg, vt_ws **out) {
    static const vt_ws_cfg usual;
    vt__h1c_run *run = req->conn;
    vt__ws_shake s;
    int r;
    *out = NULL;
    if (!cfg) cfg = &usual;
    if (res->state != VT__RES_OPEN || !vt__h1c_has(req)) return VT_ESTATE;
    vt_ws *ws = vt__h1c_settle(run, sizeof *ws);
    if ((r = vt__wsc_shake(req, res, &s)) < 0 || (r = vt__wsc_origin(req, cfg)) < 0) return r;
    if (vt__h1c_stopping(run)) return VT_ESTOPPED;
    vt_str protocol = vt__ws_protocol_pick(vt__str_of(cfg->protocols ? cfg->protocols : ""), s.protocol);
    bool apart = ws == NULL;
    if (apart && !(ws = vt__mem_alloc(sizeof *ws))) return -ENOMEM;
    if (protocol.len && !(protocol.ptr = vt__mem_arena_str(req->arena, protocol.ptr, protocol.len)))
        r = -ENOMEM;
    if (r == 0) r = vt__wsc_switch(res, &s, protocol, cfg);
    if (r < 0) {
        if (apart) vt__mem_free(ws);
        return r;
    }
    vt__wsc_init(ws, &run->c->conn, true, cfg, run->conf->write_ns);
    ws->apart = apart;
    if (protocol.len) ws->protocol = protocol;
    vt__wsc_take_over(ws, run);
    if (vt__h1c_stopping(run)) vt__wsc_stop(ws); /* too late to be told */
    *out = ws;
    return 0;
}

/* A route's: what vt_server_ws was given. */
typedef struct vt__wsc_route {
    vt_ws_handler *handler;
    vt_ws_cfg cfg;
    char text[]; /* the strings of cfg */
} vt__wsc_route;
static int vt__wsc_serve(vt_req *req, vt_res *res) {
    const vt__wsc_route *w = req->route->extra;
    vt_ws *ws;
    int r = vt_ws_accept(req, res, &w->cfg, &ws);
    return r < 0 ? r : w->handler(ws, req);
}
static const char *vt__wsc_wrong(vt_ws_handler *h, const vt_ws_cfg *cfg) {
    const char *lines = cfg->fields;
    vt_str name, value;
    int r = 0;
    if (!h) return "no handler";
    while (lines && (r = vt__wsc_line(&lines, &name, &value)) > 0) continue;
    if (r < 0) return "fields: want lines \"Name: value\\r\\n\"";
    if (!vt__ws_protocols_ok(vt__str_of(cfg->protocols ? cfg->protocols : "")))
        return "protocols: want tokens between commas, each once";
    return NULL;
}
static const char *vt__wsc_keep(char **to, const char *s) {
    size_t n = s ? strlen(s) + 1 : 0;
    char *p = *to;
    if (!s) return NULL;
    memcpy(p, s, n);
    *to += n;
    return p;
}
VT_API vt_route *vt_server_ws(vt_server *s, const char *pattern, vt_ws_handler *h, const vt_ws_cfg *cfg) {
    static const vt_ws_cfg usual;
    if (!cfg) cfg = &usual;
    const char *all[] = {cfg->protocols, cfg->origins, cfg->fields}, *why = vt__wsc_wrong(h, cfg);
    vt_route *r = vt_server_get(s, pattern, vt__wsc_serve);
    size_t n = 0;
    if (vt__http_route_open(r) < 0) return r;
    if (why) vt__http_fail(s, -EINVAL, "WebSocket route %s: %s", pattern, why);
    for (int i = 0; i < 3; i++) n += all[i] ? strlen(all[i]) + 1 : 0;
    vt__wsc_route *w = vt__mem_alloc(sizeof *w + n);
    if (!w) vt__http_fail(s, -ENOMEM, "out of memory");
    if (!w || why) {
        vt__mem_free(w);
        return &s->router.dead;
    }
    char *to = w->text;
    w->handler = h;
    w->cfg = *cfg;
    w->cfg.protocols = vt__wsc_keep(&to, cfg->protocols);
    w->cfg.origins = vt__wsc_keep(&to, cfg->origins);
    w->cfg.fields = vt__wsc_keep(&to, cfg->fields);
    r->extra = w;
    return r;
}

/*--- clients ---*/
/* The client's end of `c`, whose handshake is done: @cli and tests. The n bytes at `rest` came behind the answer; protocol lives
 * as long as the WebSocket. NULL: no memory. c stays the caller's, who frees this before. */
static VT__UNUSED vt_ws *vt__wsc_client(vt__conn *c, const vt_ws_cfg *cfg, vt_str protocol, const char *rest,
                                        size_t n, int64_t write_ns) {
    static const vt_ws_cfg usual;
    vt_ws *ws = vt__mem_alloc(sizeof *ws);
    if (!ws) return NULL;
    vt__wsc_init(ws, c, false, cfg ? cfg : &usual, write_ns);
    if (protocol.len) ws->protocol = protocol;
    ws->keys = vt__mem_alloc(VT__WSC_KEYS * sizeof *ws->keys);
    bool good = ws->keys && (n == 0 || vt__conn_buf_get_for(ws->io.thr, &ws->io.in, n + 1));
    if (!good) {
        vt__mem_free(ws->keys);
        vt__mem_free(ws);
        return NULL;
    }
    if (n) memcpy(ws->io.in.p, rest, ws->io.in.len = n);
    return ws;
}
/* Closes with 1000 unless that was done, waits for the answer, and frees it. */
static VT__UNUSED void vt__wsc_client_free(vt_ws *ws) {
    vt__wsc_leave(ws, 1000, false);
    vt__mem_free(ws);
}

/*==============================================================================
 * MARK: - @srv     servers: configuration, listeners, limits, drain
 * uses:   @api_base @api_tls @plat @mem @str @err @ds @log @h1 @timer @poll @sched @rt @self @sync @block @io @tls @h1c @http
 * test:   tests/test_srv.c tests/e2e_life.c tests/fault_server.c tests/sim_server.c tests/sim_edges.c   fuzz: fuzz/fuzz_server.c
 *
 * Each listening socket stands in every domain's poll set (EPOLLEXCLUSIVE). A vthread of the server's own drains it:
 * every domain stops accepting and sends its idle connections to their end; what is in flight finishes; at the end of
 * grace_ms what is left is cancelled and named. That vthread is spawned with the server and begins with the stop, on
 * whoever drives the first domain then: one that waited for the stop would be pinned to a thread that may have stalled.
 *
 *     IDLE -> STARTING -> RUNNING -> STOPPING -> DRAINING -> IDLE
 *                 '-----> HALTED -------^         a stop came while it started
 *
 * Stopping from a signal handler is an atomic exchange and a message that exists beforehand. vt_stop stops every server
 * that has started.
 *============================================================================*/
enum vt__srv_state {
    VT__SRV_IDLE,
    VT__SRV_STARTING,
    VT__SRV_HALTED,
    VT__SRV_RUNNING,
    VT__SRV_STOPPING,
    VT__SRV_DRAINING
};
enum { VT__SRV_BURST = 64, VT__SRV_ADDR_MAX = 300 };
#define VT__SRV_REST_NS (100 * VT_MS)
#define VT__SRV_LAST_NS VT_SEC /* what cancelled handlers are waited for */

typedef struct vt__srv_listener {
    char addr[VT__SRV_ADDR_MAX];
    int fd, port;       /* port -1: not open */
    vt__tls_gate *gate; /* NULL: plain */
} vt__srv_listener;

/* A listener in one domain. */
typedef struct vt__srv_door {
    vt__pd pd;
    struct vt__srv_dom *d;
    vt__tls_gate *gate;
    int burst, streak; /* connections taken at an event; events in a row that took as many */
} vt__srv_door;

typedef struct vt__srv_dom {
    struct vt__srv *srv;
    vt__h1c_host *host;
    vt__srv_door *doors;
    vt__msg msg;      /* of rounds */
    vt__msg wake;     /* a connection was closed */
    uint32_t waking;  /* `wake` is on its way */
    uint32_t resting; /* takes nothing until a close or the timer */
    int again;        /* connections in a row that were gone before they were taken */
    vt__timer timer;
    bool open;
} vt__srv_dom;

typedef struct vt__srv {
    vt_server *server;
    vt__h1c_group group;
    vt__srv_listener *listeners;
    int nlisteners, ndoms;
    vt__srv_dom *doms;
    vt__srv_door *doors;
    int64_t max_open;
    uint32_t state;
    vt__msg stop_msg, reload_msg;
    uint32_t reloading; /* reload_msg is on its way */
    vt_task *drain;     /* begins with the stop */
    vt__list link;      /* of vt__srv_started, from its start until it drains */
    vt_sem empty;       /* the last connection was closed, while draining */
    vt_wg round;
    vt_wg ended; /* for vt_server_wait */
    int round_err, result;
    uint32_t left; /* handlers that could not be stopped have it for good */
    int reserve;   /* a descriptor to give up when there is none */
    uint32_t reserve_lock;
    int64_t log_due;
} vt__srv;

static vt_server vt__srv_none = {.error = -ENOMEM, .error_text = "out of memory"};

/*--- configuration ---*/
/* field, default, smallest, whether VT_NONE is a value */
/* clang-format off */
#define VT__SRV_FIELDS(X) \
    X(max_connections, 100000, 1, 1)     X(max_vthreads, 1000000, 1, 1)       \
    X(max_queued, 1024, 1, 1)            X(queue_timeout_ms, 1000, 1, 1)      \
    X(max_header_bytes, 16384, 1, 1)     X(max_header_count, 1000, 1, 1)      \
    X(max_request_line, 8192, 1, 1)      X(max_body, 1 << 20, 1, 1)           \
    X(max_chunk_line, 256, 1, 1)         X(max_trailer_bytes, 8192, 1, 1)     \
    X(max_drain, 1 << 20, 1, 1)          X(max_keep_alive, VT_NONE, 1, 1)     \
    X(header_timeout_ms, 10000, 1, 1)    X(body_timeout_ms, 20000, 1, 1)      \
    X(min_body_rate, 64, 1, 1)           X(write_timeout_ms, 20000, 1, 1)     \
    X(idle_timeout_ms, 60000, 1, 1)      X(handler_timeout_ms, VT_NONE, 1, 1) \
    X(grace_ms, 10000, 1, 1)             X(retry_after_s, 1, 1, 0)            \
    X(backlog, 1024, 1, 0)               X(port, 8080, 1, 1)                  \
    X(workers, 0, 0, 0)                  X(stack_bytes, 0, 0, 0)              \
    X(stall_ms, 0, 0, 1)                 X(max_spares, 0, 0, 1)               \
    X(deadlock, 0, 0, 1)                 X(cancel_on, 0, 0, 0)
/* clang-format on */

static void vt__srv_fill(vt_server_cfg *c) {
#define VT__SRV_FILL(field, value, least, none)                                                              \
    if (c->field == 0) c->field = (value);
    VT__SRV_FIELDS(VT__SRV_FILL)
#undef VT__SRV_FILL
}
VT_API void vt_server_cfg_defaults(vt_server_cfg *cfg) {
    vt_cfg rt;
    memset(cfg, 0, sizeof *cfg);
    vt__srv_fill(cfg);
    vt_cfg_defaults(&rt);
    cfg->workers = rt.workers;
    cfg->stack_bytes = (int64_t)rt.stack_bytes;
    cfg->stall_ms = rt.stall_ms;
    cfg->max_spares = rt.max_spares;
}

static int vt__srv_bad_field(vt_server *s, const char *field, int64_t value) {
    return vt__http_fail(s, -EINVAL, "%s: %lld is out of range", field, (long long)value);
}
static int vt__srv_check(vt_server *s) {
    const vt_server_cfg *c = &s->cfg;
#define VT__SRV_CHECK(field, value, least, none)                                                             \
    if (c->field < (least) && !((none) && c->field == VT_NONE)) return vt__srv_bad_field(s, #field, c->field);
    VT__SRV_FIELDS(VT__SRV_CHECK)
#undef VT__SRV_CHECK
    if (c->port > 65535) return vt__srv_bad_field(s, "port", c->port);
    if (c->cancel_on > VT_CANCEL_NEVER) return vt__srv_bad_field(s, "cancel_on", c->cancel_on);
    if (c->workers > VT__WORKERS_MAX) return vt__srv_bad_field(s, "workers", c->workers);
    if (c->stack_bytes && (c->stack_bytes < 16384 || c->stack_bytes > INT64_C(1) << 30))
        return vt__srv_bad_field(s, "stack_bytes", c->stack_bytes);
    if (c->backlog > 65535) return vt__srv_bad_field(s, "backlog", c->backlog);
    if (c->stall_ms > 3600000) return vt__srv_bad_field(s, "stall_ms", c->stall_ms);
    if (c->max_spares > VT__SPARES_MAX) return vt__srv_bad_field(s, "max_spares", c->max_spares);
    if (c->ssl_port < VT_NONE || c->ssl_port > 65535) return vt__srv_bad_field(s, "ssl_port", c->ssl_port);
    if (c->deadlock > 1) return vt__srv_bad_field(s, "deadlock", c->deadlock);
    if (c->server_name &&
        (vt__h1_check_value(vt__str_of(c->server_name)) < 0 || strlen(c->server_name) > 200))
        return vt__http_fail(s, -EINVAL, "server_name: not a field value of 200 bytes at most");
    return 0;
}
static uint32_t vt__srv_u32(int64_t n) {
    return n < 0 || n > INT64_C(1) << 30 ? UINT32_C(1) << 30 : (uint32_t)n;
}
static int64_t vt__srv_ns(int64_t ms) { return ms < 0 || ms > INT64_MAX / 4 / VT_MS ? 0 : ms * VT_MS; }
static int64_t vt__srv_max(int64_t n) { return n < 0 ? INT64_MAX : n; }
/* What @h1c works by. */
static void vt__srv_resolve(vt__h1c_conf *f, const vt_server_cfg *c) {
    memset(f, 0, sizeof *f);
    f->limits.line = vt__srv_u32(c->max_request_line);
    f->limits.section = vt__srv_u32(c->max_header_bytes);
    f->limits.chunk_line = vt__srv_u32(c->max_chunk_line);
    f->limits.trailer = vt__srv_u32(c->max_trailer_bytes);
    f->max_fields = VT__MIN(vt__srv_u32(c->max_header_count), UINT32_C(1) << 20);
    f->max_head = (size_t)f->limits.line + f->limits.section + 64; /* the codec's limits are met before it */
    f->max_trailer = (size_t)f->limits.trailer + f->limits.chunk_line + VT__BUF_BYTES;
    f->max_drain = vt__srv_max(c->max_drain);
    f->max_requests = vt__srv_max(c->max_keep_alive);
    f->min_rate = c->min_body_rate < 0 ? 0 : c->min_body_rate;
    f->header_ns = vt__srv_ns(c->header_timeout_ms);
    f->body_ns = vt__srv_ns(c->body_timeout_ms);
    f->write_ns = vt__srv_ns(c->write_timeout_ms);
    f->idle_ns = vt__srv_ns(c->idle_timeout_ms);
    f->max_queued = VT__MAX(c->max_queued, 0);
    f->queue_ns = vt__srv_ns(c->queue_timeout_ms);
    f->cancel_on = c->cancel_on;
    f->no_date = c->no_date != 0;
    if (c->server_name)
        f->server_len = (size_t)snprintf(f->server, sizeof f->server, "Server: %s\r\n", c->server_name);
    f->refusal_len = (size_t)snprintf(
        f->refusal, sizeof f->refusal,
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: %d\r\n"
        "Connection: close\r\n\r\n",
        c->retry_after_s);
}

/*--- making and freeing ---*/
static int vt__srv_listen(vt_server *s, const char *addr, vt__tls_gate *gate) {
    vt__srv *srv = s->run;
    size_t n = strlen(addr);
    if (n >= VT__SRV_ADDR_MAX) return vt__http_fail(s, VT_EADDR, "%.40s...: %s", addr, vt_strerror(VT_EADDR));
    vt__srv_listener *l = vt__mem_realloc(srv->listeners, ((size_t)srv->nlisteners + 1) * sizeof *l);
    if (!l) return vt__http_fail(s, -ENOMEM, "out of memory");
    srv->listeners = l;
    l += srv->nlisteners++;
    memcpy(l->addr, addr, n + 1);
    l->fd = l->port = -1;
    l->gate = gate;
    return 0;
}
static int vt__srv_listen_tls(vt_server *s, const char *addr, const vt_tls_cfg *cfg) {
    vt__tls_gate *gate;
    const char *bad = NULL;
    int r = vt__tls_gate_new(&gate, cfg, &bad);
    if (r == VT_ENOTLS)
        return vt__http_fail(s, r,
                             "TLS was asked for, but the program is built without: compile it with "
                             "-DVTHTTP_TLS=1 and link -lssl -lcrypto");
    if (r < 0)
        return vt__http_fail(s, r, bad ? "vt_tls_cfg: %s is not valid" : "out of memory%s", bad ? bad : "");
    r = vt__srv_listen(s, addr, gate);
    if (r < 0) vt__tls_gate_free(gate);
    return r;
}
static void vt__srv_host_port(char *addr, const vt_server_cfg *c, int port) {
    const char *host = c->host ? c->host : "";
    bool v6 = strchr(host, ':') && host[0] != '[';
    snprintf(addr, VT__SRV_ADDR_MAX, v6 ? "[%.250s]:%d" : "%.250s:%d", host, port == VT_NONE ? 0 : port);
}
/* The listeners that the configuration asks for. */
static int vt__srv_first(vt_server *s) {
    const vt_server_cfg *c = &s->cfg;
    char addr[VT__SRV_ADDR_MAX];
    bool tls = c->ssl_cert || c->ssl_port || c->ssl_only;
    vt__srv_host_port(addr, c, c->port);
    int r = c->ssl_only ? 0 : vt__srv_listen(s, c->addr ? c->addr : addr, NULL);
    if (r < 0 || !tls) return r;
    if (!c->ssl_cert) return vt__http_fail(s, VT_ECONF, "ssl_cert (sslCert): TLS needs a certificate");
    vt_tls_cert cert = {
        .cert_file = c->ssl_cert, .key_file = c->ssl_key, .password_file = c->ssl_key_password_file};
    vt_tls_cfg tc = {.certs = &cert,
                     .ncerts = 1,
                     .client_ca_file = c->ssl_client_ca,
                     .min_version = c->ssl_min_version,
                     .plain = c->ssl_redirect ? VT_TLS_PLAIN_REDIRECT : VT_TLS_PLAIN_EXPLAIN};
    vt__srv_host_port(addr, c, c->ssl_port ? c->ssl_port : 8443);
    return vt__srv_listen_tls(s, addr, &tc);
}
static int vt__srv_copy(vt_server *s, const char **text) {
    if (!*text) return 0;
    *text = vt__mem_strdup(*text, strlen(*text));
    return *text ? 0 : vt__http_fail(s, -ENOMEM, "out of memory");
}
VT_API vt_server *vt_server_new(const vt_server_cfg *cfg) {
    vt_server *s = vt__mem_zalloc(sizeof *s);
    vt__srv *srv = s ? vt__mem_zalloc(sizeof *srv) : NULL;
    if (!srv) {
        vt__mem_free(s);
        return &vt__srv_none;
    }
    if (cfg) s->cfg = *cfg;
    s->run = srv;
    srv->server = s;
    srv->reserve = -1;
    srv->result = VT_ESTATE; /* of a server that was never started */
    vt__http_server_init(s);
    const char **texts[] = {&s->cfg.host,         &s->cfg.addr,    &s->cfg.server_name,
                            &s->cfg.ssl_cert,     &s->cfg.ssl_key, &s->cfg.ssl_key_password_file,
                            &s->cfg.ssl_client_ca};
    for (size_t i = 0; i < VT__COUNT(texts); i++) /* all, so that freeing need not know */
        if (vt__srv_copy(s, texts[i]) < 0) *texts[i] = NULL;
    vt__srv_fill(&s->cfg);
    if (s->error == 0 && vt__srv_check(s) == 0) (void)vt__srv_first(s);
    return s;
}
/* The counters of the domains outlive a run, the connections do not. */
static void vt__srv_drop_conns(vt__srv *srv) {
    for (int i = 0; srv->group.hosts && i < srv->ndoms; i++) vt__h1c_host_drop(&srv->group.hosts[i]);
}
static void vt__srv_drop_doms(vt__srv *srv) {
    vt__srv_drop_conns(srv);
    vt__mem_free(srv->group.hosts);
    vt__mem_free(srv->doms);
    vt__mem_free(srv->doors);
    srv->group.hosts = NULL;
    srv->doms = NULL;
    srv->doors = NULL;
    srv->ndoms = 0;
}
VT_API void vt_server_free(vt_server *s) {
    if (!s || s == &vt__srv_none) return;
    /* A handler that never ended has it for good. */
    if (__atomic_load_n(&s->run->state, __ATOMIC_SEQ_CST) != VT__SRV_IDLE) {
        vt_log(VT_LOG_ERROR, "vt_server_free: the server is in use");
        return;
    }
    vt__http_server_drop(s);
    vt__srv_drop_doms(s->run);
    for (int i = 0; i < s->run->nlisteners; i++) vt__tls_gate_free(s->run->listeners[i].gate);
    vt__mem_free(s->run->listeners);
    vt__mem_free(s->run);
    const char *texts[] = {s->cfg.host,         s->cfg.addr,    s->cfg.server_name,
                           s->cfg.ssl_cert,     s->cfg.ssl_key, s->cfg.ssl_key_password_file,
                           s->cfg.ssl_client_ca};
    for (size_t i = 0; i < VT__COUNT(texts); i++) vt__mem_free((void *)(uintptr_t)texts[i]);
    vt__mem_free(s);
}
VT_API int vt_server_listen(vt_server *s, const char *addr) {
    if (s->error) return s->error;
    if (__atomic_load_n(&s->run->state, __ATOMIC_SEQ_CST) != VT__SRV_IDLE) return VT_ESTATE;
    return vt__srv_listen(s, addr ? addr : "", NULL);
}
VT_API int vt_server_listen_tls(vt_server *s, const char *addr, const vt_tls_cfg *cfg) {
    if (s->error) return s->error;
    if (__atomic_load_n(&s->run->state, __ATOMIC_SEQ_CST) != VT__SRV_IDLE) return VT_ESTATE;
    return vt__srv_listen_tls(s, addr ? addr : "", cfg);
}
VT_API int vt_server_port(const vt_server *s, int i) {
    const vt__srv *srv = s->run;
    if (!srv || i < 0 || i >= srv->nlisteners) return -1;
    return __atomic_load_n(&srv->listeners[i].port, __ATOMIC_ACQUIRE);
}

/*--- accepting; scheduler context of a domain ---*/
/* At most one line a second, however bad it is. */
static void vt__srv_complain(vt__srv *srv, int err) {
    int64_t now = vt__plat_now(), due = __atomic_load_n(&srv->log_due, __ATOMIC_RELAXED);
    if (now < due || !__atomic_compare_exchange_n(&srv->log_due, &due, now + VT_SEC, false, __ATOMIC_RELAXED,
                                                  __ATOMIC_RELAXED))
        return;
    vt_log(VT_LOG_ERROR, "accept: %s (%s); %lld connections are open", vt_strerror(err), vt_err_name(err),
           (long long)__atomic_load_n(&srv->group.open, __ATOMIC_RELAXED));
}
static void vt__srv_shut_doors(vt__srv_dom *d) {
    for (int i = 0; d->open && i < d->srv->nlisteners; i++) vt__poll_remove(&d->doors[i].pd);
    d->open = false;
}
static int vt__srv_open_doors(vt__srv_dom *d) {
    if (d->open) return 0;
    d->open = true;
    for (int i = 0; i < d->srv->nlisteners; i++) {
        int r = vt__poll_listen_add(d->host->dom, &d->doors[i].pd);
        if (r >= 0) continue;
        vt__srv_shut_doors(d);
        return r;
    }
    return 0;
}
/* Until a connection is closed, or a while has passed. */
static void vt__srv_rest(vt__srv_dom *d) {
    vt__srv_shut_doors(d);
    __atomic_store_n(&d->resting, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&d->srv->group.tell, 1, __ATOMIC_SEQ_CST);
    vt__timer_arm(&d->host->dom->wheel, &d->timer, vt__plat_now() + VT__SRV_REST_NS);
}
/* A descriptor to give up when there is none. It can get lost: another worker may take its number first. */
static void vt__srv_reserve(vt__srv *srv) {
    if (__atomic_exchange_n(&srv->reserve_lock, 1, __ATOMIC_ACQUIRE)) return;
    if (srv->reserve < 0) srv->reserve = vt__plat_open("/dev/null", O_RDONLY | O_CLOEXEC, 0);
    __atomic_store_n(&srv->reserve_lock, 0, __ATOMIC_RELEASE);
}
static void vt__srv_resume(vt__srv_dom *d) {
    if (!__atomic_exchange_n(&d->resting, 0, __ATOMIC_SEQ_CST)) return;
    vt__srv_reserve(d->srv);
    vt__timer_cancel(&d->host->dom->wheel, &d->timer);
    if (__atomic_load_n(&d->srv->group.stopping, __ATOMIC_SEQ_CST)) return;
    if (vt__srv_open_doors(d) < 0) vt__srv_rest(d);
}
static void vt__srv_rested(vt__timer *t) { vt__srv_resume(VT__CONTAINER(t, vt__srv_dom, timer)); }
static void vt__srv_woken(vt__dom *dom, vt__msg *m) {
    vt__srv_dom *d = VT__CONTAINER(m, vt__srv_dom, wake);
    (void)dom;
    __atomic_store_n(&d->waking, 0, __ATOMIC_SEQ_CST);
    vt__srv_resume(d);
}
/* A connection was closed; any domain's thread. */
static void vt__srv_closed(vt__h1c_group *g) {
    vt__srv *srv = VT__CONTAINER(g, vt__srv, group);
    if (__atomic_load_n(&g->stopping, __ATOMIC_SEQ_CST)) {
        if (__atomic_load_n(&g->open, __ATOMIC_SEQ_CST) == 0) vt_sem_release(&srv->empty, 1);
        return;
    }
    for (int i = 0; i < srv->ndoms; i++) {
        vt__srv_dom *d = &srv->doms[i];
        if (__atomic_load_n(&d->resting, __ATOMIC_SEQ_CST) &&
            !__atomic_exchange_n(&d->waking, 1, __ATOMIC_SEQ_CST))
            vt__sched_post(d->host->dom, &d->wake);
    }
}
/* No descriptor is left: gives one up to tell a client so. */
static void vt__srv_turn_away(vt__srv *srv, int lfd, bool plain) {
    if (__atomic_exchange_n(&srv->reserve_lock, 1, __ATOMIC_ACQUIRE)) return;
    if (srv->reserve >= 0) {
        (void)vt__plat_close(srv->reserve);
        srv->reserve = -1;
        int fd = vt__plat_accept(lfd, NULL, NULL);
        if (fd >= 0 && plain) vt__h1c_turn_away(&srv->group.conf, fd);
        else if (fd >= 0) (void)vt__plat_close(fd);
    }
    __atomic_store_n(&srv->reserve_lock, 0, __ATOMIC_RELEASE);
    vt__srv_reserve(srv);
}
/* Takes one connection: 1; 0: there is none; < 0: no more can be taken at present. Under the lock. */
static int vt__srv_take(vt__srv_dom *d, int lfd, vt__tls_gate *gate) {
    vt__srv *srv = d->srv;
    vt__addr peer;
    int64_t *open = &srv->group.open;
    if (VT__UNLIKELY(__atomic_add_fetch(open, 1, __ATOMIC_SEQ_CST) > srv->max_open)) {
        __atomic_fetch_sub(open, 1, __ATOMIC_SEQ_CST);
        return VT_ELIMIT;
    }
    peer.len = sizeof peer.u;
    int fd = vt__plat_accept(lfd, &peer.u.sa, &peer.len);
    if (VT__LIKELY(fd >= 0)) {
        d->again = 0;
        vt__h1c_accept(d->host, fd, &peer, gate);
        return 1;
    }
    __atomic_fetch_sub(open, 1, __ATOMIC_SEQ_CST);
    if (fd == -EAGAIN) return 0;
    if (vt__io_accept_again(fd) && ++d->again < VT__IO_AGAIN_MAX) return 1;
    d->again = 0;
    vt__srv_complain(srv, fd);
    if (vt__io_accept_starved(fd)) vt__srv_turn_away(srv, lfd, !gate);
    return fd;
}
/* One connection at an event is one system call each; while the queue stays full, more. */
static void vt__srv_accept(vt__dom *dom, vt__pd *pd, unsigned bits) {
    vt__srv_door *door = VT__CONTAINER(pd, vt__srv_door, pd);
    int r = 1, n = 0;
    (void)dom, (void)bits;
    while (n < door->burst && (r = vt__srv_take(door->d, pd->fd, door->gate)) > 0) n++;
    if (r < 0) {
        vt__srv_rest(door->d);
    } else if (r == 0) {
        door->burst = VT__MAX(n, 1);
        door->streak = 0;
    } else if (++door->streak == 4) {
        door->burst = VT__MIN(door->burst * 2, VT__SRV_BURST);
        door->streak = 0;
    }
}

/*--- rounds: a message to every domain ---*/
static void vt__srv_round(vt__srv *srv, void (*fn)(vt__dom *dom, vt__msg *m)) {
    vt_wg_add(&srv->round, srv->ndoms);
    for (int i = 0; i < srv->ndoms; i++) {
        srv->doms[i].msg.fn = fn;
        vt__sched_post(srv->doms[i].host->dom, &srv->doms[i].msg);
    }
    (void)vt_wg_wait(&srv->round); /* under vt_shield */
}
static void vt__srv_on_open(vt__dom *dom, vt__msg *m) {
    vt__srv_dom *d = VT__CONTAINER(m, vt__srv_dom, msg);
    (void)dom;
    int r = vt__srv_open_doors(d);
    if (r < 0) __atomic_store_n(&d->srv->round_err, r, __ATOMIC_RELAXED);
    vt_wg_done(&d->srv->round);
}
static void vt__srv_on_stop(vt__dom *dom, vt__msg *m) {
    vt__srv_dom *d = VT__CONTAINER(m, vt__srv_dom, msg);
    (void)dom;
    vt__srv_shut_doors(d);
    vt__timer_cancel(&d->host->dom->wheel, &d->timer);
    vt__h1c_host_stop(d->host);
    vt_wg_done(&d->srv->round);
}
static void vt__srv_on_kill(vt__dom *dom, vt__msg *m) {
    vt__srv_dom *d = VT__CONTAINER(m, vt__srv_dom, msg);
    (void)dom;
    vt__h1c_host_kill(d->host);
    vt_wg_done(&d->srv->round);
}
/* Behind it no event of an older reactor pass is on its way. */
static void vt__srv_on_quit(vt__dom *dom, vt__msg *m) {
    vt__srv_dom *d = VT__CONTAINER(m, vt__srv_dom, msg);
    (void)dom;
    vt__h1c_host_quit(d->host);
    vt__poll_forget(d->host->dom);
    vt_wg_done(&d->srv->round);
}

/*--- starting ---*/
static void vt__srv_close_listeners(vt__srv *srv) {
    for (int i = 0; i < srv->nlisteners; i++) {
        vt__srv_listener *l = &srv->listeners[i];
        if (l->fd < 0) continue;
        if (strncmp(l->addr, "unix:", 5) == 0 && l->addr[5] != '@') (void)vt__plat_unlink(l->addr + 5);
        (void)vt__plat_close(l->fd);
        l->fd = -1;
        __atomic_store_n(&l->port, -1, __ATOMIC_RELEASE);
    }
    if (srv->reserve >= 0) (void)vt__plat_close(srv->reserve);
    srv->reserve = -1;
}
/* An error of this start alone: the server may be started again. */
static int vt__srv_fail(vt__srv *srv, int err, const char *what) {
    vt_server *s = srv->server;
    snprintf(s->error_text, sizeof s->error_text, "%s: %s (%s)", what, vt_strerror(err), vt_err_name(err));
    vt_log(VT_LOG_ERROR, "%s", s->error_text);
    return err;
}
static int vt__srv_open_listeners(vt__srv *srv) {
    const vt_server_cfg *c = &srv->server->cfg;
    vt_sock_cfg sc;
    memset(&sc, 0, sizeof sc);
    sc.backlog = c->backlog;
    sc.reuseport = c->reuseport;
    for (int i = 0; i < srv->nlisteners; i++) {
        vt__srv_listener *l = &srv->listeners[i];
        int fd = vt__io_listen_fd(l->addr, &sc);
        if (fd < 0) return vt__srv_fail(srv, fd, l->addr);
        l->fd = fd;
        int port = vt__io_port_of(fd);
        __atomic_store_n(&l->port, VT__MAX(port, 0), __ATOMIC_RELEASE);
    }
    vt__srv_reserve(srv);
    return 0;
}
static int vt__srv_make_doms(vt__srv *srv) {
    size_t n = (size_t)vt__sched_g.ndoms, k = (size_t)srv->nlisteners;
    srv->group.hosts = vt__mem_zalloc(n * sizeof *srv->group.hosts);
    srv->doms = vt__mem_zalloc(n * sizeof *srv->doms);
    srv->doors = vt__mem_zalloc(n * k * sizeof *srv->doors);
    if (!srv->group.hosts || !srv->doms || !srv->doors) return vt__srv_fail(srv, -ENOMEM, "start");
    srv->ndoms = (int)n;
    for (size_t i = 0; i < n; i++) {
        vt__srv_dom *d = &srv->doms[i];
        d->srv = srv;
        d->host = &srv->group.hosts[i];
        vt__h1c_host_init(d->host, &srv->group, vt__sched_g.doms[i]);
        d->doors = srv->doors + i * k;
        d->wake.fn = vt__srv_woken;
        vt__timer_init(&d->timer, vt__srv_rested);
        for (size_t j = 0; j < k; j++) {
            vt__poll_pd_init(&d->doors[j].pd, srv->listeners[j].fd);
            d->doors[j].pd.sink = vt__srv_accept;
            d->doors[j].d = d;
            d->doors[j].gate = srv->listeners[j].gate;
            d->doors[j].burst = 1;
        }
    }
    return 0;
}

/*--- draining: the server's own vthread ---*/
static int vt__srv_last_guest(vt__srv_dom *d, const vt__srv_listener *l) {
    vt__sched_dom_lock(d->host->dom);
    int r = vt__srv_take(d, l->fd, l->gate);
    vt__sched_dom_unlock(d->host->dom);
    return r;
}
/* Connections that the kernel had accepted before the doors were shut are served, at a limit as others close: as many as
 * its queue holds, since more may come until it is closed. */
static void vt__srv_last_guests(vt__srv *srv, int64_t until) {
    vt__srv_dom *d = &srv->doms[vt__sched_thr()->dom->index];
    for (int i = 0, r = 1; i < srv->nlisteners; i++)
        for (int left = srv->server->cfg.backlog + 1;
             left > 0 && (r = vt__srv_last_guest(d, &srv->listeners[i])) != 0;) {
            if (r > 0) left--;
            else if (until >= 0 && vt__plat_now() >= until) return;
            else (void)vt_sleep_ms(5);
        }
}
static bool vt__srv_wait_empty(vt__srv *srv, int64_t until) {
    while (__atomic_load_n(&srv->group.open, __ATOMIC_SEQ_CST) > 0)
        if (vt_sem_acquire_until(&srv->empty, until) < 0) break;
    return __atomic_load_n(&srv->group.open, __ATOMIC_SEQ_CST) == 0;
}
/* False: requests outlived the grace period. */
static bool vt__srv_drain(vt__srv *srv, bool guests) {
    int64_t grace = vt__srv_ns(srv->server->cfg.grace_ms);
    int64_t until = grace ? vt__plat_now() + grace : VT_NONE;
    __atomic_store_n(&srv->group.stopping, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&srv->group.tell, 1, __ATOMIC_SEQ_CST);
    vt__srv_round(srv, vt__srv_on_stop);
    if (guests) vt__srv_last_guests(srv, until);
    vt__srv_close_listeners(srv);
    if (vt__srv_wait_empty(srv, until)) return true;
    vt__srv_round(srv, vt__srv_on_kill);
    (void)vt__srv_wait_empty(srv, vt__plat_now() + VT__SRV_LAST_NS);
    return false;
}
/* All connections are gone, or belong to handlers that cannot be stopped: those keep what they use. */
/* Twice: a close that saw no stop yet may have posted its message behind the first round. */
static void vt__srv_quit_doms(vt__srv *srv) {
    vt__srv_round(srv, vt__srv_on_quit);
    vt__srv_round(srv, vt__srv_on_quit);
}
/* Servers that a stop of the runtime stops; under the lock of the first domain. */
static vt__list vt__srv_started = {&vt__srv_started, &vt__srv_started};
static void vt__srv_unlist(vt__srv *srv) {
    vt__dom *first = vt__sched_g.doms[0];
    vt__sched_dom_lock(first);
    vt__ds_list_remove(&srv->link);
    vt__sched_dom_unlock(first);
}
static void vt__srv_end(vt__srv *srv, int result) {
    vt_server *s = srv->server;
    bool left = __atomic_load_n(&srv->group.open, __ATOMIC_SEQ_CST) > 0;
    if (!left) {
        vt__srv_quit_doms(srv);
        vt__srv_drop_conns(srv);
    }
    if (result < 0) (void)vt__srv_fail(srv, result, "requests outlived grace_ms");
    if (s->cfg.on_stopped) s->cfg.on_stopped(s, s->cfg.ctx);
    srv->result = result;
    s->running = left; /* then it cannot be started again */
    __atomic_store_n(&srv->left, left, __ATOMIC_SEQ_CST);
    vt_wg_done(&srv->ended);
    if (!left)
        __atomic_store_n(&srv->state, VT__SRV_IDLE, __ATOMIC_SEQ_CST); /* the last touch: it may be freed */
}
static int vt__srv_main(void *arg) {
    vt__srv *srv = arg;
    vt_shield(true);
    (void)vt_deadline_set(0); /* that of whoever started the server is not the server's */
    __atomic_store_n(&srv->state, VT__SRV_DRAINING, __ATOMIC_SEQ_CST);
    vt__srv_unlist(srv);
    int r = vt__srv_drain(srv, true) ? 0 : -ETIMEDOUT;
    __atomic_fetch_sub(&vt__sched_g.sources, 1, __ATOMIC_SEQ_CST);
    vt__srv_end(srv, r);
    return 0;
}
static void vt__srv_on_stop_msg(vt__dom *dom, vt__msg *m) {
    (void)dom;
    vt__rt_launch(vt__sched_thr(), VT__CONTAINER(m, vt__srv, stop_msg)->drain, VT__TASK_ANY);
}
static bool vt__srv_moves(vt__srv *srv, uint32_t from, uint32_t to) {
    return __atomic_compare_exchange_n(&srv->state, &from, to, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}
/* Begins the drain, once: from a state that only a server that runs has. */
static void vt__srv_halt(vt__srv *srv, uint32_t from) {
    if (!vt__srv_moves(srv, from, VT__SRV_STOPPING)) return;
    vt__sched_post(srv->group.hosts[0].dom, &srv->stop_msg); /* the last touch, as far as we know */
}
VT_API void vt_server_stop(vt_server *s) {
    vt__srv *srv = s->run;
    if (!srv || vt__srv_moves(srv, VT__SRV_STARTING, VT__SRV_HALTED)) return;
    vt__srv_halt(srv, VT__SRV_RUNNING);
}

/* In the first domain, under its lock: the runtime is stopped. */
static void vt__srv_stopping(void) {
    for (vt__list *n = vt__srv_started.next; n != &vt__srv_started; n = n->next)
        vt_server_stop(VT__CONTAINER(n, vt__srv, link)->server);
}
__attribute__((constructor(101))) static void vt__srv_register(void) {
    vt__sched_up.stopping = vt__srv_stopping;
}
/* Whoever stops the runtime finds the server in the list, or is found to have done so by the spawn. */
static int vt__srv_stand_by(vt__srv *srv) {
    vt__dom *first = vt__sched_g.doms[0];
    vt__sched_dom_lock(first);
    vt__ds_list_push(&vt__srv_started, &srv->link);
    vt__sched_dom_unlock(first);
    int r = vt__rt_prepare(vt__sched_thr(), vt__srv_main, srv, "vt_server_start",
                           VT__TASK_DETACHED | VT__TASK_ANY, &srv->drain);
    if (r < 0) vt__srv_unlist(srv);
    return r;
}
/* Reads the certificates of every TLS listener; the first error, told in `text`. */
static int vt__srv_load(vt__srv *srv, char *text, size_t cap) {
    int err = 0;
    for (int i = 0; i < srv->nlisteners && err == 0; i++)
        if (srv->listeners[i].gate) err = vt__tls_gate_load(srv->listeners[i].gate, text, cap);
    return err;
}
static int vt__srv_reload(void *arg) {
    char why[512];
    int r = vt__srv_load(arg, why, sizeof why);
    if (r < 0) vt_log(VT_LOG_ERROR, "the certificates stay as they were: %s", why);
    else vt_log(VT_LOG_INFO, "the certificates are read");
    return r;
}
static int vt__srv_reload_main(void *arg) {
    int r = vt_blocking(vt__srv_reload, arg, NULL);
    if (r < 0) vt_log(VT_LOG_ERROR, "the certificates stay as they were: %s", vt_strerror(r));
    return r;
}
static void vt__srv_on_reload_msg(vt__dom *dom, vt__msg *m) {
    vt__srv *srv = VT__CONTAINER(m, vt__srv, reload_msg);
    (void)dom;
    __atomic_store_n(&srv->reloading, 0, __ATOMIC_SEQ_CST);
    (void)vt_go_any(vt__srv_reload_main, srv);
}

static int vt__srv_start(vt__srv *srv) {
    vt_server *s = srv->server;
    vt__h1c_group *g = &srv->group;
    vt__srv_drop_doms(srv); /* of the run before, maybe in a runtime that is gone */
    int r = s->cfg.on_start ? s->cfg.on_start(s, s->cfg.ctx) : 0;
    if (r < 0) return vt__srv_fail(srv, r, "on_start");
    memset(g, 0, sizeof *g);
    g->server = s;
    g->closed = vt__srv_closed;
    vt__srv_resolve(&g->conf, &s->cfg);
    srv->max_open = vt__srv_max(s->cfg.max_connections);
    srv->empty = (vt_sem){0};
    srv->left = 0;
    srv->round_err = srv->result = 0;
    srv->stop_msg.fn = vt__srv_on_stop_msg;
    srv->reload_msg.fn = vt__srv_on_reload_msg;
    srv->reloading = 0;
    char why[512];
    if ((r = vt__srv_load(srv, why, sizeof why)) < 0) return vt__srv_fail(srv, r, why);
    if ((r = vt__srv_open_listeners(srv)) < 0 || (r = vt__srv_make_doms(srv)) < 0) return r;
    vt_shield(true);
    vt__srv_round(srv, vt__srv_on_open);
    vt_shield(false);
    if (srv->round_err < 0) return vt__srv_fail(srv, srv->round_err, "start");
    if ((r = vt__srv_stand_by(srv)) < 0) return vt__srv_fail(srv, r, "start");
    vt_wg_add(&srv->ended, 1);
    __atomic_fetch_add(&vt__sched_g.sources, 1, __ATOMIC_SEQ_CST);
    return 0;
}
/* For whoever started the program by hand: what to open. */
static void vt__srv_announce(const vt__srv *srv) {
    for (int i = 0; i < srv->nlisteners; i++) {
        const vt__srv_listener *l = &srv->listeners[i];
        const char *colon = strrchr(l->addr, ':');
        vt_str host = {l->addr, colon ? (size_t)(colon - l->addr) : 0};
        if (!host.len || vt__str_eq(host, VT__STR_LIT("0.0.0.0")) || vt__str_eq(host, VT__STR_LIT("[::]")))
            host = VT__STR_LIT("127.0.0.1");
        if (l->port > 0)
            vt_log(VT_LOG_INFO, "listening on %s://%.*s:%d/", l->gate ? "https" : "http", (int)host.len,
                   host.ptr, l->port);
        else vt_log(VT_LOG_INFO, "listening on %s", l->addr);
    }
}
/* A start that failed late: what was let in meanwhile gets its time, as in a drain. True: nothing is left. */
static bool vt__srv_undo(vt__srv *srv) {
    vt_shield(true);
    (void)vt__srv_drain(srv, false);
    bool empty = __atomic_load_n(&srv->group.open, __ATOMIC_SEQ_CST) == 0;
    if (empty) vt__srv_quit_doms(srv);
    vt_shield(false);
    return empty;
}
VT_API int vt_server_start(vt_server *s) {
    vt__srv *srv = s->run;
    if (s->error) {
        vt_log(VT_LOG_ERROR, "%s", s->error_text);
        return s->error;
    }
    if (!vt_on_vthread()) return -EPERM;
    if (!vt__srv_moves(srv, VT__SRV_IDLE, VT__SRV_STARTING)) return VT_ESTATE;
    s->running = true;
    s->error_text[0] = 0;
    int r = vt__srv_start(srv);
    if (r < 0) {
        bool left = srv->doms && !vt__srv_undo(srv); /* some domains may have opened */
        vt__srv_close_listeners(srv);
        if (!left) vt__srv_drop_doms(srv);
        s->running = left;
        srv->result = r;
        __atomic_store_n(&srv->state, left ? VT__SRV_DRAINING : VT__SRV_IDLE, __ATOMIC_SEQ_CST);
        return r;
    }
    vt__srv_announce(srv);
    void (*ready)(vt_server *, void *) = s->cfg.on_ready;
    void *ctx = s->cfg.ctx;
    bool runs = vt__srv_moves(srv, VT__SRV_STARTING, VT__SRV_RUNNING); /* then it may end on another thread */
    if (ready) ready(s, ctx);
    if (!runs) vt__srv_halt(srv, VT__SRV_HALTED); /* a stop came while it started */
    return 0;
}
VT_API int vt_server_wait(vt_server *s) {
    vt__srv *srv = s->run;
    if (!srv) return s->error;
    int r = vt_wg_wait(&srv->ended);
    if (r < 0) return r;
    r = srv->result;
    while (__atomic_load_n(&srv->state, __ATOMIC_SEQ_CST) == VT__SRV_DRAINING &&
           !__atomic_load_n(&srv->left, __ATOMIC_SEQ_CST))
        vt__plat_relax(); /* a few instructions of another worker's */
    return r;
}
VT_API int vt_server_tls_reload(vt_server *s) {
    vt__srv *srv = s->run;
    int err = VT_ESTATE;
    if (!srv || __atomic_load_n(&srv->state, __ATOMIC_SEQ_CST) != VT__SRV_RUNNING) return err;
    if (!vt_on_vthread()) return vt__srv_reload(srv);
    int r = vt_blocking(vt__srv_reload, srv, &err);
    return r < 0 ? r : err;
}
VT_API void vt_server_stats_get(const vt_server *s, vt_server_stats *out) {
    const vt__srv *srv = s->run;
    memset(out, 0, sizeof *out);
    if (!srv) return;
    uint32_t state = __atomic_load_n(&srv->state, __ATOMIC_SEQ_CST);
    if (state == VT__SRV_STARTING || state == VT__SRV_HALTED) return;
    out->open = __atomic_load_n(&srv->group.open, __ATOMIC_RELAXED);
    for (int i = 0; i < srv->ndoms; i++) {
        const vt__h1c_host *h = &srv->group.hosts[i];
        out->accepted += __atomic_load_n(&h->accepted, __ATOMIC_RELAXED);
        out->parked += __atomic_load_n(&h->nparked, __ATOMIC_RELAXED);
        out->requests += __atomic_load_n(&h->requests, __ATOMIC_RELAXED);
        out->refused += __atomic_load_n(&h->refused, __ATOMIC_RELAXED);
        out->bad_requests += __atomic_load_n(&h->bad, __ATOMIC_RELAXED);
        out->timeouts += __atomic_load_n(&h->timeouts, __ATOMIC_RELAXED);
        out->queued += __atomic_load_n(&h->queued, __ATOMIC_RELAXED);
        out->waiting += __atomic_load_n(&h->waiting, __ATOMIC_RELAXED);
    }
}

/*--- a server as the whole program ---*/
static struct {
    vt_server *server;
    uint32_t seen;
    struct vt__plat_sa old[2], old_hup;
} vt__srv_signals;
static const int vt__srv_signal_list[2] = {SIGINT, SIGTERM};

static void vt__srv_chain(const struct vt__plat_sa *old, int sig, void *info, void *context) {
    if (old->flags & VT__SA_SIGINFO) old->fn.action(sig, info, context);
    else if (old->fn.handler != SIG_DFL && old->fn.handler != SIG_IGN) old->fn.handler(sig);
}
static void vt__srv_on_hup(int sig, void *info, void *context) {
    int saved = errno;
    vt__srv *srv = vt__srv_signals.server->run;
    if (__atomic_load_n(&srv->state, __ATOMIC_SEQ_CST) == VT__SRV_RUNNING &&
        !__atomic_exchange_n(&srv->reloading, 1, __ATOMIC_SEQ_CST))
        vt__sched_post(srv->group.hosts[0].dom, &srv->reload_msg);
    vt__srv_chain(&vt__srv_signals.old_hup, sig, info, context);
    errno = saved;
}

static void vt__srv_on_signal(int sig, void *info, void *context) {
    int saved = errno;
    const struct vt__plat_sa *old = &vt__srv_signals.old[sig == SIGTERM];
    if (__atomic_exchange_n(&vt__srv_signals.seen, 1,
                            __ATOMIC_SEQ_CST)) { /* the second: as if we were not here */
        struct vt__plat_sa dfl;
        memset(&dfl, 0, sizeof dfl);
        (void)vt__plat_sigaction(sig, &dfl, NULL);
        (void)vt__plat_kill(sig);
    } else {
        vt_server_stop(vt__srv_signals.server);
        vt__srv_chain(old, sig, info, context);
    }
    errno = saved;
}
static void vt__srv_signals_set(vt_server *s) {
    struct vt__plat_sa sa;
    memset(&sa, 0, sizeof sa);
    sa.fn.action = vt__srv_on_signal;
    sa.flags = VT__SA_SIGINFO | VT__SA_RESTART;
    vt__srv_signals.server = s;
    __atomic_store_n(&vt__srv_signals.seen, 0, __ATOMIC_SEQ_CST);
    for (int i = 0; i < 2; i++)
        (void)vt__plat_sigaction(vt__srv_signal_list[i], &sa, &vt__srv_signals.old[i]);
}
static void vt__srv_hup_set(vt_server *s) {
    struct vt__plat_sa sa;
    memset(&sa, 0, sizeof sa);
    sa.fn.action = vt__srv_on_hup;
    sa.flags = VT__SA_SIGINFO | VT__SA_RESTART;
    vt__srv_signals.server = s;
    (void)vt__plat_sigaction(SIGHUP, &sa, &vt__srv_signals.old_hup);
}
static void vt__srv_signals_restore(void) {
    for (int i = 0; i < 2; i++)
        (void)vt__plat_sigaction(vt__srv_signal_list[i], &vt__srv_signals.old[i], NULL);
}
static int vt__srv_run_main(void *arg) {
    vt_server *s = arg;
    bool signals = !s->cfg.no_signals, hup = s->cfg.reload_on_hup != 0;
    if (signals) vt__srv_signals_set(s);
    if (hup) vt__srv_hup_set(s);
    int r = vt_server_start(s);
    vt_shield(true); /* vt_stop stops the server, and its end ends this wait */
    if (r >= 0) r = vt_server_wait(s);
    vt_shield(false);
    if (signals) vt__srv_signals_restore();
    if (hup) (void)vt__plat_sigaction(SIGHUP, &vt__srv_signals.old_hup, NULL);
    return r;
}
VT_API int vt_server_run(vt_server *s) {
    vt_cfg c;
    if (s->error) {
        vt_log(VT_LOG_ERROR, "%s", s->error_text);
        return s->error;
    }
    memset(&c, 0, sizeof c);
    c.workers = s->cfg.workers;
    c.stack_bytes = (size_t)s->cfg.stack_bytes;
    c.max_vthreads = s->cfg.max_vthreads;
    c.stall_ms = s->cfg.stall_ms;
    c.max_spares = s->cfg.max_spares;
    c.deadlock = s->cfg.deadlock;
    int r = vt_run(&c, vt__srv_run_main, s);
    if (__atomic_load_n(&s->run->state, __ATOMIC_SEQ_CST) == VT__SRV_DRAINING) {
        vt__srv_drop_conns(s->run); /* by now late handlers have ended as well */
        s->running = false;
        __atomic_store_n(&s->run->state, VT__SRV_IDLE, __ATOMIC_SEQ_CST);
    }
    if (r < 0 && !s->error_text[0]) vt_log(VT_LOG_ERROR, "%s (%s)", vt_strerror(r), vt_err_name(r));
    return r;
}

/*==============================================================================
 * MARK: - @conf    configuration: arguments, environment, files
 * uses:   @plat @mem @str @err @log @http @srv
 * test:   tests/test_conf.c   fuzz: fuzz/fuzz_conf.c
 *
 * One row a field of vt_server_cfg says everything about it: key, argument, kind, range. Sources are applied from the
 * weakest to the strongest onto one vt_server_cfg, so the last one wins and needs no rank: files in the order of
 * -config=, environment, -P:, named arguments. The first bad value stops the reading; its text begins with the place
 * where it stands. The reader of a file's text (vt__conf_text) touches nothing but memory.
 *============================================================================*/
enum vt__conf_kind {
    VT__CONF_COUNT,
    VT__CONF_BYTES, /* k, m, g, KiB, MiB, GiB */
    VT__CONF_MS,    /* ms, s, m, h */
    VT__CONF_FLAG,
    VT__CONF_CANCEL, /* enum vt_cancel_on, by name */
    VT__CONF_STRING
};
enum vt__conf_flags {
    VT__CONF_NONE = 1,      /* "none" is VT_NONE */
    VT__CONF_ZERO_NONE = 2, /* 0 is VT_NONE: in the struct 0 would be the default */
    VT__CONF_ARG = 4,       /* has an argument of its own, -key= */
    VT__CONF_SECRET = 8     /* refused in arguments, which every user of the machine may read; never quoted */
};
#define VT__CONF_GIB (INT64_C(1) << 30)

/* key, field, kind, flags, min, max */
#define VT__CONF_FIELDS(X)                                                                                   \
    X("host", host, STRING, VT__CONF_ARG, 0, 0)                                                              \
    X("port", port, COUNT, VT__CONF_ARG | VT__CONF_ZERO_NONE, 0, 65535)                                      \
    X("addr", addr, STRING, VT__CONF_ARG, 0, 0)                                                              \
    X("workers", workers, COUNT, VT__CONF_ARG, 1, 256)                                                       \
    X("stackBytes", stack_bytes, BYTES, 0, 16384, VT__CONF_GIB)                                              \
    X("stallMs", stall_ms, MS, VT__CONF_NONE, 1, 3600000)                                                    \
    X("maxSpares", max_spares, COUNT, VT__CONF_NONE, 1, 256)                                                 \
    X("deadlock", deadlock, COUNT, VT__CONF_NONE, 0, 1)                                                      \
    X("maxConnections", max_connections, COUNT, VT__CONF_NONE, 1, INT64_MAX)                                 \
    X("maxVthreads", max_vthreads, COUNT, VT__CONF_NONE, 1, INT64_MAX)                                       \
    X("maxQueued", max_queued, COUNT, VT__CONF_NONE, 1, INT64_MAX)                                           \
    X("queueTimeoutMs", queue_timeout_ms, MS, VT__CONF_NONE, 1, VT__CONF_MS_MAX)                             \
    X("maxHeaderBytes", max_header_bytes, BYTES, VT__CONF_NONE, 1, VT__CONF_GIB)                             \
    X("maxHeaderCount", max_header_count, COUNT, VT__CONF_NONE, 1, 1000000)                                  \
    X("maxRequestLine", max_request_line, BYTES, VT__CONF_NONE, 1, VT__CONF_GIB)                             \
    X("maxBody", max_body, BYTES, VT__CONF_NONE, 1, INT64_MAX)                                               \
    X("maxChunkLine", max_chunk_line, BYTES, VT__CONF_NONE, 1, VT__CONF_GIB)                                 \
    X("maxTrailerBytes", max_trailer_bytes, BYTES, VT__CONF_NONE, 1, VT__CONF_GIB)                           \
    X("maxDrain", max_drain, BYTES, VT__CONF_NONE, 1, INT64_MAX)                                             \
    X("maxKeepAlive", max_keep_alive, COUNT, VT__CONF_NONE, 1, INT64_MAX)                                    \
    X("headerTimeoutMs", header_timeout_ms, MS, VT__CONF_NONE, 1, VT__CONF_MS_MAX)                           \
    X("bodyTimeoutMs", body_timeout_ms, MS, VT__CONF_NONE, 1, VT__CONF_MS_MAX)                               \
    X("minBodyRate", min_body_rate, BYTES, VT__CONF_NONE, 1, INT64_MAX)                                      \
    X("writeTimeoutMs", write_timeout_ms, MS, VT__CONF_NONE, 1, VT__CONF_MS_MAX)                             \
    X("idleTimeoutMs", idle_timeout_ms, MS, VT__CONF_NONE, 1, VT__CONF_MS_MAX)                               \
    X("handlerTimeoutMs", handler_timeout_ms, MS, VT__CONF_NONE, 1, VT__CONF_MS_MAX)                         \
    X("graceMs", grace_ms, MS, VT__CONF_NONE, 1, VT__CONF_MS_MAX)                                            \
    X("retryAfterS", retry_after_s, COUNT, 0, 1, 86400)                                                      \
    X("backlog", backlog, COUNT, 0, 1, 65535)                                                                \
    X("reuseport", reuseport, FLAG, 0, 0, 1)                                                                 \
    X("cancelOn", cancel_on, CANCEL, 0, 0, 2)                                                                \
    X("noSignals", no_signals, FLAG, 0, 0, 1)                                                                \
    X("sslPort", ssl_port, COUNT, VT__CONF_ARG | VT__CONF_ZERO_NONE, 0, 65535)                               \
    X("sslCert", ssl_cert, STRING, VT__CONF_ARG, 0, 0)                                                       \
    X("sslKey", ssl_key, STRING, VT__CONF_ARG, 0, 0)                                                         \
    X("sslKeyPasswordFile", ssl_key_password_file, STRING, VT__CONF_ARG, 0, 0)                               \
    X("sslClientCA", ssl_client_ca, STRING, VT__CONF_ARG, 0, 0)                                              \
    X("sslMinVersion", ssl_min_version, COUNT, VT__CONF_ARG, 12, 13)                                         \
    X("sslOnly", ssl_only, FLAG, 0, 0, 1)                                                                    \
    X("sslRedirect", ssl_redirect, FLAG, 0, 0, 1)                                                            \
    X("reloadOnHup", reload_on_hup, FLAG, 0, 0, 1)                                                           \
    X("noDate", no_date, FLAG, 0, 0, 1)                                                                      \
    X("serverName", server_name, STRING, 0, 0, 0)
#define VT__CONF_MS_MAX (INT64_C(366) * 86400 * 1000) /* far from overflow in nanoseconds */

typedef struct vt__conf_row {
    const char *key;
    uint16_t offset;
    uint8_t size, kind, flags;
    int64_t min, max;
} vt__conf_row;

#define VT__CONF_SIZE(field) sizeof(((vt_server_cfg *)0)->field)
#define VT__CONF_ROW(key, field, kind, flags, min, max)                                                      \
    {key, offsetof(vt_server_cfg, field), VT__CONF_SIZE(field), VT__CONF_##kind, flags, min, max},
static const vt__conf_row vt__conf_rows[] = {VT__CONF_FIELDS(VT__CONF_ROW)};

#define VT__CONF_ROWS_MAX 48
#define VT__CONF_LINE_MAX 4096
#define VT__CONF_FILE_MAX ((size_t)1 << 20)

typedef struct vt__conf {
    const vt__conf_row *rows;
    size_t nrows;
    vt_server_cfg cfg;
    char *owned[VT__CONF_ROWS_MAX]; /* the strings of cfg that were read here, by row */
    char place[300];                /* where the value that is being read stands */
    char error[sizeof((vt_server *)0)->error_text];
} vt__conf;

extern char **vt__libc_environ __asm__("environ");

static void vt__conf_begin(vt__conf *c, const vt_server_cfg *base) {
    memset(c, 0, sizeof *c);
    c->rows = vt__conf_rows;
    c->nrows = VT__COUNT(vt__conf_rows);
    if (base) c->cfg = *base;
}

static void vt__conf_end(vt__conf *c) {
    for (size_t i = 0; i < c->nrows; i++) vt__mem_free(c->owned[i]);
}

static VT_PRINTF(2, 3) int vt__conf_fail(vt__conf *c, const char *fmt, ...) {
    if (c->error[0]) return VT_ECONF;
    int n = snprintf(c->error, sizeof c->error, "%s: ", c->place);
    va_list ap;
    va_start(ap, fmt);
    if (n > 0) vsnprintf(c->error + n, sizeof c->error - (size_t)n, fmt, ap);
    va_end(ap);
    for (char *p = c->error; *p; p++) /* arguments may hold anything, the log is lines */
        if ((unsigned char)*p < ' ' || *p == 0x7f) *p = '?';
    return VT_ECONF;
}

/* Paths keep their end, which tells more. */
static void vt__conf_place_line(vt__conf *c, const char *file, int line) {
    size_t n = strlen(file), cut = n > 200 ? n - 200 : 0;
    const char *dots = cut ? "..." : "";
    if (line) snprintf(c->place, sizeof c->place, "%s%s:%d", dots, file + cut, line);
    else snprintf(c->place, sizeof c->place, "%s%s", dots, file + cut);
}

static const vt__conf_row *vt__conf_find(const vt__conf *c, vt_str key) {
    for (size_t i = 0; i < c->nrows; i++)
        if (vt__str_eq(vt__str_of(c->rows[i].key), key)) return &c->rows[i];
    return NULL;
}

/* "idleTimeoutMs" is VTHTTP_IDLE_TIMEOUT_MS, "sslClientCA" VTHTTP_SSL_CLIENT_CA. */
static void vt__conf_env_name(const char *key, char out[64]) {
    bool was = false;
    size_t n = 7;
    memcpy(out, "VTHTTP_", 7);
    for (; *key && n < 62; key++) {
        bool upper = *key >= 'A' && *key <= 'Z';
        if (upper && !was) out[n++] = '_';
        was = upper;
        out[n++] = (char)(*key >= 'a' && *key <= 'z' ? *key - 32 : *key);
    }
    out[n] = 0;
}

static int vt__conf_number(const vt__conf_row *row, vt_str text, int64_t *out) {
    static const struct {
        char suffix[4];
        uint8_t kind;
        int64_t unit;
    } units[] = {{"k", VT__CONF_BYTES, 1 << 10},
                 {"kib", VT__CONF_BYTES, 1 << 10},
                 {"m", VT__CONF_BYTES, 1 << 20},
                 {"mib", VT__CONF_BYTES, 1 << 20},
                 {"g", VT__CONF_BYTES, 1 << 30},
                 {"gib", VT__CONF_BYTES, 1 << 30},
                 {"ms", VT__CONF_MS, 1},
                 {"s", VT__CONF_MS, 1000},
                 {"m", VT__CONF_MS, INT64_C(60000)},
                 {"h", VT__CONF_MS, INT64_C(3600000)}};
    vt_str digits = {text.ptr, 0};
    while (digits.len < text.len && text.ptr[digits.len] >= '0' && text.ptr[digits.len] <= '9') digits.len++;
    vt_str suffix = {text.ptr + digits.len, text.len - digits.len};
    int64_t unit = suffix.len ? 0 : 1, v = 0;
    for (size_t i = 0; i < VT__COUNT(units); i++)
        if (units[i].kind == row->kind && vt__str_eq_ci(vt__str_of(units[i].suffix), suffix))
            unit = units[i].unit;
    if (unit == 0) return -EINVAL;
    int err = vt__str_u63(digits, INT64_MAX, &v);
    if (err < 0) return err;
    if (v > row->max / unit || v * unit < row->min) return -ERANGE;
    *out = v * unit;
    return 0;
}

/* Index of `word` in the blank-separated `list`, or -1. */
static int64_t vt__conf_word(const char *list, vt_str word) {
    for (int64_t i = 0; *list; i++) {
        size_t n = strcspn(list, " ");
        if (vt__str_eq_ci((vt_str){list, n}, word)) return i;
        list += n + (list[n] == ' ');
    }
    return -1;
}

static int vt__conf_parse(const vt__conf_row *row, vt_str text, int64_t *out) {
    if ((row->flags & VT__CONF_NONE) && vt__str_eq_ci(text, VT__STR_LIT("none"))) {
        *out = VT_NONE;
        return 0;
    }
    if (row->kind == VT__CONF_FLAG || row->kind == VT__CONF_CANCEL) {
        bool flag = row->kind == VT__CONF_FLAG;
        int64_t i = vt__conf_word(flag ? "0 1 no yes off on false true" : "reset fin never", text);
        *out = flag ? i % 2 : i;
        return i < 0 ? -EINVAL : 0;
    }
    int err = vt__conf_number(row, text, out);
    if (err == 0 && *out == 0 && (row->flags & VT__CONF_ZERO_NONE)) *out = VT_NONE;
    return err;
}

static int vt__conf_refuse(vt__conf *c, const vt__conf_row *row, vt_str v, int err) {
    static const char *const wants[] = {"a number",
                                        "a size such as 4096, 16k or 1MiB",
                                        "a time such as 250, 250ms, 5s or 2m",
                                        "yes or no",
                                        "reset, fin or never",
                                        "text without control characters"};
    const char *none = row->flags & VT__CONF_NONE ? ", or none" : "";
    int n = row->flags & VT__CONF_SECRET ? 0 : (int)VT__MIN(v.len, 80u);
    if (err == -ERANGE && row->max == INT64_MAX)
        return vt__conf_fail(c, "%s: '%.*s' is out of range (%lld and more%s)", row->key, n, v.ptr,
                             (long long)row->min, none);
    if (err == -ERANGE)
        return vt__conf_fail(c, "%s: '%.*s' is out of range (%lld to %lld%s)", row->key, n, v.ptr,
                             (long long)row->min, (long long)row->max, none);
    return vt__conf_fail(c, "%s: '%.*s' is not %s%s", row->key, n, v.ptr, wants[row->kind], none);
}

static int vt__conf_put_string(vt__conf *c, const vt__conf_row *row, vt_str v) {
    size_t i = (size_t)(row - c->rows);
    for (size_t k = 0; k < v.len; k++)
        if ((unsigned char)v.ptr[k] < ' ' || v.ptr[k] == 0x7f) return vt__conf_refuse(c, row, v, -EINVAL);
    char *copy = vt__mem_strdup(v.ptr, v.len);
    if (!copy) return vt__conf_fail(c, "%s: out of memory", row->key);
    vt__mem_free(c->owned[i]);
    c->owned[i] = copy;
    *(const char **)(void *)((char *)&c->cfg + row->offset) = copy;
    return 0;
}

static int vt__conf_put_number(vt__conf *c, const vt__conf_row *row, vt_str v) {
    void *at = (char *)&c->cfg + row->offset;
    int64_t n;
    int err = vt__conf_parse(row, v, &n);
    if (err < 0) return vt__conf_refuse(c, row, v, err);
    if (row->size == sizeof(int)) *(int *)at = (int)n;
    else *(int64_t *)at = n;
    return 0;
}

/* addr stands in place of host and port; a stronger source that gives one of them means the other of addr to stay,
 * lest -port= widens a loopback address to every address. */
static int vt__conf_addr_split(vt__conf *c, const vt__conf_row *row) {
    const char *addr = c->cfg.addr, *colon = addr ? strrchr(addr, ':') : NULL;
    const vt__conf_row *host = vt__conf_find(c, VT__STR_LIT("host")),
                       *port = vt__conf_find(c, VT__STR_LIT("port"));
    if (!addr || (row != host && row != port)) return 0;
    if (strncmp(addr, "unix:", 5) == 0 || !colon)
        return vt__conf_fail(c, "%s: does not go with the address '%.80s'", row->key, addr);
    c->cfg.addr = NULL;
    c->cfg.host = NULL;
    if (colon > addr && vt__conf_put_string(c, host, (vt_str){addr, (size_t)(colon - addr)}) < 0)
        return VT_ECONF;
    return vt__conf_put_number(c, port, vt__str_of(colon + 1));
}

static int vt__conf_set(vt__conf *c, vt_str key, vt_str value, bool argument) {
    const vt__conf_row *row = vt__conf_find(c, key);
    char env[64];
    if (!row) return vt__conf_fail(c, "no such key '%.*s'", (int)VT__MIN(key.len, 80u), key.ptr);
    if (argument && (row->flags & VT__CONF_SECRET)) {
        vt__conf_env_name(row->key, env);
        return vt__conf_fail(c, "%s is a secret: set it in a file (-config=FILE) or as %s", row->key, env);
    }
    if (value.len == 0) return vt__conf_fail(c, "%s: needs a value", row->key);
    if (vt__conf_addr_split(c, row) < 0) return VT_ECONF;
    return row->kind == VT__CONF_STRING ? vt__conf_put_string(c, row, value)
                                        : vt__conf_put_number(c, row, value);
}

/* Well-formed UTF-8 (RFC 3629) without control characters but HTAB. */
static bool vt__conf_is_text(vt_str s) {
    const unsigned char *p = (const unsigned char *)s.ptr, *end = p + s.len;
    while (p < end) {
        unsigned b = *p++, low = 0x80, high = 0xbf;
        int n = (b >= 0xc2) + (b >= 0xe0) + (b >= 0xf0);
        if ((b < 0x20 && b != '\t') || b == 0x7f || (b >= 0x80 && b < 0xc2) || b > 0xf4) return false;
        if (end - p < n) return false;
        if (b == 0xe0) low = 0xa0; /* overlong forms, surrogates, beyond U+10FFFF */
        if (b == 0xed) high = 0x9f;
        if (b == 0xf0) low = 0x90;
        if (b == 0xf4) high = 0x8f;
        if (n > 0 && (*p < low || *p > high)) return false;
        for (; n > 0; n--)
            if ((*p++ & 0xc0) != 0x80) return false;
    }
    return true;
}

/* Takes quotes or a trailing comment off. A '#' is one at the start or after a blank. */
static int vt__conf_unquote(vt__conf *c, vt_str *v) {
    if (v->len > 0 && v->ptr[0] == '"') {
        const char *close = memchr(v->ptr + 1, '"', v->len - 1);
        if (!close) return vt__conf_fail(c, "the quote is not closed");
        vt_str rest = vt__str_trim((vt_str){close + 1, (size_t)(v->ptr + v->len - close - 1)});
        if (rest.len > 0 && rest.ptr[0] != '#') return vt__conf_fail(c, "text after the closing quote");
        *v = (vt_str){v->ptr + 1, (size_t)(close - v->ptr - 1)};
        return 0;
    }
    for (size_t i = 0; i < v->len; i++) {
        if (v->ptr[i] != '#' || (i > 0 && v->ptr[i - 1] != ' ' && v->ptr[i - 1] != '\t')) continue;
        v->len = i;
        *v = vt__str_trim(*v);
    }
    return 0;
}

static int vt__conf_line(vt__conf *c, vt_str line) {
    if (line.len > VT__CONF_LINE_MAX) return vt__conf_fail(c, "a line over %d bytes", VT__CONF_LINE_MAX);
    if (!vt__conf_is_text(line)) return vt__conf_fail(c, "not UTF-8 text");
    line = vt__str_trim(line);
    if (line.len == 0 || line.ptr[0] == '#') return 0;
    const char *eq = memchr(line.ptr, '=', line.len);
    if (!eq || eq == line.ptr) return vt__conf_fail(c, "want key = value");
    vt_str key = vt__str_trim((vt_str){line.ptr, (size_t)(eq - line.ptr)});
    vt_str value = vt__str_trim((vt_str){eq + 1, (size_t)(line.ptr + line.len - eq - 1)});
    if (vt__conf_unquote(c, &value) < 0) return VT_ECONF;
    return vt__conf_set(c, key, value, false);
}

/* The text of a file; `name` is for messages. */
static int vt__conf_text(vt__conf *c, const char *name, vt_str text) {
    if (text.len >= 3 && memcmp(text.ptr, "\xef\xbb\xbf", 3) == 0) text.ptr += 3, text.len -= 3;
    for (int number = 1; text.len > 0; number++) {
        const char *end = memchr(text.ptr, '\n', text.len);
        vt_str line = {text.ptr, end ? (size_t)(end - text.ptr) : text.len};
        size_t used = line.len + (end != NULL);
        text.ptr += used;
        text.len -= used;
        if (line.len > 0 && line.ptr[line.len - 1] == '\r') line.len--;
        vt__conf_place_line(c, name, number);
        if (vt__conf_line(c, line) < 0) return VT_ECONF;
    }
    return 0;
}

/* Bytes read, at most cap, or -errno. */
static int64_t vt__conf_slurp(const char *path, char *buf, size_t cap) {
    size_t n = 0;
    ssize_t r = 1;
    int fd;
    do fd = vt__plat_open(path, O_RDONLY | O_CLOEXEC, 0);
    while (fd == -EINTR);
    if (fd < 0) return fd;
    while (n < cap && r != 0) {
        r = vt__plat_read(fd, buf + n, cap - n);
        if (r < 0 && r != -EINTR) break;
        if (r > 0) n += (size_t)r;
    }
    (void)vt__plat_close(fd);
    return r < 0 && r != -EINTR ? r : (int64_t)n;
}

static int vt__conf_file(vt__conf *c, const char *path) {
    size_t cap = VT__CONF_FILE_MAX + 1; /* one more shows that it is over */
    char *buf = vt__mem_alloc(cap);
    int64_t n = buf ? vt__conf_slurp(path, buf, cap) : -ENOMEM;
    int err;
    vt__conf_place_line(c, path, 0);
    if (n < 0) err = vt__conf_fail(c, "cannot be read: %s", vt_strerror((int)n));
    else if (n == (int64_t)cap) err = vt__conf_fail(c, "over %zu bytes", VT__CONF_FILE_MAX);
    else err = vt__conf_text(c, path, (vt_str){buf, (size_t)n});
    vt__mem_free(buf);
    return err;
}

/* The value of "NAME=value" when `entry` is that variable. */
static const char *vt__conf_env_value(const char *entry, const char *name) {
    size_t n = strlen(name);
    return strncmp(entry, name, n) == 0 && entry[n] == '=' ? entry + n + 1 : NULL;
}

/* An empty variable counts as none. In the rows' order, so that the environment's own order never decides. */
static int vt__conf_env(vt__conf *c, char *const *env) {
    char name[64];
    for (size_t i = 0; i < c->nrows; i++) {
        vt__conf_env_name(c->rows[i].key, name);
        const char *value = NULL;
        for (char *const *e = env; *e && !value; e++) value = vt__conf_env_value(*e, name);
        snprintf(c->place, sizeof c->place, "environment variable %s", name);
        if (value && *value && vt__conf_set(c, vt__str_of(c->rows[i].key), vt__str_of(value), false) < 0)
            return VT_ECONF;
    }
    return 0;
}

/* The program may run under others' variables, so an unknown one is no error. */
static void vt__conf_env_warn(const vt__conf *c, char *const *env) {
    char name[64];
    for (; *env; env++) {
        bool known = strncmp(*env, "VTHTTP_", 7) != 0;
        for (size_t i = 0; i < c->nrows && !known; i++) {
            vt__conf_env_name(c->rows[i].key, name);
            known = vt__conf_env_value(*env, name) != NULL;
        }
        if (!known)
            vt_log(VT_LOG_WARN, "environment variable %.*s: no such key",
                   (int)VT__MIN(strcspn(*env, "="), 80u), *env);
    }
}

enum vt__conf_arg { VT__CONF_ARG_OTHER, VT__CONF_ARG_FILE, VT__CONF_ARG_P, VT__CONF_ARG_NAMED };

/* What `arg` is; a value that is missing, '=' included, has ptr NULL. */
static enum vt__conf_arg vt__conf_arg_split(const vt__conf *c, const char *arg, vt_str *key, vt_str *value) {
    bool p = strncmp(arg, "-P:", 3) == 0;
    if (arg[0] != '-') return VT__CONF_ARG_OTHER;
    *key = (vt_str){arg + (p ? 3 : 1), 0};
    key->len = strcspn(key->ptr, "=");
    *value = key->ptr[key->len] ? vt__str_of(key->ptr + key->len + 1) : (vt_str){NULL, 0};
    if (p) return VT__CONF_ARG_P;
    if (vt__str_eq(*key, VT__STR_LIT("config"))) return VT__CONF_ARG_FILE;
    const vt__conf_row *row = vt__conf_find(c, *key);
    return row && (row->flags & VT__CONF_ARG) ? VT__CONF_ARG_NAMED : VT__CONF_ARG_OTHER;
}

/* Applies the arguments of one sort. */
static int vt__conf_args(vt__conf *c, int argc, char *const *argv, enum vt__conf_arg sort) {
    vt_str key, value;
    int err = 0;
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0 && err == 0; i++) {
        if (vt__conf_arg_split(c, argv[i], &key, &value) != sort) continue;
        snprintf(c->place, sizeof c->place, "argument %d", i);
        if (!value.ptr || (sort == VT__CONF_ARG_FILE && value.len == 0))
            err = vt__conf_fail(c, "%.80s needs a value (%.*s=...)", argv[i],
                                (int)VT__MIN(strcspn(argv[i], "="), (size_t)80), argv[i]);
        else if (sort == VT__CONF_ARG_FILE) err = vt__conf_file(c, value.ptr);
        else err = vt__conf_set(c, key, value, true);
    }
    return err;
}

/* Closes the ranks of the program's own arguments. */
static void vt__conf_args_remove(const vt__conf *c, int *argc, char **argv) {
    vt_str key, value;
    int n = 1, i = 1;
    for (; i < *argc && strcmp(argv[i], "--") != 0; i++)
        if (vt__conf_arg_split(c, argv[i], &key, &value) == VT__CONF_ARG_OTHER) argv[n++] = argv[i];
    if (n == i) return;
    for (; i < *argc; i++) argv[n++] = argv[i];
    argv[n] = NULL;
    *argc = n;
}

static int vt__conf_read(vt__conf *c, int argc, char *const *argv, char *const *env) {
    int err = vt__conf_args(c, argc, argv, VT__CONF_ARG_FILE);
    if (err == 0) err = vt__conf_env(c, env);
    if (err == 0) err = vt__conf_args(c, argc, argv, VT__CONF_ARG_P);
    if (err == 0) err = vt__conf_args(c, argc, argv, VT__CONF_ARG_NAMED);
    return err;
}

VT_API vt_server *vt_server_from_args_cfg(int *argc, char **argv, const vt_server_cfg *cfg) {
    static char *const none[] = {NULL};
    char *const *env = vt__libc_environ ? vt__libc_environ : none;
    int no_args = 0;
    vt__conf c;
    if (!argc || !argv) argc = &no_args;
    vt__conf_begin(&c, cfg);
    int err = vt__conf_read(&c, *argc, argv, env);
    vt__conf_env_warn(&c, env);
    vt__conf_args_remove(&c, argc, argv);
    vt_server *s = vt_server_new(&c.cfg);
    if (err < 0) vt__http_fail(s, err, "%s", c.error);
    vt__conf_end(&c);
    return s;
}

VT_API vt_server *vt_server_from_args(int *argc, char **argv) {
    return vt_server_from_args_cfg(argc, argv, NULL);
}
#endif /* VTHTTP_HTTP */

#if VTHTTP_HTTP && VTHTTP_CLIENT
/*==============================================================================
 * MARK: - @cli     calling other services: connections kept, calls
 * uses:   @plat @mem @str @ds @log @uri @h1 @ws @poll @sched @self @sync @block @io @req @res @conn @tls @wsc
 * test:   tests/test_cli.c tests/e2e_cli.c tests/e2e_cli_srv.c tests/e2e_cli_tls.c tests/fault_cli.c
 *
 *     NEW --open--> OPEN --send--> ANSWERED --body read--> ENDED       any --error--> FAILED (call->err)
 *      \--------------send--------/   \--101--> the stream's
 *
 * A call knows requests, redirects, and what may be sent again; vt__cli_wire is what a protocol does for it: HTTP/1.1
 * here, a connection a call. Connections that are kept own no buffer and no timer; who takes one looks whether it is still
 * good. They go from worker to worker: the descriptor leaves the poll set of the one before.
 *
 * A connection is kept only when nothing is left to doubt: the request was sent whole, the response read to an end
 * that is not the connection's, and not a byte more has come. Whatever else, it is closed: a response that is taken
 * for another request's is worse than a connection more.
 *============================================================================*/

/*--- URLs: pure ---*/
typedef struct vt__cli_url {
    const char *text; /* all of it, without a fragment; the rest are slices of it */
    vt_str authority, host, target;
    int32_t port;
    bool tls;
} vt__cli_url;

/* '.' and '..' taken out of a path (RFC 3986 5.2.4), in place; its new length. */
static size_t vt__cli_undot(char *path, size_t n) {
    size_t out = 0;
    for (size_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && path[end] != '/'; end++) continue;
        vt_str seg = {path + i + 1, end - i - 1};
        bool one = vt__str_eq(seg, VT__STR_LIT(".")), two = vt__str_eq(seg, VT__STR_LIT(".."));
        if (two)
            while (out > 0 && path[--out] != '/') continue;
        if (!one && !two) memmove(path + out, path + i, end - i), out += end - i;
        else if (end == n) path[out++] = '/';
    }
    if (out == 0) path[out++] = '/';
    return out;
}
static bool vt__cli_url_bytes(vt_str s) {
    for (size_t i = 0; i < s.len; i++) {
        if (!vt__uri_is(s.ptr[i], VT__URI_C_ANY)) return false;
        if (s.ptr[i] == '%' && (s.len - i < 3 || !vt__uri_is(s.ptr[i + 1], VT__URI_C_HEX) ||
                                !vt__uri_is(s.ptr[i + 2], VT__URI_C_HEX)))
            return false;
    }
    return true;
}
static size_t vt__cli_find(vt_str s, size_t from, const char *any) {
    while (from < s.len && !strchr(any, s.ptr[from])) from++;
    return from;
}
/* An absolute URL; what it holds is checked, so that the request line may hold it. */
static int vt__cli_url_parse(vt__arena *a, vt_str s, vt__cli_url *u) {
    vt__uri_auth auth;
    s.len = vt__cli_find(s, 0, "#");
    u->tls = s.len >= 8 && vt__str_eq_ci((vt_str){s.ptr, 8}, VT__STR_LIT("https://"));
    if (u->tls && !VTHTTP_TLS) return VT_ESCHEME;
    if (!u->tls && (s.len < 8 || !vt__str_eq_ci((vt_str){s.ptr, 7}, VT__STR_LIT("http://")))) return VT_EURL;
    size_t from = u->tls ? 8 : 7, end = vt__cli_find(s, from, "/?"), query = vt__cli_find(s, end, "?");
    vt_str name = {s.ptr + from, end - from};
    if (!vt__cli_url_bytes(s) || vt__uri_authority(name, &auth) < 0 || auth.port == 0) return VT_EURL;
    char *p = vt__mem_arena_get(a, s.len + 2), *path;
    if (!p) return -ENOMEM;
    u->text = p;
    for (size_t i = 0; i < end; i++) p[i] = vt__str_lower(s.ptr[i]);
    u->authority = (vt_str){p + from, end - from};
    u->host = (vt_str){p + from, auth.host.len};
    u->port = auth.port >= 0 ? auth.port : u->tls ? 443 : 80;
    p = path = p + end;
    if (query > end) memcpy(p, s.ptr + end, query - end), p += vt__cli_undot(p, query - end);
    else *p++ = '/';
    memcpy(p, s.ptr + query, s.len - query);
    p += s.len - query;
    *p = 0;
    u->target = (vt_str){path, (size_t)(p - path)};
    return 0;
}
static bool vt__cli_url_same(const vt__cli_url *a, const vt__cli_url *b) {
    return a->tls == b->tls && a->port == b->port && vt__str_eq(a->host, b->host); /* in lower case both */
}
/* What a Location refers to (RFC 3986 5.2); bytes that no URL holds, which browsers let pass, are encoded. */
static int vt__cli_url_resolve(vt__arena *a, const vt__cli_url *base, vt_str ref, vt__cli_url *out) {
    vt_str from = {base->text, 0};
    size_t first = vt__cli_find(ref, 0, ":/?#");
    ptrdiff_t n = vt__uri_encode(NULL, 0, ref, VT__URI_SET_LOCATION);
    size_t path = (size_t)(base->target.ptr - base->text);
    size_t query = vt__cli_find((vt_str){base->text, path + base->target.len}, path, "?");
    if (first < ref.len && ref.ptr[first] == ':' && first > 0) from.len = 0;
    else if (ref.len >= 2 && memcmp(ref.ptr, "//", 2) == 0) from.len = base->tls ? 6 : 5;
    else if (ref.len && ref.ptr[0] == '/') from.len = path;
    else if (ref.len && ref.ptr[0] == '?') from.len = query;
    else if (first == 0) from.len = path + base->target.len;
    else
        for (from.len = query; base->text[from.len - 1] != '/';) from.len--;
    char *p = n < 0 ? NULL : vt__mem_arena_get(a, from.len + (size_t)n + 1);
    if (!p) return -ENOMEM;
    memcpy(p, from.ptr, from.len);
    vt__uri_encode(p + from.len, (size_t)n, ref, VT__URI_SET_LOCATION);
    return vt__cli_url_parse(a, (vt_str){p, from.len + (size_t)n}, out);
}
/* Whether a host stands in a list like "localhost, .example.com": itself, or below a name that stands there. */
static bool vt__cli_listed(const char *list, const vt__cli_url *u) {
    vt_str all = vt__str_of(list), item;
    size_t pos = 0;
    while (list && vt__h1_list_next(all, &pos, &item)) {
        if (vt__str_eq(item, VT__STR_LIT("*"))) return true;
        if (item.len && item.ptr[0] == '.') item.ptr++, item.len--;
        if (!item.len || item.len > u->host.len) continue;
        size_t before = u->host.len - item.len;
        vt_str tail = {u->host.ptr + before, item.len};
        if (vt__str_eq_ci(tail, item) && (before == 0 || tail.ptr[-1] == '.')) return true;
    }
    return false;
}

/*--- clients and their connections ---*/
struct vt__cli_host;
typedef struct vt__cli_conn { /* type-stable: an event on its way may still look at the descriptor's word */
    vt__conn conn;
    vt__list link, age; /* while idle: of its host, of all */
    struct vt__cli_host *host;
    struct vt__cli_conn *next; /* in the free list */
    int64_t since;             /* idle */
    uint64_t run;              /* the runtime whose poll set it may stand in */
    bool reused;
} vt__cli_conn;

/* What connections of the same use lead to: an address; with TLS or through a tunnel, "host:port", the URL's, before it. */
enum { VT__CLI_TLS = 1, VT__CLI_TUNNEL = 2 };
typedef struct vt__cli_host {
    vt__list link, idle; /* idle: the last one used last */
    int conns, nidle;
    unsigned how;
    char key[];
} vt__cli_host;

struct vt_client {
    int err;
    vt_client_cfg cfg; /* defaults filled in */
    vt__h1_limits limits;
    size_t max_head;
    char *proxy, *proxy_tls, *no_proxy; /* proxies: addresses */
    vt_mutex trust_mu;                  /* while it is made */
    vt__tls_trust *trust;
    vt_mutex mu; /* of all below, and of what hangs from it */
    vt_cond freed;
    vt__list hosts, idle; /* idle: the oldest first */
    int conns, nidle;
};
static vt_client vt__cli_none = {.err = -ENOMEM};
static struct {
    uint32_t spin;
    vt__cli_conn *free;
} vt__cli_g;

VT_API void vt_client_cfg_defaults(vt_client_cfg *cfg) {
    *cfg = (vt_client_cfg){.max_connections = 256,
                           .max_connections_host = 64,
                           .max_idle = 64,
                           .max_idle_host = 16,
                           .idle_timeout_ms = 30000,
                           .connect_timeout_ms = 10000,
                           .timeout_ms = VT_NONE,
                           .read_timeout_ms = 30000,
                           .write_timeout_ms = 30000,
                           .continue_timeout_ms = 1000,
                           .max_response_line = 8192,
                           .max_header_bytes = 65536,
                           .max_header_count = 256,
                           .max_trailer_bytes = 8192,
                           .max_body = INT64_C(16) << 20,
                           .max_redirects = 10};
}
static void vt__cli_default(int64_t *v, int64_t standard) {
    if (*v == 0) *v = standard;
}
static void vt__cli_default_int(int *v, int standard) {
    if (*v == 0) *v = standard;
}
/* Zeros become defaults; limits that are none, as large as they can be. */
static void vt__cli_configure(vt_client *c) {
    vt_client_cfg d, *g = &c->cfg;
    vt_client_cfg_defaults(&d);
    int *counts[] = {&g->max_connections, &g->max_connections_host, &g->max_header_count, &g->max_redirects,
                     &g->max_idle,        &g->max_idle_host};
    int standard[] = {d.max_connections, d.max_connections_host, d.max_header_count, d.max_redirects,
                      d.max_idle,        d.max_idle_host};
    int64_t *sizes[] = {&g->max_response_line, &g->max_header_bytes, &g->max_trailer_bytes};
    int64_t usual[] = {d.max_response_line, d.max_header_bytes, d.max_trailer_bytes};
    for (size_t i = 0; i < VT__COUNT(counts); i++) vt__cli_default_int(counts[i], standard[i]);
    for (size_t i = 0; i < 2; i++)
        if (*counts[i] < 0) *counts[i] = INT_MAX;
    if (g->max_header_count < 0 || g->max_header_count > 10000) g->max_header_count = 10000;
    for (size_t i = 0; i < VT__COUNT(sizes); i++) {
        vt__cli_default(sizes[i], usual[i]);
        if (*sizes[i] < 0 || *sizes[i] > 1 << 24) *sizes[i] = 1 << 24;
    }
    vt__cli_default(&g->idle_timeout_ms, d.idle_timeout_ms);
    vt__cli_default(&g->connect_timeout_ms, d.connect_timeout_ms);
    vt__cli_default(&g->timeout_ms, d.timeout_ms);
    vt__cli_default(&g->read_timeout_ms, d.read_timeout_ms);
    vt__cli_default(&g->write_timeout_ms, d.write_timeout_ms);
    vt__cli_default(&g->continue_timeout_ms, d.continue_timeout_ms);
    vt__cli_default(&g->max_body, d.max_body);
    c->limits.line = (uint32_t)g->max_response_line;
    c->limits.section = (uint32_t)g->max_header_bytes;
    c->limits.trailer = (uint32_t)g->max_trailer_bytes;
    c->max_head = (size_t)g->max_response_line + (size_t)g->max_header_bytes + 1024;
}
static int64_t vt__cli_ns(int64_t ms) { return ms < 0 ? 0 : VT__MIN(ms, INT64_MAX / 4 / VT_MS) * VT_MS; }

static int vt__cli_proxy_addr(const char *url, char **out) {
    vt__pool pool;
    vt__arena a;
    vt__cli_url u;
    if (!url || !*url) return 0;
    vt__mem_pool_init(&pool, VT__ARENA_BLOCK_BYTES, 0);
    vt__mem_arena_init(&a, &pool, 0);
    int r = vt__cli_url_parse(&a, vt__str_of(url), &u);
    if (r == 0 && (u.tls || !vt__str_eq(u.target, VT__STR_LIT("/")))) r = VT_EURL;
    if (r == 0 && !(*out = vt__mem_alloc(u.host.len + 8))) r = -ENOMEM;
    if (r == 0) snprintf(*out, u.host.len + 8, "%.*s:%d", (int)u.host.len, u.host.ptr, (int)u.port);
    vt__mem_arena_reset(&a);
    return r == 0 || r == -ENOMEM ? r : VT_EPROXY;
}
/* From configuration or environment; the latter in lower case alone, since a CGI's HTTP_PROXY may be a request's. */
static int vt__cli_proxies(vt_client *c) {
    const char *no = c->cfg.no_proxy ? c->cfg.no_proxy : getenv("no_proxy");
    int r = vt__cli_proxy_addr(c->cfg.proxy ? c->cfg.proxy : getenv("http_proxy"), &c->proxy);
    if (r == 0 && VTHTTP_TLS)
        r = vt__cli_proxy_addr(c->cfg.proxy ? c->cfg.proxy : getenv("https_proxy"), &c->proxy_tls);
    if (r < 0 || !no || !(c->proxy || c->proxy_tls)) return r;
    c->no_proxy = vt__mem_strdup(no, strlen(no));
    return c->no_proxy ? 0 : -ENOMEM;
}
VT_API vt_client *vt_client_new(const vt_client_cfg *cfg) {
    vt_client *c = vt__mem_zalloc(sizeof *c);
    if (!c) return &vt__cli_none;
    vt_client_cfg *g = &c->cfg;
    if (cfg) *g = *cfg;
    vt__cli_configure(c);
    vt__ds_list_init(&c->hosts);
    vt__ds_list_init(&c->idle);
    c->err = vt__cli_proxies(c);
    if (g->tls_min_version && g->tls_min_version != 12 && g->tls_min_version != 13) c->err = -EINVAL;
    if (c->err == 0 && (g->tls_ca_file || g->tls_ca_pem || g->tls_cert))
        c->err = vt__tls_trust_new(&c->trust, g);
    g->proxy = g->no_proxy = g->tls_ca_file = g->tls_ca_pem = NULL;
    g->tls_cert = NULL;
    return c;
}
static int vt__cli_trust_make(void *arg) {
    vt_client *c = arg;
    return vt__tls_trust_new(&c->trust, &c->cfg);
}
/* The system's store takes a while to read: only who calls https has it. */
static int vt__cli_trust(vt_client *c, int64_t until) {
    int made = 0, r = vt_mutex_lock_until(&c->trust_mu, until);
    if (r < 0) return r;
    if (!c->trust) r = vt_blocking(vt__cli_trust_make, c, &made);
    vt_mutex_unlock(&c->trust_mu);
    return r < 0 ? r : made;
}

/* A struct for a connection that is to be made. */
static vt__cli_conn *vt__cli_conn_new(void) {
    vt__plat_spin_lock(&vt__cli_g.spin);
    vt__cli_conn *k = vt__cli_g.free;
    if (k) vt__cli_g.free = k->next;
    vt__plat_spin_unlock(&vt__cli_g.spin);
    if (!k && !(k = vt__mem_zalloc(sizeof *k))) return NULL;
    vt__conn_open(&k->conn, -1);
    vt__ds_list_init(&k->link);
    vt__ds_list_init(&k->age);
    k->run = vt__sched_g.runs;
    k->reused = false;
    return k;
}
static void vt__cli_conn_free(vt__cli_conn *k) {
    vt__plat_spin_lock(&vt__cli_g.spin);
    k->next = vt__cli_g.free;
    vt__cli_g.free = k;
    vt__plat_spin_unlock(&vt__cli_g.spin);
}

/* --- under the lock --- */
static vt__cli_host *vt__cli_host_find(vt_client *c, const char *key, unsigned how) {
    for (vt__list *n = c->hosts.next; n != &c->hosts; n = n->next) {
        vt__cli_host *h = VT__CONTAINER(n, vt__cli_host, link);
        if (h->how == how && strcmp(h->key, key) == 0) return h;
    }
    return NULL;
}
/* Counts one more connection, which is to be made. */
static int vt__cli_reserve(vt_client *c, vt__cli_host *h, const char *key, unsigned how, vt__cli_conn **out) {
    vt__cli_conn *k = vt__cli_conn_new();
    if (!k) return -ENOMEM;
    if (!h) {
        size_t n = strlen(key) + 1;
        h = vt__mem_zalloc(sizeof *h + n);
        if (!h) {
            vt__cli_conn_free(k);
            return -ENOMEM;
        }
        memcpy(h->key, key, n);
        h->how = how;
        vt__ds_list_init(&h->idle);
        vt__ds_list_push(&c->hosts, &h->link);
    }
    k->host = h;
    h->conns++;
    c->conns++;
    *out = k;
    return 0;
}
static void vt__cli_unidle(vt_client *c, vt__cli_conn *k) {
    vt__ds_list_remove(&k->link);
    vt__ds_list_remove(&k->age);
    k->host->nidle--;
    c->nidle--;
}
/* Closes it; its place is free. */
static void vt__cli_drop(vt_client *c, vt__cli_conn *k) {
    vt__cli_host *h = k->host;
    (void)vt__conn_close(&k->conn);
    c->conns--;
    if (--h->conns == 0) {
        vt__ds_list_remove(&h->link);
        vt__mem_free(h);
    }
    vt__cli_conn_free(k);
    vt_cond_broadcast(&c->freed);
}
static void vt__cli_drop_idle(vt_client *c, vt__cli_conn *k) {
    vt__cli_unidle(c, k);
    if (k->conn.ops) (void)k->conn.ops->end(&k->conn); /* nothing is cut off here */
    vt__cli_drop(c, k);
}
/* Closes the oldest idle connections, down to `keep`, and those that are too old. */
static void vt__cli_trim(vt_client *c, int keep) {
    int64_t most = vt__cli_ns(c->cfg.idle_timeout_ms), now = vt__plat_now();
    while (!vt__ds_list_empty(&c->idle)) {
        vt__cli_conn *k = VT__CONTAINER(c->idle.next, vt__cli_conn, age);
        if (c->nidle <= keep && (!most || now - k->since < most)) break;
        vt__cli_drop_idle(c, k);
    }
}
/* Room for one connection more, maybe by the end of an idle one: 1; 2: look again; 0: wait. */
static int vt__cli_room(vt_client *c, vt__cli_host *h) {
    vt__list *victims = h && h->conns >= c->cfg.max_connections_host ? &h->idle : NULL;
    if (victims && !vt__ds_list_empty(victims))
        return vt__cli_drop_idle(c, VT__CONTAINER(victims->next, vt__cli_conn, link)), 2;
    if (victims) return 0;
    if (c->conns < c->cfg.max_connections) return 1;
    if (vt__ds_list_empty(&c->idle)) return 0;
    return vt__cli_drop_idle(c, VT__CONTAINER(c->idle.next, vt__cli_conn, age)), 2;
}
/* Whether an idle connection is as it was left: its peer has neither closed it nor said anything. The kernel is asked, since an
 * event may be on its way. */
static bool vt__cli_good(vt__cli_conn *k) {
    vt__pd *pd = &k->conn.pd;
    char surplus;
    if (k->run != vt__sched_g.runs) return false;
    if (pd->dom != vt__sched_thr()->dom) vt__poll_remove(pd);
    vt__poll_set(pd, VT__PD_R);
    return vt__conn_recv_try(&k->conn, &surplus, 1) == -EAGAIN;
}
/* A kept connection, or one that is to be made (k->reused tells); waits at a limit. */
static int vt__cli_take(vt_client *c, const char *key, unsigned how, bool fresh, int64_t until,
                        vt__cli_conn **out) {
    int r = 0;
    vt_mutex_lock(&c->mu);
    vt__cli_trim(c, INT_MAX);
    for (bool found = false; r >= 0 && !found;) {
        vt__cli_host *h = vt__cli_host_find(c, key, how);
        if (h && !fresh && !vt__ds_list_empty(&h->idle)) {
            vt__cli_conn *k = VT__CONTAINER(h->idle.prev, vt__cli_conn, link);
            vt__cli_unidle(c, k);
            found = vt__cli_good(k);
            if (found) *out = k;
            else vt__cli_drop(c, k);
            continue;
        }
        int room = vt__cli_room(c, h);
        if (room == 1) r = vt__cli_reserve(c, h, key, how, out), found = true;
        else if (room == 0) r = vt_cond_wait_until(&c->freed, &c->mu, until);
    }
    vt_mutex_unlock(&c->mu);
    return r;
}
/* Gives it back, to be kept or closed. */
static void vt__cli_give(vt_client *c, vt__cli_conn *k, bool keep) {
    vt_mutex_lock(&c->mu);
    if (keep) {
        k->reused = true;
        k->since = vt__plat_now();
        vt__ds_list_push(&k->host->idle, &k->link);
        vt__ds_list_push(&c->idle, &k->age);
        c->nidle++;
        if (++k->host->nidle > VT__MAX(c->cfg.max_idle_host, 0))
            vt__cli_drop_idle(c, VT__CONTAINER(k->host->idle.next, vt__cli_conn, link));
        vt__cli_trim(c, VT__MAX(c->cfg.max_idle, 0));
        vt_cond_broadcast(&c->freed);
    } else {
        vt__cli_drop(c, k);
    }
    vt_mutex_unlock(&c->mu);
}
VT_API int vt_client_close_idle(vt_client *c) {
    if (c == &vt__cli_none) return c->err;
    int r = vt_mutex_lock(&c->mu);
    if (r < 0) return r;
    vt__cli_trim(c, 0);
    vt_mutex_unlock(&c->mu);
    return 0;
}
VT_API void vt_client_free(vt_client *c) {
    if (!c || c == &vt__cli_none) return;
    vt__cli_trim(c, 0);
    vt__tls_trust_free(c->trust);
    vt__mem_free(c->proxy);
    vt__mem_free(c->proxy_tls);
    vt__mem_free(c->no_proxy);
    vt__mem_free(c);
}

/*--- calls: what they are made of ---*/
enum vt__cli_state { VT__CLI_NEW, VT__CLI_OPEN, VT__CLI_ANSWERED, VT__CLI_ENDED };
enum { VT__CLI_FIELDS = 64, VT__CLI_INTERIM = 100, VT__CLI_DRAIN = 65536, VT__CLI_DIRECT = 4096 };
#define VT__CLI_TRY INT64_MIN /* as a deadline: does not wait */

/* What a protocol does for a call. Results < 0 are errors, each the last thing before `close`. */
typedef struct vt__cli_wire {
    /* Gets what the call is sent on; fresh: nothing that was used before. */
    int (*open)(vt_call *call, bool fresh);
    int (*head)(vt_call *call); /* the request's, as far as a buffer takes it */
    /* Waits for leave to send the body. 0, or VT_EANSWERED. */
    int (*go)(vt_call *call);
    /* Body bytes, never more than call->length: 0 when all are taken, or VT_EANSWERED. */
    int (*write)(vt_call *call, const char *p, size_t n);
    int (*flush)(vt_call *call); /* likewise */
    int (*end)(vt_call *call);   /* the request is whole: trailers, and what is gathered; likewise */
    /* The final response's head: fills in the call's `status` to `nfields`. late: the request could not be sent whole; only
     * what is here already counts. */
    int (*wait)(vt_call *call, bool late);
    /* 1..n bytes, 0 at the end, with the call's trailers filled in; what is then kept is kept. */
    int64_t (*read)(vt_call *call, void *buf, size_t n);
    int (*upgrade)(vt_call *call, vt_stream **out);
    bool (*stale)(vt_call *call,
                  int err); /* that error says nothing of a new connection, and nobody took the request */
    /* Ends the exchange at any point. `rest`: bytes of the response that may be waited for, so as to keep the connection. */
    void (*close)(vt_call *call, int64_t rest);
} vt__cli_wire;

typedef struct vt__cli_h1 {
    vt__conn_io io;
    vt__cli_conn *conn;
    vt_stream stream;
    vt__h1_field *fields;
    uint32_t fields_cap, interim;
    int64_t sent, got, left; /* left: of Content-Length, not received */
    vt_str data;             /* body bytes in the input block, decoded and not handed out */
    uint8_t until;           /* enum vt__h1_until; UNTIL_HEAD: the body is over */
    bool whole, keep;        /* the request is sent; the connection may be kept */
    bool go;                 /* 100 (Continue) has come */
    bool cut;                /* the transport ended and did not say that it would */
    vt__h1_res head;         /* from here on each is prepared before its use */
    vt__h1_chunk chunk;
    vt__h1_field few[VT__CLI_FIELDS];
} vt__cli_h1;

struct vt_call {
    vt_client *client;
    const vt__cli_wire *wire;
    int err;
    uint8_t state, method_id;
    bool close, expect, pulled; /* pulled: the reader was asked */
    bool on_wire;               /* between wire->open and wire->close */
    bool ws;                    /* it asks for a WebSocket */
    int hops, max_hops;
    vt_str method;
    const char *via, *upgrade, *addr; /* addr: what is connected to */
    const char *origin, *key;         /* the URL's "host:port"; key: of vt__cli_host, as `how` */
    unsigned how;
    bool proxied, tunnel; /* tunnel: a proxy is asked to CONNECT */
    vt__cli_url url;
    vt__res_list fields, trailers;
    const char *body;
    vt_call_reader *reader;
    void *reader_ctx;
    int64_t length, written; /* of the request's body; length -1: chunked */
    bool has_body;
    int64_t until, total; /* deadlines: vt_call_until, timeout_ms; 0: none */
    /* The response. */
    bool answered;
    int status;
    int64_t res_length, res_got;
    char *head, *trailer_base;
    vt__h1_field *res_fields, *res_trailers;
    uint32_t nfields, ntrailers;
    vt_str text;
    vt__arena arena;
    vt__cli_h1 h1;
};
static vt_call vt__cli_no_memory = {.err = -ENOMEM}, vt__cli_no_vthread = {.err = -EPERM};

static bool vt__cli_is_static(const vt_call *call) {
    return call == &vt__cli_no_memory || call == &vt__cli_no_vthread;
}
/* When a wait of ns has to end; 0: never. */
static int64_t vt__cli_due(const vt_call *call, int64_t ns) {
    int64_t due = ns ? vt__plat_now() + ns : 0;
    if (call->until && (!due || call->until < due)) due = call->until;
    if (call->total && (!due || call->total < due)) due = call->total;
    return due;
}
static bool vt__cli_late(const vt_call *call) {
    int64_t due = vt__cli_due(call, 0);
    return due && vt__plat_now() >= due;
}
static int vt__cli_fail(vt_call *call, int err) {
    if (vt__cli_is_static(call)) return call->err;
    if (call->err == 0) call->err = err;
    if (call->on_wire) call->wire->close(call, 0);
    call->on_wire = false;
    return call->err;
}

/* The i-th value of a name among the fields that stand at `base`. */
static vt_str vt__cli_value(const char *base, const vt__h1_field *f, uint32_t n, const char *name, size_t i) {
    vt_str key = vt__str_of(name), none = {NULL, 0};
    for (; n > 0; f++, n--)
        if (vt__str_eq_ci((vt_str){base + f->name_off, f->name_len}, key) && i-- == 0)
            return vt__req_cut((vt_str){base + f->value_off, f->value_len});
    return none;
}
VT_API vt_str vt_call_get(const vt_call *call, const char *name, size_t i) {
    return vt__cli_value(call->head, call->res_fields, call->nfields, name, i);
}

/*--- HTTP/1.1: a connection a call ---*/
/* What the proxy says to CONNECT: 0 when the connection is the host's from here on, without a byte of it taken. */
static int vt__cli_tunnel_answer(vt_call *call, vt__conn_io *io, int64_t until) {
    vt__h1_field fields[VT__CLI_FIELDS];
    vt__h1_res res;
    vt__conn_buf *b = &io->in;
    vt__mem_zero(&res, sizeof res);
    for (int interim = 0; interim < VT__CLI_INTERIM;) {
        int n = b->pos < b->len ? vt__h1_res_parse(&res, VT__H1_M_CONNECT, b->p + b->pos, b->len - b->pos,
                                                   fields, VT__CLI_FIELDS, &call->client->limits)
                                : 0;
        if (n > 0 && res.status >= 102 && res.status < 200) n = -1;
        if (n > 0 && res.status == 100) {
            vt__mem_zero(&res, sizeof res);
            b->pos += (size_t)n;
            interim++;
            continue;
        }
        if (n > 0 && res.status / 100 == 2 && b->pos + (size_t)n == b->len) return 0;
        if (n != 0) {
            vt_log(VT_LOG_DEBUG, "CONNECT %s: the proxy %s answered with %d", call->origin, call->addr,
                   n > 0 ? res.status : n);
            return VT_EPROXY;
        }
        int64_t r = vt__conn_buf_room(io->thr, b, VT__MAX(call->client->max_head, (size_t)VT__BUF_BYTES));
        if (r >= 0) r = vt__conn_recv(io->c, b->p + b->len, b->cap - b->len, until);
        if (r <= 0) return r ? (int)r : VT_EEOF;
        b->len += (size_t)r;
    }
    return VT_EPROXY;
}
static int vt__cli_tunnel(vt_call *call, vt__cli_conn *k, int64_t until) {
    vt__conn_io io = {.c = &k->conn, .thr = vt__sched_thr()};
    const char *parts[] = {"CONNECT ", call->origin, " HTTP/1.1\r\nHost: ", call->origin, "\r\n\r\n"};
    int r = 0;
    io.write_ns = vt__cli_ns(call->client->cfg.write_timeout_ms);
    for (size_t i = 0; i < VT__COUNT(parts) && r == 0; i++) r = vt__conn_put(&io, parts[i], strlen(parts[i]));
    if (r == 0) r = vt__conn_flush(&io);
    if (r == 0) r = vt__cli_tunnel_answer(call, &io, until);
    vt__conn_buf_put(io.thr, &io.in);
    vt__conn_buf_put(io.thr, &io.out);
    return r;
}
static int vt__cli_secure(vt_call *call, vt__cli_conn *k, int64_t until) {
    vt_str host = call->url.host;
    if (host.ptr[0] == '[') host.ptr++, host.len -= 2;
    else if (host.len > 1 && host.ptr[host.len - 1] == '.') host.len--; /* RFC 6066 3: SNI has none */
    const char *name = vt__mem_arena_str(&call->arena, host.ptr, host.len);
    int r = name ? vt__cli_trust(call->client, until) : -ENOMEM;
    return r < 0 ? r : vt__tls_connect(&k->conn, call->client->trust, name, until);
}
/* Connects, in its place. */
static int vt__cli_dial(vt_call *call, vt__cli_conn *k, int64_t until) {
    vt_sock *s;
    int r = vt_dial_until(&s, call->addr, NULL, until);
    if (r >= 0) vt__conn_open(&k->conn, vt__io_detach(s));
    if (r >= 0 && call->tunnel) r = vt__cli_tunnel(call, k, until);
    if (r >= 0 && call->url.tls) r = vt__cli_secure(call, k, until);
    return r;
}
static int vt__cli_h1_open(vt_call *call, bool fresh) {
    vt__cli_h1 *h = &call->h1;
    vt_client *c = call->client;
    int64_t until = vt__cli_due(call, vt__cli_ns(c->cfg.connect_timeout_ms));
    vt__mem_zero(h, offsetof(vt__cli_h1, chunk));
    int r = vt__cli_take(c, call->key, call->how, fresh, until, &h->conn);
    if (r < 0) return r;
    if (!h->conn->reused && (r = vt__cli_dial(call, h->conn, until)) < 0) {
        vt__cli_give(c, h->conn, false);
        return r;
    }
    h->io.c = &h->conn->conn;
    h->io.thr = vt__sched_thr();
    h->io.write_ns = vt__cli_ns(c->cfg.write_timeout_ms);
    h->fields = h->few;
    h->fields_cap = (uint32_t)VT__MIN((int)VT__CLI_FIELDS, c->cfg.max_header_count);
    return 0;
}
static void vt__cli_h1_part(vt_call *call, bool keep) {
    vt__cli_h1 *h = &call->h1;
    char surplus;
    if (!h->conn) return;
    if (keep && h->io.c->ops) /* of input that is decrypted nothing may stay behind */
        keep = vt__conn_recv_try(h->io.c, &surplus, 1) == -EAGAIN;
    vt__conn_buf_put(h->io.thr, &h->io.in);
    vt__conn_buf_put(h->io.thr, &h->io.out);
    vt__cli_give(call->client, h->conn, keep);
    h->conn = NULL;
}

/* --- input --- */
/* More of it, in a buffer of at most `max`: 1, VT_EEOF, VT_ELIMIT, -EAGAIN with VT__CLI_TRY. */
static int vt__cli_h1_fill(vt_call *call, size_t max, int64_t due) {
    vt__cli_h1 *h = &call->h1;
    vt__conn_buf *b = &h->io.in;
    int64_t r = vt__conn_buf_room(h->io.thr, b, VT__MAX(max, (size_t)VT__BUF_BYTES));
    if (r < 0) return (int)r;
    if (due == VT__CLI_TRY) r = vt__conn_recv_try(h->io.c, b->p + b->len, b->cap - b->len);
    else if (vt__cli_late(call)) r = -ETIMEDOUT;
    else r = vt__conn_recv(h->io.c, b->p + b->len, b->cap - b->len, due);
    h->cut = r == VT_EEOF;
    if (r <= 0) return r ? (int)r : VT_EEOF;
    b->len += (size_t)r;
    h->got += r;
    return 1;
}
static int vt__cli_h1_bad(int code) {
    vt_log(VT_LOG_DEBUG, "a response was refused: %s", vt__h1_err_name(code));
    switch (code) {
    case VT__H1_E_STATUS_LONG:
    case VT__H1_E_SECTION:
    case VT__H1_E_FIELD:
    case VT__H1_E_FIELDS: return VT_EHEAD;
    default: return VT_EHTTP;
    }
}
/* The final head, n bytes of input. */
static int vt__cli_h1_answer(vt_call *call, size_t n) {
    vt__cli_h1 *h = &call->h1;
    vt__conn_buf *b = &h->io.in;
    const vt__h1_req *facts = &h->head.head;
    size_t size = facts->nfields * sizeof *h->fields;
    bool other = h->head.until == VT__H1_UNTIL_OTHER;
    if (other && (!call->upgrade || !(facts->flags & VT__H1_UPGRADE) || !h->whole))
        return vt__cli_h1_bad(VT__H1_E_STATUS_LINE);
    call->head = vt__mem_arena_str(&call->arena, b->p + b->pos, n);
    call->res_fields = vt__mem_arena_get(&call->arena, size);
    if (!call->head || !call->res_fields) return -ENOMEM;
    memcpy(call->res_fields, h->fields, size);
    b->pos += n;
    call->nfields = facts->nfields;
    call->status = h->head.status;
    h->until = h->head.until;
    h->left = facts->content_length;
    if (h->until == VT__H1_UNTIL_LENGTH && h->left == 0) h->until = VT__H1_UNTIL_HEAD;
    if (h->until == VT__H1_UNTIL_CHUNK) memset(&h->chunk, 0, sizeof h->chunk);
    call->res_length = h->until == VT__H1_UNTIL_HEAD ? 0 : h->until == VT__H1_UNTIL_LENGTH ? h->left : -1;
    h->keep = facts->flags & VT__H1_KEEP_ALIVE && h->whole && !call->close;
    call->answered = true;
    return 1;
}
/* The next head: 1 the final one; 0 an interim one; < 0. */
static int vt__cli_h1_next(vt_call *call, int64_t due) {
    vt__cli_h1 *h = &call->h1;
    vt__conn_buf *b = &h->io.in;
    uint32_t most = (uint32_t)call->client->cfg.max_header_count;
    for (;;) {
        int n = 0;
        if (b->pos < b->len)
            n = vt__h1_res_parse(&h->head, call->method_id, b->p + b->pos, b->len - b->pos, h->fields,
                                 h->fields_cap, &call->client->limits);
        if (n > 0 && (h->head.status >= 200 || h->head.status == 101))
            return vt__cli_h1_answer(call, (size_t)n);
        if (n > 0 || (n == VT__H1_E_FIELDS && h->fields_cap < most)) {
            if (n > 0) b->pos += (size_t)n, h->go = h->go || h->head.status == 100;
            vt__mem_zero(&h->head, sizeof h->head);
            if (n > 0) return ++h->interim > VT__CLI_INTERIM ? vt__cli_h1_bad(VT__H1_E_STATUS_LINE) : 0;
            h->fields = vt__mem_arena_get(&call->arena,
                                          most * sizeof *h->fields); /* again, with room for all */
            h->fields_cap = most;
            if (!h->fields) return -ENOMEM;
            continue;
        }
        if (n < 0) return vt__cli_h1_bad(n);
        if ((n = vt__cli_h1_fill(call, call->client->max_head, due)) < 0)
            return n == VT_ELIMIT ? VT_EHEAD : n;
    }
}
static int vt__cli_h1_wait(vt_call *call, bool late) {
    vt__cli_h1 *h = &call->h1;
    int64_t ns = vt__cli_ns(call->client->cfg.read_timeout_ms);
    int r = call->answered;
    if (late) vt__poll_set(&h->io.c->pd, VT__PD_R);
    while (r == 0) r = vt__cli_h1_next(call, late ? VT__CLI_TRY : vt__cli_due(call, ns));
    if (r > 0 && h->until == VT__H1_UNTIL_HEAD)
        vt__cli_h1_part(call, h->keep && h->io.in.pos == h->io.in.len);
    return r < 0 ? r : 0;
}
/* Has the peer answered before it got all? 0 or VT_EANSWERED; does not wait. */
static int vt__cli_h1_peek(vt_call *call) {
    int r = 0;
    while (r == 0 && vt__conn_readable(call->h1.io.c)) r = vt__cli_h1_next(call, VT__CLI_TRY);
    return r == 1 ? VT_EANSWERED : r == -EAGAIN ? 0 : r;
}
static int vt__cli_h1_go(vt_call *call) {
    vt__cli_h1 *h = &call->h1;
    int64_t due = vt__cli_due(call, vt__cli_ns(call->client->cfg.continue_timeout_ms));
    int r = call->wire->flush(call);
    while (r == 0 && !h->go) r = vt__cli_h1_next(call, due);
    if (r == -ETIMEDOUT && !vt__cli_late(call) && !vt_cancelled())
        return 0; /* one that does not know of it */
    return r == 1 ? VT_EANSWERED : r;
}

/* --- output --- */
/* Sends all of v. A response that comes meanwhile ends it: VT_EANSWERED. */
static int vt__cli_h1_send(vt_call *call, struct iovec *v, int n) {
    vt__cli_h1 *h = &call->h1;
    int64_t due = 0, r;
    n = vt__io_advance(&v, n, 0);
    if (n && vt__cli_late(call)) return -ETIMEDOUT;
    while (n > 0) {
        r = vt__conn_send_try(h->io.c, v, n);
        if (r >= 0) {
            n = vt__io_advance(&v, n, (size_t)r);
            h->sent += r;
            due = 0;
            continue;
        }
        if (r != -EAGAIN) return (int)r;
        if (!due) due = vt__cli_due(call, h->io.write_ns);
        if ((r = vt__conn_wait_either(h->io.c, due)) < 0) return (int)r;
        if ((r = vt__cli_h1_peek(call)) < 0) return (int)r;
    }
    return 0;
}
static int vt__cli_h1_flush(vt_call *call) {
    vt__conn_buf *b = &call->h1.io.out;
    struct iovec v = {b->p + b->pos, b->len - b->pos};
    if (call->h1.io.err < 0) return call->h1.io.err;
    int r = vt__cli_h1_send(call, &v, 1);
    b->pos = b->len = 0;
    return r;
}
/* Appends to the output, whose block grows; for heads. */
static void vt__cli_h1_put(vt_call *call, vt_str s) {
    vt__conn_io *io = &call->h1.io;
    while (s.len && io->err == 0) {
        io->err = vt__conn_buf_room(io->thr, &io->out, 1 << 24);
        if (io->err < 0) return;
        size_t n = VT__MIN(s.len, io->out.cap - io->out.len);
        memcpy(io->out.p + io->out.len, s.ptr, n);
        io->out.len += n;
        s.ptr += n, s.len -= n;
    }
}
static void vt__cli_h1_put_field(vt_call *call, vt_str name, vt_str value) {
    vt__cli_h1_put(call, name);
    vt__cli_h1_put(call, VT__STR_LIT(": "));
    vt__cli_h1_put(call, value);
    vt__cli_h1_put(call, VT__STR_LIT("\r\n"));
}
static void vt__cli_h1_put_fields(vt_call *call, const vt__res_list *l, bool hosts) {
    for (uint32_t i = 0; i < l->n; i++) {
        const vt__res_field *f = &l->at[i];
        if ((f->id == VT__H1_F_HOST) == hosts)
            vt__cli_h1_put_field(call, (vt_str){f->name, f->name_len}, (vt_str){f->value, f->value_len});
    }
}
static bool vt__cli_has(const vt_call *call, int id) {
    for (uint32_t i = 0; i < call->fields.n; i++)
        if (call->fields.at[i].id == id) return true;
    return false;
}
/* Methods whose requests mean something by their body say also that they have none (RFC 9110 8.6). */
static bool vt__cli_wants_body(const vt_call *call) {
    return call->method_id == VT__H1_M_POST || call->method_id == VT__H1_M_PUT ||
           call->method_id == VT__H1_M_PATCH || call->method_id == VT__H1_M_QUERY;
}
/* Without content there is nothing to wait with (RFC 9110 10.1.1). */
static bool vt__cli_expects(const vt_call *call) {
    return call->expect && call->has_body && call->length != 0;
}
static int vt__cli_h1_head(vt_call *call) {
    char digits[20];
    vt__cli_h1_put(call, call->method);
    vt__cli_h1_put(call, VT__STR_LIT(" "));
    vt__cli_h1_put(call, call->proxied && !call->tunnel ? vt__str_of(call->url.text) : call->url.target);
    vt__cli_h1_put(call, VT__STR_LIT(" HTTP/1.1\r\n"));
    if (vt__cli_has(call, VT__H1_F_HOST)) vt__cli_h1_put_fields(call, &call->fields, true);
    else vt__cli_h1_put_field(call, VT__STR_LIT("Host"), call->url.authority);
    vt__cli_h1_put_fields(call, &call->fields, false);
    if (call->has_body && call->length < 0)
        vt__cli_h1_put_field(call, VT__STR_LIT("Transfer-Encoding"), VT__STR_LIT("chunked"));
    else if (call->has_body || vt__cli_wants_body(call))
        vt__cli_h1_put_field(call, VT__STR_LIT("Content-Length"),
                             (vt_str){digits, vt__str_put_u64(digits, (uint64_t)call->length)});
    if (call->upgrade) {
        vt__cli_h1_put_field(call, VT__STR_LIT("Connection"), VT__STR_LIT("Upgrade"));
        vt__cli_h1_put_field(call, VT__STR_LIT("Upgrade"), vt__str_of(call->upgrade));
    } else if (call->close) {
        vt__cli_h1_put_field(call, VT__STR_LIT("Connection"), VT__STR_LIT("close"));
    }
    if (vt__cli_expects(call)) vt__cli_h1_put_field(call, VT__STR_LIT("Expect"), VT__STR_LIT("100-continue"));
    vt__cli_h1_put(call, VT__STR_LIT("\r\n"));
    return call->h1.io.err;
}
/* Small pieces are gathered, in chunks of their own where the body is chunked; others go out as they are. */
static int vt__cli_h1_write(vt_call *call, const char *p, size_t n) {
    vt__conn_io *io = &call->h1.io;
    char size[VT__H1_CHUNK_SIZE_MAX];
    bool chunked = call->length < 0;
    vt_str before = {size, chunked ? (size_t)vt__h1_put_chunk_size(size, sizeof size, n) : 0};
    vt_str after = {"\r\n", chunked ? 2 : 0};
    int r = vt__cli_h1_peek(call);
    if (r < 0) return r;
    if (!vt__conn_buf_get(io->thr, &io->out)) return -ENOMEM;
    if (n + before.len + 2 <= io->out.cap - io->out.len) {
        vt__cli_h1_put(call, before);
        vt__cli_h1_put(call, (vt_str){p, n});
        vt__cli_h1_put(call, after);
        return io->err;
    }
    struct iovec v[4] = {{io->out.p + io->out.pos, io->out.len - io->out.pos},
                         {size, before.len},
                         {(char *)(uintptr_t)p, n},
                         {(char *)(uintptr_t)after.ptr, after.len}};
    r = vt__cli_h1_send(call, v, 4);
    io->out.pos = io->out.len = 0;
    return r;
}
static int vt__cli_h1_end(vt_call *call) {
    if (call->has_body && call->length < 0) {
        vt__cli_h1_put(call, VT__STR_LIT("0\r\n"));
        vt__cli_h1_put_fields(call, &call->trailers, false);
        vt__cli_h1_put(call, VT__STR_LIT("\r\n"));
    }
    int r = vt__cli_h1_flush(call);
    vt__conn_buf_put(call->h1.io.thr, &call->h1.io.out);
    if (r == 0) call->h1.whole = true;
    return r;
}

/* --- the response's body --- */
static int vt__cli_h1_chunk(vt_call *call) {
    vt__cli_h1 *h = &call->h1;
    vt__conn_buf *b = &h->io.in;
    if (!call->res_trailers)
        call->res_trailers = vt__mem_arena_get(&call->arena, VT__CLI_FIELDS * sizeof *call->res_trailers);
    if (!call->res_trailers) return -ENOMEM;
    if (b->pos == b->len) return 0;
    const char *from = b->p + b->pos;
    int64_t n = vt__h1_chunk_decode(&h->chunk, from, b->len - b->pos, &h->data, call->res_trailers,
                                    VT__CLI_FIELDS, &call->client->limits);
    if (n < 0) return vt__cli_h1_bad((int)n);
    b->pos += (size_t)n;
    if (!h->chunk.done) return n > 0;
    h->until = VT__H1_UNTIL_HEAD;
    call->ntrailers = h->chunk.ntrailers;
    call->trailer_base = vt__mem_arena_str(&call->arena, from + h->chunk.trailer_off,
                                           (size_t)n - h->chunk.trailer_off);
    return call->trailer_base ? 1 : -ENOMEM;
}
/* Makes h->data non-empty: 1; 0 at the body's end; < 0. */
static int vt__cli_h1_body(vt_call *call, int64_t due) {
    vt__cli_h1 *h = &call->h1;
    vt__conn_buf *b = &h->io.in;
    size_t most = (size_t)call->client->cfg.max_trailer_bytes + VT__BUF_BYTES;
    while (h->data.len == 0) {
        int r = 0;
        if (h->until == VT__H1_UNTIL_HEAD) return 0;
        if (h->until == VT__H1_UNTIL_CHUNK) {
            r = vt__cli_h1_chunk(call);
        } else if (b->pos < b->len) {
            h->data = (vt_str){b->p + b->pos, b->len - b->pos};
            if (h->until == VT__H1_UNTIL_LENGTH) {
                h->data.len = (size_t)VT__MIN((int64_t)h->data.len, h->left);
                h->left -= (int64_t)h->data.len;
                if (h->left == 0) h->until = VT__H1_UNTIL_HEAD;
            }
            b->pos += h->data.len;
            r = 1;
        }
        if (r == 0) r = vt__cli_h1_fill(call, most, due);
        if (r == VT_EEOF && h->until == VT__H1_UNTIL_CLOSE && !h->cut) h->until = VT__H1_UNTIL_HEAD;
        else if (r < 0) return r == VT_ELIMIT ? VT_EHTTP : r;
    }
    return 1;
}
/* Large reads go past the input block. */
static int64_t vt__cli_h1_direct(vt_call *call, void *buf, size_t n, int64_t due) {
    vt__cli_h1 *h = &call->h1;
    if (h->until == VT__H1_UNTIL_LENGTH) n = (size_t)VT__MIN((int64_t)VT__MIN(n, (size_t)INT_MAX), h->left);
    int64_t r = vt__cli_late(call) ? -ETIMEDOUT : vt__conn_recv(h->io.c, buf, n, due);
    if (r == 0 && h->until == VT__H1_UNTIL_LENGTH) return VT_EEOF;
    if (r > 0 && h->until == VT__H1_UNTIL_LENGTH) h->left -= r;
    if (r == 0 || (r > 0 && h->until == VT__H1_UNTIL_LENGTH && h->left == 0)) h->until = VT__H1_UNTIL_HEAD;
    return r;
}
static int64_t vt__cli_h1_read(vt_call *call, void *buf, size_t n) {
    vt__cli_h1 *h = &call->h1;
    int64_t due = vt__cli_due(call, vt__cli_ns(call->client->cfg.read_timeout_ms)), r;
    bool plain = h->until == VT__H1_UNTIL_CLOSE ||
                 (h->until == VT__H1_UNTIL_LENGTH && h->left >= VT__CLI_DIRECT);
    if (plain && h->data.len == 0 && h->io.in.pos == h->io.in.len && n >= VT__CLI_DIRECT) {
        r = vt__cli_h1_direct(call, buf, n, due);
    } else if ((r = vt__cli_h1_body(call, due)) > 0) {
        n = VT__MIN(n, h->data.len);
        memcpy(buf, h->data.ptr, n);
        h->data.ptr += n;
        h->data.len -= n;
        r = (int64_t)n;
    }
    if (r >= 0 && h->until == VT__H1_UNTIL_HEAD && h->data.len == 0)
        vt__cli_h1_part(call, h->keep && h->io.in.pos == h->io.in.len);
    return r;
}
static int vt__cli_h1_upgrade(vt_call *call, vt_stream **out) {
    vt__cli_h1 *h = &call->h1;
    if (h->until != VT__H1_UNTIL_OTHER) return VT_ESTATE;
    h->stream.io = &h->io;
    *out = &h->stream;
    return 0;
}
static bool vt__cli_idempotent(const vt_call *call) {
    return call->method_id != VT__H1_M_POST && call->method_id != VT__H1_M_PATCH && call->method_id != 0;
}
static bool vt__cli_h1_stale(vt_call *call, int err) {
    const vt__cli_h1 *h = &call->h1;
    if (!h->conn || !h->conn->reused || h->got) return false;
    return (err == -EPIPE || err == -ECONNRESET || err == VT_EEOF) &&
           (h->sent == 0 || vt__cli_idempotent(call));
}
static void vt__cli_h1_close(vt_call *call, int64_t rest) {
    vt__cli_h1 *h = &call->h1;
    int64_t due = rest ? vt__cli_due(call, VT_SEC) : VT__CLI_TRY;
    bool keep = h->conn && h->keep && call->answered && h->until != VT__H1_UNTIL_OTHER && !vt_cancelled();
    if (h->until == VT__H1_UNTIL_LENGTH && h->left > VT__MAX(rest, VT__CLI_DRAIN)) keep = false;
    for (int64_t dropped = 0; keep; dropped += (int64_t)h->data.len, h->data.len = 0) {
        int r = dropped > VT__CLI_DRAIN ? VT_ELIMIT : vt__cli_h1_body(call, due);
        if (r == 0) break;
        if (r < 0) keep = false;
    }
    vt__cli_h1_part(call, keep && h->io.in.pos == h->io.in.len);
}
static const vt__cli_wire vt__cli_h1_wire = {
    vt__cli_h1_open, vt__cli_h1_head, vt__cli_h1_go,      vt__cli_h1_write, vt__cli_h1_flush, vt__cli_h1_end,
    vt__cli_h1_wait, vt__cli_h1_read, vt__cli_h1_upgrade, vt__cli_h1_stale, vt__cli_h1_close};

/*--- calls: making them ---*/
VT_API vt_call *vt_call_new(vt_client *c, const char *method, const char *url) {
    vt__thr *thr = vt__sched_thr();
    if (!vt__sched_self()) return &vt__cli_no_vthread;
    vt_call *call = vt__mem_alloc(sizeof *call);
    if (!call) return &vt__cli_no_memory;
    memset(call, 0, offsetof(vt_call, h1));
    vt__mem_arena_init(&call->arena, &thr->block_pool, 0);
    call->client = c;
    call->wire = &vt__cli_h1_wire;
    call->h1.conn = NULL;
    call->max_hops = VT__MAX(c->cfg.max_redirects, 0);
    call->method = vt__str_of(method);
    call->method_id = (uint8_t)vt__h1_method(call->method);
    if (c->err < 0) return vt__cli_fail(call, c->err), call;
    if (vt__h1_check_name(call->method) < 0 || call->method_id == VT__H1_M_CONNECT)
        return vt__cli_fail(call, VT_EFIELD), call;
    call->method.ptr = vt__mem_arena_str(&call->arena, method, call->method.len);
    int r = call->method.ptr ? vt__cli_url_parse(&call->arena, vt__str_of(url), &call->url) : -ENOMEM;
    if (r < 0) vt__cli_fail(call, r);
    return call;
}
VT_API void vt_call_free(vt_call *call) {
    if (!call || vt__cli_is_static(call)) return;
    if (call->on_wire) call->wire->close(call, 0);
    vt__mem_arena_reset(&call->arena);
    vt__mem_free(call);
}
/* 0 while it may still be changed. */
static int vt__cli_settable(const vt_call *call) {
    return call->err < 0 ? call->err : call->state != VT__CLI_NEW ? VT_ESTATE : 0;
}
static bool vt__cli_own_field(int id) {
    return id == VT__H1_F_CONTENT_LENGTH || id == VT__H1_F_TRANSFER_ENCODING || id == VT__H1_F_TE ||
           id == VT__H1_F_UPGRADE || id == VT__H1_F_EXPECT || id == VT__H1_F_CONNECTION ||
           id == VT__H1_F_KEEP_ALIVE || id == VT__H1_F_PROXY_CONNECTION;
}
static void vt__cli_unset(vt_call *call, int id, vt_str name) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < call->fields.n; i++)
        if (!vt__res_is(&call->fields.at[i], id, name)) call->fields.at[kept++] = call->fields.at[i];
    call->fields.n = kept;
}
static int vt__cli_set(vt_call *call, const char *name, const char *value, bool replace) {
    vt_str key = vt__str_of(name), v = vt__str_of(value);
    vt__uri_auth auth;
    int r = vt__cli_settable(call);
    if (r < 0) return r;
    if (vt__h1_check_name(key) < 0 || (value && vt__h1_check_value(v) < 0) || v.len > UINT32_MAX)
        return VT_EFIELD;
    int id = vt__h1_field_id(key);
    if (id == VT__H1_F_CONNECTION && vt__str_eq_ci(v, VT__STR_LIT("close"))) return call->close = true, 0;
    if (vt__cli_own_field(id)) return VT_EFIELD;
    if (id == VT__H1_F_HOST && value && (vt__uri_authority(v, &auth) < 0 || !replace)) return VT_EFIELD;
    if (replace) vt__cli_unset(call, id, key);
    return value ? vt__res_list_add(&call->arena, &call->fields, key, v) : 0;
}
VT_API int vt_call_field(vt_call *call, const char *name, const char *value) {
    return vt__cli_set(call, name, value, true);
}
VT_API int vt_call_field_add(vt_call *call, const char *name, const char *value) {
    return value ? vt__cli_set(call, name, value, false) : VT_EFIELD;
}
VT_API int vt_call_via(vt_call *call, const char *addr) {
    int r = vt__cli_settable(call);
    if (r < 0) return r;
    call->via = vt__mem_arena_str(&call->arena, addr, strlen(addr));
    return call->via ? 0 : -ENOMEM;
}
VT_API int vt_call_until(vt_call *call, int64_t until) {
    if (call->err < 0) return call->err;
    call->until = VT__MAX(until, 0);
    return 0;
}
VT_API int vt_call_redirects(vt_call *call, int max) {
    int r = vt__cli_settable(call);
    if (r < 0) return r;
    call->max_hops = max;
    return 0;
}
VT_API int vt_call_expect(vt_call *call) {
    int r = vt__cli_settable(call);
    if (r < 0) return r;
    call->expect = true;
    return 0;
}
VT_API int vt_call_upgrade(vt_call *call, const char *protocol) {
    int r = vt__cli_settable(call);
    vt_str p = vt__str_of(protocol);
    if (r < 0) return r;
    if (!p.len || vt__h1_check_value(p) < 0) return VT_EFIELD;
    call->upgrade = vt__mem_arena_str(&call->arena, p.ptr, p.len);
    return call->upgrade ? 0 : -ENOMEM;
}
VT_API int vt_call_body(vt_call *call, const void *p, size_t n) {
    int r = vt__cli_settable(call);
    if (r < 0) return r;
    call->body = p;
    call->reader = NULL;
    call->length = (int64_t)n;
    call->has_body = true;
    return 0;
}
VT_API int vt_call_body_from(vt_call *call, vt_call_reader *read, void *ctx, int64_t length) {
    int r = vt__cli_settable(call);
    if (r < 0) return r;
    call->body = NULL;
    call->reader = read;
    call->reader_ctx = ctx;
    call->length = length < 0 ? -1 : length;
    call->has_body = true;
    return 0;
}
VT_API int vt_call_trailer(vt_call *call, const char *name, const char *value) {
    if (call->err < 0) return call->err;
    if (call->state > VT__CLI_OPEN) return VT_ESTATE;
    return vt__res_trailer_add(&call->arena, &call->trailers, name, value);
}

/*--- calls: sending them ---*/
/* Where it goes, and by what way. */
static int vt__cli_route(vt_call *call) {
    const vt_client *c = call->client;
    const vt__cli_url *u = &call->url;
    const char *proxy = u->tls ? c->proxy_tls : c->proxy;
    size_t n = u->host.len + 8;
    char *origin = vt__mem_arena_get(&call->arena, n), *key;
    if (!origin) return -ENOMEM;
    snprintf(origin, n, "%.*s:%d", (int)u->host.len, u->host.ptr, (int)u->port);
    call->origin = origin;
    call->proxied = proxy && !call->via && !vt__cli_listed(c->no_proxy, u);
    call->tunnel = call->proxied && (u->tls || call->ws);
    call->addr = call->via ? call->via : call->proxied ? proxy : origin;
    call->how = (u->tls ? VT__CLI_TLS : 0u) | (call->tunnel ? VT__CLI_TUNNEL : 0u);
    call->key = call->addr;
    if (!call->how) return 0;
    n += strlen(call->addr) + 1;
    if (!(key = vt__mem_arena_get(&call->arena, n))) return -ENOMEM;
    snprintf(key, n, "%s %s", origin, call->addr);
    call->key = key;
    return 0;
}
static int vt__cli_begin(vt_call *call, bool fresh) {
    call->answered = false;
    call->written = 0;
    int routed = vt__cli_route(call);
    if (routed < 0) return routed;
    int r = call->wire->open(call, fresh);
    if (r < 0) return r;
    call->on_wire = true;
    return call->wire->head(call);
}
/* All that the reader has; each piece goes out at once, since the next may take its time. */
static int vt__cli_pump(vt_call *call) {
    vt__thr *thr = vt__sched_thr();
    vt__conn_buf b = {NULL, 0, 0, 0};
    int64_t n = 1, r = vt__conn_buf_get(thr, &b) ? 0 : -ENOMEM;
    while (r >= 0 && n > 0) {
        call->pulled = true;
        n = call->reader(call->reader_ctx, b.p, b.cap);
        if (n < 0) r = n;
        if (n <= 0) break;
        call->written += n;
        if (call->length >= 0 && call->written > call->length) r = VT_ESURPLUS;
        else if ((r = call->wire->write(call, b.p, (size_t)n)) >= 0) r = call->wire->flush(call);
    }
    vt__conn_buf_put(thr, &b);
    return r >= 0 && call->length >= 0 && call->written < call->length ? VT_ESHORT : (int)r;
}
/* The request, behind its head. */
static int vt__cli_transmit(vt_call *call) {
    const vt__cli_wire *w = call->wire;
    int r = 0;
    if (vt__cli_expects(call)) r = w->go(call);
    if (r >= 0 && call->reader) r = vt__cli_pump(call);
    else if (r >= 0 && call->body && call->length > 0) r = w->write(call, call->body, (size_t)call->length);
    return r >= 0 ? w->end(call) : r;
}
/* A peer that does not take the rest may have said why. */
static int vt__cli_settle(vt_call *call, int r) {
    if (r == VT_EANSWERED) r = 0;
    bool refused = r == -EPIPE || r == -ECONNRESET;
    if (r < 0 && !refused) return r;
    int waited = call->wire->wait(call, refused);
    return waited >= 0 ? 0 : refused ? r : waited;
}
/* One exchange; once more, where a connection that was kept was no good. */
static int vt__cli_exchange(vt_call *call) {
    for (bool fresh = false;; fresh = true) {
        int r = vt__cli_begin(call, fresh);
        if (r >= 0) r = vt__cli_transmit(call);
        if (call->on_wire) r = vt__cli_settle(call, r);
        if (r >= 0) return r;
        bool again = call->on_wire && !fresh && !call->pulled && call->wire->stale(call, r);
        if (!again) return r;
        call->wire->close(call, 0);
        call->on_wire = false;
    }
}
static bool vt__cli_safe(const vt_call *call) {
    switch (call->method_id) {
    case VT__H1_M_GET:
    case VT__H1_M_HEAD:
    case VT__H1_M_OPTIONS:
    case VT__H1_M_TRACE:
    case VT__H1_M_QUERY: return true;
    default: return false;
    }
}
static void vt__cli_become_get(vt_call *call) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < call->fields.n; i++) {
        vt__res_field *f = &call->fields.at[i];
        bool of_content = f->name_len > 8 && vt__str_eq_ci((vt_str){f->name, 8}, VT__STR_LIT("content-"));
        if (!of_content) call->fields.at[kept++] = *f;
    }
    call->fields.n = kept;
    call->trailers.n = 0;
    call->method = VT__STR_LIT("GET");
    call->method_id = VT__H1_M_GET;
    call->has_body = call->pulled = false;
    call->body = NULL;
    call->reader = NULL;
    call->length = 0;
}
/* Goes where the response points: 1; 0 the response stands; < 0. */
static int vt__cli_redirect(vt_call *call) {
    int status = call->status;
    bool as_is = status == 307 || status == 308, old = status == 301 || status == 302;
    bool to_get = status == 303 ? call->method_id != VT__H1_M_HEAD : old && call->method_id == VT__H1_M_POST;
    vt_str location = vt_call_get(call, "location", 0);
    vt__cli_url to;
    if ((!as_is && !old && status != 303) || call->max_hops <= 0) return 0;
    if (!location.ptr || vt_call_get(call, "location", 1).ptr) return 0;
    if (!to_get &&
        ((old && !vt__cli_safe(call)) || call->pulled || (call->has_body && call->state == VT__CLI_OPEN)))
        return 0;
    int r = vt__cli_url_resolve(&call->arena, &call->url, location, &to);
    if (r < 0) return r == VT_EURL ? VT_EREDIRECT : r;
    if (call->url.tls && !to.tls) return 0; /* who asked for secrecy gets no answer without */
    bool same = vt__cli_url_same(&call->url, &to);
    if (!same && (call->via || (!to_get && !vt__cli_safe(call)))) return 0;
    if (call->hops++ >= call->max_hops) return VT_EREDIRECT;
    call->wire->close(call, VT__CLI_DRAIN);
    call->on_wire = false;
    if (to_get) vt__cli_become_get(call);
    if (!same) {
        vt__cli_unset(call, VT__H1_F_AUTHORIZATION, VT__STR_LIT("authorization"));
        vt__cli_unset(call, VT__H1_F_COOKIE, VT__STR_LIT("cookie"));
        vt__cli_unset(call, VT__H1_F_HOST, VT__STR_LIT("host"));
    }
    call->url = to;
    return 1;
}
static void vt__cli_clock(vt_call *call) {
    int64_t ns = vt__cli_ns(call->client->cfg.timeout_ms);
    if (ns && !call->total) call->total = vt__plat_now() + ns;
}
VT_API int vt_call_send(vt_call *call) {
    int r = call->err;
    if (r < 0) return r;
    if (call->state > VT__CLI_OPEN) return VT_ESTATE;
    vt__cli_clock(call);
    if (call->state == VT__CLI_NEW) {
        r = vt__cli_exchange(call);
    } else {
        bool is_short = call->length >= 0 && call->written < call->length && !call->answered;
        r = vt__cli_settle(call, call->answered ? 0 : is_short ? VT_ESHORT : call->wire->end(call));
    }
    while (r >= 0 && (r = vt__cli_redirect(call)) > 0) {
        call->state = VT__CLI_NEW;
        r = vt__cli_exchange(call);
    }
    if (r < 0) return vt__cli_fail(call, r);
    call->state = VT__CLI_ANSWERED;
    return call->status;
}
VT_API int vt_call_open(vt_call *call, int64_t length) {
    int r = vt__cli_settable(call);
    if (r < 0) return r;
    vt__cli_clock(call);
    call->body = NULL;
    call->reader = NULL;
    call->length = length < 0 ? -1 : length;
    call->has_body = true;
    r = vt__cli_begin(call, false);
    if (r >= 0 && vt__cli_expects(call)) r = call->wire->go(call);
    if (r < 0 && r != VT_EANSWERED) return vt__cli_fail(call, r);
    call->state = VT__CLI_OPEN;
    return 0;
}
/* What came of a piece: an answer is no error of the call. */
static int vt__cli_piece(vt_call *call, int r) {
    if (r >= 0 || r == VT_EANSWERED) return r;
    r = vt__cli_settle(call, r);
    return r < 0 ? vt__cli_fail(call, r) : VT_EANSWERED;
}
VT_API int64_t vt_call_write(vt_call *call, const void *p, size_t n) {
    if (call->err < 0) return call->err;
    if (call->state != VT__CLI_OPEN) return VT_ESTATE;
    if (call->answered) return VT_EANSWERED;
    if (call->length >= 0 && n > (uint64_t)(call->length - call->written)) return VT_ESURPLUS;
    int r = n ? vt__cli_piece(call, call->wire->write(call, p, n)) : 0;
    if (r < 0) return r;
    call->written += (int64_t)n;
    return (int64_t)n;
}
VT_API int vt_call_flush(vt_call *call) {
    if (call->err < 0) return call->err;
    if (call->state != VT__CLI_OPEN) return VT_ESTATE;
    return call->answered ? VT_EANSWERED : vt__cli_piece(call, call->wire->flush(call));
}

/*--- calls: responses ---*/
VT_API int vt_call_status(const vt_call *call) {
    return call->err < 0 ? call->err : call->state >= VT__CLI_ANSWERED ? call->status : 0;
}
VT_API const char *vt_call_url(const vt_call *call) { return call->url.text ? call->url.text : ""; }
VT_API int64_t vt_call_length(const vt_call *call) { return call->res_length; }
VT_API int vt_call_get_nth(const vt_call *call, size_t n, vt_str *name, vt_str *value) {
    if (n >= call->nfields) return 0;
    const vt__h1_field *f = &call->res_fields[n];
    *name = vt__req_cut((vt_str){call->head + f->name_off, f->name_len});
    *value = vt__req_cut((vt_str){call->head + f->value_off, f->value_len});
    return 1;
}
VT_API vt_str vt_call_get_trailer(const vt_call *call, const char *name) {
    return vt__cli_value(call->trailer_base, call->res_trailers, call->ntrailers, name, 0);
}
VT_API int64_t vt_call_read(vt_call *call, void *buf, size_t n) {
    if (call->err < 0) return call->err;
    if (call->state == VT__CLI_ENDED) return 0;
    if (call->state != VT__CLI_ANSWERED || call->status == 101) return VT_ESTATE;
    if (n == 0) return 0;
    int64_t r = call->res_length == 0 ? 0 : call->wire->read(call, buf, n);
    if (r < 0) return vt__cli_fail(call, (int)r);
    if (r == 0) call->state = VT__CLI_ENDED;
    call->res_got += r;
    return r;
}
/* A declared length gets its room at once, others double theirs. */
VT_API int vt_call_whole(vt_call *call) {
    int64_t max = call->client ? call->client->cfg.max_body : 0, r = call->err;
    if (r < 0 || call->text.ptr) return (int)r;
    if (call->state < VT__CLI_ANSWERED || call->status == 101) return VT_ESTATE;
    if (max >= 0 && call->res_length > max) return vt__cli_fail(call, VT_ETOOLARGE);
    if ((uint64_t)call->res_length >= SIZE_MAX / 4 && call->res_length > 0)
        return vt__cli_fail(call, -ENOMEM);
    size_t cap = call->res_length < 0 ? 4000 : (size_t)(call->res_length - call->res_got), len = 0;
    char *p = vt__mem_arena_get(&call->arena, cap + 1), more;
    while (p && (r = vt_call_read(call, len < cap ? p + len : &more, len < cap ? cap - len : 1)) > 0) {
        len += (size_t)r;
        if (max >= 0 && len > (uint64_t)max) return vt__cli_fail(call, VT_ETOOLARGE);
        if (len <= cap) continue;
        char *q = cap < SIZE_MAX / 4 ? vt__mem_arena_get(&call->arena, 2 * cap + 1) : NULL;
        if (q) memcpy(q, p, cap), q[cap] = more;
        p = q;
        cap *= 2;
    }
    if (!p) return vt__cli_fail(call, -ENOMEM);
    if (r < 0) return (int)r;
    p[len] = 0;
    call->text = (vt_str){p, len};
    return 0;
}
VT_API vt_str vt_call_text(const vt_call *call) { return call->text.ptr ? call->text : (vt_str){"", 0}; }
VT_API int vt_call_stream(vt_call *call, vt_stream **out) {
    *out = NULL;
    if (call->err < 0) return call->err;
    return call->state == VT__CLI_ANSWERED ? call->wire->upgrade(call, out) : VT_ESTATE;
}

/*--- the common case ---*/
static vt_call *vt__cli_all(vt_call *call) {
    if (vt_call_send(call) >= 0) (void)vt_call_whole(call);
    return call;
}
VT_API vt_call *vt_client_get(vt_client *c, const char *url) {
    return vt__cli_all(vt_call_new(c, "GET", url));
}
VT_API vt_call *vt_client_post(vt_client *c, const char *url, const char *type, const void *body, size_t n) {
    vt_call *call = vt_call_new(c, "POST", url);
    int r = type ? vt_call_field(call, "Content-Type", type) : 0;
    if (r == 0) r = vt_call_body(call, body, n);
    if (r < 0) vt__cli_fail(call, r);
    return vt__cli_all(call);
}

/*--- WebSockets ---*/
static int vt__cli_ws_fields(vt_call *call, const vt_ws_cfg *cfg, const char *key) {
    const char *lines = cfg->fields;
    vt_str name, value;
    int r = vt_call_upgrade(call, "websocket");
    call->ws = true;
    if (r == 0) r = vt_call_redirects(call, 0);
    if (r == 0) r = vt_call_field(call, "Sec-WebSocket-Version", "13");
    if (r == 0) r = vt_call_field(call, "Sec-WebSocket-Key", key);
    if (r == 0 && cfg->protocols && *cfg->protocols)
        r = vt__ws_protocols_ok(vt__str_of(cfg->protocols))
                ? vt_call_field(call, "Sec-WebSocket-Protocol", cfg->protocols)
                : -EINVAL;
    while (r == 0 && lines && (r = vt__wsc_line(&lines, &name, &value)) > 0)
        r = vt__cli_own_field(vt__h1_field_id(name))
                ? -EINVAL
                : vt__res_list_add(&call->arena, &call->fields, name, value);
    return r;
}
/* 0, or why the answer is no WebSocket's. */
static int vt__cli_ws_check(const vt_call *call, const vt_ws_cfg *cfg, const char *key, vt__ws_shake *s) {
    vt_str name, value;
    memset(s, 0, sizeof *s);
    for (size_t i = 0; vt_call_get_nth(call, i, &name, &value); i++) vt__ws_shake_field(s, name, value);
    if (vt__ws_shake_response(s, call->status, key, vt__str_of(cfg->protocols ? cfg->protocols : "")) == 0)
        return 0;
    vt_log(VT_LOG_DEBUG, "%s: no WebSocket; status %d", call->url.text, call->status);
    return VT_EWSUPGRADE;
}
static int vt__cli_ws_open(vt_call *call, const vt_ws_cfg *cfg, vt_ws **out) {
    uint8_t random[16];
    char key[VT__WS_KEY_LEN + 1] = "";
    vt__ws_shake s;
    vt__conn_buf *b = &call->h1.io.in;
    vt__plat_random(random, sizeof random);
    (void)vt__str_base64(key, random, sizeof random);
    int r = vt__cli_ws_fields(call, cfg, key);
    if (r >= 0) r = vt_call_send(call);
    if (r >= 0) r = vt__cli_ws_check(call, cfg, key, &s);
    if (r < 0) return r;
    *out = vt__wsc_client(&call->h1.conn->conn, cfg, s.protocol, b->p + b->pos, b->len - b->pos,
                          vt__cli_ns(call->client->cfg.write_timeout_ms));
    if (!*out) return -ENOMEM;
    vt__conn_buf_put(call->h1.io.thr, b);
    (*out)->base = call;
    return 0;
}
VT_API int vt_client_ws(vt_client *c, const char *url, const vt_ws_cfg *cfg, vt_ws **out) {
    static const vt_ws_cfg usual;
    vt_str u = vt__str_of(url);
    bool good = (u.len > 5 && vt__str_eq_ci((vt_str){url, 5}, VT__STR_LIT("ws://"))) ||
                (u.len > 6 && vt__str_eq_ci((vt_str){url, 6}, VT__STR_LIT("wss://")));
    *out = NULL;
    if (!good) return VT_EURL;
    char *as_http = vt__mem_alloc(u.len + 3);
    if (!as_http) return -ENOMEM;
    memcpy(as_http, "http", 4);
    memcpy(as_http + 4, url + 2, u.len - 1); /* "://" or "s://", and the NUL */
    vt_call *call = vt_call_new(c, "GET", as_http);
    vt__mem_free(as_http);
    int r = call->err < 0 ? call->err : vt__cli_ws_open(call, cfg ? cfg : &usual, out);
    if (r < 0) vt_call_free(call);
    return r;
}
VT_API void vt_ws_free(vt_ws *ws) {
    if (!ws || !ws->base) return;
    vt_call *call = ws->base;
    vt__wsc_client_free(ws);
    vt_call_free(call);
}
#endif /* VTHTTP_HTTP && VTHTTP_CLIENT */

#endif /* VTHTTP_IMPLEMENTATION */

/*
 * MIT License
 *
 * Copyright (c) the vthttp.h authors
 *
 * Permission is hereby granted, free of charge, to any person obtaining a copy
 * of this software and associated documentation files (the "Software"), to deal
 * in the Software without restriction, including without limitation the rights
 * to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
 * copies of the Software, and to permit persons to whom the Software is
 * furnished to do so, subject to the following conditions:
 *
 * The above copyright notice and this permission notice shall be included in all
 * copies or substantial portions of the Software.
 *
 * THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
 * IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
 * FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
 * AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
 * LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
 * OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
 * SOFTWARE.
 */
