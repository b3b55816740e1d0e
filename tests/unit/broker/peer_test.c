#include "tests/unit/test.h"

#include "broker/peer.h"
#include "common/status.h"

#include <stdio.h>

static const struct slice no_hello = { 0 };

static struct peer *add(peers_t *peers, enum peer_role role, const char *id, int64_t now_ms)
{
    struct peer *peer = NULL;
    CHECK_INT(peers_add(peers, role, slice_of(id), no_hello, now_ms, &peer), 0);
    return peer;
}

TEST(a_peer_is_found_by_role_and_routing_id)
{
    UNUSED;
    peers_t *peers = peers_new(8);
    struct peer *client = add(peers, PEER_CLIENT, "a", 0);
    struct peer *worker = add(peers, PEER_WORKER, "a", 0);

    CHECK(peers_find(peers, PEER_CLIENT, SLICE("a")) == client);
    CHECK(peers_find(peers, PEER_WORKER, SLICE("a")) == worker);
    CHECK(!peers_find(peers, PEER_STATE, SLICE("a")));
    CHECK(!peers_find(peers, PEER_CLIENT, SLICE("b")));
    CHECK_INT(peers_count(peers, PEER_CLIENT), 1);
    peers_remove(peers, &client);
    CHECK(!peers_find(peers, PEER_CLIENT, SLICE("a")));
    CHECK_INT(peers_count(peers, PEER_CLIENT), 0);
    peers_destroy(&peers);
}

TEST(a_reference_never_finds_the_slot_s_next_holder)
{
    UNUSED;
    peers_t *peers = peers_new(1);
    struct peer *peer = add(peers, PEER_CLIENT, "a", 0);
    struct peer_ref first = peer->ref;

    CHECK(peers_at(peers, first) == peer);
    peers_remove(peers, &peer);
    CHECK(!peers_at(peers, first));
    peer = add(peers, PEER_CLIENT, "b", 0);
    CHECK_INT(peer->ref.index, first.index);
    CHECK(!peers_at(peers, first));
    CHECK(peers_at(peers, peer->ref) == peer);
    CHECK(!peers_at(peers, (struct peer_ref){ 0 }));
    peers_destroy(&peers);
}

TEST(the_table_is_bounded_over_all_roles)
{
    UNUSED;
    peers_t *peers = peers_new(2);
    struct peer *peer = add(peers, PEER_CLIENT, "a", 0);
    add(peers, PEER_STATE, "b", 0);
    CHECK_INT(peers_add(peers, PEER_WORKER, SLICE("c"), no_hello, 0, &peer), STATUS_BUSY);
    peers_remove(peers, &peer);
    CHECK_INT(peers_add(peers, PEER_WORKER, SLICE("c"), no_hello, 0, &peer), 0);
    peers_destroy(&peers);
}

/* {"role": "worker", "name": "w", "session": 16 bytes} */
#define WORKER_HELLO                                         \
    "\x83\xa4role\xa6worker\xa4name\xa1w\xa7session\xc4\x10" \
    "0123456789abcdef"

TEST(a_hello_is_copied)
{
    UNUSED;
    char body[] = WORKER_HELLO;
    peers_t *peers = peers_new(2);
    struct peer *peer = NULL;
    struct slice hello = slice_make(body, sizeof body - 1);
    CHECK_INT(peers_add(peers, PEER_WORKER, SLICE("id"), hello, 5, &peer), 0);
    memset(body, 0, sizeof body);

    CHECK_SLICE(peer->id, "id");
    CHECK_SLICE(peer->hello.role, "worker");
    CHECK_SLICE(peer->hello.name, "w");
    CHECK_SLICE(peer->hello.session, "0123456789abcdef");
    CHECK_INT(peer->connected_ms, 5);
    CHECK(peers_of_session(peers, SLICE("0123456789abcdef")) == peer);
    CHECK(!peers_of_session(peers, SLICE("0123456789abcdeX")));
    peers_destroy(&peers);
}

TEST(a_hello_that_is_wrong_or_too_large_is_refused)
{
    UNUSED;
    static char large[PEER_HELLO_MAX + 1];
    peers_t *peers = peers_new(2);
    struct peer *peer = NULL;
    struct slice too_large = slice_make(large, sizeof large);
    CHECK_INT(peers_add(peers, PEER_CLIENT, SLICE("a"), too_large, 0, &peer), STATUS_TOO_LARGE);
    CHECK_INT(peers_add(peers, PEER_CLIENT, SLICE("a"), SLICE("\x80"), 0, &peer), STATUS_INVALID);
    CHECK_INT(peers_add(peers, PEER_CLIENT, SLICE("a"), SLICE("\x01"), 0, &peer), STATUS_MALFORMED);
    CHECK(!peer);
    CHECK_INT(peers_count(peers, PEER_CLIENT), 0);
    peers_destroy(&peers);
}

TEST(the_silent_are_found_and_may_be_forgiven)
{
    UNUSED;
    peers_t *peers = peers_new(8);
    struct peer *old = add(peers, PEER_WORKER, "old", 100);
    add(peers, PEER_WORKER, "new", 200);
    add(peers, PEER_CLIENT, "client", 0);
    uint32_t cursor = 0;

    CHECK(peers_silent(peers, PEER_WORKER, 200, &cursor) == old);
    CHECK(!peers_silent(peers, PEER_WORKER, 200, &cursor));
    peers_forgive(peers, 300);
    cursor = 0;
    CHECK(!peers_silent(peers, PEER_WORKER, 300, &cursor));
    peers_destroy(&peers);
}

TEST(thousands_come_and_go)
{
    UNUSED;
    enum { MANY = 5000 };
    peers_t *peers = peers_new(MANY);
    char id[16];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < MANY; i++) {
            (void)snprintf(id, sizeof id, "id%d", i);
            add(peers, PEER_CLIENT, id, 0);
        }
        for (int i = 0; i < MANY; i++) {
            (void)snprintf(id, sizeof id, "id%d", i);
            struct peer *peer = peers_find(peers, PEER_CLIENT, slice_of(id));
            CHECK(peer);
            peers_remove(peers, &peer);
        }
    }
    CHECK_INT(peers_count(peers, PEER_CLIENT), 0);
    peers_destroy(&peers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(a_peer_is_found_by_role_and_routing_id),
        HOLDS(a_reference_never_finds_the_slot_s_next_holder),
        HOLDS(the_table_is_bounded_over_all_roles),
        HOLDS(a_hello_is_copied),
        HOLDS(a_hello_that_is_wrong_or_too_large_is_refused),
        HOLDS(the_silent_are_found_and_may_be_forgiven),
        HOLDS(thousands_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
