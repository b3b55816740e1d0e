#include "services/state/audit_walk.h"

#include "common/paths.h"
#include "common/status.h"
#include "proto/schema.h"
#include "services/state/reply.h"
#include "services/state/sid.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Slices, so small that Redis is held up for a millisecond; by bodies that are large, a few. */
enum { STAGES_A_CALL = 200, STAGE_FIELDS = 3, HELD_FIELDS = 2, TEXT_MAX = 256 };

static const char *const calls[WALK_OVER] = {
    [WALK_STAGES] = "audit_stages", [WALK_SESSIONS] = "audit_sessions",
    [WALK_HELD] = "audit_held",     [WALK_TIMERS] = "audit_timers",
    [WALK_QUEUES] = "audit_queues", [WALK_QUEUE] = "audit_queue",
};

static void rewind_cursor(struct walk *self)
{
    snprintf(self->cursor, sizeof self->cursor, "0");
}

void walk_begin(struct walk *self, marks_t *marks)
{
    walk_clear(self);
    self->marks = marks;
    rewind_cursor(self);
}

void walk_clear(struct walk *self)
{
    free(self->names);
    *self = (struct walk){ 0 };
}

struct command *walk_ask(const struct walk *self, store_t *store)
{
    struct command *command = store_function(store, calls[self->step]);
    if (self->step == WALK_HELD || self->step == WALK_QUEUE)
        command_text(command, self->names[self->at]);
    if (self->step == WALK_STAGES || self->step == WALK_HELD || self->step == WALK_TIMERS) {
        command_text(command, self->cursor);
        command_whole(command, self->step == WALK_STAGES ? STAGES_A_CALL : WALK_PAGE);
    } else if (self->step == WALK_QUEUE) {
        command_whole(command, self->priority);
        command_whole(command, self->start);
        command_whole(command, WALK_PAGE);
    }
    return command;
}

/* To what is there still to look at. */
static void go_to(struct walk *self, enum walk_step step)
{
    self->step = step;
    self->priority = 0;
    self->start = 0;
    self->page_count = 0;
    rewind_cursor(self);
    if (self->step == WALK_HELD && self->at == self->names_count)
        self->step = WALK_TIMERS;
    else if (self->step == WALK_QUEUE && self->at == self->names_count)
        self->step = WALK_OVER;
}

/* False: that was all of it. */
static bool take_cursor(struct walk *self, const redisReply *reply)
{
    return slice_copy(reply_text(reply->element[0]), self->cursor, sizeof self->cursor) &&
           strcmp(self->cursor, "0") != 0;
}

/* As it stands in a queue: "<field> <generation>", or the field alone when that is 0. */
static struct slice join(redisReply *const *fields, int64_t generation, char text[TEXT_MAX])
{
    const struct slice field = reply_text(fields[0]);
    if (generation == 0)
        return field;
    const int size = snprintf(text, TEXT_MAX, "%.*s %lld", SLICE_ARG(field), (long long)generation);
    return slice_make(text, size < TEXT_MAX ? (size_t)size : 0);
}

static int take_stages(struct walk *self, const redisReply *reply)
{
    char text[TEXT_MAX];
    int r = 0;
    if (!reply_has(reply, 2) || (reply->elements - 2) % STAGE_FIELDS)
        return STATUS_INTERNAL;
    self->looked += (uint64_t)reply_whole(reply->element[1]);
    for (size_t i = 2; i < reply->elements && !r; i += STAGE_FIELDS) {
        redisReply *const *fields = &reply->element[i];
        r = marks_stage(self->marks, join(fields, reply_whole(fields[2]), text));
    }
    if (!r && !take_cursor(self, reply))
        go_to(self, WALK_SESSIONS);
    return r;
}

static bool is_sid(struct slice name)
{
    char text[SID_TEXT];
    return name.size == SID_TEXT - 1 && slice_copy(name, text, sizeof text) &&
           strspn(text, "0123456789abcdef") == name.size;
}

/* Sessions, or services: to be looked at one by one in step. Of what others put there, only names
 * are taken that the functions take. */
