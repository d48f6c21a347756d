/* gemm_nvfp4_avx2.c: gemm over nvfp4 weights in panels of 32 rows (rows32_nvfp4_pack.h) with AVX2. Sums of 16 meet
 * their scale, t included. (Weights times their scales are exact as well, in sums of 256: 20 % slower at one row of x,
 * 8 % faster at 512.)
 *
 * Few columns leave levels 2^24 times as large as they are and scales as much smaller, an instruction less for each
 * weight: the same bits, unless activations of 2^96 and more make sums leave f32. Then a result is Inf or NaN, since
 * nothing makes a number of these again, and the panel is done once more with levels at their size. */
#include "rows16_avx2.h"
#include "rows32.h"
#include "rows32_nvfp4_pack.h"

/* Twice the values: bytes, which four at a time come to the top of their dwords and down again with their sign. */
static const int8_t e2m1_twice[16] __attribute__((aligned(16))) = { 0, 1, 2, 3, 4, 6, 8, 12,
                                                                    0, -1, -2, -3, -4, -6, -8, -12 };

/* Where the panel at hand has its scales and codes. large: levels are 2^24 times as large. */
typedef struct nvfp4_format { const uint8_t *scales, *codes; bool large; } nvfp4_format;

LB_INLINE int64_t f32_span(const nvfp4_format f, const lb_quantizer *q) {
    (void)f, (void)q;
    return 16;
}

/* e4m3's bits stand in f32 with another offset of the exponent, which the product with 2^120 makes up for. */
LB_INLINE void f32_scales(const nvfp4_format f, const lb_quantizer *q, const uint8_t *panel, int64_t k, int64_t at,
                          int part, __m256 *s, __m256 *z) {
    (void)q, (void)k, (void)z;
    const uint8_t *scales = f.scales + FLOAT_ROWS * (at / 16) + 8 * part;
    __m256i bits = _mm256_slli_epi32(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)scales)), 20);
    const __m256 b = _mm256_mul_ps(_mm256_castsi256_ps(bits), _mm256_set1_ps(f.large ? 0x1p95f : 0x1p119f));
    *s = _mm256_mul_ps(b, _mm256_broadcast_ss((const float *)(const void *)panel));
}

LB_INLINE const uint8_t *f32_run_at(const nvfp4_format f, const lb_quantizer *q, const uint8_t *panel, int64_t k,
                                    int64_t at) {
    (void)q, (void)panel, (void)k;
    return f.codes + (size_t)(at / 32) * 2 * float_half_bytes(4);
}

LB_INLINE int f32_piece(const nvfp4_format f) {
    (void)f;
    return 8;
}

/* Byte `byte` of every dword of v as a float; large: 2^24 times that. */
LB_INLINE __m256 e2m1_of(__m256i v, int byte, const bool large) {
    if (byte == 0) v = _mm256_slli_epi32(v, 24);
    if (byte == 1 || byte == 2) { /* to the top, 0 below: where a shift would need a mask behind it */
        const int none = 0x808080;
        const __m128i from = _mm_setr_epi32(byte << 24 | none, (byte + 4) << 24 | none, (byte + 8) << 24 | none,
                                            (byte + 12) << 24 | none);
        v = _mm256_shuffle_epi8(v, _mm256_broadcastsi128_si256(from));
    }
    if (!large) v = _mm256_srai_epi32(v, 24);
    else if (byte == 3) v = _mm256_and_si256(v, _mm256_set1_epi32((int)0xff000000));
    return _mm256_cvtepi32_ps(v);
}

LB_INLINE void f32_decode(const nvfp4_format f, const uint8_t *codes, int piece, int part, __m256 *w) {
    const __m256i table = _mm256_broadcastsi128_si256(_mm_load_si128((const __m128i *)e2m1_twice));
    const __m256i nibble = x2_bytes(15);
    __m256i v = x2_load_ahead(codes + (size_t)(part / 2) * float_half_bytes(4) + 64 * piece + 32 * (part % 2));
    __m256i low = _mm256_shuffle_epi8(table, _mm256_and_si256(v, nibble));
    __m256i high = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi32(v, 4), nibble));
    LB_UNROLL for (int i = 0; i < 8; i++) /* of a row's two words by turns */
        w[i] = e2m1_of(i / 2 % 2 ? high : low, i % 2 * 2 + i / 4, f.large);
}

#define F32_TYPE nvfp4_format
#define F32_ZEROS 0
#include "rows32_f32_avx2.h"

static bool all_finite(const float *out, int64_t out_stride, int cols) {
    __m256 bad = _mm256_setzero_ps();
    for (int c = 0; c < cols; c++)
        for (int i = 0; i < FLOAT_ROWS; i += 8) {
            __m256 v = _mm256_loadu_ps(out + c * out_stride + i);
            bad = _mm256_or_ps(bad, _mm256_sub_ps(v, v)); /* 0, or NaN */
        }
    return _mm256_movemask_ps(_mm256_cmp_ps(bad, _mm256_setzero_ps(), _CMP_NEQ_UQ)) == 0;
}

static void run(const lb_quantizer *q, const void *panel, const void *act, size_t stride, int64_t k, int cols,
                float *out, int64_t out_stride) {
    const uint8_t *p = panel, *scales = p + 64, *codes = p + head_bytes(q, k);
    const float t = *(const float *)panel;
    if (cols <= F32_FEW && t >= 0x1p-90f && t <= 0x1p110f) { /* scales are in f32's normal range either way */
        const nvfp4_format large = { scales, codes, true };
        if (cols == 1) f32_few(large, q, panel, act, stride, k, out, out_stride, 1);
        else f32_few(large, q, panel, act, stride, k, out, out_stride, 2);
        if (all_finite(out, out_stride, cols)) return;
    }
    f32_run((nvfp4_format){ scales, codes, false }, q, panel, act, stride, k, cols, out, out_stride);
}

static size_t panel_bytes(const lb_quantizer *q, int64_t k) {
    return head_bytes(q, k) + (size_t)((k + 31) / 32) * 2 * float_half_bytes(4);
}

static void repack(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row0, int64_t row1,
                   void *dst) {
    float_repack(4, head_bytes(q, k), unpack, put_scales, q, native, n, k, row0, row1, dst);
}

LB_ROWS32_PANEL_OF(F32_ACT)

const lb_kernel lb_kernel_gemm_nvfp4_avx2 = {
    .name = "gemm.nvfp4.avx2",
    .about = "panels of 32 rows; e2m1 by vpshufb, as floats, multiply-adds in sums of 16, each times its "
             "scale and the matrix's",
    .format = "nvfp4",
    LB_ROWS32_KERNEL,
    F32_ARITHMETIC,
};
