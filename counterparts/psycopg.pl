# Python: psycopg 2 and 3 call our functions.
#
# packages: python3 /usr/lib/python3/dist-packages/psycopg2/__init__.py:python3-psycopg2 /usr/lib/python3/dist-packages/psycopg/__init__.py:python3-psycopg

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Utils;
use DblinkTest;
use Counterpart;

needs('/usr/lib/python3/dist-packages/psycopg2/__init__.py', '/usr/lib/python3/dist-packages/psycopg/__init__.py');
my ($local, $remote) = make_pair();
no_error(session($local), 'CREATE EXTENSION dblink2', 'dblink2');
$ENV{PYTHONPATH} = '/usr/lib/python3/dist-packages';
$ENV{REMOTE} = conninfo($remote);
$ENV{LOCAL} = 'host=' . $local->host . ' port=' . $local->port . ' dbname=postgres';
client_checks(86, '/usr/bin/python3', 'counterparts/drivers.py');
done_testing();
