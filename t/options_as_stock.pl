# Connection options, each asked of stock's dblink and of ours: where the
# validator takes it, what it hints at, and what a connection string may set.
# streaming: any

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Utils;
use DblinkTest;

needs_stock();

# Every option of a libpq from 15 to 19, a few that there are no more, and
# words that are like some.
my @known = qw(application_name authtype channel_binding client_encoding connect_timeout dbname
  fallback_application_name gssdelegation gssencmode gsslib host hostaddr keepalives keepalives_count
  keepalives_idle keepalives_interval krbsrvname load_balance_hosts max_protocol_version
  min_protocol_version oauth_ca_file oauth_client_id oauth_client_secret oauth_issuer oauth_scope options
  passfile password port replication require_auth requirepeer scram_client_key scram_server_key service
  servicefile ssl_max_protocol_version ssl_min_protocol_version sslcert sslcertmode sslcompression sslcrl
  sslcrldir sslkey sslkeylogfile sslmode sslnegotiation sslpassword sslrootcert sslsni
  target_session_attrs tcp_user_timeout tty use_scram_passthrough user);
my @like = qw(hots hostad HOST usr passwor passwords sslcr ssl_maxmin_protocol_version use_scram_passthroug
  target_session_attrsxxxx target_session_attrsxxxxx keepalives_i oauth_token oauth zzzzzzzzzzzz x);

my %session;
foreach my $whose (qw(stock ours))
{
	my $server = make_server($whose, tree => $whose eq 'stock' ? stock_prefix() : ours_prefix());
	my $s = $session{$whose} = session($server);
	no_error($s, q{
		CREATE EXTENSION dblink;
		CREATE FUNCTION outcome(command text) RETURNS text LANGUAGE plpgsql AS $$
		DECLARE message text; detail text; hint text;
		BEGIN
			EXECUTE command;
			RETURN 'ok';
		EXCEPTION WHEN OTHERS THEN
			GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
			RETURN concat_ws(' / ', SQLSTATE, message, nullif(detail, ''), nullif(hint, ''));
		END $$;
		}, "$whose: should work: the extension");
}

# Asks both; gives two hashes, of what they said about each word.
sub ask
{
	my ($template, @words) = @_;
	my @said;
	foreach my $whose (qw(stock ours))
	{
		my $r = $session{$whose}->run("SELECT word || ': ' || replace(outcome(format($template)), E'\\n', ' ') FROM unnest("
			  . lit('{' . join(',', @words) . '}') . '::text[]) AS word');
		die $r->{err} if $r->{errors};
		push @said, { map { /^(\w+): (.*)/ ? ($1 => $2) : () } split /\n/, $r->{out} };
	}
	is(keys %{ $said[0] }, @words, 'an answer about each');
	return @said;
}

foreach my $catalog (qw(pg_foreign_server pg_user_mapping pg_foreign_data_wrapper pg_foreign_table))
{
	foreach my $value (qw(1 true))
	{
		# should be the same, message and hint included
		my ($stock, $ours) = ask("'SELECT dblink_fdw_validator(ARRAY[%L], ''$catalog'')', word || '=$value'", @known, @like);
		is_deeply($ours, $stock, "the validator, $catalog, value $value");
		note(explain($stock)) if $value eq 'true';
	}
}

# should be the same in a connection string (the directory of the socket does
# not exist), except for options that may not be set for somebody else, which
# not every minor release of stock knows about
my ($stock, $ours) = ask(q{'SELECT dblink_connect(''o'', %L)', 'connect_timeout=1 host=/nonexistent/socket port=1 ' || word || '=1'},
	grep { !/^host(?:addr)?$/ } @known, @like);
my $risky = qr/^(?:sslkeylogfile|servicefile|oauth_\w+)$/;
foreach my $option (grep { /$risky/ } sort keys %$stock)
{
	my $said = delete $ours->{$option};
	my $known = delete($stock->{$option}) !~ /invalid connection option/;
	is($said,
		$known
		? "42501 / permission denied to set connection option \"$option\""
		: "08001 / could not establish connection / invalid connection option \"$option\"",
		"a string cannot set $option");
}
is_deeply($ours, $stock, 'a string sets what it can with stock');

$_->quit foreach values %session;
done_testing();
