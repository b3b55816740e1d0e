/* What a request is made of, as far as our own code reads it: the first byte chooses. Taken, or
 * refused in words; what was taken is what it claims to be. */
#include "common/scoped.h"
#include "common/status.h"
#include "common/utf8.h"
#include "services/front/guard.h"
#include "services/front/json_body.h"
#include "services/front/listener.h"
#include "services/front/route.h"
#include "services/front/trace.h"
#include "services/front/uri.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The cut at a byte that no line has; *at moves behind it. */
static struct slice line_of(struct slice *at)
{
    return slice_until(*at, '\n', at);
}

static void fuzz_guard(struct slice bytes)
{
    scoped_text char *version = slice_dup(line_of(&bytes));
    struct guard guard = { 0 };
    assert(version);
    while (bytes.size) {
        struct slice name = line_of(&bytes);
        struct slice value = line_of(&bytes);
        guard_header(&guard, name, value);
    }
    guard_end(&guard, version);
    assert(guard.wrong || (guard.headers <= GUARD_HEADERS_MAX && guard.hosts <= 1 &&
                           guard.lengths + guard.encodings <= 1));
}

/* The first byte is how many headers there are said to be. */
static void fuzz_block(struct slice bytes)
{
    const uint8_t *c = bytes.data;
    struct guard guard = { .headers = bytes.size ? c[0] : 0 };
    if (bytes.size)
        guard_block(&guard, slice_make(c + 1, bytes.size - 1));
    assert(guard.wrong || bytes.size <= 1 || bytes.size >= 5 + 4 * (size_t)guard.headers);
}

static void check_route(const char *path, const char *method)
{
    struct route_match match;
    char allow[64];
    const int http = route_find(method, path, &match, allow);
    assert((http == 404) == (allow[0] == '\0'));
    if (http)
        return;
    assert(match.count <= ROUTE_PARTS_MAX);
    assert(!match.rest || match.rest[0]);
    for (size_t i = 0; i + (match.rest != NULL) < match.count; i++)
        assert(match.values[i][0] && !strchr(match.values[i], '/'));
}

static void fuzz_target(struct slice bytes)
{
    static const char *const methods[] = { "GET", "HEAD", "POST", "DELETE", "", "G" };
    scoped_text char *target = slice_dup(bytes);
    scoped_in(uri) uri = { 0 };
    const char *why = NULL;
    assert(target);
    int r = uri_parse(target, &uri, &why);
    assert((r == 0) == (uri.text != NULL) && (r == STATUS_INVALID) == (why != NULL));
    if (r)
        return;
    assert(uri.path[0] == '/' && utf8_is(slice_of(uri.path)) && uri.count <= URI_QUERIES_MAX);
    for (size_t i = 0; i < uri.count; i++)
        assert(uri_query(&uri, uri.queries[i].name) == uri.queries[i].value &&
               utf8_is(slice_of(uri.queries[i].value)));
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        check_route(uri.path, methods[i]);
}

static void fuzz_trace(struct slice bytes)
{
    scoped_text char *text = slice_dup(bytes);
    struct trace trace;
    assert(text);
    trace_fill(&trace, text, text);
    assert(trace_id_sane(trace.id) && trace_parent_sane(trace.parent));
    assert(trace_id_sane(text) == (strcmp(trace.id, text) == 0));
}

static void fuzz_address(struct slice bytes)
{
    scoped_text char *text = slice_dup(bytes);
    struct sockaddr_storage address = { 0 };
    char error[LISTENER_ERROR] = "";
    assert(text);
    int r = listener_parse(text, false, &address, error);
    assert((r == 0) == (error[0] == '\0'));
    assert((r == 0) == (address.ss_family == AF_INET || address.ss_family == AF_INET6));
}

static void fuzz_body(struct slice bytes)
{
    json_t *object = NULL;
    char error[JSON_BODY_ERROR] = "";
    int r = json_body_read(bytes, &object, error);
    assert((r == 0) == (object != NULL) && (r == STATUS_INVALID) == (error[0] != '\0'));
    assert(!object || json_is_object(object));
    json_decref(object);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const parts[])(struct slice bytes) = { fuzz_guard, fuzz_block,   fuzz_target,
                                                         fuzz_trace, fuzz_address, fuzz_body };
    if (size)
        parts[data[0] % (sizeof parts / sizeof *parts)](slice_make(data + 1, size - 1));
    return 0;
}
