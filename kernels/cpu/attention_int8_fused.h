/* attention_int8_fused.h: values of one block of positions and scores of the next in one loop, for rows that are lanes:
 * attention_int8_lanes_avx512.c includes it. Scores alone keep the loads and all four vector units busy, values the two
 * units that multiply; one behind the other, each waits for what the other leaves idle. Each step adds two positions'
 * values of a block of 32 and meets half of such a block of four keys, instructions by turns: two steps a block, eight
 * steps four keys. Four, because loads bound it: q's registers are loaded in every step.
 *
 * Rows of the cache lie one behind the other, so that their places are displacements.
 *
 * zmm0 to 15: sums of values; 16, 17: two positions' codes side by side; 18, 19: what makes them; 20: what makes keys
 * unsigned; 21, 22, 29: for the moment; 23 to 26: sums of four keys; 27: q; 28, 30: scores; 31: the largest. */

/* Row r of p meets the codes, in step `i`. */
#define FUSED_ROW(r, low, high, i)                                                                                  \
    "vpbroadcastd 64*" #i "+" P_AT(r) "(%[p]), %%zmm21\n\tvpdpwssd %%zmm21, %%zmm16, %%zmm" #low "\n\t"              \
    "vpdpwssd %%zmm21, %%zmm17, %%zmm" #high "\n\t"
#define FUSED_ROW_5(i) FUSED_ROW(5, 5, 13, i)
#define FUSED_ROW_6(i) FUSED_ROW(6, 6, 14, i)
#define FUSED_ROW_7(i) FUSED_ROW(7, 7, 15, i)
#define FUSED_NONE(i)

/* As PAIRS_ of attention_int8_few.h. k1: every other byte. */
#define FUSED_CODES_Q8_0(i)                                                                                         \
    "vmovdqu64 2+272*" #i "(%[v]), %%ymm17\n\tvmovdqu64 138+272*" #i "(%[v]), %%ymm22\n\t"                          \
    "vpunpcklbw %%ymm22, %%ymm17, %%ymm16\n\tvpunpckhbw %%ymm22, %%ymm17, %%ymm17\n\t"                             \
    "vpmovsxbw %%ymm16, %%zmm16\n\tvpmovsxbw %%ymm17, %%zmm17\n\t"
#define FUSED_CODES_Q4_0(i)                                                                                         \
    "vmovdqu32 2+144*" #i "(%[v]), %%xmm22\n\tvinserti32x4 $1, 74+144*" #i "(%[v]), %%ymm22, %%ymm22\n\t"           \
    "vpermb %%zmm22, %%zmm18, %%zmm16%{%%k1%}%{z%}\n\tvpsrlw $4, %%zmm16, %%zmm17\n\t"                             \
    "vpandd %%zmm20, %%zmm16, %%zmm16\n\tvpaddw %%zmm19, %%zmm17, %%zmm17\n\tvpaddw %%zmm19, %%zmm16, %%zmm16\n\t"

/* Four keys, rows `bytes` apart: eight codes of each, `at` bytes on, and q's register `j`. */
#define FUSED_ONE(how, at, sum)                                                                                     \
    how " " at "(%[k])%{1to8%}, %%zmm20, %%zmm22\n\tvpdpbusd %%zmm27, %%zmm22, %%zmm" #sum "\n\t"
#define FUSED_Q(j) "vmovdqa64 64*(" #j ")(%[q]), %%zmm27\n\t"
#define FUSED_TWO_Q8_0(at) FUSED_ONE("vpxorq", at, 23) FUSED_ONE("vpxorq", "136+" at, 24)
#define FUSED_TWO_MORE_Q8_0(at) FUSED_ONE("vpxorq", "272+" at, 25) FUSED_ONE("vpxorq", "408+" at, 26)
#define FUSED_TWO_Q4_0(how, at) FUSED_ONE(how, at, 23) FUSED_ONE(how, "72+" at, 24)
#define FUSED_TWO_MORE_Q4_0(how, at) FUSED_ONE(how, "144+" at, 25) FUSED_ONE(how, "216+" at, 26)
#define FUSED_START(b)                                                                                              \
    "vmovdqa64 1024+64*" #b "(%[q]), %%zmm23\n\tvmovdqa64 %%zmm23, %%zmm24\n\t"                                    \
    "vmovdqa64 %%zmm23, %%zmm25\n\tvmovdqa64 %%zmm23, %%zmm26\n\t"
