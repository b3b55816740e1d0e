#include "tests/unit/test.h"

#include "broker/endpoint.h"
#include "common/status.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

static char error[ENDPOINT_ERROR];

TEST(loopback_needs_no_permission_and_others_do)
{
    UNUSED;
    static const struct {
        const char *endpoint;
        int result;
    } rows[] = {
        { "tcp://127.0.0.1:5555", 0 },
        { "tcp://127.9.9.9:5555", 0 },
        { "tcp://[::1]:5555", 0 },
        { "tcp://lo:5555", 0 },
        { "tcp://0.0.0.0:5555", STATUS_DENIED },
        { "tcp://*:5555", STATUS_DENIED },
        { "tcp://[::]:5555", STATUS_DENIED },
        { "tcp://10.0.0.1:5555", STATUS_DENIED },
        { "tcp://128.0.0.1:5555", STATUS_DENIED },
        { "tcp://eth0:5555", STATUS_DENIED },
        { "tcp://127.0.0.1.example.org:5555", STATUS_DENIED },
        { "tcp://[::ffff:10.0.0.1]:5555", STATUS_DENIED },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        CHECK_INT(endpoint_check(rows[i].endpoint, false, error), rows[i].result);
        CHECK_INT(endpoint_check(rows[i].endpoint, true, error), 0);
    }
}

TEST(what_is_no_endpoint_is_refused_by_name)
{
    UNUSED;
    static const char *const wrong[] = { "",
                                         "ipc://",
                                         "ipc://*",
                                         "tcp://",
                                         "tcp://:555",
                                         "tcp://1.2.3.4",
                                         "tcp://1.2.3.4:",
                                         "inproc://a",
                                         "udp://a:1",
                                         "clients",
                                         "tcp://[]:5555",
                                         "tcp://127.0.0.1:65536",
                                         "tcp://127.0.0.1:0",
                                         "tcp://127.0.0.1:5x" };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        error[0] = '\0';
        CHECK_INT(endpoint_check(wrong[i], true, error), STATUS_INVALID);
        CHECK(strstr(error, wrong[i]));
    }
}

TEST(an_ipc_path_has_at_most_107_bytes)
{
    UNUSED;
    char endpoint[6 + ENDPOINT_IPC_MAX + 2] = "ipc://";
    memset(endpoint + 6, 'p', ENDPOINT_IPC_MAX);
    CHECK_INT(endpoint_check(endpoint, false, error), 0);
    endpoint[6 + ENDPOINT_IPC_MAX] = 'p';
    CHECK_INT(endpoint_check(endpoint, false, error), STATUS_INVALID);
    CHECK(strstr(error, "108 bytes"));
}

struct sockets {
    void *zmq;
    void *one;
    void *other;
};

static int open_sockets(void **state)
{
    static struct sockets sockets;
    int none = 0;
    sockets.zmq = zmq_ctx_new();
    sockets.one = zmq_socket(sockets.zmq, ZMQ_ROUTER);
    sockets.other = zmq_socket(sockets.zmq, ZMQ_ROUTER);
    zmq_setsockopt(sockets.one, ZMQ_LINGER, &none, sizeof none);
    zmq_setsockopt(sockets.other, ZMQ_LINGER, &none, sizeof none);
    *state = &sockets;
    return 0;
}

static int close_sockets(void **state)
{
    struct sockets *sockets = *state;
    zmq_close(sockets->one);
    zmq_close(sockets->other);
    zmq_ctx_term(sockets->zmq);
    (void)unlink("endpoint_test/run/a");
    (void)unlink("endpoint_test/run/b");
    (void)rmdir("endpoint_test/run");
    (void)rmdir("endpoint_test");
    return 0;
}

TEST(every_endpoint_of_a_list_is_bound_and_folders_are_made)
{
    struct sockets *s = *state_;
    struct stat st;
    CHECK_INT(
        endpoint_bind(s->one, "ipc://endpoint_test/run/a, ipc://endpoint_test/run/b", false, error),
        0);
    CHECK_INT(stat("endpoint_test/run/a", &st), 0);
    CHECK_INT(stat("endpoint_test/run/b", &st), 0);
    CHECK_INT(stat("endpoint_test/run", &st), 0);
    CHECK_INT(st.st_mode & 0777, 0700);
}

TEST(nothing_is_bound_when_one_of_a_list_is_refused)
{
    struct sockets *s = *state_;
    const char *list = "ipc://endpoint_test/run/a,tcp://0.0.0.0:1";
    CHECK_INT(endpoint_bind(s->one, list, false, error), STATUS_DENIED);
    CHECK_INT(access("endpoint_test", F_OK), -1);
    CHECK_INT(endpoint_bind(s->one, " , ", false, error), STATUS_INVALID);
}

TEST(a_living_listener_is_not_robbed)
{
    struct sockets *s = *state_;
    CHECK_INT(endpoint_bind(s->one, "ipc://endpoint_test/run/a", false, error), 0);
    CHECK_INT(endpoint_bind(s->other, "ipc://endpoint_test/run/a", false, error), STATUS_CONFLICT);
    CHECK(strstr(error, "another process listens"));
}

TEST(a_dead_one_s_file_is_replaced_but_no_other_file)
{
    struct sockets *s = *state_;
    CHECK_INT(mkdir("endpoint_test", 0700), 0);
    CHECK_INT(mkdir("endpoint_test/run", 0700), 0);
    CHECK_INT(mknod("endpoint_test/run/a", S_IFSOCK | 0600, 0), 0);
    CHECK_INT(endpoint_bind(s->one, "ipc://endpoint_test/run/a", false, error), 0);
    CHECK_INT(close(open("endpoint_test/run/b", O_CREAT | O_WRONLY, 0600)), 0);
    CHECK_INT(endpoint_bind(s->one, "ipc://endpoint_test/run/b", false, error), STATUS_CONFLICT);
    CHECK_INT(access("endpoint_test/run/b", F_OK), 0);
}

int main(void)
{
#define WITH_SOCKETS(function) \
    cmocka_unit_test_setup_teardown(function##_holds, open_sockets, close_sockets)
    const struct CMUnitTest tests[] = {
        HOLDS(loopback_needs_no_permission_and_others_do),
        HOLDS(what_is_no_endpoint_is_refused_by_name),
        HOLDS(an_ipc_path_has_at_most_107_bytes),
        WITH_SOCKETS(every_endpoint_of_a_list_is_bound_and_folders_are_made),
        WITH_SOCKETS(nothing_is_bound_when_one_of_a_list_is_refused),
        WITH_SOCKETS(a_living_listener_is_not_robbed),
        WITH_SOCKETS(a_dead_one_s_file_is_replaced_but_no_other_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
