/* attention_bf16_flash_mma.cu: many rows: prefill over bf16 caches, heads of 64 and 128.
 *
 * A block has 128 rows, each of its four warps 32: q in shared memory, scores and sums in registers (192 of them at 128
 * columns), tiles of 64 positions by cp.async, the next one while this one is worked on. Probabilities go from one
 * product to the other in registers. Tiles that every row sees whole are not masked; those that none sees are not
 * walked; blocks with the most to do come first.
 *
 * 4 x 64 x 128 operations a row and tile of heads of 128. By mma.sync an H200's tensor cores give, as published figures
 * have it, some 62 % of what wgmma gives: the ceiling of this kernel there. Shared memory: 80 ldmatrix for 256 products
 * of a warp, 160 of the 198 cycles that the products take; exponentials: 512 of a block's 1583 cycles a tile, behind
 * another block's products (two blocks fit an SM: 105 KB each, 255 registers a thread). Predicted: 45 to 50 % of the
 * bf16 peak on an H200, 60 to 70 % on an A100, where mma.sync is all there is. */
#include "attention.cuh"
#include "mma.cuh"

namespace {

enum { WARPS = 4, THREADS = WARPS * 32, MT = 2, ROWS = WARPS * MT * 16, KEYS = 64, STAGES = 2, NK = KEYS / 8 };

struct job {
    lb_attention j;
    lb_attention_order order;
    int page_shift;
};

template <int D> struct places {
    static constexpr int S = D + 8; /* a row's stride: misses banks */
    static constexpr size_t BYTES = (size_t)(ROWS + 2 * STAGES * KEYS) * S * 2 + ROWS * 8;
    uint16_t *q, *k, *v;
    int *lo, *hi;
    __device__ explicit places(unsigned char *at) {
        q = (uint16_t *)at;
        k = q + ROWS * S;
        v = k + STAGES * KEYS * S;
        lo = (int *)(v + STAGES * KEYS * S);
        hi = lo + ROWS;
    }
};

template <int D> struct state { float most[MT][2], sum[MT][2], acc[MT][D / 8][4]; };

/* Positions [at, at + KEYS) of a head; those from `end` on are zeros. */
template <int D>
__device__ static void load_tile(const job &o, const places<D> &m, int stage, int64_t b, int64_t g, int at, int end) {
    constexpr int CHUNKS = D / 8, S = places<D>::S;
    const lb_kv &k = o.j.k, &v = o.j.v;
#pragma unroll
    for (int i = 0; i < KEYS * CHUNKS / THREADS; i++) {
        int n = i * THREADS + threadIdx.x, r = n / CHUNKS, chunk = n % CHUNKS, s = at + r, bytes = s < end ? 16 : 0;
        int64_t page = b, row = s < end ? s : at;
        if (k.pages) {
            uint32_t p = o.page_shift >= 0 ? (uint32_t)row >> o.page_shift : (uint32_t)row / (uint32_t)k.rows;
            page = k.pages[b * k.pages_each + p], row -= (int64_t)p * k.rows;
        }
        int to = (stage * KEYS + r) * S + chunk * 8;
        lb_copy_async_16(m.k + to, k.base + page * k.stride_b + g * k.stride_h + row * k.stride_s + chunk * 16, bytes);
        lb_copy_async_16(m.v + to, v.base + page * v.stride_b + g * v.stride_h + row * v.stride_s + chunk * 16, bytes);
    }
    lb_copy_commit();
}

template <int D>
__device__ static void load_rows(const job &o, const places<D> &m, int64_t begin, int64_t end, int64_t g, int64_t first,
                                 int rows, int64_t raw, int64_t length) {
    int group = o.j.group;
    for (int r = threadIdx.x; r < ROWS; r += THREADS) {
        int64_t lo = 0, hi = 0;
        if (r < rows) lb_attention_row(o.j, begin + (first + r) / group, end, raw, length, &lo, &hi);
        m.lo[r] = (int)lo, m.hi[r] = (int)hi;
    }
    for (int r = threadIdx.x / 32; r < ROWS; r += WARPS) {
        const float *q = r < rows ? lb_row(o.j.q, (begin + (first + r) / group) * o.j.heads + g * group +
                                           (first + r) % group)
                                  : nullptr;
        for (int c = threadIdx.x % 32 * 2; c < D; c += 64)
            *(uint32_t *)(m.q + r * places<D>::S + c) = q ? lb_pack_bf16x2(q[c], q[c + 1]) : 0u;
    }
}

/* s = q k^T of this warp's 32 rows. */
template <int D> __device__ static void score(const places<D> &m, int stage, float s[MT][NK][4]) {
    constexpr int S = places<D>::S;
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const uint16_t *q = m.q + (warp * MT * 16 + lane % 16) * S + lane / 16 * 8;
    const uint16_t *k = m.k + (stage * KEYS + lane % 8 + lane / 16 * 8) * S + lane / 8 % 2 * 8;
#pragma unroll
    for (int i = 0; i < MT; i++)
#pragma unroll
        for (int n = 0; n < NK; n++) s[i][n][0] = s[i][n][1] = s[i][n][2] = s[i][n][3] = 0;
#pragma unroll
    for (int c = 0; c < D; c += 16) {
        uint32_t a[MT][4], b[4];
#pragma unroll
        for (int i = 0; i < MT; i++) lb_ldmatrix_x4(a[i], q + i * 16 * S + c);
#pragma unroll
        for (int n = 0; n < NK; n += 2) {
            lb_ldmatrix_x4(b, k + n * 8 * S + c);
#pragma unroll
            for (int i = 0; i < MT; i++) {
                lb_mma_bf16(s[i][n], a[i], b[0], b[1]);
                lb_mma_bf16(s[i][n + 1], a[i], b[2], b[3]);
            }
        }
    }
}

/* What a row does not see becomes -Inf. */
template <int D> __device__ static void mask(const places<D> &m, int at, float s[MT][NK][4]) {
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
#pragma unroll
    for (int i = 0; i < MT; i++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            int row = warp * MT * 16 + i * 16 + half * 8 + lane / 4, lo = m.lo[row] - at, hi = m.hi[row] - at;
#pragma unroll
            for (int n = 0; n < NK; n++)
#pragma unroll
                for (int e = 0; e < 2; e++) {
                    int key = n * 8 + lane % 4 * 2 + e;
                    if (key < lo || key >= hi) s[i][n][2 * half + e] = -INFINITY;
                }
        }
}

/* s becomes probabilities, against the rows' maxima so far, to which the sums are brought. */
template <int D> __device__ static void soften(float scale, float s[MT][NK][4], state<D> *w) {
#pragma unroll
    for (int i = 0; i < MT; i++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float most = -INFINITY;
#pragma unroll
            for (int n = 0; n < NK; n++) most = fmaxf(most, fmaxf(s[i][n][2 * half], s[i][n][2 * half + 1]));
            most = fmaxf(most, __shfl_xor_sync(LB_FULL, most, 1));
            most = fmaxf(most, __shfl_xor_sync(LB_FULL, most, 2)) * scale;
            most = fmaxf(most, w->most[i][half]);
            float from = most == -INFINITY ? 0.0f : most, keep = lb_exp2(w->most[i][half] - from), sum = 0;
            w->most[i][half] = most;
#pragma unroll
            for (int n = 0; n < NK; n++)
#pragma unroll
                for (int e = 2 * half; e < 2 * half + 2; e++) {
                    s[i][n][e] = lb_exp2(fmaf(s[i][n][e], scale, -from));
                    sum += s[i][n][e];
                }
            w->sum[i][half] = w->sum[i][half] * keep + sum;
#pragma unroll
            for (int n = 0; n < D / 8; n++) w->acc[i][n][2 * half] *= keep, w->acc[i][n][2 * half + 1] *= keep;
        }
}

/* acc += p v: two neighbouring score tiles are the left factor's fragment. */
template <int D> __device__ static void weigh(const places<D> &m, int stage, const float s[MT][NK][4], state<D> *w) {
    constexpr int S = places<D>::S;
    int lane = threadIdx.x % 32;
    const uint16_t *v = m.v + (stage * KEYS + lane % 16) * S + lane / 16 * 8;
#pragma unroll
    for (int key = 0; key < NK; key += 2) {
        uint32_t a[MT][4], b[4];
#pragma unroll
        for (int i = 0; i < MT; i++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                a[i][e] = lb_pack_bf16x2(s[i][key + e / 2][e % 2 * 2], s[i][key + e / 2][e % 2 * 2 + 1]);
#pragma unroll
        for (int n = 0; n < D / 8; n += 2) {
            lb_ldmatrix_x4_trans(b, v + key * 8 * S + n * 8);
#pragma unroll
            for (int i = 0; i < MT; i++) {
                lb_mma_bf16(w->acc[i][n], a[i], b[0], b[1]);
                lb_mma_bf16(w->acc[i][n + 1], a[i], b[2], b[3]);
            }
        }
    }
}

template <int D>
__device__ static void store(const job &o, const places<D> &m, state<D> *w, int64_t begin, int64_t g, int64_t first,
                             int rows) {
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
#pragma unroll
    for (int i = 0; i < MT; i++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float sum = w->sum[i][half];
            sum += __shfl_xor_sync(LB_FULL, sum, 1);
            sum += __shfl_xor_sync(LB_FULL, sum, 2);
            int r = warp * MT * 16 + i * 16 + half * 8 + lane / 4;
            if (r >= rows) continue;
            int64_t token = begin + (first + r) / o.j.group, head = g * o.j.group + (first + r) % o.j.group;
            bool saw = m.hi[r] > m.lo[r]; /* scores that are all -Inf: 0 / 0 */
            if (o.j.sinks && saw) sum += lb_sink(o.j.sinks[head], w->most[i][half]);
            const float inverse = saw ? 1.0f / sum : 0.0f;
            float *to = o.j.out + (token * o.j.heads + head) * D + lane % 4 * 2;
#pragma unroll
            for (int n = 0; n < D / 8; n++)
                *(float2 *)(to + n * 8) = make_float2(w->acc[i][n][2 * half] * inverse,
                                                      w->acc[i][n][2 * half + 1] * inverse);
        }
}

/* The positions that some row sees, and those that all see. */
struct extent { int lo, hi, all_lo, all_hi; };
template <int D> __device__ static extent extent_of(const places<D> &m, int rows) {
    extent x = { INT32_MAX, 0, 0, INT32_MAX };
    for (int r = threadIdx.x % 32; r < rows; r += 32) {
        if (m.hi[r] > m.lo[r]) x.lo = min(x.lo, m.lo[r]), x.hi = max(x.hi, m.hi[r]);
        x.all_lo = max(x.all_lo, m.lo[r]), x.all_hi = min(x.all_hi, m.hi[r]);
    }
    x.lo = __reduce_min_sync(LB_FULL, x.lo), x.hi = __reduce_max_sync(LB_FULL, x.hi);
    x.all_lo = __reduce_max_sync(LB_FULL, x.all_lo), x.all_hi = __reduce_min_sync(LB_FULL, x.all_hi);
    return x;
}

template <int D> __global__ void __launch_bounds__(THREADS, 2) flash_kernel(job o) {
    LB_CUDA_SHARED(shared);
    places<D> m(shared);
    int64_t b, g, before_last, begin, end, raw;
    if (blockIdx.x >= o.order.blocks) return lb_attention_padding(o.j, blockIdx.x - o.order.blocks, o.order.padding);
    lb_attention_place(o.order, (uint32_t)o.j.k.heads, blockIdx.x, &b, &g, &before_last);
    lb_batch_rows(&o.j.batch, b, &begin, &end);
    int64_t total = (end - begin) * o.j.group, tiles = (total + ROWS - 1) / ROWS;
    if (before_last >= tiles) return;
    int64_t first = (tiles - 1 - before_last) * ROWS;
    int rows = (int)(total - first < ROWS ? total - first : ROWS);
    int64_t length = lb_attention_length(o.j, b, &raw);
    load_rows<D>(o, m, begin, end, g, first, rows, raw, length);
    __syncthreads();
    extent x = extent_of(m, rows);
    state<D> w;
#pragma unroll
    for (int i = 0; i < MT; i++) {
        w.most[i][0] = w.most[i][1] = -INFINITY, w.sum[i][0] = w.sum[i][1] = 0;
#pragma unroll
        for (int n = 0; n < D / 8; n++) w.acc[i][n][0] = w.acc[i][n][1] = w.acc[i][n][2] = w.acc[i][n][3] = 0;
    }
    float scale = o.j.scale * LB_LOG2E;
    if (x.lo < x.hi) load_tile<D>(o, m, 0, b, g, x.lo, x.hi);
    for (int at = x.lo, stage = 0; at < x.hi; at += KEYS, stage ^= 1) {
        if (x.hi - at > KEYS) load_tile<D>(o, m, stage ^ 1, b, g, at + KEYS, x.hi);
        else lb_copy_commit();
        lb_copy_wait<1>();
        __syncthreads();
        float s[MT][NK][4];
        score<D>(m, stage, s);
        if (at < x.all_lo || x.all_hi - at < KEYS) mask<D>(m, at, s);
        soften<D>(scale, s, &w);
        weigh<D>(m, stage, s, &w);
        __syncthreads();
    }
    store<D>(o, m, &w, begin, g, first, rows);
}

/* ---- host ---- */

static bool fits(const lb_tensor *t) {
    for (int i = 0; i < 3; i++)
        if (t->strides[i] % 8) return false;
    return t->dtype == LB_BF16 && (uintptr_t)lb_tensor_data(t) % 16 == 0;
}

static bool supports(const lb_args *a, const char **why) {
    const lb_tensor *q = lb_arg(a, LB_ATTENTION_Q), *k = lb_arg(a, LB_ATTENTION_K), *v = lb_arg(a, LB_ATTENTION_V);
    const lb_tensor *pages = lb_arg(a, LB_ATTENTION_PAGES);
    int64_t d = q->dims[2], sequences = pages ? pages->dims[0] : k->dims[0];
    *why = "takes caches of bf16 whose rows are aligned to 16 bytes, with values of their own";
    if (!v || !fits(k) || !fits(v)) return false;
    *why = "takes heads of 64 or 128, for keys and values alike";
    if ((d != 64 && d != 128) || lb_arg(a, LB_ATTENTION_OUT)->dims[2] != d) return false;
    *why = "fewer than 64 rows a sequence and head of the cache: split_mma is for those";
    if (q->dims[0] * q->dims[1] < 64 * sequences * k->dims[1]) return false;
    *why = "a negative scale";
    if (a->p[LB_ATTENTION_P_SCALE] < 0) return false;
    *why = "more than 2^31 positions, or blocks of 128 rows";
    if ((pages ? pages->dims[1] : 1) * k->dims[2] > INT32_MAX - KEYS) return false;
    if (lb_attention_order_of(lb_attention_of(a), ROWS).blocks > INT32_MAX / 2) return false;
    *why = "the device has too little shared memory";
    return (int64_t)(d == 64 ? places<64>::BYTES : places<128>::BYTES) <= lb_cuda_info_now()->smem_per_block;
}

template <int D> static void run(const job &o, const lb_launch *l) {
    lb_cuda_smem(flash_kernel<D>, places<D>::BYTES);
    LB_CUDA_LAUNCH_IF_ANY(flash_kernel<D>, (unsigned)(o.order.blocks + o.order.padding), THREADS, places<D>::BYTES,
                          lb_cuda_stream(l), o);
}

static void launch(const lb_args *a, const lb_launch *l) {
    job o = { lb_attention_of(a), {}, -1 };
    o.order = lb_attention_order_of(o.j, ROWS);
    for (int i = 0; i < 31; i++)
        if (o.j.k.rows == (int64_t)1 << i) o.page_shift = i;
    if (o.j.batch.rows == 0) return;
    if (o.j.dim == 64) run<64>(o, l);
    else run<128>(o, l);
}

} // namespace

LB_CUDA_KERNEL(attention_bf16_flash_mma) = {
    .name = "attention.bf16.flash_mma", .op = "attention", .device = "cuda",
    .about = "blocks of 128 rows, tiles of 64 positions by cp.async, mma.m16n8k16 with probabilities kept in registers",
    .source = "luabench; Dao, FlashAttention-2", .isa = LB_ISA_SM80, .act = LB_ACT_BF16, .acc = LB_ACC_F32,
    .compute = LB_COMPUTE_BF16, .tolerance = 1e-5,
    .tolerance_why = "each probability is rounded to bf16, a relative error of up to 2^-9 "
                     "(2^-18 / 3 = 1.3e-6 in the mean"
                     " square), more where values cancel",
    .priority = 20, .supports = supports, .launch = launch,
};
