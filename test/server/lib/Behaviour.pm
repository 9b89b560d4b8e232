# What the fault server does with a request, and what it remembers.
#
# A behaviour is a word, or word=argument; several with "+" between are for the
# first, second, ... request to that path, the last one for all that follow.
#
#   ok  NNN         does the work (a 2xx), or not; the status; a JSON body
#   cached500       does the work, answers 500, and again for the same key
#   ignored         does the work whatever the key, and says so
#   accepted        202, and where to ask
#   die             hangs up before the work      close, reset   after it
#   prestall=S      waits before the work         stall=S        after it
#   hang            does the work and never answers
#   cut=N           hangs up in mid-body, after N bytes
#   drip=S          a byte of the body every S seconds, for ever
#   endless         chunks, for ever              bomb=MB        gzip of zeros
#   heads=KB        so many headers               line=KB        one long header
#   statuses        a second status line within the headers
#   interim         1xx answers before            trailer        headers after
#   longlength      Content-Length too large      shortlength    too small
#   status=TEXT     that text for a status        zeronine       no HTTP at all
#   nul  latin1  deep  huge=KB                    bodies that are no plain JSON
#   moved=URL       308 to there                  retry=S        429, Retry-After
#   sse  ssecut     server-sent events            echo           what was sent
#   recorded=NAME   the answer in test/server/recorded/NAME.http
#   slowly=NAME     the same after a second       broken=NAME    more is promised, and it hangs up

package Behaviour;

use strict;
use warnings;

use Compress::Zlib ();
use Digest::SHA qw(sha256_hex);
use File::Basename qw(dirname);
use JSON::PP;
use MIME::Base64;

my $json = JSON::PP->new->utf8->canonical;

sub new
{
	my ($class, $later) = @_;
	return bless {
		later => $later,
		seen  => { requests => {}, asked => {}, executions => {}, bodies => {}, last => {}, connections => 0 },
		kept  => {},    # key => answer
		rules => {},    # path => behaviours
	}, $class;
}

sub count { $_[0]{seen}{ $_[1] }++ }

