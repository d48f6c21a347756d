/* attention_bf16_flash_wgmma.cu: many rows on Hopper: prefill over bf16 caches, heads of 64 and 128.
 *
 * A block has 64 rows for each warpgroup that multiplies: two for heads of 128, three for heads of 64. A further one
 * brings keys and values: tiles of 128 positions by cp.async, so that caches may have any strides and pages, swizzled
 * as the products want them, two tiles of each under way. q lies in shared memory, scores, probabilities and sums in
 * registers; probabilities go from one product to the other there. A warpgroup issues this tile's product with the
 * values and the next tile's scores together and then waits: while it takes the softmax the others' products run. Tiles
 * that every row sees whole are not masked; those that none sees are not walked; blocks with the most to do come first.
 *
 * Counted for heads of 128 on an H200: 4 x 64 x 128 x 128 operations a warpgroup and tile, 1024 clocks of the tensor
 * cores; 8192 exponentials at 16 a clock and SM 512 clocks, other instructions of the softmax about 400 issued clocks
 * of a scheduler, both beside the other warpgroup's products. Keys and values from L2: 64 KB a tile, 32 bytes a clock
 * at the full rate of the products. Expected: 60 to 70 % of the bf16 peak where causal rows are many; not measured. */
#include "attention.cuh"
#include "wgmma.cuh"

