#pragma once
/* Rows of text under headings, columns as wide as their widest cell. */
#include "services/cli/terminal.h"

typedef struct table table_t;

struct table_column {
    const char *title; /* NULL in the first column: no line of headings */
    bool right;        /* figures stand at the right */
};

/* NULL when out of memory. Borrows columns. */
table_t *table_new(const struct table_column *columns, size_t count);
void table_destroy(table_t **self_p);

/* The next cell, row by row. Text is copied and cleaned; NULL or "" is shown as "-". When memory
 * runs out the cell is dropped and table_print says so. */
void table_add(table_t *self, const char *text);
void table_add_colour(table_t *self, const char *text, enum terminal_colour colour);
void table_addf(table_t *self, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* 0 or -ENOMEM. */
int table_print(const table_t *self, FILE *out, bool colour);
