#
# Rules that make the stand-in server misbehave.
#
# A rule, as posted to /faults (every member is optional):
#
#   {"method": "PATCH", "path": "/accounts/A-1003",   what it applies to (path: a prefix)
#    "times": 2,                                      then it is spent; 0: always; default 1
#    "status": 503, "retry_after": 1, "body": {...},  answer so, and do nothing
#    "stall_before_ms": 500, "stall_after_ms": 500,   wait before or after the work
#    "close": "before" | "after"}                     hang up, before or after the work
#
# The same by headers of one request: X-Fault-Status, X-Fault-Retry-After,
# X-Fault-Stall-Before-Ms, X-Fault-Stall-After-Ms, X-Fault-Close.

package Faults;

use strict;
use warnings;

sub new { return bless { rules => [] }, shift }

sub add
{
	my ($self, $rule) = @_;

	push @{ $self->{rules} }, { times => 1, %$rule, used => 0 };
	return { rules => scalar @{ $self->{rules} } };
}

sub clear
{
	my ($self) = @_;

	$self->{rules} = [];
	return { rules => 0 };
}

# The first rule that applies to a request and is not spent, which this use
# counts; an empty one when there is none.
sub find
{
	my ($self, $request) = @_;
	my %fault;

	foreach (qw(status retry_after stall_before_ms stall_after_ms close))
	{
		(my $name = "x-fault-$_") =~ tr/_/-/;
		$fault{$_} = $request->{header}{$name} if defined $request->{header}{$name};
	}
	return \%fault if %fault;

	foreach my $rule (@{ $self->{rules} })
	{
		next if $rule->{times} && $rule->{used} >= $rule->{times};
		next if defined $rule->{method} && $rule->{method} ne $request->{method};
		next if defined $rule->{path} && index($request->{path}, $rule->{path}) != 0;
		$rule->{used}++;
		return $rule;
	}
	return {};
}

1;
