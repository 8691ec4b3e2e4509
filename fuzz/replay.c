/* A stand-in for libFuzzer's main(): runs a fuzz target over files and directories, with any compiler. Every input ends
 * at an unmapped page, so that a read past its end faults without a sanitizer too. -mutate=N adds N cheap mutations of each
 * input, the same in every run (-seed=S changes them); -artifact=FILE is where an input that kills the target is kept. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
__attribute__((weak)) int LLVMFuzzerInitialize(int *argc, char ***argv);

enum { INPUT_MAX = 1 << 20 };

static uint8_t *arena_end; /* the first byte of the unmapped page */
static const uint8_t *cur_data;
static size_t cur_size;
static const char *cur_name = "(empty)", *artifact;
static unsigned cur_mutation;
static unsigned long files, inputs;
static uint64_t rng_seed = 1;
static unsigned mutations, input_limit = 60;

static void say(const char *s) {
    if (write(1, s, strlen(s)) < 0) _exit(3);
}

static void on_death(int sig) { /* only what a signal handler may do */
    char digits[12], *d = digits + sizeof digits;
    unsigned n = cur_mutation;
    *--d = 0;
    do *--d = (char)('0' + n % 10);
    while ((n /= 10) > 0);
    say("FAIL "), say(cur_name), say(" mutation "), say(d);
    say(sig == SIGALRM ? " hangs" : sig == SIGABRT ? " aborts" : " crashes");
    if (artifact) {
        int fd = open(artifact, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        if (fd >= 0 && write(fd, cur_data, cur_size) == (ssize_t)cur_size) say(", kept in "), say(artifact);
        if (fd >= 0) close(fd);
    }
    say("\n");
    signal(sig, SIG_DFL);
    if (sig == SIGALRM) abort();
    raise(sig);
}

static void watch_deaths(void) {
    static const int sigs[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGALRM};
    for (size_t i = 0; i < sizeof sigs / sizeof *sigs; i++) {
        struct sigaction old;
        if (sigaction(sigs[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL) signal(sigs[i], on_death);
    }
}

static void run_one(const uint8_t *data, size_t size) {
    uint8_t *p = arena_end - size;
    if (size) memcpy(p, data, size);
    cur_data = p, cur_size = size;
    alarm(input_limit);
    LLVMFuzzerTestOneInput(p, size);
    alarm(0);
    inputs++;
}

static uint32_t rng(uint64_t *s) {
    *s = *s * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*s >> 33);
}

/* One to four small damages: a bit, a byte that parsers look for, a cut, a repeated or a removed piece. */
static size_t mutate(uint8_t *buf, size_t size, size_t cap, uint64_t *s) {
    static const uint8_t special[] = "\r\n \t:;,=%/?#\"\\{}0f\x7f\x80\xff-";
    for (uint32_t n = 1 + rng(s) % 4; n > 0 && size > 0; n--) {
        size_t at = rng(s) % size, len = 1 + rng(s) % (size - at < 16 ? size - at : 16);
        switch (rng(s) % 5) {
        case 0: buf[at] = (uint8_t)(buf[at] ^ 1u << rng(s) % 8); break;
        case 1: buf[at] = special[rng(s) % sizeof special]; break;
        case 2: size = at; break;
        case 3:
            if (len > cap - size) break;
            memmove(buf + at + len, buf + at, size - at);
            size += len;
            break;
        default: memmove(buf + at, buf + at + len, size - at - len), size -= len;
        }
    }
    return size;
}

static void run_file(const char *path) {
    static uint8_t original[INPUT_MAX], damaged[INPUT_MAX];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t size = 0;
    ssize_t n = -1;
    while (fd >= 0 && (n = read(fd, original + size, sizeof original - size)) > 0) size += (size_t)n;
    if (n < 0) fprintf(stderr, "%s: %s\n", path, strerror(errno)), exit(2);
    close(fd);
    cur_name = path, cur_mutation = 0, files++;
    run_one(original, size);
    uint64_t s = rng_seed ^ (uint64_t)size << 32;
    while (cur_mutation < mutations) {
        cur_mutation++;
        memcpy(damaged, original, size);
        run_one(damaged, mutate(damaged, size, sizeof damaged, &s));
    }
}

static int skip_dotfiles(const struct dirent *e) { return e->d_name[0] != '.'; }

static void run_path(const char *path) {
    struct stat st;
    struct dirent **list;
    int n;
    if (stat(path, &st) < 0) fprintf(stderr, "%s: %s\n", path, strerror(errno)), exit(2);
    if (!S_ISDIR(st.st_mode)) {
        run_file(path);
        return;
    }
    if ((n = scandir(path, &list, skip_dotfiles, alphasort)) < 0)
        fprintf(stderr, "%s: %s\n", path, strerror(errno)), exit(2);
    for (int i = 0; i < n; i++) {
        char *child = NULL;
        if (asprintf(&child, "%s/%s", path, list[i]->d_name) < 0) exit(2);
        run_path(child);
        free(child), free(list[i]);
    }
    free(list);
}

int main(int argc, char **argv) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), len = INPUT_MAX + page - INPUT_MAX % page;
    const char *env = getenv("VT_TEST_TIMEOUT");
    uint8_t *mem = mmap(NULL, len + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mem == MAP_FAILED || mprotect(mem + len, page, PROT_NONE) < 0) return perror("mmap"), 2;
    arena_end = mem + len;
    if (env) input_limit = (unsigned)strtoul(env, NULL, 10);
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (LLVMFuzzerInitialize) LLVMFuzzerInitialize(&argc, &argv);
    watch_deaths();
    run_one((const uint8_t *)"", 0);
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "-mutate=", 8) == 0) mutations = (unsigned)strtoul(argv[i] + 8, NULL, 10);
        else if (strncmp(argv[i], "-seed=", 6) == 0) rng_seed = strtoull(argv[i] + 6, NULL, 0);
        else if (strncmp(argv[i], "-artifact=", 10) == 0) artifact = argv[i] + 10;
        else run_path(argv[i]);
    }
    printf("%lu inputs: %lu files with %u mutations of each, and the empty one\n", inputs, files, mutations);
    printf("1 passed, 0 failed, 0 skipped\n");
    return 0;
}
