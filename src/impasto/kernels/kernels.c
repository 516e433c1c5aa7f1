/* The computations of one step on a CPU: 3 x 3 convolutions, max pooling, and products of features.

Convolutions need a quarter of the multiplications, by Winograd's F(4 x 4, 3 x 3):
Lavin & Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016. For every tile of 4 x 4
outputs, the 6 x 6 inputs d are transformed, multiplied by the transformed filters, and
transformed back:

    Y = A' [ sum over input channels of U * (B' d B) ] A        U = G g G'

Summed over channels, each of the 36 products is a matrix product over many tiles. Tiles are
processed in blocks whose scratch memory fits into the cache. Vectors run along tiles, so that any
number of channels works and pictures keep their layout, (C, H, W).

The code uses the vector extensions of GCC and Clang. They compile to AVX-512, AVX2 or NEON,
whichever the machine has. kernels/kernel.py compiles this file and compares it with torch. If there
is no compiler, impasto uses torch instead.

Work is cut into units. Each thread takes the next unit when it has finished one, so a thread that
another program delays does not delay the others. No sum is split between units in a way that
depends on the number of threads. So any number of threads computes the same bits. */

#define _GNU_SOURCE /* for RUSAGE_THREAD */
#include <stdint.h>
#include <string.h>

#ifndef NO_THREADS
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#endif

#if defined(__AVX512F__)
#define LANES 16 /* floats in a vector */
#define ROWS 8   /* output channels: ROWS x COLUMNS vectors of sums fit into the registers */
#elif defined(__AVX__)
#define LANES 8
#define ROWS 4
#else
#define LANES 4
#define ROWS 8
#endif
#define COLUMNS 3
#define BLOCK 96 /* maximum number of tiles in a block: a multiple of LANES * COLUMNS */
#define SKEW 16  /* offset that places the 36 matrices on different cache lines */
#define WIDE (4 * LANES)
#define UNITS 2 /* units that each thread should have: a late thread delays the end by one unit at most */
#define PART 128 /* minimum of output channels in a part, unless there are fewer units than threads */

typedef float vec __attribute__((vector_size(4 * LANES)));
typedef float loose __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int ivec __attribute__((vector_size(4 * LANES)));

#ifdef __clang__
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (ivec){__VA_ARGS__})
#endif

#if LANES == 16
#define EVEN 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define ODD 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
#define LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#define NEXT0 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16
#define NEXT1 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17
#elif LANES == 8
#define EVEN 0, 2, 4, 6, 8, 10, 12, 14
#define ODD 1, 3, 5, 7, 9, 11, 13, 15
#define LOW 0, 8, 1, 9, 2, 10, 3, 11
#define HIGH 4, 12, 5, 13, 6, 14, 7, 15
#define NEXT0 1, 2, 3, 4, 5, 6, 7, 8
#define NEXT1 1, 2, 3, 4, 5, 6, 7, 9
#else
#define EVEN 0, 2, 4, 6
#define ODD 1, 3, 5, 7
#define LOW 0, 4, 1, 5
#define HIGH 2, 6, 3, 7
#define NEXT0 1, 2, 3, 4
#define NEXT1 1, 2, 3, 5
#endif

static inline vec load(const float *from) { return *(const loose *)from; }
static inline void store(float *to, vec value) { *(loose *)to = value; }

/* Return how many output channels one panel of packed filters holds. */
int winograd_rows(void) { return ROWS; }

/* Copy `wide` floats of a row, starting at x. Outside the row, and where mask <= 0, write 0. */
static void read_row(float *to, const float *row, const float *mask, int64_t x, int64_t width, int64_t wide) {
    int64_t first = x < 0 ? -x : 0, last = width - x < wide ? width - x : wide;
    if (last < first) last = first;
    for (int64_t i = 0; i < first; i++) to[i] = 0;
    if (mask)
        for (int64_t i = first; i < last; i++) to[i] = mask[x + i] <= 0 ? 0 : row[x + i];
    else
        memcpy(to + first, row + x + first, (last - first) * sizeof(float));
    for (int64_t i = last; i < wide; i++) to[i] = 0;
}

