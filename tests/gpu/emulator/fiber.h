/* fiber.h: stacks that take turns on one thread of the system. Switching by hand on x86-64 and AArch64, by ucontext
 * elsewhere. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#if !defined(__x86_64__) && !defined(__aarch64__)
#include <ucontext.h>
#endif

#if defined(__SANITIZE_ADDRESS__) || defined(LB_EMU_SANITIZED) /* the emulator, or the kernels that it runs */
#include <sanitizer/common_interface_defs.h>
#define LB_FIBER_ASAN 1
#endif

struct lb_fiber {
    void *sp;
    char *stack;              /* NULL: the thread's own */
    size_t stack_bytes;
    void (*entry)(void);
#if !defined(__x86_64__) && !defined(__aarch64__)
    ucontext_t context;
#endif
    void *asan_fake;
};

#if defined(__x86_64__)
/* Callee-saved registers stay on the stack that is left; all fibers round alike. */
__asm__(".text\n.p2align 4\n.type lb_fiber_swap_asm,@function\nlb_fiber_swap_asm:\n"
        "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\n"
        "movq %rsp, (%rdi)\nmovq %rsi, %rsp\n"
        "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\nretq\n"
        ".size lb_fiber_swap_asm,.-lb_fiber_swap_asm\n");
extern "C" void lb_fiber_swap_asm(void **from, void *to);
static inline void *lb_fiber_frame(char *top, void (*entry)(void)) {
    uintptr_t *sp = (uintptr_t *)((uintptr_t)top & ~(uintptr_t)63) - 1;
    *sp-- = 0;                               /* entry never returns; keeps the stack aligned as after a call */
    *sp-- = (uintptr_t)entry;
    for (int i = 0; i < 6; i++) *sp-- = 0;
    return sp + 1;
}
#elif defined(__aarch64__)
__asm__(".text\n.p2align 4\n.type lb_fiber_swap_asm,%function\nlb_fiber_swap_asm:\n"
        "sub sp, sp, #176\nstp x19, x20, [sp]\nstp x21, x22, [sp, #16]\nstp x23, x24, [sp, #32]\n"
        "stp x25, x26, [sp, #48]\nstp x27, x28, [sp, #64]\nstp x29, x30, [sp, #80]\n"
        "stp d8, d9, [sp, #96]\nstp d10, d11, [sp, #112]\nstp d12, d13, [sp, #128]\nstp d14, d15, [sp, #144]\n"
        "mov x9, sp\nstr x9, [x0]\nmov sp, x1\n"
        "ldp x19, x20, [sp]\nldp x21, x22, [sp, #16]\nldp x23, x24, [sp, #32]\n"
        "ldp x25, x26, [sp, #48]\nldp x27, x28, [sp, #64]\nldp x29, x30, [sp, #80]\n"
        "ldp d8, d9, [sp, #96]\nldp d10, d11, [sp, #112]\nldp d12, d13, [sp, #128]\nldp d14, d15, [sp, #144]\n"
        "add sp, sp, #176\nret\n.size lb_fiber_swap_asm,.-lb_fiber_swap_asm\n");
extern "C" void lb_fiber_swap_asm(void **from, void *to);
static inline void *lb_fiber_frame(char *top, void (*entry)(void)) {
    uintptr_t *sp = (uintptr_t *)(((uintptr_t)top & ~(uintptr_t)63) - 176);
    for (int i = 0; i < 22; i++) sp[i] = 0;
    sp[11] = (uintptr_t)entry;               /* x30 */
    return sp;
}
#endif

/* (Re)starts a fiber at entry(), which must never return. */
static inline void lb_fiber_start(lb_fiber *f, void (*entry)(void)) {
    f->entry = entry;
    f->asan_fake = NULL;
#if defined(__x86_64__) || defined(__aarch64__)
    f->sp = lb_fiber_frame(f->stack + f->stack_bytes, entry);
#else
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = f->stack;
    f->context.uc_stack.ss_size = f->stack_bytes;
    f->context.uc_link = NULL;
    makecontext(&f->context, entry, 0);
#endif
}

/* Leaves `from` for `to`. `last`: `from` will not be come back to. */
static inline void lb_fiber_switch(lb_fiber *from, lb_fiber *to, bool last) {
#ifdef LB_FIBER_ASAN
    __sanitizer_start_switch_fiber(last ? NULL : &from->asan_fake, to->stack, to->stack_bytes);
#else
    (void)last;
#endif
#if defined(__x86_64__) || defined(__aarch64__)
    lb_fiber_swap_asm(&from->sp, to->sp);
#else
    swapcontext(&from->context, &to->context);
#endif
#ifdef LB_FIBER_ASAN
    __sanitizer_finish_switch_fiber(from->asan_fake, NULL, NULL);
#endif
}
