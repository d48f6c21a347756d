/* emulator.cpp: a block's threads as fibers that take turns, one block after another; barriers, warps, copies that end
 * late; and the checks that hardware does not make. Linked into one shared object with the kernels, whose __shared__
 * variables are that object's only thread-local ones, so that they can all be found and poisoned. */
#include "emulator.h"

#include <link.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <unordered_map>
#include <vector>

#include "fiber.h"

#ifdef LB_FIBER_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace {

constexpr int WARP = 32, WARPGROUP = 128, BARRIERS = 16, MAX_THREADS = 1024;
constexpr size_t STACK_BYTES = 256 << 10, MAX_SHARED = 227 << 10, DEFAULT_SHARED = 48 << 10, GUARD = 256;
[[maybe_unused]] constexpr size_t FIRST_FRAMES = 4096;
constexpr unsigned char POISON = 0xff, CANARY = 0xa7;

enum class state : uint8_t { ready, waiting, done };

struct copy {
    unsigned char *to;
    const void *from;
    size_t size, bytes;
};
struct bulk : copy {
    uint64_t *barrier;
};
struct mbarrier {
    unsigned count, pending, phase;
    long long bytes;
};
struct thread {
    lb_fiber fiber;
    lb_emu_where where;
    state s;
    bool left_early = true;                  /* its stack may hold the sanitizer's marks of calls that never returned */
    const char *waits;                       /* for what, for the text of an error; NULL = nothing */
    std::vector<copy> copies;                /* not yet committed */
    std::vector<std::vector<copy>> groups;   /* committed */
};
struct barrier {
    int count = 0, arrived = 0;
    const char *where = nullptr;
    unsigned waiting[MAX_THREADS / WARP] = {};   /* a bit a thread */
};
/* A meeting of some threads of one warp, or of one warpgroup. */
struct meeting {
    int first, size;
    unsigned mask;
    const char *name;
    int arrived, wanted;
    std::vector<void *> given; /* by each thread, NULL by the others; one of `rooms` */
};

struct block {
    int threads = 0, alive = 0;
    unsigned ended[MAX_THREADS / WARP] = {}; /* lanes of each warp that have */
    std::vector<int> ready;
    size_t head = 0;
    barrier barriers[BARRIERS];
    std::vector<meeting> meetings;
    std::vector<bulk> bulks;
    std::unordered_map<uint64_t *, mbarrier> mbarriers;
    uint64_t polls = 0;
};

/* Of WARPGROUP, all NULL: kept, since copying them would be most of a meeting; that of the one that takes place, which
 * is no thread's own: a thread may end in the midst of it. */
std::vector<std::vector<void *>> rooms;
std::vector<void *> given;
thread *pool[MAX_THREADS];
block now;
lb_fiber scheduler;
[[maybe_unused]] bool scheduler_known;
int current = -1;
bool aborted;
char error_text[1024];
bool failed;
const char *kernel_name;
void (*thread_main)(const void *);
const void *thread_arg;
uint64_t order_seed, random_state = 1, launches, blocks_begun;
size_t shared_now;
thread_local unsigned char tls_marker;

uint64_t next_random() {
    random_state ^= random_state << 13, random_state ^= random_state >> 7, random_state ^= random_state << 17;
    return random_state >> 11;
}

void record(const char *text) {
    if (failed) return;
    failed = true;
    uint3 b = lb_emu_now ? lb_emu_now->block : uint3{ 0, 0, 0 }, t = lb_emu_now ? lb_emu_now->thread : uint3{ 0, 0, 0 };
    if (current >= 0)
        snprintf(error_text, sizeof error_text, "%s, block (%u, %u, %u), thread (%u, %u, %u): %s", kernel_name, b.x,
                 b.y,
                 b.z, t.x, t.y, t.z, text);
    else
        snprintf(error_text, sizeof error_text, "%s: %s", kernel_name, text);
}

/* ---- turns ---- */

void finish_bulk(size_t i);

void make_ready(int t) {
    pool[t]->s = state::ready;
    now.ready.push_back(t);
}

