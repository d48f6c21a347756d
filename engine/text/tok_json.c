/* tok_json.c: reading a tokenizer.json. */
#include "tok_json.h"

#include <stdarg.h>
#include <stdio.h>

#include "../io/file.h"

lb_span lb_tok_text(lb_tok_reader *r) {
    lb_json_text text;
    lb_span s = { 0 };
    if (!lb_json_string(&r->j, &text)) return s;
    s.at = lb_json_unescape(&text, &r->t->arena, &s.bytes);
    if (!s.at) r->j.status = LB_ENOMEM;
    return s;
}

bool lb_tok_null(lb_tok_reader *r) {
    if (lb_json_peek(&r->j) != LB_JSON_NULL) return false;
    lb_json_null(&r->j);
    return true;
}

void lb_tok_unsupported(lb_tok_reader *r, const char *fmt, ...) {
    char text[300];
    if (r->j.status) return;
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    r->j.status = lb_fail(LB_EUNSUPPORTED, "%s: byte %zu: %s: this is not supported", r->j.file, r->j.at, text);
}

static void read_bool(lb_tok_reader *r, bool *out) {
    if (!lb_tok_null(r)) *out = lb_json_bool(&r->j);
}

/* ---- added tokens ----------------------------------------------------------------------------------------------- */

static void read_added(lb_tok_reader *r) {
    lb_json_text key;
    lb_json_array(&r->j);
    while (lb_json_item(&r->j)) {
        lb_added a = { .id = -1 };
        lb_json_object(&r->j);
        while (lb_json_key(&r->j, &key)) {
            if (lb_json_is(&key, "id")) {
                uint64_t id = lb_json_u64(&r->j);
                if (id > INT32_MAX) lb_json_fail(&r->j, "a token number beyond 2^31");
                a.id = (int32_t)id;
            } else if (lb_json_is(&key, "content")) a.text = lb_tok_text(r);
            else if (lb_json_is(&key, "single_word")) a.single_word = lb_json_bool(&r->j);
            else if (lb_json_is(&key, "lstrip")) a.lstrip = lb_json_bool(&r->j);
            else if (lb_json_is(&key, "rstrip")) a.rstrip = lb_json_bool(&r->j);
            else if (lb_json_is(&key, "normalized")) a.normalized = lb_json_bool(&r->j);
            else if (lb_json_is(&key, "special")) a.special = lb_json_bool(&r->j);
            else lb_json_skip(&r->j);
        }
        if (!r->j.status && (a.id < 0 || !a.text.at)) lb_json_fail(&r->j, "an added token without id or content");
        if (!r->j.status) lb_grow_put(&r->added, &a, sizeof a);
    }
}

/* ---- the model -------------------------------------------------------------------------------------------------- */

/* { "token": 0 } or [["token", -1.5]] */
static void read_vocab(lb_tok_reader *r) {
    lb_json_text key;
    if (r->vocab.bytes) lb_json_fail(&r->j, "vocab is there twice");
    if (lb_json_peek(&r->j) == LB_JSON_OBJECT) {
        lb_json_object(&r->j);
        while (lb_json_key(&r->j, &key)) {
            lb_tok_entry e = { 0 };
            e.text.at = lb_json_unescape(&key, &r->t->arena, &e.text.bytes);
            e.id = lb_json_u64(&r->j);
            if (!e.text.at) r->j.status = LB_ENOMEM;
            lb_grow_put(&r->vocab, &e, sizeof e);
        }
        return;
    }
    r->unigram = true;
    lb_json_array(&r->j);
    for (uint64_t i = 0; lb_json_item(&r->j); i++) {
        lb_tok_entry e = { .id = i };
        int n = 0;
        lb_json_array(&r->j);
        while (lb_json_item(&r->j)) {
            if (n == 0) e.text = lb_tok_text(r);
            else e.score = lb_json_number(&r->j);
            n++;
        }
        if (!r->j.status && n != 2) lb_json_fail(&r->j, "a piece and its score expected");
        lb_grow_put(&r->vocab, &e, sizeof e);
    }
}

/* ["a b"] or [["a", "b"]] */
static void read_merges(lb_tok_reader *r) {
    if (r->merges.bytes) lb_json_fail(&r->j, "merges are there twice");
    lb_json_array(&r->j);
    while (lb_json_item(&r->j)) {
        lb_span pair[2] = { { 0 }, { 0 } };
        if (lb_json_peek(&r->j) == LB_JSON_STRING) {
            lb_span s = lb_tok_text(r);
            const char *space = s.at ? memchr(s.at, ' ', s.bytes) : NULL;
            if (space) {
                pair[0] = (lb_span){ s.at, (size_t)(space - s.at) };
                pair[1] = (lb_span){ space + 1, s.bytes - pair[0].bytes - 1 };
                if (memchr(pair[1].at, ' ', pair[1].bytes)) space = NULL;
            }
            if (!r->j.status && !space) lb_json_fail(&r->j, "a merge is two texts with a space between");
        } else {
            int n = 0;
            lb_json_array(&r->j);
            while (lb_json_item(&r->j)) {
                lb_span s = lb_tok_text(r);
                if (n < 2) pair[n] = s;
                n++;
            }
            if (!r->j.status && n != 2) lb_json_fail(&r->j, "a merge is two texts");
        }
        if (!r->j.status) lb_grow_put(&r->merges, pair, sizeof pair);
    }
}

