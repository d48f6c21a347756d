/* gemm_mma16.cuh: products with weights in the layout mma16 (tile16.cuh), for any format. A format's file says
 * LB_GEMM16(format struct), and has launch(), phases(), workspace_bytes(), layout and panel.
 *
 * One row of x, or few of a short K (gemv): blocks stay, two to an SM, and go from panel to panel. A block's eight
 * warps share a panel's units by turns; each streams its own through a ring in shared memory that is full over the
 * ends of panels: about 70 KB under way a block, 140 an SM, where 4.8 TB/s times 0.8 us ask for 29. x is turned
 * into bf16 once a block and stays. The eight partial sums meet in shared memory, in order. Bytes: the weights
 * once, x once a block from L2. For 64 MB of weights on an H200: 14 us at 4.8 TB/s; expected loss: the first
 * bytes' latency and the last panel, about 1.5 us.
 *
 * More rows (gemm), three launches:
 *   0  x to bf16 in the order of the products, once, with the sums that minima need;
 *   1  a block has 128 or 256 rows of weights (8 warps, one or two panels each), 16 or 64 rows of x, and a share
 *      of K; weights and x
 *      come through one ring, a barrier a unit. K is split so that all SMs have work (two blocks each);
 *   2  where it was split: the shares are added, in order. 1 and 2 begin while what is before them ends, and ask
 *      for weights before they wait for it (programmatic dependent launch, from sm_90 on). M = 16, 8192 x 8192,
 *      groups of 128: 35 MB, 7.4 us at 4.8 TB/s, x from L2 0.3 of the weights' bytes. M = 256: mma.sync bounds it,
 *      2 M N K at about 0.6 of the chip's wgmma rate: 58 us for 8192 x 8192. */
#pragma once
#include "../../engine/cuda/overlap.h"
#include "act.cuh"
#include "tile16.cuh"

/* A product as these kernels do it: out[m][ld] = f(x[m][k] w[n][k] + bias[n]). Of `gemm` ld is n, and f and bias are
 * not there; linear_any_mma.cu has the others. */
struct lb_product {
    const float *x;
    const uint8_t *w;         /* in mma16 */
    float *out;
    const float *bias;        /* or null */
    int64_t m, k, n, ld;
    int activation;           /* LB_ACTIVATION_... */
};
LB_DEVICE float lb_finished(float sum, const float *bias, int64_t row, int activation) {
    if (bias) sum += bias[row];
    return activation == LB_ACTIVATION_NONE ? sum : lb_activate{ activation, 0.01f }(sum, 0.0f);
}

/* ---- launches that overlap ---- */

#if !defined(LB_CUDA_EMULATED) && defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
LB_DEVICE void lb_wait_for_launch_before(void) { asm volatile("griddepcontrol.wait;" ::: "memory"); }
LB_DEVICE void lb_let_next_launch_begin(void) { asm volatile("griddepcontrol.launch_dependents;"); }
#else
LB_DEVICE void lb_wait_for_launch_before(void) {}
LB_DEVICE void lb_let_next_launch_begin(void) {}
#endif

/* As LB_CUDA_LAUNCH, of a kernel that calls lb_wait_for_launch_before() before it touches what launches before it
 * made. */
#ifdef LB_CUDA_EMULATED
#define LB_LAUNCH_OVERLAPPING LB_CUDA_LAUNCH
#else
/* Code for other processors than Hopper does not wait. */
static inline bool lb_launches_overlap(void) { return lb_cuda_info_now()->cc == 90 && lb_cuda_may_overlap(); }
template <class... P, class... A>
static void lb_launch_overlapping(void (*kernel)(P...), dim3 grid, dim3 block, size_t smem, cudaStream_t stream,
                                  A... a) {
    cudaLaunchAttribute attribute = {};
    attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config = {};
    config.gridDim = grid, config.blockDim = block, config.dynamicSmemBytes = smem, config.stream = stream;
    config.attrs = &attribute, config.numAttrs = lb_launches_overlap();
    cudaLaunchKernelEx(&config, kernel, P(a)...);
}
#define LB_LAUNCH_OVERLAPPING(kernel, grid, block, smem, stream, ...)                                             \
    lb_launch_overlapping(kernel, dim3(grid), dim3(block), smem, stream, __VA_ARGS__)
#endif

/* ---- gemv ---- */