namespace {

enum { KEYS = 128, STAGES = 2, NK = KEYS / 8, GROUP_THREADS = 128 };

struct job {
    lb_attention j;
    lb_attention_order order;
    int page_shift;
};

/* Shared memory: q [D / 64][ROWS][64], k and v [STAGES][D / 64][KEYS][64], all in rows of 128 bytes, swizzled. */
template <int D> struct shape {
    static constexpr int GROUPS = D == 64 ? 3 : 2, ROWS = GROUPS * 64, THREADS = (GROUPS + 1) * GROUP_THREADS;
    static constexpr int Q_BYTES = ROWS * D * 2, TILE_BYTES = KEYS * D * 2, K_AT = Q_BYTES,
                         V_AT = K_AT + STAGES * TILE_BYTES, LO_AT = V_AT + STAGES * TILE_BYTES,
                             HI_AT = LO_AT + ROWS * 4,
                         BARRIERS_AT = HI_AT + ROWS * 4, SMEM = BARRIERS_AT + 4 * STAGES * 8;
};
/* full: every thread that brings; empty: every warp that multiplies. */
struct barriers {
    uint64_t *k_full, *k_empty, *v_full, *v_empty;
    __device__ explicit barriers(unsigned char *at) {
        k_full = (uint64_t *)(void *)at;
        k_empty = k_full + STAGES, v_full = k_empty + STAGES, v_empty = v_full + STAGES;
    }
};
/* What a block does. */
struct part {
    int64_t b, g, begin, end, first;
    int rows;
};
/* The positions that some row sees, and those that all see. */
struct extent { int lo, hi, all_lo, all_hi; };

#if LB_CUDA_WGMMA

/* Where 16 bytes (piece c of D / 8) of row r of a tile of `rows` lie. */
__device__ inline int place_of(int r, int c, int rows) { return (c / 8 * rows + r) * 128 + ((c % 8) ^ r % 8) * 16; }

template <int D> __device__ void load_rows(const job &o, unsigned char *smem, const part &p, int64_t raw,
                                           int64_t length) {
    typedef shape<D> S;
    int *lo = (int *)(smem + S::LO_AT), *hi = (int *)(smem + S::HI_AT);
    for (int r = threadIdx.x; r < S::ROWS; r += S::THREADS) {
        int64_t l = 0, h = 0;
        if (r < p.rows) lb_attention_row(o.j, p.begin + (p.first + r) / o.j.group, p.end, raw, length, &l, &h);
        lo[r] = (int)l, hi[r] = (int)h;
    }
    for (int i = threadIdx.x; i < S::ROWS * (D / 8); i += S::THREADS) {
        int r = i / (D / 8), c = i % (D / 8);
        uint4 v = make_uint4(0, 0, 0, 0);
        if (r < p.rows) {
            const float *q = lb_row(o.j.q, (p.begin + (p.first + r) / o.j.group) * o.j.heads + p.g * o.j.group +
                                               (p.first + r) % o.j.group) + c * 8;
            v = make_uint4(lb_pack_bf16x2(q[0], q[1]), lb_pack_bf16x2(q[2], q[3]), lb_pack_bf16x2(q[4], q[5]),
                           lb_pack_bf16x2(q[6], q[7]));
        }
        *(uint4 *)(void *)(smem + place_of(r, c, S::ROWS)) = v;
    }
    lb_fence_async();
}

template <int D> __device__ extent extent_of(unsigned char *smem, int rows) {
    const int *lo = (const int *)(smem + shape<D>::LO_AT), *hi = (const int *)(smem + shape<D>::HI_AT);
    extent x = { INT32_MAX, 0, 0, INT32_MAX };
    for (int r = threadIdx.x % 32; r < rows; r += 32) {
        if (hi[r] > lo[r]) x.lo = min(x.lo, lo[r]), x.hi = max(x.hi, hi[r]);
        x.all_lo = max(x.all_lo, lo[r]), x.all_hi = min(x.all_hi, hi[r]);
    }
    x.lo = __reduce_min_sync(LB_FULL, x.lo), x.hi = __reduce_max_sync(LB_FULL, x.hi);
    x.all_lo = __reduce_max_sync(LB_FULL, x.all_lo), x.all_hi = __reduce_min_sync(LB_FULL, x.all_hi);
    return x;
}

/* ---- the warpgroup that brings ---- */

/* Positions [at, at + KEYS) of a head of keys or values; those from `end` on are zeros. */
template <int D> __device__ void load_tile(const job &o, const lb_kv &kv, const part &p, unsigned char *to, int at,
                                           int end) {
    constexpr int PIECES = D / 8;
#pragma unroll 4
    for (int i = 0; i < KEYS * PIECES / GROUP_THREADS; i++) {
        int n = i * GROUP_THREADS + threadIdx.x, r = n / PIECES, c = n % PIECES, s = at + r;
        int64_t page = p.b, row = s < end ? s : at;
        if (kv.pages) {
            uint32_t q = o.page_shift >= 0 ? (uint32_t)row >> o.page_shift : (uint32_t)row / (uint32_t)kv.rows;
            page = kv.pages[p.b * kv.pages_each + q], row -= (int64_t)q * kv.rows;
        }
        lb_copy_async_16(to + place_of(r, c, KEYS),
                         kv.base + page * kv.stride_b + p.g * kv.stride_h + row * kv.stride_s + c * 16,
                             s < end ? 16 : 0);
    }
    lb_copy_commit();
}

/* A group of copies is told of when the next has been asked for. */
template <int LEFT> __device__ void tell(uint64_t *full) {
    lb_copy_wait<LEFT>();
    lb_fence_async();
    lb_mbarrier_arrive(full);
}

template <int D> __device__ void bring(const job &o, unsigned char *smem, const part &p, const extent &x) {
    typedef shape<D> S;
    const barriers at(smem + S::BARRIERS_AT);
    uint64_t *pending = nullptr;
    int stage = 0, turn = 0;
    for (int s = x.lo; s < x.hi; s += KEYS) {
        lb_mbarrier_wait(&at.k_empty[stage], (unsigned)turn ^ 1);
        load_tile<D>(o, o.j.k, p, smem + S::K_AT + stage * S::TILE_BYTES, s, x.hi);
        if (pending) tell<1>(pending);
        lb_mbarrier_wait(&at.v_empty[stage], (unsigned)turn ^ 1);
        load_tile<D>(o, o.j.v, p, smem + S::V_AT + stage * S::TILE_BYTES, s, x.hi);
        tell<1>(&at.k_full[stage]);
        pending = &at.v_full[stage];
        if (++stage == STAGES) stage = 0, turn ^= 1;
    }
    if (pending) tell<0>(pending);
}

/* ---- a warpgroup that multiplies ---- */

template <int D> struct state { float most[2], sum[2], acc[D / 2]; };

/* Issues s = q k^T of the 64 rows. */
template <int D> __device__ void score(unsigned char *smem, int group, int stage, float (&s)[KEYS / 2]) {
    typedef shape<D> S;
#pragma unroll
    for (int c = 0; c < D; c += 16) {
        uint64_t q = lb_wgmma_tile(smem + c / 64 * (S::ROWS * 128) + group * (64 * 128));
        uint64_t k = lb_wgmma_tile(smem + S::K_AT + stage * S::TILE_BYTES + c / 64 * (KEYS * 128));
        lb_wgmma_sa(s, lb_wgmma_at(q, (unsigned)(c % 64 * 2)), lb_wgmma_at(k, (unsigned)(c % 64 * 2)), c == 0);
    }
    lb_wgmma_commit();
}
/* Issues acc += p v. */
template <int D> __device__ void weigh(unsigned char *smem, int stage, const uint32_t (&p)[KEYS / 4], state<D> &w) {
    typedef shape<D> S;
    uint64_t v = lb_wgmma_tile_transposed(smem + S::V_AT + stage * S::TILE_BYTES, KEYS * 128);
#pragma unroll
    for (int key = 0; key < KEYS; key += 16)
        lb_wgmma_ra_t(w.acc, &p[key / 4], lb_wgmma_at(v, (unsigned)(key * 128)), false);
    lb_wgmma_commit();
}

/* What a row does not see becomes -Inf. */
template <int D> __device__ void mask(unsigned char *smem, int group, int at, float (&s)[KEYS / 2]) {
    int lane = threadIdx.x % 32, row = group * 64 + threadIdx.x / 32 % 4 * 16 + lane / 4;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        int lo = ((const int *)(smem + shape<D>::LO_AT))[row + 8 * half] - at;
        int hi = ((const int *)(smem + shape<D>::HI_AT))[row + 8 * half] - at;
#pragma unroll
        for (int n = 0; n < NK; n++)
#pragma unroll
            for (int e = 0; e < 2; e++) {
                int key = n * 8 + lane % 4 * 2 + e;
                if (key < lo || key >= hi) s[4 * n + 2 * half + e] = -INFINITY;
            }
    }
}

