#!/bin/sh
# variants: default
# Breaks each rule of check_layers.pl once, in a small header made for it, and wants exactly the right finding.
here=$(dirname "$0")
if ! perl -e 1 2> /dev/null; then
    echo "SKIP check_layers: no perl"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
fi
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
passed=0 failed=0
mkdir "$dir/tests" "$dir/fuzz"
: > "$dir/tests/test_high.c"
: > "$dir/fuzz/fuzz_high.c"

cat > "$dir/base.h" << 'END'
/* A small header.
 * Contents:
 *   @api_opt   switches
 *   @api_base  things, see @high
 *   @low       base
 *   @mid       codec
 *   @high      top
 */
#ifndef VTHTTP_H
#define VTHTTP_H
/*==============================================================================
 * MARK: - @api_opt   switches
 *============================================================================*/
#ifndef VTHTTP_POLL
#define VTHTTP_POLL 0 /* 1: poll */
#endif
#ifndef VTHTTP_FREE
#define VTHTTP_FREE(p) free(p)
#endif
#ifdef __cplusplus
extern "C" {
#endif
#define VT_API extern
/*==============================================================================
 * MARK: - @api_base   things
 *============================================================================*/
/* A thing. */
typedef struct vt_thing {
    int a;
} vt_thing;
typedef int vt_fn(void *arg);

/* Makes one; "vt__high_run(" in a string or comment is no call: vt__high_run(1). */
#define vt_make(a) vt_make_at((a), 1)
VT_API int vt_make_at(int a, int b);
VT_API int vt_take(vt_thing *t); /* its own comment */

/* Twice. */
VT_API int vt_twice(int a);
/* Inline. */
static inline int vt_thrice(int a) { return vt_twice(a) + a; }
#ifdef __cplusplus
}
#endif
#endif /* VTHTTP_H */

#if defined(VTHTTP_IMPLEMENTATION) && !defined(VTHTTP_IMPLEMENTED)
#define VTHTTP_IMPLEMENTED 1
/*==============================================================================
 * MARK: - @low     base
 * uses:
 * prefix: low plat
 * test:   none
 *============================================================================*/
#include <string.h>
#define VT__LIST(X) X(read, int) X(write, int)
#define VT__WRAP(name, ret) \
    static ret vt__plat_##name(ret r) { \
        return r; \
    }
