/* $title
 *
 * $shape
 * Built by edge_rnn $version for $device ($triple, $cpu). No C library, no allocation, no writable data.
 *
 * All that changes lies in a state that the caller owns: ${NAME}_STATE_BYTES bytes, aligned to ${NAME}_STATE_ALIGNMENT,
 * one for each sequence. Calls with different states may run at the same time. A state holds no addresses: it may be
 * copied. Functions return ${NAME}_DONE, or what else is told beside them.
 */
#ifndef ${NAME}_H
#define ${NAME}_H

#include <stdint.h>

#define ${NAME}_INPUT_SIZE $input_size
#define ${NAME}_OUTPUT_SIZE $output_size
#define ${NAME}_STATE_BYTES $state_bytes
#define ${NAME}_STATE_ALIGNMENT $state_alignment
#define ${NAME}_SAVED_FLOATS $saved_floats
#define ${NAME}_NEEDS_HWCAP ${hwcap}UL /* bits of AT_HWCAP on Linux without which the code must not be called */

enum {
    ${NAME}_DONE = 0,
    ${NAME}_BAD_SAMPLE = 1, /* a value of the sample is not finite; nothing has changed */
    ${NAME}_BAD_OUTPUT = 2, /* the sample made an output or a state that is not; nothing has changed */
    ${NAME}_NOT_RESET = 3,  /* the state was not made by ${name}_reset of this very library */
    ${NAME}_BAD_STATE = 4,  /* the state is not aligned, or what is to be restored is not finite */
    ${NAME}_BAD_POLICY = 5,
    ${NAME}_FAILED = 6 /* the self-test: other numbers than they should be */
};

/* What to do with a sample that is not finite, or that makes the output so: refuse it, hold the last finite value of
 * each channel (its mean, or zero, where there was none), or skip it and repeat the last output. Before the first output
 * that is NaN: there is no answer yet. */
enum { ${NAME}_RAISE = 0, ${NAME}_HOLD = 1, ${NAME}_SKIP = 2 };

#ifdef __cplusplus
extern "C" {
#endif

/* To the initial state, and to ${NAME}_RAISE; before anything else. BAD_STATE if it is not aligned. */
int32_t ${name}_reset(void *state);

/* One time step: x of $input_size floats, y of $output_size floats. DONE, BAD_SAMPLE, BAD_OUTPUT, NOT_RESET. */
int32_t ${name}_step(const float *x, float *y, void *state);

/* As many steps as count says, one behind the other; how many were done before one was refused. */
int32_t ${name}_run(const float *xs, float *ys, int32_t count, void *state);

/* What outlasts a step, as ${NAME}_SAVED_FLOATS floats: to be kept, and to go on from, also on another machine. */
int32_t ${name}_save(const void *state, float *saved);
int32_t ${name}_restore(void *state, const float *saved);

int32_t ${name}_set_policy(void *state, int32_t policy);

/* How many samples were held or skipped so far. */
int32_t ${name}_refused(const void *state);

/* Runs $test_steps steps whose answers the library knows; DONE or FAILED. Leaves the state as after ${name}_reset. */
int32_t ${name}_self_test(void *state);

/* ${NAME}_STATE_BYTES, as the library has it. */
int32_t ${name}_state_bytes(void);

/* What the network is, as JSON. */
extern const char ${name}_meta[];

#ifdef __cplusplus
}
#endif

#endif
