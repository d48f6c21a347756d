/* device.h: a backend instance. Owns a pool of threads (cpu) or a context (cuda). */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "status.h"

typedef struct lb_device lb_device;
typedef struct lb_pool lb_pool;

/* Instruction sets a kernel can need; a kernel runs only if the machine has all its bits
 * and LUABENCH_ISA (portable|avx2|avx512|amx) does not forbid them. */
typedef enum lb_isa {
    LB_ISA_PORTABLE = 0,
    LB_ISA_AVX2 = 1 << 0,          /* AVX2, FMA, F16C */
    LB_ISA_AVX512 = 1 << 1,        /* F, BW, DQ, VL */
    LB_ISA_AVX512_VNNI = 1 << 2,
    LB_ISA_AVX512_BF16 = 1 << 3,
    LB_ISA_AVX512_VBMI = 1 << 4,
    LB_ISA_AVX_VNNI = 1 << 5,
    LB_ISA_AMX_BF16 = 1 << 6,      /* tiles and tdpbf16ps; the process has the kernel's permission to use them */
    LB_ISA_AMX_INT8 = 1 << 7,      /* tiles and tdpbssd, tdpbsud, tdpbusd, tdpbuud; likewise */
    LB_ISA_SM80 = 1 << 8,          /* cuda: compute capability 8.0 or more (mma.sync of bf16, cp.async) */
    LB_ISA_SM89 = 1 << 9,          /* 8.9 or more (mma.sync of fp8) */
    LB_ISA_SM90 = 1 << 10,         /* 9.0 or more (TMA, clusters, mbarrier transactions) */
    LB_ISA_SM90A = 1 << 11         /* 9.0 exactly (wgmma, setmaxnreg: code for sm_90a runs nowhere else) */
} lb_isa;

enum { LB_PEERS_MOST = 16 };

typedef struct lb_device_caps {
    char name[64];            /* "cpu", "cuda:0" */
    char model[128];          /* "AMD EPYC 9654", "NVIDIA H200" */
    uint32_t isa;             /* lb_isa bits usable now (after LUABENCH_ISA) */
    int threads_max;          /* logical CPUs this process may run on */
    int64_t memory_bytes;     /* 0 = unknown */
    int64_t memory_free_bytes;
    int64_t l1d_bytes, l2_bytes, llc_bytes; /* LLC: of all last-level caches together; 0 = unknown */
    /* GPUs; 0 or empty elsewhere, or unknown */
    char pci[32], uuid[48];
    int compute_capability;   /* 90: 9.0 */
    int multiprocessors;
    int driver_version, runtime_version;    /* of CUDA; 13000: 13.0 */
    double clock_ghz, memory_clock_ghz, nominal_bytes_per_s;
    bool ecc;
    int peers[LB_PEERS_MOST], peer_count;   /* devices whose memory this one reaches itself */
} lb_device_caps;

/* What a device is doing at the moment. NaN, or -1 bytes, is unknown. */
typedef struct lb_device_live {
    double utilization, memory_utilization;      /* 0 to 1, over the last second or so */
    int64_t memory_used_bytes;
    double sm_ghz, sm_max_ghz, memory_ghz, watts, celsius;
    double joules;                               /* since the driver was loaded */
    bool reasons_known;
    uint64_t reasons;                            /* why clocks are low: NVML's bits; LB_REASONS_THROTTLED disturb */
} lb_device_live;
/* Power cap, hardware slowdown, software and hardware thermal slowdown, power brake. */
#define LB_REASONS_THROTTLED 0xecull

/* Opens "cpu" or, where built in and present, "cuda:N". Refcounted: one instance per (name, threads).
 * `threads` 0 = one per physical core. Unknown names and missing hardware are errors that say what is
 * missing; nothing falls back. */
lb_status lb_device_open(const char *name, int threads, lb_device **out);
lb_device *lb_device_retain(lb_device *d);
void lb_device_release(lb_device *d);

const lb_device_caps *lb_device_caps_of(const lb_device *d);
const char *lb_device_name(const lb_device *d);
int lb_device_threads(const lb_device *d);
/* cpu only, started by the first call; NULL elsewhere, or if threads cannot be started (see lb_error). */
lb_pool *lb_device_pool(lb_device *d);
bool lb_device_pinned(const lb_device *d);   /* false: a thread could not be pinned, or no thread was started yet */
/* The CPU that thread `i` of the pool is pinned to, or would be; -1 = none. */
int lb_device_cpu_of(const lb_device *d, int i);
/* Names that lb_device_open takes here ("cpu", "cuda:0"); returns how many there are. `names` may be NULL. */
int lb_device_list(char (*names)[64], int max);
/* False: nothing is known of such things here. May take milliseconds. */
bool lb_device_live_read(lb_device *d, lb_device_live *out);
/* Clock frequency of what ran last, in GHz: of the GPU's multiprocessors in the last timed region, of this processor
 * now. */
double lb_device_frequency_ghz(lb_device *d);
/* A fault has made the device unusable for this process: what needs it has to go on in another. */
bool lb_device_lost(lb_device *d);
/* Gives the calling thread back the CPUs that the process started with. The thread that calls lb_pool_run is pinned
 * to one, and threads and processes that it starts inherit that. */
void lb_affinity_restore(void);

/* Device memory: 64-byte aligned (in huge pages from 32 KiB up: huge.h), contents undefined.
 * Counts towards lb_memory_now/peak. */
lb_status lb_device_alloc(lb_device *d, size_t bytes, void **out);
void lb_device_free(lb_device *d, void *p, size_t bytes);

/* Bytes that engine buffers hold now, and the most since the last reset, in this process. */
int64_t lb_memory_now(void);
int64_t lb_memory_peak(void);
void lb_memory_peak_reset(void);

/* The ISA bits of this machine, before LUABENCH_ISA is applied (where it has AMX, Linux is asked for the permission
 * that its tiles need, for this process and all its threads); and a printable list ("avx2 avx512 ..."). */
uint32_t lb_isa_detect(void);
void lb_isa_print(uint32_t isa, char *out, size_t out_bytes);