template <class F> constexpr int lb_gemv_depth() {
    return (81920 - F::TABLE_BYTES) / (LB_WARPS * F::UNIT_BYTES) > 8 ? 8 : (81920 - F::TABLE_BYTES) / (LB_WARPS *
            F::UNIT_BYTES);
}
constexpr int LB_GEMV_MOST = 8; /* rows of x */
template <class F> static inline size_t lb_gemv_smem(int64_t m, int64_t k) {
    return (size_t)F::TABLE_BYTES + (size_t)(lb_gemv_depth<F>() * LB_WARPS * F::UNIT_BYTES) +
           (size_t)m * (2 * LB_WARPS * LB_ROWS * 4) + (size_t)m * lb_x_stride((int)(lb_units<F>(k) * F::UNIT_K));
}

/* x [m][k] to shared memory as bf16 in the order of products, zeros behind k. */
LB_DEVICE void lb_x_to_shared(const float *x, int m, int64_t k, int kp, uint8_t *to) {
    const bool vectors = k % 4 == 0 && ((uintptr_t)x & 15) == 0;
    for (int i = (int)threadIdx.x; i < m * (kp / 4); i += LB_THREADS) {
        int row = i / (kp / 4), at = i % (kp / 4) * 4;
        const float *from = x + row * k + at;
        float v[4] = { 0, 0, 0, 0 };
        if (vectors && at < k) {
            float4 f = __ldg((const float4 *)(const void *)from);
            v[0] = f.x, v[1] = f.y, v[2] = f.z, v[3] = f.w;
        } else {
            LB_UNROLL for (int j = 0; j < 4; j++)
                if (at + j < k) v[j] = __ldg(from + j);
        }
        *(uint2 *)(void *)(to + row * lb_x_stride(kp) + lb_x_place(at)) =
            make_uint2(lb_pack_bf16x2(v[0], v[1]), lb_pack_bf16x2(v[2], v[3]));
    }
}

template <class F> __global__ void __launch_bounds__(LB_THREADS, 2)
lb_gemv16(const __grid_constant__ lb_product p) {
    LB_CUDA_SHARED(smem);
    constexpr int DEPTH = lb_gemv_depth<F>();
    const uint8_t *w = p.w;
    const int m = (int)p.m;
    const int64_t n = p.n, k = p.k;
    const int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32, g = lane / 4, t = lane % 4;
    const int units = (int)((k + F::UNIT_K - 1) / F::UNIT_K), kp = units * F::UNIT_K;
    const int64_t panels = (n + LB_ROWS - 1) / LB_ROWS, panel_bytes = lb_panel16_bytes<F>(k);
    uint8_t *ring = smem + F::TABLE_BYTES + warp * DEPTH * F::UNIT_BYTES;
    float *sums = (float *)(void *)(smem + F::TABLE_BYTES + LB_WARPS * DEPTH * F::UNIT_BYTES);
    uint8_t *xs = (uint8_t *)(sums + 2 * LB_WARPS * LB_ROWS * m);
    const uint64_t policy = lb_policy_once();

    /* This warp's units, in order: of panel blockIdx, + gridDim, ...: warp, warp + 8, ... `next_*` is what is
     * asked for next. */
    int64_t next_panel = blockIdx.x;
    const uint8_t *next = w + next_panel * panel_bytes + warp * F::UNIT_BYTES;
    int next_unit = warp, next_slot = 0;
    auto ask = [&] {
        if (next_unit < units && next_panel < panels) {
            lb_copy_unit<F::UNIT_BYTES>(ring + next_slot * F::UNIT_BYTES, next, policy);
            next += LB_WARPS * F::UNIT_BYTES;
            next_slot = next_slot + 1 == DEPTH ? 0 : next_slot + 1;
            next_unit += LB_WARPS;
            if (next_unit >= units) {
                next_unit = warp, next_panel += gridDim.x;
                next = w + next_panel * panel_bytes + warp * F::UNIT_BYTES;
            }
        }
        lb_copy_commit();
    };
    for (int i = 0; i < DEPTH - 1; i++) ask();
    const typename F::context ctx = F::prepare(smem);
    lb_x_to_shared(p.x, m, k, kp, xs);
    __syncthreads();

    int slot = 0, turn = 0;
    for (int64_t panel = blockIdx.x; panel < panels; panel += gridDim.x, turn ^= 1) {
        float acc[1][1][4] = { { { 0, 0, 0, 0 } } };
        _Pragma("unroll 1") for (int u = warp; u < units; u += LB_WARPS) {
            lb_copy_wait<DEPTH - 2>();
            __syncwarp(); /* the others' pieces are here, and all are done with the slot that is filled next */
            ask();
            lb_unit_products<F, 1, 1, false>(ctx, ring + slot * F::UNIT_BYTES, 0, xs + u * F::UNIT_K * 2,
                                             lb_x_stride(kp), m,
                                             nullptr, acc);
            slot = slot + 1 == DEPTH ? 0 : slot + 1;
        }
        float *mine = sums + (turn * LB_WARPS + warp) * LB_ROWS * m;
        LB_UNROLL for (int i = 0; i < 4; i++)
            if (2 * t + i % 2 < m) mine[(2 * t + i % 2) * LB_ROWS + g + i / 2 * 8] = acc[0][0][i];
        __syncthreads(); /* the sums of the turn before this were read before it */
        int row = (int)threadIdx.x % LB_ROWS, column = (int)threadIdx.x / LB_ROWS;
        if (column >= m || panel * LB_ROWS + row >= n) continue;
        float sum = 0;
        for (int i = 0; i < LB_WARPS; i++) sum += sums[((turn * LB_WARPS + i) * m + column) * LB_ROWS + row];
        if (F::GROUP == 0)
            sum *= ((const float *)(const void *)(w + panel * panel_bytes + (int64_t)units * F::UNIT_BYTES))[row];
        p.out[column * p.ld + panel * LB_ROWS + row] = lb_finished(sum, p.bias, panel * LB_ROWS + row, p.activation);
    }
}

