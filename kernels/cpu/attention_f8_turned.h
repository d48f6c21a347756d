/* attention_f8_turned.h: scores of 32 positions of e4m3 and 8 rows of q, 128 values (attention_bf16_decode_avx512.c).
 * A lane is a position, so that no sums of lanes have to be brought together: 16 bytes of 16 keys are turned around as
 * they are, which is half of the work that bf16 would be, and become bf16 by tables after it. This happens beside the
 * products of the 16 bytes before, instructions by turns: products keep two of the four vector units busy.
 *
 * Keys lie one behind the other. zmm0 to 7: sums of positions 0 to 15 by row; 8 to 15: of the others; 16 to 18: two
 * dimensions of the keys and of q; 24 to 28: tables, the sign; the others for turning. */

#define TURNED_ROW(r, low, high, k)                                                                                 \
    "vpbroadcastd 256*" #r "+4*" #k "(%[q]), %%zmm18\n\tvdpbf16ps %%zmm18, %%zmm16, %%zmm" #low "\n\t"              \
    "vdpbf16ps %%zmm18, %%zmm17, %%zmm" #high "\n\t"
#define TURNED_KEYS(k) "vmovdqa64 128*" #k "(%[w]), %%zmm16\n\tvmovdqa64 64+128*" #k "(%[w]), %%zmm17\n\t"
/* Two dimensions, a line asked for, and what goes on beside them. */
#define TURNED_STEP(k, a, b, c)                                                                                     \
    TURNED_KEYS(k) "prefetcht0 (%[next])\n\tadd %[step], %[next]\n\t"                                               \
    TURNED_ROW(0, 0, 8, k) a TURNED_ROW(1, 1, 9, k) TURNED_ROW(2, 2, 10, k) b TURNED_ROW(3, 3, 11, k)               \
    TURNED_ROW(4, 4, 12, k) c TURNED_ROW(5, 5, 13, k) TURNED_ROW(6, 6, 14, k) TURNED_ROW(7, 7, 15, k)

/* Keys row, row + 4, row + 8 and row + 12: 16 bytes of each. */
#define TURNED_LOAD(row, to)                                                                                        \
    "vmovdqu32 128*(" #row ")(%[k]), %%xmm" #to "\n\t"                                                                \
    "vinserti32x4 $1, 512+128*(" #row ")(%[k]), %%zmm" #to ", %%zmm" #to "\n\t"                                     \
    "vinserti32x4 $2, 1024+128*(" #row ")(%[k]), %%zmm" #to ", %%zmm" #to "\n\t"                                    \
    "vinserti32x4 $3, 1536+128*(" #row ")(%[k]), %%zmm" #to ", %%zmm" #to "\n\t"
/* Rows into columns of two bytes: zmm22, 23, 29, 30 have four dimensions each, of four keys in each quarter the first
 * two dimensions, then the others. */
#define TURNED_TURN_1                                                                                               \
    "vpunpcklwd %%zmm22, %%zmm20, %%zmm29\n\tvpunpckhwd %%zmm22, %%zmm20, %%zmm20\n\t"                              \
    "vpunpcklwd %%zmm23, %%zmm21, %%zmm30\n\tvpunpckhwd %%zmm23, %%zmm21, %%zmm21\n\t"
#define TURNED_TURN_2                                                                                               \
    "vpunpcklwd %%zmm30, %%zmm29, %%zmm22\n\tvpunpckhwd %%zmm30, %%zmm29, %%zmm23\n\t"                              \
    "vpunpcklwd %%zmm21, %%zmm20, %%zmm29\n\tvpunpckhwd %%zmm21, %%zmm20, %%zmm30\n\t"
/* Four dimensions as bf16, to `at`. */
#define TURNED_WIDEN(from, at)                                                                                      \
    "vmovdqa64 %%zmm" #from ", %%zmm19\n\tvpermi2b %%zmm25, %%zmm24, %%zmm19\n\t"                                   \
    "vmovdqa64 %%zmm" #from ", %%zmm31\n\tvpermi2b %%zmm27, %%zmm26, %%zmm31\n\t"                                   \
    "vpternlogd $0xf8, %%zmm28, %%zmm" #from ", %%zmm19\n\t"                                                        \
    "vpunpcklbw %%zmm19, %%zmm31, %%zmm20\n\tvmovdqa64 %%zmm20, " #at "(%[other])\n\t"                              \
    "vpunpckhbw %%zmm19, %%zmm31, %%zmm21\n\tvmovdqa64 %%zmm21, 128+" #at "(%[other])\n\t"
#define TURNED_HALF(row, at)                                                                                        \
    TURNED_LOAD(row, 20) TURNED_LOAD(row + 1, 21) TURNED_LOAD(row + 2, 22) TURNED_LOAD(row + 3, 23) TURNED_TURN_1   \
    TURNED_TURN_2 TURNED_WIDEN(22, at) TURNED_WIDEN(23, 256 + at) TURNED_WIDEN(29, 512 + at)                        \
    TURNED_WIDEN(30, 768 + at)
#define TURNED_GROUP                                                                                                \
    TURNED_STEP(0, TURNED_LOAD(0, 20), TURNED_LOAD(1, 21), )                                                        \
    TURNED_STEP(1, TURNED_LOAD(2, 22), TURNED_LOAD(3, 23), TURNED_TURN_1)                                           \
    TURNED_STEP(2, TURNED_TURN_2, TURNED_WIDEN(22, 0), )                                                            \
    TURNED_STEP(3, TURNED_WIDEN(23, 256), TURNED_WIDEN(29, 512), TURNED_WIDEN(30, 768))                             \
    TURNED_STEP(4, TURNED_LOAD(16, 20), TURNED_LOAD(17, 21), )                                                      \
    TURNED_STEP(5, TURNED_LOAD(18, 22), TURNED_LOAD(19, 23), TURNED_TURN_1)                                         \
    TURNED_STEP(6, TURNED_TURN_2, TURNED_WIDEN(22, 64), )                                                           \
    TURNED_STEP(7, TURNED_WIDEN(23, 320), TURNED_WIDEN(29, 576), TURNED_WIDEN(30, 832))

#define TURNED_TABLES                                                                                               \
    "vmovdqu64 (%[high]), %%zmm24\n\tvmovdqu64 64(%[high]), %%zmm25\n\t"                                            \
    "vmovdqu64 (%[low]), %%zmm26\n\tvmovdqu64 64(%[low]), %%zmm27\n\tvpbroadcastd %[sign], %%zmm28\n\t"
#define TURNED_CLEAR(r) "vpxord %%zmm" #r ", %%zmm" #r ", %%zmm" #r "\n\t"
#define TURNED_KEEP(r, low, high)                                                                                   \
    "vmovups %%zmm" #low ", 256*" #r "(%[s])\n\tvmovups %%zmm" #high ", 64+256*" #r "(%[s])\n\t"
#define TURNED_CLOBBERS                                                                                             \
    "memory", "cc", "zmm0", "zmm1", "zmm2", "zmm3", "zmm4", "zmm5", "zmm6", "zmm7", "zmm8", "zmm9", "zmm10", "zmm11", \
        "zmm12", "zmm13", "zmm14", "zmm15", "zmm16", "zmm17", "zmm18", "zmm19", "zmm20", "zmm21", "zmm22", "zmm23",  \
        "zmm24", "zmm25", "zmm26", "zmm27", "zmm28", "zmm29", "zmm30", "zmm31"

enum { TURNED = 32 /* positions */, TURNED_BYTES = 2048 };
static const uint32_t turned_sign = 0x80808080;

/* The first 16 bytes of 32 keys at k, as bf16 to `to` [2 dimensions][32 positions]. */
static __attribute__((noinline)) void turned_first(const char *k, char *to) {
    __asm__ volatile(TURNED_TABLES TURNED_HALF(0, 0) TURNED_HALF(16, 64)
                     :
                     : [k] "r"(k), [other] "r"(to), [high] "r"(lb_f8_bf16_high), [low] "r"(lb_f8_bf16_low),
                       [sign] "m"(turned_sign)
                     : TURNED_CLOBBERS);
}

/* s[row][32 of 64] = the products of 8 rows of q, 256 bytes each, with 32 keys at k, whose first 16 bytes are in w;
 * then it has those of the keys at `after`. w: TURNED_BYTES, at a multiple of them. On the way 64 lines are asked for,
 * `step` bytes apart. */
static __attribute__((noinline)) void turned_tile(const char *q, const char *k, const char *after, char *w, float *s,
                                                  const char *next, int64_t step) {
    char *other = w + TURNED_BYTES / 2;
    int left = 8;
    __asm__ volatile(TURNED_TABLES
                     TURNED_CLEAR(0) TURNED_CLEAR(1) TURNED_CLEAR(2) TURNED_CLEAR(3) TURNED_CLEAR(4) TURNED_CLEAR(5)
                     TURNED_CLEAR(6) TURNED_CLEAR(7) TURNED_CLEAR(8) TURNED_CLEAR(9) TURNED_CLEAR(10) TURNED_CLEAR(11)
                     TURNED_CLEAR(12) TURNED_CLEAR(13) TURNED_CLEAR(14) TURNED_CLEAR(15)
                     ".p2align 6\n1:\n\tadd $16, %[k]\n\tcmp $1, %[left]\n\tcmove %[after], %[k]\n\t" TURNED_GROUP
                     "add $32, %[q]\n\txor $1024, %[w]\n\txor $1024, %[other]\n\tdec %[left]\n\tjnz 1b\n\t"
                     TURNED_KEEP(0, 0, 8) TURNED_KEEP(1, 1, 9) TURNED_KEEP(2, 2, 10) TURNED_KEEP(3, 3, 11)
                     TURNED_KEEP(4, 4, 12) TURNED_KEEP(5, 5, 13) TURNED_KEEP(6, 6, 14) TURNED_KEEP(7, 7, 15)
                     : [q] "+r"(q), [k] "+r"(k), [w] "+r"(w), [other] "+r"(other), [next] "+r"(next), [left] "+r"(left)
                     : [s] "r"(s), [after] "r"(after), [high] "r"(lb_f8_bf16_high), [low] "r"(lb_f8_bf16_low),
                       [sign] "m"(turned_sign), [step] "r"(step)
                     : TURNED_CLOBBERS);
}
