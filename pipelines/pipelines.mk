# What every pipeline shares: presets, jobs, variables as dependencies, stage lines.

PRESET ?= demo
RUN ?= runs/$(PRESET)
include pipelines/presets/$(PRESET).mk

## Pipelines
##   make smalltalk       the main job: corpus to report, into RUN
##   make ablate-random   the same with sequences assigned to experts at random
##   make ablate-label    the same with domains assigned to experts by hand
##   variables            PRESET=demo|quick|..., RUN=runs/PRESET, CORPUS=DIR (one domain per
##                        sub-folder), E=4, TRUNK=0.5, ROUTE=router|label, ASSIGN=balanced|random|argmax|...,
##                        DEVICE=auto, SEED=1, LAUNCH='srun ...'; see pipelines/presets and docs/pipelines.md

# Numbers with a decimal point and one order of names, whatever the user's locale.
export LC_ALL := C

DEVICE ?= auto
SEED ?= 1
LAUNCH ?=

# Independent stages run side by side, one thread each: small models gain more from that than from threads.
# make's own -j, where given, comes before JOBS.
JOBS ?= $(shell nproc)
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(JOBS)
endif
THREADS ?= 1
device_options = --device $(DEVICE) --threads $(THREADS)

# A stage prints one line when it is done and leaves a line in RUN/stages.tsv: name, seconds, when it began.
# $(call stage,NAME,COMMANDS)
define stage
$(Q)mkdir -p $(@D) && start=$$(date +%s.%N) && { $(2); } && \
  awk -v a=$$start -v b=$$(date +%s.%N) -v n='$(1)' -v f='$(RUN)/stages.tsv' \
    'BEGIN { printf "$(clear_line)  %-28s %8.1f s\n", n, b - a; printf "%s\t%.1f\t%.1f\n", n, b - a, a >> f }'
endef

# Variables enter the graph by files named after their values: $(call variables,NAME,LIST) is such a file, made
# anew (its older siblings removed) when a value changes, so `make -n` writes nothing and still tells the truth.
variables = $(RUN)/variables/$(1)-$(shell printf '%s' '$(foreach v,$(2),$(v)=$($(v));)' | cksum | tr ' ' -)
$(RUN)/variables/%:
	$(Q)mkdir -p $(@D) && rm -f $(@D)/$(firstword $(subst -, ,$*))-* && touch $@

# One make at a time works in RUN; the second names the first and stops. `make -n`, -q and -t ask nobody.
make_letters := $(filter-out --%,$(firstword -$(MAKEFLAGS)))
ifeq ($(findstring n,$(make_letters))$(findstring q,$(make_letters))$(findstring t,$(make_letters)),)
ifneq ($(filter smalltalk ablate-% $(RUN)/%,$(MAKECMDGOALS)),)
in_use := $(shell pipelines/lock '$(RUN)' $$PPID 2>&1)
ifneq ($(in_use),)
$(error $(in_use))
endif
# On a terminal, and there alone, the stages' lines write over one that tells how far the trainings are.
ifneq ($(and $(MAKE_TERMOUT),$(MAKE_TERMERR)),)
clear_line := \033[K
$(shell pipelines/smalltalk/progress '$(RUN)' $$PPID < /dev/null > /dev/null &)
endif
endif
endif

include pipelines/smalltalk/smalltalk.mk
