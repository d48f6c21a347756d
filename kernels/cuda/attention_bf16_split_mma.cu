/* attention_bf16_split_mma.cu: few rows, many positions: decode, with the heads of a group (or MLA's, absorbed) as the
 * rows of matrix products, and the positions split over blocks.
 *
 * A block takes 16 or 32 rows and tiles of 64 (MLA: 48) positions, which cp.async brings three deep. Scores: a warp has
 * eight positions. Then all know the rows' maxima, write probabilities as bf16, and a warp has an eighth of the values'
 * columns: no product is done twice, and the accumulators of 512 columns are 32 or 64 registers. What the splits found
 * is added by the last of them to end, in their order.
 *
 * Bytes: each key and value once for all heads of a group: 2 (D + V) a position and cache head, 1152 for MLA. On an
 * H200 an SM gets 36 bytes a nanosecond: 0.9 us for a tile of 64 positions of 128 + 128, 1.5 us for 48 of MLA. The
 * products of a tile are 8 x (8 + 8) and 8 x (27 + 24) mma.m16n8k16 for 16 rows: 0.1 and 0.3 us by four units of one in
 * two cycles. Under way are two tiles a block, two blocks an SM: 128 KB, where 22 are needed; MLA one block, 110 KB. So
 * memory bounds it, less the splits' ends: about 3 us a launch. Predicted: 85 to 90 % of the read bandwidth from 100 MB
 * on. */
#include "attention.cuh"
#include "mma.cuh"

namespace {

enum { THREADS = 256, WARPS = 8, LAST_BYTES = 1024 /* `last`, and up to where dynamic shared memory begins */ };

/* LATENT: the values are the first V of each key. */
template <int D_, int V_, bool LATENT_, int MT_> struct shape {
    static constexpr int D = D_, V = V_, MT = MT_, ROWS = 16 * MT_, KEYS = LATENT_ ? 48 : 64, STAGES = 3;
    static constexpr bool LATENT = LATENT_;
    static constexpr int KS = D + 8, VS = LATENT_ ? KS : V + 8, PS = KEYS + 8; /* strides that miss banks */
    static constexpr int NT = V / 8 / WARPS;                                  /* column tiles of a warp */
    static constexpr size_t Q_BYTES = ROWS * KS * 2, K_BYTES = KEYS * KS * 2, V_BYTES = LATENT_ ? 0 : KEYS * VS * 2;
    static constexpr size_t P_BYTES = ROWS * PS * 2, STAT_BYTES = WARPS * ROWS * 4;
    static constexpr size_t BYTES = Q_BYTES + STAGES * (K_BYTES + V_BYTES) + P_BYTES + STAT_BYTES + 2 * ROWS * 8;
};

/* Where things lie in shared memory. */
template <class S> struct places {
    uint16_t *q, *k, *v, *p;
    float *stat;
    int64_t *lo, *hi;
    __device__ explicit places(unsigned char *at) {
        q = (uint16_t *)at, at += S::Q_BYTES;
        k = (uint16_t *)at, at += S::STAGES * S::K_BYTES;
        v = S::LATENT ? k : (uint16_t *)at, at += S::STAGES * S::V_BYTES;
        p = (uint16_t *)at, at += S::P_BYTES;
        stat = (float *)at, at += S::STAT_BYTES;
        lo = (int64_t *)at, hi = lo + S::ROWS;
    }
};

struct job {
    lb_attention j;
    int row_tiles, splits, page_shift;     /* page_shift -1: the page is no power of two */
    float *workspace;
    unsigned *tickets;
};

/* ---- eight neighbours of a row as bf16 ---- */

__device__ static uint32_t f8_pair(uint32_t two) { /* bytes 0 and 1 */
    uint32_t spread = (two & 0xffu) | (two & 0xff00u) << 8;
    uint32_t small = (spread & 0x00800080u) << 8 | (spread & 0x007f007fu) << 4; /* 2^-120 of the value */
    uint32_t v = lb_fma_bf16x2(small, 0x7b807b80u, 0x80008000u);
    if ((spread & 0x7fu) == 0x7fu) v = (v & 0xffff0000u) | 0x7fc0u;
    if ((spread >> 16 & 0x7fu) == 0x7fu) v = (v & 0xffffu) | 0x7fc00000u;
    return v;
}
__device__ static uint4 expand8(lb_dtype type, int packed, const char *row, int chunk) {
    uint32_t out[4];
    if (type == LB_F8E4M3) {
        uint2 raw = *(const uint2 *)(row + chunk * 8);
        return make_uint4(f8_pair(raw.x), f8_pair(raw.x >> 16), f8_pair(raw.y), f8_pair(raw.y >> 16));
    }
    if (packed == LB_PACKED_Q8_0) {
        const uint16_t *block = (const uint16_t *)(row + chunk / 4 * 34);
        float d = lb_f16_value(block[0]);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            int two = block[1 + chunk % 4 * 4 + i];
            out[i] = lb_pack_bf16x2(d * (float)(int8_t)two, d * (float)(int8_t)(two >> 8));
        }
        return make_uint4(out[0], out[1], out[2], out[3]);
    }
    const uint16_t *block = (const uint16_t *)(row + chunk / 4 * 18);
    float d = lb_f16_value(block[0]);
    int shift = chunk % 4 / 2 * 4;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        int two = block[1 + chunk % 2 * 4 + i] >> shift;
        out[i] = lb_pack_bf16x2(d * (float)((two & 15) - 8), d * (float)((two >> 8 & 15) - 8));
    }
    return make_uint4(out[0], out[1], out[2], out[3]);
}