/* B' d for one line of six values: one direction of the input transform. */
static inline void spread(const vec d[6], vec t[6]) {
    vec four = d[4] - 4 * d[2], three = d[3] - 4 * d[1];
    vec near = d[4] - d[2], twice = 2 * (d[3] - d[1]);
    t[0] = 4 * d[0] - 5 * d[2] + d[4];
    t[1] = four + three;
    t[2] = four - three;
    t[3] = near + twice;
    t[4] = near - twice;
    t[5] = 4 * d[1] - 5 * d[3] + d[5];
}

/* A' m for one line of six values: one direction of the output transform, six values to four. */
static inline void gather(const vec m[6], vec y[4]) {
    vec plus = m[1] + m[2], minus = m[1] - m[2], more = m[3] + m[4], less = m[3] - m[4];
    y[0] = m[0] + plus + more;
    y[1] = minus + 2 * less;
    y[2] = plus + 4 * more;
    y[3] = minus + 8 * less + m[5];
}

/* Transform LANES neighboring tiles of one channel: plane (H, W) -> 36 vectors, `stride` floats apart. */
static void transform_input(const float *plane, const float *mask, int64_t height, int64_t width, int64_t pad,
                            int64_t row, int64_t column, float *to, int64_t stride) {
    float lines[6][WIDE + LANES] __attribute__((aligned(64)));
    for (int64_t i = 0; i < 6; i++) {
        int64_t y = 4 * row - pad + i;
        if (y < 0 || y >= height)
            memset(lines[i], 0, sizeof lines[i]);
        else
            read_row(lines[i], plane + y * width, mask ? mask + y * width : 0, 4 * column - pad,
                     width, WIDE + LANES);
    }
    vec down[6][5]; /* transformed along y; vectors still run along x */
    for (int64_t x = 0; x < 5; x++) {
        vec d[6], t[6];
        for (int64_t i = 0; i < 6; i++) d[i] = load(lines[i] + x * LANES);
        spread(d, t);
        for (int64_t i = 0; i < 6; i++) down[i][x] = t[i];
    }
    for (int64_t i = 0; i < 6; i++) {
        vec e01 = SHUFFLE(down[i][0], down[i][1], EVEN), e23 = SHUFFLE(down[i][2], down[i][3], EVEN);
        vec o01 = SHUFFLE(down[i][0], down[i][1], ODD), o23 = SHUFFLE(down[i][2], down[i][3], ODD);
        vec d[6], t[6];
        d[0] = SHUFFLE(e01, e23, EVEN);
        d[1] = SHUFFLE(o01, o23, EVEN);
        d[2] = SHUFFLE(e01, e23, ODD);
        d[3] = SHUFFLE(o01, o23, ODD);
        d[4] = SHUFFLE(d[0], down[i][4], NEXT0);
        d[5] = SHUFFLE(d[1], down[i][4], NEXT1);
        spread(d, t);
        for (int64_t j = 0; j < 6; j++) store(to + (6 * i + j) * stride, t[j]);
    }
}

