#include "services/state/updates.h"

#include "common/paths.h"
#include "services/state/reply.h"

#include <errno.h>

enum { ROOM_FIRST = 64 };

void updates_reset(struct updates *self)
{
    *self = (struct updates){ .items = self->items, .room = self->room };
}

void updates_clear(struct updates *self)
{
    free(self->items);
    *self = (struct updates){ 0 };
}

/* Digits up to the end or to a '-'; 0 when there are none, or too many. */
static uint64_t digits(struct slice text)
{
    const char *at = text.data;
    uint64_t number = 0;
    for (size_t i = 0; i < text.size && at[i] != '-'; i++) {
        if (at[i] < '0' || at[i] > '9' || number > UINT64_MAX / 10 - 1)
            return 0;
        number = number * 10 + (uint64_t)(at[i] - '0');
    }
    return number;
}

uint64_t updates_number(struct slice id)
{
    return digits(id);
}

static bool serves(const struct updates *self, struct slice service)
{
    for (size_t i = 0; i < self->services_count; i++)
        if (slice_equal(self->services[i], service))
            return true;
    return self->services_many;
}

static void add_service(struct updates *self, struct slice service)
{
    if (serves(self, service))
        return;
    if (self->services_count < UPDATES_SERVICES_MAX)
        self->services[self->services_count++] = service;
    else
        self->services_many = true;
}

static int add(struct updates *self, int state, struct slice stage)
{
    if (self->count == self->room) {
        const size_t room = self->room ? 2 * self->room : ROOM_FIRST;
        struct update *items = realloc(self->items, room * sizeof *items);
        if (!items)
            return -ENOMEM;
        self->items = items;
        self->room = room;
    }
    struct update *item = &self->items[self->count++];
    *item = (struct update){ .state = state };
    const char *slash = stage.size ? memchr(stage.data, '/', stage.size) : NULL;
    if (!slash)
        return 0;
    const size_t size = (size_t)(slash - (const char *)stage.data);
    const struct slice id = slice_make(stage.data, size);
    const struct slice task = slice_make(slash + 1, stage.size - size - 1);
    if (task_id_valid(id) && task_name_valid(task)) {
        item->id = id;
        item->task = task;
        add_service(self, task_name_service(task));
    }
    return 0;
}

/* "id/task id/task ...": each takes a number, whatever it is. */
static int add_all(struct updates *self, int state, struct slice list)
{
    const char *at = list.data, *end = list.size ? at + list.size : at; /* no text is no list */
    int r = 0;
    while (!r && at < end) {
        const char *blank = memchr(at, ' ', (size_t)(end - at));
        const char *stop = blank ? blank : end;
        r = add(self, state, slice_make(at, (size_t)(stop - at)));
        at = blank ? blank + 1 : end;
    }
    return r;
}

/* The state that a field's name says, -1 when it is no transition. */
static int state_of_field(struct slice name)
{
    const char *digit = name.data;
    return name.size == 1 && *digit >= '0' && *digit < '0' + STATE_END ? *digit - '0' : -1;
}

/* How many add_all() would add. */
static uint64_t count_all(struct slice list)
{
    const char *at = list.data, *end = list.size ? at + list.size : at;
    uint64_t count = 0;
    for (; at < end; count++) {
        const char *blank = memchr(at, ' ', (size_t)(end - at));
        at = blank ? blank + 1 : end;
    }
    return count;
}

/* An entry of so many transitions takes its numbers, of which it says the last. The first. */
static uint64_t take_numbers(struct updates *self, uint64_t count, struct slice entry_id)
{
    const uint64_t last = updates_number(entry_id);
    const uint64_t first = count ? last - count + 1 : last;
    if (count > last || (self->last && first != self->last + 1))
        self->gap = true;
    if (self->entries++ == 0)
        self->first = first;
    self->last = last;
    return first;
}

static int read_fields(struct updates *self, const redisReply *fields, uint64_t *ret_at_ms)
{
    int r = 0;
    for (size_t i = 0; !r && i + 1 < fields->elements; i += 2) {
        const struct slice name = reply_text(fields->element[i]);
        const struct slice value = reply_text(fields->element[i + 1]);
        const int state = state_of_field(name);
        if (state >= 0)
            r = add_all(self, state, value);
        else if (slice_is(name, "at"))
            *ret_at_ms = digits(value);
    }
    return r;
}

static bool is_entry(const redisReply *entry)
{
    return reply_is_array(entry, 2) && entry->element[1]->type == REDIS_REPLY_ARRAY;
}

static int read_entry(struct updates *self, const redisReply *entry)
{
    const size_t from = self->count;
    uint64_t at_ms = 0;
    int r = read_fields(self, entry->element[1], &at_ms);
    const uint64_t first = take_numbers(self, self->count - from, reply_text(entry->element[0]));
    for (size_t i = from; i < self->count; i++) {
        self->items[i].number = first + (i - from);
        self->items[i].at_ms = at_ms;
    }
    return r;
}

int updates_read(struct updates *self, const redisReply *entries)
{
    int r = 0;
    for (size_t i = 0; !r && i < entries->elements; i++)
        if (is_entry(entries->element[i]))
            r = read_entry(self, entries->element[i]);
    return r;
}

static void skim_entry(struct updates *self, const redisReply *entry)
{
    const redisReply *fields = entry->element[1];
    uint64_t count = 0;
    for (size_t i = 0; i + 1 < fields->elements; i += 2)
        if (state_of_field(reply_text(fields->element[i])) >= 0)
            count += count_all(reply_text(fields->element[i + 1]));
    (void)take_numbers(self, count, reply_text(entry->element[0]));
}

void updates_skim(struct updates *self, const redisReply *entries)
{
    for (size_t i = 0; i < entries->elements; i++)
        if (is_entry(entries->element[i]))
            skim_entry(self, entries->element[i]);
}

static bool passes(const struct update *item, const struct update_filter *filter)
{
    return item->number > filter->since && item->id.size &&
           (!filter->id.size || slice_equal(item->id, filter->id)) &&
           (!filter->service.size || slice_equal(task_name_service(item->task), filter->service));
}

uint32_t updates_count(const struct updates *self, const struct update_filter *filter,
                       uint64_t *ret_seq)
{
    uint32_t count = 0;
    uint64_t seq = self->last > filter->since ? self->last : filter->since;
    const size_t looks = filter->service.size && !serves(self, filter->service) ? 0 : self->count;
    for (size_t i = 0; i < looks; i++) {
        if (!passes(&self->items[i], filter))
            continue;
        if (++count == filter->limit) {
            seq = self->items[i].number;
            break;
        }
    }
    *ret_seq = seq;
    return count;
}

void updates_pack(const struct updates *self, const struct update_filter *filter, uint32_t count,
                  msgpack_packer *pk)
{
    msgpack_pack_array(pk, count);
    for (size_t i = 0; count && i < self->count; i++) {
        const struct update *item = &self->items[i];
        if (!passes(item, filter))
            continue;
        const struct m_update told = {
            .seq = item->number,
            .id = item->id,
            .task = item->task,
            .state = slice_of(state_text(item->state)),
            .at_ms = item->at_ms,
        };
        message_encode(&m_update_layout, &told, pk);
        count--;
    }
}
