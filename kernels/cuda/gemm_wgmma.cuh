/* gemm_wgmma.cuh: products of many rows of x with weights in the layout mma16 (tile16.cuh), by Hopper's wgmma. A
 * format's file says LB_WGMMA(format structs).
 *
 * The weights are operand A, in registers: a lane's 16 bytes of a tile are the fragments of four products, and those of
 * wgmma are mma.sync's. They become bf16 there, exactly, as everywhere in this layout; a group's products go to sums of
 * their own, which are multiplied by the group's f32 scale. x is operand B in shared memory. Where scales are so few
 * bits that their product with a code is a bf16, they go into the code (q2_k, q3_k), and the group is a unit. Minima
 * are products, too: they are bf16 (or small integers, with a factor for the row), and their operand B are the sums of
 * x of their groups, each as three bf16 that add up to it.
 *
 * Two launches, three where K is split:
 *   0  x to bf16, once, in tiles of 128 rows by 64 columns as the products want them in shared memory (swizzled, each
 *      16 columns in the order of mma16's fragments): a tile is one piece of 16 KB, one bulk copy;
 *   1  a block has 256 rows of weights and 128 rows of x. One thread of the first warpgroup keeps two rings full by
 *      bulk copies, units of 16 panels and tiles of x. Each of two warpgroups has 128 rows, 64 at a time: 128 sums, 64
 *      of a group. While one multiplies by its scales the other's products go on; the next fragments are made while the
 *      last are multiplied;
 *   2  the shares of K, in order, and a function of the sums.
 *
 * Counted for an H200 (132 SMs, 2048 bf16 multiplications an SM and clock), M = 256, 8192 x 8192: 128 blocks that take
 * 65536 clocks of products each, 37 us at 1.75 GHz. Beside 128 clocks of products (64 x 32 weights by 128 columns) the
 * four schedulers issue, a warp each: scales 64 of a group of 32 (16 of one of 128), expanding about 25. Minima add a
 * product of 16 columns to 8 (int4wo, q4_k, q5_k) or 3 to 16 (q2_k), and for K-quants 64 instructions a unit of 256.
 * Bytes from L2 a clock and SM: x 16, weights of 4.5 bits 9. Expected: what holds back a dense product holds this back
 * too. Not measured. */
#pragma once
#include "gemm_mma16.cuh"
#include "wgmma.cuh"

enum : int {
    LB_WG_ROWS = 256, LB_WG_PANELS = LB_WG_ROWS / LB_ROWS, LB_WG_COLUMNS = 128, LB_WG_K = 64, LB_WG_THREADS = 384,
    LB_WG_X_BYTES = LB_WG_COLUMNS * LB_WG_K * 2, LB_WG_SUM_BYTES = LB_WG_COLUMNS * 32, LB_WG_WARPS = 8
        /* that multiply */
};

/* What a format with minima says besides: SUM_GROUP columns have a minimum, SUM_STEPS products of 16 a unit are theirs,
 * with the fragments minima(); SUM_SCALES: times sum_scale(), else they go to the total. A format may read its tiles
 * itself (read_tile), and has scale() without minima. */