/* Transform LANES tiles of one output channel back. Write the pixels that lie in the picture. */
static void transform_output(const float *from, int64_t stride, float bias, int rectify, float *plane,
                             int64_t height, int64_t width, int64_t row, int64_t column, int64_t tiles) {
    vec across[6][4];
    for (int64_t i = 0; i < 6; i++) {
        vec m[6];
        for (int64_t j = 0; j < 6; j++) m[j] = load(from + (6 * i + j) * stride);
        gather(m, across[i]);
    }
    vec out[4][4];
    for (int64_t x = 0; x < 4; x++) {
        vec m[6], y[4];
        for (int64_t i = 0; i < 6; i++) m[i] = across[i][x];
        gather(m, y);
        for (int64_t i = 0; i < 4; i++) {
            vec value = y[i] + bias;
            out[i][x] = rectify ? (vec)((ivec)value & ~(value <= 0)) : value; /* keeps NaN */
        }
    }
    int64_t x = 4 * column, wide = width - x < 4 * tiles ? width - x : 4 * tiles;
    for (int64_t i = 0; i < 4 && 4 * row + i < height; i++) {
        vec a = SHUFFLE(out[i][0], out[i][2], LOW), b = SHUFFLE(out[i][1], out[i][3], LOW);
        vec c = SHUFFLE(out[i][0], out[i][2], HIGH), d = SHUFFLE(out[i][1], out[i][3], HIGH);
        vec pixels[4] = {SHUFFLE(a, b, LOW), SHUFFLE(a, b, HIGH), SHUFFLE(c, d, LOW),
                         SHUFFLE(c, d, HIGH)};
        float *to = plane + (4 * row + i) * width + x;
        if (wide == WIDE)
            for (int64_t j = 0; j < 4; j++) store(to + j * LANES, pixels[j]);
        else
            memcpy(to, pixels, wide * sizeof(float));
    }
}

/* One register block of a product: ROWS channels by COUNT vectors of tiles, summed over all inputs. */
#define PRODUCT(COUNT)                                                                             \
    static void product_##COUNT(const float *filters, const float *values, float *to, int64_t inputs) { \
        vec sums[ROWS][COUNT] = {{{0}}};                                                           \
        for (int64_t k = 0; k < inputs; k++) {                                                        \
            vec value[COUNT];                                                                      \
            for (int j = 0; j < COUNT; j++) value[j] = load(values + k * BLOCK + j * LANES);       \
            for (int i = 0; i < ROWS; i++)                                                         \
                for (int j = 0; j < COUNT; j++) sums[i][j] += filters[k * ROWS + i] * value[j];    \
        }                                                                                          \
        for (int i = 0; i < ROWS; i++)                                                             \
            for (int j = 0; j < COUNT; j++) store(to + i * BLOCK + j * LANES, sums[i][j]);         \
    }
PRODUCT(1)
PRODUCT(2)
PRODUCT(3)

/* The sizes and options of a convolution. */
typedef struct {
    int64_t inputs, outputs;  /* channels */
    int64_t height, width;    /* of the input */
    int64_t pad;              /* width of the border of zeros: 0, 1 or 2 */
    int64_t rectify;          /* whether a ReLU follows */
} Shape;

static int64_t up_to_rows(int64_t channels) { return (channels + ROWS - 1) / ROWS * ROWS; }

static int64_t winograd_scratch(const Shape *shape) {
    return 36 * ((shape->inputs + up_to_rows(shape->outputs)) * BLOCK + 2 * SKEW);
}

