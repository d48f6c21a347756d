/* gemm_uniform.h: gemm over uniform-2 to uniform-8 weights in panels of 32 rows: w = (q - (2^b - 1) / 2) * s. */
#define H32_WIDE_ACT 1
#include "rows32_g32_any.h"

/* The offset of b bits is 2^(b-1) - 1/2. */
#define FORMAT(b) (h32){ .bits = b, .offset = (1 << (b - 1)) - 1, .half = true, .scales = H32_F32 }

#if defined(__AVX512F__)
H32_HALF_TILES
#define RUN_OF(b, ...) h32_run(FORMAT(b), b == 8 ? h32_half_tiles : h32_tiles, __VA_ARGS__)
#else
#define RUN_OF(b, ...) h32_run(FORMAT(b), __VA_ARGS__)
#endif

/* A function for each width, so that each knows its shifts. */
#define RUN(b)                                                                                                       \
    static __attribute__((noinline)) void run_##b(const void *panel, const void *act, size_t stride, int64_t k,      \
                                                  int cols, float *out, int64_t out_stride) {                        \
        RUN_OF(b, panel, act, stride, k, cols, out, out_stride);                                                     \
    }
RUN(2) RUN(3) RUN(4) RUN(5) RUN(6) RUN(7) RUN(8)

static void run(const lb_quantizer *q, const void *panel, const void *act, size_t stride, int64_t k, int cols,
                float *out, int64_t out_stride) {
    static void (*const runs[])(const void *, const void *, size_t, int64_t, int, float *, int64_t) = {
        NULL, NULL, run_2, run_3, run_4, run_5, run_6, run_7, run_8
    };
    runs[q->bits](panel, act, stride, k, cols, out, out_stride);
}

static size_t panel_bytes(const lb_quantizer *q, int64_t k) { return h32_panel_bytes(FORMAT(q->bits), k); }

/* The scale (f32), then 32 indices of b bits, the first in the lowest bits. */
static void unpack(const h32 f, const uint8_t *block, uint8_t codes[32], uint8_t *scale, uint8_t *min) {
    (void)min;
    memcpy(scale, block, 4);
    h32_stream_codes(f.bits, block + 4, codes);
}

static void repack(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row0, int64_t row1,
                   void *dst) {
    h32_repack(FORMAT(q->bits), unpack, 4 + 4 * (size_t)q->bits, native, n, k, row0, row1, dst);
}

H32_PANEL(H32_ACT)

const lb_kernel LB_ROWS32_SYMBOL(gemm_uniform) = {
    .name = "gemm.uniform." LB_ROWS32_ISA_TEXT,
    .about = "panels of 32 rows with the codes as bit fields; " H32_WITH ", whose offset of (2^b - 1) / 2 sums of "
             "activations take back, f32 once per 32",
    .format = "uniform",
    LB_H32_KERNEL,
};
