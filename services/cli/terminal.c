#include "services/cli/terminal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

/* C0, DEL, and C1 in UTF-8 (c2 80 .. c2 9f). */
static bool controls(const unsigned char *at)
{
    return *at < 0x20 || *at == 0x7f || (at[0] == 0xc2 && at[1] >= 0x80 && at[1] <= 0x9f);
}

char *terminal_clean(const char *text)
{
    char *clean = strdup(text);
    for (unsigned char *at = (unsigned char *)clean; at && *at; at++) {
        if (!controls(at))
            continue;
        if (*at == 0xc2)
            *at++ = '?';
        *at = '?';
    }
    return clean;
}

void terminal_put(FILE *out, const char *text)
{
    char *clean = terminal_clean(text);
    fputs(clean ? clean : "?", out);
    free(clean);
}

bool terminal_is(int fd)
{
    return isatty(fd) == 1;
}

bool terminal_has_colour(int fd)
{
    const char *none = getenv("NO_COLOR");
    const char *term = getenv("TERM");
    return terminal_is(fd) && !(none && *none) && term && strcmp(term, "dumb") != 0;
}

int terminal_width(int fd)
{
    struct winsize size = { 0 };
    return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
}

int terminal_columns(const char *text)
{
    int columns = 0;
    size_t left = strlen(text);
    mbstate_t state = { 0 };
    while (left) {
        wchar_t c;
        size_t n = mbrtowc(&c, text, left, &state);
        int width = 1;
        if (n == 0 || n > left) { /* no text of this locale: a byte is a column */
            n = 1;
            state = (mbstate_t){ 0 };
        } else {
            width = wcwidth(c);
        }
        columns += width > 0 ? width : 0;
        text += n;
        left -= n;
    }
    return columns;
}

const char *terminal_colour(enum terminal_colour colour, bool on)
{
    static const char *const sequences[] = {
        [COLOUR_NONE] = "",         [COLOUR_GOOD] = "\033[32m", [COLOUR_BAD] = "\033[31m",
        [COLOUR_BUSY] = "\033[36m", [COLOUR_FAINT] = "\033[2m", [COLOUR_STRONG] = "\033[1m",
    };
    return on ? sequences[colour] : "";
}

const char *terminal_plain(enum terminal_colour colour, bool on)
{
    return on && colour != COLOUR_NONE ? "\033[0m" : "";
}

enum terminal_colour terminal_state_colour(const char *state)
{
    static const struct {
        const char *state;
        enum terminal_colour colour;
    } rows[] = {
        { "completed", COLOUR_GOOD }, { "running", COLOUR_BUSY },    { "cancelling", COLOUR_BUSY },
        { "failed", COLOUR_BAD },     { "quarantined", COLOUR_BAD }, { "cancelled", COLOUR_BAD },
        { "skipped", COLOUR_FAINT },  { "scheduled", COLOUR_FAINT },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].state, state) == 0)
            return rows[i].colour;
    return COLOUR_NONE;
}

const char *terminal_span(uint64_t ms, char text[SPAN_TEXT])
{
    uint64_t s = ms / 1000;
    if (s < 60)
        (void)snprintf(text, SPAN_TEXT, "%.*f s", s < 10 ? 1 : 0, (double)ms / 1000);
    else if (s < 3600)
        (void)snprintf(text, SPAN_TEXT, "%" PRIu64 " min %" PRIu64 " s", s / 60, s % 60);
    else if (s < 86400)
        (void)snprintf(text, SPAN_TEXT, "%" PRIu64 " h %" PRIu64 " min", s / 3600, s / 60 % 60);
    else
        (void)snprintf(text, SPAN_TEXT, "%" PRIu64 " d %" PRIu64 " h", s / 86400, s / 3600 % 24);
    return text;
}

const char *terminal_time(uint64_t wall_ms, char text[SPAN_TEXT])
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;
    if (!wall_ms || !localtime_r(&seconds, &tm) || !strftime(text, SPAN_TEXT, "%F %T", &tm))
        (void)snprintf(text, SPAN_TEXT, "-");
    return text;
}