template <class F> constexpr int lb_wg_sum_steps() {
    if constexpr (requires { F::SUM_STEPS; }) return F::SUM_STEPS;
    else return 0;
}
template <class F> constexpr int lb_wg_sum_group() {
    if constexpr (requires { F::SUM_STEPS; }) return F::SUM_GROUP;
    else return 0;
}
template <class F> struct lb_wg_shape {
    static constexpr int
        SUM_STEPS = lb_wg_sum_steps<F>(), CHUNKS = F::UNIT_K / LB_WG_K, SUM_BYTES = SUM_STEPS * LB_WG_SUM_BYTES,
            W_STAGE = (LB_WG_PANELS * F::UNIT_BYTES + SUM_BYTES + 127) / 128 * 128,
        W_FIT = 114688 / W_STAGE, W_STAGES = W_FIT > 4 ? 4 : W_FIT < 2 ? 2 : W_FIT,
        X_FIT = (230400 - F::TABLE_BYTES - W_STAGES * W_STAGE) / LB_WG_X_BYTES, X_STAGES = X_FIT > 8 ? 8 : X_FIT,
        W_AT = X_STAGES * LB_WG_X_BYTES, TABLE_AT = W_AT + W_STAGES * W_STAGE, BARRIERS_AT = TABLE_AT + F::TABLE_BYTES,
        SMEM = BARRIERS_AT + 2 * (W_STAGES + X_STAGES) * 8;
    static_assert(X_STAGES > CHUNKS, "a unit's tiles of x are there together");
    static_assert(!F::MINIMA || SUM_STEPS, "minima need sums");
    static_assert(LB_WG_PANELS * F::UNIT_BYTES % 256 == 0 && (!SUM_STEPS || W_STAGE % 256 == 0),
                  "where tiles may begin");
};
struct lb_wg_args {
    const uint8_t *w, *xp;       /* xp: [row tile][K / 64][128][64] */
    const uint8_t *sums;         /* of minima: [row tile][unit][SUM_STEPS][128][16] */
    float *out;
    float4 *shares;              /* where splits > 1, or there is a function:
                                  * [row tile][weight tile][split][32 x 2][256] */
    const float *bias;
    int m, units, splits, tiles, activation;
    int64_t n, ld, panel_bytes;
};

/* ---- phase 0 ---- */

/* A sum of x in three bf16, `rest` what the ones before left of it. */
LB_DEVICE uint32_t lb_wg_piece(float &rest) {
    uint32_t piece = lb_pack_bf16x2(rest, 0.0f) & 0xffffu;
    rest = fabsf(rest) < 3e38f ? rest - __uint_as_float(piece << 16) : 0.0f; /* NaN and Inf are in the first, once */
    return piece;
}

/* One thread for four columns; rows from m on and columns from k on are zeros. STEPS products of 16 a unit of UNIT_K
 * are those of minima; piece p of a unit's group g is column p * groups + g of them. */
template <int GROUP, int UNIT_K, int STEPS> __global__ void __launch_bounds__(LB_THREADS)
lb_wg_prepare(const float *x, int m, int64_t k, int kp, uint8_t *xp, uint8_t *sums) {
    lb_let_next_launch_begin();
    int at = ((int)blockIdx.y * LB_THREADS + (int)threadIdx.x) * 4, row = (int)blockIdx.x;
    if (at >= kp) return; /* whole warps: kp is a multiple of 128 */
    const float *from = x + row * k + at;
    float v[4] = { 0, 0, 0, 0 };
    if (row < m) {
        if (k % 4 == 0 && ((uintptr_t)x & 15) == 0 && at < k) {
            float4 f = __ldg((const float4 *)(const void *)from);
            v[0] = f.x, v[1] = f.y, v[2] = f.z, v[3] = f.w;
        } else {
            LB_UNROLL for (int j = 0; j < 4; j++)
                if (at + j < k) v[j] = __ldg(from + j);
        }
    }
    /* columns 4 t .. 4 t + 3 of 16 are 2 t, 2 t + 1 and 8 + 2 t, 9 + 2 t of the fragments */
    uint2 pair = make_uint2(lb_pack_bf16x2(v[0], v[1]), lb_pack_bf16x2(v[2], v[3]));
    int tile = row / LB_WG_COLUMNS, r = row % LB_WG_COLUMNS, piece = at % LB_WG_K / 16 * 2, t = at % 16;
    uint8_t *to = xp + ((int64_t)tile * (kp / LB_WG_K) + at / LB_WG_K) * LB_WG_X_BYTES + r * 128 + t;
    *(uint32_t *)(void *)(to + (piece ^ r % 8) * 16) = pair.x;
    *(uint32_t *)(void *)(to + ((piece + 1) ^ r % 8) * 16) = pair.y;
    if (GROUP == 0) return;
    float sum = (__uint_as_float(pair.x << 16) + __uint_as_float(pair.x & 0xffff0000u)) +
                (__uint_as_float(pair.y << 16) + __uint_as_float(pair.y & 0xffff0000u));
    LB_UNROLL for (int by = 1; by < GROUP / 4; by *= 2) sum += __shfl_xor_sync(0xffffffffu, sum, by);
    constexpr int GROUPS = GROUP ? UNIT_K / GROUP : 1, PIECES = STEPS * 16 / GROUPS;
    static_assert(GROUP == 0 || (PIECES >= 3 && PIECES <= GROUP / 4), "a thread writes a piece");
    const int p = at % (GROUP ? GROUP : 1) / 4, column = p * GROUPS + at % UNIT_K / (GROUP ? GROUP : 1);
    if (p >= PIECES) return;
    uint32_t bits = 0;
    for (int i = 0; i <= p; i++) bits = i < 3 ? lb_wg_piece(sum) : 0;
    uint8_t *step = sums + (((int64_t)tile * (kp / UNIT_K) + at / UNIT_K) * STEPS + column / 16) * LB_WG_SUM_BYTES;
    *(uint16_t *)(void *)(step + r * 32 + (column % 16 / 8 ^ r / 4 % 2) * 16 + column % 8 * 2) = (uint16_t)bits;
}