/* ---- loading ---- */

__device__ static int64_t page_row(const job &o, const lb_kv &c, int64_t b, int64_t s, int64_t *page) {
    if (!c.pages) {
        *page = b;
        return s;
    }
    uint32_t p = o.page_shift >= 0 ? (uint32_t)s >> o.page_shift : (uint32_t)s / (uint32_t)c.rows;
    *page = c.pages[b * c.pages_each + p];
    return s - (int64_t)p * c.rows;
}
template <bool ASYNC>
__device__ static void load_row(const lb_kv &c, const char *row, uint16_t *to, int chunk, bool there) {
    if (ASYNC) {
        lb_copy_async_16(to + chunk * 8, row + chunk * 16, there ? 16 : 0);
    } else {
        uint4 v = there ? expand8(c.dtype, c.packed, row, chunk) : make_uint4(0, 0, 0, 0);
        *(uint4 *)(to + chunk * 8) = v;
    }
}
/* Positions [at, at + KEYS) of a head; those from `end` on are zeros. */
template <class S, bool ASYNC>
__device__ static void load_tile(const job &o, const places<S> &m, int stage, int64_t b, int64_t g, int64_t at,
                                 int64_t end) {
    constexpr int KC = S::D / 8, VC = S::V / 8;
    uint16_t *k = m.k + stage * S::KEYS * S::KS, *v = m.v + stage * S::KEYS * S::VS;
    for (int i = threadIdx.x; i < S::KEYS * KC; i += THREADS) {
        int r = i / KC, chunk = i % KC;
        bool there = at + r < end;
        int64_t page, row = page_row(o, o.j.k, b, there ? at + r : at, &page);
        const char *from = o.j.k.base + page * o.j.k.stride_b + g * o.j.k.stride_h + row * o.j.k.stride_s;
        load_row<ASYNC>(o.j.k, from, k + r * S::KS, chunk, there);
    }
    if constexpr (!S::LATENT) {
        for (int i = threadIdx.x; i < S::KEYS * VC; i += THREADS) {
            int r = i / VC, chunk = i % VC;
            bool there = at + r < end;
            int64_t page, row = page_row(o, o.j.v, b, there ? at + r : at, &page);
            const char *from = o.j.v.base + page * o.j.v.stride_b + g * o.j.v.stride_h + row * o.j.v.stride_s;
            load_row<ASYNC>(o.j.v, from, v + r * S::VS, chunk, there);
        }
    }
}
template <class S>
__device__ static void load_rows(const job &o, const places<S> &m, int64_t begin, int64_t end, int64_t g, int first,
                                 int rows, int64_t raw, int64_t length) {
    int group = o.j.group;
    for (int r = threadIdx.x; r < S::ROWS; r += THREADS) {
        m.lo[r] = m.hi[r] = 0;
        if (r < rows) lb_attention_row(o.j, begin + (first + r) / group, end, raw, length, &m.lo[r], &m.hi[r]);
    }
    for (int i = threadIdx.x; i < S::ROWS * (S::D / 2); i += THREADS) {
        int r = i / (S::D / 2), c = i % (S::D / 2) * 2;
        uint32_t two = 0;
        if (r < rows) {
            const float *q = lb_row(o.j.q, (begin + (first + r) / group) * o.j.heads + g * group + (first + r) % group);
            two = lb_pack_bf16x2(q[c], q[c + 1]);
        }
        *(uint32_t *)(m.q + r * S::KS + c) = two;
    }
}

