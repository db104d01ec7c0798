# dblink: run SQL in another PostgreSQL database
#
# make, make install and make installcheck work as for every extension; PG_CONFIG
# names the installation:  make PG_CONFIG=/path/to/pg_config install

MODULE_big = dblink
OBJS = dblink.o $(patsubst %.c,%.o,$(sort $(wildcard src/*.c)))

EXTENSION = dblink dblink2
DATA = dblink--1.2.sql dblink--1.1--1.2.sql dblink--1.0--1.1.sql dblink2--1.0.sql
PGFILEDESC = "dblink - run SQL in another PostgreSQL database"

REGRESS = connect query exec cursor async notify server security sqlbuild \
	datetime errors shapes types encoding copy objects streaming strings loopback \
	dblink2_params dblink2_rowtypes dblink2_execute dblink2_copy dblink2_gather dblink2_begin \
	dblink2_error dblink2_connections dblink2_plans dblink2_resolution

# Nothing but the entry points leaves the library: before PostgreSQL 16 a
# helper's name could otherwise bind to that of another extension.
PG_CFLAGS = -fvisibility=hidden
SHLIB_LINK = $(libpq) -lpthread

# For tests: count the objects of libpq that are open.
ifdef COUNT_OBJECTS
OBJS += t/count.o
PG_CPPFLAGS = -DDBLINK_COUNT_OBJECTS
endif

# No bitcode: what JIT compilation would take from it into a query, calls
# helpers that are hidden.
override with_llvm = no

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# After the server's own directories: a newer libpq's headers shadow the server's.
override CPPFLAGS += -I$(libpq_srcdir)

$(OBJS): dblink.h src/compat.h $(if $(COUNT_OBJECTS),t/count.h)

# What stock left would still be taken.
install: no-bitcode

no-bitcode:
	rm -rf '$(DESTDIR)$(pkglibdir)/bitcode/dblink.index.bc' '$(DESTDIR)$(pkglibdir)/bitcode/dblink'

# For contributors: the archives of a release, the C files in PostgreSQL's
# layout, and static analysis.
dist:
	script/dist

format:
	script/format

lint:
	script/lint

.PHONY: no-bitcode dist format lint
