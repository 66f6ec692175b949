/* Loop for a board without an operating system. You implement read_sample, act_on and report. */
#include "$name.h"

extern int read_sample(float *x);      /* waits for $input_size floats; 0 to end */
extern void act_on(const float *y);    /* $output_size floats */
extern void report(int32_t status);    /* a sample was rejected, or the self-test failed */

static _Alignas(${NAME}_STATE_ALIGNMENT) unsigned char state[${NAME}_STATE_BYTES];
static float x[${NAME}_INPUT_SIZE], y[${NAME}_OUTPUT_SIZE];

int main(void) {
    int32_t status = ${name}_self_test(state);
    if (status != ${NAME}_DONE) {
        report(status);
        return 1;
    }
    while (read_sample(x)) {
        status = ${name}_step(x, y, state);
        if (status == ${NAME}_DONE) {
            act_on(y);
        } else {
            report(status);
        }
    }
    return 0;
}
