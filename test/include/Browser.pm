# A headless browser that opens pages, for TAP tests.
#
#   my $browser = Browser->find or skip ...;
#   my $seen = $browser->open($file, dark => 1);
#   $seen->{dom}; $seen->{console}; $seen->{requests};
#   my $found = $browser->probe($file, width => 390);

package Browser;

use strict;
use warnings FATAL => 'all';
use Cwd qw(abs_path);
use JSON::PP;
use PostgreSQL::Test::Utils;

sub find
{
	my ($class) = @_;

	foreach my $program (qw(chromium-headless-shell chromium))
	{
		return bless { program => $program, work => PostgreSQL::Test::Utils::tempdir() }, $class
		  if system("command -v $program >/dev/null") == 0;
	}
	return;
}

# Runs the browser on a file.  Its messages are about the machine, too: what the
# page said on the console is taken from them.
sub run
{
	my ($self, $file, @options) = @_;
	my ($out, $err) = ('', '');
	my $log = "$self->{work}/net.json";

	local $ENV{HOME} = $self->{work};
	unlink $log;
	IPC::Run::run [
		$self->{program}, '--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-dev-shm-usage',
		"--user-data-dir=$self->{work}/profile", '--enable-logging=stderr', "--log-net-log=$log", @options, 'file://' . abs_path($file) ],
	  '>', \$out, '2>', \$err, IPC::Run::timeout(120)
	  or die "$self->{program} failed: $err";
	return {
		dom      => $out,
		console  => [ map { /CONSOLE[^\]]*\] (.*)/ ? $1 : () } split /\n/, $err ],
		requests => [ slurp_file($log) =~ /"url":"((?:https?|wss?|ftp):[^"]*)"/g ] };
}

sub scheme { my (%options) = @_; return $options{dark} ? '--blink-settings=preferredColorScheme=0' : () }

sub open
{
	my ($self, $file, %options) = @_;
	return $self->run($file, scheme(%options), '--dump-dom');
}

# The page in a frame of a width, as a script beside it finds it: the page
# itself lets none run.
sub probe
{
	my ($self, $file, %options) = @_;
	my $script = slurp_file('test/include/probe.js');
	my $frame = "$self->{work}/frame.html";

	append_to_new($frame, <<"END");
<!DOCTYPE html><html><head><meta charset="utf-8"></head><body style="margin:0">
<iframe id="page" style="width:$options{width}px;height:2000px;border:0" src="file://@{[ abs_path($file) ]}"></iframe><pre id="found"></pre>
<script>
$script
document.getElementById('page').onload = event => { document.getElementById('found').textContent = encodeURIComponent(JSON.stringify(probe(event.target))); };
</script></body></html>
END
	my $seen = $self->run($frame, scheme(%options), '--allow-file-access-from-files', '--window-size=1400,2200', '--dump-dom');
	my ($found) = $seen->{dom} =~ m{<pre id="found">([^<]+)</pre>} or die "nothing was found: @{ $seen->{console} } $seen->{dom}";
	$found =~ s/%([0-9A-F]{2})/chr hex $1/ge;
	return JSON::PP->new->utf8->decode($found);
}

sub append_to_new
{
	my ($file, $text) = @_;
	unlink $file;
	append_to_file($file, $text);
	return;
}

# To paper; returns the bytes.
sub print_page
{
	my ($self, $file) = @_;
	my $pdf = "$self->{work}/page.pdf";

	$self->run($file, "--print-to-pdf=$pdf");
	return slurp_file($pdf);
}

1;
