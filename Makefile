# SPDX-License-Identifier: GPL-2.0
#
# The commands of a developer. How the modules are built is in Kbuild, which the kernel's build reads.
#
# Without KDIR everything happens in the toolbox (tools/toolbox), against the stock kernel there or,
# with KERNEL=debug, the debugging kernel. With KDIR=PATH, a source tree or an O= directory of a Rust
# enabled kernel, the modules are built against that kernel with this machine's own tools, and nothing
# is set up.

MAKEFLAGS += --no-print-directory
.DELETE_ON_ERROR:
.SUFFIXES:
.DEFAULT_GOAL := modules

Q := $(if $(filter 1,$(V)),,@)
build := $(CURDIR)/build
toolbox := $(CURDIR)/tools/toolbox$(if $(KERNEL), --debug)
debugging := $(CURDIR)/tools/toolbox --debug

ifneq ($(filter-out debug,$(KERNEL)),)
$(error KERNEL=$(KERNEL): there is debug, and without KERNEL the stock kernel)
endif

# What is set for this make and would be ignored in silence. With KDIR the rest is that kernel's business.
known := EXTRA FILTER INSTALL_MOD_PATH KCFLAGS KDIR KERNEL LLVM ONLY_MODULES ONLY_PROGRAMS QUICK SCENARIOS SEED TIME V W
# What programs take from the environment can be given so as well.
environment := CARGO_NET_OFFLINE CI VIRTQUEUE_CASE VIRTQUEUE_CASES VIRTQUEUE_SEED XDG_CACHE_HOME
given := $(foreach name,$(.VARIABLES),$(if $(filter command,$(origin $(name))),$(name)))
ifneq ($(filter M KBUILD_EXTMOD,$(given)),)
$(error M=$(M): a driver outside of this checkout is built with `make modules EXTRA=DIR', see Kbuild.driver)
endif
ifneq ($(filter O MO,$(given)),)
$(error O= and MO=: what is built goes to build/; for a kernel that was built in an O= directory, give that as KDIR)
endif
ifndef KDIR
ifneq ($(filter-out $(known) $(environment),$(given)),)
$(error $(filter-out $(known) $(environment),$(given)): no such variable; there are $(known), and with KDIR those \
	of that kernel)
endif
endif

ifdef KDIR
kdir := $(abspath $(KDIR))
run :=
kmake = $(MAKE) -C $(kdir)
release_command = cat $(kdir)/include/config/kernel.release 2>/dev/null
no_release := $(kdir) is no kernel that has been configured and prepared (it has no include/config/kernel.release)
else
run := $(toolbox) run
kmake = $(toolbox) kmake $(foreach v,V W KCFLAGS,$(if $($(v)),$(v)='$($(v))'))
release_command = $(toolbox) path release
no_release := there is no toolbox
ifdef LLVM
$(error LLVM=$(LLVM) needs KDIR: the compiler for kernels of the toolbox is known)
endif
endif

# Asked for once, and only by what needs it.
release = $(eval release := $$(or $$(shell $(release_command)),$$(error $(no_release))))$(release)

# Our modules for that kernel: built in OBJ, left in MODULES.
obj = $(build)/obj/$(release)
modules = $(build)/modules/$(release)
# $(call in_kbuild,M,MO): the kernel's build of what is in M, with objects in MO; one at a time there.
in_kbuild = flock $(2) $(kmake) M=$(1) MO=$(2)

# $(call collect,FROM,TO): the modules that were asked for and no others, which may be there from before; what
# has not changed stays as it is.
define collect
mkdir -p $(2); \
new=" $$(sed 's,.*/,,; s/o$$/ko/' $(1)/modules.order | tr '\n' ' ')"; \
for old in $(2)/*.ko; do case $$new in *" $${old##*/} "*) ;; *) rm -f "$$old" ;; esac; done; \
for name in $$new; do cmp -s $(1)/$$name $(2)/$$name || cp $(1)/$$name $(2)/; done
endef

# Drivers of others, in repositories of their own: EXTRA is their directories. The toolbox sees nothing but this
# checkout, so each is built from a copy in build/extra, without what was built in it.
extra_names = $(notdir $(abspath $(EXTRA)))
$(if $(filter-out $(words $(sort $(extra_names))),$(words $(extra_names))),\
	$(error EXTRA=$(EXTRA): two directories with the same name))

# $(call build_extra,DIR,KIND,ARG...): KIND is what the objects of the modules here that it needs are called by.
define build_extra
test -e $(1)/Kbuild || { echo 'EXTRA: $(1) has no Kbuild' >&2; exit 1; }; \
echo "  EXTRA   $(1)"; \
copy=$(build)/extra$(2)/$(notdir $(1)) objects=$(obj)$(2).extra/$(notdir $(1)); \
rm -rf $$copy; mkdir -p $$copy $$objects || exit; \
(cd $(1) && find . ! -path . \( -name '.*' -o -name build \) -prune -o -type f \
	! -name '*.o' ! -name '*.ko' ! -name '*.mod' ! -name '*.mod.c' ! -name '*.rmeta' \
	! -name modules.order ! -name Module.symvers -print0 | tar -c --null -T -) | tar -x -C $$copy || exit; \
$(call in_kbuild,$$copy,$$objects) RUST_VDPA=$(CURDIR) RUST_VDPA_OBJ=$(obj)$(2) $(3) modules || exit; \
$(if $(2),,$(call collect,$$objects,$(modules)/$(notdir $(1)));)
endef

PHONY := all
all: modules

PHONY += setup
setup:
ifdef KDIR
	$(Q)test -e $(kdir)/rust/libkernel.rmeta || { \
		echo 'KDIR=$(KDIR) has no Rust metadata: set CONFIG_RUST=y and build that kernel' >&2; \
		exit 1; }
else
	$(Q)$(toolbox) setup
endif

# ONLY_MODULES, if it is set, are those that somebody needs; of the others only the bus is built, and what
# simulators use.
PHONY += modules
modules: without += $(if $(ONLY_MODULES),$(shell sed -n 's/^.*module,\(RUST_[A-Z0-9_]*\),\([a-z0-9_]*\).*/\2 CONFIG_\1/p' Kbuild | \
	awk -v only=' vdpa vdpa_sim $(ONLY_MODULES) ' '!index(only, " " $$1 " ") { print $$2 "=n" }'))
modules: setup
	$(Q)mkdir -p $(obj)
	+$(Q)$(call in_kbuild,$(CURDIR),$(obj)) modules $(without)
	@$(call collect,$(obj),$(modules))
	+$(Q)$(foreach dir,$(abspath $(EXTRA)),$(call build_extra,$(dir)) ):

# Those of the documentation, which are built as anybody else's.
examples := $(addprefix $(CURDIR)/Documentation/vdpa/,tutorial template)

PHONY += examples
examples: modules
	+$(Q)$(foreach dir,$(examples),$(call build_extra,$(dir)) ):

# Without what is for tests only.
PHONY += modules_install
modules_install: without = CONFIG_RUST_VDPA_TEST=n CONFIG_RUST_VDPA_BOUNCE=n CONFIG_RUST_VDPA_BAR_SHIM=n \
	CONFIG_RUST_VDPA_WORST=n CONFIG_RUST_VDPA_KUNIT=n
modules_install: modules
ifdef KDIR
	+$(Q)$(call in_kbuild,$(CURDIR),$(obj)) modules_install
else
	$(Q)test -d $(install_to) || { \
		echo 'there is no $(install_to): this installs for Debian $(release); for another kernel give KDIR' >&2; \
		exit 1; }
	install -D -m 644 -t $(install_to)/updates $(modules)/*.ko
	$(Q)command -v depmod >/dev/null || { echo 'depmod, of package kmod, is not here: run it there' >&2; exit 1; }
	depmod $(if $(INSTALL_MOD_PATH),-b $(INSTALL_MOD_PATH)) $(release)
endif
install_to = $(INSTALL_MOD_PATH)/lib/modules/$(release)

PHONY += clean
clean:
	$(Q)rm -rf $(build) rust-project.json

# --- The C modules that the stock kernel does not have, to test against ---------------------------

c_sources := drivers/vhost/vringh.c \
	$(addprefix drivers/vdpa/vdpa_sim/,vdpa_sim.h vdpa_sim.c vdpa_sim_net.c vdpa_sim_blk.c) \
	$(addprefix drivers/vdpa/ifcvf/,ifcvf_base.h ifcvf_base.c ifcvf_main.c) \
	drivers/vdpa/virtio_pci/vp_vdpa.c
c_obj = $(build)/obj/$(release).c

PHONY += c-modules
c-modules: setup
	$(Q)mkdir -p $(c_obj)
	$(Q)cp -pu tests/c-modules/Kbuild $(addprefix $(shell $(toolbox) path source)/,$(c_sources)) $(c_obj)
	+$(Q)flock $(c_obj) $(kmake) M=$(c_obj) modules
	@$(call collect,$(c_obj),$(build)/c-modules/$(release))

# --- The debugging kernel -------------------------------------------------------------------------

# Scenarios that need modules in C are not run there.
PHONY += debug-kernel debug-modules
debug-kernel:
	+$(Q)$(debugging) setup

debug-modules: debug-kernel
	+$(Q)$(MAKE) KERNEL=debug modules

# --- Programs of others that scenarios run ---------------------------------------------------------

PHONY += others third-parties
others: setup
	+$(Q)$(toolbox) others

# Whose scenarios include what says how that is done.
third_parties = $(basename $(notdir $(shell grep -l '^\# files:.* tests/others\.sh' tests/scenarios/*.sh)))

third-parties:
	$(Q)tools/steps check $(third_parties)

# --- Formatting, lints, documentation -------------------------------------------------------------

kernel_rust = $(shell find rust vdpa_core virtio_vdpa vhost_vdpa drivers samples Documentation tests/kunit tests/modules \
	-name '*.rs' ! -name '*_generated.rs' 2>/dev/null)

PHONY += rustfmt rustfmtcheck
rustfmt: setup
	$(Q)$(run) rustfmt $(kernel_rust)
	$(Q)$(run) cargo fmt --all

rustfmtcheck: setup
	$(Q)$(run) rustfmt --check $(kernel_rust)
	$(Q)$(run) cargo fmt --all --check

PHONY += clippy clippy-kernel clippy-cargo
clippy: clippy-kernel clippy-cargo

clippy-kernel: setup
	$(Q)mkdir -p $(obj).clippy
	+$(Q)$(call in_kbuild,$(CURDIR),$(obj).clippy) CLIPPY=1 KRUSTFLAGS=-Dwarnings modules
	+$(Q)$(foreach dir,$(examples),$(call build_extra,$(dir),.clippy,CLIPPY=1 KRUSTFLAGS=-Dwarnings) ):

clippy-cargo: setup
	$(Q)$(run) cargo clippy --workspace --all-targets -- -D warnings

# What scenarios read is in the guest, not here.
PHONY += shellcheck
shellcheck: setup
	$(Q)$(run) shellcheck --exclude=SC1091 tools/toolbox tools/steps tools/panics tools/kernel-patch tools/kernel-tree .ci/run \
		$(wildcard tools/vm/src/guest/*.sh tests/*.sh tests/nested/*.sh tests/scenarios/*.sh tests/tree/*.sh tests/bench/*.sh)

# Places in the modules for the stock kernel that can panic, beside those that tests/panics knows.
PHONY += panics
panics: modules
	$(if $(KERNEL)$(KDIR),$(error the numbers in tests/panics are those of the stock kernel))
	$(Q)$(run) tools/panics $(modules)

crates := vdpa virtqueue

# To the search index that is there rustdoc adds, and does not always take out what it had of the same crate. Its
# format is that of the toolbox's compiler.
PHONY += rustdoc
rustdoc: modules
	$(Q)mkdir -p $(obj).rustdoc
	$(Q)rm -f $(build)/rustdoc/search-index.js
	+$(Q)$(call in_kbuild,$(CURDIR)/tools/rustdoc,$(obj).rustdoc) crates='$(crates)' \
		crates_obj=$(obj) rustdoc_out=$(build)/rustdoc modules
	$(if $(KDIR),,$(Q)$(run) tools/doc-aliases $(build)/rustdoc/search-index.js)

# The kernel writes what it knows of itself; the crates here are added from the commands that built them.
PHONY += rust-analyzer
rust-analyzer: modules
	+$(Q)$(call in_kbuild,$(CURDIR),$(obj)) rust-analyzer
	$(Q)tools/rust-project $(obj) $(if $(KDIR),/,$(shell $(toolbox) path root)) >$(CURDIR)/rust-project.json

# --- Tests ----------------------------------------------------------------------------------------

programs_in = $(build)/cargo/x86_64-unknown-linux-gnu/debug

PHONY += programs
programs: setup
	$(Q)$(run) cargo build --bins $(or $(ONLY_PROGRAMS:%=--package %),--workspace)

PHONY += test
test: setup
	$(Q)$(run) cargo test --workspace --no-fail-fast

# The suites of tests/kunit alone; FILTER is what KUnit filters them by: SUITE or SUITE.TEST, with * and ?.
PHONY += kunit
kunit: programs debug-modules
	$(Q)sed '/^# title:/a # append: kunit.filter_glob=$(or $(FILTER),vdpa_*)' tests/scenarios/kunit.sh >$(build)/kunit.sh
	$(Q)$(debugging) run $(programs_in)/vm run --show $(build)/kunit.sh

# In a kernel's own source: patches for it; and such a kernel, with our bus and the suites built in. FILTER
# is as above.
in_tree = $(build)/kernel-patch

PHONY += kernel-patch kernel-tree
kernel-patch: setup
	$(Q)tools/kernel-patch "$(shell $(toolbox) path source)" $(in_tree)

kernel-tree: kernel-patch
	$(Q)$(toolbox) tree tools/kernel-tree $(in_tree)/tree $(build)/kernel-tree $(if $(FILTER),'$(FILTER)')

# The fuzzers alone. All that they do follows from SEED, for TIME seconds each.
fuzzers = $(notdir $(wildcard tests/scenarios/fuzz-*.sh))

PHONY += fuzz
fuzz: programs debug-modules
	$(Q)seed=$(or $(SEED),$$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')); \
	echo "seed $$seed: \`make fuzz SEED=$$seed' does the same"; \
	for name in $(fuzzers); do \
		awk -v seed=$$seed -v time=$(or $(TIME),60) ' \
			/^seed=/ { $$0 = "seed=" seed } \
			/^seconds=/ { $$0 = "seconds=" time } \
			/^# timeout: / { $$3 += 7 * time } \
			{ print }' tests/scenarios/$$name >$(build)/$$name || exit; \
	done
	$(Q)$(debugging) run $(programs_in)/vm run --show $(fuzzers:%=$(build)/%)

PHONY += check
check:
	$(Q)tools/steps check $(SCENARIOS)

# The table and the plot go into Documentation/, the figures that they were made of are in the logs.
benchmarks = $(basename $(notdir $(wildcard tests/bench/*.sh)))

PHONY += bench
bench: modules programs c-modules
	$(Q)$(run) $(programs_in)/vm run $(benchmarks:%=tests/bench/%.sh)
	$(Q)$(run) $(programs_in)/bench Documentation/vdpa \
		$(benchmarks:%=build/logs/%.log)

# Only what the demonstration needs.
PHONY += demo-build demo-programs
demo-build: without = CONFIG_RUST_VDPA_NULL=n CONFIG_RUST_VDPA_RNG=n CONFIG_RUST_VDPA_TEST=n \
	CONFIG_RUST_VDPA_BOUNCE=n
demo-build: modules demo-programs

demo-programs: setup
	$(Q)$(run) cargo build --package vm --package guest

PHONY += demo
demo:
	$(if $(KERNEL),$(error KERNEL=$(KERNEL): the demonstration is of the stock kernel))
	$(Q)tools/steps demo

define help
The two commands:
  demo             build everything, boot a stock kernel with the modules, show what they do
  check            everything that can be checked; the last line counts
                   QUICK=1: some of it, before a commit
                   SCENARIOS="a b": only these, of tests/scenarios
                   KERNEL=debug: on the debugging kernel

Modules:
  modules          build them for the stock kernel, into build/modules/RELEASE
  modules KDIR=DIR [LLVM=1]
                   build them for a kernel of your own, without the toolbox; DIR is its source or
                   its O= directory. Its Rust support must be enabled and built.
  modules EXTRA="DIR..." [KDIR=DIR]
                   and the drivers in these repositories, into build/modules/RELEASE/NAME; see
                   Kbuild.driver
  modules_install [KDIR=DIR] [INSTALL_MOD_PATH=DIR]
                   install them, where the kernel that they are for is installed
  examples         the drivers of Documentation/vdpa, as if they were somebody else's
  clean            remove what was built
  c-modules        build the C simulators, ifcvf and vp_vdpa, to test against
  debug-kernel     build a kernel that looks for errors: KASAN, lockdep, kmemleak and others
  debug-modules    build the modules for it, as `make KERNEL=debug modules' does

Development:
  rustfmt          format; rustfmtcheck tells what is not
  clippy           lint kernel and cargo code, warnings denied
  rustdoc          documentation of the crates, into build/rustdoc
  rust-analyzer    rust-project.json
  test             host-side tests
  kunit            tests in the debugging kernel, which is built first if there is none; FILTER=SUITE
                   or SUITE.TEST, with * and ?
  kernel-patch     patches for a kernel's source, into build/kernel-patch/patches
  kernel-tree      build a kernel with these patches, and run the tests that are built in; FILTER
                   as for kunit
  fuzz             random use of the modules, in the debugging kernel; SEED=NUMBER does the same as
                   that time, TIME=SECONDS for so long each
  third-parties    scenarios with programs of others, also those that `make check' has no time for
  bench            instructions per operation, beside the C modules
  shellcheck       lint scripts
  panics           count the places in the modules that can panic

Set-up:
  setup            what the others need, into ~/.cache/rust-vdpa; tools/toolbox has more

V=1 shows commands.
endef

PHONY += help
help:
	$(info $(help))
	@:

.PHONY: $(PHONY)
