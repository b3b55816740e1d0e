#include "services/worker/tail.h"

void tail_add(struct tail *self, struct slice bytes)
{
    const char *from = bytes.data;
    if (bytes.size > TAIL_BYTES) {
        self->full = true;
        from += bytes.size - TAIL_BYTES;
        bytes.size = TAIL_BYTES;
    }
    for (size_t i = 0; i < bytes.size; i++) {
        self->bytes[self->at] = from[i];
        self->at = (self->at + 1) % TAIL_BYTES;
        self->full |= self->at == 0;
    }
}

/* Half a line, or half a character, says nothing; but one long line is better cut than lost. */
static void drop_half_line(char *text)
{
    char *line = strchr(text, '\n');
    if (line && line[1])
        memmove(text, line + 1, strlen(line + 1) + 1);
}

void tail_text(const struct tail *self, char text[TAIL_BYTES + 1])
{
    size_t size = 0;
    for (size_t i = self->full ? self->at : 0; size < (self->full ? TAIL_BYTES : self->at);
         size++) {
        text[size] = self->bytes[i];
        if (!text[size])
            text[size] = '?';
        i = (i + 1) % TAIL_BYTES;
    }
    text[size] = '\0';
    if (self->full)
        drop_half_line(text);
}