/* ---- gemm, phase 0: x ---- */

/* One thread for four columns. xp [mp][kp] bf16, sums [kp / GROUP][mp]; rows from m on and columns from k on are
 * zeros. */
template <int GROUP> __global__ void __launch_bounds__(LB_THREADS)
lb_gemm16_prepare(const float *x, int m, int64_t k, int mp, int kp, uint8_t *xp, float *sums) {
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
    uint2 pair = make_uint2(lb_pack_bf16x2(v[0], v[1]), lb_pack_bf16x2(v[2], v[3]));
    *(uint2 *)(void *)(xp + ((int64_t)row * kp) * 2 + lb_x_place(at)) = pair;
    if (GROUP == 0) return;
    float sum = (__uint_as_float(pair.x << 16) + __uint_as_float(pair.x & 0xffff0000u)) +
                (__uint_as_float(pair.y << 16) + __uint_as_float(pair.y & 0xffff0000u));
    LB_UNROLL for (int by = 1; by < GROUP / 4; by *= 2) sum += __shfl_xor_sync(0xffffffffu, sum, by);
    if (at % (GROUP ? GROUP : 1) == 0) sums[(int64_t)(at / (GROUP ? GROUP : 1)) * mp + row] = sum;
}

/* ---- gemm, phase 1 ---- */

template <class F, int MT_, int NT_> struct lb_gemm16_shape {
    static constexpr int
        MT = MT_, NT = NT_, ROWS = LB_WARPS * MT * LB_ROWS, COLUMNS = 8 * NT, X_STRIDE = lb_x_stride(F::UNIT_K),
        GROUPS = F::MINIMA ? F::UNIT_K / (F::GROUP ? F::GROUP : 1) : 0,
        W_BYTES = LB_WARPS * MT * F::UNIT_BYTES, X_BYTES = COLUMNS * X_STRIDE, SUM_BYTES = GROUPS * COLUMNS * 4,
        STAGE = W_BYTES + X_BYTES + SUM_BYTES,
        FIT = (98304 - F::TABLE_BYTES) / STAGE, STAGES = FIT > 4 ? 4 : FIT < 2 ? 2 : FIT,
        SMEM = F::TABLE_BYTES + STAGES * STAGE;
};
struct lb_gemm16_args {
    const uint8_t *w, *xp;
    const float *sums;
    float *out, *shares;      /* shares: [tile][split][MT * NT][256] float4, where splits > 1, or there is a function */
    const float *bias;
    int m, mp, units, kp, splits, activation;
    int64_t n, ld, panel_bytes;
};

