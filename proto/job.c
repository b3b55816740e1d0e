#include "proto/job.h"

#include "common/status.h"
#include "proto/codec.h"

#include <errno.h>
#include <stdlib.h>

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored \
    "-Wanalyzer-malloc-leak" /* gcc 12 loses sight of what pooled structs own */
#endif

/* Jobs come in slabs, never move, and keep their memory for the next task unless it was a big one.
 */
enum { SLAB = 64, ROOM_LEAST = 512, ROOM_KEPT = 65536 };

struct jobs {
    size_t max;
    size_t count;
    size_t slabs_count;
    gantry_job_t **slabs;
    gantry_job_t *free; /* by next, the last used first: it is warm in the cache */
    size_t mask;        /* of buckets: their number less one */
    gantry_job_t *buckets[];
};

static void let_go(struct room *room)
{
    free(room->data);
    *room = (struct room){ 0 };
}

/* What lay there is gone. False when out of memory. */
static bool reserve(struct room *room, size_t wanted)
{
    size_t size = wanted < ROOM_LEAST ? ROOM_LEAST : wanted;
    if (room->data && room->size >= wanted)
        return true;
    let_go(room);
    room->data = malloc(size);
    room->size = room->data ? size : 0;
    return room->data != NULL;
}

jobs_t *jobs_new(size_t max)
{
    size_t buckets = 64;
    while (buckets < max)
        buckets *= 2;
    jobs_t *self = calloc(1, sizeof *self + buckets * sizeof(gantry_job_t *));
    if (!self)
        return NULL;
    self->max = max;
    self->mask = buckets - 1;
    self->slabs = calloc(max / SLAB + 1, sizeof(gantry_job_t *));
    if (!self->slabs)
        jobs_destroy(&self);
    return self;
}

void jobs_destroy(jobs_t **self_p)
{
    jobs_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (size_t i = 0; i < self->slabs_count; i++) {
        for (size_t k = 0; k < SLAB; k++) {
            let_go(&self->slabs[i][k].given);
            let_go(&self->slabs[i][k].made);
            let_go(&self->slabs[i][k].saved);
        }
        free(self->slabs[i]);
    }
    free(self->slabs);
    free(self);
}

static bool grow(jobs_t *self)
{
    gantry_job_t *slab = self->slabs_count * SLAB < self->max ? calloc(SLAB, sizeof *slab) : NULL;
    if (!slab)
        return false;
    for (size_t i = 0; i < SLAB; i++) {
        link_init(&slab[i].link);
        slab[i].next = self->free;
        self->free = &slab[i];
    }
    self->slabs[self->slabs_count++] = slab;
    return true;
}

/* Whatever the size of a token that is looked for: only tokens of the right size are held. */
static gantry_job_t **bucket_of(jobs_t *self, struct slice token)
{
    return &self->buckets[slice_hash(token) & self->mask];
}

static struct slice token_of(const gantry_job_t *job)
{
    return slice_make(job->token, sizeof job->token);
}

static char *put(char *at, struct slice bytes)
{
    if (bytes.size)
        memcpy(at, bytes.data, bytes.size);
    at[bytes.size] = '\0';
    return at + bytes.size + 1;
}

static bool fill(gantry_job_t *job, const struct m_handout *handout)
{
    size_t wanted =
        handout->id.size + handout->task.size + handout->input.size + handout->checkpoint.size + 4;
    if (!reserve(&job->given, wanted))
        return false;
    char *at = job->given.data;
    job->id = at;
    job->task = put(at, handout->id);
    at = put(at + handout->id.size + 1, handout->task);
    job->input = slice_make(at, handout->input.size);
    at = put(at, handout->input);
    job->checkpoint = slice_make(at, handout->checkpoint.size);
    put(at, handout->checkpoint);
    return true;
}

