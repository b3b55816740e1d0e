#include "tests/unit/test.h"

#include "broker/route.h"
#include "common/status.h"

static zmq_msg_t message_of(size_t size)
{
    zmq_msg_t body;
    zmq_msg_init_size(&body, size);
    memset(zmq_msg_data(&body), 'x', size);
    return body;
}

static struct route *open_route(routes_t *routes, enum verb verb, size_t size, int64_t now_ms)
{
    struct header header = { .verb = verb, .request = 42, .service = SLICE("ffmpeg") };
    struct route *route = NULL;
    zmq_msg_t body = message_of(size);
    CHECK_INT(routes_open(routes, ROUTE_OF_CLIENT, &header, &body, now_ms, &route), 0);
    zmq_msg_close(&body);
    return route;
}

TEST(a_route_keeps_its_message_until_it_is_closed)
{
    UNUSED;
    routes_t *routes = routes_new(4, 1000, 1, 7);
    char service[] = "ffmpeg";
    struct header header = { .verb = VERB_SUBMIT, .request = 42, .service = slice_of(service) };
    struct route *route;
    zmq_msg_t body = message_of(300);
    CHECK_INT(routes_open(routes, ROUTE_OF_CLIENT, &header, &body, 0, &route), 0);
    memset(service, 0, sizeof service);

    CHECK_INT(zmq_msg_size(&body), 0);
    CHECK_INT(zmq_msg_size(&route->kept.body), 300);
    CHECK_SLICE(route->kept.header.service, "ffmpeg");
    CHECK_INT(route->kept.header.request, 42);
    CHECK_INT(routes_bytes(routes, ROUTE_OF_CLIENT), 300);
    CHECK_INT(routes_count(routes, ROUTE_OF_CLIENT), 1);
    routes_close(routes, &route);
    CHECK(!route);
    CHECK_INT(routes_bytes(routes, ROUTE_OF_CLIENT), 0);
    CHECK_INT(routes_count(routes, ROUTE_OF_CLIENT), 0);
    routes_destroy(&routes);
}

TEST(a_number_finds_its_route_and_never_a_later_one)
{
    UNUSED;
    routes_t *routes = routes_new(4, 1000, 1, 7);
    struct route *route = open_route(routes, VERB_GET, 0, 0);
    uint64_t number = route->number;

    CHECK(routes_find(routes, number) == route);
    routes_close(routes, &route);
    CHECK(!routes_find(routes, number));
    route = open_route(routes, VERB_GET, 0, 0); /* the same slot */
    CHECK(!routes_find(routes, number));
    CHECK(routes_find(routes, route->number) == route);
    CHECK(!routes_find(routes, 0));
    CHECK(!routes_find(routes, UINT64_MAX));
    routes_destroy(&routes);
}

TEST(numbers_of_a_former_broker_find_nothing)
{
    UNUSED;
    static const uint32_t epochs[] = { 1, 2, 0x80000000, UINT32_MAX };
    enum { LIVES = sizeof epochs / sizeof *epochs, REQUESTS = 100 };
    uint64_t former[LIVES * REQUESTS];
    size_t count = 0;
    for (size_t life = 0; life < LIVES; life++) {
        routes_t *routes = routes_new(4, 1000, 1, epochs[life]);
        for (size_t i = 0; i < REQUESTS; i++) {
            struct route *route = open_route(routes, VERB_GET, 0, 0); /* the same slot */
            for (size_t k = 0; k < count; k++)
                CHECK(!routes_find(routes, former[k]));
            CHECK(routes_find(routes, route->number) == route);
            CHECK(route->number >> 63 == 0);
            former[count++] = route->number;
            routes_close(routes, &route);
        }
        routes_destroy(&routes);
    }
}

TEST(a_claim_s_number_tells_so_even_when_it_is_closed)
{
    UNUSED;
    routes_t *routes = routes_new(4, 1000, 1, 7);
    CHECK(route_number_is_claim(open_route(routes, VERB_CLAIM, 0, 0)->number));
    CHECK(!route_number_is_claim(open_route(routes, VERB_GET, 0, 0)->number));
    routes_destroy(&routes);
}

