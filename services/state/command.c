#include "services/state/command.h"

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

enum { DIGITS = 24 };

/* Writes n, right-aligned: answers where it starts. */
static char *digits(uint64_t n, char *end)
{
    do
        *--end = (char)('0' + n % 10);
    while (n /= 10);
    return end;
}

/* "<mark><n>\r\n" */
static struct slice line(char mark, uint64_t n, char text[DIGITS + 3])
{
    char *end = text + DIGITS + 1;
    char *at = digits(n, end);
    *--at = mark;
    end[0] = '\r';
    end[1] = '\n';
    return slice_make(at, (size_t)(end + 2 - at));
}

static void put(struct command *self, const void *data, size_t size)
{
    if (size)
        memcpy(self->data + self->size, data, size);
    self->size += size;
}

void command_arg(struct command *self, struct slice bytes)
{
    char text[DIGITS + 3];
    const struct slice head = line('$', bytes.size, text);
    if (!make_room(self, head.size + bytes.size + 2))
        return;
    put(self, head.data, head.size);
    put(self, bytes.data, bytes.size);
    put(self, "\r\n", 2);
    self->args++;
}

void command_stage(struct command *self, struct slice id, struct slice task)
{
    char text[DIGITS + 3];
    const struct slice head = line('$', id.size + 1 + task.size, text);
    if (!make_room(self, head.size + id.size + 1 + task.size + 2))
        return;
    put(self, head.data, head.size);
    put(self, id.data, id.size);
    put(self, "/", 1);
    put(self, task.data, task.size);
    put(self, "\r\n", 2);
    self->args++;
}

void command_text(struct command *self, const char *text)
{
    command_arg(self, slice_of(text));
}

void command_whole(struct command *self, uint64_t whole)
{
    char text[DIGITS];
    const char *at = digits(whole, text + sizeof text);
    command_arg(self, slice_make(at, (size_t)(text + sizeof text - at)));
}

struct slice command_end(struct command *self)
{
    char text[DIGITS + 3];
    const struct slice head = line('*', self->args, text);
    if (self->broken || !self->data)
        return (struct slice){ 0 };
    char *at = self->data + COMMAND_HEAD - head.size;
    memcpy(at, head.data, head.size);
    return slice_make(at, self->size - COMMAND_HEAD + head.size);
}
