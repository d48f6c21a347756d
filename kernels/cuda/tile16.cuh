/* tile16.cuh: weights in the layout "mma16", and what a warp does with them.
 *
 * Why. The products of a few rows of x with quantized weights are bound by reading the weights. At 4.5 bits and
 * the read bandwidth of an H200 (4.8 TB/s by the data sheet, on 132 SMs at 1.75 GHz) an SM gets 37 weights a
 * clock, for which it can issue 128 thread instructions, 64 of them on integers: 3.5 a weight, 1.7 on integers,
 * are all that expanding and multiplying may cost. mma.sync does the products at an eighth of an instruction a
 * weight and 8 rows of x, even when there is one row only; so the weights are its operand A (16 rows of weights),
 * x its B (8 rows of x), and the weights lie in memory so that a thread's 16 bytes are the fragments of four
 * products: no shuffles, no ldmatrix, loads of 512 bytes a warp in a row.
 *
 * Codes become bf16 exactly: 0x4300 | q is 128 + q for q < 128, one lop3 for two weights (and a shift for three of
 * four). The scale is not multiplied into the weight, which would round it: each group's products go to sums of
 * their own, and these times the group's f32 scale to the total: 4 fma for 16 x 8 x 32 products. Where the format
 * has minima, 128 is taken off together with them, times the group's sum of x. So every kernel here multiplies
 * exactly the weights that the format stores with x rounded to bf16, and sums in f32.
 *
 * A panel is 16 rows; its units follow one another along K; a unit has UNIT_K columns: tiles of 16 x 64 codes,
 * then its scales by row. K is filled up to whole units (scales and codes of 0), N to whole panels; formats with
 * one scale a row have them behind the panel's last unit. A unit is as large as the native bytes of 16 x UNIT_K
 * weights. In a tile, code (r, k) belongs to lane (r % 8) * 4 + k % 16 / 4, product (step) k / 16, register k % 4
 * / 2 * 2 + r / 8, half k % 2; x lies in shared memory so that a lane finds the matching 8 values of 32 columns in
 * 16 bytes (lb_x_place). */
#pragma once
#include "../../engine/kernel_cuda.h"
#include <cuda_fp16.h>
#include "mma.cuh"

#define LB_UNROLL _Pragma("unroll")

constexpr int LB_ROWS = 16, LB_WARPS = 8, LB_THREADS = 256;

/* ---- the layout, host ---- */

/* Adds the codes of row r (0..15), columns 0..63, to a tile (zeroed before). BITS planes: 4, 2, 1 for the bits from the
 * lowest up; 8 is one plane. */
template <int BITS> static inline void lb_tile_put(uint8_t *tile, int r, const uint8_t *codes) {
    uint32_t *words = (uint32_t *)(void *)tile;
    for (int k = 0; k < 64; k++) {
        int lane = r % 8 * 4 + k % 16 / 4, step = k / 16, reg = k % 4 / 2 * 2 + r / 8, half = k % 2;
        uint32_t c = codes[k];
        if (BITS == 8) {
            words[step / 2 * 128 + lane * 4 + step % 2 * 2 + reg / 2] |= c << (16 * half + 8 * (reg % 2));
            continue;
        }
        uint32_t *at = words;
        if (BITS & 4) {
            at[lane * 4 + step] |= (c & 15) << (16 * half + 4 * reg);
            at += 128, c >>= 4;
        }
        if (BITS & 2) {
            at[lane * 2 + step / 2] |= (c & 3) << (16 * half + 8 * (step % 2) + 2 * reg);
            at += 64, c >>= 2;
        }
        if (BITS & 1) at[lane] |= (c & 1) << (16 * half + 4 * step + reg);
    }
}

/* Is F the struct of this recipe? F::fits() tells apart the members of a family that has several. */
template <class F> static inline bool lb_format_is(const lb_quantizer *q) {
    return !strcmp(q->family->name, F::family()) && F::fits(q);
}
#define LB_FORMAT_FAMILY(name, condition)                                                                              \
    static const char *family(void) { return name; }                                                                   \
    static bool fits(const lb_quantizer *q) { return (void)q, condition; }

