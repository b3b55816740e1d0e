#include "services/state/command.h"

#include <stdio.h>
#include <stdlib.h>

enum { COMMAND_HEAD = 16, COMMAND_FIRST = 4096, COMMAND_KEEP = 1 << 18 };

void command_clear(struct command *self)
{
    free(self->data);
    *self = (struct command){ 0 };
}

static bool make_room(struct command *self, size_t more)
{
    if (self->broken)
        return false;
    if (self->size + more <= self->room)
        return true;
    size_t room = self->room ? self->room : COMMAND_FIRST;
    while (room < self->size + more)
        room *= 2;
    char *data = realloc(self->data, room);
    if (!data) {
        self->broken = true;
        return false;
    }
    self->data = data;
    self->room = room;
    return true;
}

void command_begin(struct command *self)
{
    if (self->room > COMMAND_KEEP)
        command_clear(self);
    self->size = COMMAND_HEAD;
    self->args = 0;
    self->broken = false;
}

/* "<mark><n>\r\n" into text of COMMAND_HEAD bytes, right-aligned: answers where it starts. */
static const char *line(char mark, uint64_t n, char text[32])
{
    char *at = text + 32;
    *--at = '\n';
    *--at = '\r';
    do
        *--at = (char)('0' + n % 10);
    while (n /= 10);
    *--at = mark;
    return at;
}

static void put(struct command *self, const void *data, size_t size)
{
    if (size)
        memcpy(self->data + self->size, data, size);
    self->size += size;
}

void command_arg(struct command *self, struct slice bytes)
{
    char text[32];
    const char *head = line('$', bytes.size, text);
    size_t head_size = (size_t)(text + sizeof text - head);
    if (!make_room(self, head_size + bytes.size + 2))
        return;
    put(self, head, head_size);
    put(self, bytes.data, bytes.size);
    put(self, "\r\n", 2);
    self->args++;
}

void command_text(struct command *self, const char *text)
{
    command_arg(self, slice_of(text));
}

void command_whole(struct command *self, uint64_t whole)
{
    char text[24];
    int size = snprintf(text, sizeof text, "%llu", (unsigned long long)whole);
    command_arg(self, slice_make(text, (size_t)size));
}

struct slice command_end(struct command *self)
{
    char text[32];
    const char *head = line('*', self->args, text);
    size_t head_size = (size_t)(text + sizeof text - head);
    if (self->broken || !self->data)
        return (struct slice){ 0 };
    char *at = self->data + COMMAND_HEAD - head_size;
    memcpy(at, head, head_size);
    return slice_make(at, self->size - COMMAND_HEAD + head_size);
}
