/* @conf: the reader of configuration text, sources and their precedence, arguments taken out of argv, every error. */
#define VTHTTP_SIM 1
#define VTHTTP_IMPLEMENTATION
#include "../vthttp.h"
#include "test.h"
#include "guard.h"
#include "tmp.h"

static vt__conf conf;
static char log_text[4096];

static void on_log(void *ctx, int level, const char *line) {
    (void)ctx;
    size_t n = strlen(log_text);
    snprintf(log_text + n, sizeof log_text - n, "%d %s\n", level, line);
}

/* Reads `n` bytes that end where nothing is mapped. */
static int read_bytes(const char *text, size_t n) {
    char *at = guarded(n);
    if (n) memcpy(at, text, n);
    vt__conf_end(&conf);
    vt__conf_begin(&conf, NULL);
    return vt__conf_text(&conf, "app.conf", (vt_str){at, n});
}
static int read_text(const char *text) { return read_bytes(text, strlen(text)); }

static bool all_zero(const void *p, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (((const char *)p)[i]) return false;
    return true;
}

TEST(conf_empty_text_changes_nothing) {
    static const char *const texts[] = {"",
                                        "\n",
                                        "\r\n",
                                        "# only a comment",
                                        "  # indented\n\n\t\n",
                                        "\xef\xbb\xbf",
                                        "\xef\xbb\xbf# after a byte order mark\n"};
    for (size_t i = 0; i < VT__COUNT(texts); i++) {
        CHECK_EQ(read_text(texts[i]), 0);
        CHECK(all_zero(&conf.cfg, sizeof conf.cfg));
    }
}

TEST(conf_every_key_reaches_its_field) {
    CHECK_EQ(
        read_text(
            "host = localhost\nport = 81\nworkers = 3\nstackBytes = 128k\nmaxConnections = 5\n"
            "maxVthreads = 6\nmaxHeaderBytes = 7\nmaxHeaderCount = 8\nmaxRequestLine = 9\nmaxBody = 10\n"
            "maxChunkLine = 11\nmaxTrailerBytes = 12\nmaxDrain = 13\nmaxKeepAlive = 14\n"
            "headerTimeoutMs = 15\nbodyTimeoutMs = 16\nminBodyRate = 17\nwriteTimeoutMs = 18\n"
            "idleTimeoutMs = 19\nhandlerTimeoutMs = 20\ngraceMs = 21\nretryAfterS = 22\nbacklog = 23\n"
            "reuseport = yes\ncancelOn = never\nnoSignals = 1\nnoDate = true\nserverName = x/1\n"
            "stallMs = 24\nmaxSpares = 25\ndeadlock = 1\nsslPort = 26\nsslCert = c\nsslKey = k\n"
            "sslKeyPasswordFile = p\nsslClientCA = ca\nsslMinVersion = 13\nsslOnly = 1\nsslRedirect = 1\nsslKtls = 1\n"
            "reloadOnHup = 1\nmaxQueued = 27\nqueueTimeoutMs = 28\nhstsMaxAgeS = 29\nhstsSubdomains = 1\n"
            "http2 = on\nhttp3 = on\naltSvcMaxAgeS = 60\nmaxStreams = 30\nqlog = logs\nearlyData = on\npreferredAddr = 192.0.2.1:443\n"),
        0);
    CHECK_STR(conf.error, "");
    CHECK_STR(conf.cfg.host, "localhost");
    CHECK_EQ(conf.cfg.port, 81);
    CHECK_EQ(conf.cfg.workers, 3);
    CHECK_EQ(conf.cfg.stack_bytes, 128 * 1024);
    CHECK_EQ(conf.cfg.max_connections, 5);
    CHECK_EQ(conf.cfg.max_vthreads, 6);
    CHECK_EQ(conf.cfg.max_header_bytes, 7);
    CHECK_EQ(conf.cfg.max_header_count, 8);
    CHECK_EQ(conf.cfg.max_request_line, 9);
    CHECK_EQ(conf.cfg.max_body, 10);
    CHECK_EQ(conf.cfg.max_chunk_line, 11);
    CHECK_EQ(conf.cfg.max_trailer_bytes, 12);
    CHECK_EQ(conf.cfg.max_drain, 13);
    CHECK_EQ(conf.cfg.max_keep_alive, 14);
    CHECK_EQ(conf.cfg.header_timeout_ms, 15);
    CHECK_EQ(conf.cfg.body_timeout_ms, 16);
    CHECK_EQ(conf.cfg.min_body_rate, 17);
    CHECK_EQ(conf.cfg.write_timeout_ms, 18);
    CHECK_EQ(conf.cfg.idle_timeout_ms, 19);
    CHECK_EQ(conf.cfg.handler_timeout_ms, 20);
    CHECK_EQ(conf.cfg.grace_ms, 21);
    CHECK_EQ(conf.cfg.retry_after_s, 22);
    CHECK_EQ(conf.cfg.backlog, 23);
    CHECK_EQ(conf.cfg.reuseport, 1);
    CHECK_EQ(conf.cfg.cancel_on, VT_CANCEL_NEVER);
    CHECK_EQ(conf.cfg.no_signals, 1);
    CHECK_EQ(conf.cfg.no_date, 1);
    CHECK_STR(conf.cfg.server_name, "x/1");
    CHECK_EQ(conf.cfg.stall_ms, 24);
    CHECK_EQ(conf.cfg.max_spares, 25);
    CHECK_EQ(conf.cfg.deadlock, 1);
    CHECK_EQ(conf.cfg.max_queued, 27);
    CHECK_EQ(conf.cfg.queue_timeout_ms, 28);
    CHECK_EQ(conf.cfg.ssl_port, 26);
    CHECK_STR(conf.cfg.ssl_cert, "c");
    CHECK_STR(conf.cfg.ssl_key, "k");
    CHECK_STR(conf.cfg.ssl_key_password_file, "p");
    CHECK_STR(conf.cfg.ssl_client_ca, "ca");
    CHECK_EQ(conf.cfg.ssl_min_version, 13);
    CHECK(conf.cfg.ssl_only == 1 && conf.cfg.ssl_redirect == 1 && conf.cfg.reload_on_hup == 1);
    CHECK_EQ(conf.cfg.ssl_ktls, 1);
    CHECK_EQ(conf.cfg.hsts_max_age_s, 29);
    CHECK_EQ(conf.cfg.hsts_subdomains, 1);
    CHECK_EQ(conf.cfg.http2, 1);
    CHECK_EQ(conf.cfg.http3, 1);
    CHECK_EQ(conf.cfg.alt_svc_max_age_s, 60);
    CHECK_EQ(conf.cfg.max_streams, 30);
    CHECK_STR(conf.cfg.qlog, "logs");
    CHECK_EQ(conf.cfg.early_data, 1);
    CHECK_STR(conf.cfg.preferred_addr, "192.0.2.1:443");
    CHECK_EQ(read_text("http2 = off\n"), 0);
    CHECK_EQ(conf.cfg.http2, VT_NONE);
    CHECK(read_text("http2 = 2\n") < 0);
    CHECK_EQ(read_text("addr = 127.0.0.1:0\nhstsMaxAgeS = 0\n"), 0);
    CHECK_STR(conf.cfg.addr, "127.0.0.1:0");
    CHECK_EQ(conf.cfg.hsts_max_age_s, VT_NONE);
    CHECK_EQ(VT__COUNT(vt__conf_rows), 53); /* a new key belongs into this test */
}