/* ---- one tile ---- */

/* A warp's running state: for each of its rows (g and g + 8 of each 16) the maximum and its own part of the sum. */
template <class S> struct state {
    float most[S::MT][2], sum[S::MT][2], acc[S::MT][S::NT][4];
    __device__ void clear() {
#pragma unroll
        for (int i = 0; i < S::MT; i++) {
            most[i][0] = most[i][1] = -INFINITY, sum[i][0] = sum[i][1] = 0;
#pragma unroll
            for (int n = 0; n < S::NT; n++) acc[i][n][0] = acc[i][n][1] = acc[i][n][2] = acc[i][n][3] = 0;
        }
    }
};

/* This warp's scores of its eight positions, in units of log2 e; what a row does not see is -Inf. */
template <class S>
__device__ static void score(const job &o, const places<S> &m, const uint16_t *k, int64_t at, float s[S::MT][4]) {
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, t = lane % 4;
#pragma unroll
    for (int i = 0; i < S::MT; i++) s[i][0] = s[i][1] = s[i][2] = s[i][3] = 0;
#pragma unroll
    for (int c = 0; c < S::D; c += 32) {
        uint32_t b[4], a[4];
        lb_ldmatrix_x4(b, k + (warp * 8 + lane % 8) * S::KS + c + lane / 8 * 8);
#pragma unroll
        for (int i = 0; i < S::MT; i++) {
            const uint16_t *q = m.q + (i * 16 + lane % 16) * S::KS + c + lane / 16 * 8;
            lb_ldmatrix_x4(a, q);
            lb_mma_bf16(s[i], a, b[0], b[1]);
            lb_ldmatrix_x4(a, q + 16);
            lb_mma_bf16(s[i], a, b[2], b[3]);
        }
    }
    float scale = o.j.scale * LB_LOG2E;
#pragma unroll
    for (int i = 0; i < S::MT; i++) {
#pragma unroll
        for (int e = 0; e < 4; e++) {
            int row = i * 16 + g + e / 2 * 8;
            int64_t key = at + warp * 8 + 2 * t + e % 2;
            s[i][e] = key >= m.lo[row] && key < m.hi[row] ? s[i][e] * scale : -INFINITY;
        }
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float most = fmaxf(s[i][2 * half], s[i][2 * half + 1]);
            most = fmaxf(most, __shfl_xor_sync(LB_FULL, most, 1));
            most = fmaxf(most, __shfl_xor_sync(LB_FULL, most, 2));
            if (t == 0) m.stat[warp * S::ROWS + i * 16 + half * 8 + g] = most;
        }
    }
}

/* The rows' new maxima, by all warps alike; the accumulators are brought to them, the probabilities go to shared
 * memory. */
template <class S> __device__ static void soften(const places<S> &m, const float s[S::MT][4], state<S> *w,
                                                 bool scored) {
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, t = lane % 4;
#pragma unroll
    for (int i = 0; i < S::MT; i++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            int row = i * 16 + half * 8 + g;
            float most = w->most[i][half];
#pragma unroll
            for (int n = 0; n < S::KEYS / 8; n++) most = fmaxf(most, m.stat[n * S::ROWS + row]);
            float from = most == -INFINITY ? 0.0f : most; /* nothing seen yet: 2^-Inf is 0 */
            float keep = lb_exp2(w->most[i][half] - from);
            w->most[i][half] = most;
            w->sum[i][half] *= keep;
#pragma unroll
            for (int n = 0; n < S::NT; n++) w->acc[i][n][2 * half] *= keep, w->acc[i][n][2 * half + 1] *= keep;
            if (!scored) continue;
            float p0 = lb_exp2(s[i][2 * half] - from), p1 = lb_exp2(s[i][2 * half + 1] - from);
            w->sum[i][half] += p0 + p1;
            *(uint32_t *)(m.p + row * S::PS + warp * 8 + 2 * t) = lb_pack_bf16x2(p0, p1);
        }
}

