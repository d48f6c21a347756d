/* tok_json_steps.c: normalizers, pre-tokenizers, decoders and post-processors of a tokenizer.json. */
#include <stdio.h>

#include "../io/file.h"
#include "tok_json.h"

#define STEPS_MOST 64u

/* The pattern that ByteLevel divides by: contractions, words, numbers, the rest, spaces. */
static const char gpt2_pattern[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

lb_status lb_byte_level_pattern(lb_step *s) {
    return lb_pattern_new(gpt2_pattern, sizeof gpt2_pattern - 1, false, &s->pattern);
}

/* All fields that a step can have; `type` may come last. */
typedef struct fields {
    char type[32];
    lb_span content, pattern, behavior, scheme, charsmap, prepend;
    bool has_content, literal, invert, prefix_space, has_prefix, use_regex, each_digit, split, left, right;
    uint64_t start, stop;
    lb_steps *steps;          /* where the parts of a sequence go */
    bool parts;
} fields;

static void read_pattern(lb_tok_reader *r, fields *f) {
    lb_json_text key;
    lb_json_object(&r->j);
    while (lb_json_key(&r->j, &key)) {
        f->literal = lb_json_is(&key, "String");
        if (!f->literal && !lb_json_is(&key, "Regex")) lb_json_fail(&r->j, "a pattern is neither String nor Regex");
        else f->pattern = lb_tok_text(r);
    }
    if (!r->j.status && !f->pattern.at) lb_json_fail(&r->j, "an empty pattern");
}

/* ---- post-processors -------------------------------------------------------------------------------------------- */

/* [{ "SpecialToken": { "id": "<s>", "type_id": 0 } }, { "Sequence": { "id": "A", "type_id": 0 } }] */
static void read_template(lb_tok_reader *r) {
    lb_json_text key, inner;
    lb_json_array(&r->j);
    while (lb_json_item(&r->j)) {
        lb_json_object(&r->j);
        while (lb_json_key(&r->j, &key)) {
            bool special = lb_json_is(&key, "SpecialToken");
            lb_around a = { .after = r->sequence };
            lb_json_object(&r->j);
            while (lb_json_key(&r->j, &inner)) {
                if (lb_json_is(&inner, "id")) a.name = lb_tok_text(r);
                else lb_json_skip(&r->j);
            }
            if (!special) r->sequence = true;
            else if (!r->j.status) lb_grow_put(&r->around, &a, sizeof a);
        }
    }
}

/* { "<s>": { "id": "<s>", "ids": [1], "tokens": ["<s>"] } } */
static void read_special_ids(lb_tok_reader *r) {
    lb_json_text key, inner;
    lb_json_object(&r->j);
    while (lb_json_key(&r->j, &key)) {
        lb_special_ids e = { 0 };
        lb_grow ids = { 0 };
        e.name.at = lb_json_unescape(&key, &r->t->arena, &e.name.bytes);
        lb_json_object(&r->j);
        while (lb_json_key(&r->j, &inner)) {
            if (!lb_json_is(&inner, "ids")) {
                lb_json_skip(&r->j);
                continue;
            }
            lb_json_array(&r->j);
            while (lb_json_item(&r->j)) {
                uint64_t v = lb_json_u64(&r->j);
                int32_t id = (int32_t)v;
                if (v > INT32_MAX) lb_json_fail(&r->j, "a token number beyond 2^31");
                lb_grow_put(&ids, &id, sizeof id);
            }
        }
        e.count = ids.bytes / sizeof *e.ids;
        e.ids = lb_arena_take(&r->t->arena, ids.bytes + 1);
        if (e.ids && ids.bytes) memcpy(e.ids, ids.at, ids.bytes);
        if (!e.ids || !e.name.at) r->j.status = r->j.status ? r->j.status : LB_ENOMEM;
        free(ids.at);
        lb_grow_put(&r->specials, &e, sizeof e);
    }
}

static void finish_processor(lb_tok_reader *r, const fields *f) {
    if (strcmp(f->type, "TemplateProcessing") == 0) {
        if (r->templates) lb_tok_unsupported(r, "two templates");
        r->templates = true;
    } else if (strcmp(f->type, "ByteLevel") != 0 && strcmp(f->type, "Sequence") != 0) {
        lb_tok_unsupported(r, "the post-processor \"%s\"", lb_shown(f->type, strlen(f->type)));
    }
}

/* ---- making steps ----------------------------------------------------------------------------------------------- */

static lb_step *add(lb_tok_reader *r, const fields *f, lb_step_kind kind) {
    lb_step *s = NULL;
    if (f->steps->count == STEPS_MOST) lb_tok_unsupported(r, "more than %u steps", STEPS_MOST);
    else if (!(s = lb_steps_add(f->steps, kind))) r->j.status = LB_ENOMEM;
    return s;
}

static void set_pattern(lb_tok_reader *r, const fields *f, lb_step *s) {
    if (!f->pattern.at) lb_json_fail(&r->j, "%s without a pattern", f->type);
    else if ((r->j.status = lb_pattern_new(f->pattern.at, f->pattern.bytes, f->literal, &s->pattern)))
        lb_fail_in(r->j.status, "%s", r->t->name);
}

static bool is(const fields *f, const char *type) { return strcmp(f->type, type) == 0; }
static bool says(lb_span s, const char *text) {
    return s.at && s.bytes == strlen(text) && memcmp(s.at, text, s.bytes) == 0;
}

static void set_behavior(lb_tok_reader *r, const fields *f, lb_step *s) {
    static const char *const names[] = { "Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous" };
    for (int i = 0; i < 5; i++) {
        if (!says(f->behavior, names[i])) continue;
        s->behavior = (lb_behavior)i;
        return;
    }
    lb_tok_unsupported(r, "the behavior \"%s\"", lb_shown(f->behavior.at ? f->behavior.at : "", f->behavior.bytes));
}

static void set_metaspace(lb_tok_reader *r, const fields *f, lb_step *s) {
    size_t n;
    s->text = f->content;
    s->flag = f->split;
    s->prepend = says(f->scheme, "never")   ? LB_PREPEND_NEVER
                 : says(f->scheme, "first") ? LB_PREPEND_FIRST
                                            : LB_PREPEND_ALWAYS;
    if (!f->scheme.at && f->has_prefix && !f->prefix_space) s->prepend = LB_PREPEND_NEVER;
    if (!f->content.at || !f->content.bytes || (lb_utf8_take(f->content.at, &n), n != f->content.bytes)) {
        lb_json_fail(&r->j, "Metaspace replaces by one character");
        return;
    }
    if ((r->j.status = lb_pattern_new(f->content.at, f->content.bytes, true, &s->pattern))) return;
}

/* Base64, as SentencePiece's tables stand in JSON. */
static void set_charsmap(lb_tok_reader *r, const fields *f, lb_step *s) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *out = lb_arena_take(&r->t->arena, f->charsmap.bytes + 4);
    uint32_t bits = 0, size = 0;
    size_t n = 0;
    if (!out) {
        r->j.status = LB_ENOMEM;
        return;
    }
    int have = 0;
    for (size_t i = 0; i < f->charsmap.bytes && f->charsmap.at[i] != '='; i++) {
        const char *d = f->charsmap.at[i] ? strchr(digits, f->charsmap.at[i]) : NULL;
        if (!d) {
            lb_json_fail(&r->j, "precompiled_charsmap is not base64");
            return;
        }
        bits = bits << 6 | (uint32_t)(d - digits);
        if ((have += 6) >= 8) out[n++] = (char)(bits >> (have -= 8));
    }
    s->text = (lb_span){ out, n };
    if (n >= 4) memcpy(&size, out, 4);
    if (n < 8 || size % 4 || size > n - 4) lb_json_fail(&r->j, "precompiled_charsmap is no table of SentencePiece's");
}

