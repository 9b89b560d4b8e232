# The order saga end to end, as its README runs it: what fails is taken back in
# reverse, once, as the outside counts it.

use strict;
use warnings FATAL => 'all';
use Cwd qw(abs_path);
use FindBin;
use PostgreSQL::Test::Utils;
use Test::More;

my $root = abs_path("$FindBin::RealBin/../..");
my $work = PostgreSQL::Test::Utils::tempdir();
my ($out, $err) = ('', '');
my $ok = IPC::Run::run [ "$root/examples/order_saga/run", "$work/saga" ], '>', \$out, '2>', \$err, IPC::Run::timeout(180);

ok($ok, 'it ends well') or diag("$out\n$err");
is($err, '', 'and says nothing else');

# The cells of the row of an order in the table under a title.
sub row
{
	my ($title, $order) = @_;
	my ($table) = $out =~ /^\d\. $title.*?\n(.*?)(?=^\d\. |\z)/ms or return "no $title";
	my ($row)   = $table =~ /^ *(\Q$order\E *\|.*)$/m or return "no $order";

	return join ' | ', map { s/^\s+|\s+$//gr } split /\|/, $row, -1;
}

my %story = (
	'SO-1001' => [ 'SHIPPED | reserve, charge, ship |',                      '1 | 1 | 1 | 3', 'an order that goes well' ],
	'SO-1002' => [ 'SHIPPED | reserve, charge, ship |',                      '1 | 1 | 1 | 5', 'the warehouse is down twice' ],
	'SO-1003' => [ 'UNDONE | reserve, charge failed | reserve',              '2 | 0 | 0 | 3', 'the card is declined' ],
	'SO-1004' => [ 'UNDONE | reserve, charge, ship failed | charge, reserve', '2 | 2 | 0 | 5', 'the carrier refuses' ],
	'SO-1005' => [ 'SHIPPED | reserve, charge, ship |',                      '1 | 1 | 1 | 4', 'the bank hangs up after it has charged' ],
	'SO-1006' => [ 'UNDONE | reserve, charge, ship failed | charge, reserve', '2 | 2 | 0 | 5', 'the carrier refuses again' ],
	'SO-1007' => [ 'UNDONE | reserve, charge, ship | ship, charge, reserve',  '2 | 2 | 2 | 6', 'the customer cancels while the last step is under way' ]);

foreach my $order (sort keys %story)
{
	my ($became, $count, $what) = @{ $story{$order} };
	my ($state) = $became =~ /^(\w+)/;

	is(row('What became of each order', $order) =~ s/ $//r, "$order | $became", "$order: $what");
	is(row('The count of the outside', $order), "$order | $state | $count", "$order: and the outside counts so");
}
like($out, qr/^ +7 \| +7 \| +0$/m, 'every order is submitted');
like($out, qr/^ +7 \| +0 \| +7$/m, 'a second time it is found');
like($out, qr/^9 steps were done once, 8 were done and taken back once, 0 were done otherwise\.$/m, 'nothing was done twice');
is_deeply(
	{ $out =~ m{^(\w+/SO-\d+) +(\w+)$}mg },
	{
		'payments/SO-1001' => 'charged', 'reservations/SO-1004' => 'released', 'payments/SO-1004' => 'refunded',
		'shipments/SO-1007' => 'cancelled', 'payments/SO-1007' => 'refunded', 'reservations/SO-1007' => 'released'
	},
	'the outside is as it should be');

done_testing();