gantry_job_t *jobs_add(jobs_t *self, const struct m_handout *handout)
{
    if (self->count == self->max || handout->token.size != WIRE_LEASE_TOKEN_SIZE ||
        (!self->free && !grow(self)))
        return NULL;
    gantry_job_t *job = self->free;
    if (!fill(job, handout))
        return NULL;
    self->free = job->next;
    memcpy(job->token, handout->token.data, sizeof job->token);
    job->phase = JOB_RUNNING;
    job->attempt = handout->attempt;
    job->failures = handout->failures;
    job->crashes = handout->crashes;
    job->timeout_ms = handout->timeout_ms;
    job->owned = handout->owned;
    gantry_job_t **bucket = bucket_of(self, token_of(job));
    job->next = *bucket;
    *bucket = job;
    self->count++;
    return job;
}

void jobs_forget(jobs_t *self, gantry_job_t *job)
{
    gantry_job_t **at = bucket_of(self, token_of(job));
    while (*at && *at != job)
        at = &(*at)->next;
    if (*at)
        *at = job->next;
}

/* Small memory stays with the job, and all else begins anew. */
void jobs_remove(jobs_t *self, gantry_job_t *job)
{
    jobs_forget(self, job);
    link_remove(&job->link);
    if (job->given.size > ROOM_KEPT)
        let_go(&job->given);
    if (job->made.size > ROOM_KEPT)
        let_go(&job->made);
    if (job->saved.size > ROOM_KEPT)
        let_go(&job->saved);
    *job = (gantry_job_t){ .given = job->given, .made = job->made, .saved = job->saved };
    link_init(&job->link);
    job->next = self->free;
    self->free = job;
    self->count--;
}

gantry_job_t *jobs_find(jobs_t *self, struct slice token)
{
    for (gantry_job_t *job = *bucket_of(self, token); job; job = job->next)
        if (slice_equal(token_of(job), token))
            return job;
    return NULL;
}

size_t jobs_count(const jobs_t *self)
{
    return self->count;
}

int job_keep_result(gantry_job_t *job, struct slice result)
{
    job->result = (struct slice){ 0 };
    if (!reserve(&job->made, result.size))
        return -ENOMEM;
    memcpy(job->made.data, result.data, result.size);
    job->result = slice_make(job->made.data, result.size);
    return 0;
}

const char *gantry_job_id(const gantry_job_t *self)
{
    return self->id;
}

const char *gantry_job_task(const gantry_job_t *self)
{
    return self->task;
}

uint32_t gantry_job_attempt(const gantry_job_t *self)
{
    return self->attempt;
}

uint32_t gantry_job_failures(const gantry_job_t *self)
{
    return self->failures;
}

uint32_t gantry_job_crashes(const gantry_job_t *self)
{
    return self->crashes;
}

bool gantry_job_owned(const gantry_job_t *self)
{
    return self->owned;
}

uint32_t gantry_job_timeout_ms(const gantry_job_t *self)
{
    return self->timeout_ms;
}

struct gantry_bytes gantry_job_input(const gantry_job_t *self)
{
    return (struct gantry_bytes){ self->input.data, self->input.size };
}

struct gantry_bytes gantry_job_checkpoint(const gantry_job_t *self)
{
    return (struct gantry_bytes){ self->checkpoint.data, self->checkpoint.size };
}

int gantry_job_keep(gantry_job_t *self, struct gantry_bytes checkpoint)
{
    struct slice value = { checkpoint.data, checkpoint.size };
    if (value.size > CHECKPOINT_MAX)
        return STATUS_TOO_LARGE;
    if (codec_check(value) || codec_depth(value) > WIRE_VALUE_DEPTH_MAX)
        return STATUS_INVALID;
    self->kept = (struct slice){ 0 };
    if (!reserve(&self->saved, value.size))
        return -ENOMEM;
    memcpy(self->saved.data, value.data, value.size);
    self->kept = slice_make(self->saved.data, value.size);
    return 0;
}

void gantry_job_set_user(gantry_job_t *self, void *user)
{
    self->user = user;
}

void *gantry_job_user(const gantry_job_t *self)
{
    return self->user;
}

void gantry_job_progress(gantry_job_t *self, double progress)
{
    self->progress = progress < 0 ? 0 : progress > 1 ? 1 : progress;
}
