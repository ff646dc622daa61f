#!/usr/bin/perl
# usage: decode.pl STREAM
# A decoder written from docs/formats.md alone, for streams of level 0: prints what `view --json --columns` prints.
# It walks the frames from the front and again through the index, and verifies no hash (Perl has no XXH3).
use strict;
use warnings;
use JSON::PP;

my ($path) = @ARGV;
open my $file, '<:raw', $path or die "$path: $!\n";
my $bytes = do { local $/; <$file> };

# ---- header ----

substr($bytes, 0, 8) eq "\x8eTCT\r\n\x1a\x01" or die "$path: magic\n";
my ($length, $zero) = unpack 'VV', substr $bytes, 8, 8;
my $header = JSON::PP->new->utf8->decode(substr $bytes, 16, $length);
my $at = 16 + round_up($length) + 8;
my ($kind, $dtype) = @$header{qw(kind dtype)};
my %element = (u16 => 'v', u32 => 'V', f16 => 'v', f32 => 'f<');
my %size = (u16 => 2, u32 => 4, f16 => 2, f32 => 4);

# ---- frames from the front ----

my @columns = qw(id domain predicted bytes first group choice gold norm_length);
my @widths = (8, 2, 4, 4, 4, 4, 2, 1, 4);
my %width_code = (1 => 'C', 2 => 'v', 4 => 'V', 8 => 'Q<');
my (@domains, @index);
my ($sequences, $predicted) = (0, 0);
while (1) {
    my ($tag, $records, $number, $raw, $stored, $payload, $flags) = unpack 'a4VQ<VVVV', substr $bytes, $at, 32;
    $number == @index or die "$path: frame number\n";
    $flags == 0 or die "$path: is compressed\n";
    my $content = substr $bytes, $at + 32, $stored;
    my $size = 32 + round_up($stored) + 8;
    if ($tag eq 'TCFe') {
        check_end($content, $at, $at + $size);
        last;
    }
    $tag eq 'TCFd' or die "$path: tag\n";
    push @index, [$size, $records, decode_frame($content, $records, $payload), substr $bytes, $at + $size - 8, 8];
    $at += $size;
}

sub round_up { my $n = shift; return $n + (-$n) % 8 }

sub decode_frame {
    my ($content, $records, $payload) = @_;
    my $p = $payload;
    my %values;
    for my $c (0 .. $#columns) {
        my ($w, $code) = ($widths[$c], $width_code{$widths[$c]});
        my $encoding = unpack 'C', substr $content, $p++, 1;
        if ($encoding == 0) {
            $values{$columns[$c]} = [unpack "$code*", substr $content, $p, $records * $w];
            $p += $records * $w;
        } else {
            my ($first, $step) = unpack "$code$code", substr $content, $p, 2 * $w;
            $values{$columns[$c]} = [map { progression($first, $step, $_, $w) } 0 .. $records - 1];
            $p += 2 * $w;
        }
    }
    my ($names, $used) = decode_names(substr $content, $p);
    push @domains, @$names;
    $p + $used == length $content or die "$path: bytes behind the names\n";
    my $q = 0;
    for my $i (0 .. $records - 1) {
        my %r = map { $_ => $values{$_}[$i] } @columns;
        $q += print_record(\%r, substr $content, $q, $payload - $q);
        $sequences++;
        $predicted += $r{predicted};
    }
    $q == $payload or die "$path: payload\n";
    return scalar @$names;
}

sub progression {
    my ($first, $step, $i, $width) = @_;
    use bigint;
    return (0 + $first + $step * $i) % (2 ** (8 * $width));
}

sub decode_names {
    my ($list) = @_;
    my ($count, @names) = unpack 'V', $list;
    my $p = 4;
    for (1 .. $count) {
        my $n = unpack 'v', substr $list, $p, 2;
        push @names, substr $list, $p + 2, $n;
        $p += 2 + $n;
    }
    return (\@names, $p);
}

# ---- records ----

sub real {
    my ($x) = @_;
    return $x == -9**9**9 ? '"-inf"' : sprintf '%.9g', $x;
}

sub half {
    my ($bits) = @_;
    my ($sign, $e, $m) = ($bits & 0x8000 ? -1 : 1, $bits >> 10 & 31, $bits & 1023);
    return $sign * 9**9**9 if $e == 31;
    return $sign * ($e ? (1024 + $m) * 2 ** ($e - 25) : $m * 2**-24);
}

sub elements {
    my ($data, $n) = @_;
    my @values = unpack "$element{$dtype}$n", $data;
    return @values if $dtype =~ /^u/;
    return map { real($dtype eq 'f16' ? half($_) : $_) } @values;
}

sub print_record {
    my ($r, $data) = @_;
    my ($experts, $k) = ($header->{experts} // 0, $header->{topk} // 0);
    my ($text, $used);
    if ($kind eq 'assignment') {
        my @e = unpack "v$k", $data;
        my @w = $k > 1 ? map { real($_) } unpack "f<$k", substr $data, 2 * $k : ();
        $text = $k == 1 ? "\"expert\":$e[0]" : sprintf '"experts":[%s],"weights":[%s]', join(',', @e), join(',', @w);
        $used = $k == 1 ? 2 : 6 * $k;
    } else {
        my %count = (
            tokens => $r->{first} + $r->{predicted}, logprobs => $r->{predicted}, scores => $experts,
            weights => $experts * ($header->{per_position} ? $r->{predicted} : 1),
        );
        my $n = $count{$kind};
        my @v = elements($data, $n);
        my @rows;
        push @rows, '[' . join(',', splice @v, 0, $experts) . ']' while $header->{per_position} && @v;
        $text = sprintf '"%s":[%s]', $kind, join ',', @rows, @v;
        $used = $n * $size{$dtype};
    }
    my $domain = $domains[$r->{domain}];
    $domain =~ s/(["\\])/\\$1/g;
    my $rest = join ',', map { "\"$_\":$r->{$_}" } @columns[2 .. $#columns];
    print "{\"id\":$r->{id},\"domain\":\"$domain\",$rest,$text}\n";
    return $used;
}

# ---- end frame and trailer ----

sub check_end {
    my ($content, $offset, $behind) = @_;
    my $header_hash = substr $bytes, 16 + round_up($length), 8;
    my ($hash, @counts) = (substr($content, 0, 8), unpack 'Q<3', substr $content, 8, 24);
    $hash eq $header_hash or die "$path: header hash\n";
    $counts[0] == $sequences && $counts[1] == $predicted or die "$path: counts\n";
    my $parents = unpack 'V', substr $content, 64, 4;
    my ($names, $used) = decode_names(substr $content, 68 + 16 * $parents);
    "@$names" eq "@domains" or die "$path: domain table\n";
    my $p = 68 + 16 * $parents + $used;
    my $frames = unpack 'Q<', substr $content, $p, 8;
    $frames == @index or die "$path: index\n";
    for my $i (0 .. $frames - 1) {
        my @entry = unpack 'VVVa8', substr $content, $p + 8 + 20 * $i, 20;
        "@entry" eq "@{$index[$i]}" or die "$path: index entry $i\n";
    }
    $p + 8 + 20 * $frames == length $content or die "$path: bytes behind the index\n";
    my ($end, $size, $magic) = unpack 'Q<Q<a8', substr $bytes, $behind, 24;
    $end == $offset && $size == length $bytes && $size == $behind + 32 && $magic eq "\x8eTCE\r\n\x1a\x01"
        or die "$path: trailer\n";
}
