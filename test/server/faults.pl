#!/usr/bin/perl
#
# A server that misbehaves on demand, over HTTP and HTTPS, and counts what it
# was asked and what it did.  What it does is written in the path:
#
#   /reset/a          does the work, then resets the connection
#   /409+ok/b         answers 409 the first time, then does as it should
#   /stall=2+ok/c     does the work, and answers after two seconds
#
# The words are in lib/Behaviour.pm.  An X-Fault header, or a rule, comes before
# the path:
#
#   POST /_/rule?path=/c&do=503+ok     a rule; DELETE /_/rule forgets all
#   GET  /_/seen                       what was asked and done, as JSON
#
# It is also a forward proxy, for itself: CONNECT to one of its own ports, and
# requests with a whole URL.
#
# One process and one loop.  It listens on 127.0.0.1 only, and ends by itself
# when its parent is gone or its time is up.
#
#   faults.pl --port-file FILE [--parent PID] [--max-seconds N]
#             [--certificates DIR]     ca.pem, and NAME.pem and NAME.key of
#                                      server, expired and othername: then there
#                                      are the ports tls, mtls, expired, othername

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Behaviour;
use Getopt::Long;
use IO::Select;
use IO::Socket::INET;
use JSON::PP;
use Socket qw(SOL_SOCKET SO_LINGER);
use Time::HiRes qw(time);

use constant MAX_REQUEST => 16 * 1024 * 1024;
use constant FULL        => 256 * 1024;         # no more is made until this is sent

my %option = ('max-seconds' => 600);
GetOptions(\%option, 'port-file=s', 'parent=i', 'max-seconds=i', 'certificates=s')
  or die "usage: faults.pl --port-file FILE [--parent PID]\n";

my $behaviour = Behaviour->new(\&later);
my %listeners;      # file number => {socket, name}
my %connections;    # file number => {socket, in, out, ...}
my %ports;
my @timers;         # [time, code], soonest first

$SIG{PIPE} = 'IGNORE';
serve();
exit 0;

sub serve
{
	my $ends_at = time + $option{'max-seconds'};

	open_listeners();
	while (time < $ends_at && parent_lives())
	{
		my @all = values %connections;
		my ($readable, $writable) = IO::Select->select(
			IO::Select->new(
				(map { $_->{socket} } values %listeners), map { $_->{socket} } grep { reads($_) } @all),
			IO::Select->new(map { $_->{socket} } grep { writes($_) } @all),
			undef, seconds_to_next_timer());

		foreach my $socket (@{ $writable || [] })
		{
			my $connection = connection($socket) or next;
			greet($connection) and write_some($connection);
		}
		foreach my $socket (@{ $readable || [] })
		{
			my $number = fileno $socket;
			next if !defined $number;
			if (my $listener = $listeners{$number}) { accept_one($listener); next }
			my $connection = $connections{$number} or next;
			greet($connection) and read_some($connection);
		}
		run_due_timers();
	}
}

sub parent_lives
{
	return 1 if !defined $option{parent};
	return kill(0, $option{parent}) || $!{EPERM};
}

# ------------------------------------------------------------------ listeners

# The ports go into a file that appears whole.
sub open_listeners
{
	my $file = $option{'port-file'};

	foreach my $name ('http', defined $option{certificates} ? qw(tls mtls expired othername) : ())
	{
		my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 256, Blocking => 0)
		  or die "cannot listen: $!\n";

		$listeners{ fileno $socket } = { socket => $socket, name => $name };
		$ports{$name} = $socket->sockport;
	}
	open(my $out, '>', "$file.new") or die "cannot write $file.new: $!\n";
	print $out encode_json(\%ports);
	close($out) or die "cannot write $file.new: $!\n";
	rename("$file.new", $file) or die "cannot rename $file.new: $!\n";
}

