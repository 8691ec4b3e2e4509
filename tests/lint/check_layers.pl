#!/usr/bin/perl
# Holds the header to its section rules: check_layers.pl FILE. Needs nothing but perl itself.
#
# A section opens with a banner "MARK: - @tag title"; those of the public part have tags that begin with api_. Checked are:
# the table of contents, banners, uses: lines, prefixes of private functions (the tag, or the names of a prefix: line), that
# every reference to a function or variable goes to a definition above in a section that uses: names, no prototypes of
# static functions, lengths, public functions (defined, commented), pure sections, switches, forgotten notes, and that the
# files of test: and fuzz: exist.
# A macro's references count where it is defined and where it is used. Public inline functions, types and macros need no
# uses:, but a name in uses: must be used, if only for a type or a macro.
use strict;
use warnings;

my $FUNCTION_MAX = 120;
my $SECTION_MAX  = 1500;
my $FILE_MAX     = 40000;    # 25,000 without HTTP/3, whose transport is a third as long again

my $file = shift @ARGV or die "usage: check_layers.pl FILE\n";
open my $in, '<', $file or die "$file: $!\n";
my $raw = do { local $/; <$in> };
close $in;
my @raw = split /\n/, $raw, -1;
pop @raw if @raw && $raw[-1] eq '';

my $root = $file =~ m{^(.*)/} ? $1 : '.';    # test: and fuzz: name files from where the header is

my %seen;
my @findings;
sub finding {
    my ($line, $text) = @_;
    push @findings, [$line, $text] unless $seen{"$line $text"}++;
}

sub report {
    my @sorted = sort { $a->[0] <=> $b->[0] || $a->[1] cmp $b->[1] } @findings;
    my $more = @sorted > 200 ? @sorted - 200 : 0;
    print "$file:$_->[0]: $_->[1]\n" for $more ? @sorted[ 0 .. 199 ] : @sorted;
    print "... and $more more\n" if $more;
    print @findings ? scalar @findings . " findings\n" : "section rules kept\n";
    exit(@findings ? 1 : 0);
}