static void read_no_text(lb_tok_reader *r, const char *name) {
    if (lb_tok_null(r)) return;
    if (lb_tok_text(r).bytes) lb_tok_unsupported(r, "%s", name);
}

static void read_model(lb_tok_reader *r) {
    lb_json_text key;
    lb_json_object(&r->j);
    while (lb_json_key(&r->j, &key)) {
        if (lb_json_is(&key, "type")) {
            lb_span s = lb_tok_text(r);
            r->saw_type = true;
            if (s.at && strcmp(s.at, "BPE") != 0 && strcmp(s.at, "Unigram") != 0)
                lb_tok_unsupported(r, "the model \"%s\"", lb_shown(s.at, s.bytes));
        } else if (lb_json_is(&key, "vocab")) read_vocab(r);
        else if (lb_json_is(&key, "merges")) read_merges(r);
        else if (lb_json_is(&key, "unk_token")) {
            if (!lb_tok_null(r)) r->unk = lb_tok_text(r);
        } else if (lb_json_is(&key, "unk_id")) {
            if (!lb_tok_null(r)) r->unk_id = lb_json_u64(&r->j);
        } else if (lb_json_is(&key, "fuse_unk")) read_bool(r, &r->t->fuse_unk);
        else if (lb_json_is(&key, "byte_fallback")) read_bool(r, &r->t->byte_fallback);
        else if (lb_json_is(&key, "ignore_merges")) read_bool(r, &r->t->ignore_merges);
        else if (lb_json_is(&key, "dropout")) {
            if (!lb_tok_null(r) && lb_json_number(&r->j) != 0) lb_tok_unsupported(r, "dropout");
        } else if (lb_json_is(&key, "continuing_subword_prefix")) read_no_text(r, "continuing_subword_prefix");
        else if (lb_json_is(&key, "end_of_word_suffix")) read_no_text(r, "end_of_word_suffix");
        else lb_json_skip(&r->j);
    }
}

static void read_all(lb_tok_reader *r) {
    lb_json_text key;
    bool model = false;
    lb_json_object(&r->j);
    while (lb_json_key(&r->j, &key)) {
        if (lb_json_is(&key, "added_tokens")) read_added(r);
        else if (lb_json_is(&key, "normalizer")) lb_tok_read_step(r, LB_PART_NORMALIZER);
        else if (lb_json_is(&key, "pre_tokenizer")) lb_tok_read_step(r, LB_PART_SPLITTER);
        else if (lb_json_is(&key, "decoder")) lb_tok_read_step(r, LB_PART_DECODER);
        else if (lb_json_is(&key, "post_processor")) lb_tok_read_step(r, LB_PART_PROCESSOR);
        else if (lb_json_is(&key, "model")) {
            if (model) lb_json_fail(&r->j, "there are two models");
            model = true;
            read_model(r);
        } else if (lb_json_is(&key, "truncation")) {
            if (!lb_tok_null(r)) lb_tok_unsupported(r, "truncation");
        } else if (lb_json_is(&key, "padding")) {
            if (!lb_tok_null(r)) lb_tok_unsupported(r, "padding");
        } else lb_json_skip(&r->j);
    }
    if (!lb_json_end(&r->j) && !model) r->j.status = lb_fail(LB_EIO, "%s: no tokenizer: it has no model", r->j.file);
}

/* ---- putting it together ---------------------------------------------------------------------------------------- */

/* One table for the model's tokens and the added ones. Numbers may have holes, but not out of all proportion. */
static lb_status fill(lb_tok_reader *r) {
    lb_tokenizer *t = r->t;
    const lb_tok_entry *entries = (const lb_tok_entry *)(void *)r->vocab.at;
    size_t n = r->vocab.bytes / sizeof *entries;
    uint64_t most = 0, count = n + t->added_count;
    for (size_t i = 0; i < n; i++) most = entries[i].id >= most ? entries[i].id + 1 : most;
    for (size_t i = 0; i < t->added_count; i++)
        most = (uint64_t)t->added[i].id >= most ? (uint64_t)t->added[i].id + 1 : most;
    if (most > 4 * count + 4096 || most > INT32_MAX)
        return lb_tokenizer_bad(t, "the number %llu of a token is out of proportion to its %llu tokens",
                                (unsigned long long)(most - 1), (unsigned long long)count);
    lb_status s = lb_tokenizer_room(t, (uint32_t)most);
    t->unk_score = 0;
    for (size_t i = 0; i < n && !s; i++) {
        lb_span *token = &t->tokens[entries[i].id];
        if (token->at)
            return lb_tokenizer_bad(t, "\"%s\" and \"%s\" have the same number", lb_shown(token->at, token->bytes),
                                    lb_shown(entries[i].text.at, entries[i].text.bytes));
        *token = t->keys[entries[i].id] = entries[i].text;
        t->scores[entries[i].id] = entries[i].score;
        if (i == 0 || entries[i].score < t->unk_score) t->unk_score = entries[i].score;
    }
    for (size_t i = 0; i < t->added_count && !s; i++) {
        const lb_added *a = &t->added[i];
        if (!t->tokens[a->id].at) t->tokens[a->id] = a->text;
    }
    return s;
}

