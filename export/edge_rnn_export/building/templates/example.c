/* Read samples from standard input, a line of $input_size numbers each, and print the outputs of the network. */
#include <stdio.h>

#include "$name.h"

#if defined(__linux__) && ${NAME}_NEEDS_HWCAP
#include <sys/auxv.h>
#endif

static _Alignas(${NAME}_STATE_ALIGNMENT) unsigned char state[${NAME}_STATE_BYTES];

int main(void) {
    float x[${NAME}_INPUT_SIZE], y[${NAME}_OUTPUT_SIZE];
#if defined(__linux__) && ${NAME}_NEEDS_HWCAP
    if ((getauxval(AT_HWCAP) & ${NAME}_NEEDS_HWCAP) != ${NAME}_NEEDS_HWCAP) {
        fprintf(stderr, "this processor lacks instructions that $name uses\n");
        return 1;
    }
#endif
    if (${name}_state_bytes() != ${NAME}_STATE_BYTES || ${name}_self_test(state) != ${NAME}_DONE) {
        fprintf(stderr, "$name: the self-test failed\n");
        return 1;
    }
    for (;;) {
        for (int i = 0; i < ${NAME}_INPUT_SIZE; ++i) {
            if (scanf("%f%*[ ,;\t]", &x[i]) != 1) return 0;
        }
        int32_t status = ${name}_step(x, y, state);
        if (status != ${NAME}_DONE) {
            fprintf(stderr, "$name: a sample was rejected: status %d\n", (int)status);
            continue;
        }
        for (int o = 0; o < ${NAME}_OUTPUT_SIZE; ++o) printf(o ? " %.9g" : "%.9g", y[o]);
        putchar('\n');
    }
}