/* ---- phase 1 ---- */

#if LB_CUDA_WGMMA
struct lb_wg_ring { int at, turn; };
template <int STAGES> LB_DEVICE void lb_wg_next(lb_wg_ring &r) {
    if (++r.at == STAGES) r.at = 0, r.turn ^= 1;
}
/* full[i]: one arrival and the bytes; empty[i]: each warp that multiplies. */
template <class F> struct lb_wg_rings {
    typedef lb_wg_shape<F> S;
    uint64_t *w_full, *w_empty, *x_full, *x_empty;
    __device__ explicit lb_wg_rings(uint8_t *smem) {
        w_full = (uint64_t *)(void *)(smem + S::BARRIERS_AT), w_empty = w_full + S::W_STAGES;
        x_full = w_empty + S::W_STAGES, x_empty = x_full + S::X_STAGES;
    }
};

/* One thread: everything that the block reads, in the order in which it is used. */
template <class F> LB_DEVICE void lb_wg_produce(const lb_wg_args &a, uint8_t *smem, int tile, int begin, int end) {
    typedef lb_wg_shape<F> S;
    const lb_wg_rings<F> ring(smem);
    const uint64_t policy = lb_policy_once();
    const int64_t panels = (a.n + LB_ROWS - 1) / LB_ROWS, first = (int64_t)tile * LB_WG_PANELS;
    const uint8_t *x = a.xp + ((int64_t)blockIdx.y * a.units + begin) * S::CHUNKS * LB_WG_X_BYTES;
    lb_wg_ring ws = { 0, 0 }, xs = { 0, 0 };
    bool waited = false;
    for (int u = begin; u < end; u++) {
        uint8_t *to = smem + S::W_AT + ws.at * S::W_STAGE;
        lb_mbarrier_wait(&ring.w_empty[ws.at], (unsigned)ws.turn ^ 1);
        lb_mbarrier_expect(&ring.w_full[ws.at], LB_WG_PANELS * F::UNIT_BYTES + S::SUM_BYTES);
        for (int p = 0; p < LB_WG_PANELS; p++) {
            /* behind the last panel that one again, whose results are not stored */
            int64_t panel = first + p < panels ? first + p : panels - 1;
            lb_copy_bulk_once(to + p * F::UNIT_BYTES, a.w + panel * a.panel_bytes + (int64_t)u * F::UNIT_BYTES,
                              F::UNIT_BYTES,
                              &ring.w_full[ws.at], policy);
        }
        if (!waited) {
            lb_wait_for_launch_before();
            lb_fence_async_global();
            waited = true;
        }
        if (S::SUM_STEPS)
            lb_copy_bulk(to + LB_WG_PANELS * F::UNIT_BYTES, a.sums + ((int64_t)blockIdx.y * a.units + u) * S::SUM_BYTES,
                         S::SUM_BYTES, &ring.w_full[ws.at]);
        for (int c = 0; c < S::CHUNKS; c++, x += LB_WG_X_BYTES) {
            lb_mbarrier_wait(&ring.x_empty[xs.at], (unsigned)xs.turn ^ 1);
            lb_mbarrier_expect(&ring.x_full[xs.at], LB_WG_X_BYTES);
            lb_copy_bulk(smem + xs.at * LB_WG_X_BYTES, x, LB_WG_X_BYTES, &ring.x_full[xs.at]);
            lb_wg_next<S::X_STAGES>(xs);
        }
        lb_wg_next<S::W_STAGES>(ws);
    }
}