/* Compute tiles [first, last) of output channels [low, high). */
static void compute_block(const Shape *shape, const float *input, const float *mask,
                          const float *filters, const float *bias, float *output, int64_t first,
                          int64_t last, int64_t low, int64_t high, float *scratch) {
    int64_t inputs = shape->inputs, height = shape->height, width = shape->width, pad = shape->pad;
    int64_t out_height = height + 2 * pad - 2, out_width = width + 2 * pad - 2;
    int64_t across = (out_width + 3) / 4, panels = up_to_rows(shape->outputs);
    int64_t in_stride = inputs * BLOCK + SKEW, out_stride = (high - low) * BLOCK + SKEW;
    float *values = scratch, *products = scratch + 36 * in_stride;
    float apart[36 * LANES] __attribute__((aligned(64)));
    /* A vector can extend beyond the end of a row of tiles. The next row overwrites the excess. */
    for (int64_t c = 0; c < inputs; c++) {
        const float *plane = input + c * height * width, *its = mask ? mask + c * height * width : 0;
        for (int64_t tile = first; tile < last;) {
            int64_t row = tile / across, column = tile % across, end = (row + 1) * across;
            if (end > last) end = last;
            for (; tile < end; tile += LANES, column += LANES) {
                float *to = values + c * BLOCK + (tile - first);
                if (tile - first + LANES <= BLOCK) {
                    transform_input(plane, its, height, width, pad, row, column, to, in_stride);
                    continue;
                }
                transform_input(plane, its, height, width, pad, row, column, apart, LANES);
                for (int64_t f = 0; f < 36; f++)
                    memcpy(to + f * in_stride, apart + f * LANES, (end - tile) * sizeof(float));
            }
            tile = end;
        }
    }
    int64_t vectors = (last - first + LANES - 1) / LANES;
    for (int64_t f = 0; f < 36; f++)
        for (int64_t o = low; o < high; o += ROWS) {
            const float *panel = filters + (f * panels + o) * inputs;
            for (int64_t v = 0; v < vectors; v += COLUMNS) {
                const float *from = values + f * in_stride + v * LANES;
                float *to = products + f * out_stride + (o - low) * BLOCK + v * LANES;
                if (vectors - v >= 3)
                    product_3(panel, from, to, inputs);
                else if (vectors - v == 2)
                    product_2(panel, from, to, inputs);
                else
                    product_1(panel, from, to, inputs);
            }
        }
    for (int64_t o = low; o < high && o < shape->outputs; o++) {
        float *plane = output + o * out_height * out_width;
        for (int64_t tile = first; tile < last;) {
            int64_t row = tile / across, column = tile % across, end = (row + 1) * across;
            if (end > last) end = last;
            for (; tile < end; tile += LANES, column += LANES) {
                const float *from = products + (o - low) * BLOCK + (tile - first);
                int64_t stride = out_stride, count = end - tile < LANES ? end - tile : LANES;
                if (tile - first + LANES > BLOCK) {
                    for (int64_t f = 0; f < 36; f++)
                        memcpy(apart + f * LANES, from + f * stride, count * sizeof(float));
                    from = apart, stride = LANES;
                }
                transform_output(from, stride, bias ? bias[o] : 0, shape->rectify, plane, out_height,
                                 out_width, row, column, count);
            }
            tile = end;
        }
    }
}

/* How a convolution is cut into units: a unit is a block of `each` tiles and a part of the outputs. */
typedef struct {
    int64_t tiles, each, blocks, parts;
} Cut;

static Cut cut_convolution(const Shape *shape, int workers) {
    int64_t rows = (shape->height + 2 * shape->pad + 1) / 4, panels = up_to_rows(shape->outputs);
    Cut cut = {.tiles = rows * ((shape->width + 2 * shape->pad + 1) / 4), .parts = 1};
    if (cut.tiles <= 0) return (Cut){0};
    int64_t blocks = (cut.tiles + BLOCK - 1) / BLOCK;
    /* If there are few blocks, split the output channels. Smaller blocks would not help, because each
    block reads all filters of its channels again. But each part transforms the input again, which
    takes as long as the products for about 10 channels. */
    while (blocks * cut.parts < UNITS * workers && panels % (2 * ROWS * cut.parts) == 0 &&
           (blocks * cut.parts < workers || panels / cut.parts >= 2 * PART))
        cut.parts *= 2;
    if (blocks * cut.parts < UNITS * workers)
        blocks = (blocks + workers - 1) / workers * workers;
    cut.each = ((cut.tiles + blocks - 1) / blocks + LANES - 1) / LANES * LANES;
    if (cut.each < 2 * LANES) cut.each = 2 * LANES;
    if (cut.each > BLOCK) cut.each = BLOCK;
    cut.blocks = (cut.tiles + cut.each - 1) / cut.each;
    return cut;
}

/* ---- units of work ------------------------------------------------------------------------- */

/* The arguments of one call. The `_unit` function of a kind of work says which of them it needs. */
typedef struct {
    Shape shape;
    Cut cut;
    const float *input, *other, *filters, *bias;
    float *output, *scratch;
    int64_t planes, size, count; /* `size` floats of scratch memory for each thread */
} Job;

