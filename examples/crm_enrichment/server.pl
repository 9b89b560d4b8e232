#!/usr/bin/perl
#
# A stand-in for the model and the CRM of the enrichment example: a small real
# HTTP server on 127.0.0.1 that can be told to misbehave.
#
#   POST  /v1/messages    the model: extracts facts from a text (lib/Extractor.pm)
#   GET   /accounts/{id}  the CRM: the account as it is (lib/Crm.pm)
#   PATCH /accounts/{id}  sets fields; honours Idempotency-Key
#                         (an id may have slashes: /accounts/payments/7)
#   GET   /counts         what was asked and what was done
#   POST  /faults         adds a rule (lib/Faults.pm); DELETE /faults forgets all
#
# One process and one loop over many kept-alive connections.  What is done is
# done in memory.  It ends by itself when its parent is gone or its time is up.
#
#   server.pl --port 0 --port-file FILE [--parent PID] [--max-seconds N]
#             [--accounts FILE.csv] [--log FILE]

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Crm;
use Extractor;
use Faults;
use Getopt::Long;
use IO::Handle;
use IO::Select;
use IO::Socket::INET;
use JSON::PP;
use Time::HiRes qw(time);

my %option = (port => 0, 'max-seconds' => 3600);
GetOptions(\%option, 'port=i', 'port-file=s', 'parent=i', 'max-seconds=i',
	'accounts=s', 'log=s')
  or die "usage: server.pl --port 0 --port-file FILE [--parent PID]\n";

use constant MAX_REQUEST => 8 * 1024 * 1024;

my %REASON = (
	100 => 'Continue', 200 => 'OK', 201 => 'Created',
	400 => 'Bad Request', 401 => 'Unauthorized', 403 => 'Forbidden',
	404 => 'Not Found', 405 => 'Method Not Allowed', 409 => 'Conflict',
	412 => 'Precondition Failed', 413 => 'Content Too Large', 422 => 'Unprocessable Content',
	429 => 'Too Many Requests', 500 => 'Internal Server Error',
	502 => 'Bad Gateway', 503 => 'Service Unavailable', 504 => 'Gateway Timeout');

my $json   = JSON::PP->new->utf8->canonical;
my $crm    = Crm->new($option{accounts});
my $model  = Extractor->new;
my $faults = Faults->new;
my %connections;    # file number => {socket, in, out, busy, close, request}
my @timers;         # [when, code], in order of time
my $log;

$SIG{PIPE} = 'IGNORE';
$SIG{TERM} = $SIG{INT} = sub { exit 0 };
serve();
exit 0;

# Listens, says where, and moves every connection on until it is time to end.
sub serve
{
	my $listener = IO::Socket::INET->new(
		LocalAddr => '127.0.0.1', LocalPort => $option{port},
		Listen => 512, ReuseAddr => 1, Blocking => 0)
	  or die "cannot listen on 127.0.0.1:$option{port}: $!\n";
	my $ends_at = time + $option{'max-seconds'};

	announce($listener->sockport);
	while (time < $ends_at && parent_lives())
	{
		my $readers = IO::Select->new($listener,
			map { $_->{socket} } grep { !$_->{busy} } values %connections);
		my $writers = IO::Select->new(
			map { $_->{socket} } grep { length $_->{out} } values %connections);
		my ($readable, $writable) =
		  IO::Select->select($readers, $writers, undef, seconds_to_next_timer());

		foreach my $socket (@{ $writable || [] }) { write_some(connection($socket)) }
		foreach my $socket (@{ $readable || [] })
		{
			if    ($socket == $listener)   { accept_all($listener) }
			elsif (defined fileno $socket) { read_some(connection($socket)) }
		}
		run_due_timers();
	}
}

# The port goes into a file that appears whole, so that whoever waits for it
# never reads half a number.
sub announce
{
	my ($port) = @_;

	if (defined $option{log})
	{
		open($log, '>>', $option{log}) or die "cannot write $option{log}: $!\n";
		$log->autoflush(1);
	}
	if (defined $option{'port-file'})
	{
		my $file = $option{'port-file'};

		open(my $out, '>', "$file.new") or die "cannot write $file.new: $!\n";
		print $out "$port\n";
		close($out) or die "cannot write $file.new: $!\n";
		rename("$file.new", $file) or die "cannot rename $file.new: $!\n";
	}
	STDOUT->autoflush(1);
	print "listening on http://127.0.0.1:$port\n";
}

sub parent_lives
{
	return 1 if !defined $option{parent};
	return kill(0, $option{parent}) || $!{EPERM};
}

# ---------------------------------------------------------------- timers

sub later
{
	my ($milliseconds, $code) = @_;

	@timers = sort { $a->[0] <=> $b->[0] } @timers, [ time + $milliseconds / 1000, $code ];
}

sub seconds_to_next_timer
{
	my $wait = @timers ? $timers[0][0] - time : 1;

	return $wait < 0 ? 0 : $wait > 1 ? 1 : $wait;
}

sub run_due_timers
{
	while (@timers && $timers[0][0] <= time)
	{
		(shift @timers)->[1]->();
	}
}

# ----------------------------------------------------------- connections

sub connection { return $connections{ fileno $_[0] } }

sub accept_all
{
	my ($listener) = @_;

	while (my $socket = $listener->accept)
	{
		$socket->blocking(0);
		$connections{ fileno $socket } =
		  { socket => $socket, in => '', out => '', busy => 0, close => 0 };
	}
}