/* This warp's columns of the values, weighted and added up. */
template <class S> __device__ static void weigh(const places<S> &m, const uint16_t *v, state<S> *w) {
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
#pragma unroll
    for (int key = 0; key < S::KEYS; key += 16) {
        uint32_t a[S::MT][4], b[4];
#pragma unroll
        for (int i = 0; i < S::MT; i++) lb_ldmatrix_x4(a[i], m.p + (i * 16 + lane % 16) * S::PS + key + lane / 16 * 8);
#pragma unroll
        for (int n = 0; n < S::NT; n += 2) {
            const uint16_t *at = v + (key + lane % 16) * S::VS + warp * (S::NT * 8) + n * 8;
            if (n + 1 < S::NT) lb_ldmatrix_x4_trans(b, at + lane / 16 * 8);
            else lb_ldmatrix_x2_trans(b, at);
#pragma unroll
            for (int i = 0; i < S::MT; i++) {
                lb_mma_bf16(w->acc[i][n], a[i], b[0], b[1]);
                if (n + 1 < S::NT) lb_mma_bf16(w->acc[i][n + 1], a[i], b[2], b[3]);
            }
        }
    }
}

template <class S, bool ASYNC>
__device__ static void walk(const job &o, const places<S> &m, int64_t b, int64_t g, int64_t at, int64_t end,
                            state<S> *w) {
    int64_t tiles = (end - at + S::KEYS - 1) / S::KEYS;
    bool scores = threadIdx.x / 32 < S::KEYS / 8;
    for (int i = 0; i < S::STAGES - 1; i++) {
        if (i < tiles) load_tile<S, ASYNC>(o, m, i, b, g, at + i * S::KEYS, end);
        lb_copy_commit();
    }
    lb_copy_wait<S::STAGES - 2>();
    __syncthreads();
    for (int64_t i = 0; i < tiles; i++) {
        int stage = (int)(i % S::STAGES);
        float s[S::MT][4];
        if (scores) score<S>(o, m, m.k + stage * S::KEYS * S::KS, at + i * S::KEYS, s);
        __syncthreads(); /* maxima are there; the tile before this is done with */
        int64_t next = i + S::STAGES - 1;
        if (next < tiles) load_tile<S, ASYNC>(o, m, (int)(next % S::STAGES), b, g, at + next * S::KEYS, end);
        lb_copy_commit();
        soften<S>(m, s, w, scores);
        lb_copy_wait<S::STAGES - 2>();
        __syncthreads(); /* probabilities, and the next tile, are there */
        weigh<S>(m, m.v + stage * S::KEYS * S::VS, w);
    }
}

/* ---- the end ---- */

template <class S> __device__ static void sums(const places<S> &m, state<S> *w, float total[S::MT][2]) {
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4;
    __syncthreads();
#pragma unroll
    for (int i = 0; i < S::MT; i++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float v = w->sum[i][half];
            v += __shfl_xor_sync(LB_FULL, v, 1);
            v += __shfl_xor_sync(LB_FULL, v, 2);
            if (lane % 4 == 0) m.stat[warp * S::ROWS + i * 16 + half * 8 + g] = v;
        }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < S::MT; i++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            total[i][half] = 0;
            for (int n = 0; n < WARPS; n++) total[i][half] += m.stat[n * S::ROWS + i * 16 + half * 8 + g];
        }
}

/* What a row's sum becomes with its sink, and 1 over it; 0 where nothing was seen. Scores that are all -Inf sum to 0,
 * of which NaN comes, as the formula has it. */
__device__ static float inverse_of(const lb_attention &j, int64_t head, float most, float sum, bool saw) {
    if (!saw) return 0.0f;
    if (j.sinks) sum += lb_sink(j.sinks[head], most);
    return 1.0f / sum;
}

