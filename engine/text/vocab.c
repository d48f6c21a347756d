/* vocab.c: the tables of a tokenizer: tokens by number, numbers by text, merges by pair, trees of texts. */
#include <stdarg.h>
#include <stdio.h>
#include <sys/random.h>

#include "../io/file.h"
#include "parts.h"

lb_status lb_tokenizer_new(const char *name, lb_tokenizer **out) {
    lb_tokenizer *t = *out = calloc(1, sizeof *t);
    if (!t || !(t->name = strdup(name))) {
        free(t);
        *out = NULL;
        return lb_fail(LB_ENOMEM, "not enough memory for the tokenizer of %s", name);
    }
    t->unk = -1;
    for (int i = 0; i < 256; i++) t->byte_ids[i] = -1;
    for (int i = 0; i < 5; i++) t->named[i] = -1;
    return LB_OK;
}

void lb_tokenizer_free(lb_tokenizer *t) {
    if (!t) return;
    lb_steps_done(&t->normalizers);
    lb_steps_done(&t->splitters);
    lb_steps_done(&t->decoders);
    free(t->keys);
    free(t->by_key.slots);
    free(t->tokens);
    free(t->by_token.slots);
    free(t->scores);
    free(t->is_special);
    free(t->merges);
    free(t->added);
    free(t->raw.nodes);
    free(t->normalized.nodes);
    free(t->pieces.nodes);
    free(t->before);
    free(t->after);
    free(t->name);
    lb_arena_done(&t->arena);
    free(t);
}

lb_status lb_tokenizer_bad(const lb_tokenizer *t, const char *fmt, ...) {
    char text[600];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return lb_fail(LB_EIO, "%s: damaged tokenizer: %s", t->name, text);
}

static lb_status no_memory(const lb_tokenizer *t) {
    return lb_fail(LB_ENOMEM, "not enough memory for the tokenizer of %s", t->name);
}

lb_status lb_tokenizer_room(lb_tokenizer *t, uint32_t size) {
    t->tokens = calloc((size_t)size + 1, sizeof *t->tokens);
    t->scores = calloc((size_t)size + 1, sizeof *t->scores);
    t->is_special = calloc((size_t)size + 1, sizeof *t->is_special);
    t->keys = calloc((size_t)size + 1, sizeof *t->keys);
    t->size = size;
    return t->tokens && t->scores && t->is_special && t->keys ? LB_OK : no_memory(t);
}

/* ---- text to number --------------------------------------------------------------------------------------------- */

static uint64_t hash(uint64_t seed, const char *text, size_t bytes) {
    uint64_t h = seed ^ (bytes * 0x9e3779b97f4a7c15u);
    while (bytes >= 8) {
        uint64_t w;
        memcpy(&w, text, 8);
        h = (h ^ w) * 0xd6e8feb86659fd93u;
        h ^= h >> 32;
        text += 8;
        bytes -= 8;
    }
    uint64_t w = 0;
    memcpy(&w, text, bytes);
    h = (h ^ w) * 0xd6e8feb86659fd93u;
    h = (h ^ h >> 32) * 0xd6e8feb86659fd93u;
    return h ^ h >> 32;
}

static bool is_text(const lb_span *s, const char *text, size_t bytes) {
    return s->bytes == bytes && memcmp(s->at, text, bytes) == 0;
}

int32_t lb_tokenizer_find(const lb_tokenizer *t, const lb_vocab_map *map, const lb_span *texts, const char *text,
                          size_t bytes) {
    (void)t;
    for (uint64_t i = hash(map->seed, text, bytes) & map->mask; map->slots[i]; i = (i + 1) & map->mask)
        if (is_text(&texts[map->slots[i] - 1], text, bytes)) return (int32_t)(map->slots[i] - 1);
    return -1;
}

