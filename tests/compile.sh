#!/bin/sh
# variants: default
# How programs may include vthttp.h: as C and C++, in several files, after other headers, with every switch, by both
# compilers, without a warning. Each line of the report is one way.
set -u
root=$(cd "$(dirname "$0")/.." && pwd) || exit 1
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
warn='-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wundef -Werror'
passed=0 failed=0 skipped=0

pass() { passed=$((passed + 1)); }
fail() { failed=$((failed + 1)) && echo "FAIL $1"; }
skip() { skipped=$((skipped + 1)) && echo "SKIP $1"; }
ok() { # name, command...
    what=$1
    shift
    if "$@" > out 2>&1; then pass; else fail "$what" && head -n 15 out; fi
}
# For one warning gcc reads the lines anew at each statement, for three quarters of its time: clang has it, and lint.
cc() {
    compiler=$1 && shift
    case $compiler in clang*) set -- $warn "$@" ;; *) set -- $warn -Wno-misleading-indentation "$@" ;; esac
    "$compiler" -pthread -I"$root" "$@"
}
have() { command -v "$1" > /dev/null; }

echo '#include "vthttp.h"
int user(void);
int user(void) { return vt_now() > 0 && vt_strerror(VT_ECLOSED) != NULL && sizeof(vt_cfg) > 0 && VT_NONE == -1; }' > user.c
echo '#include "vthttp.h"
extern "C" int user_cpp(void);
extern "C" int user_cpp(void) {
    vt_str s = {"a", 1};
    vt_cfg cfg = {};
    vt_cfg_defaults(&cfg);
    return vt_now() > 0 && s.len == 1 && cfg.stack_bytes > 0;
}' > user.cpp
echo '#define VTHTTP_IMPLEMENTATION
#include "vthttp.h"
int vt_test_not_empty;' > impl.c
echo '#define VTHTTP_IMPLEMENTATION
#include "vthttp.h"
static int body(void *arg) { return *(int *)arg + vt_sleep_ms(1); }
int main(void) { int seven = 7; return vt_run(NULL, body, &seven) != 7; }' > main.c
echo '#include "vthttp.h"
int user(void);
#ifdef WITH_CPP
int user_cpp(void);
#else
static int user_cpp(void) { return 1; }
#endif
int main(void) { return !(user() && user_cpp()); }' > two.c
echo '#include <vthttp.h>
#define VTHTTP_IMPLEMENTATION
#include "vthttp.h"
#include "vthttp.h"
#undef VTHTTP_IMPLEMENTATION
#include "vthttp.h"
int vt_test_not_empty;' > again.c
echo '#include <linux/vt.h>
#define VTHTTP_IMPLEMENTATION
#include "vthttp.h"
#include <linux/vt.h>
int vt_test_not_empty;' > linux_vt.c
for h in assert ctype errno fcntl float inttypes limits locale math netdb poll pthread sched setjmp signal stdarg stdbool \
    stddef stdint stdio stdlib string strings time unistd wchar arpa/inet dirent dlfcn net/if netinet/in netinet/tcp \
    sys/epoll sys/eventfd sys/ioctl sys/mman sys/resource sys/select sys/socket sys/stat sys/syscall sys/time sys/types \
    sys/uio sys/un sys/wait ucontext; do
    echo "#include <$h.h>"
done > after.c
cat impl.c >> after.c
for n in 1 2; do
    echo "#define VTHTTP_STATIC 1
#define VTHTTP_IMPLEMENTATION
#include \"vthttp.h\"
int file$n(void);
int file$n(void) { return vt_now() > 0 && vt_err_name(VT_EEOF)[0] == 'V'; }" > "static$n.c"
done
# On one worker: a read of the parent's that did not park would keep the child from writing.
echo '#define VTHTTP_IMPLEMENTATION
#include "vthttp.h"
#include <unistd.h>
static int fds[2];
static int writes(void *arg) { return usleep(1000) < 0 || write(fds[1], arg, 1) != 1; }
static int reads(void *arg) {
    char c = 0;
    if (pipe(fds) < 0 || vt_go(writes, arg) < 0) return 1;
    return read(fds[0], &c, 1) == 1 ? c : 2;
}
int main(void) {
    vt_cfg one = {.workers = 1};
    char seven = 7;
    return vt_run(&one, reads, &seven) != 7;
}' > hooked.c
echo 'int file1(void);
int file2(void);
int main(void) { return !(file1() && file2()); }' > static_main.c

