# pg_workflow
#
#   make            build (installs what is missing, as root)
#   make demo       the whole enrichment flow, on a throw-away server
#   make test       every test
#   make lint       the checks that run in seconds
#   make indent     lay out the C sources

EXTENSION   = pg_workflow
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" $(EXTENSION).control)

# ---- C ---------------------------------------------------------------------
MODULE_big  = $(EXTENSION)
C_FILES     = $(sort $(wildcard src/*.c src/*/*.c))
H_FILES     = $(sort $(wildcard src/*/*.h))
OBJS        = $(C_FILES:.c=.o)
PG_CPPFLAGS = -I$(srcdir)/src -DWF_VERSION='"$(EXTVERSION)"'
PG_CFLAGS   = -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare \
              -Wno-missing-field-initializers
SHLIB_LINK  = -lcurl

# ---- SQL -------------------------------------------------------------------
# The order is the dependency order; a piece may use only the pieces above it.
SQL_PIECES  = header tables base schema definition retry queue effect item review \
              http worker monitor grants
INSTALL_SQL = build/$(EXTENSION)--$(EXTVERSION).sql
DATA_built  = $(INSTALL_SQL)
DATA        = $(wildcard sql/released/*.sql sql/upgrade/*.sql)
EXTRA_CLEAN = build

# ---- tests -----------------------------------------------------------------
# Every regress and isolation run starts its own throw-away server.
REGRESS        = $(patsubst test/sql/%.sql,%,$(sort $(wildcard test/sql/*.sql)))
REGRESS_OPTS   = --inputdir=test --outputdir=build/regress \
                 --temp-instance=build/regress/server --temp-config=test/postgresql.conf
ISOLATION      = $(patsubst test/specs/%.spec,%,$(sort $(wildcard test/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test --outputdir=build/isolation \
                 --temp-instance=build/isolation/server --temp-config=test/postgresql.conf \
                 --load-extension=$(EXTENSION)

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# PGXS itself does not notice a changed header.
$(OBJS) $(OBJS:.o=.bc): $(H_FILES)

$(INSTALL_SQL): $(SQL_PIECES:%=sql/%.sql) $(EXTENSION).control
	mkdir -p $(@D)
	cat $(SQL_PIECES:%=sql/%.sql) > $@
