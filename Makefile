# reconciler: PostgreSQL extension, and the daemon reconcilerd
#
#   make                 the extension's library, its SQL, and reconcilerd
#   make install         into the PostgreSQL of PG_CONFIG
#   make demo            shows it at work on a private server and a private chain
#   make test            everything: check-unit check-regress check-isolation check-tap
#   make bench           figures, as ratios (BENCH=leases: one section)
#   make bench-check     instructions of what must stay fast, against stored bounds
#   make mutate          whether the tests notice every change of the state machine
#   make chaos           half an hour of faults at random, and an audit (CHAOS_SECONDS)
#   make fuzz            an hour for each parser of what comes from outside (FUZZ_SECONDS)
#   make test-versions   make test with every PostgreSQL that Debian has (chroots; root only; long)
#   make test-fresh      make demo as the first command on bare machines (chroots; root only)
#   make lint format     what reviewers ask for
#
# PG_CONFIG chooses the PostgreSQL (default: the newest that is installed with
# its server headers); COPT=-Werror turns warnings into errors.
# demo, test and bench install what is missing first (test/setup), run as an
# unprivileged user when started by root (test/as-user), and never install into
# the system's PostgreSQL (test/private-tree).

top := $(patsubst %/,%,$(dir $(firstword $(MAKEFILE_LIST))))
version := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" $(top)/reconciler.control)

PG_CONFIG ?= $(shell $(top)/test/pg-config 2>/dev/null)
export COPT
# With nothing found, what setup is going to install is looked for afterwards.
ifneq ($(PG_CONFIG),)
export PG_CONFIG
endif

# Suites that need nothing to be installed beforehand
checks := check-unit check-regress check-isolation check-tap

.PHONY: setup test fuzz test-fresh test-versions demo bench bench-check mutate $(checks) lint run-lint format run-test $(addprefix run-,$(checks) demo bench bench-check mutate)
.DEFAULT_GOAL := all

setup:
	@$(top)/test/setup

test-fresh:
	@$(top)/test/fresh $(FRESH)

FUZZ_SECONDS ?= 3600

fuzz:
	@$(top)/test/setup fuzz
	@$(top)/test/fuzz/run $(FUZZ_SECONDS) $(FUZZ)

# 16 is in no release of Debian.
VERSIONS ?= bookworm:pg15 trixie:pg17 sid:pg18 experimental:pg19
VERSIONS_TARGET ?= test

test-versions:
	@FRESH_AT_A_TIME=1 $(top)/test/fresh $(addsuffix :$(VERSIONS_TARGET),$(VERSIONS))
	@echo '# PostgreSQL 16 was not tried: no release of Debian has it'

test demo bench bench-check mutate $(checks): setup
	@$(top)/test/as-user $(MAKE) --no-print-directory run-$@

# ---------------------------------------------------------------------------
# Building
# ---------------------------------------------------------------------------

EXTENSION = reconciler
MODULE_big = reconciler
DATA_built = reconciler--$(version).sql

