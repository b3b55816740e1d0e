#pragma once
/* One look at all stages and at all that holds them, a slice a call: what to ask Redis next, and
 * what its answer means for the marks. Sends nothing itself. */
#include "services/state/audit_marks.h"
#include "services/state/store.h"

enum walk_step {
    WALK_STAGES,
    WALK_SESSIONS,
    WALK_HELD,
    WALK_TIMERS,
    WALK_QUEUES,
    WALK_QUEUE,
    WALK_OVER
};

enum { WALK_PAGE = 1000, WALK_NAME_MAX = 32, WALK_CURSOR_MAX = 24 };

typedef char walk_name[WALK_NAME_MAX + 1];

struct walk {
    marks_t *marks; /* borrowed */
    enum walk_step step;
    uint64_t looked; /* stages that were there, ended ones too */
    char cursor[WALK_CURSOR_MAX];
    walk_name *names; /* sessions or services to look at */
    size_t names_count, at;
    uint32_t priority;
    uint64_t start;
    uint64_t page[WALK_PAGE]; /* hashes of the last slice of this queue */
    size_t page_count;
};

/* self is zeroed or was cleared. */
void walk_begin(struct walk *self, marks_t *marks);
void walk_clear(struct walk *self);

/* The next call, in the store's own command; the step is not WALK_OVER. */
struct command *walk_ask(const struct walk *self, store_t *store);
/* Its answer. 0; STATUS_INTERNAL: an answer of another shape; -ENOMEM. Then it cannot go on. */
int walk_take(struct walk *self, const redisReply *reply);