typedef void (*Unit)(const Job *job, int64_t unit, int worker);

/* (inputs, H, W) -> (outputs, H + 2 pad - 2, W + 2 pad - 2).
other: like the input; where it is <= 0, the input counts as 0; or NULL. bias: (outputs), or NULL.
filters: packed, (36, panels, inputs, ROWS), the last panel padded with zeros. */
static void convolve_unit(const Job *job, int64_t unit, int worker) {
    const Cut *cut = &job->cut;
    int64_t block = unit / cut->parts, part = unit % cut->parts, panels = up_to_rows(job->shape.outputs);
    int64_t end = (block + 1) * cut->each < cut->tiles ? (block + 1) * cut->each : cut->tiles;
    compute_block(&job->shape, job->input, job->other, job->filters, job->bias, job->output,
                  block * cut->each, end, part * panels / cut->parts, (part + 1) * panels / cut->parts,
                  job->scratch + worker * job->size);
}

/* The larger of two values, or NaN if either is NaN. */
static inline float larger(float a, float b) { return a > b || a != a ? a : b; }

/* Write the maximum of every 2 x 2 values of one plane, (H, W) -> (H / 2, W / 2). */
static void pool_plane(const float *input, float *output, int64_t height, int64_t width) {
    int64_t rows = height / 2, columns = width / 2;
    for (int64_t y = 0; y < rows; y++) {
        const float *upper = input + 2 * y * width, *lower = upper + width;
        float *to = output + y * columns;
        for (int64_t x = 0; x < columns; x++) {
            float a = larger(upper[2 * x], upper[2 * x + 1]);
            float b = larger(lower[2 * x], lower[2 * x + 1]);
            to[x] = larger(a, b);
        }
    }
}

/* Backward pass: give each pooled value's gradient to the first of the four that is the maximum. */
static void unpool_plane(const float *input, const float *slope, float *result, int64_t height,
                         int64_t width) {
    int64_t rows = height / 2, columns = width / 2;
    for (int64_t y = 0; y < rows; y++) {
        const float *upper = input + 2 * y * width, *lower = upper + width;
        const float *from = slope + y * columns;
        float *above = result + 2 * y * width, *below = above + width;
        for (int64_t x = 0; x < columns; x++) {
            float a = upper[2 * x], b = upper[2 * x + 1], c = lower[2 * x], d = lower[2 * x + 1];
            float ab = a >= b ? a : b, cd = c >= d ? c : d;
            float s = from[x], top = ab >= cd ? s : 0, bottom = ab >= cd ? 0 : s;
            above[2 * x] = a >= b ? top : 0;
            above[2 * x + 1] = a >= b ? 0 : top;
            below[2 * x] = c >= d ? bottom : 0;
            below[2 * x + 1] = c >= d ? 0 : bottom;
        }
        if (width % 2) above[width - 1] = below[width - 1] = 0;
    }
    if (height % 2) memset(result + (height - 1) * width, 0, width * sizeof(float));
}

/* Pool `planes` planes, `count` in each unit. other: NULL, or in the backward pass, the gradient with
respect to the pooled values. */
static void pool_unit(const Job *job, int64_t unit, int worker) {
    int64_t height = job->shape.height, width = job->shape.width;
    int64_t full = height * width, pooled = (height / 2) * (width / 2);
    int64_t last = (unit + 1) * job->count < job->planes ? (unit + 1) * job->count : job->planes;
    (void)worker;
    for (int64_t p = unit * job->count; p < last; p++)
        if (job->other)
            unpool_plane(job->input + p * full, job->other + p * pooled, job->output + p * full, height,
                         width);
        else
            pool_plane(job->input + p * full, job->output + p * pooled, height, width);
}

/* ---- products of features ------------------------------------------------------------------ */