/* Units of a row, bytes of a panel and of all. */
template <class F> constexpr int64_t lb_units(int64_t k) { return (k + F::UNIT_K - 1) / F::UNIT_K; }
template <class F> constexpr size_t lb_panel16_bytes(int64_t k) {
    return (size_t)lb_units<F>(k) * F::UNIT_BYTES + (F::GROUP ? 0 : LB_ROWS * 4);
}
template <class F> static size_t lb_mma16_bytes(const lb_quantizer *q, int64_t n, int64_t k) {
    (void)q;
    return (size_t)((n + LB_ROWS - 1) / LB_ROWS) * lb_panel16_bytes<F>(k);
}
template <class F> static void lb_mma16_repack(const lb_quantizer *q, const void *native, int64_t n, int64_t k,
                                               int64_t row0,
                                               int64_t row1, void *dst) {
    size_t bytes = lb_panel16_bytes<F>(k);
    for (int64_t row = row0; row < row1; row += LB_ROWS) {
        uint8_t *panel = (uint8_t *)dst + (size_t)(row / LB_ROWS) * bytes;
        memset(panel, 0, bytes);
        for (int r = 0; r < LB_ROWS && row + r < n; r++) {
            for (int64_t u = 0; u < lb_units<F>(k); u++)
                F::pack(q, (const uint8_t *)native, n, k, row + r, u * F::UNIT_K, panel + u * F::UNIT_BYTES, r);
            if constexpr (F::GROUP == 0)
                F::pack_row(q, (const uint8_t *)native, n, k, row + r, panel + lb_units<F>(k) * F::UNIT_BYTES, r);
        }
    }
}

/* ---- codes, device ---- */

/* A lane's share of a tile. */
struct lb_raw { uint32_t four[4], two[2], one, eight[8], scales[2] /* of rows g, g + 8, where they go into codes */; };

LB_DEVICE void lb_read_16(const uint8_t *p, uint32_t w[4]) {
    uint4 v = *(const uint4 *)p;
    w[0] = v.x, w[1] = v.y, w[2] = v.z, w[3] = v.w;
}
LB_DEVICE void lb_read_8(const uint8_t *p, uint32_t w[2]) {
    uint2 v = *(const uint2 *)p;
    w[0] = v.x, w[1] = v.y;
}
LB_DEVICE uint32_t lb_shift_right(uint32_t x, int by) { return by >= 0 ? x >> by : x << -by; }

/* Formats whose codes need no table in shared memory. */
struct lb_no_table {
    static constexpr int TABLE_BYTES = 0;
    struct context {};
    static __device__ __forceinline__ context prepare(uint8_t *) { return {}; }
};

/* Codes of BITS bits: fragments are 128 + code - CENTER' where CENTER' = 128 + CENTER if CENTER >= 0, else 0. Of 8
 * bits (signed): the code. */