template <class F> LB_DEVICE void lb_wg_scale(const typename F::scales &scales, int group, float f[2]) {
    if constexpr (requires { F::scale(scales, group, f); }) F::scale(scales, group, f);
    else F::scale(scales, group, f, nullptr);
}
LB_DEVICE void lb_wg_add(const float f[2], const float (&part)[64], float (&total)[64]) {
    LB_UNROLL for (int i = 0; i < 64; i++) total[i] += f[i / 2 % 2] * part[i];
}

/* Minima of 64 rows of a unit meet the sums of x, into the total, or apart where these have a scale of their own. */
template <class F> LB_DEVICE void lb_wg_minima(const uint8_t *unit, const uint8_t *sums, uint32_t (&m)[4],
                                               float (&part)[64], float (&total)[64]) {
    const uint64_t b = lb_wgmma_tile_narrow(sums);
    F::minima(unit, (int)threadIdx.x % 32, m);
    lb_wgmma_fence();
    LB_UNROLL for (int s = 0; s < lb_wg_shape<F>::SUM_STEPS; s++) {
        if (F::SUM_SCALES) lb_wgmma_ra(part, m, lb_wgmma_at(b, (unsigned)s * LB_WG_SUM_BYTES), s == 0);
        else lb_wgmma_ra(total, m, lb_wgmma_at(b, (unsigned)s * LB_WG_SUM_BYTES), false);
    }
    lb_wgmma_commit();
}
template <class F> LB_DEVICE void lb_wg_minima_scaled(const typename F::scales &scales, uint32_t (&m)[4],
                                                      float (&part)[64], float (&total)[64]) {
    float f[2];
    lb_wgmma_wait<0>();
    lb_wgmma_done(part);
    lb_wgmma_done(m);
    F::sum_scale(scales, f);
    lb_wg_add(f, part, total);
}

/* 64 rows by a unit. Batches of one group of 16, or of 32 columns; fragments of the next are made while a batch is
 * multiplied. x: stages from `xs` on. */
