# The official image of PostgreSQL, with this dblink in place of its own.
#
#   docker build -t postgres-dblink --build-arg PG_MAJOR=17 .
#
# It works as the image does: CREATE EXTENSION dblink, or dblink2 CASCADE.
# PG_MAJOR is also a variable of the image.
ARG PG_MAJOR=17

FROM postgres:${PG_MAJOR} AS build
RUN apt-get update && apt-get install -y --no-install-recommends \
	gcc libpq-dev make "postgresql-server-dev-${PG_MAJOR}"
COPY . /src
RUN make -C /src PG_CONFIG="/usr/lib/postgresql/${PG_MAJOR}/bin/pg_config" \
		DESTDIR=/out clean all install

FROM postgres:${PG_MAJOR}
# What JIT compilation would take from stock's library into a query.
RUN rm -rf "/usr/lib/postgresql/${PG_MAJOR}/lib/bitcode/dblink"*
COPY --from=build /out/ /
