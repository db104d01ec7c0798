# Java: JDBC calls our functions, by the simple and the extended protocol, with
# statements prepared on the server and portals read in parts; and asks the
# catalogs what a database tool asks.
#
# packages: javac:openjdk-17-jdk-headless /usr/share/java/postgresql.jar:libpostgresql-jdbc-java

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Utils;
use DblinkTest;
use Counterpart;

needs('javac', '/usr/share/java/postgresql.jar');
my ($local, $remote) = make_pair();
no_error(session($local), 'CREATE EXTENSION dblink2', 'dblink2');
$ENV{REMOTE} = conninfo($remote, application_name => 'jdbc');
$ENV{LOCAL} = 'jdbc:postgresql://127.0.0.1:' . $local->port . '/postgres?user=' . query_value($local, 'SELECT current_user');
run_program('javac', '-cp', '/usr/share/java/postgresql.jar', '-d', work_dir(), 'counterparts/Jdbc.java');
client_checks(314, 'java', '-Xmx256m', '-cp', work_dir() . ':/usr/share/java/postgresql.jar', 'Jdbc');
remote_quiet($remote, "application_name = 'jdbc'", 'no session is left on the remote');
done_testing();
