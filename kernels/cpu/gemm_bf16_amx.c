/* gemm_bf16_amx.c: gemm over bf16 weights as they are, activations rounded to bf16, on AMX tiles. */
#include "act_bf16_avx512.h"
#include "tiles_dense.h"

static const void *expand(const lb_quantizer *q, const uint8_t *panel, int64_t rows, int64_t k, int64_t at,
                          int64_t some, tiles_pairs *to) {
    (void)q;
    for (int half = 0; half < 2; half++)
        for (int64_t i = 0; i < some; i += 32) {
            __m512i v[16];
            dense_pairs(panel, rows, k, at + i, half, v);
            for (int r = 0; r < 16; r++) _mm512_store_si512(&to->w[i / 2 + r][half], v[r]);
        }
    return NULL;
}

static const tiles_format format = { .terms = 1, .in_rows = true, .panel_bytes = dense_panel_bytes,
                                     .act_prepare = lb_act_bf16_prepare, .act_bytes = lb_act_bf16_bytes,
                                     .expand = expand };
TILES_GEMM(format)

const lb_kernel lb_kernel_gemm_bf16_amx = {
    .name = "gemm.bf16.amx",
    .about = "tdpbf16ps on tiles, sums of 32 x 32; 32 rows of weights by 512 k turned into pairs in L1, the tiles of "
             "up to 512 rows of x in L2",
    .format = "bf16",
    .act = LB_ACT_BF16,
    .tolerance = 1e-10,
    .tolerance_why = "products of bf16 are exact in f32; tdpbf16ps rounds each sum and flushes subnormals: NMSE of "
                     "about 1e-13, more where sums cancel",
    TILES_KERNEL,
};
