#include "services/state/replies.h"

#include <stdalign.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum {
    PIECE_FIRST = 1 << 16,
    PIECE_KEPT = 1 << 20,  /* a larger one goes with its reply */
    BUFFER_KEPT = 1 << 18, /* of the bytes read and not yet parsed */
};

struct piece {
    struct piece *older;
    size_t room, used;
    alignas(max_align_t) char bytes[];
};

/* What hiredis takes for a reply; of its outermost one it tells the end, and no more than that. */
struct made {
    redisReply reply;
    struct replies *owner;
};

#if HIREDIS_MAJOR < 1
typedef int elements_t;
#else
typedef size_t elements_t;
#endif

static struct piece *grow(struct replies *self, size_t size)
{
    size_t room = self->newest ? 2 * self->newest->room : PIECE_FIRST;
    while (room < size)
        room *= 2;
    struct piece *piece = malloc(sizeof *piece + room);
    if (!piece)
        return NULL;
    *piece = (struct piece){ .older = self->newest, .room = room };
    self->newest = piece;
    return piece;
}

static void *take(struct replies *self, size_t size)
{
    const size_t whole =
        (size + alignof(max_align_t) - 1) / alignof(max_align_t) * alignof(max_align_t);
    struct piece *piece = self->newest;
    if (!piece || piece->room - piece->used < whole)
        piece = grow(self, whole);
    if (!piece)
        return NULL;
    void *at = piece->bytes + piece->used;
    piece->used += whole;
    return at;
}

/* more: bytes right behind it. NULL when out of memory, which ends the connection. */
static redisReply *make(const redisReadTask *task, size_t more)
{
    struct replies *self = task->privdata;
    struct made *made = take(self, sizeof *made + more);
    if (!made)
        return NULL;
    *made = (struct made){ .reply = { .type = task->type }, .owner = self };
    if (task->parent) {
        redisReply *parent = task->parent->obj;
        parent->element[task->idx] = &made->reply;
    }
    return &made->reply;
}

static void *make_string(const redisReadTask *task, char *text, size_t size)
{
    redisReply *reply = make(task, size + 1);
    if (!reply)
        return NULL;
    reply->str = (char *)reply + sizeof(struct made);
    memcpy(reply->str, text, size);
    reply->str[size] = '\0';
    reply->len = size;
    return reply;
}

static void *make_array(const redisReadTask *task, elements_t elements)
{
    const size_t count = (size_t)elements;
    redisReply *reply = make(task, count * sizeof(redisReply *));
    if (!reply)
        return NULL;
    reply->element = (redisReply **)(void *)((char *)reply + sizeof(struct made));
    reply->elements = count;
    return reply;
}

static void *make_integer(const redisReadTask *task, long long value)
{
    redisReply *reply = make(task, 0);
    if (reply)
        reply->integer = value;
    return reply;
}

static void *make_nil(const redisReadTask *task)
{
    redisReply *reply = make(task, 0);
    if (reply)
        reply->type = REDIS_REPLY_NIL; /* the task says what it would have been */
    return reply;
}

#if HIREDIS_MAJOR >= 1
/* Kinds that are not asked for, but a Redis may say: neither text nor number to whoever reads them.
 */
static void *make_double(const redisReadTask *task, double value, char *text, size_t size)
{
    (void)value;
    (void)text;
    (void)size;
    return make(task, 0);
}

static void *make_bool(const redisReadTask *task, int value)
{
    (void)value;
    return make(task, 0);
}
#endif

static void drop_older(struct replies *self)
{
    struct piece *piece = self->newest;
    while (piece->older) {
        struct piece *older = piece->older;
        piece->older = older->older;
        free(older);
    }
}

/* The outermost one has ended, and all in it. */
static void end(void *reply)
{
    struct replies *self = ((struct made *)reply)->owner;
    drop_older(self);
    self->newest->used = 0;
    if (self->newest->room > PIECE_KEPT)
        replies_clear(self);
}

static redisReplyObjectFunctions functions = {
    .createString = make_string,
    .createArray = make_array,
    .createInteger = make_integer,
    .createNil = make_nil,
#if HIREDIS_MAJOR >= 1
    .createDouble = make_double,
    .createBool = make_bool,
#endif
    .freeObject = end,
};

void replies_attach(struct replies *self, redisReader *reader)
{
    reader->fn = &functions;
    reader->privdata = self;
    reader->maxbuf = BUFFER_KEPT;
}

void replies_clear(struct replies *self)
{
    while (self->newest) {
        struct piece *piece = self->newest;
        self->newest = piece->older;
        free(piece);
    }
}