/* Fragment (mt, nt) of a tile: 4 results, rows row, row + 8, columns column, column + 1. */
LB_DEVICE void lb_gemm16_store(const lb_gemm16_args &a, int64_t row, int column, const float c[4]) {
    const bool there[2] = { row < a.n, row + 8 < a.n };
    float add[2] = { 0, 0 };
    if (a.bias) add[0] = there[0] ? a.bias[row] : 0.0f, add[1] = there[1] ? a.bias[row + 8] : 0.0f;
    LB_UNROLL for (int i = 0; i < 4; i++)
        if (there[i / 2] && column + i % 2 < a.m)
            a.out[(int64_t)(column + i % 2) * a.ld + row + i / 2 * 8] = c[i] + add[i / 2];
}
/* The row scales of formats that have one a row: 1 elsewhere. */
template <class F> LB_DEVICE float lb_row_scale(const lb_gemm16_args &a, int64_t row) {
    if (F::GROUP != 0 || row >= a.n) return 1.0f;
    return ((const float *)(const void *)(a.w + row / LB_ROWS * a.panel_bytes + (int64_t)a.units *
                                          F::UNIT_BYTES))[row % LB_ROWS];
}

template <class F, int MT, int NT> __global__ void __launch_bounds__(LB_THREADS, NT > 2 ? 1 : 2)
lb_gemm16(const __grid_constant__ lb_gemm16_args a) {
    typedef lb_gemm16_shape<F, MT, NT> S;
    LB_CUDA_SHARED(smem);
    const int warp = (int)threadIdx.x / 32, tile = (int)blockIdx.x, split = (int)blockIdx.z, column0 =
        (int)blockIdx.y * S::COLUMNS;
    const int begin = (int)((int64_t)a.units * split / a.splits), end = (int)((int64_t)a.units * (split +
            1) / a.splits);
    uint8_t *ring = smem + F::TABLE_BYTES;

    /* Where a unit's pieces come from is worked out anew for each: kept between the products it would be spilled.
     * Loops are not unrolled, for the same reason. Behind the last panel come that one's weights again, whose results
     * are not stored. */
    auto ask_weights = [&](uint8_t *stage, int unit) {
        int self = (int)threadIdx.x;
        lb_anew(self);
        const uint64_t policy = lb_policy_once();
        const int last = (int)((a.n + LB_ROWS - 1) / LB_ROWS) - 1;
        _Pragma("unroll 1") for (int mt = 0; mt < MT; mt++) {
            const int at = self / 32 * MT + mt, row = tile * LB_WARPS * MT + at;
            lb_copy_unit<F::UNIT_BYTES>(stage + at * F::UNIT_BYTES,
                                        a.w + (row < last ? row : last) * a.panel_bytes +
                                            (int64_t)unit * F::UNIT_BYTES, policy);
        }
    };
    /* EACH threads copy a row of x, then the next of its 256 / EACH apart; the sums of minima take one piece a
     * thread. */
    constexpr int EACH = F::UNIT_K / 8, SUM_PIECES = S::GROUPS * S::COLUMNS / 4;
    static_assert(SUM_PIECES <= LB_THREADS, "one piece a thread");
    auto ask_x = [&](uint8_t *stage, int unit) {
        int self = (int)threadIdx.x;
        lb_anew(self);
        uint8_t *to = stage + S::W_BYTES + self / EACH * S::X_STRIDE + self % EACH * 16;
        /* in units of 16 bytes (32 bits spare registers) */
        uint32_t at = (uint32_t)(((column0 + self / EACH) * (int64_t)a.kp + (int64_t)unit * F::UNIT_K) / 8) +
            self % EACH;
        uint32_t apart = (uint32_t)(LB_THREADS / EACH * (a.kp / 8));
        _Pragma("unroll 1") for (int i = self; i < S::COLUMNS * EACH; i += LB_THREADS, at += apart,
                                 to += LB_THREADS / EACH * S::X_STRIDE) lb_copy_async_16(to, a.xp + (size_t)at * 16);
        if (self < SUM_PIECES)
            lb_copy_async_16(stage + S::W_BYTES + S::X_BYTES + self * 16,
                             a.sums + ((int64_t)unit * S::GROUPS + self * 4 / S::COLUMNS) * a.mp + column0 +
                                 self * 4 % S::COLUMNS);
    };
    for (int i = 0; i < S::STAGES - 1 && begin + i < end; i++) ask_weights(ring + i * S::STAGE, begin + i);
    const typename F::context ctx = F::prepare(smem);
    lb_let_next_launch_begin();
    lb_wait_for_launch_before();
    for (int i = 0; i < S::STAGES - 1; i++) {
        if (begin + i < end) ask_x(ring + i * S::STAGE, begin + i);
        lb_copy_commit(); /* the first of these groups has all the weights asked for so far */
    }

    float acc[MT][NT][4] = {};
    int at = 0;
    _Pragma("unroll 1") for (int u = begin; u < end; u++) {
        lb_copy_wait<S::STAGES - 2>();
        __syncthreads();
        if (u + S::STAGES - 1 < end) {
            uint8_t *before = ring + (at == 0 ? S::STAGES - 1 : at - 1) * S::STAGE;
            ask_weights(before, u + S::STAGES - 1);
            ask_x(before, u + S::STAGES - 1);
        }
        lb_copy_commit();
        const uint8_t *stage = ring + at * S::STAGE;
        lb_unit_products<F, MT, NT, true>(ctx, stage + warp * MT * F::UNIT_BYTES, F::UNIT_BYTES, stage + S::W_BYTES,
                                          S::X_STRIDE,
                                          S::COLUMNS, (const float *)(const void *)(stage + S::W_BYTES + S::X_BYTES),
                                              acc);
        at = at + 1 == S::STAGES ? 0 : at + 1;
    }

    int self = (int)threadIdx.x;
    lb_anew(self);
    const int g = self % 32 / 4, t = self % 4;
    const int64_t panel = ((int64_t)tile * LB_WARPS + self / 32) * MT;
    float4 *share = (float4 *)(void *)a.shares + (((int64_t)blockIdx.y * gridDim.x + tile) * a.splits +
                                                  split) *
                                                  (MT * NT * LB_THREADS) + self;
    LB_UNROLL for (int mt = 0; mt < MT; mt++) {
        int64_t row = (panel + mt) * LB_ROWS + g;
        float scale[2] = { lb_row_scale<F>(a, row), lb_row_scale<F>(a, row + 8) };
        LB_UNROLL for (int nt = 0; nt < NT; nt++) {
            float *c = acc[mt][nt];
            if (F::GROUP == 0)
                LB_UNROLL for (int i = 0; i < 4; i++) c[i] *= scale[i / 2];
            if (a.splits == 1 && a.activation == LB_ACTIVATION_NONE) lb_gemm16_store(a, row, column0 + 8 * nt + 2 * t,
                                                                                     c);
            else share[(mt * NT + nt) * LB_THREADS] = make_float4(c[0], c[1], c[2], c[3]);
        }
    }
}