# --- the public part ---
for c in gcc clang; do
    have $c || { skip "$c: not installed" && continue; }
    ok "public, $c c11" cc $c -std=c11 -fsyntax-only user.c
    ok "public, $c gnu11, every switch" cc $c -std=gnu11 -fsyntax-only -DVTHTTP_POLL=1 -DVTHTTP_SIM=1 \
        -DVTHTTP_UCONTEXT=1 user.c
    ok "public, $c, VTHTTP_HTTP=0" cc $c -std=gnu11 -fsyntax-only -DVTHTTP_HTTP=0 user.c
done
for c in g++ clang++; do
    have $c || { skip "$c: not installed" && continue; }
    ok "public, $c c++17" cc $c -std=c++17 -fsyntax-only user.cpp
    ok "public, $c c++20" cc $c -std=c++20 -fsyntax-only user.cpp
done
gcc -std=c11 -I"$root" -M user.c > deps 2> out
if grep -E '/(stdio|stdlib|string|errno|unistd|pthread|signal|time|sys/[a-z]*et|netinet/in|openssl/[a-z]*)\.h' deps; then
    fail 'the public part includes no system header'
else
    pass
fi

# --- the implementation, alone and after other headers ---
ok 'alone, gcc c11 -O0' cc gcc -std=c11 -O0 -c -o c11.o impl.c
ok 'alone, gcc gnu11 -O2' cc gcc -std=gnu11 -O2 -c -o impl.o impl.c
ok 'alone, gcc gnu11 -Os -DNDEBUG' cc gcc -std=gnu11 -Os -DNDEBUG -c -o os.o impl.c
ok 'alone, gcc -fPIC -shared' cc gcc -std=gnu11 -O1 -fPIC -shared -o lib.so impl.c
ok 'a program, gcc -flto -O2' cc gcc -std=gnu11 -O2 -flto -o lto main.c
ok 'the -flto program runs' timeout 20 ./lto
ok 'a program with gcc defaults' gcc -I"$root" -o plain main.c -pthread
ok 'the default program runs' timeout 20 ./plain
ok 'a second inclusion' cc gcc -std=gnu11 -fsyntax-only again.c
ok 'after other headers, c11' cc gcc -std=c11 -fsyntax-only after.c
ok 'after other headers, gnu11' cc gcc -std=gnu11 -fsyntax-only after.c
ok 'after other headers, _GNU_SOURCE' cc gcc -std=c11 -D_GNU_SOURCE -fsyntax-only after.c
ok 'after other headers, _POSIX_C_SOURCE' cc gcc -std=c11 -D_POSIX_C_SOURCE=200809L -fsyntax-only after.c
ok '_GNU_SOURCE, alone' cc gcc -std=c11 -D_GNU_SOURCE -fsyntax-only impl.c
ok 'with <linux/vt.h>' cc gcc -std=gnu11 -fsyntax-only linux_vt.c
if have clang; then
    ok 'alone, clang c11 -O2' cc clang -std=c11 -O2 -c -o clang.o impl.c
    ok 'alone, clang gnu11 -O0 -fPIC' cc clang -std=gnu11 -O0 -fPIC -c -o clang0.o impl.c
    ok 'after other headers, clang c11' cc clang -std=c11 -fsyntax-only after.c
    ok 'a second inclusion, clang' cc clang -std=gnu11 -fsyntax-only again.c
    ok 'with <linux/vt.h>, clang' cc clang -std=gnu11 -fsyntax-only linux_vt.c
fi

# --- switches ---
for s in VTHTTP_HTTP=0 VTHTTP_CLIENT=0 VTHTTP_FILES=0 VTHTTP_POLL=1 VTHTTP_UCONTEXT=1 VTHTTP_SIM=1 VTHTTP_FPU_CONTROL=1 VTHTTP_GDB=1 \
    VTHTTP_STATIC=1 'VTHTTP_STATIC=1 -DVTHTTP_CLIENT=0' \
    VTHTTP_H2=1 'VTHTTP_H2=1 -DVTHTTP_HTTP=0' 'VTHTTP_H2=1 -DVTHTTP_POLL=1 -DVTHTTP_SIM=1' \
    'VTHTTP_H2=1 -DVTHTTP_HOOKS=1 -DVTHTTP_CLIENT=0' 'VTHTTP_H2=1 -DNDEBUG -O2' \
    'VTHTTP_H3=1 -DVTHTTP_SIM=1' 'VTHTTP_H3=1 -DVTHTTP_SIM=1 -DVTHTTP_POLL=1 -DVTHTTP_HOOKS=1' \
    VTHTTP_HOOKS=1 'VTHTTP_HOOKS=1 -DVTHTTP_WRAP=1 -DVTHTTP_SIM=1' 'VTHTTP_HOOKS=1 -DVTHTTP_POLL=1 -DVTHTTP_HTTP=0' \
    'VTHTTP_HTTP=0 -DVTHTTP_POLL=1 -DVTHTTP_UCONTEXT=1'; do
    ok "gcc, $s" cc gcc -std=gnu11 -fsyntax-only -D$s main.c
    if have clang; then ok "clang, $s" cc clang -std=gnu11 -fsyntax-only -D$s main.c; fi