/* The value that `text` gives a row, or its error. */
static int64_t value_of(const char *key, const char *text) {
    char line[200];
    snprintf(line, sizeof line, "%s = %s", key, text);
    if (read_text(line) < 0) return VT_ECONF;
    const vt__conf_row *row = vt__conf_find(vt__str_of(key));
    const char *at = (const char *)&conf.cfg + row->offset;
    int64_t v64;
    int v;
    memcpy(&v64, at, row->size == 8 ? 8 : 0);
    memcpy(&v, at, row->size == 4 ? 4 : 0);
    return row->size == 4 ? v : v64;
}

TEST(conf_values_with_units) {
    static const struct {
        const char *key, *text;
        int64_t want;
    } good[] = {{"maxBody", "1", 1},
                {"maxBody", "007", 7},
                {"maxBody", "16k", 16384},
                {"maxBody", "16K", 16384},
                {"maxBody", "16KiB", 16384},
                {"maxBody", "16kib", 16384},
                {"maxBody", "1m", 1 << 20},
                {"maxBody", "1MiB", 1 << 20},
                {"maxBody", "2g", INT64_C(2) << 30},
                {"maxBody", "1GiB", 1 << 30},
                {"maxBody", "none", VT_NONE},
                {"maxBody", "NONE", VT_NONE},
                {"maxBody", "9223372036854775807", INT64_MAX},
                {"maxBody", "8589934591g", INT64_C(8589934591) << 30},
                {"idleTimeoutMs", "250", 250},
                {"idleTimeoutMs", "250ms", 250},
                {"idleTimeoutMs", "5s", 5000},
                {"idleTimeoutMs", "2m", 120000},
                {"idleTimeoutMs", "1h", 3600000},
                {"idleTimeoutMs", "none", VT_NONE},
                {"port", "0", VT_NONE},
                {"port", "65535", 65535},
                {"noDate", "no", 0},
                {"noDate", "0", 0},
                {"noDate", "off", 0},
                {"noDate", "false", 0},
                {"noDate", "on", 1},
                {"noDate", "YES", 1},
                {"cancelOn", "reset", VT_CANCEL_RESET},
                {"cancelOn", "fin", VT_CANCEL_FIN}};
    static const struct {
        const char *key, *text;
    } bad[] = {{"maxBody", "0"},
               {"maxBody", "-1"},
               {"maxBody", "+1"},
               {"maxBody", "1.5m"},
               {"maxBody", "1kb"},
               {"maxBody", "1 k"},
               {"maxBody", "k"},
               {"maxBody", "5s"},
               {"maxBody", "0x10"},
               {"maxBody", "8589934592g"},
               {"maxBody", "1kk"},
               {"maxBody", "nonee"},
               {"maxBody", "9223372036854775808"},
               {"maxBody", "99999999999999999999"},
               {"idleTimeoutMs", "1k"},
               {"idleTimeoutMs", "1d"},
               {"idleTimeoutMs", "0"},
               {"idleTimeoutMs", "9000h"},
               {"port", "65536"},
               {"port", "70000"},
               {"port", "none"},
               {"port", "80ms"},
               {"port", "1k"},
               {"workers", "0"},
               {"workers", "257"},
               {"workers", "none"},
               {"noDate", "maybe"},
               {"noDate", "2"},
               {"noDate", "none"},
               {"cancelOn", "0"},
               {"cancelOn", "reset fin"},
               {"maxHeaderCount", "4294967297"}};
    for (size_t i = 0; i < VT__COUNT(good); i++) CHECK_EQ(value_of(good[i].key, good[i].text), good[i].want);
    for (size_t i = 0; i < VT__COUNT(bad); i++) {
        if (value_of(bad[i].key, bad[i].text) != VT_ECONF)
            printf("accepted: %s = %s\n", bad[i].key, bad[i].text);
        CHECK_EQ(value_of(bad[i].key, bad[i].text), VT_ECONF);
        CHECK(strncmp(conf.error, "app.conf:1: ", 12) == 0);
        CHECK(strstr(conf.error, bad[i].key) != NULL && strstr(conf.error, bad[i].text) != NULL);
        CHECK(all_zero(&conf.cfg, sizeof conf.cfg)); /* a refused value leaves nothing */
    }
}

