// The selective scan of Mamba (Gu and Dao 2023), fused: one pass over the sequence with the states in registers.
//
//     h_l = exp(dt_l A) h_(l-1) + dt_l u_l B_l        y_l = C_l . h_l + skip u_l
//
// Sixteen channels go side by side, and every state of theirs is a vector; nothing of the size of the states is ever
// written to memory. Plain C++ with the vectors of GCC and Clang, for any processor.

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace edgekit {

constexpr std::size_t LANES = 16;
// States that are kept in registers at once; those beyond them are scanned in a pass of their own.
constexpr std::size_t STATES = 16;

typedef float Vector __attribute__((vector_size(LANES * sizeof(float))));
typedef std::int32_t Integers __attribute__((vector_size(LANES * sizeof(std::int32_t))));

// 2^x for x <= 0, to about 2 units in the last place; no less than 2^-126, which a state does not feel. What is no
// number stays none: it must be seen in the result.
inline Vector exp2_of_negative(Vector x) {
    x = x < -126.0f ? Vector{} - 126.0f : x;
    // Adding 1.5 * 2^23 rounds to the nearest integer, which then stands in the last bits.
    const Vector shifted = x + 12582912.0f;
    const Vector r = x - (shifted - 12582912.0f);
    // Taylor's series of exp(r ln 2), |r| <= 1/2: the first term left out is below 2e-7.
    Vector p = r * 1.5403530e-4f + 1.3333558e-3f;
    p = p * r + 9.6181291e-3f;
    p = p * r + 5.5504109e-2f;
    p = p * r + 2.4022651e-1f;
    p = p * r + 6.9314718e-1f;
    p = p * r + 1.0f;
    Integers bits, exponent;
    std::memcpy(&bits, &p, sizeof bits);
    std::memcpy(&exponent, &shifted, sizeof exponent);
    bits += exponent << 23;
    std::memcpy(&p, &bits, sizeof p);
    return p;
}

// log(1 + e^x), without overflow: the larger of x and 0, and log(1 + e^-|x|).
inline Vector softplus(Vector x) {
    const Vector zero = {};
    const Vector size = x < zero ? x : -x;
    const Vector e = exp2_of_negative(size * 1.44269504f);
    // log(1 + e) = 2 artanh(e / (2 + e)), whose argument is at most 1/3: the first term left out is below 2e-7.
    const Vector s = e / (e + 2.0f), square = s * s;
    Vector p = square * (1.0f / 11.0f) + 1.0f / 9.0f;
    p = p * square + 1.0f / 7.0f;
    p = p * square + 1.0f / 5.0f;
    p = p * square + 1.0f / 3.0f;
    p = p * square + 1.0f;
    return (x > zero ? x : zero) + 2.0f * s * p;
}

inline Vector load(const float* from, std::size_t count) {
    Vector found = {};
    std::memcpy(&found, from, count * sizeof(float));
    return found;
}

// One image and one direction: u, dt and y [length, channels], A [channels, states], B and C [length, states].
struct Sequence {
    const float *u, *dt, *A, *B, *C, *skip;
    float* y;
    std::size_t length, channels, states;
    bool backwards;  // read from the end
    bool raw_steps;  // dt is yet to be made positive, by softplus
};

// Channels [first, first + count), with S of their states, from `state` on. By value: else every store might change it.
template <std::size_t S>
void scan_channels(const Sequence of, std::size_t first, std::size_t count, std::size_t state) {
    Vector rates[S], held[S];
    for (std::size_t s = 0; s < S; ++s) {
        Vector rate = {};
        for (std::size_t lane = 0; lane < count; ++lane) rate[lane] = of.A[(first + lane) * of.states + state + s];
        rates[s] = rate * 1.44269504f;  // log2(e)
        held[s] = Vector{};
    }
    const Vector through = load(of.skip + first, count);
    const bool whole = count == LANES;
    const auto place = [&](std::size_t done) { return of.backwards ? of.length - 1 - done : done; };
    const auto time_of = [&](std::size_t step) {
        const float* from = of.dt + step * of.channels + first;
        const Vector given = whole ? load(from, LANES) : load(from, count);
        return of.raw_steps ? softplus(given) : given;
    };
    Vector next = time_of(place(0));
    for (std::size_t done = 0; done < of.length; ++done) {
        const std::size_t step = place(done), at = step * of.channels + first;
        const Vector time = next;
        // Begun here, as its long chain of operations needs nothing of this step's.
        if (done + 1 < of.length) next = time_of(place(done + 1));
        const Vector input = whole ? load(of.u + at, LANES) : load(of.u + at, count);
        const Vector scaled = time * input;
        Vector sum = state == 0 ? through * input : load(of.y + at, count);
        const float* writes = of.B + step * of.states + state;
        const float* reads = of.C + step * of.states + state;
#pragma GCC unroll 16
        for (std::size_t s = 0; s < S; ++s) {
            held[s] = exp2_of_negative(time * rates[s]) * held[s] + scaled * writes[s];
            sum += held[s] * reads[s];
        }
        if (whole)
            std::memcpy(of.y + at, &sum, sizeof sum);
        else
            std::memcpy(of.y + at, &sum, count * sizeof(float));
    }
}

// As above for every state.
inline void scan_block(const Sequence& of, std::size_t first) {
    const std::size_t count = std::min(LANES, of.channels - first);
    for (std::size_t state = 0; state < of.states;) {
        const std::size_t left = of.states - state;
        if (left >= STATES) {
            scan_channels<STATES>(of, first, count, state);
            state += STATES;
        } else if (left >= 8) {
            scan_channels<8>(of, first, count, state);
            state += 8;
        } else if (left >= 4) {
            scan_channels<4>(of, first, count, state);
            state += 4;
        } else {
            scan_channels<1>(of, first, count, state);
            state += 1;
        }
    }
}

// How many tensors the operator takes, and their places.
enum Input : std::size_t { U, DT, A, B, C, SKIP, INPUTS };

// The whole operator: u, dt [N, G, L, D], A [G, D, S], B, C [N, G, L, S], skip [G, D]; y [N, G, L, D].
class Scan {
public:
    // `Shape` is a vector of sizes. A file may be altered, and nothing outside of the tensors may be read.
    template <typename Shape>
    static bool fit(const Shape (&shapes)[INPUTS], std::int64_t backwards) {
        const Shape& u = shapes[U];
        if (u.size() != 4 || shapes[B].size() != 4 || u[2] < 1 || backwards < 0) return false;
        const auto groups = u[1], length = u[2], channels = u[3], states = shapes[B][3];
        const Shape narrow{u[0], groups, length, states};
        return shapes[DT] == u && shapes[B] == narrow && shapes[C] == narrow &&
               shapes[A] == Shape{groups, channels, states} && shapes[SKIP] == Shape{groups, channels};
    }

    // The last `backwards` groups are read from their end. `raw_steps`: softplus makes dt positive.
    template <typename Shape>
    Scan(const float* const (&inputs)[INPUTS], float* y, const Shape& u, std::size_t states, std::int64_t backwards,
         bool raw_steps)
        : inputs(inputs), y(y), images(u[0]), groups(u[1]), length(u[2]), channels(u[3]), states(states),
          backwards(static_cast<std::size_t>(backwards)), raw_steps(raw_steps) {}

    // How many parts may be computed beside one another.
    std::size_t parts() const { return images * groups * blocks(); }

    void compute(std::size_t part) const {
        const std::size_t row = part / blocks(), group = row % groups, first = part % blocks() * LANES;
        const std::size_t wide = row * length * channels, narrow = row * length * states;
        scan_block({inputs[U] + wide, inputs[DT] + wide, inputs[A] + group * channels * states, inputs[B] + narrow,
                    inputs[C] + narrow, inputs[SKIP] + group * channels, y + wide, length, channels, states,
                    group + backwards >= groups, raw_steps},
                   first);
    }

private:
    std::size_t blocks() const { return (channels + LANES - 1) / LANES; }

    const float* const (&inputs)[INPUTS];
    float* y;
    std::size_t images, groups, length, channels, states, backwards;
    bool raw_steps;
};

}  // namespace edgekit
