/* parts.h: what the files of the tokenizer share. */
#pragma once
#include "../io/arena.h"
#include "../io/grow.h"
#include "../io/utf8.h"
#include "tokenizer.h"

typedef struct lb_span { const char *at; size_t bytes; } lb_span;

/* ---- Unicode (unicode.c) ---- */
/* The code point at p and its bytes; the text was checked before. */
uint32_t lb_utf8_take(const char *p, size_t *bytes);
size_t lb_utf8_put(uint32_t c, char out[4]);
lb_status lb_utf8_check(const char *what, const char *text, size_t bytes);
/* Appends bytes as UTF-8: each maximal part of a sequence that is none becomes U+FFFD. */
void lb_utf8_put_lossy(lb_grow *out, const char *bytes, size_t n);
bool lb_is_space(uint32_t c);          /* White_Space */
bool lb_is_word(uint32_t c);           /* letters, marks, digits, connectors */
bool lb_is_numeric(uint32_t c);        /* Nd, Nl, No */
bool lb_is_punctuation(uint32_t c);    /* ASCII punctuation, P* */
/* The byte that a character of byte-level vocabularies stands for, -1 = none; and the other way round. */
int lb_byte_of_char(uint32_t c);
uint32_t lb_char_of_byte(uint8_t b);

/* ---- regular expressions (pattern.c) ---- */
typedef struct lb_pattern lb_pattern;
/* `literal`: the text itself is looked for. */
lb_status lb_pattern_new(const char *text, size_t bytes, bool literal, lb_pattern **out);
void lb_pattern_free(lb_pattern *p);
/* The next match in text[from, bytes); false = none. Errors (a pattern that takes too long) set *s. */
bool lb_pattern_next(const lb_pattern *p, const char *text, size_t bytes, size_t from, size_t *start, size_t *end,
                     lb_status *s);

/* ---- steps: normalizers, pre-tokenizers, decoders ---- */
typedef enum lb_step_kind {
    /* normalizers */
    LB_STEP_NFC, LB_STEP_NFD, LB_STEP_NFKC, LB_STEP_NFKD, LB_STEP_LOWERCASE, LB_STEP_STRIP_ACCENTS, LB_STEP_STRIP,
    LB_STEP_PREPEND, LB_STEP_REPLACE, LB_STEP_CHARSMAP,
    /* pre-tokenizers */
    LB_STEP_SPLIT, LB_STEP_BYTE_LEVEL, LB_STEP_METASPACE, LB_STEP_DIGITS, LB_STEP_PUNCTUATION, LB_STEP_WHITESPACE,
    /* decoders; also REPLACE, BYTE_LEVEL, METASPACE, STRIP */
    LB_STEP_BYTE_FALLBACK, LB_STEP_FUSE
} lb_step_kind;

typedef enum lb_behavior {
    LB_ISOLATED,
    LB_REMOVED,
    LB_MERGED_WITH_PREVIOUS,
    LB_MERGED_WITH_NEXT,
    LB_CONTIGUOUS
} lb_behavior;
typedef enum lb_prepend { LB_PREPEND_NEVER, LB_PREPEND_FIRST, LB_PREPEND_ALWAYS } lb_prepend;

typedef struct lb_step {
    lb_step_kind kind;
    lb_pattern *pattern;      /* SPLIT, REPLACE, WHITESPACE, BYTE_LEVEL with use_regex */
    lb_span text;             /* PREPEND; what REPLACE puts; METASPACE's character; STRIP's of decoders; the CHARSMAP */
    lb_behavior behavior;
    bool invert;
    bool flag;                /* BYTE_LEVEL: a space before; METASPACE: splits; DIGITS: each on its own */
    bool left, right;         /* STRIP of normalizers */
    size_t start, stop;       /* STRIP of decoders */
    lb_prepend prepend;
} lb_step;

typedef struct lb_steps { lb_step *list; size_t count, room; } lb_steps;
lb_step *lb_steps_add(lb_steps *s, lb_step_kind kind);       /* NULL: no memory */
void lb_steps_done(lb_steps *s);

/* ---- vocabulary (vocab.c): text to number by open addressing ---- */
typedef struct lb_vocab_map { uint32_t *slots; uint64_t mask, seed; } lb_vocab_map;    /* number + 1; 0 = empty */

typedef struct lb_merge {
    uint32_t left, right, rank, id;
} lb_merge; /* id + 1 in `id`; 0 = empty slot */

typedef struct lb_added {
    lb_span text;             /* as it is looked for: normalized where `normalized` */
    int32_t id;
    bool single_word, lstrip, rstrip, normalized, special;
} lb_added;

