#include "proto/requests.h"

#include "common/status.h"

#include <stdlib.h>

/* An id is serial << 21 | works << 20 | slot, so that it grows and finds its slot. Slots come in
 * slabs and never move. */
enum { SLAB = 256, SERIAL_BIT = 21, WORKS = 1 << 20, SLOT_NONE = REQUESTS_MAX };

struct requests {
    size_t max;
    size_t count;
    uint64_t serial;
    size_t slabs_count;
    struct pending **slabs;
    struct pending *free; /* linked by newer */
    struct pending *oldest;
    struct pending *newest;
    struct pending *unsent; /* it and all newer ones */
    int64_t due_ms;         /* none times out before */
    uint32_t working;       /* sent and not answered, as the other side's window counts them */
};

requests_t *requests_new(size_t max)
{
    requests_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->due_ms = INT64_MAX;
    self->max = max < REQUESTS_MAX ? max : REQUESTS_MAX;
    self->slabs = calloc(self->max / SLAB + 1, sizeof(struct pending *));
    if (!self->slabs) {
        free(self);
        return NULL;
    }
    return self;
}

void requests_destroy(requests_t **self_p)
{
    requests_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (size_t i = 0; i < self->slabs_count; i++)
        free(self->slabs[i]);
    free(self->slabs);
    free(self);
}

static bool grow(requests_t *self)
{
    struct pending *slab = calloc(SLAB, sizeof *slab);
    if (!slab)
        return false;
    for (size_t i = SLAB; i-- > 0;) {
        slab[i].id = self->slabs_count * SLAB + i; /* serial 0 is never given out: only the slot */
        slab[i].newer = self->free;
        self->free = &slab[i];
    }
    self->slabs[self->slabs_count++] = slab;
    return true;
}

static void append(requests_t *self, struct pending *p)
{
    p->older = self->newest;
    p->newer = NULL;
    if (self->newest)
        self->newest->newer = p;
    else
        self->oldest = p;
    self->newest = p;
    if (!self->unsent)
        self->unsent = p;
    self->count++;
}

static uint32_t keep(char *to, size_t size, struct slice text)
{
    size_t kept = text.size < size ? text.size : size;
    if (kept)
        memcpy(to, text.data, kept);
    return (uint32_t)kept;
}

struct pending *requests_add(requests_t *self, const struct request *request, int64_t now_ms,
                             zmq_msg_t *body)
{
    if (self->count == self->max || (!self->free && !grow(self)))
        return NULL;
    struct pending *p = self->free;
    self->free = p->newer;
    p->id = ++self->serial << SERIAL_BIT | (verb_waits(request->verb) ? 0 : WORKS) |
            (p->id & REQUESTS_MAX);
    p->verb = request->verb;
    p->priority = request->priority;
    p->count = request->count;
    p->once = request->once;
    p->sent = false;
    p->until_ms = request->timeout_ms > 0 ? now_ms + request->timeout_ms : INT64_MAX;
    p->service_size = keep(p->service, sizeof p->service, request->service);
    p->trace_size = keep(p->trace, sizeof p->trace, request->trace);
    zmq_msg_init(&p->body);
    p->has_body = body != NULL;
    if (body)
        zmq_msg_move(&p->body, body);
    append(self, p);
    if (p->until_ms < self->due_ms)
        self->due_ms = p->until_ms;
    return p;
}

struct pending *requests_find(requests_t *self, uint64_t id)
{
    size_t slot = (size_t)(id & REQUESTS_MAX);
    if (slot / SLAB >= self->slabs_count || id >> SERIAL_BIT == 0)
        return NULL;
    struct pending *p = &self->slabs[slot / SLAB][slot % SLAB];
    return p->id == id && p->answer ? p : NULL;
}

/* Takes it out and frees its body; the struct is valid until the next requests_add. */
static void take_out(requests_t *self, struct pending *pending)
{
    if (self->unsent == pending)
        self->unsent = pending->newer;
    if (pending->older)
        pending->older->newer = pending->newer;
    else
        self->oldest = pending->newer;
    if (pending->newer)
        pending->newer->older = pending->older;
    else
        self->newest = pending->older;
    zmq_msg_close(&pending->body);
    pending->answer = NULL;
    pending->newer = self->free;
    self->free = pending;
    self->count--;
}

void requests_end(requests_t *self, struct pending *pending, const struct header *header,
                  struct slice body)
{
    session_answer_fn *answer = pending->answer;
    void *arg = pending->arg;
    take_out(self, pending);
    answer(arg, header, body);
}

void requests_end_here(requests_t *self, struct pending *pending, uint32_t status)
{
    struct header header = { .verb = VERB_ANSWER, .request = pending->id, .status = status };
    requests_end(self, pending, &header, (struct slice){ 0 });
}

struct header pending_header(const struct pending *pending, uint32_t epoch)
{
    return (struct header){
        .verb = pending->verb,
        .request = pending->id,
        .epoch = epoch,
        .service = { pending->service, pending->service_size },
        .priority = pending->priority,
        .count = pending->count,
        .trace = { pending->trace, pending->trace_size },
    };
}

struct pending *requests_next(const requests_t *self, uint32_t window)
{
    bool full = window && self->working >= window;
    return full && self->unsent && (self->unsent->id & WORKS) ? NULL : self->unsent;
}

void requests_mark_sent(requests_t *self)
{
    self->working += (self->unsent->id & WORKS) != 0;
    self->unsent->sent = true;
    self->unsent = self->unsent->newer;
}

void requests_mark_answered(requests_t *self, uint64_t id)
{
    if ((id & WORKS) && self->working)
        self->working--;
}

void requests_unsend(requests_t *self)
{
    self->working = 0;
    self->unsent = self->oldest;
    for (struct pending *p = self->oldest; p; p = p->newer)
        p->sent = false;
    for (struct pending *p = self->oldest, *newer; p; p = newer) {
        newer = p->newer;
        if (p->once)
            requests_end_here(self, p, STATUS_UNAVAILABLE);
    }
}

void requests_expire(requests_t *self, int64_t now_ms)
{
    if (now_ms < self->due_ms)
        return;
    self->due_ms = INT64_MAX;
    for (struct pending *p = self->oldest, *newer; p; p = newer) {
        newer = p->newer;
        if (p->until_ms <= now_ms)
            requests_end_here(self, p, STATUS_TIMEOUT);
        else if (p->until_ms < self->due_ms)
            self->due_ms = p->until_ms;
    }
}

int64_t requests_due_ms(const requests_t *self)
{
    return self->due_ms;
}

struct pending *requests_oldest(const requests_t *self)
{
    return self->oldest;
}

size_t requests_count(const requests_t *self)
{
    return self->count;
}

uint64_t requests_stray_id(requests_t *self)
{
    return ++self->serial << SERIAL_BIT | SLOT_NONE;
}
