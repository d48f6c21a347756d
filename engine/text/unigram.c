/* unigram.c: the division of a word into pieces that is most probable, by dynamic programming. */
#include "parts.h"

#define UNK_PENALTY 10.0

/* The best way to a place in the word. */
typedef struct place { double score; uint32_t from; int32_t id; bool reached; } place;

static void reach(place *p, double score, size_t from, int32_t id) {
    if (p->reached && !(score > p->score)) return;
    *p = (place){ score, (uint32_t)from, id, true };
}

static void forward(const lb_tokenizer *t, const char *word, size_t bytes, place *places) {
    places[0].reached = true;
    for (size_t at = 0, n; at < bytes; at += n) {
        double here = places[at].score;
        bool whole = false;
        uint32_t node = 0;
        n = lb_utf8_length(word + at, bytes - at);
        for (size_t i = at; i < bytes && (node = lb_trie_step(&t->pieces, node, (uint8_t)word[i])); i++) {
            int32_t id = t->pieces.nodes[node].token;
            if (id < 0) continue;
            reach(&places[i + 1], here + t->scores[id], at, id);
            whole |= i + 1 - at == n;
        }
        if (!whole) reach(&places[at + n], here + t->unk_score - UNK_PENALTY, at, t->unk);
    }
}

/* A piece that may be unknown, or several of these together. */
static lb_status put_piece(const lb_tokenizer *t, const char *text, size_t bytes, lb_grow *out) {
    int32_t id = lb_tokenizer_find(t, &t->by_key, t->keys, text, bytes);
    if (id < 0 && t->byte_fallback && lb_put_byte_tokens(t, text, bytes, out)) return LB_OK;
    if (id < 0) id = t->unk;
    if (id < 0)
        return lb_fail(LB_EIO, "%s: a text has characters that are no tokens, and the model has no unknown token",
                       t->name);
    lb_grow_put(out, &id, sizeof id);
    return LB_OK;
}

/* Marks the ends of the pieces, from the end on; unknown ones next to each other become one. */
static lb_status backward(const lb_tokenizer *t, const char *word, size_t bytes, place *places, lb_grow *out) {
    size_t end = bytes;
    while (end) { /* turns the chain around: from[i] becomes where the piece at i ends */
        size_t from = places[end].from, joined = end;
        while (t->fuse_unk && t->unk >= 0 && places[end].id == t->unk && from && places[from].id == t->unk) {
            end = from;
            from = places[end].from;
        }
        places[from].score = (double)joined;
        end = from;
    }
    for (size_t at = 0; at < bytes;) {
        size_t next = (size_t)places[at].score;
        lb_status s = put_piece(t, word + at, next - at, out);
        if (s) return s;
        at = next;
    }
    return LB_OK;
}

lb_status lb_unigram_encode(const lb_tokenizer *t, const char *word, size_t bytes, lb_grow *out) {
    place small[128], *places = small;
    if (bytes > UINT32_MAX / 2)
        return lb_fail(LB_EINVAL, "a text of %zu bytes is too long to be divided at once", bytes);
    if (bytes >= 128) places = malloc((bytes + 1) * sizeof *places);
    if (!places) return lb_fail(LB_ENOMEM, "not enough memory to divide a text of %zu bytes", bytes);
    memset(places, 0, (bytes + 1) * sizeof *places);
    forward(t, word, bytes, places);
    lb_status s = backward(t, word, bytes, places, out);
    if (places != small) free(places);
    return s;
}
