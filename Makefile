# tacit: mixtures of language models that need almost no communication.
# `make help` lists the targets; V=1 shows every command.

SHELL := /bin/bash
.SHELLFLAGS := -eo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
.SUFFIXES:

# ---- what to build ------------------------------------------------------------------------------------------

CC ?= gcc
ifeq ($(origin CC),default)
CC := gcc
endif
PREFIX ?= /usr/local
DESTDIR ?=
ifeq ($(origin CUDA),undefined)
CUDA := $(if $(shell command -v nvcc 2>/dev/null),1,0)
endif
ARCH ?= native
OPT ?= -O2
WERROR ?= 0
SANITIZE ?=
BUILD ?= build$(if $(SANITIZE),-asan)
BIN ?= $(if $(SANITIZE),$(BUILD)/bin,bin)
# By one name each: make would take a file under a second one for another, which depends on nothing.
override BUILD := $(patsubst $(CURDIR)/%,%,$(BUILD))
override BIN := $(patsubst $(CURDIR)/%,%,$(BIN))
V ?= 0

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
Q := $(if $(filter 1,$(V)),,@)
say = $(if $(filter 1,$(V)),,@printf '  %-6s %s\n' '$(1)' '$(2)')

NVCC ?= nvcc
WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wwrite-strings \
            $(if $(filter 1,$(WERROR)),-Werror)
CPPFLAGS += -D_GNU_SOURCE -Ilib -Itools
CFLAGS_ALL = -std=c11 -g $(OPT) $(WARNINGS) -fno-common -pthread $(SANITIZE) $(CFLAGS)
KERNEL_FLAGS := -O3 -march=$(ARCH) -fno-math-errno -fno-trapping-math -ffp-contract=fast \
                -Wno-psabi # vectors stay within inlined functions: how a narrower processor passes them is no matter
LDLIBS_ALL = -ldnnl -lgomp -lzstd -lz -lxxhash -ljansson -lm -ldl -pthread $(LDLIBS)

