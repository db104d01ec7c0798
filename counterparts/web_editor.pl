# Adminer, a web SQL editor, in a browser without a window: the statements of a
# typical guide on dblink between hosted databases are typed, and what the page
# shows is looked at. screen.png in the work directory is the last page.
#
# packages: /usr/share/adminer/adminer.php:adminer php-cgi php:php-cli /var/lib/dpkg/info/php-pgsql.list:php-pgsql chromium node:nodejs npm
# npm: playwright-core@1.49.1

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use DblinkTest;
use Counterpart;

needs('chromium', 'php', '/usr/share/adminer/adminer.php', "$ENV{DBLINK_NPM}/node_modules/playwright-core");

my $dir = certificates();
my $secret = 'Hosted-passw0rd';
my $remote = make_server('remote', tree => stock_prefix(),
	conf => [ 'ssl = on', "ssl_cert_file = '$dir/server.crt'", "ssl_key_file = '$dir/server.key'" ],
	hba => [ 'hostssl shop app 127.0.0.1/32 scram-sha-256', 'host shop all 127.0.0.1/32 reject' ]);
my $local = make_server('local', hba => ['host all editor 127.0.0.1/32 scram-sha-256']);
my $r = session($remote);
$r->run("CREATE ROLE app LOGIN PASSWORD '$secret'");
$r->run('CREATE DATABASE shop OWNER app');
my $shop = session($remote, db => 'shop');
$shop->run("CREATE TABLE todos (id int PRIMARY KEY, task text, done bool); INSERT INTO todos VALUES (1, 'Buy caf\xc3\xa9', false), (2, 'Write', false), (3, 'Rest', true); ALTER TABLE todos OWNER TO app");
my $l = session($local);
$l->run("CREATE ROLE editor SUPERUSER LOGIN PASSWORD '$secret'; CREATE TABLE people (todo int, name text); INSERT INTO people VALUES (1, 'Ada'), (2, 'Bob')");

# Adminer as the package has it, which does not look for newer versions; PHP's own
# server serves it.
mkdir "$dir/www";
write_file('www/index.php', "<?php include '/etc/adminer/conf.php';");
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $server = start_program('php', $port, 'php', '-d', "session.save_path=$dir", '-S', "127.0.0.1:$port", '-t', "$dir/www");
my $conn = conninfo($remote, dbname => 'shop', user => 'app', password => $secret, sslmode => 'require');
$conn =~ s/'//g;

$ENV{NODE_PATH} = "$ENV{DBLINK_NPM}/node_modules";
$ENV{URL} = "http://127.0.0.1:$port/index.php";
$ENV{SERVER} = '127.0.0.1:' . $local->port;
$ENV{PASSWORD} = $secret;
$ENV{CONN} = $conn;
$ENV{WORK} = $dir;
client_checks(12, 'node', 'counterparts/web_editor.js');
ok(-s "$dir/screen.png", 'a screenshot');
is(query_value($local, "SELECT count(*) FROM copied"), '2', 'the rows that were copied are there');
rows_are($shop, 'SELECT count(*) FROM todos WHERE done', '2', 'the row that was changed over there is');
remote_quiet($remote, "application_name <> '' AND usename = 'app'", 'no session is left on the remote');
$_->quit foreach $r, $l, $shop;
done_testing();