/* Says who waits for what. */
void report_stuck() {
    std::string text = "stuck: ";
    int shown = 0, finished = 0;
    for (int i = 0; i < now.threads; i++) finished += pool[i]->s == state::done;
    if (finished) text += std::to_string(finished) + " threads have ended; ";
    for (int i = 0; i < now.threads && shown < 4; i++) {
        const char *w = pool[i]->waits;
        if (pool[i]->s == state::done || (i && pool[i - 1]->s != state::done && pool[i - 1]->waits == w)) continue;
        text += (shown++ ? "; thread " : "thread ") + std::to_string(i) + " waits for " + (w ? w : "nothing");
    }
    current = -1;
    record(text.c_str());
    aborted = true;
}

int take_turn() {
    size_t left = now.ready.size() - now.head;
    if (order_seed > 1) std::swap(now.ready[now.head], now.ready[now.head + next_random() % left]);
    int t = now.ready[now.head++];
    if (now.head == now.ready.size()) now.ready.clear(), now.head = 0;
    return t;
}

/* The thread whose turn is next; -1: the block is over. Copies of the copy engine end here. */
int next_thread() {
    while (now.alive && !aborted) {
        bool idle = now.head == now.ready.size(), spinning = now.polls > 4u * (unsigned)now.threads;
        if (!now.bulks.empty() && (idle || spinning || order_seed == 0 || (order_seed > 1 && next_random() % 64 == 0)))
            finish_bulk(order_seed > 1 ? next_random() % now.bulks.size() : 0);
        else if (idle || (now.polls > 1000 + 64u * (unsigned)now.threads))
            report_stuck();
        if (!aborted && now.head != now.ready.size()) return take_turn();
    }
    return -1;
}

lb_fiber *take_place(int t) {
    current = t;
    lb_emu_now = &pool[t]->where;
    return &pool[t]->fiber;
}

/* Ends the turn: straight on to the thread whose turn is next, which may be the same. */
void leave(state s, bool last) {
    int self = current;
    pool[self]->s = s;
    if (s == state::done) now.alive--;
    int next = next_thread();
    if (next == self) return;
    lb_fiber_switch(&pool[self]->fiber, next < 0 ? &scheduler : take_place(next), last);
}

void wait_for(const char *what) {
    thread *self = pool[current];
    self->waits = what;
    now.polls = 0;
    leave(state::waiting, false);
    self->waits = NULL;
}

void fiber_main() {
#ifdef LB_FIBER_ASAN
    const void *bottom;
    size_t bytes;
    __sanitizer_finish_switch_fiber(NULL, &bottom, &bytes);
    if (!scheduler_known) {
        scheduler.stack = (char *)const_cast<void *>(bottom), scheduler.stack_bytes = bytes;
        scheduler_known = true;
    }
#endif
    thread_main(thread_arg);
    now.polls = 0;
    now.ended[current / WARP] |= 1u << current % WARP;
    pool[current]->left_early = false;
    leave(state::done, true);
    abort();
}

thread *thread_at(int i) {
    if (pool[i]) return pool[i];
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *p = (char *)mmap(NULL, STACK_BYTES + page, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                           -1, 0);
    if (p == MAP_FAILED || mprotect(p, page, PROT_NONE)) abort();
    pool[i] = new thread();
    pool[i]->fiber.stack = p + page;
    pool[i]->fiber.stack_bytes = STACK_BYTES;
    return pool[i];
}

/* ---- copies ---- */

void finish(const copy &c) {
    memcpy(c.to, c.from, c.bytes);
    memset(c.to + c.bytes, 0, c.size - c.bytes);
}

void settle(mbarrier &b) {
    if (b.pending || b.bytes) return;
    b.phase ^= 1;
    b.pending = b.count;
}

mbarrier *find_mbarrier(uint64_t *b) {
    auto at = now.mbarriers.find(b);
    if (at == now.mbarriers.end()) lb_emu_fail("an mbarrier is used that was not initialised");
    return &at->second;
}

void finish_bulk(size_t i) {
    bulk b = now.bulks[i];
    now.bulks.erase(now.bulks.begin() + (ptrdiff_t)i);
    finish(b);
    mbarrier &m = now.mbarriers[b.barrier];
    m.bytes -= (long long)b.bytes;
    settle(m);
    now.polls = 0;
}

/* ---- shared memory ---- */