static void make_normalizer(lb_tok_reader *r, const fields *f) {
    static const struct { const char *type; lb_step_kind kind; } plain[] = {
        { "NFC", LB_STEP_NFC }, { "NFD", LB_STEP_NFD }, { "NFKC", LB_STEP_NFKC }, { "NFKD", LB_STEP_NFKD },
        { "Lowercase", LB_STEP_LOWERCASE }, { "StripAccents", LB_STEP_STRIP_ACCENTS }, { "Strip", LB_STEP_STRIP },
        { "Prepend", LB_STEP_PREPEND }, { "Replace", LB_STEP_REPLACE }, { "Precompiled", LB_STEP_CHARSMAP } };
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        if (!is(f, plain[i].type)) continue;
        lb_step *s = add(r, f, plain[i].kind);
        if (!s) return;
        s->left = f->left;
        s->right = f->right;
        s->text = s->kind == LB_STEP_PREPEND ? f->prepend : f->content;
        if (s->kind == LB_STEP_REPLACE) set_pattern(r, f, s);
        if (s->kind == LB_STEP_CHARSMAP) set_charsmap(r, f, s);
        if ((s->kind == LB_STEP_REPLACE || s->kind == LB_STEP_PREPEND) && !s->text.at)
            lb_json_fail(&r->j, "%s without a text", f->type);
        return;
    }
    if (!is(f, "Sequence")) lb_tok_unsupported(r, "the normalizer \"%s\"", lb_shown(f->type, strlen(f->type)));
}

