#pragma once
/* The numbered transitions that entries of the stream of events tell, and which of them a
 * subscriber wants. Knows no connection, no subscriber and no clock. */
#include "proto/message.h"

#include <hiredis/hiredis.h>

struct update {
    uint64_t number;
    uint64_t at_ms;
    struct slice id, task; /* borrowed from the reply; empty: somebody else wrote there */
    int state;             /* enum stage_state */
};

enum { UPDATES_SERVICES_MAX = 8 };

/* What consecutive entries tell. An entry's id is the number of its last transition, and an entry
 * without any takes one number. */
struct updates {
    struct update *items; /* owned; by number */
    size_t count, room;
    size_t entries;
    uint64_t first, last; /* numbers that the entries take; both 0: there are no entries */
    bool gap;             /* numbers are missing between the entries, or come twice */
    /* whose tasks they are, so that who wants another's need not look; too many: not known */
    struct slice services[UPDATES_SERVICES_MAX];
    size_t services_count;
    bool services_many;
};

/* Forgets what was read, keeps the memory. */
void updates_reset(struct updates *self);
void updates_clear(struct updates *self);
/* Reads an array of stream entries behind what was read before. 0 or -ENOMEM: what was read is then
 * of no use. */
int updates_read(struct updates *self, const redisReply *entries);
/* The same where nobody wants the transitions: the numbers alone. */
void updates_skim(struct updates *self, const redisReply *entries);

/* The number in a stream id "123-0"; 0 of what is none. */
uint64_t updates_number(struct slice id);

struct update_filter {
    uint64_t since;           /* those with greater numbers */
    struct slice id, service; /* empty: all */
    uint32_t limit;
};

/* How many of them pass, at most filter->limit. ret_seq: the number up to which all were looked at.
 */
uint32_t updates_count(const struct updates *self, const struct update_filter *filter,
                       uint64_t *ret_seq);
/* Writes an array of update: the first count of those that pass. */
void updates_pack(const struct updates *self, const struct update_filter *filter, uint32_t count,
                  msgpack_packer *pk);