template <class F> LB_DEVICE void lb_wg_unit(const typename F::context &ctx, const uint8_t *unit, const uint8_t *sums,
                                             uint8_t *smem,
                                             const lb_wg_rings<F> &ring, lb_wg_ring xs, float (&total)[64]) {
    typedef lb_wg_shape<F> S;
    constexpr int STEPS = F::GROUP == 16 || S::SUM_STEPS ? 1 : 2, BATCHES = F::UNIT_K / (16 * STEPS), EACH = 16 * STEPS;
    constexpr int GROUP = F::GROUP ? F::GROUP : F::UNIT_K;
    const int lane = (int)threadIdx.x % 32;
    typename F::scales scales;
    lb_raw raw;
    uint32_t a[2][STEPS * 4], m[4];
    float part[64], f[2];
    uint64_t x = 0;
    lb_anew(xs.at); /* the descriptors of the 64 rows before */
    F::read_scales(unit, lane / 4, scales);
    auto fragments = [&](int batch) {
        if (batch * EACH % 64 == 0) {
            if constexpr (requires { F::read_tile(unit, 0, lane, raw); }) F::read_tile(unit, batch * EACH / 64, lane,
                                                                                       raw);
            else F::read(unit + batch * EACH / 64 * F::TILE_BYTES, lane, raw);
        }
        LB_UNROLL for (int s = 0; s < STEPS; s++) F::fragment(ctx, raw, (batch * STEPS + s) % 4, &a[batch % 2][4 * s]);
    };
    if constexpr (S::SUM_STEPS > 0) lb_wg_minima<F>(unit, sums, m, part, total);
    fragments(0);
    if constexpr (S::SUM_STEPS > 0)
        if constexpr (F::SUM_SCALES) lb_wg_minima_scaled<F>(scales, m, part, total);
    LB_UNROLL for (int batch = 0; batch < BATCHES; batch++) {
        const int k = batch * EACH, group = k / GROUP;
        const bool begins = k % GROUP == 0, ends = (k + EACH) % GROUP == 0;
        if (k % LB_WG_K == 0) {
            lb_mbarrier_wait(&ring.x_full[xs.at], (unsigned)xs.turn);
            x = lb_wgmma_tile(smem + xs.at * LB_WG_X_BYTES);
            lb_wg_next<S::X_STAGES>(xs);
        }
        lb_wgmma_fence();
        LB_UNROLL for (int s = 0; s < STEPS; s++) {
            const uint64_t b = lb_wgmma_at(x, (unsigned)(k % LB_WG_K + 16 * s) * 2);
            if (F::GROUP == 0) lb_wgmma_ra(total, &a[batch % 2][4 * s], b, false);
            else lb_wgmma_ra(part, &a[batch % 2][4 * s], b, begins && s == 0);
        }
        lb_wgmma_commit();
        if (batch + 1 < BATCHES) {
            if (batch > 0) lb_wgmma_wait<1>();
            lb_wgmma_done(a[(batch + 1) % 2]);
            fragments(batch + 1);
        }
        if (F::GROUP == 0) continue;
        if (!ends) continue;
        lb_wgmma_wait<0>();
        lb_wgmma_done(part);
        if (S::SUM_STEPS && k + EACH == GROUP) lb_wgmma_done(total), lb_wgmma_done(m);
        lb_wg_scale<F>(scales, group, f);
        lb_wg_add(f, part, total);
    }
    lb_wgmma_wait<0>();
    lb_wgmma_done(total);
}

template <class F> LB_DEVICE void lb_wg_store(const lb_wg_args &a, int64_t row, int mt, int tile, int split,
                                              float (&total)[64]) {
    const int lane = (int)threadIdx.x % 32, column = (int)blockIdx.y * LB_WG_COLUMNS + lane % 4 * 2,
        self = (int)threadIdx.x - 128;
    float4 *share = a.shares + (((int64_t)blockIdx.y * a.tiles + tile) * a.splits + split) * (32 * 256) +
        mt * 16 * 256 + self;
    row += lane / 4;
    if (F::GROUP == 0) {
        LB_UNROLL for (int half = 0; half < 2; half++) {
            int64_t r = row + 8 * half;
            const uint8_t *panel = a.w + r / LB_ROWS * a.panel_bytes + (int64_t)a.units * F::UNIT_BYTES;
            float scale = r >= a.n ? 0.0f : ((const float *)(const void *)panel)[r % LB_ROWS];
            LB_UNROLL for (int j = 0; j < 16; j++) total[4 * j + 2 * half] *= scale,
                total[4 * j + 2 * half + 1] *= scale;
        }
    }
    const bool there[2] = { row < a.n, row + 8 < a.n };
    float add[2] = { 0, 0 };
    if (a.bias) add[0] = there[0] ? a.bias[row] : 0.0f, add[1] = there[1] ? a.bias[row + 8] : 0.0f;
    LB_UNROLL for (int j = 0; j < 16; j++) {
        if (a.splits > 1 || a.activation) {
            share[j * 256] = make_float4(total[4 * j], total[4 * j + 1], total[4 * j + 2], total[4 * j + 3]);
            continue;
        }
        LB_UNROLL for (int i = 0; i < 4; i++)
            if (there[i / 2] && column + 8 * j + i % 2 < a.m)
                a.out[(int64_t)(column + 8 * j + i % 2) * a.ld + row + i / 2 * 8] = total[4 * j + i] + add[i / 2];
    }
}

