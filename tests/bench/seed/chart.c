/* Draws the seed benchmark: for each run the latency of every request as a dot, its rolling median as a
 * line, and on the second axis the responses of each 100 ms. Two panels a row, which share their axes.
 *
 *   chart -out=DIR/chart [-s=10] [-title=TEXT] [-results=FILE] "TITLE|FILE.csv"...
 *
 * Writes DIR/chart.svg, and DIR/chart.html with the drawing and the results (a line "a|b|c" for each row of
 * the table, the first the head). A CSV is what `clients` writes. Dots that fall on the same spot are drawn
 * once, so the size is bounded. */
#include "../bench.h"

enum {
    W = 500,     /* of a panel's field, in spots */
    H = 170,     /*                              */
    LEFT = 62,   /* around it */
    RIGHT = 66,  /*           */
    TOP = 44,    /*           */
    BOTTOM = 40, /*           */
    HEAD = 70,   /* above all panels */
    PANELS = 16, /* at most */
    SAMPLES = 4000000,
    MEDIAN_MS = 250 /* on both sides */
};

struct sample {
    int64_t start_us, latency_us;
};

struct panel {
    char title[160];
    struct sample *all; /* by start */
    size_t count;
    double top_ms, top_rps; /* of the axes */
    double *bins;           /* responses a second in each 100 ms */
    uint8_t spots[W][H];
};

static int seconds, bins;
static struct panel *panels;
static int panel_count;

/*----------------------------------------------------------------------- input */

static int by_start(const void *a, const void *b) {
    int64_t x = ((const struct sample *)a)->start_us, y = ((const struct sample *)b)->start_us;
    return (x > y) - (x < y);
}

static void load_csv(struct panel *p, const char *path) {
    char line[128];
    size_t cap = 0;
    FILE *f = fopen(path, "r");
    if (!f) bench_die("%s", path);
    while (fgets(line, sizeof(line), f)) {
        long long start, latency;
        if (sscanf(line, "%lld,%lld", &start, &latency) != 2) continue; /* the head */
        errno = 0;
        if (p->count == SAMPLES) bench_die("%s: more than %d lines", path, SAMPLES);
        if (p->count == cap) {
            cap = cap ? cap * 2 : 4096;
            p->all = realloc(p->all, cap * sizeof(*p->all));
            if (!p->all) bench_die("no memory");
        }
        p->all[p->count++] = (struct sample){.start_us = start, .latency_us = latency};
    }
    fclose(f);
    errno = 0;
    if (p->count == 0) bench_die("%s: no samples", path);
    qsort(p->all, p->count, sizeof(*p->all), by_start);
}

/* 1, 2 or 5 times a power of ten, for at most five steps up to v. */
static double step_of(double v) {
    double unit = 1e-3;
    while (v / 5 > unit * 10) unit *= 10;
    double n = v / 5 / unit;
    return unit * (n <= 1 ? 1 : n <= 2 ? 2 : n <= 5 ? 5 : 10);
}

static double top_of(double v) {
    double step = step_of(v * 1.08), top = step;
    while (top < v * 1.08) top += step;
    return top;
}

static void scan(struct panel *p) {
    p->bins = calloc((size_t)bins, sizeof(*p->bins));
    if (!p->bins) bench_die("no memory");
    p->top_ms = p->top_rps = 1;
    for (size_t i = 0; i < p->count; i++) {
        int64_t end = p->all[i].start_us + p->all[i].latency_us;
        if ((double)p->all[i].latency_us / 1e3 > p->top_ms) p->top_ms = (double)p->all[i].latency_us / 1e3;
        if (end >= 0 && end / 100000 < bins) p->bins[end / 100000] += 10;
    }
    for (int i = 0; i < bins; i++)
        if (p->bins[i] > p->top_rps) p->top_rps = p->bins[i];
    p->top_ms = top_of(p->top_ms);
    p->top_rps = top_of(p->top_rps);
}

static void share_axes(struct panel *a, struct panel *b) {
    a->top_ms = b->top_ms = a->top_ms > b->top_ms ? a->top_ms : b->top_ms;
    a->top_rps = b->top_rps = a->top_rps > b->top_rps ? a->top_rps : b->top_rps;
}

/*--------------------------------------------------------------------- drawing */

static double x_of(double ms) { return ms * W / (seconds * 1000.0); }
static double y_of(double share) { return H - share * H; }

