/* gemm_gptq.h: gemm over gptq weights in panels of 32 rows: w = (q - zero) * s, 3, 4 or 8 bits. */
#include "rows32_int_any.h"

#define HEAD INT_F16
INT_RUN(3, HEAD) INT_RUN(4, HEAD) INT_RUN(8, HEAD)
static const int_run_fn runs[] = { NULL, NULL, NULL, run_3, run_4, NULL, NULL, NULL, run_8 };

/* qweight i32 [K b / 32][N]: a column's words are one stream. */
static void unpack(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row, int64_t at,
                   uint8_t codes[32]) {
    (void)k;
    uint8_t stream[32];
    for (int w = 0; w < q->bits; w++)
        memcpy(stream + 4 * w, (const char *)native + ((at / 32 * q->bits + w) * n + row) * 4, 4);
    int_unpack_stream(q, stream, 32, 0, 0, codes);
}

/* qzeros i32 [K/g][N b / 32], zeros less one; scales f16 [K/g][N]. */
static void scale_of(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row, int64_t group,
                     float *scale, float *zero) {
    size_t words = (size_t)(n * q->bits + 31) / 32, zeros = float_plane_at((size_t)(k * q->bits / 32 * n * 4));
    size_t scales = float_plane_at(zeros + (size_t)(k / q->group) * words * 4), bit = (size_t)row * (size_t)q->bits;
    const uint32_t *z = (const uint32_t *)(const void *)((const char *)native + zeros) + (size_t)group * words;
    uint64_t two = z[bit / 32] | (bit % 32 + (size_t)q->bits > 32 ? (uint64_t)z[bit / 32 + 1] << 32 : 0);
    uint16_t h;
    memcpy(&h, (const char *)native + scales + (size_t)(group * n + row) * 2, 2);
    *scale = lb_f16_to_f32(h);
    *zero = (float)(1 + (two >> bit % 32 & ((1u << q->bits) - 1)));
}

LB_INT_PANEL

const lb_kernel LB_ROWS32_SYMBOL(gemm_gptq) = {
    .name = "gemm.gptq." LB_ROWS32_ISA_TEXT,
    .about = "panels of 32 rows; codes; " INT_WITH("sums of a group, each times its scale in f32; "
             "zeros times the activations' sums"),
    .format = "gptq",
    LB_INT_KERNEL,
};