sub drop
{
	my ($connection) = @_;
	my $number = fileno $connection->{socket};

	delete $connections{$number} if defined $number;
	close $connection->{socket};
}

sub read_some
{
	my ($connection) = @_;
	my $count = sysread($connection->{socket}, $connection->{in}, 65536, length $connection->{in});

	return if !defined $count && ($!{EAGAIN} || $!{EINTR});
	return drop($connection) if !$count;
	next_request($connection);
}

sub write_some
{
	my ($connection) = @_;
	my $count = syswrite($connection->{socket}, $connection->{out});

	return if !defined $count && ($!{EAGAIN} || $!{EINTR});
	return drop($connection) if !defined $count;
	substr($connection->{out}, 0, $count, '');
	return if length $connection->{out};
	return drop($connection) if $connection->{close};
	next_request($connection) if !$connection->{busy};
}

# Takes a whole request out of what was read and sets it going.
sub next_request
{
	my ($connection) = @_;
	my $end = index($connection->{in}, "\r\n\r\n");
	my ($request, $length);

	return answer($connection, 413, { error => 'request too large' })
	  if length $connection->{in} > MAX_REQUEST;
	return if $end < 0;
	$request = parse_head(substr($connection->{in}, 0, $end));
	return answer($connection, 400, { error => 'not an HTTP request' }) if !$request;

	$length = $request->{header}{'content-length'} || 0;
	if (length($connection->{in}) < $end + 4 + $length)
	{
		$connection->{out} .= "HTTP/1.1 100 Continue\r\n\r\n"
		  if ($request->{header}{expect} || '') eq '100-continue' && !$connection->{told}++;
		return;
	}
	$request->{body} = substr($connection->{in}, $end + 4, $length);
	substr($connection->{in}, 0, $end + 4 + $length, '');
	$connection->{told}    = 0;
	$connection->{busy}    = 1;
	$connection->{request} = $request;
	$connection->{close}   = ($request->{header}{connection} || '') eq 'close';
	obey($connection, $request);
}

sub parse_head
{
	my ($first, @lines) = split /\r\n/, $_[0];
	my %request;

	return if $first !~ m{^([A-Z]+) (/[^ ]*) HTTP/1\.[01]$};
	@request{qw(method path)} = ($1, $2);
	foreach (@lines)
	{
		return if !/^([^:\s]+):\s*(.*?)\s*$/;
		$request{header}{ lc $1 } = $2;
	}
	return \%request;
}

# ------------------------------------------------------ work, and faults

# Does what was asked, disturbed by the fault that applies, if any.
sub obey
{
	my ($connection, $request) = @_;
	my $fault = $request->{path} =~ m{^/(?:faults|counts)} ? {} : $faults->find($request);
	my $wait  = $fault->{stall_before_ms} || 0;

	$crm->begin($request);
	return later($wait, sub { work($connection, $request, $fault) }) if $wait;
	work($connection, $request, $fault);
}

sub work
{
	my ($connection, $request, $fault) = @_;
	my $close = $fault->{close} || '';
	my $wait  = $fault->{stall_after_ms} || 0;
	my ($status, $answer, %header);

	if ($close eq 'before' || $fault->{status})
	{
		$crm->give_up($request);
		$status = $fault->{status} || 0;
		$answer = $fault->{body} || { error => "fault: answer with status $status" };
		$header{'Retry-After'} = $fault->{retry_after} if defined $fault->{retry_after};
	}
	else
	{
		($status, $answer, %header) = route($request);
	}
	note($request, $status, $close, \%header);
	return drop($connection) if $close eq 'before' || $close eq 'after';
	return later($wait, sub { answer($connection, $status, $answer, %header) }) if $wait;
	answer($connection, $status, $answer, %header);
}

# Returns status, answer and extra headers.
sub route
{
	my ($request) = @_;
	my $what = "$request->{method} $request->{path}";
	my $body;

	if (length $request->{body})
	{
		$body = eval { $json->decode($request->{body}) };
		return (400, { error => 'the body is not JSON' }) if !defined $body;
	}
	return $model->answer($body)             if $what eq 'POST /v1/messages';
	return (200, { %{ $crm->counts }, model_requests => $model->requests })
	  if $what eq 'GET /counts';
	return (201, $faults->add($body))        if $what eq 'POST /faults';
	return (200, $faults->clear)             if $what eq 'DELETE /faults';
	return $crm->answer($request, $1, $body) if $request->{path} =~ m{^/accounts/([^?]+)$};
	return (404, { error => "there is nothing at $request->{path}" });
}

sub answer
{
	my ($connection, $status, $answer, %header) = @_;
	my $body = $json->encode($answer);

	return if !defined fileno $connection->{socket};    # gone meanwhile
	$connection->{close} = 1 if $status == 413 || !$connection->{request};
	$header{'Content-Type'}   = 'application/json';
	$header{'Content-Length'} = length $body;
	$header{'Connection'}     = $connection->{close} ? 'close' : 'keep-alive';
	$connection->{out} .= join("\r\n",
		"HTTP/1.1 $status " . ($REASON{$status} || 'Status'),
		(map { "$_: $header{$_}" } sort keys %header), '', $body);
	$connection->{busy} = 0;
	write_some($connection);
}

sub note
{
	my ($request, $status, $close, $header) = @_;

	return if !$log;
	printf $log "%.3f %s %s %s%s%s key=%s\n", time, @$request{qw(method path)}, $status,
	  $close ? " closed-$close-work" : '',
	  $header->{'Idempotent-Replayed'} ? ' replayed' : '',
	  $request->{header}{'idempotency-key'} || '-';
}
