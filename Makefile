# luabench: `make run` and `make test` install what is missing, build, and go. `make help` lists the rest.
CC      ?= cc
BUILD   ?= build
PREFIX  ?= /usr/local
CFLAGS  ?= -O3 -g
VERSION ?= $(or $(patsubst v%,%,$(shell git describe --tags --match 'v[0-9]*' 2>/dev/null)),0.1.0)
ARCH    := $(shell uname -m)
JOBS    := $(shell nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 2)

# Linked libraries. OpenBLAS and libedit are loaded when first needed (vendor/README.md).
PKGS      = luajit yaml-0.1 zlib libcjson libpcre2-8 libutf8proc
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKG_LIBS   := $(shell pkg-config --libs $(PKGS) 2>/dev/null)
LIBS       = $(PKG_LIBS) -lpthread -ldl -lm

# Frames: what is larger is scratch memory or the heap's (engine/scratch.h), so that small stacks do.
WARN      := -Wall -Wextra -Wconversion -Wno-sign-conversion -Wvla -Wframe-larger-than=65536 -Werror
LB_CFLAGS := -std=gnu11 $(WARN) -fno-math-errno -ffp-contract=off -D_GNU_SOURCE -I. -Iengine -I$(BUILD) $(PKG_CFLAGS)
ISA_avx2   := -mavx2 -mfma -mf16c
ISA_avx512 := -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mavx512bf16 -mavx512vbmi -mfma -mf16c \
              -mprefer-vector-width=512
ISA_amx    := $(ISA_avx512) -mamx-tile -mamx-int8 -mamx-bf16

