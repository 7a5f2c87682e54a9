
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Registers and other things of the processor.  This is the only file that
 * asks which one it is.
 */


#ifndef _PRT_ARCH_H_INCLUDED_
#define _PRT_ARCH_H_INCLUDED_


#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>


/*
 * PRT_ARCH_TABLE tells whether stacks are walked by the tables made of
 * .eh_frame.  Where it is 0, a stack is the program counter alone, and
 * libunwind does the rest outside of signal handlers.
 *
 * Registers have their DWARF numbers; the program counter stands at the
 * number of the return address column.
 */

#if defined(__x86_64__)

#define PRT_ARCH_TABLE         1
#define PRT_ARCH_DIRECT        1          /* prt_arch_syscall() */

#define PRT_ARCH_REGS          16
#define PRT_ARCH_BX            3
#define PRT_ARCH_FP            6
#define PRT_ARCH_SP            7
#define PRT_ARCH_PC            16

#define PRT_ARCH_RED_ZONE      128        /* bytes below sp that are in use */
#define PRT_ARCH_RETURN        8          /* a return address lies below the CFA */

/* what a function leaves as it found it: rbx, rbp, r12 to r15 */
#define PRT_ARCH_SAVED         6
#define PRT_ARCH_SAVED_REGS    { 3, 6, 12, 13, 14, 15 }
#define PRT_ARCH_SAVED_MASK    0xf048

/* relocations that hold the address of a function */
#define PRT_ARCH_RELOC_SLOT    R_X86_64_JUMP_SLOT
#define PRT_ARCH_RELOC_GOT     R_X86_64_GLOB_DAT
#define PRT_ARCH_RELOC_DATA    R_X86_64_64

/* the kernel's name for the counter of prt_arch_ticks() */
#define PRT_ARCH_TICKS         "tsc"

#else

#define PRT_ARCH_TABLE         0
#define PRT_ARCH_DIRECT        0

#define PRT_ARCH_REGS          32
#define PRT_ARCH_FP            29
#define PRT_ARCH_SP            31
#define PRT_ARCH_PC            32

#define PRT_ARCH_RED_ZONE      0
#define PRT_ARCH_RETURN        8

#define PRT_ARCH_SAVED         1
#define PRT_ARCH_SAVED_REGS    { 29 }
#define PRT_ARCH_SAVED_MASK    0x20000000

#define PRT_ARCH_RELOC_SLOT    R_AARCH64_JUMP_SLOT
#define PRT_ARCH_RELOC_GOT     R_AARCH64_GLOB_DAT
#define PRT_ARCH_RELOC_DATA    R_AARCH64_ABS64

#define PRT_ARCH_TICKS         "arch_sys_counter"

#endif


typedef struct {
    uintptr_t              r[PRT_ARCH_REGS];
    uintptr_t              pc;
    uint32_t               valid;         /* bit n: r[n] is known */

    /*
     * 1: pc is the instruction that comes next (from a ucontext, or of the
     * place itself); 0: pc is a return address, the call stands before it.
     */
    uint32_t               interrupted;
} prt_regs_t;


#define prt_regs_pc(regs)      ((regs)->pc)
#define prt_regs_sp(regs)      ((regs)->r[PRT_ARCH_SP])

/* A frame as stored: the instruction is the byte before it. */
#define prt_regs_frame(regs)   ((regs)->pc + (regs)->interrupted)


/*
 * The walker reads stacks as they lie, red zones of the sanitizers included,
 * and stacks of other threads.
 */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)             \
    || defined(__clang__)
#define PRT_NO_SANITIZE                                                       \
    __attribute__((no_sanitize_address, no_sanitize_thread))
#else
#define PRT_NO_SANITIZE
#endif


#if defined(__x86_64__)


/* Signal-safe. */
static inline void
prt_regs_from_ucontext(prt_regs_t *regs, const void *context)
{
    const ucontext_t  *uc = context;
    const greg_t      *g = uc->uc_mcontext.gregs;

    regs->r[0] = (uintptr_t) g[REG_RAX];
    regs->r[1] = (uintptr_t) g[REG_RDX];
    regs->r[2] = (uintptr_t) g[REG_RCX];
    regs->r[3] = (uintptr_t) g[REG_RBX];
    regs->r[4] = (uintptr_t) g[REG_RSI];
    regs->r[5] = (uintptr_t) g[REG_RDI];
    regs->r[6] = (uintptr_t) g[REG_RBP];
    regs->r[7] = (uintptr_t) g[REG_RSP];
    regs->r[8] = (uintptr_t) g[REG_R8];
    regs->r[9] = (uintptr_t) g[REG_R9];
    regs->r[10] = (uintptr_t) g[REG_R10];
    regs->r[11] = (uintptr_t) g[REG_R11];
    regs->r[12] = (uintptr_t) g[REG_R12];
    regs->r[13] = (uintptr_t) g[REG_R13];
    regs->r[14] = (uintptr_t) g[REG_R14];
    regs->r[15] = (uintptr_t) g[REG_R15];
    regs->pc = (uintptr_t) g[REG_RIP];
    regs->valid = 0xffff;
    regs->interrupted = 1;
}


/* The inverse, for libunwind; registers that are not known become 0. */
static inline void
prt_regs_to_ucontext(const prt_regs_t *regs, void *context)
{
    ucontext_t        *uc = context;
    greg_t            *g = uc->uc_mcontext.gregs;
    unsigned           i;

    static const int   to[PRT_ARCH_REGS] = {
        REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI, REG_RBP, REG_RSP,
        REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15
    };

    memset(uc, 0, sizeof(ucontext_t));

    for (i = 0; i < PRT_ARCH_REGS; i++) {
        g[to[i]] = (regs->valid >> i & 1) ? (greg_t) regs->r[i] : 0;
    }

    g[REG_RIP] = (greg_t) regs->pc;
}


