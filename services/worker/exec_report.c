#include "services/worker/exec_report.h"

#include <errno.h>
#include <stdlib.h>

enum { FIGURES = 5 };

static bool figure(char **at, int64_t *ret_figure)
{
    char *end = NULL;
    errno = 0;
    long long n = strtoll(*at, &end, 10);
    if (errno || end == *at || n < 0 || (*end != ' ' && *end != '\0'))
        return false;
    *at = end + (*end == ' ');
    *ret_figure = n;
    return true;
}

static bool end_of(const char *text, enum exec_end *ret_end)
{
    static const char *const texts[] = {
#define END_TEXT(name, text) [EXEC_##name] = (text),
        EXEC_ENDS(END_TEXT)
#undef END_TEXT
    };
    for (int i = 0; i < EXEC_END_COUNT; i++) {
        if (strcmp(texts[i], text) == 0) {
            *ret_end = (enum exec_end)i;
            return true;
        }
    }
    return false;
}

static void on_ended(struct exec_report *self, char *at)
{
    int64_t figures[FIGURES];
    enum exec_end end;
    for (int i = 0; i < FIGURES; i++)
        if (!figure(&at, &figures[i]))
            return;
    if (!end_of(at, &end))
        return;
    self->exit_code = figures[0];
    self->signal = figures[1];
    self->user_ms = figures[2];
    self->system_ms = figures[3];
    self->rss_bytes = figures[4];
    self->end = end;
    self->ended = true;
}

static void on_line(struct exec_report *self)
{
    char *line = self->line;
    if (strncmp(line, "ended ", 6) == 0) {
        on_ended(self, line + 6);
    } else if (strncmp(line, "started ", 8) == 0) {
        char *at = line + 8;
        self->started = figure(&at, &self->pid);
    } else if (strncmp(line, "failed ", 7) == 0) {
        char *at = line + 7;
        self->ended = figure(&at, &self->failure) && self->failure > 0;
    }
}

void exec_report_read(struct exec_report *self, struct slice bytes)
{
    const char *at = bytes.data;
    for (size_t i = 0; i < bytes.size; i++) {
        if (at[i] != '\n') {
            if (self->line_size + 1 < sizeof self->line)
                self->line[self->line_size++] = at[i];
            continue;
        }
        self->line[self->line_size] = '\0';
        self->line_size = 0;
        on_line(self);
    }
}
