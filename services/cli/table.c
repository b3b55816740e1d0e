#include "services/cli/table.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

enum { CELL_TEXT = 1024 };

struct cell {
    char *text;
    enum terminal_colour colour;
};

struct table {
    const struct table_column *columns;
    size_t columns_count;
    struct cell *cells;
    size_t count;
    size_t room;
    bool starved;
};

table_t *table_new(const struct table_column *columns, size_t count)
{
    table_t *self = calloc(1, sizeof *self);
    if (self)
        *self = (table_t){ .columns = columns, .columns_count = count };
    return self;
}

void table_destroy(table_t **self_p)
{
    table_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (size_t i = 0; i < self->count; i++)
        free(self->cells[i].text);
    free(self->cells);
    free(self);
}

static bool grow(table_t *self)
{
    if (self->count < self->room)
        return true;
    size_t room = self->room ? 2 * self->room : 64;
    struct cell *cells = realloc(self->cells, room * sizeof *cells);
    if (!cells)
        return false;
    self->cells = cells;
    self->room = room;
    return true;
}

void table_add_colour(table_t *self, const char *text, enum terminal_colour colour)
{
    char *clean = terminal_clean(text && *text ? text : "-");
    if (!clean || !grow(self)) {
        free(clean);
        self->starved = true;
        return;
    }
    self->cells[self->count++] = (struct cell){ clean, colour };
}

void table_add(table_t *self, const char *text)
{
    table_add_colour(self, text, COLOUR_NONE);
}

void table_addf(table_t *self, const char *format, ...)
{
    char text[CELL_TEXT];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    table_add(self, text);
}

static int width_of(const table_t *self, size_t column)
{
    const char *title = self->columns[column].title;
    int width = title ? terminal_columns(title) : 0;
    for (size_t i = column; i < self->count; i += self->columns_count) {
        int columns = terminal_columns(self->cells[i].text);
        if (columns > width)
            width = columns;
    }
    return width;
}

static void print_cell(FILE *out, const struct cell *cell, int width, bool right, bool last,
                       bool colour)
{
    int pad = width - terminal_columns(cell->text);
    fprintf(out, "%*s%s%s%s", right ? pad : 0, "", terminal_colour(cell->colour, colour),
            cell->text, terminal_plain(cell->colour, colour));
    fprintf(out, "%*s%s", right || last ? 0 : pad, "", last ? "\n" : "  ");
}

static void print_titles(const table_t *self, FILE *out, const int *widths, bool colour)
{
    for (size_t i = 0; i < self->columns_count; i++) {
        union {
            const char *in;
            char *out;
        } title = { self->columns[i].title };
        struct cell cell = { title.out, COLOUR_STRONG };
        print_cell(out, &cell, widths[i], self->columns[i].right, i + 1 == self->columns_count,
                   colour);
    }
}

int table_print(const table_t *self, FILE *out, bool colour)
{
    int *widths = calloc(self->columns_count, sizeof *widths);
    if (!widths || self->starved) {
        free(widths);
        return -ENOMEM;
    }
    for (size_t i = 0; i < self->columns_count; i++)
        widths[i] = width_of(self, i);
    if (self->columns[0].title)
        print_titles(self, out, widths, colour);
    for (size_t i = 0; i < self->count; i++) {
        size_t column = i % self->columns_count;
        print_cell(out, &self->cells[i], widths[column], self->columns[column].right,
                   column + 1 == self->columns_count, colour);
    }
    free(widths);
    return 0;
}
