/* names.c: "did you mean ...": the known names nearest to a mistyped one. */
#include "names.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { LENGTH_MAX = 63, NEAREST = 3 };

/* Edit distance with swaps of neighbours, case ignored, over the first 63 bytes. */
static int distance(const char *a, const char *b) {
    int rows[3][LENGTH_MAX + 1], n = (int)strnlen(a, LENGTH_MAX), m = (int)strnlen(b, LENGTH_MAX);
    int *before = rows[0], *last = rows[1], *now = rows[2];
    for (int j = 0; j <= m; j++) last[j] = j, before[j] = j;
    for (int i = 1; i <= n; i++) {
        now[0] = i;
        for (int j = 1; j <= m; j++) {
            int ca = tolower((unsigned char)a[i - 1]), cb = tolower((unsigned char)b[j - 1]);
            int d = last[j - 1] + (ca != cb);
            if (last[j] + 1 < d) d = last[j] + 1;
            if (now[j - 1] + 1 < d) d = now[j - 1] + 1;
            if (i > 1 && j > 1 && ca == tolower((unsigned char)b[j - 2]) && cb == tolower((unsigned char)a[i - 2]) &&
                before[j - 2] + 1 < d)
                d = before[j - 2] + 1;
            now[j] = d;
        }
        int *t = before;
        before = last, last = now, now = t;
    }
    return last[m];
}

/* Appends as printf does; false once `out` is full (the text is then as it was before). */
static bool append(char *out, size_t out_bytes, size_t *at, const char *before, const char *name, const char *after) {
    int n = snprintf(out + *at, out_bytes - *at, "%s%s%s", before, name, after);
    if (n < 0 || (size_t)n >= out_bytes - *at) {
        out[*at] = 0;
        return false;
    }
    *at += (size_t)n;
    return true;
}

static void list_all(const char *const *names, int count, char *out, size_t out_bytes) {
    size_t at = 0;
    for (int i = 0; i < count; i++)
        if (!append(out, out_bytes > 6 ? out_bytes - 6 : 1, &at, i ? ", " : "; known: ", names[i], "")) {
            append(out, out_bytes, &at, ", ...", "", "");
            return;
        }
}

void lb_names_hint(const char *name, const char *const *names, int count, char *out, size_t out_bytes) {
    const char *best[NEAREST];
    int score[NEAREST], found = 0, limit = 2 + (int)strnlen(name, LENGTH_MAX) / 3;
    if (out_bytes == 0) return;
    out[0] = 0;
    for (int i = 0; i < count; i++) {
        int d = distance(name, names[i]);
        if (d > limit && (strlen(name) < 2 || !strcasestr(names[i], name))) continue;
        int at = found < NEAREST ? found : NEAREST;
        while (at > 0 && score[at - 1] > d) at--;
        if (at == NEAREST) continue;
        if (found < NEAREST) found++;
        for (int j = found - 1; j > at; j--) best[j] = best[j - 1], score[j] = score[j - 1];
        best[at] = names[i], score[at] = d;
    }
    if (!found) {
        list_all(names, count, out, out_bytes);
        return;
    }
    size_t at = 0;
    for (int i = 0; i < found; i++)
        if (!append(out, out_bytes, &at, i ? ", '" : "; did you mean '", best[i], i + 1 < found ? "'" : "'?")) return;
}
