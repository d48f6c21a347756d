/* gptq_learn.h: what GPTQ makes of sample activations: the upper Cholesky factor of the inverse Hessian.
 *
 * H = 2 X^T X; columns that no sample uses get a 1 on the diagonal and weights of zero; 0.01 times the diagonal's mean
 * is added to the diagonal. With H = R R^T (R upper), H^-1 = U^T U for U = R^-1, upper too. All in f64: 8 K^2 bytes,
 * about 2/3 K^3 multiplications. */
#pragma once
#include <math.h>

#include "kquant.h"

typedef struct lb_gptq_learned {
    int64_t k;
    double *u;               /* [K][K], upper; in the same allocation */
    bool *dead;              /* [K] */
} lb_gptq_learned;

LB_INLINE double lb_gptq_dot(const double *a, const double *b, int64_t n) {
    double sums[16] = { 0 }, sum = 0;
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int j = 0; j < 16; j++) sums[j] += a[i + j] * b[i + j];
    for (; i < n; i++) sum += a[i] * b[i];
    for (int j = 0; j < 16; j++) sum += sums[j];
    return sum;
}

/* The upper half of 2 X^T X, four samples at a time. Weights that are no numbers count as 0. */
LB_WIDE static void lb_gptq_hessian(const float *x, int64_t m, int64_t k, double *h) {
    memset(h, 0, (size_t)(k * k) * sizeof *h);
    for (int64_t s = 0; s < m; s++)
        for (int64_t i = 0; i < k; i++) {
            double xi = 2.0 * (double)lb_clean(x[s * k + i]), *row = h + i * k;
            for (int64_t j = i; j < k; j++) row[j] += xi * (double)lb_clean(x[s * k + j]);
        }
}

/* R of H = R R^T over the upper half of h; false if it is not positive definite. Columns from the last on: what column
 * j needs of rows i < j lies behind it in both rows. */
LB_WIDE static bool lb_gptq_factor(int64_t k, double *h) {
    for (int64_t j = k - 1; j >= 0; j--) {
        double *own = h + j * k, d = own[j] - lb_gptq_dot(own + j + 1, own + j + 1, k - 1 - j);
        if (!(d > 0)) return false;
        own[j] = sqrt(d);
        for (int64_t i = 0; i < j; i++) {
            double *row = h + i * k;
            row[j] = (row[j] - lb_gptq_dot(row + j + 1, own + j + 1, k - 1 - j)) / own[j];
        }
    }
    return true;
}

/* R to its inverse, in place: row i of the inverse from the rows below. `line` has room for a row. */
LB_WIDE static void lb_gptq_invert(int64_t k, double *r, double *line) {
    for (int64_t i = k - 1; i >= 0; i--) {
        double *row = r + i * k, d = 1.0 / row[i];
        memset(line, 0, (size_t)k * sizeof *line);
        for (int64_t p = i + 1; p < k; p++) {
            const double *below = r + p * k;
            double f = -row[p] * d;
            for (int64_t j = p; j < k; j++) line[j] += f * below[j];
        }
        line[i] = d;
        memcpy(row + i, line + i, (size_t)(k - i) * sizeof *row);
    }
}

/* NULL: no memory, or activations of which nothing can be learned (not finite). */
static void *lb_gptq_learn(const float *x, int64_t m, int64_t k) {
    lb_gptq_learned *l = malloc(sizeof *l + (size_t)(k * k + k) * sizeof(double) + (size_t)k);
    if (!l) return NULL;
    l->k = k;
    l->u = (double *)(void *)(l + 1);
    double *line = l->u + k * k, mean = 0;
    l->dead = (bool *)(line + k);
    lb_gptq_hessian(x, m, k, l->u);
    for (int64_t i = 0; i < k; i++) {
        l->dead[i] = l->u[i * k + i] == 0;
        if (l->dead[i]) l->u[i * k + i] = 1;
        mean += l->u[i * k + i] / (double)k;
    }
    for (int64_t i = 0; i < k; i++) l->u[i * k + i] += 0.01 * mean;
    if (!lb_gptq_factor(k, l->u)) {
        free(l);
        return NULL;
    }
    lb_gptq_invert(k, l->u, line);
    return l;
}
