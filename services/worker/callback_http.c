#include "services/worker/callback_http.h"

#include "common/curl_loop.h"
#include "common/status.h"
#include "services/worker/address.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    HEARD_MAX = 65536, /* bytes of an answer, head and body, before it is cut off */
    ANSWER_KEPT = 2048
};

struct poster {
    curl_loop_t *curl;
};

struct post {
    poster_t *poster;
    CURL *easy;
    struct curl_slist *headers;
    post_done_fn *done;
    void *arg;
    const char *allow;
    bool owned;
    char *host;                /* as the URL has it */
    bool opened;               /* there was an address that it may go to */
    bool answered;             /* the head of an answer is complete */
    char refusal[ADDRESS_WHY]; /* of the address refused last */
    char error[CURL_ERROR_SIZE];
    size_t heard;
    size_t kept;
    char answer[ANSWER_KEPT];
};

/* ---- what libcurl asks of a transfer --------------------------------------------------------- */

static curl_socket_t on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    post_t *self = arg;
    const struct address_rule rule = { "callbacks", self->allow, self->owned };
    if (purpose != CURLSOCKTYPE_IPCXN ||
        !address_allowed(&rule, slice_of(self->host), &address->addr, self->refusal))
        return CURL_SOCKET_BAD;
    self->opened = true;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* Fewer bytes than came cut it off. */
static size_t on_header(const char *bytes, size_t one, size_t size, void *arg)
{
    post_t *self = arg;
    long status = 0;
    (void)one;
    self->heard += size;
    if (self->heard > HEARD_MAX)
        return 0;
    if (bytes[0] == '\r' || bytes[0] == '\n') {
        (void)curl_easy_getinfo(self->easy, CURLINFO_RESPONSE_CODE, &status);
        self->answered = status >= 200; /* 1xx are no answers yet */
    }
    return size;
}

static size_t on_body(const char *bytes, size_t one, size_t size, void *arg)
{
    post_t *self = arg;
    const size_t room = sizeof self->answer - self->kept;
    const size_t kept = size < room ? size : room;
    (void)one;
    memcpy(self->answer + self->kept, bytes, kept);
    self->kept += kept;
    self->heard += size;
    return self->heard > HEARD_MAX ? 0 : size;
}

/* ---- the end of a transfer ------------------------------------------------------------------- */

void post_destroy(post_t **self_p)
{
    post_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    if (self->easy)
        curl_loop_remove(self->poster->curl, self->easy);
    curl_easy_cleanup(self->easy);
    curl_slist_free_all(self->headers);
    curl_free(self->host);
    free(self);
}

static void end_post(post_t *self, CURLcode code)
{
    struct curl_header *again = NULL;
    struct post_end end = { .outcome = POST_UNHEARD, .answer = { self->answer, self->kept } };
    (void)curl_easy_getinfo(self->easy, CURLINFO_RESPONSE_CODE, &end.status);
    if (self->answered)
        end.outcome = POST_ANSWERED; /* whatever became of its body */
    else if (self->refusal[0] && !self->opened)
        end.outcome = POST_REFUSED;
    end.message = end.outcome == POST_REFUSED ? self->refusal
                  : self->error[0]            ? self->error
                                              : curl_easy_strerror(code);
    if (curl_easy_header(self->easy, "Retry-After", 0, CURLH_HEADER, -1, &again) == CURLHE_OK)
        end.retry_after = again->value;
    self->done(self->arg, &end);
    post_destroy(&self);
}

static void on_ended(void *arg, CURLcode code)
{
    end_post(arg, code);
}

/* ---- where transfers run --------------------------------------------------------------------- */

poster_t *poster_new(uv_loop_t *loop)
{
    poster_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->curl = curl_loop_new(loop, on_ended);
    if (!self->curl)
        poster_destroy(&self);
    return self;
}

void poster_destroy(poster_t **self_p)
{
    poster_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    curl_loop_destroy(&self->curl);
    free(self);
}

/* ---- the beginning of a transfer ------------------------------------------------------------- */

static char *host_of(const char *url)
{
    char *host = NULL;
    CURLU *parts = curl_url();
    if (parts && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK)
        (void)curl_url_get(parts, CURLUPART_HOST, &host, 0);
    curl_url_cleanup(parts);
    return host;
}

static int add_header(post_t *self, const char *header)
{
    struct curl_slist *longer = curl_slist_append(self->headers, header);
    if (!longer)
        return -ENOMEM;
    self->headers = longer;
    return 0;
}

#define SET(option, value) (code = code ? code : curl_easy_setopt(self->easy, option, value))

static int set_request(post_t *self, const struct post_row *row)
{
    CURLcode code = CURLE_OK;
    int r = add_header(self, "Expect:"); /* none: the body is not worth a question */
    for (size_t i = 0; r == 0 && row->headers[i]; i++)
        r = add_header(self, row->headers[i]);
    if (r)
        return r;
    SET(CURLOPT_URL, row->url);
    SET(CURLOPT_POST, 1L);
    SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)row->body.size);
    SET(CURLOPT_COPYPOSTFIELDS, row->body.data);
    SET(CURLOPT_HTTPHEADER, self->headers);
    SET(CURLOPT_USERAGENT, row->user_agent);
    SET(CURLOPT_TIMEOUT_MS, (long)row->timeout_ms);
    return code ? -ENOMEM : 0;
}

static int set_rules(post_t *self)
{
    CURLcode code = CURLE_OK;
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_QUICK_EXIT, 1L); /* else a name's look-up that hangs would hold up the loop */
    SET(CURLOPT_FRESH_CONNECT, 1L);
    SET(CURLOPT_FORBID_REUSE, 1L);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_OPENSOCKETFUNCTION, on_open);
    SET(CURLOPT_OPENSOCKETDATA, self);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, self);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, self);
    SET(CURLOPT_ERRORBUFFER, self->error);
    SET(CURLOPT_PRIVATE, self);
    return code ? -ENOMEM : 0;
}

static int start(post_t *self, const struct post_row *row)
{
    self->host = host_of(row->url);
    self->easy = curl_easy_init();
    if (!self->easy)
        return -ENOMEM;
    if (!self->host)
        return STATUS_INVALID;
    int r = set_request(self, row);
    if (r == 0)
        r = set_rules(self);
    return r ? r : curl_loop_add(self->poster->curl, self->easy);
}

int post_begin(poster_t *poster, const struct post_row *row, post_t **ret_post)
{
    post_t *self = calloc(1, sizeof *self);
    if (!self)
        return -ENOMEM;
    self->poster = poster;
    self->done = row->done;
    self->arg = row->arg;
    self->allow = row->allow;
    self->owned = row->owned;
    int r = start(self, row);
    if (r) {
        post_destroy(&self);
        return r;
    }
    *ret_post = self;
    return 0;
}
