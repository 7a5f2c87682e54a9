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

PKGS      = libunwind libprotobuf-c libdw libelf zlib

CFLAGS    ?= -O2 -g
PRT_FLAGS = -std=gnu11 -D_GNU_SOURCE -fPIC -fvisibility=hidden -pthread \
            -fno-omit-frame-pointer -Wall -Wextra -Werror -Wpointer-arith \
            -Wstrict-prototypes -Wmissing-prototypes -Wwrite-strings \
            -Iruntime -I$(BUILD)

# memcpy() and the like may be called in a signal handler: bound at load (-z now)
PRT_LINK  = -shared -pthread -Wl,-z,nodelete -Wl,-z,now -Wl,-z,defs \
            -Wl,-soname,libpprofrt.so
PRT_LIBS  = $(shell pkg-config --libs $(PKGS)) -ldl

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


.PHONY: all module hosted unit check demo bench install clean lint

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