/* ---- gemm, phase 2: the shares of K, in order, and a function of the sums (whose code for each of the 64 sums that a
 * thread has in phase 1 would be too much) ---- */

/* Block (x, y, z): fragment z of tile (x, y). */
template <class F, int MT, int NT> __global__ void __launch_bounds__(LB_THREADS)
lb_gemm16_add(const __grid_constant__ lb_gemm16_args a) {
    const int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32, mt = (int)blockIdx.z / NT, nt =
        (int)blockIdx.z % NT;
    lb_wait_for_launch_before();
    const float4 *share = (const float4 *)(const void *)a.shares +
                          ((int64_t)blockIdx.y * gridDim.x + blockIdx.x) * a.splits * (MT * NT * LB_THREADS) +
                          blockIdx.z * LB_THREADS + threadIdx.x;
    float c[4] = { 0, 0, 0, 0 };
    for (int s = 0; s < a.splits; s++) {
        float4 v = __ldcg(share + (int64_t)s * (MT * NT * LB_THREADS));
        c[0] += v.x, c[1] += v.y, c[2] += v.z, c[3] += v.w;
    }
    const int64_t row = (((int64_t)blockIdx.x * LB_WARPS + warp) * MT + mt) * LB_ROWS + lane / 4;
    const int column = (int)blockIdx.y * 8 * NT + 8 * nt + lane % 4 * 2;
    for (int i = 0; i < 4; i++) {
        int64_t r = row + i / 2 * 8;
        if (r < a.n && column + i % 2 < a.m)
            a.out[(int64_t)(column + i % 2) * a.ld + r] = lb_finished(c[i], a.bias, r, a.activation);
    }
}

/* ---- what launches them ---- */