/* \w of Rust's regular expressions, which Whitespace uses where Split uses Oniguruma's. */
#define RUST_WORD "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{200c}\\x{200d}"

static void make_splitter(lb_tok_reader *r, const fields *f) {
    static const struct { const char *type; lb_step_kind kind; } known[] = {
        { "Split", LB_STEP_SPLIT }, { "ByteLevel", LB_STEP_BYTE_LEVEL }, { "Metaspace", LB_STEP_METASPACE },
        { "Digits", LB_STEP_DIGITS }, { "Punctuation", LB_STEP_PUNCTUATION }, { "WhitespaceSplit", LB_STEP_WHITESPACE },
        { "Whitespace", LB_STEP_SPLIT } };
    if (is(f, "Sequence")) return;
    if (r->t->byte_level) {
        lb_tok_unsupported(r, "a pre-tokenizer after ByteLevel");
        return;
    }
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (!is(f, known[i].type)) continue;
        lb_step *s = add(r, f, known[i].kind);
        if (!s) return;
        s->flag = is(f, "Digits") ? f->each_digit : f->prefix_space;
        if (is(f, "Split")) set_pattern(r, f, s);
        if (is(f, "Split") || (is(f, "Punctuation") && f->behavior.at)) set_behavior(r, f, s);
        if (is(f, "Split")) s->invert = f->invert;
        if (is(f, "WhitespaceSplit")) s->behavior = LB_REMOVED;
        if (is(f, "Metaspace")) set_metaspace(r, f, s);
        if (is(f, "Whitespace")) {
            s->behavior = LB_REMOVED;
            s->invert = true;
            static const char words[] = "[" RUST_WORD "]+|[^" RUST_WORD "\\s]+";
            r->j.status = lb_pattern_new(words, sizeof words - 1, false, &s->pattern);
        }
        if (is(f, "ByteLevel")) {
            r->t->byte_level = true;
            if (f->use_regex) r->j.status = lb_byte_level_pattern(s);
        }
        return;
    }
    lb_tok_unsupported(r, "the pre-tokenizer \"%s\"", lb_shown(f->type, strlen(f->type)));
}

