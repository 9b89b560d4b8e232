# A throw-away server that keeps its promises (fsync is on), and what it spends.
#
#   my $cluster = Bench::Cluster->new("$work/server", 'pg_workflow');
#   my $session = $cluster->session;
#   my $before = $cluster->usage($session);
#   ...
#   my $spent = $cluster->spent($session, $before);   # {wal, commits, cpu, seconds}

package Bench::Cluster;

use strict;
use warnings FATAL => 'all';
use Bench::Session;
use Cwd         qw(abs_path);
use File::Path  qw(make_path remove_tree);
use File::Temp  qw(tempdir);
use POSIX       qw(sysconf _SC_CLK_TCK);
use Time::HiRes qw(time);

my $ticks    = sysconf(_SC_CLK_TCK);
my $segments = 64;                     # of 16 MB

# Makes and starts it; the binaries are in PATH.  Preloads the libraries named.
sub new
{
	my ($class, $directory, @libraries) = @_;
	my $self = bless {
		sockets => tempdir('/tmp/wf.XXXXXX', CLEANUP => 1),
		owner   => $$ }, $class;

	remove_tree($directory);
	make_path($directory);
	$self->{directory} = abs_path($directory);
	@ENV{qw(PGHOST PGPORT PGUSER PGDATABASE)} =
	  ($self->{sockets}, 5432, 'postgres', 'postgres');
	delete @ENV{qw(PGDATA PGOPTIONS PGSERVICE)};
	$self->run(
		"initdb -D $self->{directory}/data -U postgres -A trust -E UTF8 --no-locale"
	);
	$self->configure(@libraries);
	$self->run(
		"pg_ctl -D $self->{directory}/data -l $self->{directory}/server.log -w start"
	);
	my ($pid) = split /\n/, slurp("$self->{directory}/data/postmaster.pid");
	$self->{pid} = $pid;
	$self->write_segments;

	return $self;
}

# Files of the log that are used again, as on a server that has run for a while:
# making new ones, which is to fill them with zeros, is not what is measured.
sub write_segments
{
	my ($self) = @_;
	my $session = Bench::Session->new('postgres');

	$session->rows(q{SELECT pg_switch_wal() FROM (SELECT pg_logical_emit_message(false, 'bench', 'x')) AS m})
	  foreach 1 .. $segments;
	$session->rows('CHECKPOINT');
	$session->close;
	return;
}

# Its commits reach the disk; everything else is large enough not to matter.
sub configure
{
	my ($self, @libraries) = @_;
	my $preloaded = join ',', @libraries;

	open my $file, '>>', "$self->{directory}/data/postgresql.conf"
	  or die "postgresql.conf: $!\n";
	print $file <<"END";
shared_preload_libraries = '$preloaded'
listen_addresses = ''
unix_socket_directories = '$self->{sockets}'
port = 5432
fsync = on
synchronous_commit = on
full_page_writes = on
shared_buffers = 512MB
max_wal_size = 8GB
min_wal_size = 1GB
checkpoint_timeout = 15min
max_worker_processes = 32
timezone = 'UTC'
END
	close $file;
	return;
}

# Restarts it with other settings; those given before are forgotten.
sub restart_with
{
	my ($self, %settings) = @_;

	open my $file, '>', "$self->{directory}/data/postgresql.auto.conf"
	  or die "postgresql.auto.conf: $!\n";
	print $file map { "$_ = '$settings{$_}'\n" } sort keys %settings;
	close $file;
	$self->run(
		"pg_ctl -D $self->{directory}/data -l $self->{directory}/server.log -m fast -w restart"
	);
	my ($pid) = split /\n/, slurp("$self->{directory}/data/postmaster.pid");
	$self->{pid} = $pid;
	return;
}

sub run
{
	my ($self, $command) = @_;

	system("$command >>$self->{directory}/commands.log 2>&1 </dev/null") == 0
	  or die "failed: $command\n" . slurp("$self->{directory}/commands.log");
	return;
}

sub slurp
{
	my ($name) = @_;

	open my $file, '<', $name or return '';
	local $/ = undef;
	return scalar readline $file;
}

# A new database with the extensions named, and a session in it.
sub database
{
	my ($self, $name, @extensions) = @_;

	$self->run("createdb $name");
	my $session = Bench::Session->new($name);
	$session->rows("CREATE EXTENSION $_") foreach @extensions;

	return $session;
}

# A database with nothing in it, or as its template; one of that name goes.
sub replace_database
{
	my ($self, $name, $template) = @_;
	my $from = defined $template ? "-T $template" : '';

	$self->run("dropdb --if-exists --force $name");
	$self->run("createdb $from $name");
	return;
}

# Runs a script of SQL, as it would be by psql -f.
sub script
{
	my ($self, $database, $text) = @_;
	my $name = "$self->{directory}/script.sql";

	open my $file, '>', $name or die "$name: $!\n";
	print $file $text;
	close $file;
	$self->run("psql -X -q -v ON_ERROR_STOP=1 -d $database -f $name");
	return;
}

# Waits until what ended has ended, so that the counters know of it.
sub settle
{
	my ($self, $session) = @_;

	$session->wait_until(
		'all clients are gone',
		q{SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'pgbench'}
	);
	return;
}

# Seconds of CPU that a process has used; with its dead children, if asked.
sub process_cpu
{
	my ($pid, $with_children) = @_;
	my $stat = slurp("/proc/$pid/stat") // '';    # it may have ended
	my @fields;

	$stat =~ s/^.*\) //s;    # the name may contain anything
	@fields = split ' ', $stat;
	return 0 if @fields < 15;
	my $used = $fields[11] + $fields[12];
	$used += $fields[13] + $fields[14] if $with_children;

	return $used / $ticks;
}

# The same of the whole server: the postmaster, its dead and its live children.
sub cpu
{
	my ($self) = @_;
	my $used = process_cpu($self->{pid}, 1);

	foreach my $child (split ' ',
		slurp("/proc/$self->{pid}/task/$self->{pid}/children"))
	{
		$used += process_cpu($child);
	}
	return $used;
}

# Where the counters stand.
sub usage
{
	my ($self, $session) = @_;
	my ($wal,  $commits) = $session->row(
		q{SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0'), sum(xact_commit) FROM pg_stat_database}
	);

	return {
		wal     => $wal,
		commits => $commits,
		cpu     => $self->cpu,
		time    => time };
}

# What was spent since.
sub spent
{
	my ($self, $session, $before) = @_;
	my $after = $self->usage($session);
	my %spent =
	  map { $_ => $after->{$_} - $before->{$_} } qw(wal commits cpu);

	$spent{seconds} = $after->{time} - $before->{time};
	return \%spent;
}

sub stop
{
	my ($self) = @_;

	system(
		"pg_ctl -D $self->{directory}/data -m fast -w stop >/dev/null 2>&1")
	  if $self->{pid};
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