#define POSITIONS 1024 /* positions in each partial sum of a correlation: a multiple of LANES */
#if LANES == 16
#define LEFT 6 /* LEFT x RIGHT vectors of sums fit into the registers */
#define RIGHT 4
#elif LANES == 8
#define LEFT 3
#define RIGHT 3
#else
#define LEFT 4
#define RIGHT 4
#endif

static inline float lanes_sum(vec value) {
    float total = 0;
    for (int i = 0; i < LANES; i++) total += value[i];
    return total;
}

/* Sums of products of `rows` rows of a by `columns` rows of b, over `length` positions. */
static inline __attribute__((always_inline)) void
correlate_block(const float *a, const float *b, int64_t stride, int64_t length, int rows, int columns,
                float *to, int64_t to_stride) {
    vec sums[LEFT][RIGHT] = {{{0}}};
    int64_t p = 0;
    for (; p + LANES <= length; p += LANES) {
        vec right[RIGHT];
        for (int j = 0; j < columns; j++) right[j] = load(b + j * stride + p);
        for (int i = 0; i < rows; i++) {
            vec left = load(a + i * stride + p);
            for (int j = 0; j < columns; j++) sums[i][j] += left * right[j];
        }
    }
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++) {
            float total = lanes_sum(sums[i][j]);
            for (int64_t q = p; q < length; q++) total += a[i * stride + q] * b[j * stride + q];
            to[i * to_stride + j] = total;
        }
}

/* Correlate channels over POSITIONS positions: (inputs, n), (outputs, n) -> (inputs, outputs).
A unit is LEFT rows of the input by one chunk of positions. Its result is one of the partial sums,
(chunks, inputs, outputs), which the caller adds up in their order.
other: the second map; if it is the input itself, only the upper triangle is computed. */
static void correlate_unit(const Job *job, int64_t unit, int worker) {
    int64_t inputs = job->shape.inputs, outputs = job->shape.outputs, n = job->count;
    int64_t panels = (inputs + LEFT - 1) / LEFT, chunk = unit / panels, first = unit % panels * LEFT;
    int64_t start = chunk * POSITIONS, length = n - start < POSITIONS ? n - start : POSITIONS;
    int64_t rows = inputs - first < LEFT ? inputs - first : LEFT;
    const float *a = job->input + first * n + start, *b = job->other + start;
    float *to = job->output + (chunk * inputs + first) * outputs;
    (void)worker;
    for (int64_t j = job->other == job->input ? first / RIGHT * RIGHT : 0; j < outputs; j += RIGHT) {
        int64_t columns = outputs - j < RIGHT ? outputs - j : RIGHT;
        if (rows == LEFT && columns == RIGHT)
            correlate_block(a, b + j * n, n, length, LEFT, RIGHT, to + j, outputs);
        else
            correlate_block(a, b + j * n, n, length, (int)rows, (int)columns, to + j, outputs);
    }
}

/* Mix channels: (inputs, n) -> (outputs, n), at every position filters * input + bias.
filters: packed, (panels, inputs, ROWS), the last panel padded with zeros. A unit is cut.each positions,
at most BLOCK. */
static void mix_unit(const Job *job, int64_t unit, int worker) {
    int64_t inputs = job->shape.inputs, outputs = job->shape.outputs, n = job->count;
    int64_t each = job->cut.each, start = unit * each, length = n - start < each ? n - start : each;
    int64_t vectors = (length + LANES - 1) / LANES;
    float *values = job->scratch + worker * job->size, *products = values + inputs * BLOCK;
    for (int64_t k = 0; k < inputs; k++) {
        memcpy(values + k * BLOCK, job->input + k * n + start, length * sizeof(float));
        for (int64_t p = length; p < vectors * LANES; p++) values[k * BLOCK + p] = 0;
    }
    for (int64_t o = 0; o < outputs; o += ROWS) {
        const float *panel = job->filters + o * inputs;
        for (int64_t v = 0; v < vectors; v += COLUMNS) {
            const float *from = values + v * LANES;
            float *to = products + v * LANES;
            if (vectors - v >= 3)
                product_3(panel, from, to, inputs);
            else if (vectors - v == 2)
                product_2(panel, from, to, inputs);
            else
                product_1(panel, from, to, inputs);
        }
        for (int64_t i = 0; i < ROWS && o + i < outputs; i++) {
            float *to = job->output + (o + i) * n + start, bias = job->bias ? job->bias[o + i] : 0;
            for (int64_t p = 0; p < length; p++) to[p] = products[i * BLOCK + p] + bias;
        }
    }
}

