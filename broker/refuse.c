#include "broker/refuse.h"

#include "common/status.h"

#include <stdarg.h>
#include <stdio.h>

enum { BUSY_RETRY_MS = 100, UNAVAILABLE_RETRY_MS = 1000, UNANSWERED_RETRY_MS = 100 };

/* The rest of b->error is the caller's. */
__attribute__((format(printf, 2, 3))) static void say(struct broker *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(b->error_text, sizeof b->error_text, format, args);
    va_end(args);
    b->error = (struct m_error){ .message = slice_of(b->error_text) };
}

int refuse_malformed(struct broker *b)
{
    say(b, "a message is [header] [body], and the header an array of ten elements: see "
           "docs/protocol.md");
    b->counters.refused_malformed++;
    return STATUS_MALFORMED;
}

int refuse_hello_first(struct broker *b)
{
    say(b, "this broker does not know this connection (any more): say HELLO, then repeat what is "
           "unanswered");
    b->counters.hello_first++;
    return STATUS_HELLO_FIRST;
}

int refuse_verb(struct broker *b, uint32_t verb, const char *role)
{
    say(b, "verb %u (%s) is not for this socket, where the role is %s", verb, verb_text(verb),
        role);
    b->error.field = SLICE("verb");
    b->counters.refused++;
    return STATUS_UNSUPPORTED;
}

int refuse_field(struct broker *b, int status, const char *field, const char *sentence)
{
    say(b, "%s", sentence);
    b->error.field = slice_of(field);
    b->counters.refused++;
    return status;
}

int refuse_large(struct broker *b, const char *field, uint64_t limit, uint64_t current)
{
    say(b, "%s is %llu, at most %llu is taken", field, (unsigned long long)current,
        (unsigned long long)limit);
    b->error.field = slice_of(field);
    b->error.limit = limit;
    b->error.current = current;
    b->counters.refused++;
    return STATUS_TOO_LARGE;
}

int refuse_busy(struct broker *b, const char *scope, uint64_t limit, uint64_t current)
{
    say(b, "the limit of %s is met: try again a little later", scope);
    b->error.scope = slice_of(scope);
    b->error.limit = limit;
    b->error.current = current;
    b->error.retry_after_ms = BUSY_RETRY_MS;
    b->counters.refused_busy++;
    return STATUS_BUSY;
}

int refuse_unavailable(struct broker *b)
{
    say(b, "no state service is connected to this broker: nothing can be kept right now");
    b->error.retry_after_ms = UNAVAILABLE_RETRY_MS;
    b->counters.unavailable++;
    return STATUS_UNAVAILABLE;
}

int refuse_draining(struct broker *b)
{
    say(b, "this broker is draining: use another one of the list");
    b->error.retry_after_ms = UNAVAILABLE_RETRY_MS;
    b->counters.refused++;
    return STATUS_UNAVAILABLE;
}

int refuse_unanswered(struct broker *b)
{
    say(b, "the state service that was asked gave no answer: it may or may not have been done");
    b->error.retry_after_ms = UNANSWERED_RETRY_MS;
    b->counters.unavailable++;
    return STATUS_UNAVAILABLE;
}