/* Of equal texts the first stays, or, in unigram models, the last. */
static lb_status build(lb_tokenizer *t, lb_vocab_map *map, const lb_span *texts) {
    uint64_t slots = 16;
    while (slots < (uint64_t)t->size * 2) slots *= 2;
    map->mask = slots - 1;
    map->slots = calloc(slots, sizeof *map->slots);
    if (!map->slots) return no_memory(t);
    if (getrandom(&map->seed, sizeof map->seed, GRND_NONBLOCK) < 0)
        map->seed = (uintptr_t)map->slots; /* against made collisions */
    for (uint32_t id = 0; id < t->size; id++) {
        const lb_span *s = &texts[id];
        if (!s->at) continue;
        uint64_t i = hash(map->seed, s->at, s->bytes) & map->mask;
        while (map->slots[i] && !is_text(&texts[map->slots[i] - 1], s->at, s->bytes)) i = (i + 1) & map->mask;
        if (!map->slots[i] || t->model == LB_MODEL_UNIGRAM) map->slots[i] = id + 1;
    }
    return LB_OK;
}

/* The bytes that a token of a byte-level vocabulary stands for; none if a character stands for no byte. */
static lb_status bytes_of(lb_tokenizer *t, const lb_span *token, lb_span *key) {
    char *p = lb_arena_take(&t->arena, token->bytes + 1);
    if (!p) return LB_ENOMEM;
    key->at = p;
    for (size_t i = 0, n; i < token->bytes; i += n) {
        int b = lb_byte_of_char(lb_utf8_take(token->at + i, &n));
        if (b < 0) return *key = (lb_span){ 0 }, LB_OK;
        p[key->bytes++] = (char)b;
    }
    return LB_OK;
}

lb_status lb_tokenizer_index(lb_tokenizer *t) {
    lb_status s = LB_OK;
    for (uint32_t i = 0; i < t->size && t->byte_level && !s; i++) {
        lb_span key = { 0 };
        if (!t->keys[i].at) continue;
        s = bytes_of(t, &t->keys[i], &key);
        t->keys[i] = key;
    }
    if (!s) s = build(t, &t->by_token, t->tokens);
    if (!s) s = build(t, &t->by_key, t->keys);
    for (int b = 0; b < 256 && !s; b++) {
        char text[8] = { (char)b };
        if (!t->byte_level) snprintf(text, sizeof text, "<0x%02X>", b);
        t->byte_ids[b] = t->byte_level ? lb_tokenizer_find(t, &t->by_key, t->keys, text, 1)
                                       : lb_tokenizer_find(t, &t->by_token, t->tokens, text, 6);
    }
    for (uint32_t i = 0; i < t->size && t->model == LB_MODEL_UNIGRAM && !s; i++)
        if (t->keys[i].at && t->keys[i].bytes
            && !lb_trie_add(&t->pieces, t->keys[i],
                            lb_tokenizer_find(t, &t->by_key, t->keys, t->keys[i].at, t->keys[i].bytes)))
            s = no_memory(t);
    return s;
}

int64_t lb_tokenizer_size(const lb_tokenizer *t) { return t->size; }

const char *lb_tokenizer_token(const lb_tokenizer *t, int64_t id, size_t *bytes) {
    if (id < 0 || id >= t->size) return NULL;
    *bytes = t->tokens[id].bytes;
    return t->tokens[id].at;
}

int64_t lb_tokenizer_id(const lb_tokenizer *t, const char *token, size_t bytes) {
    return lb_tokenizer_find(t, &t->by_token, t->tokens, token, bytes);
}

bool lb_tokenizer_is_special(const lb_tokenizer *t, int64_t id) { return id >= 0 && id < t->size && t->is_special[id]; }

double lb_tokenizer_score(const lb_tokenizer *t, int64_t id) {
    return id >= 0 && id < t->size ? t->scores[id] : 0;
}

