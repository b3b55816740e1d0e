#include "common/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/status.h"

enum { LINE = 1024, SELDOM_ROWS = 32, SELDOM_MS = 1000 };

static const char *const level_names[] = { "error", "warn", "info", "debug" };
enum { LEVELS = sizeof level_names / sizeof *level_names };

struct seldom {
    const char *event;
    int64_t said_ms;
    uint64_t suppressed;
};

static const char *program_name = "gantry";
static enum log_level level_most = LOG_LEVEL_INFO;
static struct seldom seldom_rows[SELDOM_ROWS];

struct line {
    size_t size;
    bool cut;
    char text[LINE + 1]; /* room for what snprintf wants to end with */
};

enum { TEXT_MAX = LINE - 4 }; /* "...\n" always fits */

static void add(struct line *line, const char *text, size_t size)
{
    if (line->cut || size > TEXT_MAX - line->size) {
        line->cut = true;
        return;
    }
    memcpy(line->text + line->size, text, size);
    line->size += size;
}

/* Bytes that stand as they are; all others need quotes, and some an escape within. */
static bool plain(unsigned char c)
{
    return c > ' ' && c < 0x7f && c != '"' && c != '\\' && c != '=';
}

static void add_escaped(struct line *line, char c)
{
    static const char hex[] = "0123456789abcdef";
    static const char named[] = "\nn\tt\rr\"\"\\\\"; /* the byte, then what stands for it */
    const unsigned char code = (unsigned char)c;
    for (const char *at = named; *at; at += 2) {
        if (c == *at) {
            add(line, "\\", 1);
            add(line, at + 1, 1);
            return;
        }
    }
    if (code >= ' ' && code < 0x7f)
        add(line, &c, 1);
    else
        add(line, (char[]){ '\\', 'x', hex[code >> 4], hex[code & 15] }, 4);
}

static void add_value(struct line *line, const char *text, size_t size)
{
    bool bare = size > 0;
    for (size_t i = 0; i < size && bare; i++)
        bare = plain((unsigned char)text[i]);
    if (bare) {
        add(line, text, size);
        return;
    }
    add(line, "\"", 1);
    for (size_t i = 0; i < size; i++)
        add_escaped(line, text[i]);
    add(line, "\"", 1);
}

/* One conversion of a format, as far as log lines need them. */
struct conversion {
    bool zero;
    int width;
    int precision; /* -1: none */
    int size;      /* bytes of a whole number's type */
    char letter;
};

static int read_number(const char **at)
{
    int number = 0;
    for (; **at >= '0' && **at <= '9' && number < LINE; (*at)++)
        number = number * 10 + (**at - '0');
    return number;
}

static int read_size(const char **at)
{
    int size = (int)sizeof(int);
    for (; **at == 'l' || **at == 'z' || **at == 'j' || **at == 't' || **at == 'h'; (*at)++)
        if (**at != 'h')
            size = (int)sizeof(int64_t);
    return size;
}

static struct conversion read_conversion(const char **at, va_list *args)
{
    struct conversion c = { .precision = -1 };
    c.zero = **at == '0';
    c.width = read_number(at);
    if (**at == '.') {
        (*at)++;
        if (**at == '*') {
            (*at)++;
            c.precision = va_arg(*args, int);
        } else {
            c.precision = read_number(at);
        }
    }
    c.size = read_size(at);
    c.letter = **at;
    if (c.letter)
        (*at)++;
    return c;
}

static void add_signed(struct line *line, const struct conversion *c, long long value)
{
    char text[64];
    int width = c->width < 32 ? c->width : 32;
    int size = c->zero ? snprintf(text, sizeof text, "%0*lld", width, value)
                       : snprintf(text, sizeof text, "%*lld", width, value);
    add(line, text, (size_t)size);
}

static void add_unsigned(struct line *line, const struct conversion *c, unsigned long long value)
{
    char text[64];
    int width = c->width < 32 ? c->width : 32;
    int size = c->letter == 'x'
                   ? snprintf(text, sizeof text, c->zero ? "%0*llx" : "%*llx", width, value)
                   : snprintf(text, sizeof text, c->zero ? "%0*llu" : "%*llu", width, value);
    add(line, text, (size_t)size);
}

