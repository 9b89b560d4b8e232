# Starts the fault server, test/server/faults.pl, and asks it what it saw.
#
#   my $faults = FaultServer->new(certificates => 1);
#   $faults->url; $faults->url('tls'); $faults->requests('/reset/a');
#   $faults->executions('key'); $faults->last('/ok/a')->{header}; $faults->stop;

package FaultServer;

use strict;
use warnings FATAL => 'all';
use Cwd qw(abs_path);
use File::Basename;
use HTTP::Tiny;
use JSON::PP;
use MIME::Base64;
use PostgreSQL::Test::Utils;

my $root = abs_path(dirname(__FILE__) . '/../..');

sub new
{
	my ($class, %given) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my $parent = $$;
	my @options = ('--port-file', "$dir/ports", '--parent', $parent);

	if ($given{certificates})
	{
		make_certificates($dir);
		push @options, '--certificates', $dir;
	}
	my $pid = fork // die "cannot fork: $!";
	if (!$pid) { exec 'perl', "$root/test/server/faults.pl", @options }
	foreach (1 .. 200)
	{
		last if -s "$dir/ports";
		select undef, undef, undef, 0.05;
	}
	return bless { pid => $pid, dir => $dir, ports => decode_json(slurp_file("$dir/ports")) }, $class;
}

# ca.pem and other.pem are authorities; of the rest there is NAME.pem and NAME.key.
sub make_certificates
{
	my ($dir) = @_;
	require IO::Socket::SSL::Utils;
	my $utils = 'IO::Socket::SSL::Utils';
	my $write = sub {
		my ($name, $cert, $key) = @_;
		$utils->can('PEM_cert2file')->($cert, "$dir/$name.pem");
		$utils->can('PEM_key2file')->($key, "$dir/$name.key");
	};
	my $create = $utils->can('CERT_create');
	my @ca = $create->(CA => 1, subject => { commonName => 'test authority' });
	my @other = $create->(CA => 1, subject => { commonName => 'another authority' });
	my $issue = sub {
		my ($name, $san, %more) = @_;
		$write->($name, $create->(issuer => \@ca, subject => { commonName => $name },
				subjectAltNames => $san, %more));
	};

	$write->('ca', @ca);
	$write->('other', @other);
	$issue->('server', [ [ IP => '127.0.0.1' ], [ DNS => 'localhost' ] ]);
	$issue->('othername', [ [ DNS => 'elsewhere.example.com' ] ]);
	$issue->('expired', [ [ IP => '127.0.0.1' ] ], not_before => time - 9e6, not_after => time - 8e6);
	$issue->('client', [ [ DNS => 'client' ] ], purpose => 'client');
	return;
}

sub dir { return $_[0]{dir} }
sub pid { return $_[0]{pid} }
sub port { return $_[0]{ports}{ $_[1] // 'http' } }

sub url
{
	my ($self, $name) = @_;
	my $scheme = ($name // 'http') eq 'http' ? 'http' : 'https';
	return "$scheme://127.0.0.1:" . $self->port($name);
}

sub control
{
	my ($self, $method, $path) = @_;
	my $answer = HTTP::Tiny->new(timeout => 20)->request($method, $self->url . "/_/$path");

	die "fault server: $answer->{status} $answer->{content}" if !$answer->{success};
	return decode_json($answer->{content});
}

sub seen { return $_[0]->control('GET', 'seen') }
sub requests { return $_[0]->seen->{requests}{ $_[1] } // 0 }
sub executions { return $_[0]->seen->{executions}{ $_[1] } // 0 }
sub asked { return $_[0]->seen->{asked}{ $_[1] } // 0 }
sub rule { my ($self, $path, $do) = @_; return $self->control('POST', "rule?path=$path&do=$do") }

# The last request to a path: method, lines, header, body, subject, reused, proxied.
sub last
{
	my ($self, $path) = @_;
	my $last = $self->seen->{last}{$path} or return undef;

	$last->{body} = decode_base64($last->{body});
	return $last;
}

sub stop
{
	my ($self) = @_;
	kill 'TERM', $self->{pid};
	waitpid $self->{pid}, 0;
	return;
}

1;