LIB_LAYERS := base stream kernels text model
LIB_SOURCES := $(sort $(wildcard $(foreach l,$(LIB_LAYERS),lib/$(l)/*.c) lib/kernels/cpu/*.c))
TOOLS := $(sort $(notdir $(patsubst %/,%,$(dir $(wildcard tools/*/main.c)))))
TOOL_SOURCES := $(sort $(wildcard $(foreach t,$(TOOLS),tools/$(t)/*.c)))
UNIT_SOURCES := $(sort $(wildcard test/unit/*.c))
HELPER_SOURCES := $(sort $(wildcard test/*.c))
BENCH_SOURCES := $(sort $(wildcard bench/*.c))
FUZZ_SOURCES := $(sort $(wildcard test/fuzz/*.c test/fuzz/targets/*.c))
SOURCES := $(LIB_SOURCES) $(TOOL_SOURCES) $(UNIT_SOURCES) $(HELPER_SOURCES) $(BENCH_SOURCES) $(FUZZ_SOURCES)
FAULT_SOURCES := $(sort $(wildcard test/faults/*.c))
SOURCES += $(FAULT_SOURCES)
objects = $(patsubst %.c,$(BUILD)/%.o,$(1))

LIBRARY := $(BUILD)/libtacit.a
TOOL_BINARIES := $(TOOLS:%=$(BIN)/%)
UNIT_BINARIES := $(UNIT_SOURCES:test/unit/%.c=$(BUILD)/unit/%)
HELPER_BINARIES := $(HELPER_SOURCES:test/%.c=$(BUILD)/test/%)
BENCH_BINARIES := $(BENCH_SOURCES:bench/%.c=$(BUILD)/bench/%)
# Streams are read with and without their hashes.
FUZZ_TARGETS := $(patsubst test/fuzz/targets/%.c,%,$(filter test/fuzz/targets/%,$(FUZZ_SOURCES))) stream-unhashed
FUZZ_REPLAYS := $(FUZZ_TARGETS:%=$(BUILD)/fuzz/%)

.PHONY: all help deps test unit faults fuzz fuzz-seeds bench tune kill-campaign bench-kernels install clean asan lint format
.DEFAULT_GOAL := all

all: $(TOOL_BINARIES) man

# ---- compiling ----------------------------------------------------------------------------------------------

# Flags enter the graph through a stamp, so that changing one rebuilds what depends on it.
FLAGS_STAMP := $(BUILD)/flags
FLAGS_TEXT := $(CC) $(CPPFLAGS) $(CFLAGS_ALL) $(KERNEL_FLAGS) $(CUDA)
$(shell mkdir -p $(BUILD) && { [ "$$(cat $(FLAGS_STAMP) 2>/dev/null)" = '$(FLAGS_TEXT)' ] || echo '$(FLAGS_TEXT)' > $(FLAGS_STAMP); })

$(BUILD)/%.o: %.c $(FLAGS_STAMP) | deps-check
	$(call say,cc,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS_ALL) $(EXTRA) -MMD -MP -c -o $@ $<

$(call objects,$(filter lib/kernels/cpu/%,$(LIB_SOURCES)) lib/stream/elements.c tools/assign/columns.c tools/assign/rows.c lib/text/bpe.c): EXTRA = $(KERNEL_FLAGS)

# The version string lives in one object, so that a commit relinks and does not rebuild.
VERSION_STAMP := $(BUILD)/version
$(shell [ "$$(cat $(VERSION_STAMP) 2>/dev/null)" = '$(VERSION)' ] || echo '$(VERSION)' > $(VERSION_STAMP))
$(BUILD)/lib/base/version.o: EXTRA = -DTACIT_VERSION='"$(VERSION)"'
$(BUILD)/lib/base/version.o: $(VERSION_STAMP)

# ---- CUDA ---------------------------------------------------------------------------------------------------

# One shared object beside the tools, loaded by --device cuda: code for sm_80 and sm_90a, PTX for newer chips. What
# it needs of the library (errors) it takes from the tool that loads it.
CUDA_SOURCES := $(sort $(wildcard lib/kernels/cuda/*.cu))
CUDA_HEADERS := $(sort $(wildcard lib/kernels/cuda/*.cuh)) lib/kernels/kernels.h lib/base/error.h
CUDA_BACKEND := $(BIN)/libtacit-cuda.so
CUDA_ARCH ?= -gencode arch=compute_80,code=sm_80 -gencode arch=compute_90a,code=sm_90a \
             -gencode arch=compute_90,code=compute_90
CUDA_FLAGS := -std=c++20 -O3 -lineinfo --threads 0 -Ilib -Xcompiler -fPIC,-Wall,-Wextra,-Wno-unused-parameter \
              $(if $(filter 1,$(WERROR)),--Werror all-warnings -Xcompiler -Werror)
CUDA_STAMP := $(BUILD)/cuda-flags
CUDA_FLAGS_TEXT := $(NVCC) $(CUDA_ARCH) $(CUDA_FLAGS)
$(shell [ "$$(cat $(CUDA_STAMP) 2>/dev/null)" = '$(CUDA_FLAGS_TEXT)' ] || echo '$(CUDA_FLAGS_TEXT)' > $(CUDA_STAMP))
CUDA_OBJECTS := $(patsubst %.cu,$(BUILD)/%.o,$(CUDA_SOURCES))

$(BUILD)/%.o: %.cu $(CUDA_HEADERS) $(CUDA_STAMP)
	$(call say,nvcc,$<)
	@mkdir -p $(@D)
	$(Q)$(NVCC) $(CUDA_ARCH) $(CUDA_FLAGS) -c -o $@ $<

$(CUDA_BACKEND): $(CUDA_OBJECTS)
	$(call say,link,$@)
	@mkdir -p $(@D)
	$(Q)$(NVCC) -shared -cudart static -o $@ $^ -lcublasLt
ifeq ($(CUDA),1)
all: $(CUDA_BACKEND)
endif

# The same files for a processor (test/emulate/emulate.h): g++ compiles them against stand-ins of CUDA's headers, and
# the programs beside the result open it as device "cuda". UBSan sees accesses that are not aligned.
EMULATED := $(BUILD)/emulated
EMULATE_BACKEND := $(EMULATED)/libtacit-cuda.so
EMULATE_SOURCES := $(sort $(wildcard test/emulate/*.cpp))
EMULATE_HEADERS := $(CUDA_HEADERS) $(sort $(wildcard test/emulate/*.h test/emulate/include/*.h))
EMULATE_KERNELS ?= $(notdir $(CUDA_SOURCES:.cu=))
EMULATE_OBJECTS := $(EMULATE_KERNELS:%=$(BUILD)/emulate/lib/kernels/cuda/%.o) $(EMULATE_SOURCES:%.cpp=$(BUILD)/emulate/%.o)
EMULATE_FLAGS = -std=c++20 -g -O1 -march=$(ARCH) -fPIC -Itest/emulate/include -Itest/emulate -Ilib -Wall -Wextra \
                -Wno-unknown-pragmas -Wno-unused-parameter -Wno-deprecated-enum-enum-conversion $(if $(filter 1,$(WERROR)),-Werror) $(EMULATE_EXTRA) \
                $(or $(SANITIZE),-fsanitize=alignment$(,)bounds$(,)shift -fno-sanitize-recover=all)
, := ,
$(BUILD)/emulate/test/%.o: EMULATE_EXTRA := -O3
$(BUILD)/emulate/test/emulate/products.o: override SANITIZE := # checks what it is given, and would take minutes
$(BUILD)/emulate/%.o: %.cu $(EMULATE_HEADERS) $(FLAGS_STAMP)
	$(call say,c++,$<)
	@mkdir -p $(@D)
	$(Q)$(CXX) -x c++ $(EMULATE_FLAGS) -c -o $@ $<
$(BUILD)/emulate/%.o: %.cpp $(EMULATE_HEADERS) $(FLAGS_STAMP)
	$(call say,c++,$<)
	@mkdir -p $(@D)
	$(Q)$(CXX) $(EMULATE_FLAGS) -c -o $@ $<
$(EMULATE_BACKEND): $(EMULATE_OBJECTS)
	$(call say,link,$@)
	@mkdir -p $(@D)
	$(Q)$(CXX) -shared -Wl,-Bsymbolic $(or $(SANITIZE),-fsanitize=undefined) -o $@ $^ -ldl
EMULATE_CHECK := $(EMULATED)/check
$(EMULATE_CHECK): $(BUILD)/emulate/test/emulate/check/check.o $(EMULATE_SOURCES:%.cpp=$(BUILD)/emulate/%.o)
	$(call say,link,$@)
	@mkdir -p $(@D)
	$(Q)$(CXX) $(or $(SANITIZE),-fsanitize=undefined) -o $@ $^ -ldl
EMULATED_UNITS := kernels_attention kernels_products kernels_rows kernels_update model_golden model_finite \
                  model_invariance model_numeric
EMULATED_TOOLS := train route
EMULATED_BENCH := tune kernels
$(EMULATED_BENCH:%=$(EMULATED)/%): $(EMULATED)/%: $(BUILD)/bench/%
	@mkdir -p $(@D) && ln -f $< $@
$(EMULATED_UNITS:%=$(EMULATED)/%): $(EMULATED)/%: $(BUILD)/unit/%
	@mkdir -p $(@D) && ln -f $< $@
$(EMULATED_TOOLS:%=$(EMULATED)/%): $(EMULATED)/%: $(BIN)/%
	@mkdir -p $(@D) && { ln -f $< $@ 2> /dev/null || cp $< $@; }
.PHONY: emulated
emulated: $(EMULATE_BACKEND) $(EMULATE_CHECK) \
  $(addprefix $(EMULATED)/,$(EMULATED_UNITS) $(EMULATED_TOOLS) $(EMULATED_BENCH))

# ---- the library and the tools --------------------------------------------------------------------------------

$(LIBRARY): $(call objects,$(LIB_SOURCES))
	$(call say,ar,$@)
	@rm -f $@
	$(Q)ar qcs $@ $^

# link TARGET from its objects and the library
define link
	$(call say,link,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) $(LDFLAGS) -rdynamic -o $@ $(filter %.o,$^) $(LIBRARY) $(LDLIBS_ALL)
endef

define tool_rule
$(BIN)/$(1): $(call objects,$(sort $(wildcard tools/$(1)/*.c))) $(LIBRARY)
	$$(link)
endef
$(foreach t,$(TOOLS),$(eval $(call tool_rule,$(t))))

# The tools again, with faults: test functions in the place of the layer's (test/faults/faults.h), by the linker.
FAULT_BINARIES := $(TOOLS:%=$(BUILD)/faults/%)
FAULT_FUNCTIONS = $(shell grep -oE 'system_[a-z_]+' lib/base/system.h | sort -u) pthread_create fts_open fts_read \
                  inflateInit2_ XXH3_createState ZSTD_createCCtx ZSTD_createDCtx ZSTD_createDStream
define fault_rule
$(BUILD)/faults/$(1): $(call objects,$(sort $(wildcard tools/$(1)/*.c)) $(FAULT_SOURCES)) $(LIBRARY)
	$$(link)
endef
$(foreach t,$(TOOLS),$(eval $(call fault_rule,$(t))))
$(FAULT_BINARIES): LDFLAGS += $(FAULT_FUNCTIONS:%=-Wl,--wrap=%)

# A unit program is linked with every tool's algorithms, their mains left out.
TOOL_PARTS := $(call objects,$(filter-out %/main.c,$(TOOL_SOURCES)))
TOOL_PARTS_LIBRARY := $(BUILD)/libtools.a
$(TOOL_PARTS_LIBRARY): $(TOOL_PARTS)
	@rm -f $@
	$(Q)ar qcs $@ $^

define program_link
	$(call say,link,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) $(LDFLAGS) -rdynamic -o $@ $< $(TOOL_PARTS_LIBRARY) $(LIBRARY) $(LDLIBS_ALL) $(UNIT_LIBS)
endef
# The library has its own table of Unicode's classes; utf8proc checks it.
$(BUILD)/unit/text_split: UNIT_LIBS := -lutf8proc
$(BUILD)/unit/%: $(BUILD)/test/unit/%.o $(TOOL_PARTS_LIBRARY) $(LIBRARY)
	$(program_link)
$(BUILD)/test/%: $(BUILD)/test/%.o $(TOOL_PARTS_LIBRARY) $(LIBRARY)
	$(program_link)
$(BUILD)/bench/%: $(BUILD)/bench/%.o $(TOOL_PARTS_LIBRARY) $(LIBRARY)
	$(program_link)

# A fuzz target by itself runs over files: the test of the kept inputs, wherever there is no libFuzzer. Linked with
# zero_hash.o it passes the hash checks.
FUZZ_SUPPORT := $(BUILD)/test/fuzz/support.o $(BUILD)/test/fuzz/replay.o
define fuzz_link
	$(call say,link,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) $(LDFLAGS) -o $@ $(filter %.o,$^) $(TOOL_PARTS_LIBRARY) $(LIBRARY) $(LDLIBS_ALL)
endef
$(BUILD)/fuzz/%: $(BUILD)/test/fuzz/targets/%.o $(FUZZ_SUPPORT) $(TOOL_PARTS_LIBRARY) $(LIBRARY)
	$(fuzz_link)
$(BUILD)/fuzz/%-unhashed: $(BUILD)/test/fuzz/targets/%.o $(BUILD)/test/fuzz/zero_hash.o $(FUZZ_SUPPORT) \
  $(TOOL_PARTS_LIBRARY) $(LIBRARY)
	$(fuzz_link)

-include $(patsubst %.c,$(BUILD)/%.d,$(SOURCES))
# Otherwise a first make takes the objects of the unit programs for intermediate ones, and removes them.
.SECONDARY: $(call objects,$(SOURCES))

# ---- what the machine needs ---------------------------------------------------------------------------------

# package:probe, a header or a command
PACKAGES := gcc:gcc g++:g++ libc6-dev:stdio.h libdnnl-dev:oneapi/dnnl/dnnl.h libzstd-dev:zstd.h zlib1g-dev:zlib.h \
            libxxhash-dev:xxhash.h libjansson-dev:jansson.h libutf8proc-dev:utf8proc.h bats:bats \
            gnuplot-nox:gnuplot perl:perl xz-utils:xz git:git jq:jq zstd:zstd \
            man-db:man pkg-config:pkg-config \
            $(if $(filter fuzz,$(MAKECMDGOALS)),clang:clang libclang-rt-dev:clang)
deps:
	@bash build-aux/deps $(PACKAGES)

# A build on a machine without a library ends in its package's name, not in a missing header.
.PHONY: deps-check
deps-check: $(BUILD)/deps
$(BUILD)/deps: Makefile build-aux/deps | $(filter deps,$(MAKECMDGOALS))
	@bash build-aux/deps --check $(PACKAGES)
	@touch $@

# ---- tests --------------------------------------------------------------------------------------------------

unit: $(UNIT_BINARIES)
# Without g++ there is no emulated CUDA device, and its tests are skipped.
TESTS_EMULATED = $(if $(and $(or $(filter %cuda.bats,$(TESTS)),$(if $(TESTS),,all)),$(shell command -v $(CXX))),emulated)
test: all unit $(HELPER_BINARIES) $(FAULT_BINARIES) $(FUZZ_REPLAYS) $(TESTS_EMULATED)
	@TACIT_BIN=$(abspath $(BIN)) TACIT_BUILD=$(abspath $(BUILD)) bash test/run $(TESTS)

# Everything that checks and measures the backend on a GPU in one folder, for any x86-64 processor with AVX2. Where it
# is there already, test-gpu, bench DEVICE=cuda and tune take it as it is, and need neither compiler nor network: carry
# $(GPU_KIT) along (or its programs `run` and `bench` alone). test-gpu-build makes it anew.
GPU_KIT ?= $(BIN)/gpu-kit
GPU_BUILD := $(BUILD)-gpu
GPU_PROGRAMS := $(addprefix $(GPU_BUILD)/,test/mkstream bench/kernels bench/tune)
.PHONY: test-gpu test-gpu-build gpu-kit
test-gpu-build: $(CUDA_BACKEND)
	+@$(MAKE) --no-print-directory all unit $(GPU_PROGRAMS) BUILD=$(GPU_BUILD) BIN=$(GPU_BUILD)/bin CUDA=0 ARCH=x86-64-v3
	@bash test/gpu/collect $(abspath $(GPU_KIT)) $(abspath $(GPU_BUILD)/bin) $(abspath $(GPU_BUILD)) $(abspath $(CUDA_BACKEND))
gpu-kit:
	+@[ -x $(GPU_KIT)/run ] || $(MAKE) --no-print-directory test-gpu-build
	@[ $(VERSION) = unknown ] || grep -qx '$(VERSION)' $(GPU_KIT)/version || \
	  echo "$(GPU_KIT) is of $$(cat $(GPU_KIT)/version), not of $(VERSION): make test-gpu-build makes it anew" >&2
test-gpu: gpu-kit
	@$(GPU_KIT)/run

# The whole suite again under AddressSanitizer and UndefinedBehaviorSanitizer.
asan:
	+@$(MAKE) --no-print-directory test OPT=-O1 ARCH=x86-64-v3 CUDA=0 \
	  SANITIZE='-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer'

# Every call of every tool that can fail fails, alone and with all later ones (minutes; `make test` tries some).
faults: all $(HELPER_BINARIES) $(FAULT_BINARIES) $(TOOL_PARTS_LIBRARY)
	@FAULTS_MOST=0 TACIT_BIN=$(abspath $(BIN)) TACIT_BUILD=$(abspath $(BUILD)) bash test/run test/faults.bats
	@cat $(BUILD)/faults/report
	@awk '{ f += $$5; r += $$7; d += $$9 } END { print f " faults, " r " refused, " d " done without" }' $(BUILD)/faults/report

# Every stage of the pipeline under kill -9, KILLS times each, against an undisturbed run (minutes).
KILLS ?= 20
KILL_FOLDER ?= $(BUILD)/kill-campaign
kill-campaign: all
	@rm -rf $(KILL_FOLDER) && test/made-up-corpus $(KILL_FOLDER)/corpus
	@test/kill-campaign $(KILLS) $(KILL_FOLDER) PRESET=quick CORPUS=$(KILL_FOLDER)/corpus BIN=$(BIN) BUILD=$(BUILD) DEVICE=cpu

# The same targets under libFuzzer. clang does not know gcc's vectors, so what has them comes from gcc.
FUZZ_CC ?= clang
FUZZ_SECONDS ?= 10
FUZZ_BUILD := $(BUILD)-fuzz
FUZZ_FLAGS := -std=c11 -g -O2 -w -fno-common -pthread -fsanitize=fuzzer-no-link,address,undefined \
              -fno-sanitize-recover=all -fno-omit-frame-pointer
FUZZ_GCC := lib/kernels/cpu/% lib/text/bpe.c lib/base/version.c
FUZZ_LIBRARY := $(FUZZ_BUILD)/libfuzz.a
FUZZ_BINARIES := $(FUZZ_TARGETS:%=$(FUZZ_BUILD)/%)
fuzz_objects = $(patsubst %.c,$(FUZZ_BUILD)/%.o,$(1))
$(FUZZ_BUILD)/%.o: %.c $(FLAGS_STAMP) | deps-check fuzz-check
	@mkdir -p $(@D)
	$(Q)$(FUZZ_CC) $(CPPFLAGS) $(FUZZ_FLAGS) $(FUZZ_EXTRA) -MMD -MP -c -o $@ $<
# A report of each comparison of its loop over bytes would take a quarter of the time of all that reads JSON.
$(FUZZ_BUILD)/lib/base/json.o: FUZZ_EXTRA := -fno-sanitize-coverage=trace-cmp
$(FUZZ_LIBRARY): $(call fuzz_objects,test/fuzz/support.c $(filter-out $(FUZZ_GCC),$(LIB_SOURCES)) \
  $(filter-out %/main.c,$(TOOL_SOURCES))) $(call objects,$(filter $(FUZZ_GCC),$(LIB_SOURCES)))
	@rm -f $@
	$(Q)ar qcs $@ $^
define fuzzer_link
	$(call say,fuzzer,$@)
	$(Q)$(FUZZ_CC) $(FUZZ_FLAGS) -fsanitize=fuzzer -o $@ $(filter %.o,$^) $(FUZZ_LIBRARY) \
	  -Wl,--as-needed $(LDLIBS_ALL)
endef
$(FUZZ_BUILD)/%: $(FUZZ_BUILD)/test/fuzz/targets/%.o $(FUZZ_LIBRARY)
	$(fuzzer_link)
$(FUZZ_BUILD)/%-unhashed: $(FUZZ_BUILD)/test/fuzz/targets/%.o $(FUZZ_BUILD)/test/fuzz/zero_hash.o $(FUZZ_LIBRARY)
	$(fuzzer_link)
-include $(patsubst %.c,$(FUZZ_BUILD)/%.d,$(LIB_SOURCES) $(TOOL_SOURCES) $(FUZZ_SOURCES))
.SECONDARY: $(call fuzz_objects,$(FUZZ_SOURCES))

# Every target for FUZZ_SECONDS from its kept inputs.
FUZZ ?= $(FUZZ_TARGETS)
fuzz: $(FUZZ:%=$(FUZZ_BUILD)/%)
	@bash test/fuzz/run $(FUZZ_BUILD) $(FUZZ_SECONDS) $(FUZZ)

.PHONY: fuzz-check
fuzz-check: | $(filter deps,$(MAKECMDGOALS))
	@command -v $(FUZZ_CC) > /dev/null || { echo "fuzz: no $(FUZZ_CC) here, and libFuzzer comes with it:" 	  "run 'make deps fuzz'; 'make test' replays the kept inputs without it" >&2; exit 1; }

# The first inputs, made anew.
$(BUILD)/fuzz/mkstream-unhashed: $(BUILD)/test/mkstream.o $(BUILD)/test/fuzz/zero_hash.o $(TOOL_PARTS_LIBRARY) \
  $(LIBRARY)
	$(fuzz_link)
fuzz-seeds: $(BUILD)/test/mkstream $(BUILD)/fuzz/mkstream-unhashed
	@bash test/fuzz/seeds $(BUILD)

# DEVICE=cuda: a GPU's rows, from the folder that test-gpu-build makes.
BENCH_DEVICE = $(filter cuda%,$(DEVICE))
bench: $(if $(BENCH_DEVICE),gpu-kit,all $(BENCH_BINARIES) $(HELPER_BINARIES))
	@DEVICE=$(BENCH_DEVICE) TACIT_BIN=$(abspath $(BIN)) TACIT_BUILD=$(abspath $(BUILD)) TACIT_KIT=$(abspath $(GPU_KIT)) bash bench/run $(BENCH)
# Choose the products of models' shapes by timing, for runs on this device. TUNE: CONFIG:BATCH:LENGTH[:MODELS] ...,
# otherwise the shapes of the benchmark.
tune: gpu-kit
	@DEVICE=$(or $(BENCH_DEVICE),cuda) $(GPU_KIT)/bench tune $(TUNE)
	@cp $(GPU_KIT)/libtacit-cuda.tune $(BIN)/
# Every kernel by itself, and what a training step would take of the kernels alone.
bench-kernels: $(BUILD)/bench/kernels
	@$<

format:
	clang-format -i $$(git ls-files '*.c' '*.h' '*.cu' '*.cuh' '*.cpp')
# clang does not know gcc's vectors, which the kernels are made of.
lint:
	clang-format --dry-run --Werror $$(git ls-files '*.c' '*.h' '*.cu' '*.cuh' '*.cpp')
	printf '%s\0' $(filter-out lib/kernels/cpu/% lib/text/bpe.c,$(LIB_SOURCES)) $(TOOL_SOURCES) | xargs -0 -P "$$(nproc)" -I{} \
	  clang-tidy --quiet {} -- $(CPPFLAGS) -std=c11 -DTACIT_VERSION='"lint"' 2> /dev/null

# ---- manual -------------------------------------------------------------------------------------------------

MAN_SOURCES := $(sort $(wildcard man/*.1 man/*.7))
MAN_PAGES := $(MAN_SOURCES:man/%=$(BUILD)/man/%) $(BUILD)/man/tacit-formats.5

.PHONY: man
man: $(MAN_PAGES)
$(BUILD)/man/%: man/% man/common.man build-aux/man-page $(VERSION_STAMP)
	@mkdir -p $(@D)
	$(Q)awk -f build-aux/man-page -v version='$(VERSION)' man/common.man $< > $@
$(BUILD)/man/tacit-formats.5: docs/formats.md build-aux/markdown-man $(VERSION_STAMP)
	@mkdir -p $(@D)
	$(Q)awk -f build-aux/markdown-man -v name=tacit-formats -v section=5 -v version='$(VERSION)' \
	  -v purpose='streams, checkpoints and logs of tacit, byte by byte' $< > $@

# ---- installing ---------------------------------------------------------------------------------------------

# What other programs may include, as <stream/stream.h>; everything else in lib/ is its own affair.
HEADERS := $(addprefix base/,error file hash json memory progress random threads tool version) \
           stream/stream stream/share text/vocabulary kernels/kernels \
           $(addprefix model/,batch checkpoint config cost model safetensors schedule)
LIBRARY_VERSION := $(shell sed -n 's/.*library_version\[\] = "\(.*\)";/\1/p' lib/base/tool.c)
PC_VALUES = -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(LIBRARY_VERSION)|' -e 's|@LIBS@|$(LDLIBS_ALL)|'
# Under STAGE; a recipe quotes it, for folders may have blanks in their names.
STAGE = $(DESTDIR)$(PREFIX)
COMPLETIONS = $(STAGE)/share/bash-completion/completions

# `route` and others exist elsewhere, so installed names carry a prefix.
install: all $(LIBRARY) $(MAN_PAGES)
	@install -d "$(STAGE)/bin" "$(STAGE)/share/doc/tacit" "$(STAGE)/lib/pkgconfig" "$(COMPLETIONS)"
	$(Q)for t in $(TOOLS); do install -m 755 "$(BIN)/$$t" "$(STAGE)/bin/tacit-$$t"; done
	$(Q)for p in $(MAN_PAGES); do install -D -m 644 "$$p" "$(STAGE)/share/man/man$${p##*.}/$${p##*/}"; done
	$(Q)install -m 644 completion/tacit.bash "$(COMPLETIONS)/tacit"
	$(Q)for t in $(TOOLS); do ln -sf tacit "$(COMPLETIONS)/tacit-$$t"; done
	$(Q)install -m 644 README.md LICENSE docs/*.md "$(STAGE)/share/doc/tacit/"
	$(Q)for h in $(HEADERS); do install -D -m 644 lib/$$h.h "$(STAGE)/include/tacit/$$h.h"; done
	$(Q)install -m 644 $(LIBRARY) "$(STAGE)/lib/"
ifeq ($(CUDA),1)
	$(Q)install -D -m 755 $(CUDA_BACKEND) "$(STAGE)/lib/tacit/libtacit-cuda.so"
endif
	$(Q)sed $(PC_VALUES) tacit.pc.in > "$(STAGE)/lib/pkgconfig/tacit.pc"
	@echo "installed $(words $(TOOLS)) tools as $(STAGE)/bin/tacit-*, with manual, completion, library and headers"

.PHONY: uninstall
uninstall:
	$(Q)rm -f $(TOOLS:%="$(STAGE)/bin/tacit-%") $(TOOLS:%="$(COMPLETIONS)/tacit-%") "$(COMPLETIONS)/tacit" \
	  "$(STAGE)/lib/libtacit.a" "$(STAGE)/lib/pkgconfig/tacit.pc"
	$(Q)for p in $(notdir $(MAN_PAGES)); do rm -f "$(STAGE)/share/man/man$${p##*.}/$$p"; done
	$(Q)rm -rf "$(STAGE)/include/tacit" "$(STAGE)/share/doc/tacit" "$(STAGE)/lib/tacit"

clean:
	rm -rf build build-fuzz build-asan build-asan-fuzz build-gpu bin bench/out

# ---- pipelines ----------------------------------------------------------------------------------------------

include pipelines/pipelines.mk

help:
	@awk '/^## / { sub(/^## /, ""); print }' Makefile pipelines/*.mk

## Building
##   make                 every tool into bin/, its manual into BUILD/man
##   make deps            install what is missing (apt), or name the command
##   make emulated        the CUDA backend for a processor, and programs beside it that use it
##   make test            the test suite; TESTS='test/mix.bats ...' runs some of it
##   make test-gpu        check the CUDA backend on this machine's GPU, from the folder GPU_KIT=BIN/gpu-kit, which can be
##                        carried to a machine without compiler and network; make test-gpu-build makes it anew
##   make faults          every allocation, read, write, ... of every tool fails once (minutes)
##   make asan            the test suite under AddressSanitizer and UBSan
##   make kill-campaign   kill -9 every pipeline stage, KILLS=20 times, and compare the results
##   make fuzz            fuzz every parser (clang) for FUZZ_SECONDS=10 each; FUZZ="json stream" for some
##   make bench           time every row against its floor; BENCH="train route" for some; DEVICE=cuda: a GPU's
##                        rows, beside PyTorch's, from GPU_KIT
##   make tune            time the products of TUNE's models on a GPU, and keep the fastest beside the backend
##   make bench-kernels   time each kernel
##   make install         tools as PREFIX/bin/tacit-NAME, their manual, completion and library
##                        (DESTDIR=, PREFIX=/usr/local); make uninstall takes them away
##   make clean           remove what was built (runs/ stays)
##   variables            V=1 show commands, ARCH=native|x86-64-v3|..., CUDA=0|1, WERROR=1, OPT=-O2