/* A warpgroup's 128 rows: 64, then 64, unit by unit. */
template <class F>
LB_DEVICE void lb_wg_consume(const lb_wg_args &a, uint8_t *smem, const typename F::context &ctx, int tile, int split,
                             int begin,
                             int end) {
    typedef lb_wg_shape<F> S;
    const lb_wg_rings<F> ring(smem);
    const int warp = (int)threadIdx.x / 32 - 4, lane = (int)threadIdx.x % 32, panel = warp / 4 * 8 + warp % 4;
    float total[2][64] = {};
    lb_wg_ring ws = { 0, 0 }, xs = { 0, 0 };
    _Pragma("unroll 1") for (int u = begin; u < end; u++) {
        const uint8_t *stage = smem + S::W_AT + ws.at * S::W_STAGE;
        const uint8_t *sums = stage + LB_WG_PANELS * F::UNIT_BYTES;
        lb_mbarrier_wait(&ring.w_full[ws.at], (unsigned)ws.turn);
        LB_UNROLL for (int mt = 0; mt < 2; mt++)
            lb_wg_unit<F>(ctx, stage + (panel + 4 * mt) * F::UNIT_BYTES, sums, smem, ring, xs, total[mt]);
        __syncwarp();
        if (lane == 0) lb_mbarrier_arrive(&ring.w_empty[ws.at]);
        for (int c = 0; c < S::CHUNKS; c++) {
            if (lane == 0) lb_mbarrier_arrive(&ring.x_empty[xs.at]);
            lb_wg_next<S::X_STAGES>(xs);
        }
        lb_wg_next<S::W_STAGES>(ws);
    }
    LB_UNROLL for (int mt = 0; mt < 2; mt++)
        lb_wg_store<F>(a, ((int64_t)tile * LB_WG_PANELS + panel + 4 * mt) * LB_ROWS, mt, tile, split, total[mt]);
}
#endif

template <class F> __global__ void __launch_bounds__(LB_WG_THREADS,
                                                     1) lb_wg_gemm(const __grid_constant__ lb_wg_args a) {
#if LB_CUDA_WGMMA
    typedef lb_wg_shape<F> S;
    LB_CUDA_SHARED(smem);
    const lb_wg_rings<F> ring(smem);
    const int tile = (int)blockIdx.x / a.splits, split = (int)blockIdx.x % a.splits;
    const int begin = (int)((int64_t)a.units * split / a.splits),
        end = (int)((int64_t)a.units * (split + 1) / a.splits);
    if (threadIdx.x == 0) {
        for (int i = 0; i < S::W_STAGES; i++)
            lb_mbarrier_init(&ring.w_full[i], 1), lb_mbarrier_init(&ring.w_empty[i], LB_WG_WARPS);
        for (int i = 0; i < S::X_STAGES; i++)
            lb_mbarrier_init(&ring.x_full[i], 1), lb_mbarrier_init(&ring.x_empty[i], LB_WG_WARPS);
        lb_mbarrier_made();
    }
    const typename F::context ctx = F::prepare(smem + S::TABLE_AT);
    __syncthreads();
    lb_let_next_launch_begin();
    if (threadIdx.x < 128) {
        lb_registers_less<24>();
        if (threadIdx.x == 0) lb_wg_produce<F>(a, smem, tile, begin, end);
    } else {
        lb_registers_more<240>();
        if (begin == end) lb_wait_for_launch_before(); /* nobody waits for x, and results may be needed before this */
        lb_wg_consume<F>(a, smem, ctx, tile, split, begin, end);
    }
#else
    (void)a;
#endif
}

/* ---- phase 2 ---- */