TEST(conf_ranges_are_exact_for_every_row) {
    char text[32];
    for (size_t i = 0; i < VT__COUNT(vt__conf_rows); i++) {
        const vt__conf_row *row = &vt__conf_rows[i];
        if (row->kind == VT__CONF_STRING || row->kind == VT__CONF_FLAG || row->kind == VT__CONF_CANCEL)
            continue;
        int64_t zero = row->flags & VT__CONF_ZERO_NONE ? VT_NONE : 0;
        int64_t min = vt__conf_range(row).least, max = vt__conf_range(row).most;
        snprintf(text, sizeof text, "%lld", (long long)min);
        CHECK_EQ(value_of(row->key, text), min ? min : zero);
        snprintf(text, sizeof text, "%lld", (long long)max);
        if (row->size == 8 || max <= INT_MAX) CHECK_EQ(value_of(row->key, text), max);
        else CHECK(false); /* a row whose range is over its field */
        snprintf(text, sizeof text, "%lld", (long long)min - 1);
        CHECK_EQ(value_of(row->key, text), VT_ECONF);
        CHECK(strstr(conf.error, "out of range") != NULL);
        if (max < INT64_MAX) {
            snprintf(text, sizeof text, "%lld", (long long)max + 1);
            CHECK_EQ(value_of(row->key, text), VT_ECONF);
            CHECK(strstr(conf.error, "out of range") != NULL);
        }
        CHECK_EQ(value_of(row->key, "none"), vt__conf_range(row).none ? VT_NONE : VT_ECONF);
    }
}