/* Added tokens that the model has too go by the model's number. */
static void settle_added(lb_tokenizer *t) {
    for (size_t i = 0; i < t->added_count; i++) {
        lb_added *a = &t->added[i];
        int32_t id = lb_tokenizer_find(t, &t->by_token, t->tokens, a->text.at, a->text.bytes);
        if (id >= 0) a->id = id;
        if (a->special) t->is_special[a->id] = true;
    }
}

static const lb_special_ids *special_named(const lb_tok_reader *r, lb_span name) {
    const lb_special_ids *list = (const lb_special_ids *)(void *)r->specials.at;
    for (size_t i = 0; i < r->specials.bytes / sizeof *list; i++)
        if (list[i].name.bytes == name.bytes && memcmp(list[i].name.at, name.at, name.bytes) == 0) return &list[i];
    return NULL;
}

/* The tokens around a text. */
static lb_status settle_template(lb_tok_reader *r) {
    const lb_around *list = (const lb_around *)(void *)r->around.at;
    lb_grow sides[2] = { { 0 }, { 0 } };
    lb_status s = LB_OK;
    for (size_t i = 0; i < r->around.bytes / sizeof *list && !s; i++) {
        const lb_special_ids *ids = special_named(r, list[i].name);
        if (!ids)
            s = lb_tokenizer_bad(r->t, "the template names %s, which special_tokens lack",
                                 lb_shown(list[i].name.at, list[i].name.bytes));
        else lb_grow_put(&sides[list[i].after], ids->ids, ids->count * sizeof *ids->ids);
        for (size_t k = 0; ids && k < ids->count && !s; k++)
            if ((uint32_t)ids->ids[k] >= r->t->size)
                s = lb_tokenizer_bad(r->t, "the template has the token %d", ids->ids[k]);
    }
    if (sides[0].failed || sides[1].failed) s = LB_ENOMEM;
    r->t->before = (int32_t *)(void *)sides[0].at;
    r->t->after = (int32_t *)(void *)sides[1].at;
    r->t->before_count = sides[0].bytes / sizeof(int32_t);
    r->t->after_count = sides[1].bytes / sizeof(int32_t);
    return s;
}

static lb_status put_together(lb_tok_reader *r) {
    lb_tokenizer *t = r->t;
    if (r->vocab.failed || r->merges.failed || r->added.failed || r->around.failed || r->specials.failed)
        return lb_fail(LB_ENOMEM, "not enough memory for the tokenizer of %s", t->name);
    t->model = r->unigram ? LB_MODEL_UNIGRAM : LB_MODEL_BPE;
    if (r->unigram) t->fuse_unk = true;
    if (r->unigram && t->byte_level) {
        lb_tok_unsupported(r, "a unigram model of bytes");
        return r->j.status;
    }
    t->added = (lb_added *)(void *)r->added.at;
    t->added_count = r->added.bytes / sizeof *t->added;
    r->added.at = NULL;
    lb_status s = fill(r);
    if (!s) s = lb_tokenizer_index(t);
    if (!s)
        s = lb_tokenizer_add_merges(t, (const lb_span(*)[2])(void *)r->merges.at, r->merges.bytes / sizeof(lb_span[2]));
    if (s) return s;
    if (r->unk.at && (t->unk = lb_tokenizer_find(t, &t->by_token, t->tokens, r->unk.at, r->unk.bytes)) < 0)
        return lb_tokenizer_bad(t, "unk_token \"%s\" is no token", lb_shown(r->unk.at, r->unk.bytes));
    if (r->unigram && r->unk_id != UINT64_MAX) {
        if (r->unk_id >= t->size) return lb_tokenizer_bad(t, "unk_id %llu is no token", (unsigned long long)r->unk_id);
        t->unk = (int32_t)r->unk_id;
    }
    settle_added(t);
    if ((s = lb_tokenizer_add_added(t))) return s;
    return settle_template(r);
}

lb_status lb_tokenizer_from_json(const char *name, const char *text, size_t bytes, lb_tokenizer **out) {
    lb_tok_reader r = { .unk_id = UINT64_MAX };
    lb_status s = lb_tokenizer_new(name, &r.t);
    *out = NULL;
    if (s) return s;
    lb_json_begin(&r.j, r.t->name, 0, text, bytes);
    read_all(&r);
    s = r.j.status;
    if (!s) s = put_together(&r);
    free(r.vocab.at);
    free(r.merges.at);
    free(r.added.at);
    free(r.around.at);
    free(r.specials.at);
    if (s) lb_tokenizer_free(r.t);
    else *out = r.t;
    return s;
}