static void add_fraction(struct line *line, const struct conversion *c, double value)
{
    char text[400]; /* DBL_MAX has 309 digits */
    int precision = c->precision >= 0 && c->precision < 64 ? c->precision : 6;
    int size = snprintf(text, sizeof text, c->letter == 'f' ? "%.*f" : "%.*g", precision, value);
    add(line, text, (size_t)size);
}

static void add_text(struct line *line, const struct conversion *c, const char *text)
{
    if (!text)
        text = "(none)";
    add_value(line, text, c->precision >= 0 ? strnlen(text, (size_t)c->precision) : strlen(text));
}

/* False for a conversion that log lines do not have; its argument cannot be skipped, so rendering
 * ends. */
static bool add_argument(struct line *line, const struct conversion *c, va_list *args)
{
    bool wide = c->size == (int)sizeof(int64_t);
    switch (c->letter) {
    case '%':
        add(line, "%", 1);
        return true;
    case 's':
        add_text(line, c, va_arg(*args, const char *));
        return true;
    case 'd':
    case 'i':
        add_signed(line, c, wide ? va_arg(*args, long long) : va_arg(*args, int));
        return true;
    case 'u':
    case 'x':
        add_unsigned(line, c, wide ? va_arg(*args, unsigned long long) : va_arg(*args, unsigned));
        return true;
    case 'f':
    case 'g':
        add_fraction(line, c, va_arg(*args, double));
        return true;
    default:
        add(line, "(?)", 3);
        return false;
    }
}

static void add_pairs(struct line *line, const char *pairs, va_list *args)
{
    for (const char *at = pairs; *at;) {
        size_t literal = strcspn(at, "%");
        add(line, at, literal);
        at += literal;
        if (!*at)
            break;
        at++;
        struct conversion c = read_conversion(&at, args);
        if (!add_argument(line, &c, args))
            break;
    }
}

static void say(enum log_level level, const char *event, uint64_t suppressed, const char *pairs,
                va_list *args)
{
    struct line line = { .size = 0 };
    char text[CLOCK_TEXT];
    char head[160];
    int size = snprintf(head, sizeof head, "%s %s %.40s %.60s", clock_text(clock_wall_ms(), text),
                        level_names[level], program_name, event);
    add(&line, head, (size_t)size);
    if (suppressed) {
        size = snprintf(head, sizeof head, " suppressed=%llu", (unsigned long long)suppressed);
        add(&line, head, (size_t)size);
    }
    if (*pairs)
        add(&line, " ", 1);
    add_pairs(&line, pairs, args);
    size = snprintf(line.text + line.size, LINE + 1 - line.size, "%s\n", line.cut ? "..." : "");
    /* One write a line, so that lines of processes which share a pipe do not mix. Nobody is left to
     * be told when it fails. */
    ssize_t written = write(STDERR_FILENO, line.text, line.size + (size_t)size);
    (void)written;
}

int log_setup(const char *program, const char *level)
{
    for (int i = 0; i < LEVELS; i++) {
        if (strcmp(level_names[i], level) != 0)
            continue;
        program_name = program;
        level_most = (enum log_level)i;
        return 0;
    }
    return STATUS_INVALID;
}

void log_event(enum log_level level, const char *event, const char *pairs, ...)
{
    if (level > level_most)
        return;
    va_list args;
    va_start(args, pairs);
    say(level, event, 0, pairs, &args);
    va_end(args);
}

/* The event's row; when there is no more room, that of the one said longest ago. */
static struct seldom *seldom_row(const char *event)
{
    struct seldom *oldest = seldom_rows;
    for (struct seldom *row = seldom_rows; row < seldom_rows + SELDOM_ROWS; row++) {
        if (row->event && strcmp(row->event, event) == 0)
            return row;
        if (!row->event || (oldest->event && row->said_ms < oldest->said_ms))
            oldest = row;
        if (!row->event)
            break;
    }
    *oldest = (struct seldom){ .event = event };
    return oldest;
}

void log_event_seldom(enum log_level level, const char *event, const char *pairs, ...)
{
    if (level > level_most)
        return;
    struct seldom *row = seldom_row(event);
    int64_t now_ms = clock_ms();
    if (row->said_ms && now_ms - row->said_ms < SELDOM_MS) {
        row->suppressed++;
        return;
    }
    va_list args;
    va_start(args, pairs);
    say(level, event, row->suppressed, pairs, &args);
    va_end(args);
    row->said_ms = now_ms;
    row->suppressed = 0;
}