/* ---- threads ------------------------------------------------------------------------------- */

/* The kinds of work, in the order of kernels/kernel.py. */
static const Unit KINDS[] = {convolve_unit, pool_unit, correlate_unit, mix_unit};

/* Prepare a job for this number of threads, and return its number of units. */
static int64_t plan(Job *job, int kind, int workers) {
    const Shape *shape = &job->shape;
    switch (kind) {
    case 0:
        job->cut = cut_convolution(shape, workers);
        return job->cut.blocks * job->cut.parts;
    case 1: {
        int64_t wanted = UNITS * workers;
        job->count = (job->planes + wanted - 1) / wanted;
        return job->count ? (job->planes + job->count - 1) / job->count : 0;
    }
    case 2:
        return (job->count + POSITIONS - 1) / POSITIONS * ((shape->inputs + LEFT - 1) / LEFT);
    default: {
        int64_t each = (job->count + UNITS * workers - 1) / (UNITS * workers);
        each = (each + LANES - 1) / LANES * LANES;
        if (each < LANES * COLUMNS) each = LANES * COLUMNS;
        job->cut.each = each < BLOCK ? each : BLOCK;
        return (job->count + job->cut.each - 1) / job->cut.each;
    }
    }
}

/* Return how many floats of scratch memory each thread needs. */
int64_t scratch_size(const Shape *shape, int kind) {
    if (kind == 0) return winograd_scratch(shape);
    return kind == 3 ? (shape->inputs + ROWS) * BLOCK : 0;
}

/* Return how many chunks of positions a correlation has. */
int64_t correlation_chunks(int64_t positions) { return (positions + POSITIONS - 1) / POSITIONS; }

/* Do every `workers`-th unit. Threads that the caller has started call this function. */
void work_share(Job *job, int kind, int worker, int workers) {
    Job own = *job;
    int64_t units = plan(&own, kind, workers);
    for (int64_t unit = worker; unit < units; unit += workers) KINDS[kind](&own, unit, worker);
}

#ifdef NO_THREADS

int work_together(Job *job, int kind, int workers) { return (void)job, (void)kind, (void)workers, 0; }

#else

#define MOST_THREADS 256
#define PATIENT 20000 /* rounds of the loop in which a thread waits for the next call: about 0.3 ms */
#define HURRIED 1000

/* The threads that help the calling one. They sleep between calls. */
static struct {
    pthread_mutex_t mutex;
    pthread_cond_t called, left;
    int threads, wanted; /* how many exist; how many may join the current call */
    int open;            /* whether threads may still join the current call */
    Unit unit;
    const Job *job;
    int64_t units;
    atomic_llong next; /* the next unit that no thread has taken */
    atomic_int joined; /* threads that work on the current call */
    atomic_uint calls;
    atomic_flag taken; /* whether a call is in progress */
} crew = {.mutex = PTHREAD_MUTEX_INITIALIZER,
          .called = PTHREAD_COND_INITIALIZER,
          .left = PTHREAD_COND_INITIALIZER,
          .taken = ATOMIC_FLAG_INIT};

