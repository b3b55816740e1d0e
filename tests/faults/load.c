/*   gantry-faults-load client journal=FILE name=N brokers=LIST seed=S [rate=N window=N most=N]
 *   gantry-faults-load worker journal=FILE name=N brokers=LIST [slots=N]
 *   gantry-faults-load fill name=N brokers=LIST count=N start_ms=N span_ms=N
 *   gantry-engine NODE            a link to it: runs gantry-engine.real beside itself, and tells
 * Ended by SIGTERM: a client submits nothing more and waits for all it has submitted. */
#include "tests/faults/load.h"

#include "common/clock.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE = 1024, DESCRIPTOR = 32 };

static int arguments_count;
static char **arguments;
static int journal_file = -1;

const char *load_option(const char *key, const char *fallback)
{
    size_t size = strlen(key);
    for (int i = 2; i < arguments_count; i++)
        if (strncmp(arguments[i], key, size) == 0 && arguments[i][size] == '=')
            return arguments[i] + size + 1;
    return fallback;
}

uint64_t load_number(const char *key, uint64_t fallback)
{
    const char *text = load_option(key, NULL);
    return text ? strtoull(text, NULL, 10) : fallback;
}

_Noreturn void load_die(const char *what)
{
    (void)fprintf(stderr, "gantry-faults-load: %s\n", what);
    exit(1);
}

void journal_open(const char *path)
{
    char last = '\n';
    int file = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    journal_file = fcntl(file, F_DUPFD_CLOEXEC, DESCRIPTOR); /* beyond those of an engine */
    (void)close(file);
    if (journal_file < 0)
        load_die("the journal cannot be opened");
    off_t size = lseek(journal_file, 0, SEEK_END);
    if (size > 0 && pread(journal_file, &last, 1, size - 1) == 1 && last != '\n' &&
        write(journal_file, "\n", 1) != 1)
        load_die("the journal cannot be written");
}

void journal(char kind, const char *format, ...)
{
    char line[LINE];
    va_list list;
    int head = snprintf(line, sizeof line, "%c %" PRId64 " ", kind, clock_ns());
    va_start(list, format);
    int text = vsnprintf(line + head, sizeof line - (size_t)head - 1, format, list);
    va_end(list);
    size_t size = (size_t)head + (size_t)text;
    if (text < 0 || size + 1 >= sizeof line)
        load_die("a line of the journal is too long");
    line[size++] = '\n';
    if (write(journal_file, line, size) != (ssize_t)size)
        load_die("the journal cannot be written");
}

int main(int argc, char **argv)
{
    const char *name = strrchr(argv[0], '/');
    arguments_count = argc;
    arguments = argv;
    if (strcmp(name ? name + 1 : argv[0], "gantry-engine") == 0)
        return load_engine(argv);
    if (argc > 1 && strcmp(argv[1], "client") == 0)
        return load_client();
    if (argc > 1 && strcmp(argv[1], "worker") == 0)
        return load_worker();
    if (argc > 1 && strcmp(argv[1], "fill") == 0)
        return load_fill();
    (void)fputs("usage: gantry-faults-load client|worker|fill key=value...\n", stderr);
    return 2;
}
