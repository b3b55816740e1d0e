/* Answers that are fetched while they are sent. */
#include <errno.h>
#include <stdlib.h>

#include "services/front/request_own.h"

enum { SOURCE_BLOCK = 64 << 10 };

struct source {
    const struct request_source *row;
    void *arg;
};

static ssize_t on_read(void *arg, uint64_t position, char *to, size_t most)
{
    request_t *request = arg;
    const struct source *self = request->source;
    (void)position;
    if (request->peer->over || http_closing(request->http))
        return MHD_CONTENT_READER_END_WITH_ERROR;
    const ssize_t size = self->row->read(self->arg, to, most);
    if (size == 0)
        request_sleep(request); /* else it would ask again at once */
    if (size > 0)
        http_moved(request->http);
    if (size >= 0)
        return size;
    return size == -ENODATA ? MHD_CONTENT_READER_END_OF_STREAM : MHD_CONTENT_READER_END_WITH_ERROR;
}

void request_answer_source(request_t *self, int http, uint64_t length,
                           const struct request_source *source, void *arg)
{
    struct source *mine = calloc(1, sizeof *mine);
    if (!mine) {
        request_respond(self, 500, NULL);
        source->closed(arg);
        return;
    }
    *mine = (struct source){ .row = source, .arg = arg };
    self->source = mine;
    request_hold(self, source->held);
    request_respond(
        self, (unsigned)http,
        MHD_create_response_from_callback(length == UINT64_MAX ? MHD_SIZE_UNKNOWN : length,
                                          SOURCE_BLOCK, on_read, self, NULL));
}

void source_over(request_t *self)
{
    struct source *mine = self->source;
    self->source = NULL;
    mine->row->closed(mine->arg);
    free(mine);
}
