#
# The stand-in CRM: accounts in memory, changed by PATCH, each change executed
# once for each Idempotency-Key.
#
# A key that was seen with the same request gives the stored answer again, with
# Idempotent-Replayed: true; with another request it gives 422; one whose
# request is still being worked on gives 409.
#
# An account has an ETag that changes with it; a PATCH with If-Match of another
# one gives 412 and does nothing; its key gives 412 from then on.

package Crm;

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);

# With a file of accounts (CSV: id, name, then fields named in the first line)
# only those exist; without, every account exists and begins empty.
sub new
{
	my ($class, $file) = @_;
	my $self = bless {
		accounts => {}, keys => {}, updates => 0, is_open => !defined $file,
		by_account => {}, by_key => {} }, $class;

	$self->load($file) if defined $file;
	return $self;
}

sub load
{
	my ($self, $file) = @_;
	my @names;

	open(my $in, '<:encoding(UTF-8)', $file) or die "cannot read $file: $!\n";
	while (<$in>)
	{
		chomp;
		if (!@names) { @names = split /,/; next }
		my ($id, @values) = split /,/, $_, -1;
		my %fields;

		@fields{ @names[ 1 .. $#names ] } = map { length $_ ? $_ : undef } @values;
		$self->{accounts}{$id} = { fields => \%fields, version => 1 };
	}
	close $in;
}

# Called when a request arrives: counts it, and marks its key as in progress.
sub begin
{
	my ($self, $request) = @_;
	my $key = $request->{header}{'idempotency-key'};
	my $stored;

	return if $request->{path} !~ m{^/accounts/([^?]+)$};
	if ($request->{method} eq 'GET')
	{
		$self->{by_account}{$1}{reads}++;
		return;
	}
	$self->{by_account}{$1}{requests}++;
	return if !defined $key;

	$self->{by_key}{$key}{requests}++;
	$stored = $self->{keys}{$key};
	if ($stored) { $request->{in_progress} = !$stored->{answer} }
	else { $self->{keys}{$key} = { fingerprint => fingerprint($request) } }
}

# The work of a request that began was not done: its key is free again.
sub give_up
{
	my ($self, $request) = @_;
	my $key = $request->{header}{'idempotency-key'};

	delete $self->{keys}{$key}
	  if defined $key && $self->{keys}{$key} && !$self->{keys}{$key}{answer};
}

sub fingerprint
{
	my ($request) = @_;

	return sha256_hex("$request->{method} $request->{path}\n$request->{body}");
}

# Returns status, answer and extra headers.
sub answer
{
	my ($self, $request, $id, $body) = @_;
	my $account = $self->{accounts}{$id};

	$account = $self->{accounts}{$id} = { fields => {}, version => 1 }
	  if !$account && $self->{is_open};
	if (!$account)
	{
		$self->give_up($request);
		return (404, { error => "there is no account $id" });
	}
	return (200, { id => $id, %$account }, ETag => etag($account)) if $request->{method} eq 'GET';
	return (405, { error => 'an account takes GET and PATCH' })   if $request->{method} ne 'PATCH';
	return (422, { error => 'the body must be an object of fields' }) if ref $body ne 'HASH';
	return $self->once($request, $id, $body);
}

# Executes the change, or answers for the one that was executed under its key.
sub once
{
	my ($self, $request, $id, $body) = @_;
	my $key    = $request->{header}{'idempotency-key'};
	my $stored = defined $key ? $self->{keys}{$key} : undef;

	if ($stored && $stored->{fingerprint} ne fingerprint($request))
	{
		return (422, { error => 'the key was used with another request' });
	}
	return (409, { error => 'a request with this key is in progress' }) if $request->{in_progress};
	if ($stored && $stored->{answer})
	{
		$self->{by_account}{$id}{replays}++;
		$self->{by_key}{$key}{replays}++;
		return (@{ $stored->{answer} }, 'Idempotent-Replayed' => 'true');
	}

	my @answer;
	if (!$self->is_as_expected($request, $id))
	{
		@answer = (412, { error => 'the account has changed' });
		$stored->{answer} = \@answer if $stored;
		return @answer;
	}

	@answer = (200, $self->update($id, $body), ETag => etag($self->{accounts}{$id}));
	$self->{by_account}{$id}{executions}++;
	$self->{by_key}{$key}{executions}++ if defined $key;
	$stored->{answer} = \@answer if $stored;
	return @answer;
}

sub etag
{
	my ($account) = @_;

	return qq("v$account->{version}");
}

sub is_as_expected
{
	my ($self, $request, $id) = @_;
	my $expected = $request->{header}{'if-match'};

	return !defined $expected || $expected eq etag($self->{accounts}{$id});
}

sub update
{
	my ($self, $id, $body) = @_;
	my $account = $self->{accounts}{$id};

	$account->{fields} = { %{ $account->{fields} }, %$body };
	$account->{version}++;
	return {
		id      => sprintf('upd_%04d', ++$self->{updates}),
		account => $id, version => $account->{version}, fields => $account->{fields} };
}

sub counts
{
	my ($self) = @_;

	return {
		accounts   => complete($self->{by_account}),
		keys       => complete($self->{by_key}),
		executions => $self->{updates} };
}

# The counters, with the zeros filled in.
sub complete
{
	my ($counters) = @_;

	return { map {
		$_ => { executions => 0, requests => 0, replays => 0, reads => 0, %{ $counters->{$_} } }
	} keys %$counters };
}

1;
