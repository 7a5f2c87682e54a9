package Pprof::Proto;

# Copyright (C) the maintainers of nginx pprof

# A reader of profile.proto that shares nothing with the encoder under test.
#
#   my $p = Pprof::Proto->parse($bytes);     # gzipped or not; dies if malformed
#   $p->problems                             # list of sentences; empty is good
#   $p->samples                              # [ { values, frames, labels, ... } ]
#   $p->total('cpu')  $p->flat('cpu')  $p->cum('cpu')
#   $p->share('cpu', qr/^hosted_heavy$/)     # of the samples with it on the stack
#
# A sample is a hash:
#   values     [ ... ] in the order of sample_types
#   locations  [ ids ], leaf first
#   frames     [ names ], leaf first, inlined functions as frames of their own
#   labels     { key => value }, a number for a numeric label
#   units      { key => unit } of numeric labels that have one

use strict;
use warnings;

use IO::Uncompress::Gunzip qw( gunzip $GunzipError );


# field number => [ name, kind ]; kinds: i integer, s string index, m message,
# and * for repeated

my %MESSAGE = (

    Profile => {
        1  => [ 'sample_type', 'm*', 'ValueType' ],
        2  => [ 'sample', 'm*', 'Sample' ],
        3  => [ 'mapping', 'm*', 'Mapping' ],
        4  => [ 'location', 'm*', 'Location' ],
        5  => [ 'function', 'm*', 'Function' ],
        6  => [ 'string_table', 'b*' ],
        7  => [ 'drop_frames', 'i' ],
        8  => [ 'keep_frames', 'i' ],
        9  => [ 'time_nanos', 'i' ],
        10 => [ 'duration_nanos', 'i' ],
        11 => [ 'period_type', 'm', 'ValueType' ],
        12 => [ 'period', 'i' ],
        13 => [ 'comment', 'i*' ],
        14 => [ 'default_sample_type', 'i' ],
        15 => [ 'doc_url', 'i' ],
    },

    ValueType => { 1 => [ 'type', 'i' ], 2 => [ 'unit', 'i' ] },

    Sample => {
        1 => [ 'location_id', 'i*' ],
        2 => [ 'value', 'i*' ],
        3 => [ 'label', 'm*', 'Label' ],
    },

    Label => {
        1 => [ 'key', 'i' ],
        2 => [ 'str', 'i' ],
        3 => [ 'num', 'i' ],
        4 => [ 'num_unit', 'i' ],
    },

    Mapping => {
        1  => [ 'id', 'i' ],
        2  => [ 'start', 'i' ],
        3  => [ 'limit', 'i' ],
        4  => [ 'offset', 'i' ],
        5  => [ 'filename', 'i' ],
        6  => [ 'build_id', 'i' ],
        7  => [ 'has_functions', 'i' ],
        8  => [ 'has_filenames', 'i' ],
        9  => [ 'has_line_numbers', 'i' ],
        10 => [ 'has_inline_frames', 'i' ],
    },

    Location => {
        1 => [ 'id', 'i' ],
        2 => [ 'mapping_id', 'i' ],
        3 => [ 'address', 'i' ],
        4 => [ 'line', 'm*', 'Line' ],
        5 => [ 'is_folded', 'i' ],
    },

    Line => {
        1 => [ 'function_id', 'i' ],
        2 => [ 'line', 'i' ],
        3 => [ 'column', 'i' ],
    },

    Function => {
        1 => [ 'id', 'i' ],
        2 => [ 'name', 'i' ],
        3 => [ 'system_name', 'i' ],
        4 => [ 'filename', 'i' ],
        5 => [ 'start_line', 'i' ],
    },
);

# Addresses and ids are unsigned, everything else is signed.

my %UNSIGNED = map { $_ => 1 }
    qw( id location_id mapping_id function_id start limit offset address );