template <int BITS, int CENTER> struct lb_codes : lb_no_table {
    static constexpr int TILE_BYTES = 128 * BITS;
    static __device__ __forceinline__ void read(const uint8_t *tile, int lane, lb_raw &w) {
        if (BITS == 8) {
            lb_read_16(tile + lane * 16, w.eight);
            lb_read_16(tile + 512 + lane * 16, w.eight + 4);
            return;
        }
        if (BITS & 4) lb_read_16(tile + lane * 16, w.four);
        if (BITS & 2) lb_read_8(tile + (BITS & 4 ? 512 : 0) + lane * 8, w.two);
        if (BITS & 1) w.one = *(const uint32_t *)(tile + (BITS & 4 ? 512 : 0) + (BITS & 2 ? 256 : 0) + lane * 4);
    }
    /* Codes of fewer than 8 bits in the bits from AT on of both halves of v. */
    template <int AT> static __device__ __forceinline__ uint32_t placed(const lb_raw &w, int step, int reg,
                                                                        uint32_t v) {
        constexpr int TWO = AT + (BITS & 4 ? 4 : 0), ONE = TWO + (BITS & 2 ? 2 : 0);
        if (BITS & 4) v = lb_and_or(lb_shift_right(w.four[step], 4 * reg - AT), 0x000f000fu << AT, v);
        if (BITS & 2) v = lb_and_or(lb_shift_right(w.two[step / 2], 8 * (step % 2) + 2 * reg - TWO), 0x00030003u << TWO,
                                    v);
        if (BITS & 1) v = lb_and_or(lb_shift_right(w.one, 4 * step + reg - ONE), 0x00010001u << ONE, v);
        return v;
    }
    static __device__ __forceinline__ void fragment(const context &, const lb_raw &w, int step, uint32_t a[4]) {
        LB_UNROLL for (int reg = 0; reg < 4; reg++) {
            if (BITS == 8) { /* q = (128 + low 7 bits) - (128 + 128 * sign), both exact in bf16 */
                uint32_t x = w.eight[2 * step + reg / 2] >> 8 * (reg % 2);
                uint32_t low = lb_and_or(x, 0x007f007fu, 0x43004300u), sign = lb_and_or(x, 0x00800080u, 0x43004300u);
                a[reg] = lb_fma_bf16x2(sign, 0xbf80bf80u, low);
                continue;
            }
            uint32_t v = placed<0>(w, step, reg, 0x43004300u);
            a[reg] = CENTER < 0 ? v : lb_fma_bf16x2(v, 0x3f803f80u, 0xc300c300u | (uint32_t)CENTER * 0x10001u);
        }
    }
};

/* ---- scales, device ---- */

LB_DEVICE float lb_half_of(uint32_t w, int half) {
    return __half2float(__ushort_as_half((unsigned short)(w >> 16 * half)));
}
LB_DEVICE float lb_byte_of(uint32_t w, int i) { return (float)(w >> 8 * i & 255u); }
LB_DEVICE float lb_signed_byte_of(uint32_t w, int i) { return (float)(int8_t)(w >> 8 * i); }

/* ---- a warp's products with one unit ---- */

/* Where x[row][k .. k+3] (k % 4 == 0) lies in a row of x in shared memory, in bytes: in each 32 columns, lane t's
 * values of the two products stand together. */
LB_DEVICE int lb_x_place(int k) { return (k / 32 * 32 + k % 16 / 4 * 8 + k % 32 / 16 * 4) * 2; }
/* Bytes from row to row: 64 more than a multiple of 128, so that the 8 lanes of a quarter of a 16-byte read touch
 * all banks. */
constexpr int lb_x_stride(int k) { return k * 2 + (k % 64 ? 0 : 64); }

/* acc += unit (MT panels, `apart` bytes between theirs) * x. x: this unit's first column of row 0. Where rows < 8
 * NT, rows from there on count as zeros and are not read. Minima need the sums of x of each group: SUMS: they
 * stand at sums[group * 8 NT + row]; else a product with ones makes them. */
