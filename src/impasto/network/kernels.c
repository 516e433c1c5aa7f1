/* The computations of one step on a CPU: 3 x 3 convolutions, and max pooling.

Convolutions need a quarter of the multiplications, by Winograd's F(4 x 4, 3 x 3):
Lavin & Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016. For every tile of 4 x 4
outputs, the 6 x 6 inputs d are transformed, multiplied by the transformed filters, and
transformed back:

    Y = A' [ sum over input channels of U * (B' d B) ] A        U = G g G'

Summed over channels, each of the 36 products is a matrix product over many tiles. Tiles are
processed in blocks whose scratch memory fits into the cache. Vectors run along tiles, so that any
number of channels works and pictures keep their layout, (C, H, W).

The code uses the vector extensions of GCC and Clang, which compile to AVX-512, AVX2 or NEON, as the
machine has. network/kernel.py compiles this file, compares it with torch's own convolution, and
does without it if there is no compiler. */

#include <stdint.h>
#include <string.h>

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

/* Return how many floats of scratch memory one worker needs. */
int64_t winograd_scratch(const Shape *shape) {
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

/* Compute one worker's part of the convolution of one picture,
(inputs, H, W) -> (outputs, H + 2 pad - 2, W + 2 pad - 2). All workers may run at the same time.

mask: like the input; where it is <= 0, the input counts as 0; or NULL. bias: (outputs), or NULL.
filters: packed, (36, panels, inputs, ROWS), the last panel padded with zeros.
scratch: winograd_scratch(shape) floats for this worker only. */
void winograd_convolve(const Shape *shape, const float *input, const float *mask,
                       const float *filters, const float *bias, float *output, float *scratch,
                       int worker, int workers) {
    int64_t rows = (shape->height + 2 * shape->pad + 1) / 4, panels = up_to_rows(shape->outputs);
    int64_t tiles = rows * ((shape->width + 2 * shape->pad + 1) / 4);
    int64_t blocks = (tiles + BLOCK - 1) / BLOCK, parts = 1;
    if (tiles <= 0) return;
    if (tiles < 2 * LANES * workers) /* too few tiles: split the channels into equal parts */
        for (parts = workers; panels % (ROWS * parts); parts--) {}
    else if (blocks < 8 * workers)
        blocks = (blocks + workers - 1) / workers * workers; /* the same number for every worker */
    int64_t each = ((tiles + blocks - 1) / blocks + LANES - 1) / LANES * LANES;
    if (each > BLOCK) each = BLOCK;
    blocks = (tiles + each - 1) / each;
    for (int64_t unit = worker; unit < blocks * parts; unit += workers) {
        int64_t block = unit / parts, part = unit % parts;
        int64_t end = (block + 1) * each < tiles ? (block + 1) * each : tiles;
        compute_block(shape, input, mask, filters, bias, output, block * each, end,
                      part * panels / parts, (part + 1) * panels / parts, scratch);
    }
}

/* The larger of two values, or NaN if either is NaN. */
static inline float larger(float a, float b) { return a > b || a != a ? a : b; }

/* Write the maximum of every 2 x 2 values in planes [first, last), (H, W) -> (H / 2, W / 2). */
static void pool_planes(const float *input, float *output, int64_t first, int64_t last, int64_t height,
                        int64_t width) {
    int64_t rows = height / 2, columns = width / 2;
    for (int64_t p = first; p < last; p++)
        for (int64_t y = 0; y < rows; y++) {
            const float *upper = input + (p * height + 2 * y) * width, *lower = upper + width;
            float *to = output + (p * rows + y) * columns;
            for (int64_t x = 0; x < columns; x++) {
                float a = larger(upper[2 * x], upper[2 * x + 1]);
                float b = larger(lower[2 * x], lower[2 * x + 1]);
                to[x] = larger(a, b);
            }
        }
}

/* Backward pass: give each pooled value's gradient to the first of the four that is the maximum. */
static void unpool_planes(const float *input, const float *slope, float *result, int64_t first,
                          int64_t last, int64_t height, int64_t width) {
    int64_t rows = height / 2, columns = width / 2;
    for (int64_t p = first; p < last; p++) {
        for (int64_t y = 0; y < rows; y++) {
            const float *upper = input + (p * height + 2 * y) * width, *lower = upper + width;
            const float *from = slope + (p * rows + y) * columns;
            float *above = result + (p * height + 2 * y) * width, *below = above + width;
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
        if (height % 2) memset(result + (p * height + height - 1) * width, 0, width * sizeof(float));
    }
}

/* Compute one worker's part of the pooling of `planes` planes; with a slope (the gradient by the
pooled values), of its backward pass. */
void pool(const float *input, const float *slope, float *output, int64_t planes, int64_t height,
          int64_t width, int worker, int workers) {
    int64_t first = planes * worker / workers, last = planes * (worker + 1) / workers;
    if (slope)
        unpool_planes(input, slope, output, first, last, height, width);
    else
        pool_planes(input, output, first, last, height, width);
}

/* The whole convolution by `workers` threads of OpenMP; scratch: winograd_scratch(shape) floats for
each of them. Like pool_together, it does nothing and returns 0 if it was compiled without OpenMP. */
int winograd_convolve_together(const Shape *shape, const float *input, const float *mask,
                               const float *filters, const float *bias, float *output,
                               float *scratch, int workers) {
#ifdef _OPENMP
    int64_t size = winograd_scratch(shape);
#pragma omp parallel for num_threads(workers) schedule(static, 1)
    for (int worker = 0; worker < workers; worker++)
        winograd_convolve(shape, input, mask, filters, bias, output, scratch + worker * size, worker,
                          workers);
    return 1;
#else
    (void)shape, (void)input, (void)mask, (void)filters, (void)bias, (void)output, (void)scratch;
    return (void)workers, 0;
#endif
}

int pool_together(const float *input, const float *slope, float *output, int64_t planes, int64_t height,
                  int64_t width, int workers) {
#ifdef _OPENMP
#pragma omp parallel for num_threads(workers) schedule(static, 1)
    for (int worker = 0; worker < workers; worker++)
        pool(input, slope, output, planes, height, width, worker, workers);
    return 1;
#else
    (void)input, (void)slope, (void)output, (void)planes, (void)height, (void)width;
    return (void)workers, 0;
#endif
}