/*
 * The registers of this very place.  Signal-safe.  Always inline, for the
 * frame that it describes has to outlive the walk.
 */
static inline __attribute__((always_inline)) void
prt_regs_here(prt_regs_t *regs)
{
    uintptr_t  pc;

    __asm__ volatile (
        "movq  %%rbx, 24(%1)\n\t"
        "movq  %%rbp, 48(%1)\n\t"
        "movq  %%rsp, 56(%1)\n\t"
        "movq  %%r12, 96(%1)\n\t"
        "movq  %%r13, 104(%1)\n\t"
        "movq  %%r14, 112(%1)\n\t"
        "movq  %%r15, 120(%1)\n\t"
        "leaq  0f(%%rip), %0\n"
        "0:"
        : "=&r" (pc) : "r" (regs->r) : "memory");

    regs->pc = pc;
    regs->valid = PRT_ARCH_SAVED_MASK | 1u << PRT_ARCH_SP;
    regs->interrupted = 1;
}


/*
 * Whether the 8 bytes at "addr" can be read: the kernel copies a new signal
 * mask from there before it finds out that there is no such "how".  A raw
 * system call, so that errno stays as it is.  Signal-safe.
 */
static inline int
prt_arch_readable(uintptr_t addr)
{
    long           rc;
    register long  size __asm__("r10") = 8;

    if (addr == 0) {
        /* there would be no new mask */
        return 0;
    }

    __asm__ volatile ("syscall"
                      : "=a" (rc)
                      : "0" (14L /* rt_sigprocmask */), "D" (~0L), "S" (addr),
                        "d" (0L), "r" (size)
                      : "rcx", "r11", "memory");

    return rc != -14 /* EFAULT */;
}


/* A counter of the processor, for prt_ticks().  Signal-safe. */
static inline uint64_t
prt_arch_ticks(void)
{
    return __builtin_ia32_rdtsc();
}


/* A system call and nothing else: -errno on failure.  Signal-safe. */
static inline long
prt_arch_syscall(long number, uintptr_t a, uintptr_t b, uintptr_t c,
    uintptr_t d, uintptr_t e, uintptr_t f)
{
    long                 rc;
    register uintptr_t   r10 __asm__("r10") = d;
    register uintptr_t   r8 __asm__("r8") = e;
    register uintptr_t   r9 __asm__("r9") = f;

    __asm__ volatile ("syscall"
                      : "=a" (rc)
                      : "0" (number), "D" (a), "S" (b), "d" (c), "r" (r10),
                        "r" (r8), "r" (r9)
                      : "rcx", "r11", "memory");

    return rc;
}


/* One of at most four arguments: fewer registers to set. */
static inline long
prt_arch_syscall4(long number, uintptr_t a, uintptr_t b, uintptr_t c,
    uintptr_t d)
{
    long                 rc;
    register uintptr_t   r10 __asm__("r10") = d;

    __asm__ volatile ("syscall"
                      : "=a" (rc)
                      : "0" (number), "D" (a), "S" (b), "d" (c), "r" (r10)
                      : "rcx", "r11", "memory");

    return rc;
}


static inline void
prt_pause(void)
{
    __builtin_ia32_pause();
}


#else


static inline void
prt_regs_from_ucontext(prt_regs_t *regs, const void *context)
{
    memset(regs, 0, sizeof(prt_regs_t));

#if defined(__aarch64__)
    {
        const ucontext_t  *uc = context;

        regs->r[PRT_ARCH_FP] = uc->uc_mcontext.regs[PRT_ARCH_FP];
        regs->r[PRT_ARCH_SP] = uc->uc_mcontext.sp;
        regs->pc = uc->uc_mcontext.pc;
        regs->valid = PRT_ARCH_SAVED_MASK | 1u << PRT_ARCH_SP;
    }
#else
    (void) context;
#endif

    regs->interrupted = 1;
}


static inline __attribute__((always_inline)) void
prt_regs_here(prt_regs_t *regs)
{
    memset(regs, 0, sizeof(prt_regs_t));

    regs->r[PRT_ARCH_SP] = (uintptr_t) __builtin_frame_address(0);
    regs->pc = (uintptr_t) __builtin_return_address(0);
    regs->valid = 1u << PRT_ARCH_SP;
}


static inline int
prt_arch_readable(uintptr_t addr)
{
    (void) addr;

    return 0;
}


static inline uint64_t
prt_arch_ticks(void)
{
    uint64_t  ticks;

    ticks = 0;

#if defined(__aarch64__)
    __asm__ volatile ("mrs  %0, cntvct_el0" : "=r" (ticks));
#endif

    return ticks;
}


static inline long
prt_arch_syscall(long number, uintptr_t a, uintptr_t b, uintptr_t c,
    uintptr_t d, uintptr_t e, uintptr_t f)
{
    long  rc;

    rc = syscall(number, a, b, c, d, e, f);

    return rc == -1 ? -errno : rc;
}


static inline long
prt_arch_syscall4(long number, uintptr_t a, uintptr_t b, uintptr_t c,
    uintptr_t d)
{
    return prt_arch_syscall(number, a, b, c, d, 0, 0);
}


static inline void
prt_pause(void)
{
    __asm__ volatile ("" ::: "memory");
}


#endif


#endif /* _PRT_ARCH_H_INCLUDED_ */