SRC := $(wildcard $(addsuffix /*.c,engine engine/ops engine/io engine/text engine/bind \
                                   kernels kernels/quant kernels/cpu))
AMX :=
ifeq ($(filter x86_64 amd64,$(ARCH)),)
# kernels/registry.c leaves these out of the list on other machines (LB_KERNEL_X86).
SRC := $(filter-out %_avx2.c %_avx512.c,$(SRC))
else
# Not every compiler and assembler that know AVX-512 know AMX (gcc does since 11, clang since 12, binutils since 2.35).
AMX := $(shell echo 'void f(void) { __asm__("tdpbf16ps %tmm2, %tmm1, %tmm0"); }' | \
         $(CC) $(ISA_amx) -x c -c -o /dev/null - > /dev/null 2>&1 && echo -DLB_AMX)
endif
SRC := $(if $(AMX),$(SRC),$(filter-out %_amx.c,$(SRC)))
OBJ       := $(SRC:%.c=$(BUILD)/obj/%.o)
CORE_OBJ  := $(filter-out $(BUILD)/obj/engine/main.o,$(OBJ))
TEST_SRC  := $(wildcard tests/c/test_*.c)
TEST_BIN  := $(TEST_SRC:tests/c/%.c=$(BUILD)/tests/%)

# The CUDA part: a shared object of its own, where nvcc is. CUDA=0 leaves it out; CUDA_ARCH="90a" builds for one only.
NVCC      ?= $(firstword $(wildcard $(shell command -v nvcc 2>/dev/null) $(CUDA_HOME)/bin/nvcc \
                                    /usr/local/cuda/bin/nvcc))
CUDA      ?= $(if $(NVCC),1,0)
CUDA_ARCH ?= 80 89 90a
CUDA_PTX  ?= $(firstword $(CUDA_ARCH))
CUDA_SO   := $(if $(filter 1,$(CUDA)),$(BUILD)/lib/luabench_cuda.so)

all: $(BUILD)/luabench $(CUDA_SO)

# One short line for each command; `make V=1` shows them whole.
Q   := $(if $(V),,@)
say  = $(if $(V)$(findstring s,$(firstword -$(MAKEFLAGS))),@:,@echo '  $(1)')

# ---- objects ----------------------------------------------------------------------------------------------------
$(BUILD)/obj/%_avx2.o: ISA := $(ISA_avx2)
$(BUILD)/obj/%_avx512.o: ISA := $(ISA_avx512)
$(BUILD)/obj/%_amx.o: ISA := $(ISA_amx)
$(BUILD)/obj/kernels/registry.o: ISA := $(AMX)
$(BUILD)/obj/%.o: %.c $(BUILD)/flags | $(BUILD)/version.h
	@mkdir -p $(@D)
	$(call say,cc   $<)
	$(Q)$(CC) $(LB_CFLAGS) $(CFLAGS) $(if $(filter kernels/cpu/%,$<),,$(ENGINE_O)) $(ISA) -MMD -MP -c $< -o $@

$(BUILD)/luabench: $(OBJ)
	$(call say,link $@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -rdynamic -o $@ $^ $(LIBS)

$(BUILD)/tests/%: $(BUILD)/obj/tests/c/%.o $(CORE_OBJ)
	@mkdir -p $(@D)
	$(call say,link $@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -rdynamic -o $@ $^ $(LIBS) -lcmocka

ifneq ($(CUDA_SO),)
CUDA_DIR := $(abspath $(dir $(realpath $(NVCC)))..)
CUDA_SRC := $(wildcard engine/cuda/*.c engine/cuda/*.cu kernels/cuda/*.c kernels/cuda/*.cu kernels/cuda/*/*.cu)
CUDA_OBJ := $(patsubst %,$(BUILD)/cuda/%.o,$(CUDA_SRC))
CUDA_GEN := $(foreach a,$(CUDA_ARCH),-gencode=arch=compute_$(a),code=sm_$(a)) \
            $(foreach a,$(CUDA_PTX),-gencode=arch=compute_$(a),code=compute_$(a))
# With `CC="ccache cc"` nvcc goes through ccache, too.
NVCC_RUN := $(filter ccache,$(firstword $(CC))) $(NVCC)
NVCC_FLAGS := -std=c++20 -O3 -lineinfo -I. -Iengine --expt-relaxed-constexpr -Xptxas -v $(CUDA_GEN) \
              -Xcompiler -fPIC,-fvisibility=hidden,-Wall,-Wno-unused-function $(NVCC_EXTRA)
CUDA_CFLAGS := -std=gnu11 $(WARN) -fPIC -fvisibility=hidden -D_GNU_SOURCE -I. -Iengine \
               -DLB_CUDA_ARCHITECTURES='"$(CUDA_ARCH)"' -isystem $(CUDA_DIR)/include

# What ptxas says of registers, stack and spills stays beside each object: tests/gpu/ checks it.
$(BUILD)/cuda/%.cu.o: %.cu $(BUILD)/cuda/flags
	@mkdir -p $(@D)
	$(call say,nvcc $<)
	$(Q)$(NVCC_RUN) $(NVCC_FLAGS) -MMD -MP -MF $(@:.o=.d) -c $< -o $@ 2> $@.ptxas || \
	  { grep -v '^ptxas info' $@.ptxas >&2; exit 1; }
	@grep -E 'warning|error' $@.ptxas >&2 || true
# It calls a function of the device runtime: relocatable code, which linking the shared object resolves.
$(BUILD)/cuda/engine/cuda/decide.cu.o: private NVCC_FLAGS += -rdc=true
$(BUILD)/cuda/%.c.o: %.c $(BUILD)/cuda/flags
	@mkdir -p $(@D)
	$(call say,cc   $<)
	$(Q)$(CC) $(CUDA_CFLAGS) -O2 -g -MMD -MP -c $< -o $@
# The CUDA runtime goes in; the driver is looked for when a device is opened. What is left undefined the program has.
$(CUDA_SO): $(CUDA_OBJ)
	@mkdir -p $(@D)
	$(call say,link $@)
	$(Q)$(NVCC) -shared -cudart static $(CUDA_GEN) -Xcompiler -fPIC,-static-libstdc++,-static-libgcc \
	  -Xlinker -Bsymbolic,--exclude-libs,ALL,--no-undefined-version -o $@ $^
$(BUILD)/cuda/flags: FORCE
	@mkdir -p $(@D); printf '%s\n' '$(NVCC_FLAGS)' '$(CUDA_CFLAGS)' "$$($(NVCC) --version | tail -n 1)" > $@.new
	$(keep_if_same)
-include $(CUDA_OBJ:.o=.d)
endif

# The CUDA kernels again, as C++ over tests/gpu/emulator/, so that they are tested where no GPU is. nvcc makes one fma
# of a product and a sum where it can; so does this where the processor has it.
EMULATED_SRC := $(wildcard kernels/cuda/*.cu kernels/cuda/*/*.cu tests/gpu/emulator/*.cpp)
EMULATED_OBJ := $(patsubst %,$(BUILD)/emulated/%.o,$(EMULATED_SRC) kernels/cuda/registry_cuda.c)
EMULATED_BIN := $(patsubst tests/gpu/%.c,$(BUILD)/tests/%,$(wildcard tests/gpu/test_emulated_*.c))
EMULATED_FLAGS := -x c++ -std=gnu++20 -fPIC -fvisibility=hidden -Itests/gpu/emulator -I. -Iengine -Wall \
                  -Wno-unused-function -Wno-unknown-pragmas -Wno-deprecated-enum-enum-conversion -D_GNU_SOURCE \
                  -ffp-contract=fast $(if $(shell grep -sw fma /proc/cpuinfo),-mfma)
EMULATED_O := -O1
# The kernels are what sanitizers are to look at; the emulator between their turns would take more time than they do.
# What it copies for them is looked at by the sanitizer's memcpy, and fibers say where they are.
$(BUILD)/emulated/tests/gpu/emulator/emulator.cpp.o: EMULATED_O = -O2 $(if $(findstring address,$(CFLAGS)),\
  -fno-sanitize=all -fno-builtin-memcpy -fno-builtin-memset -DLB_EMU_SANITIZED)
$(BUILD)/emulated/%.c.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(Q)$(CC) $(LB_CFLAGS) $(CFLAGS) -fPIC -MMD -MP -c $< -o $@
$(BUILD)/emulated/%.o: % $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,c++  $< (emulated))
	$(Q)$(filter ccache,$(firstword $(CC))) $(CXX) $(EMULATED_FLAGS) $(filter-out -O%,$(CFLAGS)) $(EMULATED_O) \
	  -MMD -MP -c $< -o $@
$(BUILD)/tests/emulated.so: $(EMULATED_OBJ)
	@mkdir -p $(@D)
	$(call say,link $@)
	$(Q)$(CXX) $(CFLAGS) $(LDFLAGS) -shared -o $@ $^ -lm -ldl
$(BUILD)/tests/emulator_faults.so: $(patsubst %,$(BUILD)/emulated/tests/gpu/%.cpp.o,emulator/emulator emulator/wgmma \
                                                                                    faults/faults)
	@mkdir -p $(@D)
	$(call say,link $@)
	$(Q)$(CXX) $(CFLAGS) $(LDFLAGS) -shared -o $@ $^ -lm
$(BUILD)/tests/test_emulator: $(BUILD)/obj/tests/gpu/test_emulator.o $(BUILD)/tests/emulator_faults.so
	$(call say,link $@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $< -ldl -lcmocka
$(EMULATED_BIN): $(BUILD)/tests/%: $(BUILD)/obj/tests/gpu/%.o $(CORE_OBJ) | $(BUILD)/tests/emulated.so
	$(call say,link $@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -rdynamic -o $@ $^ $(LIBS) -lcmocka
-include $(EMULATED_OBJ:.o=.d) $(patsubst %.c,$(BUILD)/obj/%.d,$(wildcard tests/gpu/test_emulated_*.c))

# engine/cuda/ once more, over a device that is played on the CPU (tests/gpu/fake/): needs neither nvcc nor a GPU.
FAKE_SRC := $(filter-out %/nvml.c,$(wildcard engine/cuda/*.c tests/gpu/fake/*.c))
FAKE_NVML := $(BUILD)/tests/fake_nvml/libnvidia-ml.so.1
FAKE_OBJ := $(FAKE_SRC:%.c=$(BUILD)/fake/%.o)
$(BUILD)/fake/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,cc   $< (fake))
	$(Q)$(CC) -std=gnu11 $(WARN) -D_GNU_SOURCE -I. -Iengine -Itests/gpu/fake -fPIC -fvisibility=hidden $(CFLAGS) \
	  -DLB_CUDA_ARCHITECTURES='"none"' -MMD -MP -c $< -o $@
$(BUILD)/tests/fake_cuda.so: $(FAKE_OBJ)
	$(call say,link $@)
	$(Q)mkdir -p $(@D)/fake_cuda && $(CC) $(CFLAGS) $(LDFLAGS) -shared -o $@ $^ -lpthread -ldl
	$(Q)ln -sf ../fake_cuda.so $(@D)/fake_cuda/libnvrtc.so.13
$(FAKE_NVML): tests/gpu/fake/nvml.c $(BUILD)/flags
	$(call say,cc   $<)
	$(Q)mkdir -p $(@D) && $(CC) -std=gnu11 $(WARN) -D_GNU_SOURCE -fvisibility=hidden $(CFLAGS) -shared -fPIC -o $@ $<
-include $(FAKE_OBJ:.o=.d)

# Rewritten only when their content changes, so that nothing is rebuilt without a reason.
define keep_if_same
	@mkdir -p $(@D); if cmp -s $@.new $@; then rm -f $@.new; else mv $@.new $@; fi
endef
$(BUILD)/flags: FORCE
	@mkdir -p $(@D); printf '%s\n' '$(CC) $(LB_CFLAGS) $(CFLAGS) $(ENGINE_O)' '$(ISA_avx2)' \
	  '$(ISA_avx512)' '$(ISA_amx)' '$(AMX)' > $@.new
	$(keep_if_same)
$(BUILD)/version.h: FORCE
	@mkdir -p $(@D); sh vendor/version.sh '$(VERSION)' '$(CC)' '$(CFLAGS)' > $@.new
	$(keep_if_same)

FUZZ_SRC := $(wildcard tests/fuzz/fuzz_*.c)
FUZZ_BIN := $(FUZZ_SRC:tests/fuzz/%.c=$(BUILD)/tests/%)
FUZZ_DRIVER = $(BUILD)/obj/tests/fuzz/driver.o
$(FUZZ_BIN): $(BUILD)/tests/%: $(BUILD)/obj/tests/fuzz/%.o $(BUILD)/obj/tests/fuzz/common.o $(FUZZ_DRIVER) $(CORE_OBJ)
	@mkdir -p $(@D)
	$(call say,link $@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -rdynamic -o $@ $^ $(LIBS)
# With libFuzzer the readers of files are clang's, with its sanitizers; the rest, which is written for gcc, is as it is.
ifdef FUZZ_CC
FUZZED := $(addprefix $(BUILD)/obj/,engine/io/%.o engine/text/%.o tests/fuzz/%.o)
$(FUZZED): CC = $(FUZZ_CC)
$(FUZZ_BIN): private CC = $(FUZZ_CC)
$(FUZZED): CFLAGS = -O1 -g -fno-omit-frame-pointer -fno-sanitize-recover=undefined \
                    -fsanitize=fuzzer-no-link,address,undefined
$(FUZZ_BIN): private LDFLAGS = -fsanitize=fuzzer,address,undefined
endif

-include $(OBJ:.o=.d) $(TEST_SRC:%.c=$(BUILD)/obj/%.d) $(FUZZ_SRC:%.c=$(BUILD)/obj/%.d)

# ---- the two commands -------------------------------------------------------------------------------------------
setup:
	@sh vendor/install.sh
run: setup
	@$(MAKE) --no-print-directory -j$(JOBS) all
	$(BUILD)/luabench scenarios/moe_mixed.lua --model glm4 --tokens 1,16,256 --quick

test: setup
	@$(MAKE) --no-print-directory -j$(JOBS) all test-programs
	@$(MAKE) --no-print-directory -j$(JOBS) sanitized
	@BUILD=$(BUILD) bash tests/run.sh

# The tests that need a GPU: make gpu-check, gpu-bench; their result files go to $$OUT or the current folder.
GPU_BIN := $(patsubst tests/gpu/%.c,$(BUILD)/tests/%,$(wildcard tests/gpu/gpu_*.c))
$(GPU_BIN): $(BUILD)/tests/%: $(BUILD)/obj/tests/gpu/%.o $(CORE_OBJ)
	@mkdir -p $(@D)
	$(call say,link $@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -rdynamic -o $@ $^ $(LIBS) -lcmocka
-include $(GPU_BIN:$(BUILD)/tests/%=$(BUILD)/obj/tests/gpu/%.d)
# cuBLASLt without the engine, as a reference for gpu-bench.
GPU_BARE := $(if $(CUDA_SO),$(BUILD)/tests/gpu_bare)
$(BUILD)/tests/gpu_bare: tests/gpu/bare_cublaslt.cpp $(BUILD)/cuda/engine/cuda/library.c.o
	@mkdir -p $(@D)
	$(call say,nvcc $<)
	$(Q)$(NVCC_RUN) -std=c++20 -O2 -I. -Xcompiler -Wall -c $< -o $@.o && \
	  $(NVCC) -cudart static -o $@ $@.o $(word 2,$^) -ldl
gpu-check: all $(GPU_BIN)
	@BUILD=$(BUILD) bash tests/gpu/check.sh
gpu-bench: all $(GPU_BARE)
	@BUILD=$(BUILD) bash tests/gpu/bench.sh
gpu-limits: all
	@BUILD=$(BUILD) bash tests/gpu/test_ptxas.sh record

c-tests: $(TEST_BIN) $(BUILD)/tests/emulated.so $(EMULATED_BIN) $(BUILD)/tests/test_emulator
test-programs: c-tests $(BUILD)/tests/faulty_kernels.so $(BUILD)/tests/fake_cuda.so $(FAKE_NVML) \
               $(if $(CUDA_SO),$(GPU_BIN) $(GPU_BARE))

# Kernels made wrong on purpose, for tests/faults/faults.lua.
$(BUILD)/tests/faulty_kernels.so: tests/faults/faulty_kernels.c $(wildcard engine/*.h engine/ops/*.h) $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,cc   $<)
	$(Q)$(CC) $(LB_CFLAGS) $(CFLAGS) -shared -fPIC $< -o $@

# The C tests once more under the address, undefined-behaviour and (threads) thread sanitizers. Without warnings: the
# instrumented code makes the compiler see things that are not there; the plain build is the one that has to be clean.
# Oracles and quantizers gain from -O2; kernels' vectors gain less than it takes to compile them, three to five times as
# long. Reports need names and lines, which -g1 has; -g compiles half as long again.
SANITIZE = $(MAKE) --no-print-directory -s WARN=-w LDFLAGS=
ASAN = $(SANITIZE) BUILD=$(BUILD)/asan ENGINE_O=-O2 \
  CFLAGS='-O1 -g1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined'
sanitized:
	+@$(ASAN) c-tests fuzz-programs
	+@$(SANITIZE) BUILD=$(BUILD)/tsan tsan-programs CFLAGS='-O1 -g -fsanitize=thread'
TSAN_OBJ = $(patsubst %,$(BUILD)/obj/%.o,tests/c/test_pool engine/pool engine/huge engine/memory engine/cgroup \
  engine/scratch engine/status engine/clock)
tsan-programs: $(TSAN_OBJ)
	@mkdir -p $(BUILD)/tests
	$(Q)$(CC) $(CFLAGS) -o $(BUILD)/tests/test_pool $^ -lpthread -lm -lcmocka

# Parsers of files under mutated input; `make test` does some of it. clang's libFuzzer is used where clang is.
SECONDS = 60
LIBFUZZER = $(shell clang -fsanitize=fuzzer -x c -o /dev/null - < /dev/null 2>&1 | \
              grep -c 'fuzzer.*No such file\|not found')
fuzz-programs: $(FUZZ_BIN)
fuzz:
ifeq ($(LIBFUZZER),0)
	+@$(MAKE) --no-print-directory -s WARN= BUILD=$(BUILD)/libfuzzer FUZZ_CC=clang FUZZ_DRIVER= fuzz-programs
else
	+@$(ASAN) fuzz-programs
endif
	@BUILD=$(BUILD) bash tests/fuzz/long.sh $(SECONDS)

# ---- the rest ---------------------------------------------------------------------------------------------------
BENCH = $(basename $(notdir $(wildcard tests/bench/*.lua)))
bench: all
	@for f in $(BENCH:%=tests/bench/%.lua); do echo "== $$f"; $(BUILD)/luabench $$f --timeout 3600 || exit 1; done
layers:
	@bash tests/layers.sh

DATA = $(DESTDIR)$(PREFIX)/share/luabench
HEADERS := $(addprefix engine/,kernel.h op.h quantizer.h activation.h tensor.h scratch.h dtype.h status.h device.h \
                               rng.h)
install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DATA) $(DESTDIR)$(PREFIX)/include/luabench/ops
	install -m 755 $(BUILD)/luabench $(DESTDIR)$(PREFIX)/bin/luabench
	$(if $(CUDA_SO),install -d $(DESTDIR)$(PREFIX)/lib/luabench && \
	  install -m 755 $(CUDA_SO) $(DESTDIR)$(PREFIX)/lib/luabench/)
	rm -rf $(DATA)/lua $(DATA)/scenarios
	cp -R lua scenarios $(DATA)/
	install -m 644 $(HEADERS) $(DESTDIR)$(PREFIX)/include/luabench
	install -m 644 engine/ops/slots.h engine/ops/kv.h engine/ops/recipes.h engine/ops/topk.h \
	  $(DESTDIR)$(PREFIX)/include/luabench/ops
dist: all $(if $(CUDA_SO),$(GPU_BIN) $(GPU_BARE))
	@CC='$(CC)' BUILD='$(BUILD)' bash vendor/dist.sh '$(VERSION)' '$(ARCH)' '$(CFLAGS) $(LDFLAGS)' '$(LIBS)' $(OBJ)

clean:
	rm -rf $(BUILD)
help:
	@echo 'make run      install what is missing, build, run the main job (MoE strategies on GLM-4.7-Flash layers)'
	@echo 'make test     the same, then every test; closes with the counts'
	@echo 'make          build $(BUILD)/luabench'
	@echo 'make fuzz     SECONDS=600: readers of files under mutated input, each for so long'
	@echo 'make bench    timed figures beside what is asked; BENCH="one_row decode": only these'
	@echo 'make install  PREFIX=$(PREFIX) DESTDIR=$(DESTDIR)'
	@echo 'make dist     $(BUILD)/luabench-$(VERSION)-$(ARCH).tar.gz, which runs on a machine without the packages'
	@echo 'make gpu-check  every CUDA kernel on the GPU at hand against f64; make gpu-bench: what they reach'
	@echo 'make layers   check which part includes which'
	@echo 'make setup    only install what is missing; make clean removes $(BUILD)'

FORCE:
.PHONY: all gpu-check gpu-bench gpu-limits setup run test c-tests test-programs fuzz-programs sanitized tsan-programs \
        fuzz bench layers install dist clean help FORCE
.DELETE_ON_ERROR:
.SECONDARY:
