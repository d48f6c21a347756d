/* wgmma.cpp: a warpgroup's products on the CPU: under way from where they are issued until they are waited for. */
#include "cut.h"
#include "emulator.h"

#include <stdlib.h>
#include <string.h>

#include <memory>
#include <vector>

namespace {

enum { THREADS = 128, ROWS = 64, DEPTH = 16, MOST = 256, GROUPS = 8 };
constexpr uint32_t UNDER_WAY = 0xffdeadffu; /* a NaN: sums that are read too soon */

/* What one thread brings. */
struct issue { float *d; const uint32_t *a; uint64_t a_tile, b_tile; bool transposed, first; int n; };

struct sums {
    float *d[THREADS];               /* where the threads have them */
    int n, under_way;
    float values[ROWS * MOST];
};
struct product {
    std::shared_ptr<sums> to;
    bool in_registers, transposed, first, done;
    uint64_t a_tile, b_tile;
    uint32_t a[THREADS][4];
};
struct warpgroup {
    bool fenced = false;
    std::vector<std::shared_ptr<sums>> live;
    std::vector<product> open;                   /* not committed */
    std::vector<std::vector<product>> groups;    /* committed */
};
warpgroup all[GROUPS];
uint64_t block_seen;

/* The caller's; those of a block before are forgotten (lb_emu_block_end has looked at them). */
warpgroup *mine() {
    if (block_seen != lb_emu_blocks()) {
        for (warpgroup &g : all) g = warpgroup();
        block_seen = lb_emu_blocks();
    }
    return &all[lb_emu_thread() / THREADS];
}

/* ---- operands ---- */

/* Bits 7 to 9 of the address are added to bits 4 to 6 without carry; of rows of 32 bytes bit 7 to bit 4. */
float value_at(uint64_t tile, uint64_t byte) {
    byte ^= (byte >> 7 & (tile >> 62 == 1 ? 7 : 1)) << 4;
    if (byte + 2 > lb_emu_shared_bytes()) lb_emu_fail("wgmma reads past the dynamic shared memory, at byte %llu",
                                                      (unsigned long long)byte);
    uint16_t h;
    memcpy(&h, lb_emu_now->shared + byte, 2);
    uint32_t u = (uint32_t)h << 16;
    float f;
    memcpy(&f, &u, 4);
    return f;
}
void check_tile(uint64_t tile, bool transposed) {
    if (tile >> 62 != 1 && (tile >> 62 != 3 || transposed))
        lb_emu_fail("wgmma: a descriptor without the 128-byte swizzle");
    unsigned long long group = tile >> 62 == 1 ? 1024 : 256, step = (tile >> 32 & 0x3fff) << 4;
    if (step != group)
        lb_emu_fail("wgmma: a descriptor whose groups of eight rows are %llu bytes apart, not %llu", step, group);
    if (tile >> 62 == 3 && (tile & 15)) lb_emu_fail("wgmma: a narrow tile that begins within 256 bytes");
}
/* Element (row, k) of rows of 128 (32) bytes along k. */
float along_k(uint64_t tile, int row, int k) {
    uint64_t at = (tile & 0x3fff) << 4, step = (tile >> 32 & 0x3fff) << 4;
    return value_at(tile, at + (uint64_t)(row / 8) * step + (uint64_t)(row % 8) * step / 8 + (uint64_t)k * 2);
}
/* Element (k, column) of rows of 128 bytes along the columns. */
float along_columns(uint64_t tile, int k, int column) {
    uint64_t at = (tile & 0x3fff) << 4, apart = (tile >> 16 & 0x3fff) << 4, step = (tile >> 32 & 0x3fff) << 4;
    return value_at(tile, at + (uint64_t)(column / 64) * apart + (uint64_t)(column % 64) * 2 +
                    (uint64_t)(k / 8) * step + (uint64_t)(k % 8) * 128);
}
float half_of(uint32_t w, int half) {
    uint32_t u = half ? w & 0xffff0000u : w << 16;
    float f;
    memcpy(&f, &u, 4);
    return f;
}

struct operands { double a[ROWS][DEPTH], b[DEPTH][MOST]; };

void load(const product &p, operands *o) {
    int n = p.to->n;
    for (int t = 0; t < THREADS && p.in_registers; t++)
        for (int i = 0; i < 8; i++)
            o->a[t / 32 * 16 + t % 32 / 4 + i / 2 % 2 * 8][t % 4 * 2 + i / 4 * 8 + i % 2] =
                half_of(p.a[t][i / 2], i % 2);
    for (int r = 0; r < ROWS && !p.in_registers; r++)
        for (int k = 0; k < DEPTH; k++) o->a[r][k] = along_k(p.a_tile, r, k);
    for (int k = 0; k < DEPTH; k++)
        for (int c = 0; c < n; c++) o->b[k][c] = p.transposed ? along_columns(p.b_tile, k, c) : along_k(p.b_tile, c, k);
}

LB_EMU_PLAIN void multiply(const operands *o, int n, bool first, float *values) {
    for (int r = 0; r < ROWS; r++) {
        double row[MOST];
        for (int c = 0; c < n; c++) row[c] = first ? 0.0 : (double)values[r * n + c];
        for (int k = 0; k < DEPTH; k += LB_EMU_CUT_EACH)
            lb_emu_cut_add(row, n, &o->a[r][k], o->b[k], MOST, LB_EMU_CUT_EACH, LB_EMU_CUT_BITS);
        for (int c = 0; c < n; c++) values[r * n + c] = (float)row[c];
    }
}

void run(product *p) {
    static operands o;
    if (p->done) return;
    load(*p, &o);
    multiply(&o, p->to->n, p->first, p->to->values);
    p->done = true;
}

/* Where thread t has result i of its own: row and column of the product. */
int place_of(int t, int i, int n) {
    return (t / 32 * 16 + t % 32 / 4 + i / 2 % 2 * 8) * n + i / 4 * 8 + t % 4 * 2 + i % 2;
}

std::shared_ptr<sums> sums_of(warpgroup *g, issue *const *in) {
    for (const std::shared_ptr<sums> &s : g->live)
        if (s->d[0] == in[0]->d) return s;
    std::shared_ptr<sums> s = std::make_shared<sums>();
    s->n = in[0]->n, s->under_way = 0;
    for (int t = 0; t < THREADS; t++) {
        s->d[t] = in[t]->d;
        for (int i = 0; i < s->n / 2; i++) {
            s->values[place_of(t, i, s->n)] = in[t]->d[i];
            memcpy(&in[t]->d[i], &UNDER_WAY, 4);
        }
    }
    g->live.push_back(s);
    return s;
}

/* Into the threads' registers, when nothing more is under way to them. */
void retire(warpgroup *g, const std::shared_ptr<sums> &s) {
    if (--s->under_way) return;
    for (int t = 0; t < THREADS; t++)
        for (int i = 0; i < s->n / 2; i++) s->d[t][i] = s->values[place_of(t, i, s->n)];
    for (size_t i = 0; i < g->live.size(); i++)
        if (g->live[i] == s) {
            g->live.erase(g->live.begin() + (long)i);
            break;
        }
}

void issue_all(void **threads, void *) {
    issue *const *in = (issue *const *)threads;
    warpgroup *g = mine();
    if (!g->fenced) lb_emu_fail("wgmma: no wgmma.fence since registers could be written");
    for (int t = 1; t < THREADS; t++)
        if (in[t]->b_tile != in[0]->b_tile || in[t]->a_tile != in[0]->a_tile || in[t]->first != in[0]->first)
            lb_emu_fail("wgmma: a warpgroup's threads give different descriptors");
    check_tile(in[0]->b_tile, in[0]->transposed);
    if (!in[0]->a) check_tile(in[0]->a_tile, false);
    product p = {};
    p.to = sums_of(g, in);
    p.to->under_way++;
    p.in_registers = in[0]->a, p.transposed = in[0]->transposed, p.first = in[0]->first;
    p.a_tile = in[0]->a_tile, p.b_tile = in[0]->b_tile;
    for (int t = 0; t < THREADS && p.in_registers; t++) memcpy(p.a[t], in[t]->a, sizeof p.a[t]);
    if (lb_emu_launches() % 2) run(&p);
    g->open.push_back(p);
}
void commit_all(void **, void *) {
    warpgroup *g = mine();
    g->groups.emplace_back();
    g->groups.back().swap(g->open);
}
void fence_all(void **, void *) { mine()->fenced = true; }
void wait_all(void **, void *left) {
    warpgroup *g = mine();
    g->fenced = false;
    while (g->groups.size() > (size_t)*(int *)left) {
        for (product &p : g->groups.front()) {
            run(&p);
            retire(g, p.to);
        }
        g->groups.erase(g->groups.begin());
    }
}

} // namespace

void lb_emu_wgmma_product(int n, float *d, const uint32_t *a, uint64_t a_tile, uint64_t b_tile, bool transposed,
                          bool first) {
    issue mine = { d, a, a_tile, b_tile, transposed, first, n };
    lb_emu_warpgroup("wgmma", &mine, issue_all, NULL);
}
void lb_emu_wgmma_fence(void) {
    char any;
    lb_emu_warpgroup("wgmma.fence", &any, fence_all, NULL);
}
void lb_emu_wgmma_commit(void) {
    char any;
    lb_emu_warpgroup("wgmma.commit_group", &any, commit_all, NULL);
}
void lb_emu_wgmma_wait(int left) {
    lb_emu_warpgroup("wgmma.wait_group", &left, wait_all, &left);
}
const char *lb_emu_wgmma_left(void) {
    if (block_seen != lb_emu_blocks()) return NULL;
    for (warpgroup &g : all)
        if (!g.open.empty() || !g.groups.empty()) return "a block ended before it waited for its wgmma products";
    return NULL;
}
