# JavaScript: node-postgres calls our functions.
#
# packages: node:nodejs npm
# npm: pg@8.16.3 pg-cursor@2.15.3

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Utils;
use DblinkTest;
use Counterpart;

needs('node', "$ENV{DBLINK_NPM}/node_modules/pg");
my ($local, $remote) = make_pair();
my $admin = session($local);
no_error($admin, 'CREATE EXTENSION dblink2', 'dblink2');
$ENV{NODE_PATH} = "$ENV{DBLINK_NPM}/node_modules";
$ENV{REMOTE} = conninfo($remote);
$ENV{PGHOST} = '127.0.0.1';
$ENV{PGPORT} = $local->port;
$ENV{PGDATABASE} = 'postgres';
$ENV{PGUSER} = query_value($local, 'SELECT current_user');
client_checks(35, 'node', 'counterparts/node_postgres.js');
$admin->quit;
done_testing();
