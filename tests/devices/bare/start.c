/* Start-up of a Cortex-M in an emulator: samples out of samples.h, outputs as hexadecimal bits through semihosting. */
#include <stdint.h>

#include "samples.h"

extern int main(void);
extern uint32_t stack_top;

static void semihost(int operation, const void *argument) {
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

static void say(const char *text) { semihost(0x04 /* SYS_WRITE0 */, text); }

static void say_word(uint32_t word, char end) {
    char text[10];
    for (int i = 0; i < 8; ++i) text[i] = "0123456789abcdef"[(word >> (28 - 4 * i)) & 15];
    text[8] = end;
    text[9] = 0;
    say(text);
}

static void leave(int status) {
    uint32_t block[2] = {0x20026 /* ADP_Stopped_ApplicationExit */, (uint32_t)status};
    semihost(0x20 /* SYS_EXIT_EXTENDED */, block);
    for (;;) {}
}

static int next_sample;

int read_sample(float *x) {
    if (next_sample == SAMPLES) return 0;
    for (int i = 0; i < INPUTS; ++i) x[i] = samples[next_sample][i];
    ++next_sample;
    return 1;
}

void act_on(const float *y) {
    for (int o = 0; o < OUTPUTS; ++o) {
        union { float value; uint32_t bits; } word = {y[o]};
        say_word(word.bits, o + 1 == OUTPUTS ? '\n' : ' ');
    }
}

void report(int32_t status) {
    say("status ");
    say_word((uint32_t)status, '\n');
}

static void fault(void) {
    say("fault\n");
    leave(99);
}

static void start(void) {
    *(volatile uint32_t *)0xe000ed88 |= 0xfu << 20; /* the floating-point unit is on: CPACR */
    __asm__ volatile("dsb\n isb");
    leave(main());
}

__attribute__((section(".vectors"), used)) static void *const vectors[16] = {
    &stack_top, start, fault, fault, fault, fault, fault, 0, 0, 0, 0, fault, fault, 0, fault, fault,
};