TEST(conf_lines_quotes_and_comments) {
    static const struct {
        const char *text, *want;
    } cases[] = {{"serverName=a", "a"},
                 {"serverName = a b  c \t", "a b  c"},
                 {"\t serverName\t=\ta\r\n", "a"},
                 {"serverName = a#b", "a#b"},
                 {"serverName = a # b", "a"},
                 {"serverName = a\t#b", "a"},
                 {"serverName = \"a # b\"", "a # b"},
                 {"serverName = \" a \" # c", " a "},
                 {"serverName = \"a\"#c", "a"},
                 {"serverName = a=b", "a=b"},
                 {"serverName = a \"b\"", "a \"b\""},
                 {"serverName = it's", "it's"},
                 {"serverName = gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
                 {"serverName = a\nserverName = b\n", "b"},
                 {"\xef\xbb\xbfserverName = a", "a"},
                 {"# x\r\n\r\nserverName = a\r\n# y", "a"}};
    for (size_t i = 0; i < VT__COUNT(cases); i++) {
        CHECK_EQ(read_text(cases[i].text), 0);
        CHECK_STR(conf.error, "");
        CHECK_STR(conf.cfg.server_name, cases[i].want);
    }
}

TEST(conf_errors_name_the_key_and_the_line) {
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"nosuch = 1", "app.conf:1: no such key 'nosuch'"},
        {"port = 1\n\n# c\nPort = 2", "app.conf:4: no such key 'Port'"},
        {"idle_timeout_ms = 2", "app.conf:1: no such key 'idle_timeout_ms'"},
        {"port = 70000", "app.conf:1: port: '70000' is out of range (0 to 65535)"},
        {"port = x", "app.conf:1: port: 'x' is not a number"},
        {"workers = 2\r\nmaxBody = 0\r\n", "app.conf:2: maxBody: '0' is out of range (1 and more, or none)"},
        {"maxBody = 1kb", "app.conf:1: maxBody: '1kb' is not a size such as 4096, 16k or 1MiB, or none"},
        {"graceMs = soon", "app.conf:1: graceMs: 'soon' is not a time such as 250, 250ms, 5s or 2m, or none"},
        {"noDate = perhaps", "app.conf:1: noDate: 'perhaps' is not yes or no"},
        {"cancelOn = x", "app.conf:1: cancelOn: 'x' is not reset, fin or never"},
        {"port", "app.conf:1: want key = value"},
        {"= 80", "app.conf:1: want key = value"},
        {"[server]", "app.conf:1: want key = value"},
        {"port =", "app.conf:1: port: needs a value"},
        {"port = # none", "app.conf:1: port: needs a value"},
        {"host = \"\"", "app.conf:1: host: needs a value"},
        {"host = \"a", "app.conf:1: the quote is not closed"},
        {"host = \"", "app.conf:1: the quote is not closed"},
        {"host = \"a\" b", "app.conf:1: text after the closing quote"},
        {"port = 80\nhost = a\001b", "app.conf:2: not UTF-8 text"},
        {"host = a\rb", "app.conf:1: not UTF-8 text"},
        {"# \xff", "app.conf:1: not UTF-8 text"},
        {"port = 1\nbad\nport = x", "app.conf:2: want key = value"}};
    for (size_t i = 0; i < VT__COUNT(cases); i++) {
        CHECK_EQ(read_text(cases[i].text), VT_ECONF);
        CHECK_STR(conf.error, cases[i].want);
    }
    CHECK_EQ(read_bytes("port = 8\0000", 10), VT_ECONF);
    CHECK_STR(conf.error, "app.conf:1: not UTF-8 text");
    CHECK_EQ(vt__conf_text(&conf, "later.conf", VT__STR_LIT("nosuch = 1")), VT_ECONF);
    CHECK_STR(conf.error, "app.conf:1: not UTF-8 text"); /* the first error stays */
}

TEST(conf_long_names_fit_the_error) {
    char key[3000], file[3000], arg[3001];
    memset(key, 'k', sizeof key - 1);
    key[sizeof key - 1] = 0;
    memset(file, 'f', sizeof file - 1);
    file[sizeof file - 1] = 0;
    vt__conf_end(&conf);
    vt__conf_begin(&conf, NULL);
    snprintf(arg, sizeof arg, "%s=", key);
    CHECK_EQ(vt__conf_text(&conf, file, vt__str_of(arg)), VT_ECONF);
    CHECK(strncmp(conf.error, "...ffff", 7) == 0);
    CHECK(strstr(conf.error, "f:1: no such key 'kkkk") != NULL);
    CHECK(strlen(conf.error) < sizeof conf.error);
}

TEST(conf_utf8_is_checked_strictly) {
    static const char *const good[] = {"\x7e",         "\xc2\x80",         "\xdf\xbf",
                                       "\xe0\xa0\x80", "\xed\x9f\xbf",     "\xee\x80\x80",
                                       "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {"\x80",
                                      "\xbf",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xc2",
                                      "\xc2 ",
                                      "\xc2\xc2",
                                      "\xe0\x9f\xbf",
                                      "\xe0\xa0",
                                      "\xe1\x80 ",
                                      "\xed\xa0\x80",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf1\x80\x80",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xff",
                                      "\xfe",
                                      "\x7f",
                                      "\x1b"};
    for (size_t i = 0; i < VT__COUNT(good); i++) CHECK(vt__conf_is_text(vt__str_of(good[i])));
    for (size_t i = 0; i < VT__COUNT(bad); i++) CHECK(!vt__conf_is_text(vt__str_of(bad[i])));
}

/* Cut anywhere, a text gives what its whole lines give, and the rest nothing or an error of the last line. */
TEST(conf_every_cut_of_a_text) {
    static const char text[] =
        "host = \"a b\"\r\nport = 8080\nserverName = \xc3\xbc\nidleTimeoutMs = 5s # idle\n";
    size_t n = sizeof text - 1;
    for (size_t cut = 0; cut <= n; cut++) {
        int lines = 1;
        char place[32];
        for (size_t i = 0; i < cut; i++) lines += text[i] == '\n';
        int err = read_bytes(text, cut);
        snprintf(place, sizeof place, "app.conf:%d: ", lines);
        if (err < 0) CHECK(strncmp(conf.error, place, strlen(place)) == 0);
        if (lines > 1) CHECK_STR(conf.cfg.host, "a b");
        if (lines > 2) CHECK_EQ(conf.cfg.port, 8080);
        if (lines > 3) CHECK_STR(conf.cfg.server_name, "\xc3\xbc");
        if (lines > 4) CHECK_EQ(conf.cfg.idle_timeout_ms, 5000);
    }
}

