/* isa.c: which instruction sets this machine and its operating system offer. */
#include <stdio.h>
#include <string.h>

#include "device.h"

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif

static uint64_t xgetbv0(void) {
    uint32_t lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (uint64_t)hi << 32 | lo;
}

enum { TILES = 3 << 17 }; /* XCR0: the tiles' configuration and their data */

/* The data of tiles (8 KiB a thread) is kept for processes that asked for it only. Asking again costs nothing; the
 * answer is for all threads, those that run and those to come. */
static bool tiles_permitted(void) {
#ifdef __linux__
    const long request_permission = 0x1023, tile_data = 18; /* ARCH_REQ_XCOMP_PERM; a number in XCR0 */
    return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
    return false;
#endif
}

/* A bit of CPUID counts only if the operating system saves the registers (XCR0). */
uint32_t lb_isa_detect(void) {
    uint32_t a, b, c, d, isa = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
    const uint32_t fma = 1u << 12, osxsave = 1u << 27, avx = 1u << 28, f16c = 1u << 29;
    if ((c & (fma | osxsave | avx | f16c)) != (fma | osxsave | avx | f16c)) return 0;
    uint64_t xcr0 = xgetbv0();
    if ((xcr0 & 0x6) != 0x6) return 0; /* XMM and YMM */
    uint32_t b7, c7, d7, a71 = 0, x;
    if (!__get_cpuid_count(7, 0, &a, &b7, &c7, &d7)) return 0;
    if (a >= 1) __get_cpuid_count(7, 1, &a71, &x, &x, &x);
    if (!(b7 & 1u << 5)) return 0;
    isa |= LB_ISA_AVX2;
    if (a71 & 1u << 4) isa |= LB_ISA_AVX_VNNI;
    const uint32_t f = 1u << 16, dq = 1u << 17, bw = 1u << 30, vl = 1u << 31;
    if ((xcr0 & 0xe6) != 0xe6 || (b7 & (f | dq | bw | vl)) != (f | dq | bw | vl)) return isa;
    isa |= LB_ISA_AVX512;
    if (c7 & 1u << 11) isa |= LB_ISA_AVX512_VNNI;
    if (c7 & 1u << 1) isa |= LB_ISA_AVX512_VBMI;
    if (a71 & 1u << 5) isa |= LB_ISA_AVX512_BF16;
    const uint32_t tile = 1u << 24;
    if (!(d7 & tile) || (xcr0 & TILES) != TILES || !tiles_permitted()) return isa;
    if (d7 & 1u << 22) isa |= LB_ISA_AMX_BF16;
    if (d7 & 1u << 25) isa |= LB_ISA_AMX_INT8;
    return isa;
}
#else
uint32_t lb_isa_detect(void) { return LB_ISA_PORTABLE; }
#endif

void lb_isa_print(uint32_t isa, char *out, size_t out_bytes) {
    static const struct {
        uint32_t bit;
        const char *name;
    } bits[] = {
        { LB_ISA_AVX2, "avx2" },
        { LB_ISA_AVX_VNNI, "avx_vnni" },
        { LB_ISA_AVX512, "avx512" },
        { LB_ISA_AVX512_VNNI, "avx512_vnni" },
        { LB_ISA_AVX512_BF16, "avx512_bf16" },
        { LB_ISA_AVX512_VBMI, "avx512_vbmi" },
        { LB_ISA_AMX_BF16, "amx_bf16" },
        { LB_ISA_AMX_INT8, "amx_int8" },
        { LB_ISA_SM80, "sm_80" },
        { LB_ISA_SM89, "sm_89" },
        { LB_ISA_SM90, "sm_90" },
        { LB_ISA_SM90A, "sm_90a" },
    };
    if (out_bytes == 0) return;
    size_t at = 0;
    out[0] = 0;
    for (size_t i = 0; i < sizeof bits / sizeof *bits && at < out_bytes; i++)
        if (isa & bits[i].bit)
            at += (size_t)snprintf(out + at, out_bytes - at, "%s%s", at ? " " : "", bits[i].name);
    if (at == 0) snprintf(out, out_bytes, "portable");
}
