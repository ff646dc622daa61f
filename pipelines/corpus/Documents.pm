# Documents: what the corpus converters share. A document is one piece of text with a natural boundary (a
# page, a source file, a dictionary entry, a record); on a pipe each document is followed by one NUL byte.
# Everything is bytes; text is UTF-8.
package Documents;
use strict;
use warnings;
use Exporter 'import';
use IO::Uncompress::Gunzip qw(gunzip $GunzipError);

our @EXPORT = qw(source_each document_write);

# Calls $convert->($bytes, $path) for every file named in @paths (or for standard input when there is none),
# gzip undone where its magic is found. An unreadable file ends the program with status 1 and the path
# named.
sub source_each {
    my ($convert, @paths) = @_;
    binmode STDIN;
    binmode STDOUT;
    if (!@paths) {
        local $/;
        my $bytes = <STDIN>;
        $convert->($bytes // '', '-');
    }
    for my $path (@paths) {
        open my $file, '<:raw', $path or die_source($path, $!);
        my $bytes = do { local $/; <$file> } // '';
        close $file or die_source($path, $!);
        if (substr($bytes, 0, 2) eq "\x1f\x8b") {
            my $plain;
            # MultiStream: dictd's .dz and concatenated gzip members are one text
            gunzip(\$bytes => \$plain, MultiStream => 1) or die_source($path, $GunzipError);
            $bytes = $plain;
        }
        $convert->($bytes, $path);
    }
    close STDOUT or die_source('standard output', $!);
}

# Writes one document and its NUL; NUL bytes inside the text would move the boundary and are dropped.
sub document_write {
    my ($text) = @_;
    $text =~ tr/\0//d;
    return if $text !~ /\S/;
    print $text, "\0" or die_source('standard output', $!);
}

sub die_source {
    my ($place, $cause) = @_;
    my ($program) = $0 =~ m{([^/]+)$};
    print STDERR "$program: $place: \l$cause\n";
    exit 1;
}

1;