template <class F> struct lb_gemm16_format {
    typedef F format;
    static constexpr int MT = F::UNIT_BYTES <= 1300 ? 2 : 1, FEW = 2, MANY = 8;

    /* Shared memory that a block can have; without a device, what the smallest has. */
    static int64_t smem_most(void) {
        int64_t most = lb_cuda_info_now()->smem_per_block;
        return most ? most : 99 << 10;
    }
    /* One row, or x small beside the weights: every block reads all of it. */
    static bool gemv(int64_t m, int64_t n, int64_t k) {
        const lb_cuda_info *d = lb_cuda_info_now();
        if (m > LB_GEMV_MOST || (int64_t)lb_gemv_smem<F>(m, k) > smem_most()) return false;
        int64_t blocks = (n + LB_ROWS - 1) / LB_ROWS < 2 * d->sm_count ? (n + LB_ROWS - 1) / LB_ROWS : 2 * d->sm_count;
        return m == 1 || 4 * m * k * 4 * blocks <= (int64_t)lb_mma16_bytes<F>(nullptr, n, k);
    }
    static int columns(int64_t m) {
        return 8 * (m > 8 * FEW && (int64_t)lb_gemm16_shape<F, MT, MANY>::SMEM <= smem_most() ? MANY : FEW);
    }
    static int tiles_n(int64_t n) { return (int)((n + LB_WARPS * MT * LB_ROWS - 1) / (LB_WARPS * MT * LB_ROWS)); }
    static int tiles_m(int64_t m) { return (int)((m + columns(m) - 1) / columns(m)); }
    /* Shares of K: as many as there are blocks at a time, of two units or more. */
    static int splits(int64_t m, int64_t n, int64_t k) {
        int64_t room = lb_cuda_info_now()->sm_count * (columns(m) == 8 * MANY ? 1 : 2) / ((int64_t)tiles_n(n) *
                tiles_m(m));
        int64_t most = lb_units<F>(k) / 2;
        room = room < most ? room : most;
        return (int)(room < 1 ? 1 : room > 32 ? 32 : room);
    }
    struct space { size_t sums, shares, end; };
    static space spaces(int64_t m, int64_t n, int64_t k, int activation) {
        size_t mp = (size_t)tiles_m(m) * columns(m), kp = (size_t)lb_units<F>(k) * F::UNIT_K;
        space s;
        s.sums = (mp * kp * 2 + 255) / 256 * 256;
        s.shares = s.sums + (F::MINIMA ? (kp / (F::GROUP ? F::GROUP : 1) * mp * 4 + 255) / 256 * 256 : 0);
        int shares = splits(m, n, k);
        s.end = s.shares + (shares > 1 || activation ?
                            (size_t)tiles_n(n) * tiles_m(m) * shares * MT * columns(m) / 8 * LB_THREADS *
                            16 : 0);
        return s;
    }
    static bool nothing(const lb_product &p) { return p.m == 0 || p.n == 0; }
    static size_t workspace(const lb_product &p) {
        return nothing(p) || gemv(p.m, p.n, p.k) ? 0 : spaces(p.m, p.n, p.k, p.activation).end;
    }
    static int phases(const lb_product &p) {
        return nothing(p) || gemv(p.m, p.n, p.k) ? 1 : splits(p.m, p.n, p.k) > 1 || p.activation ? 3 : 2;
    }
    template <int NT> static void run(const lb_gemm16_args &p, int phase, int rows, int64_t k, const float *x,
                                      cudaStream_t stream) {
        typedef lb_gemm16_shape<F, MT, NT> S;
        int tn = tiles_n(p.n), tm = p.mp / S::COLUMNS;
        if (phase == 0) {
            LB_CUDA_LAUNCH_IF_ANY((lb_gemm16_prepare<F::MINIMA ? (int)F::GROUP : 0>),
                                  dim3((unsigned)p.mp, (unsigned)((p.kp / 4 + LB_THREADS - 1) / LB_THREADS)),
                                  LB_THREADS, 0, stream, x, rows, k, p.mp, p.kp, (uint8_t *)p.xp, (float *)p.sums);
        } else if (phase == 1) {
            lb_cuda_smem(lb_gemm16<F, MT, NT>, S::SMEM);
            LB_LAUNCH_OVERLAPPING((lb_gemm16<F, MT, NT>), dim3((unsigned)tn, (unsigned)tm, (unsigned)p.splits),
                                  LB_THREADS, S::SMEM, stream, p);
        } else {
            LB_LAUNCH_OVERLAPPING((lb_gemm16_add<F, MT, NT>), dim3((unsigned)tn, (unsigned)tm, MT * NT), LB_THREADS,
                                  0, stream, p);
        }
    }
    static void launch(const lb_product &o, const lb_launch *l) {
        const int64_t m = o.m, k = o.k, n = o.n;
        if (nothing(o)) return;
        if (gemv(m, n, k)) {
            size_t smem = lb_gemv_smem<F>(m, k);
            const lb_cuda_info *d = lb_cuda_info_now();
            int64_t panels = (n + LB_ROWS - 1) / LB_ROWS;
            int64_t at_once = d->sm_count * (2 * ((int64_t)smem + 1024) > d->smem_per_sm ? 1 : 2);
            lb_cuda_smem(lb_gemv16<F>, smem);
            LB_CUDA_LAUNCH(lb_gemv16<F>, (unsigned)(panels < at_once ? panels : at_once), LB_THREADS, smem,
                           lb_cuda_stream(l), o);
            return;
        }
        space s = spaces(m, n, k, o.activation);
        uint8_t *ws = (uint8_t *)l->workspace;
        lb_gemm16_args p = {};
        p.w = o.w, p.bias = o.bias, p.ld = o.ld, p.activation = o.activation, p.xp = ws,
            p.sums = (const float *)(void *)(ws + s.sums), p.shares = (float *)(void *)(ws +
                s.shares);
        p.out = o.out, p.m = (int)m, p.mp = tiles_m(m) * columns(m), p.units =
            (int)lb_units<F>(k);
        p.kp = p.units * F::UNIT_K, p.splits = splits(m, n, k), p.n = n, p.panel_bytes =
            (int64_t)lb_panel16_bytes<F>(k);
        if (columns(m) == 8 * FEW) run<FEW>(p, l->phase, (int)m, k, o.x, lb_cuda_stream(l));
        else run<MANY>(p, l->phase, (int)m, k, o.x, lb_cuda_stream(l));
    }
};

