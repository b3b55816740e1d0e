#pragma once
/* How far the stages of a task are, on standard error: bars that are drawn anew on a terminal, else
 * a line for each change. */
#include "proto/gantry.h"

#include <stdbool.h>

typedef struct progress progress_t;

/* NULL when out of memory. */
progress_t *progress_new(bool terminal, bool colour);
void progress_destroy(progress_t **self_p);

void progress_show(progress_t *self, const gantry_record_t *record);
/* A remark between the bars, such as that nobody answers; shown once until the next record. */
void progress_note(progress_t *self, const char *note);

/* "[#####-----]" of size columns and a NUL. */
enum { PROGRESS_BAR = 24 };
void progress_bar(double part, char bar[PROGRESS_BAR + 1]);
