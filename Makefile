# GNU make 4, any POSIX sh, gcc or clang. `make help` lists the targets. Everything is built under build/.
V ?= default
CFLAGS ?= -O1 -g
WARN := -Wall -Wextra -Wconversion -Wshadow -Wundef
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
FUZZ_TIME ?= 10
PORT ?= 8080
CLANG ?= clang

# Warnings are the default variant's and clang's to show (WERROR=-Werror: as errors), and lint's. For one of them gcc reads
# lines of the header anew at every statement, for a third of its time: that is left to clang, and to lint.
WARN_V := $(if $(filter default clang,$(V)),$(WARN) $(if $(filter default,$(V)),-Wno-misleading-indentation) $(WERROR))
SANITIZE_asan := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
# Unoptimised: compilers take half the time over it, and tests hardly more. clang, where there is one, a third of gcc's.
# clang's until 20 call NULL + 0 an overflow, which C2y defines: some sites have it once in a hundred runs. Fuzzers do look.
FLAGS_asan = $(SANITIZE_asan) -O0 $(if $(CC_asan),-fno-sanitize=pointer-overflow)
FLAGS_tsan := -fsanitize=thread
FLAGS_poll := -DVTHTTP_POLL=1 -O0
FLAGS_ucontext := -DVTHTTP_UCONTEXT=1
FLAGS_coverage := --coverage
FLAGS_valgrind := -DVTHTTP_VALGRIND=1
FLAGS_openssl35 := -O0
FLAGS_openssl35compat := -O0 -DVTHTTP_QUIC_COMPAT=1
CC_clang := $(CLANG)
CC_asan := $(if $(filter asan,$(V)),$(shell command -v $(CLANG) > /dev/null && echo $(CLANG)))
CC_aarch64 := aarch64-linux-gnu-gcc
CC_riscv64 := riscv64-linux-gnu-gcc
CC_i386 := i686-linux-gnu-gcc
RUN_aarch64 := qemu-aarch64 -L /usr/aarch64-linux-gnu
RUN_riscv64 := qemu-riscv64 -L /usr/riscv64-linux-gnu
# Most x86-64 kernels run 32-bit programs themselves; qemu-i386 (7.2) can hang in pthread_create.
LD_i386 := /usr/i686-linux-gnu/lib/ld-linux.so.2
RUN_i386 := $(if $(filter i386,$(V)),$(shell $(LD_i386) --version > /dev/null 2>&1 && \
	echo $(LD_i386) --library-path $(dir $(LD_i386)) || echo qemu-i386 -L /usr/i686-linux-gnu))
RUN_valgrind := valgrind -q --fair-sched=try --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite
# Slow variants get longer before a watchdog ends them: seconds for one test, seconds for one program.
TIMES_asan := 180 900
TIMES_tsan := 180 900
TIMES_valgrind := 600 1800
TIMES_aarch64 := 300 1200
TIMES_riscv64 := 300 1200
TIMES_i386 := 300 1200

B := build/$(V)
EX := $(if $(filter default,$(V)),build/examples,$(B)/examples)
VCC := $(or $(CC_$(V)),$(CC))
COMPILE := $(VCC) -std=gnu11 $(CFLAGS) $(WARN_V) $(FLAGS_$(V)) -pthread
RUNNER := $(RUN_$(V))
TIMES := $(or $(TIMES_$(V)),60 480)