TEST(conf_line_limit) {
    static char text[10000];
    int n = snprintf(text, sizeof text, "port = 1\n# ");
    memset(text + n, 'x', VT__CONF_LINE_MAX - 2);
    memcpy(text + n + VT__CONF_LINE_MAX - 2, "\r\nport = 2\n", 12);
    CHECK_EQ(read_text(text), 0); /* exactly 4096 */
    CHECK_EQ(conf.cfg.port, 2);
    memset(text + n, 'x', VT__CONF_LINE_MAX - 1);
    memcpy(text + n + VT__CONF_LINE_MAX - 1, "\nport = 2\n", 11);
    CHECK_EQ(read_text(text), VT_ECONF);
    CHECK_STR(conf.error, "app.conf:2: a line over 4096 bytes");
}

/* ---- files ---- */
static int read_file(const char *path) {
    vt__conf_end(&conf);
    vt__conf_begin(&conf, NULL);
    return vt__conf_file(&conf, path);
}

TEST(conf_file_limits_and_failures) {
    size_t n = VT__CONF_FILE_MAX;
    char *big = malloc(n + 1), want[200];
    REQUIRE(big != NULL);
    memset(big, '\n', n + 1);
    memcpy(big, "port = 7\n", 9);
    CHECK_EQ(read_file(tmp_file("full", big, n)), 0);
    CHECK_EQ(conf.cfg.port, 7);
    CHECK_EQ(read_file(tmp_file("over", big, n + 1)), VT_ECONF);
    snprintf(want, sizeof want, "%s/over: over 1048576 bytes", tmp_dir());
    CHECK_STR(conf.error, want);
    free(big);
    CHECK_EQ(read_file("/no/such/app.conf"), VT_ECONF);
    CHECK_STR(conf.error, "/no/such/app.conf: cannot be read: No such file or directory");
    CHECK_EQ(read_file(tmp_dir()), VT_ECONF);
    CHECK(strstr(conf.error, "cannot be read: ") != NULL);
}

static int sys_calls;
static ssize_t read_slowly(int fd, void *p, size_t n) {
    if (sys_calls++ % 2 == 0) return -EINTR;
    return vt__plat_sys_read(fd, p, n ? 1 : 0);
}
static int open_interrupted(const char *path, int flags, int mode) {
    return sys_calls++ < 3 ? -EINTR : vt__plat_sys_open(path, flags, mode);
}
static int opened, closed;
static int open_counted(const char *path, int flags, int mode) {
    int fd = vt__plat_sys_open(path, flags, mode);
    opened += fd >= 0;
    return fd;
}
static int close_counted(int fd) {
    closed++;
    return vt__plat_sys_close(fd);
}
static ssize_t read_failing(int fd, void *p, size_t n) {
    return sys_calls++ ? -EIO : vt__plat_sys_read(fd, p, VT__MIN(n, 4u));
}

TEST(conf_file_reads_are_short_and_interrupted) {
    struct vt__plat_table saved = vt__plat;
    const char *path = tmp_text("a.conf", "port = 9\nhost = h\n");
    sys_calls = 0;
    vt__plat.open = open_interrupted;
    CHECK_EQ(read_file(path), 0);
    CHECK_EQ(sys_calls, 4);
    sys_calls = 0;
    vt__plat.read = read_slowly;
    CHECK_EQ(read_file(path), 0);
    CHECK_EQ(conf.cfg.port, 9);
    CHECK_STR(conf.cfg.host, "h");
    vt__plat.read = read_failing;
    sys_calls = 0;
    vt__plat.open = open_counted;
    vt__plat.close = close_counted;
    CHECK_EQ(read_file(path), VT_ECONF);
    CHECK(strstr(conf.error, "a.conf: cannot be read: Input/output error") != NULL);
    vt__plat.read = vt__plat_sys_read;
    CHECK_EQ(read_file(path), 0);
    CHECK(opened == 2 && closed == 2); /* after a failure too */
    vt__plat = saved;
}

static int alloc_left;
static void *realloc_failing(void *p, size_t n) {
    return alloc_left-- > 0 ? vt__plat_sys_realloc(p, n) : NULL;
}

TEST(conf_out_of_memory_is_an_error) {
    struct vt__plat_table saved = vt__plat;
    const char *path = tmp_text("a.conf", "host = h\nserverName = s\nhost = i\n");
    int n = 0, err = -1;
    for (; err < 0 && n < 100; n++) {
        alloc_left = n;
        vt__plat.realloc = realloc_failing;
        err = read_file(path);
        vt__plat = saved;
        if (err < 0) CHECK(strstr(conf.error, "memory") != NULL);
    }
    CHECK_EQ(n, 5); /* the buffer and three strings, then clean */
    CHECK_STR(conf.cfg.host, "i");
}