/* Block (x, y, z): pieces z of weight tile x, row tile y. */
static __global__ void __launch_bounds__(LB_THREADS) lb_wg_shares(const __grid_constant__ lb_wg_args a) {
    const int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32, mt = (int)blockIdx.z / 16,
        j = (int)blockIdx.z % 16;
    lb_wait_for_launch_before();
    const float4 *share = a.shares + ((int64_t)blockIdx.y * a.tiles + blockIdx.x) * a.splits * (32 * 256) +
        blockIdx.z * 256 +
                          threadIdx.x;
    float c[4] = { 0, 0, 0, 0 };
    for (int s = 0; s < a.splits; s++) {
        float4 v = __ldcg(share + (int64_t)s * (32 * 256));
        c[0] += v.x, c[1] += v.y, c[2] += v.z, c[3] += v.w;
    }
    int64_t row = ((int64_t)blockIdx.x * LB_WG_PANELS + warp / 4 * 8 + warp % 4 + 4 * mt) * LB_ROWS + lane / 4;
    int column = (int)blockIdx.y * LB_WG_COLUMNS + 8 * j + lane % 4 * 2;
    for (int i = 0; i < 4; i++) {
        int64_t r = row + i / 2 * 8;
        if (r < a.n && column + i % 2 < a.m)
            a.out[(int64_t)(column + i % 2) * a.ld + r] = lb_finished(c[i], a.bias, r, a.activation);
    }
}

/* ---- what launches them ---- */

template <class F> struct lb_wg_format {
    typedef lb_wg_shape<F> S;
    static int tiles_n(int64_t n) { return (int)((n + LB_WG_ROWS - 1) / LB_WG_ROWS); }
    static int tiles_m(int64_t m) { return (int)((m + LB_WG_COLUMNS - 1) / LB_WG_COLUMNS); }
    /* Shares of K, of four units or more, so that all SMs have work. */
    static int splits(int64_t m, int64_t n, int64_t k) {
        int64_t room = lb_cuda_info_now()->sm_count / ((int64_t)tiles_n(n) * tiles_m(m)), most = lb_units<F>(k) / 4;
        room = room < most ? room : most;
        return (int)(room < 1 ? 1 : room > 8 ? 8 : room);
    }
    struct space { size_t sums, shares, end; };
    static space spaces(int64_t m, int64_t n, int64_t k, int activation) {
        size_t rows = (size_t)tiles_m(m) * LB_WG_COLUMNS, kp = (size_t)lb_units<F>(k) * F::UNIT_K;
        space s;
        int shares = splits(m, n, k);
        s.sums = rows * kp * 2;
        s.shares = s.sums + (size_t)tiles_m(m) * lb_units<F>(k) * S::SUM_BYTES;
        s.end = s.shares + (shares > 1 || activation ?
                            (size_t)tiles_n(n) * tiles_m(m) * shares * (32 * 256) * sizeof(float4) : 0);
        return s;
    }
    static size_t workspace(const lb_product &p) { return p.m && p.n ? spaces(p.m, p.n, p.k, p.activation).end : 0; }
    static int phases(const lb_product &p) { return p.m && p.n ? splits(p.m, p.n, p.k) > 1 || p.activation ? 3 : 2 : 1;
        }
    static void launch(const lb_product &o, const lb_launch *l) {
        const int64_t m = o.m, k = o.k, n = o.n;
        if (m == 0 || n == 0) return;
        space s = spaces(m, n, k, o.activation);
        uint8_t *ws = (uint8_t *)l->workspace;
        lb_wg_args p = {};
        p.w = o.w, p.bias = o.bias, p.ld = o.ld, p.activation = o.activation, p.xp = ws;
        p.sums = ws + s.sums, p.shares = (float4 *)(void *)(ws + s.shares);
        p.out = o.out, p.m = (int)m, p.units = (int)lb_units<F>(k), p.splits = splits(m, n, k);
        p.tiles = tiles_n(n), p.n = n, p.panel_bytes = (int64_t)lb_panel16_bytes<F>(k);
        int kp = p.units * F::UNIT_K, tm = tiles_m(m);
        if (l->phase == 0) {
            LB_CUDA_LAUNCH_IF_ANY((lb_wg_prepare<lb_wg_sum_group<F>(), (int)F::UNIT_K, S::SUM_STEPS>),
                                  dim3((unsigned)(tm * LB_WG_COLUMNS),
                                       (unsigned)((kp / 4 + LB_THREADS - 1) / LB_THREADS)), LB_THREADS, 0,
                                  lb_cuda_stream(l), o.x, (int)m, k, kp, ws, ws + s.sums);
        } else if (l->phase == 1) {
            lb_cuda_smem(lb_wg_gemm<F>, S::SMEM);
            LB_LAUNCH_OVERLAPPING(lb_wg_gemm<F>, dim3((unsigned)(p.tiles * p.splits), (unsigned)tm), LB_WG_THREADS,
                                  S::SMEM,
                                  lb_cuda_stream(l), p);
        } else {
            LB_LAUNCH_OVERLAPPING(lb_wg_shares, dim3((unsigned)p.tiles, (unsigned)tm, 32), LB_THREADS, 0,
                                  lb_cuda_stream(l), p);
        }
    }
};

