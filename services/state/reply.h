#pragma once
/* Reading of Redis' replies, which are checked like anything that comes from outside. */
#include "common/slice.h"

#include <hiredis/hiredis.h>
#include <stdlib.h>

/* An array of exactly / at least so many elements. */
static inline bool reply_is_array(const redisReply *reply, size_t elements)
{
    return reply && reply->type == REDIS_REPLY_ARRAY && reply->elements == elements;
}

static inline bool reply_has(const redisReply *reply, size_t elements)
{
    return reply && reply->type == REDIS_REPLY_ARRAY && reply->elements >= elements;
}

/* This integer. */
static inline bool reply_is(const redisReply *reply, int64_t whole)
{
    return reply && reply->type == REDIS_REPLY_INTEGER && reply->integer == whole;
}

/* {NULL, 0} of what is no string. */
static inline struct slice reply_text(const redisReply *reply)
{
    bool text = reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS;
    return text ? slice_make(reply->str, reply->len) : (struct slice){ 0 };
}

/* Integer, or decimal text; 0 of what is neither. */
static inline int64_t reply_whole(const redisReply *reply)
{
    if (reply->type == REDIS_REPLY_INTEGER)
        return reply->integer;
    return reply->type == REDIS_REPLY_STRING ? strtoll(reply->str, NULL, 10) : 0;
}
