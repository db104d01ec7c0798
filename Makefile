# dblink: run SQL in another PostgreSQL database
#
# make, make install and make installcheck work as for every extension; PG_CONFIG
# names the installation:  make PG_CONFIG=/path/to/pg_config install

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)

# Where the sources are; the build may be in another directory, as that of a package is.
SOURCES := $(dir $(firstword $(MAKEFILE_LIST)))

MODULE_big = dblink
OBJS = dblink.o $(patsubst $(SOURCES)%.c,%.o,$(sort $(wildcard $(SOURCES)src/*.c)))

EXTENSION = dblink dblink2
DATA = dblink--1.2.sql dblink--1.1--1.2.sql dblink--1.0--1.1.sql dblink2--1.0.sql
PGFILEDESC = "dblink - run SQL in another PostgreSQL database"

# make installcheck runs sql/ against expected/ on the server that libpq finds, and
# t/*.pl on servers of their own; REGRESS=NAME, PROVE_TESTS=t/NAME.pl and PROVE_FLAGS
# choose. The second needs the Perl modules that come with PostgreSQL's headers.
REGRESS = $(patsubst $(SOURCES)sql/%.sql,%,$(sort $(wildcard $(SOURCES)sql/*.sql)))
ifneq ($(filter installcheck,$(MAKECMDGOALS)),)
NO_TAP := $(shell perl -e 'print !-e shift() ? "no PostgreSQL::Test::Cluster" \
	: !eval { require IPC::Run } ? "no IPC::Run" : !$$> ? "PostgreSQL does not run as root" : ""' \
	'$(dir $(PGXS))../../src/test/perl/PostgreSQL/Test/Cluster.pm' || echo no perl)
ifeq ($(NO_TAP),)
TAP_TESTS = 1
endif
endif

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

include $(PGXS)

# Where the tests' own modules are.
PG_PROVE_FLAGS += -I $(srcdir)/t

ifdef NO_TAP
installcheck: no-tap
endif

# After the server's own directories: a newer libpq's headers shadow the server's.
override CPPFLAGS += -I$(libpq_srcdir)

# The directories have their full names because VPATH would find those of the sources.
OBJDIRS = $(addprefix $(CURDIR)/,$(filter-out ./,$(sort $(dir $(OBJS)))))

$(OBJS): dblink.h src/compat.h $(if $(COUNT_OBJECTS),t/count.h) | $(OBJDIRS)

$(OBJDIRS):
	mkdir -p $@

# What stock left would still be taken.
install: no-bitcode

no-bitcode:
	rm -rf '$(DESTDIR)$(pkglibdir)/bitcode/dblink.index.bc' '$(DESTDIR)$(pkglibdir)/bitcode/dblink'

no-tap:
	@echo "t/*.pl is skipped: $(NO_TAP)"

# For contributors: the archives of a release (PGXN takes the zip), the C files in
# PostgreSQL's layout, and static analysis.
RELEASE = dblink-$(shell sed -n 's/^\#define DBLINK_VERSION "\(.*\)"$$/\1/p' dblink.c)

dist:
	script/lint versions
	git diff --stat --exit-code HEAD
	git archive --prefix=$(RELEASE)/ -o $(RELEASE).tar.gz HEAD
	git archive --prefix=$(RELEASE)/ -o $(RELEASE).zip HEAD
	tar -xzf $(RELEASE).tar.gz
	$(MAKE) -s -C $(RELEASE) PG_CONFIG=$(PG_CONFIG) COPT=-Werror
	rm -rf $(RELEASE)

format:
	script/format

lint:
	script/lint

.PHONY: no-bitcode no-tap dist format lint