sub accept_one
{
	my ($listener) = @_;
	my $socket = $listener->{socket}->accept or return;

	$socket->blocking(0);
	$behaviour->count('connections');
	if ($listener->{name} ne 'http') { $socket = begin_tls($socket, $listener->{name}) or return }
	add($socket, greeted => $listener->{name} eq 'http');
}

sub add
{
	my ($socket, %more) = @_;
	my $connection = { socket => $socket, in => '', out => '', requests => 0, %more };

	$connections{ fileno $socket } = $connection;
	return $connection;
}

# ------------------------------------------------------------------------ TLS

sub begin_tls
{
	my ($socket, $name) = @_;
	my $dir  = $option{certificates};
	my $cert = $name =~ /^m?tls$/ ? 'server' : $name;

	require IO::Socket::SSL;
	return IO::Socket::SSL->start_SSL(
		$socket,
		SSL_server         => 1,
		SSL_startHandshake => 0,
		SSL_cert_file      => "$dir/$cert.pem",
		SSL_key_file       => "$dir/$cert.key",
		SSL_ca_file        => "$dir/ca.pem",
		SSL_verify_mode    => $name eq 'mtls' ? 3 : 0);    # 3: ask, and insist
}

# Goes on with a handshake; true when there is none or it is done.
sub greet
{
	my ($connection) = @_;

	return 1 if $connection->{greeted};
	if ($connection->{socket}->accept_SSL)
	{
		$connection->{greeted} = 1;
		$connection->{subject} = $connection->{socket}->peer_certificate('cn');
		return 1;
	}
	drop($connection) if !wants_more();
	return 0;
}

sub wants_more
{
	return 1 if $!{EAGAIN} || $!{EINTR};
	return 0 if !$INC{'IO/Socket/SSL.pm'};
	no warnings 'once';
	return $IO::Socket::SSL::SSL_ERROR == IO::Socket::SSL::SSL_WANT_READ()
	  || $IO::Socket::SSL::SSL_ERROR == IO::Socket::SSL::SSL_WANT_WRITE();
}

# --------------------------------------------------------------------- timers

sub later
{
	my ($seconds, $code) = @_;

	@timers = sort { $a->[0] <=> $b->[0] } @timers, [ time + $seconds, $code ];
}

sub seconds_to_next_timer
{
	my $wait = @timers ? $timers[0][0] - time : 0.5;

	return $wait < 0 ? 0 : $wait > 0.5 ? 0.5 : $wait;
}

sub run_due_timers
{
	while (@timers && $timers[0][0] <= time) { (shift @timers)->[1]->() }
}

# ---------------------------------------------------------------- connections

sub connection
{
	my $number = fileno $_[0];
	return defined $number ? $connections{$number} : undef;
}

sub reads
{
	my ($connection) = @_;

	return 1 if !$connection->{greeted};
	return !$connection->{peer} || length $connection->{peer}{out} < FULL;
}

sub writes
{
	my ($connection) = @_;
	return length $connection->{out} || $connection->{more};
}

sub drop
{
	my ($connection, $how) = @_;
	my $socket = $connection->{socket};
	my $number = fileno $socket;
	my $peer   = delete $connection->{peer};

	return if !defined $number;
	delete $connections{$number};
	$connection->{gone} = 1;
	setsockopt($socket, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0)) if ($how || '') eq 'reset';
	if   ($socket->isa('IO::Socket::SSL')) { $socket->close(SSL_no_shutdown => 1) }
	else                                   { close $socket }
	if ($peer)
	{
		delete $peer->{peer};
		if   (length $peer->{out}) { $peer->{close} = 1 }
		else                       { drop($peer, $how) }
	}
}

