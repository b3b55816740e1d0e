#pragma once
/* Redis' replies from text: a line is an array, with tabs between its words. "#7" is a number, "!"
 * is nil, all else is text. */
#include "common/slice.h"

#include <hiredis/hiredis.h>
#include <stdlib.h>

enum { LINE_WORDS = 32 };

struct line {
    redisReply all;
    redisReply *items[LINE_WORDS];
    redisReply words[LINE_WORDS];
};

/* Cuts *text before mark and goes on behind it; NULL at its end. */
static inline char *cut_text(char **text, char mark)
{
    char *at = *text;
    char *end = at ? strchr(at, mark) : NULL;
    if (end)
        *end++ = '\0';
    *text = end;
    return at;
}

/* Borrows text, and cuts it. */
static inline void line_read(struct line *self, char *text)
{
    self->all = (redisReply){ .type = REDIS_REPLY_ARRAY, .element = self->items };
    for (char *word; self->all.elements < LINE_WORDS && (word = cut_text(&text, '\t'));) {
        redisReply *reply = &self->words[self->all.elements];
        if (*word == '!')
            *reply = (redisReply){ .type = REDIS_REPLY_NIL };
        else if (*word == '#')
            *reply =
                (redisReply){ .type = REDIS_REPLY_INTEGER, .integer = strtoll(word + 1, NULL, 10) };
        else
            *reply = (redisReply){ .type = REDIS_REPLY_STRING, .str = word, .len = strlen(word) };
        self->items[self->all.elements++] = reply;
    }
}
