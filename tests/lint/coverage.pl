#!/usr/bin/perl
# Sums what every test program covered of the header, by section: coverage.pl HEADER FILE.gcda... Lines are those that
# some program compiled; "no line run" lists the functions that no test entered.
use strict;
use warnings;

my ($header, @data) = @ARGV;
die "usage: coverage.pl HEADER FILE.gcda...\n" unless @data;
my (%hits, %source);
for my $gcda (@data) {
    open my $gcov, '-|', 'gcov', '-t', $gcda or die "gcov: $!\n";
    my $ours = 0;
    while (<$gcov>) {
        next unless /^\s*([^:]+):\s*(\d+):(.*)/;
        my ($count, $line, $text) = ($1, $2, $3);
        if ($line == 0) { $ours = $text =~ m{(?:^|[:/])\Q$header\E$} if $text =~ /^Source:/; next }
        next unless $ours && $count ne '-';
        $count =~ s/\*$//;
        $hits{$line} += $count =~ /^[#=]/ ? 0 : $count =~ /^(\d+)/ ? $1 : 0;
    }
    close $gcov;
}
die "no line of $header in the data\n" unless %hits;

open my $in, '<', $header or die "$header: $!\n";
my ($tag, @order, %total, %run, @missed, $function);
while (<$in>) {
    if (/^ \* MARK: - (\@\w+)/) { $tag = $1; push @order, $tag }
    $function = { name => $1, line => $., run => 0, lines => 0 } if /^(?:VT|static)\b.*?\b(vt_\w+)\(.*\{/;
    if (defined $tag && exists $hits{$.}) {
        $total{$tag}++;
        $run{$tag}++ if $hits{$.};
        if ($function) { $function->{lines}++; $function->{run} ||= $hits{$.} }
    }
    if (/^\}/ && $function) { push @missed, $function if $function->{lines} && !$function->{run}; undef $function }
}
my ($all, $hit) = (0, 0);
for my $t (grep { $total{$_} } @order) {
    printf "%-12s %5.1f %%  %d of %d lines\n", $t, 100 * ($run{$t} // 0) / $total{$t}, $run{$t} // 0, $total{$t};
    $all += $total{$t};
    $hit += $run{$t} // 0;
}
printf "%-12s %5.1f %%  %d of %d lines\n", 'all', 100 * $hit / $all, $hit, $all;
print "no line run: ", join(' ', map { $_->{name} } @missed), "\n" if @missed;