/* s becomes probabilities in bf16, against the rows' maxima so far; `keep`: what the sums are to be multiplied by. */
template <int D>
__device__ void soften(float scale, float (&s)[KEYS / 2], uint32_t (&p)[KEYS / 4], state<D> &w, float (&keep)[2]) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
        float most = -INFINITY, sum = 0;
#pragma unroll
        for (int n = 0; n < NK; n++) most = fmaxf(most, fmaxf(s[4 * n + 2 * half], s[4 * n + 2 * half + 1]));
        most = fmaxf(most, __shfl_xor_sync(LB_FULL, most, 1));
        most = fmaxf(most, __shfl_xor_sync(LB_FULL, most, 2)) * scale;
        most = fmaxf(most, w.most[half]);
        float from = most == -INFINITY ? 0.0f : most;
        keep[half] = lb_exp2(w.most[half] - from);
        w.most[half] = most;
#pragma unroll
        for (int n = 0; n < NK; n++) {
            float a = lb_exp2(fmaf(s[4 * n + 2 * half], scale, -from)),
                b = lb_exp2(fmaf(s[4 * n + 2 * half + 1], scale, -from));
            sum += a + b;
            p[n / 2 * 4 + n % 2 * 2 + half] = lb_pack_bf16x2(a, b);
        }
        w.sum[half] = w.sum[half] * keep[half] + sum;
    }
}