/* ---- for linear: the products of each file's formats ---- */

struct lb_products {
    bool (*takes)(const lb_quantizer *q);
    int (*phases)(const lb_quantizer *q, const lb_product &p);          /* launch() is called for each, in order */
    size_t (*workspace)(const lb_quantizer *q, const lb_product &p);
    void (*launch)(const lb_quantizer *q, const lb_product &p, const lb_launch *l);
    bool wgmma;               /* more than 64 rows, on Hopper */
    lb_products *next;
};
inline lb_products *lb_all_products = nullptr;
struct lb_products_known {
    explicit lb_products_known(lb_products *p) { p->next = lb_all_products, lb_all_products = p; }
};

/* ---- what a format's file says ---- */

/* Codes and bf16 activations are exact, scales f32: what is left are the sums of tensor cores, which cut them after
 * each 16 columns where f32 would round: by 0.7 x 2^-24 of them in the mean, always towards 0. Of a sum that grows with
 * the root of the columns it takes 2 / 3 x K / 16 times that, where one chain has all of K (one scale a row): NMSE
 * 2e-10 of 8192 columns, 2.4e-9 of 28672. Groups' sums are added in f32, and lose 1e-12; 1e-10 where minima are taken
 * off 128 + q. */
#define LB_MMA16_TOLERANCE                                                                                           \
    .tolerance = 4e-9,                                                                                               \
    .tolerance_why = "codes and bf16 activations are exact, scales f32, sums f32 in tensor cores, which cut them "   \
                     "towards 0: 1e-12 by groups, 1e-10 where minima are taken off 128 + q, 2.4e-9 of 28672 "        \
                     "columns in one chain"

/* The fields of a descriptor. panel: fused kernels find weights in this layout by it; it has no inner loop to call. */
#define LB_GEMM16_FIELDS(NAME, FORMAT, ABOUT)                                                                        \
    .name = NAME, .op = "gemm", .device = "cuda", .about = ABOUT,                                                    \
    .source = "luabench; weights in the order of mma's fragments are Marlin's idea", .isa = LB_ISA_SM80,             \
    .format = FORMAT, .layout = &layout, .act = LB_ACT_BF16, .acc = LB_ACC_F32, .compute = LB_COMPUTE_BF16,          \
    LB_MMA16_TOLERANCE,                                                                                              \
    .priority = 20, .panel = &panel