const char *lb_tokenizer_kind(const lb_tokenizer *t, int64_t id) {
    if (id < 0 || id >= t->size || !t->tokens[id].at) return NULL;
    for (int b = 0; b < 256 && !t->byte_level; b++)
        if (t->byte_ids[b] == id) return "byte";
    if (id == t->unk) return "unknown";
    for (size_t i = 0; i < t->added_count; i++)
        if (t->added[i].id == id) return t->added[i].special ? "special" : "added";
    return t->is_special[id] ? "special" : "normal";
}

int64_t lb_tokenizer_special(const lb_tokenizer *t, const char *which) {
    static const char *const names[] = { "bos", "eos", "unk", "pad", "eot" };
    for (int i = 0; i < 5; i++)
        if (strcmp(names[i], which) == 0) return t->named[i];
    return -1;
}

const char *lb_tokenizer_model(const lb_tokenizer *t) {
    return t->model == LB_MODEL_UNIGRAM ? "unigram" : t->model == LB_MODEL_SPM ? "sentencepiece bpe"
           : t->byte_level ? "byte-level bpe" : "bpe";
}

/* ---- merges ----------------------------------------------------------------------------------------------------- */

static int32_t token_of(const lb_tokenizer *t, lb_span text) {
    return lb_tokenizer_find(t, &t->by_token, t->tokens, text.at, text.bytes);
}

static lb_status add_merge(lb_tokenizer *t, const lb_span pair[2], uint32_t rank, lb_grow *joint) {
    int32_t left = token_of(t, pair[0]), right = token_of(t, pair[1]);
    joint->bytes = 0;
    lb_grow_put(joint, pair[0].at, pair[0].bytes);
    lb_grow_put(joint, pair[1].at, pair[1].bytes);
    if (joint->failed) return no_memory(t);
    int32_t id = lb_tokenizer_find(t, &t->by_token, t->tokens, joint->at, joint->bytes);
    if (left < 0 || right < 0 || id < 0)
        return lb_tokenizer_bad(t, "merge %u, of \"%s\" and \"%s\", has parts or a result that are no tokens", rank,
                                lb_shown(pair[0].at, pair[0].bytes), lb_shown(pair[1].at, pair[1].bytes));
    uint64_t key[1] = { (uint64_t)(uint32_t)left << 32 | (uint32_t)right };
    uint64_t i = hash(t->by_token.seed, (const char *)key, 8) & t->merge_mask;
    while (t->merges[i].id && (t->merges[i].left != (uint32_t)left || t->merges[i].right != (uint32_t)right))
        i = (i + 1) & t->merge_mask;
    t->merges[i] = (lb_merge){ (uint32_t)left, (uint32_t)right, rank, (uint32_t)id + 1 };
    return LB_OK;
}

lb_status lb_tokenizer_add_merges(lb_tokenizer *t, const lb_span (*pairs)[2], size_t count) {
    uint64_t slots = 16;
    lb_grow joint = { 0 };
    lb_status s = LB_OK;
    while (slots < count * 2) slots *= 2;
    t->merge_mask = slots - 1;
    if (!(t->merges = calloc(slots, sizeof *t->merges))) return no_memory(t);
    for (size_t i = 0; i < count && !s; i++) s = add_merge(t, pairs[i], (uint32_t)i, &joint);
    free(joint.at);
    return s;
}

const lb_merge *lb_tokenizer_merge(const lb_tokenizer *t, int32_t left, int32_t right) {
    uint64_t key[1] = { (uint64_t)(uint32_t)left << 32 | (uint32_t)right };
    for (uint64_t i = hash(t->by_token.seed, (const char *)key, 8) & t->merge_mask; t->merges[i].id;
         i = (i + 1) & t->merge_mask)
        if (t->merges[i].left == (uint32_t)left && t->merges[i].right == (uint32_t)right) return &t->merges[i];
    return NULL;
}

static int by_rank(const void *a, const void *b) {
    uint32_t x = ((const lb_merge *)a)->rank, y = ((const lb_merge *)b)->rank;
    return (x > y) - (x < y);
}

