/* gemm_uintx.h: gemm over uintx weights in panels of 32 rows: w = (q - z) * s, 1 to 8 bits. */
#include "rows32_int_any.h"

INT_RUN(1, INT_F32) INT_RUN(2, INT_F32) INT_RUN(3, INT_F32) INT_RUN(4, INT_F32)
INT_RUN(5, INT_F32) INT_RUN(6, INT_F32) INT_RUN(7, INT_F32) INT_RUN(8, INT_F32)
static const int_run_fn runs[] = { NULL, run_1, run_2, run_3, run_4, run_5, run_6, run_7, run_8 };
#ifdef LB_ONE_ROW
/* Zeros of hqq.h are f32. */
INT_ROW_RUN(points_1, 1, INT_POINTS) INT_ROW_RUN(points_2, 2, INT_POINTS) INT_ROW_RUN(points_3, 3, INT_POINTS)
INT_ROW_RUN(points_4, 4, INT_POINTS) INT_ROW_RUN(points_5, 5, INT_POINTS) INT_ROW_RUN(points_6, 6, INT_POINTS)
INT_ROW_RUN(points_7, 7, INT_POINTS) INT_ROW_RUN(points_8, 8, INT_POINTS)
static const int_run_fn runs_of_points[] = { NULL,     points_1, points_2, points_3, points_4,
                                             points_5, points_6, points_7, points_8 };
#define HEAD (q->param[1] ? INT_F32 : INT_POINTS)
#else
#define HEAD INT_F32
#endif

static void unpack(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row, int64_t at,
                   uint8_t codes[32]) {
    (void)n;
    int_unpack_stream(q, native, k, row, at, codes);
}

/* f32 scales and u8 (with -hqq f32) zeros [N][K/g], each plane at a multiple of 64 bytes. */
static void scale_of(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row, int64_t group,
                     float *scale, float *zero) {
    size_t groups = (size_t)n * (size_t)(k / q->group), at = (size_t)(row * (k / q->group) + group);
    size_t scales = float_plane_at((size_t)(n * k * q->bits / 8)), zeros = float_plane_at(scales + groups * 4);
    memcpy(scale, (const char *)native + scales + at * 4, 4);
    if (q->param[1]) memcpy(zero, (const char *)native + zeros + at * 4, 4);
    else *zero = (float)((const uint8_t *)native)[zeros + at];
}

LB_INT_PANEL

const lb_kernel LB_ROWS32_SYMBOL(gemm_uintx) = {
    .name = "gemm.uintx." LB_ROWS32_ISA_TEXT,
    .about = "panels of 32 rows; codes of 1 to 8 bits; " INT_WITH("sums of a group, "
             "each times its scale in f32; zeros times the activations' sums"),
    .format = "uintx",
    LB_INT_KERNEL,
};