template <int D>
__device__ void store(const job &o, const unsigned char *smem, const state<D> &w, const part &p, int group) {
    const int *lo = (const int *)(smem + shape<D>::LO_AT), *hi = (const int *)(smem + shape<D>::HI_AT);
    int lane = threadIdx.x % 32;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        float sum = w.sum[half];
        sum += __shfl_xor_sync(LB_FULL, sum, 1);
        sum += __shfl_xor_sync(LB_FULL, sum, 2);
        int r = group * 64 + threadIdx.x / 32 % 4 * 16 + half * 8 + lane / 4;
        if (r >= p.rows) continue;
        int64_t token = p.begin + (p.first + r) / o.j.group, head = p.g * o.j.group + (p.first + r) % o.j.group;
        bool saw = hi[r] > lo[r]; /* scores that are all -Inf: 0 / 0 */
        if (o.j.sinks && saw) sum += lb_sink(o.j.sinks[head], w.most[half]);
        const float inverse = saw ? 1.0f / sum : 0.0f;
        float *to = o.j.out + (token * o.j.heads + head) * D + lane % 4 * 2;
#pragma unroll
        for (int n = 0; n < D / 8; n++)
            *(float2 *)(to + n * 8) = make_float2(w.acc[4 * n + 2 * half] * inverse,
                                                  w.acc[4 * n + 2 * half + 1] * inverse);
    }
}

/* This warp has done with a stage. */
__device__ inline void give(uint64_t *empty) {
    __syncwarp();
    if (threadIdx.x % 32 == 0) lb_mbarrier_arrive(empty);
}

template <int D> __device__ void multiply(const job &o, unsigned char *smem, const part &p, const extent &x) {
    typedef shape<D> S;
    const barriers at(smem + S::BARRIERS_AT);
    const int group = threadIdx.x / GROUP_THREADS - 1;
    const float scale = o.j.scale * LB_LOG2E;
    state<D> w;
    float s[KEYS / 2], keep[2];
    uint32_t probabilities[KEYS / 4];
    w.most[0] = w.most[1] = -INFINITY, w.sum[0] = w.sum[1] = 0;
#pragma unroll
    for (int i = 0; i < D / 2; i++) w.acc[i] = 0;
    int stage = 0, turn = 0;
    if (x.lo < x.hi) {
        lb_mbarrier_wait(&at.k_full[0], 0);
        lb_wgmma_fence();
        score<D>(smem, group, 0, s);
    }
    for (int t = x.lo; t < x.hi; t += KEYS) {
        lb_wgmma_wait<0>();
        lb_wgmma_done(s);
        give(&at.k_empty[stage]);
        if (t < x.all_lo || x.all_hi - t < KEYS) mask<D>(smem, group, t, s);
        soften<D>(scale, s, probabilities, w, keep);
#pragma unroll
        for (int i = 0; i < D / 2; i++) w.acc[i] *= keep[i / 2 % 2];
        lb_mbarrier_wait(&at.v_full[stage], (unsigned)turn);
        lb_wgmma_fence();
        weigh<D>(smem, stage, probabilities, w);
        int this_stage = stage;
        if (++stage == STAGES) stage = 0, turn ^= 1;
        if (x.hi - t > KEYS) {
            lb_mbarrier_wait(&at.k_full[stage], (unsigned)turn);
            score<D>(smem, group, stage, s);
            lb_wgmma_wait<1>();
        } else {
            lb_wgmma_wait<0>();
        }
        lb_wgmma_done(w.acc);
        lb_wgmma_done(probabilities);
        give(&at.v_empty[this_stage]);
    }
    store<D>(o, smem, w, p, group);
}
#endif

