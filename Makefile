# The library, the nginx module and the example module that the tests use.
#
#   make                the first two, in build/
#   make NGINX_SRC=DIR  against another nginx source tree than nginx-dev's
#   make SANITIZE=address,undefined BUILD=build/asan unit

BUILD     ?= build
NGINX_SRC ?= /usr/share/nginx/src
NGINX     ?= /usr/sbin/nginx
PREFIX    ?= /usr
CC        ?= cc
CXX       ?= c++

PKGS      = libunwind libprotobuf-c libdw libelf zlib liblzma

CFLAGS    ?= -O2 -g
PRT_FLAGS = -std=gnu11 -falign-functions=64 -D_GNU_SOURCE -fPIC -fvisibility=hidden -pthread \
            -Wall -Wextra -Werror -Wpointer-arith \
            -Wstrict-prototypes -Wmissing-prototypes -Wwrite-strings \
            -Iruntime -I$(BUILD)

# memcpy() and the like may be called in a signal handler: bound at load (-z now)
PRT_LINK  = -shared -pthread -Wl,-z,nodelete -Wl,-z,now -Wl,-z,defs \
            -Wl,-z,start-stop-visibility=hidden \
            -Wl,-soname,libpprofrt.so
PRT_LIBS  = $(shell pkg-config --libs $(PKGS)) -ldl -lm

ifdef SANITIZE
PRT_FLAGS += -fsanitize=$(SANITIZE) -fno-sanitize-recover=undefined
PRT_LINK  := $(filter-out -Wl$(comma)-z$(comma)defs,$(PRT_LINK)) -fsanitize=$(SANITIZE)
UNIT_LINK += -fsanitize=$(SANITIZE)
endif

comma     := ,

