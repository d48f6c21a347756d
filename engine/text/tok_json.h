/* tok_json.h: what the two readers of tokenizer.json share. */
#pragma once
#include "../io/json.h"
#include "parts.h"

/* A special token around a text, by name. */
typedef struct lb_around { lb_span name; bool after; } lb_around;
typedef struct lb_special_ids { lb_span name; int32_t *ids; size_t count; } lb_special_ids;

/* A tokenizer.json that is being read. */
typedef struct lb_tok_reader {
    lb_json j;
    lb_tokenizer *t;
    lb_grow vocab;            /* of struct { lb_json_text text; uint64_t id; double score; } */
    lb_grow merges;           /* lb_span pairs */
    lb_grow added;            /* lb_added */
    lb_grow around;           /* lb_around */
    lb_grow specials;         /* lb_special_ids */
    bool sequence;            /* a template has the text itself */
    bool templates;           /* there was one */
    lb_span unk;              /* unk_token; at == NULL: none */
    uint64_t unk_id;          /* UINT64_MAX = none */
    bool unigram, saw_type;
} lb_tok_reader;

typedef struct lb_tok_entry { lb_span text; uint64_t id; double score; } lb_tok_entry;

/* A string from the arena; { NULL } after an error. */
lb_span lb_tok_text(lb_tok_reader *r);
/* Passes null and says so. */
bool lb_tok_null(lb_tok_reader *r);
/* Records LB_EUNSUPPORTED. */
void lb_tok_unsupported(lb_tok_reader *r, const char *fmt, ...) LB_PRINTF(2, 3);

typedef enum lb_tok_part { LB_PART_NORMALIZER, LB_PART_SPLITTER, LB_PART_DECODER, LB_PART_PROCESSOR } lb_tok_part;
/* Reads a step, or a sequence of them, or null. */
void lb_tok_read_step(lb_tok_reader *r, lb_tok_part part);