# --- comments out, strings emptied; every character keeps its place ---
sub blank { my ($s) = @_; $s =~ s/[^\n]/ /g; return $s }
my $code = $raw;
$code =~ s{ (/\*.*?\*/ | //[^\n]*) | "((?:\\.|[^"\\\n])*)" | '((?:\\.|[^'\\\n]){1,10})' }
          { defined $1 ? blank($1) : defined $2 ? '"' . blank($2) . '"' : "'" . blank($3) . "'" }gsex;
my @code = split /\n/, $code, -1;

# --- sections ---
my (@sections, %section, $twice);
for (my $i = 0; $i < @raw; $i++) {
    next unless $raw[$i] =~ /\bMARK:/;
    my $line = $i + 1;
    my ($tag) = $raw[$i] =~ /^ \* MARK: - \@(\w+)\s+\S/;
    if (!defined $tag || $i == 0 || $raw[ $i - 1 ] !~ /^\/\*={20,}$/) {
        finding($line, 'not a banner: want "/*====", then " * MARK: - @tag title"');
        next;
    }
    my %s = (tag => $tag, line => $line, uses => [], prefix => [$tag], public => $tag =~ /^api_/ ? 1 : 0);
    if ($section{ $s{tag} }) { $twice = 1; finding($line, "section \@$s{tag} stands twice") }
    my $list;
    my $j = $i + 1;
    for (; $j < @raw && $raw[$j] !~ m{\*/}; $j++) {
        my $l = $raw[$j];
        if ($l =~ /^ \* uses:(.*)/) { $s{has_uses} = 1; $s{uses_line} = $j + 1; $list = $1 }
        elsif (defined $list && $l =~ /^ \*((?:\s+\@\w+)+)\s*$/) { $list = $1 }
        else { undef $list }
        push @{ $s{uses} }, $list =~ /\@(\w+)/g if defined $list;
        push @{ $s{prefix} }, $1 =~ /(\w+)/g if $l =~ /^ \* prefix:(.*)/;
        $s{pure} = $1 ? 'memory' : 1 if $l =~ /^ \* pure( but for memory)?\./;
        if ($l =~ /^ \* (?:test|fuzz):/) {
            for my $f ($l =~ m{\b((?:tests|fuzz)/[\w./-]+)}g) {
                finding($j + 1, "\@$s{tag} names $f, which does not exist") unless -f "$root/$f";
            }
        }
    }
    finding($line, "the banner of \@$s{tag} does not end with \"====*/\"") if $j >= @raw || $raw[$j] !~ /^ \*={20,}\*\/$/;
    finding($line, "\@$s{tag} has no uses: line") unless $s{has_uses} || $s{public};
    finding($line, "public section \@$s{tag} stands below private ones")
        if $s{public} && grep { !$_->{public} } @sections;
    $s{index} = @sections;
    push @sections, \%s;
    $section{ $s{tag} } = \%s;
}
die "$file: no section\n" unless @sections;
report() if $twice;    # nothing further would mean much
for my $n (0 .. $#sections) {
    my $s = $sections[$n];
    $s->{end} = $n < $#sections ? $sections[ $n + 1 ]{line} - 2 : scalar @raw;
    my $len = $s->{end} - $s->{line} + 1;
    finding($s->{line}, "\@$s->{tag} has $len lines, over $SECTION_MAX") if $len > $SECTION_MAX;
}
finding(scalar @raw, "the file has " . @raw . " lines, over $FILE_MAX") if @raw > $FILE_MAX;

my @section_of;    # by line
for my $s (@sections) { $section_of[$_] = $s for $s->{line} .. $s->{end} }
my ($first_private) = grep { !$_->{public} } @sections;
my $public_end = $first_private ? $first_private->{line} - 2 : scalar @raw;

# --- table of contents: the lines "@tag ..." above the first section ---
{
    my @toc;
    for my $i (0 .. $sections[0]{line} - 2) { push @toc, $1 if $raw[$i] =~ /^ ?\*?\s*\@(\w+)(?![\w@])/ }
    my @have = map { $_->{tag} } @sections;
    my %in_toc = map { $_ => 1 } @toc;
    finding(1, "no table of contents (lines \"\@tag ...\" above the first section)") unless @toc;
    if (@toc) {
        $in_toc{$_} or finding($section{$_}{line}, "\@$_ is not in the table of contents") for @have;
        $section{$_} or finding(1, "the table of contents names \@$_, which is no section") for @toc;
        my @order = grep { $section{$_} } @toc;
        my @want  = grep { $in_toc{$_} } @have;
        finding(1, "the table of contents has another order than the file: @order") if "@order" ne "@want";
    }
}

# --- uses: names exist and stand above ---
for my $s (@sections) {
    for my $u (@{ $s->{uses} }) {
        my $t = $section{$u};
        if (!$t) { finding($s->{uses_line}, "\@$s->{tag} uses \@$u, which is no section") }
        elsif ($t->{index} >= $s->{index}) { finding($s->{uses_line}, "\@$s->{tag} uses \@$u, which does not stand above") }
    }
    my %twice;
    $twice{$_}++ and finding($s->{uses_line}, "\@$s->{tag} names \@$_ twice in uses:") for @{ $s->{uses} };
}

# --- directives: macros, switches; then they leave the text ---
my (%macro, @define, @conditional, @generated, %event);
for (my $i = 0; $i < @code; $i++) {
    next unless $code[$i] =~ /^\s*#\s*(\w+)\s*(.*)/;
    my ($kind, $text, $line) = ($1, $2, $i + 1);
    my $last = $i;
    while ($code[$last] =~ /\\\s*$/ && $last + 1 < @code) {
        $text =~ s/\\\s*$//;
        $text .= "\n" . $code[ ++$last ];
    }
    $text =~ s/\\\s*$//;
    if ($kind eq 'define' && $text =~ /^(\w+)(\([^)]*\))?(.*)/s) {
        my $d = { name => $1, args => $2, body => $3, line => $line, last => $last + 1, section => $section_of[$line] };
        push @define, $d;
        push @{ $macro{$1} }, $d;
        if ($d->{body} =~ /\{/) {
            push @generated, { prefix => $1, line => $line, section => $d->{section} }
                while $d->{body} =~ /\b(vt__\w*_)\s*##/g;
        }
    }
    elsif ($kind =~ /^(?:if|ifdef|ifndef|elif)$/) { push @conditional, { kind => $kind, text => $text, line => $line } }
    $event{$line} = $kind if $kind =~ /^(?:if|ifdef|ifndef|elif|else|endif)$/;
    $code[$_] = '' for $i .. $last;
    $i = $last;
}

{
    my %default;    # switches, with the value that #define gives them
    for my $d (@define) { $default{ $d->{name} } //= $d if $d->{name} =~ /^VTHTTP_/ }
    my ($guard) = map { $_->{text} =~ /^(\w+)/ ? $1 : '' } grep { $_->{kind} eq 'ifndef' } @conditional;
    my %exempt = map { $_ => 1 } 'VTHTTP_IMPLEMENTATION', 'VTHTTP_IMPLEMENTED', $guard // '';
    for my $c (@conditional) {
        my @tested = $c->{kind} =~ /def$/ ? $c->{text} =~ /^(VTHTTP_\w+)/ : $c->{text} =~ /\bdefined\s*\(?\s*(VTHTTP_\w+)/g;
        for my $name (@tested) {
            my $d = $default{$name};
            next if $exempt{$name} || ($d && ($d->{args} || $d->{body} =~ /"/));
            next if $c->{kind} eq 'ifndef' && $d && grep { $_->{line} == $c->{line} + 1 } @{ $macro{$name} };
            finding($c->{line}, "switch $name is tested by #ifdef or defined(); use #if $name");
        }
        next if $c->{kind} =~ /def$/;
        (my $expr = $c->{text}) =~ s/\bdefined\s*\(?\s*\w+\s*\)?//g;
        while ($expr =~ /\b(VTHTTP_\w+)/g) {
            finding($c->{line}, "switch $1 has no default (#ifndef $1, #define $1 0)") unless $default{$1};
        }
    }
}

# --- definitions: functions, variables, prototypes; names that a section introduces ---
my $balanced;
$balanced = qr/\((?:[^()]++|(??{ $balanced }))*\)/;
my (@functions, %def, %owns, %is_type, @prototypes, @public_decl, @skip);

sub introduce { my ($s, $name) = @_; $owns{ $s->{tag} }{$name} = 1 if $s }
sub type { my ($s, $name) = @_; introduce($s, $name); $is_type{$name} = 1 }

# What a declaration means does not hang on its attributes.
sub plain {
    my ($t) = @_;
    $t =~ s/\b(?:__attribute__|__asm__|asm|_Alignas|__declspec|[A-Z][A-Z0-9_]*)\s*$balanced/ /g;
    return $t;
}

sub is_function {
    my ($t) = @_;
    $t = plain($t);
    return undef if $t =~ /=/ || $t !~ /(\w+)\s*$balanced\s*$/;
    my $name = $1;
    return $name =~ /^(?:struct|union|enum|if|for|while|switch|int|void|char)$/ ? undef : $name;
}

sub statement {    # one declaration at file scope, with its line
    my ($text, $line, $end) = @_;
    my $s = $section_of[$line] or return;
    introduce($s, $1) while $text =~ /\b(?:struct|union|enum)\s+(\w+)\s*\{/g;
    while ($text =~ /\benum\b[^{;]*\{([^}]*)\}/g) {
        for my $c (split /,/, $1) { introduce($s, $1) if $c =~ /^\s*(\w+)/ }
    }
    (my $flat = $text) =~ s/(\{(?:[^{}]++|(?1))*\})/ /g;
    $flat = plain($flat);
    if ($flat =~ /^\s*typedef\b/) {
        if    ($flat =~ /\(\s*\*\s*(\w+)\s*\)\s*\(/) { type($s, $1) }
        elsif ($flat =~ /(\w+)\s*\(/)                { type($s, $1) }
        elsif ($flat =~ /(\w+)\s*(?:\[[^\]]*\]\s*)*$/) { type($s, $1) }
        return;
    }
    return if $flat =~ /^\s*_Static_assert\b/ || $flat =~ /^\s*(?:struct|union|enum)\s+\w+\s*$/;
    my $before = $flat =~ /^([^=]*)=/ ? $1 : $flat;
    if ($flat !~ /=/ && $flat !~ /\(\s*\*/ && $flat =~ /(\w+)\s*\(/ || $flat !~ /=/ && $flat =~ /\b(vt_\w+)\s*$balanced\s*$/) {
        my $name = $1;
        return unless $name =~ /^vt_/;
        if ($flat =~ /\bstatic\b/ && $name =~ /^vt__/) { finding($line, "prototype of private function $name") }
        my $p = { name => $name, line => $line, end => $end, section => $s };
        push @prototypes, $p;
        push @public_decl, $p if $line <= $public_end;
        return;
    }
    return if $before =~ /^\s*extern\b/;
    for my $part (split /,/, $before) {
        my $name = $part =~ /\(\s*\*\s*(\w+)/ ? $1 : $part =~ /(\w+)\s*(?:\[[^\]]*\]\s*)*$/ ? $1 : next;
        next unless $name =~ /^vt_/;
        push @{ $def{$name} }, { name => $name, line => $line, end => $end, section => $s, variable => 1, head => $end };
        introduce($s, $name);
    }
}

{
    my ($depth, $buf, $start, $function, @stack) = (0, '', 0, undef);
    for my $i (0 .. $#code) {
        my $line = $i + 1;
        if (my $e = $event{$line}) {
            if    ($e =~ /^if/)         { push @stack, [ $depth, $buf, $start, $function ] }
            elsif ($e =~ /^(el)/)       { ($depth, $buf, $start, $function) = @{ $stack[-1] } if @stack }
            else                        { pop @stack }
            next;
        }
        for my $token ($code[$i] =~ /[^{};]+|[{};]/g) {
            if ($token !~ /^[{};]/) {
                next if $function;
                if ($buf !~ /\S/) { next unless $token =~ /\S/; ($buf, $start) = ('', $line) }
                $buf .= $token;
            }
            elsif ($token eq '{') {
                if ($depth == 0 && $buf =~ /^\s*extern\s*"\s*"\s*$/) { $buf = ''; next }
                if ($depth++ == 0) {
                    my ($text, $from) = ($buf, $start);
                    # Lists of macros that need no semicolon stand before what follows them.
                    while ($text =~ s/^(\s*[A-Z][A-Z0-9_]*\s*$balanced[ \t]*\n\s*)(?=\S)//) { $from += ($1 =~ tr/\n//) }
                    if (my $name = is_function($text)) {
                        my $s = $section_of[$line];
                        $function = { name => $name, line => $from, head => $line, section => $s, text => $text };
                        push @functions, $function;
                        push @{ $def{$name} }, $function;
                        introduce($s, $name);
                    }
                }
                $buf .= '{' unless $function;
            }
            elsif ($token eq '}') {
                next if $depth == 0;
                $buf .= '}' unless $function;
                if (--$depth == 0 && $function) { $function->{end} = $line; ($buf, $function) = ('', undef) }
            }
            else {
                if    ($depth == 0) { statement($buf, $start, $line) if $buf =~ /\S/; $buf = '' }
                elsif (!$function)  { $buf .= ';' }
            }
        }
        $buf .= "\n" if $buf =~ /\S/ && !$function;
    }
    finding(scalar @raw, "braces do not close") if $depth > 0;
}
for my $d (@define) { introduce($d->{section}, $d->{name}) }
# A function that assembly or libc defines belongs where it is declared.
for my $p (@prototypes) {
    next if $def{ $p->{name} } || $p->{line} <= $public_end;
    push @{ $def{ $p->{name} } }, { %$p, head => $p->{end}, external => 1 };
    introduce($p->{section}, $p->{name});
}
# X-macro lists: what they name belongs to the section of the list.
for my $d (@define) {
    introduce($d->{section}, $1) while $d->{body} =~ /\bX\s*\(\s*(VT_\w+)/g;
}

# --- functions: names, lengths ---
my @lengths;
for my $f (@functions) {
    my $s = $f->{section} or next;
    my $name = $f->{name};
    $f->{end} //= $f->{line};
    $f->{lines} = $f->{end} - $f->{line} + 1;
    push @lengths, $f->{lines};
    finding($f->{line}, "$name has $f->{lines} lines, over $FUNCTION_MAX") if $f->{lines} > $FUNCTION_MAX;
    if ($name =~ /^vt__/) {
        my $ok = grep { $name =~ /^vt__\Q$_\E(?:_|$)/ } @{ $s->{prefix} };
        finding($f->{line}, "private function $name is not named vt__$s->{tag}_... of its section \@$s->{tag}")
            unless $ok || $s->{public};
    }
    elsif ($name !~ /^vt_/) { finding($f->{line}, "function $name is named neither vt_... nor vt__...") }
}
for my $name (keys %def) {
    my %in = map { $_->{section} ? ($_->{section}{tag} => $_) : () } @{ $def{$name} };
    finding($def{$name}[-1]{line}, "$name is defined in more than one section") if keys %in > 1;
}

# --- public functions: declared, commented, defined ---
sub commented {    # a comment above, or above the unbroken block of lines it stands in
    my ($line) = @_;
    return 1 if $raw[ $line - 1 ] =~ m{;\s*/\*};
    for (my $i = $line - 2; $i >= 0; $i--) {
        return 1 if $raw[$i] =~ m{\*/\s*$} && $code[$i] !~ /\S/;
        return 0 if $raw[$i] !~ /\S/;
    }
    return 0;
}
my %declared = map { $_->{name} => 1 } @public_decl;
for my $p (@public_decl) {
    finding($p->{line}, "public function $p->{name} has no comment") unless commented($p->{line});
    finding($p->{line}, "public function $p->{name} is not defined") unless $def{ $p->{name} };
}
for my $f (@functions) {
    next if $f->{name} !~ /^vt_[^_]/;
    if ($f->{line} <= $public_end) {
        finding($f->{line}, "public function $f->{name} has no comment")
            unless $declared{ $f->{name} } || commented($f->{line});
    }
    elsif (!$declared{ $f->{name} }) { finding($f->{line}, "$f->{name} is not declared in the public part") }
}

# --- references ---
my (%used, %macro_refs);

sub names_in {    # [identifier of ours that is no member, is called, is a tag]
    my ($text) = @_;
    my @names;
    while ($text =~ /(\.|->|\b(?:struct|union|enum)\b)?\s*\b([vV][tT](?:HTTP)?_\w+)\b(\s*\()?/g) {
        my ($before, $name, $call) = ($1 // '', $2, $3 ? 1 : 0);
        push @names, [ $name, $call, $before =~ /\w/ ? 1 : 0 ] unless $before =~ /[.>]/;
    }
    return @names;
}

# All that using a macro refers to, through other macros too.
sub macro_refs {
    my ($name, $path) = @_;
    return {} if $path->{$name};
    return $macro_refs{$name} if $macro_refs{$name};
    my %refs;
    for my $d (@{ $macro{$name} }) {
        for my $n (names_in($d->{body})) {
            if ($macro{ $n->[0] }) { %refs = (%refs, %{ macro_refs($n->[0], { %$path, $name => 1 }) }) }
            elsif (!$n->[2])       { $refs{ $n->[0] } = 1 }
        }
    }
    $macro_refs{$name} = \%refs unless %$path;
    return \%refs;
}

sub generated {
    my ($name) = @_;
    my ($best) = sort { length $b->{prefix} <=> length $a->{prefix} } grep { index($name, $_->{prefix}) == 0 } @generated;
    return $best;
}

# One use of a function or variable, on a line of a section, by a macro or not.
sub reference {
    my ($name, $line, $by_macro, $is_call, $via) = @_;
    my $s = $section_of[$line] or return;
    my $how = $via ? " (by $via)" : '';
    my @defs = @{ $def{$name} || [] };
    if (!@defs) {
        my $g = $name =~ /^vt__/ && !$is_type{$name} ? generated($name) : undef;
        if ($g) { @defs = ({ line => $g->{line}, section => $g->{section}, end => $g->{line}, head => $g->{line} }) }
        elsif ($name =~ /^vt__/ && $is_call && !$is_type{$name} && !$by_macro && !$via) {
            finding($line, "$name is called and defined nowhere");
            return;
        }
        else { return }
    }
    return if grep { $_->{line} <= $line && $line <= $_->{end} } @defs;    # itself
    if ($s->{public}) {
        finding($line, "the public part refers to $name, which is not in it$how")
            unless $declared{$name} || grep { $_->{section}{public} } @defs;
        return;
    }
    for my $d (@defs) { return if $d->{section}{public} }
    my $t = $defs[0]{section};
    if ($t != $s) {
        if ($t->{index} > $s->{index}) { finding($line, "\@$s->{tag} refers to $name in \@$t->{tag} below it$how") }
        elsif (!grep { $_ eq $t->{tag} } @{ $s->{uses} }) {
            finding($line, "\@$s->{tag} refers to $name of \@$t->{tag}, which its uses: does not name$how");
        }
    }
    elsif (!$by_macro && !$via && !grep { $_->{line} < $line } @defs) {
        finding($line, "$name is used above its definition on line $defs[0]{line}");
    }
}

for my $p (@prototypes) { $skip[$_]{ $p->{name} } = 1 for $p->{line} .. $p->{end} }
for my $list (values %def) {
    for my $d (@$list) { $skip[$_]{ $d->{name} // '' } = 1 for $d->{line} .. $d->{head} }
}
sub mark_used { my ($s, $name) = @_; $used{ $s->{tag} }{$name} = 1 }
for my $i (0 .. $#code) {
    my $line = $i + 1;
    my $s = $section_of[$line] or next;
    for my $n (names_in($code[$i])) {
        my ($name, $call, $is_tag) = @$n;
        mark_used($s, $name);
        next if $is_tag;
        if ($macro{$name}) {
            for my $r (keys %{ macro_refs($name, {}) }) { mark_used($s, $r); reference($r, $line, 0, 0, $name) }
        }
        reference($name, $line, 0, $call) unless ($skip[$line] && $skip[$line]{$name}) || $macro{$name};
    }
}
for my $d (@define) {
    my $s = $d->{section} or next;
    for my $n (names_in($d->{body})) {
        mark_used($s, $n->[0]);
        reference($n->[0], $d->{line}, 1, $n->[1]) unless $n->[2] || $macro{ $n->[0] };
    }
}
for my $c (@conditional) {
    my $s = $section_of[ $c->{line} ] or next;
    mark_used($s, $1) while $c->{text} =~ /\b(VT_\w+)/g;
}
for my $s (@sections) {
    for my $u (@{ $s->{uses} }) {
        my $t = $section{$u} or next;
        my $hit = grep { $owns{$u}{$_} || (generated($_) // { section => {} })->{section} == $t } keys %{ $used{ $s->{tag} } };
        finding($s->{uses_line}, "\@$s->{tag} names \@$u in uses: and uses nothing of it") unless $hit;
    }
}

# --- pure sections: bytes and times in, facts out ---
my %allowed = map { $_ => 1 } qw(memcpy memcmp memchr memmove memset strlen if for while switch return sizeof do else case
    defined offsetof alignof _Alignof _Static_assert __attribute__ __asm__ asm typeof __typeof__ _Generic
    va_start va_end va_arg va_copy INT64_C UINT64_C INT32_C UINT32_C void int char);
sub check_pure {
    my ($text, $line, $context) = @_;
    $text =~ s/(__attribute__\s*$balanced)/blank($1)/ge;
    while ($text =~ /(\.|->)?\s*\b([A-Za-z_]\w*)\s*\(/g) {
        my ($member, $name, $at) = ($1, $2, $-[2]);
        my $here = $line + (substr($text, 0, $at) =~ tr/\n//);
        my $memory = ($section_of[$here]{pure} // '') eq 'memory';
        if ($name =~ /^vt__plat_(?!cpu_)/ || (!$memory && $name =~ /^vt__mem_(?!zero$)/)) { finding($here, "pure \@$section_of[$here]{tag} calls $name"); next }
        next if $member || $allowed{$name} || $macro{$name} || $name =~ /^(?:vt_|VT_|__builtin_|__atomic_|_mm\d*_|v[a-z]\w*_[usfp]\d+$)/;
        next if $context =~ /^\(.*\b$name\b.*\)$/ || $context =~ /\(\s*\*\s*(?:const\s+)?$name\s*\)/ || $context =~ /\b\w+[\s*]+$name\s*[,)]/ || $def{$name};
        finding($here, "pure \@$section_of[$here]{tag} calls $name");
    }
}
for my $f (@functions) {
    next unless $f->{section} && $f->{section}{pure};
    my $text = join "\n", @code[ $f->{head} - 1 .. $f->{end} - 1 ];
    $text =~ s/^[^{]*//;
    check_pure($text, $f->{head}, "$f->{text} $text");
}
for my $d (@define) { check_pure($d->{body}, $d->{line}, $d->{args} // '') if $d->{section} && $d->{section}{pure} }

# --- forgotten notes ---
for my $i (0 .. $#raw) { finding($i + 1, "forgotten note: $1") if $raw[$i] =~ /\b(TODO|FIXME|XXX)\b/ }

# --- report ---
@lengths = sort { $a <=> $b } @lengths;
my $n = @lengths;
if ($n) {
    my ($longest) = sort { $b->{lines} <=> $a->{lines} } grep { $_->{lines} } @functions;
    printf "%d lines, %d sections, %d functions: median %d lines, 95th percentile %d, longest %d (%s)\n", scalar @raw,
        scalar @sections, $n, $lengths[ int($n / 2) ], $lengths[ int($n * 0.95) ], $longest->{lines}, $longest->{name};
}
report();