struct module { const void *address; unsigned char *tls; size_t bytes; };
int find_module(struct dl_phdr_info *info, size_t, void *out) {
    module *m = (module *)out;
    bool here = false;
    size_t bytes = 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) &p = info->dlpi_phdr[i];
        uintptr_t at = (uintptr_t)m->address - info->dlpi_addr;
        if (p.p_type == PT_LOAD && at >= p.p_vaddr && at < p.p_vaddr + p.p_memsz) here = true;
        if (p.p_type == PT_TLS) bytes = p.p_memsz;
    }
    if (!here) return 0;
    m->tls = (unsigned char *)info->dlpi_tls_data;
    m->bytes = bytes;
    return 1;
}

/* The bytes of all __shared__ variables; in an object of its own, there are no others. */
module static_shared() {
    *(volatile unsigned char *)&tls_marker = POISON; /* makes the block exist */
    module m = { (const void *)(uintptr_t)&lb_emu_run, NULL, 0 };
    dl_iterate_phdr(find_module, &m);
    return m;
}

/* ---- a block ---- */

void start_threads(dim3 size, uint3 at, dim3 grid, unsigned char *shared) {
    int n = (int)(size.x * size.y * size.z);
    now = block();
    blocks_begun++;
    now.threads = now.alive = n;
    for (int i = 0; i < n; i++) {
        thread *t = thread_at(i);
        unsigned u = (unsigned)i;
        t->where = { { u % size.x, u / size.x % size.y, u / size.x / size.y }, at, size, grid, i % WARP, shared };
        t->copies.clear();
        t->groups.clear();
        t->waits = NULL;
#ifdef LB_FIBER_ASAN
        /* A thread that ended left marks of fiber_main and what it called, which did not return. */
        size_t marked = t->left_early ? t->fiber.stack_bytes : FIRST_FRAMES;
        __asan_unpoison_memory_region(t->fiber.stack + t->fiber.stack_bytes - marked, marked);
#endif
        t->left_early = true;
        lb_fiber_start(&t->fiber, fiber_main);
    }
    for (int i = 0; i < n; i++) make_ready(order_seed == 1 ? n - 1 - i : i);
}

void run_block() {
    int first = next_thread();
    if (first >= 0) lb_fiber_switch(&scheduler, take_place(first), false);
    current = -1;
    for (const meeting &m : now.meetings)
        if (!aborted) record((std::string("a warp's threads ended while others waited at ") + m.name).c_str());
    const char *left = aborted ? NULL : lb_emu_wgmma_left();
    if (left) record(left);
}

std::unordered_map<const void *, size_t> shared_most; /* of functions that asked */

const char *bad_launch(const void *function, dim3 g, dim3 b, size_t shared) {
    if (!g.x || !g.y || !g.z) return "an empty grid, which CUDA refuses";
    if (g.x > 0x7fffffffu || g.y > 65535 || g.z > 65535) return "too large a grid";
    if (!b.x || !b.y || !b.z || b.x > 1024 || b.y > 1024 || b.z > 64) return "a block of no possible shape";
    if ((uint64_t)b.x * b.y * b.z > MAX_THREADS) return "more than 1024 threads in a block";
    if (b.x * b.y * b.z % WARP) return "a block that is no whole number of warps";
    if (shared > MAX_SHARED) return "more than 227 KiB of shared memory";
    if (shared > DEFAULT_SHARED && (!shared_most.count(function) || shared_most[function] < shared))
        return "more than 48 KiB of shared memory, which cudaFuncSetAttribute was not asked for";
    return NULL;
}

} // namespace

lb_emu_where *lb_emu_now;

void lb_emu_seed(uint64_t seed) {
    order_seed = seed;
    random_state = seed * 0x9e3779b97f4a7c15u + 1;
}

uint64_t lb_emu_launches(void) { return launches; }
int lb_emu_thread(void) { return current; }
uint64_t lb_emu_blocks(void) { return blocks_begun; }
size_t lb_emu_shared_bytes(void) { return shared_now; }

const char *lb_emu_error_take(void) {
    if (!failed) return NULL;
    failed = false;
    return error_text;
}

void lb_emu_fail(const char *format, ...) {
    char text[768];
    va_list v;
    va_start(v, format);
    vsnprintf(text, sizeof text, format, v);
    va_end(v);
    record(text);
    aborted = true;
    if (current >= 0) leave(state::done, true);
    abort();
}

