# pg_workflow
#
#   make             build (installs what is missing, as root)
#   make install     put it where PG_CONFIG points
#   make demo        the whole enrichment flow, on a throw-away server
#   make diagrams    draws the pictures in docs/ and README.md anew
#   make report-image  takes the picture of the demo's report anew
#   make test        every check and every test
#   make lint        the checks that run in seconds
#   make indent      lay out the C sources
#   make test-matrix the same tests on other servers, in chroots
#   make bench       the short form of all:
#   make bench-http  effects a second, beside bare libcurl; BENCH="--runs 5"
#   make bench-queues  jobs, beside other queues; BENCH="--case single,batch"
#   make bench-transitions  moves of items, beside plain triggers; BENCH="--case bulk"
#   make bench-reviews  the inbox with many open reviews, beside a plain table
#   make bench-answers  where_is and the like, among a million items
#   make bench-statistics  looks at statistics with a million items; BENCH="--items 20000"
#
#   make check-regress check-isolation check-tap   one kind of test;
#                    TESTS="queue item" picks files by name
#   make check-stress  queues under stress, for five minutes; STRESS=30 for half a one

EXTENSION   = pg_workflow
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" $(EXTENSION).control)

# ---- C ---------------------------------------------------------------------
MODULE_big  = $(EXTENSION)
C_FILES     = $(sort $(wildcard src/*.c src/*/*.c))
H_FILES     = $(sort $(wildcard src/*/*.h))
OBJS        = $(C_FILES:.c=.o)
PG_CPPFLAGS = -I$(srcdir)/src -DWF_VERSION='"$(EXTVERSION)"'
PG_CFLAGS   = -Wall -Wextra -Werror -Wshadow=compatible-local -Wno-unused-parameter -Wno-sign-compare \
              -Wno-missing-field-initializers $(WHOLE)
SHLIB_LINK  = -lcurl $(if $(WHOLE),-Wl$(comma)-Bsymbolic)
comma      := ,

# Compiled as one program where the compiler can, see docs/decisions/0089.
# "make WHOLE=" links in a second instead of fifteen, for those who change C.
WHOLE = $(if $(WHOLE_IS_POSSIBLE),-flto=auto -fno-semantic-interposition)

# No bitcode, hence no clang, unless it is asked for on the command line.
ifneq ($(origin with_llvm), command line)
override with_llvm := no
endif

# ---- SQL -------------------------------------------------------------------
# The order is the dependency order; a piece may use only the pieces above it.
SQL_PIECES  = header tables base cluster schema definition check diagram version retry queue effect model verification endpoint mock \
              item queue_drop spawn migrate enforce draft inbox review review_clock review_decide review_assign review_inbox gate http worker waiting where timeline twice monitor repair redrive statistics recount health health_server export alert_conditions alert \
              report report_style report_charts report_parts grants sealed
INSTALL_SQL = build/$(EXTENSION)--$(EXTVERSION).sql
DATA_built  = $(INSTALL_SQL)
DATA        = $(wildcard sql/released/*.sql sql/upgrade/*.sql)
EXTRA_CLEAN = build

# ---- server ----------------------------------------------------------------
# What is missing is installed before anything else: make remakes a makefile
# that it includes, and then starts again, with pg_config in place.
PG_CONFIG ?= pg_config

all:

include build/prepared.mk

build/prepared.mk: tools/prepare tools/check_whole
	@tools/prepare $(PG_CONFIG)
	@mkdir -p $(@D)
	@tools/check_whole $(PG_CONFIG) >$@

ifneq ($(wildcard build/prepared.mk),)
PGXS := $(shell $(PG_CONFIG) --pgxs)
ifeq ($(PGXS),)
$(error "$(PG_CONFIG) --pgxs" fails: set PG_CONFIG, or remove build/ to look for packages again)
endif
include $(PGXS)
endif

# PGXS itself does not notice a changed header.
$(OBJS) $(OBJS:.o=.bc): $(H_FILES)

$(INSTALL_SQL): $(SQL_PIECES:%=sql/%.sql) $(EXTENSION).control
	@mkdir -p $(@D)
	cat $(SQL_PIECES:%=sql/%.sql) > $@

# ---- tests -----------------------------------------------------------------
# Every run starts its own throw-away servers under build/.
TESTS =
POINTS = build/points.so
RUN_TESTS = PG_CONFIG='$(PG_CONFIG)' PGXS='$(PGXS)' tools/run_tests

.PHONY: test installcheck check-regress check-isolation check-tap check-stress lint indent demo diagrams report-image test-matrix bench bench-http bench-queues bench-transitions bench-reviews bench-answers bench-statistics

test:
	@$(MAKE) -s all install
	@PG_CONFIG='$(PG_CONFIG)' MAKE='$(MAKE)' tools/test

installcheck: test

check-regress check-isolation check-tap: check-%: all install
	@$(RUN_TESTS) $* $(TESTS)

# Longer than the longest test may be.
STRESS = 300
check-stress: all install
	@WF_STRESS=$(STRESS) WF_TAP_LIMIT=$$(($(STRESS) * 2 + 300)) $(RUN_TESTS) tap 019_stress

# Lets the tests stop a process at a labelled point, see src/base/point.h.
check-tap: $(POINTS)

$(POINTS): test/points.c src/base/point.h
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(CFLAGS_SL) -shared -o $@ $<

lint:
	@PG_CONFIG='$(PG_CONFIG)' tools/lint

indent:
	@PG_CONFIG='$(PG_CONFIG)' tools/indent $(C_FILES) $(H_FILES) $(wildcard bench/*.c test/*.c)

# Examples whose pictures are kept in docs/diagrams; the first one's stands in README.md, too.
DIAGRAMS = crm_enrichment order_saga invoice_approval nightly_fan_out

demo:
	@$(MAKE) -s all install
	@PG_CONFIG='$(PG_CONFIG)' tools/demo

diagrams:
	@$(MAKE) -s all install
	@PG_CONFIG='$(PG_CONFIG)' tools/diagrams $(DIAGRAMS)

report-image: demo
	@tools/report_image build/demo/report.html

test-matrix:
	@tools/test_matrix

BENCH =
bench:
	@$(MAKE) -s bench-http BENCH=
	@$(MAKE) -s bench-queues BENCH=
	@$(MAKE) -s bench-transitions BENCH=
	@$(MAKE) -s bench-reviews BENCH=
	@$(MAKE) -s bench-answers BENCH=
	@$(MAKE) -s bench-statistics BENCH=

bench-http bench-queues bench-transitions bench-reviews bench-answers bench-statistics: bench-%:
	@$(MAKE) -s all install
	@PG_CONFIG='$(PG_CONFIG)' tools/bench $* $(BENCH)