#define FUSED_TIMES_16                                                                                              \
    "vpslld $4, %%zmm23, %%zmm23\n\tvpslld $4, %%zmm24, %%zmm24\n\tvpslld $4, %%zmm25, %%zmm25\n\t"               \
    "vpslld $4, %%zmm26, %%zmm26\n\t"
/* The four parts of a step's keys: the first half of block b, the second. */
#define FUSED_A0_Q8_0(b) FUSED_START(b) FUSED_Q(4 * b) FUSED_TWO_Q8_0("2+34*" #b)
#define FUSED_A1_Q8_0(b) FUSED_TWO_MORE_Q8_0("2+34*" #b)
#define FUSED_A2_Q8_0(b) FUSED_Q(4 * b + 1) FUSED_TWO_Q8_0("10+34*" #b)
#define FUSED_A3_Q8_0(b) FUSED_TWO_MORE_Q8_0("10+34*" #b)
#define FUSED_B0_Q8_0(b) FUSED_Q(4 * b + 2) FUSED_TWO_Q8_0("18+34*" #b)
#define FUSED_B1_Q8_0(b) FUSED_TWO_MORE_Q8_0("18+34*" #b)
#define FUSED_B2_Q8_0(b) FUSED_Q(4 * b + 3) FUSED_TWO_Q8_0("26+34*" #b)
#define FUSED_B3_Q8_0(b) FUSED_TWO_MORE_Q8_0("26+34*" #b)
#define FUSED_A0_Q4_0(b) FUSED_START(b) FUSED_Q(4 * b) FUSED_TWO_Q4_0("vpandq", "2+18*" #b)
#define FUSED_A1_Q4_0(b) FUSED_TWO_MORE_Q4_0("vpandq", "2+18*" #b)
#define FUSED_A2_Q4_0(b) FUSED_Q(4 * b + 1) FUSED_TWO_Q4_0("vpandq", "10+18*" #b)
#define FUSED_A3_Q4_0(b) FUSED_TWO_MORE_Q4_0("vpandq", "10+18*" #b)
#define FUSED_B0_Q4_0(b) FUSED_TIMES_16 FUSED_Q(4 * b + 2) FUSED_TWO_Q4_0("vpandnq", "2+18*" #b)
#define FUSED_B1_Q4_0(b) FUSED_TWO_MORE_Q4_0("vpandnq", "2+18*" #b)
#define FUSED_B2_Q4_0(b) FUSED_Q(4 * b + 3) FUSED_TWO_Q4_0("vpandnq", "10+18*" #b)
#define FUSED_B3_Q4_0(b) FUSED_TWO_MORE_Q4_0("vpandnq", "10+18*" #b)
/* See TO_SCORES: sums c and d of two keys whose factors are `at` and `other` bytes on. */
#define FUSED_TO_SCORES(b, c, d, at, other, op, scores)                                                             \
    "vshufps $0x88, %%zmm" #d ", %%zmm" #c ", %%zmm22\n\tvshufps $0xdd, %%zmm" #d ", %%zmm" #c ", %%zmm29\n\t"      \
    "vpaddd %%zmm22, %%zmm29, %%zmm22\n\tvcvtdq2ps %%zmm22, %%zmm22\n\t"                                           \
    "vpbroadcastw " at "(%[k]), %%ymm29\n\tvpbroadcastw " other "(%[k]), %%ymm29%{%%k2%}\n\t"                      \
    "vcvtph2ps %%ymm29, %%zmm29\n\tvmulps 1280+64*" #b "(%[q]), %%zmm22, %%zmm22\n\t"                              \
    op " %%zmm29, %%zmm22, %%zmm" #scores "\n\t"