/* With one split: straight to `out`. Else to the workspace, rows of V values, then maxima, then sums. */
template <class S>
__device__ static void store(const job &o, const places<S> &m, state<S> *w, const float total[S::MT][2], int64_t begin,
                             int64_t g, int first, int rows, float *slot) {
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32, t = lane % 4;
#pragma unroll
    for (int i = 0; i < S::MT; i++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            int r = i * 16 + half * 8 + lane / 4;
            if (r >= rows) continue;
            int64_t token = begin + (first + r) / o.j.group, head = g * o.j.group + (first + r) % o.j.group;
            float factor = slot ? 1.0f : inverse_of(o.j, head, w->most[i][half], total[i][half], m.hi[r] > m.lo[r]);
            float *to = slot ? slot + r * S::V : o.j.out + (token * o.j.heads + head) * S::V;
#pragma unroll
            for (int n = 0; n < S::NT; n++)
                *(float2 *)(to + warp * (S::NT * 8) + n * 8 + 2 * t) =
                    make_float2(w->acc[i][n][2 * half] * factor, w->acc[i][n][2 * half + 1] * factor);
            if (slot && warp == 0 && t == 0) {
                slot[S::ROWS * S::V + r] = w->most[i][half];
                slot[S::ROWS * (S::V + 1) + r] = total[i][half];
            }
        }
}

/* The splits' results, in their order. */
template <class S>
__device__ static void merge(const job &o, const places<S> &m, int64_t begin, int64_t g, int first, int rows,
                             const float *slots) {
    constexpr int SLOT = S::ROWS * (S::V + 2);
    for (int r = threadIdx.x / 32; r < rows; r += WARPS) {
        int64_t token = begin + (first + r) / o.j.group, head = g * o.j.group + (first + r) % o.j.group;
        float most = -INFINITY, sum = 0;
        for (int s = 0; s < o.splits; s++) most = fmaxf(most, __ldcg(slots + s * SLOT + S::ROWS * S::V + r));
        float from = most == -INFINITY ? 0.0f : most;
        for (int s = 0; s < o.splits; s++)
            sum += __ldcg(slots + s * SLOT + S::ROWS * (S::V + 1) + r) *
                   lb_exp2(__ldcg(slots + s * SLOT + S::ROWS * S::V + r) - from);
        float inverse = inverse_of(o.j, head, most, sum, m.hi[r] > m.lo[r]);
        for (int c = threadIdx.x % 32; c < S::V; c += 32) {
            float v = 0;
            for (int s = 0; s < o.splits; s++)
                v = fmaf(__ldcg(slots + s * SLOT + r * S::V + c),
                         lb_exp2(__ldcg(slots + s * SLOT + S::ROWS * S::V + r) - from), v);
            o.j.out[(token * o.j.heads + head) * S::V + c] = v * inverse;
        }
    }
}

template <class S, bool ASYNC> __global__ void __launch_bounds__(THREADS, S::LATENT ? 1 : 2) split_kernel(job o) {
    LB_CUDA_SHARED(shared);
    __shared__ bool last;
    places<S> m(shared);
    int64_t b = blockIdx.z, g = blockIdx.y / o.row_tiles, begin, end, raw;
    if (b == o.j.batch.sequences)
        return lb_attention_padding(o.j, blockIdx.x + (int64_t)blockIdx.y * gridDim.x, (int64_t)gridDim.x * gridDim.y);
    lb_batch_rows(&o.j.batch, b, &begin, &end);
    int64_t first = (int64_t)(blockIdx.y % o.row_tiles) * S::ROWS, left = (end - begin) * o.j.group - first;
    if (left <= 0) return;
    int rows = left < S::ROWS ? (int)left : S::ROWS;
    int64_t length = lb_attention_length(o.j, b, &raw);
    load_rows<S>(o, m, begin, end, g, (int)first, rows, raw, length);
    __syncthreads();
    int64_t lo = INT64_MAX, hi = 0;
    for (int r = 0; r < rows; r++) {
        if (m.hi[r] <= m.lo[r]) continue;
        lo = m.lo[r] < lo ? m.lo[r] : lo, hi = m.hi[r] > hi ? m.hi[r] : hi;
    }
    int64_t tiles = hi > lo ? (hi - lo + S::KEYS - 1) / S::KEYS : 0, split = blockIdx.x;
    int64_t from = lo + tiles * split / o.splits * S::KEYS, to = lo + tiles * (split + 1) / o.splits * S::KEYS;
    state<S> w;
    w.clear();
    if (tiles) walk<S, ASYNC>(o, m, b, g, from, to < hi ? to : hi, &w);
    float total[S::MT][2];
    sums<S>(m, &w, total);
    int64_t job_index = b * gridDim.y + blockIdx.y;
    float *slots = o.workspace + job_index * o.splits * (int64_t)(S::ROWS * (S::V + 2));
    store<S>(o, m, &w, total, begin, g, (int)first, rows,
             o.splits > 1 ? slots + split * (int64_t)(S::ROWS * (S::V + 2)) : nullptr);
    if (o.splits == 1) return;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) last = atomicAdd(&o.tickets[job_index], 1u) == (unsigned)o.splits - 1;
    __syncthreads();
    if (!last) return;
    __threadfence();
    merge<S>(o, m, begin, g, (int)first, rows, slots);
    if (threadIdx.x == 0) o.tickets[job_index] = 0;
}