static int take_names(struct walk *self, const redisReply *reply, bool (*fits)(struct slice),
                      enum walk_step step)
{
    if (!reply_has(reply, 0))
        return STATUS_INTERNAL;
    walk_name *names = calloc(reply->elements + 1, sizeof *names);
    if (!names)
        return -ENOMEM;
    free(self->names);
    self->names = names;
    self->names_count = self->at = 0;
    for (size_t i = 0; i < reply->elements; i++) {
        const struct slice name = reply_text(reply->element[i]);
        if (fits(name) && slice_copy(name, names[self->names_count], sizeof *names))
            self->names_count++;
    }
    go_to(self, step);
    return 0;
}

static int take_held(struct walk *self, const redisReply *reply)
{
    char text[TEXT_MAX];
    int r = 0;
    if (!reply_has(reply, 1) || (reply->elements - 1) % HELD_FIELDS)
        return STATUS_INTERNAL;
    for (size_t i = 1; i < reply->elements && !r; i += HELD_FIELDS) {
        redisReply *const *fields = &reply->element[i];
        r = marks_holder(self->marks, join(fields, reply_whole(fields[1]), text), false);
    }
    if (!r && !take_cursor(self, reply)) {
        self->at++;
        go_to(self, WALK_HELD);
    }
    return r;
}

/* "<id>/<task>", with a generation or, when that is 0, without: what else there may be is nobody's
 * stage. */
static bool is_entry(struct slice text)
{
    char digits[WALK_CURSOR_MAX];
    struct slice rest, generation;
    if (!task_id_valid(slice_until(text, '/', &rest)) ||
        !task_name_valid(slice_until(rest, ' ', &generation)))
        return false;
    if (!generation.data)
        return true;
    return generation.size && slice_copy(generation, digits, sizeof digits) && *digits != '0' &&
           !digits[strspn(digits, "0123456789")] && strtoull(digits, NULL, 10) <= UINT32_MAX;
}

static int take_timers(struct walk *self, const redisReply *reply)
{
    int r = 0;
    if (!reply_has(reply, 1))
        return STATUS_INTERNAL;
    for (size_t i = 1; i < reply->elements && !r; i++)
        if (is_entry(reply_text(reply->element[i])))
            r = marks_holder(self->marks, reply_text(reply->element[i]), false);
    if (!r && !take_cursor(self, reply))
        go_to(self, WALK_QUEUES);
    return r;
}

static void next_queue(struct walk *self)
{
    const uint32_t priority = self->priority + 1;
    self->at += priority == PRIORITY_END;
    go_to(self, WALK_QUEUE);
    self->priority = priority % PRIORITY_END;
}

/* The queue grows at its newest end, where the walk began: so the slice may begin with entries of
 * the slice before. */
static int take_queue(struct walk *self, const redisReply *reply)
{
    uint64_t page[WALK_PAGE] = { 0 };
    int r = 0;
    if (!reply_has(reply, 1) || reply->elements - 1 > WALK_PAGE)
        return STATUS_INTERNAL;
    const size_t count = reply->elements - 1;
    for (size_t i = 0; i < count; i++)
        page[i] = slice_hash(reply_text(reply->element[1 + i]));
    for (size_t i = marks_overlap(self->page, self->page_count, page, count); i < count && !r; i++)
        r = marks_holder(self->marks, reply_text(reply->element[1 + i]), true);
    memcpy(self->page, page, count * sizeof *page);
    self->page_count = count;
    self->start += count;
    if (!r && count < WALK_PAGE)
        next_queue(self);
    return r;
}

int walk_take(struct walk *self, const redisReply *reply)
{
    switch (self->step) {
    case WALK_STAGES:
        return take_stages(self, reply);
    case WALK_SESSIONS:
        return take_names(self, reply, is_sid, WALK_HELD);
    case WALK_HELD:
        return take_held(self, reply);
    case WALK_TIMERS:
        return take_timers(self, reply);
    case WALK_QUEUES:
        return take_names(self, reply, service_valid, WALK_QUEUE);
    case WALK_QUEUE:
        return take_queue(self, reply);
    case WALK_OVER:
    default:
        return STATUS_INTERNAL;
    }
}