#define FUSED_FIRST_Q8_0(b, op) FUSED_TO_SCORES(b, 23, 24, "34*" #b, "136+34*" #b, op, 28)
#define FUSED_LAST_Q8_0(b, op) FUSED_TO_SCORES(b, 25, 26, "272+34*" #b, "408+34*" #b, op, 30)
#define FUSED_FIRST_Q4_0(b, op) FUSED_TO_SCORES(b, 23, 24, "18*" #b, "72+18*" #b, op, 28)
#define FUSED_LAST_Q4_0(b, op) FUSED_TO_SCORES(b, 25, 26, "144+18*" #b, "216+18*" #b, op, 30)

/* Two steps: block b; the sums of the second of them become scores. Lines are asked for on the way. */
#define FUSED_ASK(i, ask_k, ask_v)                                                                                  \
    "prefetcht0 " #ask_k "*" #i "(%[next_k])\n\tprefetcht0 " #ask_v "*" #i "(%[next_v])\n\t"
#define FUSED_BLOCK(type, ask_k, ask_v, op, b, i, j, R5, R6, R7)                                                    \
    FUSED_CODES_##type(i) FUSED_ROW(0, 0, 8, i) FUSED_A0_##type(b) FUSED_ROW(1, 1, 9, i)                            \
    FUSED_ROW(2, 2, 10, i) FUSED_A1_##type(b) FUSED_ROW(3, 3, 11, i) FUSED_ASK(i, ask_k, ask_v)                     \
    FUSED_ROW(4, 4, 12, i) FUSED_A2_##type(b) R5(i) R6(i) FUSED_A3_##type(b) R7(i)                                  \
    FUSED_CODES_##type(j) FUSED_ROW(0, 0, 8, j) FUSED_B0_##type(b) FUSED_ROW(1, 1, 9, j)                            \
    FUSED_B1_##type(b) FUSED_ROW(2, 2, 10, j) FUSED_B2_##type(b) FUSED_ROW(3, 3, 11, j) FUSED_B3_##type(b)          \
    FUSED_ROW(4, 4, 12, j) FUSED_ASK(j, ask_k, ask_v) R5(j) FUSED_FIRST_##type(b, op) R6(j) R7(j)                   \
    FUSED_LAST_##type(b, op)
/* See KEEP_SCORES. */
#define FUSED_KEEP(less)                                                                                            \
    less " %%zmm20, %%zmm28, %%zmm28\n\tvmovaps %%zmm28, (%[s])\n\tvmaxps %%zmm31, %%zmm28, %%zmm31\n\t"           \
    less " %%zmm20, %%zmm30, %%zmm30\n\tvmovaps %%zmm30, 64(%[s])\n\tvmaxps %%zmm31, %%zmm30, %%zmm31\n\t"
#define FUSED_Q8_0(...)                                                                                             \
    FUSED_BLOCK(Q8_0, 44, 60, "vmulps", 0, 0, 1, __VA_ARGS__)                                                       \
    FUSED_BLOCK(Q8_0, 44, 60, "vfmadd231ps", 1, 2, 3, __VA_ARGS__)                                                  \
    FUSED_BLOCK(Q8_0, 44, 60, "vfmadd231ps", 2, 4, 5, __VA_ARGS__)                                                  \
    FUSED_BLOCK(Q8_0, 44, 60, "vfmadd231ps", 3, 6, 7, __VA_ARGS__) FUSED_KEEP("vfmadd231ps")                        \
    "add $8*44, %[next_k]\n\tadd $8*60, %[next_v]\n\tadd $16*136, %[v]\n\tadd $4*136, %[k]\n\t"
#define FUSED_Q4_0(...)                                                                                             \
    FUSED_BLOCK(Q4_0, 12, 28, "vmulps", 0, 0, 1, __VA_ARGS__)                                                       \
    FUSED_BLOCK(Q4_0, 12, 28, "vfmadd231ps", 1, 2, 3, __VA_ARGS__)                                                  \
    FUSED_BLOCK(Q4_0, 12, 28, "vfmadd231ps", 2, 4, 5, __VA_ARGS__)                                                  \
    FUSED_BLOCK(Q4_0, 12, 28, "vfmadd231ps", 3, 6, 7, __VA_ARGS__) FUSED_KEEP("vfnmadd231ps")                       \
    "add $8*12, %[next_k]\n\tadd $8*28, %[next_v]\n\tadd $16*72, %[v]\n\tadd $4*72, %[k]\n\t"