core_objects := $(patsubst $(top)/%.c,%.o,$(sort $(wildcard $(top)/src/core/*/*.c $(top)/src/core/*/*/*.c)))
ext_objects := $(patsubst $(top)/%.c,%.o,$(sort $(wildcard $(top)/src/ext/*.c)))
daemon_objects := $(patsubst $(top)/%.c,%.o,$(sort $(wildcard $(top)/src/daemon/*.c)))
sql_parts := $(sort $(wildcard $(top)/src/sql/*.sql))

OBJS = $(ext_objects) $(core_objects)
ifneq ($(daemon_objects),)
SCRIPTS_built = reconcilerd
endif

curl_cflags := $(shell curl-config --cflags 2>/dev/null)
curl_libs := $(or $(shell curl-config --libs 2>/dev/null),-lcurl)
json_cflags := $(shell pkg-config --cflags json-c 2>/dev/null)
json_libs := $(or $(shell pkg-config --libs json-c 2>/dev/null),-ljson-c)

# Debian's PostgreSQL is configured without dependency tracking, hence -MMD.
PG_CPPFLAGS = -I$(top)/src -DRC_VERSION='"$(version)"' -MMD -MP $(curl_cflags) $(json_cflags)
PG_CFLAGS = -std=gnu99 -Wall -Wextra -Wno-declaration-after-statement
SHLIB_LINK = $(curl_libs) $(json_libs)

REGRESS = $(patsubst $(top)/sql/%.sql,%,$(sort $(wildcard $(top)/sql/*.sql)))
# make installcheck: on a running server that preloads the extension, with reconciler.database =
# 'contrib_regression,isolation_regression', as a superuser named postgres
REGRESS_OPTS = --inputdir=$(top)
ISOLATION = $(patsubst $(top)/test/isolation/specs/%.spec,%,$(sort $(wildcard $(top)/test/isolation/specs/*.spec)))
ISOLATION_OPTS = --inputdir=$(top)/test/isolation --outputdir=output_iso
EXTRA_CLEAN = build $(daemon_objects) $(patsubst %.o,%.d,$(OBJS) $(daemon_objects))

PGXS := $(if $(PG_CONFIG),$(shell $(PG_CONFIG) --pgxs 2>/dev/null))
ifeq ($(wildcard $(PGXS)),)

all install uninstall clean lint:
	@echo 'make: no PostgreSQL with server headers found; "make setup" installs one, or set PG_CONFIG' >&2; exit 1

else

# Bitcode of this module would gain nothing (no function of it is inlined into
# expressions) and would ask for the clang that PostgreSQL was built with.
override with_llvm := no

include $(PGXS)

ifneq ($(top),.)
$(shell mkdir -p $(sort $(dir $(OBJS) $(daemon_objects))))
endif

# PG_FUNCTION_ARGS is not used by every function that has it.
$(ext_objects): override CFLAGS += -Wno-unused-parameter
$(daemon_objects): override CPPFLAGS += -I$(shell $(PG_CONFIG) --includedir)

reconcilerd: $(daemon_objects) $(core_objects)
	$(CC) $(filter-out -fPIC,$(CFLAGS)) $^ $(LDFLAGS) $(LDFLAGS_EX) -L$(shell $(PG_CONFIG) --libdir) -lpq $(SHLIB_LINK) -o $@

$(DATA_built): $(sql_parts) $(top)/reconciler.control
	@{ printf '%s\n' '\echo Use "CREATE EXTENSION reconciler" to load this file. \quit'; \
	   for part in $(sql_parts); do echo; cat "$$part"; done; } > $@.tmp
	@mv $@.tmp $@
	@echo 'joined src/sql/*.sql into $@'

-include $(patsubst %.o,%.d,$(OBJS) $(daemon_objects))

# ---------------------------------------------------------------------------
# Testing: as an unprivileged user, in a tree that it may write
# ---------------------------------------------------------------------------

# make can't name a target below a path with blanks; test/as-user leaves such a path.
build := $(if $(filter 1,$(words $(CURDIR))),$(CURDIR)/build,build)
tree := $(build)/tree
tree_bin := $(tree)$(bindir)
quiet_make = $(MAKE) --no-print-directory -s -f $(firstword $(MAKEFILE_LIST))

# Unit tests: each src of test/unit named test_*.c is a program; the others are shared by all of them.
unit_programs := $(patsubst $(top)/test/unit/%.c,$(build)/unit/%,$(sort $(wildcard $(top)/test/unit/test_*.c)))
unit_shared := $(filter-out $(top)/test/unit/test_%,$(sort $(wildcard $(top)/test/unit/*.c)))

$(filter-out $(build)/unit/test_daemon_%,$(unit_programs)): $(build)/unit/%: $(top)/test/unit/%.c $(unit_shared) $(core_objects)
	@mkdir -p $(@D)
	$(CC) $(filter-out -MMD -MP,$(CPPFLAGS)) $(CFLAGS) -Wno-unused-parameter -I$(top)/test/unit $< $(unit_shared) $(core_objects) \
		$(LDFLAGS) -lcmocka $(SHLIB_LINK) -o $@

# test_daemon_*: with reconcilerd's parts too
daemon_parts := $(filter-out src/daemon/main.o,$(daemon_objects))

$(filter $(build)/unit/test_daemon_%,$(unit_programs)): $(build)/unit/%: $(top)/test/unit/%.c $(unit_shared) $(daemon_parts) $(core_objects)
	@mkdir -p $(@D)
	$(CC) $(filter-out -MMD -MP,$(CPPFLAGS)) -I$(shell $(PG_CONFIG) --includedir) $(CFLAGS) -Wno-unused-parameter \
		-I$(top)/test/unit $< $(unit_shared) $(daemon_parts) $(core_objects) \
		$(LDFLAGS) -L$(shell $(PG_CONFIG) --libdir) -lpq -lcmocka $(SHLIB_LINK) -o $@

run-check-unit:
	@$(quiet_make) -j$$(nproc) $(unit_programs)
	@set -e; ANVIL="$$($(top)/test/anvil)"; export ANVIL; for program in $(unit_programs); do echo "# unit: $${program##*/}"; $(UNIT_WRAPPER) $$program; done

# A copy of the server with this extension in it
.PHONY: private-tree
private-tree:
	@$(quiet_make) -j$$(nproc) all
	@$(top)/test/private-tree $(tree)
	@$(quiet_make) install DESTDIR=$(tree) >/dev/null

pg_regress_dir := $(dir $(PGXS))../test

run_regress = $(top)/test/clean-up-after $(build) $(top)/test/run-regress

run-check-regress: private-tree
	@$(if $(REGRESS),,echo '# no tests in sql/'; exit 0;) \
	$(run_regress) $(build)/regress $(tree_bin) $(top)/test/regress.conf $(pg_regress_dir)/regress/pg_regress \
		--inputdir=$(top) --dbname=contrib_regression $(REGRESS)

run-check-isolation: private-tree
	@$(if $(ISOLATION),,echo '# no tests in test/isolation/specs'; exit 0;) \
	$(run_regress) $(build)/isolation $(tree_bin) $(top)/test/regress.conf $(pg_regress_dir)/isolation/pg_isolation_regress \
		--inputdir=$(top)/test/isolation --dbname=isolation_regression $(ISOLATION)

# The environment that PostgreSQL's Perl modules and ours expect
perl_env = PATH="$(tree_bin):$$PATH" PERL5LIB="$(abspath $(pg_regress_dir)/perl):$(abspath $(top)/test/lib):$$PERL5LIB" \
	PG_REGRESS=$(abspath $(pg_regress_dir)/regress/pg_regress) TESTDIR=$(build) TESTDATADIR=$(build)/tmp_check \
	TESTLOGDIR=$(build)/tmp_check/log RECONCILERD=$(CURDIR)/reconcilerd ANVIL="$$($(top)/test/anvil)" \
	BITCOIND="$$($(top)/test/setup-bitcoind --offline 2>/dev/null || true)"

PROVE_TESTS ?= $(sort $(wildcard $(top)/test/t/*.pl))
# Tests wait for most of their time.
TEST_JOBS ?= $(shell nproc)

run-check-tap: private-tree
	@rm -rf $(build)/tmp_check && mkdir -p $(build)/tmp_check
	@$(perl_env) $(top)/test/clean-up-after $(build) prove --timer --jobs $(TEST_JOBS) $(PROVE_FLAGS) $(PROVE_TESTS)

run-demo run-bench run-mutate: run-%: private-tree
	@$(perl_env) $(top)/test/clean-up-after $(build) perl $(top)/test/$* $(BENCH)

run-bench-check: private-tree
	@$(perl_env) $(top)/test/clean-up-after $(build) $(top)/test/bench-check $(BENCH)

.PHONY: chaos run-chaos

chaos: setup
	@$(top)/test/as-user $(MAKE) --no-print-directory run-chaos

run-chaos: private-tree
	@$(perl_env) $(top)/test/clean-up-after $(build) perl $(top)/test/chaos

# One after the other, all of them, then the verdict
run-test:
	@failed=; for suite in $(checks); do \
		echo "== $$suite"; $(MAKE) --no-print-directory -f $(firstword $(MAKEFILE_LIST)) run-$$suite || failed="$$failed $$suite"; done; \
	if [ -n "$$failed" ]; then echo "FAILED:$$failed" >&2; exit 1; fi; echo "== all passed"

# ---------------------------------------------------------------------------
# Style
# ---------------------------------------------------------------------------

c_files := $(sort $(shell find $(top)/src $(top)/test/unit $(top)/test/fuzz -name "*.[ch]"))
perl_files := $(addprefix $(top)/test/,structure demo bench mutate) $(sort $(shell find $(top)/test -name '*.p[lm]'))
perl_files += $(top)/test/chaos
shell_files := $(top)/.ci/run $(addprefix $(top)/test/,setup setup-bitcoind as-user standardwebhooks example-tools private-tree pg-config anvil cache-dir bench-check run-regress clean-up-after fresh fuzz/run)
lint_flags = $(PG_CPPFLAGS) -I$(top)/test/unit -I$(shell $(PG_CONFIG) --includedir) -I$(includedir_server)

lint:
	@$(top)/test/setup lint
	@$(MAKE) --no-print-directory -f $(firstword $(MAKEFILE_LIST)) run-lint

run-lint: all
	$(top)/test/structure $(core_objects)
	@if grep -nE '[[:blank:]]+$$' $(c_files) $(sql_parts) $(shell_files) $(perl_files); then echo 'blanks at the end of a line' >&2; exit 1; fi
	shellcheck --severity=warning $(shell_files)
	perlcritic --gentle --quiet $(perl_files)
	cppcheck --quiet --error-exitcode=1 --std=c99 --enable=warning,performance,portability --inline-suppr \
		--suppress=missingIncludeSystem --suppress=ctuuninitvar -I$(top)/src $(filter %.c,$(filter-out $(top)/test/%,$(c_files)))
	@printf '%s\n' $(filter $(top)/src/%.c,$(c_files)) | \
		xargs -P$$(nproc) -I{} clang-tidy --quiet {} -- -std=gnu99 $(filter-out -MMD -MP,$(lint_flags))

endif

format:
	clang-format -i $(c_files)

# Containers
-include $(top)/docker/docker.mk
