/* gemm_nvfp4_avx2.c: gemm over nvfp4 weights in panels of 32 rows (rows32_nvfp4_pack.h) with AVX2. Sums of 16 meet
 * their scale, t included. (Weights times their scales are exact as well, in sums of 256: 20 % slower at one row of x,
 * 8 % faster at 512.) */
#include "rows16_avx2.h"
#include "rows32.h"
#include "rows32_nvfp4_pack.h"

/* Twice the values: bytes, which four at a time come to the top of their dwords and down again with their sign. */
static const int8_t e2m1_twice[16] __attribute__((aligned(16))) = { 0, 1, 2, 3, 4, 6, 8, 12,
                                                                    0, -1, -2, -3, -4, -6, -8, -12 };
#define UNITS 0.5f

/* Where the panel at hand has its scales and codes. */
typedef struct nvfp4_format { const uint8_t *scales, *codes; } nvfp4_format;

LB_INLINE int64_t f32_span(const nvfp4_format f, const lb_quantizer *q) {
    (void)f, (void)q;
    return 16;
}

/* e4m3's bits stand in f32 with another offset of the exponent, which the product with 2^120 makes up for. */
LB_INLINE void f32_scales(const nvfp4_format f, const lb_quantizer *q, const uint8_t *panel, int64_t k, int64_t at, int part,
                          __m256 *s, __m256 *z) {
    (void)q, (void)k, (void)z;
    const uint8_t *scales = f.scales + FLOAT_ROWS * (at / 16) + 8 * part;
    __m256i bits = _mm256_slli_epi32(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)scales)), 20);
    const __m256 b = _mm256_mul_ps(_mm256_castsi256_ps(bits), _mm256_set1_ps(0x1p120f * UNITS));
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

/* Byte `byte` of every dword of v as a float. Left at the top, 2^24 times as large, it would take one instruction less,
 * and sums would leave f32 from activations of 2^96 on. */
LB_INLINE __m256 e2m1_of(__m256i v, int byte) {
    if (byte == 0) return _mm256_cvtepi32_ps(_mm256_srai_epi32(_mm256_slli_epi32(v, 24), 24));
    if (byte == 3) return _mm256_cvtepi32_ps(_mm256_srai_epi32(v, 24));
    /* To the top, 0 below: in one instruction where a shift would need a mask behind it. */
    const int none = 0x808080;
    const __m128i from = _mm_setr_epi32(byte << 24 | none, (byte + 4) << 24 | none, (byte + 8) << 24 | none,
                                        (byte + 12) << 24 | none);
    return _mm256_cvtepi32_ps(_mm256_srai_epi32(_mm256_shuffle_epi8(v, _mm256_broadcastsi128_si256(from)), 24));
}

LB_INLINE void f32_decode(const nvfp4_format f, const uint8_t *codes, int piece, int part, __m256 *w) {
    (void)f;
    const __m256i table = _mm256_broadcastsi128_si256(_mm_load_si128((const __m128i *)e2m1_twice));
    const __m256i nibble = x2_bytes(15);
    __m256i v = x2_load_ahead(codes + (size_t)(part / 2) * float_half_bytes(4) + 64 * piece + 32 * (part % 2));
    __m256i low = _mm256_shuffle_epi8(table, _mm256_and_si256(v, nibble));
    __m256i high = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi32(v, 4), nibble));
    LB_UNROLL for (int i = 0; i < 8; i++) /* of a row's two words by turns */
        w[i] = e2m1_of(i / 2 % 2 ? high : low, i % 2 * 2 + i / 4);
}

#define F32_TYPE nvfp4_format
#define F32_ZEROS 0
#include "rows32_f32_avx2.h"

static void run(const lb_quantizer *q, const void *panel, const void *act, size_t stride, int64_t k, int cols,
                float *out, int64_t out_stride) {
    const uint8_t *p = panel;
    f32_run((nvfp4_format){ p + 64, p + head_bytes(q, k) }, q, panel, act, stride, k, cols, out, out_stride);
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
