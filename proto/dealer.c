#include "proto/dealer.h"

#include "proto/schema.h"

#include <errno.h>
#include <stddef.h>
#include <zmq.h>

/* Nothing is sent into a connection that does not stand: the session keeps it instead. */
void *dealer_new(void *zmq, const char *endpoint)
{
    static const struct {
        int option, value;
    } settings[] = {
        { ZMQ_LINGER, 0 },           { ZMQ_IMMEDIATE, 1 },          { ZMQ_SNDHWM, 0 },
        { ZMQ_RCVHWM, 0 },           { ZMQ_RECONNECT_IVL, 100 },    { ZMQ_RECONNECT_IVL_MAX, 2000 },
        { ZMQ_HANDSHAKE_IVL, 5000 }, { ZMQ_CONNECT_TIMEOUT, 3000 },
    };
    /* or libzmq reserves whatever length a frame claims */
    const int64_t frame_max = WIRE_FRAME_HARD_MAX;
    void *socket = zmq_socket(zmq, ZMQ_DEALER);
    if (!socket)
        return NULL;
    zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &frame_max, sizeof frame_max);
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        zmq_setsockopt(socket, settings[i].option, &settings[i].value, sizeof(int));
    if (zmq_connect(socket, endpoint) == 0)
        return socket;
    int problem = errno;
    zmq_close(socket);
    errno = problem;
    return NULL;
}

void dealer_close(void *socket, int linger_ms)
{
    zmq_setsockopt(socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    zmq_close(socket);
}

bool dealer_connected(void *socket)
{
    int events = 0;
    size_t size = sizeof events;
    return zmq_getsockopt(socket, ZMQ_EVENTS, &events, &size) == 0 && (events & ZMQ_POLLOUT);
}