lb_status lb_tokenizer_merges(const lb_tokenizer *t, lb_token_pair **pairs, size_t *count) {
    size_t n = 0, slots = t->merges ? (size_t)t->merge_mask + 1 : 0;
    *pairs = NULL;
    *count = 0;
    for (size_t i = 0; i < slots; i++) n += t->merges[i].id != 0;
    if (!n) return LB_OK;
    lb_merge *sorted = malloc(n * sizeof *sorted);
    *pairs = malloc(n * sizeof **pairs);
    if (!sorted || !*pairs) {
        free(sorted);
        free(*pairs);
        *pairs = NULL;
        return no_memory(t);
    }
    for (size_t i = 0; i < slots; i++)
        if (t->merges[i].id) sorted[(*count)++] = t->merges[i];
    qsort(sorted, n, sizeof *sorted, by_rank);
    for (size_t i = 0; i < n; i++) (*pairs)[i] = (lb_token_pair){ sorted[i].left, sorted[i].right };
    free(sorted);
    return LB_OK;
}

/* ---- trees of texts --------------------------------------------------------------------------------------------- */

/* The node of `byte` in the list that begins at *list, made if need be; 0 = no memory. Node 0 is none. */
static uint32_t node(lb_trie *t, uint32_t *list, uint8_t byte) {
    for (uint32_t i = *list; i; i = t->nodes[i].next)
        if (t->nodes[i].byte == byte) return i;
    return 0;
}

static bool grow(lb_trie *t) {
    if (t->count + 2 <= t->room) return true;
    size_t room = t->room ? t->room * 2 : 64;
    lb_trie_node *more = room < UINT32_MAX ? realloc(t->nodes, room * sizeof *more) : NULL;
    if (!more) return false;
    t->nodes = more;
    t->room = room;
    if (!t->count) t->count = 1;
    return true;
}

bool lb_trie_add(lb_trie *t, lb_span text, int32_t value) {
    uint32_t at = 0;
    for (size_t i = 0; i < text.bytes; i++) {
        uint8_t byte = (uint8_t)text.at[i];
        if (!grow(t)) return false;
        uint32_t *list = i ? &t->nodes[at].child : &t->first[byte];
        uint32_t found = node(t, list, byte);
        if (!found) {
            found = (uint32_t)t->count++;
            t->nodes[found] = (lb_trie_node){ 0, *list, -1, byte };
            *list = found;
        }
        at = found;
    }
    if (at && t->nodes[at].token < 0) t->nodes[at].token = value;
    return true;
}

uint32_t lb_trie_step(const lb_trie *t, uint32_t at, uint8_t byte) {
    uint32_t i = at ? t->nodes[at].child : t->first[byte];
    while (i && t->nodes[i].byte != byte) i = t->nodes[i].next;
    return i;
}

int32_t lb_trie_longest(const lb_trie *t, const char *text, size_t bytes, size_t *length) {
    int32_t best = -1;
    uint32_t at = 0;
    for (size_t i = 0; i < bytes && (at = lb_trie_step(t, at, (uint8_t)text[i])); i++) {
        if (t->nodes[at].token < 0) continue;
        best = t->nodes[at].token;
        *length = i + 1;
    }
    return best;
}

/* ---- steps ------------------------------------------------------------------------------------------------------ */

lb_step *lb_steps_add(lb_steps *s, lb_step_kind kind) {
    if (s->count == s->room) {
        size_t room = s->room ? s->room * 2 : 8;
        lb_step *more = realloc(s->list, room * sizeof *more);
        if (!more) return lb_fail(LB_ENOMEM, "not enough memory for a tokenizer"), NULL;
        s->list = more;
        s->room = room;
    }
    lb_step *step = &s->list[s->count++];
    *step = (lb_step){ .kind = kind };
    return step;
}

void lb_steps_done(lb_steps *s) {
    for (size_t i = 0; i < s->count; i++) lb_pattern_free(s->list[i].pattern);
    free(s->list);
    *s = (lb_steps){ 0 };
}