sub read_some
{
	my ($connection) = @_;

	for (;;)
	{
		my $count = sysread($connection->{socket}, $connection->{in}, 65536, length $connection->{in});

		last if !defined $count && wants_more();
		return drop($connection, $!{ECONNRESET} ? 'reset' : '') if !$count;
		last if length $connection->{in} > MAX_REQUEST;
		last if !$connection->{socket}->isa('IO::Socket::SSL');
	}
	if (my $peer = $connection->{peer})
	{
		$peer->{out} .= $connection->{in};
		$connection->{in} = '';
		return write_some($peer);
	}
	next_request($connection);
}

sub write_some
{
	my ($connection) = @_;
	my $count;

	while ($connection->{more} && length $connection->{out} < FULL)
	{
		my $piece = $connection->{more}->();
		if (defined $piece) { $connection->{out} .= $piece }
		else                { delete $connection->{more} }
	}
	$count = length $connection->{out} ? syswrite($connection->{socket}, $connection->{out}) : 0;
	return if !defined $count && wants_more();
	return drop($connection) if !defined $count;
	substr($connection->{out}, 0, $count, '');
	return if writes($connection);
	return drop($connection, $connection->{close}) if $connection->{close};
	next_request($connection) if !$connection->{busy} && length $connection->{in};
}

# ------------------------------------------------------------------- requests

# Takes a whole request out of what was read and sees what is to be done.
sub next_request
{
	my ($connection) = @_;
	my ($request, $rest);

	return if $connection->{busy};
	return drop($connection) if length $connection->{in} > MAX_REQUEST;
	return if $connection->{in} !~ /^(.*?)\r\n\r\n/s;
	$request = parse($1) or return drop($connection);
	$rest    = substr($connection->{in}, $+[0]);
	return if length $rest < ($request->{header}{'content-length'} || 0);

	$request->{body} = substr($rest, 0, $request->{header}{'content-length'} || 0, '');
	$connection->{in} = $rest;
	$request->{subject} = $connection->{subject};
	$request->{reused}  = $connection->{requests}++ ? 1 : 0;
	return tunnel($connection, $request) if $request->{method} eq 'CONNECT';
	$connection->{busy} = 1;
	$behaviour->obey($request, answerer($connection));
}

sub parse
{
	my ($first, @lines) = split /\r\n/, $_[0];
	my %request = (lines => [ $first, @lines ]);

	return if $first !~ m{^([A-Z]+) (\S+) HTTP/1\.[01]$};
	@request{qw(method path)} = ($1, $2);
	$request{proxied} = 1 if $request{path} =~ s{^https?://[^/]+}{};
	foreach (@lines)
	{
		return if !/^([^:\s]+):\s*(.*?)\s*$/;
		$request{header}{ lc $1 } = $2;
	}
	return \%request;
}

# What a behaviour may do with the connection: write, go on writing, end.
sub answerer
{
	my ($connection) = @_;

	return {
		write => sub {
			return if $connection->{gone};
			$connection->{out} .= $_[0];
			write_some($connection);
			return 1;
		},
		more => sub { $connection->{more} = $_[0]; write_some($connection) },
		done => sub {
			$connection->{busy} = 0;
			next_request($connection) if !$connection->{gone} && length $connection->{in};
		},
		end => sub {
			$connection->{close} = $_[0];
			drop($connection, $_[0]) if !$connection->{gone} && !writes($connection);
		},
	};
}

# A proxy's tunnel leads to this server only.
sub tunnel
{
	my ($connection, $request) = @_;
	my ($port) = $request->{path} =~ /:(\d+)$/;
	my $socket;

	$behaviour->see($request);
	if (grep { $_ == $port } values %ports)
	{
		$socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port);
	}
	if (!$socket)
	{
		$connection->{close} = 'close';
		$connection->{out} .= "HTTP/1.1 403 Not There\r\nContent-Length: 0\r\n\r\n";
		return write_some($connection);
	}
	$socket->blocking(0);
	$connection->{peer} = add($socket, greeted => 1, peer => $connection);
	$connection->{out} .= "HTTP/1.1 200 Connected\r\n\r\n";
	write_some($connection);
}