/* Each column's spots as strokes: touching dots make one. */
static void draw_dots(FILE *f, struct panel *p) {
    for (size_t i = 0; i < p->count; i++) {
        int x = (int)x_of((double)p->all[i].start_us / 1e3);
        int y = (int)y_of((double)p->all[i].latency_us / 1e3 / p->top_ms);
        if (p->all[i].start_us >= 0 && x < W && y >= 0 && y < H) p->spots[x][y] = 1;
    }
    fputs("<path class=\"dots\" d=\"", f);
    for (int x = 0; x < W; x++)
        for (int y = 0; y < H; y++) {
            int last = y;
            if (!p->spots[x][y]) continue;
            while (last + 1 < H && p->spots[x][last + 1]) last++;
            fprintf(f, "M%d %dv%d", x, y, last - y);
            y = last;
        }
    fputs("\"/>\n", f);
}

static int by_value(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Of the requests that began within MEDIAN_MS of each bin's middle. */
static void draw_median(FILE *f, const struct panel *p) {
    int64_t *near = calloc(p->count, sizeof(*near));
    size_t from = 0;
    char move = 'M';
    if (!near) bench_die("no memory");
    fputs("<path class=\"median\" d=\"", f);
    for (int i = 0; i < bins; i++) {
        int64_t mid = i * 100000 + 50000;
        size_t n = 0;
        while (from < p->count && p->all[from].start_us < mid - MEDIAN_MS * 1000) from++;
        for (size_t k = from; k < p->count && p->all[k].start_us <= mid + MEDIAN_MS * 1000; k++)
            near[n++] = p->all[k].latency_us;
        if (n == 0) continue;
        qsort(near, n, sizeof(*near), by_value);
        fprintf(f, "%c%.1f %.1f", move, x_of((double)mid / 1e3), y_of((double)near[n / 2] / 1e3 / p->top_ms));
        move = 'L';
    }
    fputs("\"/>\n", f);
    free(near);
}

static void draw_rate(FILE *f, const struct panel *p) {
    fputs("<path class=\"rate\" d=\"", f);
    for (int i = 0; i < bins; i++)
        fprintf(f, "%c%.1f %.1f", i ? 'L' : 'M', x_of(i * 100 + 50), y_of(p->bins[i] / p->top_rps));
    fputs("\"/>\n", f);
}

static void draw_axes(FILE *f, const struct panel *p) {
    double ms = step_of(p->top_ms), rps = step_of(p->top_rps);
    fprintf(f, "<rect class=\"field\" width=\"%d\" height=\"%d\"/>\n", W, H);
    for (double v = 0; v <= p->top_ms * 1.001; v += ms) {
        double y = y_of(v / p->top_ms);
        fprintf(f,
                "<path class=\"grid\" d=\"M0 %.1fh%d\"/><text class=\"ms\" x=\"-8\" y=\"%.1f\">%g</text>\n",
                y, W, y + 4, v);
    }
    for (double v = 0; v <= p->top_rps * 1.001; v += rps)
        fprintf(f, "<text class=\"rps\" x=\"%d\" y=\"%.1f\">%g</text>\n", W + 8, y_of(v / p->top_rps) + 4, v);
    for (int s = 0; s <= seconds; s += seconds > 20 ? 5 : seconds > 5 ? 2 : 1)
        fprintf(f, "<text class=\"s\" x=\"%.1f\" y=\"%d\">%d s</text>\n", x_of(s * 1000.0), H + 18, s);
    fprintf(f, "<text class=\"ms unit\" transform=\"translate(-48 %d) rotate(-90)\">latency, ms</text>\n",
            H / 2);
    fprintf(f, "<text class=\"rps unit\" transform=\"translate(%d %d) rotate(90)\">responses/s</text>\n",
            W + 52, H / 2);
}

static void put_text(FILE *f, const char *s) {
    for (; *s; s++) {
        if (*s == '<') fputs("&lt;", f);
        else if (*s == '>') fputs("&gt;", f);
        else if (*s == '&') fputs("&amp;", f);
        else fputc(*s, f);
    }
}

static void draw_panel(FILE *f, struct panel *p, int x, int y) {
    fprintf(f, "<g transform=\"translate(%d %d)\">\n<text class=\"title\" y=\"-12\">", x, y);
    put_text(f, p->title);
    fputs("</text>\n", f);
    draw_axes(f, p);
    draw_dots(f, p);
    draw_rate(f, p);
    draw_median(f, p);
    fputs("</g>\n", f);
}

static const char style[] =
    "text{font:12px system-ui,sans-serif;fill:#333}.head{font-size:18px;font-weight:600}"
    ".title{font-size:14px;font-weight:600}.ms,.key1{text-anchor:end;fill:#1f5fa8}.rps{fill:#b35c00}"
    ".s,.unit{text-anchor:middle}.paper{fill:#fff}.field{fill:#fafafa;stroke:#999}"
    ".grid{stroke:#e2e2e2;fill:none}.dots{stroke:#4a90d9;stroke-width:2.4;stroke-linecap:round;fill:none;"
    "stroke-opacity:.75}.median{stroke:#0b2e59;stroke-width:1.8;fill:none}"
    ".rate{stroke:#e07b00;stroke-width:1.4;fill:none}";

static void draw_key(FILE *f, int x, int y) {
    fprintf(f, "<g transform=\"translate(%d %d)\"><path class=\"dots\" d=\"M4 -4v0M10 -6v0M15 -3v0\"/>", x,
            y);
    fputs("<text x=\"24\">a request's latency</text><path class=\"median\" d=\"M160 -4h24\"/>"
          "<text x=\"192\">rolling median</text><path class=\"rate\" d=\"M304 -4h24\"/>"
          "<text x=\"336\">responses per second, in steps of 100 ms (right axis)</text></g>\n",
          f);
}

static void draw(FILE *f, const char *title) {
    int rows = (panel_count + 1) / 2, wide = LEFT + W + RIGHT, high = TOP + H + BOTTOM;
    fprintf(
        f,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\">\n<style>%s</style>\n",
        2 * wide, HEAD + rows * high, 2 * wide, style);
    fputs("<rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n<text class=\"head\" x=\"20\" y=\"30\">",
          f);
    put_text(f, title);
    fputs("</text>\n", f);
    draw_key(f, 20, 54);
    for (int i = 0; i < panel_count; i++)
        draw_panel(f, &panels[i], LEFT + (i % 2) * wide, HEAD + TOP + (i / 2) * high);
    fputs("</svg>\n", f);
}

static void put_results(FILE *f, const char *path) {
    char line[512];
    const char *cell = "th";
    FILE *in = fopen(path, "r");
    if (!in) bench_die("%s", path);
    fputs("<table>\n", f);
    for (; fgets(line, sizeof(line), in); cell = "td") {
        fputs("<tr>", f);
        for (char *s = strtok(line, "|\n"); s; s = strtok(NULL, "|\n")) {
            fprintf(f, "<%s>", cell);
            put_text(f, s);
            fprintf(f, "</%s>", cell);
        }
        fputs("</tr>\n", f);
    }
    fputs("</table>\n", f);
    fclose(in);
}

static FILE *create(const char *out, const char *ext) {
    char path[4096];
    snprintf(path, sizeof(path), "%s.%s", out, ext);
    FILE *f = fopen(path, "w");
    if (!f) bench_die("%s", path);
    printf("%s\n", path);
    return f;
}

static void write_all(const char *out, const char *title, const char *results) {
    FILE *f = create(out, "svg");
    draw(f, title);
    if (fclose(f) != 0) bench_die("%s.svg", out);
    f = create(out, "html");
    fputs("<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>", f);
    put_text(f, title);
    fputs("</title>\n<style>body{font:14px system-ui,sans-serif;margin:24px;color:#333}"
          "svg{max-width:100%;height:auto}table{border-collapse:collapse;margin-top:24px}"
          "td,th{padding:4px 12px;border-bottom:1px solid #ddd;text-align:right}"
          "td:first-child,th:first-child{text-align:left}</style>\n<body>\n",
          f);
    draw(f, title);
    if (results) put_results(f, results);
    fputs("</body></html>\n", f);
    if (fclose(f) != 0) bench_die("%s.html", out);
}

static void add_panel(const char *arg) {
    struct panel *p = &panels[panel_count++];
    const char *file = strchr(arg, '|');
    errno = 0;
    if (!file || panel_count > PANELS) bench_die("%s: \"TITLE|FILE.csv\", at most %d of them", arg, PANELS);
    snprintf(p->title, sizeof(p->title), "%.*s", (int)(file - arg), arg);
    load_csv(p, file + 1);
    scan(p);
}

int main(int argc, char **argv) {
    static const char *const known[] = {"out", "s", "title", "results", NULL};
    int options = 1;
    while (options < argc && argv[options][0] == '-') options++;
    bench_known(options, argv, known);
    const char *out = bench_opt(options, argv, "out", "chart");
    seconds = (int)bench_num(options, argv, "s", 10);
    errno = 0;
    if (options == argc || seconds < 1)
        bench_die("usage: chart -out=NAME [-s=SECONDS] \"TITLE|FILE.csv\"...");
    bins = seconds * 10;
    panels = calloc(PANELS + 1, sizeof(*panels));
    if (!panels) bench_die("no memory");
    for (int i = options; i < argc; i++) add_panel(argv[i]);
    for (int i = 0; i + 1 < panel_count; i += 2) share_axes(&panels[i], &panels[i + 1]);
    write_all(out, bench_opt(options, argv, "title", "The seed benchmark"),
              bench_opt(options, argv, "results", NULL));
    return 0;
}