/* ---- what a format's file says ---- */

template <class... F> struct lb_wg_family : lb_gemm16_family<F...> {
    typedef lb_gemm16_family<F...> base;
    enum { LEAST = 65 }; /* rows: for fewer, mma.sync's tiles are as wide as the batch */
    static bool supports(const lb_args *a, const char **why) {
        if (!base::supports(a, why)) return false;
        *why = "up to 64 rows are for the mma kernel";
        if (lb_arg(a, LB_GEMM_X)->dims[0] < LEAST) return false;
        *why = "the device has too little shared memory";
        return lb_cuda_info_now()->smem_per_block >= 227 << 10;
    }
    static size_t workspace_of(const lb_quantizer *q, const lb_product &p) {
        return base::with(q, (size_t)0, [&](auto f) { return lb_wg_format<typename decltype(f)::format>::workspace(p);
            });
    }
    static int phases_of(const lb_quantizer *q, const lb_product &p) {
        return base::with(q, 1, [&](auto f) { return lb_wg_format<typename decltype(f)::format>::phases(p); });
    }
    static void launch_of(const lb_quantizer *q, const lb_product &p, const lb_launch *l) {
        base::with(q, 0, [&](auto f) { return lb_wg_format<typename decltype(f)::format>::launch(p, l), 0; });
    }
    static size_t workspace_bytes(const lb_args *a, int) {
        return workspace_of(base::of(a), base::product(a, lb_arg(a, LB_GEMM_W)));
    }
    static int phases(const lb_args *a) { return phases_of(base::of(a), base::product(a, lb_arg(a, LB_GEMM_W))); }
    static void launch(const lb_args *a, const lb_launch *l) {
        launch_of(base::of(a, l), base::product(a, lb_weight(a, l, LB_GEMM_W)), l);
    }
};
#define LB_WGMMA(...)                                                                                                \
    typedef lb_wg_family<__VA_ARGS__> family;                                                                        \
    static const lb_layout layout = { "mma16", family::size_bytes, family::repack, LB_ROWS };                        \
    LB_PRODUCTS(true)
#define LB_WGMMA_FIELDS(NAME, FORMAT)                                                                                \
    .name = NAME, .op = "gemm", .device = "cuda",                                                                    \
    .about = "wgmma, weights expanded in registers from the order of mma's fragments, x by bulk copies",             \
    .source = "luabench; weights in the order of mma's fragments are Marlin's idea", .isa = LB_ISA_SM90A,            \
    .format = FORMAT, .layout = &layout, .act = LB_ACT_BF16, .acc = LB_ACC_F32, .compute = LB_COMPUTE_BF16,          \
    LB_MMA16_TOLERANCE,                                                                                              \
    .priority = 30, .supports = family::supports, .phases = family::phases,                                          \
    .workspace_bytes = family::workspace_bytes, .launch = family::launch
