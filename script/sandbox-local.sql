-- The local side of the sandbox, with a plain role "analyst".
CREATE ROLE analyst LOGIN;
CREATE EXTENSION dblink;
CREATE TABLE customers (id int PRIMARY KEY, name text);
INSERT INTO customers VALUES (1, 'Ada'), (2, 'Grace'), (3, 'Edgar'), (4, 'Barbara');
GRANT SELECT ON customers TO analyst;