TEST_SRC := $(sort $(wildcard tests/test_*.c tests/e2e_*.c tests/sim_*.c tests/fault_*.c))
SCRIPT_SRC := $(sort $(filter-out tests/run.sh,$(wildcard tests/*.sh tests/lint/test_*.sh)))
FUZZ_SRC := $(sort $(wildcard fuzz/fuzz_*.c))
EXAMPLE_SRC := $(sort $(wildcard examples/*.c))
pick = $(if $(1),$(shell sh tests/run.sh select $(V) $(1)))
# What valgrind sees, and where only the context switch, the architecture or the size of a word differs: these, and what says
# so (for valgrind: /* valgrind */).
SET_valgrind := base ctx stack timer poll sched sync io uri h1 http conf
SET_ucontext := test_ctx test_ctx_fpu test_stack test_sched test_sync test_chan test_scope test_hooks test_dump test_unwind \
	test_spare test_stress test_tls e2e_life e2e_ws
SET_riscv64 := test_base test_ctx test_ctx_fpu test_stack test_sched test_chan test_uri test_h1 test_h1_res test_ws test_unwind \
	test_http e2e_ws
SET_i386 := $(SET_riscv64) test_timer test_poll test_io test_file test_hooks test_conf test_cli sim_server e2e_http e2e_cli
# By tests/openssl35.sh, with an OpenSSL that has an interface for QUIC.
SET_openssl35 := test_qtls test_quic test_qend e2e_h3 e2e_h3_early e2e_h3_ends e2e_cli_h3 e2e_cli_h3_early e2e_cli_h3_alt \
	e2e_cli_h3_others e2e_h3spec sim_quic fault_h3 fault_cli_h3 test_qlog
SET_openssl35compat := $(SET_openssl35)
SET_PICK := $(wildcard $(patsubst %,tests/%.c,$(if $(filter valgrind,$(V)),$(SET_valgrind:%=test_%),$(SET_$(V)))))
TEST_PICK := $(sort $(call pick,$(TEST_SRC)) $(SET_PICK))
SCRIPT_PICK := $(call pick,$(SCRIPT_SRC))
FUZZ_PICK := $(if $(filter riscv64 i386,$(V)),$(FUZZ_SRC),$(call pick,$(FUZZ_SRC)))
# Examples that need a library are left out where this compiler has not got it: its header, and what it takes to link.
LIB_postgres = -I$(shell pg_config --includedir 2>/dev/null || echo /usr/include/postgresql) -lpq
LIB_redis := -lhiredis
lacks = $(shell printf '\043include <%s>\nint main(void) { return 0; }\n' $(2) | \
	$(VCC) -x c - -o /dev/null $(LIB_$(1)) 2>/dev/null || echo examples/$(1).c)
ifneq ($(filter test-alone build-tests examples,$(MAKECMDGOALS)),)
NO_LIB := $(call lacks,postgres,libpq-fe.h) $(call lacks,redis,hiredis/hiredis.h)
endif
# What speaks TLS is built with OpenSSL, where this compiler has it; elsewhere it is left out, or built without.
TLS_LIBS := -lssl -lcrypto
TLS_TESTS := $(wildcard tests/test_tls.c tests/*_tls.c tests/test_qsec.c tests/test_qtls.c tests/test_qend.c tests/test_qlog.c tests/test_calt.c \
	tests/*_quic.c tests/e2e_h3*.c tests/e2e_*_h3.c tests/fault_h3.c tests/*_cli_h3*.c)
TLS_FUZZ := fuzz/fuzz_quic.c
TLS_EXAMPLES := chat conformance hello
LIB_tls := $(TLS_LIBS)
ifneq ($(filter test-alone build-tests examples bench run run-tls build/%,$(MAKECMDGOALS)),)
NO_TLS := $(call lacks,tls,openssl/ssl.h)
endif
TEST_PICK := $(if $(NO_TLS),$(filter-out $(TLS_TESTS),$(TEST_PICK)),$(TEST_PICK))
FUZZ_PICK := $(if $(NO_TLS),$(filter-out $(TLS_FUZZ),$(FUZZ_PICK)),$(FUZZ_PICK))
tls = $(if $(filter $(TLS_TESTS:tests/%.c=%) $(TLS_FUZZ:fuzz/%.c=%),$(1))$(if $(NO_TLS),,$(filter $(TLS_EXAMPLES),$(1))),$(2))
EXAMPLE_PICK := $(if $(filter tsan valgrind poll ucontext riscv64 i386 openssl35%,$(V)),,$(filter-out $(NO_LIB),$(EXAMPLE_SRC)))
LEFT_OUT := $(filter-out $(TEST_PICK) $(FUZZ_PICK),$(TEST_SRC) $(FUZZ_SRC))

TESTS := $(TEST_PICK:tests/%.c=$(B)/%)
REPLAYS := $(FUZZ_PICK:fuzz/fuzz_%.c=$(B)/replay_%)
EXAMPLES := $(EXAMPLE_PICK:examples/%.c=$(EX)/%)
FUZZERS := $(FUZZ_SRC:fuzz/%.c=build/fuzz/%)
only = $(if $(ONLY),$(foreach i,$(1),$(if $(findstring $(ONLY),$(i)),$(i))),$(1))
SUB := $(MAKE) --no-print-directory

.PHONY: help run run-tls test test-alone build-tests examples bench bench-seed fuzz lint lint-fast check-layers docs deps coverage clean FORCE
.SECONDARY:
.DELETE_ON_ERROR:

help: ## this list
	@awk -F ':.*## ' '/^[a-z][a-z0-9-]*:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' Makefile
	@echo "  Variables: V=variant CC= CFLAGS= ONLY=substring (of test programs) FUZZ_TIME=seconds PORT=8080"

run: build/examples/hello ## build and serve examples/hello.c (PORT=8080)
	./build/examples/hello -port=$(PORT)

run-tls: build/examples/hello ## the same over TLS as well, by a self-signed certificate (PORT+363: 8443)
	@test -f build/tls.pem || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
		-keyout build/tls.pem.key -out build/tls.pem -subj /CN=localhost \
		-addext subjectAltName=DNS:localhost,IP:127.0.0.1 2> /dev/null
	exec ./build/examples/hello -port=$(PORT) -sslPort=$$(($(PORT) ? $(PORT) + 363 : 0)) -sslCert=build/tls.pem -sslKey=build/tls.pem.key

# What is built and the logs have no room for two: the second says so.
LOCK = $(shell flock -o -E 75 /dev/null true 2>/dev/null && echo flock -n -o -E 75)
test: ## build and run every test (V=variant for one of those below)
	+@mkdir -p $(B); $(if $(LOCK),$(LOCK) $(B)/.lock) $(SUB) V=$(V) test-alone || { status=$$?; \
	 [ $$status -ne 75 ] || echo "another make test runs in $(B): wait for it, or take another worktree"; exit $$status; }

test-alone:
	+@$(SUB) -k $(if $(filter --jobserver%,$(MAKEFLAGS)),,-j$(JOBS)) V=$(V) build-tests || true
	@VT_VARIANT='$(V)' VT_BUILD='$(B)' VT_EXAMPLES='$(EX)' VT_CC='$(VCC)' VT_CFLAGS='$(CFLAGS) $(FLAGS_$(V)) -pthread' \
	 VT_RUN='$(RUNNER)' VT_TEST_TIMEOUT=$${VT_TEST_TIMEOUT-$(word 1,$(TIMES))} \
	 VT_BIN_TIMEOUT=$${VT_BIN_TIMEOUT-$(word 2,$(TIMES))} \
	 VT_MUTATE=$(if $(filter valgrind aarch64 riscv64 i386,$(V)),2,20) \
	 VT_NOTE='$(if $(LEFT_OUT),not in the $(V) set: $(LEFT_OUT))$(if $(NO_TLS), (libssl-dev is missing: make deps))' \
	 ASAN_OPTIONS=$${ASAN_OPTIONS-detect_leaks=1:abort_on_error=0} UBSAN_OPTIONS=print_stacktrace=1 \
	 TSAN_OPTIONS=$${TSAN_OPTIONS-halt_on_error=0:exitcode=66:second_deadlock_stack=1} \
	 sh tests/run.sh run $(call only,$(EXAMPLES:%=built:%) $(SCRIPT_PICK) $(TESTS) $(REPLAYS:%=fuzz:%))

build-tests: $(call only,$(TESTS) $(REPLAYS) $(EXAMPLES))

# Every program is one translation unit; -MMD notes which headers it read. What it does not use need not be compiled, as it
# exports nothing; but hooks are for a whole program, and the examples are built as their readers build them once.
LEAN = $(if $(shell grep -l 'define VTHTTP_HOOKS 1' $<),,-DVTHTTP_STATIC=1)
EXAMPLE_FLAGS = $(if $(filter default,$(V)),-O2,$(LEAN))
PROGRAM = @mkdir -p $(@D) && rm -f $@ && echo "  CC $@" && $(1) -MMD -MP -MF $@.d -o $@
$(B)/%: tests/%.c $(B)/.flags
	$(call PROGRAM,$(COMPILE) $(LEAN)) $< $(call tls,$*,$(TLS_LIBS)) $(LDLIBS)
$(B)/replay_%: fuzz/fuzz_%.c fuzz/replay.c $(B)/.flags
	$(call PROGRAM,$(COMPILE) $(LEAN)) $< fuzz/replay.c $(call tls,fuzz_$*,$(TLS_LIBS)) $(LDLIBS)
$(EX)/%: examples/%.c $(B)/.flags
	$(call PROGRAM,$(COMPILE) $(EXAMPLE_FLAGS) $(call tls,$*,-DVTHTTP_TLS=1)) $< $(LIB_$*) $(call tls,$*,$(TLS_LIBS)) $(LDLIBS)
build/fuzz/fuzz_%: fuzz/fuzz_%.c
	$(call PROGRAM,$(CLANG) -std=gnu11 -O1 -g $(WARN) -fsanitize=fuzzer $(SANITIZE_asan) -pthread $(LEAN)) $< $(call tls,fuzz_$*,$(TLS_LIBS)) $(LDLIBS)

# Other flags than last time mean another build.
$(B)/.flags: FORCE
	@mkdir -p $(@D); echo '$(COMPILE) $(LDLIBS)' | cmp -s - $@ || echo '$(COMPILE) $(LDLIBS)' > $@
FORCE:

examples: $(EXAMPLES) ## build every example under build/examples
	@$(if $(strip $(NO_LIB)),echo "left out for want of their library (make deps): $(NO_LIB)")

bench: ## build and run the benchmarks; BENCH_QUICK=1 and more: tests/bench/bench.sh
	@CC='$(CC)' sh tests/bench/bench.sh build/bench
bench-seed: ## requests that sleep, block and compute, with a chart; BENCH_QUICK=1 in seconds
	@CC='$(CC)' sh tests/bench/seed/seed.sh build/bench

fuzz: ## libFuzzer over every target, FUZZ_TIME=10 seconds each (ONLY=name for one)
	@command -v $(CLANG) > /dev/null || { echo "make fuzz needs $(CLANG): make deps"; exit 1; }
	+@$(SUB) -k $(if $(filter --jobserver%,$(MAKEFLAGS)),,-j$(JOBS)) $(call only,$(FUZZERS)) || true
	@VT_BUILD=build/fuzz UBSAN_OPTIONS=print_stacktrace=1 sh tests/run.sh fuzz $(FUZZ_TIME) $(call only,$(FUZZERS))

# A variant whose tools are missing is skipped, with the reason.
variant = +@for tool in $(2); do command -v $$tool > /dev/null || { \
	echo "SKIP test-$(1): $$tool is missing (make deps)"; echo "0 passed, 0 failed, 1 skipped"; exit 0; }; done; \
	$(SUB) V=$(1) test
.PHONY: test-asan test-tsan test-poll test-ucontext test-clang test-valgrind test-aarch64 test-riscv64 test-i386 test-openssl35
test-asan: ## under AddressSanitizer and UBSan
	$(call variant,asan,$(CC))
test-tsan: ## what crosses workers, under ThreadSanitizer
	$(call variant,tsan,$(CC))
test-poll: ## on the poll back end
	$(call variant,poll,$(CC))
test-ucontext: ## on ucontext instead of assembly
	$(call variant,ucontext,$(CC))
test-clang: ## built by clang
	$(call variant,clang,$(CLANG))
test-valgrind: ## a subset under valgrind
	$(call variant,valgrind,valgrind)
test-aarch64: ## on aarch64 (cross gcc, qemu-user)
	$(call variant,aarch64,$(CC_aarch64) qemu-aarch64)
test-riscv64: ## on riscv64
	$(call variant,riscv64,$(CC_riscv64) qemu-riscv64)
test-i386: ## on 32-bit x86
	$(call variant,i386,$(CC_i386) $(shell $(LD_i386) --version > /dev/null 2>&1 || echo qemu-i386))
test-openssl35: ## QUIC by OpenSSL 3.5, natively and as by older ones (root: Debian 13 in a chroot)
	@sh tests/openssl35.sh

coverage: ## line coverage of each section, by gcov
	@rm -f build/coverage/*.gcda
	+@$(SUB) V=coverage test
	@perl tests/lint/coverage.pl vthttp.h build/coverage/*.gcda

lint: ## section rules, formatting, warnings of gcc and clang
	@CLANG='$(CLANG)' WARN='$(WARN)' sh tests/lint/lint.sh
lint-fast: ## what of it takes under 20 s
	@CLANG='$(CLANG)' WARN='$(WARN)' sh tests/lint/lint.sh fast
check-layers: ## the section rules alone
	@perl tests/lint/check_layers.pl vthttp.h

docs: ## the API reference, from the header's comments: build/docs/api.md
	@mkdir -p build/docs
	perl tests/lint/docs.pl vthttp.h > build/docs/api.md

DEPS := clang clang-format libclang-rt-14-dev g++ valgrind gdb curl strace python3 perl qemu-user \
	gcc-aarch64-linux-gnu libc6-dev-arm64-cross gcc-riscv64-linux-gnu libc6-dev-riscv64-cross \
	gcc-i686-linux-gnu libc6-dev-i386-cross \
	musl-tools postgresql libpq-dev redis-server libhiredis-dev libcurl4-openssl-dev libssl-dev openssl chromium \
	nginx-light tinyproxy-bin nghttp2-client nghttp2-server nghttp2-proxy ngtcp2-client ngtcp2-server python3-hpack python3-h2 \
	python3-wsproto caddy debootstrap
deps: ## on Debian: install what skipped tests want (as root)
	apt-get update -q
	DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $(DEPS)

clean: ## remove build/
	rm -rf build

-include $(wildcard $(B)/*.d $(EX)/*.d build/fuzz/*.d)
