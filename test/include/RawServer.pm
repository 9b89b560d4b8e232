# A server on 127.0.0.1 that answers with given bytes, right or wrong, and
# counts what it was asked.  It ends with the test.
#
#   my $server = RawServer->new(
#       '/path' => sub { my ($times, $request) = @_; return "HTTP/1.1 ..." });
#   $server->port; $server->count('/path'); $server->stop;
#
# undef as an answer: hang up; '': never answer; a reference to bytes: send them
# and hang up.

package RawServer;

use strict;
use warnings FATAL => 'all';
use IO::Select;
use IO::Socket::INET;

# Returns a whole answer with a body and extra header lines.
sub answer
{
	my ($status, $body, @headers) = @_;
	return join("\r\n", "HTTP/1.1 $status X", 'Content-Length: ' . length $body, @headers)
	  . "\r\n\r\n$body";
}

sub new
{
	my ($class, %answers) = @_;
	my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 64)
	  or die "cannot listen: $!";
	my $self = bless { port => $listener->sockport }, $class;

	my $parent = $$;

	$self->{pid} = fork // die "cannot fork: $!";
	return $self if $self->{pid};
	$SIG{PIPE} = 'IGNORE';
	$SIG{TERM} = 'DEFAULT';    # the parent's handler would end its servers
	close STDOUT;    # who runs the tests waits for its end
	close STDERR;
	serve($listener, \%answers, $parent);
}

sub port { return $_[0]{port} }

sub serve
{
	my ($listener, $answers, $parent) = @_;
	my $select = IO::Select->new($listener);
	my %times;

	while (getppid == $parent)
	{
		foreach my $socket ($select->can_read(1))
		{
			if ($socket == $listener) { $select->add($listener->accept); next }
			my $request = read_request($socket);
			my $answer  = defined $request ? reply($answers, \%times, $request) : undef;

			my $hangs_up = !defined $answer || ref $answer;

			$answer = $$answer if ref $answer;
			syswrite $socket, $answer if length($answer // '');
			if ($hangs_up) { $select->remove($socket); close $socket }
		}
	}
	require POSIX;
	POSIX::_exit(0);    # nothing of the parent's is ours to end
}

sub reply
{
	my ($answers, $times, $request) = @_;
	my ($path) = $request =~ m{^\S+ (\S+)};

	return answer(200, $times->{$1} // 0) if $path =~ m{^/count(/.*)};
	$times->{$path}++;
	return answer(404, '') if !$answers->{$path};
	return $answers->{$path}->($times->{$path}, $request);
}

sub read_request
{
	my ($socket) = @_;
	my $request = '';

	while (sysread $socket, $request, 65536, length $request)
	{
		next if $request !~ /^(.*?\r\n\r\n)(.*)$/s;
		my ($head, $body) = ($1, $2);
		my $length = $head =~ /^content-length: *(\d+)/im ? $1 : 0;
		return $request if length $body >= $length;
	}
	return undef;
}

sub count
{
	my ($self, $path) = @_;
	my $socket =
	  IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{port})
	  or die "cannot connect: $!";

	print $socket "GET /count$path HTTP/1.1\r\n\r\n";
	sysread $socket, my $answer, 65536;
	return $answer =~ /\r\n\r\n(\d+)/ ? $1 : undef;
}

sub stop
{
	my ($self) = @_;

	kill 'TERM', $self->{pid};
	waitpid $self->{pid}, 0;
	return;
}

1;