void lb_emu_shared_most(const void *function, size_t bytes) {
    size_t &most = shared_most[function];
    if (bytes < most) record("less shared memory than before: nodes that were captured with more would be refused");
    most = bytes;
}

void lb_emu_run(const char *kernel, const void *function, dim3 grid, dim3 size, size_t shared_bytes,
                void (*thread)(const void *), const void *arg) {
    if (failed) return;
    kernel_name = kernel, thread_main = thread, thread_arg = arg, aborted = false, current = -1;
    module tls = static_shared();
    const char *bad = bad_launch(function, grid, size, shared_bytes);
    if (!bad && !tls.tls) bad = "the emulator must be in a shared object";
    if (bad) return record(bad);
    launches++;
    shared_now = shared_bytes;
    size_t room = (shared_bytes + GUARD + 1023) / 1024 * 1024;
    unsigned char *shared = (unsigned char *)aligned_alloc(1024, room);
    if (!shared) return record("no memory for shared memory");
    memset(shared, CANARY, room);
#ifdef LB_FIBER_ASAN
    __asan_poison_memory_region(shared + shared_bytes, room - shared_bytes);
#endif
    uint64_t blocks = (uint64_t)grid.x * grid.y * grid.z;
    for (uint64_t i = 0; i < blocks && !aborted; i++) {
        /* another order, but each once: a multiplier without a common factor */
        uint64_t at = order_seed == 1 ? blocks - 1 - i : i;
        if (order_seed > 1 && blocks % 7919) at = (i * 7919 + order_seed) % blocks;
        memset(shared, POISON, shared_bytes);
        memset(tls.tls, POISON, tls.bytes);
        start_threads(size, uint3{ (unsigned)(at % grid.x), (unsigned)(at / grid.x % grid.y),
                                   (unsigned)(at / grid.x / grid.y) }, grid, shared);
        run_block();
    }
#ifdef LB_FIBER_ASAN
    __asan_unpoison_memory_region(shared + shared_bytes, room - shared_bytes);
#endif
    for (size_t i = shared_bytes; i < room; i++)
        if (shared[i] != CANARY) record("writes past the dynamic shared memory that it asked for"), i = room;
    free(shared);
    lb_emu_now = NULL;
}

/* ---- barriers ---- */

static void pass(barrier &b, int count, const char *where, bool wait, int id) {
    int wanted = count ? count : now.threads;
    if (b.arrived && b.count != wanted)
        lb_emu_fail("barrier %d is waited for by %d threads and by %d", id, b.count, wanted);
    if (b.arrived && where && b.where && where != b.where && strcmp(b.where, where))
        lb_emu_fail("threads of one block wait at different barriers, %s and %s", b.where, where);
    b.count = wanted, b.where = where;
    if (++b.arrived == wanted) {
        for (int i = 0; i < now.threads; i++) {
            int t = order_seed == 1 ? now.threads - 1 - i : i;
            if (b.waiting[t / WARP] >> t % WARP & 1) make_ready(t);
        }
        b.arrived = 0;
        memset(b.waiting, 0, sizeof b.waiting); /* nothing of this thread's own: it may not come back */
        if (wait) {
            make_ready(current);
            leave(state::ready, false);
        }
    } else if (wait) {
        b.waiting[current / WARP] |= 1u << current % WARP;
        wait_for(where ? where : "a named barrier");
    }
}

void lb_emu_barrier(int id, int count, const char *where) { pass(now.barriers[id % BARRIERS], count, where, true, id); }
void lb_emu_arrive(int id, int count) { pass(now.barriers[id % BARRIERS], count, NULL, false, id); }

void lb_emu_poll(void) {
    now.polls++;
    thread *self = pool[current];
    self->waits = "what it polls";
    make_ready(current);
    leave(state::ready, false);
    self->waits = NULL;
}

/* ---- meetings ---- */

static meeting *join(int first, int size, unsigned mask, const char *name, int wanted) {
    for (meeting &m : now.meetings) {
        if (m.first != first || m.size != size || m.mask != mask) continue;
        if (m.name != name && strcmp(m.name, name)) lb_emu_fail("its warp is in %s while it is in %s", m.name, name);
        return &m;
    }
    if (rooms.empty()) rooms.emplace_back(WARPGROUP);
    now.meetings.push_back({ first, size, mask, name, 0, wanted, std::move(rooms.back()) });
    rooms.pop_back();
    return &now.meetings.back();
}

