# A receiver that costs little: nginx on the loopback, with a fixed answer.
#
#   my $nginx = Bench::Nginx->new($program, "$work/nginx");
#   $nginx->{url}
#
# It has a directory and a configuration of its own, never runs as root, and
# ends with its owner.

package Bench::Nginx;

use strict;
use warnings FATAL => 'all';
use Cwd        qw(abs_path);
use File::Path qw(make_path remove_tree);
use IO::Socket::INET;

# A port that was free a moment ago.
sub free_port
{
	my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1)
	  or die "no free port: $!\n";

	return $socket->sockport;
}

sub new
{
	my ($class, $program, $directory) = @_;
	my $port = free_port();
	my $self = bless { url => "http://127.0.0.1:$port", owner => $$ }, $class;

	remove_tree($directory);
	make_path($directory);
	$directory = abs_path($directory);
	open my $file, '>', "$directory/nginx.conf"
	  or die "$directory/nginx.conf: $!\n";
	print $file configuration($directory, $port);
	close $file;

	$self->{pid} = fork // die "cannot fork: $!\n";
	if ($self->{pid} == 0)
	{
		open STDERR, '>', "$directory/output.log";
		exec $program, '-p', $directory, '-c', "$directory/nginx.conf", '-e',
		  "$directory/error.log"
		  or die "$program: $!\n";
	}
	$self->wait_until_up($directory, $port);
	return $self;
}

sub configuration
{
	my ($directory, $port) = @_;

	return <<"END";
daemon off;
worker_processes 1;
pid $directory/nginx.pid;
error_log $directory/error.log;
events { worker_connections 4096; }
http {
  access_log off;
  client_body_temp_path $directory/body;
  proxy_temp_path $directory/proxy;
  fastcgi_temp_path $directory/fastcgi;
  uwsgi_temp_path $directory/uwsgi;
  scgi_temp_path $directory/scgi;
  keepalive_requests 100000000;
  keepalive_timeout 600;
  server {
    listen 127.0.0.1:$port backlog=4096;
    default_type application/json;
    location / { return 200 '{"ok": true, "id": "c0ffee-decade-42"}'; }
  }
}
END
}

sub wait_until_up
{
	my ($self, $directory, $port) = @_;

	foreach (1 .. 200)
	{
		return
		  if IO::Socket::INET->new(PeerAddr => '127.0.0.1',
			PeerPort => $port);
		select undef, undef, undef, 0.02;
	}
	die "nginx does not answer; see $directory\n";
}

sub stop
{
	my ($self) = @_;

	return if !$self->{pid};
	kill 'TERM', $self->{pid};
	waitpid $self->{pid}, 0;
	$self->{pid} = 0;
	return;
}

sub DESTROY
{
	my ($self) = @_;

	local $? = 0;
	$self->stop if $self->{owner} == $$;
	return;
}

1;
