# SPDX-License-Identifier: GPL-2.0
#
# What `make check' does, as goals that are made side by side; tools/steps runs this with several jobs. A goal is a step
# of that name. Each leaves its result where tools/steps adds it up, and never fails here, so that what depends on it
# can say for itself that it was not possible.
#
# STOCK_NEEDS and DEBUG_NEEDS are the goals that machines of these kernels need.

STEPS := tools/steps

.PHONY: nothing
nothing:
	@echo "check.mk: which step?" >&2; exit 1

goals := modules programs c-modules examples rustfmtcheck clippy-kernel clippy-cargo shellcheck panics rustdoc test \
	debug-kernel debug-modules kernel-tree others

.PHONY: $(goals)
$(goals):
	@$(STEPS) goal $@

# Cargo builds one thing at a time, and the programs are what others wait for.
clippy-cargo: programs
test: clippy-cargo

# What is documented is linked to what was built.
rustdoc: modules

panics: modules
examples: modules

debug-modules: debug-kernel
kernel-tree: debug-kernel

stock.%: $(STOCK_NEEDS)
	@$(STEPS) machine stock $*

# On the stock kernel, with programs of others.
others.%: $(STOCK_NEEDS) others
	@$(STEPS) machine others $*

debug.%: $(DEBUG_NEEDS)
	@$(STEPS) machine debug $*

tree.%: kernel-tree programs
	@$(STEPS) machine tree $*
