/* driver.c: mutates the corpus and runs a fuzz target, where there is no libFuzzer. The same seed gives the same
 * inputs.
 *
 *     fuzz_NAME CORPUS_FOLDER [RUNS [SEED [SECONDS]]]    RUNS 0 = until the SECONDS are over
 *     fuzz_NAME FILE                                     one input
 *
 * When a sanitizer ends the program, the input goes into the file $FUZZ_INPUT, so that the crash can be run again. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "fuzz.h"

enum { INPUT_MOST = 1 << 16, MAX_SEEDS = 4096 };
typedef struct seed { uint8_t *data; size_t bytes; } seed;
static seed seeds[MAX_SEEDS];
static int seed_count;
static uint64_t state;

static uint64_t next(void) {
    state += 0x9e3779b97f4a7c15u;
    uint64_t z = state;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}
static size_t below(size_t n) { return n ? (size_t)(next() % n) : 0; }

static void load(const char *path) {
    struct stat st;
    FILE *f = fopen(path, "rb");
    if (!f || fstat(fileno(f), &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > INPUT_MOST
        || seed_count == MAX_SEEDS) {
        if (f) fclose(f);
        return;
    }
    uint8_t *p = malloc((size_t)st.st_size + 1);
    size_t n = p ? fread(p, 1, (size_t)st.st_size, f) : 0;
    fclose(f);
    if (p) seeds[seed_count++] = (seed){ p, n };
}

/* ---- one mutation each; data has room for INPUT_MOST bytes; the new size is returned ---- */

static size_t set_integer(uint8_t *d, size_t n) {
    static const uint64_t values[] = { 0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff,
                                       0x100000000, 0x7fffffffffffffff, 0x8000000000000000, 0xffffffffffffffff,
                                       0xfffffffffffffff0, 0x2000000000000000, 0x4000000000000001 };
    static const size_t sizes[] = { 1, 2, 4, 8 };
    size_t size = sizes[below(4)];
    if (n < size) return n;
    uint64_t v = values[below(sizeof values / sizeof *values)];
    if (below(3) == 0) v = below(n * 2 + 2);               /* sizes near those of the file */
    memcpy(d + below(n - size + 1), &v, size);
    return n;
}

static size_t set_text(uint8_t *d, size_t n) {
    static const char *const words[] = { "18446744073709551615",
                                         "18446744073709551616",
                                         "9007199254740993",
                                         "-1",
                                         "1e3",
                                         "0.5",
                                         "null",
                                         "{",
                                         "}",
                                         "[",
                                         "]",
                                         "[[[[[[[[",
                                         "\"",
                                         "\\",
                                         "\\u0000",
                                         "\\ud800",
                                         ",",
                                         ":",
                                         "../",
                                         "/",
                                         "\xc0\x80",
                                         "\xff",
                                         "__metadata__",
                                         "\"dtype\"",
                                         "\"shape\":[]",
                                         " ",
                                         "00",
                                         "F4",
                                         "\x80",
                                         "\xf0\x9f\x98\x80",
                                         "e\xcc\x81",
                                         "\xe2\x96\x81",
                                         "<0x0A>",
                                         "\"type\":\"BPE\"" };
    const char *w = words[below(sizeof words / sizeof *words)];
    size_t bytes = strlen(w), at = below(n + 1);
    if (n + bytes > INPUT_MOST) return n;
    if (below(2)) {
        memmove(d + at + bytes, d + at, n - at);
        n += bytes;
    } else if (at + bytes > n) {
        return n;
    }
    memcpy(d + at, w, bytes);
    return n;
}

static size_t cut(uint8_t *d, size_t n) {
    size_t at = below(n), bytes = below(n - at < 64 || below(4) == 0 ? n - at + 1 : 64);
    memmove(d + at, d + at + bytes, n - at - bytes);
    return n - bytes;
}

static size_t repeat(uint8_t *d, size_t n) {
    size_t at = below(n), bytes = below(n - at < 256 ? n - at + 1 : 256);
    if (n + bytes > INPUT_MOST) return n;
    memmove(d + at + bytes, d + at, n - at);
    return n + bytes;
}

static size_t splice(uint8_t *d, size_t n) {
    const seed *s = &seeds[below((size_t)seed_count)];
    size_t from = below(s->bytes + 1), bytes = below(s->bytes - from + 1), at = below(n + 1);
    if (at + bytes > INPUT_MOST) return n;
    memcpy(d + at, s->data + from, bytes);
    return at + bytes > n ? at + bytes : n;
}

static size_t mutate(uint8_t *d, size_t n) {
    switch (below(8)) {
    case 0: if (n) d[below(n)] ^= (uint8_t)(1u << below(8)); return n;
    case 1: if (n) d[below(n)] = (uint8_t)next(); return n;
    case 2: case 3: return set_integer(d, n);
    case 4: return set_text(d, n);
    case 5: return n ? cut(d, n) : n;
    case 6: return n ? repeat(d, n) : n;
    default: return splice(d, n);
    }
}

/* The sanitizers' runtimes have it. */
extern void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

static const uint8_t *running;
static size_t running_bytes;

static void keep_input(void) {
    const char *path = getenv("FUZZ_INPUT");
    FILE *f = path && running ? fopen(path, "wb") : NULL;
    if (!f) return;
    fwrite(running, 1, running_bytes, f);
    fclose(f);
}

static void run(const uint8_t *data, size_t bytes) {
    running = data;
    running_bytes = bytes;
    LLVMFuzzerTestOneInput(data, bytes);
}

int main(int argc, char **argv) {
    static uint8_t data[INPUT_MOST];
    if (argc < 2) return fprintf(stderr, "usage: %s CORPUS [RUNS [SEED [SECONDS]]]\n", argv[0]), 2;
    long runs = argc > 2 ? atol(argv[2]) : 10000, done = 0;
    double seconds = argc > 4 ? atof(argv[4]) : 0;
    state = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
    DIR *folder = opendir(argv[1]);
    if (folder) {
        struct dirent **names;
        closedir(folder);
        int n = scandir(argv[1], &names, NULL, alphasort);
        for (int i = 0; i < n; i++) {
            char path[4096];
            snprintf(path, sizeof path, "%s/%s", argv[1], names[i]->d_name);
            load(path);
            free(names[i]);
        }
        if (n >= 0) free(names);
    } else {
        load(argv[1]);
        runs = -1;
    }
    if (!seed_count) return fprintf(stderr, "%s: no corpus in %s\n", argv[0], argv[1]), 2;
    if (__sanitizer_set_death_callback) __sanitizer_set_death_callback(keep_input);
    time_t start = time(NULL);
    for (int i = 0; i < seed_count; i++, done++) run(seeds[i].data, seeds[i].bytes);
    while (runs > 0 ? done < runs : runs == 0 && difftime(time(NULL), start) < seconds) {
        const seed *s = &seeds[below((size_t)seed_count)];
        size_t n = s->bytes;
        memcpy(data, s->data, n);
        for (size_t k = 1 + below(1 + below(12)); k; k--) n = mutate(data, n);
        run(data, n);
        done++;
    }
    printf("%ld inputs, %d of them the corpus\n", done, seed_count);
    for (int i = 0; i < seed_count; i++) free(seeds[i].data);
    return 0;
}