/* ---- sources ---- */
/* Reads arguments (NULL-terminated, without the program's name) and environment over `base`. */
static int read_sources(const vt_server_cfg *base, const char *const *args, const char *const *env) {
    const char *argv[20] = {"prog"};
    static const char *const no_env[] = {NULL};
    int argc = 1;
    while (args && args[argc - 1]) argv[argc] = args[argc - 1], argc++;
    vt__conf_end(&conf);
    vt__conf_begin(&conf, base);
    return vt__conf_read(&conf, argc, (char *const *)(uintptr_t)argv,
                         (char *const *)(uintptr_t)(env ? env : no_env));
}
#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

TEST(conf_precedence_file_env_p_named) {
    char a[160], b[160];
    snprintf(a, sizeof a, "-config=%s",
             tmp_text("a", "port = 1\nworkers = 1\nbacklog = 1\nretryAfterS = 1\nhost = f"));
    snprintf(b, sizeof b, "-config=%s", tmp_text("b", "backlog = 2\n"));
    vt_server_cfg base = {.port = 9, .max_body = 99, .backlog = 9};
    /* the order of the arguments does not decide between sources */
    CHECK_EQ(read_sources(&base, ARGS("-port=4", "-P:port=3", "-P:workers=3", a, b),
                          ARGS("VTHTTP_PORT=2", "VTHTTP_WORKERS=2", "VTHTTP_RETRY_AFTER_S=2")),
             0);
    CHECK_EQ(conf.cfg.port, 4);          /* named over -P: */
    CHECK_EQ(conf.cfg.workers, 3);       /* -P: over environment */
    CHECK_EQ(conf.cfg.retry_after_s, 2); /* environment over files */
    CHECK_EQ(conf.cfg.backlog, 2);       /* the later file over the earlier */
    CHECK_STR(conf.cfg.host, "f");       /* files over the program's own */
    CHECK_EQ(conf.cfg.max_body, 99);     /* untouched */
    CHECK_EQ(read_sources(&base, ARGS(b, a), NULL), 0);
    CHECK_EQ(conf.cfg.backlog, 1);
    CHECK_EQ(read_sources(NULL, ARGS("-port=4", "-port=5", "-P:backlog=6", "-P:backlog=7"), NULL), 0);
    CHECK_EQ(conf.cfg.port, 5);
    CHECK_EQ(conf.cfg.backlog, 7);
}

TEST(conf_every_key_has_its_variable) {
    char name[64], entry[128];
    for (size_t i = 0; i < VT__COUNT(vt__conf_rows); i++) {
        const vt__conf_row *row = &vt__conf_rows[i];
        vt__conf_env_name(row->key, name);
        snprintf(entry, sizeof entry, "%s=%s", name, row->kind == VT__CONF_CANCEL ? "fin" : "65536");
        bool good = row->kind == VT__CONF_STRING || row->kind == VT__CONF_CANCEL ||
                    row->kind == VT__CONF_BYTES || row->kind == VT__CONF_MS ||
                    (row->kind == VT__CONF_COUNT && vt__conf_range(row).most >= 65536);
        CHECK_EQ(read_sources(NULL, NULL, ARGS("X=y", entry)), good ? 0 : VT_ECONF);
        if (!good) CHECK(strstr(conf.error, name) != NULL && strstr(conf.error, row->key) != NULL);
        CHECK(good == !all_zero(&conf.cfg, sizeof conf.cfg));
    }
    vt__conf_env_name("sslClientCA", name);
    CHECK_STR(name, "VTHTTP_SSL_CLIENT_CA");
    vt__conf_env_name("idleTimeoutMs", name);
    CHECK_STR(name, "VTHTTP_IDLE_TIMEOUT_MS");
}

TEST(conf_environment_details) {
    CHECK_EQ(
        read_sources(NULL, NULL,
                     ARGS("VTHTTP_PORT=", "VTHTTP_HOST=", "VTHTTP_PORTS=1", "VTHTTP_POR=2", "VTHTTP_=", "=")),
        0);
    CHECK(all_zero(&conf.cfg, sizeof conf.cfg));
    CHECK_EQ(read_sources(NULL, NULL, ARGS("VTHTTP_PORT=70000")), VT_ECONF);
    CHECK_STR(conf.error, "environment variable VTHTTP_PORT: port: '70000' is out of range (0 to 65535)");
    CHECK_EQ(read_sources(NULL, NULL, ARGS("VTHTTP_ADDR=:1", "VTHTTP_PORT=2")), 0);
    CHECK_STR(conf.cfg.addr, ":1");
    CHECK_EQ(read_sources(NULL, NULL, ARGS("VTHTTP_PORT=2", "VTHTTP_ADDR=:1")), 0);
    CHECK_STR(conf.cfg.addr, ":1");
    log_text[0] = 0;
    vt_log_set(on_log, NULL, VT_LOG_DEBUG);
    vt__conf_env_warn((char *const *)(uintptr_t)ARGS("VTHTTP_PORT=1", "VTHTTP_NO_SUCH=secret",
                                                     "VTHTTP_=", "VTHTTPX=1", "PATH=/", "VTHTTP_POR=1"));
    vt_log_set(NULL, NULL, 0);
    CHECK_STR(
        log_text,
        "3 environment variable VTHTTP_NO_SUCH: no such key\n3 environment variable VTHTTP_: no such key\n"
        "3 environment variable VTHTTP_POR: no such key\n");
}