/* Sums of a row in the order of values: unpacked, runs of eight by turns (q8_0). */
#define FUSED_SORT_Q8_0(r, low, high, temp)                                                                         \
    "vshuff64x2 $0xee, %%zmm" #high ", %%zmm" #low ", %%zmm22\n\t"                                                  \
    "vinserti64x4 $1, %%ymm" #high ", %%zmm" #low ", %%zmm" #low "\n\tvmovdqa64 %%zmm22, %%zmm" #high "\n\t"

#define FUSED_SORT_Q4_0(...)

/* What goes on from a quarter of the block to the next. */
typedef struct fused {
    const char *keys, *values, *next_k, *next_v; /* values: of the quarter */
    float *scores;
    __m512 most;
} fused;

/* As a value tile (VALUE_TILE), and the scores of 16 keys. */
#define FUSED_TILE(name, TYPE, n, flip_bytes, second, R5, R6, R7)                                                   \
    static __attribute__((noinline)) void name##_##n(fused *f, const lanes *q, const void *p,                       \
                                                     const lb_pair_constants *c, const float *by, float *out,       \
                                                     int64_t stride) {                                              \
        int64_t left = BLOCK / 16;                                                                                  \
        const char *k = f->keys, *next_k = f->next_k, *next_v = f->next_v, *v = f->values;                          \
        float *s = f->scores;                                                                                       \
        __asm__ volatile("mov $" flip_bytes ", %k[left]\n\tvpbroadcastd %k[left], %%zmm20\n\t"                     \
                         "mov $0xcccc, %k[left]\n\tkmovd %k[left], %%k2\n\tmov $4, %k[left]\n\t"                  \
                         "vmovdqa64 (%[c]), %%zmm18\n\tvmovdqa64 " second "(%[c]), %%zmm19\n\t"                   \
                         "kmovq 192(%[c]), %%k1\n\tvmovaps %[most], %%zmm31\n\t" ROWS_##n(CLEAR)                    \
                         ".p2align 6\n1:\n\t" FUSED_##TYPE(R5, R6, R7)                                             \
                         "add $128, %[s]\n\tadd $512, %[p]\n\tdec %[left]\n\tjnz 1b\n\t"                            \
                         "vmovaps %%zmm31, %[most]\n\t" ROWS_##n(FUSED_SORT_##TYPE) ROWS_##n(KEEP)                \
                         : [p] "+r"(p), [v] "+r"(v), [k] "+r"(k), [s] "+r"(s), [next_k] "+r"(next_k),               \
                           [next_v] "+r"(next_v), [left] "=&r"(left), [x] "+r"(out), [most] "+m"(f->most)            \
                         : [q] "r"(q), [c] "r"(c), [by] "r"(by), [stride] "r"(stride)                               \
                         : T6_CLOBBERS, "k1", "k2");                                                                \
        f->keys = k, f->next_k = next_k, f->next_v = next_v, f->scores = s;                                         \
    }
#define FUSED_TILES(name, TYPE, flip_bytes, second)                                                                 \
    FUSED_TILE(name, TYPE, 5, flip_bytes, second, FUSED_NONE, FUSED_NONE, FUSED_NONE)                               \
    FUSED_TILE(name, TYPE, 6, flip_bytes, second, FUSED_ROW_5, FUSED_NONE, FUSED_NONE)                              \
    FUSED_TILE(name, TYPE, 7, flip_bytes, second, FUSED_ROW_5, FUSED_ROW_6, FUSED_NONE)                             \
    FUSED_TILE(name, TYPE, 8, flip_bytes, second, FUSED_ROW_5, FUSED_ROW_6, FUSED_ROW_7)
FUSED_TILES(fused_q8_0, Q8_0, "0x80808080", "64")
FUSED_TILES(fused_q4_0, Q4_0, "0x0f0f0f0f", "128")
typedef void (*fused_fn)(fused *, const lanes *, const void *, const lb_pair_constants *, const float *, float *,
                         int64_t);
static const fused_fn fused_tiles[][4] = { { fused_q8_0_5, fused_q8_0_6, fused_q8_0_7, fused_q8_0_8 },
                                           { fused_q4_0_5, fused_q4_0_6, fused_q4_0_7, fused_q4_0_8 } };
