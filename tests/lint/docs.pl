#!/usr/bin/perl
# Writes the API reference, as Markdown, from the comments of the header's public part: docs.pl FILE.
use strict;
use warnings;

my $file = shift @ARGV or die "usage: docs.pl FILE\n";
open my $in, '<', $file or die "$file: $!\n";
my @lines = <$in>;
chomp @lines;

sub plain {    # a comment without its marks
    my @c = @_;
    s{^\s*/?\*+/?\s?}{} for @c;
    s{\s*\*/\s*$}{} for @c;
    return join "\n", @c;
}
sub escape { my ($t) = @_; $t =~ s/([*_<>`])/\\$1/g; return $t }

my ($version) = map { /^#define VTHTTP_VERSION "([^"]+)"/ ? $1 : () } @lines;
my (@out, @toc, @block, @comment);
my ($in_comment, $in_section, $depth) = (0, 0, 0);

sub flush_block {
    if (@block || @comment) {
        push @out, escape(plain(@comment)), '' if @comment;
        push @out, '```c', @block, '```', '' if @block;
    }
    @block = @comment = ();
}

for (my $i = 0; $i < @lines; $i++) {
    my $l = $lines[$i];
    if ($l =~ /^ \* MARK: - \@(\w+)\s+(.*)/) {
        my ($tag, $title) = ($1, $2);
        last unless $tag =~ /^api_/;
        pop @comment;
        flush_block();
        $title =~ s/\s*$//;
        push @toc, "- [$title](#$tag)";
        push @out, "<a id=\"$tag\"></a>", "## \u$title", '';
        $i++ until $lines[$i] =~ m{\*/};
        ($in_section, $in_comment) = (1, 0);
        next;
    }
    next unless $in_section;
    if ($in_comment) { push @comment, $l; $in_comment = 0 if $l =~ m{\*/}; next }
    if ($depth == 0 && $l =~ m{^\s*/\*}) {
        flush_block() if @block;
        # Comments that nothing follows stand for themselves.
        flush_block() if @comment;
        @comment = ($l);
        $in_comment = $l !~ m{\*/};
        next;
    }
    if ($depth == 0 && $l =~ /^\s*$/) { flush_block(); next }
    next if $l =~ /^#\s*(?:if|ifdef|ifndef|else|elif|endif|undef|error)\b/ || $l =~ /^#define VT(?:__|_API\b)/;
    next if $depth == 0 && $l =~ /^(?:extern "C" \{|\})$/;
    (my $code = $l) =~ s{/\*.*?\*/}{}g;
    $depth += ($code =~ tr/{//) - ($code =~ tr/}//);
    $l =~ s/^VT_API //;
    push @block, $l;
}
flush_block();
die "$file: no public section\n" unless @toc;
print "# vthttp.h", (defined $version ? " $version" : ''), ": API reference\n\n";
print "Taken from the comments of `vthttp.h` by `make docs`.\n\n", join("\n", @toc), "\n\n", join("\n", @out);
