#pragma once
/* What may be shown on a terminal, and how. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Text from others without its control characters (they become "?"), so that none can command the
 * terminal. */
void terminal_put(FILE *out, const char *text);
/* The same in memory; the caller's to free, NULL when out of memory. */
char *terminal_clean(const char *text);

bool terminal_is(int fd);
/* A terminal that is not "dumb", and no NO_COLOR in the environment. */
bool terminal_has_colour(int fd);
/* Columns; 80 when unknown. */
int terminal_width(int fd);
/* Columns that a text takes. */
int terminal_columns(const char *text);

enum terminal_colour {
    COLOUR_NONE,
    COLOUR_GOOD,
    COLOUR_BAD,
    COLOUR_BUSY,
    COLOUR_FAINT,
    COLOUR_STRONG
};
/* The escape sequence of a colour, "" for COLOUR_NONE or when off; and what ends it. */
const char *terminal_colour(enum terminal_colour colour, bool on);
const char *terminal_plain(enum terminal_colour colour, bool on);
/* Green for completed, red for failed, ... */
enum terminal_colour terminal_state_colour(const char *state);

/* "0.8 s", "2 min 3 s", "3 h 20 min", "2 d 4 h". */
enum { SPAN_TEXT = 32 };
const char *terminal_span(uint64_t ms, char text[SPAN_TEXT]);
/* "2026-01-31 08:00:00", local time; "-" for 0. */
const char *terminal_time(uint64_t wall_ms, char text[SPAN_TEXT]);
