/* Map an image, fill in the handle of one stream, and run it: run_image IMAGE JOB > OUTPUTS

   A job is lengths and offsets, in the order of `lengths`, and then arrays: offsets of the operations' functions,
   the handle, records, weights, the arena, and samples. All integers have 64 bits. HANDLE_… are words of a handle. */

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum lengths { CODE, RUN, ADVANCE, STEP, OPERATIONS, WORDS, RECORDS, WEIGHTS, ARENA, STEPS, INPUTS, OUTPUTS, LENGTHS };

static void *check(void *found, const char *what) {
    if (found == NULL || found == MAP_FAILED) {
        perror(what);
        exit(1);
    }
    return found;
}

static void *array(FILE *job, int64_t bytes) {
    void *found = check(aligned_alloc(64, (bytes + 127) / 64 * 64), "memory");
    if (fread(found, 1, bytes, job) != (size_t)bytes) {
        fprintf(stderr, "the job ends early\n");
        exit(1);
    }
    return found;
}

static int64_t address(void *pointer) { return (int64_t)(intptr_t)pointer; }

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    int image = open(argv[1], O_RDONLY);
    FILE *job = check(fopen(argv[2], "rb"), argv[2]);
    int64_t *n = array(job, LENGTHS * 8);
    char *code = check(mmap(NULL, n[CODE], PROT_READ | PROT_EXEC, MAP_PRIVATE, image, 0), argv[1]);
    int64_t *functions = array(job, n[OPERATIONS] * 8);
    int64_t *handle = array(job, n[WORDS] * 8);
    char *records = array(job, n[RECORDS]);
    void *weights = array(job, n[WEIGHTS]);
    void *arena = array(job, n[ARENA]);
    float *xs = array(job, n[STEPS] * n[INPUTS] * 4);
    float *ys = check(calloc(n[STEPS] * n[OUTPUTS], 4), "memory");

    for (int64_t i = 0; i < n[OPERATIONS]; i++) functions[i] += address(code);
    handle[HANDLE_STEP] = address(code + n[STEP]);
    handle[HANDLE_ADVANCE] = address(code + n[ADVANCE]);
    handle[HANDLE_FUNCTIONS] = address(functions);
    handle[HANDLE_RECORDS_EVEN] = address(records);
    handle[HANDLE_RECORDS_ODD] = address(records + n[RECORDS] / 2);
    handle[HANDLE_WEIGHTS] = address(weights);
    handle[HANDLE_ARENA] = address(arena);

    int64_t (*run)(int64_t *, const float *, float *, int64_t);
    int32_t (*step)(int64_t *, const float *, float *);
    *(void **)&run = code + n[RUN];
    *(void **)&step = code + n[STEP];
    int64_t half = n[STEPS] / 2, done = 0;
    for (; done < half && step(handle, xs + done * n[INPUTS], ys + done * n[OUTPUTS]) == 0; done++) continue;
    done += run(handle, xs + done * n[INPUTS], ys + done * n[OUTPUTS], n[STEPS] - done);
    for (int64_t i = 0; i < done * n[OUTPUTS]; i++) printf("%.9g%c", ys[i], (i + 1) % n[OUTPUTS] ? ' ' : '\n');
    return done != n[STEPS];
}