sub parse {
    my ($class, $data) = @_;

    if (substr($data, 0, 2) eq "\x1f\x8b") {
        my $out;

        # Strict: what follows the stream is an error of the encoder.

        gunzip(\$data => \$out, Transparent => 0, TrailingData => my $rest)
            or die "gunzip: $GunzipError\n";
        die "gunzip: data after the end\n" if defined $rest && length $rest;

        $data = $out;
    }

    my $raw = _message(\$data, 0, length $data, 'Profile');
    my $self = bless { raw => $raw, size => length $data }, $class;

    $self->_link;

    return $self;
}


sub _varint {
    my ($buf, $pos, $end) = @_;
    my ($value, $shift) = (0, 0);

    while (1) {
        die "truncated varint\n" if $$pos >= $end;
        die "overlong varint\n" if $shift > 63;

        my $byte = ord substr $$buf, $$pos++, 1;
        $value |= ($byte & 0x7f) << $shift;
        return $value if $byte < 0x80;
        $shift += 7;
    }
}


sub _signed { $_[0] >> 63 ? unpack 'q', pack 'Q', $_[0] : $_[0] }


sub _message {
    my ($buf, $pos, $end, $type) = @_;
    my ($fields, %out) = ($MESSAGE{$type});

    while ($pos < $end) {
        my $tag = _varint($buf, \$pos, $end);
        my ($number, $wire) = ($tag >> 3, $tag & 7);
        my $field = $fields->{$number};
        my ($name, $kind, $sub) = $field ? @$field : ();

        die "$type: field number 0\n" if $number == 0;

        if ($wire == 0) {
            my $value = _varint($buf, \$pos, $end);

            if (!$field) {
                push @{ $out{unknown} }, $number;
                next;
            }

            die "$type.$name: not a varint\n" if $kind !~ /^i/;

            $value = _signed($value) unless $UNSIGNED{$name};

            if ($kind eq 'i*') {
                push @{ $out{$name} }, $value;
            } else {
                $out{$name} = $value;
            }

        } elsif ($wire == 2) {
            my $len = _varint($buf, \$pos, $end);
            die "$type: field $number is longer than its message\n"
                if $len > $end - $pos;

            my $stop = $pos + $len;

            if (!$field) {
                push @{ $out{unknown} }, $number;

            } elsif ($kind eq 'b*') {
                push @{ $out{$name} }, substr $$buf, $pos, $len;

            } elsif ($kind eq 'm*') {
                push @{ $out{$name} }, _message($buf, $pos, $stop, $sub);

            } elsif ($kind eq 'm') {
                $out{$name} = _message($buf, $pos, $stop, $sub);

            } elsif ($kind eq 'i*') {
                my $list = $out{$name} ||= [];
                my $packed = substr $$buf, $pos, $len;

                # a run of one-byte numbers is the common case

                if ($packed !~ /[\x80-\xff]/) {
                    push @$list, unpack 'C*', $packed;

                } else {
                    my ($p, @more) = (0);
                    push @more, _varint(\$packed, \$p, $len) while $p < $len;
                    @more = map { _signed($_) } @more unless $UNSIGNED{$name};
                    push @$list, @more;
                }

            } else {
                die "$type.$name: not a varint\n";
            }

            $pos = $stop;

        } elsif ($wire == 1 || $wire == 5) {
            $pos += $wire == 1 ? 8 : 4;
            die "$type: truncated\n" if $pos > $end;
            die "$type.$name: fixed width\n" if $field;
            push @{ $out{unknown} }, $number;

        } else {
            die "$type: wire type $wire\n";
        }
    }

    return \%out;
}


sub _str {
    my ($self, $index) = @_;

    $index //= 0;

    if ($index < 0 || $index > $#{ $self->{raw}{string_table} || [] }) {
        push @{ $self->{bad} }, "string $index of "
            . scalar(@{ $self->{raw}{string_table} || [] });
        return '';
    }

    return $self->{raw}{string_table}[$index];
}