SRCS      := $(wildcard runtime/platform/*.c runtime/store/*.c \
                        runtime/sources/*.c runtime/collect/*.c \
                        runtime/encode/*.c runtime/serve/*.c)
OBJS      := $(SRCS:runtime/%.c=$(BUILD)/obj/%.o) $(BUILD)/obj/profile.pb-c.o
MODULE    := ngx_http_pprof_module
UNITS     := $(patsubst t/unit/%_test.c,$(BUILD)/unit/%_test, \
                        $(wildcard t/unit/*_test.c))


.PHONY: all module hosted unit fuzz lint check demo bench install clean

all: $(BUILD)/libpprofrt.so module


$(BUILD)/libpprofrt.so: $(OBJS)
	$(CC) $(PRT_LINK) -o $@ $^ $(PRT_LIBS)

$(BUILD)/profile.pb-c.c: runtime/proto/profile.proto
	@mkdir -p $(BUILD)
	protoc-c --c_out=$(BUILD) --proto_path=runtime/proto $<

$(BUILD)/profile.pb-c.h: $(BUILD)/profile.pb-c.c

$(BUILD)/obj/profile.pb-c.o: $(BUILD)/profile.pb-c.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -fPIC -fvisibility=hidden -I$(BUILD) -c -o $@ $<

$(BUILD)/obj/%.o: runtime/%.c | $(BUILD)/profile.pb-c.h
	@mkdir -p $(@D)
	$(CC) $(PRT_FLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

-include $(OBJS:.o=.d)


# nginx's modules are built in a copy of its tree, by its own configure

module: $(BUILD)/libpprofrt.so
	tools/build-module --nginx-src $(NGINX_SRC) --build $(BUILD) .

hosted: $(BUILD)/libpprofrt.so
	tools/build-module --nginx-src $(NGINX_SRC) --build $(BUILD) t/hosted


# unit tests see the inside of the library, so they are linked with its objects

unit: $(UNITS)

$(BUILD)/unit/%_test: t/unit/%_test.c $(OBJS)
	@mkdir -p $(@D)
	$(CC) $(PRT_FLAGS) $(CFLAGS) -MMD -MP $(UNIT_LINK) -o $@ $< $(OBJS) \
	    $(PRT_LIBS) -lcmocka -lcrypto -lm

# ... but for those that are plain programs with the public header

PLAIN     := custom runtime heap heap_mmap heap_faults heap_loss block \
             block_rules goroutine crash recorder gops

$(PLAIN:%=$(BUILD)/unit/%_test): $(BUILD)/unit/%_test: \
        t/unit/%_test.c t/unit/client.h t/unit/known.h t/unit/block.h \
        $(BUILD)/libpprofrt.so
	@mkdir -p $(@D)
	$(CC) $(PRT_FLAGS) $(CFLAGS) -rdynamic $(UNIT_LINK) -o $@ $< \
	    $(BUILD)/obj/profile.pb-c.o -L$(BUILD) -lpprofrt \
	    -Wl,-rpath,'$$ORIGIN/..' -lprotobuf-c -lz -lcmocka

HEAP_TESTS := $(filter $(BUILD)/unit/heap%,$(UNITS))

$(HEAP_TESTS): $(BUILD)/unit/heap_later.so $(BUILD)/unit/heap_operators.so

$(BUILD)/unit/heap_later.so: t/unit/heap_later.c
	@mkdir -p $(@D)
	$(CC) $(PRT_FLAGS) $(CFLAGS) -shared -o $@ $<

$(BUILD)/unit/heap_operators.so: t/unit/heap_operators.cc
	@mkdir -p $(@D)
	$(CXX) -std=gnu++17 -O2 -g -fPIC -Wall -Wextra -Werror -shared -o $@ $<

-include $(UNITS:=.d)


check:
	tools/check

demo:
	tools/demo

bench:
	tools/bench

install: all
	install -d $(DESTDIR)$(PREFIX)/lib/nginx/modules \
	           $(DESTDIR)$(PREFIX)/include
	install -m 644 $(BUILD)/libpprofrt.so $(BUILD)/$(MODULE).so \
	           $(DESTDIR)$(PREFIX)/lib/nginx/modules
	install -m 644 runtime/pprofrt.h $(DESTDIR)$(PREFIX)/include

clean:
	rm -rf $(BUILD)


# what a reader need not look for

NGINX_DIRS := src/core src/event src/event/modules src/os/unix src/http \
              src/http/modules src/http/v2 objs
NGINX_INCS  = $(NGINX_DIRS:%=-I$(BUILD)/nginx-module/%)
CPPCHECK    = cppcheck --quiet --std=c11 --error-exitcode=1 --inline-suppr \
              --enable=warning,portability --suppress=missingIncludeSystem \
              --suppress=normalCheckLevelMaxBranches -D__x86_64__ -Iruntime

# one file a run: in several, clang-tidy 14 takes the second va_list for
# uninitialized

lint: module $(BUILD)/profile.pb-c.h
	$(CPPCHECK) runtime
	$(CPPCHECK) --suppress='*:$(BUILD)/*' -Ingx_module $(NGINX_INCS) \
	    ngx_module t/hosted
	printf '%s\n' $(SRCS) $(wildcard ngx_module/*.c t/hosted/*.c) \
	    | xargs -P$(shell nproc) -I@ clang-tidy --quiet @ -- -std=gnu11 \
	          -D_GNU_SOURCE -Iruntime -I$(BUILD) -Ingx_module $(NGINX_INCS)


# ns per frame and sample; gperftools beside it, where it is installed

$(BUILD)/bench_unwind: tools/bench_unwind.c $(OBJS)
	$(CC) $(PRT_FLAGS) $(CFLAGS) -o $@ $< $(OBJS) $(PRT_LIBS)

# a pair of malloc() and free(); the library is loaded by the program

$(BUILD)/bench_heap: tools/bench_heap.c tools/bench_library.h \
        $(BUILD)/libpprofrt.so
	$(CC) $(PRT_FLAGS) $(CFLAGS) -Wl,-z,now -o $@ $< -ldl

# calls that could block; in the same way

$(BUILD)/bench_block: tools/bench_block.c tools/bench_library.h \
        $(BUILD)/libpprofrt.so
	$(CC) $(PRT_FLAGS) $(CFLAGS) -Wl,-z,now -o $@ $< -ldl

# the trace: an event, and a dump

$(BUILD)/bench_trace: tools/bench_trace.c $(OBJS)
	$(CC) $(PRT_FLAGS) $(CFLAGS) -o $@ $< $(OBJS) $(PRT_LIBS)

# ... beside lttng-ust, where it is installed; and what a dump holds the loop for

$(BUILD)/bench_lttng: tools/bench_lttng.c tools/bench_lttng.h
	$(CC) $(PRT_FLAGS) -Itools $(CFLAGS) -o $@ $< -llttng-ust -ldl

$(BUILD)/bench_loop.so: tools/bench_loop.c
	$(CC) $(PRT_FLAGS) $(CFLAGS) -shared -o $@ $< -ldl

# names: their time and memory

$(BUILD)/bench_symbols: tools/bench_symbols.c t/unit/elf_image.h $(OBJS)
	$(CC) $(PRT_FLAGS) $(CFLAGS) -o $@ $< $(OBJS) $(PRT_LIBS)


# parsers of outside input

FUZZERS   := $(patsubst t/unit/fuzz_%.c,$(BUILD)/fuzz/%, \
                        $(wildcard t/unit/fuzz_*.c))
FUZZ_OBJS := $(SRCS:runtime/%.c=$(BUILD)/fuzz/obj/%.o) \
             $(BUILD)/fuzz/obj/profile.pb-c.o
FUZZ_CC    = clang -g -O1 -std=gnu11 -D_GNU_SOURCE -pthread -Iruntime \
             -I$(BUILD) -MMD -MP -fno-sanitize-recover=undefined

fuzz: $(FUZZERS)

$(BUILD)/fuzz/%: t/unit/fuzz_%.c $(FUZZ_OBJS)
	@mkdir -p $(@D)
	$(FUZZ_CC) -fsanitize=fuzzer,address,undefined -o $@ $< $(FUZZ_OBJS) \
	    $(PRT_LIBS)

$(BUILD)/fuzz/obj/profile.pb-c.o: $(BUILD)/profile.pb-c.c
	@mkdir -p $(@D)
	$(FUZZ_CC) -c -o $@ $<

$(BUILD)/fuzz/obj/%.o: runtime/%.c | $(BUILD)/profile.pb-c.h
	@mkdir -p $(@D)
	$(FUZZ_CC) -fsanitize=fuzzer-no-link,address,undefined -c -o $@ $<

-include $(FUZZ_OBJS:.o=.d) $(FUZZERS:=.d)
