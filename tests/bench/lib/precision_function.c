/* precision_function.c: what both engines time in precision.lua: y += scale * x over n elements. One object for
 * both. */
void add_scaled(const float *restrict x, float scale, float *restrict y, long n);

void add_scaled(const float *restrict x, float scale, float *restrict y, long n) {
    for (long i = 0; i < n; i++) y[i] += scale * x[i];
}
