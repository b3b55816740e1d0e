#pragma once
/* Who holds what: every stage that waits or runs must be held by one of a queue entry, a timer and
 * a session. Told all stages and then all holders, this answers those that are amiss, if they were
 * so the time before too: what moves while it is looked at is amiss for a moment only. Knows no
 * Redis.
 *
 * A pass looks at everything once. Memory has a bound: of more stages than it can remember, it
 * remembers a part by their hash, and the same walk is asked for again for the next part. */
#include "common/slice.h"

enum {
    MARKS_MAX = 1 << 20, /* stages and holders remembered at a time: 19 MiB */
    MARKS_AMISS_MAX =
        1 << 17, /* remembered of a pass by their hash: 2 MiB; others wait for another pass */
    MARKS_SUSPECTS_MAX = 4096, /* of a walk, by their names; the same */

};

/* How it is amiss, as gantry_audit_fix takes it. */
enum seen { SEEN_UNHELD = 0, SEEN_STRAY = 1, SEEN_TWICE = 2 };

struct suspect {
    enum seen seen;
    struct slice text; /* "<id>/<task> <generation>", borrowed until the walk ends */
};

typedef struct marks marks_t;

/* max: of what is remembered at a time, at least 4. seed: random, where the hashes begin. NULL when
 * out of memory. */
marks_t *marks_new(size_t max, uint64_t seed);
void marks_destroy(marks_t **self_p);

/* A pass begins, with its first walk; what was amiss in the last one that ended is kept. */
void marks_begin(marks_t *self);
/* Stages first, then holders; texts as in struct suspect. 0 or -ENOMEM, then the pass is to be
 * given up. */
int marks_stage(marks_t *self, struct slice text);
/* loose: it may have no stage, as an old queue entry that nobody took out. */
int marks_holder(marks_t *self, struct slice text, bool loose);
/* The walk has come to its end. Answers those that were amiss twice, one a call; false: no more. */
bool marks_suspect(marks_t *self, struct suspect *ret_suspect);
/* True: another walk, of the next part, is needed. False: the pass has ended. */
bool marks_more(marks_t *self);
/* Is anything amiss that was not answered yet? After the pass has ended. */
bool marks_amiss(const marks_t *self);

/* A list that is read a page at a time grows at its head meanwhile, so that a page may begin with
 * what the one before ended with: by how many hashes. */
size_t marks_overlap(const uint64_t *before, size_t before_count, const uint64_t *page,
                     size_t page_count);
