#include "services/cli/operator.h"

#include "common/status.h"
#include "proto/envelope.h"

#include <errno.h>
#include <string.h>

static int read_answer(const struct cli *cli, void *socket)
{
    struct envelope in;
    struct m_error error = { 0 };
    zmq_pollitem_t item = { .socket = socket, .events = ZMQ_POLLIN };
    if (zmq_poll(&item, 1, (long)cli_timeout_ms(cli)) <= 0)
        return cli_say(cli, CLI_AWAY,
                       "no broker answers at %s: --status takes the endpoint that its setting "
                       "broker.status names",
                       cli->options.status);
    envelope_init(&in);
    int r = envelope_receive(&in, socket, false);
    int code = 0;
    if (r)
        code = cli_say(cli, CLI_AWAY, "the answer from %s cannot be read", cli->options.status);
    else if (in.header.status == STATUS_HELLO_FIRST)
        code = cli_say(cli, CLI_USAGE, "--status: %s is not what the setting broker.status names",
                       cli->options.status);
    else if (in.header.status) {
        char message[256] = "";
        (void)message_decode(&m_error_layout, frame_slice(&in.body), &error, NULL);
        (void)slice_copy(error.message, message, sizeof message);
        const struct gantry_error said = { .message = message };
        code = cli_refusal(cli, (int)in.header.status, &said);
    }
    envelope_clear(&in);
    return code;
}

static int say(void *socket, uint32_t verb, const struct message_layout *layout, const void *m)
{
    const struct header header = { .verb = verb, .request = 1 };
    zmq_msg_t body;
    envelope_body(layout, m, &body);
    int r = envelope_send(socket, (struct slice){ 0 }, &header, &body);
    zmq_msg_close(&body);
    return r;
}

int operator_ask(const struct cli *cli, uint32_t verb, const struct message_layout *layout,
                 const void *m)
{
    const int linger = 0;
    void *zmq = zmq_ctx_new();
    void *socket = zmq ? zmq_socket(zmq, ZMQ_DEALER) : NULL;
    int code = 0;
    if (!socket)
        code = cli_say(cli, CLI_AWAY, "%s", strerror(errno));
    else if (zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger) ||
             zmq_connect(socket, cli->options.status))
        code = cli_say(cli, CLI_USAGE, "--status: %s is no endpoint: %s", cli->options.status,
                       zmq_strerror(errno));
    else if (say(socket, verb, layout, m))
        code = cli_say(cli, CLI_AWAY, "%s: %s", cli->options.status, zmq_strerror(errno));
    else
        code = read_answer(cli, socket);
    if (socket)
        zmq_close(socket);
    if (zmq)
        zmq_ctx_term(zmq);
    return code;
}
