#include "services/cli/progress.h"

#include "common/clock.h"
#include "services/cli/terminal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STAGES_MAX = 64, NAME_COLUMNS = 32 };

/* What was said last of a stage, so that plain lines tell changes alone. */
struct said {
    char state[16];
    int tenth; /* of the progress */
};

struct progress {
    bool terminal;
    bool colour;
    bool noted;
    int lines; /* drawn, to be drawn over */
    struct said said[STAGES_MAX];
};

progress_t *progress_new(bool terminal, bool colour)
{
    progress_t *self = calloc(1, sizeof *self);
    if (self)
        *self = (progress_t){ .terminal = terminal, .colour = colour };
    return self;
}

void progress_destroy(progress_t **self_p)
{
    free(*self_p);
    *self_p = NULL;
}

void progress_bar(double part, char bar[PROGRESS_BAR + 1])
{
    int inner = PROGRESS_BAR - 2;
    int filled = part <= 0 ? 0 : part >= 1 ? inner : (int)(part * inner);
    bar[0] = '[';
    memset(bar + 1, '#', (size_t)filled);
    memset(bar + 1 + filled, '-', (size_t)(inner - filled));
    bar[PROGRESS_BAR - 1] = ']';
    bar[PROGRESS_BAR] = '\0';
}

static double part_of(const struct gantry_stage *stage)
{
    return strcmp(stage->state, "completed") == 0 ? 1 : stage->progress;
}

static void draw(const progress_t *self, const struct gantry_stage *stage)
{
    char bar[PROGRESS_BAR + 1];
    char span[SPAN_TEXT] = "";
    enum terminal_colour colour = terminal_state_colour(stage->state);
    uint64_t until_ms = stage->ended_ms ? stage->ended_ms : (uint64_t)clock_wall_ms();
    if (stage->started_ms && until_ms >= stage->started_ms)
        (void)terminal_span(until_ms - stage->started_ms, span);
    progress_bar(part_of(stage), bar);
    fprintf(stderr, "\r\033[K%-*.*s %s %3.0f %%  %s%s%s  %s\n", NAME_COLUMNS, NAME_COLUMNS,
            stage->task, bar, 100 * part_of(stage), terminal_colour(colour, self->colour),
            stage->state, terminal_plain(colour, self->colour), span);
}

static void tell(progress_t *self, size_t index, const struct gantry_stage *stage)
{
    struct said *said = &self->said[index];
    int tenth = (int)(10 * stage->progress);
    bool moved = strcmp(stage->state, "running") == 0 && tenth != said->tenth;
    if (strcmp(said->state, stage->state) == 0 && !moved)
        return;
    (void)snprintf(said->state, sizeof said->state, "%s", stage->state);
    said->tenth = tenth;
    terminal_put(stderr, stage->task);
    fprintf(stderr, ": %s", stage->state);
    if (strcmp(stage->state, "running") == 0 && stage->progress > 0)
        fprintf(stderr, " %.0f %%", 100 * stage->progress);
    fputc('\n', stderr);
}

void progress_show(progress_t *self, const gantry_record_t *record)
{
    size_t count = gantry_record_count(record);
    if (count > STAGES_MAX)
        count = STAGES_MAX;
    if (self->lines)
        fprintf(stderr, "\033[%dA", self->lines);
    for (size_t i = 0; i < count; i++) {
        if (self->terminal)
            draw(self, gantry_record_stage(record, i));
        else
            tell(self, i, gantry_record_stage(record, i));
    }
    self->lines = self->terminal ? (int)count : 0;
    self->noted = false;
}

void progress_note(progress_t *self, const char *note)
{
    if (self->noted)
        return;
    self->noted = true;
    self->lines = 0;
    terminal_put(stderr, note);
    fputc('\n', stderr);
}