VT__LIST(VT__WRAP)
void vt__low_asm(void) __asm__("low_asm");
typedef struct vt__low_list {
    struct vt__low_list *next;
} vt__low_list;
static struct {
    int n;
} vt__low_g = {1};
static int (*vt__low_hook)(int);
struct vt__plat_read {
    struct vt__low_g *name; /* a tag may have a function's or a variable's name */
};
struct vt__low_add {
    int n;
};
static int vt__low_add(int a, int b) {
    if (vt__low_hook) return vt__low_hook(a);
    return a > 0 ? vt__low_add(a - 1, b + 1) : b + vt__low_g.n;
}
#define VT__LOW_SUM(a) vt__low_add((a), 1)
#if VTHTTP_POLL
static int vt__plat_both(int n) {
#else
static int vt__plat_both(int n) {
    n++;
#endif
    return n;
}

/*==============================================================================
 * MARK: - @mid     codec
 * uses:   @low
 * pure.   Bytes in, facts out.
 *============================================================================*/
typedef int vt__mid_fn(int);
#define VT__MID_EACH(X) X(1) X(2)
__attribute__((target("sse2"))) static inline uint8x16_t vt__mid_simd(void) { return vdupq_n_u8(1); }
struct vt__mid_state {
    int (*put)(int);
    int n;
};
static int vt__mid_len(const char *s, int (*put)(int), vt_fn *fn) {
    struct vt__mid_state st = {put, 0};
    st.n = (int)strlen(s);
    return put(st.put(st.n)) + fn(NULL);
}
VT_API int vt_twice(int a) {
    const char *p = "}{ malloc(";
    char brace = '}';
    return vt__low_add(a, a) + (int)memcmp(p, &brace, 0) + vt__mid_len("x", 0, 0);
}

/*==============================================================================
 * MARK: - @high    top
 * uses:   @low
 *         @mid
 * raises: nothing
 * test:   tests/test_high.c   fuzz: fuzz/fuzz_high.c
 *============================================================================*/
static int vt__high_run(int a) {
#if VTHTTP_POLL
    return a;
#else
    return vt__mid_len("", vt__plat_read, 0) + VT__LOW_SUM(a) + vt_thrice(a);
#endif
}
VT_API int vt_make_at(int a, int b) { return vt__high_run(a) + b; }
VT_API int vt_take(vt_thing *t) {
    VTHTTP_FREE(t);
    vt__low_asm();
    return vt_make(1);
}
#endif
END

# name, what the findings must match, sed script that breaks the clean header (none: it must pass)
try() {
    sed "$3" "$dir/base.h" > "$dir/$1.h"
    perl "$here/check_layers.pl" "$dir/$1.h" > "$dir/out" 2> "$dir/err"
    status=$?
    if [ -s "$dir/err" ] || { [ "$1" != clean ] && cmp -s "$dir/base.h" "$dir/$1.h"; }; then
        why="the script complains or the seed changes nothing"
    elif [ "$1" = clean ] && [ $status -ne 0 ]; then
        why="findings in a clean header"
    elif [ "$1" != clean ] && [ $status -ne 1 ]; then
        why="not found"
    elif ! grep -q -E "$2" "$dir/out"; then
        why="no finding like: $2"
    elif [ "$1" != clean ] && [ "$(grep -c "^$dir" "$dir/out")" -ne "${4:-1}" ]; then
        why="other findings as well"
    else
        passed=$((passed + 1))
        return
    fi
    failed=$((failed + 1))
    echo "FAIL $1: $why"
    cat "$dir/out" "$dir/err"
}

# Leaves @high with uses: @mid alone.
only_mid='/@high    top/,/===/s/@low$/@mid/; /^ \*         @mid$/d'

try clean 'section rules kept' ''
try no_toc 'no table of contents' '/^ \*   @/d'
try toc_lacks '@mid is not in the table of contents' '/^ \*   @mid/d'
try toc_surplus 'names @gone, which is no section' 's/^ \*   @mid.*/&\n *   @gone      left/'
try toc_order 'another order' '/^ \*   @low/d; s/^ \*   @mid.*/&\n *   @low       base/'
try banner_open 'not a banner' 's/^ \* MARK: - @mid .*/ * MARK: - @mid/' 5
try banner_end 'does not end with' '/@high    top/,/===\*\//s/^ \*==*\*\//*\//'
try tag_twice '@low stands twice' 's/MARK: - @high /MARK: - @low /'
try no_uses '@low has no uses: line' '/^ \* uses:$/d'
try uses_unknown '@mid uses @gone, which is no section' 's/^ \* uses:   @low$/& @gone/' 2
try uses_below '@mid uses @high, which does not stand above' '/@mid     codec/,/===/s/^ \* uses:   @low$/& @high/' 2
try uses_twice 'names @low twice' '/@mid     codec/,/===/s/^ \* uses:   @low$/& @low/'
try uses_unneeded '@high names @mid in uses: and uses nothing' 's/return vt__mid_len("", vt__plat_read, 0) +/return vt__plat_read(1) +/'
try prefix 'function vt__other_x is not named' 's/^static int vt__high_run.*/static int vt__other_x(void) { return 0; }\n&/'
try prefix_part 'function vt__highs_x is not named' 's/^static int vt__high_run.*/static int vt__highs_x(void) { return 0; }\n&/'
try unprefixed 'function helper is named neither' 's/^static int vt__high_run.*/static int helper(void) { return 0; }\n&/'
try upward '@mid refers to vt__high_run in @high below' 's/return put(st/return vt__high_run(1) + put(st/'
try upward_address '@mid refers to vt__high_run in @high below' 's/struct vt__mid_state st = {put, 0}/struct vt__mid_state st = {vt__high_run, 0}/'
try upward_public '@mid refers to vt_take in @high below' 's/return put(st/return vt_take(0) + put(st/'
try upward_by_macro '@mid refers to vt_make_at in @high below it \(by vt_make\)' 's/return put(st/return vt_make(0) + put(st/'
try unnamed '@high refers to vt__mid_len of @mid, which its uses: does not name' '/^ \*         @mid$/d'
try unnamed_variable '@high refers to vt__low_g of @low' "$only_mid; s/vt__plat_read, 0) + VT__LOW_SUM(a)/0, 0) + vt__low_g.n/; s/vt__low_asm();//"
try unnamed_by_macro '@high refers to vt__low_add of @low, .*\(by VT__LOW_SUM\)' "$only_mid; s/vt__plat_read, 0) +/0, 0) +/; s/vt__low_asm();//"
try unnamed_generated '@high refers to vt__plat_read of @low' "$only_mid; s/VT__LOW_SUM(a) +//; s/vt__low_asm();//"
try unnamed_asm '@high refers to vt__low_asm of @low' "$only_mid; s/vt__plat_read, 0) + VT__LOW_SUM(a)/0, 0)/"
try below_in_section 'vt_take is used above its definition' 's/return vt__high_run(a) + b;/return vt_take(0) + b;/'
try undefined 'vt__low_gone is called and defined nowhere' 's/vt__low_asm();/vt__low_gone();/'
try prototype 'prototype of private function vt__low_add' 's/^static int vt__low_add.*/static int vt__low_add(int, int);\n&/'
try prototype_lines 'prototype of private function vt__low_add' 's/^static int vt__low_add.*/static int vt__low_add(int,\n    int);\n&/'
try two_sections 'vt__low_add is defined in more than one section' 's/^static int vt__high_run.*/static int vt__low_add(int a, int b) { return a + b; }\n&/' 2
try long_function 'vt__high_run has 121 lines' "s/^    return a;/&$(printf '%0114d' 0 | sed 's/0/\\na = 1;/g')/"
try long_section '@high has [0-9]* lines, over 1500' "s/^static int vt__high_run.*/$(printf '%01490d' 0 | sed 's/0/\\n/g')&/"
try public_undefined 'public function vt_gone is not defined' 's/^VT_API int vt_twice(int a);/&\nVT_API int vt_gone(void);/'
try public_undeclared 'vt_gone is not declared' 's/^VT_API int vt_take(vt_thing \*t) {/int vt_gone(void) { return 0; }\n&/'
try public_uncommented 'public function vt_twice has no comment' '/^\/\* Twice/d'
try inline_uncommented 'public function vt_thrice has no comment' 's/^\/\* Inline.*//'
try public_below 'the public part refers to vt__low_add' 's/{ return vt_twice(a) + a; }/{ return vt__low_add(a, a); }/'
try pure_plat 'pure @mid calls vt__plat_read' 's/return put(st/return vt__plat_read(1) + put(st/'
try pure_memory 'pure @mid calls vt__mem_alloc' 's/return put(st/return vt__mem_alloc(1) + put(st/' 2
try pure_libc 'pure @mid calls malloc' 's/return put(st/return (int)(size_t)malloc(1) + put(st/'
try pure_macro 'pure @mid calls printf' 's/^struct vt__mid_state {/#define VT__SAY(x) printf(x)\n&/'
try test_file '@high names tests/test_gone.c, which does not exist' 's,tests/test_high.c,& tests/test_gone.c,'
try fuzz_file '@high names fuzz/fuzz_gone.c, which does not exist' 's,fuzz/fuzz_high.c,fuzz/fuzz_gone.c,'
try note 'forgotten note' 's/^ \* raises: nothing/ * raises: nothing, FIX''ME/'
try switch_ifdef 'switch VTHTTP_POLL is tested' '/^static int vt__high_run/,/^}/s/#if VTHTTP_POLL/#ifdef VTHTTP_POLL/'
try switch_defined 'switch VTHTTP_POLL is tested' '/^static int vt__high_run/,/^}/s/#if VTHTTP_POLL/#if defined(VTHTTP_POLL)/'
try switch_ifndef 'switch VTHTTP_POLL is tested' '/^static int vt__high_run/,/^}/s/#if VTHTTP_POLL/#ifndef VTHTTP_POLL/'
try switch_default 'switch VTHTTP_NEW has no default' '/^static int vt__high_run/,/^}/s/#if VTHTTP_POLL/#if VTHTTP_NEW/'
try braces 'braces do not close' 's/^    return vt_make(1);/    {/'

# The file's limit, on a header of many sections.
perl -e 'my $n = 30; my $bar = "=" x 78; print "/* Contents:\n", (map { " * \@s$_ x\n" } 1 .. $n), " */\n";
    print "/*$bar\n * MARK: - \@s$_ x\n * uses:\n *$bar*/\n", "\n" x 1370 for 1 .. $n;' > "$dir/base.h"
try long_file 'over 40000' '$s/$/\n/'

echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