# Notes a request; returns how often that path was asked for.
sub see
{
	my ($self, $request) = @_;
	my $seen = $self->{seen};

	$seen->{bodies}{ sha256_hex($request->{body}) }++ if length($request->{body} // '');
	$seen->{last}{ $request->{path} } = {
		method => $request->{method}, lines => $request->{lines},
		header => $request->{header}, body => encode_base64($request->{body} // '', ''),
		subject => $request->{subject}, reused => $request->{reused},
		proxied => $request->{proxied} || 0 };
	return ++$seen->{requests}{ $request->{path} };
}

# Does what the request asks for; $to is what may be done with the connection.
sub obey
{
	my ($self, $request, $to) = @_;
	my ($path, $query) = split /\?/, $request->{path}, 2;

	return $self->control($request, $path, $query // '', $to) if $path =~ m{^/_/};
	my $times = $self->see($request);
	my $words = $request->{header}{'x-fault'} // $self->{rules}{ $request->{path} }
	  // ($path =~ m{^/([^/]+)} ? $1 : 'ok');
	my @words = split /\+/, $words;
	my ($word, $argument) =
	  split /=/, $times > @words ? $words[-1] : $words[ $times - 1 ], 2;

	$argument =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ge if defined $argument;
	return $self->done($to, reply($word, '')) if $word =~ /^[3-5]\d\d$/;
	my $do = $self->can("do_$word") || \&do_ok;
	$do->($self, $request, $to, $argument);
}

sub control
{
	my ($self, $request, $path, $query, $to) = @_;
	my %given = map { split /=/, $_, 2 } split /&/, $query;

	$self->{rules} = {} if $request->{method} eq 'DELETE';
	$self->{rules}{ $given{path} } = $given{do} if $request->{method} eq 'POST';
	$self->done($to, reply(200, $json->encode($self->{seen})));
}

# ------------------------------------------------------------------- the work

sub reply
{
	my ($status, $body, @headers) = @_;

	unshift @headers, 'Content-Type: application/json'
	  if !grep { /^content-type:/i } @headers;
	return join("\r\n", "HTTP/1.1 $status Status", 'Content-Length: ' . length $body, @headers, '', $body);
}

sub done
{
	my ($self, $to, $answer) = @_;

	$to->{write}->($answer);
	$to->{done}->();
}

sub end
{
	my ($self, $to, $answer) = @_;

	$to->{write}->($answer);
	$to->{end}->('close');
}

# Does the work of a key once, however often it is asked for; returns the answer, which is kept for the key.
sub work
{
	my ($self, $request, $status, @headers) = @_;
	my $key = $request->{header}{'idempotency-key'};
	my $executions = $self->{seen}{executions};
	my $number;

	$self->{seen}{asked}{ $key // $request->{path} }++;
	return $self->{kept}{$key} if defined $key && $self->{kept}{$key};
	$number = ++$executions->{ $key // $request->{path} };
	my $answer = reply($status // 200, $json->encode({ ok => JSON::PP::true, execution => $number }), @headers);
	if (defined $key)
	{
		$self->{kept}{$key} = $answer;
		$self->{kept}{$key} =~ s/\r\n/\r\nIdempotent-Replayed: true\r\n/;
	}
	return $answer;
}

sub do_ok        { $_[0]->done($_[2], $_[0]->work($_[1])) }
sub do_cached500 { $_[0]->done($_[2], $_[0]->work($_[1], 500)) }
sub do_accepted  { $_[0]->done($_[2], $_[0]->work($_[1], 202, "Location: /ok/completion")) }

sub do_ignored
{
	my ($self, $request, $to) = @_;
	my $key = $request->{header}{'idempotency-key'} // $request->{path};

	$self->{seen}{executions}{$key}++;
	$self->done($to, reply(200, '{}', 'Idempotency-Status: ignored'));
}

# ------------------------------------------------------------ endings, delays

sub do_die { $_[2]{end}->('close') }

sub do_close { $_[0]->work($_[1]); $_[2]{end}->('close') }

sub do_reset { $_[0]->work($_[1]); $_[2]{end}->('reset') }

sub do_hang { $_[0]->work($_[1]) }

sub do_prestall
{
	my ($self, $request, $to, $seconds) = @_;
	$self->{later}->($seconds, sub { $self->do_ok($request, $to) });
}

sub do_stall
{
	my ($self, $request, $to, $seconds) = @_;
	my $answer = $self->work($request);
	$self->{later}->($seconds, sub { $self->done($to, $answer) });
}

# late=1.5,401: a refusal, after a while.
sub do_late
{
	my ($self, $request, $to, $argument) = @_;
	my ($seconds, $status) = split /,/, $argument;

	$self->{later}->($seconds, sub { $self->done($to, reply($status, '')) });
}

sub do_cut
{
	my ($self, $request, $to, $bytes) = @_;
	$self->work($request);
	$self->end($to, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" . 'x' x $bytes);
}

sub do_drip
{
	my ($self, $request, $to, $seconds) = @_;
	my $drop;

	$self->work($request);
	$drop = sub { $to->{write}->("1\r\nx\r\n") && $self->{later}->($seconds, $drop) };
	$to->{write}->("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
	$drop->();
}

sub do_endless
{
	my ($self, $request, $to) = @_;
	my $chunk = sprintf("%x\r\n", 65536) . 'x' x 65536 . "\r\n";

	$self->work($request);
	$to->{write}->("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
	$to->{more}->(sub { $chunk });
}

# ---------------------------------------------------------------- odd answers

sub do_bomb
{
	my ($self, $request, $to, $megabytes) = @_;
	my $bomb = $self->{bomb}{$megabytes} //= Compress::Zlib::memGzip("\0" x ($megabytes << 20));

	$self->work($request);
	$self->done($to, reply(200, $bomb, 'Content-Encoding: gzip'));
}

sub do_heads
{
	my ($self, $request, $to, $kilobytes) = @_;
	$self->work($request);
	$self->end($to, reply(200, '{}', map { "X-H$_: " . 'y' x 1014 } 1 .. $kilobytes));
}

sub do_line
{
	my ($self, $request, $to, $kilobytes) = @_;
	$self->work($request);
	$self->end($to, reply(200, '{}', 'X-Long: ' . 'y' x ($kilobytes << 10)));
}

sub do_statuses
{
	my ($self, $request, $to) = @_;
	$self->end($to, "HTTP/1.1 500 No\r\nX-A: b\r\nHTTP/1.1 200 OK: x\r\nContent-Length: 2\r\n\r\n{}");
}

sub do_interim
{
	my ($self, $request, $to) = @_;
	$self->done($to, "HTTP/1.1 103 Hints\r\nX-Early: yes\r\n\r\n" . $self->work($request, 201));
}

sub do_trailer
{
	my ($self, $request, $to) = @_;
	$self->done($to, "HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
		  . "HTTP/1.1 200 OK: x\r\nRetry-After: 86400\r\n\r\n");
}

sub do_longlength
{
	my ($self, $request, $to) = @_;
	$self->work($request);
	$self->end($to, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"ok\": 1}");
}

sub do_shortlength
{
	my ($self, $request, $to) = @_;
	$self->work($request);
	$self->done($to, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 500 Evil\r\n\r\n");
}

sub do_status
{
	my ($self, $request, $to, $text) = @_;
	$self->work($request);
	$self->end($to, "HTTP/1.1 $text\r\nContent-Length: 2\r\n\r\n{}");
}

sub do_zeronine { $_[0]->work($_[1]); $_[0]->end($_[2], "<html>\0\xff garbage" x 1000) }

sub do_nul    { $_[0]->work($_[1]); $_[0]->done($_[2], reply(200, "{\"a\": \"\0\"}")) }
sub do_latin1 { $_[0]->work($_[1]); $_[0]->done($_[2], reply(200, "{\"a\": \"\xe9\"}", "X-Odd: \xe9\x01\x7f")) }
sub do_deep   { $_[0]->work($_[1]); $_[0]->done($_[2], reply(200, '[' x 50_000 . ']' x 50_000)) }
sub do_huge   { $_[0]->work($_[1]); $_[0]->done($_[2], reply(200, 'x' x ($_[3] << 10))) }

sub do_moved { $_[0]->done($_[2], reply(308, '', "Location: $_[3]")) }
sub do_retry { $_[0]->done($_[2], reply(429, '', "Retry-After: $_[3]")) }

my $events =
    ": hello\n\nevent: start\nid: 7\ndata: {\"model\": \"m\"}\n\n"
  . "data: two\r\ndata: lines\r\n\r\nevent:delta\ndata:{\"text\":\"caf\xc3\xa9\"}\n\nretry: 10\n\ndata: [DONE]\n\n";

sub do_sse { $_[0]->end($_[2], reply(200, $events, 'Content-Type: text/event-stream; charset=utf-8')) }

sub do_ssecut
{
	my ($self, $request, $to) = @_;
	$self->end($to, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9999\r\n\r\n"
		  . "${events}data: {\"half\"");
}

# Of a file: the status, headers, an empty line, the body.
sub recorded
{
	my ($name) = @_;
	open(my $file, '<', dirname(__FILE__) . "/../recorded/$name.http") or die "no recording $name: $!\n";
	local $/ = undef;
	my ($status, $headers, $body) = <$file> =~ /^(\d+)\n(.*?)\n\n(.*)$/s;

	return reply($status, $body, split /\n/, $headers);
}

sub do_recorded { $_[0]->done($_[2], recorded($_[3])) }

sub do_broken
{
	my ($self, undef, $to, $name) = @_;
	my $answer = recorded($name);
	$answer =~ s/^Content-Length: (\d+)/'Content-Length: ' . ($1 + 1)/me;
	$self->end($to, $answer);
}

sub do_slowly
{
	my ($self, undef, $to, $name) = @_;
	$self->{later}->(1, sub { $self->done($to, recorded($name)) });
}

sub do_echo
{
	my ($self, $request, $to) = @_;
	my @lines = @{ $request->{lines} };
	$self->done($to, reply(200, join("\n", @lines), 'Content-Type: text/plain', 'X-Echo: ' . join(' ', @lines)));
}

1;
