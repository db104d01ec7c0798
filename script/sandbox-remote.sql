-- The remote side of the sandbox, with the role "app", whose password is :password.
CREATE ROLE app LOGIN CREATEDB PASSWORD :'password';
GRANT CREATE ON SCHEMA public TO app;
SET ROLE app;
CREATE TABLE todos (id int PRIMARY KEY, task text, done bool);
INSERT INTO todos VALUES (1, 'water the plants', false), (2, 'read the manual', false),
	(3, 'answer Grace', false), (4, 'back up the shop', true);
CREATE TABLE orders (id int PRIMARY KEY, customer_id int, amount numeric(8,2), placed date);
INSERT INTO orders SELECT i, 1 + i % 7 % 4, 5 + i * 37 % 200 + 0.95, date '2024-01-01' + i % 366
	FROM generate_series(1, 10000) i;
CREATE TABLE users_active (id int PRIMARY KEY, email text);
INSERT INTO users_active VALUES (1, 'ada@example.com'), (2, 'grace@example.com');
CREATE TABLE users_archived (LIKE users_active INCLUDING ALL);
INSERT INTO users_archived VALUES (3, 'edgar@example.com');
RESET ROLE;
ANALYZE;