done
if echo '#include <openssl/ssl.h>' | gcc -E -x c - > /dev/null 2>&1; then
    for s in VTHTTP_TLS=1 'VTHTTP_TLS=1 -DVTHTTP_POLL=1' 'VTHTTP_TLS=1 -DVTHTTP_HOOKS=1' 'VTHTTP_TLS=1 -DVTHTTP_HTTP=0' \
        'VTHTTP_TLS=1 -DVTHTTP_SIM=1 -DVTHTTP_UCONTEXT=1' 'VTHTTP_TLS=1 -DNDEBUG -O2' 'VTHTTP_TLS=1 -DVTHTTP_H2=1' \
        'VTHTTP_TLS=1 -DVTHTTP_H3=1' 'VTHTTP_TLS=1 -DVTHTTP_H3=1 -DVTHTTP_QLOG=0' \
        'VTHTTP_TLS=1 -DVTHTTP_H2=1 -DVTHTTP_H3=1 -DVTHTTP_SIM=1' \
        'VTHTTP_TLS=1 -DVTHTTP_H2=1 -DVTHTTP_H3=1 -DVTHTTP_HOOKS=1 -DNDEBUG -O2'; do
        ok "gcc, $s" cc gcc -std=gnu11 -fsyntax-only -D$s main.c
        if have clang; then ok "clang, $s" cc clang -std=gnu11 -fsyntax-only -D$s main.c; fi
    done
    ok 'c11 after other headers, VTHTTP_TLS=1' cc gcc -std=c11 -fsyntax-only -DVTHTTP_TLS=1 after.c
    ok 'a program, VTHTTP_TLS=1' cc gcc -std=gnu11 -O1 -DVTHTTP_TLS=1 -o secure main.c -lssl -lcrypto
    ok 'the VTHTTP_TLS=1 program runs' timeout 20 ./secure
else
    skip 'VTHTTP_TLS=1: no openssl/ssl.h (package libssl-dev)'
fi
ok 'c11 after other headers, VTHTTP_POLL=1 VTHTTP_SIM=1' cc gcc -std=c11 -fsyntax-only -DVTHTTP_POLL=1 -DVTHTTP_SIM=1 after.c
ok 'c11 after other headers, VTHTTP_HOOKS=1' cc gcc -std=c11 -fsyntax-only -DVTHTTP_HOOKS=1 after.c
ok 'VTHTTP_HOOKS=1, -D_FORTIFY_SOURCE=2' cc gcc -std=gnu11 -O2 -D_FORTIFY_SOURCE=2 -DVTHTTP_HOOKS=1 -c -o fort.o main.c
cc gcc -fsyntax-only -DVTHTTP_HOOKS=1 -DVTHTTP_STATIC=1 main.c > out 2>&1 && fail 'VTHTTP_HOOKS=1 with VTHTTP_STATIC=1 compiles'
ok 'c11 after other headers, VTHTTP_H2=1' cc gcc -std=c11 -fsyntax-only -DVTHTTP_H2=1 after.c
ok 'c11 after other headers, VTHTTP_H3=1' cc gcc -std=c11 -fsyntax-only -DVTHTTP_H3=1 -DVTHTTP_SIM=1 after.c
ok 'a program, VTHTTP_H2=1' cc gcc -std=gnu11 -O1 -DVTHTTP_H2=1 -o h2 main.c
ok 'the VTHTTP_H2=1 program runs' timeout 20 ./h2
ok 'VTHTTP_HTTP=0, a program -O2' cc gcc -std=gnu11 -O2 -DVTHTTP_HTTP=0 -o threads main.c
ok 'the VTHTTP_HTTP=0 program runs' timeout 20 ./threads

