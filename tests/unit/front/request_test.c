#include "services/front/request_own.h"

#include "common/status.h"
#include "tests/unit/test.h"

#include <errno.h>

static struct settings settings;
static struct front front = { .settings = &settings };
static struct connection peer = { .fd = -1 };

static request_t *request_of(const char *target)
{
    static int connection;
    request_t *self =
        request_new(&front, NULL, (struct MHD_Connection *)(void *)&connection, &peer, target);
    CHECK(self);
    trace_fill(&self->trace, "test", NULL); /* as its first headers do */
    return self;
}

static void check_refused(int status, const char *scope, uint32_t after_ms, unsigned http,
                          const char *after)
{
    request_t *self = request_of("/");
    request_refuse_status(self, status, scope, after_ms, "");
    CHECK_INT(self->answer, http);
    const char *said = MHD_get_response_header(self->response, "Retry-After");
    CHECK((said != NULL) == (after != NULL));
    if (after)
        CHECK_TEXT(said, after);
    CHECK_TEXT(MHD_get_response_header(self->response, "Content-Type"), "application/json");
    request_over(self);
}

TEST(what_passes_is_told_with_a_time)
{
    UNUSED;
    check_refused(STATUS_BUSY, "queue", 0, 503, "1");
    check_refused(STATUS_BUSY, "user", 0, 429, "1");
    check_refused(STATUS_BUSY, "user", 2500, 429, "3");
    check_refused(STATUS_UNAVAILABLE, "", 100, 503, "1");
    check_refused(STATUS_TIMEOUT, "", 0, 503, "1");
}

TEST(what_does_not_pass_is_told_without)
{
    UNUSED;
    check_refused(STATUS_INVALID, "", 0, 400, NULL);
    check_refused(STATUS_NOT_FOUND, "", 5, 404, NULL);
    check_refused(STATUS_CONFLICT, "", 0, 409, NULL);
    check_refused(STATUS_TOO_LARGE, "", 0, 413, NULL);
    check_refused(-ENOMEM, "", 0, 500, NULL);
}

TEST(every_answer_has_an_id_and_a_trace)
{
    UNUSED;
    request_t *self = request_of("/");
    request_answer(self, 200, json_object());
    CHECK_TEXT(MHD_get_response_header(self->response, "X-Request-Id"), request_id(self));
    CHECK_TEXT(MHD_get_response_header(self->response, "traceparent"), request_trace(self));
    CHECK(!MHD_get_response_header(self->response, "Connection"));
    request_over(self);
}

TEST(an_answer_may_be_empty)
{
    UNUSED;
    request_t *self = request_of("/");
    request_answer(self, 204, NULL);
    CHECK_INT(self->answer, 204);
    CHECK(!MHD_get_response_header(self->response, "Content-Type"));
    request_over(self);
}

TEST(an_answer_to_nobody_is_dropped)
{
    UNUSED;
    request_t *self = request_of("/");
    self->state = REQUEST_HANDLED;
    request_over(self); /* its handler still has it */
    CHECK_TEXT(request_query(self, "a") ? "there" : "none", "none");
    CHECK(!request_header(self, "Host"));
    request_answer(self, 200, json_object());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(what_passes_is_told_with_a_time),    HOLDS(what_does_not_pass_is_told_without),
        HOLDS(every_answer_has_an_id_and_a_trace), HOLDS(an_answer_may_be_empty),
        HOLDS(an_answer_to_nobody_is_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