static inline void rest_a_little(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void take_units(int worker) {
    for (;;) {
        int64_t unit = atomic_fetch_add(&crew.next, 1);
        if (unit >= crew.units) return;
        crew.unit(crew.job, unit, worker);
    }
}

/* Return how often the system has taken the calling thread off its core for another one. */
static long interruptions(void) {
#ifdef RUSAGE_THREAD
    struct rusage usage;
    return getrusage(RUSAGE_THREAD, &usage) ? 0 : usage.ru_nivcsw;
#else
    return 0;
#endif
}

/* Waiting in a loop saves the time of waking up, about 0.1 ms. But if other programs need the core, it
wastes this thread's share of the core. So a thread that was interrupted waits a shorter time for
the next 64 calls. */
static void *help(void *number) {
    int worker = (int)(intptr_t)number, hurried = 0;
    unsigned seen = 0;
    long before = interruptions();
    for (;;) {
        long now = interruptions();
        hurried = now > before ? 64 : hurried ? hurried - 1 : 0;
        before = now;
        int rounds = hurried ? HURRIED : PATIENT;
        for (int i = 0; i < rounds && atomic_load(&crew.calls) == seen; i++) rest_a_little();
        pthread_mutex_lock(&crew.mutex);
        while (atomic_load(&crew.calls) == seen) pthread_cond_wait(&crew.called, &crew.mutex);
        seen = atomic_load(&crew.calls);
        int joins = crew.open && worker < crew.wanted;
        if (joins) atomic_fetch_add(&crew.joined, 1);
        pthread_mutex_unlock(&crew.mutex);
        if (!joins) continue;
        take_units(worker);
        pthread_mutex_lock(&crew.mutex);
        if (atomic_fetch_sub(&crew.joined, 1) == 1) pthread_cond_signal(&crew.left);
        pthread_mutex_unlock(&crew.mutex);
    }
    return 0;
}

/* A forked child has none of its parent's threads. */
static void forget_threads(void) {
    pthread_mutex_init(&crew.mutex, 0);
    pthread_cond_init(&crew.called, 0);
    pthread_cond_init(&crew.left, 0);
    crew.threads = crew.open = 0;
    atomic_store(&crew.joined, 0);
    atomic_flag_clear(&crew.taken);
}

static void start_threads(int workers) {
    static int registered;
    if (!registered) registered = !pthread_atfork(0, 0, forget_threads);
    for (; crew.threads + 1 < workers; crew.threads++) {
        pthread_t thread;
        if (pthread_create(&thread, 0, help, (void *)(intptr_t)(crew.threads + 1))) return;
        pthread_detach(thread);
    }
}

/* Do a job on `workers` threads, of which the calling one is the first. The caller waits only for
threads that have joined, not for those that the system has not started in time. Return 0, and do
nothing, if this library was compiled without threads. */
int work_together(Job *job, int kind, int workers) {
    if (workers > MOST_THREADS) workers = MOST_THREADS;
    int64_t units = plan(job, kind, workers);
    if (workers < 2 || units < 2 || atomic_flag_test_and_set(&crew.taken)) {
        for (int64_t unit = 0; unit < units; unit++) KINDS[kind](job, unit, 0);
        return 1;
    }
    start_threads(workers);
    pthread_mutex_lock(&crew.mutex);
    crew.unit = KINDS[kind], crew.job = job, crew.units = units;
    crew.wanted = workers, crew.open = 1;
    atomic_store(&crew.next, 0);
    atomic_fetch_add(&crew.calls, 1);
    pthread_cond_broadcast(&crew.called);
    pthread_mutex_unlock(&crew.mutex);
    take_units(0);
    pthread_mutex_lock(&crew.mutex);
    crew.open = 0; /* from now on, no thread joins */
    pthread_mutex_unlock(&crew.mutex);
    for (int i = 0; i < HURRIED && atomic_load(&crew.joined); i++) rest_a_little();
    pthread_mutex_lock(&crew.mutex);
    while (atomic_load(&crew.joined)) pthread_cond_wait(&crew.left, &crew.mutex);
    pthread_mutex_unlock(&crew.mutex);
    atomic_flag_clear(&crew.taken);
    return 1;
}

#endif
