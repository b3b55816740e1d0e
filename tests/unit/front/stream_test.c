#include "services/front/request_own.h"

#include "tests/unit/test.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* A stream whose peer takes nothing: libmicrohttpd is not there to ask for more. */
struct world {
    struct settings settings;
    struct front front;
    struct connection peer;
    int far_end;
    int closed;
    request_t *request;
};

static void on_closed(void *arg)
{
    ((struct world *)arg)->closed++;
}

static void open_world(struct world *self)
{
    int ends[2];
    *self = (struct world){ 0 };
    CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    self->peer.fd = ends[0];
    self->far_end = ends[1];
    self->front.settings = &self->settings;
    /* libmicrohttpd's side is never called: nothing sleeps */
    self->request =
        request_new(&self->front, NULL, (struct MHD_Connection *)(void *)self, &self->peer, "/");
    CHECK(self->request);
    request_stream(self->request, on_closed, self);
}

static void close_world(struct world *self)
{
    request_over(self->request);
    CHECK_INT(self->closed, 1);
    (void)close(self->peer.fd);
    (void)close(self->far_end);
}

static bool send_bytes(struct world *self, size_t size)
{
    char *text = calloc(1, size);
    bool taken = request_send(self->request, slice_make(text, size));
    free(text);
    return taken;
}

static bool far_end_is_told(const struct world *self)
{
    char byte;
    return recv(self->far_end, &byte, 1, 0) == 0;
}

TEST(a_stream_is_an_answer_of_its_type)
{
    UNUSED;
    struct world world;
    open_world(&world);
    CHECK_INT(world.request->state, REQUEST_ANSWERED);
    CHECK_INT(world.request->answer, 200);
    CHECK_TEXT(MHD_get_response_header(world.request->response, "Content-Type"),
               "text/event-stream");
    CHECK_TEXT(MHD_get_response_header(world.request->response, "Cache-Control"), "no-store");
    close_world(&world);
}

TEST(a_peer_that_lags_too_far_behind_is_dropped)
{
    UNUSED;
    struct world world;
    open_world(&world);
    for (int i = 0; i < 256; i++)
        CHECK(send_bytes(&world, 1024));
    CHECK(!far_end_is_told(&world));
    CHECK(!send_bytes(&world, 1));
    CHECK(far_end_is_told(&world));
    CHECK(!send_bytes(&world, 1));
    CHECK_INT(world.closed, 0); /* that comes when the server is done with it */
    close_world(&world);
}

TEST(one_large_text_is_no_lag)
{
    UNUSED;
    struct world world;
    open_world(&world);
    CHECK(send_bytes(&world, 1 << 20));
    CHECK(!send_bytes(&world, 1));
    close_world(&world);
}

TEST(nothing_is_added_behind_the_end)
{
    UNUSED;
    struct world world;
    open_world(&world);
    CHECK(request_send(world.request, SLICE("data: x\n\n")));
    request_end(world.request);
    CHECK(!request_send(world.request, SLICE("data: y\n\n")));
    close_world(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(a_stream_is_an_answer_of_its_type),
        HOLDS(a_peer_that_lags_too_far_behind_is_dropped),
        HOLDS(one_large_text_is_no_lag),
        HOLDS(nothing_is_added_behind_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
