#pragma once
/* The two clocks. Code that decides takes the time as an argument; only the edges call these. */
#include <stdint.h>

/* Milliseconds and nanoseconds that only grow, for lengths of time. */
int64_t clock_ms(void);
int64_t clock_ns(void);
/* Milliseconds since 1970, for what people and other machines read. */
int64_t clock_wall_ms(void);
/* "2026-01-31T08:00:00.123Z" into text of at least CLOCK_TEXT bytes; answers text. */
enum { CLOCK_TEXT = 32 };
const char *clock_text(int64_t wall_ms, char *text);
