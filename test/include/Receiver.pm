# A receiver that does what it is asked, at once, and counts how often it did.
# It ends with the test.
#
#   my $receiver = Receiver->new;
#   $receiver->url; $receiver->executions('r12-'); $receiver->stop;
#   $receiver->hold; $receiver->release;    does what it is asked, and is silent
#
#   PUT, POST /do/NAME   does NAME; with a key that it knows, it answers again
#   GET /find/NAME       200 when NAME was done, else 404
#
# It does what it can read before it looks anything up: what it has not found,
# was not on its way.

package Receiver;

use strict;
use warnings FATAL => 'all';
use IO::Select;
use IO::Socket::INET;
use JSON::PP;

my $json = JSON::PP->new->canonical;

sub new
{
	my ($class) = @_;
	my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 512, Blocking => 0)
	  or die "cannot listen: $!";
	my $self = bless { port => $listener->sockport }, $class;
	my $parent = $$;

	$self->{pid} = fork // die "cannot fork: $!";
	return $self if $self->{pid};
	$SIG{PIPE} = 'IGNORE';
	$SIG{TERM} = 'DEFAULT';    # the parent's handler would end its servers
	close STDOUT;    # who runs the tests waits for its end
	close STDERR;
	serve($listener, $parent);
	require POSIX;
	POSIX::_exit(0);    # nothing of the parent's is ours to end
}

sub url { return "http://127.0.0.1:$_[0]{port}" }

sub serve
{
	my ($listener, $parent) = @_;
	my $select = IO::Select->new($listener);
	my %done = (executions => {}, answers => {});
	my (%in, @held);

	while (getppid == $parent)
	{
		my @requests;

		foreach my $socket ($select->can_read(1))
		{
			if ($socket == $listener)
			{
				while (my $new = $listener->accept) { $new->blocking(1); $select->add($new) }
				next;
			}
			my $request = \$in{$socket};
			$$request //= '';
			my $n = sysread $socket, $$request, 65536, length $$request;
			next if !defined $n && $!{EINTR};
			if (!$n)
			{
				$select->remove($socket);
				delete $in{$socket};
				close $socket;
			}
			elsif (is_whole($$request))
			{
				push @requests, [ $socket, $$request ];
				$$request = '';
			}
		}
		foreach (sort { ($a->[1] =~ /^GET/ ? 1 : 0) <=> ($b->[1] =~ /^GET/ ? 1 : 0) } @requests)
		{
			my ($socket, $request) = @$_;
			my $answer = reply(\%done, $request);

			if ($done{silent} && $request !~ /^GET/) { push @held, [ $socket, $answer ] }
			else                                    { syswrite $socket, $answer }
			next if $done{silent};
			foreach (splice @held) { syswrite $_->[0], $_->[1] if defined fileno $_->[0] }
		}
	}
	return;
}

sub is_whole
{
	return 0 if $_[0] !~ /^(.*?\r\n\r\n)(.*)$/s;
	my ($head, $body) = ($1, $2);
	return length $body >= ($head =~ /^content-length: *(\d+)/im ? $1 : 0);
}

sub reply
{
	my ($done, $request) = @_;
	my ($what, $name) = $request =~ m{^\S+ /(\w+)/?(\S*) HTTP};
	my $executions = $done->{executions};
	my $key = $request =~ /^idempotency-key: *(\S+)/im ? $1 : undef;

	if ($what eq 'silent') { $done->{silent} = $name; return answer(200, {}) }
	if ($what eq 'executions')
	{
		return answer(200, { map { $_ => $executions->{$_} } grep { index($_, $name) == 0 } keys %$executions });
	}
	return answer($executions->{$name} ? 200 : 404, { executions => $executions->{$name} }) if $what eq 'find';
	return answer(404, {}) if $what ne 'do';
	return $done->{answers}{$key} if defined $key && defined $done->{answers}{$key};
	my $answer = answer(200, { execution => ++$executions->{$name} });
	$done->{answers}{$key} = $answer if defined $key;
	return $answer;
}

sub answer
{
	my ($status, $content) = @_;
	my $body = $json->encode($content);
	return "HTTP/1.1 $status X\r\nContent-Type: application/json\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
}

# How often each name was done that begins like this.
sub executions { return $_[0]->ask("executions/$_[1]") }

sub hold { $_[0]->ask('silent/1'); return }
sub release { $_[0]->ask('silent/0'); return }

sub ask
{
	my ($self, $path) = @_;
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{port})
	  or die "cannot connect: $!";
	my $answer = '';

	print $socket "GET /$path HTTP/1.1\r\n\r\n";
	while (!is_whole($answer))
	{
		my $n = sysread $socket, $answer, 65536, length $answer;

		next if !defined $n && $!{EINTR};    # a session's end
		die 'the receiver does not answer: ' . ($n // $!) if !$n;
	}
	return $json->decode($answer =~ s/^.*?\r\n\r\n//sr);
}

sub stop
{
	my ($self) = @_;
	kill 'TERM', $self->{pid};
	waitpid $self->{pid}, 0;
	return;
}

1;
