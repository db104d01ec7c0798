-- dblink_fdw_validator: each option in each context, and the hints.

-- every option that this libpq knows, as server and as user mapping option, one line each
CREATE FUNCTION try_option(context regclass, opt text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE h text;
BEGIN
	PERFORM dblink_fdw_validator(ARRAY[opt || '=x'], context);
	RETURN 'legal';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS h = PG_EXCEPTION_HINT;
	RETURN SQLSTATE || ' ' || SQLERRM || ' (' || length(h) || ')';
END $$;
SELECT opt, try_option('pg_foreign_server', opt) AS server, try_option('pg_user_mapping', opt) AS mapping
FROM unnest(string_to_array('service user password passfile channel_binding connect_timeout dbname host hostaddr port client_encoding options application_name fallback_application_name keepalives keepalives_idle keepalives_interval keepalives_count tcp_user_timeout sslmode sslcompression sslcert sslkey sslpassword sslrootcert sslcrl sslcrldir sslsni requirepeer ssl_min_protocol_version ssl_max_protocol_version gssencmode krbsrvname gsslib replication target_session_attrs tty authtype requiressl require_auth load_balance_hosts sslcertmode gssdelegation sslnegotiation min_protocol_version max_protocol_version scram_client_key scram_server_key oauth_issuer oauth_client_id oauth_client_secret oauth_scope use_scram_passthrough fetch_size password_required nosuch USER User', ' ')) AS opt;
SELECT opt, try_option('pg_foreign_data_wrapper', opt) AS wrapper, try_option('pg_foreign_table', opt) AS "table", try_option('pg_attribute', opt) AS attribute, try_option('pg_class', opt) AS class
FROM unnest(string_to_array('user password dbname host client_encoding nosuch', ' ')) AS opt;
-- the hints in full
CREATE SERVER s1 FOREIGN DATA WRAPPER dblink_fdw OPTIONS (bogus 'x');
CREATE SERVER s1 FOREIGN DATA WRAPPER dblink_fdw OPTIONS (user 'x');
CREATE SERVER s1 FOREIGN DATA WRAPPER dblink_fdw OPTIONS (password 'secret');
CREATE SERVER s1 FOREIGN DATA WRAPPER dblink_fdw OPTIONS (client_encoding 'x');
CREATE SERVER s1 FOREIGN DATA WRAPPER dblink_fdw OPTIONS (replication 'x');
CREATE SERVER s1 FOREIGN DATA WRAPPER dblink_fdw OPTIONS ("DBNAME" 'x');
CREATE SERVER s1 FOREIGN DATA WRAPPER dblink_fdw OPTIONS (dbnam 'x');
CREATE SERVER s1 FOREIGN DATA WRAPPER dblink_fdw OPTIONS (dbname 'x', dbname 'y');
CREATE SERVER s1 FOREIGN DATA WRAPPER dblink_fdw OPTIONS (dbname 'x', host '', port 'not a number');
CREATE USER MAPPING FOR PUBLIC SERVER s1 OPTIONS (bogus 'x');
CREATE USER MAPPING FOR PUBLIC SERVER s1 OPTIONS (dbname 'x');
CREATE USER MAPPING FOR PUBLIC SERVER s1 OPTIONS (usr 'x');
CREATE USER MAPPING FOR PUBLIC SERVER s1 OPTIONS (sslcert 'x');
CREATE USER MAPPING FOR PUBLIC SERVER s1 OPTIONS (user 'x', password 'y', sslpassword 'z');
ALTER USER MAPPING FOR PUBLIC SERVER s1 OPTIONS (ADD host 'x');
ALTER USER MAPPING FOR PUBLIC SERVER s1 OPTIONS (SET user 'x2', DROP password);
ALTER SERVER s1 OPTIONS (ADD user 'x');
ALTER SERVER s1 OPTIONS (ADD connect_timeout '5', DROP port);
ALTER FOREIGN DATA WRAPPER dblink_fdw OPTIONS (ADD dbname 'x');
ALTER FOREIGN DATA WRAPPER dblink_fdw OPTIONS (ADD nonexistent 'x');
CREATE FOREIGN TABLE ft1 (a int) SERVER s1 OPTIONS (dbname 'x');
CREATE FOREIGN TABLE ft2 (a int OPTIONS (dbname 'x')) SERVER s1;
CREATE FOREIGN TABLE ft3 (a int) SERVER s1;
SELECT * FROM ft3;
SELECT srvname, srvoptions FROM pg_foreign_server;
SELECT umoptions FROM pg_user_mappings;
-- another wrapper on the same validator
CREATE FOREIGN DATA WRAPPER w2 VALIDATOR dblink_fdw_validator OPTIONS (x 'y');
CREATE FOREIGN DATA WRAPPER w2 VALIDATOR dblink_fdw_validator;
CREATE SERVER w2s FOREIGN DATA WRAPPER w2 OPTIONS (nosuch 'x');
CREATE SERVER w2s FOREIGN DATA WRAPPER w2 OPTIONS (host 'x');
-- called by hand
SELECT dblink_fdw_validator('{a=b}', 0);
SELECT dblink_fdw_validator('{dbname=b}', 1417);
SELECT dblink_fdw_validator('{dbname=b,user=x}', 1417);
SELECT dblink_fdw_validator('{user=b,dbname=x}', 1418);
SELECT dblink_fdw_validator('{user=b}', 1418);
SELECT dblink_fdw_validator('{}', 1);
SELECT dblink_fdw_validator(NULL, 1), dblink_fdw_validator('{}', NULL);
SELECT dblink_fdw_validator('{dbname}', 1417);
SELECT dblink_fdw_validator('{dbname=}', 1417);
SELECT dblink_fdw_validator('{"=x"}', 1417);
SELECT dblink_fdw_validator('{""}', 1417);
SELECT dblink_fdw_validator('{nosuch}', 1417);
SELECT dblink_fdw_validator('{NULL}', 1417);
SELECT dblink_fdw_validator('{{dbname=a,host=b}}', 1417);
SELECT dblink_fdw_validator('{"dbname=a=b"}', 1417);
SELECT dblink_fdw_validator('{" dbname=a"}', 1417);
SELECT dblink_fdw_validator('{dbname=a}', 4294967295);
SELECT pg_typeof(dblink_fdw_validator('{dbname=a}', 1417));
SELECT dblink_fdw_validator('dbname', 1417);
SET ROLE parity_plain;
SELECT dblink_fdw_validator('{nosuch=b}', 1418);
CREATE SERVER mine FOREIGN DATA WRAPPER dblink_fdw;
RESET ROLE;