/* ---- host ---- */

struct sizes { int row_tiles, splits, mt; int64_t groups; };

/* Without `starts` every sequence has as many rows; with it one may have all. */
static sizes sizes_of(const lb_args *a) {
    const lb_tensor *q = lb_arg(a, LB_ATTENTION_Q), *k = lb_arg(a, LB_ATTENTION_K),
        *pages = lb_arg(a, LB_ATTENTION_PAGES);
    int64_t sequences = pages ? pages->dims[0] : k->dims[0], groups = k->dims[1];
    int64_t group = groups ? q->dims[1] / groups : 1, each = sequences ? q->dims[0] / sequences : 0;
    int64_t most = (lb_arg(a, LB_ATTENTION_STARTS) ? q->dims[0] : each) * group;
    sizes s = { 1, 1, each * group > 16 ? 2 : 1, groups };
    s.row_tiles = (int)((most + 16 * s.mt - 1) / (16 * s.mt));
    if (s.row_tiles < 1) s.row_tiles = 1;
    int64_t jobs = sequences * groups * (lb_arg(a, LB_ATTENTION_STARTS) ? (each * group + 16 * s.mt) / (16 * s.mt) :
                                         s.row_tiles);
    int64_t capacity = (pages ? pages->dims[1] : 1) * k->dims[2];
    int64_t splits = jobs ? 2 * (int64_t)lb_cuda_info_now()->sm_count / jobs : 1, most_splits = (capacity + 255) / 256;
    if (splits > most_splits) splits = most_splits;
    if (splits > 64) splits = 64;
    if (splits < 1 || sequences * groups * s.row_tiles > LB_CUDA_TICKETS) splits = 1;
    s.splits = (int)splits;
    return s;
}

/* Calls f with the shape that these arguments have; false: none. */
template <class F> static bool with_shape(const lb_args *a, int mt, F f) {
    int64_t d = lb_arg(a, LB_ATTENTION_Q)->dims[2], v = lb_arg(a, LB_ATTENTION_OUT)->dims[2];
    bool latent = !lb_arg(a, LB_ATTENTION_V);
    if (d == 64 && v == 64 && !latent) return mt == 1 ? f(shape<64, 64, false, 1>()) : f(shape<64, 64, false, 2>());
    if (d == 128 && v == 128 && !latent) return mt == 1 ? f(shape<128, 128, false, 1>()) :
        f(shape<128, 128, false, 2>());
    if (d == 576 && v == 512 && latent) return mt == 1 ? f(shape<576, 512, true, 1>()) : f(shape<576, 512, true, 2>());
    return false;
}

static bool type_fits(const lb_tensor *t, int64_t dim) {
    int64_t size = (int64_t)lb_dtype_size(t->dtype), unit = t->dtype == LB_BF16 ? 16 : t->dtype == LB_F8E4M3 ? 8 : 2;
    if (t->dtype != LB_BF16 && t->dtype != LB_F8E4M3 && t->dtype != LB_U8) return false;
    for (int i = 0; i < 3; i++)
        if (t->strides[i] * size % unit) return false;
    return (uintptr_t)lb_tensor_data(t) % (uintptr_t)unit == 0 && dim % 32 == 0;
}