/* A tree of the added tokens' bytes: nodes with first child and next sibling. */
typedef struct lb_trie_node { uint32_t child, next; int32_t token; uint8_t byte; } lb_trie_node;
typedef struct lb_trie { lb_trie_node *nodes; size_t count, room; uint32_t first[256]; } lb_trie;
bool lb_trie_add(lb_trie *t, lb_span text, int32_t value);   /* false: no memory. The first of equal texts stays */
/* The node of one more byte after node `at` (0 = from the start); 0 = none. */
uint32_t lb_trie_step(const lb_trie *t, uint32_t at, uint8_t byte);
/* The longest entry that text begins with: its value, -1 = none. */
int32_t lb_trie_longest(const lb_trie *t, const char *text, size_t bytes, size_t *length);

typedef enum lb_model_kind { LB_MODEL_BPE, LB_MODEL_SPM, LB_MODEL_UNIGRAM } lb_model_kind;

struct lb_tokenizer {
    char *name;
    lb_arena arena;
    lb_model_kind model;
    bool byte_level;          /* `keys` are bytes, not the characters that stand for them */
    lb_span *tokens;          /* by number; at == NULL: there is none */
    lb_span
        *keys; /* those of the model; lb_tokenizer_index turns them into bytes if byte_level. NULL: not the model's */
    double *scores;           /* unigram and SPM */
    bool *is_special;
    uint32_t size;
    lb_vocab_map by_token, by_key;
    lb_merge *merges;         /* open addressing by (left, right) */
    uint64_t merge_mask;
    int32_t byte_ids[256];    /* of <0xXX>, or of the bytes of byte-level vocabularies; -1 = none */
    int32_t unk;              /* -1 = none */
    bool byte_fallback, fuse_unk, ignore_merges;
    double unk_score;
    lb_trie pieces;           /* keys, for unigram */
    lb_added *added;
    size_t added_count;
    lb_trie raw, normalized;  /* of added tokens */
    lb_steps normalizers, splitters, decoders;
    int32_t *before, *after;  /* special tokens around a text */
    size_t before_count, after_count;
    int32_t named[5];         /* bos, eos, unk, pad, eot; -1 = unknown */
};

/* An empty tokenizer; every number in it says "none". */
lb_status lb_tokenizer_new(const char *name, lb_tokenizer **out);
lb_status lb_tokenizer_bad(const lb_tokenizer *t, const char *fmt, ...) LB_PRINTF(2, 3);    /* LB_EIO */
/* Empty tables for `size` tokens. */
lb_status lb_tokenizer_room(lb_tokenizer *t, uint32_t size);
/* Builds the maps when all tokens and keys are there; fills byte_ids. */
lb_status lb_tokenizer_index(lb_tokenizer *t);
int32_t lb_tokenizer_find(const lb_tokenizer *t, const lb_vocab_map *map, const lb_span *texts, const char *text,
                          size_t bytes);
/* The merge of two tokens that are made from their joint text; an error if there is no such token. */
lb_status lb_tokenizer_add_merges(lb_tokenizer *t, const lb_span (*pairs)[2], size_t count);
const lb_merge *lb_tokenizer_merge(const lb_tokenizer *t, int32_t left, int32_t right);     /* NULL = none */
/* After the index: puts the added tokens where text is searched for them. */
lb_status lb_tokenizer_add_added(lb_tokenizer *t);

/* Gives a step the pattern that ByteLevel divides by. */
lb_status lb_byte_level_pattern(lb_step *s);

/* ---- running ---- */
/* Appends the normalized text. */
lb_status lb_normalize(const lb_tokenizer *t, const char *text, size_t bytes, lb_grow *out);
/* Words of a text, in order. `first`: it begins where the whole text begins. */
typedef lb_status (*lb_word_fn)(void *ctx, const char *word, size_t bytes);
lb_status lb_split(const lb_tokenizer *t, const char *text, size_t bytes, bool first, lb_word_fn fn, void *ctx);
/* A word's tokens, appended as int32_t. */
lb_status lb_bpe_encode(const lb_tokenizer *t, const char *word, size_t bytes, lb_grow *out);
lb_status lb_unigram_encode(const lb_tokenizer *t, const char *word, size_t bytes, lb_grow *out);
/* The tokens <0xXX> of a character's bytes, appended; false, and nothing appended, if one of them is missing. */
bool lb_put_byte_tokens(const lb_tokenizer *t, const char *text, size_t bytes, lb_grow *out);