/* LB_GEMM16(lb_format_q4_0), or all structs of a family: the calls of a descriptor. A list's weights are all of
 * one struct. */
template <class... F> struct lb_gemm16_family {
    static const lb_quantizer *of(const lb_args *a) { return lb_arg(a, LB_GEMM_W)->quantizer; }
    /* Of the item that a launch picks: the others of the list may have other recipes, and other kernels. */
    static const lb_quantizer *of(const lb_args *a, const lb_launch *l) { return lb_weight(a, l, LB_GEMM_W)->quantizer;
        }
    /* call(format<F>) of the struct that is the recipe's; a value for none. */
    template <class R, class C> static R with(const lb_quantizer *q, R none, C call) {
        R result = none;
        (void)((lb_format_is<F>(q) ? (result = call(lb_gemm16_format<F>()), true) : false) || ...);
        return result;
    }
    static size_t size_bytes(const lb_quantizer *q, int64_t n, int64_t k) {
        return with(q, (size_t)0, [&](auto f) { return lb_mma16_bytes<typename decltype(f)::format>(q, n, k); });
    }
    static void repack(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row0, int64_t row1,
                       void *dst) {
        with(q, 0, [&](auto f) {
            lb_mma16_repack<typename decltype(f)::format>(q, native, n, k, row0, row1, dst);
            return 0;
        });
    }
    static size_t panel_bytes(const lb_quantizer *q, int64_t k) {
        return with(q, (size_t)0, [&](auto f) { return lb_panel16_bytes<typename decltype(f)::format>(k); });
    }
    static bool supports(const lb_args *a, const char **why) {
        for (int32_t i = 0; i < a->t[LB_GEMM_W].count; i++) {
            const lb_quantizer *q = a->t[LB_GEMM_W].items[i]->quantizer;
            if (q && q == of(a)) continue;
            *why = "all weights of a list must have one recipe";
            return false;
        }
        return true;
    }
    /* What gemm's operands ask for. */
    static lb_product product(const lb_args *a, const lb_tensor *w) {
        const lb_tensor *x = lb_arg(a, LB_GEMM_X), *out = lb_arg(a, LB_GEMM_OUT);
        return { lb_tensor_f32(x), (const uint8_t *)lb_tensor_data(w), (float *)lb_tensor_data(out), nullptr,
                 x->dims[0], x->dims[1], out->dims[1], out->dims[1], LB_ACTIVATION_NONE };
    }
    static size_t workspace_bytes(const lb_args *a, int) { return workspace_of(of(a), product(a, lb_arg(a, LB_GEMM_W)));
        }
    static int phases(const lb_args *a) { return phases_of(of(a), product(a, lb_arg(a, LB_GEMM_W))); }
    static void launch(const lb_args *a, const lb_launch *l) {
        launch_of(of(a, l), product(a, lb_weight(a, l, LB_GEMM_W)), l);
    }
    static bool takes(const lb_quantizer *q) {
        return with(q, false, [](auto) { return true; });
    }
    static size_t workspace_of(const lb_quantizer *q, const lb_product &p) {
        return with(q, (size_t)0, [&](auto f) { return f.workspace(p); });
    }
    static int phases_of(const lb_quantizer *q, const lb_product &p) {
        return with(q, 1, [&](auto f) { return f.phases(p); });
    }
    static void launch_of(const lb_quantizer *q, const lb_product &p, const lb_launch *l) {
        with(q, 0, [&](auto f) { return f.launch(p, l), 0; });
    }
};
#define LB_PRODUCTS(WGMMA)                                                                                           \
    static lb_products products = { family::takes, family::phases_of, family::workspace_of, family::launch_of, WGMMA,  \
                                    nullptr };                                                                       \
    static const lb_products_known products_known(&products);
#define LB_GEMM16(...)                                                                                               \
    typedef lb_gemm16_family<__VA_ARGS__> family;                                                                    \
    static const lb_layout layout = { "mma16", family::size_bytes, family::repack, LB_ROWS };                        \
    static const lb_panel panel = { LB_ROWS, 64, nullptr, family::panel_bytes, nullptr, nullptr, "bf16", nullptr };  \
    LB_PRODUCTS(false)
#define LB_GEMM16_CALLS                                                                                              \
    .supports = family::supports, .phases = family::phases, .workspace_bytes = family::workspace_bytes,              \
    .launch = family::launch