template <class F> static void meet(int first, int size, unsigned mask, const char *name, void *mine, int wanted,
                                    F act) {
    meeting *m = join(first, size, mask, name, wanted);
    m->given[current - first] = mine;
    if (++m->arrived < wanted) return wait_for(name);
    given = std::move(m->given);
    now.meetings.erase(now.meetings.begin() + (m - now.meetings.data()));
    now.polls = 0;
    act(given.data());
    for (int i = 0; i < size; i++)
        if (given[i] && first + i != current) make_ready(first + i);
    std::fill_n(given.begin(), size, nullptr);
    rooms.push_back(std::move(given));
}

void lb_emu_warp(unsigned mask, const char *name, void *mine, void (*act)(void **, unsigned, void *), void *context) {
    int first = current / WARP * WARP, lane = current % WARP;
    if (!(mask >> lane & 1)) lb_emu_fail("%s with mask %08x, in which its lane %d is not", name, mask, lane);
    if (unsigned ended = mask & now.ended[current / WARP])
        lb_emu_fail("%s with mask %08x, of which lane %d has ended", name, mask, __builtin_ctz(ended));
    meet(first, WARP, mask, name, mine, __builtin_popcount(mask), [&](void **g) { act(g, mask, context); });
}

void lb_emu_warpgroup(const char *name, void *mine, void (*act)(void **, void *), void *context) {
    int first = current / WARPGROUP * WARPGROUP;
    if (first + WARPGROUP > now.threads) lb_emu_fail("%s in an incomplete warpgroup", name);
    meet(first, WARPGROUP, 0, name, mine, WARPGROUP, [&](void **g) { act(g, context); });
}

/* ---- copies ---- */

void lb_emu_copy_async(void *shared, const void *global, size_t size, size_t bytes) {
    if (size != 4 && size != 8 && size != 16) lb_emu_fail("cp.async of %zu bytes", size);
    if (((uintptr_t)shared | (uintptr_t)(bytes ? global : shared)) % size)
        lb_emu_fail("cp.async of %zu bytes to %p from %p, which is not aligned", size, shared, global);
    memset(shared, POISON, size);
    pool[current]->copies.push_back({ (unsigned char *)shared, global, size, bytes });
}
void lb_emu_copy_commit(void) {
    thread *t = pool[current];
    t->groups.emplace_back();
    t->groups.back().swap(t->copies);
}
void lb_emu_copy_wait(int left) {
    thread *t = pool[current];
    while ((int)t->groups.size() > left) {
        for (const copy &c : t->groups.front()) finish(c);
        t->groups.erase(t->groups.begin());
    }
}
void lb_emu_copy_bulk(void *shared, const void *global, size_t bytes, uint64_t *barrier_) {
    if (((uintptr_t)shared | (uintptr_t)global | bytes) % 16)
        lb_emu_fail("a bulk copy of %zu bytes to %p from %p: all must be multiples of 16", bytes, shared, global);
    find_mbarrier(barrier_);
    memset(shared, POISON, bytes);
    bulk b;
    b.to = (unsigned char *)shared, b.from = global, b.size = b.bytes = bytes, b.barrier = barrier_;
    now.bulks.push_back(b);
}

void lb_emu_mbarrier_init(uint64_t *b, unsigned count) {
    if ((uintptr_t)b % 8) lb_emu_fail("an mbarrier that is not aligned to 8 bytes");
    now.mbarriers[b] = { count, count, 0, 0 };
}
void lb_emu_mbarrier_arrive(uint64_t *b, unsigned expect_bytes) {
    mbarrier *m = find_mbarrier(b);
    if (!m->pending) lb_emu_fail("more threads arrive at an mbarrier than it was made for");
    m->bytes += expect_bytes;
    m->pending--;
    settle(*m);
    now.polls = 0;
}
void lb_emu_mbarrier_wait(uint64_t *b, unsigned parity) {
    while (find_mbarrier(b)->phase == (parity & 1)) lb_emu_poll();
}