TEST(conf_argument_errors_name_the_place) {
    static const struct {
        const char *args[4], *want;
    } cases[] = {{{"x", "-P:nosuch=1"}, "argument 2: no such key 'nosuch'"},
                 {{"-P:=1"}, "argument 1: no such key ''"},
                 {{"-P:port"}, "argument 1: -P:port needs a value (-P:port=...)"},
                 {{"-P:port="}, "argument 1: port: needs a value"},
                 {{"-port="}, "argument 1: port: needs a value"},
                 {{"a", "b", "-port"}, "argument 3: -port needs a value (-port=...)"},
                 {{"-config"}, "argument 1: -config needs a value (-config=...)"},
                 {{"-config="}, "argument 1: -config= needs a value (-config=...)"},
                 {{"-port=x"}, "argument 1: port: 'x' is not a number"},
                 {{"-port=70000"}, "argument 1: port: '70000' is out of range (0 to 65535)"},
                 {{"-port=-1"}, "argument 1: port: '-1' is out of range (0 to 65535)"},
                 {{"-port=-"}, "argument 1: port: '-' is not a number"},
                 {{"-port=-x"}, "argument 1: port: '-x' is not a number"},
                 {{"-P:maxBody=-5k"}, "argument 1: maxBody: '-5k' is out of range (1 and more, or none)"},
                 {{"-workers=0"}, "argument 1: workers: '0' is out of range (1 to 256)"},
                 {{"-host=a\nb"}, "argument 1: host: 'a?b' is not text without control characters"},
                 {{"-config=/no/such"}, "/no/such: cannot be read: No such file or directory"},
                 {{"-P:noDate=x", "-port=y"}, "argument 1: noDate: 'x' is not yes or no"}};
    for (size_t i = 0; i < VT__COUNT(cases); i++) {
        CHECK_EQ(read_sources(NULL, cases[i].args, NULL), VT_ECONF);
        CHECK_STR(conf.error, cases[i].want);
    }
}

TEST(conf_not_ours_is_left_alone) {
    CHECK_EQ(read_sources(NULL,
                          ARGS("port=1", "--port=1", "-ports=1", "-Port=1", "-backlog=3", "-P", "-Px=1", "",
                               "-", "-v", "--", "-port=1", "-P:nosuch=1"),
                          NULL),
             0);
    CHECK(all_zero(&conf.cfg, sizeof conf.cfg));
}

TEST(conf_port_or_host_over_an_address) {
    vt_server_cfg base = {.addr = "127.0.0.1:9000"};
    CHECK_EQ(read_sources(&base, ARGS("-port=81"), NULL), 0);
    CHECK(conf.cfg.addr == NULL);
    CHECK_STR(conf.cfg.host, "127.0.0.1"); /* a loopback address stays one */
    CHECK_EQ(conf.cfg.port, 81);
    CHECK_EQ(read_sources(&base, ARGS("-host=localhost"), NULL), 0);
    CHECK(conf.cfg.addr == NULL);
    CHECK_STR(conf.cfg.host, "localhost");
    CHECK_EQ(conf.cfg.port, 9000);
    base.addr = ":0";
    CHECK_EQ(read_sources(&base, ARGS("-host=::1"), NULL), 0);
    CHECK_EQ(conf.cfg.port, VT_NONE);
    base.addr = "[::1]:80";
    CHECK_EQ(read_sources(&base, ARGS("-P:port=0"), NULL), 0);
    CHECK_STR(conf.cfg.host, "[::1]");
    CHECK_EQ(conf.cfg.port, VT_NONE);
    base.addr = ":9000";
    base.host = "192.0.2.1"; /* not in force: addr stands in its place */
    CHECK_EQ(read_sources(&base, ARGS("-port=81"), NULL), 0);
    CHECK(conf.cfg.host == NULL && conf.cfg.addr == NULL);
    base.host = NULL;
    base.addr = "unix:/x";
    CHECK_EQ(read_sources(&base, ARGS("-port=1"), NULL), VT_ECONF);
    CHECK_STR(conf.error, "argument 1: port: does not go with the address 'unix:/x'");
    CHECK_EQ(read_sources(&base, ARGS("-addr=:80", "-backlog=5"), NULL), 0);
    CHECK_STR(conf.cfg.addr, ":80");
    base.addr = NULL;
    CHECK_EQ(read_sources(&base, ARGS("-port=1", "-addr=127.0.0.1:2", "-port=3"), NULL), 0);
    CHECK(conf.cfg.addr == NULL);
    CHECK_STR(conf.cfg.host, "127.0.0.1");
    CHECK_EQ(conf.cfg.port, 3);
}

