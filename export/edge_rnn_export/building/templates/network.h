/* $title
 *
 * $shape
 * Built by edge_rnn $version for $device ($triple, $cpu). No C library, no allocation, no writable data.
 *
 * All variable data is in a state that the caller owns: ${NAME}_STATE_BYTES bytes, aligned to ${NAME}_STATE_ALIGNMENT,
 * one for each sequence. Calls with different states may run concurrently. A state contains no addresses, so it may be
 * copied. Functions return ${NAME}_DONE, or the status codes listed with them.
 */
#ifndef ${NAME}_H
#define ${NAME}_H

#include <stdint.h>

#define ${NAME}_INPUT_SIZE $input_size
#define ${NAME}_OUTPUT_SIZE $output_size
#define ${NAME}_STATE_BYTES $state_bytes
#define ${NAME}_STATE_ALIGNMENT $state_alignment
#define ${NAME}_SAVED_FLOATS $saved_floats
#define ${NAME}_NEEDS_HWCAP ${hwcap}UL /* AT_HWCAP bits that the code requires on Linux */

enum {
    ${NAME}_DONE = 0,
    ${NAME}_BAD_SAMPLE = 1, /* the sample has a non-finite value; the state is unchanged */
    ${NAME}_BAD_OUTPUT = 2, /* an output or state would be non-finite; the state is unchanged */
    ${NAME}_NOT_RESET = 3,  /* the state was not initialized by ${name}_reset of this library */
    ${NAME}_BAD_STATE = 4,  /* the state is not aligned, or the values to restore are not finite */
    ${NAME}_BAD_POLICY = 5,
    ${NAME}_FAILED = 6 /* the self-test: outputs differ from the expected ones */
};

/* Handling of a sample that is not finite, or that makes the output so: reject it, hold the last finite value of each
 * channel (its mean, or zero, before the first one), or skip the sample and repeat the last output. Before the first
 * output, that is NaN: there is no answer yet. */
enum { ${NAME}_RAISE = 0, ${NAME}_HOLD = 1, ${NAME}_SKIP = 2 };

#ifdef __cplusplus
extern "C" {
#endif

/* Initialize the state, with the policy ${NAME}_RAISE. Call this first. DONE or BAD_STATE (not aligned). */
int32_t ${name}_reset(void *state);

/* Take one time step: x of $input_size floats, y of $output_size floats. DONE, BAD_SAMPLE, BAD_OUTPUT or NOT_RESET. */
int32_t ${name}_step(const float *x, float *y, void *state);

/* Take count steps over contiguous samples. Returns the number of steps taken before a sample was rejected. */
int32_t ${name}_run(const float *xs, float *ys, int32_t count, void *state);

/* Save and restore the state as ${NAME}_SAVED_FLOATS floats, also on another machine. */
int32_t ${name}_save(const void *state, float *saved);
int32_t ${name}_restore(void *state, const float *saved);

int32_t ${name}_set_policy(void *state, int32_t policy);

/* Number of samples held or skipped so far. */
int32_t ${name}_refused(const void *state);

/* Run $test_steps steps with known outputs. DONE or FAILED. Leaves the state as after ${name}_reset. */
int32_t ${name}_self_test(void *state);

/* ${NAME}_STATE_BYTES of this library. */
int32_t ${name}_state_bytes(void);

/* Metadata of the network, as JSON. */
extern const char ${name}_meta[];

#ifdef __cplusplus
}
#endif

#endif