template <class F, int MT, int NT, bool SUMS>
static __device__ __forceinline__ void lb_unit_products(const typename F::context &ctx, const uint8_t *unit, int apart,
                                                        const uint8_t *x, int stride, int rows, const float *sums,
                                                        float (&acc)[MT][NT][4]) {
    const int lane = (int)threadIdx.x % 32, g = lane / 4, t = lane % 4;
    const uint32_t ones[4] = { 0x3f803f80u, 0x3f803f80u, 0x3f803f80u, 0x3f803f80u };
    typename F::scales scales[MT];
    float xsum[NT][4];
    LB_UNROLL for (int mt = 0; mt < MT; mt++) F::read_scales(unit + mt * apart, g, scales[mt]);
    LB_UNROLL for (int tile = 0; tile < F::UNIT_K / 64; tile++) {
        lb_raw raw[MT];
        if (MT * NT >= 8) __syncwarp(); /* keeps ptxas from asking for all tiles at once, for want of registers */
        LB_UNROLL for (int mt = 0; mt < MT; mt++) F::read(unit + mt * apart + tile * F::TILE_BYTES, lane, raw[mt]);
        LB_UNROLL for (int half = 0; half < 2; half++) {
            const int k = tile * 64 + half * 32;
            uint32_t a[MT][2][4];
            LB_UNROLL for (int mt = 0; mt < MT; mt++)
                LB_UNROLL for (int s = 0; s < 2; s++) F::fragment(ctx, raw[mt], 2 * half + s, a[mt][s]);
            LB_UNROLL for (int nt = 0; nt < NT; nt++) {
                if (MT * NT >= 8 && nt == NT / 2) __syncwarp();
                uint32_t b[4] = { 0, 0, 0, 0 };
                if (8 * nt + g < rows) lb_read_16(x + (8 * nt + g) * stride + k * 2 + t * 16, b);
                if (F::GROUP == 0) { /* one scale a row: the total's own business, at the end */
                    LB_UNROLL for (int mt = 0; mt < MT; mt++) {
                        lb_mma_bf16(acc[mt][nt], a[mt][0], b[0], b[1]);
                        lb_mma_bf16(acc[mt][nt], a[mt][1], b[2], b[3]);
                    }
                    continue;
                }
                constexpr int PARTS = F::GROUP == 16 ? 2 : 1; /* scales of their own in these 32 columns */
                LB_UNROLL for (int p = 0; p < PARTS; p++) {
                    const int group = (k + 16 * p) / (F::GROUP ? F::GROUP : 1);
                    const bool begins = PARTS == 2 || k % (F::GROUP ? F::GROUP : 1) == 0;
                    const bool ends = PARTS == 2 || (k + 32) % (F::GROUP ? F::GROUP : 1) == 0;
                    if (F::MINIMA && !SUMS) {
                        if (begins) lb_mma_bf16_first(xsum[nt], ones, b[2 * p], b[2 * p + 1]);
                        else lb_mma_bf16(xsum[nt], ones, b[0], b[1]);
                        if (PARTS == 1) lb_mma_bf16(xsum[nt], ones, b[2], b[3]);
                    }
                    if (F::MINIMA && SUMS && ends) {
                        float2 v = *(const float2 *)(sums + group * 8 * NT + 8 * nt + 2 * t);
                        xsum[nt][0] = v.x, xsum[nt][1] = v.y;
                    }
                    LB_UNROLL for (int mt = 0; mt < MT; mt++) {
                        float part[4], s[2], m[2];
                        F::scale(scales[mt], group, s, m);
                        lb_mma_bf16_first(part, a[mt][p], b[2 * p], b[2 * p + 1]);
                        if (PARTS == 1) lb_mma_bf16(part, a[mt][1], b[2], b[3]);
                        LB_UNROLL for (int i = 0; i < 4; i++) acc[mt][nt][i] += s[i / 2] * part[i];
                        if (F::MINIMA && ends)
                            LB_UNROLL for (int i = 0; i < 4; i++) acc[mt][nt][i] += m[i / 2] * xsum[nt][i % 2];
                    }
                }
            }
        }
    }
}

/* Begins the copy of BYTES (a multiple of 16) that are read once; all lanes of a warp. Both addresses are lane 0's. */
template <int BYTES> LB_DEVICE void lb_copy_unit(uint8_t *to, const uint8_t *from, uint64_t policy) {
    const int lane = (int)threadIdx.x % 32;
    LB_UNROLL for (int i = 0; i < (BYTES + 511) / 512; i++)
        if (i * 512 + 512 <= BYTES || lane * 16 < BYTES - i * 512)
            lb_copy_async_once_16(to + lane * 16 + i * 512, from + lane * 16 + i * 512, policy);
}
