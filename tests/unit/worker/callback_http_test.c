/* Posts, as far as names go: this program's own getaddrinfo() is what libcurl finds. The rest is
 * in tests/system/test_callback.py. */
#include "services/worker/callback_http.h"

#include "common/clock.h"
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { SLOW_MS = 1500, LIMIT_MS = 200 };

static atomic_int slow_ended;

__attribute__((visibility("default"))) int getaddrinfo(const char *name, const char *service,
                                                       const struct addrinfo *hints,
                                                       struct addrinfo **res)
{
    (void)service;
    (void)hints;
    if (strcmp(name, "slow.example") == 0) {
        (void)usleep(SLOW_MS * 1000);
        slow_ended++;
        return EAI_AGAIN;
    }
    struct {
        struct addrinfo info;
        struct sockaddr_in address;
    } *found = calloc(1, sizeof *found);
    if (!found || strcmp(name, "inward.example") != 0) {
        free(found);
        return EAI_NONAME;
    }
    found->address.sin_family = AF_INET;
    found->address.sin_port = htons(9);
    found->address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    found->info = (struct addrinfo){ .ai_family = AF_INET,
                                     .ai_socktype = SOCK_STREAM,
                                     .ai_addrlen = sizeof found->address,
                                     .ai_addr = (struct sockaddr *)&found->address };
    *res = &found->info;
    return 0;
}

__attribute__((visibility("default"))) void freeaddrinfo(struct addrinfo *res)
{
    free(res);
}

/* A loop that notes how long it was held up. */
struct world {
    uv_loop_t loop;
    uv_timer_t beat;
    poster_t *poster;
    int64_t last_ms, longest_ms;
    int done;
    enum post_outcome outcome;
    char message[256];
};

static void on_beat(uv_timer_t *timer)
{
    struct world *w = timer->data;
    const int64_t now_ms = clock_ms();
    if (now_ms - w->last_ms > w->longest_ms)
        w->longest_ms = now_ms - w->last_ms;
    w->last_ms = now_ms;
}

static void on_done(void *arg, const struct post_end *end)
{
    struct world *w = arg;
    w->done++;
    w->outcome = end->outcome;
    (void)snprintf(w->message, sizeof w->message, "%s", end->message);
}

static void world_begin(struct world *w)
{
    *w = (struct world){ .last_ms = clock_ms() };
    CHECK_INT(uv_loop_init(&w->loop), 0);
    CHECK_INT(uv_timer_init(&w->loop, &w->beat), 0);
    w->beat.data = w;
    CHECK_INT(uv_timer_start(&w->beat, on_beat, 10, 10), 0);
    w->poster = poster_new(&w->loop);
    assert_non_null(w->poster);
}

static void world_end(struct world *w)
{
    poster_destroy(&w->poster);
    uv_close((uv_handle_t *)&w->beat, NULL);
    CHECK_INT(uv_run(&w->loop, UV_RUN_DEFAULT), 0);
    CHECK_INT(uv_loop_close(&w->loop), 0);
}

static post_t *begin(struct world *w, const char *url, const char *allow)
{
    static const char *const headers[] = { "Content-Type: application/json", NULL };
    const struct post_row row = { .url = url,
                                  .headers = headers,
                                  .user_agent = "test",
                                  .body = SLICE("{}"),
                                  .allow = allow,
                                  .timeout_ms = LIMIT_MS,
                                  .done = on_done,
                                  .arg = w };
    post_t *post = NULL;
    CHECK_INT(post_begin(w->poster, &row, &post), 0);
    return post;
}

static void run_until_done(struct world *w)
{
    while (!w->done)
        (void)uv_run(&w->loop, UV_RUN_ONCE);
}

TEST(a_name_that_leads_inward_is_refused_when_it_is_connected_to)
{
    UNUSED;
    struct world w;
    world_begin(&w);
    (void)begin(&w, "http://inward.example:9/", "");
    CHECK_INT(w.done, 0);
    run_until_done(&w);
    CHECK_INT(w.outcome, POST_REFUSED);
    assert_non_null(strstr(w.message, "inward.example, a loopback address"));
    assert_null(strstr(w.message, "127.0.0.1"));
    w.done = 0;
    (void)begin(&w, "http://inward.example:9/", "inward.example");
    run_until_done(&w);
    CHECK_INT(w.outcome, POST_UNHEARD); /* it went there, and nobody listens */
    world_end(&w);
}

TEST(a_name_that_is_looked_up_for_ever_holds_nothing_up)
{
    UNUSED;
    struct world w;
    const int before = slow_ended;
    world_begin(&w);
    const int64_t begin_ms = clock_ms();
    (void)begin(&w, "http://slow.example/", "");
    run_until_done(&w);
    CHECK_INT(w.outcome, POST_UNHEARD);
    CHECK(clock_ms() - begin_ms >= LIMIT_MS && clock_ms() - begin_ms < SLOW_MS);
    world_end(&w);
    CHECK(w.longest_ms < SLOW_MS / 2);
    CHECK_INT(slow_ended, before);
    while (slow_ended == before) /* its thread goes by itself */
        (void)usleep(10000);
}

TEST(a_post_that_is_destroyed_says_nothing_more)
{
    UNUSED;
    struct world w;
    const int before = slow_ended;
    world_begin(&w);
    post_t *post = begin(&w, "http://slow.example/", "");
    (void)uv_run(&w.loop, UV_RUN_ONCE);
    const int64_t begin_ms = clock_ms();
    post_destroy(&post);
    CHECK(clock_ms() - begin_ms < SLOW_MS / 2);
    assert_null(post);
    world_end(&w);
    CHECK_INT(w.done, 0);
    while (slow_ended == before)
        (void)usleep(10000);
    (void)usleep(50000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(a_name_that_leads_inward_is_refused_when_it_is_connected_to),
        HOLDS(a_name_that_is_looked_up_for_ever_holds_nothing_up),
        HOLDS(a_post_that_is_destroyed_says_nothing_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