/* ---- arguments taken out of argv ---- */
static void check_argv(const char *const *before, const char *const *after) {
    const char *argv[24] = {NULL};
    int argc = 0, want = 0;
    while (before[argc]) argv[argc] = before[argc], argc++;
    while (after[want]) want++;
    vt__conf_args_remove(&argc, (char **)(uintptr_t)argv);
    CHECK_EQ(argc, want);
    for (int i = 0; i < want; i++) CHECK_STR(argv[i], after[i]);
    CHECK(argv[argc] == NULL);
}

TEST(conf_argv_keeps_the_program_s_own_in_order) {
    vt__conf_end(&conf);
    vt__conf_begin(&conf, NULL);
    check_argv(ARGS("p"), ARGS("p"));
    check_argv(ARGS("p", "a", "-v"), ARGS("p", "a", "-v"));
    check_argv(ARGS("p", "-port=1"), ARGS("p"));
    check_argv(
        ARGS("p", "a", "-port=1", "b", "-P:x=1", "-config=f", "c", "-host=h", "-addr=:1", "-workers=2"),
        ARGS("p", "a", "b", "c"));
    check_argv(ARGS("p", "-port=1", "--", "-port=2", "x"), ARGS("p", "--", "-port=2", "x"));
    check_argv(ARGS("p", "--", "-port=2"), ARGS("p", "--", "-port=2"));
    check_argv(ARGS("-port=1", "-port=2"), ARGS("-port=1")); /* argv[0] is a name */
    check_argv(ARGS("p", "-port", "-config", "-P:port"), ARGS("p"));
    int argc = 0;
    vt__conf_args_remove(&argc, NULL);
    CHECK_EQ(argc, 0);
}

/* A key that is no argument by itself is easily taken for one. */
TEST(conf_argv_with_a_key_that_wants_P_is_warned_of) {
    vt__conf_end(&conf);
    vt__conf_begin(&conf, NULL);
    log_text[0] = 0;
    vt_log_set(on_log, NULL, VT_LOG_DEBUG);
    check_argv(ARGS("p", "-maxBody", "-own=1", "maxBody=1"), ARGS("p", "-maxBody", "-own=1", "maxBody=1"));
    CHECK_STR(log_text, "");
    check_argv(ARGS("p", "-port=1", "-maxBody=10m"), ARGS("p", "-maxBody=10m"));
    CHECK_STR(log_text, "3 argument 2: left to the program; the server's is -P:maxBody=\n");
    vt_log_set(NULL, NULL, 0);
}

TEST(conf_server_from_args) {
    char *argv[] = {(char[]){"p"}, (char[]){"-port=0"}, (char[]){"mine"}, (char[]){"-P:serverName=s"}, NULL};
    int argc = 4;
    setenv("VTHTTP_WORKERS", "3", 1);
    setenv("VTHTTP_NO_SUCH", "1", 1);
    log_text[0] = 0;
    vt_log_set(on_log, NULL, VT_LOG_DEBUG);
    vt_server *s = vt_server_from_args_cfg(&argc, argv,
                                           &(vt_server_cfg){.max_body = 77, .host = "127.0.0.1"});
    CHECK_EQ(vt_server_error(s), 0);
    CHECK_EQ(argc, 2);
    CHECK_STR(argv[1], "mine");
    CHECK(argv[2] == NULL);
    CHECK_EQ(s->cfg.port, VT_NONE);
    CHECK_EQ(s->cfg.workers, 3);
    CHECK_EQ(s->cfg.max_body, 77);
    CHECK_STR(s->cfg.server_name, "s");
    CHECK_STR(s->cfg.host, "127.0.0.1");
    CHECK_STR(log_text, "3 environment variable VTHTTP_NO_SUCH: no such key\n");
    vt_server_free(s);
    unsetenv("VTHTTP_WORKERS");
    unsetenv("VTHTTP_NO_SUCH");

    char *wrong[] = {(char[]){"p"}, (char[]){"-P:nope=0"}, (char[]){"mine"}, NULL};
    argc = 3;
    s = vt_server_from_args(&argc, wrong);
    CHECK_EQ(vt_server_error(s), VT_ECONF);
    CHECK(strstr(vt_server_error_text(s), "argument 1: no such key 'nope'") != NULL);
    CHECK_EQ(argc, 2);
    CHECK_STR(wrong[1], "mine");
    vt_server_free(s);
    /* what was read before it, and would not do without what was to come, is not the error */
    char *half[] = {(char[]){"p"}, (char[]){"-P:sslKey=k"}, (char[]){"-P:sslCrt=c"}, NULL};
    argc = 3;
    s = vt_server_from_args(&argc, half);
    CHECK_EQ(vt_server_error(s), VT_ECONF);
    CHECK_STR(vt_server_error_text(s), "argument 2: no such key 'sslCrt'");
    vt_server_free(s);
    s = vt_server_from_args(NULL, NULL);
    CHECK_EQ(vt_server_error(s), 0);
    vt_server_free(s);
    vt_log_set(NULL, NULL, 0);
}
