#include "services/state/refusal.h"

#include "common/status.h"

#include <stdarg.h>
#include <stdio.h>

/* snprintf may have cut within a character, and no reader would take that for text. */
static void trim(char *text)
{
    size_t size = strlen(text), at = size;
    while (at > 0 && size - at < 3 && ((unsigned char)text[at - 1] & 0xc0) == 0x80)
        at--; /* behind the last leading byte */
    if (at == 0 || (unsigned char)text[at - 1] < 0xc0)
        return;
    unsigned char lead = (unsigned char)text[at - 1];
    size_t whole = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (size - at + 1 < whole)
        text[at - 1] = '\0';
}

int refusal_say(struct refusal *self, int status, const char *field, const char *message, ...)
{
    va_list args;
    self->status = status;
    snprintf(self->field, sizeof self->field, "%s", field ? field : "");
    trim(self->field);
    va_start(args, message);
    vsnprintf(self->message, sizeof self->message, message, args);
    va_end(args);
    trim(self->message);
    return status;
}

int refusal_input(struct refusal *self, struct slice name, const char *message, ...)
{
    va_list args;
    self->status = STATUS_INVALID;
    snprintf(self->field, sizeof self->field, "input.%.*s", SLICE_ARG(name));
    trim(self->field);
    va_start(args, message);
    vsnprintf(self->message, sizeof self->message, message, args);
    va_end(args);
    trim(self->message);
    return STATUS_INVALID;
}