sub _link {
    my ($self) = @_;
    my $raw = $self->{raw};
    my $bad = $self->{bad} = [];

    my $table = $raw->{string_table} || [];
    push @$bad, 'string_table[0] is not empty' if ($table->[0] // 'x') ne '';

    my %seen;
    for (@$table) {
        push @$bad, "string '$_' is twice in the table" if $seen{$_}++;
    }

    $self->{sample_types} = [ map { $self->_type($_) }
                              @{ $raw->{sample_type} || [] } ];
    $self->{period_type} = $self->_type($raw->{period_type} || {});
    $self->{comments} = [ map { $self->_str($_) } @{ $raw->{comment} || [] } ];
    $self->{default_sample_type} = $self->_str($raw->{default_sample_type});
    $self->{$_} = $raw->{$_} // 0 for qw( period time_nanos duration_nanos );
    $self->{$_} = $self->_str($raw->{$_}) for qw( drop_frames keep_frames );

    for my $kind (qw( mapping function location )) {
        my %by_id;

        for my $item (@{ $raw->{$kind} || [] }) {
            my $id = $item->{id} // 0;
            push @$bad, "$kind with id 0" if $id == 0;
            push @$bad, "$kind $id is there twice" if $by_id{$id};
            $by_id{$id} = $item;
        }

        $self->{$kind} = \%by_id;
    }

    for my $m (values %{ $self->{mapping} }) {
        $m->{$_} = $self->_str($m->{$_}) for qw( filename build_id );
        $m->{$_} //= 0 for qw( start limit offset has_functions has_filenames
                               has_line_numbers has_inline_frames );
        push @$bad, "mapping $m->{filename} is empty or reversed"
            if $m->{limit} <= $m->{start} && $m->{filename} !~ /^\[/;
    }

    for my $f (values %{ $self->{function} }) {
        $f->{$_} = $self->_str($f->{$_}) for qw( name system_name filename );
        push @$bad, "function $f->{id} has no name" if $f->{name} eq '';
    }

    for my $l (values %{ $self->{location} }) {
        $self->_location($l);
    }

    my $n = @{ $self->{sample_types} };
    push @$bad, 'no sample type' if $n == 0;
    push @$bad, "default_sample_type '$self->{default_sample_type}' is none"
        if $self->{default_sample_type} ne ''
           && !grep { $_->{type} eq $self->{default_sample_type} }
                    @{ $self->{sample_types} };

    my (%keys, %used);

    for my $s (@{ $raw->{sample} || [] }) {
        push @{ $self->{samples} }, $self->_sample($s, $n, \%keys, \%used);
    }

    $self->{samples} ||= [];

    for my $id (grep { !$used{$_} } keys %{ $self->{location} }) {
        push @$bad, "location $id is in no sample";
    }
}


sub _type {
    my ($self, $t) = @_;

    return { type => $self->_str($t->{type}), unit => $self->_str($t->{unit}) };
}


sub _location {
    my ($self, $l) = @_;
    my $bad = $self->{bad};

    $l->{address} //= 0;

    if ($l->{mapping_id}) {
        my $m = $self->{mapping}{$l->{mapping_id}};

        if (!$m) {
            push @$bad, "location $l->{id}: no mapping $l->{mapping_id}";

        } elsif ($l->{address} < $m->{start} || $l->{address} >= $m->{limit}) {
            push @$bad, sprintf 'location %d: address %x is not in its mapping'
                . ' %s %x-%x', $l->{id}, $l->{address}, $m->{filename},
                $m->{start}, $m->{limit};
        }

        $l->{mapping} = $m;
    }

    my (@frames, @lines);

    for my $line (@{ $l->{line} || [] }) {
        my $f = $self->{function}{$line->{function_id} // 0};

        if (!$f) {
            push @$bad, "location $l->{id}: no function "
                . ($line->{function_id} // 0);
            next;
        }

        push @frames, $f->{name};
        push @lines, { name => $f->{name}, filename => $f->{filename},
                       line => $line->{line} // 0 };
    }

    $l->{frames} = @frames ? \@frames : [ sprintf '0x%x', $l->{address} ];
    $l->{lines} = \@lines;
}


sub _sample {
    my ($self, $s, $n, $keys, $used) = @_;
    my ($bad, @frames, %labels, %units, @list) = ($self->{bad});

    my $values = $s->{value} || [];
    push @$bad, 'sample with ' . @$values . " values of $n" if @$values != $n;

    my $ids = $s->{location_id} || [];

    for my $id (@$ids) {
        my $l = $self->{location}{$id};

        if (!$l) {
            push @$bad, "sample with location $id, which is not there";
            next;
        }

        $used->{$id} = 1;
        push @frames, @{ $l->{frames} };
    }

    for my $label (@{ $s->{label} || [] }) {
        my $key = $self->_str($label->{key});

        push @$bad, 'label without key' if $key eq '';
        push @$bad, "label $key has a string and a number"
            if $label->{str} && $label->{num};
        push @$bad, "label $key is twice in a sample" if exists $labels{$key};

        $labels{$key} = $label->{str} ? $self->_str($label->{str})
                                      : $label->{num} // 0;
        $units{$key} = $self->_str($label->{num_unit}) if $label->{num_unit};
        push @list, "$key=$labels{$key}";
    }

    # one row for one stack and one set of labels

    my $key = join ' ', @$ids, '|', sort @list;
    push @$bad, "the same stack and labels twice: $key" if $keys->{$key}++;

    return { values => $values, locations => $ids, frames => \@frames,
             labels => \%labels, units => \%units };
}


sub samples { $_[0]{samples} }
sub comments { @{ $_[0]{comments} } }
sub mappings { sort { $a->{id} <=> $b->{id} } values %{ $_[0]{mapping} } }
sub functions { sort { $a->{id} <=> $b->{id} } values %{ $_[0]{function} } }
sub location { $_[0]{location}{$_[1]} }


# What a correct encoder never writes; the first twenty.

sub problems {
    my ($self) = @_;
    my @bad = @{ $self->{bad} };

    return @bad > 20 ? (@bad[0 .. 19], '... ' . (@bad - 20) . ' more') : @bad;
}


# 'cpu/nanoseconds', as the documentation writes a sample type

sub types { map { "$_->{type}/$_->{unit}" } @{ $_[0]{sample_types} } }


sub index_of {
    my ($self, $type) = @_;
    my @types = $self->types;

    for my $i (0 .. $#types) {
        return $i if $types[$i] eq $type
                     || $self->{sample_types}[$i]{type} eq $type;
    }

    die "no sample type $type in @types\n";
}


# The samples for which the condition holds; it gets the sample as $_.

sub select {
    my ($self, $condition) = @_;

    return $self->{samples} unless $condition;
    return [ grep { $condition->($_) } @{ $self->{samples} } ];
}


sub total {
    my ($self, $type, $condition) = @_;
    my ($i, $sum) = ($self->index_of($type), 0);

    $sum += $_->{values}[$i] for @{ $self->select($condition) };

    return $sum;
}


sub flat {
    my ($self, $type, $condition) = @_;
    my ($i, %sum) = ($self->index_of($type));

    $sum{$_->{frames}[0] // ''} += $_->{values}[$i]
        for @{ $self->select($condition) };

    return \%sum;
}


sub cum {
    my ($self, $type, $condition) = @_;
    my ($i, %sum) = ($self->index_of($type));

    for my $s (@{ $self->select($condition) }) {
        my %once = map { $_ => 1 } @{ $s->{frames} };
        $sum{$_} += $s->{values}[$i] for keys %once;
    }

    return \%sum;
}


sub has_frame {
    my ($sample, $pattern) = @_;

    for (@{ $sample->{frames} }) {
        return 1 if ref $pattern ? $_ =~ $pattern : $_ eq $pattern;
    }

    return 0;
}


# The value of the samples with a frame on the stack, and its share of all.

sub with_frame {
    my ($self, $type, $pattern) = @_;

    return $self->total($type, sub { has_frame($_[0], $pattern) });
}


sub share {
    my ($self, $type, $pattern) = @_;
    my $total = $self->total($type);

    return $total ? $self->with_frame($type, $pattern) / $total : 0;
}


sub by_label {
    my ($self, $type, $key) = @_;
    my ($i, %sum) = ($self->index_of($type));

    $sum{$_->{labels}{$key} // ''} += $_->{values}[$i] for @{ $self->samples };

    return \%sum;
}


1;