static void make_decoder(lb_tok_reader *r, const fields *f) {
    static const struct { const char *type; lb_step_kind kind; } known[] = {
        { "ByteLevel", LB_STEP_BYTE_LEVEL }, { "ByteFallback", LB_STEP_BYTE_FALLBACK }, { "Fuse", LB_STEP_FUSE },
        { "Strip", LB_STEP_STRIP }, { "Replace", LB_STEP_REPLACE }, { "Metaspace", LB_STEP_METASPACE } };
    if (is(f, "Sequence")) return;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (!is(f, known[i].type)) continue;
        lb_step *s = add(r, f, known[i].kind);
        if (!s) return;
        s->text = f->content;
        s->start = f->start;
        s->stop = f->stop;
        if (is(f, "Replace")) set_pattern(r, f, s);
        if (is(f, "Metaspace")) set_metaspace(r, f, s);
        if ((is(f, "Replace") && !f->content.at) || (is(f, "Strip") && !f->content.bytes))
            lb_json_fail(&r->j, "%s without a text", f->type);
        return;
    }
    lb_tok_unsupported(r, "the decoder \"%s\"", lb_shown(f->type, strlen(f->type)));
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

static void read_sequence(lb_tok_reader *r, lb_tok_part part) {
    lb_json_array(&r->j);
    while (lb_json_item(&r->j)) lb_tok_read_step(r, part);
}

static void read_field(lb_tok_reader *r, const lb_json_text *key, lb_tok_part part, fields *f) {
    static const struct { const char *name; size_t at;
    } bools[] = { { "invert", offsetof(fields, invert) },
                  { "use_regex", offsetof(fields, use_regex) },
                  { "split", offsetof(fields, split) },
                  { "individual_digits", offsetof(fields, each_digit) },
                  { "strip_left", offsetof(fields, left) },
                  { "strip_right", offsetof(fields, right) },
                  { "add_prefix_space", offsetof(fields, prefix_space) } };
    static const struct { const char *name; size_t at; } texts[] = {
        { "content", offsetof(fields, content) }, { "replacement", offsetof(fields, content) },
        { "behavior", offsetof(fields, behavior) }, { "prepend_scheme", offsetof(fields, scheme) },
        { "precompiled_charsmap", offsetof(fields, charsmap) }, { "prepend", offsetof(fields, prepend) } };
    for (size_t i = 0; i < sizeof bools / sizeof *bools; i++) {
        if (!lb_json_is(key, bools[i].name)) continue;
        *(bool *)((char *)f + bools[i].at) = lb_json_bool(&r->j);
        f->has_prefix |= i == 6;
        return;
    }
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (!lb_json_is(key, texts[i].name)) continue;
        *(lb_span *)(void *)((char *)f + texts[i].at) = lb_tok_text(r);
        return;
    }
    if (lb_json_is(key, "type")) {
        lb_span s = lb_tok_text(r);
        if (s.at) snprintf(f->type, sizeof f->type, "%s", s.at);
    } else if (lb_json_is(key, "pattern")) read_pattern(r, f);
    else if (lb_json_is(key, "start")) f->start = lb_json_u64(&r->j);
    else if (lb_json_is(key, "stop")) f->stop = lb_json_u64(&r->j);
    else if (lb_json_is(key, "normalizers") || lb_json_is(key, "pretokenizers") || lb_json_is(key, "decoders")
             || lb_json_is(key, "processors")) read_sequence(r, part);
    else if (part == LB_PART_PROCESSOR && lb_json_is(key, "single")) read_template(r);
    else if (part == LB_PART_PROCESSOR && lb_json_is(key, "special_tokens")) read_special_ids(r);
    else lb_json_skip(&r->j);
}

void lb_tok_read_step(lb_tok_reader *r, lb_tok_part part) {
    lb_json_text key;
    fields f = { .use_regex = true, .split = true, .prefix_space = true };
    if (lb_tok_null(r)) return;
    f.steps = part == LB_PART_NORMALIZER ? &r->t->normalizers
              : part == LB_PART_SPLITTER ? &r->t->splitters
                                         : &r->t->decoders;
    lb_json_object(&r->j);
    while (lb_json_key(&r->j, &key)) read_field(r, &key, part, &f);
    if (r->j.status) return;
    if (part == LB_PART_NORMALIZER) make_normalizer(r, &f);
    else if (part == LB_PART_SPLITTER) make_splitter(r, &f);
    else if (part == LB_PART_DECODER) make_decoder(r, &f);
    else finish_processor(r, &f);
}