template <int D> __global__ void __launch_bounds__(shape<D>::THREADS, 1) flash_kernel(const __grid_constant__ job o) {
#if LB_CUDA_WGMMA
    typedef shape<D> S;
    LB_CUDA_SHARED(smem);
    part p = {};
    int64_t raw, before_last;
    if (blockIdx.x >= o.order.blocks) return lb_attention_padding(o.j, blockIdx.x - o.order.blocks, o.order.padding);
    lb_attention_place(o.order, (uint32_t)o.j.k.heads, blockIdx.x, &p.b, &p.g, &before_last);
    lb_batch_rows(&o.j.batch, p.b, &p.begin, &p.end);
    int64_t total = (p.end - p.begin) * o.j.group, tiles = (total + S::ROWS - 1) / S::ROWS;
    if (before_last >= tiles) return;
    p.first = (tiles - 1 - before_last) * S::ROWS;
    p.rows = (int)(total - p.first < S::ROWS ? total - p.first : S::ROWS);
    int64_t length = lb_attention_length(o.j, p.b, &raw);
    if (threadIdx.x == 0) {
        const barriers at(smem + S::BARRIERS_AT);
        for (int i = 0; i < STAGES; i++) {
            lb_mbarrier_init(&at.k_full[i], GROUP_THREADS), lb_mbarrier_init(&at.v_full[i], GROUP_THREADS);
            lb_mbarrier_init(&at.k_empty[i], 4 * S::GROUPS), lb_mbarrier_init(&at.v_empty[i], 4 * S::GROUPS);
        }
        lb_mbarrier_made();
    }
    load_rows<D>(o, smem, p, raw, length);
    __syncthreads();
    extent x = extent_of<D>(smem, p.rows);
    if (threadIdx.x < GROUP_THREADS) {
        lb_registers_less<D == 64 ? 32 : 24>();
        bring<D>(o, smem, p, x);
    } else {
        lb_registers_more<D == 64 ? 160 : 240>();
        multiply<D>(o, smem, p, x);
    }
#else
    (void)o;
#endif
}

/* ---- host ---- */

bool fits(const lb_tensor *t) {
    for (int i = 0; i < 3; i++)
        if (t->strides[i] % 8) return false;
    return t->dtype == LB_BF16 && (uintptr_t)lb_tensor_data(t) % 16 == 0;
}

bool supports(const lb_args *a, const char **why) {
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
    *why = "more than 2^31 positions, or blocks of 64 rows";
    if ((pages ? pages->dims[1] : 1) * k->dims[2] > INT32_MAX - KEYS) return false;
    if (lb_attention_order_of(lb_attention_of(a), 64).blocks > INT32_MAX / 2) return false;
    *why = "the device has too little shared memory";
    return (int64_t)(d == 64 ? shape<64>::SMEM : shape<128>::SMEM) <= lb_cuda_info_now()->smem_per_block;
}

template <int D> void run(job &o, const lb_launch *l) {
    typedef shape<D> S;
    o.order = lb_attention_order_of(o.j, S::ROWS);
    lb_cuda_smem(flash_kernel<D>, S::SMEM);
    LB_CUDA_LAUNCH_IF_ANY(flash_kernel<D>, (unsigned)(o.order.blocks + o.order.padding), S::THREADS, S::SMEM,
                          lb_cuda_stream(l), o);
}

void launch(const lb_args *a, const lb_launch *l) {
    job o = { lb_attention_of(a), {}, -1 };
    for (int i = 0; i < 31; i++)
        if (o.j.k.rows == (int64_t)1 << i) o.page_shift = i;
    if (o.j.batch.rows == 0) return;
    if (o.j.dim == 64) run<64>(o, l);
    else run<128>(o, l);
}

} // namespace

LB_CUDA_KERNEL(attention_bf16_flash_wgmma) = {
    .name = "attention.bf16.flash_wgmma", .op = "attention", .device = "cuda",
    .about = "64 rows a warpgroup, tiles of 128 positions brought by another; "
             "wgmma with probabilities kept in registers",
    .source = "luabench; Shah and others, FlashAttention-3", .isa = LB_ISA_SM90A, .act = LB_ACT_BF16, .acc = LB_ACC_F32,
    .compute = LB_COMPUTE_BF16, .tolerance = 1e-5,
    .tolerance_why = "each probability is rounded to bf16, a relative error of up to 2^-9 "
                     "(2^-18 / 3 = 1.3e-6 in the mean"
                     " square), more where values cancel",
    .priority = 30, .supports = supports, .launch = launch,
};