static bool supports(const lb_args *a, const char **why) {
    const lb_tensor *q = lb_arg(a, LB_ATTENTION_Q), *k = lb_arg(a, LB_ATTENTION_K), *v = lb_arg(a, LB_ATTENTION_V);
    const lb_tensor *pages = lb_arg(a, LB_ATTENTION_PAGES);
    *why = "takes caches of bf16, f8e4m3, q8_0 and q4_0 whose rows are aligned";
    if (!type_fits(k, q->dims[2]) || (v && (v->dtype != k->dtype || !type_fits(v, q->dims[2])))) return false;
    *why = "more than 2^31 positions, 65534 sequences, or 65535 blocks of rows";
    sizes s = sizes_of(a);
    if ((pages ? pages->dims[1] : 1) * k->dims[2] > INT32_MAX || s.row_tiles * s.groups > 65535) return false;
    if ((pages ? pages->dims[0] : k->dims[0]) > 65534) return false;
    *why = "takes heads of 64 and 128, and MLA's 576 with 512 values, where shared memory holds them";
    return with_shape(a, s.mt, [](auto shape) {
        return lb_cuda_smem_fits(decltype(shape)::BYTES + LAST_BYTES);
    });
}

static size_t workspace_bytes(const lb_args *a, int) {
    const lb_tensor *k = lb_arg(a, LB_ATTENTION_K), *pages = lb_arg(a, LB_ATTENTION_PAGES);
    sizes s = sizes_of(a);
    int64_t jobs = (pages ? pages->dims[0] : k->dims[0]) * s.groups * s.row_tiles;
    if (s.splits == 1) return 0;
    return (size_t)(jobs * s.splits * 16 * s.mt * (lb_arg(a, LB_ATTENTION_OUT)->dims[2] + 2)) * sizeof(float);
}

static int shift_of(int64_t rows) {
    for (int i = 0; i < 31; i++)
        if (rows == (int64_t)1 << i) return i;
    return -1;
}

static void launch(const lb_args *a, const lb_launch *l) {
    sizes s = sizes_of(a);
    job o = { lb_attention_of(a), s.row_tiles, s.splits, 0, (float *)l->workspace, lb_cuda_tickets(l) };
    o.page_shift = shift_of(o.j.k.rows);
    if (o.j.batch.rows == 0 || s.groups == 0) return;
    dim3 grid((unsigned)s.splits, (unsigned)(s.groups * s.row_tiles),
              (unsigned)o.j.batch.sequences + lb_attention_pads(o.j.batch));
    with_shape(a, s.mt, [&](auto shape) {
        using S = decltype(shape);
        if (o.j.k.dtype == LB_BF16) {
            lb_cuda_smem(split_kernel<S, true>, S::BYTES, LAST_BYTES);
            LB_CUDA_LAUNCH((split_kernel<S, true>), grid, THREADS, S::BYTES, lb_cuda_stream(l), o);
        } else {
            lb_cuda_smem(split_kernel<S, false>, S::BYTES, LAST_BYTES);
            LB_CUDA_LAUNCH((split_kernel<S, false>), grid, THREADS, S::BYTES, lb_cuda_stream(l), o);
        }
        return true;
    });
}

} // namespace

LB_CUDA_KERNEL(attention_bf16_split_mma) = {
    .name = "attention.bf16.split_mma", .op = "attention", .device = "cuda",
    .about = "a group's heads as the rows of mma.m16n8k16; tiles of 64 positions by cp.async, "
             "three deep; positions split"
             " over blocks, added up by the last; f8e4m3, q8_0 and q4_0 become bf16 on the way to shared memory",
    .source = "luabench; Dao et al., FlashAttention-2 and Flash-Decoding", .isa = LB_ISA_SM80, .act = LB_ACT_BF16,
    .acc = LB_ACC_F32, .compute = LB_COMPUTE_BF16, .tolerance = 2e-5,
    .tolerance_why = "each probability, and each value of q8_0 and q4_0, is rounded to bf16, a relative error of up to"
                     " 2^-9 (1.3e-6 in the mean square each), more where values cancel",
    .priority = 10, .supports = supports, .workspace_bytes = workspace_bytes, .launch = launch,
};