# --- musl ---
if have musl-gcc; then
    for std in c11 gnu11; do ok "musl-gcc, $std, after other headers" cc musl-gcc -std=$std -fsyntax-only after.c; done
    ok 'musl-gcc, c11' cc musl-gcc -std=c11 -O1 -c -o musl.o impl.c
    ok 'musl-gcc, c11, VTHTTP_H3=1' cc musl-gcc -std=c11 -O1 -DVTHTTP_H3=1 -DVTHTTP_SIM=1 -c -o musl.o impl.c
    ok 'musl-gcc, c11, VTHTTP_HOOKS=1' cc musl-gcc -std=c11 -O1 -DVTHTTP_HOOKS=1 -c -o musl.o impl.c
    ok 'musl-gcc, gnu11' cc musl-gcc -std=gnu11 -O1 -c -o main.o main.c
    ok 'musl-gcc, gnu11, VTHTTP_HOOKS=1' cc musl-gcc -std=gnu11 -O1 -DVTHTTP_HOOKS=1 -c -o hooked.o hooked.c
    for o in main.o hooked.o; do
        for link in '' -static; do
            ok "a program, musl-gcc $link $o" cc musl-gcc $link -o musl $o
            ok "the program of musl-gcc $link $o runs" timeout 20 ./musl
        done
    done
else
    skip 'musl-gcc: not installed (package musl-tools)'
fi

# --- several files, one program ---
ok 'compiles: user.c, two.c' cc gcc -std=gnu11 -c user.c two.c
ok 'two files and one implementation link' gcc -o two two.o user.o impl.o -pthread
ok 'they run' ./two
ok 'compiles: impl.c, VTHTTP_HTTP=0' cc gcc -std=gnu11 -DVTHTTP_HTTP=0 -c -o threads.o impl.c
ok 'compiles: impl.c, VTHTTP_H2=1' cc gcc -std=gnu11 -O0 -DVTHTTP_H2=1 -c -o h2.o impl.c
ok 'compiles: impl.c, VTHTTP_H3=1' cc gcc -std=gnu11 -O0 -DVTHTTP_H3=1 -DVTHTTP_SIM=1 -c -o h3.o impl.c
sed 's/^#define VTHTTP_VERSION_NUMBER.*/#define VTHTTP_VERSION_NUMBER 99/' "$root/vthttp.h" > old.h
sed 's/vthttp.h/old.h/' user.c > old_user.c
ok 'compiles: a file with an older header' cc gcc -std=gnu11 -I. -c old_user.c
for other in 'user.o threads.o' 'user.o h2.o' 'old_user.o impl.o'; do
    if gcc -o differ two.o $other -pthread > out 2>&1 || ! grep -q 'vt_version_' out; then
        fail "objects of different switches or versions link: $other"
    else
        pass
    fi
done
if have g++; then
    ok 'compiles: user.cpp' cc g++ -std=c++17 -c -o user_cpp.o user.cpp
    ok 'compiles: two.c for C++' cc gcc -std=gnu11 -DWITH_CPP -c -o two_cpp.o two.c
    ok 'C, C++ and the implementation link' g++ -o mixed two_cpp.o user.o user_cpp.o impl.o -pthread
    ok 'they run, too' ./mixed
fi
ok 'VTHTTP_STATIC in two files' cc gcc -std=gnu11 -O1 -o static static1.c static2.c static_main.c
ok 'they run, each with its own' ./static

# --- what an object exports ---
if have nm; then
    if nm -g --defined-only impl.o | awk '{ print $3 }' | grep -v -E '^vt_' > out; then
        fail "the implementation exports other names than vt_...: $(tr '\n' ' ' < out)"
    else
        pass
    fi
    # Without optimization functions stay that nobody calls, which tells what was compiled.
    if nm c11.o | grep -q -E 'vt__(hpack|msg|h2|udp|q[a-z]+|h3)_' || nm h2.o | grep -q -E 'vt__(udp|q[a-z]+|h3)_' ||
        nm h3.o | grep -q vt__h2_; then
        fail 'what VTHTTP_H2=1 or VTHTTP_H3=1 brings is there without it'
    elif ! nm h2.o | grep -q vt__hpack_ || ! nm h3.o | grep -q vt__hpack_ || ! nm h3.o | grep -q vt__h3_; then
        fail 'what VTHTTP_H2=1 or VTHTTP_H3=1 brings is not there with it'
    else
        pass
    fi
    gcc -std=gnu11 -O1 -I"$root" -c static1.c -o static1.o 2> /dev/null
    # The entry point of a context is assembly: a hidden weak symbol.
    if [ "$(nm -g --defined-only static1.o | awk '$3 !~ /^vt__/ { print $3 }')" = file1 ]; then
        pass
    else
        fail "VTHTTP_STATIC exports: $(nm -g --defined-only static1.o | tr '\n' ' ')"
    fi
else
    skip 'nm: not installed'
fi

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