TEST(requests_and_bytes_are_bounded)
{
    UNUSED;
    routes_t *routes = routes_new(2, 1000, 1, 7);
    CHECK_INT(routes_room(routes, ROUTE_OF_CLIENT, 5000), ROUTE_ROOM); /* one alone always may */
    open_route(routes, VERB_GET, 900, 0);
    CHECK_INT(routes_room(routes, ROUTE_OF_CLIENT, 100), ROUTE_ROOM);
    CHECK_INT(routes_room(routes, ROUTE_OF_CLIENT, 101), ROUTE_BYTES_FULL);
    open_route(routes, VERB_GET, 1, 0);
    CHECK_INT(routes_room(routes, ROUTE_OF_CLIENT, 0), ROUTE_REQUESTS_FULL);
    routes_destroy(&routes);
}

TEST(clients_never_shut_workers_out)
{
    UNUSED;
    routes_t *routes = routes_new(1, 10, 1, 7);
    open_route(routes, VERB_GET, 10, 0);
    CHECK_INT(routes_room(routes, ROUTE_OF_CLIENT, 1), ROUTE_REQUESTS_FULL);
    CHECK_INT(routes_room(routes, ROUTE_OF_WORKER, 1), ROUTE_ROOM);
    CHECK_INT(routes_room(routes, ROUTE_OF_BROKER, 1), ROUTE_ROOM);
    routes_destroy(&routes);
}

TEST(slots_are_bounded_too)
{
    UNUSED;
    routes_t *routes = routes_new(1, 10, 1, 7);
    struct header header = { .verb = VERB_RETURN };
    struct route *route;
    zmq_msg_t body = message_of(5);
    for (int i = 0; i < 3; i++)
        open_route(routes, VERB_GET, 1, 0);
    CHECK_INT(routes_open(routes, ROUTE_OF_BROKER, &header, &body, 0, &route), STATUS_BUSY);
    CHECK_INT(zmq_msg_size(&body), 5);
    zmq_msg_close(&body);
    routes_destroy(&routes);
}

TEST(a_wait_is_due_later_than_other_requests)
{
    UNUSED;
    routes_t *routes = routes_new(4, 1000, 1, 7);
    struct route *wait = open_route(routes, VERB_WAIT, 0, 0);
    struct route *get = open_route(routes, VERB_GET, 0, 10);

    CHECK(!routes_due(routes, 10 + ROUTE_MS - 1));
    CHECK(routes_due(routes, 10 + ROUTE_MS) == get);
    routes_close(routes, &get);
    CHECK(!routes_due(routes, ROUTE_WAIT_MS - 1));
    CHECK(routes_due(routes, ROUTE_WAIT_MS) == wait);
    routes_destroy(&routes);
}

TEST(all_are_walked_and_may_be_closed_on_the_way)
{
    UNUSED;
    routes_t *routes = routes_new(8, 1000, 1, 7);
    CHECK(!routes_after(routes, NULL));
    open_route(routes, VERB_WAIT, 0, 0);
    for (int i = 0; i < 3; i++)
        open_route(routes, VERB_GET, 0, 0);
    int count = 0;
    for (struct route *route = routes_after(routes, NULL), *next; route; route = next, count++) {
        next = routes_after(routes, route);
        routes_close(routes, &route);
    }
    CHECK_INT(count, 4);
    CHECK(!routes_after(routes, NULL));
    routes_destroy(&routes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(a_route_keeps_its_message_until_it_is_closed),
        HOLDS(a_number_finds_its_route_and_never_a_later_one),
        HOLDS(numbers_of_a_former_broker_find_nothing),
        HOLDS(a_claim_s_number_tells_so_even_when_it_is_closed),
        HOLDS(requests_and_bytes_are_bounded),
        HOLDS(clients_never_shut_workers_out),
        HOLDS(slots_are_bounded_too),
        HOLDS(a_wait_is_due_later_than_other_requests),
        HOLDS(all_are_walked_and_may_be_closed_on_the_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
